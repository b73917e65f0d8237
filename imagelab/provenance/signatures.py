"""Signatures of files in the form of C2PA: read from a picture, or from a file NAME.c2pa beside any other file.

A valid signature says that the bytes are those that were signed, and by which key. Whose key it is says only a list of
keys that the reader trusts: here the user's own key and those named by the user. Nothing is ever fetched: references to
manifests on the network and OCSP are off, because a file that is looked at must not be able to call anybody.

Needs c2pa-python, the extra ``sign``; :func:`can_verify` says whether it is installed.

References:
    C2PA Technical Specification 2.2 (Coalition for Content Provenance and Authenticity, 2025).
"""

from __future__ import annotations

import importlib.util
import io
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from .._version import __version__
from ..io.untrusted import quoted, regular, shown

__all__ = ["HOW_TO_INSTALL", "SIDE", "Signature", "can_verify", "mime_of", "settings_of", "side_file", "verify"]

HOW_TO_INSTALL = "pip install 'imagelab-collapse[sign]'"
"""The command that installs what signatures need."""

SIDE = ".c2pa"
"""What a detached signature's name adds to the name of its file."""

MOST_BYTES = 1 << 28
"""Bytes of a file up to which its signature is checked."""

LEDGER = "org.imagelab.ledger"
"""Label of the assertion that says where a file comes from."""

_HEADS = (
    (0, b"\x89PNG\r\n\x1a\n", "image/png"),
    (0, b"\xff\xd8\xff", "image/jpeg"),
    (8, b"WEBP", "image/webp"),
    (0, b"GIF8", "image/gif"),
    (0, b"II*\0", "image/tiff"),
    (0, b"MM\0*", "image/tiff"),
    (4, b"ftypavif", "image/avif"),
    (4, b"ftypheic", "image/heic"),
    (4, b"ftypmif1", "image/heif"),
)
_NO_SIGNATURE = ("ManifestNotFound", "no JUMBF data found")


@dataclass(frozen=True)
class Signature:
    """What the signature of a file says.

    Attributes:
        state: "trusted": valid, by a key that the reader trusts. "valid": by another key. "invalid": not what was
            signed, or damaged. "elsewhere": the file only names an address where a statement lies; nothing is fetched.
        signer: the name in the certificate; anybody can write any name into a certificate of their own.
        detached: whether it lies in a file of its own.
        origin: IPTC address of the source type that the signer states; "" if none.
        record: what the signer states about the place of the file in a run of imagelab.
        failures: what does not fit: (code of C2PA, explanation).
        covered: byte ranges (first, last + 1) of the file that the signature covers; those left out hold it, and its
            empty space, in which a byte can change unnoticed.
        address: where the statement lies; "" unless it lies elsewhere.
    """

    state: Literal["trusted", "valid", "invalid", "elsewhere"]
    signer: str = ""
    detached: bool = False
    origin: str = ""
    record: Mapping[str, Any] = field(default_factory=dict)
    failures: tuple[tuple[str, str], ...] = ()
    covered: tuple[tuple[int, int], ...] = ()
    address: str = ""

    @property
    def reason(self) -> str:
        """Why it is invalid, as a sentence; "" if it is not."""
        if self.state != "invalid":
            return ""
        codes = {code for code, _ in self.failures}
        if "assertion.dataHash.mismatch" in codes:
            if self.detached:
                return "The file is not the one that was signed: at least one byte of it was changed."
            ranges = " or ".join(f"{first:,} to {last - 1:,}" for first, last in self.covered)
            return f"The picture is not the one that was signed: something in its bytes {ranges} was changed."
        if "assertion.hashedURI.mismatch" in codes or "claimSignature.mismatch" in codes:
            return "The signed statement itself was changed; the picture's own bytes may be whole."
        why = "; ".join(f"{code}: {words}" for code, words in self.failures[:3])
        return f"The signature cannot be verified ({quoted(why, 200)})."


def can_verify() -> bool:
    """Return whether c2pa-python is installed."""
    return importlib.util.find_spec("c2pa") is not None


def mime_of(head: bytes) -> str:
    """Return the media type of a picture from its first bytes; "application/octet-stream" where it is none."""
    return next((mime for at, mark, mime in _HEADS if head[at : at + len(mark)] == mark), "application/octet-stream")


def side_file(path: Path) -> Path:
    """Return where the detached signature of a file lies."""
    return path.with_name(path.name + SIDE)


def settings_of(anchors: Sequence[str] = ()) -> dict[str, Any]:
    """Return the settings of c2pa: no network, no thumbnails, and certificates (PEM) that are trusted."""
    trust = {"user_anchors": "\n".join(anchors)} if anchors else {}
    return {
        "builder": {
            "thumbnail": {"enabled": False},
            "claim_generator_info": {"name": "imagelab", "version": __version__},
        },
        "verify": {"remote_manifest_fetch": False, "ocsp_fetch": False, "verify_after_sign": False},
        **({"trust": trust} if trust else {}),
    }


def verify(path: Path, anchors: Sequence[str] = ()) -> Signature | None:
    """Return the signature of a file, in it or beside it; None where there is none.

    Args:
        path: the file.
        anchors: certificates, PEM, of the keys that are trusted.

    Raises:
        ValueError: if c2pa-python is not installed, or the file cannot be read or is larger than 268 MB.
    """
    if not can_verify():
        raise ValueError(f"signatures need c2pa-python: {HOW_TO_INSTALL}")
    for file in (path, side_file(path)):
        if file.exists() and regular(file).st_size > MOST_BYTES:
            raise ValueError(f"{shown(file)}: signatures are checked up to {MOST_BYTES:,} bytes")
    content = path.read_bytes()
    mime, side = mime_of(content[:16]), side_file(path)
    if mime != "application/octet-stream" and (found := _verified(mime, content, None, anchors)):
        return found
    return _verified(mime, content, side.read_bytes(), anchors) if side.is_file() else None


def _verified(mime: str, content: bytes, side: bytes | None, anchors: Sequence[str]) -> Signature | None:
    from c2pa import C2paError, Context, Reader

    try:
        with Context.from_dict(settings_of(anchors)) as context:
            reader = Reader.try_create(mime, io.BytesIO(content), manifest_data=side, context=context)
            if reader is None:
                return None
            with reader:
                told, details = json.loads(reader.json()), json.loads(reader.detailed_json())
    except C2paError as error:
        text = str(error)
        if text.startswith("Remote"):
            return Signature("elsewhere", address=quoted(text.rpartition(" ")[2], 120))
        if side is None and (any(words in text for words in _NO_SIGNATURE) or not _holds_manifest(content)):
            return None  # a damaged picture without a signature is the concern of the picture's reader
        return Signature("invalid", detached=side is not None, failures=(("unreadable", quoted(text, 200)),))
    return _signature(told, details, len(content), side is not None)


def _holds_manifest(content: bytes) -> bool:
    return b"jumb" in content and b"c2pa" in content


def _signature(told: Mapping[str, Any], details: Mapping[str, Any], size: int, detached: bool) -> Signature:
    active = str(told.get("active_manifest"))
    manifest: Mapping[str, Any] = told.get("manifests", {}).get(active, {})
    state = {"Trusted": "trusted", "Valid": "valid"}.get(str(told.get("validation_state")), "invalid")
    results = told.get("validation_results", {}).get("activeManifest", {}).get("failure", [])
    failures = tuple((quoted(each.get("code", ""), 80), quoted(each.get("explanation", ""), 120)) for each in results)
    info, record, origin = manifest.get("signature_info") or {}, {}, ""
    for assertion in manifest.get("assertions", []):
        data = assertion.get("data")
        if not isinstance(data, dict):
            continue
        if assertion.get("label") == LEDGER:
            record = {quoted(key, 40): quoted(value, 100) for key, value in list(data.items())[:20]}
        for action in data.get("actions", []) if str(assertion.get("label")).startswith("c2pa.actions") else []:
            origin = origin or quoted(action.get("digitalSourceType") or "", 120)
    name = " ".join(str(info[key]) for key in ("issuer", "common_name") if info.get(key))
    store = details.get("manifests", {}).get(active, {}).get("assertion_store", {})
    covered = _covered(store.get("c2pa.hash.data", {}).get("exclusions") or [], size)
    return Signature(state, quoted(name, 120), detached, origin, record, failures, covered)  # pyright: ignore[reportArgumentType]


def _covered(exclusions: Sequence[Mapping[str, Any]], size: int) -> tuple[tuple[int, int], ...]:
    """Return the ranges of a file that are not left out."""
    found, start = [], 0
    for part in sorted((int(each["start"]), int(each["length"])) for each in exclusions):
        found.append((start, min(part[0], size)))
        start = part[0] + part[1]
    return tuple(part for part in [*found, (start, size)] if part[0] < part[1])
