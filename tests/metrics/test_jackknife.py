from __future__ import annotations

import numpy as np
import pytest

from imagelab.metrics.jackknife import (
    Jackknifed,
    degrees,
    group_labels,
    jackknife,
    jackknifed,
    leave_out,
    mean_and_error,
    spread_and_error,
)


def test_a_squared_mean_loses_its_bias():
    rng = np.random.default_rng(0)
    plain, corrected = [], []
    for _ in range(300):
        x = rng.standard_normal(50)  # the squared mean of 50 standard normals is 0.02 on average, the truth 0
        found = jackknife(lambda real, fake, x=x: float(x[real].mean() ** 2), 50, 50, seed=0)
        plain.append(found.value)
        corrected.append(found.corrected)
    assert np.mean(plain) == pytest.approx(0.02, abs=0.005)
    assert np.mean(corrected) == pytest.approx(0.0, abs=0.005)


def test_the_variances_of_both_sets_add():
    rng = np.random.default_rng(1)
    x, y = rng.normal(0, 1, 2000), rng.normal(0, 2, 1000)
    found = [jackknife(lambda r, f: float(x[r].mean() - y[f].mean()), 2000, 1000, seed=s).stderr for s in range(20)]
    assert np.mean([e for e in found if e is not None]) == pytest.approx(np.sqrt(1 / 2000 + 4 / 1000), rel=0.1)


def test_seed_and_number_of_groups_change_the_groups_and_equal_seeds_do_not():
    x = np.random.default_rng(2).standard_normal(40)

    def take(seed, groups):
        return jackknife(lambda real, fake: float(x[fake].std()), 40, 40, seed, groups).stderr

    assert take(0, 10) == take(0, 10)
    assert len({take(0, 10), take(1, 10), take(0, 5)}) == 3


@pytest.mark.parametrize(("n", "known"), [(1, False), (2, False), (3, True), (4, True), (11, True)])
def test_a_set_left_with_fewer_than_two_has_no_error(n, known):
    found = jackknife(lambda real, fake: float(len(fake)), 30, n, seed=0)
    assert found.value == n
    assert (found.stderr is not None, found.corrected is not None) == (known, known)


def test_one_group_is_refused():
    with pytest.raises(ValueError, match="at least 2 groups"):
        jackknife(lambda real, fake: 0.0, 9, 9, seed=0, groups=1)


@pytest.mark.parametrize(("n_real", "n_fake", "groups"), [(30, 12, 10), (12, 30, 10), (9, 7, 2), (5, 40, 10)])
def test_every_image_of_either_set_is_left_out_once_in_groups_of_equal_size(n_real, n_fake, groups):
    left = leave_out(n_real, n_fake, 3, groups)
    assert len(left) == min(groups, n_real, n_fake)
    for side, n in enumerate((n_real, n_fake)):
        gone = [np.setdiff1d(np.arange(n), pair[side]) for pair in left]
        assert sorted(np.concatenate(gone)) == list(range(n))
        assert max(map(len, gone)) - min(map(len, gone)) <= 1
    assert any((a != b).any() for a, b in zip(left[0], leave_out(n_real, n_fake, 4, groups)[0], strict=True))


def test_a_set_of_one_leaves_nothing_out():
    assert leave_out(30, 1, 0) == leave_out(1, 30, 0) == leave_out(0, 5, 0) == []


def test_a_factor_scales_the_value_its_error_and_its_correction():
    assert Jackknifed(2.0, 0.5, 1.5).times(4.0) == Jackknifed(8.0, 2.0, 6.0)
    assert Jackknifed(2.0, None, None).times(4.0) == Jackknifed(8.0, None, None)


def test_error_and_correction_are_tukeys():
    left = np.array([1.0, 2.0, 4.0, 5.0])
    found = jackknifed(3.5, left)
    assert found.stderr == pytest.approx(np.sqrt(3 / 4 * (4 + 1 + 1 + 4))) and found.corrected == 4 * 3.5 - 3 * 3.0


# -- blocks of images that belong together


def test_whole_blocks_are_left_out_and_their_number_bounds_the_groups():
    blocks = np.repeat(np.arange(12) * 7, 5), None
    of_real, of_fake = group_labels(60, 40, 3, blocks=blocks)
    assert of_real.max() == of_fake.max() == 11
    for block in np.unique(blocks[0]):
        assert len(set(of_real[blocks[0] == block])) == 1
    assert len(leave_out(60, 40, 3, blocks=blocks)) == 12


def test_the_error_of_a_mean_of_blocks_is_the_spread_over_repeats(rng):
    blocks = np.repeat(np.arange(40), 10)
    found = [
        mean_and_error(rng.standard_normal(40)[blocks] + 0.3 * rng.standard_normal(400), blocks) for _ in range(300)
    ]
    means, errors = np.array(found, float).T
    assert np.sqrt(np.mean(errors**2)) == pytest.approx(means.std(), rel=0.15)
    plain = mean_and_error(rng.standard_normal(40)[blocks], None)[1]
    assert plain is not None and plain < 0.5 * errors.mean()


def test_blocks_of_one_image_are_no_blocks(rng):
    values = rng.standard_normal(30)
    assert mean_and_error(values, rng.permutation(30)) == pytest.approx(mean_and_error(values), rel=1e-12)
    assert mean_and_error(values, np.zeros(30, np.int64))[1] is None  # one block says nothing of others


def test_degrees_of_freedom_are_those_of_the_smaller_set_and_are_not_said_of_many():
    assert (degrees(50, 30), degrees(30), degrees(200, 500), degrees(199, 500)) == (29, 29, None, 198)
    assert jackknife(lambda r, f: float(len(f)), 40, 40, 0).df == 19


@pytest.mark.parametrize("draw", ["poisson", "some have none", "normal"])
def test_the_error_of_a_standard_deviation_is_its_spread_over_repeats(rng, draw):
    shapes = {
        "poisson": lambda: rng.poisson(4, 300),
        "some have none": lambda: rng.poisson(8, 300) * (rng.random(300) < 0.6),
        "normal": lambda: rng.standard_normal(300),
    }
    values, errors = np.array([spread_and_error(shapes[draw]()) for _ in range(2000)]).T
    assert errors.mean() == pytest.approx(values.std(), rel=0.06)


def test_a_standard_deviation_of_too_few_has_no_error():
    assert spread_and_error(np.array([1.0])) == (None, None)
    assert spread_and_error(np.array([1.0, 3.0])) == (pytest.approx(2**0.5), None)
    assert spread_and_error(np.ones(5)) == (0.0, 0.0)
