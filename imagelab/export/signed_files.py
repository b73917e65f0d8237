"""The picture files of an export: their marks, and their signatures where they are asked for."""

from __future__ import annotations

import io
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from ..data import DATASETS
from ..io.marks import Origin, png_marks
from ..io.untrusted import shown
from ..provenance.keys import SigningKey
from ..provenance.signatures import SIDE
from ..provenance.signing import sign_detached, signed_content
from ..run_folder import RunFolder

__all__ = ["exported_png", "origin_in", "sign_others", "signed_png"]

STATED = ("run", "signature", "generation", "line", "row", "noise_seed", "trained_on")
"""What of the facts about a picture is signed with it."""


def origin_in(store: RunFolder, generation: int) -> Origin | None:
    """Return how the pictures of a generation came about; None for real ones that somebody gave to the run."""
    kind = (store.config["experiment"].get("data") or {}).get("kind")
    drawn = isinstance(kind, str) and kind in DATASETS and DATASETS[kind].drawn
    return "model" if generation else "drawn" if drawn else None


def exported_png(pixels: np.ndarray, facts: Mapping[str, Any], origin: Origin | None) -> bytes:
    """Return a picture as a PNG file with its marks.

    Args:
        pixels: uint8 [H,W,C].
        facts: what is known about it; written as JSON under the keyword ``imagelab``.
        origin: how it came about; None claims nothing.
    """
    file = io.BytesIO()
    marks = png_marks(origin, imagelab=json.dumps(facts, ensure_ascii=False))
    Image.fromarray(pixels if pixels.shape[2] == 3 else pixels[:, :, 0]).save(file, "PNG", pnginfo=marks)
    return file.getvalue()


def signed_png(png: bytes, name: str, facts: Mapping[str, Any], origin: Origin | None, key: SigningKey) -> bytes:
    """Return a PNG file with its signature; see :func:`~imagelab.provenance.signing.sign_picture`."""
    record = {entry: facts[entry] for entry in STATED if entry in facts}
    return signed_content(png, f"{name}.png", origin, {**record, "pixel_sha256": facts["sha256"]}, key)


def sign_others(folder: Path, store: RunFolder, generation: int, line: int, key: SigningKey) -> None:
    """Write a detached signature beside every file of an export that is no PNG file."""
    record: dict[str, Any] = {"run": shown(store.path.name), "signature": store.config["signature"]}
    record |= {"generation": generation, "line": line}
    if generation:
        record["trained_on"] = store.pool(generation, line).digest()
    for path in sorted(folder.rglob("*")):
        if path.is_file() and path.suffix not in (".png", SIDE):
            sign_detached(path, record, key)
