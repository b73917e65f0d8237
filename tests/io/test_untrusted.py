"""Damage is told in one short sentence, and only regular files are opened."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from imagelab.io.untrusted import QUOTED, json_value, parsing, quoted, regular


def test_a_pipe_a_device_and_a_folder_are_refused_by_name(tmp_path: Path):
    os.mkfifo(tmp_path / "pipe.png")
    (tmp_path / "device.png").symlink_to("/dev/zero")
    for path, kind in (
        (tmp_path / "pipe.png", "named pipe"),
        (tmp_path / "device.png", "device"),
        (tmp_path, "folder"),
    ):
        with pytest.raises(ValueError, match=rf"{path.name}: is a {kind}; expected a regular file"):
            regular(path)


def test_a_missing_file_and_an_impossible_name_are_refused_by_name(tmp_path: Path):
    for name in ("absent.png", "nul\0.png"):
        with pytest.raises(ValueError, match="cannot be opened"):
            regular(tmp_path / name)


def test_a_link_to_a_regular_file_is_a_regular_file(tmp_path: Path):
    (tmp_path / "file").write_bytes(b"123")
    (tmp_path / "link").symlink_to("file")
    assert regular(tmp_path / "link").st_size == 3


@pytest.mark.parametrize("error", [KeyError("x"), MemoryError(), RecursionError("deep"), OverflowError(), ValueError()])
def test_whatever_a_parser_raises_becomes_one_sentence_with_the_name_of_the_file(error: Exception):
    with pytest.raises(ValueError, match=r"^a\.npy: not an array \(") as caught, parsing("a.npy", "an array"):
        raise error
    assert len(str(caught.value)) < QUOTED + 40


def test_a_full_disk_is_not_taken_for_damage():
    with pytest.raises(OSError, match="No space"), parsing("a.npy", "an array"):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def test_what_is_quoted_is_short_and_printable():
    assert len(quoted("a" * 10**6)) == QUOTED
    assert quoted("\x1b[31m\nred") == "\\x1b[31m\\nred"
    assert quoted("\udc80") == "\\udc80"


@pytest.mark.parametrize("text", ["[" * 100_000, "{", b"\xff", '{"a": ' + "9" * 10_000 + "}"])
def test_no_json_text_raises_anything_but_a_short_value_error(text: str | bytes):
    with pytest.raises(ValueError, match=r"^state\.json: not whole JSON") as caught:
        json_value(text, "state.json")
    assert len(str(caught.value)) < QUOTED + 60
