"""Measurements of pixels, written anew from their definitions: statistics, spectra, tone, colour, texture.

Part of recompute.py; it imports nothing of the package. Every function returns measurement name -> :class:`Found`.
Random numbers have the addresses that seeds.py of the package documents: Philox, seeded by the run's seed, the CRC-32
of a purpose, and three whole numbers.
"""

from __future__ import annotations

import math
import zlib
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from scipy import optimize, stats

GREY = np.array([0.299, 0.587, 0.114])
DB = 10 / math.log(10)
GROUPS = 20


@dataclass(frozen=True)
class Found:
    """A recomputed number: its value, and its standard error and exact limits where they are recomputed, too."""

    value: float
    stderr: float | None = None
    limits: tuple[float, float] | None = None


@dataclass(eq=False)
class Shard:
    """Images, uint8 [N,C,H,W], with the group of each (None: independent), and what was computed of them."""

    images: np.ndarray
    groups: np.ndarray | None = None
    memory: dict[str, Any] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.images)


@dataclass(eq=False)
class Case:
    """All that a number can be made of: the images under test, and the real ones beside them."""

    fake: Shard
    real: Shard  # held-out
    train: Shard | None  # None for the real images themselves
    twin: Shard | None  # images of the blank twin of the loop
    blank: Shard | None  # held-out faces without freckles
    copied: Shard | None  # the control of net where there is no twin; of a model it is not kept in the run
    seed: int
    package: Path  # the folder with the files of weights, read by path
    counter: str = "freckles"  # how the file of the freckle counter is called


def _sequence(seed: int, purpose: str, row: int) -> np.random.SeedSequence:
    return np.random.SeedSequence([seed, zlib.crc32(purpose.encode()), 0, 16, row])


def generator(seed: int, purpose: str) -> np.random.Generator:
    """Return the random numbers of an address with generation, line and row 0."""
    return np.random.Generator(np.random.Philox(_sequence(seed, purpose, 0)))


def seed_of(seed: int, purpose: str, row: int = 0) -> int:
    """Return the 63-bit seed of an address."""
    return int(_sequence(seed, purpose, row).generate_state(1, np.uint64)[0] >> np.uint64(1))


def standard_error(values: np.ndarray, groups: np.ndarray | None = None) -> float | None:
    """Return the error of a mean: s / sqrt(N), or that of the sums of groups."""
    n = len(values)
    if groups is None:
        return float(np.std(values, ddof=1)) / math.sqrt(n) if n > 1 else None
    kinds, of = np.unique(groups, return_inverse=True)
    sums = np.zeros(len(kinds))
    np.add.at(sums, of, values - values.mean())
    return math.sqrt(len(kinds) / (len(kinds) - 1) * float(sums @ sums)) / n if len(kinds) > 1 else None


def wilson(share: float, n: float, df: float | None = None) -> tuple[float, float]:
    """Return Wilson's limits of a share, with Student's t."""
    t = float(stats.norm.ppf(0.975) if df is None else stats.t.ppf(0.975, df))
    a, b, c = 1 + t * t / n, -(2 * share + t * t / n), share * share  # a p^2 + b p + c = 0
    root = math.sqrt(max(b * b - 4 * a * c, 0.0))
    return min(max((-b - root) / (2 * a), 0.0), share), max(min((-b + root) / (2 * a), 1.0), share)


def limits_of_share(share: float, stderr: float | None, n: float, df: float | None = None) -> tuple[float, float]:
    """Return the limits of a share whose images depend on each other: n is the number that would scatter so much."""
    spread = share * (1 - share)
    return wilson(share, spread / stderr**2 if stderr and spread else n, df)


def divided(case: Case, seed: int, parts: int = GROUPS) -> tuple[np.ndarray, np.ndarray]:
    """Return the random group 0..g-1 of each real and each generated image, as the jackknife divides them."""
    rng = generator(seed, "jackknife")
    units = []
    for shard in (case.real, case.fake):
        same = np.arange(len(shard)) if shard.groups is None else np.unique(shard.groups, return_inverse=True)[1]
        units.append((same, int(same.max()) + 1))
    g = min(parts, *(count for _, count in units))
    found = []
    for same, count in units:
        label = np.empty(count, int)
        for j, rows in enumerate(np.array_split(rng.permutation(count), g)):
            label[rows] = j
        found.append(label[same])
    return found[0], found[1]


def jackknifed(left: np.ndarray) -> float:
    """Return the standard error from the values without each group in turn."""
    g = len(left)
    return float(np.sqrt((g - 1) / g * np.sum((left - left.mean()) ** 2)))


# spectra


def rings(shard: Shard, channel: int | None = None) -> tuple[np.ndarray, np.ndarray]:
    """Return the power of each image in rings of whole radii, float64 [N,R], and how many frequencies a ring has."""
    key = f"rings {channel}"
    if key not in shard.memory:
        height, width = shard.images.shape[2:]
        hann = [np.sin(np.pi * np.arange(side) / side) ** 2 for side in (height, width)]
        window = hann[0][:, None] * hann[1]
        cycles = [np.fft.fftfreq(side) * min(height, width) for side in (height, width)]
        radius = np.round(np.sqrt(cycles[0][:, None] ** 2 + cycles[1] ** 2)).astype(int).ravel()
        power = np.zeros((len(shard), radius.max() + 1))
        for row in range(len(shard)):
            grey = luma(shard.images[row : row + 1])[0] if channel is None else shard.images[row, channel] / 255
            plane = np.abs(np.fft.fft2((grey - grey.mean()) * window)) ** 2
            power[row] = np.bincount(radius, plane.ravel()) / (height * width) ** 2 / np.mean(window**2)
        shard.memory[key] = power, np.bincount(radius)
    return shard.memory[key]


def luma(images: np.ndarray) -> np.ndarray:
    """Return grey values 0..1, float64 [N,H,W]."""
    if images.shape[1] == 1:
        return images[:, 0] / 255.0
    return sum(GREY[k] * (images[:, k] / 255.0) for k in range(3))  # type: ignore[return-value]


def rounding_power(shape: tuple[int, ...]) -> float:
    """Return the power that rounding to 8 bits adds to each frequency of the luma."""
    channels, height, width = shape
    share = float(GREY @ GREY) if channels == 3 else 1.0
    return share / (12 * 255**2) / (height * width)


def _ring_range(name: str, half: int, last: int) -> slice:
    if name == "corners":
        return slice(half + 1, last + 1)
    low, high = map(int, name.split("-"))
    return slice(low, high + 1 if high == half else high)


def spectral(case: Case) -> dict[str, Found]:
    """Band powers, headroom, slope, distance, share of fine detail, rounding floor."""
    half = min(case.fake.images.shape[2:]) // 2
    edges = [2**k for k in range(20) if 2**k < half] + [half]
    names = [f"{a}-{b}" for a, b in pairwise(edges)] + ["corners"]
    found: dict[str, Found] = {}
    for colour, channel in {"": None, "_red": 0, "_green": 1, "_blue": 2}.items():
        if channel is not None and case.fake.images.shape[1] != 3:
            continue
        (ours, count), (theirs, _) = rings(case.fake, channel), rings(case.real, channel)
        for name in names:
            band = _ring_range(name, half, ours.shape[1] - 1)
            a, b = ours[:, band].sum(1), theirs[:, band].sum(1)
            errors = [(standard_error(x, s.groups) or 0) / x.mean() for x, s in ((a, case.fake), (b, case.real))]
            value = 10 * math.log10(a.mean() / b.mean())
            found[f"band_power{colour}/{name}"] = Found(value, DB * math.hypot(*errors))
            if channel is None:
                noise = rounding_power(case.fake.images.shape[1:]) * count[band].sum()
                found[f"band_headroom/{name}"] = Found(10 * math.log10(a.mean() / noise), DB * errors[0])
    found |= _curve(case, half)
    found["spectrum/floor"] = Found(rounding_power(case.fake.images.shape[1:]))
    return found


def _curve(case: Case, half: int) -> dict[str, Found]:
    (ours, count), (theirs, _) = rings(case.fake), rings(case.real)
    side, found = 2 * half, {}
    radii = np.arange(max(2, round(3 * side / 64)), side // 4 + 1)
    if len(radii) >= 3:
        power = ours[:, radii] / count[radii]
        slope = np.polyfit(np.log(radii), np.log(power.mean(0)), 1)[0]
        x = np.log(radii) - np.log(radii).mean()
        influence = (power / power.mean(0)) @ x / (x @ x)
        found["spectral_slope"] = Found(float(slope), standard_error(influence, case.fake.groups))
    means = [each[:, 1 : half + 1].mean(0) for each in (ours, theirs)]
    gap = 10 * np.log10(means[0] / means[1])
    value = math.sqrt(float(np.mean(gap**2)))
    pull = DB * gap / (len(gap) * value)
    errors = [
        standard_error(each[:, 1 : half + 1] / mean @ pull, shard.groups) or 0
        for each, mean, shard in zip((ours, theirs), means, (case.fake, case.real), strict=True)
    ]
    found["log_spectral_distance"] = Found(value, math.hypot(*errors))
    high, whole = ours[:, side // 4 :].sum(1), ours[:, 1:].sum(1)
    share = high.mean() / whole.mean()
    found["hf_ratio"] = Found(float(share), standard_error((high - share * whole) / whole.mean(), case.fake.groups))
    return found


# variance, tone, colour, texture


def variance(case: Case) -> dict[str, Found]:
    """Pixel variance of the generated images, and its ratio to that of the held-out ones."""
    pairs = []
    for shard in (case.fake, case.real):
        if "variance" not in shard.memory:
            flat = shard.images.reshape(len(shard), -1) / 255.0
            away = ((flat - flat.mean(0)) ** 2).mean(1)
            scale = len(flat) / (len(flat) - 1)
            error = scale * (standard_error(away, shard.groups) or 0)
            shard.memory["variance"] = float(flat.var(axis=0, ddof=1).mean()), error
        pairs.append(shard.memory["variance"])
    (ours, own), (theirs, other) = pairs
    ratio = ours / theirs
    return {
        "pixel_variance": Found(ratio, ratio * math.hypot(own / ours, other / theirs)),
        "pixel_variance/raw": Found(ours, own),
    }


def tone(case: Case) -> dict[str, Found]:
    """Brightness, contrast, colourfulness (Hasler and Suesstrunk), chroma, hue spread, clipped values."""
    pixels, groups = case.fake.images / 255.0, case.fake.groups
    grey = luma(case.fake.images)
    found = {
        "brightness": _mean(grey.mean((1, 2)), groups),
        "contrast": _mean(grey.std((1, 2)), groups),
    }
    if pixels.shape[1] != 3:
        return found
    red, green, blue = (pixels[:, k] for k in range(3))
    axes = red - green, 0.5 * (red + green) - blue
    spread = np.sqrt(sum(a.var((1, 2)) for a in axes))
    shift = np.sqrt(sum(a.mean((1, 2)) ** 2 for a in axes))
    found["colourfulness"] = _mean(spread + 0.3 * shift, groups)
    found["chroma"] = _mean((pixels.max(1) - pixels.min(1)).mean((1, 2)), groups)
    mean = pixels.mean((2, 3))
    hue = mean @ np.exp(2j * np.pi * np.arange(3) / 3)  # the plane around grey; red at 0 degrees
    length, middle = np.abs(hue), hue.mean()
    together = abs(middle) / length.mean()
    influence = ((hue * np.conj(middle)).real / abs(middle) - together * length) / length.mean()
    found["hue_spread"] = _limited(1 - together, influence, case.fake)
    edge = ((case.fake.images == 0) | (case.fake.images == 255)).mean((1, 2, 3))
    found["clipped"] = _limited(float(edge.mean()), edge, case.fake)
    return found


def _mean(values: np.ndarray, groups: np.ndarray | None) -> Found:
    return Found(float(values.mean()), standard_error(values, groups))


def _limited(value: float, influence: np.ndarray, shard: Shard) -> Found:
    n = len(shard) if shard.groups is None else len(np.unique(shard.groups))
    error = standard_error(influence, shard.groups)
    return Found(float(value), error, limits_of_share(value, error, n, freedom(n)))


def freedom(*counts: int) -> float | None:
    """Return the degrees of freedom of an error of so many images: one less than the fewest, many from 200 on."""
    return None if min(counts) >= 200 else max(min(counts) - 1, 1)


def texture(case: Case) -> dict[str, Found]:
    """Kurtosis of the bands of a Laplacian pyramid, and the correlation of neighbouring bands."""
    taps = np.array([1, 4, 6, 4, 1]) / 16
    image, bands = luma(case.fake.images), []
    while len(bands) < 3 and min(image.shape[1:]) >= 10:
        rows = np.stack([image[:, k : image.shape[1] - 4 + k] for k in range(5)])
        soft = np.tensordot(taps, rows, 1)
        soft = np.tensordot(taps, np.stack([soft[:, :, k : image.shape[2] - 4 + k] for k in range(5)]), 1)
        bands.append(image[:, 2:-2, 2:-2] - soft)
        image = soft[:, ::2, ::2]
    found = {}
    for level, band in enumerate(bands, 1):
        flat = band.reshape(len(band), -1)
        each = (flat**4).mean(1) / (flat**2).mean(1) ** 2 - 3
        found[f"texture_kurtosis/{level}"] = _mean(each, case.fake.groups)
    for level, (fine, coarse) in enumerate(pairwise(bands), 1):
        high, wide = (min(coarse.shape[k], (fine.shape[k] - 4) // 2) for k in (1, 2))
        near = np.abs(fine[:, 4 : 4 + 2 * high, 4 : 4 + 2 * wide])
        near = (near[:, ::2] + near[:, 1::2]) / 2
        near = ((near[:, :, ::2] + near[:, :, 1::2]) / 2).reshape(len(fine), -1)
        far = np.abs(coarse[:, :high, :wide]).reshape(len(fine), -1)
        each = np.array([np.corrcoef(a, b)[0, 1] for a, b in zip(near, far, strict=True)])
        found[f"texture_scales/{level}-{level + 1}"] = _mean(each, case.fake.groups)
    return found


def rogan_gladen(found: int, n: int, se: dict[str, Any], sp: dict[str, Any]) -> Found:
    """Return the share p = (q + Sp - 1) / (Se + Sp - 1), its error, and limits from mid-p limits of q, Se and Sp."""
    a, b = se["value"], sp["value"]

    def p(q: float, se_: float, sp_: float) -> float:
        return (q + sp_ - 1) / (se_ + sp_ - 1)

    value, likely = p(found / n, a, b), (found + 0.5) / (n + 1)
    parts = likely * (1 - likely) / n, (value * se["stderr"]) ** 2, ((1 - value) * sp["stderr"]) ** 2
    moved = [
        [p(q, a, b) for q in mid_p(found, n)],
        [p(found / n, q, b) for q in mid_p(round(a * se["n"]), se["n"])],
        [p(found / n, a, q) for q in mid_p(round(b * sp["n"]), sp["n"])],
    ]
    low = value - math.hypot(*(value - min(value, *each) for each in moved))
    high = value + math.hypot(*(max(value, *each) - value for each in moved))
    return Found(value, math.sqrt(sum(parts)) / (a + b - 1), (low, high))


def mid_p(found: int, n: int) -> tuple[float, float]:
    """Return the mid-p limits of a binomial share."""

    def half(p: float) -> float:  # P(X < found) + P(X = found) / 2
        return float(stats.binom.cdf(found - 1, n, p) + stats.binom.pmf(found, n, p) / 2)

    low = 0.0 if found == 0 else optimize.brentq(lambda p: half(p) - 0.975, 0.0, found / n, xtol=1e-13)
    high = 1.0 if found == n else optimize.brentq(lambda p: half(p) - 0.025, found / n, 1.0, xtol=1e-13)
    return float(low), float(high)  # type: ignore[arg-type]
