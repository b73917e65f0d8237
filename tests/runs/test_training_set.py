"""The endless stream: what a training set of fresh images is, and that it takes the statistical error away."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from imagelab.data import RandomField
from imagelab.experiment import Experiment, Runtime
from imagelab.generators import Gaussian, RunContext, Vae
from imagelab.lab import run_generations
from imagelab.regimes import REGIMES, Accumulate, Breed, Golden, Mix, Replace, Schedule
from imagelab.run_folder import RunFolder
from imagelab.runs.training_set import training_images
from imagelab.seeds import image_seeds

N = 24


def field(tmp_path: Path, **changes) -> Experiment:
    settings = {
        "name": "stream",
        "data": RandomField(size=8, slope=1, contrast=20, channels=1),
        "generator": Gaussian(),
        "generations": 2,
        "images": N,
        "heldout": 12,
        "tracked": 2,
        "metrics": ("pixel_variance",),
        "runtime": Runtime(device="cpu", runs=tmp_path / "runs"),
    }
    return Experiment(**{**settings, **changes})


def carry_out(experiment: Experiment) -> RunFolder:
    folder = RunFolder.create(experiment.folder, experiment.config())
    list(run_generations(experiment, folder, RunContext()))
    return folder


def variance(folder: RunFolder, generation: int) -> float:
    return folder.images(generation).astype(float).var(0, ddof=1).mean()


def test_a_stream_of_one_is_the_published_set(tmp_path: Path):
    experiment = field(tmp_path)
    folder = carry_out(experiment)
    pool = folder.pool(2)
    np.testing.assert_array_equal(training_images(experiment, folder, pool, RunContext()), folder.gather(pool))


def test_a_stream_begins_with_the_published_images_and_repeats_none(tmp_path: Path):
    experiment = field(tmp_path, fresh_draws=3)
    folder = carry_out(experiment)
    images = training_images(experiment, folder, folder.pool(2), RunContext())
    assert len(images) == 3 * N == len(np.unique(images, axis=0))
    np.testing.assert_array_equal(images[:N], folder.images(1))
    again = training_images(experiment, folder, folder.pool(2), RunContext(batch=5))
    assert np.mean(images != again) < 1e-3


def test_image_r_of_the_stream_hangs_on_its_own_number(tmp_path: Path):
    short, long = (field(tmp_path, fresh_draws=k) for k in (2, 4))
    folder = carry_out(short)
    two, four = (training_images(each, folder, folder.pool(2), RunContext()) for each in (short, long))
    np.testing.assert_array_equal(two, four[: 2 * N])


def test_real_images_are_never_made_up(tmp_path: Path):
    experiment = field(tmp_path, fresh_draws=3, regime=Mix(real_fraction=0.5))
    folder = carry_out(experiment)
    first = training_images(experiment, folder, folder.pool(1), RunContext())
    np.testing.assert_array_equal(first, folder.images(0))
    second = training_images(experiment, folder, folder.pool(2), RunContext())
    real = np.flatnonzero(folder.pool(2).generation == 0)
    for turn in range(3):
        np.testing.assert_array_equal(second[real + turn * N], folder.images(0)[: len(real)])
    assert len(np.unique(second, axis=0)) == len(real) + 3 * (N - len(real))


def test_each_line_streams_from_its_own_model(tmp_path: Path):
    experiment = field(tmp_path, fresh_draws=2, regime=Breed(weights=(1, 1), real_fraction=0.0), arms=(Gaussian(),))
    folder = carry_out(experiment)
    pool = folder.pool(2)
    images = training_images(experiment, folder, pool, RunContext())
    for line in (0, 1):
        here = np.flatnonzero(pool.line == line)
        recipe = experiment.lines[line]
        model = recipe.load(folder.shard_path(1, line) / "model", RunContext())
        fresh = model.sample(image_seeds(0, "sample", 1, line, pool.row[here] + N))
        np.testing.assert_array_equal(images[here + N], fresh)


def test_a_network_learns_from_the_stream_in_the_loop(tmp_path: Path):
    net = Vae(latent=4, details=2, width=8, images_seen=64, batch=8, crop=16)
    data = RandomField(size=16, slope=1, contrast=20, channels=1)
    folders = [carry_out(field(tmp_path, data=data, generator=net, fresh_draws=k)) for k in (1, 2)]
    first, second = ([folder.images(t) for folder in folders] for t in (1, 2))
    np.testing.assert_array_equal(first[0], first[1])
    assert (second[0] != second[1]).any()


WHITE = RandomField(size=8, slope=0, contrast=20, channels=1)


def published(stream: int, seed: int, generations: int) -> np.ndarray:
    """What the last generation publishes, without lab or folder: fit to k N images of the model before, again."""
    images = WHITE.load("train", N, seed).images
    for generation in range(1, generations + 1):
        model = Gaussian().fit(images, 0, RunContext())
        rows = range(N * (stream if generation < generations else 1))
        images = model.sample(image_seeds(seed, "sample", generation, 0, rows))
    return images


@pytest.mark.parametrize("fresh_draws", [1, 5])
def test_the_lab_streams_what_the_plain_loop_draws(tmp_path: Path, stream: int):
    folder = carry_out(field(tmp_path, data=WHITE, generations=3, fresh_draws=stream))
    difference = folder.images(3).astype(int) - published(stream, 0, 3)
    assert np.abs(difference).max() <= 1 and np.mean(difference != 0) < 1e-2


def test_variance_falls_by_the_law_without_a_stream_and_stays_with_one():
    generations, seeds = 10, range(40)
    kept: dict[int, np.ndarray] = {}
    for stream in (1, 8):
        real = [WHITE.load("train", N, seed).images for seed in seeds]
        last = [published(stream, seed, generations) for seed in seeds]
        pairs = zip(last, real, strict=True)
        kept[stream] = np.array(
            [a.astype(float).var(0, ddof=1).mean() / b.astype(float).var(0).mean() for a, b in pairs]
        )
        law = (1 - 1 / (N * stream)) ** (generations - 1)  # generation 1 has the real set's own variance
        assert abs(kept[stream].mean() - law) < 4 * kept[stream].std(ddof=1) / len(seeds) ** 0.5
    logs = [np.log(kept[stream]) for stream in (1, 8)]  # the mean of a few hides the collapse of most
    error = np.hypot(*(each.std(ddof=1) / len(seeds) ** 0.5 for each in logs))
    assert logs[1].mean() - logs[0].mean() > 4 * error


def refitted(regime, generations: int, stream: int, trials: int) -> tuple[float, float]:
    """E s_t^2 and its standard error when one-dimensional Gaussians really are refitted to streamed pools."""
    from imagelab.pool import REAL, RESERVE, Archive, Pool

    found = []
    for trial in range(trials):
        rng = np.random.default_rng(trial)
        reserve = regime.reserve(N, generations)
        archive = Archive(Pool.of(0, REAL, range(N)), Pool.of(0, RESERVE, range(reserve)))
        values = {(0, REAL): rng.normal(size=(1, N)), (0, RESERVE): rng.normal(size=(1, reserve))}
        spread = 1.0
        for generation in range(1, generations + 1):
            pool = regime(archive, 0, N, rng)
            columns = [values[int(g), int(i)][:, r] for g, i, r in pool.names()]
            learned = np.concatenate([np.broadcast_to(column, (stream,)) for column in columns])
            spread = float(learned.std())
            values[generation, 0] = learned.mean() + spread * rng.normal(size=(stream, N))
            archive = archive.add(generation, {0: Pool.of(generation, 0, range(N))})
        found.append(spread**2)
    return float(np.mean(found)), float(np.std(found, ddof=1) / trials**0.5)


@pytest.mark.parametrize("regime", [Replace(), Mix(real_fraction=0.25), Accumulate(subsample=True), Golden()], ids=str)
def test_the_law_of_every_regime_holds_for_streams(regime):
    (told,) = regime.predictions(4, N, fresh_draws=5)
    mean, error = refitted(regime, 4, 5, 500)
    assert told.value is not None and abs(told.value - mean) < 4 * error
    assert told.value > (regime.predictions(4, N)[0].value or 0.0) + 0.004
    assert "5 fresh images" in told.estimator


@pytest.mark.parametrize("kind", [kind for kind in REGIMES if kind not in ("schedule", "breed")])
def test_a_stream_of_one_has_the_law_of_the_loop(kind: str):
    regime = REGIMES[kind]()
    assert regime.predictions(3, N, 1, 1) == regime.predictions(3, N)


def test_replace_with_a_stream_has_the_law_of_larger_sets():
    (told,) = Replace().predictions(5, N, fresh_draws=7)
    assert told.value == pytest.approx((1 - 1 / N) * (1 - 1 / (7 * N)) ** 4)
    schedule = Schedule(until=2, then=Replace())
    assert schedule.predictions(5, N, fresh_draws=7)[0].value == pytest.approx(told.value)
