"""A run folder as the report reads it: measurements by name, pictures by generation, and text that is safe to print.

A page depends only on this view, so the same folder gives the same page to the byte. Reading is strict: a damaged file
is an error that names it. What does not exist yet (a generation still in training) or cannot exist (photocopies of a
model that cannot copy) is absent from the view.
"""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

import numpy as np

from ..data import DATASETS
from ..evaluation.chains import means_of_run
from ..images import spread_over
from ..io.pictures import read_npy
from ..io.run_records import IMPORTED
from ..io.untrusted import parsing
from ..measurement import Measurement
from ..metrics import METRICS, Metric, row_of
from ..pool import REAL
from ..regimes import REGIMES
from ..run_folder import RunFolder

__all__ = ["Run", "Training", "plain", "read_run"]


def plain(value: object, limit: int = 80) -> str:
    r"""Return any value as one short line of printable text, without control characters, cut with an ellipsis.

    Example:
        >>> plain("a\n\tlong  name", 8)
        'a long …'
    """
    text = str(value).encode("utf-8", "replace").decode("utf-8")
    text = "".join(letter if letter.isprintable() else " " for letter in text)
    text = " ".join(text.split())
    return text if len(text) <= limit else text[: limit - 1] + "…"


@dataclass(frozen=True)
class Training:
    """How one model was trained, from the last line of its training record.

    Its time is left out: nothing in a report depends on the speed of the machine.

    Attributes:
        generation: the generation of the model.
        line: the line of the model.
        images_seen: images shown during training.
        loss: the last loss.
    """

    generation: int
    line: int
    images_seen: int
    loss: float


@dataclass(frozen=True, eq=False)
class Run:
    """The content of a run folder that a report needs.

    Attributes:
        folder: the run folder; its name is the run's name.
        experiment: the resolved experiment of config.json.
        provenance: versions, device, data card, labels: provenance.json.
        measurements: one for each role (line of the first chain), name and generation: where the run has several
            chains, the mean over them (evaluation/chains.py).
        shards: (generation, line) of complete generations; real images are (0, REAL).
        each: every measurement of every line as it stands in metrics.jsonl.
        store: the run folder, whose files are compared with their manifests when they are read.
    """

    folder: Path
    experiment: Mapping[str, Any]
    provenance: Mapping[str, Any]
    measurements: tuple[Measurement, ...]
    shards: tuple[tuple[int, int], ...]
    store: RunFolder
    each: tuple[Measurement, ...] = ()

    @property
    def replicates(self) -> int:
        """The number of chains: of trainings that every figure is the mean of."""
        chains = self.experiment.get("replicates", 1)
        return chains if isinstance(chains, int) else 1

    @property
    def roles(self) -> int:
        """The number of lines of one chain: the main model and its arms."""
        return 1 + len(self.experiment.get("arms") or ())

    def chains(self, name: str, line: int) -> list[list[Measurement]]:
        """Return the single trainings behind :meth:`series`, oldest generation first; nothing where there is one."""
        if self.replicates == 1:
            return []
        lines = range(line, self.replicates * self.roles, self.roles)
        found = [
            m for m in self.each if m.name == name and m.generation > 0 and m.value is not None and not m.predicted
        ]
        return [sorted((m for m in found if m.line == each), key=lambda m: m.generation) for each in lines]

    @property
    def own(self) -> tuple[Mapping[str, Any], ...]:
        """What the run recorded of recipes and metrics that are not part of this package; their code is not loaded."""
        recorded = self.provenance.get("own")
        return tuple(each for each in recorded if isinstance(each, Mapping)) if isinstance(recorded, list) else ()

    @cached_property
    def own_rows(self) -> tuple[str, ...]:
        """The names of the run's metrics that are not part of this package."""
        return tuple(str(each.get("name")) for each in self.own if each.get("family") == "metrics")

    @cached_property
    def rows(self) -> Mapping[str, Metric]:
        """What is said of every metric, by name: the table of this package, and the run's own metrics."""
        own = [each for each in self.own if each.get("family") == "metrics"]
        with parsing(self.folder / "provenance.json", "a whole record of a metric of one's own"):
            return {**METRICS, **{str(each["name"]): Metric.from_data(each["row"]) for each in own}}

    def row_name(self, name: str) -> str | None:
        """Return the name of the metric that gives the measurement of this name; None where none does."""
        return row_of(name, self.rows)

    def row(self, name: str) -> Metric | None:
        """Return the metric that gives the measurement of this name; None where none does."""
        found = self.row_name(name)
        return None if found is None else self.rows[found]

    def said(self, family: str, kind: object, what: str, otherwise: str) -> str:
        """Return what a recipe says of itself for sentences, such as a regime's ``fed`` or a dataset's ``noun``."""
        ours = {"regimes": REGIMES, "data": DATASETS}[family]
        if kind in ours:
            return str(getattr(ours[str(kind)], what, otherwise))
        own = next((each for each in self.own if each.get("family") == family and each.get("name") == kind), {})
        return plain(own.get(what) or otherwise, 120)

    @property
    def name(self) -> str:
        """The name of the run, which is the name of its folder."""
        return plain(self.folder.resolve().name, 120)

    @property
    def title(self) -> str:
        """The title of the experiment, or its name if it has no title."""
        return plain(self.experiment.get("title") or self.experiment.get("name") or self.name, 160)

    @cached_property
    def generations(self) -> tuple[int, ...]:
        """The complete generations of the main line, 0 (real images) first."""
        return tuple(sorted({generation for generation, line in self.shards if line in (REAL, 0)}))

    @property
    def last(self) -> int:
        """The last complete generation; 0 if there are only the real images."""
        return max(self.generations, default=0)

    @property
    def planned(self) -> int:
        """The number of generations in the experiment; the last complete one if the experiment does not give it."""
        planned = self.experiment.get("generations")
        return planned if isinstance(planned, int) else self.last

    @cached_property
    def lines(self) -> tuple[int, ...]:
        """The lines of the first chain (one model per generation each), the main line (0) first."""
        made = {line for _, line in self.shards} | {m.line for m in self.measurements if m.generation > 0}
        return tuple(sorted(line for line in made if 0 <= line < self.roles))

    def label(self, line: int, limit: int = 40) -> str:
        """Return the label of a line, such as "VAE" or "PPCA, k = 128"."""
        if line == REAL:
            return "real"
        labels = self.provenance.get("labels")
        if isinstance(labels, Mapping) and labels.get(str(line)):
            return plain(labels[str(line)], limit)
        recipes = [self.experiment.get("generator"), *(self.experiment.get("arms") or [])]
        recipe = recipes[line] if line < len(recipes) else None
        kind = recipe.get("kind") if isinstance(recipe, Mapping) else None
        return plain(kind, limit) if kind else f"line {line}"

    def model(self, line: int) -> str:
        """Return a short label for use in a sentence: "VAE" for "VAE, fitted prior" if no other line is a VAE."""
        short = {other: self.label(other).split(",")[0].strip() for other in self.lines}
        alone = sum(name == short.get(line) for name in short.values()) == 1
        name, _, rest = self.label(line).partition(",")
        name = re.sub(r"(?<=diffusion)$", " model", name.strip())
        return name if alone or not rest else f"{name} ({rest.strip()})"

    @cached_property
    def _index(self) -> dict[tuple[str, int, bool], list[Measurement]]:
        index: dict[tuple[str, int, bool], list[Measurement]] = {}
        for measured in sorted(self.measurements, key=lambda m: m.generation):
            index.setdefault((measured.name, measured.line, measured.predicted), []).append(measured)
        return index

    @cached_property
    def names(self) -> tuple[str, ...]:
        """All measurement names, in the order in which they were first written."""
        return tuple(dict.fromkeys(m.name for m in self.measurements if not m.predicted))

    def series(self, name: str, line: int = 0, predicted: bool = False) -> list[Measurement]:
        """Return the values of one metric from generation 1 on, oldest first; missing values are left out."""
        found = self._index.get((name, line, predicted), [])
        return [m for m in found if m.value is not None and m.generation > 0]

    def real(self, name: str) -> Measurement | None:
        """Return the metric of real training images against held-out real ones: the floor. None if not measured."""
        found = self._index.get((name, REAL, False), [])
        return next((m for m in found if m.generation == 0 and m.value is not None), None)

    def at(self, name: str, generation: int, line: int = 0) -> Measurement | None:
        """Return one measured value, or None."""
        return next((m for m in self.series(name, line) if m.generation == generation), None)

    def missing(self) -> list[tuple[str, str, int]]:
        """Return (name, reason, number of times) of all measurements that could not be taken."""
        counts: dict[tuple[str, str], int] = {}
        for m in self.measurements:
            if m.value is None:
                counts[m.name, m.missing] = counts.get((m.name, m.missing), 0) + 1
        return [(plain(name), plain(reason, 300), count) for (name, reason), count in counts.items()]

    def pictures(self, kind: str, line: int = 0) -> dict[int, np.ndarray]:
        """Return generation -> uint8 [P,C,H,W] of ``tracked`` or ``photocopy`` for one line, real images (0) first.

        Photocopies are empty if the line has none after generation 0; tracked pictures then hold the real ones. The
        real row of tracked pictures is spread evenly over the held-out images where these are in the run: drawn
        pictures are not chosen, so the real ones beside them are not either.

        They are read once; the arrays are not to be changed.

        Raises:
            ValueError: if a file is damaged or its pictures have another shape than those of generation 0.
        """
        if (kind, line) not in self._pictures:
            self._pictures[kind, line] = self._read_pictures(kind, line)
        return dict(self._pictures[kind, line])

    @property
    def leading(self) -> Literal["tracked", "photocopy"]:
        """The pictures to show first: newly drawn ones, of which the figures are; copies where none were drawn."""
        return "tracked" if max(self.pictures("tracked"), default=0) else "photocopy"

    @property
    def imported(self) -> bool:
        """Whether the loop ran elsewhere, and its images alone are known."""
        return IMPORTED in self.provenance

    @property
    def same_seeds(self) -> bool:
        """Whether the pictures of a column have one seed; of a loop that ran elsewhere only if the user has said so."""
        return not self.imported or bool(self.experiment.get("tracked"))

    @property
    def repeated_by(self) -> str:
        """The command that makes the run again, where runs lie under ``runs``."""
        record = self.provenance.get(IMPORTED)
        if self.imported:
            return plain(record.get("command"), 4000) if isinstance(record, Mapping) else "imagelab import"
        return f"imagelab run runs/{shlex.quote(self.name)}/config.json"

    @cached_property
    def side(self) -> int:
        """The height of the images in px; 0 where no picture was kept."""
        return next((images.shape[2] for images in self.pictures("tracked").values()), 0)

    @cached_property
    def _pictures(self) -> dict[tuple[str, int], dict[int, np.ndarray]]:
        return {}

    def _read_pictures(self, kind: str, line: int) -> dict[int, np.ndarray]:
        found: dict[int, np.ndarray] = {}
        name = "probe.npy" if kind == "tracked" else f"{kind}.npy"
        for generation, owner in self.shards:
            if owner not in (REAL, line) or not self.store.has_file(generation, owner, name):
                continue
            path = self.store.file(generation, owner, name)
            found[generation] = read_npy(path)
            if generation == 0 and kind == "tracked" and self.real_spread:
                found[0] = self._spread(len(found[0]))
            first = found[min(found)]
            if found[generation].shape[1:] != first.shape[1:]:
                shapes = f"{first.shape[1:]} in generation {min(found)}, {found[generation].shape[1:]} here"
                raise ValueError(f"{path}: expected pictures of one shape, got {shapes}. Run the generation again.")
        return found if any(generation > 0 for generation in found) or kind == "tracked" else {}

    @property
    def real_spread(self) -> bool:
        """Whether the real row of drawn pictures is spread over the held-out images, not chosen."""
        return not self.imported and self.store.has_file(0, REAL, "heldout.npy")

    def _spread(self, count: int) -> np.ndarray:
        images = read_npy(self.store.file(0, REAL, "heldout.npy"), mmap=True)
        return np.array(images[spread_over(len(images), count)])

    def training(self) -> list[Training]:
        """Return the last line of the training record of each model that has one."""
        records = []
        for generation, line in self.shards:
            if not self.store.has_file(generation, line, "train.jsonl"):
                continue
            path = self.store.file(generation, line, "train.jsonl")
            with parsing(path, "a whole training record"):
                lines = path.read_text("utf-8").splitlines()
                if not lines:
                    continue
                last = json.loads(lines[-1])
                seen, loss = int(last["images_seen"]), float(last["loss"])
            records.append(Training(generation, line, seen, loss))
        return records


def read_run(folder: Path) -> Run:
    """Read a run folder, finished or not.

    Raises:
        ValueError: if it is not a run folder or a file in it is damaged; the message names the file, what was expected
            and what was found.
    """
    folder = Path(folder)
    store = RunFolder.open(folder)
    config, provenance = store.config, store.provenance
    shards = tuple(store.shards())
    if (0, REAL) not in shards:
        raise ValueError(f"{folder}: expected the real images in gen-000/, found no such folder. Start the run again.")
    experiment, each = config["experiment"], tuple(store.measurements())
    merged = means_of_run(experiment, each)
    return Run(folder, experiment, provenance, tuple(merged), shards, store, each)
