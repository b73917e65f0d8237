"""Tiny substitutes for published datasets, in the layouts of their authors, with random colours as pictures."""

from __future__ import annotations

import gzip
import io
import json
import pickle
import shutil
import struct
import tarfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

ATTRIBUTES = ("Bald", "Eyeglasses", "Smiling")
CELEBRITIES = 12


def picture(seed: int, width: int = 80, height: int = 64) -> Image.Image:
    """A smooth random colour picture, unlike that of any other seed."""
    coarse = np.random.default_rng(seed).integers(0, 256, (5, 5, 3), np.uint8)
    return Image.fromarray(coarse).resize((width, height), Image.Resampling.BICUBIC)


def encoded(seed: int, width: int = 80, height: int = 64) -> bytes:
    file = io.BytesIO()
    picture(seed, width, height).save(file, "PNG")
    return file.getvalue()


def fake_celeba(root: Path) -> None:
    (root / "img_align_celeba").mkdir()
    names = [f"{i + 1:06d}.jpg" for i in range(CELEBRITIES)]
    for i, name in enumerate(names):
        picture(i, 178, 218).save(root / "img_align_celeba" / name, quality=95)
    values = [["1" if (i + k) % (k + 2) == 0 else "-1" for k in range(3)] for i in range(CELEBRITIES)]
    lines = [str(CELEBRITIES), " ".join(ATTRIBUTES) + " "]
    lines += [f"{name} {' '.join(f'{v:>2}' for v in row)}" for name, row in zip(names, values, strict=True)]
    (root / "list_attr_celeba.txt").write_text("\n".join(lines) + "\n")
    parts = [0] * 6 + [1] * 2 + [2] * 4
    text = "".join(f"{name} {part}\n" for name, part in zip(names, parts, strict=True))
    (root / "list_eval_partition.txt").write_text(text)


def fake_lfw(root: Path) -> None:
    persons = {"Ada_Test": 4, "Bo_Probe": 1, "Cy_Sample": 3, "Di_Trial": 2}
    for number, (name, count) in enumerate(persons.items()):
        (root / "lfw_funneled" / name).mkdir(parents=True)
        for k in range(1, count + 1):
            picture(100 + 10 * number + k, 250, 250).save(root / "lfw_funneled" / name / f"{name}_{k:04d}.jpg")
    (root / "peopleDevTrain.txt").write_text("2\nAda_Test\t4\nBo_Probe\t1\n")
    (root / "peopleDevTest.txt").write_text("2\nCy_Sample\t3\nDi_Trial\t2\n")


def fake_ffhq(root: Path) -> None:
    records = {}
    for i, folder in enumerate(["00000"] * 6 + ["01000"] * 4):
        number = i if folder == "00000" else 1000 + i
        (root / "thumbnails128x128" / folder).mkdir(parents=True, exist_ok=True)
        picture(200 + i, 128, 128).save(root / "thumbnails128x128" / folder / f"{number:05d}.png")
        category = "training" if folder == "00000" else "validation"
        records[str(number)] = {"category": category, "metadata": {"license": f"Licence {i % 2}", "author": "x"}}
    (root / "ffhq-dataset-v2.json").write_text(json.dumps(records))


def fake_dtd(root: Path) -> None:
    (root / "dtd" / "labels").mkdir(parents=True)
    lists: dict[str, list[str]] = {f"{part}{fold}": [] for part in ("train", "val", "test") for fold in (1, 2)}
    for i in range(12):
        kind = ("banded", "bubbly")[i % 2]
        name = f"{kind}/{kind}_{i:04d}.jpg"
        (root / "dtd" / "images" / kind).mkdir(parents=True, exist_ok=True)
        picture(300 + i, 300 + i, 320).save(root / "dtd" / "images" / name)
        lists[f"{('train', 'val', 'test')[i // 4]}1"].append(name)
        lists[f"{('test', 'train', 'val')[i // 4]}2"].append(name)
    for title, names in lists.items():
        (root / "dtd" / "labels" / f"{title}.txt").write_text("\n".join(names) + "\n")


def fake_aircraft(root: Path) -> None:
    data = root / "fgvc-aircraft-2013b" / "data"
    (data / "images").mkdir(parents=True)
    lists: dict[str, list[str]] = {}
    for i in range(10):
        pixels = np.asarray(picture(400 + i, 160, 120)).copy()
        pixels[-20:] = 255  # the line of text
        Image.fromarray(pixels).save(data / "images" / f"{i:07d}.jpg", quality=98)
        part = ("train", "train", "val", "test", "test")[i % 5]
        lists.setdefault(f"variant_{part}", []).append(f"{i:07d} {('707-320', 'Cessna 172')[i % 2]}")
        lists.setdefault(f"family_{part}", []).append(f"{i:07d} {('Boeing 707', 'A320')[i // 5]}")
    for title, lines in lists.items():
        (data / f"images_{title}.txt").write_text("\n".join(lines) + "\n")


def fake_flowers(root: Path) -> None:
    from scipy.io import savemat

    (root / "jpg").mkdir()
    for i in range(1, 11):
        picture(500 + i, 100, 120).save(root / "jpg" / f"image_{i:05d}.jpg")
    savemat(root / "imagelabels.mat", {"labels": np.array([[1, 1, 2, 2, 102, 102, 1, 2, 1, 2]])})
    sets = {"trnid": np.array([[10, 1, 2, 3]]), "valid": np.array([[4, 5]]), "tstid": np.array([[6, 7, 8, 9]])}
    savemat(root / "setid.mat", sets)


def fake_idx(root: Path, packed: bool = False) -> None:
    rng = np.random.default_rng(6)
    for part, count in (("train", 9), ("t10k", 5)):
        files = {
            f"{part}-images-idx3-ubyte": struct.pack(">4I", 2051, count, 28, 28) + rng.bytes(count * 784),
            f"{part}-labels-idx1-ubyte": struct.pack(">2I", 2049, count) + bytes(range(count)),
        }
        for name, content in files.items():
            path = root / (f"{name}.gz" if packed else name)
            path.write_bytes(gzip.compress(content) if packed else content)


def fake_cifar(root: Path) -> None:
    rng = np.random.default_rng(7)
    home = root / "cifar-10-batches-py"
    home.mkdir()
    for title in (*(f"data_batch_{i}" for i in range(1, 6)), "test_batch"):
        batch = {b"data": rng.integers(0, 256, (3, 3072), np.uint8), b"labels": [0, 1, 1], b"filenames": [b"x.png"] * 3}
        (home / title).write_bytes(pickle.dumps(batch, protocol=2))
    (home / "batches.meta").write_bytes(pickle.dumps({b"label_names": [b"airplane", b"frog"]}, protocol=2))


def fake_image_folder(root: Path) -> None:
    for i in range(12):
        home = root / ("train", "train", "val", "test")[i % 4] / ("cats", "dogs")[i // 6]
        home.mkdir(parents=True, exist_ok=True)
        picture(800 + i).save(home / f"{i}.png")


def fake_hub_folder(root: Path) -> None:
    (root / "train").mkdir()
    rows = []
    for i in range(10):
        picture(900 + i).save(root / "train" / f"{i}.png")
        rows.append({"file_name": f"{i}.png", "freckled": i % 3 == 0, "label": "ab"[i % 2], "nested": {"rare": i == 4}})
    (root / "train" / "metadata.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))


def fake_shards(root: Path) -> None:
    for title, rows in (("train-000000", range(7)), ("test-000000", range(7, 11))):
        with tarfile.open(root / f"{title}.tar", "w") as archive:
            for i in rows:
                facts = json.dumps({"rare": i % 5 == 0}).encode()
                for ending, content in (("png", encoded(1000 + i)), ("json", facts), ("cls", str(i % 2).encode())):
                    member = tarfile.TarInfo(f"{i:06d}.{ending}")
                    member.size = len(content)
                    archive.addfile(member, io.BytesIO(content))


def fake_arrays(root: Path) -> None:
    images = np.random.default_rng(11).integers(0, 256, (9, 40, 32, 3), np.uint8)
    np.savez(root / "set.npz", images=images, labels=np.arange(9) % 3)


BUILDERS: dict[str, Callable[[Path], None]] = {
    "celeba": fake_celeba,
    "lfw": fake_lfw,
    "ffhq": fake_ffhq,
    "dtd": fake_dtd,
    "aircraft": fake_aircraft,
    "flowers102": fake_flowers,
    "mnist": fake_idx,
    "fashion_mnist": lambda root: fake_idx(root, packed=True),
    "cifar10": fake_cifar,
    "image_folder": fake_image_folder,
    "hugging_face": fake_hub_folder,
    "webdataset": fake_shards,
    "arrays": fake_arrays,
}


@pytest.fixture(scope="session")
def built(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Every substitute dataset, by the kind that reads it. Read only; see ``fake`` for a copy."""
    places = {}
    for kind, build in BUILDERS.items():
        root = tmp_path_factory.mktemp(kind)
        build(root)
        places[kind] = root / "set.npz" if kind == "arrays" else root
    return places


@pytest.fixture
def fake(built: dict[str, Path], tmp_path: Path) -> Callable[[str], Path]:
    """A copy of a substitute dataset that a test may damage."""

    def copy(kind: str) -> Path:
        home = built[kind] if built[kind].is_dir() else built[kind].parent
        shutil.copytree(home, tmp_path / kind)
        return tmp_path / kind / built[kind].relative_to(home)

    return copy
