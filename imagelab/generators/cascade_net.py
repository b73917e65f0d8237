"""The network of the cascade: a coarse flow over principal components, then one flow of details for every octave.

Each stage is a flow x_t = (1 - t) x + t e from data (t = 0) to noise (t = 1), moved by the velocity E[e - x | x_t]. For
a Gaussian of variance s^2 that velocity is known, with q = (1 - t)^2 s^2 + t^2:

    v(x, t) = x (t - (1 - t) s^2) / q.                                  (1)

Every network here adds the non-Gaussian part,

    (s / sqrt q) F(x / sqrt q, t),                                      (2)

scaled so that the target of F has variance one at any t. F starts at zero. So an untrained cascade is a closed form:
probabilistic PCA at the coarse stage and a Gaussian scale mixture at the octaves. It is the control that training has
to beat.

An image of 16 px hardly shows whether a cheek has freckles. An octave that had to guess it independently at every
place would draw grain. Therefore the coarse stage also draws the contrast of the details of every octave in each region
(the hidden multiplier of a Gaussian scale mixture), and every octave is conditioned on all contrasts.

References:
    Flow straight and fast: learning to generate and transfer data with rectified flow (Liu et al. 2022),
    arXiv:2209.03003.
    Elucidating the design space of diffusion-based generative models (preconditioning; Karras et al. 2022),
    arXiv:2206.00364.
    Cascaded diffusion models for high fidelity image generation (conditioning augmentation; Ho et al. 2021),
    arXiv:2106.15282.
    Scale mixtures of Gaussians and the statistics of natural images (Wainwright and Simoncelli 2000), NeurIPS 12.
"""

from __future__ import annotations

import math

import torch
from diffusers import ConfigMixin, ModelMixin
from diffusers.configuration_utils import register_to_config
from torch import Tensor, nn
from torch.nn import functional

from .layers import TIMES, DenseBlock, UNetLayers, opponent_colours, times, zero

__all__ = ["CascadeNet", "CoarseNet", "DetailNet", "enlarge", "shrink", "velocity"]

STILL = 0.1
"""Least contrast of a region, relative to the usual one at its place. It bounds the logarithm in flat regions."""

SHARE = 0.25
"""Weight of a log contrast relative to a colour value in the principal components; the image has the larger weight."""


def velocity(x: Tensor, t: Tensor, answer: Tensor, scale: Tensor | float = 1.0) -> Tensor:
    """Return the velocity at x_t, Eq. 1 + Eq. 2: that of a Gaussian, plus the scaled network output.

    Args:
        x: [B,...], the state.
        t: its time, in 0..1, shaped to broadcast.
        answer: F, the network output, shaped like x.
        scale: s, the standard deviation of the data, shaped to broadcast.
    """
    variance = (1 - t) ** 2 * scale**2 + t**2
    return x * (t - (1 - t) * scale**2) / variance + answer * scale / variance**0.5


def shrink(images: Tensor, side: int) -> Tensor:
    """Return the images at a smaller size by area averages: [B,C,H,H] -> [B,C,side,side]."""
    factor = images.shape[-1] // side
    return images if factor == 1 else functional.avg_pool2d(images, factor)


def enlarge(images: Tensor) -> Tensor:
    """Return the images at twice their size by bicubic interpolation: [B,C,H,W] -> [B,C,2H,2W]."""
    return functional.interpolate(images, scale_factor=2.0, mode="bicubic", align_corners=False)


class CoarseNet(nn.Module):
    """The flow over the principal components of image descriptions (:meth:`CascadeNet.describe`).

    Coordinates are z = (x - mean) axes^T scale / deviations, so that the k-th has standard deviation ``scale[k]``, in
    proportion to the square root of the unscaled one (half whitening): strong directions stay stronger, and weak ones
    still count in the loss.

    Args:
        values: D, numbers in a description.
        components: k.
        width: width of the network.
        blocks: residual blocks.

    Buffers:
        mean: [D].
        axes: [k,D], orthonormal rows.
        deviations: [k], standard deviations of the data along the axes, falling.
    """

    mean: Tensor
    axes: Tensor
    deviations: Tensor

    def __init__(self, values: int, components: int, width: int, blocks: int) -> None:
        super().__init__()
        self.register_buffer("mean", torch.zeros(values))
        self.register_buffer("axes", torch.zeros(components, values))
        self.register_buffer("deviations", torch.ones(components))
        self.enter = nn.Linear(components, width)
        self.time = nn.Sequential(nn.Linear(TIMES, width), nn.SiLU())
        self.blocks = nn.ModuleList([DenseBlock(width) for _ in range(blocks)])
        self.leave = nn.Linear(width, components)
        zero(self.leave)

    @property
    def scale(self) -> Tensor:
        """Standard deviation of each coordinate [k]; their mean square is 1."""
        return (self.deviations / self.deviations.mean()).sqrt()

    def forward(self, z: Tensor, t: Tensor) -> Tensor:
        """Coordinates [B,k] at times [B] -> velocity [B,k]."""
        scale, moment = self.scale, t[:, None]
        # the input x / sqrt(q) of Eq. 2 has variance one at any t
        h, time = self.enter(z / ((1 - moment) ** 2 * scale**2 + moment**2).sqrt()), self.time(times(t))
        for block in self.blocks:
            h = block(h, time)
        return velocity(z, moment, self.leave(functional.silu(h)), scale)

    def encode(self, values: Tensor) -> Tensor:
        """Descriptions [B,D] -> coordinates [B,k]."""
        return (values - self.mean) @ self.axes.T * (self.scale / self.deviations)

    def decode(self, z: Tensor) -> Tensor:
        """Coordinates [B,k] -> descriptions [B,D]."""
        return self.mean + (z * (self.deviations / self.scale)) @ self.axes


class DetailNet(UNetLayers):
    """The flow of the details of one octave: y = (M (x - bicubic(coarse)) - mean) / spread, given the coarse image.

    M turns RGB into orthonormal opponent colours (light, red - blue, green - magenta); grey images keep their channel.
    Each value at each place is divided by its standard deviation, so that weak and rare details have the size of the
    noise in the middle of the time range, where a flow learns. Pixels are folded 2 x 2 into channels, so that the
    convolutions run on the grid of the coarse image.

    The network is conditioned on the coarse image; on the details of the coarse image, scaled to the same strength
    (a freckle is only a small spot in it); on the contrasts of all octaves (root mean squares of y over regions); and
    on the position, by coordinates and a learned map.

    Args:
        side: side of the images of this octave, in px; grid = side / 2.
        channels: C.
        width: channels at the finest level of the network.
        regions: regions along a side in which contrasts are given.
        octaves: octaves of the whole cascade.

    Buffers:
        colours: [C,C], the matrix M.
        mean: [C,side,side].
        spread: [C,side,side].
        specks: [C,grid,grid], the spread of the details of the coarse image.
        usual: [2,octaves,1,1], mean and standard deviation of log contrasts.
        places: [2,grid,grid], x and y in -1..1.
    """

    colours: Tensor
    mean: Tensor
    spread: Tensor
    specks: Tensor
    usual: Tensor
    places: Tensor

    def __init__(self, side: int, channels: int, width: int, regions: int, octaves: int = 1) -> None:
        super().__init__()
        self.side, self.grid, self.regions = side, side // 2, regions
        folded = 4 * channels
        self.register_buffer("colours", opponent_colours(channels).float())
        self.register_buffer("mean", torch.zeros(channels, side, side))
        self.register_buffer("spread", torch.ones(channels, side, side))
        self.register_buffer("specks", torch.ones(channels, self.grid, self.grid))
        self.register_buffer("usual", torch.tensor([0.0, 1.0])[:, None, None, None].repeat(1, octaves, 1, 1))
        line = torch.linspace(-1, 1, self.grid)
        places = torch.stack([line.expand(self.grid, self.grid), line[:, None].expand(self.grid, self.grid)])
        self.register_buffer("places", places.clone())
        self.add_levels(folded + 2 * channels + 2 + octaves, folded, (width, 2 * width, 3 * width), self.grid)

    def forward(self, y: Tensor, t: Tensor, given: Tensor, window: tuple[slice, slice] | None = None) -> Tensor:
        """Details [B,C,h,w] at times [B] -> velocity [B,C,h,w].

        Args:
            y: details of the whole image, or of a crop.
            t: times.
            given: from :meth:`givens`, of the whole image or of the same crop.
            window: position of the crop on the coarse grid (rows, columns); None for whole images.
        """
        moment = t[:, None, None, None]
        level = ((1 - moment) ** 2 + moment**2).sqrt()
        seen = torch.cat([functional.pixel_unshuffle(y / level, 2), given], 1)
        answer = functional.pixel_shuffle(self.through_levels(seen, t, window), 2)
        return velocity(y, moment, answer)

    def givens(self, coarse: Tensor, contrasts: Tensor) -> Tensor:
        """Return the conditioning as channels: the coarse image, its details, coordinates and contrasts.

        Args:
            coarse: [B,C,grid,grid] in -1..1.
            contrasts: logarithms [B,octaves,regions,regions], of all octaves: strong details of a finer octave are
                visible in this one, too.

        Returns:
            [B, 2 C + 2 + octaves, grid, grid].
        """
        levels = functional.interpolate((contrasts - self.usual[0]) / self.usual[1], size=self.grid, mode="bilinear")
        places = self.places.expand(len(coarse), -1, -1, -1)
        return torch.cat(
            [coarse * 1.5, self.over(coarse, shrink(coarse, self.grid // 2)) / self.specks, places, levels], 1
        )

    def over(self, images: Tensor, coarse: Tensor) -> Tensor:
        """Return images minus enlarged coarse ones of half their size, in opponent colours: [B,C,h,w] -> the same."""
        return torch.einsum("ij,bjhw->bihw", self.colours, images - enlarge(coarse))

    def contrast(self, images: Tensor, coarse: Tensor) -> Tensor:
        """Return the log contrast of each region: images [B,C,side,side] and coarse images -> [B,1,regions,regions]."""
        power = self.encode(images, coarse).square().mean(1, keepdim=True)
        return 0.5 * torch.log(functional.avg_pool2d(power, self.side // self.regions) + STILL**2)

    def encode(self, images: Tensor, coarse: Tensor) -> Tensor:
        """Images [B,C,side,side] and their coarse images -> details y, [B,C,side,side]."""
        return (self.over(images, coarse) - self.mean) / self.spread

    def decode(self, y: Tensor, coarse: Tensor) -> Tensor:
        """Details y and the coarse image -> images [B,C,side,side]."""
        return enlarge(coarse) + torch.einsum("ji,bjhw->bihw", self.colours, y * self.spread + self.mean)


class CascadeNet(ModelMixin, ConfigMixin):
    """All stages: ``coarse``, and ``details``, one for every doubling from the coarse side to the full one.

    The coarse stage draws the description of an image: the image at the coarse side, and the log contrasts of every
    octave in (coarse side / 2)^2 regions.

    Args:
        side: side of the images, in px.
        channels: C.
        coarse_side: side of the coarse images, in px.
        components: principal components of the coarse stage.
        width: width of the coarse network.
        blocks: residual blocks of the coarse network.
        detail_widths: channels of the detail networks, smallest octave first; the last one is used for the rest.
    """

    @register_to_config
    def __init__(
        self,
        side: int,
        channels: int,
        coarse_side: int,
        components: int,
        width: int,
        blocks: int,
        detail_widths: tuple[int, ...],
    ) -> None:
        super().__init__()
        octaves = int(math.log2(side // coarse_side))
        sides = [coarse_side * 2**octave for octave in range(1, octaves + 1)]
        widths = [detail_widths[min(octave, len(detail_widths) - 1)] for octave in range(octaves)]
        self.shape, self.regions = (channels, coarse_side, coarse_side), coarse_side // 2
        self.coarse = CoarseNet(math.prod(self.shape) + octaves * self.regions**2, components, width, blocks)
        self.details = nn.ModuleList(
            [DetailNet(s, channels, w, self.regions, octaves) for s, w in zip(sides, widths, strict=True)]
        )

    @property
    def octaves(self) -> list[DetailNet]:
        """The detail stages, smallest first."""
        return [part for part in self.details if isinstance(part, DetailNet)]

    def contrasts(self, images: Tensor) -> Tensor:
        """Return the log contrasts of whole images: [B,C,H,W] in -1..1 -> [B,octaves,regions,regions]."""
        maps = [part.contrast(shrink(images, part.side), shrink(images, part.grid)) for part in self.octaves]
        return torch.cat(maps, 1) if maps else images.new_zeros(len(images), 0, self.regions, self.regions)

    def describe(self, images: Tensor) -> Tensor:
        """Return the descriptions of whole images: [B,C,H,W] in -1..1 -> [B,D]."""
        return torch.cat([shrink(images, self.shape[1]).flatten(1), SHARE * self.contrasts(images).flatten(1)], 1)

    def read(self, description: Tensor) -> tuple[Tensor, Tensor]:
        """Split descriptions [B,D] into coarse images [B,C,h,w] and log contrasts [B,octaves,regions,regions]."""
        small = math.prod(self.shape)
        contrasts = description[:, small:].unflatten(1, (len(self.details), self.regions, self.regions))
        return description[:, :small].unflatten(1, self.shape), contrasts / SHARE
