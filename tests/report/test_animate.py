from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from imagelab.report.animate import FORMATS, HEIGHT, WIDTH, animate
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
    last = read_run(run).pictures("photocopy")[2][0].transpose(1, 2, 0)
    whole = frames(webp)[2]
    top, left = np.argwhere((whole != 255).any(2) & (np.arange(HEIGHT)[:, None] > 128))[0]
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
    np.testing.assert_array_equal(found[2][170:, half:], found[3][170:, half:])
    assert np.any(found[2][170:, :half] != found[3][170:, :half])


def test_which_chooses_what_is_shown(make_run: MakeRun, tmp_path: Path):
    run = make_run(generations=1)
    (copies,), (tracked,) = (animate([run], tmp_path / f"{w}.webp", w) for w in ("photocopy", "tracked"))
    assert np.any(frames(copies)[0] != frames(tracked)[0])


def test_a_run_without_copies_says_what_to_ask_for(make_run: MakeRun, tmp_path: Path):
    with pytest.raises(ValueError, match=r"no photocopy pictures after generation 0\. Try --which tracked"):
        animate([make_run(copies=False)], tmp_path / "loop.webp")


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
