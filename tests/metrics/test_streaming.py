"""No metric keeps a matrix of all pairs or copies of all features: measured in a separate process."""

from __future__ import annotations

import json
import subprocess
import sys

PROGRAM = """
import json, resource
import numpy as np, torch
from imagelab.metrics import kernel, neighbours
from imagelab.metrics.frechet import frechet_jackknife
from imagelab.metrics.memorisation import authenticity, closer_to_train
from imagelab.metrics.prdc import prdc_of

neighbours.QUERIES, neighbours.REFERENCES, kernel.BLOCK = 256, 1024, 512

def peak():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024

def draw(n, d):
    return [np.random.default_rng(seed).standard_normal((n, d), dtype=np.float32) for seed in (0, 1)]

instruments = {
    "frechet": lambda x, y: frechet_jackknife(x, y, seed=0),
    "kernel": kernel.kernel_distance,
    "prdc": prdc_of,
    "authenticity": lambda x, y: authenticity(y, x),
    "closer_to_train": lambda x, y: closer_to_train(y, x, x[::-1], seed=0),
}
sets = {name: draw(40_000, 160) if name == "frechet" else draw(5000, 8) for name in instruments}
for name, take in instruments.items():
    take(*(each[:1100] for each in sets[name]))  # a whole block, and all that is loaded on first use
found = {}
for name, take in instruments.items():
    before = peak()
    take(*sets[name])
    found[name] = peak() - before
print(json.dumps(found))
"""


def test_memory_grows_neither_with_the_pairs_nor_by_copies_of_the_features():
    done = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True, check=True)
    # MiB. All pairs in float64: 191; a copy of both sets in float64: 98; a block, or a tenth of a set: 5 or less
    grown = json.loads(done.stdout)
    assert len(grown) == 5 and max(grown.values()) < 45, grown
