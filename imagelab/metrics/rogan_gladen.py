"""The share of images that have a property, from a test that is sometimes wrong: Rogan and Gladen, with limits.

Of n images a share q tests positive. With sensitivity Se and specificity Sp, known from images that have the property
and from images that do not, the share that has it is

    p = (q + Sp - 1) / (Se + Sp - 1).                                                          (1)

A standard error says little where few images test positive: of none, the interval p +- 1.96 errors ends below a small
true share, and the property is called lost. So each of q, Se and Sp gets binomial limits of its own, and the three are
combined as distances from p, in squares (method of variance estimates recovery):

    low  = p - sqrt((p - p(q-))^2 + (p - p(Se*))^2 + (p - p(Sp-))^2),
    high = p + sqrt((p(q+) - p)^2 + (p(Se*) - p)^2 + (p(Sp+) - p)^2),                          (2)

where each term replaces one of the three by the limit of it that moves p in that direction. The binomial limits are
those of Clopper and Pearson, but count half the probability of the observed number (mid-p). Nominal 95 %, four tests
(Se .83 to .98 from 150 to 1,500 images, Sp .99 to .9998 from 2,500 to 4,000), n 500 and 1,000, n p from .5 to 300,
4,000 repeats each:

    limits of q, Se, Sp               covers          misses as "lost"  misses as "gained"
    p +- 1.96 errors                  .788 to 1.000   to .211           to .029
    Wilson                            .946 to .984    to .028           to .049
    Clopper-Pearson                   .952 to .996    to .028           to .025
    Clopper-Pearson, mid-p (used)     .943 to .984    to .032           to .033

Here "lost" is an interval that ends below the true share (experiments/instruments/share_coverage.py has the rows of the
first and the last method). Values and limits are not clipped to 0..1.

References:
    Estimating the prevalence of a disease from a screening test (Rogan, Gladen 1978),
    doi:10.1093/oxfordjournals.aje.a112510.
    The use of confidence or fiducial limits illustrated in the case of the binomial (Clopper, Pearson 1934),
    doi:10.1093/biomet/26.4.404.
    Probable inference, the law of succession, and statistical inference (Wilson 1927),
    doi:10.1080/01621459.1927.10502953.
"""

from __future__ import annotations

import math

from .freckle_calibration import CardValue

__all__ = ["binomial_limits", "corrected", "corrected_limits"]


def corrected(found: int, n: int, sensitivity: CardValue, specificity: CardValue) -> tuple[float, float]:
    """Return the share by equation (1) and its standard error (delta method; errors of q, Se and Sp).

    Args:
        found: images that test positive, 0..n.
        n: images tested, at least 1.
        sensitivity: Se with its standard error.
        specificity: Sp with its standard error.
    """
    youden = sensitivity.value + specificity.value - 1
    value = (found / n + specificity.value - 1) / youden
    likely = (found + 0.5) / (n + 1)  # an error above 0 also for 0 of n
    variance = likely * (1 - likely) / n
    variance += (value * sensitivity.stderr) ** 2 + ((1 - value) * specificity.stderr) ** 2
    return value, math.sqrt(variance) / youden


def corrected_limits(found: int, n: int, sensitivity: CardValue, specificity: CardValue) -> tuple[float, float]:
    """Return the 95 % limits of the share by equation (2).

    Args:
        found: images that test positive, 0..n.
        n: images tested, at least 1.
        sensitivity: Se and the number of images with the property that it is known from.
        specificity: Sp and the number of images without it.

    Example:
        >>> sensitivity, specificity = CardValue(0.9, 0.03, 100), CardValue(0.998, 0.0007, 4000)
        >>> [round(limit, 4) for limit in corrected_limits(3, 1000, sensitivity, specificity)]
        [-0.0021, 0.007]
    """
    share = found / n
    met, spared = sensitivity.value, specificity.value

    def p(q: float, se: float, sp: float) -> float:
        return (q + sp - 1) / (se + sp - 1)

    value = p(share, met, spared)
    ends = [p(q, met, spared) for q in binomial_limits(found, n)], [], []
    ends[1].extend(p(share, se, spared) for se in _limits(sensitivity))
    ends[2].extend(p(share, met, sp) for sp in _limits(specificity))
    low = value - math.hypot(*(value - min(value, *pair) for pair in ends))
    high = value + math.hypot(*(max(value, *pair) - value for pair in ends))
    return low, high


def _limits(figure: CardValue) -> tuple[float, float]:
    return binomial_limits(round(figure.value * figure.n), figure.n)


def binomial_limits(found: int, n: int, level: float = 0.95) -> tuple[float, float]:
    """Return the mid-p limits of a binomial share.

    The low one solves P(X > found) + P(X = found) / 2 = (1 - level) / 2, the high one the same for X < found; 0 and 1
    where none or all are found.

    Args:
        found: 0..n.
        n: at least 1.
        level: probability inside, 0 < level < 1.

    Example:
        >>> [round(float(limit), 4) for limit in binomial_limits(3, 100)]
        [0.0077, 0.0795]
    """
    from scipy.optimize import brentq
    from scipy.special import bdtr, bdtrc

    tail, end = (1 - level) / 2, found / n

    def above(p: float) -> float:
        return (bdtrc(found - 1, n, p) + bdtrc(found, n, p)) / 2 - tail

    def below(p: float) -> float:
        return ((bdtr(found - 1, n, p) if found else 0.0) + bdtr(found, n, p)) / 2 - tail

    low = 0.0 if found == 0 else float(brentq(above, 0.0, end, xtol=1e-12))  # pyright: ignore[reportArgumentType]
    high = 1.0 if found == n else float(brentq(below, end, 1.0, xtol=1e-12))  # pyright: ignore[reportArgumentType]
    return low, high
