"""Checks of two sets of images, with warnings for the reader of the numbers.

Sets of different image sizes are refused. The following are measured, with a warning: copies inside a set, images that
occur in two sets, one set given twice, lossy files against lossless ones, too few images.
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


def copies_among(sets: dict[str, OpenedImages]) -> list[str]:
    """Return warnings about images that occur twice: inside a set, or in two sets that should share none.

    Only images that are equal in every pixel are detected.
    """
    seen = {name: copies(each.images) for name, each in sets.items()}
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
    return [f"{shared} of {those.total()} {other} pictures occur in {one} too, pixel by pixel: {meaning}"] * bool(
        shared
    )


def warn_of_few(sets: dict[str, OpenedImages], panel: Sequence[str]) -> list[str]:
    """Return a warning that names the metrics of a panel that need more images to be trusted."""
    n = min(len(sets["real"]), len(sets["fake"]))
    short = [f"{name} ({METRICS[name].least})" for name in panel if METRICS[name].least > n]
    return [f"n = {n} is less than these metrics need: {', '.join(short)}"] if short else []
