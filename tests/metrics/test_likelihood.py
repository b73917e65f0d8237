from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from scipy.stats import multivariate_normal

from imagelab.metrics.base import NotMeasurable
from imagelab.metrics.likelihood import Mixture, heldout_likelihood, likelihood

WIDTHS = 1 / np.sqrt(1 + np.arange(6))


def take(rng: np.random.Generator, change: str, n: int = 500) -> tuple[float, float]:
    """The value and its error for a reference of two modes and a generated set that is changed."""
    real, fake = (rng.standard_normal((n, 6)) * WIDTHS for _ in range(2))
    for each in (real, fake):
        each[: n // 2, 0] += 4.0
    if change == "one mode lost":
        fake[: n // 2] = fake[n // 2 :] + 0.01 * rng.standard_normal((n // 2, 6))
    elif change == "half shrunk":
        fake = fake.mean(axis=0) + 0.8 * (fake - fake.mean(axis=0))
    elif change == "noise":
        fake = fake + rng.standard_normal(fake.shape) * 0.7
    elif change == "half bad":
        fake[::2] += 20.0
    return heldout_likelihood(real, fake, 0)[:2]


def test_the_density_is_that_of_a_mixture(rng):
    points = rng.standard_normal((300, 3))
    mixture = Mixture.fit(points, 1e-3)
    parts = [
        weight * multivariate_normal(mean, covariance).pdf(points)
        for weight, mean, covariance in zip(mixture.weights, mixture.means, mixture.covariances, strict=True)
    ]
    assert mixture.log_density(points) == pytest.approx(np.log(sum(parts))) and mixture.weights.sum() == pytest.approx(
        1
    )


def test_equal_distributions_are_near_zero(rng):
    values = np.array([take(rng, "") for _ in range(12)])
    assert abs(values[:, 0].mean()) < 0.08 and (np.abs(values[:, 0]) < 3 * values[:, 1]).all()


@pytest.mark.parametrize("change", ["one mode lost", "half shrunk", "noise", "half bad"])
def test_lost_variety_and_lost_fidelity_both_lower_it(change: str, rng):
    value, error = take(rng, change)
    assert value < -3 * error


def test_a_gaussian_that_is_shrunk_loses_about_what_theory_says(rng):
    d, scale = 6, 0.8
    truth = -0.5 * (d / scale**2 - d + 2 * d * np.log(scale))
    found = []
    for seed in range(6):
        real, fake = rng.standard_normal((2, 1000, d))
        found.append(heldout_likelihood(real, scale * fake, seed)[0])
    assert 1.5 * truth < np.mean(found) < 0.9 * truth


def test_the_order_of_the_images_does_not_matter(rng):
    real, fake = rng.standard_normal((2, 100, 4))
    one, two = (heldout_likelihood(real, each, 0)[0] for each in (fake, fake[::-1]))
    assert one == pytest.approx(two, rel=1e-9)


def test_copies_and_flat_sets_are_measured_or_refused(pictures, evidence: Any):
    (m,) = likelihood(evidence(pictures(60, 32, seed=1), np.repeat(pictures(1, 32), 60, axis=0)))
    assert m.value is not None and m.value < -100
    with pytest.raises(NotMeasurable, match="at least 20 images"):
        likelihood(evidence(pictures(60, 32, seed=1), pictures(19, 32)))


def test_the_error_holds_the_choice_of_the_reference_images(rng):
    found = []
    for seed in range(40):
        real, fake = rng.standard_normal((200, 4)), rng.standard_normal((1500, 4)) + 0.7
        found.append(heldout_likelihood(real, fake, seed)[:2])
    values, errors = np.array(found).T
    assert 0.8 < np.sqrt(np.mean(errors**2)) / values.std(ddof=1) < 1.7
