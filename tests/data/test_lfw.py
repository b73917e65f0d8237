from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from imagelab.data.lfw import LFW


def persons(recipe: LFW, split, seed: int) -> set[str]:
    count = recipe.available(seed)[split] or 0
    return {name.split("/")[0] for name in recipe.load(split, count, seed).sources}


def test_no_person_stands_in_two_splits_and_no_name_becomes_an_attribute(built: dict[str, Path]) -> None:
    official = LFW(path=built["lfw"], size=32)
    assert persons(official, "train", 0) == {"Ada_Test", "Bo_Probe"}
    assert official.load("train", 5, 0).attributes == {}
    for seed in range(8):
        loose = LFW(path=built["lfw"], size=32, official=False, heldout_share=0.3)
        assert not persons(loose, "train", seed) & persons(loose, "heldout", seed)


def test_lists_inside_the_folder_of_persons_are_found(fake: Callable[[str], Path]) -> None:
    root = fake("lfw")
    for name in ("peopleDevTrain.txt", "peopleDevTest.txt"):
        (root / name).rename(root / "lfw_funneled" / name)
    assert LFW(path=root, size=32).available(0) == {"train": 5, "reserve": 0, "heldout": 5}


def test_damaged_lists_are_refused_by_name_and_reason(fake: Callable[[str], Path]) -> None:
    root = fake("lfw")
    path = root / "peopleDevTrain.txt"
    for text, message in {
        "3\nAda_Test\t4\nBo_Probe\t1\n": "promises 3 entries, 2 follow",
        "2\nAda_Test 4\nBo_Probe\t1\n": "Name<tab>count",
    }.items():
        path.write_text(text)
        with pytest.raises(ValueError, match=rf"peopleDevTrain\.txt: .*{message}"):
            LFW(path=root).available(0)
    path.unlink()
    with pytest.raises(ValueError, match=r"peopleDevTrain\.txt: no such list.*official = False"):
        LFW(path=root).available(0)
