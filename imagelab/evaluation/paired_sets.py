"""Two sets of pictures, pair by pair: matched by name where both have names, else by order."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath

import numpy as np

from ..io.untrusted import few
from ..measurement import t95
from ..metrics.paired import paired_scores
from .checks import of_one_form
from .named_pictures import open_named
from .sources import OpenedImages, Opening, open_images

__all__ = ["PairedSets", "measure_pairs"]


@dataclass(frozen=True, eq=False)
class PairedSets:
    """The scores of every pair.

    Attributes:
        names: N names of pairs.
        scores: name of a score -> float64 [N]; PSNR is infinite for equal pictures.
        missing: score -> why it could not be taken.
        matched: how pairs were found, in words.
        alone: names in the first and in the second set without a counterpart.
        notes: what a reader has to know.
    """

    names: tuple[str, ...]
    scores: Mapping[str, np.ndarray]
    missing: Mapping[str, str]
    matched: str
    alone: tuple[tuple[str, ...], tuple[str, ...]] = ((), ())
    notes: tuple[str, ...] = ()

    def mean(self, score: str) -> tuple[float, float, float] | None:
        """Return mean and 95 % limits over the pairs (value -+ t s / sqrt(N)); None where not all are finite.

        It holds for other pairs drawn like these, each independent of the others.
        """
        values = self.scores[score]
        if len(values) < 2 or not np.isfinite(values).all():
            return None
        half = t95(len(values) - 1) * float(values.std(ddof=1)) / len(values) ** 0.5
        middle = float(values.mean())
        return middle, middle - half, middle + half

    def worst_first(self) -> np.ndarray:
        """Return the rows, the worst by LPIPS (else PD, else MSE) first: int64 [N]."""
        by = next(name for name in ("lpips", "pd", "mse") if name in self.scores)
        return np.argsort(-self.scores[by], kind="stable")


def measure_pairs(real: str | Path, fake: str | Path, how: Opening, device: str = "cpu") -> PairedSets:
    """Score the pictures of two sets pair by pair.

    Two folders of picture files are matched by the path of a picture in its folder without its ending; all else by
    order, which needs equal numbers.

    Args:
        real: the originals.
        fake: their counterparts.
        how: what may be done to the pixels.
        device: torch device.

    Raises:
        ValueError: where no pair can be found, or a name stands for two pictures.
    """
    folders = [Path(each).expanduser() for each in (real, fake)]
    if all(folder.is_dir() and not (folder / "images.npy").is_file() for folder in folders):
        sides = [open_named(folder, how, name) for folder, name in zip(folders, ("real", "fake"), strict=True)]
        rows = [_stems(names, folder) for (_, names), folder in zip(sides, folders, strict=True)]
        both = [stem for stem in rows[0] if stem in rows[1]]
        if not both:
            raise ValueError(
                f"--paired: no picture of {folders[1]} has the name of one of {folders[0]} (such as "
                f"{few(list(rows[0])[:1])} and {few(list(rows[1])[:1])}); pairs are matched by path without ending"
            )
        alone = tuple(tuple(stem for stem in mine if stem not in other) for mine, other in (rows, rows[::-1]))
        sets = {
            name: _rows(opened, np.array([stems[stem] for stem in both]))
            for name, (opened, _), stems in zip(("real", "fake"), sides, rows, strict=True)
        }
        return _scored(sets, tuple(both), "by path in their folders, without ending", (alone[0], alone[1]), device)
    sets = {name: open_images(str(each), how, name) for name, each in (("real", real), ("fake", fake))}
    counts = [len(each) for each in sets.values()]
    if counts[0] != counts[1]:
        raise ValueError(
            f"--paired: {counts[0]} and {counts[1]} pictures; pairs by order need equal numbers. Folders of picture "
            "files are matched by name"
        )
    if any(each.bad for each in sets.values()):
        raise ValueError("--paired: a damaged picture was left out, so that the order says nothing; repair it first")
    names = tuple(str(row) for row in range(counts[0]))
    return _scored(sets, names, "by order", ((), ()), device)


def _scored(
    sets: dict[str, OpenedImages],
    names: tuple[str, ...],
    matched: str,
    alone: tuple[tuple[str, ...], tuple[str, ...]],
    device: str,
) -> PairedSets:
    alike, notes = of_one_form(sets)
    scores, missing = paired_scores(alike["real"].images, alike["fake"].images, device)
    remarks = [f"{name}: {note}" for name, each in sets.items() for note in each.notes]
    return PairedSets(names, scores, missing, matched, alone, (*notes, *remarks))


def _stems(names: tuple[str, ...], folder: Path) -> dict[str, int]:
    stems = [PurePosixPath(name).with_suffix("").as_posix() for name in names]
    twice = [stem for stem, count in Counter(stems).items() if count > 1]
    if twice:
        raise ValueError(f"--paired: {folder} holds several pictures that differ in their ending only: {few(twice)}")
    return {stem: row for row, stem in enumerate(stems)}


def _rows(opened: OpenedImages, rows: np.ndarray) -> OpenedImages:
    return replace(opened, images=opened.images[rows])
