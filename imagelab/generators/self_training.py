"""Training on one's own samples: a generator is fitted, draws images, and is trained on them for a little longer.

What the second training changes shows the direction in which a loop would lead the model. :class:`Neon` extrapolates
the weights away from it, :class:`SelfGuided` the prediction of the noise. Only parameters are trained here. Buffers
(closed forms, running means, stored codes) stay those of the first training, so that both networks have the same
coordinates.

The checkpoint of the second training holds the network of the first one, so that a run that was ended goes on where it
was, to the same bytes. With several processes, all of them draw the same images, and rank 0's are used.
"""

from __future__ import annotations

import copy
import math
from abc import ABC
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Protocol, runtime_checkable

import numpy as np
from pydantic import BeforeValidator, Field, SerializeAsAny

from ..seeds import image_seeds, seed_at
from .base import Generator, Model, RunContext, TrainRecord

if TYPE_CHECKING:
    from torch import nn

    from .training import Loss, Plan

__all__ = ["AnyBase", "Continuable", "SelfTrained", "SelfTraining"]


def _decoded(value: Any) -> Any:
    """Return the generator that a mapping with a ``kind`` describes."""
    from . import GENERATORS

    return GENERATORS.decode(value)


AnyBase = Annotated[SerializeAsAny[Generator], BeforeValidator(_decoded)]
"""Any generator within another one: a recipe, or a mapping with its ``kind``."""


@runtime_checkable
class Continuable(Protocol):
    """A recipe whose training can be continued on other images: its model has a ``net``, a torch module."""

    def blank(self, images: np.ndarray, seed: int) -> Any:
        """Return an untrained net of the form that a model fitted to uint8 [N,C,H,W] has."""
        ...

    def training(self, net: Any, images_seen: int) -> tuple[Loss, Plan]:
        """Return the loss of this net, and the plan of a training of so many images."""
        ...

    def finished(self, net: Any, images: np.ndarray, seed: int, context: RunContext) -> Model:
        """Return the model of a trained net; the images are those that the recipe was fitted to."""
        ...


@dataclass(frozen=True, eq=False)
class SelfTrained:
    """The two trainings.

    Attributes:
        base: the model fitted to the images.
        tuned: its net after the training on its own samples, in eval mode.
    """

    base: Any
    tuned: nn.Module


class SelfTraining(Generator, ABC):
    """Base class of generators that learn from their own samples. One adds a ``kind``, and which bases suit it.

    Attributes:
        base: the generator that is fitted.
        weight: w, how far is extrapolated away from the model that was trained on its own samples. 0: the base as it
            is, at the same cost (the control). -1: that other model itself. Below 0 it is moved towards it.
        samples: images that the base draws of itself.
        share: images read in the training on them, as a share of the base's training length, rounded up.
        rate: peak learning rate of that training, as a share of the base's. A short training at the full rate moves the
            weights mostly at random, and the extrapolation of a random step is a worse model.
    """

    duration_settings: ClassVar[tuple[str, ...]] = ("samples",)

    base: AnyBase
    weight: float = Field(default=1.0, ge=-1.0, le=10.0)
    samples: int = Field(default=1_000, ge=2)
    share: float = Field(default=0.05, gt=0.0, le=1.0)
    rate: float = Field(default=0.3, gt=0.0, le=1.0)

    @property
    def own_length(self) -> int:
        """Images read in the training on own samples; 0 for a closed form."""
        return math.ceil(self.share * self.base.training_length - 1e-9)

    @property
    def training_length(self) -> int:
        """Images read in both trainings."""
        return self.base.training_length + self.own_length

    def self_train(self, images: np.ndarray, seed: int, context: RunContext, start: Model | None) -> SelfTrained:
        """Fit the base to uint8 [N,C,H,W], and train a copy of its net on its own samples.

        Args:
            images: the training set.
            seed: the base is fitted with this seed, so that it has the bytes that it has alone.
            context: device, callbacks, checkpoint, group. Records count the images of both trainings.
            start: for the base, see ``Generator.fit``.

        Raises:
            Diverged: see base.py.
            Interrupted: see base.py.
            ValueError: see the base.
        """
        from .training import LossMeter, Whole, fingerprint, train

        recipe: Any = self.base
        records = list[TrainRecord]()
        mark = fingerprint(self.model_dump_json() + _digest(start), images, seed, context) + "-own"
        base = self._stored(images, seed, context, mark)
        if base is None:

            def passed_on(record: TrainRecord) -> None:
                records.append(replace(record, images_total=self.training_length))
                context.on_record(records[-1])

            base = recipe.fit(images, seed, replace(context, on_record=passed_on), start)
        own = drawn_of_itself(base, self.samples, seed, context)
        tuned = copy.deepcopy(base.net).requires_grad_(True)
        loss, plan = recipe.training(tuned, self.own_length)
        plan = replace(plan, learning_rate=self.rate * plan.learning_rate)
        meter = LossMeter(context, self.training_length, before=recipe.training_length, records=records)
        meter.began -= records[-1].seconds if records else 0.0
        whole = Whole(_without_codes(base.net, recipe.blank(images, seed)), meter)
        trained = train(tuned, loss, own, plan, seed_at(seed, "own samples"), context, mark, whole)
        if context.checkpoint is not None:
            context.checkpoint.unlink(missing_ok=True)
        return SelfTrained(base, trained.requires_grad_(False))

    def _stored(self, images: np.ndarray, seed: int, context: RunContext, mark: str) -> Any:
        """Return the base model in a checkpoint of this training, None where there is none."""
        from .checkpoint import read_beside

        recipe: Any = self.base
        net, found = None, False
        if context.checkpoint is not None and context.checkpoint.exists():
            net = recipe.blank(images, seed)
            found = read_beside(context.checkpoint, net, mark)
        if not context.group.broadcast_flag(found):
            return None
        if net is None or not found:
            raise ValueError(f"{context.checkpoint}: read by the first process, and not by this one; start again")
        return recipe.finished(net.eval().requires_grad_(False).to(context.device), images, seed, context)


def drawn_of_itself(base: Model, count: int, seed: int, context: RunContext) -> np.ndarray:
    """Return images that a model draws to learn from, uint8 [count,C,H,W], the same on every rank."""
    import torch

    own = base.sample(image_seeds(seed, "own samples", 0, 0, range(count)))
    if context.group.size == 1:
        return own
    shared = torch.from_numpy(own).to(context.device)
    context.group.broadcast([shared])
    return shared.cpu().numpy()


def _without_codes(net: Any, blank: Any) -> Any:
    """Return ``blank`` with the tensors of ``net`` that have the same form: all but stored codes, computed anew."""
    there = net.state_dict()
    fits = {name: there[name] for name, tensor in blank.state_dict().items() if there[name].shape == tensor.shape}
    blank.load_state_dict(fits, strict=False)
    return blank


def _digest(start: Model | None) -> str:
    """Return the SHA-256 of the weights that a training begins from; "" without a start."""
    from .checkpoint import digest_of

    net = getattr(start, "net", None)
    if net is None:
        return ""
    return digest_of({name: tensor.detach().cpu().contiguous() for name, tensor in net.state_dict().items()})
