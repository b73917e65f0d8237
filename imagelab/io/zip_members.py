"""The members of a zip file: what its directory lists, compared with what the file holds.

The directory at the end of a zip file is only a list, and may be wrong: cut, joined to another archive, or with sizes
that are not true. Members that it does not list, that share their bytes, are encrypted or are packed in a way that
cannot be read are named. A member is unpacked in memory, never beyond the size that is stated for it, and its checksum
is compared.
"""

from __future__ import annotations

import bz2
import lzma
import struct
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from .members import Contents, Member
from .tar_members import MOST_BYTES
from .untrusted import check_unpacked, quoted, shown

__all__ = ["zip_members"]

LOCAL = b"PK\x03\x04"
END = b"PK\x05\x06"
LOCAL_BYTES = 30
END_BYTES = 22
LISTED = 3  # reasons told one by one
SLACK = 24  # bytes of sizes and checksum that may follow a member
TAIL = (1 << 16) + END_BYTES
ENCRYPTED, UTF8 = 0x1, 0x800  # flags of a member
LZMA_PROPERTIES = 5
NAMES = {9: "Deflate64", 12: "bzip2", 14: "LZMA", 93: "Zstandard", 95: "XZ", 98: "PPMd", 99: "AES encryption"}


def zip_members(path: Path) -> Contents:
    """Return the members of a zip file, sorted by name.

    Raises:
        ValueError: naming the file, if it is no zip file.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            everything, directory = archive.infolist(), archive.start_dir
        damage = _damage(path, everything, directory)
    except Exception as error:  # also an OSError for a place that no file has
        raise ValueError(f"{shown(path)}: not a whole zip file ({quoted(error)})") from error
    infos = [info for info in everything if not info.filename.endswith("/")]  # a damaged name may be empty
    infos.sort(key=lambda info: info.filename)
    overlapping = _overlapping(infos)
    members = tuple(
        Member(info.filename, info.file_size, row, _refused(info) or overlapping.get(row, ""))
        for row, info in enumerate(infos)
    )
    try:
        check_unpacked(path.stat().st_size, sum(m.size for m in members if not m.refused and m.size <= MOST_BYTES))
    except ValueError as error:
        raise ValueError(f"{shown(path)}: by the sizes of its members, {error}") from error

    def content(member: Member) -> bytes:
        return _unpacked(path, infos[member.place])

    return Contents(members, content, damage)


def _refused(info: zipfile.ZipInfo) -> str:
    """Return why a member cannot be read; "" where it can."""
    if info.flag_bits & ENCRYPTED:
        return "is encrypted; unpack the archive with its password"
    if info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA):
        name = NAMES.get(info.compress_type, "unknown")
        return f"is packed with method {info.compress_type} ({name}), which cannot be read here; unpack the archive"
    return ""


def _overlapping(infos: list[zipfile.ZipInfo]) -> dict[int, str]:
    """Return the rows of members whose bytes belong to an earlier member as well, with the reason."""
    found: dict[int, str] = {}
    end, before = 0, ""
    for row in sorted(range(len(infos)), key=lambda row: infos[row].header_offset):
        info = infos[row]
        if info.header_offset < end:
            found[row] = (
                f"shares its bytes with {quoted(before, 80)}: the archive is damaged or made to unfold without end"
            )
            continue
        end, before = info.header_offset + LOCAL_BYTES + info.compress_size, info.filename
    return found


def _damage(path: Path, infos: list[zipfile.ZipInfo], directory: int) -> str:
    """Return what the directory of an archive leaves out, or in what it contradicts itself; "" where it is right."""
    reasons: list[str] = []
    with path.open("rb") as file:
        size = file.seek(0, 2)
        begin = max(0, size - TAIL)
        file.seek(begin)
        tail = file.read()
        place = tail.rfind(END)
        record = tail[place : place + END_BYTES]
        if place >= 0 and len(record) == END_BYTES:
            stated, comment = struct.unpack("<H", record[10:12])[0], struct.unpack("<H", record[20:22])[0]
            if stated not in (len(infos) & 0xFFFF, 0xFFFF):
                reasons.append(f"its directory states {stated} members and lists {len(infos)}")
            after = size - (begin + place + END_BYTES + comment)
            if after > 0:
                reasons.append(f"{after} bytes follow its end")
        reasons += _unlisted(file, infos, directory)
    more = f" and {len(reasons) - LISTED} more of this kind" * (len(reasons) > LISTED)
    return f"the archive is damaged: {'; '.join(reasons[:LISTED])}{more}" if reasons else ""


def _unlisted(file: BinaryIO, infos: list[zipfile.ZipInfo], directory: int) -> Iterator[str]:
    """Yield what the headers of the members say against the directory: one they do not fit, one that it lacks."""
    end = 0
    for info in [*sorted(infos, key=lambda info: info.header_offset), None]:
        start = directory if info is None else info.header_offset
        if start > end:
            file.seek(end)
            if LOCAL in file.read(min(start - end, SLACK + len(LOCAL))):
                yield f"from byte {end} on it holds members that its directory does not list (was it joined or cut?)"
        if info is not None:
            length, reason = _header(file, info)
            if reason:
                yield f"{quoted(info.filename, 80)} {reason}"
            end = max(end, start + length + info.compress_size)


def _header(file: BinaryIO, info: zipfile.ZipInfo) -> tuple[int, str]:
    """Return how long the header of a member is, and in what it contradicts the directory; "" where they agree."""
    file.seek(info.header_offset)
    header = file.read(LOCAL_BYTES)
    if header[:4] != LOCAL or len(header) < LOCAL_BYTES:
        return LOCAL_BYTES, "is not where the directory of the archive says"
    name, extra = struct.unpack("<HH", header[26:30])
    spelled = file.read(name).decode("utf-8" if info.flag_bits & UTF8 else "cp437", "replace")
    differs = "has another name than the directory of the archive says" * (spelled != info.orig_filename)
    return LOCAL_BYTES + name + extra, differs


def _unpacked(path: Path, info: zipfile.ZipInfo) -> bytes:
    """Return the content of a member, at most as many bytes as are stated for it.

    Raises:
        ValueError: with the reason, if it is damaged or states more bytes than a picture may have.
    """
    if max(info.file_size, info.compress_size) > MOST_BYTES:
        raise ValueError(f"{max(info.file_size, info.compress_size):,} bytes are too many for one picture")
    with path.open("rb") as file:
        length, reason = _header(file, info)
        if reason:
            raise ValueError(reason)
        file.seek(info.header_offset + length)
        packed = file.read(info.compress_size)
    if len(packed) < info.compress_size:
        raise ValueError(f"is cut after {len(packed)} of {info.compress_size} bytes")
    content = _decoded(packed, info)
    if len(content) != info.file_size:
        more = " or more" * (len(content) > info.file_size)
        raise ValueError(f"unpacks to {len(content)}{more} bytes, and its directory states {info.file_size}")
    if zlib.crc32(content) != info.CRC:
        raise ValueError("is damaged: its checksum is wrong")
    return content


def _decoded(packed: bytes, info: zipfile.ZipInfo) -> bytes:
    """Unpack a member to at most one byte more than is stated for it."""
    most = info.file_size + 1
    if info.compress_type == zipfile.ZIP_STORED:
        return packed[:most]
    if info.compress_type == zipfile.ZIP_DEFLATED:
        return zlib.decompressobj(-zlib.MAX_WBITS).decompress(packed, most)
    if info.compress_type == zipfile.ZIP_BZIP2:
        return bz2.BZ2Decompressor().decompress(packed, most)
    length = struct.unpack("<H", packed[2:4])[0]
    if length != LZMA_PROPERTIES:
        raise ValueError("is damaged: its LZMA header is of another length")
    form, dictionary = struct.unpack("<BI", packed[4 : 4 + length])
    if dictionary > MOST_BYTES:
        raise ValueError(f"needs {dictionary:,} bytes of memory to be unpacked, more than the limit of {MOST_BYTES:,}")
    one: dict[str, int] = {"id": lzma.FILTER_LZMA1, "dict_size": dictionary}
    one |= {"lc": form % 9, "lp": form // 9 % 5, "pb": form // 45}
    return lzma.LZMADecompressor(lzma.FORMAT_RAW, filters=[one]).decompress(packed[4 + length :], most)
