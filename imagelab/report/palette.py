"""The colours of pages, slides and notebooks, defined in one place; pages use them as CSS variables.

The colours of lines distinguish models, also for colour-blind readers. The colours of stages go from pale to dark, so
that they differ in a grey print. Generations and bands of a spectrum use cividis, whose lightness changes evenly.

References:
    Optimizing colormaps with consideration for color vision deficiency to enable accurate interpretation of scientific
        data (Nuñez, Anderton and Renslow 2018), doi:10.1371/journal.pone.0199239: cividis.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

__all__ = ["DARK", "FAMILY", "LIGHT", "Theme", "cividis", "ink_on", "style", "themes"]

FAMILY = 16
"""The number of colours for the curves of a family, such as spectral bands."""


@dataclass(frozen=True)
class Theme:
    """Colours for one background, as #rrggbb.

    Attributes:
        paper: the background.
        ink: text.
        muted: secondary text.
        rule: thin lines.
        wash: shaded boxes.
        accent: emphasis.
        lines: the main model and its control models; models beyond the last colour share that colour.
        stages: the background of each stage of collapse, healthy first.
        on_stages: the text on these backgrounds.
        steps: the range of positions in cividis, 0..1, for the generations.
        bands: the range of positions in cividis, 0..1, for the curves of a family.
    """

    paper: str
    ink: str
    muted: str
    rule: str
    wash: str
    accent: str
    lines: tuple[str, ...]
    stages: tuple[str, ...]
    on_stages: tuple[str, ...]
    steps: tuple[float, float]
    bands: tuple[float, float]

    def variables(self) -> dict[str, str]:
        """Return the colours that do not depend on a run, by their names in style.css."""
        plain = {name: getattr(self, name) for name in ("paper", "ink", "muted", "rule", "wash", "accent")}
        rows = {"line": self.lines, "stage": self.stages, "on-stage": self.on_stages}
        return plain | {f"{name}-{k}": colour for name, row in rows.items() for k, colour in enumerate(row)}


_DARK_INK = "#16181b"
_STAGE_INKS = (_DARK_INK, _DARK_INK, _DARK_INK, "#ffffff")

LIGHT = Theme(
    paper="#ffffff",
    ink=_DARK_INK,
    muted="#5c6470",
    rule="#dfe2e6",
    wash="#f5f6f7",
    accent="#b8430a",
    lines=("#b8430a", "#0a6cb0", "#00775a", "#8a4a83", "#7a6a00", "#5c6470"),
    stages=("#e4efe9", "#fbe6b3", "#f0a35e", "#6d2119"),
    on_stages=_STAGE_INKS,
    steps=(0.05, 0.72),
    bands=(0.72, 0.05),
)
"""Dark text on white: pages in light mode, print, slides, notebooks."""

DARK = Theme(
    paper="#121416",
    ink="#e9ebee",
    muted="#a0a8b2",
    rule="#33383e",
    wash="#1b1e22",
    accent="#ff9a5c",
    lines=("#ff9a5c", "#63b7f2", "#4fc7a1", "#d79ad0", "#e0cf5b", "#a0a8b2"),
    stages=("#9cc3b1", "#e9cd85", "#e38d45", "#7c2a20"),
    on_stages=_STAGE_INKS,
    steps=(0.45, 1.0),
    bands=(0.45, 1.0),
)
"""Light text on near black: pages in dark mode."""


def themes(steps: int) -> dict[str, str]:
    """Return the CSS declarations of a light and a dark page with ``steps`` generations."""
    return {"light": style(_all(LIGHT, steps)), "dark": style(_all(DARK, steps))}


def style(variables: Mapping[str, str]) -> str:
    """Return CSS variables as declarations.

    Example:
        >>> style({"ink": "#16181b"})
        '--ink:#16181b;'
    """
    return "".join(f"--{name}:{colour};" for name, colour in variables.items())


def cividis(count: int, low: float, high: float) -> list[str]:
    """Return ``count`` colours of the cividis map between the positions ``low`` and ``high`` (0..1), as #rrggbb."""
    from matplotlib import colormaps
    from matplotlib.colors import to_hex

    return [to_hex(colormaps["cividis"](position)) for position in np.linspace(low, high, max(count, 1))]


def _all(theme: Theme, steps: int) -> dict[str, str]:
    """Return the colours of a theme, with those of the generations (from 1) and of a family (from 0)."""
    made = {f"step-{k}": colour for k, colour in enumerate(cividis(steps, *theme.steps), 1)}
    return theme.variables() | made | {f"band-{k}": c for k, c in enumerate(cividis(FAMILY, *theme.bands))}


def ink_on(colour: str) -> str:
    """Return black or white, whichever stands out more on a colour; its contrast is 4.5 or more on any colour."""
    parts = [int(colour[k : k + 2], 16) / 255 for k in (1, 3, 5)]
    linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
    light = 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]
    return "#000000" if (light + 0.05) / 0.05 >= 1.05 / (light + 0.05) else "#ffffff"
