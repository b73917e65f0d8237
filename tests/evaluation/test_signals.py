from __future__ import annotations

import math
from dataclasses import replace

import pytest

from imagelab.evaluation.signals import signals
from imagelab.measurement import Measurement
from imagelab.pool import REAL


def series(name: str, real: float, values: list[float], error: float = 0.01, n: int = 1000) -> list[Measurement]:
    """One measurement of real images, then one a generation."""
    start = Measurement(name, real, line=REAL, stderr=error, n_fake=n)
    return [start, *(Measurement(name, v, generation=g, stderr=error, n_fake=n) for g, v in enumerate(values, 1))]


def test_gained_energy_counts_as_lost_detail():
    lost, gained = (signals(series("band_power/16-32", 0.0, [sign * 4.0]), 0, "quality")[0] for sign in (-1, 1))
    assert lost.lost[1] == pytest.approx(1 - 10**-0.4)
    assert gained.lost == lost.lost


def test_the_finest_octave_is_used_and_not_the_corners():
    rows = [
        *series("band_power/8-16", 0.0, [0.0]),
        *series("band_power/16-32", 0.0, [-6.0]),
        *series("band_power/corners", 0.0, [-20.0]),
    ]
    assert [s.key for s in signals(rows, verdict="quality")] == ["band_power/16-32"]


def test_rare_attributes_are_summed_and_their_error_includes_drift():
    rows = [*series("tails/scar", 0.02, [0.01, 0.0], 0.004), *series("tails/bindi", 0.02, [0.02, 0.0], 0.004)]
    (rare,) = signals([*rows, *series("tails/glasses", 0.1, [0.0, 0.0], 0.004)], verdict="quality")
    assert rare.key == "tails/rare" and rare.lost == {1: pytest.approx(0.25), 2: pytest.approx(1.0)}
    measured = math.sqrt(4 * 0.004**2) / 0.04
    assert rare.error[1] == pytest.approx(measured)
    assert rare.error[2] == pytest.approx(math.hypot(measured, math.sqrt(2 * 0.02 * 0.98 / 1000) / 0.04))


def test_signals_come_in_the_order_of_a_table_whatever_was_measured_first():
    names = ["vendi/imagelab-ssl-v1", "pixel_variance", "prdc/recall", "band_power/8-16", "freckles/count", "tails/hat"]
    rows = [m for name in names for m in series(name, 0.02 if name == "tails/hat" else 1.0, [0.5], error=0.001)]
    assert [signal.key for signal in signals(rows, verdict="quality")] == ["tails/rare", *reversed(names[:-1])]


def test_an_attribute_is_rare_below_one_in_twenty():
    rows = [*series("tails/scar", 0.049, [0.0]), *series("tails/hat", 0.051, [0.051]), *series("tails/no", 0.0, [0.0])]
    (rare,) = signals(rows, verdict="quality")
    assert rare.lost[1] == 1.0


def test_against_generation_1_the_start_is_generation_1_with_its_error():
    rows = series("pixel_variance", 1.0, [0.5, 0.4], error=0.01)
    (signal,) = signals(rows)
    assert signal.lost == {2: pytest.approx(0.2)}
    assert signal.error[2] == pytest.approx(math.hypot(0.01, 0.8 * 0.01) / 0.5)
    (decibels,) = signals(series("band_power/16-32", 0.0, [-3.0, -7.0]))
    assert decibels.lost == {2: pytest.approx(1 - 10**-0.4)}


def test_rare_attributes_are_those_rare_in_real_images_and_are_compared_with_generation_1():
    rows = [*series("tails/scar", 0.04, [0.08, 0.02], 0.001), *series("tails/hat", 0.06, [0.01, 0.0], 0.001)]
    (rare,) = signals(rows)
    assert rare.lost == {2: pytest.approx(0.75)}


def test_nothing_can_be_lost_of_what_was_not_there():
    rows = series("freckles/count", 5.0, [0.015, 0.0])
    assert signals(rows) == () and len(signals(rows, verdict="quality")) == 1
    assert len(signals(series("freckles/count", 5.0, [0.025, 0.0]))) == 1
    assert signals(series("tails/scar", 0.04, [0.015, 0.0], error=0.01)) == ()


def test_a_value_without_an_error_is_left_out():
    rows = series("pixel_variance", 1.0, [0.5, 0.4])
    (signal,) = signals([*rows[:2], replace(rows[2], stderr=None)], verdict="quality")
    assert set(signal.lost) == {1}


def test_replicates_are_recognised_and_their_spread_replaces_the_drift():
    rows = series("tails/scar", 0.02, [0.02, 0.01], 0.001)
    spread = [replace(m, between=0.003, between_df=2, chains=3) if m.generation else m for m in rows]
    (one,), (several,) = signals(rows, verdict="quality"), signals(spread, verdict="quality")
    assert several.replicated and not one.replicated and one.df[2] is None
    own = math.hypot(0.001, 0.003 / math.sqrt(3))
    assert several.error[2] == pytest.approx(math.hypot(own, 0.001) / 0.02) and (several.df[2] or 0) > 2
    mixed = [replace(m, between=None, chains=1) if m.generation == 1 else m for m in spread]
    assert not signals(mixed, verdict="quality")[0].replicated


def test_a_signal_knows_its_smallest_number_of_images():
    rows = series("vendi", 1.0, [0.9, 0.8])
    (signal,) = signals([*rows[:2], replace(rows[2], n_fake=77)], verdict="quality")
    assert signal.images == 77 and signal.sigmas(9) == -math.inf


def test_an_attribute_that_was_not_measured_at_the_start_is_left_out():
    late = [m for m in series("tails/hat", 0.03, [0.03, 0.01], 0.001) if m.generation != 1]
    (rare,) = signals([*series("tails/scar", 0.04, [0.04, 0.02], 0.001), *late])
    assert rare.lost == {2: pytest.approx(0.5)}
