from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from numpy.testing import assert_array_equal
from PIL import Image
from pydantic import ValidationError

from imagelab.data.hugging_face import Hub, HuggingFace

FACTS = {"freckled", "rare", "class/a", "class/b"}


def saved(source: Path, path: Path, form: str):
    """The fake imagefolder as Parquet or save_to_disk, written by the datasets library itself."""
    from datasets import ClassLabel, Dataset, DatasetDict, Features, Value
    from datasets import Image as Picture

    rows = [json.loads(line) for line in (source / "train" / "metadata.jsonl").read_text().splitlines()]
    columns = {
        "image": [{"bytes": (source / "train" / row["file_name"]).read_bytes(), "path": None} for row in rows],
        "freckled": [row["freckled"] for row in rows],
        "rare": [row["nested"]["rare"] for row in rows],
        "label": [ord(row["label"]) - ord("a") for row in rows],
        "note": ["words"] * len(rows),
    }
    yes_or_no = {"freckled": Value("bool"), "rare": Value("bool")}
    features = Features(image=Picture(), label=ClassLabel(names=["a", "b"]), note=Value("string"), **yes_or_no)
    whole = Dataset.from_dict(columns, features=features)
    parts = DatasetDict({"train": whole.select(range(6)), "test": whole.select(range(6, 10))})
    if form == "save_to_disk":
        parts.save_to_disk(str(path))
    else:
        path.mkdir()
        for name, part in parts.items():
            part.to_parquet(str(path / f"{name}-00000-of-00001.parquet"), batch_size=4)
    return path


@pytest.mark.parametrize("form", ["parquet", "save_to_disk"])
def test_tables_written_by_the_datasets_library_give_the_same_pictures_and_facts(
    built: dict[str, Path], tmp_path: Path, form: str
) -> None:
    recipe = HuggingFace(path=saved(built["hugging_face"], tmp_path / form, form), size=32)
    assert recipe.available(0) == {"train": 6, "reserve": 0, "heldout": 4}
    folder = HuggingFace(path=built["hugging_face"], size=32)
    plain = [folder.load(split, folder.available(0)[split] or 0, 0) for split in ("train", "heldout")]
    known = {
        image.tobytes(): {name: bool(sample.attributes[name][i]) for name in FACTS}
        for sample in plain
        for i, image in enumerate(sample.images)
    }
    for sample in (recipe.load("train", 6, 0), recipe.load("heldout", 4, 0)):
        assert set(sample.attributes) == FACTS
        for i, image in enumerate(sample.images):
            assert known[image.tobytes()] == {name: bool(sample.attributes[name][i]) for name in FACTS}


def test_one_parquet_file_is_a_dataset_and_columns_can_be_chosen(built: dict[str, Path], tmp_path: Path) -> None:
    file = saved(built["hugging_face"], tmp_path / "p", "parquet") / "train-00000-of-00001.parquet"
    sample = HuggingFace(path=file, image_column="image", label_column="note").load("train", 4, 0)
    assert set(sample.attributes) == {"freckled", "rare", "class/words"}
    with pytest.raises(ValueError, match="expected a column 'portrait'; its columns are "):
        HuggingFace(path=file, image_column="portrait").available(0)


def test_a_bad_picture_in_a_table_is_named_by_its_row(tmp_path: Path, built: dict[str, Path]) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    good = [(built["hugging_face"] / "train" / f"{i}.png").read_bytes() for i in range(8)]
    cells = [{"bytes": content, "path": None} for content in [*good, b"dear diary", good[0][:300]]]
    pq.write_table(pa.table({"img": [*cells, {"bytes": None, "path": "x.png"}]}), tmp_path / "mixed.parquet")
    reasons = {bad.path: bad.reason for bad in HuggingFace(path=tmp_path).bad_files()}
    assert set(reasons) == {f"mixed.parquet:{row}" for row in (8, 9, 10)}
    assert "not a picture" in reasons["mixed.parquet:8"] and "holds no bytes" in reasons["mixed.parquet:10"]


def test_damaged_tables_are_refused_by_name(built: dict[str, Path], tmp_path: Path) -> None:
    parquet = saved(built["hugging_face"], tmp_path / "p", "parquet") / "train-00000-of-00001.parquet"
    parquet.write_bytes(parquet.read_bytes()[:-50])
    with pytest.raises(ValueError, match=r"train-00000-of-00001\.parquet: not a whole Parquet file"):
        HuggingFace(path=parquet).available(0)
    middle = saved(built["hugging_face"], tmp_path / "m", "parquet") / "train-00000-of-00001.parquet"
    content = bytearray(middle.read_bytes())
    content[4:2000] = bytes(1996)
    middle.write_bytes(bytes(content))
    with pytest.raises(ValueError, match=r"train-00000-of-00001\.parquet"):
        HuggingFace(path=middle).available(0)
    root = saved(built["hugging_face"], tmp_path / "s", "save_to_disk")
    arrow = next((root / "train").glob("*.arrow"))
    arrow.write_bytes(arrow.read_bytes()[:900])
    with pytest.raises(ValueError, match=r"\.arrow: not a whole Arrow file"):
        HuggingFace(path=root).available(0)
    (root / "dataset_dict.json").write_text("{")
    with pytest.raises(ValueError, match=r"dataset_dict\.json: not whole JSON"):
        HuggingFace(path=root).available(0)


def test_without_pyarrow_the_message_says_how_to_install_it(
    built: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = saved(built["hugging_face"], tmp_path / "p", "parquet")
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(ValueError, match=r'pip install "imagelab-collapse\[data\]"'):
        HuggingFace(path=root).available(0)


def test_metadata_as_csv_and_class_folders_are_read(fake: Callable[[str], Path], built: dict[str, Path]) -> None:
    root = fake("hugging_face")
    (root / "train" / "metadata.jsonl").unlink()
    rows = "".join(f"{i}.png,{'xyx'[i % 3]}\n" for i in range(10))
    (root / "train" / "metadata.csv").write_text("file_name,label\n" + rows)
    assert set(HuggingFace(path=root).load("train", 8, 0).attributes) == {"class/x", "class/y"}
    classes = HuggingFace(path=built["image_folder"])
    assert set(classes.load("train", 6, 0).attributes) == {"class/cats", "class/dogs"}
    assert classes.available(0) == {"train": 6, "reserve": 3, "heldout": 3}


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ('{"freckled": true}', "expected one entry per line with file_name, got freckled"),
        ('{"file_name": 3}', "expected one entry per line with file_name, got '3'"),
        ("{", "not whole JSON"),
        ("[1, 2]", "expected one entry per line with file_name, got .1, 2."),
    ],
)
def test_metadata_without_file_names_is_refused_by_name(fake: Callable[[str], Path], line: str, said: str) -> None:
    root = fake("hugging_face")
    (root / "train" / "metadata.jsonl").write_text(line + "\n")
    with pytest.raises(ValueError, match=rf"metadata\.jsonl: line 1: {said}"):
        HuggingFace(path=root).available(0)


def test_a_hub_dataset_is_read_from_the_cache_and_never_fetched(
    built: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import huggingface_hub.constants

    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path))
    with pytest.raises(ValueError, match="hf download --repo-type dataset nobody/faces --revision main"):
        Hub(name="nobody/faces").available(0)
    home = tmp_path / "datasets--nobody--faces"
    (home / "refs").mkdir(parents=True)
    (home / "refs" / "main").write_text("0" * 40)
    saved(built["hugging_face"], tmp_path / "made", "parquet").rename(_made(home / "snapshots") / ("0" * 40))
    recipe = Hub(name="nobody/faces", size=32)
    assert recipe.available(0) == {"train": 6, "reserve": 0, "heldout": 4}
    assert "nobody/faces (main) of the Hugging Face Hub" in recipe.card()
    with pytest.raises(ValueError, match="--revision v2"):
        Hub(name="nobody/faces", revision="v2").available(0)
    with pytest.raises(ValidationError, match="should match pattern"):
        Hub(name="../faces/x")


def _made(folder: Path) -> Path:
    folder.mkdir()
    return folder


def test_yes_and_no_inside_a_struct_and_damaged_descriptions(built: dict[str, Path], tmp_path: Path) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    pictures = [(built["hugging_face"] / "train" / f"{i}.png").read_bytes() for i in range(8)]
    cells = [{"bytes": content, "path": None} for content in pictures]
    facts = [{"rare": i == 2, "old": i % 2 == 0} for i in range(7)] + [None]
    table = pa.table({"image": cells, "attributes": facts})
    pq.write_table(table, tmp_path / "t.parquet", row_group_size=3)
    sample = HuggingFace(path=tmp_path).load("train", 6, 0)
    rows = [int(name.split(":")[1]) for name in sample.sources]
    assert_array_equal(sample.attributes["rare"], [row == 2 for row in rows])
    assert_array_equal(sample.attributes["old"], [row % 2 == 0 and row < 7 for row in rows])
    pq.write_table(table.replace_schema_metadata({"huggingface": "[1"}), tmp_path / "t.parquet")
    with pytest.raises(ValueError, match=r"t\.parquet: its entry on Hugging Face features cannot be read"):
        HuggingFace(path=tmp_path).available(0)


def test_transparent_pictures_in_tables_lie_over_the_chosen_colour(tmp_path: Path) -> None:
    import io

    import pyarrow as pa
    import pyarrow.parquet as pq

    cells = []
    for i in range(6):
        handle = io.BytesIO()
        Image.new("RGBA", (32, 32 + i), (10 * i, 0, 0, 20 * i)).save(handle, "PNG")
        cells.append({"bytes": handle.getvalue(), "path": None})
    pq.write_table(pa.table({"image": cells}), tmp_path / "clear.parquet")
    white, blue = (
        HuggingFace(path=tmp_path, size=32, alpha_over=colour).load("train", 4, 0).images
        for colour in ((255, 255, 255), (0, 0, 255))
    )
    assert np.median(white[:, 0]) > np.median(blue[:, 0])
    assert_array_equal(white[:, 2], blue[:, 2])


def table_of(root: Path, columns: dict[str, list[object]]) -> HuggingFace:
    """The fake imagefolder with a metadata.csv of these columns instead of its own."""
    (root / "train" / "metadata.jsonl").unlink(missing_ok=True)
    rows = [list(columns), *zip(*columns.values(), strict=True)]
    lines = [
        ",".join(map(str, row))
        for row in (["file_name", *rows[0]], *([f"{i}.png", *r] for i, r in enumerate(rows[1:])))
    ]
    (root / "train" / "metadata.csv").write_text("\n".join(lines) + "\n")
    return HuggingFace(path=root, size=32, official=False, heldout_share=0.2)


WORDS = {
    "true": "false",
    "True": "False",
    "TRUE": "FALSE",
    "yes": "no",
    "Yes": "No",
    "1": "0",
    "1.0": "0.0",
    "1 ": "-1",
}


@pytest.mark.parametrize("yes", WORDS)
def test_yes_and_no_of_a_table_become_attributes(yes: str, fake: Callable[[str], Path]) -> None:
    recipe = table_of(fake("hugging_face"), {"rare": [yes if i in (2, 5) else WORDS[yes] for i in range(10)]})
    sample = recipe.load("train", 8, 0)
    rows = [int(Path(name).stem) for name in sample.sources]
    assert set(sample.attributes) == {"rare"}
    assert_array_equal(sample.attributes["rare"], [row in (2, 5) for row in rows])


def test_a_column_with_a_third_value_is_told_and_not_taken(fake: Callable[[str], Path]) -> None:
    truth = ["yes", "no"] * 5
    columns = {
        "mood": [*truth[:9], "unknown"],
        "worn": [*truth[:8], "", ""],
        "kind": ["1", "0", "2", "1", "0", "2", "1", "0", "2", "1"],
        "mixed": ["true", "no"] * 5,
        "age": range(10),
        "name": [f"n{i}" for i in range(10)],
        "good": truth,
        "label": ["1", "0"] * 5,
    }
    recipe = table_of(fake("hugging_face"), {name: list(column) for name, column in columns.items()})
    assert set(recipe.load("train", 8, 0).attributes) == {"good", "class/0", "class/1"}
    said = (
        "Not used, because they hold more than yes and no: mood (no / unknown / yes), worn (no / nothing / yes), "
        "kind (0 / 1 / 2), mixed (no / true). "
    )
    assert said in recipe.card()


def test_json_entries_that_are_not_all_yes_or_no_are_told(fake: Callable[[str], Path]) -> None:
    root = fake("hugging_face")
    values = [
        {"a": i == 1, "b": None if i == 3 else True, "c": 1 if i == 2 else 0, **({"d": True} if i in (4, 7) else {})}
        for i in range(10)
    ]
    lines = [json.dumps({"file_name": f"{i}.png", **row}) for i, row in enumerate(values)]
    (root / "train" / "metadata.jsonl").write_text("\n".join([*lines, lines[0]]))
    recipe = HuggingFace(path=root, size=32, official=False, heldout_share=0.2)
    sample = recipe.load("train", 8, 0)
    rows = [int(Path(name).stem) for name in sample.sources]
    assert set(sample.attributes) == {"a", "c", "d"}
    for name, known in {"a": {1}, "c": {2}, "d": {4, 7}}.items():
        assert_array_equal(sample.attributes[name], [row in known for row in rows])
    card = recipe.card()
    assert "Not stated for every picture, and false where it is not (for how many): d (8). " in card
    assert "hold more than yes and no: b (nothing / true). " in card and "1 line of the set's lists repeats" in card


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("file_name,a\n0.png,1\n1.png,0,1\n", "line 3: expected 2 fields, as in line 1, got 3"),
        ("file_name,a\n0.png,1\n1.png\n", "line 3: expected 2 fields, as in line 1, got 1"),
        ("name,a\n0.png,1\n", "line 2: expected one entry per line with file_name, got a, name"),
        ("file_name,a,a\n0.png,1,0\n", "line 1: expected one column of each name, got two of a"),
        ("file_name,a\n0.png,1\n0.png,0\n", "line 3: says something else of train/0.png than line 2 of metadata.csv"),
        ('file_name,a\n0.png,"1\n1.png,0\n', "line 2: not a row of a CSV file .unexpected end of data"),
        ("file_name,a\n,1\n", "line 2: expected one entry per line with file_name, got ''"),
        ("file_name,a\n\0.png,1\n", "not a text file in UTF-8 .line 2 holds zero bytes"),
    ],
)
def test_a_damaged_table_is_refused_by_its_line(fake: Callable[[str], Path], text: str, said: str) -> None:
    root = fake("hugging_face")
    (root / "train" / "metadata.jsonl").unlink()
    (root / "train" / "metadata.csv").write_text(text)
    with pytest.raises(ValueError, match=rf"metadata\.csv: {said}") as caught:
        HuggingFace(path=root).available(0)
    assert "\n" not in str(caught.value)


def test_a_pipe_in_place_of_a_table_is_refused_and_not_waited_for(fake: Callable[[str], Path]) -> None:
    root = fake("hugging_face")
    (root / "train" / "metadata.jsonl").unlink()
    os.mkfifo(root / "train" / "metadata.csv")
    with pytest.raises(ValueError, match=r"metadata\.csv: is a named pipe"):
        HuggingFace(path=root).available(0)


def test_a_table_from_a_spreadsheet_is_read(fake: Callable[[str], Path]) -> None:
    root = fake("hugging_face")
    (root / "train" / "metadata.jsonl").unlink()
    rows = "".join(f'"{i}.PNG";{"TRUE" if i == 3 else "FALSE"} ;"a;b"\r\n' for i in range(10))
    (root / "train" / "metadata.csv").write_bytes(("\ufeffFile_Name;Rare;Caption\r\n" + rows + "\r\n").encode())
    recipe = HuggingFace(path=root, size=32, official=False, heldout_share=0.2)
    assert set(recipe.load("train", 8, 0).attributes) == {"Rare"} and recipe.bad_files() == ()
