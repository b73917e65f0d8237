"""The comparison page as a reader sees it: the divider, the plot of all runs, narrow screens, an accessibility audit.

See test_browser.py for what these tests need.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from imagelab.report import write_comparison

from .test_browser import CONTRASTS, READABLE

pytestmark = pytest.mark.browser
MakeRun = Callable[..., Path]
OpenPage = Callable[..., Any]

WIDTHS = (320, 380, 1280)
OPEN = "document.querySelectorAll('details').forEach(d => d.open = true)"

COVERED = """() => {
  const texts = Array.from(document.querySelectorAll("#points-plot svg text")), found = [];
  const svg = document.querySelector("#points-plot svg").getBoundingClientRect();
  const boxes = texts.map(t => t.getBoundingClientRect());
  boxes.forEach((a, i) => {
    if (a.left < svg.left - 1 || a.right > svg.right + 1 || a.top < svg.top - 1 || a.bottom > svg.bottom + 1)
      found.push(["outside", texts[i].textContent]);
    boxes.slice(i + 1).forEach((b, k) => {
      if (Math.min(a.right, b.right) - Math.max(a.left, b.left) > 1
          && Math.min(a.bottom, b.bottom) - Math.max(a.top, b.top) > 4)
        found.push(["overlap", texts[i].textContent, texts[i + 1 + k].textContent]);
    });
  });
  return found;
}"""

LEAVING = """() => Array.from(document.querySelectorAll("h1,h2,h3,p,figcaption,label,select,li,summary,dt,dd"))
  .filter(e => e.checkVisibility() && !e.closest(".scroll"))
  .map(e => [e.getBoundingClientRect(), e])
  .filter(([box, e]) => box.right > innerWidth + 1 || box.left < -1 || (e.scrollWidth > e.clientWidth + 1
    && e.clientWidth > 0 && getComputedStyle(e).display !== "inline" && e.tagName !== "SELECT"))
  .map(([box, e]) => [e.tagName, e.className, e.textContent.trim().slice(0, 60)])"""


def side_by_side(make_run: MakeRun, tmp_path: Path, kinds: tuple[str, ...], faces: np.ndarray | None = None) -> Path:
    """Return the page of runs of several regimes, whose pictures differ from regime to regime after generation 0."""
    runs = []
    for order, kind in enumerate(kinds):
        run = make_run(f"{kind}-00000000", 4, faces=faces, experiment={"regime": {"kind": kind}})
        for generation in range(1, 5):
            path = run / f"gen-{generation:03d}" / "photocopy.npy"
            np.save(path, 255 - np.load(path) if order % 2 else np.load(path) // (order + 1))
        runs.append(run)
    return write_comparison(runs, tmp_path / "compare" / "index.html")


@pytest.fixture(scope="module")
def pair(make_shared_run: MakeRun, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return side_by_side(make_shared_run, tmp_path_factory.mktemp("pair"), ("replace", "accumulate"))


@pytest.fixture(scope="module")
def three(make_shared_run: MakeRun, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return side_by_side(make_shared_run, tmp_path_factory.mktemp("three"), ("replace", "accumulate", "mix"))


def divider_of(visit: Any) -> tuple[float, str]:
    """Return where the divider stands, in percent of the strip, and what a screen reader says of it."""
    at = visit.tab.locator(".wipe-frame").evaluate(
        "e => { const r = e.querySelector('.wipe-rule').getBoundingClientRect(), b = e.getBoundingClientRect();"
        " return 100 * (r.left + r.width / 2 - b.left) / b.width; }"
    )
    return at, visit.tab.locator("#wipe-range").get_attribute("aria-valuetext")


def pixel(visit: Any, share: float) -> tuple[int, ...]:
    """Return the mean colour of a narrow stripe of the strip with the divider, at a share of its width."""
    from io import BytesIO

    from PIL import Image

    shot = Image.open(BytesIO(visit.tab.locator(".wipe-frame").screenshot())).convert("RGB")
    x = round(share * shot.width)
    stripe = np.asarray(shot.crop((x - 3, 4, x + 3, shot.height - 4)), float)
    return tuple(stripe.mean(axis=(0, 1)).round().astype(int))


def test_the_divider_shows_one_group_left_and_the_other_right(open_page: OpenPage, pair: Path) -> None:
    with open_page(pair) as visit:
        divider = visit.tab.locator("#wipe-range")
        divider.focus()
        visit.tab.keyboard.press("Home")
        right = pixel(visit, 0.1), pixel(visit, 0.9)
        visit.tab.keyboard.press("End")
        left = pixel(visit, 0.1), pixel(visit, 0.9)
        assert all(np.abs(np.subtract(a, b)).max() > 20 for a, b in zip(left, right, strict=True))
        divider.fill("50")
        assert pixel(visit, 0.1) == left[0] and pixel(visit, 0.9) == right[1]


def test_the_divider_moves_by_keys_pointer_and_range(open_page: OpenPage, pair: Path) -> None:
    with open_page(pair) as visit:
        assert divider_of(visit) == (pytest.approx(50, abs=1), "replace on the left 50 %, accumulate on the right 50 %")
        visit.tab.locator("#wipe-range").focus()
        for _ in range(3):
            visit.tab.keyboard.press("ArrowLeft")
        assert divider_of(visit)[0] == pytest.approx(47, abs=1)
        box = visit.tab.locator(".wipe-frame").bounding_box()
        visit.tab.mouse.move(box["x"] + box["width"] * 0.2, box["y"] + 20)
        visit.tab.mouse.down()
        visit.tab.mouse.move(box["x"] + box["width"] * 0.8, box["y"] + 20)
        assert divider_of(visit) == (pytest.approx(80, abs=1), "replace on the left 80 %, accumulate on the right 20 %")
        visit.tab.mouse.move(box["x"] + box["width"] * 3, box["y"] + 20)
        assert divider_of(visit)[0] == pytest.approx(100, abs=1)
        visit.tab.mouse.up()
        visit.tab.mouse.move(box["x"] + 10, box["y"] + 20)
        assert divider_of(visit)[0] == pytest.approx(100, abs=1)


def test_a_tap_moves_the_divider_on_a_phone(open_page: OpenPage, pair: Path) -> None:
    with open_page(pair, 380, has_touch=True, is_mobile=True) as visit:
        frame = visit.tab.locator(".wipe-frame")
        box = frame.bounding_box()
        frame.tap(position={"x": box["width"] * 0.25, "y": box["height"] * 0.5})
        assert divider_of(visit)[0] == pytest.approx(25, abs=1)


def test_one_slider_moves_both_sides_and_all_strips(open_page: OpenPage, pair: Path) -> None:
    with open_page(pair) as visit:
        pictures = visit.tab.locator(".wipe-frame img, #many img.now")
        before = [picture.get_attribute("src") for picture in pictures.all()]
        visit.tab.locator("#many-range").focus()
        visit.tab.keyboard.press("ArrowLeft")
        after = [picture.get_attribute("src") for picture in pictures.all()]
        assert len(before) == 4 and all(a != b for a, b in zip(before, after, strict=True))
        assert after[:2] == after[2:]
        assert [picture.get_attribute("alt") for picture in pictures.all()[:2]] == [
            "replace, generation 3",
            "accumulate, generation 3",
        ]
        visit.tab.keyboard.press("Home")
        real = {picture.get_attribute("src") for picture in pictures.all()}
        assert len(real) == 1


def test_of_three_groups_two_are_chosen(open_page: OpenPage, three: Path) -> None:
    with open_page(three) as visit:
        sides = visit.tab.locator(".wipe-frame img")
        visit.tab.locator("#wipe select").nth(1).select_option(label="mix")
        strip = visit.tab.locator("figure.strip").nth(2).locator("img").last
        assert sides.nth(1).get_attribute("src") == strip.get_attribute("src")
        assert divider_of(visit)[1] == "replace on the left 50 %, mix on the right 50 %"


def test_the_caption_says_whether_columns_correspond(open_page: OpenPage, make_run: MakeRun, tmp_path: Path) -> None:
    faces = np.random.default_rng(5).integers(0, 256, (8, 3, 16, 16), dtype=np.uint8)
    same = [make_run("a-00000000", 2), make_run("b-00000000", 2, experiment={"regime": {"kind": "mix"}})]
    other = make_run("c-00000000", 2, faces=faces, experiment={"regime": {"kind": "accumulate"}})
    with open_page(write_comparison([*same, other], tmp_path / "page.html")) as visit:
        caption = visit.tab.locator("#wipe figcaption")
        assert "Both copy the same real images" in caption.inner_text()
        visit.tab.locator("#wipe select").nth(1).select_option(label="accumulate")
        assert "do not correspond" in caption.inner_text() and "Both copy" not in caption.inner_text()


def test_other_measurements_can_be_put_on_the_axes(open_page: OpenPage, three: Path) -> None:
    with open_page(three) as visit:
        plot = visit.tab.locator("#points-plot svg")
        assert plot.count() == 1 and visit.tab.locator("#points-plot .point").count() == 3
        first, name = plot.inner_html(), plot.get_attribute("aria-label")
        visit.tab.locator("#points-x").select_option(label="Pixel variance")
        assert plot.inner_html() != first and plot.get_attribute("aria-label") != name
        assert "Pixel variance across" in plot.get_attribute("aria-label")
        visit.tab.locator("#points summary").click()
        heads = visit.tab.locator("#points thead th").all_inner_texts()
        assert heads[3] == "Pixel variance"
        cells = visit.tab.locator("#points tbody tr").first.locator("th, td").all_inner_texts()
        assert cells[:3] == ["replace", "replace-00000000", "0"] and cells[3].startswith("0.88 (")


def test_a_point_tells_its_values_to_keyboard_and_pointer(open_page: OpenPage, three: Path) -> None:
    with open_page(three) as visit:
        told = visit.tab.locator("#points-told")
        assert told.inner_text().startswith("Point at a run")
        visit.tab.locator("#points-path").focus()
        visit.tab.keyboard.press("Tab")
        assert told.inner_text().startswith("replace, seed 0 (replace-00000000), generation 4: ")
        visit.tab.keyboard.press("Tab")
        words = told.inner_text()
        assert words.startswith("accumulate, seed 0") and " to " in words
        point = visit.tab.locator("#points-plot .point").nth(1)
        assert point.get_attribute("aria-label") == words.removesuffix(".")
        box = visit.tab.locator("#points-plot .point .hit").nth(2).bounding_box()
        assert min(box["width"], box["height"]) >= 24
        visit.tab.mouse.move(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
        assert visit.tab.locator("#points-told").inner_text().startswith("mix, seed 0")


def test_the_path_leads_from_real_images_to_the_point(open_page: OpenPage, pair: Path) -> None:
    with open_page(pair) as visit:
        assert visit.tab.locator("#points-plot .way").count() == 0
        visit.tab.locator("#points-path").check()
        steps = visit.tab.locator("#points-plot .way").first.get_attribute("points").split(" ")
        assert len(steps) == 5 and visit.tab.locator("#points-plot .begin").count() == 2


@pytest.mark.parametrize("width", WIDTHS)
def test_nothing_leaves_the_page_and_no_label_covers_another(open_page: OpenPage, three: Path, width: int) -> None:
    with open_page(three, width) as visit:
        visit.tab.evaluate(OPEN)
        for box in ("#points-path",):
            visit.tab.locator(box).check()
        assert visit.tab.evaluate("document.documentElement.scrollWidth") <= width
        assert visit.tab.evaluate(COVERED) == []
        assert visit.tab.evaluate(LEAVING) == []
        for choice in visit.tab.locator("#points-y option").all()[:6]:
            visit.tab.locator("#points-y").select_option(choice.get_attribute("value"))
            assert visit.tab.evaluate(COVERED) == []


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_all_text_of_a_comparison_stands_out_from_its_ground(open_page: OpenPage, three: Path, scheme: str) -> None:
    with open_page(three, scheme=scheme) as visit:
        visit.tab.evaluate(OPEN)
        found = visit.tab.evaluate(CONTRASTS)
    assert len(found) > 100
    assert not (pale := [row for row in found if row[0] < READABLE]), pale


def test_nothing_is_fetched_whatever_is_chosen(open_page: OpenPage, three: Path) -> None:
    with open_page(three) as visit:
        for chosen in visit.tab.locator("select").all():
            chosen.select_option(index=1)
        visit.tab.locator("#points-path").check()
        assert visit.complaints == []
        assert [url[:60] for url in visit.asked if not url.startswith("data:")] == [three.as_uri()[:60]]


def test_without_scripts_strips_plot_and_table_remain(open_page: OpenPage, pair: Path) -> None:
    with open_page(pair, java_script_enabled=False) as visit:
        assert not visit.tab.locator("#wipe").is_visible()
        assert visit.tab.locator("#many img.now").count() == 2
        assert visit.tab.locator("#points-plot svg").is_visible()
        assert not visit.tab.locator("#points-x").is_visible()
        visit.tab.locator("#points summary").click()
        assert visit.tab.locator("#points tbody tr").count() == 2


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", WIDTHS)
def test_axe_finds_nothing_on_a_comparison(open_page: OpenPage, three: Path, width: int, scheme: str) -> None:
    axe: Any = importlib.import_module("axe_playwright_python.sync_playwright").Axe()
    with open_page(three, width, scheme) as visit:
        visit.tab.evaluate(OPEN)
        visit.tab.locator("#points-path").check()
        found = axe.run(visit.tab).response["violations"]
    assert [(each["id"], [node["html"][:90] for node in each["nodes"]]) for each in found] == []
