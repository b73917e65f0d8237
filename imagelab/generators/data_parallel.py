"""Data-parallel training: split each batch over the ranks of a process group, and average the gradients.

With the ranks' rows B_r of a batch B and w_r = |B_r| / |B|, the mean gradient over B is sum_r w_r g_r. torch's
DistributedDataParallel (DDP) averages over the R ranks with equal weights, so each rank's loss is multiplied by R w_r.
DDP adds up the gradients of the last layers while those of the first are still computed. Each rank draws the noise of
its own rows; this changes the random numbers but not their distribution. After a step all ranks hold the same bytes.

What the bytes of a generator depend on besides experiment and seed, on one kind of CPU (measured: 300 faces, default
networks of 64 px or 32 px, 128 images drawn; 2 threads against 1, 2 processes against 1; share of differing values):

    =============================  ===================  =========================  ====================================
    part                           sampling batch       threads                    processes
    =============================  ===================  =========================  ====================================
    closed forms: Gaussian, every  same                 last digits of the model;  same: rank 0 solves them alone
    untrained control                                   images 0 to 1e-5 by one
                                                        level, VAE 51 % by up to 9
    trained: VAE, DDPM, cascade    same                 as above, and carried on   differ: each rank draws its own noise
                                                        by training                (57 to 93 % of the values)
    sampling of a given model      same                 0 to 1e-5 by one level     same
    =============================  ===================  =========================  ====================================

So a run keeps its threads and processes when it is resumed, and no training is continued with others (the fingerprint
of a checkpoint contains them). Equal bytes for any number of processes would need noise for each image and a sum in a
fixed order of parts, which would change the results of every run with a single process.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch
import torch.distributed as dist
from torch import Tensor, nn

from .base import ProcessGroup

if TYPE_CHECKING:
    from .training import Loss

__all__ = ["SharedLoss", "own_part"]


def own_part(rows: np.ndarray, group: ProcessGroup) -> tuple[np.ndarray, float]:
    """Return the rows of a batch that this rank reads, and its weight w_r in the mean.

    A batch with fewer rows than ranks is not split: every rank reads all of it, with weight 1 / ranks.

    Args:
        rows: indices of the training images of the whole batch, [B].
        group: the process group.
    """
    if len(rows) < group.size:
        return rows, 1 / group.size
    mine = rows[group.rank :: group.size]
    return mine, len(mine) / len(rows)


class SharedLoss(nn.Module):
    """The loss of a net as a module that can be given to DDP: the net's parameters, and the loss as ``forward``.

    The net's buffers are not part of it, so DDP does not broadcast them in every step. The value of the loss, and the
    buffers that the step has changed, are averaged over the ranks here, by one all-reduce during the backward pass.

    Args:
        net: the network that the loss calls.
        loss: (images, noise source) -> (loss, named parts).

    Attributes:
        share: this rank's weight in the next step, from :func:`own_part`.
    """

    def __init__(self, net: nn.Module, loss: Loss) -> None:
        super().__init__()
        self.weights = nn.ParameterList(net.parameters())
        self.loss, self.buffers_of_net, self.share = loss, net.buffers, 1.0

    def forward(self, batch: Tensor, noise: torch.Generator) -> tuple[Tensor, dict[str, Tensor]]:
        """Return the loss times R w_r, and its named parts; begin to average what :meth:`average` waits for."""
        versions = [buffer._version for buffer in self.buffers_of_net()]
        value, terms = self.loss(batch, noise)
        pairs = zip(self.buffers_of_net(), versions, strict=True)
        self.changed = [buffer for buffer, old in pairs if buffer._version != old and buffer.is_floating_point()]
        self.sums = self.share * torch.cat([part.detach().flatten() for part in (value.float(), *self.changed)])
        self.reduction = dist.all_reduce(self.sums, async_op=True)
        return value * (dist.get_world_size() * self.share), terms

    def average(self) -> Tensor:
        """Finish the step: overwrite the buffers that it has changed by their averages; return the averaged loss."""
        self.reduction.wait()
        value, *means = self.sums.split([1, *(buffer.numel() for buffer in self.changed)])
        for buffer, mean in zip(self.changed, means, strict=True):
            buffer.copy_(mean.view_as(buffer))
        return value[0]
