"""Draw pictures with an autoencoder that kl_train.py has saved: the code of a training picture, its noise, the decoder.

    python kl_sample.py --model MODEL --out IMAGES --count N --seeds SEEDS

SEEDS is a file with one number a line; a picture depends on its own seed alone. It knows nothing of imagelab.
"""

import argparse
from pathlib import Path
from typing import Any

import numpy as np
import torch
from diffusers import AutoencoderKL
from PIL import Image

ask = argparse.ArgumentParser()
ask.add_argument("--model", required=True)
ask.add_argument("--out", required=True)
ask.add_argument("--count", type=int, required=True)
ask.add_argument("--seeds", required=True)
asked = ask.parse_args()

net: Any = AutoencoderKL.from_pretrained(asked.model)
net.eval()
codes = np.load(Path(asked.model, "codes.npz"))
for row, seed in enumerate(Path(asked.seeds).read_text().split()[: asked.count]):
    rng = np.random.default_rng(int(seed))
    parent = rng.integers(len(codes["mean"]))
    drawn = codes["mean"][parent] + codes["deviation"][parent] * rng.standard_normal(codes["mean"][parent].shape)
    with torch.inference_mode():
        picture = net.decode(torch.from_numpy(drawn[None].astype(np.float32))).sample[0]
    bytes_ = ((picture.clamp(-1, 1) + 1) * 127.5).round().to(torch.uint8).permute(1, 2, 0).numpy()
    Image.fromarray(bytes_).save(Path(asked.out, f"{row}.png"))
