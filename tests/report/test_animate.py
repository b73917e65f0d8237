from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image, ImageDraw

from imagelab.data import Faces
from imagelab.measurement import t95
from imagelab.metrics.freckle_calibration import shipped_calibration
from imagelab.metrics.freckles import counts
from imagelab.report.animate import FORMATS, HEIGHT, WIDTH, _bar, _frame, _panel, animate
from imagelab.report.grids import INK
from imagelab.report.run_view import read_run

MakeRun = Callable[..., Path]


def frames(path: Path) -> list[np.ndarray]:
    with Image.open(path) as opened:
        shown = []
        for index in range(getattr(opened, "n_frames", 1)):
            opened.seek(index)
            shown.append(np.asarray(opened.convert("RGB")))
        return shown


@pytest.mark.parametrize("suffix", ["webp", "gif", "apng", "png", "PNG"])
def test_an_animation_has_a_frame_for_every_generation(suffix: str, make_run: MakeRun, tmp_path: Path):
    (path,) = animate([make_run(generations=3)], tmp_path / f"loop.{suffix}")
    found = frames(path)
    assert len(found) == 4 and found[0].shape == (HEIGHT, WIDTH, 3)
    assert all(np.any(found[k] != found[k + 1]) for k in range(3))
    assert not list(tmp_path.glob("*.partial"))


def test_webp_and_apng_lose_nothing_of_the_pictures(make_run: MakeRun, tmp_path: Path):
    run = make_run(generations=2)
    (webp,), (apng,) = (animate([run], tmp_path / f"loop.{suffix}") for suffix in ("webp", "apng"))
    for left, right in zip(frames(webp), frames(apng), strict=True):
        np.testing.assert_array_equal(left, right)
    last = read_run(run).pictures("tracked")[2][0].transpose(1, 2, 0)  # drawn pictures are shown by default
    whole = frames(webp)[2]
    top, left = np.argwhere((whole != 255).any(2) & (np.arange(HEIGHT)[:, None] > 106))[0]
    scale = max(s for s in range(1, 40) if (whole[top : top + s, left : left + s] == whole[top, left]).all())
    shown = whole[top : top + 16 * scale : scale, left : left + 16 * scale : scale]
    np.testing.assert_array_equal(shown, last)


def test_the_first_and_the_last_frame_stand_three_times_as_long(make_run: MakeRun, tmp_path: Path):
    (path,) = animate([make_run(generations=2)], tmp_path / "loop.gif", seconds=0.5)
    with Image.open(path) as opened:
        times = [(opened.seek(index), opened.info["duration"])[1] for index in range(3)]
    assert times == [1500, 500, 1500]


@pytest.mark.parametrize("suffix", ["mp4", "webm"])
def test_beside_lossy_video_lies_a_lossless_crop(suffix: str, make_run: MakeRun, tmp_path: Path):
    video, crop = animate([make_run(generations=1)], tmp_path / f"loop.{suffix}", seconds=0.1)
    signature = video.read_bytes()[:12]
    assert signature[4:8] == b"ftyp" if suffix == "mp4" else signature[:4] == b"\x1a\x45\xdf\xa3"
    assert len(frames(crop)) == 2 and crop.name == "loop-crop.png"


def test_runs_stand_side_by_side_and_the_shorter_one_waits(make_run: MakeRun, tmp_path: Path):
    runs = [make_run("long-00000000", generations=3), make_run("short-00000000", generations=1)]
    (path,) = animate(runs, tmp_path / "pair.webp", labels=["long", "short"])
    found = frames(path)
    half = WIDTH // 2
    assert len(found) == 4
    np.testing.assert_array_equal(found[2][140:, half:], found[3][140:, half:])
    assert np.any(found[2][140:, :half] != found[3][140:, :half])


WORDS = "a run whose name is rather long, as somebody wanted it"


@pytest.mark.parametrize("count", [1, 2, 3, 4])
@pytest.mark.parametrize("label", ["VAE", WORDS])
def test_no_text_leaves_a_frame_is_cut_or_meets_another(
    count: int, label: str, make_run: MakeRun, tmp_path: Path, drawn_text: Any
):
    run = make_run(generations=1, faces=freckled(6), provenance=card())
    panels = [_panel(read_run(run), "photocopy", label) for _ in range(count)]
    for generation in (0, 1):
        drawn_text.clear()
        _frame(panels, generation, "photocopy")
        words = drawn_text.words
        assert words.count("not on these pictures") == count and "all images except real ones are synthetic" in words
        assert words.count(label) == (count if count > 1 else 0)
        assert drawn_text.inside(WIDTH, HEIGHT) and drawn_text.apart()


def freckled(count: int) -> np.ndarray:
    return Faces(size=64, freckle_rate=1.0, cache=False).load("heldout", count, 7).images


def card() -> dict[str, Any]:
    return {"freckle_calibration": {"digest": shipped_calibration(64).digest}}


def test_a_frame_states_what_the_counter_finds_in_its_own_pictures(make_run: MakeRun, drawn_text: Any):
    run = read_run(make_run(generations=2, faces=freckled(12), provenance=card()))
    panel = _panel(run, "photocopy", "VAE")
    for generation in range(3):
        drawn_text.clear()
        _frame([panel], generation, "photocopy")
        mean = counts(run.pictures("photocopy")[generation]).mean()
        assert f"The counter finds {mean:.1f} freckles a picture in these 12." in drawn_text.words
    assert "measured on 2,048 newly drawn faces, not on these pictures" in panel.basis


def test_of_pictures_that_are_not_all_shown_those_shown_are_counted(make_run: MakeRun, drawn_text: Any):
    run = read_run(make_run(generations=1, faces=freckled(30), provenance=card()))
    _frame([_panel(run, "photocopy", "VAE")], 1, "photocopy")
    (shown,) = re.findall(r"in these (\d+)\.", drawn_text.words)
    mean = counts(run.pictures("photocopy")[1][: int(shown)]).mean()
    assert 4 <= int(shown) < 30 and f"finds {mean:.1f} freckles a picture" in drawn_text.words


def test_a_bar_has_the_line_of_its_interval(make_run: MakeRun):
    panel = _panel(read_run(make_run(generations=2)), "photocopy", "VAE")
    signal = panel.bars[0]
    canvas = Image.new("RGB", (1000, 40), "white")
    _bar(ImageDraw.Draw(canvas), signal, 2, 0, 0, 1000)
    ink = np.flatnonzero((np.asarray(canvas)[13] == INK).all(axis=1))
    line = ink[(ink > 140) & (ink < 930)]
    half = t95(signal.df[2]) * np.sqrt(2) * signal.error[2]
    share, length = 1 - signal.lost[2], 1000 - 140 - 70
    assert (line[0] - 140) / length == pytest.approx(max(share - half, 0), abs=0.003)
    assert (line[-1] - 140) / length == pytest.approx(share + half, abs=0.003)
    _bar(ImageDraw.Draw(real := Image.new("RGB", (1000, 40), "white")), signal, 0, 0, 0, 1000)
    assert not (np.asarray(real)[13, 140:900] == INK).all(axis=1).any()


def test_a_still_shows_the_first_the_middle_and_the_last_generation(make_run: MakeRun, tmp_path: Path, drawn_text: Any):
    run = make_run(generations=4, faces=freckled(6), provenance=card())
    (path,) = animate([run], tmp_path / "still.png", still=True)
    (picture,) = frames(path)
    assert picture.shape == (772, 1320, 3) and drawn_text.inside(1320, 772) and drawn_text.apart()
    words = [text for text, _ in drawn_text]
    assert [word for word in words if re.fullmatch(r"real images|generation \d", word)] == [
        "real images",
        "generation 2",
        "generation 4",
    ]
    with Image.open(path) as opened:
        assert "generation 4" in opened.info["Description"] and "synthetic" in opened.info["Description"]
    for runs, name in (([run, run], "a.png"), ([run], "a.webp")):
        with pytest.raises(ValueError, match=r"a still shows one run and is a \.png"):
            animate(runs, tmp_path / name, still=True)


def test_which_chooses_what_is_shown(make_run: MakeRun, tmp_path: Path):
    run = make_run(generations=1)
    (copies,), (tracked,) = (animate([run], tmp_path / f"{w}.webp", w) for w in ("photocopy", "tracked"))
    assert np.any(frames(copies)[0] != frames(tracked)[0])
    (default,) = animate([run], tmp_path / "default.webp")
    np.testing.assert_array_equal(frames(default)[1], frames(tracked)[1])
    for pictures in run.glob("gen-001*/probe.npy"):
        pictures.unlink()
    (left,) = animate([run], tmp_path / "left.webp")  # nothing was drawn: copies
    np.testing.assert_array_equal(frames(left)[1], frames(copies)[1])


def test_a_run_without_copies_says_what_to_ask_for(make_run: MakeRun, tmp_path: Path):
    with pytest.raises(ValueError, match=r"no photocopy pictures after generation 0\. Try --which tracked"):
        animate([make_run(copies=False)], tmp_path / "loop.webp", "photocopy")


@pytest.mark.parametrize(
    ("count", "name", "seconds", "labels", "said"),
    [
        (1, "loop.avi", 0.5, (), "ends in"),
        (5, "loop.webp", 0.5, (), "1 to 4 runs"),
        (1, "loop.webp", 0.0, (), "seconds per generation"),
        (1, "loop.webp", 0.5, ("a", "b"), "one label per run"),
    ],
)
def test_what_cannot_be_drawn_is_refused(
    count: int, name: str, seconds: float, labels: tuple[str, ...], said: str, make_run: MakeRun, tmp_path: Path
):
    with pytest.raises(ValueError, match=said):
        animate([make_run()] * count, tmp_path / name, seconds=seconds, labels=labels)
    assert not (tmp_path / name).exists() and len(FORMATS) == 5
