"""Build the API pages from the docstrings: python .ci/api.py [FOLDER], by default into build/api.

pdoc shows what a module's ``__all__`` names. Three things about this package need help:

- Public names of the package are imported lazily: they are loaded before pdoc looks.
- A package's ``__all__`` does not name its modules: they are added, so that the pages lead to every module.
- Fields of pydantic models carry validation details in their types: the plain types are shown instead.
"""

import pkgutil
import sys
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import get_type_hints

import pdoc
import pdoc.render
from pydantic import BaseModel


def prepare(module: ModuleType) -> None:
    """Make a module, and below a package all of its modules, ready for pdoc."""
    names = {**vars(sys.modules[module.__package__ or module.__name__]), **vars(module)}
    for value in list(vars(module).values()):
        if isinstance(value, type) and issubclass(value, BaseModel) and value.__module__ == module.__name__:
            plain = get_type_hints(value, localns=names)
            value.__annotations__ = {name: plain[name] for name in value.__annotations__}
    if not hasattr(module, "__path__"):
        return
    public = [name for name in getattr(module, "__all__", ()) if name != "__version__"]
    for name in public:
        setattr(module, name, getattr(module, name))
    below = [found.name for found in pkgutil.iter_modules(module.__path__) if not found.name.startswith("_")]
    for name in below:
        prepare(import_module(f"{module.__name__}.{name}"))
    module.__all__ = [*public, *(name for name in below if name not in public)]


if __name__ == "__main__":
    folder = Path(sys.argv[1]) if sys.argv[1:] else Path(__file__).resolve().parents[1] / "build" / "api"
    prepare(import_module("imagelab"))
    pdoc.render.configure(docformat="google", footer_text="imagelab-collapse")
    pdoc.pdoc("imagelab", output_directory=folder)
    print(folder / "index.html")
