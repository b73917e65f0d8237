from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from imagelab.pool import REAL, RESERVE, Archive, Pool
from imagelab.regimes import REGIMES, Accumulate, Fresh, Mix, Regime, Replace

EVERY = [Replace(), Accumulate(), Accumulate(subsample=True), Mix(real_fraction=0.3), Fresh(real_fraction=0.3)]


def archive_of(generations: int, n: int, lines: int = 2, reserve: int = 1000) -> Archive:
    archive = Archive(Pool.of(0, REAL, range(n)), Pool.of(0, RESERVE, range(reserve)))
    for generation in range(1, generations + 1):
        archive = archive.add(generation, {line: Pool.of(generation, line, range(n)) for line in range(lines)})
    return archive


@given(st.sampled_from(EVERY), st.integers(0, 6), st.integers(4, 30), st.integers(0, 1), st.integers(0, 2**32))
def test_every_regime_is_pure_reads_its_own_line_and_gives_the_promised_number(
    regime: Regime, generations: int, n: int, line: int, seed: int
):
    archive = archive_of(generations, n)
    pool = regime(archive, line, n, np.random.default_rng(seed))  # pyright: ignore[reportCallIssue]
    again = regime(archive, line, n, np.random.default_rng(seed))  # pyright: ignore[reportCallIssue]
    assert pool == again
    growing = regime == Accumulate()
    assert len(pool) == (n * (generations + 1) if growing else n)
    assert set(np.unique(pool.line)) <= {REAL, RESERVE, line}
    assert len({tuple(name) for name in pool.names().tolist()}) == len(pool), "an image stands in the pool twice"


@pytest.mark.parametrize("regime", EVERY, ids=lambda r: f"{r.kind}")
def test_generation_one_sees_only_real_images(regime: Regime, rng: np.random.Generator):
    pool = regime(archive_of(0, 20), 0, 20, rng)  # pyright: ignore[reportCallIssue]
    assert pool.share(generation=0, line=REAL) == 1.0


def test_replace_forgets_everything_but_the_last_shard(rng: np.random.Generator):
    assert Replace()(archive_of(3, 10), 1, 10, rng) == Pool.of(3, 1, range(10))


def test_accumulate_keeps_all_there_ever_was(rng: np.random.Generator):
    pool = Accumulate()(archive_of(3, 10), 0, 10, rng)
    assert pool.shards() == [(0, REAL), (1, 0), (2, 0), (3, 0)]


def test_the_subsampled_budget_draws_from_all_shards_alike():
    shares = [
        Accumulate(subsample=True)(archive_of(3, 200), 0, 200, np.random.default_rng(seed)).share(generation=0)
        for seed in range(50)
    ]
    assert abs(np.mean(shares) - 0.25) < 4 * np.std(shares) / 50**0.5


@pytest.mark.parametrize("fraction", [0.0, 0.1, 0.5, 1.0])
def test_mix_holds_exactly_its_real_share_and_always_the_same_real_images(fraction: float):
    pools = [Mix(real_fraction=fraction)(archive_of(g, 40), 0, 40, np.random.default_rng(g)) for g in (1, 4)]
    real = [pool.row[pool.line == REAL] for pool in pools]
    assert len(real[0]) == round(fraction * 40)
    np.testing.assert_array_equal(real[0], real[1])


def test_fresh_images_are_used_once_and_in_order():
    regime, used = Fresh(real_fraction=0.25), []
    for generation in range(1, 6):
        pool = regime(archive_of(generation, 20), 0, 20, np.random.default_rng(0))
        used += pool.row[pool.line == RESERVE].tolist()
    assert used == list(range(25))
    assert regime.reserve(20, generations=6) == 25


def test_an_empty_reserve_fails_loudly(rng: np.random.Generator):
    regime = Fresh(real_fraction=0.5)
    with pytest.raises(ValueError, match="reserve of new real images ran out at generation 3"):
        regime(archive_of(2, 20, reserve=15), 0, 20, rng)


def test_predictions_are_marked_as_such_and_fall_as_the_law_says():
    lines = [Replace().predictions(t, 100)[0] for t in (1, 2, 3)]
    assert all(line.predicted for line in lines)
    assert [line.value for line in lines] == pytest.approx([0.99, 0.99**2, 0.99**3])
    bounded = Accumulate().predictions(1000, 100)[0].value
    assert bounded is not None and bounded > 0.98
    laws = (Replace(), Accumulate(subsample=True), Accumulate())
    worse, between, better = (regime.predictions(20, 50)[0].value or 0.0 for regime in laws)
    assert worse < between < better


@pytest.mark.parametrize("fraction", [0.0, 0.3, 1.0])
def test_a_share_of_real_images_holds_the_predicted_variance_up(fraction: float):
    kept = [regime.predictions(30, 40)[0].value or 0.0 for regime in (Mix(real_fraction=fraction), Replace())]
    assert kept[0] >= kept[1] - 1e-12


def test_every_regime_goes_to_json_and_back():
    for kind, regime in REGIMES.items():
        assert regime.model_validate(regime().model_dump(mode="json")) == regime()
        assert regime().model_dump()["kind"] == kind
