from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from imagelab.data.faces import Faces
from imagelab.measurement import Measurement
from imagelab.metrics import Evidence, ImageSet, measure_panel
from imagelab.metrics.degradations import blurred
from imagelab.report.key_figures import facts
from imagelab.report.run_view import read_run
from imagelab.report.share_card import card_picture, data_stamp
from imagelab.report.yardstick import TABLE, as_blur

MakeRun = Callable[..., Path]
NAME = "frechet/imagelab-ssl-v1"


def shipped(data: str = "faces") -> tuple[str, np.ndarray]:
    known = json.loads(TABLE.read_text("utf-8"))[data][NAME]
    return known["feature_space"], np.array(known["rows"], float)


def test_a_distance_of_the_table_is_its_blur_and_one_between_lies_between():
    space, rows = shipped()
    m = Measurement(NAME, float(rows[6, 1]), feature_space=space)
    assert as_blur(m, "faces", 64) == f"real faces blurred by {rows[6, 0]:.1f} px"
    middle = replace(m, value=float(rows[6, 1] + rows[7, 1]) / 2)
    assert as_blur(middle, "faces", 64) == f"real faces blurred by {(rows[6, 0] + rows[7, 0]) / 2:.1f} px"
    assert as_blur(replace(m, value=1e6), "faces", 64) == f"real faces blurred by more than {rows[-1, 0]:g} px"


@pytest.mark.parametrize(
    "why", ["other data", "another size", "another network", "another distance", "no more than real"]
)
def test_where_the_table_does_not_hold_nothing_is_said(why: str):
    space, rows = shipped()
    m = Measurement(NAME, float(rows[6, 1]), feature_space="another" if why == "another network" else space)
    m = replace(m, name="mind/x") if why == "another distance" else m
    m = replace(m, value=float(rows[0, 1])) if why == "no more than real" else m
    assert as_blur(m, "aircraft" if why == "other data" else "faces", 128 if why == "another size" else 64) == ""


def test_the_shipped_table_is_of_the_shipped_network():
    """A blur of 1 px, measured anew on fewer faces, is found at 1 px."""
    data = Faces(size=64, freckle_rate=0.6, cache=False)
    reference, images = data.load("heldout", 150, 3).images, data.load("train", 150, 4).images
    evidence = Evidence(ImageSet(reference), ImageSet(blurred(images, 1.0)))
    (m,) = [m for m in measure_panel(evidence, ("frechet",)) if m.name == NAME]
    assert float(as_blur(m, "faces", 64).split()[-2]) == pytest.approx(1.0, abs=0.15)


def test_every_key_figure_has_a_unit_or_something_to_judge_it_by(make_run: MakeRun):
    for fact in facts(read_run(make_run(generations=2))):
        assert fact.note[2] and "/" not in fact.note[2].replace("c/", ""), fact
        assert fact.beside[0][1][2]


def test_a_diversity_is_told_in_percent_of_real_images(make_run: MakeRun):
    run = read_run(make_run(generations=2))
    fact = next(fact for fact in facts(run) if fact.label == "Variety")
    m, real = run.at(fact.name, 2), run.real(fact.name)
    assert m and real and m.value and real.value
    assert fact.value[2].startswith(f"{100 * m.value / real.value:.0f}") and fact.value[2].endswith("%")


def test_the_digest_is_of_the_measurements_and_the_card_of_the_first_and_last_pictures(make_run: MakeRun):
    folder = make_run(generations=2)
    date, digest = data_stamp(read_run(folder))
    assert len(digest) == 64 and len(date.split("-")) == 3
    text = (folder / "metrics.jsonl").read_text()
    (folder / "metrics.jsonl").write_text(text.replace('"value": 0.', '"value": 1.', 1))
    assert data_stamp(read_run(folder))[1] != digest
    assert card_picture(read_run(folder)).startswith("data:image/png;base64,")
