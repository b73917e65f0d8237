"""Every setting of every recipe has its effect: another value gives other images, and arrives where it is used."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch

from imagelab.generators import GENERATORS, Ddpm, Generator, RunContext, TrainRecord, Vae, training, vae
from imagelab.generators.cascade import coarse_loss, follow, mirrored, octave_loss
from imagelab.generators.cascade_net import shrink
from imagelab.generators.ddpm import some_of
from imagelab.generators.training import Plan
from imagelab.generators.vae_net import VaeNet
from imagelab.images import to_signed
from imagelab.seeds import image_seeds, rng_at

SEEDS = image_seeds(0, "sample", 1, 0, range(6))

NESTED: dict[str, dict[str, Any]] = {
    "vae": {"kind": "vae", "latent": 4, "details": 2, "width": 8, "images_seen": 24, "batch": 8, "crop": 8},
    "ddpm": {"kind": "ddpm", "channels": (8,), "blocks": 1, "attention": False, "patch": 4, "images_seen": 16}
    | {"batch": 8, "noise_steps": 20, "steps": 2},
}
FIRST_STAGE = {**NESTED["vae"], "prior": "normal"}
BASE: dict[str, dict[str, Any]] = {
    "gaussian": {"components": 5},
    "vae": {"latent": 4, "details": 2, "width": 8, "images_seen": 48, "batch": 8, "crop": 8, "neighbours": 4},
    "ddpm": {"channels": (8, 16), "blocks": 1, "images_seen": 24, "batch": 8, "noise_steps": 500, "steps": 4},
    "cascade": {
        "coarse_side": 4,
        "components": 6,
        "width": 16,
        "blocks": 1,
        "detail_widths": (8, 16),
        "images_seen": 24,
        "coarse_share": 2,
        "batch": 8,
        "coarse_batch": 16,
        "crop": 8,
        "steps": 3,
        "coarse_steps": 3,
    },
    "latent_diffusion": {
        "first_stage": FIRST_STAGE,
        "images_seen": 24,
        "upper_share": 2,
        "batch": 8,
        "upper_batch": 16,
        "width": 16,
        "blocks": 1,
        "detail_widths": (8, 16),
        "steps": 3,
    },
    "neon": {"base": NESTED["vae"], "samples": 8, "share": 0.5},
    "self_guided": {"base": NESTED["ddpm"], "samples": 8, "share": 0.5},
}
"""Small recipes, trained for three steps or six."""

OTHER: dict[str, dict[str, dict[str, Any]]] = {
    "gaussian": {
        "components": {"components": 3},
        "noise": {"noise": False},
        "unbiased": {"unbiased": True},
        "noise_scale": {"noise_scale": 0.8},
    },
    "vae": {
        "latent": {"latent": 3},
        "details": {"details": 3},
        "width": {"width": 16},
        "images_seen": {"images_seen": 56},
        "batch": {"batch": 6},
        "optimiser": {"optimiser": "muon"},
        "learning_rate": {"learning_rate": 1e-3},
        "crop": {"crop": 16},
        "ema": {"ema": 0.1},
        "beta": {"beta": 2.0},
        "decoder_noise": {"decoder_noise": True},
        "prior": {"prior": "fitted"},
        "neighbours": {"neighbours": 9},
        "smoothing": {"smoothing": 0.4},
        "noise_scale": {"noise_scale": 0.8},
    },
    "ddpm": {
        "channels": {"channels": (8, 8)},
        "blocks": {"blocks": 2},
        "attention": {"attention": False},
        "patch": {"patch": 2},
        "closed_form": {"patch": 2, "closed_form": "local"},  # against the same patch: test_patch_net.py
        "images_seen": {"images_seen": 32},
        "batch": {"batch": 6},
        "learning_rate": {"learning_rate": 3e-3},
        "ema": {"ema": 0.1},
        "prediction": {"prediction": "epsilon"},
        "weighting": {"weighting": "min_snr"},
        "levels": {"levels": "detail"},
        "mirror": {"mirror": True},
        "noise_steps": {"noise_steps": 30},
        "schedule": {"schedule": "linear"},
        "sampler": {"sampler": "ddim"},
        "steps": {"steps": 5},
        "spacing": {"spacing": "karras"},
        "noise_scale": {"noise_scale": 0.8},
    },
    "cascade": {
        "coarse_side": {"coarse_side": 8},
        "components": {"components": 5},
        "width": {"width": 24},
        "blocks": {"blocks": 2},
        "detail_widths": {"detail_widths": (8, 8)},
        "images_seen": {"images_seen": 32},
        "coarse_share": {"coarse_share": 3},
        "batch": {"batch": 6},
        "coarse_batch": {"coarse_batch": 12},
        "learning_rate": {"learning_rate": 5e-2},
        "ema": {"ema": 0.1},
        "crop": {"crop": 16},
        "mirror": {"mirror": False},
        "augment": {"augment": 0.5},
        "solver": {"solver": "euler"},
        "steps": {"steps": 4},
        "coarse_steps": {"coarse_steps": 4},
        "noise_scale": {"noise_scale": 0.8},
    },
    "latent_diffusion": {
        "first_stage": {"first_stage": {**FIRST_STAGE, "beta": 2.0}},
        "images_seen": {"images_seen": 32},
        "upper_share": {"upper_share": 3},
        "batch": {"batch": 6},
        "upper_batch": {"upper_batch": 12},
        "optimiser": {"optimiser": "adam"},
        "time_centre": {"time_centre": 1.0},
        "time_spread": {"time_spread": 0.3},
        "upper_learning_rate": {"upper_learning_rate": 0.01},
        "learning_rate": {"learning_rate": 5e-2},
        "ema": {"ema": 0.1},
        "width": {"width": 24},
        "blocks": {"blocks": 2},
        "detail_widths": {"detail_widths": (8, 8)},
        "match_variance": {"match_variance": False},
        "mirror": {"mirror": False},
        "solver": {"solver": "euler"},
        "steps": {"steps": 4},
        "noise_scale": {"noise_scale": 0.8},
    },
    "neon": {
        "base": {"base": {**NESTED["vae"], "beta": 2.0}},
        "weight": {"weight": 3.0},
        "samples": {"samples": 6},
        "share": {"share": 1.0},
        "rate": {"rate": 1.0},
    },
    "self_guided": {
        "base": {"base": {**NESTED["ddpm"], "noise_scale": 0.8}},
        "weight": {"weight": 3.0},
        "samples": {"samples": 6},
        "share": {"share": 1.0},
        "rate": {"rate": 1.0},
    },
}
"""Another value for every setting."""


def recipe_of(kind: str, **change: Any) -> Generator:
    found: Any = GENERATORS[kind](**{**BASE[kind], **change})
    return found


def drawn(recipe: Generator, images: np.ndarray) -> np.ndarray:
    """Samples before they are rounded to bytes, as what a small setting does may be less than half a grey level."""
    model: Any = recipe.fit(images, 3, RunContext())
    return model._draw(SEEDS).detach().numpy()


@pytest.fixture(scope="module")
def usual(pictures: np.ndarray) -> Callable[[str], np.ndarray]:
    known: dict[str, np.ndarray] = {}

    def of(kind: str) -> np.ndarray:
        if kind not in known:
            known[kind] = drawn(recipe_of(kind), pictures)
        return known[kind]

    return of


def test_no_setting_is_left_out_of_the_list():
    for kind, recipe in GENERATORS.items():
        if kind in ("command", "pipeline"):  # of somebody else: test_command.py, test_pipeline.py
            continue
        # first_stage_trained concerns the model before: test_latent.py
        assert set(OTHER[kind]) == set(recipe.model_fields) - {"kind", "first_stage_trained"}


@pytest.mark.parametrize("kind", BASE)
def test_the_same_settings_give_the_same_images(kind: str, usual: Callable[[str], np.ndarray], pictures: np.ndarray):
    np.testing.assert_array_equal(drawn(recipe_of(kind), pictures), usual(kind))


@pytest.mark.parametrize(("kind", "name"), [(kind, name) for kind, names in OTHER.items() for name in names])
def test_another_value_of_any_setting_gives_other_images(
    kind: str, name: str, usual: Callable[[str], np.ndarray], pictures: np.ndarray
):
    other = drawn(recipe_of(kind, **OTHER[kind][name]), pictures)
    assert np.abs(other - usual(kind)).max() > 1e-6


# -- where the settings arrive


@pytest.fixture
def plans(monkeypatch: pytest.MonkeyPatch) -> list[Plan]:
    """The plan of every training that is begun in a test."""
    begun: list[Plan] = []
    train = training.train

    def record(net: Any, loss: Any, images: Any, plan: Plan, *rest: Any) -> Any:
        begun.append(plan)
        return train(net, loss, images, plan, *rest)

    monkeypatch.setattr(training, "train", record)
    return begun


@pytest.mark.parametrize("kind", ["vae", "ddpm"])
def test_a_net_is_trained_as_long_and_as_fast_as_its_recipe_says(kind: str, plans: list[Plan], pictures: np.ndarray):
    recipe_of(kind, images_seen=20, batch=7, learning_rate=0.0123, ema=0.321).fit(pictures, 0, RunContext())
    assert plans == [Plan(20, 7, 0.0123, warm_up=0.05, decay=0.5, ema=0.321, clip=1.0)]


def test_the_coarse_stage_reads_more_images_in_larger_batches_at_half_the_rate(plans: list[Plan], pictures: np.ndarray):
    records: list[TrainRecord] = []
    settings = {"images_seen": 20, "batch": 7, "learning_rate": 0.0122, "ema": 0.321, "coarse_share": 3}
    recipe_of("cascade", **settings, coarse_batch=11).fit(pictures, 0, RunContext(on_record=records.append))
    octave = Plan(20, 7, 0.0122, warm_up=0.05, decay=0.5, ema=0.321, clip=1.0)
    assert plans == [Plan(60, 11, 0.0061, warm_up=0.05, decay=0.5, ema=0.321, clip=1.0), octave, octave]
    assert records[-1].images_seen == records[-1].images_total == 100


@pytest.mark.parametrize(("solver", "asked"), [("euler", 5), ("heun", 10)])
def test_the_coarse_stage_is_solved_by_heun_and_the_details_as_the_recipe_says(
    solver: str, asked: int, pictures: np.ndarray
):
    model: Any = recipe_of("cascade", images_seen=0, solver=solver, steps=5, coarse_steps=3).fit(
        pictures, 0, RunContext()
    )
    calls = [calls_of(part) for part in (model.net.coarse, *model.net.octaves)]
    model.sample(SEEDS)
    assert [len(each) for each in calls] == [6, asked, asked]


def test_both_rules_have_the_order_that_they_state():
    def growth(state: torch.Tensor, time: torch.Tensor) -> torch.Tensor:
        return state  # from t = 1 to t = 0 a state x becomes x / e

    start = torch.ones(1, dtype=torch.float64)
    for steps in (4, 9):
        h = 1 / steps
        assert float(follow(growth, start, steps, False)) == pytest.approx((1 - h) ** steps)
        assert float(follow(growth, start, steps, True)) == pytest.approx((1 - h + h * h / 2) ** steps)


def test_attention_is_there_where_it_is_asked_for_and_nowhere_else(pictures: np.ndarray):
    for attention in (False, True):
        model: Any = recipe_of("ddpm", images_seen=0, attention=attention).fit(pictures, 0, RunContext())
        found = [
            name.partition(".")[0] for name, part in model.net.named_modules() if type(part).__name__ == "Attention"
        ]
        assert sorted(set(found)) == (["down_blocks", "mid_block", "up_blocks"] if attention else [])
        levels = list(model.net.config.down_block_types)
        assert levels == ["DownBlock2D", "AttnDownBlock2D" if attention else "DownBlock2D"]


# -- the constants of the losses


def known_vae() -> Any:
    """A VAE whose codes are the same everywhere and whose decoder adds nothing: its loss can be worked out by hand."""
    torch.manual_seed(0)
    net: Any = VaeNet(16, 1, 2, 3, 8)
    with torch.no_grad():
        net.unfold.weight.zero_()
        net.unfold.bias.zero_()
        net.code.weight.zero_()
        net.code.bias[:3], net.code.bias[3:] = 0.7, -0.4
    net.spread.zero_()
    net.variance.fill_(0.01)
    return net


@pytest.mark.parametrize("beta", [0.0, 0.1, 2.0])
def test_the_loss_of_the_vae_is_the_one_it_states(beta: float):
    net = known_vae()
    images = torch.rand((5, 1, 16, 16), generator=torch.Generator().manual_seed(1)) * 2 - 1
    value, parts = vae.detail_loss(net, 16, beta)(images, torch.Generator().manual_seed(2))
    squares = images.double() ** 2  # the outline is 0 everywhere
    variance = 0.95 * 0.01 + 0.05 * squares.mean(0)
    expected = variance + 0.02**2
    likelihood = 0.5 * (squares / expected + expected.log()).mean()
    divergence = 0.5 * (0.7**2 + math.exp(-0.4) - 1 + 0.4) * 3 / 16  # three numbers for 16 values
    assert float(value.detach()) == pytest.approx(float(likelihood) + beta * divergence, rel=1e-5)
    assert float(parts["divergence"]) == pytest.approx(divergence, rel=1e-5)
    assert float(parts["error"]) == pytest.approx(float(squares.mean()), rel=1e-5)
    torch.testing.assert_close(net.noise_deviation(), variance.sqrt().float())


@pytest.mark.parametrize(("crop", "places"), [(8, 4), (12, 9), (16, 16), (64, 16)])
def test_a_training_step_reads_a_crop_of_the_side_that_was_asked_for(crop: int, places: int):
    net, images = known_vae(), torch.ones((2, 1, 16, 16))
    vae.detail_loss(net, crop, 0.1)(images, torch.Generator().manual_seed(3))
    assert int((net.variance[0] != 0.01).sum()) == places


def test_no_more_than_4096_codes_are_kept_and_they_are_drawn_at_random():
    images = np.random.default_rng(0).integers(0, 256, (4100, 1, 16, 16), np.uint8)
    model: Any = Vae(latent=2, details=1, width=8, images_seen=0).fit(images, 5, RunContext())
    kept = np.sort(rng_at(5, "bank").permutation(4100)[:4096])
    assert len(model.net.bank_z) == 4096
    codes = model.net.encode_upper(to_signed(torch.from_numpy(images[kept[-50:]])))
    torch.testing.assert_close(model.net.bank_z[-50:], codes, rtol=1e-3, atol=1e-3)


def small_cascade(pictures: np.ndarray) -> Any:
    model: Any = recipe_of("cascade", images_seen=0).fit(pictures, 0, RunContext())
    return model.net


def calls_of(part: torch.nn.Module) -> list[tuple[Any, ...]]:
    """What a net is called with, call by call."""
    calls: list[tuple[Any, ...]] = []
    part.register_forward_pre_hook(lambda module, given: calls.append(given))
    return calls


def test_times_are_logistic_normal_with_the_moments_of_each_stage(pictures: np.ndarray):
    net, noise = small_cascade(pictures), torch.Generator().manual_seed(0)
    coarse, octave = calls_of(net.coarse), calls_of(net.octaves[0])
    coarse_loss(net.coarse)(torch.randn(4000, len(net.coarse.deviations), generator=noise), noise)
    loss = octave_loss(net, 0, 8, True, 0.02)
    for _ in range(25):
        loss(to_signed(torch.from_numpy(pictures)), noise)
    for calls, mean, deviation in ((coarse, 0.3, 1.0), (octave, 0.2, 1.2)):
        times = torch.cat([given[1] for given in calls]).logit()
        assert float(times.mean()) == pytest.approx(mean, abs=4 * deviation / len(times) ** 0.5)
        assert float(times.std()) == pytest.approx(deviation, abs=4 * deviation / (2 * len(times)) ** 0.5)


def test_half_of_the_images_are_mirrored_and_whole_ones():
    images = torch.arange(8.0).reshape(1, 1, 1, 8).expand(2000, 1, 1, 8)
    turned = mirrored(images, torch.Generator().manual_seed(0))
    flipped = (turned == images.flip(3)).all(3).flatten()
    assert ((turned == images).all(3).flatten() ^ flipped).all()
    assert float(flipped.float().mean()) == pytest.approx(0.5, abs=0.045)


@pytest.mark.parametrize("augment", [0.0, 0.3])
def test_conditions_of_an_octave_get_noise_of_the_stated_size_in_training(
    augment: float, pictures: np.ndarray, monkeypatch: pytest.MonkeyPatch
):
    net, calls = small_cascade(pictures), []
    part, images = net.octaves[1], to_signed(torch.from_numpy(pictures))
    givens = part.givens

    def record(coarse: torch.Tensor, contrasts: torch.Tensor) -> torch.Tensor:
        calls.append((coarse, contrasts))
        return givens(coarse, contrasts)

    monkeypatch.setattr(part, "givens", record)
    loss, noise = octave_loss(net, 1, 16, False, augment), torch.Generator().manual_seed(0)
    for _ in range(20):
        loss(images, noise)
    true = shrink(images, part.grid), net.contrasts(images)
    for place, largest in ((0, augment), (1, 0.5)):
        added = torch.stack([given[place] - true[place] for given in calls])
        # of size u times the largest for each image, u uniform in 0..1, whose mean square is 1/3
        assert float(added.square().mean()) ** 0.5 == pytest.approx(largest / 3**0.5, rel=0.06, abs=1e-6)
        sizes = added.flatten(2).square().mean(2).sqrt()
        assert float(sizes.min()) <= 0.1 * largest


def test_details_of_still_pictures_are_divided_by_one_grey_level_and_no_less():
    still = np.full((6, 3, 16, 16), 90, np.uint8)
    net = small_cascade(still)
    for part in net.octaves:
        assert torch.unique(part.spread).tolist() == pytest.approx([1 / 127.5])


def test_a_still_region_has_the_logarithm_of_a_tenth_and_counts_a_quarter_beside_a_colour(pictures: np.ndarray):
    net = small_cascade(pictures)
    part = net.octaves[0]
    coarse = shrink(to_signed(torch.from_numpy(pictures[:5])), part.grid)
    usual = part.decode(torch.zeros((5, 3, part.side, part.side)), coarse)  # details of the mean: y = 0 everywhere
    contrast = part.contrast(usual, coarse)
    torch.testing.assert_close(contrast, torch.full_like(contrast, math.log(0.1)), atol=1e-4, rtol=0)
    images = to_signed(torch.from_numpy(pictures[:5]))
    described, small = net.describe(images), shrink(images, 4).flatten(1)
    torch.testing.assert_close(described[:, : small.shape[1]], small)
    torch.testing.assert_close(described[:, small.shape[1] :], 0.25 * net.contrasts(images).flatten(1))


def test_the_closed_form_under_a_patch_net_has_128_components_of_4096_images():
    images = np.random.default_rng(0).integers(0, 256, (4120, 1, 16, 16), np.uint8)
    recipe = Ddpm(channels=(8,), blocks=1, attention=False, patch=4, images_seen=0, noise_steps=20, steps=4)
    model: Any = recipe.fit(images, 0, RunContext())
    assert len(model.net.variances) == 128
    assert float(model.net.mean.mean()) == pytest.approx(some_of(images, 4096, 0).mean() / 127.5 - 1, abs=1e-5)
    assert len(some_of(images, 4096, 0)) == 4096


def test_equal_pictures_leave_the_variance_of_rounding_and_no_less():
    model: Any = Ddpm(channels=(8,), blocks=1, attention=False, patch=4, images_seen=0, noise_steps=20, steps=4).fit(
        np.full((5, 1, 16, 16), 77, np.uint8), 0, RunContext()
    )
    rounding = (1 / 127.5) ** 2 / 12
    np.testing.assert_allclose([*model.net.variances, model.net.rest], rounding, rtol=1e-5)


def test_the_residual_of_the_vae_is_scaled_to_order_one_and_back():
    net: Any = VaeNet(16, 1, 2, 3, 8)
    calls = calls_of(net.encoder)
    folded, outline = torch.full((1, 16, 4, 4), 0.3), torch.full((1, 16, 4, 4), 0.1)
    net.encode_details(folded, outline, net.places)
    torch.testing.assert_close(calls[0][0][:, :16], torch.full((1, 16, 4, 4), 8 * 0.2))
    with torch.no_grad():
        net.unfold.weight.zero_()
        net.unfold.bias.fill_(0.4)
    added = net.decode_details(outline, torch.zeros(1, 3, 4, 4), net.places) - outline
    torch.testing.assert_close(added, torch.full_like(added, 0.25 * 0.4))
