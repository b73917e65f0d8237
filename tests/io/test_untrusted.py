"""Damage is told in one short sentence, and only regular files are opened."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from imagelab.io.untrusted import QUOTED, UNPACK_GB, check_unpacked, json_value, parsing, quoted, regular, shown


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


def test_an_error_of_the_disk_is_told_from_one_of_the_content():
    with pytest.raises(OSError, match="Input/output"), parsing("a.npz", "an archive"):
        raise OSError(errno.EIO, os.strerror(errno.EIO))
    with (
        pytest.raises(ValueError, match=r"^a\.npz: not an archive \(Invalid argument\)"),
        parsing("a.npz", "an archive"),
    ):
        raise OSError(errno.EINVAL, os.strerror(errno.EINVAL))  # zipfile seeks to where a damaged directory says


def test_half_of_a_surrogate_pair_and_a_huge_number_can_be_shown():
    assert shown("\ud800.png") == "\\ud800.png"
    assert quoted(10**5000) == "int"


@pytest.mark.parametrize(
    ("packed", "unpacked", "fits"),
    [
        (10, 200_000_000, True),
        (1_000_000, 300_000_000, False),
        (26_000_000, 3_020_000_000, True),  # dSprites: 116 to 1
        (10_000_000_000, 17_000_000_000, False),
        (20_000_000_000, 20_000_000_000, True),
    ],
)
def test_a_small_file_may_not_unpack_to_a_huge_one(packed: int, unpacked: int, fits: bool):
    if fits:
        check_unpacked(packed, unpacked)
        return
    with pytest.raises(ValueError, match=f"more than the limit of .* set {UNPACK_GB}="):
        check_unpacked(packed, unpacked)
