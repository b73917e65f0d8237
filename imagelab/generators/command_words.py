"""The words of a command: split without a shell, placeholders checked, and filled in one argument at a time.

    words_of("python train.py --data {images} --out {model}")  ->  ["python", "train.py", "--data", "{images}", ...]

A line is split as a shell splits it (quotes, backslashes), but no shell runs: ``|``, ``>``, ``*``, ``~`` and ``$HOME``
have no meaning. A placeholder is filled in after the split, so a path with spaces stays one argument. ``{{`` and ``}}``
stand for braces.
"""

from __future__ import annotations

import hashlib
import shlex
import string
from collections.abc import Iterator, Mapping
from pathlib import Path

from ..io.untrusted import few, quoted

__all__ = ["Placeholders", "check_line", "filled", "names_in", "scripts_of", "words_of"]

Placeholders = Mapping[str, bool]
"""Name of a placeholder -> whether a line must have it."""

LONGEST_SCRIPT = 1 << 20  # bytes; a longer file is data, not a script
BLOCK = 8192  # bytes of a file in which a zero byte shows that it is no text


def words_of(line: str) -> list[str]:
    """Return the arguments of a line, placeholders not filled in.

    Raises:
        ValueError: for an empty line, or a quote that is not closed.

    Example:
        >>> words_of("python 'my train.py' --data {images}")
        ['python', 'my train.py', '--data', '{images}']
    """
    try:
        words = shlex.split(line)
    except ValueError as error:
        raise ValueError(
            f"cannot be split into arguments: {error}. Close the quote, or write \\' for a quote"
        ) from error
    if not words or not words[0]:
        raise ValueError("expected a program and its arguments, got nothing")
    if "\0" in line:
        raise ValueError("expected no zero byte in a command")
    return words


def names_in(line: str) -> list[str]:
    """Return the names of the placeholders of a line, in order.

    Raises:
        ValueError: for a brace that belongs to no placeholder, or a placeholder with a format.
    """
    names = []
    for word in words_of(line):
        try:
            parts = list(string.Formatter().parse(word))
        except ValueError as error:
            raise ValueError(f"in {quoted(word, 80)!r}: {error}. Write {{{{ and }}}} for braces") from error
        for _, name, form, conversion in parts:
            if name is None:
                continue
            if form or conversion:
                raise ValueError(f"in {quoted(word, 80)!r}: expected a plain name such as {{seed}}, without a format")
            names.append(name)
    return names


def check_line(line: str, known: Placeholders) -> str:
    """Return the line if its placeholders are known and complete.

    Args:
        line: the command.
        known: the placeholders of this command.

    Raises:
        ValueError: with the list of placeholders, for an unknown one, or if one that is needed is missing.
    """
    names = names_in(line)
    listed = f"Placeholders: {', '.join(f'{{{name}}}' for name in known)}"
    unknown = [f"{{{name}}}" for name in names if name not in known]
    if unknown:
        raise ValueError(f"unknown placeholder {few(unknown)}. {listed}; write {{{{ and }}}} for braces")
    missing = [f"{{{name}}}" for name, needed in known.items() if needed and name not in names]
    if missing:
        raise ValueError(f"the placeholder {' and '.join(missing)} is missing. {listed}")
    return line


def filled(line: str, values: Mapping[str, object]) -> list[str]:
    """Return the arguments of a checked line, placeholders filled in; one without a value becomes empty.

    Example:
        >>> filled("cp {images}/0.png {model}", {"images": "my data", "model": "m"})
        ['cp', 'my data/0.png', 'm']
    """
    given = {name: str(values.get(name, "")) for name in names_in(line)}
    return [word.format_map(given) for word in words_of(line)]


def scripts_of(lines: tuple[str, ...], directory: Path) -> dict[str, str]:
    """Return the script files that commands name: absolute path -> SHA-256 of the content, 12 hex digits.

    A script is an argument that is the relative path, from the working directory, of a text file of at most 1 MiB.
    Programs by an absolute path, and what scripts import or read, are not covered.

    Args:
        lines: the commands.
        directory: their working directory.
    """
    found = {}
    for word in (word for line in lines for word in words_of(line) if not names_in(shlex.quote(word))):
        if Path(word).is_absolute():
            continue
        path = directory / word
        for content in _text(path):
            found[str(path)] = hashlib.sha256(content).hexdigest()[:12]
    return dict(sorted(found.items()))


def _text(path: Path) -> Iterator[bytes]:
    """Yield the content of a text file that is not long; nothing for anything else."""
    try:
        if path.is_file() and path.stat().st_size <= LONGEST_SCRIPT:
            content = path.read_bytes()
            if content and b"\0" not in content[:BLOCK]:
                yield content
    except (OSError, ValueError):
        return
