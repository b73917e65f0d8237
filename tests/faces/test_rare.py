"""Rare attributes: exact counts, and that each attribute is visible."""

from __future__ import annotations

import numpy as np
import pytest

from imagelab.faces.freckles import Freckles
from imagelab.faces.parallel import record
from imagelab.faces.rare import RARE, add_rare, choose
from imagelab.faces.render import render
from imagelab.seeds import rng_at


@pytest.mark.parametrize("rate", [0.0, 0.005, 0.08, 1 / 3, 0.5, 0.62, 0.995, 1.0])
@pytest.mark.parametrize("n", [1, 2, 7, 99, 400, 1001])
def test_exactly_the_rounded_number_is_chosen(rate: float, n: int) -> None:
    chosen = choose(rate, np.random.default_rng(n).random(n))
    assert int(chosen.sum()) == round(rate * n)


@pytest.mark.parametrize("rate", [0.08, 0.3, 0.7])
def test_every_prefix_holds_its_share_to_within_one(rate: float) -> None:
    running = np.cumsum(choose(rate, np.random.default_rng(0).random(1000)))
    assert np.abs(running - rate * np.arange(1, 1001)).max() <= 1 + 1e-9


@pytest.mark.parametrize("rate", [0.08, 0.3, 0.7])
def test_another_n_changes_at_most_the_last_stratum(rate: float) -> None:
    scores = np.random.default_rng(1).random(900)
    for n in (100, 333, 512, 777):
        changed = choose(rate, scores)[:n] != choose(rate, scores[:n])
        assert changed.sum() <= 2  # one row changed: one lost, one gained
        assert not changed[: n - int(np.ceil(2 / min(rate, 1 - rate)))].any()


def test_the_highest_score_is_chosen() -> None:
    scores = np.zeros(100)
    scores[[3, 57]] = 1
    assert choose(0.02, scores).nonzero()[0].tolist() == [3, 57]


def test_a_rate_that_is_no_share_is_refused() -> None:
    with pytest.raises(ValueError, match=r"0\.\.1"):
        choose(1.2, np.zeros(3))


@pytest.mark.parametrize("name", RARE)
def test_each_rare_attribute_can_be_seen_at_64_pixels(name: str) -> None:
    largest = 0
    for row in range(4):  # a single one may be hidden by pose or hair
        face = record("train", 11, row, ())
        marked = add_rare(face, name, rng_at(11, name, row=row))
        plain, changed = (render(f, Freckles.none(), 64, 2, rng_at(0, "paint")).image for f in (face, marked))
        largest = max(largest, int(np.abs(plain.astype(int) - changed.astype(int)).max()))
    assert largest > 20  # levels
