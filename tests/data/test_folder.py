from __future__ import annotations

import io
import json
import os
import struct
import tarfile
import warnings
import zipfile
import zlib
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any, get_args

import numpy as np
import pytest
from numpy.testing import assert_array_equal
from PIL import Image
from pydantic import ValidationError

from imagelab.data.base import Data
from imagelab.data.folder import Folder
from imagelab.io import catalogue as catalogue_module
from imagelab.io.catalogue import Split, shown
from imagelab.io.reading import Picture, Reading
from imagelab.io.resample import squared

SPLITS = get_args(Split)


def picture(seed: int, width: int = 80, height: int = 64) -> Image.Image:
    """A smooth random colour picture, unlike that of any other seed."""
    coarse = np.random.default_rng(seed).integers(0, 256, (5, 5, 3), np.uint8)
    return Image.fromarray(coarse).resize((width, height), Image.Resampling.BICUBIC)


@pytest.fixture
def plain(tmp_path: Path) -> Path:
    """Twelve good PNG pictures."""
    folder = tmp_path / "plain"
    folder.mkdir()
    for i in range(12):
        picture(i).save(folder / f"{i:02d}.png")
    return folder


def zoo_good() -> dict[str, Callable[[Path], object]]:
    """Every kind of picture that must be accepted, by file name."""
    rng = np.random.default_rng(1)
    turned = Image.Exif()
    turned[0x0112] = 6
    clear = picture(21).convert("RGBA")
    clear.putalpha(Image.fromarray(np.tile(np.arange(80, dtype=np.uint8) * 3, (64, 1))))
    return {
        "alpha.png": clear.save,
        "big.jpg": picture(22, 400, 300).save,
        "bitmap.bmp": picture(23).save,
        "cmyk.jpg": picture(24).convert("CMYK").save,
        "grey.png": picture(25).convert("L").save,
        "grey16.png": Image.fromarray(rng.integers(0, 65536, (64, 64), np.uint16)).save,
        "moving.gif": lambda p: picture(26).save(p, save_all=True, append_images=[picture(27), picture(28)]),
        "palette.gif": picture(29).convert("P").save,
        "seethrough.png": lambda p: picture(30).convert("P").save(p, transparency=0),
        "sheet.tiff": picture(31).save,
        "tall.JPG": picture(32, 64, 300).save,
        "turned.jpg": lambda p: picture(33, 80, 64).save(p, exif=turned),
        "web.webp": picture(34).save,
        "\N{FROG FACE} <img src=x onerror=alert(1)>.png": picture(35).save,
        "two\nlines.png": picture(36).save,
    }


@cache
def zoo_bad() -> dict[str, tuple[bytes, str]]:
    """Every kind of file that must be refused: (content, a piece of the reason) by file name."""
    return {
        "bomb.png": (_claiming(30000, 30000), "limit of 64,000,000"),
        "encapsulated.png": (_encoded(picture(41), "EPS"), "not a picture"),
        "float.tif": (
            _encoded(Image.fromarray(np.random.default_rng(0).random((64, 64), np.float32)), "TIFF"),
            "32-bit",
        ),
        "half.jpg": (_encoded(picture(42, 300, 300), "JPEG")[:5000], "truncated"),
        "nothing.png": (b"", "empty file"),
        "text.jpg": (b"dear diary", "not a picture"),
        "tiny.png": (_encoded(picture(43, 5, 5), "PNG"), "too small: 5 x 5 pixels"),
    }


def _encoded(image: Image.Image, kind: str) -> bytes:
    handle = io.BytesIO()
    image.save(handle, format=kind)
    return handle.getvalue()


def _claiming(width: int, height: int) -> bytes:
    """A small PNG whose header claims another size."""
    content = _encoded(picture(44), "PNG")
    header = b"IHDR" + struct.pack(">II", width, height) + content[24:29]
    return content[:12] + header + struct.pack(">I", zlib.crc32(header)) + content[33:]


@pytest.fixture(scope="module")
def zoo(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A typical mixed folder: all good kinds, all bad kinds, and files that are not pictures."""
    folder = tmp_path_factory.mktemp("zoo")
    for name, save in zoo_good().items():
        save(folder / name)
    for name, (content, _) in zoo_bad().items():
        (folder / name).write_bytes(content)
    (folder / "folder.png").mkdir()
    for name in ("notes.txt", ".DS_Store", "._alpha.png", "Thumbs.db"):
        (folder / name).write_bytes(b"x")
    return folder


def test_a_folder_follows_the_dataset_protocol(plain: Path) -> None:
    assert isinstance(Folder(path=plain), Data)


def test_every_good_kind_of_picture_is_taken_and_every_bad_one_named_with_its_reason(zoo: Path) -> None:
    recipe = Folder(path=zoo, size=32)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        counts = recipe.available(0)
    assert sum(count or 0 for count in counts.values()) == len(zoo_good())
    assert [bad.path for bad in recipe.bad_files()] == [str(zoo / name) for name in sorted(zoo_bad())]
    for bad in recipe.bad_files():
        assert zoo_bad()[Path(bad.path).name][1] in bad.reason
    assert "4 files that are not pictures" in recipe.card()
    assert caught == []


def test_reading_a_folder_leaves_the_warning_filters_alone(zoo: Path) -> None:
    before = list(warnings.filters)
    Folder(path=zoo, size=31).available(0)
    assert list(warnings.filters) == before


def test_hostile_names_come_back_printable_on_one_line(zoo: Path) -> None:
    recipe = Folder(path=zoo, size=32)
    names = all_images(recipe).keys()
    assert "two\\nlines.png" in names
    assert "\N{FROG FACE} <img src=x onerror=alert(1)>.png" in names
    assert all(name.isprintable() for name in names)
    json.dumps(list(names)).encode("utf-8")


def test_a_name_that_is_no_unicode_can_be_shown() -> None:
    assert shown("caf\udce9.png") == "caf\\xe9.png"


def test_an_exif_rotated_picture_stands_upright(tmp_path: Path) -> None:
    upright = np.zeros((64, 64, 3), np.uint8)
    upright[:32] = 255  # white above black
    turned = Image.Exif()
    turned[0x0112] = 3
    Image.fromarray(upright[::-1, ::-1].copy()).save(tmp_path / "a.png", exif=turned)
    for i in range(5):
        picture(i).save(tmp_path / f"b{i}.png")
    image = all_images(Folder(path=tmp_path))["a.png"]
    assert_array_equal(image, upright.transpose(2, 0, 1))


def test_transparency_lies_over_the_chosen_colour(tmp_path: Path) -> None:
    for i in range(6):
        clear = picture(i, 64, 64).convert("RGBA")
        clear.putalpha(Image.fromarray(np.tile(np.repeat([0, 255], 32), (64, 1)).astype(np.uint8)))
        clear.save(tmp_path / f"{i}.png")
    white = all_images(Folder(path=tmp_path))["0.png"]
    red = all_images(Folder(path=tmp_path, alpha_over=(255, 0, 7)))["0.png"]
    assert_array_equal(white[:, :, :32], 255)
    assert_array_equal(red[:, 5, 5], [255, 0, 7])
    assert_array_equal(white[:, :, 32:], red[:, :, 32:])


def all_images(recipe: Folder) -> dict[str, np.ndarray]:
    """Every usable image of a folder by its name."""
    found = {}
    for split in SPLITS:
        count = recipe.available(0)[split]
        if count:
            sample = recipe.load(split, count, 0)
            found.update(zip(sample.sources, sample.images, strict=True))
    return found


def test_a_square_of_the_right_size_comes_through_to_the_byte() -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (3, 32, 32), np.uint8)
    assert_array_equal(squared(pixels, 32), pixels)


def test_the_centre_is_cut_from_a_wide_and_from_a_tall_picture() -> None:
    wide = np.random.default_rng(0).integers(0, 256, (3, 32, 50), np.uint8)
    assert_array_equal(squared(wide, 32), wide[:, :, 9:41])
    assert_array_equal(squared(wide.transpose(0, 2, 1), 32), wide.transpose(0, 2, 1)[:, 9:41])


def test_shrinking_does_not_alias() -> None:
    stripes = np.zeros((3, 256, 256), np.uint8)
    stripes[:, :, ::2] = 255  # the finest pattern there is must become grey, not a moire
    small = squared(stripes, 60)
    assert np.abs(small[:, :, 2:-2].astype(int) - 127.5).max() < 2


def test_splits_share_no_picture_and_together_hold_all(plain: Path) -> None:
    recipe = Folder(path=plain, reserve_share=0.25)
    counts = recipe.available(3)
    assert counts == {"heldout": 3, "reserve": 3, "train": 6}
    names = [name for split in SPLITS for name in recipe.load(split, counts[split] or 0, 3).sources]
    assert sorted(names) == [f"{i:02d}.png" for i in range(12)]


def test_the_shares_set_the_sizes_of_the_splits(plain: Path) -> None:
    assert Folder(path=plain, heldout_share=0.5).available(0) == {"heldout": 6, "reserve": 0, "train": 6}
    assert Folder(path=plain, reserve_share=0.3).available(0) == {"heldout": 3, "reserve": 4, "train": 5}


def test_a_larger_sample_begins_with_the_smaller_one_and_the_seed_decides_the_order(plain: Path) -> None:
    recipe = Folder(path=plain)
    small, large = recipe.load("train", 3, 1), recipe.load("train", 9, 1)
    assert small.sources == large.sources[:3]
    assert_array_equal(small.images, large.images[:3])
    assert recipe.load("train", 9, 2).sources != large.sources


@pytest.mark.parametrize("count", [6, 7, 8])
def test_a_tiny_folder_still_holds_out_two(tmp_path: Path, count: int) -> None:
    for i in range(count):
        picture(i).save(tmp_path / f"{i}.png")
    assert Folder(path=tmp_path, heldout_share=0.01).available(0) == {"heldout": 2, "reserve": 0, "train": count - 2}
    tight = Folder(path=tmp_path, heldout_share=0.45, reserve_share=0.5).available(0)
    assert tight["train"] == 4 and (tight["heldout"] or 0) >= 2


def test_equal_pictures_count_once_whatever_their_file_is(plain: Path) -> None:
    with Image.open(plain / "03.png") as opened:
        opened.save(plain / "copy of 03.bmp")
        opened.save(plain / "copy of 03.webp", lossless=True)
    recipe = Folder(path=plain)
    assert sum(count or 0 for count in recipe.available(0).values()) == 12
    assert "2 equal copies" in recipe.card()
    assert "03.png" in all_images(recipe)


def test_enlarged_pictures_are_counted_and_half_the_size_is_the_least(plain: Path) -> None:
    picture(50, 40, 40).save(plain / "small.png")
    picture(51, 31, 90).save(plain / "too small.png")
    recipe = Folder(path=plain, size=64)
    assert "1 pictures were smaller than 64 px and enlarged" in recipe.card()
    assert [bad.reason for bad in recipe.bad_files()] == [
        "too small: 31 x 90 pixels, the shorter side must be at least 32"
    ]


def test_subfolders_are_read_unless_told_otherwise(plain: Path) -> None:
    (plain / "more" / "deep").mkdir(parents=True)
    (plain / ".hidden").mkdir()
    picture(60).save(plain / "more" / "deep" / "x.png")
    picture(61).save(plain / ".hidden" / "y.png")
    assert "more/deep/x.png" in all_images(Folder(path=plain))
    assert len(all_images(Folder(path=plain))) == 13
    assert len(all_images(Folder(path=plain, recursive=False))) == 12


def test_stop_names_the_first_bad_files_and_counts_the_others(zoo: Path) -> None:
    recipe = Folder(path=zoo, size=32, on_bad="stop")
    with pytest.raises(ValueError, match="7 bad files") as caught:
        recipe.load("train", 1, 0)
    lines = str(caught.value).splitlines()
    for bad, line in zip(recipe.bad_files()[:5], lines[1:6], strict=True):
        assert line == f"  {bad.path}: {bad.reason}"
    assert lines[6:] == ["  and 2 more"] and len(recipe.bad_files()) == 7


def test_stop_goes_on_where_nothing_is_bad(plain: Path) -> None:
    assert Folder(path=plain, on_bad="stop").available(0)["train"] == 9


def test_a_missing_folder_a_file_an_empty_folder_and_a_useless_one_are_told_apart(tmp_path: Path) -> None:
    (tmp_path / "file.png").write_bytes(b"")
    (tmp_path / "empty").mkdir()
    (tmp_path / "useless").mkdir()
    (tmp_path / "useless" / "text.jpg").write_text("hello")
    (tmp_path / "few").mkdir()
    for i in range(5):
        picture(i).save(tmp_path / "few" / f"{i}.png")
    for name, message in {
        "absent": "does not exist",
        "file.png": "is a file; expected a folder",
        "empty": "got none",
        "useless": "(?s)expected at least 6.*got 0.*1 bad file.*text.jpg: not a picture",
        "few": "expected at least 6 different usable pictures .* got 5",
    }.items():
        recipe = Folder(path=tmp_path / name)
        with pytest.raises(ValueError, match=message):
            recipe.available(0)
        with pytest.raises(ValueError, match=message):
            recipe.load("train", 1, 0)


def test_more_images_than_there_are_is_an_error_that_says_how_many(plain: Path) -> None:
    with pytest.raises(ValueError, match=r"expected 1 to 9 images from the train split .* got n = 10"):
        Folder(path=plain).load("train", 10, 0)
    with pytest.raises(ValueError, match="expected 1 to 0 images from the reserve split"):
        Folder(path=plain).load("reserve", 1, 0)


def test_a_broken_link_and_an_odd_file_are_named(plain: Path) -> None:
    (plain / "broken.png").symlink_to(plain / "nowhere.png")
    os.mkfifo(plain / "pipe.png")
    reasons = {Path(bad.path).name: bad.reason for bad in Folder(path=plain).bad_files()}
    assert reasons == {
        "broken.png": "cannot be opened: No such file or directory",
        "pipe.png": "is a named pipe; expected a regular file",
    }


def test_a_file_without_permission_is_named(plain: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    honest = Path.open

    def guarded(path: Path, *args: Any, **settings: Any) -> Any:
        if path.name == "05.png":
            raise PermissionError(13, "Permission denied", str(path))
        return honest(path, *args, **settings)

    monkeypatch.setattr(Path, "open", guarded)
    (bad,) = Folder(path=plain).bad_files()
    assert (Path(bad.path).name, bad.reason) == ("05.png", "cannot be opened: Permission denied")


def test_a_subfolder_that_cannot_be_listed_is_named(plain: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    locked = plain / "locked"
    locked.mkdir()
    honest = os.scandir

    def guarded(path: Path | str):
        if Path(path) == locked:
            raise PermissionError(13, "Permission denied", str(path))
        return honest(path)

    monkeypatch.setattr(catalogue_module.os, "scandir", guarded)
    (bad,) = Folder(path=plain).bad_files()
    assert (Path(bad.path).name, bad.reason) == ("locked", "folder cannot be read: Permission denied")


def test_linked_subfolders_are_not_entered_so_a_loop_of_links_ends(plain: Path) -> None:
    (plain / "again").symlink_to(plain)
    assert len(all_images(Folder(path=plain))) == 12
    assert "Linked folders that were not entered: 1 (again). " in Folder(path=plain).card()


def test_an_archive_is_the_same_pictures_as_its_folder(plain: Path, tmp_path: Path) -> None:
    with tarfile.open(tmp_path / "a.tar.gz", "w:gz") as packed, zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        for path in sorted(plain.rglob("*.*")):
            packed.add(path, path.name)
            archive.write(path, path.name)
    expected = sorted(image.tobytes() for image in all_images(Folder(path=plain)).values())
    for name in ("a.tar.gz", "a.zip"):
        recipe = Folder(path=tmp_path / name)
        assert sorted(image.tobytes() for image in all_images(recipe).values()) == expected
        assert f"12 pictures of the archive {tmp_path / name}" in recipe.card()


def test_the_pictures_of_an_archive_are_chosen_by_their_ending(plain: Path, tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        for row, path in enumerate(sorted(plain.rglob("*.*"))):
            archive.write(path, f"{row}.png")
            archive.write(path, f"{row}.seg.png")
    with pytest.raises(ValueError, match=r"12 of 12 samples have several pictures.*seg\.png \(12\)"):
        Folder(path=tmp_path / "a.zip").available(0)
    recipe = Folder(path=tmp_path / "a.zip", key="seg.png")
    assert all(name.endswith(".seg.png") for name in all_images(recipe)) and len(all_images(recipe)) == 12
    assert "Pictures left out because key is seg.png: png (12). " in recipe.card()


def test_a_key_that_is_not_used_leaves_the_settings_as_they_were(plain: Path) -> None:
    assert "key" not in Folder(path=plain).model_dump() and Folder(path=plain, key="png").model_dump()["key"] == "png"


def test_archives_beside_the_pictures_are_counted_in_the_card(plain: Path) -> None:
    (plain / "more.zip").touch()
    assert "Archives that were not read: 1 (more.zip). " in Folder(path=plain).card()


def test_unchanged_files_are_read_once_and_changed_ones_again(plain: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    reads: list[str] = []
    honest = catalogue_module.read_picture

    def counted(path: Path, reading: Reading) -> Picture:
        reads.append(path.name)
        return honest(path, reading)

    monkeypatch.setattr(catalogue_module, "read_picture", counted)
    recipe = Folder(path=plain)
    before = recipe.fingerprint()
    recipe.load("train", 2, 0)
    recipe.load("heldout", 2, 0)
    assert Folder(path=plain).bad_files() == ()
    assert len(reads) == 12
    picture(99).save(plain / "05.png")
    assert recipe.fingerprint() != before
    assert len(reads) == 24


def test_the_fingerprint_knows_pixels_and_names_and_nothing_else(plain: Path, tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    for file in sorted(plain.iterdir(), reverse=True):
        (elsewhere / file.name).write_bytes(file.read_bytes())
    (elsewhere / "notes.txt").write_text("no picture")
    first = Folder(path=plain).fingerprint()
    assert len(first) == 64
    assert Folder(path=elsewhere).fingerprint() == first
    (elsewhere / "03.png").rename(elsewhere / "03b.png")
    assert Folder(path=elsewhere).fingerprint() != first


def test_the_path_is_kept_absolute_so_that_the_same_folder_is_the_same_question(
    plain: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(plain.parent)
    monkeypatch.setenv("HOME", str(plain.parent))
    asked = [Folder(path=Path(p)) for p in ("plain", "./plain/", "~/plain", "../" + plain.parent.name + "/plain")]
    assert {recipe.model_dump_json() for recipe in asked} == {Folder(path=plain).model_dump_json()}
    assert json.loads(asked[0].model_dump_json())["path"] == plain.as_posix()


def test_a_configuration_from_another_machine_can_be_read() -> None:
    recipe = Folder(path=Path("/no/such/machine"), size=32, on_bad="stop", alpha_over=(0, 1, 2), recursive=False)
    assert Folder.model_validate_json(recipe.model_dump_json()) == recipe


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"path": ""}, "expected the name of a folder"),
        ({"path": "a\0b"}, "expected the name of a folder"),
        ({"path": "x", "heldout_share": 0.7, "reserve_share": 0.3}, "less than 1"),
        ({"path": "x", "on_bad": "ignore"}, "'skip' or 'stop'"),
        ({"path": "x", "alpha_over": (0, 0, 256)}, "less than or equal to 255"),
        ({"path": "x", "size": 7}, "greater than or equal to 8"),
        ({"path": "x", "shuffle": True}, "Extra inputs"),
        ({}, "Field required"),
    ],
)
def test_settings_that_cannot_work_are_refused_at_once(settings: dict[str, object], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        Folder.model_validate(settings)


def test_each_picture_of_a_file_can_be_used_and_the_card_says_where_only_the_first_is(tmp_path: Path) -> None:
    for number in range(8):
        frames = [picture(10 * number + page) for page in range(2)]
        frames[0].save(tmp_path / f"{number}.tif", save_all=True, append_images=frames[1:])
    first, every = Folder(path=tmp_path), Folder(path=tmp_path, page="all", heldout_share=0.3)
    assert sum(n or 0 for n in first.available(0).values()) == 8
    assert "Files with several pictures, of which the first was taken: 8; page takes another" in first.card()
    assert sum(n or 0 for n in every.available(0).values()) == 16 and "several" not in every.card()
    for seed in range(4):
        train, held = (
            {name.split("#")[0] for name in every.load(split, every.available(seed)[split] or 0, seed).sources}
            for split in ("train", "heldout")
        )
        assert not train & held, "the pages of one file stand in two splits"


def test_settings_that_came_later_leave_older_experiments_their_names(tmp_path: Path) -> None:
    plain = Folder(path=tmp_path).model_dump(mode="json")
    assert not {"page", "white"} & plain.keys()
    used = Folder(path=tmp_path, page=2, white=4095).model_dump(mode="json")
    assert (used["page"], used["white"]) == (2, 4095.0)
    assert Folder(**used) == Folder(path=tmp_path, page=2, white=4095) and Folder(**plain) == Folder(path=tmp_path)


def test_the_card_says_how_deep_pictures_and_profiles_were_read(tmp_path: Path) -> None:
    for number in range(8):
        deep = np.asarray(picture(number).convert("L")).astype(np.uint16) * 257
        Image.fromarray(deep).save(tmp_path / f"{number}.png")
    assert "More than 8 bits a channel, rounded to 8: 8." in Folder(path=tmp_path).card()


def test_a_stated_black_and_white_hold_for_all_pictures_and_the_card_counts_what_was_cut(tmp_path: Path) -> None:
    values = np.random.default_rng(6).integers(0, 5000, (8, 16, 16)).astype(np.uint16)
    for number, each in enumerate(values):
        Image.fromarray(each).save(tmp_path / f"{number}.png")
    refused = Folder(path=tmp_path, size=16, white=4095, cache=False)
    with pytest.raises(ValueError, match=r"black is 0 and white is 4095; to cut .*--data.black 0 --data.white 4095"):
        refused.available(0)
    data = Folder(path=tmp_path, size=16, white=4095, black=95, channels=1, cache=False)
    sample = data.load("train", 6, 0)
    expected = np.rint((values - 95.0) * 255 / 4000).clip(0, 255)
    np.testing.assert_array_equal(sample.images[:, 0], expected[[int(name[0]) for name in sample.sources]])
    assert f"8 ({np.count_nonzero((values < 95) | (values > 4095)):,} values)" in data.card()
    assert "In pictures whose values are not bytes 95 is black and 4095 is white. " in data.card()


def test_one_channel_is_the_grey_of_grey_pictures_and_the_counted_luma_of_others(tmp_path: Path) -> None:
    rng = np.random.default_rng(8)
    colour = rng.integers(0, 256, (16, 16, 3), np.uint8)
    grey = rng.integers(0, 256, (7, 16, 16), np.uint8)
    for number, each in enumerate([colour, np.stack([grey[0]] * 3, axis=-1), *grey[1:]]):
        Image.fromarray(each).save(tmp_path / f"{number}.png")
    data = Folder(path=tmp_path, size=16, channels=1, cache=False)
    sample = data.load("train", 6, 0)
    assert data.shape == (1, 16, 16) and sample.images.shape == (6, 1, 16, 16)
    luma = np.rint(colour @ [0.299, 0.587, 0.114])
    expected = np.concatenate([luma[None], grey])
    np.testing.assert_array_equal(sample.images[:, 0], expected[[int(name[0]) for name in sample.sources]])
    assert "only the luma (ITU-R BT.601) was taken: 1. " in data.card()
    assert Folder(path=tmp_path, size=16, cache=False).load("train", 6, 0).images.shape == (6, 3, 16, 16)
