"""Generation 0, which points of the same data and seed have in common: made by one of them, copied by the others.

Each executor asks two questions before it starts a point: whether another point is just making the generation 0 that
this one needs, and whether there is one to copy. Copying changes no byte of a point.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from typing import Any

from ..experiment import Experiment
from ..pool import REAL
from ..run_folder import RunFolder
from ..runs.branch import adopt
from ..runs.prepare import open_run
from .study import Point, Study

__all__ = ["FirstImages"]

OWN_OF_GENERATION_0 = ("data", "images", "heldout", "tracked", "metrics", "seed")


class FirstImages:
    """Which points of a study have generation 0 in common.

    Args:
        study: the points.
    """

    def __init__(self, study: Study):
        self.study = study
        self.key = {point.name: _first_key(point.experiment) for point in study.points}

    def being_made(self, point: Point, at_work: Iterable[Point]) -> bool:
        """Return whether a point at work makes the generation 0 that this point needs and has not."""
        if _has_first(point):
            return False
        return any(self.key[other.name] == self.key[point.name] and not _has_first(other) for other in at_work)

    def startable(self, waiting: Iterable[Point], at_work: Iterable[Point]) -> list[tuple[Point, str]]:
        """Return the points that may start now, in order, each with what is wrong with its generation 0.

        A point whose generation 0 another one is just making waits. For the others it is copied where one has it.

        Args:
            waiting: points that are to start.
            at_work: points that have started.

        Returns:
            (point, fault), "" for none.
        """
        busy, found = list(at_work), list[tuple[Point, str]]()
        for point in waiting:
            if self.being_made(point, busy):
                continue
            try:
                self.take(point)
            except (ValueError, OSError) as error:
                found.append((point, str(error)))
            else:
                busy.append(point)
                found.append((point, ""))
        return found

    def take(self, point: Point) -> None:
        """Copy generation 0 from another point of the study, where one has it and this point has not.

        Raises:
            ValueError: for data that do not suffice, a damaged run, or one that another process is writing.
            OSError: for a disk that is full.
        """
        if _has_first(point):
            return
        for other in self.study.points:
            if other is not point and self.key[other.name] == self.key[point.name] and _has_first(other):
                folder = open_run(point.experiment)
                with folder.lock():
                    if not folder.has(0):
                        adopt(folder, RunFolder.open(other.experiment.folder, remake=True), 0, REAL, {})
                return


def _first_key(experiment: Experiment) -> str:
    """Return a digest of all that generation 0 depends on: data, counts, metrics, seed, reserve and blank twins.

    A curated experiment keeps what its rule needs in generation 0, so it shares that with no other.
    """
    if experiment.curated:
        return experiment.signature
    question: Mapping[str, Any] = experiment.question()
    first = {name: question.get(name) for name in OWN_OF_GENERATION_0}
    n = min(experiment.images, experiment.data.available(experiment.seed)["train"] or experiment.images)
    reserve = experiment.regime.reserve(n, experiment.generations, len(experiment.roles))
    text = json.dumps([first, reserve, bool(experiment.blank_twins), str(experiment.own_code)], sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()


def _has_first(point: Point) -> bool:
    return RunFolder(point.experiment.folder).has(0)
