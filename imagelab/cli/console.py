"""What all commands use: the two output streams, and settings classes for the command line."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import BaseModel, create_model
from rich.console import Console

__all__ = ["UsageError", "err", "out", "settled", "with_fields"]

out = Console(highlight=False, soft_wrap=True)
"""Standard output: the result of a command."""

err = Console(stderr=True, highlight=False, soft_wrap=True)
"""Standard error: progress and error messages."""


class UsageError(ValueError):
    """A command line that is wrong on any machine, such as an unknown name; exit code 2."""


def settled(present: BaseModel, **replaced: Any) -> type[BaseModel]:
    """Return the class of these settings with their present values as defaults, so that help shows these values.

    Args:
        present: the settings.
        replaced: field definitions (type, default) that replace those of the class.
    """
    fields = dict(replaced)
    for name, field in type(present).model_fields.items():
        value = getattr(present, name)
        if name in fields:
            continue
        if isinstance(value, BaseModel):
            nested = settled(value)
            fields[name] = (nested, nested())
        else:
            fields[name] = (Annotated[field.annotation, *field.metadata] if field.metadata else field.annotation, value)
    return with_fields(type(present), **fields)


def with_fields(recipe: type[BaseModel], **replaced: Any) -> type[BaseModel]:
    """Return a settings class of the same name in which some fields are replaced: name = (type, default)."""
    return create_model(recipe.__name__, __base__=recipe, __doc__=recipe.__doc__, **replaced)
