"""Sealed files: reading returns what was written, or fails with an error."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from imagelab.metrics.artifacts import contents_digest, packed_card, read_sealed, write_sealed

ARRAYS = {"weight": np.arange(6, dtype=np.float32).reshape(2, 3), "card": packed_card({"seed": 7})}


def test_a_sealed_file_returns_the_same_arrays_and_card(tmp_path: Path):
    write_sealed(tmp_path / "s.npz", ARRAYS)
    arrays, card = read_sealed(tmp_path / "s.npz", "thing", "make it again")
    assert card == {"seed": 7}
    assert contents_digest(arrays) == contents_digest(ARRAYS)
    np.testing.assert_array_equal(arrays["weight"], ARRAYS["weight"])


def test_the_digest_does_not_depend_on_byte_order():
    big = {**ARRAYS, "weight": ARRAYS["weight"].astype(">f4")}
    assert contents_digest(big) == contents_digest(ARRAYS)


@pytest.mark.parametrize(
    "other",
    [
        {"weight": ARRAYS["weight"] + 1},
        {"weight": ARRAYS["weight"].astype(np.float64)},
        {"weight": ARRAYS["weight"].reshape(3, 2)},
        {"bias": ARRAYS["weight"]},
        {"card": packed_card({"seed": 8})},
    ],
    ids=["value", "type", "shape", "one more", "card"],
)
def test_any_change_of_the_contents_changes_the_digest(other: dict[str, np.ndarray]):
    assert contents_digest({**ARRAYS, **other}) != contents_digest(ARRAYS)


def test_every_changed_byte_is_harmless_or_refused(tmp_path: Path):
    """Each byte in turn is changed: either the contents stay the same (a date, a comment), or the file is refused."""
    path = tmp_path / "s.npz"
    write_sealed(path, ARRAYS)
    whole, refused = path.read_bytes(), 0
    for place in range(len(whole)):
        path.write_bytes(whole[:place] + bytes([whole[place] ^ 0x55]) + whole[place + 1 :])
        try:
            arrays, _ = read_sealed(path, "thing", "make it again")
        except ValueError as error:
            assert str(error).startswith(str(path)) and str(error).endswith("make it again")
            refused += 1
        else:
            assert contents_digest(arrays) == contents_digest(ARRAYS)
    assert refused > len(whole) / 2


def test_a_missing_file_is_named_with_what_it_should_be(tmp_path: Path):
    with pytest.raises(ValueError, match=r"none\.npz: not a whole thing \(.*\); make it again"):
        read_sealed(tmp_path / "none.npz", "thing", "make it again")


def test_nan_and_infinity_are_refused_on_a_card():
    with pytest.raises(ValueError, match="JSON"):
        packed_card({"rate": float("nan")})
