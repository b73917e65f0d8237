from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from pptx import Presentation

from imagelab.measurement import Measurement
from imagelab.report.headline import headline
from imagelab.report.run_view import read_run
from imagelab.report.slides import write_slides

MakeRun = Callable[..., Path]


def deck_of(*runs: Path, out: Path) -> Any:
    return Presentation(str(write_slides(runs, out)))


def texts(slide: Any) -> str:
    return " ".join(shape.text_frame.text for shape in slide.shapes if shape.has_text_frame)


def charts(deck: Any) -> list[Any]:
    return [shape.chart for slide in deck.slides for shape in slide.shapes if shape.has_chart]


def test_the_deck_is_sixteen_by_nine_and_begins_with_the_headline(make_run: MakeRun, tmp_path: Path):
    run = make_run(generations=3)
    deck = deck_of(run, out=tmp_path / "deck.pptx")
    assert deck.slide_width / deck.slide_height == pytest.approx(16 / 9, rel=1e-3)
    assert headline(read_run(run)).sentence.replace("\u00a0", " ") in texts(deck.slides[0])
    assert not list(tmp_path.glob("*.partial"))


def test_charts_can_be_edited_and_hold_the_numbers_of_metrics_jsonl(make_run: MakeRun, tmp_path: Path):
    run = make_run(generations=3)
    lines = [Measurement.from_json(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    told = {m.generation: m.value for m in lines if m.name == "freckles/count" and m.line in (-1, 0)}
    chart = charts(deck_of(run, out=tmp_path / "deck.pptx"))[0]
    assert list(chart.plots[0].categories) == ["0", "1", "2", "3"]
    series = {s.name: list(s.values) for s in chart.series}
    assert series["VAE"] == pytest.approx([told[g] for g in range(4)]) and series["real"] == [told[0]] * 4
    assert set(series) == {"VAE", "PPCA, k = 128", "real"}


def test_every_picture_and_chart_has_words_for_those_who_cannot_see_it(make_run: MakeRun, tmp_path: Path):
    deck = deck_of(make_run(generations=2), out=tmp_path / "deck.pptx")
    shown = [s for slide in deck.slides for s in slide.shapes if s.has_chart or s.shape_type == 13]
    assert len(shown) >= 4
    assert all(s._element.xpath(".//p:cNvPr")[0].get("descr") for s in shown)


def test_every_slide_has_notes_and_a_title(make_run: MakeRun, tmp_path: Path):
    deck = deck_of(make_run(generations=2), out=tmp_path / "deck.pptx")
    for slide in deck.slides:
        assert slide.shapes.title.text_frame.text and slide.notes_slide.notes_text_frame.text
    assert "is of one training" in deck.slides[0].notes_slide.notes_text_frame.text


def test_several_runs_are_also_shown_side_by_side(make_run: MakeRun, tmp_path: Path):
    runs = make_run("one-00000000"), make_run("two-00000000", experiment={"regime": {"kind": "mix"}})
    last = charts(deck_of(*runs, out=tmp_path / "deck.pptx"))[-1]
    assert {s.name for s in last.series} == {"VAE, replace, seed 0", "VAE, mix, seed 0"}


def test_a_hostile_title_stays_text(make_run: MakeRun, tmp_path: Path):
    title = "<script>alert(1)</script> & \u202e reversed \U0001f98a " + "x" * 500
    deck = deck_of(make_run(experiment={"title": title}), out=tmp_path / "deck.pptx")
    assert "<script>alert(1)</script> &" in texts(deck.slides[0])


def test_a_run_that_has_only_begun_still_makes_a_deck(make_run: MakeRun, tmp_path: Path):
    deck = deck_of(make_run(generations=0), out=tmp_path / "deck.pptx")
    assert "No generation is finished yet" in texts(deck.slides[0]) and not charts(deck)


def test_another_suffix_or_no_run_is_refused(make_run: MakeRun, tmp_path: Path):
    with pytest.raises(ValueError, match=r"ends in \.pptx"):
        write_slides([make_run()], tmp_path / "deck.key")
    with pytest.raises(ValueError, match="at least one run"):
        write_slides([], tmp_path / "deck.pptx")
