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
        "2\nAda_Test\nBo_Probe\t1\n": "line 2: expected `Name<tab>count`, got 'Ada_Test'",
        "2\nAda_Test\t4\n\nBo_Probe\t12345\n": "line 4: expected `Name<tab>count`",
        "Ada_Test\t4\n": "line 1: expected the number of entries",
        "2\nAda_Test\t4\nAda_Test\t3\n": "line 3: says something else of Ada_Test than line 2 of peopleDevTrain.txt",
    }.items():
        path.write_text(text)
        with pytest.raises(ValueError, match=rf"peopleDevTrain\.txt: .*{message}"):
            LFW(path=root).available(0)
    path.unlink()
    with pytest.raises(ValueError, match=r"peopleDevTrain\.txt: no such list.*official = False"):
        LFW(path=root).available(0)


def test_a_person_on_both_lists_is_refused_because_she_would_be_in_train_and_test(fake: Callable[[str], Path]) -> None:
    root = fake("lfw")
    (root / "peopleDevTest.txt").write_text("2\nCy_Sample\t3\nAda_Test\t4\n")
    with pytest.raises(ValueError, match=r"peopleDevTest\.txt: line 3: .* Ada_Test than line 2 of peopleDevTrain\.txt"):
        LFW(path=root).available(0)


def test_a_list_of_another_form_gives_the_same_splits(built: dict[str, Path], fake: Callable[[str], Path]) -> None:
    root = fake("lfw")
    text = "\ufeff9\r\nAda_Test  4 \r\n\r\nBO_PROBE\t1\r\nAda_Test\t4"  # BOM, CRLF, blanks, case, repeated, count
    (root / "peopleDevTrain.txt").write_bytes(text.encode())
    theirs, ours = LFW(path=built["lfw"], size=32), LFW(path=root, size=32)
    assert ours.available(0) == theirs.available(0)
    assert ours.load("train", 5, 0).sources == theirs.load("train", 5, 0).sources
    card = ours.card()
    assert "Line 1 of peopleDevTrain.txt promises 9 entries, 3 follow." in card
    assert "1 line of the set's lists repeats" in card and "(Bo_Probe/Bo_Probe_0001.jpg for BO_PROBE/" in card


def test_pictures_of_persons_on_no_list_are_counted(fake: Callable[[str], Path]) -> None:
    root = fake("lfw")
    (root / "peopleDevTrain.txt").write_text("1\nAda_Test\t4\n")
    recipe = LFW(path=root, size=32)
    assert "1 pictures are on no list and not used: Bo_Probe/Bo_Probe_0001.jpg. " in recipe.card()
    assert "0 files that are not pictures" in recipe.card()
