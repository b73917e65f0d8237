from __future__ import annotations

import io
import os
import zlib
from pathlib import Path

import numpy as np
import pytest
from scipy.io import savemat

from imagelab.io.matlab import matlab_numbers


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize("kind", ["u1", "i1", "u2", "i2", "u4", "i4", "u8", "i8", "f4", "f8"])
def test_the_numbers_are_those_that_scipy_wrote(tmp_path: Path, kind: str, packed: bool) -> None:
    values = np.array([[1, 2, 3, 100, 101], [7, 8, 9, 10, 11]], kind)
    arrays = {"other": np.arange(3), "labels": values, "x": values[:, :1], "text": "abc"}
    savemat(tmp_path / "a.mat", arrays, do_compression=packed)
    np.testing.assert_array_equal(matlab_numbers(tmp_path / "a.mat", "labels"), values.ravel("F"))
    np.testing.assert_array_equal(matlab_numbers(tmp_path / "a.mat", "x"), [1, 7])


@pytest.mark.parametrize(("name", "said"), [("none", "it has no such array"), ("text", "no real"), ("z", "no real")])
def test_what_is_no_array_of_numbers_is_refused(tmp_path: Path, name: str, said: str) -> None:
    savemat(tmp_path / "a.mat", {"text": "abc", "z": np.array([1 + 2j])})
    with pytest.raises(ValueError, match=rf"a\.mat: not a MATLAB 5 file with an array of numbers '{name}' \(.*{said}"):
        matlab_numbers(tmp_path / "a.mat", name)


@pytest.mark.parametrize("packed", [False, True])
def test_a_file_that_is_cut_or_changed_anywhere_gives_its_numbers_or_a_refusal(tmp_path: Path, packed: bool) -> None:
    file = io.BytesIO()
    savemat(file, {"labels": np.arange(200, dtype=np.uint16)}, do_compression=packed)
    whole, path, told = file.getvalue(), tmp_path / "a.mat", 0
    variants = [whole[:end] for end in range(len(whole))]
    variants += [
        whole[:at] + bytes([whole[at] ^ bit]) + whole[at + 1 :] for at in range(124, len(whole)) for bit in (1, 128)
    ]
    for content in variants:
        path.write_bytes(content)
        try:
            assert matlab_numbers(path, "labels").ndim == 1
        except ValueError as error:
            told += 1
            assert "\n" not in str(error)
            assert str(error).startswith(f"{path}: not a MATLAB 5 file")
    assert told >= len(whole) - 1


def test_a_small_file_does_not_unfold_without_limit(tmp_path: Path) -> None:
    file = io.BytesIO()
    savemat(file, {"a": np.zeros(1)})
    bomb = zlib.compress(bytes(100_000_000), 9)
    (tmp_path / "a.mat").write_bytes(
        file.getvalue()[:128] + (15).to_bytes(4, "little") + len(bomb).to_bytes(4, "little") + bomb
    )
    with pytest.raises(ValueError, match="unfolds to too many bytes"):
        matlab_numbers(tmp_path / "a.mat", "a")


def test_a_pipe_is_refused_and_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "a.mat")
    with pytest.raises(ValueError, match=r"a\.mat: is a named pipe"):
        matlab_numbers(tmp_path / "a.mat", "a")
