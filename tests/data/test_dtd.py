from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

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


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("banded_0002.jpg", "line 5: expected `class/file`, got 'banded_0002.jpg'"),
        ("banded/a.jpg train", "line 5: expected `class/file`, got 'banded/a.jpg train'"),
        ("bubbly/bubbly_0009.jpg", "line 2: says something else of bubbly/bubbly_0009.jpg than line 5 of train1.txt"),
    ],
)
def test_a_damaged_line_is_named_in_one_sentence(fake: Callable[[str], Path], line: str, said: str) -> None:
    root = fake("dtd")
    with (root / "dtd" / "labels" / "train1.txt").open("a") as file:
        file.write(f"{line}\n")
    with pytest.raises(ValueError, match=said) as caught:
        DTD(path=root).available(0)
    assert "\n" not in str(caught.value)


def test_lists_of_another_form_give_the_same_splits(built: dict[str, Path], fake: Callable[[str], Path]) -> None:
    root = fake("dtd")
    for path in (root / "dtd" / "labels").iterdir():
        lines = [line.upper().replace("/", "\\") for line in path.read_text().splitlines()]
        path.write_bytes(("\ufeff" + " \r\n".join([*lines, lines[0]])).encode())
    ours, theirs = DTD(path=root), DTD(path=built["dtd"])
    assert ours.load("train", 4, 0).sources == theirs.load("train", 4, 0).sources
    assert "3 lines of the set's lists repeat an earlier one and count once." in ours.card()


def test_a_part_without_test_pictures_says_why_the_division_is_not_used(fake: Callable[[str], Path]) -> None:
    root = fake("dtd")
    for part in ("test", "val"):
        for line in (root / "dtd" / "labels" / f"{part}1.txt").read_text().split():
            (root / "dtd" / "images" / line).unlink()
    for number in range(8):
        shutil.copy(root / "dtd" / "images" / "banded" / "banded_0000.jpg", root / "dtd" / "images" / f"{number}.jpg")
    with (root / "dtd" / "labels" / "train1.txt").open("a") as file:
        file.write("banded/extra_1.jpg\nbanded/extra_2.jpg\n")
    for name, other in (("extra_1", 1), ("extra_2", 3)):
        flipped = Image.open(root / "dtd" / "images" / "bubbly" / f"bubbly_{other:04d}.jpg").transpose(
            Image.Transpose.FLIP_LEFT_RIGHT
        )
        flipped.save(root / "dtd" / "images" / "banded" / f"{name}.jpg")
    card = DTD(path=root).card()
    assert "division cannot be used: it needs pictures of train and test, here are train." in card
    assert "8 of 14 listed pictures are not in the folder: " in card
    assert "8 pictures are on no list and not used: 0.jpg, 1.jpg, 2.jpg, 3.jpg, 4.jpg and 3 more." in card
    assert "seeded permutation" in card
    assert set(DTD(path=root, official=False).load("train", 4, 0).attributes) == {"class/banded", "class/bubbly"}
