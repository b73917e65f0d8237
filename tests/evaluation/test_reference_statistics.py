from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from imagelab.cli import main
from imagelab.evaluation.evaluate import measure
from imagelab.evaluation.reference_statistics import (
    Statistics,
    distance_to,
    is_statistics,
    read_statistics,
    statistics_of,
    write_statistics,
)
from imagelab.measurement import t95
from imagelab.metrics import METRICS, ImageSet
from imagelab.metrics.features import SPACES, features
from imagelab.metrics.own_network import NETWORK, add_networks

SPACE = "randconv-s0"


@pytest.fixture(scope="module")
def pictures() -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(1)
    made = rng.normal(100, 60, (80, 3, 1, 1)) + rng.normal(0, 30, (80, 3, 16, 16))
    both = made.clip(0, 255).astype(np.uint8)
    return both[:40], both[40:] // 2


@pytest.fixture
def colours(tmp_path: Path) -> Iterator[str]:
    """A feature space of three features: the mean of each channel, 0..1."""
    (tmp_path / "mean.py").write_text("def colours(images, device):\n    return images.mean((2, 3))\n")
    (tmp_path / "colours.json").write_text(json.dumps({"network": "mean.py:colours", "name": "colours"}))
    yield add_networks([tmp_path / "colours.json"])[0]
    METRICS._added.pop(NETWORK, None)
    SPACES.pop("colours", None)


def code_of(*words: object) -> int:
    with pytest.raises(SystemExit) as left:
        main([str(word) for word in words])
    return int(left.value.code or 0)


def test_a_distance_to_statistics_is_the_distance_to_the_images(
    pictures: tuple[np.ndarray, np.ndarray], tmp_path: Path, colours: str
):
    path = tmp_path / "real.npz"
    for space, name in ((SPACE, f"frechet/{SPACE}"), (colours, f"fd_network/{colours}")):
        write_statistics(path, statistics_of(ImageSet(pictures[0]), space))
        found, warning = distance_to(read_statistics(path), ImageSet(pictures[1]))
        rows = ["frechet"] if space == SPACE else [NETWORK]
        expected = measure(pictures[0], pictures[1], metrics=rows, cache=False, floor=pictures[0])[name]
        assert found.value == pytest.approx(expected.value, rel=1e-6) and warning == ""
        assert (found.feature_space, found.n_real, found.n_fake) == (expected.feature_space, 40, 40)


def test_a_file_of_ours_holds_what_other_programs_read(pictures: tuple[np.ndarray, np.ndarray], tmp_path: Path):
    np.save(tmp_path / "real.npy", pictures[0])
    out = tmp_path / "real.npz"
    assert code_of("statistics", tmp_path / "real.npy", "-o", out, "--space", SPACE, "--no-cache") == 0
    with np.load(out) as file:
        known = features(ImageSet(pictures[0]), SPACE).astype(np.float64)
        np.testing.assert_allclose(file["mu"], known.mean(0), rtol=1e-9)
        np.testing.assert_allclose(file["sigma"], np.cov(known, rowvar=False), rtol=1e-6, atol=1e-9)
        assert (int(file["n"]), str(file["space"])) == (40, SPACES[SPACE].label)


def test_the_command_measures_against_a_file_and_says_what_the_interval_holds(
    pictures: tuple[np.ndarray, np.ndarray], tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    np.save(tmp_path / "fake.npy", pictures[1])
    write_statistics(tmp_path / "real.npz", statistics_of(ImageSet(pictures[0]), SPACE))
    assert code_of("measure", tmp_path / "real.npz", tmp_path / "fake.npy", "--json", "--no-cache") == 0
    said = json.loads(capsys.readouterr().out)
    (row,) = said["measurements"]
    assert row["name"] == f"frechet/{SPACE}" and row["stderr"] > 0 and said["floors"] == []
    assert "40 real images" in said["real"] and "not other real ones" in " ".join(said["notes"])
    for words in (["--metrics", "prdc"], ["--train", tmp_path / "fake.npy"]):
        assert code_of("measure", tmp_path / "real.npz", tmp_path / "fake.npy", *words) == 2
        assert "give the Fréchet distance alone" in capsys.readouterr().err.replace("\n", " ")


def test_files_of_others_say_no_network_and_are_measured_in_the_one_that_is_named(
    pictures: tuple[np.ndarray, np.ndarray], tmp_path: Path, colours: str
):
    known = statistics_of(ImageSet(pictures[0]), colours)
    np.savez(tmp_path / "theirs.npz", mu=known.mean, sigma=known.covariance)
    torch.save(
        {"mu": torch.from_numpy(known.mean).numpy(), "sigma": known.covariance}, tmp_path / "numpy.pt"
    )  # torch-fidelity keeps NumPy arrays
    torch.save(
        {"mu": torch.from_numpy(known.mean), "sigma": torch.from_numpy(known.covariance)}, tmp_path / "tensors.pt"
    )
    ours, _ = distance_to(known, ImageSet(pictures[1]))
    for name in ("theirs.npz", "numpy.pt", "tensors.pt"):
        theirs = read_statistics(tmp_path / name)
        with pytest.raises(ValueError, match=r"does not say which network.*--space NAME"):
            distance_to(theirs, ImageSet(pictures[1]))
        found, warning = distance_to(theirs, ImageSet(pictures[1]), colours)
        assert found.value == pytest.approx(ours.value, rel=1e-9) and found.n_real == 0
        assert "does not say which network it is from" in warning


def test_a_file_with_images_beside_its_statistics_is_a_set_of_images(tmp_path: Path):
    held = {"mu": np.zeros(3), "sigma": np.eye(3)}
    np.savez(tmp_path / "batch.npz", arr_0=np.zeros((2, 8, 8, 3), np.uint8), **held)
    np.savez(tmp_path / "alone.npz", **held)
    assert not is_statistics(tmp_path / "batch.npz") and is_statistics(tmp_path / "alone.npz")


def test_statistics_of_another_network_are_refused(pictures: tuple[np.ndarray, np.ndarray], colours: str):
    known = statistics_of(ImageSet(pictures[0]), colours)
    for label, words in (
        ("colours@00000000", "other weights or another preprocessing"),
        ("nobody@00000000", "which is not known here"),
    ):
        with pytest.raises(ValueError, match=words):
            distance_to(Statistics(known.mean, known.covariance, 40, label, "a.npz"), ImageSet(pictures[1]))
    with pytest.raises(ValueError, match="made with the network colours, asked for was randconv-s0"):
        distance_to(known, ImageSet(pictures[1]), SPACE)
    with pytest.raises(ValueError, match=r"2 features; the network colours has 3"):
        distance_to(Statistics(np.zeros(2), np.eye(2), source="a.npz"), ImageSet(pictures[1]), colours)


@pytest.mark.parametrize(
    ("held", "words"),
    [
        ({"mu": np.zeros(3)}, "expected statistics, mu"),
        ({"mu": np.zeros(3), "sigma": np.eye(2)}, r"got \(3,\) and \(2, 2\)"),
        ({"mu": np.zeros(2), "sigma": np.array([[1.0, 2.0], [0.0, 1.0]])}, "no covariance"),
        ({"mu": np.zeros(2), "sigma": -np.eye(2)}, "no covariance"),
        ({"mu": np.array([0.0, np.nan]), "sigma": np.eye(2)}, "NaN or infinite"),
        ({"mu": np.array([{}, {}]), "sigma": np.eye(2)}, "expected statistics"),
    ],
)
def test_a_damaged_file_is_refused_in_words(tmp_path: Path, held: dict[str, Any], words: str):
    np.savez(tmp_path / "a.npz", **held)
    with pytest.raises(ValueError, match=words):
        read_statistics(tmp_path / "a.npz")


def test_the_interval_holds_another_set_of_generated_images(colours: str):
    rng = np.random.default_rng(3)
    reference = Statistics(np.array([0.5, 0.5, 0.5]), np.eye(3) * 0.01, 0, SPACES[colours].label)
    truth = 3 * 0.1**2 + 3 * (0.1 - 0.05) ** 2

    def covers() -> bool:
        levels = rng.normal(0.6, 0.05, (150, 3, 1, 1)).clip(0, 1) * 255
        images = np.broadcast_to(levels, (150, 3, 8, 8)) + rng.uniform(0, 1, (150, 3, 8, 8))  # no rounding to a grid
        found, _ = distance_to(reference, ImageSet(images.astype(np.uint8)), seed=int(rng.integers(1 << 30)))
        assert found.stderr is not None and found.value is not None
        return abs(found.value - truth) < t95(found.df) * found.stderr + 1e-4

    assert np.mean([covers() for _ in range(40)]) > 0.8
