"""Archives without images, the input of a regime."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from imagelab.pool import REAL, RESERVE, Archive, Pool

MakeArchive = Callable[..., Archive]


@pytest.fixture(scope="session")
def archive_of() -> MakeArchive:
    """Return a function (generations, n, lines, reserve) -> the archive after so many generations."""

    def make(generations: int, n: int, lines: int = 2, reserve: int = 1000) -> Archive:
        archive = Archive(Pool.of(0, REAL, range(n)), Pool.of(0, RESERVE, range(reserve)))
        for generation in range(1, generations + 1):
            archive = archive.add(generation, {line: Pool.of(generation, line, range(n)) for line in range(lines)})
        return archive

    return make
