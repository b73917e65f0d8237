"""Curves and spectra as inline SVG that follows the page's light or dark theme.

Matplotlib draws with placeholder colours. These are then replaced in the SVG by CSS variables and ``currentColor``, so
the same figure works in both themes, on screen and in print. Text stays text. The bytes depend on the numbers alone:
the hash salt is fixed, there is no date, and ids begin with the name of the figure, so that they are unique on a page.
"""

from __future__ import annotations

import io
import re
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from ..evaluation.chains import repetition
from ..measurement import Measurement
from .numbers import at_floor, half_interval, is_distance, power_of_ten
from .palette import FAMILY
from .run_view import Run, plain

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["Curve", "bands_curve", "end_labels", "line_colour", "lines", "new_axes", "spectra_curve", "themed_svg"]

INK, MUTED, RULE, PAPER = "#0a0b0c", "#0a0b1c", "#0a0b2c", "#0a0b3c"
MARKERS = "osD^vP"
SIZE = (4.7, 3.1)
NAMES = 10.5  # points: size of the letters that label a curve


@dataclass(frozen=True)
class Curve:
    """One finished figure: inline SVG, and a sentence for readers who cannot see it."""

    svg: str
    alt: str


def line_colour(line: int) -> str:
    """Return the placeholder that is replaced by the page's colour of a line."""
    return f"#0c0d{min(line, 5):02x}"


def _band_colour(order: int, count: int) -> str:
    """Return the colour of one curve of a family: ``count`` curves use the whole range, coarse to fine."""
    step = round(order * (FAMILY - 1) / max(count - 1, 1))
    return f"#0d0d{step:02x}"


def _step_colour(step: int) -> str:
    return f"#0e{step // 256:02x}{step % 256:02x}"


def lines(run: Run, names: Sequence[str], key: str, ylabel: str, control: str | None = None) -> Curve | None:
    """Draw one metric over the generations: every line with its error band, the floor, theory and a control.

    The floor is the measurement on real images (real against real for a distance), with its 95 % interval.

    Args:
        run: the run.
        names: the metric, followed by its repeats (other random features), which are drawn thin for the main line.
        key: a word that is unique on the page.
        ylabel: the label of the axis, with its unit.
        control: name of a control measurement, drawn dotted; None for none.

    Returns:
        The figure, or None if no generation has a value.
    """
    name = names[0]
    shown = [line for line in run.lines if run.series(name, line)]
    if not shown:
        return None
    figure, axes = new_axes(ylabel, run.last)
    ends = [_floor(axes, run, name)]
    for repeat in names[1:]:
        axes.plot(*_points(run, repeat, 0), color=line_colour(0), linewidth=0.8, alpha=0.6)
    for line in shown:
        ends.append(_draw(axes, run, name, line))
    for line in run.lines:
        ends.append(_theory(axes, run, name, line))
    if control and run.series(control):
        x, y = _points(run, control, 0)
        axes.plot(x, y, color=MUTED, linestyle=":", marker="x", markersize=5, linewidth=1.5)
        ends.append((float(y[-1]), "blank control", MUTED))
    _finish(axes, run, [end for end in ends if end])
    return Curve(themed_svg(figure, key), _tell(run, name, shown, ylabel))


def bands_curve(run: Run, names: Sequence[str], key: str, ylabel: str) -> Curve | None:
    """Draw a family of measurements of the main line into one figure, such as spectral bands or attributes."""
    names = [name for name in names if run.series(name)]
    if not names:
        return None
    figure, axes = new_axes(ylabel, run.last)
    if key.startswith("curve-band_power"):
        axes.axhline(0, color=MUTED, linewidth=1.2, linestyle=(0, (5, 3)))
    ends = []
    for order, name in enumerate(names):
        colour = _band_colour(order, len(names))
        x, y = _points(run, name, 0)
        _band(axes, run, name, 0, colour)
        _marked(axes, x, y, colour, order, 1.8)
        low = [m for m in run.series(name) if at_floor(run, m)]
        axes.plot([m.generation for m in low], [float(m.value or 0) for m in low], **_open(order, colour))
        ends.append((float(y[-1]), _part(name), colour))
    _finish(axes, run, ends, zero=False)
    last = run.series(names[-1])[-1]
    alt = f"{len(names)} {'curve' if len(names) == 1 else 'curves'} over the generations; {ylabel}. "
    return Curve(
        themed_svg(figure, key), alt + f"{_part(names[-1])} ends at {last.value:.3g} in generation {last.generation}."
    )


def spectra_curve(run: Run, key: str, predicted: Mapping[int, np.ndarray] | None = None) -> Curve | None:
    """Draw the radial power spectrum of every generation of the main line on logarithmic axes.

    The spectrum of real images has the colour of the text.

    Args:
        run: the run.
        key: a word that is unique on the page.
        predicted: generation -> power by cycles per image, from 0 on; drawn dashed.
    """
    names = sorted((n for n in run.names if re.fullmatch(r"radial_power/\d+", n)), key=lambda n: int(n.split("/")[1]))
    if not names or not any(run.real(name) or run.series(name) for name in names):
        return None
    figure, axes = new_axes("power", run.last, size=(7.2, 4.2))
    ends = []
    for generation in run.generations:
        found = [run.real(n) if generation == 0 else run.at(n, generation) for n in names]
        points = [(int(m.name.split("/")[1]), m.value) for m in found if m and m.value and m.value > 0]
        if not points:
            continue
        x, y = zip(*points, strict=True)
        colour = INK if generation == 0 else _step_colour(generation)
        axes.plot(x, y, color=colour, linewidth=2.4 if generation == 0 else 1.5, zorder=4 if generation == 0 else 3)
        if generation in (0, 1, run.last) or generation == run.last // 2:
            ends.append((float(y[-1]), "real" if generation == 0 else f"gen. {generation}", colour))
    for generation, power in (predicted or {}).items():
        colour, finest = _step_colour(generation), min(len(power) - 1, len(names))
        axes.plot(range(1, finest + 1), power[1 : finest + 1], color=colour, linewidth=1.6, linestyle=(0, (4, 2)))
        ends.append((float(power[finest]), f"perfect net, gen. {generation}", colour))
    _logarithmic(axes, int(names[-1].split("/")[1]))
    _rounding(axes, run)
    end_labels(axes, ends)
    count = len(run.generations)
    alt = f"Radial power spectra of {count} generations on logarithmic axes, coarse detail left, fine detail right."
    ends_at = [(g, run.at(names[-1], g) if g else run.real(names[-1])) for g in (0, 1, run.last)]
    ends_as = [f"{'real images' if g == 0 else f'generation {g}'} {m.value:.3g}" for g, m in dict(ends_at).items() if m]
    return Curve(themed_svg(figure, key), f"{alt} Power of the finest detail: {'; '.join(ends_as)}.")


def new_axes(ylabel: str, last: int, size: tuple[float, float] = SIZE) -> tuple[Figure, Axes]:
    """Return an empty figure over the generations 0..last, with room for labels at the ends of its curves."""
    from matplotlib.figure import Figure
    from matplotlib.ticker import MaxNLocator

    figure = Figure(figsize=size)
    axes = figure.add_axes((0.145, 0.165, 0.62 if size == SIZE else 0.73, 0.79))
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
    for side in ("left", "bottom"):
        axes.spines[side].set_color(RULE)
    axes.tick_params(colors=MUTED, labelsize=10, length=3, width=0.8)
    axes.grid(axis="y", color=RULE, linewidth=0.7)
    axes.set_axisbelow(True)
    axes.set_ylabel(ylabel, color=MUTED, fontsize=10)
    axes.set_xlabel("generation (0 = real images)", color=MUTED, fontsize=10)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True, nbins=11))
    axes.set_xlim(-0.2, max(last, 1) + 0.2)
    return figure, axes


def _part(name: str) -> str:
    return plain(name.rpartition("/")[2].replace("-", "–").replace("_", " "))


def _points(run: Run, name: str, line: int) -> tuple[np.ndarray, np.ndarray]:
    real = run.real(name)
    measured = [*([real] if real else []), *run.series(name, line)]
    return np.array([m.generation for m in measured]), np.array([m.value for m in measured], float)


def _band(axes: Axes, run: Run, name: str, line: int, colour: str) -> None:
    real = run.real(name)
    known = [(m.generation, repetition(m)) for m in [*([real] if real else []), *run.series(name, line)]]
    x, ends = [t for t, each in known if each], np.array([each for _, each in known if each], float)
    if len(x):
        axes.fill_between(x, ends[:, 0], ends[:, 1], color=colour, alpha=0.18, linewidth=0)
    for chain in run.chains(name, line):
        values = [float(m.value or 0) for m in chain]
        axes.plot([m.generation for m in chain], values, color=colour, linewidth=0.7, alpha=0.55)


def _draw(axes: Axes, run: Run, name: str, line: int) -> tuple[float, str, str]:
    colour, (x, y) = line_colour(line), _points(run, name, line)
    _band(axes, run, name, line, colour)
    _marked(axes, x, y, colour, line, 2.2 if line == 0 else 1.6)
    return float(y[-1]), run.label(line, 18), colour


def _marked(axes: Axes, x: np.ndarray, y: np.ndarray, colour: str, order: int, width: float) -> None:
    """Draw one curve with the marker of its order; earlier curves are on top, long curves have about 12 markers."""
    marker, every = MARKERS[order % len(MARKERS)], max(1, len(x) // 12)
    style = {"marker": marker, "markersize": 4.5, "markevery": every, "linewidth": width}
    axes.plot(x, y, color=colour, zorder=4 - 0.1 * order, **style)


def _open(order: int, colour: str) -> dict[str, Any]:
    """Return the style of a point without meaning (below the rounding noise): an open marker."""
    look = {"linestyle": "none", "markerfacecolor": PAPER, "markeredgecolor": colour, "markersize": 6, "zorder": 5}
    return {"marker": MARKERS[order % len(MARKERS)], **look}


def _floor(axes: Axes, run: Run, name: str) -> tuple[float, str, str] | None:
    real = run.real(name)
    if real is None or real.value is None:
        return None
    axes.axhline(real.value, color=INK, linewidth=1.2, linestyle=(0, (5, 3)))
    if real.stderr is not None:
        half = half_interval(real) or 0.0
        axes.axhspan(real.value - half, real.value + half, color=INK, alpha=0.10, linewidth=0)
    return real.value, "real vs real" if is_distance(real) else "real", INK


def _theory(axes: Axes, run: Run, name: str, line: int) -> tuple[float, str, str] | None:
    predicted = run.series(name, line, predicted=True)
    main = run.series(name, 0, predicted=True)
    if not predicted or (line > 0 and [m.value for m in predicted] == [m.value for m in main]):
        return None
    x, y = [m.generation for m in predicted], [float(m.value or 0) for m in predicted]
    axes.plot(x, y, color=MUTED, linestyle="--", linewidth=1.4)
    return y[-1], "theory" if line == 0 else f"theory, {run.model(line)}", MUTED


def _logarithmic(axes: Axes, finest: int) -> None:
    from matplotlib.ticker import FuncFormatter, NullLocator

    octaves = [2**k for k in range(finest.bit_length())]
    axes.set_xscale("log", base=2)
    axes.set_yscale("log")
    axes.set_xlim(1, max(finest, 2))
    axes.set_xticks(octaves, [str(octave) for octave in octaves])
    axes.set_xlabel("detail: cycles per image, from coarse to fine")
    axes.yaxis.set_minor_locator(NullLocator())
    axes.yaxis.set_major_formatter(FuncFormatter(lambda power, _: power_of_ten(round(np.log10(power)))))


def _rounding(axes: Axes, run: Run) -> None:
    """Mark the power that rounding to 8 bits adds at every frequency; power below it cannot be measured."""
    floor = run.real("spectrum/floor")
    if floor is not None and floor.value:
        axes.axhline(floor.value, color=MUTED, linewidth=1, linestyle=":")
        axes.text(1.1, floor.value, "8-bit rounding", color=MUTED, fontsize=9.5, va="bottom")


def _finish(axes: Axes, run: Run, ends: list[tuple[float, str, str]], zero: bool = True) -> None:
    if zero and all(y >= 0 for y, _, _ in ends):  # the error band of a count may reach below 0, its axis need not
        high = axes.get_ylim()[1]
        axes.set_ylim(-0.02 * high, high)
    end_labels(axes, ends)


def end_labels(axes: Axes, ends: list[tuple[float, str, str]]) -> None:
    """Write the label of each curve at its end; labels are moved apart so that none covers another.

    Long labels make the axes narrower.
    """
    x, room = axes.get_xlim()[1], 17 if axes.get_position().width < 0.7 else 20
    ends = [(y, plain(text, room), colour) for y, text, colour in ends]
    _make_room(axes, [text for _, text, _ in ends])
    to_axes = axes.transData + axes.transAxes.inverted()
    labels = sorted(
        ((float(to_axes.transform((x, y))[1]), text, colour) for y, text, colour in ends), key=lambda e: e[0]
    )
    gap, heights = 0.075, [height for height, _, _ in labels]
    # Upwards: each label at least one gap above the one below. Then downwards: none above the ceiling.
    for k in range(1, len(heights)):
        heights[k] = max(heights[k], heights[k - 1] + gap)
    ceiling = 0.99
    for k in reversed(range(len(heights))):
        heights[k] = min(heights[k], ceiling)
        ceiling = heights[k] - gap
    for height, (_, text, colour) in zip(heights, labels, strict=True):
        axes.text(
            1.03,
            height,
            text,
            transform=axes.transAxes,
            color=colour,
            va="center",
            fontsize=NAMES,
            parse_math=False,
        )


def _make_room(axes: Axes, texts: Sequence[str]) -> None:
    """Make the axes narrower if a label would otherwise end outside the figure."""
    from matplotlib.textpath import TextPath

    longest = max((TextPath((0, 0), text, size=NAMES).get_extents().width for text in texts), default=0.0)
    place, figure = axes.get_position(), axes.get_figure(root=True)
    assert figure is not None
    wide = figure.get_size_inches()[0] * 72  # points, the unit of the letters
    most = (1 - place.x0 - longest / wide) / 1.03  # labels begin at 1.03 of the axes
    if most < place.width:
        axes.set_position((place.x0, place.y0, most, place.height))


def _tell(run: Run, name: str, shown: list[int], ylabel: str) -> str:
    """Return the curve as text: the first and the last value of every line."""
    real = run.real(name)
    parts = [f"{plain(ylabel)} over {run.last} generations."]
    if real and real.value is not None:
        parts.append(f"Real images: {real.value:.3g}.")
    for line in shown:
        measured = run.series(name, line)
        first, last = measured[0], measured[-1]
        parts.append(
            f"{run.label(line)}: {_said(first)}, {_said(last)}."
            if first is not last
            else f"{run.label(line)}: {_said(last)}."
        )
    return " ".join(parts)


def _said(m: Measurement) -> str:
    return f"{m.value:.3g} in generation {m.generation}"


def themed_svg(figure: Figure, key: str) -> str:
    """Return the figure as an HTML fragment: no fixed size, themed colours, unique ids, no external reference."""
    from matplotlib import rc_context

    file = io.StringIO()
    settings: dict[Any, Any] = {
        "svg.fonttype": "none",
        "svg.hashsalt": key,
        "font.family": "sans-serif",
        "text.parse_math": False,
    }
    with rc_context(settings), warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Glyph .* missing from")
        figure.savefig(file, format="svg", transparent=True, metadata={"Date": None})
    svg = file.getvalue()
    svg = svg[svg.index("<svg") :]
    svg = re.sub(r"<metadata>.*?</metadata>", "", svg, flags=re.S)
    svg = (
        re.sub(r'\s(?:xmlns(?::\w+)?|width|height|version)="[^"]*"', "", svg[: svg.index(">")]) + svg[svg.index(">") :]
    )
    svg = re.sub(r'(?<=\sid=")|(?<=url\(#)|(?<=xlink:href="#)', f"{key}-", svg).replace("xlink:href", "href")
    svg = re.sub(
        r"font: ([\d.]+)px [^;\"]*", r"font-size: \1px", svg
    )  # the typeface of the page, not that of matplotlib
    svg = re.sub(r" font-family: [^;\"]*;", "", svg)
    return _themed(svg).replace("<svg", '<svg aria-hidden="true" focusable="false"', 1).strip()


def _themed(svg: str) -> str:
    for colour, variable in (
        (INK, "currentColor"),
        (MUTED, "var(--muted)"),
        (RULE, "var(--rule)"),
        (PAPER, "var(--paper)"),
    ):
        svg = svg.replace(colour, variable)
    svg = re.sub(r"#0c0d([0-9a-f]{2})", lambda m: f"var(--line-{int(m[1], 16)})", svg)
    svg = re.sub(r"#0d0d([0-9a-f]{2})", lambda m: f"var(--band-{int(m[1], 16)})", svg)
    svg = re.sub(r"#0e([0-9a-f]{4})", lambda m: f"var(--step-{int(m[1], 16)})", svg)
    # A colour that is clear as a line may be too pale for letters: they mix it half and half with the text colour.
    pale = r"(<text style=\"[^\"]*fill: )(var\(--(?:band|step)-\d+\))"
    return re.sub(pale, r"\1color-mix(in srgb, \2 50%, currentColor)", svg)
