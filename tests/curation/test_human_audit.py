"""People decide: what the decisions mean, and a run that stops for them and goes on with exactly these."""

from __future__ import annotations

import hashlib
import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import imagelab
from imagelab import Experiment, Gaussian, HumanAudit, Runtime, Textures
from imagelab.curation import Candidates, Kept
from imagelab.generators import Interrupted
from imagelab.run_folder import RunFolder
from imagelab.runs.check import check_run
from imagelab.runs.waiting import AwaitsDecisions, waiting_shards
from imagelab.seeds import rng_at
from imagelab.server.audit_plan import Asked
from imagelab.server.audit_session import audit_session

NAN = float("nan")


def choose(judged: list[float] | None, n: int, seed: int = 0, images: np.ndarray | None = None) -> Kept:
    m = len(judged or [0, 0])
    drawn = np.zeros((m, 3, 8, 8), np.uint8) if images is None else images
    votes = None if judged is None else np.array(judged)
    given = Candidates(drawn, drawn, "cpu", rng_at(seed, "curation", 1, 0), votes)
    return HumanAudit().choose(given, n).check(n, m)


# -- what decisions mean


def test_what_people_keep_is_published():
    kept = choose([0, 1, 1, 0, 1, 0], 3)
    assert kept.rows.tolist() == [1, 2, 4] and "looked at 6 of 6 candidates and kept 3" in kept.reason
    assert "rejected" not in kept.reason


def test_of_more_than_are_needed_chance_takes_some():
    found = {tuple(choose([1, 1, 1, 1, 0, 0], 2, seed).rows) for seed in range(60)}
    assert found == {(a, b) for a in range(4) for b in range(a + 1, 4)}


def test_where_too_few_are_kept_some_rejected_ones_are_published_and_counted():
    found = [choose([1, 0, 0, 0], 3, seed) for seed in range(40)]
    assert all(0 in kept.rows for kept in found) and len({tuple(kept.rows) for kept in found}) == 3
    assert "2 that they rejected are among the 3 published" in found[0].reason


def test_the_share_of_the_people_is_the_score():
    kept = choose([1 / 3, 1.0, 2 / 3, 0.0, 1 / 3], 3, seed=1)
    assert {1, 2} < set(kept.rows.tolist()) and 3 not in kept.rows
    np.testing.assert_allclose(kept.scores, [1 / 3, 1.0, 2 / 3, 0.0, 1 / 3])


def test_nobody_is_asked_twice_about_what_chance_chose_to_show():
    rows = HumanAudit(looks=10).to_look_at(40, rng_at(0, "looks"))
    assert len(set(rows.tolist())) == 10 and (np.diff(rows) > 0).all() and rows.max() < 40
    assert HumanAudit(looks=None).to_look_at(150, rng_at(0, "looks")).tolist() == list(range(150))
    assert HumanAudit().to_look_at(7, rng_at(0, "looks")).tolist() == list(range(7))
    assert HumanAudit(looks=99).to_look_at(7, rng_at(0, "looks")).tolist() == list(range(7))


def test_without_decisions_there_is_no_choice():
    with pytest.raises(ValueError, match="nobody has decided"):
        choose(None, 1)


def textures(n: int, seed: int, exponent: float) -> np.ndarray:
    rng = np.random.default_rng(seed)
    waves = np.fft.rfft2(rng.standard_normal((n, 3, 16, 16)))
    radius = np.hypot(np.fft.fftfreq(16)[:, None], np.fft.rfftfreq(16)[None]) + 1 / 16
    detail = np.fft.irfft2(waves / radius**exponent, s=(16, 16))
    return np.rint((0.5 + 0.15 * detail / detail.std()).clip(0, 1) * 255).astype(np.uint8)


def test_a_classifier_learns_from_the_looks_and_judges_the_others():
    rough = np.random.default_rng(0).permutation(80) < 40
    images = np.where(rough[:, None, None, None], textures(80, 1, 0.8), textures(80, 2, 2.0))
    judged = np.where(np.arange(80) < 40, rough.astype(float), NAN).tolist()  # people keep the rough ones
    kept = choose(judged, 40, images=images)
    unseen = kept.rows[kept.rows >= 40]
    assert rough[kept.rows[kept.rows < 40]].all() and rough[unseen].mean() > 0.9
    assert "linear classifier" in kept.reason and kept.cost["looked_at"] == 40
    alike = choose([1.0] * 4 + [NAN] * 4, 6)
    assert set(range(4)) < set(alike.rows.tolist()) and "chance decided about the others" in alike.reason


# -- in the loop


def small(runs: Path, **changes: Any) -> Experiment:
    settings: dict[str, Any] = {
        "name": "people",
        "data": Textures(size=16),
        "generator": Gaussian(components=8),
        "generations": 2,
        "images": 16,
        "heldout": 16,
        "tracked": 4,
        "metrics": ("pixel_variance",),
        "curation": HumanAudit(fraction=0.5),
        "runtime": Runtime(device="cpu", runs=runs, workers=1),
    }
    return Experiment(**{**settings, **changes})


def decide(run: Path, rater: str, keep: int) -> list[int]:
    """Decide about everything that waits: keep the brightest; return the rows that were kept of the first shard."""
    folder = RunFolder(run)
    chosen = []
    for waiting in waiting_shards(run):
        bright = np.argsort(-waiting.images.mean(axis=(1, 2, 3)), kind="stable")[:keep]
        asked = Asked("keep", len(waiting.looked), (waiting.generation,), waiting.line, 0, waiting.digest)
        with audit_session(folder, asked, rater, waiting) as session:
            for each in session.plan.shown:
                session.answer(session.current, "keep" if each.row in bright else "reject")
        chosen.append(sorted(bright.tolist()))
    return chosen[0]


@pytest.fixture(scope="module")
def stopped(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run that waits for decisions about generation 1."""
    experiment = small(tmp_path_factory.mktemp("waiting"))
    with pytest.raises(AwaitsDecisions, match=r"generation 1, PPCA.*32 candidates wait") as told:
        imagelab.run(experiment)
    assert f"imagelab audit {experiment.folder}" in str(told.value)
    assert f"imagelab resume {experiment.folder}" in str(told.value)
    return experiment.folder


def again(stopped: Path, tmp_path: Path) -> tuple[Experiment, Path]:
    experiment = small(tmp_path)
    return experiment, Path(shutil.copytree(stopped, experiment.folder))


def test_a_run_stops_before_it_publishes_and_goes_on_with_exactly_the_decisions(stopped: Path, tmp_path: Path):
    experiment, run = again(stopped, tmp_path)
    assert RunFolder.open(run).shards() == [(0, -1)] and not check_run(run).problems
    assert any("wait for decisions: `imagelab audit`" in note for note in check_run(run).notes)
    (waiting,) = waiting_shards(run)
    images = waiting.images.copy()
    with pytest.raises(AwaitsDecisions):
        imagelab.run(experiment)  # nobody has decided yet
    kept = decide(run, "anna", 16)
    with pytest.raises(AwaitsDecisions, match="generation 2"):
        imagelab.run(experiment)
    folder = RunFolder.open(run)
    assert folder.shards() == [(0, -1), (1, 0)] and folder.candidates(1).tolist() == kept
    np.testing.assert_array_equal(folder.images(1), images[kept])
    told = json.loads((run / "gen-001" / "curation.json").read_text())
    assert told["people"]["raters"] == ["anna"] and len(told["people"]["decisions"]) == 32 == told["cost"]["looks"]
    assert {each["row"]: each["keep"] for each in told["people"]["decisions"]} == {k: k in kept for k in range(32)}
    assert {"rater", "row", "keep", "seconds", "at"} == set(told["people"]["decisions"][0])
    assert [each.generation for each in waiting_shards(run)] == [2]
    decide(run, "anna", 16)
    imagelab.run(experiment)
    assert RunFolder.open(run).shards() == [(0, -1), (1, 0), (2, 0)] and waiting_shards(run) == []
    assert not check_run(run).problems


def test_waiting_trains_nothing_twice_and_changes_no_byte(
    stopped: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    digests, fits, plain = [], [], Gaussian.fit
    for name in ("held", "drawn again"):
        experiment, run = again(stopped, tmp_path / name)
        decide(run, "anna", 16)
        if name == "drawn again":
            shutil.rmtree(run / "waiting")  # the candidates are drawn again, and are the same
        fits.clear()
        with monkeypatch.context() as patch:
            patch.setattr(Gaussian, "fit", lambda self, *rest: (fits.append(len(rest[0])), plain(self, *rest))[1])
            with pytest.raises(AwaitsDecisions, match="generation 2"):
                imagelab.run(experiment)
        assert fits.count(16) == (1 if name == "held" else 2)  # generation 2, and 1 where nothing was kept
        files = [path for path in (run / "gen-001").rglob("*") if path.is_file()]
        timed = ("curation.json", "train.jsonl", "manifest.json")
        digests.append({p.name: hashlib.sha256(p.read_bytes()).hexdigest() for p in files if p.name not in timed})
    assert digests[0] == digests[1]


def test_several_people_vote_and_one_who_has_not_finished_does_not_count(stopped: Path, tmp_path: Path):
    experiment, run = again(stopped, tmp_path)
    (waiting,) = waiting_shards(run)
    asked = Asked("keep", 32, (1,), 0, 0, waiting.digest)
    with audit_session(RunFolder(run), asked, "slow", waiting) as session:
        session.answer(session.current, "keep")
    with pytest.raises(AwaitsDecisions, match="generation 1"):
        imagelab.run(experiment)
    decide(run, "anna", 20)
    decide(run, "ben", 12)
    with pytest.raises(AwaitsDecisions, match="generation 2"):
        imagelab.run(experiment)
    told = json.loads((run / "gen-001" / "curation.json").read_text())
    scores = np.load(run / "gen-001" / "curation.npz")["scores"]
    assert told["people"]["raters"] == ["anna", "ben"] and sorted(set(scores)) == [0.0, 0.5, 1.0]
    assert (scores == 1.0).sum() == 12 and scores[RunFolder.open(run).candidates(1)].min() == 0.5


def test_decisions_about_other_candidates_are_not_used(stopped: Path, tmp_path: Path):
    experiment, run = again(stopped, tmp_path)
    decide(run, "anna", 16)
    (path,) = (run / "audits").glob("keep-*.jsonl")
    header, *answers = path.read_text().splitlines()
    told = json.loads(header)
    told["plan"]["asked"]["waiting"] = "0" * 64
    path.write_text("\n".join([json.dumps(told), *answers, ""]))
    with pytest.raises(AwaitsDecisions, match="generation 1"):
        imagelab.run(experiment)
    path.write_text("\n".join([header.replace('["candidates", 1, 0]', '["candidates", 1, 99]'), *answers, ""]))
    with pytest.raises(ValueError, match="not the decisions about these 32 candidates"):
        imagelab.run(experiment)
    path.write_text("\n".join([header, *answers, ""]))
    shutil.copy(path, path.with_name("keep-copy.jsonl"))
    with pytest.raises(ValueError, match="anna has decided twice"):
        imagelab.run(experiment)


def test_candidates_that_were_changed_while_they_waited_are_refused(stopped: Path, tmp_path: Path):
    experiment, run = again(stopped, tmp_path)
    path = run / "waiting" / "gen-001" / "candidates.npy"
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(bytes(content))
    with pytest.raises(ValueError, match=r"candidates\.npy: was changed since it was written"):
        waiting_shards(run)
    with pytest.raises(ValueError, match="was changed"):
        imagelab.run(experiment)
    shutil.copy(stopped / "waiting" / "gen-001" / "candidates.npy", path)
    (run / "waiting" / "gen-001" / "model" / "foreign.bin").write_bytes(b"x")
    with pytest.raises(ValueError, match=r"foreign\.bin: was not written by the run"):
        imagelab.run(experiment)


@pytest.mark.parametrize("workers", [1, 2])
def test_every_line_asks_before_the_run_stops(tmp_path: Path, workers: int):
    runtime = Runtime(device="cpu", runs=tmp_path, workers=workers)
    experiment = small(tmp_path, arms=(Gaussian(components=2),), curation=HumanAudit(looks=6), runtime=runtime)
    with pytest.raises(Interrupted, match=r"(?s)generation 1.*generation 1.*imagelab audit"):
        imagelab.run(experiment)
    run = experiment.folder
    assert [(each.generation, each.line, len(each.looked)) for each in waiting_shards(run)] == [(1, 0, 6), (1, 1, 6)]
    decide(run, "anna", 16)
    with pytest.raises(AwaitsDecisions, match="generation 2"):
        imagelab.run(experiment)
    assert RunFolder.open(run).shards() == [(0, -1), (1, 0), (1, 1)]
    assert [(each.generation, each.line) for each in waiting_shards(run)] == [(2, 0), (2, 1)]


def test_what_cannot_be_judged_is_said_before_people_have_worked(tmp_path: Path):
    experiment = small(tmp_path, heldout=8, curation=HumanAudit(looks=6))
    with pytest.raises(
        ValueError, match="generation 1: features of 32 candidates and 8 real images: needs at least 10"
    ):
        imagelab.run(experiment)
    assert waiting_shards(experiment.folder) == []
