"""The page of a study as a reader sees it: narrow screens, dark and light, an accessibility audit.

See test_browser.py for what these tests need.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

from imagelab.report import write_study

from .test_browser import CONTRASTS, READABLE
from .test_browser_compare import LEAVING, OPEN
from .test_study_page import difference, small_study

pytestmark = pytest.mark.browser
OpenPage = Callable[..., Any]


def present(settings: Mapping[str, object]) -> bool:
    return settings["regime.kind"] != "mix" or settings["images"] == 512


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The page of a study with missing points, all of whose sections are there."""
    axes = {"seed": [0, 1], "regime.kind": ["replace", "accumulate", "mix"], "images": [512, 2048]}
    return write_study(small_study(tmp_path_factory.mktemp("study"), axes, difference, begun=present))


@pytest.mark.parametrize(("width", "scheme"), [(380, "light"), (1280, "dark")])
def test_all_is_readable_within_the_screen_and_nothing_is_fetched(
    open_page: OpenPage, page: Path, width: int, scheme: str
):
    axe: Any = importlib.import_module("axe_playwright_python.sync_playwright").Axe()
    with open_page(page, width, scheme) as visit:
        visit.tab.evaluate(OPEN)
        assert visit.tab.evaluate(LEAVING) == []
        assert visit.tab.evaluate("document.documentElement.scrollWidth") == width
        pale = [row for row in visit.tab.evaluate(CONTRASTS) if row[0] < READABLE]
        assert not pale, pale
        found = axe.run(visit.tab).response["violations"]
        assert [(each["id"], [node["html"][:90] for node in each["nodes"]]) for each in found] == []
        assert visit.complaints == []
        assert [url for url in visit.asked if not url.startswith("data:")] == [page.as_uri()]
        assert visit.tab.locator(".map td.missing").count() == 1
