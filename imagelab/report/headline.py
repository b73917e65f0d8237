"""The headline of a run, as sentences made from the measurements.

A headline gives the values of the last generation, of the first, whose model was trained on real images, and of real
images, each with its 95 % interval (numbers.py). So the loss of the first training is not charged to the loop. It says
what is measured: of freckles, what the counter finds, and how many it also finds where there are none; the corrected
counts follow with their conditions. It reports the first of freckles, fine detail and distance whose loss against
real images is beyond chance. The last remarks are a mean count that hides a loss, because all images have about the
same number, and what the rare attributes keep, if chance would leave more: a mean count can stay while they go.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

from ..evaluation.chains import loop_error
from ..measurement import Measurement
from ..metrics.planted_counter import MOST_FALSE
from .numbers import NBSP, Z95, half_interval, interval, number
from .planted import counted_thing
from .run_view import Run, plain
from .survival import rare_remark
from .yardstick import as_blur

__all__ = [
    "CONTROLS",
    "COUNT",
    "Headline",
    "alike_remark",
    "data_kind",
    "distance_of",
    "fed_on",
    "finest_band",
    "headline",
    "noun_of",
    "percent",
    "regained",
    "sigmas_from_real",
    "with_article",
]

COUNT = "freckles/count"

CONTROLS = ("freckles/twin", "freckles/blank")
"""What is counted where there are no freckles, the better control first: a twin of the loop, freckle-free copies."""


@dataclass(frozen=True)
class Headline:
    """The main result of a run.

    Attributes:
        sentence: one or two sentences: the last generation, the first, and real images.
        remarks: what qualifies it.
        telling: whether it is a loss that chance cannot explain.
    """

    sentence: str
    remarks: tuple[str, ...]
    telling: bool = False


def finest_band(run: Run) -> str | None:
    """Return the name of the finest octave measured in generated images, or None.

    A band above the highest octave, in the corners of the spectrum, is not an octave and does not count.
    """
    edges = {}
    for name in run.names:
        match = re.fullmatch(r"band_power/(\d+)-(\d+)", name)
        if match and run.series(name):
            edges[int(match[1]), int(match[2])] = name
    tops = {high for _, high in edges}
    octaves = [edge for edge in edges if edge[0] - 1 not in tops]
    return edges[max(octaves)] if octaves else None


def headline(run: Run) -> Headline:
    """Return the first result of freckles, detail and distance that chance cannot explain, else the first measured.

    A gain is not such a result: noise is fine detail too, and blotches are counted as freckles. Nor is detail that was
    missing after the first training, and that the loop has brought back in part.
    """
    if run.last == 0:
        return Headline("No generation is finished yet.", ("Below are the real images with which this run begins.",))
    written = [result for write in (_freckles, _detail, _distance, _any_metric) if (result := write(run))]
    if not written:
        return Headline(
            f"{_after(run)}, there are images, but no measurement to report.",
            ("No metric was measured both in real images and in the last generation; the reasons are listed below.",),
        )
    chosen = next((result for result in written if result.telling), written[0])
    return replace(chosen, remarks=tuple(filter(None, (*chosen.remarks, alike_remark(run), rare_remark(run)))))


def _after(run: Run) -> str:
    plural = "generation" if run.last == 1 else "generations"
    if run.last == 1:
        return "After 1 generation, trained on real images only"
    return f"After {run.last} {plural} of {fed_on(run)}"


def fed_on(run: Run) -> str:
    """Return what the models of a run were trained on, such as "training on its own output"."""
    return _fed(run, run.experiment.get("regime"), run.last)


def _fed(run: Run, regime: object, last: int) -> str:
    """Describe the training data up to a generation; for a schedule, its regimes one after the other."""
    if not isinstance(regime, dict):
        return "training in a loop"
    until, stages = regime.get("until"), [regime.get("first"), regime.get("then")]
    if regime.get("kind") != "schedule" or not isinstance(until, int):
        return run.said("regimes", regime.get("kind"), "fed", "training in a loop")
    if last <= until:
        return _fed(run, stages[0], last)
    return f"{_fed(run, stages[0], until)} to generation {until} and then {_fed(run, stages[1], last)}"


def noun_of(run: Run) -> str:
    """Return what one image of the run's data shows, such as "face"."""
    data = run.experiment.get("data")
    return run.said("data", data.get("kind") if isinstance(data, dict) else "", "noun", "image")


def data_kind(run: Run) -> str:
    """Return the kind of the run's dataset; "" where the settings do not name one."""
    data = run.experiment.get("data")
    return str(data.get("kind", "")) if isinstance(data, Mapping) else ""


def percent(m: Measurement) -> str:
    """Return a log-ratio x in dB as a share of the real energy, 100 · 10^(x / 10) %, interval by the delta method."""
    assert m.value is not None
    share = 100 * 10 ** (m.value / 10)
    half = half_interval(m)
    text = number(share, None if half is None else half * share * math.log(10) / 10)
    return f"{text}{NBSP}%"


def _freckles(run: Run) -> Headline | None:
    """Say what the counter finds, and how much of it the counter also finds where there are no freckles."""
    count = counted_thing(run).count
    real, last = run.real(count), run.at(count, run.last)
    if real is None or last is None or not real.value:
        return None
    noun, model, thing = noun_of(run), run.model(0), counted_thing(run)
    found = f"{interval(last)} {thing.word} {with_article(noun)}"
    if (blank := _blank(run, 0)) is not None and _drowned(run, 0):
        found += f", no more than on {noun}s without {thing.word} ({interval(blank)}),"
    sentence = f"{_after(run)}, the counter finds {found} on the {noun}s that the {model} draws"
    remarks = [
        _chance(run, count),  # of the count itself, so before the corrected ones
        _control(run),
        _corrected(run),
        _net(run),
        _arms(run, count, f"{thing.word} {with_article(noun)}"),
    ]
    return Headline(
        _with_start(run, count, sentence, interval, "it found", f"real {noun}s"),
        tuple(filter(None, remarks)),
        _below_real(run, count),
    )


def _with_start(run: Run, name: str, sentence: str, say: Callable[[Measurement], str], verb: str, real: str) -> str:
    """Add the values of the first generation, which the loop did not change, and of real images."""
    first, floor = run.at(name, 1) if run.last > 1 else None, run.real(name)
    parts = [
        f"after the first training {verb} {say(first)}" if first else "",
        f"on {real} {say(floor)}" if floor and real else "",
    ]
    return "; ".join(filter(None, [sentence, ", ".join(filter(None, parts))])) + "."


def _drowned(run: Run, line: int) -> bool:
    """Whether the count on the images of a line is no higher than where there are no freckles."""
    raw, blank = run.at(counted_thing(run).count, run.last, line), _blank(run, line)
    return raw is not None and blank is not None and not _clearly_above(raw, blank)


def _clearly_above(one: Measurement, other: Measurement) -> bool:
    """Whether a value is above another by more than the 95 % errors of both."""
    apart = (one.value or 0.0) - (other.value or 0.0)
    return apart > math.hypot(half_interval(one) or 0.0, half_interval(other) or 0.0)


def _blank(run: Run, line: int) -> Measurement | None:
    """Return the count where there are no freckles: on a twin of the loop, else on freckle-free copies."""
    return next((m for name in counted_thing(run).controls if (m := run.at(name, run.last, line))), None)


def _control(run: Run) -> str:
    """Report how much of the count is also found where there are no freckles."""
    thing = counted_thing(run)
    raw, twin, blank = (run.at(thing.name(part), run.last) for part in ("count", "twin", "blank"))
    if raw is None or raw.value is None or (twin is None and blank is None):
        return ""
    model, noun = run.model(0), noun_of(run)
    parts = []
    if twin is not None:
        parts.append(f"{interval(twin)} on the {noun}s of the same loop trained on {noun}s without {thing.word}")
    if blank is not None:
        parts.append(f"{interval(blank)} on {thing.told('freckle-free')} {noun}s copied by the {model}")
    return f"It also finds {', and '.join(parts)}."


def _corrected(run: Run) -> str:
    """Report the corrected count and its condition."""
    thing = counted_thing(run)
    name = thing.name("corrected")
    last, real = run.at(name, run.last), run.real(name)
    if last is None or real is None:
        return ""
    planted = thing.stem == "planted"
    known = run.real("truth/marks" if planted else "truth/freckles")
    made = "marked" if planted else "drawn"
    drawn = f", {made} with {number(known.value)}" if known is not None and known.value is not None else ""
    return (
        f"Corrected for what the counter misses and invents on sharp images, the count is {interval(last)} (real "
        f"{noun_of(run)}s: {interval(real)}{drawn})."
    )


def _net(run: Run) -> str:
    """Report the count net of what the loop invents, with the interval that holds what blur may hide."""
    thing = counted_thing(run)
    net, twin = run.at(thing.name("net"), run.last), run.at(thing.name("twin"), run.last)
    if net is None:
        return ""
    shown = "on freckle-free copies" if twin is None else "in the loop without freckles"
    shown = thing.told(shown)
    return f"Net of what it finds {shown}, it is {interval(net)}; this interval holds what blur may hide."


def alike_remark(run: Run) -> str:
    """Return what qualifies a mean count that is no loss, but of numbers more equal than on real images; else ""."""
    thing = counted_thing(run)
    count, spread = thing.count, thing.name("spread")
    last, real = run.at(count, run.last), run.real(count)
    wide, usual = run.at(spread, run.last), run.real(spread)
    if not (last and real and wide and usual) or _below_real(run, count) or not _below_real(run, spread):
        return ""
    noun, word = noun_of(run), thing.word
    return (
        f"The counter finds {interval(last)} {word} {with_article(noun)}, on real {noun}s {interval(real)}; but their "
        f"number differs less from one {noun} to another (standard deviation {interval(wide)}, real "
        f"{interval(usual)}), so this mean does not show that {word} are kept."
    )


def _detail(run: Run) -> Headline | None:
    name = finest_band(run)
    last = run.at(name, run.last) if name else None
    if name is None or last is None or last.value is None:
        return None
    band, noun = name.rpartition("/")[2].replace("-", "–"), noun_of(run)
    verb = "draws" if last.value > 0 else "keeps"
    claim = f"the {run.model(0)} {verb} {percent(last)} of the energy that real {noun}s have in their fine detail"
    remarks = [f"That is {interval(last)} dB at {band} cycles per image."]
    if last.value > 0:
        remarks.append("More is not better: noise is fine detail too.")
    real = run.real(name)
    if real is not None:
        remarks.append(f"Real images against other real images give {interval(real)} dB.")
        remarks.append(_chance(run, name))
    remarks.append(_arms(run, name, "dB"))
    return Headline(
        _with_start(run, name, f"{_after(run)}, {claim}", percent, "it was", ""),
        tuple(filter(None, remarks)),
        last.value < 0 and _beyond_chance(run, name) and not regained(run, name),
    )


def regained(run: Run, name: str) -> bool:
    """Return whether a value has risen since the first training by more than the 95 % errors of both."""
    first, last = run.at(name, 1), run.at(name, run.last)
    return first is not None and last is not None and _clearly_above(last, first)


def distance_of(run: Run) -> str | None:
    """Return the name of the first distance that was measured in the last generation and in real images, or None."""
    named = (name for name in run.names if name.split("/")[0] in ("kernel", "frechet", "kid", "fid"))
    return next((name for name in named if run.at(name, run.last) and run.real(name)), None)


def _distance(run: Run) -> Headline | None:
    name = distance_of(run)
    last, real = (run.at(name, run.last), run.real(name)) if name else (None, None)
    if name is None or last is None or real is None:
        return None
    noun = noun_of(run)
    sentence = f"{_after(run)}, the distance of the {run.model(0)}’s {noun}s from real ones is {interval(last)}"
    blur = as_blur(last, data_kind(run), run.side)
    remarks = (
        f"That is as far from real as {blur}." if blur else "",
        f"Measured as {name}.",
        _chance(run, name),
        _arms(run, name, ""),
    )
    return Headline(
        _with_start(run, name, sentence, interval, "it was", "").removesuffix(".")
        + f"; between two sets of real {noun}s it is {interval(real)}.",
        tuple(filter(None, remarks)),
        last.value is not None and real.value is not None and last.value > real.value and _beyond_chance(run, name),
    )


def _any_metric(run: Run) -> Headline | None:
    """A metric of the user's own, or whatever else was measured in real images and in the last generation."""
    names = sorted(run.names, key=lambda name: run.row_name(name) not in run.own_rows)
    for name in names:
        row, last, real = run.row(name), run.at(name, run.last), run.real(name)
        if row is None or last is None or real is None or "none" in (last.better, real.better):
            continue
        unit = f" {last.unit}" if last.unit else ""
        sentence = (
            f"{_after(run)}, the {run.model(0)}’s {noun_of(run)}s have the value {interval(last)}{unit} in the metric "
            f"“{plain(row.title, 60)}”; real {noun_of(run)}s have {interval(real)}."
        )
        remarks = (plain(row.what, 200), f"Measured as {name}.", _chance(run, name), _arms(run, name, last.unit))
        return Headline(sentence, tuple(filter(None, remarks)), _beyond_chance(run, name))
    return None


def with_article(noun: str) -> str:
    """Return a noun with its article, such as "an image"."""
    return f"an {noun}" if noun[0] in "aeiou" else f"a {noun}"


def sigmas_from_real(run: Run, name: str) -> float | None:
    """Return the difference of the last generation from real images in standard errors of both; None if unknown.

    Limits that hold a systematic error, such as what blur may hide, count on the side of real images.
    """
    last, real = run.at(name, run.last), run.real(name)
    loop = loop_error(last) if last else None
    if last is None or real is None or loop is None or real.stderr is None or last.value is None or real.value is None:
        return None
    error = math.hypot(loop[0], real.stderr)
    if last.low is not None and last.high is not None:
        side = last.high - last.value if real.value > last.value else last.value - last.low
        error = max(error, math.hypot(side / Z95, real.stderr))
    return abs(last.value - real.value) / error if error else math.inf


def _beyond_chance(run: Run, name: str) -> bool:
    z = sigmas_from_real(run, name)
    return z is not None and z >= Z95


def _below_real(run: Run, name: str) -> bool:
    last, real = run.at(name, run.last), run.real(name)
    if last is None or real is None or last.value is None or real.value is None:
        return False
    return last.value < real.value and _beyond_chance(run, name)


def _chance(run: Run, name: str) -> str:
    """Say whether the difference is larger than its own 95 % error."""
    z = sigmas_from_real(run, name)
    if z is None:
        return "No standard error is known, so chance is not ruled out."
    if math.isinf(z):
        return ""
    if z < Z95:
        return f"The difference from real is {z:.1f} standard errors: chance alone could explain it."
    return (
        f"The difference from real is {z:,.0f} standard errors."
        if z < 1000
        else "The difference from real is over 1,000 standard errors."
    )


def _invented(run: Run, name: str, line: int) -> str:
    """Say where a model draws planted marks on unmarked images, so that its count says little; "" where not."""
    blank = _blank(run, line)
    if not name.startswith("planted/") or blank is None or (blank.value or 0.0) <= MOST_FALSE:
        return ""
    return f" (and {interval(blank)} on unmarked {noun_of(run)}s that it copied: it draws what looks like them)"


def _arms(run: Run, name: str, unit: str) -> str:
    """Report the values of the control models, which the same regime trains."""
    values = []
    for line in run.lines[1:]:
        m = run.at(name, run.last, line)
        if m is not None:
            doubt = (
                f", no more than on {noun_of(run)}s without {counted_thing(run).word}"
                if name.startswith(("freckles", "planted")) and _drowned(run, line)
                else _invented(run, name, line)
            )
            values.append(f"{run.model(line)} gives {interval(m)} {unit}".strip() + doubt)
    return f"Under the same regime, {'; '.join(values)}." if values else ""
