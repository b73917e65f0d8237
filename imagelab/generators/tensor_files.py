"""Read safetensors files strictly: the header is bounded and checked before any tensor is read.

A file of this format is 8 bytes with the length of the header, the header (JSON: name -> dtype, shape and place of each
tensor, and a few texts), and the numbers. It holds no code. Pickled weights (.bin, .pt) can; they are never read.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load
from torch import Tensor

from ..io.untrusted import json_value, parsing, quoted, regular, shown

__all__ = ["REMEDY", "TensorHeader", "Tensors", "check_finite", "check_tensors", "read_tensors", "tensor_header"]

REMEDY = "Restore the file from a copy, or remove this generation's folder and run `imagelab resume`."
"""What to do about a damaged model."""

LONGEST_HEADER = 8 << 20
"""Most bytes of a header; that of a network of 300 tensors has about 30 kB."""

NAMED = 3
"""Most tensors that a message names."""

Tensors = Mapping[str, Tensor]

_DTYPES = {
    "F64": torch.float64,
    "F32": torch.float32,
    "F16": torch.float16,
    "BF16": torch.bfloat16,
    "I64": torch.int64,
}


@dataclass(frozen=True)
class TensorHeader:
    """What a file says of itself.

    Attributes:
        texts: its metadata.
        entries: for each tensor (dtype as the file names it, shape).
    """

    texts: dict[str, str]
    entries: dict[str, tuple[Any, Any]]


def tensor_header(path: Path) -> TensorHeader:
    """Return the header of a safetensors file.

    Raises:
        ValueError: naming the file, where it is missing, no regular file, cut short or longer than its header says, or
            where its header is no such header.
    """
    size = regular(path).st_size
    name = shown(path)
    with path.open("rb") as file:
        start = file.read(8)
        length = int.from_bytes(start, "little")
        if len(start) < 8 or length > min(LONGEST_HEADER, size - 8):
            raise ValueError(
                f"{name}: not a whole safetensors file (a header of {length:,} bytes, at most {LONGEST_HEADER:,} are "
                f"read, in a file of {size:,})"
            )
        said = json_value(file.read(length), path)
    if not isinstance(said, dict):
        raise ValueError(f"{name}: not a safetensors file (its header is no object, but {quoted(said, 40)})")
    texts = said.pop("__metadata__", {})
    with parsing(path, "a safetensors file with a whole header"):
        entries = {key: (entry["dtype"], entry["shape"]) for key, entry in said.items()}
        end = max((int(entry["data_offsets"][1]) for entry in said.values()), default=0)
        texts = {str(key): str(value) for key, value in texts.items()}
    if size != 8 + length + end:
        fault = "cut short" if size < 8 + length + end else "something was appended"
        raise ValueError(f"{name}: expected {quoted(f'{8 + length + end:,}', 40)} bytes, got {size:,}: {fault}")
    return TensorHeader(texts, entries)


def check_tensors(path: Path, header: TensorHeader, expected: Tensors) -> None:
    """Refuse a file that does not hold exactly these tensors.

    Args:
        path: the file, for the message.
        header: its header.
        expected: tensors of the names, shapes and dtypes that are expected; they may lie on the device "meta".

    Raises:
        ValueError: naming the file, and up to three tensors that are missing, not expected, or of another form.
    """
    found = header.entries
    faults = [f"{name} is missing" for name in expected if name not in found]
    faults += [f"{quoted(name, 80)} is not expected" for name in found if name not in expected]
    for name in expected.keys() & found.keys():
        dtype, shape = found[name]
        if shape != list(expected[name].shape):
            faults.append(f"{name} has shape {quoted(shape, 60)} and not {list(expected[name].shape)}")
        elif _DTYPES.get(str(dtype)) != expected[name].dtype:
            kind = str(expected[name].dtype).removeprefix("torch.")
            faults.append(f"{name} has dtype {quoted(dtype, 20)} and not {kind}")
    if faults:
        more = f"; {len(faults) - NAMED} more" if len(faults) > NAMED else ""
        raise ValueError(f"{shown(path)}: does not hold this model's tensors: {'; '.join(faults[:NAMED])}{more}")


def read_tensors(path: Path, expected: Tensors | None = None) -> dict[str, Tensor]:
    """Return the tensors of a safetensors file, on the CPU.

    Args:
        path: the file.
        expected: as for :func:`check_tensors`; None for any.

    Raises:
        ValueError: naming the file and what is wrong with it.
    """
    header = tensor_header(path)
    if expected is not None:
        check_tensors(path, header, expected)
    with parsing(path, "a whole safetensors file"):
        return load(path.read_bytes())


def check_finite(path: Path, tensors: Tensors) -> None:
    """Refuse weights that are no numbers: training never saves such ones, so the file is damaged.

    Raises:
        ValueError: naming the file and the first such tensor.
    """
    for name, tensor in tensors.items():
        if tensor.is_floating_point() and not bool(tensor.isfinite().all()):
            bad = int((~tensor.isfinite()).sum())
            raise ValueError(f"{shown(path)}: damaged: {bad:,} values of tensor {name} are NaN or infinite")
