"""The weight of each noise level in the loss of a diffusion model.

References:
    Efficient diffusion training via Min-SNR weighting strategy (Hang et al. 2023), arXiv:2303.09556.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from torch import Tensor

__all__ = ["Prediction", "Weighting", "loss_weight"]

WEIGHT_LIMIT = 25.0
"""Largest weight of the image's error with weighting "velocity", reached at the smallest noise."""

SNR_LIMIT = 5.0
"""Largest weight of the image's error with weighting "min_snr", the gamma of Hang et al. 2023."""

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
