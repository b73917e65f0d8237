"""The primary outcome of a study: how it is declared, and what its folder remembers of that."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from imagelab import Experiment
from imagelab.cli import main
from imagelab.sweeps import Primary, Study

Tiny = Callable[..., Experiment]
FILE = """
from imagelab import Experiment, Gaussian, Textures
experiment = Experiment(name="tiny", data=Textures(size=16), generator=Gaussian(components=8), generations=2,
    images=40, heldout=24, tracked=4, metrics=("pixel_variance", "spectrum"))
"""


def record(study: Study) -> dict[str, object]:
    return json.loads((study.folder / "study.json").read_text())


def declared(study: Study) -> list[tuple[str, int]]:
    return [(each["outcome"], each["points_measured"]) for each in record(study).get("primary", [])]  # type: ignore[union-attr]


@pytest.mark.parametrize("text", ["", "@last", "pixel_variance@", "pixel_variance@0", "a b@last", "x@1@2", "x@1000"])
def test_what_is_no_outcome_is_refused(text: str):
    with pytest.raises(ValueError, match="expected MEASUREMENT@last or MEASUREMENT@5"):
        Primary.parse(text)


def test_a_declaration_is_kept_and_a_later_change_is_added_with_what_had_been_measured(tmp_path: Path, tiny: Tiny):
    study = Study.of(tiny(tmp_path), {"seed": range(2)})
    study.write()
    before = study.signature, (study.folder / "study.json").read_text()
    assert declared(study) == [] and Study.read(study.folder).primary is None
    first = replace(study, primary=Primary.parse("pixel_variance"))
    first.write()
    first.write()
    study.write()  # a command that says nothing of it changes nothing
    assert declared(study) == [("pixel_variance@last", 0)]
    (study.points[1].experiment.folder / "gen-001").mkdir(parents=True)
    replace(study, primary=Primary.parse("pixel_variance@1")).write()
    assert declared(study) == [("pixel_variance@last", 0), ("pixel_variance@1", 1)]
    again = Study.read(study.folder)
    assert again.primary == Primary("pixel_variance", 1) and again.signature == before[0]
    again.write()
    assert declared(study) == [("pixel_variance@last", 0), ("pixel_variance@1", 1)]


def test_a_damaged_declaration_is_refused_and_not_written_over(tmp_path: Path, tiny: Tiny):
    study = replace(Study.of(tiny(tmp_path), {"seed": range(2)}), primary=Primary("pixel_variance"))
    study.write()
    path = study.folder / "study.json"
    for damage in ("all", [["pixel_variance"]], [{"outcome": "pixel_variance@last", "points_measured": "0"}]):
        path.write_text(json.dumps({**json.loads(path.read_text()), "primary": damage}))
        for read in (lambda: Study.read(study.folder), study.write):
            with pytest.raises(ValueError, match="primary: expected"):
                read()


def test_the_command_line_declares_what_can_be_measured_only(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "tiny.py").write_text(FILE)

    def code(*words: str) -> object:
        with pytest.raises(SystemExit) as stopped:
            main(["sweep", "tiny.py", "--seed", "0..1", "--dry-run", *words])
        return stopped.value.code

    assert code("--primary", "band_power/4-8@2") == 0
    for words, reason in (
        ("prdc/recall", "no point of this study measures prdc/recall; its metrics are pixel_variance, spectrum"),
        ("pixel_variance@3", "expected a generation from 1 to 2, or last, got 3"),
        ("pixel_variance@end", "expected MEASUREMENT@last"),
    ):
        capsys.readouterr()
        assert code("--primary", words) in (1, 2)
        assert reason in " ".join(capsys.readouterr().err.split())


def test_the_end_of_a_sweep_of_more_groups_than_a_comparison_shows_is_a_page_of_all(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    from imagelab import Gaussian, run

    monkeypatch.chdir(tmp_path)
    (tmp_path / "tiny.py").write_text(FILE)
    scope: dict[str, Experiment] = {}
    exec(FILE, scope)
    for k in range(2, 9):
        changed = {"generator": Gaussian(components=k), "generations": 1, "metrics": ("pixel_variance",)}
        run(scope["experiment"].model_copy(update=changed))
    words = "tiny.py --generator.components 2..8 --generations 1 --metrics pixel_variance --primary pixel_variance@last"
    with pytest.raises(SystemExit) as stopped:
        main(["sweep", *words.split()])
    said = capsys.readouterr()
    assert not stopped.value.code and "7 of 7 points are finished" in said.out and "no page" not in said.err
    page = next(tmp_path.glob("runs/*.study/index.html")).read_text("utf-8")
    assert "7 points over generator.components (2, 3, 4, 5, … 8)" in page
    assert "Declared after results were seen: 7 of 7 points" in page
    with pytest.raises(SystemExit):
        main(["sweep", "status", str(next(tmp_path.glob("runs/*.study")))])
    assert "its page: imagelab report" in capsys.readouterr().out
