from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest

from imagelab.cli.entry import main
from imagelab.cli.pictures import most_alike
from imagelab.data import Faces
from imagelab.run_folder import RunFolder
from imagelab.runs.shard_files import write_npy


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run whose generation 1 kept every face and whose generation 2 lost the rare attributes."""
    path = tmp_path_factory.mktemp("runs") / "kept-00000000"
    sample = Faces(size=64).load("train", 240, seed=0)
    folder = RunFolder.create(path, {"schema": 1, "signature": "0" * 8, "experiment": {"generations": 2}})
    plain = ~np.any([v for k, v in sample.attributes.items() if 0 < v.mean() < 0.05], axis=0)
    for generation, images in enumerate((sample.images, sample.images, sample.images[plain])):
        shard = folder.begin(generation)
        write_npy(shard / "images.npy", images)
        write_npy(shard / "probe.npy", images[:4])
        write_npy(shard / "photocopy.npy", images[:4])
        (shard / "metrics.jsonl").write_text("")
        folder.commit(generation)
    return path


def exit_code(*words: object) -> int:
    with pytest.raises(SystemExit) as stopped:
        main([str(word) for word in words])
    return int(stopped.value.code or 0)


def test_the_face_most_like_a_rare_attribute_is_found_and_missed_when_it_is_gone(run: Path):
    found = most_alike(RunFolder.open(run))
    assert found and all(set(images) == {0, 1, 2} for images in found.values())
    kept, gone = (np.mean([images[g][1] for images in found.values()]) for g in (1, 2))
    assert kept == 1.0 and gone < 0.5
    for images in found.values():
        np.testing.assert_array_equal(images[0][0], images[1][0])


def test_every_kind_of_grid_is_one_command(run: Path, tmp_path: Path):
    for kind in ("seeds", "photocopy", "changed", "nearest", "rare"):
        assert exit_code("grid", run, "--kind", kind, "-o", tmp_path / f"{kind}.png", "--dpi", 200) == 0
        assert (tmp_path / f"{kind}.png").exists() and (tmp_path / f"{kind}.txt").exists()


def test_scores_are_kept_in_the_cache_and_give_the_same_faces(
    run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("IMAGELAB_CACHE", str(tmp_path / "cache"))
    before = sorted(path.name for path in run.rglob("*"))
    first = most_alike(RunFolder.open(run))
    kept = sorted((tmp_path / "cache" / "features").glob("odds-*.npz"))
    times = [path.stat().st_mtime_ns for path in kept]
    second = most_alike(RunFolder.open(run))
    assert len(kept) == 2, "generations 0 and 1 are the same images, generation 2 is another set"
    assert [path.stat().st_mtime_ns for path in kept] == times
    assert sorted(path.name for path in run.rglob("*")) == before
    for name, images in first.items():
        for generation, (face, called) in images.items():
            np.testing.assert_array_equal(face, second[name][generation][0])
            assert called == second[name][generation][1]


def test_all_generations_can_be_asked_for(run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    for kind in ("seeds", "rare"):
        out = tmp_path / f"{kind}.png"
        assert exit_code("grid", run, "--kind", kind, "--generations", "all", "-o", out, "--dpi", 200) == 0
        assert re.search("real.*generation 1.*generation 2", out.with_suffix(".txt").read_text())
    assert exit_code("grid", run, "--generations", "some", "-o", tmp_path / "a.png") == 2
    assert "such as 0 1 5 10, or the word all, got 'some'" in " ".join(capsys.readouterr().err.split())


def test_a_still_is_one_command(run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    assert exit_code("animate", run, "-o", tmp_path / "still.png", "--which", "tracked", "--still") == 0
    assert "still:" in capsys.readouterr().out and (tmp_path / "still.png").exists()


def test_an_animation_is_one_command(run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    assert exit_code("animate", run, "-o", tmp_path / "loop.webp", "--which", "tracked") == 0
    assert "animation:" in capsys.readouterr().out and (tmp_path / "loop.webp").exists()


def test_mistakes_are_answered_in_words(run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    assert exit_code("grid", run, "--kind", "rare", "--generations", 7, "-o", tmp_path / "a.png") == 1
    assert exit_code("grid", tmp_path, "-o", tmp_path / "a.png") == 1
    assert exit_code("grid", run, "--columns", 0, "-o", tmp_path / "a.png") == 2
    said = " ".join(capsys.readouterr().err.split())
    assert "has 0 to 2, got 7" in said and "not a run folder" in said and "expected at least 1, got 0" in said
