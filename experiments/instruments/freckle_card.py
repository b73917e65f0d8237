"""What the freckle counter finds on faces on which every freckle is known: the figures and tables of its card.

calibrate_freckles.py fits the counter and writes the card; freckles_by_skin.py measures it by skin tone.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from itertools import pairwise
from typing import Any

import numpy as np
from scipy import ndimage

from imagelab.data.faces import Faces
from imagelab.images import luma
from imagelab.metrics import freckles
from imagelab.metrics.degradations import Ghosts, blurred, compressed, noised, toned
from imagelab.metrics.freckle_calibration import Calibration, CardValue, Style, match
from imagelab.metrics.freckle_candidates import Optics, noise_levels
from imagelab.metrics.looks import MOST, readings
from imagelab.seeds import rng_at

SEED = 640_001
COUNTABLE = 6.0  # grey levels of 255 that a freckle must be darker than the same skin without it
PRESENT = 2.0  # grey levels from which a detection of a listed freckle counts as correct
MATCH = 1.5  # largest distance of a detection from its freckle, px at scale 1: half the least distance of two freckles
BLURS = (0.3, 0.4, 0.5, 0.6, 0.75, 1.0, 1.25, 1.5)
NOISES = (0.01, 0.02, 0.03, 0.04)
TONINGS = (0.5, 0.75, 1.25)  # contrast, and saturation, times those of the renders

Row = dict[str, Any]
Spoil = Callable[[np.ndarray], np.ndarray]


@dataclass(frozen=True)
class Marked:
    """Faces with the truth about their freckles.

    Attributes:
        images: uint8 [N,3,size,size], with freckles.
        twins: uint8 [N,3,size,size], the same faces without.
        present: float64 [K,6] a face: x, y, radius (px), melanin contrast, drop against the twin and luma of the skin
            (grey levels). The twin decides which freckles are visible, not the renderer's flag ``visible``: a freckle
            half under a strand of hair is flagged invisible and still darkens the image.
        freckled: bool [N], any freckle present.
        attributes: bool [N] by name.
    """

    images: np.ndarray
    twins: np.ndarray
    present: list[np.ndarray]
    freckled: np.ndarray
    attributes: dict[str, np.ndarray]

    def __len__(self) -> int:
        return len(self.images)

    def take(self, rows: np.ndarray) -> Marked:
        """Return some of the faces."""
        attributes = {name: column[rows] for name, column in self.attributes.items()}
        present = [self.present[row] for row in rows]
        return Marked(self.images[rows], self.twins[rows], present, self.freckled[rows], attributes)

    def countable(self, skin: np.ndarray) -> list[np.ndarray]:
        """Return the freckles within the window that are at least COUNTABLE darker than the skin."""
        deep = [marks[marks[:, 4] >= COUNTABLE] for marks in self.present]
        return [marks[skin[pixels(marks, len(skin))]] for marks in deep]


def render(size: int, split: Any, n: int, rate: float | None, seed: int = SEED, style: Style = "countable") -> Marked:
    """Draw faces and measure how deep each listed freckle is, against the twin."""
    sample = Faces(size=size, freckle_rate=rate, freckle_style=style).load(split, n, seed)
    assert sample.freckles is not None and sample.twins is not None  # Faces always has these attributes
    bare = 255 * luma(sample.twins)
    drop = ndimage.maximum_filter(bare - 255 * luma(sample.images), (0, 3, 3))
    present = []
    for face, marks in enumerate(sample.freckles):
        at = (face, *pixels(marks, size))
        listed = np.column_stack([marks[:, :4].astype(np.float64), drop[at], bare[at]])
        present.append(listed[listed[:, 4] >= PRESENT])
    freckled = np.array([len(marks) > 0 for marks in present])
    return Marked(sample.images, sample.twins, present, freckled, dict(sample.attributes))


def scale_of(optics: Optics) -> float:
    """Return how large the freckles are, in the unit of countable ones at 64 px; lengths of the card grow with it."""
    return optics.fine / Optics().fine


def reach(optics: Optics) -> float:
    """Return how far a detection may be from its freckle, in px."""
    return MATCH * scale_of(optics)


def pixels(marks: np.ndarray, size: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the row and the column of the pixel that holds each freckle: int [K] each."""
    whole = np.clip(np.rint(marks[:, :2]), 0, size - 1).astype(int)
    return whole[:, 1], whole[:, 0]


def on_ghosts(faces: Marked, ghosts: Ghosts, kept: int) -> Marked:
    """Replace the skin by its reconstruction from a linear model, and draw the same freckles on it."""
    twins = ghosts.through(faces.twins, kept)
    freckles_alone = faces.images.astype(np.int16) - faces.twins
    return replace(faces, twins=twins, images=np.clip(twins + freckles_alone, 0, 255).astype(np.uint8))


@dataclass(frozen=True)
class Tally:
    """The counter's results for faces and their twins, one number a face; ``met`` per countable freckle.

    ``tone`` is the skin tone of the faces as they were before they were degraded.
    """

    count: np.ndarray
    twin: np.ndarray
    right: np.ndarray
    met: list[np.ndarray]
    truth: np.ndarray
    tone: np.ndarray

    def precision(self) -> CardValue:
        """Return the share of detections that are visible freckles."""
        return CardValue.ratio(self.right, self.count)

    def recall(self) -> CardValue:
        """Return the share of countable freckles that were found."""
        return CardValue.ratio(np.array([mask.sum() for mask in self.met], float), self.truth)

    def response(self) -> CardValue:
        """Return the additional detections over the twin, per countable freckle."""
        return CardValue.ratio(self.count - self.twin, self.truth)


def tally(counter: Calibration, faces: Marked, spoil: Spoil = lambda images: images) -> Tally:
    """Count faces and twins after ``spoil``. A face without freckles is its own twin and is counted once."""
    found = freckles.count_freckles(spoil(faces.images), counter)
    count = np.array([len(spots) for spots in found], float)
    twin = count.copy()
    twin[faces.freckled] = freckles.counts(spoil(faces.twins[faces.freckled]), counter)
    truth = faces.countable(counter.skin)
    radius = reach(counter.optics)
    right = [match(a, b, radius)[0].sum() for a, b in zip(found, faces.present, strict=True)]
    met = [match(a, b, radius)[1] for a, b in zip(found, truth, strict=True)]
    number, tone = np.array([len(marks) for marks in truth], float), freckles.skin_tone(faces.images, counter)
    return Tally(count, twin, np.array(right, float), met, number, tone)


def figures(seen: Tally) -> dict[str, CardValue]:
    """Return the single figures on held-out, sharp renders."""
    freckled, called = seen.truth >= freckles.FRECKLED, seen.count >= freckles.FRECKLED
    groups = np.arange(len(seen.count)) % 20
    left = np.array([np.corrcoef(seen.count[groups != k], seen.truth[groups != k])[0, 1] for k in range(20)])
    spread = math.sqrt(19 * float(left.var()))  # jackknife over 20 groups
    return {
        "false freckles": CardValue.mean(seen.twin),
        "response": seen.response(),
        "recall": seen.recall(),
        "precision": seen.precision(),
        "count correlation": CardValue(float(np.corrcoef(seen.count, seen.truth)[0, 1]), spread, len(seen.count)),
        "sensitivity": CardValue.share(called[freckled]),
        "specificity": CardValue.share(~called[~freckled]),
        "countable freckles": CardValue.mean(seen.truth),
    }


def tables(counter: Calibration, faces: Marked, dense: Marked, ghosts: Ghosts) -> dict[str, list[Row]]:
    """Return every table of the card; ``dense`` are faces that all have freckles, for recall by kind of freckle."""
    seen, marks = tally(counter, dense), np.concatenate(dense.countable(counter.skin))
    met = np.concatenate(seen.met)
    owner = np.repeat(np.arange(len(dense)), seen.truth.astype(int))
    lumas = [0.0, 40, 70, 110, 150, 190, 255]
    tone = np.median(255 * luma(faces.twins)[:, counter.skin], axis=1)
    scale = scale_of(counter.optics)
    radius = [round(scale * edge, 2) for edge in (0, 0.8, 0.9, 1.0, 1.1, 1.3, 3)]
    card = {
        "recall by radius": _binned(marks[:, 2], met, radius, owner),
        "recall by contrast": _binned(marks[:, 3], met, [0, 0.85, 0.95, 1.1, 1.3, 2], owner),
        "recall by drop": _binned(marks[:, 4], met, [6, 10, 15, 20, 30, 45, 255], owner),
        "recall by skin luma": _binned(marks[:, 5], met, lumas, owner),
    }
    plain = tally(counter, faces)
    card["false freckles by skin luma"] = _binned(tone, plain.twin, lumas, np.arange(len(faces)))
    kinds = [(name, mask) for name, mask in faces.attributes.items() if mask.sum() >= 10]
    invented = {name: CardValue.mean(plain.twin[mask]) for name, mask in kinds}
    card["false freckles by attribute"] = [{"attribute": name, **asdict(one)} for name, one in invented.items()]
    card["linearity"] = _linearity(plain, counter)
    families = {
        "blur": [({"sigma": round(b * scale, 3)}, lambda x, b=b: blurred(x, b * scale)) for b in BLURS],
        "noise": [({"sd": sd, "kind": "white"}, _noise(sd, "white")) for sd in NOISES]
        + [({"sd": 0.02, "kind": kind}, _noise(0.02, kind)) for kind in ("grey", "clumped")],
        "jpeg": [({"quality": q}, lambda x, q=q: compressed(x, q)) for q in (95, 85, 75)],
        "image contrast": [({"contrast": c}, lambda x, c=c: toned(x, c, 1)) for c in TONINGS],
        "saturation": [({"saturation": c}, lambda x, c=c: toned(x, 1, c)) for c in TONINGS],
    }
    none = {"blur": {"sigma": 0.0}, "noise": {"sd": 0.0, "kind": "white"}, "jpeg": {"quality": 100}}
    none |= {"image contrast": {"contrast": 1.0}, "saturation": {"saturation": 1.0}}
    for family, members in families.items():
        taken = [(none[family], plain), *((label, tally(counter, faces, spoil)) for label, spoil in members)]
        card[f"recall by {family}"] = [{**label, **asdict(one.recall())} for label, one in taken]
        card[f"false freckles by {family}"] = [{**label, **asdict(CardValue.mean(one.twin))} for label, one in taken]
        if family == "blur":
            card["blur ruler"] = [{**label, **asdict(CardValue.ratio(one.count, plain.count))} for label, one in taken]
    card.update(_on_ghosts(counter, faces, ghosts))
    read = {sd: noise_levels(_noise(sd, "white")(faces.images), counter.skin) for sd in (0.0, *NOISES)}
    card["noise as read"] = [{"sd": sd, **asdict(CardValue.mean(levels))} for sd, levels in read.items()]
    return {**card, "sharpness by blur": _sharpness(counter, faces)}


def _sharpness(counter: Calibration, faces: Marked) -> list[Row]:
    """Return the sharpness (looks.py) of blurred faces against that of sharp ones."""
    scale, rows, sharp = scale_of(counter.optics), [], 1.0
    for sigma in (0.0, *BLURS):
        ratio, error = readings(blurred(faces.images, sigma * scale), counter.skin).sharpness()
        sharp = ratio if sigma == 0 else sharp
        value = CardValue(ratio / sharp, error / sharp, min(len(faces), MOST))
        rows.append({"sigma": round(sigma * scale, 3), **asdict(value)})
    return rows


def _noise(sd: float, kind: str) -> Spoil:
    return lambda images: noised(images, sd, rng_at(SEED, f"calibrate/noise/{kind}"), kind)


def _on_ghosts(counter: Calibration, faces: Marked, ghosts: Ghosts) -> dict[str, list[Row]]:
    """Return what is missed and invented on reconstructions from a linear model, by its axes, and on faces it draws."""
    axes = [k for k in (32, 64, 128, 256, 512) if k < len(ghosts.axes)]
    seen = {k: tally(counter, on_ghosts(faces, ghosts, k)) for k in axes}
    drawn = {k: freckles.counts(ghosts.drawn(len(faces), k, rng_at(SEED, "calibrate/ghosts")), counter) for k in axes}
    return {
        "recall by ghosts": [{"axes": k, **asdict(one.recall())} for k, one in seen.items()],
        "false freckles by ghosts": [{"axes": k, **asdict(CardValue.mean(one.twin))} for k, one in seen.items()],
        "false freckles on drawn ghosts": [{"axes": k, **asdict(CardValue.mean(n))} for k, n in drawn.items()],
    }


def _binned(key: np.ndarray, value: np.ndarray, edges: list[float], owner: np.ndarray) -> list[Row]:
    """Average ``value`` in bins of ``key``; the error is that between faces; ``owner`` is the face of each value."""
    rows = []
    for low, high in pairwise(edges):
        inside = (key >= low) & (key < high)
        if inside.sum() > 1:
            figure = CardValue.ratio(np.bincount(owner[inside], value[inside]), np.bincount(owner[inside]))
            rows.append({"low": low, "high": high, **asdict(figure)})
    return rows


def _linearity(seen: Tally, counter: Calibration) -> list[Row]:
    """Return the corrected count in bins of the true count, from none to many."""
    rows = []
    for low, high in ((0, 0), (1, 3), (4, 6), (7, 9), (10, 14), (15, 99)):
        inside = (seen.truth >= low) & (seen.truth <= high)
        if inside.sum() > 1:
            value, error = freckles.corrected_count(seen.count[inside], seen.tone[inside], counter)
            truth = round(float(seen.truth[inside].mean()), 3)
            rows.append({"truth": truth, "value": value, "stderr": error, "n": int(inside.sum())})
    return rows
