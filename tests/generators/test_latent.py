"""Latent diffusion: its parts, the first stage that is kept, a training that is interrupted, what it refuses."""

from __future__ import annotations

import copy
from dataclasses import replace
from itertools import count
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from pydantic import ValidationError
from torch import Tensor

from imagelab import Experiment, Runtime, Textures, run
from imagelab.generators import Diverged, Interrupted, LatentDiffusion, RunContext, TrainRecord, Vae
from imagelab.generators.latent import LatentModel
from imagelab.generators.latent_net import DetailPrior
from imagelab.generators.latent_training import averaged_target, solve_detail_prior, solve_upper_prior
from imagelab.seeds import image_seeds

SMALL = LatentDiffusion(
    first_stage=Vae(latent=4, details=2, width=8, images_seen=80, batch=8, crop=16, prior="normal"),
    images_seen=64,
    upper_share=2,
    batch=8,
    upper_batch=16,
    width=16,
    blocks=1,
    detail_widths=(8, 16),
    steps=4,
)
FILES = [f"{part}/diffusion_pytorch_model.safetensors" for part in ("first_stage", "detail_prior")]
SEEDS = image_seeds(3, "sample", 1, 0, range(9))


@pytest.fixture(scope="module")
def model(pictures: np.ndarray) -> LatentModel:
    return SMALL.fit(pictures, 0, RunContext())


def weights(part: torch.nn.Module) -> bytes:
    return b"".join(tensor.numpy().tobytes() for tensor in part.state_dict().values())


def test_a_first_stage_that_is_trained_once_is_taken_over_as_it_is_and_the_priors_begin_anew(
    model: LatentModel, pictures: np.ndarray
):
    once, other = SMALL.model_copy(update={"first_stage_trained": "once"}), 255 - pictures
    assert once.takes_from_before and not once.continues and not SMALL.takes_from_before and SMALL.continues
    kept, anew = once.fit(other, 1, RunContext(), model), SMALL.fit(other, 1, RunContext(), model)
    assert weights(kept.nets.first) == weights(model.nets.first) != weights(anew.nets.first)
    assert weights(kept.nets.details) != weights(model.nets.details)
    first = once.fit(pictures, 0, RunContext())  # in generation 1 there is no model before
    np.testing.assert_array_equal(first.sample(SEEDS), model.sample(SEEDS))


@pytest.mark.parametrize("workers", [1, 2])
def test_a_loop_hands_the_first_stage_of_generation_1_on(tmp_path: Path, workers: int):
    experiment = Experiment(
        data=Textures(size=16),
        generator=SMALL.model_copy(update={"first_stage_trained": "once"}),
        generations=2,
        images=24,
        heldout=12,
        tracked=2,
        metrics=("pixel_variance",),
        runtime=Runtime(device="cpu", runs=tmp_path, workers=workers),
    )
    assert experiment.begins_from_before(0) and not experiment.model_copy(
        update={"generator": SMALL}
    ).begins_from_before(0)
    folder = run(experiment)
    weights = [(folder.shard_path(t, 0) / "model" / part).read_bytes() for t in (1, 2) for part in FILES]
    assert weights[0] == weights[2] and weights[1] != weights[3]
    with pytest.raises(ValidationError, match=r"takes a part of the model before as it is"):
        Experiment(generator=experiment.generator, warm_start=True)


def test_one_image_is_too_few_to_learn_from_and_a_part_that_diverges_is_named(pictures: np.ndarray):
    with pytest.raises(ValueError, match="expected at least 2 images to learn from, got 1"):
        SMALL.fit(pictures[:1], 0, RunContext())
    wild = SMALL.model_copy(update={"upper_learning_rate": 1e12})
    said = r"training of the upper prior diverged at step \d+ .*Lower upper_learning_rate .*or raise upper_batch"
    with pytest.raises(Diverged, match=said):
        wild.fit(pictures, 0, RunContext())


def test_a_warm_start_changes_the_result_and_needs_a_model_of_its_kind(model: LatentModel, pictures: np.ndarray):
    scratch, warm = (SMALL.fit(pictures, 1, RunContext(), start) for start in (None, model))
    assert weights(scratch.nets.first) != weights(warm.nets.first)
    vae = Vae(latent=4, details=2, width=8, images_seen=8).fit(pictures, 0, RunContext())
    with pytest.raises(ValueError, match="expected to begin from a latent diffusion model, got VaeModel"):
        SMALL.fit(pictures, 1, RunContext(), vae)


def test_an_interrupted_training_ends_with_the_same_bytes_whichever_part_it_was_in(
    model: LatentModel, tmp_path: Path, pictures: np.ndarray
):
    steps = 10 + 8 + 8  # of the first stage and the two priors
    for stop in (3, 10, 14, 18, 25):
        asked, checkpoint, records = count(), tmp_path / f"{stop}", list[TrainRecord]()
        with pytest.raises(Interrupted):
            SMALL.fit(pictures, 0, RunContext(checkpoint=checkpoint, should_stop=lambda a=asked, s=stop: next(a) == s))
        again = SMALL.fit(pictures, 0, RunContext(checkpoint=checkpoint, on_record=records.append))
        assert weights(again.nets) == weights(model.nets), f"stopped after {stop} of {steps} steps"
        assert records[-1].images_seen == records[-1].images_total == 80 + 128 + 64
        assert not checkpoint.exists()


def test_the_closed_forms_have_the_moments_of_the_codes(model: LatentModel, pictures: np.ndarray):
    nets, context = model.nets, RunContext()
    coordinates = solve_upper_prior(nets, pictures, True, context)
    assert coordinates.shape == (2 * len(pictures), 4)
    np.testing.assert_allclose(coordinates.mean(0), 0, atol=1e-5)
    np.testing.assert_allclose(coordinates.std(0), nets.upper.flow.scale, rtol=1e-4)
    solve_detail_prior(nets, pictures, False, context)
    images = torch.from_numpy(pictures).float() / 127.5 - 1
    _, mean, log_variance = nets.first.encode(images)
    drawn: Tensor = mean.var(0, correction=0) + log_variance.exp().mean(0)
    inner = torch.nn.functional.avg_pool2d(drawn[None], 3, 1)[0].sqrt()  # averaged over 3 x 3 places
    torch.testing.assert_close(nets.details.spread[:, 1:-1, 1:-1], inner, rtol=1e-3, atol=1e-4)
    torch.testing.assert_close(nets.details.mean, mean.mean(0), rtol=1e-3, atol=1e-4)


def test_an_untrained_prior_moves_by_the_velocity_of_a_gaussian_whatever_the_outline():
    net = DetailPrior(grid=4, details=2, outline=48, widths=(8,))
    state, t = torch.randn(3, 2, 4, 4), torch.tensor([0.2, 0.5, 0.9])
    moment = t[:, None, None, None]
    expected = state * (2 * moment - 1) / ((1 - moment) ** 2 + moment**2)  # Eq. 1 of cascade_net.py with s = 1
    torch.testing.assert_close(net(state, t, net.givens(torch.randn(3, 48, 4, 4))), expected)
    torch.testing.assert_close(net.encode(net.decode(state)), state)


def test_drawn_codes_have_mean_and_variance_of_the_training_codes(model: LatentModel, pictures: np.ndarray):
    crude = replace(  # two steps of Euler's rule draw codes of another variance
        model, nets=copy.deepcopy(model.nets), recipe=model.recipe.model_copy(update={"solver": "euler", "steps": 2})
    )
    seeds, upper, details = image_seeds(8, "sample", 1, 0, range(512)), crude.nets.upper, crude.nets.details

    def off() -> tuple[float, float]:
        drawn = crude.draw_upper(seeds)
        z = (drawn - upper.centre) * upper.gain
        c = (details.decode(crude.draw_details(seeds, crude.z_of(drawn))) - details.mean) / details.spread
        return float((z.std(0) / upper.flow.scale - 1).abs().max()), float((c.std((0, 2, 3)) - 1).abs().max())

    before = off()
    crude.match_moments(5)
    after = off()
    assert before[1] > 0.1 > 0.06 > after[1] and after[0] < 0.12
    unmatched = SMALL.model_copy(update={"match_variance": False}).fit(pictures, 0, RunContext())
    assert unmatched.nets.upper.gain.tolist() == [1.0] * 4 != model.nets.upper.gain.tolist()


@pytest.mark.parametrize(("spread", "time"), [(0.1, 0.2), (0.7, 0.4), (1.0, 0.9)])
def test_the_target_is_the_mean_over_the_noise_of_the_first_stage(spread: float, time: float):
    source, clean = torch.Generator().manual_seed(1), torch.tensor(0.6)
    n, e = (torch.randn(200_000, generator=source) for _ in range(2))
    blur = (1 - time) * spread * n + time * e
    target = averaged_target(clean, blur, torch.tensor(spread), torch.tensor(time))
    drawn = e - (clean + spread * n)
    rest = drawn - target
    assert abs(float(rest.mean())) < 0.02 and abs(float((rest * blur).mean())) < 0.02  # nothing of u is left in it
    assert float(target.var()) < float(drawn.var())


def test_the_copy_is_that_of_the_first_stage(model: LatentModel, pictures: np.ndarray):
    z, c, _ = model.nets.first.encode(torch.from_numpy(pictures[:3]).float() / 127.5 - 1)
    expected = model.nets.first.decode(z, c).clamp(-1, 1)
    copied = torch.from_numpy(model.reconstruct(pictures[:3])).float() / 127.5 - 1
    torch.testing.assert_close(copied, expected, rtol=0, atol=1.01 / 127.5)


def test_what_it_cannot_do_is_said(model: LatentModel, tmp_path: Path, pictures: np.ndarray):
    with pytest.raises(ValidationError, match=r"smoothing has no effect.* expected 0.8, got 0.1"):
        LatentDiffusion(first_stage=Vae(prior="normal", smoothing=0.1))
    with pytest.raises(ValidationError, match=r"prior has no effect.* expected 'normal', got 'local'"):
        LatentDiffusion(first_stage=Vae())
    deep: Any = SMALL.model_copy(update={"detail_widths": (8, 8, 8, 8, 8)})
    with pytest.raises(ValueError, match="multiple of 64 px"):
        deep.fit(pictures, 0, RunContext())
    model.save(tmp_path)
    config = tmp_path / "upper_prior" / "config.json"
    config.write_text(config.read_text().replace('"latent": 4', '"latent": 5'))
    with pytest.raises(
        ValueError, match=r"upper_prior: expected {'latent': 4}, as for its first stage, got {'latent': 5}"
    ):
        SMALL.load(tmp_path, RunContext())
