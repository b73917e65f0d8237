from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.testing import assert_array_equal
from PIL import Image

from imagelab.cli.data import describe_lines
from imagelab.data import Sample
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
        good.replace("12\n", "", 1): "line 1: expected the number of entries, got 'Bald Eyeglasses Smiling'",
        good.replace("-1", " 0", 1): "line 3: .*: expected 1 or -1, as in the other lines, got 0",
        good.rsplit(" ", 1)[0] + "\n": "line 14: 000012.jpg: expected 3 values, got 2",
        "": "expected the number of entries",
    }.items():
        attributes.write_text(text)
        with pytest.raises(ValueError, match=rf"list_attr_celeba\.txt.*{message}"):
            CelebA(path=root).available(0)
    attributes.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(ValueError, match=r"not a text file in UTF-8 .line 1 holds other bytes"):
        CelebA(path=root).available(0)
    attributes.write_text(good)
    partition.write_text(parts.split("\n", 1)[1])
    with pytest.raises(
        ValueError, match=r"list_eval_partition\.txt.*`name 0\|1\|2` for every picture, got none for 000001\.jpg;"
    ):
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


def same(ours: CelebA, theirs: CelebA) -> None:
    assert ours.available(0) == theirs.available(0)
    for split in ("train", "heldout"):
        count = theirs.available(0)[split] or 0
        assert known(ours.load(split, count, 0)) == known(theirs.load(split, count, 0))


def known(sample: Sample) -> dict[str, tuple[bytes, dict[str, bool]]]:
    columns = sample.attributes
    return {
        name[:6]: (sample.images[row].tobytes(), {title: bool(columns[title][row]) for title in sorted(columns)})
        for row, name in enumerate(sample.sources)
    }


def test_the_png_files_are_found_under_the_names_of_the_jpeg_files(
    built: dict[str, Path], fake: Callable[[str], Path]
) -> None:
    root = fake("celeba")
    pictures = (root / "img_align_celeba").rename(root / "img_align_celeba_png")
    for file in pictures.iterdir():
        with Image.open(file) as opened:
            opened.save(file.with_suffix(".png"))
        file.unlink()
    same(CelebA(path=root, size=16), CelebA(path=built["celeba"], size=16))
    assert "12 file names are written in another way than on the list (000001.png for 000001.jpg)." in (
        CelebA(path=root, size=16).card()
    )


def test_a_part_of_the_pictures_is_a_set_and_three_lines_tell_what_is_missing(
    built: dict[str, Path], fake: Callable[[str], Path]
) -> None:
    root = fake("celeba")
    names = [f"{number:06d}.jpg" for number in range(13, 3001)]
    with (root / "list_attr_celeba.txt").open("a") as file:
        file.writelines(f"{name} 1 -1 1\n" for name in names)
    with (root / "list_eval_partition.txt").open("a") as file:
        file.writelines(f"{name} 0\n" for name in names)
    recipe = CelebA(path=root, size=16, on_bad="stop")
    same(recipe, CelebA(path=built["celeba"], size=16))
    card = recipe.card()
    assert "2,988 of 3,000 listed pictures are not in the folder: 000013.jpg, " in card and "and 2,983 more. " in card
    assert "Line 1 of list_attr_celeba.txt promises 12 entries, 3000 follow." in card
    assert recipe.bad_files() == () and len("\n".join(describe_lines(recipe, "train", 6, 0))) < 3000


WAYS: dict[str, Callable[[list[list[str]], list[list[str]]], tuple[str, str]]] = {
    "CRLF and a byte order mark": lambda a, p: ("\ufeff" + text(a, "\r\n"), "\ufeff" + text(p, "\r\n")),
    "trailing blanks and empty lines": lambda a, p: (text(a, "  \n\n"), text(p, "\t\n\n")),
    "0 for -1": lambda a, p: (text(a).replace("-1", "0"), text(p)),
    "upper case": lambda a, p: (text(a).replace("jpg", "JPG"), text(p)),
    "rows in another order": lambda a, p: (text([*a[:2], *a[:1:-1]]), text(p[::-1])),
    "names in the last column": lambda a, p: (text([*a[:2], *([*r[1:], r[0]] for r in a[2:])]), text(p)),
    "a title over the names": lambda a, p: (text([a[0], ["image_id", *a[1]], *a[2:]]), text(p)),
    "split before name": lambda a, p: (text(a), text([row[::-1] for row in p])),
    "repeated rows": lambda a, p: (text([*a, a[3], a[3]]), text([*p, p[2]])),
    "columns in another order": lambda a, p: (text([a[0], a[1][::-1], *([r[0], *r[:0:-1]] for r in a[2:])]), text(p)),
}


def text(rows: list[list[str]], end: str = "\n") -> str:
    return "".join(" ".join(row) + end for row in rows)


@pytest.mark.parametrize("way", WAYS)
def test_lists_of_another_form_give_the_same_set(way: str, built: dict[str, Path], fake: Callable[[str], Path]) -> None:
    root = fake("celeba")
    paths = [root / "list_attr_celeba.txt", root / "list_eval_partition.txt"]
    changed = WAYS[way](*([line.split() for line in path.read_text().splitlines()] for path in paths))
    assert list(changed) != [path.read_text() for path in paths]
    for path, content in zip(paths, changed, strict=True):
        path.write_bytes(content.encode())
    same(CelebA(path=root, size=16), CelebA(path=built["celeba"], size=16))


def test_a_csv_with_the_names_in_another_column_gives_the_same_set(
    built: dict[str, Path], fake: Callable[[str], Path]
) -> None:
    root = fake("celeba")
    rows = [line.split() for line in (root / "list_attr_celeba.txt").read_text().splitlines()][1:]
    table = [["Bald", "image_id", "Eyeglasses", "Smiling"], *([r[1], r[0], *r[2:]] for r in rows[1:])]
    (root / "list_attr_celeba.csv").write_text("".join(";".join(row) + "\n" for row in table))
    (root / "list_attr_celeba.txt").unlink()
    parts = [line.split()[::-1] for line in (root / "list_eval_partition.txt").read_text().splitlines()]
    table = [["partition", "image_id"], *parts]
    (root / "list_eval_partition.csv").write_text("".join(f'{part},"{name}"\n' for part, name in table))
    (root / "list_eval_partition.txt").unlink()
    same(CelebA(path=root, size=16), CelebA(path=built["celeba"], size=16))


@pytest.mark.parametrize(
    ("name", "change", "said"),
    [
        ("attr", ("000003.jpg", "000002.jpg"), "line 5: says something else of 000002.jpg than line 4 of list_attr"),
        ("attr", (" -1", " 0", 3), "line 3: .*: expected 1 or -1, as in the other lines, got 0"),
        ("attr", ("Smiling", "Bald"), "line 2: the attribute Bald has two columns"),
        ("attr", ("000005.jpg", "000005.jpg 1"), "line 7: 000005.jpg: expected 3 values, got 4"),
        ("eval", ("000003.jpg 0", "000003.jpg 3"), "line 3: expected `name 0|1|2`, got '000003.jpg 3'"),
        ("eval", ("000003.jpg 0", "000003.jpg"), "line 3: expected `name 0|1|2`, got '000003.jpg'"),
        ("eval", ("000003.jpg 0", "000002.jpg 2"), "line 3: says something else of 000002 than line 2 of list_eval"),
        ("attr", ("000005", "\0"), "not a text file in UTF-8 (line 7 holds zero bytes)"),
    ],
)
def test_a_damaged_line_is_named_in_one_sentence(
    name: str, change: tuple[Any, ...], said: str, fake: Callable[[str], Path]
) -> None:
    path = next(fake("celeba").glob(f"list_{name}*"))
    path.write_text(path.read_text().replace(*change))
    with pytest.raises(ValueError, match=re.escape(said).replace(re.escape(".*"), ".*")) as caught:
        CelebA(path=path.parent, size=16).available(0)
    assert "\n" not in str(caught.value) and str(caught.value).startswith(str(path))


def test_two_files_that_one_name_can_mean_are_refused(fake: Callable[[str], Path]) -> None:
    root = fake("celeba")
    pictures = root / "img_align_celeba"
    for file in list(pictures.iterdir()):
        file.rename(file.with_suffix(".jpeg"))
    (pictures / "000002.png").write_bytes((pictures / "000002.jpeg").read_bytes())
    with pytest.raises(ValueError, match=r"000002\.jpg can mean 000002\.jpeg, 000002\.png"):
        CelebA(path=root, size=16).available(0)


def test_pictures_on_no_list_are_counted_and_are_not_called_files_of_another_kind(fake: Callable[[str], Path]) -> None:
    root = fake("celeba")
    for number in range(20, 27):
        (root / "img_align_celeba" / f"{number}.jpg").write_bytes(b"")
    card = CelebA(path=root, size=16).card()
    assert "7 pictures are on no list and not used: 20.jpg, 21.jpg, 22.jpg, 23.jpg, 24.jpg and 2 more. " in card
    assert "0 bad files" in card and "0 files that are not pictures" in card
