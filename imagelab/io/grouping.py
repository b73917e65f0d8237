"""Groups of pictures, read from their names: persons, scenes or scanners, whose pictures are not independent.

A rule is ``folder`` (the folder that holds the picture), ``folder:N`` (the N-th folder of its path, 1 is the first one
below the root), a regular expression with exactly one capture group, which is searched in the relative path, or
``dicom:KEYWORD``, an element of DICOM files such as PatientID, which is compared and never shown.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence

import numpy as np

from .catalogue import Catalogue, is_archive
from .dicom import dicom_value, keyword_of

__all__ = ["catalogue_keys", "check_rule", "group_keys", "path_keys"]

LEVEL = re.compile(r"folder:([1-9][0-9]?)")
LEVELS = re.compile(r"folder(?::.*)?")
EXAMPLES = 3
FORMS = (
    "expected folder, folder:N (N-th folder of the path, from 1), or a regular expression with exactly one capture "
    "group, such as (person[0-9]+)"
)


def check_rule(rule: str) -> str:
    """Return a rule as it is, if it can be one.

    Raises:
        ValueError: with what is expected.
    """
    if keyword_of(rule) is None:
        _reader(rule)
    return rule


def group_keys(names: Sequence[str], rule: str) -> np.ndarray:
    """Return the number of each picture's group.

    Args:
        names: N paths relative to the root, with ``/`` between folders.
        rule: ``folder``, ``folder:N``, or a regular expression with exactly one capture group.

    Returns:
        int64 [N]; groups are numbered from 0 in the sorted order of their keys (for ``folder`` the whole path of the
        folder, so two folders of one name under different parents are two groups).

    Raises:
        ValueError: if the rule is none, or a name has no group by it; the message gives up to three examples.

    Example:
        >>> group_keys(["ann/1.png", "bob/1.png", "ann/2.png"], "folder").tolist()
        [0, 1, 0]
        >>> group_keys(["p07_a.png", "p02_a.png"], r"(p[0-9]+)_").tolist()
        [1, 0]
    """
    read = _reader(rule)
    keys = [read(name) for name in names]
    _check_all(names, keys, rule, f" {FORMS[0].upper()}{FORMS[1:]}")
    number = {key: row for row, key in enumerate(sorted({key for key in keys if key}))}
    return np.array([number[key] for key in keys if key], np.int64)


def _check_all(names: Sequence[str], keys: Sequence[str | None], rule: str, more: str = "") -> None:
    without = [name for name, key in zip(names, keys, strict=True) if not key]
    if without:
        rest = f" and {len(without) - EXAMPLES} more" if len(without) > EXAMPLES else ""
        examples = ", ".join(map(repr, without[:EXAMPLES])) + rest
        raise ValueError(
            f"group {rule!r}: {len(without)} of {len(names)} pictures have no group by this rule: {examples}. Every "
            f"picture needs one; change the rule or move these pictures.{more}"
        )


def catalogue_keys(catalogue: Catalogue, rule: str) -> np.ndarray:
    """Return the group of each picture of a catalogue, int64 [N]: by its name, or by an element of its DICOM file.

    Raises:
        ValueError: as :func:`group_keys`; the messages never hold an element's value.
    """
    keyword, content = keyword_of(rule), catalogue.content
    if keyword is None:
        return path_keys(catalogue.names, rule)
    values = [dicom_value(content(row), keyword) if content else "" for row in range(len(catalogue))]
    _check_all(catalogue.names, values, rule)
    number = {value: place for place, value in enumerate(dict.fromkeys(values))}
    return np.array([number[value] for value in values], np.int64)


def path_keys(names: Sequence[str], rule: str) -> np.ndarray:
    """Return :func:`group_keys` of a catalogue's names, where a picture of an archive has the archive before its path.

    Folders are those inside the archive, so a person in two archives is one group; an expression is searched in the
    whole name.
    """
    return group_keys([_inside(name) for name in names] if LEVELS.fullmatch(rule) else names, rule)


def _inside(name: str) -> str:
    archive, colon, path = name.partition(":")
    return path if colon and is_archive(archive) else name


def _reader(rule: str) -> Callable[[str], str | None]:
    """Return the function name -> key of its group, None or "" where it has none."""
    if rule == "folder":
        return lambda name: name.rpartition("/")[0]
    level = LEVEL.fullmatch(rule)
    if level:
        place = int(level[1])
        return lambda name: "/".join(folders[:place]) if len(folders := name.split("/")[:-1]) >= place else None
    if rule.startswith("folder:"):
        raise ValueError(f"group {rule!r}: {FORMS}")
    try:
        pattern = re.compile(rule)
    except (re.error, OverflowError, RecursionError) as error:
        raise ValueError(f"group {rule!r}: not a regular expression ({error}); {FORMS}") from error
    if pattern.groups != 1:
        raise ValueError(f"group {rule!r}: {pattern.groups} capture groups; {FORMS}")

    def key(name: str) -> str | None:
        found = pattern.search(name)
        return found[1] if found else None

    return key
