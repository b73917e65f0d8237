"""Several chains of one run as one measurement: the mean over the chains, with the error of training beside it.

A chain is the whole loop, trained and sampled from seeds of its own; the chains of a run share data, reference and
regime. One measurement has two errors, and they answer two questions.

    Is this model different from real images?   ``stderr``: other images of this model, other real images.
    What does this loop do?                     ``between``: the standard deviation from one training to another.

``between`` is not known well from three chains alone: it has two degrees of freedom in each generation. So the
generations are taken together. With s_t^2 the variance over the R chains at generation t, and e_t the error of the
images,

    E s_t^2 / e_t^2 = a + b (t - 1)^2,   a >= .25, b >= 0.                                     (1)

a is what two trainings differ by at the first generation in units of e_t; it has a lower limit, because trainings draw
other images. b is the variance of a slope of its own that
each chain has: what a chain has lost or gained is carried on to its next models. The fit is weighted least squares,
weights 1 / (a + b (t - 1)^2)^2. Under (1) the deviations of a chain have the covariance
S_tu = a [t = u] + b (t - 1)(u - 1), the covariance of s_t^2 and s_u^2 is 2 S_tu^2 / (R - 1), and the degrees of freedom
of the fitted variance follow from its own variance (Satterthwaite). They lie between R - 1, where the slopes dominate,
and (R - 1) times the number of generations, where there are none. Pooling does not create degrees of freedom that the
chains do not have.

    error of the loop   sqrt(between^2 / R + stderr^2)                                         (2)
    repetition          value +- t sqrt(2) (2): where the figure of another run with R other trainings lies.   (3)

stderr is added in (2) although ``between`` holds the images of the models already: another run may have other real
images. So (3) is a little too wide where the seed of the data is the same.

Simulated coverage of (3), stderr = 0, nominal 95 %, 3 chains, 10 generations, 3,000 repeats (+- .004): at generations
1, 5, 10 independent errors .93 .95 .97 (with 2.36 instead of 3.08 standard deviations of width); slopes .93 .94 .93;
slopes alone .95 .94 .95; random walks .95 .92 .93; errors that grow .95 .97 .98. Five chains: .93 to .98.

A run of one chain does not know ``between``. It is then taken from a table (:func:`retraining_ratio`), which other runs
have measured with several chains, and everything that shows it says that there was one training.

References:
    An approximate distribution of estimates of variance components (Satterthwaite 1946), doi:10.2307/3002019.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from ..generators import GENERATORS
from ..measurement import Measurement, t95

__all__ = [
    "fitted_ratios",
    "is_closed_form",
    "lines_of_chains",
    "loop_error",
    "means_of_run",
    "over_chains",
    "pooled_spread",
    "possible",
    "repetition",
    "retraining_ratio",
    "retraining_table",
]

POSITIVE = ("freckles/face", "marks/image", "ratio", "images", "attributes")
"""Units of quantities that cannot be below 0."""

CORRECTED = (
    "tails/",
    "freckles/corrected",
    "freckles/net",
    "freckles/prevalence",
    "shares/",
    "planted/corrected",
    "planted/net",
    "symbols/",
)
"""Measurements that are corrected for false detections, so that their values may leave what is possible."""

LEAST = 0.25
"""Least a of equation (1)."""

OF_THE_TWIN = ("freckles/twin", "planted/twin")
"""What is counted in the blank twin: where a run has one, it is one training, and every chain has the same value."""

ROUNDS = 15
"""Reweightings of the fit; it is converged to three digits after about five."""


def lines_of_chains(experiment: Mapping[str, Any]) -> int:
    """Return the number of lines of all chains of a run; blank twins, which come after them, do not count.

    Args:
        experiment: the settings in its config.json.
    """
    return (1 + len(experiment.get("arms") or ())) * (experiment.get("replicates") or 1)


def means_of_run(experiment: Mapping[str, Any], measured: Iterable[Measurement]) -> list[Measurement]:
    """Return the measurements of a run, one for each role: see :func:`over_chains`.

    Args:
        experiment: the settings in its config.json.
        measured: every measurement of the run.
    """
    recipes = [experiment.get("generator"), *(experiment.get("arms") or ())]
    roles = len(recipes)
    if experiment.get("blank_twins") == 1:
        measured = [m for m in measured if m.name not in OF_THE_TWIN or m.line < roles]
    return over_chains(measured, roles, experiment.get("replicates", 1), [is_closed_form(each) for each in recipes])


def is_closed_form(recipe: Any) -> bool:
    """Whether a recipe of ours, as plain settings, learns nothing by steps."""
    kind = recipe.get("kind") if isinstance(recipe, Mapping) else None
    return isinstance(kind, str) and kind in GENERATORS and not GENERATORS[kind].duration_settings


def over_chains(
    measured: Iterable[Measurement], roles: int, replicates: int, closed_forms: Sequence[bool] = ()
) -> list[Measurement]:
    """Return one measurement for each role instead of one for each chain, with ``between`` filled in.

    Args:
        measured: of one run, every line; a value that was measured twice counts as the later one.
        roles: lines of one chain: the main model and its arms. Line r k + i is role i of chain k.
        replicates: chains.
        closed_forms: for each role, whether its model is a closed form: trainings of it differ by their images only.

    Returns:
        Real images and predictions as they are; for each role, name and generation the mean over the chains that have
        a value; blank twins, which come after the chains, as they are.
    """
    kept: list[Measurement] = []
    groups: dict[tuple[str, int], dict[int, list[Measurement]]] = {}
    latest = {(m.name, m.generation, m.line, m.predicted): m for m in measured}
    for m in latest.values():
        of_a_chain = m.generation > 0 and 0 <= m.line < roles * replicates
        if not of_a_chain or m.predicted:
            kept += [] if m.predicted and m.line >= roles else [m]
            continue
        groups.setdefault((m.name, m.line % roles), {}).setdefault(m.generation, []).append(m)
    for (name, role), rows in groups.items():
        closed = bool(closed_forms[role]) if role < len(closed_forms) else False
        kept += _with_spread(name, role, rows, closed)
    return kept


def _with_spread(name: str, role: int, rows: Mapping[int, list[Measurement]], closed: bool) -> list[Measurement]:
    """Return the means over the chains of one quantity of one role, generation by generation."""
    means = {t: _mean([m for m in found if m.value is not None] or found[:1], role) for t, found in rows.items()}
    values = {t: [m.value for m in found if m.value is not None] for t, found in sorted(rows.items())}
    full = [t for t, m in sorted(means.items()) if m.chains > 1 and m.value is not None]
    most = max((len(values[t]) for t in full), default=0)
    whole = [t for t in full if len(values[t]) == most]
    if whole:
        errors = np.array([means[t].stderr or 0.0 for t in whole])
        spread, df = pooled_spread(np.array([values[t] for t in whole], float).T, errors, np.array(whole))
        for t, sd, freedom in zip(whole, spread, df, strict=True):
            means[t] = replace(means[t], between=float(sd), between_df=float(freedom))
    for t, m in means.items():
        if m.between is None and m.stderr is not None and m.value is not None:
            means[t] = replace(m, between=retraining_ratio(name, t, closed) * m.stderr)
    return [means[t] for t in sorted(means)]


def _mean(rows: Sequence[Measurement], role: int) -> Measurement:
    """Return the mean of the chains; the error of the images is that of one chain, because they share the real ones."""
    first = replace(rows[0], line=role)
    if len(rows) == 1 or first.value is None:
        return first
    stderrs = [m.stderr for m in rows if m.stderr is not None]
    stderr = math.sqrt(sum(error**2 for error in stderrs) / len(stderrs)) if stderrs else None
    ends = [m.interval for m in rows if m.low is not None and m.interval is not None]
    exact = len(ends) == len(rows)
    low, high = (float(np.mean(column)) for column in zip(*ends, strict=True)) if exact else (None, None)
    value = float(np.mean([m.value for m in rows if m.value is not None]))
    return replace(first, value=value, stderr=stderr, low=low, high=high, chains=len(rows))


def pooled_spread(values: np.ndarray, errors: np.ndarray, generations: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the standard deviation from one training to another, and its degrees of freedom, by equation (1).

    Args:
        values: float [R,T], of R >= 2 chains at T generations.
        errors: float [T], the error of the images, the unit of (1). Where one of them is 0, nothing is pooled.
        generations: int [T], counted from 1.

    Returns:
        float [T] each.
    """
    chains = len(values)
    own = values.var(axis=0, ddof=1)
    if (errors <= 0).any() or not own.any():
        return np.sqrt(own), np.full(len(own), chains - 1.0)
    steps = generations - 1.0
    design, ratios = np.stack([np.ones_like(steps), steps**2], axis=1), own / errors**2
    fitted, hat = _fit(design, ratios)
    covariance = 2 * (fitted[0] * np.eye(len(steps)) + fitted[1] * np.outer(steps, steps)) ** 2 / (chains - 1)
    smooth = design @ fitted
    variance = np.einsum("ti,ij,tj->t", hat, covariance, hat)
    df = np.where(variance > 0, 2 * smooth**2 / np.maximum(variance, 1e-300), chains - 1.0)
    return errors * np.sqrt(smooth), np.clip(df, 1.0, (chains - 1.0) * len(steps))


def fitted_ratios(squared: np.ndarray, generations: np.ndarray) -> np.ndarray:
    """Return the ratios of training to images, the square root of equation (1) as fitted: float [T] -> float [T].

    Args:
        squared: float [T], variance between chains over the squared error of the images.
        generations: int [T], counted from 1.
    """
    design = np.stack([np.ones(len(generations)), (generations - 1.0) ** 2], axis=1)
    return np.sqrt(design @ _fit(design, squared)[0])


def _fit(design: np.ndarray, ratios: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the coefficients [2], none below 0, and the matrix [T,T] that gives the fitted values from the ratios."""
    from scipy.optimize import nnls

    least = np.array([LEAST, 0.0])
    fitted = np.array([max(float(ratios.mean()), LEAST), 0.0])
    for _ in range(ROUNDS):
        weights = 1 / (design @ fitted)
        fitted = least + nnls(design * weights[:, None], (ratios - LEAST) * weights)[0]
    free = fitted > least
    used = design[:, free] if free.any() else design[:, :1]
    weighted = used.T / (design @ fitted) ** 2
    return fitted, used @ np.linalg.pinv(weighted @ used) @ weighted


def loop_error(m: Measurement) -> tuple[float, float | None] | None:
    """Return the standard error of a value as a statement about the loop, equation (2), and its degrees of freedom.

    Returns:
        The error and its degrees of freedom (None for many); None where no error is known.
    """
    if m.value is None or (m.stderr is None and (m.between is None or m.chains == 1)):
        return None
    training, images = (m.between or 0.0) ** 2 / m.chains, (m.stderr or 0.0) ** 2
    parts = [(training, m.between_df), (images, m.df)]
    lost = sum(part**2 / df for part, df in parts if df is not None)
    return math.sqrt(training + images), ((training + images) ** 2 / lost if lost else None)


def repetition(m: Measurement) -> tuple[float, float] | None:
    """Return where the same figure of a second run lies with 95 % probability, equation (3).

    The second run has as many chains, other seeds of training and sampling, and may have other real images. Real images
    and predictions have no training: for them it is the interval of the images. Exact limits of the images, and those
    that hold a systematic error, stay inside it. It goes no further than what is :func:`possible`.
    """
    error = loop_error(m)
    if error is None or m.value is None:
        return None
    if m.between is None:
        ends = m.interval
        if ends is None:
            return None
    else:
        half = t95(error[1]) * math.sqrt(2.0) * error[0]
        ends = m.value - half, m.value + half
        if m.low is not None and m.high is not None:
            ends = min(ends[0], m.low), max(ends[1], m.high)
    least, most = possible(m)
    return max(ends[0], min(least, m.value)), min(ends[1], max(most, m.value))


def possible(m: Measurement) -> tuple[float, float]:
    """Return the least and the greatest value that a measurement can have, judged by its unit; infinite for no limit.

    A value that is corrected for false detections may be below 0 or above 1; it has no limit.

    Example:
        >>> possible(Measurement("prdc/recall", 0.4, "share")), possible(Measurement("tails/beard", 0.4, "share"))
        ((0.0, 1.0), (-inf, inf))
    """
    if m.name.startswith(CORRECTED):
        return -math.inf, math.inf
    if m.unit == "AUC" or m.unit.split(" ")[0] == "share":
        return 0.0, 1.0
    return (0.0 if m.unit in POSITIVE else -math.inf), math.inf


@cache
def retraining_table() -> Mapping[str, Any]:
    """Return the shipped table of retraining ratios, as ``experiments/studies/retraining.py`` wrote it.

    Keys: "origin" (runs, chains, images); "closed_form"; "trained": measurement -> ratios of generation 1, 2, ...; both
    have "other" for what is not listed.
    """
    return json.loads(Path(__file__).with_name("retraining.json").read_text(encoding="utf-8"))


def retraining_ratio(name: str, generation: int, closed_form: bool = False) -> float:
    """Return by how much trainings differ more than images drawn: the standard deviation between chains over stderr.

    Args:
        name: of the measurement.
        generation: from 1 on; beyond the table, its last one.
        closed_form: whether the model is a closed form.

    Example:
        >>> retraining_ratio("unknown", 1) >= 0.5
        True
    """
    table = retraining_table()["closed_form" if closed_form else "trained"]
    ratios = table.get(name) or table["other"]
    return float(ratios[min(max(generation, 1), len(ratios)) - 1])
