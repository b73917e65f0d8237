"""Families: what an experiment is made of, ours by name and anyone's own beside them.

A family is what one setting of an experiment may hold: a regime, a generator, a dataset, a curation, a metric. Ours
stand in one table for each family, by their ``kind``. A member of your own is used in one of four ways, without a
change to this package:

    in Python                    Experiment(regime=Alternate(), metrics=("spectrum", SATURATION))
    by its place                 --regime.kind my_package.regimes:Alternate
    by a name that you install   an entry point ``alternate`` in the group ``imagelab.regimes``
    from a file                  --plugins my_file.py --regime.kind alternate

All four give the same experiment: its settings and a digest of the member's code go into the signature, so that changed
code is another question. A run records where the code was (``own_code`` in config.json), and ``resume`` loads it from
there again. Nothing that only reads a run (report, compare, watch, cite) executes such code.
"""

from __future__ import annotations

import ast
import hashlib
import importlib
import importlib.util
import inspect
import itertools
import sys
import textwrap
import traceback
from abc import ABC
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from importlib.metadata import entry_points
from pathlib import Path
from types import ModuleType
from typing import Any, Generic, TypeVar, cast

from pydantic import BaseModel, ConfigDict

__all__ = [
    "Family",
    "OwnCode",
    "Recipe",
    "is_own",
    "kind_of",
    "load_file",
    "load_source",
    "member_of",
    "own_code",
    "own_code_in",
    "recipes_in",
]

T = TypeVar("T")

PACKAGE = __name__.partition(".")[0]
_FAMILIES: dict[str, Family[Any]] = {}


class Recipe(BaseModel, ABC):
    """Base class of regimes, generators, datasets and curations: frozen settings, no unknown key.

    A concrete recipe says its name once: ``kind: Literal["alternate"] = "alternate"``. It may come with references in
    its docstring (``References:``), which ``imagelab cite`` then prints.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")


def kind_of(recipe: Recipe | type[Recipe]) -> str:
    """Return the word that names a recipe in JSON and on the command line."""
    cls = recipe if isinstance(recipe, type) else type(recipe)
    field = cls.model_fields.get("kind")
    if field is None or not isinstance(field.default, str):
        name = cls.__name__.lower()
        raise TypeError(f'{cls.__name__}: expected a kind, such as  kind: Literal["{name}"] = "{name}"')
    return field.default


class Family(Mapping[str, T], Generic[T]):
    """The members of one family by name. Iterating gives ours and those that were added, in order.

    Args:
        name: plural, such as "regimes"; the entry-point group is ``imagelab.<name>``.
        members: ours, by name.
        fits: whether an object is a usable member.
        name_of: the name of an object that fits.
        expected: what a member is, in words, for messages.
    """

    def __init__(
        self,
        name: str,
        members: Mapping[str, T],
        fits: Callable[[Any], bool],
        name_of: Callable[[T], str],
        expected: str,
    ):
        self.name, self.expected = name, expected
        self._ours, self._added = dict(members), dict[str, T]()
        self.sources: dict[str, str] = {}
        self.fits, self._name_of = fits, name_of
        _FAMILIES[name] = self

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
            member = _attribute(name)
            if not self.fits(member):
                raise ValueError(f"{name}: expected {self.expected}, got {_shown(member)}")
            self.sources[self.add(member)] = name
            return member
        installed = {point.name: point.value for point in entry_points(group=f"{PACKAGE}.{self.name}")}
        if name not in installed:
            known = ", ".join(dict.fromkeys([*self, *installed]))
            raise ValueError(
                f"unknown {_singular(self.name)} {name!r}; known are {known}. For one of your own give "
                "package.module:Name, or its file with --plugins FILE"
            )
        return self.find(installed[name])

    def decode(self, value: Any) -> Any:
        """Return the recipe that a mapping with a ``kind`` describes; a recipe is returned as it is (for pydantic)."""
        if isinstance(value, Recipe) and is_own(type(value)) and self.fits(type(value)):
            self.add(cast(Any, type(value)))
        if not isinstance(value, Mapping):
            return value
        settings = dict(value)
        recipe: Any = self.find(str(settings.pop("kind", "")))
        return recipe(**settings)


# -- code of one's own


@dataclass(frozen=True)
class OwnCode:
    """Where a member that is not part of this package was defined.

    Attributes:
        family: such as "regimes".
        name: its kind, or the metric's name.
        source: ``package.module:Name``, or ``/path/to/file.py:Name``; "" where it cannot be found again (a class
            defined inside a function, or typed into an interpreter).
        digest: 12 hex digits over its code without comments, docstrings and layout; what it calls outside of itself
            is not covered. "" where the code cannot be read.
    """

    family: str
    name: str
    source: str
    digest: str

    @property
    def what(self) -> str:
        """The member in words, such as "regime 'alternate'"."""
        return f"{_singular(self.family)} {self.name!r}"


def is_own(member: Any) -> bool:
    """Return whether a member was defined outside of this package."""
    return _module(member).partition(".")[0] != PACKAGE


def own_code(family: str, name: str) -> OwnCode:
    """Return the record of a member that is not ours."""
    members = _FAMILIES[family]
    member = members[name]
    source = members.sources.get(name) or next(_sources(member), "")
    return OwnCode(family, name, source, _digest(_defining(member)))


def _sources(member: Any) -> Iterator[str]:
    """Yield where a member can be imported from: modules that hold it under a name of their own."""
    likely = [_module(member), "__main__", *(name for name in list(sys.modules) if name.startswith(_PREFIX))]
    for module in filter(None, map(sys.modules.get, dict.fromkeys(likely))):
        name = next((key for key, value in list(vars(module).items()) if value is member), None)
        file = getattr(module, "__file__", None)
        if name is None:
            continue
        if _is_importable(module):
            yield f"{module.__name__}:{name}"
        elif file:
            yield f"{Path(file).resolve()}:{name}"


def _is_importable(module: ModuleType) -> bool:
    """Whether another process, started elsewhere, can import a module by its name: not if it lies beside a script."""
    file = getattr(module, "__file__", None)
    if file is None or module.__name__ == "__main__" or module.__name__.startswith(_PREFIX):
        return False
    if "." in module.__name__:
        return True
    script = getattr(sys.modules["__main__"], "__file__", None)
    local = {Path.cwd(), *([Path(script).resolve().parent] if script else [])}
    path = Path(file).resolve()
    root = path.parents[1] if path.name == "__init__.py" else path.parent
    return root not in local and root in {Path(place).resolve() for place in sys.path if place}


def place_of(member: Any) -> str:
    """Return where a member is defined, for messages and to tell one member from another."""
    defined = _defining(member)
    return f"{_module(member)}:{getattr(defined, '__qualname__', type(member).__name__)}"


def recipes_in(value: Any) -> Iterator[Recipe]:
    """Yield a recipe and all recipes within its settings."""
    if isinstance(value, Recipe):
        yield value
        for name in type(value).model_fields:
            yield from recipes_in(getattr(value, name))
    elif isinstance(value, list | tuple):
        for item in value:
            yield from recipes_in(item)


def own_code_in(values: Any, metrics: Iterable[str]) -> tuple[OwnCode, ...]:
    """Return the records of all members in an experiment that are not ours, in a fixed order.

    Args:
        values: its settings; recipes are looked for in them at any depth.
        metrics: the names of the metrics that it takes.
    """
    names = {("metrics", name) for name in metrics if name in _FAMILIES["metrics"].own}
    for recipe in recipes_in(values):
        if is_own(type(recipe)):
            family = next(family for family in _FAMILIES.values() if family.fits(type(recipe)))
            names.add((family.name, family.add(type(recipe))))
    return tuple(own_code(family, name) for family, name in sorted(names))


def member_of(code: OwnCode) -> Any:
    """Return the member that a record describes; it must be known."""
    return _FAMILIES[code.family][code.name]


def load_source(code: OwnCode) -> None:
    """Load the code of a recorded member again and make it known.

    Raises:
        ValueError: if it is not there any more, saying how to hand it over.
    """
    family = _FAMILIES[code.family]
    if code.name in family:
        return
    what = code.what
    place, _, name = code.source.rpartition(":")
    if not place.endswith(".py"):
        if not code.source:
            raise ValueError(
                f"the {what} was not defined in a file, so it cannot be loaded again. --plugins FILE gives it"
            )
        family.find(code.source)
    elif Path(place).is_file():
        load_file(Path(place))
    else:
        raise ValueError(f"the {what} was defined in {place}, which is not there. Give its file with --plugins FILE")
    if code.name not in family:
        raise ValueError(
            f"{place}: expected {name} to be the {what}; it is not there. Give its file with --plugins FILE"
        )


def load_file(path: Path) -> ModuleType:
    """Execute a Python file as a module and make every member that it defines known.

    Members are classes derived from a base class of the families, and metrics that stand in it by name. The file's
    folder is on the import path while it is executed, as it is for a script.

    Raises:
        ValueError: naming file and line, if it is missing or fails.
    """
    path = Path(path).resolve()
    name = f"{_PREFIX}{path.stem}_{hashlib.sha256(str(path).encode()).hexdigest()[:8]}"
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None or not path.is_file():
        raise ValueError(f"{path}: no such Python file")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    sys.path.insert(0, str(path.parent))
    try:
        spec.loader.exec_module(module)
        for thing, family in itertools.product(list(vars(module).values()), _FAMILIES.values()):
            defined_here = not inspect.isclass(thing) or thing.__module__ == name
            if defined_here and family.fits(thing) and not any(thing is member for member in family.values()):
                family.add(thing)
    except Exception as error:  # the user's own code may raise anything
        del sys.modules[name]
        frames = reversed(traceback.extract_tb(error.__traceback__))
        line = next((frame.lineno for frame in frames if frame.filename == str(path)), None)
        line = getattr(error, "lineno", None) if isinstance(error, SyntaxError) else line
        where = f"{path}, line {line}" if line else str(path)
        kind = "" if isinstance(error, ValueError) else f"{type(error).__name__}: "
        raise ValueError(f"{where}: {kind}{error}") from error
    finally:
        sys.path.remove(str(path.parent))
    return module


_PREFIX = "imagelab_file_"


def _attribute(place: str) -> Any:
    """Return the object at ``package.module:Name``."""
    module, _, name = place.partition(":")
    try:
        return getattr(importlib.import_module(module), name)
    except Exception as error:  # foreign code may raise anything while it is imported
        raise ValueError(f"{place}: cannot be loaded: {type(error).__name__}: {error}") from error


def _defining(member: Any) -> Any:
    """Return the class or function whose code a member is: a recipe class itself, the function of a metric."""
    if inspect.isclass(member):
        return member
    measure = getattr(member, "measure", member)
    return getattr(measure, "func", measure)


def _module(member: Any) -> str:
    return getattr(_defining(member), "__module__", "") or ""


def _digest(defined: Any) -> str:
    """Return a digest of the code of a class with its bases outside of this package, or of a function."""
    parts = [defined]
    if inspect.isclass(defined):
        parts = [
            cls for cls in inspect.getmro(defined) if is_own(cls) and cls.__module__.partition(".")[0] not in _LIBRARIES
        ]
    try:
        trees = [_without_docstrings(ast.parse(textwrap.dedent(inspect.getsource(part)))) for part in parts]
    except (OSError, TypeError, SyntaxError):  # typed into an interpreter, or compiled
        return ""
    return hashlib.sha256("\n".join(map(ast.unparse, trees)).encode()).hexdigest()[:12]


_LIBRARIES = ("builtins", "abc", "typing", "pydantic")


def _without_docstrings(tree: ast.AST) -> ast.AST:
    for node in ast.walk(tree):
        if (
            isinstance(node, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef)
            and ast.get_docstring(node) is not None
        ):
            node.body = node.body[1:] or [ast.Pass()]
    return tree


def _singular(family: str) -> str:
    return {"data": "dataset"}.get(family, family.removesuffix("s"))


def _shown(thing: Any) -> str:
    return thing.__name__ if inspect.isclass(thing) else type(thing).__name__
