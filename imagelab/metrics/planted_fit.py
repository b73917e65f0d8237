"""Fitting the counter of planted marks to a dataset, and measuring its errors: its card.

Fitted on pictures of the reserve, marked, and their unmarked twins; as they are, blurred, and with noise, because
models blur and add noise. The reserve is divided by groups (crops of one place, pictures of one person): three
quarters teach the trees, one quarter chooses the threshold. The card is measured on held-out pictures, which share no
picture and no group with the reserve, and its errors are taken over groups. So it states what happens on pictures of
this dataset that the counter has not seen. On the images of a model, which it has not seen either, it may find less
and invent more: that is what the blank controls are for.

Figures (each with its standard error and n):

    recall        share of the marks that are found
    precision     share of what is found on marked pictures that is a mark
    false marks   what is found on an unmarked picture
    response      (found on a picture - found on its twin) / marks on it: what one more mark adds to the count
    sensitivity NAME, specificity NAME   of "the picture has this symbol"
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any

import numpy as np

from ..seeds import rng_at
from .degradations import blurred
from .freckle_calibration import CardValue, Trees, match
from .jackknife import mean_and_error
from .planted_candidates import Searched, find_planted
from .planted_counter import CHUNK, PlantedCounter, sharpness_of

__all__ = ["Lesson", "fit_counter"]

BLURS = (0.0, 0.4, 0.6, 0.8, 1.0, 1.5)
NOISES = (0.0, 0.01, 0.02, 0.04)
SPOILT = 96
"""Pictures of the card on which blur and noise are tried."""

NEARLY = 0.003
"""F scores that differ by less than this are equal."""

MOST_ROWS = 60_000
"""Candidates that the trees are fitted to, at most; all marks are among them."""


@dataclass(frozen=True, eq=False)
class Lesson:
    """Pictures with planted marks, and what is known of them.

    Attributes:
        images: uint8 [N,C,H,W].
        twins: uint8 [N,C,H,W], without marks.
        marks: for each picture float32 [K,6]: x, y, radius, contrast, contrast-to-noise ratio, class.
        groups: int64 [N], which pictures belong together; None where all are independent.
    """

    images: np.ndarray
    twins: np.ndarray
    marks: Sequence[np.ndarray]
    groups: np.ndarray | None = None

    def __len__(self) -> int:
        return len(self.images)

    @property
    def blocks(self) -> np.ndarray:
        """The group of each picture, int64 [N]."""
        return np.arange(len(self)) if self.groups is None else self.groups

    @property
    def number(self) -> np.ndarray:
        """Marks on each picture, float64 [N]."""
        return np.array([len(each) for each in self.marks], np.float64)

    def take(self, rows: np.ndarray) -> Lesson:
        """Return some of the pictures."""
        groups = None if self.groups is None else self.groups[rows]
        return Lesson(self.images[rows], self.twins[rows], [self.marks[row] for row in rows], groups)


def fit_counter(
    reserve: Lesson, heldout: Lesson, searched: Searched, word: str, symbols: tuple[str, ...], seed: int
) -> PlantedCounter:
    """Fit the counter to pictures of the reserve, and measure its card on held-out ones.

    Args:
        reserve: what it is fitted on.
        heldout: what it is tested on.
        searched: what is looked for.
        word: what the marks are called.
        symbols: the attribute of each class; empty for one class.
        seed: of the run.

    Raises:
        ValueError: if either has no marked picture.
    """
    for lesson, name in ((reserve, "reserve"), (heldout, "held-out")):
        if not lesson.number.any():
            raise ValueError(f"planted: no {name} picture has a place for {word}, so no counter can be fitted")
    teach, choose = _divided(reserve, seed)
    trees = _learnt(teach, searched, seed)
    shape: tuple[int, int, int] = reserve.images.shape[1:]  # pyright: ignore[reportAssignmentType]
    counter = PlantedCounter(searched, trees, 0.5, shape, word, symbols)
    counter = replace(counter, threshold=_threshold(counter, choose, beta=0.5 if symbols else 1.0))
    figures, tables = _card(counter, heldout, seed)
    origin = {
        "fitted on": len(reserve),
        "tested on": len(heldout),
        "groups fitted on": 0 if reserve.groups is None else len(np.unique(reserve.groups)),
        "groups tested on": 0 if heldout.groups is None else len(np.unique(heldout.groups)),
        "marks tested on": int(heldout.number.sum()),
        "trees": len(trees.first),
        "match": f"one to one (Hungarian), within {searched.tolerance:g} px",
        "blur": "Gaussian, px; value is the share of the response on sharp pictures",
        "noise": "white, standard deviation of full scale; value as for blur",
    }
    return replace(counter, figures=figures, tables=tables, origin=origin)


def _divided(lesson: Lesson, seed: int) -> tuple[Lesson, Lesson]:
    """Return three quarters of the groups, and the other quarter; both have marks."""
    names, blocks = np.unique(lesson.blocks, return_inverse=True)
    order = rng_at(seed, "planted/divide").permutation(len(names))
    chosen = np.isin(blocks, order[: max(1, len(names) // 4)])
    rows = np.arange(len(lesson))
    parts = lesson.take(rows[~chosen]), lesson.take(rows[chosen])
    return parts if all(part.number.any() for part in parts) else (lesson, lesson)


def _learnt(lesson: Lesson, searched: Searched, seed: int) -> Trees:
    """Fit boosted trees to tell marks from all else that looks like a candidate."""
    from sklearn.ensemble import HistGradientBoostingClassifier

    rng, features, answers = rng_at(seed, "planted/learn"), [], []
    for images, marks in _spoilt(lesson, rng):
        for start in range(0, len(images), CHUNK):
            part = slice(start, start + CHUNK)
            spots = find_planted(images[part], searched)
            features.append(spots.features)
            answers.append(_answers(spots, marks[part], searched.tolerance))
    x, y = np.concatenate(features), np.concatenate(answers)
    false = np.flatnonzero(~y)
    left = max(MOST_ROWS - int(y.sum()), MOST_ROWS // 4)
    rows = np.sort(np.concatenate([np.flatnonzero(y), rng.permutation(false)[:left]]))
    if y[rows].all() or not y[rows].any():
        raise ValueError(
            f"planted: of {len(y)} places that look like a mark on real pictures, {int(y.sum())} are marks; a counter "
            "cannot be fitted. Use a stronger contrast or larger marks"
        )
    settings: dict[str, Any] = {"max_iter": 80, "max_leaf_nodes": 15, "max_depth": 6, "early_stopping": False}
    model = HistGradientBoostingClassifier(**settings, min_samples_leaf=20, l2_regularization=1.0, random_state=0)
    return Trees.from_boosting(model.fit(x[rows], y[rows]))


def _spoilt(lesson: Lesson, rng: np.random.Generator) -> Iterator[tuple[np.ndarray, list[np.ndarray]]]:
    """Yield pictures and twins with their marks: all as they are, half of them blurred, half of them with noise."""
    images = np.concatenate([lesson.images, lesson.twins])
    marks = [*lesson.marks, *[np.zeros((0, 6), np.float32)] * len(lesson)]
    yield images, marks
    yield blurred(images[::2], 0.6), marks[::2]
    yield _with_noise(images[1::2], 0.015, rng), marks[1::2]


def _with_noise(images: np.ndarray, sd: float, rng: np.random.Generator) -> np.ndarray:
    """Add white noise, independent in each channel."""
    noise = rng.standard_normal(images.shape, np.float32) * np.float32(255 * sd)
    return np.clip(images + noise + 0.5, 0, 255).astype(np.uint8)


def _answers(spots: Any, marks: Sequence[np.ndarray], tolerance: float) -> np.ndarray:
    """Return which candidates are marks, each mark one: bool [K]."""
    answer, place = np.zeros(len(spots), bool), np.stack([spots.x, spots.y], axis=1)
    for row, known in enumerate(marks):
        mine = np.flatnonzero(spots.image == row)
        for kind in np.unique(known[:, 5]):
            of_kind = mine[spots.kind[mine] == kind]
            answer[of_kind] |= match(place[of_kind], known[known[:, 5] == kind], tolerance)[0]
    return answer


def _threshold(counter: PlantedCounter, lesson: Lesson, beta: float) -> float:
    """Return the threshold of the best F score on pictures and twins, in the middle of those that are nearly as good.

    A small beta weighs false marks more.
    """
    low = replace(counter, threshold=0.05)
    found, false = low.find(lesson.images), np.concatenate([rows[:, 2] for rows in low.find(lesson.twins)])
    hits = [_hits(rows, marks, counter)[0] for rows, marks in zip(found, lesson.marks, strict=True)]
    score, hit = np.concatenate([rows[:, 2] for rows in found]), np.concatenate(hits)
    tried, values = np.arange(0.05, 0.96, 0.05).round(2), []
    for threshold in tried:
        true = int((hit & (score >= threshold)).sum())
        called = int((score >= threshold).sum()) + int((false >= threshold).sum())
        values.append((1 + beta**2) * true / max(called + beta**2 * lesson.number.sum(), 1))
    good = tried[np.array(values) >= max(values) - NEARLY]
    return float(good[len(good) // 2])


def _hits(rows: np.ndarray, marks: np.ndarray, counter: PlantedCounter) -> tuple[np.ndarray, np.ndarray]:
    """Return which detections are marks of the same class, and which marks were found."""
    hit, met = np.zeros(len(rows), bool), np.zeros(len(marks), bool)
    for kind in np.unique(marks[:, 5]):
        ours, theirs = rows[:, 4] == kind, marks[:, 5] == kind
        hit[ours], met[theirs] = match(rows[ours], marks[theirs], counter.searched.tolerance)
    return hit, met


def _card(
    counter: PlantedCounter, lesson: Lesson, seed: int
) -> tuple[dict[str, CardValue], dict[str, list[dict[str, Any]]]]:
    """Measure the figures and tables of the card."""
    found, bare = counter.find(lesson.images), counter.find(lesson.twins)
    pairs = [_hits(rows, marks, counter) for rows, marks in zip(found, lesson.marks, strict=True)]
    called, hits = (
        np.array([float(each.sum()) for each in column])
        for column in zip(*((np.ones(len(hit)), hit) for hit, _ in pairs), strict=True)
    )
    false, marked, blocks = np.array([float(len(rows)) for rows in bare]), lesson.number > 0, lesson.blocks
    mean, error = mean_and_error(false, blocks)
    figures = {
        "recall": _ratio(hits[marked], lesson.number[marked], blocks[marked]),
        "precision": _ratio(hits[marked], called[marked], blocks[marked]),
        "response": _ratio((called - false)[marked], lesson.number[marked], blocks[marked]),
        "false marks": CardValue(mean, max(error or 0.0, 0.5 / len(false)), len(false)),
        **_of_symbols(counter, lesson, found, bare),
    }
    met = np.concatenate([met for _, met in pairs])
    known = np.concatenate(list(lesson.marks))
    owners = np.repeat(blocks, lesson.number.astype(int))
    columns = {"radius": known[:, 2], "contrast": np.abs(known[:, 3]), "contrast to noise": known[:, 4]}
    tables = {f"recall by {name}": _thirds(name, values, met, owners) for name, values in columns.items()}
    return figures, {**tables, **_spoilt_tables(counter, lesson, seed)}


def _ratio(top: np.ndarray, bottom: np.ndarray, blocks: np.ndarray) -> CardValue:
    """Return sum(top) / sum(bottom) with its error over blocks by linearisation; n is sum(bottom)."""
    total = float(bottom.sum())
    if total <= 0:
        return CardValue(0.0, 0.0, 0)
    value = float(top.sum()) / total
    sums = np.bincount(np.unique(blocks, return_inverse=True)[1], weights=top - value * bottom)
    error = float(np.sqrt(len(sums) / max(len(sums) - 1, 1) * (sums**2).sum())) / total
    return CardValue(value, max(error, 0.5 / total), round(total))


def _thirds(name: str, values: np.ndarray, met: np.ndarray, blocks: np.ndarray) -> list[dict[str, Any]]:
    """Return the recall in each third of a property of marks, with its range."""
    edges = np.quantile(values, [0, 1 / 3, 2 / 3, 1])
    rows = []
    for low, high in pairwise(edges):
        inside = (values >= low) & (values <= high)
        if high > low or not rows:
            share = _ratio(met[inside].astype(float), np.ones(int(inside.sum())), blocks[inside])
            limits = {"from": round(float(low), 3), "to": round(float(high), 3)}
            rows.append({"property": name, **limits, **_plain(share)})
    return rows


def _of_symbols(
    counter: PlantedCounter, lesson: Lesson, found: list[np.ndarray], bare: list[np.ndarray]
) -> dict[str, CardValue]:
    """Return sensitivity and specificity of "the picture has this symbol", by symbol."""
    figures = {}
    for kind, name in enumerate(counter.symbols):
        has = np.array([bool((marks[:, 5] == kind).any()) for marks in lesson.marks])
        called, false = (np.array([bool((rows[:, 4] == kind).any()) for rows in each]) for each in (found, bare))
        spared = np.concatenate([~called[~has], ~false])
        figures[f"sensitivity {name}"] = CardValue.share(called[has]) if has.any() else CardValue(0.0, 0.0, 0)
        figures[f"specificity {name}"] = CardValue.share(spared)
    return figures


def _spoilt_tables(counter: PlantedCounter, lesson: Lesson, seed: int) -> dict[str, list[dict[str, Any]]]:
    """Return how much of the response blur and noise leave, and how many false marks there are then."""
    marked = np.flatnonzero(lesson.number > 0)[:SPOILT]
    some = lesson.take(marked)
    sharp = sharpness_of(some.twins)

    def rows(name: str, values: Sequence[float], spoil: Callable[[np.ndarray, float], np.ndarray]) -> list[Any]:
        made, first = [], 1.0
        for value in values:
            images, twins = spoil(some.images, value), spoil(some.twins, value)
            full, bare = counter.counts(images).astype(float), counter.counts(twins).astype(float)
            response = _ratio(full - bare, some.number, some.blocks)
            first = response.value if not made else first
            scale = 1 / first if first > 0 else 0.0
            row = {name: value, **_plain(response, scale), "false marks": float(bare.mean())}
            made.append({**row, "sharpness": sharpness_of(twins) / sharp} if name == "sigma" and sharp > 0 else row)
        return made

    def with_noise(images: np.ndarray, sd: float) -> np.ndarray:
        return _with_noise(images, sd, rng_at(seed, "planted/noise")) if sd else images

    return {
        "by blur": rows("sigma", BLURS, lambda images, sigma: blurred(images, sigma) if sigma else images),
        "by noise": rows("sd", NOISES, with_noise),
    }


def _plain(figure: CardValue, scale: float = 1.0) -> dict[str, Any]:
    return {"value": scale * figure.value, "stderr": scale * figure.stderr, "n": figure.n}
