"""A two-level variational autoencoder, fast enough for a whole collapse experiment in minutes without a GPU.

The upper level z is linear and solved in closed form. The lower level c is a convolutional map of details and trained
(see vae_net.py). The loss per value, with the decoder noise v estimated at each place as the running mean squared
error, is log v / 2 + |x - D(z, c)|^2 / (2 v) + beta KL(q(c|x) || N(0, I)) / D.

Two settings decide how it collapses. ``prior``: codes of real images are not distributed as N(0, I). Sampling from
N(0, I) is therefore a mismatch, and it causes a loss in every generation. A Gaussian fitted to the codes removes the
mismatch up to second order; mixing neighbouring codes removes most of the rest. But freckles lie elsewhere on every
face, so a mixture of many maps of details shows all of them pale; the map of one neighbour keeps their contrast.
``decoder_noise``: publishing decoder means removes the variance v from every mode in each generation; adding the noise
restores it, as grain.

References:
    Auto-encoding variational Bayes (Kingma and Welling 2014), arXiv:1312.6114.
    Simple and effective VAE training with calibrated decoders (Rybkin et al. 2021), arXiv:2006.13202.
    From variational to deterministic autoencoders (fitted priors; Ghosh et al. 2020), arXiv:1903.12436.
    Manifold Parzen windows (local Gaussians; Vincent and Bengio 2003), NeurIPS 15.
    The bootstrap: to smooth or not to smooth? (Silverman and Young 1987), doi:10.1093/biomet/74.3.469.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal

import numpy as np
from pydantic import Field

from ..images import check_images, to_signed
from ..seeds import normal, rng_at, seed_at
from .base import FIT_BLOCK, Generator, Model, RunContext, noise_label

if TYPE_CHECKING:
    import torch
    from torch import Tensor

    from .training import Loss, Plan
    from .vae_net import VaeNet

__all__ = ["Vae", "VaeModel"]

BANK = 4096  # codes kept for all priors but the normal one
MEMORY = 0.05  # weight of the newest batch in the running mean of the squared error
FLOOR = 0.02**2  # least decoder noise in the loss, a few grey levels: keeps constant pixels from dominating


class Vae(Generator):
    """A variational autoencoder; the defaults kept the most detail of those tried, at half a core-minute and 64 px.

    Attributes:
        latent: numbers in the upper code z; at most N - 1, and at most as many as an image has values, are used.
        details: channels of the map of details c, which has (side / 4)^2 places.
        width: channels of the convolutions.
        images_seen: length of the training, in images read; 0 for the untrained control: the closed form of z without
            details c.
        batch: images a training step.
        optimiser: "adam", or "muon" (muon.py), which reached in 12,000 images at a rate of 8e-3 what Adam reached in
            24,000, at the same price a step.
        learning_rate: its peak rate.
        crop: side of the random crop of each image that is read in training, in px; whole images where it is larger.
        ema: highest decay of the weight average (warmed up).
        beta: weight of the KL term of c. A smaller weight keeps more detail and leaves the codes further from N(0, I).
        decoder_noise: add the learned noise to samples, instead of publishing decoder means.
        prior: the distribution of sampled codes. "normal": N(0, I). "fitted": the Gaussian of the training images'
            codes. "local": a smoothed bootstrap. A training image is drawn at random, and its code is mixed with
            Gaussian variation among its M nearest: centre + sqrt(1 - s^2) (code - centre) +
            s sum_j w_j (code_j - centre), w_j ~ N(0, 1 / M), which preserves the local mean and covariance.
            "recombined": z as in "local"; c is the whole map of one of the M, each as likely, so that the details of a
            drawn image are those of a single training image.
        neighbours: M, images in a neighbourhood of the local and the recombined prior.
        smoothing: s, 0 to 1. At 0 the model copies its training images ("recombined": their outlines); at 1 only the
            neighbourhood of the drawn image matters. Few neighbours and little smoothing come close to copying: check
            the memorisation metric.
        noise_scale: standard deviation of all noise in sampling (codes, mixtures of neighbours, decoder noise). Below 1
            it is a sampling bias: more typical images, less variety (Alemohammad et al. 2023, arXiv:2307.01850).
    """

    duration_settings: ClassVar[tuple[str, ...]] = ("images_seen", "batch")
    later: ClassVar[dict[str, Any]] = {"optimiser": "adam"}

    kind: Literal["vae"] = "vae"
    latent: int = Field(default=64, ge=1)
    details: int = Field(default=16, ge=1)
    width: int = Field(default=48, ge=8, multiple_of=8)
    images_seen: int = Field(default=24_000, ge=0)
    batch: int = Field(default=32, ge=1)
    optimiser: Literal["adam", "muon"] = "adam"
    learning_rate: float = Field(default=2e-3, gt=0.0)
    crop: int = Field(default=32, ge=8, multiple_of=4)
    ema: float = Field(default=0.99, ge=0.0, lt=1.0)
    beta: float = Field(default=0.1, ge=0.0)
    decoder_noise: bool = False
    prior: Literal["normal", "fitted", "local", "recombined"] = "local"
    neighbours: int = Field(default=16, ge=2)
    smoothing: float = Field(default=0.8, ge=0.0, le=1.0)
    noise_scale: float = Field(default=1.0, ge=0.0)

    @property
    def training_length(self) -> int:
        """``images_seen``."""
        return self.images_seen

    @property
    def label(self) -> str:
        """Name for plots and tables."""
        name = "VAE" if self.prior == "normal" else f"VAE, {self.prior} prior"
        return name + ("" if self.images_seen else ", untrained") + noise_label(self.noise_scale)

    def fit(self, images: np.ndarray, seed: int, context: RunContext, start: Model | None = None) -> VaeModel:
        """Train on uint8 [N,C,H,W] and return the model with the averaged weights.

        From a ``start`` it takes the convolutions and the decoder's noise. The upper level is a closed form and is
        always solved for these images.

        Raises:
            ValueError: unless there are 2 images or more, square, with a side that is a multiple of 8 and at least 16;
                or if ``start`` has another form.
            Diverged: see base.py.
            Interrupted: see base.py.
        """
        import torch

        from .training import fingerprint, train, warm_start

        self._check_set(images)
        net: Any = self.blank(images, seed)
        net.to(torch.device(context.device))
        solve_upper_level(net, images, seed_at(seed, "axes"), context)
        begun = warm_start(net, start, ["variance"])
        if not self.images_seen:
            zero_details(net)
        loss, plan = self.training(net, self.images_seen)
        mark = fingerprint(self.model_dump_json() + begun, images, seed, context)
        return self.finished(train(net, loss, images, plan, seed, context, mark), images, seed, context)

    def blank(self, images: np.ndarray, seed: int) -> VaeNet:
        """Return an untrained net for images of this form; see ``self_training.Continuable``."""
        import torch

        from .vae_net import VaeNet

        latent = min(self.latent, min(len(images), BANK) - 1, images[0].size)
        with torch.random.fork_rng(devices=[]):  # the initial weights are drawn by torch's global generator
            torch.manual_seed(seed_at(seed, "weights"))
            return VaeNet(images.shape[2], images.shape[1], latent, self.details, self.width)

    def training(self, net: Any, images_seen: int) -> tuple[Loss, Plan]:
        """Return the loss and the plan of a training of so many images; see ``self_training.Continuable``."""
        from .training import Plan

        plan = Plan(images_seen, self.batch, self.learning_rate, ema=self.ema, optimiser=self.optimiser)
        return detail_loss(net, self.crop, self.beta), plan

    def finished(self, net: Any, images: np.ndarray, seed: int, context: RunContext) -> VaeModel:
        """Return the model of a trained net, with the codes of its images; see ``self_training.Continuable``."""
        if self.prior != "normal":
            chosen = np.sort(rng_at(seed, "bank").permutation(len(images))[:BANK])
            keep_codes(net, images[chosen], context)
        return VaeModel(net, self, context)

    def load(self, folder: Path, context: RunContext) -> VaeModel:
        """Read back what :meth:`VaeModel.save` wrote."""
        from .saved_nets import read_net
        from .vae_net import VaeNet

        def build(n: dict[str, int]) -> VaeNet:
            return VaeNet(n["side"], n["channels"], n["latent"], self.details, self.width, n["bank"])

        sizes = {"side": 1, "channels": 1, "latent": 1, "bank": 0}
        return VaeModel(read_net(folder, sizes, build, context.device), self, context)

    def _check_set(self, images: np.ndarray) -> None:
        """Refuse a training set that has too few images, or images that the network cannot take."""
        self._check(images)
        if len(images) < 2:
            raise ValueError(f"Vae: expected at least 2 images to learn from, got {len(images)}")

    def _check(self, images: np.ndarray) -> None:
        check_images(images)
        height, width = images.shape[2:]
        if height != width or height % 8 or height < 16:
            raise ValueError(
                f"Vae: expected square images with a side that is a multiple of 8 and at least 16, "
                f"got {height} x {width}. Crop or resize them."
            )


def solve_upper_level(net: VaeNet, images: np.ndarray, seed: int, context: RunContext) -> None:
    """Set the linear upper level to its optimum: axes sqrt(L - s^2) v, posterior variance s^2 / L (probabilistic PCA).

    The leading directions are found by subspace iteration (Halko et al. 2011), which is much faster than an exact
    decomposition. Of more than 4096 images a random 4096 are used.
    """
    import torch

    chosen = np.sort(rng_at(seed, "axes").permutation(len(images))[:BANK])
    signed = to_signed(torch.from_numpy(images[chosen]).to(context.device)).flatten(1)
    mean = signed.mean(0)
    centred = signed - mean
    count, values = centred.shape
    latent = len(net.shrink)
    source = torch.Generator().manual_seed(seed)
    # random directions in the span of the data; each pass of C = X^T X turns them towards the leading eigenvectors
    sketch = torch.randn(count, min(latent + 16, count - 1, values), generator=source).to(context.device)
    basis = torch.linalg.qr(centred.T @ sketch).Q
    for _ in range(3):
        basis = torch.linalg.qr(centred.T @ (centred @ basis)).Q
    small = torch.linalg.svd(centred @ basis, full_matrices=False)
    directions = (small.Vh @ basis.T)[:latent]
    variances = small.S[:latent].square() / count
    residual = (centred.square().sum() / count - variances.sum()) / max(1, values - latent)
    residual = residual.clamp(min=1e-8)
    variances = variances.clamp(min=2e-8)
    scale = (variances - residual).clamp(min=1e-8).sqrt()
    net.mean.copy_(mean)
    net.axes.copy_(scale[:, None] * directions)
    net.shrink.copy_(1 / variances)
    net.spread.copy_((residual / variances).clamp(max=1.0).sqrt())


def zero_details(net: VaeNet) -> None:
    """Reduce the decoder to the closed form: no details, and as its noise the variance s^2 that z does not explain."""
    for parameter in net.unfold.parameters():
        parameter.detach().zero_()
    net.variance.fill_(net.spread[0].square() / net.shrink[0])


def detail_loss(net: VaeNet, crop: int, beta: float) -> Any:
    """Return the loss of the lower level: (images in -1..1, noise source) -> (loss per value, its named parts)."""
    import torch
    from torch.nn import functional

    from .kernels import drawn_on_host
    from .vae_net import FOLD

    size = min(crop // FOLD, net.grid)

    def loss(images: Tensor, noise: torch.Generator) -> tuple[Tensor, dict[str, Tensor]]:
        def draw(like: Tensor) -> Tensor:
            return torch.randn(like.shape, generator=noise, device=like.device)

        top, left = drawn_on_host(net.grid - size + 1, 2, noise)
        window = (..., slice(top, top + size), slice(left, left + size))
        with torch.no_grad():
            z = net.encode_upper(images)
            outline = net.outline(z + net.spread * draw(z))[window].contiguous(memory_format=torch.channels_last)
            folded = functional.pixel_unshuffle(images, FOLD)[window].contiguous(memory_format=torch.channels_last)
        places = net.places[window]
        mean, log_variance = net.encode_details(folded, outline, places)
        c = mean + draw(mean) * (0.5 * log_variance).exp()
        error = (folded - net.decode_details(outline, c, places)).float().square()
        with torch.no_grad():
            variance = net.variance[window]
            variance.lerp_(error.mean(0), MEMORY)
            expected = variance + FLOOR
        likelihood = 0.5 * (error / expected + expected.log()).mean()
        divergence = 0.5 * (mean.square() + log_variance.exp() - 1 - log_variance).sum() / error.numel()
        parts = {"error": error.detach().mean(), "divergence": divergence.detach()}
        return likelihood + beta * divergence, parts

    return loss


def keep_codes(net: VaeNet, images: np.ndarray, context: RunContext) -> None:
    """Store the codes of these images in the net; all priors but the normal one are built from them."""
    import torch

    from .kernels import full_precision_of

    uppers, details, variances = [], [], []
    with torch.inference_mode(), full_precision_of(context):
        for start in range(0, len(images), FIT_BLOCK):
            batch = to_signed(torch.from_numpy(images[start : start + FIT_BLOCK]).to(context.device))
            z, mean, log_variance = net.encode(batch)
            uppers.append(z)
            details.append(mean)
            variances.append(log_variance.exp())
    net.hold(torch.cat(uppers).clone(), torch.cat(details).clone(), torch.cat(variances).mean(0).sqrt().clone())


def _one_of(count: int, seeds: np.ndarray, purpose: str) -> list[int]:
    """Return a number 0..count - 1 for each image, each as likely."""
    return [int(rng_at(int(seed), purpose).integers(count)) for seed in seeds]


@dataclass(frozen=True, eq=False)
class VaeModel:
    """A trained variational autoencoder.

    Attributes:
        net: the network, on the context's device.
        recipe: the settings.
        context: device and batch.
        reconstructs: True; an image has a code.
    """

    net: VaeNet
    recipe: Vae
    context: RunContext
    reconstructs: bool = True

    def sample(self, seeds: np.ndarray) -> np.ndarray:
        """Return one image a seed: uint64 [N] -> uint8 [N,C,H,W]."""
        from .sampling import publish

        return publish(self._draw, seeds, self.context, self.net.config["side"] ** 2, self.net)

    def reconstruct(self, images: np.ndarray) -> np.ndarray:
        """Return D(posterior means of z and c) for each image: uint8 [N,C,H,W] -> the same form."""
        from .sampling import publish

        self.recipe._check(images)
        return publish(self._copy, images, self.context, self.net.config["side"] ** 2, self.net)

    def codes(self, seeds: np.ndarray) -> tuple[Tensor, Tensor]:
        """Return the codes drawn for each seed: z [N,latent] and c [N,details,side / 4,side / 4]."""
        net = self.net
        z = self._noise(seeds, net.spread.shape, 0)
        c = self._noise(seeds, net.bank_spread.shape, 1)
        if self.recipe.prior == "normal":
            return z, c
        z, c = z * net.spread, c * net.bank_spread
        if self.recipe.prior == "fitted":
            weights = self._noise(seeds, (len(net.bank_z),), 2) / len(net.bank_z) ** 0.5
            mean_z, mean_c = net.bank_z.mean(0), net.bank_c.mean(0)
            varied = weights @ (net.bank_c - mean_c).flatten(1)
            return z + mean_z + weights @ (net.bank_z - mean_z), c + mean_c + varied.unflatten(1, mean_c.shape)
        chosen = _one_of(len(net.bank_z), seeds, "parent")
        near = self._neighbours(chosen)
        weights = self._noise(seeds, (near.shape[1],), 2) / near.shape[1] ** 0.5
        # centre + k (parent - centre) + s sum_j w_j (code_j - centre), w_j ~ N(0, 1 / M), k = sqrt(1 - s^2), written as
        # one weighted sum of codes: the weight of code j is s (w_j - mean w) + (1 - k) / M, and k more for the parent
        smoothing, keep = self.recipe.smoothing, (1 - self.recipe.smoothing**2) ** 0.5
        shares = smoothing * (weights - weights.mean(1, keepdim=True)) + (1 - keep) / near.shape[1]
        shares[:, 0] += keep  # the nearest code is the parent itself
        z = z + (shares[:, :, None] * net.bank_z[near]).sum(1)
        if self.recipe.prior == "recombined":
            donors = _one_of(near.shape[1], seeds, "donor")
            return z, c + net.bank_c[near[range(len(donors)), donors]]
        return z, c + self._mix_details(shares, near)

    def _noise(self, seeds: np.ndarray, shape: tuple[int, ...], draw: int) -> Tensor:
        import torch

        return self.recipe.noise_scale * torch.from_numpy(normal(seeds, tuple(shape), draw)).to(self.context.device)

    def _neighbours(self, chosen: list[int]) -> Tensor:
        """Return the indices of the codes nearest to each chosen one, itself first: int64 [B,M]."""
        import torch

        # z has unit variance in all directions; distances should give more weight to the visible, strong ones
        weighted = self.net.bank_z * self.net.axes.norm(dim=1).sqrt()
        distances = torch.cdist(weighted[chosen], weighted, compute_mode="donot_use_mm_for_euclid_dist")
        distances[torch.arange(len(chosen)), chosen] = -1.0  # itself first, even if another code is equal
        return distances.topk(min(self.recipe.neighbours, len(self.net.bank_z)), largest=False).indices

    def _mix_details(self, shares: Tensor, near: Tensor) -> Tensor:
        import torch

        bank = self.net.bank_c.flatten(1)  # one image at a time: all neighbours' maps at once would fill the memory
        mixed = torch.stack([share @ bank[rows] for share, rows in zip(shares, near, strict=True)])
        return mixed.unflatten(1, self.net.bank_c.shape[1:])

    def _draw(self, seeds: np.ndarray) -> Tensor:
        images = self.net.decode(*self.codes(seeds))
        if self.recipe.decoder_noise:
            images = images + self.net.noise_deviation() * self._noise(seeds, images.shape[1:], 3)
        return images

    def _copy(self, images: np.ndarray) -> Tensor:
        import torch

        z, c, _ = self.net.encode(to_signed(torch.from_numpy(images).to(self.context.device)))
        return self.net.decode(z, c)

    def save(self, folder: Path) -> None:
        """Write config.json and diffusion_pytorch_model.safetensors, as diffusers' save_pretrained does."""
        self.net.save_pretrained(str(folder), safe_serialization=True)
