"""The headline of a run and the key figures below it, as sentences made from the measurements.

A headline gives the value measured in the last generation and the value measured in real images, each with its 95 %
interval (see numbers.py). A second sentence says whether chance alone could explain the difference. The headline
uses the first of these measurements that the run has: freckles, the finest detail, a distance.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass

from ..evaluation.chains import loop_error
from ..measurement import Measurement
from .numbers import NBSP, Z95, half_interval, interval, is_distance, number, too_few
from .run_view import Run, plain

__all__ = [
    "Fact",
    "Headline",
    "facts",
    "finest_band",
    "headline",
]


@dataclass(frozen=True)
class Headline:
    """The main result of a run in one sentence, and the remarks that qualify it."""

    sentence: str
    remarks: tuple[str, ...]


@dataclass(frozen=True)
class Fact:
    """One figure under the headline: its label, its last value, and the values to compare it with.

    Attributes:
        label: what is counted.
        value: the value of the main line in the last generation.
        beside: pairs (name, value) to compare it with, such as real images and control models.
        note: a remark in small print.
    """

    label: str
    value: str
    beside: tuple[tuple[str, str], ...]
    note: str


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
    """Return the headline from the first that was measured: freckles, detail, a distance, any metric; else say so."""
    if run.last == 0:
        return Headline("No generation is finished yet.", ("Below are the real images with which this run begins.",))
    for write in (_freckles, _detail, _distance, _any_metric):
        written = write(run)
        if written is not None:
            return written
    return Headline(
        f"{_after(run)}, there are images, but no measurement to report.",
        ("No metric was measured both in real images and in the last generation; the reasons are listed below.",),
    )


def _after(run: Run) -> str:
    plural = "generation" if run.last == 1 else "generations"
    if run.last == 1:
        return "After 1 generation, trained on real images only"
    return f"After {run.last} {plural} of {_fed(run, run.experiment.get('regime'), run.last)}"


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


def _noun(run: Run) -> str:
    data = run.experiment.get("data")
    return run.said("data", data.get("kind") if isinstance(data, dict) else "", "noun", "image")


def freckle_name(run: Run) -> str | None:
    """Return the name of the freckle count to report: the corrected one where real and last images both have it."""
    for name in ("freckles/corrected", "freckles/count"):
        if run.real(name) and run.at(name, run.last):
            return name
    return None


def _freckles(run: Run) -> Headline | None:
    name = freckle_name(run)
    real, last = (run.real(name), run.at(name, run.last)) if name else (None, None)
    if name is None or real is None or last is None or not real.value:
        return None
    noun = _noun(run)
    drawn = f"{interval(last)} freckles {_a(noun)}"
    if last.value is not None and last.value <= (half_interval(last) or 0.0):
        drawn = f"no freckles beyond counting error ({interval(last)} {_a(noun)})"
    elif _drowned(run, 0):
        drawn = f"no freckles that can be distinguished from its own artefacts ({interval(last)} {_a(noun)})"
    sentence = f"{_after(run)}, the {run.model(0)} draws {drawn}; the real {noun}s had {interval(real)}."
    remarks = [_control(run), _net(run), _chance(last, real), _arms(run, name, f"freckles {_a(noun)}")]
    return Headline(sentence, tuple(filter(None, remarks)))


def _drowned(run: Run, line: int) -> bool:
    """Whether the count on the images of a line is no higher than on freckle-free copies: then it counts artefacts."""
    raw, blank = run.at("freckles/count", run.last, line), run.at("freckles/blank", run.last, line)
    if raw is None or blank is None or raw.value is None or blank.value is None:
        return False
    return raw.value - blank.value <= math.hypot(half_interval(raw) or 0.0, half_interval(blank) or 0.0)


def _control(run: Run) -> str:
    """Report the count before correction, and the count on faces without freckles."""
    raw, blank = run.at("freckles/count", run.last), run.at("freckles/blank", run.last)
    if raw is None or blank is None:
        return ""
    model, noun = run.model(0), _noun(run)
    drawn = f"{interval(raw)} freckles {_a(noun)} on the {noun}s that the {model} draws"
    return f"Before correction, the counter finds {drawn}, and {interval(blank)} on freckle-free copies by the {model}."


def _net(run: Run) -> str:
    """Report the count net of what the loop invents, with the interval that holds what blur may hide."""
    net, twin = run.at("freckles/net", run.last), run.at("freckles/twin", run.last)
    if net is None:
        return ""
    shown = "copies of freckle-free faces show" if twin is None else "a twin of this loop without freckles shows"
    return f"Net of what {shown}, it is {interval(net)}; this interval holds what blur may hide."


def _detail(run: Run) -> Headline | None:
    name = finest_band(run)
    last = run.at(name, run.last) if name else None
    if name is None or last is None or last.value is None:
        return None
    band, noun = name.rpartition("/")[2].replace("-", "–"), _noun(run)
    verb = "draws" if last.value > 0 else "keeps"
    claim = f"the {run.model(0)} {verb} {_percent(last)} of the energy that real {noun}s have in their finest detail"
    remarks = [f"That is {interval(last)} dB at {band} cycles per image."]
    if last.value > 0:
        remarks.append("More is not better: noise is fine detail too.")
    real = run.real(name)
    if real is not None:
        remarks.append(f"Real images against other real images give {interval(real)} dB.")
        remarks.append(_chance(last, real))
    remarks.append(_arms(run, name, "dB"))
    return Headline(f"{_after(run)}, {claim}.", tuple(filter(None, remarks)))


def _distance(run: Run) -> Headline | None:
    for name in run.names:
        last, real = run.at(name, run.last), run.real(name)
        if name.split("/")[0] in ("kernel", "frechet", "kid", "fid") and last and real:
            sentence = (
                f"{_after(run)}, the distance of the {run.model(0)}’s {_noun(run)}s from real ones is "
                f"{interval(last)}; between two sets of real {_noun(run)}s it is {interval(real)}."
            )
            remarks = (f"Measured as {name}.", _chance(last, real), _arms(run, name, ""))
            return Headline(sentence, tuple(filter(None, remarks)))
    return None


def _any_metric(run: Run) -> Headline | None:
    """A metric of the user's own, or whatever else was measured in real images and in the last generation."""
    names = sorted(run.names, key=lambda name: run.row_name(name) not in run.own_rows)
    for name in names:
        row, last, real = run.row(name), run.at(name, run.last), run.real(name)
        if row is None or last is None or real is None or "none" in (last.better, real.better):
            continue
        unit = f" {last.unit}" if last.unit else ""
        sentence = (
            f"{_after(run)}, the {run.model(0)}’s {_noun(run)}s have the value {interval(last)}{unit} in the metric "
            f"“{plain(row.title, 60)}”; real {_noun(run)}s have {interval(real)}."
        )
        remarks = (plain(row.what, 200), f"Measured as {name}.", _chance(last, real), _arms(run, name, last.unit))
        return Headline(sentence, tuple(filter(None, remarks)))
    return None


def _a(noun: str) -> str:
    return f"an {noun}" if noun[0] in "aeiou" else f"a {noun}"


def _chance(last: Measurement, real: Measurement) -> str:
    """Say whether the difference is larger than its own 95 % error."""
    loop = loop_error(last)
    if last.value is None or real.value is None or loop is None or real.stderr is None:
        return "No standard error is known, so chance is not ruled out."
    error = math.hypot(loop[0], real.stderr)
    if error == 0:
        return ""
    z = abs(last.value - real.value) / error
    if z < Z95:
        return f"The difference from real is {z:.1f} standard errors: chance alone could explain it."
    return (
        f"The difference from real is {z:,.0f} standard errors."
        if z < 1000
        else "The difference from real is over 1,000 standard errors."
    )


def _arms(run: Run, name: str, unit: str) -> str:
    """Report the values of the control models, which the same regime trains."""
    values = []
    for line in run.lines[1:]:
        m = run.at(name, run.last, line)
        if m is not None:
            doubt = ", no more than its artefacts do" if name.startswith("freckles") and _drowned(run, line) else ""
            values.append(f"{run.model(line)} gives {interval(m)} {unit}".strip() + doubt)
    return f"Under the same regime, {'; '.join(values)}." if values else ""


def facts(run: Run) -> list[Fact]:
    """Return up to four key figures: freckles, finest detail, diversity, distance from real images."""
    if run.last == 0:
        return []
    candidates = [
        (freckle_name(run), "Freckles a face"),
        (finest_band(run), "Finest detail left"),
        (_first(run, "perceptual_diversity", "lpips_diversity", "pixel_variance"), "Diversity"),
        (_first(run, "frechet", "fid", "kernel", "kid"), "Distance from real"),
    ]
    return [_fact(run, name, label) for name, label in candidates if name and run.at(name, run.last)]


def _first(run: Run, *families: str) -> str | None:
    """Return the first measurement of these families that the last generation has, or None.

    A measurement on enough images comes before one on too few.
    """
    named = [name for family in families for name in run.names if name.split("/")[0] == family]
    present = [name for name in named if run.at(name, run.last)]
    return min(present, key=lambda name: any(too_few(run, m) for m in run.series(name)), default=None)


def _fact(run: Run, name: str, label: str) -> Fact:
    say = _percent if name.startswith("band_power/") else interval
    last, real = run.at(name, run.last), run.real(name)
    assert last is not None
    beside = [("two real sets" if is_distance(real) else "real", say(real))] if real else []
    for line in run.lines[1:3]:
        arm = run.at(name, run.last, line)
        if arm is not None:
            beside.append((run.label(line, 20), say(arm)))
    note = name
    if name.startswith("freckles"):
        blank = run.at("freckles/blank", run.last)
        note = f"on freckle-free copies the counter finds {interval(blank)}" if blank else ""
    if say is _percent:
        band = name.rpartition("/")[2].replace("-", "–")
        note = f"energy at {band} cycles per image: {interval(last)} dB"
    return Fact(label, say(last), tuple(beside), note)


def _percent(m: Measurement) -> str:
    """Return a log-ratio x in dB as a share of the real energy, 100 · 10^(x / 10) %, interval by the delta method."""
    assert m.value is not None
    share = 100 * 10 ** (m.value / 10)
    half = half_interval(m)
    text = number(share, None if half is None else half * share * math.log(10) / 10)
    return f"{text}{NBSP}%"
