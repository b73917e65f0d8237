from __future__ import annotations

import hashlib
from typing import get_args

import numpy as np
import pytest
from numpy.testing import assert_array_equal
from pydantic import ValidationError

from imagelab.data import textures
from imagelab.data.base import Data
from imagelab.data.textures import PHOTOGRAPHS, PhotoName, Textures
from imagelab.io.catalogue import Split

SPLITS = get_args(Split)


def test_textures_follow_the_dataset_protocol() -> None:
    assert isinstance(Textures(), Data)


def test_the_recipe_survives_its_json() -> None:
    recipe = Textures(size=32, photos=("brick", "coffee"), mirror=False, heldout_share=0.3, reserve_share=0.2)
    assert Textures.model_validate_json(recipe.model_dump_json()) == recipe


def test_every_photograph_is_in_the_package_and_has_a_licence() -> None:
    assert set(PHOTOGRAPHS) == set(get_args(PhotoName))
    for name in get_args(PhotoName):
        sample = Textures(photos=(name,)).load("train", 3, 0)
        assert sample.images.std() > 1
        assert PHOTOGRAPHS[name].licence.startswith(("CC0", "public domain"))


def test_grey_photographs_have_three_equal_channels() -> None:
    images = Textures(photos=("grass",)).load("train", 2, 0).images
    assert images.shape == (2, 3, 64, 64)
    assert_array_equal(images[:, 0], images[:, 1])
    assert_array_equal(images[:, 0], images[:, 2])


def test_the_same_seed_gives_the_same_crops_and_another_seed_others() -> None:
    recipe = Textures(size=32)
    first, again, other = (recipe.load("train", 12, seed) for seed in (5, 5, 6))
    assert_array_equal(first.images, again.images)
    assert first.sources == again.sources
    assert first.sources != other.sources


def test_a_larger_sample_begins_with_the_smaller_one() -> None:
    recipe = Textures(size=32)
    small, large = recipe.load("heldout", 5, 1), recipe.load("heldout", 50, 1)
    assert_array_equal(small.images, large.images[:5])
    assert small.sources == large.sources[:5]
    for name, column in small.attributes.items():
        assert_array_equal(column, large.attributes[name][:5])


def test_no_pixel_of_a_photograph_belongs_to_two_splits() -> None:
    recipe = Textures(size=16, photos=("brick",), mirror=False)
    seen: dict[str, set[int]] = {}
    for split in SPLITS:
        rows = [int(source.split("y=")[1].split()[0]) for source in recipe.load(split, 3000, 0).sources]
        seen[split] = {y + offset for y in rows for offset in range(16)}
    assert seen["train"].isdisjoint(seen["heldout"])
    assert seen["heldout"].isdisjoint(seen["reserve"])
    assert seen["train"].isdisjoint(seen["reserve"])
    assert set.union(*seen.values()) == set(range(512))


def test_a_crop_is_what_its_source_says() -> None:
    sample = Textures(size=32, photos=("coffee",)).load("train", 20, 3)
    photograph = textures._read_photograph("coffee")
    mirrored = 0
    for image, source in zip(sample.images, sample.sources, strict=True):
        y, x = (int(word.split("=")[1]) for word in source.split()[1:3])
        crop = photograph[:, y : y + 32, x : x + 32]
        mirrored += source.endswith("mirrored")
        assert_array_equal(image, crop[:, :, ::-1] if source.endswith("mirrored") else crop)
    assert 0 < mirrored < 20


def test_without_mirror_no_crop_is_mirrored() -> None:
    assert not any("mirrored" in source for source in Textures(mirror=False).load("train", 30, 0).sources)


def test_no_crop_comes_twice_even_when_the_split_is_emptied() -> None:
    recipe = Textures(size=128, photos=("grass",))
    count = recipe.available(0)["reserve"]
    assert count == 385
    assert len(set(recipe.load("reserve", count, 0).sources)) == count


def test_attributes_tell_the_photograph_and_share_equally() -> None:
    sample = Textures(photos=("grass", "gravel", "brick")).load("train", 30, 0)
    columns = np.stack([sample.attributes[f"photo/{name}"] for name in ("grass", "gravel", "brick")])
    assert_array_equal(columns.sum(0), 1)
    assert_array_equal(columns.sum(1), 10)
    assert all(source.startswith(("grass", "gravel", "brick")[i % 3]) for i, source in enumerate(sample.sources))


def test_the_shares_move_the_borders() -> None:
    assert Textures(heldout_share=0.25, reserve_share=0.25).region("grass", "train") == (0, 0, 256, 512)
    assert Textures(heldout_share=0.5, reserve_share=0.25).region("grass", "heldout") == (128, 0, 384, 512)
    assert Textures(heldout_share=0.25, reserve_share=0.5).region("grass", "reserve") == (256, 0, 512, 512)


def test_no_reserve_share_means_an_empty_reserve_and_a_clear_refusal() -> None:
    recipe = Textures(reserve_share=0)
    assert recipe.available(0)["reserve"] == 0
    with pytest.raises(ValueError, match="0 crops from the reserve split"):
        recipe.load("reserve", 1, 0)


def test_more_crops_than_there_are_places_are_refused_by_number() -> None:
    with pytest.raises(ValueError, match=r"expected 1 to 385 crops.*got n = 386"):
        Textures(size=128, photos=("grass",)).load("reserve", 386, 0)
    with pytest.raises(ValueError, match="got n = 0"):
        Textures().load("train", 0, 0)


def test_the_card_states_licences_and_the_effective_sample() -> None:
    recipe = Textures()
    assert recipe.disjoint_crops("train") == 3 * 4 * 8
    assert recipe.disjoint_crops("heldout") == 3 * 2 * 8
    assert "high floor" not in recipe.card()
    assert "chelsea shows one object" in Textures(photos=("grass", "chelsea")).card()
    for word in ("scikit-image", "grass (CC0)", "96 for train", "48 for heldout", "disjoint rows"):
        assert word in recipe.card()


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"photos": ("grass", "grass")}, "each name once"),
        ({"photos": ()}, "at least 1"),
        ({"photos": ("astronaut",)}, "grass"),
        ({"heldout_share": 0.6, "reserve_share": 0.4}, "less than 1"),
        ({"photos": ("chelsea",), "size": 128}, "heldout region of chelsea is 75 rows high"),
        ({"size": 4}, "greater than or equal to 8"),
        ({"colour": True}, "Extra inputs"),
    ],
)
def test_settings_that_cannot_work_are_refused_at_once(settings: dict[str, object], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        Textures.model_validate(settings)


def test_a_changed_photograph_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    changed = {**PHOTOGRAPHS, "brick": PHOTOGRAPHS["grass"].__class__("brick.png", "0" * 64, "CC0", (0, 0, 512, 512))}
    monkeypatch.setattr(textures, "PHOTOGRAPHS", changed)
    textures._read_photograph.cache_clear()
    with pytest.raises(ValueError, match="expected SHA-256 0000"):
        Textures(photos=("brick",)).load("train", 1, 0)


def test_photographs_are_read_without_any_network(monkeypatch: pytest.MonkeyPatch) -> None:
    def no_network(*_: object) -> None:
        raise AssertionError("the network was asked")

    monkeypatch.setattr("socket.socket.connect", no_network)
    textures._read_photograph.cache_clear()
    images = Textures(size=64).load("train", 6, 0).images
    assert len({hashlib.sha256(image.tobytes()).hexdigest() for image in images}) == 6


def test_crops_of_one_cell_of_a_region_form_a_group_and_there_are_as_many_as_disjoint_crops() -> None:
    recipe = Textures(size=64, photos=("grass", "brick"), mirror=False)
    sample = recipe.load("train", 1200, 3)
    assert sample.groups is not None and len(np.unique(sample.groups)) == recipe.disjoint_crops("train") == 64
    places = [dict(part.split("=") for part in source.split()[1:]) for source in sample.sources]
    for group in np.unique(sample.groups):
        rows = np.flatnonzero(sample.groups == group)
        assert len({sample.sources[row].split()[0] for row in rows}) == 1
        for axis in "yx":
            where = [int(places[row][axis]) for row in rows]
            assert max(where) - min(where) < 64  # so that any two crops of a group share pixels
