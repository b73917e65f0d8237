"""Planted truth: exact rates, known places and contrasts, unmarked twins, and refusals in words."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

import numpy as np
import pytest

from imagelab.cli import main
from imagelab.cli.overrides import parse
from imagelab.data import Dots, Faces, Glyph, Planted, Strokes, Textures
from imagelab.data.base import Data, Sample
from imagelab.data.marks import SYMBOLS
from imagelab.experiment import Experiment
from imagelab.images import luma

BRICK = Textures(size=32, photos=("brick",))


class Plain(Data):
    """Pictures of one level with a ramp and a little noise, in one or three channels; some may be flat or white."""

    kind: Literal["plain"] = "plain"
    channels: int = 1
    level: int = 120
    noise: float = 1.0
    reserve: int = 50
    name: str = "odd"

    @property
    def shape(self) -> tuple[int, int, int]:
        return self.channels, 32, 32

    def available(self, seed: int) -> Mapping[str, int | None]:
        return {"train": 200, "heldout": 200, "reserve": self.reserve}

    def load(self, split: Any, n: int, seed: int) -> Sample:
        rng = np.random.default_rng(len(split))
        values = self.level + self.noise * rng.standard_normal((n, *self.shape))
        return Sample(np.clip(values.round(), 0, 255).astype(np.uint8), {self.name: np.arange(n) % 2 == 0})

    def card(self) -> str:
        return "Made up."


@pytest.fixture(scope="module")
def dots() -> Sample:
    return Planted(base=BRICK, mark=Dots(number=2, share=0.3)).load("train", 50, seed=4)


@pytest.fixture(scope="module")
def symbols() -> Sample:
    return Planted(base=BRICK, mark=Glyph(rates_of=(0.1, 0.06, 0.02))).load("heldout", 50, seed=4)


def test_an_exact_share_is_marked_and_the_twins_are_the_base(dots: Sample):
    assert dots.twins is not None and dots.marks is not None
    np.testing.assert_array_equal(dots.twins, BRICK.load("train", 50, seed=4).images)
    differs = (dots.images != dots.twins).any(axis=(1, 2, 3))
    assert differs.sum() == 15
    np.testing.assert_array_equal(dots.attributes["marked"], differs)
    assert [len(marks) for marks in dots.marks] == list(2 * differs)
    assert dots.groups is not None and "photo/brick" in dots.attributes


def test_the_same_seed_gives_the_same_marks_and_another_one_others(dots: Sample):
    recipe = Planted(base=BRICK, mark=Dots(number=2, share=0.3))
    again, other = recipe.load("train", 50, seed=4), recipe.load("train", 50, seed=5)
    np.testing.assert_array_equal(again.images, dots.images)
    assert (other.attributes["marked"] != dots.attributes["marked"]).any()


def test_every_mark_lies_where_its_list_says_and_nothing_else_is_changed(dots: Sample):
    assert dots.twins is not None and dots.marks is not None
    y, x = np.mgrid[:32, :32]
    for image, twin, marks in zip(dots.images, dots.twins, dots.marks, strict=True):
        changed = (image != twin).any(axis=0)
        near = np.zeros((32, 32), bool)
        for mark in marks:
            near |= np.hypot(x - mark[0], y - mark[1]) <= mark[2] + 1.5
            assert image[0, round(float(mark[1])), round(float(mark[0]))] < twin[0].mean()
        assert not changed[~near].any()


@pytest.mark.parametrize(("contrast", "channels"), [(-0.5, 1), (-0.5, 3), (0.6, 3)])
def test_the_contrast_of_a_dot_against_its_surroundings_is_the_stated_one_in_linear_light(contrast, channels):
    mark = Dots(contrast=contrast, variation=0, radius=3, number=1, share=1)
    sample = Planted(base=Plain(channels=channels), mark=mark).load("train", 20, seed=0)
    assert sample.twins is not None and sample.marks is not None
    for image, twin, (dot,) in zip(sample.images, sample.twins, sample.marks, strict=True):
        at = slice(round(float(dot[1])) - 1, round(float(dot[1])) + 2), slice(*np.add(round(float(dot[0])), (-1, 2)))
        ratio = linear(image[:, *at]).mean() / linear(twin).mean()
        assert ratio == pytest.approx(1 + contrast, abs=0.03)


def linear(levels: np.ndarray) -> np.ndarray:
    return np.where(levels <= 10, levels / 255 / 12.92, ((levels / 255 + 0.055) / 1.055) ** 2.4)


def test_each_symbol_is_on_an_exact_number_of_pictures_and_on_no_picture_with_another(symbols: Sample):
    names = ["ring_symbol", "plus_symbol", "triangle_symbol"]
    columns = np.stack([symbols.attributes[name] for name in names])
    assert columns.sum(axis=1).tolist() == [5, 3, 1] and columns.sum(axis=0).max() == 1
    assert symbols.attributes["marked"].sum() == 9
    assert Planted(mark=Glyph()).exact_rates >= {"marked", "ring_symbol", "bars_symbol"}
    assert symbols.marks is not None
    for row, marks in enumerate(symbols.marks):
        assert [names[int(mark[5])] for mark in marks] == [name for name in names if symbols.attributes[name][row]]


def test_the_symbols_are_told_apart_by_their_masks():
    masks, classes = Glyph(rates_of=(0.1,) * len(SYMBOLS)).templates()
    flat = masks.reshape(len(masks), -1) - masks.mean(axis=(1, 2))[:, None]
    alike = np.corrcoef(flat) - np.eye(len(masks))
    assert classes.tolist() == list(range(len(SYMBOLS))) and alike.max() < 0.65


def test_a_stroke_is_as_long_as_its_list_says():
    mark = Strokes(length=12, width=1.2, number=1, share=1, variation=0)
    sample = Planted(base=Plain(noise=0.4), mark=mark).load("train", 12, seed=0)
    assert sample.twins is not None and sample.marks is not None
    for image, twin, (stroke,) in zip(sample.images, sample.twins, sample.marks, strict=True):
        rows, columns = np.nonzero(luma(twin[None])[0] - luma(image[None])[0] > 0.04)
        extent = np.hypot(np.ptp(rows), np.ptp(columns))
        assert 2 * stroke[2] == 12 and 9 <= extent <= 14


def test_a_lesson_has_every_symbol_as_often_and_other_places():
    recipe = Planted(base=BRICK, mark=Glyph())
    lesson, sample = recipe.lesson("reserve", 40, 0), recipe.load("reserve", 40, 0)
    assert [int(lesson.attributes[name].sum()) for name in recipe.mark.rates] == [4] * 5
    assert (lesson.images != sample.images).any()


def test_no_mark_lies_on_a_clipped_or_on_a_flat_place():
    for base, mark in ((Plain(level=254), Dots()), (Plain(level=1), Dots(contrast=2)), (Plain(noise=0), Dots())):
        with pytest.raises(ValueError, match="only 0 have a place for them: not clipped, not flat"):
            Planted(base=base, mark=mark).load("train", 10, 0)


def test_no_mark_lies_where_the_texture_hides_it():
    rough, faint = Plain(noise=12), Dots(contrast=-0.3, number=1)
    assert Planted(base=rough, mark=faint, least_ratio=0.5).load("train", 10, 0).attributes["marked"].sum() == 5
    with pytest.raises(ValueError, match=r"at least 3 times the local noise\. Use a stronger contrast"):
        Planted(base=rough, mark=faint, least_ratio=3).load("train", 10, 0)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"mark": {"kind": "dots", "contrast": 0}}, "got 0, which nobody can see"),
        ({"mark": Dots(radius=16), "base": BRICK}, "do not fit on pictures of 32 x 32 px. Use a smaller radius"),
        ({"mark": {"kind": "glyph", "rates_of": (0.6, 0.6)}}, "at most 1, one symbol a picture, got 1.2"),
        ({"base": Faces()}, "base: faces know the truth of their pictures already"),
        ({"base": Planted()}, "expected pictures without planted marks, got planted"),
    ],
)
def test_settings_that_make_no_sense_are_refused_in_words(settings: dict[str, Any], message: str):
    with pytest.raises(ValueError, match=message):
        Planted(**settings)


def test_a_base_without_enough_reserve_or_with_the_same_attribute_is_refused():
    with pytest.raises(ValueError, match=r"at least 40 are needed, plain has 30\. Use more pictures, or"):
        Planted(base=Plain(reserve=30)).available(0)
    with pytest.raises(ValueError, match="plain has an attribute 'marked' of its own; rename it"):
        Planted(base=Plain(name="marked")).load("train", 10, 0)


def test_base_and_mark_are_chosen_and_set_on_the_command_line():
    words = "--data.kind planted --data.base.kind folder --data.base.path x --data.base.reserve-share .25"
    data = parse(Experiment(), f"{words} --data.mark.kind strokes --data.mark.length 12".split(), "test").data
    assert isinstance(data, Planted) and data.mark == Strokes(length=12)
    assert data.base.model_dump(include={"kind", "reserve_share"}) == {"kind": "folder", "reserve_share": 0.25}
    kept = parse(Experiment(data=Planted(mark=Dots(number=3))), ["--data.mark.radius", "2"], "test").data
    assert isinstance(kept, Planted) and kept.mark == Dots(number=3, radius=2)
    whole = Experiment(data=data)
    assert Experiment(**whole.model_dump(mode="json")).signature == whole.signature


def test_the_marks_are_chosen_when_a_dataset_is_looked_at(capsys: pytest.CaptureFixture[str]):
    words = "data describe planted --base.photos brick --base.size 32 --mark.kind glyph --count 100"
    with pytest.raises(SystemExit) as ended:
        main(words.split())
    said = capsys.readouterr().out
    assert ended.value.code == 0 and "symbols were laid on pictures" in said
    assert "  ring_symbol           8    8.00 %  (exact)" in said
