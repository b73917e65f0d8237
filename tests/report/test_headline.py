from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from imagelab.measurement import Measurement
from imagelab.regimes import REGIMES, Fresh, Mix, Regime, Replace, Schedule
from imagelab.report.headline import facts, finest_band, headline
from imagelab.report.numbers import number
from imagelab.report.run_view import read_run

MakeRun = Callable[..., Path]


@pytest.mark.parametrize(
    ("value", "error", "text"),
    [
        (0.41, 0.1, "0.41 ± 0.10"),
        (6.21, 0.23, "6.2 ± 0.2"),
        (-0.001, 0.2, "0.0 ± 0.2"),
        (-12.34, None, "−12.3"),
        (12345.6, 78.0, "12,346 ± 78"),
        (0.0, None, "0"),
        (0.0, 0.0, "0 ± 0"),
        (2.0, 0.0, "2.00 ± 0"),
        (3.2e-8, 4e-9, "(3.2 ± 0.4) × 10⁻⁸"),
    ],
)
def test_numbers_carry_the_digits_that_their_error_allows(value: float, error: float | None, text: str) -> None:
    assert number(value, error).replace("\u00a0", " ") == text


def test_each_regime_is_told_in_its_own_words(make_run: MakeRun) -> None:
    told = set()
    for kind in ("replace", "accumulate", "mix", "fresh", "unheard-of"):
        run = read_run(make_run(name=kind, generations=2, experiment={"regime": {"kind": kind}}))
        told.add(headline(run).sentence.split(",")[0])
    assert len(told) == 5


def test_every_regime_has_words_of_its_own() -> None:
    words = {kind: regime.fed for kind, regime in REGIMES.items() if kind != "schedule"}
    assert len(set(words.values())) == len(words) and Regime.fed not in words.values()


def test_the_stages_of_a_schedule_are_told_as_far_as_the_run_has_come(make_run: MakeRun) -> None:
    regime = Schedule(first=Replace(), until=2, then=Schedule(first=Mix(), until=3, then=Fresh())).model_dump()

    def told(generations: int) -> str:
        run = make_run(name=f"stages-{generations}", generations=generations, experiment={"regime": regime})
        return headline(read_run(run)).sentence

    early = told(2)
    assert Replace.fed in early and "generation 2" not in early
    assert f"{Replace.fed} to generation 2 and then {Mix.fed}," in told(3)
    assert f"to generation 2 and then {Mix.fed} to generation 3 and then {Fresh.fed}," in told(4)


def test_one_generation_is_never_said_to_have_fed_on_its_own_output(make_run: MakeRun) -> None:
    assert "own output" not in headline(read_run(make_run(generations=1))).sentence


def test_a_change_within_its_error_is_said_to_be_chance(make_run: MakeRun) -> None:
    run = read_run(make_run(generations=1))
    wide = tuple(replace(m, stderr=50.0) if m.name.startswith("freckles") else m for m in run.measurements)
    assert "chance alone could explain it" in " ".join(headline(replace(run, measurements=wide)).remarks)
    assert "chance alone could explain it" not in " ".join(headline(run).remarks)


def test_the_control_arm_is_told_beside_the_main_line(make_run: MakeRun) -> None:
    assert "PPCA gives" in " ".join(headline(read_run(make_run())).remarks)


def test_gained_energy_is_not_sold_as_detail(make_run: MakeRun) -> None:
    run = read_run(make_run(keep=lambda m: m.name.startswith("band_power")))
    louder = tuple(replace(m, value=abs(m.value or 0.0) * 3 + 0.5) for m in run.measurements)
    told = headline(replace(run, measurements=louder))
    assert "noise is fine detail too" in " ".join(told.remarks)


def test_a_count_that_could_not_be_corrected_falls_back_to_the_raw_count(make_run: MakeRun) -> None:
    def keep(m: Measurement) -> bool:
        return m.name != "freckles/corrected" or m.generation < 3

    sentence = headline(read_run(make_run(generations=3, keep=keep))).sentence
    assert "6.7" in sentence and "freckles a face" in sentence


def test_corners_of_the_spectrum_are_not_the_finest_octave(make_run: MakeRun) -> None:
    run = read_run(make_run(generations=1))
    corner = replace(next(m for m in run.series("band_power/8-16")), name="band_power/17-23")
    assert finest_band(replace(run, measurements=(*run.measurements, corner))) == "band_power/8-16"


def test_facts_end_with_the_last_generation_and_hold_real_beside_it(make_run: MakeRun) -> None:
    found = facts(read_run(make_run(generations=3)))
    assert [fact.label for fact in found] == [
        "Freckles a face",
        "Finest detail left",
        "Diversity",
        "Distance from real",
    ]
    assert all(len(fact.beside) == 2 for fact in found)


def test_a_sentence_says_vae_where_the_label_says_more(make_run: MakeRun) -> None:
    told = headline(read_run(make_run(labels=("VAE, fitted prior", "PPCA, k = 128"))))
    assert "the VAE draws" in told.sentence
    alike = headline(read_run(make_run(name="alike", labels=("VAE, fitted prior", "VAE, free"))))
    assert "the VAE (fitted prior) draws" in alike.sentence and "VAE (free) gives" in " ".join(alike.remarks)


def test_a_distance_on_too_few_images_gives_way_to_one_that_can_be_trusted(make_run: MakeRun) -> None:
    run = read_run(make_run(generations=2))
    few = replace(run, measurements=tuple(replace(m, n_fake=300) for m in run.measurements))
    assert [fact.note for fact in facts(run)][-1] == "frechet/randconv-s0"
    assert [fact.note for fact in facts(few)][-1] == "kernel/randconv-s0"


def test_a_count_that_the_blank_control_matches_is_called_artefacts(make_run: MakeRun) -> None:
    run = read_run(make_run(generations=2))
    assert "artefacts" not in headline(run).sentence

    def drowned(line: int) -> str:
        noisy = [
            replace(m, value=9.0) if m.name == "freckles/blank" and m.line == line and m.generation else m
            for m in run.measurements
        ]
        told = headline(replace(run, measurements=tuple(noisy)))
        return told.sentence + " ".join(told.remarks)

    assert "draws no freckles that can be distinguished from its own artefacts (1.55 ± 0.15 a face)" in spoken(
        drowned(0)
    )
    assert "PPCA gives 5.8 ± 0.3 freckles a face, no more than its artefacts do" in spoken(drowned(1))


def spoken(text: str) -> str:
    return text.replace("\u00a0", " ")
