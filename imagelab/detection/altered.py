"""What happens to pictures on their way: JPEG compression, and resizing to half the size and back."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from PIL import Image

__all__ = ["ALTERATIONS", "resized_and_back"]


def resized_and_back(images: np.ndarray) -> np.ndarray:
    """Return images after bicubic resizing to half the side, rounded up, and back: uint8 [N,C,H,W]."""
    height, width = images.shape[2:]
    small = (-(-width // 2), -(-height // 2))
    found = np.empty_like(images)
    for row, image in enumerate(images):
        for channel, values in enumerate(image):
            less = Image.fromarray(np.ascontiguousarray(values)).resize(small, Image.Resampling.BICUBIC)
            found[row, channel] = np.asarray(less.resize((width, height), Image.Resampling.BICUBIC))
    return found


def _jpeg(quality: int) -> Callable[[np.ndarray], np.ndarray]:
    def compress(images: np.ndarray) -> np.ndarray:
        from ..metrics.degradations import compressed  # not at the top: it loads scipy, and the command line does not

        if images.shape[1] == 3:
            return compressed(images, quality)
        return compressed(np.repeat(images, 3, axis=1), quality)[:, :1]

    return compress


ALTERATIONS: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "JPEG 90": _jpeg(90),
    "JPEG 70": _jpeg(70),
    "half size and back": resized_and_back,
}
"""Name -> what is done to images, uint8 [N,C,H,W], real and generated alike."""
