"""The page of a run as an instrument: one chosen generation, values, addresses, downloads, a print, axe."""

from __future__ import annotations

import csv
import importlib
import io
import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
import pytest

from imagelab.data.faces import Faces
from imagelab.metrics.freckle_calibration import shipped_calibration
from imagelab.provenance.claims import svg_claims
from imagelab.report import write_report
from imagelab.report.numbers import interval
from imagelab.report.pictured import pictured
from imagelab.report.run_view import Run, read_run

pytestmark = pytest.mark.browser
MakeRun = Callable[..., Path]
OpenPage = Callable[..., Any]

LAST = 4

TEXTS = """() => Array.from(document.querySelectorAll(".plot svg")).flatMap(svg => {
  const whole = svg.getBoundingClientRect(), found = [];
  if (!svg.checkVisibility()) return [];
  const texts = Array.from(svg.querySelectorAll("text")).map(t => [t.textContent, t.getBoundingClientRect()]);
  texts.forEach(([words, box], order) => {
    if (box.left < whole.left - 1 || box.right > whole.right + 1 || box.top < whole.top - 1 ||
        box.bottom > whole.bottom + 1) found.push("outside: " + words);
    texts.slice(order + 1).forEach(([others, other]) => {
      const wide = Math.min(box.right, other.right) - Math.max(box.left, other.left);
      const high = Math.min(box.bottom, other.bottom) - Math.max(box.top, other.top);
      if (wide > 1 && high > 0.4 * Math.min(box.height, other.height)) found.push(words + " over " + others);
    });
  });
  return found.map(words => svg.closest("figure").querySelector("h2, h3")?.textContent + ": " + words);
})"""
"""Texts of the figures that leave their figure, or cover another text."""

CUT = """() => Array.from(document.querySelectorAll("p, h1, h2, h3, dt, dd, figcaption, summary, button, .cells span"))
  .filter(e => e.checkVisibility() && e.scrollWidth > e.clientWidth + 1 && e.clientWidth > 0
    && getComputedStyle(e).overflowX !== "visible" && !e.closest(".scroll, .plot, .unseen, .skip"))
  .map(e => e.textContent.slice(0, 60))"""
"""Texts that are cut by their own box."""


@pytest.fixture(scope="module")
def folder(make_shared_run: MakeRun) -> Path:
    faces = Faces(size=64, freckle_rate=1.0, cache=False).load("heldout", 8, 7).images
    card = {"freckle_calibration": {"digest": shipped_calibration(64).digest}}
    return make_shared_run(generations=LAST, faces=faces, provenance=card)


@pytest.fixture(scope="module")
def run(folder: Path) -> Run:
    return read_run(folder)


@pytest.fixture(scope="module")
def page(folder: Path) -> Path:
    return write_report(folder)


def said(run: Run, name: str, generation: int, line: int = 0) -> str:
    m = run.at(name, generation, line)
    assert m is not None
    return interval(m)


def value_of(visit: Any, chart: str) -> str:
    return visit.tab.locator(f"[data-chart='{chart}'] .readout dd").first.text_content()


def test_one_choice_moves_pictures_figures_strips_values_and_rules(open_page: OpenPage, page: Path, run: Run) -> None:
    with open_page(page) as visit:
        visit.tab.evaluate("document.querySelectorAll('details').forEach(d => d.open = true)")
        visit.tab.locator("#generation").focus()
        for _ in range(2):
            visit.tab.keyboard.press("ArrowLeft")
        assert visit.tab.locator("#generation-out").text_content() == "2"
        assert visit.tab.locator(".fact .value").first.text_content() == said(run, "freckles/count", 2)
        assert visit.tab.locator("#facts-generation").text_content() == "generation 2"
        assert visit.tab.locator("#flip-who").text_content() == "generation 2"
        rows = visit.tab.locator(".strip .row.now").evaluate_all("rows => rows.map(row => row.dataset.row)")
        assert rows and set(rows) == {"2"}
        charts = visit.tab.evaluate("lab.data.charts")
        assert len(charts) > 8
        for key, chart in charts.items():
            found = visit.tab.locator(f"[data-chart='{key}'] .rule").evaluate_all(
                "r => r.map(x => +x.getAttribute('x1'))"
            )
            assert found == pytest.approx([start + 2 * step for start, step, _, _ in chart["frames"]])
            if chart["series"]:
                _, name, line, _ = chart["series"][0]
                assert value_of(visit, key) == said(run, name, 2, line), key
        assert visit.complaints == []


def test_a_rule_stands_where_the_generation_is_drawn(open_page: OpenPage, page: Path) -> None:
    with open_page(page, at="#generation=3") as visit:
        apart = visit.tab.evaluate("""() => Array.from(document.querySelectorAll(".panels .chart[data-chart]"))
          .filter(f => f.checkVisibility() && f.querySelector(".rule")).map(f => {
            const tick = Array.from(f.querySelectorAll("text")).find(t => t.textContent === "3" &&
              t.getBoundingClientRect().top > f.querySelector(".rule").getBoundingClientRect().bottom - 2);
            const mid = box => (box.left + box.right) / 2;
            return Math.abs(mid(tick.getBoundingClientRect()) - mid(f.querySelector(".rule").getBoundingClientRect()));
          })""")
    assert len(apart) > 8 and max(apart) < 1.5


def test_pointing_shows_values_and_a_click_chooses(open_page: OpenPage, page: Path, run: Run) -> None:
    with open_page(page) as visit:
        plot = visit.tab.locator("[data-chart='hf_ratio'] .plot")
        plot.scroll_into_view_if_needed()
        start, step, top, bottom = visit.tab.evaluate("lab.data.charts.hf_ratio.frames[0]")
        scale = plot.evaluate("p => p.clientWidth / p.querySelector('svg').viewBox.baseVal.width")
        at = {"x": (start + 1.2 * step) * scale, "y": (top + bottom) / 2 * scale}
        plot.hover(position=at)
        assert value_of(visit, "hf_ratio") == said(run, "hf_ratio", 1)
        assert visit.tab.locator("#generation-out").text_content() == str(LAST)
        visit.tab.mouse.move(2, 2)
        assert value_of(visit, "hf_ratio") == said(run, "hf_ratio", LAST)
        plot.click(position=at)
        assert visit.tab.locator("#generation-out").text_content() == "1"
        assert visit.tab.evaluate("location.hash") == "#generation=1&chart=hf_ratio"
        plot.focus()
        visit.tab.keyboard.press("ArrowRight")
        assert value_of(visit, "hf_ratio") == said(run, "hf_ratio", 2)


def test_a_tap_on_a_phone_chooses_a_generation(open_page: OpenPage, page: Path) -> None:
    with open_page(page, 380, has_touch=True, is_mobile=True) as visit:
        plot = visit.tab.locator("[data-chart='hf_ratio'] .plot")
        plot.scroll_into_view_if_needed()
        box = plot.bounding_box()
        plot.tap(position={"x": box["width"] * 0.16, "y": box["height"] * 0.5})
        assert visit.tab.locator("#generation-out").text_content() == "real"


def test_an_address_leads_to_its_generation_and_chart_and_opens_its_fold(open_page: OpenPage, page: Path) -> None:
    with open_page(page, at="#generation=2&chart=tails-other") as visit:
        missing = visit.tab.locator("[data-chart='tails-other']").count()
    folded = "log_spectral_distance" if not missing else "tails-other"
    with open_page(page) as visit:
        keys = visit.tab.evaluate(
            "Array.from(document.querySelectorAll('details .chart[data-chart]')).map(c => c.dataset.chart)"
        )
    folded = keys[-1]
    with open_page(page, at=f"#generation=2&chart={folded}") as visit:
        chart = visit.tab.locator(f"[data-chart='{folded}']")
        top = chart.evaluate("c => c.getBoundingClientRect().top")
        assert chart.is_visible() and -5 <= top < 300
        assert visit.tab.locator("#generation-out").text_content() == "2"
        link = chart.locator(".tools a").get_attribute("href")
        assert link == f"#generation=2&chart={folded}"
    with open_page(page, java_script_enabled=False, at="#chart=hf_ratio") as visit:
        top = visit.tab.locator("[id='chart=hf_ratio']").evaluate("c => c.getBoundingClientRect().top")
        assert -5 <= top < 300


DUBLIN, RDF = "{http://purl.org/dc/elements/1.1/}", "{http://www.w3.org/1999/02/22-rdf-syntax-ns#}"


def download(visit: Any, button: Any) -> tuple[str, str]:
    with visit.tab.expect_download() as waiting:
        button.click()
    got = waiting.value
    return got.suggested_filename, Path(got.path()).read_text("utf-8")


def test_all_numbers_come_as_the_csv_that_lies_beside_the_page(open_page: OpenPage, page: Path, run: Run) -> None:
    with open_page(page) as visit:
        name, text = download(visit, visit.tab.locator("#all-csv"))
    assert name == f"{run.name}-numbers.csv"
    ours, beside = (
        list(csv.DictReader(io.StringIO(each))) for each in (text, (page.parent / "numbers.csv").read_text())
    )
    assert len(ours) == len(beside) > 100
    for mine, theirs in zip(ours, beside, strict=True):
        for key, cell in mine.items():
            digits = key in ("value", "low", "high") and cell
            assert (float(cell) == float(theirs[key])) if digits else (cell == theirs[key])
    for row in ours[::17]:
        line = next(line for line in (-1, *run.lines) if run.label(line, 80) == row["model"])
        m = run.real(row["measurement"]) if line == -1 else run.at(row["measurement"], int(row["generation"]), line)
        assert m is not None and float(row["value"]) == pytest.approx(m.value, rel=1e-6)


def test_a_chart_comes_as_data_as_a_picture_and_as_a_page_of_its_own(
    open_page: OpenPage, page: Path, run: Run, tmp_path: Path
) -> None:
    with open_page(page, scheme="dark") as visit:
        chart = visit.tab.locator("[data-chart='hf_ratio']")
        chart.locator("summary").click()
        _, data = download(visit, chart.locator("[data-do=csv]"))
        _, picture = download(visit, chart.locator("[data-do=svg]"))
        name, embedded = download(visit, chart.locator("[data-do=embed]"))
    rows = list(csv.DictReader(io.StringIO(data)))
    assert {row["measurement"] for row in rows} == {"hf_ratio"} and len(rows) == 1 + 2 * LAST
    root = ElementTree.fromstring(picture)
    words = " ".join(root.itertext())
    assert "var(" not in picture and "Share of fine detail" in words and run.name in words
    (tmp_path / "curve.svg").write_text(picture, "utf-8")
    claims = svg_claims(tmp_path / "curve.svg")
    assert claims.origin == "chart" and "Share of fine detail" in root.findtext(f".//{DUBLIN}title//{RDF}li", "")
    small = tmp_path / name
    small.write_text(embedded, "utf-8")
    assert len(embedded) < 100_000 and "<script" not in embedded
    with open_page(small, 380) as visit:
        assert visit.complaints == [] and [url for url in visit.asked if not url.startswith("data:")] == [
            small.as_uri()
        ]
        assert visit.tab.evaluate("document.documentElement.scrollWidth") <= 380
        assert said(run, "hf_ratio", LAST) in visit.tab.locator("main").inner_text()


def test_circles_stand_on_what_the_counter_counted(open_page: OpenPage, page: Path, run: Run) -> None:
    found = pictured(run, run.pictures(run.leading))
    assert found is not None
    with open_page(page, at="#generation=1") as visit:
        assert visit.tab.locator(".spots").count() == 0
        visit.tab.locator("#circles").check()
        for order, generation in enumerate((0, 1)):
            rings = visit.tab.locator(".spots").nth(order).locator("circle")
            assert rings.count() == sum(map(len, found.spots[generation])) > 0
        x, y = (float(v) for v in found.spots[0][0][0][:2])
        image = visit.tab.locator("#flip .frame img").first.bounding_box()
        ring = visit.tab.locator(".spots").first.locator("circle").first.bounding_box()
        scale = image["height"] / 64
        assert ring["x"] + ring["width"] / 2 == pytest.approx(image["x"] + (x + 0.5) * scale, abs=scale)
        assert ring["y"] + ring["height"] / 2 == pytest.approx(image["y"] + (y + 0.5) * scale, abs=scale)
        assert visit.tab.locator("#flip-count").text_content() == found.words(1, 5)
        assert visit.complaints == []


def test_the_table_can_be_searched_and_ordered_by_distance_from_real(open_page: OpenPage, page: Path) -> None:
    with open_page(page) as visit:
        visit.tab.locator("#filter").fill("freckles")
        seen = visit.tab.locator(".numbers tbody tr:visible th").all_text_contents()
        assert seen and all("reckles" in words for words in seen)
        visit.tab.locator("#filter").fill("")
        visit.tab.locator("#order").select_option("far")
        far = visit.tab.locator(".numbers tbody tr").evaluate_all("r => r.map(x => +(x.dataset.far || -1))")
        assert far == sorted(far, reverse=True) and far[0] > 3


@pytest.mark.parametrize(("width", "scheme"), [(1280, "light"), (1280, "dark"), (380, "light"), (320, "dark")])
def test_axe_finds_nothing_with_all_folds_open(open_page: OpenPage, page: Path, width: int, scheme: str) -> None:
    axe: Any = importlib.import_module("axe_playwright_python.sync_playwright").Axe()
    with open_page(page, width, scheme) as visit:
        visit.tab.evaluate("document.querySelectorAll('details').forEach(d => d.open = true)")
        found = axe.run(visit.tab).response["violations"]
    assert [(each["id"], [node["html"][:100] for node in each["nodes"]][:3]) for each in found] == []


@pytest.mark.parametrize("width", [1280, 380, 320])
def test_no_text_is_cut_or_covered(open_page: OpenPage, page: Path, width: int) -> None:
    with open_page(page, width) as visit:
        visit.tab.evaluate("document.querySelectorAll('details').forEach(d => d.open = true)")
        assert visit.tab.evaluate(TEXTS) == []
        assert visit.tab.evaluate(CUT) == []
        assert visit.tab.evaluate("document.documentElement.scrollWidth") <= width


def test_a_print_is_an_article_of_at_most_12_pages_and_an_annex(open_page: OpenPage, page: Path) -> None:
    def pages(remove: str) -> int:
        with open_page(page) as visit:
            visit.tab.evaluate(f"document.querySelectorAll({remove!r}).forEach(part => part.remove())")
            return len(re.findall(rb"/Type\s*/Page\b", visit.tab.pdf(prefer_css_page_size=True)))

    whole, article, annex = pages("nothing"), pages(".annex, footer"), pages("main > :not(.annex, footer)")
    assert 3 <= article <= 12
    assert whole == article + annex
    with open_page(page) as visit:
        visit.tab.emulate_media(media="print")
        assert visit.tab.evaluate("getComputedStyle(document.querySelector('.annex')).breakBefore") == "page"


def test_a_model_that_cannot_copy_is_not_magnified_beside_faces_that_are_no_counterparts(
    open_page: OpenPage, make_run: MakeRun
) -> None:
    noise = np.random.default_rng(3).integers(0, 256, (8, 3, 32, 32), dtype=np.uint8)
    with open_page(write_report(make_run(generations=2, copies=False, faces=noise))) as visit:
        assert visit.tab.locator("#loupe canvas").count() == 1 and visit.tab.locator(".mark").count() == 1
        first = visit.tab.locator("#loupe canvas").evaluate("c => c.toDataURL()")
        visit.tab.locator("#generation").focus()
        visit.tab.keyboard.press("ArrowLeft")
        assert visit.tab.locator("#loupe canvas").evaluate("c => c.toDataURL()") != first
        assert "no counterpart" in visit.tab.locator("#loupe").inner_text()


def test_the_page_says_what_it_is_to_whoever_shares_it(open_page: OpenPage, page: Path, run: Run) -> None:
    with open_page(page) as visit:
        meta = visit.tab.evaluate(
            "Object.fromEntries(Array.from(document.querySelectorAll('meta[content]')).map("
            "m => [m.getAttribute('property') || m.name, m.content]))"
        )
        heading = visit.tab.locator("h1").text_content()
        shape = visit.tab.evaluate(
            "src => new Promise(done => { const i = new Image(); i.onload = () => done([i.width]); i.src = src; })",
            meta["og:image"],
        )
        anchors = visit.tab.locator(".contents a").evaluate_all("a => a.map(x => x.getAttribute('href').slice(1))")
        assert anchors and all(visit.tab.locator(f"[id='{anchor}']").count() == 1 for anchor in anchors)
        foot = visit.tab.locator("footer").inner_text()
    assert meta["description"] == meta["og:description"] == heading and shape[0] >= 400
    assert re.search(r"measured 20\d\d-\d\d-\d\d", foot) and re.search(r"\b[0-9a-f]{16}\b", foot)
    assert json.dumps(run.name)[1:-1] in foot


@pytest.mark.parametrize("anchor", ["say", "numbers"])
def test_a_part_of_the_page_that_an_address_names_is_not_under_the_slider(
    open_page: OpenPage, page: Path, anchor: str
) -> None:
    with open_page(page, at=f"#{anchor}") as visit:
        title = visit.tab.locator(f"#{anchor} h2").bounding_box()
        bar = visit.tab.locator("#chosen").bounding_box()
        assert bar["y"] + bar["height"] <= title["y"] < 500
