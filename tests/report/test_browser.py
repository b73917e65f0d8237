"""The pages as a reader sees them: opened from a file in a real browser.

They run wherever a chromium is found (``apt-get install chromium``, or name one in ``IMAGELAB_CHROMIUM``); where none
is, the end of the test report says what was left out.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from imagelab.report import write_comparison, write_report

pytestmark = pytest.mark.browser
MakeRun = Callable[..., Path]
OpenPage = Callable[..., Any]

WIDTHS = (380, 1280)
READABLE = 4.5  # WCAG 2.2, 1.4.3: contrast of text with what lies behind it

CONTRASTS = """() => {
  const canvas = document.createElement("canvas"), pen = canvas.getContext("2d", {willReadFrequently: true});
  canvas.width = canvas.height = 1;
  const mix = colours => { pen.clearRect(0, 0, 1, 1);
    for (const c of colours) { pen.fillStyle = c; pen.fillRect(0, 0, 1, 1); }
    return Array.from(pen.getImageData(0, 0, 1, 1).data.slice(0, 3)); };
  const light = rgb => rgb.map(v => v / 255).map(v => v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4)
    .reduce((sum, v, k) => sum + v * [0.2126, 0.7152, 0.0722][k], 0);
  const found = [], walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (walker.nextNode()) {
    const words = walker.currentNode.textContent.trim(), owner = walker.currentNode.parentElement;
    if (!words || !owner.checkVisibility() || owner.closest("script, style, clipPath, defs")) continue;
    const behind = [], svg = owner.closest("svg"), style = getComputedStyle(owner);
    let fade = 1;
    for (let e = owner; e; e = e.parentElement) {
      fade *= Number(getComputedStyle(e).opacity);
      behind.unshift(getComputedStyle(e).backgroundColor);
    }
    const paper = mix(["white", ...behind]), css = `rgb(${paper})`;
    pen.globalAlpha = 1; mix([css]); pen.globalAlpha = fade;
    pen.fillStyle = svg ? style.fill : style.color; pen.fillRect(0, 0, 1, 1);
    const ink = Array.from(pen.getImageData(0, 0, 1, 1).data.slice(0, 3)); pen.globalAlpha = 1;
    const [low, high] = [light(ink), light(paper)].sort((a, b) => a - b);
    found.push([(high + 0.05) / (low + 0.05), words.slice(0, 40), owner.className.baseVal ?? owner.className]);
  }
  return found;
}"""


@pytest.fixture(scope="module")
def page_of_a_run(make_shared_run: MakeRun) -> Path:
    """The page of ten generations of eight faces of 64 px, with a control model and every kind of figure."""
    return write_report(
        make_shared_run(generations=10, faces=np.repeat(np.repeat(_noise(8, 32), 2, axis=2), 2, axis=3))
    )


@pytest.fixture(scope="module")
def page_of_copies(make_shared_run: MakeRun) -> Path:
    """The page of a run that drew no pictures from the same seeds: it begins with copies of real ones."""
    faces = np.repeat(np.repeat(_noise(8, 32), 2, axis=2), 2, axis=3)
    run = make_shared_run(name="copies", generations=10, faces=faces)
    for pictures in run.glob("gen-*/probe.npy"):
        if pictures.parent.name != "gen-000":
            pictures.unlink()
    return write_report(run)


@pytest.fixture(scope="module")
def page_of_two_runs(make_shared_run: MakeRun) -> Path:
    runs = [
        make_shared_run(name="a", generations=4),
        make_shared_run(name="b", generations=4, experiment={"regime": {"kind": "accumulate"}}),
    ]
    return write_comparison(runs, runs[0].parent / "compare" / "index.html")


@pytest.fixture(scope="module", params=["run", "comparison"])
def page(request: pytest.FixtureRequest) -> Path:
    name = "page_of_a_run" if request.param == "run" else "page_of_two_runs"
    return request.getfixturevalue(name)


def _noise(count: int, side: int) -> np.ndarray:
    return np.random.default_rng(3).integers(0, 256, (count, 3, side, side), dtype=np.uint8)


def test_nothing_is_fetched_and_nothing_goes_wrong(open_page: OpenPage, page: Path) -> None:
    with open_page(page) as visit:
        for summary in visit.tab.locator("summary").all():
            if summary.is_visible():
                summary.click()
        assert visit.complaints == []
        assert [url[:60] for url in visit.asked if not url.startswith("data:")] == [page.as_uri()[:60]]


@pytest.mark.parametrize("width", WIDTHS)
def test_no_page_is_wider_than_its_window_folds_open_or_shut(open_page: OpenPage, page: Path, width: int) -> None:
    with open_page(page, width) as visit:
        for act in ("", "document.querySelectorAll('details').forEach(d => d.open = true)"):
            visit.tab.evaluate(act)
            assert visit.tab.evaluate("document.documentElement.scrollWidth") <= width


def test_the_slider_moves_the_picture_by_mouse_and_by_arrow_keys(open_page: OpenPage, page: Path) -> None:
    with open_page(page) as visit:
        picture = visit.tab.locator("#flip-image, #many img.now").first
        slider = visit.tab.locator("#generation, #many-range").first
        last, word = picture.get_attribute("src"), slider.input_value()
        slider.focus()
        visit.tab.keyboard.press("ArrowLeft")
        before = picture.get_attribute("src")
        assert before != last and slider.input_value() == str(int(word) - 1)
        assert str(int(word) - 1) in slider.get_attribute("aria-valuetext")
        visit.tab.keyboard.press("Home")
        real = picture.get_attribute("src")
        assert real not in (last, before) and slider.get_attribute("aria-valuetext") == "real"
        slider.scroll_into_view_if_needed()
        box = slider.bounding_box()
        visit.tab.mouse.click(box["x"] + box["width"] - 3, box["y"] + box["height"] / 2)
        assert picture.get_attribute("src") == last


def lens(visit: Any, order: int) -> str:
    return visit.tab.locator("#loupe canvas").nth(order).evaluate("canvas => canvas.toDataURL()")


def test_the_loupe_shows_drawn_pictures_alone_because_no_real_one_belongs_to_them(
    open_page: OpenPage, page_of_a_run: Path
) -> None:
    with open_page(page_of_a_run) as visit:
        assert visit.tab.locator("#loupe canvas").count() == 1
        before = lens(visit, 0)
        visit.tab.locator("#generation").focus()
        visit.tab.keyboard.press("ArrowLeft")
        assert lens(visit, 0) != before
        label = visit.tab.locator("#loupe canvas").get_attribute("aria-label")
        assert label == "Picture 1, enlarged: generation 9"


def test_the_loupe_follows_pointer_keys_and_slider(open_page: OpenPage, page_of_copies: Path) -> None:
    with open_page(page_of_copies) as visit:
        loupe = visit.tab.locator("#loupe")
        first = lens(visit, 0), lens(visit, 1)
        assert loupe.is_visible() and first[0] != first[1]
        visit.tab.locator("#generation").focus()
        visit.tab.keyboard.press("Home")
        assert (lens(visit, 0), lens(visit, 1)) == (first[0], first[0])
        frame = visit.tab.locator("#flip .frame").last
        box = frame.bounding_box()
        frame.hover(position={"x": box["width"] * 0.7, "y": box["height"] * 0.3})
        pointed = lens(visit, 0)
        assert pointed != first[0]
        loupe.focus()
        for key in ("ArrowLeft", "ArrowDown", "Shift+ArrowLeft"):
            before = lens(visit, 0)
            visit.tab.keyboard.press(key)
            assert lens(visit, 0) != before, key
        for _ in range(400):
            visit.tab.keyboard.press("ArrowRight")
        label = visit.tab.locator("#loupe canvas").first.get_attribute("aria-label")
        assert label == "Picture 5, enlarged: real"


def test_a_tap_moves_the_loupe_on_a_phone(open_page: OpenPage, page_of_copies: Path) -> None:
    with open_page(page_of_copies, 380, has_touch=True, is_mobile=True) as visit:
        frame = visit.tab.locator("#flip .frame").first
        box = frame.bounding_box()
        frame.tap(position={"x": box["width"] * 0.9, "y": box["height"] * 0.5})
        label = visit.tab.locator("#loupe canvas").first.get_attribute("aria-label")
        assert label == "Picture 3, enlarged: real"


def test_without_scripts_all_is_there_but_slider_and_loupe(open_page: OpenPage, page: Path) -> None:
    with open_page(page, java_script_enabled=False) as visit:
        assert visit.tab.locator("h1").is_visible()
        assert visit.tab.locator("input:visible, button:visible, .tools:visible").count() == 0
        assert visit.tab.locator("#loupe:visible").count() == 0
        assert visit.tab.locator(".strip img").count() > 3


def test_ten_generations_open_in_under_a_second_and_weigh_under_4_megabytes(
    open_page: OpenPage, page_of_a_run: Path
) -> None:
    assert page_of_a_run.stat().st_size < 4_000_000
    took = []
    for _ in range(3):
        with open_page(page_of_a_run) as visit:
            took.append(visit.tab.evaluate("performance.getEntriesByType('navigation')[0].loadEventEnd"))
    assert 0 < min(took) < 1000, took


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_all_text_stands_out_from_its_ground(open_page: OpenPage, page: Path, scheme: str) -> None:
    with open_page(page, scheme=scheme) as visit:
        visit.tab.evaluate("document.querySelectorAll('details').forEach(d => d.open = true)")
        found = visit.tab.evaluate(CONTRASTS)
    assert len(found) > 100
    assert not (pale := [row for row in found if row[0] < READABLE]), pale


def test_what_a_figure_says_can_be_found_by_the_browser(open_page: OpenPage, page: Path) -> None:
    with open_page(page) as visit:
        for words in ("generation (0 = real images)", "Protocol", "VAE"):
            assert visit.tab.evaluate("words => window.find(words)", words), words


def test_a_print_cuts_no_figure_in_two(open_page: OpenPage, page: Path, tmp_path: Path) -> None:
    pdf = tmp_path / "page.pdf"
    with open_page(page) as visit:
        visit.tab.pdf(path=pdf, format="A4", print_background=True)
        visit.tab.emulate_media(media="print")
        visit.tab.set_viewport_size({"width": 718, "height": 1050})  # A4 at 96 dpi less 1 cm margins
        cut = visit.tab.evaluate(
            """() => Array.from(document.querySelectorAll("figure:not(.strip), .fact, .strip .row"))
               .filter(e => e.checkVisibility())
               .filter(e => e.offsetHeight > 1050 || e.scrollWidth > 718 || getComputedStyle(e).breakInside !== "avoid")
               .map(e => e.className + " " + e.offsetHeight)"""
        )
    assert cut == []
    assert len(re.findall(rb"/Type\s*/Page\b", pdf.read_bytes())) > 1


def test_the_loupe_outlives_a_moment_without_layout(open_page: OpenPage, page_of_a_run: Path) -> None:
    with open_page(page_of_a_run) as visit:
        for show in ("none", ""):
            visit.tab.evaluate(f"document.body.style.display = '{show}'; window.dispatchEvent(new Event('resize'))")
        left = visit.tab.locator(".mark").first.evaluate("mark => parseFloat(mark.style.left)")
        assert left > 0
