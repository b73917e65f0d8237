"""The closed forms of a cascade: the scale of the details of every octave, and the axes of its coarse stage.

The rounding of sums, and the rows that the coarse stage reads in training, depend on blocks and their order. Both are
fixed, whatever batch the user has set: 256 images, their mirror images, the next 256 images and so on.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from ..images import to_signed
from .base import FIT_BLOCK, RunContext
from .cascade_net import CascadeNet, DetailNet, shrink
from .principal_components import principal_components

__all__ = ["scale_details", "solve_closed_forms"]

LEAST_SPREAD = 1 / 127.5
"""Least standard deviation that details are divided by, one grey level. It keeps constant pixels from dominating."""


def solve_closed_forms(net: CascadeNet, images: np.ndarray, mirror: bool, context: RunContext) -> np.ndarray:
    """Set mean and spread of the details of every octave, then the principal components of the coarse stage.

    Returns:
        The training data of the coarse stage: the coordinates of every image and, with ``mirror``, of its mirror image,
        float32 [N or 2N,k].
    """

    def views() -> Iterator[Tensor]:
        for start in range(0, len(images), FIT_BLOCK):
            signed = to_signed(torch.from_numpy(images[start : start + FIT_BLOCK]).to(context.device))
            yield from (signed, signed.flip(3)) if mirror else (signed,)

    for part in net.octaves:
        scale_details(part, views())
    described = torch.cat([net.describe(signed) for signed in views()])
    contrasts = net.read(described)[1]
    for part in net.octaves:
        part.usual[0] = contrasts.mean((0, 2, 3))[:, None, None]
        part.usual[1] = contrasts.std((0, 2, 3)).clamp(min=LEAST_SPREAD)[:, None, None]
    coarse = net.coarse
    mean, variances, directions, _ = principal_components(described, len(coarse.deviations), unbiased=False)
    coarse.mean.copy_(mean)
    coarse.axes.copy_(directions)
    coarse.deviations.copy_(variances.sqrt().clamp(min=LEAST_SPREAD / 100))
    return coarse.encode(described).cpu().numpy()


def scale_details(part: DetailNet, images: Iterator[Tensor]) -> None:
    """Set mean and spread of an octave's details, and spread of its coarse images' details, over 3 x 3 pixels each.

    Args:
        part: the octave.
        images: batches of whole images [B,C,H,W] in -1..1.
    """

    def smooth(variance: Tensor) -> Tensor:
        padded = functional.pad(variance[None], (1, 1, 1, 1), mode="replicate")
        return functional.avg_pool2d(padded, 3, 1)[0].clamp(min=LEAST_SPREAD**2).sqrt()

    count, total, square = 0, torch.zeros_like(part.mean).double(), torch.zeros_like(part.mean).double()
    below = torch.zeros_like(part.specks).double()
    for signed in images:
        coarse = shrink(signed, part.grid)
        details = part.over(shrink(signed, part.side), coarse).double()
        count, total, square = count + len(signed), total + details.sum(0), square + details.square().sum(0)
        below += part.over(coarse, shrink(coarse, part.grid // 2)).double().square().sum(0)
    mean = total / count
    part.mean.copy_(mean)
    part.spread.copy_(smooth(square / count - mean**2))
    part.specks.copy_(smooth(below / count))
