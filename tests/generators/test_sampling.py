"""Publishing in batches: no image is lost or repeated, and the batch shrinks if the device memory is full."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from imagelab.generators import RunContext
from imagelab.generators.sampling import block_size, publish, publish_in_batches


def numbered(items: np.ndarray) -> torch.Tensor:
    levels = torch.from_numpy(items.astype(np.float32))
    return (levels / 127.5 - 1)[:, None, None, None].expand(-1, 3, 2, 2)


@pytest.mark.parametrize("batch", [1, 3, 7, 100])
def test_every_item_is_published_once_and_in_order(batch: int):
    images = publish_in_batches(numbered, np.arange(7), batch)
    assert images.dtype == np.uint8 and images.shape == (7, 3, 2, 2)
    np.testing.assert_array_equal(images[:, 0, 0, 0], np.arange(7))


def test_a_network_on_the_cpu_gets_blocks_of_one_size_whatever_the_batch():
    made = {}
    for batch in (1, 5, 128, 256):
        sizes: list[int] = []

        def make(items: np.ndarray, sizes: list[int] = sizes) -> torch.Tensor:
            sizes.append(len(items))
            return numbered(items)

        made[batch] = publish(make, np.arange(150), RunContext(batch=batch), 64 * 64)
        assert sizes == [64, 64, 64]
        np.testing.assert_array_equal(made[batch][:, 0, 0, 0], np.arange(150))


def test_large_images_come_in_smaller_blocks_and_one_image_fills_a_block_alone():
    assert [block_size(side**2) for side in (16, 128, 129, 256, 1024, 4096)] == [64, 64, 63, 16, 1, 1]
    (image,) = publish(numbered, np.arange(7, 8), RunContext(), 16)
    assert (image == 7).all()


def test_a_full_device_halves_the_batch_and_continues_at_the_same_image():
    sizes = []

    def make(items: np.ndarray) -> torch.Tensor:
        sizes.append(len(items))
        if len(items) > 2:
            raise torch.cuda.OutOfMemoryError("full")
        return numbered(items)

    images = publish_in_batches(make, np.arange(5), 8)
    assert sizes == [5, 4, 2, 2, 1]
    np.testing.assert_array_equal(images[:, 0, 0, 0], np.arange(5))


def test_a_device_too_small_for_one_image_raises_its_error():
    def make(items: np.ndarray) -> torch.Tensor:
        raise torch.cuda.OutOfMemoryError("full")

    with pytest.raises(torch.cuda.OutOfMemoryError):
        publish_in_batches(make, np.arange(5), 2)


def test_a_diverged_model_publishes_nothing():
    with pytest.raises(ValueError, match="NaN"):
        publish_in_batches(lambda items: numbered(items) * float("nan"), np.arange(2), 2)


@pytest.mark.parametrize(("items", "batch"), [(0, 4), (4, 0)])
def test_an_empty_order_is_refused(items: int, batch: int):
    with pytest.raises(ValueError, match="at least"):
        publish_in_batches(numbered, np.arange(items), batch)
