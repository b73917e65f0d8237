"""Slides: one or several runs as a 16:9 PowerPoint deck with editable charts and with the caveats in its notes.

Every title is a finding. Charts are native: their numbers and intervals stand in the workbook of each, and a link leads
to a table of them. Pictures have alternative text, the photocopies are shown as an animated picture, and the speaker
notes say what may be claimed of what is shown. One run makes at most ten slides, several runs at most twelve.
"""

from __future__ import annotations

import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from ..images import spread_over
from ..io.atomic import written_whole
from ..io.disk import storing
from .animate import shown_by_default
from .headline import Headline, headline, noun_of
from .pictured import pictured
from .print_sheets import Sheet
from .run_view import Run, plain, read_run
from .slide_charts import data_slides, generation_word
from .slide_findings import caveats, charts_of_run
from .slide_groups import tell_groups
from .slide_parts import HIGH, WIDE, add_bullets, new_slide, picture_rows
from .slide_sections import add_charts, add_film, add_links, add_stages, drawn_title, film_title
from .stage_bar import ribbons
from .survival import survival

if TYPE_CHECKING:
    from pptx.presentation import Presentation

__all__ = ["write_slides"]

RARE_ROWS = 5  # generations of the slide of rare attributes
RARE_COLUMNS = 9


def write_slides(runs: Sequence[Path], out: Path, rare: Mapping[Path, Sheet] | None = None) -> Path:
    """Write a deck of one or several runs.

    Args:
        runs: run folders, finished or not; several of them are grouped: those that differ in their seed are repeats.
        out: the .pptx file.
        rare: run folder -> sheet of rare attributes, for runs of faces (its probes need torch, so the caller makes it);
            it is shown in the deck of one run.

    Returns:
        ``out``.

    Raises:
        ValueError: for another suffix, no run, the same run twice, more than six groups, a damaged run folder, or if
            python-pptx is not installed.
        NotStored: if the disk is full or refuses to write.
    """
    if out.suffix.lower() != ".pptx":
        raise ValueError(f"{out}: expected a name that ends in .pptx, got {out.suffix!r}")
    if not runs:
        raise ValueError("slides: expected at least one run folder")
    try:
        from pptx import Presentation as new_deck
        from pptx.util import Inches
    except ImportError as error:
        raise ValueError("slides need python-pptx: pip install 'imagelab-collapse[slides]'") from error
    deck = new_deck()
    deck.slide_width, deck.slide_height = Inches(WIDE), Inches(HIGH)
    with storing(Path(tempfile.gettempdir())), tempfile.TemporaryDirectory() as scratch:
        if len(runs) > 1:
            title = tell_groups(deck, [Path(run) for run in runs], Path(scratch))
        else:
            view = read_run(Path(runs[0]))
            title = view.title
            _tell(deck, view, Path(scratch), (rare or {}).get(Path(runs[0])))
    deck.core_properties.title, deck.core_properties.author = title, "imagelab"
    with storing(out):
        out.parent.mkdir(parents=True, exist_ok=True)
        with written_whole(out) as partial:
            deck.save(str(partial))
    return out


def _tell(deck: Presentation, view: Run, scratch: Path, rare: Sheet | None) -> None:
    """Add the slides of one run to the deck."""
    _opening(deck, view, headline(view))
    which = shown_by_default([view])
    if max(view.pictures(which), default=0):
        title = drawn_title(view) if which == "tracked" else film_title([("", view)])
        add_film(deck, [view], scratch, title, caveats(view), which=which)
    charts = charts_of_run(view)
    places = add_charts(deck, charts)
    if rare is not None:
        _who_disappears(deck, view, rare)
    found = ribbons(view)
    if found:
        told = found[0].told
        add_stages(deck, [(ribbon.label, ribbon) for ribbon in found[:5]], told, [*told, *(r.alt for r in found)])
    _method(deck, view)
    if charts:
        add_links(places, data_slides(deck, charts, caveats(view)))


def _opening(deck: Presentation, view: Run, result: Headline) -> None:
    slide, top = new_slide(deck, result.sentence, plain(view.title, 90), [*result.remarks, *caveats(view)])
    pictures, copied = view.pictures(view.leading), view.leading == "photocopy"
    if not pictures:
        return
    ends = sorted({min(pictures), max(pictures)})
    count = pictured(view, {generation: pictures[generation] for generation in ends})
    shown = min(4, len(pictures[ends[0]]))
    rows = []
    for generation in ends:
        name = "real" if generation == 0 else f"copied {generation} times" if copied else f"generation {generation}"
        seen = f": {count.words(generation, shown)} {count.per_picture} counted on these" if count else ""
        rows.append((f"{name}{seen}", pictures[generation][:shown]))
    what = "the same pictures, copied again and again" if copied else f"images of generation {ends[-1]}"
    alt = f"{shown} real images" + (f" above {what}." if len(ends) > 1 else ".")
    picture_rows(slide, rows, alt, top + 0.1, columns=shown)


def _who_disappears(deck: Presentation, view: Run, rare: Sheet) -> None:
    """Add the faces with the highest score for each rare attribute, with captions as text of the slide."""
    steps = spread_over(len(rare.rows), RARE_ROWS)
    rows = [(rare.rows[step].caption, rare.rows[step].images) for step in steps]
    notes = [
        rare.note,
        rare.alt,
        "Each cell shows the image with the highest score, not a typical one. The shares are measured separately, "
        "on all images.",
    ]
    caption = "In each generation, the face with the highest score of the attribute’s probe; pale: not called by it."
    slide, top = new_slide(deck, _rare_title(view), caption, notes)
    names = [head.partition(":")[0] for head in rare.heads]  # their dates are in the notes
    picture_rows(slide, rows, rare.alt, top, names, RARE_COLUMNS, label=1.75)


def _rare_title(view: Run) -> str:
    """Return what the rare attributes keep together, as measured on all images."""
    found = survival(view)
    if found is None:
        return f"Who disappears: the most likely face for each rare attribute, drawn by the {view.model(0)}"
    return (
        f"Who disappears: together the rare attributes keep {found.rare.words} of their share in real "
        f"{noun_of(view)}s after {generation_word(view.last)} generation{'s' if view.last > 1 else ''}"
    )


def _method(deck: Presentation, view: Run) -> None:
    question = view.experiment
    kinds = {part: (question.get(part) or {}).get("kind", "?") for part in ("data", "regime", "generator")}
    each = f"the mean of {view.replicates} chains" if view.replicates > 1 else "of one chain"
    points = [
        f"Data: {kinds['data']}. Regime: {kinds['regime']}. Models: {', '.join(view.label(i) for i in view.lines)}.",
        *caveats(view)[:2],
        "If the model is already poor at generation 1, its loss there is not an effect of the loop: compare later "
        "generations with generation 1 and with the control.",
        "No single number is sufficient: use distances, spectrum, freckles, attributes and the pictures together.",
        f"To repeat it: {view.repeated_by}",
    ]
    card = plain((view.provenance.get("data") or {}).get("card", ""), 1500)
    slide, top = new_slide(deck, f"How it was measured: every figure of a model is {each}", "", [card])
    add_bullets(slide, points, top + 0.1)
