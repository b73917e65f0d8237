"""Whatever is changed in a finished run is named, by whatever opens it; nothing outside of it is ever written."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from imagelab import Experiment, Gaussian, Runtime, Textures, Vae, run
from imagelab.cli import main
from imagelab.io.manifest import MANIFEST, file_digest, with_checksum
from imagelab.report import write_report
from imagelab.run_folder import RunFolder
from imagelab.runs.branch import branch, branched
from imagelab.runs.check import check_run, made_otherwise


def tiny(runs: Path, **changes: object) -> Experiment:
    settings: dict[str, object] = {
        "name": "tiny",
        "data": Textures(size=16),
        "generator": Gaussian(components=2),
        "arms": (Vae(latent=2, details=2, width=8, images_seen=24, batch=8, crop=16),),
        "generations": 2,
        "images": 12,
        "heldout": 12,
        "tracked": 1,
        "metrics": ("pixel_variance", "frechet"),  # frechet keeps features in the run folder
        "runtime": Runtime(runs=runs, device="cpu", threads=1),
        **changes,
    }
    return Experiment(**settings)  # pyright: ignore[reportArgumentType]


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = run(tiny(tmp_path_factory.mktemp("runs")))
    write_report(folder.path)
    return folder.path


@pytest.fixture(scope="module")
def cousin(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same experiment with another seed: a run of another signature."""
    return run(tiny(tmp_path_factory.mktemp("runs"), seed=1)).path


@pytest.fixture
def copy(made: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(made, tmp_path / made.name))


def command(*words: str) -> int:
    with pytest.raises(SystemExit) as left:
        main(list(words))
    return int(left.value.code or 0)


def named(copy: Path, what: str) -> None:
    """Assert that every command names the damage: opening, checking, and each command on the terminal."""
    with pytest.raises(ValueError, match=what):
        RunFolder.open(copy)
    assert check_run(copy).problems


def flip(path: Path, at: int, bit: int = 0) -> None:
    content = bytearray(path.read_bytes())
    content[at] ^= 1 << bit
    path.write_bytes(bytes(content))


SEALED = (
    *("gen-000/images.npy", "gen-000/heldout.npy", "gen-000/truth.npz", "gen-001/images.npy", "gen-001/pool.npz"),
    *("gen-001/metrics.jsonl", "gen-001/grid.png", "gen-001/probe.npy", "gen-001/model/config.json"),
    *(
        "gen-001-line-1/model/diffusion_pytorch_model.safetensors",
        "gen-001-line-1/train.jsonl",
        "gen-002/photocopy.npy",
    ),
)


@pytest.mark.parametrize("name", SEALED)
@pytest.mark.parametrize("damage", ["flip", "cut", "append", "empty", "delete", "link", "folder"])
def test_a_changed_file_of_a_generation_is_named_when_the_run_is_opened(copy: Path, name: str, damage: str):
    path = copy / name
    if damage == "flip":
        flip(path, len(path.read_bytes()) // 2)
    elif damage == "cut":
        os.truncate(path, path.stat().st_size - 1)
    elif damage == "append":
        path.write_bytes(path.read_bytes() + b"\0")
    elif damage == "empty":
        path.write_bytes(b"")
    else:
        path.rename(copy / "moved")
        if damage == "link":
            path.symlink_to(copy / "moved")
        elif damage == "folder":
            path.mkdir()
    named(copy, path.name.replace(".", r"\."))


@pytest.mark.parametrize("name", ["config.json", "provenance.json", "seals.json", f"gen-001/{MANIFEST}"])
def test_every_flipped_bit_of_a_record_is_named_or_changes_nothing(copy: Path, name: str):
    path = copy / name
    whole, rng = path.read_bytes(), np.random.default_rng(0)
    silent = 0
    for at in rng.integers(0, len(whole), 120):
        flip(path, int(at), int(rng.integers(8)))
        try:
            changed = json.loads(path.read_bytes()) != json.loads(whole)
        except ValueError:
            changed = True
        silent += changed and not check_run(copy).problems if name != "config.json" else changed and _opens(copy)
        path.write_bytes(whole)
    assert silent == 0


def _opens(path: Path) -> bool:
    try:
        RunFolder.open(path)
    except ValueError as error:
        assert len(str(error)) < 1000
        return False
    return True


def test_a_change_that_keeps_size_and_times_is_named_when_the_file_is_read_and_by_check(copy: Path):
    path = copy / "gen-001" / "images.npy"
    folder = RunFolder.open(copy)
    times = path.stat()
    flip(path, 400)
    os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns))
    with pytest.raises(ValueError, match=r"gen-001/images\.npy: was changed since it was written"):
        folder.images(1)
    os.utime(copy / "gen-001" / MANIFEST)  # the manifest is now the newest file, so that nothing looks newer
    assert RunFolder.open(copy).shards()
    assert [problem.where for problem in check_run(copy).problems] == ["gen-001/images.npy"]
    assert not check_run(copy, read_data=False).problems


def test_a_file_is_compared_again_when_it_is_replaced_after_it_was_read(copy: Path):
    folder = RunFolder.open(copy)
    folder.images(1)
    path = copy / "gen-001" / "images.npy"
    other = copy / "gen-002" / "images.npy"
    shutil.copyfile(other, copy / "new.npy")
    (copy / "new.npy").replace(path)
    with pytest.raises(ValueError, match="was changed since it was written"):
        folder.images(1)


def test_a_linked_folder_inside_a_generation_is_named(copy: Path):
    model = copy / "gen-001" / "model"
    model.rename(copy.parent / "elsewhere")
    model.symlink_to(copy.parent / "elsewhere")
    named(copy, r"model/config\.json: .*model: is a link")


def test_swapped_renamed_and_missing_generations_are_named(copy: Path):
    (copy / "gen-001").rename(copy / "kept")
    with pytest.raises(ValueError, match=r"gen-001: is missing(.|\n)*resume"):
        RunFolder.open(copy)
    (copy / "gen-002").rename(copy / "gen-001")
    (copy / "kept").rename(copy / "gen-002")
    named(copy, "gen-001: holds generation 2: it was renamed or swapped")


def test_a_generation_of_another_run_is_named(copy: Path, cousin: Path):
    shutil.rmtree(copy / "gen-002")
    shutil.copytree(cousin / "gen-002", copy / "gen-002")
    named(copy, "gen-002: is part of another run")


def test_a_generation_of_another_training_of_the_same_experiment_is_named(copy: Path):
    """Its signature fits, but it is not what later generations were made from, or not what seals.json lists."""
    manifest = json.loads((copy / "gen-001" / MANIFEST).read_text())
    images = copy / "gen-001" / "images.npy"
    flip(images, 500)
    manifest["files"]["images.npy"][1] = file_digest(images)
    (copy / "gen-001" / MANIFEST).write_text(json.dumps(with_checksum(manifest)))
    named(copy, "gen-002: was made from another gen-001 than the one that is here")
    (copy / "seals.json").unlink()
    named(copy, "gen-002: was made from another gen-001 than the one that is here")


def test_the_last_generation_of_another_training_is_named_by_the_seals(copy: Path):
    manifest = json.loads((copy / "gen-002" / MANIFEST).read_text())
    images = copy / "gen-002" / "images.npy"
    flip(images, 500)
    manifest["files"]["images.npy"][1] = file_digest(images)
    (copy / "gen-002" / MANIFEST).write_text(json.dumps(with_checksum(manifest)))
    named(copy, "gen-002: is not the one that this run made")


def test_an_empty_generation_is_named_and_made_again(copy: Path, made: Path, capfd: pytest.CaptureFixture[str]):
    shutil.rmtree(copy / "gen-002")
    (copy / "gen-002").mkdir()
    with pytest.raises(ValueError, match="gen-002: is empty"):
        RunFolder.open(copy)
    assert command("resume", str(copy)) == 0
    assert "was empty; it was made again" in " ".join(capfd.readouterr().err.split())
    assert (copy / "gen-002" / "images.npy").read_bytes() == (made / "gen-002" / "images.npy").read_bytes()
    assert not check_run(copy).problems


def test_a_half_copied_generation_is_named_and_never_taken_for_whole(copy: Path):
    (copy / "gen-002" / MANIFEST).unlink()
    named(copy, "gen-002: is not whole: it has no manifest")
    assert not RunFolder(copy).has(2)


def test_a_removed_generation_is_made_again_to_the_same_bytes(copy: Path, made: Path):
    shutil.rmtree(copy / "gen-001")
    assert command("resume", str(copy)) == 0
    for name in ("images.npy", "metrics.jsonl", "model/model.safetensors"):
        assert (copy / "gen-001" / name).read_bytes() == (made / "gen-001" / name).read_bytes()
    assert not check_run(copy).problems


def test_a_file_that_the_run_did_not_write_is_never_read(copy: Path):
    planted = copy / "gen-001" / "curation.npz"
    np.savez(planted, rows=np.zeros(12, np.int64))
    folder = RunFolder.open(copy)
    assert folder.candidates(1).tolist() == list(range(12))
    assert [problem.where for problem in check_run(copy).problems] == ["gen-001/curation.npz"]
    with pytest.raises(ValueError, match="is not part of what was written here"):
        folder.file(1, 0, "curation.npz")


def test_a_foreign_file_beside_a_model_is_named_when_the_run_is_opened(copy: Path):
    (copy / "gen-001-line-1" / "model" / "diffusion_pytorch_model.bin").write_bytes(b"\x80")
    named(copy, r"model/diffusion_pytorch_model\.bin: was not written by the run")


@pytest.mark.parametrize(
    "words",
    [
        ("report",),
        ("watch",),
        ("cite",),
        ("compare", "RUN"),
        ("grid", "-o", "grid.png"),
        ("animate", "-o", "a.webp"),
        ("slides", "-o", "a.pptx"),
        ("export", "--generation", "2", "-o", "set"),
        ("resume",),
        ("check", "--quick"),
    ],
    ids=lambda words: words[0],
)
def test_every_command_names_a_swap_in_one_message_and_writes_nothing(
    copy: Path, words: tuple[str, ...], capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.chdir(copy.parent)
    for old, new in (("gen-001", "kept"), ("gen-002", "gen-001"), ("kept", "gen-002")):
        (copy / old).rename(copy / new)
    before = sorted(copy.rglob("*"))
    assert command(words[0], str(copy), *(str(copy) if word == "RUN" else word for word in words[1:])) == 1
    said = capfd.readouterr()
    assert "gen-001: holds generation 2" in said.out + said.err and "Traceback" not in said.err
    assert sorted(copy.rglob("*")) == before and not list(copy.parent.glob("grid.png"))


def test_measure_and_branch_name_it_too(copy: Path, capfd: pytest.CaptureFixture[str]):
    flip(copy / "gen-001" / "images.npy", 300)
    assert command("measure", f"{copy}@0", f"{copy}@2", "--metrics", "pixel_variance") == 1
    assert command("branch", str(copy), "--at", "1", "--generations", "3") == 1
    assert capfd.readouterr().err.count("gen-001/images.npy: was changed") == 2


# -- links in a run folder that somebody else made


@pytest.fixture
def precious(tmp_path: Path) -> Path:
    folder = tmp_path / "precious"
    (folder / "deep").mkdir(parents=True)
    (folder / "thesis.tex").write_text("the only copy")
    (folder / "deep" / "data.csv").write_text("1,2")
    return folder


def untouched(precious: Path) -> bool:
    files = {path.relative_to(precious).as_posix(): path.read_text() for path in precious.rglob("*") if path.is_file()}
    return files == {"thesis.tex": "the only copy", "deep/data.csv": "1,2"}


PLANTED: dict[str, Callable[[Path, Path], None]] = {
    "partial shard": lambda run, out: (run / "gen-002.partial").symlink_to(out),
    "inside a partial shard": lambda run, out: (
        (run / "gen-002.partial").mkdir(),
        (run / "gen-002.partial" / "model").symlink_to(out),
        (run / "gen-002.partial" / "checkpoint.safetensors").symlink_to(out / "thesis.tex"),
    )[0],
    "lock": lambda run, out: (
        (run / "run.lock").unlink(),
        (run / "run.lock").symlink_to(out / "thesis.tex"),
    )[0],
    "measurements": lambda run, out: (
        (run / "metrics.jsonl").unlink(),
        (run / "metrics.jsonl").symlink_to(out / "thesis.tex"),
    )[0],
    "provenance": lambda run, out: (
        (run / "provenance.json").unlink(),
        (run / "provenance.json").symlink_to(out / "thesis.tex"),
    )[0],
    "old temporary name": lambda run, out: (run / "metrics.jsonl.partial").symlink_to(out / "thesis.tex"),
    "report": lambda run, out: (shutil.rmtree(run / "report"), (run / "report").symlink_to(out))[0],
    "page of the report": lambda run, out: (
        (run / "report" / "index.html").unlink(),
        (run / "report" / "index.html").symlink_to(out / "thesis.tex"),
    )[0],
    "finished shard": lambda run, out: (run / "gen-002").symlink_to(out),
    "features": lambda run, out: (
        shutil.rmtree(run / "gen-000" / "features", ignore_errors=True),
        (run / "gen-000" / "features").symlink_to(out),
    )[0],
}


@pytest.mark.parametrize("planted", PLANTED)
def test_no_command_writes_empties_or_copies_through_a_link_in_a_run_folder(
    copy: Path, precious: Path, planted: str, tmp_path: Path
):
    shutil.rmtree(copy / "gen-002")
    PLANTED[planted](copy, precious)
    for words in (("resume",), ("report",), ("resume",), ("export", "--generation", "1", "-o", str(tmp_path / "set"))):
        command(words[0], str(copy), *words[1:])
        assert untouched(precious), words
    for path in (tmp_path / "set").rglob("*"):
        assert not path.is_symlink() and b"the only copy" not in (path.read_bytes() if path.is_file() else b"")


# -- what a branch shares, and what check says


def test_a_branch_shares_no_bytes_with_its_stem_and_refuses_a_damaged_one(copy: Path, tmp_path: Path):
    stem = RunFolder.open(copy)
    other = branched(tiny(copy.parent), tiny(tmp_path / "other", generations=3), 2)
    folder = branch(stem, other, 2)
    assert not [path for path in folder.path.rglob("*") if path.is_file() and path.stat().st_nlink > 1]
    flip(folder.path / "gen-001" / "images.npy", 300)
    assert not check_run(copy).problems, "the stem was changed through its branch"
    shutil.rmtree(folder.path)
    flip(copy / "gen-001" / "grid.png", 99)
    with pytest.raises(ValueError, match=r"grid\.png: was changed"):
        branch(stem, other, 2)
    assert not (other.folder / "gen-001").exists()


def test_check_says_that_a_whole_run_is_whole_and_how_much_it_read(made: Path, capfd: pytest.CaptureFixture[str]):
    assert command("check", str(made)) == 0
    assert "5 finished generation folders" in (said := capfd.readouterr().out) and "MB read and compared" in said
    assert command("check", str(made), "--quick") == 0
    assert "the data were not read: nothing differs" in capfd.readouterr().out
    assert check_run(made).compared == sum(
        size
        for shard in RunFolder(made).shards()
        for size, _ in RunFolder(made).manifest(*shard).files.values()  # pyright: ignore[reportOptionalMemberAccess]
    )


def test_check_names_what_to_remove_and_what_was_made_from_it(copy: Path):
    flip(copy / "gen-001" / "images.npy", 300)
    result = check_run(copy)
    assert [problem.where for problem in result.problems] == ["gen-001/images.npy"]
    advice = " ".join(result.advice)
    assert f"rm -r {copy}/gen-001 {copy}/gen-002; then: imagelab resume" in advice and "gen-002 made from it" in advice
    for name in ("gen-001", "gen-002"):
        shutil.rmtree(copy / name)
    assert command("resume", str(copy)) == 0 and not check_run(copy).problems


def test_check_reads_a_run_of_a_version_without_manifests_and_says_what_it_cannot_say(copy: Path):
    for path in copy.rglob(MANIFEST):
        path.unlink()
    (copy / "seals.json").unlink()
    for name in ("config.json", "provenance.json"):
        record = json.loads((copy / name).read_text())
        (copy / name).write_text(json.dumps({key: value for key, value in record.items() if key != "checksum"}))
    result = check_run(copy)
    assert not result.problems and "before manifests" in result.notes[0]
    assert RunFolder.open(copy).measurements()
    (copy / "gen-001" / "pool.npz").write_bytes(b"PK")
    assert [problem.where for problem in check_run(copy).problems] == ["gen-001/pool.npz"]
    config = (copy / "config.json").read_text()
    (copy / "config.json").write_text(config.replace('"images": 12', '"images": 9999'))
    assert [problem.where for problem in check_run(copy).problems] == ["config.json"]


def test_a_run_of_a_version_without_manifests_goes_on_and_seals_what_it_makes(copy: Path, made: Path):
    for path in [*copy.rglob(MANIFEST), copy / "seals.json"]:
        path.unlink()
    config = json.loads((copy / "config.json").read_text())
    (copy / "config.json").write_text(json.dumps({k: v for k, v in config.items() if k != "checksum"}))
    shutil.rmtree(copy / "gen-002")
    assert command("resume", str(copy)) == 0
    assert (copy / "gen-002" / MANIFEST).exists()
    assert (copy / "gen-002" / "images.npy").read_bytes() == (made / "gen-002" / "images.npy").read_bytes()


def test_settings_that_differ_between_generations_are_listed():
    alike = {"device": "cpu", "batch": 256, "threads": 1, "processes": 1, "flags": {}, "imagelab": "1", "torch": "2"}
    assert made_otherwise({"gen-000": alike, "gen-001": alike}) == []
    for key in alike:
        (sentence,) = made_otherwise({"gen-000": alike, "gen-001": {**alike, key: "other"}})
        assert sentence.startswith(f"{key}: ") and sentence.endswith(
            "other for gen-001. Sums may be rounded differently."
        )
