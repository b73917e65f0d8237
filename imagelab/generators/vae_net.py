"""The network of the VAE: a small convolutional encoder and decoder over folded pixel blocks.

Pixels are folded into channels (4 x 4 blocks), so that every convolution runs on a quarter or an eighth of the side:
on a processor without a GPU that is what makes 64 px affordable.
"""

from __future__ import annotations

import torch
from diffusers import ConfigMixin, ModelMixin
from diffusers.configuration_utils import register_to_config
from torch import Tensor, nn
from torch.nn import functional

__all__ = ["VaeNet"]

FOLD = 4


class Block(nn.Module):
    """x + conv(silu(conv(silu(norm x)))), the second convolution starting from zero."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.norm = nn.GroupNorm(8, width)
        self.inner = nn.Conv2d(width, width, 3, padding=1)
        self.outer = nn.Conv2d(width, width, 3, padding=1)
        nn.init.zeros_(self.outer.weight)

    def forward(self, x: Tensor) -> Tensor:
        """[B,width,h,w] -> the same."""
        return x + self.outer(functional.silu(self.inner(functional.silu(self.norm(x)))))


class VaeNet(ModelMixin, ConfigMixin):
    """Encoder to a flat code and decoder back.

    Buffers:
        log_sigma: log standard deviation of the decoder's pixel noise, learned in closed form while training.
        prior_mean [latent], prior_factor [latent,latent]: the Gaussian fitted to the aggregate posterior, F F^T = its
            covariance; the standard normal until it is fitted.
    """

    @register_to_config
    def __init__(self, side: int, image_channels: int, latent: int, width: int) -> None:
        super().__init__()
        folded, corner = image_channels * FOLD**2, side // (2 * FOLD)
        self.corner = corner
        self.encoder = nn.Sequential(
            nn.PixelUnshuffle(FOLD),
            nn.Conv2d(folded, width, 3, padding=1),
            Block(width),
            nn.Conv2d(width, 2 * width, 2, stride=2),
            Block(2 * width),
            nn.SiLU(),
            nn.Flatten(),
            nn.Linear(2 * width * corner**2, 2 * latent),
        )
        self.unfold = nn.Linear(latent, 2 * width * corner**2)
        self.decoder = nn.Sequential(
            Block(2 * width),
            nn.Conv2d(2 * width, 4 * width, 1),
            nn.PixelShuffle(2),
            Block(width),
            nn.Conv2d(width, folded, 3, padding=1),
            nn.PixelShuffle(FOLD),
        )
        self.register_buffer("log_sigma", torch.zeros(()))
        self.register_buffer("prior_mean", torch.zeros(latent))
        self.register_buffer("prior_factor", torch.eye(latent))

    def encode(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Images [B,C,H,W] in -1..1 -> mean and log variance of q(z|x), each [B,latent]."""
        mean, log_variance = self.encoder(images).chunk(2, 1)
        return mean, log_variance.clamp(-12.0, 4.0)

    def decode(self, codes: Tensor) -> Tensor:
        """Codes [B,latent] -> decoder means [B,C,H,W]."""
        square = self.unfold(codes).unflatten(1, (-1, self.corner, self.corner))
        return self.decoder(square)
