"""The VAE: priors that match the codes they are fitted to, decoder noise, and copies at both ends of ``smoothing``."""

from __future__ import annotations

import copy
import dataclasses
from pathlib import Path

import numpy as np
import pytest
import torch

from imagelab.generators import RunContext, TrainRecord, Vae, kernels, training, vae
from imagelab.generators.vae import VaeModel
from imagelab.seeds import image_seeds, rng_at

RECIPE = Vae(latent=6, details=2, width=8, images_seen=800, batch=16, crop=16, neighbours=5)
SEEDS = image_seeds(1, "sample", 1, 0, range(3000))


@pytest.fixture(scope="module")
def model(pictures: np.ndarray) -> VaeModel:
    return RECIPE.fit(pictures, 0, RunContext())


def with_settings(model: VaeModel, **change: object) -> VaeModel:
    return dataclasses.replace(model, recipe=model.recipe.model_copy(update=change))


def moments(codes: torch.Tensor) -> tuple[np.ndarray, np.ndarray]:
    flat = codes.flatten(1).double()
    return flat.mean(0).numpy(), torch.cov(flat.T, correction=0).numpy()


def test_the_fitted_prior_has_the_mean_and_covariance_of_the_aggregate_posterior(model: VaeModel):
    z, c = with_settings(model, prior="fitted").codes(SEEDS)
    for drawn, bank, deviation in (
        (z, model.net.bank_z, model.net.spread),
        (c, model.net.bank_c, model.net.bank_spread),
    ):
        mean, covariance = moments(drawn)
        wanted_mean, of_means = moments(bank)
        wanted = of_means + np.diag(deviation.flatten().double().numpy() ** 2)
        deviations = np.sqrt(np.diag(wanted))
        np.testing.assert_allclose((mean - wanted_mean) / deviations, 0, atol=4 / 3000**0.5)
        np.testing.assert_allclose((covariance - wanted) / np.outer(deviations, deviations), 0, atol=6 / 3000**0.5)


def test_the_normal_prior_is_standard_normal(model: VaeModel):
    z, c = with_settings(model, prior="normal").codes(SEEDS)
    for drawn in (z, c):
        assert abs(float(drawn.mean())) < 0.03
        assert float(drawn.var()) == pytest.approx(1.0, abs=0.05)


def test_the_local_prior_keeps_the_total_variance_at_any_smoothing(model: VaeModel):
    wanted = float(model.net.bank_z.var(0, correction=0).sum() + model.net.spread.square().sum())
    for smoothing in (0.0, 0.5, 1.0):
        z, _ = with_settings(model, prior="local", smoothing=smoothing, neighbours=60).codes(SEEDS)
        assert float(z.var(0).sum()) == pytest.approx(wanted, rel=0.1)


def test_without_smoothing_the_local_prior_resamples_the_codes_of_the_training_images(model: VaeModel):
    near, mixed = (with_settings(model, prior="local", smoothing=s).codes(SEEDS[:400])[0] for s in (0.0, 1.0))
    distance = [float(torch.cdist(z, model.net.bank_z).min(1).values.mean()) for z in (near, mixed)]
    # a drawn code differs from the code of a training image only by the noise of the posterior
    assert distance[0] <= float(model.net.spread.square().sum()) ** 0.5
    assert distance[1] > 1.5 * distance[0]


def test_recombined_details_are_those_of_one_neighbour_each_as_likely_on_a_mixed_outline(model: VaeModel):
    silent = with_settings(model, prior="recombined", noise_scale=1.0)
    z, c = silent.codes(SEEDS)
    mixed, _ = with_settings(model, prior="local").codes(SEEDS)
    torch.testing.assert_close(z, mixed)  # the outline is that of the local prior
    noise = silent._noise(SEEDS, model.net.bank_spread.shape, 1) * model.net.bank_spread
    distances = torch.cdist((c - noise).flatten(1), model.net.bank_c.flatten(1))
    assert float(distances.min(1).values.max()) < 1e-2 * float(distances.mean())
    parents = [int(rng_at(int(seed), "parent").integers(len(model.net.bank_z))) for seed in SEEDS]
    near = model._neighbours(parents)
    place = (near == distances.argmin(1)[:, None]).double()
    assert bool((place.sum(1) == 1).all())
    shares = place.mean(0).numpy()
    np.testing.assert_allclose(shares, 1 / near.shape[1], atol=4 * (0.2 * 0.8 / len(SEEDS)) ** 0.5)


def test_recombined_details_keep_the_contrast_that_a_mixture_loses(model: VaeModel):
    net = copy.deepcopy(model.net)
    places = net.bank_c[0].numel()
    dots = torch.eye(places)[torch.arange(len(net.bank_z)) % places]  # one spot in each map, elsewhere in the next
    net.hold(net.bank_z, dots.reshape(net.bank_c.shape), torch.zeros_like(net.bank_spread))
    spotted = dataclasses.replace(model, net=net)
    strongest = {
        prior: float(with_settings(spotted, prior=prior, neighbours=16).codes(SEEDS[:400])[1].amax((1, 2, 3)).mean())
        for prior in ("local", "recombined")
    }
    assert strongest["recombined"] == pytest.approx(1.0)
    assert strongest["local"] < 0.8


def test_decoder_noise_raises_the_fine_band_by_the_noise_it_states(model: VaeModel):
    seeds = SEEDS[:400]
    plain, noisy = (with_settings(model, decoder_noise=flag).sample(seeds).astype(float) for flag in (False, True))

    def fine(images: np.ndarray) -> float:
        return float(np.diff(np.diff(images, axis=2), axis=3).var())

    stated = 4 * float(model.net.noise_deviation().square().mean()) * 127.5**2
    assert fine(noisy) - fine(plain) == pytest.approx(stated, rel=0.25)
    assert stated > 0.2 * fine(plain)


def test_the_upper_level_is_the_ppca_optimum(model: VaeModel, pictures: np.ndarray):
    signed = torch.from_numpy(pictures).double().flatten(1) / 127.5 - 1
    centred = signed - signed.mean(0)
    variances = torch.linalg.svdvals(centred).square() / len(pictures)
    residual = variances[6:].sum() / (768 - 6)
    np.testing.assert_allclose(model.net.axes.double().square().sum(1), variances[:6] - residual, rtol=1e-3)
    np.testing.assert_allclose(model.net.spread.double().square(), residual / variances[:6], rtol=1e-3)


def test_the_untrained_control_is_the_closed_form_and_says_so(pictures: np.ndarray):
    control = RECIPE.model_copy(update={"images_seen": 0, "prior": "normal"})
    assert (control.label, RECIPE.model_copy(update={"images_seen": 1}).label) == ("VAE, untrained", "VAE, local prior")
    model = control.fit(pictures, 0, RunContext())
    z, c = model.codes(SEEDS[:50])
    outline = (model.net.mean + z @ model.net.axes).unflatten(1, pictures.shape[1:])
    torch.testing.assert_close(model.net.decode(z, c), outline)
    signed = torch.from_numpy(pictures).double().flatten(1) / 127.5 - 1
    variances = torch.linalg.svdvals(signed - signed.mean(0)).square() / len(pictures)
    left_open = float(variances[6:].sum()) / (768 - 6)
    np.testing.assert_allclose(model.net.noise_deviation().square(), left_open, rtol=1e-3)


def test_a_training_of_no_length_writes_no_record_and_of_some_length_learns(pictures: np.ndarray):
    records: list[TrainRecord] = []
    control = RECIPE.model_copy(update={"images_seen": 0}).fit(pictures, 0, RunContext(on_record=records.append))
    assert records == []
    trained = RECIPE.model_copy(update={"images_seen": 2400}).fit(pictures, 0, RunContext())

    def error(model: VaeModel) -> float:
        return float(((model.reconstruct(pictures).astype(float) - pictures) ** 2).mean())

    assert error(trained) < 0.9 * error(control)


def test_the_optimiser_that_is_asked_for_trains(pictures: np.ndarray):
    for name, kept in (("adam", "exp_avg"), ("muon", "momentum")):
        recipe = RECIPE.model_copy(update={"optimiser": name})
        net = recipe.blank(pictures, 0)
        _, plan = recipe.training(net, 16)
        optimiser = training._optimiser(net, plan)
        torch.stack([parameter.square().sum() for parameter in net.parameters()]).sum().backward()
        optimiser.step()
        assert kept in optimiser.state[net.unfold.weight], name


def test_the_optimiser_is_written_only_where_it_is_not_adam():
    assert "optimiser" not in RECIPE.model_dump()  # so that older experiments keep their names
    assert RECIPE.model_copy(update={"optimiser": "muon"}).model_dump()["optimiser"] == "muon"


def test_less_beta_copies_more_faithfully(pictures: np.ndarray):
    def error(beta: float) -> float:
        recipe = RECIPE.model_copy(update={"beta": beta, "images_seen": 2400})
        copies = recipe.fit(pictures, 0, RunContext()).reconstruct(pictures)
        return float(((copies.astype(float) - pictures) ** 2).mean())

    assert error(0.01) < 0.9 * error(20.0)


def test_copying_images_that_do_not_suit_is_refused(model: VaeModel):
    with pytest.raises(ValueError, match="got 12 x 12"):
        model.reconstruct(np.zeros((2, 3, 12, 12), np.uint8))


def test_equal_images_are_learned_without_a_division_by_zero(pictures: np.ndarray):
    same = np.repeat(pictures[:1], 5, 0)
    made = RECIPE.model_copy(update={"images_seen": 2400}).fit(same, 0, RunContext()).sample(SEEDS[:20])
    assert np.abs(made.astype(float) - same[0]).mean() < 8


def test_a_code_longer_than_the_image_is_cut(pictures: np.ndarray):
    grey = np.concatenate([pictures] * 6)[:, :1]
    model = RECIPE.model_copy(update={"latent": 300, "images_seen": 32}).fit(grey, 0, RunContext())
    assert model.net.spread.shape == (256,)


def test_a_model_with_the_normal_prior_keeps_no_codes_and_loads(tmp_path: Path, pictures: np.ndarray):
    recipe = RECIPE.model_copy(update={"prior": "normal", "images_seen": 32})
    model = recipe.fit(pictures, 0, RunContext())
    model.save(tmp_path)
    assert len(model.net.bank_z) == 0
    np.testing.assert_array_equal(recipe.load(tmp_path, RunContext()).sample(SEEDS[:3]), model.sample(SEEDS[:3]))


def test_an_untrained_control_has_the_noise_of_its_own_images_after_a_warm_start(pictures: np.ndarray):
    untrained = RECIPE.model_copy(update={"images_seen": 0})
    before, flat = untrained.fit(pictures, 0, RunContext()), pictures // 4 + 96
    from_scratch, warm = (untrained.fit(flat, 0, RunContext(), start) for start in (None, before))
    assert float(before.net.variance.mean()) > 2 * float(warm.net.variance.mean())
    torch.testing.assert_close(warm.net.variance, from_scratch.net.variance)


def test_z_has_fewer_numbers_than_the_images_that_its_closed_form_is_solved_from(
    pictures: np.ndarray, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(vae, "BANK", 8)
    many = RECIPE.model_copy(update={"latent": 30, "images_seen": 0}).fit(pictures[:12], 0, RunContext())
    assert len(many.net.shrink) == 7


def test_codes_that_are_kept_are_computed_without_tf32(
    model: VaeModel, pictures: np.ndarray, monkeypatch: pytest.MonkeyPatch
):
    seen: list[bool] = []
    encode = type(model.net).encode
    monkeypatch.setattr(kernels, "is_cuda", lambda device: True)  # so that the flags are set on this machine
    monkeypatch.setattr(
        type(model.net),
        "encode",
        lambda net, images: seen.append(torch.backends.cudnn.allow_tf32) or encode(net, images),
    )
    before = torch.backends.cudnn.allow_tf32
    vae.keep_codes(copy.deepcopy(model.net), pictures[:4], RunContext())
    assert before and seen == [False] and torch.backends.cudnn.allow_tf32
