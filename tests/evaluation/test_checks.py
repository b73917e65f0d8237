"""Warnings about two sets: exchanged channels, and distances that independent sets cannot have."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from imagelab import measure
from imagelab.evaluation.checks import below_zero, channels_exchanged
from imagelab.evaluation.near_copies import reduced
from imagelab.measurement import Measurement

COLOURS = {
    "skin": (190, 140, 115),
    "sky": (110, 150, 210),
    "leaves": (80, 130, 60),
    "grey": (128, 128, 128),
    "brick": (170, 80, 60),
    "sea": (40, 110, 130),
}


def coloured(name: str, n: int, seed: int) -> np.ndarray:
    """Smooth pictures around one colour, uint8 [n,3,16,16]; red, green and blue vary by unequal amounts."""
    rng = np.random.default_rng(seed)
    coarse = rng.normal(0, 1, (n, 5, 5, 3)).astype(np.float32) * [22, 15, 18] + rng.normal(0, 12, (n, 1, 1, 1))
    made = np.empty((n, 16, 16, 3))
    for row, each in enumerate((coarse + np.array(COLOURS[name])).astype(np.float32)):
        for channel in range(3):
            made[row, ..., channel] = np.asarray(Image.fromarray(each[..., channel]).resize((16, 16)))
    return made.clip(0, 255).astype(np.uint8).transpose(0, 3, 1, 2).copy()


def asked(real: np.ndarray, fake: np.ndarray) -> list[str]:
    return channels_exchanged(reduced(real), reduced(fake))


CASES = [("skin", 30), ("skin", 80), ("sky", 30), ("brick", 30), ("sea", 30), ("leaves", 80)]


@pytest.mark.parametrize(("name", "n"), CASES)
def test_red_and_blue_exchanged_in_one_set_is_suspected(name: str, n: int):
    real, fake = coloured(name, n, 0), coloured(name, n, 1)
    assert asked(real, fake) == []
    assert "red and blue may be exchanged" in asked(real, fake[:, ::-1].copy())[0]
    assert "red and blue may be exchanged" in asked(real[:, ::-1].copy(), fake)[0]


@pytest.mark.parametrize("real", COLOURS)
@pytest.mark.parametrize("fake", COLOURS)
def test_sets_of_other_colours_are_not_suspected(real: str, fake: str):
    for n in (12, 30, 60):
        assert asked(coloured(real, n, 0), coloured(fake, n, 1)) == []


def test_grey_sets_and_few_pictures_are_not_suspected():
    real = coloured("brick", 29, 0)
    assert asked(real, real[:, ::-1].copy()) == []
    assert asked(real[:, :1], real[:, :1]) == []


def test_measure_says_that_the_channels_may_be_exchanged():
    real, fake = coloured("skin", 40, 0), coloured("skin", 40, 1)[:, ::-1].copy()
    (text,) = [text for text in measure(real, fake, metrics=["tone"]).warnings if "blue" in text]
    assert "OpenCV" in text


def distance(name: str, z: float) -> Measurement:
    return Measurement(name, z * 0.5, stderr=0.5, better="lower", estimator="nuclear norm, float64, jackknifed")


@pytest.mark.parametrize(
    ("found", "warned"),
    [
        ({"frechet_corrected/a": -8.0, "frechet_corrected/b": -3.1}, True),
        ({"frechet_corrected/a": -8.0, "frechet_corrected/b": -2.9}, False),
        ({"fid_corrected": -5.1}, True),
        ({"fid_corrected": -4.9, "frechet_corrected/a": 2.0, "frechet_corrected/b": -1.0}, False),
    ],
)
def test_two_feature_spaces_far_below_zero_or_one_very_far_are_told(found: dict[str, float], warned: bool):
    assert bool(below_zero([distance(name, z) for name, z in found.items()])) == warned


def test_biased_distances_and_those_without_an_error_are_not_judged():
    names = ("frechet_corrected/a", "frechet_corrected/b")
    assert below_zero([Measurement(name, -9.0, better="lower", estimator="x, jackknifed") for name in names]) == []
    plain = [Measurement(name, -9.0, stderr=1.0, better="lower", estimator="nuclear norm") for name in names]
    assert below_zero(plain) == []


def test_a_leak_is_told_with_its_numbers_and_independent_sets_are_not():
    real, other = coloured("leaves", 60, 0), coloured("leaves", 60, 1)
    leaked = measure(real, np.minimum(real, 254) + np.uint8(1), metrics=["frechet", "kernel"])
    (text,) = [text for text in leaked.warnings if "below zero" in text]
    assert "frechet_corrected/" in text and "standard errors below zero" in text and "share pictures" in text
    assert not [text for text in measure(real, other, metrics=["frechet", "kernel"]).warnings if "below" in text]
