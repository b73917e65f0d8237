"""The images of a run as detectors need them: divided into training and test, with their cues, computed once.

Of generation 0 the held-out images are used: no model of the run was trained on them. (A curation that compares with
real images has looked at them; the record says so.) Blank twins are left out: they were trained on other real images.
The model that copies images for the reconstruction error of a line is the first one of its kind: generation 1 of that
line in the first chain.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

import numpy as np
from pydantic import ValidationError

from ..experiment import Experiment, explain
from ..generators.base import RunContext
from ..io.chain import FEATURES as FEATURES_FOLDER
from ..io.npy import npz_columns
from ..io.pictures import read_npy
from ..io.untrusted import quoted, shown
from ..metrics.base import ImageSet
from ..metrics.features import PRIMARY, features
from ..pool import REAL
from ..run_folder import RunFolder
from ..seeds import rng_at
from .cues import FEATURES, RECONSTRUCTION, SPECTRUM, Copier, Cues, cues_of
from .division import halves, pixel_keys, unseen

__all__ = ["Bench", "Told", "copier_of", "experiment_of"]

Told = Callable[[str, int, int], None]
"""Called with (what is done, how many steps are done, of how many)."""

EACH = 500  # generated images of every line and generation that are used
LEAST = 20  # images of each kind, to train and to test


def experiment_of(run: RunFolder) -> Experiment:
    """Return the experiment that a run was made for. Members of one's own must have been loaded.

    Raises:
        ValueError: if its settings cannot be read by this version.
    """
    try:
        return Experiment.model_validate(run.config["experiment"])
    except ValidationError as error:
        raise ValueError(f"{shown(run.path)}: its settings cannot be read: {quoted(explain(error), 300)}") from error


def copier_of(run: RunFolder, experiment: Experiment, line: int, device: str = "cpu") -> Copier | None:
    """Return what the first model of a line makes of given images; None where it cannot copy, or there is none.

    Raises:
        ValueError: if the files of the model are not what the run wrote, or the run has removed them.
    """
    if not run.has(1, line):
        return None
    model = experiment.lines[line].load(run.model(1, line), RunContext(device=device))
    return model.reconstruct if model.reconstructs else None


@dataclass(frozen=True, eq=False)
class Divided:
    """One set of images: its cues, and which rows train and test.

    Attributes:
        cues: of all rows.
        train: rows, int64.
        test: rows, int64.
        groups: int64 [N], which images belong together; None if all are independent.
    """

    cues: Cues
    train: np.ndarray
    test: np.ndarray
    groups: np.ndarray | None = None

    def training(self) -> dict[str, np.ndarray]:
        """Return the cues of the rows that train."""
        return {part: values[self.train] for part, values in self.cues.items()}

    def testing(self) -> dict[str, np.ndarray]:
        """Return the cues of the rows that test."""
        return {part: values[self.test] for part, values in self.cues.items()}

    @property
    def tested_groups(self) -> np.ndarray | None:
        """The groups of the rows that test."""
        return None if self.groups is None else self.groups[self.test]


@dataclass(eq=False)
class Bench:
    """The images of one run.

    Attributes:
        run: the run.
        experiment: of the run.
        device: torch device for features and copies.
        each: how many generated images of every line and generation are used.
        told: for progress.
        host: for a second run, the bench of the first: its models copy, and none of its training images is tested.
    """

    run: RunFolder
    experiment: Experiment
    device: str = "cpu"
    each: int = EACH
    told: Told = lambda what, done, total: None
    host: Bench | None = None
    _made: dict[tuple[int, int], Divided] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Refuse a run that does not suffice."""
        name = shown(self.run.path)
        if not self.shards:
            raise ValueError(f"{name}: no generation of it is finished; a detector needs generated images")
        real, train, test = self._division
        if min(len(test), len(train) if self.host is None else LEAST) < LEAST:
            raise ValueError(
                f"{name}: of its {len(real)} held-out real images {len(train)} can train and {len(test)} can test; a "
                f"detector needs {LEAST} of each, none of them an image that a model was trained on. Raise `heldout` "
                "in a new run."
            )
        for generation, line in self.shards:
            count = min(len(self.run.images(generation, line)), self.each)
            if count < 2 * LEAST:
                raise ValueError(
                    f"{name}: generation {generation} has {count} images to use; a detector needs {2 * LEAST}"
                )

    @cached_property
    def shards(self) -> list[tuple[int, int]]:
        """Finished (generation, line) of the lines that are judged, in order."""
        count = len(self.experiment.lines)
        return [
            (generation, line)
            for generation, line in self.run.shards()
            if generation and line < count and not self.experiment.line(line).blank
        ]

    @property
    def lines(self) -> list[int]:
        """The lines that are judged."""
        return sorted({line for _, line in self.shards})

    def first_of_role(self, line: int) -> int:
        """Return the line of the first chain with the same generator."""
        return self.experiment.line(line).role

    @cached_property
    def copiers(self) -> dict[str, Copier]:
        """What copies images, for each part ``reconstruction/K``; of a second run those of the first."""
        if self.host is not None:
            return self.host.copiers
        roles = sorted({self.first_of_role(line) for line in self.lines})
        found = {f"{RECONSTRUCTION}/{k}": copier_of(self.run, self.experiment, k, self.device) for k in roles}
        return {part: copier for part, copier in found.items() if copier is not None}

    def parts(self, line: int) -> tuple[str, ...]:
        """Return the cues of the detectors of a line."""
        own = f"{RECONSTRUCTION}/{self.first_of_role(line)}"
        return (FEATURES, SPECTRUM, own) if own in self.copiers else (FEATURES, SPECTRUM)

    @cached_property
    def groups(self) -> np.ndarray | None:
        """Which held-out images belong together, int64 [N]."""
        if not self.run.has_file(0, REAL, "groups.npz"):
            return None
        return npz_columns(self.run.file(0, REAL, "groups.npz"), ("heldout",), "the groups of real images")[0]

    @cached_property
    def _division(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """The held-out images, uint8 [N,C,H,W], and the rows that train and test."""
        images = read_npy(self.run.file(0, REAL, "heldout.npy"), mmap=True)
        rng = rng_at(self.experiment.seed, "detector division")
        if self.host is not None:
            return images, np.empty(0, np.int64), unseen(images, np.arange(len(images)), self.host.seen)
        train, test = halves(len(images), self.groups, rng)
        of_models = pixel_keys(self.run.images(0, REAL))
        return images, train, unseen(images, test, [*of_models, *pixel_keys(images[train])])

    def rows(self, generation: int, line: int) -> tuple[np.ndarray, np.ndarray]:
        """Return the rows of a set of generated images that train, and those that may test."""
        n = len(self.run.images(generation, line))
        order = rng_at(self.experiment.seed, "detector division", generation, line).permutation(n)[: self.each]
        half = len(order) // 2
        return np.sort(order[:half]), np.sort(order[half:])

    @cached_property
    def seen(self) -> set[bytes]:
        """Digests of the pixels of every image that some detector is trained on."""
        images, train, _ = self._division
        keys = set(pixel_keys(images[train]))
        for generation, line in self.shards:
            keys.update(pixel_keys(self.run.images(generation, line)[self.rows(generation, line)[0]]))
        return keys

    @cached_property
    def real(self) -> Divided:
        """The held-out real images."""
        images, train, test = self._division
        cues = self._cues(images, np.arange(len(images)), self.run.shard_path(0))
        return Divided(cues, train, test, self.groups)

    def made(self, generation: int, line: int) -> Divided:
        """Return the generated images of a shard: the training rows come first."""
        where = generation, line
        if where not in self._made:
            images, (train, test) = self.run.images(*where), self.rows(*where)
            kept = unseen(images, test, self.seen if self.host is None else self.host.seen)
            train = train if self.host is None else train[:0]
            cues = self._cues(images, np.concatenate([train, kept]), self.run.shard_path(*where))
            here = np.arange(len(train) + len(kept))
            self._made[where] = Divided(cues, here[: len(train)], here[len(train) :])
        return self._made[where]

    def test_images(self, shards: Iterable[tuple[int, int]], most: int) -> list[np.ndarray]:
        """Return the first test images of generation 0 and of some shards, uint8 [n,C,H,W], for alterations."""
        images, _, test = self._division
        found = [np.array(images[test[:most]])]
        for where in shards:
            source, rows = self.run.images(*where), self.rows(*where)[1]
            found.append(np.array(source[unseen(source, rows, self.seen)[:most]]))
        return found

    def _cues(self, images: np.ndarray, rows: np.ndarray, shard: Path) -> Cues:
        """Return the cues of some rows; features of a whole set may lie in its shard from the measurement."""
        place = shard / FEATURES_FOLDER
        whole = ImageSet(np.array(images), None if place.is_symlink() or not place.is_dir() else place)
        chosen = ImageSet(whole.images[rows])
        slot = features(whole, PRIMARY, self.device)[rows] if whole.cache else None
        return cues_of(chosen, self.copiers, self.device, slot)
