"""Data-parallel training: split each batch over the ranks of a process group, and average the gradients.

With the ranks' rows B_r of a batch B and w_r = |B_r| / |B|, the mean gradient over B is sum_r w_r g_r. Each rank draws
the noise of its own rows; this changes the random numbers but not their distribution. After the all-reduce all ranks
hold the same bytes.

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

import numpy as np
from torch import Tensor, nn

from .base import ProcessGroup

__all__ = ["average_gradients", "buffer_versions", "own_part"]


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


def average_gradients(
    net: nn.Module, group: ProcessGroup, share: float, versions: dict[str, int], loss: Tensor
) -> Tensor:
    """Average loss, gradients, and the buffers that this step has changed, over the ranks.

    Args:
        net: the network, after the backward pass; its gradients and buffers are overwritten.
        group: the process group.
        share: this rank's weight, from :func:`own_part`.
        versions: :func:`buffer_versions` from before the step.
        loss: this rank's loss.

    Returns:
        The loss averaged over the ranks, [1].
    """
    averaged = [loss.detach().reshape(1).float().clone()]
    averaged += [p.grad for p in net.parameters() if p.grad is not None]
    averaged += [buffer for name, buffer in net.named_buffers() if versions[name] != buffer._version]
    for tensor in averaged:
        tensor.mul_(share)
    group.all_reduce(averaged)
    return averaged[0]


def buffer_versions(net: nn.Module) -> dict[str, int]:
    """Return a version number for each buffer; it rises with every change in place."""
    return {name: buffer._version for name, buffer in net.named_buffers()}
