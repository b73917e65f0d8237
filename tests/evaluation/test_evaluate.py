from __future__ import annotations

import tracemalloc
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageFilter

import imagelab
from imagelab.evaluation.comparison import by_name, compare_to_floor, gaps
from imagelab.evaluation.evaluate import Measured, general_panel, measure
from imagelab.evaluation.sources import OpenedImages
from imagelab.faces.freckles import Style
from imagelab.io.cache import cache_folder
from imagelab.measurement import Measurement
from imagelab.metrics import METRICS, Evidence, ImageSet, NotMeasurable
from imagelab.pool import REAL

CHEAP = ("hf_ratio", "tone")


def sixteen(n: int, seed: int) -> np.ndarray:
    """Smooth random pictures, uint8 [n,3,16,16]."""
    coarse = np.random.default_rng(seed).integers(0, 256, (n, 6, 6, 3), np.uint8)
    big = [np.asarray(Image.fromarray(each).resize((16, 16), Image.Resampling.BICUBIC)) for each in coarse]
    return np.stack(big).transpose(0, 3, 1, 2).copy()


def blurred(pictures: np.ndarray) -> np.ndarray:
    soft = [Image.fromarray(p.transpose(1, 2, 0)).filter(ImageFilter.GaussianBlur(1)) for p in pictures]
    return np.stack([np.asarray(p).transpose(2, 0, 1) for p in soft])


@pytest.fixture
def counted(monkeypatch: pytest.MonkeyPatch) -> list[Evidence]:
    """A metric called ``counting`` in the table, and a list of the evidence that it received."""
    seen: list[Evidence] = []

    def counting(evidence: Evidence) -> list[Measurement]:
        seen.append(evidence)
        value = float(evidence.fake.images.mean() - evidence.real.images.mean())
        n_real, n_fake = len(evidence.real), len(evidence.fake)
        form = Measurement("counting", value, n_real=n_real, n_fake=n_fake, stderr=1.0, better="two-sided")
        return [replace(form, resize="bilinear to 299")]

    monkeypatch.setitem(METRICS._ours, "counting", replace(METRICS["tone"], measure=counting, gives=(), least=1))
    return seen


# -- the style of freckles


def test_the_style_of_freckles_is_that_of_the_real_images_unless_it_is_given(counted: list[Evidence]):
    real, fake = OpenedImages(sixteen(20, 0), "real"), OpenedImages(sixteen(10, 1), "fake")
    fine = replace(real, freckle_style="fine")
    cases: list[tuple[tuple[OpenedImages, OpenedImages], Style | None, Style]] = [
        ((real, fake), None, "countable"),
        ((fine, fake), None, "fine"),
        ((real, replace(fake, freckle_style="fine")), None, "fine"),
        ((fine, replace(fake, freckle_style="countable")), None, "fine"),
        ((fine, fake), "countable", "countable"),
        ((real, fake), "fine", "fine"),
    ]
    for sets, given, style in cases:
        counted.clear()
        measure(*sets, metrics=["counting"], freckle_style=given)
        assert [evidence.freckle_style for evidence in counted] == [style, style]  # the images, and the floor


# -- the floor


def test_every_number_has_its_floor():
    result = measure(sixteen(80, 0), sixteen(30, 1), metrics=CHEAP)
    assert [m.name for m in result] == ["hf_ratio", "brightness", "contrast", "colourfulness"]
    assert all(m.floor is not None and m.floor_stderr is not None for m in result)
    assert all((m.generation, m.line) == (1, 0) for m in result)
    assert all((m.generation, m.line) == (0, REAL) for m in result.floors)


def test_real_images_are_within_the_floor_and_blurred_ones_are_not():
    real, made = sixteen(300, 0), sixteen(100, 1)
    panel = ["hf_ratio", "frechet", "kernel"]
    same, soft = measure(real, made, metrics=panel), measure(real, blurred(made), metrics=panel)
    directed = [m.name for m in soft if m.better != "none"]
    assert sum(compare_to_floor(same[name]) == "within the floor" for name in directed) > 0.7 * len(directed)
    assert not [name for name in directed if compare_to_floor(soft[name]) in ("", "missing", "within the floor")]


def test_a_large_real_set_is_divided_into_reference_and_floor_of_equal_n(counted: list[Evidence]):
    real = sixteen(100, 0)
    result = measure(real, sixteen(30, 1), metrics=["counting"])
    made, floor = counted
    assert (len(made.real), len(made.fake), len(floor.real), len(floor.fake)) == (70, 30, 70, 30)
    assert made.real is floor.real
    rows = {image.tobytes() for image in (*made.real.images, *floor.fake.images)}
    assert rows == {image.tobytes() for image in real}
    assert "30 real images, set aside" in result.notes[0]
    assert (result["counting"].n_real, result["counting"].n_fake) == (70, 30)


def test_a_small_real_set_is_halved_for_the_floor_alone_and_says_so(counted: list[Evidence]):
    result = measure(sixteen(41, 0), sixteen(30, 1), metrics=["counting"])
    made, floor = counted
    assert (len(made.real), len(made.fake), len(floor.real), len(floor.fake)) == (41, 30, 20, 20)
    assert "20 against 20" in result.notes[0] and "19 more real images" in result.notes[0]
    assert (result.floors[0].n_real, result.floors[0].n_fake) == (20, 20)


def test_a_distance_below_a_floor_of_fewer_images_is_not_called_within_the_floor():
    """Of 40 real sets against 120 real images, measured by halves, all 40 Fréchet distances fell below their floor."""
    halved, aside = (str(measure(sixteen(n, 0), sixteen(100, 1), metrics=["frechet"])) for n in (120, 200))
    assert "below a floor of fewer images" in halved and "fewer images" not in aside


@pytest.mark.parametrize(("handed", "used"), [(50, 30), (30, 30), (12, 12)])
def test_other_real_images_are_the_floor_if_they_are_given(handed: int, used: int, counted: list[Evidence]):
    real, other = sixteen(100, 0), sixteen(handed, 2)
    result = measure(real, sixteen(30, 1), floor=other, metrics=["counting"])
    made, floor = counted
    assert len(made.real) == 100 and made.real is floor.real and len(floor.fake) == used
    assert {i.tobytes() for i in floor.fake.images} <= {i.tobytes() for i in other}
    assert ("fewer than the 30" in result.notes[0]) == (used < 30)


def test_three_real_images_have_no_floor_and_a_note_says_so():
    result = measure(sixteen(3, 0), sixteen(30, 1), metrics=CHEAP)
    assert result.floors == () and result["hf_ratio"].floor is None and "no floor" in result.notes[0]


def test_the_seed_decides_the_division_and_reaches_the_metrics(counted: list[Evidence]):
    real, made = sixteen(60, 0), sixteen(20, 1)
    for seed in (0, 0, 1):
        measure(real, made, metrics=["counting"], seed=seed)
    parts = [each.fake.images.tobytes() for each in counted[1::2]]
    assert parts[0] == parts[1] != parts[2]
    assert counted[0].seed == counted[2].seed != counted[4].seed


# -- what the metrics receive


def test_training_images_and_the_blank_control_reach_the_metrics(counted: list[Evidence]):
    train, blank = sixteen(9, 5), sixteen(4, 6)
    measure(sixteen(60, 0), sixteen(20, 1), train=train, blank=blank, metrics=["counting"])
    for evidence in counted:
        assert evidence.train is not None and np.array_equal(evidence.train.images, train)
        assert evidence.blank is not None and np.array_equal(evidence.blank.images, blank)


def test_the_kernel_of_a_resampled_set_is_recorded_before_that_of_the_metric(counted: list[Evidence]):
    real, made = sixteen(60, 0), sixteen(20, 1)
    half = [Image.fromarray(p.transpose(1, 2, 0)).resize((8, 8)) for p in made]

    def resizes(*sets: object, **how: object) -> tuple[str, str]:
        result = measure(*sets, metrics=["counting"], **how)  # pyright: ignore[reportArgumentType]
        return result["counting"].resize, result.floors[0].resize

    assert resizes(real, made) == ("bilinear to 299", "bilinear to 299")
    assert resizes(real, made, size=8) == ("bicubic to 8; then bilinear to 299",) * 2
    assert resizes(real, made, size=8, resize="box")[0] == "box to 8; then bilinear to 299"
    assert resizes(real, half, size=8)[0] == "real bicubic to 8; then bilinear to 299"


def test_numbers_after_other_kernels_refuse_to_be_compared():
    real, made = sixteen(60, 0), sixteen(20, 1)
    two = [measure(real, made, size=8, resize=kernel, metrics=["tone"]) for kernel in ("bicubic", "box")]
    compared = gaps(*({m.name: m for m in each} for each in two))
    assert all("resize differs" in each.refused for each in compared)


def test_a_generation_of_a_run_keeps_its_place(counted: list[Evidence]):
    made = OpenedImages(sixteen(20, 1), "fake", generation=4, line=1)
    assert [(m.generation, m.line) for m in measure(sixteen(60, 0), made, metrics=["counting"])] == [(4, 1)]


def test_the_general_panel_is_all_that_needs_no_weights_and_no_faces():
    panel, left = general_panel(train=False)
    assert set(panel) == {n for n, m in METRICS.items() if not (m.needs or m.uses_training or m.suits != "any")}
    assert set(panel) | set(left) == set(METRICS)
    assert "memorisation" in general_panel(train=True)[0]


def test_rows_join_the_general_panel_when_their_weights_are_present(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("imagelab.evaluation.evaluate.locate", lambda name: Path(name))
    assert {"fid", "kid", "lpips"} <= set(general_panel(train=False)[0])


def test_metrics_left_out_are_listed_with_the_reason():
    notes = " ".join(measure(sixteen(8, 0), sixteen(8, 1)).notes)
    assert "fid" in notes and "weights" in notes and "freckles" in notes and "memorisation" in notes


# -- warnings and refusals


def warned(*sets: object, **more: object) -> str:
    return " | ".join(measure(*sets, metrics=CHEAP, **more).warnings)  # pyright: ignore[reportArgumentType]


def test_valid_sets_give_no_warning():
    assert warned(sixteen(300, 0), sixteen(100, 1)) == ""


def test_a_set_against_itself_is_measured_with_a_warning():
    pictures = sixteen(70, 0)
    assert "real and fake are the SAME pictures" in warned(pictures, pictures[::-1].copy())


def test_overlapping_sets_and_copies_inside_a_set_are_counted():
    real, made = sixteen(80, 0), sixteen(70, 1)
    assert "7 of 77 fake pictures occur in real" in warned(real, np.concatenate([made, real[:7]]))
    assert "fake: 5 of 75 pictures repeat others" in warned(real, np.concatenate([made, made[:5]]))
    assert "all 70 pictures are the same" in warned(real, np.repeat(made[:1], 70, axis=0))
    assert "10 of 70 fake pictures occur in train" in warned(real, made, train=made[:10])
    assert "4 of 9 floor pictures occur in real" in warned(real, made, floor=np.concatenate([real[:4], sixteen(5, 9)]))


def test_too_few_images_are_named_with_what_each_metric_takes():
    assert "n = 10 is less than these metrics need: hf_ratio (64), tone (64)" in warned(sixteen(80, 0), sixteen(10, 1))


def test_lossy_files_against_lossless_ones_give_a_warning(tmp_path: Path):
    folders = {}
    for name in ("png", "jpg", "webp"):
        folders[name] = tmp_path / name
        folders[name].mkdir()
        for row, picture in enumerate(sixteen(8, 0)):
            Image.fromarray(picture.transpose(1, 2, 0)).save(folders[name] / f"{row}.{name}")
    assert "lossy compression" in warned(folders["png"], folders["jpg"])
    assert "lossy compression" not in warned(folders["jpg"], folders["webp"])
    assert "lossy compression" not in warned(folders["jpg"], sixteen(8, 1))  # the file format of an array is unknown


def test_grey_against_colour_becomes_three_equal_channels_with_a_warning():
    real, grey = sixteen(80, 0), sixteen(70, 1)[:, :1]
    assert "fake is grey" in warned(real, grey)
    lifted, spread = (measure(real, f, metrics=CHEAP) for f in (grey, np.repeat(grey, 3, axis=1)))
    assert [m.value for m in lifted] == [m.value for m in spread]


def test_sets_of_different_sizes_are_refused_until_a_size_is_named():
    with pytest.raises(ValueError, match=r"real is 16 x 16, fake is 8 x 8 pixels.*--size 8"):
        measure(sixteen(20, 0), sixteen(20, 1)[:, :, :8, :8], metrics=CHEAP)
    assert measure(sixteen(20, 0), sixteen(20, 1)[:, :, :8, :8], size=8, metrics=CHEAP)["hf_ratio"].value


@pytest.mark.parametrize("metrics", [[], ["fidd"]])
def test_an_unknown_metric_is_refused_before_anything_is_opened(metrics: list[str]):
    with pytest.raises(ValueError, match="known are spectrum"):
        measure("nowhere", "nowhere", metrics=metrics)


@pytest.mark.parametrize("n", [1, 3])
@pytest.mark.parametrize("side", [5, 16])
def test_the_whole_panel_returns_rows_for_one_image_and_for_tiny_ones(n: int, side: int):
    real, made = (sixteen(m, seed)[:, :, :side, :side].copy() for m, seed in ((12, 0), (n, 1)))
    result = measure(real, made, train=sixteen(9, 3)[:, :, :side, :side].copy())
    taken = general_panel(train=True)[0]
    stems = {m.name.partition("/")[0] for m in result}
    for name in taken:
        assert any(stem in stems for stem in METRICS[name].gives or (name,)), name
    assert all(m.value is not None or m.missing for m in result)
    assert result["brightness"].value is not None


def test_constant_sets_give_numbers_or_reasons():
    flat = np.full((30, 3, 16, 16), 128, np.uint8)
    for real, made in ((flat, flat), (flat, sixteen(30, 1)), (sixteen(30, 1), flat)):
        result = measure(real, made)
        assert result["brightness"].value is not None
        assert all(m.value is not None or m.missing for m in result)


@pytest.mark.parametrize("error", [NotMeasurable("not these"), ValueError("not these")])
def test_an_instrument_that_refuses_the_sets_is_missing_with_its_reason(
    error: ValueError, monkeypatch: pytest.MonkeyPatch
):
    def refuse(evidence: Evidence) -> list[Measurement]:
        raise error

    monkeypatch.setitem(METRICS._ours, "frechet", replace(METRICS["frechet"], measure=refuse))
    result = measure(sixteen(20, 0), sixteen(9, 1), metrics=["frechet", "tone"])
    assert result.missing() == {"not these": ["frechet", "frechet_corrected"]}
    assert result["brightness"].value is not None


# -- cache, memory, the result


def test_features_and_pixels_are_cached_unless_cache_is_off(tmp_path: Path):
    for row, picture in enumerate(sixteen(12, 0)):
        Image.fromarray(picture.transpose(1, 2, 0)).save(tmp_path / f"{row}.png")
    without = measure(tmp_path, sixteen(9, 1), metrics=["kernel"], cache=False)
    assert not list(cache_folder("").rglob("*.npz")) and not list(cache_folder("").rglob("*.bytes"))
    kept = measure(tmp_path, sixteen(9, 1), metrics=["kernel"])
    assert list(cache_folder("features").glob("*.npz")) and list(cache_folder("measured").glob("*.bytes"))
    again = measure(tmp_path, sixteen(9, 1), metrics=["kernel"])
    assert without.measurements == kept.measurements == again.measurements


def test_a_large_set_is_measured_without_being_held_in_memory(tmp_path: Path):
    """77 MB a set, mapped: opening, hashing, dividing and measuring its tone need a third of one set in memory."""
    rng = np.random.default_rng(0)
    for name in ("real", "fake"):
        values = np.lib.format.open_memmap(tmp_path / f"{name}.npy", "w+", np.uint8, (25_000, 3, 32, 32))
        for first in range(0, len(values), 1000):
            values[first : first + 1000] = rng.integers(0, 256, (1000, 3, 32, 32), np.uint8)
        values.flush()
    tracemalloc.start(1)
    try:
        result = measure(tmp_path / "real.npy", tmp_path / "fake.npy", metrics=["tone"])
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert result["brightness"].n_fake == 25_000
    assert peak < 26_000_000


def test_the_record_is_indexed_by_name_and_written_a_line_a_measurement():
    result = measure(sixteen(60, 0), sixteen(20, 1), metrics=CHEAP)
    assert isinstance(result, Measured) and len(result) == 4
    assert result["hf_ratio"] is result.measurements[0]
    with pytest.raises(KeyError, match="was not measured; there are hf_ratio"):
        result["fid"]
    lines = [Measurement.from_json(line) for line in result.to_jsonl().splitlines()]
    assert tuple(lines) == (*result.floors, *result.measurements)
    assert by_name(lines, "here") == {m.name: m for m in result}


def test_the_table_shows_every_directed_number_with_error_floor_n_and_verdict():
    result = measure(sixteen(60, 0), blurred(sixteen(20, 1)), metrics=["spectrum", "frechet", "fid"])
    text = str(result)
    assert text.startswith("20 made images (3 x 16 x 16) against 60 real images (3 x 16 x 16)")
    row = next(line for line in text.splitlines() if line.startswith("band_power/4-8"))
    assert " dB " in row and "± " in row and "20/40" in row and "↔" in row and "sigma" in row
    assert "randconv-s0@" in text and "missing: fid" in text
    assert "radial_power" not in text and "radial_power" in result.table(everything=True)


def test_progress_reports_every_metric():
    told: list[tuple[str, int, int]] = []
    measure(sixteen(20, 0), sixteen(9, 1), metrics=CHEAP, progress=lambda *what: told.append(what))
    assert ("measuring: Tone", 1, 2) in told and ("floor: Tone", 1, 2) in told


def test_the_call_is_exported_and_takes_image_sets():
    assert imagelab.measure is measure
    result = imagelab.measure(ImageSet(sixteen(20, 0)), ImageSet(sixteen(9, 1)), metrics=["tone"])
    assert result["brightness"].n_fake == 9
