"""Are the metrics faster than those of the field's packages, and do the values agree?

Question:   how many times faster than the packages of the field are LPIPS over all pairs, the Fréchet distance, KID,
            PRDC and Vendi, and do the values agree?
Command:    python experiments/benchmarks/metrics.py                        everything; JSON to runs/bench-metrics.json
            python experiments/benchmarks/metrics.py --quick                small sizes, to see that it runs
            python experiments/benchmarks/metrics.py --only frechet kid     these only
Needs:      `pip install -e ".[oracles]"`; no weights: LPIPS runs on a random AlexNet, at the same cost
Hardware:   one core of a quiet machine, seven minutes.
Expected:   LPIPS over all pairs at least 150 times faster than pair by pair; Fréchet at least 50 times faster than
            torch-fidelity, and nearer to 0 on identical sets.
Refuted by: lower speed (the program prints MISSED), or values that disagree (the program says so and exits with 1).

How it is timed: every thread is bound to one core, the contenders run in turn, forwards and then backwards through the
list, and the table has the median over the repeats. All read the same arrays in memory; reading files and running
Inception are left out, because they cost every package the same. Where a task is too long to be timed whole, a part is
timed and multiplied, and the row says so. Agreement is -log10 of the relative difference to our value.

Seen 2026-11-22, one of 2 quiet x86-64 cores, torch 2.15, 6 min 40 s in all; every target met, every value agreed.
  LPIPS, 256 images of 64 px    ours .30 s; lpips pair by pair 374 s (1,270 times), in batches of 32 56 s (191 times);
                                torchmetrics 390 and 58 s; 6.5 digits or more
  Frechet, D 2048, N 500        ours .050 s; torch-fidelity 3.3 s (66 times), torchmetrics 3.7, clean-fid 18.1,
                                pytorch-fid 18.5; 5.2 digits or more; of equal sets 0 against -1e-4 to -2e-4
  kernel, D 2048, N 2000        ours, all pairs and error, .96 s; clean-fid 17.9, torch-fidelity 18.0 (100 subsets),
                                torchmetrics 26.8; 13.4 digits or more
  precision... D 256, N 2000    ours .15 s, with errors .25; prdc .34; 16 digits
  Vendi, D 256, N 2000          ours .0063 s; vendi-score .44, its dual .0068; 13 digits or more
"""

from __future__ import annotations

import argparse
import contextlib
import io
import json
import math
import os
import statistics
import sys
import time
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib import metadata, util
from pathlib import Path
from typing import Any

import numpy as np
import torch
from threadpoolctl import threadpool_limits

from imagelab import __version__
from imagelab.images import to_signed
from imagelab.metrics.frechet import frechet_distance
from imagelab.metrics.kernel import kernel_distance
from imagelab.metrics.perceptual import lpips_phi, pairwise
from imagelab.metrics.prdc import prdc_errors, prdc_of
from imagelab.metrics.vendi import vendi_score
from imagelab.runs.environment import processor

MODULES = ("lpips", "torchmetrics", "torch_fidelity", "pytorch_fid", "cleanfid", "prdc", "vendi_score")
PACKAGES = ("lpips", "torchmetrics", "torch-fidelity", "pytorch-fid", "clean-fid", "prdc", "vendi-score")
DATA_SEED = 2026


@dataclass(frozen=True)
class Contender:
    """One tool in a comparison.

    Attributes:
        tool: its name.
        work: what is timed.
        part: the share of the task that is timed; seconds are divided by it.
        value: computes the value that is compared; None if that is what ``work`` returns.
        digits: required agreement with our value, in decimal digits.
        of_equals: the tool's distance between a set and itself; None if that is not computed.
        note: a remark for the reader.
    """

    tool: str
    work: Callable[[], Any]
    part: float = 1.0
    value: Callable[[], Any] | None = None
    digits: float = 0.0
    of_equals: Callable[[], float] | None = None
    note: str = ""


@dataclass(frozen=True)
class Race:
    """A task and the tools that do it, ours first. ``target``: (tool, how many times faster ours must be)."""

    name: str
    task: str
    contenders: tuple[Contender, ...]
    target: tuple[str, float] | None = None


def lpips_race(n: int, size: int, pairs: int) -> Race:
    """All pairs of n images; the packages are timed on a part of the pairs."""
    import lpips
    from torchmetrics.functional.image.lpips import _LPIPS

    with torch.random.fork_rng(devices=[]), quietly():
        torch.manual_seed(0)
        model = lpips.LPIPS(net="alex", pnet_rand=True, verbose=False).requires_grad_(False)
        other = _LPIPS(pretrained=True, net="alex", pnet_rand=True).requires_grad_(False)
    other.net.load_state_dict(model.net.state_dict())
    signed = to_signed(torch.from_numpy(pictures(n, size)))
    left, right = torch.combinations(torch.arange(n)).T
    chosen = torch.randperm(len(left), generator=torch.Generator().manual_seed(1))[:pairs]
    left, right = left[chosen], right[chosen]

    def ours() -> Any:
        phi = torch.cat([lpips_phi(model, part) for part in signed.split(64)])
        return pairwise(phi, phi)

    def theirs(tool: str, net: Any, batch: int) -> Contender:
        def work() -> Any:
            parts = zip(left.split(batch), right.split(batch), strict=True)
            return torch.cat([net(signed[i], signed[j]).flatten() for i, j in parts])

        how = "pair by pair" if batch == 1 else f"{batch} pairs a batch"
        return Contender(f"{tool}, {how}", work, pairs / total, digits=5, note=note)

    total = n * (n - 1) // 2
    note = f"{pairs} of {total:,} pairs timed, multiplied by {total / pairs:.4g}"
    return Race(
        "lpips",
        f"LPIPS (AlexNet trunk, random; published heads) over all pairs of {n} images of {size} px",
        (
            Contender("imagelab", ours, value=lambda: ours()[left, right]),
            theirs("lpips", model, 1),
            theirs("lpips", model, 32),
            theirs("torchmetrics", other, 1),
            theirs("torchmetrics", other, 32),
        ),
        ("lpips, pair by pair", 150.0),
    )


def frechet_race(n: int, d: int) -> Race:
    """The Fréchet distance of two sets of features, statistics included."""
    from cleanfid.fid import fid_from_feats
    from pytorch_fid.fid_score import calculate_frechet_distance
    from torch_fidelity.metric_fid import fid_features_to_statistics, fid_statistics_to_metric
    from torchmetrics.image.fid import FrechetInceptionDistance

    real, fake = feature_sets(n, d)

    def pytorch_fid(x: np.ndarray, y: np.ndarray) -> float:
        (mean, cov), (mean_2, cov_2) = ((each.mean(axis=0), np.cov(each, rowvar=False)) for each in (x, y))
        return float(calculate_frechet_distance(mean, cov, mean_2, cov_2))

    def torch_fidelity(x: np.ndarray, y: np.ndarray) -> float:
        moments = [fid_features_to_statistics(torch.from_numpy(each)) for each in (x, y)]
        return fid_statistics_to_metric(moments[0], moments[1], False)["frechet_inception_distance"]

    def torchmetrics(x: np.ndarray, y: np.ndarray) -> float:
        metric = FrechetInceptionDistance(feature=Given(d)).set_dtype(torch.float64)
        metric.update(torch.from_numpy(x), real=True)
        metric.update(torch.from_numpy(y), real=False)
        return float(metric.compute())

    def contender(tool: str, distance: Callable[[np.ndarray, np.ndarray], float], digits: float) -> Contender:
        equals = lambda: distance(real, real.copy())  # noqa: E731
        return Contender(tool, lambda: distance(real, fake), digits=digits, of_equals=equals)

    return Race(
        "frechet",
        f"Fréchet distance, {n} and {n} features of {d} dimensions, float64",
        (
            contender("imagelab", frechet_distance, 0),
            contender("torch-fidelity", torch_fidelity, 4),
            contender("pytorch-fid", pytorch_fid, 3),
            contender("clean-fid", lambda x, y: float(fid_from_feats(x, y)), 3),
            contender("torchmetrics", torchmetrics, 4),
        ),
        ("torch-fidelity", 50.0),
    )


def kid_race(n: int, d: int, subset: int) -> Race:
    """The kernel distance: ours over all pairs; the packages with their defaults, over 100 random subsets.

    Values are compared on one subset that is the whole set: then all estimate the same quantity.
    """
    from cleanfid.fid import kernel_distance as clean_fid
    from torch_fidelity.metric_kid import kid_features_to_metric
    from torchmetrics.image.kid import KernelInceptionDistance

    real, fake = feature_sets(n, d)

    def fidelity(subsets: int, size: int) -> float:
        tensors = [torch.from_numpy(each) for each in (real, fake)]
        settings = {"kid_subsets": subsets, "kid_subset_size": size, "kid_kernel": "poly", "verbose": False}
        return kid_features_to_metric(*tensors, rng_seed=0, **settings)["kernel_inception_distance_mean"]

    def torchmetrics(subsets: int, size: int) -> float:
        metric = KernelInceptionDistance(feature=Given(d), subsets=subsets, subset_size=size).set_dtype(torch.float64)
        metric.update(torch.from_numpy(real), real=True)
        metric.update(torch.from_numpy(fake), real=False)
        return float(metric.compute()[0])

    def contender(tool: str, distance: Callable[[int, int], float]) -> Contender:
        note = f"timed as it comes, 100 random subsets of {subset}; compared on the whole set"
        return Contender(tool, lambda: distance(100, subset), value=lambda: distance(1, n), digits=9, note=note)

    return Race(
        "kid",
        f"Kernel distance, {n} and {n} features of {d} dimensions, float64; ours with its standard error",
        (
            Contender("imagelab", lambda: kernel_distance(real, fake)[0]),
            contender("clean-fid", lambda subsets, size: clean_fid(real, fake, subsets, size)),
            contender("torch-fidelity", fidelity),
            contender("torchmetrics", torchmetrics),
        ),
    )


def prdc_race(n: int, d: int) -> Race:
    """Precision, recall, density and coverage, k = 5."""
    from prdc import compute_prdc

    real, fake = feature_sets(n, d)

    return Race(
        "prdc",
        f"Precision, recall, density, coverage (k = 5), {n} and {n} features of {d} dimensions",
        (
            Contender("imagelab", lambda: prdc_of(real, fake)),
            Contender("imagelab, errors", lambda: prdc_errors(real, fake, 0), value=lambda: prdc_of(real, fake)),
            Contender("prdc", lambda: list(compute_prdc(real, fake, 5).values()), digits=9),
        ),
    )


def vendi_race(n: int, d: int) -> Race:
    """The Vendi score under the cosine kernel."""
    from vendi_score import vendi

    real, _ = feature_sets(n, d)
    return Race(
        "vendi",
        f"Vendi score (cosine), {n} features of {d} dimensions",
        (
            Contender("imagelab", lambda: vendi_score(real)),
            Contender("vendi-score", lambda: float(vendi.score_X(real)), digits=6, note="the N x N form"),
            Contender("vendi-score, dual", lambda: float(vendi.score_dual(real)), digits=6, note="the D x D form"),
        ),
    )


class Given(torch.nn.Module):
    """An extractor that passes on features computed before."""

    def __init__(self, num_features: int) -> None:
        super().__init__()
        self.num_features = num_features

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        """Return the input."""
        return features


def feature_sets(n: int, d: int) -> tuple[np.ndarray, np.ndarray]:
    """Return two sets like pooled activations: not negative, correlated, of falling spectrum; float64 [n,d] each."""
    rng = np.random.default_rng(DATA_SEED)
    mix = rng.standard_normal((d, d)) * (1 + np.arange(d))[:, None] ** -0.7
    real, fake = (np.maximum(rng.standard_normal((n, d)) @ mix / 4 + shift, 0) for shift in (0.0, 0.1))
    return real, fake


def pictures(n: int, size: int) -> np.ndarray:
    """Return smooth random pictures: uint8 [n,3,size,size]."""
    rng = np.random.default_rng(DATA_SEED)
    coarse = torch.from_numpy(rng.random((n, 3, 8, 8), np.float32))
    smooth = torch.nn.functional.interpolate(coarse, (size, size), mode="bicubic").numpy()
    return (255 * (smooth + 0.05 * rng.standard_normal(smooth.shape)).clip(0, 1)).astype(np.uint8)


def run_race(race: Race, repeats: int) -> list[dict[str, Any]]:
    """Time the contenders in turn, forwards and backwards; compare their values with ours; return a row for each."""
    seconds: dict[str, list[float]] = {each.tool: [] for each in race.contenders}
    answers: dict[str, Any] = {}
    for repeat in range(repeats):
        for each in race.contenders if repeat % 2 == 0 else race.contenders[::-1]:
            with quietly(), torch.inference_mode():
                start = time.perf_counter()
                answers[each.tool] = each.work()
                seconds[each.tool].append((time.perf_counter() - start) / each.part)
    ours, rows = race.contenders[0], []
    for each in race.contenders:
        with quietly(), torch.inference_mode():
            value = each.value() if each.value else answers[each.tool]
            equals = each.of_equals() if each.of_equals else None
        answers[each.tool] = value
        median = statistics.median(seconds[each.tool])
        row = {"race": race.name, "tool": each.tool, "note": each.note, "demanded": each.digits, "of_equals": equals}
        row |= {"seconds": median, "all_seconds": seconds[each.tool]}
        row |= {"ratio": median / statistics.median(seconds[ours.tool])}
        row |= {"digits": None if each is ours else agreement(answers[ours.tool], value)}
        rows.append(row)
    return rows


def agreement(ours: Any, theirs: Any) -> float:
    """Return -log10 of the largest difference relative to the largest value: decimal digits, at most 16."""
    a, b = (np.asarray(each, np.float64) for each in (ours, theirs))
    gap = float(np.abs(a - b).max() / max(np.abs(a).max(), 1e-300))
    return 16.0 if gap < 1e-16 else 0.0 if not math.isfinite(gap) else max(0.0, -math.log10(gap))


@contextlib.contextmanager
def quietly() -> Any:
    """Suppress what the packages print and warn."""
    with contextlib.redirect_stdout(io.StringIO()), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def bind_to_one_core() -> None:
    """Bind this process and its threads to one core, if the system can do that."""
    torch.set_num_threads(1)
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})


def table(race: Race, rows: Sequence[dict[str, Any]], quick: bool) -> list[str]:
    """Return the comparison as a Markdown table."""
    repeats = len(rows[0]["all_seconds"])
    lines = [f"\n**{race.task}** (one core, median of {repeats})\n"]
    lines += ["| tool | seconds | times ours | agrees to | of equal sets | note |", "|---|---|---|---|---|---|"]
    for row in rows:
        digits = "" if row["digits"] is None else f"{row['digits']:.1f} digits"
        equals = "" if row["of_equals"] is None else f"{row['of_equals']:.1e}"
        figures = f"{row['seconds']:.3g} | {row['ratio']:.3g} | {digits} | {equals}"
        lines.append(f"| {row['tool']} | {figures} | {row['note']} |")
    if race.target and not quick:
        tool, times = race.target
        ratio = next(row["ratio"] for row in rows if row["tool"] == tool)
        lines.append(f"\ntarget {times:g} times {tool}: {'met' if ratio >= times else 'MISSED'} ({ratio:.3g})")
    return lines


def machine() -> dict[str, Any]:
    """Return the machine and the versions that the figures hold for."""
    tools = ("torch", "numpy", "scipy", *PACKAGES)
    return {
        "date": time.strftime("%Y-%m-%d"),
        "processor": f"{os.cpu_count()} x {processor()}",
        "load": round(os.getloadavg()[0], 2),
        "versions": {"imagelab": __version__, **{name: metadata.version(name) for name in tools}},
    }


RACES: dict[str, tuple[Callable[..., Race], tuple[int, ...], tuple[int, ...], int]] = {
    "lpips": (lpips_race, (256, 64, 96), (12, 64, 33), 5),
    "frechet": (frechet_race, (500, 2048), (80, 48), 3),
    "kid": (kid_race, (2000, 2048, 1000), (60, 48, 30), 3),
    "prdc": (prdc_race, (2000, 256), (90, 24), 5),
    "vendi": (vendi_race, (2000, 256), (90, 24), 5),
}
"""Name -> (set-up, its sizes, its sizes with --quick, repeats)."""


def run_races(chosen: Sequence[str], quick: bool, repeats: int) -> tuple[list[dict[str, Any]], list[str]]:
    """Run the comparisons on one core and print their tables; return the rows, and which tools disagree with us."""
    rows, faults = [], []
    with threadpool_limits(1):
        bind_to_one_core()
        for name in chosen:
            setup, sizes, toys, usual = RACES[name]
            race = setup(*(toys if quick else sizes))
            found = run_race(race, repeats or (1 if quick else usual))
            print("\n".join(table(race, found, quick)), flush=True)
            rows += found
            faults += [
                f"{name}: {row['tool']} agrees with us to {row['digits']:.1f} digits, {row['demanded']:g} are demanded"
                for row in found
                if row["digits"] is not None and row["digits"] < row["demanded"]
            ]
    return rows, faults


def main() -> int:
    """Run the comparisons, print the tables, write the JSON; return 1 if values disagree."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="small sizes, only to see that it runs")
    parser.add_argument("--only", nargs="+", choices=list(RACES), help="these only")
    parser.add_argument("--repeats", type=int, default=0, help="repeats of every comparison; 0: its default, 3 or 5")
    parser.add_argument("--output", type=Path, default=Path("runs/bench-metrics.json"))
    asked = parser.parse_args()
    absent = [name for module, name in zip(MODULES, PACKAGES, strict=True) if util.find_spec(module) is None]
    if absent:
        print(
            f"benchmarks/metrics.py: install {', '.join(absent)} first: `pip install -e '.[oracles]'`",
            file=sys.stderr,
        )
        return 2
    where = machine()
    print(json.dumps(where))
    rows, faults = run_races(asked.only or list(RACES), asked.quick, asked.repeats)
    asked.output.parent.mkdir(parents=True, exist_ok=True)
    record = {"machine": where, "quick": asked.quick, "rows": rows, "disagreements": faults}
    asked.output.write_text(json.dumps(record, indent=1) + "\n")
    for fault in faults:
        print(f"DISAGREEMENT: {fault}", file=sys.stderr)
    return 1 if faults else 0


if __name__ == "__main__":
    raise SystemExit(main())
