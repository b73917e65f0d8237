"""Export of a generation of a run for other programs, with the provenance of every image.

    imagefolder   PNG files and metadata.jsonl, as Hugging Face datasets and torchvision read them
    parquet       one table with an image column in the format of Hugging Face (needs pyarrow: imagelab-collapse[data])
    webdataset    tar shards of 1,000 images, each with a JSON file of the same key
    model         the model of the generation as it was saved, with a model card

In every format, each image has its origin (run, generation, line, row), the seed of its noise, the SHA-256 of its
pixels, whether it is synthetic (also in words, as ``label``), and the digest of the ledger of its model's training
images. Real images of generation 0 keep the attributes that the dataset states. PNG files also have the IPTC property
for how they came about, and are signed where that is asked for (signed_files.py). The output is written under a
temporary name and renamed when it is complete. Nothing is copied through a link, and of a model only the files that a
model is known to have.

References:
    IPTC digital source types: trainedAlgorithmicMedia, http://cv.iptc.org/newscodes/digitalsourcetype/.
    Datasheets for datasets (Gebru et al. 2018), arXiv:1803.09010. Model cards (Mitchell et al. 2019), arXiv:1810.03993.
"""

from __future__ import annotations

import hashlib
import io
import json
import logging
import tarfile
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import Any, Literal

import numpy as np

from .._version import __version__
from ..families import is_own
from ..generators import GENERATORS
from ..io.atomic import folder_made_whole
from ..io.disk import storing
from ..io.npy import npz_columns
from ..io.pictures import read_npy
from ..io.run_records import IMPORTED
from ..io.untrusted import few, parsing, shown
from ..pool import REAL
from ..provenance.keys import SigningKey
from ..provenance.signing import required_key
from ..run_folder import RunFolder
from ..seeds import seed_at
from .cards import code, prose, scalar, size_category
from .dataset import licence_of, without_paths
from .model_files import copy_model
from .opening import dataset_code, library_of, model_code
from .signed_files import exported_png, origin_in, sign_others, signed_png

__all__ = ["FORMATS", "Exported", "export_generation"]

_LOG = logging.getLogger(__name__)

Format = Literal["imagefolder", "parquet", "webdataset", "model"]
FORMATS: tuple[Format, ...] = ("imagefolder", "parquet", "webdataset", "model")
"""The formats of an export."""

FILES: dict[str, str] = {"imagefolder": "train/**", "parquet": "train-*.parquet", "webdataset": "train-*.tar"}
"""Format -> the files of a dataset."""

SHARD = 1000  # images per webdataset shard


@dataclass(frozen=True)
class Exported:
    """One exported image: its key, its PNG file and its metadata."""

    key: str
    png: bytes
    facts: dict[str, Any]


def export_generation(
    run: Path, generation: int, folder: Path, form: Format = "imagefolder", line: int = 0, sign: bool = False
) -> Path:
    """Write one generation of one line; the folder is complete or absent.

    Args:
        run: the run folder.
        generation: which generation; 0 for the real training images.
        folder: the folder to write; it must not exist yet.
        form: the format, see the module.
        line: which model.
        sign: whether to sign every PNG file, and every other file beside it, with the user's key.

    Returns:
        The folder.

    Raises:
        ValueError: for a generation that is not finished, a folder that exists, or a format that cannot be written.
        NotStored: if the disk is full or refuses to write; nothing is left under the name.
    """
    store = RunFolder.open(run)
    owner = REAL if generation == 0 else line
    if form not in FORMATS:
        raise ValueError(f"export: expected a format of {', '.join(FORMATS)}, got {form!r}")
    if (generation, owner) not in store.shards():
        lines = sorted({o for _, o in store.shards()} - {REAL})
        if owner != REAL and owner not in lines:
            raise ValueError(f"export: {run} has lines {', '.join(map(str, lines)) or 'none yet'}, got {line}")
        made = max((g for g, o in store.shards() if o in (REAL, line)), default=0)
        raise ValueError(f"export: {run} has generations 0 to {made} of line {line}, not {generation}")
    if form == "model" and generation == 0:
        raise ValueError("export: generation 0 is real images; no model made it")
    needed = {"seed", "data"} | ({"regime", "generator"} if form == "model" else set())
    absent = needed - store.config["experiment"].keys()
    if absent:
        raise ValueError(
            f"export: {shown(run)}: its config.json has no {', '.join(sorted(absent))}. Restore it from a copy."
        )
    key = required_key() if sign else None
    with storing(folder, store.path), folder_made_whole(folder) as partial:
        _WRITERS[form](store, generation, line, partial, key)
        if key is not None:
            sign_others(partial, store, generation, owner, key)
    return folder


def _images(store: RunFolder, generation: int, line: int, key: SigningKey | None) -> Iterator[Exported]:
    """Yield the images of a shard in their order, with all that is known about each; signed, if a key is given."""
    owner = REAL if generation == 0 else line
    images = store.images(generation, owner)
    seed, signature = store.config["experiment"]["seed"], store.config["signature"]
    ledger = store.pool(generation, owner).digest() if generation else ""
    drawn, foreign = store.candidates(generation, owner), IMPORTED in store.provenance
    attributes, origin = {} if generation else _attributes(store, len(images)), origin_in(store, generation)
    for row in range(len(images)):
        pixels = np.ascontiguousarray(images[row].transpose(1, 2, 0))
        facts: dict[str, Any] = {
            "run": shown(store.path.name),
            "signature": signature,
            "generation": generation,
            "line": owner,
            "row": row,
            "synthetic": generation > 0,
            "label": "synthetic" if generation else "real",
            "sha256": hashlib.sha256(pixels.tobytes()).hexdigest(),
        }
        if generation:
            facts |= {
                # as text: too large for numbers of JSON readers
                "noise_seed": str(seed_at(seed, "sample", generation, line, int(drawn[row]))),
                "trained_on": ledger,
            }
            if foreign:  # imagelab did not draw them
                del facts["noise_seed"], facts["trained_on"]
        elif attributes:
            facts["attributes"] = {name: bool(column[row]) for name, column in attributes.items()}
        name, png = f"{generation:03d}-{line}-{row:06d}", exported_png(pixels, facts, origin)
        yield Exported(name, png if key is None else signed_png(png, name, facts, origin, key), facts)


def _attributes(store: RunFolder, n: int) -> dict[str, np.ndarray]:
    """Return what the dataset states of the n real images: name -> bool [n]; empty where it states nothing.

    Raises:
        ValueError: naming the file, if it is damaged or of another form.
    """
    if not store.has_file(0, REAL, "truth.npz"):
        return {}
    path, expected = store.file(0, REAL, "truth.npz"), "the attributes of the real images"
    with parsing(path, expected), zipfile.ZipFile(path) as archive:
        names = tuple(name.removesuffix(".npy") for name in archive.namelist())
    columns = dict(zip(names, npz_columns(path, names, expected), strict=True)) if names else {}
    for name, column in columns.items():
        if column.dtype != bool or column.shape != (n,):
            got = f"{column.dtype} {list(column.shape)}"
            raise ValueError(f"{shown(path)}: {shown(name)}: expected bool [{n}], got {got}. Restore it from a copy.")
    return {shown(name): column for name, column in columns.items()}


def _imagefolder(store: RunFolder, generation: int, line: int, out: Path, key: SigningKey | None) -> None:
    home = out / "train"
    home.mkdir()
    with (home / "metadata.jsonl").open("w", encoding="utf-8") as file:
        for each in _images(store, generation, line, key):
            (home / f"{each.key}.png").write_bytes(each.png)
            file.write(json.dumps({"file_name": f"{each.key}.png", **each.facts}, ensure_ascii=False) + "\n")
    _dataset_card(store, generation, line, out, "imagefolder")


def _parquet(store: RunFolder, generation: int, line: int, out: Path, key: SigningKey | None) -> None:
    try:
        import pyarrow as pa
        import pyarrow.parquet as pq
    except ImportError as error:
        raise ValueError("export: parquet needs pyarrow: pip install 'imagelab-collapse[data]'") from error
    kinds: dict[str, Any] = {"generation": pa.int32(), "line": pa.int32(), "row": pa.int32(), "synthetic": pa.bool_()}
    image = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
    writer = None
    rows: list[Exported] = []

    def flush() -> None:
        nonlocal writer
        columns: dict[str, Any] = {"image": pa.array([{"bytes": r.png, "path": f"{r.key}.png"} for r in rows], image)}
        stated = rows[0].facts.get("attributes") or ()
        forms = {**kinds, "attributes": pa.struct([(name, pa.bool_()) for name in stated])}
        for name in rows[0].facts:
            columns[name] = pa.array([r.facts[name] for r in rows], forms.get(name, pa.string()))
        table = pa.table(columns).replace_schema_metadata({"huggingface": json.dumps(_features(rows[0].facts))})
        if writer is None:
            writer = pq.ParquetWriter(out / "train-00000-of-00001.parquet", table.schema)
        writer.write_table(table)
        rows.clear()

    for each in _images(store, generation, line, key):
        rows.append(each)
        if len(rows) == SHARD:
            flush()
    if rows:
        flush()
    if writer is not None:
        writer.close()
    _dataset_card(store, generation, line, out, "parquet")


def _features(facts: dict[str, Any]) -> dict[str, Any]:
    kinds = {"generation": "int32", "line": "int32", "row": "int32", "synthetic": "bool"}
    columns: dict[str, Any] = {name: {"dtype": kinds.get(name, "string"), "_type": "Value"} for name in facts}
    if "attributes" in facts:
        columns["attributes"] = {name: {"dtype": "bool", "_type": "Value"} for name in facts["attributes"]}
    return {"info": {"features": {"image": {"_type": "Image"}, **columns}}}


def _webdataset(store: RunFolder, generation: int, line: int, out: Path, key: SigningKey | None) -> None:
    for shard, group in groupby(enumerate(_images(store, generation, line, key)), key=lambda pair: pair[0] // SHARD):
        with tarfile.open(out / f"train-{shard:05d}.tar", "w") as tar:
            for _, each in group:
                _add(tar, f"{each.key}.png", each.png)
                _add(tar, f"{each.key}.json", json.dumps(each.facts, ensure_ascii=False).encode())
    _dataset_card(store, generation, line, out, "webdataset")


def _add(tar: tarfile.TarFile, name: str, content: bytes) -> None:
    entry = tarfile.TarInfo(name)
    entry.size = len(content)
    tar.addfile(entry, io.BytesIO(content))


def _recipe_of(experiment: dict[str, Any], line: int) -> Any:
    """Return the recipe of a line: the roles of the first chain, of the second, ...; then the blank twins."""
    roles = [experiment["generator"], *experiment.get("arms", [])]
    return roles[line % len(roles)] if line < len(roles) * experiment.get("replicates", 1) else roles[0]


def _model(store: RunFolder, generation: int, line: int, out: Path, key: SigningKey | None) -> None:
    experiment, provenance = store.config["experiment"], store.provenance
    recipe = _recipe_of(experiment, line)
    kind = recipe.get("kind")
    own = not isinstance(kind, str) or kind not in GENERATORS or is_own(GENERATORS[kind]) or kind == "command"
    if kind == "command":  # a place on this machine says nothing to others
        recipe = {**recipe, "directory": "."}
    elif kind == "pipeline" and str(recipe.get("model")).startswith("/"):
        recipe = {**recipe, "model": f"./{Path(recipe['model']).name}"}
    left = copy_model(store.model(generation, line), out, own)
    pool = store.pool(generation, line)
    label = (provenance.get("labels") or {}).get(str(line), kind)
    real = float(np.mean(pool.generation == 0))
    if left:
        _LOG.warning("left out, because only the files of a model are copied: %s", few(left))
    lines = [
        "---",
        "license: apache-2.0",
        f"library_name: {library_of(out)}",
        "tags:\n- imagelab\n- model-collapse\n- unconditional-image-generation",
        "---",
        "",
        f"# {prose(label)}, generation {generation} of {prose(store.path.name)}",
        "",
        f"A model of a self-consuming loop, trained by imagelab {__version__} to study how such models fail. It is not "
        "intended for generating pictures for any other purpose.",
        "",
        f"- Trained on {len(pool)} images, {real:.1%} of them real; ledger SHA-256 {pool.digest()}.",
        f"- Regime: {code(experiment['regime'])}",
        f"- Recipe: {code(recipe)}",
        f"- Run seed {prose(experiment['seed'])}, signature {prose(store.config['signature'])}.",
        *([f"- Left out of this copy: {prose(few(left))}."] if left else []),
        "",
        "## How to open it",
        "",
        *model_code(recipe, out),
        "",
        "## Measurements of its images",
        "",
        *_measured(store, generation, line),
        "",
        "## The real images",
        "",
        prose(_data(store)[1]),
        "",
    ]
    (out / "README.md").write_text("\n".join(lines), encoding="utf-8")


def _measured(store: RunFolder, generation: int, line: int) -> list[str]:
    owner = REAL if generation == 0 else line
    rows = [_reference(store, generation), ""]
    rows += ["| measurement | value | standard error | real against real | n |", "|---|---|---|---|---|"]
    for m in store.measurements():
        hidden = m.name.startswith(("radial_power/", "truth/"))
        if m.generation == generation and m.line == owner and m.value is not None and not m.predicted and not hidden:
            error, floor = ("" if x is None else f"{x:.3g}" for x in (m.stderr, m.floor))
            rows.append(f"| {prose(m.name)} | {m.value:.4g} | {error} | {floor} | {m.n_fake} |")
    return rows


def _reference(store: RunFolder, generation: int) -> str:
    """Return in words which images every distance in the table is measured against."""
    there = store.has_file(0, REAL, "heldout.npy")
    held = len(read_npy(store.file(0, REAL, "heldout.npy"), mmap=True)) if there else 0
    who = "the real training images, which are exported here" if generation == 0 else "the images of this generation"
    if not held:
        return f"These are measurements of {who}."
    return (
        f"These are measurements of {who}. The reference is the run's {held:,} held-out real images (heldout.npy), "
        "which no model was trained on; a distance from the training images (generation 0) has another value. Real "
        "against real: the training images against the held-out ones."
    )


def _data(store: RunFolder) -> tuple[dict[str, Any], str]:
    """Return the recipe and the card of the real images of a run, without paths of this machine."""
    card = str((store.provenance.get("data") or {}).get("card", "No card was written."))
    return without_paths(store.config["experiment"]["data"], card)


def _dataset_card(store: RunFolder, generation: int, line: int, out: Path, form: Format) -> None:
    experiment, kind = store.config["experiment"], "real images" if generation == 0 else "synthetic images"
    recipe, card = _data(store)
    owner = REAL if generation == 0 else line
    count, licence = len(store.images(generation, owner)), licence_of(recipe.get("kind"))
    stated = generation == 0 and bool(_attributes(store, count))
    lines = [
        "---",
        f"pretty_name: {scalar(f'{store.path.name}, generation {generation}')}",
        f"license: {licence}",
        *(["license_name: see-card"] if licence == "other" else []),
        "task_categories:\n- unconditional-image-generation",
        f"size_categories:\n- {size_category(count)}",
        "tags:\n- imagelab\n- model-collapse" + ("\n- synthetic" if generation else ""),
        f"configs:\n- config_name: default\n  data_files:\n  - split: train\n    path: {FILES[form]}",
        "---",
        "",
        f"# {prose(store.path.name)}, generation {generation}",
        "",
        f"{count} {kind} from a self-consuming loop, written by imagelab {__version__}. "
        + ("A generative model made all of them. " if generation else "")
        + "This dataset serves to study the training of models on synthetic images; do not train other models on it by "
        "accident.",
        "",
        "Each row: `run`, `signature`, `generation`, `line` and `row` identify the image permanently; `sha256` of its "
        "decoded pixels (uint8, row by row, channels last); `synthetic`, and in words `label`; for generated images "
        "`noise_seed`, the seed of its noise, and `trained_on`, the SHA-256 of the ledger of its model's training set "
        "(pool.npz in the run folder)." + (" `attributes`: what the dataset states of each image." if stated else ""),
        "",
        "## How to load it",
        "",
        *dataset_code(form),
        "",
        f"Experiment: {code({**experiment, 'data': recipe})}",
        "",
        "## The real images",
        "",
        prose(card),
        "",
        "## Measurements",
        "",
        *_measured(store, generation, line),
        "",
    ]
    (out / "README.md").write_text("\n".join(lines), encoding="utf-8")


_WRITERS = {"imagefolder": _imagefolder, "parquet": _parquet, "webdataset": _webdataset, "model": _model}
