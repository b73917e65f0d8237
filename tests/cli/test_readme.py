"""The README shows commands that imagelab understands, in lines that its page shows whole."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest

from imagelab.cli.entry import app
from imagelab.cli.overrides import load_experiment, parse, plugged, taken
from imagelab.cli.plan_power import asked_power
from imagelab.cli.sweep import SweepWords
from imagelab.experiment import Experiment
from imagelab.generators import Vae
from imagelab.regimes import Mix

ROOT = Path(__file__).resolve().parents[2]
README = (ROOT / "README.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"```(\w*)\n(.*?)```", README, re.DOTALL)
WIDEST = 96
"""Characters of a line of code that the page of a repository shows without scrolling."""

MINE = """
from typing import Literal
from imagelab.regimes import Replace

class Mine(Replace):
    kind: Literal["mine"] = "mine"
"""


def shown() -> list[list[str]]:
    """The words of every command in the README, without its comment."""
    lines = [
        line
        for language, block in BLOCKS
        if language == "bash"
        for line in block.replace("\\\n", " ").splitlines()
        if "python3 -m venv" not in line
    ]
    return [words for words in (shlex.split(line, comments=True) for line in lines) if words]


IMAGELAB = [words[words.index("imagelab") + 1 :] for words in shown() if "imagelab" in words]
"""The words after ``imagelab``, of each command."""


def test_the_commands_are_found():
    assert len(IMAGELAB) > 60 and {words[0] for words in IMAGELAB} >= {"run", "sweep", "measure", "report", "watch"}


@pytest.mark.parametrize("words", IMAGELAB, ids=" ".join)
def test_imagelab_understands(words: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "points.csv").write_text("seed\n0\n1\n")
    (tmp_path / "mine.py").write_text(MINE)
    head, rest = words[0], plugged(words[1:])
    if head == "run":
        experiment = load_experiment(Path(rest[0]))
        if rest[1:] == ["--help"]:
            with pytest.raises(SystemExit):
                parse(experiment, rest[1:], "README")
        else:
            assert parse(experiment, rest[1:], "README").name
    elif head == "branch":
        at, flags = taken(rest[1:], "--at")
        assert at.isdecimal() and parse(Experiment(), flags, "README").name
    elif head in ("sweep", "plan") and rest[0] != "status":
        flags = asked_power(rest[1:])[1] if head == "plan" else rest[1:]
        assert SweepWords(flags).study(Path(rest[0]), head, alone=head == "plan").points
    else:
        app.parse_args(words, exit_on_error=False, print_error=False)


def test_every_experiment_file_that_is_named_is_there():
    named = set(re.findall(r"experiments/[\w/]+\.(?:py|ipynb)", README))
    assert len(named) > 15
    assert not [name for name in named if not (ROOT / name).is_file()]


def test_the_experiment_in_python_is_what_its_words_say():
    (block,) = [block for language, block in BLOCKS if language == "python"]
    names = {"__name__": "readme"}
    exec(block, names)
    experiment = names["experiment"]
    assert isinstance(experiment, Experiment)
    assert (experiment.generator, experiment.regime) == (Vae(), Mix(real_fraction=0.25))


def test_no_line_of_code_is_cut_by_the_page():
    lines = [line for _, block in BLOCKS for line in block.splitlines()]
    assert not [line for line in lines if len(line) > WIDEST and "python3 -m venv" not in line]
