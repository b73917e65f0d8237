"""A run as recompute.py reads it: rows of metrics.jsonl, arrays, and the mean and interval of its chains.

Part of recompute.py; it imports nothing of the package.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import recompute_faces as faces
import recompute_features as spaces
import recompute_pixels as pixels
from recompute_page import REAL, Printed
from recompute_pixels import Case, Found, Shard
from scipy import stats

PACKAGE = Path(__file__).resolve().parents[2] / "imagelab"
CLOSED_FORMS = ("gaussian",)
FAMILIES: dict[str, Callable[[Case], dict[str, Found]]] = {
    "band_power band_power_red band_power_green band_power_blue band_headroom spectral_slope log_spectral_distance "
    "hf_ratio spectrum": pixels.spectral,
    "pixel_variance": pixels.variance,
    "brightness contrast colourfulness chroma hue_spread clipped": pixels.tone,
    "texture_kurtosis texture_scales": pixels.texture,
    "vendi vendi_centred rke perceptual_diversity": spaces.variety,
    "sliced_w2 sliced_w2_corrected": spaces.sliced,
    "prdc clipped_density clipped_coverage": spaces.neighbours,
    "entropy entropy_twins": spaces.entropy,
    "likelihood": spaces.likelihood,
    "detector detector_starved": spaces.detector,
    "memorisation generalisation generalisation_distance": spaces.memory_of_training,
    "freckles": faces.freckles,
    "tails shares": faces.attributes,
}
"""What is in front of the slash -> the function that gives all of them."""

BY_SPACE = {
    "frechet": spaces.distances,
    "frechet_corrected": spaces.distances,
    "kernel": spaces.kernels,
    "kernel_rbf": spaces.kernels,
}
SPACES = (spaces.SSL, "randconv-s0", "randconv-s1", "randconv-s2")


@dataclass
class Run:
    """A finished run: its settings, its rows, and its arrays, read when they are needed."""

    folder: Path
    experiment: Mapping[str, Any]
    rows: dict[tuple[str, int, int], dict[str, Any]]
    shards: dict[tuple[int, int], Shard] = field(default_factory=dict)
    found: dict[tuple[int, int, int], dict[str, Found]] = field(default_factory=dict)

    @classmethod
    def open(cls, folder: Path) -> Run:
        """Read config.json and the metrics.jsonl of every generation."""
        experiment = json.loads((folder / "config.json").read_text("utf-8"))["experiment"]
        rows = {}
        for path in sorted(folder.glob("gen-*/metrics.jsonl")):
            for line in path.read_text("utf-8").splitlines():
                row = json.loads(line)
                if not row.get("predicted"):
                    rows[row["name"], row.get("generation", 0), row.get("line", 0)] = row
        return cls(folder, experiment, rows)

    def contradictions(self) -> list[str]:
        """Return where the metrics.jsonl of the run differs from those of its generations."""
        path = self.folder / "metrics.jsonl"
        if not path.is_file():
            return []
        whole = [json.loads(line) for line in path.read_text("utf-8").splitlines()]
        keyed = {
            (row["name"], row.get("generation", 0), row.get("line", 0)): row
            for row in whole
            if not row.get("predicted")
        }
        keys = sorted(keyed.keys() | self.rows.keys())
        return [f"{key[0]}, generation {key[1]}, line {key[2]}" for key in keys if keyed.get(key) != self.rows.get(key)]

    @property
    def roles(self) -> int:
        """Lines of a chain."""
        return 1 + len(self.experiment.get("arms") or ())

    @property
    def chains(self) -> int:
        """Trainings of every model."""
        return int(self.experiment.get("replicates", 1))

    @property
    def last(self) -> int:
        """The last generation of the main line."""
        return max(generation for _, generation, line in self.rows if line == 0)

    def lines(self, name: str, generation: int, role: int) -> list[int]:
        """Return the lines whose mean a number is: one of each chain that has a value."""
        if role == REAL:
            return [REAL]
        alone = name == "freckles/twin" and self.experiment.get("blank_twins") == 1
        lines = [role] if alone else [role + chain * self.roles for chain in range(self.chains)]
        return [line for line in lines if self.value(name, generation, line) is not None]

    def value(self, name: str, generation: int, line: int) -> float | None:
        """Return a value of metrics.jsonl."""
        return (self.rows.get((name, generation, line)) or {}).get("value")

    def named(self, label: str) -> str:
        """Return the measurement that a key figure is of."""
        names = list(dict.fromkeys(name for name, _, _ in self.rows))
        families = {
            "Diversity": ("perceptual_diversity", "lpips_diversity", "pixel_variance"),
            "Variety": ("perceptual_diversity", "lpips_diversity", "pixel_variance"),
            "Distance from real": ("frechet", "fid", "kernel", "kid"),
        }
        if label == "Freckles a face":
            both = self.lines("freckles/corrected", self.last, 0), self.value("freckles/corrected", 0, REAL)
            return "freckles/corrected" if both[0] and both[1] is not None else "freckles/count"
        if label == "Freckles found a face":
            return "freckles/count"
        if label in ("Finest detail left", "Energy of the finest detail", "Energy of fine detail"):
            octaves = [tuple(map(int, m.groups())) for n in names if (m := re.fullmatch(r"band_power/(\d+)-(\d+)", n))]
            return "band_power/{}-{}".format(*max(octaves)) if octaves else ""
        found = (
            n for f in families.get(label, ()) for n in names if n.split("/")[0] == f and self.lines(n, self.last, 0)
        )
        return next(found, "")

    def shard(self, generation: int, line: int, name: str = "images") -> Shard | None:
        """Return the images of a generation; of generation 0 also the held-out ones and the freckle-free ones."""
        key = generation, line if name == "images" else hash(name)
        if key not in self.shards:
            folder = self.folder / f"gen-{generation:03d}{f'-line-{line}' if line > 0 else ''}"
            if not (folder / f"{name}.npy").is_file():
                return None
            groups = None
            if generation == 0 and (folder / "groups.npz").is_file() and name in ("images", "heldout"):
                groups = np.load(folder / "groups.npz")["train" if name == "images" else name]
            self.shards[key] = Shard(np.load(folder / f"{name}.npy"), groups)
        return self.shards[key]

    def case(self, generation: int, line: int) -> Case:
        """Return what the numbers of a generation and line are made of."""
        fake, real = self.shard(generation, line), self.shard(0, REAL, "heldout")
        assert fake is not None and real is not None
        seed = pixels.seed_of(int(self.experiment["seed"]), "measure")
        blank = self.shard(0, REAL, "blank")
        counter = "fine-freckles" if self.experiment["data"].get("freckle_style") == "fine" else "freckles"
        if generation == 0:
            return Case(fake, real, None, None, blank, blank, seed, PACKAGE, counter)
        train, twin, blanks = self.shard(0, REAL), None, int(self.experiment.get("blank_twins", 0))
        if blanks and line % self.roles == 0:
            twin = self.shard(generation, self.roles * self.chains + (line // self.roles) % blanks)
        return Case(fake, real, train, twin, blank, None, seed, PACKAGE, counter)

    def recomputed(self, name: str, generation: int, line: int) -> Found | None:
        """Return a number from the arrays; None where this script has no form of it."""
        stem, _, tail = name.partition("/")
        if stem == "truth":
            return self._truth(tail)
        family = next((make for stems, make in FAMILIES.items() if stem in stems.split()), None)
        of_space = BY_SPACE.get(stem) if tail in SPACES else None
        key = generation, line, hash((family, of_space, tail if of_space else ""))
        if key not in self.found:
            if of_space is not None:
                self.found[key] = of_space(self.case(generation, line), tail)
            elif family is not None:
                self.found[key] = family(self.case(generation, line))
        return self.found.get(key, {}).get(name)

    def _truth(self, tail: str) -> Found | None:
        path = self.folder / "gen-000" / "truth.npz"
        columns = np.load(path) if path.is_file() else {}
        return Found(float(columns[tail].mean())) if tail in columns else None

    def coverable(self, number: Printed) -> bool:
        """Whether this script has a form of a printed number."""
        stem, _, tail = number.name.partition("/")
        if number.role != REAL and (number.name == "freckles/blank" or self._no_control(number)):
            return False
        if stem == "truth":
            return self._truth(tail) is not None
        return any(stem in stems.split() for stems in FAMILIES) or (stem in BY_SPACE and tail in SPACES)

    def _no_control(self, number: Printed) -> bool:
        return number.name == "freckles/net" and (number.role > 0 or not self.experiment.get("blank_twins"))


# mean and interval of the chains


def t95(df: float | None) -> float:
    """Return how many standard errors a 95 % interval reaches to either side."""
    return float(stats.norm.ppf(0.975) if df is None else stats.t.ppf(0.975, df))


@dataclass(frozen=True)
class Mean:
    """The mean of the chains at one generation, with the errors that its interval is made of."""

    value: float
    stderr: float | None
    limits: tuple[float, float] | None
    df: float | None
    chains: int


def mean_of(rows: Sequence[Mapping[str, Any]]) -> Mean:
    """Return the mean of the chains: the error of the images is the root mean square, limits are averaged."""
    errors = [row["stderr"] for row in rows if row.get("stderr") is not None]
    limits = [(row["low"], row["high"]) for row in rows if row.get("low") is not None]
    both = tuple(np.mean(limits, axis=0)) if len(limits) == len(rows) else None
    return Mean(
        float(np.mean([row["value"] for row in rows])),
        math.sqrt(float(np.mean(np.square(errors)))) if errors else None,
        both,  # type: ignore[arg-type]
        rows[0].get("df"),
        len(rows),
    )


def spread_of_trainings(
    values: np.ndarray, errors: np.ndarray, generations: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Return sd between chains, and its degrees of freedom, by E s_t^2 / e_t^2 = a + b (t - 1)^2, a >= .25, b >= 0.

    Weighted least squares with weights 1 / fit^2; the smallest sum of squares among the four cases of which of a and b
    is at its limit. Degrees of freedom after Satterthwaite.
    """
    chains, own = len(values), values.var(0, ddof=1)
    if (errors <= 0).any() or not own.any():
        return np.sqrt(own), np.full(len(own), chains - 1.0)
    step, ratio = generations - 1.0, own / errors**2
    a, b = max(float(ratio.mean()), 0.25), 0.0
    for _ in range(15):
        w = 1 / (a + b * step**2) ** 2
        a, b = _bounded(ratio, step**2, w)
    w, free = 1 / (a + b * step**2) ** 2, [a > 0.25, b > 0]
    columns = np.stack([np.ones_like(step), step**2], 1)
    design = columns[:, free] if any(free) else columns[:, :1]
    hat = design @ np.linalg.pinv(design.T @ (w[:, None] * design)) @ (design.T * w)
    covariance = 2 * (a * np.eye(len(step)) + b * np.outer(step, step)) ** 2 / (chains - 1)
    smooth = a + b * step**2
    variance = np.diag(hat @ covariance @ hat.T)
    df = np.where(variance > 0, 2 * smooth**2 / np.maximum(variance, 1e-300), chains - 1.0)
    return errors * np.sqrt(smooth), np.clip(df, 1.0, (chains - 1.0) * len(step))


def _bounded(y: np.ndarray, x: np.ndarray, w: np.ndarray) -> tuple[float, float]:
    cases = [(0.25, 0.0), (max(float(w @ y / w.sum()), 0.25), 0.0)]
    if w @ x**2 > 0:
        cases.append((0.25, max(float(w @ (x * (y - 0.25)) / (w @ x**2)), 0.0)))
        mean_x, mean_y = w @ x / w.sum(), w @ y / w.sum()
        if w @ (x - mean_x) ** 2 > 0:
            slope = float(w @ ((x - mean_x) * (y - mean_y)) / (w @ (x - mean_x) ** 2))
            start = float(mean_y - slope * mean_x)
            if start >= 0.25 and slope >= 0:
                return start, slope
    return min(cases, key=lambda case: float(w @ (y - case[0] - case[1] * x) ** 2))


CORRECTED = ("freckles/corrected", "freckles/net", "freckles/prevalence")
COUNTS = ("freckles/face", "ratio", "images", "attributes")  # units of what cannot be below 0


def interval_of(
    run: Run, number: Printed, rows: dict[int, Mapping[str, Any]]
) -> tuple[float, tuple[float, float] | None]:
    """Return the value to print and the interval in which another run of the loop would find it."""
    value, ends = _unbounded(run, number, rows)
    if ends is None:
        return value, None
    unit = next(iter(rows.values())).get("unit", "")
    least, most = _range_of(number.name, unit)
    return value, (max(ends[0], min(least, value)), min(ends[1], max(most, value)))


def _range_of(name: str, unit: str) -> tuple[float, float]:
    """Return between which values a measurement must lie; what is corrected for false detections has no limit."""
    if name.partition("/")[0] in ("tails", "shares") or name in CORRECTED:
        return -math.inf, math.inf
    if unit == "AUC" or unit.split(" ")[0] == "share":
        return 0.0, 1.0
    return (0.0 if unit in COUNTS else -math.inf), math.inf


def _unbounded(
    run: Run, number: Printed, rows: dict[int, Mapping[str, Any]]
) -> tuple[float, tuple[float, float] | None]:
    now = mean_of(list(rows.values()))
    of_images = None if now.stderr is None else t95(now.df) * now.stderr
    if number.role == REAL:
        own = None if of_images is None else (now.value - of_images, now.value + of_images)
        return now.value, now.limits or own
    between, df = _between(run, number, rows, now)
    if now.stderr is None and (between is None or now.chains == 1):
        return now.value, None
    parts = [((between or 0.0) ** 2 / now.chains, df), ((now.stderr or 0.0) ** 2, now.df)]
    if between is None:
        return now.value, now.limits or (now.value - (of_images or 0), now.value + (of_images or 0))
    total = sum(part for part, _ in parts)
    lost = sum(part**2 / freedom for part, freedom in parts if freedom is not None)
    half = t95(total**2 / lost if lost else None) * math.sqrt(2 * total)
    low, high = now.value - half, now.value + half
    if now.limits is not None:
        low, high = min(low, now.limits[0]), max(high, now.limits[1])
    return now.value, (low, high)


def _between(
    run: Run, number: Printed, rows: dict[int, Mapping[str, Any]], now: Mean
) -> tuple[float | None, float | None]:
    """Return the standard deviation between trainings at this generation, and its degrees of freedom."""
    means, values = {}, {}
    for generation in range(1, run.last + 1):
        lines = run.lines(number.name, generation, number.role)
        mine = [run.rows[number.name, generation, line] for line in lines]
        mine = list(rows.values()) if generation == number.generation else mine
        if len(mine) > 1:
            means[generation], values[generation] = mean_of(mine), [row["value"] for row in mine]
    most = max(map(len, values.values()), default=0)
    whole = [t for t in values if len(values[t]) == most]
    if number.generation in whole:
        errors = np.array([means[t].stderr or 0.0 for t in whole])
        sd, df = spread_of_trainings(np.array([values[t] for t in whole]).T, errors, np.array(whole))
        place = whole.index(number.generation)
        return float(sd[place]), float(df[place])
    if now.stderr is None:
        return None, None
    recipes = [run.experiment.get("generator"), *(run.experiment.get("arms") or ())]
    closed = (recipes[number.role] or {}).get("kind") in CLOSED_FORMS
    table = json.loads((PACKAGE / "evaluation" / "retraining.json").read_text("utf-8"))
    listed = table["closed_form" if closed else "trained"]
    ratios = listed.get(number.name) or listed["other"]
    return ratios[min(number.generation, len(ratios)) - 1] * now.stderr, None
