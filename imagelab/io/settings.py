"""Settings in JSON and YAML files: one mapping of plain values, of limited size and depth.

YAML aliases make a small file stand for a huge value, and YAML and JSON both let a later key overwrite an earlier one
of the same name. Here aliases count as often as they are used, and a repeated key is an error.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .untrusted import parsing, quoted, regular, shown

if TYPE_CHECKING:
    from yaml import Node

__all__ = ["check_plain", "flatten", "read_settings"]

MOST_BYTES = 500_000  # of a file; that of an experiment has about 3,000
MOST_VALUES = 10_000
MOST_DEPTH = 50


def read_settings(path: Path) -> dict[str, Any]:
    """Read the mapping of settings in a JSON file, or in a YAML file where the name does not end in ``.json``.

    Returns:
        Name -> null, bool, number, text, list, or mapping.

    Raises:
        ValueError: naming the file, if it is no regular file, is damaged, too large or too deep, is no mapping, repeats
            a name, or holds other than plain values.
    """
    size, word = regular(path).st_size, path.suffix[1:].upper()
    if size > MOST_BYTES:
        raise ValueError(f"{shown(path)}: {size} bytes; expected settings of at most {MOST_BYTES}")
    with parsing(path, f"whole {word}"):
        text = path.read_bytes().decode("utf-8-sig")
        content = json.loads(text, object_pairs_hook=_without_repeats) if word == "JSON" else _from_yaml(text)
        if isinstance(content, dict):
            check_plain(content)
    if not isinstance(content, dict):
        raise ValueError(f"{shown(path)}: expected a mapping of settings, got {type(content).__name__}")
    return content


def _without_repeats(pairs: Sequence[tuple[str, Any]]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name, value in pairs:
        if name in found:
            raise ValueError(f"the name {quoted(name, 60)!r} stands twice in one mapping")
        found[name] = value
    return found


def _from_yaml(text: str) -> Any:
    """Return the value of a YAML text; aliases are counted before any value is made of them."""
    import yaml

    loader = yaml.SafeLoader(text)
    try:
        root = loader.get_single_node()
        if root is None:
            return None
        _check_nodes(root)
        return loader.construct_document(root)
    finally:
        loader.dispose()


def _check_nodes(root: Node) -> None:
    """Raise ValueError for too many values or levels, each alias counted where it is used, and for repeated names."""
    from yaml import MappingNode, ScalarNode, SequenceNode

    waiting, count = [(root, 1)], 0
    while waiting:
        node, depth = waiting.pop()
        count += 1
        _check_extent(count, depth)
        if isinstance(node, SequenceNode):
            waiting += [(each, depth + 1) for each in node.value]
        elif isinstance(node, MappingNode):
            _without_repeats([(key.value, None) for key, _ in node.value if isinstance(key, ScalarNode)])
            waiting += [(each, depth + 1) for pair in node.value for each in pair]


def _check_extent(count: int, depth: int, most: int = MOST_VALUES) -> None:
    if count > most:
        raise ValueError(f"more than {most} values, each alias counted where it is used")
    if depth > MOST_DEPTH:
        raise ValueError(f"nested too deeply: more than {MOST_DEPTH} levels")


def check_plain(content: Mapping[Any, Any], most: int = MOST_VALUES) -> None:
    """Check that a mapping holds plain finite values only, under names that are text, of limited number and depth.

    Args:
        content: from JSON or YAML.
        most: how many values it may hold.

    Raises:
        ValueError: with the place of the first other value.
    """
    waiting: list[tuple[str, Any, int]] = [("", content, 1)]
    count = 0
    while waiting:
        place, value, depth = waiting.pop()
        count += 1
        _check_extent(count, depth, most)
        if isinstance(value, Mapping):
            waiting += [(f"{place}.{_name(place, key)}".lstrip("."), each, depth + 1) for key, each in value.items()]
        elif isinstance(value, list):
            waiting += [(f"{place}.{row}", each, depth + 1) for row, each in enumerate(value)]
        else:
            fault = next(_faults(value), None)
            if fault:
                raise ValueError(f"{quoted(place, 80)}: {fault}")


def _name(place: str, key: object) -> str:
    if not isinstance(key, str):
        where = f" in {quoted(place, 80)}" if place else ""
        raise ValueError(f"expected names of settings as text, got {type(key).__name__} {quoted(key, 40)}{where}")
    return key[:60]


def _faults(value: object) -> Iterator[str]:
    """Yield why a value that is no mapping and no list is not plain."""
    if isinstance(value, str):
        try:
            value.encode()
        except UnicodeEncodeError:
            yield f"text that is not Unicode: {quoted(value, 60)}"
    elif isinstance(value, int) and abs(value) >= 1 << 128:  # so that it can be printed and turned into a float
        yield "expected a number below 2**128"
    elif isinstance(value, float) and not math.isfinite(value):
        yield f"expected a finite number, got {value}"
    elif value is not None and not isinstance(value, bool | int | float):
        yield f"expected a plain value, got {type(value).__name__} {quoted(value, 60)}"


def flatten(value: Any, prefix: str = "") -> dict[str, Any]:
    """Return nested settings as one level: dotted name -> value."""
    if isinstance(value, dict):
        return {k: v for key, item in value.items() for k, v in flatten(item, f"{prefix}{key}.").items()}
    return {prefix.rstrip("."): value}
