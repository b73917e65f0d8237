from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

from imagelab.report import write_report
from imagelab.report.methods import flat, numbers, tables
from imagelab.report.run_view import read_run

MakeRun = Callable[..., Path]


def test_nested_settings_become_dotted_names() -> None:
    assert flat({"a": {"b": 1, "c": [1, 2]}, "d": [{"e": None}]}) == [("a.b", "1"), ("a.c", "1, 2"), ("d.0.e", "None")]


def test_calibration_values_stand_with_their_interval() -> None:
    card = {
        "figures": {"recall": {"value": 0.88, "stderr": 0.02, "n": 466}},
        "tables": {"by blur": [{"sigma": 0.5, "value": 0.8, "stderr": 0.1, "n": 9}], "empty": []},
    }
    figures, blur = tables(card)
    assert figures.rows == [["recall", "0.88\u00a0±\u00a00.04", "466"]]
    assert (blur.title, blur.columns, blur.rows[0][0]) == ("by blur", ["sigma", "value", "n"], "0.5")
    assert tables({}) == []


def test_a_value_never_stands_under_another_generation(make_run: MakeRun) -> None:
    run = read_run(make_run(generations=3, keep=lambda m: m.name == "hf_ratio" and m.generation not in (1, 3)))
    (row,) = numbers(run)
    assert row["real"] and row["first"] == "" and row["last"] == ""


def test_numbers_hold_every_measurement_but_spectra_and_truths(make_run: MakeRun) -> None:
    run = read_run(make_run())
    named = {row["name"] for row in numbers(run)}
    assert named == {n for n in run.names if not n.startswith("radial_power/")} - {"lpips_diversity/alex"}


def test_nothing_on_the_page_depends_on_the_speed_of_the_machine(make_run: MakeRun) -> None:
    run = make_run()
    page = write_report(run).read_bytes()
    for log in run.rglob("train.jsonl"):
        slow = [{**json.loads(line), "seconds": 7654.321} for line in log.read_text().splitlines()]
        log.write_text("".join(json.dumps(record) + "\n" for record in slow))
    assert write_report(run).read_bytes() == page


def test_numbers_of_images_have_a_comma_and_what_is_empty_a_dash():
    assert flat({"train": 1000, "git": {"dirty": ""}, "seed": 1000}) == [
        ("train", "1,000"),
        ("git.dirty", "–"),
        ("seed", "1000"),
    ]


def test_losses_have_a_minus_as_all_numbers_of_the_page(make_run: MakeRun):
    run = make_run(generations=2)
    for path in run.glob("gen-*/train.jsonl"):
        path.write_text(path.read_text().replace('"loss": 0', '"loss": -2'))
    text = write_report(run).read_text("utf-8")
    assert "<td>−2.10</td>" in text and "<td>-2" not in text
