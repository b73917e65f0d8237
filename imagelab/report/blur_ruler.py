"""The blur ruler: the amount of blur of real faces at which the counter finds as few freckles as in a generation.

The counter was calibrated on real faces under Gaussian blur of known sigma. Its calibration card, which every run
stores in provenance.json, gives the share s(sigma) of the sharp count that is left. A generation with the share
r = count / count on real faces is placed at the sigma for which s(sigma) = r. This is a comparison, not a cause: a
count in a blurred picture is the number of freckles that can still be detected.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from ..io.untrusted import parsing
from ..measurement import Measurement
from .curves import Curve, end_labels, line_colour, new_axes
from .numbers import Z95, half_interval
from .run_view import Run
from .svg import INK, MUTED, themed_svg

__all__ = ["BlurReading", "Ruler", "ruler"]

TABLE, COUNT = "blur ruler", "freckles/count"


@dataclass(frozen=True)
class BlurReading:
    """The equivalent blur of one generation.

    Attributes:
        measured: its count.
        sigma: the blur in px that leaves the same share; infinite for a share below the end of the ruler.
        low: the lower end of its 95 % interval in px, from the errors of both counts and of s.
        high: the upper end of its 95 % interval in px.
    """

    measured: Measurement
    sigma: float
    low: float
    high: float


@dataclass(frozen=True)
class Ruler:
    """The figure, a sentence about the last generation, and the readings of all generations."""

    curve: Curve
    sentence: str
    readings: tuple[BlurReading, ...]


def ruler(run: Run, line: int = 0) -> Ruler | None:
    """Return the blur ruler of a run; None if no freckles were counted or the counter's card has no ruler."""
    marks, real, series = _marks(run), run.real(COUNT), run.series(COUNT, line)
    if marks is None or real is None or not real.value or not series:
        return None
    readings = tuple(_read(marks, real, m) for m in series)
    last, longest = readings[-1], float(marks[-1, 0])
    sentence = (
        f"The freckle count of generation {last.measured.generation} is as low as that of real faces blurred by "
        f"{_pixels(last, longest)}."
        if last.low > 0
        else f"The freckle count of generation {last.measured.generation} is not measurably lower than that of real "
        "faces without blur."
    )
    return Ruler(_draw(run, marks, real, readings, line, sentence), sentence, readings)


def _marks(run: Run) -> np.ndarray | None:
    """Return rows of (sigma, share left, its standard error), float [K,3]; the shares are made non-increasing."""
    card = run.provenance.get("freckle_calibration")
    tables = card.get("tables") if isinstance(card, Mapping) else None
    rows = tables.get(TABLE) if isinstance(tables, Mapping) else None
    if not isinstance(rows, list) or len(rows) < 2:
        return None
    with parsing(run.folder / "provenance.json", "a whole calibration card"):
        marks = np.array(sorted((float(row["sigma"]), float(row["value"]), float(row["stderr"])) for row in rows))
    marks[:, 1] = np.minimum.accumulate(marks[:, 1])  # a rise within its error would give two readings
    return marks


def _read(marks: np.ndarray, real: Measurement, m: Measurement) -> BlurReading:
    top, bottom = m.value or 0.0, real.value or 1.0
    share = top / bottom
    own = float(np.interp(-share, -marks[:, 1], marks[:, 2]))
    error = math.hypot((half_interval(m) or 0.0) / bottom, Z95 * share * (real.stderr or 0.0) / bottom, Z95 * own)
    return BlurReading(m, _sigma(marks, share), _sigma(marks, share + error), _sigma(marks, share - error))


def _sigma(marks: np.ndarray, share: float) -> float:
    """Return the blur that leaves a share: 0 from the share of sharp faces on, infinite below the last mark."""
    if share < marks[-1, 1]:
        return math.inf
    return float(np.interp(-share, -marks[:, 1], marks[:, 0]))


def _pixels(reading: BlurReading, longest: float) -> str:
    if math.isinf(reading.sigma):
        return f"more than {longest:g} px, the end of the ruler"
    high = f"{reading.high:.2f}" if math.isfinite(reading.high) else f"more than {longest:g}"
    return f"{reading.sigma:.2f} px (95 % interval: {reading.low:.2f} to {high})"


def _draw(
    run: Run, marks: np.ndarray, real: Measurement, readings: tuple[BlurReading, ...], line: int, sentence: str
) -> Curve:
    figure, axes = new_axes("freckles found a face", run.last)
    sigma, sharp = marks[:, 0], real.value or 1.0
    left, error = sharp * marks[:, 1], Z95 * np.hypot(sharp * marks[:, 2], marks[:, 1] * (real.stderr or 0.0))
    axes.fill_between(sigma, left - error, left + error, color=INK, alpha=0.10, linewidth=0)
    axes.plot(sigma, left, color=INK, linewidth=1.4, linestyle=(0, (5, 3)))
    axes.plot(sigma, left, color=INK, linestyle="none", marker="|", markersize=9)
    ends, longest, named = [], float(sigma[-1]), {1, run.last // 2, run.last}
    for reading in readings:
        value, x = reading.measured.value or 0.0, min(reading.sigma, longest)
        axes.hlines(value, x, longest, color=line_colour(line), linewidth=0.7, alpha=0.6)
        mark = ">" if math.isinf(reading.sigma) else "o"
        axes.plot([x], [value], color=line_colour(line), marker=mark, markersize=5.5, zorder=4)
        if reading.measured.generation in named:
            ends.append((value, f"generation {reading.measured.generation}", line_colour(line)))
    axes.set_xlim(0, longest)
    axes.set_ylim(0, None)
    axes.set_xticks([0, 0.25, 0.5, 0.75, 1, 1.25, longest], ["sharp", ".25", ".5", ".75", "1", "1.25", f"{longest:g}"])
    axes.set_xlabel("blur of real faces: sigma in pixels", color=MUTED, fontsize=10)
    end_labels(axes, ends)
    counts = "; ".join(
        f"generation {r.measured.generation} ({r.measured.value:.3g}): {_pixels(r, longest)}" for r in readings
    )
    return Curve(
        themed_svg(figure, "blur-ruler"), f"{sentence} Freckles found and equivalent blur of each generation: {counts}."
    )
