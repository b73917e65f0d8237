"""The ladder: the shipped table, what is read from it, and a few of its cells recomputed at small n."""

from __future__ import annotations

import runpy
from pathlib import Path
from typing import Any

import pytest

from imagelab.metrics import METRICS, ladder, row_of
from imagelab.metrics.ladder import SEEN, Seen, seen_by

SCRIPT = Path(__file__).resolve().parents[2] / "experiments/instruments/ladder.py"


@pytest.fixture(scope="module")
def script() -> dict[str, Any]:
    return runpy.run_path(str(SCRIPT))


def test_the_table_has_every_row_that_needs_no_weights_and_one_change_for_each_degradation():
    of_faces = [row for row in METRICS if METRICS[row].suits != "planted"]  # its counter is fitted to each dataset
    for data, rows in (("faces", of_faces), ("textures", [row for row in METRICS if METRICS[row].suits == "any"])):
        table = ladder.ladder()[data]
        measured = {row_of(name) for name in table["measurements"]}
        assert {row for row in rows if not METRICS[row].needs} <= measured | {"entropy_twins"}
        for row in table["measurements"].values():
            assert len(row["change"]) == len(table["degradations"]) and row["better"] in (
                "lower",
                "higher",
                "two-sided",
            )


def test_what_is_seen_missed_and_wrong_is_read_from_the_changes(monkeypatch):
    rows = {
        "kernel/a": {"better": "lower", "base": 1.0, "change": [9.0, -4.0, 0.2, None]},
        "kernel/b": {"better": "lower", "base": 1.0, "change": [12.0, 0.0, 2.9, None]},
        "tone": {"better": "two-sided", "base": 1.0, "change": [0.0, -5.0, 0.0, 3.0]},
    }
    made = {"faces": {"degradations": ["blur", "noise", "tint", "loss"], "measurements": rows}}
    monkeypatch.setattr(ladder, "ladder", lambda: made)
    assert seen_by("kernel") == Seen(("blur", "noise"), ("tint",), (("kernel/a", "noise"),), ("loss",))
    assert seen_by("kernel/b") == Seen(("blur",), ("noise", "tint"), (), ("loss",))
    assert seen_by("tone") == Seen(("noise", "loss"), ("blur", "tint"), ())
    assert seen_by("no such metric") is None
    sentence = "sees blur, noise; does not see tint; gives no value under loss; sees the wrong way noise (kernel/a)"
    assert (found := seen_by("kernel")) is not None and found.sentence() == sentence


CELLS = {
    "faces": {
        "all freckles lost": {"freckles/count": -1, "freckles/net": -1},
        "blur 1 px": {"freckles/matched": -1, "freckles/noise": -1, "band_power/16-32": -1, "spectral_slope": -1},
        "brightness +10": {"brightness": 1},
    },
    "textures": {"blur 1 px": {"hf_ratio": -1}, "contrast 1.2": {"contrast": 1, "pixel_variance": 1}},
}
"""Cells that are clear at any n, with their signs."""


@pytest.mark.parametrize("data", CELLS)
def test_cells_of_the_shipped_table_have_the_sign_that_a_small_set_gives(script, data):
    """Sixty images: a change in errors is about sqrt(500 / 60) smaller, its sign is the same."""
    shipped, cells = ladder.ladder()[data], CELLS[data]
    rows = {row_of(name) or "" for signs in cells.values() for name in signs}
    blows = {blow: (script["ANY"] | script["OF_FACES"])[blow] for blow in cells}
    small = script["table"](script[data](60), blows, sorted(rows), lambda _: None)["measurements"]
    for k, (blow, signs) in enumerate(cells.items()):
        for name, sign in signs.items():
            z = shipped["measurements"][name]["change"][shipped["degradations"].index(blow)]
            assert z * sign >= SEEN and small[name]["change"][k] * sign > 1, (blow, name)


def test_a_lost_group_is_replaced_and_nothing_else(script):
    bench = script["faces"](60)
    lost = bench.tested.attributes["glasses"]
    made = bench.lacking("glasses")
    kept = ~lost[:60]
    assert lost[:60].any() and (made[kept] == bench.images[kept]).all()
    spare = bench.tested.images[60:][~lost[60:]]
    for image in made[~kept]:
        assert (spare == image).all(axis=(1, 2, 3)).any()
