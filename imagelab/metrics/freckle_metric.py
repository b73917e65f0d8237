"""The metric ``freckles``: three numbers of freckles a face, and the controls that say what they are worth.

    freckles/count          detected: raw detections a face, false ones included;
    freckles/spread         standard deviation of the detections a face, over all faces: real faces have many freckles
                            or none, and a model that gives every face a few keeps the mean and loses this;
    freckles/corrected      corrected for what the counter misses and invents on SHARP renders, by skin tone
                            (freckles.py);
    freckles/net            net of what the model invents: detected, less detected on a control without freckles, over
                            the response (freckle_controls.py);
    freckles/prevalence     share of freckled faces, corrected (Rogan, Gladen 1978), with limits (rogan_gladen.py);
    freckles/contrast       mean contrast of the detections: freckles fade before they are missed;
    freckles/blank          detections on copies of freckle-free faces by the model under test;
    freckles/twin           detections on images of the blank twin of this loop. Where it has a value, it is the control
                            of net; where it is missing, the copies are;
    freckles/matched        share of the freckles of real faces that is still found on them once they are as blurred,
                            noisy and pale as the images under test;
    freckles/matched_blank  detections on freckle-free real faces brought to that look;
    freckles/noise          noise of the images in grey levels, outside the skin.

How the three agree. On sharp images without inventions corrected = net. If corrected is above net, the model invents
spots (or copies of blanks carry learned freckles: see the interval of net). Under blur both are too low if the freckles
are there: their difference from the truth is the factor 1 / matched at most, and it is inside the interval of net, not
inside that of corrected, which stays the number of freckles that a sharp image with as many detections has.

Outside the calibration. The card states the range of blur, noise, contrast and saturation (against real images) for
which the counter was measured. Outside it, corrected, prevalence and net have no value and say why: a referee could
not accept a correction by a factor that was never measured. Count, spread, blank, twin, contrast, noise and the
matched null are readings, not corrections; they keep their values (matched is missing where blur lies beyond its
ruler). JPEG, which leaves noise and sharpness of edges in range, invents spots that no range tells;
``freckles/matched_blank`` does not see them either.
"""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np

from ..measurement import Measurement
from . import freckle_controls as controls
from .base import Evidence, ImageSet
from .freckle_calibration import Calibration, shipped_calibration
from .freckles import (
    FRECKLED,
    corrected_count,
    count_with_noise,
    prevalence,
    prevalence_limits,
    skin_tone,
    uncountable,
)
from .jackknife import mean_and_error, spread_and_error
from .looks import Appearance

__all__ = ["UNITS", "freckle_counts"]

UNITS = {
    "count": "freckles/face",
    "spread": "freckles/face",
    "corrected": "freckles/face",
    "net": "freckles/face",
    "prevalence": "share of faces",
    "contrast": "ln",
    "blank": "freckles/face",
    "twin": "freckles/face",
    "matched": "share of freckles",
    "matched_blank": "freckles/face",
    "noise": "grey levels",
}
"""The measurements and their units."""

_LOWER = ("blank", "twin", "matched_blank")
_NO_CONTROL = {
    "blank": "no freckle-free faces were passed through this model",
    "twin": "this loop has no blank twin",
}


def freckle_counts(evidence: Evidence) -> list[Measurement]:
    """Count the freckles of the images under test: the eleven Measurements ``freckles/...`` of this file's docstring.

    All are two-sided except blank, twin and matched_blank, for which lower is better. Trust them from about 200 faces
    on. For images of another size or without colour, the values are missing and the reason is given.
    """
    images = evidence.fake.images
    n = len(images)
    if why := uncountable(images, None, evidence.freckle_style):
        return [_row(name, n, missing=why) for name in UNITS]
    card = shipped_calibration(images.shape[-1], evidence.freckle_style)
    how = _estimators(card)
    spots, noise = count_with_noise(images, card)
    count, tone = np.array([len(each) for each in spots]), skin_tone(images, card)
    look = controls.look_against_real(evidence, card)
    beyond = "" if look is None else controls.outside(look, card.limits(), "the counter's calibration")
    matched = _matched(evidence, look, card)
    low, high = prevalence_limits(count, card)
    rows = {
        "count": _row("count", n, *mean_and_error(count)),
        "spread": _row("spread", n, *spread_and_error(count), missing="" if n > 1 else "one face does not vary"),
        "corrected": _row("corrected", n, *corrected_count(count, tone, card)),
        "net": _net(evidence, (count, tone), matched, card),
        "prevalence": _row("prevalence", n, *prevalence(count, card), low=low, high=high),
        "contrast": _contrast(spots),
        "blank": _control("blank", evidence.blank, card),
        "twin": _control("twin", evidence.twin, card),
        **_matched_rows(matched, n),
        "noise": _row("noise", n, *mean_and_error(noise)),
    }
    if beyond:
        rows |= {name: _row(name, n, missing=beyond) for name in ("corrected", "net", "prevalence")}
    return [replace(rows[name], estimator=how[name]) for name in UNITS]  # a missing one too: its floor has the same


def _matched(evidence: Evidence, look: Appearance | None, card: Calibration) -> controls.Matched:
    if look is None:
        return controls.Matched(missing="the calibration has no ruler of sharpness")
    if not math.isfinite(look.blur):
        return controls.Matched(missing="the images are more blurred than the ruler of the calibration")
    return controls.matched_null(evidence.pairs, look, card, evidence.seed)


def _matched_rows(matched: controls.Matched, n: int) -> dict[str, Measurement]:
    pairs = {"matched": matched.share, "matched_blank": matched.false_spots}
    if matched.missing:
        return {name: _row(name, n, missing=matched.missing) for name in pairs}
    return {name: _row(name, n, one.value, one.stderr, n_real=one.n) for name, one in pairs.items()}


def _net(
    evidence: Evidence, counted: tuple[np.ndarray, np.ndarray], matched: controls.Matched, card: Calibration
) -> Measurement:
    control, n = evidence.blank if evidence.twin is None else evidence.twin, len(counted[0])
    if control is None:
        return _row("net", n, missing="no control without freckles: neither a blank twin of the loop nor copied blanks")
    if why := uncountable(control.images, card):
        return _row("net", n, missing=why)
    against = controls.counted_control(control, card), skin_tone(control.images, card)
    net = controls.net_count(counted, against, evidence.twin is None, matched, card)
    return _row("net", n, net.value, net.stderr, low=net.low, high=net.high, missing=net.missing)


def _control(name: str, control: ImageSet | None, card: Calibration) -> Measurement:
    """Count the detections on faces without freckles."""
    if control is None:
        return _row(name, 0, missing=_NO_CONTROL[name])
    n = len(control)
    if why := uncountable(control.images, card):
        return _row(name, n, missing=why)
    return _row(name, n, *mean_and_error(controls.counted_control(control, card)))


def _contrast(spots: list[np.ndarray]) -> Measurement:
    """Average the contrast over all detections; its error treats a face, not a freckle, as the independent unit."""
    count = np.array([len(each) for each in spots])
    total = np.array([each[:, 3].sum() for each in spots])
    n = len(spots)
    if not count.any():
        return _row("contrast", n, missing="no freckle was found on any face")
    mean = float(total.sum() / count.sum())
    squares = float(((total - mean * count) ** 2).sum())
    stderr = math.sqrt(squares * n / (n - 1)) / int(count.sum()) if (count > 0).sum() > 1 else None
    return _row("contrast", n, mean, stderr)


def _estimators(card: Calibration) -> dict[str, str]:
    """Return how each is computed. The texts do not depend on the images: generations are compared by them."""
    pairs = ", ".join(f"({one.false_spots.value:.3f}, {one.response.value:.3f})" for one in card.by_skin)
    said = {
        "count": "raw detections",
        "spread": "standard deviation of raw detections",
        "corrected": f"(count - lambda) / R by skin tone, dark to light (lambda, R) = {pairs}, as on sharp renders",
        "net": "(count - control) / R by skin tone; control: the loop's blank twin where freckles/twin has a value, "
        "else copied blanks; the interval is systematic: freckles hidden as in freckles/matched are lost or kept",
        "prevalence": f"Rogan-Gladen, at least {FRECKLED} freckles",
        "contrast": "mean over detections",
        "blank": "raw detections on freckle-free faces",
        "twin": "raw detections on images of the loop's blank twin",
        "matched": "real faces and their twins at the blur, noise, contrast and saturation of these images: share of "
        "the freckles found before",
        "matched_blank": "raw detections on freckle-free real faces at that look",
        "noise": "MAD of the Immerkaer mask outside the skin window",
    }
    return {name: f"{card.name}: {text}" for name, text in said.items()}


def _row(
    name: str,
    n: int,
    value: float | None = None,
    stderr: float | None = None,
    *,
    low: float | None = None,
    high: float | None = None,
    n_real: int = 0,
    missing: str = "",
) -> Measurement:
    return Measurement(
        name=f"freckles/{name}",
        value=value,
        unit=UNITS[name],
        n_real=n_real,
        n_fake=n,
        stderr=stderr,
        low=low,
        high=high,
        better="lower" if name in _LOWER else "two-sided",
        missing=missing,
    )
