"""A sealed file says what was sealed, or it says that it does not."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from imagelab.metrics.artifacts import contents_digest, packed_card, read_sealed, write_sealed

ARRAYS = {"weight": np.arange(6, dtype=np.float32).reshape(2, 3), "card": packed_card({"seed": 7})}


def test_what_was_sealed_comes_back(tmp_path: Path):
    write_sealed(tmp_path / "s.npz", ARRAYS)
    arrays, card = read_sealed(tmp_path / "s.npz", "thing", "make it again")
    assert card == {"seed": 7}
    assert contents_digest(arrays) == contents_digest(ARRAYS)
    np.testing.assert_array_equal(arrays["weight"], ARRAYS["weight"])


def test_the_digest_does_not_know_the_machine():
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
def test_the_digest_tells_any_change_of_the_contents(other: dict[str, np.ndarray]):
    assert contents_digest({**ARRAYS, **other}) != contents_digest(ARRAYS)


def test_no_changed_byte_passes_unseen(tmp_path: Path):
    """Each byte of the file in turn: either the contents are what they were (a date, a comment), or it is refused."""
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


def test_a_file_that_is_not_there_is_named_with_what_it_should_be(tmp_path: Path):
    with pytest.raises(ValueError, match=r"none\.npz: not a whole thing \(.*\); make it again"):
        read_sealed(tmp_path / "none.npz", "thing", "make it again")


def test_a_figure_that_is_no_number_is_not_sealed():
    with pytest.raises(ValueError, match="JSON"):
        packed_card({"rate": float("nan")})
