"""The instrument that measures false matches, at a toy size."""

from __future__ import annotations

import importlib
import json
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

from imagelab.provenance.near_match import calibration, threshold_for

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def instrument(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(str(ROOT / "experiments" / "instruments"))
    return importlib.import_module("near_match")


def test_strangers_that_are_in_the_gallery_are_all_false_matches_and_originals_are_all_found(instrument: ModuleType):
    rng = np.random.default_rng(0)
    coarse = rng.integers(0, 256, (12, 3, 8, 8), np.uint8)
    images = coarse.repeat(8, axis=2).repeat(8, axis=3)
    for bits in (64, 256):
        same = instrument.rates([(images, images[:4])], bits)
        assert same["strangers"] == 4 and same["false"] == [4] * len(same["thresholds"])
        others = instrument.rates([(images[4:], images[:4])], bits)
        assert others["false"][:3] == [0, 0, 0]
        assert others["recall"]["1.5 times the size"]["found"][-1] == 8


def test_the_table_has_the_form_of_the_shipped_one_and_names_nobody_after_a_few_pictures(
    instrument: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(instrument, "SIZES", (32,))
    instrument.main(["--n", "6", "--out", str(tmp_path / "small.json")])
    made = json.loads((tmp_path / "small.json").read_text())
    shipped = calibration()["sizes"]["32"]
    for kind, row in made["sizes"]["32"].items():
        assert row.keys() == shipped[kind].keys()
        for bits, rates in row["bits"].items():
            assert rates.keys() == shipped[kind]["bits"][bits].keys()
            assert rates["thresholds"] == shipped[kind]["bits"][bits]["thresholds"]
    assert threshold_for(32, 6, made) is None
