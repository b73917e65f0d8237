"""The freckles of the pictures that are shown, as the counter of the run finds them.

The figures of a run are counted on all images of a generation. A reader counts the few that are shown, and these are
other images: photocopies of chosen faces, or the first few of a thousand. So every output that shows pictures beside a
count says what the counter finds in these very pictures, and the page can draw a circle around each spot it counted.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from ..metrics.freckle_calibration import STYLES, Calibration, calibrated_sizes, shipped_calibration
from ..metrics.freckles import count_freckles, uncountable
from .planted import planted_counter
from .run_view import Run

__all__ = ["Pictured", "pictured"]


@dataclass(frozen=True)
class Pictured:
    """The spots that the counter finds in pictures of a run.

    Attributes:
        spots: generation -> for each picture float64 [K,4]: x px, y px (0 is the centre of the first pixel), score,
            contrast; see :func:`~imagelab.metrics.freckles.count_freckles`. Of planted marks in the same order: score,
            amplitude.
        word: what they are called.
    """

    spots: Mapping[int, Sequence[np.ndarray]]
    word: str = "freckles"

    @property
    def per_picture(self) -> str:
        """What is counted, a picture: "spots a face", "dots an image"."""
        return "spots a face" if self.word == "freckles" else f"{self.word} an image"

    def mean(self, generation: int, shown: int | None = None) -> float:
        """Return the mean number of spots a picture, not corrected.

        Args:
            generation: 0 for real images.
            shown: the number of pictures that are shown, from the first; None for all.
        """
        return float(np.mean([len(each) for each in self.spots[generation][:shown]]))

    def words(self, generation: int, shown: int | None = None) -> str:
        """Return the mean as text with one decimal, such as "4.6"."""
        return f"{self.mean(generation, shown):.1f}"


def pictured(run: Run, pictures: Mapping[int, np.ndarray]) -> Pictured | None:
    """Count the freckles, or the planted marks, in pictures of a run.

    Args:
        run: the run.
        pictures: generation -> uint8 [P,C,H,W], such as :meth:`Run.pictures` returns.

    Returns:
        The spots; None if the run counted none, or if its counter is not the one of this version, which would
        find other spots than the run's figures are made of.
    """
    if run.real("planted/count") is not None and (counter := planted_counter(run)) is not None:
        found = {g: [rows[:, :4] for rows in counter.find(images)] for g, images in pictures.items()}
        return Pictured(found, counter.word)
    if run.real("freckles/count") is None or not pictures:
        return None
    counter = _freckle_counter(run, next(iter(pictures.values())).shape[-1])
    if counter is None or any(uncountable(images, counter) for images in pictures.values()):
        return None
    return Pictured({generation: count_freckles(images, counter) for generation, images in pictures.items()})


def _freckle_counter(run: Run, size: int) -> Calibration | None:
    """Return the shipped counter that this run was counted with, None if it is not one of this version."""
    card = run.provenance.get("freckle_calibration")
    known = card.get("digest") if isinstance(card, Mapping) else None
    shipped = (shipped_calibration(size, style) for style in STYLES if size in calibrated_sizes(style))
    return next((counter for counter in shipped if counter.digest == known), None)
