"""All attributes together: is any group of people lost, which is lost most, and how unequal are the losses?

``tails`` measures each attribute by itself. A distance between whole images hardly changes if a group is lost, and
among 24 attributes one looks lost by chance. Here the probes (attribute_probes.py) are applied to the reference, too,
and the two sets are compared by what the probes say, so that an error of a probe is the same on both sides.

    shares/distance     squared Mahalanobis distance between the mean vectors of all attributes (Hotelling's T^2 divided
                        by its sample size), minus its expectation for equal distributions; 0 for equal ones
    shares/p            p value of that test by permutation: of all random divisions of the two sets, the share with a
                        distance at least as large
    shares/lost         how many attributes are significantly rarer than among the reference images: Fisher's exact
                        test of each, one-sided, corrected for their number by Holm's method, level 5 %
    shares/worst        the smallest share kept, min over attributes of p(generated) / p(reference), each corrected for
                        false positives; of those that at least 50 reference images are called to have
    shares/disparity    Gini coefficient of the shares kept by the same attributes: 0 if all lose or keep alike

The minimum and the Gini coefficient of real against real are not 1 and 0: chance makes them unequal, so compare them
with their floor. (Faces draws every attribute at its exact rate, so two sets of them differ less than chance allows:
the p value of real against real is large.) It does not see attributes without a probe. Trust it from about 1,000 faces
on.

References:
    The generalization of Student's ratio (Hotelling 1931), doi:10.1214/aoms/1177732979.
    A simple sequentially rejective multiple test procedure (Holm 1979), Scand. J. Statist. 6, 65-70.
    Estimating the prevalence of a disease from a screening test (Rogan, Gladen 1978),
        doi:10.1093/oxfordjournals.aje.a112510.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np

from ..measurement import Measurement
from ..seeds import rng_at
from .base import Evidence, Metric, NotMeasurable, Quantity
from .jackknife import group_labels, spread

__all__ = ["ROW", "gini", "kept_shares", "lost_attributes", "permutation_p", "share_distance", "shares"]

CITE = "doi:10.1214/aoms/1177732979"
LEVEL = 0.05  # of all tests together
COMMON = 50  # reference images that must have an attribute for its kept share: a relative error of some 20 %
PERMUTATIONS = 999
RIDGE = 1e-9  # added to the covariance: attributes that no image has do not vary


def share_distance(real: np.ndarray, fake: np.ndarray) -> float:
    """Return the squared Mahalanobis distance of the mean vectors without its bias: 0 in expectation for equal ones.

    Args:
        real: float or bool [N,K], N >= 2.
        fake: float or bool [M,K], M >= 2.
    """
    real, fake = np.asarray(real, np.float64), np.asarray(fake, np.float64)
    n, m = len(real), len(fake)
    gap, inverse, rank = fake.mean(axis=0) - real.mean(axis=0), *_inverse(real, fake)
    # E[d' S^-1 d] = K (1/n + 1/m) v / (v - K - 1) for normal vectors, S with v = n + m - 2 degrees of freedom
    v = n + m - 2
    bias = rank * (1.0 / n + 1.0 / m) * (v / (v - rank - 1) if v > rank + 1 else 1.0)
    return float(gap @ inverse @ gap - bias)


def _inverse(real: np.ndarray, fake: np.ndarray) -> tuple[np.ndarray, int]:
    """Return the inverse of the pooled covariance within the sets, and its rank; directions without variance give 0."""
    within = sum((each - each.mean(axis=0)).T @ (each - each.mean(axis=0)) for each in (real, fake))
    values, directions = np.linalg.eigh(within / (len(real) + len(fake) - 2))
    kept = values > RIDGE
    return (directions[:, kept] / values[kept]) @ directions[:, kept].T, int(kept.sum())


def permutation_p(real: np.ndarray, fake: np.ndarray, seed: int, permutations: int = PERMUTATIONS) -> float:
    """Return the p value of equal mean vectors: exact for any distribution, 1/(permutations + 1) at the least.

    The covariance is that of both sets together, the same for all divisions, so only means are computed anew.

    Args:
        real: float or bool [N,K].
        fake: float or bool [M,K].
        seed: seed of the permutations.
        permutations: their number.
    """
    both, n = np.concatenate([real, fake]).astype(np.float64), len(real)
    centred = both - both.mean(axis=0)
    values, directions = np.linalg.eigh(centred.T @ centred / (len(both) - 1))
    kept = values > RIDGE
    whitened = centred @ (directions[:, kept] / np.sqrt(values[kept]))
    rng = rng_at(seed, "shares/permutations")
    chosen = np.zeros((permutations + 1, len(both)))
    chosen[0, n:] = 1.0
    for row in chosen[1:]:
        row[rng.permutation(len(both))[: len(fake)]] = 1.0
    # both means follow from one sum, because the whole sum is 0: the statistic grows with the length of that sum
    lengths = np.sum((chosen @ whitened) ** 2, axis=1)
    return float(np.mean(lengths >= lengths[0] * (1 - 1e-9)))


def lost_attributes(real: np.ndarray, fake: np.ndarray, level: float = LEVEL) -> np.ndarray:
    """Return which attributes are rarer in the second set, by Fisher's exact test with Holm's correction: bool [K].

    Args:
        real: bool [N,K].
        fake: bool [M,K].
        level: probability that any attribute is named where none was lost.
    """
    from scipy.stats import hypergeom

    have = real.sum(axis=0) + fake.sum(axis=0)
    p = hypergeom.cdf(fake.sum(axis=0), len(real) + len(fake), have, len(fake))
    order, lost = np.argsort(p), np.zeros(len(p), bool)
    for rank, column in enumerate(order):
        if p[column] > level / (len(p) - rank):
            break
        lost[column] = True
    return lost


def kept_shares(real: np.ndarray, fake: np.ndarray, specificity: np.ndarray) -> np.ndarray:
    """Return the share of each attribute that is kept: float64 [K], 1 for all.

    (q' + Sp - 1) / (q + Sp - 1), with q the shares that are called positive; the sensitivity cancels. A negative share,
    which chance makes of 0, is 0.

    Args:
        real: bool [N,K], whose every corrected share is above 0.
        fake: bool [M,K].
        specificity: of the probes, float [K].
    """
    before, after = (each.mean(axis=0) + specificity - 1.0 for each in (real, fake))
    return np.maximum(after, 0.0) / before


def gini(values: np.ndarray) -> float:
    """Return the Gini coefficient of values >= 0: 0 if all are equal, (K - 1) / K if one has all; 0 if all are 0.

    Example:
        >>> gini(np.array([1.0, 1.0, 1.0])), round(gini(np.array([0.0, 0.0, 1.0])), 3)
        (0.0, 0.667)
    """
    total = values.sum()
    return float(np.abs(values[:, None] - values).sum() / (2 * len(values) * total)) if total > 0 else 0.0


def shares(evidence: Evidence) -> list[Measurement]:
    """Return ``shares/distance``, ``shares/p``, ``shares/lost``, ``shares/worst`` and ``shares/disparity``.

    Raises:
        NotMeasurable: for images that the probes cannot read, or fewer than two a set.
    """
    from .attribute_probes import calls_of, probed_sizes, shipped_probes

    for each in (evidence.real, evidence.fake):
        _, channels, height, width = each.images.shape
        if channels != 3 or height != width or width not in probed_sizes():
            sizes = " or ".join(map(str, probed_sizes()))
            raise NotMeasurable(
                f"attributes are probed on RGB faces of {sizes} px, not on {channels} x {height} x {width}"
            )
    if min(len(evidence.real), len(evidence.fake)) < 4:
        raise NotMeasurable("needs at least 4 images in each set")
    probes = shipped_probes(evidence.fake.images.shape[-1])
    real, fake = calls_of(evidence.real, evidence.device), calls_of(evidence.fake, evidence.device)
    of_real, of_fake = group_labels(len(real), len(fake), evidence.seed, blocks=evidence.blocks)
    parts = [(real[of_real != j], fake[of_fake != j]) for j in range(int(of_real.max()) + 1)]
    form = Measurement(
        "shares",
        0.0,
        n_real=len(real),
        n_fake=len(fake),
        estimator=f"probes-{probes.size}@{probes.digest[:8]}: ",
        seed=evidence.seed,
    )
    specificity = np.array([probe.specificity.value for probe in probes.usable])
    return [*_joint(form, real, fake, parts), *_unequal(form, real, fake, parts, specificity)]


Parts = Sequence[tuple[np.ndarray, np.ndarray]]
"""Both sets without each group of images in turn."""


def _joint(form: Measurement, real: np.ndarray, fake: np.ndarray, parts: Parts) -> list[Measurement]:
    """The tests of all attributes together, and of each with correction for their number."""
    left = np.array([share_distance(*part) for part in parts])
    lost = float(lost_attributes(real, fake).sum())
    return [
        replace(
            form,
            name="shares/distance",
            value=share_distance(real, fake),
            stderr=float(spread(left)) or None,
            df=len(parts) - 1,
            estimator=f"{form.estimator}Hotelling, without its bias",
        ),
        replace(
            form,
            name="shares/p",
            value=permutation_p(real, fake, form.seed or 0),
            better="none",
            estimator=f"{form.estimator}Hotelling, {PERMUTATIONS} permutations",
        ),
        replace(
            form,
            name="shares/lost",
            value=lost,
            unit="attributes",
            estimator=f"{form.estimator}Fisher, Holm, level {LEVEL:g}, {real.shape[1]} attributes",
        ),
    ]


def _unequal(
    form: Measurement, real: np.ndarray, fake: np.ndarray, parts: Parts, specificity: np.ndarray
) -> list[Measurement]:
    """The smallest of the shares kept, and how unequal they are."""
    common = real.sum(axis=0) >= COMMON
    names: dict[str, Callable[[np.ndarray], float]] = {"worst": lambda kept: float(kept.min()), "disparity": gini}
    form = replace(form, estimator=f"{form.estimator}attributes of at least {COMMON} reference images, Rogan-Gladen")
    if common.sum() < 2:
        why = f"fewer than two attributes are called on at least {COMMON} reference images"
        return [replace(form, name=f"shares/{name}", value=None, missing=why) for name in names]
    kept = [kept_shares(a[:, common], b[:, common], specificity[common]) for a, b in [(real, fake), *parts]]
    rows = []
    for name, of in names.items():
        whole, *left = map(of, kept)
        error = float(spread(np.array(left))) or None
        rows.append(replace(form, name=f"shares/{name}", value=whole, stderr=error, df=len(parts) - 1))
    return rows


ROW = Metric(
    shares,
    title="All attributes together",
    unit="",
    what="Whether the made faces have all attributes as often as real ones do: a joint test, the group that lost most, "
    "and how unequal the losses are.",
    blind="Attributes without a probe; of real against real the worst share is below 1, so read it by its floor.",
    better="lower",
    least=1000,
    cite=CITE,
    but={
        "shares/p": Quantity(better="none"),
        "shares/lost": Quantity("attributes"),
        "shares/worst": Quantity("share", "higher"),
        "shares/disparity": Quantity("Gini coefficient"),
    },
    suits="faces",
)
