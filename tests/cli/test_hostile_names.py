"""Names that somebody else chose, and terminals that lack characters: every command prints plain text and ends well."""

from __future__ import annotations

import errno
import io
import json
import logging
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from contextlib import redirect_stderr
from pathlib import Path

import pytest

from imagelab import Experiment, Gaussian, Replace, Runtime, Textures, run
from imagelab.cli.entry import main

HOSTILE = "a\x1b]0;owned\x07\x1b[31m[bold]\u202eb\udcff"
"""A window title, a colour, markup, a change of direction, and a byte that is no UTF-8."""

TITLE = "t\x1b]0;owned\x07[/b]"

TINY = """
from imagelab import Experiment, Gaussian, Replace, Textures
experiment = Experiment(
    name="tiny", title="Größe µ ± 数", data=Textures(size=16), regime=Replace(), generator=Gaussian(components=8),
    generations=1, images=24, heldout=12, tracked=4, metrics=("pixel_variance",),
)
"""


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run whose folder and title are hostile."""
    home = tmp_path_factory.mktemp("made")
    experiment = Experiment(
        name="tiny", title=TITLE, data=Textures(size=16), regime=Replace(), generator=Gaussian(components=8),
        generations=2, images=24, heldout=12, tracked=4, metrics=("pixel_variance", "hf_ratio"),
        runtime=Runtime(runs=home),
    )  # fmt: skip
    folder = home / HOSTILE
    run(experiment).path.rename(folder)
    return folder


Ask = Callable[..., tuple[int, str]]


@pytest.fixture
def ask(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Ask:
    """Run a command with two streams of an encoding; return its exit code and all that it printed."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("IMAGELAB_CACHE", str(tmp_path / "cache"))

    def asked(*words: str | Path, encoding: str = "utf-8", stdout: io.TextIOWrapper | None = None) -> tuple[int, str]:
        contents = [io.BytesIO(), io.BytesIO()]
        files = [io.TextIOWrapper(content, encoding) for content in contents]
        with monkeypatch.context() as patch, pytest.raises(SystemExit) as left:
            patch.setattr(sys, "stdout", stdout or files[0])
            patch.setattr(sys, "stderr", files[1])
            main([str(word) for word in words])
        for file in files:
            file.flush()
        return int(left.value.code or 0), b"".join(content.getvalue() for content in contents).decode(encoding)

    return asked


COMMANDS: dict[str, tuple[str, ...]] = {
    "resume": ("resume", "RUN"),
    "branch": ("branch", "RUN", "--at", "1", "--generations", "2", "--regime.kind", "accumulate"),
    "report": ("report", "RUN", "-o", "OUT"),
    "watch": ("watch", "RUN"),
    "watch --json": ("watch", "RUN", "--json"),
    "check": ("check", "RUN"),
    "grid": ("grid", "RUN", "-o", "OUT.png"),
    "animate": ("animate", "RUN", "-o", "OUT.gif"),
    "compare": ("compare", "RUN", "RUN", "-o", "OUT.html"),
    "slides": ("slides", "RUN", "-o", "OUT.pptx"),
    "cite": ("cite", "RUN"),
    "export": ("export", "RUN", "--generation", "1", "-o", "OUT"),
    "export parquet": ("export", "RUN", "--generation", "1", "-o", "OUT", "--format", "parquet"),
    "export webdataset": ("export", "RUN", "--generation", "1", "-o", "OUT", "--format", "webdataset"),
    "export model": ("export", "RUN", "--generation", "1", "-o", "OUT", "--format", "model"),
    "measure": ("measure", "RUN@0", "RUN@2", "--metrics", "tone"),
    "measure --json": ("measure", "RUN@0", "RUN@2", "--metrics", "tone", "--json"),
    "measure --against": ("measure", "RUN@0", "RUN@2", "--metrics", "pixel_variance", "--against", "RUN@1"),
    "data describe": ("data", "describe", "folder", "--path", "RUN"),
    "data sheet": ("data", "sheet", "folder", "--path", "RUN", "-o", "OUT"),
    "weights import": ("weights", "import", "RUN"),
    "run": ("run", "RUN/config.json"),
    "an unknown command": ("RUN",),
    "an unknown option": ("watch", "--RUN"),
}


def words_of(name: str, run: str, out: str) -> list[str]:
    return [word.replace("RUN", run).replace("OUT", out) for word in COMMANDS[name]]


def assert_plain(printed: str) -> None:
    assert [c for c in printed if not c.isprintable() and c != "\n"] == []
    assert printed.strip()


@pytest.mark.parametrize("name", COMMANDS)
def test_no_name_controls_the_terminal(name: str, made: Path, ask: Ask, tmp_path: Path) -> None:
    code, printed = ask(*words_of(name, str(made), str(tmp_path / ("out" + HOSTILE))))
    assert_plain(printed)
    assert code in (0, 1, 2), printed
    for other in made.parent.iterdir():
        if other != made:  # the branch, whose next test must find nothing
            shutil.rmtree(other)


@pytest.mark.parametrize("name", COMMANDS)
def test_no_missing_name_controls_the_terminal(name: str, ask: Ask, tmp_path: Path) -> None:
    code, printed = ask(*words_of(name, str(tmp_path / HOSTILE), str(tmp_path / "no" / HOSTILE)))
    assert_plain(printed)
    assert code in (1, 2), printed


@pytest.mark.parametrize("encoding", ["ascii", "latin-1", "utf-8"])
@pytest.mark.parametrize("name", ["resume", "watch", "check", "cite", "measure", "measure --against", "report"])
def test_a_terminal_that_lacks_characters_gets_others_and_the_work_is_done(
    name: str, encoding: str, made: Path, ask: Ask, tmp_path: Path
) -> None:
    code, printed = ask(*words_of(name, str(made), str(tmp_path / "out")), encoding=encoding)
    assert code == 0, printed
    if name == "measure":
        assert {"ascii": "+- 0", "latin-1": "± 0", "utf-8": "± 0"}[encoding] in printed


@pytest.mark.parametrize("encoding", ["ascii", "latin-1", "utf-8"])
@pytest.mark.parametrize("name", ["watch --json", "measure --json"])
def test_json_stays_json_whatever_the_encoding_and_the_names(name: str, encoding: str, made: Path, ask: Ask) -> None:
    code, printed = ask(*words_of(name, str(made), ""), encoding=encoding)
    assert code == 0
    assert "owned" in json.dumps(json.loads(printed[printed.index("{") : printed.rindex("}") + 1]))


def test_a_run_goes_on_when_nobody_reads_its_output(tmp_path: Path) -> None:
    (tmp_path / "tiny.py").write_text(TINY, encoding="utf-8")
    reader, writer = os.pipe()
    os.close(reader)
    command = [sys.executable, "-m", "imagelab", "run", "tiny.py"]
    done = subprocess.run(command, stdout=writer, stderr=subprocess.PIPE, cwd=tmp_path, check=False)
    os.close(writer)
    assert (done.returncode, done.stderr) == (0, b"")
    assert len(list(tmp_path.glob("runs/*/report/index.html"))) == 1


class Full(io.BytesIO):
    """A file on a full disk."""

    def write(self, content: object) -> int:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def test_output_that_cannot_be_written_is_told_and_the_file_of_numbers_is_there(
    made: Path, ask: Ask, tmp_path: Path
) -> None:
    numbers = tmp_path / "numbers.jsonl"
    words = ("measure", f"{made}@0", f"{made}@2", "--metrics", "tone", "--output", numbers)
    code, printed = ask(*words, stdout=io.TextIOWrapper(Full(), "utf-8"))
    assert (code, "Traceback" in printed) == (1, False)
    assert printed.endswith("the output could not be written: No space left on device; the work itself is done\n")
    assert numbers.stat().st_size > 0
    assert ask(*words)[0] == 0  # what was lost was that output, not the next one


def test_files_are_written_in_utf_8_whatever_the_locale(tmp_path: Path) -> None:
    (tmp_path / "tiny.py").write_text(TINY, encoding="utf-8")
    environment = {**os.environ, "LC_ALL": "C", "PYTHONCOERCECLOCALE": "0", "PYTHONUTF8": "0"}
    command = [sys.executable, "-m", "imagelab", "run", "tiny.py"]
    done = subprocess.run(command, capture_output=True, env=environment, cwd=tmp_path, check=False)
    assert (done.returncode, done.stderr) == (0, b"")
    page = next(tmp_path.glob("runs/*/report/index.html")).read_text(encoding="utf-8")
    assert "Größe µ ± 数" in page


def test_a_warning_cannot_control_the_terminal(ask: Ask) -> None:
    ask("--version")
    content = io.BytesIO()
    file = io.TextIOWrapper(content, "ascii", errors="imagelab")
    handler = logging.lastResort
    assert handler is not None
    with redirect_stderr(file):
        handler.emit(logging.makeLogRecord({"msg": f"{HOSTILE} ±"}))
    file.flush()
    assert_plain(content.getvalue().decode("ascii"))
