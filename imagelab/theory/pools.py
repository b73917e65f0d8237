"""The exact expected variance of a Gaussian loop under any regime or schedule, from the pools that were drawn.

The expected moments of a fit are linear in the second moments of its images. So the expected variance of all models
depends only on which images are in which pool. Let x_j be the images (as deviations from the true mean, in units of
s0), M_t and V_t the mean and variance that model t fitted to its pool, and w_k the share of image k in that pool. Then

    E[M_t x_j] = sum_k w_k E[x_k x_j]      E M_t^2 = sum_k w_k E[M_t x_k]      E V_t = sum_k w_k E x_k^2 - E M_t^2   (1)

For an image x_k that model h made,

    E[x_k x_j] = E[M_h x_j] for every older j      E x_k^2 = E M_h^2 + lambda E V_h + q                              (2)

and E[x_k x_k'] = E M_h^2 for two images of model h. No assumption on the regime is needed, and images may occur more
than once: regimes read no pixels, so all pools are known before an image is made.

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
    samples, not over the draw of the pools. Time and memory: at most models x images in all pools. Images of one model
    with the same shares in all pools are treated as one.

    Args:
        pools: (generation, line) -> int [P,3], ``Pool.names()``: (generation, line, row) of each image of the model's
            training set, models in the order in which they were made. Images of generation 0 are real, on any line.
        unbiased: as in :func:`replace_moments`.
        scale: lambda, as in :func:`replace_moments`.
        added: q, as in :func:`replace_moments`.
        weights: (generation, line) -> weight of each image of that pool, float [P], any positive scale; equal weights
            for pools without an entry. A weighted fit is mean and variance under the weights.

    Raises:
        ValueError: for an empty pool, or one with images of a model that was not made before.

    Example:
        >>> real, first = np.array([[0, -1, i] for i in range(4)]), np.array([[1, 0, i] for i in range(4)])
        >>> [round(v, 4) for v, _ in pool_moments({(1, 0): real, (2, 0): first}).values()]
        [0.75, 0.5625]
    """
    order = {key: i for i, key in enumerate(pools)}
    makers, shares, sizes = _kinds(pools, weights or {})
    maker = np.array([order.get((g, line), len(order)) if g else -1 for g, line in makers.tolist()])
    made = maker >= 0
    own, square = np.ones(len(maker)), np.zeros(len(order) + 1)  # E x_j^2; E M_h^2, with one entry more for no model
    products = np.zeros((len(order), len(maker)))  # E[M_h x_j] for images j older than model h, else 0
    moments: dict[Key, tuple[float, float]] = {}
    for i, key in enumerate(pools):
        share, total = shares[i], shares[i] * sizes  # of one image of a kind, and of all images of the kind
        if (share[maker >= i] > 0).any():
            raise ValueError(f"pool of model {key}: reads from a model that was not made before it")
        of_model = np.bincount(maker[made], total[made], minlength=len(order) + 1)[: len(order)]
        # E[M_i x_j] by Eq. 1 and 2, a sum over images k: those of models younger than j; then k = j, where E x_j^2
        # replaces E M_h^2; then, for j made by model h, those older than model h and those of model h
        row = of_model @ products + share * (own - np.where(made, square[maker], 0.0))
        row[made] += np.append(products @ total + of_model * square[:-1], 0.0)[maker[made]]
        row[maker >= i] = 0.0
        products[i], square[i] = row, row @ total
        variance = own @ total - square[i]
        if unbiased:
            variance /= 1 - share @ total
        own[maker == i] = square[i] + scale * variance + added
        moments[key] = float(variance), float(square[i])
    return moments


def _kinds(
    pools: Mapping[Key, np.ndarray], weights: Mapping[Key, np.ndarray]
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Group the images of all pools into kinds: images of one model (maker) with the same share in every pool.

    Returns:
        Makers, int [K,2]; the share that one image of the kind has in each pool, float64 [models, K]; the number of
        images of the kind, int [K].
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
            np.bincount(index, weights.get(key), minlength=len(codes))
            for key, index in zip(pools, np.split(at.ravel(), ends), strict=True)
        ]
    )
    shares = shares / shares.sum(1, keepdims=True)
    # two random projections of the columns of shares: equal ones mean equal columns, except with probability 1e-20
    marks = np.random.default_rng(0).random((2, len(shares)))
    marked = np.stack([*makers.T, *((mark[:, None] * shares).sum(0) for mark in marks)], axis=1)
    _, first, sizes = np.unique(marked, axis=0, return_index=True, return_counts=True)
    return makers[first], shares[:, first], sizes


def window_moments(generation: int, n: int, window: int) -> tuple[float, float]:
    """Return (v_t, m_t) if every model is fitted to all images of the last ``window`` shards; shard 0 is the real set.

    window = 1 is replace; window >= t is accumulate. In between, the pools of two models overlap and there is no simple
    formula; the recursion of this module is exact.

    Args:
        generation: t >= 0.
        n: N >= 2, images a shard.
        window: shards in a pool, >= 1.

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
