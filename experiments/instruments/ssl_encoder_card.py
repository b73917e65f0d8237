"""The degradation ladder of imagelab-ssl-v1: how far each step of a known loss moves distances in its features.

Imported by experiments/instruments/train_ssl_encoder.py, whose ``--check`` runs it. A ladder is one kind of loss in
increasing steps; its null is the same distance between disjoint sets of real faces. None of these faces was a training
image of the encoder: the ladder has seeds of its own.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Any

import numpy as np

from imagelab.data.base import Sample
from imagelab.data.faces import Faces
from imagelab.data.textures import Textures
from imagelab.metrics import ssl_encoder
from imagelab.metrics.base import Evidence, ImageSet
from imagelab.metrics.degradations import blurred, compressed, noised
from imagelab.metrics.features import CONTROLS, feature_pair
from imagelab.metrics.frechet import frechet_distance
from imagelab.metrics.kernel import kernel_distance
from imagelab.seeds import rng_at

SEED = 811_900
N, SETS = 1000, 4  # images a set, and sets of real faces, whose pairs are the null
STEEP = 3.0  # times the null: what the last step of a ladder must exceed


def without_freckles(faces: Sample, share: float, rng: np.random.Generator) -> np.ndarray:
    """Return the images with a share of each face's freckles replaced by the pixels of its twin."""
    assert faces.twins is not None and faces.freckles is not None
    if share == 1:
        return faces.twins
    out = faces.images.copy()
    rows, columns = np.mgrid[: out.shape[-2], : out.shape[-1]]
    for row, marks in enumerate(faces.freckles):
        for x, y, radius, *_ in marks[rng.permutation(len(marks))[: round(share * len(marks))]]:
            disc = np.hypot(columns - x, rows - y) < 2 * radius + 0.5
            out[row][:, disc] = faces.twins[row][:, disc]
    return out


def fewer(faces: Sample, group: np.ndarray, share: float) -> np.ndarray:
    """Return N of the images; a share of those in the group is left out."""
    dropped = np.flatnonzero(group)
    return faces.images[np.setdiff1d(np.arange(len(faces)), dropped[: round(share * len(dropped))])[:N]]


def damage(base: np.ndarray) -> dict[str, dict[str, np.ndarray]]:
    """Return the ladders for images of any kind: the images of each step, weakest first."""
    rng = rng_at(SEED, "trunk/ladder")
    return {
        "blur, sigma px": {f"{s}": blurred(base, s) for s in (0.25, 0.5, 0.75, 1.0)},
        "white noise, sd": {f"{s}": noised(base, s, rng) for s in (0.01, 0.02, 0.04)},
        "jpeg, quality": {f"{q}": compressed(base, q) for q in (95, 85, 70, 50)},
    }


def losses(faces: Sample) -> dict[str, dict[str, np.ndarray]]:
    """Return the ladders for faces only: freckles and groups of faces lost; N images a step, weakest first."""
    rng, has = rng_at(SEED, "trunk/losses"), faces.attributes
    groups = {
        "freckled faces dropped": has["freckled"],
        "afro and curls dropped": has["hair_afro"] | has["hair_curls"],
        "long and wavy dropped": has["hair_long"] | has["hair_wavy"],
    }
    shares = (0.25, 0.5, 0.75, 1.0)
    ladders = {name: {f"{s:.0%}": fewer(faces, group, s) for s in shares} for name, group in groups.items()}
    return {"freckles gone": {f"{s:.0%}": without_freckles(faces, s, rng)[:N] for s in shares}} | ladders


def climb(space: str, sets: list[np.ndarray], ladders: dict[str, dict[str, np.ndarray]]) -> dict[str, Any]:
    """Measure a space: its null, and FD and KD of every step with FD's ratio to the null."""
    known = [ImageSet(each) for each in sets]

    def distances(real: ImageSet, fake: ImageSet) -> tuple[float, float]:
        pair = feature_pair(Evidence(real, fake), space)
        return frechet_distance(*pair), kernel_distance(*pair)[0]

    null = np.array([distances(a, b) for a, b in itertools.combinations(known, 2)])
    mean, sd = null.mean(axis=0), null.std(axis=0, ddof=1)
    found: dict[str, Any] = {
        "null": {name: [_short(m), _short(s)] for name, m, s in zip(("FD", "KD"), mean, sd, strict=True)}
    }
    for name, steps in ladders.items():
        climbed = {step: distances(known[0], ImageSet(images)) for step, images in steps.items()}
        found[name] = {
            step: {"FD": _short(fd), "KD": _short(kd), "FD/null": round(fd / mean[0], 2)}
            for step, (fd, kd) in climbed.items()
        }
    return found


def _short(value: float) -> float:
    return float(f"{value:.4g}")


def measured(spaces: Sequence[str] = (ssl_encoder.NAME, *CONTROLS)) -> dict[str, Any]:
    """Measure every ladder in the encoder's and in random features: faces at two rates of freckles, photographs."""
    cases: dict[str, tuple[Faces | Textures, int]] = {
        "faces, 27 % freckled": (Faces(size=64), SEED),
        "faces, 60 % freckled": (Faces(size=64, freckle_rate=0.6), SEED + 50),
        "grass, gravel, brick": (Textures(size=64), SEED),
    }
    found: dict[str, Any] = {}
    for title, (recipe, first) in cases.items():
        split = "heldout" if isinstance(recipe, Faces) else "train"
        samples = [recipe.load(split, N + N // 2 * (k == SETS - 1), first + k) for k in range(SETS)]
        ladders = damage(samples[-1].images[:N])
        if isinstance(recipe, Faces):
            ladders = (ladders if recipe.freckle_rate is None else {}) | losses(samples[-1])
        sets = [sample.images[:N] for sample in samples]
        found[title] = {space: climb(space, sets, ladders) for space in spaces}
    return found


def verdicts(found: dict[str, Any], space: str) -> list[str]:
    """Return for each ladder of a space whether it rises, and its last step in units of the null."""
    lines = []
    for faces, spaces in found.items():
        for name, steps in spaces[space].items():
            if name == "null":
                continue
            climbed = [step["FD/null"] for step in steps.values()]
            rises = all(a <= b for a, b in itertools.pairwise(climbed))
            verdict = ("rises" if rises else "DOES NOT RISE") + ("" if climbed[-1] > STEEP else ", NOT SEEN")
            lines.append(f"{space:16} {faces:22} {name:24} {' '.join(f'{v:7.2f}' for v in climbed)}   {verdict}")
    return lines
