from __future__ import annotations

import pickle
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from numpy.testing import assert_array_equal

from imagelab.data.cifar import CIFAR10


class Foreign:
    """A pickle of this one would touch a file when it is opened."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self):
        return Path.touch, (self.path,)


def test_planes_and_labels_are_those_of_the_batches(built: dict[str, Path]) -> None:
    sample = CIFAR10(path=built["cifar10"]).load("heldout", 3, 0)
    truth = pickle.loads((built["cifar10"] / "cifar-10-batches-py" / "test_batch").read_bytes())
    rows = [int(name.split(":")[1]) for name in sample.sources]
    assert_array_equal(sample.images, truth[b"data"].reshape(-1, 3, 32, 32)[rows])
    assert_array_equal(sample.attributes["class/frog"], [row > 0 for row in rows])


def test_every_pickle_protocol_of_numpy_is_read(fake: Callable[[str], Path]) -> None:
    root = fake("cifar10")
    batch = {"data": np.random.default_rng(0).integers(0, 256, (3, 3072), np.uint8), "labels": [0, 1, 0]}
    for protocol in range(5):
        (root / "cifar-10-batches-py" / "test_batch").write_bytes(pickle.dumps(batch, protocol=protocol))
        sample = CIFAR10(path=root).load("heldout", 3, 0)
        rows = [int(name.split(":")[1]) for name in sample.sources]
        assert_array_equal(sample.images, batch["data"].reshape(-1, 3, 32, 32)[rows])


def test_a_pickle_with_a_foreign_class_is_refused_and_not_run(fake: Callable[[str], Path], tmp_path: Path) -> None:
    root, touched = fake("cifar10"), tmp_path / "touched"
    content = {b"data": Foreign(touched), b"labels": [0]}
    (root / "cifar-10-batches-py" / "data_batch_3").write_bytes(pickle.dumps(content))
    with pytest.raises(ValueError, match=r"data_batch_3: refused: asks for .*, which no CIFAR file needs"):
        CIFAR10(path=root).available(0)
    assert not touched.exists()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (pickle.dumps([1]), "expected a dictionary, got list"),
        (pickle.dumps({b"labels": [0]}), "expected 'data' to be an array, got NoneType"),
        (pickle.dumps({b"data": np.zeros((2, 9), np.uint8), b"labels": [0, 1]}), r"expected uint8 \[N,3072\]"),
        (pickle.dumps({b"data": np.zeros((2, 3072), np.uint8), b"labels": [0]}), "1 labels"),
        (b"\x80\x02}q", "refused"),
        (b"", "refused"),
    ],
)
def test_damaged_batches_are_refused_by_name(fake: Callable[[str], Path], content: bytes, message: str) -> None:
    root = fake("cifar10")
    (root / "cifar-10-batches-py" / "data_batch_2").write_bytes(content)
    with pytest.raises(ValueError, match=f"data_batch_2: .*{message}"):
        CIFAR10(path=root).available(0)


def test_a_missing_batch_is_named(fake: Callable[[str], Path]) -> None:
    root = fake("cifar10")
    (root / "cifar-10-batches-py" / "data_batch_4").unlink()
    with pytest.raises(ValueError, match="data_batch_4: cannot be opened"):
        CIFAR10(path=root).available(0)
