"""Do the limits of a share from a test with errors cover a rare share, and on which side do they miss?

Question:   shares of attributes are corrected for misses and false positives (Rogan, Gladen). Does the 95 % interval
            hold the true share where few images have the property, or does it end below it, so that it reads "lost"?
Command:    python experiments/instruments/share_coverage.py [--repeats 1000]
Hardware:   1 shared CPU core, no GPU: 9 s of CPU time.
Expected:   imagelab.metrics.rogan_gladen.corrected_limits covers 93 to 99 %, misses 5 % at most on either side, from
            n p = .5 on.
Refuted by: a row beyond that. The interval value +- 1.96 errors is printed beside it.

Images, Se and Sp are drawn anew in every repeat; n 1,000.

Seen 2026-11-29, 1,000 repeats (errors .005 to .007):

    Se    Sp      n p    covers  lost  gained   +- 1.96 errors: covers  lost  gained
    0.90  0.9985    0.5  0.958   0.007 0.035                     0.924   0.074 0.002
    0.90  0.9985    1.5  0.962   0.017 0.021                     0.931   0.069 0.000
    0.90  0.9985      3  0.963   0.015 0.022                     0.925   0.071 0.004
    0.90  0.9985      5  0.954   0.024 0.022                     0.934   0.060 0.006
    0.90  0.9985     10  0.949   0.027 0.024                     0.932   0.057 0.011
    0.90  0.9985     50  0.953   0.031 0.016                     0.950   0.039 0.011
    0.90  0.9985    300  0.948   0.021 0.031                     0.951   0.031 0.018
    0.97  0.9998    0.5  0.980   0.000 0.020                     1.000   0.000 0.000
    0.97  0.9998    1.5  0.987   0.000 0.013                     0.801   0.199 0.000
    0.97  0.9998      3  0.934   0.023 0.043                     0.951   0.041 0.008
    0.97  0.9998      5  0.948   0.027 0.025                     0.938   0.060 0.002
    0.97  0.9998     10  0.954   0.024 0.022                     0.927   0.066 0.007
    0.97  0.9998     50  0.948   0.027 0.025                     0.933   0.045 0.022
    0.97  0.9998    300  0.939   0.038 0.023                     0.942   0.040 0.018
    0.83  0.9960    0.5  0.945   0.027 0.028                     0.933   0.061 0.006
    0.83  0.9960    1.5  0.959   0.019 0.022                     0.942   0.050 0.008
    0.83  0.9960      3  0.960   0.022 0.018                     0.940   0.054 0.006
    0.83  0.9960      5  0.961   0.018 0.021                     0.948   0.048 0.004
    0.83  0.9960     10  0.946   0.028 0.026                     0.935   0.055 0.010
    0.83  0.9960     50  0.962   0.018 0.020                     0.953   0.035 0.012
    0.83  0.9960    300  0.955   0.021 0.024                     0.956   0.028 0.016
"""

from __future__ import annotations

import argparse
import math

import numpy as np

from imagelab.metrics.freckle_calibration import CardValue
from imagelab.metrics.rogan_gladen import corrected, corrected_limits
from imagelab.seeds import rng_at

SEED, N = 31, 1000
TESTS = (((0.90, 150), (0.9985, 4000)), ((0.97, 300), (0.9998, 4000)), ((0.83, 150), (0.996, 4000)))
"""(sensitivity, images it is known from), (specificity, images)."""

EXPECTED = (0.5, 1.5, 3, 5, 10, 50, 300)
"""Images of N that have the property, on average."""


def card(found: int, n: int) -> CardValue:
    """Return a share with its error as a calibration card states it."""
    likely = (found + 0.5) / (n + 1)
    return CardValue(found / n, math.sqrt(likely * (1 - likely) / n), n)


def misses(sensitivity: tuple[float, int], specificity: tuple[float, int], share: float, repeats: int) -> np.ndarray:
    """Return the shares of intervals that end below and begin above the truth: limits, then errors; float64 [2,2]."""
    rng, counted = rng_at(SEED, f"shares/{sensitivity}/{share}"), np.zeros((2, 2))
    for _ in range(repeats):
        met, spared = (card(int(rng.binomial(n, p)), n) for p, n in (sensitivity, specificity))
        there = rng.binomial(N, share)
        found = int(rng.binomial(there, sensitivity[0]) + rng.binomial(N - there, 1 - specificity[0]))
        value, error = corrected(found, N, met, spared)
        ends = corrected_limits(found, N, met, spared), (value - 1.96 * error, value + 1.96 * error)
        counted += [(high < share, low > share) for low, high in ends]
    return counted / repeats


def main() -> None:
    """Read the command line, draw, print."""
    parser = argparse.ArgumentParser(description="Measure the coverage of corrected shares.")
    parser.add_argument("--repeats", type=int, default=1000, help="repeats for each row")
    repeats = parser.parse_args().repeats
    print("Se    Sp      n p    covers  lost  gained   +- 1.96 errors: covers  lost  gained")
    for sensitivity, specificity in TESTS:
        for expected in EXPECTED:
            (lost, gained), (below, above) = misses(sensitivity, specificity, expected / N, repeats)
            limits = f"{1 - lost - gained:.3f}   {lost:.3f} {gained:.3f}"
            errors = f"{1 - below - above:.3f}   {below:.3f} {above:.3f}"
            print(f"{sensitivity[0]:.2f}  {specificity[0]:.4f}  {expected:5g}  {limits}{'':21s}{errors}", flush=True)


if __name__ == "__main__":
    main()
