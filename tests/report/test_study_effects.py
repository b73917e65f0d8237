"""The effects of a study: what is paired, and that the intervals cover as often as they say."""

from __future__ import annotations

from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from scipy.special import stdtrit

from imagelab.report.study_effects import StudyValues, effects, mean_of, mixed, over_seeds, over_trainings

STUDIES = 12_000
MEANS = np.array([0.0, 1.0, 2.0, 4.0])
MAIN = np.array([-0.5, -0.5, 0.5, 0.5])


def simulated(
    rng: np.random.Generator, seeds: int, chains: int, scatter: tuple[float, ...]
) -> tuple[np.ndarray, np.ndarray]:
    """Return (true values of every cell, float [N,G,S]; single trainings, float [N,G,S,R])."""
    shape = STUDIES, len(MEANS), seeds
    cells = MEANS[:, None] + rng.normal(0, 2, (STUDIES, 1, seeds)) + rng.normal(0, 0.3, shape)
    return cells, cells[..., None] + rng.normal(size=(*shape, chains)) * np.array(scatter)[:, None, None]


def covered(differences: np.ndarray, truth: np.ndarray | float, half: np.ndarray) -> float:
    return float((np.abs(differences.mean(axis=-1) - truth) <= half).mean())


@pytest.mark.parametrize("seeds", [2, 3, 5])
@pytest.mark.parametrize("scatter", [(1, 1, 1, 1), (0.3, 0.3, 2, 2)])
def test_the_interval_between_seeds_covers_whatever_scatters_how(
    rng: np.random.Generator, seeds: int, scatter: tuple[float, ...]
):
    _, trainings = simulated(rng, seeds, 1, scatter)
    differences = np.einsum("g,ngs->ns", MAIN, trainings[..., 0])
    assert 0.94 < covered(differences, float(MAIN @ MEANS), over_seeds(differences)) < 0.96


@pytest.mark.parametrize(("seeds", "chains"), [(1, 3), (1, 5), (3, 3)])
@pytest.mark.parametrize("scatter", [(1, 1, 1, 1), (0.3, 0.3, 2, 2)])
def test_the_interval_between_trainings_covers_the_effect_on_these_real_images(
    rng: np.random.Generator, seeds: int, chains: int, scatter: tuple[float, ...]
):
    cells, trainings = simulated(rng, seeds, chains, scatter)
    spread = trainings.std(axis=-1, ddof=1)
    error, df = over_trainings(MAIN, spread, np.full(spread.shape, chains - 1.0), np.full(spread.shape, chains))
    differences, here = (np.einsum("g,ngs->ns", MAIN, each) for each in (trainings.mean(axis=-1), cells))
    assert 0.94 < covered(differences, here.mean(axis=-1), stdtrit(df, 0.975) * error) < 0.975


def test_the_mixed_model_covers_only_where_all_settings_scatter_alike(rng: np.random.Generator):
    loud, truth = np.array([0, 0, -1.0, 1.0]), 2.0
    for scatter, low, high in (((1, 1, 1, 1), 0.94, 0.96), ((0.3, 0.3, 2, 2), 0.80, 0.90)):
        values = simulated(rng, 3, 1, scatter)[1][..., 0]
        assert low < covered(np.einsum("g,ngs->ns", loud, values), truth, mixed(values, loud)) < high


def test_the_mixed_model_is_least_squares_with_a_term_for_each_seed(rng: np.random.Generator):
    values, weights = rng.normal(size=(4, 3)), np.array([-1.0, 0, 0.25, 0.75])
    design = np.zeros((12, 7))
    for row in range(12):
        design[row, row // 3] = design[row, 4 + row % 3] = 1
    fitted, *_ = np.linalg.lstsq(design, values.ravel(), rcond=None)
    variance = ((values.ravel() - design @ fitted) ** 2).sum() / (12 - 6)
    contrast = np.concatenate([weights, np.zeros(3)])
    error = np.sqrt(variance * contrast @ np.linalg.pinv(design.T @ design) @ contrast)
    assert mixed(values, weights) == pytest.approx(stdtrit(6, 0.975) * error)


def study_of(axes: dict[str, tuple[str, ...]], rows: list[tuple[str | None, ...]], seeds: tuple[str, ...]) -> Any:
    """Return what of a study the effects need."""
    points = [SimpleNamespace(row=row, seed=seed) for row in rows for seed in seeds]
    return SimpleNamespace(axes=axes, points=points, configuration=lambda point: point.row)


def values_of(rows: list[tuple[str | None, ...]], table: Sequence[Sequence[float]], chains: int = 1) -> StudyValues:
    value = np.array(table, float)
    small = np.full(value.shape, 0.1)
    seeds = tuple(str(k) for k in range(value.shape[1]))
    return StudyValues(tuple(rows), seeds, value, small, small, np.full(value.shape, 2.0), np.full(value.shape, chains))


GRID: list[tuple[str | None, ...]] = [("a", "x"), ("a", "y"), ("b", "x"), ("b", "y")]
AXES = {"kind": ("a", "b"), "size": ("x", "y")}


def test_what_a_seed_does_to_all_points_alike_cancels():
    table = [[0, 100, -50], [1, 101, -49], [3, 103, -47], [4, 104.5, -46]]
    kind, size = effects(study_of(AXES, GRID, ("0", "1", "2")), values_of(GRID, table))
    assert (kind.base, kind.value, kind.pairs, kind.planned, kind.choices) == ("a", "b", 6, 6, 2)
    assert kind.estimated.value == pytest.approx(np.mean([3, 3.25, 3]))
    assert kind.estimated.seeds == pytest.approx(stdtrit(2, 0.975) * np.std([3, 3.25, 3], ddof=1) / 3**0.5)
    assert size.estimated.value == pytest.approx(np.mean([1, 1.25, 1])) and size.estimated.scope == "seeds"
    assert (kind.lowest, kind.highest) == (pytest.approx(3), pytest.approx(np.mean([3, 3.5, 3])))
    assert kind.ratio == pytest.approx(kind.estimated.value / 0.1) and not kind.own
    assert kind.p is not None and size.p is not None and kind.p < size.p < 0.05


def test_incomplete_pairs_are_left_out_so_that_every_seed_averages_the_same():
    missing = np.nan
    study = study_of(AXES, GRID, ("0", "1", "2"))
    kind, size = effects(study, values_of(GRID, [[0, 100, -50], [1, 101, -49], [3, 103, -47], [9, 9, missing]]))
    assert (kind.pairs, kind.planned, kind.choices) == (3, 6, 1)
    assert kind.estimated.value == pytest.approx(3) and kind.estimated.used == 3
    assert size.estimated.value == pytest.approx(1)
    second = [[0, missing], [1, missing], [3, missing], [missing, 9]]  # only one pair is there, at the first seed
    kind, size = effects(study_of(AXES, GRID, ("0", "1")), values_of(GRID, second))
    assert [(each.pairs, each.planned, each.estimated.scope) for each in (kind, size)] == [(1, 4, "images")] * 2
    unbegun = [[0, missing], [1, missing], [3, missing], [4, missing]]
    assert [each.pairs for each in effects(study_of(AXES, GRID, ("0", "1")), values_of(GRID, unbegun))] == [2, 2]
    nothing = [[0, missing, -50], [missing, missing, missing], [missing, 103, missing], [1, 9, 9]]
    assert [each.axis for each in effects(study, values_of(GRID, nothing))] == ["size"]


def test_a_setting_that_only_one_kind_has_is_averaged_over_for_the_kinds_and_compared_within_its_own():
    rows: list[tuple[str | None, ...]] = [("replace", None), ("mix", "0.1"), ("mix", "0.5")]
    study = study_of({"kind": ("replace", "mix"), "share": ("0.1", "0.5")}, rows, ("0", "1"))
    kind, share = effects(study, values_of(rows, [[0, 10], [1, 11], [3, 13]]))
    assert (kind.value, kind.estimated.value, kind.pairs) == ("mix", 2.0, 2)
    assert (share.base, share.value, share.estimated.value) == ("0.1", "0.5", 2.0)


def test_an_interval_holds_as_many_errors_as_were_repeated_and_no_more():
    alone = study_of(AXES, GRID, ("0",))
    table = [[0], [1], [3], [4]]
    single = effects(alone, values_of(GRID, table))[0]
    assert single.estimated.scope == "images" and single.p is None and single.mixed is None
    assert single.estimated.images == pytest.approx(1.96 * 0.1, rel=1e-3)
    chains = effects(alone, values_of(GRID, table, chains=3))[0]
    assert chains.estimated.scope == "trainings" and chains.own and chains.p is not None
    assert chains.estimated.trainings == pytest.approx(stdtrit(8, 0.975) * 0.1 / 3**0.5)
    assert mean_of(values_of(GRID, table), np.array([1.0, 0, 0, 0]), [0]).value == 0
