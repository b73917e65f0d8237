"""Checks of two sets of images, with warnings for the reader of the numbers.

Sets of different image sizes are refused. The following are measured, with a warning: copies and near-copies inside a
set, images that occur in two sets, as they are or almost, one set given twice, red and blue exchanged in one set, lossy
files against lossless ones, too few images, unbiased distances far below zero.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np

from ..io.decode import copies
from ..measurement import Measurement
from ..metrics import METRICS
from ..metrics.frechet import FittedGaussian, frechet_floor
from .near_copies import Looked, NearCopies, Small, reduced
from .sources import OpenedImages

__all__ = [
    "below_zero",
    "channels_exchanged",
    "copies_among",
    "lossy_beside_lossless",
    "near_copies_among",
    "notes_of",
    "of_one_form",
    "warn_of_few",
]

FAR = 3.0  # standard errors below zero, of the second lowest of several feature spaces
FAR_ALONE = 5.0  # the same where there is one feature space only
LOSSY = frozenset({".avif", ".heic", ".heif", ".hif", ".jfif", ".jpe", ".jpeg", ".jpg", ".mpo", ".webp"})


def of_one_form(sets: dict[str, OpenedImages]) -> tuple[dict[str, OpenedImages], list[str]]:
    """Return the sets with equal numbers of channels, and a sentence for each set that was changed.

    If grey and colour sets are mixed, the grey ones become three equal channels.

    Raises:
        ValueError: where heights or widths differ.
    """
    forms = {name: each.images.shape[2:] for name, each in sets.items()}
    if len(set(forms.values())) > 1:
        sizes = ", ".join(f"{name} is {width} x {height}" for name, (height, width) in forms.items())
        side = min(min(form) for form in forms.values())
        raise ValueError(
            f"sets of different sizes: {sizes} pixels. Nothing is resized unless you say so: --size {side} (in Python "
            f"size={side}) crops every picture to its centre square and resamples it"
        )
    if len({each.images.shape[1] for each in sets.values()}) == 1:
        return sets, []
    alike, notes = dict(sets), []
    for name, each in sets.items():
        if each.images.shape[1] == 1:
            shape = (len(each), 3, *each.images.shape[2:])
            alike[name] = replace(each, images=np.broadcast_to(each.images, shape))
            notes.append(f"{name} is grey and was read as three equal channels, because other sets are in colour")
    return alike, notes


def notes_of(sets: dict[str, OpenedImages]) -> list[str]:
    """Return what was done to the pixels of each set, and a warning if only one of real and fake was resampled."""
    notes = [f"{name}: {note}" for name, each in sets.items() for note in each.notes]
    if sets["real"].resized != sets["fake"].resized:
        both = [f"{name} {sets[name].resized or 'not resampled'}" for name in ("real", "fake")]
        notes.append(f"{' and '.join(both)}: resampling only one set changes its fine detail")
    return notes


def lossy_beside_lossless(real: OpenedImages, fake: OpenedImages) -> list[str]:
    """Return a warning if one set comes from lossy files and the other does not: many metrics detect that alone."""
    kinds = [{ending in LOSSY for ending, _ in each.endings} for each in (real, fake)]
    if not all(kinds) or kinds[0] == kinds[1]:
        return []
    files = [", ".join(f"{count} {ending}" for ending, count in each.endings) for each in (real, fake)]
    return [
        f"real holds {files[0]} files and fake {files[1]}: lossy compression alone changes spectra, the detector and "
        "FID. Save both in the same format"
    ]


def copies_among(sets: dict[str, OpenedImages], seed: int = 0) -> list[str]:
    """Return warnings about images that occur twice: inside a set, or in two sets that should share none.

    Images that are equal in every pixel are all counted, near-copies where there are more of them than that, see
    near_copies.py. Red and blue that are exchanged between real and fake are warned of, too.
    """
    seen = {name: copies(each.images) for name, each in sets.items()}
    small = {name: reduced(each.images) for name, each in sets.items()}
    near = near_copies_among(small, seen, seed)
    return _exact_copies(seen) + near + channels_exchanged(small["real"], small["fake"])


def _exact_copies(seen: Mapping[str, Counter[bytes]]) -> list[str]:
    warnings = []
    for name, counts in seen.items():
        extra = counts.total() - len(counts)
        if len(counts) == 1 and extra:
            warnings.append(f"{name}: all {counts.total()} pictures are the same one")
        elif extra:
            repeats = f"{extra} of {counts.total()} pictures repeat others in it"
            warnings.append(f"{name}: {repeats}, pixel by pixel; all of them are measured")
    for (one, other), meaning in MEANING.items():
        if one in seen and other in seen:
            warnings += _shared(one, seen[one], other, seen[other], meaning)
    return warnings


MEANING = {
    ("real", "fake"): "distances are too small",
    ("train", "fake"): "the model returned training images",
    ("real", "train"): "the reference was not held out, and memorisation cannot be detected",
    ("real", "floor"): "the floor is too low",
    ("floor", "fake"): "the floor contains images that the model has seen",
}
"""The consequence if images of the second set occur in the first."""


def _shared(one: str, these: Counter[bytes], other: str, those: Counter[bytes], meaning: str) -> list[str]:
    if these == those:
        return [f"{one} and {other} are the SAME pictures: {meaning}"]
    shared = sum(count for picture, count in those.items() if picture in these)
    words = f"{shared} of {those.total()} {other} pictures occur in {one} too, pixel by pixel: {meaning}"
    return [words] if shared else []


def shared_in_loop(real: np.ndarray, heldout: np.ndarray, made: Mapping[str, np.ndarray]) -> list[str]:
    """Return warnings about pictures that occur in two sets of a loop that ran elsewhere, pixel by pixel.

    Args:
        real: what the first model was trained on, uint8 [N,C,H,W].
        heldout: real images that no model has seen.
        made: name of a generation -> its images.
    """
    known = copies(real), copies(heldout)
    meaning = "the held-out images were trained on, so distances and memorisation mean nothing"
    warnings = _shared("the real images", known[0], "the held-out images", known[1], meaning)
    for name, images in made.items():
        seen = copies(images)
        warnings += _shared("the real images", known[0], name, seen, "these were not made by a model, or are copies")
        warnings += _shared("the held-out images", known[1], name, seen, "distances are too small")
    return warnings


def near_copies_among(small: Mapping[str, Small], seen: Mapping[str, Counter[bytes]], seed: int = 0) -> list[str]:
    """Return warnings about near-copies of real images in another set, and inside a set, if they are a quarter of it.

    Args:
        small: the sets in small, "real" among them.
        seen: how often each image occurs in each set; what exact copies explain is not reported again.
        seed: seed of the choices from large sets.
    """
    found, warnings = NearCopies(small["real"], seed), []
    results: dict[tuple[str, ...], Looked] = {("real",): found.inside}
    for name in small.keys() - {"real"}:
        results["real", name], results[(name,)] = found.among(small[name])
    for pair, meaning in MEANING.items():
        if pair[0] != "real" or pair not in results:
            continue
        shared = sum(count for picture, count in seen[pair[1]].items() if picture in seen["real"])
        if (looked := results[pair]).found and _is_more(looked, shared / seen[pair[1]].total()):
            warnings.append(
                f"{_count(looked, pair[1], small)} almost pictures of real (shifted, mirrored, saved again, blurred or "
                f"resampled): {meaning}"
            )
    for name, counts in seen.items():
        repeated = sum(count for count in counts.values() if count > 1)
        if (looked := results[(name,)]).many and _is_more(looked, repeated / counts.total()):
            warnings.append(
                f"{_count(looked, name, small)} almost others of the same set: numbers that go by the nearest images "
                "(precision, recall, density, coverage, memorisation) say nothing, and n different images are fewer "
                "than n"
            )
    return warnings


def _count(looked: Looked, name: str, small: Mapping[str, Small]) -> str:
    total = len(small[name].usable)
    chosen = f" that were looked up (of {total})" if looked.looked < total else ""
    return f"{looked.found} of {looked.looked} {name} pictures{chosen} are"


def _is_more(looked: Looked, share: float) -> bool:
    """Return whether more was found than the share of exact copies explains."""
    expected = share * looked.looked
    return looked.found > expected + 3.0 * math.sqrt(expected)


def channels_exchanged(real: Small, fake: Small) -> list[str]:
    """Return a warning if the sets differ in colour and no longer do so with red and blue exchanged in one of them.

    From 30 images in each set, the Fréchet distance between the means and deviations of the channels must be 5 times
    what chance would give. With red and blue exchanged it must fall to a tenth, and to 5 times chance or a tenth of the
    variance of the real colours.
    """
    colours = real.colours, fake.colours
    if colours[0].shape[1] != 6 or min(len(each) for each in colours) < 30:
        return []
    ours, theirs, exchanged = (FittedGaussian.of(each) for each in (*colours, colours[1][:, [2, 1, 0, 5, 4, 3]]))
    spectrum = np.linalg.eigvalsh(np.cov(colours[0].T.astype(np.float64))).clip(min=0.0)
    plain, other = ours.distance(theirs), ours.distance(exchanged)
    chance = 5.0 * frechet_floor(spectrum, ours.n, theirs.n)
    if plain < chance or other > min(plain / 10.0, max(chance, spectrum.sum() / 10.0)):
        return []
    return [
        f"red and blue may be exchanged in real or in fake: with the channels of one set in the order blue, green, red "
        f"the distance of the colours falls from {plain:.3g} to {other:.3g}. Check how the files were written (OpenCV "
        "takes BGR)"
    ]


def below_zero(measurements: Sequence[Measurement], real: str = "real", other: str = "fake") -> list[str]:
    """Return a warning if unbiased distances are so far below zero that the two sets cannot be independent.

    Between independent sets an unbiased distance is zero or more, up to its error. Where it is measured in several
    feature spaces, the second lowest must be 3 standard errors below zero, else the one 5.

    Args:
        measurements: what was measured between the two sets.
        real: name of the first set, for the message.
        other: name of the second set.
    """
    lowest: dict[str, list[tuple[float, Measurement]]] = {}
    for m in measurements:
        unbiased = m.better == "lower" and ("unbiased" in m.estimator or m.estimator.endswith("jackknifed"))
        if unbiased and m.value is not None and m.stderr:
            lowest.setdefault(m.name.partition("/")[0], []).append((m.value / m.stderr, m))
    told = []
    for each in lowest.values():
        each.sort(key=lambda pair: pair[0])
        if each[min(1, len(each) - 1)][0] <= -(FAR if len(each) > 1 else FAR_ALONE):
            z, m = each[0]
            told.append(f"{m.name} is {m.value:.3g} ± {m.stderr:.2g}, {-z:.1f} standard errors below zero")
    if not told:
        return []
    return [
        f"{'; '.join(told)}. Independent sets do not give that: {real} and {other} share pictures or near-copies of "
        "them, or both were balanced in the same way. Distances are too small"
    ]


def warn_of_few(sets: dict[str, OpenedImages], panel: Sequence[str]) -> list[str]:
    """Return a warning that names the metrics of a panel that need more images to be trusted."""
    n = min(len(sets["real"]), len(sets["fake"]))
    short = [f"{name} ({METRICS[name].least})" for name in panel if METRICS[name].least > n]
    return [f"n = {n} is less than these metrics need: {', '.join(short)}"] if short else []
