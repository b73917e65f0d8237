from __future__ import annotations

import errno
import os
import resource
import shutil
from pathlib import Path

import numpy as np
import pytest

from imagelab.io.disk import NoRoom, NotStored, free_bytes, require_space, sentence, storing


def refused(error: OSError, target: Path, source: Path | None = None) -> str:
    with pytest.raises(NotStored) as caught, storing(target, source):
        raise error
    assert caught.value.errno == error.errno and "\n" not in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize(
    ("number", "said"),
    [
        (errno.ENOSPC, "No space left on device: the disk is full ("),
        (errno.EDQUOT, "Disk quota exceeded: your quota is used up ("),
        (errno.EFBIG, "File too large: no file "),
        (errno.EROFS, "Read-only file system; choose another folder"),
        (errno.EACCES, "Permission denied; choose another folder"),
        (errno.EIO, "Input/output error."),
    ],
)
def test_every_refusal_names_the_target_and_what_to_do(tmp_path: Path, number: int, said: str) -> None:
    for raised in (OSError(number, os.strerror(number)), OSError(number, f"pyarrow: Detail: {os.strerror(number)}")):
        if raised.strerror == os.strerror(number) or number in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
            assert refused(raised, tmp_path / "new" / "out").startswith(
                f"{tmp_path}/new/out: cannot be written: {said}"
            )


def test_the_free_and_the_needed_bytes_are_said(tmp_path: Path) -> None:
    needed = free_bytes(tmp_path / "not" / "there") * 2
    with (
        pytest.raises(NotStored, match=rf"out: .*\([\d,]+ bytes are free, {needed:,} are needed\)"),
        storing(tmp_path / "out"),
    ):
        require_space(tmp_path, needed)
    require_space(tmp_path, 1)
    assert NoRoom(1).errno == errno.ENOSPC


def test_lists_of_tuples_and_counts_of_values_are_never_shown_raw(tmp_path: Path) -> None:
    copied = shutil.Error([("a", "b", "[Errno 28] No space left on device: 'a' -> 'b'"), ("c", "d", "other")])
    for text in (refused(copied, tmp_path / "out"), sentence(copied)):
        assert "[Errno 28] No space left on device" in text and "('" not in text and "other" not in text
    for text in (
        refused(OSError("3584 requested and 2016 written"), tmp_path / "out"),
        sentence(OSError("9 requested and 1 written")),
    ):
        assert "the disk is full, or a file may not be larger" in text and "requested" not in text


def test_a_source_that_was_deleted_is_named(tmp_path: Path) -> None:
    gone = tmp_path / "run"
    for name in (None, str(gone / "images.npy")):
        said = refused(OSError(errno.ENOENT, os.strerror(errno.ENOENT), name), tmp_path / "out", gone)
        assert said.startswith(f"{name or gone}: is not there any more; was it moved or deleted meanwhile? ")
        assert said.endswith(f"{tmp_path / 'out'} was not written.")
    assert sentence(FileNotFoundError(errno.ENOENT, "No such file or directory", str(gone))) == (
        f"{gone}: No such file or directory; was it moved or deleted while the command ran?"
    )


def test_errors_of_our_own_words_are_left_as_they_are() -> None:
    assert sentence(OSError("too few bytes: free some.")) == "too few bytes: free some."


def test_an_array_beyond_the_limit_of_a_file_is_told_in_one_sentence(tmp_path: Path) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (5000, hard))
    try:
        with pytest.raises(NotStored, match=r"out: cannot be written: ") as caught, storing(tmp_path / "out"):
            np.save(tmp_path / "a.npy", np.zeros(10_000))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert "requested" not in str(caught.value)
