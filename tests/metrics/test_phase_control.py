"""The control of all spectra: photographs with random phases. Which metrics of the panel detect them?"""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from imagelab.data.phase_random import PhaseRandom
from imagelab.metrics import METRICS, Evidence, ImageSet, measure_panel
from imagelab.metrics.features import PRIMARY

N = 200
ROWS = [name for name, row in METRICS.items() if not row.needs and name not in ("freckles", "tails", "memorisation")]


@pytest.fixture(scope="module")
def panels() -> tuple[dict[str, Any], dict[str, Any]]:
    """All metrics without weights, of photographs and of their phase-random versions, against held-out photographs."""
    twins = PhaseRandom(size=32)
    photographs = twins.photographs()
    heldout, train = (ImageSet(photographs.load(split, N, 0).images) for split in ("heldout", "reserve"))
    sets = photographs.load("train", N, 0).images, twins.load("train", N, 0).images
    taken = [measure_panel(Evidence(heldout, ImageSet(images), seed=1, train=train), ROWS) for images in sets]
    photos, phaseless = ({m.name: m for m in each if m.value is not None} for each in taken)
    return photos, phaseless


def moved(panels: tuple[dict[str, Any], dict[str, Any]], name: str) -> float:
    """By how many standard errors the phase-random versions differ from the photographs."""
    before, after = (panel[name] for panel in panels)
    return (after.value - before.value) / np.hypot(before.stderr, after.stderr)


def test_a_spectrum_does_not_see_phases(panels):
    seen = ("band_power", "spectral_slope", "log_spectral_distance", "hf_ratio")
    names = [name for name in panels[0] if name.startswith(seen)]
    assert len(names) == 5 + 1 + 1 + 1 + 3 * 5  # four octaves and corners at 32 px, in luma and in each colour
    assert {name: round(moved(panels, name), 1) for name in names if abs(moved(panels, name)) > 3.5} == {}


@pytest.mark.parametrize("name", ["pixel_variance", "pixel_variance/raw", "brightness", "contrast"])
def test_averages_over_pixels_do_not_see_phases_either(name, panels):
    assert abs(moved(panels, name)) < 3.5


def test_spread_in_feature_space_does_not_measure_realism(panels):
    for stem in ("vendi", "entropy"):
        assert abs(moved(panels, f"{stem}/{PRIMARY}")) < 5  # far less than the detector's difference below


@pytest.mark.parametrize(
    ("name", "errors"),
    [
        (f"detector/{PRIMARY}", 8),
        (f"detector/spectrum+{PRIMARY}", 8),
        (f"detector_starved/{PRIMARY}", 2.5),
        (f"frechet_corrected/{PRIMARY}", 3),
        (f"kernel/{PRIMARY}", 3),
        ("prdc/coverage", -3),
        ("prdc/recall", -2),
        (f"generalisation_distance/{PRIMARY}", 2),
    ],
)
def test_metrics_of_structure_detect_random_phases(name, errors, panels):
    assert moved(panels, name) / errors > 1


def test_the_detector_separates_them_without_the_spectrum(panels):
    before, after = (panel[f"detector/{PRIMARY}"].value for panel in panels)
    assert before < 0.75 < 0.85 < after  # before is not .5: the splits are other regions of the same photographs
