"""Twelve kinds of file, and what is said of each; nothing is fetched from a network."""

from __future__ import annotations

import io
import json
import os
import struct
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from imagelab.data.textures import Textures
from imagelab.io.marks import png_marks, save_marks, svg_marks
from imagelab.provenance.keys import new_key
from imagelab.provenance.ledger import Place
from imagelab.provenance.origins import facts_of
from imagelab.provenance.signatures import can_verify
from imagelab.provenance.signing import sign_detached, sign_picture
from imagelab.run_folder import RunFolder
from imagelab.runs.shard_files import write_measurements
from imagelab.seeds import seed_at

from .conftest import exit_code, image_of

pytestmark = pytest.mark.usefixtures("no_network")
needs_c2pa = pytest.mark.skipif(not can_verify(), reason="c2pa-python is not installed: the extra sign")

Writer = Callable[..., Path]


@pytest.fixture
def inspected(run: RunFolder, capsys: pytest.CaptureFixture[str]) -> Callable[..., tuple[int, list[dict[str, Any]]]]:
    """Return a function that runs the command with --json, and returns its exit code and answers."""

    def ask(*words: object) -> tuple[int, list[dict[str, Any]]]:
        capsys.readouterr()
        code = exit_code("inspect", *words, "--runs", run.path.parent, "--json")
        return code, [json.loads(line) for line in capsys.readouterr().out.splitlines()]

    return ask


def finding(answer: dict[str, Any], kind: str) -> dict[str, Any]:
    return next(each for each in answer["findings"] if each["kind"] == kind)


def flipped_pixel(path: Path) -> None:
    """Change one value of one pixel in a PNG file, with sizes and checksums that fit, and leave all else as it is."""
    content = path.read_bytes()
    chunks, at = [], 8
    while at < len(content):
        length = struct.unpack(">I", content[at : at + 4])[0]
        chunks.append((content[at + 4 : at + 8], content[at + 8 : at + 8 + length]))
        at += 12 + length
    raw = bytearray(zlib.decompress(b"".join(data for kind, data in chunks if kind == b"IDAT")))
    raw[-1] ^= 1
    body = zlib.compress(bytes(raw))
    first = next(i for i, (kind, _) in enumerate(chunks) if kind == b"IDAT")
    rest = [chunk for chunk in chunks if chunk[0] != b"IDAT"]
    rest.insert(first, (b"IDAT", body))
    parts = [struct.pack(">I", len(d)) + k + d + struct.pack(">I", zlib.crc32(k + d)) for k, d in rest]
    path.write_bytes(content[:8] + b"".join(parts))


def signed(path: Path, run: RunFolder, row: int = 3) -> Path:
    facts = facts_of(Place(run, 2, 0, "images.npy", row))
    keep = ("run", "generation", "line", "row", "noise_seed", "trained_on")
    sign_picture(path, "model", {name: facts[name] for name in keep})
    return path


# -- 1 to 3: signatures


@needs_c2pa
def test_a_signed_picture_is_told_by_its_signature_first_and_then_by_the_ledger(picture, run, inspected):
    new_key("Lab")
    code, (answer,) = inspected(signed(picture(), run))
    assert (code, answer["answer"]) == (0, "signature")
    assert [each["kind"] for each in answer["findings"]] == ["signature", "ledger"]
    facts = answer["findings"][0]["facts"]
    assert facts["state"] == "trusted" and "Lab" in facts["signer"]
    assert facts["record"]["row"] == "3" and facts["record"]["generation"] == "2"
    assert facts["origin"].endswith("/trainedAlgorithmicMedia")


@needs_c2pa
def test_one_changed_pixel_makes_a_signature_invalid_and_says_which_bytes_were_covered(picture, run, inspected):
    new_key("Lab")
    path = signed(picture(), run)
    flipped_pixel(path)
    _, (answer,) = inspected(path)
    found = finding(answer, "signature")
    assert found["facts"]["state"] == "invalid" and "assertion.dataHash.mismatch" in found["facts"]["failures"]
    first, last = found["facts"]["covered"]
    assert first[0] == 0 and last[1] == path.stat().st_size and f"{last[0]:,} to {last[1] - 1:,}" in found["says"]
    assert answer["answer"] != "signature", "an invalid signature is no answer"
    assert found["details"] == ["What the statement says of run, row and origin proves nothing about this file."]
    assert not any(each["kind"] == "ledger" for each in answer["findings"])


@needs_c2pa
def test_one_flipped_byte_of_the_statement_is_told_apart_from_one_of_the_picture(picture, run, inspected):
    new_key("Lab")
    path = signed(picture(), run)
    content = path.read_bytes()
    at = content.index(b"org.imagelab.ledger")  # in the claim or in the assertion: either way in the statement
    at = content.index(b"noise_seed", at) + 14
    changed = content[:at] + bytes([content[at] ^ 1]) + content[at + 1 :]
    start = changed.index(b"caBX")
    length = struct.unpack(">I", changed[start - 4 : start])[0]
    checksum = struct.pack(">I", zlib.crc32(changed[start : start + 4 + length]))
    path.write_bytes(changed[: start + 4 + length] + checksum + changed[start + 8 + length :])
    _, (answer,) = inspected(path)
    assert finding(answer, "signature")["facts"]["state"] == "invalid"
    assert "statement itself was changed" in finding(answer, "signature")["says"]
    assert answer["answer"] == "ledger"


@needs_c2pa
def test_a_signature_by_a_foreign_key_is_valid_and_not_trusted_until_the_key_is_named(picture, run, inspected):
    stranger, _ = new_key("Stranger")
    root = run.path.parent.parent / "stranger.pem"
    root.write_text(stranger.root)
    photograph = picture("foreign.png", generation=2, row=5)
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (64, 64, 3), np.uint8)).save(photograph)
    sign_picture(photograph, "camera", {})
    new_key("Mine", force=True)
    _, (answer,) = inspected(photograph)
    assert finding(answer, "signature")["facts"]["state"] == "valid"
    assert "do not know" in answer["says"] and "not who made it" in " ".join(answer["findings"][0]["details"])
    _, (answer,) = inspected(photograph, "--trust", root)
    assert finding(answer, "signature")["facts"]["state"] == "trusted"


# -- 4 to 7: what the ledger and the perceptual hash find


def test_a_picture_without_marks_is_found_in_the_ledger_with_its_noise_and_its_ancestry(picture, run, inspected):
    code, (answer,) = inspected(picture(compress_level=1))
    assert (code, answer["answer"]) == (0, "ledger")
    facts = finding(answer, "ledger")["facts"]
    assert (facts["run"], facts["generation"], facts["line"], facts["row"]) == (run.path.name, 2, 0, 3)
    assert facts["noise_seed"] == str(seed_at(3, "sample", 2, 0, 3))
    assert facts["trained_on"] == run.pool(2, 0).digest()
    parents = [(each["generation"], [tuple(p.values()) for p in each["trained_on"]]) for each in facts["ancestry"]]
    assert parents == [(2, [(0, -1, 6), (1, 0, 6)]), (1, [(0, -1, 12)])]


def test_a_picture_that_was_saved_again_loses_its_marks_and_stays_in_the_ledger(picture, run, inspected, tmp_path):
    marked = picture("marked.png", pnginfo=png_marks("model", imagelab=json.dumps({"row": 3})))
    Image.open(marked).copy().save(stripped := tmp_path / "stripped.png")
    _, (before, after) = inspected(marked, stripped)
    assert [each["kind"] for each in before["findings"]] == ["ledger", "mark"]
    assert [each["kind"] for each in after["findings"]] == ["ledger"]


@pytest.mark.parametrize("array", ["heldout.npy", "probe.npy"])
def test_other_arrays_of_a_run_are_in_the_ledger_too(run, inspected, tmp_path, array: str):
    generation = 0 if array == "heldout.npy" else 1
    pixels = np.load(run.shard_path(generation) / array)[1]
    image_of(pixels).save(path := tmp_path / "other.png")
    _, (answer,) = inspected(path)
    assert finding(answer, "ledger")["facts"]["array"] == array


def test_a_jpeg_is_a_near_match_with_its_measured_rate_of_false_matches(picture, run, inspected):
    _, (answer,) = inspected(picture("row.jpg", quality=90))
    near = finding(answer, "near")
    assert answer["answer"] == "near" and near["says"].startswith("Probably a version of row 3 of generation 2")
    assert near["facts"]["false_at_most"] <= 0.01 and "95 % limit" in " ".join(near["details"])
    assert near["facts"]["nearest"]["noise_seed"] == str(seed_at(3, "sample", 2, 0, 3))


def test_of_two_rows_that_are_both_near_none_is_named(picture, run, inspected, tmp_path):
    soft = np.clip(np.array(run.images(2)[3], int) + 1, 0, 255).astype(np.uint8)
    image_of(soft).save(path := tmp_path / "soft.png")
    other = RunFolder.create(run.path.parent / "photocopy-00000000", {**run.config, "signature": "0" * 8})
    shard = other.begin(0)
    brighter = np.clip(np.array(run.images(2), int) + 2, 0, 255).astype(np.uint8)
    np.save(shard / "images.npy", brighter)
    write_measurements(shard, [])
    other.commit(0)
    _, (answer,) = inspected(path)
    assert answer["answer"] == "unknown" and "none of them is named" in finding(answer, "near")["says"]


def test_a_stranger_is_no_near_match(faces, run, inspected, tmp_path):
    stranger = np.ascontiguousarray(faces[0][:, :, ::-1])
    image_of(stranger).save(path := tmp_path / "stranger.jpg")
    _, (answer,) = inspected(path)
    assert answer["answer"] == "unknown" and "no near match" in finding(answer, "near")["says"]


def test_a_cropped_picture_is_unknown_or_named_within_the_threshold(picture, run, inspected, tmp_path):
    Image.open(picture()).crop((4, 4, 60, 60)).save(path := tmp_path / "crop.png")
    _, (answer,) = inspected(path)
    facts = finding(answer, "near")["facts"]
    assert (answer["answer"] == "near") == (facts["distance"] <= facts["threshold"])
    assert not any(each["kind"] == "ledger" for each in answer["findings"])


# -- 8 to 9: marks


@pytest.mark.parametrize("form", ["PNG", "JPEG", "WEBP"])
def test_a_forged_mark_on_a_photograph_is_a_claim_and_not_believed(inspected, tmp_path, form: str):
    crop = image_of(Textures().load("train", 1, 0).images[0])
    crop.save(path := tmp_path / f"photo.{form.lower()}", format=form, **save_marks(form, "model"))
    _, (answer,) = inspected(path)
    assert answer["answer"] == "mark" and answer["says"] == "The file says of itself: made by a trained model."
    assert "Anybody can write this" in " ".join(answer["findings"][0]["details"])


def test_a_mark_that_names_other_pixels_is_contradicted(inspected, tmp_path):
    crop = image_of(Textures().load("train", 1, 0).images[0])
    record = json.dumps({"run": "photocopy-1a2b3c4d", "generation": 2, "row": 3, "sha256": "0" * 64})
    crop.save(path := tmp_path / "photo.png", pnginfo=png_marks("model", imagelab=record))
    _, (answer,) = inspected(path)
    assert "The pixels are not those that the mark names." in answer["findings"][0]["details"]


def test_marks_of_older_versions_are_read(inspected, tmp_path):
    from PIL.PngImagePlugin import PngInfo

    info = PngInfo()
    info.add_itxt("Iptc4xmpExt:DigitalSourceType", "trainedAlgorithmicMedia")
    image_of(Textures().load("train", 1, 0).images[0]).save(path := tmp_path / "old.png", pnginfo=info)
    assert inspected(path)[1][0]["answer"] == "mark"


def test_a_drawing_is_told_by_its_mark(inspected, tmp_path):
    (path := tmp_path / "chart.svg").write_text(svg_marks('<svg xmlns="http://www.w3.org/2000/svg"></svg>', "chart"))
    code, (answer,) = inspected(path)
    assert (code, answer["answer"]) == (0, "mark") and "a chart of data" in answer["says"]


# -- 10: an unmarked photograph


def test_a_photograph_without_marks_is_unknown_and_never_called_real(inspected, tmp_path):
    image_of(Textures().load("train", 1, 0).images[0]).save(path := tmp_path / "photo.png")
    code, (answer,) = inspected(path)
    assert (code, answer["answer"]) == (0, "unknown")
    assert "no evidence that it is real" in answer["says"]


# -- 11 to 12 and others: files that are no pictures, or more than one


def test_damaged_huge_and_foreign_files_get_an_answer_and_exit_code_1(picture, inspected, tmp_path):
    whole = picture().read_bytes()
    (tmp_path / "cut.png").write_bytes(whole[: len(whole) // 2])
    (tmp_path / "text.png").write_text("this is no picture")
    (tmp_path / "empty.png").write_bytes(b"")
    bomb = io.BytesIO()
    Image.new("1", (30_000, 30_000)).save(bomb, "PNG")
    (tmp_path / "bomb.png").write_bytes(bomb.getvalue())
    os.mkfifo(tmp_path / "pipe.png")
    (tmp_path / "broken.png").symlink_to(tmp_path / "nowhere.png")
    names = ["cut", "text", "empty", "bomb", "pipe", "broken", "absent"]
    code, answers = inspected(*(tmp_path / f"{name}.png" for name in names))
    assert code == 1 and [answer["answer"] for answer in answers] == ["unreadable"] * len(names)
    says = dict(zip(names, (answer["says"] for answer in answers), strict=True))
    assert "64,000,000 pixels" in says["bomb"] and "named pipe" in says["pipe"] and "0 bytes" in says["empty"]
    assert "No such file" in says["broken"] and "No such file" in says["absent"] and "not a picture" in says["text"]
    assert "truncated" in says["cut"] or "damaged" in says["cut"]


@needs_c2pa
def test_a_signed_file_that_is_no_picture_is_answered_by_its_signature(inspected, tmp_path):
    new_key("Lab")
    (path := tmp_path / "metadata.jsonl").write_text("{}")
    sign_detached(path, {"run": "r"})
    code, (answer,) = inspected(path)
    assert (code, answer["answer"]) == (0, "signature")
    path.write_text("{ }")
    code, (answer,) = inspected(path)
    assert (code, answer["answer"]) == (1, "unreadable")
    assert "at least one byte of it was changed" in finding(answer, "signature")["says"]


def test_a_linked_picture_is_answered_and_the_link_is_named(picture, inspected, tmp_path):
    (tmp_path / "link.png").symlink_to(path := picture())
    _, (answer,) = inspected(tmp_path / "link.png")
    assert answer["answer"] == "ledger" and any(str(path) in words for words in answer["remarks"])


@pytest.mark.parametrize("gap", [0, 2])
def test_a_collage_of_known_pictures_is_taken_apart(run, inspected, tmp_path, gap: int):
    tiles = [
        np.pad(np.array(run.images(1)[row]), ((0, 0), (gap, 0), (gap, 0)), constant_values=255) for row in range(4)
    ]
    grid = np.concatenate([np.concatenate(tiles[:2], 2), np.concatenate(tiles[2:], 2)], 1)
    grid[:, -20:, -20:] = 0  # the last tile is not whole
    image_of(grid).save(path := tmp_path / "collage.png")
    _, (answer,) = inspected(path)
    assert answer["answer"] == "collage" and "3 of its 4 tiles" in answer["says"]
    assert [each["row"] for each in answer["findings"][0]["facts"]["known"]] == [0, 1, 2]


def test_a_folder_is_expanded_and_plain_words_are_printed(picture, run, tmp_path, capsys):
    (tmp_path / "folder").mkdir()
    for name, row in (("a", 3), ("b", 4)):
        picture(f"folder/{name}.png", row=row)
    (tmp_path / "folder" / "notes.txt").write_text("x")
    assert exit_code("inspect", tmp_path / "folder", "--runs", run.path) == 0
    text = capsys.readouterr().out
    assert "a.png\n  ledger: Bit for bit row 3 of generation 2" in text and "b.png\n  ledger: Bit for bit row 4" in text
    assert "The model of generation 1 (VAE) was trained on 12 real training pictures (generation 0)." in text


def test_a_study_stands_for_its_runs_and_a_folder_without_any_run_is_refused(
    picture: Writer, run: RunFolder, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    study = run.path.parent / "many.study"
    (study / "points").mkdir(parents=True)
    (study / "study.json").write_text("{}")
    (study / "points" / f"{run.path.name}.json").write_text("{}")
    assert exit_code("inspect", picture(), "--runs", study) == 0
    assert "row 3 of generation 2" in capsys.readouterr().out
    (tmp_path / "nothing").mkdir()
    assert exit_code("inspect", picture(), "--runs", tmp_path / "nothing") == 1
    assert "nothing: no run lies there, so nothing can be searched" in " ".join(capsys.readouterr().err.split())


def test_a_wrong_command_and_a_run_that_is_not_there(picture, tmp_path, capsys):
    assert exit_code("inspect") == 2
    assert exit_code("inspect", picture(), "--runs", tmp_path / "nowhere") == 1
    assert "nowhere is no folder" in capsys.readouterr().err


@pytest.mark.parametrize("name", ["images.npy", "probe.npy"])
def test_the_files_of_a_run_that_was_changed_are_not_believed(run, inspected, tmp_path, name: str):
    array = run.shard_path(2) / name
    image_of(np.load(array)[0]).save(path := tmp_path / "row.png")
    assert inspected(path)[1][0]["says"].startswith("Bit for bit")
    content = bytearray(array.read_bytes())
    content[-1] ^= 1
    array.write_bytes(bytes(content))
    _, (answer,) = inspected(path)
    assert "not what it wrote any more" in finding(answer, "ledger")["says"]


def test_nothing_is_written_into_a_run_and_the_second_search_reads_no_array(picture, run, inspected, monkeypatch):
    before = {p: p.stat().st_mtime_ns for p in run.path.rglob("*")}
    path = picture()
    inspected(path)
    from imagelab.provenance import ledger

    def refuse(images: np.ndarray) -> np.ndarray:
        raise AssertionError("the digests were computed again")

    monkeypatch.setattr(ledger, "perceptual_hashes", refuse)
    assert inspected(path)[1][0]["answer"] == "ledger"
    assert {p: p.stat().st_mtime_ns for p in run.path.rglob("*")} == before
