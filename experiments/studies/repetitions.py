"""Does the interval of one run hold the figures of the next? Counts it, for every figure of finished runs.

Question:   a run states an interval for each of its figures: where another run of the same experiment, with other
            trainings (and other real images), would have it. How many of the other run's figures lie there?
Command:    python experiments/studies/repetitions.py RUN RUN [RUN ...] [--generation 10]
            Make the runs with other seeds, or the same seed on another machine or with other work beside it:
            imagelab run photocopy --runtime.runs a; imagelab run photocopy --seed 1 --runtime.runs b; ...
Hardware:   seconds; it reads measurements only.
Expected:   about 95 % of the figures; at least 90 %.
Refuted by: less than 90 %. An interval of the images alone (one training) holds about half of them.

A figure is one measurement of one model at one generation. Spectra by frequency and what the dataset says of itself
are left out; so are figures without an error. Figures of one run are not independent of each other, so the percentage
is known to a few points only, however many figures there are.

Seen 2026-11-30, photocopy (three chains, 1,000 images, two x86-64 cores) with the seeds 0, 1 and 2, all six pairs: of
1,138 figures of generation 10 96.7 % lie in the interval of a repetition, 70.6 % in that of the images; of generation 5
95.6 and 81.2 %, of generation 1 96.2 and 84.9 %. Lowest at generation 10: chroma (10 of 12). At generation 5: texture
scales 18 of 24, pixel variance 19 of 24, chroma and the distance to training faces 10 of 12 each, freckles 113 of 126.
All three ran beside other work.
Seen 2026-11-29, photocopy with its former model, the same seeds: 96.6, 96.8 and 96.6 % at generations 10, 5 and 1, and
of the images 76.6, 82.6 and 83.5 %.
"""

from __future__ import annotations

import argparse
import math
from collections.abc import Iterator
from itertools import permutations
from pathlib import Path

from imagelab.evaluation.chains import means_of_run, repetition
from imagelab.measurement import Measurement
from imagelab.run_folder import RunFolder

LEFT_OUT = ("radial_power", "spectrum", "truth", "band_headroom")

Figures = dict[tuple[str, int], Measurement]
"""The figures of a run at one generation, by measurement and line."""


def figures(path: Path, generation: int) -> Figures:
    """Return the figures of a run that have a value and an error."""
    folder = RunFolder.open(path)
    found = means_of_run(folder.config["experiment"], folder.measurements())
    return {
        (m.name, m.line): m
        for m in found
        if m.generation == generation and not m.predicted and m.between is not None and m.stderr is not None
        if m.name.partition("/")[0] not in LEFT_OUT
    }


def inside(one: Measurement, other: Measurement, of_images: bool) -> bool:
    """Return whether the other's value lies in the interval of the one: of a repetition, or of the images alone."""
    ends = one.interval if of_images else repetition(one)
    assert ends is not None and other.value is not None
    return ends[0] - 1e-12 <= other.value <= ends[1] + 1e-12


def rows(runs: list[Figures]) -> Iterator[tuple[str, int, int, int]]:
    """Yield (metric, pairs compared, inside the repetition, inside the images' interval), the total last."""
    counts: dict[str, list[int]] = {}
    for one, other in permutations(runs, 2):
        for key in one.keys() & other.keys():
            family = key[0].partition("/")[0]
            hits = 1, inside(one[key], other[key], False), inside(one[key], other[key], True)
            for name in (family, "all"):
                counts[name] = [a + b for a, b in zip(counts.get(name, [0, 0, 0]), hits, strict=True)]
    for name in sorted(counts, key=lambda name: (name == "all", name)):
        n, repeated, images = counts[name]
        yield name, n, repeated, images


def main() -> None:
    """Print the table; exit with 1 if fewer than 90 % of all figures lie in the intervals of the other runs."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("runs", nargs="+", type=Path)
    parser.add_argument("--generation", type=int, default=10)
    asked = parser.parse_args()
    if len(asked.runs) < 2:
        parser.error(f"expected two runs or more, got {len(asked.runs)}")
    found = [figures(path, asked.generation) for path in asked.runs]
    for path, each in zip(asked.runs, found, strict=True):
        if not each:
            parser.error(f"{path}: expected measurements of generation {asked.generation}, found none")
    print(f"{'metric':24} {'pairs':>6} {'repetition':>11} {'images alone':>13}")
    share = math.nan
    for name, n, repeated, images in rows(found):
        share = repeated / n
        print(f"{name:24} {n:6d} {100 * share:9.1f} % {100 * images / n:11.1f} %")
    if share < 0.9:
        raise SystemExit(1)


if __name__ == "__main__":
    main()
