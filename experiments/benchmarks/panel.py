"""How long does the whole default panel take on 5,000 images?

Question:   is measuring a generation cheap compared with its training? Every metric that a run measures on faces,
            features and errors included, for 5,000 images of 64 px against 5,000 real ones, on two CPU cores.
Command:    python experiments/benchmarks/panel.py               JSON to runs/bench-panel.json
            python experiments/benchmarks/panel.py --count 48    to see that it runs; its figures do not count
Hardware:   two cores of a quiet machine, a minute; drawing the faces takes minutes the first time and is not counted.
Expected:   within 60 s.
Refuted by: more.

The images under test are the training faces mirrored: unseen faces that need no model. No features are read from a
cache. The features are timed first, then each metric alone, which uses the features already computed. Besides the
elapsed seconds the table gives CPU seconds, which depend less on other programs. Before the timing, everything is
loaded and run once on a few images.

Seen 2026-11-22, 2 quiet x86-64 cores, torch 2.15: 32.7 s (59.7 of CPU). Features of imagelab-ssl-v1 for three sets 11.9
s, of three random networks 4.5; freckles 5.0, perceptual diversity 3.0, kernel 1.5, spectrum 1.1, tails 1.1, PRDC 1.1,
Frechet .8, detectors .8, the rest 2. As expected.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch

from imagelab.data import Faces
from imagelab.measurement import Measurement
from imagelab.metrics import Evidence, ImageSet, measure_panel
from imagelab.metrics.features import DISTANCE_SPACES, PRIMARY, features

SEED = 2026
TARGET = 60.0  # seconds for 5,000 images
CORES = 2
WARM = 48  # images that each metric sees before it is timed


def evidence_of(count: int) -> Evidence:
    """Return held-out faces, mirrored training faces as the generated ones, and a freckle-free control."""
    recipe = Faces(size=64)
    heldout, train = (recipe.load(split, count, SEED) for split in ("heldout", "train"))
    return Evidence(
        real=ImageSet(heldout.images),
        fake=ImageSet(np.ascontiguousarray(train.images[..., ::-1])),
        blank=None if heldout.twins is None else ImageSet(heldout.twins[:256]),
        train=ImageSet(train.images),
    )


def some_of(evidence: Evidence, count: int) -> Evidence:
    """Return the first images of each set, without features."""
    sets = {"real": evidence.real, "fake": evidence.fake, "blank": evidence.blank, "train": evidence.train}
    return replace(evidence, **{name: each and ImageSet(each.images[:count]) for name, each in sets.items()})


def timed(evidence: Evidence, panel: Sequence[str]) -> list[dict[str, Any]]:
    """Return a row for each feature pass and each metric: what, seconds, cpu_seconds, missing."""
    sets = {"held-out": evidence.real, "made": evidence.fake, "training": evidence.train}
    passes = [(space, name) for space in DISTANCE_SPACES for name in sets if name != "training" or space == PRIMARY]
    rows = [
        _row(f"features of the {name} images, {space}", partial(features, each, space))
        for space, name in passes
        if (each := sets[name]) is not None
    ]
    return rows + [_row(name, partial(measure_panel, evidence, [name])) for name in panel]


def _row(what: str, work: Callable[[], Any]) -> dict[str, Any]:
    start = time.perf_counter(), time.process_time()
    found = work()
    row = {"what": what, "seconds": time.perf_counter() - start[0], "cpu_seconds": time.process_time() - start[1]}
    gaps = {m.missing for m in found if isinstance(m, Measurement) and m.missing}
    return {**row, "missing": "; ".join(sorted(gaps))}


def main() -> int:
    """Time the panel, print the table, write the JSON; return 1 if something could not be measured."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--count", type=int, default=5000, help="images in each set")
    parser.add_argument("--output", type=Path, default=Path("runs/bench-panel.json"))
    asked = parser.parse_args()
    evidence = evidence_of(asked.count)
    torch.set_num_threads(CORES)
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:CORES])
    threads = {"torch": torch.get_num_threads(), "BLAS of numpy": 1, "freckle counter": os.cpu_count()}
    where, load = f"{platform.platform()}, {os.cpu_count()} cores, torch {torch.__version__}", os.getloadavg()[0]
    timed(some_of(evidence, WARM), Faces.panel)
    rows = timed(evidence, Faces.panel)
    total, work = (sum(row[key] for row in rows) for key in ("seconds", "cpu_seconds"))
    shown = ", ".join(f"{name} {count}" for name, count in threads.items())
    print(f"**The default panel, {asked.count:,} faces of 64 px, {CORES} cores** ({where}; load before {load:.1f})")
    print(f"threads: {shown}\n")
    print("| metric | seconds | CPU seconds | missing |\n|---|---|---|---|")
    print("\n".join("| {what} | {seconds:.3g} | {cpu_seconds:.3g} | {missing} |".format(**row) for row in rows))
    print(f"| together | {total:.3g} | {work:.3g} | |")
    if asked.count == 5000:
        print(f"\ntarget {TARGET:g} s: {'met' if total <= TARGET else 'MISSED'}")
    asked.output.parent.mkdir(parents=True, exist_ok=True)
    record = {"machine": where, "load": load, "threads": threads, "count": asked.count}
    record |= {"seconds": total, "cpu_seconds": work, "rows": rows}
    asked.output.write_text(json.dumps(record, indent=1) + "\n")
    print(f"written: {asked.output}")
    return 1 if any(row["missing"] for row in rows) else 0


if __name__ == "__main__":
    raise SystemExit(main())
