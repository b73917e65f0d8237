"""What is drawn is what was measured: curves, bands, floors, theory, dots, bars and charts are read back."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection, PolyCollection
from matplotlib.colors import same_color, to_rgb
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Rectangle
from PIL import Image
from pptx import Presentation
from pptx.enum.dml import MSO_FILL

from imagelab.evaluation.chains import repetition, retraining_ratio
from imagelab.evaluation.signals import signals
from imagelab.measurement import Measurement
from imagelab.pool import REAL
from imagelab.report import curves, write_comparison, write_report
from imagelab.report.animate import BAR, FOOT, HEIGHT, MARGIN, TRACK, WIDTH, animate
from imagelab.report.blur_ruler import ruler
from imagelab.report.numbers import interval
from imagelab.report.palette import LIGHT
from imagelab.report.run_view import Run, read_run
from imagelab.report.slides import write_slides
from imagelab.report.spectra import spectra_curve
from imagelab.report.stage_bar import ribbons
from imagelab.report.survival import survival
from imagelab.theory import wright_fisher_bands

MakeRun = Callable[..., Path]
Z = 1.959964  # two-sided 95 % of a normal distribution


@pytest.fixture
def drawn(monkeypatch: pytest.MonkeyPatch) -> list[Figure]:
    """Every figure that is written while a test runs, as matplotlib holds it."""
    figures: list[Figure] = []
    write = Figure.savefig

    def keep(self: Figure, *args: Any, **settings: Any) -> None:
        figures.append(self)
        write(self, *args, **settings)

    monkeypatch.setattr(Figure, "savefig", keep)
    return figures


def points(line: Line2D) -> list[tuple[float, float]]:
    return [(float(x), float(y)) for x, y in np.asarray(line.get_xydata())]


def level(line: Line2D) -> list[float]:
    """Heights of a straight line's two ends."""
    return [y for _, y in points(line)]


def edges(area: PolyCollection) -> dict[float, tuple[float, float]]:
    """x -> (low, high) of a filled band."""
    corners = np.asarray(area.get_paths()[0].vertices)
    return {
        float(x): (corners[corners[:, 0] == x, 1].min(), corners[corners[:, 0] == x, 1].max()) for x in corners[:, 0]
    }


def areas(axes: Axes, colour: str | None = None) -> list[dict[float, tuple[float, float]]]:
    """The filled bands of a plot, those of one colour."""
    found = [c for c in axes.collections if isinstance(c, PolyCollection) and not isinstance(c, LineCollection)]
    return [
        edges(c) for c in found if colour is None or same_color(np.asarray(c.get_facecolor())[0][:3], to_rgb(colour))
    ]


def of_colour(axes: Axes, colour: str) -> list[Line2D]:
    return [line for line in axes.lines if same_color(line.get_color(), colour)]


def measured(run: Run, name: str, line: int = 0, real: bool = True) -> list[Measurement]:
    first = run.real(name) if real else None
    return [*([first] if first else []), *run.series(name, line)]


def values(rows: Sequence[Measurement]) -> list[tuple[float, float]]:
    return [(m.generation, m.value) for m in rows if m.value is not None]


def half_of(m: Measurement) -> float:
    """Half the width of the interval of a repetition; of real images, that of other images."""
    assert m.stderr is not None
    return Z * m.stderr if m.between is None else Z * 2**0.5 * math.hypot(m.between / m.chains**0.5, m.stderr)


def intervals(rows: Sequence[Measurement]) -> dict[float, Any]:
    """Generation -> the ends of the 95 % interval."""
    known = [(m.generation, m.value, half_of(m)) for m in rows if m.value is not None and m.stderr is not None]
    return {generation: pytest.approx((value - half, value + half), rel=1e-3) for generation, value, half in known}


# -- curves


def test_every_line_is_drawn_through_its_own_values_with_its_95_percent_band(make_run: MakeRun, drawn: list[Figure]):
    run = read_run(make_run(generations=3))
    curves.lines(run, ["freckles/corrected"], "a", "freckles")
    (axes,) = drawn[0].axes
    for line in (0, 1):
        colour = curves.line_colour(line)
        (curve,) = of_colour(axes, colour)
        assert points(curve) == values(measured(run, "freckles/corrected", line))
        assert areas(axes, colour) == [intervals(measured(run, "freckles/corrected", line))]
    assert axes.get_ylabel() == "freckles" and "generation" in axes.get_xlabel()


def test_where_an_error_is_missing_the_band_is_broken(make_run: MakeRun, drawn: list[Figure]):
    run = read_run(make_run(generations=5))
    unknown = {1, 3}
    rows = tuple(replace(m, stderr=None, between=None) if m.generation in unknown else m for m in run.measurements)
    curves.lines(replace(run, measurements=rows), ["freckles/corrected"], "a", "freckles")
    (axes,) = drawn[0].axes
    (band,) = [
        each for each in axes.collections if isinstance(each, PolyCollection) and _is(each, curves.line_colour(0))
    ]
    ends = [np.asarray(path.vertices)[:, 0] for path in band.get_paths()]
    spans = [(x.min(), x.max()) for x in ends if x.max() > x.min()]
    assert spans == [(4.0, 5.0)]
    bars = [each for each in axes.collections if isinstance(each, LineCollection) and _is(each, curves.line_colour(0))]
    assert sorted(float(np.asarray(path.vertices)[0, 0]) for each in bars for path in each.get_paths()) == [0.0, 2.0]


def _is(drawn_area: PolyCollection | LineCollection, colour: str) -> bool:
    own = drawn_area.get_edgecolor() if isinstance(drawn_area, LineCollection) else drawn_area.get_facecolor()
    return same_color(np.asarray(own)[0][:3], colour)


def test_the_floor_is_the_real_value_and_its_interval(make_run: MakeRun, drawn: list[Figure]):
    run = read_run(make_run(generations=2))
    curves.lines(run, ["frechet/randconv-s0"], "a", "distance")
    (axes,) = drawn[0].axes
    real = run.real("frechet/randconv-s0")
    assert real is not None and real.value is not None and real.stderr is not None
    line, *others = of_colour(axes, curves.INK)
    assert level(line) == [real.value] * 2 and not others and line.get_linestyle() == "--"
    (span,) = [patch for patch in axes.patches if isinstance(patch, Rectangle)]
    low, high = span.get_y(), span.get_y() + span.get_height()
    assert (low, high) == pytest.approx((real.value - Z * real.stderr, real.value + Z * real.stderr), rel=1e-3)


def test_theory_control_and_repeats_stand_at_their_own_numbers(make_run: MakeRun, drawn: list[Figure]):
    run = read_run(make_run(generations=3))
    curves.lines(run, ["pixel_variance"], "a", "ratio")
    (theory,) = of_colour(drawn[-1].axes[0], curves.MUTED)
    assert points(theory) == values(run.series("pixel_variance", predicted=True)) and theory.get_linestyle() == "--"
    curves.lines(run, ["freckles/count"], "b", "freckles", "freckles/blank")
    (control,) = of_colour(drawn[-1].axes[0], curves.MUTED)
    assert points(control) == values(measured(run, "freckles/blank")) and control.get_linestyle() == ":"
    names = [f"frechet/randconv-s{k}" for k in range(3)]
    curves.lines(run, names, "c", "distance")
    found = of_colour(drawn[-1].axes[0], curves.line_colour(0))
    assert [points(line) for line in found] == [values(measured(run, name)) for name in (*names[1:], names[0])]
    assert found[0].get_linewidth() < found[-1].get_linewidth()


def test_a_family_is_drawn_curve_by_curve_with_bands_and_open_markers_where_rounding_rules(
    make_run: MakeRun, drawn: list[Figure]
):
    folder = make_run(generations=3)
    with (folder / "metrics.jsonl").open("a") as file:
        for generation, above in enumerate((20.0, 9.0, 5.9, 3.0)):
            m = Measurement("band_headroom/8-16", above, "dB", better="none")
            file.write(m.at(generation, 0 if generation else REAL).to_json() + "\n")
    run = read_run(folder)
    names = ["band_power/1-2", "band_power/4-8", "band_power/8-16"]
    curves.bands_curve(run, names, "curve-band_power", "dB")
    (axes,) = drawn[0].axes
    zero, *rest = axes.lines
    assert level(zero) == [0, 0]
    solid = [line for line in rest if line.get_linestyle() == "-"]
    hollow = [line for line in rest if line.get_linestyle() == "None"]
    assert [points(line) for line in solid] == [values(measured(run, name)) for name in names]
    assert areas(axes) == [intervals(measured(run, name)) for name in names]
    assert [points(line) for line in hollow] == [[], [], values(run.series("band_power/8-16")[1:])]
    assert all(line.get_markerfacecolor() == curves.PAPER for line in hollow)
    assert len({line.get_color() for line in solid}) == 3


def test_a_spectrum_is_drawn_at_its_frequencies_with_prediction_and_rounding(make_run: MakeRun, drawn: list[Figure]):
    run = read_run(make_run(generations=2))
    predicted = np.linspace(3, 1, 20)
    spectra_curve(run, "a", {1: predicted})
    (axes,) = drawn[0].axes
    real, first, second, dashed, rounding = axes.lines
    names = [f"radial_power/{radius:02d}" for radius in range(1, 17)]
    for line, generation in ((real, 0), (first, 1), (second, 2)):
        found = [run.at(name, generation) if generation else run.real(name) for name in names]
        assert points(line) == [(radius, m.value) for radius, m in enumerate(found, 1) if m]
    assert points(dashed) == [(radius, predicted[radius]) for radius in range(1, 17)] and dashed.is_dashed()
    floor = run.real("spectrum/floor")
    assert floor is not None and level(rounding) == [floor.value] * 2
    assert (axes.get_xscale(), axes.get_yscale()) == ("log", "log") and axes.get_xlim() == (1, 16)
    assert {text.get_text() for text in axes.texts} >= {"real", "gen. 1", "gen. 2", "perfect net, gen. 1"}


def test_names_stand_in_the_order_of_the_ends_and_as_near_to_them_as_others_allow(drawn: list[Figure]):
    _, axes = curves.new_axes("unit", 3)
    axes.set_ylim(0, 1)
    curves.end_labels(axes, [(0.9, "high", curves.INK), (0.2, "low", curves.INK), (0.21, "close", curves.MUTED)])
    places = {text.get_text(): text.get_position()[1] for text in axes.texts}
    assert (places["low"], places["high"]) == pytest.approx((0.2, 0.9))
    assert places["close"] == pytest.approx(0.275)  # pushed up until both can be read
    assert {text.get_text(): text.get_color() for text in axes.texts}["close"] == curves.MUTED


def test_a_name_stands_where_its_curve_ends(make_run: MakeRun, drawn: list[Figure]):
    run = read_run(make_run(generations=3))
    curves.bands_curve(run, ["band_power/1-2", "band_power/8-16"], "curve-band_power", "dB")
    (axes,) = drawn[0].axes
    to_axes = axes.transData + axes.transAxes.inverted()
    for text, name in zip(axes.texts, ("band_power/8-16", "band_power/1-2"), strict=True):
        last = run.at(name, 3)
        assert last is not None and last.value is not None
        assert text.get_position()[1] == pytest.approx(min(to_axes.transform((0, last.value))[1], 0.99), abs=0.01)


def test_the_svg_holds_the_points_that_matplotlib_was_given(make_run: MakeRun, drawn: list[Figure]):
    run = read_run(make_run(generations=3))
    figure = curves.lines(run, ["hf_ratio"], "a", "share")
    assert figure is not None
    (axes,) = drawn[0].axes
    height = drawn[0].get_size_inches()[1] * 72
    (curve,) = of_colour(axes, curves.line_colour(0))
    pixels = axes.transData.transform(np.column_stack(curve.get_data())) * 72 / drawn[0].dpi
    path = re.search(r'<path d="(M [^"]*)" clip-path[^>]*stroke: var\(--line-0\)', figure.svg)
    assert path is not None
    written = np.array(re.findall(r"-?[\d.]+", path[1]), float).reshape(-1, 2)
    np.testing.assert_allclose(written, np.column_stack([pixels[:, 0], height - pixels[:, 1]]), atol=0.01)


# -- attributes, ruler, comparison


def with_shares(folder: Path, shares: Mapping[str, Sequence[float]], n: int, error: float) -> Run:
    with (folder / "metrics.jsonl").open("a") as file:
        for name, series in shares.items():
            for generation, value in enumerate(series):
                for line in (0, 1) if generation else (REAL,):
                    m = Measurement(f"tails/{name}", value / (1 + (line == 1)), "share", n_fake=n, stderr=error)
                    file.write(m.at(generation, line).to_json() + "\n")
    return read_run(folder)


@pytest.mark.parametrize("line", [0, 1])
def test_small_plots_show_percent_with_intervals_over_the_drift_of_chance(
    line: int, make_run: MakeRun, drawn: list[Figure]
):
    shares = {"scarf": (0.04, 0.03, 0.01), "eye_patch": (0.02, 0.02, 0.015)}
    run = with_shares(make_run(generations=2), shares, 500, 0.002)
    found = survival(run, line)
    assert found is not None and [fate.name for fate in found.fates] == ["scarf", "eye patch"]
    for axes, (name, series) in zip(drawn[0].axes, shares.items(), strict=True):
        assert axes.get_title(loc="left") == name.replace("_", " ")
        drift = wright_fisher_bands(series[0], 500, 2)
        assert areas(axes) == [{g: pytest.approx(tuple(100 * drift[g])) for g in range(3)}]
        bars: Any = axes.containers[0]
        curve, _, (stalks,) = bars.lines
        own = [series[0], *(value / (1 + line) for value in series[1:])]
        assert points(curve) == [(g, pytest.approx(100 * value)) for g, value in enumerate(own)]
        ends = [segment[:, 1] for segment in stalks.get_segments()]
        for generation, (value, (low, high)) in enumerate(zip(own, ends, strict=True)):
            m = run.at(f"tails/{name}", generation, line)
            half = Z * 0.002 if m is None else half_of(m)
            assert (low, high) == pytest.approx((100 * (value - half), 100 * (value + half)), rel=1e-3)


def test_a_share_is_lost_beyond_chance_by_its_own_95_percent_error(make_run: MakeRun):
    start, n = 0.04, 1000
    low, high = (float(edge) for edge in wright_fisher_bands(start, n, 1)[-1])
    between = 0.01 * retraining_ratio("tails/scarf", 1)
    half = half_of(Measurement("tails/scarf", 0.0, generation=1, stderr=0.01, between=between))
    for share, error, beyond in (
        (low - 1.03 * half, 0.01, "lost"),
        (low - 0.97 * half, 0.01, ""),
        (high + 1.03 * half, 0.01, "gained"),
        (high + 0.97 * half, 0.01, ""),
    ):
        name = f"r{share:.6f}-00000000"
        found = survival(with_shares(make_run(name, generations=1), {"scarf": (start, share)}, n, error))
        assert found is not None and found.fates[0].beyond == beyond


def test_the_blur_ruler_is_drawn_with_its_band_and_every_generation_on_it(make_run: MakeRun, drawn: list[Figure]):
    table = [(0, 1.0), (0.5, 0.6), (1.5, 0.3)]
    rows = [{"sigma": sigma, "value": value, "stderr": 0.02, "n": 900} for sigma, value in table]
    run = read_run(make_run(generations=3, provenance={"freckle_calibration": {"tables": {"blur ruler": rows}}}))
    found, real = ruler(run), run.real("freckles/count")
    assert found is not None and real is not None and real.value is not None and real.stderr is not None
    (axes,) = drawn[0].axes
    dashes, ticks, *dots = axes.lines
    wanted = [(sigma, pytest.approx(share * real.value)) for sigma, share in table]
    assert points(dashes) == points(ticks) == wanted
    (band,) = areas(axes, curves.INK)
    for sigma, share in table:
        half = Z * math.hypot(real.value * 0.02, share * real.stderr)
        assert band[sigma] == pytest.approx((share * real.value - half, share * real.value + half), rel=1e-3)
    counts = values(run.series("freckles/count"))
    for dot, reading, (_, value) in zip(dots, found.readings, counts, strict=True):
        assert points(dot) == [(pytest.approx(min(reading.sigma, 1.5)), value)]
        assert dot.get_marker() == (">" if math.isinf(reading.sigma) else "o")
    assert math.isinf(found.readings[-1].sigma) and not math.isinf(found.readings[0].sigma)
    stalks = [c.get_segments()[0] for c in axes.collections if isinstance(c, LineCollection)]
    for stalk, reading in zip(stalks, found.readings, strict=True):
        np.testing.assert_allclose(stalk[:, 0], [min(reading.sigma, 1.5), 1.5])
    assert axes.get_xlim() == (0, 1.5) and "sigma in pixels" in axes.get_xlabel()
    assert of_colour(axes, curves.INK) == [dashes, ticks]
    assert all(same_color(dot.get_color(), curves.line_colour(0)) for dot in dots)
    assert {text.get_text() for text in axes.texts} == {"generation 1", "generation 3"}


def test_a_reading_on_the_ruler_has_the_errors_of_both_counts_and_of_the_ruler(make_run: MakeRun):
    rows = [{"sigma": sigma, "value": 1 - 0.5 * sigma, "stderr": 0.03, "n": 900} for sigma in (0, 1, 2)]
    run = read_run(make_run(generations=1, provenance={"freckle_calibration": {"tables": {"blur ruler": rows}}}))
    found, real, made = ruler(run), run.real("freckles/count"), run.at("freckles/count", 1)
    assert found is not None and real is not None and made is not None
    assert real.value and real.stderr and made.value and made.stderr
    share = made.value / real.value
    half = math.hypot(half_of(made) / real.value, Z * share * real.stderr / real.value, Z * 0.03)
    (reading,) = found.readings
    ends = [2 * (1 - share), 2 * (1 - share - half), 2 * (1 - share + half)]
    assert [reading.sigma, reading.low, reading.high] == pytest.approx(ends, rel=1e-3)


def test_a_comparison_draws_the_mean_of_repeats_with_students_interval(
    make_run: MakeRun, tmp_path: Path, drawn: list[Figure]
):
    folders, levels = [], {"replace": (0.2, 0.26, 0.32), "mix": (0.5, 0.52, 0.6)}
    for kind, own in levels.items():
        for seed, share in enumerate(own):
            folder = make_run(
                f"{kind}{seed}-00000000",
                generations=2,
                experiment={"regime": {"kind": kind}, "seed": seed},
                keep=lambda m: m.name == "hf_ratio" and m.line <= 0,
            )
            rows = [Measurement("hf_ratio", 0.7 + 0.01 * seed, line=REAL, stderr=0.01)]
            rows += [Measurement("hf_ratio", share / g, generation=g, stderr=0.01) for g in (1, 2)]
            (folder / "metrics.jsonl").write_text("".join(m.to_json() + "\n" for m in rows))
            folders.append(folder)
    write_comparison(folders, tmp_path / "page.html")
    (axes,) = drawn[0].axes
    student = 4.302653  # of three repeats: two degrees of freedom, 97.5 %
    for order, own in enumerate(levels.values()):
        colour = curves.line_colour(order)
        (curve,) = of_colour(axes, colour)
        per = [np.array([0.7, 0.71, 0.72]), np.array(own), np.array(own) / 2]
        assert points(curve) == [(g, pytest.approx(each.mean())) for g, each in enumerate(per)]
        (band,) = areas(axes, colour)
        for generation, each in enumerate(per):
            half = student * each.std(ddof=1) / math.sqrt(3)
            assert band[generation] == pytest.approx((each.mean() - half, each.mean() + half), rel=1e-4)
    (floor,) = of_colour(axes, curves.INK)
    assert level(floor) == pytest.approx([0.71, 0.71])


# -- slides, animations, ribbons


def deck_of(*folders: Path, out: Path) -> Any:
    return Presentation(str(write_slides(folders, out)))


def charts(deck: Any) -> dict[str, dict[str, list[float | None]]]:
    """Title of the slide, up to the colon -> series -> values."""
    found = {}
    for slide in deck.slides:
        for shape in slide.shapes:
            if shape.has_chart:
                found[slide.shapes.title.text_frame.text.partition(":")[0]] = {
                    s.name: list(s.values) for s in shape.chart.series
                }
    return found


def test_every_chart_of_a_deck_holds_every_line_and_the_real_value(make_run: MakeRun, tmp_path: Path):
    folder = make_run(generations=3)
    run = read_run(folder)
    found = charts(deck_of(folder, out=tmp_path / "deck.pptx"))
    names = {
        "Freckles found": "freckles/count",
        "Energy of fine detail": "band_power/8-16",
        "Pixel variance": "pixel_variance",
        "Fréchet distance": "frechet/randconv-s0",
    }
    assert set(found) == set(names)
    for title, name in names.items():
        real = run.real(name)
        assert real is not None
        assert found[title].pop("two real sets" if title == "Fréchet distance" else "real") == [real.value] * 4
        for line in (0, 1):
            label = f"found, {run.model(line)}" if name == "freckles/count" else run.label(line)
            assert found[title].pop(label) == [m.value for m in measured(run, name, line)]
        if name == "freckles/count":
            blank = [m.value for m in measured(run, "freckles/blank")]
            assert found[title].pop("found where none are") == blank
        assert not found[title]


def test_the_notes_of_a_chart_give_the_last_value_with_its_95_percent_error(make_run: MakeRun, tmp_path: Path):
    folder = make_run(generations=2)
    run = read_run(folder)
    deck = deck_of(folder, out=tmp_path / "deck.pptx")
    for line in (0, 1):
        last = run.at("freckles/count", 2, line)
        assert last is not None and last.stderr is not None
        words = f"generation 2: {interval(last)} (n = 2,048)"
        assert any(words in slide.notes_slide.notes_text_frame.text for slide in deck.slides)


def test_runs_side_by_side_keep_their_own_numbers_and_the_shorter_one_ends(make_run: MakeRun, tmp_path: Path):
    folders = [make_run("one-00000000", generations=3), make_run("two-00000000", generations=1, experiment={"seed": 8})]
    other = [
        replace(m, value=0.5 if m.generation == 0 else 0.25) if m.name == "pixel_variance" and m.line <= 0 else m
        for m in read_run(folders[1]).measurements
    ]
    (folders[1] / "metrics.jsonl").write_text("".join(m.to_json() + "\n" for m in other))
    found = charts(deck_of(*folders, out=tmp_path / "deck.pptx"))
    one = [m.value for m in measured(read_run(folders[0]), "pixel_variance")]
    (series,) = [each for title, each in found.items() if title.startswith("Pixel variance")]
    assert series["generations 3"] == one and series["generations 1"] == [0.5, 0.25, None, None]


def test_the_stages_of_a_deck_are_bars_as_long_as_they_lasted(make_run: MakeRun, tmp_path: Path):
    folder = make_run(generations=5)
    deck = deck_of(folder, out=tmp_path / "deck.pptx")
    (slide,) = [s for s in deck.slides if s.shapes.title.text_frame.text.startswith("Stages:")]
    bars = [s for s in slide.shapes if s.has_text_frame and s.fill.type == MSO_FILL.SOLID]
    segments = [segment for ribbon in ribbons(read_run(folder)) for segment in ribbon.segments]
    assert len(segments) > 2
    start, room, inch = 3.2, 13.333 - 0.6 - 3.2, 914_400
    for bar, segment in zip(bars, segments, strict=True):
        assert bar.left / inch == pytest.approx(start + (segment.first - 1) / 5 * room, abs=0.01)
        assert (bar.left + bar.width) / inch == pytest.approx(start + segment.last / 5 * room - 0.03, abs=0.01)
        assert str(bar.fill.fore_color.rgb) == LIGHT.stages[segment.order].removeprefix("#").upper()
        assert bar.text_frame.text.startswith(segment.stage)


def test_the_bars_of_an_animation_are_as_long_as_what_is_left(make_run: MakeRun, tmp_path: Path):
    folder = make_run(generations=3)
    (path,) = animate([folder], tmp_path / "loop.webp")
    known = {signal.family: signal for signal in signals(read_run(folder).measurements, verdict="quality")[::-1]}
    bars = [known[family] for family in ("tails", "detail", "diversity")]
    assert bars[0].title == "freckles"
    across = WIDTH - 2 * MARGIN
    start, length = MARGIN + 140, across - 140 - 70
    accent = np.array([int(LIGHT.accent[k : k + 2], 16) for k in (1, 3, 5)])
    with Image.open(path) as film:
        for generation in range(4):
            film.seek(generation)
            pixels = np.asarray(film.convert("RGB")).astype(int)
            for order, signal in enumerate(bars):
                row = pixels[HEIGHT - FOOT - (3 - order) * BAR + 8]  # above the line of its interval
                full, empty = (np.flatnonzero((row == colour).all(1)) for colour in (accent, np.array(TRACK)))
                share = 1.0 - signal.lost[generation] if generation else 1.0
                assert full[0] == start and len(full) == round(length * min(share, 1.0)) + 1
                assert len(full) + len(empty) == length + 1


def test_a_page_shows_each_stage_as_wide_as_it_lasted(make_run: MakeRun):
    folder = make_run(generations=5)
    html = write_report(folder).read_text("utf-8")
    cells = re.findall(r'<span class="stage-(\d)" style="flex:(\d+)"><b>([^<]*)</b>', html)
    run = read_run(folder)
    segments = [segment for ribbon in [*ribbons(run), *ribbons(run, "quality")] for segment in ribbon.segments]
    assert [(int(order), int(span), stage) for order, span, stage in cells] == [
        (s.order, s.last - s.first + 1, s.stage) for s in segments
    ]
    assert sum(int(span) for _, span, _ in cells) == 2 * 2 * 5


@pytest.mark.parametrize(("count", "columns"), [(2, 2), (4, 4), (5, 3), (7, 4), (8, 4), (9, 3)])
def test_small_plots_leave_few_places_empty_and_have_their_axis_at_zero(
    count: int, columns: int, make_run: MakeRun, drawn: list[Figure]
):
    shares = {f"attribute_{k}": (0.045 - 0.005 * k, 0.03, 0.02) for k in range(count)}
    assert survival(with_shares(make_run(generations=2), shares, 500, 0.002)) is not None
    places = [axes.get_subplotspec() for axes in drawn[0].axes]
    found = [(place.rowspan.start, place.colspan.start) for place in places if place is not None]
    assert found == [divmod(order, columns) for order in range(count)]
    assert all(level(axes.lines[-1]) == [0, 0] for axes in drawn[0].axes)


@pytest.mark.parametrize(
    ("last", "ticks"),
    [(1, [0, 1]), (5, [0, 1, 2, 3, 4, 5]), (7, [0, 3, 5, 7]), (10, [0, 2, 4, 6, 8, 10]), (13, [0, 5, 9, 13])],
)
def test_the_last_generation_has_a_tick(last: int, ticks: list[int], make_run: MakeRun, drawn: list[Figure]):
    shares = {"scarf": (0.04, *[0.03] * last)}
    assert survival(with_shares(make_run(generations=last), shares, 500, 0.002)) is not None
    assert list(drawn[0].axes[0].get_xticks()) == ticks


def test_the_plots_of_a_row_have_one_scale_in_percent(make_run: MakeRun, drawn: list[Figure]):
    shares = {f"attribute_{k}": (0.045 - 0.005 * k, 0.03 / (1 + k), 0.02) for k in range(6)}
    run = with_shares(make_run(generations=2), shares, 500, 0.002)
    assert survival(run) is not None
    drawn[0].canvas.draw()
    upper, lower = drawn[0].axes[:3], drawn[0].axes[3:]
    for row in (upper, lower):
        assert len({axes.get_ylim() for axes in row}) == 1
        labels = [label.get_text() for label in row[0].get_yticklabels()]
        assert "0 %" in labels and all(re.fullmatch(r"−?[\d.]+ %", label) for label in labels)
    for axes, name in zip(drawn[0].axes, shares, strict=True):
        ends = [end for m in (run.real(f"tails/{name}"), *run.series(f"tails/{name}")) if m for end in half_ends(m)]
        assert axes.get_ylim()[0] <= 100 * min(ends) and axes.get_ylim()[1] >= 100 * max(ends)


def test_every_small_plot_knows_where_its_generations_are(make_run: MakeRun, drawn: list[Figure]):
    shares = {f"attribute_{k}": (0.045 - 0.005 * k, 0.03, 0.02) for k in range(5)}
    found = survival(with_shares(make_run(generations=2), shares, 500, 0.002))
    assert found is not None and [each.name for each in found.curve.plotted] == [f"tails/{name}" for name in shares]
    unit = 72 / drawn[0].dpi
    for frame, axes in zip(found.curve.frames, drawn[0].axes, strict=True):
        for generation in (0, 2):
            x = axes.transData.transform((generation, 0))[0] * unit
            assert frame.start + generation * frame.step == pytest.approx(x, abs=0.01)


def half_ends(m: Measurement) -> tuple[float, float]:
    return repetition(m) or (m.value or 0.0, m.value or 0.0)
