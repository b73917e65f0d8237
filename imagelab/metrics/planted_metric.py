"""The metric ``planted``: marks an image, and the controls that say what they are worth, as for freckles.

    planted/count       detected: raw detections an image, false ones included;
    planted/corrected   (count - false marks) / response, as on sharp real pictures of this dataset;
    planted/net         net of what the model invents: (count - control) / response, the control being the images of the
                        blank twin of the loop, else unmarked pictures that the model copied;
    planted/blank       detections on copies of unmarked pictures by the model under test;
    planted/twin        detections on images of the blank twin of this loop;
    planted/matched     share of the response that real pictures keep when they are blurred until they are as unsharp as
                        the images under test, from the card;
    symbols/NAME        share of the images with this symbol, by Rogan and Gladen, for symbols only.

The interval of net is systematic: it holds net and net / matched, because nobody can know whether a mark that blur
hides is there. Where less than :data:`LEAST_LEFT` would be left by such blur, net, corrected and the shares have no
value, and say why. The same holds for corrected and the shares where the control has more than .5 marks an image, and
for net where that control are copies: then the model draws what looks like marks, and the card of the counter does not
hold for its images. Where the counter is too poor (planted_counter.too_poor), nothing has a value.

The sharpness is read from detail of about 4 to 8 px: the loss of still finer detail, such as noise, is not read as
blur.

What it does not see: a model may draw spots that look like marks, and copies of marks on other places; and the counter
was fitted on real pictures, so that its error rates on the images of a model are not known. The controls are for that.

References:
    Estimating the prevalence of a disease from a screening test (Rogan, Gladen 1978),
    doi:10.1093/oxfordjournals.aje.a112510.
"""

from __future__ import annotations

import hashlib
import math
from dataclasses import dataclass

import numpy as np

from ..measurement import Measurement, t95
from .base import Evidence, ImageSet, NotMeasurable
from .freckle_calibration import CardValue
from .jackknife import degrees, mean_and_error
from .planted_counter import MOST_FALSE, PlantedCounter, sharpness_of
from .rogan_gladen import corrected, corrected_limits

__all__ = ["LEAST_LEFT", "planted_counts"]

LEAST_LEFT = 0.3
"""Share of the response that images must leave, by their sharpness, so that a count can be corrected."""

_NAMES = ("count", "corrected", "net", "blank", "twin", "matched")
_UNITS = {"matched": "share of marks"}
_NO_CONTROL = {
    "blank": "no unmarked pictures were passed through this model",
    "twin": "this loop has no blank twin",
}


def planted_counts(evidence: Evidence) -> list[Measurement]:
    """Count the planted marks of the images under test: the measurements of this file's docstring.

    Raises:
        NotMeasurable: where no counter is known.
    """
    counter = evidence.counter
    if counter is None:
        raise NotMeasurable(
            "no counter: it is fitted when a run with planted data is founded, and counts the images of that run only"
        )
    rows = _Rows(counter, len(evidence.fake))
    if why := counter.refusal(evidence.fake.images):
        return [rows.row(f"planted/{name}", missing=why) for name in _NAMES] + [
            rows.row(f"symbols/{name}", missing=why) for name in counter.symbols
        ]
    found = _found(evidence.fake, counter)
    count, left = np.bincount(found[:, 0].astype(int), minlength=len(evidence.fake)), _left(evidence, counter)
    hidden = "" if left >= LEAST_LEFT else _hidden(left, counter)
    controls = {"blank": evidence.blank, "twin": evidence.twin}
    own = "twin" if evidence.twin is not None else "blank"
    bare = rows.control(own, controls[own]).value or 0.0
    invented = _invented(bare, own, counter) if bare > MOST_FALSE else ""
    hidden_net = hidden or (invented if own == "blank" else "")  # the images of the twin look like those under test
    made = [
        rows.mean("count", count, evidence.fake.groups),
        rows.row("planted/corrected", missing=hidden or invented)
        if hidden or invented
        else rows.corrected(count, evidence.fake.groups),
        rows.row("planted/net", missing=hidden_net)
        if hidden_net
        else rows.net(count, controls, left, evidence.fake.groups),
        *(rows.control(name, images) for name, images in controls.items()),
        rows.row("planted/matched", left),
    ]
    return made + [rows.share(kind, found, hidden or invented) for kind in range(len(counter.symbols))]


def _hidden(left: float, counter: PlantedCounter) -> str:
    return (
        f"real pictures as unsharp as these keep {100 * left:.0f} % of their {counter.word} (at least "
        f"{100 * LEAST_LEFT:.0f} % are needed): what blur hides cannot be corrected for"
    )


def _invented(bare: float, control: str, counter: PlantedCounter) -> str:
    where = "images of the blank twin" if control == "twin" else "unmarked pictures that this model copied"
    return (
        f"the counter finds {bare:.2f} {counter.word} an image on {where}, where none are (at most {MOST_FALSE:g} are "
        "allowed): its card does not hold for the images of this model"
    )


def _left(evidence: Evidence, counter: PlantedCounter) -> float:
    """Return the share of the response at the sharpness of the images, 0..1, interpolated in the card."""
    ruler = [row for row in counter.tables.get("by blur", []) if "sharpness" in row]
    real = sharpness_of(evidence.real.images)
    ratio = sharpness_of(evidence.fake.images) / real if real > 0 else 1.0
    if len(ruler) < 2 or not math.isfinite(ratio):
        return 1.0
    sharp = np.minimum.accumulate([row["sharpness"] for row in ruler])
    kept = np.clip([row["value"] for row in ruler], 0, 1)
    return float(np.interp(-min(ratio, 1.0), -sharp, kept)) if ratio > sharp[-1] else float(kept[-1])


def _found(images: ImageSet, counter: PlantedCounter) -> np.ndarray:
    """Return row and class of each detection, int64 [K,2]; kept where the set keeps features."""

    def find() -> np.ndarray:
        spots = counter.find(images.images)
        return np.array([(row, int(spot[4])) for row, each in enumerate(spots) for spot in each], np.int64).reshape(
            -1, 2
        )

    def name() -> str:
        return f"planted-{hashlib.sha256(f'{counter.digest} {images.digest}'.encode()).hexdigest()[:16]}"

    return images.kept(f"planted {counter.digest}", name, "found", (-1, 2), find)


@dataclass(frozen=True)
class _Rows:
    """Makes the measurements of one set of images.

    Attributes:
        counter: that counted.
        n: images under test.
    """

    counter: PlantedCounter
    n: int

    def row(
        self,
        name: str,
        value: float | None = None,
        stderr: float | None = None,
        *,
        low: float | None = None,
        high: float | None = None,
        df: float | None = None,
        n: int | None = None,
        missing: str = "",
    ) -> Measurement:
        """Return a measurement with what its name says of it; its estimator does not depend on the images."""
        part = name.partition("/")[2]
        symbols = name.startswith("symbols/")
        return Measurement(
            name=name,
            value=value,
            unit="share" if symbols else _UNITS.get(part, "marks/image"),
            n_fake=self.n if n is None else n,
            stderr=stderr,
            low=low,
            high=high,
            df=df,
            better="lower" if part in _NO_CONTROL else "two-sided",
            estimator=f"planted@{self.counter.digest[:8]}: {self._how(part)}",
            missing=missing,
        )

    def _how(self, part: str) -> str:
        if part in self.counter.symbols:
            met, spared = self._rates(part)
            return f"Rogan-Gladen, Se {met.value:.3f}, Sp {spared.value:.4f}"
        figures = self.counter.figures
        response, false = figures["response"].value, figures["false marks"].value
        return {
            "count": "raw detections",
            "corrected": f"(count - {false:.3f}) / {response:.3f}, as on sharp real pictures",
            "net": f"(count - control) / {response:.3f}; control: the loop's blank twin where planted/twin has a "
            "value, else copied blanks; the interval is systematic: marks hidden as in planted/matched are lost or "
            "kept",
            "blank": "raw detections on unmarked pictures copied by the model",
            "twin": "raw detections on images of the loop's blank twin",
            "matched": "share of the response at this sharpness, from the card of the counter",
        }[part]

    def mean(self, name: str, count: np.ndarray, groups: np.ndarray | None = None) -> Measurement:
        """Return the mean count with its error over groups."""
        value, error = mean_and_error(count, groups)
        independent = len(count) if groups is None else len(np.unique(groups))
        return self.row(f"planted/{name}", value, error, df=degrees(independent), n=len(count))

    def corrected(self, count: np.ndarray, groups: np.ndarray | None) -> Measurement:
        """Return (count - false marks) / response, with the errors of all three."""
        response, false = self.counter.figures["response"], self.counter.figures["false marks"]
        mean, error = mean_and_error(count, groups)
        value = (mean - false.value) / response.value
        parts = ((error or 0.0) / response.value, false.stderr / response.value)
        total = math.hypot(*parts, value * response.stderr / response.value)
        return self.row("planted/corrected", value, None if error is None else total)

    def net(
        self, count: np.ndarray, controls: dict[str, ImageSet | None], left: float, groups: np.ndarray | None
    ) -> Measurement:
        """Return the count net of the control, with the interval that holds both readings of blur."""
        name = "blank" if controls["twin"] is None else "twin"
        control = controls[name]
        if control is None:
            why = "no control without marks: neither a blank twin of the loop nor copied blanks"
            return self.row("planted/net", missing=why)
        if why := self.counter.refusal(control.images):
            return self.row("planted/net", missing=why)
        response = self.counter.figures["response"]
        (mean, spread), (bare, own) = (
            mean_and_error(count, groups),
            mean_and_error(self._counts(control), control.groups),
        )
        value = (mean - bare) / response.value
        if spread is None or own is None:
            return self.row("planted/net", value)
        error = math.hypot(spread / response.value, own / response.value, value * response.stderr / response.value)
        half, kept = t95(None) * error, max(left, LEAST_LEFT)
        ends = value - half, value + half, (value - half) / kept, (value + half) / kept
        return self.row("planted/net", value, error, low=min(ends), high=max(ends))

    def control(self, name: str, images: ImageSet | None) -> Measurement:
        """Return the count on images without marks."""
        if images is None:
            return self.row(f"planted/{name}", n=0, missing=_NO_CONTROL[name])
        if why := self.counter.refusal(images.images):
            return self.row(f"planted/{name}", n=len(images), missing=why)
        return self.mean(name, self._counts(images), images.groups)

    def _counts(self, images: ImageSet) -> np.ndarray:
        return np.bincount(_found(images, self.counter)[:, 0].astype(int), minlength=len(images))

    def share(self, kind: int, found: np.ndarray, hidden: str) -> Measurement:
        """Return the share of the images with a symbol."""
        name = self.counter.symbols[kind]
        met, spared = self._rates(name)
        if met.value + spared.value - 1 < 0.5:
            hidden = f"the counter finds {100 * met.value:.0f} % of these symbols; at least 50 % are needed"
        if hidden:
            return self.row(f"symbols/{name}", missing=hidden)
        have = len(np.unique(found[found[:, 1] == kind, 0]))
        value, error = corrected(have, self.n, met, spared)
        low, high = corrected_limits(have, self.n, met, spared)
        return self.row(f"symbols/{name}", value, error, low=low, high=high)

    def _rates(self, name: str) -> tuple[CardValue, CardValue]:
        return self.counter.figures[f"sensitivity {name}"], self.counter.figures[f"specificity {name}"]
