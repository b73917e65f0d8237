"""A small convolutional variational autoencoder, fast enough to collapse in minutes without a GPU.

Loss a value: log s + (mean |x - D(z)|^2) / (2 s^2) + beta KL(q(z|x) || N(0, I)) / D, with the decoder noise s^2 set in
closed form to the running mean squared error (sigma-VAE).

Two settings decide how it collapses. ``prior``: sampling z from N(0, I) though the codes are not distributed so is a
mismatch that every generation pays again; sampling from a Gaussian fitted to the codes removes most of it.
``decoder_noise``: publishing decoder means takes s^2 away from every mode a generation; adding the noise gives it back
as grain.

References:
    Auto-encoding variational Bayes (Kingma and Welling 2014), arXiv:1312.6114.
    Simple and effective VAE training with calibrated decoders (Rybkin et al. 2021), arXiv:2006.13202.
    From variational to deterministic autoencoders (ex-post density estimation; Ghosh et al. 2020), arXiv:1903.12436.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from pydantic import Field

from ..images import check_images, to_signed
from ..seeds import normal, stream_seed
from .base import Bench, GeneratorRecipe

if TYPE_CHECKING:
    import torch
    from torch import Tensor

    from .vae_net import VaeNet

__all__ = ["Vae", "VaeModel"]


class Vae(GeneratorRecipe):
    """A variational autoencoder.

    Attributes:
        latent: numbers in a code.
        width: channels of the finest convolutions.
        images_seen: length of the training. batch: images a step. learning_rate: peak rate of Adam.
        ema: highest decay of the weight average (warmed up).
        beta: weight of the KL term.
        decoder_noise: add the learned pixel noise to what is sampled, instead of publishing decoder means.
        prior: sample codes from N(0, I) ("normal") or from a Gaussian fitted to the codes of the training images.
    """

    kind: Literal["vae"] = "vae"
    latent: int = Field(default=128, ge=1)
    width: int = Field(default=32, ge=8, multiple_of=8)
    images_seen: int = Field(default=20_000, ge=1)
    batch: int = Field(default=32, ge=1)
    learning_rate: float = Field(default=1e-3, gt=0.0)
    ema: float = Field(default=0.99, ge=0.0, lt=1.0)
    beta: float = Field(default=1.0, ge=0.0)
    decoder_noise: bool = False
    prior: Literal["normal", "fitted"] = "fitted"

    @property
    def label(self) -> str:
        """Name for plots and tables."""
        return "VAE" if self.prior == "normal" else "VAE, fitted prior"

    def fit(self, images: np.ndarray, seed: int, bench: Bench) -> VaeModel:
        """Train on uint8 [N,C,H,W] and return the model with the averaged weights.

        Raises:
            ValueError: unless the images are square with a side that is a multiple of 8. Diverged, Interrupted: base.py.
        """
        import torch

        from .training import Plan, fingerprint, train
        from .vae_net import VaeNet

        self._check(images)
        with torch.random.fork_rng(devices=[]):  # the initial weights are drawn by torch's global generator
            torch.manual_seed(stream_seed(seed, "weights"))
            net = VaeNet(images.shape[2], images.shape[1], self.latent, self.width)
        plan = Plan(self.images_seen, self.batch, self.learning_rate, ema=self.ema)
        mark = fingerprint(self.model_dump_json(), images, seed)
        trained: Any = train(net, self._loss(net), images, plan, seed, bench, mark)
        if self.prior == "fitted":
            fit_prior(trained, images, bench)
        return VaeModel(trained, self, bench)

    def load(self, folder: Path, bench: Bench) -> VaeModel:
        """Read back what :meth:`VaeModel.save` wrote."""
        from .vae_net import VaeNet

        net: Any = VaeNet.from_pretrained(str(folder), local_files_only=True, low_cpu_mem_usage=False)
        return VaeModel(net.to(bench.device).eval(), self, bench)

    def _check(self, images: np.ndarray) -> None:
        check_images(images)
        height, width = images.shape[2:]
        if height != width or height % 8:
            raise ValueError(
                f"Vae: expected square images with a side that is a multiple of 8, got {height} x {width}. Crop or resize."
            )

    def _loss(self, net: VaeNet) -> Any:
        import torch

        def loss(images: Tensor, noise: torch.Generator) -> tuple[Tensor, dict[str, Tensor]]:
            mean, log_variance = net.encode(images)
            draw = torch.randn(mean.shape, generator=noise, device=mean.device)
            error = (images - net.decode(mean + draw * (0.5 * log_variance).exp())).square().mean()
            divergence = 0.5 * (mean.square() + log_variance.exp() - 1 - log_variance).sum(1).mean() / images[0].numel()
            with torch.no_grad():
                net.log_sigma.copy_(0.5 * error.log())
            return 0.5 * error.log() + self.beta * divergence, {
                "error": error.detach(),
                "divergence": divergence.detach(),
            }

        return loss


def fit_prior(net: VaeNet, images: np.ndarray, bench: Bench) -> None:
    """Fit the prior's Gaussian to the aggregate posterior: mean of means; covariance of means + mean variance."""
    import torch

    means, variances = [], []
    with torch.inference_mode():
        for start in range(0, len(images), bench.batch):
            batch = torch.from_numpy(images[start : start + bench.batch]).to(bench.device)
            mean, log_variance = net.encode(to_signed(batch))
            means.append(mean.double())
            variances.append(log_variance.double().exp())
        codes = torch.cat(means)
        covariance = torch.cov(codes.T, correction=0).reshape(codes.shape[1], -1) + torch.cat(variances).mean(0).diag()
    net.prior_mean.copy_(codes.mean(0))
    net.prior_factor.copy_(torch.linalg.cholesky(covariance))


@dataclass(frozen=True, eq=False)
class VaeModel:
    """A trained variational autoencoder.

    Attributes:
        net: the network, on the bench's device. recipe: the settings. bench: device and batch.
    """

    net: VaeNet
    recipe: Vae
    bench: Bench
    reconstructs: bool = True

    def sample(self, seeds: np.ndarray) -> np.ndarray:
        """Return one image a seed: uint64 [N] -> uint8 [N,C,H,W]."""
        from .batches import publish_in_batches

        return publish_in_batches(self._draw, seeds, self.bench.batch)

    def reconstruct(self, images: np.ndarray) -> np.ndarray:
        """Return D(mean of q(z|x)) for each image: uint8 [N,C,H,W] -> the same form."""
        from .batches import publish_in_batches

        self.recipe._check(images)
        return publish_in_batches(self._copy, images, self.bench.batch)

    def _draw(self, seeds: np.ndarray) -> Tensor:
        import torch

        device = self.bench.device
        codes = torch.from_numpy(normal(seeds, (self.recipe.latent,))).to(device)
        if self.recipe.prior == "fitted":
            codes = self.net.prior_mean + codes @ self.net.prior_factor.T
        images = self.net.decode(codes)
        if self.recipe.decoder_noise:
            images = images + self.net.log_sigma.exp() * torch.from_numpy(normal(seeds, tuple(images.shape[1:]), 1)).to(
                device
            )
        return images

    def _copy(self, images: np.ndarray) -> Tensor:
        import torch

        return self.net.decode(self.net.encode(to_signed(torch.from_numpy(images).to(self.bench.device)))[0])

    def save(self, folder: Path) -> None:
        """Write config.json and diffusion_pytorch_model.safetensors, as diffusers' save_pretrained does."""
        self.net.save_pretrained(str(folder), safe_serialization=True)
