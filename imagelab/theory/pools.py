"""Any regime, any schedule of regimes: the exact law of a Gaussian loop from the pools that were drawn.

A fit is linear in second moments, so all that a loop of Gaussian models does to the expected variance follows from who
saw what. With x_j the images (as deviations from the true mean, in units of s0), M_t and V_t what model t fitted to
its pool, w_k the share of image k in that pool,

    E[M_t x_j] = sum_k w_k E[x_k x_j]      E M_t^2 = sum_k w_k E[M_t x_k]      E V_t = sum_k w_k E x_k^2 - E M_t^2

and an image that model h made obeys E[x_k x_j] = E[M_h x_j] for every older j, E x_k^2 = E M_h^2 + lambda E V_h + q,
and E[x_k x_k'] = E M_h^2 for two of its images. No assumption on the regime is needed, images seen twice included,
for regimes read no pixel: their pools are known before a single image is made.

References:
    Collapse or thrive? (Kazdan et al. 2024), arXiv:2410.16713: the simple cases.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from .gaussian import check_generation

Key = tuple[int, int]
"""(generation, line) of a model."""


def pool_moments(
    pools: Mapping[Key, np.ndarray],
    unbiased: bool = False,
    scale: float = 1.0,
    added: float = 0.0,
    weights: Mapping[Key, np.ndarray] | None = None,
) -> dict[Key, tuple[float, float]]:
    """Return (v, m) of every model of a loop, exactly, given the pools that its regimes drew.

    v = E[variance of the model] / s0^2 and m = E[(mean of the model - mu0)^2] / s0^2, expectations over real images and
    samples, not over the draw of the pools. Time and memory: models x images in all pools at
    most; whole shards are taken as one.

    Args:
        pools: (generation, line) -> int [P,3], ``Pool.names()``: (generation, line, row) of each image of the model's
            training set, models in the order in which they were made. Images of generation 0 are real, on any line.
        unbiased, scale, added: the estimator, lambda and q, as in :func:`replace_moments`.
        weights: (generation, line) -> weight of each image of that pool, float [P], any positive scale; even where
            left out. A weighted fit is mean and variance under the weights.

    Raises:
        ValueError: for an empty pool, or one that reads from a model not yet made.

    Example:
        >>> real, first = np.array([[0, -1, i] for i in range(4)]), np.array([[1, 0, i] for i in range(4)])
        >>> [round(v, 4) for v, _ in pool_moments({(1, 0): real, (2, 0): first}).values()]
        [0.75, 0.5625]
    """
    order = {key: i for i, key in enumerate(pools)}
    makers, shares, sizes = _kinds(pools, weights or {})
    maker = np.array([order.get((g, line), len(order)) if g else -1 for g, line in makers.tolist()])
    made = maker >= 0
    own, square = np.ones(len(maker)), np.zeros(len(order) + 1)  # E x_j^2; E M_h^2, the last one of no model
    answers = np.zeros((len(order), len(maker)))  # E[M_h x_j] for images j older than model h, else 0
    found: dict[Key, tuple[float, float]] = {}
    for i, key in enumerate(pools):
        share, total = shares[i], shares[i] * sizes  # of one image of a kind, and of all of them
        if (share[maker >= i] > 0).any():
            raise ValueError(f"pool of model {key}: reads from a model that was not made before it")
        of_model = np.bincount(maker[made], total[made], minlength=len(order) + 1)[: len(order)]
        row = of_model @ answers + share * (own - np.where(made, square[maker], 0.0))
        row[made] += np.append(answers @ total + of_model * square[:-1], 0.0)[maker[made]]
        row[maker >= i] = 0.0
        answers[i], square[i] = row, row @ total
        variance = own @ total - square[i]
        if unbiased:
            variance /= 1 - share @ total
        own[maker == i] = square[i] + scale * variance + added
        found[key] = float(variance), float(square[i])
    return found


def _kinds(
    pools: Mapping[Key, np.ndarray], weights: Mapping[Key, np.ndarray]
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return the kinds of image that pools read: one maker, and the same share of every pool; such images are alike.

    Returns:
        Makers, int [K,2]; the share that one image of the kind has in each pool, float64 [models, K]; how many images
        are of the kind, int [K].
    """
    for key, pool in pools.items():
        if np.ndim(pool) != 2 or np.shape(pool)[1] != 3 or len(pool) == 0:
            raise ValueError(
                f"pool of model {key}: expected names int [P,3] of at least one image, got {np.shape(pool)}"
            )
    rows = np.concatenate([np.asarray(pool, np.int64) for pool in pools.values()])
    low = rows.min(0)
    span = rows.max(0) - low + 1
    codes, at = np.unique(np.ravel_multi_index(tuple((rows - low).T), tuple(span)), return_inverse=True)
    makers = np.stack(np.unravel_index(codes, tuple(span)), axis=1)[:, :2] + low[:2]
    ends = np.cumsum([len(pool) for pool in pools.values()])[:-1]
    shares = np.stack(
        [
            np.bincount(seen, weights.get(key), minlength=len(codes))
            for key, seen in zip(pools, np.split(at.ravel(), ends), strict=True)
        ]
    )
    shares = shares / shares.sum(1, keepdims=True)
    marks = np.random.default_rng(0).random((2, len(shares)))  # two images of one mark are alike, but for odds of 1e-20
    marked = np.stack([*makers.T, *((mark[:, None] * shares).sum(0) for mark in marks)], axis=1)
    _, first, sizes = np.unique(marked, axis=0, return_index=True, return_counts=True)
    return makers[first], shares[:, first], sizes


def window_moments(generation: int, n: int, window: int) -> tuple[float, float]:
    """Return (v_t, m_t) when every model sees the last ``window`` shards whole, the real set counted as shard 0.

    window = 1 is replace; window >= t is accumulate. In between two models share samples of the past; there is no
    simple formula, and the recursion of this module is exact.

    Example:
        >>> round(window_moments(2, 10, 1)[0], 4), round(window_moments(2, 10, 2)[0], 4)
        (0.81, 0.8775)
    """
    check_generation(generation, n)
    if window < 1:
        raise ValueError(f"window: expected at least 1 shard, got {window}")
    if generation == 0:
        return 1.0, 0.0
    shards = [np.stack([np.full(n, g), np.full(n, g and 0), np.arange(n)], axis=1) for g in range(generation)]
    pools = {(t, 0): np.concatenate(shards[max(0, t - window) : t]) for t in range(1, generation + 1)}
    return pool_moments(pools)[generation, 0]
