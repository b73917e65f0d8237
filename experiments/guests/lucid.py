"""denoising-diffusion-pytorch as a program: its own Unet, GaussianDiffusion and Trainer.

    python lucid.py train IMAGES MODEL SEED IMAGES_SEEN
    python lucid.py sample MODEL IMAGES COUNT SEED

The package is not a dependency of imagelab: `pip install denoising-diffusion-pytorch` where this program runs; that may
be an environment of its own.
"""

import json
import sys
from pathlib import Path

import torch
from denoising_diffusion_pytorch import GaussianDiffusion, Trainer, Unet  # pyright: ignore[reportMissingImports]
from PIL import Image
from torchvision.utils import save_image

DIM, NOISE_STEPS, SAMPLING_STEPS, BATCH = 16, 1000, 50, 16


def model_of(side: int) -> GaussianDiffusion:
    """Return the untrained model for pictures of a size."""
    net = Unet(dim=DIM, dim_mults=(1, 2, 4), flash_attn=False)
    return GaussianDiffusion(net, image_size=side, timesteps=NOISE_STEPS, sampling_timesteps=SAMPLING_STEPS)


def train(images: str, model: str, seed: str, images_seen: str) -> None:
    """Train with the package's own Trainer, on the processor or the GPU that it finds; it wants 100 images or more."""
    torch.manual_seed(int(seed))
    side, out = Image.open(next(Path(images).iterdir())).width, Path(model)
    trainer = Trainer(
        model_of(side),
        images,
        train_batch_size=BATCH,
        train_num_steps=max(1, int(images_seen) // BATCH),
        save_and_sample_every=10**9,
        results_folder=model,
        calculate_fid=False,
        num_samples=4,
    )
    trainer.train()
    torch.save(trainer.ema.ema_model.state_dict(), out / "average.pt")
    (out / "side.json").write_text(json.dumps(side))


def sample(model: str, images: str, count: str, seed: str) -> None:
    """Draw from the average of the weights."""
    torch.manual_seed(int(seed))
    diffusion = model_of(json.loads(Path(model, "side.json").read_text()))
    diffusion.load_state_dict(torch.load(Path(model, "average.pt"), weights_only=True))
    diffusion.eval()
    drawn, wanted = 0, int(count)
    while drawn < wanted:
        for picture in diffusion.sample(batch_size=min(64, wanted - drawn)):
            save_image(picture, Path(images, f"{drawn}.png"))
            drawn += 1


if __name__ == "__main__":
    {"train": train, "sample": sample}[sys.argv[1]](*sys.argv[2:])
