from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any, get_args

import numpy as np
import pytest
from numpy.testing import assert_array_equal

from imagelab.data import DATASETS
from imagelab.data.base import Data
from imagelab.data.division import in_sequence
from imagelab.data.folder import Folder
from imagelab.data.picture_set import FACES_OF_PEOPLE
from imagelab.families import kind_of
from imagelab.io import catalogue as catalogue_module
from imagelab.io.annotation_lists import class_columns
from imagelab.io.catalogue import Catalogue, Split, digest
from imagelab.io.decode import distinct_pictures
from imagelab.io.reading import Picture

SPLITS = get_args(Split)
KINDS = (
    "celeba",
    "lfw",
    "ffhq",
    "dtd",
    "aircraft",
    "flowers102",
    "mnist",
    "fashion_mnist",
    "cifar10",
    "image_folder",
    "hugging_face",
    "webdataset",
    "arrays",
)
OFFICIAL = {
    "celeba": {"train": 6, "reserve": 2, "heldout": 4},
    "lfw": {"train": 5, "reserve": 0, "heldout": 5},
    "ffhq": {"train": 6, "reserve": 0, "heldout": 4},
    "dtd": {"train": 4, "reserve": 4, "heldout": 4},
    "aircraft": {"train": 4, "reserve": 2, "heldout": 4},
    "flowers102": {"train": 4, "reserve": 2, "heldout": 4},
    "mnist": {"train": 9, "reserve": 0, "heldout": 5},
    "fashion_mnist": {"train": 9, "reserve": 0, "heldout": 5},
    "cifar10": {"train": 15, "reserve": 0, "heldout": 3},
    "image_folder": {"train": 6, "reserve": 3, "heldout": 3},
    "webdataset": {"train": 7, "reserve": 0, "heldout": 4},
}
FACES = {"celeba", "lfw", "ffhq"}


def opened(kind: str, path: Path, **settings: Any) -> Any:
    recipe: Any = DATASETS[kind]
    return recipe(path=path, **{"size": 16, **settings})


def everything(recipe: Any, seed: int = 0) -> dict[Split, Any]:
    counts = recipe.available(seed)
    return {split: recipe.load(split, counts[split], seed) for split in SPLITS if counts[split]}


@pytest.mark.parametrize("kind", KINDS)
def test_every_fake_loads_as_the_protocol_promises(kind: str, built: dict[str, Path]) -> None:
    recipe = opened(kind, built[kind])
    assert isinstance(recipe, Data) and kind_of(recipe) == kind and recipe.bad_files() == ()
    samples = everything(recipe)
    for split, sample in samples.items():
        assert sample.images.shape[1:] == recipe.shape == (3, 16, 16)
        first = recipe.load(split, 1, 0)
        assert_array_equal(first.images, sample.images[:1])
        assert first.sources == sample.sources[:1] and len(set(sample.sources)) == len(sample)
    together = [image.tobytes() for sample in samples.values() for image in sample.images]
    assert len(set(together)) == len(together)


@pytest.mark.parametrize("kind", KINDS)
def test_the_seed_decides_the_order_and_nothing_else_does(kind: str, built: dict[str, Path]) -> None:
    recipe = opened(kind, built[kind])
    orders = {everything(recipe, seed)["train"].sources for seed in range(6)}
    assert len(orders) > 1
    assert everything(recipe, 3)["train"].sources in orders


@pytest.mark.parametrize("kind", OFFICIAL)
def test_the_official_division_is_kept_and_can_be_left(kind: str, built: dict[str, Path]) -> None:
    assert opened(kind, built[kind]).available(0) == OFFICIAL[kind]
    for seed in (0, 1):
        assert set(everything(opened(kind, built[kind]), seed)["heldout"].sources) == set(
            everything(opened(kind, built[kind]), 7)["heldout"].sources
        )
    loose = opened(kind, built[kind], official=False, heldout_share=0.4)
    held = [frozenset(everything(loose, seed)["heldout"].sources) for seed in range(6)]
    assert len(set(held)) > 1
    assert "seeded permutation" in loose.card()
    assert "the dataset's own" in opened(kind, built[kind]).card()


def test_a_share_of_the_official_train_split_can_be_kept_back(built: dict[str, Path]) -> None:
    counts = opened("celeba", built["celeba"], reserve_share=0.3).available(0)
    assert counts == {"train": 4, "reserve": 4, "heldout": 4}
    with pytest.raises(ValueError, match=r"expected at least 4 pictures for training .* got 2 and 4; raise limit"):
        opened("celeba", built["celeba"], reserve_share=0.7).available(0)


@pytest.mark.parametrize("kind", KINDS)
def test_the_card_states_count_size_and_licence_and_what_faces_ask_for(kind: str, built: dict[str, Path]) -> None:
    recipe = opened(kind, built[kind])
    card = recipe.card()
    count = sum(n or 0 for n in recipe.available(0).values())
    assert card.startswith(f"{count} pictures of ") and "16 x 16" in card and "licence" in card.lower()
    assert (FACES_OF_PEOPLE in card) == (kind in FACES)


@pytest.mark.parametrize("kind", KINDS)
def test_a_missing_root_says_what_is_expected_where(kind: str, tmp_path: Path) -> None:
    recipe = opened(kind, tmp_path / "nowhere")
    with pytest.raises(ValueError, match=rf"(?s){'folder' if kind == 'image_folder' else kind}: .*nowhere"):
        recipe.available(0)


@pytest.mark.parametrize("kind", sorted(FACES | {"dtd", "aircraft", "flowers102", "mnist", "cifar10"}))
def test_a_missing_dataset_says_who_publishes_it_and_that_nothing_is_downloaded(kind: str, tmp_path: Path) -> None:
    path = tmp_path / "absent" if kind == "ffhq" else tmp_path
    with pytest.raises(ValueError, match=r"imagelab never downloads: get it from the .*"):
        opened(kind, path).load("train", 1, 0)


@pytest.mark.parametrize("kind", KINDS)
def test_limit_takes_a_fixed_choice_whatever_the_seed(kind: str, built: dict[str, Path]) -> None:
    recipe = (
        opened(kind, built[kind], limit=6, official=False) if kind != "arrays" else opened(kind, built[kind], limit=6)
    )
    chosen = [sorted(s for sample in everything(recipe, seed).values() for s in sample.sources) for seed in (0, 1)]
    assert len(chosen[0]) == 6 and chosen[0] == chosen[1]
    assert "A fixed random choice of 6 of" in recipe.card()


def test_attributes_follow_their_pictures_through_limit_and_splits(built: dict[str, Path]) -> None:
    truth = {}
    for sample in everything(opened("celeba", built["celeba"])).values():
        truth |= dict(zip(sample.sources, sample.attributes["Bald"].tolist(), strict=True))
    assert len(set(truth.values())) == 2
    for sample in everything(opened("celeba", built["celeba"], limit=7, official=False)).values():
        assert [truth[name] for name in sample.sources] == sample.attributes["Bald"].tolist()


@pytest.mark.parametrize(
    "kind", ["celeba", "lfw", "ffhq", "dtd", "aircraft", "flowers102", "image_folder", "hugging_face"]
)
def test_bad_pictures_are_named_with_their_reasons_and_the_rest_goes_on(kind: str, fake: Callable[[str], Path]) -> None:
    root = fake(kind)
    files = sorted(path for path in root.rglob("*") if path.suffix in (".jpg", ".png"))
    before = sum(n or 0 for n in opened(kind, root).available(0).values())
    files[0].write_bytes(b"")
    files[1].write_text("dear diary")
    files[2].write_bytes(files[2].read_bytes()[:700])
    recipe = opened(kind, root, official=False)
    reasons = {Path(bad.path).name: bad.reason for bad in recipe.bad_files()}
    assert set(reasons) == {file.name for file in files[:3]}
    assert reasons[files[0].name] == "empty file (0 bytes)" and "not a picture" in reasons[files[1].name]
    assert sum(n or 0 for n in recipe.available(0).values()) == before - 3
    with pytest.raises(ValueError, match="3 bad files"):
        opened(kind, root, official=False, on_bad="stop").available(0)


@pytest.mark.parametrize("kind", ["celeba", "lfw", "dtd", "aircraft", "flowers102", "hugging_face"])
def test_a_listed_picture_that_is_not_there_is_named_in_the_card(kind: str, fake: Callable[[str], Path]) -> None:
    root = fake(kind)
    files = sorted(path for path in root.rglob("*") if path.suffix in (".jpg", ".png"))
    files[0].unlink()
    recipe = opened(kind, root, on_bad="stop")  # a part of a set is a set
    said = f"1 of {len(files)} listed pictures are not in the folder: "
    assert recipe.bad_files() == () and said in recipe.card()
    assert files[0].stem in recipe.card().split(said)[1].split(". ")[0]


def test_a_copy_of_a_training_picture_is_never_held_out(fake: Callable[[str], Path]) -> None:
    root = fake("image_folder")
    train = next((root / "train").rglob("*.png"))
    shutil.copy(train, root / "test" / "cats" / "copy.png")
    samples = everything(opened("image_folder", root))
    shown = [image.tobytes() for sample in samples.values() for image in sample.images]
    assert len(set(shown)) == len(shown) == 12


def test_groups_never_part_in_a_seeded_split() -> None:
    groups = np.repeat(np.arange(10), [5, 1, 1, 9, 2, 2, 4, 1, 3, 2])
    for seed in range(20):
        order = np.random.default_rng(seed).permutation(len(groups))
        same, place = in_sequence(order, groups)
        assert_array_equal(same, order)
        for cut in (3, 8, 20):
            assert not set(groups[order[place < cut]]) & set(groups[order[place >= cut]])
            assert (place < cut).sum() >= cut


def test_too_many_classes_are_not_followed_one_by_one() -> None:
    columns, note = class_columns([f"k{i}" for i in range(257)])
    assert columns == {} and "257 classes" in note
    columns, note = class_columns(["a", None, "b", "a"])
    assert columns["class/a"].tolist() == [True, False, False, True] and note == ""


def test_a_catalogue_is_known_by_its_stamp_and_read_once() -> None:
    reads: list[int] = []

    def read(row: int) -> Picture:
        reads.append(row)
        return Picture(np.full((3, 9, 9), row, np.uint8))

    catalogue = Catalogue(digest("once", 1), ("a", "b", "c"), read)
    again = Catalogue(digest("once", 1), ("a", "b", "c"), read)
    assert_array_equal(distinct_pictures(catalogue, 9).images, distinct_pictures(again, 9).images)
    assert sorted(reads) == [0, 1, 2]
    assert distinct_pictures(catalogue.take(np.array([2])), 9).names == ("c",)
    assert digest("once", 1) != digest("once", 2)


def cached() -> list[Path]:
    return sorted((Path(os.environ["IMAGELAB_CACHE"]) / "pictures").glob("*"))


def test_a_later_process_finds_the_decoded_pictures_on_disk(
    built: dict[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    distinct_pictures.cache_clear()
    recipe = opened("image_folder", built["image_folder"])
    before, card = everything(recipe), recipe.card()
    assert [kept.suffix for kept in cached()] == [".bytes", ".json"]
    assert not any(kept.stat().st_mode & 0o077 for kept in cached()), "others can read it"
    distinct_pictures.cache_clear()
    monkeypatch.setattr(catalogue_module, "read_picture", lambda *_: pytest.fail("a picture was decoded again"))
    after = everything(opened("image_folder", built["image_folder"]))
    for split, sample in before.items():
        assert_array_equal(sample.images, after[split].images)
        assert sample.sources == after[split].sources
    assert opened("image_folder", built["image_folder"]).card() == card


def test_refused_files_are_remembered_with_their_reasons(fake: Callable[[str], Path]) -> None:
    root = fake("image_folder")
    (root / "train" / "cats" / "diary.png").write_text("dear diary")
    first = opened("image_folder", root).bad_files()
    distinct_pictures.cache_clear()
    assert opened("image_folder", root).bad_files() == first != ()


def test_changed_files_and_settings_get_a_place_of_their_own_and_a_spoiled_one_is_made_anew(
    fake: Callable[[str], Path],
) -> None:
    root = fake("image_folder")
    whole = everything(opened("image_folder", root))["train"].images
    for kept in cached():
        kept.write_bytes(b"spoiled")
    distinct_pictures.cache_clear()
    assert_array_equal(everything(opened("image_folder", root))["train"].images, whole)
    everything(opened("image_folder", root, size=20))
    next(root.rglob("*.png")).unlink()
    everything(opened("image_folder", root))
    assert len(cached()) == 2 * 3


@pytest.mark.parametrize("kind", sorted(FACES))
def test_no_copy_of_real_faces_is_left_behind_unless_asked_for(kind: str, built: dict[str, Path]) -> None:
    distinct_pictures.cache_clear()
    everything(opened(kind, built[kind]))
    everything(opened("image_folder", built["image_folder"], cache=False))
    assert cached() == []
    everything(opened(kind, built[kind], cache=True))
    assert len(cached()) == 2


def test_settings_that_came_later_are_kept_where_the_command_line_makes_them_its_defaults() -> None:
    from imagelab.cli.console import settled

    data = Folder(path=Path("pictures"), white=4095, channels=1)
    shown = settled(data)
    assert shown().model_dump() == data.model_dump() and {"white", "channels"} <= shown().model_dump().keys()
    assert "channels" not in shown(channels=3).model_dump()
