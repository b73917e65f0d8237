"""Families: what an experiment is made of, ours by name and anyone's own beside them.

A family is what one setting of an experiment may hold: a regime, a generator, a dataset, a curation, a metric. Ours
stand in one table for each family, by their ``kind``. A member of your own is used in one of four ways, without a
change to this package:

    in Python                    Experiment(regime=Alternate(), metrics=("spectrum", SATURATION))
    by its place                 --regime.kind my_package.regimes:Alternate
    by a name that you install   an entry point ``alternate`` in the group ``imagelab.regimes``
    from a file                  --plugins my_file.py --regime.kind alternate

All four give the same experiment: its settings and a digest of the member's code go into the signature, so that changed
code is another question (io/own_code.py). Nothing that only reads a run (report, compare, watch, cite) executes such
code.
"""

from __future__ import annotations

import importlib
import inspect
from abc import ABC
from collections.abc import Callable, Iterator, Mapping
from importlib.metadata import entry_points
from typing import Any, Generic, TypeVar, cast

from pydantic import BaseModel, ConfigDict

__all__ = ["FAMILIES", "Family", "Recipe", "defining", "is_own", "kind_of", "module_of", "place_of", "singular"]

T = TypeVar("T")

PACKAGE = __name__.partition(".")[0]
FAMILIES: dict[str, Family[Any]] = {}
"""Every family by its name."""


class Recipe(BaseModel, ABC):
    """Base class of regimes, generators, datasets and curations: frozen settings, no unknown key.

    A concrete recipe says its name once: ``kind: Literal["alternate"] = "alternate"``. It may come with references in
    its docstring (``References:``), which ``imagelab cite`` then prints.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


def kind_of(recipe: Recipe | type[Recipe]) -> str:
    """Return the word that names a recipe in JSON and on the command line.

    Raises:
        ValueError: for a class without a ``kind``.
    """
    cls = recipe if isinstance(recipe, type) else type(recipe)
    field = cls.model_fields.get("kind")
    if field is None or not isinstance(field.default, str):
        name = cls.__name__.lower()
        raise ValueError(f'{cls.__name__}: expected a kind, such as  kind: Literal["{name}"] = "{name}"')
    return field.default


class Family(Mapping[str, T], Generic[T]):
    """The members of one family by name. Iterating gives ours and those that were added, in order.

    Args:
        name: plural, such as "regimes"; the entry-point group is ``imagelab.<name>``.
        members: ours, by name.
        fits: whether an object is a usable member.
        name_of: the name of an object that fits.
        expected: what a member is, in words, for messages.
        facts: what is signed of a member beside its code, as text; by default nothing.
    """

    def __init__(
        self,
        name: str,
        members: Mapping[str, T],
        fits: Callable[[Any], bool],
        name_of: Callable[[T], str],
        expected: str,
        facts: Callable[[T], str] = lambda member: "",
    ):
        self.name, self.expected = name, expected
        self._ours, self._added = dict(members), dict[str, T]()
        self.sources: dict[str, str] = {}
        self.fits, self.facts, self._name_of = fits, facts, name_of
        FAMILIES[name] = self

    @classmethod
    def of(cls, name: str, base: type[Recipe], members: Mapping[str, Any]) -> Family[Any]:
        """Return the family of the concrete subclasses of a recipe's base class."""

        def fits(thing: Any) -> bool:
            return isinstance(thing, type) and issubclass(thing, base) and not inspect.isabstract(thing)

        return Family[Any](name, members, fits, kind_of, f"a concrete subclass of imagelab.{name}.{base.__name__}")

    def __getitem__(self, name: str) -> T:
        return self._ours[name] if name in self._ours else self._added[name]

    def __iter__(self) -> Iterator[str]:
        return iter([*self._ours, *self._added])

    def __len__(self) -> int:
        return len(self._ours) + len(self._added)

    @property
    def own(self) -> tuple[str, ...]:
        """The names of the members that are not ours."""
        return tuple(self._added)

    def add(self, member: T) -> str:
        """Make a member known by its name, and return the name. The same member, loaded again, replaces itself.

        Raises:
            ValueError: for what is no member, or a name that another member has.
        """
        if not self.fits(member):
            raise ValueError(f"{self.name}: expected {self.expected}, got {member!r}")
        name = self._name_of(member)
        known = self._ours.get(name, self._added.get(name))
        if known is not None and known is not member and (name in self._ours or place_of(known) != place_of(member)):
            raise ValueError(f"{self.name}: there is a {name!r} already ({place_of(known)}); give yours another name")
        if name not in self._ours:
            self._added[name] = member
        return name

    def find(self, name: str) -> T:
        """Return a member by its name, by ``package.module:NAME``, or by the name of an entry point.

        Raises:
            ValueError: if there is none, naming the known ones; or if its code cannot be loaded.
        """
        if name in self:
            return self[name]
        if ":" in name:
            return self._at(name)
        installed = {point.name: point.value for point in entry_points(group=f"{PACKAGE}.{self.name}")}
        if name not in installed:
            known = ", ".join(dict.fromkeys([*self, *installed]))
            raise ValueError(
                f"unknown {singular(self.name)} {name[:80]!r}; known are {known}. For one of your own give "
                "package.module:Name, or its file with --plugins FILE"
            )
        return self._at(installed[name])

    def _at(self, place: str) -> T:
        """Return the member at ``package.module:NAME``, and make it known."""
        member = _attribute(place)
        if not self.fits(member):
            raise ValueError(f"{place}: expected {self.expected}, got {_shown(member)}")
        self.sources[self.add(member)] = place
        return member

    def decode(self, value: Any) -> Any:
        """Return the recipe that a mapping with a ``kind`` describes; a recipe is returned as it is (for pydantic)."""
        if isinstance(value, Recipe) and is_own(type(value)) and self.fits(type(value)):
            self.add(cast(Any, type(value)))
        if not isinstance(value, Mapping):
            return value
        settings = dict(value)
        recipe: Any = self.find(str(settings.pop("kind", "")))
        return recipe(**settings)


def is_own(member: Any) -> bool:
    """Return whether a member was defined outside of this package."""
    return module_of(member).partition(".")[0] != PACKAGE


def place_of(member: Any) -> str:
    """Return where a member is defined, for messages and to tell one member from another."""
    defined = defining(member)
    return f"{module_of(member)}:{getattr(defined, '__qualname__', type(member).__name__)}"


def _attribute(place: str) -> Any:
    """Return the object at ``package.module:Name``."""
    module, _, name = place.partition(":")
    try:
        return getattr(importlib.import_module(module), name)
    except Exception as error:  # foreign code may raise anything while it is imported
        raise ValueError(f"{place}: cannot be loaded: {type(error).__name__}: {error}") from error


def defining(member: Any) -> Any:
    """Return the class or function whose code a member is: a recipe class itself, the function of a metric.

    For a metric whose ``measure`` is an object with ``__call__``, it is the class of that object.
    """
    if inspect.isclass(member):
        return member
    measure = inspect.unwrap(getattr(member, "measure", member))
    measure = getattr(measure, "func", measure)
    return measure if inspect.isroutine(measure) else type(measure)


def module_of(member: Any) -> str:
    """Return the name of the module that a member is defined in."""
    return getattr(defining(member), "__module__", "") or ""


def singular(family: str) -> str:
    """Return the word for one member of a family, such as "regime" or "dataset"."""
    return {"data": "dataset"}.get(family, family.removesuffix("s"))


def _shown(thing: Any) -> str:
    return thing.__name__ if inspect.isclass(thing) else type(thing).__name__
