"""Batches of sampling: process many images a batch at a time, and publish each batch as bytes.

The noise of an image depends on its seed only. So the batch size changes only the order of floating-point sums: at most
one grey level in under 0.1 % of the values on CPU. On a device that runs out of memory the batch is halved and the same
batch is started again; no image is lost or drawn twice.
"""

from __future__ import annotations

import logging
from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

from ..images import to_bytes
from .base import Diverged

__all__ = ["publish_in_batches"]

log = logging.getLogger(__name__)


def publish_in_batches(make: Callable[[np.ndarray], Tensor], items: np.ndarray, batch: int) -> np.ndarray:
    """Return uint8 [N,C,H,W]: ``make`` applied to the items batch by batch, rounded to bytes.

    Args:
        make: items [B,...] (seeds, or images) -> float [B,C,H,W] in about -1..1, on any device.
        items: [N,...].
        batch: items at once, >= 1; halved (down to one) when the device runs out of memory.

    Raises:
        ValueError: for a batch below one, or for no items.
        Diverged: if a made value is NaN or infinite.
    """
    if batch < 1 or len(items) == 0:
        raise ValueError(f"expected a batch of at least 1 and at least one item, got {batch} and {len(items)}")
    published: list[np.ndarray] = []
    start = 0
    while start < len(items):
        try:
            with torch.inference_mode():
                made = _published(make(items[start : start + batch]))
        except torch.cuda.OutOfMemoryError:
            if batch == 1:
                raise
            batch //= 2
            torch.cuda.empty_cache()
            log.warning("out of device memory: continuing with a batch of %d", batch)
            continue
        published.append(made.cpu().numpy())
        start += batch
    return np.concatenate(published)


def _published(made: Tensor) -> Tensor:
    try:
        return to_bytes(made)
    except ValueError as error:
        raise Diverged(
            f"{error}. Lower the learning_rate, or train for longer, and look at the losses in train.jsonl."
        ) from error
