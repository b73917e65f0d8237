"""The shape of a run's records: config.json and provenance.json, checked once, so that their readers need not.

Only the parts that some command reads are described; what else a record holds must be plain values of limited depth.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from .settings import check_plain
from .untrusted import parsing, quoted, shown

__all__ = ["check_config", "check_provenance"]

MOST_VALUES = 1_000_000  # of a record: its data card lists every bad file

_RECIPE = {"kind": str}
_CONFIG = {
    "schema": int,
    "signature": str,
    "experiment": {
        "name": str,
        "title": str,
        "data": _RECIPE,
        "regime": _RECIPE,
        "generator": _RECIPE,
        "curation": _RECIPE,
        "arms": [_RECIPE],
        "generations": int,
        "images": int,
        "heldout": int,
        "tracked": int,
        "probe": int,
        "seed": int,
        "metrics": [str],
    },
}
_PROVENANCE = {
    "imagelab": str,
    "data": {"card": str, "counts": {}, "asked": {}, "bad_files": [{"path": str, "reason": str}]},
    "n": int,
    "own": [{"family": str, "name": str, "fed": str, "noun": str, "drawn": bool, "references": [str], "row": {}}],
    "resumed_with": [{}],
    "branched_from": {},
    "threads": {},
    "packages": {},
}
"""A type, a mapping with the forms of some of its keys, or a list of one form. null stands for an absent value."""


def check_config(content: Mapping[str, Any], path: Path) -> None:
    """Check the content of a config.json.

    Args:
        content: of the file.
        path: the file, for messages.

    Raises:
        ValueError: naming the file and the place in it that has another type than expected.
    """
    _check(content, _CONFIG, path)
    if content.get("experiment") is None:
        raise ValueError(f"{shown(path)}: expected an object `experiment` in it, got null. Restore the file.")


def check_provenance(content: Mapping[str, Any], path: Path) -> None:
    """Check the content of a provenance.json; see :func:`check_config`."""
    calibration = _mapping(content.get("freckle_calibration"))
    tables, figures = _mapping(calibration.get("tables")), _mapping(calibration.get("figures"))
    form = {
        **_PROVENANCE,
        "labels": dict.fromkeys(_mapping(content.get("labels")), str),
        "freckle_calibration": {"tables": {name: [{}] for name in tables}, "figures": {name: {} for name in figures}},
    }
    _check(content, form, path)


def _mapping(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}


def _check(content: Mapping[str, Any], form: Any, path: Path) -> None:
    with parsing(path, "a whole record"):
        check_plain(content, MOST_VALUES)
    fault = next(_faults(content, form, ""), None)
    if fault:
        raise ValueError(f"{shown(path)}: {fault}. Restore the file.")


def _faults(value: Any, form: Any, place: str) -> Iterator[str]:
    """Yield the places in a value that do not have the form."""
    if value is None:
        return
    kind = Mapping if isinstance(form, dict) else list if isinstance(form, list) else form
    if not isinstance(value, kind) or (kind is int and isinstance(value, bool)):
        word = {Mapping: "an object", list: "a list", str: "text", int: "a whole number"}.get(kind, kind.__name__)
        yield f"expected `{quoted(place, 80)}` to be {word}, got {type(value).__name__}"
    elif isinstance(form, dict):
        for key in form.keys() & value.keys():
            yield from _faults(value[key], form[key], f"{place}.{key}".lstrip("."))
    elif isinstance(form, list):
        for row, each in enumerate(value):
            yield from _faults(each, form[0], f"{place}.{row}")
