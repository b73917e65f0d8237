from __future__ import annotations

import bz2
import gzip
import lzma
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from imagelab.io.annotation_lists import changed
from imagelab.io.unfolding import packing_of, unfolded

CONTENT = bytes(range(256)) * 1000


def zstandard(content: bytes) -> bytes:
    import pyarrow

    sink = pyarrow.BufferOutputStream()
    with pyarrow.CompressedOutputStream(sink, "zstd") as file:
        file.write(content)
    return sink.getvalue().to_pybytes()


PACKED = {
    "gzip": gzip.compress(CONTENT),
    "bzip2": bz2.compress(CONTENT),
    "xz": lzma.compress(CONTENT),
    "Zstandard": zstandard(CONTENT),
}


def put(path: Path, content: bytes) -> Path:
    path.write_bytes(content)
    return path


@pytest.mark.parametrize("packing", PACKED)
@pytest.mark.parametrize("cache", [True, False])
def test_packed_files_are_unpacked_one_after_the_other(tmp_path: Path, packing: str, cache: bool) -> None:
    path = put(tmp_path / "a", PACKED[packing])
    assert packing_of(path) == packing
    files = (changed(path), changed(put(tmp_path / "b", gzip.compress(b"second"))))
    content, spans = unfolded(files, cache)
    assert [content[begin:end].tobytes() for begin, end in spans] == [CONTENT, b"second"]
    assert any((tmp_path.parent).rglob("*.bytes")) or not cache


@pytest.mark.parametrize("packing", PACKED)
def test_joined_streams_are_read_on_and_damage_is_refused(tmp_path: Path, packing: str) -> None:
    packed = PACKED[packing]
    content, _ = unfolded((changed(put(tmp_path / "joined", packed * 2)),), False)
    assert content.tobytes() == CONTENT * 2
    cases = {
        "cut": packed[: len(packed) // 2],
        "tail": packed + b"garbage",
        "second": packed + packed[: len(packed) // 2],
    }
    if packing != "Zstandard":  # its checksum is optional
        cases["flip"] = packed[:40] + bytes([packed[40] ^ 255]) + packed[41:]
    for name, damaged in cases.items():
        with pytest.raises(ValueError, match=rf"{name}: not a whole {packing} file"):
            unfolded((changed(put(tmp_path / name, damaged)),), False)


@pytest.mark.parametrize("pack", [bz2.compress, gzip.compress, lzma.compress])
def test_what_unfolds_to_too_much_is_refused_with_the_limit(
    tmp_path: Path, pack: Callable[[bytes], bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("imagelab.io.untrusted.ANY_RATIO", 1 << 20)
    path = put(tmp_path / "bomb", pack(bytes(9 << 20)))
    with pytest.raises(ValueError, match=r"bomb: stopped before its end: .* more than the limit .* IMAGELAB_UNPACK_GB"):
        unfolded((changed(path),), False)
    path = put(tmp_path / "sound", pack(bytes(1 << 20)))
    assert len(unfolded((changed(path),), False)[0]) == 1 << 20


def test_without_pyarrow_zstandard_is_refused_with_the_true_reason(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(ValueError, match=r"a: is packed with Zstandard, for which pyarrow is needed"):
        unfolded((changed(put(tmp_path / "a", PACKED["Zstandard"])),), False)
