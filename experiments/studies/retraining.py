"""How much more do trainings differ than images drawn? Writes the table that widens the intervals of a single training.

Question:   by how much is the standard deviation of a figure from one training to another larger than its standard
            error over the images, for each measurement and generation?
Command:    python experiments/studies/retraining.py RUN [RUN ...] [--output imagelab/evaluation/retraining.json]
            The runs need two chains or more (--replicates), the same data and sizes.
Hardware:   seconds; it reads measurements only.
Expected:   ratios near 1 at generation 1, and 2 to 3 at generation 5 for what a trained model loses.
Refuted by: ratios that do not grow: then one training tells what the loop does.

For each measurement of the main model the squared ratio, chain variance over squared error, is averaged over the runs
and fitted by a + b (t - 1)^2 (evaluation/chains.py). Few chains know a variance badly: each fitted value is averaged
with the median over all measurements, weights d and 4, where d is the degrees of freedom of the runs. "other" is the
upper quartile. Arms that are closed forms give "closed_form", the same quartile of theirs.

Seen 2026-11-30, photocopy, seeds 0, 1 and 2, three chains of 1,000 images each (so with six degrees of freedom for
each measurement), ratio at generations 1, 5 and 10: upper quartile 1.4, 2.0, 3.4; closed form 1.2, 1.5, 2.3; freckles
found 1.8, 2.2, 3.3; corrected 1.7, 1.8, 2.2; their spread 1.4, 1.5, 2.0. With the former model of photocopy
(2026-11-29): 1.2, 1.9, 3.4; 1.2, 1.5, 2.3; 1.3, 1.7, 2.8; 1.0, 1.4, 2.4.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import numpy as np
from repetitions import LEFT_OUT

from imagelab.evaluation.chains import fitted_ratios, is_closed_form
from imagelab.run_folder import RunFolder

PRIOR = 4
"""Degrees of freedom that the median of all measurements counts for."""

Ratios = dict[str, dict[int, list[float]]]
"""Squared ratios by measurement and generation, one of each run and role."""


def squared_ratios(path: Path) -> tuple[Ratios, Ratios, str, int]:
    """Return the squared ratios of a run (of trained models, of closed forms), its words, its degrees of freedom."""
    folder = RunFolder.open(path)
    experiment: dict[str, Any] = folder.config["experiment"]
    recipes, chains = [experiment["generator"], *experiment["arms"]], experiment.get("replicates", 1)
    if chains < 2:
        raise ValueError(f"{path}: expected a run of two chains or more, got {chains}. Make it with --replicates 3.")
    found: tuple[Ratios, Ratios] = ({}, {})
    rows: dict[tuple[str, int, int], list[tuple[float, float]]] = {}
    for m in folder.measurements():
        of_a_chain = m.generation > 0 and 0 <= m.line < chains * len(recipes)
        if of_a_chain and not m.predicted and m.value is not None and m.stderr:
            rows.setdefault((m.name, m.line % len(recipes), m.generation), []).append((m.value, m.stderr))
    for (name, role, generation), pairs in rows.items():
        if len(pairs) == chains and name.partition("/")[0] not in LEFT_OUT:
            values, errors = np.array(pairs).T
            if np.ptp(values) == 0:  # shared by the chains, such as what is counted in the blank twin
                continue
            ratio = float(values.var(ddof=1) / np.mean(errors**2))
            kept = found[1] if is_closed_form(recipes[role]) else found[0]
            kept.setdefault(name, {}).setdefault(generation, []).append(ratio)
    sizes = f"{chains} chains, {experiment['images']} images, {experiment['generations']} generations"
    return *found, f"{experiment['name']}, {sizes}, seed {experiment['seed']}", chains - 1


def table(parts: list[Ratios], freedom: int) -> dict[str, list[float]]:
    """Return measurement -> ratio at generations 1, 2, ..., and "other" for those that are not listed.

    Args:
        parts: squared ratios of each run.
        freedom: degrees of freedom of all runs together.
    """
    ratios: dict[str, np.ndarray] = {}
    for name in sorted({name for part in parts for name in part}):
        found: dict[int, list[float]] = {}
        for part in parts:
            for generation, values in part.get(name, {}).items():
                found.setdefault(generation, []).extend(values)
        generations = np.array(sorted(found))
        fitted = fitted_ratios(np.array([np.mean(found[t]) for t in generations]), generations)
        ratios[name] = fitted**2
    longest = max(map(len, ratios.values()))
    whole = np.array([each for each in ratios.values() if len(each) == longest])
    median = np.median(whole, axis=0)
    shrunk = {
        name: np.sqrt((freedom * each + PRIOR * median[: len(each)]) / (freedom + PRIOR))
        for name, each in ratios.items()
    }
    other = np.sqrt(np.quantile(whole, 0.75, axis=0))
    return {name: [round(float(x), 2) for x in each] for name, each in {"other": other, **shrunk}.items()}


def main() -> None:
    """Write or print the table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("runs", nargs="+", type=Path)
    parser.add_argument("--output", type=Path, default=None)
    asked = parser.parse_args()
    trained, closed, origins, degrees = zip(*(squared_ratios(path) for path in asked.runs), strict=True)
    if not any(trained):
        parser.error("expected trained models in the runs, found closed forms only")
    written = {"origin": list(origins), "closed_form": {"other": [1.0]}, "trained": table(list(trained), sum(degrees))}
    if any(closed):
        written["closed_form"] = {"other": table(list(closed), sum(degrees))["other"]}
    rows = ",\n".join(f"  {json.dumps(name)}: {json.dumps(each)}" for name, each in written["trained"].items())
    start = json.dumps({**written, "trained": 0}).removesuffix("0}")
    text = f"{start}{{\n{rows}\n}}}}\n"
    if asked.output is None:
        print(text, end="")
    else:
        asked.output.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
