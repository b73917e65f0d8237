"""The record of a training's losses: means over fixed numbers of images, the same on a slow and on a fast machine.

A record falls after every 1/200 of a training's steps (``Plan.recorded``), never after a span of time. The meter keeps
the records that it has sent, and the checkpoint holds them: a resumed training sends them again, so that its
train.jsonl has the same lines as that of an undisturbed one. Only the column ``seconds`` depends on the machine.

A loss is a number on the device. Reading it makes the host wait until the device has done all its work, so on a CUDA
device the losses of many steps are read at once (:class:`UnreadLosses`): when a record is due, and before a checkpoint
is written. A training that diverges is therefore stopped some steps later there; the message names the step, and no
checkpoint holds what came after it.
"""

from __future__ import annotations

import json
import math
import time
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING

from .base import Diverged, RunContext, TrainRecord

if TYPE_CHECKING:
    from torch import Tensor

    from .training import Plan

__all__ = ["LossMeter", "UnreadLosses", "advice_after_divergence", "check_loss"]

RUNAWAY = 1e4
"""A loss beyond this counts as divergence; the losses of these generators are normally of order 1 to 100."""

MOST_UNREAD = 256
"""Steps after which the losses are read although no record is due."""


def check_loss(loss: float, step: int, plan: Plan) -> None:
    """Raise Diverged unless the loss of a step, counted from 1, is finite and below ``RUNAWAY``."""
    if math.isfinite(loss) and abs(loss) < RUNAWAY:
        return
    raise Diverged(
        f"training{plan.of_part} diverged at step {step} of {plan.steps}: the loss is {loss:g}. "
        f"{advice_after_divergence(plan)}"
    )


def advice_after_divergence(plan: Plan) -> str:
    """Return what to do about a training that diverged."""
    rate, batch = plan.settings
    return f"Lower {rate} to a quarter (peak rate now {plan.learning_rate:g}) or raise {batch} (now {plan.batch})."


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


@dataclass
class UnreadLosses:
    """The losses of steps that the host has not read yet.

    Attributes:
        meter: gets each step's numbers, in order, when they are read.
        plan: of the training.
        each_step: read after every step, and not only when a record is due.
        kept: of each step its number (counted from 1), the names of the loss's parts, and the numbers on the device.
    """

    meter: LossMeter
    plan: Plan
    each_step: bool
    kept: list[tuple[int, tuple[str, ...], Tensor]] = field(default_factory=list)

    def add(self, step: int, loss: Tensor, terms: dict[str, Tensor]) -> None:
        """Keep the numbers of a step, counted from 1, and read all where that is due.

        Raises:
            Diverged: for a loss that was read and is NaN or beyond ``RUNAWAY``.
        """
        import torch

        numbers = torch.stack([part.detach().reshape(()) for part in (loss, *terms.values())])
        self.kept.append((step, tuple(terms), numbers))
        if self.each_step or self.plan.recorded(step) or len(self.kept) == MOST_UNREAD:
            self.read()

    def read(self) -> None:
        """Read all losses by one copy to the host, check them, and give them to the meter.

        Raises:
            Diverged: see :meth:`add`.
        """
        import torch

        if not self.kept:
            return
        numbers = iter(torch.cat([each for _, _, each in self.kept]).tolist())
        kept, self.kept = self.kept, []
        for step, names, _ in kept:
            loss, *parts = (next(numbers) for _ in range(1 + len(names)))
            check_loss(loss, step, self.plan)
            terms = {**dict(zip(names, parts, strict=True)), "learning_rate": self.plan.rate(step - 1)}
            self.meter.add(self.plan, step, loss, terms)
