"""Small pictures and tar files, to be damaged."""

from __future__ import annotations

import io
import tarfile
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

Members = Sequence[tuple[str, bytes]]


def picture_bytes(seed: int, form: str = "PNG") -> bytes:
    """A picture of random colours, 8 x 8."""
    file = io.BytesIO()
    Image.fromarray(np.random.default_rng(seed).integers(0, 256, (8, 8, 3), np.uint8)).save(file, form)
    return file.getvalue()


@pytest.fixture
def twelve() -> list[tuple[str, bytes]]:
    """Twelve pictures by their names."""
    return [(f"{i:03d}.png", picture_bytes(i)) for i in range(12)]


@pytest.fixture
def tar(tmp_path: Path) -> Callable[..., Path]:
    """A function that writes a tar file: (name, members, mode, format, links as (name, target, type))."""

    def write(
        name: str,
        members: Members,
        mode: str = "w",
        form: int = tarfile.PAX_FORMAT,
        links: Sequence[tuple[str, str, bytes]] = (),
    ) -> Path:
        with tarfile.open(str(tmp_path / name), mode, format=form) as archive:  # pyright: ignore[reportCallIssue, reportArgumentType]
            for member, content in members:
                info = tarfile.TarInfo(member)
                info.size = len(content)
                archive.addfile(info, io.BytesIO(content))
            for member, target, kind in links:
                info = tarfile.TarInfo(member)
                info.type, info.linkname = kind, target
                archive.addfile(info)
        return tmp_path / name

    return write
