"""Power spectrum: the energy of the images by radius and by octave; it shows how much detail is lost or added.

Luma in 0..1, the image's mean subtracted, a separable periodic Hann window w, then

    P[k] = |F[k]|^2 / (H W)^2 / mean(w^2),    so that sum P is about the mean square of the image (Parseval).

The window is necessary: the left edge of an image does not continue its right edge, and this jump alone puts 68 times
too much energy into the high frequencies of a blurred 64 px crop. The radius r is counted in cycles per image (for
images that are not square, per shorter side), rounded to the nearest integer; the corners beyond r = N/2 are a band of
their own.

What it does not see: where in the image the energy is, and whether it is freckles, hair or noise. Energy rises
when images turn to noise; so every band is two-sided and should be read together with another metric.

References:
    Watch your up-convolution (Durall, Keuper, Keuper 2020), arXiv:2003.01826: radial spectra of generated images.
    On the use of windows for harmonic analysis (Harris 1978), doi:10.1109/PROC.1978.10837.
    Modelling the power spectra of natural images (van der Schaaf, van Hateren 1996), doi:10.1016/0042-6989(96)00002-8.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cache
from itertools import pairwise

import numpy as np

from ..images import LUMA, luma
from ..io.large_arrays import blocks_of, empty_array, let_go
from ..measurement import Measurement
from .base import Evidence, ImageSet, NotMeasurable
from .jackknife import degrees, mean_and_error

__all__ = [
    "AT_FLOOR",
    "Spectra",
    "bands",
    "hf_ratio",
    "log_radial_powers",
    "periodic_hann",
    "power_spectrum",
    "quantisation_power",
    "slope_range",
    "spectra",
    "spectrum",
    "spectrum_rgb",
]

CITE = "arXiv:2003.01826"
ESTIMATOR = "luma, periodic Hann, |F|^2/(HW)^2/mean(w^2), rounded radius"
DECIBEL = 10.0 / np.log(10.0)
ZERO_VARIANCE = 1e-20  # one blue pixel that is one level off gives 5e-11 in a 64 px image; float64 rounding gives 1e-32
AT_FLOOR = 10.0 * np.log10(4.0)
"""Headroom in dB, a factor of 4 above rounding noise, below which a band's ratio has no meaning."""

SMALLEST = 8  # pixels a side; below this there are too few octaves
BLOCK = 1 << 20  # pixels at a time; a complex plane of them takes 16 MB
CHANNELS = ("red", "green", "blue")


@dataclass(frozen=True)
class Spectra:
    """Radial energy of each image of a set.

    Attributes:
        energy: float64 [N,R], sum of P over the ring of radius 0, 1, 2, ... R-1 cycles per image.
        count: int64 [R], how many of the H W frequencies each ring holds.
        side: the shorter side N in pixels; rings above N/2 lie in the corners of the frequency plane.
        groups: of the images, see ``ImageSet``.
    """

    energy: np.ndarray
    count: np.ndarray
    side: int
    groups: np.ndarray | None = None

    def band(self, low: int, high: int) -> np.ndarray:
        """Return each image's energy at radii low..high-1: float64 [N]."""
        return self.energy[:, low:high].sum(axis=1)


def periodic_hann(length: int) -> np.ndarray:
    """Return the periodic Hann window: float64 [length], 0 at index 0, mean square 3/8."""
    return 0.5 - 0.5 * np.cos(2.0 * np.pi * np.arange(length) / length)


def power_spectrum(grey: np.ndarray, window: bool = True) -> np.ndarray:
    """Return P[k] of each image over the whole frequency plane, in numpy's FFT order.

    Args:
        grey: float [N,H,W]; each image's own mean is subtracted first.
        window: whether to apply the Hann window; periodic test patterns do not need it.

    Returns:
        float64 [N,H,W], in squared units of ``grey``.

    Example:
        >>> x = np.cos(2 * np.pi * 8 * np.arange(64) / 64) * np.ones((1, 64, 1))
        >>> float(power_spectrum(x, window=False)[0, 0, 8].round(12))
        0.25
    """
    from scipy import fft

    _, height, width = grey.shape
    centred = grey - grey.mean(axis=(1, 2), keepdims=True)
    scale = float(height * width) ** 2
    if window:
        weight = np.outer(periodic_hann(height), periodic_hann(width))
        centred = centred * weight
        scale *= float(np.mean(weight**2))
    transform = np.asarray(fft.fft2(centred), np.complex128)
    return (transform.real**2 + transform.imag**2) / scale


@cache
def _rings(height: int, width: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return (order of the frequencies by radius, start of each ring in that order, ring sizes)."""
    side = min(height, width)
    radius = np.rint(np.hypot(np.fft.fftfreq(height)[:, None], np.fft.fftfreq(width)[None]) * side).astype(np.int64)
    count = np.bincount(radius.ravel())
    starts = np.concatenate([[0], np.cumsum(count)[:-1]])
    return np.argsort(radius.ravel(), kind="stable"), starts, count


def spectra(image_set: ImageSet, channel: int | None = None) -> Spectra:
    """Return the radial energy of every image, kept in the set's memory so that all metrics share one pass.

    Images are processed in blocks; the result, 370 bytes an image at 64 px, is mapped from a file above 32 MiB.

    Args:
        image_set: the images.
        channel: 0, 1 or 2 for red, green or blue; None for luma.

    Raises:
        NotMeasurable: for images smaller than 8 px.
    """
    _, _, height, width = image_set.images.shape
    if min(height, width) < SMALLEST:
        raise NotMeasurable(f"needs images of at least {SMALLEST} px a side, got {height} x {width}")
    order, starts, count = _rings(height, width)
    slot, size = "spectrum" if channel is None else f"spectrum {channel}", max(1, BLOCK // (height * width))
    if slot not in image_set.memory:
        energy = empty_array((len(image_set), len(count)), np.float64, image_set.cache)
        for rows, block in blocks_of(image_set.images, size):
            power = power_spectrum(luma(block) if channel is None else block[:, channel] / 255.0)
            energy[rows] = np.add.reduceat(power.reshape(len(power), -1)[:, order], starts, axis=1)
        let_go(energy)
        image_set.memory[slot] = energy
    return Spectra(image_set.memory[slot], count, min(height, width), image_set.groups)


def log_radial_powers(image_set: ImageSet) -> np.ndarray:
    """Return ln of each image's power at radii 1..N/2 and in the corners, rounding noise added: float64 [N, N/2 + 1].

    The power of 8-bit rounding noise is added once more to each, so that the logarithm is finite for a flat image, too.
    """
    radial = spectra(image_set)
    edges = [*range(1, radial.side // 2 + 2), len(radial.count)]
    noise = quantisation_power(*image_set.images.shape[1:])
    rings = [radial.band(low, high) / radial.count[low:high].sum() for low, high in pairwise(edges)]
    return np.log(np.stack(rings, axis=1) + noise)


def bands(side: int) -> list[tuple[int, int]]:
    """Return the octaves (low, high) in cycles per image: [1,2) [2,4) ... up to [.., N/2], N/2 itself included.

    Example:
        >>> bands(64)
        [(1, 2), (2, 4), (4, 8), (8, 16), (16, 32)]
    """
    half = side // 2
    edges = [2**k for k in range(half.bit_length()) if 2**k < half] + [half]
    return list(pairwise(edges))


def quantisation_power(channels: int, height: int, width: int) -> float:
    """Return the power that rounding to 256 levels adds to a frequency: luma variance of the rounding error / (H W).

    The error of a channel has variance (1/255)^2 / 12; errors of the three channels are taken as independent.
    """
    share = float(np.sum(LUMA**2)) if channels == 3 else 1.0
    return share / 255.0**2 / 12.0 / (height * width)


def slope_range(side: int) -> tuple[int, int]:
    """Return the radii, both included, over which the spectral slope is fitted: 3 to 16 cycles at 64 px."""
    return max(2, round(3 * side / 64)), side // 4


def spectrum(evidence: Evidence) -> list[Measurement]:
    """Return band log-ratios, radial powers, slope and distance of the generated images' spectrum.

    Returns:
        ``band_power/LO-HI`` dB against the reference, two-sided, the corners beyond N/2 as ``band_power/corners``;
        ``band_headroom/LO-HI`` dB of the generated band above the power of 8-bit rounding alone (under 6 dB, a factor
        of 4, the band is at the quantisation floor and its ratio has no meaning);
        ``radial_power/KK`` mean power of the generated images at KK cycles per image; ``spectrum/floor``, the power
        that rounding adds to each of them; ``spectral_slope``, the slope of ln P on ln r of the generated images;
        ``log_spectral_distance`` dB, root mean square over the radii 1..N/2 of the log-ratio.

    Raises:
        ValueError: where the two sets differ in shape.
        NotMeasurable: for images smaller than 8 px.
    """
    real, fake = _pair(evidence)
    _, channels, height, width = evidence.fake.images.shape
    noise = quantisation_power(channels, height, width)
    form = Measurement(
        "", 0.0, "dB", n_real=len(evidence.real), n_fake=len(evidence.fake), estimator=ESTIMATOR, cite=CITE
    )
    rows = []
    for name, rings in _named_rings(real).items():
        rows.append(_log_ratio(replace(form, name=f"band_power/{name}", better="two-sided"), real, fake, rings))
        rows.append(_headroom(replace(form, name=f"band_headroom/{name}"), noise, fake, rings))
    rows += _radial_powers(replace(form, unit="power"), fake)
    rows.append(replace(form, name="spectrum/floor", value=noise, unit="power", estimator="(1/255)^2/12 in luma / HW"))
    return [*rows, _slope(form, fake), _distance(form, real, fake)]


def spectrum_rgb(evidence: Evidence) -> list[Measurement]:
    """Return ``band_power_red/LO-HI``, ``_green`` and ``_blue``: the band log-ratios of each channel by itself, dB.

    Blue has a small weight in luma; these measurements show what a generator loses or adds there, such as coloured
    noise.

    Raises:
        ValueError: where the two sets differ in shape.
        NotMeasurable: for grey images, or images smaller than 8 px.
    """
    _pair(evidence)
    if evidence.fake.images.shape[1] == 1:
        raise NotMeasurable("the images have one channel: band_power says it all")
    rows = []
    for channel, name in enumerate(CHANNELS):
        real, fake = spectra(evidence.real, channel), spectra(evidence.fake, channel)
        estimator = ESTIMATOR.replace("luma", name)
        form = Measurement(
            "",
            0.0,
            "dB",
            n_real=len(evidence.real),
            n_fake=len(evidence.fake),
            better="two-sided",
            estimator=estimator,
            cite=CITE,
        )
        for band, rings in _named_rings(real).items():
            rows.append(_log_ratio(replace(form, name=f"band_power_{name}/{band}"), real, fake, rings))
    return rows


def _named_rings(of: Spectra) -> dict[str, tuple[int, int]]:
    """Return the first ring of each band and the first beyond it; the last octave includes N/2, corners follow it."""
    half = of.side // 2
    rings = {f"{low}-{high}": (low, high + (high == half)) for low, high in bands(of.side)}
    return {**rings, "corners": (half + 1, len(of.count))}


def hf_ratio(evidence: Evidence) -> list[Measurement]:
    """Return ``hf_ratio``: the share of the generated images' energy at N/4 cycles per image and above.

    sum_{r >= fc} P / sum_{r > 0} P of the mean spectrum, fc = N/4, corners included; 0..1; a measure of sharpness that
    noise raises as well as detail. Standard error by the delta method.
    """
    spec = spectra(evidence.fake)
    cut = spec.side // 4
    form = Measurement(
        "hf_ratio",
        0.0,
        "share",
        n_real=len(evidence.real),
        n_fake=len(evidence.fake),
        better="two-sided",
        estimator=f"{ESTIMATOR}, fc = {cut} cycles per image",
        cite=CITE,
    )
    high, total = spec.band(cut, len(spec.count)), spec.band(1, len(spec.count))
    if total.mean() < ZERO_VARIANCE:
        return [_missing(form, "the generated images hold no energy: each is one flat colour")]
    ratio = high.mean() / total.mean()
    _, stderr = mean_and_error((high - ratio * total) / total.mean(), spec.groups)
    return [replace(form, value=float(ratio), stderr=stderr, df=_df(spec))]


def _pair(evidence: Evidence) -> tuple[Spectra, Spectra]:
    shapes = evidence.real.images.shape[1:], evidence.fake.images.shape[1:]
    if shapes[0] != shapes[1]:
        raise ValueError(f"spectrum: expected both sets of one form [C,H,W], got {shapes[0]} and {shapes[1]}")
    return spectra(evidence.real), spectra(evidence.fake)


def _missing(form: Measurement, reason: str) -> Measurement:
    return replace(form, value=None, missing=reason)


def _log_ratio(form: Measurement, real: Spectra, fake: Spectra, rings: tuple[int, int]) -> Measurement:
    """Return 10 log10(mean energy of the generated images / of the reference) dB with its delta-method error."""
    energies, errors = [], []
    for of, whose in ((real, "reference"), (fake, "generated")):
        mean, error = mean_and_error(of.band(*rings), of.groups)
        if mean < ZERO_VARIANCE:
            return _missing(form, f"the {whose} images hold no energy in this band")
        energies.append(mean)
        errors.append(None if error is None else error / mean)
    value = float(DECIBEL * np.log(energies[1] / energies[0]))
    if errors[0] is None or errors[1] is None:
        return replace(form, value=value)
    return replace(form, value=value, stderr=float(DECIBEL * np.hypot(errors[0], errors[1])), df=_df(real, fake))


def _headroom(form: Measurement, noise: float, fake: Spectra, rings: tuple[int, int]) -> Measurement:
    """Return 10 log10(mean energy of the generated images / energy of rounding) dB with its delta-method error."""
    mean, error = mean_and_error(fake.band(*rings), fake.groups)
    if mean < ZERO_VARIANCE:
        return _missing(form, "the generated images hold no energy in this band")
    value = float(DECIBEL * np.log(mean / (noise * fake.count[slice(*rings)].sum())))
    return replace(form, value=value, stderr=None if error is None else float(DECIBEL * error / mean), df=_df(fake))


def _df(*of: Spectra) -> float | None:
    """Return the degrees of freedom of an error that these sets contribute to."""
    return degrees(*(len(each.energy if each.groups is None else np.unique(each.groups)) for each in of))


def _radial_powers(form: Measurement, fake: Spectra) -> list[Measurement]:
    rows = []
    for radius in range(1, fake.side // 2 + 1):
        mean, error = mean_and_error(fake.energy[:, radius] / fake.count[radius], fake.groups)
        rows.append(replace(form, name=f"radial_power/{radius:02d}", value=mean, stderr=error, df=_df(fake)))
    return rows


def _slope(form: Measurement, fake: Spectra) -> Measurement:
    """Return the slope of ln(mean power) on ln(radius) by least squares; the error is that of the images' influence.

    The window and the rings make it too steep, for fields with a power of r^-1.5, -2, -2.5 and -3 by .007, .017, .031
    and .072 (+- .004 each; 2,880 crops of 64 px from fields of 256 px). The value is not corrected for that: real and
    generated images of nearly one slope have nearly one bias.
    """
    low, high = slope_range(fake.side)
    estimator = f"{ESTIMATOR}, least squares over {low}..{high} cycles per image"
    form = replace(form, name="spectral_slope", unit="", better="two-sided", estimator=estimator)
    radius = np.arange(low, high + 1)
    if len(radius) < 3:
        return _missing(form, f"fewer than 3 radii between {low} and {high} cycles per image: the images are too small")
    power = fake.energy[:, radius] / fake.count[radius]
    mean = power.mean(axis=0)
    if mean.min() < ZERO_VARIANCE:
        return _missing(form, "the generated images hold no energy at some radius of the range")
    x = np.log(radius) - np.log(radius).mean()
    weight = x / np.sum(x**2)
    _, error = mean_and_error((power / mean) @ weight, fake.groups)
    return replace(form, value=float(np.log(mean) @ weight), stderr=error, df=_df(fake))


def _distance(form: Measurement, real: Spectra, fake: Spectra) -> Measurement:
    """Return the root mean square over radii of the log-ratio of mean powers; >= 0, so compare it with its floor.

    Its error is the delta method's; between sets of one distribution it is conservative, about 1.4 times too large.
    """
    form = replace(form, name="log_spectral_distance", better="lower")
    rings = slice(1, real.side // 2 + 1)
    m_real, m_fake = (each.energy[:, rings].mean(axis=0) for each in (real, fake))
    sets = (real, m_real), (fake, m_fake)
    if min(m_real.min(), m_fake.min()) < ZERO_VARIANCE:
        return _missing(form, "one of the sets holds no energy at some radius")
    gap = DECIBEL * np.log(m_fake / m_real)
    value = float(np.sqrt(np.mean(gap**2)))
    if value == 0.0:
        return replace(form, value=0.0)
    weight = DECIBEL * gap / (len(gap) * value)
    errors = [mean_and_error((each.energy[:, rings] / mean) @ weight, each.groups)[1] for each, mean in sets]
    if errors[0] is None or errors[1] is None:
        return replace(form, value=value)
    return replace(form, value=value, stderr=float(np.hypot(errors[0], errors[1])), df=_df(real, fake))
