from __future__ import annotations

import hashlib
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from imagelab.data import Faces, Folder, Textures
from imagelab.experiment import Experiment, Runtime
from imagelab.generators import Gaussian, Interrupted, RunContext, Vae
from imagelab.io.pictures import read_npy
from imagelab.lab import run_generations
from imagelab.measurement import Measurement
from imagelab.metrics import METRICS, Evidence
from imagelab.pool import REAL, RESERVE, TWINS, Pool
from imagelab.regimes import REGIMES, Accumulate, Breed, Fresh, Mix, Replace, Schedule
from imagelab.run_folder import RunFolder
from imagelab.runs import first_shard
from imagelab.seeds import image_seeds, rng_at, seed_at

PANEL = ("pixel_variance", "hf_ratio", "kernel")


def tiny(tmp_path: Path, **changes) -> Experiment:
    settings = {
        "name": "tiny",
        "data": Textures(size=16),
        "generator": Gaussian(components=8),
        "generations": 2,
        "images": 24,
        "heldout": 12,
        "tracked": 4,
        "metrics": PANEL,
        "runtime": Runtime(device="cpu", runs=tmp_path / "runs"),
    }
    return Experiment(**{**settings, **changes})


def carry_out(experiment: Experiment, context: RunContext | None = None) -> RunFolder:
    folder = RunFolder.create(experiment.folder, experiment.config())
    list(run_generations(experiment, folder, context or RunContext()))
    return folder


def digests(folder: RunFolder) -> dict[str, str]:
    kept = [*folder.path.rglob("images.npy"), *folder.path.rglob("probe.npy"), *folder.path.rglob("metrics.jsonl")]
    return {str(p.relative_to(folder.path)): hashlib.sha256(p.read_bytes()).hexdigest() for p in kept}


def test_a_run_makes_every_generation_of_every_line(tmp_path: Path):
    folder = carry_out(tiny(tmp_path, arms=(Gaussian(components=2),)))
    assert folder.shards() == [(0, REAL), (1, 0), (1, 1), (2, 0), (2, 1)]
    assert folder.images(2, 1).shape == (24, 3, 16, 16)


def test_the_same_question_gives_the_same_bytes(tmp_path: Path):
    first = digests(carry_out(tiny(tmp_path / "a")))
    assert first == digests(carry_out(tiny(tmp_path / "b")))
    assert first != digests(carry_out(tiny(tmp_path / "c", seed=1)))


def test_asking_twice_runs_nothing_again(tmp_path: Path):
    experiment = tiny(tmp_path)
    folder = carry_out(experiment)
    assert list(run_generations(experiment, folder, RunContext())) == []


def test_a_lost_generation_is_made_again_to_the_byte(tmp_path: Path):
    import shutil

    experiment = tiny(tmp_path)
    folder = carry_out(experiment)
    whole = digests(folder)
    shutil.rmtree(folder.shard_path(2))
    folder.mend()
    carry_out(experiment)
    assert digests(folder) == whole


def test_every_image_knows_what_its_model_was_trained_on(tmp_path: Path):
    folder = carry_out(tiny(tmp_path))
    assert folder.pool(1) == Pool.of(0, REAL, range(24))
    assert folder.pool(2) == Pool.of(1, 0, range(24))


@pytest.mark.parametrize("kind", REGIMES)
def test_every_regime_runs_through_the_same_loop(tmp_path: Path, kind: str):
    regime = {**{kind: recipe() for kind, recipe in REGIMES.items()}, "schedule": Schedule(until=1, then=Fresh())}[kind]
    folder = carry_out(tiny(tmp_path, regime=regime))
    assert folder.has(2)
    new = {"fresh": 6, "schedule": 6, "golden": 24}.get(kind, 0)
    there = folder.shard_path(0) / "reserve.npy"
    assert (len(read_npy(there)) if there.exists() else 0) == new
    assert folder.pool(2).share(line=RESERVE) == (5 / 8 if kind == "golden" else new / 24)


def test_models_of_different_families_breed(tmp_path: Path):
    arms = (Vae(latent=4, width=8, images_seen=64, batch=8), Gaussian(components=2))
    folder = carry_out(tiny(tmp_path, regime=Breed(weights=(1, 2, 1), real_fraction=0.5), arms=arms))
    for line in range(3):
        assert [folder.pool(2, line).share(line=other) * 24 for other in (REAL, 0, 1, 2)] == [12, 3, 6, 3]


def test_a_warm_start_continues_the_model_before_it_and_survives_a_stop(tmp_path: Path):
    net = Vae(latent=4, width=8, images_seen=600, batch=8)
    whole = digests(carry_out(tiny(tmp_path / "a", generator=net, warm_start=True)))
    cold = digests(carry_out(tiny(tmp_path / "b", generator=net)))
    assert [whole[f"gen-00{t}/images.npy"] == cold[f"gen-00{t}/images.npy"] for t in (0, 1, 2)] == [True, True, False]
    experiment, asked = tiny(tmp_path / "c", generator=net, warm_start=True), []

    def stop() -> bool:
        asked.append(1)
        return len(asked) > 100  # in the middle of generation 2

    with pytest.raises(Interrupted):
        carry_out(experiment, RunContext(should_stop=stop))
    assert digests(carry_out(experiment)) == whole


def test_every_distance_stands_beside_its_floor(tmp_path: Path):
    measured = carry_out(tiny(tmp_path)).measurements()
    floors = {m.name: m.value for m in measured if m.generation == 0 and m.line == REAL}
    later = [m for m in measured if m.generation > 0 and not m.predicted and m.value is not None]
    assert later and all(m.floor == floors[m.name] for m in later)
    assert {m.name.split("/")[0] for m in later} == set(PANEL)


def test_theory_is_written_beside_the_measurement_on_its_scale(tmp_path: Path):
    measured = carry_out(tiny(tmp_path, regime=Replace())).measurements()
    predicted = [m.value for m in measured if m.predicted]
    start = next(m.value for m in measured if m.name == "pixel_variance" and m.generation == 0)
    assert start and predicted == pytest.approx([start * (1 - 1 / 24), start * (1 - 1 / 24) ** 2])


def test_the_probe_is_drawn_from_the_same_seeds_every_generation(tmp_path: Path):
    folder = carry_out(tiny(tmp_path, regime=Mix(real_fraction=1.0)))
    first, second = (read_npy(folder.shard_path(g) / "probe.npy") for g in (1, 2))
    np.testing.assert_array_equal(first, second)  # same training set, same seeds: a closed form answers the same


def test_photocopies_are_copies_of_copies(tmp_path: Path):
    folder = carry_out(tiny(tmp_path))
    copies = [read_npy(folder.shard_path(g) / "photocopy.npy").astype(float) for g in (0, 1, 2)]
    first, second = (np.abs(copies[g] - copies[0]).mean() for g in (1, 2))
    assert 0 < first < second


def test_a_folder_with_fewer_images_gives_all_it_has(tmp_path: Path, picture_folder: Path):
    folder = carry_out(tiny(tmp_path, data=Folder(path=picture_folder, size=16)))
    held = len(read_npy(folder.shard_path(0) / "heldout.npy"))
    assert len(folder.images(0, REAL)) + held == 12 and held >= 2


def test_stopping_keeps_what_is_finished_and_going_on_gives_the_same_bytes(tmp_path: Path):
    net = Vae(latent=4, width=8, images_seen=600, batch=8)
    whole = digests(carry_out(tiny(tmp_path / "a", generator=net)))
    experiment, asked = tiny(tmp_path / "b", generator=net), []

    def stop() -> bool:
        asked.append(1)
        return len(asked) > 100  # in the middle of generation 2

    with pytest.raises(Interrupted):
        carry_out(experiment, RunContext(should_stop=stop))
    folder = RunFolder.open(experiment.folder)
    assert folder.has(1) and not folder.has(2)
    assert digests(carry_out(experiment)) == whole


def test_the_sampling_batch_moves_at_most_one_level_in_a_thousand_values(tmp_path: Path):
    net = Vae(latent=4, width=8, images_seen=400, batch=8)
    wide = carry_out(tiny(tmp_path / "a", generator=net, generations=1), RunContext(batch=24)).images(1).astype(int)
    narrow = carry_out(tiny(tmp_path / "b", generator=net, generations=1), RunContext(batch=5)).images(1).astype(int)
    difference = np.abs(wide - narrow)
    assert difference.max() <= 1
    assert (difference > 0).mean() < 1e-3


# -- every picture computed again from what the folder holds


def test_a_photocopy_is_its_models_copy_of_the_photocopy_before(tmp_path: Path):
    experiment = tiny(tmp_path, generations=3, arms=(Gaussian(components=2),))
    folder = carry_out(experiment)
    for generation, line in folder.shards()[1:]:
        model = experiment.lines[line].load(folder.shard_path(generation, line) / "model", RunContext())
        before = read_npy(folder.shard_path(generation - 1, line) / "photocopy.npy")
        copied = read_npy(folder.shard_path(generation, line) / "photocopy.npy")
        np.testing.assert_array_equal(copied, model.reconstruct(before))


def test_every_random_number_follows_from_seed_purpose_generation_and_line(tmp_path: Path):
    net = Vae(latent=4, width=8, images_seen=32, batch=8)
    experiment = tiny(tmp_path, generator=net, arms=(net,), seed=5, regime=Accumulate(subsample=True))
    folder = carry_out(experiment)
    archive = folder.initial_archive()
    for generation in (1, 2):
        for line in (0, 1):
            shard = folder.shard_path(generation, line)
            pool = experiment.regime(archive, line, 24, rng_at(5, "pool", generation, line))
            assert folder.pool(generation, line) == pool
            model = net.fit(folder.gather(pool), seed_at(5, "train", generation, line), RunContext())
            seeds = image_seeds(5, "sample", generation, line, range(24))
            np.testing.assert_array_equal(folder.images(generation, line), model.sample(seeds))
            np.testing.assert_array_equal(
                read_npy(shard / "probe.npy"), model.sample(image_seeds(5, "probe", 0, 0, range(4)))
            )
        archive = archive.add(generation, {line: Pool.of(generation, line, range(24)) for line in (0, 1)})


def test_a_metric_is_shown_the_unseen_real_images_and_the_training_images_of_generation_0(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    shown: list[Evidence] = []

    def look(evidence: Evidence) -> list[Measurement]:
        shown.append(evidence)
        return [Measurement("brightness", float(evidence.fake.images.mean()), estimator="mean level")]

    monkeypatch.setitem(METRICS._ours, "tone", replace(METRICS["tone"], measure=look))
    folder = carry_out(tiny(tmp_path, metrics=("tone",), seed=3))
    real = folder.images(0, REAL)
    unseen = read_npy(folder.shard_path(0) / "heldout.npy")
    for evidence, generation in zip(shown, (0, 1, 2), strict=True):
        made = real if generation == 0 else folder.images(generation, 0)
        np.testing.assert_array_equal(evidence.real.images, unseen)
        np.testing.assert_array_equal(evidence.fake.images, made)
        assert evidence.seed == seed_at(3, "measure") and evidence.device == "cpu" and evidence.blank is None
        assert evidence.real.cache is not None and evidence.fake.cache is not None
    assert shown[0].train is None
    assert all(e.train is not None and (e.train.images == real).all() for e in shown[1:])


def test_the_blank_control_is_copied_from_its_original_by_every_model(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    shown: list[np.ndarray] = []

    def look(evidence: Evidence) -> list[Measurement]:
        assert evidence.blank is not None and evidence.pairs is not None
        shown.append(evidence.blank.images)
        np.testing.assert_array_equal(evidence.pairs[0].images, evidence.real.images[:3])
        np.testing.assert_array_equal(evidence.pairs[1].images, shown[0])  # of generation 0, before any copy
        return [Measurement("brightness", 0.0, estimator="none")]

    monkeypatch.setitem(METRICS._ours, "tone", replace(METRICS["tone"], measure=look))
    monkeypatch.setattr(first_shard, "BLANKS", 3)
    experiment = tiny(tmp_path, data=Faces(size=32), images=6, heldout=5, metrics=("tone",))
    folder = carry_out(experiment)
    blank = read_npy(folder.shard_path(0) / "blank.npy")
    heldout = experiment.data.load("heldout", 5, 0)
    assert heldout.twins is not None
    np.testing.assert_array_equal(blank, heldout.twins[:3])
    np.testing.assert_array_equal(read_npy(folder.shard_path(0) / "photocopy.npy"), heldout.examples(4))
    np.testing.assert_array_equal(shown[0], blank)
    for generation in (1, 2):
        model = experiment.generator.load(folder.shard_path(generation) / "model", RunContext())
        np.testing.assert_array_equal(shown[generation], model.reconstruct(blank))


def test_predictions_depend_on_how_many_fresh_images_stand_for_one(tmp_path: Path):
    experiment = tiny(tmp_path, fresh_draws=3)
    measured = carry_out(experiment).measurements()
    start = next(m.value for m in measured if m.name == "pixel_variance" and m.generation == 0)
    ratios = [m.value / start for m in measured if m.predicted and m.value and start]
    many, one = ([experiment.regime.predictions(g, 24, 1, k)[0].value for g in (1, 2)] for k in (3, 1))
    assert ratios == pytest.approx(many) and many[1] != one[1]


def test_the_folder_holds_what_every_number_of_the_experiment_asked_for(tmp_path: Path):
    experiment = tiny(tmp_path, images=20, heldout=9, tracked=3, generations=2, arms=(Gaussian(components=2),))
    folder = carry_out(experiment)
    assert folder.shards() == [(0, REAL), (1, 0), (1, 1), (2, 0), (2, 1)]
    assert len(read_npy(folder.shard_path(0) / "heldout.npy")) == 9
    for generation, line in folder.shards():
        assert len(folder.images(generation, line)) == 20
        for name in ("probe.npy", "photocopy.npy"):
            assert len(read_npy(folder.shard_path(generation, line) / name)) == 3
        here = [m for m in folder.measurements() if (m.generation, m.line, m.predicted) == (generation, line, False)]
        known = [m for m in here if not m.name.startswith("truth/")]
        assert {m.name.split("/")[0] for m in known} == set(PANEL)
        assert {(m.n_real, m.n_fake) for m in known} == {(9, 20)}


# -- chains and blank twins


def test_chains_share_the_real_images_and_differ_in_what_they_draw_and_the_first_is_a_run_alone(tmp_path: Path):
    arms = (Gaussian(components=2),)
    alone, folder = carry_out(tiny(tmp_path / "a", arms=arms)), carry_out(tiny(tmp_path / "b", arms=arms, replicates=3))
    assert folder.shards() == [(0, REAL), *((g, line) for g in (1, 2) for line in range(6))]
    for line in (0, 1):
        first, *others = (folder.images(2, line + 2 * chain) for chain in range(3))
        np.testing.assert_array_equal(first, alone.images(2, line))
        assert all((first != other).any() for other in others)
        assert folder.pool(2, line + 4).shards() == [(1, line + 4)]


def test_under_breed_a_chain_is_trained_on_its_own_lines(tmp_path: Path):
    folder = carry_out(tiny(tmp_path, arms=(Gaussian(components=2),), replicates=2, regime=Breed(real_fraction=0.25)))
    assert folder.pool(2, 1).shards() == [(0, REAL), (1, 0), (1, 1)]
    assert folder.pool(2, 2).shards() == [(0, REAL), (1, 2), (1, 3)]


def test_a_blank_twin_begins_from_the_twins_of_the_same_rows_and_is_only_counted_in(tmp_path: Path):
    faces = Faces(size=64, freckle_rate=1.0)
    experiment = tiny(tmp_path, data=faces, images=16, replicates=2, blank_twins=1, metrics=("freckles", "tone"))
    folder = carry_out(experiment)
    twins, real = folder.images(0, TWINS), folder.images(0, REAL)
    np.testing.assert_array_equal(twins, faces.load("train", 16, 0).twins)
    assert (twins != real).any()
    np.testing.assert_array_equal(folder.pool(1, 2).row, folder.pool(1, 0).row)
    assert folder.pool(1, 2).shards() == [(0, TWINS)] and folder.pool(2, 2).shards() == [(1, 2)]
    assert experiment.line(2).blank and [experiment.line(line).twin for line in (0, 1, 2)] == [2, 2, None]
    fitted = Gaussian(components=8).fit(np.array(twins), seed_at(0, "train", 1, 2), RunContext())
    np.testing.assert_array_equal(folder.images(1, 2), fitted.sample(image_seeds(0, "sample", 1, 2, range(16))))
    names = {m.name.partition("/")[0] for m in folder.measurements() if m.line == 2 and not m.predicted}
    assert names == {"freckles"}
    assert (1, 2) in folder.origin(1, 0)[0] and (1, 2) in folder.origin(1, 1)[0]


def test_lines_are_named_by_chain_and_twin():
    experiment = Experiment(arms=(Gaussian(components=2),), replicates=2, blank_twins=2)
    vae = experiment.generator.label
    names = [vae, "PPCA, k = 2", f"{vae}, chain 2", "PPCA, k = 2, chain 2"]
    assert [experiment.label(line) for line in range(6)] == [
        *names,
        f"{vae}, blank twin",
        f"{vae}, blank twin, chain 2",
    ]
    assert experiment.order == (4, 5, 0, 1, 2, 3)
    assert [experiment.line(line).twin for line in range(6)] == [4, None, 5, None, None, None]


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"data": Textures(size=16), "blank_twins": 1}, "data of the kind textures have no twins"),
        ({"replicates": 2, "blank_twins": 3}, "expected at most one for each chain, 2, got 3"),
        ({"regime": Breed(), "arms": (Gaussian(),), "blank_twins": 1}, "under breed the main model is trained on the"),
        ({"regime": Fresh(real_fraction=0.5), "blank_twins": 1}, "fresh adds new real images, of which no twins"),
    ],
)
def test_blank_twins_that_would_be_another_loop_are_refused(changes: dict, words: str):
    with pytest.raises(ValueError, match=words):
        Experiment(**changes)
