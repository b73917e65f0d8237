"""Latent diffusion: flows over the codes of a two-level autoencoder, the form of today's large image generators.

Three parts are trained one after the other: the first stage, a :class:`Vae` whose decoder turns codes into images; a
flow over its upper code z; and a flow over its map of details c, given the outline that z decodes to (latent_net.py).
Sampling draws z, then c, and decodes. Unlike the VAE's local prior, it keeps no codes of training images.

Each part loses something of its own. What the first stage cannot reconstruct is lost whatever the priors do; what the
priors do not draw is lost although the first stage could show it. ``first_stage_trained`` sets which of the two losses
accumulates in a loop: a first stage that is trained anew on generated images, or one that keeps what it has learned
from the real images of generation 1.

References:
    High-resolution image synthesis with latent diffusion models (Rombach et al. 2022), arXiv:2112.10752.
    Flow matching for generative modeling (Lipman et al. 2022), arXiv:2210.02747.
    Self-consuming generative models go MAD (sampling bias; Alemohammad et al. 2023), arXiv:2307.01850.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, ClassVar, Literal

import numpy as np
from pydantic import Field, field_validator

from ..io.untrusted import shown
from ..seeds import normal, seed_at
from .base import Generator, Model, RunContext, noise_label
from .cascade import follow
from .vae import Vae, VaeModel, solve_upper_level, zero_details

if TYPE_CHECKING:
    from torch import Tensor, nn

    from .latent_net import DetailPrior, LatentNets, UpperPrior
    from .training import Loss, Plan

__all__ = ["LatentDiffusion", "LatentModel"]

PARTS = ("first_stage", "upper_prior", "detail_prior")
"""Folders of the three networks in a saved model, each as diffusers' ``save_pretrained`` writes it."""

UNUSED = ("prior", "neighbours", "smoothing", "decoder_noise", "noise_scale")
"""Settings of a first stage that concern drawing from a VAE alone."""

UPPER_STEPS = 24
"""Steps of Heun's rule for z, which is cheap."""

UPPER_DRAWN, DRAWN = 2048, 128
"""Codes z, and maps c, whose moments are matched. A deviation of z is then known to 1.6 %, and one of c, whose places
count together, to less."""


class LatentDiffusion(Generator):
    """A latent diffusion model of 16 px and more, by default at the price of five core-minutes at 64 px.

    First generation on 2,000 rendered faces of 64 px (2026-11-30, three seeds, mean +- standard error over them, one
    thread of two x86-64 cores with another job beside; experiments/studies/first_generation.py, where it is told what
    was tried): corrected FD[imagelab-ssl-v1] 4.6 +- .2 where a VAE with the local prior has 6.5 +- .4; nearer to
    training faces .52 +- .01, so it does not copy; 3.35 +- .05 freckles a face, .77 +- .02 of its blank twin. Net of
    the twin these are .59 to .63 of what its first stage copies. On almost every face it puts some freckles, where real
    faces have many or none (standard deviation of their number 2.1, real 4.8).

    Attributes:
        first_stage: the autoencoder; its prior is not used.
        first_stage_trained: "anew" in each generation, or "once", in generation 1; then all later generations use the
            first stage of the model before.
        images_seen: images that the detail prior reads in training; 0 for the untrained control, whose priors are
            Gaussians without correlations.
        upper_share: the upper prior reads this many times ``images_seen``; its codes are cheap.
        batch: images a training step of the detail prior.
        upper_batch: codes a training step of the upper prior.
        optimiser: of the detail prior: "muon" (muon.py) or "adam".
        learning_rate: its peak rate; Adam takes a half of what Muon takes.
        upper_learning_rate: peak rate of Adam for the upper prior.
        time_centre: median logit of the times at which the detail prior is trained; below 0: more at little noise.
        time_spread: standard deviation of that logit, which is normally distributed.
        ema: highest decay of the weight average (warmed up).
        width: width of the upper prior's network.
        blocks: residual blocks of the upper prior's network.
        detail_widths: channels of the levels of the detail prior's network.
        match_variance: bring mean and variance of drawn codes to those of the training codes, for each number of z and
            each channel of c. Without it drawn codes vary less, and the loss adds up in a loop.
        mirror: mirror each image with probability 1/2 in training of the priors. Switch it off where left and right
            differ.
        solver: "euler" (first order) or "heun" (second order, two evaluations a step), of the detail prior.
        steps: its steps.
        noise_scale: standard deviation of the noise that sampling starts from; below 1: more typical, less varied.
    """

    duration_settings: ClassVar[tuple[str, ...]] = ("images_seen", "batch", "upper_batch", "steps")

    kind: Literal["latent_diffusion"] = "latent_diffusion"
    first_stage: Vae = Vae(prior="normal", beta=0.5, images_seen=36_000, optimiser="muon", learning_rate=8e-3)
    first_stage_trained: Literal["anew", "once"] = "anew"
    images_seen: int = Field(default=24_000, ge=0)
    upper_share: int = Field(default=9, ge=1)
    batch: int = Field(default=32, ge=1)
    upper_batch: int = Field(default=256, ge=1)
    optimiser: Literal["muon", "adam"] = "muon"
    learning_rate: float = Field(default=8e-3, gt=0.0)
    upper_learning_rate: float = Field(default=1e-3, gt=0.0)
    time_centre: float = Field(default=-0.5, ge=-5.0, le=5.0)
    time_spread: float = Field(default=1.0, gt=0.0, le=5.0)
    ema: float = Field(default=0.999, ge=0.0, lt=1.0)
    width: int = Field(default=512, ge=8)
    blocks: int = Field(default=3, ge=1)
    detail_widths: tuple[int, ...] = Field(default=(64, 96, 128), min_length=1)
    match_variance: bool = True
    mirror: bool = True
    solver: Literal["euler", "heun"] = "heun"
    steps: int = Field(default=18, ge=1)
    noise_scale: float = Field(default=1.0, ge=0.0)

    @field_validator("first_stage", mode="after")
    @classmethod
    def _has_no_prior(cls, first_stage: Vae) -> Vae:
        other = [name for name in UNUSED if getattr(first_stage, name) != getattr(Vae(prior="normal"), name)]
        if other:
            raise ValueError(
                f"first_stage: {other[0]} has no effect, because codes are drawn by the priors of the latent diffusion "
                f"model; expected {getattr(Vae(prior='normal'), other[0])!r}, got {getattr(first_stage, other[0])!r}"
            )
        return first_stage

    @property
    def training_length(self) -> int:
        """Images that the first stage and the detail prior read."""
        return self.first_stage.images_seen + self.images_seen

    @property
    def continues(self) -> bool:
        """Whether a warm start suits it: not with a first stage that is trained once, whose codes it depends on."""
        return self.first_stage_trained == "anew"

    @property
    def takes_from_before(self) -> bool:
        """Whether :meth:`fit` is given the model before without a warm start, too."""
        return self.first_stage_trained == "once"

    @property
    def label(self) -> str:
        """Name for plots and tables."""
        trained = "" if self.images_seen else ", untrained"
        once = ", first stage kept" if self.first_stage_trained == "once" else ""
        return f"latent diffusion{once}{trained}{noise_label(self.noise_scale)}"

    def fit(self, images: np.ndarray, seed: int, context: RunContext, start: Model | None = None) -> LatentModel:
        """Train the first stage, then the two priors, on uint8 [N,C,H,W]; keep averaged weights.

        Args:
            images: the training set.
            seed: of weights, order and noise.
            context: device, batch, callbacks.
            start: with ``first_stage_trained="once"`` the model whose first stage is taken as it is, None in generation
                1; otherwise the model from whose weights first stage and detail prior begin. The upper prior begins
                anew, because the axes of z are solved anew.

        Raises:
            ValueError: for images that the first stage cannot take, or a ``start`` of another form.
            Diverged: see base.py.
            Interrupted: see base.py.
        """
        from .checkpoint import read_beside
        from .training import LossMeter, Whole, fingerprint, part_reached, train

        self.first_stage._check_set(images)
        net, begun = self._begun(images, seed, context, start)
        mark = fingerprint(self.model_dump_json() + begun, images, seed, context)
        stages = self._stages(net, images, context, kept=self.takes_from_before and start is not None)
        marks = [f"{mark}-{stage.name}" for stage in stages]
        first = part_reached(context.checkpoint, marks)
        if first and context.checkpoint is not None:  # the parts before, on which what follows is prepared
            read_beside(context.checkpoint, net, marks[first])
        whole = Whole(net, LossMeter(context, sum(stage.plan.images_seen for stage in stages)))
        for index, stage in enumerate(stages[first:], first):
            whole.meter.before = sum(each.plan.images_seen for each in stages[:index])
            loss, data = stage.prepare()
            if stage.plan.images_seen:
                own_seed = seed_at(seed, "stage", row=index)
                trained = train(stage.part, loss, data, stage.plan, own_seed, context, marks[index], whole)
                stage.part.load_state_dict(trained.state_dict())
        model = LatentModel(net.eval().requires_grad_(False), self, context)
        if self.match_variance and self.images_seen:
            replace(model, recipe=self.model_copy(update={"noise_scale": 1.0})).match_moments(seed)
        if context.checkpoint is not None:
            context.checkpoint.unlink(missing_ok=True)
        return model

    def load(self, folder: Path, context: RunContext) -> LatentModel:
        """Read back what :meth:`LatentModel.save` wrote.

        Raises:
            ValueError: naming the file, for one that is damaged, of another recipe, or of another model than the rest.
        """
        from .latent_net import LatentNets
        from .saved_nets import read_net
        from .vae_net import FOLD

        places = [folder / name for name in PARTS]
        first = self.first_stage.load(places[0], context).net
        side, channels, latent = (int(first.config[name]) for name in ("side", "channels", "latent"))
        grid, outline = side // FOLD, channels * FOLD**2

        def as_first(found: dict[str, int], expected: dict[str, int], place: Path) -> None:
            if found != expected:
                raise ValueError(f"{shown(place)}: expected {expected}, as for its first stage, got {found}")

        def upper(n: dict[str, int]) -> UpperPrior:
            as_first(n, {"latent": latent}, places[1])
            return self._upper_prior(latent)

        def details(n: dict[str, int]) -> DetailPrior:
            as_first(n, {"grid": grid, "outline": outline}, places[2])
            return self._detail_prior(grid, outline)

        parts = (
            read_net(places[1], {"latent": 1}, upper, context.device),
            read_net(places[2], {"grid": 1, "outline": 1}, details, context.device),
        )
        return LatentModel(LatentNets(first, *parts).eval().requires_grad_(False), self, context)

    def _upper_prior(self, latent: int) -> UpperPrior:
        from .latent_net import UpperPrior

        return UpperPrior(latent, self.width, self.blocks)

    def _detail_prior(self, grid: int, outline: int) -> DetailPrior:
        from .latent_net import DetailPrior

        unit = 2 ** (len(self.detail_widths) - 1)
        if grid % unit:
            raise ValueError(
                f"LatentDiffusion: expected images with a side that is a multiple of {4 * unit} px "
                f"({len(self.detail_widths)} levels), got {4 * grid}. Use fewer detail_widths, or resize the images."
            )
        return DetailPrior(grid, self.first_stage.details, outline, self.detail_widths)

    def _begun(self, images: np.ndarray, seed: int, context: RunContext, start: Model | None) -> tuple[LatentNets, str]:
        """Return the networks before training, and the digest of what they have from the model before."""
        import torch

        from .latent_net import LatentNets
        from .training import warm_start

        first: Any = self.first_stage.blank(images, seed)
        with torch.random.fork_rng(devices=[]):  # the initial weights are drawn by torch's global generator
            torch.manual_seed(seed_at(seed, "weights", row=1))
            upper = self._upper_prior(len(first.shrink))
            details = self._detail_prior(first.grid, len(first.variance))
        net = LatentNets(first, upper, details).to(torch.device(context.device))
        if start is not None and not isinstance(start, LatentModel):
            raise ValueError(
                f"LatentDiffusion: expected to begin from a latent diffusion model, got {type(start).__name__}"
            )
        if start is not None and self.takes_from_before:
            before = VaeModel(start.nets.first, self.first_stage, context)
            return net, warm_start(first, before, [name for name, _ in first.named_buffers()])
        solve_upper_level(first, images, seed_at(seed, "axes"), context)
        first_before: Any = None if start is None else SimpleNamespace(net=start.nets.first)
        details_before: Any = None if start is None else SimpleNamespace(net=start.nets.details)
        begun = warm_start(first, first_before, ["variance"])
        if not self.first_stage.images_seen:
            zero_details(first)
        return net, begun + warm_start(details, details_before)

    def _stages(self, net: LatentNets, images: np.ndarray, context: RunContext, kept: bool) -> list[_Stage]:
        """Return the parts in the order of training; a first stage that is kept, or not trained, is left out."""
        from .latent_training import detail_prior_loss, solve_detail_prior, solve_upper_prior, upper_prior_loss
        from .training import Plan

        stages = []
        if self.first_stage.images_seen and not kept:
            first_loss, plan = self.first_stage.training(net.first, self.first_stage.images_seen)
            names = ("first_stage.learning_rate", "first_stage.batch")
            plan = replace(plan, part="the first stage", settings=names)
            stages.append(_Stage("first", net.first, plan, lambda: (first_loss, images)))
        upper_plan = Plan(
            self.images_seen * self.upper_share,
            self.upper_batch,
            self.upper_learning_rate,
            ema=self.ema,
            part="the upper prior",
            settings=("upper_learning_rate", "upper_batch"),
        )
        plan = Plan(
            self.images_seen,
            self.batch,
            self.learning_rate,
            ema=self.ema,
            optimiser=self.optimiser,
            by_adam=("leave.weight",),  # a last layer gains nothing from equal steps in all directions
            part="the detail prior",
        )

        def upper() -> tuple[Loss, np.ndarray]:
            return upper_prior_loss(net.upper), solve_upper_prior(net, images, self.mirror, context)

        def details() -> tuple[Loss, np.ndarray]:
            solve_detail_prior(net, images, self.mirror, context)
            return detail_prior_loss(net, self.mirror, self.time_centre, self.time_spread), images

        return [*stages, _Stage("upper", net.upper, upper_plan, upper), _Stage("details", net.details, plan, details)]


@dataclass(frozen=True)
class _Stage:
    """A part, the plan of its training, and what gives its loss and training data when all parts before are trained."""

    name: str
    part: nn.Module
    plan: Plan
    prepare: Callable[[], tuple[Loss, np.ndarray]]


@dataclass(frozen=True, eq=False)
class LatentModel:
    """A trained latent diffusion model.

    Attributes:
        nets: first stage and priors, on the context's device.
        recipe: the settings.
        context: device and batch.
        reconstructs: True; the first stage has a code for an image.
    """

    nets: LatentNets
    recipe: LatentDiffusion
    context: RunContext
    reconstructs: bool = True

    def sample(self, seeds: np.ndarray) -> np.ndarray:
        """Return one image a seed: uint64 [N] -> uint8 [N,C,H,W]; all noise of an image depends on its seed only."""
        from .sampling import publish

        return publish(self._draw, seeds, self.context, self.nets.first.config["side"] ** 2, self.nets)

    def reconstruct(self, images: np.ndarray) -> np.ndarray:
        """Return the first stage's copy of each image: uint8 [N,C,H,W] -> the same form."""
        return VaeModel(self.nets.first, self.recipe.first_stage, self.context).reconstruct(images)

    def save(self, folder: Path) -> None:
        """Write the three networks, each in a folder of its own, as diffusers' ``save_pretrained`` does."""
        for name, part in zip(PARTS, (self.nets.first, self.nets.upper, self.nets.details), strict=True):
            part.save_pretrained(str(folder / name), safe_serialization=True)

    def match_moments(self, seed: int) -> None:
        """Set mean and gain of both priors, so that drawn codes have mean and variance of the training codes."""
        import torch

        from .kernels import precision_of

        upper, details = self.nets.upper, self.nets.details
        with torch.inference_mode(), precision_of(self.context):  # as in sampling
            drawn = self.draw_upper(_seeds(seed, "upper", UPPER_DRAWN))
            upper.centre.copy_(drawn.mean(0))
            upper.gain.copy_(upper.flow.scale / drawn.std(0))
            both = np.split(_seeds(seed, "details", DRAWN), 2)
            blocks = [(seeds, self.z_of(self.draw_upper(seeds))) for seeds in both]
            maps = torch.cat([self.draw_details(seeds, z) for seeds, z in blocks])
            details.centre.copy_(maps.mean((0, 2, 3), keepdim=True)[0])
            details.gain.copy_(1 / maps.std((0, 2, 3), keepdim=True)[0])

    def draw_upper(self, seeds: np.ndarray) -> Tensor:
        """Return what the flow over z draws, in its coordinates: uint64 [N] -> [N,latent]."""
        noise = self._noise(seeds, self.nets.upper.gain.shape, 0)
        return follow(self.nets.upper, noise, UPPER_STEPS, second_order=True)

    def z_of(self, drawn: Tensor) -> Tensor:
        """Return z of coordinates that the flow has drawn, [N,latent]."""
        return self.nets.upper.decode(drawn) / self.nets.first.axes.norm(dim=1)

    def draw_details(self, seeds: np.ndarray, z: Tensor) -> Tensor:
        """Return what the flow over c draws, given z: uint64 [N] -> scaled details [N,details,grid,grid]."""
        import torch

        prior, heun = self.nets.details, self.recipe.solver == "heun"
        given = prior.givens(self.nets.first.outline(z))
        noise = self._noise(seeds, prior.spread.shape, 1).contiguous(memory_format=torch.channels_last)
        return follow(lambda state, t: prior(state, t, given), noise, self.recipe.steps, heun)

    def _draw(self, seeds: np.ndarray) -> Tensor:
        z = self.z_of(self.draw_upper(seeds))
        return self.nets.first.decode(z, self.nets.details.decode(self.draw_details(seeds, z)))

    def _noise(self, seeds: np.ndarray, shape: tuple[int, ...], draw: int) -> Tensor:
        import torch

        return self.recipe.noise_scale * torch.from_numpy(normal(seeds, tuple(shape), draw)).to(self.context.device)


def _seeds(seed: int, part: str, count: int) -> np.ndarray:
    """Return so many seeds of a purpose, uint64 [N]."""
    return np.array([seed_at(seed, f"moments/{part}", row=row) for row in range(count)], np.uint64)
