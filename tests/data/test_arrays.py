from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from numpy.testing import assert_array_equal

from imagelab.data.arrays import Arrays


@pytest.fixture
def planes() -> np.ndarray:
    return np.random.default_rng(1).integers(0, 256, (8, 3, 16, 16), np.uint8)


def rows(sources: tuple[str, ...]) -> list[int]:
    return [int(name.split(":")[1]) for name in sources]


def test_the_three_orders_of_axes_give_the_same_pictures(tmp_path: Path, planes: np.ndarray) -> None:
    grey = planes[:, 0]
    for name, array, expected in (
        ("torch.npy", planes, planes),
        ("files.npy", planes.transpose(0, 2, 3, 1), planes),
        ("grey.npy", grey, np.repeat(grey[:, None], 3, axis=1)),
        ("grey-last.npy", grey[..., None], np.repeat(grey[:, None], 3, axis=1)),
    ):
        np.save(tmp_path / name, array)
        sample = Arrays(path=tmp_path / name, size=16).load("train", 6, 0)
        assert_array_equal(sample.images, expected[rows(sample.sources)])


def test_an_order_that_can_be_read_in_two_ways_must_be_said(tmp_path: Path) -> None:
    odd = np.random.default_rng(2).integers(0, 256, (8, 3, 8, 3), np.uint8)
    np.save(tmp_path / "odd.npy", odd)
    with pytest.raises(ValueError, match=r"odd\.npy: .* can be \[N,C,H,W\] or \[N,H,W,C\]; say which with layout"):
        Arrays(path=tmp_path / "odd.npy", size=8).available(0)
    with pytest.raises(ValueError, match="too small: 3 x 8"):
        Arrays(path=tmp_path / "odd.npy", size=8, layout="nchw").available(0)
    with pytest.raises(ValueError, match="too small: 8 x 3"):
        Arrays(path=tmp_path / "odd.npy", size=8, layout="nhwc").available(0)


def test_labels_and_names_in_an_archive_are_found(tmp_path: Path, planes: np.ndarray) -> None:
    np.savez(tmp_path / "a.npz", x=planes, other=planes[::-1], y=np.array(list("aabbabab")))
    sample = Arrays(path=tmp_path / "a.npz", size=16, key="x", labels="y").load("train", 6, 0)
    assert_array_equal(sample.attributes["class/b"], np.isin(rows(sample.sources), (2, 3, 5, 7)))
    assert Arrays(path=tmp_path / "a.npz", size=16, key="x").load("train", 6, 0).attributes == {}
    with pytest.raises(
        ValueError, match="expected one array of pictures, or one called images; it holds other, x, y; name it with key"
    ):
        Arrays(path=tmp_path / "a.npz").available(0)


def test_a_runs_own_images_are_a_dataset(tmp_path: Path, planes: np.ndarray) -> None:
    np.save(tmp_path / "images.npy", planes)
    assert Arrays(path=tmp_path / "images.npy", size=16).available(0) == {"train": 6, "reserve": 0, "heldout": 2}


@pytest.mark.parametrize(
    ("array", "message"),
    [
        (np.zeros((8, 3, 16, 16), np.float32), "got float32 from 0 to 0 .*--data.white"),
        (np.zeros((8, 16, 16, 4), np.uint8), "has four channels; lay transparency over a background colour first"),
        (np.zeros((8, 16, 16, 5), np.uint8), "with C = 1 or 3"),
        (np.zeros((8, 16), np.uint8), "with C = 1 or 3"),
        (np.zeros((), np.uint8), "with C = 1 or 3"),
    ],
)
def test_other_forms_are_refused_with_what_was_expected(tmp_path: Path, array: np.ndarray, message: str) -> None:
    np.save(tmp_path / "a.npy", array)
    with pytest.raises(ValueError, match=message):
        Arrays(path=tmp_path / "a.npy").available(0)


def test_pickles_and_truncated_files_are_refused_by_name(fake: Callable[[str], Path], tmp_path: Path) -> None:
    np.save(tmp_path / "pickle.npy", np.array([{"a": 1}], dtype=object), allow_pickle=True)
    np.savez(tmp_path / "pickle.npz", images=np.array([{"a": 1}], dtype=object))
    np.save(tmp_path / "cut.npy", np.zeros((8, 3, 16, 16), np.uint8))
    (tmp_path / "cut.npy").write_bytes((tmp_path / "cut.npy").read_bytes()[:500])
    archive = fake("arrays")
    archive.write_bytes(archive.read_bytes()[:-200])
    (tmp_path / "empty.npy").write_bytes(b"")
    for path in (*(tmp_path / f"{name}" for name in ("pickle.npy", "pickle.npz", "cut.npy", "empty.npy")), archive):
        with pytest.raises(ValueError, match=f"{path.name}: not a whole {path.suffix} file"):
            Arrays(path=path).available(0)


def test_labels_of_another_length_are_refused(tmp_path: Path, planes: np.ndarray) -> None:
    np.savez(tmp_path / "a.npz", images=planes, labels=np.arange(7))
    with pytest.raises(ValueError, match=r"labels: expected one label per picture \[8\], got \(7,\)"):
        Arrays(path=tmp_path / "a.npz").available(0)


def test_pictures_that_are_all_too_small_are_refused_without_a_look_at_each(tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", np.zeros((1_000_000, 2, 2), np.uint8))
    with pytest.raises(ValueError, match=r"a\.npy: its pictures are too small: 2 x 2 pixels"):
        Arrays(path=tmp_path / "a.npy", size=16).available(0)


def test_other_numbers_are_bytes_by_a_stated_white_and_cut_to_a_stated_black(tmp_path: Path) -> None:
    values = np.random.default_rng(4).integers(0, 4096, (8, 16, 16)).astype(np.uint16)
    np.save(tmp_path / "camera.npy", values)
    sample = Arrays(path=tmp_path / "camera.npy", size=16, white=4095, channels=1).load("train", 4, 0)
    expected = np.rint(values * 255.0 / 4095)
    assert_array_equal(sample.images[:, 0], expected[rows(sample.sources)])
    with pytest.raises(ValueError, match=r"most likely 12-bit values; say which value is white: --white 4095"):
        Arrays(path=tmp_path / "camera.npy", size=16).available(0)

    np.save(tmp_path / "ct.npy", values.astype(np.float32) - 1024)
    with pytest.raises(ValueError, match=r"got float32 from -1023 to 3071 .*--data.black -1023 --data.white 3071 "):
        Arrays(path=tmp_path / "ct.npy", size=16).available(0)
    window = Arrays(path=tmp_path / "ct.npy", size=16, black=-1000, white=1000, channels=1)
    assert_array_equal(
        window.load("train", 4, 0).images[:, 0],
        np.rint((values - 1024.0 + 1000) * 255 / 2000).clip(0, 255)[rows(window.load("train", 4, 0).sources)],
    )
    cut = np.count_nonzero((values < 24) | (values > 2024))
    assert "-1000 is black and 1000 is white" in window.card() and f"8 ({cut:,} values)" in window.card()
    assert "white" not in Arrays(path=tmp_path / "x.npy").model_dump() and window.model_dump()["black"] == -1000
    with pytest.raises(ValueError, match="black: expected a number below white"):
        Arrays(path=tmp_path / "ct.npy", black=3)
