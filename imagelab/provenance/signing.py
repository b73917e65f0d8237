"""Signing of files with the user's own key, in the form of C2PA.

:func:`sign_picture` writes the signature into a picture, :func:`sign_detached` into a file NAME.c2pa beside any file.
The signed statement says how the file came about (IPTC source type), and where it lies in a run: run, generation, line,
row, noise seed, SHA-256 of its pixels, and the digest of the ledger of what its model was trained on. That ledger is
its one ingredient, with the relationship ``inputTo``: never one ingredient for each training picture.
"""

from __future__ import annotations

import io
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from .._version import __version__
from ..io.atomic import written_whole
from ..io.marks import SOURCE_TYPES, Origin
from ..io.untrusted import regular, shown
from .keys import SigningKey, own_key
from .signatures import HOW_TO_INSTALL, LEDGER, can_verify, mime_of, settings_of, side_file

__all__ = ["required_key", "sign_detached", "sign_picture", "signed_content"]

ANY = "application/octet-stream"


def required_key() -> SigningKey:
    """Return the user's key.

    Raises:
        ValueError: if there is none, or what signing needs is not installed; with what to do.
    """
    if not can_verify():
        raise ValueError(f"signing needs c2pa-python: {HOW_TO_INSTALL}")
    key = own_key()
    if key is None:
        raise ValueError("there is no signing key yet: imagelab key new")
    return key


def sign_picture(path: Path, origin: Origin | None, record: Mapping[str, Any], key: SigningKey | None = None) -> None:
    """Write a signature into a PNG, JPEG or WebP file; an older one in it becomes its ingredient.

    Args:
        path: the picture; it is replaced as a whole, or stays as it is.
        origin: how the picture came about; None where that is not known: it is then stated that it was there before.
        record: plain values that say where it lies in a run.
        key: the user's own key if not given.

    Raises:
        ValueError: if it is no such picture, or there is no key.
    """
    content = regular(path) and path.read_bytes()
    signed = signed_content(content, path.name, origin, record, key or required_key())
    with written_whole(path) as partial:
        partial.write_bytes(signed)


def signed_content(
    content: bytes, title: str, origin: Origin | None, record: Mapping[str, Any], key: SigningKey
) -> bytes:
    """Return the content of a picture file with a signature; see :func:`sign_picture`."""
    mime = mime_of(content[:16])
    if mime not in ("image/png", "image/jpeg", "image/webp"):
        raise ValueError(f"{shown(title)}: expected a PNG, JPEG or WebP file; other files get a detached signature")
    return _signed(content, mime, title, origin, record, key)[0]


def sign_detached(path: Path, record: Mapping[str, Any], key: SigningKey | None = None) -> Path:
    """Write the signature of a file that this program has written into NAME.c2pa beside it; see :func:`sign_picture`.

    It states the source type algorithmicMedia, of the file itself: a list or a table, not the pictures it tells of.

    Returns:
        The file with the signature.
    """
    regular(path)
    content, side = path.read_bytes(), side_file(path)
    mime = mime_of(content[:16])
    statement = _signed(content, mime, path.name, "drawn", record, key or required_key(), detached=True)[1]
    with written_whole(side) as partial:
        partial.write_bytes(statement)
    return side


def _signed(
    content: bytes,
    mime: str,
    title: str,
    origin: Origin | None,
    record: Mapping[str, Any],
    key: SigningKey,
    detached: bool = False,
) -> tuple[bytes, bytes]:
    """Return the signed content, and the statement alone."""
    from c2pa import Builder, C2paError, C2paSignerInfo, C2paSigningAlg, Context, Signer

    target = io.BytesIO()
    try:
        with Context.from_dict(settings_of([key.root])) as context:
            info = C2paSignerInfo(C2paSigningAlg.ES256, key.chain.encode(), key.private(), None)
            with Signer.from_info(info) as signer, Builder(_manifest(mime, title, origin, record), context) as builder:
                if detached:
                    builder.set_no_embed()
                statement = builder.sign(signer, mime, io.BytesIO(content), target)
    except C2paError as error:
        raise ValueError(f"{shown(title)}: cannot be signed ({str(error)[:200]})") from error
    return target.getvalue(), statement


def _manifest(mime: str, title: str, origin: Origin | None, record: Mapping[str, Any]) -> dict[str, Any]:
    agent = {"name": "imagelab", "version": __version__}
    action: dict[str, Any] = {"action": "c2pa.created", "softwareAgent": agent}
    ingredients: list[dict[str, Any]] = []
    if origin:
        action["digitalSourceType"] = SOURCE_TYPES[origin]
    else:  # C2PA asks for a source type of whatever is created; this was there before
        action |= {"action": "c2pa.opened", "parameters": {"ingredientIds": ["before"]}}
        before = {"title": "the file before it was signed", "format": mime, "relationship": "parentOf"}
        ingredients.append({**before, "instance_id": "imagelab:before", "label": "before"})
    if record.get("trained_on"):
        named = action.setdefault("parameters", {"ingredientIds": []})
        named["ingredientIds"].append("trained-on")
        ingredients.append(
            {
                "title": f"training set, ledger {record['trained_on']}",
                "format": "application/json",
                "relationship": "inputTo",
                "data_types": [{"type": "c2pa.types.dataset"}],
                "instance_id": f"imagelab:ledger:{record['trained_on']}",
                "label": "trained-on",
            }
        )
    return {
        "claim_generator_info": [agent],
        "title": os.fsencode(title).decode("utf-8", "replace"),
        "format": mime,
        "ingredients": ingredients,
        "assertions": [
            {"label": "c2pa.actions.v2", "data": {"actions": [action]}},
            {"label": LEDGER, "data": dict(record)},
        ],
    }
