"""The decoder: its squares against Pillow, copies kept or dropped, what is cached."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import get_args

import numpy as np
import pytest
from PIL import Image

from imagelab.io.arrays import array_file
from imagelab.io.cache import cache_folder
from imagelab.io.catalogue import Catalogue, digest
from imagelab.io.decode import decoded, distinct_pictures
from imagelab.io.reading import Picture
from imagelab.io.resample import Kernel, squared


def catalogue_of(pictures: list[np.ndarray], read: list[int] | None = None) -> Catalogue:
    def get(row: int) -> Picture:
        if read is not None:
            read.append(row)
        if not pictures[row].size:
            raise ValueError("empty file")
        return Picture(pictures[row])

    content = [hashlib.sha256(picture.tobytes()).hexdigest() for picture in pictures]
    return Catalogue(digest(content), tuple(f"{row}.png" for row in range(len(pictures))), get, home="folder/")


@pytest.fixture
def pictures() -> list[np.ndarray]:
    """A square, an oblong, an unreadable one, a copy of the first, a small one, one that is too small."""
    rng = np.random.default_rng(5)
    first, second, small, tiny = (
        rng.integers(0, 256, (3, *shape), np.uint8) for shape in ((40, 40), (31, 50), (9, 9), (4, 90))
    )
    return [first, second, np.empty((3, 0, 0), np.uint8), first.copy(), small, tiny]


@pytest.mark.parametrize(("height", "width", "size"), [(178, 178, 64), (33, 57, 20), (120, 97, 64), (16, 40, 31)])
@pytest.mark.parametrize("kernel", get_args(Kernel))
def test_channels_resampled_one_by_one_equal_pillows_colour_picture(height: int, width: int, size: int, kernel: Kernel):
    pixels = np.random.default_rng(height).integers(0, 256, (3, height, width), np.uint8)
    pixels[:, : height // 2] = pixels[:, : height // 2] // 128 * 255  # hard edges, at which bicubic overshoots
    side = min(height, width)
    top, left = (height - side) // 2, (width - side) // 2
    crop = pixels[:, top : top + side, left : left + side].transpose(1, 2, 0)
    whole = Image.fromarray(np.ascontiguousarray(crop)).resize((size, size), Image.Resampling[kernel.upper()])
    np.testing.assert_array_equal(squared(pixels, size, kernel), np.asarray(whole).transpose(2, 0, 1))


def test_a_dataset_and_a_measurement_get_the_same_pixels(pictures: list[np.ndarray]):
    kept, facts = decoded(catalogue_of(pictures), 16, keep_copies=True, cache=False)
    dropped = distinct_pictures(catalogue_of(pictures), 16)
    np.testing.assert_array_equal(kept[[0, 1, 3]], dropped.images)
    np.testing.assert_array_equal(kept[0], kept[2])
    assert facts.copies == 0 and dropped.copies == 1
    assert facts.rows == [] and dropped.rows.tolist() == [0, 1, 4] and dropped.names == ("0.png", "1.png", "4.png")
    assert dropped.digests == tuple(hashlib.sha256(image.tobytes()).hexdigest() for image in dropped.images)
    assert dropped.bad == facts.bad_files()
    assert [(bad.path, bad.reason) for bad in dropped.bad] == [
        ("folder/2.png", "empty file"),
        ("folder/5.png", "too small: 90 x 4 pixels, the shorter side must be at least 8"),
    ]
    assert not dropped.images.flags.writeable


def test_counts_are_of_the_pictures_that_were_kept(pictures: list[np.ndarray]):
    twice = [*pictures, pictures[4]]
    _, facts = decoded(catalogue_of(twice), 16, keep_copies=True, cache=False)
    assert (facts.enlarged, facts.resampled, facts.cropped, facts.endings) == (2, 5, 1, {".png": 5})
    assert distinct_pictures(catalogue_of(twice), 16).enlarged == 1


def test_a_set_without_a_usable_picture_is_empty_for_a_dataset_and_refused_for_a_measurement():
    nothing = [np.empty((3, 0, 0), np.uint8)] * 7
    expected = r"(?s)none of 7 pictures can be used:\n  folder/0.png: empty file.*\n  and 2 more"
    for cache in (False, True):
        with pytest.raises(ValueError, match=expected):
            decoded(catalogue_of(nothing), 16, keep_copies=True, cache=cache)
        empty = distinct_pictures(catalogue_of(nothing), 16, cache)
        assert empty.images.shape == (0, 3, 16, 16) and len(empty.bad) == 7 and empty.names == ()


def test_both_are_read_back_from_the_cache_with_all_that_is_known(pictures: list[np.ndarray]):
    first = distinct_pictures(catalogue_of(pictures), 16, True)
    images, facts = decoded(catalogue_of(pictures), 16, keep_copies=True, cache=True)
    distinct_pictures.cache_clear()
    read: list[int] = []
    again = distinct_pictures(catalogue_of(pictures, read), 16, True)
    np.testing.assert_array_equal(again.images, first.images)
    assert again.fingerprint() == first.fingerprint()
    assert again.rows.tolist() == first.rows.tolist()
    assert {**vars(again), "images": 0, "rows": 0} == {**vars(first), "images": 0, "rows": 0}
    images_again, facts_again = decoded(catalogue_of(pictures, read), 16, keep_copies=True, cache=True)
    np.testing.assert_array_equal(images_again, images)
    assert facts_again == facts and read == []
    for folder in ("pictures", "measured"):
        assert sorted(path.suffix for path in cache_folder(folder).iterdir()) == [".bytes", ".json"]


def test_another_kernel_or_size_is_another_entry(pictures: list[np.ndarray]):
    for size in (15, 16):
        for kernel in get_args(Kernel):
            images, _ = decoded(catalogue_of(pictures), size, kernel, keep_copies=True, cache=True)
            np.testing.assert_array_equal(images[1], squared(pictures[1], size, kernel))


def test_an_unpacked_array_that_was_damaged_is_unpacked_again(tmp_path: Path):
    values = np.random.default_rng(0).integers(0, 256, (5, 3, 8, 8), np.uint8)
    np.savez_compressed(tmp_path / "a.npz", images=values)
    array_file(tmp_path / "a.npz", cache=True)
    (kept,) = cache_folder("measured").glob("*.npy")
    kept.write_bytes(kept.read_bytes()[:-3])
    np.testing.assert_array_equal(array_file(tmp_path / "a.npz", cache=True)[0], values)


def test_an_array_in_fortran_order_is_unpacked_as_it_is(tmp_path: Path):
    values = np.asfortranarray(np.random.default_rng(0).random((5, 3, 8, 8)))
    np.savez(tmp_path / "a.npz", images=values)
    for cache in (True, False):
        np.testing.assert_array_equal(array_file(tmp_path / "a.npz", cache)[0], values)
