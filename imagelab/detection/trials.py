"""Every detector of a run, and every test of it: the rows of the record.

A detector is trained for each line and generation. It is tested on other images of its generation ("same"), on the
other generations of its line ("later", earlier ones included), on the same generation of the other lines ("lines") and
of a second run ("run"), and on altered images ("altered"). One more, "pooled", is trained on all lines and generations
together: the one to use on pictures of unknown generation.

Variants say what a detector reads:

    all                 features, spectrum, and where the generator copies images the error of the copies
    plain               without the error of the copies; only where there is one
    features, spectrum, reconstruction      one part alone; tested on the same generation only, and features on the
                        other generations, too
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from ..metrics.base import ImageSet
from ..seeds import rng_at
from .altered import ALTERATIONS
from .classifier import Detector, fit_detector
from .cues import FEATURES, SPECTRUM, Cues, cues_of
from .prevalence import MixedTrial, mixed_trials
from .verdicts import Verdict, judge_scores
from .workbench import Bench

__all__ = ["ALL", "PLAIN", "POOLED", "TrialRow", "Trials", "altered_generations", "run_trials", "variants"]

ALL, PLAIN, POOLED = "all", "plain", "pooled"
ALTERED = 200  # test images of each kind for every alteration
POOL = 4000  # generated images that the pooled detector is trained on, at most


@dataclass(frozen=True)
class TrialRow:
    """One test of one detector.

    Attributes:
        kind: "same", "later", "lines", "run" or "altered".
        variant: what the detector reads, or "pooled".
        line: whose images it was trained on; -1 for all.
        trained: their generation; 0 for all.
        on_line: whose images it is tested on.
        tested: their generation.
        alteration: what was done to the test images; "" for nothing.
        verdict: the figures.
    """

    kind: str
    variant: str
    line: int
    trained: int
    on_line: int
    tested: int
    alteration: str
    verdict: Verdict


@dataclass(eq=False)
class Trials:
    """All tests of a run.

    Attributes:
        rows: the tests.
        detectors: name -> detector; see :func:`detector_name`.
        scores: of the pooled detector on test images: "real" and "LINE/GENERATION" -> float64 [N].
        mixed: sets of known mixture, estimated by the pooled detector.
        reach: how far from the mean of real images the real and the generated test images are, at most; see
            :meth:`Detector.distances`.
    """

    rows: list[TrialRow] = field(default_factory=list)
    detectors: dict[str, Detector] = field(default_factory=dict)
    scores: dict[str, np.ndarray] = field(default_factory=dict)
    mixed: list[MixedTrial] = field(default_factory=list)
    reach: tuple[float, float] = (0.0, 0.0)


def detector_name(variant: str, line: int, generation: int) -> str:
    """Return the name under which a detector is saved."""
    return POOLED if variant == POOLED else f"{variant}/line-{line}/gen-{generation:03d}"


def run_trials(bench: Bench, second: Bench | None = None) -> Trials:
    """Train and test every detector of a run.

    Args:
        bench: the run.
        second: a second run, whose ``host`` is the first; its images are tested.

    Raises:
        ValueError: if the images of the two runs differ in form.
    """
    found = Trials()
    for done, where in enumerate(bench.shards):
        bench.told(f"reading generation {where[0]}, {bench.experiment.label(where[1])}", done, len(bench.shards))
        bench.made(*where)
    for line in bench.lines:
        for variant, parts in variants(bench.parts(line)).items():
            for generation in _generations(bench, line):
                _one(found, bench, second, variant, parts, line, generation)
    _pooled(found, bench, second)
    _altered(found, bench)
    return found


def variants(own: tuple[str, ...]) -> dict[str, tuple[str, ...]]:
    """Return what each variant of a line's detector reads."""
    single = {part.partition("/")[0]: (part,) for part in own}
    plain = {PLAIN: (FEATURES, SPECTRUM)} if len(own) > 2 else {}
    return {ALL: own, **plain, **single}


def _generations(bench: Bench, line: int) -> list[int]:
    return [generation for generation, each in bench.shards if each == line]


def _one(
    found: Trials,
    bench: Bench,
    second: Bench | None,
    variant: str,
    parts: tuple[str, ...],
    line: int,
    generation: int,
) -> None:
    """Train one detector and test it on all that is not altered."""
    detector = fit_detector(bench.real.training(), bench.made(generation, line).training(), parts)
    score = _Scored(detector, bench)
    add = found.rows.append
    add(TrialRow("same", variant, line, generation, line, generation, "", score.against(generation, line)))
    for other in _generations(bench, line) if variant in (ALL, PLAIN, FEATURES) else []:
        if other != generation:
            add(TrialRow("later", variant, line, generation, line, other, "", score.against(other, line)))
    if variant not in (ALL, PLAIN):
        return
    found.detectors[detector_name(variant, line, generation)] = detector
    for other in bench.lines:
        if other != line and (generation, other) in bench.shards:
            add(TrialRow("lines", variant, line, generation, other, generation, "", score.against(generation, other)))
    if second is not None:
        far = _Scored(detector, second)
        for other in second.lines:
            if (generation, other) in second.shards:
                add(TrialRow("run", variant, line, generation, other, generation, "", far.against(generation, other)))


class _Scored:
    """A detector on the test images of a bench; those of real images are scored once."""

    def __init__(self, detector: Detector, bench: Bench):
        self.detector, self.bench = detector, bench
        self.real = detector.scores(bench.real.testing())

    def of(self, generation: int, line: int) -> np.ndarray:
        return self.detector.scores(self.bench.made(generation, line).testing())

    def against(self, generation: int, line: int) -> Verdict:
        return judge_scores(self.real, self.of(generation, line), (self.bench.real.tested_groups, None))


def _pooled(found: Trials, bench: Bench, second: Bench | None) -> None:
    """Train the detector of all lines and generations, and test it on each."""
    copying = tuple(bench.copiers)[:1]
    each = max(1, POOL // len(bench.shards))
    sets = [bench.made(*where).training() for where in bench.shards]
    parts = (FEATURES, SPECTRUM, *copying)
    made = {part: np.concatenate([one[part][:each] for one in sets]) for part in parts}
    detector = fit_detector(bench.real.training(), made, parts)
    found.detectors[POOLED] = detector
    score = _Scored(detector, bench)
    found.scores["real"] = score.real
    farthest = 0.0
    for generation, line in bench.shards:
        found.scores[f"{line}/{generation}"] = score.of(generation, line)
        farthest = max(farthest, float(detector.distances(bench.made(generation, line).testing()).max()))
        verdict = score.against(generation, line)
        found.rows.append(TrialRow("same", POOLED, -1, 0, line, generation, "", verdict))
    made_scores = np.concatenate([each for name, each in found.scores.items() if name != "real"])
    rng = rng_at(bench.experiment.seed, "detector mixed sets")
    found.mixed = mixed_trials(score.real, made_scores, bench.real.tested_groups, rng)
    found.reach = float(detector.distances(bench.real.testing()).max()), farthest
    if second is not None:
        far = _Scored(detector, second)
        for generation, line in second.shards:
            verdict = far.against(generation, line)
            found.rows.append(TrialRow("run", POOLED, -1, 0, line, generation, "", verdict))


def altered_generations(generations: Sequence[int]) -> list[int]:
    """Return the first, the middle and the last of some generations: those that are also tested altered."""
    return sorted({generations[0], generations[(len(generations) - 1) // 2], generations[-1]})


def _altered(found: Trials, bench: Bench) -> None:
    """Test the detectors on altered images: first, middle and last generation."""
    shards = [
        (generation, line) for line in bench.lines for generation in altered_generations(_generations(bench, line))
    ]
    real, *made = bench.test_images(shards, ALTERED)
    groups = bench.real.tested_groups
    blocks = (None if groups is None else groups[:ALTERED], None)
    for name, alter in ALTERATIONS.items():
        bench.told(f"testing after {name}", 0, 0)
        spared = _cues(bench, alter(real))
        for (generation, line), images in zip(shards, made, strict=True):
            cues = _cues(bench, alter(images))
            for variant, detector in _tried(found.detectors, line, generation):
                verdict = judge_scores(detector.scores(spared), detector.scores(cues), blocks)
                own = (-1, 0) if variant == POOLED else (line, generation)
                found.rows.append(TrialRow("altered", variant, *own, line, generation, name, verdict))


def _cues(bench: Bench, images: np.ndarray) -> Cues:
    return cues_of(ImageSet(images), bench.copiers, bench.device)


def _tried(detectors: Mapping[str, Detector], line: int, generation: int) -> Iterator[tuple[str, Detector]]:
    for variant in (ALL, PLAIN, POOLED):
        name = detector_name(variant, line, generation)
        if name in detectors:
            yield variant, detectors[name]
