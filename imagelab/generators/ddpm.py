"""Denoising diffusion with the samplers of diffusers, and with its U-Net on pixels or our U-Net on patches.

x_t = sqrt(a_t) x + sqrt(1 - a_t) e. The net learns e, v = sqrt(a_t) e - sqrt(1 - a_t) x, or x itself; a sampler
goes from noise back to an image. The sampler affects the result: with few steps it erases weak modes even with an exact
net (``imagelab.theory``). Therefore its name and steps are settings, and they must be reported with every figure.

With patch 1 the net is diffusers' UNet2DModel and learns everything. With larger patches it is :class:`PatchNet`, which
starts as the optimal prediction for a Gaussian and learns the rest; ``images_seen=0`` is the control without training.

References:
    Denoising diffusion probabilistic models (Ho et al. 2020), arXiv:2006.11239.
    Denoising diffusion implicit models (Song et al. 2021), arXiv:2010.02502.
    DPM-Solver++ (Lu et al. 2022), arXiv:2211.01095.
    Elucidating the design space of diffusion-based generative models (Heun; Karras et al. 2022), arXiv:2206.00364.
    Efficient diffusion training via Min-SNR weighting strategy (Hang et al. 2023), arXiv:2303.09556.
    Progressive distillation (v-prediction; Salimans and Ho 2022), arXiv:2202.00512.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal, Self

import numpy as np
from pydantic import Field, model_validator

from ..images import check_images
from ..seeds import normal, rng_at
from .base import Generator, Model, RunContext, noise_label
from .ddpm_checks import HEAD, unworkable
from .denoising_loss import Prediction, Weighting

if TYPE_CHECKING:
    from diffusers import UNet2DModel
    from torch import Tensor

    from .patch_net import PatchNet
    from .training import Loss, Plan

__all__ = ["RECIPES", "Ddpm", "DdpmModel"]


class Ddpm(Generator):
    """A diffusion model; the defaults are meant for 64 px on a GPU (not yet timed on one), see also ``RECIPES``.

    Attributes:
        channels: width of each resolution level; every level but the first halves the size.
        blocks: residual blocks a level.
        attention: self-attention at the coarsest level.
        patch: side of the pixel block folded into channels before the net, 1 for none. Patches of 2 or 4 make the net
            far cheaper and give it a closed form to start from (patch_net.py); use weighting "gaussian" with them.
            diffusers' own pipeline can sample from the saved model only with patch 1.
        closed_form: of patches. "white": outside the principal components all directions have the same variance, and
            the net starts as the optimal prediction for that Gaussian. "local": each value of a patch has its own
            variance at its place (``LocalPatchNet``), which keeps plain backgrounds free of grain.
        images_seen: length of the training, in images read; 0 for the untrained control: with patches the closed form
            alone, with patch 1 a net whose output is 0.
        batch: images a training step.
        learning_rate: peak rate of Adam.
        ema: highest decay of the weight average (warmed up), 0 for none.
        prediction: the training target: the noise, v, or the image ("sample"; set a weighting with it). With patches
            all three are computed from the same network, and the choice matters only with weighting "none".
        weighting: the weight of each noise level in the loss. "none": the plain squared error of the prediction.
            "velocity": the image's error weighted by 1 / (1 - a_t), at most 25; except for the limit this is the plain
            error of v. "min_snr": the image's error weighted by a_t / (1 - a_t), at most 5 (Hang et al. 2023).
            "gaussian": the image's error divided by the expected error of the closed form (with patches only), so that
            the loss at every noise level is relative to the best Gaussian prediction.
        levels: the noise levels that training draws: "even" in time, or "detail", mostly low ones, at which fine detail
            is decided (``denoising_loss``).
        mirror: mirror each image with probability 1/2 in training. Leave it off where left and right differ.
        noise_steps: length of the noise schedule.
        schedule: shape of the noise schedule.
        sampler: "ddpm" (ancestral), "ddim" (deterministic), "dpm++" (second order, deterministic), "sde-dpm++" (second
            order, adds noise at every step) or "heun" (second order, deterministic, on the levels of Karras et al.
            2022).
        steps: steps of the sampler, at most noise_steps. A step of "heun" evaluates the net twice, except the last:
            2 steps - 1 evaluations.
        spacing: the noise levels that "ddpm", "dpm++" and "sde-dpm++" visit: "even" in time, or "karras", as many steps
            where an image is detailed as where it is coarse (Karras et al. 2022, Eq. 5).
        noise_scale: standard deviation of the noise that sampling starts from. Below 1 it is a sampling bias: more
            typical images, less variety (Alemohammad et al. 2023, arXiv:2307.01850).
    """

    duration_settings: ClassVar[tuple[str, ...]] = ("images_seen", "batch", "steps")
    later: ClassVar[dict[str, Any]] = {"closed_form": "white", "mirror": False, "levels": "even", "spacing": "even"}

    kind: Literal["ddpm"] = "ddpm"
    channels: tuple[int, ...] = Field(default=(64, 128, 256), min_length=1)
    blocks: int = Field(default=2, ge=1)
    attention: bool = True
    patch: int = Field(default=1, ge=1)
    closed_form: Literal["white", "local"] = "white"
    images_seen: int = Field(default=2_000_000, ge=0)
    batch: int = Field(default=128, ge=1)
    learning_rate: float = Field(default=3e-4, gt=0.0)
    ema: float = Field(default=0.999, ge=0.0, lt=1.0)
    prediction: Prediction = "v_prediction"
    weighting: Weighting = "none"
    levels: Literal["even", "detail"] = "even"
    mirror: bool = False
    noise_steps: int = Field(default=1000, ge=2)
    schedule: Literal["linear", "squaredcos_cap_v2"] = "squaredcos_cap_v2"
    sampler: Literal["ddpm", "ddim", "dpm++", "sde-dpm++", "heun"] = "ddpm"
    steps: int = Field(default=250, ge=1)
    spacing: Literal["even", "karras"] = "even"
    noise_scale: float = Field(default=1.0, ge=0.0)

    @model_validator(mode="after")
    def _work_together(self) -> Self:
        if why := next(unworkable(self), ""):
            raise ValueError(why)
        return self

    @property
    def training_length(self) -> int:
        """``images_seen``."""
        return self.images_seen

    @property
    def label(self) -> str:
        """Name for plots and tables."""
        trained = "" if self.images_seen else ", untrained"
        levels = " on Karras levels" if self.spacing == "karras" else ""
        return f"DDPM, {self.sampler} x {self.steps}{levels}{trained}{noise_label(self.noise_scale)}"

    def fit(self, images: np.ndarray, seed: int, context: RunContext, start: Model | None = None) -> DdpmModel:
        """Train on uint8 [N,C,H,W], from scratch or from another Ddpm's weights; return the averaged weights.

        Raises:
            ValueError: if the sides are no multiple of patch x 2^(levels - 1), or ``start`` has another form.
            Diverged: see base.py.
            Interrupted: see base.py.
        """
        from .training import fingerprint, train, warm_start

        self._check(images)
        net: Any = self.blank(images, seed)
        begun = warm_start(net, start, self._closed_form())
        if not self.images_seen:
            return self.finished(net.eval().to(context.device), images, seed, context)
        loss, plan = self.training(net, self.images_seen)
        mark = fingerprint(self.model_dump_json() + begun, images, seed, context)
        return self.finished(train(net, loss, images, plan, seed, context, mark), images, seed, context)

    def blank(self, images: np.ndarray, seed: int) -> UNet2DModel | PatchNet:
        """Return an untrained net for images of this form; see ``self_training.Continuable``."""
        import torch

        from ..seeds import seed_at
        from .layers import zero

        with torch.random.fork_rng(devices=[]):  # the initial weights are drawn by torch's global generator
            torch.manual_seed(seed_at(seed, "weights"))
            if self.patch > 1:
                return self._solved_patch_net(images, seed)
            net = self._pixel_net(images.shape[1], images.shape[2])
        if not self.images_seen:
            zero(net.conv_out)
        return net

    def training(self, net: Any, images_seen: int) -> tuple[Loss, Plan]:
        """Return the loss and the plan of a training of so many images; see ``self_training.Continuable``."""
        from .denoising_loss import denoising_loss
        from .training import Plan

        plan = Plan(images_seen, self.batch, self.learning_rate, ema=self.ema)
        return denoising_loss(net, self._training_scheduler(), self), plan

    def finished(self, net: Any, images: np.ndarray, seed: int, context: RunContext) -> DdpmModel:
        """Return the model of a trained net; see ``self_training.Continuable``."""
        return DdpmModel(net, self, context)

    def load(self, folder: Path, context: RunContext) -> DdpmModel:
        """Read back what :meth:`DdpmModel.save` (or ``DDPMPipeline.save_pretrained``) wrote."""
        from .saved_nets import read_net

        def build(n: dict[str, int]) -> UNet2DModel | PatchNet:
            if self.patch == 1:
                return self._pixel_net(n["in_channels"], n["sample_size"])
            return self._patch_net(n["in_channels"], n["sample_size"], n["components"])

        names = ["in_channels", "sample_size"] if self.patch == 1 else ["in_channels", "sample_size", "components"]
        net = read_net(folder / "unet", dict.fromkeys(names, 1), build, context.device)
        return DdpmModel(net, self, context)

    def _check(self, images: np.ndarray) -> None:
        check_images(images)
        height, width = images.shape[2:]
        unit = self.patch * 2 ** (len(self.channels) - 1)
        if height != width or height % unit:
            raise ValueError(
                f"Ddpm: expected square images with a side that is a multiple of {unit} (patch {self.patch}, "
                f"{len(self.channels)} levels), got {height} x {width}. Resize, or use fewer levels or a smaller patch."
            )

    def _closed_form(self) -> tuple[str, ...]:
        """Return the names of the buffers that are set in closed form, without training."""
        if self.patch == 1:
            return ()
        return ("mean", "axes", "variances", "rest", *(("basis",) if self.closed_form == "local" else ()))

    def _pixel_net(self, image_channels: int, side: int) -> UNet2DModel:
        from diffusers import UNet2DModel

        levels = len(self.channels)
        group = max(size for size in (32, 16, 8, 4, 2, 1) if all(width % size == 0 for width in self.channels))
        deepest = ("AttnDownBlock2D", "AttnUpBlock2D") if self.attention else ("DownBlock2D", "UpBlock2D")
        return UNet2DModel(
            sample_size=side,
            in_channels=image_channels,
            out_channels=image_channels,
            layers_per_block=self.blocks,
            block_out_channels=self.channels,
            down_block_types=("DownBlock2D",) * (levels - 1) + (deepest[0],),
            up_block_types=(deepest[1],) + ("UpBlock2D",) * (levels - 1),
            norm_num_groups=min(group, 8),
            attention_head_dim=HEAD,
            add_attention=self.attention,
        )

    def _patch_net(self, folded_channels: int, places: int, components: int) -> PatchNet:
        from .patch_net import LocalPatchNet, PatchNet

        net = PatchNet if self.closed_form == "white" else LocalPatchNet
        return net(
            sample_size=places,
            in_channels=folded_channels,
            channels=self.channels,
            blocks=self.blocks,
            attention=self.attention,
            prediction=self.prediction,
            noise_levels=self.noise_steps,
            components=components,
        )

    def _solved_patch_net(self, images: np.ndarray, seed: int) -> PatchNet:
        from .patch_net import COMPONENTS, MOST_IMAGES, solve_closed_form

        images = some_of(images, MOST_IMAGES // (1 + self.mirror), seed)
        if self.mirror:
            images = np.concatenate([images, images[..., ::-1]])
        count, channels, side, _ = images.shape
        components = min(COMPONENTS, max(1, count - 1), channels * side**2)
        net = self._patch_net(channels * self.patch**2, side // self.patch, components)
        solve_closed_form(net, images, self.patch, self._training_scheduler().alphas_cumprod)
        return net

    def _training_scheduler(self) -> Any:
        from diffusers import DDPMScheduler

        return DDPMScheduler(
            num_train_timesteps=self.noise_steps,
            beta_schedule=self.schedule,
            prediction_type=self.prediction,
            timestep_spacing="trailing",
        )


RECIPES: dict[str, Ddpm] = {
    "cpu-32": Ddpm(
        channels=(48, 160),
        blocks=1,
        attention=False,
        patch=4,
        weighting="gaussian",
        images_seen=100_000,
        batch=32,
        learning_rate=1e-3,
        ema=0.998,
        sampler="dpm++",
        steps=20,
    ),
    "cpu-64": Ddpm(
        channels=(64, 128, 192),
        blocks=1,
        patch=4,
        closed_form="local",
        weighting="gaussian",
        levels="detail",
        mirror=True,
        images_seen=108_000,
        batch=32,
        learning_rate=2e-3,
        ema=0.998,
        sampler="sde-dpm++",
        steps=20,
        spacing="karras",
    ),
    "gpu-64": Ddpm(),
}
"""Settings to start from, named by machine and side of the images.

"cpu-32": 140 core-seconds on a busy machine. Measured 2026-11-23 on 1,000 rendered faces of 32 px, one seed, 384
samples, as kernel distance to 1,000 held-out faces in the primary space (in randconv-s0): this recipe .22 (.20), with
48,000 images .28 (.22), 16,000 .36 (.26), untrained .40 (.31), closed-form Gaussian .43 (.23), real faces .03 (.02). By
eye: different persons with hair, skin and pose; soft eyes, halos in place of some hair, a faint grain, no freckles.
This is an under-trained model; do not report what it loses as collapse.

Other settings that were tried, mostly with 16,000 images: v, x and noise give the same net with weighting "gaussian".
The plain error of v trains only the smallest noise (.40 after 40,000 images, as untrained). At learning rates of 2e-3
and more many nets stay at the closed form. With 16 or 64 components more is left to learn, and the result is worse
(.76, .39); with 256 a grain appears that the primary space measures (.40). A dense net over the components, 3 x 3
convolutions as the first and last layer, attention, patch 2 and wider levels gave no gain at this length. A net that
reads x_t - sqrt(a) G in place of x_t denoises held-out faces better at every level and starts reliably, but its samples
show a grain at first: .34 (.18) with 48,000 images, .18 (.18) with 200,000 in 300 s. The grain is visible with finer
samplers: with 48,000 images that net has .47 (.10) with 50 steps of dpm++ and 1.3 (.13) with 18 of Heun; this one has
.27 (.12) with 50 steps.
"cpu-64": 13 core-minutes, and one for 1,000 images. Measured 2026-11-30 on one thread of two x86-64 cores with another
job beside it, 2,000 rendered faces of 64 px (freckle_rate .6), three seeds, 1,000 drawn, 1,000 held out, +- one
standard error over seeds: corrected FD[imagelab-ssl-v1] 5.3 +- .5, starved detector .53, power -.55 dB at 8-16 and -.31
at 16-32 cycles an image, noise 2.1 grey levels (real 1.5); 1.78 +- .05 freckles found a face where real ones have 4.7
and faces of its blank twin .43 +- .01; nearer to training faces .50, so it does not copy. The loss was still falling,
and on held-out faces it is 2 to 6 % higher than on training faces. By eye: distinct persons with sharp eyes, hair and
pose; some faces are blotched where freckles were begun, hair is coarse. The whole table:
experiments/studies/first_generation.py. How it was chosen: experiments/photocopy_ddpm.py. What its sampler costs and
gains: experiments/studies/samplers.py; with 20 even steps of dpm++ the same network has FD 30.
"gpu-64": two million images; not yet timed on a GPU.
"""


def some_of(images: np.ndarray, most: int, seed: int) -> np.ndarray:
    """Return the images, or of more than ``most`` so many at random: a regime puts the oldest first."""
    if len(images) <= most:
        return images
    return images[np.sort(rng_at(seed, "closed form").permutation(len(images))[:most])]


@dataclass(frozen=True, eq=False)
class DdpmModel:
    """A trained diffusion model.

    Attributes:
        net: diffusers' UNet2DModel, or our PatchNet, on the context's device.
        recipe: the settings.
        context: device and batch.
        reconstructs: False; a diffusion model has no code.
    """

    net: UNet2DModel | PatchNet
    recipe: Ddpm
    context: RunContext
    reconstructs: bool = False

    def sample(self, seeds: np.ndarray) -> np.ndarray:
        """Return one image a seed: uint64 [N] -> uint8 [N,C,H,W]; all noise of an image depends on its seed only."""
        from .sampling import publish

        config: Any = self.net.config
        side = config.sample_size * self.recipe.patch
        return publish(self._draw, seeds, self.context, side**2, self.net)

    def reconstruct(self, images: np.ndarray) -> np.ndarray:
        """Raise ValueError: a diffusion model has no code to copy an image through (``reconstructs`` is False)."""
        raise ValueError("Ddpm: a diffusion model does not reconstruct; use a Vae or a Gaussian for photocopies")

    def _draw(self, seeds: np.ndarray) -> Tensor:
        import torch
        from torch.nn import functional

        from .sampling_scheduler import sampling_scheduler

        config: Any = self.net.config
        scheduler = sampling_scheduler(self.recipe)
        shape = (config.in_channels, config.sample_size, config.sample_size)
        scale = self.recipe.noise_scale * float(scheduler.init_noise_sigma)
        state = scale * torch.from_numpy(normal(seeds, shape)).to(self.context.device)
        # one CPU generator an image: the noise that a sampler adds on its way must depend on the image's seed only
        sources = [torch.Generator().manual_seed(int(seed)) for seed in seeds]
        extra = {"generator": sources} if self.recipe.sampler in ("ddpm", "sde-dpm++") else {}
        times = scheduler.timesteps.to(self.context.device)  # copied once: a copy in each step waits for the device
        for time, there in zip(scheduler.timesteps, times, strict=True):
            scaled = scheduler.scale_model_input(state, time)  # Heun's state is x / sqrt(a_t), the net reads x_t
            answer = self.net(scaled, there).sample
            state = scheduler.step(answer, time, state, **extra).prev_sample
        return functional.pixel_shuffle(state, self.recipe.patch)

    def save(self, folder: Path) -> None:
        """Write unet/ and scheduler/, and with patch 1 model_index.json, as ``DDPMPipeline.from_pretrained`` reads."""
        from diffusers import DDPMPipeline, UNet2DModel

        net, scheduler = self.net, self.recipe._training_scheduler()
        if isinstance(net, UNet2DModel):
            DDPMPipeline(net, scheduler).save_pretrained(str(folder), safe_serialization=True)
        else:
            net.save_pretrained(str(folder / "unet"), safe_serialization=True)
            scheduler.save_pretrained(str(folder / "scheduler"))
