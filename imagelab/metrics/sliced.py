"""The sliced Wasserstein distance: the distance of two sets of features, averaged over projections onto random lines.

Along a line u, |u| = 1, both sets are sorted. The cost of transporting one to the other is then exact and cheap:

    W2^2(u) = integral_0^1 (Q_real(p) - Q_fake(p))^2 dp,    Q the quantile functions of u.x;
    sliced_w2 = mean of W2^2(u) over lines drawn uniformly (so a shift by d is |d|^2 / D);
    MIND = 3 D sliced_w2 of Inception features along 1,000 lines.

It does not assume Gaussians, so unlike the Fréchet distance it detects skewness, tails and clusters, and it needs no
D x D matrix. Sets of different size are compared by their quantile functions; nothing is left out. The plain value is
above zero for equal distributions, by about c/n. Therefore a jackknifed value is also reported, and only values of
equal n should be compared. The error combines that of the jackknife, with the reference as the unit (ruler.py), and
that of the random lines; between equal distributions it is about 1.5 times too large.

Lower is better, >= 0, in squared units of the features; trust it from some hundred images. It does not see what
the features do not, nor a change in few of many dimensions: a random line is nearly orthogonal to them.

References:
    Sliced and Radon Wasserstein barycenters of measures (Bonneel et al. 2015), doi:10.1007/s10851-014-0506-3.
    MIND: Monge Inception Distance for generative models evaluation (Berthet et al. 2026), arXiv:2605.06797. Differs
    from it: sets of different size are not reduced to one size, and the lines come from a named random stream.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np

from ..measurement import Measurement
from ..seeds import rng_at
from .base import Evidence
from .distances import distance_form, jackknifed_rows
from .features import PRIMARY, SPACES
from .inception import NAME as INCEPTION
from .jackknife import Blocks, Jackknifed, group_labels, jackknifed, spread
from .ruler import rulers_without

__all__ = ["mind", "sliced", "sliced_w2", "sliced_w2_and_error", "wasserstein_1d"]

CITE = "arXiv:2605.06797"
DIRECTIONS = 256
"""Number of lines of ``sliced_w2``; MIND uses 1,000, as published."""

MIND_DIRECTIONS = 1000
BLOCK = 32  # lines at a time: 100,000 images take 32 x 100,000 x 8 bytes = 26 MB


def wasserstein_1d(real: np.ndarray, fake: np.ndarray) -> np.ndarray:
    """Return the squared Wasserstein-2 distance along each line.

    Args:
        real: float [L,N], sorted along the last axis.
        fake: float [L,M], sorted along the last axis.

    Returns:
        float64 [L].

    Example:
        >>> wasserstein_1d(np.array([[0.0, 1.0]]), np.array([[2.0, 3.0, 3.0, 4.0]]))  # 2, 3 over 0 and 3, 4 over 1
        array([6.5])
    """
    n, m = real.shape[-1], fake.shape[-1]
    if n == m:
        return np.mean((real - fake) ** 2, axis=-1)
    i, j, share = _coupling(n, m)
    return (real[..., i] - fake[..., j]) ** 2 @ share


def _coupling(n: int, m: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return (rank among n, rank among m, share of the mass) of each piece of the (monotone) optimal transport."""
    # the steps of both quantile functions, in units of 1/(n m)
    edges = np.unique(np.concatenate([np.arange(n + 1) * m, np.arange(m + 1) * n]))
    start = edges[:-1]
    return start // m, start // n, np.diff(edges) / (n * m)


def sliced_w2(real: np.ndarray, fake: np.ndarray, seed: int, directions: int = DIRECTIONS) -> float:
    """Return the mean squared Wasserstein-2 distance along random lines.

    Args:
        real: float [N,D].
        fake: float [M,D].
        seed: seed of the lines.
        directions: number of lines, >= 1.

    Raises:
        ValueError: for empty sets, sets of different D, or no line.

    Example:
        >>> x = np.random.default_rng(0).standard_normal((50, 1))
        >>> round(sliced_w2(x, x + 3.0, seed=0), 9)
        9.0
    """
    _check(real, fake, directions)
    rows = (wasserstein_1d(np.sort(r), np.sort(f)) for _, r, f in _projected(real, fake, seed, directions))
    return float(np.concatenate(list(rows)).mean())


def sliced_w2_and_error(
    real: np.ndarray,
    fake: np.ndarray,
    seed: int,
    directions: int = DIRECTIONS,
    own_ruler: bool = False,
    blocks: Blocks = (None, None),
) -> Jackknifed:
    """Return the sliced distance, its error (of both sets and of the lines) and its jackknifed value.

    Each set is sorted once a line; a set without a group of images keeps that order and needs no second sort.

    Args:
        real: float [N,D].
        fake: float [M,D].
        seed: seed of the lines and of the groups.
        directions: number of lines, >= 2.
        own_ruler: whether both sets are standardised by ``real``; then the ruler's error is added to first order
            (ruler.py, equation 2); a common shift of both sets does not change the distance.
        blocks: see jackknife.py.

    Raises:
        ValueError: as in :func:`sliced_w2`.
    """
    _check(real, fake, directions)
    labels = group_labels(len(real), len(fake), seed, blocks=blocks)
    g = int(min(of.max() for of in labels)) + 1
    kept = [tuple(of != j for of in labels) for j in range(g)] if g > 1 else []
    if any(mask.sum() < 2 for pair in kept for mask in pair):
        kept = []
    sets = np.asarray(real, np.float64), np.asarray(fake, np.float64)
    whole, left, of_unit = [], np.zeros(len(kept)), np.zeros(real.shape[1])
    for lines, *projected in _projected(*sets, seed, directions):
        order = [each.argsort(axis=1) for each in projected]
        r, f = (np.take_along_axis(each, by, 1) for each, by in zip(projected, order, strict=True))
        whole.append(wasserstein_1d(r, f))
        for j, masks in enumerate(kept):
            parts = (each[mask[by]].reshape(len(each), -1) for each, mask, by in zip((r, f), masks, order, strict=True))
            left[j] += wasserstein_1d(*parts).sum()
        if own_ruler and kept:
            of_unit += _by_ruler((r, f), order, sets, lines)
    distances = np.concatenate(whole)
    value = float(distances.mean())
    if not kept:
        return Jackknifed(value, None, None)
    left /= len(distances)
    if own_ruler:
        left += np.log(rulers_without(real, labels[0]).spread) @ of_unit / len(distances)
    found = jackknifed(value, left)
    of_lines = distances.std(ddof=1) / np.sqrt(len(distances)) if len(distances) > 1 else 0.0
    return replace(found, stderr=float(np.hypot(spread(left), of_lines)) or None)


def _by_ruler(
    ranked: tuple[np.ndarray, np.ndarray],
    order: list[np.ndarray],
    sets: tuple[np.ndarray, np.ndarray],
    lines: np.ndarray,
) -> np.ndarray:
    """Return the derivative of the distances, summed over these lines, by the log of the unit of each feature [D].

    With gaps c between the matched points of both sets, d W2^2(u) / d log s_d = -2 u_d mean of c (x_d - y_d).
    """
    (r, f), (n, m) = ranked, (ranked[0].shape[1], ranked[1].shape[1])
    i, j, share = _coupling(n, m)
    gaps = (r[:, i] - f[:, j]) * share
    pulls = []
    for rank, size, by in ((i, n, order[0]), (j, m, order[1])):
        of_rank = np.add.reduceat(gaps, np.searchsorted(rank, np.arange(size)), axis=1)
        of_row = np.empty_like(of_rank)
        np.put_along_axis(of_row, by, of_rank, 1)
        pulls.append(of_row)
    return -2.0 * np.einsum("ld,ld->d", lines, pulls[0] @ sets[0] - pulls[1] @ sets[1])


def _check(real: np.ndarray, fake: np.ndarray, directions: int) -> None:
    if real.ndim != 2 or fake.ndim != 2 or real.shape[1] != fake.shape[1] or 0 in (len(real), len(fake)):
        raise ValueError(f"sliced_w2: expected [N,D] and [M,D] with N, M >= 1, got {real.shape} and {fake.shape}")
    if directions < 1:
        raise ValueError(f"sliced_w2: expected at least 1 line, got {directions}")


def _projected(
    real: np.ndarray, fake: np.ndarray, seed: int, directions: int
) -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray]]:
    """Yield blocks of lines, float64 [L,D], and both sets projected onto them: float64 [L,N] and [L,M].

    Line i is the same for any number of lines.
    """
    rng = rng_at(seed, "sliced")
    real, fake = np.asarray(real, np.float64), np.asarray(fake, np.float64)
    for first in range(0, directions, BLOCK):
        lines = rng.standard_normal((min(BLOCK, directions - first), real.shape[1]))
        lines /= np.linalg.norm(lines, axis=1, keepdims=True)
        yield lines, lines @ real.T, lines @ fake.T


def _rows(evidence: Evidence, space: str, name: str, directions: int, factor: str) -> list[Measurement]:
    """Return the plain and the corrected distance; ``factor`` is "" or "3 D"."""
    estimator = f"{factor}{' x ' if factor else ''}sliced W2^2, {directions} lines"

    def measured(real: np.ndarray, fake: np.ndarray) -> Jackknifed:
        own = SPACES[space].standardise
        result = sliced_w2_and_error(real, fake, evidence.seed, directions, own, evidence.blocks)
        return result.times(3.0 * real.shape[1]) if factor else result

    return jackknifed_rows(evidence, space, distance_form(evidence, space, name, estimator, CITE), measured)


def sliced(evidence: Evidence) -> list[Measurement]:
    """Return ``sliced_w2/SPACE`` and ``sliced_w2_corrected/SPACE`` in the primary space."""
    return _rows(evidence, PRIMARY, f"sliced_w2/{PRIMARY}", DIRECTIONS, "")


def mind(evidence: Evidence) -> list[Measurement]:
    """Return ``mind`` and ``mind_corrected``: 3 D times the distance in Inception's features only."""
    return _rows(evidence, INCEPTION, "mind", MIND_DIRECTIONS, "3 D")
