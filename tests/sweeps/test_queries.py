"""SQL over runs: the tables hold what the records say, and a query sees nothing else."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from imagelab import Experiment, Gaussian, Mix, RunFolder, Runtime, Textures, run
from imagelab.cli import main
from imagelab.sweeps.queries import ask, run_folders

pytest.importorskip("duckdb", reason="duckdb is not installed: the extra query")


@pytest.fixture(scope="module")
def two(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    experiment = Experiment(
        name="asked", data=Textures(size=16), generator=Gaussian(components=8), generations=1, images=24, heldout=12,
        tracked=4, metrics=("pixel_variance", "tone"),
        runtime=Runtime(device="cpu", runs=tmp_path_factory.mktemp("runs")),
    )  # fmt: skip
    mixed = experiment.model_copy(update={"regime": Mix(real_fraction=0.25), "seed": 3})
    return [run(experiment).path, run(mixed).path]


def test_both_tables_hold_what_the_records_say(two: list[Path]):
    rows = ask(
        two, "SELECT run, regime, seed, images, generations, made, settings['regime.real_fraction'] FROM runs"
    ).rows
    assert rows == (
        (two[0].name, "replace", 0, 24, 1, 1, None),
        (two[1].name, "mix", 3, 24, 1, 1, "0.25"),
    )
    told = [
        (path.name, m.name, m.generation, m.value, m.stderr, m.predicted)
        for path in two
        for m in RunFolder(path).measurements()
    ]
    asked = ask(two, "SELECT run, name, generation, value, stderr, predicted FROM measurements").rows
    assert list(asked) == told and len(told) > 10


@pytest.mark.parametrize(
    ("query", "reason"),
    [
        ("SELECT * FROM read_text('/etc/hostname')", "disabled by configuration"),
        ("COPY runs TO 'here.csv'", "disabled by configuration"),
        ("SET enable_external_access = true", "lock"),
        ("INSTALL httpfs", ""),
        ("ATTACH 'other.db'", "disabled by configuration"),
        ("SELEC", "syntax error"),
        ("SELECT nothing FROM runs", "nothing"),
    ],
)
def test_a_query_sees_the_two_tables_and_nothing_else(
    query: str, reason: str, two: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ValueError, match=f"^query: .*{reason}"):
        ask(two, query)
    assert not list(tmp_path.iterdir())


def command(*words: str) -> int:
    with pytest.raises(SystemExit) as stopped:
        main(words)
    return int(stopped.value.code or 0)


def test_the_command_prints_a_table_csv_and_json(two: list[Path], capsys: pytest.CaptureFixture[str]):
    query = "SELECT seed, regime FROM runs ORDER BY seed"
    assert command("query", str(two[0].parent), query, "--format", "csv") == 0
    assert capsys.readouterr().out == "seed,regime\n0,replace\n3,mix\n"
    assert command("query", *map(str, two), query, "--format", "json") == 0
    assert [json.loads(line) for line in capsys.readouterr().out.splitlines()][1] == {"seed": 3, "regime": "mix"}
    assert command("query", *map(str, two), query) == 0
    assert [line.split() for line in capsys.readouterr().out.splitlines()] == [
        ["seed", "regime"],
        ["0", "replace"],
        ["3", "mix"],
    ]
    assert command("query", str(two[0].parent / "elsewhere"), query) == 1
    assert "expected a run, or a folder with runs in it" in capsys.readouterr().err


def test_a_run_is_asked_once_however_it_is_named(two: list[Path]):
    assert run_folders([two[1], two[0].parent]) == [two[1].resolve(), two[0].resolve()]
