"""Native charts: lines with the 95 % interval of every point as error bars, and all numbers in an embedded workbook."""

from __future__ import annotations

import io
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from .numbers import NBSP, number
from .palette import LIGHT
from .run_view import plain
from .slide_parts import BOTTOM, FACE, LEAST, LEFT, LINE, ROOM_WIDE, add_table, lines_of_text, new_slide, rgb, set_alt

if TYPE_CHECKING:
    from pptx.presentation import Presentation
    from pptx.slide import Slide

__all__ = ["ChartLine", "Role", "SlideChart", "add_chart", "data_slides", "generation_word"]

SHOWN = 6  # generations of the tables
LABELS, ROW, TABLE_HIGH = 3.1, 0.37, 5.0  # inches: labels and least height of the rows of a table, height of all rows
C = "http://schemas.openxmlformats.org/drawingml/2006/chart"
WORDS = ["no", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve"]


Role = Literal["line", "control", "blank", "real"]


@dataclass(frozen=True)
class ChartLine:
    """One line of a chart.

    Attributes:
        label: its name in the legend.
        values: one for each generation from 0 on; None where there is none.
        ends: the 95 % interval of each, None where it is unknown or not drawn.
        images: the number of images of a value.
        role: "line" is drawn in a colour of its own, "control" and "blank" dotted, "real" dashed without markers.
    """

    label: str
    values: tuple[float | None, ...]
    ends: tuple[tuple[float, float] | None, ...]
    images: int = 0
    role: Role = "line"


@dataclass(frozen=True)
class SlideChart:
    """One chart slide.

    Attributes:
        title: the finding.
        caption: what the lines and the bars are.
        axis: the label of the axis of values.
        name: a short name of the measurement, for the table.
        lines: the lines.
        notes: for the speaker.
    """

    title: str
    caption: str
    axis: str
    name: str
    lines: tuple[ChartLine, ...]
    notes: tuple[str, ...]


def generation_word(count: int) -> str:
    """Return a small whole number as a word.

    Example:
        >>> generation_word(10), generation_word(40)
        ('ten', '40')
    """
    return WORDS[count] if 0 <= count < len(WORDS) else f"{count:,}"


def add_chart(slide: Slide, chart: SlideChart, top: float) -> None:
    """Add a line chart below ``top`` (inches), with error bars, and with all its numbers in its workbook."""
    from pptx.chart.data import CategoryChartData
    from pptx.enum.chart import XL_CHART_TYPE, XL_LEGEND_POSITION
    from pptx.util import Inches, Pt

    generations = max(len(line.values) for line in chart.lines)
    data: Any = CategoryChartData()
    data.categories = [str(generation) for generation in range(generations)]
    for line in chart.lines:
        data.add_series(line.label, [*line.values, *[None] * (generations - len(line.values))])
    place = Inches(LEFT), Inches(top), Inches(ROOM_WIDE), Inches(BOTTOM + 0.1 - top)
    frame: Any = slide.shapes.add_chart(XL_CHART_TYPE.LINE_MARKERS, *place, data)
    native = frame.chart
    native.has_legend, native.has_title = True, False
    native.legend.position, native.legend.include_in_layout = XL_LEGEND_POSITION.RIGHT, False
    native.font.size, native.font.name = Pt(16), FACE
    native.font.color.rgb = rgb(LIGHT.ink)
    for axis, words in ((native.category_axis, "generation (0 = real images)"), (native.value_axis, chart.axis)):
        axis.has_title = bool(words)
        if words:
            axis.axis_title.text_frame.text = plain(words, 44)
            font = axis.axis_title.text_frame.paragraphs[0].runs[0].font
            font.size, font.bold = Pt(16), False
    native.value_axis.major_gridlines.format.line.color.rgb = rgb(LIGHT.rule)
    native.value_axis.format.line.fill.background()
    native.category_axis.tick_label_position = native.category_axis.tick_label_position.LOW
    _scale(native.value_axis, chart)
    order = 0
    for column, (series, line) in enumerate(zip(native.plots[0].series, chart.lines, strict=True)):
        _style(series, line, LIGHT.lines[order % len(LIGHT.lines)])
        _error_bars(series, line, len(chart.lines) + 1 + 2 * column, generations)
        order += line.role == "line"
    native.part.chart_workbook.update_from_xlsx_blob(_workbook(chart, generations))
    described = "; ".join(f"{line.label}: {_first_last(line)}" for line in chart.lines)
    set_alt(frame, f"Line chart over generations. {described}.")


def _scale(axis: Any, chart: SlideChart) -> None:
    """Give the axis of values room for the error bars, for which the automatic one leaves none."""
    values = [value for line in chart.lines for value in line.values if value is not None]
    ends = [end for line in chart.lines for pair in line.ends if pair for end in pair]
    low, high = min([*values, *ends], default=0.0), max([*values, *ends], default=1.0)
    if -0.04 * high < low < 0.5 * high:
        low = 0.0
    raw = max(high - low, 1e-9) / 8
    power = 10 ** math.floor(math.log10(raw))
    step = next(k * power for k in (1, 2, 2.5, 5, 10) if k * power >= raw)
    axis.minimum_scale, axis.maximum_scale = math.floor(low / step) * step, math.ceil(high / step) * step
    axis.major_unit = step
    axis.tick_labels.number_format = "General"
    axis.tick_labels.number_format_is_linked = False


def _first_last(line: ChartLine) -> str:
    known = [value for value in line.values if value is not None]
    return f"{number(known[0])} to {number(known[-1])}" if known else "no value"


def _style(series: Any, line: ChartLine, colour: str) -> None:
    from pptx.enum.chart import XL_MARKER_STYLE
    from pptx.enum.dml import MSO_LINE
    from pptx.util import Pt

    shade = rgb({"real": LIGHT.ink, "control": LIGHT.muted, "blank": LIGHT.lines[3]}.get(line.role, colour))
    series.smooth = False
    series.format.line.color.rgb, series.format.line.width = shade, Pt(3 if line.role == "line" else 1.75)
    if line.role == "real":
        series.format.line.dash_style = MSO_LINE.DASH
        series.marker.style = XL_MARKER_STYLE.NONE
        return
    if line.role in ("control", "blank"):
        series.format.line.dash_style = MSO_LINE.ROUND_DOT
    series.marker.size = 8
    series.marker.format.fill.solid()
    series.marker.format.fill.fore_color.rgb = shade
    series.marker.format.line.color.rgb = shade


def _letters(column: int) -> str:
    """Return the letters of a column of a sheet, 0 for A."""
    from xlsxwriter.utility import xl_col_to_name

    return xl_col_to_name(column)


def _error_bars(series: Any, line: ChartLine, column: int, generations: int) -> None:
    """Add the intervals of a line as error bars that refer to two columns of the workbook."""
    from lxml import etree  # pyright: ignore[reportAttributeAccessIssue]

    if not any(line.ends):
        return
    bars = etree.Element(f"{{{C}}}errBars", nsmap={"c": C})
    for tag, value in (("errDir", "y"), ("errBarType", "both"), ("errValType", "cust"), ("noEndCap", "0")):
        etree.SubElement(bars, f"{{{C}}}{tag}", val=value)
    for order, (side, lengths) in enumerate(zip(("plus", "minus"), _lengths(line), strict=True)):
        holder = etree.SubElement(etree.SubElement(bars, f"{{{C}}}{side}"), f"{{{C}}}numRef")
        letters = _letters(column + order)
        etree.SubElement(holder, f"{{{C}}}f").text = f"Sheet1!${letters}$2:${letters}${generations + 1}"
        cache = etree.SubElement(holder, f"{{{C}}}numCache")
        etree.SubElement(cache, f"{{{C}}}formatCode").text = "General"
        etree.SubElement(cache, f"{{{C}}}ptCount", val=str(generations))
        for place, length in enumerate(lengths):
            if length is not None:
                point = etree.SubElement(cache, f"{{{C}}}pt", idx=str(place))
                etree.SubElement(point, f"{{{C}}}v").text = repr(length)
    look = etree.SubElement(bars, f"{{{C}}}spPr")
    look.append(_thin(series))
    series._element.find(f"{{{C}}}cat").addprevious(bars)


def _thin(series: Any) -> Any:
    """Return a thin, solid line in the colour of a series."""
    from lxml import etree  # pyright: ignore[reportAttributeAccessIssue]

    a = "http://schemas.openxmlformats.org/drawingml/2006/main"
    line = etree.Element(f"{{{a}}}ln", nsmap={"a": a}, w="15875")
    fill = etree.SubElement(line, f"{{{a}}}solidFill")
    etree.SubElement(fill, f"{{{a}}}srgbClr", val=str(series.format.line.color.rgb))
    return line


def _lengths(line: ChartLine) -> tuple[list[float | None], list[float | None]]:
    """Return how far the interval reaches above and below each value; None where it is unknown."""
    pairs = list(zip(line.values, line.ends, strict=True))
    up = [None if v is None or ends is None else max(ends[1] - v, 0.0) for v, ends in pairs]
    down = [None if v is None or ends is None else max(v - ends[0], 0.0) for v, ends in pairs]
    return up, down


def _workbook(chart: SlideChart, generations: int) -> bytes:
    """Return the workbook of a chart: a column for each line, then how far its intervals reach up and down."""
    import xlsxwriter

    file = io.BytesIO()
    book = xlsxwriter.Workbook(file, {"in_memory": True})
    sheet = book.add_worksheet("Sheet1")
    sheet.write_string(0, 0, "generation")
    for generation in range(generations):
        sheet.write_string(generation + 1, 0, str(generation))
    columns: list[tuple[str, Sequence[float | None]]] = [(line.label, line.values) for line in chart.lines]
    for line in chart.lines:
        up, down = _lengths(line)
        columns += [(f"{line.label}: 95 % interval, up", up), (f"{line.label}: down", down)]
    for column, (label, values) in enumerate(columns, 1):
        sheet.write_string(0, column, label)
        for row, value in enumerate(values, 1):
            if value is not None:
                sheet.write_number(row, column, value)
    about = book.add_worksheet("About")
    for row, words in enumerate([chart.name, chart.axis, chart.caption, *chart.notes]):
        about.write_string(row, 0, words)
    book.close()
    return file.getvalue()


def data_slides(deck: Presentation, charts: Sequence[SlideChart], notes: Sequence[str]) -> Mapping[str, Slide]:
    """Add the tables of the numbers of the charts, and return chart title -> slide of its numbers.

    Args:
        deck: the deck.
        charts: the charts.
        notes: for the speaker.
    """
    rows = [(chart, line) for chart in charts for line in chart.lines if line.role != "real" and any(line.values)]
    shown = _shown_generations([line for _, line in rows])
    pages = _pages([f"{chart.name}: {line.label}" for chart, line in rows])
    found: dict[str, Slide] = {}
    for number_of, (first, last) in enumerate(pages, 1):
        part = rows[first:last]
        images = sorted({line.images for _, line in part if line.images})
        caption = (
            f"Value and 95 % interval; {' or '.join(f'{n:,}' for n in images)} images a generation. "
            "All generations: in each chart, Edit data."
        )
        several = f", part {number_of} of {len(pages)}" if len(pages) > 1 else ""
        slide, top = new_slide(deck, f"All numbers of the charts{several}", caption, notes)
        head = ["", *("real" if generation == 0 else f"gen. {generation}" for generation in shown)]
        cells = [[f"{chart.name}: {line.label}", *(_cell(line, g) for g in shown)] for chart, line in part]
        add_table(slide, head, cells, top, LABELS, ROW)
        for chart, _ in part:
            found.setdefault(chart.title, slide)
    return found


def _pages(labels: Sequence[str]) -> list[tuple[int, int]]:
    """Return (first row, row after the last) of each slide of a table; the slides are about equally high."""
    heights = [max(ROW, lines_of_text(label, LEAST, LABELS - 0.06) * LEAST * LINE + 0.06) for label in labels]
    count = max(1, math.ceil(sum(heights) / TABLE_HIGH))
    pages, first, used = [], 0, 0.0
    for row, high in enumerate(heights):
        if used and used + high > min(TABLE_HIGH, sum(heights) / count + ROW):
            pages.append((first, row))
            first, used = row, 0.0
        used += high
    return [*pages, (first, len(labels))]


def _shown_generations(lines: Sequence[ChartLine]) -> list[int]:
    """Return about SHOWN generations: real images, the first, the last of every line, and some between."""
    lasts = sorted({len(line.values) - 1 for line in lines})
    last = lasts[-1] if lasts else 0
    if last < SHOWN:
        return list(range(last + 1))
    step = -(-last // (SHOWN - 2))
    between = [generation for generation in range(step, last, step) if last - generation > step // 2]
    return sorted({0, 1, *between, lasts[0], last})


def _cell(line: ChartLine, generation: int) -> str:
    value = line.values[generation] if generation < len(line.values) else None
    ends = line.ends[generation] if generation < len(line.ends) else None
    if value is None:
        return "–"
    if ends is None:
        return number(value)
    half = (ends[1] - ends[0]) / 2
    if abs(ends[1] + ends[0] - 2 * value) < 0.25 * half:
        return number(value, half)
    low, middle, high = (number(each, half).partition(NBSP)[0] for each in (ends[0], value, ends[1]))
    return f"{middle} ({low}–{high})" if ends[0] >= 0 else f"{middle} ({low} to {high})"
