from __future__ import annotations

import numpy as np

from imagelab.data import Textures
from imagelab.data.base import Data
from imagelab.measurement import Measurement
from imagelab.metrics.base import Evidence, ImageSet
from imagelab.metrics.panel import measure_panel


def test_the_panel_of_grey_images_gives_the_numbers_of_three_equal_channels() -> None:
    """All but the headroom of the spectrum, in which the rounding of three channels counts less than that of one."""
    textures = Textures(size=32, photos=("grass", "brick"))
    colour = [textures.load(split, 30, 0).images for split in ("heldout", "train")]
    grey = [np.ascontiguousarray(images[:, :1]) for images in colour]
    one, three = (
        measure_panel(Evidence(ImageSet(real), ImageSet(fake), train=ImageSet(fake[::-1])), Data.panel)
        for real, fake in (grey, colour)
    )
    assert [m.name for m in one] == [m.name for m in three]
    assert len([m for m in one if m.value is not None]) > 40
    differ = [m.name for m, other in zip(one, three, strict=True) if not _alike(m, other)]
    assert differ and all(name.startswith("band_headroom/") for name in differ), differ


def _alike(one: Measurement, other: Measurement) -> bool:
    if one.value is None or other.value is None:
        return one.value is other.value
    return bool(np.isclose(one.value, other.value, rtol=1e-6, atol=1e-9))
