"""The files inside an archive, and which of its pictures are the pictures of the set.

An archive may hold several pictures of one sample, such as a photograph ``000.jpg`` and its mask ``000.seg.png``.
Which of them is meant is never decided by their order: the ending is chosen with ``key``, and without a choice such an
archive is refused, with the endings and their counts. Names that only contain dots, such as ``sample.0001.png``, are
pictures of their own.
"""

from __future__ import annotations

import posixpath
import re
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from .catalogue import BadFile
from .formats import SUFFIXES
from .untrusted import quoted

__all__ = [
    "ALL",
    "Contents",
    "Member",
    "chosen",
    "is_debris",
    "is_hidden",
    "is_picture",
    "key_and_ending",
    "last_ending",
    "plain_path",
]

ALL = "all"
"""The value of ``key`` that takes every picture, however many one sample has."""

MOST_ENDINGS = 8
"""The most pictures that a sample has in practice; more endings than this, and than samples, are parts of names."""

LISTED = 12  # endings named in a message

_WORD = re.compile(r"[A-Za-z_][\w-]*")


@dataclass(frozen=True)
class Member:
    """A file inside an archive.

    Attributes:
        name: as the archive spells it.
        size: bytes of its content.
        place: where its content is, a number for the reader of the archive.
        refused: why it cannot be read; "" where nothing is known against it.
        sparse: whether its content is stored with holes.
    """

    name: str
    size: int
    place: int
    refused: str = ""
    sparse: bool = False


@dataclass(frozen=True, eq=False)
class Contents:
    """The files of an archive.

    Attributes:
        files: in the order of the archive; folders are left out.
        read: member -> its content; ValueError with the reason where it cannot be read. May be called from threads.
        damage: what is wrong with the archive itself; "" where it is whole.
        remarks: what a reader of the numbers has to know; sentences without a full stop.
    """

    files: tuple[Member, ...]
    read: Callable[[Member], bytes]
    damage: str = ""
    remarks: tuple[str, ...] = ()

    def bad(self, name: str) -> tuple[BadFile, ...]:
        """Return the damage as a refused file of this name; nothing where the archive is whole."""
        return (BadFile(name, self.damage),) if self.damage else ()


def is_hidden(name: str) -> bool:
    """Return whether a name belongs to no picture of the set: ``.x.png``, ``.git/x.png``, ``__MACOSX/x.png``."""
    if "__MACOSX" not in name and not name.startswith(".") and "/." not in name:  # nearly all names
        return False
    return any(part == "__MACOSX" or (part.startswith(".") and part not in (".", "..")) for part in name.split("/"))


def is_debris(name: str) -> bool:
    """Return whether a file was only left by the system that made the archive: ``__MACOSX/..``, ``._x.png``."""
    *folders, last = name.split("/")
    return "__MACOSX" in folders or last.startswith("._") or last == ".DS_Store"


def is_picture(name: str) -> bool:
    """Return whether the name of a member is that of a picture."""
    return last_ending(name) in SUFFIXES and not is_hidden(name)


def last_ending(name: str) -> str:
    """Return the last ending of a name, in lower case, with its dot; "" where there is none."""
    stem, dot, ending = name.rpartition("/")[2].rpartition(".")
    return f".{ending.lower()}" if dot and stem else ""


def key_and_ending(name: str) -> tuple[str, str]:
    """Split the name of a member into the name of its sample and its ending, in lower case.

    The ending is the last word, and words before it as far as they begin with a letter. So a number between dots
    belongs to the name of the sample.

    Example:
        >>> key_and_ending("./a/000.seg.png"), key_and_ending("sample.0001.PNG"), key_and_ending("v1.0-000.png")
        (('a/000', 'seg.png'), ('sample.0001', 'png'), ('v1.0-000', 'png'))
    """
    folder, slash, last = plain_path(name).rpartition("/")
    first, *words = last.split(".")
    begin = len(words)
    while begin and _WORD.fullmatch(words[begin - 1]):
        begin -= 1
    return folder + slash + ".".join([first, *words[:begin]]), ".".join(words[begin:]).lower()


def plain_path(name: str) -> str:
    """Return a name in its shortest form: ``./a/../b.png`` is ``b.png``.

    Example:
        >>> plain_path("./a/../b.png"), plain_path("a/b.png"), plain_path("")
        ('b.png', 'a/b.png', '')
    """
    if not name.startswith((".", "/")) and "//" not in name and "/." not in name:  # nearly all names
        return name
    return posixpath.normpath(name)


def chosen(names: Sequence[tuple[int, str]], key: str, where: str) -> tuple[list[int], list[str]]:
    """Choose the pictures of a set among all pictures of its archives.

    Args:
        names: (number of the archive, name of the picture).
        key: the ending to take, such as "jpg" or "seg.png"; "all" for each picture; "" where nothing was chosen.
        where: the archive or folder, for messages.

    Returns:
        The chosen rows of ``names`` in their order, and what a reader of the numbers has to know.

    Raises:
        ValueError: listing the endings, where most samples have several pictures and nothing was chosen, or where no
            picture has the chosen ending.
    """
    split = [(archive, *key_and_ending(name)) for archive, name in names]
    endings = Counter(ending for _, _, ending in split)
    samples: dict[tuple[int, str], set[str]] = {}
    for archive, sample, ending in split:
        samples.setdefault((archive, sample), set()).add(ending)
    several = {sample: found for sample, found in samples.items() if len(found) > 1}
    within = Counter(ending for found in several.values() for ending in found)
    parts_of_names = len(within) > max(MOST_ENDINGS, len(samples))
    remarks = _repeats(names)
    wanted = key.lower().removeprefix(".")
    if wanted and wanted != ALL:
        rows = [row for row, (_, _, ending) in enumerate(split) if ending == wanted]
        if rows:
            left = Counter({ending: count for ending, count in endings.items() if ending != wanted})
            if left:
                remarks.append(f"pictures left out because key is {quoted(wanted, 40)}: {_counts(left)}")
            return rows, remarks
        if several and not parts_of_names:
            raise ValueError(f"{where}: no picture ends in {quoted(key, 40)!r}; the endings are {_counts(endings)}")
        remarks.append(f"no picture ends in {quoted(wanted, 40)}; each was taken ({_counts(endings)})")
    elif several and not parts_of_names and wanted != ALL:
        if 2 * len(several) > len(samples):
            first = next(iter(endings))
            raise ValueError(
                f"{where}: {len(several)} of {len(samples)} samples have several pictures; expected the ending of the "
                f"pictures that are meant. The endings are {_counts(endings)}. Choose one, such as --key {first} (in "
                f'Python key="{first}"), or take each picture with --key {ALL}'
            )
        remarks.append(
            f"{len(several)} of {len(samples)} samples have several pictures, and each was taken ({_counts(within)} of "
            "them); key chooses one ending"
        )
    return list(range(len(names))), remarks


def _repeats(names: Sequence[tuple[int, str]]) -> list[str]:
    paths = Counter((archive, plain_path(name)) for archive, name in names)
    again = [(name, count) for (_, name), count in paths.items() if count > 1]
    if not again:
        return []
    total = sum(count - 1 for _, count in again)
    return [f"members with the name of an earlier member, all of them read: {total} (first {quoted(again[0][0], 80)})"]


def _counts(endings: Counter[str]) -> str:
    most = endings.most_common()
    listed = ", ".join(f"{quoted(ending, 40)} ({count})" for ending, count in most[:LISTED])
    return listed + (f" and {len(most) - LISTED} more" if len(most) > LISTED else "")
