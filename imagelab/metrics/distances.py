"""The measurements of a distance between two sets: what all distances have in common, and the bias-corrected value.

Fréchet, sliced Wasserstein and kernel distance differ only in their formulas. This file has what they share: lower is
better; the feature space may be standardised; the value is missing where no features can be compared; and a second
measurement gives the value without its 1/n bias.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np

from ..measurement import Measurement
from .base import Evidence, NotMeasurable
from .features import SPACES, feature_pair
from .jackknife import Jackknifed

__all__ = ["distance_form", "jackknifed_rows", "training_features"]


def distance_form(evidence: Evidence, space: str, name: str, estimator: str, cite: str) -> Measurement:
    """Return a measurement of a distance without its value: direction, n, estimator, space, resize, source."""
    chosen = SPACES[space]
    return Measurement(
        name,
        0.0,
        n_real=len(evidence.real),
        n_fake=len(evidence.fake),
        better="lower",
        estimator=estimator + (", standardised by the reference" if chosen.standardise else ""),
        feature_space=chosen.label,
        resize=chosen.resize,
        cite=cite,
    )


def jackknifed_rows(
    evidence: Evidence, space: str, form: Measurement, measured: Callable[[np.ndarray, np.ndarray], Jackknifed]
) -> list[Measurement]:
    """Return the plain distance under the form's name, and the value without its bias under its ``_corrected`` name.

    Args:
        evidence: the images.
        space: the feature space.
        form: from :func:`distance_form`.
        measured: (features of the reference [N,D], of the generated images [M,D]) -> value, error, corrected value.
    """
    plain = replace(form, seed=evidence.seed)
    stem, slash, tail = form.name.partition("/")
    corrected = replace(plain, name=f"{stem}_corrected{slash}{tail}", estimator=f"{plain.estimator}, jackknifed")
    try:
        result = measured(*feature_pair(evidence, space))
    except NotMeasurable as error:
        return [replace(each, value=None, missing=str(error)) for each in (plain, corrected)]
    plain = replace(plain, value=result.value, stderr=result.stderr, df=result.df)
    if result.corrected is None:
        return [plain, replace(corrected, value=None, missing="needs at least 3 images in each set")]
    return [plain, replace(corrected, value=result.corrected, stderr=result.stderr, df=result.df)]


def training_features(evidence: Evidence, space: str) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return the features of held-out, generated and training images, all standardised by the held-out ones.

    Raises:
        NotMeasurable: where the evidence has no training set, or sets without features to compare.
    """
    if evidence.train is None:
        raise NotMeasurable("the images that the model was trained on were not handed over")
    heldout, fake = feature_pair(evidence, space)
    _, train = feature_pair(replace(evidence, fake=evidence.train), space)
    return heldout, fake, train
