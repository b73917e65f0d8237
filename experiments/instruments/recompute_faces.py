"""Measurements of faces, written anew from their definitions: the freckle counter, its controls, attribute probes.

Part of recompute.py; it imports nothing of the package. Trees, windows and probes are read from the files of weights.
"""

from __future__ import annotations

import json
import math
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from recompute_pixels import Case, Found, Shard, divided, generator, jackknifed, rogan_gladen, standard_error
from scipy import ndimage, stats
from torch.nn import functional

Z95 = 1.959963984540054


@cache
def sealed(path: Path) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
    """Return the arrays and the card of a file of weights."""
    with np.load(path, allow_pickle=False) as archive:
        arrays = {name: archive[name] for name in archive.files}
    return arrays, json.loads(str(arrays["card"]))


def counter(case: Case) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
    """Return the freckle counter of these images' size."""
    return sealed(case.package / "metrics" / f"{case.counter}-{case.fake.images.shape[-1]}.npz")


def countable(case: Case) -> bool:
    """Whether there is a counter for images of this form."""
    _, channels, height, width = case.fake.images.shape
    return channels == 3 and height == width and (case.package / "metrics" / f"{case.counter}-{width}.npz").is_file()


# the counter


def counted(shard: Shard, case: Case) -> tuple[np.ndarray, np.ndarray]:
    """Return how many freckles are found on each face, int64 [N], and their summed contrast, float64 [N]."""
    if "freckles" not in shard.memory:
        shard.memory["freckles"] = _count(shard.images, case)
    return shard.memory["freckles"]


def _count(images: np.ndarray, case: Case) -> tuple[np.ndarray, np.ndarray]:
    arrays, card = counter(case)
    parts = []
    for start in range(0, len(images), 100):
        block = images[start : start + 100]
        image, table, contrast = _spots(block, arrays["skin"], card["optics"])
        keep = _probability(table, arrays) >= card["threshold"]
        parts.append(
            (
                np.bincount(image[keep], minlength=len(block)),
                np.bincount(image[keep], contrast[keep], minlength=len(block)),
            )
        )
    return np.concatenate([p[0] for p in parts]), np.concatenate([p[1] for p in parts])


def _probability(table: np.ndarray, arrays: dict[str, np.ndarray]) -> np.ndarray:
    """Walk down every tree, all rows at once; a leaf is its own child."""
    odds = np.full(len(table), float(arrays["trees_base"]))
    rows = np.arange(len(table))
    for root in arrays["trees_first"]:
        node = np.full(len(table), root)
        while True:
            small = table[rows, arrays["trees_feature"][node]] <= arrays["trees_threshold"][node]
            after = np.where(small, arrays["trees_left"][node], arrays["trees_right"][node])
            if np.array_equal(after, node):
                break
            node = after
        odds += arrays["trees_value"][node]
    return 1 / (1 + np.exp(-odds))


def _spots(images: np.ndarray, skin: np.ndarray, optics: dict[str, Any]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return the image of each candidate, its 21 features, and its contrast."""
    level = np.arange(256) / 255
    light = np.where(level <= 0.04045, level / 12.92, ((level + 0.055) / 1.055) ** 2.4)
    logs = np.log(light + optics["epsilon"])
    chroma, density = logs[images[:, 0]] - logs[images[:, 2]], -logs[images[:, 1]]
    grey = 0.299 * images[:, 0] + 0.587 * images[:, 1] + 0.114 * images[:, 2]
    bends = {s: [_hessian(f, optics[s]) for f in (chroma, density)] for s in ("fine", "coarse")}
    both = [a + b for a, b in zip(*bends["fine"], strict=True)]
    response = _round(both, optics["fine"])[0]
    top = ndimage.maximum_filter(response, (1, 3, 3), mode="nearest")
    at = np.nonzero((response == top) & (response >= optics["least"]) & skin)
    spots = [_round([each[at] for each in f], optics["fine"]) for f in bends["fine"]]
    wide = [_round([each[at] for each in f], optics["coarse"]) for f in bends["coarse"]]
    place = [at[axis] + _parabola(response, at, axis) for axis in (1, 2)]
    near = [_window(f, at, optics["near"]) for f in (chroma, density)]
    far = [_window(f, at, optics["far"]) for f in (chroma, density)]
    slope = [
        ndimage.gaussian_gradient_magnitude(f, (0, *2 * (optics["slope"],)), mode="nearest")[at]
        for f in (chroma, density)
    ]
    second = ndimage.correlate1d(ndimage.correlate1d(density, [1, -2, 1], axis=1), [1, -2, 1], axis=2)
    width = 2 * optics["far"] + 1
    rough = ndimage.uniform_filter1d(ndimage.uniform_filter1d(np.abs(second), width, axis=2), width, axis=1)[at]
    table = [
        response[at],
        spots[0][0],
        spots[1][0],
        wide[0][0],
        wide[1][0],
        chroma[at] - near[0][0],
        density[at] - near[1][0],
        chroma[at] - far[0][0],
        density[at] - far[1][0],
        far[0][1],
        far[1][1],
        *slope,
        spots[0][1],
        spots[1][1],
        rough,
        grey[at],
        _window(grey, at, optics["near"])[0],
        np.abs(place[1] - (optics["size"] - 1) / 2),
        place[0],
        noise(images, skin)[at[0]],
    ]
    return at[0], np.stack(table, 1), table[6]


def _hessian(f: np.ndarray, s: float) -> list[np.ndarray]:
    """Return the second derivatives xx, xy, yy of each smoothed image."""
    found = []
    for down, across in ((0, 2), (1, 1), (2, 0)):
        half = ndimage.gaussian_filter1d(f, s, axis=1, order=down, mode="nearest")
        found.append(ndimage.gaussian_filter1d(half, s, axis=2, order=across, mode="nearest"))
    return found


def _round(bend: list[np.ndarray], s: float) -> tuple[np.ndarray, np.ndarray]:
    """Return the curvature in the least curved direction, and its ratio to that in the most curved one."""
    xx, xy, yy = bend
    root = np.sqrt((xx - yy) ** 2 / 4 + xy**2)
    least, most = np.maximum(-(xx + yy) / 2 - root, 0), root - (xx + yy) / 2
    return s * s * least, least / np.maximum(most, 1e-6)


def _parabola(f: np.ndarray, at: tuple[np.ndarray, ...], axis: int) -> np.ndarray:
    step = np.array([axis == k for k in range(3)], int)
    low, high = (
        f[tuple(np.clip(a + sign * d, 0, size - 1) for a, d, size in zip(at, step, f.shape, strict=True))]
        for sign in (-1, 1)
    )
    return np.clip((high - low) / (2 * np.maximum(2 * f[at] - low - high, 1e-12)), -0.5, 0.5)


def _window(f: np.ndarray, at: tuple[np.ndarray, ...], half: int) -> tuple[np.ndarray, np.ndarray]:
    """Return median and distance of the quartiles in the square window around each place."""
    wide = np.pad(f, ((0, 0), (half, half), (half, half)), mode="edge")
    step = np.arange(2 * half + 1)
    found = wide[at[0][:, None, None], at[1][:, None, None] + step[:, None], at[2][:, None, None] + step]
    ranks = np.sort(found.reshape(len(found), -1), axis=1)
    middle = ranks.shape[1] // 2
    return ranks[:, middle], ranks[:, middle + middle // 2] - ranks[:, middle // 2]


def noise(images: np.ndarray, skin: np.ndarray) -> np.ndarray:
    """Return the noise of each image in grey levels: median absolute value of Immerkaer's mask off the skin."""
    mask = np.array([[1, -2, 1], [-2, 4, -2], [1, -2, 1]])
    found = np.abs(ndimage.correlate(images.astype(int), mask[None, None])[:, :, 1:-1, 1:-1][:, :, ~skin[1:-1, 1:-1]])
    flat = np.sort(found.reshape(len(images), -1), axis=1)
    return flat[:, flat.shape[1] // 2] / (6 * stats.norm.ppf(0.75))


def tones(shard: Shard, case: Case) -> np.ndarray:
    """Return the median luma of each face's skin window, 0..255."""
    grey = np.tensordot([0.299, 0.587, 0.114], shard.images, axes=(0, 1))
    return np.median(grey[:, counter(case)[0]["skin"]], axis=1)


# the metric


def freckles(case: Case) -> dict[str, Found]:
    """The measurements freckles/..., without the copies that a run does not keep."""
    if not countable(case):
        return {}
    arrays, card = counter(case)
    count, contrast = counted(case.fake, case)
    tone = tones(case.fake, case)
    found = {"freckles/count": _mean(count), "freckles/noise": _mean(noise(case.fake.images, arrays["skin"]))}
    values, parts, relative, false = _by_skin(count, tone, card, True)
    error = math.hypot(standard_error(values) or 0, float(np.linalg.norm(parts * relative)), false)
    found["freckles/corrected"] = Found(float(values.mean()), error)
    found["freckles/spread"] = _spread(count.astype(float))
    called = int((count >= 3).sum())
    found["freckles/prevalence"] = rogan_gladen(
        called, len(count), card["figures"]["sensitivity"], card["figures"]["specificity"]
    )
    if count.any():
        mean, n = float(contrast.sum() / count.sum()), len(count)
        squares = float(((contrast - mean * count) ** 2).sum())
        found["freckles/contrast"] = Found(mean, math.sqrt(squares * n / (n - 1)) / count.sum())
    if case.twin is not None:
        found["freckles/twin"] = _mean(counted(case.twin, case)[0])
    if case.copied is not None:
        found["freckles/blank"] = _mean(counted(case.copied, case)[0])
    return found | _controls(case, (count, tone), card)


def _spread(values: np.ndarray) -> Found:
    """The standard deviation, and its error from the fourth moment."""
    n, squares = len(values), (values - values.mean()) ** 2
    variance = float(squares.sum() / (n - 1))
    error = math.sqrt(max(0.0, (float((squares**2).mean()) - variance**2 * (n - 3) / (n - 1)) / n) / (4 * variance))
    return Found(math.sqrt(variance), error)


def _mean(values: np.ndarray) -> Found:
    return Found(float(values.mean()), standard_error(values.astype(float)))


def _by_skin(
    count: np.ndarray, tone: np.ndarray, card: dict[str, Any], subtract: bool
) -> tuple[np.ndarray, np.ndarray, np.ndarray, float]:
    """Return the corrected counts, the part of each stratum in their mean, its relative error, and that of lambda."""
    values, parts, relative, false = np.zeros(len(count)), [], [], 0.0
    for row in card["strata"]:
        mine, response = (tone >= row["low"]) & (tone < row["high"]), row["response"]["value"]
        values[mine] = (count[mine] - subtract * row["false_spots"]["value"]) / response
        parts.append(values[mine].sum() / len(count))
        relative.append(math.hypot(row["response"]["stderr"], row["spread"]) / response)
        false += (mine.mean() * row["false_spots"]["stderr"] / response) ** 2
    return values, np.array(parts), np.array(relative), math.sqrt(false) if subtract else 0.0


def _controls(case: Case, own: tuple[np.ndarray, np.ndarray], card: dict[str, Any]) -> dict[str, Found]:
    """The matched null, and the count net of a control."""
    look, found = look_of(case, card), {}
    share, weighted, missing = (1.0, 0.0), (0.0, 0.0), True
    rows = None
    if case.blank is not None and math.isfinite(look["blur"]):
        faces = case.real.images[: len(case.blank)]
        rows = np.flatnonzero((faces != case.blank.images).any((1, 2, 3)))
    if rows is not None and len(rows) >= 20 and case.blank is not None:
        missing = False
        shown = [
            Shard(brought_to(look, each, case)) for each in (case.blank.images, case.real.images[: len(case.blank)])
        ]
        bare, full = counted(shown[0], case)[0], counted(Shard(shown[1].images[rows]), case)[0]
        before = counted(Shard(case.real.images[: len(case.blank)][rows]), case)[0]
        before = before - counted(Shard(case.blank.images[rows]), case)[0]
        tone = tones(case.blank, case)
        after = _by_skin(full - bare[rows], tone[rows], card, False)[0]
        first = _by_skin(before, tone[rows], card, False)[0]
        m, n = float(after.sum() / first.sum()), len(rows)
        spread = math.sqrt(float(((after - m * first) ** 2).sum()) * n / (n - 1)) / abs(first.sum())
        marks, left = zip(*((r["sigma"], r["value"]) for r in card["tables"]["blur ruler"]), strict=True)
        step, at = 0.1 * case.fake.images.shape[-1] / 64, look["blur"]
        slope = abs(np.interp(at + step, marks, left) - np.interp(max(at - step, 0), marks, left)) / (2 * step)
        share = m, math.hypot(spread, slope * look["blur_error"])
        found["freckles/matched"] = Found(*share)
        found["freckles/matched_blank"] = _mean(bare)
        net = _by_skin(bare, tone, card, False)[0]
        weighted = float(net.mean()), standard_error(net) or 0.0
    control = case.twin or case.copied
    if control is None or share[0] < max(0.1, 2 * share[1]):
        return found
    return found | {"freckles/net": _net(case, own, control, (share, weighted, missing), card)}


def _net(
    case: Case,
    own: tuple[np.ndarray, np.ndarray],
    control: Shard,
    matched: tuple[tuple[float, float], tuple[float, float], bool],
    card: dict[str, Any],
) -> Found:
    (m, m_error), (false, false_error), missing = matched
    ours, parts, relative, _ = _by_skin(*own, card, False)
    theirs, others, _, _ = _by_skin(counted(control, case)[0], tones(control, case), card, False)
    errors = standard_error(ours) or 0.0, standard_error(theirs) or 0.0
    net = float(ours.mean() - theirs.mean())
    error = math.hypot(*errors, float(np.linalg.norm((parts - others) * relative)))

    def over(value: float, of: float) -> tuple[float, float]:
        return value / m, math.hypot(of / m, value * m_error / m**2)

    readings = [(net, error), over(net, error)]
    if case.twin is None and not missing:
        card_error = float(np.linalg.norm(parts * relative))
        readings.append(over(float(ours.mean()) - false, math.hypot(errors[0], false_error, card_error)))
    elif case.twin is None:
        values, parts, relative, of_false = _by_skin(*own, card, True)
        own_error = math.hypot(standard_error(values) or 0, float(np.linalg.norm(parts * relative)), of_false)
        readings.append((float(values.mean()), own_error))
    ends = [v - Z95 * e for v, e in readings], [v + Z95 * e for v, e in readings]
    return Found(net, error, (min(ends[0]), max(ends[1])))


# the look


def look_of(case: Case, card: dict[str, Any]) -> dict[str, float]:
    """Return blur (px), its error, noise (grey levels), contrast and saturation of the images against held-out ones."""
    made, sharp = (_readings(shard, case) for shard in (case.fake, case.real))
    marks = np.array([(row["sigma"], row["value"]) for row in card["tables"]["sharpness by blur"]])
    falling = np.minimum.accumulate(marks[:, 1])

    def sigma(left: float) -> float:
        return math.inf if left < falling[-1] else float(np.interp(-left, -falling, marks[:, 0]))

    def ratio(a: np.ndarray, b: np.ndarray) -> float:
        return float(a.mean() / b.mean()) if a.mean() > 0 and b.mean() > 0 else 1.0

    look = {
        "noise": float(made[4].mean()),
        "contrast": ratio(made[2], sharp[2]),
        "saturation": ratio(made[3], sharp[3]),
        "blur": 0.0,
        "blur_error": 0.0,
    }
    shares = []
    for fine, coarse, *_ in (made, sharp):
        share = fine.sum() / coarse.sum()
        shares.append((share, math.sqrt(float(((fine - share * coarse) ** 2).sum())) / coarse.sum()))
    (ours, own), (theirs, other) = shares
    if ours <= 0 or theirs <= 0:
        return look
    left = ours / theirs
    error = left * math.hypot(own / ours, other / theirs)
    far, near = sigma(left - error), sigma(left + error)
    return {**look, "blur": sigma(left), "blur_error": (far - near) / 2 if math.isfinite(far) else 0.0}


def _readings(shard: Shard, case: Case) -> tuple[np.ndarray, ...]:
    if "look" not in shard.memory:
        skin, images = counter(case)[0]["skin"], shard.images[:256].astype(float)
        k = images.shape[-1] / 64
        grey = np.tensordot([0.299, 0.587, 0.114], images, axes=(0, 1))
        soft = [ndimage.gaussian_filter(grey, (0, s * k, s * k), mode="nearest", truncate=3.0) for s in (1, 2, 4)]
        cell, colour = round(4 * k), images - grey[:, None]
        cells = np.add.reduceat(
            np.add.reduceat(colour, np.arange(0, len(skin), cell), 2), np.arange(0, len(skin), cell), 3
        )
        cells /= cell**2
        shard.memory["look"] = (
            ((soft[0] - soft[1]) ** 2)[:, ~skin].mean(1),
            ((soft[1] - soft[2]) ** 2)[:, ~skin].mean(1),
            soft[2].std((1, 2)),
            np.sqrt(cells.var((2, 3)).mean(1)),
            noise(shard.images[:256], skin),
        )
    return shard.memory["look"]


def brought_to(look: dict[str, float], images: np.ndarray, case: Case) -> np.ndarray:
    """Return images with the blur, contrast, saturation and noise of a look, rounded to bytes after each step."""
    skin, pixels = counter(case)[0]["skin"], images
    if look["blur"]:
        pixels = _bytes(
            ndimage.gaussian_filter(pixels.astype(np.float32), (0, 0, *2 * (look["blur"],)), mode="nearest")
        )
    contrast, colour = look["contrast"], pixels.astype(np.float32)
    grey = np.einsum("c,nchw->nhw", np.array([0.299, 0.587, 0.114], np.float32), colour)[:, None]
    mean = grey.mean((2, 3), keepdims=True)
    part = np.float32(look["saturation"] / contrast)
    pixels = _bytes(mean + np.float32(contrast) * (grey - mean + part * (colour - grey)))
    own = float(noise(pixels[:256], skin).mean())
    if look["noise"] <= own:
        return pixels
    wanted = math.sqrt(look["noise"] ** 2 - own**2)
    read = float(noise(_noisy(pixels[:256], wanted, case.seed), skin).mean())
    gained = max(math.sqrt(max(read**2 - own**2, 0)), wanted / 2)
    return _noisy(pixels, wanted**2 / gained, case.seed)


def _noisy(images: np.ndarray, levels: float, seed: int) -> np.ndarray:
    drawn = generator(seed, "look").standard_normal(images.shape, np.float32)
    return _bytes(images + drawn * np.float32(255 * (levels / 255)))


def _bytes(levels: np.ndarray) -> np.ndarray:
    return np.floor(np.clip(levels + 0.5, 0, 255)).astype(np.uint8)


# attributes


def calls(shard: Shard, case: Case) -> tuple[np.ndarray, list[dict[str, Any]]]:
    """Return which faces the good probes call positive, bool [N,K], and the probes."""
    arrays, card = sealed(case.package / "metrics" / f"probes-{shard.images.shape[-1]}.npz")
    good = [p["sensitivity"]["value"] >= 0.8 and p["specificity"]["value"] >= 0.995 for p in card["probes"]]
    probes = [probe for probe, kept in zip(card["probes"], good, strict=True) if kept]
    if "calls" not in shard.memory:
        odds, tensors = (
            [],
            {k: torch.from_numpy(v.astype(np.float32)) for k, v in arrays.items() if v.dtype == np.float16},
        )
        with torch.inference_mode():
            for start in range(0, len(shard), 50):
                x = torch.from_numpy(shard.images[start : start + 50]).float() / 255 - 0.5
                for k, stride in enumerate(card["strides"]):
                    weight = tensors[f"weight_{k}"]
                    x = functional.conv2d(x, weight, tensors[f"bias_{k}"], stride, weight.shape[-1] // 2).clamp_min(0)
                last = len(card["strides"])
                odds.append(x.flatten(1) @ tensors[f"weight_{last}"].T + tensors[f"bias_{last}"])
        shard.memory["calls"] = torch.cat(odds).numpy()[:, good] >= np.array([p["threshold"] for p in probes])
    return shard.memory["calls"], probes


def attributes(case: Case) -> dict[str, Found]:
    """The shares of the attributes, and what they give together."""
    size = case.fake.images.shape[-1]
    if not countable(case) or not (case.package / "metrics" / f"probes-{size}.npz").is_file():
        return {}
    ours, probes = calls(case.fake, case)
    found = {
        f"tails/{probe['attribute']}": rogan_gladen(int(hits), len(ours), probe["sensitivity"], probe["specificity"])
        for probe, hits in zip(probes, ours.sum(0), strict=True)
    }
    theirs = calls(case.real, case)[0]
    return found | _together(case, theirs, ours, np.array([p["specificity"]["value"] for p in probes]))


def _together(case: Case, real: np.ndarray, fake: np.ndarray, specificity: np.ndarray) -> dict[str, Found]:
    labels = divided(case, case.seed)
    parts = [(real[labels[0] != j], fake[labels[1] != j]) for j in range(labels[0].max() + 1)]
    left = np.array([_hotelling(*part) for part in parts])
    found = {"shares/distance": Found(_hotelling(real, fake), jackknifed(left))}
    both, n = np.concatenate([real, fake]).astype(float), len(real)
    centred = both - both.mean(0)
    inverse = _inverse(np.cov(both.T))[0]
    rng, lengths = generator(case.seed, "shares/permutations"), []
    rows = np.arange(n, len(both))
    for _ in range(1000):
        total = centred[rows].sum(0)
        lengths.append(total @ inverse @ total)
        rows = rng.permutation(len(both))[: len(fake)]
    found["shares/p"] = Found(float(np.mean(np.array(lengths) >= lengths[0] * (1 - 1e-9))))
    chance = sorted(
        stats.hypergeom.cdf(b, len(both), a + b, len(fake)) for a, b in zip(real.sum(0), fake.sum(0), strict=True)
    )
    lost = 0  # Holm: the smallest is compared with the strictest level, until one does not pass
    while lost < len(chance) and chance[lost] <= 0.05 / (len(chance) - lost):
        lost += 1
    found["shares/lost"] = Found(float(lost))
    common = real.sum(0) >= 50
    if common.sum() >= 2:
        kept = [_kept(a[:, common], b[:, common], specificity[common]) for a, b in [(real, fake), *parts]]
        for name, of in (("worst", np.min), ("disparity", _gini)):
            each = np.array([of(k) for k in kept])
            found[f"shares/{name}"] = Found(float(each[0]), jackknifed(each[1:]))
    return found


def _inverse(covariance: np.ndarray) -> tuple[np.ndarray, int]:
    values, axes = np.linalg.eigh(covariance)
    kept = values > 1e-9
    return (axes[:, kept] / values[kept]) @ axes[:, kept].T, int(kept.sum())


def _hotelling(real: np.ndarray, fake: np.ndarray) -> float:
    n, m = len(real), len(fake)
    pooled = ((n - 1) * np.cov(real.T) + (m - 1) * np.cov(fake.T)) / (n + m - 2)
    inverse, rank = _inverse(pooled)
    gap, v = fake.mean(0) - real.mean(0), n + m - 2
    return float(gap @ inverse @ gap - rank * (1 / n + 1 / m) * (v / (v - rank - 1) if v > rank + 1 else 1))


def _kept(real: np.ndarray, fake: np.ndarray, specificity: np.ndarray) -> np.ndarray:
    return np.maximum(fake.mean(0) + specificity - 1, 0) / (real.mean(0) + specificity - 1)


def _gini(values: np.ndarray) -> float:
    ranked = np.sort(values)
    n, total = len(ranked), ranked.sum()
    return float(2 * (np.arange(1, n + 1) @ ranked) / (n * total) - (n + 1) / n) if total > 0 else 0.0
