"""Memorisation: nearest neighbours in the training set compared with those in held-out images.

    closer_to_train  share of generated images nearer to some training image than to any of as many held-out ones:
                     0.5 for a model that generalises, towards 1 for one that copies
    authenticity     share of generated images farther from their nearest training image than that image is from its own
                     nearest neighbour in the training set (AuthPct): 0 for copies

A collapsing model may copy less, not more; collapse and copying are different failures, and these metrics distinguish
them. Distances are Euclidean in standardised features; differences that the features do not see, such as a copied
detail in a new image, are not seen here either. The errors are those of a share, for the given training and held-out
images.

References:
    A non-parametric test to detect data-copying in generative models (Meehan et al. 2020), arXiv:2004.05675.
    How faithful is your synthetic data? (Alaa et al. 2022), arXiv:2102.08921 (authenticity).
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from ..measurement import Measurement
from ..seeds import rng_at
from .base import Evidence
from .distances import training_features
from .features import PRIMARY, SPACES
from .neighbours import nearest

__all__ = ["authenticity", "closer_to_train", "memorisation"]

CITE = "arXiv:2102.08921"


def closer_to_train(fake: np.ndarray, train: np.ndarray, heldout: np.ndarray, seed: int, device: str = "cpu") -> float:
    """Return the share of generated images nearer to the training set than to the held-out set; ties count half.

    Args:
        fake: float [M,D].
        train: float [T,D].
        heldout: float [N,D].
        seed: chooses which images of the larger set are left out, so that both have one size.
        device: torch device of the matrix products.
    """
    n = min(len(train), len(heldout))
    rng = rng_at(seed, "memorisation")
    train, heldout = (each[np.sort(rng.permutation(len(each))[:n])] for each in (train, heldout))
    to_train, to_heldout = (nearest(fake, each, device=device)[1] for each in (train, heldout))
    return float(np.mean((to_train < to_heldout) + 0.5 * (to_train == to_heldout)))


def authenticity(fake: np.ndarray, train: np.ndarray, device: str = "cpu") -> float:
    """Return the share of generated images farther from their nearest training image than it is from the others.

    Args:
        fake: float [M,D].
        train: float [T,D].
        device: torch device of the matrix products.
    """
    index, distance = nearest(fake, train, device=device)
    nearest_of = np.unique(index)  # only these training images need their own nearest neighbour
    place, own = nearest(train[nearest_of], train, k=2, device=device)
    # The nearest is the image itself, unless the training set has a copy of it with a lower index.
    others = np.where(place[:, 0] == nearest_of, own[:, 1], own[:, 0])
    return float(np.mean(distance[:, 0] > others[np.searchsorted(nearest_of, index[:, 0])]))


def memorisation(evidence: Evidence) -> list[Measurement]:
    """Return ``memorisation/closer_to_train`` and ``memorisation/authenticity``.

    Raises:
        NotMeasurable: where the evidence has no training set, or sets without features to compare.
    """
    heldout, fake, train = training_features(evidence, PRIMARY)
    closer = Measurement(
        "memorisation/closer_to_train",
        closer_to_train(fake, train, heldout, evidence.seed, evidence.device),
        "share",
        n_real=min(len(train), len(heldout)),
        n_fake=len(fake),
        better="two-sided",
        estimator="Euclidean nearest neighbours, training and held-out sets of one size, standardised by the reference",
        feature_space=SPACES[PRIMARY].label,
        seed=evidence.seed,
        cite="arXiv:2004.05675",
    )
    authentic = replace(
        closer,
        name="memorisation/authenticity",
        value=authenticity(fake, train, evidence.device),
        n_real=len(train),
        better="higher",
        estimator="AuthPct, Euclidean, standardised by the reference",
        seed=None,
        cite=CITE,
    )
    return [replace(each, stderr=_share_error(each.value or 0.0, len(fake))) for each in (closer, authentic)]


def _share_error(share: float, n: int) -> float:
    """Return the standard error of a share by Agresti and Coull, which is above 0 also for 0 of n."""
    softened = (share * n + 2.0) / (n + 4.0)
    return float(np.sqrt(softened * (1.0 - softened) / (n + 4.0)))
