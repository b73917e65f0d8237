"""Batches of sampling: process many images at a time, and publish each batch as bytes.

The noise of an image depends on its seed only, but the rounding of sums does not: matrix products and convolutions are
computed by other routines for other batch sizes, and libraries branch on the batch size as well. On the CPU a network
therefore always gets blocks of one size (:func:`block_size`), the last one filled up with other items whose results are
dropped. So the bytes of an image depend neither on the batch that the user has set nor on how many images are made.

On a GPU the batch is the user's. It changes only the rounding of sums, at most one grey level in under 0.1 % of the
values. Where the device runs out of memory the batch is halved and the same batch is started again; no image is lost or
drawn twice. With ``kernels.compile`` the last batch is filled up there, too, because compiled blocks know one size.
"""

from __future__ import annotations

import logging
from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor, nn

from ..images import to_bytes
from .base import Diverged, RunContext
from .kernels import blocks_compiled, first_line, is_cuda, precision_of

__all__ = ["block_size", "publish", "publish_in_batches"]

log = logging.getLogger(__name__)

BLOCK = 64
"""Images in a block on the CPU. diffusers' U-Net takes another memory format from 64 images on. Blocks of 64 took 0.64
to 0.92 of the time of 256 (six generators, 32 and 64 px, one core), with the same bytes."""

PIXELS = 1 << 20
"""Most pixels in a block: 64 images up to 128 px a side, 16 of 256 px."""


def block_size(pixels: int) -> int:
    """Return how many images of so many pixels (height x width) the CPU computes at a time.

    Example:
        >>> [block_size(side**2) for side in (64, 128, 256, 2048)]
        [64, 64, 16, 1]
    """
    return max(1, min(BLOCK, PIXELS // pixels))


def publish(
    make: Callable[[np.ndarray], Tensor],
    items: np.ndarray,
    context: RunContext,
    pixels: int,
    net: nn.Module | None = None,
) -> np.ndarray:
    """Return uint8 [N,C,H,W]: ``make`` applied to the items in blocks of fixed size (CPU) or in batches (GPU).

    Args:
        make: items [B,...] (seeds, or images) -> float [B,C,H,W] in about -1..1, on any device.
        items: [N,...].
        context: device, precision, and the batch for a GPU.
        pixels: of one image, height x width.
        net: the network that ``make`` calls; its repeated blocks are compiled where the context asks for it.

    Raises:
        ValueError: for no items.
        Diverged: if a made value is NaN or infinite.
    """
    batch, fill = (context.batch, False) if is_cuda(context.device) else (block_size(pixels), True)
    with precision_of(context), blocks_compiled(net if isinstance(net, nn.Module) else None, context) as blocks:
        if not blocks:
            return publish_in_batches(make, items, batch, fill)
        if is_cuda(context.device):  # a power of two: few sizes are compiled, and few items are drawn in vain
            batch = min(batch, 1 << max(0, len(items) - 1).bit_length())
        try:
            return publish_in_batches(make, items, batch, fill=True)
        except (Diverged, torch.cuda.OutOfMemoryError):
            raise
        except Exception as error:  # compilers fail with any kind of error; one of ours comes again below
            log.warning("torch.compile failed (%s); sampling goes on without it", first_line(error))
    with precision_of(context):
        return publish_in_batches(make, items, batch, fill)


def publish_in_batches(
    make: Callable[[np.ndarray], Tensor], items: np.ndarray, batch: int, fill: bool = False
) -> np.ndarray:
    """Return uint8 [N,C,H,W]: ``make`` applied to the items batch by batch, rounded to bytes.

    Args:
        make: items [B,...] (seeds, or images) -> float [B,C,H,W] in about -1..1, on any device.
        items: [N,...].
        batch: items at once, >= 1; halved (down to one) when the device runs out of memory.
        fill: always give ``make`` a whole batch; in the last one, items from the beginning follow, which are dropped.

    Raises:
        ValueError: for a batch below one, or for no items.
        Diverged: if a made value is NaN or infinite.
    """
    if batch < 1 or len(items) == 0:
        raise ValueError(f"expected a batch of at least 1 and at least one item, got {batch} and {len(items)}")
    published: list[np.ndarray] = []
    start = 0
    while start < len(items):
        count = min(batch, len(items) - start)
        rows = np.arange(start, start + (batch if fill else count)) % len(items)
        try:
            with torch.inference_mode():
                made = _published(make(items[rows])[:count])
        except torch.cuda.OutOfMemoryError:
            if batch == 1:
                raise
            batch //= 2
            torch.cuda.empty_cache()
            log.warning("out of device memory: continuing with a batch of %d", batch)
            continue
        published.append(made.cpu().numpy())
        start += count
    return np.concatenate(published)


def _published(made: Tensor) -> Tensor:
    try:
        return to_bytes(made)
    except ValueError as error:
        raise Diverged(
            f"{error}. Lower the learning_rate, or train for longer, and look at the losses in train.jsonl."
        ) from error
