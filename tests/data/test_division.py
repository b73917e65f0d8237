from __future__ import annotations

from pathlib import Path
from typing import get_args

import numpy as np
import pytest
from PIL import Image

from imagelab.data.division import divided
from imagelab.data.folder import Folder, ImageFolder
from imagelab.io.catalogue import Split
from imagelab.seeds import rng_at

PERSONS = {"ann": 9, "bob": 3, "cy": 4, "di": 3, "ed": 5, "flo": 2, "gus": 6}


@pytest.fixture(scope="module")
def persons(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("persons")
    rng = np.random.default_rng(5)
    for name, count in PERSONS.items():
        for number in range(count):
            path = root / ("site1", "site2")[number % 2] / f"{name}_{number}.png"
            path.parent.mkdir(exist_ok=True)
            Image.fromarray(rng.integers(0, 256, (16, 16), np.uint8)).save(path)
    return root


def count_of(data: Folder, split: Split, seed: int) -> int:
    return data.available(seed)[split] or 0


def persons_of(data: Folder, seed: int) -> dict[str, set[str]]:
    counts = {split: count_of(data, split, seed) for split in get_args(Split)}
    loaded = {split: data.load(split, count, seed) for split, count in counts.items() if count}
    return {split: {Path(name).name.split("_")[0] for name in sample.sources} for split, sample in loaded.items()}


@pytest.mark.parametrize("seed", range(4))
def test_no_person_is_in_two_splits_and_the_groups_of_the_sample_are_the_persons(persons: Path, seed: int) -> None:
    data = Folder(path=persons, size=16, group=r"([a-z]+)_", reserve_share=0.2, cache=False)
    found = persons_of(data, seed)
    assert sum(map(len, found.values())) == len(set.union(*found.values())) == len(PERSONS)
    assert len(found["heldout"]) >= 2 and len(found["train"]) >= 2 and len(found["reserve"]) >= 1
    train = data.load("train", count_of(data, "train", seed), seed)
    assert train.groups is not None
    by_name = [Path(name).name.split("_")[0] for name in train.sources]
    assert (
        len({*zip(by_name, train.groups.tolist(), strict=True)}) == len(found["train"]) == len(np.unique(train.groups))
    )


def test_shares_are_near_those_asked_for(persons: Path) -> None:
    data = Folder(path=persons, size=16, group=r"([a-z]+)_", cache=False)
    held = [count_of(data, "heldout", seed) for seed in range(8)]
    assert len(set(held)) > 1, "another seed holds other persons out"
    assert all(5 <= count <= 12 for count in held), held  # 8 of 32 were asked for; the groups have 2 to 9


def test_one_large_group_does_not_fill_heldout() -> None:
    groups = np.repeat(np.arange(6), [100, 4, 4, 4, 4, 4])
    for seed in range(5):
        parts = divided(groups, 12, 0, rng_at(seed, "test"), "group")
        assert parts["heldout"].sum() == 12 and not parts["heldout"][0]


def test_too_few_groups_are_refused_with_their_number(persons: Path) -> None:
    data = Folder(path=persons, size=16, group="folder", cache=False)
    with pytest.raises(
        ValueError, match=r"folder: group 'folder': expected at least 4 groups.* got 2 of 14 to 18 pict"
    ):
        data.available(0)
    with pytest.raises(ValueError, match="one for the reserve"):
        data.model_copy(update={"reserve_share": 0.2}).available(0)


def test_a_picture_without_a_group_is_named(persons: Path) -> None:
    with pytest.raises(ValueError, match=r"folder: group 'folder:2': 32 of 32 pictures have no group"):
        Folder(path=persons, size=16, group="folder:2").available(0)


def test_the_card_and_the_signature_know_the_rule_and_a_plain_folder_does_not(persons: Path) -> None:
    data = Folder(path=persons, size=16, group=r"([a-z]+)_", cache=False)
    assert "7 groups by the rule '([a-z]+)_', of 2 to 9 pictures" in data.card()
    assert data.model_dump()["group"] == r"([a-z]+)_"
    assert not {"group", "channels"} & Folder(path=persons).model_dump().keys()
    assert Folder(path=persons, size=16, cache=False).load("train", 4, 0).groups is None
    with pytest.raises(ValueError, match="expected folder, folder:N"):
        Folder(path=persons, group="person")


def test_an_official_division_that_parts_a_group_is_refused(tmp_path: Path) -> None:
    rng = np.random.default_rng(1)
    for number in range(12):
        home = tmp_path / ("train", "test")[number % 2] / "a"
        home.mkdir(parents=True, exist_ok=True)
        Image.fromarray(rng.integers(0, 256, (16, 16), np.uint8)).save(home / f"p{number // 2}-{number}.png")
    data = ImageFolder(path=tmp_path, size=16, group="(p[0-9])-", cache=False)
    with pytest.raises(ValueError, match=r"one group into two splits: 'test/a/p0-1.png' is in heldout"):
        data.available(0)
    assert data.model_copy(update={"official": False}).available(0)["heldout"] == 4
