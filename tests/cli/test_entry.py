from __future__ import annotations

import errno
import json
import re
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from cyclopts import CycloptsError
from PIL import Image
from safetensors import SafetensorError

from imagelab.cli.console import UsageError
from imagelab.cli.entry import main
from imagelab.cli.overrides import load_experiment, parse
from imagelab.data import Faces, Folder, Textures
from imagelab.experiment import Experiment, signature_of
from imagelab.generators import Gaussian, Vae
from imagelab.regimes import Breed, Mix, Replace, Schedule, Window
from imagelab.run_folder import RunFolder

ROOT = Path(__file__).resolve().parents[2]

TINY = """
from imagelab import Experiment, Gaussian, Replace, Textures, launch
experiment = Experiment(
    name="tiny", data=Textures(size=16), regime=Replace(), generator=Gaussian(components=8), generations=2,
    images=24, heldout=12, tracked=4, metrics=("pixel_variance", "hf_ratio"),
)
if __name__ == "__main__":
    launch(experiment)
"""


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty working folder with a tiny experiment file in it."""
    (tmp_path / "tiny.py").write_text(TINY)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def command(*words: str) -> int:
    with pytest.raises(SystemExit) as left:
        main(list(words))
    return int(left.value.code or 0)


# -- settings


def test_command_line_lies_over_the_file_and_the_file_over_the_defaults():
    experiment = Experiment(data=Textures(size=32), generations=5, generator=Vae(latent=9))
    merged = parse(experiment, ["--generations", "3", "--generator.width=16"], "test")
    assert (merged.generations, merged.data, merged.generator) == (3, Textures(size=32), Vae(latent=9, width=16))


def test_dashes_and_underscores_are_the_same():
    for word in ("--generator.images-seen", "--generator.images_seen"):
        generator = parse(Experiment(generator=Vae()), [word, "77"], "test").generator
        assert isinstance(generator, Vae) and generator.images_seen == 77


def test_a_new_kind_starts_from_its_own_defaults():
    experiment = Experiment(data=Faces(size=32), generator=Vae(latent=9), arms=(Gaussian(components=3),))
    merged = parse(experiment, ["--data.kind", "folder", "--data.path", "x", "--generator.kind=gaussian"], "test")
    assert isinstance(merged.data, Folder) and merged.data.size == 64
    assert merged.generator == Gaussian()
    assert merged.arms == (Gaussian(components=3),)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--data.path", "x"], r"--data\.path belongs to --data\.kind folder.*, not to faces; add --data\.kind folder"),
        (["--regime.real-fraction=0.2"], r"--regime\.real-fraction belongs to --regime\.kind mix.*, not to replace"),
        (
            ["--generator.kind", "gaussian", "--generator.steps", "5"],
            r"belongs to --generator\.kind .*, not to gaussian",
        ),
    ],
)
def test_a_setting_of_another_kind_is_told_apart_from_an_unknown_one(words: list[str], said: str):
    with pytest.raises(UsageError, match=said):
        parse(Experiment(data=Faces(size=32), generator=Vae()), words, "test")
    with pytest.raises(CycloptsError, match="Unknown option"):
        parse(Experiment(), ["--data.nowhere", "5"], "test")


def test_a_title_goes_with_the_data_and_the_generator_that_it_is_of():
    experiment = Experiment(title="A VAE on faces", data=Faces(size=32), generator=Vae())
    for other in (["--data.kind", "textures"], ["--generator.kind=gaussian"]):
        assert parse(experiment, other, "test").title == ""
        assert parse(experiment, [*other, "--title", "Mine"], "test").title == "Mine"
    for same in (["--data.size", "64"], ["--generations", "3"], ["--data.kind", "faces"]):
        assert parse(experiment, same, "test").title == "A VAE on faces"


def test_stages_of_a_schedule_are_chosen_and_set_by_their_flags():
    words = "--regime.kind schedule --regime.until 3 --regime.first.kind window --regime.first.last=2 "
    words += "--regime.then.kind schedule --regime.then.until 6 "
    words += "--regime.then.then.kind mix --regime.then.then.real-fraction .5"
    regime = parse(Experiment(), words.split(), "test").regime
    last = Schedule(first=Replace(), until=6, then=Mix(real_fraction=0.5))
    assert regime == Schedule(first=Window(last=2), until=3, then=last)
    changed = parse(Experiment(regime=regime), ["--regime.then.then.real-fraction", ".1"], "test").regime
    last = Schedule(first=Replace(), until=6, then=Mix(real_fraction=0.1))
    assert changed == Schedule(first=Window(last=2), until=3, then=last)


@pytest.mark.parametrize(
    ("words", "fault", "message"),
    [
        (
            ["--regime.then.kind", "nonsense"],
            UsageError,
            "--regime.then.kind: unknown regime 'nonsense'; known are replace",
        ),
        (["--regime.first.real-fraction", ".5"], CycloptsError, "--regime.first.real-fraction"),
        (["--regime.then.real-fraction", "2"], CycloptsError, "regime.then.real_fraction"),
    ],
)
def test_a_mistake_within_a_stage_is_named_by_its_flag(words: list[str], fault: type[Exception], message: str):
    with pytest.raises(fault, match=message):
        parse(Experiment(regime=Schedule()), words, "test")


def test_breeding_lines_take_their_weights_from_the_command_line():
    words = ["--regime.kind", "breed", "--regime.weights", "1", "--regime.weights", "3"]
    merged = parse(Experiment(arms=(Gaussian(),)), words, "test")
    assert merged.regime == Breed(weights=(1, 3)) and merged.arms == (Gaussian(),)


def test_on_bad_has_a_short_name():
    data = parse(Experiment(), ["--data.kind", "folder", "--data.path", "x", "--on-bad", "stop"], "test").data
    assert isinstance(data, Folder) and data.on_bad == "stop"


def test_arms_can_be_left_out():
    assert parse(Experiment(arms=(Gaussian(),)), ["--no-arms"], "test").arms == ()


def test_the_blank_twins_of_a_file_are_run_where_the_settings_have_some(capsys: pytest.CaptureFixture[str]):
    whole = Experiment(replicates=3, blank_twins=2)
    assert parse(whole, ["--generations", "3"], "test").blank_twins == 2 and not capsys.readouterr().out
    assert parse(whole, ["--replicates", "1"], "test").blank_twins == 1
    assert parse(whole, ["--data.kind", "textures"], "test").blank_twins == 0
    assert "no blank twin is run: " in (said := capsys.readouterr().out) and "textures have no twins" in said
    assert parse(whole, ["--regime.kind", "fresh"], "test").blank_twins == 0
    with pytest.raises(Exception, match="have no twins"):
        parse(whole, ["--data.kind", "textures", "--blank-twins", "1"], "test")


def test_a_quick_look_is_asked_for_by_one_word():
    look = parse(
        Experiment(name="long", replicates=3, blank_twins=1, generations=10), ["--quick", "--seed", "4"], "test"
    )
    assert (look.name, look.replicates, look.blank_twins, look.generations, look.seed) == ("long-quick", 1, 0, 3, 4)


def test_every_shipped_experiment_is_an_experiment():
    files = [path for path in (ROOT / "experiments").glob("*.py") if "launch(experiment)" in path.read_text()]
    assert {"photocopy", "photocopy_ddpm", "textures", "smoke"} <= {path.stem for path in files}
    assert all(isinstance(load_experiment(path), Experiment) for path in files)


# -- the main way


def test_run_resume_and_report_end_with_a_page(here: Path, capsys: pytest.CaptureFixture[str]):
    assert command("run", "tiny.py") == 0
    (folder,) = (here / "runs").iterdir()
    page = folder / "report" / "index.html"
    assert page.is_file() and str(page.relative_to(here)) in capsys.readouterr().out
    before = (folder / "metrics.jsonl").read_bytes()

    assert command("run", "tiny.py") == 0
    assert "nothing is run again" in capsys.readouterr().out
    assert command("run", str(folder / "config.json")) == 0
    assert "nothing is run again" in capsys.readouterr().out
    assert command("resume", str(folder)) == 0
    assert command("report", str(folder)) == 0
    assert (folder / "metrics.jsonl").read_bytes() == before
    assert len(list((here / "runs").iterdir())) == 1


def test_the_script_is_the_same_door_as_the_command(here: Path):
    assert command("run", "tiny.py", "--generations", "1") == 0
    words = [sys.executable, "tiny.py", "--generations", "1"]
    done = subprocess.run(words, capture_output=True, text=True, cwd=here, env=_environment())
    assert done.returncode == 0 and "nothing is run again" in done.stdout, done.stderr


def test_provenance_says_who_ran_what_with_which_tools(here: Path):
    command("run", "tiny.py")
    (folder,) = (here / "runs").iterdir()
    record = RunFolder.open(folder).provenance
    assert record["packages"]["torch"] and record["device"] == "cpu" and record["n"] == 24
    assert record["labels"]["0"].startswith("PPCA") and record["data"]["card"]


def test_users_own_pictures_work_and_the_truncated_one_is_named(
    here: Path, picture_folder: Path, rng: np.random.Generator, capsys: pytest.CaptureFixture[str]
):
    Image.fromarray(rng.integers(0, 256, (80, 90), np.uint8)).save(picture_folder / "grey.png")
    Image.fromarray(rng.integers(0, 256, (80, 90, 4), np.uint8)).save(picture_folder / "clear.png")
    turned = Image.fromarray(rng.integers(0, 256, (80, 90, 3), np.uint8))
    exif = turned.getexif()
    exif[0x0112] = 6
    turned.save(picture_folder / "turned.jpg", exif=exif)
    whole = (picture_folder / "picture-00.jpg").read_bytes()
    (picture_folder / "cut.jpg").write_bytes(whole[: len(whole) // 2])

    words = ("run", "tiny.py", "--data.kind", "folder", "--data.path", str(picture_folder), "--data.size", "16")
    assert command(*words) == 0
    assert "cut.jpg" in capsys.readouterr().err
    (folder,) = (here / "runs").iterdir()
    assert [Path(bad["path"]).name for bad in RunFolder.open(folder).provenance["data"]["bad_files"]] == ["cut.jpg"]
    assert command(*words, "--on-bad", "stop") == 1
    assert "cut.jpg" in capsys.readouterr().err


def test_a_run_branches_and_the_branch_branches(here: Path, capsys: pytest.CaptureFixture[str]):
    assert command("run", "tiny.py", "--generations", "3") == 0
    (stem,) = (here / "runs").iterdir()
    first = [stem.name, *["--at", "1", "--regime.kind", "mix", "--regime.real-fraction", ".5"]]
    assert command("branch", f"runs/{first[0]}", *first[1:]) == 0
    assert "generation 1 of 3" not in capsys.readouterr().out.split("mix")[-1].split("run:")[-1]
    (one,) = set((here / "runs").iterdir()) - {stem}
    assert RunFolder.open(one).provenance["branched_from"]["run"] == stem.name
    assert (one / "report" / "index.html").is_file()
    assert command("branch", str(one), "--at=2", "--regime.kind", "replace", "--generations", "4") == 0
    (two,) = set((here / "runs").iterdir()) - {stem, one}
    regime = Experiment(**RunFolder.open(two).config["experiment"]).regime
    half = Mix(real_fraction=0.5)
    assert regime == Schedule(first=Replace(), until=1, then=Schedule(first=half, until=2, then=Replace()))
    assert command("resume", str(two)) == 0


# -- what goes wrong


@pytest.mark.parametrize(
    ("words", "code", "message"),
    [
        (["run", "tiny.py", "--generatons", "3"], 2, "--generations"),
        (["run", "tiny.py", "--data.sise", "3"], 2, "--data.size"),
        (["run", "tiny.py", "--images", "many"], 2, "images"),
        (["run", "tiny.py", "--images", "1"], 2, "greater than or equal to 4"),
        (["run", "tiny.py", "--metrics", "beauty"], 2, "beauty"),
        (["rnu", "tiny.py"], 2, "run"),
        (["run", "none.py"], 1, "no such experiment file"),
        (["run", "tiny.py", "--data.kind", "folder"], 2, "data.path"),
        (["run", "tiny.py", "--data.kind", "folder", "--data.path", "nowhere"], 1, "nowhere"),
        (["run", "tiny.py", "--data.kind", "folder", "--data.path", "empty"], 1, "empty"),
        (["run", "tiny.py", "--data.kind", "folder", "--data.path", "small"], 1, "5 x 5"),
        (["run", "tiny.py", "--runtime.device", "cuda:7"], 1, "cuda:7"),
        (["run", "tiny.py", "--runtime.device", "gpu"], 2, "runtime.device"),
        (["run", "broken.json"], 1, "broken.json"),
        (["run", "notes.txt"], 1, "notes.txt"),
        (["run", "other.json"], 1, "schema 99"),
        (["resume", "empty"], 1, "not a run folder"),
        (["branch", "empty", "--at", "1"], 1, "not a run folder"),
        (["branch", "tiny.py"], 1, "not a run folder"),
        (["report", "nowhere"], 1, "not a run folder"),
        (["report", "oldrun"], 1, "schema 99"),
    ],
)
def test_a_mistake_gets_one_clear_message(
    here: Path, capsys: pytest.CaptureFixture[str], words: list[str], code: int, message: str
):
    (here / "empty").mkdir()
    (here / "small").mkdir()
    Image.new("RGB", (5, 5)).save(here / "small" / "five.png")
    (here / "broken.json").write_text('{"schema": 1, "experiment": {')
    (here / "other.json").write_text('{"schema": 99, "experiment": {}}')
    (here / "notes.txt").write_text("hello")
    (here / "oldrun").mkdir()
    (here / "oldrun" / "config.json").write_text(json.dumps({"schema": 99, "signature": "x", "experiment": {}}))

    assert command(*words) == code
    told = capsys.readouterr().err
    assert message in told, told
    assert "Traceback" not in told and "errors.pydantic.dev" not in told
    assert not list(here.rglob("*.partial"))


def test_a_config_changed_by_hand_is_not_resumed_as_the_old_run(here: Path, capsys: pytest.CaptureFixture[str]):
    command("run", "tiny.py")
    (folder,) = (here / "runs").iterdir()
    path = folder / "config.json"
    path.write_text(path.read_text().replace('"seed": 0', '"seed": 5'))
    assert command("resume", str(folder)) == 1
    assert "changed by hand" in capsys.readouterr().err


def test_a_config_of_another_version_is_not_said_to_be_changed_by_hand(here: Path, capsys: pytest.CaptureFixture[str]):
    command("run", "tiny.py")
    (folder,) = (here / "runs").iterdir()
    config = json.loads((folder / "config.json").read_text())
    del config["experiment"]["generator"]["components"]  # a setting that the other version did not have
    config["signature"] = signature_of(config["experiment"])
    del config["checksum"]  # nor did it write checksums
    (folder / "config.json").write_text(json.dumps(config))
    assert command("resume", str(folder)) == 1
    told = " ".join(capsys.readouterr().err.split())
    assert "was written by another version of imagelab" in told and "by hand" not in told


FULL = (OSError(errno.ENOSPC, "No space left on device"), SafetensorError("I/O error: No space left on device"))


@pytest.mark.parametrize("fault", FULL, ids=["system", "safetensors"])
def test_a_full_disk_is_said_and_leaves_nothing_half_written(
    here: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, fault: Exception
):
    import imagelab.lab

    def full(*_: object) -> None:
        raise fault

    with monkeypatch.context() as patched:
        patched.setattr(imagelab.lab, "write_images", full)
        assert command("run", "tiny.py") == 1
    assert "disk is full" in capsys.readouterr().err
    assert not list(here.rglob("*.partial"))
    assert command("run", "tiny.py") == 0


def test_interrupting_exits_130_and_prints_the_command_that_goes_on(here: Path):
    slow = TINY.replace("Gaussian(components=8)", "Vae(latent=4, width=8, images_seen=4_000_000)").replace(
        "Gaussian,", "Vae,"
    )
    (here / "slow.py").write_text(slow)
    command_line = [sys.executable, "-m", "imagelab", "run", "slow.py"]
    pipe = subprocess.PIPE
    process = subprocess.Popen(command_line, stdout=pipe, stderr=pipe, text=True, cwd=here, env=_environment())
    assert process.stdout
    for line in process.stdout:
        if "generation 0" in line:
            break
    process.send_signal(signal.SIGINT)
    told = process.communicate(timeout=120)[1]
    assert process.returncode == 130, told
    assert "imagelab resume" in told and "Traceback" not in told


# -- what is light stays light


@pytest.mark.parametrize("words", [["--help"], ["run", "--help"], ["run", "tiny.py", "--help"], ["report", "RUN"]])
def test_help_and_report_need_no_torch(here: Path, words: list[str]):
    command("run", "tiny.py")
    (folder,) = (here / "runs").iterdir()
    words = [str(folder) if word == "RUN" else word for word in words]
    code = f"""
import sys
from imagelab.cli import main
try:
    main({words!r})
except SystemExit as left:
    print("CODE", left.code or 0, "torch" in sys.modules)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=here, env=_environment())
    assert done.stdout.strip().splitlines()[-1] == "CODE 0 False", done.stdout + done.stderr


def _environment() -> dict[str, str]:
    import os

    return {**os.environ, "PYTHONPATH": str(ROOT)}


def test_commands_stand_in_the_order_in_which_they_are_needed(capsys: pytest.CaptureFixture[str]):
    assert command("--help") == 0
    told = capsys.readouterr().out
    order = "run resume branch report watch grid animate compare measure slides export cite doctor data weights --help"
    places = [re.search(rf"│ {word} ", told) for word in order.split()]
    assert None not in places
    assert [place.start() for place in places if place] == sorted(place.start() for place in places if place)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("run",), "run FILE: expected an experiment such as experiments/photocopy.py first, got nothing"),
        (("run", "--generations", "2"), "first, got --generations; --help lists the rest"),
        (("branch",), "branch RUN --at G: expected a run folder such as runs/photocopy-1a2b3c4d first, got nothing"),
        (("report", "."), "not a run folder"),
        (("resume",), "parameter RUN requires an argument"),
        (("grid",), "parameter RUN requires an argument"),
    ],
    ids=str,
)
def test_a_command_without_its_subject_says_what_to_name(
    here: Path, capsys: pytest.CaptureFixture[str], words: tuple[str, ...], message: str
):
    assert command(*words) == (1 if message == "not a run folder" else 2)
    assert message in " ".join(capsys.readouterr().err.split())


@pytest.mark.parametrize(
    "words",
    [
        "run nowhere.py",
        "resume nowhere",
        "branch nowhere --at 1",
        "report nowhere",
        "watch nowhere",
        "grid nowhere",
        "animate nowhere",
        "compare nowhere nowhere2",
        "slides nowhere",
        "export nowhere --generation 1 -o out",
        "cite nowhere",
        "measure nowhere tiny.py",
        "measure tiny.py tiny.py --against nowhere.jsonl",
        "weights import nowhere",
        "data describe folder --path nowhere",
    ],
)
def test_what_is_not_there_fails_alike_at_every_door(words: str, here: Path, capsys: pytest.CaptureFixture[str]):
    assert command(*words.split()) == 1
    assert "nowhere" in " ".join(capsys.readouterr().err.split())


@pytest.mark.parametrize(
    "door", ["resume", "report", "watch", "grid", "animate", "compare", "slides", "cite", "measure"]
)
def test_an_option_that_no_door_knows_is_a_wrong_command_at_every_door(door: str, here: Path):
    assert command(door, "nowhere", "--colour", "red") == 2


def test_a_report_cannot_take_the_place_of_a_file(here: Path, capsys: pytest.CaptureFixture[str]):
    command("run", "tiny.py")
    (folder,) = (here / "runs").iterdir()
    assert command("report", str(folder), "-o", "tiny.py") == 1
    assert "--output: tiny.py is a file" in " ".join(capsys.readouterr().err.split())
    assert (here / "tiny.py").read_text() == TINY
    assert command("report", str(folder), "-o", "page") == 0
    assert (here / "page" / "index.html").is_file()
