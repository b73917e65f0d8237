"""The network of a diffusion model on folded pixels: the closed form for a Gaussian, plus a small U-Net for the rest.

p x p pixels are folded into channels; an image of 32 px is a grid of 8 x 8 places at p = 4, and costs a fortieth of
what it would cost unfolded. For data N(mu, S), S = V^T diag(l) V + r (I - V^T V) with V the principal components, the
optimal prediction of x from x_t = sqrt(a) x + sqrt(1 - a) e is linear in x_t, and its error variance in each direction
is known:

    G(x_t) = mu + sqrt(a) S (a S + (1 - a) I)^-1 (x_t - sqrt(a) mu),    variance l (1 - a) / (a l + 1 - a).    (1)

The net adds the non-Gaussian part,

    D = G + c(a) F(x_t, G, a),                                                                                 (2)

with c^2 the mean of those variances, so that the target of F has variance one at any noise level. F starts at zero: the
untrained net is probabilistic PCA, which is the control that training has to beat. e and v are computed from D.

References:
    Elucidating the design space of diffusion-based generative models (preconditioning; Karras et al. 2022),
    arXiv:2206.00364.
    The unreasonable effectiveness of Gaussian score approximation (Wang and Vastola 2024), arXiv:2412.09726.
    Back to basics: let denoising generative models denoise (predicting the image on patches; Li and He 2025),
    arXiv:2511.13720.
"""

from __future__ import annotations

import math
from itertools import pairwise
from typing import Any, ClassVar

import numpy as np
import torch
from diffusers import ConfigMixin, ModelMixin
from diffusers.configuration_utils import register_to_config
from diffusers.models.unets.unet_2d import UNet2DOutput
from torch import Tensor, nn
from torch.nn import functional

from ..images import to_signed
from ..io.large_arrays import blocks_of
from .base import FIT_BLOCK, RunContext
from .gaussian import Gaussian
from .layers import TIMES, ConvBlock, Norm, opponent_colours, times, zero

__all__ = ["COMPONENTS", "LocalPatchNet", "PatchNet", "patch_basis", "solve_closed_form"]

COMPONENTS = 128
"""Principal components of the closed form, where there are enough images."""

MOST_IMAGES = 4096
"""The closed form is fitted to the first so many images at most."""

LEAST_VARIANCE = (1 / 127.5) ** 2 / 12
"""Least variance in a direction, that of rounding to bytes; it prevents a division by zero for equal images."""


class Mixing(nn.Module):
    """Self-attention over the places: H + W_o attention(norm H), heads of at most 32 channels."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.heads = next(heads for heads in range(max(1, width // 32), 0, -1) if width % heads == 0)
        self.norm = Norm(width)
        self.asked = nn.Linear(width, 3 * width)  # queries, keys, values; the name is a key in saved models
        self.told = nn.Linear(width, width)  # the output projection W_o; likewise
        zero(self.told)

    def forward(self, h: Tensor) -> Tensor:
        """[B,width,y,x] -> the same."""
        count, width, rows, columns = h.shape
        places = self.norm(h).permute(0, 2, 3, 1).reshape(count, rows * columns, width)
        projected = self.asked(places).reshape(count, rows * columns, 3, self.heads, width // self.heads)
        mixed = functional.scaled_dot_product_attention(*(part.transpose(1, 2) for part in projected.unbind(2)))
        update = self.told(mixed.transpose(1, 2).reshape(count, rows, columns, width))
        return h + update.permute(0, 3, 1, 2)


class PatchNet(ModelMixin, ConfigMixin):
    """A U-Net on folded pixels around a closed form, called as diffusers' UNet2DModel is.

    Args:
        sample_size: side of the grid, in places.
        in_channels: folded channels, C p^2.
        channels: width of each level.
        blocks: residual blocks a level, on the way down and again on the way up.
        attention: self-attention between the places of the coarsest level.
        prediction: the output, "epsilon", "v_prediction" or "sample".
        noise_levels: length of the noise schedule.
        components: k, of the closed form.

    Buffers:
        kept: [noise_levels], a = alpha-bar.
        mean: [D], D = C p^2 places^2 values in the order (y, x, folded channel).
        axes: [k,D], orthonormal rows.
        variances: [k], l.
        rest: [], r.
    """

    inputs: ClassVar[int] = 2
    """Images that the network reads: x_t and G."""

    kept: Tensor
    mean: Tensor
    axes: Tensor
    variances: Tensor
    rest: Tensor

    @register_to_config
    def __init__(
        self,
        sample_size: int,
        in_channels: int,
        channels: tuple[int, ...],
        blocks: int,
        attention: bool,
        prediction: str,
        noise_levels: int,
        components: int,
    ) -> None:
        super().__init__()
        time_width, values = 128, in_channels * sample_size**2
        self.grid, self.answers = (sample_size, sample_size, in_channels), prediction
        self.register_buffer("kept", torch.full((noise_levels,), 0.5))
        self.register_buffer("mean", torch.zeros(values))
        self.register_buffer("axes", torch.zeros(components, values))
        self.register_buffer("variances", torch.ones(components))
        self.register_buffer("rest", torch.ones(()))
        self.time = nn.Sequential(nn.Linear(TIMES, time_width), nn.SiLU(), nn.Linear(time_width, time_width), nn.SiLU())
        self.enter = nn.Conv2d(self.inputs * in_channels, channels[0], 1)
        self.place = nn.Parameter(torch.zeros(channels[0], sample_size, sample_size))
        self.falling = nn.ModuleList([ConvBlock(width, time_width) for width in channels for _ in range(blocks)])
        self.rising = nn.ModuleList([ConvBlock(width, time_width) for width in channels[-2::-1] for _ in range(blocks)])
        self.mixing = Mixing(channels[-1]) if attention else nn.Identity()
        self.down = nn.ModuleList([nn.Conv2d(fine, coarse, 2, 2) for fine, coarse in pairwise(channels)])
        self.up = nn.ModuleList([nn.Conv2d(coarse, fine, 1) for coarse, fine in pairwise(channels[::-1])])
        self.last = Norm(channels[0])
        self.leave = nn.Conv2d(channels[0], in_channels, 1)
        zero(self.leave)

    def forward(self, state: Tensor, time: Tensor) -> UNet2DOutput:
        """Return the prediction at x_t, [B,C p^2,y,x], in ``.sample``.

        Args:
            state: x_t, [B,C p^2,y,x].
            time: its level in the schedule, [B] or a single one; whole numbers.
        """
        time = time.long().expand(len(state))
        with torch.autocast(state.device.type, enabled=False):  # half precision is too coarse at the smallest noise
            state = state.float()
            a = self.kept[time][:, None, None, None]
            read, guess, spread = self.estimate(state, a)
        answer = self._rest(torch.cat(read, 1), times(time / len(self.kept)))
        with torch.autocast(state.device.type, enabled=False):  # the rotation back is a product, too
            clean = self.rotate(guess + spread * answer.float(), back=True)  # Eq. 2
            if self.answers == "sample":
                return UNet2DOutput(sample=clean)
            noise = (state - a.sqrt() * clean) / (1 - a).sqrt()
            velocity = a.sqrt() * noise - (1 - a).sqrt() * clean
            return UNet2DOutput(sample=noise if self.answers == "epsilon" else velocity)

    def gaussian_error(self, time: Tensor) -> Tensor:
        """Return c^2, the expected squared error per value of the closed form: times [B] -> [B]."""
        return self._error(self.kept[time.long()][:, None])[:, 0]

    def _error(self, a: Tensor) -> Tensor:
        """c^2 at a [B,1]: [B,1]."""
        return self._mean(
            (1 - a) / (a * self.variances + 1 - a) * self.variances, (1 - a) / (a * self.rest + 1 - a) * self.rest
        )

    def rotate(self, values: Tensor, back: bool = False) -> Tensor:
        """Folded pixels -> the values that the closed form describes, or back; here they are the same."""
        return values

    def estimate(self, state: Tensor, a: Tensor) -> tuple[list[Tensor], Tensor, Tensor]:
        """Return what the network reads, G, and the spread c of Eq. 2, from x_t [B,C p^2,y,x] and a [B,1,1,1]."""
        scaled, guess = self._gaussian(state, a)
        spread = self._error(a[:, :, 0, 0]).sqrt()[:, :, None, None]
        deviation = self._mean(self.variances, self.rest).sqrt()
        return [scaled, guess / deviation], self._fold(self.mean[None]) + guess, spread

    def _gaussian(self, state: Tensor, a: Tensor) -> tuple[Tensor, Tensor]:
        """Return x_t scaled to variance one, and G(x_t) - mu of Eq. 1, both folded; a [B,1,1,1]."""
        a = a[:, :, 0, 0]
        root, noise = a.sqrt(), 1 - a
        along, beyond = a * self.variances + noise, a * self.rest + noise  # variances of x_t
        centred = state.permute(0, 2, 3, 1).flatten(1) - root * self.mean
        rest = root * self.rest / beyond  # the factor of all directions; along the axes a correction is added
        guess = rest * centred + (centred @ self.axes.T * (root * self.variances / along - rest)) @ self.axes
        return self._fold(centred / self._mean(along, beyond).sqrt()), self._fold(guess)

    def _mean(self, along: Tensor, beyond: Tensor) -> Tensor:
        """Mean over the D directions of a quantity, [B,k] along the axes and [B,1] in every other direction: [B,1]."""
        others = len(self.mean) - len(self.variances)
        return (along.sum(-1, keepdim=True) + others * beyond) / len(self.mean)

    def _rest(self, h: Tensor, t: Tensor) -> Tensor:
        """Return F of Eq. 2, [B,C p^2,y,x], from scaled x_t and guess, [B,2 C p^2,y,x], and encoded times [B,TIMES]."""
        time, blocks, kept = self.time(t), len(self.falling) // (len(self.down) + 1), []
        h = self.enter(h) + self.place
        for number, block in enumerate(self.falling):
            if number and number % blocks == 0:
                kept.append(h)
                h = self.down[number // blocks - 1](h)
            h = block(h, time)
        h = self.mixing(h)
        for number, block in enumerate(self.rising):
            if number % blocks == 0:
                h = kept.pop() + functional.interpolate(self.up[number // blocks](h), scale_factor=2.0)
            h = block(h, time)
        return self.leave(functional.silu(self.last(h)))

    def _fold(self, values: Tensor) -> Tensor:
        """[B,D] in the order (y, x, channel) -> [B,C p^2,y,x]."""
        return values.reshape(-1, *self.grid).permute(0, 3, 1, 2)


class LocalPatchNet(PatchNet):
    """A patch net whose closed form knows where detail is: outside the components, every value has its own variance.

    A patch is described by its cosine transform in opponent colours, an orthonormal basis, so that the noise stays
    white. Outside the components, each of its values at each place has a variance r_i of its own: that of fine detail
    is large in hair and almost zero in a plain background. With V^T V the projection on the components, c = x_t -
    sqrt(a) mu and R = diag(r_i),

        G = mu + V^T diag(g) V c + sqrt(a) R (a R + 1 - a)^-1 (c - V^T V c),    g = sqrt(a) l / (a l + 1 - a),     (3)

    which is optimal only where R does not mix the components with the rest; there are few of them. D = G + c_i(a) F_i,
    with c_i^2 the error variance of each value, so that a small error of the network adds no grain to a plain
    background. The network reads x_t and G, each divided by one number, and what G leaves of x_t, each value divided by
    its standard deviation: there detail has the size of the large shapes.

    Buffers:
        rest: [D], r_i.
        basis: [C p^2,C p^2], the transform of a patch; ``mean`` and ``axes`` are in this basis.
    """

    inputs: ClassVar[int] = 3
    basis: Tensor

    def __init__(self, *args: Any, **settings: Any) -> None:
        super().__init__(*args, **settings)
        side, _, folded = self.grid
        self.register_buffer("basis", torch.eye(folded))
        self.register_buffer("rest", torch.ones(folded * side**2))

    def rotate(self, values: Tensor, back: bool = False) -> Tensor:
        """Folded pixels [B,C p^2,y,x] -> their values in the basis, or back."""
        return torch.einsum("ji,bjyx->biyx" if back else "ij,bjyx->biyx", self.basis, values)

    def estimate(self, state: Tensor, a: Tensor) -> tuple[list[Tensor], Tensor, Tensor]:
        """See ``PatchNet.estimate``."""
        a, root = a[:, :, 0, 0], a[:, :, 0, 0].sqrt()
        noise, rest, square = 1 - a, self.rest, self.axes.square()
        centred = self.rotate(state).permute(0, 2, 3, 1).flatten(1) - root * self.mean
        along = centred @ self.axes.T
        guess = root * rest / (a * rest + noise) * (centred - along @ self.axes)
        guess = guess + (root * self.variances / (a * self.variances + noise) * along) @ self.axes
        spread = noise * rest / (a * rest + noise) + (noise * self.variances / (a * self.variances + noise)) @ square
        power, deviation = self._mean(a * self.variances + noise, a * rest + noise), self._mean(self.variances, rest)
        left = (centred - root * guess) * (a * rest + noise).sqrt() / noise
        read = [centred / power.sqrt(), guess / deviation.sqrt(), left]
        return [self._fold(each) for each in read], self._fold(self.mean + guess), self._fold(spread.sqrt())

    def _mean(self, along: Tensor, beyond: Tensor) -> Tensor:
        return (along.sum(-1, keepdim=True) + beyond.sum(-1, keepdim=True)) / len(self.mean)


def patch_basis(channels: int, patch: int) -> Tensor:
    """Return the orthonormal transform of a folded patch, [C p^2,C p^2]: cosines in y and x, and opponent colours."""
    place = torch.arange(patch, dtype=torch.float64)
    cosines = torch.cos(math.pi / patch * (place[None] + 0.5) * place[:, None]) * (2 / patch) ** 0.5
    cosines[0] /= 2**0.5
    return torch.kron(opponent_colours(channels), torch.kron(cosines, cosines)).float()


def solve_closed_form(net: PatchNet, images: np.ndarray, patch: int, kept: Tensor) -> None:
    """Set the closed form of a net: mean and principal components of the images, and the noise schedule.

    Args:
        net: a net for images of this form; its buffers are overwritten.
        images: uint8 [N,C,H,W], at most ``MOST_IMAGES``.
        patch: side of the folded block.
        kept: alpha-bar of the schedule, falling.
    """
    pictures = images if len(images) > 1 else np.repeat(images, 2, 0)
    fitted = Gaussian(components=len(net.variances)).fit(pictures, 0, RunContext())

    def folded(values: Tensor) -> Tensor:
        places = net.rotate(functional.pixel_unshuffle(values.reshape(-1, *fitted.shape), patch))
        return places.permute(0, 2, 3, 1).flatten(1)

    net.kept.copy_(kept)
    if isinstance(net, LocalPatchNet):
        net.basis.copy_(patch_basis(images.shape[1], patch))
    net.mean.copy_(folded(fitted.tensors["mean"])[0])
    net.axes.copy_(folded(fitted.tensors["directions"]))
    net.variances.copy_(fitted.tensors["variances"].clamp(min=LEAST_VARIANCE))
    if not isinstance(net, LocalPatchNet):
        net.rest.fill_(max(fitted.residual, LEAST_VARIANCE))
        return
    power = torch.zeros(len(net.mean), dtype=torch.float64)
    for _, block in blocks_of(pictures, FIT_BLOCK):
        power += (folded(to_signed(torch.from_numpy(np.ascontiguousarray(block)))) - net.mean).double().square().sum(0)
    explained = fitted.tensors["variances"].double() @ net.axes.double().square()
    net.rest.copy_((power / len(pictures) - explained).clamp(min=LEAST_VARIANCE))
