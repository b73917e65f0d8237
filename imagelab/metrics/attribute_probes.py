"""Probes: a small network that predicts which attributes a face of the Faces dataset has, with known error rates.

Generated faces have no labels. The probes were fitted on renders whose attributes are known. Rare attributes were
over-represented; some renders were blurred, noised or compressed; ghosts (faces drawn from a linear model, which have
no rare attribute) were included. The probes were then evaluated on held-out renders: for every attribute, the share of
faces with it that are classified as positive (sensitivity), and the share of faces without it that are classified as
negative (specificity). Weights and card are stored in one file, ``probes-<size>.npz``, as plain arrays with the
SHA-256 of its contents, whose first eight digits are part of every measurement made with it.

An attribute that the probes recognise too badly (sensitivity below .8 or specificity below .995) is not measured; its
figures stay on the card for reference.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ..images import check_images
from .artifacts import contents_digest, packed_card, read_sealed, shipped_sizes, write_sealed
from .base import ImageSet
from .blocks import in_blocks
from .features import batches
from .freckle_calibration import CardValue

if TYPE_CHECKING:
    from torch import Tensor

__all__ = [
    "Probe",
    "Probes",
    "called",
    "calls_of",
    "odds_of",
    "probed_sizes",
    "probes_card",
    "read_probes",
    "scores",
    "shipped_probes",
]

FORMAT = 1
LEAST_SENSITIVITY, LEAST_SPECIFICITY = 0.8, 0.995
_CHUNK = 256  # images at a time


@dataclass(frozen=True)
class Probe:
    """One attribute's figures.

    Attributes:
        attribute: its name in the dataset.
        threshold: log-odds at and above which a face is classified as positive.
        sensitivity: share of held-out faces with the attribute that are classified as positive.
        specificity: share of held-out faces without it, at the dataset's own rates, that are classified as negative.
        rate: share of those faces that have it.
    """

    attribute: str
    threshold: float
    sensitivity: CardValue
    specificity: CardValue
    rate: float

    @property
    def usable(self) -> bool:
        """Whether its error rates are low enough for measurements."""
        return self.sensitivity.value >= LEAST_SENSITIVITY and self.specificity.value >= LEAST_SPECIFICITY


@dataclass(frozen=True, eq=False)
class Probes:
    """A fitted network with its known errors.

    Attributes:
        size: height and width in px of the faces it is made for.
        weights: float16 [out,in,k,k] of each convolution, then [out,in] of the last, linear layer, a row a probe.
        biases: float16 [out] of each layer.
        strides: of each convolution; every convolution is padded by half its kernel.
        probes: one an output, the unusable ones included.
        tables: false positives on degraded images, rows by table name.
        origin: renderer, seeds, numbers of faces.
        digest: SHA-256 over all of the above.
    """

    size: int
    weights: tuple[np.ndarray, ...]
    biases: tuple[np.ndarray, ...]
    strides: tuple[int, ...]
    probes: tuple[Probe, ...]
    tables: Mapping[str, list[dict[str, Any]]]
    origin: Mapping[str, Any]
    digest: str = field(default="", compare=False)

    def __post_init__(self) -> None:
        """Compute the digest of the contents."""
        object.__setattr__(self, "digest", contents_digest(self.arrays()))

    @property
    def usable(self) -> tuple[Probe, ...]:
        """The probes that are good enough for measurements, in order."""
        return tuple(probe for probe in self.probes if probe.usable)

    def arrays(self) -> dict[str, np.ndarray]:
        """Return everything as named arrays, the format of the file."""
        card = {
            "format": FORMAT,
            "size": self.size,
            "strides": list(self.strides),
            "probes": [asdict(probe) for probe in self.probes],
            "tables": dict(self.tables),
            "origin": dict(self.origin),
        }
        plain = {f"weight_{k}": array for k, array in enumerate(self.weights)}
        plain |= {f"bias_{k}": array for k, array in enumerate(self.biases)}
        return {**plain, "card": packed_card(card)}

    def write(self, path: Path) -> None:
        """Write the file atomically."""
        write_sealed(path, self.arrays())


def read_probes(path: Path) -> Probes:
    """Read a file of probes and check that it is complete.

    Raises:
        ValueError: naming the file, if it is missing, damaged, or of another format.
    """
    remake = "make it again with experiments/instruments/calibrate_attributes.py, or install the package again"
    arrays, card = read_sealed(path, "file of probes", remake)
    if card["format"] != FORMAT:
        raise ValueError(f"{path}: expected format {FORMAT}, got {card['format']}; {remake}")
    steps = range(len(card["strides"]) + 1)
    figures = ("sensitivity", "specificity")
    return Probes(
        size=card["size"],
        weights=tuple(arrays[f"weight_{k}"] for k in steps),
        biases=tuple(arrays[f"bias_{k}"] for k in steps),
        strides=tuple(card["strides"]),
        probes=tuple(Probe(**{**row, **{name: CardValue(**row[name]) for name in figures}}) for row in card["probes"]),
        tables=card["tables"],
        origin=card["origin"],
    )


@cache
def probed_sizes() -> tuple[int, ...]:
    """Return the image sizes in px for which the package contains probes."""
    return shipped_sizes("probes")


@cache
def shipped_probes(size: int = 64) -> Probes:
    """Return the probes that the package contains for faces of this size; read and checked once.

    Raises:
        ValueError: if there are none for this size, or the file is damaged.
    """
    if size not in probed_sizes():
        sizes = " or ".join(map(str, probed_sizes()))
        raise ValueError(f"attributes are probed on RGB faces of {sizes} px, not of {size} px")
    return read_probes(Path(__file__).with_name(f"probes-{size}.npz"))


def scores(images: np.ndarray, probes: Probes, device: str = "cpu") -> np.ndarray:
    """Return the log-odds of every attribute: uint8 [N,3,size,size] -> float32 [N,A], columns as ``probes.probes``.

    Raises:
        ValueError: if the images are not RGB of the size the probes are made for.
    """
    import torch
    from torch.nn import functional

    check_images(images)
    if images.shape[1:] != (3, probes.size, probes.size):
        raise ValueError(f"expected images of shape [N, 3, {probes.size}, {probes.size}], got {list(images.shape)}")
    weights = [torch.from_numpy(array.astype(np.float32)).to(device) for array in probes.weights]
    biases = [torch.from_numpy(array.astype(np.float32)).to(device) for array in probes.biases]

    def odds(block: Tensor) -> Tensor:
        x = block.float() / 255 - 0.5
        for weight, bias, stride in zip(weights, biases, probes.strides, strict=False):  # the last one is linear
            x = functional.relu(functional.conv2d(x, weight, bias, stride, padding=weight.shape[-1] // 2))
        return functional.linear(x.flatten(1), weights[-1], biases[-1])

    with torch.inference_mode():
        return np.concatenate([in_blocks(odds, chunk).cpu().numpy() for chunk in batches(images, device, _CHUNK)])


def called(images: np.ndarray, probes: Probes | None = None, device: str = "cpu") -> dict[str, np.ndarray]:
    """Return which faces are classified as having each usable attribute: bool [N] by name, uncorrected.

    Args:
        images: uint8 [N,3,size,size].
        probes: the fitted probes; the shipped ones of this size if None.
        device: torch device.
    """
    chosen = probes or shipped_probes(images.shape[-1])
    odds = scores(images, chosen, device)
    columns = zip(chosen.probes, odds.T, strict=True)
    return {probe.attribute: column >= probe.threshold for probe, column in columns if probe.usable}


def calls_of(image_set: ImageSet, device: str = "cpu") -> np.ndarray:
    """Return which faces of a set are classified as having each usable attribute: bool [N,K], columns as ``usable``.

    It is kept in the set's memory, and on disk where the set keeps features, as several metrics ask for it.
    """
    probes = shipped_probes(image_set.images.shape[-1])
    slot = f"probes-{probes.digest[:8]} {device.partition(':')[0]}"

    def found() -> np.ndarray:
        calls = called(image_set.images, probes, device)
        return np.stack([calls[probe.attribute] for probe in probes.usable], axis=1)

    def name() -> str:
        return f"probes-{hashlib.sha256(f'{slot} {image_set.digest}'.encode()).hexdigest()[:16]}"

    return image_set.kept(slot, name, "calls", (len(image_set), len(probes.usable)), found)


def odds_of(image_set: ImageSet, device: str = "cpu") -> np.ndarray:
    """Return the log-odds of every attribute for a set: float32 [N,A], columns as ``probes``; see :func:`scores`.

    They are kept in the set's memory, and on disk where the set keeps features.
    """
    probes = shipped_probes(image_set.images.shape[-1])
    slot = f"odds-{probes.digest[:8]} {device.partition(':')[0]}"

    def name() -> str:
        return f"odds-{hashlib.sha256(f'{slot} {image_set.digest}'.encode()).hexdigest()[:16]}"

    def found() -> np.ndarray:
        return scores(image_set.images, probes, device)

    return image_set.kept(slot, name, "odds", (len(image_set), len(probes.probes)), found)


def probes_card(probes: Probes | None = None) -> dict[str, Any]:
    """Return everything that is known about the probes, ready for JSON.

    Keys: ``size``, ``digest``, ``probes`` (attribute, threshold, sensitivity, specificity, rate), ``dropped`` (the
    same of those that are not used), ``tables``, ``origin``.
    """
    chosen = probes or shipped_probes()
    return {
        "size": chosen.size,
        "digest": chosen.digest,
        "probes": [asdict(probe) for probe in chosen.usable],
        "dropped": [asdict(probe) for probe in chosen.probes if not probe.usable],
        "tables": {name: [dict(row) for row in rows] for name, rows in chosen.tables.items()},
        "origin": dict(chosen.origin),
    }
