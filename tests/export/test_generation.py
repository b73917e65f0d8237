from __future__ import annotations

import hashlib
import io
import json
import os
import re
import resource
import shutil
import subprocess
import sys
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from markdown_it import MarkdownIt
from PIL import Image

from imagelab import Ddpm, Experiment, Faces, Gaussian, Runtime, Vae
from imagelab.export.generation import FORMATS, Format, export_generation
from imagelab.generators import RunContext
from imagelab.io.disk import NotStored
from imagelab.io.marks import claimed_origin
from imagelab.io.run_records import write_record
from imagelab.lab import run_generations
from imagelab.report import write_report
from imagelab.report.slides import write_slides
from imagelab.run_folder import RunFolder
from imagelab.runs.environment import provenance
from imagelab.runs.prepare import open_run
from imagelab.seeds import image_seeds


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> RunFolder:
    experiment = Experiment(
        name="tiny",
        data=Faces(size=32, cache=False),
        generator=Gaussian(components=4),
        generations=2,
        images=12,
        heldout=12,
        tracked=2,
        metrics=("pixel_variance",),
        runtime={"runs": tmp_path_factory.mktemp("runs")},  # pyright: ignore[reportArgumentType]
    )
    opened = open_run(experiment)
    opened.write_provenance(provenance(experiment, opened, RunContext()))
    for _ in run_generations(experiment, opened, RunContext()):
        continue
    return opened


def rows_of(form: Format, out: Path) -> list[tuple[bytes, dict[str, object]]]:
    """Return (PNG, metadata) of every exported image, read as the usual readers of the format do."""
    if form == "imagefolder":
        lines = [json.loads(line) for line in (out / "train" / "metadata.jsonl").read_text().splitlines()]
        return [((out / "train" / line.pop("file_name")).read_bytes(), line) for line in lines]
    if form == "parquet":
        import pyarrow.parquet as pq

        table = pq.read_table(out / "train-00000-of-00001.parquet").to_pylist()
        return [(row.pop("image")["bytes"], row) for row in table]
    with tarfile.open(out / "train-00000.tar") as tar:
        found = {entry.name: tar.extractfile(entry).read() for entry in tar}  # pyright: ignore[reportOptionalMemberAccess]
    return [(png, json.loads(found[name[:-3] + "json"])) for name, png in found.items() if name.endswith("png")]


@pytest.mark.parametrize("form", ["imagefolder", "parquet", "webdataset"])
def test_every_image_comes_back_to_the_byte_with_where_it_came_from(form: Format, folder: RunFolder, tmp_path: Path):
    out = export_generation(folder.path, 2, tmp_path / "out", form)
    images, seeds = folder.images(2), image_seeds(0, "sample", 2, 0, range(12))
    rows = rows_of(form, out)
    assert len(rows) == 12 and not (tmp_path / "out.partial").exists()
    for row, (png, facts) in enumerate(rows):
        with Image.open(io.BytesIO(png)) as opened:
            pixels = np.asarray(opened)
            assert claimed_origin(opened.info["XML:com.adobe.xmp"]) == "model"
            assert json.loads(opened.info["imagelab"]) == facts
        np.testing.assert_array_equal(pixels.transpose(2, 0, 1), images[row])
        assert (facts["generation"], facts["line"], facts["row"]) == (2, 0, row)
        assert facts["noise_seed"] == str(seeds[row]) and facts["synthetic"] is True
        assert facts["trained_on"] == folder.pool(2).digest()
        assert facts["sha256"] == hashlib.sha256(pixels.tobytes()).hexdigest()
    assert "self-consuming loop" in (out / "README.md").read_text()


@pytest.mark.parametrize("form", ["imagefolder", "parquet", "webdataset"])
def test_hugging_face_datasets_reads_it(
    form: Format, folder: RunFolder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("HF_DATASETS_OFFLINE", "1")
    from datasets import load_dataset

    out = export_generation(folder.path, 1, tmp_path / "out", form)
    files = {"imagefolder": "train/**", "parquet": "*.parquet", "webdataset": "*.tar"}[form]
    found = load_dataset(form, data_files=str(out / files), split="train", cache_dir=str(tmp_path / "cache"))
    assert len(found) == 12
    row: Any = next(iter(found))
    image = row.get("image", row.get("png"))
    np.testing.assert_array_equal(np.asarray(image).transpose(2, 0, 1), folder.images(1)[0])


def test_real_images_are_not_called_synthetic(folder: RunFolder, tmp_path: Path):
    (png, facts), *_ = rows_of("imagefolder", export_generation(folder.path, 0, tmp_path / "out"))
    assert facts["synthetic"] is False and "noise_seed" not in facts
    with Image.open(io.BytesIO(png)) as opened:
        assert claimed_origin(opened.info["XML:com.adobe.xmp"]) == "drawn"


@pytest.mark.parametrize("form", ["imagefolder", "parquet", "webdataset"])
def test_real_images_keep_what_the_dataset_states_of_them(form: Format, folder: RunFolder, tmp_path: Path):
    out = export_generation(folder.path, 0, tmp_path / "out", form)
    known = Faces(size=32, cache=False).load("train", 12, 0).attributes
    rows = rows_of(form, out)
    assert len(known) > 20 and any(column.any() for column in known.values())
    for row, (_, facts) in enumerate(rows):
        assert facts["attributes"] == {name: bool(column[row]) for name, column in known.items()}
        assert facts["label"] == "real"
    assert "`attributes`: what the dataset states" in (out / "README.md").read_text()
    made = rows_of(form, export_generation(folder.path, 1, tmp_path / "made", form))
    assert all("attributes" not in facts and facts["label"] == "synthetic" for _, facts in made)


def test_attributes_of_another_form_are_named(folder: RunFolder, tmp_path: Path):
    run = unsealed(copy_of(folder, tmp_path))
    np.savez(run / "gen-000" / "truth.npz", glasses=np.zeros(5, bool))
    with pytest.raises(ValueError, match=r"truth\.npz: glasses: expected bool \[12\], got bool \[5\]"):
        export_generation(run, 0, tmp_path / "out")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("generation", [0, 1])
@pytest.mark.parametrize("form", ["imagefolder", "parquet", "webdataset"])
def test_the_code_on_the_card_of_a_dataset_loads_it(
    form: Format, generation: int, folder: RunFolder, tmp_path: Path, run_code_of: RunCode
):
    out = export_generation(folder.path, generation, tmp_path / "out", form)
    run_code_of(out, tmp_path, {"HF_HUB_OFFLINE": "1", "HF_HOME": str(tmp_path / "hf")})
    with Image.open(out / "first.png") as first:
        np.testing.assert_array_equal(
            np.asarray(first).transpose(2, 0, 1), folder.images(generation, -(not generation))[0]
        )


def code_of(out: Path) -> str:
    """Return the code of a card."""
    (block,) = re.findall(r"```python\n(.*?)```", (out / "README.md").read_text(), re.DOTALL)
    return block


RunCode = Callable[[Path, Path, "dict[str, str]"], None]


@pytest.fixture
def run_code_of(warm: Callable[..., subprocess.CompletedProcess[str]]) -> RunCode:
    """Return a function that runs the code of a card literally, in its folder and in a process of its own."""

    def run_code(out: Path, home: Path, environment: dict[str, str]) -> None:
        known = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2]), **environment}
        done = warm("-c", code_of(out), cwd=out, env=known)
        assert done.returncode == 0, done.stderr
        assert home in out.parents

    return run_code


@pytest.mark.parametrize("generation", [0, 2])
def test_the_card_names_the_reference_and_its_size(generation: int, folder: RunFolder, tmp_path: Path):
    text = (export_generation(folder.path, generation, tmp_path / "out") / "README.md").read_text()
    assert "The reference is the run's 12 held-out real images (heldout.npy)" in text
    assert ("which are exported here" in text) is (generation == 0)
    assert yaml.safe_load(text.split("---\n")[1])["size_categories"] == ["n<1K"]


def test_a_model_leaves_with_its_card(folder: RunFolder, tmp_path: Path):
    out = export_generation(folder.path, 2, tmp_path / "model", "model")
    card = (out / "README.md").read_text()
    assert (out / "config.json").exists() and folder.pool(2).digest() in card
    assert "0.0% of them real" in card and "| pixel_variance |" in card


def small_run(runs: Path, **settings: Any) -> RunFolder:
    """Carry out one generation of four images on 32 px faces."""
    settings = {"data": Faces(size=32, cache=False), "images": 4, "heldout": 4, "tracked": 1, **settings}
    experiment = Experiment(
        name="small", generations=1, metrics=("pixel_variance",), runtime=Runtime(runs=runs), **settings
    )
    opened = open_run(experiment)
    opened.write_provenance(provenance(experiment, opened, RunContext()))
    for _ in run_generations(experiment, opened, RunContext()):
        continue
    return opened


TINY: dict[str, Any] = {"channels": (8, 16), "blocks": 1, "attention": False, "images_seen": 0, "steps": 2}
MODELS: dict[str, tuple[Any, str]] = {
    "vae": (Vae(latent=4, width=8, details=1, images_seen=8, batch=4, crop=8), "imagelab"),
    "gaussian": (Gaussian(components=2), "imagelab"),
    "pixels": (Ddpm(**TINY), "diffusers"),
    "patches": (Ddpm(**TINY, patch=4), "imagelab"),
}


@pytest.mark.slow
@pytest.mark.parametrize("name", MODELS)
def test_the_code_on_the_card_of_a_model_opens_it_and_draws(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, run_code_of: RunCode
):
    recipe, library = MODELS[name]
    run = small_run(tmp_path / "runs", generator=recipe)
    out = export_generation(run.path, 1, tmp_path / "model", "model")
    front = yaml.safe_load((out / "README.md").read_text().split("---\n")[1])
    assert front["library_name"] == library and (out / "model_index.json").exists() is (library == "diffusers")
    if name in ("vae", "pixels"):
        run_code_of(out, tmp_path, {})
    else:  # the same card: its other recipes need no process of their own
        monkeypatch.chdir(out)
        exec(compile(code_of(out), "card", "exec"), {})
    with Image.open(out / "drawn.png") as drawn:
        pixels = np.asarray(drawn).transpose(2, 0, 1)
    assert pixels.shape == (3, 32, 32)
    if library == "imagelab":
        model = recipe.load(run.checked(1) / "model", RunContext())
        np.testing.assert_array_equal(pixels, model.sample(np.arange(1, dtype=np.uint64))[0])


def test_the_models_of_other_chains_and_of_the_blank_twin_are_exported_with_their_recipes(tmp_path: Path):
    arm, main = Gaussian(components=2), Gaussian(components=3)
    run = small_run(tmp_path / "runs", generator=main, arms=(arm,), replicates=2, blank_twins=1)
    for line, components in ((0, 3), (1, 2), (2, 3), (3, 2), (4, 3)):
        out = export_generation(run.path, 1, tmp_path / f"model-{line}", "model", line)
        assert f"Gaussian(components={components})" in (out / "README.md").read_text(), line


def test_a_recipe_that_is_none_of_ours_is_no_code(folder: RunFolder, tmp_path: Path):
    run = copy_of(folder, tmp_path)
    config = folder.config
    config["experiment"]["generator"] = {"kind": "gaussian", "components": "__import__('os')"}
    rewrite(run, config, folder.provenance)
    text = (export_generation(run, 1, tmp_path / "out", "model") / "README.md").read_text()
    assert "```python" not in text and "is not one of this version of imagelab" in text


@pytest.mark.parametrize("form", ["imagefolder", "model"])
def test_no_card_tells_where_the_pictures_lay_on_the_makers_machine(form: Format, folder: RunFolder, tmp_path: Path):
    copy = Path(shutil.copytree(folder.path, tmp_path / folder.path.name))
    config, known = folder.config, folder.provenance
    config["experiment"]["data"] = {"kind": "folder", "path": "/home/ada/faces"}
    known["data"]["card"] = "Pictures of the folder /home/ada/faces."
    (copy / "config.json").write_text(json.dumps(config))
    (copy / "provenance.json").write_text(json.dumps(known))
    card = (export_generation(copy, 1, tmp_path / "out", form) / "README.md").read_text()
    assert "ada" not in card and "Pictures of the folder faces." in card
    assert "license: other" in card or form == "model"


@pytest.mark.parametrize(
    ("generation", "form", "said"),
    [
        (7, "imagefolder", "has generations 0 to 2 of line 0, not 7"),
        (0, "model", "no model made it"),
        (1, "zip", "format"),
    ],
)
def test_what_cannot_be_written_is_refused(generation: int, form: Format, said: str, folder: RunFolder, tmp_path: Path):
    with pytest.raises(ValueError, match=said):
        export_generation(folder.path, generation, tmp_path / "out", form)
    assert not list(tmp_path.iterdir()) and len(FORMATS) == 4


def test_a_line_that_is_not_there_is_told_by_the_lines_that_are(folder: RunFolder, tmp_path: Path):
    with pytest.raises(ValueError, match=r"has lines 0.*, got 7"):
        export_generation(folder.path, 1, tmp_path / "out", line=7)
    assert not list(tmp_path.iterdir())


def test_nothing_is_written_over(folder: RunFolder, tmp_path: Path):
    (tmp_path / "out").mkdir()
    with pytest.raises(ValueError, match="exists already"):
        export_generation(folder.path, 1, tmp_path / "out")


def test_a_failure_leaves_nothing_behind(folder: RunFolder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("imagelab.export.generation._dataset_card", lambda *_: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        export_generation(folder.path, 1, tmp_path / "out")
    assert not list(tmp_path.iterdir())


def copy_of(folder: RunFolder, tmp_path: Path) -> Path:
    return Path(shutil.copytree(folder.path, tmp_path / folder.path.name))


def unsealed(run: Path) -> Path:
    """Make a copied run look like one of a version before manifests: no command can notice a changed byte in it."""
    for manifest in run.rglob("manifest.json"):
        manifest.unlink()
    (run / "seals.json").unlink()
    for record in (run / "config.json", run / "provenance.json"):
        content = json.loads(record.read_text())
        del content["checksum"]
        record.write_text(json.dumps(content))
    return run


@pytest.mark.parametrize("sealed", [True, False])
@pytest.mark.parametrize("name", ["model/note.txt", "model/config.json", "images.npy", "pool.npz", "model", ""])
@pytest.mark.parametrize("form", FORMATS)
def test_nothing_is_copied_through_a_link_in_a_run(
    form: Format, name: str, sealed: bool, folder: RunFolder, tmp_path: Path
):
    run = copy_of(folder, tmp_path)
    if not sealed:
        unsealed(run)
    place, secret = run / "gen-002" / name, tmp_path / "secret"
    if place.exists():
        place.rename(secret)  # what the run itself wrote, but in another place
    else:
        secret.write_text("BEGIN PRIVATE KEY")
    place.symlink_to(secret)
    export = lambda: export_generation(run, 2, tmp_path / "out", form)  # noqa: E731
    if form != "model" and name.startswith("model") and not sealed:  # not read, and not copied
        assert not any("model" in path or b"PRIVATE KEY" in data for path, data in content(export()).items())
        return
    with pytest.raises(ValueError, match=r"(?s)gen-002.*(is a link|was not written by the run|is not part of|not 2)"):
        export()
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("name", ["images.npy", "probe.npy", "metrics.jsonl", "model/note.txt"])
def test_no_slide_and_no_report_shows_what_a_link_leads_to(name: str, folder: RunFolder, tmp_path: Path):
    run = copy_of(folder, tmp_path)
    place, secret = run / "gen-002" / name, tmp_path / "secret"
    if place.exists():
        place.rename(secret)
    else:
        secret.write_text("BEGIN PRIVATE KEY")
    place.symlink_to(secret)
    for write in (lambda: write_report(run, tmp_path / "out"), lambda: write_slides([run], tmp_path / "deck.pptx")):
        with pytest.raises(ValueError, match=r"gen-002"):
            write()
    assert not (tmp_path / "deck.pptx").exists() and not (tmp_path / "out" / "index.html").exists()


def test_a_file_that_no_model_has_is_left_out_and_told(
    folder: RunFolder, tmp_path: Path, caplog: pytest.LogCaptureFixture
):
    run = unsealed(copy_of(folder, tmp_path))
    (run / "gen-002" / "model" / "note_*.txt").write_text("mine")
    out = export_generation(run, 2, tmp_path / "out", "model")
    assert set(content(out)) == {"README.md", "config.json", "model.safetensors"}
    assert "note_*.txt (not a file of a model)" in caplog.text
    assert "- Left out of this copy: note\\_\\*.txt (not a file of a model)." in (out / "README.md").read_text()


def content(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.mark.parametrize("form", FORMATS)
def test_a_limit_of_the_files_size_is_one_sentence_and_leaves_nothing(form: Format, folder: RunFolder, tmp_path: Path):
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, hard))
    try:
        with pytest.raises(NotStored, match=r"out: cannot be written: File too large: .*1,000 bytes") as caught:
            export_generation(folder.path, 2, tmp_path / "out", form)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert "\n" not in str(caught.value) and not list(tmp_path.iterdir())


@pytest.mark.parametrize("form", FORMATS)
def test_a_run_that_is_deleted_meanwhile_is_one_sentence(
    form: Format, folder: RunFolder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    run = copy_of(folder, tmp_path)
    whole = RunFolder.open(run)
    monkeypatch.setattr(RunFolder, "open", lambda path: whole)
    shutil.rmtree(run / "gen-002")
    monkeypatch.setattr(RunFolder, "shards", lambda self: [(0, -1), (1, 0), (2, 0)])
    with pytest.raises((NotStored, ValueError)) as caught:
        export_generation(run, 2, tmp_path / "out", form)
    assert "gen-002" in str(caught.value) and "\n" not in str(caught.value) and "[Errno" not in str(caught.value)
    assert not (tmp_path / "out").exists()


def test_an_export_that_is_killed_before_any_call_is_repeated_by_the_same_command(folder: RunFolder, tmp_path: Path):
    expected = content(export_generation(folder.path, 2, tmp_path / "whole", "webdataset"))
    home = tmp_path / "out"
    home.mkdir()
    killed, alive = 0, False
    while not alive:
        alive = not killed_before(killed, home, lambda: export_generation(folder.path, 2, home / "set", "webdataset"))
        if not (home / "set").exists():
            export_generation(folder.path, 2, home / "set", "webdataset")
        assert content(home / "set") == expected, killed
        assert [path.name for path in home.iterdir()] == ["set"], killed
        shutil.rmtree(home / "set")
        killed += not alive
    assert killed >= 4  # mkdir, the tar file, the card, the rename


def killed_before(call: int, home: Path, work: Callable[[], object]) -> bool:
    """Run the work in a forked child that ends, as by kill -9, before its call of this number that changes ``home``."""
    child = os.fork()
    if child == 0:
        left = [call]

        def hook(event: str, arguments: tuple[Any, ...]) -> None:
            writes = event == "open" and isinstance(arguments[2], int) and arguments[2] & (os.O_WRONLY | os.O_RDWR)
            below = any(isinstance(name, str | Path) and str(name).startswith(str(home)) for name in arguments[:2])
            if below and (writes or event in ("os.mkdir", "os.rename")):
                left[0] -= 1
                if left[0] < 0:
                    os._exit(137)

        try:
            sys.addaudithook(hook)
            work()
        finally:
            os._exit(0)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 137


@pytest.mark.parametrize("form", FORMATS)
@pytest.mark.parametrize("text", ['"><script>alert(1)</script>', "`</code><script>x</script>`", "a\n---\n# b | [c](d)"])
def test_no_text_of_a_run_becomes_a_tag_or_a_setting_of_the_card(
    form: Format, text: str, folder: RunFolder, tmp_path: Path
):
    run = copy_of(folder, tmp_path)
    config, known = folder.config, folder.provenance
    config["experiment"] |= {"name": text, "data": {"kind": "folder", "path": "/x", "note": text}}
    config["experiment"]["regime"] = {"kind": "replace", "note": text}
    known["data"]["card"], known["labels"] = text, {"0": text}
    rewrite(run, config, known)
    whole = (export_generation(run, 1, tmp_path / "out", form) / "README.md").read_text()
    _, front, body = whole.split("---\n", 2)
    known_keys = {"license", "license_name", "library_name", "tags", "pretty_name"}
    known_keys |= {"task_categories", "size_categories", "configs"}
    assert set(yaml.safe_load(front)) <= known_keys and "<script" not in body
    parsed = list(MarkdownIt("gfm-like", {"linkify": False}).parse(body))
    inner = [child.type for token in parsed for child in token.children or ()]
    kinds = {token.type for token in parsed} | set(inner)
    assert not kinds & {"html_block", "html_inline", "link_open", "image", "hr"}
    assert sum(token.type == "heading_open" for token in parsed) == 4


def test_a_run_whose_name_is_a_tag_is_exported(folder: RunFolder, tmp_path: Path):
    run = Path(shutil.copytree(folder.path, tmp_path / '"><img src=x>: [a](b)'))
    text = (export_generation(run, 1, tmp_path / "out") / "README.md").read_text()
    assert "<img" not in text
    assert yaml.safe_load(text.split("---\n")[1])["pretty_name"] == f"{run.name}, generation 1"


def rewrite(run: Path, config: dict[str, Any], provenance: dict[str, Any]) -> None:
    """Write the records of a copied run again, as the run itself would have."""
    write_record(run / "config.json", config)
    write_record(run / "provenance.json", provenance)
