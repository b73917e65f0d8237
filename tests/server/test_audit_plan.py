from __future__ import annotations

from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from imagelab.run_folder import RunFolder
from imagelab.server.audit_plan import Asked, AuditPicture, planned, stored_plan
from imagelab.server.audit_session import audit_session
from imagelab.server.stored_png import stored_pngs

ASKED = Asked("tell", 20, (), 0, 0)


def test_half_of_a_blind_test_is_real_and_the_rest_is_spread_over_the_generations(finished_run: Path):
    plan = planned(RunFolder.open(finished_run), ASKED)
    assert Counter(each.generation for each in plan.shown) == {0: 10, 1: 5, 2: 5}
    assert len(set(plan.shown)) == 20 and plan.images.shape == (20, 3, 16, 16)
    keep = planned(RunFolder.open(finished_run), replace(ASKED, task="keep", pictures=9, generations=(2,)))
    assert Counter(each.generation for each in keep.shown) == {2: 9}


def test_real_pictures_are_held_out_ones_and_every_picture_is_the_one_it_is_said_to_be(finished_run: Path):
    folder = RunFolder.open(finished_run)
    plan = planned(folder, ASKED)
    heldout = np.load(finished_run / "gen-000" / "heldout.npy")
    for each, image in zip(plan.shown, plan.images, strict=True):
        source = heldout if each.is_real else folder.images(each.generation, 0)
        assert each.source == ("heldout" if each.is_real else "images")
        np.testing.assert_array_equal(image, source[each.row])


def test_choice_and_order_follow_from_the_seed(finished_run: Path):
    folder = RunFolder.open(finished_run)
    first, again, other = (planned(folder, replace(ASKED, seed=seed)) for seed in (0, 0, 1))
    assert first.shown == again.shown and set(first.shown) != set(other.shown)
    kinds = [each.is_real for each in first.shown]
    assert kinds != sorted(kinds) and kinds != sorted(kinds, reverse=True)


def test_reserve_pictures_are_used_only_where_held_out_ones_do_not_suffice(finished_run: Path, monkeypatch):
    folder = RunFolder.open(finished_run)
    with pytest.raises(ValueError, match="has 24 real pictures beside its training set, and 30 are needed"):
        planned(folder, replace(ASKED, pictures=60))
    reserve = finished_run / "gen-000" / "images.npy"  # stands for a reserve, which this regime does not need
    plain, has = RunFolder.file, RunFolder.has_file
    monkeypatch.setattr(
        RunFolder, "file", lambda self, g, line, name: reserve if name == "reserve.npy" else plain(self, g, line, name)
    )
    monkeypatch.setattr(RunFolder, "has_file", lambda self, g, i, name: name == "reserve.npy" or has(self, g, i, name))
    found = Counter(each.source for each in planned(folder, replace(ASKED, pictures=60, generations=(1, 2))).shown)
    assert found == {"heldout": 24, "reserve": 6, "images": 30}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"pictures": 1}, "--pictures: expected 2 to 2,000, got 1"),
        ({"pictures": 9999}, "--pictures"),
        ({"generations": (1, 7)}, "--generations: the run has 1 to 2, got 7"),
        ({"line": 3}, "--line: expected 0 to 0, got 3"),
        ({"task": "keep", "pictures": 100}, "generation 1 has 24 pictures, and 50 were asked for"),
    ],
)
def test_what_the_run_does_not_have_is_refused(finished_run: Path, change: dict, message: str):
    with pytest.raises(ValueError, match=message):
        planned(RunFolder.open(finished_run), replace(ASKED, **change))


def test_a_blank_twin_is_not_shown_against_real_pictures_that_have_what_it_never_saw(finished_run: Path):
    folder = RunFolder.open(finished_run)
    folder.config["experiment"]["blank_twins"] = 1
    with pytest.raises(ValueError, match="blank twins begin from other real pictures, which would give"):
        planned(folder, replace(ASKED, line=1))


def test_a_session_goes_on_with_the_same_pictures_or_not_at_all(finished_run: Path):
    folder = RunFolder.open(finished_run)
    plan = planned(folder, ASKED)
    again = stored_plan(folder, plan.stored())
    assert again.shown == plan.shown and again.asked == plan.asked
    np.testing.assert_array_equal(again.images, plan.images)
    moved = plan.stored()
    moved["shown"][0][2] = (moved["shown"][0][2] + 1) % 24
    with pytest.raises(ValueError, match="not those that this run holds now"):
        stored_plan(folder, moved)
    for damage in ({"shown": [["etc", 0, 0]]}, {"asked": {}}, {"shown": [["images", 1]]}):
        with pytest.raises(ValueError, match="not the record of an audit"):
            stored_plan(folder, {**plan.stored(), **damage})


def test_ids_are_of_the_place_and_of_the_session_alone(a_run: Path):
    folder = RunFolder.open(a_run)
    ids = []
    for rater in ("anna", "ben"):
        with audit_session(folder, ASKED, rater) as session:
            ids.append(session.ids)
            assert len(set(session.ids)) == 20 and session.current == session.ids[0]
    assert not set(ids[0]) & set(ids[1])  # the same pictures in the same order
    with audit_session(folder, ASKED, "anna") as session:
        assert session.ids == ids[0]
        with (
            pytest.raises(ValueError, match="has this session open"),
            audit_session(folder, ASKED, "anna"),
        ):
            pass


@pytest.mark.parametrize("rater", ["", "../x", "a/b", "x" * 41, "ä", ".hidden"])
def test_a_name_of_a_rater_is_a_name_and_no_path(a_run: Path, rater: str):
    with pytest.raises(ValueError, match="--rater: expected"), audit_session(RunFolder.open(a_run), ASKED, rater):
        pass


def test_stored_pngs_have_one_length_and_hold_the_pixels_and_nothing_else(rng: np.random.Generator, tmp_path: Path):
    from PIL import Image

    for channels in (1, 3):
        images = np.stack([np.zeros((channels, 9, 12)), rng.integers(0, 256, (channels, 9, 12))]).astype(np.uint8)
        files = stored_pngs(images)
        assert len(files[0]) == len(files[1])
        for image, content in zip(images, files, strict=True):
            (tmp_path / "a.png").write_bytes(content)
            with Image.open(tmp_path / "a.png") as opened:
                pixels = np.asarray(opened)
                assert opened.info == {} and opened.format == "PNG"
            np.testing.assert_array_equal(pixels if channels == 3 else pixels[..., None], image.transpose(1, 2, 0))
            assert [content[k : k + 4] for k in (12, 37)] == [b"IHDR", b"IDAT"] and content.count(b"tEXt") == 0


def test_a_picture_of_an_audit_knows_whether_it_is_real():
    assert AuditPicture("heldout", 0, 3).is_real and not AuditPicture("images", 2, 3).is_real
