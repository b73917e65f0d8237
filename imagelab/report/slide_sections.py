"""Slides that a deck of one run and a deck of several share: the animation, the charts, the stages."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np

from .animate import animate
from .headline import noun_of
from .palette import LIGHT
from .pictured import pictured
from .run_view import Run, plain
from .slide_charts import SlideChart, add_chart, generation_word
from .slide_parts import (
    LEAST,
    LEFT,
    ROOM_WIDE,
    add_bullets,
    add_link,
    add_picture,
    add_text,
    fill_text,
    lines_of_text,
    new_slide,
    rgb,
)
from .stage_bar import Ribbon

if TYPE_CHECKING:
    from pptx.presentation import Presentation
    from pptx.slide import Slide

__all__ = ["add_charts", "add_film", "add_links", "add_stages", "drawn_title", "film_title"]

NAMED = 3  # up to this number of bars, the title names the stage of each


def add_film(
    deck: Presentation,
    views: Sequence[Run],
    scratch: Path,
    title: str,
    notes: Sequence[str],
    labels: Sequence[str] = (),
    which: Literal["photocopy", "tracked"] = "photocopy",
) -> None:
    """Add the animated pictures of one run, or of several side by side.

    Args:
        deck: the deck.
        views: up to four runs.
        scratch: a folder for the picture.
        title: of the slide.
        notes: for the speaker.
        labels: a name for each of several runs.
        which: copies of the same pictures, or newly drawn ones.
    """
    film = animate([view.folder for view in views], scratch / "film.gif", which, seconds=0.6, labels=labels)[0]
    told = {
        "photocopy": ("Each generation copies the copies before it.", "real images, then each generation of copies"),
        "tracked": (
            "Each generation draws from the same seeds. The real images have none.",
            "real images, then what each generation draws",
        ),
    }[which]
    spoken = [
        "The animation plays in slide show mode, one frame per generation. A GIF has 256 colours per frame; "
        "lossless pictures are in the report folder of the run. The bars are of newly drawn images, not of these.",
        *notes,
    ]
    slide, top = new_slide(deck, title, told[0], spoken)
    add_picture(slide, film, f"Animation: {told[1]}; bars: what is left.", top)


def film_title(views: Sequence[tuple[str, Run]]) -> str:
    """Return what is counted on the copied pictures, before and after; what they are where nothing is counted.

    Args:
        views: (label, run) of one run or of several that copied the same pictures; the label of one is not used.
    """
    copies = [view.pictures("photocopy") for _, view in views]
    last, shown = min(max(each) for each in copies), len(copies[0][0])
    times = f"{generation_word(last)} time{'s' if last > 1 else ''}"
    same = all(np.array_equal(each[0], copies[0][0]) for each in copies)
    counts = [pictured(view, {0: each[0], last: each[last]}) for (_, view), each in zip(views, copies, strict=True)]
    known = [(label, count) for (label, _), count in zip(views, counts, strict=True) if count is not None]
    if not same or len(known) < len(views) or len(views) > NAMED:
        return f"A photocopy of a photocopy: {shown} pictures, copied {times}"
    before = known[0][1].words(0)
    after = ", ".join(count.words(last) + (f" ({label})" if len(known) > 1 else "") for label, count in known)
    counted = known[0][1]
    what = "faces" if counted.word == "freckles" else "pictures"
    return f"{shown} {what} copied {times}: {before} {counted.per_picture} counted before, {after} after"


def drawn_title(view: Run) -> str:
    """Return what the pictures show that are drawn from the same seeds. A count on so few would be chance."""
    shown = len(view.pictures("tracked")[0])
    return f"What the model of each generation draws: {shown} {noun_of(view)}s from the same seeds"


def add_charts(deck: Presentation, charts: Sequence[SlideChart]) -> dict[str, Slide]:
    """Add a slide for each chart and return chart title -> slide."""
    places = {}
    for chart in charts:
        slide, top = new_slide(deck, chart.title, chart.caption, chart.notes)
        add_chart(slide, chart, top)
        places[chart.title] = slide
    return places


def add_links(places: Mapping[str, Slide], targets: Mapping[str, Slide]) -> None:
    """Let each chart slide lead to the table of its numbers; both map the title of a chart to a slide."""
    for title, slide in places.items():
        if title in targets:
            add_link(slide, "All numbers of this chart as a table", targets[title])


def add_stages(
    deck: Presentation, found: Sequence[tuple[str, Ribbon]], told: Sequence[str], notes: Sequence[str]
) -> None:
    """Add the stages of collapse, one bar for each model or group, with what moved first below.

    Args:
        deck: the deck.
        found: (label, ribbon) of each bar, up to six.
        told: sentences to show below the bars.
        notes: for the speaker.
    """
    from pptx.enum.text import MSO_AUTO_SIZE
    from pptx.util import Inches

    title = "; ".join(_standing(label, ribbon) for label, ribbon in found[:NAMED])
    title = f"Stages: {title}" if len(found) <= NAMED else f"Stages: {_farthest(found)}"
    slide, top = new_slide(deck, title, "Stages of collapse, compared with generation 1 of the same model.", notes)
    steps = max(segment.last for _, ribbon in found for segment in ribbon.segments)
    start, room, pitch = LEFT + 2.6, ROOM_WIDE - 2.6, 0.68 if len(found) > 3 else 0.95
    for order, (words, ribbon) in enumerate(found):
        y = top + 0.1 + order * pitch
        add_text(slide, plain(words, 40), LEFT, y, 2.5, 16, high=pitch * 0.85)
        for segment in ribbon.segments:
            x, wide = start + (segment.first - 1) / steps * room, segment.span / steps * room - 0.03
            box = slide.shapes.add_textbox(*map(Inches, (x, y, wide, pitch * 0.85)))
            box.text_frame.auto_size = MSO_AUTO_SIZE.NONE
            box.fill.solid()
            box.fill.fore_color.rgb = rgb(LIGHT.stages[segment.order])
            span = f"{segment.first}–{segment.last}" if segment.span > 1 else str(segment.first)
            for text in (f"{segment.stage} {span}", span):
                if lines_of_text(text, LEAST, wide - 0.1) == 1 and len(text) * 0.085 < wide:
                    fill_text(box.text_frame, text, LEAST, LIGHT.on_stages[segment.order], align="center")
                    break
    add_bullets(slide, list(told), top + 0.1 + len(found) * pitch + 0.25, 18)


def _standing(label: str, ribbon: Ribbon) -> str:
    last = ribbon.segments[-1]
    return f"{plain(label, 40)} {last.stage} {f'from generation {last.first} on' if last.first > 1 else 'throughout'}"


def _farthest(found: Sequence[tuple[str, Ribbon]]) -> str:
    """Return how many ended in the latest stage that any of them reached."""
    worst = max(ribbon.segments[-1].order for _, ribbon in found)
    there = [(label, ribbon) for label, ribbon in found if ribbon.segments[-1].order == worst]
    stage = there[0][1].segments[-1].stage
    if len(there) == 1:
        return f"{_standing(*there[0])}, further than the other {generation_word(len(found) - 1)}"
    return f"{generation_word(len(there))} of {generation_word(len(found))} end {stage}"
