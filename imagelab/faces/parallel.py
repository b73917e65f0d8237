"""Rendering many faces in several processes.

A :class:`Job` gives rows and the attributes assigned to them. Its result depends on the job only, so any number of
processes gives the same bytes. The worker processes are Python interpreters that run this module as a script. A
multiprocessing pool is not used: with the spawn method it runs the caller's script again if that has no ``__main__``
guard. If a worker cannot be started, its faces are drawn in this process.
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
from .freckles import Freckles, Style, freckle_style, sample_freckles
from .latent import Face
from .rare import add_rare
from .render import Portrait, render
from .sample import sample_face

__all__ = ["Job", "draw", "draw_together", "pose", "record"]

_LOG = logging.getLogger(__name__)
_SHARE = 256
"""Largest number of faces in the job of one worker."""


@dataclass(frozen=True)
class Job:
    """Faces to draw: consecutive rows of one split.

    Attributes:
        size: as in ``Faces``.
        freckle_look: as in ``Faces``.
        supersample: as in ``Faces``.
        split: name of the split.
        seed: seed of the dataset.
        start: the first row.
        rare: for each row, the names of its rare attributes.
        freckled: for each row, whether the face has freckles.
    """

    size: int
    freckle_look: Style
    supersample: int
    split: str
    seed: int
    start: int
    rare: tuple[tuple[str, ...], ...]
    freckled: tuple[bool, ...]

    def part(self, low: int, high: int) -> Job:
        """Return the job of the entries low to high - 1 of this job."""
        return replace(self, start=self.start + low, rare=self.rare[low:high], freckled=self.freckled[low:high])


def record(split: str, seed: int, row: int, rare: Sequence[str]) -> Face:
    """Return the latent record of one face; the details of each rare attribute have their own random stream."""
    face = sample_face(rng_at(seed, f"faces/{split}", row=row))
    for name in rare:
        face = add_rare(face, name, rng_at(seed, f"faces/{split}/{name}", row=row))
    return face


def draw(order: Job, faces: Sequence[Face] | None = None) -> dict[str, np.ndarray]:
    """Draw all faces of a job in this process.

    Args:
        order: the job.
        faces: the latent records of the job, if the caller has them already.

    Returns:
        "images": uint8 [N,3,s,s]. "counts": int64 [N], freckles of each face. "freckles": float32 [sum counts,5].
        "twins": uint8 [M,3,s,s], only of the M faces with freckles (for the others the twin is the image).
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
    """Draw entry ``index`` of a job; return the image with its twin, freckle list and skin map."""
    row, freckles = order.start + index, Freckles.none()
    if order.freckled[index]:
        style = freckle_style(order.freckle_look, order.size)
        freckles = sample_freckles(rng_at(order.seed, f"faces/{order.split}/freckles", row=row), face.head, style)
    paint = rng_at(order.seed, f"faces/{order.split}/paint", row=row)
    return render(face, freckles, order.size, order.supersample, paint)


def draw_together(order: Job, processes: int, faces: Sequence[Face] | None = None) -> dict[str, np.ndarray]:
    """Draw a job with several worker processes.

    Args:
        order: the job.
        processes: number of workers; 1 draws in this process.
        faces: the latent records, used only in this process.

    Returns:
        The same arrays as :func:`draw`.
    """
    n = len(order.freckled)
    if processes <= 1:
        return draw(order, faces)
    share = min(_SHARE, -(-n // processes))
    parts = [order.part(low, min(low + share, n)) for low in range(0, n, share)]
    with ThreadPoolExecutor(processes) as threads:  # each thread only waits for its worker process
        drawn = list(threads.map(_draw_in_worker, parts))
    return {key: np.concatenate([arrays[key] for arrays in drawn]) for key in drawn[0]}


def _draw_in_worker(order: Job) -> dict[str, np.ndarray]:
    root = str(Path(__file__).resolve().parents[2])
    inherited = os.environ.get("PYTHONPATH")
    path = os.pathsep.join([root, inherited] if inherited else [root])
    environment = {**os.environ, "PYTHONPATH": path, "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-m", "imagelab.faces.parallel"]
    try:
        finished = subprocess.run(
            command, input=json.dumps(asdict(order)).encode(), capture_output=True, check=True, env=environment
        )
        with np.load(io.BytesIO(finished.stdout), allow_pickle=False) as arrays:
            return {key: arrays[key] for key in arrays.files}
    except (OSError, ValueError, subprocess.CalledProcessError) as error:
        _LOG.warning("a worker process could not draw faces (%s); they are drawn in this process", error)
        return draw(order)


def _serve() -> None:
    """Read one job as JSON from standard input, and write its arrays as NPZ to standard output."""
    fields = json.loads(sys.stdin.buffer.read())
    fields["rare"] = tuple(tuple(names) for names in fields["rare"])
    fields["freckled"] = tuple(fields["freckled"])
    buffer = io.BytesIO()
    np.savez(buffer, allow_pickle=False, **draw(Job(**fields)))
    sys.stdout.buffer.write(buffer.getvalue())


if __name__ == "__main__":
    _serve()
