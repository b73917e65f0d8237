from __future__ import annotations

import struct
import warnings
import zipfile
from pathlib import Path

import pytest

from imagelab.io.members import Contents
from imagelab.io.zip_members import zip_members

Pictures = list[tuple[str, bytes]]
DIRECTORY, END = b"PK\x01\x02", b"PK\x05\x06"


def made(path: Path, members: Pictures, packing: int = zipfile.ZIP_DEFLATED) -> Path:
    with zipfile.ZipFile(path, "w", packing) as archive:
        for name, content in members:
            archive.writestr(name, content)
    return path


def changed(path: Path, place: int, form: str, *values: int) -> Path:
    """The file with some bytes of it replaced."""
    content = bytearray(path.read_bytes())
    struct.pack_into(form, content, place, *values)
    path.write_bytes(bytes(content))
    return path


def read(contents: Contents) -> dict[str, bytes]:
    return {member.name: contents.read(member) for member in contents.files}


@pytest.mark.parametrize("packing", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_every_packing_of_the_standard_library_gives_the_same_bytes(
    tmp_path: Path, twelve: Pictures, packing: int
) -> None:
    contents = zip_members(made(tmp_path / "a.zip", twelve[::-1], packing))
    assert read(contents) == dict(twelve) and list(read(contents)) == [name for name, _ in twelve]
    assert contents.damage == "" and not any(member.refused for member in contents.files)


def test_members_of_64_bit_and_of_one_name_are_read(tmp_path: Path, twelve: Pictures) -> None:
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for _, content in twelve:
            with archive.open("a.png", "w", force_zip64=True) as file:
                file.write(content)
    contents = zip_members(tmp_path / "a.zip")
    assert [contents.read(member) for member in contents.files] == [content for _, content in twelve]


def test_what_follows_or_what_the_directory_lacks_is_damage(tmp_path: Path, twelve: Pictures) -> None:
    content = made(tmp_path / "a.zip", twelve).read_bytes()
    first = content.find(DIRECTORY)
    second, end = content.find(DIRECTORY, first + 4), content.rfind(END)
    record = struct.pack("<HHII", 11, 11, end - second, first)
    cases = {
        "2 bytes follow its end": content + b"xx",
        "holds members that its directory does not list": content + content,
        "directory does not list": content[:first] + content[second : end + 8] + record + content[end + 20 :],
        "states 10 members and lists 12": content[: end + 8] + struct.pack("<HH", 10, 10) + content[end + 12 :],
        "has another name than the directory": content.replace(b"003.png", b"003.pnf", 1),
    }
    for said, damaged in cases.items():
        (tmp_path / "b.zip").write_bytes(damaged)
        assert said in zip_members(tmp_path / "b.zip").damage
    (tmp_path / "b.zip").write_bytes(b"#!/bin/sh\n" + content)
    assert zip_members(tmp_path / "b.zip").damage == ""
    (tmp_path / "b.zip").write_bytes(content[:-50])
    with pytest.raises(ValueError, match=r"b\.zip: not a whole zip file"):
        zip_members(tmp_path / "b.zip")


def test_encrypted_and_unknown_packings_are_named(tmp_path: Path, twelve: Pictures) -> None:
    path = made(tmp_path / "a.zip", twelve)
    first = path.read_bytes().find(DIRECTORY)
    second = path.read_bytes().find(DIRECTORY, first + 4)
    changed(changed(path, first + 8, "<H", 1), second + 10, "<H", 98)
    refused = [member.refused for member in zip_members(path).files]
    assert "is encrypted" in refused[0] and "method 98 (PPMd)" in refused[1] and not any(refused[2:])


def test_members_that_share_their_bytes_are_named(tmp_path: Path, twelve: Pictures) -> None:
    path = made(tmp_path / "a.zip", twelve)
    second = path.read_bytes().find(DIRECTORY, path.read_bytes().find(DIRECTORY) + 4)
    contents = zip_members(changed(path, second + 42, "<I", 0))
    assert "shares its bytes with 000.png" in contents.files[1].refused and contents.damage


@pytest.mark.parametrize("packing", [zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_a_member_is_never_unpacked_beyond_the_size_that_is_stated(tmp_path: Path, packing: int) -> None:
    path = made(tmp_path / "a.zip", [("0.bmp", bytes(1 << 22))], packing)
    contents = zip_members(changed(path, path.read_bytes().find(DIRECTORY) + 24, "<I", 100))
    with pytest.raises(ValueError, match="unpacks to 101 or more bytes, and its directory states 100"):
        contents.read(contents.files[0])


def test_more_bytes_than_the_limit_are_refused(tmp_path: Path, twelve: Pictures) -> None:
    path = made(tmp_path / "a.zip", twelve)
    place = path.read_bytes().find(DIRECTORY)
    contents = zip_members(changed(path, place + 24, "<I", 0xFFFFFFF0))
    with pytest.raises(ValueError, match="bytes are too many for one picture"):
        contents.read(contents.files[0])
    for _ in range(2):
        changed(path, place + 24, "<I", 200 << 20)
        place = path.read_bytes().find(DIRECTORY, place + 4)
    with pytest.raises(
        ValueError, match=r"by the sizes of its members, .* would unpack to 0.419 GB, more than the limit of 0.268"
    ):
        zip_members(path)


def test_a_wrong_checksum_is_named(tmp_path: Path, twelve: Pictures) -> None:
    path = made(tmp_path / "a.zip", twelve, zipfile.ZIP_STORED)
    place = path.read_bytes().find(b"IDAT") + 8
    contents = zip_members(changed(path, place, "<B", path.read_bytes()[place] ^ 1))
    with pytest.raises(ValueError, match="checksum is wrong"):
        contents.read(contents.files[0])
    assert contents.read(contents.files[1]) == twelve[1][1]


def test_a_member_whose_name_was_emptied_is_damage_and_no_traceback(tmp_path: Path):
    path = tmp_path / "set.zip"
    with zipfile.ZipFile(path, "w") as archive:
        for name in ("a.png", "b.png"):
            archive.writestr(name, b"x")
    content = path.read_bytes()
    place = content.rindex(b"a.png")  # in the directory
    path.write_bytes(content[:place] + bytes(5) + content[place + 5 :])
    try:
        found = zip_members(path)
    except ValueError as error:
        assert "not a whole zip file" in str(error)
    else:
        assert found.damage
