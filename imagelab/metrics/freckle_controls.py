"""Freckles net of what a model invents, and what the images hide: two controls for the freckle counter.

The counter's own misses and inventions are known from sharp renders (freckles.py). Two more effects are the model's:
it hides freckles (blur, noise, pale colours), and it invents some. Each has a control.

Matched null. Real faces and their freckle-free twins are brought to the look of the images under test (looks.py), and
counted anew. With c the counts of faces and b those of their twins, after (') and before, over the same faces,

    m = sum((c' - b') / R_s) / sum((c - b) / R_s)                                              (1)

is the share of the freckles found that would still be found if nothing had happened to these faces but this blur,
noise, contrast and saturation; mean(b') are the false freckles that the look alone produces. A count that falls further
than m has lost freckles, not sharpness.

Net. A control without freckles, d, has passed through the model: the images of the blank twin of this loop (a chain
that was trained on the freckle-free twins of the same faces), else copies of freckle-free faces by the model under
test:

    net = mean(c / R_s) - mean(d / R_s).                                                       (2)

What cannot be known. Whether a freckle that blur hides is there has no answer in the images: (2) counts it as lost,
net / m counts it as kept. And copies of freckle-free faces are no pure control: a model trained on freckled faces may
put a freckle that it has learned on them, which (2) subtracts as an invention. The interval of net therefore contains
every reading, with the error of each: (2); net / m; and, with copies as the control, what the look alone explains,
(mean(c / R_s) - mean(b' / R_s)) / m. It is a systematic interval and much wider than 1.96 errors where images are
blurred. If m is below .1, or within two errors of 0, the images say nothing and net is missing.

Without pairs of real faces and twins, m is 1 and lambda_s is used in the place of b'.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from ..measurement import t95
from .base import Evidence, ImageSet
from .freckle_calibration import Calibration, CardValue
from .freckles import Corrected, corrected_count, counts, skin_tone
from .jackknife import mean_and_error
from .looks import Appearance, brought_to, look_of, readings_of

__all__ = ["Matched", "Net", "counted_control", "look_against_real", "matched_null", "net_count", "outside"]

LEAST_SHARE = 0.1
LEAST_PAIRS = 20
"""Freckled faces among the pairs from which on the share m is measured."""


_ALL, _NONE = CardValue(1.0, 0.0, 0), CardValue(0.0, 0.0, 0)


@dataclass(frozen=True)
class Matched:
    """The matched null.

    Attributes:
        share: m, equation (1), with its error: of the faces, and of the blur that they were brought to.
        false_spots: mean number of detections on the twins, after.
        false_weighted: the same divided by the response of each skin, as in equation (2).
        missing: the reason why there is none (m is 1 then, and nothing false); "" for none.
    """

    share: CardValue = _ALL
    false_spots: CardValue = _NONE
    false_weighted: CardValue = _NONE
    missing: str = ""


def look_against_real(evidence: Evidence, calibration: Calibration) -> Appearance | None:
    """Return the look of the images under test against the reference; None for a card of format 1, without ruler."""
    if "sharpness by blur" not in calibration.tables:
        return None
    ruler = [(row["sigma"], row["value"]) for row in calibration.tables["sharpness by blur"]]
    fake, real = (readings_of(each, calibration.skin) for each in (evidence.fake, evidence.real))
    return look_of(fake, real, np.array(ruler))


def outside(look: Appearance, limits: Mapping[str, tuple[float, float]], what: str) -> str:
    """Return in words which properties of the images lie outside the range of a calibration, "" for none.

    Args:
        look: of the images.
        limits: (least, most) of each property of a look; blur and noise have no least.
        what: whose range it is, in words.
    """
    units = {"blur": " px", "noise": " grey levels", "contrast": " of real", "saturation": " of real"}
    found = []
    for name, (low, high) in limits.items():
        value = getattr(look, name)
        if value > high or (value < low and name in ("contrast", "saturation")):
            stated = f"{value:.2f}" if math.isfinite(value) else f"more than {high:g}"
            found.append(f"{name} {stated}{units[name]} (calibrated {low:.2g} to {high:.3g})")
    return f"outside {what}: {'; '.join(found)}" if found else ""


def matched_null(
    pairs: tuple[ImageSet, ImageSet] | None, look: Appearance, calibration: Calibration, seed: int
) -> Matched:
    """Bring real faces and their twins to a look, count both, and compare with the counts before.

    Args:
        pairs: real faces, and the same faces without freckles; None for no such pairs.
        look: of the images under test, with a finite blur.
        calibration: the calibrated counter, of the size of the pairs.
        seed: of the noise that is added.
    """
    if pairs is None:
        return Matched(missing="no pairs of real faces with and without freckles are known")
    faces, twins = (images.images for images in pairs)
    differ = np.flatnonzero((faces != twins).any(axis=(1, 2, 3)))
    if len(differ) < LEAST_PAIRS:
        return Matched(missing=f"{len(differ)} freckled faces among the pairs; at least {LEAST_PAIRS} are needed")
    tone = skin_tone(twins, calibration)
    bare = counts(brought_to(look, twins, calibration.skin, seed), calibration)
    full = counts(brought_to(look, faces, calibration.skin, seed)[differ], calibration)
    before = _found_before(pairs, differ, calibration)
    after = _over_response(full - bare[differ], tone[differ], calibration)
    share = CardValue.ratio(after, _over_response(before, tone[differ], calibration))
    error = math.hypot(share.stderr, _slope(calibration, look.blur) * look.blur_error)
    false = CardValue.mean(bare.astype(np.float64))
    weighted = CardValue.mean(_over_response(bare, tone, calibration))
    return Matched(CardValue(share.value, error, len(differ)), false, weighted)


def counted_control(images: ImageSet, calibration: Calibration) -> np.ndarray:
    """Return the raw number of freckles found on each face of a control: uint8 [N,3,size,size] -> int64 [N].

    It is kept in the memory of the set, and on disk where the set keeps features: a blank twin is the control of every
    chain of a loop.
    """
    slot = f"freckles {calibration.digest}"
    return images.kept(
        slot, lambda: _address(calibration, images), "count", (len(images),), lambda: counts(images.images, calibration)
    )


def _address(calibration: Calibration, *sets: ImageSet) -> str:
    """Return the name under which what is counted in these sets is kept on disk."""
    parts = " ".join([calibration.digest, *(images.digest for images in sets)])
    return f"freckles-{hashlib.sha256(parts.encode()).hexdigest()[:16]}"


def _found_before(pairs: tuple[ImageSet, ImageSet], rows: np.ndarray, calibration: Calibration) -> np.ndarray:
    """Return c - b of the pairs as they are, float64; kept where the pairs keep features, as generations share it."""

    def found() -> np.ndarray:
        full, bare = (counts(images.images[rows], calibration) for images in pairs)
        return (full - bare).astype(np.float64)

    slot = f"freckles found {calibration.digest} {pairs[1].digest}"
    return pairs[0].kept(slot, lambda: _address(calibration, *pairs), "found", (len(rows),), found)


def _over_response(count: np.ndarray, tone: np.ndarray, calibration: Calibration) -> np.ndarray:
    return Corrected.of(count, tone, calibration, subtract=False).values


def _slope(calibration: Calibration, sigma: float) -> float:
    """Return how steeply the share of freckles found falls with blur, per px, from the blur ruler of the card."""
    rows = calibration.tables["blur ruler"]
    marks, left = [row["sigma"] for row in rows], [row["value"] for row in rows]
    step = 0.1 * calibration.size / 64
    return float(abs(np.interp(sigma + step, marks, left) - np.interp(max(sigma - step, 0), marks, left)) / (2 * step))


@dataclass(frozen=True)
class Net:
    """Freckles a face net of what the control has.

    Attributes:
        value: equation (2).
        stderr: its error: faces, control, and calibration; None for a single face.
        low: lower end of the systematic interval; None without an error.
        high: its upper end.
        missing: the reason why there is none; "" for none.
    """

    value: float | None = None
    stderr: float | None = None
    low: float | None = None
    high: float | None = None
    missing: str = ""


def net_count(
    counted: tuple[np.ndarray, np.ndarray],
    control: tuple[np.ndarray, np.ndarray],
    copied: bool,
    matched: Matched,
    calibration: Calibration,
) -> Net:
    """Return the net count with the interval that contains every reading.

    Args:
        counted: raw counts and skin tones of the images under test, [N] each.
        control: those of the control without freckles, [M] each.
        copied: whether the control are copies of freckle-free faces, not images of the blank twin of the loop.
        matched: the matched null; m is 1 where it is missing.
        calibration: the calibrated counter.
    """
    share = matched.share
    if share.value < LEAST_SHARE or share.value < 2 * share.stderr:
        return Net(
            missing=f"real faces brought to this look keep {share.value:.2f} of their freckles: too few to count"
        )
    images, blank = (Corrected.of(*each, calibration, subtract=False) for each in (counted, control))
    (mean, spread), (invented, control_spread) = mean_and_error(images.values), mean_and_error(blank.values)
    if spread is None or control_spread is None:
        return Net(mean - invented)
    net = mean - invented
    error = math.hypot(spread, control_spread, float(np.linalg.norm((images.parts - blank.parts) * images.relative)))
    readings = [(net, error), _over(net, error, share)]
    if copied and matched.missing:
        value, stated = corrected_count(*counted, calibration)
        readings.append((value, stated or 0.0))
    elif copied:
        rest = math.hypot(spread, matched.false_weighted.stderr, images.card_error)
        readings.append(_over(mean - matched.false_weighted.value, rest, share))
    half = t95(None)
    low, high = min(v - half * e for v, e in readings), max(v + half * e for v, e in readings)
    return Net(net, error, low, high)


def _over(value: float, error: float, share: CardValue) -> tuple[float, float]:
    """Return value / m and its error."""
    return value / share.value, math.hypot(error / share.value, value * share.stderr / share.value**2)
