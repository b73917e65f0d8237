"""The trainings and samplers that experiments/benchmarks/generators.py compares: their names and settings."""

from __future__ import annotations

import sys
from dataclasses import replace
from typing import Any

from imagelab.generators import Cascade, Ddpm, LatentDiffusion, Vae
from imagelab.generators.ddpm import RECIPES, DdpmModel

BATCH = 16 if "--quick" in sys.argv else 32  # read here, because the recipes below contain it
SEED = 2027  # the recipes were tuned on the faces of seed 2026
THEIRS, SAME, OWN, STAGE, DETAIL, LUCID = (
    "diffusers' loop, UNet2DModel",
    "our loop, the same UNet2DModel",
    "our loop, patch U-Net",
    "our loop, detail stage of the cascade",
    "our loop, detail prior of the latent model",
    "denoising-diffusion-pytorch, its Unet",
)
UNET = Ddpm(channels=(16, 32, 64), blocks=1, prediction="epsilon", schedule="linear", batch=BATCH, learning_rate=1e-4)
PATCH = RECIPES["cpu-32"].model_copy(update={"batch": BATCH, "ema": 0.995})
CASCADE = Cascade(batch=BATCH, coarse_batch=256)
LATENT = LatentDiffusion(  # 46 core-seconds in all on the faces of seed 2026
    first_stage=Vae(prior="normal", beta=0.5, images_seen=12_000, batch=BATCH),
    images_seen=10_000,
    upper_share=4,
    batch=BATCH,
    learning_rate=4e-3,  # rate and times as when its lengths were chosen and the figures measured
    time_centre=0.2,
    time_spread=1.2,
    width=256,
    detail_widths=(48, 64),
)
NEW = "sde-dpm++, Karras"  # the sampler that came within 10 % of 1,000 ancestral steps at 64 px (studies/samplers.py)
WALKS: dict[str, tuple[dict[str, Any], int]] = {  # of a Ddpm: settings, and evaluations of the net
    "ddpm": ({"sampler": "ddpm", "steps": 1000}, 1000),
    "ddim": ({"sampler": "ddim", "steps": 50}, 50),
    "dpm++": ({"sampler": "dpm++", "steps": 20}, 20),
    NEW: ({"sampler": "sde-dpm++", "spacing": "karras", "steps": 20}, 20),
    "heun": ({"sampler": "heun", "steps": 18}, 35),
}


def shortened(recipe: LatentDiffusion, share: float) -> LatentDiffusion:
    """Return the recipe with this share of its training."""
    first = recipe.first_stage.model_copy(update={"images_seen": int(share * recipe.first_stage.images_seen)})
    return recipe.model_copy(update={"first_stage": first, "images_seen": int(share * recipe.images_seen)})


def walking(model: DdpmModel, sampler: str, fewer: int = 1) -> DdpmModel:
    """Return the model with one of the samplers of ``WALKS``; ``fewer`` divides its steps, to see that it runs."""
    settings, _ = WALKS[sampler]
    return replace(model, recipe=model.recipe.model_copy(update={**settings, "steps": settings["steps"] // fewer}))
