"""Features: one pass of an encoder over a set serves every metric that reads it.

``features(image_set, space)`` returns the features from the set's memory, else from its cache folder, else by running
the encoder. The name of a cache file hashes all that changes the numbers: the images' bytes, the space with the digest
of its weights, the resize before it, the kind of device, and the version of this code.

A channel of a random net may be zero for almost all images. Division by its tiny spread would make such a channel
dominate every distance. :func:`feature_pair` therefore drops channels whose spread is below a thousandth of the median
spread, and standardises the rest. Both steps use the reference set alone, so that all generations are measured in the
same units.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

import numpy as np

from ..io.large_arrays import blocks_of
from . import clip, dinov2, inception, random_features, ssl_encoder
from .base import Evidence, ImageSet, NotMeasurable
from .mapped_features import MANY, ROWS, mapped_features, mean_and_spread, standardised

if TYPE_CHECKING:
    from torch import Tensor

__all__ = [
    "CONTROLS",
    "DISTANCE_SPACES",
    "PRIMARY",
    "SPACES",
    "Space",
    "batches",
    "feature_pair",
    "features",
    "full_precision",
    "restandardised",
    "varying",
]

VERSION = 1  # increase it whenever the numbers of any space change
BATCH = 256
DEAD = 1e-3  # of the median spread; channels below it are dropped
RULER = 10  # smallest number of reference images to standardise by


@dataclass(frozen=True)
class Space:
    """A feature space.

    Attributes:
        name: its name, as in ``Measurement.feature_space``.
        extractor: device -> (uint8 tensor [B,C,H,W] on that device -> float32 [B,D]); loads weights, so call it once.
        digest: SHA-256 of its weights, at least 8 hex digits.
        resize: the resize kernel before the encoder, "" for none.
        standardise: whether distances are measured in units of the reference set's spread.
        needs: names of weights that must be present locally.
    """

    name: str
    extractor: Callable[[str], Callable[[Tensor], Tensor]]
    digest: Callable[[], str]
    resize: str = ""
    standardise: bool = True
    needs: tuple[str, ...] = ()

    @property
    def label(self) -> str:
        """Name and first 8 digits of the digest: the value of ``Measurement.feature_space``."""
        return f"{self.name}@{self.digest()[:8]}"


def _random(seed: int) -> Space:
    return Space(
        f"randconv-s{seed}",
        lambda device: lambda batch: random_features.statistics(batch, seed),
        lambda: random_features.digest(seed),
    )


SPACES: dict[str, Space] = {
    ssl_encoder.NAME: Space(ssl_encoder.NAME, lambda device: ssl_encoder.statistics, ssl_encoder.digest),
    "randconv-s0": _random(0),
    "randconv-s1": _random(1),
    "randconv-s2": _random(2),
    inception.NAME: Space(
        inception.NAME,
        inception.inception,
        lambda: inception.DIGEST,
        inception.RESIZE,
        standardise=False,
        needs=(inception.NAME,),
    ),
    dinov2.NAME: Space(
        dinov2.NAME,
        dinov2.dinov2,
        lambda: dinov2.DIGEST,
        dinov2.RESIZE,
        standardise=False,
        needs=(dinov2.NAME,),
    ),
    **{
        form.name: Space(
            form.name,
            partial(clip.clip_extractor, form=form),
            clip.space_digest(form),
            form.resize,
            standardise=False,
            needs=(form.name,),
        )
        for form in (clip.L14, clip.B32)
    },
}
"""The feature spaces by name."""

PRIMARY = ssl_encoder.NAME
"""The space of metrics that use one space only."""

CONTROLS = ("randconv-s0", "randconv-s1", "randconv-s2")
"""Spaces of random, untrained nets. Distances are also measured in these; their agreement is the control."""

DISTANCE_SPACES = tuple(dict.fromkeys((PRIMARY, *CONTROLS)))
"""The spaces in which distances between sets are measured, the primary one first."""


def features(image_set: ImageSet, space: str, device: str = "cpu") -> np.ndarray:
    """Return the features of a set: float32 [N,D], kept in the set's memory, and on disk if it has a cache folder.

    Of more than ``MANY`` images they are mapped from disk, from a temporary file where there is no cache folder.

    Args:
        image_set: the images.
        space: a key of ``SPACES``.
        device: torch device to compute on.

    Raises:
        ValueError: for an unknown space, or images that the space cannot read.
        WeightsMissing: if the space's weights are not on this machine.
    """
    if space not in SPACES:
        raise ValueError(f"features: unknown space {space!r}; there are {', '.join(SPACES)}")
    chosen = SPACES[space]
    kind = device.partition(":")[0]
    slot = f"features {chosen.label} {kind}"
    if len(image_set) > MANY and slot not in image_set.memory:
        name = "" if image_set.cache is None else _cache_name(image_set, chosen, kind)
        image_set.memory[slot] = mapped_features(image_set, name, _batches_of(image_set.images, chosen, device))
    return image_set.kept(
        slot,
        lambda: _cache_name(image_set, chosen, kind),
        "features",
        (len(image_set), -1),
        lambda: _extract(image_set.images, chosen, device),
    )


def feature_pair(evidence: Evidence, space: str) -> tuple[np.ndarray, np.ndarray]:
    """Return the features of reference and generated images as distances use them: two arrays [N,D].

    In a space that is not standardised the features are returned unchanged, float32 and not copied: those arrays are
    large, and the distances read them block by block. In a standardised space they are float64, channels whose spread
    over the reference is below 1e-3 of the median channel's are dropped, and the reference has mean 0 and spread 1.

    Args:
        evidence: the two sets and the device.
        space: a key of ``SPACES``.

    Raises:
        NotMeasurable: where no distance can be measured: fewer than two images in a set, fewer than ten reference
            images to standardise by, values that are NaN or infinite, or a reference in which no channel varies.
    """
    if min(len(evidence.real), len(evidence.fake)) < 2:
        raise NotMeasurable("needs at least 2 images in each set")
    real, fake = (features(each, space, evidence.device) for each in (evidence.real, evidence.fake))
    for name, each in (("reference", real), ("generated", fake)):
        bad = sum(int((~np.isfinite(block)).any(axis=1).sum()) for _, block in blocks_of(each, ROWS))
        if bad:
            raise NotMeasurable(f"features of {bad} {name} images are NaN or infinite")
    if not SPACES[space].standardise:
        return real, fake
    if len(real) < RULER:
        raise NotMeasurable(f"needs at least {RULER} reference images, whose spread is the unit; got {len(real)}")
    mean, spread = mean_and_spread(real)
    alive = varying(mean, spread)
    if not alive.any():
        raise NotMeasurable("no feature varies over the reference images: they are all the same")
    ruler, slot = (mean[alive], spread[alive]), ""
    if max(len(real), len(fake)) > MANY:
        slot = f"standardised {SPACES[space].label} {evidence.device.partition(':')[0]} by {evidence.real.digest}"
    return (
        standardised(evidence.real, real, alive, ruler, slot),
        standardised(evidence.fake, fake, alive, ruler, slot),
    )


def varying(mean: np.ndarray, spread: np.ndarray) -> np.ndarray:
    """Return which channels of a reference vary enough to be standardised by: bool [D].

    Args:
        mean: float64 [D], of the reference.
        spread: float64 [D], its standard deviations.
    """
    # float32 features of identical images can differ by rounding: a spread of that size does not count
    return (spread > DEAD * np.median(spread)) & (spread > 1e-6 * np.abs(mean))


def restandardised(real: np.ndarray, fake: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return a part of both sets, standardised by that part of the reference.

    An error that leaves out images calls it, so that the unit of every feature, which the reference sets, is part of
    the error.

    Args:
        real: float64 [N,D], some of the reference features of :func:`feature_pair`, N >= 2.
        fake: float64 [M,D], some of the other ones.
    """
    mean, spread = real.mean(axis=0), real.std(axis=0, ddof=1)
    spread = np.where(spread > DEAD, spread, 1.0)  # a channel that varies in the images left out only keeps its unit
    return (real - mean) / spread, (fake - mean) / spread


def batches(images: np.ndarray, device: str, size: int = BATCH) -> Iterator[Tensor]:
    """Yield the images as uint8 tensors [B,C,H,W] on the device. On a CUDA device the copy is only begun."""
    import torch

    for _, block in blocks_of(images, size):
        batch = torch.from_numpy(np.array(block))
        yield batch.pin_memory().to(device, non_blocking=True) if device.startswith("cuda") else batch.to(device)


@contextmanager
def full_precision() -> Iterator[None]:
    """Run without gradients and without TF32 or half precision: a metric must not depend on such shortcuts."""
    import torch

    with torch.inference_mode(), torch.backends.cudnn.flags(enabled=True, benchmark=False, allow_tf32=False):
        before = torch.get_float32_matmul_precision()
        torch.set_float32_matmul_precision("highest")
        try:
            yield
        finally:
            torch.set_float32_matmul_precision(before)


def _extract(images: np.ndarray, space: Space, device: str) -> np.ndarray:
    found: np.ndarray | None = None
    done = 0
    for part in _batches_of(images, space, device):
        if found is None:  # one block of memory: a small array kept of each batch would divide the free memory
            found = np.empty((len(images), part.shape[1]), np.float32)
        found[done : done + len(part)] = part
        done += len(part)
    if found is None:
        raise NotMeasurable("needs at least 1 image")
    return found


def _batches_of(images: np.ndarray, space: Space, device: str) -> Iterator[np.ndarray]:
    """Yield the features of the images batch by batch, float32 [B,D].

    The host reads those of a batch when the next batch has been launched, so that the device never waits for it.
    """
    with full_precision():
        extractor = space.extractor(device)
        launched: Tensor | None = None
        for batch in batches(images, device):
            found = extractor(batch).float()
            if launched is not None:
                yield launched.cpu().numpy()
            launched = found
        if launched is not None:
            yield launched.cpu().numpy()


def _cache_name(image_set: ImageSet, space: Space, kind: str) -> str:
    parts = [VERSION, image_set.digest, image_set.images.shape, space.name, space.digest(), space.resize, kind]
    return f"{space.name}-{hashlib.sha256(json.dumps(parts).encode()).hexdigest()[:16]}"
