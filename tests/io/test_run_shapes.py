"""The records of a run are checked once: every place that a command reads has the type it expects."""

from __future__ import annotations

import copy
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from imagelab.experiment import Experiment
from imagelab.io.run_shapes import check_config, check_provenance
from imagelab.metrics import METRICS

PATH = Path("run") / "record.json"
PROVENANCE: dict[str, Any] = {
    "imagelab": "0.1.0",
    "git": None,
    "data": {"card": "Pictures.", "counts": {"train": 8}, "asked": {"train": 8}, "bad_files": []},
    "n": 8,
    "labels": {"0": "VAE"},
    "own": [
        {
            "family": "metrics",
            "name": "mine",
            "references": ["x"],
            "row": json.loads(json.dumps(METRICS["tone"].as_data())),
        }
    ],
    "freckle_calibration": {"figures": {"recall": {"value": 0.5}}, "tables": {"blur ruler": [{"sigma": 0.0}]}},
}


def test_what_runs_write_is_accepted():
    check_config(Experiment().config(), PATH)
    check_provenance(PROVENANCE, PATH)
    check_provenance({}, PATH)


@pytest.mark.parametrize(
    ("place", "value", "said"),
    [
        (("experiment",), None, "expected an object `experiment`"),
        (("experiment",), [1], "`experiment` to be an object, got list"),
        (("signature",), 5, "`signature` to be text, got int"),
        (("experiment", "generations"), "x", "`experiment.generations` to be a whole number, got str"),
        (("experiment", "generations"), True, "`experiment.generations` to be a whole number, got bool"),
        (("experiment", "seed"), 1e29, "`experiment.seed` to be a whole number, got float"),
        (("experiment", "images"), 10**40, "experiment.images: expected a number below"),
        (("experiment", "data"), "x", "`experiment.data` to be an object, got str"),
        (("experiment", "data", "kind"), {}, "`experiment.data.kind` to be text, got dict"),
        (("experiment", "arms"), 5, "`experiment.arms` to be a list, got int"),
        (("experiment", "arms"), [None, "x"], "`experiment.arms.1` to be an object, got str"),
        (("experiment", "metrics"), [[]], "`experiment.metrics.0` to be text, got list"),
        (("experiment", "title"), "\ud800", "experiment.title: text that is not Unicode"),
    ],
)
def test_a_config_of_another_shape_is_refused_with_its_place(place: tuple[str, ...], value: Any, said: str):
    content = copy.deepcopy(Experiment().config())
    holder: Any = content
    for key in place[:-1]:
        holder = holder[key]
    holder[place[-1]] = value
    with pytest.raises(ValueError, match=f"^{PATH}: .*{said}"):
        check_config(content, PATH)


def places(value: Any, before: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    if before:
        yield before
    for key in value if isinstance(value, dict) else range(len(value)) if isinstance(value, list) else ():
        yield from places(value[key], (*before, key))


@pytest.mark.parametrize(
    "place", [p for p in places(PROVENANCE) if p[0] not in ("imagelab", "git") and "row" not in p], ids=str
)
def test_a_provenance_of_another_shape_is_refused(place: tuple[Any, ...]):
    content = copy.deepcopy(PROVENANCE)
    holder: Any = content
    for key in place[:-1]:
        holder = holder[key]
    if place[-1] in ("train", "value", "sigma"):  # numbers that are only printed, or read where they are used
        holder[place[-1]] = float("nan")
    else:
        holder[place[-1]] = 1.5
    with pytest.raises(ValueError, match=f"^{PATH}: "):
        check_provenance(content, PATH)
