"""The sampler of a diffusion recipe as a scheduler of diffusers, with its noise levels set.

References:
    DPM-Solver++ (2M and SDE; Lu et al. 2022), arXiv:2211.01095.
    Elucidating the design space of diffusion-based generative models (noise levels; Karras et al. 2022),
    arXiv:2206.00364.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ..theory.samplers import karras_times

if TYPE_CHECKING:
    from .ddpm import Ddpm

__all__ = ["sampling_scheduler"]

SOLVERS = {"dpm++": "dpmsolver++", "sde-dpm++": "sde-dpmsolver++"}
"""Sampler -> the name of its algorithm in diffusers."""


def sampling_scheduler(recipe: Ddpm) -> Any:
    """Return the scheduler of the recipe's sampler, ready for the first step.

    Args:
        recipe: schedule, prediction, sampler, steps and spacing are used.
    """
    from diffusers import DDIMScheduler, DPMSolverMultistepScheduler, HeunDiscreteScheduler

    base: Any = recipe._training_scheduler()
    if recipe.sampler == "heun":
        # settings are passed by name: from_config would take Heun's default betas in place of DDPM's
        names = ("num_train_timesteps", "beta_start", "beta_end", "beta_schedule", "prediction_type", "clip_sample")
        scheduler: Any = HeunDiscreteScheduler(
            **{name: base.config[name] for name in names}, timestep_spacing="trailing"
        )
    elif recipe.sampler == "ddim":
        scheduler = DDIMScheduler.from_config(base.config)
    elif recipe.sampler in SOLVERS:
        settings = {"algorithm_type": SOLVERS[recipe.sampler], "solver_order": 2}
        scheduler = DPMSolverMultistepScheduler.from_config(base.config, **settings)
    else:
        scheduler = base
    if recipe.sampler == "heun" or recipe.spacing == "karras":
        times = karras_times(base.alphas_cumprod.double().numpy(), recipe.steps)
        scheduler.set_timesteps(timesteps=times.tolist())
    else:
        scheduler.set_timesteps(recipe.steps)
    return scheduler
