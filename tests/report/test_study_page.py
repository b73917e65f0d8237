"""The page of a study: what it says is what was measured, and what is missing is named."""

from __future__ import annotations

import csv
import itertools
import json
import re
import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from html import unescape
from pathlib import Path

import numpy as np
import pytest

from imagelab.cli import main
from imagelab.measurement import Measurement
from imagelab.report import write_study
from imagelab.report.numbers import NBSP, number
from imagelab.report.palette import ink_on
from imagelab.report.study_cells import arranged, choice_words, shade
from imagelab.report.study_view import StudyPoint, StudyView

from .conftest import small_run

KEY = "freckles/corrected"


def small_study(
    home: Path,
    axes: Mapping[str, Sequence[object]],
    shift: Callable[[Mapping[str, object]], float],
    *,
    primary: Sequence[tuple[str, int]] = (),
    begun: Callable[[Mapping[str, object]], bool] = lambda settings: True,
    chains: int = 1,
) -> Path:
    """Write a study of small runs, all combinations of the values; ``shift`` is added to the primary outcome."""
    grid: list[dict[str, object]] = [{}]
    for name, values in axes.items():
        grid = [{**each, name: value} for each in grid for value in values]
    folder = home / "small-00c0ffee.study"
    (folder / "points").mkdir(parents=True)
    points = []
    for order, settings in enumerate(grid):
        name, regime = f"small-{order:08x}", {"kind": settings.get("regime.kind", "replace")}
        changed = {"regime": regime, "seed": settings.get("seed", 0), "replicates": chains, "arms": []}
        changed |= {"images": settings.get("images", 2048)}
        run = small_run(home, name, 2, experiment=changed)
        for shard in run.glob("gen-*-line-1"):
            shutil.rmtree(shard)
        lines = [Measurement.from_json(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
        lines = [m for m in lines if m.line <= 0]
        rng = np.random.default_rng(order)
        moved = []
        for m in lines:
            for chain in range(chains if m.generation else 1):
                extra = shift(settings) + 0.05 * rng.normal() if m.name == KEY and m.generation else 0.0
                line = json.loads(m.to_json()) | ({"line": chain} if m.generation else {})
                moved.append(json.dumps(line | ({} if m.value is None else {"value": m.value + extra})))
        (run / "metrics.jsonl").write_text("\n".join(moved) + "\n")
        for chain in range(1, chains):
            for generation in (1, 2):
                shutil.copytree(run / f"gen-{generation:03d}", run / f"gen-{generation:03d}-line-{chain}")
        config = json.loads((run / "config.json").read_text())
        (folder / "points" / f"{name}.json").write_text(json.dumps(config))
        points.append({"settings": {key: str(value) for key, value in settings.items()}, "run": name})
        if not begun(settings):
            shutil.rmtree(run)
    record = {"schema": 1, "name": "small", "signature": "00c0ffee", "points": points}
    declared = [{"outcome": o, "points_measured": n, "declared": "2026-11-29 20:00:00"} for o, n in primary]
    (folder / "study.json").write_text(
        json.dumps({**record, "primary": declared, "command": ["file.py", "--seed", "0"]})
    )
    return folder


def text_of(page: Path) -> str:
    words = re.sub(r"<style>.*?</style>|<svg.*?</svg>|<[^>]+>", " ", page.read_text("utf-8"), flags=re.S)
    return " ".join(unescape(words).replace(NBSP, " ").split())


def rows_of(path: Path) -> list[dict[str, str]]:
    return list(csv.DictReader(path.read_text("utf-8").splitlines()))


def difference(settings: Mapping[str, object]) -> float:
    return (2.0 if settings["regime.kind"] == "accumulate" else 0.0) + 0.3 * float(str(settings["seed"]))


AXES = {"seed": range(2), "regime.kind": ["replace", "accumulate", "mix", "fresh"], "images": [512, 2048]}


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A study of 16 points, eight choices of settings, all finished."""
    return small_study(tmp_path_factory.mktemp("whole"), AXES, difference, primary=[(f"{KEY}@last", 0)])


@pytest.fixture(scope="module")
def page(whole: Path) -> Path:
    return write_study(whole)


def test_the_page_says_what_was_swept_and_what_it_is_about(page: Path):
    said = text_of(page)
    assert "16 points over regime.kind (replace, accumulate, mix, fresh) × images (512, 2048) × seeds (0, 1)" in said
    assert "one training in each point. All are finished." in said
    assert "Declared before any point had a measured generation (2026-11-29 20:00:00)." in said
    assert "how does it depend on regime and images?" in said
    assert "± between seeds" in said and "What is missing" not in said and "A reader should" not in said
    html = page.read_text("utf-8")
    assert not re.findall(r"https?://(?!www\.w3\.org)", html) and "<script" not in html


def test_what_the_page_shows_is_what_the_tables_beside_it_hold(page: Path):
    values = [
        row
        for row in rows_of(page.parent / "study.csv")
        if row["measurement"] == KEY and row["generation"] == "2" and row["line"] == "0"
    ]
    assert len(values) == 16
    html = page.read_text("utf-8")
    cells = re.findall(r'<td class="value"[^>]*><span>([^<]*)</span>', html)
    shown = [cell.split(NBSP)[0] for cell in cells]
    means = []
    for kind in AXES["regime.kind"]:
        for images in AXES["images"]:
            own = [float(r["value"]) for r in values if (r["regime.kind"], r["images"]) == (kind, str(images))]
            means.append(float(np.mean(own)))
    assert [float(each) for each in shown] == pytest.approx(means, abs=0.06) and len(cells) == 8
    effects = {(row["measurement"], row["setting"], row["value"]): row for row in rows_of(page.parent / "effects.csv")}
    for kind in ("accumulate", "mix", "fresh"):
        pairs = []
        for seed in "01":
            sides = {
                k: np.mean([float(r["value"]) for r in values if (r["regime.kind"], r["seed"]) == (k, seed)])
                for k in ("replace", kind)
            }
            pairs.append(sides[kind] - sides["replace"])
        row = effects[KEY, "regime.kind", kind]
        assert float(row["difference"]) == pytest.approx(np.mean(pairs), rel=1e-5)
        assert float(row["half_seeds"]) == pytest.approx(12.706205 * np.std(pairs, ddof=1) / 2**0.5, rel=1e-5)
        assert number(float(row["difference"]), float(row["half_seeds"])).replace(NBSP, " ") in text_of(page)
        assert row["outcome"] == "primary" and row["pairs"] == row["pairs_planned"] == "4"
    assert {row["outcome"] for key, row in effects.items() if key[0] != KEY} == {"secondary"}
    assert not any(row["p_holm"] for key, row in effects.items() if key[0] != KEY)


def test_a_point_that_is_missing_is_hatched_and_named_with_its_reason_and_the_command(tmp_path: Path):
    def begun(settings: Mapping[str, object]) -> bool:
        return settings["regime.kind"] != "mix"

    axes = {"seed": [0, 1], "regime.kind": ["replace", "accumulate", "mix"], "images": [512, 2048]}
    folder = small_study(tmp_path, axes, difference, begun=begun)
    unfinished, damaged = tmp_path / "small-00000000", tmp_path / "small-00000002"
    shutil.rmtree(unfinished / "gen-002")
    (damaged / "config.json").write_text("{")
    lines = [{"point": "small-00000004", "code": -9}, {"point": "small-00000005", "code": 2}]
    (folder / "attempts.jsonl").write_text("\n".join(map(json.dumps, lines)) + '\n{"torn')
    (folder / "logs").mkdir()
    (folder / "logs" / "small-00000005.log").write_text("imagelab: <b>regime</b> is wrong\n")
    page = write_study(folder, tmp_path / "out")
    said, html = text_of(page), page.read_text("utf-8")
    assert "6 of 12 are finished." in said and html.count('class="missing"') == 2
    assert "killed (SIGKILL); probably memory was short" in said
    assert "its settings are wrong: imagelab: <b>regime</b> is wrong" in said
    assert "imagelab sweep file.py --seed 0" in said and "<b>regime" not in html
    assert "config.json" in said
    reasons = {row["run"]: row["missing"] for row in rows_of(tmp_path / "out" / "study.csv") if row["missing"]}
    assert {"small-00000002", "small-00000004", "small-00000005"} <= reasons.keys()
    known = write_study(folder, tmp_path / "known", {"small-0000000a": "the node has left"})
    assert "the node has left" in text_of(known)


def test_nothing_begun_makes_a_page_too(tmp_path: Path):
    folder = small_study(tmp_path, {"seed": [0, 1]}, lambda settings: 0.0, begun=lambda settings: False)
    said = text_of(write_study(folder))
    assert "Nothing is measured yet: a study of seeds." in said and "0 of 2 are finished" in said


def test_a_study_of_seeds_alone_gives_their_mean(tmp_path: Path):
    folder = small_study(tmp_path, {"seed": [0, 1]}, lambda settings: 0.0)
    said = text_of(write_study(folder))
    rows = [r for r in rows_of(folder / "study.csv") if r["measurement"] == KEY and r["generation"] == "2"]
    values = [float(row["value"]) for row in rows]
    half = 12.706205 * float(np.std(values, ddof=1)) / 2**0.5
    assert (
        f"Mean over 2 seeds {number(float(np.mean(values)), half)} ± between seeds; real images".replace(NBSP, " ")
        in said
    )
    assert "The effect of each setting" not in said


def test_with_one_training_of_one_seed_it_says_that_no_interval_over_trainings_exists(tmp_path: Path):
    axes = {"seed": [0], "images": [512, 1024, 2048]}
    folder = small_study(tmp_path, axes, lambda settings: 0.0)
    said = text_of(write_study(folder))
    assert "no interval over trainings exists" in said and "p =" not in said
    assert "No primary outcome was declared" in said
    effects = rows_of(folder / "effects.csv")
    assert all(row["half_images"] and not row["half_seeds"] + row["half_trainings"] for row in effects)


def test_several_trainings_of_one_seed_give_an_interval_over_trainings(tmp_path: Path):
    axes = {"seed": [0], "regime.kind": ["replace", "accumulate"]}
    folder = small_study(tmp_path, axes, difference, chains=3, primary=[(f"{KEY}@2", 2), (f"{KEY}@last", 2)])
    said = text_of(write_study(folder))
    assert "3 trainings in each point" in said and "± between trainings" in said
    assert f"First declared: {KEY}@2. Declared after results were seen: 2 of 2 points" in said
    assert f"Then changed to {KEY}@last" in said and "The change was made after results were seen." in said
    assert "A reader should take it as a secondary outcome." in said
    rows = [r for r in rows_of(folder / "study.csv") if r["measurement"] == KEY and r["generation"] == "2"]
    assert [row["chain"] for row in rows] == ["mean", "0", "1", "2"] * 2
    mean, *each = (float(row["value"]) for row in rows[:4])
    assert mean == pytest.approx(np.mean(each), rel=1e-6)


def test_a_primary_outcome_that_no_point_measured_is_told(tmp_path: Path):
    axes = {"seed": [0, 1], "images": [512, 2048]}
    said = text_of(write_study(small_study(tmp_path, axes, lambda settings: 0.0, primary=[("prdc/recall@last", 0)])))
    assert "No point has measured prdc/recall at generation 2. Measured are: " in said


def test_hostile_settings_stay_text(tmp_path: Path):
    axes = {"seed": [0], "regime.kind": ["<script>alert(1)</script>", "replace"], "images": [512, 2048]}
    html = write_study(small_study(tmp_path, axes, lambda settings: 0.0)).read_text("utf-8")
    assert "<script" not in html and "&lt;script&gt;" in html


def planned_study(axes: Mapping[str, Sequence[str | None]]) -> StudyView:
    """Return a study of which nothing has begun; None for a setting that a point does not have."""
    grid = [dict(zip(axes, each, strict=True)) for each in itertools.product(*axes.values())]
    settings = [{name: value for name, value in each.items() if value is not None} for each in grid]
    points = [StudyPoint(each, f"p-{k}", {"seed": 0}, None, 0, 1, "not begun") for k, each in enumerate(settings)]
    return StudyView(Path("runs/x.study"), "x", "00000000", tuple(points), (), ())


def test_settings_make_rows_columns_and_facets_and_beyond_eight_choices_means():
    axes = {"regime.kind": ["a", "b", "c"], "images": ["512", "4", "64"], "title": ["x", "y"]}
    few = arranged(planned_study(axes))
    assert (few.row, few.column, few.others, few.averaged) == (("regime.kind",), ("images",), ("title",), False)
    assert few.columns == (("4",), ("64",), ("512",)) and [few.facet_words(f) for f in few.facets] == [
        "title x",
        "title y",
    ]
    many = arranged(
        planned_study(
            {"seed": ["0"], "images": list("123456789"), "n": list("123456789"), **axes, "title": list("xyz")}
        )
    )
    assert many.averaged and many.facets == ((),) and len(many.others) == 2


def test_a_setting_that_one_kind_brings_makes_rows_with_it():
    study = planned_study({"regime.kind": ["replace", "mix"], "regime.real_fraction": [None, "0.1", "0.5"]})
    kept = [p for p in study.points if (p.settings["regime.kind"] == "mix") == ("regime.real_fraction" in p.settings)]
    place = arranged(replace(study, points=tuple(kept)))
    assert place.row == () and place.column == ("regime.kind", "regime.real_fraction")
    assert [choice_words(place.column, each) for each in place.columns] == [
        "replace",
        "mix, real fraction 0.1",
        "mix, real fraction 0.5",
    ]


def test_every_colour_of_a_map_carries_readable_text():
    def light(colour: str) -> float:
        parts = [int(colour[k : k + 2], 16) / 255 for k in (1, 3, 5)]
        linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
        return float(np.dot([0.2126, 0.7152, 0.0722], linear))

    shades = [shade(position) for position in np.linspace(0, 1, 21)]
    for colour in shades:
        low, high = sorted((light(colour), light(ink_on(colour))))
        assert (high + 0.05) / (low + 0.05) >= 4.5
    assert [light(colour) for colour in shades] == sorted(light(colour) for colour in shades)  # also in grey


def test_report_writes_the_page_of_a_study(whole: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    with pytest.raises(SystemExit) as stopped:
        main(["report", str(whole), "--output", str(tmp_path / "page")])
    assert not stopped.value.code and "report: " in capsys.readouterr().out
    assert {path.name for path in (tmp_path / "page").iterdir()} == {"index.html", "study.csv", "effects.csv"}
