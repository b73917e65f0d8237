"""Dividing pictures that belong together: every group (a person, a scene, a scanner) is in one split only."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ..io.catalogue import Split

__all__ = ["LEAST_GROUPS", "check_official", "divided", "groups_said", "in_sequence"]

LEAST_GROUPS = 2  # in train and in heldout: errors are taken over groups, and one group has no variance


def divided(
    groups: np.ndarray, heldout: int, reserve: int, rng: np.random.Generator, what: str, unit: str = "groups"
) -> dict[Split, np.ndarray]:
    """Return which pictures belong to each split, bool [N] each, with shares as near as whole groups allow.

    The groups are taken in random order. One is added to a split while that brings its number of pictures nearer to
    the number wanted; train gets the others.

    Args:
        groups: int64 [N], the group of each picture.
        heldout: pictures wanted for heldout.
        reserve: pictures wanted for the reserve; with 0 it stays empty.
        rng: the source of the order.
        what: the user's setting, for the message.
        unit: what a group is, for the message.

    Raises:
        ValueError: if there are fewer than two groups for train, two for heldout and, if it is wanted, one for the
            reserve.
    """
    keys, which, sizes = np.unique(groups, return_inverse=True, return_counts=True)
    least: dict[Split, int] = {"heldout": LEAST_GROUPS, "reserve": int(reserve > 0), "train": LEAST_GROUPS}
    if len(keys) < sum(least.values()):
        more = " and one for the reserve" if reserve else ""
        way_out = "use a finer rule or add pictures" if unit == "groups" else f"add {unit}"
        of = "" if unit != "groups" else f" of {_sizes(sizes)} pictures"
        raise ValueError(
            f"{what}: expected at least {sum(least.values())} {unit}, two for train, two held out{more} (one has no "
            f"variance), got {len(keys)}{of}; {way_out}"
        )
    waiting = [int(key) for key in rng.permutation(len(keys))]
    owner = np.full(len(keys), "train", dtype="U7")
    needed = sum(least.values())
    wishes: tuple[tuple[Split, int], ...] = (("heldout", heldout), ("reserve", reserve))
    for split, wanted in wishes:
        needed -= least[split]
        taken: list[int] = []
        have = 0
        for key in list(waiting):
            nearer = abs(have + sizes[key] - wanted) < abs(have - wanted)
            if nearer and len(waiting) - len(taken) > needed:
                taken.append(key)
                have += int(sizes[key])
        rest = sorted((key for key in waiting if key not in taken), key=lambda key: int(sizes[key]))
        taken += rest[: max(0, least[split] - len(taken))]
        owner[taken] = split
        waiting = [key for key in waiting if key not in taken]
    names: Sequence[Split] = ("heldout", "reserve", "train")
    return {split: (owner == split)[which] for split in names}


def in_sequence(order: np.ndarray, groups: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the order and, for each of its rows, the position at which its group begins if groups are in sequence.

    All rows of a group have the same position, so a threshold on positions never divides a group.
    """
    _, first, which = np.unique(groups[order], return_index=True, return_inverse=True)
    sizes = np.bincount(which)
    line = np.argsort(first)
    start = np.empty_like(sizes)
    start[line] = np.cumsum(sizes[line]) - sizes[line]
    return order, start[which]


def check_official(groups: np.ndarray, splits: np.ndarray, names: Sequence[str], rule: str) -> None:
    """Refuse a dataset whose own division puts one group into two splits.

    Args:
        groups: int64 [N].
        splits: the dataset's own split of each picture, N words.
        names: N names of the pictures, for the message.
        rule: the user's rule, for the message.

    Raises:
        ValueError: with two pictures of one group.
    """
    first: dict[int, int] = {}
    for row, group in enumerate(groups.tolist()):
        other = first.setdefault(group, row)
        if splits[row] != splits[other]:
            raise ValueError(
                f"group {rule!r}: the dataset's own division puts one group into two splits: {names[other]!r} is in "
                f"{splits[other]}, {names[row]!r} in {splits[row]}; set official = False to divide by groups"
            )


def groups_said(groups: np.ndarray, rule: str) -> str:
    """Return a sentence for the card: how many groups there are and what follows for the shares of the splits."""
    sizes = np.unique(groups, return_counts=True)[1]
    return (
        f"{len(sizes)} groups by the rule {rule!r}, of {_sizes(sizes)} pictures: all pictures of a group are in one "
        f"split, the shares of the splits are as near to those asked for as whole groups allow, and errors are taken "
        f"over groups. "
    )


def _sizes(sizes: np.ndarray) -> str:
    least, most = int(sizes.min()), int(sizes.max())
    return str(most) if least == most else f"{least} to {most}"
