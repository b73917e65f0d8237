from __future__ import annotations

import gzip
import os
import struct
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from numpy.testing import assert_array_equal

from imagelab.data.idx import MNIST, FashionMNIST
from imagelab.io import untrusted


def raw(path: Path) -> np.ndarray:
    return np.frombuffer(path.read_bytes()[16:], np.uint8).reshape(-1, 28, 28)


def test_pictures_come_through_to_the_byte_inside_a_black_frame(built: dict[str, Path]) -> None:
    sample = MNIST(path=built["mnist"]).load("train", 9, 0)
    truth = raw(built["mnist"] / "train-images-idx3-ubyte")
    assert sample.images.shape == (9, 3, 32, 32)
    for name, image in zip(sample.sources, sample.images, strict=True):
        for channel in image:
            assert_array_equal(channel, np.pad(truth[int(name.split(":")[1])], 2))


def test_the_frame_can_be_left_out(built: dict[str, Path]) -> None:
    bare = MNIST(path=built["mnist"], size=28, frame=0).load("heldout", 5, 0)
    truth = raw(built["mnist"] / "t10k-images-idx3-ubyte")
    assert_array_equal(bare.images[:, 0], truth[[int(name.split(":")[1]) for name in bare.sources]])


def test_labels_get_their_words_and_gzip_is_read_alike(built: dict[str, Path]) -> None:
    digits = MNIST(path=built["mnist"]).load("train", 9, 0)
    clothes = FashionMNIST(path=built["fashion_mnist"]).load("train", 9, 0)
    assert set(digits.attributes) == {f"class/{i}" for i in range(9)}
    assert {"class/dress", "class/ankle boot", "class/bag"} - set(clothes.attributes) == {"class/ankle boot"}
    rows = [name.endswith(":3") for name in clothes.sources]
    assert_array_equal(clothes.attributes["class/dress"], rows)


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda b: b[:-1], "its header announces 7056 bytes .9 x 28 x 28., 7055 follow"),
        (lambda b: b + b"x", "more follow"),
        (lambda b: struct.pack(">I", 2049) + b[4:], "expected the magic number 2051, got 2049"),
        (lambda b: b[:7], "got 7 bytes"),
        (lambda b: b"", "got 0 bytes"),
        (lambda b: b[:4] + b"\xff" * 12 + b[16:], "the file is damaged"),
    ],
)
@pytest.mark.parametrize("packed", [False, True])
def test_a_file_that_is_not_whole_is_refused_by_name(
    fake: Callable[[str], Path], damage: Callable[[bytes], bytes], message: str, packed: bool
) -> None:
    root = fake("mnist")
    path = root / "train-images-idx3-ubyte"
    content = damage(path.read_bytes())
    path.unlink()
    path = root / f"{path.name}.gz" if packed else path
    path.write_bytes(gzip.compress(content) if packed else content)
    with pytest.raises(ValueError, match=rf"train-images-idx3-ubyte.*{message}"):
        MNIST(path=root).available(0)


def test_damaged_gzip_and_labels_of_another_set_are_refused(fake: Callable[[str], Path]) -> None:
    root = fake("fashion_mnist")
    path = root / "t10k-images-idx3-ubyte.gz"
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(ValueError, match=r"t10k-images-idx3-ubyte\.gz: cannot be read"):
        FashionMNIST(path=root).available(0)
    path.write_bytes(whole)
    labels = root / "train-labels-idx1-ubyte.gz"
    labels.write_bytes(gzip.compress(struct.pack(">2I", 2049, 4) + bytes(4)))
    with pytest.raises(ValueError, match="4 labels for 9 pictures"):
        FashionMNIST(path=root).available(0)
    labels.unlink()
    with pytest.raises(ValueError, match=r"train-labels-idx1-ubyte: cannot be opened"):
        FashionMNIST(path=root).available(0)


def test_a_gzip_file_that_unpacks_to_more_than_the_limit_is_refused(
    fake: Callable[[str], Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    root = fake("fashion_mnist")
    path = root / "train-images-idx3-ubyte.gz"
    path.write_bytes(gzip.compress(struct.pack(">4I", 2051, 1000, 28, 28) + bytes(784_000)))
    monkeypatch.setattr(untrusted, "ANY_RATIO", 10_000)
    with pytest.raises(ValueError, match=rf"{path.name}: .*would unpack to 0.000784 GB, more than the limit"):
        FashionMNIST(path=root).available(0)


def test_parts_of_different_sides_are_refused(fake: Callable[[str], Path]) -> None:
    root = fake("mnist")
    (root / "t10k-images-idx3-ubyte").write_bytes(struct.pack(">4I", 2051, 5, 14, 14) + bytes(range(196)) * 5)
    with pytest.raises(ValueError, match="pictures of 14 x 14 and 28 x 28"):
        MNIST(path=root).available(0)


def test_a_pipe_is_refused_at_once(fake: Callable[[str], Path]) -> None:
    root = fake("mnist")
    (root / "train-images-idx3-ubyte").unlink()
    os.mkfifo(root / "train-images-idx3-ubyte")
    with pytest.raises(ValueError, match="train-images-idx3-ubyte: is a named pipe"):
        MNIST(path=root).available(0)
