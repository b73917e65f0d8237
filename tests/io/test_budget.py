from __future__ import annotations

import threading

from imagelab.io.budget import Budget, claim


def started(budget: Budget, row: int, size: int) -> threading.Event:
    """Claim in a thread of its own; the event is set when the claim was granted."""
    granted = threading.Event()

    def run() -> None:
        with budget.turn(row):
            claim(size)
            granted.set()

    threading.Thread(target=run, daemon=True).start()
    return granted


def test_a_claim_waits_until_there_is_room():
    budget = Budget(100)
    assert started(budget, 0, 80).wait(5)
    later = started(budget, 1, 80)
    assert not later.wait(0.05)
    budget.keep(0, 10)
    assert later.wait(5)


def test_the_picture_that_is_needed_next_never_waits():
    budget = Budget(100)
    assert started(budget, 1, 90).wait(5)
    assert started(budget, 0, 1000).wait(5), "larger than the whole budget, but next"
    second = started(budget, 2, 1000)
    assert not second.wait(0.05)
    budget.done(0)
    budget.done(1)
    assert second.wait(5)


def test_nobody_waits_after_the_end():
    budget = Budget(1)
    waiting = started(budget, 9, 50)
    assert not waiting.wait(0.05)
    budget.close()
    assert waiting.wait(5)


def test_a_picture_that_is_read_alone_needs_no_budget():
    claim(10**15)
