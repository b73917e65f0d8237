from __future__ import annotations

import io
import zlib
from collections.abc import Callable

import numpy as np
import pytest
from PIL import Image

from imagelab.io.pictures import read_picture
from imagelab.io.reading import Reading

Tiff = Callable[..., bytes]


def eight(values: np.ndarray) -> np.ndarray:
    return np.rint(values / 65535 * 255).transpose(2, 0, 1)


def pixels(content: bytes, **reading: float) -> np.ndarray:
    return read_picture(io.BytesIO(content), Reading(**reading)).pixels  # pyright: ignore[reportArgumentType]


@pytest.fixture
def values(rng: np.random.Generator) -> np.ndarray:
    return rng.integers(0, 65536, (21, 19, 3)).astype("<u2")


def test_sixteen_bits_are_rounded_and_not_cut(tiff_of: Tiff, values: np.ndarray):
    np.testing.assert_array_equal(pixels(tiff_of(values, 16)), eight(values))
    assert (eight(values) != (values >> 8).transpose(2, 0, 1)).any()


def test_deflated_strips_with_differences_are_undone(tiff_of: Tiff, values: np.ndarray):
    differences = np.diff(values, axis=1, prepend=np.zeros((21, 1, 3), "<u2"))
    strips = [zlib.compress(differences[top : top + 8].tobytes()) for top in (0, 8, 16)]
    tags = {"t259": (3, [8]), "t317": (3, [2]), "t278": (4, [8])}
    np.testing.assert_array_equal(pixels(tiff_of(values, 16, pieces=strips, **tags)), eight(values))


def test_tiles_are_put_into_their_places(tiff_of: Tiff, values: np.ndarray):
    padded = np.zeros((32, 32, 3), "<u2")
    padded[:21, :19] = values
    tiles = [padded[y : y + 16, x : x + 16].tobytes() for y in (0, 16) for x in (0, 16)]
    content = tiff_of(values, 16, pieces=tiles, t322=(4, [16]), t323=(4, [16]))
    np.testing.assert_array_equal(pixels(content), eight(values))


def test_floating_point_differences_are_undone(tiff_of: Tiff, rng: np.random.Generator):
    values = rng.random((6, 5, 3)).astype(np.float32)
    by_significance = values.astype(">f4").view(np.uint8).reshape(6, 15, 4).swapaxes(1, 2).reshape(6, -1, 3)
    differences = np.diff(by_significance, axis=1, prepend=np.zeros((6, 1, 3), np.uint8))
    tags = {"t259": (3, [8]), "t317": (3, [3]), "t339": (3, [3] * 3)}
    content = tiff_of(values, 32, pieces=[zlib.compress(differences.tobytes())], **tags)
    np.testing.assert_array_equal(pixels(content, white=1.0), np.rint(values * 255.0).transpose(2, 0, 1))


@pytest.mark.parametrize("compression", ["tiff_lzw", "packbits", "tiff_adobe_deflate"])
def test_every_lossless_compression_gives_the_stored_values(compression: str):
    ramp = np.arange(24 * 16, dtype=np.uint16).reshape(24, 16) * 170
    file = io.BytesIO()
    Image.fromarray(ramp).save(file, "TIFF", compression=compression)
    np.testing.assert_array_equal(read_picture(file).pixels, np.repeat(eight(ramp[..., None]), 3, axis=0))


def test_bits_in_reversed_order_are_read(tiff_of: Tiff, values: np.ndarray):
    turned = values.view(np.uint8)
    turned = np.packbits(np.unpackbits(turned.reshape(-1, 1), axis=1)[:, ::-1], axis=1).tobytes()
    np.testing.assert_array_equal(pixels(tiff_of(values, 16, pieces=[turned], t266=(3, [2]))), eight(values))


def test_missing_or_damaged_pieces_are_refused(tiff_of: Tiff, values: np.ndarray):
    raw = values.tobytes()
    with pytest.raises(ValueError, match="truncated"):
        pixels(tiff_of(values, 16, pieces=[raw[:-9]]))
    with pytest.raises(ValueError, match="2 pieces; expected 1"):
        pixels(tiff_of(values, 16, pieces=[raw, raw]))
    with pytest.raises(ValueError, match="damaged"):
        pixels(tiff_of(values, 16, pieces=[b"junk" * 9], t259=(3, [8])))
    with pytest.raises(ValueError, match=r"truncated|damaged"):
        pixels(tiff_of(values, 16, pieces=[b"junk" * 9], t259=(3, [5])))


def test_what_a_small_piece_unfolds_to_is_limited_by_the_picture(tiff_of: Tiff):
    bomb = zlib.compress(bytes(200_000_000), 9)
    content = tiff_of(np.zeros((4, 4, 3), "<u2"), 16, pieces=[bomb], t259=(3, [8]))
    assert pixels(content).max() == 0


def test_an_alpha_of_unknown_scale_is_refused(tiff_of: Tiff):
    values = np.full((4, 4, 2), 4000, np.uint16)
    with pytest.raises(ValueError, match="not clear which value is opaque"):
        pixels(tiff_of(values, 16, t338=(3, [2])), white=4095)
