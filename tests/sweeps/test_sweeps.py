"""Studies of many runs: the points that words and tables give, and what happens to them when something is killed."""

from __future__ import annotations

import hashlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from imagelab import Experiment, Gaussian, Runtime, run
from imagelab.cli import main
from imagelab.curation import RandomFraction
from imagelab.regimes import Mix, Schedule
from imagelab.run_folder import RunFolder
from imagelab.sweeps import Limits, Point, Study, local, point_state, run_local, values_of, with_settings
from imagelab.sweeps.axes import is_swept
from imagelab.sweeps.first_images import FirstImages
from imagelab.sweeps.processes import Running
from imagelab.sweeps.study import with_runs_of_studies

ROOT = Path(__file__).resolve().parents[2]
TINY = """
from imagelab import Experiment, Gaussian, Textures
experiment = Experiment(name="tiny", data=Textures(size=16), generator=Gaussian(components=8), generations=2,
    images=40, heldout=24, tracked=4, metrics=("pixel_variance",))
"""


Tiny = Callable[..., Experiment]


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "tiny.py").write_text(TINY)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def command(*words: str) -> int:
    with pytest.raises(SystemExit) as stopped:
        main(words)
    return int(stopped.value.code or 0)


# -- values


@pytest.mark.parametrize(
    ("text", "values"),
    [
        ("0..4", ("0", "1", "2", "3", "4")),
        ("-1..1", ("-1", "0", "1")),
        ("0..8..4", ("0", "4", "8")),
        ("range(3)", ("0", "1", "2")),
        ("range(0, 6, 2)", ("0", "2", "4")),
        ("0..1,7", ("0", "1", "7")),
        ("replace,mix", ("replace", "mix")),
        ("0,0.1,1e-3", ("0", "0.1", "1e-3")),
        (r"a\,b,c", ("a,b", "c")),
        ("range(2),9", ("0", "1", "9")),
    ],
)
def test_lists_and_ranges_are_what_they_say(text: str, values: tuple[str, ...]):
    assert values_of(text) == values and is_swept(text)


@pytest.mark.parametrize("text", ["plain", "0.5", "../pictures", "1.5..2", r"a\,b", "runs/a..b", "-3"])
def test_other_words_are_one_value(text: str):
    assert not is_swept(text) and len(values_of(text)) == 1


@pytest.mark.parametrize(
    ("text", "reason"),
    [("4..0", "holds no value"), ("a,b,a", "'?a'? is given twice"), ("a,,", "is given twice"), ("0..99999", "at most")],
)
def test_values_that_cannot_be_meant_are_refused(text: str, reason: str):
    with pytest.raises(ValueError, match=reason):
        values_of(text)


# -- settings


def test_a_new_kind_starts_from_its_defaults_and_takes_its_settings():
    made, unused = with_settings(
        Experiment(regime=Mix(real_fraction=0.7)),
        {"regime.kind": "schedule", "regime.then.kind": "mix", "regime.then.real-fraction": "0.2"},
    )
    assert isinstance(made.regime, Schedule) and unused == ()
    assert made.regime.model_dump()["then"]["real_fraction"] == 0.2
    same, _ = with_settings(Experiment(regime=Mix(real_fraction=0.7)), {"regime.kind": "mix", "warm-start": "true"})
    assert same.regime == Mix(real_fraction=0.7) and same.warm_start is True


@pytest.mark.parametrize(
    ("name", "value", "reason"),
    [
        ("regime.real_fraction", "3", r"regime\.real_fraction: .*less than or equal to 1"),
        ("seed", "-1", "seed: .*greater than or equal to 0"),
        ("colour", "red", "colour: no experiment has this setting; there are data, regime"),
        ("runtime.threads", "2", "says how the work is done"),
        ("arms", "vae", "a list of models cannot be swept"),
        ("data", "faces", r"expected a setting of it, such as data\.kind"),
        ("regime.kind", "nonsense", "unknown regime 'nonsense'; known are replace"),
    ],
)
def test_a_setting_that_does_not_suit_is_named(name: str, value: str, reason: str):
    with pytest.raises(ValueError, match=reason):
        with_settings(Experiment(regime=Mix()), {name: value})


# -- studies


def test_a_study_is_a_grid_with_one_seed_after_the_other_and_no_point_twice(tmp_path: Path, tiny: Tiny):
    axes = {"regime.kind": ["replace", "mix"], "regime.real_fraction": ["0.1", "0.3"], "seed": range(2)}
    study = Study.of(tiny(tmp_path), axes)
    assert [
        (point.experiment.seed, point.experiment.regime.model_dump().get("real_fraction")) for point in study.points
    ] == [(seed, share) for seed in (0, 1) for share in (None, 0.1, 0.3)]
    assert study.points[0].words == "seed = 0, regime.kind = replace"
    assert study.signature == Study.of(tiny(tmp_path), dict(reversed(axes.items()))).signature
    assert study.signature != Study.of(tiny(tmp_path), {**axes, "seed": range(3)}).signature
    with pytest.raises(ValueError, match=r"regime\.nonsense: no point of this study has such a setting"):
        Study.of(tiny(tmp_path), {**axes, "regime.nonsense": [1]})
    with pytest.raises(ValueError, match=r"point seed = 0, regime.kind = mix, regime.real_fraction = 7: regime"):
        Study.of(tiny(tmp_path), {"regime.kind": ["mix"], "regime.real_fraction": [7], "seed": [0]})
    with pytest.raises(ValueError, match="two points are the same experiment"):
        Study("twice", (study.points[0], study.points[0]))


def test_a_study_comes_back_from_its_folder_and_a_changed_one_is_refused(tmp_path: Path, tiny: Tiny):
    study = Study.of(tiny(tmp_path), {"seed": range(2)})
    study.write()
    again = Study.read(study.folder)
    assert [point.experiment.signature for point in again.points] == [p.experiment.signature for p in study.points]
    assert [point.experiment.folder for point in again.points] == [p.experiment.folder for p in study.points]
    record = json.loads((study.folder / "study.json").read_text())
    del record["points"][0]
    (study.folder / "study.json").write_text(json.dumps(record))
    with pytest.raises(ValueError, match="was changed, or is of another version"):
        Study.read(study.folder)
    with pytest.raises(ValueError, match=r"not a study: expected study\.json"):
        Study.read(tmp_path)


def test_a_study_among_runs_stands_for_those_that_have_begun(tmp_path: Path, tiny: Tiny):
    study = Study.of(tiny(tmp_path), {"seed": range(3)})
    study.write()
    with pytest.raises(ValueError, match="no run of this study has begun"):
        with_runs_of_studies([study.folder])
    begun = [point.experiment for point in study.points[:2]]
    folders = [RunFolder.create(each.folder, each.config()).path for each in begun]
    assert set(with_runs_of_studies([study.folder])) == set(folders)
    every = sorted(tmp_path.iterdir())  # as a shell gives runs/*
    assert len(every) == 3 and sorted(with_runs_of_studies(every)) == sorted(folders)
    assert sorted(with_runs_of_studies([study.folder, study.folder])) == sorted(folders)
    twice = [folders[0], folders[0]]
    assert with_runs_of_studies(twice) == twice  # a mistake that is named, not mended in silence


# -- the command


def test_a_plan_lists_every_point_and_runs_nothing(here: Path, capsys: pytest.CaptureFixture[str]):
    words = "--regime.kind replace,mix --regime.real-fraction 0.1,0.3 --seed 0..1 --images 30 --dry-run"
    assert command("sweep", "tiny.py", *words.split()) == 0
    said = capsys.readouterr().out
    assert said.count("not begun") == 6 and "0 of 6 points are finished" in said and "nothing was run" in said
    assert not (here / "runs").exists()


@pytest.mark.parametrize(
    ("words", "code", "reason"),
    [
        ("tiny.py", 2, "expected a list or a range, such as --seed 0..4"),
        ("tiny.py --jobs 1.5 --seed 0..1", 2, "--jobs: expected a number"),
        ("tiny.py --seed 0..1 --runtime.workers 2", 2, "a sweep chooses it for its points"),
        ("tiny.py --set seed", 2, "--set: expected one setting such as"),
        ("tiny.py --seed 0..1 --nonsense 3", 2, "nonsense"),
        ("tiny.py --seed 0..1 --images few", 2, "images"),
        ("tiny.py --points table.csv", 1, r"table.csv"),
        ("--seed 0..1", 2, "expected an experiment"),
        ("status", 2, "expected the folder of one study"),
        ("status .", 1, "not a study"),
        ("", 2, "imagelab sweep FILE"),
    ],
)
def test_what_cannot_be_meant_is_refused_in_words(
    here: Path, words: str, code: int, reason: str, capsys: pytest.CaptureFixture[str]
):
    assert command("sweep", *words.split()) == code
    told = capsys.readouterr()
    assert reason in told.err + told.out and "Traceback" not in told.err
    assert not (here / "runs").exists()


@pytest.mark.parametrize("name", ["points.csv", "points.jsonl"])
def test_points_that_are_no_grid_come_from_a_table(here: Path, name: str, capsys: pytest.CaptureFixture[str]):
    rows = [{"regime.kind": "mix", "regime.real_fraction": "0.3"}, {"regime.kind": "replace", "images": "30"}]
    lines = ["regime.kind,regime.real-fraction,images", "mix,0.3,", "replace,,30"]
    text = "\n".join(lines) if name.endswith("csv") else "\n".join(map(json.dumps, rows))
    (here / name).write_text(text + "\n")
    assert command("sweep", "tiny.py", "--points", name, "--seed", "3,5", "--dry-run") == 0
    said = capsys.readouterr().out
    assert said.count("not begun") == 4 and "regime.real_fraction = 0.3" in said and "images = 30" in said
    (here / name).write_text("a,b\n1\n" if name.endswith("csv") else "[1]\n")
    assert command("sweep", "tiny.py", "--points", name, "--dry-run") == 1
    assert f"{name}:" in capsys.readouterr().err


def test_threads_may_be_asked_for_as_in_a_run(here: Path, capsys: pytest.CaptureFixture[str]):
    asked = ["sweep", "tiny.py", "--seed", "0..1", "--executor", "slurm", "--dry-run"]
    for words, number in ((["--runtime.threads", "3"], 3), (["--runtime.threads", "3", "--threads", "2"], 2)):
        assert command(*asked, *words) == 0
        assert f"--runtime.threads {number} " in capsys.readouterr().out


# -- generation 0


def test_points_of_the_same_data_and_seed_share_generation_0_and_no_other(tmp_path: Path, tiny: Tiny):
    runs, axes = tmp_path / "runs", {"regime.kind": ["replace", "accumulate"], "seed": [0, 1]}
    curated = tiny(runs).model_copy(update={"curation": RandomFraction(fraction=0.5), "generations": 1})
    points = (*Study.of(tiny(runs), axes).points, Point({}, curated), Point({}, tiny(runs, Gaussian(components=4))))
    study = Study("shared", points)
    shared, (zero, other, one, _, chosen, smaller) = FirstImages(study), study.points
    assert [shared.being_made(point, [zero]) for point in points[1:]] == [True, False, False, False, True]
    assert not shared.being_made(zero, []) and not shared.being_made(chosen, [smaller])
    assert shared.startable(points, [zero]) == [(one, ""), (chosen, "")]
    assert [point for point, _ in shared.startable(points, [])] == [zero, one, chosen]
    made = run(zero.experiment)
    assert not shared.being_made(other, [zero])  # it is there, to be copied
    for point in study.points:
        shared.take(point)
    has = [RunFolder(point.experiment.folder).has(0) for point in study.points]
    assert has == [True, True, False, False, False, True]
    assert RunFolder.open(other.experiment.folder, remake=True).images(0).tobytes() == made.images(0).tobytes()
    assert not one.experiment.folder.exists() and not chosen.experiment.folder.exists()


# -- the local executor


def digests(run: Path) -> dict[str, str]:
    kept = [path for path in sorted(run.rglob("*")) if path.name in ("images.npy", "metrics.jsonl")]
    return {str(path.relative_to(run)): hashlib.sha256(path.read_bytes()).hexdigest() for path in kept}


@pytest.mark.slow
def test_a_killed_point_is_started_again_and_every_point_has_the_bytes_of_a_run_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, tiny: Tiny
):
    study = Study.of(tiny(tmp_path / "runs"), {"regime.kind": ["replace", "accumulate"]})
    said: list[tuple[str, str]] = []
    started: list[int] = []
    start = local.start

    def noted(*words):
        running = start(*words)
        started.append(running.process.pid)
        return running

    monkeypatch.setattr(local, "start", noted)

    def kill() -> bool:
        if started and 0 not in started and (study.points[0].experiment.folder / "config.json").exists():
            os.kill(started[0], signal.SIGKILL)
            started.append(0)
        return False

    outcomes = run_local(study, Limits(jobs=1), on_change=lambda p, w: said.append((p.name, w)), should_stop=kill)
    assert all(each.is_finished and not each.why for each in outcomes)
    first, second = (point.name for point in study.points)
    assert [words.partition(" in ")[0] for name, words in said if name == first] == [
        "started",
        "killed (SIGKILL); probably memory was short; it is started again",
        "started, try 2",
        "finished",
    ]
    monkeypatch.setattr("imagelab.sweeps.local.start", None)  # nothing is left to be started
    assert all(each.is_finished for each in run_local(study))
    for point in study.points:
        alone = point.experiment.model_copy(update={"runtime": Runtime(device="cpu", runs=tmp_path / "alone")})
        assert digests(run(alone).path) == digests(point.experiment.folder)
    made = [json.loads(line)["code"] for line in (study.folder / "attempts.jsonl").read_text().splitlines()]
    assert made == [-9, 0, 0]
    assert RunFolder.open(study.points[1].experiment.folder).provenance["device"] == "cpu"
    assert second in {path.stem for path in (study.folder / "logs").iterdir()}


def test_each_point_sees_one_gpu_and_there_are_as_many_points_at_a_time_as_gpus(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, tiny: Tiny
):
    import torch

    study, seen = Study.of(tiny(tmp_path / "runs"), {"seed": range(3)}), list[tuple[str, ...]]()
    at_work: dict[str, Running] = {}

    def started(words, log, before, environment):
        for gpu, running in list(at_work.items()):
            if running.process.poll() is not None:
                del at_work[gpu]
        process = subprocess.Popen(["sleep", "0.3"])
        at_work[environment["CUDA_VISIBLE_DEVICES"]] = Running(process, log, time.monotonic(), before)
        seen.append(tuple(at_work))
        log.touch()
        return at_work[environment["CUDA_VISIBLE_DEVICES"]]

    monkeypatch.setattr(local, "start", started)
    monkeypatch.setattr(local, "usable_cores", lambda: 16)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "3,GPU-77")
    assert [each.is_finished for each in run_local(study, device="cuda")] == [False] * 3
    assert seen[:2] == [("3",), ("3", "GPU-77")] and all(len(gpus) <= 2 for gpus in seen) and len(seen) == 3
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES")
    assert local.usable_gpus("cuda") == ("0", "1") and local.usable_gpus("cuda:1") == local.usable_gpus("cpu") == ()


@pytest.mark.slow
def test_nothing_is_left_running_when_the_driver_is_killed_and_no_second_one_starts(here: Path):
    slow = TINY.replace("Gaussian(components=8)", "Vae(latent=4, width=8, images_seen=4_000_000)")
    (here / "slow.py").write_text(slow.replace("Gaussian,", "Vae,"))
    words = [sys.executable, "-m", "imagelab", "sweep", "slow.py", "--seed", "0..1", "--jobs", "1"]
    driver = subprocess.Popen(words, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, cwd=here)
    children: list[str] = []
    deadline = time.monotonic() + 120
    try:
        while not list(here.glob("runs/*/gen-000")):
            assert time.monotonic() < deadline and driver.poll() is None
            time.sleep(0.1)
        children = Path(f"/proc/{driver.pid}/task/{driver.pid}/children").read_text().split()
        (folder,) = here.glob("runs/*.study")
        with pytest.raises(ValueError, match=r"another process .* is running this study"):
            run_local(Study.read(folder))
        assert command("sweep", "status", str(folder)) == 1
    finally:
        driver.kill()
        driver.wait()
    assert len(children) == 1
    while Path(f"/proc/{children[0]}").exists():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_a_point_that_cannot_be_run_is_told_and_the_others_go_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, tiny: Tiny
):
    study = Study.of(tiny(tmp_path / "runs"), {"seed": range(3)})
    tries: list[str] = []

    def fails(words, log, before, environment):
        tries.append(words[1])
        assert words[words.index("--runtime.threads") + 1] == environment["OMP_NUM_THREADS"] == "1"
        log.write_bytes(b"imagelab: seed: wrong\n")
        process = subprocess.Popen([sys.executable, "-S", "-c", "raise SystemExit(2)"])
        return local.Running(process, log, time.monotonic(), before)

    monkeypatch.setattr(local, "start", fails)
    outcomes = run_local(study, Limits(jobs=1, threads=1))
    assert [each.why for each in outcomes] == ["its settings are wrong: imagelab: seed: wrong"] * 3
    assert len(tries) == 3
    tries.clear()
    run_local(study, Limits(jobs=1, threads=1), fail_fast=True)
    assert len(tries) == 1
    assert [point_state(point).state for point in study.points] == ["not begun"] * 3


def hungry(words, log, before, environment):
    """Stand in for a point that uses 80 MB for two seconds and then fails."""
    log.write_bytes(b"it was hungry\n")
    code = "import time; kept = bytearray(b'x' * 80_000_000); time.sleep(2); raise SystemExit(1)"
    process = subprocess.Popen([sys.executable, "-S", "-c", code], start_new_session=True)
    return local.Running(process, log, time.monotonic(), before)


@pytest.mark.parametrize(("memory", "told"), [(0.13, "run alone later"), (0.02, "by itself, and 0.0 GB are allowed")])
def test_points_that_need_too_much_memory_are_run_alone_or_refused(
    memory: float, told: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, tiny: Tiny
):
    study, said = Study.of(tiny(tmp_path / "runs"), {"seed": range(2)}), list[str]()
    monkeypatch.setattr(local, "start", hungry)
    monkeypatch.setattr(local, "WEIGH_EVERY", 0.3)
    outcomes = run_local(study, Limits(jobs=2, threads=1, memory_gb=memory), on_change=lambda p, w: said.append(w))
    assert any("needs more than 0.1 GB" in words and told in words for words in said), said
    if memory > 0.1:  # alone it has room enough, and fails for its own reason
        assert "started, try 2" in said and {each.why for each in outcomes} == {"exit code 1: it was hungry"}


@pytest.mark.parametrize(
    ("code", "made", "before", "tries", "again"),
    [
        (-9, 0, 0, 1, True),  # killed before it had made anything: once more
        (-9, 0, 0, 2, False),  # twice without progress
        (-9, 3, 2, 2, True),
        (1, 3, 2, 1, True),
        (1, 2, 2, 1, False),
        (1, 4, 3, 3, False),  # tried often enough
        (2, 3, 2, 1, False),  # wrong settings
        (4, 3, 2, 1, False),  # people have to decide
    ],
)
def test_a_point_is_tried_again_while_it_makes_progress(code: int, made: int, before: int, tries: int, again: bool):
    assert local.worth_another_try(code, made, before, tries, 2) is again
