"""Colours to sRGB: by the picture's ICC profile, and for LAB and CMYK without one.

littleCMS converts, relative colorimetric with black-point compensation, 8 bits a channel. A profile that changes no
colour by more than one level is sRGB itself under some name, and its pictures keep their values exactly.

References:
    Specification ICC.1:2022 (International Color Consortium).
"""

from __future__ import annotations

import io
from functools import lru_cache
from typing import Any

import numpy as np
from PIL import Image, ImageCms

__all__ = ["CONVERTED", "FROM_LAB", "NO_PROFILE", "UNUSABLE", "to_srgb"]

CONVERTED = "colours converted to sRGB by the picture's ICC profile"
UNUSABLE = "with an ICC profile that cannot be used; their values were taken as sRGB"
FROM_LAB = "LAB, converted to sRGB"
NO_PROFILE = "CMYK without a profile, converted to RGB by the simple formula"

MOST_PROFILE = 1 << 24  # bytes of a profile
STEPS = 17  # levels of a channel at which a profile is compared with sRGB
NEAR = 1  # levels; profiles that differ less are one and the same

_INTENT = ImageCms.Intent.RELATIVE_COLORIMETRIC
_FLAGS = ImageCms.Flags.BLACKPOINTCOMPENSATION

_MODES = {"RGB ": "RGB", "GRAY": "L", "CMYK": "CMYK", "Lab ": "LAB"}


def to_srgb(mode: str, profile: bytes | None) -> tuple[ImageCms.ImageCmsTransform | None, str]:
    """Return the transform to sRGB for colours of a mode (None: keep the values), and a remark on it or "".

    Args:
        mode: the mode of the colours: L, RGB, CMYK or LAB.
        profile: the picture's ICC profile.
    """
    if profile is not None:
        try:
            space, transform = _transform(profile)
        except Exception:  # littleCMS on damaged profiles
            space, transform = "", None
        if mode == space or (mode == "L" and space == "RGB"):
            return transform, CONVERTED if transform else ""
        remark = UNUSABLE
    else:
        remark = ""
    if mode == "LAB":
        return _from_lab(), remark or FROM_LAB
    return None, remark or (NO_PROFILE if mode == "CMYK" else "")


@lru_cache(maxsize=16)
def _transform(content: bytes) -> tuple[str, ImageCms.ImageCmsTransform | None]:
    """Return the mode of the colours that a profile describes, and its transform to sRGB; None if it is sRGB.

    Raises:
        ValueError: if the profile is too long, of another colour space, or damaged.
    """
    if len(content) > MOST_PROFILE:
        raise ValueError(f"a profile of {len(content)} bytes")
    profile = ImageCms.ImageCmsProfile(io.BytesIO(content))
    described: Any = profile.profile
    mode = _MODES.get(described.xcolor_space)
    if mode is None:
        raise ValueError(f"a profile for {described.xcolor_space}")
    transform = ImageCms.buildTransform(profile, ImageCms.createProfile("sRGB"), mode, "RGB", _INTENT, _FLAGS)
    if mode in ("CMYK", "LAB"):
        return mode, transform
    levels = np.linspace(0, 255, STEPS).round().astype(np.uint8)
    if mode == "L":
        grey = np.arange(256, dtype=np.uint8)[None]
        before, colours = np.repeat(grey[..., None], 3, axis=2), Image.fromarray(grey)
    else:
        before = np.stack(np.meshgrid(levels, levels, levels, indexing="ij"), axis=-1).reshape(1, -1, 3)
        colours = Image.fromarray(before)
    after = np.asarray(_applied(colours, transform))
    same = np.abs(after.astype(int) - before).max() <= NEAR
    return mode, None if same else transform


@lru_cache(maxsize=1)
def _from_lab() -> ImageCms.ImageCmsTransform:
    return ImageCms.buildTransform(
        ImageCms.createProfile("LAB"), ImageCms.createProfile("sRGB"), "LAB", "RGB", _INTENT, _FLAGS
    )


def _applied(colours: Image.Image, transform: ImageCms.ImageCmsTransform) -> Image.Image:
    converted = ImageCms.applyTransform(colours, transform)
    if converted is None:
        raise ValueError("the colours cannot be converted")
    return converted
