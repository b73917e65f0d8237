"""The members of a tar file, walked to its real end: what does not fit is named and never taken for the end.

A tar file is a row of members, each a header of 512 bytes and its content, and ends with two blocks of zeros. Programs
that read it leniently take any damaged header for the end. Here only zeros may follow the last member; anything else is
damage, told with its place. Archives that were joined end to end (``cat``) are read on.

Nothing is unpacked to disk. Links are followed only to members of the same archive.
"""

from __future__ import annotations

import io
import posixpath
import tarfile
from collections.abc import Callable
from dataclasses import dataclass, field, replace

from .members import Contents, Member, is_picture, plain_path
from .untrusted import quoted

__all__ = ["MOST_BYTES", "Bytes", "tar_members"]

BLOCK = 512
STEP = 1 << 20  # bytes of zeros that are read at once
MOST_BYTES = 1 << 28
"""The most bytes of one packed picture."""
MOST_WORDS = 1 << 20  # bytes of a long name, or of other data about a member
MOST_ZEROS = 1 << 30  # bytes of zeros in one place
MOST_STEPS = 16  # links from one member to the next

Bytes = Callable[[int, int], bytes]
"""(offset, count) -> the bytes of the archive there; fewer at its end."""

PAX, GLOBAL, SOLARIS, LONG_NAME, LONG_LINK = b"x", b"g", b"X", b"L", b"K"
FOREWORDS = {PAX, GLOBAL, SOLARIS, LONG_NAME, LONG_LINK}
"""Types of headers that say more about the member that follows them."""


class _DamageError(Exception):
    """What does not fit in the archive; the message names it and says where."""


@dataclass
class _Walk:
    """The state of one walk through an archive.

    Attributes:
        read: gives the bytes of the archive.
        size: its length in bytes.
        files: the members so far, without folders.
        links: (row in ``files``, target) of symbolic links.
        known: path of a regular file -> its last member so far.
        everywhere: pax fields for all members that follow.
        joined: how many archives were found end to end.
    """

    read: Bytes
    size: int
    files: list[Member] = field(default_factory=list)
    links: list[tuple[int, str]] = field(default_factory=list)
    known: dict[str, Member] = field(default_factory=dict)
    everywhere: dict[str, str] = field(default_factory=dict)
    joined: int = 1

    def run(self) -> None:
        """Walk to the end of the file; raises _DamageError where something does not fit."""
        position, zeros = 0, 0
        while block := self.read(position, BLOCK):
            if not any(block):
                begin = position
                position = self._after_zeros(position)
                zeros = (position - begin) // BLOCK
                if position >= self.size:
                    break
                if zeros == 1:
                    raise _DamageError(f"a block of zeros where a header is expected, at byte {begin}")
                continue
            try:
                position = self._member(position)
            except _DamageError as damage:
                if zeros:
                    raise _DamageError(
                        f"bytes that are no part of it follow its end, from byte {position} of {self.size} on "
                        f"({damage})"
                    ) from damage
                raise
            self.joined += bool(zeros)
            zeros = 0
        if zeros < 2:
            raise _DamageError(
                f"it ends at byte {self.size} without the two blocks of zeros that close a tar file: it was cut, or "
                "its writing was not finished"
            )

    def _after_zeros(self, position: int) -> int:
        """Return the block of the first byte that is not zero, or the length of the file."""
        begin = position
        while chunk := self.read(position, STEP):
            rest = chunk.lstrip(b"\0")
            if rest:
                return position + (len(chunk) - len(rest)) // BLOCK * BLOCK
            position += len(chunk)
            if position - begin > MOST_ZEROS:
                raise _DamageError(f"more than {MOST_ZEROS:,} bytes of zeros from byte {begin} on")
        return self.size

    def _member(self, position: int) -> int:
        """Take the member that begins at a position, and return where the next one begins."""
        begin, words = position, dict(self.everywhere)
        name = link = ""
        while True:
            info = self._header(position)
            data = position + BLOCK
            if info.type not in FOREWORDS:
                break
            if not 0 <= info.size <= MOST_WORDS:
                raise _DamageError(f"{info.size} bytes about one member, at byte {position}")
            text = self._body(data, info.size, "what is said about a member")
            if info.type == LONG_NAME:
                name = _text(text)
                if not name:
                    raise _DamageError(f"the long name at byte {position} is empty")
            elif info.type == LONG_LINK:
                link = _text(text)
            elif info.type == GLOBAL:
                self.everywhere |= _fields(text, position)
                words = {**self.everywhere, **words}
            else:
                words |= _fields(text, position)
            position = data + _padded(info.size)
        name = words.get("GNU.sparse.name") or words.get("path") or name or info.name
        link = words.get("linkpath") or link or info.linkname
        sparse = info.type == tarfile.GNUTYPE_SPARSE or any(word.startswith("GNU.sparse.") for word in words)
        if info.type == tarfile.GNUTYPE_SPARSE:
            data = self._after_map(position, data)
        return self._take(info, replace(Member(name, _size(info, words, position), data), sparse=sparse), link, begin)

    def _take(self, info: tarfile.TarInfo, member: Member, link: str, begin: int) -> int:
        """Enter a member; return where the next one begins."""
        path = plain_path(member.name)
        if info.type in (tarfile.LNKTYPE, tarfile.SYMTYPE):
            target = plain_path(link)
            if info.type == tarfile.SYMTYPE:
                target = link if link.startswith("/") else plain_path(posixpath.join(posixpath.dirname(path), link))
                self.links.append((len(self.files), target))
                self.files.append(replace(member, size=0, sparse=False))
            else:
                self.files.append(_linked(member.name, target, self.known.get(target)))
                self.known[path] = self.files[-1]
            return member.place
        if info.isdir() or info.isdev():
            return member.place
        if member.place + member.size > self.size:
            raise _DamageError(
                f"{quoted(member.name, 80)} is cut after {max(0, self.size - member.place)} of {member.size} bytes"
            )
        end = member.place + _padded(member.size)
        if member.sparse:
            member = replace(member, place=begin)
        if not (info.isreg() or member.sparse):
            member = replace(member, refused=f"a member of type {info.type!r}, which is no regular file")
        self.files.append(member)
        self.known[path] = self.files[-1]
        return end

    def _header(self, position: int) -> tarfile.TarInfo:
        block = self.read(position, BLOCK)
        last = f", after {quoted(self.files[-1].name, 80)}" if self.files else ""
        if len(block) < BLOCK:
            raise _DamageError(f"a header is cut after {len(block)} of {BLOCK} bytes, at byte {position}{last}")
        try:
            info = tarfile.TarInfo.frombuf(block, "utf-8", "surrogateescape")
        except Exception as error:  # damaged numbers raise almost anything
            raise _DamageError(f"the header at byte {position}{last} is damaged ({quoted(error, 80)})") from error
        return info

    def _body(self, position: int, size: int, what: str) -> bytes:
        content = self.read(position, size)
        if len(content) < size:
            raise _DamageError(f"{what} is cut after {len(content)} of {size} bytes, at byte {position}")
        return content

    def _after_map(self, position: int, data: int) -> int:
        """Return where the content of a sparse member begins: after the blocks that continue its map."""
        more = self._body(position, BLOCK, "a header")[482]
        while more:
            more = self._body(data, BLOCK, "the map of a sparse member")[504]
            data += BLOCK
        return data

    def resolve(self) -> None:
        """Replace symbolic links by the members that they point to."""
        places = {plain_path(self.files[row].name): target for row, target in self.links}
        for row, target in self.links:
            end = target
            for _ in range(MOST_STEPS):
                if end in self.known or end not in places:
                    break
                end = places[end]
            self.files[row] = _linked(self.files[row].name, target, self.known.get(end))


def tar_members(read: Bytes, size: int, later: Bytes | None = None) -> Contents:
    """Return the members of an uncompressed tar file.

    Args:
        read: gives the bytes of the archive.
        size: its length in bytes.
        later: gives them when a member is read, from any thread; ``read`` by default.

    Raises:
        ValueError: with the reason (without the file's name), where not one member can be read.
    """
    walk, damage = _Walk(read, size), ""
    try:
        walk.run()
    except _DamageError as error:
        pictures = sum(is_picture(member.name) for member in walk.files)
        damage = f"the archive is damaged after {pictures} pictures, and what may follow is not read: {error}"
        if not walk.files:
            raise ValueError(str(error)) from error
    walk.resolve()

    source = later or read

    def content(member: Member) -> bytes:
        packed = _filled(source, size, member) if member.sparse else source(member.place, member.size)
        if len(packed) < member.size and not member.sparse:
            raise ValueError(f"the archive ends after {len(packed)} of {member.size} bytes")
        return packed

    joined = (f"archives joined end to end, all of them read: {walk.joined}",) * (walk.joined > 1)
    return Contents(tuple(walk.files), content, damage, joined)


def _filled(read: Bytes, size: int, member: Member) -> bytes:
    """Return the content of a member that is stored with holes, its zeros filled in."""
    handle = io.BytesIO(read(member.place, min(size - member.place, member.size + 2 * MOST_WORDS)))
    with tarfile.open(fileobj=handle, mode="r:") as archive:
        info = archive.next()
        if info is None or info.size > MOST_BYTES:
            raise ValueError(f"{0 if info is None else info.size} bytes are too many for one picture")
        file = archive.extractfile(info)
        return b"" if file is None else file.read()


def _linked(name: str, target: str, member: Member | None) -> Member:
    """Return the member of a link: the content of its target under its own name."""
    if target.startswith(("/", "../")) or target == "..":
        return Member(
            name, 0, 0, f"a link to {quoted(target, 80)}, outside of the archive; links are not followed there"
        )
    if member is None:
        return Member(name, 0, 0, f"a link to {quoted(target, 80)}, which is no file of the archive")
    return replace(member, name=name)


def _padded(size: int) -> int:
    return -(-size // BLOCK) * BLOCK


def _size(info: tarfile.TarInfo, words: dict[str, str], position: int) -> int:
    size = info.size
    if "size" in words:
        size = int(words["size"]) if words["size"].isdecimal() and len(words["size"]) < 20 else -1
    if size < 0:
        raise _DamageError(f"the header at byte {position} states a size that is no size")
    return size


def _text(content: bytes) -> str:
    return content.split(b"\0", 1)[0].decode("utf-8", "surrogateescape")


def _fields(content: bytes, position: int) -> dict[str, str]:
    """Return the fields of a pax header: lines ``LENGTH NAME=VALUE``, where LENGTH is that of the whole line."""
    fields: dict[str, str] = {}
    rest = content
    while rest and not (fields and not any(rest)):  # some writers fill up with zeros
        digits, blank, _ = rest[:24].partition(b" ")
        length = int(digits) if blank and digits.isdigit() else 0
        line = rest[len(digits) + 1 : length]
        name, equals, value = line[:-1].partition(b"=")
        if length > len(rest) or not equals or line[-1:] != b"\n":
            raise _DamageError(f"what is said about the member at byte {position} is damaged")
        fields[name.decode("utf-8", "surrogateescape")] = value.decode("utf-8", "surrogateescape")
        rest = rest[length:]
    return fields
