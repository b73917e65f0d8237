"""An untrained feature space: a small random convolutional net, the same on every machine.

Three strided convolutions with He-normal weights drawn from a named random stream, ReLU after each, no bias. The mean
of 12 of the 16 filters of the first layer is subtracted, separately for each colour: these filters respond to edges and
texture and not to flat colour. (Measured on 600 faces of 64 px: a blur of half a pixel raises the Fréchet distance to
1.9-2.5 times that of real against real; with plain filters, 1.2 times.) The features are the mean and the standard
deviation over the positions of every channel of every layer: 2 (16 + 32 + 64) = 224 numbers.

It works from 16 px to 256 px without resizing, needs no download, and was trained on no images. So it is the control
for learned spaces, not a substitute: distances in it are never called FID or LPIPS. Three seeds show how much a result
depends on the random weights.

References:
    What's the best multi-stage architecture for object recognition? (Jarrett et al. 2009),
    doi:10.1109/ICCV.2009.5459469: random filters as features.
    Delving deep into rectifiers (He et al. 2015), arXiv:1502.01852: the scale of the weights.
"""

from __future__ import annotations

import hashlib
from functools import cache
from typing import TYPE_CHECKING

import numpy as np

from ..images import to_signed
from ..seeds import rng_at
from .base import NotMeasurable
from .blocks import in_blocks

if TYPE_CHECKING:
    from torch import Tensor

__all__ = ["LAYERS", "SMALLEST", "digest", "layers", "statistics", "weights"]

LAYERS = ((3, 16, 5), (16, 32, 3), (32, 64, 3))
"""(channels in, channels out, kernel) of each layer; every one has stride 2."""

EDGES = 12  # filters of the first layer that do not respond to flat colour; the other four do
SMALLEST = 16  # pixels a side: the last layer still has 2 x 2 positions


@cache
def weights(seed: int) -> tuple[np.ndarray, ...]:
    """Return the weights of each layer: float32 [out,in,k,k], variance 2 / (in k k) before means are subtracted."""
    rng = rng_at(seed, "randconv")
    shapes = [(out, into, kernel, kernel) for into, out, kernel in LAYERS]
    drawn = [rng.standard_normal(s) * np.sqrt(2.0 / np.prod(s[1:])) for s in shapes]
    drawn[0][:EDGES] -= drawn[0][:EDGES].mean(axis=(2, 3), keepdims=True)
    return tuple(each.astype(np.float32) for each in drawn)


@cache
def digest(seed: int) -> str:
    """Return the SHA-256 of the weights' bytes (little-endian float32), 64 hex digits."""
    return hashlib.sha256(b"".join(w.astype("<f4").tobytes() for w in weights(seed))).hexdigest()


def layers(images: Tensor, seed: int) -> list[Tensor]:
    """Return the activations of each layer.

    Args:
        images: uint8 [B,C,H,W], C = 3, or C = 1 (repeated to three equal channels); at least 16 px a side.
        seed: which of the random nets.

    Returns:
        float32 [B,16,H/2,W/2], [B,32,H/4,W/4], [B,64,H/8,W/8], all >= 0.

    Raises:
        NotMeasurable: for images smaller than 16 px.
    """
    import torch

    if min(images.shape[-2:]) < SMALLEST:
        size = f"{images.shape[-2]} x {images.shape[-1]}"
        raise NotMeasurable(f"needs images of at least {SMALLEST} px a side, got {size}")
    signal, maps = to_signed(images).expand(-1, 3, -1, -1), []
    for filters in _filters(seed, str(signal.device)):
        signal = torch.nn.functional.conv2d(signal, filters, stride=2, padding=filters.shape[-1] // 2).relu_()
        maps.append(signal)
    return maps


@cache
def _filters(seed: int, device: str) -> tuple[Tensor, ...]:
    """Return the weights as tensors; they are copied to a device once, and not for every batch."""
    import torch

    with torch.inference_mode(False):
        return tuple(torch.from_numpy(weight).to(device) for weight in weights(seed))


def statistics(images: Tensor, seed: int) -> Tensor:
    """Return the features: mean and standard deviation of each channel of each layer, float32 [B,224]."""
    return in_blocks(lambda block: _statistics(block, seed), images)


def _statistics(images: Tensor, seed: int) -> Tensor:
    import torch

    columns = []
    for each in layers(images, seed):
        flat = each.flatten(2)
        mean = flat.mean(2, keepdim=True)
        spread = torch.linalg.vector_norm(flat - mean, dim=2) / flat.shape[2] ** 0.5  # twice as fast as var_mean
        columns += [mean.squeeze(2), spread]
    return torch.cat(columns, 1)
