"""Whom a curation throws away, seen by the probes of rare attributes."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Literal

import numpy as np
import pytest

from imagelab import Experiment, Faces, Gaussian, Runtime, TopFraction
from imagelab.curation import Candidates, Curation, Kept, losses
from imagelab.metrics.attribute_probes import called
from imagelab.report import write_report
from imagelab.report.methods import curation
from imagelab.report.run_view import read_run
from imagelab.runs.run import run


@pytest.fixture(scope="module")
def faces() -> tuple[np.ndarray, dict[str, np.ndarray], np.ndarray]:
    """120 faces with their attributes, and held-out ones."""
    data = Faces(size=64, cache=False)
    sample = data.load("train", 120, 3)
    return sample.images, dict(sample.attributes), data.load("heldout", 60, 3).images


def test_shares_before_and_after_are_those_of_the_probes(faces: tuple[np.ndarray, dict[str, np.ndarray], np.ndarray]):
    images, known, real = faces
    without = np.flatnonzero(~known["headscarf"])[:60]
    found = losses(images, without, real, known)
    assert found is not None and not found.missing
    calls = called(images)
    assert set(found.attributes) == set(calls) & set(known)
    for name, (among, kept, number) in found.attributes.items():
        assert (among, kept, number) == pytest.approx((calls[name].mean(), calls[name][without].mean(), number))
        assert number == calls[name].sum()
    among, kept, number = found.attributes["headscarf"]
    assert among == pytest.approx(known["headscarf"].mean(), abs=0.02) and number > 0 and kept < 0.02


def test_chance_is_the_spread_of_random_choices(faces: tuple[np.ndarray, dict[str, np.ndarray], np.ndarray]):
    images, known, real = faces
    calls = called(images)
    rare = ("birthmark", "vitiligo", "hearing_aid", "face_paint", "eyepatch", "albinism", "headscarf")
    rare = [*rare, *(name for name in ("hair_fringe", "hair_bald") if name in known)]
    number = np.sum([calls[name] for name in rare if name in known], axis=0)
    found = losses(images, np.arange(40), real, known)
    assert found is not None
    assert found.rare["candidates"] == pytest.approx(number.mean())
    assert found.rare["kept"] == pytest.approx(number[:40].mean())
    rng = np.random.default_rng(0)
    means = [number[rng.permutation(120)[:40]].mean() for _ in range(4000)]
    assert found.rare["chance"] == pytest.approx(np.std(means), rel=0.05)
    everything = losses(images, np.arange(120), real, known)
    assert everything is not None and everything.rare["chance"] == 0


def test_nothing_is_said_of_data_without_such_attributes(faces: tuple[np.ndarray, dict[str, np.ndarray], np.ndarray]):
    images, _, real = faces
    assert losses(images, np.arange(60), real, ("orientation",)) is None


def test_images_that_the_probes_are_not_made_for_have_no_shares_but_a_reason(
    faces: tuple[np.ndarray, dict[str, np.ndarray], np.ndarray],
):
    images, known, real = faces
    small = losses(images[:, :, ::2, ::2], np.arange(60), real[:, :, ::2, ::2], known)
    assert small is not None and small.attributes == {} and "not on 3 x 32 x 32" in small.missing
    noise = np.random.default_rng(0).integers(0, 256, images.shape, np.uint8)
    noisy = losses(noise, np.arange(60), real, known)
    assert noisy is not None and noisy.attributes == {} and "calibration" in noisy.missing


class NoHeadscarves(Curation):
    """Throws away every face on which the probe finds a headscarf."""

    kind: Literal["no_headscarves"] = "no_headscarves"

    def candidates(self, n: int) -> int:
        return 2 * n

    def choose(self, candidates: Candidates, n: int) -> Kept:
        found = called(candidates.images)["headscarf"]
        return Kept(np.argsort(found, kind="stable")[:n], "without headscarf")


def faces_run(runs: Path, rule: Curation, size: int = 64) -> Path:
    experiment = Experiment(
        name="faces",
        data=Faces(size=size, cache=False),
        generator=Gaussian(),
        generations=1,
        images=60,
        heldout=40,
        tracked=4,
        metrics=("pixel_variance",),
        curation=rule,
        runtime=Runtime(device="cpu", runs=runs),
    )
    return run(experiment).path


def test_a_run_records_and_reports_whom_its_curation_threw_away(tmp_path: Path):
    folder = faces_run(tmp_path, NoHeadscarves())
    record = json.loads((folder / "gen-001" / "curation.json").read_text())
    assert "attributes_missing" not in record
    among, kept, number = record["attributes"]["headscarf"]
    assert kept == 0 < number == pytest.approx(120 * among)
    assert record["attributes_seconds"] >= 0 and set(record["rare"]) == {"candidates", "kept", "chance"}
    said = curation(read_run(folder))
    numbers = [float(x) for x in re.findall(r"find ([\d.]+) rare .* and ([\d.]+) in 100 published", said)[0]]
    assert numbers == pytest.approx([100 * record["rare"]["candidates"], 100 * record["rare"]["kept"]], abs=0.051)
    assert "rare attributes in 100 drawn images" in re.sub(
        r"\s+", " ", write_report(folder, tmp_path / "r").read_text()
    )


def test_faces_of_another_size_have_a_reason_and_the_page_no_sentence(tmp_path: Path):
    folder = faces_run(tmp_path, TopFraction(score="detail"), size=32)
    record = json.loads((folder / "gen-001" / "curation.json").read_text())
    assert record["attributes"] == {} and "not on 3 x 32 x 32" in record["attributes_missing"]
    assert "rare attributes" not in curation(read_run(folder))
