"""What the priors of latent diffusion are trained on, and their losses.

Codes are taken from blocks of a fixed size, so that a closed form does not depend on the batch that the user has set.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from ..images import to_signed
from .base import FIT_BLOCK, RunContext
from .cascade import mirrored, moments
from .kernels import full_precision_of
from .latent_net import LatentNets, UpperPrior
from .training import Loss

__all__ = ["averaged_target", "detail_prior_loss", "solve_detail_prior", "solve_upper_prior", "upper_prior_loss"]

LEAST = 1e-4
"""Least standard deviation that codes are divided by."""


def coded(
    net: LatentNets, images: np.ndarray, mirror: bool, context: RunContext
) -> Iterator[tuple[Tensor, Tensor, Tensor]]:
    """Yield z, mean and log variance of c of blocks of images and, with ``mirror``, of their mirror images."""
    for start in range(0, len(images), FIT_BLOCK):
        signed = to_signed(torch.from_numpy(images[start : start + FIT_BLOCK]).to(context.device))
        for view in (signed, signed.flip(3)) if mirror else (signed,):
            with torch.no_grad(), full_precision_of(context):
                codes = net.first.encode(view)
            yield codes


def solve_upper_prior(net: LatentNets, images: np.ndarray, mirror: bool, context: RunContext) -> np.ndarray:
    """Set the closed form of the upper prior, and return its training data, float32 [N or 2N,latent]."""
    flow = net.upper.flow
    z = torch.cat([z for z, _, _ in coded(net, images, mirror, context)]) * net.first.axes.norm(dim=1)
    flow.mean.copy_(z.mean(0))
    flow.axes.copy_(torch.eye(z.shape[1]))
    flow.deviations.copy_(z.std(0, correction=0).clamp(min=LEAST))
    return flow.encode(z).cpu().numpy()


def solve_detail_prior(net: LatentNets, images: np.ndarray, mirror: bool, context: RunContext) -> None:
    """Set the closed form of the detail prior: mean and spread of c at each place, and the usual outline."""
    part, count = net.details, 0
    sums = [torch.zeros_like(part.mean).double() for _ in range(2)]
    outlines = [torch.zeros_like(part.usual[0]).double() for _ in range(2)]
    for z, mean, log_variance in coded(net, images, mirror, context):
        outline = net.first.outline(z).double()
        count += len(z)
        sums[0] += mean.double().sum(0)
        sums[1] += (mean.double().square() + log_variance.double().exp()).sum(0)  # c is drawn, with its noise
        for power, total in enumerate(outlines, 1):
            total += outline.pow(power).mean((2, 3)).sum(0)[:, None, None]
    average = sums[0] / count
    variance = functional.pad((sums[1] / count - average.square())[None], (1, 1, 1, 1), mode="replicate")
    part.mean.copy_(average)
    part.spread.copy_(functional.avg_pool2d(variance, 3, 1)[0].clamp(min=LEAST**2).sqrt())
    usual = outlines[0] / count
    part.usual[0] = usual
    part.usual[1] = (outlines[1] / count - usual.square()).clamp(min=LEAST**2).sqrt()


def upper_prior_loss(prior: UpperPrior) -> Loss:
    """Return the loss of the upper prior: (coordinates, noise source) -> (loss per coordinate, its named parts)."""

    def loss(z: Tensor, noise: torch.Generator) -> tuple[Tensor, dict[str, Tensor]]:
        e = torch.randn(z.shape, generator=noise, device=z.device)
        t = moments(len(z), noise, z.device, 0.3, 1.0)
        error = (prior((1 - t[:, None]) * z + t[:, None] * e, t) - (e - z)).square().mean()
        return error, {"upper": error.detach()}

    return loss


def detail_prior_loss(net: LatentNets, mirror: bool, time_centre: float, time_spread: float) -> Loss:
    """Return the loss of the detail prior: (images in -1..1, noise source) -> (loss per number of c, its parts).

    The first stage encodes each batch anew, so that codes of the whole training set are never held. It gives c a
    Gaussian noise of known variance, and the target is averaged over that noise (:func:`averaged_target`).
    """
    prior, first = net.details, net.first

    def loss(images: Tensor, noise: torch.Generator) -> tuple[Tensor, dict[str, Tensor]]:
        def draw(like: Tensor) -> Tensor:
            return torch.randn(like.shape, generator=noise, device=like.device)

        images = mirrored(images, noise) if mirror else images
        with torch.no_grad():
            z, mean, log_variance = first.encode(images)
            clean, spread = prior.encode(mean), (0.5 * log_variance).exp() / prior.spread
            given = prior.givens(first.outline(z + first.spread * draw(z)))
        t = moments(len(clean), noise, clean.device, time_centre, time_spread)
        at = t[:, None, None, None]
        blur = (1 - at) * spread * draw(clean) + at * draw(clean)
        target = averaged_target(clean, blur, spread, at)
        error = (prior((1 - at) * clean + blur, t, given) - target).square().mean()
        return error, {"details": error.detach()}

    return loss


def averaged_target(clean: Tensor, blur: Tensor, spread: Tensor, t: Tensor) -> Tensor:
    """Return the mean of e - x at a state of a flow x_t = (1 - t) x + t e whose data x = m + s n have known noise n.

    With m and x_t, only u = x_t - (1 - t) m = (1 - t) s n + t e is known of n and e. Both are Gaussian, so that

        E[e - x | m, u] = u (t - (1 - t) s^2) / ((1 - t)^2 s^2 + t^2) - m.

    A network that is trained on this mean instead of e - x has the same optimum, and gradients of smaller variance
    (Rao-Blackwell). Numbers of c that carry nothing but noise cost nothing.

    Args:
        clean: m.
        blur: u, of the same form.
        spread: s, of the same form.
        t: times in 0..1, shaped to broadcast.
    """
    return blur * (t - (1 - t) * spread.square()) / ((1 - t).square() * spread.square() + t.square()) - clean
