"""One run with two processes: the same images, one training, one writer, and no process left waiting."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from imagelab.cli.overrides import load_experiment
from imagelab.experiment import Runtime
from imagelab.generators import Gaussian, RunContext
from imagelab.generators.base import SINGLE_PROCESS
from imagelab.generators.data_parallel import own_part
from imagelab.lab import run_generations
from imagelab.run_folder import RunFolder
from imagelab.runs.distributed import TorchProcessGroup, fit, is_worker, run_distributed, sample, world_size
from imagelab.seeds import image_seeds

ROOT = Path(__file__).resolve().parents[2]
Warm = Callable[..., "subprocess.CompletedProcess[str]"]

EXPERIMENT = """
from imagelab import Experiment, Gaussian, Textures, Vae
experiment = Experiment(name="two", data=Textures(size=16), generator=Gaussian(components=8),
    arms=(Vae(latent=4, details=2, width=8, images_seen={seen}, batch=9, crop=16),),
    generations=2, images=50, heldout=24, tracked=4, metrics=("pixel_variance",), fresh_draws=2, warm_start=True)
"""


def ranks(warm: Warm, scenario: str, folder: Path) -> subprocess.CompletedProcess[str]:
    return warm(Path(__file__).with_name("two_ranks.py"), scenario, folder, cwd=ROOT)


def test_two_ranks_train_one_model_and_draw_the_bytes_that_one_would(tmp_path: Path, warm: Warm):
    done = ranks(warm, "models_and_samples", tmp_path)
    assert done.returncode == 0, done.stderr
    assert np.load(tmp_path / "vae.npy").shape == np.load(tmp_path / "ddpm.npy").shape == (50, 3, 16, 16)


def test_two_ranks_stop_together_and_resume_to_the_same_bytes(tmp_path: Path, warm: Warm):
    done = ranks(warm, "stop_and_resume", tmp_path)
    assert done.returncode == 0, done.stderr
    assert "diverged: training diverged at step" in done.stdout and "stopped after 3 of 12 steps" in done.stdout


def test_without_noise_two_ranks_take_the_steps_that_one_takes_whatever_the_batch(tmp_path: Path, warm: Warm):
    done = ranks(warm, "one_and_two", tmp_path)
    assert done.returncode == 0, done.stderr


def test_where_one_rank_diverges_all_stop_in_the_same_step(tmp_path: Path, warm: Warm):
    done = ranks(warm, "diverges", tmp_path)
    assert done.returncode == 0, done.stderr
    assert "diverged: training diverged at step 3 of 9: the loss is nan" in done.stdout
    assert "and trained again" in done.stdout


def test_a_rank_that_is_killed_in_the_backward_pass_is_told_in_words(tmp_path: Path, warm: Warm):
    done = ranks(warm, "killed_in_the_backward_pass", tmp_path)
    assert done.returncode != 0
    assert done.stdout.count("told: True another process of this run has failed or was killed") == 1, done.stderr


@pytest.mark.slow
def test_a_run_of_two_ranks_has_one_writer_and_the_same_closed_form(tmp_path: Path, warm: Warm):
    asked = tmp_path / "two.py"
    asked.write_text(EXPERIMENT.format(seen=100))
    done = ranks(warm, "whole_run", tmp_path)
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("generation 2 of 2: VAE") == 1 and done.stdout.count("report: ") == 1
    experiment = load_experiment(asked)
    one = RunFolder.create(tmp_path / "one", experiment.config())
    list(run_generations(experiment, one, RunContext(batch=16)))
    (pair,) = (RunFolder(path) for path in (tmp_path / "runs").iterdir())
    assert pair.shards() == one.shards() and not list(pair.path.rglob("*.partial"))
    # line 0 draws fresh training images and published images, on two ranks, from the same model
    for generation in (0, 1, 2):
        np.testing.assert_array_equal(pair.images(generation), one.images(generation))
    assert (pair.images(1, 1) != one.images(1, 1)).any()  # sums over two ranks, noise of two ranks


@pytest.mark.slow
@pytest.mark.parametrize("how", ["rank 1 is killed", "rank 0 is killed", "Ctrl-C"])
def test_nobody_is_left_waiting(tmp_path: Path, how: str, warm: Warm):
    (tmp_path / "two.py").write_text(EXPERIMENT.format(seen=1_000_000))
    done = ranks(warm, how, tmp_path)
    said = done.stdout
    assert done.returncode == 0 and "left: []" in said, done.stderr + said
    if how == "Ctrl-C":
        assert "imagelab resume" in said, said
        assert list(tmp_path.rglob("checkpoint.safetensors"))
    else:
        assert said.count("another process of this run has failed or was killed") == 1, said
        assert "ChildFailedError" in said and "/imagelab/" not in said, said  # torchrun's own trace, none of ours
        assert len(said.splitlines()) < 80, said


def test_without_torchrun_there_is_one_rank_and_no_communication(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.delenv("WORLD_SIZE", raising=False)
    assert world_size() == 1 and not is_worker()
    assert run_distributed(lambda group: 7 if group is SINGLE_PROCESS else 0, Runtime()) == 7


@pytest.mark.parametrize(("rank", "helps"), [("0", False), ("1", True)])
def test_every_rank_but_the_first_follows(monkeypatch: pytest.MonkeyPatch, rank: str, helps: bool):
    monkeypatch.setenv("WORLD_SIZE", "2")
    monkeypatch.setenv("RANK", rank)
    assert world_size() == 2 and is_worker() is helps


def test_in_a_single_process_fit_and_sample_are_the_recipes_own(tmp_path: Path, rng: np.random.Generator):
    images, seeds = rng.integers(0, 256, (20, 3, 8, 8), np.uint8), image_seeds(0, "sample", 1, 0, range(5))
    model = fit(Gaussian(), images, 0, RunContext(), None)
    np.testing.assert_array_equal(sample(model, Gaussian(), tmp_path, seeds, RunContext()), model.sample(seeds))


@pytest.mark.parametrize("count", [2, 3, 7, 8])
def test_the_ranks_share_a_batch_without_remainder(count: int):
    rows = np.arange(count)
    parts = [own_part(rows, TorchProcessGroup(rank, 3)) for rank in range(3)]
    assert sum(share for _, share in parts) == pytest.approx(1.0)
    seen = np.concatenate([mine for mine, _ in parts])
    if count < 3:
        assert all(np.array_equal(mine, rows) for mine, _ in parts)
    else:
        np.testing.assert_array_equal(np.sort(seen), rows)
