"""The share of every rare attribute over the generations, next to the range that chance alone would give.

The null model is a perfect generator: each of its images has the attribute with a probability equal to the attribute's
share in its training images. Such a generator can still lose the attribute by chance (Wright-Fisher drift,
theory.wright_fisher_bands). The band is that of the mean over as many chains as the run has, under the replace regime
with the same number of images; regimes that keep real data drift less.

Three questions have three answers:

    measurable    Is the attribute in the images of this run? The lower end of the interval of the images (not of
                  another training) is above zero.
    beyond        Has the share fallen further than chance explains? The whole interval of a repetition (other trainings
                  included) is below the band. That is strict: for several chains this interval contains their drift,
                  too. The attributes are tested one by one; a perfect generator passes below the band in at most 2.5 %
                  of the tests. A loss can be shown only where the band ends above the limit that a measured zero
                  has.
    kept          How much is left of several attributes together? The sum of min(share, share in real images) over the
                  sum of the latter, so that no gain makes up for a loss (:func:`kept_together`).

A share is what the probes (of planted symbols: the counter) detect. A gain can be an error of a probe on images unlike
those that it was measured on.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

from ..evaluation.chains import repetition
from ..evaluation.signals import ATTRIBUTES, RARE
from ..measurement import Measurement
from ..theory import wright_fisher_bands
from .attribute_names import attribute_words
from .curves import Curve
from .kept_shares import KeptShares, kept_together
from .run_view import Run, plain
from .small_multiples import small_multiples

__all__ = ["AttributeTrend", "Survival", "presence", "rare_remark", "survival"]

NONE_OF_N = 3.0
"""Where none of n images has an attribute, the 95 % limit of its share is about this over n."""

MISSED = 0.025
"""Share of perfect generators that end below a 95 % band, at most."""


@dataclass(frozen=True)
class AttributeTrend:
    """The change of one attribute.

    Attributes:
        name: its name for readers.
        real: its share among real images.
        last: its share in the last generation.
        drift: the lowest and the highest share that chance alone would leave in the last generation (95 %).
        beyond: "lost" or "gained" if the interval of the last share is outside ``drift``, else "".
        extinct: the first generation from which on its share is never distinguishable from zero; None if it is
            distinguishable in the last generation.
    """

    name: str
    real: Measurement
    last: Measurement
    drift: tuple[float, float]
    beyond: str
    extinct: int | None

    @property
    def measured(self) -> bool:
        """Whether its share in real images is distinguishable from zero."""
        return _measurable(self.real)

    @property
    def testable(self) -> bool:
        """Whether a loss beyond chance could be shown: chance alone would leave more than the limit of none of n."""
        return self.drift[0] > NONE_OF_N / max(self.last.n_fake, 1)

    @property
    def words(self) -> str:
        """The result as text."""
        cause = {
            "lost": "lower than chance explains",
            "gained": "higher than chance explains",
            "": "within chance" if self.testable else "chance alone could remove it",
        }[self.beyond]
        if not self.measured:
            return "indistinguishable from zero in real images, too"
        if self.extinct is None:
            return cause
        return f"indistinguishable from zero from generation {self.extinct} on, {cause}"


@dataclass(frozen=True)
class Survival:
    """The data of the section about rare attributes.

    Attributes:
        fates: the change of each rare attribute.
        rare: what the rare attributes keep together.
        common: the same of the common attributes; None if there are none.
        halved: names of the common attributes that have less than half of their share in real images.
        gained: attributes whose share is above that of real images by more than its interval, as text.
        n: images per generation.
        generation: the last generation that was measured.
        limits: where the probes reach their limits in this run, as text; "" for nowhere.
        curve: the small plots.
        planted: whether the attributes are planted symbols, which a counter detects, and not a probe each.
    """

    fates: tuple[AttributeTrend, ...]
    rare: KeptShares
    common: KeptShares | None
    halved: tuple[str, ...]
    gained: tuple[str, ...]
    n: int
    generation: int
    limits: str
    curve: Curve
    planted: bool = False

    @property
    def detector(self) -> str:
        """What detects the attributes."""
        return "counter" if self.planted else "probes"

    @property
    def instrument(self) -> str:
        """The same, as a possessive."""
        return "counter’s" if self.planted else "probes’"

    @cached_property
    def sentence(self) -> str:
        """How many rare attributes are gone, and how many of the losses chance does not explain, as text."""
        seen = [fate for fate in self.fates if fate.measured]
        gone = sum(fate.extinct is not None for fate in seen)
        doubtful = sum((repetition(fate.last) or (1.0,))[0] <= 0 for fate in seen)
        could = [fate for fate in self.fates if fate.testable]
        lost = sum(fate.beyond == "lost" for fate in could)
        text = (
            f"Rare attributes are those that fewer than {100 * RARE:g} % of real images have. Of "
            f"{_count(len(self.fates), 'rare attribute')}, {len(seen) or 'none'} can be distinguished from zero in "
            f"real images; {gone or 'none'} of these cannot be in generation {self.generation} (95 %, for other images "
            f"of the same models; the intervals in the figures hold other trainings, too, and {doubtful or 'none'} of "
            f"them {'contains' if doubtful == 1 else 'contain'} zero). A rare attribute can disappear by chance: "
        )
        if not could:
            return text + "alone, it could remove each of them, so no loss can be attributed to the model."
        return text + (
            f"alone, it would leave {len(could)} of the {len(self.fates)} at a share that can be measured (95 %), so "
            f"that a loss can be shown. Tested one by one, {lost or 'none'} of these fell further than chance explains "
            f"(by chance, {MISSED * len(could):.1g} or fewer would)."
        )

    @cached_property
    def paragraphs(self) -> tuple[str, ...]:
        """The whole text of the section."""
        rare = f"rare attributes together keep {self.rare.words} of their share in real images; {self.rare.by_chance}"
        text = f"A gain of one attribute does not make up for the loss of another: {rare}."
        if self.common is not None:
            text += f" Common attributes keep {self.common.words}; {self.common.by_chance}. "
            text += f"{_some(self.halved)} of {_count(self.common.count, 'common attribute')}"
            text += f" {'has' if len(self.halved) == 1 else 'have'} less than half of the share in real images"
            text += f": {', '.join(self.halved)}." if self.halved else "."
        if self.gained:
            text += (
                f" More often than in real images the {self.detector} detect{'s' * self.planted}: "
                f"{'; '.join(self.gained)}. "
                f"A gain can be an error of {'the counter' if self.planted else 'a probe'} on such images; it counts "
                "as kept."
            )
        return tuple(filter(None, (self.sentence, text, self.limits)))


def presence(run: Run, name: str, line: int = 0) -> str:
    """Return in which generations the share of an attribute can be told from zero, in a few words.

    Args:
        run: the run.
        name: of the measurement, such as "tails/scar".
        line: which model.

    Returns:
        For example "not measurable from gen. 4 on"; "" where the run has not measured it.
    """
    real, series = run.real(name), run.series(name, line)
    if real is None or not series:
        return ""
    if not _measurable(real):
        return "not measurable even in real images"
    gone = _extinct(series)
    return f"measurable in gen. {series[-1].generation}" if gone is None else f"not measurable from gen. {gone} on"


def survival(run: Run, line: int = 0) -> Survival | None:
    """Return the changes of the rare attributes of a run; None if none was measured in any generation."""
    generation, names, rare = _measured(run, line)
    if not rare:
        return None
    last = run.at(rare[0], generation, line)
    assert last is not None
    n, chains = max(last.n_fake, 2), last.chains
    bands = {name: wright_fisher_bands(_start(run, name), n, generation, chains=chains) for name in rare}
    fates = tuple(_fate(run, name, line, bands[name][-1]) for name in rare)
    common = [name for name in names if _value(run.real(name)) >= RARE]
    halved = [name for name in common if 2 * _value(run.at(name, generation, line)) < _start(run, name)]
    return Survival(
        fates=fates,
        rare=_kept(run, rare, line, generation),
        common=_kept(run, common, line, generation) if common else None,
        halved=tuple(plain(attribute_words(name), 60) for name in halved),
        gained=_gained(run, names, line, generation),
        n=last.n_fake,
        generation=generation,
        limits=_limits(run, rare, line, generation),
        curve=small_multiples(run, line, bands),
        planted=rare[0].startswith("symbols/"),
    )


def rare_remark(run: Run) -> str:
    """Return what the rare attributes keep in the last generation, if that is less than chance would leave; else ""."""
    generation, _, rare = _measured(run, 0)
    if not rare or generation < run.last:
        return ""
    kept = _kept(run, rare, 0, generation)
    if kept.high >= kept.chance[0]:
        return ""
    return f"Rare attributes together keep {kept.words} of their share in real images; {kept.by_chance}."


def _measured(run: Run, line: int) -> tuple[int, list[str], list[str]]:
    """Return the last generation in which rare attributes were measured, what was measured in it, and the rare ones."""
    names = [name for name in run.names if name.startswith(ATTRIBUTES) and run.real(name) and run.series(name, line)]
    rare = [name for name in names if 0 < _value(run.real(name)) < RARE]
    generation = max((run.series(name, line)[-1].generation for name in rare), default=0)
    names = [name for name in names if run.at(name, generation, line)]
    return generation, names, sorted((name for name in names if name in rare), key=lambda name: -_value(run.real(name)))


def _value(m: Measurement | None) -> float:
    return (m.value or 0.0) if m is not None else 0.0


def _start(run: Run, name: str) -> float:
    """Return the share among the real training images: the known one, or the measured one where it is not known."""
    return _value(run.real(f"truth/{name.partition('/')[2]}") or run.real(name))


def _measurable(m: Measurement) -> bool:
    """Whether the interval of the images lies above zero; where no error is known, whether the value does."""
    ends = m.interval
    return (_value(m) if ends is None else ends[0]) > 0


def _extinct(series: Sequence[Measurement]) -> int | None:
    """Return the first generation from which on nothing is measurable; None if the last one still is."""
    gone = None
    for m in reversed(series):
        if _measurable(m):
            break
        gone = m.generation
    return gone


def _fate(run: Run, name: str, line: int, band: Sequence[float]) -> AttributeTrend:
    real, series = run.real(name), run.series(name, line)
    assert real is not None
    last = series[-1]
    low, high = repetition(last) or (_value(last), _value(last))
    beyond = "lost" if high < band[0] else "gained" if low > band[1] else ""
    drift = float(band[0]), float(band[1])
    return AttributeTrend(plain(attribute_words(name), 60), real, last, drift, beyond, _extinct(series))


def _kept(run: Run, names: Sequence[str], line: int, generation: int) -> KeptShares:
    made = [m for name in names if (m := run.at(name, generation, line)) is not None]
    real = [m for name in names if (m := run.real(name)) is not None]
    known = [run.real(f"truth/{name.partition('/')[2]}") for name in names]
    return kept_together(made, real, [None if m is None else _value(m) for m in known], generation)


def _gained(run: Run, names: Sequence[str], line: int, generation: int) -> tuple[str, ...]:
    """Return the attributes whose whole interval lies above their share in real images, with the two shares."""
    found = []
    for name in names:
        m, start = run.at(name, generation, line), _start(run, name)
        ends = repetition(m) if m else None
        if m is not None and ends is not None and ends[0] > start:
            found.append(f"{attribute_words(name)} ({100 * _value(m):.0f} % instead of {100 * start:.0f} %)")
    return tuple(plain(each, 90) for each in found)


def _limits(run: Run, rare: Sequence[str], line: int, generation: int) -> str:
    """Return where the probes reach their limits, from what the run has measured; "" for nowhere.

    Two measurements tell it: shares that are missing because the images lie outside the calibration, and precision, the
    share of images that lie among real ones.
    """
    text = ""
    missing = [m for m in run.each if m.name in rare and m.value is None and m.line == line and m.generation > 0]
    later = [m for m in missing if m.generation > generation]
    if later:
        text = (
            f"From generation {min(m.generation for m in later)} on there is no share: {plain(later[0].missing, 200)}. "
        )
    real, made = run.real("prdc/precision"), run.at("prdc/precision", generation, line)
    ends = [None if m is None else repetition(m) for m in (real, made)]
    if real is None or made is None or ends[0] is None or ends[1] is None or ends[1][1] >= ends[0][0]:
        return text.strip()
    text += (
        f"In generation {generation}, {100 * _value(made):.0f} % of the images lie among real ones (precision; real "
        f"images: {100 * _value(real):.0f} %). "
    )
    if rare[0].startswith("symbols/"):
        return text + (
            "The error rates of the counter were measured on real pictures; on the other images they are not known. A "
            "symbol that has faded until the counter does not detect it counts as absent."
        )
    return text + (
        "The error rates of the probes were measured on rendered faces, sharp "
        "and spoilt; on the other images they are not known. An attribute that has faded until its probe does not "
        "detect it, such as a trace of glasses, counts as absent."
    )


def _count(number_of: int, what: str) -> str:
    return f"{number_of} {what}" if number_of == 1 else f"{number_of} {what}s"


def _some(names: Sequence[str]) -> str:
    return str(len(names)) if names else "None"
