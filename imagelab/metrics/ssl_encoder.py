"""The default feature space, ``imagelab-ssl-v1``: a small convolutional encoder trained without labels to keep detail.

Five convolutions (bias and ReLU after each, batch norm folded into the weights), trained once by
``experiments/instruments/train_ssl_encoder.py`` on unlabelled images: rendered faces, rendered textures, and crops of
photographs. The training had three tasks: to distinguish one image from all others; to predict how strongly an image
was blurred, noised, compressed or smoothed; and to predict how much small detail an image lacks compared with a
version of it that has more. No task trained the encoder to ignore blur, noise or compression.

The features of an image are 128 numbers: mean and standard deviation over the positions of each of the 32 channels of
the first layer; and, computed from the means and deviations of all layers, 48 that distinguish images and 16 that
predict degradations (eight kinds of damage, eight amounts of small detail). Images are not resized: the encoder reads
16 px to 256 px a side.

The weights are stored next to this file (safetensors, float32). Their SHA-256 is written here. The model card,
``imagelab-ssl-v1.json``, describes what the features detect and what they miss. Distances in this space are called
FD, KD and PD, never FID, KID or LPIPS.

References:
    A simple framework for contrastive learning (Chen et al. 2020), arXiv:2002.05709: the first task. Differs from
    it: pairs are made by crops, flips and a tint only; blur as an augmentation would train the encoder to ignore blur.
"""

from __future__ import annotations

import hashlib
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from ..images import to_signed
from .base import NotMeasurable
from .blocks import in_blocks

if TYPE_CHECKING:
    from torch import Tensor

__all__ = ["DIGEST", "NAME", "PATH", "SMALLEST", "digest", "layers", "read_trunk", "statistics", "weights"]

NAME = "imagelab-ssl-v1"
DIGEST = "58b7cb295426219645e80e4ed7aa57304a4e7039514143763f1681e2f80eaa23"
"""SHA-256 of the file of weights. A changed file is a different instrument and needs a different name."""

PATH = Path(__file__).with_name(f"{NAME}.safetensors")
STRIDES = (2, 1, 2, 2, 2)
PUBLISHED = 1
"""Number of layers whose means and deviations are features; deeper layers enter through ``identity`` and ``readings``.
"""
FAINT = 1e-5  # added to each variance before its square root, as in training
SMALLEST = 16  # pixels a side: the fourth layer still has 2 x 2 positions


def read_trunk(path: Path, expected: str) -> dict[str, np.ndarray]:
    """Read a file of weights: float32 arrays by name.

    Args:
        path: the file.
        expected: its SHA-256, 64 hex digits.

    Raises:
        ValueError: naming the file, if it is missing or its SHA-256 is not the expected one.
    """
    again = "install imagelab again"
    try:
        content = path.read_bytes()
    except OSError as error:
        raise ValueError(f"{path}: cannot read the weights of {NAME} ({error.strerror}); {again}") from error
    actual = hashlib.sha256(content).hexdigest()
    if actual != expected:
        raise ValueError(f"{path}: expected SHA-256 {expected[:8]}..., got {actual[:8]}...: damaged; {again}")
    from safetensors.numpy import load

    return load(content)


@cache
def weights() -> dict[str, np.ndarray]:
    """Return the shipped weights, read and checked once.

    Keys, each with ``.weight`` and ``.bias``: ``conv_k`` of layer k, [out,in,h,w]; ``identity`` and ``hidden``, linear
    maps of the means and deviations of all channels of all layers; ``readings``, a linear map of ReLU(hidden).
    """
    return read_trunk(PATH, DIGEST)


@cache
def digest() -> str:
    """Return the SHA-256 of the file of weights, 64 hex digits, after checking that the installed file has it."""
    weights()
    return DIGEST


def layers(images: Tensor) -> list[Tensor]:
    """Return the activations of each layer.

    Args:
        images: uint8 [B,C,H,W], C = 3, or C = 1 (repeated to three equal channels); at least 16 px a side.

    Returns:
        float32 [B,C_k,H/s,W/s] for k = 0..4, s = 2, 2, 4, 8, 16, all >= 0.

    Raises:
        NotMeasurable: for images smaller than 16 px.
    """
    import torch

    if min(images.shape[-2:]) < SMALLEST:
        size = f"{images.shape[-2]} x {images.shape[-1]}"
        raise NotMeasurable(f"needs images of at least {SMALLEST} px a side, got {size}")
    signal = to_signed(images).expand(-1, 3, -1, -1).contiguous(memory_format=torch.channels_last)
    maps = []
    for k, stride in enumerate(STRIDES):
        weight, bias = (_tensor(f"conv_{k}.{part}", str(signal.device)) for part in ("weight", "bias"))
        signal = torch.nn.functional.conv2d(signal, weight, bias, stride, padding=weight.shape[-1] // 2).relu_()
        maps.append(signal)
    return maps


def statistics(images: Tensor) -> Tensor:
    """Return the features of images uint8 [B,C,H,W]: float32 [B,D].

    Order of the columns: means and deviations of the first ``PUBLISHED`` layers, then ``identity``, then ``readings``.
    """
    return in_blocks(_statistics, images)


def _statistics(images: Tensor) -> Tensor:
    import torch

    pooled = []
    for each in layers(images):
        flat = each.flatten(2)
        mean = flat.mean(2, keepdim=True)
        variance = torch.linalg.vector_norm(flat - mean, dim=2).square() / flat.shape[2]
        pooled += [mean.squeeze(2), (variance + FAINT).sqrt()]
    all_statistics = torch.cat(pooled, 1)
    identity, hidden = (_linear(f"{name}", all_statistics) for name in ("identity", "hidden"))
    return torch.cat([*pooled[: 2 * PUBLISHED], identity, _linear("readings", hidden.relu_())], 1)


def _linear(name: str, signal: Tensor) -> Tensor:
    import torch

    weight, bias = (_tensor(f"{name}.{part}", str(signal.device)) for part in ("weight", "bias"))
    return torch.nn.functional.linear(signal, weight, bias)


@cache
def _tensor(name: str, device: str) -> Tensor:
    import torch

    return torch.from_numpy(weights()[name].copy()).to(device)
