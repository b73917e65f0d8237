"""The study of detectors reads records only; its numbers are theirs."""

from __future__ import annotations

import importlib
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

from imagelab.detection.record import DetectionRecord
from imagelab.detection.tables import share_text
from imagelab.run_folder import RunFolder

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def study(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(str(ROOT / "experiments" / "studies"))
    return importlib.import_module("detectors")


def test_its_table_has_the_numbers_of_the_records(study: ModuleType, detected: RunFolder) -> None:
    records: list[DetectionRecord] = study.records_of([detected.path])
    rows = list(study.table(records))
    at = next(order for order, row in enumerate(rows) if row[0].startswith("PPCA, k = 40: detector of each generation"))
    areas = [
        np.mean([row.verdict.area.value for row in records[0].rows if row.kind == "same" and row.variant == "features"
                 and row.line == 1 and row.tested == generation])
        for generation in (1, 2)
    ]  # fmt: skip
    assert [cell.partition(" ")[0] for cell in rows[at + 2][1:]] == [share_text(float(area)) for area in areas]
    assert any(row[0].startswith("half size and back") for row in rows)


def test_a_run_without_detectors_is_refused_in_words(
    study: ModuleType, detected: RunFolder, gaussian_run: RunFolder
) -> None:
    (detected.path / "detection" / "record.json").unlink()
    with pytest.raises(ValueError, match="has no detectors; make them: imagelab detect"):
        study.records_of([gaussian_run.path, detected.path])


def test_its_simulation_covers(study: ModuleType) -> None:
    rows = list(study.coverage(20))[1:]
    assert len(rows) == 15 and np.mean([float(row[2]) for row in rows]) > 0.9
