"""How long does the whole default panel take on 5,000 images?

Question    Are the measurements of a generation cheap beside its training: every metric that a run takes of faces,
            features and errors included, for 5,000 images of 64 px against 5,000 real ones, on two CPU cores?
Command     python experiments/bench_panel.py               JSON to runs/bench-panel.json
            python experiments/bench_panel.py --count 48    a smoke test, no figure of it counts
Hardware    two cores of a quiet machine; drawing the faces takes minutes the first time and is not counted.
Expected    within 60 s.
Refuted by  more.

The images under test are the training faces mirrored: unseen faces that cost no model. Nothing is read from a cache of
features. The features are timed first, then each metric on its own, which finds them there.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import time
from pathlib import Path

import numpy as np
import torch

from imagelab.data import Faces
from imagelab.metrics import Evidence, ImageSet, measure
from imagelab.metrics.features import DISTANCE_SPACES, features

SEED = 2026
TARGET = 60.0  # seconds for 5,000 images
CORES = 2


def evidence_of(count: int) -> Evidence:
    """Return held-out faces, mirrored training faces as the made ones, and a freckle-free control."""
    recipe = Faces(size=64)
    heldout, train = (recipe.load(split, count, SEED) for split in ("heldout", "train"))
    return Evidence(
        real=ImageSet(heldout.images),
        fake=ImageSet(np.ascontiguousarray(train.images[..., ::-1])),
        blank=None if heldout.twins is None else ImageSet(heldout.twins[:256]),
        train=ImageSet(train.images),
    )


def timed(evidence: Evidence) -> list[tuple[str, float, str]]:
    """Return (what, seconds, what could not be measured and why)."""
    found = []
    for space in DISTANCE_SPACES:
        start = time.perf_counter()
        for each in (evidence.real, evidence.fake):
            features(each, space)
        images = len(evidence.real) + len(evidence.fake)
        found.append((f"features of {images:,} images, {space}", time.perf_counter() - start, ""))
    for name in Faces.panel:
        start = time.perf_counter()
        measurements = measure(evidence, [name])
        missing = "; ".join(sorted({m.missing for m in measurements if m.missing}))
        found.append((name, time.perf_counter() - start, missing))
    return found


def main() -> int:
    """Time the panel, print the table, write the JSON; 1 where something could not be measured."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--count", type=int, default=5000, help="images in each set")
    parser.add_argument("--output", type=Path, default=Path("runs/bench-panel.json"))
    asked = parser.parse_args()
    evidence = evidence_of(asked.count)
    torch.set_num_threads(CORES)
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:CORES])
    where, load = f"{platform.platform()}, {os.cpu_count()} cores, torch {torch.__version__}", os.getloadavg()[0]
    rows = timed(evidence)
    total = sum(seconds for _, seconds, _ in rows)
    print(f"**The default panel, {asked.count:,} faces of 64 px, {CORES} cores** ({where}; load before {load:.1f})\n")
    print("| metric | seconds | missing |\n|---|---|---|")
    print("\n".join(f"| {what} | {seconds:.3g} | {gap} |" for what, seconds, gap in rows))
    print(f"| together | {total:.3g} | |")
    if asked.count == 5000:
        print(f"\ntarget {TARGET:g} s: {'met' if total <= TARGET else 'MISSED'}")
    asked.output.parent.mkdir(parents=True, exist_ok=True)
    record = {"machine": where, "load": load, "count": asked.count, "seconds": total, "rows": rows}
    asked.output.write_text(json.dumps(record, indent=1) + "\n")
    print(f"written: {asked.output}")
    return 1 if any(gap for _, _, gap in rows) else 0


if __name__ == "__main__":
    raise SystemExit(main())
