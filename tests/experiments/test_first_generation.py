"""The study that accepts generators: decisions on invented numbers, controls, an interrupted run."""

from __future__ import annotations

import importlib
import math
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
from PIL import Image

from imagelab.data import Faces
from imagelab.generators import GENERATORS, Cascade, Ddpm, Interrupted, RunContext, Vae
from imagelab.io.marks import claimed_origin

ROOT = Path(__file__).resolve().parents[2]
SMALL = Vae(latent=4, details=2, width=8, images_seen=160, batch=8, crop=16, neighbours=4)


@pytest.fixture
def acceptance(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(str(ROOT / "experiments" / "studies"))
    return importlib.import_module("acceptance")


@pytest.fixture
def first(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(str(ROOT / "experiments" / "studies"))
    return importlib.import_module("first_generation")


def table(acceptance: ModuleType, values: dict[str, dict[str, float]], seeds: int = 3, error: float = 1.0) -> Any:
    """Every arm reads these values on every instrument that is named, in every seed."""
    return {
        arm: [{name: acceptance.Reading(value, error) for name, value in values[arm].items()} for _ in range(seeds)]
        for arm in values
    }


def good(acceptance: ModuleType, **changed: float) -> dict[str, dict[str, float]]:
    fd, auc = acceptance.BEYOND
    numbers = {"real": 0.0, "model": 12.0, "PPCA": 45.0, "untrained": 96.0, "blank": 14.0, **changed}
    count = {"real": 4.7, "model": 40.0, "PPCA": 1.2, "untrained": 2.3, "blank": 0.5}
    return {arm: {fd: value, auc: value, acceptance.FRECKLES: count[arm]} for arm, value in numbers.items()}


def test_a_model_nearer_than_both_controls_in_every_seed_is_accepted(acceptance: ModuleType):
    found = acceptance.judge(table(acceptance, good(acceptance)))
    assert found.accepted and [found.beats[name] for name in acceptance.BEYOND] == [(True,) * 3] * 2
    assert found.lines()[-1] == "The model is accepted." and "beats both in 3 of 3 seeds   decides" in found.lines()[0]


@pytest.mark.parametrize("control", ["PPCA", "untrained"])
@pytest.mark.parametrize("instrument", [0, 1])
def test_one_seed_lost_to_either_control_on_either_instrument_is_not_accepted(
    acceptance: ModuleType, control: str, instrument: int
):
    numbers = table(acceptance, good(acceptance))
    name = acceptance.BEYOND[instrument]
    numbers[control][1] = {**numbers[control][1], name: acceptance.Reading(11.0, 1.0)}
    found = acceptance.judge(numbers)
    assert found.beats[name] == (True, False, True) and not found.accepted
    assert "beats both in 2 of 3 seeds" in found.lines()[instrument]
    assert found.lines()[-1] == "The model is not accepted."


def test_a_lead_within_its_errors_is_no_lead(acceptance: ModuleType):
    for gap, wins in ((2.7, False), (2.9, True)):  # two standard errors of the difference of two errors of 1: 2.83
        found = acceptance.judge(table(acceptance, good(acceptance, PPCA=12.0 + gap)))
        assert found.beats[acceptance.BEYOND[0]] == (wins,) * 3


def test_too_much_of_a_thing_is_as_far_from_real_as_too_little(acceptance: ModuleType):
    power = {"real": 0.0, "model": 4.0, "PPCA": -3.0, "untrained": -9.0}
    values = {arm: {"band_power/16-32": value} for arm, value in power.items()}
    assert acceptance.judge(table(acceptance, values, error=0.1)).beats["band_power/16-32"] == (False,) * 3
    values["model"] = {"band_power/16-32": 2.0}
    assert acceptance.judge(table(acceptance, values, error=0.1)).beats["band_power/16-32"] == (True,) * 3


def test_freckles_count_only_above_the_blank_control(acceptance: ModuleType):
    numbers = table(acceptance, good(acceptance))
    assert acceptance.judge(numbers).freckled == (True,) * 3
    numbers["blank"] = numbers["model"]
    found = acceptance.judge(numbers)
    assert found.freckled == (False,) * 3 and found.accepted  # it draws faces, not freckles, and both are told
    assert "above the blank control in 0 of 3 seeds" in found.lines()[-3]


def test_a_copier_beats_both_controls_and_is_not_accepted(acceptance: ModuleType):
    values = good(acceptance)
    for near, copies in ((0.55, False), (0.62, False), (0.63, True), (0.75, True)):
        for arm, share in {"real": 0.75, "model": near, "PPCA": 0.5, "untrained": 0.5}.items():
            values[arm][acceptance.NEAR] = share
        found = acceptance.judge(table(acceptance, values))
        assert found.copied == (copies,) * 3 and found.accepted is not copies
        assert all(found.beats[name] == (True,) * 3 for name in acceptance.BEYOND)
        assert acceptance.NEAR not in found.beats
        assert f"halfway to copies in {3 * copies} of 3 seeds" in found.lines()[-2]


def test_what_one_arm_could_not_measure_is_not_judged(acceptance: ModuleType):
    numbers = table(acceptance, good(acceptance))
    numbers["PPCA"][2] = {}
    found = acceptance.judge(numbers)
    assert found.beats == {} and not found.accepted


def test_the_blank_control_learns_from_the_freckle_free_twins_of_the_same_faces(first: ModuleType):
    of = first.world(3, 12, 4)
    asked = first.arms(SMALL, of)
    np.testing.assert_array_equal(asked["blank"][1], Faces(size=64, freckle_rate=0.0).load("train", 12, 3).images)
    assert asked["blank"][0] == asked["model"][0] == SMALL
    assert (asked["blank"][1] != asked["model"][1]).any()
    for arm in ("PPCA", "untrained"):
        np.testing.assert_array_equal(asked[arm][1], asked["model"][1])


def test_the_untrained_control_is_the_same_recipe_with_nothing_learned(first: ModuleType):
    for recipe in (SMALL, Cascade(width=64)):
        assert first.untrained(recipe) == recipe.model_copy(update={"images_seen": 0})
    assert first.untrained(Ddpm(patch=4)).patch == 4 and first.untrained(Ddpm(patch=4)).images_seen <= 1


def test_a_killed_arm_goes_on_to_the_same_images_and_counts_what_it_cost(first: ModuleType, tmp_path: Path):
    lesson = np.random.default_rng(0).integers(0, 256, (20, 3, 16, 16), np.uint8)
    whole = first.make("model", SMALL, lesson, 0, 20, tmp_path / "whole", RunContext())
    asked = iter([False] * 7)
    with pytest.raises(Interrupted):
        first.make("model", SMALL, lesson, 0, 20, tmp_path / "cut", RunContext(should_stop=lambda: next(asked, True)))
    (begun,) = (tmp_path / "cut").iterdir()
    assert begun.name.endswith(".partial") and (begun / first.CHECKPOINT).exists()
    (begun / "spent.json").write_text("1000.0")
    again = first.make("model", SMALL, lesson, 0, 20, tmp_path / "cut", RunContext())
    np.testing.assert_array_equal(again.images, whole.images)
    assert 1000.0 < again.training < 1100.0 and not list((tmp_path / "cut").glob("*.partial"))


def test_what_is_there_is_read_and_another_question_is_made_anew(
    first: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    lesson = np.random.default_rng(0).integers(0, 256, (20, 3, 16, 16), np.uint8)
    made = first.make("model", SMALL, lesson, 0, 20, tmp_path, RunContext())
    with monkeypatch.context() as patched:
        patched.setattr(Vae, "fit", None)
        np.testing.assert_array_equal(
            first.make("model", SMALL, lesson, 0, 20, tmp_path, RunContext()).images, made.images
        )
    for asked, images, seed, drawn in (
        (first.untrained(SMALL), lesson, 0, 20),
        (SMALL, lesson[::-1].copy(), 0, 20),
        (SMALL, lesson, 1, 20),
        (SMALL, lesson, 0, 9),
    ):
        assert len(first.make("model", asked, images, seed, drawn, tmp_path, RunContext()).images) == drawn
    assert len(list(tmp_path.iterdir())) == 5


def test_a_quick_look_prints_table_verdict_and_sheet(
    first: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    sheet = tmp_path / "faces.png"
    words = ["first_generation.py", "--quick", "--runs", str(tmp_path / "runs"), "--sheet", str(sheet)]
    monkeypatch.setattr("sys.argv", words)
    monkeypatch.setattr(first.torch, "set_num_threads", lambda count: None)
    assert first.main() == 0
    lines = capsys.readouterr().out.splitlines()
    for title in (*first.INSTRUMENTS.values(), "core-s of training", "core-s of sampling"):
        assert any(line.startswith(title) and line.split(title)[1][:1] == " " for line in lines), title
    assert all(word in " ".join(lines) for word in ("real", "PPCA", "untrained", "blank", "in 0 of 1 seeds"))
    picture = Image.open(sheet)
    assert picture.size[0] > 2 * 8 * 64 * 2 and picture.size[1] > 4 * 64 * 2
    assert claimed_origin(picture.info["XML:com.adobe.xmp"]) == "mixture"


def test_kinds_and_recipes_can_be_asked_for(first: ModuleType):
    assert first.asked_for("vae", quick=False) == Vae()
    assert first.asked_for('{"kind": "cascade", "steps": 3}', quick=False) == Cascade(steps=3)
    assert (
        set(first.QUICK) == set(GENERATORS) - {"gaussian", "command", "neon", "pipeline", "self_guided"}
        and first.asked_for("ddpm", quick=True) != Ddpm()
    )
    with pytest.raises(ValueError, match=r"expected vae, .* as JSON, got 'gaussian'"):
        first.asked_for("gaussian", quick=False)


def test_means_over_seeds_carry_their_errors(first: ModuleType):
    assert first.averaged([1.0, 2.0, 3.0], 2) == f"2.00 +- {1 / math.sqrt(3):.2f}"
    assert (first.averaged([4.0], 1), first.averaged([], 1)) == ("4.0", "-")
