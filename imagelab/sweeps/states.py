"""How far the points of a study are: read from their run folders alone, so that it is true whoever has run them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from ..io.run_records import CONFIG
from ..io.untrusted import quoted
from ..run_folder import RunFolder
from ..runs.run import missing_shards
from ..runs.waiting import WAITING
from .study import Point

__all__ = ["PointState", "point_state"]

State = Literal["finished", "begun", "not begun", "waits for decisions", "damaged"]


@dataclass(frozen=True)
class PointState:
    """How far a point is.

    Attributes:
        state: in a word.
        made: models whose images are measured, generation 0 counted.
        planned: how many there will be.
        fault: what is wrong with a damaged one; "" otherwise.
    """

    state: State
    made: int
    planned: int
    fault: str = ""

    @property
    def share(self) -> float:
        """How much of it is done, 0 to 1."""
        return self.made / self.planned


def point_state(point: Point) -> PointState:
    """Return how far a point is; its folder is not changed."""
    experiment = point.experiment
    planned = 1 + experiment.generations * len(experiment.lines)
    path = experiment.folder
    if not (path / CONFIG).is_file():
        return PointState("not begun", 0, planned)
    folder = RunFolder(path)
    try:
        if folder.config["signature"] != experiment.signature:
            return PointState("damaged", 0, planned, f"{path} holds another run; move it away")
        missing = len(missing_shards(experiment, folder))
    except (ValueError, OSError) as error:
        return PointState("damaged", 0, planned, quoted(error, 400))
    if not missing:
        return PointState("finished", planned, planned)
    waits = (path / WAITING).is_dir() and any((path / WAITING).iterdir())
    return PointState("waits for decisions" if waits else "begun", planned - missing, planned)
