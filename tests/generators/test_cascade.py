"""The cascade: closed forms without training, resumed stages, positions of crops, image sizes."""

from __future__ import annotations

import dataclasses
import logging
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from imagelab.generators import Cascade, Gaussian, Interrupted, RunContext, TrainRecord
from imagelab.generators.cascade import CascadeModel, follow, octave_loss
from imagelab.generators.cascade_net import STILL, DetailNet, enlarge, shrink, velocity
from imagelab.seeds import image_seeds
from imagelab.theory import flow_erosion, heun_erosion

RECIPE = Cascade(
    coarse_side=4,
    components=6,
    width=16,
    blocks=1,
    detail_widths=(8,),
    images_seen=64,
    coarse_share=2,
    batch=8,
    coarse_batch=16,
    steps=4,
    coarse_steps=4,
)
UNTRAINED = RECIPE.model_copy(update={"images_seen": 0})
SEEDS = image_seeds(1, "sample", 1, 0, range(8))


@pytest.fixture(scope="module")
def model(pictures: np.ndarray) -> CascadeModel:
    return RECIPE.fit(pictures, 0, RunContext())


def with_settings(model: CascadeModel, **change: object) -> CascadeModel:
    return dataclasses.replace(model, recipe=model.recipe.model_copy(update=change))


def smooth(count: int, side: int, seed: int = 0) -> np.ndarray:
    """Grey Gaussian images of a few smooth modes around mid-grey; no value is clipped at black or white."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[0:side, 0:side] / side * np.pi
    waves = np.stack([np.cos(x), np.cos(y), np.cos(x) * np.cos(y), np.cos(2 * x)])
    weights = rng.normal(size=(count, 4)) * np.array([20, 14, 10, 6])
    pictures = 128 + np.einsum("nk,kyx->nyx", weights, waves)
    return np.clip(pictures.round(), 0, 255).astype(np.uint8)[:, None]


def test_the_velocity_without_a_net_is_the_exact_one_of_a_gaussian():
    generator = torch.Generator().manual_seed(0)
    x = 0.7 * torch.randn(200_000, 1, generator=generator)
    e = torch.randn(200_000, 1, generator=generator)
    for moment in (0.1, 0.5, 0.9):
        t = torch.tensor(moment)
        state = (1 - t) * x + t * e
        slope = float(((e - x) * state).mean() / state.square().mean())  # the best linear predictor of e - x
        exact = float(velocity(torch.ones(1, 1), t, torch.zeros(1, 1), 0.7))
        assert exact == pytest.approx(slope, abs=0.02)


@pytest.mark.parametrize("solver", ["euler", "heun"])
def test_each_solver_erodes_a_gaussian_exactly_as_theory_says(solver: str):
    variances, noise = torch.tensor([0.05, 1.0, 6.0]), torch.ones(1, 3)
    silent = torch.zeros(1, 3)
    end = follow(lambda x, t: velocity(x, t[:, None], silent, variances.sqrt()), noise, 6, solver == "heun")
    erosion = heun_erosion if solver == "heun" else flow_erosion
    np.testing.assert_allclose(end[0].square(), erosion(variances.numpy(), np.linspace(1, 0, 7)), rtol=1e-4)


def test_more_steps_come_nearer_to_the_exact_gaussian():
    error = [abs(float(heun_erosion(np.array([0.3]), np.linspace(1, 0, steps + 1))[0]) - 0.3) for steps in (6, 18, 36)]
    assert error[0] > error[1] > error[2]


def test_an_untrained_cascade_of_gaussian_pictures_has_their_mean_and_coarse_covariance():
    pictures = smooth(400, 8)
    recipe = UNTRAINED.model_copy(update={"components": 20, "coarse_steps": 40, "solver": "heun", "mirror": False})
    made = recipe.fit(pictures, 0, RunContext()).sample(image_seeds(0, "sample", 1, 0, range(1500)))
    shrunken = [images.reshape(-1, 4, 2, 4, 2).mean((2, 4)).reshape(-1, 16) for images in (pictures, made)]
    wanted, got = (np.cov(values.T, bias=True) for values in shrunken)
    deviation = np.sqrt(np.diag(wanted))
    np.testing.assert_allclose((shrunken[1].mean(0) - shrunken[0].mean(0)) / deviation, 0, atol=4 / 1500**0.5)
    np.testing.assert_allclose((got - wanted) / np.outer(deviation, deviation), 0, atol=0.15)


def test_an_untrained_coarse_stage_alone_draws_what_ppca_draws_but_for_the_noise_it_leaves_out(pictures: np.ndarray):
    recipe = UNTRAINED.model_copy(update={"coarse_side": 16, "components": 20, "coarse_steps": 80})
    seeds = image_seeds(0, "sample", 1, 0, range(400))
    made = recipe.fit(pictures, 0, RunContext()).sample(seeds).astype(float)
    ppca = Gaussian(components=20, noise=False).fit(pictures, 0, RunContext()).sample(seeds).astype(float)
    assert float(made.var(0).mean()) == pytest.approx(float(ppca.var(0).mean()), rel=0.1)
    assert np.abs(made.mean(0) - ppca.mean(0)).max() < 12


def test_every_stage_learns_what_a_gaussian_cannot_say(pictures: np.ndarray):
    change = {"components": 1, "width": 64, "coarse_share": 40, "coarse_batch": 64, "learning_rate": 1e-2, "ema": 0.9}
    recipe = RECIPE.model_copy(update={"images_seen": 320, **change})
    pictures = np.concatenate([pictures, 255 - pictures])  # two clusters, which a Gaussian cannot represent
    signed = torch.from_numpy(pictures).float() / 127.5 - 1
    losses = []
    for images_seen in (0, recipe.images_seen):
        net = recipe.model_copy(update={"images_seen": images_seen}).fit(pictures, 0, RunContext()).net
        stages = recipe._stages(net, pictures, net.coarse.encode(net.describe(signed)).numpy())
        many = [torch.from_numpy(stages[0].data).tile(5, 1), *[signed.tile(5, 1, 1, 1)] * 2]
        found = [
            stage.loss(read, torch.Generator().manual_seed(0))[0] for stage, read in zip(stages, many, strict=True)
        ]
        losses.append([float(each) for each in found])
    untrained, trained = np.array(losses)
    assert len(trained) == 3 and (trained < 0.99 * untrained).all()


def test_the_images_seen_are_counted_over_all_stages(pictures: np.ndarray):
    records: list[TrainRecord] = []
    RECIPE.model_copy(update={"images_seen": 37}).fit(pictures, 0, RunContext(on_record=records.append))
    seen = [record.images_seen for record in records]
    assert seen == sorted(seen) and seen[-1] == 37 * 4
    assert {record.images_total for record in records} == {37 * 4}


def timeless(records: list[TrainRecord]) -> list[TrainRecord]:
    """The records without the one column that depends on the speed of the machine."""
    return [dataclasses.replace(record, seconds=0.0) for record in records]


@pytest.mark.parametrize("steps", [0, 3, 8, 12, 20])
def test_a_training_interrupted_in_any_stage_resumes_to_the_same_bytes(
    steps: int, tmp_path: Path, pictures: np.ndarray, model: CascadeModel
):
    asked: list[None] = []

    def stop() -> bool:
        asked.append(None)
        return len(asked) > steps

    checkpoint = tmp_path / "state.safetensors"
    with pytest.raises(Interrupted, match="stopped after"):
        RECIPE.fit(pictures, 0, RunContext(should_stop=stop, checkpoint=checkpoint))
    left: list[None] = []
    records: list[TrainRecord] = []
    whole: list[TrainRecord] = []
    go_on = RunContext(checkpoint=checkpoint, on_record=records.append, should_stop=lambda: bool(left.append(None)))
    resumed = RECIPE.fit(pictures, 0, go_on)
    np.testing.assert_array_equal(resumed.sample(SEEDS), model.sample(SEEDS))
    assert len(left) == 24 - steps  # 8 steps of 16 coarse images, then 8 of 8 for each octave
    RECIPE.fit(pictures, 0, RunContext(on_record=whole.append))
    assert timeless(records) == timeless(whole)
    assert all(a.seconds <= b.seconds for a, b in pairwise(records))
    assert not list(tmp_path.iterdir())


def test_a_finished_stage_is_not_trained_again(tmp_path: Path, pictures: np.ndarray, model: CascadeModel):
    asked: list[None] = []

    def stop() -> bool:
        asked.append(None)
        return len(asked) > 8  # the first step of the second stage

    checkpoint = tmp_path / "state.safetensors"
    with pytest.raises(Interrupted, match="after 0 of 8"):
        RECIPE.fit(pictures, 0, RunContext(should_stop=stop, checkpoint=checkpoint))
    left: list[None] = []
    RECIPE.fit(pictures, 0, RunContext(checkpoint=checkpoint, should_stop=lambda: bool(left.append(None))))
    assert len(left) == 16


def test_the_checkpoint_of_another_training_is_named_once_and_that_of_an_earlier_stage_never(
    tmp_path: Path, pictures: np.ndarray, model: CascadeModel, caplog: pytest.LogCaptureFixture
):
    checkpoint = tmp_path / "state.safetensors"
    with caplog.at_level(logging.WARNING):
        RECIPE.fit(pictures, 0, RunContext(checkpoint=checkpoint))
    assert not caplog.text
    with pytest.raises(Interrupted, match="after 0 of"):
        RECIPE.fit(pictures, 7, RunContext(should_stop=lambda: True, checkpoint=checkpoint))
    with caplog.at_level(logging.WARNING):
        other = RECIPE.fit(pictures, 0, RunContext(checkpoint=checkpoint))
    assert caplog.text.count("belongs to another training") == 1
    np.testing.assert_array_equal(other.sample(SEEDS), model.sample(SEEDS))


def test_a_damaged_checkpoint_of_a_later_stage_starts_the_whole_training_over(
    tmp_path: Path, pictures: np.ndarray, model: CascadeModel, caplog: pytest.LogCaptureFixture
):
    asked: list[None] = []

    def stop() -> bool:
        asked.append(None)
        return len(asked) > 18

    checkpoint = tmp_path / "state.safetensors"
    with pytest.raises(Interrupted, match="stopped after"):
        RECIPE.fit(pictures, 0, RunContext(should_stop=stop, checkpoint=checkpoint))
    content = bytearray(checkpoint.read_bytes())
    content[-100] ^= 1
    checkpoint.write_bytes(content)
    with caplog.at_level(logging.WARNING):
        resumed = RECIPE.fit(pictures, 0, RunContext(checkpoint=checkpoint))
    assert "damaged checkpoint" in caplog.text and "starting over" in caplog.text
    np.testing.assert_array_equal(resumed.sample(SEEDS), model.sample(SEEDS))


def test_a_warm_start_copies_the_weights_and_the_axes_they_were_trained_with(pictures: np.ndarray, model: CascadeModel):
    still = RECIPE.model_copy(update={"images_seen": 0})
    again = still.fit(pictures[:40], 1, RunContext(), start=model)
    np.testing.assert_array_equal(again.net.coarse.axes, model.net.coarse.axes)
    for name, weight in model.net.named_parameters():
        assert torch.equal(dict(again.net.named_parameters())[name], weight)


def test_the_noise_of_every_stage_depends_on_the_seed_only(model: CascadeModel):
    first, second = model.sample(SEEDS), model.sample(SEEDS[::-1])[::-1]
    difference = np.abs(first.astype(int) - second)
    assert difference.max() <= 1 and (difference > 0).mean() < 1e-3


def test_sampling_without_noise_gives_every_seed_the_same_picture_and_less_noise_less_variety(model: CascadeModel):
    assert (np.ptp(with_settings(model, noise_scale=0.0).sample(SEEDS), axis=0) == 0).all()
    spreads = [with_settings(model, noise_scale=scale).sample(SEEDS).astype(float).std(0).mean() for scale in (0.5, 1)]
    assert spreads[0] < 0.8 * spreads[1]


def test_the_details_of_an_octave_are_encoded_and_decoded_without_loss(model: CascadeModel):
    part: Any = model.net.details[1]
    generator = torch.Generator().manual_seed(0)
    images, coarse = torch.rand(2, 3, 16, 16, generator=generator), torch.rand(2, 3, 8, 8, generator=generator)
    torch.testing.assert_close(part.decode(part.encode(images, coarse), coarse), images, atol=1e-5, rtol=0)
    torch.testing.assert_close(part.colours @ part.colours.T, torch.eye(3))


def test_encoded_details_have_about_unit_variance_where_they_are_not_still(pictures: np.ndarray):
    net = UNTRAINED.fit(pictures, 0, RunContext()).net
    images = torch.from_numpy(pictures).float() / 127.5 - 1
    _, contrasts = net.read(net.describe(images))
    for octave, part in enumerate(net.octaves):
        contrast = contrasts[:, octave, None]
        fine, coarse = shrink(images, part.side), shrink(images, part.grid)
        torch.testing.assert_close(contrast, part.contrast(fine, coarse))
        plain = part.encode(fine, coarse)
        assert float(plain.square().mean()) == pytest.approx(1.0, abs=0.1)
        made = plain.double().mean((0, 3)) + plain.flip(3).double().mean((0, 3))  # mirrored images count as well
        torch.testing.assert_close(made, torch.zeros_like(made), atol=1e-4, rtol=0)
        assert float(part.usual[0, octave]) == pytest.approx(float(contrast.mean()), abs=0.05)


def test_contrast_is_the_logarithm_of_how_much_a_region_varies():
    part = DetailNet(16, 1, 8, regions=2)
    coarse, noise = torch.zeros(1, 1, 8, 8), torch.randn(1, 1, 16, 16, generator=torch.Generator().manual_seed(0))
    loud = noise.clone()
    loud[..., :8, 8:] *= 4
    gained = part.contrast(loud, coarse) - part.contrast(noise, coarse)
    assert float(gained[0, 0, 0, 1]) == pytest.approx(np.log(4), abs=0.02)
    assert float(gained.abs().sum()) == pytest.approx(float(gained[0, 0, 0, 1]), abs=1e-6)
    assert float(part.contrast(enlarge(coarse), coarse).mean()) == pytest.approx(np.log(STILL))


def test_every_octave_is_conditioned_on_the_contrasts_of_the_coarse_stage(pictures: np.ndarray):
    net = UNTRAINED.fit(pictures, 0, RunContext()).net
    contrasts = torch.zeros(1, 2, 2, 2)
    contrasts[:, 1, 0, 0] = 2.0
    for each in net.octaves:  # the smaller octave is conditioned on them as well
        told = each.givens(torch.zeros(1, 3, each.grid, each.grid), contrasts)[0, -1]
        assert float(told[0, 0] - told[-1, -1]) == pytest.approx(2.0 / float(each.usual[1, 1]), rel=1e-4)


def test_the_details_of_the_coarse_image_enter_as_strongly_as_the_image(pictures: np.ndarray):
    net = UNTRAINED.fit(pictures, 0, RunContext()).net
    images = torch.from_numpy(pictures).float() / 127.5 - 1
    part = net.octaves[-1]
    given = part.givens(shrink(images, part.grid), torch.zeros(len(images), 2, 2, 2))
    assert float(given[:, 3:6].square().mean()) == pytest.approx(1.0, abs=0.1)


def test_an_inner_window_gives_the_velocity_of_the_whole_image():
    net = DetailNet(64, 3, 8, 8)
    generator = torch.Generator().manual_seed(0)
    for weight in net.parameters():
        weight.data = 0.1 * torch.randn(weight.shape, generator=generator)
    y, given = torch.randn(1, 3, 64, 64, generator=generator), torch.randn(1, 9, 32, 32, generator=generator)
    t, rows, columns = torch.tensor([0.4]), slice(4, 32), slice(0, 28)
    with torch.inference_mode():
        whole = net(y, t, given)[..., 8:, :56]
        part = net(y[..., 8:, :56], t, given[..., rows, columns], (rows, columns))
    # the far corner is outside the receptive field of the cut
    torch.testing.assert_close(part[..., -4:, :4], whole[..., -4:, :4], atol=1e-4, rtol=1e-4)


def test_a_crop_is_read_at_its_own_place():
    images = torch.arange(32.0).expand(4, 1, 32, 32) / 32
    seen: list[Any] = []

    net = Cascade(coarse_side=16, width=8, blocks=1, detail_widths=(8,))._net(images.numpy(), 0)

    class Watches(DetailNet):
        def forward(self, y: torch.Tensor, t: torch.Tensor, given: torch.Tensor, window: Any = None) -> torch.Tensor:
            seen.append((given, window))
            return y

    net.details[0] = Watches(32, 1, 8, 8)
    loss = octave_loss(net, 0, crop=16, mirror=False, augment=0.0)
    for seed in range(6):
        loss(images, torch.Generator().manual_seed(seed))
    for given, (_, columns) in seen:
        wanted = (torch.arange(16.0) * 2 + 0.5)[columns] / 32
        torch.testing.assert_close(given[0, 0, 0], 1.5 * wanted)
    assert len({window[1].start for _, window in seen}) > 1


@pytest.mark.parametrize("shape", [(4, 3, 12, 12), (4, 3, 16, 24), (4, 3, 48, 48), (4, 3, 8, 8)])
def test_sizes_that_are_no_octaves_of_the_coarse_side_are_named(shape: tuple[int, ...]):
    with pytest.raises(ValueError, match=f"times a power of two, got {shape[2]} x {shape[3]}"):
        Cascade().fit(np.zeros(shape, np.uint8), 0, RunContext())


def test_a_single_image_is_refused():
    with pytest.raises(ValueError, match="at least 2 images"):
        RECIPE.fit(np.zeros((1, 3, 16, 16), np.uint8), 0, RunContext())


def test_one_octave_or_none_will_do(pictures: np.ndarray):
    for coarse_side, octaves in ((8, 1), (16, 0)):
        recipe = RECIPE.model_copy(update={"coarse_side": coarse_side, "images_seen": 16})
        model = recipe.fit(pictures, 0, RunContext())
        assert len(model.net.details) == octaves and model.sample(SEEDS).shape == (8, 3, 16, 16)


def test_equal_images_are_learned_without_a_division_by_zero(pictures: np.ndarray):
    same = np.repeat(pictures[:1], 5, 0)
    made = UNTRAINED.model_copy(update={"mirror": False}).fit(same, 0, RunContext()).sample(SEEDS)
    assert np.abs(made.astype(float) - same[0]).mean() < 8


def test_the_untrained_control_says_so_in_its_label():
    assert "untrained" in UNTRAINED.label and "untrained" not in RECIPE.label
    assert "0.9" in RECIPE.model_copy(update={"noise_scale": 0.9}).label


def test_copies_are_refused(model: CascadeModel, pictures: np.ndarray):
    with pytest.raises(ValueError, match="does not reconstruct"):
        model.reconstruct(pictures[:2])
