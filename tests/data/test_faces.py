"""The faces dataset: determinism, exact prevalences, the cache, and what every field changes."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from pydantic import ValidationError

from imagelab.data import faces as faces_module
from imagelab.data.base import Data
from imagelab.data.faces import Faces
from imagelab.faces.rare import RARE
from imagelab.images import luma
from imagelab.io.catalogue import Split

SMALL = Faces(size=32, cache=False)


@pytest.fixture
def shelf(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("IMAGELAB_CACHE", str(tmp_path))
    return tmp_path / "faces"


def _forbid_drawing(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> dict[str, np.ndarray]:
        raise AssertionError("drawn again although it was cached")

    monkeypatch.setattr(faces_module, "draw_together", refuse)


def test_faces_is_a_dataset() -> None:
    assert isinstance(SMALL, Data)
    assert set(SMALL.available(0).values()) == {None}
    assert SMALL.bad_files() == ()


def test_the_recipe_survives_json() -> None:
    recipe = Faces(size=128, freckle_style="fine", freckle_rate=0.25, rare=False, supersample=1, cache=False)
    assert Faces.model_validate(json.loads(recipe.model_dump_json())) == recipe


@pytest.mark.parametrize("size", [32, 64, 128])
def test_images_have_the_size_that_was_asked_for(size: int) -> None:
    sample = Faces(size=size, cache=False).load("train", 2, seed=0)
    assert sample.images.shape == (2, 3, size, size)
    assert sample.images.std() > 20


def test_same_seed_same_bytes() -> None:
    first, again = (SMALL.load("train", 5, seed=7) for _ in range(2))
    np.testing.assert_array_equal(first.images, again.images)
    assert first.twins is not None and again.twins is not None
    np.testing.assert_array_equal(first.twins, again.twins)


def test_another_seed_or_split_gives_other_faces() -> None:
    splits: tuple[Split, ...] = ("train", "heldout", "reserve")
    sets = [SMALL.load(split, 3, seed=7).images for split in splits] + [SMALL.load("train", 3, seed=8).images]
    flat = {image.tobytes() for images in sets for image in images}
    assert len(flat) == 12


def test_without_rare_attributes_a_larger_n_begins_with_a_smaller_one() -> None:
    plain = Faces(size=32, rare=False, cache=False)
    np.testing.assert_array_equal(plain.load("train", 3, seed=1).images, plain.load("train", 7, seed=1).images[:3])


def test_prefix_and_exact_counts_hold_together_at_multiples_of_400() -> None:
    few, many = SMALL.attributes("train", 400, seed=3), SMALL.attributes("train", 800, seed=3)
    for name, column in few.items():
        np.testing.assert_array_equal(column, many[name][:400], err_msg=name)


@pytest.mark.parametrize("n", [2000, 637])
def test_rare_attributes_have_exact_prevalences(n: int) -> None:
    columns = SMALL.attributes("train", n, seed=5)
    assert {name: int(columns[name].sum()) for name in RARE} == {name: round(rate * n) for name, rate in RARE.items()}


def test_rare_attributes_of_equal_rate_fall_on_different_faces() -> None:
    columns = SMALL.attributes("train", 2000, seed=5)
    rates = [columns[name] for name in ("birthmark", "vitiligo", "heterochromia")]
    assert not np.array_equal(rates[0], rates[1]) and not np.array_equal(rates[1], rates[2])


def test_rare_can_be_switched_off() -> None:
    columns = Faces(size=32, rare=False).attributes("train", 200, seed=5)
    assert not any(columns[name].any() for name in RARE)


@pytest.mark.parametrize("rate", [0.0, 0.3, 0.75, 1.0])
def test_freckle_rate_is_honoured_exactly(rate: float) -> None:
    column = Faces(size=32, freckle_rate=rate).attributes("heldout", 410, seed=2)["freckled"]
    assert int(column.sum()) == round(rate * 410)


def test_freckled_faces_are_those_with_a_list() -> None:
    sample = Faces(size=32, freckle_rate=0.5, cache=False).load("train", 12, seed=2)
    assert sample.freckles is not None
    assert [len(entry) > 0 for entry in sample.freckles] == sample.attributes["freckled"].tolist()


def test_default_freckle_share_lies_near_the_design() -> None:
    share = SMALL.attributes("train", 1500, seed=9)["freckled"].mean()
    assert 0.22 < share < 0.33  # 27 %, binomial sd 1.2 %


def test_twins_are_the_images_where_there_are_no_freckles() -> None:
    sample = Faces(size=64, freckle_rate=0.5, cache=False).load("train", 8, seed=4)
    assert sample.twins is not None
    differs = (sample.images != sample.twins).any(axis=(1, 2, 3))
    np.testing.assert_array_equal(differs, sample.attributes["freckled"])


def test_every_setting_that_changes_pixels_changes_the_cache_name() -> None:
    base = Faces()
    others = [
        Faces(size=32),
        Faces(freckle_style="fine"),
        Faces(freckle_rate=0.5),
        Faces(rare=False),
        Faces(supersample=3),
    ]
    names = {recipe._address("train", 4, 0) for recipe in (base, *others)}
    names |= {base._address("heldout", 4, 0), base._address("train", 5, 0), base._address("train", 4, 1)}
    assert len(names) == 9
    assert Faces(cache=False)._address("train", 4, 0) == base._address("train", 4, 0)


def test_supersampling_changes_edges_only_a_little() -> None:
    coarse = luma(Faces(size=32, supersample=1, cache=False).load("train", 2, seed=0).images)
    fine = luma(Faces(size=32, supersample=4, cache=False).load("train", 2, seed=0).images)
    difference = np.abs(coarse - fine).mean()
    assert 0 < difference < 0.06


def test_freckle_style_changes_the_dots() -> None:
    radii = {}
    for style in ("countable", "fine"):
        recipe = Faces(size=64, freckle_style=style, freckle_rate=1.0, cache=False)
        freckles = recipe.load("train", 3, seed=0).freckles
        assert freckles is not None
        radii[style] = np.median(np.concatenate(freckles)[:, 2])
    assert radii["countable"] > 0.9  # pixels: a dot that a counter can see
    assert radii["fine"] < 0.75 * radii["countable"]


def test_a_cached_set_is_read_back_to_the_byte(shelf: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    recipe = Faces(size=32, freckle_rate=0.5)
    made = recipe.load("train", 4, seed=1)
    assert len(list(shelf.iterdir())) == 1
    _forbid_drawing(monkeypatch)
    read = recipe.load("train", 4, seed=1)
    np.testing.assert_array_equal(made.images, read.images)
    assert made.twins is not None and read.twins is not None and made.freckles is not None and read.freckles is not None
    np.testing.assert_array_equal(made.twins, read.twins)
    for one, other in zip(made.freckles, read.freckles, strict=True):
        np.testing.assert_array_equal(one, other)
    for name, column in made.attributes.items():
        np.testing.assert_array_equal(column, read.attributes[name])


@pytest.mark.parametrize("damage", ["truncated", "flipped", "nonsense", "other shape"])
def test_a_spoiled_cache_is_drawn_again(shelf: Path, damage: str) -> None:
    recipe = Faces(size=32)
    made = recipe.load("train", 3, seed=1).images
    (path,) = shelf.iterdir()
    whole = bytearray(path.read_bytes())
    if damage == "truncated":
        path.write_bytes(whole[: len(whole) // 2])
    elif damage == "flipped":
        whole[len(whole) // 3] ^= 0xFF
        path.write_bytes(whole)
    elif damage == "nonsense":
        path.write_bytes(b"not a zip")
    else:
        np.savez(path, images=np.zeros((1, 3, 32, 32), np.uint8))
    np.testing.assert_array_equal(recipe.load("train", 3, seed=1).images, made)
    np.testing.assert_array_equal(recipe.load("train", 3, seed=1).images, made)


def test_a_cache_that_cannot_be_written_is_worked_without(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    blocked = tmp_path / "a file, not a folder"
    blocked.write_text("")
    monkeypatch.setenv("IMAGELAB_CACHE", str(blocked))
    assert len(Faces(size=32).load("train", 2, seed=0)) == 2


def test_without_cache_nothing_is_written(shelf: Path) -> None:
    SMALL.load("train", 2, seed=0)
    assert not shelf.exists()


def test_callers_mistakes_are_named() -> None:
    with pytest.raises(ValueError, match="at least 1"):
        SMALL.load("train", 0, seed=0)
    with pytest.raises(ValueError, match="split"):
        SMALL.load("test", 1, seed=0)  # pyright: ignore[reportArgumentType]
    with pytest.raises(ValueError, match="seed"):
        SMALL.load("train", 1, seed=-1)
    with pytest.raises(ValidationError, match="32, 64, 128 or 256"):
        Faces(size=48)
    with pytest.raises(ValidationError):
        Faces(freckle_rate=1.5)


def test_the_card_says_that_nobody_is_shown() -> None:
    card = SMALL.card()
    assert "nobody" in card and "design choices" in card
    assert "switched off" in Faces(rare=False).card()


def test_portraits_are_the_loaded_faces_with_their_records_and_masks():
    data = Faces(size=32, freckle_rate=0.5, cache=False)
    sample = data.load("heldout", 12, seed=3)
    assert sample.twins is not None and sample.freckles is not None
    for row, (face, portrait) in zip((2, 7, 11), data.portraits("heldout", 12, 3, (2, 7, 11)), strict=True):
        np.testing.assert_array_equal(portrait.image, sample.images[row])
        np.testing.assert_array_equal(portrait.twin, sample.twins[row])
        np.testing.assert_array_equal(portrait.freckles, sample.freckles[row])
        assert sample.attributes[f"hair_{face.hair.style}"][row] or face.hair.style == "scarf"
        assert portrait.freckle_mask.any() == bool(sample.attributes["freckled"][row])
        assert portrait.skin.min() >= 0.0 and 0.5 < portrait.skin.max() <= 1.0 + 1e-6
        assert (portrait.skin[portrait.freckle_mask] > 0).all(), "a freckle lies where no skin shows"


def test_a_row_outside_the_set_has_no_portrait():
    with pytest.raises(ValueError, match="from 0 to 2"):
        Faces(size=32).portraits("train", 3, 0, [3])
