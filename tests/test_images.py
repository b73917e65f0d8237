from __future__ import annotations

import io
import struct
import warnings
import zlib
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from imagelab.images import check_images, luma, tile, to_bytes, to_signed
from imagelab.io.pictures import read_npy, read_rgb, write_png


def test_every_byte_survives_the_way_into_a_network_and_back():
    levels = torch.arange(256, dtype=torch.uint8).reshape(1, 1, 16, 16)
    torch.testing.assert_close(to_bytes(to_signed(levels)), levels, rtol=0, atol=0)


def test_signed_images_span_minus_one_to_one():
    ends = to_signed(torch.tensor([0, 255], dtype=torch.uint8).reshape(1, 1, 1, 2)).flatten()
    assert ends.tolist() == [-1.0, 1.0]


def test_publishing_saturates_and_never_wraps_around():
    assert to_bytes(torch.tensor([-3.0, 7.0]).reshape(1, 1, 1, 2)).flatten().tolist() == [0, 255]


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_a_diverged_image_is_never_published(bad: float):
    with pytest.raises(ValueError, match="1 of 2 values"):
        to_bytes(torch.tensor([0.0, bad]).reshape(1, 1, 1, 2))


@pytest.mark.parametrize(
    "images",
    [
        np.zeros((2, 3, 8, 8), np.float32),
        np.zeros((3, 8, 8), np.uint8),
        np.zeros((2, 4, 8, 8), np.uint8),
        np.zeros((0, 3, 8, 8), np.uint8),
    ],
)
def test_another_form_is_refused_with_what_was_expected(images: np.ndarray):
    with pytest.raises(ValueError, match="expected"):
        check_images(images)


def test_luma_weighs_green_most_and_white_is_one():
    colours = np.zeros((4, 3, 1, 1), np.uint8)
    colours[0, 0], colours[1, 1], colours[2, 2], colours[3] = 255, 255, 255, 255
    np.testing.assert_allclose(luma(colours).ravel(), [0.299, 0.587, 0.114, 1.0])


def test_tiling_repeats_pixels_and_invents_none(rng: np.random.Generator):
    images = rng.integers(0, 256, (5, 3, 4, 6), np.uint8)
    sheet = tile(images, columns=3, scale=2, gap=1, background=7)
    assert sheet.shape == (2 * 9 - 1, 3 * 13 - 1, 3)
    np.testing.assert_array_equal(sheet[9:17:2, 13:25:2], images[4].transpose(1, 2, 0))
    assert (sheet[:, 12] == 7).all()


def test_a_written_png_reads_back_the_same(tmp_path: Path, rng: np.random.Generator):
    pixels = rng.integers(0, 256, (9, 11, 3), np.uint8)
    write_png(tmp_path / "a.png", pixels, {"run": "photocopy <b>"})
    np.testing.assert_array_equal(read_rgb(tmp_path / "a.png"), pixels.transpose(2, 0, 1))
    assert Image.open(tmp_path / "a.png").text["run"] == "photocopy <b>"  # pyright: ignore[reportAttributeAccessIssue]


def test_transparency_is_laid_over_the_stated_colour(tmp_path: Path):
    Image.new("RGBA", (4, 4), (200, 0, 0, 0)).save(tmp_path / "clear.png")
    assert (read_rgb(tmp_path / "clear.png", alpha_over=(0, 0, 255))[2] == 255).all()


def test_a_rotated_photograph_is_turned_upright(tmp_path: Path):
    picture = Image.new("RGB", (8, 4), (0, 0, 0))
    exif = picture.getexif()
    exif[0x0112] = 6
    picture.save(tmp_path / "turned.jpg", exif=exif)
    assert read_rgb(tmp_path / "turned.jpg").shape == (3, 8, 4)


def test_sixteen_bit_grey_keeps_its_brightness(tmp_path: Path):
    Image.fromarray(np.full((4, 4), 257 * 128, np.uint16)).save(tmp_path / "deep.png")
    assert (read_rgb(tmp_path / "deep.png") == 128).all()


@pytest.mark.parametrize("values", [np.zeros((4, 4), np.float32), np.full((4, 4), 70000, np.int32)])
def test_values_without_an_agreed_white_are_refused_instead_of_coming_out_black(tmp_path: Path, values: np.ndarray):
    Image.fromarray(values).save(tmp_path / "deep.tif")
    with pytest.raises(ValueError, match=r"deep\.tif: 32-bit \w+ values without an agreed white"):
        read_rgb(tmp_path / "deep.tif")


def test_a_disguised_program_is_never_run(tmp_path: Path):
    Image.new("RGB", (4, 4)).save(tmp_path / "figure.eps")
    (tmp_path / "figure.eps").rename(tmp_path / "photo.png")
    with pytest.raises(ValueError, match=r"photo\.png: not a picture: the content is none of BMP"):
        read_rgb(tmp_path / "photo.png")


@pytest.mark.parametrize("side", [9_000, 30_000])
def test_a_bomb_is_refused_before_it_unfolds(tmp_path: Path, side: int):
    content = bytearray((lambda s: (Image.new("L", (8, 8)).save(s, "PNG"), s.getvalue())[1])(io.BytesIO()))
    header = b"IHDR" + struct.pack(">II", side, side) + bytes(content[24:29])
    content[12:33] = header + struct.pack(">I", zlib.crc32(header))
    (tmp_path / "bomb.png").write_bytes(content)
    with pytest.raises(ValueError, match=r"bomb\.png: .*limit of 64,000,000"):
        read_rgb(tmp_path / "bomb.png")


def test_reading_leaves_the_warning_filters_alone_in_every_thread(tmp_path: Path, rng: np.random.Generator):
    write_png(tmp_path / "a.png", rng.integers(0, 256, (64, 64, 3), np.uint8))
    before = list(warnings.filters)
    with ThreadPoolExecutor(4) as pool:
        for _ in pool.map(lambda _: read_rgb(tmp_path / "a.png"), range(40)):
            assert list(warnings.filters) == before
    assert list(warnings.filters) == before


def test_a_picture_in_memory_is_read_like_a_file(tmp_path: Path, rng: np.random.Generator):
    write_png(tmp_path / "a.png", rng.integers(0, 256, (9, 11, 3), np.uint8))
    content = io.BytesIO((tmp_path / "a.png").read_bytes())
    np.testing.assert_array_equal(read_rgb(content), read_rgb(tmp_path / "a.png"))
    with pytest.raises(ValueError, match=r"^not a picture"):
        read_rgb(io.BytesIO(b"dear diary"))


def test_a_truncated_file_is_named_with_its_reason(tmp_path: Path, rng: np.random.Generator):
    path = tmp_path / "cut.jpg"
    Image.fromarray(rng.integers(0, 256, (64, 64, 3), np.uint8)).save(path)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    with pytest.raises(ValueError, match=r"cut\.jpg.*truncated"):
        read_rgb(path)


def test_a_pickle_in_npy_clothing_is_refused(tmp_path: Path):
    np.save(tmp_path / "bad.npy", np.array([{"a": 1}], dtype=object), allow_pickle=True)
    with pytest.raises(ValueError, match=r"bad\.npy"):
        read_npy(tmp_path / "bad.npy")


def test_half_an_npy_file_is_refused(tmp_path: Path):
    np.save(tmp_path / "half.npy", np.zeros((4, 3, 8, 8), np.uint8))
    whole = (tmp_path / "half.npy").read_bytes()
    (tmp_path / "half.npy").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(ValueError, match=r"half\.npy"):
        read_npy(tmp_path / "half.npy")
