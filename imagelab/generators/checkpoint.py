"""The state inside a training, as a file: weights, optimiser, average, step, and the losses recorded so far.

A checkpoint is an aid and never a result. One that is damaged, of another training or of another version is named in
the log and not used; the training then starts over, to the same bytes.
"""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors.torch import save as to_safetensors
from torch import Tensor, nn

from ..io.atomic import written_whole
from ..io.untrusted import quoted, shown
from .loss_meter import LossMeter
from .tensor_files import Tensors, read_tensors, tensor_header

__all__ = ["TrainingState", "digest_of", "part_reached", "read_beside", "read_checkpoint", "write_checkpoint"]

log = logging.getLogger(__name__)

FORMAT = "2"
MOMENTS = ("exp_avg", "exp_avg_sq", "momentum")  # what Adam and Muon keep for each number of a parameter
OTHER = "belongs to another training (recipe, images, seed, device, kernels, torch, threads or processes differ)"


@dataclass
class TrainingState:
    """The state of a training after ``step`` steps, and the content of a checkpoint.

    Attributes:
        net: the net that is trained.
        average: the moving average of its weights.
        optimiser: its optimiser.
        step: steps done.
        beside: the larger net that ``net`` is a part of, None for none.
    """

    net: nn.Module
    average: nn.Module
    optimiser: torch.optim.Optimizer
    step: int = 0
    beside: nn.Module | None = None

    def _weights(self) -> dict[str, Tensor]:
        named = {f"net.{key}": value for key, value in self.net.state_dict().items()}
        named |= {f"average.{key}": value for key, value in self.average.state_dict().items()}
        beside = {} if self.beside is None else self.beside.state_dict()
        return named | {f"beside.{key}": value for key, value in beside.items()}

    def tensors(self) -> dict[str, Tensor]:
        """Return every tensor of the state by name, on the CPU; the input of :meth:`restore`."""
        named = self._weights()
        for index, entries in self.optimiser.state_dict()["state"].items():
            named |= {f"optimiser.{index}.{key}": value for key, value in entries.items()}
        return {key: value.detach().cpu().contiguous().clone() for key, value in named.items()}

    def check(self, named: Tensors) -> None:
        """Refuse tensors that are not those of this state.

        Raises:
            ValueError: naming the first tensor that is missing, not expected, or of another form.
        """
        weights = self._weights()
        missing = [name for name in weights if name not in named]
        if missing:
            raise ValueError(f"{missing[0]} is missing")
        parameters = [p for group in self.optimiser.param_groups for p in group["params"]]
        moments = {f"optimiser.{k}.{key}": p for k, p in enumerate(parameters) for key in MOMENTS}
        counts = {f"optimiser.{k}.step": torch.zeros(()) for k in range(len(parameters))}
        expected = {**weights, **moments, **counts}
        for name, tensor in named.items():
            like = expected.get(name)
            if like is None or like.shape != tensor.shape or like.dtype != tensor.dtype:
                raise ValueError(f"{quoted(name, 80)} does not fit")

    def restore(self, named: Tensors, step: int) -> None:
        """Restore the state from the result of :meth:`tensors` and the number of steps done."""

        def part(name: str) -> dict[str, Tensor]:
            return {key.removeprefix(name): value for key, value in named.items() if key.startswith(name)}

        if self.beside is not None:
            self.beside.load_state_dict(part("beside."))
        self.net.load_state_dict(part("net."))
        self.average.load_state_dict(part("average."))
        moments: dict[int, dict[str, Tensor]] = {}
        parameters = [p for group in self.optimiser.param_groups for p in group["params"]]
        for key, value in part("optimiser.").items():
            index, entry = key.split(".")
            if value.dim():  # a fused optimiser needs its moments in the memory format of the parameter
                value = torch.empty_like(parameters[int(index)], device=value.device).copy_(value)
            moments.setdefault(int(index), {})[entry] = value
        self.optimiser.load_state_dict({**self.optimiser.state_dict(), "state": moments})
        self.step = step

    def update_average(self, ema: float) -> None:
        """Move the average towards the weights after step ``self.step`` (counted from 1)."""
        decay = min(ema, (1 + self.step) / (10 + self.step))
        with torch.no_grad():
            torch._foreach_lerp_(list(self.average.parameters()), list(self.net.parameters()), 1 - decay)
            buffers = list(self.average.buffers()), list(self.net.buffers())
            if buffers[0]:
                torch._foreach_copy_(*buffers)


def write_checkpoint(path: Path, state: TrainingState, mark: str, meter: LossMeter) -> None:
    """Write the state atomically, with ``mark``, the fingerprint of its training, the meter, and a digest of it all."""
    tensors = state.tensors()
    texts = {"format": FORMAT, "fingerprint": mark, "step": str(state.step), "meter": meter.saved()}
    texts["digest"] = _seal(texts, tensors)
    path.parent.mkdir(parents=True, exist_ok=True)
    with written_whole(path) as partial:
        partial.write_bytes(to_safetensors(tensors, texts))


def read_checkpoint(path: Path, state: TrainingState, mark: str, meter: LossMeter, in_turn: bool = False) -> bool:
    """Restore the checkpoint if it is whole and belongs to this training; return whether it was restored.

    If not, the log gives the reason; except with ``in_turn``, where several parts are trained one after the other: then
    the checkpoint may belong to another part, and :func:`part_reached` has already logged one of another training.
    """
    if not path.exists():
        return False
    try:
        texts, tensors = _open(path)
        if texts["fingerprint"] != mark:
            if not in_turn:
                log.warning("%s: %s; starting over", shown(path), OTHER)
            return False
        state.check(tensors)
    except (OSError, ValueError) as error:
        log.warning("%s: damaged checkpoint (%s); starting over", shown(path), error)
        return False
    state.restore(tensors, int(texts["step"]))
    meter.restore(texts["meter"])
    log.info("%s: continuing at step %d", shown(path), state.step)
    return True


def read_beside(path: Path, net: nn.Module, mark: str) -> bool:
    """Fill a net with the larger net in a whole checkpoint of this training; return whether it was filled.

    Another checkpoint is left as it is, and so is ``net``; the training that it belongs to reads it, or says why not.
    """
    try:
        texts, tensors = _open(path)
    except (OSError, ValueError):
        return False
    found = {name.removeprefix("beside."): tensor for name, tensor in tensors.items() if name.startswith("beside.")}
    expected = net.state_dict()
    if texts["fingerprint"] != mark or found.keys() != expected.keys():
        return False
    if any(
        tensor.shape != expected[name].shape or tensor.dtype != expected[name].dtype for name, tensor in found.items()
    ):
        return False
    net.load_state_dict(found)
    return True


def part_reached(path: Path | None, marks: Sequence[str]) -> int:
    """Return the index in ``marks`` of the training that a checkpoint belongs to; 0, and a log entry, for none."""
    if path is None or not path.exists():
        return 0
    try:
        mark = _open(path)[0]["fingerprint"]
    except (OSError, ValueError) as error:
        log.warning("%s: damaged checkpoint (%s); starting over", shown(path), error)
        return 0
    if mark in marks:
        return marks.index(mark)
    log.warning("%s: %s; starting over", shown(path), OTHER)
    return 0


def _open(path: Path) -> tuple[dict[str, str], dict[str, Tensor]]:
    texts = tensor_header(path).texts
    if texts.get("format") != FORMAT:
        raise ValueError("written by another version, or no checkpoint")
    tensors = read_tensors(path)
    if _seal(texts, tensors) != texts.get("digest"):
        raise ValueError("its digest does not match")
    return texts, tensors


def _seal(texts: dict[str, str], tensors: Tensors) -> str:
    """Return the SHA-256 of a checkpoint's texts (but the digest itself) and tensors."""
    said = "|".join(f"{name}={texts[name]}" for name in sorted(texts.keys() - {"digest"}))
    return hashlib.sha256(f"{said}|{digest_of(tensors)}".encode()).hexdigest()


def digest_of(tensors: Tensors) -> str:
    """Return the SHA-256 of tensors by name; they must lie on the CPU."""
    digest = hashlib.sha256()
    for key in sorted(tensors):
        digest.update(key.encode())
        digest.update(tensors[key].numpy().tobytes())
    return digest.hexdigest()
