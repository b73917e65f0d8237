from __future__ import annotations

import io
import tarfile
from collections.abc import Callable
from pathlib import Path

import pytest
from numpy.testing import assert_array_equal

from imagelab.data.web_dataset import WebDataset
from imagelab.io.pictures import read_rgb

from .conftest import encoded


def test_a_sample_is_what_shares_a_name(built: dict[str, Path]) -> None:
    sample = WebDataset(path=built["webdataset"], size=64).load("train", 7, 0)
    numbers = [int(name.split(":")[1][:6]) for name in sample.sources]
    assert_array_equal(sample.attributes["rare"], [number % 5 == 0 for number in numbers])
    assert_array_equal(sample.attributes["class/1"], [number % 2 == 1 for number in numbers])
    with tarfile.open(built["webdataset"] / "train-000000.tar") as archive:
        file = archive.extractfile(f"{numbers[0]:06d}.png")
        assert file is not None
        pixels = read_rgb(io.BytesIO(file.read()))
    assert_array_equal(sample.images[0], pixels[:, :, 8:72])


def test_one_shard_alone_is_a_dataset(built: dict[str, Path]) -> None:
    counts = WebDataset(path=built["webdataset"] / "train-000000.tar").available(0)
    assert sum(n or 0 for n in counts.values()) == 7


def test_a_shard_that_ends_early_keeps_its_whole_pictures_and_says_so(fake: Callable[[str], Path]) -> None:
    root = fake("webdataset")
    (root / "test-000000.tar").unlink()
    path = root / "train-000000.tar"
    with tarfile.open(path) as archive:
        last = archive.getmember("000006.png")
    path.write_bytes(path.read_bytes()[: last.offset_data + 100])
    recipe = WebDataset(path=root, official=False)
    assert sum(n or 0 for n in recipe.available(0).values()) == 6
    reasons = " ".join(bad.reason for bad in recipe.bad_files())
    assert "damaged after 6 pictures" in reasons and "000006.png is cut after 100 of" in reasons


def test_links_and_paths_in_the_archive_are_not_followed(tmp_path: Path, built: dict[str, Path]) -> None:
    secret = tmp_path / "secret.png"
    secret.write_bytes(b"x")
    shard = tmp_path / "links.tar"
    with tarfile.open(built["webdataset"] / "train-000000.tar") as source, tarfile.open(shard, "w") as archive:
        for member in source:
            archive.addfile(member, source.extractfile(member))
        link = tarfile.TarInfo("evil.png")
        link.type, link.linkname = tarfile.SYMTYPE, str(secret)
        archive.addfile(link)
    recipe = WebDataset(path=shard)
    assert sum(n or 0 for n in recipe.available(0).values()) == 7
    (bad,) = recipe.bad_files()
    assert bad.path == "links.tar:evil.png" and "outside of the archive" in bad.reason


def test_what_is_no_tar_or_no_label_is_named(fake: Callable[[str], Path]) -> None:
    root = fake("webdataset")
    member = tarfile.TarInfo("000000.json")
    member.size = 3
    with tarfile.open(root / "train-000000.tar", "a") as archive:
        archive.addfile(member, io.BytesIO(b"[1]"))
    (bad,) = WebDataset(path=root).bad_files()
    assert bad.path.endswith("train-000000.tar:000000.json") and "expected a JSON object" in bad.reason
    (root / "test-000000.tar").write_bytes(b"no tar at all" * 100)
    with pytest.raises(ValueError, match=r"test-000000\.tar: not an uncompressed tar file"):
        WebDataset(path=root).available(0)
    (root / "empty").mkdir()
    with pytest.raises(ValueError, match=r"expected \.tar files in .*empty, got none"):
        WebDataset(path=root / "empty").available(0)


def test_the_picture_of_a_sample_is_chosen_by_its_ending(tmp_path: Path) -> None:
    with tarfile.open(tmp_path / "train.tar.gz", "w:gz") as archive:
        for row in range(8):
            for ending, seed in (("jpg", row), ("seg.png", 100 + row)):
                member = tarfile.TarInfo(f"{row:06d}.{ending}")
                content = encoded(seed)
                member.size = len(content)
                archive.addfile(member, io.BytesIO(content))
            label = tarfile.TarInfo(f"{row:06d}.cls")
            label.size = 1
            archive.addfile(label, io.BytesIO(str(row % 2).encode()))
    with pytest.raises(ValueError, match=r"webdataset: .*8 of 8 samples .*jpg \(8\), seg\.png \(8\)"):
        WebDataset(path=tmp_path).available(0)
    for key, seed in (("jpg", 0), ("seg.png", 100)):
        sample = WebDataset(path=tmp_path, key=key, size=64).load("train", 6, 0)
        for name, image, odd in zip(sample.sources, sample.images, sample.attributes["class/1"], strict=True):
            row = int(name.split(":")[1][:6])
            assert_array_equal(image, read_rgb(io.BytesIO(encoded(seed + row)))[:, :, 8:72])
            assert odd == (row % 2 == 1)


def test_a_key_that_is_not_used_leaves_the_settings_as_they_were() -> None:
    path = Path("x")
    assert "key" not in WebDataset(path=path).model_dump() and "key" in WebDataset(path=path, key="jpg").model_dump()


def test_pictures_beside_the_shards_are_counted_in_the_card(fake: Callable[[str], Path]) -> None:
    root = fake("webdataset")
    (root / "teaser.png").write_bytes(encoded(0))
    assert "Pictures that were not read: 1 (teaser.png). " in WebDataset(path=root).card()
