"""Draw pictures with a DDPMPipeline of diffusers that unet_train.py, or anybody, has saved.

    python unet_sample.py --model MODEL --out IMAGES --count N --seed SEED

It knows nothing of imagelab.
"""

import argparse
from pathlib import Path
from typing import Any

import torch
from diffusers import DDIMScheduler, DDPMPipeline

ask = argparse.ArgumentParser()
ask.add_argument("--model", required=True)
ask.add_argument("--out", required=True)
ask.add_argument("--count", type=int, required=True)
ask.add_argument("--seed", type=int, default=0)
ask.add_argument("--steps", type=int, default=50)
ask.add_argument("--batch", type=int, default=64)
ask.add_argument("--device", default="cpu")
asked = ask.parse_args()

pipeline: Any = DDPMPipeline.from_pretrained(asked.model).to(asked.device)
pipeline.set_progress_bar_config(disable=True)
net = pipeline.unet.eval()
walk: Any = DDIMScheduler.from_config(pipeline.scheduler.config)
walk.set_timesteps(asked.steps)
noise = torch.Generator().manual_seed(asked.seed)
side, drawn = net.config["sample_size"], 0
while drawn < asked.count:
    size = min(asked.batch, asked.count - drawn)
    images = torch.randn(size, 3, side, side, generator=noise).to(asked.device)
    with torch.inference_mode():
        for level in walk.timesteps:
            images = walk.step(net(images, level).sample, level, images).prev_sample
    for picture in pipeline.numpy_to_pil((images / 2 + 0.5).clamp(0, 1).cpu().permute(0, 2, 3, 1).numpy()):
        picture.save(Path(asked.out, f"{drawn}.png"))
        drawn += 1
    print(f"{drawn} of {asked.count} drawn", flush=True)
