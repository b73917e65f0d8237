"""Perceptual distance and diversity: LPIPS computed as a squared distance between embeddings.

With heads w_l >= 0 and features f_l of unit length at every position,

    LPIPS(x, y) = sum_l mean_hw sum_c w_lc (f_l(x) - f_l(y))^2 = |phi(x) - phi(y)|^2,        (1)
    phi_l = f_l sqrt(w_lc / (H_l W_l)), all layers concatenated.

LPIPS is therefore exactly a squared Euclidean distance. So the mean over all pairs of N images costs N forward passes,
not N^2 / 2:

    mean_{i != j} = 2 (mean |phi|^2 - |mean phi|^2) N / (N - 1).                              (2)

Its standard error is 2 sd(d_i) / sqrt(N), with d_i the mean distance of image i to the others; the naive
sd / sqrt(pairs) is about five times too small.

The same formulas on imagelab's own encoder, with weight 1/L for each layer, give a distance called PD, never LPIPS: it
was not fitted to human judgements. Both distances rise with noise as they do with variety; interpret them together
with the spectrum and the images.

References:
    The unreasonable effectiveness of deep features as a perceptual metric (Zhang et al. 2018), arXiv:1801.03924.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING, Any

import numpy as np

from ..images import to_signed
from ..measurement import Measurement
from . import random_features, ssl_encoder
from .base import Evidence, NotMeasurable
from .features import batches, full_precision
from .jackknife import degrees, mean_and_error
from .neighbours import nearest_in_blocks
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
    "nearest_images",
    "pairwise",
    "perceptual_diversity",
]

CITE = "arXiv:1801.03924"
BATCH = 64
PIXELS = 1 << 19  # largest number of pixels in a batch: in VGG phi has about two hundred numbers a pixel
KEEP = 3 << 27  # bytes of embeddings kept between the two passes; the remaining images go through the net twice
HELD = 1 << 27  # bytes of embeddings in a block of a neighbour search
ROUNDING = 1e-9  # distance below which two images may be identical


@dataclass(frozen=True)
class Embedding:
    """A perceptual space.

    Attributes:
        label: the value of ``Measurement.feature_space``.
        smallest: the smallest side in pixels that the net can read.
        build: device -> (uint8 tensor [B,C,H,W] -> phi, float32 [B,D]); loads weights.
        weighting: how the layers are weighted, in words.
    """

    label: str
    smallest: int
    build: Callable[[str], Callable[[Tensor], Tensor]]
    weighting: str


def lpips_model(net: str) -> Any:
    """Return the LPIPS network with its published heads and an encoder from local weights; never downloads.

    Args:
        net: "alex", "vgg" or "squeeze".

    Raises:
        WeightsMissing: if the file of the encoder's weights is not on this machine.
    """
    path = locate({"alex": "alexnet", "vgg": "vgg16", "squeeze": "squeezenet1_1"}[net])
    import lpips
    import torch

    state = torch.load(path, map_location="cpu", weights_only=True)
    with warnings.catch_warnings(), torch.random.fork_rng(devices=[]):  # LPIPS() draws random weights: keep torch's RNG
        warnings.simplefilter("ignore")
        model = lpips.LPIPS(net=net, pnet_rand=True, verbose=False)
    # torchvision's "features.3.weight" is called "slice2.3.weight" in lpips
    names = model.net.state_dict()
    model.net.load_state_dict({name: state[f"features.{name.partition('.')[2]}"] for name in names})
    return model.requires_grad_(False)


def lpips_phi(model: Any, signed: Tensor) -> Tensor:
    """Return phi of equation (1), with |phi(x) - phi(y)|^2 = LPIPS(x, y).

    Args:
        model: a ``lpips.LPIPS`` network.
        signed: float [B,3,H,W], -1..1, of the model's dtype.

    Returns:
        [B,D] of the same dtype. Channels whose head weight is exactly zero (many, in AlexNet) are left out; this does
        not change the distance.
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


def _uniform_phi(maps: list[Tensor]) -> Tensor:
    """Return phi with weight 1/L for each layer; channels last, because that is the encoder's memory format."""
    import torch

    parts = []
    for each in maps:
        last = each.permute(0, 2, 3, 1)
        length = torch.linalg.vector_norm(last, dim=3, keepdim=True)
        scale = (len(maps) * each[0, 0].numel()) ** -0.5
        parts.append(last * (scale / (length + 1e-10)))
    return _flat(parts)


def _lpips(net: str, digest: str, smallest: int) -> Embedding:
    def build(device: str) -> Callable[[Tensor], Tensor]:
        model = lpips_model(net).to(device)
        return lambda batch: lpips_phi(model, to_signed(batch).expand(-1, 3, -1, -1))

    return Embedding(f"lpips-{net}-v0.1@{digest}", smallest, build, "LPIPS v0.1 heads")


EMBEDDINGS: dict[str, Embedding] = {
    ssl_encoder.NAME: Embedding(
        f"{ssl_encoder.NAME}@{ssl_encoder.DIGEST[:8]}",
        ssl_encoder.SMALLEST,
        lambda device: lambda batch: _uniform_phi(ssl_encoder.layers(batch)[1:]),  # the last layer of each resolution
        "uniform weights",
    ),
    "randconv-s0": Embedding(
        f"randconv-s0@{random_features.digest(0)[:8]}",
        random_features.SMALLEST,
        lambda device: lambda batch: _uniform_phi(random_features.layers(batch, 0)),
        "uniform weights",
    ),
    "alex": _lpips("alex", "7be5be79", 32),
    "vgg": _lpips("vgg", "397923af", 16),
    "squeeze": _lpips("squeeze", "b8a52dc0", 32),
}
"""The perceptual spaces by name; the last three need weights."""


def embed(images: np.ndarray, name: str, device: str = "cpu") -> Iterator[Tensor]:
    """Yield phi of the images, one batch at a time: float32 [B,D] on the device.

    Args:
        images: uint8 [N,C,H,W].
        name: a key of ``EMBEDDINGS``.
        device: torch device.

    Raises:
        NotMeasurable: for images smaller than the net can read.
        WeightsMissing: without the weights.
    """
    chosen = EMBEDDINGS[name]
    if min(images.shape[-2:]) < chosen.smallest:
        raise NotMeasurable(f"needs images of at least {chosen.smallest} px a side")
    phi, size = chosen.build(device), PIXELS // (images.shape[-2] * images.shape[-1])
    for batch in batches(images, device, max(1, min(BATCH, size))):
        with full_precision():
            embedded = phi(batch)
        yield embedded  # outside of full_precision(): it must not change the caller's torch settings between batches


def mean_pairwise(
    images: np.ndarray, name: str, device: str = "cpu", blocks: np.ndarray | None = None
) -> tuple[float, float | None]:
    """Return the mean distance over all pairs of images, equation (2), and its standard error; memory independent of N.

    Args:
        images: uint8 [N,C,H,W], N >= 2, or a memory map of them.
        name: a key of ``EMBEDDINGS``.
        device: torch device.
        blocks: the block of each image, int64 [N]; None if all are independent.

    Returns:
        (mean LPIPS or PD, standard error); the error is None for two images.

    Raises:
        NotMeasurable: for fewer than two images, images too small, features that are not finite, or missing weights.
    """
    n = len(images)
    if n < 2:
        raise NotMeasurable("needs at least 2 images")
    cloud = _Cloud.of(images, name, device)
    error = mean_and_error(cloud.distances(cloud), blocks)[1]
    value = cloud.distance(cloud) * n / (n - 1)
    return value, None if n < 3 or error is None else 2.0 * error * n / (n - 1)


def mean_across(left: np.ndarray, right: np.ndarray, name: str, device: str = "cpu") -> tuple[float, float | None]:
    """Return the mean distance over all pairs of one image of each set and its standard error.

    The error is sqrt(var(d_i) / N + var(e_j) / M), with d_i and e_j the mean distance of an image to the other set.

    Args:
        left: uint8 [N,C,H,W], or a memory map of them.
        right: uint8 [M,C,H,W], or a memory map of them.
        name: a key of ``EMBEDDINGS``.
        device: torch device.

    Returns:
        (mean LPIPS or PD, standard error); the error is None where a set holds one image.

    Raises:
        NotMeasurable: for an empty set, images too small, features that are not finite, or missing weights.
    """
    if min(len(left), len(right)) < 1:
        raise NotMeasurable("needs at least 1 image in each set")
    ours, theirs = (_Cloud.of(images, name, device) for images in (left, right))
    value = ours.distance(theirs)
    if min(len(left), len(right)) < 2:
        return value, None
    errors = [mean_and_error(one.distances(other))[1] for one, other in ((ours, theirs), (theirs, ours))]
    return value, float(np.linalg.norm([error or 0.0 for error in errors]))


@dataclass(frozen=True, eq=False)
class _Cloud:
    """A set of embedded images: mean phi (float64 [D]), all |phi|^2 (float64 [N]), and a second pass over phi.

    Sums within a batch are float32, those over batches float64. The second pass uses float16, which needs half the
    memory. It serves the standard errors only and changes those by less than 1 in 10,000.
    """

    mean: Tensor
    squares: np.ndarray
    again: Callable[[], Iterable[Tensor]]

    @classmethod
    def of(cls, images: np.ndarray, name: str, device: str) -> _Cloud:
        import torch

        # All that stays is allocated once. Small arrays that stay among the large ones that go would divide the free
        # memory: the process grew by 3 MB a batch, to 2.9 GB for 20,000 images of 32 px.
        sums, squares, seen, done = [], np.empty(len(images)), 0, 0
        kept, size = None, BATCH
        for phi in embed(images, name, device):
            if kept is None:
                size, rows = len(phi), min(len(images), KEEP // (2 * phi.shape[1]))
                kept = phi.new_empty((rows, phi.shape[1]), dtype=torch.half)
            sums = [sum(sums, (phi.new_ones(len(phi)) @ phi).double())]
            squares[done : done + len(phi)] = torch.linalg.vector_norm(phi, dim=1).double().square().cpu().numpy()
            if seen == done and seen + len(phi) <= len(kept):
                kept[seen : seen + len(phi)] = phi
                seen += len(phi)
            done += len(phi)
        bad = int((~np.isfinite(squares)).sum())
        if bad:
            raise NotMeasurable(f"features of {bad} images are NaN or infinite")
        first, rest = () if kept is None else kept[:seen].split(size), images[seen:]
        return cls(
            sums[0] / len(images), squares, lambda: (phi for part in (first, embed(rest, name, device)) for phi in part)
        )

    def distance(self, other: _Cloud) -> float:
        """Return the mean distance over all pairs of one image of each set.

        For ``other`` is ``self``, the N pairs of an image with itself (distance 0) are part of the mean.
        """
        return float(self.squares.mean() + other.squares.mean() - 2.0 * (self.mean @ other.mean))

    def distances(self, other: _Cloud) -> np.ndarray:
        """Return the mean distance of each of these images to all of another set, up to a constant: float64 [N]."""
        mean = other.mean.float()
        along, done = np.empty(len(self.squares), np.float32), 0
        for phi in self.again():
            along[done : done + len(phi)] = (phi.half().float() @ mean).cpu().numpy()
            done += len(phi)
        return self.squares - 2.0 * along


def pairwise(left: Tensor, right: Tensor) -> Tensor:
    """Return all distances |phi_i - phi_j|^2 by one matrix product: [N,D] and [M,D] -> [N,M], >= 0.

    In float32, values below about 1e-6 of |phi - mean|^2 are rounding noise; use :func:`nearest_images` for those.
    """
    centre = right.mean(0)  # centring does not change distances, and shorter vectors have a smaller rounding error
    left, right = left - centre, right - centre
    squares = (left * left).sum(1)[:, None] + (right * right).sum(1)[None]
    return (squares - 2.0 * left @ right.T).clamp_min(0)


def nearest_images(
    query: np.ndarray, reference: np.ndarray, name: str, k: int = 1, exclude_self: bool = False, device: str = "cpu"
) -> tuple[np.ndarray, np.ndarray]:
    """Return each image's k nearest reference images, nearest first, exactly, in bounded memory.

    The references go through the net once for every block of queries (1,600 images of 64 px in AlexNet); only one block
    of each set is in memory at a time. Copies are at exactly 0: for distances near 0 the bytes of the images are
    compared, because the last digits of a net's output can depend on the batch that an image was in.

    Args:
        query: uint8 [N,C,H,W], or a memory map of them.
        reference: uint8 [M,C,H,W], or a memory map of them.
        name: a key of ``EMBEDDINGS``.
        k: number of neighbours.
        exclude_self: query i is reference i, and is not counted as its own neighbour.
        device: torch device.

    Returns:
        (index int64 [N,k], LPIPS or PD float64 [N,k]).

    Raises:
        NotMeasurable: for images too small, or missing weights.
        ValueError: for fewer than k references.
    """
    indices, distances, first = [], [], 0
    for rows in _held(embed(query, name, device)):
        own = first if exclude_self else None
        index, distance = nearest_in_blocks(rows, _held(embed(reference, name, device)), k, own, device)
        squared = distance**2
        for row, place in zip(*np.nonzero(squared < ROUNDING), strict=True):
            if np.array_equal(query[first + row], reference[index[row, place]]):
                squared[row, place] = 0.0
        order = np.lexsort((index, squared))
        indices.append(np.take_along_axis(index, order, 1))
        distances.append(np.take_along_axis(squared, order, 1))
        first += len(rows)
    return np.concatenate(indices), np.concatenate(distances)


def _held(phis: Iterator[Tensor]) -> Iterator[np.ndarray]:
    """Yield phi in blocks of about ``HELD`` bytes: float32 [B,D]."""
    import torch

    for first in phis:
        more = islice(phis, max(0, HELD // (4 * first.numel()) - 1))
        yield torch.cat([first, *more]).cpu().numpy()


def diversity(evidence: Evidence, space: str, name: str) -> list[Measurement]:
    """Return the mean distance over all pairs of generated images in one space, as a measurement called ``name``."""
    chosen = EMBEDDINGS[space]
    value, stderr, missing = None, None, ""
    try:
        value, stderr = mean_pairwise(evidence.fake.images, space, evidence.device, evidence.fake.groups)
    except NotMeasurable as reason:
        missing = str(reason)
    return [
        Measurement(
            name,
            value,
            n_real=len(evidence.real),
            n_fake=len(evidence.fake),
            stderr=stderr,
            df=None if stderr is None else degrees(evidence.fake.independent),
            better="two-sided",
            estimator=f"mean squared distance over all pairs, {chosen.weighting}",
            feature_space=chosen.label,
            missing=missing,
            cite=CITE,
        )
    ]


def perceptual_diversity(evidence: Evidence) -> list[Measurement]:
    """Return ``perceptual_diversity/imagelab-ssl-v1``: PD, 0..2."""
    return diversity(evidence, ssl_encoder.NAME, f"perceptual_diversity/{ssl_encoder.NAME}")


def lpips_diversity(evidence: Evidence, net: str = "alex") -> list[Measurement]:
    """Return ``lpips_diversity/NET``: the mean LPIPS between generated images."""
    return diversity(evidence, net, f"lpips_diversity/{net}")
