"""Where a training set lies while a network learns: on the device, or on the host with batches copied ahead.

On the CPU the set is read where it is, in memory or mapped from a file. On a GPU it is one tensor on the device, unless
it would take more than ``DEVICE_SHARE`` of the device's memory. Then it stays on the host: while the device works on
one batch, a thread gathers the next one in page-locked memory, from where it is copied without waiting. All ways give
the same batches to the byte. The indices of a batch are copied from page-locked memory, too, so that the host waits for
nothing. The ways for a GPU were tested on a CPU only, without page-locked memory.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor

import numpy as np
import torch
from torch import Tensor

from ..io.large_arrays import LetGo
from .kernels import is_cuda

__all__ = ["DEVICE_SHARE", "TrainingImages", "stays_on_host"]

DEVICE_SHARE = 0.5
"""Share of the memory of a GPU that a training set may take; the rest is for weights and activations."""


def stays_on_host(size: int, device: str, memory: int | None = None) -> bool:
    """Return whether a training set is read from the host, batch by batch.

    Args:
        size: of the set, bytes.
        device: torch device that learns.
        memory: of the device, bytes; asked of the device where not given.
    """
    if torch.device(device).type == "cpu":
        return False
    whole = torch.cuda.get_device_properties(device).total_memory if memory is None else memory
    return size > DEVICE_SHARE * whole


class TrainingImages:
    """A training set that is read in batches of rows.

    Args:
        images: uint8 [N,C,H,W], or float32 [N,...]; in memory or mapped from a file.
        device: torch device of the batches.
        on_host: whether it stays on the host although it is not read there; None to decide by its size.
    """

    def __init__(self, images: np.ndarray, device: str, on_host: bool | None = None):
        self._device, self._pages = device, LetGo(images)
        self._on_host = stays_on_host(images.nbytes, device) if on_host is None else on_host
        host = torch.from_numpy(images)
        self._data = host if self._on_host else host.to(device)
        self._row_bytes = images.nbytes // max(len(images), 1)
        self._thread = ThreadPoolExecutor(1, "training images") if self._on_host else None
        self._next: tuple[np.ndarray, Future[Tensor]] | None = None

    def read(self, rows: np.ndarray, following: Callable[[], np.ndarray]) -> Tensor:
        """Return a batch on the device: int64 [B] -> [B,...], in the type of the set.

        Args:
            rows: of the batch.
            following: gives the rows of the batch after it, which is then gathered while the device works.
        """
        self._pages.read(len(rows) * self._row_bytes)
        if self._thread is None:
            return self._data[self._on_device(torch.from_numpy(rows))]
        if self._next is not None and np.array_equal(self._next[0], rows):
            gathered = self._next[1].result()
        else:
            gathered = self._gather(rows)
        soon = following()
        self._next = (soon, self._thread.submit(self._gather, soon)) if len(soon) else None
        return gathered.to(self._device, non_blocking=True)

    def _on_device(self, rows: Tensor) -> Tensor:
        """Return indices on the device; on a GPU the copy is only begun."""
        if not is_cuda(self._device):
            return rows.to(self._device)
        return rows.pin_memory().to(self._device, non_blocking=True)

    def _gather(self, rows: np.ndarray) -> Tensor:
        """Return rows of the host's set, in page-locked memory where the device is a GPU."""
        locked = is_cuda(self._device)
        into = torch.empty((len(rows), *self._data.shape[1:]), dtype=self._data.dtype, pin_memory=locked)
        return torch.index_select(self._data, 0, torch.from_numpy(rows), out=into)
