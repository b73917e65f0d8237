"""What the processes of one training do together in a step: share the batch, meet over the gradients.

With the ranks' rows B_r of a batch B and w_r = |B_r| / |B|, the mean gradient over B is sum_r w_r g_r. Each rank draws
the noise of its own rows; that changes the draw and not its law. After the meeting all ranks hold the same bytes.
"""

from __future__ import annotations

import numpy as np
from torch import Tensor, nn

from .base import ProcessGroup

__all__ = ["average_gradients", "buffer_versions", "own_part"]


def own_part(rows: np.ndarray, group: ProcessGroup) -> tuple[np.ndarray, float]:
    """Return the rows of a batch that this rank reads, and its weight in the mean; all of them where they are few."""
    if len(rows) < group.size:
        return rows, 1 / group.size
    mine = rows[group.rank :: group.size]
    return mine, len(mine) / len(rows)


def average_gradients(
    net: nn.Module, group: ProcessGroup, share: float, versions: dict[str, int], loss: Tensor
) -> Tensor:
    """Average loss, gradients, and the buffers that this step has changed, over the team; return the team's loss.

    Args:
        net: after the backward pass. share: this rank's weight. versions: of the buffers, from before the step.
        loss: this rank's.
    """
    whole = [loss.detach().reshape(1).float().clone()]
    whole += [p.grad for p in net.parameters() if p.grad is not None]
    whole += [buffer for name, buffer in net.named_buffers() if versions[name] != buffer._version]
    for tensor in whole:
        tensor.mul_(share)
    group.all_reduce(whole)
    return whole[0]


def buffer_versions(net: nn.Module) -> dict[str, int]:
    """Return a number for each buffer that rises with every change in place."""
    return {name: buffer._version for name, buffer in net.named_buffers()}
