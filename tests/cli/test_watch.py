from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from imagelab.cli.entry import main
from imagelab.cli.watch import _wait
from imagelab.evaluation.stages import stages_of
from imagelab.faces.rare import RARE
from imagelab.measurement import Measurement
from imagelab.pool import REAL
from imagelab.run_folder import RunFolder


def make_run(
    path: Path,
    variances: list[float],
    planned: int | None = None,
    name: str = "pixel_variance",
    n: int = 1000,
    spread: float | None = None,
) -> RunFolder:
    arms = [{"kind": "gaussian"}]
    experiment = {"generations": planned or len(variances), "arms": arms, "replicates": 1 if spread is None else 3}
    folder = RunFolder.create(path, {"schema": 1, "signature": "0" * 8, "experiment": experiment})
    add(folder, 0, Measurement(name, 1.0, line=REAL, stderr=0.01, n_fake=n))
    for generation, value in enumerate(variances, 1):
        m = Measurement(name, value, generation=generation, stderr=0.01, n_fake=n)
        chains = enumerate((0.0,) if spread is None else (-spread, 0.0, spread))
        add(folder, generation, *(replace(m, value=value + apart, line=2 * k) for k, apart in chains))
    return folder


def add(folder: RunFolder, generation: int, *rows: Measurement) -> None:
    shard = folder.begin(generation)
    (shard / "metrics.jsonl").write_text("".join(m.to_json() + "\n" for m in rows))
    folder.commit(generation)


def exit_code(*words: object) -> int:
    with pytest.raises(SystemExit) as stopped:
        main([str(word) for word in words])
    return int(stopped.value.code or 0)


def test_a_job_can_stop_itself_by_the_exit_code(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    run = make_run(tmp_path / "a-run", [0.5, 0.42, 0.33]).path
    assert exit_code("watch", run) == 0
    assert exit_code("watch", run, "--past", "collapsed") == 0
    assert exit_code("watch", run, "--past", "homogenising") == 3
    said = capsys.readouterr().out
    assert "3 of 3 generations; loop (against generation 1): homogenising; quality (against real" in said
    assert "+34%" in said and "one training" in said and "needs replicates" in said


def test_a_weak_first_model_stops_no_job_unless_its_quality_is_asked_for(tmp_path: Path):
    run = make_run(tmp_path / "a-run", [0.5, 0.5, 0.51]).path
    assert exit_code("watch", run, "--past", "tails fading") == 0
    assert exit_code("watch", run, "--past", "tails fading", "--verdict", "quality") == 3


def test_a_run_of_too_few_images_is_not_judged(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    run = make_run(tmp_path / "a-run", [0.9, 0.2], n=50).path
    assert exit_code("watch", run, "--past", "tails fading") == 1
    said = " ".join(capsys.readouterr().out.split())
    assert "loop (against generation 1): not judged" in said and "measured on 50 images" in said
    assert exit_code("watch", run) == 0


def test_a_run_of_one_generation_has_nothing_to_compare_with_yet(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    run = make_run(tmp_path / "a-run", [0.2], planned=4).path
    assert exit_code("watch", run, "--past", "tails fading") == 0
    said = " ".join(capsys.readouterr().out.split())
    assert "Only generation 1 is measured yet" in said and "quality (against real images): collapsed" in said


def test_the_order_of_moves_is_said_where_several_trainings_show_it(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    run = make_run(tmp_path / "a-run", [1.0, 0.8, 0.6], spread=0.01).path
    assert exit_code("watch", run) == 0
    said = " ".join(capsys.readouterr().out.split())
    assert "First to move beyond generation 1: variance, in generation 2." in said and "one training" not in said


def test_json_is_one_object_and_nothing_else(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    run = make_run(tmp_path / "a-run", [0.2, 0.2]).path
    assert exit_code("watch", run, "--json", "--verdict", "quality") == 0
    said = json.loads(capsys.readouterr().out)
    assert said["stage"] == said["quality"] == "collapsed" and said["since"]["collapsed"] == 1
    assert said["loop"] == "healthy" and said["one_training"] and said["signals"][0]["error"]["1"] > 0


def test_following_ends_when_the_stage_is_reached_or_the_run_is_done(tmp_path: Path):
    folder = make_run(tmp_path / "a-run", [0.95], planned=9)
    looks = []

    def sleep(seconds: float) -> None:
        looks.append(seconds)
        generation = len(looks) + 1
        value = 0.95 - 0.2 * len(looks)
        add(folder, generation, Measurement("pixel_variance", value, generation=generation, stderr=0.01, n_fake=1000))

    assert stages_of(_wait(folder, 0, "homogenising", 2.5, sleep=sleep)).last == "homogenising"
    assert looks == [2.5, 2.5]
    assert max(m.generation for m in _wait(folder, 0, None, 1.0, sleep=sleep)) == 9


def test_a_run_that_tells_no_stage_says_what_would(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    assert exit_code("watch", make_run(tmp_path / "a-run", [0.2], name="brightness").path) == 1
    assert "expected measurements such as pixel_variance" in capsys.readouterr().out


def test_a_line_that_is_not_there_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    run = make_run(tmp_path / "a-run", [0.2]).path
    assert exit_code("watch", run, "--line", "2") == 1
    assert exit_code("watch", run, "--every", "0") == 2
    assert "has lines 0 to 1, got 2" in " ".join(capsys.readouterr().err.split())


def test_a_config_of_another_shape_is_one_message(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    for number, wrong in enumerate(({"generations": "x"}, {"generations": 2, "arms": 5}, {"arms": []})):
        path = tmp_path / str(number)
        path.mkdir()
        (path / "config.json").write_text(json.dumps({"schema": 1, "signature": "0" * 8, "experiment": wrong}))
        assert exit_code("watch", path) == 1
        assert "config.json" in capsys.readouterr().err


def test_no_word_of_the_table_is_cut_on_a_narrow_terminal(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("COLUMNS", "80")
    experiment = {"generations": 3, "arms": [], "replicates": 1}
    run = RunFolder.create(tmp_path / "a-run", {"schema": 1, "signature": "0" * 8, "experiment": experiment})
    names = ("pixel_variance", "perceptual_diversity/imagelab-ssl-v1", "vendi/imagelab-ssl-v1", "prdc/recall")
    for generation in range(4):
        rows = [Measurement("freckles/corrected", 5.0 - generation, "freckles/face", stderr=0.1)]
        rows += [Measurement(f"tails/{rare}", 0.02 / (1 + generation), stderr=0.002) for rare in RARE]
        rows += [Measurement(name, 0.9 - 0.1 * generation, stderr=0.01) for name in names]
        rows += [Measurement("band_power/16-32", -2.0 * generation, stderr=0.1)]
        line = 0 if generation else REAL
        add(run, generation, *(replace(m, generation=generation, line=line, n_fake=1000) for m in rows))
    exit_code("watch", run.path)
    lines = capsys.readouterr().out.splitlines()
    head = next(place for place, line in enumerate(lines) if "gen." in line)
    table = lines[head - 1 : head + 3]
    words = {"rare", "attributes", "freckles", "fine", "detail", "recall", "variance", "diversity", "Vendi", "stage"}
    assert words <= set(" ".join(table).split()) and max(map(len, table)) <= 80 and "…" not in " ".join(table)
    ends = [line.rstrip().rfind("%") for line in lines[head + 1 : head + 3]]
    assert len(set(ends)) == 1  # the columns are aligned
