"""How far from real are real images that are merely blurred? A yardstick for distances without a unit.

Question:   which Gaussian blur of real images gives the distance that a generation has?
Command:    python experiments/instruments/yardstick.py              make the table that the package ships
            python experiments/instruments/yardstick.py --n 100 --out small.json
Hardware:   1 shared CPU core, no GPU: about a minute of CPU time.
Expected:   every distance grows with the blur, from the distance of two real sets on.
Refuted by: a distance that falls from one row to the next by more than three of its standard errors.

Faces of 64 px, three in five of them freckled, as in the main experiment; Textures likewise. n held-out images are the
reference, n others are blurred. imagelab.report.yardstick reads the table: for a distance, the blur by interpolation.

Seen 2026-11-29, n 1,000: FD[imagelab-ssl-v1] of faces .8 (sharp), 34 (.5 px), 300 (1 px), 448 (1.5 px), 617 (6 px);
of crops 6, 41, 209, 341, 1,042. Every distance grows with the blur; 62 s of CPU time beside other work.
"""

from __future__ import annotations

import argparse
import json
import re
import time
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

from imagelab._version import __version__
from imagelab.data.base import Data
from imagelab.data.faces import Faces
from imagelab.data.textures import Textures
from imagelab.metrics import Evidence, ImageSet, measure_panel
from imagelab.metrics.degradations import blurred
from imagelab.report.yardstick import TABLE

SIGMAS = (0.0, 0.4, 0.5, 0.6, 0.75, 0.9, 1.0, 1.25, 1.5, 2.0, 2.5, 3.0, 4.0, 6.0)
ROWS = ("frechet", "kernel")
SEED = 20


def table(data: Data, n: int) -> dict[str, Any]:
    """Return measurement -> its feature space, and rows of (blur sigma in px, distance, its standard error)."""
    reference = ImageSet(data.load("heldout", n, SEED).images)
    images = data.load("train", n, SEED + 1).images
    found: dict[str, Any] = {}
    for sigma in SIGMAS:
        fake = ImageSet(blurred(images, sigma) if sigma else images)
        for m in measure_panel(Evidence(reference, fake), ROWS):
            if m.value is None or re.search(r"-s\d+$", m.name):  # repeats with other random features
                continue
            row = found.setdefault(m.name, {"feature_space": m.feature_space, "rows": []})
            row["rows"].append([sigma, float(f"{m.value:.4g}"), float(f"{m.stderr or 0.0:.2g}")])
    return found


def main(arguments: Sequence[str] | None = None) -> int:
    """Make the table and print it; return 1 if a distance falls with more blur."""
    parser = argparse.ArgumentParser(description="Distances of blurred real images.")
    parser.add_argument("--n", type=int, default=1000)
    parser.add_argument("--out", type=Path, default=TABLE)
    asked = parser.parse_args(arguments)
    start = time.process_time()
    made = {
        "about": {"version": __version__, "seed": SEED, "n": asked.n, "size": 64},
        "faces": table(Faces(size=64, freckle_rate=0.6), asked.n),
        "textures": table(Textures(), asked.n),
    }
    asked.out.write_text(json.dumps(made, indent=None, separators=(",", ":")).replace("],[", "],\n[") + "\n")
    falls = 0
    for kind in ("faces", "textures"):
        for name, found in made[kind].items():
            rows = found["rows"]
            print(f"{kind:9s} {name:32s}", "  ".join(f"{sigma:g}: {value:g}" for sigma, value, _ in rows))
            steps = pairwise(rows)
            falls += sum(low[1] - high[1] > 3 * (low[2] + high[2]) for low, high in steps)
    print(f"{falls} distances fall with more blur; {time.process_time() - start:.0f} s of CPU time; {asked.out}")
    return 1 if falls else 0


if __name__ == "__main__":
    raise SystemExit(main())
