"""Runs in a notebook: run an experiment, display the run, read its numbers.

from imagelab.notebook import look, run
seen = run(Experiment(...))      # or look("runs/photocopy-1a2b3c4d")
seen                             # headline, stages, pictures, key figures
seen.grid("photocopy")           # a sheet of pictures
seen.curve("freckles/corrected") # one curve with its floor and intervals
seen.numbers("frechet")          # rows of metrics.jsonl as plain dictionaries, ready for a data frame
"""

from __future__ import annotations

import html
import io
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

from .experiment import Experiment
from .report import curves
from .report.grids import caption, page_rows
from .report.headline import headline
from .report.key_figures import facts
from .report.palette import LIGHT, style
from .report.print_sheets import make_sheet, sheet_figure
from .report.run_view import Run, read_run
from .report.stage_bar import ribbons

__all__ = ["Figure", "RunFigures", "look", "run"]

COLUMNS = 8


@dataclass(frozen=True)
class Figure:
    """A figure for a notebook: PNG or SVG, with its alternative text."""

    alt: str
    png: bytes = b""
    svg: str = ""

    def _repr_html_(self) -> str:
        if self.svg:
            words, colours = html.escape(self.alt), style(LIGHT.variables())
            return f'<div role="img" aria-label="{words}" style="max-width:640px;{colours}">{self.svg}</div>'
        import base64

        uri = base64.b64encode(self.png).decode()
        return f'<img alt="{html.escape(self.alt)}" src="data:image/png;base64,{uri}" style="max-width:100%">'


@dataclass(frozen=True, eq=False)
class RunFigures:
    """A run in a notebook; displayed as its headline, stages, pictures and key figures."""

    folder: Path

    @property
    def view(self) -> Run:
        """The run as it is on disk now."""
        return read_run(self.folder)

    def grid(
        self,
        kind: Literal["seeds", "photocopy", "changed", "nearest"] = "seeds",
        columns: int = COLUMNS,
        generations: Sequence[int] | None = None,
        line: int = 0,
    ) -> Figure:
        """Return a sheet of pictures; see ``imagelab grid`` for the kinds."""
        view = self.view
        sheet = make_sheet(view, kind, columns, generations, line)
        file = io.BytesIO()
        sheet_figure(sheet, view, width=220.0, dpi=110).savefig(file, format="png", dpi=110)
        return Figure(sheet.alt, png=file.getvalue())

    def curve(self, name: str) -> Figure:
        """Return one measurement over the generations: every line with its interval, the floor, the theory.

        Raises:
            ValueError: for a name that this run has not measured; the message lists the measured names.
        """
        view = self.view
        drawn = curves.lines(view, [name], "notebook-" + "".join(c if c.isalnum() else "-" for c in name), name)
        if drawn is None:
            measured = ", ".join(n for n in view.names if view.series(n) and not n.startswith("radial_power"))
            raise ValueError(f"{view.name}: no values of {name!r}; there are {measured}")
        return Figure(drawn.alt, svg=drawn.svg)

    def numbers(self, prefix: str = "") -> list[dict[str, Any]]:
        """Return the measurements whose names begin with ``prefix``, as dictionaries for ``pandas.DataFrame``."""
        return [asdict(m) for m in self.view.measurements if m.name.startswith(prefix)]

    def _repr_html_(self) -> str:
        view = self.view
        result = headline(view)
        parts = [f"<h3>{html.escape(result.sentence)}</h3>", f"<p>{html.escape(' '.join(result.remarks))}</p>"]
        for ribbon in ribbons(view):
            cells = "".join(
                f'<span style="flex:{s.span};padding:4px 8px;background:{LIGHT.stages[s.order]};'
                f'color:{LIGHT.on_stages[s.order]}">{html.escape(s.stage)} {s.first}–{s.last}</span>'
                for s in ribbon.segments
            )
            label = html.escape(ribbon.label)
            parts.append(f'<div style="display:flex;gap:2px"><b style="width:9em">{label}</b>{cells}</div>')
        pictures = view.pictures("photocopy") or view.pictures("tracked")
        rows, _ = page_rows(pictures, COLUMNS)
        for row in rows:
            words = caption(row.generation)
            parts.append(
                f'<div style="display:flex;align-items:center;gap:8px"><span style="width:9em">{words}</span>'
                f'<img alt="{words}" src="{row.uri}" style="image-rendering:pixelated;width:560px"></div>'
            )
        for fact in facts(view):
            beside = "; ".join(f"{who} {values.get(view.last, '–')}" for who, values in fact.beside)
            value = html.escape(fact.value[view.last])
            parts.append(f"<div><b>{html.escape(fact.label)}</b>: {value} ({html.escape(beside)})</div>")
        return "\n".join(parts)


def look(folder: str | Path) -> RunFigures:
    """Return a run for display.

    Raises:
        ValueError: if the folder is not a run folder.
    """
    read_run(Path(folder))
    return RunFigures(Path(folder))


def run(experiment: Experiment) -> RunFigures:
    """Run an experiment, or the unfinished part of it, and return it for display; a finished run is not repeated.

    Raises:
        RuntimeError: if it failed; the reason was printed.
    """
    from .cli.run import execute

    code = execute(experiment)
    if code:
        raise RuntimeError(f"the run ended with exit code {code}; the lines above give the reason")
    return RunFigures(experiment.folder)
