"""The radial power spectrum of every generation, on logarithmic axes."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np

from .curves import Curve, end_labels, new_axes
from .numbers import power_of_ten
from .run_view import Run
from .svg import INK, MUTED, themed_svg

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["spectra_curve"]


def _step_colour(step: int) -> str:
    return f"#0e{step // 256:02x}{step % 256:02x}"


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
    return Curve(themed_svg(figure, key), f"{alt} Power of fine detail: {'; '.join(ends_as)}.")


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
