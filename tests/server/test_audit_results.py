from __future__ import annotations

import csv
import io
import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from scipy.stats import t as student

from imagelab.cli.entry import main
from imagelab.metrics.intervals import wilson
from imagelab.report import write_report
from imagelab.report.people import people_tests
from imagelab.report.run_view import read_run
from imagelab.run_folder import RunFolder
from imagelab.runs.check import check_run
from imagelab.server.audit_plan import Asked, AuditPicture
from imagelab.server.audit_results import audit_results
from imagelab.server.audit_session import audit_session
from imagelab.server.audit_words import results_csv, results_json, results_text
from imagelab.server.signal_detection import sensitivity

ASKED = Asked("tell", 20, (), 0, 0)


def sit(
    run: Path, rater: str, wrong: Callable[[AuditPicture, int], bool], asked: Asked = ASKED, count: int = 99
) -> None:
    """Let somebody answer, wrongly where ``wrong`` says so; for keeping, wrong means reject."""
    with audit_session(RunFolder.open(run), asked, rater) as session:
        for place, each in list(enumerate(session.plan.shown))[:count]:
            right = "keep" if asked.task == "keep" else "real" if each.is_real else "generated"
            other = next(word for word in session.answers if word != right)
            session.png(session.current)
            session.answer(session.current, other if wrong(each, place) else right)


def test_planted_answers_come_out_by_generation(a_run: Path):
    seen = {"real": 0}

    def wrong(each: AuditPicture, place: int) -> bool:
        if each.is_real:
            seen["real"] += 1
            return seen["real"] <= 3  # three false alarms of ten
        return each.generation == 2  # all of generation 2 is taken for real

    sit(a_run, "anna", wrong)
    (session,) = audit_results(a_run).sessions
    found = {each.generation: (each.count, each.shown) for each in session.generations}
    assert found == {0: (7, 10), 1: (5, 5), 2: (0, 5)}
    whole = session.whole
    assert whole is not None and (whole.count, whole.shown) == (12, 20)
    assert (whole.low, whole.high) == wilson(0.6, 20)
    assert session.told_apart == sensitivity(5, 10, 3, 10)
    assert session.generations[2].told_apart == sensitivity(0, 5, 3, 10)
    assert session.generations[0].told_apart is None and "held-out" in session.real_from
    text = "\n".join(results_text(audit_results(a_run)))
    assert "right 12 of 20, 60 % [39, 78]" in text and "criterion" in text
    assert "says nothing of other people, and nothing of another training" in text


def test_nothing_is_told_of_a_session_before_its_last_answer(a_run: Path):
    sit(a_run, "anna", lambda each, place: False, count=19)
    results = audit_results(a_run)
    (session,) = results.sessions
    assert (session.done, session.total, session.whole, session.generations, session.answers) == (19, 20, None, (), ())
    assert "19 of 20 answered; results come after the last picture" in results_text(results)[0]
    told = json.loads(results_json(results))["sessions"][0]
    assert told["answers"] == [] and told["whole"] is None and results_csv(results).count("\n") == 1


def test_several_people_have_an_interval_over_people_and_an_agreement(a_run: Path):
    for rater, errors in (("anna", 2), ("ben", 5), ("cleo", 8)):
        sit(a_run, rater, lambda each, place, errors=errors: place < errors)
    sit(a_run, "dora", lambda each, place: False, asked=Asked("tell", 20, (), 0, 1))  # other pictures
    results = audit_results(a_run)
    (group,) = results.agreements
    assert group.raters == ("anna", "ben", "cleo") and group.pictures == 20 and group.kappa is None
    shares = np.array([18, 15, 12]) / 20
    half = student.ppf(0.975, 2) * shares.std(ddof=1) / 3**0.5
    assert group.share == pytest.approx(0.75)
    assert group.share_interval == pytest.approx((0.75 - half, min(0.75 + half, 1.0)), rel=2e-3)
    assert group.d_prime is not None and group.alpha is not None and group.alpha_interval is not None
    assert group.alpha_interval[0] < group.alpha < group.alpha_interval[1]
    text = "\n".join(results_text(results))
    assert "3 people on the same 20 pictures" in text and "hold people (Student's t over them)" in text


def test_two_people_have_cohens_kappa(a_run: Path):
    asked = Asked("keep", 10, (2,), 0, 0)
    sit(a_run, "anna", lambda each, place: place < 5, asked)
    sit(a_run, "ben", lambda each, place: place < 3, asked)
    (group,) = audit_results(a_run).agreements
    # both keep 5, both reject 3, one rejects 2 more: agreed .8, expected .5 x .7 + .5 x .3
    assert group.kappa == pytest.approx((0.8 - 0.5) / 0.5) and group.share == pytest.approx(0.6)
    assert group.d_prime is None


def test_a_damaged_file_is_named_and_the_others_are_read(a_run: Path, capsys: pytest.CaptureFixture[str]):
    sit(a_run, "anna", lambda each, place: False)
    (a_run / "audits" / "tell-00000000-eve.jsonl").write_text('{"answers": ["real"], "plan": []}\n')
    results = audit_results(a_run)
    assert len(results.sessions) == 1 and "eve.jsonl" in results.damaged[0]
    with pytest.raises(SystemExit) as left:
        main(["audit", str(a_run), "--results"])
    assert left.value.code == 1 and "not read: " in capsys.readouterr().out


def test_results_are_printed_as_text_json_and_csv_without_a_server(a_run: Path, capsys: pytest.CaptureFixture[str]):
    sit(a_run, "anna", lambda each, place: place == 0)
    printed = {}
    for form in ("text", "json", "csv"):
        with pytest.raises(SystemExit) as left:
            main(["audit", str(a_run), "--results", "--format", form])
        assert left.value.code == 0
        printed[form] = capsys.readouterr().out
    assert "anna: real or generated" in printed["text"]
    told = json.loads(printed["json"])
    assert told["sessions"][0]["whole"]["count"] == 19 and len(told["sessions"][0]["answers"]) == 20
    rows = list(csv.DictReader(io.StringIO(printed["csv"])))
    assert len(rows) == 20 and {row["rater"] for row in rows} == {"anna"}
    assert sum((row["answer"] == "real") == (row["generation"] == "0") for row in rows) == 19
    with pytest.raises(SystemExit) as left:
        main(["audit", str(a_run), "--format", "json"])
    assert left.value.code == 2


def test_answers_change_nothing_that_the_run_wrote(a_run: Path):
    before = {path: path.stat().st_mtime_ns for path in a_run.rglob("*") if path.is_file()}
    sit(a_run, "anna", lambda each, place: False)
    changed = {path for path in before if path.stat().st_mtime_ns != before[path]}
    new = {path.parent.name for path in a_run.rglob("*") if path.is_file() and path not in before}
    assert not changed and new == {"audits"} and not check_run(a_run).problems


def test_choosing_asking_and_reading_need_neither_torch_nor_a_server():
    code = (
        "import sys, imagelab.server.audit_results, imagelab.server.audit_session, imagelab.server.audit_pages, "
        "imagelab.server.runs_pages; print({'torch', 'starlette', 'uvicorn'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"


def test_judged_pictures_are_exported_by_answer_with_a_table_and_their_marks(
    a_run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    sit(a_run, "anna", lambda each, place: place < 4)
    sit(a_run, "ben", lambda each, place: place < 1)
    out, again = tmp_path / "judged", ["audit", str(a_run), "--export", str(tmp_path / "judged")]
    with pytest.raises(SystemExit) as left:
        main(again)
    assert left.value.code == 0 and "20 pictures" in capsys.readouterr().out
    rows = list(csv.DictReader(io.StringIO((out / "metadata.csv").read_text())))
    assert len(rows) == 20 == len(list(out.rglob("*.png"))) and {row["people"] for row in rows} == {"2"}
    folder = RunFolder.open(a_run)
    for row in rows:
        real = row["real"] == "True"
        source = np.load(a_run / "gen-000" / "heldout.npy") if real else folder.images(int(row["generation"]))
        with Image.open(out / row["file_name"]) as picture:
            np.testing.assert_array_equal(np.asarray(picture).transpose(2, 0, 1), source[int(row["row"])])
            marks = picture.info["XML:com.adobe.xmp"]
            assert ("trainedAlgorithmicMedia" in marks) != real  # nothing is claimed of given pictures
        assert row["file_name"].split("/")[1] == row["answer"]
    assert sum(row["said"] == "1" for row in rows) == 3  # the two disagree about these
    with pytest.raises(SystemExit) as left:
        main(again)
    assert left.value.code == 1 and "exists already" in capsys.readouterr().err


def test_the_page_shows_the_finished_tests_and_none_before_its_last_answer(a_run: Path):
    assert people_tests(read_run(a_run)) == ([], [])
    for rater, errors in (("anna", 2), ("ben", 5)):
        sit(a_run, rater, lambda each, place, errors=errors: place < errors)
    sit(a_run, "cleo", lambda each, place: False, count=19)
    sit(a_run, "dora", lambda each, place: place < 5, Asked("keep", 10, (2,), 0, 0))
    tests, notes = people_tests(read_run(a_run))
    assert [test.rows[-1][1] for test in tests] == ["18 of 20, 90 % [70, 97]", "15 of 20, 75 % [53, 89]"]
    assert notes[1].startswith("2 people saw the same pictures: 82 % [") and len(notes) == 3
    html = write_report(a_run).read_text("utf-8")
    assert html.count("18 of 20, 90 % [70, 97]") == 1 and "ben, 20 pictures" in html and "cleo" not in html
