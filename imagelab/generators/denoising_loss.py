"""The loss of a diffusion model, and the weight of each noise level in it.

References:
    Efficient diffusion training via Min-SNR weighting strategy (Hang et al. 2023), arXiv:2303.09556.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from torch import Generator, Tensor

    from .ddpm import Ddpm
    from .training import Loss

__all__ = ["Prediction", "Weighting", "denoising_loss", "loss_weight"]

WEIGHT_LIMIT = 25.0
"""Largest weight of the image's error with weighting "velocity", reached at the smallest noise."""

SNR_LIMIT = 5.0
"""Largest weight of the image's error with weighting "min_snr", the gamma of Hang et al. 2023."""

DETAIL = (-1.2, 1.4)
"""Mean and standard deviation of the logit of time / noise_steps, for training levels "detail"."""

Prediction = Literal["epsilon", "v_prediction", "sample"]
Weighting = Literal["none", "velocity", "min_snr", "gaussian"]


def loss_weight(kept: Tensor, prediction: Prediction, weighting: Weighting, expected: Tensor | None = None) -> Tensor:
    """Return the weight of the squared error of the prediction, at each noise level: [B].

    A weighting is defined for the error of the image. The squared errors of the noise and of v are that of the image,
    divided by (1 - a) / a and by 1 - a. With these factors two nets with the same image estimate have the same loss.

    Args:
        kept: a = alpha-bar, [B], inside 0..1.
        prediction: see ``Ddpm``.
        weighting: see ``Ddpm``.
        expected: for weighting "gaussian", the expected squared error of the closed form for the image, [B].
    """
    exchange = {"epsilon": (1 - kept) / kept, "v_prediction": 1 - kept, "sample": kept.new_ones(len(kept))}[prediction]
    if weighting == "none":
        return kept.new_ones(len(kept))
    if weighting == "velocity":
        return exchange * (1 / (1 - kept)).clamp(max=WEIGHT_LIMIT)
    if expected is not None:
        return exchange / expected
    return exchange * (kept / (1 - kept)).clamp(max=SNR_LIMIT)  # Eq. of section 3.4, Hang et al. 2023


def denoising_loss(net: Any, scheduler: Any, recipe: Ddpm) -> Loss:
    """Return the loss of a training: the weighted squared error of the prediction at random noise levels.

    Args:
        net: called with x_t and times, folded; for weighting "gaussian" a PatchNet.
        scheduler: diffusers' DDPMScheduler.
        recipe: patch, prediction, weighting, levels and mirror are used.
    """
    import torch
    from torch.nn import functional

    from .cascade import mirrored

    steps, (mean, deviation) = recipe.noise_steps, DETAIL

    def drawn(count: int, noise: Generator, device: Any) -> Tensor:
        if recipe.levels == "even":
            return torch.randint(steps, (count,), generator=noise, device=device)
        logit = mean + deviation * torch.randn(count, generator=noise, device=device)
        return (torch.sigmoid(logit) * steps).long().clamp(max=steps - 1)

    def loss(images: Tensor, noise: Generator) -> tuple[Tensor, dict[str, Tensor]]:
        device = images.device
        images = mirrored(images, noise) if recipe.mirror else images
        clean = functional.pixel_unshuffle(images, recipe.patch)
        times = drawn(len(clean), noise, device)
        added = torch.randn(clean.shape, generator=noise, device=device)
        answer = net(scheduler.add_noise(clean, added, times), times).sample.float()
        target = {"epsilon": added, "sample": clean}.get(recipe.prediction)
        if target is None:
            target = scheduler.get_velocity(clean, added, times)
        error = (answer - target).square().mean((1, 2, 3))
        if recipe.weighting == "none":
            return error.mean(), {}
        expected = net.gaussian_error(times) if recipe.weighting == "gaussian" else None
        kept = scheduler.alphas_cumprod.to(device)[times]
        weight = loss_weight(kept, recipe.prediction, recipe.weighting, expected)
        return (weight * error).mean(), {"error": error.mean().detach()}

    return loss
