from __future__ import annotations

import hashlib
import itertools
from dataclasses import replace
from pathlib import Path
from typing import Any

import lpips
import numpy as np
import pytest
import torch
from torchvision import models

from imagelab.images import to_signed
from imagelab.metrics import perceptual
from imagelab.metrics.base import NotMeasurable
from imagelab.metrics.perceptual import (
    EMBEDDINGS,
    embed,
    lpips_diversity,
    lpips_model,
    lpips_phi,
    mean_across,
    mean_pairwise,
    nearest_images,
    pairwise,
    perceptual_diversity,
)
from imagelab.metrics.weights import WEIGHTS, WeightsMissing

pytestmark = pytest.mark.filterwarnings("ignore:.*weight.*:UserWarning")  # torchvision, about how lpips calls it


@pytest.fixture(scope="module")
def random_lpips() -> Any:
    """The lpips package's own network, its published heads on a random encoder."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return lpips.LPIPS(net="alex", pnet_rand=True, verbose=False).requires_grad_(False)


@pytest.fixture
def trunk_file(monkeypatch, tmp_path) -> Path:
    """AlexNet weights in torchvision's format, random, under a name that contains their digest."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(1)
        features = models.alexnet(weights=None).features.state_dict()
    state = {f"features.{name}": value for name, value in features.items()} | {"classifier.6.bias": torch.zeros(1000)}
    torch.save(state, tmp_path / "trunk")
    digest = hashlib.sha256((tmp_path / "trunk").read_bytes()).hexdigest()
    path = (tmp_path / "trunk").rename(tmp_path / f"alexnet-owt-{digest[:8]}.pth")
    monkeypatch.setitem(WEIGHTS, "alexnet", replace(WEIGHTS["alexnet"], files=(path.name,), sha256=digest))
    monkeypatch.setenv("IMAGELAB_WEIGHTS", str(tmp_path))
    return path


def all_pairs(images: Any, distance: Any) -> np.ndarray:
    return np.array([distance(images[i], images[j]) for i, j in itertools.combinations(range(len(images)), 2)])


@pytest.mark.parametrize("size", [32, 64])
@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float64, 1e-14), (torch.float32, 5e-7)])
def test_the_embedding_is_lpips(size, dtype, tolerance, random_lpips, pictures):
    model = random_lpips.to(dtype)
    left, right = (to_signed(torch.from_numpy(pictures(4, size, seed=s))).to(dtype) for s in (1, 2))
    ours = ((lpips_phi(model, left) - lpips_phi(model, right)) ** 2).sum(1)
    # |a - b|^2 from unit-length features of values up to 1: a handful of roundings
    torch.testing.assert_close(ours, model(left, right).flatten(), rtol=0, atol=tolerance)


def test_channels_with_a_zero_head_are_left_out(random_lpips, pictures):
    phi = lpips_phi(random_lpips.float(), to_signed(torch.from_numpy(pictures(1, 64))))
    assert phi.shape == (1, 20_762)


def test_negative_heads_are_refused(pictures):
    with torch.random.fork_rng(devices=[]):
        model = lpips.LPIPS(net="alex", pretrained=False, pnet_rand=True, verbose=False)
    with pytest.raises(ValueError, match="negative weights"):
        lpips_phi(model, to_signed(torch.from_numpy(pictures(1, 64))))


def test_lpips_is_loaded_from_local_weights(trunk_file, pictures):
    images = pictures(6, 32)
    reference = lpips_model("alex")
    torch.testing.assert_close(
        reference.net.slice3[1].weight,  # the convolution torchvision calls features.6
        torch.load(trunk_file, weights_only=True)["features.6.weight"],
    )
    signed = to_signed(torch.from_numpy(images))
    pairs = all_pairs(signed, lambda x, y: reference(x[None], y[None]).item())
    value, stderr = mean_pairwise(images, "alex")
    assert value == pytest.approx(pairs.mean(), abs=1e-6)
    assert stderr is not None and stderr > 0


def test_squeezenets_nested_trunk_fits_its_file_too(monkeypatch, tmp_path, pictures, evidence):
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(2)
        features = models.squeezenet1_1(weights=None).features.state_dict()
    torch.save({f"features.{name}": value for name, value in features.items()}, tmp_path / "trunk")
    digest = hashlib.sha256((tmp_path / "trunk").read_bytes()).hexdigest()
    path = (tmp_path / "trunk").rename(tmp_path / f"squeezenet1_1-{digest[:8]}.pth")
    monkeypatch.setitem(WEIGHTS, "squeezenet1_1", replace(WEIGHTS["squeezenet1_1"], files=(path.name,), sha256=digest))
    monkeypatch.setenv("IMAGELAB_WEIGHTS", str(tmp_path))
    images, reference = pictures(4, 32), lpips_model("squeeze")
    pairs = all_pairs(to_signed(torch.from_numpy(images)), lambda x, y: reference(x[None], y[None]).item())
    (found,) = lpips_diversity(evidence(images, images), "squeeze")
    assert found.name == "lpips_diversity/squeeze" and found.value == pytest.approx(pairs.mean(), abs=1e-6)


def test_loading_leaves_the_global_random_state_alone(trunk_file):
    before = torch.random.get_rng_state()
    lpips_model("alex")
    assert torch.equal(torch.random.get_rng_state(), before)


def test_a_trunk_with_another_digest_is_refused(trunk_file):
    trunk_file.write_bytes(trunk_file.read_bytes() + b"\0")
    with pytest.raises(ValueError, match="SHA-256"):
        lpips_model("alex")


@pytest.mark.parametrize("net", ["alex", "vgg", "squeeze"])
def test_without_weights_lpips_says_which_file_is_missing(net, pictures, evidence):
    with pytest.raises(WeightsMissing, match=r"\.pth"):
        lpips_model(net)
    (found,) = lpips_diversity(evidence(pictures(4, 64), pictures(4, 64)), net)
    assert found.name == f"lpips_diversity/{net}" and found.value is None and ".pth" in found.missing


def test_the_names_of_the_spaces_carry_the_official_digests():
    for net, file in (("alex", "alexnet"), ("vgg", "vgg16"), ("squeeze", "squeezenet1_1")):
        digest = WEIGHTS[file].files[0].removesuffix(".pth").rpartition("-")[2]
        assert EMBEDDINGS[net].label == f"lpips-{net}-v0.1@{digest}"


def test_mean_over_all_pairs_is_the_mean_over_all_pairs(pictures):
    images = pictures(150, 32)  # more than one batch
    phi = torch.cat(list(embed(images, "randconv-s0"))).double()
    upper = np.triu_indices(150, 1)
    assert mean_pairwise(images, "randconv-s0")[0] == pytest.approx(pairwise(phi, phi).numpy()[upper].mean(), rel=1e-6)


@pytest.mark.parametrize("keep", [0, 1_000_000])  # nothing, or the first of two batches
def test_a_set_too_large_to_keep_goes_through_the_net_twice(keep, pictures, monkeypatch):
    images = pictures(70, 32)
    kept = mean_pairwise(images, "randconv-s0")
    across = mean_across(images[:30], images[30:], "randconv-s0")
    monkeypatch.setattr(perceptual, "KEEP", keep)
    assert mean_pairwise(images, "randconv-s0") == pytest.approx(kept, rel=1e-12)
    assert mean_across(images[:30], images[30:], "randconv-s0") == pytest.approx(across, rel=1e-12)


def test_the_error_is_that_of_each_image_to_all_others(pictures):
    phi = torch.cat(list(embed(pictures(90, 32), "randconv-s0"))).double()
    distance = pairwise(phi, phi).sum(1).numpy() / 89
    # kept as float16, of 11 binary digits, rounded at random
    assert mean_pairwise(pictures(90, 32), "randconv-s0")[1] == pytest.approx(
        2 * distance.std(ddof=1) / 90**0.5, rel=1e-4
    )


def test_the_error_of_the_mean_is_its_spread_over_repeats(pictures):
    pool, rng = pictures(1500, 16, seed=4), np.random.default_rng(0)
    found = [mean_pairwise(pool[rng.permutation(1500)[:40]], "randconv-s0") for _ in range(100)]
    stated = np.mean([error for _, error in found if error is not None])
    assert 0.8 < np.std([value for value, _ in found]) / stated < 1.25


def test_mean_across_is_the_mean_over_pairs_of_both_sets(pictures):
    left, right = pictures(9, 32, seed=1), pictures(7, 32, seed=2)
    phis = [torch.cat(list(embed(each, "randconv-s0"))).double() for each in (left, right)]
    value, error = mean_across(left, right, "randconv-s0")
    assert value == pytest.approx(pairwise(*phis).mean().item(), rel=1e-6) and error is not None and error > 0


def test_pd_is_between_0_and_2_and_every_layer_has_the_same_weight(pictures):
    phi = torch.cat(list(embed(pictures(3, 64), "randconv-s0")))
    torch.testing.assert_close((phi**2).sum(1), torch.ones(3), rtol=1e-4, atol=0)
    ends = np.cumsum([16 * 32**2, 32 * 16**2, 64 * 8**2])
    for first, last in itertools.pairwise([0, *ends]):
        torch.testing.assert_close((phi[:, first:last] ** 2).sum(1), torch.full((3,), 1 / 3), rtol=1e-4, atol=0)


def test_copies_have_no_diversity_and_different_pictures_have(pictures, evidence):
    copies = np.repeat(pictures(1, 32), 8, axis=0)
    none: Any
    some: Any
    (none,), (some,) = (perceptual_diversity(evidence(copies, fake)) for fake in (copies, pictures(8, 32)))
    assert abs(none.value) < 1e-6
    assert 0.1 < some.value < 2 and some.stderr is not None
    assert some.feature_space.startswith("imagelab-ssl-v1@") and "lpips" not in some.name


@pytest.mark.parametrize(("n", "size", "reason"), [(1, 32, "at least 2 images"), (5, 12, "at least 16 px")])
def test_a_missing_value_has_its_reason(n, size, reason, pictures, evidence):
    (found,) = perceptual_diversity(evidence(pictures(3, size), pictures(n, size)))
    assert found.value is None and reason in found.missing


def test_two_images_have_a_distance_without_an_error(pictures):
    value, error = mean_pairwise(pictures(2, 32), "randconv-s0")
    assert value > 0 and error is None


def test_activations_that_are_not_finite_give_a_reason(pictures, monkeypatch):
    broken = replace(EMBEDDINGS["randconv-s0"], build=lambda device: lambda b: b.flatten(1).float() * float("inf"))
    monkeypatch.setitem(EMBEDDINGS, "randconv-s0", broken)
    with pytest.raises(NotMeasurable, match="NaN or infinite"):
        mean_pairwise(pictures(4, 32), "randconv-s0")


@pytest.fixture
def blocks_of_64(monkeypatch) -> None:
    monkeypatch.setattr(perceptual, "HELD", 1)


@pytest.mark.usefixtures("blocks_of_64")
def test_nearest_images_are_those_of_computing_every_pair(pictures):
    query, reference = pictures(70, 16, seed=1), pictures(130, 16, seed=2)
    query[[3, 66]] = reference[[129, 7]]
    phis = [torch.cat(list(embed(each, "randconv-s0"))).double() for each in (query, reference)]
    full = ((phis[0][:, None] - phis[1][None]) ** 2).sum(2)
    index, distance = nearest_images(query, reference, "randconv-s0", k=3)
    np.testing.assert_array_equal(index, full.argsort(1)[:, :3].numpy())
    assert distance[3, 0] == distance[66, 0] == 0.0
    np.testing.assert_allclose(distance, full.sort(1).values[:, :3].numpy(), rtol=1e-5, atol=1e-9)


@pytest.mark.usefixtures("blocks_of_64")
def test_an_image_is_no_neighbour_of_itself_but_its_copy_is(pictures):
    images = pictures(100, 16)
    images[90] = images[5]
    index, distance = nearest_images(images, images, "randconv-s0", exclude_self=True)
    assert not (index[:, 0] == np.arange(100)).any()
    assert index[[5, 90], 0].tolist() == [90, 5] and (distance == 0).sum() == 2


def test_the_error_of_the_mean_across_is_its_spread_over_repeats(pictures):
    pool, rng = pictures(1500, 16, seed=4), np.random.default_rng(0)
    orders = [rng.permutation(1500) for _ in range(100)]
    found = [mean_across(pool[order[:40]], pool[order[40:60]], "randconv-s0") for order in orders]
    stated = np.mean([error for _, error in found if error is not None])
    assert 0.8 < np.std([value for value, _ in found]) / stated < 1.25


def test_one_image_has_a_mean_across_without_an_error_and_an_empty_set_is_refused(pictures):
    value, error = mean_across(pictures(1, 32), pictures(5, 32, seed=3), "randconv-s0")
    assert value > 0 and error is None
    with pytest.raises(NotMeasurable, match="at least 1 image"):
        mean_across(pictures(1, 32)[:0], pictures(5, 32), "randconv-s0")


def test_the_mean_over_all_pairs_equals_a_loop_with_the_lpips_package(random_lpips, pictures):
    signed = to_signed(torch.from_numpy(pictures(6, 64)))
    model = random_lpips.float()
    phi = lpips_phi(model, signed)
    loop = all_pairs(signed, lambda x, y: model(x[None], y[None]).item())
    np.testing.assert_allclose(pairwise(phi, phi).numpy()[np.triu_indices(6, 1)], loop, atol=5e-7)
