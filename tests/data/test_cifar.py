from __future__ import annotations

import pickle
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from numpy.testing import assert_array_equal

from imagelab.data.cifar import CIFAR10
from imagelab.io.untrusted import QUOTED


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


PIXELS = np.zeros((1, 3072), np.uint8)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        # hex(hex(...)) doubles a text with every step; only latin1 is needed
        (b"\x80\x02c_codecs\nencode\nX\x01\x00\x00\x00aX\x03\x00\x00\x00hex\x86R.", "cannot be turned into bytes"),
        # one text of 1,000 letters, turned into bytes 100 times
        (
            b"\x80\x02]q\x00(X\xe8\x03\x00\x00" + b"a" * 1000 + b"q\x01"
            b"c_codecs\nencode\nq\x02h\x01X\x06\x00\x00\x00latin1q\x03\x86R" + b"h\x02h\x01h\x03\x86R" * 100 + b"e.",
            "cannot be turned into bytes",
        ),
        (b"\x80\x02Nr\xff\xff\xff\x7f.", "steps or places"),  # a memory of 2 billion places
        (b"\x80\x02" + b"N" * 1_000_001 + b".", "steps or places"),
        (b"\x80\x02cnumpy\nndarray\nJ\x00\x00\x00\x7f\x85R.", "refused"),  # an array of 2 billion values
        (b"\x80\x02cnumpy\nload\n.", "asks for numpy.load"),
        (b"\x80\x04\x8c\x05numpy\x8c\x10ndarray.__init__\x93.", "asks for numpy.ndarray.__init__"),
        (b"c" + b"x" * 9999 + b"\ny\n.", "asks for x"),
        (pickle.dumps({b"data": PIXELS.astype(np.int64), b"labels": [0]}, protocol=2), "an array of uint8, got i8"),
        (pickle.dumps({b"data": PIXELS, b"labels": ["0"]}, protocol=2), "expected whole numbers in 'labels', got str"),
        (pickle.dumps({b"data": PIXELS, b"labels": [None]}, protocol=2), "expected whole numbers in 'labels'"),
    ],
    ids=range(11),
)
def test_a_pickle_that_asks_for_more_than_it_holds_is_refused(
    fake: Callable[[str], Path], content: bytes, message: str
) -> None:
    root = fake("cifar10")
    (root / "cifar-10-batches-py" / "data_batch_2").write_bytes(content)
    with pytest.raises(ValueError, match=f"data_batch_2: .*{message}") as caught:
        CIFAR10(path=root).available(0)
    assert len(str(caught.value)) < QUOTED + len(str(root)) + 60


@pytest.mark.parametrize("names", [[5], [None], ["x" * 500], "airplane", None, [["airplane"]]])
def test_names_of_classes_that_are_no_names_are_refused(fake: Callable[[str], Path], names: object) -> None:
    root = fake("cifar10")
    (root / "cifar-10-batches-py" / "batches.meta").write_bytes(pickle.dumps({b"label_names": names}))
    with pytest.raises(ValueError, match=r"batches\.meta: expected .*label_names"):
        CIFAR10(path=root).available(0)


def test_names_of_classes_may_be_text(fake: Callable[[str], Path]) -> None:
    root = fake("cifar10")
    (root / "cifar-10-batches-py" / "batches.meta").write_bytes(pickle.dumps({"label_names": ["airplane", "frog"]}))
    assert set(CIFAR10(path=root).load("heldout", 3, 0).attributes) == {"class/airplane", "class/frog"}


def test_a_missing_batch_is_named(fake: Callable[[str], Path]) -> None:
    root = fake("cifar10")
    (root / "cifar-10-batches-py" / "data_batch_4").unlink()
    with pytest.raises(ValueError, match="data_batch_4: cannot be opened"):
        CIFAR10(path=root).available(0)
