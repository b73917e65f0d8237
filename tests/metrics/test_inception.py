from __future__ import annotations

import numpy as np
import pytest
import torch
from torch.nn import functional
from torchvision.models import Inception3

from imagelab.metrics.inception import enlarge_to, inception
from imagelab.metrics.weights import WeightsMissing


@pytest.fixture(scope="module")
def weights_file(tmp_path_factory):
    """Random Inception weights in the format of the official file, with batch statistics that differ by channel."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        net = Inception3(num_classes=1008, aux_logits=False, init_weights=False)
        for name, value in net.state_dict().items():
            if name.endswith("bn.weight"):
                value.uniform_(0.8, 2.2)
            if name.endswith("bn.bias"):
                value.normal_(0, 0.3)
    path = tmp_path_factory.mktemp("inception") / "weights.pth"
    state = {name: value for name, value in net.state_dict().items() if not name.endswith("num_batches_tracked")}
    torch.save(state, path)
    return path


def test_enlarging_reads_pixel_i_at_i_times_the_ratio():
    ramp = torch.arange(8.0)[None, None, None].expand(1, 1, 8, 8)
    row = enlarge_to(ramp, 16)[0, 0, 0]
    expected = torch.arange(16) / 2
    expected[-1] = 7.0  # beyond the last pixel: that pixel
    torch.testing.assert_close(row, expected)
    torch.testing.assert_close(enlarge_to(ramp.mT, 16)[0, 0, :, 0], expected)


def test_enlarging_to_the_same_size_changes_nothing_and_shrinking_skips():
    image = torch.rand(2, 3, 12, 12, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(enlarge_to(image, 12), image)
    torch.testing.assert_close(enlarge_to(image, 6), image[:, :, ::2, ::2])


@pytest.fixture(scope="module")
def extractor(weights_file):
    return inception("cpu", weights_file)


def test_features_are_2048_averages_for_any_size_and_for_grey(extractor, pictures):
    grey = torch.from_numpy(pictures(2, 24, channels=1))
    with torch.inference_mode():
        found = extractor(grey)
        torch.testing.assert_close(found, extractor(grey.repeat(1, 3, 1, 1)))
    assert found.shape == (2, 2048) and bool((found >= 0).all()) and float(found.std()) > 0.01


def test_pooling_excludes_the_padding_and_the_last_block_uses_the_maximum(weights_file, pictures):
    """Build the two pooling branches by hand and compare what reaches their convolutions."""
    from imagelab.metrics import inception as module

    net = module._network(torch.load(weights_file, weights_only=True), weights_file)
    seen: dict[str, tuple[torch.Tensor, torch.Tensor]] = {}
    for name in ("Mixed_5b", "Mixed_6b", "Mixed_7b", "Mixed_7c"):
        block = getattr(net, name)
        whole: list[torch.Tensor] = []
        block.register_forward_pre_hook(lambda _m, inputs, whole=whole: whole.append(inputs[0]))
        block.branch_pool.register_forward_pre_hook(
            lambda _m, inputs, whole=whole, name=name: seen.update({name: (whole[0], inputs[0])})
        )
    with torch.inference_mode():
        net(torch.rand(1, 3, 299, 299, generator=torch.Generator().manual_seed(0)))
    for name, (before, after) in seen.items():
        if name == "Mixed_7c":
            expected = functional.max_pool2d(before, 3, 1, 1)
        else:
            ones = torch.ones_like(before[:, :1])
            total = functional.avg_pool2d(before, 3, 1, 1, divisor_override=1)
            expected = total / functional.avg_pool2d(ones, 3, 1, 1, divisor_override=1)
        torch.testing.assert_close(after, expected)
    assert len(seen) == 4


def test_a_file_of_other_weights_is_refused(tmp_path):
    torch.save({"conv1.weight": torch.zeros(1)}, tmp_path / "other.pth")
    with pytest.raises(ValueError, match="not the weights of inception-2015-12-05"):
        inception("cpu", tmp_path / "other.pth")


def test_without_weights_the_file_is_named():
    with pytest.raises(WeightsMissing, match="pt_inception-2015-12-05-6726825d"):
        inception("cpu")


def test_loading_leaves_the_global_random_state_alone(weights_file):
    before = torch.random.get_rng_state()
    inception("cpu", weights_file)
    np.testing.assert_array_equal(torch.random.get_rng_state().numpy(), before.numpy())


@pytest.mark.parametrize("size", [64, 299, 350])
def test_torch_fidelity_reads_the_same_features_from_the_same_file(weights_file, extractor, pictures, size):
    from torch_fidelity.feature_extractor_inceptionv3 import FeatureExtractorInceptionV3

    theirs = FeatureExtractorInceptionV3("inception-v3-compat", ["2048"], feature_extractor_weights_path=weights_file)
    images = torch.from_numpy(pictures(2, size))
    with torch.inference_mode():
        (expected,) = theirs(images)
        found = extractor(images)
    torch.testing.assert_close(found, expected, rtol=1e-3, atol=1e-4 * float(expected.abs().max()))
    assert float(found.std()) > 0.01
