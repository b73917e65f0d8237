"""Features of an image do not depend on the images that are read with it: feature spaces, probes, the counter."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor
from torchvision.models import Inception3

from imagelab.data import Faces
from imagelab.metrics import clip, dinov2, inception
from imagelab.metrics.attribute_probes import scores, shipped_probes
from imagelab.metrics.blocks import in_blocks
from imagelab.metrics.features import SPACES, full_precision
from imagelab.metrics.freckles import count_freckles

BATCHES = (1, 5, 128, 256)
Extractor = Callable[[Tensor], Tensor]


@pytest.fixture(scope="module")
def faces() -> np.ndarray:
    return Faces(size=64).load("train", 300, 0).images


def of_small_weights(name: str, folder: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[Extractor, int]:
    """The extractor of a space whose weights are not on every machine, with random weights; how many images suffice."""
    path = folder / "weights.pth"
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        if name == dinov2.NAME:
            form = dinov2.Form(width=24, depth=2, heads=4)
            torch.save({key: 0.3 * torch.randn(shape) for key, shape in form.tensors().items()}, path)
            return dinov2.dinov2("cpu", path, form), 40
        if name.startswith("clip-"):
            tower = clip.ClipForm(name, side=32, patch=8, width=24, depth=2, heads=4, inner=40, out=12)
            save_file({key: 0.3 * torch.randn(shape) for key, shape in tower.tensors().items()}, path)
            return clip.clip_extractor("cpu", tower, path), 40
        assert name == inception.NAME, f"{name}: give this test weights for it"
        net = Inception3(num_classes=1008, aux_logits=False, init_weights=False)
    state = net.state_dict()
    torch.save({key: value for key, value in state.items() if not key.endswith("num_batches_tracked")}, path)
    monkeypatch.setattr(inception, "BATCH", 4)  # a network for 299 px: as few images as possible
    return inception.inception("cpu", path), 5


@pytest.mark.parametrize("name", SPACES)
def test_the_batch_changes_no_byte_of_the_features(
    name: str, faces: np.ndarray, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    extractor, count = (
        of_small_weights(name, tmp_path, monkeypatch) if SPACES[name].needs else (SPACES[name].extractor("cpu"), 300)
    )
    images = torch.from_numpy(faces[:count])
    with full_precision():
        whole = extractor(images)
        assert whole.std() > 0
        for batch in [each for each in BATCHES if each <= count]:
            few = images[: 30 * batch]
            assert torch.equal(torch.cat([extractor(part) for part in few.split(batch)]), whole[: len(few)])


@pytest.mark.parametrize("batch", BATCHES)
def test_the_batch_changes_no_byte_of_the_probes_and_no_count_of_freckles(batch: int, faces: np.ndarray):
    probes = shipped_probes(64)
    parts = [faces[first : first + batch] for first in range(0, len(faces), batch)]
    np.testing.assert_array_equal(np.concatenate([scores(part, probes) for part in parts]), scores(faces, probes))
    few = faces[: min(64, 12 * batch)]  # the counter is slow
    parts = [few[first : first + batch] for first in range(0, len(few), batch)]
    spots = [rows for part in parts for rows in count_freckles(part)]
    for found, expected in zip(spots, count_freckles(few), strict=True):
        np.testing.assert_array_equal(found, expected)


def test_a_network_reads_blocks_of_one_size_and_each_row_once():
    sizes: list[int] = []

    def network(block: Tensor) -> Tensor:
        sizes.append(len(block))
        return block * 2

    for count in (1, 4, 5, 11):
        values = torch.arange(count)[:, None]
        assert torch.equal(in_blocks(network, values, 4), values * 2)
    assert set(sizes) == {4} and len(sizes) == 1 + 1 + 2 + 3
