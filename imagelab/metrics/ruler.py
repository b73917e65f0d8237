"""The ruler: the reference sets the unit of every feature, and its own error is part of the error of a distance.

Features are standardised by the reference: z = (x - m) / s, channel by channel, with the mean m and the spread s of the
reference images. Another reference of the same size would give another ruler. So the jackknife leaves images out before
standardising. Two forms are used, with m and s in the units of the ruler of all images (m = 0, s = 1):

    exact          theta_(-j) is computed with the ruler (m_j, s_j) of the reference without group j        (1)
    first order    theta_(-j) = theta with the ruler of all - sum_d (g_d m_jd + h_d log s_jd),              (2)
                   g = d theta / d m and h = d theta / d log s, taken once

An image's own influence on the ruler is z_d on m_d and (z_d^2 - 1) / 2 on log s_d.                        (3)

Measured with 128 features, stated over true error without and with the ruler: see the table in
experiments/instruments/coverage.py.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

__all__ = ["Rulers", "ruler_influence", "rulers_without"]

FAINT = 1e-3  # a channel whose spread falls below this without a group keeps its unit


@dataclass(frozen=True, eq=False)
class Rulers:
    """The rulers of a reference without each group in turn, in units of the ruler of all images.

    Attributes:
        mean: float64 [g,D].
        spread: float64 [g,D], > 0.
    """

    mean: np.ndarray
    spread: np.ndarray


def rulers_without(real: np.ndarray, labels: np.ndarray) -> Rulers:
    """Return the rulers of the reference without each group.

    Args:
        real: float [N,D], the reference, standardised by itself.
        labels: the group 0..g-1 of each row, int64 [N].
    """
    g, n = int(labels.max()) + 1, len(real)
    total, squares = real.sum(axis=0), np.einsum("nd,nd->d", real, real)
    mean, spread = np.empty((g, real.shape[1])), np.empty((g, real.shape[1]))
    for j in range(g):
        gone = real[labels == j]
        left = n - len(gone)
        mean[j] = (total - gone.sum(axis=0)) / left
        variance = (squares - np.einsum("nd,nd->d", gone, gone) - left * mean[j] ** 2) / max(left - 1, 1)
        spread[j] = np.sqrt(np.maximum(variance, 0.0))
    faint = spread < FAINT
    mean[faint], spread[faint] = 0.0, 1.0
    return Rulers(mean, spread)


def ruler_influence(real: np.ndarray, of_mean: np.ndarray, of_log_spread: np.ndarray) -> np.ndarray:
    """Return the influence of each reference image on a statistic by way of the ruler, equation (3): float64 [N].

    Args:
        real: float [N,D], the reference, standardised by itself.
        of_mean: float [D], derivative of the statistic by the ruler's mean.
        of_log_spread: float [D], derivative by the logarithm of the ruler's spread.
    """
    return real @ of_mean + (real**2 - 1.0) @ of_log_spread / 2.0
