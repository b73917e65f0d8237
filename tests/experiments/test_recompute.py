"""The script that recomputes a page shares no code with the package, agrees with it, and notices what was altered."""

from __future__ import annotations

import ast
import importlib
import json
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from imagelab import Experiment, Faces, Gaussian, Runtime
from imagelab import run as carry_out
from imagelab.report import write_report

HOME = Path(__file__).resolve().parents[2] / "experiments" / "instruments"
FILES = sorted(HOME.glob("recompute*.py"))
METRICS = ("hf_ratio", "spectrum", "pixel_variance", "tone", "colour", "frechet", "kernel", "vendi", "prdc", "detector")


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of two chains, with a blank twin and an arm, and its page in ``report/``."""
    experiment = Experiment(
        name="tiny",
        data=Faces(size=64, freckle_rate=0.6, cache=False),
        generator=Gaussian(components=8),
        arms=(Gaussian(components=3),),
        generations=2,
        images=44,
        heldout=42,
        tracked=2,
        replicates=2,
        blank_twins=1,
        metrics=(*METRICS, "generalisation", "freckles", "tails"),
        runtime=Runtime(device="cpu", runs=tmp_path_factory.mktemp("runs")),
    )
    run = carry_out(experiment).path
    write_report(run)
    return run


Recompute = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture(scope="session")
def recompute(warm: Callable[..., subprocess.CompletedProcess[str]]) -> Recompute:
    """Return ``recompute(RUN, *words)``, in a process that has numpy, scipy and torch loaded."""
    return lambda run, *words: warm(HOME / "recompute.py", run, *words)


def test_it_imports_nothing_of_the_package():
    allowed = {"numpy", "scipy", "torch", "PIL", "safetensors", *sys.stdlib_module_names}
    allowed |= {path.stem for path in FILES}
    assert len(FILES) == 6
    for path in FILES:
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, ast.Import):
                named = [alias.name for alias in node.names]
            else:
                named = [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            assert {name.partition(".")[0] for name in named} <= allowed, path.name
            assert not (isinstance(node, ast.Name) and node.id in ("__import__", "exec", "eval", "import_module"))


def test_it_runs_where_the_package_cannot_be_imported(tiny: Path):
    code = f"""
import runpy, sys
class Refuse:
    def find_spec(self, name, *rest):
        if name.partition(".")[0] == "imagelab":
            raise ImportError("the package is not to be used")
sys.meta_path.insert(0, Refuse())
sys.path.insert(0, {str(HOME)!r})
sys.argv = ["recompute.py", {str(tiny)!r}, "--only", "brightness,hf_ratio", "--count", "0"]
runpy.run_path({str(HOME / "recompute.py")!r}, run_name="__main__")
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0 and "8 of 8 numbers agree" in done.stdout, done.stdout + done.stderr


@pytest.mark.slow
def test_every_number_of_a_tiny_run_agrees(tiny: Path, recompute: Recompute):
    done = recompute(tiny, "--count", "0")
    assert done.returncode == 0, done.stdout + done.stderr
    share = re.search(r"(\d+) of (\d+) of its table", done.stdout)
    assert share and int(share[1]) >= 0.85 * int(share[2]) and int(share[2]) > 150
    assert "as recorded" not in done.stdout, "a standard error was not recomputed"
    told = re.search(r"(\d+) of (\d+) numbers agree", done.stdout)
    assert told and told[1] == told[2] and int(told[2]) > 150


def test_the_draw_depends_on_the_seed_only(tiny: Path, recompute: Recompute):
    words = ("--only", "brightness,contrast,chroma,colourfulness", "--count", "6")
    first, again, other = (recompute(tiny, *words, "--seed", seed).stdout for seed in ("1", "1", "2"))
    assert first == again and first.splitlines()[4:-2] != other.splitlines()[4:-2]
    assert "6 of 6 numbers agree (seed 1)" in first


@pytest.mark.parametrize("digit", ["value", "half"])
def test_one_altered_digit_of_the_page_is_caught(digit: str, tiny: Path, tmp_path: Path, recompute: Recompute):
    page = (tiny / "report" / "index.html").read_text("utf-8")
    row = re.search(r"<tr[^>]*><th[^>]*>[^<]*(?:<code>)?brightness.*?</tr>", page)
    assert row
    *_, cell = re.finditer(r"<td>([\d.]+)\s±\s([\d.]+)</td>", row[0])
    at = row.start() + cell.end(1 if digit == "value" else 2) - 1
    altered = page[:at] + str((int(page[at]) + 1) % 10) + page[at + 1 :]
    (tmp_path / "index.html").write_text(altered, "utf-8")
    words = ("--only", "brightness", "--count", "0")
    assert recompute(tiny, *words).returncode == 0
    done = recompute(tiny, *words, "--page", str(tmp_path / "index.html"))
    what = "the printed value is another one" if digit == "value" else "the printed ± is another one"
    assert done.returncode == 1 and done.stdout.count(what) == 1 and "3 of 4 numbers agree" in done.stdout


@pytest.mark.parametrize(("field", "name"), [("value", "chroma"), ("stderr", "chroma"), ("low", "clipped")])
def test_one_altered_value_of_metrics_is_caught(
    field: str, name: str, tiny: Path, tmp_path: Path, recompute: Recompute
):
    run = Path(shutil.copytree(tiny, tmp_path / tiny.name))
    path = run / "gen-002-line-2" / "metrics.jsonl"
    rows = [json.loads(line) for line in path.read_text("utf-8").splitlines()]
    for row in rows:
        if row["name"] == name:
            row[field] *= 1.05
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), "utf-8")
    done = recompute(run, "--only", name, "--count", "0")
    word = "limit" if field == "low" else field
    assert done.returncode == 1 and re.search(rf"line 2: {word} .* in metrics.jsonl, .* from the arrays", done.stdout)


def test_one_altered_image_is_caught(tiny: Path, tmp_path: Path, recompute: Recompute):
    import numpy as np

    run = Path(shutil.copytree(tiny, tmp_path / tiny.name))
    images = np.load(run / "gen-001" / "images.npy")
    images[3] = 255 - images[3]
    np.save(run / "gen-001" / "images.npy", images)
    assert recompute(run, "--only", "brightness", "--count", "0").returncode == 1


def test_a_page_without_numbers_is_an_error(tiny: Path, tmp_path: Path, recompute: Recompute):
    (tmp_path / "index.html").write_text("<html></html>", "utf-8")
    done = recompute(tiny, "--page", str(tmp_path / "index.html"))
    assert done.returncode == 2 and "no number was found on the page" in done.stderr


def test_numbers_of_rare_attributes_are_known_by_their_measurement_not_by_the_words_for_readers(
    monkeypatch: pytest.MonkeyPatch,
):
    monkeypatch.syspath_prepend(str(HOME))
    page = importlib.import_module("recompute_page")

    class Two:
        last = 2

    heads = "".join(f"<th>{each}</th>" for each in ("Attribute", "Real images", "Generation 2", "Chance"))
    row = "<th>bald head <code>tails/hair_bald</code></th><td>0.04 ± 0.01</td><td>0.02 ± 0.01</td><td>–</td>"
    found = page.printed_numbers(f"<table><tr>{heads}</tr><tr>{row}</tr></table>", Two())
    assert [(each.name, each.generation, each.text) for each in found] == [
        ("tails/hair_bald", 0, "0.04 ± 0.01"),
        ("tails/hair_bald", 2, "0.02 ± 0.01"),
    ]
