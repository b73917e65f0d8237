from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from imagelab.data.ffhq import FFHQ


def test_licences_of_the_photographs_are_counted(built: dict[str, Path]) -> None:
    assert "Licences of the photographs: Licence 0 5, Licence 1 5." in FFHQ(path=built["ffhq"]).card()


def test_a_flat_folder_without_records_is_read_and_says_what_is_not_known(fake: Callable[[str], Path]) -> None:
    root = fake("ffhq")
    for file in list(root.rglob("*.png")):
        file.rename(root / file.name)
    shutil.rmtree(root / "thumbnails128x128")
    (root / "ffhq-dataset-v2.json").unlink()
    recipe = FFHQ(path=root)
    assert recipe.available(0) == {"train": 8, "reserve": 0, "heldout": 2}
    assert "the licence of each photograph is not known" in recipe.card() and "seeded permutation" in recipe.card()


@pytest.mark.parametrize(
    ("content", "said"),
    {
        "{": "not whole JSON",
        "[" * 100_000: "nested too deeply",
        "[1]": "picture number, got other content$",
        '{"0": 3}': "picture number, got other content at '0'$",
        '{"0": {"metadata": [1]}}': "got other content at '0'$",
    }.items(),
    ids=["cut", "deep", "list", "number", "metadata"],
)
def test_damaged_records_are_refused_by_name(fake: Callable[[str], Path], content: str, said: str) -> None:
    root = fake("ffhq")
    (root / "ffhq-dataset-v2.json").write_text(content)
    with pytest.raises(ValueError, match=rf"ffhq-dataset-v2\.json: .*{said}"):
        FFHQ(path=root).available(0)


def test_a_part_of_the_set_and_pictures_without_a_record_are_counted(fake: Callable[[str], Path]) -> None:
    root = fake("ffhq")
    records = json.loads((root / "ffhq-dataset-v2.json").read_text())
    more = {str(number): records["0"] for number in range(2000, 5000)}
    (root / "ffhq-dataset-v2.json").write_text(json.dumps(records | more))
    for name in ("cat", "dog"):
        shutil.copy(root / "thumbnails128x128" / "00000" / "00000.png", root / "thumbnails128x128" / f"{name}.png")
    recipe = FFHQ(path=root)
    assert recipe.available(0) == {"train": 6, "reserve": 0, "heldout": 4}
    card = recipe.card()
    assert "3,000 of 3,010 listed pictures are not in the folder: 2000, 2001, 2002, 2003, 2004 and 2,995 more." in card
    assert "2 pictures have no category in the list and are not used: cat.png, dog.png." in card


def test_a_part_without_validation_says_why_the_division_is_not_used(fake: Callable[[str], Path]) -> None:
    root = fake("ffhq")
    shutil.rmtree(root / "thumbnails128x128" / "01000")
    card = FFHQ(path=root).card()
    assert "seeded permutation" in card and "it needs pictures of train and test, here are training." in card
