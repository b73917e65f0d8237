"""The freckle counter: how many freckles each face has, with the error of the counting itself.

Freckles are the first detail that an image model loses: they are small, sharp, faint, and on few faces. A distance
between whole images hardly changes when they disappear, and a blob detector finds just as many spots in noise. This
counter was calibrated on rendered faces on which every freckle is known (freckle_calibration.py). It therefore knows
how many freckles it misses and how many false ones it detects:

    corrected = mean over faces of (count - lambda_s) / R_s, s the skin tone of the face.      (1)

lambda_s is the number of spots it detects on a face without freckles. R_s is the number of additional detections for
each countable freckle. A freckle is countable if it lies inside the skin window and makes the skin at least 6 of 255
grey levels darker than in the same face without freckles. Both hang on the skin tone: at 64 px R is .58 on dark skin
(median luma of the window below 90), .81 up to 150 and .91 above. One R for all skins was 7 % wrong where 60 % of the
faces are freckled, as more of them are dark then. The number of freckles on a face matters less: on dark skin R falls
from .62 (1 to 5 freckles) to .56 (15 to 24), on light skin from .92 to .90; crowding is not modelled, and the error
of R holds its spread over freckle rates.

What it does not see: freckles outside the skin window (the middle of an aligned face), freckles of less than 6 levels,
and whether a model's images differ from everything that it was calibrated on. A blurred freckle is missed, it is not
counted elsewhere (see the blur ruler). Noise and ghosts of other faces produce false freckles only slowly (see the
tables of false freckles by noise and by ghosts, and ``freckles/noise``). What is missed because images are blurred or
pale, and what a model invents, is in freckle_controls.py. On anything but aligned, rendered faces the result is a
density of dark spots, not a count of freckles.

References:
    Estimating the prevalence of a disease from a screening test (Rogan, Gladen 1978),
    doi:10.1093/oxfordjournals.aje.a112510.
"""

from __future__ import annotations

import math
import os
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np

from ..images import check_images, luma
from .freckle_calibration import (
    Calibration,
    CardValue,
    Style,
    blur_ruler,
    calibrated_sizes,
    calibration_card,
    not_calibrated,
    shipped_calibration,
)
from .freckle_candidates import find_candidates
from .jackknife import mean_and_error
from .rogan_gladen import corrected, corrected_limits

__all__ = [
    "FRECKLED",
    "Corrected",
    "blur_ruler",
    "calibration_card",
    "corrected_count",
    "count_freckles",
    "count_with_noise",
    "counts",
    "prevalence",
    "prevalence_limits",
    "skin_tone",
    "uncountable",
]

FRECKLED = 3
"""A face counts as freckled if it has at least this many freckles."""

_CHUNK = 128  # images at a time: they need a few tens of megabytes


def count_freckles(
    images: np.ndarray, calibration: Calibration | None = None, style: Style = "countable"
) -> list[np.ndarray]:
    """Find the freckles of each face.

    Args:
        images: uint8 [N,3,size,size], aligned faces.
        calibration: the calibrated counter; the shipped one of this size and ``style`` if None.
        style: of the freckles.

    Returns:
        N arrays float64 [K,4]: x px, y px (0 is the centre of the first pixel), score (probability of a freckle,
        threshold..1), contrast (ln of linear green, skin over spot: .1 is about a tenth darker).

    Raises:
        ValueError: if the images are not RGB of the size that the counter is calibrated for.
    """
    check_images(images)
    if why := uncountable(images, calibration, style):
        raise ValueError(why)
    return count_with_noise(images, calibration or shipped_calibration(images.shape[-1], style))[0]


def uncountable(images: np.ndarray, calibration: Calibration | None, style: Style = "countable") -> str:
    """Return why these images cannot be counted, "" if they can.

    Args:
        images: uint8 [N,C,H,W].
        calibration: the calibrated counter; the shipped one of the images' size and ``style`` if None.
        style: of the freckles.
    """
    _, channels, height, width = images.shape
    got = f"got {channels} channel{'s' * (channels > 1)} of {height} x {width} px"
    if calibration is not None and (channels, height, width) != (3, calibration.size, calibration.size):
        return f"this freckle counter is calibrated for {calibration.size} px RGB faces; {got}"
    if calibration is None and (channels != 3 or height != width or height not in calibrated_sizes(style)):
        return f"{not_calibrated(style)}; {got}"
    return ""


def count_with_noise(images: np.ndarray, calibration: Calibration) -> tuple[list[np.ndarray], np.ndarray]:
    """Return the freckles of each face as :func:`count_freckles` does, and the noise of each image.

    Args:
        images: uint8 [N,3,size,size] that :func:`uncountable` does not refuse.
        calibration: the calibrated counter.

    Returns:
        N arrays float64 [K,4], and float64 [N] in grey levels.
    """
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


def counts(images: np.ndarray, calibration: Calibration | None = None, style: Style = "countable") -> np.ndarray:
    """Return the raw number of freckles found on each face: uint8 [N,3,size,size] -> int64 [N]."""
    return np.array([len(spots) for spots in count_freckles(images, calibration, style)], np.int64)


def skin_tone(images: np.ndarray, calibration: Calibration) -> np.ndarray:
    """Return the median luma of each face's skin window, 0..255: uint8 [N,3,size,size] -> float64 [N]."""
    return np.median(255 * luma(images)[:, calibration.skin], axis=1).astype(np.float64)


@dataclass(frozen=True, eq=False)
class Corrected:
    """Counts of faces divided by the response of their skin, and what is known of the response.

    Attributes:
        values: float64 [N], (count - lambda_s) / R_s, or count / R_s.
        parts: float64 [S], the part of each stratum in the mean of the values.
        relative: float64 [S], relative error of each R_s.
        false_error: error of the mean from the errors of lambda_s; 0 where none was subtracted.
    """

    values: np.ndarray
    parts: np.ndarray
    relative: np.ndarray
    false_error: float

    @classmethod
    def of(cls, count: np.ndarray, tone: np.ndarray, calibration: Calibration, subtract: bool = True) -> Corrected:
        """Correct the counts of faces by their skin tone.

        Args:
            count: int [N].
            tone: float [N], of the same faces by :func:`skin_tone`.
            calibration: the calibrated counter.
            subtract: whether lambda_s is subtracted; not where a control replaces it.
        """
        strata = calibration.by_skin
        index = np.searchsorted([stratum.high for stratum in strata[:-1]], tone, side="right")
        response = np.array([stratum.response.value for stratum in strata])
        false = np.array([stratum.false_spots.value if subtract else 0.0 for stratum in strata])
        values = (np.asarray(count, np.float64) - false[index]) / response[index]
        share = np.bincount(index, minlength=len(strata)) / len(values)
        parts = np.bincount(index, values, minlength=len(strata)) / len(values)
        relative = np.array([stratum.response_error for stratum in strata]) / response
        false_errors = share * np.array([stratum.false_spots.stderr for stratum in strata]) / response
        return cls(values, parts, relative, float(np.linalg.norm(false_errors)) if subtract else 0.0)

    @property
    def card_error(self) -> float:
        """Error of the mean that comes from the calibration; the strata are independent."""
        return math.hypot(float(np.linalg.norm(self.parts * self.relative)), self.false_error)


def corrected_count(
    count: np.ndarray, tone: np.ndarray, calibration: Calibration | None = None
) -> tuple[float, float | None]:
    """Return the mean number of countable freckles a face by equation (1), and its standard error.

    The error includes the spread over faces and the calibration's own errors of lambda and R (delta method), R with its
    spread over freckle rates. Lambda and R of one stratum were estimated on the same faces and are negatively
    correlated; the correlation is left out, which makes the error a little too large. Errors of lambda and R are common
    to everything that is counted with one calibration: the difference between two generations is known better than
    their errors suggest. If the count is below lambda, the result is negative and is not clipped: clipping at zero
    would bias every average of it.

    Args:
        count: int [N], raw counts.
        tone: float [N], tones of the same faces by :func:`skin_tone`.
        calibration: the calibrated counter; the shipped one if None.

    Returns:
        (mean, standard error); the error is None for a single face.
    """
    card = calibration or shipped_calibration()
    faces = Corrected.of(count, tone, card)
    mean, spread = mean_and_error(faces.values)
    return mean, None if spread is None else math.hypot(spread, faces.card_error)


def prevalence(count: np.ndarray, calibration: Calibration | None = None) -> tuple[float, float]:
    """Return the share of freckled faces, corrected for the errors of counting, and its standard error.

    Rogan and Gladen: p = (q + Sp - 1) / (Se + Sp - 1), with q the share of faces with at least :data:`FRECKLED`
    detections, and Se and Sp the sensitivity and specificity for faces with at least so many countable freckles. The
    error includes those of q, Se and Sp. The result is not clipped to 0..1. Se is that of all skins together at the
    natural rate: of faces with dark skin that are freckled, fewer are called so.

    Args:
        count: int [N], raw counts.
        calibration: the calibrated counter; the shipped one if None.
    """
    return corrected(*_called(count), *_errors(calibration))


def prevalence_limits(count: np.ndarray, calibration: Calibration | None = None) -> tuple[float, float]:
    """Return the 95 % limits of :func:`prevalence`, see :func:`~imagelab.metrics.rogan_gladen.corrected_limits`."""
    return corrected_limits(*_called(count), *_errors(calibration))


def _called(count: np.ndarray) -> tuple[int, int]:
    return int(np.sum(np.asarray(count) >= FRECKLED)), len(count)


def _errors(calibration: Calibration | None) -> tuple[CardValue, CardValue]:
    figures = (calibration or shipped_calibration()).figures
    return figures["sensitivity"], figures["specificity"]
