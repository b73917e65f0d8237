"""Degradations of images: the freckle counter is calibrated on some, every metric is tried on all (ladder.py).

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

__all__ = ["Ghosts", "blurred", "compressed", "noised", "posterised", "shifted", "shrunk", "spoiled", "tinted", "toned"]

_LUMA = np.array([0.299, 0.587, 0.114], np.float32)


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


def toned(images: np.ndarray, contrast: float = 1.0, saturation: float = 1.0) -> np.ndarray:
    """Change the contrast about each image's mean luma, and the saturation about each pixel's luma.

    Args:
        images: uint8 [N,3,H,W].
        contrast: factor, 1 for none.
        saturation: factor, 1 for none, 0 for grey.
    """
    colour = images.astype(np.float32)
    luma = (colour * _LUMA[:, None, None]).sum(axis=1, keepdims=True)
    mean = luma.mean(axis=(2, 3), keepdims=True)
    return _published(mean + np.float32(contrast) * ((luma - mean) + np.float32(saturation) * (colour - luma)))


def tinted(images: np.ndarray, levels: tuple[float, float, float]) -> np.ndarray:
    """Add a number of grey levels to red, green and blue."""
    return _published(images + np.array(levels, np.float32)[:, None, None])


def shrunk(images: np.ndarray, share: float) -> np.ndarray:
    """Move every image to the mean of the set until this share of its distance is left."""
    mean = images.mean(axis=0, dtype=np.float64).astype(np.float32)
    return _published(mean + np.float32(share) * (images - mean))


def shifted(images: np.ndarray, px: int) -> np.ndarray:
    """Move every image to the right by px >= 1 and repeat the left column at the edge."""
    return np.concatenate([np.repeat(images[..., :1], px, axis=3), images[..., :-px]], axis=3)


def posterised(images: np.ndarray, levels: int) -> np.ndarray:
    """Round to so many equally spaced values from 0 to 255."""
    step = np.float32(255 / (levels - 1))
    return _published(np.rint(images / step) * step)


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
