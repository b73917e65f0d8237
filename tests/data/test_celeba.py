from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from numpy.testing import assert_array_equal

from imagelab.data.celeba import CelebA
from imagelab.io.pictures import read_rgb
from imagelab.io.resample import squared


def test_attributes_are_those_of_the_list(built: dict[str, Path]) -> None:
    sample = CelebA(path=built["celeba"], size=16).load("train", 6, 0)
    numbers = np.array([int(name[:6]) - 1 for name in sample.sources])
    assert set(sample.attributes) == {"Bald", "Eyeglasses", "Smiling"}
    for k, name in enumerate(("Bald", "Eyeglasses", "Smiling")):
        assert_array_equal(sample.attributes[name], (numbers + k) % (k + 2) == 0)


def test_the_crop_is_cut_from_the_centre_before_the_resize(built: dict[str, Path]) -> None:
    for crop in (148, 178):
        recipe = CelebA(path=built["celeba"], size=32, crop=crop)
        sample = recipe.load("train", 1, 0)
        pixels = read_rgb(built["celeba"] / "img_align_celeba" / sample.sources[0])
        top, left = (218 - crop) // 2, (178 - crop) // 2
        assert_array_equal(sample.images[0], squared(pixels[:, top : top + crop, left : left + crop], 32))
        assert f"centre {crop} x {crop}" in recipe.card()


def test_the_parent_folder_and_the_doubled_folder_are_found(
    built: dict[str, Path], fake: Callable[[str], Path]
) -> None:
    root = fake("celeba")
    (root / "img_align_celeba").rename(root / "inner")
    (root / "img_align_celeba").mkdir()
    (root / "inner").rename(root / "img_align_celeba" / "img_align_celeba")
    expected = CelebA(path=built["celeba"], size=16).load("train", 6, 0).images
    assert_array_equal(CelebA(path=root.parent, size=16).load("train", 6, 0).images, expected)


def test_the_lists_are_read_as_csv_where_only_that_is_there(
    built: dict[str, Path], fake: Callable[[str], Path]
) -> None:
    root = fake("celeba")
    for name, header in (("list_attr_celeba", True), ("list_eval_partition", False)):
        lines = (root / f"{name}.txt").read_text().splitlines()
        rows = [",".join(line.split()) for line in lines[2 * header :]]
        title = "image_id," + ",".join(lines[1].split()) if header else "image_id,partition"
        (root / f"{name}.csv").write_text("\n".join([title, *rows]) + "\n")
        (root / f"{name}.txt").unlink()
    ours, theirs = (CelebA(path=path, size=16).load("heldout", 4, 0) for path in (root, built["celeba"]))
    assert ours.sources == theirs.sources
    assert_array_equal(ours.attributes["Smiling"], theirs.attributes["Smiling"])


def test_damaged_lists_are_refused_by_name_and_reason(fake: Callable[[str], Path]) -> None:
    root = fake("celeba")
    attributes, partition = root / "list_attr_celeba.txt", root / "list_eval_partition.txt"
    good, parts = attributes.read_text(), partition.read_text()
    for text, message in {
        good.replace("12\n", "11\n", 1): "line 1 promises 11 entries, 12 follow",
        good.replace("12\n", "", 1): "expected the number of entries in line 1",
        good.replace("-1", " 0", 1): "expected 1 or -1, got 0",
        good.rsplit(" ", 1)[0] + "\n": "000012.jpg: expected 3 values, got 2",
        "": "expected the number of entries",
    }.items():
        attributes.write_text(text)
        with pytest.raises(ValueError, match=rf"list_attr_celeba\.txt.*{message}"):
            CelebA(path=root).available(0)
    attributes.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(ValueError, match="expected a text file"):
        CelebA(path=root).available(0)
    attributes.write_text(good)
    partition.write_text(parts.split("\n", 1)[1])
    with pytest.raises(ValueError, match=r"list_eval_partition\.txt.*000001\.jpg 0\|1\|2"):
        CelebA(path=root).available(0)
    partition.unlink()
    with pytest.raises(ValueError, match=r"list_eval_partition\.txt: cannot be opened: No such file"):
        CelebA(path=root).available(0)
    assert sum(n or 0 for n in CelebA(path=root, official=False).available(0).values()) == 12


def test_a_changed_list_is_read_again(fake: Callable[[str], Path]) -> None:
    root = fake("celeba")
    recipe = CelebA(path=root, size=16)
    before = recipe.load("train", 6, 0)
    path = root / "list_attr_celeba.txt"
    path.write_text(path.read_text().replace("Bald", "Hairless"))
    assert set(recipe.load("train", 6, 0).attributes) == {"Hairless", "Eyeglasses", "Smiling"}
    assert "Bald" in before.attributes
