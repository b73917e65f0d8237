from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from xml.etree import ElementTree

from imagelab.measurement import Measurement
from imagelab.report import curves
from imagelab.report.run_view import read_run
from imagelab.report.spectra import spectra_curve

MakeRun = Callable[..., Path]


def test_a_figure_is_themed_whole_and_of_fixed_bytes(make_run: MakeRun) -> None:
    run = read_run(make_run())
    first = curves.lines(run, ["freckles/corrected"], "a", "freckles a face", "freckles/blank")
    again = curves.lines(run, ["freckles/corrected"], "a", "freckles a face", "freckles/blank")
    assert first is not None and again is not None
    assert first.svg == again.svg
    assert ElementTree.fromstring(first.svg).tag == "svg"
    assert "var(--line-0)" in first.svg and "currentColor" in first.svg
    assert not re.search(r"#0[a-f]0[a-f]|http|clip-path: url\((?!#a-)", first.svg)


def test_labels_are_text_and_name_lines_floor_and_control(make_run: MakeRun) -> None:
    figure = curves.lines(read_run(make_run()), ["freckles/corrected"], "a", "freckles", "freckles/blank")
    assert figure is not None
    words = set(ElementTree.fromstring(figure.svg).itertext())
    assert {"VAE", "PPCA, k = 128", "real", "without freckles"} <= words


def test_a_long_label_gives_its_short_name_and_is_not_cut(make_run: MakeRun) -> None:
    for name, end in (("VAE, recombined prior", "VAE"), ("VAE, local prior", "VAE, local prior")):
        run = read_run(make_run(f"run-{len(name)}-00000000", labels=(name, "PPCA, k = 128")))
        figure = curves.lines(run, ["freckles/corrected"], "a", "freckles")
        assert figure is not None
        words = set(ElementTree.fromstring(figure.svg).itertext())
        assert {end, "PPCA, k = 128"} <= words and not any("…" in word for word in words)


def test_theory_is_drawn_once_and_dashed(make_run: MakeRun) -> None:
    figure = curves.lines(read_run(make_run()), ["pixel_variance"], "a", "ratio")
    assert figure is not None
    assert list(ElementTree.fromstring(figure.svg).itertext()).count("theory") == 1


def test_nothing_is_drawn_of_what_was_never_measured(make_run: MakeRun) -> None:
    run = read_run(make_run(keep=lambda m: m.name == "hf_ratio"))
    assert curves.lines(run, ["freckles/count"], "a", "freckles") is None
    assert curves.bands_curve(run, ["band_power/1-2"], "a", "dB") is None
    assert spectra_curve(run, "a") is None


def test_the_description_says_the_last_value_of_every_line(make_run: MakeRun) -> None:
    run = read_run(make_run(generations=2))
    figure = curves.lines(run, ["hf_ratio"], "a", "share")
    assert figure is not None
    for line in (0, 1):
        last = run.at("hf_ratio", 2, line)
        assert last is not None and f"{last.value:.3g} in generation 2" in figure.alt


def test_spectra_show_every_generation_and_the_rounding_floor(make_run: MakeRun) -> None:
    figure = spectra_curve(read_run(make_run(generations=3)), "a")
    assert figure is not None
    for step in (1, 2, 3):
        assert f"var(--step-{step})" in figure.svg
    assert "8-bit rounding" in figure.svg and "mathdefault" not in figure.svg


def test_a_gap_in_a_series_is_no_obstacle(make_run: MakeRun) -> None:
    def keep(m: Measurement) -> bool:
        return not (m.name == "hf_ratio" and m.generation == 2)

    assert curves.lines(read_run(make_run(keep=keep)), ["hf_ratio"], "a", "share") is not None


def test_only_decibels_have_a_line_at_none_lost(make_run: MakeRun) -> None:
    view = read_run(make_run())
    decibels, other = (
        curves.bands_curve(view, ["band_power/1-2"], key, "dB") for key in ("curve-band_power", "curve-prdc")
    )
    assert decibels is not None and other is not None
    assert decibels.svg.count("stroke-dasharray") == other.svg.count("stroke-dasharray") + 1


def test_long_names_narrow_the_axes_and_short_ones_leave_them_alone():
    wide, narrow = (curves.new_axes("unit", 3)[1] for _ in range(2))
    before = wide.get_position().width
    curves.end_labels(wide, [(0.5, "PPCA", curves.INK)])
    curves.end_labels(narrow, [(0.5, "MMMMMMMMMMMMMMMMM", curves.INK)])
    assert wide.get_position().width == before > narrow.get_position().width > before / 2
