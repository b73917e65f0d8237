"""Near-copies between sets and inside a set are found, and independent sets have none."""

from __future__ import annotations

import io
from collections.abc import Callable

import numpy as np
import pytest
from PIL import Image, ImageFilter

from imagelab import measure
from imagelab.data import Faces, Textures
from imagelab.evaluation import near_copies
from imagelab.evaluation.near_copies import Looked, NearCopies, reduced

SIDE = 32


def photographs(n: int, seed: int, side: int = SIDE) -> np.ndarray:
    """Pictures with large and fine detail, uint8 [n,3,side,side]."""
    rng, made = np.random.default_rng(seed), np.zeros((n, side, side, 3))
    for cells, share in ((3, 60.0), (8, 25.0), (side, 6.0)):
        for row, coarse in enumerate(rng.standard_normal((n, cells, cells, 3)).astype(np.float32)):
            for channel in range(3):
                large = Image.fromarray(coarse[..., channel]).resize((side, side), Image.Resampling.BICUBIC)
                made[row, ..., channel] += share * np.asarray(large)
    return (128 + made).clip(0, 255).astype(np.uint8).transpose(0, 3, 1, 2).copy()


def squares(n: int, seed: int) -> np.ndarray:
    """A square of one colour anywhere on a constant background."""
    rng, made = np.random.default_rng(seed), np.full((n, 3, SIDE, SIDE), 230, np.uint8)
    for picture in made:
        top, left = rng.integers(2, 24, 2)
        picture[:, top : top + 6, left : left + 6] = rng.integers(0, 200, (3, 1, 1))
    return made


def gradients(n: int, seed: int) -> np.ndarray:
    """Faint gradients of two free numbers, with a little noise: sets of a low dimension."""
    rng, line = np.random.default_rng(seed), np.linspace(-1, 1, SIDE)
    slopes = rng.normal(0, 12, (n, 2, 3, 1, 1))
    made = 128 + slopes[:, 0] * line + slopes[:, 1] * line[:, None] + rng.normal(0, 2, (n, 3, SIDE, SIDE))
    return made.clip(0, 255).astype(np.uint8)


def each(change: Callable[[Image.Image], Image.Image]) -> Callable[[np.ndarray], np.ndarray]:
    def changed(images: np.ndarray) -> np.ndarray:
        return np.stack([np.asarray(change(Image.fromarray(p.transpose(1, 2, 0)))).transpose(2, 0, 1) for p in images])

    return changed


def saved_again(picture: Image.Image) -> Image.Image:
    file = io.BytesIO()
    picture.save(file, "JPEG", quality=75)
    return Image.open(file).convert("RGB")


def resampled(picture: Image.Image) -> Image.Image:
    side = picture.size[0]
    less = side * 3 // 4
    return picture.resize((less, less), Image.Resampling.BICUBIC).resize((side, side), Image.Resampling.BICUBIC)


def one_pixel(images: np.ndarray, seed: int = 0) -> np.ndarray:
    rng, other = np.random.default_rng(seed), images.copy()
    for picture in other:
        picture[:, rng.integers(picture.shape[1]), rng.integers(picture.shape[2])] = rng.integers(0, 256, 3)
    return other


CHANGES: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "a level more": lambda images: np.minimum(images, 254) + np.uint8(1),
    "20 levels more": lambda images: np.minimum(images, 235) + np.uint8(20),
    "mirrored": lambda images: images[..., ::-1].copy(),
    "saved as JPEG": each(saved_again),
    "blurred by half a pixel": each(lambda picture: picture.filter(ImageFilter.GaussianBlur(0.5))),
    "shifted by a pixel": lambda images: np.roll(images, 1, -1),
    "resampled": each(resampled),
    "one pixel changed": one_pixel,
}


@pytest.mark.parametrize("side", [32, 96])
@pytest.mark.parametrize("change", CHANGES)
def test_nearly_all_near_copies_are_found_whether_all_pictures_are_copies_or_a_fifth(change: str, side: int):
    real, other, change_of = photographs(60, 0, side), photographs(60, 1, side), CHANGES[change]
    looking = NearCopies(reduced(real))
    assert looking.among(reduced(change_of(real)))[0].found >= 54
    mixed = np.concatenate([change_of(real[:12]), other[12:]])
    assert 9 <= looking.among(reduced(mixed))[0].found <= 14


@pytest.mark.parametrize("make", [photographs, squares, gradients], ids=lambda make: make.__name__)
@pytest.mark.parametrize("n", [2, 3, 8, 40, 150])
def test_independent_sets_have_none(make: Callable[[int, int], np.ndarray], n: int):
    for seed in range(3):
        looking = NearCopies(reduced(make(n, 2 * seed)))
        between, inside = looking.among(reduced(make(n, 2 * seed + 1)))
        assert (between.found, looking.inside.many, inside.many) == (0, False, False)


@pytest.mark.parametrize("data", [Faces(size=32), Textures(size=32)], ids=["faces", "textures"])
def test_the_two_halves_of_a_dataset_have_none(data: Faces | Textures):
    images = data.load("train", 120, 0).images
    looking = NearCopies(reduced(images[::2]))
    between, inside = looking.among(reduced(images[1::2]))
    assert (between.found, looking.inside.many, inside.many) == (0, False, False)


@pytest.mark.parametrize("images", [np.zeros((9, 3, 8, 8), np.uint8), np.full((20, 1, 4, 4), 90, np.uint8)])
def test_pictures_without_contrast_resemble_nothing(images: np.ndarray):
    assert NearCopies(reduced(images)).among(reduced(images)) == (Looked(0, 0), Looked(0, 0))


@pytest.mark.parametrize(("n", "copies"), [(60, 6), (200, 10), (600, 30)])
def test_families_of_pictures_with_one_pixel_changed_are_found_inside_a_set(n: int, copies: int):
    real, other = (photographs(n // copies, seed) for seed in (0, 1))
    sets = [np.concatenate([one_pixel(images, seed) for seed in range(copies)]) for images in (real, other)]
    looking = NearCopies(reduced(sets[0]))
    between, inside = looking.among(reduced(sets[1]))
    assert min(looking.inside.found / looking.inside.looked, inside.found / inside.looked) > 0.8
    assert between.found == 0
    if copies <= 10:
        assert looking.among(reduced(CHANGES["mirrored"](sets[0])))[0].found > 0.9 * n


def test_many_pictures_that_resemble_one_real_one_are_no_evidence_of_a_leak():
    real = photographs(60, 0)
    collapsed = np.concatenate([one_pixel(real[:1], seed) for seed in range(60)])
    between, inside = NearCopies(reduced(real)).among(reduced(np.concatenate([collapsed[:12], photographs(48, 1)])))
    assert (between.found, inside.many) == (0, False)


def test_of_a_large_set_a_random_part_is_looked_up(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(near_copies, "QUERIES", 30)
    monkeypatch.setattr(near_copies, "REFERENCES", 25)
    real = photographs(80, 0)
    assert NearCopies(reduced(real)).among(reduced(CHANGES["mirrored"](real)))[0] == Looked(30, 30)
    result = measure(real, CHANGES["a level more"](real), metrics=["tone"])
    assert any("30 of 30 fake pictures that were looked up (of 80) are almost" in text for text in result.warnings)


def told(real: np.ndarray, fake: np.ndarray) -> list[str]:
    return [text for text in measure(real, fake, metrics=["tone"]).warnings if "pictures" in text]


def test_the_warning_counts_near_copies_and_leaves_exact_ones_to_the_other_warning():
    real, other = photographs(60, 0), photographs(60, 1)
    leaked = np.concatenate([CHANGES["mirrored"](real[:30]), other[:30]])
    assert told(real, leaked) == [
        "30 of 60 fake pictures are almost pictures of real (shifted, mirrored, saved again, blurred or resampled): "
        "distances are too small"
    ]
    assert ["SAME pictures" in text for text in told(real, real)] == [True]
    assert told(real, other) == []


def test_a_set_of_near_copies_is_told_what_its_numbers_mean():
    few = photographs(8, 0)
    many = np.concatenate([one_pixel(few, seed) for seed in range(10)])
    (text,) = told(photographs(80, 1), many)
    assert text.startswith("80 of 80 fake pictures are almost others of the same set: numbers that go by the nearest")
