"""Load a saved model strictly: built from the recipe, never from what a file says, and filled from safetensors only.

diffusers' ``from_pretrained`` fills tensors that a file lacks with random numbers, ignores others, and falls back to a
pickle. Here the recipe determines the network. Only the sizes of the data (side, channels, numbers of components) come
from config.json; every other setting in that file must agree with the recipe. The network is built without memory, on
the device "meta", and its tensors are compared with the header of the file before any number is read.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from ..io.untrusted import json_value, parsing, quoted, regular, shown
from .tensor_files import REMEDY, check_finite, read_tensors

if TYPE_CHECKING:
    from diffusers import ConfigMixin
    from torch import Tensor

__all__ = ["CONFIG", "WEIGHTS", "model_config", "read_gaussian", "read_net", "whole_number"]

CONFIG, WEIGHTS = "config.json", "diffusion_pytorch_model.safetensors"
"""The two files of a network, as diffusers' ``save_pretrained`` names them."""

LARGEST_CONFIG = 1 << 20
"""Most bytes of a config.json; those of diffusers have about 1 kB."""

LARGEST_SIZE = 1 << 24
"""Most pixels a side, channels or components that a config.json may state."""

PICKLES = (".bin", ".pt", ".pth", ".ckpt", ".pkl", ".pickle")


def model_config(path: Path) -> dict[str, Any]:
    """Return the object in a config.json.

    Raises:
        ValueError: naming the file, where it is missing, too large, not JSON, or not an object.
    """
    size = regular(path).st_size
    if size > LARGEST_CONFIG:
        raise ValueError(f"{shown(path)}: expected a config of at most {LARGEST_CONFIG:,} bytes, got {size:,}")
    config = json_value(path.read_bytes(), path)
    if not isinstance(config, dict):
        raise ValueError(f"{shown(path)}: expected an object of settings, got {quoted(config, 60)}")
    return config


def whole_number(path: Path, config: dict[str, Any], name: str, least: int = 1) -> int:
    """Return a whole number of a config.

    Args:
        path: the file, for the message.
        config: its content.
        name: of the setting.
        least: the smallest number allowed.

    Raises:
        ValueError: naming file and setting, for anything that is not a whole number of at most 2^24.
    """
    value = config.get(name)
    if type(value) is not int or not least <= value <= LARGEST_SIZE:
        got = "nothing" if name not in config else quoted(value, 60)
        raise ValueError(f"{shown(path)}: {name}: expected a whole number of {least} to {LARGEST_SIZE}, got {got}")
    return value


def read_net(folder: Path, sizes: Mapping[str, int], build: Callable[[dict[str, int]], Any], device: str) -> Any:
    """Return a network that ``save_pretrained`` has written, on the device and in eval mode.

    Args:
        folder: with config.json and diffusion_pytorch_model.safetensors.
        sizes: the whole numbers that are taken from config.json, and the least value of each.
        build: makes the network of the recipe; its argument is those numbers by name.
        device: torch device.

    Raises:
        ValueError: naming the file, what was expected, what was found and what to do, where config.json is damaged or
            of another recipe; where a tensor is missing, not expected, or of another shape or dtype; where the file is
            cut, longer than it should be, or not there; or where a weight is NaN or infinite.
    """
    try:
        return _filled(folder, sizes, build).eval().to(torch.device(device))
    except ValueError as error:
        raise ValueError(f"{error}.{_pickle_beside(folder)} {REMEDY}") from error


def _filled(folder: Path, sizes: Mapping[str, int], build: Callable[[dict[str, int]], Any]) -> Any:
    path = folder / CONFIG
    config = model_config(path)
    numbers = {name: whole_number(path, config, name, least) for name, least in sizes.items()}
    with parsing(path, "the settings of a network of this recipe"), torch.device("meta"):
        net = build(numbers)
    _agree(path, config, net)
    weights = folder / WEIGHTS
    tensors = read_tensors(weights, net.state_dict())
    check_finite(weights, tensors)
    net.load_state_dict(tensors, strict=True, assign=True)
    return net


def read_gaussian(folder: Path) -> tuple[dict[str, Tensor], float, tuple[int, int, int]]:
    """Return the tensors, the residual variance and the image shape [C,H,W] of a saved ``GaussianModel``, on the CPU.

    Args:
        folder: with config.json and model.safetensors.

    Raises:
        ValueError: as for :func:`read_net`.
    """
    try:
        path, weights = folder / CONFIG, folder / "model.safetensors"
        config = model_config(path)
        residual, shape = config.get("residual"), config.get("shape")
        if not isinstance(shape, list) or len(shape) != 3:
            raise ValueError(f"{shown(path)}: shape: expected three whole numbers, got {quoted(shape, 60)}")
        if isinstance(residual, bool) or not isinstance(residual, float | int) or not 0 <= residual <= LARGEST_SIZE:
            raise ValueError(f"{shown(path)}: residual: expected a variance of at least 0, got {quoted(residual, 60)}")
        channels, height, width = (whole_number(path, {"shape": side}, "shape") for side in shape)
        components = whole_number(path, config, "components_in_force")
        values = channels * height * width
        forms = {"mean": (values,), "directions": (components, values), "variances": (components,)}
        with parsing(path, "the settings of a Gaussian"):
            expected = {name: torch.empty(form, device="meta") for name, form in forms.items()}
        tensors = read_tensors(weights, expected)
        check_finite(weights, tensors)
    except ValueError as error:
        raise ValueError(f"{error}.{_pickle_beside(folder)} {REMEDY}") from error
    return tensors, float(residual), (channels, height, width)


def _agree(path: Path, config: dict[str, Any], net: ConfigMixin) -> None:
    """Refuse a config that states another kind of network, or a setting other than the recipe's."""
    known = json.loads(json.dumps(dict(net.config)))
    stated = {"_class_name": type(net).__name__, **config}
    expected = {"_class_name": type(net).__name__, **known}
    for name, value in stated.items():
        if name.startswith("_") and name != "_class_name":  # versions and paths
            continue
        if name not in expected:
            raise ValueError(f"{shown(path)}: {quoted(name, 60)}: {type(net).__name__} has no such setting")
        if value != expected[name]:
            usual, got = quoted(expected[name], 60), quoted(value, 60)
            raise ValueError(f"{shown(path)}: {name}: expected {usual} as in the recipe, got {got}")


def _pickle_beside(folder: Path) -> str:
    """Say so where pickled weights lie beside; somebody may expect them to be read."""
    found = sorted(path.name for path in folder.glob("*") if path.suffix in PICKLES)
    if not found:
        return ""
    return f" {quoted(found[0], 60)} is not read: a pickle can hold code; only safetensors files are."
