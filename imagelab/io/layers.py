"""From a decoded picture of any mode to uint8 [3,H,W]: colours to sRGB, transparency laid over a colour, upright.

The work is done in bands of rows, so that beside the decoded picture and the result little memory is needed.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from PIL import Image, ImageCms

from .colour import to_srgb

__all__ = ["Layers", "pixels_of", "turned"]

BAND = 1 << 20  # pixels that are converted together

TRANSPARENT = ("RGBA", "LA", "PA", "RGBa", "La")


@dataclass
class Layers:
    """A decoded picture of 8 bits a channel, and what its file says of it.

    Attributes:
        image: mode 1, L, LA, La, P, PA, RGB, RGBA, RGBa, RGBX, CMYK, YCbCr, HSV or LAB; La and RGBa are colours that
            were multiplied by alpha.
        alpha: uint8 [H,W], where it is not in the image; None for none.
        profile: the ICC profile.
        orientation: the EXIF orientation that is still to be applied, 1 to 8.
        deep: whether the file has more than 8 bits a channel.
        several: whether the file holds several pictures.
        remarks: what a reader of the numbers has to know, in words that are the same for all pictures.
    """

    image: Image.Image
    alpha: np.ndarray | None = None
    profile: bytes | None = None
    orientation: int = 1
    deep: bool = False
    several: bool = False
    remarks: list[str] = field(default_factory=list)

    @property
    def transparent(self) -> bool:
        """Whether the picture has transparency."""
        return self.alpha is not None or self.image.mode in TRANSPARENT or "transparency" in self.image.info


def pixels_of(layers: Layers, alpha_over: tuple[int, int, int]) -> np.ndarray:
    """Return the pixels, uint8 [3,H,W], a view that may be read-only; a remark on the colours is added to the layers.

    Args:
        layers: the decoded picture.
        alpha_over: RGB 0..255 behind transparent pixels.
    """
    image, transparent = layers.image, layers.transparent
    transform, remark = to_srgb(_colour_mode(image.mode), layers.profile)
    if remark:
        layers.remarks.append(remark)
    grey = image.mode in ("1", "L") and not transparent and transform is None
    width, height = image.size
    pixels = np.empty((1 if grey else 3, height, width), np.uint8)
    step = max(1, BAND // max(1, width))
    for top in range(0, height, step):
        bottom = min(top + step, height)
        band = image.crop((0, top, width, bottom))
        if grey:
            pixels[0, top:bottom] = np.asarray(band.convert("L"))
            continue
        alpha = None if layers.alpha is None else layers.alpha[top:bottom]
        laid = _over(band, alpha, transform, alpha_over)
        for channel in range(3):
            pixels[channel, top:bottom] = np.asarray(laid.getchannel(channel))
    return turned(np.broadcast_to(pixels, (3, height, width)), layers.orientation)


def turned(pixels: np.ndarray, orientation: int) -> np.ndarray:
    """Return [C,H,W] turned upright, a view.

    Args:
        pixels: [C,H,W] as stored.
        orientation: the EXIF tag, 1 to 8; any other value turns nothing.
    """
    if orientation in (5, 6, 7, 8):
        pixels = pixels.swapaxes(1, 2)
    if orientation in (3, 4, 7, 8):
        pixels = pixels[:, ::-1]
    if orientation in (2, 3, 6, 7):
        pixels = pixels[:, :, ::-1]
    return pixels


def _colour_mode(mode: str) -> str:
    """Return the mode in which the colours of a picture are converted: L, RGB, CMYK or LAB."""
    if mode in ("1", "L", "LA", "La"):
        return "L"
    return mode if mode in ("CMYK", "LAB") else "RGB"


def _over(
    band: Image.Image,
    alpha: np.ndarray | None,
    transform: ImageCms.ImageCmsTransform | None,
    behind: tuple[int, int, int],
) -> Image.Image:
    """Return a band of rows as RGB or opaque RGBA, its transparency laid over a colour."""
    if band.mode in ("RGBa", "La"):
        if transform is None:
            return _premultiplied_over(band, behind)
        band = band.convert("RGBA" if band.mode == "RGBa" else "LA")
    if "transparency" in band.info or band.mode in ("PA", "LA"):
        band = band.convert("RGBA")
    if band.mode == "RGBA" and alpha is None and transform is None:
        return Image.alpha_composite(Image.new("RGBA", band.size, (*behind, 255)), band)
    colours = _rgb(band, transform)
    if alpha is not None:
        colours.putalpha(Image.fromarray(alpha))
    elif band.mode == "RGBA":
        colours.putalpha(band.getchannel("A"))
    else:
        return colours
    return Image.alpha_composite(Image.new("RGBA", colours.size, (*behind, 255)), colours)


def _rgb(band: Image.Image, transform: ImageCms.ImageCmsTransform | None) -> Image.Image:
    if transform is None:
        return band.convert("RGB")
    needed = transform.input_mode
    colours = band if band.mode == needed else band.convert("RGB").convert(needed)
    converted = ImageCms.applyTransform(colours, transform)
    if converted is None:
        raise ValueError("its colours cannot be converted to sRGB")
    return converted


def _premultiplied_over(band: Image.Image, behind: tuple[int, int, int]) -> Image.Image:
    """Lay colours that were multiplied by alpha over a colour: what is missing to full alpha is the colour behind."""
    values = np.asarray(band).astype(np.int32)
    rest = 255 - values[..., -1:]
    laid = values[..., :-1] + (rest * np.array(behind) * 2 + 255) // 510
    return Image.fromarray(np.broadcast_to(laid, (*rest.shape[:2], 3)).clip(0, 255).astype(np.uint8))
