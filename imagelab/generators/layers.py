"""Layers that the small diffusion networks share: residual blocks, conditioned on the time t by gain and shift.

Every block starts as the identity, because its last layer starts from zero. So a new network returns its closed-form
part, and training adds to that.

References:
    FiLM: visual reasoning with a general conditioning layer (Perez et al. 2018), arXiv:1709.07871.
    Root mean square layer normalization (Zhang and Sennrich 2019), arXiv:1910.07467.
"""

from __future__ import annotations

import math
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional

__all__ = ["TIMES", "ConvBlock", "DenseBlock", "Norm", "UNetLayers", "opponent_colours", "times", "zero"]

TIMES = 64
"""Length of the encoding of a time: sines and cosines of 32 frequencies."""


def times(t: Tensor) -> Tensor:
    """Encode times in 0..1 by sines and cosines of geometrically rising frequency: [B] -> [B,TIMES]."""
    rates = torch.exp(torch.linspace(0.0, math.log(200.0), TIMES // 2, device=t.device))
    angles = t[:, None] * rates
    return torch.cat([angles.sin(), angles.cos()], 1)


def opponent_colours(channels: int) -> Tensor:
    """Return the orthonormal transform of RGB to light, red - blue and green - magenta, float64 [C,C].

    Args:
        channels: C; of other images than colour images the transform changes nothing.
    """
    if channels != 3:
        return torch.eye(channels, dtype=torch.float64)
    rows = [[3**-0.5] * 3, [2**-0.5, 0.0, -(2**-0.5)], [6**-0.5, -2 * 6**-0.5, 6**-0.5]]
    return torch.tensor(rows, dtype=torch.float64)


def zero(*layers: nn.Linear | nn.Conv2d) -> None:
    """Set weights and biases of layers to zero, so that the output of a new network is zero."""
    for layer in layers:
        nn.init.zeros_(layer.weight)
        if layer.bias is not None:
            nn.init.zeros_(layer.bias)


class DenseBlock(nn.Module):
    """H + W2 silu(W1 (norm(H) (1 + g) + u)), with g and u conditioned on t.

    Args:
        width: channels of H and of the encoded time.
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        self.told = nn.Linear(width, 2 * width)  # gain and shift; the name is a key in saved models
        self.inner = nn.Linear(width, width)
        self.outer = nn.Linear(width, width)
        zero(self.told, self.outer)

    def forward(self, h: Tensor, time: Tensor) -> Tensor:
        """H [B,width], time [B,width] -> [B,width]."""
        gain, shift = self.told(time).chunk(2, 1)
        normed = functional.layer_norm(h, h.shape[1:])
        return h + self.outer(functional.silu(self.inner(normed * (1 + gain) + shift)))


class Norm(nn.Module):
    """X / rms X over the channels of one place; independent of other places, so crops give the same as whole images."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.gain = nn.Parameter(torch.ones(1, width, 1, 1))

    def forward(self, x: Tensor) -> Tensor:
        """[B,width,h,w] -> the same."""
        return x * torch.rsqrt(x.square().mean(1, keepdim=True) + 1e-5) * self.gain


class ConvBlock(nn.Module):
    """H + conv(silu(norm(conv(silu(norm(H)))) (1 + g) + u)), with g and u conditioned on t.

    Args:
        width: channels of H.
        time_width: length of the encoded time.
    """

    def __init__(self, width: int, time_width: int) -> None:
        super().__init__()
        self.before, self.between = Norm(width), Norm(width)
        self.inner = nn.Conv2d(width, width, 3, padding=1)
        self.outer = nn.Conv2d(width, width, 3, padding=1)
        self.told = nn.Linear(time_width, 2 * width)  # gain and shift; the name is a key in saved models
        zero(self.outer, self.told)

    def forward(self, h: Tensor, time: Tensor) -> Tensor:
        """H [B,width,y,x], time [B,time_width] -> [B,width,y,x]."""
        gain, shift = self.told(time)[:, :, None, None].chunk(2, 1)
        inner = self.between(self.inner(functional.silu(self.before(h))))
        return h + self.outer(functional.silu(inner * (1 + gain) + shift))


class UNetLayers(nn.Module):
    """A U-Net with one block a level on the way down and one on the way up; every level but the first halves the side.

    A network inherits it, so that the names of its layers are keys in the saved model of that network.
    """

    def add_levels(self, enters: int, leaves: int, widths: tuple[int, ...], grid: int) -> None:
        """Make the layers; the output of new ones is zero.

        Args:
            enters: channels of the input.
            leaves: channels of the output.
            widths: channels of each level, finest first.
            grid: side of a whole input.
        """
        time_width = 128
        self.place = nn.Parameter(torch.zeros(widths[0], grid, grid))
        self.time = nn.Sequential(nn.Linear(TIMES, time_width), nn.SiLU(), nn.Linear(time_width, time_width), nn.SiLU())
        self.enter = nn.Conv2d(enters, widths[0], 3, padding=1)
        self.down = nn.ModuleList([nn.Conv2d(a, b, 2, 2) for a, b in pairwise(widths)])
        self.up = nn.ModuleList([nn.Conv2d(b, a, 1) for a, b in pairwise(widths)])
        self.falling = nn.ModuleList([ConvBlock(level, time_width) for level in widths])
        self.rising = nn.ModuleList([ConvBlock(level, time_width) for level in widths[:-1]])
        self.last = Norm(widths[0])
        self.leave = nn.Conv2d(widths[0], leaves, 3, padding=1)
        zero(self.leave)

    def through_levels(self, h: Tensor, t: Tensor, window: tuple[slice, slice] | None = None) -> Tensor:
        """Return the output for an input: [B,enters,h,w] at times [B] -> [B,leaves,h,w].

        Args:
            h: the whole input, or a crop.
            t: times in 0..1.
            window: position of the crop (rows, columns); None for whole inputs.
        """
        where = (..., *(window or (slice(None), slice(None))))
        h, time, kept = self.enter(h) + self.place[where], self.time(times(t)), list[Tensor]()
        for block, down in zip(self.falling, self.down, strict=False):
            h = block(h, time)
            kept.append(h)
            h = down(h)
        h = self.falling[-1](h, time)
        for block, up in zip(reversed(self.rising), reversed(self.up), strict=True):
            h = block(kept.pop() + functional.interpolate(up(h), scale_factor=2.0), time)
        return self.leave(functional.silu(self.last(h)))
