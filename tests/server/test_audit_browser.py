"""An audit as a person does it: the command, a browser, the keyboard, and a kill in the middle."""

from __future__ import annotations

import importlib
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from imagelab.io.answers import read_answers
from imagelab.run_folder import RunFolder
from imagelab.runs.check import check_run

pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(sys.platform != "linux", reason="what a process has loaded is read from /proc"),
]

Started = Callable[..., tuple[subprocess.Popen[bytes], str]]


@pytest.fixture
def started(tmp_path: Path) -> Iterator[Started]:
    """Return a function that starts `imagelab WORDS` and returns the process and the address it prints."""
    running: list[subprocess.Popen[bytes]] = []

    def start(*words: str) -> tuple[subprocess.Popen[bytes], str]:
        log = tmp_path / f"log-{len(running)}.txt"
        with log.open("wb") as file:  # a pipe would hang when the server is killed
            command = [sys.executable, "-m", "imagelab", *words, "--no-browser"]
            process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=file, stderr=subprocess.STDOUT)
        running.append(process)
        for _ in range(600):
            if found := re.search(r"open: (\S+)", log.read_text()):
                return process, found[1]
            assert process.poll() is None, log.read_text()
            time.sleep(0.1)
        raise AssertionError(log.read_text())

    yield start
    for process in running:
        process.kill()
        process.wait()


def violations(tab: Any) -> list[str]:
    axe: Any = importlib.import_module("axe_playwright_python.sync_playwright").Axe()
    return [f"{each['id']}: {each['nodes'][0]['html'][:120]}" for each in axe.run(tab).response["violations"]]


def watched(browser: Any, width: int = 1280, **more: Any) -> tuple[Any, list[str], list[str]]:
    """A tab, what its console said, and the addresses it asked for."""
    tab = browser.new_context(viewport={"width": width, "height": 800}, **more).new_page()
    tab.set_default_timeout(20000)
    said: list[str] = []
    asked: list[str] = []
    tab.on("console", lambda message: said.append(message.text))
    tab.on("pageerror", lambda error: said.append(str(error)))
    tab.on("request", lambda request: asked.append(request.url))
    return tab, said, asked


def press(tab: Any, key: str) -> None:
    tab.locator("[autofocus]:focus").wait_for(state="attached")  # the browser sets it after the page is there
    with tab.expect_navigation():
        tab.keyboard.press(key)


def test_forty_pictures_by_keyboard_with_a_kill_in_the_middle(browser: Any, started: Started, a_run: Path):
    words = ("audit", str(a_run), "--pictures", "40", "--rater", "anna", "--seed", "5")
    process, address = started(*words)
    tab, said, asked = watched(browser)
    tab.goto(address)
    assert "token" not in tab.url and violations(tab) == []
    press(tab, "Enter")  # the link to begin has the focus
    shown = []
    for number in range(17):
        assert tab.title() == f"Picture {number + 1} of 40: Real or generated?"
        shown.append(tab.locator("img").get_attribute("src"))
        press(tab, "ArrowLeft" if number % 2 else "ArrowRight")
    assert "torch" not in Path(f"/proc/{process.pid}/maps").read_text()
    (path,) = (a_run / "audits").glob("tell-*-anna.jsonl")
    assert len(read_answers(path)[1]) == 17  # each is there before the next picture is
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    path.write_bytes(path.read_bytes()[:-9])  # as if it had been killed while it wrote

    _, again = started(*words)
    assert again != address
    tab.goto(again)
    assert tab.title() == "Picture 17 of 40: Real or generated?" and tab.url.endswith("/question")
    assert tab.locator("img").get_attribute("src") == shown[16]  # its answer was not whole
    assert violations(tab) == []
    for number in range(16, 40):
        source = tab.locator("img").get_attribute("src")
        assert (source in shown) == (number == 16)
        press(tab, "ArrowRight" if number % 2 else "ArrowLeft")
    assert tab.url.endswith("/end") and violations(tab) == []
    answers = read_answers(path)[1]
    assert [each.picture for each in answers] == list(range(40))
    assert [each.word for each in answers[:4]] == ["generated", "real"] * 2  # right key, left key
    assert said == [] and {re.sub(r":\d+/.*", "", url) for url in asked} == {"http://127.0.0.1"}
    assert not check_run(a_run).problems and RunFolder.open(a_run).shards() == [(0, -1), (1, 0), (2, 0)]


def test_on_a_phone_without_scripts_and_at_twice_the_size_the_page_can_be_used(
    browser: Any, started: Started, a_run: Path
):
    _, address = started("audit", str(a_run), "--pictures", "6", "--task", "keep")
    for width, more in ((380, {"color_scheme": "dark", "has_touch": True, "is_mobile": True}), (640, {}), (320, {})):
        tab, said, _ = watched(browser, width, **more)  # 640: a window of 1280 at 200 %
        tab.goto(address)
        if not tab.url.endswith("/question"):
            tab.locator("a.button").click()
            tab.wait_for_url("**/question")
        assert tab.evaluate("document.documentElement.scrollWidth") <= width and violations(tab) == []
        boxes = [each.bounding_box() for each in tab.locator("button").all()]
        assert len(boxes) == 2 and all(box["height"] >= 44 and box["width"] >= 44 for box in boxes)
        focus = "document.activeElement.tagName + (document.activeElement.value ?? '')"
        order = [tab.evaluate(focus)]
        for _ in range(2):
            tab.keyboard.press("Tab")
            order.append(tab.evaluate(focus))
        assert order == ["H1", "BUTTONreject", "BUTTONkeep"]
        picture = tab.locator("img")
        assert picture.evaluate("image => image.complete && image.naturalWidth") == 16
        assert "real" not in picture.get_attribute("alt") and tab.locator("[role=status]").count() == 1
        with tab.expect_navigation():
            tab.locator("button").nth(1).click()
        assert said == []
        tab.context.close()
    plain, _, _ = watched(browser, java_script_enabled=False, reduced_motion="reduce")
    plain.goto(address)
    assert plain.title().startswith("Picture 4 of 6")
    with plain.expect_navigation():
        plain.locator("button").first.click()
    assert plain.title().startswith("Picture 5 of 6")


def test_two_presses_are_one_answer_and_an_old_page_says_so(browser: Any, started: Started, a_run: Path):
    _, address = started("audit", str(a_run), "--pictures", "6")
    tab, _, _ = watched(browser)
    tab.goto(address)
    press(tab, "Enter")
    with tab.expect_navigation():
        tab.evaluate(
            """() => { for (const key of ["ArrowLeft", "ArrowRight", "ArrowLeft"])
                 document.dispatchEvent(new KeyboardEvent("keydown", {key})); }"""
        )
    assert tab.title().startswith("Picture 2 of 6")
    old = tab.context.new_page()
    old.goto(tab.url)
    tab.bring_to_front()
    press(tab, "ArrowLeft")
    old.bring_to_front()
    press(old, "ArrowRight")
    assert old.locator("h1").text_content() == "Answered already" and violations(old) == []
    with old.expect_navigation():
        old.locator("a.button").click()
    assert old.title().startswith("Picture 3 of 6")
