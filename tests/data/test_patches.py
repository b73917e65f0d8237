from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from numpy.testing import assert_array_equal
from PIL import Image

from imagelab.data.patches import SPLITS, Patches
from imagelab.data.positions import SHUFFLED, distinct_places, turns
from imagelab.io.large_pictures import resampled

SIDES = {"a.png": (96, 160), "b.png": (90, 60), "sub/c.png": (128, 128)}


def marked(height: int, width: int, number: int) -> np.ndarray:
    """A photograph whose pixels say where they are: uint8 [H,W,3] of (row, column, number)."""
    rows, columns = np.mgrid[:height, :width]
    return np.stack([rows, columns, np.full_like(rows, number)], axis=-1).astype(np.uint8)


@pytest.fixture(scope="module")
def photographs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("photographs")
    (root / "sub").mkdir()
    for number, (name, (height, width)) in enumerate(SIDES.items()):
        Image.fromarray(marked(height, width, number)).save(root / name)
    Image.fromarray(marked(96, 160, 0)).save(root / "copy.png")
    Image.fromarray(marked(12, 200, 7)).save(root / "strip.png")
    (root / "torn.png").write_bytes((root / "a.png").read_bytes()[:200])
    return root


def patches(root: Path, **settings: object) -> Patches:
    return Patches.model_validate({"path": root, "size": 16, "cache": False, "reserve_share": 0.25, **settings})


def test_no_pixel_is_in_two_splits_and_a_crop_is_what_its_source_says(photographs: Path) -> None:
    data, seen = patches(photographs, mirror=False), {}
    whole = {name: marked(160, 160, number).transpose(2, 0, 1) for number, name in enumerate(SIDES)}
    for split in SPLITS:
        sample = data.load(split, 600, 0)
        for image, source in zip(sample.images, sample.sources, strict=True):
            name, y, x = source.split()
            top, left = int(y[2:]), int(x[2:])
            assert (image == whole[name][:, top : top + 16, left : left + 16]).all()
        seen[split] = set(sample.images.transpose(0, 2, 3, 1).reshape(-1, 3).view("V3").ravel().tolist())
    assert all(seen[one].isdisjoint(seen[other]) for one in SPLITS for other in SPLITS if one != other)


@pytest.mark.parametrize("scale", [0.5, 0.7, 1.6])
def test_with_resampling_too_no_pixel_has_an_influence_on_two_splits(tmp_path: Path, scale: float) -> None:
    pixels = np.zeros((64, 128, 3), np.uint8)
    Image.fromarray(pixels).save(tmp_path / "p.png")
    data = patches(tmp_path, scale=scale, size=8, reserve_share=0, mirror=False)
    border = 128 - round(128 * 0.25)
    pixels[:, border:] = 255
    Image.fromarray(pixels).save(tmp_path / "p.png")
    assert data.load("train", 200, 0).images.max() == 0
    assert data.load("heldout", 200, 0).images.min() == 255


def test_resampling_keeps_the_scale_exactly_and_reads_nothing_from_outside() -> None:
    ramp = np.broadcast_to(np.arange(0, 202, 2, dtype=np.uint8), (1, 31, 101))
    half = resampled(ramp, 0.5)
    assert half.shape == (1, 15, 50)
    assert_array_equal(half[0, 7, 5:45], np.arange(5, 45) * 4 + 1)
    assert resampled(ramp, 1.0) is ramp


def test_the_same_seed_gives_the_same_crops_and_a_larger_set_begins_with_a_smaller_one(photographs: Path) -> None:
    data = patches(photographs)
    small, large, other = data.load("train", 7, 1), data.load("train", 90, 1), data.load("train", 90, 2)
    assert_array_equal(small.images, large.images[:7])
    assert small.sources == large.sources[:7]
    assert large.sources != other.sources
    assert 0 < sum(source.endswith("mirrored") for source in large.sources) < 90


def test_photographs_take_turns_and_no_crop_comes_twice_even_when_one_is_used_up(photographs: Path) -> None:
    data = patches(photographs, size=22, scale=1.0, mirror=False)
    count = data.available(0)["heldout"]
    assert count is not None
    sample = data.load("heldout", count, 0)
    assert len(set(sample.sources)) == count
    rounds = [tuple(source.split()[0] for source in sample.sources[row : row + 3]) for row in range(0, 90, 3)]
    assert all(set(each) == set(SIDES) for each in rounds) and len(set(rounds)) > 3
    assert {source.split()[0] for source in sample.sources[-20:]} == {"a.png"}
    assert sample.attributes["picture/a.png"].sum() + sample.attributes["picture/b.png"].sum() < count
    assert patches(photographs, per_picture=5).available(0) == dict.fromkeys(SPLITS, 15)


def test_crops_of_one_cell_are_a_group_and_there_are_as_many_as_disjoint_crops(photographs: Path) -> None:
    data = patches(photographs, mirror=False)
    sample = data.load("train", 1500, 0)
    assert sample.groups is not None
    assert len(np.unique(sample.groups)) == 6 * 5 + 2 * 3 + 8 * 4  # rows x columns of 16 px in the train part of each
    assert "68 for train" in data.card()
    for group in np.unique(sample.groups):
        mine = [sample.sources[row].split() for row in np.flatnonzero(sample.groups == group)]
        assert len({name for name, _, _ in mine}) == 1
        for axis in (1, 2):
            where = [int(place[axis][2:]) for place in mine]
            assert max(where) - min(where) < 16


def test_bad_small_and_equal_photographs_are_named_or_counted(photographs: Path) -> None:
    bad = {Path(each.path).name: each.reason for each in patches(photographs).bad_files()}
    assert bad.keys() == {"torn.png", "strip.png"}
    assert "too small: 200 x 12 pixels; a crop is 16" in bad["strip.png"]
    card = patches(photographs).card()
    assert "of 3 photographs" in card and "2 bad files, 1 equal copies" in card and "60 x 90 to 160 x 128" in card
    with pytest.raises(ValueError, match=r'on_bad = "stop".*\n.*torn.png'):
        patches(photographs, on_bad="stop").available(0)
    reasons = [each.reason for each in patches(photographs, size=32).bad_files()]
    assert any(
        "60 x 90 pixels; its smallest part, 25% of a side, has no room for a crop of 32" in each for each in reasons
    )


def test_split_by_picture_keeps_whole_photographs_apart(tmp_path: Path) -> None:
    for number in range(8):
        Image.fromarray(marked(40, 40 + number, number)).save(tmp_path / f"s{number // 2}-{number}.png")
    data = patches(tmp_path, split_by="picture")
    names = {split: {source.split()[0] for source in data.load(split, 90, 0).sources} for split in SPLITS}
    assert sorted(map(len, names.values())) == [2, 2, 4] and len(set.union(*names.values())) == 8
    grouped = patches(tmp_path, split_by="picture", group="(s.)-", reserve_share=0)
    scenes = {split: {source[:2] for source in grouped.load(split, 90, 0).sources} for split in SPLITS[:2]}
    assert scenes["train"].isdisjoint(scenes["heldout"])
    assert not grouped.load("train", 8, 0).attributes
    with pytest.raises(ValueError, match='split_by = "picture"'):
        patches(tmp_path, group="folder")


def test_every_door_refuses_in_words(photographs: Path, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="does not exist"):
        patches(tmp_path / "none").available(0)
    with pytest.raises(ValueError, match=r"patches: expected at least one photograph .* got none \(0 bad files"):
        patches(tmp_path).available(0)
    with pytest.raises(
        ValueError, match=r"(?s)expected at least one photograph that holds crops of 512 .*a.png: too small"
    ):
        patches(photographs, size=512).available(0)
    Image.fromarray(marked(64, 64, 1)).save(tmp_path / "one.png")
    with pytest.raises(
        ValueError, match=r'split_by = "picture": expected at least 5 photographs.*got 1; add photographs'
    ):
        patches(tmp_path, split_by="picture").available(0)
    with pytest.raises(ValueError, match=r"expected 1 to 17 crops from the heldout split.* got n = 50"):
        patches(tmp_path, size=16, scale=0.5, heldout_share=0.5, per_picture=49, reserve_share=0).load("heldout", 50, 0)
    assert patches(tmp_path).available(0)["reserve"] == 49


def test_a_photograph_beyond_the_limit_is_refused_by_its_size(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("imagelab.io.decoders.PIXEL_LIMIT", 5000)
    Image.fromarray(marked(64, 64, 1)).save(tmp_path / "one.png")
    Image.fromarray(marked(64, 128, 1)).save(tmp_path / "large.png")
    (bad,) = patches(tmp_path).bad_files()
    assert bad.path.endswith("large.png") and "128 x 64 pixels, more than the limit of 5,000" in bad.reason


def test_crops_are_kept_in_the_cache_and_a_changed_photograph_is_read_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("IMAGELAB_CACHE", str(tmp_path / "cache"))
    home = tmp_path / "photos"
    home.mkdir()
    Image.fromarray(marked(64, 64, 1)).save(home / "one.png")
    data = patches(home, cache=True)
    first = data.load("train", 5, 0)
    assert len(list((tmp_path / "cache" / "pictures").glob("*.bytes"))) == 2
    assert_array_equal(data.load("train", 5, 0).images, first.images)
    Image.fromarray(marked(64, 64, 2)).save(home / "one.png")
    assert set(data.load("train", 5, 0).images[:, 2].ravel().tolist()) == {2}


def test_positions_of_a_very_large_part_are_distinct_and_begin_alike() -> None:
    few, many = (distinct_places(SHUFFLED * 3, n, np.random.default_rng(1)) for n in (10, 5000))
    assert_array_equal(few, many[:10])
    assert len(np.unique(many)) == 5000


def test_turns_pass_over_what_is_used_up() -> None:
    rngs = [np.random.default_rng(part) for part in range(3)]
    which, turn = turns(np.array([3, 0, 1]), 4, rngs)
    assert sorted(which[:2].tolist()) == [0, 2] and which[2:].tolist() == [0, 0] and turn.tolist() == [0, 0, 1, 2]
