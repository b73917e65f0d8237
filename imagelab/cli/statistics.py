"""``imagelab statistics``: write a set of images as mean and covariance of its features, to be measured against."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from ..evaluation.reference_statistics import statistics_of, write_statistics
from ..evaluation.sources import Opening, open_images
from ..io.cache import cache_folder
from ..io.resample import Kernel
from ..metrics import ImageSet
from ..metrics.features import PRIMARY, SPACES
from ..metrics.own_network import add_networks
from ..runs.device import choose_device
from .console import UsageError, out

__all__ = ["statistics_command"]


def statistics_command(
    images: Path,
    /,
    *,
    output: Annotated[Path, Parameter(alias="-o")],
    space: str = "",
    network: Path | None = None,
    size: int = 0,
    resize: Kernel = "bicubic",
    device: str = "auto",
    cache: bool = True,
) -> int:
    """Write the statistics of a set: mu and sigma of its features (.npz), as pytorch-fid and clean-fid read them.

    ``imagelab measure FILE.npz FAKE`` measures against them without the images. A file holds no image, but a mean and
    a covariance of thousands of features say a lot about a small set: do not take it for anonymous.

    Parameters
    ----------
    images
        The set: a folder, an archive, arrays, or a generation of a run (RUN@0).
    output
        The file, ending in .npz.
    space
        The feature space: imagelab-ssl-v1 (the default), inception-2015-12-05 (that of FID), dinov2-vitl14, ...
    network
        A feature network of your own instead: its description (JSON), see imagelab measure --help.
    size
        Crop every picture to its centre square and resample it to this many pixels per side; 0 for no resizing.
    resize
        The resampling kernel for --size.
    device
        auto, cpu, cuda or cuda:1.
    cache
        Keep decoded pixels and features in $IMAGELAB_CACHE for the next time.
    """
    if output.suffix != ".npz":
        raise UsageError(f"--output: expected a file that ends in .npz, got {output}")
    if not output.absolute().parent.is_dir():
        raise ValueError(f"--output: the folder of {output} does not exist; create it first")
    if space and network:
        raise UsageError("--space and --network: expected one of them")
    if network:
        (space,) = add_networks([network])
    if (space or PRIMARY) not in SPACES:
        raise UsageError(f"--space: unknown feature space {space[:60]!r}; there are {', '.join(SPACES)}")
    opened = open_images(images, Opening(size, resize, cache=cache), "images")
    found = ImageSet(opened.images, cache_folder("features") if cache else None)
    statistics = statistics_of(found, space or PRIMARY, choose_device(device))
    write_statistics(output, statistics, opened.resized)
    words = f"{statistics.n:,} images, {len(statistics.mean):,} features of {statistics.space}"
    out.print(f"statistics: {output} ({words})", markup=False)
    return 0
