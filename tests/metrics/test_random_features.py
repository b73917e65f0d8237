from __future__ import annotations

import numpy as np
import pytest
import torch

from imagelab.metrics.base import NotMeasurable
from imagelab.metrics.random_features import LAYERS, digest, layers, statistics, weights


def test_the_weights_have_the_recorded_digests():
    """If these digests change, the feature space has changed: increase features.VERSION and document it."""
    assert [digest(seed)[:8] for seed in range(3)] == ["0e59e778", "148f59bf", "73e4b2cf"]


def test_weights_keep_the_scale_of_a_signal():
    for weight, (into, out, kernel) in zip(weights(0), LAYERS, strict=True):
        assert weight.shape == (out, into, kernel, kernel)
        assert np.var(weight) * into * kernel**2 / 2 == pytest.approx(1.0, abs=0.15)


def test_twelve_filters_of_the_first_layer_ignore_flat_colour_and_four_do_not():
    sums = weights(0)[0].sum(axis=(2, 3))
    assert np.abs(sums[:12]).max() < 1e-6 and np.abs(sums[12:]).min(axis=1).max() > 0.1


@pytest.mark.parametrize("size", [16, 17, 64, 256])
def test_every_size_gives_the_same_number_of_features(size, pictures):
    images = torch.from_numpy(pictures(2, size))
    assert [tuple(each.shape[2:]) for each in layers(images, 0)] == [(-(-size // s), -(-size // s)) for s in (2, 4, 8)]
    found = statistics(images, 0)
    assert found.shape == (2, 224) and found.dtype == torch.float32 and bool(found.isfinite().all())


def test_features_are_means_and_spreads_of_the_layers(pictures):
    images = torch.from_numpy(pictures(3, 32))
    first = layers(images, 0)[0]
    found = statistics(images, 0)
    torch.testing.assert_close(found[:, :16], first.mean((2, 3)))
    torch.testing.assert_close(found[:, 16:32], first.std((2, 3), correction=0))


def test_grey_is_read_as_three_equal_channels(pictures):
    grey = torch.from_numpy(pictures(3, 32, channels=1))
    torch.testing.assert_close(statistics(grey, 0), statistics(grey.repeat(1, 3, 1, 1), 0))


def test_the_seed_makes_another_net_and_the_batch_makes_no_difference(pictures):
    images = torch.from_numpy(pictures(5, 32))
    assert not torch.allclose(statistics(images, 0), statistics(images, 1))
    # float32 sums in another order: a few units in the last place
    torch.testing.assert_close(statistics(images, 0)[3:4], statistics(images[3:4], 0), rtol=1e-5, atol=1e-6)


def test_images_below_16_px_are_refused(pictures):
    with pytest.raises(NotMeasurable, match="at least 16 px"):
        layers(torch.from_numpy(pictures(2, 15)), 0)
