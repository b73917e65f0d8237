"""The whole table of metrics."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest

from imagelab import metrics
from imagelab.measurement import Measurement
from imagelab.metrics import METRICS, Evidence, ImageSet, NotMeasurable, measure_panel, row_of
from imagelab.metrics.weights import WEIGHTS

ROWS = list(METRICS)
DRAWN = [
    row for row in ROWS if not METRICS[row].needs and row not in ("freckles", "tails", "memorisation", "generalisation")
]
ORDERLESS = [row for row in DRAWN if row != "detector"]  # its folds are cut by position, on purpose


def test_the_table_describes_each_metric_for_a_general_reader():
    for name, row in METRICS.items():
        assert row.title and row.least >= 1 and row.what.endswith(".") and row.blind.endswith("."), name
        assert set(row.needs) <= set(WEIGHTS), name


def test_the_names_fid_kid_mind_and_lpips_are_used_with_official_weights_only():
    for name, row in METRICS.items():
        claims = {"fid", "kid", "mind", "lpips", "dinov2"} & set(name.split("_"))
        assert bool(claims) == bool(row.needs), name
        if not claims:
            words = ("FID", "KID", "MIND", "LPIPS")
            assert not any(word in row.title.replace(f"not {word}", "") for word in words), name


def test_importing_the_table_does_not_import_torch():
    heavy = (
        "import sys, imagelab.metrics; print([m for m in ('torch','sklearn','lpips','skimage') if m in sys.modules])"
    )
    assert subprocess.run([sys.executable, "-c", heavy], capture_output=True, text=True, check=True).stdout == "[]\n"


@pytest.mark.parametrize("row", ROWS)
@pytest.mark.parametrize(("n_real", "n_fake", "size"), [(30, 24, 64), (2, 3, 64), (5, 4, 16), (3, 1, 32), (12, 12, 8)])
def test_every_row_returns_complete_measurements_at_any_n(row, n_real, n_fake, size, pictures):
    evidence = Evidence(ImageSet(pictures(n_real, size, seed=1)), ImageSet(pictures(n_fake, size, seed=2)))
    found = measure_panel(evidence, [row])
    assert found
    for m in found:
        assert row_of(m.name) == row or m.name.startswith("lpips_diversity")
        assert (m.generation, m.line) == (0, 0) and (m.n_fake == n_fake or m.name == "freckles/blank")
        assert m.value is not None or m.missing
        assert m.value is None or m.estimator
        assert Measurement.from_json(m.to_json()) == m


@pytest.mark.parametrize("row", ROWS)
def test_no_row_fails_on_flat_and_copied_pictures(row, pictures):
    flat, copies = np.full((12, 3, 64, 64), 90, np.uint8), np.repeat(pictures(1), 12, axis=0)
    for real, fake in ((flat, flat), (copies, copies), (flat, pictures(12)), (pictures(12), copies)):
        for m in measure_panel(Evidence(ImageSet(real), ImageSet(fake)), [row]):
            json.loads(m.to_json())


@pytest.mark.parametrize("row", ORDERLESS)
def test_order_of_the_images_does_not_matter(row, pictures):
    real, fake = pictures(40, 32, seed=1), pictures(36, 32, seed=2)
    order = np.random.default_rng(0).permutation(36)
    one, two = (measure_panel(Evidence(ImageSet(real), ImageSet(each)), [row]) for each in (fake, fake[order]))
    for a, b in zip(one, two, strict=True):
        if "corrected" not in a.name:  # so are the jackknife's groups
            assert a.value == pytest.approx(b.value, rel=1e-4, abs=1e-6), a.name


@pytest.mark.parametrize("row", DRAWN)
def test_a_measurement_can_be_compared_with_its_own_floor(row, pictures):
    real = ImageSet(pictures(30, 32, seed=1))
    floor = measure_panel(Evidence(real, ImageSet(pictures(30, 32, seed=2))), [row])
    later = measure_panel(Evidence(real, ImageSet(pictures(25, 32, seed=3))), [row])
    for before, after in zip(floor, later, strict=True):
        assert after.at(1, 0, before).floor == before.value


def test_a_metric_that_is_not_measurable_reports_its_reason(pictures, monkeypatch):
    def refuse(evidence):
        raise NotMeasurable("for a reason")

    monkeypatch.setitem(METRICS, "tone", replace(METRICS["tone"], measure=refuse))
    evidence = Evidence(ImageSet(pictures(3, 16)), ImageSet(pictures(2, 16)))
    found = measure_panel(evidence, ["tone", "hf_ratio"])
    assert [m.name for m in found] == ["brightness", "contrast", "colourfulness", "hf_ratio"]
    assert all(m.missing == "for a reason" and (m.n_real, m.n_fake) == (3, 2) for m in found[:3])


def test_any_other_error_reaches_the_caller(pictures, monkeypatch):
    def fail(evidence):
        raise ValueError("a defect")

    monkeypatch.setitem(METRICS, "tone", replace(METRICS["tone"], measure=fail))
    evidence = Evidence(ImageSet(pictures(3, 16)), ImageSet(pictures(2, 16)))
    with pytest.raises(ValueError, match="a defect"):
        measure_panel(evidence, ["tone"])
    with pytest.raises(ValueError, match="unknown metric fdi"):
        measure_panel(evidence, ["fdi"])


def test_measurement_names_identify_their_row():
    assert row_of("band_power/16-32") == "spectrum"
    assert row_of("kernel/randconv-s1") == "kernel"
    assert row_of("train_loss") is None
    stems = [stem for row, metric in METRICS.items() for stem in metric.gives or (row,)]
    doubled = {stem for stem in stems if stems.count(stem) > 1}
    assert doubled <= {"lpips_diversity"}


def test_all_names_are_exported():
    assert all(hasattr(metrics, name) for name in metrics.__all__)
