"""The programs that come with the experiments, as guests: they learn and draw for real, at toy sizes."""

from __future__ import annotations

import importlib.util
import runpy
import shlex
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from imagelab import Command, Gaussian, RunContext
from imagelab.cli.experiments import experiments_folder
from imagelab.cli.overrides import load_experiment
from imagelab.seeds import image_seeds

SEEDS = image_seeds(0, "sample", 1, 0, range(200))


@pytest.fixture
def context(tmp_path: Path) -> RunContext:
    (tmp_path / "shard").mkdir()
    return RunContext(checkpoint=tmp_path / "shard" / "checkpoint.safetensors")


def guest_of(experiment: str, **changes: object) -> Command:
    """The guest of an experiment that comes with the package, changed."""
    recipe = load_experiment(experiments_folder() / f"{experiment}.py").generator
    assert isinstance(recipe, Command)
    return Command(**{**recipe.model_dump(), **changes})


def test_the_program_in_numpy_has_the_moments_of_our_own_ppca(rng: np.random.Generator, context: RunContext):
    shades = rng.normal(128, 30, (64, 1, 1, 1)) + rng.normal(0, 12, (64, 3, 8, 8))
    pictures = np.clip(np.round(shades), 0, 255).astype(np.uint8)
    recipe = guest_of("program_pca", train="{python} pca.py train {images} {model} 8")
    drawn = recipe.fit(pictures, 0, context).sample(SEEDS).astype(np.float64)
    ours = Gaussian(components=8).fit(pictures, 0, context).sample(SEEDS).astype(np.float64)
    for images in (ours, pictures):
        assert abs(drawn.mean() - images.mean()) < 6, "three standard errors of the mean shade of 200 images"
    levels = [images.mean((1, 2, 3)).std() for images in (drawn, ours)]
    within = [(images - images.mean((1, 2, 3), keepdims=True)).std() for images in (drawn, ours)]
    assert levels[0] == pytest.approx(levels[1], rel=0.25) and within[0] == pytest.approx(within[1], rel=0.05)


@pytest.mark.slow
def test_the_programs_of_diffusers_learn_and_draw(rng: np.random.Generator, context: RunContext):
    pictures = rng.integers(0, 256, (16, 3, 8, 8), np.uint8)
    train = (
        "{python} unet_train.py --data {images} --out {model} --start {previous_model} --seed {seed} --channels 8 16"
    )
    recipe = guest_of(
        "program_unet",
        train=train + " --images-seen {images_seen} --noise-steps 20 --batch 8",
        sample="{python} unet_sample.py --model {model} --out {images} --count {count} --seed {seed} --steps 2",
        images_seen=16,
    )
    model = recipe.fit(pictures, 0, context)
    drawn = model.sample(SEEDS[:5])
    assert drawn.shape == (5, 3, 8, 8) and len({image.tobytes() for image in drawn}) == 5
    assert (model.program_model / "model_index.json").is_file(), "a pipeline that diffusers opens"


def test_the_autoencoder_of_diffusers_copies_with_a_noise_of_its_own(
    rng: np.random.Generator, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    """Its programs run in this process: what a program of its own adds is tested with the other guests."""

    def program(name: str, *words: object) -> None:
        monkeypatch.setattr(sys, "argv", [name, *map(str, words)])
        with torch.random.fork_rng():
            runpy.run_path(str(experiments_folder() / "guests" / name), run_name="__main__")

    for name in ("data", "out", "again"):
        (tmp_path / name).mkdir()
    shades = np.linspace(0, 255, 8).round().astype(np.uint8)
    for row, shade in enumerate(shades):
        Image.fromarray(np.full((16, 16, 3), shade, np.uint8)).save(tmp_path / "data" / f"{row}.png")
    small = ("--channels", 8, 16, "--latent", 4, "--batch", 8, "--images-seen", 640)
    program("kl_train.py", "--data", tmp_path / "data", "--out", tmp_path / "model", *small)
    (tmp_path / "seeds").write_text("5\n9\n5\n")
    for place in ("out", "again"):
        asked = ("--model", tmp_path / "model", "--out", tmp_path / place, "--count", 3, "--seeds", tmp_path / "seeds")
        program("kl_sample.py", *asked)
    drawn = [np.asarray(Image.open(tmp_path / "out" / f"{row}.png"), np.float64) for row in range(3)]
    assert (drawn[0] == drawn[2]).all() and (drawn[0] != drawn[1]).any()
    for row, seed in enumerate((5, 9)):
        parent = shades[np.random.default_rng(seed).integers(8)]
        assert abs(drawn[row].mean() - parent) < 40, "the copy of its parent, near its shade"
    assert (tmp_path / "again" / "0.png").read_bytes() == (tmp_path / "out" / "0.png").read_bytes()


LUCID = "pip install denoising-diffusion-pytorch; python -m pytest tests/generators/test_guests.py"


@pytest.mark.slow
@pytest.mark.skipif(
    importlib.util.find_spec("denoising_diffusion_pytorch") is None, reason=f"its package is missing: {LUCID}"
)
def test_a_package_of_others_learns_and_draws(rng: np.random.Generator, context: RunContext):
    pictures = rng.integers(0, 256, (100, 3, 8, 8), np.uint8)
    model = guest_of("program_lucid", images_seen=16).fit(pictures, 0, context)
    assert model.sample(SEEDS[:3]).shape == (3, 3, 8, 8)


@pytest.mark.parametrize("name", ["program_pca", "program_kl", "program_unet", "program_lucid"])
def test_every_program_of_an_experiment_is_signed_with_it(name: str):
    recipe = guest_of(name)
    named = {word for line in (recipe.train, recipe.sample) for word in shlex.split(line) if word.endswith(".py")}
    assert {Path(path).name for path in recipe.scripts} == named and named
