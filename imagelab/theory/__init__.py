"""Closed forms that a self-consuming loop must obey: plain numbers in, plain numbers out; numpy alone.

One idea a file. gaussian.py: a Gaussian refitted to its own samples, under the simple regimes. pools.py: the same for
any regime and any schedule of regimes, from the pools that were drawn; replicas.py plays such loops by the thousand, as
a check that uses none of the laws. drift.py: rare attributes that die by chance.
samplers.py: detail that a sampler loses with an exact network. vae.py: detail that a linear autoencoder loses with
infinite data. toys.py: contraction, early stopping, and the popular cut-and-blur caricature.

For the closed-form Gaussian generator the laws hold mode by mode, so whole image loops are checked against them
(tests/laws); for a network they are the part of the loss that no training can avoid.
"""

from __future__ import annotations

from .drift import wright_fisher_bands, wright_fisher_counts, wright_fisher_heterozygosity, wright_fisher_survival
from .gaussian import (
    GOLDEN_WEIGHT,
    accumulate_subsample_variance,
    accumulate_variance,
    accumulate_variance_limit,
    fresh_moments,
    fresh_moments_limit,
    fresh_variance,
    mix_moments,
    mix_variance,
    mix_variance_limit,
    replace_distance,
    replace_log_variance,
    replace_moments,
    replace_variance,
    weighted_mean_error,
    weighted_moments,
)
from .pools import pool_moments, window_moments
from .replicas import gaussian_replicas, wishart_replica
from .samplers import (
    ddim_erosion,
    ddpm_erosion,
    dpm_erosion,
    edm_erosion,
    flow_erosion,
    heun_erosion,
    karras_times,
    sde_dpm_erosion,
)
from .toys import chi_square_share, ou_share, truncation_kept, truncation_variance
from .vae import linear_vae_lifetime, linear_vae_variance

__all__ = [
    "GOLDEN_WEIGHT",
    "accumulate_subsample_variance",
    "accumulate_variance",
    "accumulate_variance_limit",
    "chi_square_share",
    "ddim_erosion",
    "ddpm_erosion",
    "dpm_erosion",
    "edm_erosion",
    "flow_erosion",
    "fresh_moments",
    "fresh_moments_limit",
    "fresh_variance",
    "gaussian_replicas",
    "heun_erosion",
    "karras_times",
    "linear_vae_lifetime",
    "linear_vae_variance",
    "mix_moments",
    "mix_variance",
    "mix_variance_limit",
    "ou_share",
    "pool_moments",
    "replace_distance",
    "replace_log_variance",
    "replace_moments",
    "replace_variance",
    "sde_dpm_erosion",
    "truncation_kept",
    "truncation_variance",
    "weighted_mean_error",
    "weighted_moments",
    "window_moments",
    "wishart_replica",
    "wright_fisher_bands",
    "wright_fisher_counts",
    "wright_fisher_heterozygosity",
    "wright_fisher_survival",
]
