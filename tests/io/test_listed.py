from __future__ import annotations

import unicodedata
from pathlib import Path

import pytest

from imagelab.io.catalogue import BadFile, Entry, Listing
from imagelab.io.listed import loose, named, present


def folder(*names: str) -> Listing:
    return Listing(Path("set"), tuple(Entry(name, 1, 1, True) for name in names), ignored=3)


def test_the_pictures_come_in_the_order_of_the_list_and_all_others_are_counted() -> None:
    here = present(folder("a.png", "b.png", "c.png", "d.png"), ["d.png", "x.png", "a.png"])
    assert here.rows.tolist() == [0, 2]
    assert [entry.name for entry in here.listing.entries] == ["d.png", "a.png"] and here.listing.ignored == 3
    assert here.note == (
        "1 of 3 listed pictures are not in the folder: x.png. 2 pictures are on no list and not used: b.png, c.png. "
    )
    assert present(folder("a.png"), ["a.png"]).note == ""


def test_the_note_stays_short_however_long_the_list() -> None:
    names = [f"{i:06d}.png" for i in range(5000)]
    here = present(folder(*(f"extra{i}.png" for i in range(3000)), "000000.png"), [*names, "y" * 5000])
    assert len(here.note) < 400 and "5,000 of 5,001" in here.note and "and 2,995 more" in here.note


@pytest.mark.parametrize(
    ("file", "listed"),
    [
        ("a/B.png", "A/b.PNG"),
        ("a/b.png", "a\\b.png"),
        ("a/b.png", "./a/b.png"),
        (unicodedata.normalize("NFD", "é.png"), unicodedata.normalize("NFC", "é.png")),
    ],
)
def test_names_written_in_another_way_are_found_and_told(file: str, listed: str) -> None:
    here = present(folder(file, "z.png"), [listed, "z.png"])
    assert here.rows.tolist() == [0, 1] and here.listing.entries[0].name == file
    assert "1 file names are written in another way than on the list" in here.note


def test_a_file_that_one_name_is_the_exact_name_of_is_not_given_to_another() -> None:
    here = present(folder("a.png"), ["A.png", "a.png"])
    assert here.rows.tolist() == [1]


def test_the_suffix_is_ignored_only_where_nothing_else_is_found() -> None:
    assert present(folder("a.png", "b.png"), ["a.jpg", "b.jpg"]).rows.tolist() == [0, 1]
    beside = present(folder("a.jpg", "b.png"), ["a.jpg", "b.jpg"])  # b.png may be a mask of b.jpg
    assert beside.rows.tolist() == [0] and "1 pictures are on no list and not used: b.png" in beside.note


@pytest.mark.parametrize(
    ("files", "names"),
    [(["a.JPG", "A.jpg"], ["a.jpg"]), (["a.JPG"], ["A.jpg", "a.jpg"]), (["a.png", "a.gif"], ["a.jpg"])],
)
def test_a_name_that_can_mean_two_files_is_refused(files: list[str], names: list[str]) -> None:
    with pytest.raises(ValueError, match=r"set: expected one file for each listed name; .* can mean "):
        present(folder(*files), names)


def test_a_dot_in_a_folder_or_at_the_start_begins_no_suffix() -> None:
    assert loose("v1.png/a") == "v1.png/a" and loose(".png") == ".png" and loose("a.b") == "a.b"


def test_of_many_bad_files_the_first_five_are_named() -> None:
    bad = [BadFile(f"{i}.png", "x" * 5000) for i in range(3000)]
    lines = named(bad).splitlines()
    assert lines[0] == "" and lines[-1] == "  and 2,995 more" and len(lines) == 7
    assert all(len(line) <= 302 for line in lines) and named(()) == ""
    assert named(bad[:1])[:12] == "\n  0.png: xx"
