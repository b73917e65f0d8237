"""The feature space of the house, ``imagelab-ssl-v1``: a small convolutional trunk that taught itself to see detail.

Five convolutions (bias and ReLU after each, batch norm folded away), trained once by
``experiments/instruments/train_ssl_encoder.py`` on pictures that carry no label: drawn faces, drawn textures, and
crops of photographs. Its lessons were to tell one picture from all others, to say how strongly one was blurred,
noised, compressed or smoothed, and to say how much small detail a picture lacks beside its richer twin. None of it was
ever asked to overlook a blur, a noise or a compression.

The features of an image are 128 numbers: mean and standard deviation over the positions of each of the 32 channels of
the first layer; and, read from the means and deviations of all layers, 48 that tell pictures apart and 16 that tell
what befell them (eight damages, eight amounts of small detail). Nothing is resized: it reads 16 px to 256 px a side.

The weights lie beside this file (safetensors, float32) under a SHA-256 that is written here, and what they see and do
not see is on their card, ``imagelab-ssl-v1.json``. Distances taken in it are FD, KD and PD, never FID, KID or LPIPS.

References:
    A simple framework for contrastive learning (Chen et al. 2020), arXiv:2002.05709: the first lesson. Differs from
    it: crops, flips and a tint make the pairs; a blur would teach blindness to what is measured here.
"""

from __future__ import annotations

import hashlib
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from ..images import to_signed
from .base import NotMeasurable

if TYPE_CHECKING:
    from torch import Tensor

__all__ = ["DIGEST", "NAME", "PATH", "SMALLEST", "digest", "layers", "read_trunk", "statistics", "weights"]

NAME = "imagelab-ssl-v1"
DIGEST = "58b7cb295426219645e80e4ed7aa57304a4e7039514143763f1681e2f80eaa23"
"""SHA-256 of the file of weights. Another file is another instrument and gets another name."""

PATH = Path(__file__).with_name(f"{NAME}.safetensors")
STRIDES = (2, 1, 2, 2, 2)
PUBLISHED = 1
"""Layers whose means and deviations are features themselves; the deeper ones speak through the readings."""
FAINT = 1e-5  # added to each variance before its root, as in the lessons
SMALLEST = 16  # pixels a side: the fourth layer still has 2 x 2 positions


def read_trunk(path: Path, expected: str) -> dict[str, np.ndarray]:
    """Read a file of weights: float32 arrays by name.

    Args:
        path: the file. expected: its SHA-256, 64 hex digits.

    Raises:
        ValueError: naming the file, if it is missing or is not the one with this SHA-256.
    """
    again = "install imagelab again"
    try:
        content = path.read_bytes()
    except OSError as error:
        raise ValueError(f"{path}: cannot read the weights of {NAME} ({error.strerror}); {again}") from error
    found = hashlib.sha256(content).hexdigest()
    if found != expected:
        raise ValueError(f"{path}: expected SHA-256 {expected[:8]}..., got {found[:8]}...: damaged; {again}")
    from safetensors.numpy import load

    return load(content)


@cache
def weights() -> dict[str, np.ndarray]:
    """Return the shipped weights, read and checked once.

    Keys, each with ``.weight`` and ``.bias``: ``conv_k`` of layer k, [out,in,h,w]; ``identity`` and ``hidden``, linear
    in the means and deviations of all channels of all layers; ``readings``, linear in hidden after its ReLU.
    """
    return read_trunk(PATH, DIGEST)


@cache
def digest() -> str:
    """Return the SHA-256 of the weights' file, 64 hex digits, after checking that the file at hand has it."""
    weights()
    return DIGEST


def layers(images: Tensor) -> list[Tensor]:
    """Return the activations of each layer.

    Args:
        images: uint8 [B,C,H,W], C = 1 (taken as three equal channels) or 3, at least 16 px a side.

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
    """Return the features of images uint8 [B,C,H,W]: float32 [B,D], the published layers' statistics, then the top."""
    import torch

    pooled = []
    for each in layers(images):
        flat = each.flatten(2)
        mean = flat.mean(2, keepdim=True)
        variance = torch.linalg.vector_norm(flat - mean, dim=2).square() / flat.shape[2]
        pooled += [mean.squeeze(2), (variance + FAINT).sqrt()]
    told = torch.cat(pooled, 1)
    identity, hidden = (_linear(f"{name}", told) for name in ("identity", "hidden"))
    return torch.cat([*pooled[: 2 * PUBLISHED], identity, _linear("readings", hidden.relu_())], 1)


def _linear(name: str, signal: Tensor) -> Tensor:
    import torch

    weight, bias = (_tensor(f"{name}.{part}", str(signal.device)) for part in ("weight", "bias"))
    return torch.nn.functional.linear(signal, weight, bias)


@cache
def _tensor(name: str, device: str) -> Tensor:
    import torch

    return torch.from_numpy(weights()[name].copy()).to(device)
