from __future__ import annotations

import ctypes
import io
import logging
import platform
import sys
import threading
import warnings
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from PIL import Image

from imagelab.io.chatter import c_stderr, hear, listening, said
from imagelab.io.pictures import read_picture

GLIBC = pytest.mark.skipif(
    sys.platform != "darwin" and platform.libc_ver()[0] != "glibc", reason="stderr of this C library cannot be changed"
)


def test_warnings_and_log_of_pillow_belong_to_the_file_that_a_thread_reads():
    def read(number: int) -> list[str]:
        with said() as lines:
            for _ in range(2):
                warnings.warn_explicit(f"fault {number}", UserWarning, "x.py", 1, module="PIL.TiffImagePlugin")
            logging.getLogger("PIL.PngImagePlugin").warning("broken %d", number)
        return lines

    with listening(), ThreadPoolExecutor(4) as pool:
        found = list(pool.map(read, range(20)))
    assert found == [[f"fault {number}", f"broken {number}"] for number in range(20)]


def test_what_others_warn_of_is_still_shown():
    with warnings.catch_warnings(record=True) as shown:
        warnings.simplefilter("always")
        with listening():
            warnings.warn("not about a file", UserWarning, stacklevel=1)
        assert [str(each.message) for each in shown] == ["not about a file"]


def test_the_filters_are_as_before_after_many_have_listened_at_once():
    before, show = list(warnings.filters), warnings.showwarning
    barrier = threading.Barrier(4)

    def listen(_: int) -> None:
        barrier.wait()
        with listening():
            barrier.wait()

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(listen, range(4)))
    assert list(warnings.filters) == before and warnings.showwarning is show
    assert not logging.getLogger("PIL").handlers


def test_a_text_is_kept_once_and_only_while_a_file_is_read():
    assert not hear("nobody listens")
    with said() as lines:
        assert hear("a") and hear("a") and hear("")
    assert lines == ["a"]


@GLIBC
def test_what_a_c_library_writes_is_kept_and_not_printed(capfd: pytest.CaptureFixture[str]):
    libc = ctypes.CDLL(None)
    name = "__stderrp" if sys.platform == "darwin" else "stderr"
    with said() as lines, c_stderr():
        libc.fputs(b"one fault.\n", ctypes.c_void_p.in_dll(libc, name))
        print("python's own", file=sys.stderr)
    assert lines == ["one fault"]
    assert capfd.readouterr().err == "python's own\n"


@GLIBC
def test_a_damaged_tiff_gives_the_decoder_s_reason_and_prints_nothing(
    rng: np.random.Generator, capfd: pytest.CaptureFixture[str]
):
    file = io.BytesIO()
    Image.fromarray(rng.integers(0, 256, (64, 64, 3), np.uint8)).save(file, "TIFF", compression="tiff_lzw")
    content = bytearray(file.getvalue())
    for place in range(200, len(content) // 2, 37):
        content[place] ^= 0x55
    with pytest.raises(ValueError, match=r"image file is truncated or damaged \(.+\)"):
        read_picture(io.BytesIO(bytes(content)))
    assert capfd.readouterr() == ("", "")


def test_faults_of_a_picture_that_is_read_are_told_once(tiff_of: Callable[..., bytes]):
    content = bytearray(tiff_of(np.full((4, 4), 9, np.uint8), 8, t315=(7, b"a name of an artist\0")))
    with listening():
        assert read_picture(io.BytesIO(bytes(content))).said == ()
