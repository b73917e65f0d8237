"""What only a CUDA device can show. These tests have not run in continuous integration, which has none."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from imagelab.generators import Cascade, Ddpm, Generator, Interrupted, LatentDiffusion, RunContext, Vae, training
from imagelab.generators.base import Kernels, TrainRecord
from imagelab.metrics.base import ImageSet
from imagelab.metrics.features import PRIMARY, features

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="gpu: torch sees no CUDA device"),
]

PLAIN = Kernels()
SEEDS = np.arange(64, dtype=np.uint64)
RECIPES: dict[str, Generator] = {
    "vae": Vae(latent=8, details=4, width=16, images_seen=3200, batch=32, crop=16),
    "ddpm": Ddpm(channels=(32, 64), blocks=1, images_seen=3200, batch=32, sampler="ddim", steps=10),
    "ddpm on patches": Ddpm(
        channels=(32, 64),
        blocks=1,
        patch=4,
        weighting="gaussian",
        images_seen=3200,
        batch=32,
        sampler="dpm++",
        steps=10,
    ),
    "cascade": Cascade(coarse_side=16, width=32, images_seen=1600, batch=32, crop=16),
    "latent": LatentDiffusion(
        first_stage=Vae(latent=8, details=4, width=16, images_seen=1600, batch=32, prior="normal"),
        width=32,
        blocks=2,
        detail_widths=(16, 16),
        images_seen=1600,
        batch=32,
    ),
}


@pytest.fixture(scope="module")
def faces() -> np.ndarray:
    from imagelab.data import Faces

    return Faces(size=32).load("train", 200, 0).images


def fitted(recipe: Generator, images: np.ndarray, kernels: Kernels = PLAIN) -> tuple[list[float], np.ndarray]:
    records: list[TrainRecord] = []
    context = RunContext(device="cuda", batch=64, on_record=records.append, kernels=kernels)
    drawn = recipe.fit(images, 1, context).sample(SEEDS)
    return [record.loss for record in records], drawn


def close(images: np.ndarray, others: np.ndarray, levels: float) -> bool:
    return float(np.abs(images.astype(float) - others.astype(float)).mean()) < levels


@pytest.mark.parametrize("name", RECIPES)
def test_a_step_makes_the_host_wait_for_nothing(name: str, faces: np.ndarray, monkeypatch: pytest.MonkeyPatch):
    taken: list[str] = []

    def watched(work: Callable[..., Any]) -> Callable[..., Any]:
        def watching(*args: Any) -> Any:
            taken.append(work.__name__)
            if len(taken) < 8:  # libraries load and allocate
                return work(*args)
            torch.cuda.set_sync_debug_mode("error")
            try:
                return work(*args)
            finally:
                torch.cuda.set_sync_debug_mode("default")

        return watching

    monkeypatch.setattr(training, "take_step", watched(training.take_step))
    monkeypatch.setattr(training._Loop, "_batch", watched(training._Loop._batch))
    fitted(RECIPES[name], faces)
    assert taken.count("take_step") == taken.count("_batch") >= 50


@pytest.mark.parametrize("name", RECIPES)
def test_the_same_seed_on_cpu_and_gpu_gives_about_the_same_closed_form(name: str, faces: np.ndarray):
    untrained = RECIPES[name].model_copy(update={"images_seen": 0})
    if isinstance(untrained, LatentDiffusion):
        untrained = untrained.model_copy(
            update={"first_stage": untrained.first_stage.model_copy(update={"images_seen": 0})}
        )
    if name == "ddpm":
        pytest.skip("a net on pixels has no closed form")
    on_cpu = untrained.fit(faces, 1, RunContext()).sample(SEEDS)
    on_gpu = untrained.fit(faces, 1, RunContext(device="cuda")).sample(SEEDS)
    assert close(on_cpu, on_gpu, 1.0)


@pytest.mark.parametrize(
    "how", [Kernels(compile=True), Kernels(graphs=True), Kernels(compile=True, graphs=True)], ids=str
)
@pytest.mark.parametrize("name", ["vae", "ddpm", "latent"])
def test_compiled_and_recorded_trainings_have_about_the_same_losses(
    name: str, how: Kernels, faces: np.ndarray, caplog: pytest.LogCaptureFixture
):
    with caplog.at_level(logging.WARNING):
        losses, images = fitted(RECIPES[name], faces, how)
    plain, _ = fitted(RECIPES[name], faces)
    np.testing.assert_allclose(losses, plain, rtol=0.1, atol=0.02)
    assert images.std() > 1
    assert "torch.compile failed" not in caplog.text
    crops = name == "vae" or name == "latent"  # the first stage of latent diffusion chooses crops on the host
    assert ("no CUDA graph" in caplog.text) == (crops and how.graphs), caplog.text


def test_the_noise_of_a_recorded_step_is_that_of_the_step(faces: np.ndarray):
    losses, _ = fitted(RECIPES["ddpm"], faces, Kernels(graphs=True, precision="full"))
    plain, _ = fitted(RECIPES["ddpm"], faces, Kernels(precision="full"))
    np.testing.assert_allclose(losses[:5], plain[:5], rtol=1e-3)


@pytest.mark.parametrize("name", ["ddpm", "latent"])
def test_a_training_on_a_gpu_resumes_and_its_model_can_be_saved(name: str, faces: np.ndarray, tmp_path: Path):
    recipe, asked = RECIPES[name], []
    context = RunContext(device="cuda", checkpoint=tmp_path / "state.safetensors")
    stopping = replace(context, should_stop=lambda: bool(asked.append(1)) or len(asked) > 20)
    with pytest.raises(Interrupted):
        recipe.fit(faces, 1, stopping)
    model = recipe.fit(faces, 1, context)
    model.save(tmp_path / "model")
    again = recipe.load(tmp_path / "model", context)
    assert close(again.sample(SEEDS), model.sample(SEEDS), 0.1)


@contextmanager
def full_memory() -> Iterator[None]:
    torch.cuda.set_per_process_memory_fraction(0.02)
    try:
        yield
    finally:
        torch.cuda.set_per_process_memory_fraction(1.0)


def test_a_batch_too_large_for_the_gpu_is_named(faces: np.ndarray):
    large = Ddpm(channels=(256, 512), images_seen=65536, batch=4096)
    with full_memory(), pytest.raises(ValueError, match="does not fit into the memory"):
        large.fit(np.repeat(faces, 4, 0), 1, RunContext(device="cuda"))
    torch.cuda.empty_cache()


def test_features_on_the_gpu_are_those_of_the_cpu(faces: np.ndarray):
    on_cpu, on_gpu = (features(ImageSet(faces), PRIMARY, device) for device in ("cpu", "cuda"))
    np.testing.assert_allclose(on_gpu, on_cpu, rtol=1e-3, atol=1e-3 * float(np.abs(on_cpu).max()))
