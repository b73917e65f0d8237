"""The attribute probes: the shipped file is complete, its card is correct, and each setting changes the result."""

from __future__ import annotations

import importlib.util
import json
import math
import sys
from dataclasses import replace
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

from imagelab.faces.freckles import Freckles
from imagelab.faces.latent import Face, Marks
from imagelab.faces.parallel import record
from imagelab.faces.rare import RARE
from imagelab.faces.render import render
from imagelab.metrics import attribute_probes as home
from imagelab.metrics.attribute_probes import called, probed_sizes, probes_card, read_probes, scores, shipped_probes
from imagelab.seeds import rng_at

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def experiment() -> ModuleType:
    path = ROOT / "experiments" / "instruments" / "calibrate_attributes.py"
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec and spec.loader
    module = sys.modules[path.stem] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_at_least_eight_attributes_are_probed_including_rare_ones():
    usable = shipped_probes().usable
    assert len(usable) >= 8 and len({one.attribute for one in usable} & set(RARE)) >= 3
    for one in usable:
        assert one.sensitivity.value >= 0.8 and one.specificity.value >= 0.995
        assert one.sensitivity.n >= 50 and one.specificity.n >= 1000


def test_the_card_agrees_with_newly_drawn_faces(experiment: ModuleType):
    rare, common = experiment.enriched("heldout", 390, seed=5), experiment.natural("heldout", 400, seed=6)
    faces, probes = rare + common, shipped_probes()
    calls = called(faces.images, probes)
    for one in probes.usable:
        met, spared = experiment.evaluate(calls[one.attribute], faces.truth[one.attribute], 400)
        for fresh, known in ((met, one.sensitivity), (spared, one.specificity)):
            assert abs(fresh.value - known.value) <= 4 * math.hypot(fresh.stderr, known.stderr), one.attribute


@pytest.mark.parametrize(
    ("attribute", "mark"),
    [
        ("eyepatch", "eyepatch"),
        ("hearing_aid", "hearing_aid"),
        ("face_paint", "paint"),
        ("birthmark", "birthmark"),
        ("vitiligo", "vitiligo"),
    ],
)
def test_the_same_face_without_the_attribute_is_negative(attribute: str, mark: str):
    marked = [record("heldout", 99, row, (attribute,)) for row in range(15)]
    plain = [replace(face, marks=replace(face.marks, **{mark: getattr(Marks(), mark)})) for face in marked]
    with_mark, without = (called(portraits(faces))[attribute] for faces in (marked, plain))
    assert with_mark.mean() > 0.8 and not without.any()


def portraits(faces: list[Face]) -> np.ndarray:
    paint = [rng_at(99, "faces/heldout/paint", row=row) for row in range(len(faces))]
    return np.stack([render(face, Freckles.none(), 64, 2, rng).image for face, rng in zip(faces, paint, strict=True)])


def test_the_threshold_of_the_experiment_gives_few_false_positives_and_finds_clear_cases(experiment: ModuleType, rng):
    truth = np.arange(3000) % 10 == 0
    odds = rng.normal(size=3000) + 8 * truth
    threshold = experiment.choose_threshold(odds, truth, truth[1000:])
    assert (odds[truth] >= threshold).mean() > 0.95 and (odds[~truth] >= threshold).mean() < 0.004


def test_the_card_is_plain_json_and_every_number_has_an_error():
    card = json.loads(json.dumps(probes_card(), allow_nan=False))
    assert card["digest"] == shipped_probes().digest
    assert len(card["probes"]) + len(card["dropped"]) == len(shipped_probes().probes)
    for row in (*card["probes"], *card["dropped"]):
        for figure in (row["sensitivity"], row["specificity"]):
            assert 0 <= figure["value"] <= 1 and figure["stderr"] > 0 and figure["n"] > 0


def test_probes_are_equal_after_writing_and_reading(tmp_path: Path, pictures):
    other = replace(shipped_probes(), origin={"seed": 7})
    other.write(tmp_path / "p.npz")
    again = read_probes(tmp_path / "p.npz")
    assert again.digest == other.digest != shipped_probes().digest
    assert probes_card(again) == probes_card(other)
    np.testing.assert_array_equal(scores(pictures(3), again), scores(pictures(3), other))


def test_a_damaged_file_is_refused_by_name(tmp_path: Path):
    path = tmp_path / "p.npz"
    shipped_probes().write(path)
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(ValueError, match=r"p\.npz: not a whole file of probes"):
        read_probes(path)
    arrays = shipped_probes().arrays()
    arrays["bias_0"] = arrays["bias_0"] + np.float16(0.01)
    np.savez(path, allow_pickle=False, digest=np.array(shipped_probes().digest), **arrays)
    with pytest.raises(ValueError, match="SHA-256"):
        read_probes(path)


def test_a_file_of_another_format_is_refused(tmp_path: Path, monkeypatch):
    shipped_probes().write(tmp_path / "p.npz")
    monkeypatch.setattr(home, "FORMAT", 2)
    with pytest.raises(ValueError, match="expected format 2, got 1"):
        read_probes(tmp_path / "p.npz")


def test_scores_do_not_depend_on_the_other_faces_of_a_batch(pictures):
    images = pictures(7)
    together = scores(images, shipped_probes())
    assert together.shape == (7, len(shipped_probes().probes))
    np.testing.assert_allclose(scores(images[4:5], shipped_probes()), together[4:5], rtol=1e-3, atol=1e-3)
    assert np.ptp(together, axis=0).min() > 0


def test_the_threshold_decides_and_unusable_probes_are_left_out(pictures):
    images, probes = pictures(20), shipped_probes()
    low = replace(probes, probes=tuple(replace(one, threshold=-1e9) for one in probes.probes))
    assert all(column.all() for column in called(images, low).values())
    first = probes.usable[0]
    for name, value in (("sensitivity", 0.79), ("specificity", 0.994)):
        worse = replace(first, **{name: replace(getattr(first, name), value=value)})
        changed = replace(probes, probes=tuple(worse if one is first else one for one in probes.probes))
        assert set(called(images, probes)) - set(called(images, changed)) == {first.attribute}


def test_images_of_another_shape_are_refused(pictures):
    with pytest.raises(ValueError, match=r"expected images of shape \[N, 3, 64, 64\]"):
        scores(pictures(2, 32), shipped_probes())
    with pytest.raises(ValueError, match="RGB faces of 64 px, not of 32 px"):
        shipped_probes(32)
    assert probed_sizes() == (64,)
