"""Measure any images against real ones: the metrics of imagelab without a run.

    result = imagelab.measure("real/", "generated/")
    print(result)

Every number is reported with its floor: the same metric on real images against other real images. Three cases:

1. Other real images are given (``floor``): these are used.
2. There are at least twice as many real images as generated ones: a random part of the real set, as large as the
   generated set, is set aside for the floor; the rest is the reference of both.
3. Otherwise: one half of the real set against the other. These are fewer images than in the measurement itself, and a
   note says so. A distance that falls with n then has too high a floor: only values above this floor are conclusive.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import numpy as np

from ..faces.freckles import Style
from ..io.arrays import Layout
from ..io.cache import cache_folder
from ..io.decode import Progress, pick
from ..io.reading import Page
from ..io.resample import Kernel
from ..measurement import Measurement
from ..metrics import METRICS, Evidence, ImageSet, measure_panel
from ..metrics.own_network import NETWORK, add_networks
from ..metrics.weights import WeightsMissing, locate
from ..pool import REAL
from ..runs.device import choose_device
from ..seeds import rng_at, seed_at
from .checks import below_zero, copies_among, lossy_beside_lossless, notes_of, of_one_form, warn_of_few
from .comparison import ARROWS, columns, compare_to_floor, figures
from .sources import OpenedImages, Opening, open_images

__all__ = ["Measured", "general_panel", "measure"]


@dataclass(frozen=True)
class Measured:
    """The result of a measurement.

    Attributes:
        measurements: the generated images against the real ones, each with its floor, in the order of the panel.
        floors: real images against real ones, with the numbers of images that were used.
        warnings: what a reader has to know before trusting a number.
        notes: what the floor is, and which metrics were not measured and why.
        real: the real set in words.
        fake: the generated set in words.
    """

    measurements: tuple[Measurement, ...]
    floors: tuple[Measurement, ...]
    warnings: tuple[str, ...]
    notes: tuple[str, ...]
    real: str
    fake: str

    def __getitem__(self, name: str) -> Measurement:
        """Return the measurement of this name, such as ``frechet/randconv-s0``."""
        measured = {m.name: m for m in self.measurements}
        if name not in measured:
            raise KeyError(f"{name!r} was not measured; there are {', '.join(measured)}")
        return measured[name]

    def __iter__(self) -> Iterator[Measurement]:
        return iter(self.measurements)

    def __len__(self) -> int:
        return len(self.measurements)

    def __str__(self) -> str:
        return self.table()

    def shown(self, everything: bool = False) -> list[Measurement]:
        """Return the measurements to show: those with value and direction; with ``everything``, all with a value."""
        return [m for m in self.measurements if m.value is not None and (everything or m.better != "none")]

    def missing(self) -> dict[str, list[str]]:
        """Return the names of the measurements without a value, grouped by the reason."""
        reasons: dict[str, list[str]] = {}
        for m in self.measurements:
            if m.value is None:
                reasons.setdefault(m.missing, []).append(m.name)
        return reasons

    def table(self, everything: bool = False) -> str:
        """Return the result as plain text: warnings, one row a measurement, missing values and reasons, notes."""
        lines = [self.title, *(f"! {warning}" for warning in self.warnings), ""]
        lines += columns(HEAD, self.rows(everything))
        lines += [f"missing: {', '.join(names)}: {reason}" for reason, names in self.missing().items()]
        return "\n".join([*lines, *self.notes])

    def rows(self, everything: bool = False) -> list[tuple[str, ...]]:
        """Return the rows of the table: one tuple of cells a measurement; the columns are those of ``HEAD``."""
        floors = {m.name: m for m in self.floors}
        rows = []
        for m in self.shown(everything):
            floor = floors.get(m.name, m)
            fewer = floor.n_fake < m.n_fake or floor.n_real < m.n_real
            rows.append(_cells(m, compare_to_floor(m, fewer)))
        return rows

    @property
    def title(self) -> str:
        """What was measured against what, in one line."""
        return f"{self.fake} against {self.real}"

    def to_jsonl(self) -> str:
        """Return one line of JSON a measurement: the floors (generation 0, line -1) first."""
        return "".join(m.to_json() + "\n" for m in (*self.floors, *self.measurements))


HEAD = ("measurement", "value", "± stderr", "floor", "n made/real", "", "verdict", "feature space")
"""The titles of the columns."""


def _cells(m: Measurement, verdict: str) -> tuple[str, ...]:
    unit = f" {m.unit}" if m.unit else ""
    error = "" if m.stderr is None else f"± {figures(m.stderr, 2)}"
    count = f"{m.n_fake}/{m.n_real}"
    return (m.name, figures(m.value) + unit, error, figures(m.floor), count, ARROWS[m.better], verdict, m.feature_space)


def general_panel(train: bool) -> tuple[list[str], dict[str, str]]:
    """Return the rows that can be measured on any images on this machine, and the reason for each row left out.

    Args:
        train: whether the images that the model was trained on are known.
    """
    panel, left = [], {}
    for name, row in METRICS.items():
        if name == NETWORK:
            left[name] = "needs a feature network of your own (--network FILE)"
        elif row.suits == "faces":
            left[name] = "calibrated on imagelab's faces; request it by name to measure it"
        elif row.suits == "planted":
            left[name] = "counts the marks of a run with planted data, whose counter is part of that run"
        elif row.uses_training and not train:
            left[name] = "needs the images that the model was trained on (train)"
        elif not all(_present(weights) for weights in row.needs):
            left[name] = "its weights are not on this machine; see imagelab weights list"
        else:
            panel.append(name)
    return panel, left


def _present(weights: str) -> bool:
    try:
        locate(weights)
    except (WeightsMissing, ValueError, OSError):
        return False
    return True


def measure(
    real: object,
    fake: object,
    *,
    metrics: Sequence[str] | None = None,
    train: object = None,
    blank: object = None,
    floor: object = None,
    size: int | None = None,
    resize: Kernel = "bicubic",
    value_range: tuple[float, float] | None = None,
    layout: Layout = "auto",
    on_bad: Literal["skip", "stop"] = "skip",
    seed: int = 0,
    device: str = "auto",
    cache: bool = True,
    white: float | None = None,
    page: Page | None = None,
    key: str = "",
    column: str = "",
    networks: Sequence[Path | str] = (),
    freckle_style: Style | None = None,
    progress: Progress | None = None,
) -> Measured:
    """Measure generated images against real ones, each number with its real-against-real floor.

    Args:
        real: the reference, not trained on: anything that :func:`~imagelab.evaluation.sources.open_images` opens.
        fake: the images under test.
        metrics: rows of ``imagelab.metrics.METRICS``; if not given, all that can be measured on any images.
        train: the images that the model was trained on; used by memorisation and generalisation.
        blank: real images without anything that a counter counts (freckle-free faces), passed through the model.
        floor: other real images for the floor; if not given, parts of ``real``.
        size: resample the centre square of every image to this many pixels a side; if not given, nothing is resampled.
        resize: the resampling kernel: bicubic, lanczos, bilinear, box (all antialiased) or nearest.
        value_range: (black, white) of arrays that are not uint8.
        layout: order of the axes of arrays, where it is ambiguous: nchw, nhwc or nhw.
        on_bad: "skip" leaves out bad files and names them in the warnings, "stop" raises.
        seed: seed of the division for the floor and of every random choice inside an estimator.
        device: torch device for the features: auto, cpu, cuda or cuda:1.
        cache: keep decoded pixels and features in ``$IMAGELAB_CACHE`` (else ``~/.cache/imagelab``).
        white: the value that means white in picture files whose values are not bytes, such as 4095 or 1.
        page: which picture is taken of a file with several: its number, from 1, or "all"; by default the first.
        key: the ending of the pictures in archives (jpg, seg.png), where samples have several; "all" takes each.
        column: the column of the pictures in tables, where several columns hold pictures.
        networks: descriptions of feature networks of your own (:mod:`imagelab.metrics.own_network`), used as well.
        freckle_style: of faces, for their counter; if not given, that of the run that they are from, else "countable".
        progress: called with (description of the step, number of steps done, total number).

    Raises:
        ValueError: for sets that cannot be opened or compared, with what to do; for an unknown metric.

    Example:
        >>> pictures = np.random.default_rng(0).integers(0, 256, (30, 3, 16, 16), np.uint8)
        >>> measure(pictures[:20], pictures[20:], metrics=["hf_ratio"])["hf_ratio"].n_fake
        10
    """
    chosen, left = _chosen(metrics, train is not None, networks)
    how = Opening(size or 0, resize, value_range, layout, on_bad, cache, white, page, key, column)
    given = {"real": real, "fake": fake, "floor": floor, "train": train, "blank": blank}
    sets, warnings = _opened(given, how, chosen, seed, progress)
    division = _divide(sets, seed)
    style = freckle_style or sets["real"].freckle_style or sets["fake"].freckle_style or "countable"
    panel = _Panel(chosen, seed_at(seed, "measure"), choose_device(device), cache, progress, style)
    keep = {name: panel.image_set(sets[name].images) for name in ("train", "blank") if name in sets}
    both = panel.image_set(division.reference), panel.image_set(sets["fake"].images)
    values = panel.take("measuring", *both, **keep)
    floors = panel.floors(division, both[0], keep)
    warnings += below_zero(values) + below_zero(floors, "the real images of the floor", "the other real ones")
    return _placed(values, floors, sets, warnings, (division.note, *_left_out(left)))


def _opened(
    given: Mapping[str, object], how: Opening, chosen: Sequence[str], seed: int, progress: Progress | None
) -> tuple[dict[str, OpenedImages], list[str]]:
    """Return the sets that are given, by name, and what has to be known of them."""
    sets, warnings = of_one_form({k: open_images(x, how, k, progress) for k, x in given.items() if x is not None})
    (progress or _silent)("looking for copies", 0, 1)
    pair = sets["real"], sets["fake"]
    warnings += notes_of(sets) + lossy_beside_lossless(*pair) + copies_among(sets, seed) + warn_of_few(sets, chosen)
    return sets, warnings


def _chosen(
    metrics: Sequence[str] | None, train: bool, networks: Sequence[Path | str]
) -> tuple[list[str], dict[str, str]]:
    """Return the metrics to take, and the reason for each that is left out."""
    if networks:
        add_networks(networks)
    panel, left = general_panel(train) if metrics is None else (_known(metrics), {})
    if networks:
        panel, left = [*panel, NETWORK], {name: reason for name, reason in left.items() if name != NETWORK}
    return list(dict.fromkeys(panel)), left


def _silent(what: str, done: int, total: int) -> None:
    """Show no progress."""


def _known(metrics: Sequence[str]) -> list[str]:
    """Return the full names of metrics; ValueError for none and for unknown ones."""
    if not metrics:
        raise ValueError(f"metrics: expected one name or more, got none; known are {', '.join(METRICS)}")
    return [METRICS.find(name).name or name for name in metrics]


@dataclass(frozen=True)
class _Division:
    """The real images of the reference and of the floor; ``floor_reference`` if the floor has its own reference."""

    reference: np.ndarray
    floor: np.ndarray | None
    floor_reference: np.ndarray | None
    note: str


def _divide(sets: dict[str, OpenedImages], seed: int) -> _Division:
    real, n = sets["real"].images, len(sets["fake"])
    rng = rng_at(seed, "measure/floor")
    if "floor" in sets:
        other = sets["floor"].images
        if len(other) > n:
            other = pick(other, np.sort(rng.permutation(len(other))[:n]))
        short = f", fewer than the {n} made ones: distances that fall with n are larger in it" * (len(other) < n)
        return _Division(real, other, None, f"the floor is {len(other)} other real images against the reference{short}")
    order = rng.permutation(len(real))
    if len(real) >= 2 * n and n >= 2:
        aside, rest = np.sort(order[:n]), np.sort(order[n:])
        note = (
            f"the floor is {n} real images, set aside at random (seed {seed}), against the other {len(rest)}, which "
            "are the reference of every number here"
        )
        return _Division(pick(real, rest), pick(real, aside), None, note)
    half = len(real) // 2
    if half < 2:
        return _Division(real, None, None, f"no floor: {len(real)} real images cannot be divided; give more")
    halves = [pick(real, np.sort(rows)) for rows in (order[:half], order[half : 2 * half])]
    note = (
        f"the floor is one half of the real images against the other, {half} against {half} (seed {seed}), the made "
        f"ones are {n} against {len(real)}: distances that fall with n (Fréchet) are larger in it. Give "
        f"{max(2 * n - len(real), 1)} more real images, or other images as the floor, for a floor of equal n"
    )
    return _Division(real, halves[1], halves[0], note)


@dataclass(frozen=True)
class _Panel:
    """The metrics to measure and the settings for all of them."""

    panel: Sequence[str]
    seed: int
    device: str
    cache: bool
    progress: Progress | None
    style: Style

    def image_set(self, images: np.ndarray) -> ImageSet:
        return ImageSet(images, cache_folder("features") if self.cache else None)

    def floors(self, division: _Division, reference: ImageSet, keep: dict[str, ImageSet]) -> list[Measurement]:
        """Measure the panel on real images against real ones; nothing where there are too few for a floor."""
        if division.floor is None:
            return []
        base = reference if division.floor_reference is None else self.image_set(division.floor_reference)
        return self.take("floor", base, self.image_set(division.floor), **keep)

    def take(
        self, what: str, real: ImageSet, fake: ImageSet, train: ImageSet | None = None, blank: ImageSet | None = None
    ) -> list[Measurement]:
        """Measure the panel row by row; what cannot be measured on these images is missing, with the reason."""
        evidence = Evidence(real, fake, blank, self.seed, self.device, train, freckle_style=self.style)
        measured = []
        for number_of, name in enumerate(self.panel):
            if self.progress is not None:
                self.progress(f"{what}: {METRICS[name].title}", number_of, len(self.panel))
            try:
                measured += measure_panel(evidence, [name])
            except ValueError as reason:  # one metric refuses these sets; the others may still be measured
                row = METRICS[name]
                form = Measurement(
                    "", None, row.unit, n_real=len(real), n_fake=len(fake), better=row.better, missing="-"
                )
                measured += [replace(form, name=stem, missing=str(reason)) for stem in row.gives or (name,)]
        return measured


def _placed(
    values: list[Measurement],
    floors: list[Measurement],
    sets: dict[str, OpenedImages],
    warnings: list[str],
    notes: Sequence[str],
) -> Measured:
    """Return the result: every number with its floor, and with the resampling of the sets before that of the metric."""
    real, fake = sets["real"], sets["fake"]
    generation, line = (1, 0) if fake.generation is None else (fake.generation, fake.line)
    floor_of = {m.name: m for m in floors}
    placed = []
    for m in values:
        try:
            placed.append(m.at(generation, line, floor_of.get(m.name)))
        except ValueError as error:
            warnings.append(f"{m.name} has no floor: {error}")
            placed.append(m.at(generation, line))
    before = {f"{name} {each.resized}" for name, each in (("real", real), ("fake", fake)) if each.resized}
    if before == {f"real {real.resized}", f"fake {real.resized}"}:
        before = {real.resized}

    def resized(m: Measurement, kernel: str) -> Measurement:
        return replace(m, resize="; then ".join(part for part in (kernel, m.resize) if part))

    return Measured(
        tuple(resized(m, "; ".join(sorted(before))) for m in placed),
        tuple(resized(m.at(0, REAL), real.resized) for m in floors),
        tuple(warnings),
        tuple(notes),
        real=real.described("real"),
        fake=fake.described("made"),
    )


def _left_out(left: dict[str, str]) -> list[str]:
    reasons: dict[str, list[str]] = {}
    for name, reason in left.items():
        reasons.setdefault(reason, []).append(name)
    return [f"not taken: {', '.join(names)}: {reason}" for reason, names in reasons.items()]
