from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from imagelab.data.faces import Faces
from imagelab.metrics.freckle_calibration import shipped_calibration
from imagelab.metrics.freckles import counts
from imagelab.report.pictured import pictured
from imagelab.report.run_view import read_run

MakeRun = Callable[..., Path]


@pytest.fixture
def faces() -> np.ndarray:
    return Faces(size=64, freckle_rate=1.0, cache=False).load("heldout", 8, 7).images


def _card(digest: str = "") -> dict[str, Any]:
    return {"freckle_calibration": {"digest": digest or shipped_calibration(64).digest}}


def test_pictures_are_counted_by_the_counter_of_the_run(make_run: MakeRun, faces: np.ndarray) -> None:
    run = read_run(make_run(faces=faces, provenance=_card()))
    pictures = run.pictures("photocopy")
    found = pictured(run, pictures)
    assert found is not None and list(found.spots) == [0, 1, 2, 3]
    each = counts(pictures[0])
    assert [len(spots) for spots in found.spots[0]] == list(each) and each.sum() > 0
    assert found.mean(0) == each.mean() and found.mean(0, 3) == each[:3].mean()
    assert found.words(0, 3) == f"{each[:3].mean():.1f}"


@pytest.mark.parametrize("reason", ["another card", "no card", "no count", "another size"])
def test_pictures_are_not_counted_where_the_count_would_be_another(
    make_run: MakeRun, faces: np.ndarray, reason: str
) -> None:
    card = {"another card": _card("0" * 64), "no card": {}}.get(reason, _card())
    few = faces[:, :, ::4, ::4] if reason == "another size" else faces
    keep = (lambda m: m.name != "freckles/count") if reason == "no count" else (lambda m: True)
    run = read_run(make_run(faces=few, provenance=card, keep=keep))
    assert pictured(run, run.pictures("photocopy")) is None
