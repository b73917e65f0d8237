"""A generator of thirty lines of numpy, as a program of its own: principal components, and noise.

    python pca.py train IMAGES MODEL COMPONENTS
    python pca.py sample MODEL IMAGES COUNT SEEDS

It knows nothing of imagelab. An image depends on its own seed alone: SEEDS is a file with one number a line.
"""

import sys
from pathlib import Path

import numpy as np
from PIL import Image


def train(images: str, model: str, components: str) -> None:
    """Fit a Gaussian in the leading principal components of a folder of PNG files; what is left over is noise."""
    pictures = np.stack([np.asarray(Image.open(path)) for path in sorted(Path(images).iterdir())]).astype(np.float64)
    mean, k = pictures.mean(0), min(int(components), len(pictures) - 1)
    _, scales, axes = np.linalg.svd((pictures - mean).reshape(len(pictures), -1) / len(pictures) ** 0.5, False)
    rest = float(np.sqrt((scales[k:] ** 2).sum() / max(1, mean.size - k)))
    np.savez(f"{model}.npz", mean=mean, scales=scales[:k], axes=axes[:k], rest=rest)
    print(f"{len(pictures)} pictures, {k} components, noise of {rest:.1f} grey levels")


def sample(model: str, images: str, count: str, seeds: str) -> None:
    """Draw as many pictures as were asked for."""
    fitted = np.load(f"{model}.npz")
    for row, seed in enumerate(Path(seeds).read_text().split()[: int(count)]):
        rng = np.random.default_rng(int(seed))
        drawn = (rng.standard_normal(len(fitted["scales"])) * fitted["scales"]) @ fitted["axes"]
        drawn = fitted["mean"] + (drawn + fitted["rest"] * rng.standard_normal(len(drawn))).reshape(
            fitted["mean"].shape
        )
        Image.fromarray(np.clip(np.round(drawn), 0, 255).astype(np.uint8)).save(Path(images, f"{row}.png"))


if __name__ == "__main__":
    {"train": train, "sample": sample}[sys.argv[1]](*sys.argv[2:])
