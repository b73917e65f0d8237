from __future__ import annotations

import io
import os
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from imagelab.io.archives import Archives, archive_catalogue, archives_in
from imagelab.io.catalogue import Catalogue
from imagelab.io.reading import Reading

Pictures = list[tuple[str, bytes]]
Tar = Callable[..., Path]


def opened(path: Path, how: Archives | None = None) -> Catalogue:
    return archive_catalogue(path, Reading(), how or Archives(cache=False))


def test_every_kind_of_archive_gives_the_same_pictures(tmp_path: Path, tar: Tar, twelve: Pictures) -> None:
    expected = [content for _, content in twelve]
    for name, mode in (
        ("a.tar", "w"),
        ("a.tar.gz", "w:gz"),
        ("a.tgz", "w:gz"),
        ("a.tar.bz2", "w:bz2"),
        ("a.tar.xz", "w:xz"),
        ("really-packed.tar", "w:gz"),
    ):
        catalogue = opened(tar(name, twelve, mode))
        assert catalogue.names == tuple(f"{name}:{member}" for member, _ in twelve)
        assert [contents_of(catalogue, row) for row in range(12)] == expected
        assert catalogue.bad == catalogue.remarks == ()
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        for member, content in twelve:
            archive.writestr(member, content)
    catalogue = opened(tmp_path / "a.zip")
    assert (catalogue.home, catalogue.names) == ("a.zip:", tuple(member for member, _ in twelve))
    assert [contents_of(catalogue, row) for row in range(12)] == expected


def contents_of(catalogue: Catalogue, row: int) -> bytes:
    assert catalogue.content is not None
    source = catalogue.content(row)
    assert isinstance(source, io.BytesIO)
    return source.getvalue()


def test_the_archives_of_a_folder_are_one_set_in_the_order_of_their_names(tar: Tar, twelve: Pictures) -> None:
    (tar("b.tar.gz", twelve[4:8], "w:gz").parent / "notes.txt").touch()
    tar("c.tar", twelve[8:])
    folder = tar("a.tar", twelve[:4]).parent
    assert [path.name for path in archives_in(folder)] == ["a.tar", "b.tar.gz", "c.tar"]
    assert [contents_of(opened(folder), row) for row in range(12)] == [content for _, content in twelve]


def test_what_is_left_out_is_counted_and_debris_is_not(tar: Tar, twelve: Pictures) -> None:
    more = [("readme.txt", b""), (".hidden.png", b""), ("__MACOSX/._0.png", b""), ("._0.png", b""), ("0.cls", b"1")]
    path = tar("a.tar", [*twelve, *more])
    assert opened(path).ignored == 3
    assert opened(path, Archives(labels=True, cache=False)).ignored == 2


def test_damage_stands_first_among_bad_files_and_remarks(tar: Tar, twelve: Pictures) -> None:
    path = tar("a.tar", [("0.json", b"[1]"), *twelve])
    path.write_bytes(path.read_bytes()[:-600])
    content = bytearray(path.read_bytes())
    content[-200:] = b"x" * 200
    path.write_bytes(bytes(content))
    catalogue = opened(path, Archives(labels=True, cache=False))
    assert catalogue.bad[0].path == str(path) and "damaged after 12 pictures" in catalogue.bad[0].reason
    assert catalogue.bad[1].path.endswith("a.tar:0.json")
    assert catalogue.remarks[0] == f"the archive {path} is damaged, and the pictures may be only a part of it"


def test_labels_belong_to_the_sample_also_where_names_hold_dots(tar: Tar, twelve: Pictures) -> None:
    content = twelve[0][1]
    members = [("s.0001.png", content), ("s.0001.cls", b"cat"), ("s.0002.png", content), ("t.3.png", content)]
    catalogue = opened(tar("a.tar", [*members, ("t.json", b'{"old": true}')]), Archives(labels=True, cache=False))
    assert catalogue.attributes["class/cat"].tolist() == [True, False, False]
    assert catalogue.attributes["old"].tolist() == [False, False, True]


@pytest.mark.parametrize("label", [b"[" * 100_000, b"5", b"\xff", b"{"])
def test_labels_of_any_shape_are_named_and_change_nothing_else(tar: Tar, twelve: Pictures, label: bytes) -> None:
    catalogue = opened(tar("a.tar", [*twelve, ("000.json", label)]), Archives(labels=True, cache=False))
    (bad,) = catalogue.bad
    assert len(catalogue) == 12 and bad.path.endswith("a.tar:000.json") and len(bad.reason) < 400


def test_special_files_are_refused_at_once(tmp_path: Path) -> None:
    for name in ("x.zip", "x.tar", "x.tar.gz"):
        os.mkfifo(tmp_path / name)
        with pytest.raises(ValueError, match=rf"{name}.*(named pipe|regular file)"):
            opened(tmp_path / name)
        (tmp_path / name).unlink()
        (tmp_path / name).symlink_to("/dev/zero")
        with pytest.raises(ValueError, match=rf"{name}.*(device|regular file)"):
            opened(tmp_path / name)
        (tmp_path / name).unlink()


def test_the_facts_of_the_pictures_come_along(tar: Tar) -> None:
    members = []
    for name, image in (
        ("clear.png", Image.new("RGBA", (8, 8), (9, 9, 9, 99))),
        ("deep.png", Image.fromarray(np.full((8, 8), 40_000, np.uint16))),
        ("plain.png", Image.new("RGB", (8, 8))),
    ):
        file = io.BytesIO()
        image.save(file, "PNG")
        members.append((name, file.getvalue()))
    catalogue = opened(tar("a.tar", members))
    seen = [catalogue.read(row) for row in range(3)]
    assert [(picture.transparent, picture.deep) for picture in seen] == [(True, False), (False, True), (False, False)]


def test_a_member_that_claims_too_much_is_named(tar: Tar, twelve: Pictures) -> None:
    path = tar("a.tar", [("0.png", b""), *twelve])
    with path.open("r+b") as file:
        file.truncate(1 << 29)  # zeros, which take no room on the disk
        header = bytearray(file.read(512))
        header[124:136] = b"%011o\0" % ((1 << 29) - 512)
        header[148:156] = b" " * 8
        header[148:156] = b"%06o\0 " % sum(header)
        file.seek(0)
        file.write(header)
    catalogue = opened(path)
    with pytest.raises(ValueError, match="536,870,400 bytes are too many for one picture"):
        catalogue.read(0)
    assert catalogue.bad


def test_pictures_in_a_format_that_cannot_be_read_are_named(tar: Tar, twelve: Pictures) -> None:
    catalogue = opened(tar("a.tar", [*twelve, ("drawing.psd", b"8BPS"), (".hidden.psd", b"8BPS")]))
    (bad,) = catalogue.bad
    assert (bad.path, catalogue.ignored) == ("a.tar:drawing.psd", 1) and "Photoshop" in bad.reason
