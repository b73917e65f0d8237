"""Rendering many faces: the bytes do not depend on the number of processes."""

from __future__ import annotations

import sys

import numpy as np
import pytest

from imagelab.faces.parallel import Job, draw, draw_together, record

ORDER = Job(
    size=32,
    freckle_look="countable",
    supersample=2,
    split="train",
    seed=4,
    start=10,
    rare=((), ("mole",), ("scar", "bindi"), (), ()),
    freckled=(True, False, True, False, True),
)


def _same(one: dict[str, np.ndarray], other: dict[str, np.ndarray]) -> None:
    assert one.keys() == other.keys()
    for key, array in one.items():
        np.testing.assert_array_equal(array, other[key])


@pytest.mark.parametrize("processes", [2, 3])
def test_any_number_of_processes_gives_the_same_bytes(processes: int) -> None:
    _same(draw_together(ORDER, processes), draw(ORDER))


def test_a_part_of_an_order_is_that_part_of_the_whole() -> None:
    whole, part = draw(ORDER), draw(ORDER.part(1, 3))
    np.testing.assert_array_equal(whole["images"][1:3], part["images"])
    np.testing.assert_array_equal(whole["counts"][1:3], part["counts"])


def test_records_at_hand_are_used_as_they_are() -> None:
    faces = [record("train", 4, 10 + i, names) for i, names in enumerate(ORDER.rare)]
    _same(draw(ORDER, faces), draw(ORDER))


def test_where_no_helper_starts_the_work_is_done_here(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(sys, "executable", "/nowhere/python")
    _same(draw_together(ORDER, 2), draw(ORDER))
    assert "drawn in this process" in caplog.text


def test_a_record_depends_on_its_address_only() -> None:
    one, again = record("train", 4, 17, ("mole",)), record("train", 4, 17, ("mole",))
    assert one.head == again.head and one.marks == again.marks
    assert record("train", 4, 18, ()).head != one.head
    assert record("train", 4, 17, ()).head == one.head
