"""Curation: which of the drawn images are published, and that everything after it knows which they were."""

from __future__ import annotations

import hashlib
import json
import re
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pytest
from pydantic import ValidationError

from imagelab import (
    DetectorFilter,
    Experiment,
    Faces,
    Farthest,
    Gaussian,
    KeepAll,
    LatentFilter,
    Mix,
    NearestReal,
    RandomFraction,
    Runtime,
    Textures,
    TopFraction,
    Vae,
)
from imagelab.cli.overrides import parse
from imagelab.curation import CURATIONS, Candidates, Curation, Kept
from imagelab.experiment import read_config
from imagelab.export.citations import cited_by
from imagelab.export.generation import export_generation
from imagelab.families import kind_of
from imagelab.generators import Interrupted, RunContext
from imagelab.metrics import Evidence, ImageSet
from imagelab.metrics.freckle_calibration import shipped_calibration
from imagelab.metrics.freckles import counts
from imagelab.metrics.image_scores import detail
from imagelab.pool import REAL
from imagelab.report import write_report
from imagelab.report.groups import group_runs
from imagelab.run_folder import RunFolder
from imagelab.runs.branch import branch, branched
from imagelab.runs.preflight import preflight
from imagelab.runs.run import run
from imagelab.seeds import image_seeds, rng_at

SHARPEST = TopFraction(fraction=0.5, score="detail")

MEMBERS = (
    TopFraction(fraction=0.5, score="rarity", best="low"),
    RandomFraction(fraction=0.4),
    DetectorFilter(fraction=0.4, error=0.25),
    Farthest(fraction=0.4),
    LatentFilter(fraction=0.4, explained=0.8),
    NearestReal(fraction=0.4, most=3),
)
PAPERS = {
    "top_fraction": "2407.09499",
    "random_fraction": "2407.09499",
    "detector_filter": "2502.15654",
    "farthest": "2509.16499",
    "latent_filter": "2511.12742",
    "nearest_real": "2402.07087",
}


class Chosen(Curation):
    """Keeps the rows that a test says, of twice as many candidates."""

    kind: Literal["chosen"] = "chosen"
    rows: tuple[int | float, ...] = ()

    def candidates(self, n: int) -> int:
        return 2 * n

    def choose(self, candidates: Candidates, n: int) -> Kept:
        if n == 2:  # the rehearsal before the run
            return Kept(np.arange(2), "")
        return Kept(np.array(self.rows or candidates.rng.permutation(2 * n)[:n]), "as a test says")


class Reversed(KeepAll):
    """A curation of one's own that is derived from KeepAll."""

    kind: Literal["reversed"] = "reversed"  # pyright: ignore[reportIncompatibleVariableOverride]

    def choose(self, candidates: Candidates, n: int) -> Kept:
        return Kept(np.arange(n)[::-1], "reversed")


def tiny(runs: Path, **changes) -> Experiment:
    settings = {
        "name": "tiny",
        "data": Textures(size=16),
        "generator": Gaussian(components=8),
        "generations": 2,
        "images": 24,
        "heldout": 12,
        "tracked": 4,
        "metrics": ("pixel_variance", "hf_ratio"),
        "runtime": Runtime(device="cpu", runs=runs),
    }
    return Experiment(**{**settings, **changes})


class Styled(KeepAll):
    """A curation that says how the freckles of the faces look that it is given."""

    kind: Literal["styled"] = "styled"  # pyright: ignore[reportIncompatibleVariableOverride]

    def choose(self, candidates: Candidates, n: int) -> Kept:
        return Kept(np.arange(n), f"{candidates.freckle_style} freckles")


def contents(folder: RunFolder) -> dict[str, str]:
    """Every file except those that contain the time."""
    files = (path for path in folder.path.rglob("*") if path.is_file())
    timed = ("train.jsonl", "provenance.json", "run.lock", "curation.json", "manifest.json")
    kept = [path for path in files if path.name not in timed]
    return {str(p.relative_to(folder.path)): hashlib.sha256(p.read_bytes()).hexdigest() for p in kept}


# -- members


def test_keep_all_leaves_bytes_and_signature_as_they_are(tmp_path: Path):
    plain, kept = tiny(tmp_path / "a"), tiny(tmp_path / "b", curation=KeepAll())
    assert (plain.signature, plain.question()) == (kept.signature, kept.question())
    folders = [run(plain), run(kept)]
    assert contents(folders[0]) == contents(folders[1])
    assert not list(folders[1].path.rglob("curation*"))


def test_a_curation_is_part_of_the_question(tmp_path: Path):
    signatures = {
        tiny(tmp_path, curation=curation).signature
        for curation in (KeepAll(), SHARPEST, TopFraction(), TopFraction(score="detail", best="low"), Reversed())
    }
    assert len(signatures) == 5


def test_the_best_by_detail_are_kept_in_the_order_of_drawing():
    ramp = np.broadcast_to(np.arange(16, dtype=np.uint8) * 16, (16, 16))
    flat, checks = np.full((16, 16), 90), np.indices((16, 16)).sum(axis=0) % 2 * 255
    images = np.stack([flat, checks, ramp, checks, flat, ramp]).astype(np.uint8)[:, None].repeat(3, axis=1)
    given = Candidates(images, images, "cpu", np.random.default_rng(0))
    best = TopFraction(fraction=1 / 3, score="detail").choose(given, 2)
    np.testing.assert_array_equal(best.rows, [1, 3])
    np.testing.assert_allclose(best.scores, detail(Evidence(ImageSet(images), ImageSet(images))))
    assert best.scores[1] == pytest.approx(1.0) and best.scores[0] < 1e-12 < best.scores[2] < 0.5
    assert best.cost["candidates"] == 6 and best.cost["seconds"] >= 0
    assert best.reason == "highest 0.333333 by detail (share of fine detail)"
    low = TopFraction(fraction=1 / 3, score="detail", best="low").choose(given, 2)
    np.testing.assert_array_equal(low.rows, [0, 4])
    assert low.reason.startswith("lowest ")


def test_faces_are_scored_by_the_counter_of_their_style_of_freckles():
    faces = Faces(size=128, freckle_style="fine", freckle_rate=1.0, cache=False).load("heldout", 6, 3).images
    given = Candidates(faces, faces, "cpu", rng_at(0, "x"), freckle_style="fine")
    scores = TopFraction(score="freckles").choose(given, 3).scores
    np.testing.assert_array_equal(scores, counts(faces, shipped_calibration(128, "fine")))
    assert (
        scores.sum() > TopFraction(score="freckles").choose(replace(given, freckle_style="countable"), 3).scores.sum()
    )


def test_a_curation_is_told_how_the_freckles_of_the_faces_look(tmp_path: Path):
    fine = Faces(size=32, freckle_style="fine", cache=False)
    folder = run(tiny(tmp_path, data=fine, curation=Styled(), generations=1))
    assert json.loads((folder.shard_path(1) / "curation.json").read_text())["reason"] == "fine freckles"


def test_equal_scores_are_decided_by_the_order_of_drawing():
    flat = Candidates(np.full((6, 3, 16, 16), 7, np.uint8), np.zeros((1, 3, 16, 16), np.uint8), "cpu", rng_at(0, "x"))
    for best in ("high", "low"):
        kept = TopFraction(fraction=0.5, score="detail", best=best).choose(flat, 3)
        np.testing.assert_array_equal(kept.rows, [0, 1, 2])


@pytest.mark.parametrize(
    ("fraction", "n", "drawn"), [(0.5, 7, 14), (1 / 3, 3, 9), (0.3, 3, 10), (0.1, 3, 30), (0.7, 7, 10), (1.0, 5, 5)]
)
def test_as_many_candidates_are_drawn_as_the_fraction_needs(fraction: float, n: int, drawn: int):
    assert TopFraction(fraction=fraction).candidates(n) == drawn


def test_a_fraction_of_one_publishes_what_keep_all_does(tmp_path: Path):
    everything, plain = run(tiny(tmp_path, curation=TopFraction(fraction=1.0, score="detail"))), run(tiny(tmp_path))
    for generation in (1, 2):
        np.testing.assert_array_equal(everything.images(generation), plain.images(generation))


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        (range(23), "expected the rows of 24 candidates"),
        ([0, *range(23)], "expected 24 different rows from 0 to 47"),
        ([48, *range(23)], "expected 24 different rows from 0 to 47"),
        ([-1, *range(23)], "expected 24 different rows from 0 to 47"),
        ([0.5, *range(23)], "expected the rows of 24 candidates, int64"),
    ],
)
def test_a_bad_choice_is_refused_by_name(tmp_path: Path, rows: list[float], message: str):
    with pytest.raises(ValueError, match=f"curation chosen, generation 1: {message}"):
        run(tiny(tmp_path, curation=Chosen(rows=tuple(rows))))


def test_as_many_scores_as_candidates_or_none(tmp_path: Path):
    for scores in (0, 6):
        Kept(np.arange(3), "", np.zeros(scores)).check(3, 6)
    with pytest.raises(ValueError, match="a score for each of 6 candidates or none, got 3"):
        Kept(np.arange(3), "", np.zeros(3)).check(3, 6)


def test_a_list_of_rows_is_taken_like_an_array():
    kept = Kept([2, 0], "a list")  # pyright: ignore[reportArgumentType]
    assert kept.check(2, 3).rows.dtype.kind == "i"


def test_a_curation_that_cannot_judge_the_images_is_found_before_the_run(tmp_path: Path):
    with pytest.raises(ValueError, match="tried before the run: curation top_fraction"):
        run(tiny(tmp_path, curation=TopFraction(score="freckles")))


# -- every member


@pytest.mark.parametrize("curation", MEMBERS, ids=lambda curation: curation.kind)
def test_a_whole_run_under_each_curation(tmp_path: Path, curation: Curation):
    experiment = tiny(tmp_path, curation=curation)
    folder = run(experiment)
    for generation in (1, 2):
        record = json.loads((folder.shard_path(generation) / "curation.json").read_text())
        assert record["curation"] == curation.model_dump(mode="json")
        assert (record["candidates"], record["kept"]) == (curation.candidates(24), 24)
        assert {"candidates", "looks"} <= record["cost"].keys() and "attributes" not in record
        assert len(folder.images(generation)) == 24
    assert Experiment(**read_config(folder.path / "config.json")) == experiment.model_copy(
        update={"runtime": Runtime(), "metrics": experiment.panel}
    )
    page = re.sub(r"\s+", " ", write_report(folder.path, tmp_path / "report").read_text())
    assert f"of {curation.candidates(24)} images drawn in a generation, 24 were published" in page


def stopped_and_whole(folder: Path, **settings: Any) -> tuple[dict[str, str], dict[str, str]]:
    """The contents of a run that was stopped in the middle of generation 2 and went on, and of one that was not."""
    net = Vae(latent=4, width=8, images_seen=400, batch=8)
    whole = run(tiny(folder / "a", generator=net, **settings))
    experiment, asked = tiny(folder / "b", generator=net, **settings), []

    def stop() -> bool:
        asked.append(1)
        return len(asked) > 70  # in the middle of generation 2

    with pytest.raises(Interrupted):
        run(experiment, should_stop=stop)
    stopped = RunFolder.open(experiment.folder)
    assert stopped.has(1) and not stopped.has(2)
    return contents(run(experiment)), contents(whole)


@pytest.mark.parametrize("curation", MEMBERS, ids=lambda curation: curation.kind)
def test_a_run_that_was_stopped_goes_on_to_the_same_bytes_under_each_curation(tmp_path: Path, curation: Curation):
    stopped, whole = stopped_and_whole(tmp_path, curation=curation, metrics=("pixel_variance",))
    assert stopped == whole


@pytest.mark.parametrize("fraction", [0.1, 0.9, 1.0])
@pytest.mark.parametrize("curation", MEMBERS, ids=lambda curation: curation.kind)
def test_each_curation_passes_the_rehearsal_before_the_run(tmp_path: Path, curation: Curation, fraction: float):
    asked = curation.model_copy(update={"fraction": fraction})
    preflight(tiny(tmp_path, curation=asked, metrics=("pixel_variance",)), RunContext())


@pytest.mark.parametrize("curation", MEMBERS, ids=lambda curation: curation.kind)
def test_each_curation_is_known_on_the_command_line_and_cited(tmp_path: Path, curation: Curation):
    settings = curation.model_dump(exclude={"kind"})
    words = [word for name, value in settings.items() for word in (f"--curation.{name}", str(value))]
    kind = kind_of(curation)
    asked = parse(tiny(tmp_path), ["--curation.kind", kind, *words], "tiny")
    assert type(asked.curation) is CURATIONS[kind] and asked.curation == curation
    assert PAPERS[kind] in " ".join(work.key + work.entry() for work in cited_by(asked.question(), []))


# -- curated runs


@pytest.fixture(scope="module")
def curated(tmp_path_factory: pytest.TempPathFactory) -> tuple[Experiment, RunFolder]:
    experiment = tiny(tmp_path_factory.mktemp("runs"), curation=SHARPEST, arms=(Gaussian(components=2),), seed=3)
    return experiment, run(experiment)


def test_the_decision_is_recorded_with_every_shard(curated: tuple[Experiment, RunFolder]):
    _, folder = curated
    assert not list(folder.shard_path(0).glob("curation*"))
    for generation, line in folder.shards()[1:]:
        shard = folder.shard_path(generation, line)
        record = json.loads((shard / "curation.json").read_text())
        assert record["curation"] == {"kind": "top_fraction", "fraction": 0.5, "score": "detail", "best": "high"}
        assert (record["candidates"], record["kept"], record["cost"]["candidates"]) == (48, 24, 48)
        assert "highest 0.5 by detail" in record["reason"]
        with np.load(shard / "curation.npz") as decision:
            rows, scores = decision["rows"], decision["scores"]
        assert (rows.dtype, rows.shape, scores.dtype, scores.shape) == (np.int64, (24,), np.float64, (48,))
        left_out = np.setdiff1d(np.arange(48), rows)
        assert (np.diff(rows) > 0).all() and scores[rows].min() >= scores[left_out].max()


def test_the_published_images_are_the_candidates_that_were_kept(curated: tuple[Experiment, RunFolder]):
    experiment, folder = curated
    for generation, line in folder.shards()[1:]:
        model = experiment.lines[line].load(folder.shard_path(generation, line) / "model", RunContext())
        drawn = model.sample(image_seeds(3, "sample", generation, line, range(48)))
        rows = folder.candidates(generation, line)
        np.testing.assert_array_equal(folder.images(generation, line), drawn[rows])
        with np.load(folder.shard_path(generation, line) / "curation.npz") as decision:
            np.testing.assert_allclose(decision["scores"], detail(Evidence(ImageSet(drawn), ImageSet(drawn))))
    np.testing.assert_array_equal(folder.candidates(0, REAL), np.arange(24))


def test_the_next_model_is_trained_on_the_kept_images(curated: tuple[Experiment, RunFolder]):
    experiment, folder = curated
    np.testing.assert_array_equal(folder.gather(folder.pool(2)), folder.images(1))
    again = experiment.generator.fit(np.array(folder.images(1)), 0, RunContext())
    saved = experiment.generator.load(folder.shard_path(2) / "model", RunContext())
    seeds = image_seeds(0, "test", 0, 0, range(3))
    np.testing.assert_array_equal(again.sample(seeds), saved.sample(seeds))


def test_an_exported_image_has_the_seed_of_the_candidate_that_was_kept(
    curated: tuple[Experiment, RunFolder], tmp_path: Path
):
    experiment, folder = curated
    for generation, line in ((1, 0), (2, 1)):
        out = export_generation(folder.path, generation, tmp_path / f"{generation}-{line}", line=line)
        facts = [json.loads(text) for text in (out / "train" / "metadata.jsonl").read_text().splitlines()]
        model = experiment.lines[line].load(folder.shard_path(generation, line) / "model", RunContext())
        drawn = model.sample(np.array([int(each["noise_seed"]) for each in facts], np.uint64))
        np.testing.assert_array_equal(drawn, folder.images(generation, line))


def test_a_curated_run_has_no_predictions(tmp_path: Path, curated: tuple[Experiment, RunFolder]):
    assert not [m for m in curated[1].measurements() if m.predicted]
    assert not [m for m in run(tiny(tmp_path, curation=Reversed())).measurements() if m.predicted]
    assert [m for m in run(tiny(tmp_path)).measurements() if m.predicted]


def test_a_curation_derived_from_keep_all_is_not_taken_for_it(tmp_path: Path):
    plain, turned = run(tiny(tmp_path, generations=1)), run(tiny(tmp_path, generations=1, curation=Reversed()))
    np.testing.assert_array_equal(turned.images(1), plain.images(1)[::-1])


def test_the_random_choices_of_a_curation_have_an_address(tmp_path: Path):
    experiment = tiny(tmp_path, curation=Chosen(), seed=5)
    folder = run(experiment)
    for generation in (1, 2):
        rows = rng_at(5, "curation", generation, 0).permutation(48)[:24]
        np.testing.assert_array_equal(folder.candidates(generation), rows)


def test_fresh_draws_and_curation_exclude_each_other():
    with pytest.raises(ValidationError, match=r"fresh_draws = 2.*not curated. Use fresh_draws = 1"):
        Experiment(fresh_draws=2, curation=TopFraction())
    Experiment(fresh_draws=2, curation=KeepAll())


def test_a_stopped_curated_run_goes_on_to_the_same_bytes(tmp_path: Path):
    stopped, whole = stopped_and_whole(tmp_path, curation=SHARPEST)
    assert stopped == whole


def test_a_branch_carries_the_decisions_along(tmp_path: Path):
    stem = tiny(tmp_path / "stem", curation=SHARPEST)
    grown = run(stem)
    whole = branched(stem, tiny(tmp_path / "branch", curation=SHARPEST, regime=Mix(), generations=3), 2)
    folder = branch(grown, whole, 2)
    for name in ("curation.json", "curation.npz"):
        assert (folder.shard_path(2) / name).read_bytes() == (grown.shard_path(2) / name).read_bytes()
    scratch = run(whole.model_copy(update={"runtime": Runtime(runs=tmp_path / "scratch")}))
    assert contents(run(whole, folder=folder)) == contents(scratch)


def test_the_report_says_that_a_run_is_curated(tmp_path: Path, curated: tuple[Experiment, RunFolder]):
    page = re.sub(r"\s+", " ", write_report(curated[1].path, tmp_path / "report").read_text())
    sentence = "This run is curated: of 48 images drawn in a generation, 24 were published (highest 0.5 by detail"
    assert sentence in page
    assert "is curated" not in write_report(run(tiny(tmp_path)).path, tmp_path / "plain").read_text()


def test_a_comparison_calls_the_loop_without_curation_by_its_name(
    tmp_path: Path, curated: tuple[Experiment, RunFolder]
):
    chance = run(tiny(tmp_path, curation=RandomFraction(), arms=curated[0].arms, seed=3))
    plain = run(tiny(tmp_path, arms=curated[0].arms, seed=3))
    groups, shared = group_runs([plain.path, chance.path, curated[1].path])
    assert [group.label for group in groups] == ["keep all", "random fraction", "top fraction"]
    assert "curation.kind" not in shared
    groups, shared = group_runs([plain.path, run(tiny(tmp_path, seed=3)).path])
    assert not [group.label for group in groups if "keep all" in group.label] and "curation.kind" not in shared
