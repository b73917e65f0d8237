"""Which pictures an audit shows, and in which order: both follow from a seed.

The blind test shows as many real pictures as generated ones, so that chance is one half; the generated ones are spread
over the chosen generations as evenly as they can be. Real pictures are held-out ones, and where these do not suffice
reserve ones: none that a model of generation 1 was trained on, which a model could have copied. Everybody who uses the
same seed sees the same pictures in the same order, so that several people can be compared.

The keep-or-reject pass shows generated pictures of a finished run, or the candidates of a generation that waits for
decisions (runs/waiting.py).
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal, get_args

import numpy as np

from ..evaluation.chains import lines_of_chains
from ..images import spread_over
from ..io.pictures import read_npy
from ..io.untrusted import quoted, shown
from ..pool import REAL, RESERVE
from ..run_folder import RunFolder
from ..runs.waiting import Waiting
from ..seeds import rng_at

__all__ = ["ANSWERS", "Asked", "AuditPicture", "AuditPlan", "Task", "planned", "recorded", "stored_plan"]

Task = Literal["tell", "keep"]

ANSWERS: dict[Task, tuple[str, str]] = {"tell": ("real", "generated"), "keep": ("reject", "keep")}
"""Task -> what can be answered: the left key, the right key."""

MOST_PICTURES = 2000  # of one session: an hour or two of looking, and some tens of MB of memory
MOST_GENERATIONS = 4  # that the blind test takes by default: with 40 pictures, five of each

Source = Literal["heldout", "reserve", "images", "candidates"]
SOURCES = get_args(Source)


@dataclass(frozen=True)
class Asked:
    """What a person was asked to do; two sessions with the same values show the same pictures.

    Attributes:
        task: "tell" or "keep".
        pictures: how many.
        generations: which; empty for the default.
        line: which model.
        seed: of choice and order.
        waiting: digest of the candidates that wait for decisions; "" for pictures of a finished generation.
    """

    task: Task
    pictures: int
    generations: tuple[int, ...]
    line: int
    seed: int
    waiting: str = ""

    @property
    def name(self) -> str:
        """Eight hex digits that stand for these values in the name of a file."""
        return hashlib.sha256(repr(sorted(asdict(self).items())).encode()).hexdigest()[:8]


@dataclass(frozen=True)
class AuditPicture:
    """Where one picture of an audit comes from.

    Attributes:
        source: the file: held-out or reserve pictures of generation 0, images of a generation, waiting candidates.
        generation: 0 for real pictures.
        row: of the file.
    """

    source: Source
    generation: int
    row: int

    @property
    def is_real(self) -> bool:
        """Whether it is a real picture."""
        return self.generation == 0


@dataclass(frozen=True, eq=False)
class AuditPlan:
    """The pictures of an audit in the order in which they are shown.

    Attributes:
        asked: what the plan was made for.
        shown: where each picture comes from, N.
        images: uint8 [N,C,H,W].
        publish: where candidates wait for decisions, (how many are published, of how many candidates); else None.
    """

    asked: Asked
    shown: tuple[AuditPicture, ...]
    images: np.ndarray
    publish: tuple[int, int] | None = None

    def digest(self) -> str:
        """SHA-256 of all pictures in order, so that a session goes on with exactly these."""
        return hashlib.sha256(np.ascontiguousarray(self.images).tobytes()).hexdigest()

    def stored(self) -> dict[str, Any]:
        """Return the plan as plain values, without pictures."""
        return {
            "asked": asdict(self.asked) | {"generations": list(self.asked.generations)},
            "shown": [[each.source, each.generation, each.row] for each in self.shown],
            "pixels": self.digest(),
            "publish": None if self.publish is None else list(self.publish),
        }


def planned(folder: RunFolder, asked: Asked, waiting: Waiting | None = None) -> AuditPlan:
    """Return the pictures of a new audit.

    Args:
        folder: the run.
        asked: what is to be shown.
        waiting: the candidates, where ``asked.waiting`` names some.

    Raises:
        ValueError: if the run does not have such pictures.
    """
    rng = rng_at(asked.seed, f"audit {asked.task}", 0, asked.line)
    if waiting is not None:
        rows = rng.permutation(waiting.looked)
        chosen = [AuditPicture("candidates", waiting.generation, int(row)) for row in rows]
        return AuditPlan(asked, tuple(chosen), _pixels(folder, asked, chosen, waiting), waiting.publish)
    if not 2 <= asked.pictures <= MOST_PICTURES:
        raise ValueError(f"--pictures: expected 2 to {MOST_PICTURES:,}, got {asked.pictures}")
    _check_line(folder, asked.line)
    made = _generations(folder, asked)
    real = asked.pictures // 2 if asked.task == "tell" else 0
    counts = {generation: 0 for generation in made}
    for place in range(asked.pictures - real):
        counts[made[place % len(made)]] += 1
    chosen = _real(folder, real, rng)
    for generation, count in counts.items():
        there = len(folder.images(generation, asked.line))
        if there < count:
            raise ValueError(f"generation {generation} has {there} pictures, and {count} were asked for: --pictures")
        chosen += [AuditPicture("images", generation, int(row)) for row in rng.permutation(there)[:count]]
    chosen = [chosen[place] for place in rng.permutation(len(chosen))]
    return AuditPlan(asked, tuple(chosen), _pixels(folder, asked, chosen))


def stored_plan(folder: RunFolder, told: Mapping[str, Any], waiting: Waiting | None = None) -> AuditPlan:
    """Return the plan of a session that was begun.

    Args:
        folder: the run.
        told: the result of :meth:`AuditPlan.stored`, from a file.
        waiting: the candidates, where the session was about some.

    Raises:
        ValueError: if it is no such record, or the pictures are not those of the session any more.
    """
    asked, chosen = recorded(told)
    images = _pixels(folder, asked, chosen, waiting)
    plan = AuditPlan(asked, chosen, images, None if waiting is None else waiting.publish)
    if plan.digest() != told.get("pixels"):
        raise ValueError("its pictures are not those that this run holds now")
    return plan


def recorded(told: Mapping[str, Any]) -> tuple[Asked, tuple[AuditPicture, ...]]:
    """Return what a session was asked and which pictures it shows, from the record in its file.

    Raises:
        ValueError: if it is no result of :meth:`AuditPlan.stored`.
    """
    try:
        said = told["asked"]
        numbers = {name: int(said[name]) for name in ("pictures", "line", "seed")}
        asked = Asked(
            said["task"], generations=tuple(map(int, said["generations"])), waiting=str(said["waiting"]), **numbers
        )
        chosen = tuple(AuditPicture(source, int(generation), int(row)) for source, generation, row in told["shown"])
        if asked.task not in ANSWERS or any(each.source not in SOURCES for each in chosen):
            raise ValueError("an unknown task or source")
    except (KeyError, TypeError, ValueError, OverflowError) as error:
        raise ValueError(f"not the record of an audit ({quoted(repr(error), 80)})") from error
    return asked, chosen


def _generations(folder: RunFolder, asked: Asked) -> list[int]:
    """Return the generations whose pictures are shown."""
    there = sorted({generation for generation, line in folder.shards() if generation and line == asked.line})
    if not there:
        raise ValueError(f"{shown(folder.path)}: no generation of line {asked.line} is finished yet")
    absent = [generation for generation in asked.generations if generation not in there]
    if absent:
        raise ValueError(f"--generations: the run has {there[0]} to {there[-1]}, got {absent[0]}")
    if asked.generations:
        return sorted(set(asked.generations))
    most = min(MOST_GENERATIONS, len(there), max(1, asked.pictures // 2))
    return [there[row] for row in spread_over(len(there), most)] if most > 1 else [there[-1]]


def _check_line(folder: RunFolder, line: int) -> None:
    experiment = folder.config["experiment"]
    lines = lines_of_chains(experiment)
    if line not in range(lines):
        blank = experiment.get("blank_twins") and line >= lines
        why = " (blank twins begin from other real pictures, which would give the answer away)" if blank else ""
        raise ValueError(f"--line: expected 0 to {lines - 1}{why}, got {line}")


def _real(folder: RunFolder, count: int, rng: np.random.Generator) -> list[AuditPicture]:
    """Return real pictures that no model of generation 1 was trained on: held-out ones, then reserve ones."""
    there: dict[Source, int] = {"heldout": len(_file(folder, "heldout", 0, 0))}
    there["reserve"] = len(folder.images(0, RESERVE)) if folder.has_file(0, REAL, "reserve.npy") else 0
    if count > sum(there.values()):
        total = sum(there.values())
        raise ValueError(f"the run has {total} real pictures beside its training set, and {count} are needed")
    chosen = []
    for source, size in there.items():
        rows = rng.permutation(size)[: count - len(chosen)]
        chosen += [AuditPicture(source, 0, int(row)) for row in rows]
    return chosen


def _file(folder: RunFolder, source: Source, generation: int, line: int) -> np.ndarray:
    if source == "images":
        return folder.images(generation, line)
    return read_npy(folder.file(0, REAL, f"{source}.npy"), mmap=True)


def _pixels(
    folder: RunFolder, asked: Asked, chosen: Sequence[AuditPicture], waiting: Waiting | None = None
) -> np.ndarray:
    """Return the pictures, uint8 [N,C,H,W]."""
    files: dict[tuple[str, int], np.ndarray] = {}
    found = []
    for each in chosen:
        if each.source == "candidates":
            if waiting is None:
                raise ValueError("its candidates do not wait for decisions any more")
            images = waiting.images
        else:
            key = each.source, each.generation
            if key not in files:
                files[key] = _file(folder, each.source, each.generation, asked.line)
            images = files[key]
        if not 0 <= each.row < len(images):
            raise ValueError(f"generation {each.generation} has no picture {each.row}")
        found.append(np.array(images[each.row]))
    return np.stack(found)
