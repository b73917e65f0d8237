from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from imagelab.measurement import Measurement
from imagelab.metrics import Metric
from imagelab.pool import REAL
from imagelab.regimes import REGIMES, Fresh, Mix, Regime, Replace, Schedule
from imagelab.report.headline import finest_band, headline, sigmas_from_real
from imagelab.report.key_figures import facts
from imagelab.report.numbers import interval, number, too_few
from imagelab.report.run_view import Run, read_run

from .conftest import with_values

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
    run = read_run(make_run(generations=1, keep=lambda m: m.name.startswith("freckles")))
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


@pytest.mark.parametrize(
    ("count", "spread", "is_said"), [(9.0, 3.0, True), (6.7, 3.0, True), (9.0, 4.7, False), (2.0, 3.0, False)]
)
def test_a_mean_count_that_is_no_loss_is_told_with_its_spread(
    count: float, spread: float, is_said: bool, make_run: MakeRun
) -> None:
    run = with_values(read_run(make_run(generations=2)), "freckles/count", {2: count})
    wide = Measurement("freckles/spread", spread, stderr=0.1)
    usual = replace(wide, value=4.6)
    told = headline(replace(run, measurements=(*run.measurements, usual.at(0, REAL), wide.at(2, 0))))
    assert ("the counter finds" in told.sentence) == (count == 2.0)
    assert ("this mean does not show that freckles are kept" in " ".join(told.remarks)) == is_said
    if is_said:
        assert f"standard deviation {interval(wide)}, real {interval(usual)}" in " ".join(told.remarks)


def test_detail_that_the_loop_brings_back_is_not_the_result(make_run: MakeRun) -> None:
    run = read_run(make_run(generations=2, keep=lambda m: not m.name.startswith("freckles")))

    def told(first: float) -> str:
        return headline(with_values(run, "band_power/8-16", {1: first, 2: -0.6})).sentence

    assert "fine detail" in told(-0.5) and "fine detail" in told(-0.7)
    assert "the distance of" in told(-2.0)


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
    run = read_run(make_run(generations=3))
    found = facts(run)
    assert [fact.label for fact in found] == [
        "Freckles found a face",
        "Energy of fine detail",
        "Variety",
        "Distance from real",
    ]
    for fact in found:
        assert list(fact.value) == list(run.generations) and fact.beside[0][1][3] == fact.value[0]
        assert [who for who, _ in fact.beside][-1] == "PPCA, k = 128"
    last = run.at("freckles/count", 3)
    assert last is not None and found[0].value[3] == interval(last)


@pytest.mark.parametrize(("chains", "twins", "said"), [(3, 1, True), (3, 3, False), (1, 1, False)])
def test_a_twin_of_one_chain_is_said_to_be_one_beside_means_of_several(
    chains: int, twins: int, said: bool, make_run: MakeRun
) -> None:
    run = read_run(make_run(generations=2))
    twin = Measurement("freckles/twin", 0.5, stderr=0.1).at(2, 0)
    experiment = {**run.experiment, "replicates": chains, "blank_twins": twins}
    beside = facts(replace(run, experiment=experiment, measurements=(*run.measurements, twin)))[0].beside
    assert ("in a loop without freckles" + " (one chain)" * said) in [words for words, _ in beside]


def test_a_sentence_says_vae_where_the_label_says_more(make_run: MakeRun) -> None:
    told = headline(read_run(make_run(labels=("VAE, fitted prior", "PPCA, k = 128"))))
    assert "the VAE draws" in told.sentence
    alike = headline(read_run(make_run(name="alike", labels=("VAE, fitted prior", "VAE, free"))))
    assert "the VAE (fitted prior) draws" in alike.sentence and "VAE (free) gives" in " ".join(alike.remarks)
    latent = headline(
        read_run(make_run(name="latent", labels=("latent diffusion", "latent diffusion, first stage kept")))
    )
    assert "latent diffusion model (first stage kept) gives" in " ".join(latent.remarks)


def test_a_distance_on_too_few_images_gives_way_to_one_that_can_be_trusted(make_run: MakeRun) -> None:
    run = read_run(make_run(generations=2))
    few = replace(run, measurements=tuple(replace(m, n_fake=300) for m in run.measurements))
    assert facts(run)[-1].name == "frechet/randconv-s0"
    assert facts(few)[-1].name == "kernel/randconv-s0"


def test_a_count_that_the_blank_control_matches_is_said_to_be_no_more(make_run: MakeRun) -> None:
    run = read_run(make_run(generations=2))
    assert "no more than" not in headline(run).sentence

    def drowned(line: int) -> str:
        noisy = [
            replace(m, value=9.0) if m.name == "freckles/blank" and m.line == line and m.generation else m
            for m in run.measurements
        ]
        told = headline(replace(run, measurements=tuple(noisy)))
        return told.sentence + " ".join(told.remarks)

    vae, ppca = (run.at("freckles/count", 2, line) for line in (0, 1))
    assert vae and ppca
    few = "no more than on faces without freckles"
    assert spoken(f"finds {interval(vae)} freckles a face, {few} (9.00 ± ") in spoken(drowned(0))
    assert spoken(f"PPCA gives {interval(ppca)} freckles a face, {few}") in spoken(drowned(1))


def spoken(text: str) -> str:
    return text.replace("\u00a0", " ")


# -- a sentence changes at 1.96 standard errors, and not before


def text_of(view: Run, **values: tuple[float, float]) -> str:
    """Headline and remarks where the last generation of the main line, or ``real``, has these values and errors."""

    def changed(m: Measurement) -> Measurement:
        part = m.name.removeprefix("freckles/") if m.name.startswith("freckles/") else ""
        key = "real" if part == "count" and m.generation == 0 else part if m.generation == view.last else ""
        if key not in values or m.line > 0:
            return m
        value, error = values[key]
        return replace(m, value=value, stderr=error, between=None)

    found = headline(replace(view, measurements=tuple(map(changed, view.measurements))))
    return spoken(" ".join((found.sentence, *found.remarks)))


@pytest.mark.parametrize(("errors", "chance"), [(1.9, True), (2.0, False)])
def test_chance_is_ruled_out_by_the_errors_of_both_values_together(errors: float, chance: bool, make_run: MakeRun):
    view = read_run(make_run(generations=2, keep=lambda m: m.name.startswith("freckles")))
    said = text_of(view, real=(9.0, 0.3), count=(9.0 - 0.5 * errors, 0.4))
    assert ("chance alone could explain it" in said) == chance
    assert f"The difference from real is {errors:.{1 if chance else 0}f} standard errors" in said


@pytest.mark.parametrize(("errors", "drowned"), [(1.9, True), (2.0, False)])
def test_a_count_within_the_errors_of_the_blank_control_is_no_more_than_it(
    errors: float, drowned: bool, make_run: MakeRun
):
    view = read_run(make_run(generations=2))
    said = text_of(view, count=(1.0 + 0.5 * errors, 0.3), blank=(1.0, 0.4))
    assert ("no more than on faces without freckles" in said) == drowned


def test_limits_of_a_systematic_error_count_on_the_side_of_real_images(make_run: MakeRun):
    run = read_run(make_run(generations=2))
    real, last = Measurement("freckles/net", 5.6, stderr=0.1), Measurement("freckles/net", 3.6, stderr=0.1)

    def sigmas(low: float, high: float) -> float | None:
        limited = replace(last, low=low, high=high).at(2, 0)
        return sigmas_from_real(
            replace(run, measurements=(*run.measurements, real.at(0, REAL), limited)), "freckles/net"
        )

    assert sigmas(3.1, 6.0) == pytest.approx(2.0 / math.hypot(2.4 / 1.96, 0.1), rel=1e-3)
    assert sigmas(0.0, 3.8) == pytest.approx(2.0 / math.hypot(0.1, 0.2 / 1.96), rel=0.01)


def test_the_interval_of_real_images_is_1_96_standard_errors_wide_to_either_side():
    assert spoken(interval(Measurement("m", 10.0, stderr=1.0))) == "10.0 ± 2.0"
    assert spoken(interval(Measurement("m", 1000.0, stderr=100.0))) == "1,000 ± 196"
    assert spoken(interval(Measurement("m", 10.0))) == "10.0"


def test_decibels_are_written_as_a_share_with_the_interval_of_the_share(make_run: MakeRun):
    view = read_run(make_run(keep=lambda m: m.name.startswith("band_power"), generations=2))
    rows = tuple(
        replace(m, value=-3.0, stderr=0.5, between=None) if m.name == "band_power/8-16" and m.generation == 2 else m
        for m in view.measurements
    )
    found = headline(replace(view, measurements=rows))
    half = 1.96 * 0.5 * 50.12 * math.log(10) / 10
    assert round(half) == 11 and "keeps 50 ± 11 % of the energy" in spoken(found.sentence)
    assert spoken(found.remarks[0]) == "That is −3.0 ± 1.0 dB at 8–16 cycles per image."


def test_a_measurement_is_on_too_few_images_below_what_its_row_trusts(make_run: MakeRun):
    run = read_run(make_run(generations=1))
    for n, few in ((999, True), (1000, False), (0, False)):
        assert too_few(run, Measurement("frechet/randconv-s0", 1.0, n_fake=n)) == few
    assert not too_few(run, Measurement("of my own", 1.0, n_fake=1))


def test_an_arm_above_its_artefacts_gets_no_remark_about_them(make_run: MakeRun):
    found = headline(read_run(make_run(generations=2)))
    assert "PPCA gives" in " ".join(found.remarks) and "no more than" not in " ".join(found.remarks)


def test_what_was_not_measured_is_left_out_of_remarks_and_figures(make_run: MakeRun):
    without_control = read_run(make_run("a-00000000", keep=lambda m: m.name != "freckles/blank"))
    assert "freckle-free" not in " ".join(headline(without_control).remarks)
    assert [who for who, _ in facts(without_control)[0].beside] == ["real images", "PPCA, k = 128"]
    without_arm = read_run(make_run("b-00000000", keep=lambda m: m.line <= 0))
    assert not any("PPCA" in who for fact in facts(without_arm) for who, _ in fact.beside)


def test_numbers_up_to_nine_million_are_written_out():
    assert (number(9_876_543.0), number(0.00123)) == ("9,876,543", "0.00123")
    assert spoken(number(12_345_678.0)) == "1.23 × 10⁷" and spoken(number(0.000123)) == "1.23 × 10⁻⁴"


@pytest.mark.parametrize(
    ("errors", "words"), [(999.6, "is 1,000 standard"), (999.0, "is 999 standard"), (2000.0, "is over 1,000")]
)
def test_a_difference_beyond_a_thousand_errors_is_not_counted_further(errors: float, words: str, make_run: MakeRun):
    said = text_of(read_run(make_run(generations=2)), real=(19.0, 0.003), count=(19.0 - 0.005 * errors, 0.004))
    assert words in said


def test_a_run_with_other_metrics_alone_reports_the_first_and_those_of_ones_own_before_ours(make_run: MakeRun):
    run = read_run(make_run(generations=2, keep=lambda m: m.name in ("pixel_variance", "hf_ratio")))
    assert "metric “Share of fine detail”" in headline(run).sentence
    text = ("Saturation", "of full scale", "How strong.", "Which.")
    own = Metric(lambda evidence: [], *text, better="two-sided", least=9, name="sat")
    rows = [Measurement("sat", 0.4 + 0.1 * (g == 0), "of full scale", g, -(g == 0), stderr=0.01) for g in (0, 2)]
    told = {"own": [{"family": "metrics", "name": "sat", "row": own.as_data()}]}
    more = tuple(replace(m, better="two-sided") for m in rows)
    found = headline(replace(run, measurements=(*run.measurements, *more), provenance={**run.provenance, **told}))
    end = "0.400 ± 0.020 of full scale in the metric “Saturation”; real faces have 0.500 ± 0.020."
    assert spoken(found.sentence).endswith(end)
    assert found.remarks[0] == "How strong."


def test_the_headline_tells_what_is_found_before_and_after_the_loop_and_where_there_is_nothing(make_run: MakeRun):
    run = read_run(make_run(generations=2))
    told = headline(run)
    first, last, real = run.at("freckles/count", 1), run.at("freckles/count", 2), run.real("freckles/count")
    assert first and last and real
    assert f"the counter finds {interval(last)} freckles a face on the faces that the VAE draws" in told.sentence
    assert told.sentence.endswith(
        f"; after the first training it found {interval(first)}, on real faces {interval(real)}."
    )
    blank = run.at("freckles/blank", 2)
    assert blank and f"It also finds {interval(blank)} on freckle-free faces copied by the VAE." in told.remarks
    twin = replace(blank, name="freckles/twin", value=0.77)
    with_twin = headline(replace(run, measurements=(*run.measurements, twin)))
    assert "0.77" in with_twin.remarks[1] and "the same loop trained on faces without freckles" in with_twin.remarks[1]


def test_a_measurement_within_chance_never_heads_a_page_while_another_is_beyond_it(make_run: MakeRun):
    run = read_run(make_run(generations=3, keep=lambda m: m.name.startswith(("freckles", "band_power", "frechet"))))
    assert "the counter finds" in headline(run).sentence

    def same(*families: str) -> Run:
        def changed(m: Measurement) -> Measurement:
            real = run.real(m.name)
            hit = m.generation == 3 and m.name.startswith(families) and real is not None
            return replace(m, value=real.value) if hit and real is not None else m

        return replace(run, measurements=tuple(map(changed, run.measurements)))

    assert "fine detail" in headline(same("freckles")).sentence
    found = headline(same("freckles", "band_power"))
    assert "the distance of the VAE’s faces" in found.sentence and found.telling
    nothing = headline(same("freckles", "band_power", "frechet"))
    assert "the counter finds" in nothing.sentence and "chance alone could explain it" in " ".join(nothing.remarks)


def test_gained_energy_does_not_head_a_page_while_a_distance_is_beyond_chance(make_run: MakeRun):
    run = read_run(make_run(keep=lambda m: m.name.startswith(("band_power", "frechet"))))
    louder = (replace(m, value=9.0) if m.name == "band_power/8-16" and m.generation else m for m in run.measurements)
    assert "the distance of the VAE’s faces" in headline(replace(run, measurements=tuple(louder))).sentence


def test_an_interval_with_uneven_sides_is_written_with_its_two_ends_and_no_more_digits_than_they_have():
    uneven = Measurement("m", 1.7, stderr=0.2, low=1.36, high=2.65)
    assert interval(uneven) == "1.7 (1.4 to 2.6)"
    assert interval(replace(uneven, value=0.6, low=-0.193, high=3.01)) == "0.6 (−0.2 to 3.0)"
