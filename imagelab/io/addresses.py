"""Addresses of object storage, such as ``s3://bucket/runs``, where a folder of this machine is expected.

A run folder promises that each part is whole or not there. That rests on renaming folders, which object storage cannot
do at once, and on locks, which it does not have. So a run lives on a disk, and finished parts are copied.
"""

from __future__ import annotations

import re
from pathlib import Path

from .untrusted import quoted

__all__ = ["is_address", "refuse_address"]

_ADDRESS = re.compile(r"([A-Za-z][A-Za-z0-9+.-]+):/+")
_CHAINED = re.compile(r"[A-Za-z][A-Za-z0-9+.-]+::[A-Za-z]")


def is_address(place: str | Path) -> bool:
    """Return whether a place is an address, also where it went through :class:`~pathlib.Path`, which drops a slash.

    Example:
        >>> is_address("s3://bucket/runs"), is_address(Path("s3://bucket/runs")), is_address("runs/photocopy-1a2b3c4d")
        (True, True, False)
    """
    return bool(_ADDRESS.match(str(place)) or _CHAINED.match(str(place)))


def refuse_address(place: Path) -> Path:
    """Return a place on a disk; refuse an address of object storage in its stead.

    Raises:
        ValueError: with the two commands that copy a run to such a place and back.
    """
    if not is_address(place):
        return place
    address = quoted(_ADDRESS.sub(r"\1://", str(place), count=1), 200)
    raise ValueError(
        f"{address}: a run needs a folder on a disk; object storage can neither rename a folder nor lock it. Copy "
        f"finished generations to it with `imagelab push RUN {address}`, and a run from it with "
        f"`imagelab pull {address} FOLDER`."
    )
