"""The share of every rare attribute over the generations, next to the range that chance alone would give.

The null model is a perfect generator: each of its images has the attribute with a probability equal to the attribute's
share in its training images. Such a generator can still lose the attribute by chance (Wright-Fisher drift,
theory.wright_fisher_bands). A loss is attributed to the model only if the share is below that band by more than the
error of the measurement. The band is that of the replace regime with the same number of images; regimes that keep real
data drift less.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from ..evaluation.chains import loop_error, repetition
from ..evaluation.signals import RARE
from ..measurement import Measurement
from ..theory import wright_fisher_bands
from .curves import Curve, line_colour
from .numbers import Z95, half_interval, number
from .run_view import Run, plain
from .svg import INK, MUTED, RULE, themed_svg

__all__ = ["AttributeTrend", "Survival", "survival"]

COLUMNS = 4


@dataclass(frozen=True)
class AttributeTrend:
    """The change of one attribute.

    Attributes:
        name: its name for readers.
        real: its share among real images.
        last: its share in the last generation.
        drift: the lowest and the highest share that chance alone would leave in the last generation (95 %).
        beyond: "lost" or "gained" if the last share is outside ``drift`` by more than its error, else "".
        extinct: the first generation from which on its share is never distinguishable from zero; None if it is
            distinguishable in the last generation.
    """

    name: str
    real: Measurement
    last: Measurement
    drift: tuple[float, float]
    beyond: str
    extinct: int | None

    @property
    def words(self) -> str:
        """The result as text."""
        gone = "" if self.extinct is None else f"indistinguishable from zero from generation {self.extinct} on"
        cause = {
            "lost": "lower than chance explains",
            "gained": "higher than chance explains",
            "": "within chance",
        }[self.beyond]
        return f"{gone}, {cause}" if gone else cause


@dataclass(frozen=True)
class Survival:
    """The data of the section about rare attributes.

    Attributes:
        fates: the change of each rare attribute.
        rare: the share of their joint real frequency that the rare attributes keep in the last generation, and its
            standard error.
        chance: the lowest and the highest such share that drift alone would leave (95 %).
        common: as ``rare``, for the common attributes; None if there are none.
        n: images per generation.
        generation: the last generation.
        curve: the small plots.
    """

    fates: tuple[AttributeTrend, ...]
    rare: tuple[float, float]
    chance: tuple[float, float]
    common: tuple[float, float] | None
    n: int
    generation: int
    curve: Curve

    @cached_property
    def sentence(self) -> str:
        """The comparison of rare attributes, common attributes and chance, as text."""
        gone = sum(fate.extinct is not None for fate in self.fates)
        lost = sum(fate.beyond == "lost" for fate in self.fates)
        count = len(self.fates)
        low, high = self.chance
        text = (
            f"Rare attributes are those that fewer than {100 * RARE:g} % of real images have. Of {count} rare "
            f"{'attribute' if count == 1 else 'attributes'}, {gone or 'none'} can no longer be distinguished from zero "
            f"in generation {self.generation}. A rare attribute can disappear by chance: tested one by one, "
            f"{lost or 'none'} fell further than chance alone explains. Together, rare attributes keep "
            f"{_percent(self.rare)} of their share in real images; chance alone would leave {low:.0%} to {high:.0%}"
        )
        return text + (f"; common attributes keep {_percent(self.common)}." if self.common else ".")


def survival(run: Run, line: int = 0) -> Survival | None:
    """Return the changes of the rare attributes of a run; None if none was measured or no generation is finished."""
    names = [
        name for name in run.names if name.startswith("tails/") and run.real(name) and run.at(name, run.last, line)
    ]
    rare = [name for name in names if 0 < _value(run.real(name)) < RARE]
    if not rare or run.last == 0:
        return None
    n = run.at(rare[0], run.last, line).n_fake  # pyright: ignore[reportOptionalMemberAccess]
    fates, bands = [], {}
    for name in sorted(rare, key=lambda name: -_value(run.real(name))):
        start = run.real(f"truth/{name.partition('/')[2]}") or run.real(name)
        bands[name] = wright_fisher_bands(_value(start), max(n, 2), run.last)
        fates.append(_fate(run, name, line, bands[name]))
    common = [name for name in names if _value(run.real(name)) >= RARE and not name.startswith("tails/hair_")]
    kept = _kept(run, common, line) if common else None
    starts = [float(band[0, 0]) for band in bands.values()]
    chance = _chance(starts, max(n, 2), run.last)
    return Survival(tuple(fates), _kept(run, rare, line), chance, kept, n, run.last, _draw(run, line, bands))


def _chance(shares: list[float], n: int, generations: int) -> tuple[float, float]:
    """Return the range of the joint share that drift alone leaves, for attributes that drift independently.

    Normal approximation, 95 %: variance sum_a p_a (1 - p_a) (1 - (1 - 1/n)^T) of the joint share sum_a p_a.
    """
    variance = sum(p * (1 - p) for p in shares) * (1 - (1 - 1 / n) ** generations)
    half = Z95 * math.sqrt(variance) / sum(shares)
    return max(0.0, 1 - half), 1 + half


def _value(m: Measurement | None) -> float:
    return (m.value or 0.0) if m is not None else 0.0


def _fate(run: Run, name: str, line: int, bands: np.ndarray) -> AttributeTrend:
    real, last = run.real(name), run.at(name, run.last, line)
    assert real is not None and last is not None
    low, high = (float(edge) for edge in bands[-1])
    error = half_interval(last) or 0.0
    beyond = "lost" if _value(last) + error < low else "gained" if _value(last) - error > high else ""
    extinct = None
    for generation in reversed(run.generations[1:]):
        m = run.at(name, generation, line)
        if m is None or _value(m) > (half_interval(m) or 0.0):
            break
        extinct = generation
    return AttributeTrend(name.partition("/")[2].replace("_", " "), real, last, (low, high), beyond, extinct)


def _kept(run: Run, names: list[str], line: int) -> tuple[float, float]:
    """Return the share that attributes together keep in the last generation, and its standard error."""
    pairs = [(run.real(name), run.at(name, run.last, line)) for name in names]
    whole = sum(_value(real) for real, _ in pairs)
    share = sum(_value(last) for _, last in pairs) / whole
    spread = sum(
        ((loop_error(last) or (0.0,))[0] if last else 0.0) ** 2 + (share * ((real.stderr or 0.0) if real else 0.0)) ** 2
        for real, last in pairs
    )
    return share, math.sqrt(spread) / whole


def _percent(share: tuple[float, float]) -> str:
    return f"{number(100 * share[0], 100 * Z95 * share[1])} %"


def _draw(run: Run, line: int, bands: dict[str, np.ndarray]) -> Curve:
    """Draw small multiples: one plot per attribute, in percent of the images."""
    from matplotlib.figure import Figure
    from matplotlib.ticker import MaxNLocator

    columns = min(COLUMNS, len(bands))
    rows = math.ceil(len(bands) / columns)
    figure = Figure(figsize=(2.6 * columns, 1.9 * rows + 0.2))
    figure.subplots_adjust(0.06, 0.3 / rows, 0.995, 1 - 0.14 / rows, 0.24, 0.55)
    for order, (name, band) in enumerate(bands.items()):
        axes = figure.add_subplot(rows, columns, order + 1)
        axes.fill_between(range(len(band)), *(100 * band.T), color=INK, alpha=0.12, linewidth=0)
        real = run.real(name)
        measured = [*([real] if real else []), *run.series(name, line)]
        x, y = [m.generation for m in measured], np.array([100 * _value(m) for m in measured])
        ends = np.array([repetition(m) or (_value(m), _value(m)) for m in measured]) * 100
        axes.errorbar(
            x,
            y,
            np.maximum([y - ends[:, 0], ends[:, 1] - y], 0.0),
            color=line_colour(0),
            linewidth=1.8,
            elinewidth=0.9,
            marker="o",
            markersize=3,
        )
        axes.set_title(plain(name.partition("/")[2].replace("_", " "), 24), fontsize=10, loc="left", color=INK)
        axes.set_xlim(-0.3, run.last + 0.3)
        axes.set_ylim(min(0.0, float(ends[:, 0].min())), None)
        axes.xaxis.set_major_locator(MaxNLocator(integer=True, nbins=5))
        axes.yaxis.set_major_locator(MaxNLocator(nbins=3))
        axes.tick_params(colors=MUTED, labelsize=9, length=2)
        for side, spine in axes.spines.items():
            spine.set_visible(side in ("left", "bottom"))
            spine.set_color(RULE)
        axes.axhline(0, color=RULE, linewidth=0.7)
        if order >= len(bands) - columns:
            axes.set_xlabel("generation", color=MUTED, fontsize=9)
    alt = f"{len(bands)} small plots, one for each rare attribute: its share of the images in percent, by generation."
    return Curve(themed_svg(figure, "survival"), alt)
