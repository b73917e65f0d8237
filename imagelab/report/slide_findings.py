"""The charts of a deck of one run: which measurements, what each of them finds, and what may be said about it."""

from __future__ import annotations

from collections.abc import Sequence

from ..evaluation.chains import repetition
from ..measurement import Measurement
from .headline import finest_band, noun_of
from .numbers import interval, is_distance, trainings
from .planted import counted_thing
from .run_view import Run, plain
from .slide_charts import ChartLine, Role, SlideChart, generation_word
from .wording import octave, wording

__all__ = ["brief_number", "caveats", "charts_of_run", "later", "main_measurements", "share_of_real", "what_is_shown"]

MOST_ARMS = 2


def caveats(view: Run) -> list[str]:
    """Return what must be said with any figure of a run, as paragraphs for the notes."""
    n = view.provenance.get("n") or view.experiment.get("images")
    count = f"{n:,}" if isinstance(n, int) else plain(n)
    return [
        f"{count} images per generation, seed {plain(view.experiment.get('seed', '?'))}. {trainings(view)}",
        "“Real” means generation 0, the images with which the run began.",
        f"Run {view.name}, imagelab {plain(view.provenance.get('imagelab', ''))}.",
    ]


def main_measurements(view: Run) -> dict[str, str]:
    """Return role -> measurement of the charts of a deck, those that were measured: freckles, detail, ..."""
    thing = counted_thing(view)
    named = (thing.name(part) for part in ("count", "net", "corrected"))
    freckles = next((name for name in named if _both(view, name)), None)
    distances = [n for n in view.names if n.startswith(("frechet/", "fid")) and view.at(n, view.last)]
    found = {
        "freckles": freckles,
        "detail": finest_band(view),
        "variety": "pixel_variance",
        "distance": distances[0] if distances else None,
    }
    return {role: name for role, name in found.items() if name and view.at(name, view.last)}


def _both(view: Run, name: str) -> bool:
    return view.real(name) is not None and view.at(name, view.last) is not None


def charts_of_run(view: Run) -> list[SlideChart]:
    """Return the charts of a run with their findings as titles."""
    charts = []
    for role, name in main_measurements(view).items():
        lines = _freckle_lines(view, name) if role == "freckles" else _lines(view, name)
        caption = f"{_freckle_caption(view, name) if role == 'freckles' else what_is_shown(view, name)} {_bars(view)}"
        title = later(role, view, name, [view.real(name), view.at(name, 1), view.at(name, view.last)])
        words = wording(view, name)
        short = {
            "freckles": counted_thing(view).told("Freckles"),
            "detail": "Finest detail",
            "variety": "Variance",
            "distance": "Distance",
        }[role]
        notes = tuple([*_spoken(view, name), *caveats(view)])
        charts.append(SlideChart(title, caption, words.axis, short, tuple(lines), notes))
    return charts


def _bars(view: Run) -> str:
    if view.replicates > 1:
        return f"Bars: where another run of {view.replicates} chains would lie (95 %)."
    return "Bars: where another training would lie (95 %), estimated from other runs."


def what_is_shown(view: Run, name: str) -> str:
    """Return what a chart of a measurement shows, as one sentence."""
    thing = counted_thing(view)
    if name == thing.name("net"):
        return thing.told("Spots found minus those found where none are; bars also hold what blur may hide.")
    if name == thing.name("corrected"):
        return thing.told("Corrected for the counter’s misses and false detections, not for spots that the model adds.")
    if name == thing.count:
        return thing.told("All spots that the counter finds, not corrected.")
    if octave(name):
        return f"Energy at {octave(name)}: 0 dB as in real images, −3 dB half of it."
    m = view.real(name)
    if m is not None and is_distance(m):
        return "Dashed: the distance between two sets of real images."
    return "How much images differ from each other, relative to real images."


def _control(view: Run) -> str | None:
    """Return what is counted where there are no freckles: in a twin of the loop, else on freckle-free copies."""
    return next((name for name in counted_thing(view).controls if view.at(name, view.last)), None)


def _freckle_caption(view: Run, name: str) -> str:
    thing = counted_thing(view)
    if name != thing.count:
        return what_is_shown(view, name)
    told = [thing.told("Found: all spots counted, not corrected.")]
    control = _control(view)
    if control:
        twin = control == thing.name("twin")
        where = "in a loop that never saw freckles" if twin else "on copies of faces without any"
        told.append(thing.told(f"Found where none are: {where}."))
    if view.series(thing.name("net")):
        told.append("Net: corrected for these and for misses; its bars hold what blur may hide.")
    return " ".join(told)


def _freckle_lines(view: Run, name: str) -> list[ChartLine]:
    """Return what the counter finds, what it finds where there are none, and what is left net of that."""
    thing = counted_thing(view)
    word = {thing.name("net"): "net", thing.name("corrected"): "corrected", thing.count: "found"}[name]
    model, control = view.model(0), _control(view)
    lines = [_line(view, name, 0, f"{word}, {model}")]
    lines += [
        _line(view, name, arm, f"{word}, {view.model(arm)}")
        for arm in view.lines[1:MOST_ARMS]
        if view.series(name, arm)
    ]
    if name == thing.count and control:
        lines.append(_line(view, control, 0, "found where none are", "blank"))
    if name == thing.count and view.series(thing.name("net")):
        lines.append(_line(view, thing.name("net"), 0, f"net, {model}", "control"))
    return [*lines, *_real(view, name)]


def _lines(view: Run, name: str) -> list[ChartLine]:
    own = [line for line in view.lines[: 1 + MOST_ARMS] if view.series(name, line)]
    return [*(_line(view, name, line, view.label(line, 30)) for line in own), *_real(view, name)]


def _real(view: Run, name: str) -> list[ChartLine]:
    real = view.real(name)
    if real is None or real.value is None:
        return []
    count = max(view.generations) + 1
    label = "two real sets" if is_distance(real) else "real"
    return [ChartLine(label, (real.value,) * count, (None,) * count, real.n_fake, "real")]


def _line(view: Run, name: str, line: int, label: str, role: Role = "line") -> ChartLine:
    rows = [view.real(name) if g == 0 else view.at(name, g, line) for g in range(max(view.generations) + 1)]
    values = tuple(None if m is None else m.value for m in rows)
    ends = tuple(None if m is None or m.value is None else repetition(m) for m in rows)
    images = next((m.n_fake for m in rows[1:] if m is not None), 0)
    return ChartLine(label, values, ends, images, role)


def _spoken(view: Run, name: str) -> list[str]:
    """Return the last values of all models, and what the measurement does not see."""
    row = view.row(name)
    notes = [f"{name}: {plain(row.what, 300)} Limits: {plain(row.blind, 300)}"] if row else [name]
    for line in view.lines:
        m = view.at(name, view.last, line)
        if m is not None:
            notes.append(f"{view.label(line)}, generation {view.last}: {interval(m)} (n = {m.n_fake:,}).")
    return notes


def share_of_real(role: str, value: float) -> str:
    """Return a value as a share of real images: a band power in dB, or a ratio, in percent."""
    share = 100 * 10 ** (value / 10) if role == "detail" else 100 * value
    return f"{share:.0f} %" if share >= 9.5 else f"{share:.1f} %"


def later(role: str, view: Run, name: str, rows: Sequence[Measurement | None]) -> str:
    """Return the finding of a chart as a sentence: real images, the first model, the last one.

    Args:
        role: a key of :func:`main_measurements`.
        view: the run.
        name: the measurement.
        rows: its measurements in real images, at generation 1 and at the last generation.
    """
    real, first, last = (None if m is None else m.value for m in rows)
    assert last is not None
    noun, thing = noun_of(view), counted_thing(view)
    say = (lambda value: share_of_real(role, value)) if role in ("detail", "variety") else brief_number
    steps = [f"{say(first)} after the first training"] if first is not None else []
    if view.last > 1:
        after = generation_word(view.last)
        steps.append(f"{say(last)} after {after}" if steps else f"{say(last)} after {after} trainings")
    start = {
        "freckles": f"{brief_number(real)} in real {noun}s" if real is not None else "",
        "distance": f"{brief_number(real)} between two real sets" if real is not None else "",
    }.get(role, "")
    if role in ("detail", "variety"):
        steps[0] = steps[0].replace(" after", " of real after", 1)
    head = {
        "freckles": thing.told(
            {thing.count: "Freckles found", thing.name("net"): "Net freckles"}.get(name, "Corrected freckles")
        ),
        "detail": "Energy of fine detail",
        "variety": "Pixel variance",
        "distance": wording(view, name).title.partition(" (")[0],
    }[role]
    control = view.at(_control(view) or "", view.last) if name == thing.count else None
    if control is not None and control.value is not None:
        steps[-1] += f"; {brief_number(control.value)} where none are"
    return f"{head}: {', '.join(filter(None, [start, *steps]))}"


def brief_number(value: float) -> str:
    """Return a number for a title: whole from 20 on, one decimal from 1 on, two below."""
    digits = 0 if abs(value) >= 20 else 1 if abs(value) >= 0.95 else 2
    return f"{value:,.{digits}f}".replace("-", "−")
