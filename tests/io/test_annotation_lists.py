from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest

from imagelab.io.annotation_lists import columns_of, counted, division, once, read_rows, truths


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r", " \t\n\n"])
@pytest.mark.parametrize("mark", ["", "\ufeff"])
def test_lines_are_the_same_whatever_their_ends(tmp_path: Path, end: str, mark: str) -> None:
    path = tmp_path / "list.txt"
    path.write_bytes((mark + end.join(["a.png  1", " b.png\t-1"])).encode())
    assert [row.fields for row in read_rows(path)] == [("a.png", "1"), ("b.png", "-1")]
    assert [row.line for row in read_rows(path)] == [1, 2 + end.count("\n\n")]


def test_a_csv_row_has_the_line_where_it_begins(tmp_path: Path) -> None:
    path = tmp_path / "list.csv"
    path.write_text('name,note\na.png,"two\nlines"\n\nb.png,"x, y"\n')
    assert [(row.line, row.fields[0]) for row in read_rows(path)] == [(1, "name"), (2, "a.png"), (5, "b.png")]
    assert read_rows(path)[2].fields == ("b.png", "x, y")


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"a 1\nb\xff 2\n", "not a text file in UTF-8 .line 2 holds other bytes"),
        ("a 1\nb 2\n".encode("utf-16"), "not a text file in UTF-8 .line 1 holds other bytes"),
        (b"a 1\n\nb\0 2\n", "not a text file in UTF-8 .line 3 holds zero bytes"),
    ],
)
def test_what_is_no_text_is_refused_by_its_line(tmp_path: Path, content: bytes, said: str) -> None:
    (tmp_path / "list.txt").write_bytes(content)
    with pytest.raises(ValueError, match=rf"list\.txt: {said}"):
        read_rows(tmp_path / "list.txt")


def test_a_pipe_is_refused_and_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "list.txt")
    with pytest.raises(ValueError, match=r"list\.txt: is a named pipe"):
        read_rows(tmp_path / "list.txt")


@pytest.mark.parametrize("first", ["two", "", "²", "-2", "2 entries"])
def test_a_first_line_that_is_no_number_is_refused(tmp_path: Path, first: str) -> None:
    path = tmp_path / "list.txt"
    path.write_text(f"{first}\na 1\n")
    with pytest.raises(ValueError, match="line 1: expected the number of entries, got"):
        counted(path, read_rows(path), headers=0)


def test_a_number_of_entries_that_is_wrong_is_told(tmp_path: Path) -> None:
    path = tmp_path / "list.txt"
    for number, said in {
        "2": "",
        "3000": "Line 1 of list.txt promises 3000 entries, 2 follow. ",
        "9" * 5000: "9…",
    }.items():
        path.write_text(f"{number}\na 1\nb 2\n")
        body, note = counted(path, read_rows(path), headers=0)
        assert len(body) == 2 and said in note and len(note) < 100


def test_equal_lines_count_once_and_lines_that_disagree_are_both_named() -> None:
    one, two = Path("one.txt"), Path("two.txt")
    rows = [(one, 1, "a", 1), (one, 2, "b", 2), (one, 4, "a", 1), (two, 1, "b", 2)]
    assert once(rows) == ([0, 1], "2 lines of the set's lists repeat an earlier one and count once. ")
    with pytest.raises(ValueError, match=r"^two\.txt: line 7: says something else of a than line 1 of one\.txt; "):
        once([*rows, (two, 7, "a", 2)])


def test_a_division_that_cannot_be_used_says_what_is_here() -> None:
    assert division(["train", "test"]) == (("train", "heldout"), "")
    assert division(["train"] * 3) == (
        None,
        "The set's own division cannot be used: it needs pictures of train and test, here are train. ",
    )
    assert "and 295 more" in division([f"s{i}" for i in range(300)])[1]


@pytest.mark.parametrize("words", [["yes", "true"], ["1", "-1", "0"], ["2", "1"], [""], [], ["1", "no"]])
def test_words_of_no_one_pair_are_not_yes_and_no(words: list[str]) -> None:
    assert truths(words) is None


def test_many_columns_that_cannot_be_used_stay_one_sentence() -> None:
    facts = [{f"c{k}": ("yes", "no", "x" * 5000)[row % 3] for k in range(500)} for row in range(9)]
    columns, note = columns_of(facts, "label", words=True)
    assert columns == {} and "and 495 more" in note and len(note) < 500


def test_without_words_only_true_and_false_of_the_file_count() -> None:
    facts = [{"a": True, "b": 1, "c": "yes"}, {"a": False, "b": 0, "c": "no"}]
    assert {name: column.tolist() for name, column in columns_of(facts, "label")[0].items()} == {"a": [True, False]}
    assert set(columns_of(facts, "label", words=True)[0]) == {"a", "b", "c"}
    assert set(columns_of(facts, "c", words=True)[0]) == {"a", "b", "class/yes", "class/no"}


def test_a_label_that_is_yes_or_no_is_one_attribute() -> None:
    columns, note = columns_of([{"label": True}, {"label": False}, {"label": True}], "label")
    np.testing.assert_array_equal(columns["label"], [True, False, True])
    assert set(columns) == {"label"} and note == ""
