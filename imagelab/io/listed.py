"""Which pictures of a list are in a folder, and long lists of files in a few lines of a message."""

from __future__ import annotations

import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from .catalogue import SUFFIXES, BadFile, Entry, Listing, shown
from .untrusted import NAMED, few, quoted

__all__ = ["Present", "loose", "named", "present"]


@dataclass(frozen=True)
class Present:
    """The pictures of a list that are in a folder.

    Attributes:
        rows: int64 [N], their rows in the list.
        listing: the folder with these pictures only, in the order of the list.
        note: what does not agree between the list and the folder, for the card; "" where all agrees.
    """

    rows: np.ndarray
    listing: Listing
    note: str


def present(listing: Listing, names: Sequence[str]) -> Present:
    """Look up listed names in a folder.

    Names that differ only in upper and lower case, in the form of accents or in their separator are the same; where no
    name at all is found, the suffixes are ignored too (the list of CelebA says ``.jpg`` also for its PNG files).

    Args:
        listing: the folder.
        names: as the list has them, each one once.

    Raises:
        ValueError: if a name can mean several files, or several names one file.
    """
    found: dict[int, Entry] = {}
    by_name = {entry.name: entry for entry in listing.entries}
    for row, name in enumerate(names):
        if name in by_name:
            found[row] = by_name.pop(name)
    notes = [""]
    if len(found) < len(names):
        alike = _alike(listing, names, found, by_name, suffix=True)
        if not found and not alike:
            alike = _alike(listing, names, found, by_name, suffix=False)
        found |= alike
        if alike:
            row, entry = min(alike.items())
            notes.append(f"{len(alike):,} file names are written in another way than on the list ")
            notes.append(f"({quoted(entry.name, 120)} for {quoted(names[row], 120)}). ")
    gone = [name for row, name in enumerate(names) if row not in found]
    if gone:
        notes.append(f"{len(gone):,} of {len(names):,} listed pictures are not in the folder: {few(gone)}. ")
    used = {entry.name for entry in found.values()}
    extra = [entry.name for entry in listing.entries if entry.name not in used]
    if extra:
        notes.append(f"{len(extra):,} pictures are on no list and not used: {few(extra)}. ")
    rows = sorted(found)
    chosen = replace(listing, entries=tuple(found[row] for row in rows))
    return Present(np.array(rows, np.int64), chosen, "".join(notes))


def _alike(
    listing: Listing, names: Sequence[str], found: Mapping[int, Entry], free: Mapping[str, Entry], suffix: bool
) -> dict[int, Entry]:
    """Return the file of each row that was not found by its exact name, where one is there."""
    if not free:
        return {}
    files: dict[str, list[Entry]] = {}
    for entry in free.values():
        files.setdefault(loose(entry.name, suffix), []).append(entry)
    wanted: dict[str, list[int]] = {}
    for row, name in enumerate(names):
        if row not in found and (key := loose(name, suffix)) in files:
            wanted.setdefault(key, []).append(row)
    for key, rows in wanted.items():
        if len(rows) > 1 or len(files[key]) > 1:
            raise ValueError(
                f"{shown(listing.folder)}: expected one file for each listed name; "
                f"{few([names[row] for row in rows])} can mean {few([entry.name for entry in files[key]])}"
            )
    return {rows[0]: files[key][0] for key, rows in wanted.items()}


def loose(name: str, suffix: bool = False) -> str:
    r"""Return a name without what may differ between a list and a folder: case, accents' form, separator, suffix.

    Args:
        name: a name or a path relative to the dataset.
        suffix: whether the suffix of a picture is kept.

    Example:
        >>> loose("Images\\A.JPG"), loose("./a.b.png", suffix=True)
        ('images/a', 'a.b.png')
    """
    text = (name if name.isascii() else unicodedata.normalize("NFC", name)).replace("\\", "/").casefold()
    text = text.removeprefix("./")
    stem, dot, ending = text.rpartition(".")
    return stem if stem and not suffix and dot + ending in SUFFIXES else text


def named(bad: Sequence[BadFile]) -> str:
    """Return one line for each of the first bad files, with its reason, and how many more there are."""
    lines = [f"\n  {quoted(f'{file.path}: {file.reason}')}" for file in bad[:NAMED]]
    more = f"\n  and {len(bad) - NAMED:,} more" if len(bad) > NAMED else ""
    return "".join(lines) + more
