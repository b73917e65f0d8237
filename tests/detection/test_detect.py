"""The detectors of a run: tested across generations, lines and alterations; saved, read back, refused."""

from __future__ import annotations

import hashlib
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from imagelab.detection.altered import ALTERATIONS, resized_and_back
from imagelab.detection.cues import copy_errors, cues_of
from imagelab.detection.record import FOLDER, RECORD, DetectionRecord, load_detector
from imagelab.detection.saved import SavedDetector
from imagelab.detection.summary import averaged
from imagelab.detection.tables import all_tables, share_text
from imagelab.detection.trials import ALTERED, Trials
from imagelab.detection.verdicts import Rate, judge_scores
from imagelab.detection.workbench import Bench, experiment_of
from imagelab.io.manifest import read_object, with_checksum
from imagelab.metrics.base import ImageSet
from imagelab.run_folder import RunFolder

Made = tuple[DetectionRecord, Trials]


def row(record: DetectionRecord, **same: object):
    found = [each for each in record.rows if all(getattr(each, name) == value for name, value in same.items())]
    assert len(found) == 1, same
    return found[0]


def test_every_pair_of_generations_lines_and_alterations_is_tested_once(trials: Made) -> None:
    record = trials[0]
    assert [each.label for each in record.lines] == ["PPCA, k = 3", "PPCA, k = 40"]
    for variant in ("all", "plain", "features", "spectrum", "reconstruction"):
        assert {(r.line, r.trained, r.tested) for r in record.rows if r.kind == "same" and r.variant == variant} == {
            (line, generation, generation) for line in (0, 1) for generation in (1, 2)
        }
    assert row(record, kind="later", variant="all", line=0, trained=2, tested=1).on_line == 0
    assert row(record, kind="lines", variant="plain", line=0, trained=1).on_line == 1
    altered = [r for r in record.rows if r.kind == "altered" and r.variant == "all" and r.line == 0 and r.trained == 2]
    assert [r.alteration for r in altered] == list(ALTERATIONS)


def test_a_model_that_loses_detail_is_told_apart_from_real_images(trials: Made) -> None:
    assert row(trials[0], kind="same", variant="all", line=0, trained=1).verdict.area.low > 0.9


def test_altered_images_are_really_altered_and_scored(gaussian_run: RunFolder, trials: Made) -> None:
    record, made = trials
    bench = Bench(gaussian_run, experiment_of(gaussian_run))
    real, fake = bench.test_images([(1, 1)], ALTERED)
    for name, alter in ALTERATIONS.items():
        assert not np.array_equal(alter(real), real), name
        scores = [
            made.detectors["all/line-1/gen-001"].scores(cues_of(ImageSet(alter(each)), bench.copiers))
            for each in (real, fake)
        ]
        found = row(record, kind="altered", variant="all", line=1, trained=1, alteration=name)
        assert found.verdict.area == judge_scores(scores[0], scores[1]).area, name


def test_resizing_keeps_a_flat_image_and_takes_the_finest_detail() -> None:
    flat, fine = np.full((1, 3, 9, 7), 77, np.uint8), np.indices((8, 8)).sum(0) % 2 * 255
    assert np.array_equal(resized_and_back(flat), flat)
    assert resized_and_back(np.tile(fine.astype(np.uint8), (1, 3, 1, 1))).std() < 20 < 127


def test_the_error_of_a_copy_is_that_of_its_scale() -> None:
    images = np.random.default_rng(0).integers(60, 200, (2, 3, 16, 16)).astype(np.uint8)
    board = np.where(np.indices((16, 16)).sum(0) % 2, 1, -1)
    found = copy_errors(images, lambda given: (given + 10 * board).astype(np.uint8)).reshape(2, 3, 4)
    assert found[:, 0, 0] == pytest.approx(np.log((10 / 255) ** 2 + 1e-6))
    assert found[:, 1:, :3] == pytest.approx(np.log(1e-6))  # a chequered error vanishes where blocks are averaged


def test_a_saved_detector_gives_the_same_scores(gaussian_run: RunFolder, trials: Made) -> None:
    record, made = trials
    read = DetectionRecord.read(gaussian_run)
    assert read is not None and read.data() == {**record.data(), "file": read.file, "sha256": read.sha256}
    bench = Bench(gaussian_run, experiment_of(gaussian_run))
    cues = bench.made(2, 1).testing()
    for name, detector in made.detectors.items():
        np.testing.assert_array_equal(load_detector(gaussian_run, read, name).scores(cues), detector.scores(cues))
    saved = SavedDetector.open(gaussian_run)
    assert saved is not None
    images = np.array(gaussian_run.images(2, 1)[bench.rows(2, 1)[1]])
    np.testing.assert_allclose(saved.scores(images), made.scores["1/2"], rtol=0, atol=1e-6)  # float32 features


def test_a_detector_that_was_changed_is_refused_in_words(detected: RunFolder) -> None:
    record = DetectionRecord.read(detected)
    assert record is not None
    path = detected.path / FOLDER / record.file
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    with pytest.raises(ValueError, match=r"was changed since it was written .* Make it again: imagelab detect"):
        load_detector(detected, record)
    path.unlink()
    with pytest.raises(ValueError, match=r"is missing\. Make it again"):
        load_detector(detected, record)


def test_a_record_that_is_damaged_foreign_or_stale_is_refused_in_words(detected: RunFolder) -> None:
    path = detected.path / FOLDER / RECORD
    whole = read_object(path)
    cases = {
        "does not fit its checksum": {**whole, "space": "another"},
        "is of another run": with_checksum({**whole, "signature": "00000000"}),
        "has other images now": with_checksum({**whole, "made_from": {**whole["made_from"], "gen-009": "00"}}),
        "not a record of detectors": with_checksum({**whole, "rows": [{"kind": "same"}]}),
        "this reads version": with_checksum({**whole, "version": 99}),
        "names no file of detectors": with_checksum({**whole, "file": "../../../config.json"}),
    }
    for words, content in cases.items():
        path.write_text(json.dumps(content))
        with pytest.raises(ValueError, match=words) as refused:
            DetectionRecord.read(detected)
        assert "imagelab detect" in str(refused.value), words


def test_a_pickle_in_the_file_of_detectors_is_not_opened(detected: RunFolder, tmp_path: Path) -> None:
    class Trap:
        def __reduce__(self):
            return Path.touch, (tmp_path / "sprung",)

    folder = detected.path / FOLDER
    record = DetectionRecord.read(detected)
    assert record is not None
    arrays = {f"pooled.{part}": np.array([Trap()], object) for part in ("mean", "scale", "weights", "bias", "parts")}
    np.savez(folder / record.file, allow_pickle=True, **arrays)
    digest = hashlib.sha256((folder / record.file).read_bytes()).hexdigest()
    with pytest.raises(ValueError, match="not a file with the detector pooled"):
        load_detector(detected, replace(record, sha256=digest))
    assert not (tmp_path / "sprung").exists()


def test_means_over_trainings_have_the_interval_of_their_spread() -> None:
    rates = [[Rate(value, 0.0, 1.0)] for value in (0.4, 0.5, 0.6)]
    found = averaged(rates)
    assert found is not None and found.trainings == 3 and found.value == pytest.approx(0.5)
    assert found.high - found.value == pytest.approx(4.302653 * 0.1 / 3**0.5)
    equal = averaged([[Rate(1.0, 0.98, 1.0)]] * 3)
    assert equal is not None and (equal.low, equal.high) == (0.98, 1.0)  # not [1, 1]


def test_tables_say_what_their_intervals_hold(trials: Made) -> None:
    tables = list(all_tables(trials[0]))
    assert all("test images" in table.note for table in tables)
    assert all(len(row) == len(table.head) for table in tables for row in table.rows)
    assert any("*" in cell for cell in tables[0].rows[0])  # 1 % of some 50 real images
    assert [share_text(value) for value in (0.0, 0.9999, 0.00001)] == [".00", ">.999", "<.001"]
