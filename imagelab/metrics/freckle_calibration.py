"""The calibration of the freckle counter: its fitted decision trees and its measured error rates.

The counter was fitted on rendered faces on which every freckle is known, including a freckle-free version of each
face. It was then evaluated on renders not used for fitting. The trees and the results are stored in one file,
``freckles-<size>.npz``: decision trees as plain arrays (evaluated here in numpy; nothing is unpickled) and a card of
figures, each with its standard error and its n. Faces with fine freckles have a counter of their own,
``fine-freckles-<size>.npz``: fine dots are missed more often, so one response for both would be wrong. The file
contains the SHA-256 of its own contents, and the first eight digits of it are part of every measurement made with it.

References:
    Greedy function approximation: a gradient boosting machine (Friedman 2001), doi:10.1214/aos/1013203451.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from ..faces.freckles import STYLES, Style
from .artifacts import contents_digest, packed_card, read_sealed, shipped_sizes, write_sealed
from .freckle_candidates import FEATURES, Optics

__all__ = [
    "STYLES",
    "Calibration",
    "CardValue",
    "Stratum",
    "Style",
    "Trees",
    "blur_ruler",
    "calibrated_sizes",
    "calibration_card",
    "match",
    "not_calibrated",
    "read_calibration",
    "shipped_calibration",
    "shipped_path",
]

_STEMS: dict[Style, str] = {"countable": "freckles", "fine": "fine-freckles"}

FORMAT = 2
"""Format 2 has the response by skin tone; a file of format 1 is read as one stratum for all skins."""


@dataclass(frozen=True)
class CardValue:
    """One figure of the card: value, its standard error, and the n (faces, freckles or detections) behind it."""

    value: float
    stderr: float
    n: int

    @classmethod
    def mean(cls, values: np.ndarray) -> CardValue:
        """Return the mean of independent values [n], n >= 2."""
        return cls(float(values.mean()), float(values.std(ddof=1) / math.sqrt(len(values))), len(values))

    @classmethod
    def share(cls, mask: np.ndarray) -> CardValue:
        """Return the share of true in bool [n]; half a case is added to each outcome so that the error is never 0."""
        likely = (mask.sum() + 0.5) / (len(mask) + 1)
        return cls(float(mask.mean()), math.sqrt(likely * (1 - likely) / len(mask)), len(mask))

    @classmethod
    def ratio(cls, top: np.ndarray, bottom: np.ndarray) -> CardValue:
        """Return sum(top) / sum(bottom) over independent faces, with its error by linearisation; n is sum(bottom)."""
        total = float(bottom.sum())
        value = float(top.sum()) / total
        squares = float(((top - value * bottom) ** 2).sum())
        return cls(value, math.sqrt(squares * len(top) / max(len(top) - 1, 1)) / abs(total), round(total))

    def far_from(self, other: CardValue, slack: float = 0.0) -> bool:
        """Return whether two independent figures differ by more than four standard errors of their difference.

        Args:
            other: the other figure.
            slack: an additional difference that is allowed, in the unit of the figure.

        Example:
            >>> first = CardValue(0.50, 0.03, 300)
            >>> first.far_from(CardValue(0.69, 0.04, 200)), first.far_from(CardValue(0.71, 0.04, 200))
            (False, True)
        """
        return abs(self.value - other.value) > 4 * math.hypot(self.stderr, other.stderr) + slack


@dataclass(frozen=True)
class Stratum:
    """What the counter finds and invents on skin of one range of tones.

    The counter's response hangs on the tone: a freckle on dark skin changes few grey levels. It does not hang on how
    many of the faces are freckled, once the tone is given (card: "response by skin and freckle rate").

    Attributes:
        low: least median luma of the skin window, 0..256.
        high: the median luma from which the next stratum begins.
        false_spots: detections on a face without freckles.
        response: additional detections for each countable freckle.
        spread: standard deviation of the response over the freckle rates at which it was measured.
    """

    low: float
    high: float
    false_spots: CardValue
    response: CardValue
    spread: float = 0.0

    @property
    def response_error(self) -> float:
        """Standard error of the response: of the faces of the calibration, and its spread over freckle rates."""
        return math.hypot(self.response.stderr, self.spread)


@dataclass(frozen=True, eq=False)
class Trees:
    """Boosted decision trees as plain arrays.

    Attributes:
        first: int32 [T], the root of each tree.
        feature: uint8 [M], the feature that a node compares (0 at a leaf).
        threshold: float64 [M]; a value <= threshold goes left, any other right.
        left: int32 [M], the left children; a leaf is its own child.
        right: int32 [M], the right children, likewise.
        value: float64 [M], what a leaf adds to the log-odds.
        base: log-odds before the first tree.
        depth: longest path of any tree.
    """

    first: np.ndarray
    feature: np.ndarray
    threshold: np.ndarray
    left: np.ndarray
    right: np.ndarray
    value: np.ndarray
    base: float
    depth: int

    @classmethod
    def from_boosting(cls, model: Any) -> Trees:
        """Export a fitted binary ``sklearn.ensemble.HistGradientBoostingClassifier`` (numeric features, no gaps)."""
        forest = [stage[0].nodes for stage in model._predictors]
        first = np.cumsum([0, *(len(nodes) for nodes in forest)])[:-1]
        nodes = np.concatenate(forest)
        start = np.repeat(first, [len(tree) for tree in forest])
        leaf = nodes["is_leaf"].astype(bool)
        own = np.arange(len(nodes))
        return cls(
            first=first.astype(np.int32),
            feature=np.where(leaf, 0, nodes["feature_idx"]).astype(np.uint8),
            threshold=np.where(leaf, 0.0, nodes["num_threshold"]).astype(np.float64),
            left=np.where(leaf, own, start + nodes["left"]).astype(np.int32),
            right=np.where(leaf, own, start + nodes["right"]).astype(np.int32),
            value=np.where(leaf, nodes["value"], 0.0).astype(np.float64),
            base=float(model._baseline_prediction.ravel()[0]),
            depth=int(nodes["depth"].max()),
        )

    def probability(self, features: np.ndarray) -> np.ndarray:
        """Return the probability of each row: float64 [K,F] -> float64 [K], 0..1."""
        width = features.shape[1]
        flat = np.ascontiguousarray(features).ravel()
        offset = np.arange(len(features)) * width
        log_odds = np.full(len(features), self.base)
        column = self.feature.astype(np.int64)
        children = np.stack([self.right, self.left], axis=1).ravel().astype(np.int64)
        for root in self.first:
            node = np.full(len(features), root, np.int64)
            for _ in range(self.depth):  # a leaf is its own child: a row that has reached one stays there
                goes_left = flat.take(offset + column.take(node)) <= self.threshold.take(node)
                node = children.take(2 * node + goes_left)
            log_odds += self.value.take(node)
        return 1 / (1 + np.exp(-log_odds))


_RANGES = {
    "blur": ("sharpness by blur", "sigma"),
    "noise": ("noise as read", "value"),
    "contrast": ("recall by image contrast", "contrast"),
    "saturation": ("recall by saturation", "saturation"),
}
"""Which table and column of the card hold the range of a property of images."""


@dataclass(frozen=True, eq=False)
class Calibration:
    """A fitted counter with its known errors.

    Attributes:
        optics: lengths used by the counter; ``optics.size`` is the image size it is valid for.
        skin: bool [size,size], where freckles are counted.
        trees: the classifier.
        threshold: smallest probability that is counted.
        figures: single figures by name (see :func:`calibration_card`).
        tables: rows by table name; each row is a plain dict with ``value``, ``stderr``, ``n`` and the condition that
            the row describes.
        origin: how it was made: renderer settings, seeds, numbers of faces, definitions.
        strata: response and false freckles by skin tone, from dark to light; empty in files of format 1.
        digest: SHA-256 over all of the above.
    """

    optics: Optics
    skin: np.ndarray
    trees: Trees
    threshold: float
    figures: Mapping[str, CardValue]
    tables: Mapping[str, list[dict[str, Any]]]
    origin: Mapping[str, Any]
    strata: tuple[Stratum, ...] = ()
    digest: str = field(default="", compare=False)

    def __post_init__(self) -> None:
        """Compute the digest of the contents."""
        object.__setattr__(self, "digest", contents_digest(self.arrays()))

    @property
    def size(self) -> int:
        """Height and width in px of the faces it is calibrated for."""
        return self.optics.size

    @property
    def style(self) -> Style:
        """The style of freckles it is calibrated for."""
        return self.origin.get("renderer", {}).get("freckle_style", "countable")

    @property
    def name(self) -> str:
        """Its name in measurements, such as "freckles-64@5f2c01aa"."""
        return f"{_STEMS[self.style]}-{self.size}@{self.digest[:8]}"

    @property
    def by_skin(self) -> tuple[Stratum, ...]:
        """The strata; one for all skins where the file has none."""
        return self.strata or (Stratum(0.0, 256.0, self.figures["false freckles"], self.figures["response"]),)

    def limits(self) -> dict[str, tuple[float, float]]:
        """Return the range of each property of images for which the card has figures; empty for format 1.

        Keys: "blur" (px), "noise" (grey levels as read), "contrast" and "saturation" (ratios to real images).
        """
        ranges = {}
        for name, (table, column) in _RANGES.items():
            if table in self.tables:
                marks = [row[column] for row in self.tables[table]]
                ranges[name] = (min(marks), max(marks))
        return ranges if len(ranges) == len(_RANGES) else {}

    def arrays(self) -> dict[str, np.ndarray]:
        """Return everything as named arrays, the format of the file."""
        card = {
            "format": FORMAT if self.strata else 1,
            "features": list(FEATURES),
            "optics": asdict(self.optics),
            "threshold": self.threshold,
            "figures": {name: asdict(figure) for name, figure in self.figures.items()},
            "tables": dict(self.tables),
            "origin": dict(self.origin),
        }
        if self.strata:
            card["strata"] = [asdict(stratum) for stratum in self.strata]
        plain = {f"trees_{name}": np.asarray(value) for name, value in vars(self.trees).items()}
        return {**plain, "skin": self.skin, "card": packed_card(card)}

    def write(self, path: Path) -> None:
        """Write the file atomically."""
        write_sealed(path, self.arrays())


def read_calibration(path: Path) -> Calibration:
    """Read a calibration file and check that it is complete and made for this version of the counter.

    Raises:
        ValueError: naming the file, if it is missing, damaged, or made for other features.
    """
    remake = "make it again with experiments/instruments/calibrate_freckles.py, or install the package again"
    arrays, card = read_sealed(path, "freckle calibration", remake)
    if card["format"] not in (1, FORMAT) or tuple(card["features"]) != FEATURES:
        raise ValueError(f"{path}: made for another version of the freckle counter; {remake}")
    trees = {name.removeprefix("trees_"): value for name, value in arrays.items() if name.startswith("trees_")}
    size = card["optics"]["size"]
    if arrays["skin"].shape != (size, size) or arrays["skin"].dtype != bool:
        raise ValueError(f"{path}: expected a bool skin mask of {size} x {size}, got {arrays['skin'].shape}; {remake}")
    return Calibration(
        optics=Optics(**card["optics"]),
        skin=arrays["skin"],
        trees=Trees(**{**trees, "base": float(trees["base"]), "depth": int(trees["depth"])}),
        threshold=card["threshold"],
        figures={name: CardValue(**figure) for name, figure in card["figures"].items()},
        tables=card["tables"],
        origin=card["origin"],
        strata=tuple(
            Stratum(**{**row, **{name: CardValue(**row[name]) for name in ("false_spots", "response")}})
            for row in card.get("strata", [])
        ),
    )


@cache
def shipped_calibration(size: int = 64, style: Style = "countable") -> Calibration:
    """Return the calibration that the package contains for faces of this size and style; read and checked once.

    Raises:
        ValueError: if there is none, or the file is damaged.
    """
    if size not in calibrated_sizes(style):
        raise ValueError(f"{not_calibrated(style)}; got {size} px")
    return read_calibration(shipped_path(size, style))


def shipped_path(size: int, style: Style = "countable") -> Path:
    """Return where the package contains, or would contain, the calibration for faces of this size and style."""
    return Path(__file__).with_name(f"{_STEMS[style]}-{size}.npz")


@cache
def calibrated_sizes(style: Style = "countable") -> tuple[int, ...]:
    """Return the image sizes in px for which the package contains a calibration."""
    return shipped_sizes(_STEMS[style])


def not_calibrated(style: Style = "countable") -> str:
    """Return the first part of a sentence that says for which faces there is a calibration."""
    sizes = " or ".join(map(str, calibrated_sizes(style)))
    fine = "" if style == "countable" else " with fine freckles"
    return f"the freckle counter is calibrated for {sizes} px RGB faces{fine}"


def calibration_card(calibration: Calibration | None = None) -> dict[str, Any]:
    """Return everything that is known about the counter, ready for JSON.

    Keys: ``size``, ``digest``, ``threshold``, ``skin_pixels``, ``figures`` (name -> value, stderr, n), ``tables``
    (name -> rows with value, stderr, n and the condition of the row), ``strata`` (rows by skin tone, empty for old
    files), ``origin`` (definitions, renderer, seeds).
    """
    calibration = calibration or shipped_calibration()
    return {
        "size": calibration.size,
        "digest": calibration.digest,
        "threshold": calibration.threshold,
        "skin_pixels": int(calibration.skin.sum()),
        "figures": {name: asdict(figure) for name, figure in calibration.figures.items()},
        "tables": {name: [dict(row) for row in rows] for name, rows in calibration.tables.items()},
        "strata": [asdict(stratum) for stratum in calibration.strata],
        "origin": dict(calibration.origin),
    }


def blur_ruler(calibration: Calibration | None = None) -> list[dict[str, Any]]:
    """Return the effect of blur alone on the count: rows of ``sigma`` (px) and ``value`` (share of the count left).

    Real faces blurred by the sigma of a row give the share of that row. A fall of the count to this share can therefore
    be caused by blur of that strength alone: compare the sharpness of the images before concluding that freckles are
    lost.
    """
    return [dict(row) for row in (calibration or shipped_calibration()).tables["blur ruler"]]


def match(found: np.ndarray, truth: np.ndarray, radius: float) -> tuple[np.ndarray, np.ndarray]:
    """Pair detections and freckles one to one: as many pairs as possible, then the nearest (Hungarian assignment).

    Args:
        found: float [K,>=2], x and y of detections.
        truth: float [L,>=2], x and y of freckles.
        radius: largest distance of a pair, px.

    Returns:
        bool [K], which detections are freckles; bool [L], which freckles were detected.

    Example:
        >>> match(np.array([[1.0, 1.0], [1.5, 1.0]]), np.array([[1.4, 1.0], [9.0, 9.0]]), 1.0)
        (array([False,  True]), array([ True, False]))
    """
    hit, met = np.zeros(len(found), bool), np.zeros(len(truth), bool)
    if len(found) and len(truth):
        from scipy.optimize import linear_sum_assignment

        distance = np.linalg.norm(found[:, None, :2] - truth[None, :, :2], axis=2)
        pairs = linear_sum_assignment(np.where(distance <= radius, distance, 1e3))
        near = distance[pairs] <= radius
        hit[pairs[0][near]], met[pairs[1][near]] = True, True
    return hit, met
