"""The freckle counter: how many freckles each face has, with the error of the counting itself.

Freckles are the first detail that an image model loses: they are small, sharp, faint, and on few faces. A distance
between whole images hardly changes when they disappear, and a blob detector finds just as many spots in noise. This
counter was calibrated on rendered faces on which every freckle is known (freckle_calibration.py). It therefore knows
how many freckles it misses and how many false ones it detects:

    corrected = (count - lambda) / R.                                                          (1)

lambda is the number of spots it detects on a face without freckles. R is the number of additional detections for each
countable freckle. A freckle is countable if it lies inside the skin window and makes the skin at least 6 of 255 grey
levels darker than in the same face without freckles.

What it does not see: freckles outside the skin window (the middle of an aligned face), freckles of less than 6 levels,
and whether a model's images differ from everything that it was calibrated on. A blurred freckle is missed, it is not
counted elsewhere (see the blur ruler). Noise and ghosts of other faces produce false freckles only slowly (see the
tables of false freckles by noise and by ghosts, and ``freckles/noise``). ``freckles/blank`` shows how many a model's
own artefacts add. On anything but aligned, rendered faces the result is a density of dark spots, not a count of
freckles.

References:
    Estimating the prevalence of a disease from a screening test (Rogan, Gladen 1978),
    doi:10.1093/oxfordjournals.aje.a112510.
"""

from __future__ import annotations

import math
import os
from concurrent.futures import ThreadPoolExecutor

import numpy as np

from ..images import check_images
from ..measurement import Measurement
from .base import Evidence
from .freckle_calibration import Calibration, blur_ruler, calibrated_sizes, calibration_card, shipped_calibration
from .freckle_candidates import find_candidates

__all__ = [
    "FRECKLED",
    "blur_ruler",
    "calibration_card",
    "corrected_count",
    "count_freckles",
    "counts",
    "freckle_counts",
    "prevalence",
]

FRECKLED = 3
"""A face counts as freckled if it has at least this many freckles."""

_CHUNK = 128  # images at a time: they need a few tens of megabytes


def count_freckles(images: np.ndarray, calibration: Calibration | None = None) -> list[np.ndarray]:
    """Find the freckles of each face.

    Args:
        images: uint8 [N,3,size,size], aligned faces.
        calibration: the calibrated counter; the shipped one of this size if None.

    Returns:
        N arrays float64 [K,4]: x px, y px (0 is the centre of the first pixel), score (probability of a freckle,
        threshold..1), contrast (ln of linear green, skin over spot: .1 is about a tenth darker).

    Raises:
        ValueError: if the images are not RGB of the size that the counter is calibrated for.
    """
    check_images(images)
    refusal = _refusal(images, calibration)
    if refusal:
        raise ValueError(refusal)
    return _count(images, calibration or shipped_calibration(images.shape[-1]))[0]


def _count(images: np.ndarray, calibration: Calibration) -> tuple[list[np.ndarray], np.ndarray]:
    """Return the freckles of each face, and the noise of each image in grey levels: float64 [N]."""
    chunks = [images[start : start + _CHUNK] for start in range(0, len(images), _CHUNK)]
    with ThreadPoolExecutor(os.cpu_count()) as workers:  # scipy's filters release the interpreter lock
        counted = list(workers.map(lambda chunk: _count_chunk(chunk, calibration), chunks))
    return [rows for spots, _ in counted for rows in spots], np.concatenate([noise for _, noise in counted])


def _count_chunk(images: np.ndarray, calibration: Calibration) -> tuple[list[np.ndarray], np.ndarray]:
    spots = find_candidates(images, calibration.skin, calibration.optics)
    score = calibration.trees.probability(spots.features)
    kept = score >= calibration.threshold
    rows = np.stack([spots.x, spots.y, score, spots.contrast], axis=1)[kept]
    ends = np.cumsum(np.bincount(spots.image[kept], minlength=len(images)))
    return np.split(rows, ends[:-1]), spots.noise


def counts(images: np.ndarray, calibration: Calibration | None = None) -> np.ndarray:
    """Return the raw number of freckles found on each face: uint8 [N,3,size,size] -> int64 [N]."""
    return np.array([len(spots) for spots in count_freckles(images, calibration)], np.int64)


def corrected_count(count: np.ndarray, calibration: Calibration | None = None) -> tuple[float, float | None]:
    """Return the mean number of countable freckles a face by equation (1), and its standard error.

    The error includes the spread over faces and the calibration's own errors of lambda and R (delta method). Those two
    were estimated on the same faces and are negatively correlated; the correlation is left out, which makes the error a
    little too large. Errors of lambda and R are common to everything that is counted with one calibration: the
    difference between two generations is known better than their errors suggest. If the count is below lambda, the
    result is negative and is not clipped: clipping at zero would bias every average of it.

    Args:
        count: int [N], raw counts.
        calibration: the calibrated counter; the shipped one if None.

    Returns:
        (mean, standard error); the error is None for a single face.
    """
    figures = (calibration or shipped_calibration()).figures
    false_spots, response = figures["false freckles"], figures["response"]
    value = (float(np.mean(count)) - false_spots.value) / response.value
    spread = _error(count)
    if spread is None:
        return value, None
    variance = spread**2 + false_spots.stderr**2 + (value * response.stderr) ** 2
    return value, math.sqrt(variance) / response.value


def prevalence(count: np.ndarray, calibration: Calibration | None = None) -> tuple[float, float]:
    """Return the share of freckled faces, corrected for the errors of counting, and its standard error.

    Rogan and Gladen: p = (q + Sp - 1) / (Se + Sp - 1), with q the share of faces with at least :data:`FRECKLED`
    detections, and Se and Sp the sensitivity and specificity for faces with at least so many countable freckles. The
    error includes those of q, Se and Sp. The result is not clipped to 0..1.

    Args:
        count: int [N], raw counts.
        calibration: the calibrated counter; the shipped one if None.
    """
    figures = (calibration or shipped_calibration()).figures
    sensitivity, specificity = figures["sensitivity"], figures["specificity"]
    share = float(np.mean(np.asarray(count) >= FRECKLED))
    youden = sensitivity.value + specificity.value - 1
    value = (share + specificity.value - 1) / youden
    likely = (float(np.sum(np.asarray(count) >= FRECKLED)) + 0.5) / (len(count) + 1)  # an error above 0 also for 0 of n
    variance = likely * (1 - likely) / len(count)
    variance += (value * sensitivity.stderr) ** 2 + ((1 - value) * specificity.stderr) ** 2
    return value, math.sqrt(variance) / youden


def freckle_counts(evidence: Evidence) -> list[Measurement]:
    """Count the freckles of the images under test: the six Measurements ``freckles/...``.

    ``count``: raw detections a face; ``corrected``: countable freckles a face; ``prevalence``: share of freckled faces;
    ``contrast``: mean contrast of the detections (it measures fading; freckles that fade below the limit of detection
    no longer contribute to it); ``blank``: raw detections on faces that had no freckle (false freckles of counter and
    model together); ``noise``: noise of the images in grey levels, outside the skin. All are two-sided except noise and
    blank, for which lower is better. Trust them from about 200 faces on. For images of another size or without colour,
    the values are missing and the reason is given.
    """
    images = evidence.fake.images
    refusal = _refusal(images, None)
    if refusal:
        return [_row(name, len(images), None, missing=refusal) for name in _UNITS]
    calibration = shipped_calibration(images.shape[-1])
    freckles, noise = _count(images, calibration)
    count = np.array([len(spots) for spots in freckles])
    n, how = len(images), _estimators(calibration)
    return [
        _row("count", n, float(count.mean()), _error(count), how["count"]),
        _row("corrected", n, *corrected_count(count, calibration), how["corrected"]),
        _row("prevalence", n, *prevalence(count, calibration), how["prevalence"]),
        _contrast(freckles, how["contrast"]),
        _blank(evidence, calibration, how["blank"]),
        _row("noise", n, float(noise.mean()), _error(noise), how["noise"]),
    ]


_UNITS = {
    "count": "freckles/face",
    "corrected": "freckles/face",
    "prevalence": "share of faces",
    "contrast": "ln",
    "blank": "freckles/face",
    "noise": "grey levels",
}


def _refusal(images: np.ndarray, calibration: Calibration | None) -> str:
    """Return why these images cannot be counted, "" if they can."""
    _, channels, height, width = images.shape
    got = f"got {channels} channel{'s' * (channels > 1)} of {height} x {width} px"
    if calibration is not None and (channels, height, width) != (3, calibration.size, calibration.size):
        return f"this freckle counter is calibrated for {calibration.size} px RGB faces; {got}"
    if calibration is None and (channels != 3 or height != width or height not in calibrated_sizes()):
        sizes = " or ".join(map(str, calibrated_sizes()))
        return f"the freckle counter is calibrated for {sizes} px RGB faces; {got}"
    return ""


def _error(values: np.ndarray) -> float | None:
    """Return the standard error of the mean over faces, None for a single face."""
    return float(np.std(values, ddof=1) / math.sqrt(len(values))) if len(values) > 1 else None


def _estimators(calibration: Calibration) -> dict[str, str]:
    counter = f"freckles-{calibration.size}@{calibration.digest[:8]}"
    false_spots, response = calibration.figures["false freckles"], calibration.figures["response"]
    return {
        "count": f"{counter}: raw detections",
        "corrected": f"{counter}: (count - {false_spots.value:.3f}) / {response.value:.3f}, both as on sharp renders",
        "prevalence": f"{counter}: Rogan-Gladen, at least {FRECKLED} freckles",
        "contrast": f"{counter}: mean over detections",
        "blank": f"{counter}: raw detections on freckle-free faces",
        "noise": f"{counter}: MAD of the Immerkaer mask outside the skin window",
    }


def _row(
    name: str, n: int, value: float | None, stderr: float | None = None, estimator: str = "", *, missing: str = ""
) -> Measurement:
    return Measurement(
        name=f"freckles/{name}",
        value=value,
        unit=_UNITS[name],
        n_fake=n,
        stderr=stderr,
        better="lower" if name in ("blank", "noise") else "two-sided",
        estimator=estimator,
        missing=missing,
    )


def _contrast(freckles: list[np.ndarray], estimator: str) -> Measurement:
    """Average the contrast over all detections; its error treats a face, not a freckle, as the independent unit."""
    count = np.array([len(spots) for spots in freckles])
    total = np.array([spots[:, 3].sum() for spots in freckles])
    if not count.any():
        return _row("contrast", len(freckles), None, estimator=estimator, missing="no freckle was found on any face")
    mean, n = float(total.sum() / count.sum()), len(freckles)
    squares = float(((total - mean * count) ** 2).sum())
    stderr = math.sqrt(squares * n / (n - 1)) / int(count.sum()) if (count > 0).sum() > 1 else None
    return _row("contrast", n, mean, stderr, estimator)


def _blank(evidence: Evidence, calibration: Calibration, estimator: str) -> Measurement:
    """Count the detections on faces without freckles."""
    if evidence.blank is None:
        why = "no freckle-free faces were passed through this model"
        return _row("blank", 0, None, estimator=estimator, missing=why)
    images = evidence.blank.images
    refusal = _refusal(images, calibration)
    if refusal:
        return _row("blank", len(images), None, estimator=estimator, missing=refusal)
    count = counts(images, calibration)
    return _row("blank", len(images), float(count.mean()), _error(count), estimator)
