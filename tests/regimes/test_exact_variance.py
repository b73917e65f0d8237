"""The exact variance against the closed forms of imagelab.theory, and against simulated loops of refitted Gaussians."""

from __future__ import annotations

import numpy as np
import pytest

from imagelab import theory
from imagelab.pool import REAL, RESERVE, Archive, Pool
from imagelab.regimes import (
    Accumulate,
    Breed,
    Contaminate,
    Fresh,
    Golden,
    Mislabelled,
    Mix,
    Regime,
    Replace,
    Schedule,
    Window,
)

N, TIMES = 6, 7


def law(regime: Regime, generation: int, n: int, lines: int = 1) -> float:
    (told,) = regime.predictions(generation, n, lines)
    assert told.predicted and told.name == "pixel_variance" and told.cite and told.value is not None
    return told.value


@pytest.mark.parametrize("n", [4, 13, 200])
@pytest.mark.parametrize("t", [1, 2, 5, 12])
def test_the_law_gives_every_closed_form_that_is_known(t: int, n: int):
    part, rest = round(0.25 * n), n - round(0.25 * n)
    known = [
        (Replace(), theory.replace_variance(t, n)),
        (Window(last=1), theory.replace_variance(t, n)),
        (Mix(real_fraction=0), theory.replace_variance(t, n)),
        (Accumulate(), theory.accumulate_variance(t, n)),
        (Window(last=99), theory.accumulate_variance(t, n)),
        (Accumulate(subsample=True), theory.accumulate_subsample_variance(t, n)),
        (Mix(real_fraction=0.25), theory.mix_variance(t, part, rest)),
        (Breed(real_fraction=0.25), theory.mix_variance(t, part, rest)),
        (Contaminate(share=rest / n), theory.mix_variance(t, part, rest)),
        (Fresh(real_fraction=0.25), theory.fresh_variance(t, part, rest)),
        (Fresh(real_fraction=0.25, period=3), theory.fresh_moments(t, part, rest, period=3)[0]),
        (Golden(), theory.weighted_moments(t, n, n, 5 / 8)[0]),
        (Window(last=3), theory.window_moments(t, n, 3)[0]),
        (Schedule(first=Mix(), until=3, then=Mix()), theory.mix_variance(t, part, rest)),
    ]
    for regime, value in known:
        assert law(regime, t, n) == pytest.approx(value, rel=1e-12, abs=1e-14), regime


def loops(regime: Regime, lines: int, runs: int, seed: int) -> np.ndarray:
    """Return s_t^2 of line 0 in many loops of one value an image: float64 [T,runs].

    The pools are drawn by the regime. All loops of one seed have the same pools and different values.
    """
    rng = np.random.default_rng(seed)
    needed = regime.reserve(N, TIMES, lines)
    values = {(0, REAL): rng.normal(size=(runs, N)), (0, RESERVE): rng.normal(size=(runs, max(needed, 1)))}
    archive = Archive(Pool.of(0, REAL, range(N)), Pool.of(0, RESERVE, range(needed)))
    variances = []
    for t in range(1, TIMES + 1):
        for line in range(lines):
            chosen = regime(archive, line, N, np.random.default_rng([seed, t, line]))
            pool = np.stack([values[g, i][:, row] for g, i, row in chosen.names().tolist()], axis=1)
            mean, deviation = pool.mean(1), pool.std(1)
            values[t, line] = mean[:, None] + deviation[:, None] * rng.normal(size=(runs, N))
            if line == 0:
                variances.append(deviation**2)
        archive = archive.add(t, {line: Pool.of(t, line, range(N)) for line in range(lines)})
    return np.stack(variances)


@pytest.mark.parametrize(
    "regime",
    [
        Window(last=2),
        Window(last=3),
        Fresh(real_fraction=0.5, period=3),
        Golden(),
        Golden(weight=0.3),
        Contaminate(share=0.5, rounds=2),
        Schedule(first=Replace(), until=3, then=Mix(real_fraction=0.5)),
        Schedule(first=Mix(real_fraction=0.5), until=3, then=Accumulate()),
        Schedule(first=Replace(), until=3, then=Golden()),
        Mislabelled(regime=Fresh(real_fraction=0.5), rate=0.25),
        Mislabelled(regime=Golden(), rate=0.25),
        Mislabelled(regime=Accumulate(), rate=0.25),
    ],
    ids=lambda regime: str(regime)[:50],
)
def test_gaussians_that_really_are_refitted_obey_the_law(regime: Regime):
    measured = loops(regime, 1, runs=20_000, seed=5)
    expected = [law(regime, t, N) for t in range(1, TIMES + 1)]
    error = measured.std(1) / measured.shape[1] ** 0.5
    assert np.abs((measured.mean(1) - expected) / error).max() < 4


@pytest.mark.parametrize(
    ("regime", "lines"),
    [
        (Breed(real_fraction=0), 2),
        (Breed(real_fraction=0.3), 3),
        (Breed(weights=(1, 2, 3)), 3),
        (Accumulate(subsample=True), 1),
        (Window(last=3, subsample=True), 1),
    ],
    ids=lambda value: str(value)[:50],
)
def test_where_chance_picks_the_pool_the_law_is_its_mean(regime: Regime, lines: int):
    means = np.stack([loops(regime, lines, runs=200, seed=seed).mean(1) for seed in range(60)])
    expected = [law(regime, t, N, lines) for t in range(1, TIMES + 1)]
    error = means.std(0, ddof=1) / len(means) ** 0.5
    assert np.abs((means.mean(0) - expected) / error).max() < 4


def test_weights_of_a_breed_that_favour_one_line_leave_less_than_equal_ones():
    equal, one = (law(Breed(weights=w, real_fraction=0), 6, 12, 2) for w in ((1, 1), (1, 0)))
    assert one == pytest.approx(theory.replace_variance(6, 12)) and equal > one


def test_the_longer_the_window_the_more_is_kept():
    kept = [law(Window(last=k), 12, 30) for k in (1, 2, 4, 8, 12)]
    assert kept == sorted(kept) and kept[0] < kept[-1]


def test_rarer_fresh_images_keep_less():
    kept = [law(Fresh(real_fraction=0.3, period=k), 9, 30) for k in (1, 2, 4)]
    assert kept == sorted(kept, reverse=True)


def test_a_gaussian_forgets_its_collapse_in_one_generation_when_real_data_return():
    limit = theory.mix_variance_limit(10, 10)
    kept = [law(Schedule(first=Replace(), until=5, then=Mix(real_fraction=0.5)), t, 20) for t in (5, 6, 60)]
    assert kept[0] < 0.9 * limit
    assert kept[1:] == pytest.approx([limit, limit], rel=0.005)


def test_lines_that_feed_on_each_other_keep_more_than_one_that_feeds_on_itself():
    kept = [law(Breed(real_fraction=0), 7, 20, lines) for lines in (1, 2, 4)]
    assert kept == sorted(kept) and kept[0] == pytest.approx(theory.replace_variance(7, 20))


def test_before_the_change_a_schedule_has_the_description_of_its_first_regime():
    regime = Schedule(first=Replace(), until=3, then=Mix())
    assert regime.predictions(3, 20) == Replace().predictions(3, 20)
    assert "replace to generation 3, then fixed real share" in regime.predictions(4, 20)[0].estimator


@pytest.mark.parametrize("fraction", [0.0, 0.3, 1.0])
def test_a_share_of_real_images_holds_the_predicted_variance_up(fraction: float):
    assert law(Mix(real_fraction=fraction), 30, 40) >= law(Replace(), 30, 40) - 1e-12


@pytest.mark.parametrize("t", [1, 2, 5])
def test_a_part_of_no_images_changes_nothing(t: int):
    for regime in (Fresh(real_fraction=0.0), Mix(real_fraction=0.0), Golden(weight=0.0)):
        assert law(regime, t, 12) == pytest.approx(theory.replace_variance(t, 12)), regime


def test_lines_that_read_the_same_new_images_count_them_once():
    for t in (2, 4):
        alone, among = (Fresh(real_fraction=0.5).predictions(t, 12, lines)[0].value for lines in (1, 3))
        assert among == pytest.approx(alone)


def test_a_prediction_names_the_regime_and_the_fresh_images_it_counts_on():
    (plain,), (fresh,) = (Replace().predictions(2, 12, 1, fresh_draws) for fresh_draws in (1, 3))
    assert plain.estimator == "closed form, Gaussian model refitted by maximum likelihood, replace"
    assert fresh.estimator == f"{plain.estimator}, 3 fresh images drawn for each"
    assert [Fresh(period=period).description(3) for period in (1, 2)] == ["fresh", "fresh every 2 generations"]
