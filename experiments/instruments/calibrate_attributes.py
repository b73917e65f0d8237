"""How well are attributes seen? Fits the attribute probes on renders and measures what they miss and what they invent.

Question:   can the share of unlabelled 64 px faces that have glasses, a headscarf or an eyepatch be measured?
Command:    python experiments/instruments/calibrate_attributes.py            fit, print the card, write the file
            python experiments/instruments/calibrate_attributes.py --check    the same, compared with the shipped file
Hardware:   one CPU core, five minutes; no GPU, no download.
Expected:   at least eight attributes with sensitivity >= .8 and specificity >= .995 on held-out renders.
Refuted by: fewer; or a rare attribute that is called on ghosts (faces drawn by a linear model, which have none).

Sets of faces that share no image: ``train`` (row i has the (i mod 13)th rare attribute, the 13th is none, half of
them a second one) fits the network; ``reserve`` chooses the thresholds; ``heldout`` gives every figure: specificity
at the dataset's own rates, sensitivity of rare attributes also on faces that have one each.

Seen 2026-11-22, 4000 natural and 1950 enriched held-out faces, renderer 4, about 290 s of one core: 24 of 31 attributes
usable. Sensitivity and specificity: eyepatch .994 +- .007 and 1.000 +- .0002, face paint .982 and .9992, hearing aid 1
and 1, birthmark .968 and .9992, vitiligo .963 and .9992, albinism .841 +- .028 and .9985; glasses .989 and .9983,
headscarf 1 and 1, beard .881 and .9972. On the same face rendered without its attribute, the attribute is not called.
Dropped, because too small for 64 px: mole, nose stud, scar, tooth gap, bindi, heterochromia (best sensitivity .29),
earrings (.35). Still poor: vitiligo is called on .9 % +- .3 % of ghosts of 512 axes, nearly its own rate of 1 %; under
white noise of sd .03 the specificity of lipstick falls to .983, of beard to .994. Grey and red hair count as missed on
faces where no hair is visible.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import math
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from imagelab.data.faces import Faces
from imagelab.faces.freckles import freckle_chance
from imagelab.faces.parallel import Job, draw, record
from imagelab.faces.rare import RARE
from imagelab.faces.render import RENDERER_VERSION
from imagelab.io.cache import cached
from imagelab.metrics import attribute_probes as probes_home
from imagelab.metrics.attribute_probes import Probe, Probes, read_probes, scores
from imagelab.metrics.attributes import smallest_share
from imagelab.metrics.degradations import Ghosts, blurred, noised, spoiled
from imagelab.metrics.freckle_calibration import CardValue
from imagelab.seeds import rng_at

SEED = 640_101
SIZE = 64
SETS = {"train": 7800, "reserve": 1950, "heldout": 1950}  # enriched faces; 13 kinds, equally many
NATURAL = {"reserve": 2400, "heldout": 4000}
APART = ({"albinism", "vitiligo"}, {"eyepatch", "heterochromia"})  # one would hide the other
WIDTHS, KERNELS, STRIDES = (24, 48, 96, 96, 64), (5, 3, 3, 3, 3), (2, 2, 2, 1, 2)
SEEN_AT_ONCE, RATE = 64, 3e-3
QUIET = 0.997  # specificity that a threshold must reach on the reserve


@dataclass(frozen=True)
class Known:
    """Faces with the truth: uint8 [N,3,64,64]; bool [N] by attribute."""

    images: np.ndarray
    truth: dict[str, np.ndarray]

    def __add__(self, other: Known) -> Known:
        """Return both together."""
        truth = {name: np.concatenate([column, other.truth[name]]) for name, column in self.truth.items()}
        return Known(np.concatenate([self.images, other.images]), truth)


def enriched(split: str, n: int, second: float = 0.0, seed: int = SEED) -> Known:
    """Draw n faces of which row i has the (i mod 13)th rare attribute; a share ``second`` has another one as well."""
    rng, kinds = rng_at(seed, f"probes/{split}/enriched"), (*RARE, "")
    rows = []
    for row in range(n):
        first, other = kinds[row % len(kinds)], list(RARE)[int(rng.integers(len(RARE)))]
        both = rng.random() < second and first and {first, other} not in APART
        rows.append({first, other} if both else {first})
    return _drawn(split, seed, {name: np.array([name in row for row in rows]) for name in RARE})


def natural(split: str, n: int, seed: int = SEED + 1) -> Known:
    """Draw n faces at the dataset's own rates."""
    rare = Faces(size=SIZE).attributes(split, n, seed)  # type: ignore[arg-type]
    return _drawn(split, seed, {name: rare[name] for name in RARE})


def _drawn(split: str, seed: int, rare: dict[str, np.ndarray]) -> Known:
    n = len(rare["mole"])
    names = tuple(tuple(name for name in RARE if rare[name][row]) for row in range(n))
    faces = [record(split, seed, row, names[row]) for row in range(n)]
    freckled = rng_at(seed, f"probes/{split}/freckled").random(n) < [freckle_chance(face) for face in faces]
    recipe = Faces(size=SIZE)
    truth = recipe._describe(faces, rare, freckled)
    truth.pop("freckled")  # measured by the freckle counter
    order = Job(
        SIZE, recipe.freckle_style, recipe.supersample, split, seed, 0, names, tuple(bool(one) for one in freckled)
    )
    address = hashlib.sha256(json.dumps([asdict(order), RENDERER_VERSION]).encode()).hexdigest()
    shape = {"images": (n, 3, SIZE, SIZE)}
    return Known(cached(address, shape, lambda: {"images": draw(order, faces)["images"]}, "probes")["images"], truth)


class Network(nn.Module):
    """Convolutions with batch norm, then one linear layer; batch norm is folded away when the network is exported."""

    def __init__(self, outputs: int) -> None:
        """Set up with torch's default initialisation."""
        super().__init__()
        ins = (3, *WIDTHS)
        shapes = zip(ins, WIDTHS, KERNELS, STRIDES, strict=False)
        self.convs = nn.ModuleList(nn.Conv2d(a, b, k, s, k // 2, bias=False) for a, b, k, s in shapes)
        self.norms = nn.ModuleList(nn.BatchNorm2d(width) for width in WIDTHS)
        self.last = nn.Linear(WIDTHS[-1] * (SIZE // math.prod(STRIDES)) ** 2, outputs)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return log-odds [N,outputs] of images float [N,3,64,64] in -0.5..0.5."""
        for conv, norm in zip(self.convs, self.norms, strict=True):
            x = torch.relu(norm(conv(x)))
        return self.last(nn.functional.dropout(x.flatten(1), 0.2, self.training))

    def folded(self) -> tuple[list[np.ndarray], list[np.ndarray]]:
        """Return weights and biases without batch norm, as float16."""
        weights, biases = [], []
        for conv, norm in zip(self.convs, self.norms, strict=True):
            assert isinstance(norm, nn.BatchNorm2d) and norm.running_var is not None and norm.running_mean is not None
            assert isinstance(conv, nn.Conv2d)
            gain = norm.weight / torch.sqrt(norm.running_var + norm.eps)
            weights.append(conv.weight * gain[:, None, None, None])
            biases.append(norm.bias - norm.running_mean * gain)
        pairs = ([*weights, self.last.weight], [*biases, self.last.bias])
        plain = [[array.detach().numpy().astype(np.float16) for array in arrays] for arrays in pairs]
        return plain[0], plain[1]


def training_set(faces: Known) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Return (images, degraded images, targets [N,A], weights [N,A]); ghosts have weight only for rare attributes."""
    rng = rng_at(SEED, "probes/lessons")
    model = Ghosts.of(faces.images[12::13][:600])  # those without a rare attribute
    ghosts = np.concatenate([model.drawn(200, kept, rng) for kept in (48, 96, 192, 384)])
    images = np.concatenate([faces.images, ghosts])
    answers = np.zeros((len(images), len(faces.truth)), np.float32)
    answers[: len(faces.images)] = np.stack(list(faces.truth.values()), axis=1)
    asked = np.ones_like(answers)
    asked[len(faces.images) :] = [name in RARE for name in faces.truth]
    return images, spoiled(images, rng), answers, asked


def learn(faces: Known, epochs: int, say: Callable[[str], None]) -> Network:
    """Fit the network: every epoch shows each face once, unchanged or degraded, mirrored or not."""
    torch.manual_seed(SEED)
    rng = rng_at(SEED, "probes/learn")
    clean, spoilt, answers, asked = training_set(faces)
    say(f"{len(clean)} training images")
    network = Network(answers.shape[1]).train()
    steps = epochs * (len(clean) // SEEN_AT_ONCE)
    optimiser = torch.optim.AdamW(network.parameters(), RATE, weight_decay=0.02)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, RATE, total_steps=steps, pct_start=0.2)
    for epoch in range(epochs):
        order, total = rng.permutation(len(clean)), 0.0
        for start in range(0, len(order) - SEEN_AT_ONCE + 1, SEEN_AT_ONCE):
            rows = order[start : start + SEEN_AT_ONCE]
            shown = np.where(rng.random((len(rows), 1, 1, 1)) < 0.5, clean[rows], spoilt[rows])
            mirrored = np.where(rng.random((len(rows), 1, 1, 1)) < 0.5, shown, shown[..., ::-1])
            odds = network(torch.from_numpy(mirrored).float() / 255 - 0.5)
            loss = nn.functional.binary_cross_entropy_with_logits(
                odds, torch.from_numpy(answers[rows]), torch.from_numpy(asked[rows])
            )
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
            schedule.step()
            total += float(loss.detach())
        say(f"epoch {epoch + 1}: loss {total / (len(order) // SEEN_AT_ONCE):.4f}")
    return network.eval()


def choose_threshold(odds: np.ndarray, truth: np.ndarray, natural_truth: np.ndarray) -> float:
    """Return the threshold of the log-odds that measures an attribute's prevalence best, on the reserve.

    Best is the least variance of the corrected prevalence at the natural rate p, q (1 - q) / (Se + Sp - 1)^2 with
    q = p Se + (1 - p) (1 - Sp), among thresholds whose Sp is at least QUIET. The last rows of ``odds`` are natural.
    """
    rate = float(natural_truth.mean())
    hit = odds[truth]
    calm = np.sort(odds[-len(natural_truth) :][~natural_truth])
    thresholds = np.unique(np.concatenate([hit, calm[int(QUIET * len(calm)) :] + 1e-3]))
    false = (len(calm) - np.searchsorted(calm, thresholds) + 0.5) / (len(calm) + 1)
    met = np.array([(hit >= one).mean() for one in thresholds])
    share = rate * met + (1 - rate) * false
    variance = share * (1 - share) / np.maximum(met - false, 1e-3) ** 2
    variance[false > 1 - QUIET] = np.inf
    return float(np.float32(thresholds[int(np.argmin(variance))]))


def evaluate(found: np.ndarray, truth: np.ndarray, natural_rows: int) -> tuple[CardValue, CardValue]:
    """Return (sensitivity over all rows with the attribute, specificity over the natural rows, which come last)."""
    return CardValue.share(found[truth]), CardValue.share(~found[-natural_rows:][~truth[-natural_rows:]])


def tables(probes: Probes, faces: Known, ghosts: Ghosts) -> dict[str, list[dict[str, Any]]]:
    """Return sensitivity and specificity after blur and noise, and the share of drawn ghosts called by mistake."""
    names = [probe.attribute for probe in probes.probes]
    floors = np.array([probe.threshold for probe in probes.probes])
    rows: dict[str, list[dict[str, Any]]] = {"spoiled": [], "called on drawn ghosts": []}
    trials = {
        "blur .6 px": blurred(faces.images, 0.6),
        "blur 1 px": blurred(faces.images, 1.0),
        "white noise sd .03": noised(faces.images, 0.03, rng_at(SEED, "probes/noise")),
    }
    for trial, images in trials.items():
        found = scores(images, probes) >= floors
        for k, name in enumerate(names):
            met, spared = evaluate(found[:, k], faces.truth[name], NATURAL["heldout"])
            rows["spoiled"].append(
                {"trial": trial, "attribute": name, "sensitivity": met.value, "specificity": spared.value}
            )
    for kept in (64, 128, 256, 512):
        found = scores(ghosts.drawn(1000, kept, rng_at(SEED, "probes/ghosts")), probes) >= floors
        shares = dict(zip(names, found.mean(axis=0).tolist(), strict=True))
        rows["called on drawn ghosts"] += [
            {"axes": kept, "attribute": name, **asdict(CardValue.share(found[:, k]))} for k, name in enumerate(shares)
        ]
    return rows


def calibrate(epochs: int) -> Probes:
    """Fit the probes and measure them on unseen faces."""
    started = time.process_time()

    def say(what: str) -> None:
        print(f"{time.process_time() - started:6.0f} s  {what}", flush=True)

    network = learn(enriched("train", SETS["train"], 0.5), epochs, say)
    weights, biases = (tuple(arrays) for arrays in network.folded())
    blank = Probes(SIZE, weights, biases, STRIDES, (), {}, {})
    reserve = enriched("reserve", SETS["reserve"]) + natural("reserve", NATURAL["reserve"])
    heldout = enriched("heldout", SETS["heldout"]) + natural("heldout", NATURAL["heldout"])
    say("drew reserve and held-out faces")
    tuned, seen = scores(reserve.images, blank), scores(heldout.images, blank)
    found = []
    for k, (name, truth) in enumerate(heldout.truth.items()):
        there = reserve.truth[name]
        threshold = choose_threshold(tuned[:, k], there, there[-NATURAL["reserve"] :])
        met, spared = evaluate(seen[:, k] >= threshold, truth, NATURAL["heldout"])
        found.append(Probe(name, threshold, met, spared, float(truth[-NATURAL["heldout"] :].mean())))
    made = Probes(SIZE, weights, biases, STRIDES, tuple(found), {}, {})
    origin = {
        "renderer": {**Faces(size=SIZE).model_dump(mode="json", exclude={"cache"}), "version": RENDERER_VERSION},
        "seed": SEED,
        "faces": {"enriched": SETS, "natural": NATURAL},
        "epochs": epochs,
    }
    ghosts = Ghosts.of(reserve.images[-1000:])
    return Probes(SIZE, weights, biases, STRIDES, made.probes, tables(made, heldout, ghosts), origin)


def show(probes: Probes) -> None:
    """Print the card."""
    print(f"probes-{probes.size}@{probes.digest[:8]}: {len(probes.usable)} of {len(probes.probes)} usable")
    for one in probes.probes:
        met, spared = one.sensitivity, one.specificity
        print(
            f"  {'' if one.usable else 'DROPPED '}{one.attribute:16s} rate {one.rate:.4f}  "
            f"sensitivity {met.value:.4f} +- {met.stderr:.4f} (n {met.n})  "
            f"specificity {spared.value:.4f} +- {spared.stderr:.4f} (n {spared.n})"
            f"{f'  2000 faces tell {smallest_share(one, 2000):.4f} from none' if one.usable else ''}"
        )
    names = {probe.attribute for probe in probes.usable}
    for name, rows in probes.tables.items():
        print(name)
        for row in rows:
            if row["attribute"] in names:
                print("  " + "  ".join(f"{key} {value}" for key, value in row.items()))


def compare(new: Probes, shipped: Probes) -> list[str]:
    """Return the figures of usable attributes that differ by more than four standard errors of their difference."""
    far, fresh = [], {probe.attribute: probe for probe in new.probes}
    for old in shipped.usable:
        pairs = {
            "sensitivity": (fresh[old.attribute].sensitivity, old.sensitivity),
            "specificity": (fresh[old.attribute].specificity, old.specificity),
        }
        for name, (a, b) in pairs.items():
            if a.far_from(b):
                far.append(f"{old.attribute} {name}: {a.value:.4f} against {b.value:.4f}")
    return far


def main() -> None:
    """Read the command line; fit, show, and write or compare."""
    parser = argparse.ArgumentParser(description="Fit and measure the attribute probes.")
    parser.add_argument("--epochs", type=int, default=12, help="number of epochs")
    parser.add_argument("--check", action="store_true", help="compare with the shipped probes, write nothing")
    parser.add_argument("--out", type=Path, help="file to write; the package's own file if not given")
    asked = parser.parse_args()
    torch.set_num_threads(1)
    shipped = Path(probes_home.__file__).with_name(f"probes-{SIZE}.npz")
    show(made := calibrate(asked.epochs))
    if asked.check:
        wrong = compare(made, read_probes(shipped))
        raise SystemExit("\n".join(wrong) if wrong else 0)
    path = asked.out or shipped
    made.write(path)
    assert read_probes(path).digest == made.digest
    print(f"wrote {path.name}, {path.stat().st_size / 1e3:.0f} kB")


if __name__ == "__main__":
    main()
