"""The section of the page about detectors: what its sentences claim, and how it looks in a browser."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy.stats import norm

from imagelab.detection.record import VERSION, DetectionRecord, LineFacts, origins
from imagelab.detection.trials import TrialRow, Trials
from imagelab.detection.verdicts import judge_scores
from imagelab.report import write_report
from imagelab.report.detection import detection
from imagelab.report.run_view import read_run
from imagelab.run_folder import RunFolder

MakeRun = Callable[..., Path]
OpenPage = Callable[..., Any]
LAST = 10


def recorded(folder: Path, apart: Callable[[int], float]) -> Path:
    """Write a record of invented scores; ``apart`` says how far generated ones are from real ones, by generation."""
    rows, normal = [], norm.ppf((np.arange(300) + 0.5) / 300)
    for tested in range(1, LAST + 1):
        verdict = judge_scores(normal, normal + apart(tested))
        for trained in range(1, LAST + 1):
            kind = "same" if trained == tested else "later"
            rows += [TrialRow(kind, name, 0, trained, 0, tested, "", verdict) for name in ("all", "features")]
    for tested in (1, 5, LAST):
        verdict = judge_scores(normal + 2, normal + 3)
        rows.append(TrialRow("altered", "all", 0, tested, 0, tested, "half size and back", verdict))
    run = RunFolder.open(folder)
    record = DetectionRecord(
        version=VERSION,
        imagelab="0",
        signature=run.config["signature"],
        made_from=origins(run),
        shape=(3, 8, 8),
        space="none",
        lines=[LineFacts(0, "VAE <b>", 0, 0, ["features"])],
        generations=list(range(1, LAST + 1)),
        real=(300, 300),
        made=(300, 300),
        independent=300,
        second=[],
        second_lines={},
        notes=["A note."],
        mixed=[],
        rows=rows,
    )
    record.write(run, Trials())
    return folder


@pytest.mark.parametrize(
    ("apart", "words"),
    [
        (lambda generation: 0.3 * generation, "became easier"),
        (lambda generation: 3.3 - 0.3 * generation, "became harder"),
        (lambda generation: 1.0 + 0.02 * generation, "Neither easier nor harder"),
        (lambda generation: 1.2 - 0.02 * generation, "Neither easier nor harder"),
    ],
)
def test_easier_and_harder_are_said_only_beyond_the_intervals(
    make_run: MakeRun, apart: Callable[[int], float], words: str
) -> None:
    found, _ = detection(read_run(recorded(make_run(generations=LAST), apart)))
    assert found is not None and any(words in sentence for sentence in found.sentences)
    assert any("of the real images are called generated" in sentence for sentence in found.sentences)


def test_a_page_without_a_record_has_no_section(make_run: MakeRun) -> None:
    assert detection(read_run(make_run(generations=1))) == (None, "")


@pytest.mark.browser
def test_axe_finds_nothing_in_the_section_and_the_page_is_no_wider_than_its_window(
    open_page: OpenPage, make_run: MakeRun
) -> None:
    page = write_report(recorded(make_run(generations=LAST), lambda generation: 0.3 * generation))
    axe: Any = importlib.import_module("axe_playwright_python.sync_playwright").Axe()
    for width, scheme in ((1280, "light"), (380, "dark")):
        with open_page(page, width, scheme) as visit:
            visit.tab.evaluate("document.querySelectorAll('#detection details').forEach(d => d.open = true)")
            assert visit.tab.locator("#detection .heat td").count() == 2 * LAST * LAST
            assert visit.tab.locator("#detection svg").count() == 1
            assert visit.tab.evaluate("document.documentElement.scrollWidth") <= width
            found = axe.run(visit.tab, context="#detection").response["violations"]
        assert [(each["id"], [node["html"][:100] for node in each["nodes"]][:3]) for each in found] == []
