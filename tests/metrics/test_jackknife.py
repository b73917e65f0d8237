from __future__ import annotations

import numpy as np
import pytest

from imagelab.metrics.jackknife import jackknife


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
