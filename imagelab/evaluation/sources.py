"""Open anything as images: folders, archives, arrays, tensors, tables, generations of a run.

The result is uint8 [N,C,H,W], memory-mapped where possible, in the order of the source. Everything that would change
a number silently is refused, and the message names the setting that allows it: images of different sizes need
``size``; values that are not bytes need ``value_range``; axes whose order is ambiguous need ``layout``. What is done
to the pixels on request is listed in the notes of the opened set. A resampling is also recorded in every measurement.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal, cast

import numpy as np
from PIL import Image

from ..faces.freckles import STYLES, Style
from ..images import check_images
from ..io.archives import Archives, archive_catalogue
from ..io.arrays import Layout, array_file, as_bytes, planar_view
from ..io.arrow import Feature, arrow_catalogue, holds_pictures
from ..io.catalogue import (
    BadFile,
    Catalogue,
    digest,
    every_page,
    file_catalogue,
    is_archive,
    list_pictures,
    shown,
)
from ..io.decode import LISTED, Facts, Progress, decoded
from ..io.formats import SUFFIXES
from ..io.listed import named
from ..io.pictures import read_picture
from ..io.pil_images import file_of, read_image
from ..io.reading import Page, Picture, Reading, Source
from ..io.resample import Kernel
from ..io.table_files import parquet_files, saved_files
from ..io.untrusted import regular
from ..metrics import ImageSet
from ..pool import REAL, RESERVE
from ..run_folder import RunFolder

__all__ = ["OpenedImages", "Opening", "open_images"]

FIRST = 16  # number of images that are checked for an array that is almost black
PAGE = "--page 2 takes another, --page all takes each (in Python page=2, page='all')"
NARROW = 0.55  # of value_range: values that fill less may be on another scale, such as 0..1 for -1..1

_GENERATION = re.compile(r"(.+)@(\d+|heldout|reserve)(?::(\d+))?")


@dataclass(frozen=True)
class Opening:
    """How to open a set.

    Attributes:
        size: side in pixels to resample the centre square of every image to; 0 for no resampling.
        resize: the kernel for that, Pillow's, antialiased (except "nearest").
        value_range: (lo, hi), the values that mean black and white in arrays that are not uint8.
        layout: order of the axes of arrays; "auto" decides by the axis of length 1 or 3.
        on_bad: "skip" leaves out bad images and names them, "stop" raises.
        cache: whether decoded pixels and features are kept in ``$IMAGELAB_CACHE`` for the next time.
        white: the value that means white in picture files whose values are not bytes; None where the file says it.
        page: which picture is taken of a file that holds several, from 1, or "all"; None takes the first and says so.
        key: the ending of the pictures of archives, such as "jpg" or "seg.png", where their samples have several; "all"
            takes each.
        column: the column of the pictures of tables, where several columns hold pictures.
    """

    size: int = 0
    resize: Kernel = "bicubic"
    value_range: tuple[float, float] | None = None
    layout: Layout = "auto"
    on_bad: Literal["skip", "stop"] = "skip"
    cache: bool = True
    white: float | None = None
    page: Page | None = None
    key: str = ""
    column: str = ""

    @property
    def reading(self) -> Reading:
        """How a picture file is read."""
        return Reading(white=self.white, page=self.page)

    def __post_init__(self) -> None:
        """Check the settings before anything is opened."""
        if self.size and not 4 <= self.size <= 4096:
            raise ValueError(f"size: expected 4 to 4096 pixels, got {self.size}")
        if self.resize.upper() not in Image.Resampling.__members__:
            raise ValueError(f"resize: expected bicubic, lanczos, bilinear, box or nearest, got {self.resize!r}")
        if self.layout not in ("auto", "nchw", "nhwc", "nhw"):
            raise ValueError(f"layout: expected auto, nchw, nhwc or nhw, got {self.layout!r}")
        if self.on_bad not in ("skip", "stop"):
            raise ValueError(f"on_bad: expected skip or stop, got {self.on_bad!r}")
        _ = self.reading
        low, high = self.value_range or (0.0, 1.0)
        if not (np.isfinite([low, high]).all() and low < high):
            raise ValueError(f"value_range: expected (black, white) with black < white, got ({low}, {high})")


@dataclass(frozen=True, eq=False)
class OpenedImages:
    """A set that is ready to be measured.

    Attributes:
        images: uint8 [N,C,H,W], C = 1 or 3; memory-mapped where possible. Copies are kept.
        name: its name in messages.
        resized: the resampling of its pixels, such as "centre square, bicubic to 64"; "" for none.
        bad: images that were refused, with reasons.
        notes: what was done to the pixels, as far as a reader of the numbers has to know it.
        endings: how many images of each file ending, if they were files.
        generation: the generation of a run that the set is from; None if it is not from a run.
        line: the line of the run.
        source: where it came from, "" for data in memory.
        freckle_style: how the freckles of its faces look, if it is from a run that says so.
    """

    images: np.ndarray
    name: str
    resized: str = ""
    bad: tuple[BadFile, ...] = ()
    notes: tuple[str, ...] = ()
    endings: tuple[tuple[str, int], ...] = ()
    generation: int | None = None
    line: int = 0
    source: str = ""
    freckle_style: Style | None = None

    def __post_init__(self) -> None:
        """Check shape and dtype once."""
        check_images(self.images, self.name)

    def __len__(self) -> int:
        return len(self.images)

    def described(self, kind: str) -> str:
        """Return a short description, such as "50 real images (3 x 64 x 64, from pictures/)"."""
        form = " x ".join(str(length) for length in self.images.shape[1:])
        home = f", from {self.source}" if self.source else ""
        return f"{len(self)} {kind} image{'s' * (len(self) > 1)} ({form}{home})"


def open_images(
    source: object, how: Opening | None = None, name: str = "images", progress: Progress | None = None
) -> OpenedImages:
    """Open anything as images.

    Args:
        source: a path, a numpy array, a torch tensor, an ImageSet, or a sequence of PIL images or of paths. A path is a
            folder of images (searched recursively); .npy, .npz, .zip, .tar, .tar.gz, .parquet; a folder of archives or
            Parquet files;
            one image; or ``RUN@3`` for generation 3 of a run, ``RUN@3:1`` for line 1 of it, ``RUN@0`` for the real
            training set, ``RUN@heldout``.
        how: what may be done to the pixels.
        name: the name of the set in messages.
        progress: called with (description of the step, number of images done, total number).

    Raises:
        ValueError: with what was expected, what was found, and what to do.

    Example:
        >>> open_images(np.zeros((5, 32, 32, 3), np.uint8)).images.shape
        (5, 3, 32, 32)
    """
    how = how or Opening()
    if isinstance(source, OpenedImages):
        if not how.size:
            return source
        resized = _from_array(source.images, replace(how, layout="nchw"), source.name, "")
        both = "; then ".join(part for part in (source.resized, resized.resized) if part)
        return replace(source, images=resized.images, resized=both, notes=(*source.notes, *resized.notes))
    if isinstance(source, ImageSet):
        return _from_array(source.images, replace(how, layout="nchw"), name, "")
    if isinstance(source, str | Path):
        return replace(_from_path(str(source), how, name, progress), source=shown(str(source)))
    if isinstance(source, np.ndarray):
        return _from_array(source, how, name, "")
    if hasattr(source, "detach") and hasattr(source, "cpu"):
        tensor = cast("Any", source).detach().cpu()
        return _from_array((tensor.float() if "bfloat16" in str(tensor.dtype) else tensor).numpy(), how, name, "")
    if isinstance(source, Sequence) and source and isinstance(source[0], Image.Image | str | Path):
        return _from_list(source, how, name, progress)
    raise ValueError(
        f"{name}: expected a path, a numpy array, a torch tensor, an ImageSet, or a list of PIL images or paths, got "
        f"{type(source).__name__}{' of ' + type(source[0]).__name__ if isinstance(source, list) and source else ''}; "
        "stack single arrays first: numpy.stack(images)"
    )


def _from_path(text: str, how: Opening, name: str, progress: Progress | None) -> OpenedImages:
    path = Path(text).expanduser()
    match = _GENERATION.fullmatch(text)
    if match and not path.exists():
        return _from_run(Path(match[1]).expanduser(), match[2], match[3], how, name)
    if not path.exists():
        raise ValueError(f"{name}: {shown(text)} does not exist; check the path (a run's generation is RUN@3)")
    if path.is_dir():
        return _from_folder(path, how, name, progress)
    regular(path)
    ending = path.suffix.lower()
    if ending in (".npy", ".npz"):
        values, stamp = array_file(path, how.cache)
        return _from_array(values, how, name, stamp)
    if is_archive(path.name):
        return _from_archives(path, how, name, progress)
    if ending == ".parquet":
        return _from_tables(path, how, name, progress)
    if ending in SUFFIXES:
        return _from_list([path], how, name, progress)
    raise ValueError(
        f"{name}: {shown(path)} cannot be opened; expected a folder of pictures, .npy, .npz, .zip, .tar, .tar.gz, "
        f".parquet, a picture, or RUN@GENERATION"
    )


def _from_archives(path: Path, how: Opening, name: str, progress: Progress | None) -> OpenedImages:
    try:
        catalogue = archive_catalogue(path, how.reading, Archives(how.key, cache=how.cache))
    except ValueError as error:
        raise ValueError(f"{name}: {error}") from error
    return _from_catalogue(catalogue, how, name, progress)


def _from_tables(
    path: Path, how: Opening, name: str, progress: Progress | None, remarks: tuple[str, ...] = ()
) -> OpenedImages:
    try:
        files = (saved_files(path) if path.is_dir() else []) or parquet_files(path)
        catalogue, _ = arrow_catalogue(files, Feature(how.column, facts=False), how.reading)
    except ValueError as error:
        raise ValueError(f"{name}: {error}") from error
    return _from_catalogue(replace(catalogue, remarks=remarks), how, name, progress)


def _from_folder(path: Path, how: Opening, name: str, progress: Progress | None) -> OpenedImages:
    if (path / "config.json").is_file() and (path / "gen-000").exists():
        places = _places(RunFolder.open(path))
        raise ValueError(f"{name}: {shown(path)} is a run; say which images of it, after its name: {places}")
    if (path / "images.npy").is_file():  # the folder of one generation: its grid.png is not an image of the set
        return _from_path(str(path / "images.npy"), how, name, progress)
    listing = list_pictures(path)
    if (path / "state.json").is_file() or (path / "dataset_dict.json").is_file():
        return _from_tables(path, how, name, progress, listing.remarks("tables"))
    tables = [table for table in listing.tables if not listing.entries or holds_pictures(path / table)]
    kinds = {"pictures": len(listing.entries), "archives": len(listing.archives), "tables with pictures": len(tables)}
    held = [f"{kind}: {count}" for kind, count in kinds.items() if count]
    if len(held) > 1:
        examples = ", ".join(shown(path / each) for each in (*listing.archives[:1], *tables[:1]))
        raise ValueError(
            f"{name}: {shown(path)} holds several kinds ({', '.join(held)}); expected one. Name the subfolder or the "
            f"file that is meant (such as {examples}), or move the others out of it"
        )
    if tables:
        return _from_tables(path, how, name, progress, listing.remarks("tables"))
    if listing.archives:
        return _from_archives(path, how, name, progress)
    if listing.entries:
        return _from_catalogue(file_catalogue(listing, how.reading), how, name, progress)
    others = "; ".join((f"{listing.ignored} files of other kinds", *listing.remarks()))
    listed = "".join(f"\n  {each.path}: {each.reason}" for each in listing.unread[:LISTED])
    raise ValueError(
        f"{name}: no picture in {shown(path)} can be read ({others}; {len(listing.unread)} that cannot be read); "
        "expected PNG, JPEG, WebP, AVIF, BMP, TIFF, GIF or PNM files, Parquet or tar files. Name the folder that "
        f"holds them{listed}"
    )


def _from_run(run: Path, what: str, line: str | None, how: Opening, name: str) -> OpenedImages:
    """Open one generation of a run: ``3``, ``3`` and line ``1``, ``0``, ``heldout`` or ``reserve``."""
    folder = RunFolder.open(run)
    label = f"{shown(run)}@{what}{f':{line}' if line else ''}"
    if what in ("heldout", "reserve"):
        generation, number = 0, REAL if what == "heldout" else RESERVE
        if not folder.has(0) or not folder.has_file(0, REAL, f"{what}.npy"):
            raise ValueError(f"{name}: {label}: the run keeps no {what} images")
        path = folder.file(0, REAL, f"{what}.npy")
    else:
        generation, number = int(what), int(line or 0)
        if not folder.has(generation, number) or (generation == 0 and number):
            raise ValueError(f"{name}: {label} is not finished or does not exist; there are {_places(folder)}")
        path, number = folder.file(generation, number, "images.npy"), number if generation else REAL
    values, stamp = array_file(path, how.cache)
    opened, style = _from_array(values, replace(how, layout="nchw"), name, stamp), _style_of(folder)
    return replace(opened, generation=generation, line=number, freckle_style=style)


def _style_of(run: RunFolder) -> Style | None:
    """Return how the freckles of a run's faces look, None where its data have no such setting."""
    found = run.config["experiment"].get("data", {}).get("freckle_style")
    return found if found in STYLES else None


def _places(folder: RunFolder) -> str:
    """Return everything in a run that can be opened, in the notation that opens it."""
    return ", ".join([*(f"@{g}" if line <= 0 else f"@{g}:{line}" for g, line in folder.shards()), "@heldout"])


def _from_list(pictures: Sequence[object], how: Opening, name: str, progress: Progress | None) -> OpenedImages:
    """Open a list of PIL images or paths; it is not cached, because it has no file whose state could be checked."""

    def content(row: int) -> Source:
        picture = pictures[row]
        if isinstance(picture, str | Path):
            return Path(picture).expanduser()
        file = file_of(picture) if isinstance(picture, Image.Image) else None
        if file is None:
            raise ValueError("not a picture file")
        return file

    def read(row: int) -> Picture:
        picture = pictures[row]
        if isinstance(picture, Image.Image):
            return read_image(picture, how.reading)
        if not isinstance(picture, str | Path):
            raise ValueError(f"expected a PIL image or a path, got {type(picture).__name__}")
        return read_picture(content(row), how.reading)

    names = [shown(p) if isinstance(p, str | Path) else f"{name}[{row}]" for row, p in enumerate(pictures)]
    return _from_catalogue(Catalogue(stamp="", names=tuple(names), read=read, content=content), how, name, progress)


def _from_catalogue(catalogue: Catalogue, how: Opening, name: str, progress: Progress | None) -> OpenedImages:
    def report(done: int, total: int) -> None:
        if progress is not None:
            progress(f"reading {name}", done, total)

    if not len(catalogue):
        others = "; ".join((f"{catalogue.ignored} files of other kinds", *catalogue.remarks))
        raise ValueError(f"{name}: no picture in it ({others}){named(catalogue.bad)}")
    try:
        catalogue = every_page(catalogue, how.reading)
        images, facts = decoded(catalogue, how.size, how.resize, keep_copies=True, cache=how.cache, progress=report)
    except ValueError as error:
        raise ValueError(f"{name}: {error}") from error
    bad = (*catalogue.bad, *facts.bad_files())
    if bad and how.on_bad == "stop":
        raise ValueError(f"{name}: {len(bad)} bad files and on_bad is stop; repair or remove them:{named(bad)}")
    notes = [*catalogue.remarks, *_notes_of(bad, facts, how)]
    if catalogue.ignored:
        notes.append(f"other files, ignored because their names are not those of pictures: {catalogue.ignored}")
    return OpenedImages(
        images, name, _resized(facts, how), bad, tuple(notes), endings=tuple(sorted((facts.endings or {}).items()))
    )


def _resized(facts: Facts, how: Opening) -> str:
    parts = ["centre square"] * bool(facts.cropped) + [f"{how.resize} to {how.size}"] * bool(facts.resampled)
    return ", ".join(parts)


def _notes_of(bad: Sequence[BadFile], facts: Facts, how: Opening) -> list[str]:
    notes = []
    if bad:
        n = len(bad)
        listed = "".join(f"\n  {each.path}: {each.reason}" for each in bad[:LISTED])
        more = f"\n  and {len(bad) - LISTED} more" if len(bad) > LISTED else ""
        notes.append(f"{n} bad picture{'s were' if n > 1 else ' was'} left out:{listed}{more}")
    if facts.cropped:
        notes.append(f"cropped to the centre square: {facts.cropped}")
    if facts.resampled:
        notes.append(f"resampled to {how.size} px ({how.resize}): {facts.resampled}")
    if facts.enlarged:
        notes.append(f"smaller than {how.size} px and enlarged, their fine detail interpolated: {facts.enlarged}")
    return notes + facts.sentences("white", PAGE if how.page is None else "")


def _from_array(values: np.ndarray, how: Opening, name: str, stamp: str) -> OpenedImages:
    """Open an array of any layout and type; ``stamp`` identifies its file, "" for data in memory."""
    planar = planar_view(values, how.layout, name)
    stamp = digest(stamp, planar.shape, planar.strides) if stamp and how.cache else ""
    notes: list[str] = []
    if planar.dtype != np.uint8:
        planar, facts = as_bytes(planar, how.value_range, name, stamp)
        (low, high), (least, most) = how.value_range or (0.0, 1.0), facts.span or (0.0, 1.0)
        doubt = " That is little of the range: is it right?" if most - least < NARROW * (high - low) else ""
        notes.append(
            f"{values.dtype} values from {least:g} to {most:g} were rounded to 8 bits, {low:g} as black and {high:g} "
            f"as white.{doubt}"
        )
    elif planar.size and planar[:FIRST].max() <= 1:
        notes.append("no value is above 1 of 255: the pictures are black. Were floats cast to uint8?")
    if not how.size or not planar.size:
        return OpenedImages(planar, name, notes=tuple(notes))
    names = tuple(f"{name}[{row}]" for row in range(len(planar)))
    key = digest(stamp, how.value_range) if stamp else ""
    opened = _from_catalogue(Catalogue(key, names, lambda row: Picture(planar[row])), how, name, None)
    return replace(opened, notes=(*notes, *opened.notes), endings=())
