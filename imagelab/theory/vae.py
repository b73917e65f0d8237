"""The linear autoencoder: fine detail that is lost with infinite data and perfect training.

The optimal linear VAE is probabilistic PCA with the noise s^2 of its decoder. Of a mode of variance l it keeps the part
above beta s^2. If decoder means are published, the noise is missing, and the loss occurs in every generation:

    l  ->  max(l - beta s^2, 0)

The variance falls linearly, and the weakest (finest) modes vanish first. If the code has fewer numbers than there are
modes, there is one more loss, at generation 1 only.

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

    The optimal linear VAE with decoder noise s^2 and weight beta has decoder variance max(l - beta s^2, 0) [Lucas, for
    beta = 1]. Sampling decoder means subtracts beta s^2 a generation: the variance falls linearly, and the weakest
    (finest) modes vanish first. Adding the decoder noise when sampling restores s^2: for beta = 1 nothing is lost down
    to l = s^2.

    Args:
        variance: l >= 0, the data's modes; any shape, any unit.
        generation: t >= 0.
        noise: s^2, the decoder's variance, in the unit of l.
        beta: weight of the KL term.
        decoder_noise: True if samples include the decoder noise, False if decoder means are published.

    Returns:
        float64, shaped like ``variance``.
    """
    mode = np.asarray(variance, np.float64)
    for _ in range(generation):
        mode = np.maximum(mode - beta * noise, 0.0) + (noise if decoder_noise else 0.0)
    return mode


def linear_vae_lifetime(variance: np.ndarray, noise: float, beta: float = 1.0) -> np.ndarray:
    """Return the generation at which a mode has vanished if decoder means are published: ceil(l / (beta s^2)).

    Args:
        variance: l >= 0, the data's modes; any shape.
        noise: s^2, the decoder's variance, in the unit of l.
        beta: weight of the KL term.

    Example:
        >>> linear_vae_lifetime(np.array([1.0, 0.25, 0.05]), 0.1).tolist()
        [10.0, 3.0, 1.0]
    """
    return np.ceil(np.asarray(variance, np.float64) / (beta * noise))
