"""Every plotted number is a line of metrics.jsonl."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from matplotlib.axes import Axes

from imagelab.evaluation.chains import retraining_ratio
from imagelab.measurement import Measurement
from imagelab.report import write_report
from imagelab.report.numbers import interval

MakeRun = Callable[..., Path]
PER_CENT = 100  # the small plots of the rare attributes
BLUR = (1.0, 0.6, 0.1)


@pytest.fixture
def plotted(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The y values of all points that are drawn during the test."""
    found: list[float] = []
    for name in ("plot", "errorbar"):
        draw = getattr(Axes, name)

        def spy(axes: Axes, x: Any, y: Any, *rest: Any, draw: Callable[..., Any] = draw, **look: Any) -> Any:
            if look.get("transform") is None:
                found.extend(np.ravel(np.asarray(y, float)).tolist())
            return draw(axes, x, y, *rest, **look)

        monkeypatch.setattr(Axes, name, spy)
    return found


def written(run: Path) -> np.ndarray:
    lines = (run / "metrics.jsonl").read_text().splitlines()
    return np.array([value for line in lines if (value := Measurement.from_json(line).value) is not None])


def add(run: Path, *found: Measurement) -> None:
    with (run / "metrics.jsonl").open("a") as file:
        file.writelines(m.to_json() + "\n" for m in found)


def test_every_plotted_number_is_a_line_of_metrics_jsonl(make_run: MakeRun, plotted: list[float]) -> None:
    ruler = [{"sigma": 0.5 * order, "value": share, "stderr": 0.01, "n": 9} for order, share in enumerate(BLUR)]
    card = {"freckle_calibration": {"tables": {"blur ruler": ruler}}}
    run = make_run(generations=3, provenance=card)
    for generation, line in ((0, -1), (1, 0), (2, 0), (3, 0)):
        rare = Measurement("tails/birthmark", 0.0123 - 0.003 * generation, "share", stderr=0.004, n_fake=2048)
        add(run, rare.at(generation, line))
    write_report(run)
    known = written(run)
    sharp = next(
        m.value
        for line in (run / "metrics.jsonl").read_text().splitlines()
        if (m := Measurement.from_json(line)).name == "freckles/count" and m.generation == 0
    )
    assert sharp is not None
    allowed = np.concatenate([known, PER_CENT * known, sharp * np.array(BLUR)])
    assert len(plotted) > 150
    strangers = [y for y in plotted if np.abs(allowed - y).min() > 1e-12 * max(1.0, abs(y))]
    assert strangers == []


def test_every_figure_names_its_measurement(make_run: MakeRun) -> None:
    run = make_run()
    text = write_report(run).read_text()
    for name in ("freckles/corrected", "hf_ratio", "pixel_variance", "frechet/randconv-s0", "band_power/…"):
        assert f"<code>{name} in metrics.jsonl" in text


def test_a_band_that_drowned_in_rounding_is_marked(make_run: MakeRun) -> None:
    run = make_run(generations=2)
    before = write_report(run).read_text()
    for generation, line, dB in ((0, -1, 30.0), (1, 0, 20.0), (2, 0, 5.9)):
        add(run, Measurement("band_headroom/8-16", dB, "dB", n_fake=2048).at(generation, line))
    after = write_report(run).read_text()
    spread = 0.1 * retraining_ratio("band_power/8-16", 2)
    told = interval(Measurement("band_power/8-16", -0.12 * 9 * 2, stderr=0.1, between=spread))
    assert f"<td>{told} *</td>" in after and after.count(" *</td>") == 1
    assert "open markers" in after and "open markers" not in before
