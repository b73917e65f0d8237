"""A measurement: one number with everything that is needed to judge it.

A value cannot be interpreted without its error, sample sizes, feature space and real-against-real floor. So they are
stored together, one JSON object per line of ``metrics.jsonl``. Two measurements with different instruments cannot be
compared. Predictions of theory are measurements, too (``predicted=True``), so that a plot treats both in the same way.
A value that could not be measured is recorded with the reason; it is never left out.
"""

from __future__ import annotations

import json
import math
from dataclasses import asdict, dataclass, fields, replace
from functools import cache
from typing import Any, Literal, get_args

__all__ = ["Direction", "Measurement", "t95"]

Direction = Literal["lower", "higher", "two-sided", "none"]


@dataclass(frozen=True)
class Measurement:
    """One number with its error, sample sizes, instrument and source.

    Attributes:
        name: the metric's key in ``METRICS``, with the band or space after a slash: ``band_power/16-32``.
        value: the number; None if it could not be computed (then ``missing`` gives the reason).
        unit: its unit; "" for a pure number.
        generation: 0 for real data against held-out real data (the floor), t for generation t.
        line: index of the model within the generation; -1 for real data.
        n_real: number of real (reference) images used.
        n_fake: number of tested images used.
        stderr: standard error of the value, None if no valid one is known.
        better: the better direction; "two-sided" if any distance from real is a loss.
        estimator: how the value was computed, in a few words.
        feature_space: name and weights digest of the features, "" if the metric reads pixels.
        resize: the resize kernel before the features, "" for none.
        floor: the same measurement of real against held-out real images at the same n.
        floor_stderr: standard error of the floor.
        df: degrees of freedom of ``stderr``; None for many, where Student's t is the normal distribution.
        low: lower end of the 95 % interval of the images where that is an exact limit, not value - t stderr; else None.
        high: its upper end; given together with ``low``.
        between: standard deviation of the value from one training to another, everything else the same; None where it
            is not known.
        between_df: degrees of freedom of ``between``; None for many (a ratio from a table).
        chains: trainings that the value is the mean of.
        predicted: True for a prediction of theory.
        seed: seed of random choices inside the estimator.
        missing: the reason why there is no value.
        cite: the source, as an arXiv or DOI identifier.
    """

    name: str
    value: float | None
    unit: str = ""
    generation: int = 0
    line: int = 0
    n_real: int = 0
    n_fake: int = 0
    stderr: float | None = None
    better: Direction = "none"
    estimator: str = ""
    feature_space: str = ""
    resize: str = ""
    floor: float | None = None
    floor_stderr: float | None = None
    df: float | None = None
    low: float | None = None
    high: float | None = None
    between: float | None = None
    between_df: float | None = None
    chains: int = 1
    predicted: bool = False
    seed: int | None = None
    missing: str = ""
    cite: str = ""

    def __post_init__(self) -> None:
        """Raise ValueError for NaN or infinite numbers, half an interval, and a missing value without a reason."""
        for field in _FINITE:
            number = getattr(self, field)
            if number is not None and not math.isfinite(number):
                raise ValueError(
                    f"{self.name}: expected {field} to be finite or None, got {number}; give the reason in `missing`"
                )
        if (self.low is None) != (self.high is None):
            raise ValueError(f"{self.name}: expected low and high together, got {self.low} and {self.high}")
        if self.value is None and not self.missing:
            raise ValueError(f"{self.name}: expected a reason in `missing` for a measurement without a value, got none")

    @property
    def interval(self) -> tuple[float, float] | None:
        """The 95 % interval of the images: what other images of the same model and other real ones would give.

        It does not hold another training. None where no error is known.
        """
        if self.low is not None and self.high is not None:
            return self.low, self.high
        if self.value is None or self.stderr is None:
            return None
        half = t95(self.df) * self.stderr
        return self.value - half, self.value + half

    def at(self, generation: int, line: int, floor: Measurement | None = None) -> Measurement:
        """Return this measurement with its place in a run and its real-against-real floor.

        Args:
            generation: see the attributes.
            line: see the attributes.
            floor: the same measurement of real against held-out real images; None for none.

        Raises:
            ValueError: if the floor was measured with another instrument.
        """
        placed = replace(self, generation=generation, line=line)
        if floor is None or floor.value is None:
            return placed
        placed.check_comparable(floor)
        return replace(placed, floor=floor.value, floor_stderr=floor.stderr)

    def check_comparable(self, other: Measurement) -> None:
        """Raise ValueError if the two were not measured with the same instrument."""
        for field in ("name", "unit", "estimator", "feature_space", "resize"):
            ours, theirs = getattr(self, field), getattr(other, field)
            if ours != theirs:
                raise ValueError(f"{self.name}: cannot be compared, {field} differs: {ours!r} against {theirs!r}")

    def to_json(self) -> str:
        """Return one line of JSON. Fields with their default value are left out; floats keep all digits."""
        defaults = {field.name: field.default for field in fields(self)}
        values = {
            key: value for key, value in asdict(self).items() if key in ("name", "value") or value != defaults[key]
        }
        return json.dumps(values, ensure_ascii=False, allow_nan=False)

    @classmethod
    def from_json(cls, line: str) -> Measurement:
        """Read one line written by :meth:`to_json`.

        Raises:
            ValueError: if the line is incomplete, or has fields that this version does not know.
        """
        try:
            content = json.loads(line)
            if not isinstance(content, dict):
                raise ValueError(f"expected a JSON object, got {type(content).__name__}")
            _check(content)
            return cls(**content)
        except (ValueError, TypeError, OverflowError, RecursionError) as error:
            raise ValueError(f"not a measurement: {repr(line[:80])[:120]} ({str(error)[:160]})") from error


@cache
def t95(df: float | None) -> float:
    """Return how many standard errors a 95 % interval extends to either side: Student's t; 1.96 for None.

    Args:
        df: degrees of freedom of the standard error, > 0; None for many.

    Example:
        >>> round(t95(19), 3), round(t95(None), 3)
        (2.093, 1.96)
    """
    from scipy.special import ndtri, stdtrit  # not at the top: reading an experiment needs no scipy

    return float(ndtri(0.975) if df is None else stdtrit(df, 0.975))


_NULL = type(None)
_FINITE = ("value", "stderr", "floor", "floor_stderr", "df", "low", "high", "between", "between_df")
_FORMS = {
    **dict.fromkeys(("name", "unit", "better", "estimator", "feature_space", "resize", "missing", "cite"), (str,)),
    **dict.fromkeys(_FINITE, (float, int, _NULL)),
    **dict.fromkeys(("generation", "line", "n_real", "n_fake", "chains"), (int,)),
    "predicted": (bool,),
    "seed": (int, _NULL),
}
"""The types that JSON may give each field; a bool is no number."""

_LEAST = {
    **dict.fromkeys(("generation", "n_real", "n_fake", "stderr", "floor_stderr", "df", "between", "between_df"), 0),
    "line": -2,
    "chains": 1,
}
_SHORT = 200  # letters of a name, a unit or a resize kernel
_LONG = 10_000  # letters of any other text
_EXACT = 1 << 53  # larger whole numbers are no counts; as values they become floats, as every reader takes them


def _check(content: dict[str, Any]) -> None:
    """Raise ValueError for a field from JSON that is unknown, of another type, or a number that it cannot have."""
    for field, value in content.items():
        forms, kind = _FORMS.get(field), type(value)
        if forms is None:
            raise ValueError(f"unknown field {field[:60]!r}; written by another version of imagelab?")
        if kind not in forms:
            expected = " or ".join("null" if form is _NULL else form.__name__ for form in forms)
            raise ValueError(f"expected {field} to be {expected}, got {kind.__name__}")
        if kind is str:
            _check_text(field, value)
        elif kind is not _NULL and field in _LEAST and value < _LEAST[field]:
            raise ValueError(f"expected {field} to be at least {_LEAST[field]}, got {value:.6g}")
        elif kind is int and field != "seed" and abs(value) > _EXACT:
            if float not in forms:
                raise ValueError(f"expected {field} to be a count, got a number of {len(str(value))} digits")
            content[field] = float(value) if value.bit_length() < 1024 else math.inf  # refused with the field's name


def _check_text(field: str, text: str) -> None:
    if field == "better" and text not in get_args(Direction):
        raise ValueError(f"expected better to be one of {', '.join(get_args(Direction))}, got {text[:60]!r}")
    most = _SHORT if field in ("name", "unit", "resize") else _LONG
    if len(text) > most:
        raise ValueError(f"expected {field} of at most {most} letters, got {len(text)}")
    if not text.isascii():
        text.encode()  # half of a surrogate pair, which JSON can spell, is a UnicodeEncodeError
