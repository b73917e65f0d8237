"""Names of the folders of a run: ``gen-003`` for the first line of generation 3, ``gen-003-line-2`` for the third."""

from __future__ import annotations

import re
from pathlib import Path

from ..pool import REAL

__all__ = ["folder_name", "folders_of_generations"]

_NAME = re.compile(r"gen-(\d{3,})(?:-line-(\d+))?")


def folder_name(generation: int, line: int) -> str:
    """Return the name of a shard's folder. Generation 0 has one shard whatever the line.

    Example:
        >>> folder_name(3, 0), folder_name(3, 2), folder_name(0, -1)
        ('gen-003', 'gen-003-line-2', 'gen-000')
    """
    return f"gen-{generation:03d}" + (f"-line-{line}" if line > 0 and generation > 0 else "")


def folders_of_generations(run: Path) -> dict[str, tuple[int, int]]:
    """Return name -> (generation, line) of all in a run folder that has the name of a finished shard, in order."""
    found = []
    for child in run.iterdir():
        match = _NAME.fullmatch(child.name)
        if match:
            generation, line = int(match[1]), int(match[2] or 0)
            if child.name == folder_name(generation, line):  # not another spelling, such as gen-0001
                found.append((generation, line if generation else REAL, child.name))
    return {name: (generation, line) for generation, line, name in sorted(found)}
