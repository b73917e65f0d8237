from __future__ import annotations

import shutil
from collections import namedtuple

import numpy as np
import pytest

from imagelab.io.growth import Growth
from imagelab.io.reading import Picture

LARGE = np.broadcast_to(np.zeros(1, np.uint8), (3, 10_000, 6_400))


def test_small_files_that_unfold_to_very_much_more_are_refused():
    growth = Growth(24)
    with pytest.raises(ValueError, match=r"pictures of together .* bytes unfold to .*--size 64"):
        for row in range(24):
            growth.add(Picture(LARGE, stored=8_000), row)


def test_photographs_and_pictures_of_unknown_files_are_not():
    for stored in (4_000_000, 0):
        growth = Growth(24)
        for row in range(24):
            growth.add(Picture(LARGE, stored=stored), row)


def test_a_set_that_does_not_fit_onto_the_disk_is_refused_before_it_is_written(monkeypatch: pytest.MonkeyPatch):
    usage = namedtuple("usage", "total used free")(1, 1, 10**9)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage)
    with pytest.raises(ValueError, match="only 1,000,000,000 are free"):
        Growth(1000).add(Picture(LARGE, stored=4_000_000), 0)
    Growth(2).add(Picture(LARGE, stored=4_000_000), 0)
