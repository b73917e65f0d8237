"""Is what a page prints what its images give? Draws numbers of a run's page and recomputes them from the raw arrays.

Question:   does every printed number, its ± and its rounding follow from images.npy and the other arrays of the run,
            by code that shares nothing with the package?
Command:    python experiments/instruments/recompute.py RUN --page PAGE/index.html --seed 0        fifty numbers
            python experiments/instruments/recompute.py RUN --count 0 --only frechet               all of one kind
Hardware:   one CPU core; three to six minutes for fifty numbers of 1,000 images in three chains.
Expected:   every number agrees with metrics.jsonl, and with the page to its last digit; exit code 0.
Refuted by: one that does not; exit code 1. It is a bug of the package or of this script.

Nothing of the package is imported. Definitions come from its docstrings and from the papers; the files of weights
(the encoder, the freckle counter, the probes, the table of retraining ratios) are read by path. Three things are
compared for each number drawn:

    value       of every chain, from the arrays, with metrics.jsonl;
    error       standard error and exact limits of every chain, from the arrays, with metrics.jsonl;
    print       the mean of the chains and the interval of a repetition with the digits on the page. The interval needs
                the spread between chains at all generations: those of the other generations are from metrics.jsonl.

Not recomputed: ``freckles/blank`` of a model (and ``freckles/net`` without a twin, as of an arm), because a run does
not keep the copies; ``truth/freckles``, because it does not keep the renderer's list; metrics of one's own; in grouped
datasets the errors of ``memorisation``.

SEEN
"""

from __future__ import annotations

import argparse
import html.parser
import json
import math
import random
import re
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import recompute_faces as faces
import recompute_features as spaces
import recompute_pixels as pixels
from recompute_pixels import Case, Found, Shard
from scipy import stats

PACKAGE = Path(__file__).resolve().parents[2] / "imagelab"
REAL = -1
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

CLOSE = {"detector": 0.05, "detector_starved": 0.05}
"""Largest difference from metrics.jsonl in standard errors, where it is not the usual one: the package stops its
classifier before it has converged."""

VOTES = {"prdc": 2, "clipped_density": 2, "clipped_coverage": 2, "memorisation": 2, "tails": 1, "freckles": 3}
"""Images (or freckles) that may be counted otherwise, because of rounding at a threshold: the package computes features
and the density of the skin with six digits, this script with fifteen where it can."""

USUAL = 2e-3  # standard errors
RELATIVE = 1e-6


# the page


class _Page(html.parser.HTMLParser):
    """Collects the parts of a page that hold measurements: headline, key figures, tables, lists."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.headline: list[str] = []
        self.facts: list[list[tuple[str, str]]] = []
        self.tables: list[tuple[str, list[list[str]]]] = []
        self.pairs: list[tuple[str, str, str]] = []  # the summary above a list, its term, its text
        self._open: list[tuple[str, str]] = []
        self._words: list[str] = []
        self._summary = self._term = ""
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        kind = dict(attrs).get("class") or ""
        if tag in ("br", "img", "input", "meta", "link", "hr"):
            return
        self._open.append((tag, kind))
        if tag == "div" and kind == "fact":
            self.facts.append([])
        elif tag == "table":
            self.tables.append((kind, []))
        elif tag == "tr" and self.tables:
            self.tables[-1][1].append([])
        if tag in ("th", "td", "dt", "dd", "h1", "p", "summary"):
            self._words = []

    def handle_data(self, data: str) -> None:
        self._words.append(data)

    def handle_endtag(self, tag: str) -> None:
        while self._open and self._open[-1][0] != tag:
            self._open.pop()
        kind = self._open.pop()[1] if self._open else ""
        text = re.sub(r"[ \n\t]+", " ", "".join(self._words)).strip()
        in_fact = any(each == ("div", "fact") for each in self._open)
        if tag in ("th", "td") and self.tables and self.tables[-1][1]:
            self.tables[-1][1][-1].append(text)
        elif tag == "h1" or (tag == "p" and kind == "lede"):
            self.headline.append(text)
        elif in_fact and tag in ("p", "dt", "dd"):
            self.facts[-1].append((kind or tag, text))
        elif tag == "summary":
            self._summary = text
        elif tag == "dt":
            self._term = text
        elif tag == "dd":
            self.pairs.append((self._summary, self._term, text))
        if tag in ("th", "td", "dt", "dd", "h1", "p", "summary"):
            self._words = []


@dataclass(frozen=True)
class Printed:
    """A number on the page: where it stands, what it is of, its text, and its form.

    ``name`` is "" where this script does not know what the number is of. ``form`` is "percent" for decibels as a share
    of energy, "share" for a share of the value of real images in percent, "" for the value itself.
    """

    where: str
    name: str
    generation: int
    role: int
    text: str
    form: str = ""


FORMS = {"Finest detail left": "percent", "Energy of the finest detail": "percent", "Variety": "share"}
"""Label of a key figure -> its form."""

VALUE = r"\(?[−\d][\d,]*(?:\.\d+)?(?: ± [\d,]*\d(?:\.\d+)?)?\)?(?: × 10[⁻⁰¹²³⁴-⁹]+)?(?: \([^()]* to [^()]*\))?"


def printed_numbers(text: str, run: Run) -> list[Printed]:
    """Return every number of the page that is a measurement of a set of images."""
    page = _Page(text.replace("\u00a0", " "))
    found: list[Printed] = []
    for kind, rows in page.tables:
        if kind == "numbers":
            found += _of_table(rows, run)
        elif rows and rows[0][:2] == ["Attribute", "Real images"]:
            for row in rows[1:]:
                name = "tails/" + row[0].replace(" ", "_")
                found += [
                    Printed("Who disappears", name, 0, REAL, row[1]),
                    Printed("Who disappears", name, run.last, 0, row[2]),
                ]
    for summary, term, value in page.pairs:
        if summary.startswith("Properties known from the dataset"):
            number = re.match(VALUE, value)
            found += [Printed("Protocol", f"truth/{term}", 0, REAL, number[0])] if number else []
    for fact in page.facts:
        found += _of_fact(fact, run)
    for sentence in page.headline:
        found += _of_sentence(sentence, run, page.headline)
    return [each for each in found if each.text]


def _of_table(rows: list[list[str]], run: Run) -> Iterator[Printed]:
    head = rows[0]
    for row in rows[1:]:
        arm, name = 0, row[0].split()[-1]  # a title may stand in front of it
        for column, cell in zip(head[2:-1], row[2:-1], strict=True):
            if column.startswith("Real images"):
                yield Printed("The numbers, real", name, 0, REAL, cell)
            elif match := re.fullmatch(r"Generation (\d+)", column):
                yield Printed(f"The numbers, gen. {match[1]}", name, int(match[1]), 0, cell)
            elif match := re.fullmatch(r".*, generation (\d+)", column):
                arm += 1
                yield Printed(f"The numbers, arm {arm}", name, int(match[1]), arm, cell)


BESIDE = {
    "real": (REAL, ""),
    "real images": (REAL, ""),
    "two real sets": (REAL, ""),
    "in a loop without freckles": (0, "freckles/twin"),
    "on blank copies": (0, "freckles/blank"),
}
"""What stands beside a key figure -> whose it is, and another measurement if it is one; all others are arms."""


def _of_fact(parts: list[tuple[str, str]], run: Run) -> Iterator[Printed]:
    label = next((text for kind, text in parts if kind == "label"), "")
    name, form = run.named(label), FORMS.get(label, "")
    where, role, arm, other = f"Key figures, {label}", 0, 0, ""
    for kind, text in parts:
        if kind == "value":
            yield Printed(where, name, run.last, 0, text, form)
        elif kind == "dt":
            arm += text not in BESIDE
            role, other = BESIDE.get(text, (arm, ""))
        elif kind == "dd" and re.match(VALUE, text):
            yield Printed(where, other or name, 0 if role == REAL else run.last, role, text, form)
        elif kind == "fine":
            found = [value for value in re.findall(VALUE, text) if "±" in value or " to " in value]
            of = "freckles/blank" if "copies" in text else "freckles/corrected" if "corrected" in text else name
            for value, whose in zip(found, (0, REAL), strict=False):
                yield Printed(where, of, 0 if whose == REAL else run.last, whose, value)


SENTENCES = (
    (r"the counter finds (V) freckles", "freckles/count", 0, ""),
    (r"no more than on \w+ without freckles \((V)\)", "freckles/twin", 0, ""),
    (r"the first training it found (V)[,.]", "freckles/count", 1, ""),
    (r"on real \w+ (V)\.", "freckles/count", REAL, ""),
    (r"It also finds (V) on the", "freckles/twin", 0, ""),
    (r"(?:and|finds) (V) on freckle-free", "freckles/blank", 0, ""),
    (r"the count is (V) \(real", "freckles/corrected", 0, ""),
    (r"\(real \w+: (V)[,)]", "freckles/corrected", REAL, ""),
    (r"Net of what .*?, it is (V);", "freckles/net", 0, ""),
    (r"draws (V) freckles a", "drawn", 0, ""),
    (r"no freckles [^(]*\((V) an? ", "drawn", 0, ""),
    (r"; the real \w+ had (V)\.", "drawn", REAL, ""),
    (r"(?:keeps|draws) (V) % of the energy", "detail", 0, "percent"),
    (r"first training it was (V) %\.", "detail", 1, "percent"),
    (r"That is (V) dB at", "detail", 0, ""),
    (r"other real images give (V) dB", "detail", REAL, ""),
    (r"from real ones is (V)[;.]", "distance", 0, ""),
    (r"first training it was (V)[;.]", "distance", 1, ""),
    (r"sets of real \w+ it is (V)\.", "distance", REAL, ""),
)
"""How sentences of the headline give a number: pattern, of what, whose (0: the last model, 1: the first, -1: real
images), its form; V is a number with its interval."""


def _of_sentence(sentence: str, run: Run, page_sentences: Sequence[str]) -> Iterator[Printed]:
    known = {"distance": "Distance from real", "detail": "Energy of the finest detail", "drawn": "Freckles a face"}
    rest = sentence
    for pattern, what, whose, form in SENTENCES:
        for match in re.finditer(pattern.replace("V", VALUE), sentence):
            generation, role = {0: (run.last, 0), 1: (1, 0), REAL: (0, REAL)}[whose]
            yield Printed(
                "Headline", run.named(known[what]) if what in known else what, generation, role, match[1], form
            )
            rest = rest.replace(match[1], "", 1)
    for arm, match in enumerate(re.finditer(rf" gives ({VALUE})", sentence), 1):
        label = "Energy of the finest detail" if " dB" in sentence else "Distance from real"
        old = "Before correction" in sentence or "counter" not in " ".join(page_sentences)
        counted = run.named("Freckles a face") if old else "freckles/count"
        name = counted if "freckles" in sentence else run.named(label)
        yield Printed("Headline", name, run.last, arm, match[1])
        rest = rest.replace(match[1], "", 1)
    for match in re.finditer(VALUE, rest):
        if "±" in match[0]:
            yield Printed("Headline", "", 0, 0, match[0])


# the run


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
        if label in ("Finest detail left", "Energy of the finest detail"):
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
        if generation == 0:
            return Case(fake, real, None, None, blank, blank, seed, PACKAGE)
        train, twin, blanks = self.shard(0, REAL), None, int(self.experiment.get("blank_twins", 0))
        if blanks and line % self.roles == 0:
            twin = self.shard(generation, self.roles * self.chains + (line // self.roles) % blanks)
        return Case(fake, real, train, twin, blank, None, seed, PACKAGE)

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


def interval_of(
    run: Run, number: Printed, rows: dict[int, Mapping[str, Any]]
) -> tuple[float, tuple[float, float] | None]:
    """Return the value to print and the interval in which another run of the loop would find it."""
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


# comparison


@dataclass(frozen=True)
class Text:
    """A printed number: value and half of its interval, or its two ends, each with the step of its last digit."""

    value: tuple[float, float]
    half: tuple[float, float] | None = None
    ends: tuple[tuple[float, float], tuple[float, float]] | None = None
    starred: bool = False


def read_text(text: str) -> Text | None:
    """Return what a printed number says; None for a text that is none.

    Example:
        >>> read_text("(1.23 ± 0.11) × 10⁻⁶").half
        (1.1e-07, 1e-08)
    """
    plain = text.replace("\u00a0", " ").replace("−", "-").replace(",", "").strip()
    starred = plain.endswith(" *")
    plain = plain.removesuffix(" *").removesuffix(" %").strip()
    number = r"(-?\d+(?:\.\d+)?)"
    power = r"(?: × 10([⁻⁰¹²³⁴-⁹]+))?"
    if match := re.fullmatch(rf"\(?{number} ± {number}\)?{power}", plain):
        return Text(_digits(match[1], match[3]), _digits(match[2], match[3]), starred=starred)
    if match := re.fullmatch(rf"{number}{power} \({number}{power} to {number}{power}\)", plain):
        ends = _digits(match[3], match[4]), _digits(match[5], match[6])
        return Text(_digits(match[1], match[2]), ends=ends, starred=starred)
    if match := re.fullmatch(rf"{number}{power}", plain):
        return Text(_digits(match[1], match[2]), starred=starred)
    return None


def _digits(digits: str, power: str | None) -> tuple[float, float]:
    scale = 10.0 ** int((power or "0").translate(str.maketrans("⁻⁰¹²³⁴⁵⁶⁷⁸⁹", "-0123456789")))
    return float(digits) * scale, 10.0 ** -len(digits.partition(".")[2]) * scale


def _rounds_to(exact: float, shown: tuple[float, float], slack: float) -> bool:
    return abs(exact - shown[0]) <= shown[1] / 2 * (1 + 1e-9) + slack + 1e-12 * abs(exact)


@dataclass
class Result:
    """What the comparison of one number gave."""

    number: Printed
    expected: str = ""
    faults: list[str] = field(default_factory=list)
    remarks: list[str] = field(default_factory=list)


def compare(run: Run, number: Printed) -> Result:
    """Recompute one printed number and compare it with the page and with metrics.jsonl."""
    result = Result(number)
    lines = run.lines(number.name, number.generation, number.role)
    if not lines:
        result.faults.append("the page prints a number, metrics.jsonl has none")
        return result
    rows: dict[int, Mapping[str, Any]] = {}
    slack = 0.0
    for line in lines:
        row = run.rows[number.name, number.generation, line]
        found = run.recomputed(number.name, number.generation, line)
        if found is None:
            result.faults.append(f"line {line}: the page prints a number, the arrays give none")
            return result
        slack = max(slack, _compare_row(result, line, row, found))
        stderr = row.get("stderr") if found.stderr is None else found.stderr
        low, high = (row.get("low"), row.get("high")) if found.limits is None else found.limits
        if found.stderr is None and row.get("stderr") is not None:
            result.remarks.append("s.e. as recorded")
        rows[line] = {**row, "value": found.value, "stderr": stderr, "low": low, "high": high}
    value, ends = interval_of(run, number, rows)
    _compare_text(run, result, value, ends, slack)
    return result


def _compare_row(result: Result, line: int, row: Mapping[str, Any], found: Found) -> float:
    """Compare with a row of metrics.jsonl; return by how much the recomputed value is allowed to differ."""
    stem, recorded, stderr = result.number.name.partition("/")[0], row["value"], row.get("stderr")
    votes = VOTES.get(stem, 0) / max(row.get("n_fake", 0), 1)
    allowed = CLOSE.get(stem, USUAL) * (stderr or 0.0) + RELATIVE * max(abs(recorded), abs(found.value)) + votes
    if abs(found.value - recorded) > allowed + 1e-12:
        result.faults.append(f"line {line}: value {recorded!r} in metrics.jsonl, {found.value!r} from the arrays")
    near = CLOSE.get(stem, 0.02 if votes else 0.01)
    if found.stderr is not None and stderr is not None and abs(found.stderr - stderr) > near * stderr:
        result.faults.append(f"line {line}: stderr {stderr!r} in metrics.jsonl, {found.stderr!r} from the arrays")
    if found.limits is not None:
        ends = row.get("low"), row.get("high")
        width = found.limits[1] - found.limits[0]
        for mine, theirs in zip(found.limits, ends, strict=True):
            if theirs is None or abs(mine - theirs) > near * width + votes + 1e-9:
                result.faults.append(f"line {line}: limit {theirs!r} in metrics.jsonl, {mine!r} from the arrays")
    return allowed + 1e-12


def _compare_text(run: Run, result: Result, value: float, ends: tuple[float, float] | None, slack: float) -> None:
    number, shown = result.number, read_text(result.number.text)
    half = None if ends is None else (ends[1] - ends[0]) / 2
    if number.form:
        value, half, slack = _in_percent(run, number, value, half, slack)
    result.expected = f"{value:.6g}" + ("" if half is None else f" ± {half:.3g}")
    if shown is None:
        result.faults.append("the printed text is no number")
        return
    if not _rounds_to(value, shown.value, slack):
        result.faults.append("the printed value is another one")
    if shown.half is not None and (half is None or not _rounds_to(half, shown.half, 0.01 * half)):
        result.faults.append("the printed ± is another one")
    if shown.ends is not None:
        if ends is None or not all(_rounds_to(e, s, 0.01 * (half or 0)) for e, s in zip(ends, shown.ends, strict=True)):
            result.faults.append("the printed ends are others")
        result.expected = f"{value:.6g}" + ("" if ends is None else f" ({ends[0]:.4g} to {ends[1]:.4g})")
    if shown.half is None and shown.ends is None and half:
        result.faults.append("the ± is missing")
    _compare_star(run, result, shown)


def _in_percent(
    run: Run, number: Printed, value: float, half: float | None, slack: float
) -> tuple[float, float | None, float]:
    """Return value, half of the interval and allowance of a number that is printed in percent."""
    if number.form == "percent":
        share = 100 * 10 ** (value / 10)
        scale = share * math.log(10) / 10
        return share, None if half is None else half * scale, slack * scale
    row = run.rows[number.name, 0, REAL]
    if number.role == REAL:
        return 100.0, None, 0.0
    floor = t95(row.get("df")) * row["stderr"]
    share = value / row["value"]
    wide = None if half is None else 100 * math.hypot(half, share * floor) / abs(row["value"])
    return 100 * share, wide, 100 * slack / abs(row["value"])


def _compare_star(run: Run, result: Result, shown: Text) -> None:
    """A band less than a factor of 4 above the rounding of bytes has a star in the table."""
    stem, _, band = result.number.name.partition("/")
    if not result.number.where.startswith("The numbers"):
        return
    due = False
    if stem == "band_power":
        name, generation, role = f"band_headroom/{band}", result.number.generation, result.number.role
        found = [run.recomputed(name, generation, line) for line in run.lines(name, generation, role)]
        known = [each.value for each in found if each is not None]
        due = bool(known) and float(np.mean(known)) < 10 * math.log10(4)
    if due != shown.starred:
        result.faults.append("a star is missing" if due else "the star is wrong")


# the command


def main(words: Sequence[str] | None = None) -> int:
    """Draw, recompute, print the table; 1 for any disagreement."""
    parser = argparse.ArgumentParser(description="Recompute numbers of a run's page from the raw arrays.")
    parser.add_argument("run", type=Path, help="the run folder")
    parser.add_argument("--page", type=Path, help="the page; RUN/report/index.html if not given")
    parser.add_argument("--seed", type=int, default=0, help="of the draw")
    parser.add_argument("--count", type=int, default=50, help="numbers to draw; 0 for all")
    parser.add_argument("--only", default="", help="names that begin with this, separated by commas")
    asked = parser.parse_args(words)
    run = Run.open(asked.run)
    page = (asked.page or asked.run / "report" / "index.html").read_text("utf-8")
    numbers = printed_numbers(page, run)
    if not numbers:
        print("no number was found on the page", file=sys.stderr)
        return 2
    covered = [number for number in numbers if run.coverable(number)]
    _say_share(numbers, covered)
    chosen = [n for n in covered if not asked.only or n.name.startswith(tuple(asked.only.split(",")))]
    if asked.count:
        chosen = random.Random(asked.seed).sample(chosen, min(asked.count, len(chosen)))
    results = []
    for number in sorted(chosen, key=lambda n: (n.generation, n.role, n.name)):
        results.append(compare(run, number))
        _say(results[-1])
    for place in run.contradictions():
        print(f"{place}: the metrics.jsonl of the run differs from that of the generation")
    wrong = [result for result in results if result.faults] + run.contradictions()
    print(f"\n{sum(not result.faults for result in results)} of {len(results)} numbers agree (seed {asked.seed})")
    return 1 if wrong or not results else 0


def _say_share(numbers: Sequence[Printed], covered: Sequence[Printed]) -> None:
    table = [sum(n.where.startswith("The numbers") for n in each) for each in (covered, numbers)]
    left = sorted({n.name or f"unknown: {n.text}" for n in numbers} - {n.name for n in covered})
    left += sorted({f"{n.name} of models" for n in numbers if n not in covered and n.name in {c.name for c in covered}})
    share = 100 * len(covered) / len(numbers)
    print(f"{len(covered)} of {len(numbers)} numbers of the page can be recomputed ({share:.1f} %), ", end="")
    print(f"{table[0]} of {table[1]} of its table ({100 * table[0] / max(table[1], 1):.1f} %)")
    print(f"not recomputed: {', '.join(left) or 'none'}\n")
    print(f"{'number':<42} {'where':<34} {'printed':<28} {'recomputed':<28} agreement")


def _say(result: Result) -> None:
    number = result.number
    verdict = "; ".join(result.faults) or ", ".join(["yes", *dict.fromkeys(result.remarks)])
    print(f"{number.name:<42} {number.where:<34} {number.text:<28} {result.expected:<28} {verdict}", flush=True)


if __name__ == "__main__":
    sys.exit(main())
