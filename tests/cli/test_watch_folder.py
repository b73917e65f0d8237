from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from imagelab.cli.entry import main
from imagelab.cli.watch_folder import FolderOptions, seconds_of, watch_folder
from imagelab.evaluation.production_watch import ProductionWatch


def draw(n: int, seed: int, brighter: int = 0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    coarse = rng.integers(60, 196, (n, 4, 4)).repeat(4, axis=1).repeat(4, axis=2)
    noise = rng.normal(scale=6, size=(n, 16, 16))
    return (coarse + noise + brighter).round().clip(0, 255).astype(np.uint8)


def save(folder: Path, images: np.ndarray) -> None:
    folder.mkdir(parents=True)
    for row, image in enumerate(images):
        Image.fromarray(image).save(folder / f"{row}.png")


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working folder with real.npy (200 pictures) and made/ with two batches like them."""
    monkeypatch.chdir(tmp_path)
    np.save("real.npy", draw(200, 0)[:, None])
    save(Path("made/b1"), draw(50, 1))
    save(Path("made/b2"), draw(50, 2))
    return tmp_path


def ask(*words: str, folder: str = "made") -> int:
    with pytest.raises(SystemExit) as left:
        main(["watch", "--folder", folder, "--real", "real.npy", "--once", "--settle", "0", "--rate", "0.5", *words])
    return int(left.value.code or 0)


def test_the_exit_code_answers_and_a_batch_is_judged_once(here: Path, capsys: pytest.CaptureFixture[str]):
    assert ask() == 0
    said = capsys.readouterr().out
    assert "0.50% of batches, and at most 50% of series of 100" in said and said.count("no alarm") == 2
    save(here / "made/b10", draw(50, 3, brighter=40))
    assert ask() == 3
    said = capsys.readouterr().out
    assert "ALARM" in said and "brightness +" in said and "\nb1 " not in said
    assert "imagelab import real.npy made/b1 made/b2 made/b10" in said
    assert ask() == 0
    assert "no new batch is complete; 3 were judged before" in capsys.readouterr().out
    lines = [json.loads(line) for line in (here / "watched/made/batches.jsonl").read_text().splitlines()]
    assert [line["batch"] for line in lines] == ["b1", "b2", "b10"] and lines[2]["verdict"] == "alarm"


def test_a_kill_between_two_batches_changes_no_number(here: Path, capsys: pytest.CaptureFixture[str]):
    save(here / "made/b3", draw(50, 3))
    assert ask("-o", "whole", "--json") == 0
    whole = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    judge = ProductionWatch.judge

    def killed(watch: ProductionWatch, folder, batch, *rest):
        if batch.name == "b2":
            raise KeyboardInterrupt
        return judge(watch, folder, batch, *rest)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ProductionWatch, "judge", killed)
        assert ask("-o", "parts") == 130
    (here / "parts/batches.jsonl").unlink()  # it repeats the state
    assert ask("-o", "parts") == 0
    parts = [json.loads(line) for line in (here / "parts/batches.jsonl").read_text().splitlines()]
    for left, right in zip(whole, parts, strict=True):
        assert {**left, "measured": ""} == {**right, "measured": ""}


def test_another_reference_or_another_setting_is_refused(here: Path, capsys: pytest.CaptureFixture[str]):
    assert ask() == 0
    assert ask("--batch", "50") == 1
    assert "batch: subfolder then, 50 now" in capsys.readouterr().err
    np.save("real.npy", draw(200, 9)[:, None])
    assert ask() == 1
    said = capsys.readouterr().err
    assert "real_sha256" in said and "start anew in another place: --output" in said
    (here / "watched/made/state.json").write_text('{"settings": []}')
    assert ask() == 1
    assert "state of imagelab watch --folder" in capsys.readouterr().err


def test_a_damaged_picture_is_named_and_a_small_batch_is_not_judged(here: Path, capsys: pytest.CaptureFixture[str]):
    broken = here / "made/b2/7.png"
    broken.write_bytes(broken.read_bytes()[:60])
    save(here / "made/b3", draw(3, 3)[:, :8])  # another form: named, and not measured
    assert ask("--batch", "subfolder") == 0
    said = capsys.readouterr().out
    assert "damaged and left out: 1 (made/b2/7.png: " in said
    assert "import real.npy made/b1 made/b2 --name production --on-bad skip" in said
    assert "not measured" in said and "expected pictures of form (1, 16, 16)" in said and "got (1, 8, 16)" in said
    lone = here / "lone"
    save(lone / "b1", draw(20, 1))
    assert ask(folder="lone") == 1
    assert "20 pictures are too few for an alarm; 50 are needed" in capsys.readouterr().out


def test_a_batch_that_changes_while_it_is_read_is_left_for_the_next_time(
    here: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    from imagelab.evaluation import production_watch

    opened = production_watch.open_named

    def grown(folder: Path, how, name: str, files):
        found = opened(folder, how, name, files)
        if "b2" in name:
            Image.fromarray(draw(1, 5)[0]).save(here / "made/b2/3.png")
        return found

    monkeypatch.setattr(production_watch, "open_named", grown)
    assert ask() == 0
    told = capsys.readouterr()
    assert "batch b2 waits: it changed while it was read" in told.err and told.out.count("no alarm") == 1
    monkeypatch.undo()
    monkeypatch.chdir(here)
    assert ask() == 0
    assert capsys.readouterr().out.count("no alarm") == 1


def test_following_ends_at_the_first_alarm(here: Path):
    waited: list[float] = []

    def sleep(seconds: float) -> None:
        waited.append(seconds)
        assert len(waited) < 4, "it waits for ever"
        if len(waited) == 2:
            save(here / "made/b3", draw(50, 3, brighter=60))

    asked = FolderOptions(folder=Path("made"), real="real.npy", settle=0.0, rate=0.5)
    assert watch_folder(asked, 3600.0, as_json=True, sleep=sleep) == 3
    assert waited == [3600.0, 3600.0]


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["watch"], "imagelab watch --folder DIR --real REAL"),
        (["watch", "--folder", "made"], "imagelab watch --folder DIR --real REAL"),
        (["watch", "run", "--folder", "made"], "not both"),
        (["watch", "--folder", "made", "--real", "real.npy", "--batch", "hour"], "--batch: expected subfolder, day"),
        (["watch", "--folder", "made", "--real", "real.npy", "--every", "soon"], "--every: expected a time above 0"),
    ],
)
def test_a_wrong_command_says_what_is_expected(words: list[str], told: str, capsys: pytest.CaptureFixture[str]):
    with pytest.raises(SystemExit) as left:
        main(words)
    assert left.value.code == 2 and told in " ".join(capsys.readouterr().err.split())


def test_times_are_read_with_their_unit():
    assert [seconds_of(text, "--every") for text in ("10", "30s", "5m", "1.5h", "1d")] == [10, 30, 300, 5400, 86400]
