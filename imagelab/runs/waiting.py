"""Candidates that wait until people have decided: a curation by people stops the run before it publishes.

    RUN/waiting/gen-003/          request.json candidates.npy model/ train.jsonl
    RUN/audits/keep-….jsonl       the decisions of one person each (imagelab audit RUN)

The run stops after a generation's model is trained and its candidates are drawn. All of that is kept in ``waiting``, so
that nothing is trained again. When the run is resumed, the decisions are looked up by the SHA-256 of the candidates
that were shown, so that a decision can only be used for the images that it was made about. They become part of the
shard (curation.json, curation.npz), and the waiting folder is removed when the shard is committed.
"""

from __future__ import annotations

import hashlib
import json
import os
import shlex
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ..generators import Interrupted
from ..io.answers import GivenAnswer, read_answers
from ..io.atomic import folder_made_whole
from ..io.manifest import checked, file_digest, files_in, is_folder, read_object, with_checksum
from ..io.pictures import read_npy
from ..io.untrusted import quoted, shown
from .shard_files import write_npy

if TYPE_CHECKING:
    from ..generators import Generator, Model, RunContext

__all__ = [
    "AUDITS",
    "WAITING",
    "AwaitsDecisions",
    "Decided",
    "Waiting",
    "Waits",
    "decided",
    "pretended",
    "settle",
    "taken_up",
    "waiting_shards",
]

AUDITS = "audits"
"""Folder of a run that holds the answers of people."""

WAITING = "waiting"
"""Folder of a run that holds candidates until people have decided."""
REQUEST = "request.json"
KEPT_WITH = ("model", "train.jsonl")
"""What of a partial shard is kept beside the candidates, so that resuming trains nothing again."""


class AwaitsDecisions(Interrupted):
    """The run cannot go on before people have decided which candidates are published; all of its work is kept."""


class Waits:
    """Lets every line of a generation ask before the run stops: ``with waits: make(...)``, then :meth:`check`."""

    def __init__(self) -> None:
        self.heard: list[AwaitsDecisions] = []

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: object) -> bool:
        if isinstance(error, AwaitsDecisions):
            self.heard.append(error)
        return isinstance(error, AwaitsDecisions)

    def check(self, root: Path) -> None:
        """Raise AwaitsDecisions where a line of the run in this folder has asked, with what to do."""
        if self.heard:
            run = shlex.quote(shown(root))
            advice = f"All work is kept. Decide: imagelab audit {run}\nThen go on: imagelab resume {run}"
            raise AwaitsDecisions("\n".join([*map(str, self.heard), advice]))


@dataclass(frozen=True, eq=False)
class Waiting:
    """Candidates that wait for decisions.

    Attributes:
        generation: which they are of.
        line: which model drew them.
        images: uint8 [M,C,H,W], all of them.
        looked: int64 [L], the rows that people decide about.
        publish: (how many are published, M).
        digest: SHA-256 of place, images and rows, which the decisions carry.
    """

    generation: int
    line: int
    images: np.ndarray
    looked: np.ndarray
    publish: tuple[int, int]
    digest: str


@dataclass(frozen=True, eq=False)
class Decided:
    """What people have decided about the candidates of one generation.

    Attributes:
        shares: float64 [M], the share of the people who keep a candidate; NaN where nobody looked.
        record: the decisions as curation.json holds them.
        looks: how many decisions were made, all people together.
        seconds: how long they took.
    """

    shares: np.ndarray
    record: dict[str, Any]
    looks: int
    seconds: float


def decided(shard: Path, images: np.ndarray, rows: np.ndarray, n: int, place: tuple[int, int, str]) -> Decided:
    """Return the decisions about these candidates.

    Args:
        shard: the partial shard, whose model is kept where the run has to wait.
        images: the candidates, uint8 [M,C,H,W].
        rows: int64 [L], those that people look at.
        n: how many are published.
        place: (generation, line, name of the model).

    Raises:
        AwaitsDecisions: if nobody has finished deciding; the candidates then wait in the run folder.
        ValueError: if a file of decisions about them was changed.
    """
    root, (generation, line, label) = shard.parent, place
    digest = _digest(images, rows, generation, line)
    people = _finished(root, digest, rows)
    if not people:
        _hold(shard, images, rows, n, (generation, line), digest)
        raise AwaitsDecisions(f"generation {generation}, {label}: {len(rows)} candidates wait for decisions")
    votes = np.zeros(len(images))
    record, looks, seconds = [], 0, 0.0
    for rater, order, answers in people:
        for row, answer in zip(order, answers, strict=True):
            keep = answer.word == "keep"
            votes[row] += keep
            looks, seconds = looks + 1, seconds + answer.seconds
            record.append(
                {"rater": rater, "row": row, "keep": keep, "seconds": round(answer.seconds, 3), "at": answer.at}
            )
    shares = np.full(len(images), np.nan)
    shares[rows] = votes[rows] / len(people)
    told = {"raters": [rater for rater, _, _ in people], "candidates_sha256": digest, "decisions": record}
    return Decided(shares, told, looks, seconds)


def pretended(count: int, rows: np.ndarray) -> np.ndarray:
    """Return decisions to try a curation with before people are asked: every other one is kept, float64 [count].

    Args:
        count: candidates.
        rows: those that people would look at; the others are NaN.
    """
    judged = np.full(count, np.nan)
    judged[rows] = np.arange(len(rows)) % 2
    return judged


def waiting_shards(root: Path) -> list[Waiting]:
    """Return the candidates of a run that wait for decisions, in order of generation and line.

    Args:
        root: the run folder.

    Raises:
        ValueError: naming the file, if one is missing or was changed.
    """
    folder = root / WAITING
    if not is_folder(folder):
        return []
    found = [
        _waiting(child) for child in sorted(folder.iterdir()) if child.name.startswith("gen-") and is_folder(child)
    ]
    return sorted((each for each in found if each), key=lambda each: (each.generation, each.line))


def taken_up(shard: Path, recipe: Generator, context: RunContext) -> tuple[Model, np.ndarray] | None:
    """Return the model and the candidates that wait for this partial shard, copied into it; None where none do.

    Args:
        shard: the partial shard, empty.
        recipe: of the model.
        context: device and batch.
    """
    place = _place(shard)
    if not is_folder(place):
        return None
    waiting = _waiting(place)
    if waiting is None:
        return None
    shutil.copytree(place / "model", shard / "model", symlinks=True)
    shutil.copyfile(place / "train.jsonl", shard / "train.jsonl", follow_symlinks=False)
    return recipe.load(shard / "model", context), np.array(waiting.images)


def settle(shard: Path) -> None:
    """Remove the candidates that waited for a shard which is committed now; those that were kept are in it."""
    place = _place(shard)
    if is_folder(place):
        shutil.rmtree(place, ignore_errors=True)


def _place(shard: Path) -> Path:
    """Return where the candidates of a shard, partial or not, wait."""
    return shard.parent / WAITING / shard.name.removesuffix(".partial")


def _hold(shard: Path, images: np.ndarray, rows: np.ndarray, n: int, place: tuple[int, int], digest: str) -> None:
    """Keep a trained model and its candidates until people have decided; nothing where they wait already."""
    target = _place(shard)
    if os.path.lexists(target):
        there = _waiting(target)
        if there is not None and there.digest == digest:
            return
        shutil.rmtree(target)
    with folder_made_whole(target) as partial:
        for name in KEPT_WITH:
            source = shard / name
            if source.is_dir():
                shutil.copytree(source, partial / name)
            else:
                shutil.copyfile(source, partial / name)
        write_npy(partial / "candidates.npy", images)
        files = {
            path.relative_to(partial).as_posix(): file_digest(path)
            for path in sorted(partial.rglob("*"))
            if path.is_file()
        }
        request = {
            "generation": place[0],
            "line": place[1],
            "publish": n,
            "looked": [int(row) for row in rows],
            "digest": digest,
            "files": files,
        }
        (partial / REQUEST).write_text(json.dumps(with_checksum(request), indent=1) + "\n", encoding="utf-8")


def _waiting(place: Path) -> Waiting | None:
    """Return what waits in a folder, after comparing every file; None where its shard is finished already."""
    path = place / REQUEST
    told = checked(read_object(path), path)
    final = place.parent.parent / place.name
    if is_folder(final):
        return None
    try:
        listed = {REQUEST, *map(str, told["files"])}
        for foreign in sorted(set(files_in(place)) - listed):
            raise ValueError(f"{shown(place / foreign)}: was not written by the run. Remove it.")
        for name, digest in told["files"].items():
            file = place / str(name)
            inside = not Path(str(name)).is_absolute() and ".." not in Path(str(name)).parts
            if not inside or file.is_symlink() or file_digest(file) != digest:
                raise ValueError(f"{shown(file)}: was changed since it was written (its SHA-256 differs)")
        images = read_npy(place / "candidates.npy")
        rows = np.array(told["looked"], np.int64)
        generation, line = int(told["generation"]), int(told["line"])
        found = _digest(images, rows, generation, line)
        publish = int(told["publish"]), len(images)
    except (KeyError, TypeError, AttributeError, OverflowError) as error:
        raise ValueError(f"{shown(path)}: not a request for decisions ({quoted(repr(error), 80)})") from error
    if found != told.get("digest"):
        raise ValueError(f"{shown(path)}: its candidates were changed. Remove {shown(place)}, and resume the run.")
    return Waiting(generation, line, images, rows, publish, found)


def _digest(images: np.ndarray, rows: np.ndarray, generation: int, line: int) -> str:
    told = json.dumps([generation, line, list(images.shape), [int(row) for row in rows]])
    return hashlib.sha256(told.encode() + np.ascontiguousarray(images).tobytes()).hexdigest()


def _finished(root: Path, digest: str, rows: np.ndarray) -> list[tuple[str, list[int], Sequence[GivenAnswer]]]:
    """Return (rater, rows in the order in which they were shown, answers) of everybody who has decided about all."""
    found: dict[str, tuple[list[int], Sequence[GivenAnswer]]] = {}
    folder = root / AUDITS
    for path in sorted(folder.glob("keep-*.jsonl")) if is_folder(folder) else ():
        header, answers = read_answers(path)
        try:
            plan, rater = header["plan"], quoted(header["rater"], 60)
            if plan["asked"]["waiting"] != digest or len(answers) < len(rows):
                continue
            order = [int(row) for _, _, row in plan["shown"]]
        except (KeyError, TypeError, ValueError) as error:
            raise ValueError(f"{shown(path)}: not a file of decisions ({quoted(repr(error), 80)})") from error
        if sorted(order) != rows.tolist() or len(answers) != len(rows):
            raise ValueError(f"{shown(path)}: not the decisions about these {len(rows)} candidates. Remove it.")
        if rater in found:
            raise ValueError(f"{shown(path)}: {rater} has decided twice. Remove one of the two files.")
        found[rater] = order, answers
    return [(rater, order, answers) for rater, (order, answers) in found.items()]
