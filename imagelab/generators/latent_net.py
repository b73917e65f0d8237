"""The networks of latent diffusion: a two-level VAE as the first stage, and a flow over each level of its codes.

The upper code z (vae_net.py) is drawn first, by a flow over its numbers. The map of details c is drawn second, by a
convolutional flow that is given the outline, which is the image that z alone decodes to. Both are flows x_t = (1 - t) x
+ t e around a closed form (cascade_net.py, Eq. 1 and 2): a Gaussian with the measured variance of each number of z, and
of each channel of c at each place. The networks add the rest and start at zero. So an untrained prior is a Gaussian
without correlations, and it is the control that training has to beat.

A trained flow draws codes that vary less than those it has learned from: a network that has to say something sensible
at states between the training codes moves them a little towards their mean. In a loop this loss adds up. Therefore each
prior has a mean and a gain, by which drawn codes are brought to mean and variance of the training codes
(``LatentModel.match_moments`` in latent.py measures them on codes that the trained prior draws).

References:
    High-resolution image synthesis with latent diffusion models (Rombach et al. 2022), arXiv:2112.10752.
    Flow matching for generative modeling (Lipman et al. 2022), arXiv:2210.02747.
    Diffusion priors in variational autoencoders (Wehenkel and Louppe 2021), arXiv:2106.15671.
"""

from __future__ import annotations

import torch
from diffusers import ConfigMixin, ModelMixin
from diffusers.configuration_utils import register_to_config
from torch import Tensor, nn

from .cascade_net import CoarseNet, velocity
from .layers import UNetLayers
from .vae_net import VaeNet

__all__ = ["DetailPrior", "LatentNets", "UpperPrior"]


class UpperPrior(ModelMixin, ConfigMixin):
    """The flow over the upper code z, in units of what each number changes in the image.

    Args:
        latent: numbers in z.
        width: width of the network.
        blocks: residual blocks.

    Buffers:
        centre: [latent], mean of what the flow draws, in coordinates of the flow.
        gain: [latent], standard deviation of the training data over that of what the flow draws.
    """

    centre: Tensor
    gain: Tensor

    @register_to_config
    def __init__(self, latent: int, width: int, blocks: int) -> None:
        super().__init__()
        self.register_buffer("centre", torch.zeros(latent))
        self.register_buffer("gain", torch.ones(latent))
        self.flow = CoarseNet(latent, latent, width, blocks)

    def forward(self, state: Tensor, t: Tensor) -> Tensor:
        """States [B,latent] at times [B] -> velocity [B,latent]."""
        return self.flow(state, t)

    def decode(self, state: Tensor) -> Tensor:
        """Drawn states -> z in units of what each number changes in the image, [B,latent]."""
        return self.flow.decode((state - self.centre) * self.gain)


class DetailPrior(UNetLayers, ModelMixin, ConfigMixin):
    """The flow over the map of details c, given the outline: a U-Net on its places.

    Args:
        grid: side of the map, in places.
        details: channels of c.
        outline: channels of the folded outline, C * 16.
        widths: channels of each level of the network; every level but the first halves the side.

    Buffers:
        mean: [details,grid,grid], of c.
        spread: [details,grid,grid], standard deviation of c.
        usual: [2,outline,1,1], mean and standard deviation of the folded outline.
        places: [2,grid,grid], x and y in -1..1.
        centre: [details,1,1], mean of what the flow draws, in scaled details.
        gain: [details,1,1], 1 over the standard deviation of what the flow draws.
    """

    centre: Tensor
    gain: Tensor
    mean: Tensor
    spread: Tensor
    usual: Tensor
    places: Tensor

    @register_to_config
    def __init__(self, grid: int, details: int, outline: int, widths: tuple[int, ...]) -> None:
        super().__init__()
        self.register_buffer("mean", torch.zeros(details, grid, grid))
        self.register_buffer("spread", torch.ones(details, grid, grid))
        self.register_buffer("usual", torch.tensor([0.0, 1.0])[:, None, None, None].repeat(1, outline, 1, 1))
        self.register_buffer("centre", torch.zeros(details, 1, 1))
        self.register_buffer("gain", torch.ones(details, 1, 1))
        line = torch.linspace(-1, 1, grid)
        self.register_buffer("places", torch.stack([line.expand(grid, grid), line[:, None].expand(grid, grid)]).clone())
        self.add_levels(details + outline + 2, details, widths, grid)

    def forward(self, state: Tensor, t: Tensor, given: Tensor) -> Tensor:
        """Scaled details [B,details,grid,grid] at times [B], with :meth:`givens` -> velocity of the same form."""
        moment = t[:, None, None, None]
        level = ((1 - moment) ** 2 + moment**2).sqrt()
        seen = torch.cat([state / level, given], 1).contiguous(memory_format=torch.channels_last)
        return velocity(state, moment, self.through_levels(seen, t))

    def givens(self, outline: Tensor) -> Tensor:
        """Return what the flow is given: folded outlines [B,outline,grid,grid] -> [B,outline + 2,grid,grid]."""
        scaled = (outline - self.usual[0]) / self.usual[1]
        return torch.cat([scaled, self.places.expand(len(outline), -1, -1, -1)], 1)

    def encode(self, c: Tensor) -> Tensor:
        """Details -> scaled details, [B,details,grid,grid]."""
        return (c - self.mean) / self.spread

    def decode(self, state: Tensor) -> Tensor:
        """Drawn scaled details -> details, [B,details,grid,grid]."""
        return self.mean + self.spread * (state - self.centre) * self.gain


class LatentNets(nn.Module):
    """The three networks together.

    Attributes:
        first: the first stage.
        upper: the prior of z.
        details: the prior of c.
    """

    def __init__(self, first: VaeNet, upper: UpperPrior, details: DetailPrior) -> None:
        super().__init__()
        self.first, self.upper, self.details = first, upper, details
