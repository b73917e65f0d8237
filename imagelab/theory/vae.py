"""The linear autoencoder: fine detail that is lost with infinite data and perfect training.

The best linear VAE is probabilistic PCA with the noise s^2 of its decoder. It keeps of a mode of variance l what
stands above beta s^2; publishing decoder means leaves out the noise, and every generation pays again:

    l  ->  max(l - beta s^2, 0)

a straight line, on which the weakest (finest) modes die first. A code of fewer numbers than there are modes costs one
more loss, at generation 1 alone.

References:
    [Lucas] Don't blame the ELBO! (2019), arXiv:1911.02469.
    [Tipping] Probabilistic principal component analysis (Tipping and Bishop 1999), doi:10.1111/1467-9868.00196.
"""

from __future__ import annotations

import numpy as np


def linear_vae_variance(
    variance: np.ndarray, generation: int, noise: float, beta: float = 1.0, decoder_noise: bool = False
) -> np.ndarray:
    """Return a mode's variance after t generations of linear VAEs with infinite data under replace.

    The best linear VAE with decoder noise s^2 and weight beta has decoder variance max(l - beta s^2, 0) [Lucas, for
    beta = 1]. Sampling decoder means subtracts beta s^2 a generation: the weakest (finest) modes die first, on a
    straight line. Adding the decoder noise when sampling gives back s^2: no erosion for beta = 1 down to l = s^2.

    Args:
        variance: l >= 0, the data's modes; any shape, any unit. generation: t >= 0.
        noise: s^2, the decoder's variance, in the unit of l. beta: weight of the KL term.
        decoder_noise: True when samples are drawn from the decoder, False when its means are published.
    """
    mode = np.asarray(variance, np.float64)
    for _ in range(generation):
        mode = np.maximum(mode - beta * noise, 0.0) + (noise if decoder_noise else 0.0)
    return mode


def linear_vae_lifetime(variance: np.ndarray, noise: float, beta: float = 1.0) -> np.ndarray:
    """Return the generation at which a mode is gone when decoder means are published: ceil(l / (beta s^2)).

    Example:
        >>> linear_vae_lifetime(np.array([1.0, 0.25, 0.05]), 0.1).tolist()
        [10.0, 3.0, 1.0]
    """
    return np.ceil(np.asarray(variance, np.float64) / (beta * noise))
