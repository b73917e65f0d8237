"""The whole table of metrics."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest

from imagelab import Faces, metrics
from imagelab.measurement import Measurement
from imagelab.metrics import METRICS, Evidence, ImageSet, Metric, NotMeasurable, Quantity, measure_panel, row_of
from imagelab.metrics.weights import UNPINNED, WEIGHTS

ROWS = list(METRICS)
DRAWN = [
    row
    for row in ROWS
    if not METRICS[row].needs and METRICS[row].suits == "any" and row not in ("memorisation", "generalisation")
]
ORDERLESS = [row for row in DRAWN if row != "detector"]  # its folds are cut by position, on purpose


def test_the_table_describes_each_metric_for_a_general_reader():
    for name, row in METRICS.items():
        assert row.title and row.least >= 1 and row.what.endswith(".") and row.blind.endswith("."), name
        assert set(row.needs) <= set(WEIGHTS) | set(UNPINNED), name


def test_the_names_fid_kid_mind_and_lpips_are_used_with_official_weights_only():
    for name, row in METRICS.items():
        claims = {"fid", "kid", "mind", "lpips", "dinov2", "cmmd"} & set(name.split("_"))
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
        assert (m.generation, m.line) == (0, 0) and (
            m.n_fake == n_fake or m.name in ("freckles/blank", "freckles/twin")
        )
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

    monkeypatch.setitem(METRICS._ours, "tone", replace(METRICS["tone"], measure=refuse))
    evidence = Evidence(ImageSet(pictures(3, 16)), ImageSet(pictures(2, 16)))
    found = measure_panel(evidence, ["tone", "hf_ratio"])
    assert [m.name for m in found] == ["brightness", "contrast", "colourfulness", "hf_ratio"]
    assert all(m.missing == "for a reason" and (m.n_real, m.n_fake) == (3, 2) for m in found[:3])


def test_any_other_error_reaches_the_caller(pictures, monkeypatch):
    def fail(evidence):
        raise ValueError("a defect")

    monkeypatch.setitem(METRICS._ours, "tone", replace(METRICS["tone"], measure=fail))
    evidence = Evidence(ImageSet(pictures(3, 16)), ImageSet(pictures(2, 16)))
    with pytest.raises(ValueError, match="a defect"):
        measure_panel(evidence, ["tone"])
    with pytest.raises(ValueError, match="unknown metric 'fdi'"):
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


# -- a row and its measurements agree


@pytest.mark.parametrize("row", [row for row in ROWS if not METRICS[row].needs and row != "tails"])
def test_the_first_measurement_has_the_unit_and_the_direction_of_its_row(row, pictures):
    evidence = Evidence(ImageSet(pictures(20, 64, seed=1)), ImageSet(pictures(20, 64, seed=2)))
    main = measure_panel(evidence, [row])[0]
    assert (main.unit, main.better) == (METRICS[row].unit, METRICS[row].better)


def test_a_row_with_a_direction_is_worse_for_images_that_are_worse(pictures):
    real, like = ImageSet(pictures(44, 32, seed=1)), ImageSet(pictures(44, 32, seed=2))
    unlike = ImageSet(pictures(44, 32, seed=3, exponent=0.4))
    rows = [row for row in DRAWN if METRICS[row].better in ("lower", "higher")]
    assert rows == ["frechet", "kernel", "kernel_rbf", "sliced_w2", "prdc", "likelihood", "detector"]
    for row in rows:
        good, bad = (measure_panel(Evidence(real, fake), [row]) for fake in (like, unlike))
        for before, after in zip(good, bad, strict=True):
            assert before.value is not None and after.value is not None
            worse = after.value > before.value if METRICS[row].better == "lower" else after.value < before.value
            assert worse or "randconv" in before.name, before.name
            assert before.better == METRICS[row].better, before.name


def test_distances_in_spaces_with_weights_are_better_when_lower_and_all_diversities_have_two_sides():
    with_weights = {row: METRICS[row].better for row in ROWS if METRICS[row].needs}
    assert {row for row, better in with_weights.items() if better == "lower"} == {
        "fid",
        "kid",
        "fd_dinov2",
        "mind",
        "cmmd",
        "cmmd_b32",
    }
    assert {better for row, better in with_weights.items() if row.startswith("lpips")} == {"two-sided"}


# -- what a row says is said once


def taken(metric: Metric, evidence: Evidence) -> list[Measurement]:
    """The measurements as the metric gives them, before the panel lays its row over them."""
    try:
        return metric.measure(evidence)
    except NotMeasurable:
        return []


@pytest.fixture(scope="module")
def aligned() -> Evidence:
    """Evidence that every row without weights can measure: faces, a blank control and the training images."""
    faces = Faces(size=64, freckle_rate=1.0, cache=False)
    real, fake = faces.load("heldout", 44, 1), faces.load("train", 44, 1)
    assert real.twins is not None
    return Evidence(
        ImageSet(real.images), ImageSet(fake.images), ImageSet(real.twins), train=ImageSet(real.images[:22])
    )


@pytest.mark.parametrize("row", [row for row in ROWS if not METRICS[row].needs])
def test_a_row_and_its_measurements_do_not_contradict_each_other_and_every_exception_is_needed(row, aligned):
    metric = METRICS[row]
    before = taken(metric, aligned)
    after = measure_panel(aligned, [row])
    assert [m.name for m in after] == [m.name for m in before] or not before
    names = {m.name for m in after} | {m.name.partition("/")[0] for m in after}
    for name, quantity in metric.but.items():
        assert name in names or not before, f"{row}: no measurement is called {name}"
        said = [(quantity.unit, metric.unit), (quantity.better, metric.better), (quantity.cite, metric.cite)]
        assert any(own is not None and own != rows for own, rows in said), f"{row}: {name} says nothing of its own"
        assert all(own is None or own != rows for own, rows in said), f"{row}: {name} repeats its row"
    for one, other in zip(before, after, strict=bool(before)):
        unit, better, cite = metric.quantity(other.name)
        assert (other.unit, other.better, other.cite) == (unit, better, cite)
        assert one.unit in ("", unit) and one.better in ("none", better) and one.cite in ("", cite)
        assert replace(one, unit=unit, better=better, cite=cite) == other


def a_metric(**changes) -> Metric:
    measured = Measurement("own/part", 1.0, **changes.pop("measured", {}))
    settings = {
        "measure": lambda evidence: [measured],
        "title": "Own",
        "unit": "px",
        "what": "A.",
        "blind": "B.",
        "better": "lower",
        "least": 5,
        "cite": "arXiv:1234.56789",
        "gives": ("own",),
    }
    return Metric(**{**settings, **changes})


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({}, ("px", "lower", "arXiv:1234.56789")),
        ({"but": {"own": Quantity("dB")}}, ("dB", "lower", "arXiv:1234.56789")),
        ({"but": {"own/part": Quantity("", "none", "")}}, ("", "none", "")),
        ({"but": {"own": Quantity("dB"), "own/part": Quantity(better="higher")}}, ("px", "higher", "arXiv:1234.56789")),
        ({"but": {"own/other": Quantity("dB")}}, ("px", "lower", "arXiv:1234.56789")),
        ({"measured": {"unit": "px", "better": "lower"}}, ("px", "lower", "arXiv:1234.56789")),
    ],
)
def test_a_measurement_has_what_its_row_says_or_the_nearest_exception(changes, expected, pictures, monkeypatch):
    monkeypatch.setitem(METRICS._ours, "own", a_metric(**changes))
    (m,) = measure_panel(Evidence(ImageSet(pictures(3, 16)), ImageSet(pictures(2, 16))), ["own"])
    assert (m.unit, m.better, m.cite) == expected


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"measured": {"unit": "dB"}}, "its row says unit 'px', its measurement own/part says 'dB'"),
        ({"measured": {"better": "higher"}}, "its row says better 'lower', its measurement own/part says 'higher'"),
        ({"measured": {"cite": "doi:10.1/x"}}, "its row says cite 'arXiv:1234.56789', its measurement own/part says"),
        ({"measured": {"unit": "px"}, "but": {"own": Quantity("dB")}}, "its row says unit 'dB'"),
        ({"gives": ("other", "another")}, "expected measurements named other or another"),
        ({"gives": (), "name": "mine"}, r"expected measurements named mine\[/part\], got 'own/part'"),
    ],
)
def test_a_measurement_that_contradicts_its_row_is_refused(changes, message, pictures, monkeypatch):
    monkeypatch.setitem(METRICS._ours, "own", a_metric(**changes))
    with pytest.raises(ValueError, match=f"metric own: .*{message}" if "metric" not in message else message):
        measure_panel(Evidence(ImageSet(pictures(3, 16)), ImageSet(pictures(2, 16))), ["own"])


@pytest.mark.parametrize("row", ROWS)
def test_a_row_goes_through_json_and_back(row, pictures):
    metric = METRICS[row]
    again = Metric.from_data(json.loads(json.dumps(metric.as_data())))
    assert replace(again, measure=metric.measure) == replace(metric, but=dict(metric.but))
    for stem in [*(metric.gives or (row,)), *metric.but]:
        assert again.quantity(stem) == metric.quantity(stem)
    with pytest.raises(NotMeasurable, match="is not loaded"):
        again.measure(Evidence(ImageSet(pictures(3, 16)), ImageSet(pictures(2, 16))))


@pytest.mark.parametrize("name", ["title", "unit", "what", "blind", "better", "cite", "suits", "name", "least"])
def test_a_damaged_row_of_a_record_is_refused(name: str):
    said = {**METRICS["tone"].as_data(), "name": "tone"}
    Metric.from_data(said)
    with pytest.raises(ValueError, match=name):
        Metric.from_data({**said, name: [5]})


# -- images that belong together


@pytest.mark.parametrize("row", [row for row in ROWS if not METRICS[row].needs and row not in ("freckles", "tails")])
def test_images_that_belong_together_have_a_larger_error_and_the_same_value(row, pictures):
    """Twenty groups of six nearly equal pictures are not 120 pictures."""
    noise = np.random.default_rng(0).integers(0, 3, (2, 120, 3, 32, 32), np.uint8)
    groups = np.repeat(np.arange(20), 6)
    real, fake = (np.repeat(pictures(20, 32, seed=s), 6, axis=0) // 2 + noise[s] for s in (0, 1))
    train = ImageSet(pictures(40, 32, seed=5))
    alone = measure_panel(Evidence(ImageSet(real), ImageSet(fake), train=train), [row])
    grouped = Evidence(ImageSet(real, groups=groups), ImageSet(fake, groups=groups), train=train)
    together = measure_panel(grouped, [row])
    larger = []
    for one, other in zip(alone, together, strict=True):
        # the likelihood is cross-validated over the groups, too
        assert one.value == other.value or "corrected" in one.name or row == "likelihood"
        if one.stderr and other.stderr and row not in ("entropy", "likelihood"):
            assert other.stderr > 0.8 * one.stderr, one.name
            larger.append(other.stderr > 1.4 * one.stderr)
            assert other.df is not None or "detector" in other.name or "memorisation" in other.name
    assert not larger or row in ("memorisation", "generalisation") or np.mean(larger) > 0.5
