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
    with pytest.raises(ValueError, match=r"setid\.mat: not a MATLAB 5 file with an array of numbers 'trnid'"):
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


@pytest.mark.parametrize(
    ("train", "said"),
    [
        ([10, 1, 2, 4], "picture 4 is in two of trnid, valid, tstid; expected one"),
        ([10, 1, 2, 0], "trnid holds 0; expected numbers from 1 to 10"),
        ([10, 1, 2, 3, 11], "trnid holds 11; expected numbers from 1 to 10"),
        ([10, 1, 2, 2.5], r"not a list of whole numbers 'trnid' .it holds other values"),
    ],
)
def test_numbers_that_cannot_be_are_refused(fake: Callable[[str], Path], train: list[float], said: str) -> None:
    from scipy.io import savemat

    root = fake("flowers102")
    sets = {"trnid": np.array([train]), "valid": np.array([[4, 5]]), "tstid": np.array([[6, 7, 8, 9]])}
    savemat(root / "setid.mat", sets)
    with pytest.raises(ValueError, match=rf"setid\.mat: {said}"):
        Flowers102(path=root).available(0)


def test_pictures_without_a_label_are_counted(fake: Callable[[str], Path]) -> None:
    root = fake("flowers102")
    for number in (3, 11, 12):
        (root / "jpg" / f"image_{number:05d}.jpg").rename(
            root / "jpg" / f"IMAGE_{number:05d}.JPG"
        ) if number == 3 else (root / "jpg" / f"image_{number:05d}.jpg").write_bytes(b"")
    card = Flowers102(path=root, size=32).card()
    assert card.startswith("10 pictures") and "0 bad files" in card
    assert "2 pictures are on no list and not used: image_00011.jpg, image_00012.jpg." in card
    assert "1 file names are written in another way than on the list (IMAGE_00003.JPG for image_00003.jpg)." in card
