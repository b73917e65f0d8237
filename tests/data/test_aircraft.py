from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from imagelab.data.aircraft import Aircraft


def test_the_level_chooses_the_labels(built: dict[str, Path]) -> None:
    levels = {
        level: set(Aircraft(path=built["aircraft"], level=level).load("train", 4, 0).attributes)
        for level in ("variant", "family")
    }
    assert levels == {"variant": {"class/707-320", "class/Cessna 172"}, "family": {"class/Boeing 707", "class/A320"}}
    with pytest.raises(ValueError, match=r"images_manufacturer_train\.txt"):
        Aircraft(path=built["aircraft"], level="manufacturer").available(0)


def test_the_line_of_text_is_cut_off_below(built: dict[str, Path]) -> None:
    clean = Aircraft(path=built["aircraft"], size=64).load("train", 4, 0).images
    whole = Aircraft(path=built["aircraft"], size=64, banner=0).load("train", 4, 0).images
    assert (whole[:, :, -8:] > 240).all() and not (clean[:, :, -8:] > 240).all()


def test_a_line_without_label_is_refused(fake: Callable[[str], Path]) -> None:
    root = fake("aircraft")
    (root / "fgvc-aircraft-2013b" / "data" / "images_variant_test.txt").write_text("0000003\n")
    with pytest.raises(ValueError, match=r"images_variant_test\.txt: line 1: expected `number label`, got '0000003'"):
        Aircraft(path=root).available(0)


def test_lists_of_another_form_give_the_same_splits(built: dict[str, Path], fake: Callable[[str], Path]) -> None:
    root = fake("aircraft")
    for path in root.rglob("images_variant_*.txt"):
        lines = path.read_text().splitlines()
        path.write_bytes(
            ("\ufeff" + "  \r\n".join([*(line.replace(" ", "\t", 1) for line in lines), lines[0]])).encode()
        )
    ours, theirs = Aircraft(path=root).load("train", 4, 0), Aircraft(path=built["aircraft"]).load("train", 4, 0)
    assert ours.sources == theirs.sources
    assert {name: column.tolist() for name, column in ours.attributes.items()} == {
        name: column.tolist() for name, column in theirs.attributes.items()
    }
    assert "3 lines of the set's lists repeat" in Aircraft(path=root).card()


def test_a_picture_with_two_labels_or_in_two_splits_is_refused_by_both_lines(fake: Callable[[str], Path]) -> None:
    root = fake("aircraft")
    path = next(root.rglob("images_variant_test.txt"))
    good = path.read_text()
    for line, said in {
        "0000003 Other": r"line 5: says something else of 0000003\.jpg than line 1 of images_variant_test\.txt",
        "0000000 707-320": r"line 5: says something else of 0000000\.jpg than line 1 of images_variant_train\.txt",
    }.items():
        path.write_text(f"{good}{line}\n")
        with pytest.raises(ValueError, match=said):
            Aircraft(path=root).available(0)
