"""The blur ruler: how far out of focus real faces would have to be for the counter to find as few freckles.

The counter was tried on real faces under Gaussian blur of known sigma; its card, which every run carries in
provenance.json, holds the share of the sharp count that is left, s(sigma). A generation with the share
r = count / count on real faces stands at the sigma where s(sigma) = r. That is a reading, not a cause: a count in a
blurred picture is a count of the freckles that can still be detected.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from ..measurement import Measurement
from .curves import INK, MUTED, Curve, end_labels, line_colour, new_axes, themed_svg
from .numbers import Z95
from .run_view import Run

__all__ = ["Reading", "Ruler", "ruler"]

TABLE, COUNT = "blur ruler", "freckles/count"


@dataclass(frozen=True)
class Reading:
    """One generation on the ruler.

    Attributes:
        measured: its count. sigma: the blur in px that leaves as much; infinite beyond the ruler's end.
        low, high: the same at the ends of the share's 95 % interval, which holds the errors of both counts and of s.
    """

    measured: Measurement
    sigma: float
    low: float
    high: float


@dataclass(frozen=True)
class Ruler:
    """The figure, what it says of the last generation, and every reading."""

    curve: Curve
    sentence: str
    readings: tuple[Reading, ...]


def ruler(run: Run, line: int = 0) -> Ruler | None:
    """Return the blur ruler of a run; None where no freckles were counted or the counter's card holds no ruler."""
    marks, real, series = _marks(run), run.real(COUNT), run.series(COUNT, line)
    if marks is None or real is None or not real.value or not series:
        return None
    readings = tuple(_read(marks, real, m) for m in series)
    last, longest = readings[-1], float(marks[-1, 0])
    sentence = (
        f"Generation {last.measured.generation} shows as few freckles as real faces that are blurred by "
        f"{_pixels(last, longest)}."
        if last.low > 0
        else f"Generation {last.measured.generation} shows no fewer freckles than real faces do without blur."
    )
    return Ruler(_draw(run, marks, real, readings, line, sentence), sentence, readings)


def _marks(run: Run) -> np.ndarray | None:
    """Rows of (sigma, share left, its standard error), made to fall: float [K,3]."""
    card = run.provenance.get("freckle_calibration")
    tables = card.get("tables") if isinstance(card, Mapping) else None
    rows = tables.get(TABLE) if isinstance(tables, Mapping) else None
    if not isinstance(rows, list) or len(rows) < 2:
        return None
    marks = np.array(sorted((row["sigma"], row["value"], row["stderr"]) for row in rows), float)
    marks[:, 1] = np.minimum.accumulate(marks[:, 1])  # a wiggle within its error would make the reading ambiguous
    return marks


def _read(marks: np.ndarray, real: Measurement, m: Measurement) -> Reading:
    top, bottom = m.value or 0.0, real.value or 1.0
    share = top / bottom
    own = float(np.interp(-share, -marks[:, 1], marks[:, 2]))
    error = Z95 * math.hypot((m.stderr or 0.0) / bottom, share * (real.stderr or 0.0) / bottom, own)
    return Reading(m, _sigma(marks, share), _sigma(marks, share + error), _sigma(marks, share - error))


def _sigma(marks: np.ndarray, share: float) -> float:
    """The blur that leaves a share of the count: 0 for as much as sharp faces have, infinite beyond the last mark."""
    if share < marks[-1, 1]:
        return math.inf
    return float(np.interp(-share, -marks[:, 1], marks[:, 0]))


def _pixels(reading: Reading, longest: float) -> str:
    if math.isinf(reading.sigma):
        return f"more than {longest:g} px, where the ruler ends"
    high = f"{reading.high:.2f}" if math.isfinite(reading.high) else f"more than {longest:g}"
    return f"{reading.sigma:.2f} px (95 % interval: {reading.low:.2f} to {high})"


def _draw(
    run: Run, marks: np.ndarray, real: Measurement, readings: tuple[Reading, ...], line: int, sentence: str
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
    told = "; ".join(
        f"generation {r.measured.generation} ({r.measured.value:.3g}): {_pixels(r, longest)}" for r in readings
    )
    return Curve(
        themed_svg(figure, "blur-ruler"), f"{sentence} Freckles found under blur, generation by generation: {told}."
    )
