"""A measurement: one number that can stand alone in front of a referee.

A value without its error, its sample sizes, its feature space and its real-against-real floor says nothing.
So they travel together, one JSON object a line of ``metrics.jsonl``, and two measurements whose instruments
differ refuse to be compared. Predictions of theory are measurements too (``predicted=True``), so that a plot
draws the pair alike; what could not be measured is recorded with its reason, never left out.
"""

from __future__ import annotations

import json
import math
from dataclasses import asdict, dataclass, fields, replace
from typing import Literal

__all__ = ["Direction", "Measurement"]

Direction = Literal["lower", "higher", "two-sided", "none"]


@dataclass(frozen=True)
class Measurement:
    """One number with all that it takes to trust it.

    Attributes:
        name: the metric's key in ``METRICS``, with the band or space behind a slash: ``band_power/16-32``.
        value: the number; None where it could not be computed (then ``missing`` says why).
        unit: its unit; "" for a pure number.
        generation: 0 for real data against held-out real data (the floor), t for generation t.
        line: which model of the generation; -1 for real data.
        n_real: real (reference) images used. n_fake: images under test used.
        stderr: standard error of the value, None where no honest one is known.
        better: which way is better; "two-sided" where any distance from real is a loss.
        estimator: how the value was computed, in a few words.
        feature_space: name and weights digest of the features, "" where pixels are read directly.
        resize: the resize kernel in front of the features, "" for none.
        floor: the same measurement of real against held-out real at the same n. floor_stderr: its error.
        predicted: True for a prediction of theory, not a measurement.
        seed: seed of any random choice inside the estimator.
        missing: why there is no value.
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
    predicted: bool = False
    seed: int | None = None
    missing: str = ""
    cite: str = ""

    def __post_init__(self) -> None:
        """Refuse a number that is no number, and a gap without a reason."""
        for field in ("value", "stderr", "floor", "floor_stderr"):
            number = getattr(self, field)
            if number is not None and not math.isfinite(number):
                raise ValueError(f"{self.name}: {field} must be finite or None, got {number}; say why in `missing`")
        if self.value is None and not self.missing:
            raise ValueError(f"{self.name}: a measurement without a value needs its reason in `missing`")

    def at(self, generation: int, line: int, floor: Measurement | None = None) -> Measurement:
        """Return this measurement placed in a run, beside its real-against-real floor."""
        placed = replace(self, generation=generation, line=line)
        if floor is None or floor.value is None:
            return placed
        placed.check_comparable(floor)
        return replace(placed, floor=floor.value, floor_stderr=floor.stderr)

    def check_comparable(self, other: Measurement) -> None:
        """Raise ValueError where the two were not taken with the same instrument."""
        for field in ("name", "unit", "estimator", "feature_space", "resize"):
            ours, theirs = getattr(self, field), getattr(other, field)
            if ours != theirs:
                raise ValueError(f"{self.name}: cannot be compared, {field} differs: {ours!r} against {theirs!r}")

    def to_json(self) -> str:
        """Return one line of JSON. Fields at their default are left out; floats keep every digit."""
        stated = {field.name: field.default for field in fields(self)}
        values = {key: value for key, value in asdict(self).items() if key in ("name", "value") or value != stated[key]}
        return json.dumps(values, ensure_ascii=False, allow_nan=False)

    @classmethod
    def from_json(cls, line: str) -> Measurement:
        """Read one line written by :meth:`to_json`.

        Raises:
            ValueError: if the line is not whole, or holds fields that this version does not know.
        """
        try:
            return cls(**json.loads(line))
        except (TypeError, json.JSONDecodeError) as error:
            raise ValueError(f"not a measurement: {line[:80]!r} ({error})") from error
