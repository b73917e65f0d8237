"""A loop whose generator is two programs of somebody else: resumed, refused, allowed, and never executed by reading."""

from __future__ import annotations

import json
import shlex
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pydantic import ValidationError

from imagelab import Command, Experiment, Runtime, Textures
from imagelab.cli import main
from imagelab.cli.overrides import parse
from imagelab.export.generation import export_generation
from imagelab.run_folder import RunFolder
from imagelab.runs import consent
from imagelab.runs.prepare import reopen
from imagelab.runs.run import Note, Phase, run, steps

LEARN = """
import os, shutil, sys
images, model, seed, before = sys.argv[1:5]
shutil.copytree(images, model)
with open("executed", "a") as file: print("learned", seed, os.path.isdir(before), file=file)
"""
DRAW = """
import os, random, shutil, sys
model, images, count, seed = sys.argv[1:5]
rng, known = random.Random(int(seed)), sorted(os.listdir(model))
for row in range(int(count)):
    shutil.copy(os.path.join(model, rng.choice(known)), os.path.join(images, f"{row}.png"))
with open("executed", "a") as file: print("drew", count, file=file)
"""
OTHER = DRAW.replace("random.Random(int(seed))", "random.SystemRandom()")


@pytest.fixture(autouse=True)
def _no_consent_of_other_tests(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path_factory.mktemp("configuration")))
    monkeypatch.setattr(consent, "_allowed_here", set())


def question(home: Path, draw: str = DRAW, **changes: Any) -> Experiment:
    """A loop of a guest that lies in the folder."""
    home.mkdir(exist_ok=True)
    (home / "learn.py").write_text(LEARN)
    (home / "draw.py").write_text(draw)
    guest = Command(
        train="{python} -S learn.py {images} {model} {seed} {previous_model}",
        sample="{python} -S draw.py {model} {images} {count} {seed}",
        name="guest",
        directory=home,
    )
    settings: dict[str, Any] = {
        "data": Textures(size=16),
        "generator": guest,
        "generations": 2,
        "images": 8,
        "heldout": 8,
        "tracked": 2,
        "metrics": ("pixel_variance",),
        "runtime": Runtime(runs=home / "runs"),
    }
    return Experiment(**{**settings, **changes})


def command(words: str, capsys: pytest.CaptureFixture[str]) -> tuple[int, str]:
    with pytest.raises(SystemExit) as stopped:
        main(shlex.split(words))
    printed = capsys.readouterr()
    return int(stopped.value.code or 0), printed.out + printed.err


def executed(home: Path) -> list[str]:
    path = home / "executed"
    return path.read_text().splitlines() if path.exists() else []


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The home of a guest and of its finished run; not to be changed."""
    home = tmp_path_factory.mktemp("guest")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CONFIG_HOME", str(home / "configuration"))
        patch.setenv("IMAGELAB_CACHE", str(home / "cache"))
        run(question(home))
    return home


@pytest.fixture
def here(finished: Path, tmp_path: Path) -> Path:
    """A copy of the run, with the guest where it was; nobody has allowed anything here."""
    folder = next(path for path in (finished / "runs").iterdir())
    return Path(shutil.copytree(folder, tmp_path / "runs" / folder.name))


def test_a_loop_of_programs_learns_from_its_own_images(finished: Path):
    folder = RunFolder.open(next((finished / "runs").iterdir()))
    assert folder.shards() == [(0, -1), (1, 0), (2, 0)] and folder.problems(read_data=True) == []
    for generation in (1, 2):
        known, made = folder.images(generation - 1), folder.images(generation)
        assert all(any((image == each).all() for each in known) for image in made)
        assert "train.log" in folder.files(generation) and "guest" in " ".join(folder.files(generation))
    assert len(folder.images(1, 0)) == 8 and folder.provenance["repeatable"] == {"guest": True}
    times = {
        word: sum(line.startswith(word) for line in executed(finished)) for word in ("learned", "drew 4", "drew 8")
    }
    assert times == {"learned": 4, "drew 4": 2, "drew 8": 2}, "two of each in the trial, and one a generation"


def test_the_scripts_are_part_of_the_question_and_their_place_is_not(finished: Path, tmp_path: Path):
    first = question(finished)
    assert list(first.config()["scripts"]) == [str(finished / "draw.py"), str(finished / "learn.py")]
    other = question(tmp_path / "other").config()
    assert list(other["scripts"].values()) == list(first.config()["scripts"].values())
    assert question(tmp_path / "other", DRAW + "#").signature != question(tmp_path / "other").signature
    assert "scripts" not in Experiment(data=Textures(size=16)).config()


def test_a_run_goes_on_to_the_same_bytes(here: Path, finished: Path):
    before = np.array(RunFolder.open(here).images(2))
    shutil.rmtree(here / "gen-002")
    folder, runtime = RunFolder.open(here, remake=True), Runtime(runs=here.parent)
    consent.allow_commands(question(finished))
    run(reopen(folder, runtime), folder=folder)
    np.testing.assert_array_equal(RunFolder.open(here).images(2), before)


def test_reading_a_run_executes_nothing_and_going_on_asks_first(
    here: Path, finished: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    count, name = len(executed(finished)), shlex.quote(str(here))
    for words in (f"check {name}", f"measure {name}@0 {name}@1 --metrics pixel_variance", f"watch {name}"):
        assert command(words, capsys)[0] == 0, words
    for words in (f"resume {name}", f"run {name} --generations 3", f"branch {name} --at 1 --generations 3"):
        code, said = command(words, capsys)
        assert code == 1 and "executes programs on this machine, with your rights" in said, said
        assert "draw.py {model} {images}" in said and "give --allow-commands" in said
    assert len(executed(finished)) == count, "nothing was executed"
    shutil.rmtree(here / "gen-002")
    code, said = command(f"resume {name} --allow-commands", capsys)
    assert code == 0 and f"executes, in {finished}: {{python}} -S learn.py" in said
    assert len(executed(finished)) > count
    assert reopen(RunFolder.open(here), Runtime(runs=here.parent)), "what was allowed once is not asked again"


def test_a_recipe_that_is_named_by_its_place_is_asked_about_too(here: Path, capsys: pytest.CaptureFixture[str]):
    config = json.loads((here / "config.json").read_text())
    config["experiment"]["generator"]["kind"] = "imagelab.generators.command:Command"
    stranger = here.parent / "config.json"
    stranger.write_text(json.dumps(config))
    code, said = command(f"run {shlex.quote(str(stranger))}", capsys)
    assert code == 1 and "executes programs on this machine" in said


def test_a_changed_script_is_said_and_not_executed(finished: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    folder = run(question(tmp_path / "guest", generations=1))
    shutil.rmtree(folder.path / "gen-001")
    (tmp_path / "guest" / "draw.py").write_text(DRAW + "# mended\n")
    count = len(executed(tmp_path / "guest"))
    code, said = command(f"resume {folder.path}", capsys)
    assert code == 1 and "draw.py was changed since this run was begun. Undo that to go on" in said
    (tmp_path / "guest" / "draw.py").unlink()
    code, said = command(f"resume {folder.path}", capsys)
    assert code == 1 and "draw.py is not there any more since this run was begun" in said
    assert len(executed(tmp_path / "guest")) == count
    code, said = command(f"check {folder.path}", capsys)
    assert "changed by hand" not in said, "the run itself is whole"


def test_a_guest_without_a_fixed_seed_is_said_to_be_one(tmp_path: Path):
    notes: list[str] = []
    asked = question(tmp_path / "guest", OTHER)
    for _ in steps(asked, on_event=lambda event: notes.append(event.text) if isinstance(event, Note) else None):
        pass
    said = "guest: is not deterministic, the same seeds gave other images. A resumed run follows the same loop"
    assert any(note.startswith(said) for note in notes)
    tried = "guest: is tried twice before the run: trained on 12 images of noise at its full length"
    assert any(note.startswith(tried) for note in notes)
    folder = RunFolder.open(asked.folder)
    assert folder.provenance["repeatable"] == {"guest": False}
    shutil.rmtree(folder.path / "gen-002")
    notes.clear()
    run(asked, on_event=lambda event: notes.append(event.text) if isinstance(event, Note) else None)
    assert any(note.startswith(said) for note in notes) and not any(note.startswith(tried) for note in notes)


def test_a_guest_that_fails_later_keeps_what_is_finished(tmp_path: Path):
    fails = DRAW + "if os.path.isdir('../fail'): sys.exit('out of pictures')\n"
    asked = question(tmp_path / "guest", fails, generations=2, warm_start=True)
    iterator = steps(asked)
    assert [next(iterator).generation, next(iterator).generation] == [0, 1]
    (tmp_path / "fail").mkdir()
    said = r"^generation 2, guest: the command sample ended with exit code 1\nIts last .*gen-002.partial/train.log"
    with pytest.raises(ValueError, match=said) as failed:
        next(iterator)
    assert "out of pictures" in str(failed.value)
    (tmp_path / "fail").rmdir()
    assert run(asked).shards() == [(0, -1), (1, 0), (2, 0)]
    assert [line.split()[2] for line in executed(tmp_path / "guest") if "learned" in line][-3:] == [
        "False",
        "True",
        "True",
    ]


def test_a_guest_of_no_trial_is_not_tried(tmp_path: Path):
    asked = question(tmp_path / "guest", generations=1)
    untried = asked.model_copy(update={"generator": asked.generator.model_copy(update={"trial": "none"})})
    run(Experiment(**{name: getattr(untried, name) for name in Experiment.model_fields}))
    assert [line.split()[0] for line in executed(tmp_path / "guest")] == ["learned", "drew", "drew"]


def test_a_warm_start_needs_a_command_that_takes_the_model_before():
    cold = Command(train="fit {images} {model}", sample="draw {model} {images} {count}", name="fit")
    with pytest.raises(ValidationError, match=r"warm_start: the command of 'fit' does not take the model before. Put "):
        Experiment(generator=cold, warm_start=True)


def test_the_command_line_and_a_file_of_settings_make_the_same_guest(tmp_path: Path):
    words = ["--generator.kind", "command", "--generator.train", "fit {images} {model}", "--generator.name", "fit"]
    words += ["--generator.sample", "draw {model} {images} {count}", "--generator.environment", "A=1"]
    words += ["--generator.directory", str(tmp_path), "--no-arms"]
    made = parse(Experiment(), words, "test").generator
    lines = {"train": "fit {images} {model}", "sample": "draw {model} {images} {count}", "environment": ["A=1"]}
    said = {"kind": "command", "name": "fit", "directory": str(tmp_path), **lines}
    assert made.model_dump() == Experiment(generator=said).generator.model_dump()  # pyright: ignore[reportArgumentType]


@pytest.mark.parametrize("workers", [1, 2])
def test_what_a_guest_writes_is_shown_while_it_runs_and_does_not_reach_the_terminal(
    workers: int, tmp_path: Path, capfd: pytest.CaptureFixture[str]
):
    says = LEARN + "print('step 3 of 9' + ' ' * 5 + '\\x1b[31m', flush=True)\n"
    home = tmp_path / "guest"
    asked = question(home, generations=1)
    (home / "learn.py").write_text(says)
    shown: list[str] = []
    for _ in steps(asked, on_event=lambda e: shown.append(e.what) if isinstance(e, Phase) else None, workers=workers):
        pass
    assert shown.count("step 3 of 9     \\x1b[31m") >= 3, "twice in the trial, and in the run, in a worker or not"
    assert "step 3" not in "".join(capfd.readouterr())


def test_the_exported_model_of_a_guest_names_no_place_on_this_machine(finished: Path, tmp_path: Path):
    run_folder = next((finished / "runs").iterdir())
    card = (export_generation(run_folder, 1, tmp_path / "model", "model") / "README.md").read_text()
    assert str(finished) not in card and "draw.py {model}" in card and "no part of imagelab" in card
    assert "Left out of this copy: guest/model/00000.png" in card, "files of formats that may hold code stay behind"
