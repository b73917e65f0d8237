"""The counter of planted marks of a run: fitted when it is founded, stored in generation 0, read by every shard."""

from __future__ import annotations

import json
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

from ..data import Planted
from ..data.base import Sample
from ..experiment import Experiment
from ..pool import REAL
from ..run_folder import RunFolder

if TYPE_CHECKING:
    from ..metrics.planted_counter import PlantedCounter

__all__ = ["counter_of", "told_of_counter", "write_counter"]

FITTED, TESTED = 400, 300
"""Pictures of the reserve that a counter is fitted on, and held-out ones that it is tested on, at most."""


def write_counter(experiment: Experiment, shard: Path) -> None:
    """Fit the counter of an experiment with planted marks, and write it and its card; nothing for other data.

    Args:
        experiment: with the data and the seed.
        shard: the partial shard of generation 0.

    Raises:
        ValueError: if no picture of the reserve or of the held-out ones has a place for the marks.
    """
    data, seed = experiment.data, experiment.seed
    if not isinstance(data, Planted):
        return
    from ..metrics.planted_candidates import Searched
    from ..metrics.planted_counter import COUNTER, COUNTER_CARD
    from ..metrics.planted_fit import Lesson, fit_counter

    there, marks = data.available(seed), data.counted()

    def lesson(sample: Sample) -> Lesson:
        assert sample.twins is not None and sample.marks is not None
        return Lesson(sample.images, sample.twins, sample.marks, sample.groups)

    reserve = lesson(data.lesson("reserve", min(FITTED, there["reserve"] or FITTED), seed))
    tested = min(TESTED, experiment.heldout, there["heldout"] or TESTED)
    heldout = lesson(data.lesson("heldout", tested, seed))
    searched = Searched(*(marks[name] for name in ("templates", "classes", "contrast", "tolerance")))
    counter = fit_counter(reserve, heldout, searched, marks["word"], marks["symbols"], seed)
    counter.write(shard / COUNTER)
    card = {**counter.card(), "digest": counter.digest}
    (shard / COUNTER_CARD).write_text(json.dumps(card, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


def counter_of(real: Path) -> PlantedCounter | None:
    """Return the counter in the folder of generation 0; None where there is none."""
    from ..metrics.planted_counter import COUNTER

    path = real / COUNTER
    if not path.is_file():
        return None
    status = path.stat()
    return _read(path, status.st_mtime_ns, status.st_size)


@lru_cache(maxsize=4)
def _read(path: Path, changed: int, size: int) -> PlantedCounter:
    from ..metrics.planted_counter import read_counter

    return read_counter(path)


def told_of_counter(folder: RunFolder) -> list[str]:
    """Return the card of the counter of a run in sentences; empty where it has none."""
    from ..metrics.planted_counter import COUNTER_CARD, card_sentences

    if not folder.has_file(0, REAL, COUNTER_CARD):
        return []
    return card_sentences(json.loads(folder.file(0, REAL, COUNTER_CARD).read_text(encoding="utf-8")))
