"""Our metrics against the field's own packages, on the same features and images.

Each package is imported inside its test, because some read settings or use the network when they are imported.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from imagelab.images import to_signed
from imagelab.metrics.frechet import frechet_distance
from imagelab.metrics.kernel import kernel_distance
from imagelab.metrics.perceptual import lpips_phi
from imagelab.metrics.prdc import NAMES, prdc_of

Sets = tuple[np.ndarray, np.ndarray]
Moments = tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]

pytestmark = pytest.mark.filterwarnings("ignore:.*weight.*:UserWarning")  # torchvision, about how lpips calls it


@pytest.fixture
def sets(rng) -> Sets:
    """Two sets of correlated features, with fewer dimensions than points."""
    mixing = rng.standard_normal((24, 24)) / 5
    return rng.standard_normal((150, 24)) @ mixing, 0.2 + rng.standard_t(6, (150, 24)) @ mixing


@pytest.fixture
def moments(sets) -> Moments:
    (mean, covariance), (other_mean, other) = ((x.mean(0), np.cov(x, rowvar=False)) for x in sets)
    return mean, covariance, other_mean, other


def pytorch_fid(moments: Moments) -> float:
    from pytorch_fid.fid_score import calculate_frechet_distance

    return float(calculate_frechet_distance(*moments))


def clean_fid(moments: Moments) -> float:
    from cleanfid.fid import frechet_distance as distance

    return float(distance(*moments))


def torch_fidelity(moments: Moments) -> float:
    from torch_fidelity.metric_fid import KEY_METRIC_FID, fid_statistics_to_metric

    one, other = ({"mu": mu, "sigma": sigma} for mu, sigma in (moments[:2], moments[2:]))
    return fid_statistics_to_metric(one, other, verbose=False)[KEY_METRIC_FID]


def torchmetrics(moments: Moments) -> float:
    from torchmetrics.image.fid import _compute_fid

    return float(_compute_fid(*(torch.from_numpy(each) for each in moments)))


FRECHET = (pytorch_fid, clean_fid, torch_fidelity, torchmetrics)


@pytest.mark.parametrize("package", FRECHET, ids=lambda package: package.__name__)
def test_the_frechet_distance_is_that_of_every_package(package, sets, moments):
    assert frechet_distance(*sets) == pytest.approx(package(moments), rel=1e-10)


@pytest.mark.parametrize("package", FRECHET, ids=lambda package: package.__name__)
def test_with_fewer_images_than_dimensions_our_distance_is_more_accurate(package, rng):
    x = rng.standard_normal((40, 60))
    covariance = np.cov(x, rowvar=False)
    theirs = package((x.mean(0), covariance, x.mean(0), covariance))
    assert abs(frechet_distance(x, x)) < 1e-12
    assert abs(theirs) < 1e-4  # a root of a singular product: 1e-16 of rounding becomes 1e-8 a dimension, or more


def clean_fid_kid(real: np.ndarray, fake: np.ndarray) -> float:
    from cleanfid.fid import kernel_distance as distance

    return distance(real, fake, num_subsets=1, max_subset_size=len(real))


def torch_fidelity_kid(real: np.ndarray, fake: np.ndarray) -> float:
    from torch_fidelity.metric_kid import KEY_METRIC_KID_MEAN, kid_features_to_metric

    whole: dict[str, Any] = {"kid_subsets": 1, "kid_subset_size": len(real), "verbose": False}
    return kid_features_to_metric(torch.from_numpy(real), torch.from_numpy(fake), **whole)[KEY_METRIC_KID_MEAN]


def torchmetrics_kid(real: np.ndarray, fake: np.ndarray) -> float:
    from torchmetrics.image.kid import poly_mmd

    return float(poly_mmd(torch.from_numpy(real), torch.from_numpy(fake)))


@pytest.mark.parametrize("package", [clean_fid_kid, torch_fidelity_kid, torchmetrics_kid], ids=lambda p: p.__name__)
def test_the_kernel_distance_is_that_of_every_package_on_the_whole_set(package, sets):
    # the packages' subset of all images is a shuffle; a difference of sums of about 1 in float64 is left
    assert kernel_distance(*sets)[0] == pytest.approx(package(*sets), abs=1e-13)


@pytest.mark.parametrize("k", [1, 5])
def test_precision_recall_density_and_coverage_are_those_of_their_authors(k, sets, capsys):
    from prdc import compute_prdc

    for real, fake in (sets, (sets[0], sets[1][:70]), (sets[0], sets[0])):
        theirs = compute_prdc(real, fake, nearest_k=k)
        assert prdc_of(real, fake, k) == pytest.approx([theirs[name] for name in NAMES], rel=1e-12)


@pytest.fixture(scope="module")
def networks() -> Any:
    """Return net name -> the lpips package's network, its published heads on a random trunk, in float64."""
    import lpips

    def build(net: str) -> Any:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            return lpips.LPIPS(net=net, pnet_rand=True, verbose=False).requires_grad_(False).double()

    return build


@pytest.mark.parametrize(
    ("net", "size", "dimensions"), [("alex", 32, 3_490), ("vgg", 32, 124_928), ("squeeze", 32, 20_297)]
)
def test_the_embedding_is_lpips_in_each_of_its_three_nets(net, size, dimensions, networks, pictures):
    model = networks(net)
    left, right = (to_signed(torch.from_numpy(pictures(2, size, seed=seed))).double() for seed in (1, 2))
    phi = lpips_phi(model, left), lpips_phi(model, right)
    torch.testing.assert_close(((phi[0] - phi[1]) ** 2).sum(1), model(left, right).flatten(), rtol=0, atol=1e-14)
    assert phi[0].shape[1] == dimensions  # channels whose head is zero are left out


def test_the_embedding_is_torchmetrics_lpips_too(networks, pictures):
    from torchmetrics.functional.image.lpips import _LPIPS

    ours, theirs = networks("alex"), _LPIPS(pretrained=True, net="alex", pnet_rand=True).double()
    theirs.net.load_state_dict(ours.net.state_dict())
    left, right = (to_signed(torch.from_numpy(pictures(3, 64, seed=seed))).double() for seed in (1, 2))
    expected = theirs(left, right).flatten()
    found = ((lpips_phi(ours, left) - lpips_phi(ours, right)) ** 2).sum(1)
    # torchmetrics takes the root of |f|^2 + 1e-8 where lpips adds 1e-10 to the length
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=0)
