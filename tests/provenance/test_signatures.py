from __future__ import annotations

import hashlib
import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from imagelab.io.manifest import Manifest
from imagelab.provenance.keys import new_key
from imagelab.provenance.signatures import can_verify, side_file, verify
from imagelab.provenance.signed_runs import FOLDER, check_signed, merkle_root, sign_run
from imagelab.provenance.signing import sign_detached, sign_picture
from imagelab.run_folder import RunFolder

from .conftest import exit_code

pytestmark = [
    pytest.mark.usefixtures("no_network"),
    pytest.mark.skipif(not can_verify(), reason="c2pa-python is not installed: the extra sign"),
]


@pytest.mark.parametrize("name", ["a.png", "a.jpg", "a.webp"])
def test_a_signed_picture_keeps_its_pixels_and_states_its_place(picture: Callable[..., Path], name: str):
    from PIL import Image

    key, _ = new_key("Lab")
    before = np.asarray(Image.open(path := picture(name)).convert("RGB")).copy()
    sign_picture(path, "model", {"run": "r", "row": 3, "noise_seed": "12", "trained_on": "f" * 64})
    assert (np.asarray(Image.open(path).convert("RGB")) == before).all()
    found = verify(path, [key.root])
    assert found is not None and (found.state, found.detached) == ("trusted", False)
    assert found.record == {"run": "r", "row": "3", "noise_seed": "12", "trained_on": "f" * 64}
    unknown = verify(path)
    assert unknown is not None and unknown.state == "valid"


@pytest.mark.parametrize("name", ["a.png", "a.jpg", "a.webp"])
def test_no_byte_outside_the_statement_can_change_unnoticed(
    picture: Callable[..., Path], rng: np.random.Generator, name: str
):
    key, _ = new_key("Lab")
    sign_picture(path := picture(name), "model", {"row": 3})
    whole = path.read_bytes()
    found = verify(path, [key.root])
    assert found is not None and sum(last - first for first, last in found.covered) > 0.5 * len(whole) - 4000
    for first, last in found.covered:
        for at in rng.integers(first, last, 15):
            changed = bytearray(whole)
            changed[at] ^= 1 << int(rng.integers(8))
            path.write_bytes(bytes(changed))
            again = verify(path, [key.root])
            assert again is None or again.state == "invalid", at


def test_a_picture_of_unknown_origin_is_signed_without_a_source_type(picture: Callable[..., Path]):
    key, _ = new_key("Lab")
    sign_picture(path := picture(), None, {"run": "r"})
    found = verify(path, [key.root])
    assert found is not None and (found.state, found.origin) == ("trusted", "")


def test_the_training_set_is_one_input_of_the_statement(picture: Callable[..., Path]):
    import io

    from c2pa import Context, Reader

    from imagelab.provenance.signatures import settings_of

    new_key("Lab")
    sign_picture(path := picture(), "model", {"trained_on": "f" * 64})
    with (
        Context.from_dict(settings_of()) as context,
        Reader("image/png", io.BytesIO(path.read_bytes()), context=context) as r,
    ):
        told = json.loads(r.json())
    manifest = told["manifests"][told["active_manifest"]]
    (ingredient,) = manifest["ingredients"]
    assert ingredient["relationship"] == "inputTo" and "f" * 64 in ingredient["title"]
    actions = next(each for each in manifest["assertions"] if each["label"].startswith("c2pa.actions"))["data"][
        "actions"
    ]
    assert len(actions[0]["parameters"]["ingredients"]) == 1 and actions[0]["action"] == "c2pa.created"
    assert "thumbnail" not in manifest


def test_a_detached_signature_covers_every_byte_of_its_file(tmp_path: Path):
    key, _ = new_key("Lab")
    (path := tmp_path / "metadata.jsonl").write_text('{"row": 1}\n')
    assert sign_detached(path, {"run": "r"}) == side_file(path)
    assert path.read_text() == '{"row": 1}\n'
    found = verify(path, [key.root])
    assert found is not None and (found.state, found.detached) == ("trusted", True)
    path.write_text('{"row": 2}\n')
    changed = verify(path, [key.root])
    assert changed is not None and changed.state == "invalid" and "at least one byte" in changed.reason


def test_nothing_can_be_signed_without_a_key(picture: Callable[..., Path]):
    before = (path := picture()).read_bytes()
    with pytest.raises(ValueError, match="imagelab key new"):
        sign_picture(path, "model", {})
    assert path.read_bytes() == before


def test_the_settings_never_reach_for_the_network():
    from imagelab.provenance.signatures import settings_of

    assert settings_of()["verify"] == {"remote_manifest_fetch": False, "ocsp_fetch": False, "verify_after_sign": False}


def test_the_merkle_root_is_that_of_rfc_6962():
    leaf = [hashlib.sha256(b"\0" + bytes([i])).digest() for i in range(3)]
    pair = hashlib.sha256(b"\1" + leaf[0] + leaf[1]).digest()
    assert merkle_root([b"\0", b"\1", b"\2"]) == hashlib.sha256(b"\1" + pair + leaf[2]).hexdigest()


# -- whole generations


def test_a_run_is_signed_and_checked_by_two_commands(run: RunFolder, capsys: pytest.CaptureFixture[str]):
    new_key("Lab")
    assert exit_code("sign", run.path) == 0
    assert sorted(p.name for p in (run.path / FOLDER).iterdir())[:2] == ["gen-000.json", "gen-000.json.c2pa"]
    assert exit_code("check", run.path) == 0
    text = capsys.readouterr().out
    assert "signatures: 5 generation folders as signed, by a key that you trust" in text
    assert "nothing differs from what was written" in text


def rewritten(run: RunFolder, generation: int, name: str, content: bytes) -> None:
    """Change a file and write manifests that fit, as a careful forger would; the seals are left to be made again."""
    folder = run.shard_path(generation)
    (folder / name).write_bytes(content)
    manifest = Manifest.read(folder)
    files = {**manifest.files, name: (len(content), hashlib.sha256(content).hexdigest())}
    Manifest(generation, manifest.line, manifest.signature, manifest.made_from, manifest.made_with, files).write(folder)
    (run.path / "seals.json").unlink()


@pytest.mark.parametrize("name", ["images.npy", "metrics.jsonl", "model/weights.bin", "probe.npy"])
def test_a_forger_who_writes_new_manifests_is_found_by_the_signature(
    run: RunFolder, capsys: pytest.CaptureFixture[str], name: str
):
    new_key("Lab")
    sign_run(run.path)
    content = bytearray((run.shard_path(2) / name).read_bytes()) or bytearray(b"\n")
    content[-1] ^= 3
    rewritten(run, 2, name, bytes(content))
    assert exit_code("check", run.path) == 1
    text = capsys.readouterr().out
    assert "nothing differs from what was written" in text, "the manifests alone do not show it"
    where = "gen-002: its files" if name == "probe.npy" else f"gen-002/{name}"
    assert where in text and "signed" in text


def test_a_changed_list_is_found(run: RunFolder):
    key, _ = new_key("Lab")
    sign_run(run.path, generation=1)
    path = run.path / FOLDER / "gen-001.json"
    listed = json.loads(path.read_text())
    listed["rows"][0] = "0" * 64
    path.write_text(json.dumps(listed))
    assert check_signed(run, 1, 0, [key.root]).state == "invalid"
    side_file(path).unlink()
    assert check_signed(run, 1, 0, [key.root]).state == "missing"


def test_the_list_of_one_generation_cannot_stand_for_another(run: RunFolder):
    key, _ = new_key("Lab")
    sign_run(run.path)
    for suffix in (".json", ".json.c2pa"):
        (run.path / FOLDER / f"gen-002{suffix}").write_bytes((run.path / FOLDER / f"gen-001{suffix}").read_bytes())
    assert any("another generation" in problem for problem in check_signed(run, 2, 0, [key.root]).problems)


def test_inspect_says_that_the_signed_list_holds_a_picture(run: RunFolder, picture: Callable[..., Path], capsys):
    new_key("Lab")
    sign_run(run.path, generation=2)
    assert exit_code("inspect", picture(), "--runs", run.path) == 0
    assert "The list of its generation, signed by a key that you trust (Lab" in capsys.readouterr().out


def test_without_c2pa_everything_but_signatures_works_and_says_how_to_get_them(
    run: RunFolder, picture: Callable[..., Path]
):
    """In a process of its own, in which c2pa and cryptography cannot be imported."""
    new_key("Lab")
    sign_run(run.path, generation=2)
    code = (
        "import sys, importlib.util as u; find = u.find_spec\n"
        "class Absent:\n"
        "    def find_spec(self, name, path=None, target=None):\n"
        "        if name.split('.')[0] in ('c2pa', 'cryptography'): raise ModuleNotFoundError(name)\n"
        "sys.meta_path.insert(0, Absent())\n"
        "u.find_spec = lambda name, *more: None if name in ('c2pa', 'cryptography') else find(name, *more)\n"
        "from imagelab.cli.entry import main; main(sys.argv[1:])"
    )

    def ask(*words: object) -> subprocess.CompletedProcess[str]:
        return subprocess.run([sys.executable, "-c", code, *map(str, words)], capture_output=True, text=True)

    found = ask("inspect", picture(), "--runs", run.path)
    assert found.returncode == 0, found.stderr
    assert "ledger: Bit for bit row 3" in found.stdout and "imagelab-collapse[sign]" in found.stdout
    checked = ask("check", run.path)
    assert checked.returncode == 0 and "imagelab-collapse[sign]" in checked.stdout
    for words in (("key", "new", "--force"), ("sign", run.path)):
        refused = ask(*words)
        assert refused.returncode == 1 and "imagelab-collapse[sign]" in refused.stderr, refused.stderr
