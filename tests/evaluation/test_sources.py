from __future__ import annotations

import gzip
import io
import os
import shutil
import tarfile
import tracemalloc
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from imagelab.evaluation.sources import OpenedImages, Opening, open_images
from imagelab.io.cache import cache_folder
from imagelab.io.decode import Facts, copies, pick, stored_set
from imagelab.io.pictures import write_png
from imagelab.io.resample import squared
from imagelab.metrics import ImageSet
from imagelab.pool import REAL, Pool
from imagelab.run_folder import RunFolder
from imagelab.runs.shard_files import write_images, write_measurements, write_npy


@pytest.fixture
def pictures(rng: np.random.Generator) -> np.ndarray:
    """Eleven random colour pictures of 12 x 12."""
    return rng.integers(0, 256, (11, 3, 12, 12), np.uint8)


def save(pictures: np.ndarray, folder: Path) -> Path:
    folder.mkdir(exist_ok=True)
    for row, picture in enumerate(pictures):
        write_png(folder / f"{row:03d}.png", picture.transpose(1, 2, 0))
    return folder


def png(picture: np.ndarray) -> bytes:
    file = io.BytesIO()
    Image.fromarray(picture.transpose(1, 2, 0)).save(file, "PNG")
    return file.getvalue()


# -- one content in many forms


def as_npy(pictures: np.ndarray, path: Path) -> object:
    np.save(path / "a.npy", pictures)
    return path / "a.npy"


def as_channels_last(pictures: np.ndarray, path: Path) -> object:
    np.save(path / "a.npy", pictures.transpose(0, 2, 3, 1))
    return str(path / "a.npy")


def as_npz(pictures: np.ndarray, path: Path) -> object:
    np.savez_compressed(path / "a.npz", arr_0=pictures.transpose(0, 2, 3, 1), arr_1=np.arange(len(pictures)))
    return path / "a.npz"


def as_zip(pictures: np.ndarray, path: Path) -> object:
    with zipfile.ZipFile(path / "a.zip", "w") as archive:
        archive.writestr("__MACOSX/._000.png", b"not a picture")
        for row, picture in enumerate(pictures):
            archive.writestr(f"some/{row:03d}.png", png(picture))
    return path / "a.zip"


def as_tar(pictures: np.ndarray, path: Path) -> Path:
    with tarfile.open(path / "a.tar", "w") as archive:
        for row, picture in enumerate(pictures):
            info = tarfile.TarInfo(f"{row:03d}.png")
            info.size = len(png(picture))
            archive.addfile(info, io.BytesIO(png(picture)))
    return path / "a.tar"


def as_parquet(pictures: np.ndarray, path: Path) -> object:
    import pyarrow
    from pyarrow import parquet

    table = pyarrow.table({"image": [{"bytes": png(picture), "path": None} for picture in pictures]})
    parquet.write_table(table, path / "a.parquet")
    return path


def as_tensor(pictures: np.ndarray, path: Path) -> object:
    import torch

    return torch.from_numpy(pictures)


FORMS: dict[str, Callable[[np.ndarray, Path], object]] = {
    "folder": lambda pictures, path: save(pictures, path / "deep" / ".." / "pictures"),
    "npy": as_npy,
    "npy, channels last": as_channels_last,
    "npz": as_npz,
    "zip": as_zip,
    "tar": as_tar,
    "parquet folder": as_parquet,
    "array": lambda pictures, path: pictures,
    "tensor": as_tensor,
    "ImageSet": lambda pictures, path: ImageSet(pictures),
    "PIL images": lambda pictures, path: [Image.fromarray(picture.transpose(1, 2, 0)) for picture in pictures],
    "paths": lambda pictures, path: sorted(save(pictures, path / "listed").iterdir()),
}


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("cache", [True, False])
def test_the_same_pictures_in_any_form_are_the_same_bytes_in_the_same_order(
    form: str, cache: bool, pictures: np.ndarray, tmp_path: Path
):
    (tmp_path / "deep").mkdir()
    source = FORMS[form](pictures, tmp_path)
    for _ in range(2):  # the second time from the cache
        opened = open_images(source, Opening(cache=cache))
        assert np.array_equal(opened.images, pictures)
        assert (opened.resized, opened.bad, opened.notes) == ("", (), ())
    assert cache or not list(cache_folder("measured").glob("*"))


def test_an_array_file_is_mapped_and_not_loaded(tmp_path: Path, pictures: np.ndarray):
    for form in (as_npy, as_channels_last, as_npz):
        images = open_images(form(pictures, tmp_path)).images
        while not isinstance(images, np.memmap):
            assert images.base is not None, form
            images = images.base


# -- a run


@pytest.fixture
def run(tmp_path: Path, pictures: np.ndarray) -> Path:
    """A run of one generation with two lines: real 0..3, held out 4..5, line 0 has 6..7, line 1 has 8..9."""
    folder = RunFolder.create(tmp_path / "tiny-1a2b3c4d", {"schema": 1, "signature": "1a2b3c4d", "experiment": {}})
    for place, rows in (((0, REAL), slice(0, 4)), ((1, 0), slice(6, 8)), ((1, 1), slice(8, 10))):
        shard = folder.begin(*place)
        if place == (0, REAL):
            write_npy(shard / "heldout.npy", pictures[4:6])
        write_images(shard, pictures[rows], Pool.of(0, REAL, range(2)))
        write_measurements(shard, [])
        folder.commit(*place)
    return folder.path


@pytest.mark.parametrize(
    ("said", "rows", "place"),
    [
        ("@0", slice(0, 4), (0, -1)),
        ("@heldout", slice(4, 6), (0, -1)),
        ("@1", slice(6, 8), (1, 0)),
        ("@1:0", slice(6, 8), (1, 0)),
        ("@1:1", slice(8, 10), (1, 1)),
    ],
)
def test_a_generation_of_a_run_is_opened_by_its_name(
    run: Path, said: str, rows: slice, place: tuple[int, int], pictures: np.ndarray
):
    opened = open_images(f"{run}{said}")
    assert np.array_equal(opened.images, pictures[rows])
    assert (opened.generation, opened.line) == place
    assert opened.source.endswith(said)


@pytest.mark.parametrize(
    ("style", "known"), [("fine", "fine"), ("countable", "countable"), ("bold", None), (None, None)]
)
def test_a_run_says_how_the_freckles_of_its_faces_look(tmp_path: Path, pictures: np.ndarray, style: Any, known: Any):
    data = {"kind": "faces"} if style is None else {"kind": "faces", "freckle_style": style}
    config = {"schema": 1, "signature": "1a2b3c4d", "experiment": {"data": data}}
    folder = RunFolder.create(tmp_path / "tiny-1a2b3c4d", config)
    shard = folder.begin(0, REAL)
    write_npy(shard / "heldout.npy", pictures[4:6])
    write_images(shard, pictures[:4], Pool.of(0, REAL, range(2)))
    write_measurements(shard, [])
    folder.commit(0, REAL)
    assert open_images(f"{folder.path}@heldout").freckle_style == known
    assert open_images(f"{folder.path}@0").freckle_style == known


def test_a_generation_s_own_folder_is_its_images_and_not_its_contact_sheet(run: Path, pictures: np.ndarray):
    assert np.array_equal(open_images(run / "gen-001").images, pictures[6:8])


@pytest.mark.parametrize("said", ["@2", "@1:7", "@0:1", "@reserve"])
def test_a_generation_that_does_not_exist_is_refused(run: Path, said: str):
    with pytest.raises(ValueError, match=r"not finished|keeps no reserve"):
        open_images(f"{run}{said}")


def test_a_whole_run_is_refused_with_what_can_be_named(run: Path):
    with pytest.raises(ValueError, match=r"is a run; say which .*@0, @1, @1:1, @heldout"):
        open_images(run)


# -- values that are not bytes


@pytest.mark.parametrize(("low", "high"), [(0.0, 1.0), (-1.0, 1.0), (0.0, 255.0)])
def test_floats_in_a_stated_range_become_the_bytes_they_came_from(low: float, high: float, pictures: np.ndarray):
    values = (pictures / 255.0 * (high - low) + low).astype(np.float32)
    opened = open_images(values, Opening(value_range=(low, high)))
    assert np.array_equal(opened.images, pictures)
    assert "rounded to 8 bits" in opened.notes[0]


@pytest.mark.parametrize("kind", ["float32", "float64", "float16", "int64", "uint16", "bool"])
def test_numbers_that_are_not_bytes_are_refused_without_a_range(kind: str, pictures: np.ndarray):
    with pytest.raises(ValueError, match=rf"fake: expected uint8, got {kind}.*--value-range"):
        open_images((pictures % 2).astype(kind), name="fake")


def test_whole_numbers_of_any_width_are_taken_by_their_range(pictures: np.ndarray):
    for kind, scale in (("int64", 1), ("uint16", 257), ("int32", 1)):
        values = pictures.astype(kind) * np.array(scale, kind)
        assert np.array_equal(open_images(values, Opening(value_range=(0, 255 * scale))).images, pictures)


def test_values_outside_of_the_range_are_refused_with_their_number(pictures: np.ndarray):
    values = pictures / 255.0
    values[0, 0, 0, :3] = 1.5
    values[1, 0, 0, :2] = np.nan
    values[2, 0, 0, 0] = np.inf
    with pytest.raises(ValueError, match=r"3 are NaN or infinite, 3 outside of the stated range 0 to 1"):
        open_images(values, Opening(value_range=(0, 1)))


def test_rounding_of_float32_at_the_ends_of_the_range_is_not_outside(pictures: np.ndarray):
    values = (pictures / np.float32(127.5) - np.float32(1)) * np.float32(1 + 5e-7)
    assert np.array_equal(open_images(values, Opening(value_range=(-1, 1))).images, pictures)


def test_a_range_that_the_values_hardly_fill_gives_a_note(pictures: np.ndarray):
    sound = open_images(pictures / 255.0, Opening(value_range=(0, 1))).notes[0]
    for value_range in ((-1.0, 1.0), (0.0, 255.0)):
        assert "is it right?" in open_images(pictures / 255.0, Opening(value_range=value_range)).notes[0]
    assert "is it right?" not in sound


def test_bytes_that_were_cast_from_floats_give_a_note(pictures: np.ndarray):
    assert "cast to uint8?" in open_images((pictures / 255.0).astype(np.uint8)).notes[0]


def test_a_range_is_part_of_the_cached_set_s_name(tmp_path: Path, pictures: np.ndarray):
    np.save(tmp_path / "a.npy", pictures / 510.0)
    narrow, wide = (open_images(tmp_path / "a.npy", Opening(value_range=(0, high))).images for high in (0.5, 1.0))
    assert np.array_equal(narrow, pictures) and not np.array_equal(wide, pictures)


# -- forms


@pytest.mark.parametrize(
    ("shape", "reason"),
    [
        ((5, 3, 8, 3), "can be .N,C,H,W. or .N,H,W,C."),
        ((5, 4, 8, 8), "four channels"),
        ((5, 8, 8, 4), "four channels"),
        ((3, 8, 8), "one picture or several grey ones"),
        ((8, 8, 3), "one picture or several grey ones"),
        ((5, 2, 8, 8), "expected"),
        ((8, 8), "expected"),
        ((0, 3, 8, 8), "at least one image"),
    ],
)
def test_an_ambiguous_or_strange_form_is_refused(shape: tuple[int, ...], reason: str):
    with pytest.raises(ValueError, match=reason):
        open_images(np.zeros(shape, np.uint8))


def test_a_given_layout_resolves_an_ambiguous_shape(rng: np.random.Generator):
    values = rng.integers(0, 256, (5, 3, 8, 3), np.uint8)
    assert open_images(values, Opening(layout="nchw")).images.shape == (5, 3, 8, 3)
    assert np.array_equal(open_images(values, Opening(layout="nhwc")).images, values.transpose(0, 3, 1, 2))
    assert open_images(values[:, :, :, 0], Opening(layout="nhw")).images.shape == (5, 1, 3, 8)


def test_a_list_of_arrays_is_refused_with_advice_to_stack(pictures: np.ndarray):
    with pytest.raises(ValueError, match=r"list of ndarray; stack"):
        open_images(list(pictures))


# -- sizes


def test_pictures_of_different_sizes_are_refused_until_a_size_is_named(picture_folder: Path):
    with pytest.raises(ValueError, match=r"different sizes.*picture-0\d\.jpg.*--size \d+"):
        open_images(picture_folder)
    opened = open_images(picture_folder, Opening(size=48))
    assert opened.images.shape == (12, 3, 48, 48)
    assert opened.resized == "centre square, bicubic to 48"
    assert opened.endings == ((".jpg", 12),)


def test_resampling_is_the_one_of_the_datasets(picture_folder: Path):
    from imagelab.io.pictures import read_rgb

    expected = np.stack([squared(read_rgb(path), 48) for path in sorted(picture_folder.iterdir())])
    assert np.array_equal(open_images(picture_folder, Opening(size=48)).images, expected)


def test_every_kernel_gives_different_pixels(picture_folder: Path):
    kernels = ("bicubic", "lanczos", "bilinear", "box", "nearest")
    sets = [open_images(picture_folder, Opening(size=32, resize=kernel)) for kernel in kernels]
    assert len({each.images.tobytes() for each in sets}) == len({each.resized for each in sets}) == 5


def test_a_size_that_a_set_already_has_changes_no_byte_and_adds_no_note(tmp_path: Path, pictures: np.ndarray):
    for source in (pictures, save(pictures, tmp_path / "pictures")):
        opened = open_images(source, Opening(size=12))
        assert np.array_equal(opened.images, pictures) and opened.resized == "" and opened.notes == ()


def test_oblong_pictures_of_one_size_are_left_as_they_are(rng: np.random.Generator, tmp_path: Path):
    oblong = rng.integers(0, 256, (4, 3, 10, 14), np.uint8)
    assert np.array_equal(open_images(save(oblong, tmp_path / "oblong")).images, oblong)
    assert open_images(oblong, Opening(size=10)).resized == "centre square"


def test_enlarging_gives_a_note_and_more_than_doubling_is_refused(pictures: np.ndarray):
    assert "enlarged" in "".join(open_images(pictures, Opening(size=24)).notes)
    with pytest.raises(ValueError, match=r"none of 11 pictures can be used.*too small.*and 6 more"):
        _one_line(lambda: open_images(pictures, Opening(size=25)))


def _one_line(work: Callable[[], object]) -> None:
    try:
        work()
    except ValueError as error:
        raise ValueError(str(error).replace("\n", " ")) from error


def test_a_grey_picture_is_resampled_as_its_three_equal_channels_are(rng: np.random.Generator):
    grey = rng.integers(0, 256, (1, 20, 20), np.uint8)
    colour = np.repeat(grey, 3, axis=0)
    assert np.array_equal(squared(colour, 10, "bicubic")[0], squared(grey, 10, "bicubic")[0])


# -- bad files, and files that are not what their names say


@pytest.fixture
def spoiled(tmp_path: Path, pictures: np.ndarray) -> Path:
    folder = save(pictures, tmp_path / "pictures")
    (folder / "empty.png").write_bytes(b"")
    (folder / "lies.jpg").write_bytes(b"no picture")
    (folder / "cut.png").write_bytes((folder / "000.png").read_bytes()[:200])
    (folder / "notes.txt").write_text("hello")
    return folder


def test_bad_files_are_named_with_their_reasons_and_the_rest_is_measured(spoiled: Path, pictures: np.ndarray):
    for _ in range(2):  # decoded, then from the cache
        opened = open_images(spoiled)
        assert np.array_equal(opened.images, pictures)
        assert [Path(bad.path).name for bad in opened.bad] == ["cut.png", "empty.png", "lies.jpg"]
        assert "3 bad pictures were left out" in opened.notes[0] and "not a picture" in opened.notes[0]
        assert "other files" in opened.notes[1]


def test_bad_files_stop_the_work_when_asked_to(spoiled: Path):
    open_images(spoiled)
    with pytest.raises(ValueError, match="3 bad files"):
        open_images(spoiled, Opening(on_bad="stop"))


def test_copies_inside_a_folder_are_kept(tmp_path: Path, pictures: np.ndarray):
    opened = open_images(save(pictures[[0, 1, 0, 0]], tmp_path / "pictures"))
    assert len(opened) == 4 and sorted(copies(opened.images).values()) == [1, 3]


def pages(folder: Path) -> Path:
    folder.mkdir()
    for number in range(3):
        frames = [Image.new("L", (12, 12), 10 * number + page) for page in (1, 2)]
        frames[0].save(folder / f"{number}.tif", save_all=True, append_images=frames[1:])
    return folder


@pytest.mark.parametrize("archived", [False, True])
def test_files_of_several_pictures_are_counted_and_chosen_in_folders_and_archives(tmp_path: Path, archived: bool):
    source = pages(tmp_path / "pages")
    if archived:
        with zipfile.ZipFile(tmp_path / "pages.zip", "w") as archive:
            for file in sorted(source.iterdir()):
                archive.write(file, file.name)
        source = tmp_path / "pages.zip"
    first = open_images(source)
    assert [int(image.max()) for image in first.images] == [1, 11, 21]
    assert any("files with several pictures, of which the first was taken: 3; --page 2" in note for note in first.notes)
    assert [int(image.max()) for image in open_images(source, Opening(page=2)).images] == [2, 12, 22]
    every = open_images(source, Opening(page="all"))
    assert [int(image.max()) for image in every.images] == [1, 2, 11, 12, 21, 22]
    assert not any("several pictures" in note for note in every.notes)


def test_archives_tell_transparency_and_depth_as_folders_do(tmp_path: Path):
    Image.new("RGBA", (12, 12), (0, 0, 0, 9)).save(tmp_path / "clear.png")
    Image.fromarray(np.full((12, 12), 257 * 7, np.uint16)).save(tmp_path / "deep.png")
    home = tmp_path / "packed"
    home.mkdir()
    with zipfile.ZipFile(home / "a.zip", "w") as archive, tarfile.open(home / "a.tar", "w") as tar:
        for file in sorted(tmp_path.glob("*.png")):
            archive.write(file, file.name)
            tar.add(file, file.name)
    shutil.copytree(tmp_path, tmp_path / "plain", ignore=lambda *_: ["packed", "plain"])
    said = [line for line in open_images(tmp_path / "plain").notes if "transparent" in line or "8 bits" in line]
    assert len(said) == 2
    for name in ("a.zip", "a.tar"):
        assert set(said) <= set(open_images(tmp_path / "packed" / name).notes)


def test_a_stated_white_reads_values_that_are_refused_without_it(tmp_path: Path):
    values = np.linspace(0, 1, 144, dtype=np.float32).reshape(12, 12)
    Image.fromarray(values).save(tmp_path / "a.tif")
    with pytest.raises(
        ValueError, match=r"a\.tif: 32-bit float values without an agreed white, from 0 to 1 .*--white 1 "
    ):
        open_images(tmp_path)
    np.testing.assert_array_equal(open_images(tmp_path, Opening(white=1.0)).images[0, 0], np.rint(values * 255.0))


def test_transparency_and_bit_depth_give_notes(tmp_path: Path):
    clear = np.zeros((12, 12, 4), np.uint8)
    Image.fromarray(clear).save(tmp_path / "clear.png")
    Image.fromarray(np.full((12, 12), 257 * 7, np.uint16)).save(tmp_path / "deep.png")
    for source in (tmp_path, [Image.open(tmp_path / "clear.png"), Image.open(tmp_path / "deep.png")]):
        opened = open_images(source)
        assert [int(image.min()) for image in opened.images] == [255, 7]
        assert any("transparent" in note for note in opened.notes)
    assert any("more than 8 bits" in note for note in open_images(tmp_path).notes)


def two_a_sample(pictures: np.ndarray, path: Path) -> Path:
    """An archive of pictures and masks: 00.jpg and 00.seg.png are one sample."""
    with tarfile.open(path / "masks.tar", "w") as archive:
        for row, picture in enumerate(pictures):
            for ending, pixels in (("jpg", picture), ("seg.png", 255 - picture)):
                info = tarfile.TarInfo(f"{row:02d}.{ending}")
                info.size = len(png(pixels))
                archive.addfile(info, io.BytesIO(png(pixels)))
    return path / "masks.tar"


def test_of_several_pictures_a_sample_one_is_chosen_and_the_others_are_counted(tmp_path: Path, pictures: np.ndarray):
    path, n = two_a_sample(pictures, tmp_path), len(pictures)
    with pytest.raises(ValueError, match=rf"fake: .*masks\.tar: {n} of {n} samples .*jpg \({n}\), seg\.png \({n}\)"):
        open_images(path, name="fake")
    opened = open_images(path, Opening(key="jpg"))
    assert np.array_equal(opened.images, pictures)
    assert opened.notes == (f"pictures left out because key is jpg: seg.png ({n})",)
    assert np.array_equal(open_images(path, Opening(key="seg.png")).images, 255 - pictures)
    assert len(open_images(path, Opening(key="all"))) == 2 * n


def test_a_packed_archive_is_the_same_set(tmp_path: Path, pictures: np.ndarray):
    packed = tmp_path / "a.tar.gz"
    packed.write_bytes(gzip.compress(as_tar(pictures, tmp_path).read_bytes()))
    opened = open_images(packed)
    assert np.array_equal(opened.images, pictures) and opened.notes == ()
    assert np.array_equal(open_images(packed, Opening(cache=False)).images, pictures)


def test_a_damaged_archive_is_a_refusal_or_the_first_note(tmp_path: Path, pictures: np.ndarray):
    path = as_tar(pictures, tmp_path)
    with tarfile.open(path) as archive:
        place = archive.getmembers()[2].offset
    content = bytearray(path.read_bytes())
    content[place + 3] ^= 1
    path.write_bytes(bytes(content))
    with pytest.raises(ValueError, match="damaged after 2 pictures"):
        open_images(path, Opening(on_bad="stop"))
    opened = open_images(path)
    assert len(opened) == 2 and opened.notes[0].startswith(f"the archive {path} is damaged")
    assert "damaged after 2 pictures" in opened.notes[1] and opened.bad[0].path == str(path)


def test_a_folder_of_several_kinds_asks_which_is_meant(tmp_path: Path, pictures: np.ndarray):
    as_tar(pictures, tmp_path)
    as_zip(pictures[:2], tmp_path)
    assert len(open_images(tmp_path)) == len(pictures) + 2
    save(pictures[:1], tmp_path / "more")
    with pytest.raises(ValueError, match=r"several kinds \(pictures: 1, archives: 2\); expected one.*a\.tar"):
        open_images(tmp_path)
    (tmp_path / "a.tar").unlink()
    (tmp_path / "a.zip").unlink()
    as_parquet(pictures, tmp_path)
    with pytest.raises(ValueError, match=r"several kinds \(pictures: 1, tables with pictures: 1\)"):
        open_images(tmp_path)


def test_a_table_without_pictures_beside_pictures_is_said(tmp_path: Path, pictures: np.ndarray):
    import pyarrow
    from pyarrow import parquet

    save(pictures, tmp_path)
    parquet.write_table(pyarrow.table({"file_name": ["0.png"]}), tmp_path / "metadata.parquet")
    opened = open_images(tmp_path)
    assert len(opened) == len(pictures) and opened.notes[0] == "tables that were not read: 1 (metadata.parquet)"


def test_linked_folders_are_named_and_not_entered(tmp_path: Path, pictures: np.ndarray):
    save(pictures, tmp_path / "far")
    (tmp_path / "here").mkdir()
    (tmp_path / "here" / "data").symlink_to(tmp_path / "far")
    with pytest.raises(ValueError, match=r"no picture in .*linked folders that were not entered: 1 \(data\)"):
        open_images(tmp_path / "here")
    save(pictures[:2], tmp_path / "here")
    opened = open_images(tmp_path / "here")
    assert len(opened) == 2 and opened.notes == ("linked folders that were not entered: 1 (data)",)


@pytest.mark.parametrize("name", ["x.zip", "x.tar", "x.tar.gz", "x.parquet", "x.png", "x.npy", "x.npz"])
def test_pipes_and_devices_are_refused_at_once(tmp_path: Path, name: str):
    os.mkfifo(tmp_path / name)
    with pytest.raises(ValueError, match="is a named pipe; expected a regular file"):
        open_images(tmp_path / name)
    (tmp_path / name).unlink()
    (tmp_path / name).symlink_to("/dev/zero")
    with pytest.raises(ValueError, match="is a device; expected a regular file"):
        open_images(tmp_path / name)


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("a.npy", "not a whole .npy file"),
        ("a.npz", "not a whole .npz file"),
        ("a.zip", "not a whole zip file"),
        ("a.tar", "not an uncompressed tar file"),
        ("a.parquet", "Parquet"),
        ("a.png", "not a picture"),
        ("a.txt", "a.txt cannot be opened; expected a folder of pictures"),
        ("nowhere", "does not exist"),
        ("run@3", "not a run folder"),
    ],
)
def test_a_file_whose_content_does_not_match_its_name_is_refused(tmp_path: Path, name: str, reason: str):
    if "." in name:
        (tmp_path / name).write_bytes(b"surely nothing of the kind")
    with pytest.raises(ValueError, match=reason):
        open_images(tmp_path / name)


def test_a_truncated_array_file_and_a_pickle_are_refused(tmp_path: Path, pictures: np.ndarray):
    np.save(tmp_path / "whole.npy", pictures)
    (tmp_path / "cut.npy").write_bytes((tmp_path / "whole.npy").read_bytes()[:-100])
    np.save(tmp_path / "objects.npy", np.array([None], object))
    for name in ("cut.npy", "objects.npy"):
        with pytest.raises(ValueError, match=f"{name}: not a whole"):
            open_images(tmp_path / name)


def test_statistics_of_features_are_refused_as_pictures(tmp_path: Path):
    np.savez(tmp_path / "fid.npz", mu=np.zeros(4), sigma=np.eye(4))
    with pytest.raises(ValueError, match="statistics of features"):
        open_images(tmp_path / "fid.npz")


def test_an_empty_folder_is_refused(tmp_path: Path):
    with pytest.raises(ValueError, match="no picture in"):
        open_images(tmp_path)


@pytest.mark.parametrize(
    "settings",
    [{"size": 3}, {"resize": "magic"}, {"layout": "hwcn"}, {"on_bad": "ignore"}, {"value_range": (1.0, 0.0)}],
)
def test_invalid_settings_are_refused_before_anything_is_opened(settings: dict):
    with pytest.raises(ValueError, match=rf"{next(iter(settings))}: expected"):
        Opening(**settings)


def test_an_opened_set_can_be_opened_again(pictures: np.ndarray):
    opened = OpenedImages(pictures, "mine", notes=("as it was",), generation=3)
    assert open_images(opened) is opened
    smaller = open_images(opened, Opening(size=6))
    assert smaller.images.shape[2:] == (6, 6) and smaller.notes[0] == "as it was" and smaller.generation == 3


# -- the cache


def test_a_changed_folder_is_read_again(tmp_path: Path, pictures: np.ndarray):
    folder = save(pictures, tmp_path / "pictures")
    assert len(open_images(folder)) == 11
    (folder / "003.png").unlink()
    assert np.array_equal(open_images(folder).images, np.delete(pictures, 3, axis=0))


def test_an_incomplete_cache_is_never_used(tmp_path: Path, pictures: np.ndarray):
    folder = save(pictures, tmp_path / "pictures")
    open_images(folder)
    (kept,) = cache_folder("measured").glob("*.bytes")
    for spoil in (kept, kept.with_suffix(".json")):
        whole = spoil.read_bytes()
        spoil.write_bytes(whole[: len(whole) // 2])
        assert np.array_equal(open_images(folder).images, pictures)
        spoil.unlink()
        assert np.array_equal(open_images(folder).images, pictures)


def test_a_set_that_fails_while_read_leaves_no_cache(pictures: np.ndarray):
    def fill(facts: Facts):
        yield pictures
        raise ValueError("the disk was pulled")

    with pytest.raises(ValueError, match="pulled"):
        stored_set(cache_folder("measured") / "some-key.bytes", fill)
    assert not list(cache_folder("measured").iterdir())


def test_a_cache_that_cannot_be_written_is_not_needed(
    tmp_path: Path, pictures: np.ndarray, monkeypatch: pytest.MonkeyPatch
):
    (tmp_path / "file").write_text("in the way")
    monkeypatch.setenv("IMAGELAB_CACHE", str(tmp_path / "file"))
    assert np.array_equal(open_images(save(pictures, tmp_path / "pictures")).images, pictures)


def test_writing_to_an_opened_set_changes_no_file(tmp_path: Path, pictures: np.ndarray):
    np.save(tmp_path / "a.npy", pictures)
    for source in (tmp_path / "a.npy", save(pictures, tmp_path / "pictures")):
        open_images(source).images[:] = 0
        assert np.array_equal(open_images(source).images, pictures)


def test_a_large_set_is_never_held_in_memory(tmp_path: Path, rng: np.random.Generator):
    """90 MB of floats, 22 MB of bytes: converting, caching, hashing and dividing need less than 12 MB."""
    n, form = 7_300, (3, 32, 32)
    path = tmp_path / "floats.npy"
    values = np.lib.format.open_memmap(path, "w+", np.float32, (n, *form))
    for first in range(0, n, 500):
        values[first : first + 500] = rng.random((min(500, n - first), *form), np.float32)
    values.flush()
    del values
    tracemalloc.start()
    try:
        opened = open_images(path, Opening(value_range=(0, 1)))
        assert copies(opened.images).total() == n
        assert len(pick(opened.images, np.arange(0, n, 2), most=1_000_000)) == n // 2
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 12_000_000


def test_picked_rows_are_the_same_in_memory_and_on_disk(pictures: np.ndarray):
    rows = np.array([7, 2, 2, 9])
    for most in (0, 1_000_000):
        assert np.array_equal(pick(pictures, rows, most=most), pictures[rows])
