"""An experiment with other settings, given by dotted names such as ``regime.real_fraction``.

A new ``kind`` starts from the defaults of that kind, as on the command line of ``imagelab run``. Values may be text, as
a command line or a table has them; they are checked and converted as those of a JSON file.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic import ValidationError

from ..experiment import Experiment, explain
from ..families import FAMILIES, Recipe, kind_of

__all__ = ["RECIPES", "dotted", "with_settings"]

RECIPES = {"data": "data", "regime": "regimes", "generator": "generators", "curation": "curations"}
"""The settings of an experiment that are recipes, and the family that each is chosen from."""


def dotted(name: str) -> str:
    """Return the dotted name of a setting that was given as a flag: ``regime.real_fraction``."""
    return name.removeprefix("--").replace("-", "_")


def with_settings(experiment: Experiment, settings: Mapping[str, Any]) -> tuple[Experiment, tuple[str, ...]]:
    """Return an experiment with some settings replaced, and the names that none of its recipes has.

    A setting of a recipe that the chosen kind does not have is left out: in a sweep over kinds it belongs to others.

    Args:
        experiment: what is changed.
        settings: dotted name -> value; ``regime.kind`` chooses another regime.

    Raises:
        ValueError: for a name that no experiment has, or a value that does not suit, naming the setting.

    Example:
        >>> made, unused = with_settings(Experiment(), {"regime.kind": "mix", "regime.real_fraction": "0.3", "seed": 4})
        >>> made.regime, made.seed, unused
        (Mix(kind='mix', real_fraction=0.3...), 4, ())
    """
    values: dict[str, Any] = {name: getattr(experiment, name) for name in Experiment.model_fields}
    unused: list[str] = []
    within: dict[str, dict[str, Any]] = {}
    for name, value in settings.items():
        first, _, rest = dotted(name).partition(".")
        if rest and first in RECIPES:
            within.setdefault(first, {})[rest] = value
        elif not rest and first in values and first not in (*RECIPES, "arms", "runtime"):
            values[first] = value
        else:
            raise ValueError(f"{name}: {_reason(first, rest)}")
    for first, changes in within.items():
        values[first], left = _changed(values[first], changes, RECIPES[first], first)
        unused += [f"{first}.{name}" for name in left]
    try:
        return Experiment(**values), tuple(unused)
    except ValidationError as error:
        raise ValueError(explain(error)) from error


def _reason(first: str, rest: str) -> str:
    if first == "runtime":
        return "says how the work is done, not what is asked; it cannot be swept"
    if first == "arms":
        return "a list of models cannot be swept; write one experiment file for each list"
    if first in RECIPES:
        return f"expected a setting of it, such as {first}.kind"
    if rest or first not in Experiment.model_fields:
        return f"no experiment has this setting; there are {', '.join([*RECIPES, *_plain()])}"
    return "cannot be swept"


def _plain() -> list[str]:
    return [name for name in Experiment.model_fields if name not in (*RECIPES, "arms", "runtime")]


def _changed(recipe: Recipe, changes: Mapping[str, Any], family: str, place: str) -> tuple[Recipe, list[str]]:
    """Return a recipe with other settings, and the names of those that its kind does not have."""
    changes = dict(changes)
    kind = changes.pop("kind", None)
    cls = type(recipe) if kind in (None, kind_of(recipe)) else FAMILIES[family].find(str(kind))
    fields: dict[str, Any] = {name: getattr(recipe, name) for name in cls.model_fields} if cls is type(recipe) else {}
    unused: list[str] = []
    within: dict[str, dict[str, Any]] = {}
    for name, value in changes.items():
        first, _, rest = name.partition(".")
        if first not in cls.model_fields:
            unused.append(name)
        elif rest:
            within.setdefault(first, {})[rest] = value
        else:
            fields[first] = value
    for first, inner in within.items():
        present = fields[first] if first in fields else cls.model_fields[first].get_default(call_default_factory=True)
        if not isinstance(present, Recipe):
            unused += [f"{first}.{name}" for name in inner]
            continue
        fields[first], left = _changed(present, inner, family, f"{place}.{first}")
        unused += [f"{first}.{name}" for name in left]
    try:
        return cls(**fields), unused
    except ValidationError as error:
        raise ValueError("\n".join(f"{place}.{line}" for line in explain(error).splitlines())) from error
