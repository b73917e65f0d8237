from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from imagelab.io.answers import AnswerFile, GivenAnswer, read_answers

HEADER = {"answers": ["real", "generated"], "key": "k"}


def given(number: int, word: str = "real") -> GivenAnswer:
    return GivenAnswer(number, word, 1.25, "2026-11-29T12:00:00+00:00")


def opened(path: Path, count: int) -> AnswerFile:
    file = AnswerFile(path, HEADER)
    for number in range(count):
        file.append(given(number, ("real", "generated")[number % 2]))
    return file


def test_answers_come_back_as_they_were_given_and_only_the_owner_can_read_them(tmp_path: Path):
    path = tmp_path / "a.jsonl"
    file = opened(path, 3)
    assert read_answers(path) == (HEADER, list(file.answers))
    assert [each.word for each in file.answers] == ["real", "generated", "real"]
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    again = AnswerFile(path, {"answers": ["other"]})
    assert again.header == HEADER and again.answers == file.answers and not again.torn


def test_an_answer_is_on_the_disk_before_append_returns(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    file, synced, plain = opened(tmp_path / "a.jsonl", 1), [], os.fsync
    monkeypatch.setattr(os, "fsync", lambda handle: (synced.append(os.fstat(handle).st_size), plain(handle)))
    before = file.path.stat().st_size
    file.append(given(1))
    assert synced == [file.path.stat().st_size] and synced[0] > before


@pytest.mark.parametrize("cut", [1, 20])
def test_a_half_written_last_line_is_no_answer_and_is_asked_again(tmp_path: Path, cut: int):
    path = tmp_path / "a.jsonl"
    opened(path, 3).close()
    path.write_bytes(path.read_bytes()[:-cut])
    assert len(read_answers(path)[1]) == 2
    again = AnswerFile(path, HEADER)
    assert again.torn and len(again.answers) == 2
    again.append(given(2, "generated"))
    assert [each.word for each in read_answers(path)[1]] == ["real", "generated", "generated"]


def test_only_the_next_picture_can_be_answered(tmp_path: Path):
    file = opened(tmp_path / "a.jsonl", 2)
    for number in (0, 1, 3):
        with pytest.raises(ValueError, match=f"answer to picture 2, got one to {number}"):
            file.append(given(number))
    assert len(read_answers(file.path)[1]) == 2


def test_an_answer_that_cannot_be_synced_does_not_count(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    file = opened(tmp_path / "a.jsonl", 1)

    def full(handle: int) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", full)
        with pytest.raises(OSError, match="No space left"):
            file.append(given(1))
    assert len(file.answers) == 1 == len(read_answers(file.path)[1])
    file.append(given(1))
    assert len(read_answers(file.path)[1]) == 2


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        (b'"picture": 1', b'"picture": 0', "line 3: expected the answer to picture 1"),
        (b'"answer": "generated"', b'"answer": "forged"', "line 3: expected one of real, generated, got forged"),
        (b'"seconds": 1.25', b'"seconds": NaN', "line 2: expected `seconds`"),
        (b'{"picture": 1', b'{"picture" 1', "line 3: not whole JSON"),
        (b'"answers"', b'"questions"', "line 1 does not say what was asked"),
    ],
)
def test_a_changed_file_is_refused_with_its_line(tmp_path: Path, old: bytes, new: bytes, message: str):
    path = tmp_path / "a.jsonl"
    opened(path, 3).close()
    assert old in path.read_bytes()
    path.write_bytes(path.read_bytes().replace(old, new, 1))
    with pytest.raises(ValueError, match=message):
        read_answers(path)


def test_a_link_is_not_followed(tmp_path: Path):
    opened(tmp_path / "a.jsonl", 1).close()
    (tmp_path / "b.jsonl").symlink_to(tmp_path / "a.jsonl")
    with pytest.raises(ValueError, match=r"b\.jsonl: is a link"):
        AnswerFile(tmp_path / "b.jsonl", HEADER)
