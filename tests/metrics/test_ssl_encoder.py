from __future__ import annotations

import hashlib
import itertools
import json
from functools import cache

import numpy as np
import pytest
import torch

from imagelab.data import Faces, Sample
from imagelab.metrics.base import Evidence, ImageSet, NotMeasurable
from imagelab.metrics.degradations import blurred, noised
from imagelab.metrics.features import CONTROLS, feature_pair
from imagelab.metrics.frechet import frechet_distance
from imagelab.metrics.perceptual import embed
from imagelab.metrics.ssl_encoder import DIGEST, NAME, PATH, digest, layers, read_trunk, statistics, weights

CARD = PATH.with_suffix(".json")


def test_the_shipped_file_has_the_recorded_digest():
    """If this digest changes, the feature space has changed: give it another name."""
    assert digest() == DIGEST == hashlib.sha256(PATH.read_bytes()).hexdigest()
    assert 1e6 < PATH.stat().st_size < 5e6
    assert all(array.dtype == np.float32 and np.isfinite(array).all() for array in weights().values())


def test_the_card_describes_this_file():
    card = json.loads(CARD.read_text())
    assert card["sha256"] == DIGEST and card["name"] == NAME
    assert card["ladder"] and card["training"]


def test_a_damaged_or_missing_file_is_refused_by_name(tmp_path):
    content = bytearray(PATH.read_bytes())
    content[len(content) // 2] ^= 1
    path = tmp_path / "bent.safetensors"
    path.write_bytes(bytes(content))
    with pytest.raises(ValueError, match=rf"bent\.safetensors: expected SHA-256 {DIGEST[:8]}"):
        read_trunk(path, DIGEST)
    with pytest.raises(ValueError, match=r"gone\.safetensors: cannot read"):
        read_trunk(tmp_path / "gone.safetensors", DIGEST)


@pytest.mark.parametrize("size", [16, 17, 64, 256])
def test_every_size_gives_the_same_number_of_features(size, pictures):
    images = torch.from_numpy(pictures(2, size))
    sides = [tuple(each.shape[2:]) for each in layers(images)]
    assert sides == [(-(-size // s), -(-size // s)) for s in (2, 2, 4, 8, 16)]
    found = statistics(images)
    assert found.shape == (2, 128) and found.dtype == torch.float32 and bool(found.isfinite().all())


def test_the_first_features_are_means_and_spreads_of_the_first_layer(pictures):
    images = torch.from_numpy(pictures(3, 32))
    first = layers(images)[0]
    wide = first.shape[1]
    found = statistics(images)
    torch.testing.assert_close(found[:, :wide], first.mean((2, 3)))
    torch.testing.assert_close(found[:, wide : 2 * wide], (first.var((2, 3), correction=0) + 1e-5).sqrt())


def test_grey_is_read_as_three_equal_channels(pictures):
    grey = torch.from_numpy(pictures(3, 32, channels=1))
    torch.testing.assert_close(statistics(grey), statistics(grey.repeat(1, 3, 1, 1)))


def test_the_batch_makes_no_difference(pictures):
    images = torch.from_numpy(pictures(5, 32))
    # float32 sums in another order
    torch.testing.assert_close(statistics(images)[3:4], statistics(images[3:4]), rtol=1e-4, atol=1e-4)


def test_images_below_16_px_are_refused(pictures):
    with pytest.raises(NotMeasurable, match="at least 16 px"):
        layers(torch.from_numpy(pictures(2, 15)))


@cache
def faces(n: int, seed: int) -> Sample:
    return Faces(size=64, freckle_rate=0.6, cache=False).load("heldout", n, seed)


@cache
def reference() -> ImageSet:
    """Return 300 other faces, which keep their features."""
    return ImageSet(faces(300, 811_990).images)


def distance(fake: np.ndarray, space: str = NAME) -> float:
    """Return the distance of pictures from 300 other faces."""
    return frechet_distance(*feature_pair(Evidence(reference(), ImageSet(fake)), space))


def test_each_kind_of_lost_detail_is_detected_and_half_of_it_less():
    real = faces(300, 811_991)
    assert real.twins is not None
    made, rng = real.images, np.random.default_rng(0)
    null = distance(made)
    steps = {
        "blur": [blurred(made, 0.5), blurred(made, 0.75)],
        "noise": [noised(made, 0.02, rng), noised(made, 0.04, rng)],
        "freckles": [np.concatenate([real.twins[:150], made[150:]]), real.twins],
    }
    for name, (half, full) in steps.items():
        weaker, stronger = distance(half) / null, distance(full) / null
        assert 1.3 < weaker < stronger and stronger > 4, name


def test_freckles_alone_are_detected_here_and_not_in_random_features():
    real = faces(300, 811_991)
    assert real.twins is not None
    seen, *unseen = (distance(real.twins, space) / distance(real.images, space) for space in (NAME, *CONTROLS))
    assert seen > 4 and max(unseen) < 1.2


def test_a_set_without_its_freckled_faces_is_detected():
    real = faces(300, 811_991)
    left = real.images[~real.attributes["freckled"]]
    assert distance(left) > 3 * distance(real.images[: len(left)])


def test_every_resolution_counts_the_same_in_the_perceptual_distance(pictures):
    images = pictures(3, 64)
    phi = torch.cat(list(embed(images, NAME)))
    ends = np.cumsum([0] + [each[0].numel() for each in layers(torch.from_numpy(images))[1:]])
    assert phi.shape == (3, ends[-1])
    for first, last in itertools.pairwise(ends.tolist()):
        torch.testing.assert_close((phi[:, first:last] ** 2).sum(1), torch.full((3,), 1 / 4), rtol=1e-3, atol=0)
