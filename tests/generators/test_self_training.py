"""Neon and negative guidance: what is extrapolated, that weight 0 changes nothing, and that a stop costs no byte."""

from __future__ import annotations

import copy
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from pydantic import ValidationError
from safetensors.torch import load_file

from imagelab import Cascade, Ddpm, Experiment, Gaussian, Neon, SelfGuided, Vae
from imagelab.cli.overrides import parse
from imagelab.export.citations import cited_by
from imagelab.export.opening import model_code
from imagelab.generators import Generator, Interrupted, RunContext, TrainRecord
from imagelab.generators.guided import GuidedModel, _CombinedNet
from imagelab.generators.neon import extrapolated_gaussian
from imagelab.generators.training import train
from imagelab.runs.preflight import rehearsal
from imagelab.runs.quick import quick_look
from imagelab.seeds import image_seeds, seed_at

VAE = Vae(latent=4, details=2, width=8, images_seen=48, batch=8, crop=16, neighbours=4)
DDPM = Ddpm(
    channels=(8,), blocks=1, attention=False, patch=4, images_seen=48, batch=8, noise_steps=20, steps=3, sampler="dpm++"
)
NEON: Any = Neon(base=VAE, samples=12, share=0.5, rate=0.5)
GUIDED: Any = SelfGuided(base=DDPM, samples=12, share=0.5, weight=2.0, rate=1.0)
WRAPPED: dict[str, Any] = {"neon, vae": NEON, "neon, ddpm": NEON.model_copy(update={"base": DDPM}), "guided": GUIDED}
SEEDS = image_seeds(3, "sample", 1, 0, range(6))
ALONE = RunContext()


def weighted(recipe: Any, weight: float) -> Any:
    return recipe.model_copy(update={"weight": weight})


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def saved(recipe: Generator, pictures: np.ndarray, folder: Path) -> dict[str, bytes]:
    recipe.fit(pictures, 5, ALONE).save(folder)
    return contents(folder)


# -- what is extrapolated


@pytest.mark.parametrize("recipe", [NEON, WRAPPED["neon, ddpm"], Neon(base=Gaussian(components=5), samples=30)])
def test_neon_with_weight_0_saves_the_bytes_of_its_base(recipe: Any, pictures: np.ndarray, tmp_path: Path):
    base = saved(recipe.base, pictures, tmp_path / "base")
    assert saved(weighted(recipe, 0.0), pictures, tmp_path / "neon") == base
    assert saved(weighted(recipe, 1.0), pictures, tmp_path / "other") != base


@pytest.mark.parametrize("base", [VAE, DDPM], ids=["vae", "ddpm"])
def test_saved_weights_are_those_of_the_formula_and_buffers_those_of_the_base(
    base: Any, pictures: np.ndarray, tmp_path: Path
):
    model, place = base.fit(pictures, 5, ALONE), "unet" if base is DDPM else "."
    own = model.sample(image_seeds(5, "own samples", 0, 0, range(12)))
    tuned = copy.deepcopy(model.net).requires_grad_(True)
    loss, plan = base.training(tuned, 24)
    plan = replace(plan, learning_rate=0.5 * base.learning_rate)
    tuned = train(tuned, loss, own, plan, seed_at(5, "own samples"), ALONE, "")
    away, parameters = tuned.state_dict(), {name for name, _ in model.net.named_parameters()}

    weighted(NEON, 1.5).model_copy(update={"base": base}).fit(pictures, 5, ALONE).save(tmp_path)
    found = load_file(tmp_path / place / "diffusion_pytorch_model.safetensors")
    assert found.keys() == model.net.state_dict().keys()
    for name, here in model.net.state_dict().items():
        if name in parameters:
            assert not torch.equal(here, away[name]) or here.abs().max() == 0
            torch.testing.assert_close(found[name], 2.5 * here - 1.5 * away[name], atol=1e-6, rtol=1e-5)
        elif not name.startswith("bank"):
            assert torch.equal(found[name], here), name


def test_a_gaussian_is_extrapolated_mode_by_mode_and_stays_positive(pictures: np.ndarray):
    model = Gaussian(components=3).fit(pictures, 0, ALONE)
    narrow = model.sample(image_seeds(0, "sample", 1, 0, range(400))).astype(float)
    narrow = np.rint(narrow.mean(0) + 0.5 * (narrow - narrow.mean(0)) + 4).astype(np.uint8)  # half as wide, brighter
    made = extrapolated_gaussian(model, narrow, 0.5)
    signed = narrow.reshape(400, -1) / 127.5 - 1
    directions = model.tensors["directions"].numpy().astype(float)
    seen = ((signed - signed.mean(0)) @ directions.T).var(0)
    assert seen == pytest.approx(0.25 * model.tensors["variances"].numpy(), rel=0.3)
    expected = model.tensors["variances"].numpy() ** 1.5 / seen**0.5  # (1 + w) log r - w log s
    np.testing.assert_allclose(made.tensors["variances"].numpy(), expected, rtol=1e-4)
    mean = 1.5 * model.tensors["mean"].numpy() - 0.5 * signed.mean(0)
    np.testing.assert_allclose(made.tensors["mean"].numpy(), mean, atol=1e-5)
    assert made.residual > model.residual
    still = np.repeat(narrow[:1], 9, axis=0)  # samples without any variance
    assert (
        0 < extrapolated_gaussian(model, still, 2.0).tensors["variances"].max() < 101 * model.tensors["variances"].max()
    )
    silent = Gaussian(components=3, noise=False).fit(pictures, 0, ALONE)
    assert extrapolated_gaussian(silent, narrow, 0.5).residual == silent.residual  # none of it is in a sample


# -- guidance


def test_two_predictions_are_combined_as_scores_are():
    constant = [SimpleNamespace(sample=torch.full((2, 3), value)) for value in (1.0, 3.0)]
    first, second = (lambda noisy, time, made=made: made for made in constant)
    first.config = "the first net's"  # pyright: ignore[reportFunctionMemberAccess]
    net = _CombinedNet(first, second, 0.25)
    assert torch.equal(net(torch.zeros(1), torch.zeros(1)).sample, torch.full((2, 3), 1.25 * 1 - 0.25 * 3))
    assert net.config == "the first net's"


def test_guidance_of_0_is_the_base_and_of_minus_1_the_model_of_its_samples(pictures: np.ndarray):
    model = GUIDED.fit(pictures, 5, ALONE)
    assert isinstance(model, GuidedModel)
    plain = DDPM.fit(pictures, 5, ALONE).sample(SEEDS)
    np.testing.assert_array_equal(replace(model, weight=0.0).sample(SEEDS), plain)
    other = model.auxiliary.sample(SEEDS)
    assert (other != plain).any() and (model.sample(SEEDS) != plain).any()
    assert np.abs(replace(model, weight=-1.0).sample(SEEDS).astype(int) - other).max() <= 1
    assert not model.reconstructs
    with pytest.raises(ValueError, match="does not reconstruct"):
        model.reconstruct(pictures)


def test_both_models_of_a_guided_one_are_read_by_the_reader_of_the_base(pictures: np.ndarray, tmp_path: Path):
    model = GUIDED.fit(pictures, 5, ALONE)
    model.save(tmp_path)
    np.testing.assert_array_equal(GUIDED.load(tmp_path, ALONE).sample(SEEDS), model.sample(SEEDS))
    np.testing.assert_array_equal(DDPM.load(tmp_path / "base", ALONE).sample(SEEDS), model.base.sample(SEEDS))
    weights = tmp_path / "auxiliary" / "unet" / "diffusion_pytorch_model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-4])
    with pytest.raises(ValueError, match=r"auxiliary.*cut short"):
        GUIDED.load(tmp_path, ALONE)


def test_a_warm_start_begins_from_the_base_of_the_model_before(pictures: np.ndarray):
    before = GUIDED.fit(pictures, 5, ALONE)
    warm = GUIDED.fit(pictures[::-1].copy(), 6, ALONE, before)
    assert (warm.sample(SEEDS) != GUIDED.fit(pictures[::-1].copy(), 6, ALONE).sample(SEEDS)).any()
    np.testing.assert_array_equal(
        warm.base.sample(SEEDS), DDPM.fit(pictures[::-1].copy(), 6, ALONE, before.base).sample(SEEDS)
    )


# -- interruption


@pytest.mark.parametrize("name", WRAPPED)
def test_a_training_that_was_stopped_goes_on_to_the_same_bytes(name: str, pictures: np.ndarray, tmp_path: Path):
    recipe, whole = WRAPPED[name], list[TrainRecord]()
    recipe.fit(pictures, 5, replace(ALONE, on_record=whole.append)).save(tmp_path / "whole")
    assert whole[-1].images_seen == whole[-1].images_total == recipe.training_length == 72
    steps = 9
    for stop in (3, 6, 7, 9):  # within the first training, before its end, before and in the one on own samples
        checkpoint, asked, again = tmp_path / "c.safetensors", [], list[TrainRecord]()

        def should_stop(stop: int = stop, asked: list[None] = asked) -> bool:
            asked.append(None)
            return len(asked) == stop

        with pytest.raises(Interrupted):
            recipe.fit(pictures, 5, RunContext(checkpoint=checkpoint, should_stop=should_stop))
        asked.clear()
        context = RunContext(checkpoint=checkpoint, should_stop=lambda asked=asked: bool(asked.append(None)))
        recipe.fit(pictures, 5, replace(context, on_record=again.append)).save(tmp_path / str(stop))
        assert contents(tmp_path / str(stop)) == contents(tmp_path / "whole")
        assert len(asked) == steps - stop + 1, "what was trained is not trained again"
        assert [replace(each, seconds=0) for each in again] == [replace(each, seconds=0) for each in whole]
        assert not checkpoint.exists()


def test_what_the_first_training_has_learned_outlives_a_kill_in_the_second(pictures: np.ndarray, tmp_path: Path):
    checkpoint, asked = tmp_path / "c.safetensors", []

    def killed() -> bool:
        asked.append(None)
        if len(asked) == 8:  # before the second step on own samples; the usual time between checkpoints is not over
            raise KeyboardInterrupt
        return False

    with pytest.raises(KeyboardInterrupt):
        NEON.fit(pictures, 5, RunContext(checkpoint=checkpoint, should_stop=killed))
    asked.clear()
    again = RunContext(checkpoint=checkpoint, should_stop=lambda: bool(asked.append(None)))
    NEON.fit(pictures, 5, again).save(tmp_path / "a")
    assert contents(tmp_path / "a") == saved(NEON, pictures, tmp_path / "b")
    assert len(asked) == 3, "the steps on own samples alone"


def test_a_checkpoint_of_other_settings_is_not_used(pictures: np.ndarray, tmp_path: Path):
    checkpoint, asked = tmp_path / "c.safetensors", []

    def should_stop() -> bool:
        asked.append(None)
        return len(asked) == 8

    with pytest.raises(Interrupted):
        NEON.fit(pictures, 5, RunContext(checkpoint=checkpoint, should_stop=should_stop))
    other = NEON.model_copy(update={"base": VAE.model_copy(update={"beta": 5.0})})
    other.fit(pictures, 5, RunContext(checkpoint=checkpoint)).save(tmp_path / "a")
    assert contents(tmp_path / "a") == saved(other, pictures, tmp_path / "b")


# -- settings


@pytest.mark.parametrize(
    ("recipe", "settings", "words"),
    [
        (Neon, {"base": Cascade()}, "gaussian, or a trained vae or ddpm, got cascade"),
        (Neon, {"base": NEON}, "gaussian, or a trained vae or ddpm, got neon"),
        (Neon, {"base": Vae(images_seen=0)}, "got vae without training"),
        (SelfGuided, {"base": Vae()}, "draws by a score, ddpm, got vae"),
        (SelfGuided, {"base": {"kind": "ddpm", "images_seen": 0}}, "got ddpm without training"),
        (Neon, {"base": {"kind": "nothing"}}, "unknown generator 'nothing'"),
        (Neon, {"weight": -2.0}, "greater than or equal to -1"),
        (Neon, {"share": 0.0}, "greater than 0"),
        (SelfGuided, {"rate": 2.0}, "less than or equal to 1"),
        (SelfGuided, {"samples": 1}, "greater than or equal to 2"),
    ],
)
def test_what_cannot_be_extrapolated_is_refused_in_words(recipe: Any, settings: dict[str, Any], words: str):
    with pytest.raises(ValidationError, match=words):
        recipe(**settings)


def test_the_base_is_chosen_and_set_on_the_command_line():
    words = ["--generator.kind", "neon", "--generator.base.kind", "ddpm", "--generator.base.patch", "4"]
    chosen: Any = parse(Experiment(), [*words, "--generator.weight", "0.5"], "test").generator
    assert chosen == Neon(base=Ddpm(patch=4), weight=0.5)
    guided: Any = parse(Experiment(), ["--generator.kind", "self_guided", "--generator.base.steps", "7"], "test")
    assert guided.generator == SelfGuided(base=Ddpm(steps=7))


def test_a_rehearsal_and_a_quick_look_reach_the_base():
    assert rehearsal(NEON).base.images_seen == rehearsal(NEON).samples == 2
    quick: Any = quick_look(Experiment(generator=SelfGuided())).generator
    assert quick.base.images_seen < Ddpm().images_seen and quick.share == SelfGuided().share


def test_the_papers_of_the_remedy_and_of_its_base_are_cited():
    for recipe, papers in ((NEON, ("2510.03597", "1312.6114")), (GUIDED, ("2408.16333", "2006.11239"))):
        cited = " ".join(work.entry() for work in cited_by(Experiment(generator=recipe).question(), []))
        assert all(paper in cited for paper in papers)


@pytest.mark.parametrize("recipe", [NEON, GUIDED, Neon()], ids=["neon", "guided", "default"])
def test_the_card_of_an_exported_model_builds_the_whole_recipe(recipe: Generator, tmp_path: Path):
    line = next(line for line in model_code(recipe.model_dump(mode="json"), tmp_path) if line.startswith("model = "))
    built = line.removeprefix("model = ").partition(".load(")[0]
    assert eval(built, {"Neon": Neon, "SelfGuided": SelfGuided}) == recipe
