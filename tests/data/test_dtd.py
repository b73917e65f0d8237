from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from imagelab.data.dtd import DTD


def test_the_fold_chooses_the_published_division(built: dict[str, Path]) -> None:
    first, second = (DTD(path=built["dtd"], fold=fold) for fold in (1, 2))
    train = set(first.load("train", 4, 0).sources)
    assert train == set(second.load("heldout", 4, 0).sources) != set(second.load("train", 4, 0).sources)
    with pytest.raises(ValueError, match=r"train3\.txt: cannot be opened"):
        DTD(path=built["dtd"], fold=3).available(0)


def test_the_kind_of_texture_is_the_attribute(built: dict[str, Path]) -> None:
    for official in (True, False):
        sample = DTD(path=built["dtd"], official=official).load("train", 4, 0)
        expected = [name.startswith("banded/") for name in sample.sources]
        np.testing.assert_array_equal(sample.attributes["class/banded"], expected)


def test_without_lists_all_pictures_can_still_be_used(fake: Callable[[str], Path]) -> None:
    root = fake("dtd")
    for file in (root / "dtd" / "labels").iterdir():
        file.unlink()
    assert sum(n or 0 for n in DTD(path=root, official=False).available(0).values()) == 12
