"""Blocks of one size for networks: the features of an image do not depend on the images that are read with it.

Matrix products and convolutions are computed by other routines for other batch sizes, with another rounding. On the CPU
a network therefore always reads blocks of one size; the last one is filled up with other images, whose features are
dropped. (Measured on one machine for all feature spaces, 16 to 128 px: in blocks of 16 or 32 the features are the same
bytes as in batches of 256.)
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor

__all__ = ["BLOCK", "in_blocks"]

BLOCK = 32
"""Images in a block of a small network."""


def in_blocks(network: Callable[[Tensor], Tensor], images: Tensor, size: int = BLOCK) -> Tensor:
    """Return the network's output for the images, computed block by block on the CPU, [N,...].

    Args:
        network: [B,...] -> [B,...]; row i of the output depends on row i of the input, except for rounding.
        images: [N,...], N >= 1. On another device than the CPU they are read as they are.
        size: B, images in a block.
    """
    import torch

    if images.device.type != "cpu":
        return network(images)
    made = []
    for start in range(0, len(images), size):
        rows = torch.arange(start, start + size) % len(images)
        made.append(network(images[rows])[: len(images) - start])
    return torch.cat(made)
