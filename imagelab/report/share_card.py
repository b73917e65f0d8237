"""What a page says of itself: the picture and the words of a shared link, the date and the digest of its data."""

from __future__ import annotations

import base64
import hashlib
import io
from datetime import UTC, datetime

import numpy as np
from PIL import Image

from ..images import tile
from .palette import LIGHT
from .run_view import Run

__all__ = ["card_picture", "data_stamp", "icon"]

CARD_COLUMNS, CARD_SIDE = 4, 128  # pictures in a row of the card, and the least side of a picture in px


def icon() -> str:
    """Return the icon of a page, three freckles fading, as an SVG data URI."""
    dots = "".join(
        f"<circle cx='{x}' cy='{y}' r='{r}' fill='white'/>" for x, y, r in ((5, 5, 1.6), (11, 8, 1.1), (6, 12, 0.6))
    )
    accent = LIGHT.accent.replace("#", "%23")
    drawn = (
        f"<svg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 16 16'>"
        f"<rect width='16' height='16' fill='{accent}'/>{dots}</svg>"
    )
    return "data:image/svg+xml," + drawn.replace("<", "%3C").replace(">", "%3E")


def card_picture(run: Run) -> str:
    """Return the first and the last pictures of a run as a small PNG, as a data URI; "" if there are none.

    Real images are above, the last generation is below; pixels are enlarged by whole numbers.
    """
    pictures = run.pictures(run.leading)
    if not pictures:
        return ""
    ends = [pictures[generation][:CARD_COLUMNS] for generation in dict.fromkeys((min(pictures), max(pictures)))]
    scale = max(1, CARD_SIDE // ends[0].shape[2])
    rows = np.concatenate([tile(images, CARD_COLUMNS, scale, 4) for images in ends])
    file = io.BytesIO()
    Image.fromarray(rows).save(file, "PNG", optimize=True)
    return "data:image/png;base64," + base64.b64encode(file.getvalue()).decode()


def data_stamp(run: Run) -> tuple[str, str]:
    """Return the date (UTC) on which a run was last measured, and the SHA-256 of its measurements.

    The digest is over the measurements as text, one in a line, in the order in which the run folder holds them.
    """
    digest = hashlib.sha256("".join(m.to_json() + "\n" for m in run.each).encode()).hexdigest()
    files = [
        run.store.file(*shard, "metrics.jsonl") for shard in run.shards if run.store.has_file(*shard, "metrics.jsonl")
    ] or [run.folder / "config.json"]
    newest = max(path.stat().st_mtime for path in files)
    return datetime.fromtimestamp(newest, UTC).date().isoformat(), digest
