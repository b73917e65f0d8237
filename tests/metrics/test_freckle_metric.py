"""The metric ``freckles``: its measurements, their controls, and what it says where it has no value."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from scipy.ndimage import maximum_filter

from imagelab import Experiment
from imagelab.data.base import Sample
from imagelab.data.faces import Faces
from imagelab.generators import RunContext
from imagelab.images import luma
from imagelab.measurement import Measurement
from imagelab.metrics import freckle_metric, freckles
from imagelab.metrics.base import Evidence, ImageSet
from imagelab.metrics.degradations import blurred, noised, toned
from imagelab.metrics.freckle_calibration import shipped_calibration
from imagelab.metrics.freckle_metric import UNITS, freckle_counts
from imagelab.runs.evidence import measure_shard
from imagelab.runs.shard_files import write_npy


@pytest.fixture(scope="module")
def faces() -> Sample:
    """Eighty freckled faces and their freckle-free versions."""
    return Faces(size=64, freckle_rate=1.0, cache=False).load("heldout", 80, 7)


def taken(fake: np.ndarray, real: Sample, blank: np.ndarray | None = None, twin: np.ndarray | None = None, pairs=True):
    """Return the measurements by name, without ``freckles/``."""
    assert real.twins is not None
    sets = [None if images is None else ImageSet(images) for images in (blank, twin)]
    known = (ImageSet(real.images), ImageSet(real.twins)) if pairs else None
    evidence = Evidence(ImageSet(real.images), ImageSet(fake), sets[0], twin=sets[1], pairs=known)
    return {m.name.removeprefix("freckles/"): m for m in freckle_counts(evidence)}


def value(m: Measurement) -> float:
    assert m.value is not None, m.missing
    return m.value


def interval(m: Measurement) -> tuple[float, float]:
    assert m.interval is not None
    return m.interval


def test_the_metric_returns_its_eleven_names_and_the_digest_of_the_counter(faces):
    found = taken(faces.images, faces, faces.twins, faces.twins)
    assert tuple(found) == tuple(UNITS)
    digest = shipped_calibration().digest[:8]
    for name, m in found.items():
        assert m.value is not None and m.stderr is not None and digest in m.estimator, name
        assert (m.n_fake, m.unit) == (80, UNITS[name])
        assert m.better == ("lower" if name in ("blank", "twin", "matched_blank") else "two-sided")
    assert found["blank"].value == freckles.counts(faces.twins).mean()


def test_faces_that_all_have_a_few_freckles_keep_the_mean_and_lose_the_spread(monkeypatch, faces):
    """What a learned model does at its first generation: real faces have many freckles or none."""
    spots = np.ones((40, 4))
    given = {"real": [spots[: 10 * (row % 2)] for row in range(80)], "same": [spots[:5]] * 80}
    found = {}
    for name, each in given.items():
        monkeypatch.setattr(freckle_metric, "count_with_noise", lambda *_, each=each: (each, np.ones(80)))
        found[name] = taken(faces.images, faces, pairs=False)
    assert value(found["real"]["count"]) == value(found["same"]["count"]) == 5
    assert value(found["real"]["spread"]) == pytest.approx(5 * (80 / 79) ** 0.5)
    assert value(found["same"]["spread"]) == 0


def test_without_a_control_net_is_missing_and_the_rest_is_not(faces):
    found = taken(faces.images, faces)
    assert "no control" in found["net"].missing and "no freckle-free faces" in found["blank"].missing
    assert "no blank twin" in found["twin"].missing
    assert all(m.value is not None for name, m in found.items() if name not in ("net", "blank", "twin"))


def test_on_sharp_faces_detected_corrected_and_net_tell_one_story(faces):
    found = taken(faces.images, faces, faces.twins)
    assert value(found["count"]) < value(found["corrected"])
    assert value(found["net"]) == pytest.approx(value(found["corrected"]), abs=0.15)
    low, high = interval(found["net"])
    assert low < value(found["net"]) < high
    assert value(found["matched"]) == pytest.approx(1, abs=0.05)


def test_net_subtracts_what_the_blank_twin_shows_and_prefers_it_to_copies(faces):
    plain = taken(faces.images, faces, faces.twins)
    both = taken(faces.images, faces, faces.twins, faces.images)
    assert value(both["net"]) == pytest.approx(0, abs=1e-9)
    assert value(plain["net"]) > 3 and both["net"].estimator == plain["net"].estimator


def test_copies_as_a_control_leave_the_reading_open_that_they_carry_learned_freckles(faces):
    """The copies have as many freckles as the images. The twin of the loop settles it, the copies do not."""
    copied = taken(faces.images, faces, blank=faces.images)
    assert value(copied["net"]) == pytest.approx(0, abs=1e-9)
    assert interval(copied["net"])[1] > value(copied["corrected"])
    settled = taken(faces.images, faces, blank=faces.images, twin=faces.images)
    assert interval(settled["net"])[1] < 0.5 * value(copied["corrected"])


@pytest.mark.parametrize("spoil", [lambda x: blurred(x, 0.8), lambda x: toned(x, 1.0, 0.7)])
def test_lost_sharpness_is_told_from_lost_freckles(faces, spoil):
    """Two sets with half of the detections: one hides freckles that are there, one has lost them."""
    hidden = taken(spoil(faces.images), faces, spoil(faces.twins))
    lost = taken(np.where(np.arange(80)[:, None, None, None] % 2, faces.images, faces.twins), faces, faces.twins)
    assert value(hidden["corrected"]) < 0.85 * value(taken(faces.images, faces)["corrected"])
    assert value(hidden["matched"]) < 0.85 and value(lost["matched"]) > 0.95
    truth = value(taken(faces.images, faces, faces.twins)["net"])
    assert interval(hidden["net"])[0] < truth < interval(hidden["net"])[1]
    assert interval(lost["net"])[1] < truth
    by_twin = taken(spoil(faces.images), faces, twin=spoil(faces.twins))["net"]
    assert value(by_twin) < 0.85 * truth < truth < interval(by_twin)[1]


def test_the_matched_null_agrees_with_the_same_damage_done_to_other_faces(faces):
    """The look is read from faces that are not the pairs; freckles still found are counted on both."""
    other = Faces(size=64, freckle_rate=1.0, cache=False).load("train", 80, 8)
    assert other.twins is not None
    rng = np.random.default_rng(1)
    for spoil in (lambda x: blurred(x, 1.0), lambda x: noised(x, 0.02, rng), lambda x: toned(x, 0.8)):
        matched = taken(spoil(other.images), faces)["matched"]
        left = freckles.counts(spoil(other.images)) - freckles.counts(spoil(other.twins))
        true = left.sum() / (freckles.counts(other.images) - freckles.counts(other.twins)).sum()
        assert value(matched) == pytest.approx(true, abs=4 * (matched.stderr or 0) + 0.04)


def test_without_pairs_the_matched_null_is_missing_and_net_is_not(faces):
    found = taken(faces.images, faces, faces.twins, pairs=False)
    assert "no pairs" in found["matched"].missing and "no pairs" in found["matched_blank"].missing
    assert value(found["net"]) > 3


@pytest.mark.parametrize(
    ("spoil", "word"),
    [
        (lambda x: blurred(x, 2.0), "blur more than 1.5 px"),
        (lambda x: noised(x, 0.08, np.random.default_rng(0)), "noise"),
        (lambda x: toned(x, 0.4), "contrast"),
        (lambda x: toned(x, 1.0, 0.3), "saturation"),
    ],
)
def test_images_outside_the_calibration_have_a_count_but_no_correction(faces, spoil, word):
    found = taken(spoil(faces.images), faces, spoil(faces.twins))
    for name in ("corrected", "net", "prevalence"):
        assert found[name].value is None and "outside the counter's calibration" in found[name].missing
        assert word in found[name].missing and found[name].estimator
    assert found["count"].value is not None and found["noise"].value is not None


def test_a_missing_value_can_still_be_placed_beside_its_floor(faces):
    floor = taken(faces.images, faces, faces.twins)
    blind = taken(blurred(faces.images, 2.0), faces)
    for name, m in blind.items():
        m.at(1, 0, floor[name])


def test_a_card_without_ruler_or_strata_still_corrects(faces, monkeypatch):
    card = shipped_calibration()
    tables = {name: rows for name, rows in card.tables.items() if name != "sharpness by blur"}
    old = replace(card, strata=(), tables=tables)
    monkeypatch.setattr(freckle_metric, "shipped_calibration", lambda size, style: old)
    found = taken(faces.images, faces, faces.twins)
    assert value(found["corrected"]) > 3 and "no ruler" in found["matched"].missing


def test_contrast_of_fading_freckles_falls(faces):
    pale = (faces.twins + 0.6 * (faces.images.astype(float) - faces.twins)).round().astype(np.uint8)
    assert value(taken(pale, faces)["contrast"]) < 0.8 * value(taken(faces.images, faces)["contrast"])


@pytest.mark.parametrize("shape", [(2, 1, 64, 64), (2, 3, 32, 32), (2, 3, 64, 48)])
def test_images_without_calibration_give_missing_values_not_errors(shape):
    images = np.zeros(shape, np.uint8)
    answers = freckle_counts(Evidence(ImageSet(images), ImageSet(images)))
    assert len(answers) == len(UNITS)
    for answer in answers:
        assert answer.value is None
        assert "calibrated for" in answer.missing and f"{shape[2]} x {shape[3]}" in answer.missing
    with pytest.raises(ValueError, match="calibrated for"):
        freckles.count_freckles(images)


def test_fine_freckles_are_counted_by_the_counter_for_them():
    real = Faces(size=128, freckle_style="fine", freckle_rate=1.0, cache=False).load("heldout", 60, 5)
    images = ImageSet(real.images)
    own, other = (
        {m.name: m for m in freckle_counts(Evidence(images, images, freckle_style=style))}
        for style in ("fine", "countable")
    )
    counter = shipped_calibration(128, "fine")
    assert all(m.estimator.startswith(f"{counter.name}: ") for m in own.values())
    assert real.twins is not None and real.freckles is not None
    drop = 255 * (luma(real.twins) - luma(real.images))
    truth = 0
    for row, marks in enumerate(real.freckles):
        x, y = np.clip(np.rint(marks[:, :2]), 0, 127).astype(int).T
        deep = maximum_filter(drop[row], 3)[y, x] >= 6
        truth += int((deep & counter.skin[y, x]).sum())
    found, missed = value(own["freckles/corrected"]), value(other["freckles/corrected"])
    assert found == pytest.approx(truth / 60, rel=0.08)
    assert missed < 0.75 * found  # the other counter would have missed a quarter or more, in silence


def test_fine_freckles_of_a_size_without_a_counter_are_not_counted():
    images = ImageSet(np.zeros((3, 3, 64, 64), np.uint8))
    for m in freckle_counts(Evidence(images, images, freckle_style="fine")):
        assert m.value is None and "calibrated for 128 px RGB faces with fine freckles" in m.missing


def test_a_run_tells_the_counter_which_freckles_its_faces_have(tmp_path):
    images = np.zeros((4, 3, 64, 64), np.uint8)
    for name in ("images", "heldout"):
        write_npy(tmp_path / f"{name}.npy", images)
    asked = Experiment(data=Faces(size=64, freckle_style="fine"), metrics=("freckles",), images=4, heldout=4)
    found = measure_shard(asked, tmp_path, tmp_path, images, None, RunContext())
    assert found and all("with fine freckles" in m.missing for m in found)


def test_one_face_has_a_count_but_no_error(faces):
    found = taken(faces.images[:1], faces, faces.twins)
    for name in ("count", "corrected", "net"):
        assert found[name].value is not None and found[name].stderr is None
    assert found["spread"].value is None and "one face" in found["spread"].missing


def test_skin_without_freckles_has_a_count_of_zero_and_no_contrast(faces):
    flat = np.full((3, 3, 64, 64), 150, np.uint8)
    found = taken(flat, faces)
    assert found["count"].value == 0 and "no freckle was found" in found["contrast"].missing
