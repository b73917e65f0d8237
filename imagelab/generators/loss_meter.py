"""The record of a training's losses: means over fixed numbers of images, the same on a slow and on a fast machine.

A record falls after every 1/200 of a training's steps (``Plan.recorded``), never after a span of time. The meter keeps
the records that it has sent, and the checkpoint holds them: a resumed training sends them again, so that its
train.jsonl has the same lines as that of an undisturbed one. Only the column ``seconds`` depends on the machine.
"""

from __future__ import annotations

import json
import time
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING

from .base import RunContext, TrainRecord

if TYPE_CHECKING:
    from .training import Plan

__all__ = ["LossMeter"]


@dataclass
class LossMeter:
    """Sums losses between two records of a fit, and sends and keeps the records.

    Attributes:
        context: its ``on_record`` gets every record.
        total: images that the whole fit reads.
        before: images that were read before this training, where the parts of a net are trained one after the other.
        records: all records so far, those of earlier parts included.
        began: when the fit began, in seconds of the monotonic clock.
        steps: steps since the last record.
        loss: sum of their losses.
        terms: sums of the named parts of their losses.
    """

    context: RunContext
    total: int
    before: int = 0
    records: list[TrainRecord] = field(default_factory=list)
    began: float = field(default_factory=lambda: time.monotonic())
    steps: int = 0
    loss: float = 0.0
    terms: dict[str, float] = field(default_factory=dict)

    def add(self, plan: Plan, step: int, loss: float, terms: dict[str, float]) -> None:
        """Count one step, the ``step``-th of the plan (from 1), and send a record where one is due."""
        self.steps += 1
        self.loss += loss
        for name, value in terms.items():
            self.terms[name] = self.terms.get(name, 0.0) + value
        if not plan.recorded(step):
            return
        seen = self.before + min(step * plan.batch, plan.images_seen)
        means = {name: value / self.steps for name, value in self.terms.items()}
        self.records.append(TrainRecord(seen, self.total, self.loss / self.steps, time.monotonic() - self.began, means))
        self.context.on_record(self.records[-1])
        self.steps, self.loss, self.terms = 0, 0.0, {}

    def saved(self) -> str:
        """Return the meter as JSON; every number is kept exactly."""
        return json.dumps(
            {
                "records": [asdict(record) for record in self.records],
                "seconds": time.monotonic() - self.began,
                "steps": self.steps,
                "loss": self.loss,
                "terms": self.terms,
            }
        )

    def restore(self, saved: str) -> None:
        """Go on from the result of :meth:`saved`, and send all its records again."""
        said = json.loads(saved)
        self.records = [TrainRecord(**record) for record in said["records"]]
        self.began = time.monotonic() - said["seconds"]
        self.steps, self.loss, self.terms = said["steps"], said["loss"], said["terms"]
        for record in self.records:
            self.context.on_record(record)
