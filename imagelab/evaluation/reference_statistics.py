"""Statistics files: a set of images as mean and covariance of its features, the form in which the field shares FID.

Read are .npz files with ``mu`` [D] and ``sigma`` [D,D] (pytorch-fid, clean-fid, and the reference batches of guided
diffusion without their images) and .pt files of torch-fidelity's cache. Ours hold ``n``, ``space`` and ``resize`` as
well, so that a wrong network is noticed. A file of others does not say which network it is from; with 2,048 features it
is taken for that of FID, and the result says so.

Of a reference that is only mean and covariance, the Fréchet distance can be measured and nothing else. Its error then
holds other generated images, not other reference images, and there is no floor.

References:
    GANs trained by a two time-scale update rule (Heusel et al. 2017), arXiv:1706.08500.
"""

from __future__ import annotations

import zipfile
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from .._version import __version__
from ..io.atomic import written_whole
from ..io.cache import cache_folder
from ..io.untrusted import quoted, regular, shown
from ..measurement import Measurement
from ..metrics import ImageSet
from ..metrics.features import SPACES, features, varying
from ..metrics.frechet import CITE, FittedGaussian
from ..metrics.inception import NAME as INCEPTION
from ..metrics.jackknife import GROUPS, group_labels, spread
from ..runs.device import choose_device
from .evaluate import Measured
from .sources import Opening, open_images

__all__ = [
    "Statistics",
    "distance_to",
    "is_statistics",
    "measure_against",
    "read_statistics",
    "statistics_of",
    "write_statistics",
]

MOST_FEATURES = 16_384
OF_FID = 2048  # features of the network of FID


@dataclass(frozen=True, eq=False)
class Statistics:
    """Mean and covariance of the features of a set of images.

    Attributes:
        mean: float64 [D].
        covariance: float64 [D,D], divided by n - 1.
        n: number of images; 0 where the file does not say it.
        space: name and digest of the feature space (``Space.label``); "" where the file does not say it.
        source: the file, for messages; "" for a set in memory.
    """

    mean: np.ndarray
    covariance: np.ndarray
    n: int = 0
    space: str = ""
    source: str = ""


def statistics_of(images: ImageSet, space: str, device: str = "cpu") -> Statistics:
    """Return the statistics of a set in a feature space, a key of ``SPACES``.

    Raises:
        ValueError: for fewer than two images, or images that the space cannot read.
    """
    if len(images) < 2:
        raise ValueError(f"statistics: expected 2 images or more, got {len(images)}")
    found = FittedGaussian.of(features(images, space, device))
    covariance = found.factor.T @ found.factor / (found.n - 1)
    return Statistics(found.mean, covariance, found.n, SPACES[space].label)


def write_statistics(path: Path, statistics: Statistics, resize: str = "") -> None:
    """Write a .npz file that pytorch-fid, clean-fid and this package read.

    Args:
        path: the file.
        statistics: what to write.
        resize: the resampling of the images before the network's own, for the reader; "" for none.
    """
    told = {"n": statistics.n, "space": statistics.space, "resize": resize, "imagelab": __version__}
    arrays = {"mu": statistics.mean, "sigma": statistics.covariance, **{k: np.array(v) for k, v in told.items()}}
    with written_whole(path) as partial, partial.open("wb") as file:
        np.savez(file, allow_pickle=False, **arrays)


def is_statistics(path: Path) -> bool:
    """Whether a file holds statistics and no images."""
    if path.suffix.lower() == ".pt":
        return path.is_file()
    if path.suffix.lower() != ".npz" or not path.is_file():
        return False
    try:
        with zipfile.ZipFile(path) as archive:
            names = set(archive.namelist())
    except (OSError, zipfile.BadZipFile):
        return False  # the reader of images says what is wrong
    return {"mu.npy", "sigma.npy"} <= names and not names & {"images.npy", "arr_0.npy"}


def read_statistics(path: Path) -> Statistics:
    """Read a statistics file.

    Raises:
        ValueError: for a file that does not hold a mean and a covariance of one set, saying what was expected.
    """
    size = regular(path).st_size
    if size > 8 * (MOST_FEATURES**2 + MOST_FEATURES) * 2 + (1 << 20):
        raise ValueError(f"{shown(path)}: {size:,} bytes; too large for the statistics of {MOST_FEATURES:,} features")
    try:
        content = _torch(path) if path.suffix.lower() == ".pt" else _npz(path)
        mean, covariance = (np.asarray(content[key], np.float64) for key in ("mu", "sigma"))
        n, space = int(content.get("n", 0)), str(content.get("space", ""))
    except Exception as error:  # the readers raise whatever the content of the file leads to
        raise ValueError(
            f"{shown(path)}: expected statistics, mu [D] and sigma [D,D] ({quoted(error, 160)}). `imagelab statistics "
            "SET -o FILE.npz` writes them"
        ) from error
    if mean.ndim != 1 or covariance.shape != (len(mean), len(mean)) or len(mean) < 1:
        raise ValueError(f"{shown(path)}: expected mu [D] and sigma [D,D], got {mean.shape} and {covariance.shape}")
    if not (np.isfinite(mean).all() and np.isfinite(covariance).all()):
        raise ValueError(f"{shown(path)}: mu or sigma holds values that are NaN or infinite")
    largest = float(np.abs(covariance).max())
    if float(np.abs(covariance - covariance.T).max()) > 1e-6 * max(largest, 1e-300) or (np.diag(covariance) < 0).any():
        raise ValueError(f"{shown(path)}: sigma is no covariance: expected it symmetric, with a diagonal of 0 or more")
    return Statistics(mean, covariance, max(n, 0), quoted(space, 80), shown(path))


def _npz(path: Path) -> dict[str, Any]:
    with np.load(path, allow_pickle=False) as archive:
        keys = [key for key in ("mu", "sigma", "n", "space") if key in archive.files]
        return {key: archive[key] for key in keys}


def _torch(path: Path) -> dict[str, Any]:
    """Return what torch-fidelity keeps: NumPy arrays, pickled. Nothing else than arrays is allowed to be made."""
    import _codecs

    import torch

    make = np._core.multiarray._reconstruct  # pyright: ignore[reportAttributeAccessIssue]
    kinds = [type(np.dtype(kind)) for kind in (np.float64, np.float32)]
    allowed = [make, (make, "numpy.core.multiarray._reconstruct"), np.ndarray, np.dtype, *kinds, _codecs.encode]
    with torch.serialization.safe_globals(allowed):
        content = torch.load(path, map_location="cpu", weights_only=True)
    return {key: content[key] for key in ("mu", "sigma")}


def distance_to(
    statistics: Statistics, images: ImageSet, space: str = "", seed: int = 0, device: str = "cpu"
) -> tuple[Measurement, str]:
    """Return the Fréchet distance of a set to a reference of which only statistics are known.

    Args:
        statistics: the reference.
        images: the set, two images or more.
        space: a key of ``SPACES``; "" for the one that the file names, or that of FID for 2,048 features.
        seed: seed of the groups of the error.
        device: torch device for the features.

    Returns:
        The measurement, whose error holds other images of the set, and a warning; "" for none.

    Raises:
        ValueError: where the network of the file is unknown, or another one than asked for, or its weights are not
            on this machine.
    """
    space, warning = _space_of(statistics, space)
    made = features(images, space, device)
    if made.shape[1] != len(statistics.mean):
        raise ValueError(
            f"{statistics.source}: {len(statistics.mean):,} features; the network {space} has {made.shape[1]:,}"
        )
    if len(made) < 2:
        raise ValueError(f"expected 2 images or more, got {len(made)}")
    chosen = SPACES[space]
    mean, covariance = statistics.mean, statistics.covariance
    if chosen.standardise:
        mean, covariance, made = _standardised(mean, covariance, made)
    reference = _fitted(mean, covariance)
    value = reference.distance(FittedGaussian.of(made))
    labels, _ = group_labels(len(made), len(made), seed, GROUPS)
    left = [made[labels != group] for group in range(int(labels.max()) + 1)]
    stderr = None
    if min(map(len, left)) >= 2:
        stderr = float(spread(np.array([reference.distance(FittedGaussian.of(each)) for each in left])))
    name = "fid" if space == INCEPTION else f"frechet/{space}"
    form = "nuclear norm, float64" + (", standardised by the reference" if chosen.standardise else "")
    measured = Measurement(
        name,
        value,
        generation=1,
        n_real=statistics.n,
        n_fake=len(made),
        stderr=stderr,
        df=None if stderr is None else float(len(left) - 1),
        better="lower",
        estimator=f"{form}, reference from statistics",
        feature_space=chosen.label,
        resize=chosen.resize,
        seed=seed,
        cite=CITE,
    )
    return measured, warning


def measure_against(
    statistics: Statistics, fake: object, how: Opening, space: str = "", seed: int = 0, device: str = "auto"
) -> Measured:
    """Measure a set of images against a reference of which only statistics are known.

    Args:
        statistics: the reference.
        fake: the images under test: anything that :func:`~imagelab.evaluation.sources.open_images` opens.
        how: how to open them.
        space: see :func:`distance_to`.
        seed: likewise.
        device: torch device: auto, cpu, cuda or cuda:1.

    Raises:
        ValueError: as :func:`distance_to`, or for images that cannot be opened.
    """
    opened = open_images(fake, how, "fake")
    images = ImageSet(opened.images, cache_folder("features") if how.cache else None)
    found, warning = distance_to(statistics, images, space, seed, choose_device(device))
    resize = "; then ".join(part for part in (f"fake {opened.resized}" if opened.resized else "", found.resize) if part)
    notes = (
        "the reference is a mean and a covariance: the interval holds other generated images, not other real ones, and "
        "there is no floor",
        *(() if statistics.n else ("the file does not say of how many images it is; the bias of a small reference is "
        "not known",)),
    )  # fmt: skip
    known = f"{statistics.n:,} real images" if statistics.n else "real images"
    return Measured(
        (replace(found, resize=resize),),
        (),
        tuple(filter(None, [warning, *(f"fake: {note}" for note in opened.notes)])),
        notes,
        real=f"the statistics of {known} ({statistics.source})",
        fake=opened.described("made"),
    )


def _space_of(statistics: Statistics, asked: str) -> tuple[str, str]:
    """Return the feature space to use, and a warning."""
    if statistics.space:
        name = statistics.space.partition("@")[0]
        if name not in SPACES:
            raise ValueError(
                f"{statistics.source}: made with the network {quoted(name, 60)}, which is not known here; give its "
                "description (--network FILE)"
            )
        if SPACES[name].label != statistics.space:
            raise ValueError(
                f"{statistics.source}: made with {quoted(statistics.space, 60)}; here {name} is {SPACES[name].label}: "
                "other weights or another preprocessing. Make the statistics anew"
            )
        if asked not in ("", name):
            raise ValueError(f"{statistics.source}: made with the network {name}, asked for was {quoted(asked, 60)}")
        return name, ""
    if asked:
        return asked, f"{statistics.source} does not say which network it is from; {asked} was asked for"
    if len(statistics.mean) == OF_FID:
        return INCEPTION, (
            f"{statistics.source} does not say which network it is from; with {OF_FID:,} features it was taken for "
            f"that of FID ({INCEPTION})"
        )
    raise ValueError(
        f"{statistics.source}: does not say which network it is from, and {len(statistics.mean):,} features are not "
        f"those of FID ({OF_FID:,}); give the space (--space NAME) or your own network (--network FILE)"
    )


def _standardised(
    mean: np.ndarray, covariance: np.ndarray, made: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return all in units of the reference's spread, without dead features: the rule of ``feature_pair``."""
    wide = np.sqrt(np.diag(covariance))
    alive = varying(mean, wide)
    unit = wide[alive]
    kept = covariance[np.ix_(alive, alive)] / np.outer(unit, unit)
    return np.zeros(len(unit)), kept, (made[:, alive].astype(np.float64) - mean[alive]) / unit


def _fitted(mean: np.ndarray, covariance: np.ndarray) -> FittedGaussian:
    """Return the Gaussian of given moments, as one of two images whose factor has this covariance."""
    shares, directions = np.linalg.eigh(covariance)
    return FittedGaussian(2, mean, np.sqrt(shares.clip(0.0))[:, None] * directions.T)
