"""The pictures of a study: the same ones of one run of every cell, at its last generation, beside the real ones."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from .grids import Row, page_rows
from .page import ROOM
from .run_view import Run
from .study_cells import Arrangement, Choice, named_choice
from .study_effects import StudyValues
from .study_view import StudyView

__all__ = ["CellStrip", "StudyPictures", "study_pictures"]

PICTURES = 4  # of one point
MOST_STRIPS = 60
MOST_COLUMNS = 4


@dataclass(frozen=True)
class CellStrip:
    """Pictures of one cell.

    Attributes:
        label: its settings; "" where the study has no such point.
        row: a row of pictures; None where they are missing.
        width: of the row in px.
        height: of the row in px.
    """

    label: str = ""
    row: Row | None = None
    width: int = 0
    height: int = 0


@dataclass(frozen=True)
class StudyPictures:
    """The pictures of a study.

    Attributes:
        facets: (choice of the other settings, strips row by row) as the heat maps are laid out.
        real: the real images.
        kind: "photocopy" or "tracked".
        seed: the seed of all of them; None where no seed has all choices of settings.
        columns: strips side by side.
        wide: width of a strip on the page, in CSS pixels.
        left: how many more there are that are not shown.
    """

    facets: tuple[tuple[str, tuple[CellStrip, ...]], ...]
    real: CellStrip
    kind: str
    seed: str | None
    columns: int
    wide: int
    left: int


def study_pictures(study: StudyView, values: StudyValues, place: Arrangement) -> StudyPictures | None:
    """Return the pictures of a study; None where no model has made any.

    Args:
        study: the study.
        values: of its primary outcome, for its configurations.
        place: which settings make rows, columns and facets.
    """
    chosen, seed = _pictured_runs(study)
    if not chosen:
        return None
    kind = "photocopy" if all(run.pictures("photocopy") for run in chosen.values()) else "tracked"
    facets, real, left = [], None, MOST_STRIPS
    for facet in place.facets:
        strips = []
        for row in place.rows:
            for column in place.columns:
                label = _label(place, row, column)
                members = [values.configurations[k] for k in place.members(study, values, facet, row, column)]
                here = next((each for each in members if each in chosen), None)
                if here is None or left == 0:
                    lacking = members and left > 0
                    strips.append(CellStrip(label if lacking else ""))
                    continue
                left -= 1
                pictures = chosen[here].pictures(kind)
                strips.append(
                    _strip(
                        label if not place.averaged else named_choice(list(study.axes), here), pictures, max(pictures)
                    )
                )
                real = real or _strip("real images", pictures, min(pictures))
        kept = strips if len(place.columns) <= MOST_COLUMNS else [strip for strip in strips if strip.label]
        facets.append((place.facet_words(facet), tuple(kept)))
    assert real is not None
    columns = max(1, min(len(place.columns), MOST_COLUMNS))
    times = max(1, min(4, int((ROOM - 60) / max(columns, 3) // real.width)))
    left_out = max(0, len(chosen) - MOST_STRIPS)
    return StudyPictures(tuple(facets), real, kind, seed, columns, real.width * times, left_out)


def _label(place: Arrangement, row: Choice, column: Choice) -> str:
    parts = [named_choice(place.row, row), named_choice(place.column, column)]
    return ", ".join(filter(None, parts)) or "all points"


def _pictured_runs(study: StudyView) -> tuple[dict[tuple[str | None, ...], Run], str | None]:
    """Return a run of every configuration, of one seed for all if there is such a seed, and that seed."""
    begun = [(p, p.run) for p in study.points if p.run is not None and p.run.last > 0 and p.run.pictures("tracked")]
    every = {study.configuration(point) for point, _ in begun}
    seeds = [s for s in study.seeds if {study.configuration(p) for p, _ in begun if p.seed == s} == every]
    seed = seeds[0] if seeds else None
    chosen: dict[tuple[str | None, ...], Run] = {}
    for point, run in begun:
        if seed is None or point.seed == seed:
            chosen.setdefault(study.configuration(point), run)
    return chosen, seed


def _strip(label: str, pictures: Mapping[int, np.ndarray], generation: int) -> CellStrip:
    rows, count = page_rows({generation: pictures[generation]}, PICTURES)
    height, width = pictures[generation].shape[2:]
    return CellStrip(label, rows[0], count * (width + 2) - 2, height)
