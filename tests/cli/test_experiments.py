from __future__ import annotations

import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from imagelab.cli.console import UsageError
from imagelab.cli.entry import main
from imagelab.cli.experiments import (
    GROUPS,
    ShippedExperiment,
    experiments_app,
    experiments_folder,
    runnable,
    shipped,
    shipped_experiments,
)
from imagelab.cli.overrides import load_experiment
from imagelab.experiment import Experiment

ROOT = Path(__file__).resolve().parents[2]
LABELS = ("Question:", "Command:", "Hardware:", "Expected:", "Refuted by:")


def command(*words: str | Path) -> int:
    return experiments_app([str(word) for word in words], exit_on_error=False, print_error=False)


@pytest.fixture
def empty(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def installed(tmp_path: Path) -> Path:
    """A package folder as an installed wheel leaves it, with the experiments inside; nothing else of the checkout."""
    package = tmp_path / "site" / "imagelab"
    package.mkdir(parents=True)
    for path in (ROOT / "imagelab").iterdir():
        (package / path.name).symlink_to(path)
    (package / "cli").unlink()
    (package / "cli").mkdir()
    for path in (ROOT / "imagelab" / "cli").glob("*.py"):  # copies: a link would lead back to the checkout
        (package / "cli" / path.name).write_bytes(path.read_bytes())
    (package / "experiments").mkdir()
    (package / "experiments" / "smoke.py").write_bytes((ROOT / "experiments" / "smoke.py").read_bytes())
    return package


def where(package: Path) -> subprocess.CompletedProcess[str]:
    """What an installed package takes for its experiments folder."""
    code = "from imagelab.cli.experiments import experiments_folder as f; print(f())"
    settings = {"env": {"PYTHONPATH": str(package.parent)}, "cwd": package.parents[1]}
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, **settings)


def test_a_checkout_uses_the_folder_at_its_top_level():
    assert experiments_folder() == ROOT / "experiments"


def test_an_installed_package_uses_its_own_folder(tmp_path: Path):
    package = installed(tmp_path)
    (tmp_path / "site" / "experiments").mkdir()  # of somebody else
    assert where(package).stdout.strip() == str(package / "experiments")
    (package / "experiments").rename(tmp_path / "gone")
    assert "install the package again" in where(package).stderr


def test_the_list_names_every_experiment_with_its_question_and_hardware(capsys: pytest.CaptureFixture[str]):
    assert command("list") == 0
    text = capsys.readouterr().out
    assert [text.index(f"{group.capitalize()}: ") for group in GROUPS] == sorted(
        text.index(f"{group.capitalize()}: ") for group in GROUPS
    )
    for entry in shipped_experiments():
        assert (f"\n  {entry.name}\n" in text or f"\n  {entry.name} (a notebook" in text) == entry.listed
        assert not entry.listed or entry.title in text
    assert "    Hardware: any; 11 seconds on two CPU cores" in text
    assert f"python {shlex.quote(str(ROOT / 'experiments'))}/NAME.py" in text


@pytest.mark.parametrize(
    "entry", [entry for entry in shipped_experiments() if entry.path.suffix == ".py"], ids=lambda e: e.name
)
def test_every_program_says_what_it_asks_and_each_command_names_a_file_that_exists(entry: ShippedExperiment):
    text = entry.path.read_text()
    docstring = text.split('"""')[1]
    if not entry.listed:
        assert any(
            entry.path.stem in other.path.read_text() for other in shipped_experiments() if other.path != entry.path
        )
        return
    lines = [line[:12] for line in docstring.splitlines() if line.startswith(LABELS)]
    assert lines == [f"{label:12}" for label in LABELS], "the words of every label begin in the same column"
    assert "\nSeen 20" in docstring
    started = re.findall(r"experiments/[\w/]+\.py", docstring)
    assert f"experiments/{entry.name}.py" in started
    assert all((ROOT / name).is_file() for name in started)


def test_a_name_is_found_with_and_without_suffix_and_folder():
    photocopy = ROOT / "experiments" / "photocopy.py"
    for name in ("photocopy", "photocopy.py", "experiments/photocopy.py"):
        assert shipped(name) == photocopy
    for name in ("regimes", "studies/regimes", "studies/regimes.py"):
        assert shipped(name) == ROOT / "experiments" / "studies" / "regimes.py"
    assert shipped("first_look") == ROOT / "experiments" / "first_look.ipynb"


@pytest.mark.parametrize("name", ["", "nonsense", "studies", "studies/photocopy", "../imagelab/pool.py"])
def test_an_unknown_name_lists_the_known_ones(name: str, empty: Path):
    with pytest.raises(ValueError, match=r"Known names: first_look, photocopy, .*studies/regimes") as caught:
        shipped(name)
    assert "acceptance" not in str(caught.value)
    with pytest.raises(UsageError, match="Known names"):
        command("show", name)


def test_run_takes_a_shipped_experiment_from_an_empty_folder(empty: Path, capsys: pytest.CaptureFixture[str]):
    words = ("run", "smoke", "--generations", "1", "--images", "24", "--heldout", "12", "--no-arms")
    with pytest.raises(SystemExit) as left:
        main([*words, "--generator.kind", "gaussian", "--generator.components", "4", "--metrics", "pixel_variance"])
    assert left.value.code == 0, capsys.readouterr().err
    (run,) = (empty / "runs").iterdir()
    assert run.name.startswith("smoke-") and (run / "report" / "index.html").is_file()


def test_a_file_in_the_current_folder_wins(empty: Path):
    assert load_experiment(Path("smoke")).name == "smoke"
    (empty / "smoke.py").write_text("from imagelab import Experiment\nexperiment = Experiment(name='mine')\n")
    for name in ("smoke", "smoke.py"):
        assert load_experiment(Path(name)).name == "mine"


@pytest.mark.parametrize(
    "entry", [entry for entry in shipped_experiments() if entry.group == "questions"], ids=lambda e: e.name
)
def test_every_question_runs_by_its_name(entry: ShippedExperiment, empty: Path):
    if entry.path.suffix == ".py":
        assert isinstance(load_experiment(Path(entry.name)), Experiment)
        return
    with pytest.raises(ValueError, match=f"a notebook.*imagelab experiments copy {entry.name}"):
        runnable(Path(entry.name))


@pytest.mark.parametrize("name", ["regimes", "studies/regimes", "benchmarks/panel.py"])
def test_run_says_how_a_program_is_started(name: str, empty: Path):
    with pytest.raises(ValueError, match=r"not one run\. Start it with: python ") as caught:
        load_experiment(Path(name))
    started = Path(shlex.split(str(caught.value))[-1])
    assert started.is_file() and started.stem == Path(name).stem


def test_show_prints_the_file_as_it_is(capsys: pytest.CaptureFixture[str]):
    assert command("show", "smoke") == 0
    assert capsys.readouterr().out == (ROOT / "experiments" / "smoke.py").read_text()


def test_copy_writes_the_file_and_never_overwrites(empty: Path):
    original = (ROOT / "experiments" / "smoke.py").read_bytes()
    assert command("copy", "smoke") == 0 and (empty / "smoke.py").read_bytes() == original
    (empty / "smoke.py").write_text("mine")
    with pytest.raises(ValueError, match=r"smoke\.py exists and is not overwritten"):
        command("copy", "smoke")
    assert (empty / "smoke.py").read_text() == "mine"
    assert command("copy", "smoke", "-o", "new/mine.py") == 0
    assert (empty / "new" / "mine.py").read_bytes() == original
    assert command("copy", "first_look", "-o", "new") == 0 and (empty / "new" / "first_look.ipynb").is_file()


def test_copy_takes_along_what_the_file_imports(empty: Path):
    assert command("copy", "first_generation") == 0
    names = {path.name for path in empty.iterdir()}
    assert names == {"first_generation.py", "acceptance.py"}
    (empty / "first_generation.py").unlink()
    assert command("copy", "first_generation") == 0  # the other is the same as before
    (empty / "first_generation.py").unlink()
    (empty / "acceptance.py").write_text("mine")
    with pytest.raises(ValueError, match=r"acceptance\.py exists and is not what"):
        command("copy", "first_generation")
    assert {path.name for path in empty.iterdir()} == {"acceptance.py"}, "nothing is written where something is refused"
