"""A detector read back from a run and applied to other pictures: one picture, or a whole set of unknown mixture.

It knows the images of its run only: pictures of that size, of that kind, not altered. Pictures farther from the real
images of the run than all of its test images are not judged at all: those that count as generated are compared with
the generated test images, the others with the real ones.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from ..io.untrusted import parsing, quoted, shown
from ..metrics.base import ImageSet
from ..metrics.features import PRIMARY, SPACES
from ..run_folder import RunFolder
from .classifier import Detector
from .cues import RECONSTRUCTION, Copier, Cues, cues_of
from .prevalence import GeneratedShare, generated_share
from .record import DetectionRecord, load_detector, load_scores
from .trials import POOLED
from .verdicts import Rate, share_of
from .workbench import copier_of, experiment_of

__all__ = ["MixedSet", "SavedDetector", "ScoredPicture"]


@dataclass(frozen=True)
class ScoredPicture:
    """What the detector says of one picture.

    Attributes:
        score: log-odds of being generated, both kinds equally frequent.
        real_as_high: share of held-out real images that score as high or higher.
        made_as_low: share of generated test images that score as low or lower.
        made_as_high: share of generated test images that score as high or higher.
        tested: number of generated test images.
        known: False where the picture is unlike all test images; then nothing is estimated.
        distance: from the mean of real images, in their standard deviations.
        reach: the largest distance among the test images that it counts with, generated or real.
    """

    score: float
    real_as_high: Rate
    made_as_low: Rate
    made_as_high: Rate
    tested: int
    known: bool
    distance: float
    reach: float


@dataclass(frozen=True)
class MixedSet:
    """What the detector says of a set.

    Attributes:
        share: of generated images, if they are of all lines and generations alike.
        by_origin: the same if all generated ones were of one (line, generation).
        unlike: how many pictures are unlike all test images; they are left out of the rest.
        sensitivity: of the detector over all lines and generations.
        specificity: of the detector.
    """

    share: GeneratedShare
    by_origin: Mapping[tuple[int, int], GeneratedShare]
    unlike: int
    sensitivity: Rate
    specificity: Rate


@dataclass(eq=False)
class SavedDetector:
    """The pooled detector of a run."""

    run: RunFolder
    record: DetectionRecord
    detector: Detector
    copiers: Mapping[str, Copier]

    @classmethod
    def open(cls, run: RunFolder, device: str = "cpu") -> SavedDetector | None:
        """Return the detector of a run; None where `imagelab detect` has written none.

        Raises:
            ValueError: if the record or a file of it is not what was written, or the run has changed since.
        """
        record = DetectionRecord.read(run)
        if record is None:
            return None
        if record.space != SPACES[PRIMARY].label:
            raise ValueError(
                f"{shown(run.path)}: its detector reads features of {quoted(record.space, 60)}, this imagelab has "
                f"{SPACES[PRIMARY].label}. Make it again: imagelab detect {shown(run.path)}"
            )
        detector = load_detector(run, record, POOLED)
        copiers, experiment = {}, experiment_of(run)
        for part in detector.parts:
            kind, _, line = part.partition("/")
            if kind != RECONSTRUCTION:
                continue
            if not line.isdigit() or int(line) >= len(experiment.lines):
                raise ValueError(f"{shown(run.path)}: its detector reads {quoted(part, 40)}, which is no line of it")
            with parsing(run.shard_path(1, int(line)) / "model", "a model that copies images"):
                copier = copier_of(run, experiment, int(line), device)
                if copier is None:
                    raise ValueError("it is not there, or its kind cannot copy")
            copiers[part] = copier
        return cls(run, record, detector, copiers)

    def fits(self, pixels: np.ndarray) -> bool:
        """Whether a picture, uint8 [C,H,W], has the form of the run's images; grey may have three equal channels."""
        return self._formed(pixels) is not None

    def _formed(self, pixels: np.ndarray) -> np.ndarray | None:
        shape = tuple(self.record.shape)
        grey = len(pixels) == 3 and shape[0] == 1 and (pixels == pixels[:1]).all()
        found = pixels[:1] if grey else pixels
        return found if found.shape == shape else None

    @cached_property
    def _tests(self) -> tuple[np.ndarray, dict[tuple[int, int], np.ndarray], np.ndarray]:
        return load_scores(self.run, self.record)

    def cues(self, images: np.ndarray) -> Cues:
        """Return the cues of images, uint8 [N,C,H,W]."""
        return cues_of(ImageSet(images), self.copiers)

    def scores(self, images: np.ndarray) -> np.ndarray:
        """Return the log-odds of being generated, float64 [N], of images, uint8 [N,C,H,W]."""
        return self.detector.scores(self.cues(images))

    def estimate(self, pixels: np.ndarray) -> ScoredPicture:
        """Return what the detector says of one picture, uint8 [C,H,W].

        Raises:
            ValueError: if it has another form than the images of the run.
        """
        formed = self._formed(pixels)
        if formed is None:
            raise ValueError(f"expected a picture of {list(self.record.shape)}, got {list(pixels.shape)}")
        cues = self.cues(np.array(formed)[None])
        score, distance = float(self.detector.scores(cues)[0]), float(self.detector.distances(cues)[0])
        real, by_origin, reach = self._tests
        made = np.concatenate(list(by_origin.values()))
        return ScoredPicture(
            score=score,
            real_as_high=share_of(real >= score, self.record.independent),
            made_as_low=share_of(made <= score),
            made_as_high=share_of(made >= score),
            tested=len(made),
            known=distance <= reach[int(score > 0)],
            distance=distance,
            reach=float(reach[int(score > 0)]),
        )

    def mixture(self, images: np.ndarray) -> MixedSet:
        """Return how many images of a set, uint8 [N,C,H,W], are generated.

        Raises:
            ValueError: if all of them are unlike the images that the detector knows.
        """
        cues = self.cues(images)
        real, by_origin, reach = self._tests
        generated = self.detector.scores(cues) > 0
        alike = self.detector.distances(cues) <= reach[generated.astype(int)]
        n = int(alike.sum())
        if not n:
            raise ValueError(
                f"all {len(images)} pictures are unlike every image that the detector of {shown(self.run.path.name)} "
                "was tested on; it says nothing about them"
            )
        called, independent = int(generated[alike].sum()), self.record.independent
        made, spared = np.concatenate(list(by_origin.values())), share_of(real <= 0, independent)
        found = share_of(made > 0)
        shares = {
            origin: generated_share(called, n, share_of(each > 0), spared, (len(each), independent))
            for origin, each in by_origin.items()
        }
        whole = generated_share(called, n, found, spared, (len(made), independent))
        return MixedSet(whole, shares, len(images) - n, found, spared)
