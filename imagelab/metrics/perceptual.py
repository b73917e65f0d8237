"""Perceptual distance and diversity: LPIPS seen as an embedding.

With heads w_l >= 0 and features f_l of unit length at every position,

    LPIPS(x, y) = sum_l mean_hw sum_c w_lc (f_l(x) - f_l(y))^2 = |phi(x) - phi(y)|^2,
    phi_l = f_l sqrt(w_lc / (H_l W_l)), all layers behind one another.

It is a squared distance between points, exactly; so the mean over all pairs of N images costs N passes of the net,
not N^2 / 2: mean_{i != j} = 2 (mean |phi|^2 - |mean phi|^2) N / (N - 1). Its standard error is 2 sd(d_i) / sqrt(N),
d_i the mean distance of image i to the others; the naive sd / sqrt(pairs) is about five times too small.

The same mathematics on a seeded random net with weight 1/L for each layer is called PD, never LPIPS: nobody has asked
people about it. Both rise with noise as they do with variety; read them beside the spectrum and the pictures.

References:
    The unreasonable effectiveness of deep features as a perceptual metric (Zhang et al. 2018), arXiv:1801.03924.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from ..images import to_signed
from ..measurement import Measurement
from . import randconv
from .base import Evidence, NotMeasurable
from .features import batches, full_precision
from .weights import locate

if TYPE_CHECKING:
    from torch import Tensor

__all__ = [
    "EMBEDDINGS",
    "Embedding",
    "diversity",
    "embed",
    "lpips_diversity",
    "lpips_model",
    "lpips_phi",
    "mean_across",
    "mean_pairwise",
    "nearest",
    "pairwise",
    "perceptual_diversity",
]

CITE = "arXiv:1801.03924"
BATCH = 64
KEEP = 1 << 30  # bytes of embeddings held between the two passes; larger sets go through the net twice
CANDIDATES = 8  # neighbours whose distance is taken again without cancellation


@dataclass(frozen=True)
class Embedding:
    """A perceptual space.

    Attributes:
        label: what ``Measurement.feature_space`` says.
        smallest: the smallest side in pixels the net can read.
        build: device -> (uint8 tensor [B,C,H,W] -> phi, float32 [B,D]); loads weights.
        weighting: how the layers are weighed, in words.
    """

    label: str
    smallest: int
    build: Callable[[str], Callable[[Tensor], Tensor]]
    weighting: str


def lpips_model(net: str) -> Any:
    """Return the LPIPS network with its published heads and the trunk from local weights; never downloads.

    Args:
        net: "alex", "vgg" or "squeeze".

    Raises:
        WeightsMissing: where the trunk's file is not on this machine.
    """
    path = locate({"alex": "alexnet", "vgg": "vgg16", "squeeze": "squeezenet1_1"}[net])
    import lpips
    import torch

    state = torch.load(path, map_location="cpu", weights_only=True)
    with warnings.catch_warnings(), torch.random.fork_rng(devices=[]):  # the net is born random; leave no trace of that
        warnings.simplefilter("ignore")
        model = lpips.LPIPS(net=net, pnet_rand=True, verbose=False)
    # torchvision's "features.3.weight" lives in lpips as "slice2.3.weight"
    names = model.net.state_dict()
    model.net.load_state_dict({name: state[f"features.{name.partition('.')[2]}"] for name in names})
    return model.requires_grad_(False)


def lpips_phi(model: Any, signed: Tensor) -> Tensor:
    """Return phi with |phi(x) - phi(y)|^2 = LPIPS(x, y).

    Args:
        model: a ``lpips.LPIPS`` network.
        signed: float [B,3,H,W], -1..1, of the model's dtype.

    Returns:
        [B,D] of the same dtype; channels whose head is exactly zero (many, in AlexNet) are left out without loss.
    """
    parts = []
    for activations, head in zip(model.net(model.scaling_layer(signed)), model.lins, strict=True):
        weight = head.model[-1].weight.flatten()
        if bool((weight < 0).any()):
            raise ValueError(
                "lpips: a head holds negative weights, so the distance is no embedding; use the official heads"
            )
        used = weight > 0
        parts.append(_unit(activations, used) * (weight[used] / activations[0, 0].numel()).sqrt()[:, None, None])
    return _flat(parts)


def _unit(activations: Tensor, used: Tensor | slice = slice(None)) -> Tensor:
    length = (activations * activations).sum(1, keepdim=True).sqrt()
    return activations[:, used] / (length + 1e-10)  # the same epsilon as the lpips package


def _flat(parts: list[Tensor]) -> Tensor:
    import torch

    return torch.cat([part.flatten(1) for part in parts], 1)


def _random_phi(images: Tensor, seed: int) -> Tensor:
    maps = randconv.layers(images, seed)
    return _flat([_unit(each) / (len(maps) * each[0, 0].numel()) ** 0.5 for each in maps])


def _lpips(net: str, digest: str, smallest: int) -> Embedding:
    def build(device: str) -> Callable[[Tensor], Tensor]:
        model = lpips_model(net).to(device)
        return lambda batch: lpips_phi(model, to_signed(batch).expand(-1, 3, -1, -1))

    return Embedding(f"lpips-{net}-v0.1@{digest}", smallest, build, "LPIPS v0.1 heads")


EMBEDDINGS: dict[str, Embedding] = {
    "randconv-s0": Embedding(
        f"randconv-s0@{randconv.digest(0)[:8]}",
        randconv.SMALLEST,
        lambda device: lambda batch: _random_phi(batch, 0),
        "uniform weights",
    ),
    "alex": _lpips("alex", "7be5be79", 32),
    "vgg": _lpips("vgg", "397923af", 16),
    "squeeze": _lpips("squeeze", "b8a52dc0", 32),
}
"""The perceptual spaces by name; the last three need weights."""


def embed(images: np.ndarray, name: str, device: str = "cpu") -> Iterator[Tensor]:
    """Yield phi of the images, batch after batch: float32 [B,D] on the device.

    Args:
        images: uint8 [N,C,H,W].
        name: a key of ``EMBEDDINGS``.
        device: torch device.

    Raises:
        NotMeasurable: for images smaller than the net can read. WeightsMissing: without the weights.
    """
    chosen = EMBEDDINGS[name]
    if min(images.shape[-2:]) < chosen.smallest:
        raise NotMeasurable(f"needs images of at least {chosen.smallest} px a side")
    phi = chosen.build(device)
    for batch in batches(images, device, BATCH):
        with full_precision():
            yield phi(batch)


def mean_pairwise(images: np.ndarray, name: str, device: str = "cpu") -> tuple[float, float | None]:
    """Return the mean distance over all pairs of images and its standard error, in memory that N does not enter.

    Args:
        images: uint8 [N,C,H,W], N >= 2.
        name: a key of ``EMBEDDINGS``. device: torch device.

    Returns:
        (mean LPIPS or PD, standard error); the error is None for two images.

    Raises:
        NotMeasurable: for fewer than two images, images too small, features that are not finite, or missing weights.
    """
    n = len(images)
    if n < 2:
        raise NotMeasurable("needs at least 2 images")
    total, squares, kept = None, [], []
    for phi in embed(images, name, device):
        part = phi.double().sum(0)
        total = part if total is None else total + part
        squares.append(_squares(phi))
        if phi.shape[1] * 4 * n <= KEEP:
            kept.append(phi)
    assert total is not None
    mean, square = total / n, np.concatenate(squares)
    again = kept or embed(images, name, device)
    along = np.concatenate([(phi.double() @ mean).cpu().numpy() for phi in again])
    distance = (square + square.mean() - 2.0 * along) * n / (n - 1)  # of image i to the others
    if not np.isfinite(distance).all():
        raise NotMeasurable(f"features of {int((~np.isfinite(distance)).sum())} images are NaN or infinite")
    return float(distance.mean()), float(2.0 * distance.std(ddof=1) / np.sqrt(n)) if n > 2 else None


def mean_across(left: np.ndarray, right: np.ndarray, name: str, device: str = "cpu") -> float:
    """Return the mean distance over all pairs of one image of each set, uint8 [N,C,H,W] and [M,C,H,W]."""
    means, squares = [], []
    for images in (left, right):
        phis = list(embed(images, name, device))
        means.append(sum(phi.double().sum(0) for phi in phis) / len(images))
        squares.append(float(np.concatenate([_squares(phi) for phi in phis]).mean()))
    return float(squares[0] + squares[1] - 2.0 * (means[0] @ means[1]))


def _squares(phi: Tensor) -> np.ndarray:
    return (phi.double() ** 2).sum(1).cpu().numpy()


def pairwise(left: Tensor, right: Tensor) -> Tensor:
    """Return all distances |phi_i - phi_j|^2 by one matrix product: [N,D] and [M,D] -> [N,M], >= 0.

    In float32 anything below about 1e-6 of |phi|^2 is rounding; see :func:`nearest`.
    """
    squares = (left * left).sum(1)[:, None] + (right * right).sum(1)[None]
    return (squares - 2.0 * left @ right.T).clamp_min(0)


def nearest(query: Tensor, reference: Tensor, block: int = 1024) -> tuple[np.ndarray, np.ndarray]:
    """Return each query's nearest reference: (index int64 [N], distance float64 [N]).

    The matrix product chooses 8 candidates; their distances are taken again by direct difference, so that
    duplicates come out as exactly 0.

    Args:
        query: phi [N,D]. reference: phi [M,D], M >= 1.
        block: queries at a time.
    """
    import torch

    indices, distances = [], []
    for first in range(0, len(query), block):
        rows = query[first : first + block]
        near = pairwise(rows, reference).topk(min(CANDIDATES, len(reference)), largest=False).indices
        exact = torch.stack([((rows - reference[near[:, k]]).double() ** 2).sum(1) for k in range(near.shape[1])], 1)
        best = exact.argmin(1, keepdim=True)
        indices.append(near.gather(1, best).flatten().cpu().numpy())
        distances.append(exact.gather(1, best).flatten().cpu().numpy())
    return np.concatenate(indices), np.concatenate(distances)


def diversity(evidence: Evidence, space: str, name: str) -> list[Measurement]:
    """Return the mean distance over all pairs of generated images in one space, under ``name``."""
    chosen = EMBEDDINGS[space]
    value, stderr, missing = None, None, ""
    try:
        value, stderr = mean_pairwise(evidence.fake.images, space, evidence.device)
    except NotMeasurable as reason:
        missing = str(reason)
    return [
        Measurement(
            name,
            value,
            n_real=len(evidence.real),
            n_fake=len(evidence.fake),
            stderr=stderr,
            better="two-sided",
            estimator=f"mean squared distance over all pairs, {chosen.weighting}",
            feature_space=chosen.label,
            missing=missing,
            cite=CITE,
        )
    ]


def perceptual_diversity(evidence: Evidence) -> list[Measurement]:
    """Return ``perceptual_diversity/randconv-s0``: PD, 0..2."""
    return diversity(evidence, "randconv-s0", "perceptual_diversity/randconv-s0")


def lpips_diversity(evidence: Evidence, net: str = "alex") -> list[Measurement]:
    """Return ``lpips_diversity/NET``: the mean LPIPS between generated images."""
    return diversity(evidence, net, f"lpips_diversity/{net}")
