from __future__ import annotations

import math
import subprocess
import sys
from itertools import pairwise

import numpy as np
import pytest
from numpy.testing import assert_allclose

from imagelab import theory

TIMES = range(12)


def linear_alpha_bar(steps: int) -> np.ndarray:
    """DDPM's linear schedule of 1000 steps, visited at evenly spaced ones, ending on the clean image."""
    kept = np.cumprod(1 - np.linspace(1e-4, 0.02, 1000))
    return np.append(kept[:: 1000 // steps][::-1], 1.0)


def test_theory_needs_neither_torch_nor_anything_of_ours() -> None:
    code = (
        "import sys, imagelab.theory as t; t.wright_fisher_survival(.1, 9, 3); "
        "print(*sorted(m for m in sys.modules if m == 'torch' or m.startswith('imagelab.')))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split()
    assert all(name.startswith(("imagelab.theory", "imagelab._version")) for name in done.stdout.split())


def test_replace_has_its_closed_form() -> None:
    for t in TIMES:
        assert_allclose(theory.replace_moments(t, 7), ((6 / 7) ** t, 1 - (6 / 7) ** t))
        assert_allclose(theory.replace_moments(t, 7, unbiased=True), (1.0, t / 7))


def test_biased_sampling_has_its_closed_form_and_limit() -> None:
    for t in range(1, 12):
        assert_allclose(theory.replace_variance(t, 50, unbiased=True, scale=0.8), 0.8 ** (t - 1))
    assert_allclose(theory.replace_moments(500, 50, unbiased=True, scale=0.8)[1], 1 / (50 * (1 - 0.8)))


def test_rounding_noise_becomes_a_floor_of_n_minus_one_times_itself() -> None:
    assert_allclose(theory.replace_variance(20_000, 100, added=1e-4), 1e-4 * 99, rtol=1e-6)
    assert theory.replace_variance(3, 100, added=1e-4) > theory.replace_variance(3, 100)


def test_the_median_collapses_while_the_unbiased_mean_does_not() -> None:
    for n in (5, 50, 500):
        assert theory.replace_variance(10, n, unbiased=True) == 1
        assert_allclose(theory.replace_log_variance(10, n, unbiased=True), -10 / n, rtol=2 / n + 0.02)


def test_the_log_determinant_in_one_dimension_is_the_log_variance_and_grows_with_dimension() -> None:
    from scipy.special import digamma

    assert_allclose(theory.replace_log_variance(3, 9), 3 * (digamma(4) - math.log(4.5)))
    assert theory.replace_log_variance(3, 9, dimensions=8) < theory.replace_log_variance(3, 9, dimensions=2)
    with pytest.raises(ValueError, match="expected 1 to n - 1 = 8, got 9"):
        theory.replace_log_variance(3, 9, dimensions=9)


@pytest.mark.parametrize("unbiased", [False, True])
def test_the_distance_is_three_halves_of_t_over_n_to_first_order(unbiased: bool) -> None:
    assert theory.replace_distance(0, 10, unbiased) == 0
    for t in (1, 5):
        assert_allclose(theory.replace_distance(t, 10_000, unbiased), 1.5 * t / 10_000, rtol=2e-3)


def test_accumulate_falls_to_its_sine_limit() -> None:
    for n in (2, 10, 1000):
        curve = [theory.accumulate_variance(t, n) for t in (0, 1, 10, 100, 20_000)]
        assert curve[0] == 1
        assert all(a > b for a, b in pairwise(curve))
        assert_allclose(curve[-1], theory.accumulate_variance_limit(n), rtol=1e-4)
    assert_allclose(1 - theory.accumulate_variance_limit(10_000), math.pi**2 / 60_000, rtol=1e-3)


def test_published_order_of_the_regimes() -> None:
    n = 40
    for t in (3, 10, 40):
        replace, accumulate = theory.replace_variance(t, n), theory.accumulate_variance(t, n)
        assert replace < theory.accumulate_subsample_variance(t, n) < accumulate
        assert replace < theory.mix_variance(t, 10, 30) < theory.fresh_variance(t, 10, 30)


def test_every_regime_is_the_same_at_generation_one_and_the_truth_before() -> None:
    laws = [
        theory.replace_variance,
        theory.accumulate_variance,
        theory.accumulate_subsample_variance,
        lambda t, n: theory.mix_variance(t, 3, n - 3),
        lambda t, n: theory.fresh_variance(t, 3, n - 3),
    ]
    for law in laws:
        assert_allclose([law(0, 12), law(1, 12)], [1, 11 / 12])


def test_mixed_sets_without_real_images_are_replace_and_without_synthetic_never_move() -> None:
    for t in TIMES:
        assert_allclose(theory.mix_moments(t, 0, 9), theory.replace_moments(t, 9))
        assert_allclose(theory.fresh_moments(t, 0, 9), theory.replace_moments(t, 9))
        assert_allclose(theory.fresh_moments(t, 0, 9, 0.8), theory.replace_moments(t, 9, scale=0.8))
    assert_allclose(theory.mix_moments(7, 9, 0), theory.replace_moments(1, 9))
    assert_allclose(theory.fresh_moments(7, 9, 0), theory.replace_moments(1, 9))
    assert theory.mix_variance_limit(0, 9) == 0
    with pytest.raises(ValueError, match="n_real"):
        theory.fresh_moments_limit(0, 9)


@pytest.mark.parametrize(("real", "synthetic"), [(1, 99), (25, 75), (90, 10)])
def test_mixed_loops_settle_at_their_fixed_points(real: int, synthetic: int) -> None:
    assert_allclose(
        theory.mix_variance(20_000, real, synthetic), theory.mix_variance_limit(real, synthetic), atol=1e-12
    )
    for scale in (1.0, 0.6):
        limit = theory.fresh_moments_limit(real, synthetic, scale)
        assert_allclose(theory.fresh_moments(20_000, real, synthetic, scale), limit)
    f, n = synthetic / (real + synthetic), real + synthetic
    offset = 1 / (n * (1 - f * f) + f)
    assert_allclose(theory.fresh_moments_limit(real, synthetic), (1 - offset, offset))


def test_the_golden_ratio_is_the_best_weight_and_its_own_error() -> None:
    weights = np.linspace(0.05, 1, 2000)
    errors = np.array([theory.weighted_mean_error(w) for w in weights])
    assert_allclose(weights[errors.argmin()], theory.GOLDEN_WEIGHT, atol=1e-3)
    assert_allclose(theory.weighted_mean_error(theory.GOLDEN_WEIGHT), theory.GOLDEN_WEIGHT)
    assert theory.weighted_mean_error(1.0) == 1


def test_wright_fisher_counts_are_a_distribution_with_the_right_mean_and_heterozygosity() -> None:
    n, p = 30, 0.1
    for t in (1, 2, 9):
        counts = theory.wright_fisher_counts(p, n, t)
        share = np.arange(n + 1) / n
        assert_allclose(counts.sum(), 1)
        assert_allclose(counts @ share, p)
        assert_allclose(counts @ (2 * share * (1 - share)), theory.wright_fisher_heterozygosity(p, n, t))


def test_an_attribute_is_lost_at_once_with_one_minus_p_to_the_n_and_survives_ever_less() -> None:
    assert_allclose(theory.wright_fisher_survival(0.01, 100, 1), 1 - 0.99**100)
    curve = [theory.wright_fisher_survival(0.01, 100, t) for t in range(8)]
    assert curve[0] == 1
    assert all(a > b for a, b in pairwise(curve))
    assert theory.wright_fisher_survival(0.0, 100, 3) == 0
    assert_allclose(theory.wright_fisher_survival(1.0, 100, 3), 1)


def test_the_branching_limit_agrees_with_the_exact_survival_of_rare_attributes() -> None:
    for t in (1, 2, 10):
        exact = theory.wright_fisher_survival(0.002, 1000, t)
        assert_allclose(theory.wright_fisher_survival(0.002 / 5, 5000, t), exact, rtol=5e-3)


def test_impossible_numbers_are_refused() -> None:
    with pytest.raises(ValueError, match="n: expected at least 2 images a generation, got 1"):
        theory.replace_variance(3, 1)
    with pytest.raises(ValueError, match="generation: expected a whole number >= 0, got -1"):
        theory.accumulate_variance(-1, 10)
    with pytest.raises(ValueError, match="n <= 4096"):
        theory.wright_fisher_counts(0.1, 5000, 2)
    with pytest.raises(ValueError, match="that rise"):
        theory.ddim_erosion(np.array(1.0), np.array([1.0, 0.5]))
    with pytest.raises(ValueError, match="that fall"):
        theory.flow_erosion(np.array(1.0), np.array([0.0, 1.0]))


def test_a_mode_of_unit_variance_nearly_passes_ddim_and_finer_ones_lose_more() -> None:
    modes = np.array([1e-4, 1e-3, 1e-2, 1e-1, 1.0])
    kept = theory.ddim_erosion(modes, linear_alpha_bar(50)) / modes
    assert 0.9 < kept[-1] < 1
    assert (kept[1:-1] < kept[2:]).all()


def test_more_steps_erode_less_towards_the_exact_sampler() -> None:
    modes = np.array([1e-3, 1e-2, 1e-1])
    kept = [theory.ddim_erosion(modes, linear_alpha_bar(steps)) / modes for steps in (20, 50, 200, 1000)]
    assert all((a < b).all() for a, b in pairwise(kept))
    flow = [theory.flow_erosion(modes, np.linspace(1, 0, steps + 1)) / modes for steps in (10, 100, 10_000)]
    assert all((np.abs(a - 1) > np.abs(b - 1)).all() for a, b in pairwise(flow))
    assert_allclose(flow[-1], 1, rtol=0.02)


def test_a_single_step_of_either_sampler_gives_the_mean_alone() -> None:
    assert_allclose(theory.flow_erosion(np.array([0.1, 2.0]), np.array([1.0, 0.0])), 0, atol=1e-15)
    small = theory.ddim_erosion(np.array([0.1]), np.array([1e-6, 1.0]))
    assert_allclose(small, (np.sqrt(1e-6) * 0.1) ** 2, rtol=1e-4)


def test_ddim_agrees_with_diffusers_to_rounding() -> None:
    import torch
    from diffusers.schedulers.scheduling_ddim import DDIMScheduler

    scheduler = DDIMScheduler(clip_sample=False, timestep_spacing="leading")
    scheduler.set_timesteps(20)
    kept = scheduler.alphas_cumprod.numpy().astype(np.float64)
    steps = scheduler.timesteps.numpy()
    modes = np.array([1e-3, 1e-1, 1.0])
    x = torch.ones(3, dtype=torch.float64)
    for step in steps:
        a = kept[step]
        noise = torch.from_numpy(np.sqrt(1 - a) / (a * modes + 1 - a)) * x
        x = scheduler.step(noise, int(step), x, eta=0.0).prev_sample  # pyright: ignore[reportAttributeAccessIssue]
    assert_allclose(x.numpy() ** 2, theory.ddim_erosion(modes, np.append(kept[steps], 1.0)), rtol=1e-4)


def test_linear_vaes_kill_modes_in_order_of_weakness_on_straight_lines() -> None:
    modes = np.array([1.0, 0.5, 0.05])
    assert_allclose(theory.linear_vae_variance(modes, 3, 0.1), [0.7, 0.2, 0.0])
    assert_allclose(theory.linear_vae_variance(modes, 3, 0.1, beta=0.5), [0.85, 0.35, 0.0])
    assert_allclose(theory.linear_vae_variance(modes, 3, 0.1, decoder_noise=True), [1.0, 0.5, 0.1])
    assert_allclose(theory.linear_vae_variance(modes, 0, 0.1), modes)


def test_early_stopping_removes_more_of_higher_orders_and_fresh_data_restores_them() -> None:
    assert theory.ou_share(0, 0.2, 0.5) == 1
    assert theory.ou_share(2, 0.0, 0.5) == 1
    assert theory.ou_share(4, 0.2, 0.5) < theory.ou_share(2, 0.2, 0.5) < theory.ou_share(2, 0.2, 0.9)
    assert_allclose(theory.ou_share(2, 0.2, 0.3, generation=200), theory.ou_share(2, 0.2, 0.3))
    assert_allclose(theory.ou_share(2, 0.2, 0.0, generation=5), math.exp(-2 * 0.2 * 5))


def test_mixing_with_only_real_data_leaves_no_error() -> None:
    assert theory.chi_square_share(1.0) == 0
    assert theory.chi_square_share(0.0) == 1


def test_the_toy_cuts_nothing_where_the_cut_is_far_away() -> None:
    assert_allclose(theory.truncation_variance(1.0, 40.0, 0.1), 1.01)
    assert_allclose(theory.truncation_kept(1.0, 40.0), 1)
    assert_allclose(theory.truncation_kept(1.0, 2.0), 0.9545, atol=1e-4)
    assert_allclose(theory.truncation_variance(1.0, 0.01, 0.0), 0.01**2 / 3, rtol=1e-3)  # almost uniform


def test_drift_bands_hold_the_share_of_perfect_generators_that_they_promise():
    bands = theory.wright_fisher_bands(0.05, 200, 4, level=0.9)
    rng = np.random.default_rng(0)
    shares = np.full(20_000, 0.05)
    for low, high in bands[1:]:
        shares = rng.binomial(200, shares) / 200
        inside = np.mean((shares >= low) & (shares <= high))
        assert 0.9 - 0.01 <= inside <= 0.97
    assert bands[0].tolist() == [0.05, 0.05] and (np.diff(bands[:, 1]) >= 0).all()


def test_the_mean_of_several_chains_stays_inside_its_band_as_often_as_it_says():
    bands = theory.wright_fisher_bands(0.05, 200, 4, level=0.9, chains=3)
    rng = np.random.default_rng(0)
    shares = np.full((20_000, 3), 0.05)
    for low, high in bands[1:]:
        shares = rng.binomial(200, shares) / 200
        mean = shares.mean(axis=1)
        assert 0.9 - 0.01 <= np.mean((mean >= low - 1e-9) & (mean <= high + 1e-9)) <= 0.94
    single = theory.wright_fisher_bands(0.05, 200, 4, level=0.9)
    assert (np.ptp(bands[1:], axis=1) < 0.65 * np.ptp(single[1:], axis=1)).all()
    many = theory.wright_fisher_bands(0.1, 4097, 3, chains=3)
    np.testing.assert_allclose(many, theory.wright_fisher_bands(0.1, 4096, 3, chains=3), atol=1e-3)


def test_drift_bands_of_many_images_join_the_exact_ones():
    np.testing.assert_allclose(
        theory.wright_fisher_bands(0.1, 4097, 3), theory.wright_fisher_bands(0.1, 4096, 3), atol=1e-3
    )
