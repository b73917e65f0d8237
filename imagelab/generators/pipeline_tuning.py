"""What is tuned in a published pipeline: the U-Net, or low-rank updates of its attention layers; loss and samplers.

LoRA adds to a weight matrix W of an attention layer (to_q, to_k, to_v, to_out) the product B A of rank r, with B = 0 at
the start, so that training begins at the published model. Only A and B are trained. The scale is 1 (alpha = rank), so
``StableDiffusionPipeline.load_lora_weights`` reads the file without further settings.

The loss is the plain squared error of what the scheduler's settings say that the network predicts (e, v, or x), at a
time drawn uniformly. All networks stay in eval mode: dropout is off, so no random number comes from a global source.
"""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Literal

import torch
from torch import Tensor, nn

from ..io.untrusted import parsing, shown
from ..seeds import seed_at
from .pipeline_text import PromptEmbeddings, require_package

if TYPE_CHECKING:
    from .pipeline_parts import LoadedPipeline
    from .training import Loss

__all__ = ["Sampler", "TunedPart", "denoise", "low_rank_part", "noise_scheduler", "pipeline_loss", "whole_part"]

Sampler = Literal["ddpm", "ddim", "dpm++"]

TARGETS = ["to_q", "to_k", "to_v", "to_out.0"]
"""Layers of attention that get low-rank updates, as in diffusers' own training scripts."""


class TunedPart(nn.Module):
    """The trained parameters of a larger network; they are that network's own, not copies.

    The training bench trains, averages and saves this module, so that the frozen rest of the network exists once.

    Args:
        parameters: name in the file -> parameter.
    """

    def __init__(self, parameters: Mapping[str, nn.Parameter]) -> None:
        super().__init__()
        for name, parameter in parameters.items():
            self.register_parameter(name.replace(".", "/"), parameter)

    def tensors(self) -> dict[str, Tensor]:
        """Return the parameters by their names in the file, on the CPU."""
        return {name.replace("/", "."): value.detach().cpu().contiguous() for name, value in self.named_parameters()}

    def fill(self, tensors: Mapping[str, Tensor]) -> None:
        """Overwrite the parameters, in the larger network, too."""
        with torch.no_grad():
            for name, parameter in self.named_parameters():
                parameter.copy_(tensors[name.replace("/", ".")])


def whole_part(unet: nn.Module) -> TunedPart:
    """Return all parameters of a U-Net as the part that is tuned."""
    unet.requires_grad_(True)
    return TunedPart(dict(unet.named_parameters()))


def low_rank_part(unet: nn.Module, rank: int, seed: int) -> TunedPart:
    """Add low-rank updates to the attention layers of a frozen U-Net, and return them.

    Args:
        unet: it is changed in place, by peft.
        rank: r.
        seed: of the first values of A.

    Raises:
        ValueError: if peft is missing, or the network has no attention layers.
    """
    peft = require_package("peft", 'tune = "lora"')
    if not any(name.endswith(tuple(f".{target}" for target in TARGETS)) for name, _ in unet.named_modules()):
        raise ValueError('Pipeline: tune = "lora": the network has no attention layers to add to; use tune = "full"')
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed_at(seed, "weights"))
        peft.inject_adapter_in_model(peft.LoraConfig(r=rank, lora_alpha=rank, target_modules=TARGETS), unet)
    found = {name: parameter for name, parameter in unet.named_parameters() if parameter.requires_grad}
    return TunedPart({f"unet.{name.replace('.default.', '.')}": parameter for name, parameter in found.items()})


def noise_scheduler(parts: LoadedPipeline, sampler: Sampler) -> Any:
    """Return a scheduler of diffusers with the noise levels, and where it knows them the settings, of the pipeline's.

    Latents are not bounded. They are clipped to -1..1 only where an LDMPipeline says so.
    """
    from diffusers import DDIMScheduler, DDPMScheduler, DPMSolverMultistepScheduler

    kinds: dict[Sampler, Any] = {"ddpm": DDPMScheduler, "ddim": DDIMScheduler, "dpm++": DPMSolverMultistepScheduler}
    settings = dict(parts.scheduler)
    settings["clip_sample"] = settings.get("clip_sample", parts.coder is None) and parts.source.form != "text"
    if sampler == "dpm++":
        settings |= {"algorithm_type": "dpmsolver++", "solver_order": 2}
    known = inspect.signature(kinds[sampler].__init__).parameters
    given = {name: value for name, value in settings.items() if name in known and value is not None}
    path = parts.source.parts["scheduler"][1] / "scheduler_config.json"
    with parsing(path, f"settings that a {kinds[sampler].__name__} takes"):
        return kinds[sampler](**given)


def pipeline_loss(parts: LoadedPipeline, prompts: PromptEmbeddings | None) -> Loss:
    """Return the loss of a step.

    Args:
        parts: the pipeline.
        prompts: of a text pipeline; each image of a batch gets one of them at random.

    Returns:
        (images in -1..1, or moments of latents; noise source) -> (loss, no parts).
    """
    scheduler, channels = noise_scheduler(parts, "ddpm"), parts.latent_shape[0]

    def loss(batch: Tensor, noise: torch.Generator) -> tuple[Tensor, dict[str, Tensor]]:
        device, clean = batch.device, batch
        if parts.coder is not None and batch.shape[1] == 2 * channels:
            mean, spread = batch.chunk(2, dim=1)
            clean = mean + spread * torch.randn(mean.shape, generator=noise, device=device)
        times = torch.randint(parts.noise_steps, (len(clean),), generator=noise, device=device)
        added = torch.randn(clean.shape, generator=noise, device=device)
        text = None
        if prompts is not None:
            rows = torch.randint(prompts.count, (len(clean),), generator=noise, device=device)
            text = prompts.rows[rows]
        answer = _predicted(parts.unet, scheduler.add_noise(clean, added, times), times, text).float()
        target = {"epsilon": added, "sample": clean}.get(parts.prediction)
        if target is None:
            target = scheduler.get_velocity(clean, added, times)
        return (answer - target).square().mean(), {}

    return loss


def denoise(
    parts: LoadedPipeline,
    sampler: Sampler,
    steps: int,
    state: Tensor,
    sources: list[torch.Generator],
    text: tuple[Tensor, Tensor, float] | None,
) -> Tensor:
    """Return images in about -1..1, or latents, from noise.

    Args:
        parts: the pipeline.
        sampler: which.
        steps: of the sampler.
        state: standard normal noise [B,C,h,w].
        sources: a noise source for each image, for "ddpm".
        text: of a text pipeline: embeddings [B,T,D], those of the empty prompt [B,T,D], and the guidance w. The
            prediction is n + w (p - n), p with the prompt and n without it; with w = 1 it is p.
    """
    scheduler: Any = noise_scheduler(parts, sampler)
    with parsing(shown(parts.source.folder), f"a scheduler that takes {steps} steps"):
        scheduler.set_timesteps(steps)
    extra = {"generator": sources} if sampler == "ddpm" else {}
    state = float(scheduler.init_noise_sigma) * state
    for time in scheduler.timesteps:
        scaled, moment = scheduler.scale_model_input(state, time), time.to(state.device)
        if text is None:
            answer = _predicted(parts.unet, scaled, moment, None)
        elif text[2] == 1.0:
            answer = _predicted(parts.unet, scaled, moment, text[0])
        else:
            both = _predicted(parts.unet, torch.cat([scaled] * 2), moment, torch.cat([text[1], text[0]]))
            without, prompted = both.chunk(2)
            answer = without + text[2] * (prompted - without)
        state = scheduler.step(answer, time, state, **extra).prev_sample
    return state


def _predicted(unet: Any, noisy: Tensor, times: Tensor, text: Tensor | None) -> Tensor:
    if text is None:
        return unet(noisy, times).sample
    return unet(noisy, times, encoder_hidden_states=text).sample
