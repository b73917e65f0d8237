"""Is what a page prints what its images give? Draws numbers of a run's page and recomputes them from the raw arrays.

Question:   does every printed number, its ± and its rounding follow from images.npy and the other arrays of the run,
            by code that shares nothing with the package?
Command:    python experiments/instruments/recompute.py RUN --page PAGE/index.html --seed 0 1 2    fifty numbers each
            python experiments/instruments/recompute.py RUN --count 0 --only frechet               all of one kind
Hardware:   one CPU core; three to six minutes for fifty numbers of 1,000 images in three chains.
Expected:   every number agrees with metrics.jsonl, and with the page to its last digit; exit code 0.
Refuted by: one that does not; exit code 1. It is a bug of the package or of this script.

Nothing of the package is imported. Definitions come from its docstrings and from the papers; the files of weights
(the encoder, the freckle counter, the probes, the table of retraining ratios) are read by path. Three things are
compared for each number drawn:

    value       of every chain, from the arrays, with metrics.jsonl;
    error       standard error and exact limits of every chain, from the arrays, with metrics.jsonl;
    print       the mean of the chains and the interval of a repetition with the digits on the page. The interval needs
                the spread between chains at all generations: those of the other generations are from metrics.jsonl.

Not recomputed: ``freckles/blank`` of a model (and ``freckles/net`` without a twin, as of an arm), because a run does
not keep the copies; ``truth/freckles``, because it does not keep the renderer's list; metrics of one's own; in grouped
datasets the errors of ``memorisation``.

Seen 2026-11-29, photocopy.py with three chains, 1,000 faces of 64 px, ten generations, one busy x86-64 core (seven
minutes for fifty numbers beside other work): 480 of 486 numbers of the page can be recomputed, 405 of the 409 of its
table. All of them once, on the page of commit 746b49c: the printed value and its ± agree in 472 of 473, and so do all
standard errors and limits; the one was a bug of the page, "(3.5 (2.18 × 10⁻⁵ to 5.53 × 10⁻⁵)" for the clipped values
of real images, mended in 5df9eb2. Values agree with metrics.jsonl to six digits or two thousandths of a standard
error, except counts at a threshold: 1 of 1,000 images in precision, 1 or 2 of 1,600 freckles. With the logarithms of
light rounded to float32, as the package has them, the freckles agree as well (1,522 of 1,522). On the page of
5df9eb2: seed 0, 50 of 50; seed 1, 50 of 50; seed 2, 50 of 50.
"""

from __future__ import annotations

import argparse
import math
import random
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from recompute_page import REAL, Printed, Text, printed_numbers, read_text
from recompute_pixels import Found
from recompute_run import Run, interval_of, t95

CLOSE = {"detector": 0.05, "detector_starved": 0.05}
"""Largest difference from metrics.jsonl in standard errors, where it is not the usual one: the package stops its
classifier before it has converged."""

VOTES = {"prdc": 2, "clipped_density": 2, "clipped_coverage": 2, "memorisation": 2, "tails": 1, "freckles": 3}
"""Images (or freckles) that may be counted otherwise, because of rounding at a threshold: the package computes features
and the density of the skin with six digits, this script with fifteen where it can."""

USUAL = 2e-3  # standard errors
RELATIVE = 1e-6


def _rounds_to(exact: float, shown: tuple[float, float], slack: float) -> bool:
    return abs(exact - shown[0]) <= shown[1] / 2 * (1 + 1e-9) + slack + 1e-12 * abs(exact)


@dataclass
class Result:
    """What the comparison of one number gave."""

    number: Printed
    expected: str = ""
    faults: list[str] = field(default_factory=list)
    remarks: list[str] = field(default_factory=list)


def compare(run: Run, number: Printed) -> Result:
    """Recompute one printed number and compare it with the page and with metrics.jsonl."""
    result = Result(number)
    lines = run.lines(number.name, number.generation, number.role)
    if not lines:
        result.faults.append("the page prints a number, metrics.jsonl has none")
        return result
    rows: dict[int, Mapping[str, Any]] = {}
    slack = 0.0
    for line in lines:
        row = run.rows[number.name, number.generation, line]
        found = run.recomputed(number.name, number.generation, line)
        if found is None:
            result.faults.append(f"line {line}: the page prints a number, the arrays give none")
            return result
        slack = max(slack, _compare_row(result, line, row, found))
        stderr = row.get("stderr") if found.stderr is None else found.stderr
        low, high = (row.get("low"), row.get("high")) if found.limits is None else found.limits
        if found.stderr is None and row.get("stderr") is not None:
            result.remarks.append("s.e. as recorded")
        rows[line] = {**row, "value": found.value, "stderr": stderr, "low": low, "high": high}
    value, ends = interval_of(run, number, rows)
    _compare_text(run, result, value, ends, slack)
    return result


def _compare_row(result: Result, line: int, row: Mapping[str, Any], found: Found) -> float:
    """Compare with a row of metrics.jsonl; return by how much the recomputed value is allowed to differ."""
    stem, recorded, stderr = result.number.name.partition("/")[0], row["value"], row.get("stderr")
    votes = VOTES.get(stem, 0) / max(row.get("n_fake", 0), 1)
    allowed = CLOSE.get(stem, USUAL) * (stderr or 0.0) + RELATIVE * max(abs(recorded), abs(found.value)) + votes
    if abs(found.value - recorded) > allowed + 1e-12:
        result.faults.append(f"line {line}: value {recorded!r} in metrics.jsonl, {found.value!r} from the arrays")
    near = CLOSE.get(stem, 0.02 if votes else 0.01)
    if found.stderr is not None and stderr is not None and abs(found.stderr - stderr) > near * stderr:
        result.faults.append(f"line {line}: stderr {stderr!r} in metrics.jsonl, {found.stderr!r} from the arrays")
    if found.limits is not None:
        ends = row.get("low"), row.get("high")
        width = found.limits[1] - found.limits[0]
        for mine, theirs in zip(found.limits, ends, strict=True):
            if theirs is None or abs(mine - theirs) > near * width + votes + 1e-9:
                result.faults.append(f"line {line}: limit {theirs!r} in metrics.jsonl, {mine!r} from the arrays")
    return allowed + 1e-12


def _compare_text(run: Run, result: Result, value: float, ends: tuple[float, float] | None, slack: float) -> None:
    number, shown = result.number, read_text(result.number.text)
    half = None if ends is None else (ends[1] - ends[0]) / 2
    if number.form:
        value, half, slack = _in_percent(run, number, value, half, slack)
    result.expected = f"{value:.6g}" + ("" if half is None else f" ± {half:.3g}")
    if shown is None:
        result.faults.append("the printed text is no number")
        return
    if not _rounds_to(value, shown.value, slack):
        result.faults.append("the printed value is another one")
    if shown.half is not None and (half is None or not _rounds_to(half, shown.half, 0.01 * half)):
        result.faults.append("the printed ± is another one")
    if shown.ends is not None:
        if ends is None or not all(_rounds_to(e, s, 0.01 * (half or 0)) for e, s in zip(ends, shown.ends, strict=True)):
            result.faults.append("the printed ends are others")
        result.expected = f"{value:.6g}" + ("" if ends is None else f" ({ends[0]:.4g} to {ends[1]:.4g})")
    if shown.half is None and shown.ends is None and half:
        result.faults.append("the ± is missing")
    _compare_star(run, result, shown)


def _in_percent(
    run: Run, number: Printed, value: float, half: float | None, slack: float
) -> tuple[float, float | None, float]:
    """Return value, half of the interval and allowance of a number that is printed in percent."""
    if number.form == "percent":
        share = 100 * 10 ** (value / 10)
        scale = share * math.log(10) / 10
        return share, None if half is None else half * scale, slack * scale
    row = run.rows[number.name, 0, REAL]
    if number.role == REAL:
        return 100.0, None, 0.0
    floor = t95(row.get("df")) * row["stderr"]
    share = value / row["value"]
    wide = None if half is None else 100 * math.hypot(half, share * floor) / abs(row["value"])
    return 100 * share, wide, 100 * slack / abs(row["value"])


def _compare_star(run: Run, result: Result, shown: Text) -> None:
    """A band less than a factor of 4 above the rounding of bytes has a star in the table."""
    stem, _, band = result.number.name.partition("/")
    if not result.number.where.startswith("The numbers"):
        return
    due = False
    if stem == "band_power":
        name, generation, role = f"band_headroom/{band}", result.number.generation, result.number.role
        found = [run.recomputed(name, generation, line) for line in run.lines(name, generation, role)]
        known = [each.value for each in found if each is not None]
        due = bool(known) and float(np.mean(known)) < 10 * math.log10(4)
    if due != shown.starred:
        result.faults.append("a star is missing" if due else "the star is wrong")


# the command


def main(words: Sequence[str] | None = None) -> int:
    """Draw, recompute, print the table; 1 for any disagreement."""
    parser = argparse.ArgumentParser(description="Recompute numbers of a run's page from the raw arrays.")
    parser.add_argument("run", type=Path, help="the run folder")
    parser.add_argument("--page", type=Path, help="the page; RUN/report/index.html if not given")
    parser.add_argument("--seed", type=int, default=[0], nargs="+", help="of the draw; several share what they compute")
    parser.add_argument("--count", type=int, default=50, help="numbers to draw; 0 for all")
    parser.add_argument("--only", default="", help="names that begin with this, separated by commas")
    asked = parser.parse_args(words)
    run = Run.open(asked.run)
    page = (asked.page or asked.run / "report" / "index.html").read_text("utf-8")
    numbers = printed_numbers(page, run)
    if not numbers:
        print("no number was found on the page", file=sys.stderr)
        return 2
    covered = [number for number in numbers if run.coverable(number)]
    _say_share(numbers, covered)
    chosen = [n for n in covered if not asked.only or n.name.startswith(tuple(asked.only.split(",")))]
    contradictions = run.contradictions()
    for place in contradictions:
        print(f"{place}: the metrics.jsonl of the run differs from that of the generation")
    agreed = [_draw(run, chosen, asked.count, seed) for seed in asked.seed]
    return 1 if contradictions or not all(agreed) else 0


def _draw(run: Run, covered: Sequence[Printed], count: int, seed: int) -> bool:
    """Compare some of the numbers, drawn at random, or all of them for a count of 0; return whether all agree."""
    drawn = random.Random(seed).sample(covered, min(count, len(covered))) if count else covered
    results = []
    for number in sorted(drawn, key=lambda n: (n.generation, n.role, n.name)):
        results.append(compare(run, number))
        _say(results[-1])
    agree = sum(not result.faults for result in results)
    print(f"\n{agree} of {len(results)} numbers agree (seed {seed})", flush=True)
    return 0 < agree == len(results)


def _say_share(numbers: Sequence[Printed], covered: Sequence[Printed]) -> None:
    table = [sum(n.where.startswith("The numbers") for n in each) for each in (covered, numbers)]
    left = sorted({n.name or f"unknown: {n.text}" for n in numbers} - {n.name for n in covered})
    left += sorted({f"{n.name} of models" for n in numbers if n not in covered and n.name in {c.name for c in covered}})
    share = 100 * len(covered) / len(numbers)
    print(f"{len(covered)} of {len(numbers)} numbers of the page can be recomputed ({share:.1f} %), ", end="")
    print(f"{table[0]} of {table[1]} of its table ({100 * table[0] / max(table[1], 1):.1f} %)")
    print(f"not recomputed: {', '.join(left) or 'none'}\n")
    print(f"{'number':<42} {'where':<34} {'printed':<28} {'recomputed':<28} agreement")


def _say(result: Result) -> None:
    number = result.number
    verdict = "; ".join(result.faults) or ", ".join(["yes", *dict.fromkeys(result.remarks)])
    print(f"{number.name:<42} {number.where:<34} {number.text:<28} {result.expected:<28} {verdict}", flush=True)


if __name__ == "__main__":
    sys.exit(main())
