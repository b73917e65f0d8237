"""What all commands use: the two output streams, and settings classes for the command line.

What is printed may hold names that somebody else chose: of files, of runs, of experiments. Characters that would
control the terminal are therefore shown as escapes, in everything that is printed. Characters that the terminal's
encoding lacks are replaced, and work goes on where nobody reads its output any more.
"""

from __future__ import annotations

import codecs
import io
import logging
import os
import sys
from collections.abc import Iterable
from contextlib import suppress
from typing import IO, Annotated, Any, cast

from pydantic import BaseModel, create_model
from rich.console import Console, ConsoleOptions, RenderableType
from rich.segment import Segment

__all__ = ["Stream", "UsageError", "err", "out", "pages", "prepare_streams", "settled", "with_fields"]

ALIKE = {
    "±": "+-",
    "µ": "u",
    "μ": "u",
    "×": "x",
    "–": "-",
    "—": "-",
    "…": "...",
    "↑": "^",
    "↓": "v",
    "↔": "<>",
    "²": "2",
}
"""What stands for our own characters where an encoding lacks them; all others are escaped."""


class Stream(Console):
    """An output stream on which no name can control the terminal, and which never stops the work that prints.

    Attributes:
        lost: why the output was lost, None if it was not; a reader that went away (``| head -1``) is no loss.
    """

    lost: OSError | None = None

    @property
    def file(self) -> IO[str]:
        """The file that is written to, as rich has it, but without errors."""
        return cast("IO[str]", _Forgiving(super().file, self))

    @file.setter
    def file(self, new_file: IO[str]) -> None:
        self._file = new_file

    def render(self, renderable: RenderableType, options: ConsoleOptions | None = None) -> Iterable[Segment]:
        """Yield the parts of what is printed, with all characters escaped that are not for printing."""
        for part in super().render(renderable, options):
            plain = part.control or part.text.isprintable() or not part.text.strip("\n")
            yield part if plain else Segment(_escaped(part.text), part.style)

    def lose(self, error: OSError) -> None:
        """Print nothing from now on; what Python still holds back goes nowhere at the end of the process."""
        self.quiet = True
        if not isinstance(error, BrokenPipeError):
            self.lost = error
        with suppress(OSError, ValueError, AttributeError):  # a stream without a file behind it
            nowhere = os.open(os.devnull, os.O_WRONLY)
            os.dup2(nowhere, self.file.fileno())
            os.close(nowhere)

    @property
    def is_unicode(self) -> bool:
        """Whether every character can be written."""
        return self.encoding.lower().replace("-", "").startswith("utf")


class _Forgiving:
    """A file that tells its stream of an error, in place of raising it."""

    def __init__(self, file: IO[str], stream: Stream):
        self._file, self._stream = file, stream

    def write(self, text: str) -> int:
        try:
            return self._file.write(text)
        except OSError as error:
            self._stream.lose(error)
            return len(text)

    def flush(self) -> None:
        try:
            self._file.flush()
        except OSError as error:
            self._stream.lose(error)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._file, name)


def _escaped(text: str) -> str:
    return "".join(c if c.isprintable() or c in "\n\t" else f"\\u{ord(c):04x}" for c in text)


out = Stream(highlight=False, soft_wrap=True, markup=False)
"""Standard output: the result of a command."""

err = Stream(stderr=True, highlight=False, soft_wrap=True, markup=False)
"""Standard error: progress and error messages."""


pages = Stream()
"""Standard output, wrapped to the width of the terminal: the help of a command."""


def prepare_streams() -> None:
    """Let both streams replace what their encoding lacks, and print warnings as all other text."""
    for stream in (out, err):
        stream.lost, stream.quiet = None, False
    logging.lastResort = _Warnings(logging.WARNING)
    codecs.register_error("imagelab", _replaced)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="imagelab")


class _Warnings(logging.Handler):
    """Prints what is logged where no other handler does."""

    def emit(self, record: logging.LogRecord) -> None:
        err.print(self.format(record))


def _replaced(error: UnicodeError) -> tuple[str, int]:
    if not isinstance(error, UnicodeEncodeError):
        raise error
    missing = error.object[error.start : error.end]
    return "".join(ALIKE.get(c) or c.encode("ascii", "backslashreplace").decode() for c in missing), error.end


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
