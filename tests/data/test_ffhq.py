from __future__ import annotations

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
