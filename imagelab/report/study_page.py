"""The page of a study: one self-contained HTML file about all its points, finished or not, and two CSV files beside it.

It shows the question, the primary outcome and how it was declared, the effect of every swept setting with what its
intervals hold, the values as a heat map or a response curve, the course of every point, pictures of the last
generation, the secondary outcomes, and what is missing and why.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ..io.atomic import write_atomic
from ..io.disk import storing
from .compare_panels import chosen_measurements
from .groups import Group, shared_names
from .methods import flat
from .numbers import number
from .page import environment
from .palette import themes
from .panels import family_of, open_families
from .run_view import Run, plain
from .statistics import outcomes
from .study_cells import (
    arranged,
    cell_scopes,
    cell_text,
    choice_words,
    heat_maps,
    legend,
    level_words,
    why_missing,
)
from .study_csv import effects_csv, values_csv
from .study_effects import Effect, StudyValues, effects, mean_of, measured_at
from .study_figures import course_figures, effect_words, effects_figure, response_figure
from .study_pictures import study_pictures
from .study_table import EFFECT_TABLE, HOLDS, effect_card, effect_row
from .study_view import StudyPoint, StudyView, read_study, spoken
from .wording import Wording, wording

__all__ = ["EFFECTS_CSV", "STUDY_CSV", "primary_outcome", "write_study"]

STUDY_CSV, EFFECTS_CSV = "study.csv", "effects.csv"
FEW_SEEDS = 4
CARDS = 4
OF_THE_IMAGES = ("data", "images", "heldout")
"""Settings with which points of one seed begin with other real images."""


@dataclass(frozen=True)
class StudiedOutcome:
    """The measurement that the page is about.

    Attributes:
        name: its key; "" where nothing is measured.
        words: what it is called.
        generation: "generation 5", or "the last generation".
        how: how it was declared, in one or two sentences.
        late: whether results had been seen by then.
    """

    name: str
    words: Wording
    generation: str
    how: str
    late: bool = False


def write_study(folder: Path, out: Path | None = None, why: Mapping[str, str] | None = None) -> Path:
    """Write index.html, study.csv and effects.csv of a study, whatever of it is finished.

    Args:
        folder: of the study.
        out: where they are written; by default the folder of the study.
        why: name of a point -> why it is not finished, where the caller knows.

    Returns:
        The path of index.html.

    Raises:
        ValueError: if it is no study, or study.json is damaged.
        NotStored: if the disk is full or refuses to write.
    """
    study, place = read_study(Path(folder), why), Path(folder) if out is None else Path(out)
    outcome = primary_outcome(study)
    found = _all_effects(study, outcome)
    context = _context(study, outcome, found, place)
    html = environment().get_template("study.html").render(**context)
    with storing(place, study.folder):
        place.mkdir(parents=True, exist_ok=True)
        write_atomic(place / STUDY_CSV, _clean(values_csv(study)))
        write_atomic(place / EFFECTS_CSV, _clean(effects_csv(outcome.name, found)))
        write_atomic(place / "index.html", _clean(html))
    return place / "index.html"


def _clean(text: str) -> str:
    return text.encode("utf-8", "replace").decode("utf-8")


def _shared(study: StudyView) -> list[str]:
    """Return the measurements that the finished runs share, or all begun ones where none is finished."""
    runs = [p.run for p in study.finished if p.run is not None and p.run.last > 0] or study.runs
    return shared_names([Group("", (run,)) for run in runs]) if runs else []


def primary_outcome(study: StudyView) -> StudiedOutcome:
    """Return the declared primary outcome; without one, the first of a fixed order that the finished points share.

    The order is that of the outcomes that a comparison tests (statistics.py), then that of the figures of a page. It
    depends on what is measured and never on a value.
    """
    names, declared = _shared(study), study.declarations
    generations = {study.target(point) for point in study.points}
    at = f"generation {max(generations)}" if len(generations) == 1 else "the last generation"
    run = next(iter(study.runs), None)
    if declared:
        name, how = declared[-1].primary.measurement, _declared(study)
    else:
        order = [] if run is None else [*outcomes(names), *_chosen(run, names), *names]
        name = next(iter(order), "")
        how = (
            "No primary outcome was declared (imagelab sweep --primary). This one is the first of a fixed order that "
            "all finished points have measured; the order does not depend on any value."
        )
    words = Wording(plain(name, 80), "", "") if run is None or not name else wording(_having(study, name) or run, name)
    return StudiedOutcome(name, words, at, how, bool(declared) and declared[-1].measured > 0)


def _having(study: StudyView, name: str) -> Run | None:
    return next((run for run in study.runs if run.series(name)), None)


def _chosen(run: Run, names: Sequence[str]) -> list[str]:
    families = open_families(run)
    return chosen_measurements(run, [name for name in names if family_of(name) in families])


def _declared(study: StudyView) -> str:
    """Say when the primary outcome was declared, and what had been measured by then."""
    first, *later = study.declarations
    total = len(study.points)
    if first.measured == 0:
        said = f"Declared before any point had a measured generation ({plain(first.when, 20)})."
    else:
        said = (
            f"Declared after results were seen: {first.measured} of {total} points had a measured generation "
            f"({plain(first.when, 20)})."
        )
    if not later:
        return said
    changes = "; ".join(
        f"changed to {plain(each.primary, 80)} on {plain(each.when, 20)}, when {each.measured} of {total} points had a "
        "measured generation"
        for each in later
    )
    seen = " The change was made after results were seen." if any(each.measured for each in later) else ""
    return f"First declared: {plain(first.primary, 80)}. {said} Then {changes}.{seen}"


def _all_effects(study: StudyView, outcome: StudiedOutcome) -> dict[str, list[Effect]]:
    """Return the effects of the primary outcome, then those of the other measurements that a page shows at once."""
    if not outcome.name or not study.axes:
        return {}
    run = study.runs[0] if study.runs else None
    families = open_families(run) if run is not None else ()
    names = [outcome.name, *(name for name in _shared(study) if family_of(name) in families and name != outcome.name)]
    return {name: effects(study, StudyValues.of(study, name)) for name in names if _having(study, name)}


def _context(
    study: StudyView, outcome: StudiedOutcome, found: Mapping[str, Sequence[Effect]], place: Path
) -> dict[str, Any]:
    values, layout = StudyValues.of(study, outcome.name), arranged(study)
    maps, ends = heat_maps(study, values, outcome.name, layout) if layout.row else ([], None)
    primary, short = list(found.get(outcome.name, ())), spoken(list(study.axes))
    secondary = {name: each for name, each in found.items() if name != outcome.name}
    scopes = [each.estimated.scope for each in primary if each.estimated.scope]
    axis, rows = outcome.words.axis, [effect_row(effect) for effect in primary]
    single = not layout.row and bool(layout.column)
    return {
        "study": study,
        "title": f"{study.name}: a study of {len(study.points)} points",
        "question": _question(study, outcome, short),
        "made_of": _made_of(study),
        "outcome": outcome,
        "unmeasured": _unmeasured(study, outcome),
        "controls": max((run.roles for run in study.runs), default=1) - 1,
        "cards": [effect_card(effect, short) for effect in primary[:CARDS]] or _mean_cards(study, values, outcome.name),
        "effects": [(effect_words(effect, short), row) for effect, row in zip(primary, rows, strict=True)],
        "columns": [column for column in EFFECT_TABLE if any(row[column.key] != "–" for row in rows)],
        "tested": sum(row["p"] != "–" for row in rows),
        "effects_figure": effects_figure(study, primary, outcome.words.unit),
        "holds": [HOLDS[scope] for scope in dict.fromkeys(scopes)],
        "retraining": _retraining(primary),
        "nested": any(each.estimated.scope == "seeds" and each.estimated.trainings for each in primary),
        "few": min((e.estimated.used for e in primary if 1 < e.estimated.used <= FEW_SEEDS), default=0),
        "same_images": not any(name.partition(".")[0] in OF_THE_IMAGES for name in study.axes),
        "cell_holds": "; ".join(HOLDS[scope] for scope in cell_scopes(study, values, layout)[:1]),
        "maps": maps,
        "legend": legend(ends) if ends else None,
        "layout": layout,
        "others": ", ".join(short[name] for name in layout.others),
        "row_name": ", ".join(short[name] for name in layout.row),
        "column_name": ", ".join(short[name] for name in layout.column),
        "column_words": [choice_words(layout.column, each) for each in layout.columns],
        "short": short,
        "response": response_figure(study, values, layout, axis) if single else None,
        "courses": course_figures(study, values, layout, outcome.name, axis),
        "pictures": study_pictures(study, values, layout),
        "secondary": [
            (
                wording(_having(study, name) or study.runs[0], name).title,
                name,
                effect_words(effect, short),
                effect_row(effect),
            )
            for name, each in secondary.items()
            for effect in each
        ],
        "secondary_names": len(secondary),
        "missing": _missing(study),
        "unfinished": len(study.points) - len(study.finished),
        "commands": study.continued_by(),
        "points": [_point(study, values, point, outcome.name, place) for point in study.points],
        "swept": [(name, _level_counts(study, name)) for name in study.axes],
        "shared": flat({key: value for key, value in study.shared.items() if value is not None}),
        "themes": themes(1),
        "csv": (STUDY_CSV, EFFECTS_CSV),
        "version": plain(study.runs[0].provenance.get("imagelab", "")) if study.runs else "",
    }


def _question(study: StudyView, outcome: StudiedOutcome, short: Mapping[str, str]) -> str:
    swept = [short[name] for name in study.axes]
    on = f"{', '.join(swept[:-1])} and {swept[-1]}" if len(swept) > 1 else "".join(swept)
    if not outcome.name:
        return f"Nothing is measured yet: a study of {on or 'seeds'}."
    title = f"{outcome.words.title}, {outcome.generation}"
    return f"{title}: how does it depend on {on}?" if on else f"{title}, over {len(study.seeds)} seeds"


def _made_of(study: StudyView) -> str:
    """Return in one sentence what was swept, and how many points, seeds and chains there are."""
    swept = [f"{name} ({_listed(values)})" for name, values in study.axes.items()]
    least, most = study.chains
    chains = f"{most} trainings" if most > 1 else "one training"
    chains = f"{least} to {chains}" if least != most else chains
    seeds = f"{'seeds' if len(study.seeds) > 1 else 'seed'} ({_listed(study.seeds)})"
    done = len(study.finished)
    finished = "All are finished." if done == len(study.points) else f"{done} of {len(study.points)} are finished."
    points = f"{len(study.points)} point{'s' if len(study.points) > 1 else ''}"
    what = f"{points} over {' × '.join([*swept, seeds])}"
    return f"{what}; {chains} in each point. {finished}"


def _listed(values: Sequence[str], most: int = 6) -> str:
    shown = [plain(value, 30) for value in values]
    return ", ".join(shown) if len(shown) <= most else f"{', '.join(shown[: most - 2])}, … {shown[-1]}"


def _unmeasured(study: StudyView, outcome: StudiedOutcome) -> str:
    """Say that no point has the primary outcome, or that its instruments differ between points; "" where neither."""
    if not study.runs:
        return ""
    at = [m for p in study.points if (m := measured_at(p, outcome.name, study.target(p))) is not None]
    if not at:
        names = ", ".join(plain(name, 40) for name in _shared(study)[:12])
        return f"No point has measured {plain(outcome.name, 80)} at {outcome.generation}. Measured are: {names}."
    first, *rest = at
    try:
        for m in rest:
            first.check_comparable(m)
    except ValueError as error:
        return f"The points did not measure it with the same instrument, so their values must not be compared: {error}."
    return ""


def _mean_cards(study: StudyView, values: StudyValues, name: str) -> list[dict[str, str]]:
    """Return a card of the mean over the seeds, for a study in which nothing but the seed was swept."""
    seeds = np.flatnonzero(values.known[0]).tolist()
    if study.axes or not seeds:
        return []
    mean = mean_of(values, np.ones(1), seeds)
    reals = [m.value for run in study.runs if (m := run.real(name)) is not None and m.value is not None]
    real = f"; real images {number(float(np.mean(reals)))}" if reals else ""
    holds = f"± {HOLDS[mean.scope].partition(':')[0]}" if mean.scope else "no interval is known"
    return [{"label": f"Mean over {len(seeds)} seeds", "value": cell_text(mean), "fine": holds + real}]


def _retraining(found: Sequence[Effect]) -> str:
    known = [each for each in found if each.retraining]
    if not known:
        return ""
    own = all(each.own for each in known)
    low, high = (pick(each.retraining or 0.0 for each in known) for pick in (min, max))
    amount = number(low) if number(low) == number(high) else f"{number(low)} to {number(high)}"
    source = (
        "between the trainings of these points"
        if own
        else "estimated from how much trainings of other runs differed, because each point is one training"
    )
    return f"{amount}, {source}"


def _missing(study: StudyView) -> list[tuple[str, list[StudyPoint]]]:
    """Return (why, points) of what is not finished: points with one reason together, in their order."""
    found: dict[str, list[StudyPoint]] = {}
    for point in study.points:
        if not point.is_finished:
            found.setdefault(point.why, []).append(point)
    return list(found.items())


def _level_counts(study: StudyView, name: str) -> list[tuple[str, int, int]]:
    """Return (value, points, finished points) for each value of a setting."""
    rows = []
    for level in (*study.axes[name], None):
        points = [point for point in study.points if point.settings.get(name) == level]
        if points:
            rows.append((level_words(level), len(points), sum(point.is_finished for point in points)))
    return rows


def _point(study: StudyView, values: StudyValues, point: StudyPoint, name: str, place: Path) -> dict[str, Any]:
    """Return the row of a point in the table of all points."""
    m = measured_at(point, name, study.target(point))
    reason = why_missing(study, point, name) if m is None else ""
    report = study.folder.parent / point.name / "report" / "index.html"
    link = os.path.relpath(report, place) if report.is_file() else ""
    settings = [level_words(point.settings.get(axis)) for axis in study.axes]
    weights = np.array([float(row == study.configuration(point)) for row in values.configurations])
    value = "–" if m is None else cell_text(mean_of(values, weights, [values.seeds.index(point.seed)]))
    made = f"{point.made} of {point.planned}"
    return {"settings": settings, "seed": point.seed, "value": value, "why": reason, "name": point.name} | {
        "made": made,
        "link": Path(link).as_posix() if link else "",
    }
