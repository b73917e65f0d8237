"""What a generator is: a frozen recipe that is fitted to images, and a model that samples more.

``recipe.fit(images, seed, context) -> Model``; ``model.sample(seeds) -> uint8``. The recipe is a setting and never
changes; the model is a result. A generator is given pixels and nothing about their origin. Training length is counted
in images seen, never in epochs, so that training sets of different size can be compared.

Recipe modules import no torch at the top, so that a whole experiment is validated before torch is loaded.
"""

from __future__ import annotations

import json
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal, Protocol, TextIO, runtime_checkable

import numpy as np
from pydantic import SerializerFunctionWrapHandler, model_serializer

from ..families import Recipe

if TYPE_CHECKING:
    from torch import Tensor

__all__ = [
    "FIT_BLOCK",
    "SINGLE_PROCESS",
    "Diverged",
    "Generator",
    "Interrupted",
    "Kernels",
    "Model",
    "Precision",
    "ProcessGroup",
    "ProgramFailed",
    "RunContext",
    "SingleProcess",
    "TrainRecord",
    "divergence_at",
    "noise_label",
]


FIT_BLOCK = 256
"""Images that a closed form converts at a time. It is fixed, because sums and the order of rows depend on it."""


class Interrupted(Exception):
    """Training stopped because it was asked to; what was learned so far lies in the bench's checkpoint."""


class Diverged(ValueError):
    """Training or sampling left the numbers: NaN or a runaway loss. The message says where and what to change."""


class ProgramFailed(ValueError):
    """A program did not do its work. The message holds the reason, its last lines, and the command to try by hand."""


@contextmanager
def divergence_at(place: str) -> Iterator[None]:
    """Put a place, such as "generation 3, VAE", in front of what a divergence, or a failed program, inside says."""
    try:
        yield
    except (Diverged, ProgramFailed) as error:
        raise type(error)(f"{place}: {error}") from error


@dataclass(frozen=True)
class TrainRecord:
    """One line of ``train.jsonl``.

    Attributes:
        images_seen: images read so far, of ``images_total``.
        loss: the recipe's training loss, mean over the steps since the last record.
        seconds: wall time of the training so far, the only number here that depends on the machine's speed.
        terms: the loss's named parts, and whatever else helps (learning rate, gradient norm).
    """

    images_seen: int
    images_total: int
    loss: float
    seconds: float
    terms: dict[str, float]


class ProcessGroup(Protocol):
    """The processes that share one training: each reads its part of every batch, all take the same step.

    Every method is a collective operation: all ranks must call it, in the same order.
    """

    @property
    def rank(self) -> int:
        """Which of the processes this is, from 0 on."""
        ...

    @property
    def size(self) -> int:
        """How many there are."""
        ...

    def broadcast_flag(self, answer: bool) -> bool:
        """Return rank 0's answer, on every rank."""
        ...

    def broadcast(self, tensors: Sequence[Tensor]) -> None:
        """Overwrite the tensors with rank 0's."""
        ...


@dataclass(frozen=True)
class SingleProcess:
    """A process group of one: every collective operation returns at once."""

    rank: int = 0
    size: int = 1

    def broadcast_flag(self, answer: bool) -> bool:
        """Return the answer."""
        return answer

    def broadcast(self, tensors: Sequence[Tensor]) -> None:
        """Do nothing."""


SINGLE_PROCESS = SingleProcess()


Precision = Literal["mixed", "full"]


@dataclass(frozen=True)
class Kernels:
    """How a device computes. It changes speed and rounding, and never what is computed (kernels.py).

    Attributes:
        compile: compile the repeated blocks of a network with torch.compile, in training and in sampling.
        graphs: on a CUDA device, record the passes of a training step once as a CUDA graph and replay it.
        precision: on a CUDA device. "mixed": networks are trained in bfloat16 where torch.autocast allows it, and other
            float32 products of training and sampling may use TF32. "full": float32 without TF32. Weights, optimiser,
            averages, closed forms and metrics are float32 without TF32 in both. A CPU always computes in float32.
    """

    compile: bool = False
    graphs: bool = False
    precision: Precision = "mixed"


@dataclass(frozen=True)
class RunContext:
    """Where and how the work is done; nothing here may change a result beyond the rounding of kernels.

    Attributes:
        device: a torch device name, "cpu" or "cuda:0".
        batch: images a sampling (and reconstruction) batch on a GPU. Blocks on the CPU and in a fit have a fixed size:
            there the batch changes no byte (sampling.py).
        on_record: called with each TrainRecord; a resumed training first sends those of the sessions before again.
        should_stop: called between steps; if it returns True, training saves its checkpoint and raises Interrupted.
        checkpoint: file for the state inside a generation (weights, optimiser, EMA, step), written atomically now and
            then and read back on resume so that the result is the same to the byte on CPU; None for no checkpoint.
        group: the processes that share the training. More than one change the rounding of sums and the noise of the
            loss (each has its own), not the distribution of the result.
        on_line: called with what a program of somebody else writes, a line now and then, safe to print.
        kernels: how the device computes.
    """

    device: str = "cpu"
    batch: int = 256
    on_record: Callable[[TrainRecord], None] = lambda record: None
    should_stop: Callable[[], bool] = lambda: False
    checkpoint: Path | None = None
    group: ProcessGroup = SINGLE_PROCESS
    on_line: Callable[[str], None] = lambda line: None
    kernels: Kernels = Kernels()

    def logged(self, log: TextIO, checkpoint: Path) -> RunContext:
        """Return this context for one training: its records are also written to a file, one JSON object per line."""

        def both(record: TrainRecord) -> None:
            log.write(json.dumps(asdict(record)) + "\n")
            log.flush()  # a long training can be watched
            self.on_record(record)

        return replace(self, on_record=both, checkpoint=checkpoint)


@runtime_checkable
class Model(Protocol):
    """A fitted generator."""

    @property
    def reconstructs(self) -> bool:
        """Whether :meth:`reconstruct` means anything for this family."""
        ...

    def sample(self, seeds: np.ndarray) -> np.ndarray:
        """Return one image a seed: uint64 [N] -> uint8 [N,C,H,W]. An image's noise depends on its seed alone."""
        ...

    def reconstruct(self, images: np.ndarray) -> np.ndarray:
        """Return the model's copy of given images: uint8 [N,C,H,W] -> the same form; the photocopy of a photograph."""
        ...

    def save(self, folder: Path) -> None:
        """Write the model as diffusers' save_pretrained does (config JSON + safetensors)."""
        ...


def noise_label(noise_scale: float) -> str:
    """Return what a label says of a sampling bias: nothing where there is none."""
    return "" if noise_scale == 1.0 else f", noise x {noise_scale:g}"


class Generator(Recipe, ABC):
    """Base class of all generators. One adds a ``kind``, its settings, and the four abstract members.

    Class attribute:
        duration_settings: names of the settings that change only how long fitting and sampling take, such as
            ``images_seen``; the rehearsal before a run sets them to 2.
        alone: whether one process fits and samples, however many share the run.
        later: settings that came after the kind was first published, with their defaults, under which a recipe is what
            it was before them. They are written only where they are used, so that older experiments keep their names.
    """

    duration_settings: ClassVar[tuple[str, ...]] = ()
    alone: ClassVar[bool] = False
    later: ClassVar[dict[str, Any]] = {}

    @model_serializer(mode="wrap")
    def _without_unused(self, plain: SerializerFunctionWrapHandler) -> dict[str, Any]:
        later = self.later
        return {name: value for name, value in plain(self).items() if name not in later or value != later[name]}

    @property
    @abstractmethod
    def label(self) -> str:
        """A few words for plots and tables, such as "VAE" or "PPCA, k = 64"."""

    @property
    @abstractmethod
    def training_length(self) -> int:
        """Images read in training, repeats counted; 0 for a closed form or an untrained control."""

    @property
    def continues(self) -> bool:
        """Whether :meth:`fit` can take ``start``: whether it suits a warm start. A closed form ignores it."""
        return True

    @property
    def takes_from_before(self) -> bool:
        """Whether :meth:`fit` takes a part of the model before as it is, and is given that model in every case."""
        return False

    @property
    def trials(self) -> int:
        """How often the rehearsal before a run fits it: 0, 1, or 2 to see whether a seed always gives the same."""
        return 1

    @property
    def scripts(self) -> Mapping[str, str]:
        """Files that it executes or reads and that are no part of its settings: place -> digest of the content."""
        return {}

    @abstractmethod
    def fit(self, images: np.ndarray, seed: int, context: RunContext, start: Model | None = None) -> Model:
        """Return a model fitted to uint8 [N,C,H,W]. The same images, seed, start and machine give the same model.

        Args:
            images: the training set.
            seed: of weights, order and noise.
            context: device, batch, callbacks.
            start: a model of the same recipe whose weights the training begins from; None to begin from scratch. A
                closed form has no beginning and ignores it.

        Raises:
            ValueError: if the images do not suit the settings (size, count), saying what to change.
            Diverged: if training ran away.
            Interrupted: if ``context.should_stop`` said so.
        """

    @abstractmethod
    def load(self, folder: Path, context: RunContext) -> Model:
        """Read back what :meth:`Model.save` wrote."""
