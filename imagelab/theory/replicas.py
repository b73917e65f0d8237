"""Simulation of many Gaussian loops, to check the closed forms of this package.

Given the pools that a regime drew, many replicas of the whole loop are simulated at once: real values are drawn, every
model is fitted to its pool, samples are drawn from it. The simulation uses none of the closed forms, so it is an
independent check. In d dimensions a model with full covariance is sampled without computing the covariance: with the
centred pool X [P, d], mean + W X / sqrt(P), W standard normal [N, P], has covariance X^T X / P.                    (1)

References:
    On the theory of statistical regression (Bartlett 1933), Proceedings of the Royal Society of Edinburgh 53, 260-283:
        the factor of a Wishart matrix.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import numpy as np

from .pools import Key

Moments = tuple[np.ndarray, np.ndarray]
Reading = tuple[Key, np.ndarray | None, float]
"""(shard, rows, share of the pool); rows are None if every image of the shard is read equally often: then the moments
of the shard are sufficient."""


def gaussian_replicas(
    pools: Mapping[Key, np.ndarray],
    runs: int,
    rng: np.random.Generator,
    unbiased: bool = False,
    scale: float = 1.0,
    dimensions: int = 1,
) -> Iterator[tuple[Key, np.ndarray, np.ndarray]]:
    """Simulate a loop of Gaussian models with these pools.

    Args:
        pools: (generation, line) -> int [P,3], as in :func:`pool_moments`.
        runs: R, number of replicas.
        rng: source of all random values.
        unbiased: as in :func:`replace_moments`.
        scale: as in :func:`replace_moments`.
        dimensions: d, numbers an image; models have full covariance. Memory: N x R x d numbers for each shard in use.

    Yields:
        For each model in turn its key, its variance and its squared mean, float64 [R] each, averaged over the d
        dimensions.
    """
    plan, sizes = _plan(pools, whole=dimensions == 1)
    # the models are fitted in this order, so the last one that reads a shard tells when it can be freed
    last_read = {shard: key for key, readings in plan.items() for shard, rows, _ in readings if rows is not None}
    shards: dict[Key, np.ndarray] = {}
    moments: dict[Key, Moments] = {}

    def keep(key: Key, values: np.ndarray) -> None:
        moments[key] = values.mean(0), values.var(0)
        if key in last_read:
            shards[key] = values

    for key, size in sizes.items():
        if key[0] == 0:
            keep(key, rng.standard_normal((size, runs, dimensions)))
    for key, readings in plan.items():
        count = len(pools[key])
        correction = count / (count - 1) if unbiased else 1.0
        mean, variance = _fit(readings, shards, moments)
        variance = variance * correction
        yield key, variance.mean(-1), np.square(mean).mean(-1)
        if key not in sizes:
            continue
        if dimensions == 1:
            keep(key, mean + np.sqrt(scale * variance) * rng.standard_normal((sizes[key], *mean.shape)))
        else:
            centred = np.concatenate([shards[shard][rows] for shard, rows, _ in readings]) - mean
            keep(key, mean + _sample(centred * np.sqrt(scale * correction / count), sizes[key], rng))  # Eq. 1
        for shard in [shard for shard in shards if last_read[shard] <= key]:
            del shards[shard]


def wishart_replica(
    generations: int, n: int, dimensions: int, rng: np.random.Generator
) -> Iterator[tuple[float, float, float]]:
    """Simulate one replica of replace in d dimensions by a factor of its covariance, without drawing images.

    The distribution is the same. With S = B^T B, the scatter of N samples of N(M, S) is B^T (T T^T) B, T the Bartlett
    factor of a Wishart matrix with N - 1 degrees of freedom: lower triangular, chi_{N-1-i} on the diagonal, standard
    normal below it. Maximum likelihood.

    Args:
        generations: number of models.
        n: N, images a generation.
        dimensions: d.
        rng: source of all random values.

    Yields:
        (trace S / d, |M|^2 / d, ln det S) of each generation; the last is NaN for N - 1 < d, where the determinant is
        0.
    """
    rank = min(dimensions, n - 1)
    lower = np.tril(np.ones((rank, rank), bool), -1)
    factor = rng.standard_normal((n - 1, dimensions)) / np.sqrt(n)  # model 1: the scatter of real images
    if n - 1 > dimensions:
        factor = np.linalg.cholesky(factor.T @ factor).T
    mean = rng.standard_normal(dimensions) / np.sqrt(n)
    log_det = 2 * float(np.log(np.abs(np.diag(factor))).sum()) if rank == dimensions else np.nan
    for generation in range(generations):
        if generation:
            bartlett = np.zeros((rank, rank))
            bartlett[lower] = rng.standard_normal(int(lower.sum()))
            diagonal = np.sqrt(rng.chisquare(n - 1 - np.arange(rank)))
            np.fill_diagonal(bartlett, diagonal)
            mean = mean + rng.standard_normal(rank) @ factor / np.sqrt(n)
            factor = bartlett.T @ factor / np.sqrt(n)
            log_det += 2 * float(np.log(diagonal).sum()) - dimensions * np.log(n)
        yield float(np.square(factor).sum()) / dimensions, float(np.square(mean).mean()), log_det


def _plan(pools: Mapping[Key, np.ndarray], whole: bool) -> tuple[dict[Key, list[Reading]], dict[Key, int]]:
    """Return the readings of each fit, and the number of images that are needed of each shard.

    Args:
        pools: as in :func:`gaussian_replicas`.
        whole: whether moments of whole shards may be used in place of rows.
    """
    split: dict[Key, list[tuple[Key, np.ndarray]]] = {}
    sizes: dict[Key, int] = {}
    for key, pool in pools.items():
        names = np.asarray(pool, np.int64)
        order = np.lexsort((names[:, 1], names[:, 0]))
        cuts = np.flatnonzero((np.diff(names[order, :2], axis=0) != 0).any(1)) + 1
        split[key] = [((int(part[0, 0]), int(part[0, 1])), part[:, 2]) for part in np.split(names[order], cuts)]
        for shard, rows in split[key]:
            sizes[shard] = max(sizes.get(shard, 0), int(rows.max()) + 1)
    plan: dict[Key, list[Reading]] = {}
    for key, parts in split.items():
        plan[key] = []
        for shard, rows in parts:
            copies = np.bincount(rows, minlength=sizes[shard])
            even = whole and bool((copies == copies[0]).all())
            plan[key].append((shard, None if even else rows, len(rows) / len(pools[key])))
    return plan, sizes


def _fit(readings: list[Reading], shards: Mapping[Key, np.ndarray], moments: Mapping[Key, Moments]) -> Moments:
    """Return mean and variance (divided by P) of every replica's pool, float64 [R, d]."""
    parts = [moments[shard] if rows is None else _moments(shards[shard][rows]) for shard, rows, _ in readings]
    shares, means = np.array([share for _, _, share in readings]), np.stack([mean for mean, _ in parts])
    centre = np.tensordot(shares, means, 1)
    # variance within the shards plus variance between their means
    return centre, np.tensordot(shares, np.stack([spread for _, spread in parts]) + (means - centre) ** 2, 1)


def _moments(values: np.ndarray) -> Moments:
    return values.mean(0), values.var(0)


def _sample(factor: np.ndarray, n: int, rng: np.random.Generator) -> np.ndarray:
    """Return n samples of N(0, X^T X) for each replica, X = ``factor`` [P, R, d]: float64 [n, R, d]."""
    weights = rng.standard_normal((factor.shape[1], n, len(factor)))
    return np.matmul(weights, factor.transpose(1, 0, 2)).transpose(1, 0, 2)
