"""Scores of single images, by which a curation may choose: higher is more.

A metric judges a set; a selection needs a number for every image. Each score says what it measures and what it rewards
wrongly, since a loop that keeps the best by a score moves towards whatever the score rewards.

References:
    Assessing generative models via precision and recall (Sajjadi et al. 2018), arXiv:1806.00035.
    Improved precision and recall metric (Kynkäänniemi et al. 2019), arXiv:1904.06991: which images real ones support.
    Rarity score: a new metric to evaluate the uncommonness of synthesized images (Han et al. 2023), arXiv:2206.08549.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from .base import Evidence

__all__ = ["IMAGE_SCORES", "ImageScore"]

NEIGHBOURS = 3  # rarity: which neighbour's distance is the measure of density


@dataclass(frozen=True)
class ImageScore:
    """A score of single images.

    Attributes:
        of: Evidence -> float64 [N], a score of each of the N images under test (``fake``).
        what: what it measures, in a few words.
        blind: what it rewards wrongly.
        reads_real: whether it looks at the real images.
    """

    of: Callable[[Evidence], np.ndarray]
    what: str
    blind: str
    reads_real: bool = False


def realism(evidence: Evidence) -> np.ndarray:
    """Return minus the distance to the nearest real image, in units of the real images' own nearest distances.

    With features f in the primary space, -min_r |f(x) - f(r)| / m, m being the median over real images of the distance
    to the nearest other real image. 0 is a copy of a real image, -1 is as near as real images are to each other.

    Args:
        evidence: images under test and 10 real images or more.

    Raises:
        NotMeasurable: if the features cannot be compared (see ``feature_pair``).
    """
    from .features import PRIMARY, feature_pair
    from .neighbours import nearest

    reference, made = feature_pair(evidence, PRIMARY)
    _, apart = nearest(reference, reference, exclude_self=True, device=evidence.device)
    _, distance = nearest(made, reference, device=evidence.device)
    return -distance[:, 0] / max(float(np.median(apart[:, 0])), 1e-12)


def detail(evidence: Evidence) -> np.ndarray:
    """Return the share of each image's energy at N/4 cycles per image and above, 0..1; 0 for a flat image.

    Args:
        evidence: images under test; the real ones are not read.
    """
    from .spectrum import spectra

    spec = spectra(evidence.fake)
    high, total = spec.band(spec.side // 4, len(spec.count)), spec.band(1, len(spec.count))
    return np.divide(high, total, out=np.zeros(len(high)), where=total > 0)


def freckles(evidence: Evidence) -> np.ndarray:
    """Return how many freckles are found on each face, not corrected for the counter's errors.

    Args:
        evidence: aligned faces of a size that the counter of their style of freckles is calibrated for; the real ones
            are not read.

    Raises:
        ValueError: for another size or number of channels.
    """
    from .freckles import counts

    return counts(evidence.fake.images, style=evidence.freckle_style).astype(np.float64)


def rarity(evidence: Evidence) -> np.ndarray:
    """Return how rare each image is among the others, where real images support it; else a negative number.

    An image is supported if it lies in the ball of some real image: the ball that reaches to this one's third nearest
    other real image. Its score is then its distance to its third nearest other image of the set, in units of the median
    of this distance. Without support it is -d / r, d the distance to the nearest real image and r the radius of the
    ball of that one; this is -1 or less.

    Differs from the paper: rarity among the images of the set, not among real ones, because it is the set that a loop
    makes more uniform; and images without support have a score, so that all can be ordered.

    Args:
        evidence: two images under test or more, and 10 real images or more.

    Raises:
        NotMeasurable: if the features cannot be compared (see ``feature_pair``).
    """
    from .features import PRIMARY, feature_pair
    from .neighbours import balls_holding, nearest

    device = evidence.device
    reference, made = feature_pair(evidence, PRIMARY)
    radii = nearest(reference, reference, NEIGHBOURS, exclude_self=True, device=device)[1][:, -1]
    supported = balls_holding(made, reference, radii, device) > 0
    index, distance = nearest(made, reference, device=device)
    outside = distance[:, 0] / np.maximum(radii[index[:, 0]], 1e-12)
    apart = nearest(made, made, min(NEIGHBOURS, len(made) - 1), exclude_self=True, device=device)[1][:, -1]
    return np.where(supported, apart / max(float(np.median(apart)), 1e-12), -outside)


IMAGE_SCORES: dict[str, ImageScore] = {
    "realism": ImageScore(
        realism,
        "nearness to the nearest real image",
        "It prefers what is common among real images and copies of them; rare kinds are far from everything.",
        reads_real=True,
    ),
    "detail": ImageScore(detail, "share of fine detail", "Noise is fine detail too."),
    "freckles": ImageScore(
        freckles, "freckles found", "It prefers noise and grain that the counter takes for freckles."
    ),
    "rarity": ImageScore(
        rarity,
        "rarity among the images that real ones support",
        "Where real images are few, their balls are large, and a broken image may lie in one.",
        reads_real=True,
    ),
}
"""Every score by name."""
