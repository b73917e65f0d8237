"""No metric keeps a matrix of all pairs or copies of all features: measured in a separate process."""

from __future__ import annotations

import json
import subprocess
import sys

PROGRAM = """
import json, resource
import numpy as np, torch
from imagelab.metrics import kernel, neighbours, perceptual
from imagelab.metrics.frechet import frechet_jackknife
from imagelab.metrics.memorisation import authenticity, closer_to_train
from imagelab.metrics.prdc import prdc_of

neighbours.QUERIES, neighbours.REFERENCES, kernel.BLOCK, perceptual.KEEP = 256, 1024, 512, 1 << 22

def peak():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024

def diversity_first(names):  # the peak of a process never falls, and this one has the lowest
    return sorted(names, key=lambda name: name != "diversity")

def draw(n, d):
    return [np.random.default_rng(seed).standard_normal((n, d), dtype=np.float32) for seed in (0, 1)]

instruments = {
    "frechet": lambda x, y: frechet_jackknife(x, y, seed=0),
    "kernel": kernel.kernel_distance,
    "prdc": prdc_of,
    "authenticity": lambda x, y: authenticity(y, x).value,
    "closer_to_train": lambda x, y: closer_to_train(y, x, x[::-1], seed=0).value,
    "diversity": lambda x, y: perceptual.mean_pairwise(x, "imagelab-ssl-v1"),
}
sets = {name: draw(40_000, 160) if name == "frechet" else draw(5000, 8) for name in instruments}
sets["diversity"] = [np.random.default_rng(0).integers(0, 256, (4000, 3, 32, 32), np.uint8)] * 2
for name, take in instruments.items():
    take(*(each[:1100] for each in sets[name]))  # a whole block, and all that is loaded on first use
found = {}
for name in diversity_first(instruments):
    before = peak()
    instruments[name](*sets[name])
    found[name] = peak() - before
print(json.dumps(found))
"""


def test_memory_grows_neither_with_the_pairs_nor_by_copies_of_the_features():
    done = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True, check=True)
    # MiB. All pairs in float64: 191; a copy of both sets in float64: 98; a block, or a tenth of a set: 5 or less.
    # Diversity: 150, or 4 MB a batch of images, where a small array is kept of each batch
    grown = json.loads(done.stdout)
    assert len(grown) == 6 and max(grown.values()) < 45, grown
