"""Cautions: what a reader has to know of two sets of images before trusting a number about them.

Sets of different size are refused. Copies inside a set, pictures that stand in two sets, one set handed over twice,
lossy files beside lossless ones, too few images: these are measured, and said.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from ..io.decode import copies
from ..metrics import METRICS
from .sources import OpenedImages

__all__ = ["copies_among", "lossy_beside_lossless", "notes_of", "of_one_form", "warn_of_few"]

LOSSY = frozenset({".jpg", ".jpeg", ".jpe", ".jfif", ".webp"})


def of_one_form(sets: dict[str, OpenedImages]) -> tuple[dict[str, OpenedImages], list[str]]:
    """Return the sets with grey ones beside colour ones as three equal channels, and a sentence on each of those.

    Raises:
        ValueError: where heights or widths differ.
    """
    forms = {name: each.images.shape[2:] for name, each in sets.items()}
    if len(set(forms.values())) > 1:
        told = ", ".join(f"{name} is {width} x {height}" for name, (height, width) in forms.items())
        side = min(min(form) for form in forms.values())
        raise ValueError(
            f"sets of different sizes: {told} pixels. Nothing is resized unless you say so: --size {side} (in Python "
            f"size={side}) crops every picture to its centre square and resamples it"
        )
    if len({each.images.shape[1] for each in sets.values()}) == 1:
        return sets, []
    alike, said = dict(sets), []
    for name, each in sets.items():
        if each.images.shape[1] == 1:
            shape = (len(each), 3, *each.images.shape[2:])
            alike[name] = replace(each, images=np.broadcast_to(each.images, shape))
            said.append(f"{name} is grey and was taken as three equal channels, beside sets in colour")
    return alike, said


def notes_of(sets: dict[str, OpenedImages]) -> list[str]:
    """Return what was done to the pixels, and whether it was done to one set and not to the other."""
    said = [f"{name}: {note}" for name, each in sets.items() for note in each.notes]
    if sets["real"].resized != sets["fake"].resized:
        told = [f"{name} {sets[name].resized or 'as it is'}" for name in ("real", "fake")]
        said.append(f"{' and '.join(told)}: resampling one set alone changes its fine detail")
    return said


def lossy_beside_lossless(real: OpenedImages, fake: OpenedImages) -> list[str]:
    """Say so where one set comes from lossy files and the other does not: many instruments see that alone."""
    kinds = [{ending in LOSSY for ending, _ in each.endings} for each in (real, fake)]
    if not all(kinds) or kinds[0] == kinds[1]:
        return []
    told = [", ".join(f"{count} {ending}" for ending, count in each.endings) for each in (real, fake)]
    return [
        f"real holds {told[0]} files and fake {told[1]}: lossy compression alone moves spectra, the detector and FID. "
        "Save both alike"
    ]


def copies_among(sets: dict[str, OpenedImages]) -> list[str]:
    """Say which pictures occur twice: inside a set, and in two sets that ought to share none.

    Only pictures equal in every pixel are found.
    """
    seen = {name: copies(each.images) for name, each in sets.items()}
    said = []
    for name, counts in seen.items():
        extra = counts.total() - len(counts)
        if len(counts) == 1 and extra:
            said.append(f"{name}: all {counts.total()} pictures are the same one")
        elif extra:
            said.append(f"{name}: {extra} of {counts.total()} pictures repeat others in it, pixel by pixel; they count")
    for (one, other), meaning in MEANING.items():
        if one in seen and other in seen:
            said += _shared(one, seen[one], other, seen[other], meaning)
    return said


MEANING = {
    ("real", "fake"): "distances are smaller than they ought to be",
    ("train", "fake"): "the model handed back what it was shown",
    ("real", "train"): "the reference was not held out, and memorisation cannot be told",
    ("real", "floor"): "the floor is lower than it ought to be",
    ("floor", "fake"): "the floor is not of images that the model never saw",
}
"""What it means where pictures of the second set stand in the first."""


def _shared(one: str, these: Counter[bytes], other: str, those: Counter[bytes], meaning: str) -> list[str]:
    if these == those:
        return [f"{one} and {other} are the SAME pictures: {meaning}"]
    shared = sum(count for picture, count in those.items() if picture in these)
    return [f"{shared} of {those.total()} {other} pictures stand in {one} too, pixel by pixel: {meaning}"] * bool(
        shared
    )


def warn_of_few(sets: dict[str, OpenedImages], panel: Sequence[str]) -> list[str]:
    """Say which metrics of a panel would be trusted with more images only."""
    n = min(len(sets["real"]), len(sets["fake"]))
    short = [f"{name} ({METRICS[name].least})" for name in panel if METRICS[name].least > n]
    return [f"n = {n} is fewer than can be trusted by {', '.join(short)}"] if short else []
