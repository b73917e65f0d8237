"""The 95 % interval of every row of METRICS holds in 90 to 98 of 100 repetitions.

A row that is new is measured here without being named. It fails if its interval does not hold, or if it cannot be
measured on these sets and nobody said why. The larger form is experiments/instruments/coverage.py.
"""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
from scipy.stats import binom

from imagelab import Faces
from imagelab.generators import Gaussian, RunContext
from imagelab.metrics import METRICS, measure_panel
from imagelab.seeds import image_seeds

N, REPEATS, POOL, SEEN = 100, 44, 900, 200
ELSEWHERE = {
    "freckles": "calibrated for larger images; its tests and the larger form measure it",
    "planted": "needs a counter that is fitted to marked pictures; tests/metrics/test_planted.py measures its errors",
    "prdc": "has errors from 200 images on; the larger form measures them",
    "shares": "needs the probes of the attributes, as tails",
    "tails": "calibrated for larger images; its tests and the larger form measure it",
}
"""Rows that these small sets do not allow, and where their errors are tested."""

CHANCE = 0.002  # probability that a sound interval fails this test, for one measurement


def load() -> ModuleType:
    path = Path(__file__).resolve().parents[2] / "experiments" / "instruments" / "coverage.py"
    spec = importlib.util.spec_from_file_location("instrument_coverage", path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


coverage = load()


@pytest.fixture(scope="module")
def measured() -> dict[str, list]:
    """The coverage of every measurement, by kind of set: faces against faces, and PPCA images against faces."""
    faces = Faces(size=32, cache=False).load("train", POOL + SEEN, 7).images
    real = coverage.pool_of(faces[:POOL])
    model = Gaussian(components=48).fit(faces[POOL:], 0, RunContext())
    fake = coverage.pool_of(model.sample(image_seeds(7, "sample", 0, 0, range(POOL))))
    rows = [row for row, metric in METRICS.items() if not metric.needs and row not in ELSEWHERE]
    found = {}
    for kind, pool in (("faces", real), ("ppca", fake)):
        taken = [measure_panel(evidence, rows) for evidence in coverage.drawn(real, pool, N, REPEATS)]
        found[kind] = coverage.judged(kind, taken)
    return found


def faults(each, least: float = coverage.LEAST, most: float = coverage.MOST) -> list[str]:
    """Return what is wrong with a coverage, with a margin for chance; nothing where a reason is stated."""
    held, found = round(each.held * each.repeats), []
    said = f"{each.name}, {each.kind}: held {each.held:.2f}, stated / true {each.ratio}"
    if binom.cdf(held, each.repeats, least) < CHANCE and not coverage.why(each.name, coverage.NARROW):
        found.append(f"too narrow: {said}")
    too_wide = binom.sf(held - 1, each.repeats, most) < CHANCE or (each.ratio is not None and each.ratio > 1.75)
    if too_wide and not coverage.why(each.name, coverage.WIDE):
        found.append(f"too wide: {said}")
    return found


@pytest.mark.parametrize("kind", ["faces", "ppca"])
def test_every_interval_holds_as_often_as_it_says(kind, measured):
    assert [fault for each in measured[kind] for fault in faults(each)] == []


def test_every_row_without_weights_is_measured_or_its_place_is_named(measured):
    stems = {each.name.partition("/")[0] for each in measured["faces"]}
    for row, metric in METRICS.items():
        if not metric.needs and row not in ELSEWHERE:
            assert stems & set(metric.gives or (row,)), f"{row}: no interval was measured; say in ELSEWHERE why"
    assert set(ELSEWHERE) <= set(METRICS)


def test_a_stated_reason_is_needed(measured):
    names = {each.name for kind in measured.values() for each in kind}
    stems = {name.partition("/")[0] for name in names}
    for name in (*coverage.NARROW, *coverage.WIDE):
        assert name in names | stems or name.partition("/")[0] in ELSEWHERE, name


@pytest.mark.parametrize(("factor", "fault"), [(0.5, "too narrow"), (1.0, ""), (2.0, "too wide")])
def test_an_error_that_is_wrong_by_a_factor_of_two_is_found(factor, fault, rng):
    from imagelab.measurement import Measurement

    values = rng.standard_normal(REPEATS)
    taken = [[Measurement("invented", float(value), stderr=factor)] for value in values]
    (each,) = coverage.judged("faces", taken)
    said = faults(each)
    assert [fault] == [each.partition(":")[0] for each in said] if fault else said == []
    assert each.repeats == REPEATS and np.isclose(each.ratio, factor / values.std(ddof=1))
