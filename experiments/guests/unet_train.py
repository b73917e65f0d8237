"""Train an unconditional diffusion model with diffusers, as its own example does: UNet2DModel, DDPM, AdamW, EMA.

    python unet_train.py --data IMAGES --out MODEL --seed SEED --images-seen N

Re-told from diffusers' examples/unconditional_image_generation (Apache-2.0) in few lines. MODEL becomes a folder that
``DDPMPipeline.from_pretrained`` opens. It knows nothing of imagelab.
"""

import argparse
from pathlib import Path
from typing import Any

import numpy as np
import torch
from diffusers import DDPMPipeline, DDPMScheduler, UNet2DModel
from diffusers.training_utils import EMAModel
from PIL import Image

ask = argparse.ArgumentParser()
ask.add_argument("--data", required=True)
ask.add_argument("--out", required=True)
ask.add_argument("--start", default="", help="a model to begin from, else from scratch")
ask.add_argument("--seed", type=int, default=0)
ask.add_argument("--images-seen", type=int, default=20_000)
ask.add_argument("--batch", type=int, default=16)
ask.add_argument("--learning-rate", type=float, default=1e-3)
ask.add_argument("--channels", type=int, nargs="+", default=[32, 64, 64])
ask.add_argument("--layers", type=int, default=1)
ask.add_argument("--noise-steps", type=int, default=1000)
ask.add_argument("--device", default="cpu")
asked = ask.parse_args()

torch.manual_seed(asked.seed)
pictures = np.stack([np.asarray(Image.open(path).convert("RGB")) for path in sorted(Path(asked.data).iterdir())])
images = torch.from_numpy(pictures).permute(0, 3, 1, 2).float().div(127.5).sub(1.0).to(asked.device)

if asked.start:
    unet = UNet2DModel.from_pretrained(asked.start, subfolder="unet")
else:
    unet = UNet2DModel(
        sample_size=images.shape[-1],
        block_out_channels=tuple(asked.channels),
        layers_per_block=asked.layers,
        norm_num_groups=8,
        down_block_types=("DownBlock2D",) * len(asked.channels),
        up_block_types=("UpBlock2D",) * len(asked.channels),
    )
unet.to(asked.device).train()
schedule: Any = DDPMScheduler(num_train_timesteps=asked.noise_steps)
optimiser = torch.optim.AdamW(unet.parameters(), asked.learning_rate, betas=(0.95, 0.999), weight_decay=1e-6)
average = EMAModel(unet.parameters(), decay=0.995, use_ema_warmup=True)

steps = max(1, asked.images_seen // asked.batch)
for step in range(steps):
    clean = images[torch.randint(len(images), (min(asked.batch, len(images)),))]
    noise, level = torch.randn_like(clean), torch.randint(asked.noise_steps, (len(clean),), device=clean.device)
    guess = unet(schedule.add_noise(clean, noise, level), level).sample
    loss = torch.nn.functional.mse_loss(guess, noise)
    loss.backward()
    torch.nn.utils.clip_grad_norm_(unet.parameters(), 1.0)
    optimiser.step()
    optimiser.zero_grad()
    average.step(unet.parameters())
    if (step + 1) % max(1, steps // 20) == 0:
        print(f"step {step + 1} of {steps}, loss {loss.item():.4f}", flush=True)

average.copy_to(unet.parameters())
DDPMPipeline(unet=unet, scheduler=schedule).save_pretrained(asked.out)
