"""Damaged and foreign models: every generator refuses them in one sentence, and loads nothing but safetensors."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load, save

from imagelab.generators import GENERATORS, Cascade, Ddpm, Gaussian, Generator, LatentDiffusion, RunContext, Vae
from imagelab.seeds import image_seeds

SMALL: dict[str, Generator] = {
    "gaussian": Gaussian(components=5),
    "vae": Vae(latent=4, details=2, width=8, images_seen=16, batch=8, crop=16, neighbours=4),
    "ddpm": Ddpm(channels=(8, 16), blocks=1, images_seen=8, batch=8, noise_steps=20, steps=2),
    "ddpm on patches": Ddpm(channels=(8, 16), blocks=1, patch=2, images_seen=8, batch=8, noise_steps=20, steps=2),
    "cascade": Cascade(
        coarse_side=4,
        components=6,
        width=16,
        blocks=1,
        detail_widths=(8,),
        images_seen=8,
        coarse_share=1,
        batch=8,
        coarse_batch=8,
        steps=2,
        coarse_steps=2,
    ),
    "latent_diffusion": LatentDiffusion(
        first_stage=Vae(latent=4, details=2, width=8, images_seen=16, batch=8, crop=16, prior="normal"),
        images_seen=8,
        upper_share=1,
        batch=8,
        width=16,
        blocks=1,
        detail_widths=(8,),
        steps=2,
    ),
}
SEEDS = image_seeds(3, "sample", 1, 0, range(4))


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory, pictures: np.ndarray) -> dict[str, tuple[Path, np.ndarray]]:
    """A saved model of each kind, and what it draws."""
    made = {}
    for name, recipe in SMALL.items():
        folder = tmp_path_factory.mktemp("models") / "model"
        model = recipe.fit(pictures[:12], 0, RunContext())
        model.save(folder)
        made[name] = folder, model.sample(SEEDS)
    return made


@pytest.fixture(params=SMALL)
def saved(
    request: pytest.FixtureRequest, whole: dict[str, tuple[Path, np.ndarray]], tmp_path: Path
) -> tuple[str, Path]:
    """A copy of a saved model that may be damaged: its name in ``SMALL``, and its folder."""
    shutil.copytree(whole[request.param][0], tmp_path / "model")
    return request.param, tmp_path / "model"


def refusal(name: str, folder: Path) -> str:
    """What is said when the model is loaded; one line, with the file and what to do."""
    state = torch.get_rng_state()
    with pytest.raises(ValueError) as refused:
        SMALL[name].load(folder, RunContext())
    said = str(refused.value)
    assert torch.equal(state, torch.get_rng_state())
    assert len(said) < 700 and "\n" not in said and str(folder) in said, said
    assert "Restore the file from a copy, or remove this generation's folder" in said
    return said


def weights_of(folder: Path) -> Path:
    return sorted(folder.rglob("*.safetensors"))[-1]  # one of the three networks of latent diffusion


def config_of(folder: Path) -> Path:
    return weights_of(folder).with_name("config.json")


def change_weights(folder: Path, change: Callable[[dict[str, torch.Tensor], str], object]) -> str:
    """Change the tensors of a model; return the name of its first tensor of numbers."""
    path = weights_of(folder)
    tensors = load(path.read_bytes())
    first = sorted(name for name in tensors if tensors[name].numel() > 1)[0]
    change(tensors, first)
    path.write_bytes(save(tensors, {"format": "pt"}))
    return first


def test_every_generator_is_tried_here():
    others = {"neon", "self_guided", "command", "pipeline"}  # read as their base is, or tested in files of their own
    kinds = {recipe.kind for recipe in SMALL.values()}  # pyright: ignore[reportAttributeAccessIssue]
    assert kinds == set(GENERATORS) - others


def test_a_whole_model_is_loaded_and_no_random_number_is_drawn(
    saved: tuple[str, Path], whole: dict[str, tuple[Path, np.ndarray]]
):
    name, folder = saved
    state = torch.get_rng_state()
    model = SMALL[name].load(folder, RunContext())
    assert torch.equal(state, torch.get_rng_state())
    np.testing.assert_array_equal(model.sample(SEEDS), whole[name][1])
    model.save(folder.with_name("again"))
    assert weights_of(folder.with_name("again")).read_bytes() == weights_of(folder).read_bytes()


def test_a_tensor_that_is_missing_is_named(saved: tuple[str, Path]):
    first = change_weights(saved[1], lambda tensors, first: tensors.__delitem__(first))
    assert f"{first} is missing" in refusal(*saved)


def test_a_tensor_of_another_name_is_named(saved: tuple[str, Path]):
    first = change_weights(saved[1], lambda tensors, first: tensors.update({f"x{first}": tensors.pop(first)}))
    said = refusal(*saved)
    assert f"{first} is missing" in said and f"x{first} is not expected" in said


def test_a_tensor_too_many_is_named(saved: tuple[str, Path]):
    change_weights(saved[1], lambda tensors, first: tensors.update(extra=torch.zeros(3)))
    assert "extra is not expected" in refusal(*saved)


def test_a_tensor_of_another_shape_is_named_with_both_shapes(saved: tuple[str, Path]):
    first = change_weights(saved[1], lambda tensors, first: tensors.update({first: tensors[first].flatten()[:-1]}))
    assert f"{first} has shape [" in refusal(*saved)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64, torch.int64])
def test_a_tensor_of_another_type_is_named(saved: tuple[str, Path], dtype: torch.dtype):
    first = change_weights(saved[1], lambda tensors, first: tensors.update({first: tensors[first].to(dtype)}))
    assert f"{first} has dtype" in refusal(*saved)


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_a_weight_that_is_no_number_is_damage_and_not_divergence(saved: tuple[str, Path], value: float):
    first = change_weights(saved[1], lambda tensors, first: tensors[first].view(-1)[0].fill_(value))
    said = refusal(*saved)
    assert f"damaged: 1 values of tensor {first} are NaN or infinite" in said and "diverged" not in said


DAMAGE: dict[str, tuple[Callable[[bytes], bytes], str]] = {
    "cut in the numbers": (lambda content: content[:-10], "cut short"),
    "cut in the header": (lambda content: content[:50], "not a whole safetensors file"),
    "empty": (lambda content: b"", "not a whole safetensors file"),
    "appended": (lambda content: content + b"\0" * 8, "something was appended"),
    "a header bomb": (lambda content: (1 << 62).to_bytes(8, "little") + content[8:], "not a whole safetensors file"),
    "a header of 100 MB": (
        lambda content: (100 << 20).to_bytes(8, "little") + b" " * (100 << 20) + content,
        "not a whole safetensors file",
    ),
    "a nested header": (lambda content: (1 << 20).to_bytes(8, "little") + b"[" * (1 << 20), "nested too deeply"),
    "a header of a number": (lambda content: (1).to_bytes(8, "little") + b"5", "its header is no object"),
    "a header of numbers": (lambda content: (7).to_bytes(8, "little") + b'{"a":5}', "whole header"),
    "a pickle under the name": (lambda content: b"\x80\x04cos\nsystem\n", "not a whole safetensors file"),
}


@pytest.mark.parametrize("damage", DAMAGE)
def test_a_damaged_file_of_weights_is_refused_by_what_is_wrong(saved: tuple[str, Path], damage: str):
    change, reason = DAMAGE[damage]
    path = weights_of(saved[1])
    path.write_bytes(change(path.read_bytes()))
    assert reason in refusal(*saved)


def test_places_of_tensors_that_overlap_are_refused(saved: tuple[str, Path]):
    path = weights_of(saved[1])
    content = path.read_bytes()
    length = int.from_bytes(content[:8], "little")
    header = json.loads(content[8 : 8 + length])
    names = [name for name in header if name != "__metadata__"]
    header[names[0]]["data_offsets"] = header[names[-1]]["data_offsets"]
    text = json.dumps(header).encode()
    path.write_bytes(len(text).to_bytes(8, "little") + text + content[8 + length :])
    assert path.name in refusal(*saved)


def test_a_pickle_is_not_read_in_place_of_safetensors(saved: tuple[str, Path]):
    path = weights_of(saved[1])
    torch.save(load(path.read_bytes()), path.with_suffix(".bin"))
    path.unlink()
    said = refusal(*saved)
    assert "No such file" in said and f"{path.stem}.bin is not read: a pickle can hold code" in said


@pytest.mark.parametrize("name", ["config.json", "weights"])
def test_a_pipe_is_not_waited_for(saved: tuple[str, Path], name: str):
    path = config_of(saved[1]) if name == "config.json" else weights_of(saved[1])
    path.unlink()
    os.mkfifo(path)
    assert "is a named pipe" in refusal(*saved)


CONFIGS = ["", "null", "5", "[]", '"text"', "{", "[" * 100_000, "{}", "\udcff", '{"a":' * 60_000]


@pytest.mark.parametrize("text", CONFIGS, ids=range(len(CONFIGS)))
def test_a_config_of_any_shape_is_refused_in_one_sentence(saved: tuple[str, Path], text: str):
    config_of(saved[1]).write_bytes(text.encode("utf-8", "surrogateescape"))
    assert "config.json" in refusal(*saved)


@pytest.mark.parametrize("value", [None, "4", 4.0, True, [], {}, -1, 0, 10**12, 10**4000, float("nan")], ids=range(11))
def test_every_setting_of_a_config_is_refused_where_it_does_not_fit(saved: tuple[str, Path], value: Any):
    path = config_of(saved[1])
    config = json.loads(path.read_text())
    gaussian = saved[0] == "gaussian"
    checked = ("components_in_force", "residual", "shape") if gaussian else [each for each in config if each[0] != "_"]
    for name in checked:
        if config[name] == value or (name == "residual" and value in (0, 4.0, 10**12)):  # the value that is there
            continue
        if name == "bank" and value == 0:
            continue
        path.write_text(json.dumps({**config, name: value}))
        assert name in refusal(*saved)


def test_a_network_of_another_recipe_is_refused_by_the_setting_that_differs(
    whole: dict[str, tuple[Path, np.ndarray]],
):
    others: list[tuple[str, dict[str, Any], str]] = [
        ("vae", {"details": 3}, "details: expected 3 as in the recipe, got 2"),
        ("ddpm", {"blocks": 2}, "layers_per_block: expected 2 as in the recipe, got 1"),
        ("ddpm", {"attention": False}, "got"),
        ("ddpm on patches", {"prediction": "epsilon"}, "prediction: expected epsilon as in the recipe"),
        ("ddpm on patches", {"patch": 1}, "PatchNet"),
        ("cascade", {"detail_widths": (8, 16)}, "detail_widths: expected [8, 16] as in the recipe, got [8]"),
        ("cascade", {"coarse_side": 8}, "coarse_side"),
    ]
    for name, change, reason in others:
        with pytest.raises(ValueError, match=r"config\.json") as refused:
            SMALL[name].model_copy(update=change).load(whole[name][0], RunContext())
        assert reason in str(refused.value)


def test_many_blocks_in_a_config_are_not_built(whole: dict[str, tuple[Path, np.ndarray]], tmp_path: Path):
    for name, setting in (("cascade", "blocks"), ("ddpm", "layers_per_block"), ("ddpm on patches", "blocks")):
        folder = tmp_path / name
        shutil.copytree(whole[name][0], folder)
        config = json.loads(config_of(folder).read_text())
        config_of(folder).write_text(json.dumps({**config, setting: 10**7}))
        assert setting in refusal(name, folder)
