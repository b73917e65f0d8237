"""The patch net: exact for a Gaussian without training, and better than the best Gaussian after training."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch.nn import functional

from imagelab.generators import Ddpm, Gaussian, Model, RunContext
from imagelab.generators.ddpm import DdpmModel
from imagelab.generators.exact_net import ExactNet
from imagelab.generators.patch_net import COMPONENTS, PatchNet, patch_basis
from imagelab.seeds import image_seeds

RECIPE = Ddpm(
    channels=(8, 16), blocks=1, patch=4, weighting="gaussian", images_seen=64, batch=8, noise_steps=50, steps=10
)
UNTRAINED = RECIPE.model_copy(update={"images_seen": 0})
SEEDS = image_seeds(1, "sample", 1, 0, range(8))


def changed(recipe: Ddpm, **settings: Any) -> Ddpm:
    return Ddpm.model_validate({**recipe.model_dump(), **settings})


def net_of(model: Model) -> PatchNet:
    assert isinstance(model, DdpmModel) and isinstance(model.net, PatchNet)
    return model.net


def images_error(net: PatchNet, images: np.ndarray, time: int) -> tuple[float, float]:
    """The squared error of the predicted image, and the expected error of the closed form."""
    clean = functional.pixel_unshuffle(torch.from_numpy(images).float() / 127.5 - 1, 4)
    noise = torch.randn(clean.shape, generator=torch.Generator().manual_seed(0))
    a = net.kept[time]
    with torch.inference_mode():
        answer = net(a.sqrt() * clean + (1 - a).sqrt() * noise, torch.tensor(time)).sample
        return float((answer - clean).square().mean()), float(net.gaussian_error(torch.tensor([time])))


@pytest.mark.parametrize("prediction", ["epsilon", "v_prediction", "sample"])
@pytest.mark.parametrize("patch", [2, 4])
def test_the_untrained_net_is_the_exact_answer_for_a_gaussian(
    prediction: str, patch: int, pictures: np.ndarray, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr("imagelab.generators.patch_net.COMPONENTS", 20)
    recipe = changed(UNTRAINED, prediction=prediction, patch=patch)
    net = net_of(recipe.fit(pictures, 0, RunContext()))
    exact: Any = ExactNet(Gaussian(components=20).fit(pictures, 0, RunContext()), recipe)
    state = torch.randn(3, 3 * patch**2, 16 // patch, 16 // patch, generator=torch.Generator().manual_seed(0))
    for time in (0, 20, 49):
        expected = exact(state, torch.tensor(time)).sample.float()
        torch.testing.assert_close(net(state, torch.tensor(time)).sample, expected, rtol=1e-3, atol=2e-3)


def test_half_precision_reaches_the_network_only_and_not_the_closed_form(pictures: np.ndarray):
    net = net_of(changed(UNTRAINED, closed_form="local").fit(pictures, 0, RunContext()))
    state = torch.randn(3, 48, 4, 4, generator=torch.Generator().manual_seed(0))
    plain = net(state, torch.tensor(0)).sample
    with torch.autocast("cpu", torch.bfloat16):
        torch.testing.assert_close(net(state, torch.tensor(0)).sample, plain, rtol=0, atol=0)


def test_the_closed_form_makes_the_error_that_it_expects(pictures: np.ndarray):
    net = net_of(changed(UNTRAINED, prediction="sample").fit(pictures, 0, RunContext()))
    for time in (5, 25, 45):
        made, expected = images_error(net, pictures, time)
        assert made == pytest.approx(expected, rel=0.1)


def test_training_improves_on_the_gaussian_where_images_are_not_gaussian(
    pictures: np.ndarray, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr("imagelab.generators.patch_net.COMPONENTS", 8)
    recipe = changed(RECIPE, prediction="sample", images_seen=9000, learning_rate=3e-3, batch=16, channels=(16, 32))
    net = net_of(recipe.fit(pictures, 0, RunContext()))
    made, expected = images_error(net, pictures, 25)
    assert made < 0.9 * expected


def test_prediction_changes_the_words_and_not_the_training_under_a_weighting(pictures: np.ndarray):
    drawn = [
        changed(RECIPE, prediction=said, sampler="ddim").fit(pictures, 0, RunContext()).sample(SEEDS)
        for said in ("sample", "epsilon", "v_prediction")
    ]
    for other in drawn[1:]:
        assert np.abs(drawn[0].astype(int) - other).mean() < 0.5


@pytest.mark.parametrize(
    "change",
    [
        {"channels": (8, 8)},
        {"blocks": 2},
        {"attention": False},
        {"weighting": "velocity"},
        {"patch": 2},
        {"closed_form": "local"},
    ],
)
def test_every_setting_of_the_net_changes_what_is_drawn(change: dict[str, Any], pictures: np.ndarray):
    usual = RECIPE.fit(pictures, 0, RunContext()).sample(SEEDS)
    assert (usual != changed(RECIPE, **change).fit(pictures, 0, RunContext()).sample(SEEDS)).any()


@pytest.mark.parametrize("closed_form", ["white", "local"])
def test_a_saved_net_keeps_its_closed_form_and_draws_the_same_bytes(
    tmp_path: Path, pictures: np.ndarray, closed_form: str
):
    recipe = changed(RECIPE, closed_form=closed_form)
    model = recipe.fit(pictures, 0, RunContext())
    model.save(tmp_path)
    again = recipe.load(tmp_path, RunContext())
    torch.testing.assert_close(net_of(again).state_dict(), net_of(model).state_dict(), rtol=0, atol=0)
    np.testing.assert_array_equal(again.sample(SEEDS), model.sample(SEEDS))
    other = changed(RECIPE, closed_form="local" if closed_form == "white" else "white")
    with pytest.raises(ValueError, match="PatchNet"):
        other.load(tmp_path, RunContext())


def test_an_interrupted_training_resumes_to_the_same_bytes(tmp_path: Path, pictures: np.ndarray):
    from imagelab.generators import Interrupted

    asked = iter([False] * 3 + [True])
    context = RunContext(checkpoint=tmp_path / "checkpoint.safetensors", should_stop=lambda: next(asked, False))
    with pytest.raises(Interrupted):
        RECIPE.fit(pictures, 0, context)
    resumed = RECIPE.fit(pictures, 0, RunContext(checkpoint=context.checkpoint))
    whole = RECIPE.fit(pictures, 0, RunContext())
    torch.testing.assert_close(net_of(resumed).state_dict(), net_of(whole).state_dict(), rtol=0, atol=0)


def test_a_warm_start_copies_the_weights_and_the_closed_form_they_were_trained_with(pictures: np.ndarray):
    trained = RECIPE.fit(pictures, 0, RunContext())
    others = np.ascontiguousarray(pictures[:, :, ::-1])
    begun = UNTRAINED.fit(others, 1, RunContext(), start=trained)
    torch.testing.assert_close(net_of(begun).state_dict(), net_of(trained).state_dict(), rtol=0, atol=0)


def test_the_untrained_control_is_labelled_and_its_output_is_zero_with_patch_1(pictures: np.ndarray):
    assert "untrained" in UNTRAINED.label and "untrained" not in RECIPE.label
    model = changed(UNTRAINED, patch=1, weighting="none").fit(pictures, 0, RunContext())
    assert isinstance(model, DdpmModel)
    answer: Any = model.net(torch.randn(2, 3, 16, 16), torch.tensor(7))
    assert (answer.sample == 0).all()


def test_few_images_and_equal_ones_have_a_closed_form_too(pictures: np.ndarray):
    for images in (pictures[:1], pictures[:3], np.repeat(pictures[:1], 5, 0)):
        assert UNTRAINED.fit(images, 0, RunContext()).sample(SEEDS).shape == (8, 3, 16, 16)
    many = np.random.default_rng(0).integers(0, 256, (COMPONENTS + 9, 3, 16, 16), np.uint8)
    assert len(net_of(UNTRAINED.fit(many, 0, RunContext())).variances) == COMPONENTS


def test_the_prediction_of_an_image_does_not_depend_on_the_other_images_of_the_batch(pictures: np.ndarray):
    net = net_of(RECIPE.fit(pictures, 0, RunContext()))
    state, times = torch.randn(4, 48, 4, 4, generator=torch.Generator().manual_seed(0)), torch.tensor([3, 10, 30, 45])
    together = net(state, times).sample
    alone = torch.cat([net(state[i : i + 1], times[i]).sample for i in range(4)])
    torch.testing.assert_close(together, alone, rtol=1e-4, atol=1e-5)


def test_a_weight_by_the_closed_form_without_one_is_refused():
    with pytest.raises(ValueError, match="patch of 2 or more"):
        Ddpm(weighting="gaussian")


def local(pictures: np.ndarray, monkeypatch: pytest.MonkeyPatch, **settings: Any) -> PatchNet:
    monkeypatch.setattr("imagelab.generators.patch_net.COMPONENTS", 8)
    recipe = changed(UNTRAINED, closed_form="local", prediction="sample", **settings)
    return net_of(recipe.fit(pictures, 0, RunContext()))


@pytest.mark.parametrize(("channels", "patch"), [(3, 4), (3, 2), (1, 4)])
def test_the_basis_of_a_patch_is_orthonormal_and_its_first_value_is_the_mean(channels: int, patch: int):
    basis = patch_basis(channels, patch)
    torch.testing.assert_close(basis @ basis.T, torch.eye(channels * patch**2), rtol=0, atol=1e-6)
    grey = torch.ones(channels * patch**2)
    torch.testing.assert_close((basis @ grey)[1:], torch.zeros(len(grey) - 1), rtol=0, atol=1e-6)


def test_a_local_closed_form_knows_the_variance_of_every_value(pictures: np.ndarray, monkeypatch: pytest.MonkeyPatch):
    net = local(pictures, monkeypatch)
    values = net.rotate(functional.pixel_unshuffle(torch.from_numpy(pictures).float() / 127.5 - 1, 4))
    values = values.permute(0, 2, 3, 1).flatten(1).double()
    whole = net.rest + net.variances @ net.axes.square()
    torch.testing.assert_close(whole.double(), values.var(0, correction=0), rtol=0.02, atol=1e-4)


def test_a_local_closed_form_makes_the_error_that_it_expects_and_a_smaller_one(
    pictures: np.ndarray, monkeypatch: pytest.MonkeyPatch
):
    flat = pictures.copy()
    flat[:, :, :8] = 128  # half of every image has no detail
    net, white = local(flat, monkeypatch), net_of(changed(UNTRAINED, prediction="sample").fit(flat, 0, RunContext()))
    for time in (0, 3):
        made, expected = images_error(net, flat, time)
        assert made == pytest.approx(expected, rel=0.1)
        assert made < 0.75 * images_error(white, flat, time)[0]


def test_a_local_net_reads_values_of_variance_one_at_every_noise_level(
    pictures: np.ndarray, monkeypatch: pytest.MonkeyPatch
):
    net = local(pictures, monkeypatch)
    read: list[torch.Tensor] = []
    net.enter.register_forward_pre_hook(lambda module, given: read.append(given[0]))
    clean = functional.pixel_unshuffle(torch.from_numpy(pictures).float() / 127.5 - 1, 4)
    noise = torch.randn(clean.shape, generator=torch.Generator().manual_seed(0))
    for time in (2, 20, 45):
        a = net.kept[time]
        net(a.sqrt() * clean + (1 - a).sqrt() * noise, torch.tensor(time))
        state, _, left = read[-1].chunk(3, 1)
        assert float(state.square().mean()) == pytest.approx(1, rel=0.1)
        assert float(left.square().mean()) == pytest.approx(1, rel=0.15)


def test_a_local_closed_form_without_patches_is_refused():
    with pytest.raises(ValueError, match='closed_form "local": expected a patch of 2 or more'):
        Ddpm(closed_form="local")


@pytest.mark.parametrize("closed_form", ["white", "local"])
def test_the_closed_form_of_mirrored_images_has_no_side(closed_form: str, pictures: np.ndarray):
    tilted = np.ascontiguousarray(pictures // 2 + np.arange(0, 112, 7, dtype=np.uint8))
    means = []
    for mirror in (True, False):
        net = net_of(changed(UNTRAINED, mirror=mirror, closed_form=closed_form).fit(tilted, 0, RunContext()))
        means.append(functional.pixel_shuffle(net.rotate(net._fold(net.mean[None]), back=True), 4))
    torch.testing.assert_close(means[0], means[0].flip(3), rtol=0, atol=1e-5)
    assert (means[1] - means[1].flip(3)).abs().max() > 0.3
