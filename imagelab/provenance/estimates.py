"""What the detectors of runs say of a picture: a score, and how often images of known origin score like that.

A detector knows the images of its run: that size, that kind, as they were written. Of other pictures it says nothing:
those of another size are not scored, and those farther from the run's real images than all of its test images are not
judged. No probability of being generated is given; that would need to be known how many such pictures are generated.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import Any

import numpy as np

from ..detection.record import labels_of
from ..detection.saved import SavedDetector, ScoredPicture
from ..detection.tables import told_interval
from ..io.untrusted import quoted, shown
from ..run_folder import RunFolder

__all__ = ["estimated"]

SCOPE = (
    "The detector knows the images of this run only, of this size and as they were written. On other pictures, and on "
    "compressed, resized or edited ones, its errors are larger: `imagelab detect` prints them."
)

Told = tuple[str, tuple[str, ...], dict[str, Any], bool]
"""A headline, further sentences, the same as JSON values, and whether the picture counts as generated."""


def estimated(pixels: np.ndarray, runs: Sequence[RunFolder]) -> tuple[list[Told], list[str]]:
    """Return what the detectors of these runs say of a picture, and why detectors were not used.

    Args:
        pixels: uint8 [C,H,W].
        runs: the runs that are searched.
    """
    found, unused = [], []
    for run in runs:
        name = shown(run.path.name)
        try:
            saved = _saved(run)
            if saved is None:
                continue
            if not saved.fits(pixels):
                size = " x ".join(str(length) for length in reversed(saved.record.shape[1:]))
                unused.append(f"The detector of {name} was not asked: it knows images of {size} px only.")
                continue
            found.append(_told(saved, saved.estimate(pixels), name))
        except (ValueError, OSError) as error:
            unused.append(f"The detector of {name} was not used: {quoted(str(error), 400)}")
    return found, unused


@lru_cache(maxsize=8)
def _saved(run: RunFolder) -> SavedDetector | None:
    return SavedDetector.open(run)


def _told(saved: SavedDetector, found: ScoredPicture, name: str) -> Told:
    record, labels = saved.record, labels_of(saved.record)
    facts: dict[str, Any] = {
        "run": name,
        "score": round(found.score, 4),
        "distance": round(found.distance, 3),
        "reach": round(found.reach, 3),
    }
    if not found.known:
        words = f"The detector of {name} does not judge it: it is unlike every image that the detector was tested on."
        apart = (
            f"Its cues are {found.distance:.1f} standard deviations of real images from their mean; test images are at "
            f"most {found.reach:.1f} away."
        )
        return words, (apart, SCOPE), facts, False
    rates = {"real_as_high": found.real_as_high, "made_as_high": found.made_as_high, "made_as_low": found.made_as_low}
    facts |= {key: vars(rate) for key, rate in rates.items()}
    origins = [labels[line] for line in labels]
    facts["tested"] = {"real": record.independent, "generations": record.generations, "lines": origins}
    headline = (
        f"The detector of {name} scores it {found.score:+.2f}, where above 0 counts as generated; "
        f"{told_interval(found.real_as_high)} of {record.independent:,} held-out images of the dataset score as high."
    )
    tested = f"{len(record.generations)} generations ({record.generations[0]} to {record.generations[-1]})"
    details = (
        f"Of {found.tested:,} generated test images, {told_interval(found.made_as_high)} score as high or higher and "
        f"{told_interval(found.made_as_low)} as low or lower (95 % intervals).",
        f"Tested on {tested} of {', '.join(origins[:6])}{' and others' if len(origins) > 6 else ''}. The score is a "
        "log-odds for equally many of both; how probable it is that this picture is generated depends on how many such "
        "pictures are, which is not known.",
        SCOPE,
    )
    return headline, details, facts, found.score > 0
