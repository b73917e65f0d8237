"""NPZ files: one array is chosen by name or because no other can be pictures; all that unpacks has a limit."""

from __future__ import annotations

import os
import zipfile
from pathlib import Path

import numpy as np
import pytest

from imagelab.io import untrusted
from imagelab.io.arrays import array_file, as_bytes, labels_beside, planar_view
from imagelab.io.untrusted import QUOTED, UNPACK_GB

PIXELS = np.random.default_rng(0).integers(0, 256, (6, 8, 9, 3), np.uint8)
STATISTICS = {"mu": np.zeros(4), "sigma": np.eye(4), "mu_s": np.zeros(4), "sigma_s": np.eye(4)}


def edited(path: Path, offset: int, value: bytes, local: int | None = None) -> None:
    """Write bytes into the first entry of a zip file's directory, and into the header of the member."""
    content = bytearray(path.read_bytes())
    start = content.index(b"PK\x01\x02") + offset
    content[start : start + len(value)] = value
    if local is not None:
        content[local : local + len(value)] = value
    path.write_bytes(content)


def refusal(path: Path, key: str | None = None) -> str:
    with pytest.raises(ValueError, match=path.name) as caught:
        array_file(path, cache=False, key=key)
    message = str(caught.value)
    assert len(message) < QUOTED + len(str(path)) + 60
    return message


@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
def test_a_reference_batch_with_pictures_and_statistics_gives_its_pictures(save, tmp_path: Path):
    save(tmp_path / "a.npz", arr_0=PIXELS, **STATISTICS)
    np.testing.assert_array_equal(array_file(tmp_path / "a.npz", cache=False)[0], PIXELS)


def test_statistics_alone_are_refused_as_what_they_are(tmp_path: Path):
    np.savez(tmp_path / "a.npz", **STATISTICS)
    assert "mu and sigma, statistics of features" in refusal(tmp_path / "a.npz")


def test_of_two_arrays_that_can_be_pictures_none_is_taken_by_position(tmp_path: Path):
    np.savez(tmp_path / "a.npz", a=PIXELS, b=PIXELS[::-1])
    assert "it holds a, b" in refusal(tmp_path / "a.npz")
    np.testing.assert_array_equal(array_file(tmp_path / "a.npz", cache=False, key="b")[0], PIXELS[::-1])


def test_two_arrays_of_one_name_are_refused(tmp_path: Path):
    np.savez(tmp_path / "a.npz", images=PIXELS)
    content = zipfile.ZipFile(tmp_path / "a.npz").read("images.npy")
    with zipfile.ZipFile(tmp_path / "a.npz", "a") as archive, pytest.warns(UserWarning, match="Duplicate"):
        archive.writestr("images.npy", content)
    assert "several arrays called images.npy" in refusal(tmp_path / "a.npz")


def test_a_member_that_is_no_array_does_not_hide_the_pictures_that_are_named(tmp_path: Path):
    np.savez(tmp_path / "a.npz", images=PIXELS)
    with zipfile.ZipFile(tmp_path / "a.npz", "a") as archive:
        archive.writestr("notes.npy", b"words")
    np.testing.assert_array_equal(array_file(tmp_path / "a.npz", cache=False)[0], PIXELS)


def test_where_nothing_is_named_a_member_that_cannot_be_read_may_be_the_pictures(tmp_path: Path):
    np.savez(tmp_path / "a.npz", a=PIXELS)
    with zipfile.ZipFile(tmp_path / "a.npz", "a") as archive:
        archive.writestr("b.npy", b"words")
    assert "b: expected an NPY header" in refusal(tmp_path / "a.npz")


def test_an_encrypted_member_is_refused(tmp_path: Path):
    np.savez_compressed(tmp_path / "a.npz", images=PIXELS)
    edited(tmp_path / "a.npz", 8, b"\x01", 6)
    assert "is encrypted" in refusal(tmp_path / "a.npz")


@pytest.mark.parametrize("method", [zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_methods_that_numpy_does_not_write_are_refused(method: int, tmp_path: Path):
    np.save(tmp_path / "images.npy", PIXELS)
    with zipfile.ZipFile(tmp_path / "a.npz", "w", method) as archive:
        archive.write(tmp_path / "images.npy", "images.npy")
    assert f"compression method {method}" in refusal(tmp_path / "a.npz")


def test_a_wrong_checksum_is_refused(tmp_path: Path):
    np.savez(tmp_path / "a.npz", images=PIXELS)
    content = bytearray((tmp_path / "a.npz").read_bytes())
    content[len(content) // 2] ^= 1
    (tmp_path / "a.npz").write_bytes(content)
    assert "CRC" in refusal(tmp_path / "a.npz")


def test_a_directory_that_promises_terabytes_is_refused_before_anything_is_unpacked(tmp_path: Path):
    np.savez_compressed(tmp_path / "a.npz", images=PIXELS)
    edited(tmp_path / "a.npz", 24, b"\xf0\xff\xff\xff")
    assert "the archive holds 4294967280" in refusal(tmp_path / "a.npz")


def test_a_file_that_unpacks_to_more_than_the_limit_is_refused_and_the_limit_can_be_raised(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    zeros = np.zeros((2000, 16, 16, 3), np.uint8)  # 1.5 MB from 2 kB
    np.savez_compressed(tmp_path / "a.npz", images=zeros)
    monkeypatch.setattr(untrusted, "ANY_RATIO", 10_000)
    message = refusal(tmp_path / "a.npz")
    assert "more than the limit of 0.000" in message
    assert f"set {UNPACK_GB}=1" in message
    monkeypatch.setenv(UNPACK_GB, "1")
    assert not array_file(tmp_path / "a.npz", cache=False)[0].any()
    monkeypatch.setenv(UNPACK_GB, "much")
    assert "expected a number of GB" in refusal(tmp_path / "a.npz")


def test_an_uncompressed_file_has_no_limit_but_the_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    np.savez(tmp_path / "a.npz", images=PIXELS)
    monkeypatch.setattr(untrusted, "ANY_RATIO", 1)
    np.testing.assert_array_equal(array_file(tmp_path / "a.npz", cache=False)[0], PIXELS)
    monkeypatch.setattr("imagelab.io.arrays.SPARE_BYTES", 1 << 60)
    assert "the disk has" in refusal(tmp_path / "a.npz")


@pytest.mark.parametrize("name", ["a.npy", "a.npz"])
def test_a_pipe_is_refused_at_once(name: str, tmp_path: Path):
    os.mkfifo(tmp_path / name)
    assert "is a named pipe" in refusal(tmp_path / name)


def test_labels_are_read_or_refused_by_name(tmp_path: Path):
    path = tmp_path / "a.npz"
    np.savez(path, images=PIXELS, words=np.array(list("abcabc")), many=np.arange(7), objects=np.array([None] * 6))
    assert labels_beside(path, "words", 6) == list("abcabc")
    assert labels_beside(path, "absent", 6) is None
    with pytest.raises(ValueError, match=r"many: expected one label per picture \[6\], got \(7,\)"):
        labels_beside(path, "many", 6)
    with pytest.raises(ValueError, match=r"a\.npz: .*objects: expected plain numbers, got object"):
        labels_beside(path, "objects", 6)


def test_a_set_without_a_value_is_refused_before_anybody_counts_to_its_length(tmp_path: Path):
    with pytest.raises(ValueError, match="at least one image"):
        planar_view(np.empty((10**15, 0, 8, 3), np.float32), "auto", "set")


@pytest.mark.parametrize("kind", ["?", "i1", ">i2", ">u2", "<i8", ">f2", ">f4"])
def test_a_stated_range_turns_any_numbers_into_the_same_bytes(kind: str):
    low, high = (-128, 127) if kind == "i1" else (0, 1) if kind == "?" or kind[-2] == "f" else (0, 255)
    source = PIXELS > 127 if kind == "?" else PIXELS / 255.0 * (high - low) + low
    values = (source if kind[-2:-1] in ("f", "") else np.rint(source)).astype(kind)
    expected = np.where(PIXELS > 127, 255, 0) if kind == "?" else PIXELS
    planar = planar_view(values, "nhwc", "set")
    np.testing.assert_array_equal(as_bytes(planar, (low, high), "set", "")[0], expected.transpose(0, 3, 1, 2))
    with pytest.raises(ValueError, match="Say which values are black and white"):
        as_bytes(planar, None, "set", "")


@pytest.mark.parametrize("name", [b"lobels.npy", b"labels.npx"])
def test_labels_whose_name_was_damaged_are_not_lost_in_silence(tmp_path: Path, name: bytes):
    path = tmp_path / "set.npz"
    np.savez(path, images=np.zeros((4, 3, 8, 8), np.uint8), labels=np.arange(4))
    content = path.read_bytes()
    place = content.rindex(b"labels.npy")  # in the directory of the archive
    path.write_bytes(content[:place] + name + content[place + len(name) :])
    with pytest.raises(ValueError, match=r"set\.npz: .*another name than the directory"):
        labels_beside(path, "labels", 4)


def test_labels_that_an_archive_no_longer_lists_are_not_lost_in_silence(tmp_path: Path):
    path = tmp_path / "set.npz"
    np.savez(path, images=np.zeros((4, 3, 8, 8), np.uint8), labels=np.arange(4))
    content = bytearray(path.read_bytes())
    comment = content.index(b"PK\x01\x02") + 32  # length of the first member's comment, which then hides the second
    content[comment : comment + 2] = b"\xff\xff"
    path.write_bytes(content)
    with pytest.raises(ValueError, match=r"set\.npz: .*states 2 members and lists 1"):
        labels_beside(path, "labels", 4)
