"""A cascade of flows: one flow draws a small image, then one flow per octave doubles the size and adds details.

The coarse stage is a flow over principal components. They describe the image at 16 x 16 px and the contrast of the
details of each octave, region by region. Every later stage doubles the size. It draws the details that the smaller
image leaves open, conditioned on the contrasts that the coarse stage has drawn (see cascade_net.py). Each stage learns
its velocity by minimising |v(x_t, t) - (e - x)|^2 at random times t. Sampling solves dx/dt = v from noise at t = 1 to
an image at t = 0. The split into octaves makes a flow affordable on one processor core: the coarse stage reads many
small images for outlines, colours and pose; the detail stages read small crops for eyes, hair and freckles.

The solver affects the result. Too few steps leave noise that looks like detail, and any finite number of steps changes
the variance (``imagelab.theory``). Therefore the solver and its steps are settings, and they must be reported with
every figure. ``images_seen=0`` is the control: the same closed forms, and networks whose output is zero.

References:
    Flow matching for generative modeling (Lipman et al. 2022), arXiv:2210.02747.
    Deep generative image models using a Laplacian pyramid of adversarial networks (Denton et al. 2015),
    arXiv:1506.05751.
    Cascaded diffusion models for high fidelity image generation (Ho et al. 2021), arXiv:2106.15282.
    Self-consuming generative models go MAD (sampling bias; Alemohammad et al. 2023), arXiv:2307.01850.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal, NamedTuple

import numpy as np
from pydantic import Field

from ..images import check_images
from ..seeds import normal, seed_at
from .base import Generator, Model, RunContext, noise_label

if TYPE_CHECKING:
    import torch
    from torch import Tensor, nn

    from .cascade_net import CascadeNet, CoarseNet
    from .training import Loss, Plan

__all__ = ["Cascade", "CascadeModel"]

DOUBT = 0.5
"""Largest standard deviation of the noise added to log contrasts in training, against errors of the coarse stage."""


class Cascade(Generator):
    """A cascade of flows, from a coarse image to the full size, one octave at a time.

    The defaults take six core-minutes at 64 px. After them the samples of 2,000 rendered faces are far nearer to unseen
    faces than those of PPCA and of the untrained control, and show a third of the freckles
    (experiments/studies/first_generation.py). Details that generation 1 does not draw are no sign of collapse.

    Attributes:
        coarse_side: side of the coarse stage's image, in px; the side of the images is this times a power of two.
        components: principal components that the coarse stage draws; at most N - 1, and at most as many as the coarse
            image has values, are used. They describe the coarse image and the contrasts of all octaves.
        width: width of the coarse stage's network.
        blocks: residual blocks of the coarse stage's network.
        detail_widths: channels of the detail networks, smallest octave first; the last one is for all further octaves.
        images_seen: images that each detail stage reads in training; 0 for the untrained control, closed forms alone.
        coarse_share: the coarse stage reads this many times ``images_seen``; its images are cheap.
        batch: images a training step of a detail stage.
        coarse_batch: images a training step of the coarse stage.
        learning_rate: peak rate of Adam for the detail stages; the coarse stage takes half of it.
        ema: highest decay of the weight average (warmed up).
        crop: side of the random crop of each image that a detail stage reads, in px; whole images where it is larger.
        mirror: mirror each image with probability 1/2 in training. Switch it off where left and right differ.
        augment: largest standard deviation, in -1..1 units, of the noise added to the coarse image in training, so that
            a detail stage is robust to errors of the stage before.
        solver: "euler" (first order) or "heun" (second order, two evaluations a step).
        steps: steps of the detail stages.
        coarse_steps: steps of the coarse stage, always by Heun.
        noise_scale: standard deviation of the noise that sampling starts from; below 1: more typical, less varied.
    """

    duration_settings: ClassVar[tuple[str, ...]] = ("images_seen", "batch", "coarse_batch", "steps", "coarse_steps")

    kind: Literal["cascade"] = "cascade"
    coarse_side: int = Field(default=16, ge=4, multiple_of=4)
    components: int = Field(default=256, ge=1)
    width: int = Field(default=512, ge=8)
    blocks: int = Field(default=3, ge=1)
    detail_widths: tuple[int, ...] = Field(default=(48, 32), min_length=1)
    images_seen: int = Field(default=30_000, ge=0)
    coarse_share: int = Field(default=10, ge=1)
    batch: int = Field(default=16, ge=1)
    coarse_batch: int = Field(default=256, ge=1)
    learning_rate: float = Field(default=2e-3, gt=0.0)
    ema: float = Field(default=0.999, ge=0.0, lt=1.0)
    crop: int = Field(default=32, ge=8, multiple_of=8)
    mirror: bool = True
    augment: float = Field(default=0.02, ge=0.0)
    solver: Literal["euler", "heun"] = "heun"
    steps: int = Field(default=9, ge=1)
    coarse_steps: int = Field(default=24, ge=1)
    noise_scale: float = Field(default=1.0, ge=0.0)

    @property
    def training_length(self) -> int:
        """``images_seen``."""
        return self.images_seen

    @property
    def label(self) -> str:
        """A few words for plots and tables."""
        return ("cascade" if self.images_seen else "cascade, untrained") + noise_label(self.noise_scale)

    def fit(self, images: np.ndarray, seed: int, context: RunContext, start: Model | None = None) -> CascadeModel:
        """Set the closed forms, then train the stages one after the other on uint8 [N,C,H,W]; keep averaged weights.

        Raises:
            ValueError: unless there are 2 images or more, square, with a side that is coarse_side times a power of two;
                or if ``start`` has another form.
            Diverged: see base.py.
            Interrupted: see base.py.
        """
        from .cascade_closed_forms import solve_closed_forms
        from .training import LossMeter, Whole, fingerprint, part_reached, train, warm_start

        self._check(images)
        net = self._net(images, seed)
        net.to(context.device)
        coordinates = solve_closed_forms(net, images, self.mirror, context)
        begun = warm_start(net, start, ["coarse.mean", "coarse.axes", "coarse.deviations"])
        mark = fingerprint(self.model_dump_json() + begun, images, seed, context)
        stages = self._stages(net, images, coordinates) if self.images_seen else []
        marks = [f"{mark}-{index}" for index in range(len(stages))]
        first = part_reached(context.checkpoint, marks)
        whole = Whole(net, LossMeter(context, sum(stage.plan.images_seen for stage in stages)))
        for index, (part, loss, plan, data) in enumerate(stages[first:], first):
            whole.meter.before = sum(stage.plan.images_seen for stage in stages[:index])
            trained = train(part, loss, data, plan, seed_at(seed, "stage", row=index), context, marks[index], whole)
            part.load_state_dict(trained.state_dict())
        if context.checkpoint is not None:
            context.checkpoint.unlink(missing_ok=True)
        return CascadeModel(net.eval().requires_grad_(False), self, context)

    def load(self, folder: Path, context: RunContext) -> CascadeModel:
        """Read back what :meth:`CascadeModel.save` wrote."""
        from .saved_nets import read_net

        def build(n: dict[str, int]) -> CascadeNet:
            self._check_side(n["side"], n["side"])
            return self._empty_net(n["side"], n["channels"], n["components"])

        net = read_net(folder, {"side": 1, "channels": 1, "components": 1}, build, context.device)
        return CascadeModel(net.requires_grad_(False), self, context)

    def _check(self, images: np.ndarray) -> None:
        check_images(images)
        self._check_side(*images.shape[2:])
        if len(images) < 2:
            raise ValueError(f"Cascade: expected at least 2 images to learn from, got {len(images)}")

    def _check_side(self, height: int, width: int) -> None:
        octaves = np.log2(height / self.coarse_side)
        if height != width or octaves < 0 or octaves % 1:
            raise ValueError(
                f"Cascade: expected square images with a side of {self.coarse_side} px times a power of two, "
                f"got {height} x {width}. Resize them, or choose another coarse_side."
            )

    def _net(self, images: np.ndarray, seed: int) -> Any:
        import torch

        count, channels, side, _ = images.shape
        components = min(self.components, count - 1, channels * self.coarse_side**2)
        with torch.random.fork_rng(devices=[]):  # the initial weights are drawn by torch's global generator
            torch.manual_seed(seed_at(seed, "weights"))
            return self._empty_net(side, channels, components)

    def _empty_net(self, side: int, channels: int, components: int) -> CascadeNet:
        from .cascade_net import CascadeNet

        return CascadeNet(side, channels, self.coarse_side, components, self.width, self.blocks, self.detail_widths)

    def _stages(self, net: CascadeNet, images: np.ndarray, coordinates: np.ndarray) -> list[Stage]:
        """Return the stages in the order of training; the coordinates are those of :func:`solve_closed_forms`."""
        from .training import Plan

        plan = Plan(self.images_seen, self.batch, self.learning_rate, ema=self.ema)
        coarse_seen = self.images_seen * self.coarse_share
        coarse_plan = replace(
            plan,
            images_seen=coarse_seen,
            batch=self.coarse_batch,
            learning_rate=self.learning_rate / 2,
            part="the coarse stage",
            settings=("learning_rate", "coarse_batch"),
        )
        stages = [Stage(net.coarse, coarse_loss(net.coarse), coarse_plan, coordinates)]
        for octave, part in enumerate(net.octaves):
            stages.append(Stage(part, octave_loss(net, octave, self.crop, self.mirror, self.augment), plan, images))
        return stages


class Stage(NamedTuple):
    """A part of the network, its loss, the plan of its training, and its training data."""

    part: nn.Module
    loss: Loss
    plan: Plan
    data: np.ndarray


def moments(count: int, noise: torch.Generator, device: torch.device, mean: float, deviation: float) -> Tensor:
    """Return random times in 0..1, logistic-normal: [count]; more where the velocity is hardest to learn."""
    import torch

    return torch.sigmoid(mean + deviation * torch.randn(count, generator=noise, device=device))


def mirrored(images: Tensor, noise: torch.Generator) -> Tensor:
    """Return the images, each mirrored with probability 1/2."""
    import torch

    turned = torch.rand(len(images), generator=noise, device=images.device) < 0.5
    return torch.where(turned[:, None, None, None], images.flip(3), images)


def coarse_loss(net: CoarseNet) -> Loss:
    """Return the loss of the coarse stage: (coordinates, noise source) -> (loss per coordinate, its named parts)."""
    import torch

    def loss(z: Tensor, noise: torch.Generator) -> tuple[Tensor, dict[str, Tensor]]:
        e = torch.randn(z.shape, generator=noise, device=z.device)
        t = moments(len(z), noise, z.device, 0.3, 1.0)
        moved = net((1 - t[:, None]) * z + t[:, None] * e, t)
        error = (moved - (e - z)).square().mean()
        return error, {"coarse": error.detach()}

    return loss


def octave_loss(net: CascadeNet, octave: int, crop: int, mirror: bool, augment: float) -> Loss:
    """Return the loss of one octave: (images in -1..1, noise source) -> (loss per pixel value, its named parts).

    Args:
        net: the whole cascade.
        octave: which octave, counted from 0.
        crop: side of the random crops, in px.
        mirror: mirror each image with probability 1/2.
        augment: largest standard deviation of the noise added to the coarse image, in -1..1 units.
    """
    import torch

    from .cascade_net import shrink
    from .kernels import drawn_on_host

    part = net.octaves[octave]
    size = min(crop // 2, part.grid)

    def loss(images: Tensor, noise: torch.Generator) -> tuple[Tensor, dict[str, Tensor]]:
        def draw(*shape: int) -> Tensor:
            return torch.randn(shape, generator=noise, device=images.device)

        images = mirrored(images, noise) if mirror else images
        fine, coarse = shrink(images, part.side), shrink(images, part.grid)
        # conditioning augmentation: noise of a random strength, for each image, on all that the net is conditioned on
        strength = torch.rand((2, len(fine), 1, 1, 1), generator=noise, device=fine.device)
        coarse = coarse + augment * strength[0] * draw(*coarse.shape)
        contrasts = net.contrasts(images)
        contrasts = contrasts + DOUBT * strength[1] * draw(*contrasts.shape)
        # corners of crops are multiples of 4: two halvings inside the net then group the same pixels as in whole images
        corner = drawn_on_host((part.grid - size) // 4 + 1, 2, noise)
        rows, columns = (slice(4 * start, 4 * start + size) for start in corner)
        doubled = (..., *(slice(2 * along.start, 2 * along.stop) for along in (rows, columns)))
        y = part.encode(fine, coarse)[doubled].contiguous(memory_format=torch.channels_last)
        e = draw(*y.shape).contiguous(memory_format=torch.channels_last)
        t = moments(len(y), noise, y.device, 0.2, 1.2)
        at = t[:, None, None, None]
        given = part.givens(coarse, contrasts)[..., rows, columns]
        error = (part((1 - at) * y + at * e, t, given, (rows, columns)) - (e - y)).square().mean()
        return error, {f"detail-{part.side}": error.detach()}

    return loss


def follow(move: Callable[[Tensor, Tensor], Tensor], state: Tensor, steps: int, second_order: bool) -> Tensor:
    """Solve dx/dt = move(x, t) from t = 1 to 0 in equal steps, by Euler's rule or (``second_order``) by Heun's."""
    import torch

    line = torch.linspace(1.0, 0.0, steps + 1, device=state.device)
    for now, then in pairwise(line):
        slope = move(state, now.expand(len(state)))
        if second_order:
            slope = (slope + move(state + (then - now) * slope, then.expand(len(state)))) / 2
        state = state + (then - now) * slope
    return state


@dataclass(frozen=True, eq=False)
class CascadeModel:
    """A trained cascade.

    Attributes:
        net: all stages, on the context's device.
        recipe: the settings.
        context: device and batch.
        reconstructs: False; a flow has no code.
    """

    net: CascadeNet
    recipe: Cascade
    context: RunContext
    reconstructs: bool = False

    def sample(self, seeds: np.ndarray) -> np.ndarray:
        """Return one image a seed: uint64 [N] -> uint8 [N,C,H,W]; the noise of every stage depends on the seed only."""
        from .sampling import publish

        return publish(self._draw, seeds, self.context, self.net.config["side"] ** 2, self.net)

    def reconstruct(self, images: np.ndarray) -> np.ndarray:
        """Raise ValueError: a flow has no code to copy an image through (``reconstructs`` is False)."""
        raise ValueError("Cascade: a flow does not reconstruct; use a Vae or a Gaussian for photocopies")

    def _draw(self, seeds: np.ndarray) -> Tensor:
        import torch

        recipe, coarse = self.recipe, self.net.coarse
        z = follow(coarse, self._noise(seeds, coarse.deviations.shape, 0), recipe.coarse_steps, second_order=True)
        images, contrasts = self.net.read(coarse.decode(z))
        for octave, part in enumerate(self.net.octaves):
            given = part.givens(images, contrasts)
            y = self._noise(seeds, part.spread.shape, octave + 1).contiguous(memory_format=torch.channels_last)
            y = follow(lambda y, t, p=part, g=given: p(y, t, g), y, recipe.steps, recipe.solver == "heun")
            images = part.decode(y, images)
        return images

    def _noise(self, seeds: np.ndarray, shape: tuple[int, ...], draw: int) -> Tensor:
        import torch

        return self.recipe.noise_scale * torch.from_numpy(normal(seeds, tuple(shape), draw)).to(self.context.device)

    def save(self, folder: Path) -> None:
        """Write config.json and diffusion_pytorch_model.safetensors, as diffusers' save_pretrained does."""
        self.net.save_pretrained(str(folder), safe_serialization=True)
