"""The counter of planted marks: fitted to a dataset, with a card that holds, and refusals where it is too poor."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from imagelab.data import Dots, Glyph, Planted, Sample, Textures
from imagelab.measurement import Measurement
from imagelab.metrics import Evidence, ImageSet, measure_panel
from imagelab.metrics.artifacts import write_sealed
from imagelab.metrics.degradations import blurred
from imagelab.metrics.freckle_calibration import CardValue, match
from imagelab.metrics.planted_candidates import Searched, find_planted
from imagelab.metrics.planted_counter import PlantedCounter, card_sentences, read_counter, too_poor
from imagelab.metrics.planted_fit import Lesson, fit_counter

BASE = Textures(size=32, photos=("retina",))
DOTS = Planted(base=BASE, mark=Dots(radius=1.3, number=2))
SYMBOLS = Planted(base=BASE, mark=Glyph(rates_of=(0.2, 0.1), radius=3.5))


def lesson(sample: Sample) -> Lesson:
    assert sample.twins is not None and sample.marks is not None
    return Lesson(sample.images, sample.twins, sample.marks, sample.groups)


def fitted(data: Planted, reserve: int = 120, heldout: int = 80) -> PlantedCounter:
    known = data.counted()
    searched = Searched(*(known[name] for name in ("templates", "classes", "contrast", "tolerance")))
    parts = lesson(data.lesson("reserve", reserve, 0)), lesson(data.lesson("heldout", heldout, 0))
    return fit_counter(*parts, searched, known["word"], known["symbols"], 0)


@pytest.fixture(scope="module")
def counter() -> PlantedCounter:
    return fitted(DOTS)


@pytest.fixture(scope="module")
def real() -> Sample:
    return DOTS.load("train", 80, 0)


def taken(images: np.ndarray, real: Sample, counter: PlantedCounter, **more: Any) -> dict[str, Measurement]:
    evidence = Evidence(ImageSet(real.images), ImageSet(images), counter=counter, **more)
    return {m.name: m for m in measure_panel(evidence, ["planted"])}


def test_the_card_of_held_out_pictures_holds_for_other_pictures(counter: PlantedCounter, real: Sample):
    assert real.marks is not None and real.twins is not None
    found = counter.find(real.images)
    met = np.concatenate([match(rows, marks, 1.5)[1] for rows, marks in zip(found, real.marks, strict=True)])
    recall, false = counter.figures["recall"], counter.figures["false marks"]
    assert abs(met.mean() - recall.value) < 4 * np.hypot(recall.stderr, 0.02) and recall.value > 0.9
    assert abs(counter.counts(real.twins).mean() - false.value) < 0.1 and false.value < 0.1
    assert counter.figures["precision"].value > 0.9 and too_poor(counter.card()) == ""


def test_the_card_has_tables_by_radius_contrast_texture_blur_and_noise(counter: PlantedCounter):
    names = {"recall by radius", "recall by contrast", "recall by contrast to noise", "by blur", "by noise"}
    assert set(counter.tables) == names
    left = [row["value"] for row in counter.tables["by blur"]]
    assert left[0] == 1 and left[-1] < 0.8 and all(row["n"] > 0 for row in counter.tables["recall by radius"])
    first, *_ = card_sentences(counter.card())
    assert first.startswith(
        "Counter of dots, fitted on 120 real pictures of the reserve, tested on 80 held-out ones in "
    )


def test_the_counter_is_tested_on_other_groups_than_those_that_chose_its_threshold(counter: PlantedCounter):
    heldout, reserve = DOTS.lesson("heldout", 80, 0), DOTS.lesson("reserve", 120, 0)
    assert heldout.groups is not None and reserve.groups is not None
    origin = counter.origin
    assert origin["groups tested on"] == len(np.unique(heldout.groups))
    assert origin["groups fitted on"] == len(np.unique(reserve.groups))


def test_a_picture_is_counted_alone_as_among_others(counter: PlantedCounter, real: Sample):
    assert [len(rows) for rows in counter.find(real.images[:9])] == [
        len(counter.find(image[None])[0]) for image in real.images[:9]
    ]


def test_a_stored_counter_counts_the_same_and_a_damaged_one_is_refused(
    counter: PlantedCounter, real: Sample, tmp_path: Path
):
    path = tmp_path / "counter.npz"
    counter.write(path)
    again = read_counter(path)
    assert again.digest == counter.digest and again.card() == counter.card()
    np.testing.assert_array_equal(again.counts(real.images), counter.counts(real.images))
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    with pytest.raises(ValueError, match=r"counter of planted marks|SHA-256"):
        read_counter(path)


@pytest.mark.parametrize(("name", "value"), [("trees_depth", 10**9), ("trees_left", 10**6), ("trees_feature", 200)])
def test_a_counter_of_somebody_else_with_impossible_trees_is_refused(
    counter: PlantedCounter, tmp_path: Path, name: str, value: int
):
    arrays = counter.arrays()
    write_sealed(tmp_path / "counter.npz", {**arrays, name: np.full_like(arrays[name], value)})
    with pytest.raises(ValueError, match=r"not a whole counter of planted marks \(its trees or templates"):
        read_counter(tmp_path / "counter.npz")


def test_marks_are_measured_with_their_controls(counter: PlantedCounter, real: Sample):
    assert real.twins is not None
    twins = ImageSet(real.twins)
    found = taken(real.images, real, counter, blank=twins, twin=ImageSet(real.twins[:40]))
    for name in ("count", "corrected", "net"):
        m = found[f"planted/{name}"]
        assert m.value == pytest.approx(1.0, abs=0.1) and m.stderr is not None and 0.05 < m.stderr < 0.3, name
    assert found["planted/blank"].value == counter.counts(real.twins).mean()
    assert found["planted/twin"].n_fake == 40 and found["planted/matched"].value == 1.0
    assert found["planted/count"].estimator.startswith(f"planted@{counter.digest[:8]}: ")


def test_errors_are_taken_over_groups(counter: PlantedCounter, real: Sample):
    pairs = np.concatenate([real.images, real.images])
    groups = np.tile(np.arange(80), 2)
    alone = taken(real.images, real, counter)["planted/count"]
    evidence = Evidence(ImageSet(real.images), ImageSet(pairs, groups=groups), counter=counter)
    both = measure_panel(evidence, ["planted"])[0]
    assert both.stderr == pytest.approx(alone.stderr, rel=1e-6) and both.df == alone.df


def test_the_interval_of_net_holds_what_blur_may_hide(counter: PlantedCounter, real: Sample):
    assert real.twins is not None
    soft = taken(blurred(real.images, 1.0), real, counter, blank=ImageSet(blurred(real.twins, 1.0)))
    net, matched = soft["planted/net"], soft["planted/matched"]
    assert matched.value is not None and 0.4 < matched.value < 1
    assert net.low is not None and net.high is not None and net.low < 1 < net.high and (net.value or 0) < 1
    gone = taken(blurred(real.images, 4), real, counter)
    assert "what blur hides cannot be corrected for" in gone["planted/net"].missing
    assert gone["planted/count"].value == 0


def test_lost_marks_are_not_read_as_blur(counter: PlantedCounter, real: Sample):
    assert real.twins is not None
    lost = taken(real.twins, real, counter, blank=ImageSet(real.twins))
    assert (lost["planted/matched"].value or 0) > 0.97 and (lost["planted/count"].value or 0) < 0.05


def test_a_counter_that_is_too_poor_says_so_and_counts_nothing(counter: PlantedCounter, real: Sample):
    poor = {**counter.figures, "recall": CardValue(0.31, 0.02, 300), "false marks": CardValue(0.9, 0.1, 300)}
    blind = replace(counter, figures=poor)
    found = taken(real.images, real, blind)
    assert all(m.value is None for m in found.values()) and len(found) == 6
    why = (
        "the dots of this dataset cannot be counted: it finds 31 % of them (at least 50 % are needed) and it finds 0.90"
    )
    assert found["planted/count"].missing.startswith(why)
    assert card_sentences(blind.card())[-1].startswith("So nothing is counted: the dots of this dataset cannot")


def test_images_of_another_form_or_without_a_counter_are_not_counted(counter: PlantedCounter, real: Sample):
    other = taken(real.images[..., :28], real, counter)["planted/count"].missing
    assert (
        other
        == "the counter of this run was fitted to pictures of 3 x 32 x 32 (channels, height, width); got 3 x 32 x 28"
    )
    (none, _) = measure_panel(Evidence(ImageSet(real.images), ImageSet(real.images)), ["planted"])
    assert none.value is None and none.missing.startswith("no counter: it is fitted when a run with planted data is")


def test_the_shares_of_symbols_are_measured_by_class():
    counter = fitted(SYMBOLS)
    sample = SYMBOLS.load("train", 80, 0)
    found = taken(sample.images, sample, counter)
    for name, share in (("ring_symbol", 0.2), ("plus_symbol", 0.1)):
        m = found[f"symbols/{name}"]
        assert m.low is not None and m.high is not None and m.low <= share <= m.high, m
        assert m.value == pytest.approx(share, abs=0.05) and m.unit == "share"
        assert "Rogan-Gladen, Se " in m.estimator
    assert found["planted/count"].value == pytest.approx(0.3, abs=0.05)


def test_pictures_of_one_channel_have_the_candidates_of_their_grey_twin():
    sample = Planted(base=Textures(size=32, photos=("cell",)), mark=Dots(number=2)).lesson("reserve", 20, 0)
    known = DOTS.counted()
    searched = Searched(*(known[name] for name in ("templates", "classes", "contrast", "tolerance")))
    three, one = find_planted(sample.images, searched), find_planted(sample.images[:, :1], searched)
    np.testing.assert_array_equal(three.image, one.image)
    np.testing.assert_allclose(three.features, one.features, atol=1e-5)


def test_where_a_model_draws_what_looks_like_marks_nothing_is_corrected(counter: PlantedCounter, real: Sample):
    marked = ImageSet(real.images)
    found = taken(real.images, real, counter, blank=marked)
    for name in ("corrected", "net"):
        assert (
            "an image on unmarked pictures that this model copied, where none are" in found[f"planted/{name}"].missing
        )
    assert found["planted/count"].value == found["planted/blank"].value
    by_twin = taken(real.images, real, counter, twin=marked)
    assert by_twin["planted/net"].value == 0 and "images of the blank twin" in by_twin["planted/corrected"].missing
