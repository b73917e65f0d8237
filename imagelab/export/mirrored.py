"""What a mirror copies of a run into a tracker: series of numbers, picture strips and settings, shard by shard.

A step is a generation. A series is one line of the run (a model of one chain), ``real`` for real images against
held-out real ones, or ``LINE_theory`` for a prediction. The ends of a 95 % interval are series of their own beside it,
``LINE_low`` and ``LINE_high``. Everything comes from finished shards, whose bytes are compared with their manifests.
"""

from __future__ import annotations

import io
import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

import numpy as np
from PIL import Image

from .._version import DISTRIBUTION
from ..experiment import flatten
from ..images import tile
from ..io.manifest import MANIFEST
from ..io.marks import png_marks
from ..io.measurements import read_measurements
from ..io.pictures import read_npy
from ..io.untrusted import quoted, shown
from ..measurement import Measurement
from ..pool import REAL
from ..run_folder import RunFolder
from .signed_files import origin_in

__all__ = ["MirrorState", "MirroredRun", "MirroredShard", "PictureStrip", "SeriesValue", "how_to_install"]

REAL_SERIES = "real"
STRIPS = {"tracked": "probe.npy", "photocopy": "photocopy.npy"}
"""Name of a picture strip -> its file in a shard."""

MOST_PICTURES, COLUMNS, LEAST_PIXELS = 16, 8, 64
LONGEST_SETTING = 500  # letters

MirrorState = Literal["running", "finished", "stopped"]
"""Whether a run is being written, has all its generations, or neither."""


@dataclass(frozen=True)
class SeriesValue:
    """One number of a series.

    Attributes:
        name: of the measurement, such as ``frechet/randconv``; its parts hold letters, digits, ``_``, ``-``, ``.``.
        series: of which model; see the module.
        step: the generation.
        value: the number.
    """

    name: str
    series: str
    step: int
    value: float

    @property
    def key(self) -> str:
        """Name for trackers that know no series: ``frechet/randconv/vae``."""
        return f"{self.name}/{self.series}"


@dataclass(frozen=True)
class PictureStrip:
    """The tracked pictures of one shard, side by side.

    Attributes:
        name: "tracked" (from the same seeds in every generation) or "photocopy".
        series: of which model.
        step: the generation.
        png: the file, with its marks.
        width: pixels.
        height: pixels.
    """

    name: str
    series: str
    step: int
    png: bytes
    width: int
    height: int

    @property
    def key(self) -> str:
        """Name for trackers that know no series: ``tracked/vae``."""
        return f"{self.name}/{self.series}"


class MirroredRun:
    """A run as a mirror reads it; nothing is written into it.

    Attributes:
        group: the study that the run is mirrored with; "" for none.
    """

    def __init__(self, path: Path, group: str = ""):
        """Read the records of a run.

        Raises:
            ValueError: if it is no run folder, or its config.json is damaged.
        """
        self.folder, self.group = RunFolder(path), group
        self.config = self.folder.config
        if not isinstance(self.experiment.get("generations"), int):
            raise ValueError(
                f"{shown(path)}: its config.json does not say how many generations are planned. Restore it."
            )

    @property
    def experiment(self) -> Mapping[str, Any]:
        """Its settings."""
        return self.config["experiment"]

    @property
    def name(self) -> str:
        """The name of the run folder, in letters that every tracker takes."""
        return _slug(self.folder.path.resolve().name) or "run"

    @property
    def title(self) -> str:
        """One line that says what it is."""
        return quoted(self.experiment.get("title") or self.experiment.get("name") or self.name, 200)

    @property
    def tags(self) -> dict[str, str]:
        """What the run is called, and under which signature it can be found again."""
        name = clean_name(str(self.experiment.get("name") or self.name))[:60]
        return {"imagelab.run": self.name, "imagelab.name": name, "imagelab.signature": self.signature}

    @property
    def signature(self) -> str:
        """The signature of its settings."""
        return _slug(self.config["signature"])

    @cached_property
    def settings(self) -> dict[str, str | int | float | bool]:
        """Every setting: dotted name -> plain value."""
        plain: dict[str, str | int | float | bool] = {}
        for name, value in flatten(dict(self.experiment)).items():
            number = isinstance(value, bool | int | float) and abs(value) < 2**53
            text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
            plain[clean_name(name)] = value if number else quoted(text, LONGEST_SETTING)
        return plain

    @cached_property
    def lines(self) -> int:
        """How many lines the run has, control models, chains and blank twins counted."""
        counts = {name: self.experiment.get(name) for name in ("replicates", "blank_twins")}
        chains, twins = (value if isinstance(value, int) else 0 for value in counts.values())
        return (1 + len(self.experiment.get("arms") or ())) * max(chains, 1) + twins

    @cached_property
    def _series(self) -> dict[int, str]:
        labels = self.folder.provenance.get("labels")
        labels = labels if isinstance(labels, Mapping) else {}
        found: dict[int, str] = {REAL: REAL_SERIES}
        for line in range(self.lines):
            name = _slug(str(labels.get(str(line), ""))) or f"line-{line}"
            found[line] = name if name not in found.values() else f"{name}-line-{line}"
        return found

    def series(self, line: int) -> str:
        """Return the name of the series of a line."""
        return self._series.get(line, f"line-{max(line, 0)}")

    def shards(self) -> list[MirroredShard]:
        """Return the finished shards that are there now, oldest generation first."""
        return [MirroredShard(self, generation, line) for generation, line in self.folder.shards()]

    @property
    def is_finished(self) -> bool:
        """Whether every generation of every line is there."""
        return len(self.folder.shards()) > self.lines * int(self.experiment["generations"])

    @property
    def report(self) -> Path | None:
        """The report page; None where there is none, or it is older than the newest shard."""
        page = self.folder.path / "report" / "index.html"
        if page.is_symlink() or page.parent.is_symlink() or not page.is_file():
            return None
        newest = max((shard.time for shard in self.shards()), default=0.0)
        return page if page.stat().st_mtime >= newest else None


@dataclass(frozen=True)
class MirroredShard:
    """One finished shard.

    Attributes:
        run: which it belongs to.
        generation: of the shard.
        line: of the shard; -1 for real images.
    """

    run: MirroredRun
    generation: int
    line: int

    @property
    def name(self) -> str:
        """The name of its folder."""
        return self.run.folder.shard_path(self.generation, self.line).name

    @property
    def series(self) -> str:
        """The series of its line."""
        return self.run.series(self.line)

    @property
    def time(self) -> float:
        """When it was finished, seconds since 1970: the same whenever it is asked."""
        folder = self.run.folder.shard_path(self.generation, self.line)
        manifest = folder / MANIFEST
        return (manifest if manifest.exists() else folder).stat().st_mtime

    def values(self) -> list[SeriesValue]:
        """Return its numbers. What could not be measured is left out.

        Raises:
            ValueError: if its measurements are not what the run wrote.
        """
        return [value for measured in self._measured() for value in self._values_of(measured)]

    def _measured(self) -> list[Measurement]:
        folder, place = self.run.folder, (self.generation, self.line)
        if folder.has_file(*place, "metrics.jsonl"):
            return read_measurements(folder.file(*place, "metrics.jsonl"))
        return [m for m in folder.measurements() if (m.generation, m.line) == place]  # of a version before manifests

    def _values_of(self, measured: Measurement) -> Iterator[SeriesValue]:
        name, step, series = clean_name(measured.name), measured.generation, self.run.series(measured.line)
        if measured.predicted:
            series += "_theory"
        ends = measured.interval or (None, None)
        for which, number in ((series, measured.value), (f"{series}_low", ends[0]), (f"{series}_high", ends[1])):
            if number is not None:
                yield SeriesValue(name, which, step, float(number))
        if measured.floor is not None and measured.line == 0 and not measured.predicted:  # the same for every line
            yield SeriesValue(name, REAL_SERIES, step, float(measured.floor))

    def strips(self) -> Iterator[PictureStrip]:
        """Yield its picture strips.

        Raises:
            ValueError: if a file of pictures is not what the run wrote.
        """
        folder = self.run.folder
        for name, file in STRIPS.items():
            if folder.has_file(self.generation, self.line, file):
                images = read_npy(folder.file(self.generation, self.line, file), mmap=True)
                yield self._strip(name, np.asarray(images[:MOST_PICTURES]))

    def _strip(self, name: str, images: np.ndarray) -> PictureStrip:
        pixels = tile(images, min(COLUMNS, len(images)), scale=max(1, LEAST_PIXELS // images.shape[3]))
        origin = origin_in(self.run.folder, self.generation)
        what = "synthetic images made by a generative model" if self.generation else "real images"
        title = f"{self.run.name}, generation {self.generation}, {self.series}: {name} images"
        facts = {
            "run": self.run.name,
            "signature": self.run.signature,
            "generation": self.generation,
            "line": self.line,
        }
        marks = png_marks(origin, title, f"{what}; every pixel as it was made", imagelab=json.dumps(facts))
        file = io.BytesIO()
        Image.fromarray(pixels).save(file, "PNG", pnginfo=marks)
        return PictureStrip(name, self.series, self.generation, file.getvalue(), pixels.shape[1], pixels.shape[0])


def clean_name(name: str) -> str:
    """Return a name in letters that every tracker takes, its parts apart by ``/``.

    Example:
        >>> clean_name("frechet/randconv-s0"), clean_name("../mine//a b(c)")
        ('frechet/randconv-s0', 'mine/a b_c_')
    """
    parts = [re.sub(r"[^A-Za-z0-9_. -]", "_", part).strip(". ")[:60] for part in name[:1000].split("/")]
    return "/".join(part for part in parts if part) or "unnamed"


def how_to_install(tracker: str) -> str:
    """Return what to say where the package of a tracker is missing."""
    return f"mirror --to {tracker} needs the package {tracker}: pip install '{DISTRIBUTION}[{tracker}]'"


def _slug(name: str) -> str:
    return re.sub(r"[^a-z0-9_.]+", "-", name.lower()).strip("-._")[:100]
