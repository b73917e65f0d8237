"""A feature network of one's own: distances between images as your network sees them.

A description, a JSON file, states all that changes a number beside the network's weights:

    {"network": "encoder.onnx", "size": 224, "resize": "bicubic", "mean": [0.5, 0.5, 0.5], "std": [0.5, 0.5, 0.5]}

``network`` is a file beside it, or a Python function:

    NAME.onnx            read by onnxruntime, the extra ``onnx``; its first input is the images, its first output the
                         features. Weights in a second file are refused, because they would not be part of the digest.
    NAME.pt              a TorchScript program (torch.jit.save)
    NAME.pt2             an exported program (torch.export.save), with a batch dimension that is free
    FILE.py:FUNCTION     ``FUNCTION(images, device)`` is called with float32 [B,C,H,W] and returns [B,D]

An image goes through these steps: bytes to 0..255 in float32; to C channels (a grey image is repeated, a colour image
becomes grey by the weights of ITU-R BT.601); the whole image to ``size`` x ``size`` px by ``resize`` with antialiasing;
divided by 255; minus ``mean``, divided by ``std``, a channel. Features [B,D,H,W] are averaged over their positions.

Opening a network runs code: TorchScript and Python can do what you can do. Only open files that you trust.

References:
    GANs trained by a two time-scale update rule (Heusel et al. 2017), arXiv:1706.08500: the Fréchet distance.
    Demystifying MMD GANs (Bińkowski et al. 2018), arXiv:1801.01401: the kernel distance.
"""

from __future__ import annotations

import hashlib
import importlib.util
import json
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal, cast

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from ..io.own_code import load_file
from ..io.untrusted import quoted, regular, shown
from ..measurement import Measurement
from . import frechet, kernel, prdc
from .base import Evidence, Metric, Quantity
from .blocks import in_blocks
from .features import SPACES, Space
from .table import METRICS

if TYPE_CHECKING:
    from torch import Tensor

__all__ = ["HOW_TO_INSTALL", "NETWORK", "NetworkDescription", "add_networks", "network_metric"]

NETWORK = "network"
"""The name of the metric."""

HOW_TO_INSTALL = "pip install 'imagelab-collapse[onnx]'"
"""The command that installs what ONNX files need."""

LUMA = (0.299, 0.587, 0.114)  # ITU-R BT.601
MOST_BYTES = 1 << 20  # of a description
BATCH = 16  # images that a network reads at a time

Values = Annotated[tuple[Annotated[float, Field(allow_inf_nan=False)], ...], Field(max_length=3)]


class NetworkDescription(BaseModel):
    """What a description states.

    Attributes:
        network: file of the network, relative to the description, or ``FILE.py:FUNCTION``.
        name: the name of its feature space; the name of the network's file if not given.
        channels: channels C that the network reads, 1 or 3.
        size: pixels a side of what it reads; 0 for images as they are.
        resize: the kernel of the resampling to that size.
        mean: subtracted from each channel, for values from 0 to 1; nothing if empty.
        std: divides each channel after that; 1 if empty.
        standardise: whether each feature is measured in units of its spread over the real images.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    network: Annotated[str, Field(min_length=1, max_length=500)]
    name: Annotated[str, Field(pattern=r"^[A-Za-z0-9._-]{0,40}$")] = ""
    channels: Literal[1, 3] = 3
    size: Annotated[int, Field(ge=0, le=2048)] = 0
    resize: Literal["bicubic", "bilinear"] = "bicubic"
    mean: Values = ()
    std: Annotated[tuple[Annotated[float, Field(gt=0.0, allow_inf_nan=False)], ...], Field(max_length=3)] = ()
    standardise: bool = False

    @property
    def words(self) -> str:
        """The resampling in words, as measurements record it; "" for none."""
        return f"{self.resize} to {self.size} px, antialias" if self.size else ""


def network_metric(paths: Sequence[Path | str]) -> Metric:
    """Return the metric ``network``: distances in the feature spaces of networks of one's own.

    Its measurements, for a network called NAME: ``fd_network/NAME`` and ``fd_network_corrected/NAME`` (Fréchet),
    ``kd_network/NAME`` (kernel distance), ``precision_network/NAME``, ``recall_network/NAME``, ``density_network/NAME``
    and ``coverage_network/NAME``. ``METRICS.add`` makes it known;
    :func:`add_networks` and ``imagelab measure --network FILE`` do so.

    Args:
        paths: descriptions, see the module; each network under another name.

    Raises:
        ValueError: for a description or network that cannot be used: what was expected, what came, what to do.
    """
    return _metric(_opened(paths))


def add_networks(paths: Sequence[Path | str]) -> tuple[str, ...]:
    """Make the metric ``network`` known, and return the names of its feature spaces; see :func:`network_metric`."""
    spaces = _opened(paths)
    METRICS.add(_metric(spaces))
    return tuple(name for name, _ in spaces)


def _opened(paths: Sequence[Path | str]) -> tuple[tuple[str, str], ...]:
    """Make the feature spaces of networks known, and return (name, digest) of each."""
    spaces: list[tuple[str, str]] = []
    for path in map(Path, paths):
        space = _space(path)
        if space.name in {name for name, _ in spaces}:
            raise ValueError(f"{shown(path)}: two networks are called {space.name}; give one of them another name")
        if space.name in SPACES and SPACES[space.name].digest() != space.digest():
            raise ValueError(
                f"{shown(path)}: there is another feature space called {space.name}; expected a name of its own"
            )
        SPACES[space.name] = space
        spaces.append((space.name, space.digest()))
    return tuple(spaces)


def _metric(spaces: tuple[tuple[str, str], ...]) -> Metric:
    return Metric(
        partial(_measured, spaces=spaces),
        title="Distance by a network of your own",
        unit="",
        what="How far the made images are from the real ones, seen through the network that was given.",
        blind="What that network does not see; values of two networks cannot be compared.",
        better="lower",
        least=200,
        cite=frechet.CITE,
        gives=("fd_network", "fd_network_corrected", "kd_network", *(f"{name}_network" for name in prdc.NAMES)),
        but={
            "kd_network": Quantity(cite=kernel.CITE),
            **{
                f"{name}_network": Quantity("" if name == "density" else "share", "higher", prdc.CITE)
                for name in prdc.NAMES
            },
        },
        name=NETWORK,
    )


def _measured(evidence: Evidence, spaces: Sequence[tuple[str, str]]) -> list[Measurement]:
    found: list[Measurement] = []
    for space, _ in spaces:
        found += frechet.frechet_rows(evidence, space, f"fd_network/{space}")
        found.append(kernel.kernel_row(evidence, space, f"kd_network/{space}"))
        found += prdc.prdc_rows(evidence, space, lambda name, space=space: f"{name}_network/{space}")
    return found


def _space(path: Path) -> Space:
    described = _description(path)
    place, _, function = described.network.partition(".py:")
    file = path.parent / (f"{place}.py" if function else described.network)
    regular(file)
    known = {".onnx": _onnx, ".pt": _script, ".pth": _script, ".ts": _script, ".pt2": _exported}
    if not function and file.suffix.lower() not in known:
        raise ValueError(
            f"{shown(path)}: network: expected a file that ends in {', '.join(known)}, or FILE.py:FUNCTION, got "
            f"{quoted(described.network, 80)}"
        )
    content = file.read_bytes()
    stated = json.dumps(described.model_dump(mode="json", exclude={"name", "network"}), sort_keys=True)
    digest = hashlib.sha256(content + b"\0" + function.encode() + b"\0" + stated.encode()).hexdigest()
    opened = partial(_python, function=function) if function else known[file.suffix.lower()]
    name = described.name or file.stem
    if not name.replace("-", "").replace("_", "").replace(".", "").isalnum() or len(name) > 40:
        raise ValueError(f'{shown(path)}: expected a "name" of letters, digits, ".", "_" and "-", got {quoted(name)}')

    def extractor(device: str) -> Callable[[Tensor], Tensor]:
        if hashlib.sha256(file.read_bytes()).digest() != hashlib.sha256(content).digest():
            raise ValueError(f"{shown(file)}: was changed after it was opened; measure again")
        return partial(_features, net=opened(file, device), described=described, name=name)

    return Space(name, extractor, lambda: digest, described.words, described.standardise)


def _description(path: Path) -> NetworkDescription:
    example = '{"network": "encoder.onnx", "size": 224, "mean": [0.5, 0.5, 0.5], "std": [0.5, 0.5, 0.5]}'
    if regular(path).st_size > MOST_BYTES:
        raise ValueError(f"{shown(path)}: expected a description of a network, JSON such as {example}")
    try:
        described = NetworkDescription.model_validate_json(path.read_bytes(), strict=False)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"])) or "the file"
        why = f"{quoted(where, 60)}: {first['msg']}"
        raise ValueError(f"{shown(path)}: {why}. Expected a description of a network, such as {example}") from None
    for key in ("mean", "std"):
        values = getattr(described, key)
        if len(values) not in (0, 1, described.channels):
            raise ValueError(f"{shown(path)}: {key}: expected 1 or {described.channels} numbers, got {len(values)}")
    return described


def _features(images: Tensor, net: Callable[[Tensor], Tensor], described: NetworkDescription, name: str) -> Tensor:
    """Return the features [B,D] of uint8 [B,C,H,W]."""
    import torch

    def block(part: Tensor) -> Tensor:
        found = net(_prepared(part, described))
        if not isinstance(found, torch.Tensor) or found.ndim not in (2, 4) or len(found) != len(part):
            came = tuple(found.shape) if isinstance(found, torch.Tensor) else type(found).__name__
            raise ValueError(f"network {name}: expected features [{len(part)},D] or [{len(part)},D,H,W], got {came}")
        return (found.mean(dim=(2, 3)) if found.ndim == 4 else found).float()

    return torch.cat([in_blocks(block, part, BATCH) for part in images.split(BATCH)])


def _prepared(images: Tensor, described: NetworkDescription) -> Tensor:
    """Return what the network reads: float32 [B,channels,S,S]."""
    import torch
    from torch.nn import functional

    values = images.float()
    if values.shape[1] == 1 and described.channels == 3:
        values = values.expand(-1, 3, -1, -1)
    elif values.shape[1] == 3 and described.channels == 1:
        values = (values * torch.tensor(LUMA, device=values.device).reshape(1, 3, 1, 1)).sum(dim=1, keepdim=True)
    side = described.size
    if side and tuple(values.shape[2:]) != (side, side):
        values = functional.interpolate(
            values, (side, side), mode=described.resize, align_corners=False, antialias=True
        ).clamp(0.0, 255.0)
    values = values / 255.0
    for numbers, act in ((described.mean, torch.sub), (described.std, torch.div)):
        if numbers:
            values = act(values, torch.tensor(numbers, device=values.device).reshape(1, -1, 1, 1))
    return values


def _script(file: Path, device: str) -> Callable[[Tensor], Tensor]:
    import torch

    try:
        return torch.jit.load(str(file), map_location=device).eval()
    except RuntimeError as error:
        raise ValueError(
            f"{shown(file)}: expected a TorchScript program, written by torch.jit.save ({quoted(error, 160)}). A file "
            "of weights alone is no network: give FILE.py:FUNCTION, a function that builds it"
        ) from error


def _exported(file: Path, device: str) -> Callable[[Tensor], Tensor]:
    import torch

    try:
        return torch.export.load(str(file)).module().to(device)
    except Exception as error:  # the reader raises whatever the content of the file leads to
        raise ValueError(
            f"{shown(file)}: expected an exported program, written by torch.export.save ({quoted(error, 160)})"
        ) from error


def _onnx(file: Path, device: str) -> Callable[[Tensor], Tensor]:
    import torch

    if importlib.util.find_spec("onnxruntime") is None:
        raise ValueError(f"{shown(file)}: ONNX files need onnxruntime: {HOW_TO_INSTALL}")
    import onnxruntime

    wanted = ["CUDAExecutionProvider"] if device.startswith("cuda") else []
    providers = [each for each in wanted if each in onnxruntime.get_available_providers()]
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = torch.get_num_threads()
    options.log_severity_level = 4
    try:  # from bytes: then no second file is read, which the digest would not cover
        session = onnxruntime.InferenceSession(file.read_bytes(), options, [*providers, "CPUExecutionProvider"])
    except Exception as error:  # onnxruntime's own classes, which derive from Exception
        raise ValueError(
            f"{shown(file)}: expected an ONNX model in one file, without external data ({quoted(error, 160)})"
        ) from error
    head, made = session.get_inputs()[0], session.get_outputs()[0]

    def network(images: Tensor) -> Tensor:
        try:
            (found,) = session.run([made.name], {head.name: images.cpu().numpy()})
        except Exception as error:  # likewise
            raise ValueError(
                f"{shown(file)}: its input {quoted(head.name, 40)} expects {quoted(head.shape, 80)}, got "
                f"{list(images.shape)} ({quoted(error, 120)}). Correct size and channels in the description"
            ) from error
        return torch.from_numpy(found)

    return network


def _python(file: Path, device: str, function: str) -> Callable[[Tensor], Tensor]:
    found = cast("Callable[[Tensor, str], Tensor] | None", getattr(load_file(file), function, None))
    if not callable(found):
        raise ValueError(f"{shown(file)}: expected a function {quoted(function, 60)}(images, device); it is not there")
    return lambda images: found(images, device)
