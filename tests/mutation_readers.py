"""The readers that mutation.py tries: a small valid input of each, and the public door that reads it."""

from __future__ import annotations

import contextlib
import gzip
import hashlib
import io
import json
import os
import runpy
import shutil
import tarfile
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

PICTURES = 6


@dataclass(frozen=True)
class Found:
    """What a door gave: one digest for each picture or setting, and all that was said about the reading."""

    items: tuple[str, ...]
    said: str = ""


@dataclass(frozen=True)
class Reader:
    """An input and its door.

    Attributes:
        make: writes a valid input into an empty folder.
        door: reads it.
        files: patterns of the files that are damaged.
        sum: the checksum of the format; "" where it has none, so that damage can change values without a sign.
        text: whether the files are text, so that words are put in, too.
        share: of the cases, relative to the other readers.
    """

    make: Callable[[Path], None]
    door: Callable[[Path], Found]
    files: str
    sum: str = ""
    text: bool = False
    share: float = 1.0


# -- inputs


def pixels(row: int) -> np.ndarray:
    """A smooth picture, uint8 [20,24,3]."""
    coarse = np.random.default_rng(row).integers(0, 256, (4, 5, 3), np.uint8)
    return np.asarray(Image.fromarray(coarse).resize((24, 20), Image.Resampling.BICUBIC))


def encoded(row: int, ending: str = "png", **how: Any) -> bytes:
    file = io.BytesIO()
    kind = {"jpg": "jpeg", "tif": "tiff"}.get(ending, ending)
    Image.fromarray(pixels(row)).save(file, kind, **how)
    return file.getvalue()


def picture_files(root: Path, ending: str, **how: Any) -> None:
    (root / "set").mkdir()
    for row in range(PICTURES):
        (root / "set" / f"{row}.{ending}").write_bytes(encoded(row, ending, **how))


def array(root: Path, kind: str) -> None:
    images = np.stack([pixels(row) for row in range(PICTURES)])
    np.save(root / "set.npy", images if kind == "uint8" else (images / 127.5 - 1).astype(kind))


def arrays(root: Path, save: Callable[..., None]) -> None:
    save(root / "set.npz", images=np.stack([pixels(row) for row in range(PICTURES)]), labels=np.arange(PICTURES) % 2)


def zipped(root: Path) -> None:
    with zipfile.ZipFile(root / "set.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        for row in range(PICTURES):
            archive.writestr(f"a/{row}.png", encoded(row))


def tarred(root: Path, ending: str) -> None:
    content = io.BytesIO()
    with tarfile.open(fileobj=content, mode="w") as archive:
        for row in range(PICTURES):
            member = tarfile.TarInfo(f"{row:03d}.png")
            member.size = len(encoded(row))
            archive.addfile(member, io.BytesIO(encoded(row)))
    raw = content.getvalue()
    (root / f"set.{ending}").write_bytes(raw if ending == "tar" else gzip.compress(raw, mtime=0))


def table(root: Path, form: str) -> None:
    import pyarrow
    from pyarrow import parquet

    rows = pyarrow.table(
        {
            "image": [{"bytes": encoded(row), "path": None} for row in range(PICTURES)],
            "bald": [row % 2 == 0 for row in range(PICTURES)],
            "label": [row % 3 for row in range(PICTURES)],
        }
    )
    if form == "parquet":
        parquet.write_table(rows, root / "set.parquet", row_group_size=4)
        return
    home = root / "set"
    home.mkdir()
    with pyarrow.ipc.new_stream(str(home / "data-00000-of-00001.arrow"), rows.schema) as stream:
        stream.write_table(rows)
    (home / "state.json").write_text(json.dumps({"_data_files": [{"filename": "data-00000-of-00001.arrow"}]}))
    (home / "dataset_info.json").write_text("{}")


def published(root: Path, kind: str) -> None:
    (root / "set").mkdir()
    builders = runpy.run_path(str(Path(__file__).parent / "data" / "conftest.py"))["BUILDERS"]
    builders[kind](root / "set")


def settings(root: Path, ending: str) -> None:
    import yaml

    from imagelab.experiment import Experiment

    config = Experiment().config()
    text = json.dumps(config, indent=1) if ending == "json" else yaml.safe_dump(config)
    (root / f"set.{ending}").write_text(text)


def run_folder(root: Path, sealed: bool) -> None:
    """A finished run of two generations, made once and copied; unsealed as versions before manifests wrote it."""
    from imagelab import Experiment, Gaussian, Textures, run
    from imagelab.experiment import Runtime

    kept = Path(os.environ["MUTATION_RUN"])
    if not kept.exists():
        experiment = Experiment(
            name="set",
            data=Textures(size=16),
            generator=Gaussian(components=4),
            generations=2,
            images=16,
            heldout=8,
            tracked=4,
            metrics=("pixel_variance", "tone"),
            runtime=Runtime(runs=kept.parent),
        )
        run(experiment)
        experiment.folder.rename(kept)
    shutil.copytree(kept, root / "set")
    if not sealed:
        for path in (root / "set").rglob("manifest.json"):
            path.unlink()
        for path in (root / "set" / "config.json", root / "set" / "provenance.json"):
            record = json.loads(path.read_text())
            record.pop("checksum", None)
            path.write_text(json.dumps(record, indent=2) + "\n")


# -- doors


def items(images: np.ndarray, facts: np.ndarray | None = None) -> tuple[str, ...]:
    rows = [image.tobytes() + (b"" if facts is None else facts[row].tobytes()) for row, image in enumerate(images)]
    return tuple(sorted(hashlib.sha256(row).hexdigest()[:16] for row in rows))


def opened(root: Path, what: str, **how: Any) -> Found:
    from imagelab.evaluation.sources import Opening, open_images

    found = open_images(root / what, Opening(cache=False, **how))
    return Found(items(found.images), "\n".join([*found.notes, *(f"{bad.path}: {bad.reason}" for bad in found.bad)]))


def loaded(root: Path, kind: str, what: str = "set", size: int = 16) -> Found:
    """All splits of a dataset, with its attributes."""
    from imagelab.data import DATASETS

    dataset: Any = DATASETS[kind].model_validate({"kind": kind, "path": root / what, "size": size, "cache": False})
    found: list[str] = []
    for split, count in dataset.available(0).items():
        if count:
            sample = dataset.load(split, count, 0)
            names = sorted(sample.attributes)
            facts = np.stack([sample.attributes[name] for name in names], axis=1) if names else None
            found += items(sample.images, facts)
    said = dataset.card().replace(str(root), "").partition("sRGB values")[2].partition("Splits:")[0]
    return Found(tuple(sorted(found)), "\n".join([said, *(f"{bad.path}: {bad.reason}" for bad in dataset.bad_files())]))


def configured(root: Path, what: str) -> Found:
    from imagelab.cli.overrides import load_experiment
    from imagelab.experiment import flatten

    return Found(tuple(f"{name} = {value}" for name, value in flatten(load_experiment(root / what).question()).items()))


def commands(root: Path) -> Found:
    """What report, watch and cite say of a run."""
    from imagelab.cli.console import out
    from imagelab.cli.entry import app

    said = io.StringIO()
    with contextlib.redirect_stdout(said):
        out.file = said
        for words in (["report", root / "set", "-o", root / "report"], ["watch", root / "set"], ["cite", root / "set"]):
            app([str(word) for word in words], exit_on_error=False, print_error=False)
    page = (root / "report" / "index.html").read_text()
    return Found((page, said.getvalue().replace(str(root), "")))


def ledger(root: Path) -> Found:
    from imagelab.run_folder import RunFolder

    folder = RunFolder.open(root / "set")
    return Found(items(folder.gather(folder.pool(1))))


def model(root: Path) -> Found:
    from imagelab import Gaussian
    from imagelab.generators import RunContext
    from imagelab.run_folder import RunFolder

    home = RunFolder.open(root / "set").checked(1) / "model"
    loaded_model = Gaussian(components=4).load(home, RunContext("cpu", 8))
    return Found(items(loaded_model.sample(np.arange(4, dtype=np.uint64))))


def whole(root: Path) -> Found:
    """All that can be read of a run."""
    said = commands(root)
    return Found((*said.items, *ledger(root).items, *opened(root, "set@1").items, *model(root).items))


old_run = partial(run_folder, sealed=False)


def picture(ending: str, check: str = "", **how: Any) -> Reader:
    return Reader(partial(picture_files, ending=ending, **how), partial(opened, what="set"), "set/0.*", check)


READERS = {
    "png": picture("png", "CRC-32 of each chunk, Adler-32"),
    "jpeg": picture("jpg", quality=95),
    "webp": picture("webp", quality=90),
    "webp-lossless": picture("webp", lossless=True),
    "gif": picture("gif"),
    "tiff": picture("tif"),
    "tiff-lzw": picture("tif", compression="tiff_lzw"),
    "bmp": picture("bmp"),
    "ppm": picture("ppm"),
    "avif": picture("avif"),
    "npy": Reader(partial(array, kind="uint8"), partial(opened, what="set.npy"), "set.npy", text=True),
    "npy-float": Reader(
        partial(array, kind="float32"), partial(opened, what="set.npy", value_range=(-1.0, 1.0)), "set.npy", text=True
    ),
    "npz": Reader(partial(arrays, save=np.savez_compressed), partial(opened, what="set.npz"), "set.npz", "CRC-32"),
    "npz-stored": Reader(
        partial(arrays, save=np.savez), partial(loaded, kind="arrays", what="set.npz"), "set.npz", "CRC-32"
    ),
    "zip": Reader(zipped, partial(opened, what="set.zip"), "set.zip", "CRC-32"),
    "tar": Reader(partial(tarred, ending="tar"), partial(opened, what="set.tar"), "set.tar", "of headers; of each PNG"),
    "tar.gz": Reader(partial(tarred, ending="tar.gz"), partial(opened, what="set.tar.gz"), "set.tar.gz", "CRC-32"),
    "parquet": Reader(partial(table, form="parquet"), partial(opened, what="set.parquet"), "set.parquet"),
    "arrow": Reader(partial(table, form="arrow"), partial(loaded, kind="hugging_face"), "set/*"),
    "webdataset": Reader(
        partial(published, kind="webdataset"), partial(loaded, kind="webdataset"), "set/*.tar", "of headers"
    ),
    "cifar": Reader(partial(published, kind="cifar10"), partial(loaded, kind="cifar10"), "set/*/*", share=0.5),
    "idx": Reader(partial(published, kind="mnist"), partial(loaded, kind="mnist"), "set/*"),
    "idx.gz": Reader(
        partial(published, kind="fashion_mnist"), partial(loaded, kind="fashion_mnist"), "set/*", "CRC-32"
    ),
    "celeba": Reader(partial(published, kind="celeba"), partial(loaded, kind="celeba"), "set/*.txt", text=True),
    "metadata": Reader(
        partial(published, kind="hugging_face"), partial(loaded, kind="hugging_face"), "set/*/*.jsonl", text=True
    ),
    "experiment.json": Reader(
        partial(settings, ending="json"), partial(configured, what="set.json"), "set.json", text=True
    ),
    "experiment.yaml": Reader(
        partial(settings, ending="yaml"), partial(configured, what="set.yaml"), "set.yaml", text=True
    ),
    "run": Reader(partial(run_folder, sealed=True), whole, "set/**/*[!k]", "SHA-256", True, share=2.0),
    "old-run-config": Reader(old_run, commands, "set/config.json", text=True, share=0.5),
    "old-run-provenance": Reader(old_run, commands, "set/provenance.json", text=True, share=0.5),
    "old-run-metrics": Reader(old_run, commands, "set/gen-*/metrics.jsonl", text=True, share=0.5),
    "old-run-pool": Reader(old_run, ledger, "set/gen-001/pool.npz", "CRC-32"),
    "old-run-images": Reader(old_run, partial(opened, what="set@1"), "set/gen-001/images.npy"),
    "old-run-model": Reader(old_run, model, "set/gen-001/model/*"),
}
