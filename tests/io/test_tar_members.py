from __future__ import annotations

import re
import subprocess
import tarfile
from collections.abc import Callable
from pathlib import Path

import pytest

from imagelab.io.members import Contents
from imagelab.io.tar_members import tar_members

Pictures = list[tuple[str, bytes]]
Tar = Callable[..., Path]


def walked(content: bytes) -> Contents:
    return tar_members(lambda offset, count: content[offset : offset + count], len(content))


def names(contents: Contents) -> list[str]:
    return [member.name for member in contents.files]


def damaged(content: bytes, kind: str, header: int, body: int) -> bytes:
    """A tar file with one kind of damage at the header (or the body) of the eleventh of twelve members."""
    return {
        "flipped": content[: header + 3] + bytes([content[header + 3] ^ 1]) + content[header + 4 :],
        "cut between members": content[:header],
        "cut inside a header": content[: header + 200],
        "cut inside a body": content[: body + 100],
        "zeroed": content[:header] + bytes(512) + content[body:],
    }[kind]


@pytest.mark.parametrize(
    ("kind", "said"),
    [
        ("flipped", r"the header at byte \d+, after 009\.png is damaged \(bad checksum\)"),
        ("cut between members", r"ends at byte \d+ without the two blocks of zeros"),
        ("cut inside a header", r"a header is cut after 200 of 512 bytes, at byte \d+, after 009\.png"),
        ("cut inside a body", r"010\.png is cut after 100 of \d+ bytes"),
        ("zeroed", r"a block of zeros where a header is expected, at byte \d+"),
    ],
)
def test_damage_is_named_and_never_taken_for_the_end(tar: Tar, twelve: Pictures, kind: str, said: str) -> None:
    path = tar("a.tar", twelve)
    with tarfile.open(path) as archive:
        member = archive.getmember("010.png")
    contents = walked(damaged(path.read_bytes(), kind, member.offset, member.offset_data))
    assert names(contents) == [name for name, _ in twelve[:10]]
    assert contents.damage.startswith("the archive is damaged after 10 pictures, and what may follow is not read: ")
    assert re.search(said, contents.damage)


@pytest.mark.parametrize("tail", [b"x", b"hello" * 300, b"\xff" * 2048, bytes(700) + b"x"])
def test_bytes_behind_the_end_are_named(tar: Tar, twelve: Pictures, tail: bytes) -> None:
    contents = walked(tar("a.tar", twelve).read_bytes() + tail)
    assert len(contents.files) == 12 and "bytes that are no part of it follow its end" in contents.damage


def test_one_block_of_zeros_is_no_end_and_two_are(tar: Tar, twelve: Pictures) -> None:
    path = tar("a.tar", twelve)
    with tarfile.open(path) as archive:
        last = archive.getmembers()[-1]
    end = last.offset_data + -(-last.size // 512) * 512
    content = path.read_bytes()
    assert "without the two blocks" in walked(content[: end + 512]).damage
    assert walked(content[: end + 1024]).damage == walked(content).damage == walked(content + bytes(9999)).damage == ""


def test_joined_archives_are_read_on_and_said(tar: Tar, twelve: Pictures) -> None:
    first, second = tar("a.tar", twelve[:5]).read_bytes(), tar("b.tar", twelve[5:]).read_bytes()
    contents = walked(first + second)
    assert names(contents) == [name for name, _ in twelve] and contents.damage == ""
    assert contents.remarks == ("archives joined end to end, all of them read: 2",)


@pytest.mark.parametrize("form", [tarfile.GNU_FORMAT, tarfile.PAX_FORMAT])
def test_long_names_are_read_whole(tar: Tar, twelve: Pictures, form: int) -> None:
    long = [("ü" * 150 + f"/{name}", content) for name, content in twelve]
    contents = walked(tar("a.tar", long, form=form).read_bytes())
    assert names(contents) == [name for name, _ in long] and contents.damage == ""
    assert [contents.read(member) for member in contents.files] == [content for _, content in long]


@pytest.mark.parametrize("form", [tarfile.GNU_FORMAT, tarfile.PAX_FORMAT])
def test_a_long_name_that_was_zeroed_is_damage(tar: Tar, twelve: Pictures, form: int) -> None:
    content = bytearray(tar("a.tar", [("d" * 120 + "/0.png", twelve[0][1])] * 2, form=form).read_bytes())
    content[512:1024] = bytes(512)
    with pytest.raises(ValueError, match=r"long name at byte 0 is empty|said about the member at byte 0 is damaged"):
        walked(bytes(content))


def test_links_to_members_are_pictures_and_others_are_named(tar: Tar, twelve: Pictures) -> None:
    links = [
        ("hard.png", "000.png", tarfile.LNKTYPE),
        ("soft.png", "001.png", tarfile.SYMTYPE),
        ("d/up.png", "../soft.png", tarfile.SYMTYPE),
        ("loop.png", "loop.png", tarfile.SYMTYPE),
        ("out.png", "../../secret.png", tarfile.SYMTYPE),
        ("root.png", "/secret.png", tarfile.SYMTYPE),
    ]
    contents = walked(tar("a.tar", twelve[:2], links=links).read_bytes())
    assert [contents.read(member) for member in contents.files[2:5]] == [twelve[i][1] for i in (0, 1, 1)]
    refused = [member.refused for member in contents.files[5:]]
    assert "no file of the archive" in refused[0] and all("outside of the archive" in reason for reason in refused[1:])


@pytest.mark.parametrize("options", [["--format=gnu"], ["--format=posix"], ["--format=posix", "--sparse-version=0.1"]])
def test_members_stored_with_holes_are_filled(tmp_path: Path, twelve: Pictures, options: list[str]) -> None:
    for name, content in twelve[:3]:
        with (tmp_path / name).open("wb") as file:
            file.write(content)
            file.truncate(1 << 20)
    made = ["tar", "-S", *options, "-cf", str(tmp_path / "a.tar"), "-C", str(tmp_path), *(n for n, _ in twelve[:3])]
    try:
        subprocess.run(made, check=True, capture_output=True)
    except (OSError, subprocess.CalledProcessError):
        pytest.skip("no GNU tar here")
    contents = walked((tmp_path / "a.tar").read_bytes())
    assert names(contents) == [name for name, _ in twelve[:3]] and contents.damage == ""
    assert [contents.read(m) for m in contents.files] == [c + bytes((1 << 20) - len(c)) for _, c in twelve[:3]]


@pytest.mark.parametrize("content", [b"", b"no tar at all" * 100, b"x" * 512])
def test_what_is_no_tar_file_is_refused(content: bytes) -> None:
    with pytest.raises(ValueError):
        walked(content)


def test_every_single_flipped_header_byte_is_seen(tar: Tar, twelve: Pictures) -> None:
    content = tar("a.tar", twelve[:2]).read_bytes()
    for place in range(512):
        one = bytearray(content)
        one[place] ^= 1
        try:
            contents = walked(bytes(one))
        except ValueError:
            continue
        assert contents.damage or len(contents.files) == 2, place
