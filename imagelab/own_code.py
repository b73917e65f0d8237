"""Code of one's own: recipes and metrics that are not part of this package, found, signed and loaded again.

A digest of such code is part of an experiment's signature. A run records where the code was (``own_code`` in
config.json), and ``resume`` loads it from there again.
"""

from __future__ import annotations

import ast
import hashlib
import importlib.util
import inspect
import itertools
import sys
import textwrap
import traceback
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

from .families import FAMILIES, Recipe, defining, is_own, module_of, singular

__all__ = ["OwnCode", "load_file", "load_source", "member_of", "own_code", "own_code_in", "recipes_in"]

_PREFIX = "imagelab_file_"
"""Names of the modules that are loaded from a file begin with it."""

_LIBRARIES = ("builtins", "abc", "typing", "pydantic")
"""Base classes from there are not signed."""


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
        return f"{singular(self.family)} {self.name!r}"


def own_code(family: str, name: str) -> OwnCode:
    """Return the record of a member that is not ours."""
    members = FAMILIES[family]
    member = members[name]
    source = members.sources.get(name) or next(_sources(member), "")
    return OwnCode(family, name, source, _digest(defining(member)))


def _sources(member: Any) -> Iterator[str]:
    """Yield where a member can be imported from: modules that hold it under a name of their own."""
    likely = [module_of(member), "__main__", *(name for name in list(sys.modules) if name.startswith(_PREFIX))]
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
    names = {("metrics", name) for name in metrics if name in FAMILIES["metrics"].own}
    for recipe in recipes_in(values):
        if is_own(type(recipe)):
            family = next(family for family in FAMILIES.values() if family.fits(type(recipe)))
            names.add((family.name, family.add(type(recipe))))
    return tuple(own_code(family, name) for family, name in sorted(names))


def member_of(code: OwnCode) -> Any:
    """Return the member that a record speaks of; it must be known."""
    return FAMILIES[code.family][code.name]


def load_source(code: OwnCode) -> None:
    """Load the code of a recorded member again and make it known.

    Raises:
        ValueError: if it is not there any more, saying how to hand it over.
    """
    family = FAMILIES[code.family]
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
        for thing, family in itertools.product(list(vars(module).values()), FAMILIES.values()):
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


def _without_docstrings(tree: ast.AST) -> ast.AST:
    for node in ast.walk(tree):
        if (
            isinstance(node, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef)
            and ast.get_docstring(node) is not None
        ):
            node.body = node.body[1:] or [ast.Pass()]
    return tree
