"""Monte Carlo simulation of the loops of imagelab.theory, against their closed forms.

Every check compares the mean over independent replicas with the closed form and allows three standard errors of that
mean. The replicas are whole runs in one array [replicas, N]. Seeds are fixed, so the result of a test does not vary.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise

import numpy as np
import pytest
from numpy.testing import assert_allclose

from imagelab import theory

REPLICAS = 6000
N = 12
GENERATIONS = 8

Step = Callable[[list[np.ndarray], np.random.Generator], np.ndarray]


def loop(step: Step, seed: int, ddof: int = 0, scale: float = 1.0, rounded: float = 0.0) -> tuple[np.ndarray, ...]:
    """Run every replica: fit to a pool, publish N samples, repeat. Return (mean, variance) of models 1..T: [T,R].

    ``step`` makes a pool [R,*] from everything published so far: a list of [R,N], the real set first.
    """
    rng = np.random.default_rng(seed)
    published = [rng.standard_normal((REPLICAS, N))]
    means, variances = [], []
    for _ in range(GENERATIONS):
        pool = step(published, rng)
        means.append(pool.mean(1))
        variances.append(pool.var(1, ddof=ddof))
        spread = np.sqrt(scale * variances[-1])
        samples = means[-1][:, None] + spread[:, None] * rng.standard_normal((REPLICAS, N))
        if rounded:
            samples = np.round(samples / rounded) * rounded
        published.append(samples)
    return np.stack(means), np.stack(variances)


def replace(published: list[np.ndarray], rng: np.random.Generator) -> np.ndarray:
    return published[-1]


def accumulate(published: list[np.ndarray], rng: np.random.Generator) -> np.ndarray:
    return np.concatenate(published, axis=1)


def subsample(published: list[np.ndarray], rng: np.random.Generator) -> np.ndarray:
    return rng.permuted(np.concatenate(published, axis=1), axis=1)[:, :N]


def fixed(real: int) -> Step:
    def step(published: list[np.ndarray], rng: np.random.Generator) -> np.ndarray:
        return np.concatenate([published[0][:, :real], published[-1][:, real:]], axis=1)

    return step


def fresh(real: int) -> Step:
    def step(published: list[np.ndarray], rng: np.random.Generator) -> np.ndarray:
        return np.concatenate([rng.standard_normal((REPLICAS, real)), published[-1][:, real:]], axis=1)

    return step


def assert_law(samples: np.ndarray, law: float | list[float] | np.ndarray) -> None:
    """The mean over replicas [...,R] lies within three standard errors of the law [...]."""
    error = samples.std(-1, ddof=1) / np.sqrt(samples.shape[-1])
    z = (samples.mean(-1) - np.asarray(law)) / error
    assert np.abs(z).max() < 3, f"standard errors from the law: {np.round(z, 2)}"


TIMES = range(1, GENERATIONS + 1)


@pytest.mark.parametrize(("unbiased", "scale"), [(False, 1.0), (True, 1.0), (True, 0.7), (False, 0.7)])
def test_replace_keeps_the_variance_and_the_mean_that_theory_says(unbiased: bool, scale: float) -> None:
    means, variances = loop(replace, 1, ddof=int(unbiased), scale=scale)
    laws = [theory.replace_moments(t, N, unbiased, scale) for t in TIMES]
    assert_law(variances, [v for v, _ in laws])
    assert_law(means**2, [m for _, m in laws])


@pytest.mark.parametrize("unbiased", [False, True])
def test_the_logarithm_of_the_variance_falls_on_a_straight_line(unbiased: bool) -> None:
    _, variances = loop(replace, 2, ddof=int(unbiased))
    assert_law(np.log(variances), [theory.replace_log_variance(t, N, unbiased) for t in TIMES])


@pytest.mark.parametrize("unbiased", [False, True])
def test_the_log_determinant_of_a_covariance_falls_by_wisharts_law(unbiased: bool) -> None:
    rng, d = np.random.default_rng(3), 3
    images = rng.standard_normal((REPLICAS, N, d))
    logs = []
    for _ in range(4):
        centred = images - images.mean(1, keepdims=True)
        covariance = np.einsum("rni,rnj->rij", centred, centred) / (N - unbiased)
        logs.append(np.linalg.slogdet(covariance)[1])
        factor = np.linalg.cholesky(covariance)
        images = rng.standard_normal((REPLICAS, N, d)) @ factor.transpose(0, 2, 1) + images.mean(1, keepdims=True)
    assert_law(np.stack(logs), [theory.replace_log_variance(t, N, unbiased, dimensions=d) for t in range(1, 5)])


@pytest.mark.parametrize("unbiased", [False, True])
def test_the_distance_to_the_truth_grows_as_theory_says(unbiased: bool) -> None:
    means, variances = loop(replace, 4, ddof=int(unbiased))
    assert_law(means**2 + (np.sqrt(variances) - 1) ** 2, [theory.replace_distance(t, N, unbiased) for t in TIMES])


def test_rounding_what_is_published_adds_its_known_variance() -> None:
    level = 0.5
    added = level**2 / 12
    _, variances = loop(replace, 5, rounded=level)
    assert_law(variances, [theory.replace_variance(t, N, added=added) for t in TIMES])
    with pytest.raises(AssertionError, match="from the law"):
        assert_law(variances, [theory.replace_variance(t, N) for t in TIMES])
    _, variances = loop(accumulate, 17, rounded=level)
    assert_law(variances, [theory.accumulate_variance(t, N, added=added) for t in TIMES])
    with pytest.raises(AssertionError, match="from the law"):
        assert_law(variances, [theory.accumulate_variance(t, N) for t in TIMES])


def test_accumulate_loses_the_product_and_no_more() -> None:
    means, variances = loop(accumulate, 6)
    assert_law(variances, [theory.accumulate_variance(t, N) for t in TIMES])
    assert_law(means**2, [1 - theory.accumulate_variance(t, N) for t in TIMES])


def test_accumulate_with_a_fixed_budget_lies_between_accumulate_and_replace() -> None:
    _, variances = loop(subsample, 7)
    assert_law(variances, [theory.accumulate_subsample_variance(t, N) for t in TIMES])


@pytest.mark.parametrize("real", [1, 3, 9])
def test_a_fixed_real_set_bounds_the_loss(real: int) -> None:
    means, variances = loop(fixed(real), 8)
    laws = [theory.mix_moments(t, real, N - real) for t in TIMES]
    assert_law(variances, [v for v, _ in laws])
    assert_law(means**2, [m for _, m in laws])


@pytest.mark.parametrize(("real", "scale"), [(1, 1.0), (3, 1.0), (3, 0.7), (9, 1.2)])
def test_fresh_data_leads_to_a_fixed_point(real: int, scale: float) -> None:
    means, variances = loop(fresh(real), 9, scale=scale)
    laws = [theory.fresh_moments(t, real, N - real, scale) for t in TIMES]
    assert_law(variances, [v for v, _ in laws])
    assert_law(means**2, [m for _, m in laws])


@pytest.mark.parametrize("weight", [0.3, theory.GOLDEN_WEIGHT, 0.9])
def test_a_weighted_mean_settles_where_theory_says(weight: float) -> None:
    rng = np.random.default_rng(10)
    mean = np.zeros(40_000)
    for _ in range(60):
        real, synthetic = rng.standard_normal((2, len(mean))) / np.sqrt(N)
        mean = weight * real + (1 - weight) * (mean + synthetic)
    assert_law(N * mean**2, [theory.weighted_mean_error(weight)])


def test_a_rare_attribute_is_lost_as_in_the_wright_fisher_chain() -> None:
    rng, n, p, runs = np.random.default_rng(11), 60, 0.03, 40_000
    counts = rng.binomial(n, p, runs)
    shares, there = [counts / n], [counts > 0]
    for _ in range(11):
        counts = rng.binomial(n, counts / n)
        shares.append(counts / n)
        there.append(counts > 0)
    share, times = np.stack(shares), range(1, 13)
    assert_law(np.stack(there).astype(float), [theory.wright_fisher_survival(p, n, t) for t in times])
    assert_law(share, np.full(12, p))
    assert_law(2 * share * (1 - share), [theory.wright_fisher_heterozygosity(p, n, t) for t in times])
    histogram = np.stack([counts == k for k in range(8)]).astype(float)
    assert_law(histogram, theory.wright_fisher_counts(p, n, 12)[:8])


def test_ddim_with_the_exact_score_erodes_every_mode_as_computed() -> None:
    rng = np.random.default_rng(12)
    modes = np.array([1e-3, 1e-2, 0.1, 1.0])
    betas = np.linspace(1e-4, 0.02, 1000)
    alpha_bar = np.append(np.cumprod(1 - betas)[::-1][::20], 1.0)
    x = rng.standard_normal((len(modes), 20_000))
    for now, after in pairwise(alpha_bar):
        noise = np.sqrt(1 - now) * x / (now * modes[:, None] + 1 - now)  # E[noise | x] of a Gaussian mode
        clean = (x - np.sqrt(1 - now) * noise) / np.sqrt(now)
        x = np.sqrt(after) * clean + np.sqrt(1 - after) * noise
    assert_law(x**2, theory.ddim_erosion(modes, alpha_bar))


def test_euler_steps_of_an_exact_flow_erode_every_mode_as_computed() -> None:
    rng = np.random.default_rng(13)
    modes, times = np.array([1e-3, 1e-2, 0.1, 1.0]), np.linspace(1, 0, 21)
    x = rng.standard_normal((len(modes), 20_000))
    for t, after in pairwise(times):
        total = (1 - t) ** 2 * modes[:, None] + t**2
        velocity = (t - (1 - t) * modes[:, None]) / total * x
        x = x + (after - t) * velocity
    assert_law(x**2, theory.flow_erosion(modes, times))


def test_a_linear_vae_at_its_optimum_shrinks_a_mode_by_beta_noise() -> None:
    from scipy.optimize import minimize

    for mode, noise, beta in [(1.0, 0.2, 1.0), (1.0, 0.2, 2.0), (0.5, 0.1, 0.5), (0.1, 0.2, 1.0)]:

        def loss(p: np.ndarray, mode: float = mode, noise: float = noise, beta: float = beta) -> float:
            decode, encode, log_spread = p
            spread = np.exp(log_spread)
            miss = mode * (1 - decode * encode) ** 2 + decode**2 * spread
            return miss / (2 * noise) + beta / 2 * (mode * encode**2 + spread - 1 - log_spread)

        best = min(
            (minimize(loss, start, tol=1e-12) for start in ([0.7, 0.7, -1.0], [0.1, 0.1, 0.0])), key=lambda r: r.fun
        )
        expected = theory.linear_vae_variance(np.array(mode), 1, noise, beta)
        assert_allclose(best.x[0] ** 2, expected, atol=1e-4)


def test_an_early_stopped_diffusion_contracts_hermite_modes() -> None:
    rng, stop, share, runs = np.random.default_rng(14), 0.15, 0.3, 100_000

    def truth() -> np.ndarray:
        """Skewed data: mean 0.5, variance 1.69, third central moment 2.197."""
        return 0.5 + 1.3 * (rng.gamma(4.0, 0.5, runs) - 2.0)

    first = np.array([0.5, 1.69 + 0.25 - 1, 2.197 + 3 * 0.5 * 1.69 + 0.125 - 1.5])  # E He_1, He_2, He_3
    x = truth()
    for generation in range(1, 6):
        x = np.where(
            rng.random(runs) < share, truth(), x
        )  # each particle is a chain of its own, so all are independent
        x = np.exp(-stop) * x + np.sqrt(1 - np.exp(-2 * stop)) * rng.standard_normal(runs)
        left = np.array([theory.ou_share(k, stop, share, generation) for k in (1, 2, 3)])
        assert_law(np.stack([x, x**2 - 1, x**3 - 3 * x]), first * left)


def test_mixing_contracts_the_chi_square_distance() -> None:
    rng = np.random.default_rng(15)
    p, q = rng.dirichlet(np.ones(20), 2)
    for share in (0.0, 0.2, 1.0):
        mixed = share * p + (1 - share) * q
        assert_allclose(((mixed - p) ** 2 / p).sum(), theory.chi_square_share(share) * ((q - p) ** 2 / p).sum())


def test_the_cut_and_blur_toy_does_what_its_map_says() -> None:
    rng = np.random.default_rng(16)
    x = 1.5 * rng.standard_normal(400_000)
    kept = np.abs(x) < 2.0
    assert_law(kept.astype(float), theory.truncation_kept(1.5**2, 2.0))
    made = x[kept] + 0.3 * rng.standard_normal(int(kept.sum()))
    assert_law(made**2, theory.truncation_variance(1.5**2, 2.0, 0.3))
