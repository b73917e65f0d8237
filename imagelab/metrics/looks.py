"""How sharp, noisy, rich in contrast and colourful images are against real ones, and real images brought to that look.

A counter that finds fewer freckles in generated faces has two explanations: there are fewer freckles, or the images
hide them. The matched null separates them: real faces are brought to the look of the images under test, and counted
again. The look is four numbers, each against real images (I is luma, G_s a Gaussian of s px at 64 px, L_s = I * G_s):

    blur        the sigma that brings the sharpness E[(L_1 - L_2)^2] / E[(L_2 - L_4)^2] of real images to that of these,
                read from a table of real images blurred by known sigmas. The ratio depends neither on contrast nor on
                colour, and white noise of sd .02 changes it by 1 %;
    noise       median absolute deviation of the Immerkaer mask, in grey levels (freckle_candidates.noise_levels);
    contrast    ratio of the standard deviations of L_4 within an image;
    saturation  ratio of the standard deviations of (colour - luma) within an image, of cells of 4 x 4 px (cells average
                noise away, which would be read as colour; a tint changes nothing; less contrast is less saturation).

Sharpness and noise are read outside the skin window only, so that freckles that were lost are not read as blur.

The numbers are averages of a set, and each is one of several possible ones. (Root mean square of colour instead of its
spread: a VAE's tenth generation would keep .59 of the freckles of real faces, not .68, error .03.)

What it does not see: any other damage. Motion blur, JPEG blocks and ghosts have no number here; a model that loses fine
detail for another reason than blur is read as blurred; so is one that draws means of faces.
"""

from __future__ import annotations

from dataclasses import dataclass, fields

import numpy as np
from scipy import ndimage

from ..seeds import rng_at
from .base import ImageSet
from .degradations import blurred, noised, toned
from .freckle_candidates import noise_levels

__all__ = ["MOST", "Appearance", "Readings", "brought_to", "look_of", "readings", "readings_of"]

MOST = 256
"""Images of a set that are read: their sharpness is then known to about 1 %."""

_LUMA = np.array([0.299, 0.587, 0.114], np.float32)


@dataclass(frozen=True, eq=False)
class Readings:
    """What is read from each image, float64 [N] each.

    Attributes:
        fine: mean square of L_1 - L_2 outside the skin window.
        coarse: mean square of L_2 - L_4 there.
        contrast: standard deviation of L_4 over the whole image, grey levels.
        chroma: standard deviation of colour - luma over cells of 4 x 4 px (at 64 px), grey levels, the root mean square
            of the three channels.
        noise: grey levels.
    """

    fine: np.ndarray
    coarse: np.ndarray
    contrast: np.ndarray
    chroma: np.ndarray
    noise: np.ndarray

    def sharpness(self) -> tuple[float, float]:
        """Return sum(fine) / sum(coarse) and its standard error by linearisation; (0, 0) for flat images."""
        total = float(self.coarse.sum())
        if total <= 0:
            return 0.0, 0.0
        ratio = float(self.fine.sum()) / total
        return ratio, float(np.sqrt(((self.fine - ratio * self.coarse) ** 2).sum())) / total


@dataclass(frozen=True)
class Appearance:
    """The look of images against real ones.

    Attributes:
        blur: px of Gaussian blur, 0 for images as sharp as real ones or sharper; infinite beyond the table.
        noise: grey levels of 255, as read.
        contrast: ratio, 1 as real.
        saturation: ratio, 1 as real.
        blur_error: standard error of the blur, px.
    """

    blur: float
    noise: float
    contrast: float
    saturation: float
    blur_error: float = 0.0


def readings_of(images: ImageSet, skin: np.ndarray) -> Readings:
    """Return the readings of a set; kept in its memory, as several metrics ask for the same."""
    slot = "look"
    if slot not in images.memory:
        found = readings(images.images, skin)
        images.memory[slot] = np.stack([getattr(found, each.name) for each in fields(found)])
    return Readings(*images.memory[slot])


def readings(images: np.ndarray, skin: np.ndarray) -> Readings:
    """Read the first :data:`MOST` images.

    Args:
        images: uint8 [N,3,size,size].
        skin: bool [size,size], left out of sharpness and noise.
    """
    colour = images[:MOST].astype(np.float32)
    luma = (colour * _LUMA[:, None, None]).sum(axis=1)
    k, outside = images.shape[-1] / 64, ~skin
    soft = [ndimage.gaussian_filter(luma, (0, s * k, s * k), mode="nearest", truncate=3.0) for s in (1, 2, 4)]
    return Readings(
        fine=((soft[0] - soft[1]) ** 2)[:, outside].mean(axis=1, dtype=np.float64),
        coarse=((soft[1] - soft[2]) ** 2)[:, outside].mean(axis=1, dtype=np.float64),
        contrast=soft[2].reshape(len(luma), -1).std(axis=1, dtype=np.float64),
        chroma=np.sqrt(_cells(colour - luma[:, None], round(4 * k)).var(axis=(2, 3), dtype=np.float64).mean(axis=1)),
        noise=noise_levels(images[:MOST], skin),
    )


def _cells(field: np.ndarray, side: int) -> np.ndarray:
    """Return the means over square cells: float32 [N,3,H,W] -> [N,3,H/side,W/side]."""
    n, channels, height, width = field.shape
    return field.reshape(n, channels, height // side, side, width // side, side).mean(axis=(3, 5))


def look_of(fake: Readings, real: Readings, ruler: np.ndarray) -> Appearance:
    """Return the look of images against real ones.

    Args:
        fake: readings of the images under test.
        real: readings of real images.
        ruler: float [K,2], rows of (sigma in px, sharpness left of that of sharp images), sigma rising from 0.
    """
    (made, made_error), (sharp, sharp_error) = fake.sharpness(), real.sharpness()
    contrast = _ratio(fake.contrast, real.contrast)
    saturation = _ratio(fake.chroma, real.chroma)
    noise = float(fake.noise.mean())
    if sharp <= 0 or made <= 0:
        return Appearance(0.0, noise, contrast, saturation)
    left = made / sharp
    error = left * float(np.hypot(made_error / made, sharp_error / sharp))
    high, low = _sigma(ruler, left - error), _sigma(ruler, left + error)
    return Appearance(_sigma(ruler, left), noise, contrast, saturation, (high - low) / 2 if np.isfinite(high) else 0.0)


def _ratio(top: np.ndarray, bottom: np.ndarray) -> float:
    """Return the ratio of two means, 1 where either is 0: flat and grey images have no contrast to compare."""
    a, b = float(top.mean()), float(bottom.mean())
    return a / b if a > 0 and b > 0 else 1.0


def _sigma(ruler: np.ndarray, left: float) -> float:
    shares = np.minimum.accumulate(ruler[:, 1])
    return float("inf") if left < shares[-1] else float(np.interp(-left, -shares, ruler[:, 0]))


def brought_to(look: Appearance, images: np.ndarray, skin: np.ndarray, seed: int) -> np.ndarray:
    """Return real images brought to a look: blurred, then contrast and saturation changed, then noise added.

    White noise is added until the mean reading is that of the look; images that read higher already get none. The
    analytic amount, sqrt(look^2 - own^2), is corrected once by what it is read as.

    Args:
        look: with a finite blur.
        images: uint8 [N,3,size,size].
        skin: bool [size,size], as for :func:`readings`.
        seed: of the noise; images of equal shape get equal noise, so that a face and its twin differ in freckles only.
    """
    plain = toned(blurred(images, look.blur) if look.blur else images, look.contrast, look.saturation / look.contrast)
    own = float(noise_levels(plain[:MOST], skin).mean())
    if look.noise <= own:
        return plain
    wanted = float(np.sqrt(look.noise**2 - own**2))
    read = float(noise_levels(noised(plain[:MOST], wanted / 255, rng_at(seed, "look")), skin).mean())
    sd = wanted * wanted / max(float(np.sqrt(max(read**2 - own**2, 0.0))), wanted / 2)
    return noised(plain, sd / 255, rng_at(seed, "look"))
