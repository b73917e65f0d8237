from __future__ import annotations

import os
from pathlib import Path

import pytest

from imagelab.evaluation.growing_folder import BatchForm, PictureFile, list_batches, states_of

DAY = 24 * 3600.0
NOON = 20_000 * DAY + DAY / 2


def put(folder: Path, name: str, at: float) -> Path:
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"x")
    os.utime(path, (at, at))
    return path


def listed(folder: Path, form: str, now: float, settle: float = 60.0, seen: frozenset[str] = frozenset()):
    """As list_batches, with the entry's own time of change out of the way, which no test can set."""
    import imagelab.evaluation.growing_folder as module

    files, unfinished = module._scanned(folder)
    files = [PictureFile(file.name, file.size, file.modified, file.modified) for file in files]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "_scanned", lambda _: (files, unfinished))
        return list_batches(folder, BatchForm.of(form), settle, seen, 0, now)


def test_subfolders_come_in_natural_order_and_wait_while_they_are_written(tmp_path: Path):
    for name in ("b10/1.png", "b2/1.png", "b2/2.jpg", "b3/1.png", "b4/1.png", ".b5/1.png", "b6/notes.txt"):
        put(tmp_path, name, NOON - 100)
    put(tmp_path, "b3/2.png", NOON - 10)
    put(tmp_path, "b4/2.png.part", NOON - 1000)
    put(tmp_path, "alone.png", NOON - 100)
    batches, remarks = listed(tmp_path, "subfolder", NOON)
    assert [batch.name for batch in batches] == ["b2", "b3", "b4", "b10"]
    assert [file.name for file in batches[0].files] == ["b2/1.png", "b2/2.jpg"]
    waits = {batch.name: batch.waits_for for batch in batches}
    assert waits["b2"] == waits["b10"] == ""
    assert "b3/2.png changed 10 s ago" in waits["b3"] and "b4/2.png.part is being written" in waits["b4"]
    assert remarks == ["1 pictures lie in no subfolder and belong to no batch"]


def test_pictures_without_any_subfolder_are_refused_and_the_other_forms_of_a_batch_named(tmp_path: Path):
    put(tmp_path, "1.png", NOON - 100)
    said = r"the 1 pictures in .* no subfolder and belong to no batch.*--batch 100.*--batch day"
    with pytest.raises(ValueError, match=said):
        listed(tmp_path, "subfolder", NOON)
    assert listed(tmp_path, "1", NOON)[0]
    (tmp_path / "1.png").unlink()
    assert listed(tmp_path, "subfolder", NOON) == ([], [])


def test_a_day_is_judged_when_it_is_over(tmp_path: Path):
    put(tmp_path, "1.png", NOON - DAY)
    put(tmp_path, "deep/2.png", NOON - DAY)
    put(tmp_path, "3.png", NOON - 3600)
    batches, _ = listed(tmp_path, "day", NOON)
    assert [(batch.name, len(batch.files), bool(batch.waits_for)) for batch in batches] == [
        ("2024-10-03", 2, False),
        ("2024-10-04", 1, True),
    ]
    midnight = 20_001 * DAY
    assert listed(tmp_path, "day", midnight + 30)[0][1].waits_for
    assert not listed(tmp_path, "day", midnight + 61)[0][1].waits_for


def test_a_number_takes_new_pictures_in_the_order_of_their_arrival(tmp_path: Path):
    for place, name in enumerate(("c.png", "b.png", "a.png", "d.png", "e.png")):
        put(tmp_path, name, NOON - 1000 + place)
    put(tmp_path, "f.png", NOON - 5)
    batches, remarks = listed(tmp_path, "2", NOON, seen=frozenset({"b.png"}))
    assert [[file.name for file in batch.files] for batch in batches] == [["c.png", "a.png"], ["d.png", "e.png"]]
    assert [batch.name for batch in batches] == ["batch 1", "batch 2"] and not any(b.waits_for for b in batches)
    assert remarks == ["1 pictures changed less than 60 s ago and wait"]
    assert "2 of 3 pictures" in listed(tmp_path, "3", NOON, seen=frozenset({"b.png", "c.png", "a.png"}))[0][0].waits_for


def test_a_file_from_the_future_waits_and_says_that_clocks_differ(tmp_path: Path):
    put(tmp_path, "b/1.png", NOON + 1000)
    assert "the clocks differ" in listed(tmp_path, "subfolder", NOON)[0][0].waits_for


def test_the_time_of_the_last_change_counts_too(tmp_path: Path):
    """A file that was moved here with an old date has just arrived."""
    put(tmp_path, "b/1.png", NOON)
    batches, _ = list_batches(tmp_path, BatchForm.of("subfolder"), 3600.0, (), 0)
    assert batches[0].waits_for


def test_a_change_between_two_looks_is_noticed(tmp_path: Path):
    path = put(tmp_path, "1.png", NOON)
    batches, _ = list_batches(tmp_path, BatchForm.of("1"), 0.0, (), 0, now=path.stat().st_ctime + 1)
    (file,) = batches[0].files
    before = states_of(tmp_path, [file])
    assert before == {"1.png": (file.size, file.modified, file.changed)}
    path.write_bytes(b"longer")
    assert states_of(tmp_path, [file]) != before
    path.unlink()
    assert states_of(tmp_path, [file]) == {"1.png": None}


@pytest.mark.parametrize("text", ["", "hour", "0", "-3", "1.5", "99999999"])
def test_other_forms_of_a_batch_are_refused(text: str):
    with pytest.raises(ValueError, match="subfolder, day, or the number"):
        BatchForm.of(text)


def test_a_folder_that_is_not_there_is_named(tmp_path: Path):
    with pytest.raises(ValueError, match="gone is no folder"):
        list_batches(tmp_path / "gone", BatchForm.of("day"), 1.0, (), 0)
