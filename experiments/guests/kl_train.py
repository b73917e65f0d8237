"""Train an autoencoder of diffusers on a folder of pictures: AutoencoderKL, the first stage of latent diffusion models.

    python kl_train.py --data IMAGES --out MODEL --seed SEED --images-seen N

MODEL becomes a folder with the autoencoder, as ``AutoencoderKL.from_pretrained`` opens it, and the codes of the
pictures. It knows nothing of imagelab.
"""

import argparse
from pathlib import Path
from typing import Any

import numpy as np
import torch
from diffusers import AutoencoderKL
from PIL import Image

ask = argparse.ArgumentParser()
ask.add_argument("--data", required=True)
ask.add_argument("--out", required=True)
ask.add_argument("--seed", type=int, default=0)
ask.add_argument("--images-seen", type=int, default=8_000)
ask.add_argument("--batch", type=int, default=16)
ask.add_argument("--learning-rate", type=float, default=2e-3)
ask.add_argument("--channels", type=int, nargs="+", default=[24, 48])
ask.add_argument("--latent", type=int, default=8)
ask.add_argument("--beta", type=float, default=1e-4, help="weight of the divergence from N(0, I)")
asked = ask.parse_args()

torch.manual_seed(asked.seed)
pictures = np.stack([np.asarray(Image.open(path).convert("RGB")) for path in sorted(Path(asked.data).iterdir())])
images = torch.from_numpy(pictures).permute(0, 3, 1, 2).float().div(127.5).sub(1.0)
types: Any = [(f"{way}Block2D",) * len(asked.channels) for way in ("DownEncoder", "UpDecoder")]
net: Any = AutoencoderKL(
    down_block_types=types[0],
    up_block_types=types[1],
    block_out_channels=tuple(asked.channels),
    layers_per_block=1,
    latent_channels=asked.latent,
    norm_num_groups=8,
    mid_block_add_attention=False,
)
steps = max(1, asked.images_seen // asked.batch)
optimiser = torch.optim.AdamW(net.parameters(), asked.learning_rate)
plan = torch.optim.lr_scheduler.OneCycleLR(optimiser, asked.learning_rate, total_steps=steps + 1)
for step in range(steps):
    batch = images[torch.randint(len(images), (asked.batch,))]
    code = net.encode(batch).latent_dist
    error = (net.decode(code.sample()).sample - batch).square().mean()
    loss = error + asked.beta * code.kl().mean() / batch[0].numel()
    optimiser.zero_grad()
    loss.backward()
    torch.nn.utils.clip_grad_norm_(net.parameters(), 1.0)
    optimiser.step()
    plan.step()
    if step % max(1, steps // 5) == 0 or step == steps - 1:
        print(f"step {step + 1} of {steps}: squared error {error.item():.5f}", flush=True)

net.eval()
with torch.inference_mode():
    codes = [net.encode(block).latent_dist for block in images.split(64)]
net.save_pretrained(asked.out)
mean, deviation = (torch.cat(parts).numpy() for parts in ([c.mean for c in codes], [c.std for c in codes]))
np.savez(Path(asked.out, "codes.npz"), mean=mean, deviation=deviation)
