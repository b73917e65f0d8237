from __future__ import annotations

import io
import re
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import replace
from itertools import combinations
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
import pytest
from pptx import Presentation
from pptx.util import Emu

from imagelab.evaluation.chains import repetition
from imagelab.measurement import Measurement
from imagelab.report.groups import group_runs
from imagelab.report.headline import headline
from imagelab.report.print_sheets import Sheet, SheetRow
from imagelab.report.run_view import read_run
from imagelab.report.slide_charts import generation_word
from imagelab.report.slide_parts import ROOM_WIDE, lines_of_text
from imagelab.report.slides import write_slides
from imagelab.report.statistics import estimate
from imagelab.report.survival import survival

MakeRun = Callable[..., Path]
C = "{http://schemas.openxmlformats.org/drawingml/2006/chart}"
A = "{http://schemas.openxmlformats.org/drawingml/2006/main}"


def deck_of(*runs: Path, out: Path, rare: Sheet | None = None) -> Any:
    return Presentation(str(write_slides(runs, out, {runs[0]: rare} if rare else None)))


def texts(slide: Any) -> str:
    return " ".join(shape.text_frame.text for shape in slide.shapes if shape.has_text_frame).replace("\u00a0", " ")


def notes(slide: Any) -> str:
    return slide.notes_slide.notes_text_frame.text.replace("\u00a0", " ")


def charts(deck: Any) -> list[Any]:
    return [shape.chart for slide in deck.slides for shape in slide.shapes if shape.has_chart]


def rewritten(run: Path, change: Callable[[Measurement], list[Measurement]]) -> Path:
    """Change the measurements of a run, each into those that ``change`` returns."""
    rows = [Measurement.from_json(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    (run / "metrics.jsonl").write_text("".join(m.to_json() + "\n" for old in rows for m in change(old)))
    return run


def with_net(m: Measurement) -> list[Measurement]:
    """Give a run a count net of what a blank twin shows, and that twin."""
    if m.name != "freckles/corrected" or m.value is None:
        return [m]
    net = replace(m, name="freckles/net", value=0.8 * m.value, low=0.7 * m.value, high=1.1 * m.value)
    twin = replace(m, name="freckles/twin", value=0.2 * m.generation)
    return [m, net, *([twin] if m.generation else [])]


def moved(share: float) -> Callable[[Measurement], list[Measurement]]:
    return lambda m: [m if m.value is None else replace(m, value=m.value * (1 + share))]


def six_runs(make_run: MakeRun) -> list[Path]:
    """Two groups of three runs."""
    runs = []
    for kind, shift in (("replace", 0.0), ("accumulate", 0.4)):
        for seed in range(3):
            run = make_run(f"{kind}{seed}-00000000", 4, experiment={"regime": {"kind": kind}, "seed": seed})
            runs.append(rewritten(run, moved(shift + 0.05 * seed)))
    return runs


def six_groups(make_run: MakeRun) -> list[Path]:
    return [
        make_run(f"r{k}-00000000", 12, experiment={"regime": {"kind": "mix", "real_fraction": k / 10}})
        for k in range(6)
    ]


def rare_faces() -> Sheet:
    images = np.random.default_rng(1).integers(0, 256, (9, 3, 16, 16), dtype=np.uint8)
    heads = ("birthmark", "vitiligo", "hearing aid", "face paint", "eyepatch", "albinism", "headscarf", "curls", "bald")
    heads = tuple(f"{head}: not measurable from gen. 6 on" for head in heads)
    rows = tuple(SheetRow("real" if g == 0 else f"generation {g}", images) for g in range(7))
    return Sheet("VAE: who disappears", rows, heads, "Each cell: one image. ", "A grid of faces.")


@pytest.fixture(params=["one run", "six runs", "six groups"])
def any_deck(request: pytest.FixtureRequest, make_run: MakeRun, tmp_path: Path) -> Any:
    """The largest deck of one run, of two groups of three, and of six groups of one run with long names."""
    if request.param == "one run":
        run = rewritten(make_run(generations=10), with_net)
        return deck_of(run, out=tmp_path / "deck.pptx", rare=rare_faces())
    runs = six_runs(make_run) if request.param == "six runs" else six_groups(make_run)
    return deck_of(*runs, out=tmp_path / "deck.pptx")


def test_the_deck_is_sixteen_by_nine_and_begins_with_the_headline(make_run: MakeRun, tmp_path: Path):
    run = make_run(generations=3)
    deck = deck_of(run, out=tmp_path / "deck.pptx")
    assert deck.slide_width / deck.slide_height == pytest.approx(16 / 9, rel=1e-3)
    sentence = headline(read_run(run)).sentence.replace("\u00a0", " ")
    assert sentence.partition(";")[0] in texts(deck.slides[0]) and "…" not in texts(deck.slides[0])
    assert sentence in texts(deck.slides[0]) + notes(deck.slides[0])
    assert not list(tmp_path.glob("*.partial"))


def test_charts_can_be_edited_and_hold_the_numbers_of_metrics_jsonl(make_run: MakeRun, tmp_path: Path):
    run = make_run(generations=3)
    lines = [Measurement.from_json(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    told = {m.generation: m.value for m in lines if m.name == "pixel_variance" and m.line <= 0 and not m.predicted}
    chart = charts(deck_of(run, out=tmp_path / "deck.pptx"))[2]
    assert list(chart.plots[0].categories) == ["0", "1", "2", "3"]
    series = {s.name: list(s.values) for s in chart.series}
    assert series["VAE"] == pytest.approx([told[g] for g in range(4)]) and series["real"] == [told[0]] * 4
    assert set(series) == {"VAE", "PPCA, k = 128", "real"}


def bars_of(series: Any) -> tuple[list[float], list[float]] | None:
    """Return the lengths up and down of the error bars of a series of a chart, generation by generation."""
    found = series._element.find(f"{C}errBars")
    if found is None:
        return None
    assert found.find(f"{C}errValType").get("val") == "cust" and found.find(f"{C}errBarType").get("val") == "both"
    up, down = ([float(v.text) for v in found.find(f"{C}{side}").iter(f"{C}v")] for side in ("plus", "minus"))
    return up, down


def test_every_point_of_a_chart_has_its_interval_as_an_error_bar(make_run: MakeRun, tmp_path: Path):
    run = make_run(generations=3)
    view = read_run(run)
    chart = charts(deck_of(run, out=tmp_path / "deck.pptx"))[1]
    bars = {series.name: bars_of(series) for series in chart.series}
    rows = [view.real("band_power/8-16"), *view.series("band_power/8-16")]
    ends = [repetition(m) for m in rows if m is not None]
    assert bars["VAE"] is not None and bars["real"] is None
    assert bars["VAE"][0] == pytest.approx(
        [e[1] - float(m.value or 0) for e, m in zip(ends, rows, strict=True) if e and m]
    )
    assert bars["VAE"][1] == pytest.approx(
        [float(m.value or 0) - e[0] for e, m in zip(ends, rows, strict=True) if e and m]
    )


def test_error_bars_stand_where_the_schema_wants_them(make_run: MakeRun, tmp_path: Path):
    order = ["idx", "order", "tx", "spPr", "marker", "dPt", "dLbls", "trendline", "errBars", "cat", "val", "smooth"]
    for chart in charts(deck_of(make_run(generations=2), out=tmp_path / "deck.pptx")):
        for series in chart.series:
            places = [order.index(child.tag.removeprefix(C)) for child in series._element]
            assert places == sorted(places)


def sheet_rows(chart: Any) -> list[list[str]]:
    """Return the cells of the first sheet of the workbook in a chart, row by row, as text."""
    main = "{http://schemas.openxmlformats.org/spreadsheetml/2006/main}"
    book = zipfile.ZipFile(io.BytesIO(chart.part.chart_workbook.xlsx_part.blob))
    words = [
        "".join(t.text or "" for t in si.iter(f"{main}t"))
        for si in ElementTree.fromstring(book.read("xl/sharedStrings.xml"))
    ]
    rows = []
    for row in ElementTree.fromstring(book.read("xl/worksheets/sheet1.xml")).iter(f"{main}row"):
        cells = {re.sub(r"\d", "", cell.get("r", "")): cell for cell in row.iter(f"{main}c")}
        told = {k: (c.findtext(f"{main}v") or "", c.get("t") == "s") for k, c in cells.items()}
        rows.append(
            [words[int(v)] if shared else v for v, shared in (told.get(chr(65 + k), ("", False)) for k in range(12))]
        )
    return rows


def test_the_workbook_of_a_chart_opens_and_holds_values_and_intervals(make_run: MakeRun, tmp_path: Path):
    chart = charts(deck_of(make_run(generations=3), out=tmp_path / "deck.pptx"))[1]
    book = zipfile.ZipFile(io.BytesIO(chart.part.chart_workbook.xlsx_part.blob))
    assert book.testzip() is None and "xl/worksheets/sheet1.xml" in book.namelist()
    rows = sheet_rows(chart)
    assert rows[0][:5] == ["generation", "VAE", "PPCA, k = 128", "real", "VAE: 95 % interval, up"]
    assert [row[0] for row in rows[1:]] == ["0", "1", "2", "3"]
    for series in chart.series:
        column = rows[0].index(series.name)
        assert [float(row[column]) for row in rows[1:]] == pytest.approx(list(series.values))
        for side in series._element.iter(f"{C}plus", f"{C}minus"):
            letters = re.fullmatch(r"Sheet1!\$([A-Z])\$2:\$\1\$5", next(side.iter(f"{C}f")).text)
            assert letters is not None
            told = [float(row[ord(letters[1]) - 65]) for row in rows[1:]]
            assert told == pytest.approx([float(v.text) for v in side.iter(f"{C}v")])


def test_the_axis_leaves_room_for_the_error_bars(make_run: MakeRun, tmp_path: Path):
    for chart in charts(deck_of(make_run(generations=3), out=tmp_path / "deck.pptx")):
        for series in chart.series:
            bars = bars_of(series)
            if bars:
                top = max(value + up for value, up in zip(series.values, bars[0], strict=True))
                low = min(value - down for value, down in zip(series.values, bars[1], strict=True))
                assert chart.value_axis.minimum_scale <= low + 1e-9 and top <= chart.value_axis.maximum_scale + 1e-9


def test_the_freckle_slide_shows_what_is_found_also_where_there_are_none(make_run: MakeRun, tmp_path: Path):
    run = rewritten(make_run(generations=10), with_net)
    slide = next(
        s for s in deck_of(run, out=tmp_path / "deck.pptx").slides if any(shape.has_chart for shape in s.shapes)
    )
    assert (
        slide.shapes.title.text_frame.text
        == "Freckles found: 6.7 in real faces, 3.5 after the first training, 0.21 after ten; 2.0 where none are"
    )
    names = [series.name for shape in slide.shapes if shape.has_chart for series in shape.chart.series]
    assert names == ["found, VAE", "found, PPCA", "found where none are", "net, VAE", "real"]
    assert "Found: all spots counted, not corrected." in texts(slide) and "in a loop that never saw freckles" in texts(
        slide
    )


def test_a_count_that_was_not_corrected_is_not_said_to_be(make_run: MakeRun, tmp_path: Path):
    kept = ("freckles/count", "freckles/blank")
    run = make_run(generations=2, keep=lambda m: not m.name.startswith("freckles") or m.name in kept)
    slide = next(
        s for s in deck_of(run, out=tmp_path / "deck.pptx").slides if any(shape.has_chart for shape in s.shapes)
    )
    assert slide.shapes.title.text_frame.text.startswith("Freckles found: ")
    told = re.sub("not corrected", "", texts(slide)) + re.sub(r"freckles/count: .*", "", notes(slide))
    assert "orrected" not in told


def test_notes_and_captions_speak_of_no_band_that_is_not_drawn(any_deck: Any):
    for slide in any_deck.slides:
        assert not re.search(r"\bbands? (?:is|are)|shaded", texts(slide) + notes(slide))
        if "Bars:" in texts(slide):
            shapes = [shape.chart for shape in slide.shapes if shape.has_chart]
            assert shapes and any(bars_of(series) for series in shapes[0].series)


def test_every_picture_and_chart_has_words_for_those_who_cannot_see_it(any_deck: Any):
    shown = [s for slide in any_deck.slides for s in slide.shapes if s.has_chart or s.has_table or s.shape_type == 13]
    assert len(shown) >= 6
    assert all(s._element.xpath(".//p:cNvPr")[0].get("descr") for s in shown)


def test_every_slide_has_notes_and_a_finding_as_its_title(any_deck: Any):
    titles = [slide.shapes.title.text_frame.text for slide in any_deck.slides]
    assert len(set(titles)) == len(titles)
    for slide, title in zip(any_deck.slides, titles, strict=True):
        assert notes(slide)
        assert not re.search(r"_|\w/\w", title) and len(title.split()) >= 4, title


def test_one_run_makes_at_most_ten_slides_and_six_at_most_twelve(any_deck: Any, request: pytest.FixtureRequest):
    assert len(any_deck.slides) <= (10 if "one run" in request.node.name else 12)


def boxes(slide: Any) -> Iterator[tuple[str, float, float, float, float]]:
    """Yield (name, left, top, right, bottom) of every shape of a slide, in inches."""
    for s in slide.shapes:
        left, top, wide, high = (Emu(v).inches for v in (s.left, s.top, s.width, s.height))
        yield s.name, left, top, left + wide, top + high


def test_every_shape_lies_on_its_slide_and_none_covers_another(any_deck: Any):
    for slide in any_deck.slides:
        found = list(boxes(slide))
        for shape in slide.shapes:
            if shape.has_table:
                assert Emu(shape.top + sum(row.height for row in shape.table.rows)).inches <= 7.3
        for name, left, top, right, bottom in found:
            assert left >= 0.1 and top >= 0.1 and right <= 13.25 and bottom <= 7.45, (texts(slide)[:60], name)
        for one, two in combinations(found, 2):
            wide = min(one[3], two[3]) - max(one[1], two[1])
            high = min(one[4], two[4]) - max(one[2], two[2])
            assert wide <= 0.02 or high <= 0.02, (texts(slide)[:60], one, two)


def paragraphs(slide: Any) -> Iterator[tuple[Any, float, str]]:
    """Yield (paragraph, width of its box in inches, name of the shape) of every text and table of a slide."""
    for shape in slide.shapes:
        if shape.has_text_frame:
            yield from ((p, Emu(shape.width).inches, shape.name) for p in shape.text_frame.paragraphs)
        if shape.has_table:
            for row in shape.table.rows:
                for cell, column in zip(row.cells, shape.table.columns, strict=True):
                    yield from ((p, Emu(column.width).inches - 0.05, shape.name) for p in cell.text_frame.paragraphs)


def test_no_letters_are_smaller_than_fourteen_points_and_titles_have_28(any_deck: Any):
    for slide in any_deck.slides:
        sizes = [run.font.size.pt for p, _, _ in paragraphs(slide) for run in p.runs]
        assert sizes and min(sizes) >= 14
        assert all(run.font.size.pt >= 28 for p in slide.shapes.title.text_frame.paragraphs for run in p.runs)
        for shape in slide.shapes:
            if shape.has_chart:
                told = [
                    int(each.get("sz"))
                    for each in shape.chart._chartSpace.iter(f"{A}defRPr", f"{A}rPr")
                    if each.get("sz")
                ]
                assert told and min(told) >= 1400


def test_no_text_is_higher_than_its_box(any_deck: Any):
    for slide in any_deck.slides:
        for shape in slide.shapes:
            if shape.has_text_frame and shape.text_frame.text:
                run = shape.text_frame.paragraphs[0].runs[0]
                lines = lines_of_text(run.text, run.font.size.pt, Emu(shape.width).inches, bool(run.font.bold))
                assert lines * run.font.size.pt * 1.2 / 72 <= Emu(shape.height).inches + 0.02, (run.text, shape.name)


def test_the_numbers_of_a_table_stay_on_one_line(any_deck: Any):
    for slide in any_deck.slides:
        for p, wide, name in paragraphs(slide):
            if name.startswith("Table") and p.text and re.match(r"[\d−+]", p.text):
                assert lines_of_text(p.text, 14, wide) == 1, p.text


def test_a_click_leads_from_every_chart_to_its_numbers(any_deck: Any):
    led = 0
    for slide in any_deck.slides:
        if any(shape.has_chart for shape in slide.shapes):
            (target,) = [s.click_action.target_slide for s in slide.shapes if s.click_action.target_slide is not None]
            (table,) = [shape.table for shape in target.shapes if shape.has_table]
            chart = next(shape.chart for shape in slide.shapes if shape.has_chart)
            first = chart.series[0]
            rows = [[cell.text_frame.text.replace("\u00a0", " ") for cell in row.cells] for row in table.rows]
            mine = [row for row in rows if row[0].endswith(f": {first.name}")]
            assert mine and any(re.split(r" [±(]", row[-1])[0].replace("−", "-") for row in mine)
            led += 1
    assert led == len(charts(any_deck)) >= 4


def test_the_table_of_numbers_gives_value_interval_and_number_of_images(make_run: MakeRun, tmp_path: Path):
    deck = deck_of(make_run(generations=3), out=tmp_path / "deck.pptx")
    last = deck.slides[len(deck.slides) - 1]
    (table,) = [shape.table for shape in last.shapes if shape.has_table]
    rows = [[cell.text_frame.text.replace("\u00a0", " ") for cell in row.cells] for row in table.rows]
    assert rows[0] == ["", "real", "gen. 1", "gen. 2", "gen. 3"]
    (variance,) = [row for row in rows if row[0] == "Variance: VAE"]
    assert variance[1].startswith("1.00") and variance[4].startswith("0.91 ± 0.0")
    assert "2,048 images a generation" in texts(last)


def test_groups_of_runs_have_their_own_intervals_as_error_bars(make_run: MakeRun, tmp_path: Path):
    runs = six_runs(make_run)
    groups, _ = group_runs(runs)
    deck = deck_of(*runs, out=tmp_path / "deck.pptx")
    chart = charts(deck)[2]
    assert [series.name for series in chart.series] == ["replace", "accumulate", "real"]
    for group, series in zip(groups, chart.series, strict=False):
        found = [estimate(group, "pixel_variance", g) for g in range(5)]
        bars = bars_of(series)
        assert list(series.values) == pytest.approx([e.value for e in found if e])
        assert bars is not None and bars[0] == pytest.approx([e.ends[1] - e.value for e in found if e and e.ends])


def test_groups_of_one_run_of_one_training_have_no_bars_and_the_slide_says_so(make_run: MakeRun, tmp_path: Path):
    runs = make_run("one-00000000"), make_run("two-00000000", experiment={"regime": {"kind": "mix"}})
    deck = deck_of(*runs, out=tmp_path / "deck.pptx")
    slides = [slide for slide in deck.slides if any(shape.has_chart for shape in slide.shapes)]
    assert {s.name for s in charts(deck)[-1].series} == {"replace", "mix", "two real sets"}
    assert all("one run of one training, no bars" in texts(slide) for slide in slides)
    assert all(bars_of(series) is None for chart in charts(deck) for series in chart.series)


def test_declared_outcomes_stand_in_a_table_with_their_differences(make_run: MakeRun, tmp_path: Path):
    deck = deck_of(*six_runs(make_run), out=tmp_path / "deck.pptx")
    slide = next(s for s in deck.slides if "tests find" in s.shapes.title.text_frame.text)
    (table,) = [shape.table for shape in slide.shapes if shape.has_table]
    rows = [[cell.text_frame.text for cell in row.cells] for row in table.rows]
    assert rows[0] == ["", "replace", "accumulate", "accumulate minus replace"]
    assert rows[1][0].startswith("Freckles a face") and re.search(r"\np [=<] 0\.\d+", rows[1][3])
    assert "corrected for 2 tests (Holm)" in texts(slide) and "interval of this difference alone" in texts(slide)


def test_more_than_six_groups_or_the_same_run_twice_are_refused(make_run: MakeRun, tmp_path: Path):
    runs = [make_run(f"r{k}-00000000", generations=1, experiment={"images": 10 + k}) for k in range(7)]
    with pytest.raises(ValueError, match="at most 6 different groups, got 7"):
        write_slides(runs, tmp_path / "deck.pptx")
    with pytest.raises(ValueError, match="given twice"):
        write_slides([runs[0], runs[0]], tmp_path / "deck.pptx")
    assert not (tmp_path / "deck.pptx").exists()


def test_runs_that_have_only_begun_make_a_deck_together(make_run: MakeRun, tmp_path: Path):
    runs = [make_run(f"r{k}-00000000", generations=0, experiment={"images": 10 + k}) for k in range(2)]
    deck = deck_of(*runs, out=tmp_path / "deck.pptx")
    assert "no measurement in common" in texts(deck.slides[0]) and not charts(deck)


def test_groups_with_pictures_of_different_sizes_stand_in_one_deck(make_run: MakeRun, tmp_path: Path):
    large = np.random.default_rng(2).integers(0, 256, (8, 3, 32, 32), dtype=np.uint8)
    grey = np.random.default_rng(3).integers(0, 256, (8, 1, 16, 16), dtype=np.uint8)
    runs = [
        make_run("a-00000000", 2),
        make_run("b-00000000", 2, faces=large, experiment={"regime": {"kind": "mix"}}),
        make_run("c-00000000", 2, faces=grey, experiment={"regime": {"kind": "accumulate"}}),
    ]
    deck = deck_of(*runs, out=tmp_path / "deck.pptx")
    assert len(re.findall("generation 2", texts(deck.slides[0]))) == 3


@pytest.mark.parametrize(("count", "word"), [(1, "one"), (12, "twelve"), (13, "13"), (1000, "1,000")])
def test_small_numbers_are_words_in_titles(count: int, word: str):
    assert generation_word(count) == word


def test_lines_of_a_text_are_counted_by_the_widths_of_its_letters():
    assert lines_of_text("short", 28, ROOM_WIDE) == 1
    assert lines_of_text("word " * 60, 28, ROOM_WIDE) == 5
    assert lines_of_text("i" * 100, 28, ROOM_WIDE) < lines_of_text("W" * 100, 28, ROOM_WIDE)


def test_the_opening_and_the_film_show_what_the_models_draw(make_run: MakeRun, tmp_path: Path):
    deck = deck_of(make_run(generations=3), out=tmp_path / "deck.pptx")
    opening, film = deck.slides[0], deck.slides[1]
    assert "generation 3" in texts(opening) and "copied" not in texts(opening)
    title = film.shapes.title.text_frame.text.replace("\u00a0", " ")
    assert title == "What the model of each generation draws: 8 faces from the same seeds"
    assert "draws from the same seeds" in texts(film) and "copies" not in texts(film)


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


def test_the_title_of_the_rare_attributes_is_what_they_keep_together(make_run: MakeRun, tmp_path: Path) -> None:
    folder = make_run(generations=2)
    with (folder / "metrics.jsonl").open("a") as file:
        for generation, share in enumerate((0.04, 0.03, 0.01)):
            m = Measurement("tails/vitiligo", share, "share", stderr=0.002, n_fake=2048)
            file.write(m.at(generation, 0 if generation else -1).to_json() + "\n")
    fates = survival(read_run(folder))
    assert fates is not None
    deck = deck_of(folder, out=tmp_path / "deck.pptx", rare=rare_faces())
    titles = [slide.shapes.title.text_frame.text.replace("\u00a0", " ") for slide in deck.slides]
    assert [t for t in titles if f"together the rare attributes keep {fates.rare.words} of their share" in t], titles
