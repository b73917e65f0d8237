from __future__ import annotations

import os
import socket
from collections.abc import Callable
from pathlib import Path

import pytest

from imagelab.export.model_files import copy_model
from imagelab.io.disk import NoRoom, free_bytes

SECRET = "BEGIN PRIVATE KEY"


@pytest.fixture
def model(tmp_path: Path) -> Path:
    """A folder with all files that the generators of the package write, and a secret outside of it."""
    home = tmp_path / "run" / "model"
    for name in (
        "config.json",
        "model.safetensors",
        "model_index.json",
        "diffusion_pytorch_model.safetensors",
        "unet/config.json",
        "unet/diffusion_pytorch_model-00001-of-00002.safetensors",
        "unet/diffusion_pytorch_model.safetensors.index.json",
        "scheduler/scheduler_config.json",
    ):
        (home / name).parent.mkdir(parents=True, exist_ok=True)
        (home / name).write_text(name)
    (tmp_path / "id_rsa").write_text(SECRET)
    (tmp_path / "target").mkdir()
    return home


def copied(folder: Path) -> dict[str, str]:
    return {str(p.relative_to(folder)): p.read_text() for p in folder.rglob("*") if not p.is_dir()}


def test_all_files_of_a_model_are_copied(model: Path, tmp_path: Path) -> None:
    assert copy_model(model, tmp_path / "target") == []
    assert copied(tmp_path / "target") == {name: name for name in copied(model)} and len(copied(model)) == 8


def _socket(path: Path) -> None:
    os.chdir(path.parent)  # the name of a socket may be at most about 100 bytes long
    socket.socket(socket.AF_UNIX).bind(path.name)


PLANTED: dict[str, tuple[Callable[[Path, Path], object], str]] = {
    "note.txt": (lambda path, secret: path.symlink_to(secret), "a link"),
    "weights.bin": (lambda path, secret: path.write_text(secret.read_text()), "not a file of a model"),
    "vae": (lambda path, secret: path.symlink_to(secret.parent), "a link"),
    "extra": (lambda path, secret: path.mkdir(), "a folder"),
    "endless": (lambda path, secret: os.mkfifo(path), "a pipe or device"),
    "plug": (lambda path, secret: _socket(path), "a pipe or device"),
    "unet/key.pem": (lambda path, secret: path.symlink_to(secret), "a link"),
    "README.md": (lambda path, secret: path.symlink_to(secret), "a link"),
    "dangling.json": (lambda path, secret: path.symlink_to("nowhere"), "a link"),
}


@pytest.mark.parametrize("name", PLANTED)
def test_what_no_model_has_is_left_out_and_told(
    name: str, model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    before = copied(model)
    plant, kind = PLANTED[name]
    plant(model / name, tmp_path / "id_rsa")
    assert copy_model(model, tmp_path / "target") == [f"{name} ({kind})"]
    assert copied(tmp_path / "target") == before and SECRET not in str(copied(tmp_path / "target"))


@pytest.mark.parametrize("name", ["config.json", "unet/config.json", "diffusion_pytorch_model.safetensors"])
@pytest.mark.parametrize("how", ["link", "pipe", "folder"])
def test_a_file_of_the_model_that_is_no_file_is_refused(name: str, how: str, model: Path, tmp_path: Path) -> None:
    (model / name).unlink()
    if how == "link":
        (model / name).symlink_to(tmp_path / "id_rsa")
    elif how == "pipe":
        os.mkfifo(model / name)
    else:
        (model / name).mkdir()
    with pytest.raises(ValueError, match=rf"model/{name}: is a (link|pipe or device|folder); expected the file itself"):
        copy_model(model, tmp_path / "target")
    assert SECRET not in str(copied(tmp_path / "target"))


def test_a_model_that_is_a_link_is_refused(model: Path, tmp_path: Path) -> None:
    link = tmp_path / "link"
    link.symlink_to(model)
    with pytest.raises(ValueError, match="link: is a link; expected the folder of a model"):
        copy_model(link, tmp_path / "target")
    with pytest.raises(ValueError, match="nowhere: no such folder"):
        copy_model(tmp_path / "nowhere", tmp_path / "target")


def test_a_linked_folder_in_place_of_a_known_one_is_not_entered(model: Path, tmp_path: Path) -> None:
    (model / "scheduler").rename(tmp_path / "elsewhere")
    (model / "scheduler").symlink_to(tmp_path / "elsewhere")
    assert copy_model(model, tmp_path / "target") == ["scheduler (a link)"]


def test_a_folder_without_weights_is_no_model(tmp_path: Path) -> None:
    (tmp_path / "model").mkdir()
    (tmp_path / "target").mkdir()
    (tmp_path / "model" / "config.json").write_text("{}")
    with pytest.raises(ValueError, match=r"expected the weights of a model \(\.safetensors\), found config\.json"):
        copy_model(tmp_path / "model", tmp_path / "target")


def test_a_generator_of_somebodys_own_may_have_other_names_but_no_code(model: Path, tmp_path: Path) -> None:
    for name in ("weights.npz", "part/more.json", "load.py", "weights.pkl", ".hidden.json"):
        (model / name).parent.mkdir(exist_ok=True)
        (model / name).write_text(name)
    left = copy_model(model, tmp_path / "target", own=True)
    assert left == [f"{name} (not a file of a model)" for name in (".hidden.json", "load.py", "weights.pkl")]
    assert {"weights.npz", "part/more.json"} <= set(copied(tmp_path / "target"))


def test_ten_thousand_files_are_not_listed(model: Path, tmp_path: Path) -> None:
    for number in range(10_001):
        os.mknod(model / f"{number}")
    with pytest.raises(ValueError, match="model: holds more than 10,000 files"):
        copy_model(model, tmp_path / "target")


def test_a_model_larger_than_the_free_space_is_refused_before_it_is_written(model: Path, tmp_path: Path) -> None:
    with (model / "model.safetensors").open("wb") as file:
        file.truncate(2 * free_bytes(tmp_path))  # a file with a hole: it takes no space itself
    with pytest.raises(NoRoom):
        copy_model(model, tmp_path / "target")
    assert copied(tmp_path / "target") == {}
