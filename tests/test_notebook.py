from __future__ import annotations

import json
import re
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from imagelab import Experiment, Faces, Gaussian
from imagelab.notebook import Figure, look, run

NOTEBOOK = Path(__file__).resolve().parents[1] / "experiments" / "first_look.ipynb"


@pytest.fixture(scope="module")
def experiment(tmp_path_factory: pytest.TempPathFactory) -> Experiment:
    return Experiment(
        data=Faces(size=32, cache=False),
        generator=Gaussian(components=6),
        generations=2,
        images=24,
        heldout=24,
        tracked=3,
        metrics=("pixel_variance", "spectrum"),
        runtime={"runs": tmp_path_factory.mktemp("runs"), "device": "cpu"},  # pyright: ignore[reportArgumentType]
    )


def test_a_run_shows_its_headline_pictures_and_figures(experiment: Experiment):
    shown = run(experiment)._repr_html_()
    assert "After 2 generations" in shown and shown.count("<img") == 3 and "Energy of fine detail" in shown
    assert look(experiment.folder)._repr_html_() == shown


def test_grids_and_curves_are_pictures_with_words(experiment: Experiment):
    seen = run(experiment)
    grid, curve = seen.grid("changed", columns=2), seen.curve("pixel_variance")
    assert grid.png.startswith(b"\x89PNG") and "<svg" in curve.svg
    for figure in (grid, curve):
        assert figure.alt and figure.alt.split()[0] in figure._repr_html_()
    assert "&lt;" in Figure("<b>", png=b"x")._repr_html_()


def test_numbers_are_the_lines_of_metrics_jsonl(experiment: Experiment):
    rows = run(experiment).numbers("pixel_variance")
    lines = [json.loads(line) for line in (experiment.folder / "metrics.jsonl").read_text().splitlines()]
    assert {row["value"] for row in rows} == {m["value"] for m in lines if m["name"].startswith("pixel_variance")}


def test_a_name_that_was_not_measured_is_answered_with_those_that_were(experiment: Experiment):
    with pytest.raises(ValueError, match=r"no values of 'fid'; there are .*pixel_variance"):
        run(experiment).curve("fid")


def test_a_folder_without_a_run_is_refused(tmp_path: Path):
    with pytest.raises(ValueError, match="not a run folder"):
        look(tmp_path)


@pytest.mark.slow
def test_the_notebook_runs_from_top_to_bottom(tmp_path: Path, warm: Callable[..., subprocess.CompletedProcess[str]]):
    cells = json.loads(NOTEBOOK.read_text("utf-8"))["cells"]
    code = ["".join(cell["source"]) for cell in cells if cell["cell_type"] == "code"]
    code = [re.sub(r"(images|heldout)=400", r"\1=120", cell) for cell in code]  # a third of the time
    assert sum(cell.count("=120") for cell in code) == 2
    shown = [re.sub(r"^(seen(?!\s*=).*)$", r"assert (\1)._repr_html_()", cell, flags=re.M) for cell in code]
    done = warm("-c", "\n".join(shown), cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert done.stdout.count(" dB") == 7 and sum("assert (seen" in cell for cell in shown) == 3


def test_the_notebook_is_committed_without_outputs():
    cells = json.loads(NOTEBOOK.read_text("utf-8"))["cells"]
    assert all(not cell.get("outputs") and cell.get("execution_count") is None for cell in cells)
