"""The counter of planted marks: fitted to one dataset, stored in generation 0 of a run, with its card.

The file ``counter.npz`` holds decision trees as plain arrays, the templates and the card; nothing is unpickled, and it
contains the SHA-256 of its contents, of which the first eight digits are part of every measurement made with it.
planted_fit.py makes it. The card is also written as ``counter.json``, for readers.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np

from ..io.untrusted import regular
from .artifacts import contents_digest, packed_card, read_sealed, write_sealed
from .freckle_calibration import CardValue, Trees
from .planted_candidates import PLANTED_FEATURES, Searched, find_planted

__all__ = [
    "COUNTER",
    "COUNTER_CARD",
    "LEAST_RECALL",
    "MOST_FALSE",
    "PlantedCounter",
    "card_sentences",
    "read_counter",
    "sharpness_of",
    "too_poor",
]

COUNTER = "counter.npz"
"""File of generation 0: the counter of planted marks."""

COUNTER_CARD = "counter.json"
"""File of generation 0: the card of the counter."""

LEAST_RECALL = 0.5
"""Share of the marks that a counter must find, else it does not count."""

MOST_FALSE = 0.5
"""False marks on an unmarked picture that a counter may find, else it does not count."""

FORMAT = 1
CHUNK = 64  # pictures at a time
MOST_BYTES, MOST_TEMPLATES, MOST_DEPTH = 20_000_000, 64, 64


@dataclass(frozen=True, eq=False)
class PlantedCounter:
    """A fitted counter with its known errors.

    Attributes:
        searched: what it looks for.
        trees: the classifier of candidates.
        threshold: smallest probability that is counted.
        shape: (channels, height, width) of the pictures that it was fitted to.
        word: what the marks are called, such as "dots".
        symbols: the attribute of each class; empty where there is one class.
        figures: single figures by name: "precision", "recall", "response", "false marks"; for each symbol "sensitivity
            NAME" and "specificity NAME".
        tables: rows by table name; each row has ``value``, ``stderr``, ``n`` and the condition that it describes.
        origin: how it was made.
        digest: SHA-256 over all of the above.
    """

    searched: Searched
    trees: Trees
    threshold: float
    shape: tuple[int, int, int]
    word: str
    symbols: tuple[str, ...] = ()
    figures: Mapping[str, CardValue] = field(default_factory=dict)
    tables: Mapping[str, list[dict[str, Any]]] = field(default_factory=dict)
    origin: Mapping[str, Any] = field(default_factory=dict)
    digest: str = field(default="", compare=False)

    def __post_init__(self) -> None:
        """Compute the digest of the contents."""
        object.__setattr__(self, "digest", contents_digest(self.arrays()))

    def card(self) -> dict[str, Any]:
        """Return all that is known of the counter, as plain JSON values."""
        return {
            "format": FORMAT,
            "features": list(PLANTED_FEATURES),
            "word": self.word,
            "symbols": list(self.symbols),
            "shape": list(self.shape),
            "contrast": self.searched.contrast,
            "tolerance": self.searched.tolerance,
            "threshold": self.threshold,
            "figures": {name: asdict(figure) for name, figure in self.figures.items()},
            "tables": {name: [dict(row) for row in rows] for name, rows in self.tables.items()},
            "origin": dict(self.origin),
        }

    def arrays(self) -> dict[str, np.ndarray]:
        """Return everything as named arrays, the content of the file."""
        plain = {f"trees_{name}": np.asarray(value) for name, value in vars(self.trees).items()}
        searched = {"templates": self.searched.templates, "classes": self.searched.classes}
        return {**plain, **searched, "card": packed_card(self.card())}

    def write(self, path: Path) -> None:
        """Write the file atomically."""
        write_sealed(path, self.arrays())

    def find(self, images: np.ndarray) -> list[np.ndarray]:
        """Find the marks of each picture.

        Args:
            images: uint8 [N,C,H,W] that :meth:`refusal` does not refuse.

        Returns:
            N arrays float64 [K,5]: x px, y px, score (threshold..1), amplitude, class.
        """
        chunks = [images[start : start + CHUNK] for start in range(0, len(images), CHUNK)]
        return [rows for chunk in chunks for rows in self._find(chunk)]

    def _find(self, images: np.ndarray) -> list[np.ndarray]:
        spots = find_planted(images, self.searched)
        score = self.trees.probability(spots.features) if len(spots) else np.zeros(0)
        kept = score >= self.threshold
        rows = np.stack([spots.x, spots.y, score, spots.amplitude, spots.kind], axis=1)[kept]
        of = spots.image[kept]
        apart = self.searched.templates.shape[1] // 2
        return [_apart(rows[of == row], apart) for row in range(len(images))]

    def counts(self, images: np.ndarray) -> np.ndarray:
        """Return the number of marks found on each picture: uint8 [N,C,H,W] -> int64 [N]."""
        return np.array([len(rows) for rows in self.find(images)], np.int64)

    def refusal(self, images: np.ndarray) -> str:
        """Return why these pictures, uint8 [N,C,H,W], cannot be counted; "" if they can."""
        if images.shape[1:] != self.shape:
            wanted, got = (" x ".join(map(str, shape)) for shape in (self.shape, images.shape[1:]))
            return f"the counter of this run was fitted to pictures of {wanted} (channels, height, width); got {got}"
        return too_poor(self.card())


def _apart(rows: np.ndarray, distance: float) -> np.ndarray:
    """Return the rows without those that lie nearer than this to one of a higher score."""
    left, kept = rows[np.argsort(-rows[:, 2], kind="stable")], []
    while len(left):
        kept.append(left[0])
        left = left[np.hypot(left[:, 0] - left[0, 0], left[:, 1] - left[0, 1]) > distance]
    return np.array(kept).reshape(-1, 5)


def too_poor(card: Mapping[str, Any]) -> str:
    """Return in words why a counter with this card does not count; "" if it does."""
    word, recall, false = str(card["word"]), *(_value(card, name) for name in ("recall", "false marks"))
    faults = []
    if recall < LEAST_RECALL:
        faults.append(f"it finds {100 * recall:.0f} % of them (at least {100 * LEAST_RECALL:.0f} % are needed)")
    if false > MOST_FALSE:
        faults.append(f"it finds {false:.2f} on a picture without any (at most {MOST_FALSE:g} are allowed)")
    if not faults:
        return ""
    return (
        f"the {word} of this dataset cannot be counted: {' and '.join(faults)}. Plant larger ones or a stronger "
        "contrast, or raise data.least_ratio"
    )


def card_sentences(card: Mapping[str, Any]) -> list[str]:
    """Return the card of a counter in a few sentences, for a terminal and for a page."""
    word, origin = str(card["word"]), card["origin"]
    sentences = [
        f"Counter of {word}, fitted on {origin['fitted on']} real pictures of the reserve, tested on "
        f"{origin['tested on']} held-out ones{_groups(origin)}: it finds {_said(card, 'recall', 100)} % of the {word}, "
        f"{_said(card, 'precision', 100)} % of what it finds on marked pictures are {word}, and it finds "
        f"{_said(card, 'false marks')} on a picture without any."
    ]
    blur = card["tables"].get("by blur", [])
    if blur:
        parts = ", ".join(f"{100 * row['value']:.0f} % at {row['sigma']:g} px" for row in blur if row["sigma"])
        sentences.append(f"Of the {word} found on sharp pictures, blur leaves {parts}.")
    poor = too_poor(card)
    return [*sentences, f"So nothing is counted: {poor}."] if poor else sentences


def _groups(origin: Mapping[str, Any]) -> str:
    groups = origin.get("groups tested on")
    return f" in {groups} independent groups" if groups else ""


def _value(card: Mapping[str, Any], name: str) -> float:
    return float(card["figures"][name]["value"])


def _said(card: Mapping[str, Any], name: str, times: float = 1.0) -> str:
    figure = card["figures"][name]
    digits = 1 if times > 1 else 2
    return f"{times * figure['value']:.{digits}f} +- {times * figure['stderr']:.{digits}f}"


def read_counter(path: Path) -> PlantedCounter:
    """Read a counter and check that it is whole and made for this version.

    Raises:
        ValueError: naming the file, if it is missing, damaged, or made for other features.
    """
    remake = "restore the run from a copy, or run it again"
    if regular(path).st_size > MOST_BYTES:
        raise ValueError(f"{path}: not a whole counter of planted marks (more than {MOST_BYTES} bytes); {remake}")
    arrays, card = read_sealed(path, "counter of planted marks", remake)
    try:
        _check(arrays)
        if card["format"] != FORMAT or tuple(card["features"]) != PLANTED_FEATURES:
            raise ValueError("made for another version of the counter")
        trees = {name.removeprefix("trees_"): value for name, value in arrays.items() if name.startswith("trees_")}
        counter = PlantedCounter(
            Searched(arrays["templates"], arrays["classes"], card["contrast"], card["tolerance"]),
            Trees(**{**trees, "base": float(trees["base"]), "depth": int(trees["depth"])}),
            card["threshold"],
            tuple(card["shape"]),
            card["word"],
            tuple(card["symbols"]),
            {name: CardValue(**figure) for name, figure in card["figures"].items()},
            card["tables"],
            card["origin"],
        )
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise ValueError(f"{path}: not a whole counter of planted marks ({error}); {remake}") from error
    return counter


def _check(arrays: Mapping[str, np.ndarray]) -> None:
    """Refuse trees and templates that cannot be evaluated, or only in a very long time: the file may be of anybody."""
    nodes = len(arrays["trees_feature"])
    inside = all(
        arrays[name].ndim == 1 and (arrays[name] >= 0).all() and (arrays[name] < most).all()
        for name, most in (
            ("trees_first", nodes),
            ("trees_left", nodes),
            ("trees_right", nodes),
            ("trees_feature", len(PLANTED_FEATURES)),
            ("classes", MOST_TEMPLATES),
        )
    )
    templates = arrays["templates"]
    small = templates.ndim == 3 and 0 < len(templates) <= MOST_TEMPLATES and len(templates) == len(arrays["classes"])
    square = small and templates.shape[1] == templates.shape[2] and templates.shape[1] % 2 == 1
    if not inside or not square or not 0 <= int(arrays["trees_depth"]) <= MOST_DEPTH:
        raise ValueError("its trees or templates are not those of a counter")


def sharpness_of(images: np.ndarray, most: int = 256) -> float:
    """Return how strong the detail of .7 to 1.4 px is against that of 1.4 to 2.8 px.

    Of each, the 80 % quantile of its absolute value over the pixels of a picture, mean over pictures: planted marks lie
    on a smaller part of a picture than a fifth, so that a loss of marks is not read as blur.

    Args:
        images: uint8 [N,C,H,W].
        most: pictures that are read.
    """
    from scipy import ndimage

    from ..images import luma

    grey = 255 * luma(images[:most])
    soft = [ndimage.gaussian_filter(grey, (0, sigma, sigma), mode="nearest") for sigma in (0.7, 1.4, 2.8)]
    fine, coarse = (float(np.quantile(np.abs(a - b), 0.8, axis=(1, 2)).mean()) for a, b in pairwise(soft))
    return fine / coarse if coarse > 0 else math.nan
