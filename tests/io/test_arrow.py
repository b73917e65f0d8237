from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path

import pytest

from imagelab.io.arrow import Feature, arrow_catalogue, holds_pictures
from imagelab.io.catalogue import Catalogue
from imagelab.io.reading import Reading
from imagelab.io.table_files import TableFile, parquet_files, saved_files

pa = pytest.importorskip("pyarrow")
pq = pytest.importorskip("pyarrow.parquet")

Pictures = list[tuple[str, bytes]]


def cells(pictures: Pictures) -> list[dict[str, bytes | str | None]]:
    return [{"bytes": content, "path": name} for name, content in pictures]


def opened(path: Path, column: str = "") -> Catalogue:
    return arrow_catalogue(parquet_files(path), Feature(column), Reading())[0]


def written(path: Path, columns: Mapping[str, object], **settings: object) -> Path:
    pq.write_table(pa.table(columns), path, **settings)
    return path


def saved(root: Path, pictures: Pictures) -> Path:
    """A split as ``save_to_disk`` writes it, in three parts."""
    root.mkdir(parents=True)
    table = pa.table({"image": cells(pictures)})
    with pa.OSFile(str(root / "data.arrow"), "wb") as file, pa.ipc.new_stream(file, table.schema) as writer:
        writer.write_table(table, max_chunksize=4)
    (root / "state.json").write_text(json.dumps({"_data_files": [{"filename": "data.arrow"}]}))
    return root


def test_of_several_columns_of_pictures_one_has_to_be_chosen(tmp_path: Path, twelve: Pictures) -> None:
    columns = {"condition": cells(twelve), "image": cells(twelve[::-1]), "label": list(range(12))}
    path = written(tmp_path / "a.parquet", columns)
    with pytest.raises(ValueError, match=r"2 columns hold pictures: condition, image.*--column condition"):
        opened(path)
    assert (opened(path, "image").read(0).pixels == opened(path, "condition").read(11).pixels).all()
    for column, said in (("nothing", "expected a column 'nothing'"), ("label", "expected a column of pictures")):
        with pytest.raises(ValueError, match=f"{said}.*its columns are condition, image, label"):
            opened(path, column)


def test_columns_of_bytes_are_told_apart_by_their_content(tmp_path: Path, twelve: Pictures) -> None:
    contents = [content for _, content in twelve]
    columns = {"features": [b"\0\1"] * 12, "picture": contents}
    assert len(opened(written(tmp_path / "a.parquet", columns))) == 12
    with pytest.raises(ValueError, match="2 columns hold pictures: mask, picture"):
        opened(written(tmp_path / "b.parquet", {"mask": contents, "picture": contents}))


def test_files_whose_pictures_are_in_different_columns_are_not_mixed(tmp_path: Path, twelve: Pictures) -> None:
    written(tmp_path / "a.parquet", {"image": cells(twelve)})
    written(tmp_path / "b.parquet", {"mask": cells(twelve)})
    with pytest.raises(ValueError, match=r"b\.parquet: its pictures are in the column 'mask'"):
        opened(tmp_path)


def test_a_path_in_place_of_bytes_is_named_and_not_followed(tmp_path: Path, twelve: Pictures) -> None:
    (tmp_path / "0.png").write_bytes(twelve[0][1])
    rows = [{"bytes": None, "path": "0.png"}, {"bytes": b"", "path": None}, *cells(twelve)]
    catalogue = opened(written(tmp_path / "a.parquet", {"image": rows}))
    with pytest.raises(ValueError, match=r"only its path '0\.png', which is not followed"):
        catalogue.read(0)
    with pytest.raises(ValueError, match=r"the table holds no bytes of this picture$"):
        catalogue.read(1)


@pytest.mark.parametrize("entry", ["[" * 100_000, "5", '"x"', "{", '{"info": {"features": 5}}'])
def test_descriptions_of_any_shape_are_refused_in_one_sentence(tmp_path: Path, twelve: Pictures, entry: str) -> None:
    table = pa.table({"image": cells(twelve)}).replace_schema_metadata({"huggingface": entry})
    pq.write_table(table, tmp_path / "a.parquet")
    with pytest.raises(ValueError, match=r"a\.parquet: its entry on Hugging Face features cannot be read") as caught:
        opened(tmp_path / "a.parquet")
    assert len(str(caught.value)) < 600


@pytest.mark.parametrize("entry", ["null", "{}", '{"info": null}', '{"info": {"features": {"image": 5}}}'])
def test_empty_descriptions_say_nothing(tmp_path: Path, twelve: Pictures, entry: str) -> None:
    table = pa.table({"image": cells(twelve)}).replace_schema_metadata({"huggingface": entry})
    pq.write_table(table, tmp_path / "a.parquet")
    assert len(opened(tmp_path / "a.parquet")) == 12


def test_a_repeated_value_does_not_unfold_without_a_limit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("imagelab.io.untrusted.ANY_RATIO", 1 << 20)
    large = {"bytes": os.urandom(100_000), "path": None}
    path = written(tmp_path / "a.parquet", {"image": [large] * 320})
    assert path.stat().st_size < 110_000
    catalogue = opened(path)
    for row in (0, 319):
        with pytest.raises(ValueError, match=r"would unpack to .* more than the limit"):
            catalogue.read(row)


@pytest.mark.parametrize(
    "splits", ["5", "null", '"x"', "[", "[" * 100_000, "{}", '{"splits": 5}', '{"splits": [5]}', '{"splits": []}']
)
def test_lists_of_splits_of_any_shape_are_refused(tmp_path: Path, splits: str) -> None:
    (tmp_path / "dataset_dict.json").write_text(splits)
    with pytest.raises(ValueError, match=r"dataset_dict\.json: (expected|not whole JSON)"):
        saved_files(tmp_path)


@pytest.mark.parametrize("name", ["..", "../other", "/etc", "a/../../b", "a\\b", "", "."])
def test_no_name_leads_out_of_the_folder(tmp_path: Path, twelve: Pictures, name: str) -> None:
    saved(tmp_path / "other", twelve)
    root = tmp_path / "set"
    saved(root / "train", twelve)
    (root / "dataset_dict.json").write_text(json.dumps({"splits": ["train", name]}))
    with pytest.raises(ValueError, match="expected a name inside its folder"):
        saved_files(root)
    (root / "dataset_dict.json").write_text(json.dumps({"splits": ["train"]}))
    assert [file.path.name for file in saved_files(root)] == ["data.arrow"]
    (root / "train" / "state.json").write_text(json.dumps({"_data_files": [{"filename": name}]}))
    with pytest.raises(ValueError, match="expected a name inside its folder"):
        saved_files(root)


@pytest.mark.parametrize("state", ["5", "null", "[", '{"_data_files": 5}', '{"_data_files": null}', "{}"])
def test_lists_of_files_of_any_shape_are_refused(tmp_path: Path, state: str) -> None:
    (tmp_path / "state.json").write_text(state)
    with pytest.raises(ValueError, match=r"state\.json: (expected|not whole JSON)"):
        saved_files(tmp_path)


def test_a_selection_that_was_not_applied_is_refused(tmp_path: Path, twelve: Pictures) -> None:
    state = {"_data_files": [{"filename": "data.arrow"}], "_indices_data_files": [{"filename": "rows.arrow"}]}
    (saved(tmp_path / "s", twelve) / "state.json").write_text(json.dumps(state))
    with pytest.raises(ValueError, match="is a selection of rows"):
        saved_files(tmp_path / "s")


def test_an_arrow_file_is_read_to_its_end_and_no_further(tmp_path: Path, twelve: Pictures) -> None:
    root = saved(tmp_path / "s", twelve)
    whole = (root / "data.arrow").read_bytes()
    assert len(arrow_catalogue(saved_files(root), Feature(), Reading())[0]) == 12
    for damaged, said in (
        (whole[:-8], "it has no end"),
        (whole[: len(whole) // 2 // 8 * 8], "it has no end"),
        (whole + whole, f"{len(whole)} bytes follow its end"),
    ):
        (root / "data.arrow").write_bytes(damaged)
        with pytest.raises(ValueError, match=rf"data\.arrow: not a whole Arrow file \({said}"):
            arrow_catalogue(saved_files(root), Feature(), Reading())


def test_special_files_are_refused_at_once(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "a.parquet")
    for path in (tmp_path, tmp_path / "a.parquet"):
        with pytest.raises(ValueError, match=r"a\.parquet: is a named pipe"):
            parquet_files(path)


def test_a_table_of_words_holds_no_pictures(tmp_path: Path, twelve: Pictures) -> None:
    assert not holds_pictures(written(tmp_path / "a.parquet", {"file_name": ["0.png"]}))
    assert holds_pictures(written(tmp_path / "b.parquet", {"image": cells(twelve)}))
    (tmp_path / "c.parquet").write_bytes(b"no table")
    assert holds_pictures(tmp_path / "c.parquet")
    assert TableFile(tmp_path / "a.parquet", "") in parquet_files(tmp_path)
