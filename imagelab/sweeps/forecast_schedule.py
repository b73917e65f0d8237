"""How long steps take that are worked on side by side: the shards of a run by workers, the points of a sweep by jobs.

The rules are those of runs/workers.py and sweeps/local.py: a model can be trained as soon as the images of the
generation before are made, trainings come before measurements, and generation 0 is made once.
"""

from __future__ import annotations

import heapq
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from ..experiment import Experiment

__all__ = ["Task", "seconds_of_run", "seconds_of_sweep"]

Shard = tuple[int, int]


@dataclass(frozen=True)
class Task:
    """A point of a sweep, as the schedule sees it.

    Attributes:
        seconds: by the number of workers.
        first: of these, the seconds until its generation 0 is there.
        key: what points of the same generation 0 share; None if it is there, or is not shared.
    """

    seconds: Mapping[int, float]
    first: float
    key: str | None


def seconds_of_run(
    experiment: Experiment,
    missing: Sequence[Shard],
    make: Mapping[Shard, float],
    assess: Mapping[Shard, float],
    workers: int,
) -> float:
    """Return the seconds of all missing shards but generation 0, worked on side by side.

    Args:
        experiment: whose shards these are.
        missing: (generation, line) pairs, generation from 1 on; those before them are there.
        make: seconds of making each of them.
        assess: seconds of measuring and storing each of them.
        workers: at a time.
    """
    if workers == 1:
        return sum(make[shard] + assess[shard] for shard in missing)
    at_once = experiment.reads_models
    left_make, left_assess, made, stored = set(missing), set(missing), set[Shard](), set[Shard]()
    now, running, whole = 0.0, list[tuple[float, int, str, Shard]](), frozenset(missing)

    def can_make(shard: Shard) -> bool:
        t, line = shard
        needed = (
            {(t - 1, k) for k in experiment.line(line).together},
            {(t - 2, k) for k in experiment.line(line).together},
        )
        return needed[0] & whole <= (stored if at_once else made) and needed[1] & whole <= stored

    def can_assess(shard: Shard) -> bool:
        twin = experiment.line(shard[1]).twin
        return shard in made and (twin is None or {(shard[0], twin)} & whole <= stored)

    order = {line: place for place, line in enumerate(experiment.order)}
    while left_make or left_assess or running:
        able = [(0, t, order[k], k, "make") for t, k in left_make if can_make((t, k))]
        able += [(1, t, order[k], k, "assess") for t, k in left_assess if can_assess((t, k))]
        for _, t, _, k, what in sorted(able)[: workers - len(running)]:
            (left_make if what == "make" else left_assess).discard((t, k))
            heapq.heappush(running, (now + (make if what == "make" else assess)[t, k], k, what, (t, k)))
        if not running:
            raise ValueError("the shards of this run wait for each other")
        now, _, what, shard = heapq.heappop(running)
        (made if what == "make" else stored).add(shard)
    return now


def seconds_of_sweep(tasks: Sequence[Task], jobs: int) -> float:
    """Return the seconds until the last of these points is finished, started in order, so many at a time.

    Example:
        >>> alone = Task({1: 10.0}, 2.0, None)
        >>> seconds_of_sweep([alone] * 3, 2)
        20.0
    """
    slots = [0.0] * jobs
    there: dict[str, float] = {}
    end, waiting = 0.0, list(tasks)
    while waiting:
        free = heapq.heappop(slots)
        ready = [task for task in waiting if task.key is None or there.get(task.key, 0.0) <= free]
        task = ready[0] if ready else min(waiting, key=lambda each: there.get(each.key or "", 0.0))
        begins = max(free, there.get(task.key or "", 0.0))
        workers = max(1, jobs // min(jobs, len(waiting) + sum(slot > free for slot in slots)))
        seconds = task.seconds.get(workers, task.seconds[max(task.seconds)])
        if task.key is not None and task.key in there:
            seconds -= task.first  # copied
        elif task.key is not None:
            there[task.key] = begins + task.first
        waiting.remove(task)
        heapq.heappush(slots, begins + seconds)
        end = max(end, begins + seconds)
    return end
