"""Properties of every regime, and the images that each one keeps."""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter, ValidationError

from imagelab import theory
from imagelab.pool import REAL, RESERVE, Archive, Pool
from imagelab.regimes import (
    REGIMES,
    Accumulate,
    AnyRegime,
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
    continued,
)

MakeArchive = Callable[..., Archive]

OWN = [
    Replace(),
    Accumulate(),
    Accumulate(subsample=True),
    Window(last=2),
    Window(last=2, subsample=True),
    Mix(real_fraction=0.3),
    Contaminate(share=0.4),
    Contaminate(share=0.4, rounds=1),
    Fresh(real_fraction=0.3),
    Fresh(real_fraction=0.3, period=3),
    Golden(),
    Mislabelled(regime=Mix(real_fraction=0.3), rate=0.5),
    Schedule(first=Fresh(real_fraction=0.5), until=2, then=Mix(real_fraction=0.5)),
    Schedule(first=Replace(), until=2, then=Schedule(first=Accumulate(subsample=True), until=4, then=Fresh())),
]
"""Regimes that read their own line only."""

BREEDING = [Breed(), Breed(weights=(1, 3), real_fraction=0.5)]

PLAIN = st.sampled_from([regime for regime in OWN if not isinstance(regime, Schedule)])
STAGES = st.recursive(
    PLAIN, lambda inner: st.builds(Schedule, first=inner, until=st.integers(1, 5), then=inner), max_leaves=4
)


def named(regime: Regime) -> str:
    return " ".join(f"{key}={value}" for key, value in regime.model_dump().items())[:60]


def grows(regime: Regime) -> bool:
    return isinstance(regime, Accumulate | Window) and not regime.subsample


@given(STAGES, st.integers(0, 6), st.integers(4, 30), st.integers(0, 1), st.integers(0, 2**32))
def test_every_regime_is_pure_reads_its_own_line_and_gives_the_promised_number(
    archive_of: MakeArchive, regime: Regime, generations: int, n: int, line: int, seed: int
):
    archive = archive_of(generations, n)
    pool = regime(archive, line, n, np.random.default_rng(seed))
    assert pool == regime(archive, line, n, np.random.default_rng(seed))
    assert set(np.unique(pool.line)) <= {REAL, RESERVE, line}
    while isinstance(regime, Schedule):
        regime = regime.first if generations + 1 <= regime.until else regime.then
    if isinstance(regime, Golden) and generations:
        assert len(pool) == 8 * n
        return
    kept = min(generations + 1, regime.last) if isinstance(regime, Window) else generations + 1
    assert len(pool) == (n * kept if grows(regime) else n)
    assert len({tuple(name) for name in pool.names().tolist()}) == len(pool), "an image occurs twice in the pool"


@given(STAGES, st.integers(4, 30), st.integers(1, 8))
def test_no_new_real_image_is_ever_used_in_two_generations_and_none_is_left_over(
    archive_of: MakeArchive, regime: Regime, n: int, generations: int
):
    needed = regime.reserve(n, generations)
    used: list[int] = []
    for generation in range(generations):
        pool = regime(archive_of(generation, n, reserve=needed), 0, n, np.random.default_rng(0))
        used += np.unique(pool.row[pool.line == RESERVE]).tolist()
    assert sorted(used) == list(range(needed))


@pytest.mark.parametrize("regime", [*OWN, *BREEDING], ids=named)
def test_generation_one_sees_only_real_images(regime: Regime, archive_of: MakeArchive, rng: np.random.Generator):
    pool = regime(archive_of(0, 20), 0, 20, rng)
    assert pool.share(generation=0, line=REAL) == 1.0 and len(pool) == 20


@pytest.mark.parametrize("regime", [*OWN, *BREEDING], ids=named)
def test_every_regime_goes_to_json_and_back(regime: Regime):
    union = TypeAdapter(AnyRegime)
    assert union.validate_json(regime.model_dump_json()) == regime
    assert type(union.validate_python({"kind": regime.model_dump()["kind"]})) is type(regime)


def test_the_table_lists_every_kind():
    assert {kind: recipe().model_dump()["kind"] for kind, recipe in REGIMES.items()} == {kind: kind for kind in REGIMES}
    with pytest.raises(ValidationError):
        TypeAdapter(AnyRegime).validate_python({"kind": "mix", "real_share": 0.5})


# -- what is kept


def test_replace_forgets_everything_but_the_last_shard(archive_of: MakeArchive, rng: np.random.Generator):
    assert Replace()(archive_of(3, 10), 1, 10, rng) == Pool.of(3, 1, range(10))


def test_accumulate_keeps_all_there_ever_was(archive_of: MakeArchive, rng: np.random.Generator):
    pool = Accumulate()(archive_of(3, 10), 0, 10, rng)
    assert pool.shards() == [(0, REAL), (1, 0), (2, 0), (3, 0)]


def test_the_subsampled_budget_draws_from_all_shards_alike(archive_of: MakeArchive):
    archive = archive_of(3, 200)
    shares = [
        Accumulate(subsample=True)(archive, 0, 200, np.random.default_rng(seed)).share(generation=0)
        for seed in range(50)
    ]
    assert abs(np.mean(shares) - 0.25) < 4 * np.std(shares) / 50**0.5


@pytest.mark.parametrize("subsample", [False, True])
def test_the_real_set_stays_in_a_window_of_k_until_generation_k(
    archive_of: MakeArchive, subsample: bool, rng: np.random.Generator
):
    window = Window(last=3, subsample=subsample)
    pools = [window(archive_of(made, 40), 0, 40, rng) for made in (1, 2, 3, 5)]
    assert [pool.share(line=REAL) > 0 for pool in pools] == [True, True, False, False]
    assert pools[-1].shards() == [(3, 0), (4, 0), (5, 0)]


@given(st.integers(0, 6), st.integers(1, 20))
def test_a_window_of_one_is_replace_and_one_without_end_is_accumulate(archive_of: MakeArchive, made: int, seed: int):
    archive = archive_of(made, 12)

    def drawn(regime: Regime) -> Pool:
        return regime(archive, 1, 12, np.random.default_rng(seed))

    assert drawn(Window(last=1)) == drawn(Replace())
    assert drawn(Window(last=50)) == drawn(Accumulate())
    assert drawn(Window(last=50, subsample=True)) == drawn(Accumulate(subsample=True))


# -- a fixed real set


@pytest.mark.parametrize("fraction", [0.0, 0.1, 0.5, 1.0])
def test_mix_holds_exactly_its_real_share_and_always_the_same_real_images(archive_of: MakeArchive, fraction: float):
    pools = [Mix(real_fraction=fraction)(archive_of(g, 40), 0, 40, np.random.default_rng(g)) for g in (1, 4)]
    real = [pool.row[pool.line == REAL] for pool in pools]
    assert len(real[0]) == round(fraction * 40)
    np.testing.assert_array_equal(real[0], real[1])


@pytest.mark.parametrize("share", [0.0, 0.05, 0.5, 1.0])
def test_contamination_puts_that_share_of_the_last_shard_among_the_real_images(
    archive_of: MakeArchive, share: float, rng: np.random.Generator
):
    pool = Contaminate(share=share)(archive_of(4, 40), 1, 40, rng)
    assert pool.share(generation=4, line=1) == pytest.approx(share)
    assert pool.share(line=REAL) == pytest.approx(1 - share)


def test_contamination_ends_after_its_rounds(archive_of: MakeArchive, rng: np.random.Generator):
    regime = Contaminate(share=0.5, rounds=2)
    real = [regime(archive_of(made, 10), 0, 10, rng).share(line=REAL) for made in range(5)]
    assert real == [1.0, 0.5, 0.5, 1.0, 1.0]


# -- new real images


def test_fresh_images_are_used_once_and_in_order(archive_of: MakeArchive):
    regime, used = Fresh(real_fraction=0.25), []
    for generation in range(1, 6):
        pool = regime(archive_of(generation, 20), 0, 20, np.random.default_rng(0))
        used += pool.row[pool.line == RESERVE].tolist()
    assert used == list(range(25))
    assert regime.reserve(20, generations=6) == 25


def test_fresh_images_come_every_so_many_generations(archive_of: MakeArchive, rng: np.random.Generator):
    regime = Fresh(real_fraction=0.5, period=3)
    shares = [regime(archive_of(made, 10), 0, 10, rng).share(line=RESERVE) for made in range(8)]
    assert shares == [0, 0, 0, 0.5, 0, 0, 0.5, 0]
    assert regime.reserve(10, generations=8) == 10


def test_an_empty_reserve_fails_loudly(archive_of: MakeArchive, rng: np.random.Generator):
    regime = Fresh(real_fraction=0.5)
    with pytest.raises(ValueError, match="fresh: the reserve of new real images ran out at generation 3"):
        regime(archive_of(2, 20, reserve=15), 0, 20, rng)


@pytest.mark.parametrize(("weight", "in_force"), [(0.618, "5/8"), (0.5, "1/2"), (1.0, "1"), (0.0, "0"), (0.7, "5/7")])
def test_golden_weights_are_met_by_copies_of_images(
    archive_of: MakeArchive, weight: float, in_force: str, rng: np.random.Generator
):
    regime = Golden(weight=weight)
    assert regime.weight_in_force == Fraction(in_force)
    pool = regime(archive_of(2, 10), 0, 10, rng)
    assert pool.share(line=RESERVE) == pytest.approx(float(Fraction(in_force)))
    assert len(np.unique(pool.row[pool.line == RESERVE])) in (0, 10)


@given(st.floats(0, 1))
def test_the_weight_in_force_is_within_a_sixteenth_of_the_one_asked_for(weight: float):
    assert abs(float(Golden(weight=weight).weight_in_force) - weight) <= 1 / 16 + 1e-12


def test_the_copies_cost_the_golden_weight_a_third_of_a_thousandth_of_its_error():
    best = theory.weighted_mean_error(theory.GOLDEN_WEIGHT)
    assert best < theory.weighted_mean_error(float(Golden().weight_in_force)) < 1.0003 * best


# -- several lines


@given(st.integers(1, 4), st.integers(8, 60), st.floats(0, 1), st.lists(st.floats(0.01, 9), min_size=3, max_size=3))
def test_breeding_lines_are_fed_by_weight_each_from_all(
    archive_of: MakeArchive, made: int, n: int, fraction: float, weights: list[float]
):
    archive = archive_of(made, n, lines=3)
    regime = Breed(weights=tuple(weights), real_fraction=fraction)
    pools = [regime(archive, line, n, np.random.default_rng(line)) for line in range(3)]
    real = round(fraction * n)
    for pool in pools:
        counts = [int((pool.line == line).sum()) for line in (REAL, 0, 1, 2)]
        assert counts[0] == real and sum(counts) == n
        for count, weight in zip(counts[1:], weights, strict=True):
            assert abs(count - (n - real) * weight / sum(weights)) < 1
        assert (pool.generation[pool.line >= 0] == made).all()


def test_lines_draw_different_images_and_share_their_real_ones(archive_of: MakeArchive):
    archive = archive_of(1, 40)
    first, second = (Breed()(archive, line, 40, np.random.default_rng(line)) for line in range(2))
    assert first != second
    np.testing.assert_array_equal(first.row[first.line == REAL], second.row[second.line == REAL])


def test_weighted_lines_can_be_a_stage_and_reserve_new_images_afterwards(archive_of: MakeArchive):
    regime = Schedule(first=Breed(weights=(1, 3)), until=2, then=Fresh(real_fraction=0.5))
    assert regime.reserve(10, generations=4, lines=2) == 10
    pool = regime(archive_of(3, 10, reserve=10), 0, 10, np.random.default_rng(0))
    assert pool.row[pool.line == RESERVE].tolist() == [5, 6, 7, 8, 9]


def test_a_weight_is_wanted_for_every_line(archive_of: MakeArchive, rng: np.random.Generator):
    for weights in ((1.0, 2.0, 3.0), (0.0, 0.0)):
        with pytest.raises(ValueError, match="expected 2 weights"):
            Breed(weights=weights)(archive_of(1, 10), 0, 10, rng)


# -- one after the other


@given(PLAIN, PLAIN, st.integers(1, 5), st.integers(0, 7), st.integers(0, 99))
def test_a_schedule_is_its_first_regime_and_then_the_other(
    archive_of: MakeArchive, first: AnyRegime, then: AnyRegime, until: int, made: int, seed: int
):
    archive = archive_of(made, 12)
    regime = Schedule(first=first, until=until, then=then)
    pool = regime(archive, 0, 12, np.random.default_rng(seed))
    alone = (first if made + 1 <= until else then)(archive, 0, 12, np.random.default_rng(seed))
    if made + 1 > until and then.reserve(12, made + 1):  # the rows of the reserve depend on the generations before
        assert (pool.line == alone.line).all() and (pool.generation == alone.generation).all()
    else:
        assert pool == alone


@given(STAGES, st.integers(1, 6), PLAIN, st.integers(0, 8), st.integers(0, 99))
def test_a_story_has_the_same_pools_in_its_shortest_form(
    archive_of: MakeArchive, regime: AnyRegime, at: int, then: AnyRegime, made: int, seed: int
):
    archive = archive_of(made, 12)
    long, short = Schedule(first=regime, until=at, then=then), continued(regime, at, then)
    drawn = [story(archive, 0, 12, np.random.default_rng(seed)) for story in (long, short)]
    assert drawn[0] == drawn[1]


def test_the_same_story_has_one_form_however_it_was_come_by():
    two = continued(Replace(), 5, Mix())
    assert continued(two, 3, Fresh()) == continued(Replace(), 3, Fresh())
    assert continued(two, 8, Fresh()) == Schedule(
        first=Replace(), until=5, then=Schedule(first=Mix(), until=8, then=Fresh())
    )
    assert continued(Replace(), 4, Replace()) == Replace()


# -- rounding, and the turn of a schedule


@pytest.mark.parametrize(("share", "own"), [(0.36, 4), (0.34, 3), (0.35, 4), (0.25, 2)])
def test_shares_are_rounded_to_the_nearest_whole_image(archive_of: MakeArchive, share: float, own: int):
    archive = archive_of(3, 10)

    def pool(regime: Regime) -> Pool:
        return regime(archive, 0, 10, np.random.default_rng(0))

    assert (pool(Mix(real_fraction=share)).line == REAL).sum() == own
    assert (pool(Breed(real_fraction=share)).line == REAL).sum() == own
    assert (pool(Fresh(real_fraction=share)).line == RESERVE).sum() == own
    assert (pool(Contaminate(share=share)).line == 0).sum() == own


def test_what_is_left_over_by_weights_goes_to_those_who_lost_most_by_rounding(archive_of: MakeArchive):
    pool = Breed(weights=(1.0, 2.0, 4.0), real_fraction=0.0)(archive_of(1, 10, lines=3), 0, 10, np.random.default_rng())
    assert [int((pool.line == line).sum()) for line in range(3)] == [1, 3, 6]  # of 1.43, 2.86, 5.71


@pytest.mark.parametrize("weight", [0.56, 0.57, 0.6, 0.64])
def test_golden_never_takes_more_than_eight_copies_of_a_pair(archive_of: MakeArchive, weight: float):
    pool = Golden(weight=weight)(archive_of(2, 5), 0, 5, np.random.default_rng(0))
    assert len(pool) <= 8 * 5
    best = min((Fraction(a, b) for b in range(1, 9) for a in range(b + 1)), key=lambda f: abs(f - Fraction(weight)))
    assert Golden(weight=weight).weight_in_force == best


def test_the_last_generation_of_the_first_regime_is_the_one_named(archive_of: MakeArchive):
    regime = Schedule(first=Replace(), until=3, then=Mix(real_fraction=1.0))
    pools = [regime(archive_of(made, 8), 0, 8, np.random.default_rng(0)) for made in range(5)]
    assert [pool.share(line=REAL) for pool in pools] == [1.0, 0.0, 0.0, 1.0, 1.0]
    assert [regime.description(t) for t in (3, 4)] == ["replace", "replace to generation 3, then fixed real share"]


@pytest.mark.parametrize("at", [4, 5])
def test_a_turn_at_or_before_the_turn_that_is_there_leaves_no_stage_without_a_generation(at: int):
    two = continued(Replace(), 5, Mix())
    assert continued(two, at, Fresh()) == Schedule(first=Replace(), until=at, then=Fresh())
    assert continued(two, at, Replace()) == Replace()


def test_new_images_of_a_later_stage_come_after_all_that_were_used_before(archive_of: MakeArchive):
    regime = Schedule(first=Fresh(real_fraction=0.5), until=3, then=Fresh(real_fraction=0.25))
    used = []
    for made in range(1, 6):
        pool = regime(archive_of(made, 8), 0, 8, np.random.default_rng(0))
        used.append(pool.row[pool.line == RESERVE].tolist())
    assert used == [[0, 1, 2, 3], [4, 5, 6, 7], [8, 9], [10, 11], [12, 13]]
