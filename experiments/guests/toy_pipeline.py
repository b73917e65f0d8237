"""Write a tiny pipeline with random weights, in the layout that diffusers publishes: for tests and first tries.

    python toy_pipeline.py FOLDER [--form text|latent|pixels] [--side 32] [--channels 3] [--seed 0]

It knows nothing of imagelab. The weights are random: what the pipeline draws is noise, and no statement about any
published pipeline follows from it. Needs diffusers, and for ``--form text`` also transformers.
"""

from __future__ import annotations

import argparse
import importlib
import json
from pathlib import Path
from typing import Any

import torch
from diffusers import (
    AutoencoderKL,
    DDIMScheduler,
    DDPMPipeline,
    DDPMScheduler,
    LDMPipeline,
    PNDMScheduler,
    StableDiffusionPipeline,
    UNet2DConditionModel,
    UNet2DModel,
    VQModel,
)

FORMS = ("text", "latent", "pixels")
ENDS = "<|startoftext|>", "<|endoftext|>"
PLACES = 16  # tokens that the text encoder reads
FACTOR = 2  # pixels a side of one latent


def pixel_unet(side: int, channels: int) -> UNet2DModel:
    """Return an unconditional U-Net for images or latents."""
    return UNet2DModel(
        sample_size=side,
        in_channels=channels,
        out_channels=channels,
        layers_per_block=1,
        block_out_channels=(8, 16),
        down_block_types=("DownBlock2D", "AttnDownBlock2D"),
        up_block_types=("AttnUpBlock2D", "UpBlock2D"),
        norm_num_groups=4,
        attention_head_dim=8,
    )


def text_unet(side: int, width: int) -> UNet2DConditionModel:
    """Return a U-Net for latents of 4 channels that reads texts of this width."""
    return UNet2DConditionModel(
        sample_size=side,
        layers_per_block=1,
        block_out_channels=(8, 16),
        down_block_types=("DownBlock2D", "CrossAttnDownBlock2D"),
        up_block_types=("CrossAttnUpBlock2D", "UpBlock2D"),
        norm_num_groups=4,
        attention_head_dim=8,
        cross_attention_dim=width,
    )


def autoencoder(kind: type, side: int, channels: int, latents: int) -> Any:
    """Return an autoencoder that halves the side."""
    more = {"num_vq_embeddings": 32, "scaling_factor": 1.0} if kind is VQModel else {}
    return kind(
        in_channels=channels,
        out_channels=channels,
        latent_channels=latents,
        block_out_channels=(8, 8),
        down_block_types=("DownEncoderBlock2D",) * 2,
        up_block_types=("UpDecoderBlock2D",) * 2,
        norm_num_groups=4,
        sample_size=side,
        **more,
    )


def text_parts(folder: Path, width: int) -> dict[str, Any]:
    """Return a CLIP text encoder, and a tokenizer that knows single letters."""
    transformers = importlib.import_module("transformers")
    letters = [chr(code) for code in range(ord("!"), ord("~") + 1)]
    words = [*letters, *(f"{letter}</w>" for letter in letters), *ENDS]
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "vocab.json").write_text(json.dumps({word: number for number, word in enumerate(words)}))
    (folder / "merges.txt").write_text("#version: 0.2\n")
    tokenizer = transformers.CLIPTokenizer.from_pretrained(str(folder), model_max_length=PLACES)
    begin, end = (words.index(word) for word in ENDS)
    config = transformers.CLIPTextConfig(
        vocab_size=len(words),
        hidden_size=width,
        intermediate_size=2 * width,
        num_hidden_layers=2,
        num_attention_heads=2,
        max_position_embeddings=PLACES,
        bos_token_id=begin,
        eos_token_id=end,
        pad_token_id=end,
    )
    return {"text_encoder": transformers.CLIPTextModel(config), "tokenizer": tokenizer}


def make(folder: Path, form: str = "text", side: int = 32, channels: int = 3, seed: int = 0) -> None:
    """Write the pipeline.

    Args:
        folder: to write to.
        form: text (StableDiffusionPipeline), latent (LDMPipeline with a VQModel), pixels (DDPMPipeline).
        side: of the images, px; a multiple of 4.
        channels: of the images, 1 or 3.
        seed: of the weights.
    """
    betas = {"beta_start": 0.00085, "beta_end": 0.012, "beta_schedule": "scaled_linear"}
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        if form == "pixels":
            pipeline = DDPMPipeline(pixel_unet(side, channels), DDPMScheduler(variance_type="fixed_large"))
        elif form == "latent":
            coder = autoencoder(VQModel, side, channels, 3)
            pipeline = LDMPipeline(coder, pixel_unet(side // FACTOR, 3), DDIMScheduler(**betas, clip_sample=False))
        else:
            coder = autoencoder(AutoencoderKL, side, channels, 4)
            scheduler = PNDMScheduler(**betas, skip_prk_steps=True, steps_offset=1, set_alpha_to_one=False)
            left_out = {"safety_checker": None, "feature_extractor": None, "requires_safety_checker": False}
            parts: dict[str, Any] = {**text_parts(folder / "tokenizer", 16), **left_out, "scheduler": scheduler}
            pipeline = StableDiffusionPipeline(vae=coder, unet=text_unet(side // FACTOR, 16), **parts)
        pipeline.save_pretrained(str(folder), safe_serialization=True)


def main() -> None:
    """Read the command line and write the pipeline."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--form", choices=FORMS, default="text")
    parser.add_argument("--side", type=int, default=32)
    parser.add_argument("--channels", type=int, choices=(1, 3), default=3)
    parser.add_argument("--seed", type=int, default=0)
    asked = parser.parse_args()
    make(asked.folder, asked.form, asked.side, asked.channels, asked.seed)


if __name__ == "__main__":
    main()
