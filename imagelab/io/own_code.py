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
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from types import ModuleType
from typing import Any

from pydantic import BaseModel

from ..families import FAMILIES, Recipe, defining, is_own, module_of, singular
from .untrusted import quoted, shown

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

    @classmethod
    def from_config(cls, content: Mapping[str, Any], place: Path) -> tuple[OwnCode, ...]:
        """Return the records in the content of a config.json.

        Args:
            content: of the file.
            place: the file or run folder, for messages.

        Raises:
            ValueError: if a record is damaged.
        """
        recorded = content.get("own_code", [])
        keys = {field.name for field in fields(cls)}
        for each in recorded if isinstance(recorded, list) else [recorded]:
            whole = isinstance(each, Mapping) and each.keys() == keys and all(map(_is_short, each.items()))
            if not whole or each["family"] not in FAMILIES:
                raise ValueError(
                    f"{shown(place)}: own_code is damaged: expected {', '.join(sorted(keys))}, got {quoted(each, 200)}"
                )
        return tuple(cls(**each) for each in recorded)


def _is_short(item: tuple[str, object]) -> bool:
    """Whether a field of a record holds text of a length that a path (source), a name or a digest has."""
    field, value = item
    return isinstance(value, str) and len(value) <= (4096 if field == "source" else 200) and "\0" not in value


def own_code(family: str, name: str) -> OwnCode:
    """Return the record of a member that is not ours."""
    members = FAMILIES[family]
    member = members[name]
    source = members.sources.get(name) or next(_sources(member), "")
    return OwnCode(family, name, source, _digest(defining(member), members.facts(member)))


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
    """Whether another process, started elsewhere, can import a module by its name.

    It cannot if the module, or the package around it, lies next to a script or in the working directory.
    """
    file = getattr(module, "__file__", None)
    if file is None or module.__name__ == "__main__" or module.__name__.startswith(_PREFIX):
        return False
    script = getattr(sys.modules["__main__"], "__file__", None)
    local = {Path.cwd(), *([Path(script).resolve().parent] if script else [])}
    path = Path(file).resolve()
    root = path.parents[module.__name__.count(".") + (path.name == "__init__.py")]
    return root not in local and root in {Path(place).resolve() for place in sys.path if place}


def recipes_in(value: Any) -> Iterator[Recipe]:
    """Yield a recipe and all recipes within its settings."""
    if isinstance(value, Recipe):
        yield value
    if isinstance(value, BaseModel):
        value = [getattr(value, name) for name in type(value).model_fields]
    if isinstance(value, Mapping):
        value = list(value.values())
    if isinstance(value, list | tuple):
        for item in value:
            yield from recipes_in(item)


def own_code_in(values: Any, metrics: Iterable[str]) -> tuple[OwnCode, ...]:
    """Return the records of all members in an experiment that are not ours, in a fixed order.

    Args:
        values: its settings; recipes are looked for in them at any depth.
        metrics: the names of the metrics that it takes.

    Raises:
        ValueError: for a metric that is not known.
    """
    rows = FAMILIES["metrics"]
    taken = [rows.find(name) for name in metrics]
    names = {("metrics", name) for name in rows.own if any(rows[name] is metric for metric in taken)}
    for recipe in recipes_in(values):
        family = next((family for family in FAMILIES.values() if family.fits(type(recipe))), None)
        if family is not None and is_own(type(recipe)):  # settings that are no member of a family are not signed
            names.add((family.name, family.add(type(recipe))))
    return tuple(own_code(family, name) for family, name in sorted(names))


def member_of(code: OwnCode) -> Any:
    """Return the member that a record describes; it must be known."""
    return FAMILIES[code.family][code.name]


def load_source(code: OwnCode, run: Path | None = None) -> None:
    """Load the code of a recorded member again and make it known.

    Args:
        code: the record.
        run: the run folder that the record is from. Code in it is not loaded: a folder from elsewhere must not bring
            code. None for a record from elsewhere.

    Raises:
        ValueError: if the code is not there any more, saying how to hand it over, or if it lies in the run folder.
    """
    if run is not None and any(path.resolve().is_relative_to(run.resolve()) for path in _files(code)):
        raise ValueError(
            f"{run}: its {code.what} is defined inside the run folder. Code is not loaded "
            "from there. Move the file elsewhere, read it, and give it with --plugins FILE"
        )
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
    elif _root(Path(place)) != Path(place).parent:
        _load_packaged(code)
    elif Path(place).is_file():
        load_file(Path(place))
    else:
        raise ValueError(f"the {what} was defined in {place}, which is not there. Give its file with --plugins FILE")
    if code.name not in family:
        raise ValueError(
            f"{place}: expected {name} to be the {what}; it is not there. Give its file with --plugins FILE"
        )


def _files(code: OwnCode) -> Iterator[Path]:
    """Yield the files that the source of a record may stand for, whether they exist or not."""
    place = code.source.rpartition(":")[0]
    if place.endswith(".py"):
        yield Path(place)
    elif place:
        for folder in sys.path:
            path = Path(folder).joinpath(*place.split("."))
            yield from (each for each in (path, path.with_suffix(".py")) if each.exists())


def _root(path: Path) -> Path:
    """Return the folder from which the module in a file is imported: that of the outermost package around it."""
    folder = path.parent
    while (folder / "__init__.py").is_file():
        folder = folder.parent
    return folder


def _load_packaged(code: OwnCode) -> None:
    """Import the module of a recorded member from the package around its file, so that its own imports work."""
    place, _, name = code.source.rpartition(":")
    root, family = _root(Path(place)), FAMILIES[code.family]
    parts = Path(place).relative_to(root).with_suffix("").parts
    sys.path.insert(0, str(root))
    try:
        family.find(f"{'.'.join(parts[:-1] if parts[-1] == '__init__' else parts)}:{name}")
    finally:
        sys.path.remove(str(root))
    family.sources[code.name] = code.source


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
    except (Exception, SystemExit) as error:  # the user's own code may raise anything
        del sys.modules[name]
        raise ValueError(_fault(path, error)) from error
    finally:
        sys.path.remove(str(path.parent))
    return module


def _fault(path: Path, error: BaseException) -> str:
    """Return what went wrong while a file was executed, with its line."""
    frames = reversed(traceback.extract_tb(error.__traceback__))
    line = next((frame.lineno for frame in frames if frame.filename == str(path)), None)
    if isinstance(error, SyntaxError) and error.filename == str(path):
        line = error.lineno
    where = f"{path}, line {line}" if line else str(path)
    if isinstance(error, SystemExit):
        return f'{where}: it ends the process while it is loaded. Put launch(...) under  if __name__ == "__main__":'
    kind = "" if isinstance(error, ValueError) else f"{type(error).__name__}: "
    return f"{where}: {kind}{error}"


def _digest(defined: Any, facts: str) -> str:
    """Return a digest of the code of a class with its bases outside of this package, or of a function, and of facts."""
    texts = [_code(defined)]
    if not texts[0]:
        return ""
    if inspect.isclass(defined):
        texts += [_code(cls) for cls in inspect.getmro(defined)[1:] if is_own(cls) and not _is_library(cls)]
    texts += [facts] if facts else []
    return hashlib.sha256("\n".join(filter(None, texts)).encode()).hexdigest()[:12]


def _is_library(cls: type) -> bool:
    return module_of(cls).partition(".")[0] in _LIBRARIES


def _code(defined: Any) -> str:
    """Return the code of a class or function in one layout, without comments; "" where it cannot be read."""
    try:
        return ast.unparse(_without_docstrings(ast.parse(textwrap.dedent(inspect.getsource(defined)))))
    except (OSError, TypeError, SyntaxError):  # typed into an interpreter, or compiled
        return ""


def _without_docstrings(tree: ast.AST) -> ast.AST:
    for node in ast.walk(tree):
        if (
            isinstance(node, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef)
            and ast.get_docstring(node) is not None
        ):
            node.body = node.body[1:] or [ast.Pass()]
    return tree
