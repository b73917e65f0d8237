"""The network of the VAE: a linear upper level that is solved, and a convolutional lower level that is trained.

x = mean + A z + r(mean + A z, c) + noise. The upper level z [latent] is a linear VAE. Its optimum is known in closed
form (probabilistic PCA), so it is set and not trained; it describes pose, colours and outlines. The lower level
c [details, side / 4, side / 4] is a map of the remaining details: eyes, strands of hair, freckles. Its encoder and
decoder are convolutions over pixels folded in 4 x 4 blocks, which makes 64 px affordable on a CPU. Their output depends
only on a neighbourhood, so they can be trained on crops.

References:
    Don't blame the ELBO! A linear VAE perspective on posterior collapse (Lucas et al. 2019), arXiv:1911.02469.
    Ladder variational autoencoders (Soenderby et al. 2016), arXiv:1602.02282.
"""

from __future__ import annotations

import torch
from diffusers import ConfigMixin, ModelMixin
from diffusers.configuration_utils import register_to_config
from torch import Tensor, nn
from torch.nn import functional

__all__ = ["FOLD", "VaeNet"]

FOLD = 4
"""Side of the pixel blocks that are folded into channels."""

RESIDUAL_GAIN, RESIDUAL_SCALE = 8.0, 0.25  # scale residuals of about 0.1 to the order of one, and back


class Block(nn.Module):
    """x + conv(silu(conv(x / rms x))), the outer convolution starting from zero.

    The norm is over the channels of one place, so that crops give the same values as whole images.
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        self.gain = nn.Parameter(torch.ones(1, width, 1, 1))
        self.inner = nn.Conv2d(width, width, 3, padding=1)
        self.outer = nn.Conv2d(width, width, 3, padding=1)
        nn.init.zeros_(self.outer.weight)

    def forward(self, x: Tensor) -> Tensor:
        """[B,width,h,w] -> the same."""
        normed = x * torch.rsqrt(x.square().mean(1, keepdim=True) + 1e-5) * self.gain
        return x + self.outer(functional.silu(self.inner(normed)))


class VaeNet(ModelMixin, ConfigMixin):
    """Two-level VAE. Folded images are [B, C * 16, side / 4, side / 4].

    Args:
        side: side of the images, in px.
        channels: C.
        latent: numbers in z.
        details: channels of c.
        width: channels of the convolutions.
        bank: N, codes of training images that are stored.

    Buffers:
        mean: [D], of the upper level: x = mean + z @ axes.
        axes: [latent,D].
        shrink: [latent]; the posterior mean of z is shrink * (x - mean) @ axes.T.
        spread: [latent], standard deviation of the posterior of z.
        variance: [C * 16, side / 4, side / 4], the decoder's noise at each value, the running mean squared error.
        bank_z: [N,latent], codes of training images, for all priors but the normal one.
        bank_c: [N,details,h,w], likewise.
        bank_spread: [details,h,w], mean posterior standard deviation of c.
        places: [2,h,w], x and y in -1..1.
    """

    @register_to_config
    def __init__(self, side: int, channels: int, latent: int, details: int, width: int, bank: int = 0) -> None:
        super().__init__()
        folded, grid, values = channels * FOLD**2, side // FOLD, channels * side**2
        self.grid, self.details = grid, details
        self.encoder = nn.Sequential(nn.Conv2d(2 * folded + 2, width, 1), Block(width), nn.SiLU())
        self.code = nn.Conv2d(width, 2 * details, 1)
        self.decoder = nn.Sequential(
            nn.Conv2d(folded + 2 + details, width, 1),
            Block(width),
            Block(width),
            nn.SiLU(),
        )
        self.unfold = nn.Conv2d(width, folded, 3, padding=1)
        nn.init.zeros_(self.code.weight[details:])
        nn.init.normal_(self.unfold.weight, std=0.01)
        self.register_buffer("mean", torch.zeros(values))
        self.register_buffer("axes", torch.zeros(latent, values))
        self.register_buffer("shrink", torch.zeros(latent))
        self.register_buffer("spread", torch.ones(latent))
        self.register_buffer("variance", torch.full((folded, grid, grid), 0.02))
        line = torch.linspace(-1, 1, grid)
        self.register_buffer("places", torch.stack([line.expand(grid, grid), line[:, None].expand(grid, grid)]).clone())
        self.hold(torch.zeros(bank, latent), torch.zeros(bank, details, grid, grid), torch.ones(details, grid, grid))

    def hold(self, bank_z: Tensor, bank_c: Tensor, bank_spread: Tensor) -> None:
        """Store these codes of training images.

        Args:
            bank_z: [N,latent].
            bank_c: [N,details,h,w].
            bank_spread: [details,h,w].
        """
        self.register_to_config(bank=len(bank_z))
        self.register_buffer("bank_z", bank_z)
        self.register_buffer("bank_c", bank_c)
        self.register_buffer("bank_spread", bank_spread)

    def encode_upper(self, images: Tensor) -> Tensor:
        """Images [B,C,H,W] -> posterior mean of z [B,latent]."""
        return self.shrink * ((images.flatten(1) - self.mean) @ self.axes.T)

    def outline(self, z: Tensor) -> Tensor:
        """Upper code [B,latent] -> mean + A z, folded [B, C * 16, side / 4, side / 4]."""
        side = self.grid * FOLD
        return functional.pixel_unshuffle((self.mean + z @ self.axes).unflatten(1, (-1, side, side)), FOLD)

    def encode_details(self, folded: Tensor, outline: Tensor, places: Tensor) -> tuple[Tensor, Tensor]:
        """Folded images, their outlines and places (or the same crop of each) -> mean and log variance of c."""
        seen = torch.cat([(folded - outline) * RESIDUAL_GAIN, outline, places.expand(len(folded), -1, -1, -1)], 1)
        mean, log_variance = self.code(self.encoder(seen)).chunk(2, 1)
        return mean, log_variance.clamp(-10.0, 2.0)

    def decode_details(self, outline: Tensor, c: Tensor, places: Tensor) -> Tensor:
        """Outlines, c and places (or the same crop of each) -> the decoder's mean, folded."""
        seen = torch.cat([outline, places.expand(len(outline), -1, -1, -1), c], 1)
        return outline + RESIDUAL_SCALE * self.unfold(self.decoder(seen))

    def encode(self, images: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Images [B,C,H,W] in -1..1 -> posterior means of z and c, and the log variance of c."""
        z = self.encode_upper(images)
        mean, log_variance = self.encode_details(functional.pixel_unshuffle(images, FOLD), self.outline(z), self.places)
        return z, mean, log_variance

    def decode(self, z: Tensor, c: Tensor) -> Tensor:
        """Codes -> decoder means [B,C,H,W]."""
        return functional.pixel_shuffle(self.decode_details(self.outline(z), c, self.places), FOLD)

    def noise_deviation(self) -> Tensor:
        """Standard deviation of the decoder's noise at each value [C,H,W]."""
        return functional.pixel_shuffle(self.variance, FOLD).sqrt()
