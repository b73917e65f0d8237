from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from imagelab.data.flowers import Flowers102


def test_classes_follow_the_published_numbers(built: dict[str, Path]) -> None:
    sample = Flowers102(path=built["flowers102"], size=32).load("heldout", 4, 0)
    expected = [int(name[6:11]) in (7, 9) for name in sample.sources]
    np.testing.assert_array_equal(sample.attributes["class/001"], expected)
    assert set(sample.attributes) == {"class/001", "class/002", "class/102"}


def test_damaged_or_missing_matlab_files_are_named(fake: Callable[[str], Path]) -> None:
    root = fake("flowers102")
    (root / "setid.mat").write_bytes(b"no matlab here")
    with pytest.raises(ValueError, match=r"setid\.mat: not a MATLAB file with a row of whole numbers 'trnid'"):
        Flowers102(path=root).available(0)
    assert Flowers102(path=root, official=False).available(0)["train"] == 8
    (root / "imagelabels.mat").unlink()
    with pytest.raises(ValueError, match=r"imagelabels\.mat: cannot be opened"):
        Flowers102(path=root).available(0)


def test_a_picture_in_no_set_is_an_error(fake: Callable[[str], Path]) -> None:
    from scipy.io import savemat

    root = fake("flowers102")
    savemat(
        root / "setid.mat", {"trnid": np.array([[1, 2, 3, 4, 5]]), "valid": np.array([[6]]), "tstid": np.array([[7]])}
    )
    with pytest.raises(ValueError, match=r"setid\.mat: in none of trnid, valid, tstid: picture 8, 9, 10"):
        Flowers102(path=root).available(0)
