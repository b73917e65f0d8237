"""Degradations that an image may have undergone before its freckles are counted; the counter is calibrated on them.

Models do not only lose freckles. They blur, they add noise, and those that mix many faces leave ghosts: faint remains
of other faces on the skin, as round and as dark as freckles. A counter that was not fitted on ghosts counts them as
freckles. So this one is also fitted on skin with ghosts, both without freckles and with real freckles on it, and the
number of false freckles that ghosts cause is published on its card.

All functions take and return uint8 [N,3,H,W], and their result depends on their arguments only.
"""

from __future__ import annotations

import io
from dataclasses import dataclass

import numpy as np
from PIL import Image
from scipy import ndimage

__all__ = ["Ghosts", "blurred", "compressed", "noised", "spoiled"]


def blurred(images: np.ndarray, sigma: float) -> np.ndarray:
    """Blur with a Gaussian of sigma px and round to 8 bits."""
    smooth = ndimage.gaussian_filter(images.astype(np.float32), (0, 0, sigma, sigma), mode="nearest")
    return _published(smooth)


def noised(images: np.ndarray, sd: float, rng: np.random.Generator, kind: str = "white") -> np.ndarray:
    """Add Gaussian noise.

    Args:
        images: uint8 [N,3,H,W].
        sd: standard deviation of the noise for pixel values in 0..1.
        rng: the source of the noise.
        kind: "white" (independent in each channel), "grey" (equal in all channels), or "clumped" (correlated over 0.7
            px).
    """
    noise = rng.standard_normal((len(images), 1 if kind == "grey" else 3, *images.shape[2:]), np.float32)
    if kind == "clumped":
        noise = ndimage.gaussian_filter(noise, (0, 0, 0.7, 0.7), mode="wrap")
        noise /= noise.std()
    return _published(images + noise * np.float32(255 * sd))


def compressed(images: np.ndarray, quality: int) -> np.ndarray:
    """Compress and decompress every image as JPEG of this quality (1..95)."""
    out = np.empty_like(images)
    for row, image in enumerate(images):
        file = io.BytesIO()
        Image.fromarray(image.transpose(1, 2, 0)).save(file, "JPEG", quality=quality)
        out[row] = np.asarray(Image.open(file)).transpose(2, 0, 1)
    return out


@dataclass(frozen=True, eq=False)
class Ghosts:
    """A linear model of faces without freckles: nothing that it draws on skin is a freckle.

    Attributes:
        mean: float32 [D].
        axes: float32 [K,D], principal axes.
        spread: float32 [K], standard deviations along them.
        shape: (3, H, W).
    """

    mean: np.ndarray
    axes: np.ndarray
    spread: np.ndarray
    shape: tuple[int, ...]

    @classmethod
    def of(cls, images: np.ndarray) -> Ghosts:
        """Fit the principal axes of freckle-free faces."""
        flat = images.reshape(len(images), -1).astype(np.float32)
        mean = flat.mean(axis=0)
        flat -= mean
        values, vectors = np.linalg.eigh((flat @ flat.T).astype(np.float64))
        kept = values > values[-1] * 1e-9
        values, vectors = values[kept][::-1], vectors[:, kept][:, ::-1]
        axes = ((vectors / np.sqrt(values)).T.astype(np.float32)) @ flat
        return cls(mean, axes, np.sqrt(values / (len(images) - 1)).astype(np.float32), images.shape[1:])

    def through(self, images: np.ndarray, kept: int) -> np.ndarray:
        """Return the images projected onto the first ``kept`` axes."""
        flat = images.reshape(len(images), -1).astype(np.float32) - self.mean
        return self._painted((flat @ self.axes[:kept].T) @ self.axes[:kept])

    def drawn(self, n: int, kept: int, rng: np.random.Generator) -> np.ndarray:
        """Return n new faces drawn from the model on its first ``kept`` axes."""
        kept = min(kept, len(self.axes))
        return self._painted((rng.standard_normal((n, kept), np.float32) * self.spread[:kept]) @ self.axes[:kept])

    def _painted(self, flat: np.ndarray) -> np.ndarray:
        return _published((flat + self.mean).reshape(-1, *self.shape))


def spoiled(images: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Return copies with the typical damage of a model: two of three blurred, most with noise, some compressed."""
    sigma = rng.uniform(0, 1.3, len(images)) * (rng.random(len(images)) < 0.67) * images.shape[-1] / 64
    sd = rng.uniform(0, 0.035, len(images)) * (rng.random(len(images)) < 0.7)
    out = np.empty_like(images)
    for row, image in enumerate(images[:, None]):
        soft = blurred(image, sigma[row])
        soft = compressed(soft, int(rng.integers(60, 96))) if rng.random() < 0.15 else soft
        out[row] = noised(soft, sd[row], rng, str(rng.choice(["white", "white", "grey", "clumped"])))[0]
    return out


def _published(levels: np.ndarray) -> np.ndarray:
    return np.clip(levels + 0.5, 0, 255).astype(np.uint8)
