from __future__ import annotations

import numpy as np
import pytest
from sklearn.metrics import cohen_kappa_score

from imagelab.server.agreement import alpha_interval, cohen_kappa, krippendorff_alpha

PUBLISHED = """1 2 3 3 2 1 4 1 2 . . .
1 2 3 3 2 2 4 1 2 5 . 3
. 3 3 3 2 3 4 2 2 5 1 .
1 2 3 3 2 4 4 1 2 5 1 ."""
"""Krippendorff 2011, part C: four people, twelve units, five words, a dot where somebody did not judge."""


def table() -> np.ndarray:
    counts = np.zeros((12, 5), int)
    for line in PUBLISHED.splitlines():
        for unit, word in enumerate(line.split()):
            if word != ".":
                counts[unit, int(word) - 1] += 1
    return counts


def test_alpha_is_that_of_the_published_example_with_missing_judgements():
    assert krippendorff_alpha(table()) == pytest.approx(0.743, abs=5e-4)


def test_a_picture_that_one_person_has_judged_does_not_count():
    counts = table()
    alone = np.zeros((1, 5), int)
    alone[0, 2] = 1
    assert krippendorff_alpha(np.concatenate([counts, alone])) == krippendorff_alpha(counts)


def test_kappa_is_that_of_scikit_learn(rng: np.random.Generator):
    first = rng.integers(0, 2, 60)
    second = np.where(rng.random(60) < 0.7, first, 1 - first)
    assert cohen_kappa(first, second) == pytest.approx(cohen_kappa_score(first, second))


def test_full_agreement_is_one_and_opposite_words_are_below_chance():
    said = np.array([0, 1, 1, 0, 1, 0])
    alike = np.stack([2 * (said == 0), 2 * (said == 1)], axis=1)
    assert krippendorff_alpha(alike) == 1.0 and cohen_kappa(said, said) == 1.0
    assert krippendorff_alpha(np.ones((6, 2), int)) == pytest.approx(1 - 1 / (6 / 11))  # expected: 36 of 66 pairs


def test_one_word_only_has_no_agreement_to_speak_of():
    assert krippendorff_alpha(np.array([[3, 0], [3, 0]])) is None and alpha_interval(np.array([[3, 0]])) is None
    assert cohen_kappa(np.zeros(5, int), np.zeros(5, int)) is None
    assert krippendorff_alpha(np.array([[1, 0], [0, 1]])) is None  # no picture has two judgements


def test_the_interval_holds_the_value_and_shrinks_with_more_pictures(rng: np.random.Generator):
    widths = []
    for n in (20, 320):
        truth = rng.integers(0, 2, n)
        said = np.array([np.where(rng.random(n) < 0.85, truth, 1 - truth) for _ in range(3)])
        counts = np.stack([(said == 0).sum(axis=0), (said == 1).sum(axis=0)], axis=1)
        low, high = alpha_interval(counts) or (0.0, 0.0)
        assert low < (krippendorff_alpha(counts) or 0.0) < high
        widths.append(high - low)
    assert 2 < widths[0] / widths[1] < 8  # four is expected: one over the root of sixteen
