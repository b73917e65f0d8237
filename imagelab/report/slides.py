"""Slides: one or several runs as a 16:9 PowerPoint deck with editable charts and with the caveats in its notes.

Charts are native (their numbers can be opened and changed), pictures have alternative text, the speaker notes say what
may be claimed and what not, and the photocopies are shown as an animated picture.
"""

from __future__ import annotations

import io
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ..io.atomic import written_whole
from ..io.disk import storing
from .animate import animate
from .grids import draw_slides
from .headline import COUNT, finest_band, headline
from .numbers import half_interval, is_distance, trainings
from .palette import LIGHT
from .print_sheets import Sheet, write_sheet
from .run_view import Run, plain, read_run
from .stage_bar import ribbons

if TYPE_CHECKING:
    from pptx.dml.color import RGBColor
    from pptx.presentation import Presentation
    from pptx.slide import Slide

__all__ = ["write_slides"]

WIDE, HIGH = 13.333, 7.5  # inches, 16:9
LEFT, TOP = 0.6, 0.5
FACE = "Arial"


def write_slides(runs: Sequence[Path], out: Path, rare: Mapping[Path, Sheet] | None = None) -> Path:
    """Write a deck of one or several runs.

    Args:
        runs: run folders, finished or not.
        out: the .pptx file.
        rare: run folder -> sheet of rare attributes, for runs of faces (its probes need torch, so the caller makes it).

    Returns:
        ``out``.

    Raises:
        ValueError: for another suffix, no run, a damaged run folder, or if python-pptx is not installed.
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
    views = [read_run(Path(run)) for run in runs]
    deck = new_deck()
    deck.slide_width, deck.slide_height = Inches(WIDE), Inches(HIGH)
    deck.core_properties.title, deck.core_properties.author = views[0].title, "imagelab"
    with storing(Path(tempfile.gettempdir())), tempfile.TemporaryDirectory() as scratch:
        for order, view in enumerate(views):
            _tell(deck, view, Path(scratch) / str(order), (rare or {}).get(Path(runs[order])))
        if len(views) > 1:
            _beside(deck, views)
    with storing(out):
        out.parent.mkdir(parents=True, exist_ok=True)
        with written_whole(out) as partial:
            deck.save(str(partial))
    return out


def _tell(deck: Presentation, view: Run, scratch: Path, rare: Sheet | None) -> None:
    """Add the slides of one run to the deck."""
    scratch.mkdir()
    pictures = {path.stem: path for path in draw_slides(view, scratch)}
    result = headline(view)
    slide = _slide(deck, result.sentence, plain(view.title, 90), notes=[*result.remarks, *_caveats(view)])
    ends = pictures.get("first-and-last") or pictures.get("strip")
    if ends:
        _picture(slide, _inner(ends), f"{result.sentence} Real images above, the last generation below.", top=2.7)
    if max(view.pictures("photocopy"), default=0):
        film = animate([view.folder], scratch / "film.gif", seconds=0.6)[0]
        slide = _slide(
            deck,
            "A photocopy of a photocopy",
            "Each generation copies the copies before it.",
            notes=[
                "The animation plays in slide show mode, one frame per generation. A GIF has 256 colours per frame; "
                "lossless pictures are in the report folder of the run.",
                *_caveats(view),
            ],
        )
        _picture(
            slide, film, "Animation: real images, then each generation of copies; the bars show what is left.", 1.6
        )
    for name, title, caption in _charts(view):
        _chart_slide(deck, view, name, title, caption)
    if rare is not None:
        path = write_sheet(rare, scratch / "rare.png", view, width=200, dpi=200)
        notes = [
            rare.note,
            rare.alt,
            "Each cell shows the image with the highest score, not a typical one. The shares are measured separately, "
            "on all images.",
        ]
        caption = "In each generation, the face with the highest score for each rare attribute."
        _picture(_slide(deck, "Who disappears", caption, notes=notes), path, rare.alt, 1.6)
    _stages(deck, view)
    _method(deck, view)


def _inner(path: Path) -> Path:
    """Return a drawn slide without its text; the slide of the deck has its own text."""
    from PIL import Image

    with Image.open(path) as opened:
        pixels = np.asarray(opened.convert("RGB"))
    rows = np.flatnonzero((pixels[140:-70] != 255).any(axis=(1, 2))) + 140
    cut = path.with_name(f"{path.stem}-inner.png")
    Image.fromarray(pixels[rows[0] : rows[-1] + 1]).save(cut)
    return cut


def _caveats(view: Run) -> list[str]:
    n = view.provenance.get("n") or view.experiment.get("images")
    return [
        f"{n} images per generation, seed {plain(view.experiment.get('seed', '?'))}. {trainings(view)}",
        "“Real” means generation 0, the images with which the run began.",
        f"Run {view.name}, imagelab {plain(view.provenance.get('imagelab', ''))}.",
    ]


def _charts(view: Run) -> list[tuple[str, str, str]]:
    """Return (measurement, title, sentence under it) of the charts of a deck, for those that were measured."""
    charts = [
        (COUNT if view.real(COUNT) else None, "Freckles found a face", "What the counter finds, not corrected."),
        (finest_band(view), "The finest detail", "Energy of the finest octave against real images, in decibels."),
        ("pixel_variance", "Variety", "How much images differ from each other, relative to real images."),
    ]
    distances = [n for n in view.names if n.startswith(("frechet/", "fid")) and view.at(n, view.last)]
    charts.append((distances[0] if distances else None, "Distance from real", "Two real sets give the floor."))
    return [(name, title, text) for name, title, text in charts if name and view.at(name, view.last)]


def _series(view: Run, name: str, line: int) -> list[float | None]:
    real = view.real(name)
    values: list[float | None] = [real.value if real else None]
    for generation in view.generations[1:]:
        m = view.at(name, generation, line)
        values.append(m.value if m else None)
    return values


def _chart_slide(deck: Presentation, view: Run, name: str, title: str, caption: str) -> None:
    real, last = view.real(name), view.at(name, view.last)
    assert last is not None
    columns = {view.label(line, 30): _series(view, name, line) for line in view.lines if view.series(name, line)}
    if real and real.value is not None:
        columns["two real sets" if is_distance(real) else "real"] = [real.value] * len(view.generations)
    row = view.row(name)
    notes = [f"{name}, {last.unit or 'no unit'}; {last.estimator}; {last.feature_space}".rstrip("; ")]
    notes += [f"{row.what} Limits: {row.blind}"] if row else []
    for line in view.lines:
        m = view.at(name, view.last, line)
        if m is not None and m.value is not None:
            width = half_interval(m)
            half = f" ± {width:.3g}" if width is not None else ""
            notes.append(f"{view.label(line)}, generation {view.last}: {m.value:.4g}{half} (n = {m.n_fake}).")
    slide = _slide(deck, title, caption, notes=[*notes, *_caveats(view)])
    _line_chart(slide, [str(g) for g in view.generations], columns, last.unit)


def _line_chart(slide: Slide, categories: list[str], columns: Mapping[str, list[float | None]], unit: str) -> None:
    from pptx.chart.data import CategoryChartData
    from pptx.enum.chart import XL_CHART_TYPE, XL_LEGEND_POSITION, XL_MARKER_STYLE
    from pptx.enum.dml import MSO_LINE
    from pptx.util import Inches, Pt

    data: Any = CategoryChartData()
    data.categories = categories
    for label, values in columns.items():
        data.add_series(label, values)
    place = Inches(LEFT), Inches(1.7), Inches(WIDE - 2 * LEFT), Inches(HIGH - 2.3)
    frame: Any = slide.shapes.add_chart(XL_CHART_TYPE.LINE_MARKERS, *place, data)
    chart = frame.chart
    chart.has_legend, chart.has_title = True, False
    chart.legend.position, chart.legend.include_in_layout = XL_LEGEND_POSITION.RIGHT, False
    chart.font.size, chart.font.name = Pt(16), FACE
    for axis, words in ((chart.category_axis, "generation (0 = real images)"), (chart.value_axis, unit)):
        axis.has_title = bool(words)
        if words:
            axis.axis_title.text_frame.text = words
            axis.axis_title.text_frame.paragraphs[0].runs[0].font.size = Pt(14)
            axis.axis_title.text_frame.paragraphs[0].runs[0].font.bold = False
    chart.value_axis.major_gridlines.format.line.color.rgb = _rgb(LIGHT.rule)
    chart.value_axis.format.line.fill.background()
    chart.category_axis.tick_label_position = chart.category_axis.tick_label_position.LOW
    for order, series in enumerate(chart.plots[0].series):
        floor = order == len(columns) - 1 and series.name in ("real", "two real sets")
        colour = _rgb(LIGHT.ink if floor else LIGHT.lines[order % len(LIGHT.lines)])
        series.smooth = False
        series.format.line.color.rgb, series.format.line.width = colour, Pt(1.5 if floor else 3)
        if floor:
            series.format.line.dash_style = MSO_LINE.DASH
            series.marker.style = XL_MARKER_STYLE.NONE
        series.marker.format.fill.solid()
        series.marker.format.fill.fore_color.rgb = colour
        series.marker.format.line.color.rgb = colour
    _describe(frame, f"Line chart over generations: {', '.join(columns)}.")


def _stages(deck: Presentation, view: Run) -> None:
    found = ribbons(view)
    if not found:
        return
    from pptx.enum.shapes import MSO_SHAPE
    from pptx.util import Inches

    slide = _slide(
        deck,
        "Stages of collapse since generation 1",
        " ".join(found[0].told[:2]),
        notes=[*found[0].told, *(r.alt for r in found)],
    )
    steps = max(segment.last for ribbon in found for segment in ribbon.segments)
    start, room = LEFT + 2.4, WIDE - 2 * LEFT - 2.4
    for order, ribbon in enumerate(found[:5]):
        y = 2.6 + order * 0.85
        _text(slide, ribbon.label, LEFT, y + 0.08, 2.3, 0.5, 16, LIGHT.muted)
        for segment in ribbon.segments:
            x, wide = start + (segment.first - 1) / steps * room, segment.span / steps * room - 0.03
            box = slide.shapes.add_shape(MSO_SHAPE.RECTANGLE, Inches(x), Inches(y), Inches(wide), Inches(0.6))
            box.fill.solid()
            box.fill.fore_color.rgb = _rgb(LIGHT.stages[segment.order])
            box.line.fill.background()
            words = f"{segment.first}–{segment.last}" if segment.span > 1 else str(segment.first)
            _fill(box.text_frame, f"{segment.stage}  {words}", 14, LIGHT.on_stages[segment.order])


def _method(deck: Presentation, view: Run) -> None:
    question = view.experiment
    kinds = {part: (question.get(part) or {}).get("kind", "?") for part in ("data", "regime", "generator")}
    points = [
        f"Data: {kinds['data']}. Regime: {kinds['regime']}. Models: {', '.join(view.label(i) for i in view.lines)}.",
        *_caveats(view)[:2],
        "If the model is already poor at generation 1, its loss there is not an effect of the loop: compare later "
        "generations with generation 1 and with the control.",
        "No single number is sufficient: use distances, spectrum, freckles, attributes and the pictures together.",
        f"To repeat it: imagelab run {view.name}/config.json",
    ]
    slide = _slide(
        deck, "How it was measured", "", notes=[plain((view.provenance.get("data") or {}).get("card", ""), 1500)]
    )
    for order, point in enumerate(points):
        _text(slide, point, LEFT, 1.7 + order * 0.88, WIDE - 2 * LEFT, 0.8, 20, LIGHT.ink)


def _beside(deck: Presentation, views: Sequence[Run]) -> None:
    """Add one chart for each main measurement that all runs have."""
    shared = [
        name for name in (COUNT if views[0].real(COUNT) else None, finest_band(views[0]), "pixel_variance") if name
    ]
    for name in shared:
        if not all(view.at(name, view.last) for view in views):
            continue
        last = max(view.last for view in views)
        columns = {}
        for view in views:
            regime = (view.experiment.get("regime") or {}).get("kind", "")
            label = plain(f"{view.model(0)}, {regime}, seed {view.experiment.get('seed', '?')}", 44)
            label = label if label not in columns else f"{label} ({view.name[-8:]})"
            values = _series(view, name, 0)
            columns[label] = values + [None] * (last + 1 - len(values))
        unit = next(m.unit for view in views if (m := view.at(name, view.last)))
        notes = [note for view in views for note in _caveats(view)[-1:]]
        slide = _slide(deck, f"Side by side: {name}", "The same measurement in every run.", notes=notes)
        _line_chart(slide, [str(g) for g in range(last + 1)], columns, unit)


def _slide(deck: Presentation, title: str, caption: str, notes: Sequence[str]) -> Slide:
    slide = deck.slides.add_slide(deck.slide_layouts[5])
    for shape in list(slide.placeholders):
        if shape != slide.shapes.title:
            shape.element.getparent().remove(shape.element)
    from pptx.util import Inches

    head = slide.shapes.title
    assert head is not None
    size = 32 if len(title) < 60 else 28 if len(title) < 130 else 22
    head.left, head.top, head.width, head.height = (
        Inches(x) for x in (LEFT, 0.35, WIDE - 2 * LEFT, 0.8 if size == 32 else 1.25)
    )
    _fill(head.text_frame, plain(title, 240), size, LIGHT.ink, bold=True)
    if caption:
        _text(
            slide,
            caption,
            LEFT,
            1.1 if size == 32 else 1.7,
            WIDE - 2 * LEFT,
            0.5 + 0.3 * (len(caption) > 110),
            17,
            LIGHT.muted,
        )
    spoken: Any = slide.notes_slide.notes_text_frame
    spoken.text = "\n".join(filter(None, notes))
    return slide


def _text(slide: Slide, text: str, x: float, y: float, wide: float, high: float, size: int, colour: str) -> None:
    from pptx.util import Inches

    box = slide.shapes.add_textbox(Inches(x), Inches(y), Inches(wide), Inches(high))
    _fill(box.text_frame, text, size, colour)


def _fill(frame: Any, text: str, size: int, colour: str, bold: bool = False) -> None:
    from pptx.enum.text import MSO_ANCHOR, PP_ALIGN
    from pptx.util import Pt

    frame.word_wrap, frame.vertical_anchor = True, MSO_ANCHOR.MIDDLE
    frame.margin_left = frame.margin_right = Pt(2)
    paragraph = frame.paragraphs[0]
    paragraph.alignment = PP_ALIGN.LEFT
    run = paragraph.add_run()
    run.text = plain(text, 400)
    run.font.size, run.font.bold, run.font.name = Pt(size), bold, FACE
    run.font.color.rgb = _rgb(colour)


def _rgb(colour: str) -> RGBColor:
    from pptx.dml.color import RGBColor

    return RGBColor.from_string(colour.removeprefix("#"))


def _picture(slide: Slide, path: Path, alt: str, top: float) -> None:
    """Place a picture as large as the slide allows, centred, with its alternative text."""
    from PIL import Image
    from pptx.util import Inches

    with Image.open(path) as opened:
        shape = opened.width / opened.height
    room_wide, room_high = WIDE - 2 * LEFT, HIGH - top - 0.3
    wide = min(room_wide, room_high * shape)
    place = Inches((WIDE - wide) / 2), Inches(top + (room_high - wide / shape) / 2), Inches(wide)
    picture = slide.shapes.add_picture(io.BytesIO(path.read_bytes()), *place)
    _describe(picture, alt)


def _describe(shape: Any, alt: str) -> None:
    shape._element.xpath(".//p:cNvPr")[0].set("descr", plain(alt, 600))
