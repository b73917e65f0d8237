"""Curation by the low-dimensional structure of real images in feature space.

References:
    Stabilizing self-consuming diffusion models with latent space filtering (Cai, Wang, Liu and Zhang 2025),
        arXiv:2511.12742.
"""

from __future__ import annotations

import time
from typing import Annotated, Literal

import numpy as np
from pydantic import Field

from .base import Candidates, Kept, ShareKept, features_of

__all__ = ["LatentFilter", "off_structure"]


class LatentFilter(ShareKept):
    """The nearest to the low-dimensional structure of real images: what lies off it is filtered out.

    The structure is the linear subspace of the leading principal components of the held-out real images' features
    (``imagelab-ssl-v1``, in units of their spread). Score: minus the distance of a candidate from it, in units of the
    median distance of real images. For a fair unit each tenth of the real images is measured from the subspace of the
    others.

    What it needs: ten real images or more; some hundred for a subspace that is not their own noise. What it does not
    see: a candidate within the subspace but far from every real image, and the loss of variety, since the mean of all
    images lies on the structure. It follows the held-out real images of the run, those that the metrics compare with.

    Differs from the paper, of which the abstract and a published summary were read, not the full text. There the
    representations are those of the diffusion model itself, with one subspace for each class; a classifier is trained
    on those of labelled real images, and its confidence in a sample's class decides; and the samples are filtered out
    of a growing mixture of generations. Here there is one encoder for all models, no labels, one subspace, a distance
    in place of a confidence, and a fixed share of each generation is kept.

    Attributes:
        fraction: share of the candidates that is kept, above 0 and at most 1.
        explained: share of the real features' variance that the subspace holds, above 0 and below 1.
    """

    kind: Literal["latent_filter"] = "latent_filter"
    explained: Annotated[float, Field(gt=0.0, lt=1.0)] = 0.9

    def choose(self, candidates: Candidates, n: int) -> Kept:
        """Return the n candidates that are nearest to the subspace, in the order of drawing."""
        began, m = time.monotonic(), len(candidates.images)
        real, made = features_of(candidates)
        apart, components = off_structure(made, real, self.explained)
        own = np.empty(len(real))
        for part in np.array_split(np.arange(len(real)), min(10, len(real))):
            own[part] = off_structure(real[part], np.delete(real, part, axis=0), self.explained)[0]
        scores = -apart / max(float(np.median(own)), 1e-12)
        rows = np.sort(np.argsort(-scores, kind="stable")[:n])
        looks, width, seconds = float(m + len(real)), float(made.shape[1]), round(time.monotonic() - began, 3)
        cost = {"candidates": float(m), "looks": looks, "features": width, "seconds": seconds}
        reason = f"nearest {self.fraction:g} to {components} principal components of {len(real)} real images"
        return Kept(rows, reason, scores, cost)


def off_structure(points: np.ndarray, real: np.ndarray, explained: float) -> tuple[np.ndarray, int]:
    """Return how far points lie from the subspace of the leading principal components of real points.

    Args:
        points: float [M,D].
        real: float [R,D], R >= 2.
        explained: the subspace has the fewest components that hold this share of the variance of ``real``.

    Returns:
        (distance float64 [M], number of components).

    Example:
        >>> line = np.array([[0.0, 0.0], [1.0, 0.0], [2.0, 0.0]])
        >>> off_structure(np.array([[9.0, 0.0], [1.0, 3.0]]), line, 0.9)[0].tolist()
        [0.0, 3.0]
    """
    centre = real.mean(axis=0)
    _, values, directions = np.linalg.svd(real - centre, full_matrices=False)
    held = np.cumsum(values**2) / max(float((values**2).sum()), 1e-300)
    components = min(int(np.searchsorted(held, explained - 1e-12)) + 1, len(values))
    offset = points - centre
    rest = offset - (offset @ directions[:components].T) @ directions[:components]
    return np.sqrt((rest * rest).sum(axis=1)), components
