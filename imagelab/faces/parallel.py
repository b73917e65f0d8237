"""Rendering many faces: orders, and the processes that share them.

An :class:`Order` names rows and the attributes assigned to them; what comes back depends on it alone, so any number of
processes gives the same bytes. Helpers are plain child interpreters that run this module, not a multiprocessing pool:
a spawned pool would run the caller's script again where it has no ``__main__`` guard. They start only for large orders,
and where one cannot start, the work is done here.
"""

from __future__ import annotations

import io
import json
import logging
import os
import subprocess
import sys
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np

from ..seeds import rng_at
from .freckles import Freckles, freckle_style, sample_freckles
from .latent import Face
from .rare import add_rare
from .render import Portrait, render
from .sample import sample_face

__all__ = ["Job", "draw", "draw_together", "pose", "record"]

_LOG = logging.getLogger(__name__)
_SHARE = 256
"""The most faces in one helper's order."""


@dataclass(frozen=True)
class Job:
    """Faces to draw.

    Attributes:
        size, freckle_look, supersample: as in ``Faces``.
        split, seed: whose faces.
        start: the first row; the others follow. rare: the names of each row's rare attributes. freckled: each row's.
    """

    size: int
    freckle_look: str
    supersample: int
    split: str
    seed: int
    start: int
    rare: tuple[tuple[str, ...], ...]
    freckled: tuple[bool, ...]

    def part(self, low: int, high: int) -> Job:
        """Return the order for entries low..high of this one."""
        return replace(self, start=self.start + low, rare=self.rare[low:high], freckled=self.freckled[low:high])


def record(split: str, seed: int, row: int, rare: Sequence[str]) -> Face:
    """Return the latent record of one face; each rare attribute draws its details from a stream of its own."""
    face = sample_face(rng_at(seed, f"faces/{split}", row=row))
    for name in rare:
        face = add_rare(face, name, rng_at(seed, f"faces/{split}/{name}", row=row))
    return face


def draw(order: Job, faces: Sequence[Face] | None = None) -> dict[str, np.ndarray]:
    """Draw all faces of an order, here.

    Args:
        order: which rows, and their attributes.
        faces: the order's records, where the caller has them already.

    Returns:
        images, uint8 [N,3,s,s]; counts, int64 [N], how many freckles each face has; freckles, float32 [sum counts,5];
        twins, uint8 [M,3,s,s], of the M faces with freckles only (the others are their own twins).
    """
    n = len(order.freckled)
    images = np.empty((n, 3, order.size, order.size), np.uint8)
    twins = np.empty((sum(order.freckled), *images.shape[1:]), np.uint8)
    lists: list[np.ndarray] = [np.zeros((0, 5), np.float32)]
    for i in range(n):
        face = faces[i] if faces is not None else record(order.split, order.seed, order.start + i, order.rare[i])
        portrait = pose(order, i, face)
        images[i] = portrait.image
        if order.freckled[i]:
            twins[sum(order.freckled[:i])] = portrait.twin
        lists.append(portrait.freckles)
    counts = np.array([len(entry) for entry in lists[1:]], np.int64)
    return {"images": images, "twins": twins, "freckles": np.concatenate(lists), "counts": counts}


def pose(order: Job, index: int, face: Face) -> Portrait:
    """Draw one face of an order, with all that is known of it."""
    row, freckles = order.start + index, Freckles.none()
    if order.freckled[index]:
        style = freckle_style(order.freckle_look, order.size)
        freckles = sample_freckles(rng_at(order.seed, f"faces/{order.split}/freckles", row=row), face.head, style)
    paint = rng_at(order.seed, f"faces/{order.split}/paint", row=row)
    return render(face, freckles, order.size, order.supersample, paint)


def draw_together(order: Job, processes: int, faces: Sequence[Face] | None = None) -> dict[str, np.ndarray]:
    """Draw an order with so many helper processes (1: none); the same arrays as :func:`draw`."""
    n = len(order.freckled)
    if processes <= 1:
        return draw(order, faces)
    share = min(_SHARE, -(-n // processes))
    parts = [order.part(low, min(low + share, n)) for low in range(0, n, share)]
    with ThreadPoolExecutor(processes) as crew:
        drawn = list(crew.map(_draw_in_helper, parts))
    return {key: np.concatenate([arrays[key] for arrays in drawn]) for key in drawn[0]}


def _draw_in_helper(order: Job) -> dict[str, np.ndarray]:
    root = str(Path(__file__).resolve().parents[2])
    inherited = os.environ.get("PYTHONPATH")
    path = os.pathsep.join([root, inherited] if inherited else [root])
    environment = {**os.environ, "PYTHONPATH": path, "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-m", "imagelab.faces.parallel"]
    try:
        done = subprocess.run(
            command, input=json.dumps(asdict(order)).encode(), capture_output=True, check=True, env=environment
        )
        with np.load(io.BytesIO(done.stdout), allow_pickle=False) as arrays:
            return {key: arrays[key] for key in arrays.files}
    except (OSError, ValueError, subprocess.CalledProcessError) as error:
        _LOG.warning("a helper process could not draw faces (%s); drawing them here", error)
        return draw(order)


def _serve() -> None:
    """Read one order as JSON from standard input, write its arrays as NPZ to standard output."""
    fields = json.loads(sys.stdin.buffer.read())
    fields["rare"] = tuple(tuple(names) for names in fields["rare"])
    fields["freckled"] = tuple(fields["freckled"])
    stream_out = io.BytesIO()
    np.savez(stream_out, allow_pickle=False, **draw(Job(**fields)))
    sys.stdout.buffer.write(stream_out.getvalue())


if __name__ == "__main__":
    _serve()
