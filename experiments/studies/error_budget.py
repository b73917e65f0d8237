"""What does a Fréchet distance depend on? How far each choice around it moves FD and KD on the same faces.

Question:   a VAE is measured against real faces, and FD and KD have some value. How much of it depends on the number of
            images, the estimator, the draw of images, the training seed, the feature space, the resize?
Command:    python experiments/studies/error_budget.py              the table, the figures behind it, and the machine
            python experiments/studies/error_budget.py --readme     the table alone, as it is in the README
            python experiments/studies/error_budget.py --quick      small sizes, to see that it runs
            python experiments/studies/error_budget.py --inception  FID and KID instead of FD and KD; needs the weights
Hardware:   one CPU core, minutes (hours with --inception); no GPU, no download.
Expected:   n and the estimator move plain FD most and KD not at all; another training moves both more than another
            draw; a wrong resize on one side moves them more than any of these.
Refuted by: a table that shows something else.

One generator, the VAE that experiments/photocopy.py had until 2026-11-30 (8 channels of details, beta .3): trained on
1,000 faces, 12,000 images seen. Reference value: n of
its images against n held-out faces, n = 1,000. Every row changes one thing and gives the change in percent of the
reference. Draws are disjoint. For the resize, two disjoint sets of 128 px faces are reduced to 64 px by PIL's bicubic,
then one of them by another rule. Their true distance is 0, so the change comes from the resize alone.

Seen 2026-11-22, 2 x86-64 cores (178 s), seed 2026, in imagelab-ssl-v1: FD 18.0 +- 1.3, KD .40 +- .05.
  n = 250 / 500 / 2,000 / 4,000           FD +26 / +2 / -5 / -8 %, KD -9 / -11 / -1 / -0 %, within its errors
  FD jackknifed, n = 1,000 and 4,000      -6 and -10 %
  FD extrapolated, n = 1,000 and 4,000    -9 and -9 %
  other images, four draws                FD +- 2 %, KD +- 3 %
  another training, four models           FD +- 8 %, KD +- 13 %: another training moves both more
  another random network                  FD +- 24 %, KD +- 29 %
  FD, one side resized by another rule    torch's bicubic with antialias 0.0 %, Lanczos +26 %, PIL bilinear +98 %,
                                          torch without antialias +114 %, nearest +138 %
All as expected. Earlier, in randconv-s0 (FD 23.1 +- 3.6): plain FD a quarter too high at 1,000; other images +- 12 %,
another training +- 13 %, which cannot be distinguished there; resizes a third to two thirds as much.
"""

from __future__ import annotations

import argparse
import os
import platform
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from PIL import Image
from torch.nn import functional

from imagelab.data import Faces
from imagelab.generators import RunContext, Vae
from imagelab.measurement import Measurement
from imagelab.metrics import Evidence, ImageSet, measure_panel
from imagelab.metrics.features import CONTROLS, DISTANCE_SPACES, PRIMARY, feature_pair, features
from imagelab.metrics.frechet import frechet_infinity
from imagelab.metrics.inception import NAME as INCEPTION
from imagelab.seeds import image_seeds, seed_at

SEED = 2026


@dataclass(frozen=True)
class Sizes:
    """Numbers of images. ``pool``: images of each kind; ``n``: of the reference value; ``counts``: other n."""

    pool: int = 4000
    n: int = 1000
    counts: tuple[int, ...] = (250, 500, 2000, 4000)
    models: int = 4
    train: int = 1000
    images_seen: int = 12_000
    resized: int = 500


QUICK = Sizes(pool=96, n=48, counts=(24, 96), models=2, train=48, images_seen=200, resized=24)


@dataclass(frozen=True)
class Taken:
    """The measurements of one evidence: name -> Measurement."""

    evidence: Evidence
    found: dict[str, Measurement]

    def value(self, name: str) -> float:
        """Return the value of a measurement.

        Raises:
            ValueError: if it is missing.
        """
        value = self.found[name].value
        if value is None:
            raise ValueError(f"error_budget: {name} is missing: {self.found[name].missing}")
        return value


@dataclass(frozen=True)
class Row:
    """One row of the budget: what was changed, and by how much FD and KD change (text; "" if that does not apply)."""

    what: str
    fd: str
    kd: str


# -- the sets


def pool_of(images: np.ndarray, spaces: tuple[str, ...]) -> ImageSet:
    """Return a set whose features are already computed, so that its parts share them."""
    whole = ImageSet(images)
    for space in spaces:
        features(whole, space)
    return whole


def part(pool: ImageSet, first: int, count: int) -> ImageSet:
    """Return images first .. first + count of a pool, with their features."""
    rows = slice(first, first + count)
    return ImageSet(pool.images[rows], memory={slot: found[rows] for slot, found in pool.memory.items()})


def take(real: ImageSet, fake: ImageSet, inception: bool) -> Taken:
    """Measure one pair of sets with every distance."""
    evidence = Evidence(real, fake, seed=SEED)
    names = ["frechet", "kernel", *(["fid", "kid"] if inception else [])]
    return Taken(evidence, {m.name: m for m in measure_panel(evidence, names)})


def trained(sizes: Sizes, seed: int, count: int) -> np.ndarray:
    """Return images of the VAE trained with this seed: uint8 [count,3,64,64]."""
    recipe = Vae(details=8, beta=0.3, images_seen=sizes.images_seen)
    faces = Faces(size=64, freckle_rate=0.6).load("train", sizes.train, SEED).images
    model = recipe.fit(faces, seed_at(SEED, "train", 0, seed), RunContext())
    return model.sample(image_seeds(SEED, "sample", 0, seed, range(count)))


# -- the resize


def by_pil(rule: Image.Resampling) -> Callable[[np.ndarray], np.ndarray]:
    """Return uint8 [N,3,128,128] -> uint8 [N,3,64,64] by one of PIL's rules."""

    def shrink(images: np.ndarray) -> np.ndarray:
        small = [Image.fromarray(each.transpose(1, 2, 0)).resize((64, 64), rule) for each in images]
        return np.stack([np.asarray(each).transpose(2, 0, 1) for each in small])

    return shrink


def by_torch(**settings: object) -> Callable[[np.ndarray], np.ndarray]:
    """Return uint8 [N,3,128,128] -> uint8 [N,3,64,64] by torch's interpolate."""

    def shrink(images: np.ndarray) -> np.ndarray:
        small = functional.interpolate(torch.from_numpy(images).float(), (64, 64), **settings)  # type: ignore[arg-type]
        return small.round().clamp(0, 255).byte().numpy()

    return shrink


RESIZES: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "torch bicubic, antialias": by_torch(mode="bicubic", antialias=True),
    "PIL bilinear": by_pil(Image.Resampling.BILINEAR),
    "PIL Lanczos": by_pil(Image.Resampling.LANCZOS),
    "torch bicubic, antialias=False": by_torch(mode="bicubic", antialias=False),
    "nearest": by_pil(Image.Resampling.NEAREST),
}


# -- the budget


def spread_of(values: list[float], reference: float) -> str:
    """Return the standard deviation of repeats in percent of the reference."""
    return f"± {100 * np.std(values, ddof=1) / abs(reference):.1f} %"


def change(value: float, reference: float) -> str:
    """Return a change in percent of the reference."""
    return f"{100 * (value - reference) / abs(reference):+.1f} %"


def draws_and_models(
    real: ImageSet, fakes: list[ImageSet], sizes: Sizes, names: tuple[str, str], inception: bool
) -> tuple[Taken, Taken, list[Row]]:
    """Return the reference measurement, its floor, and the rows on other draws, other trainings, and the floor."""
    n, (fd, kd) = sizes.n, names
    draws = [
        take(part(real, first, n), part(fakes[0], first, n), inception) for first in range(0, sizes.pool - n + 1, n)
    ]
    models = [draws[0], *(take(part(real, 0, n), part(fake, 0, n), inception) for fake in fakes[1:])]
    floor = take(part(real, 0, n), part(real, n, n), inception)
    reference = draws[0]
    fds, kds = reference.value(fd), reference.value(kd)
    rows = [
        Row(
            f"other images, same model ({len(draws)} disjoint draws; sd)",
            spread_of([each.value(fd) for each in draws], fds),
            spread_of([each.value(kd) for each in draws], kds),
        ),
        Row(
            f"other training seed, same data ({len(models)} models; sd)",
            spread_of([each.value(fd) for each in models], fds),
            spread_of([each.value(kd) for each in models], kds),
        ),
        Row(
            "real against held-out real (the floor)",
            f"{100 * floor.value(fd) / fds:.1f} % of it",
            f"{100 * floor.value(kd) / kds:.1f} % of it",
        ),
    ]
    return reference, floor, rows


def counts(
    real: ImageSet, fake: ImageSet, reference: Taken, sizes: Sizes, names: tuple[str, str], inception: bool
) -> tuple[Taken, list[Row]]:
    """Return the measurement of the whole pools, and the rows on other numbers of images."""
    (fd, kd), rows, last = names, [], reference
    for n in sizes.counts:
        last = take(part(real, 0, n), part(fake, 0, n), inception)
        fds, kds = change(last.value(fd), reference.value(fd)), change(last.value(kd), reference.value(kd))
        rows.append(Row(f"n = {n:,} in place of {sizes.n:,}", fds, kds))
    return last, rows


def estimators(reference: Taken, whole: Taken, space: str, names: tuple[str, str]) -> list[Row]:
    """Return the rows on jackknife and extrapolation, at the reference's n and at the largest."""
    rows, (fd, _) = [], names
    stem, _, tail = fd.partition("/")
    corrected = f"{stem}_corrected" + (f"/{tail}" if tail else "")
    for each in (reference, whole):
        n = f"n = {len(each.evidence.fake):,}"
        beyond = frechet_infinity(*feature_pair(each.evidence, space), seed=SEED)
        base = reference.value(fd)
        rows.append(Row(f"jackknifed, {n}", change(each.value(corrected), base), "unbiased as it is"))
        rows.append(Row(f"extrapolated to infinite n, from {n}", change(beyond, base), "unbiased as it is"))
    return rows


def resizes(sizes: Sizes, reference: Taken, names: tuple[str, str], inception: bool) -> list[Row]:
    """Return the rows on the resize: by how much the distance of two sets grows if one is resized by another rule."""
    large, n = Faces(size=128, freckle_rate=0.6).load("heldout", 2 * sizes.resized, SEED).images, sizes.resized
    usual = by_pil(Image.Resampling.BICUBIC)
    one, rows = ImageSet(usual(large[:n])), []
    base = take(one, ImageSet(usual(large[n:])), inception)
    for rule, shrink in RESIZES.items():
        found = take(one, ImageSet(shrink(large[n:])), inception)
        gains = [100 * (found.value(name) - base.value(name)) / reference.value(name) for name in names]
        rows.append(Row(f"one side resized by {rule}, n = {n:,}", *(f"{gain:+.1f} %" for gain in gains)))
    return rows


def spaces(reference: Taken, floor: Taken) -> list[Row]:
    """Return the row on the choice of the random network, and the reference distance in each space."""
    values = [[reference.value(f"{kind}/{space}") for space in CONTROLS] for kind in ("frechet", "kernel")]
    fds, kds = (f"± {100 * np.std(each, ddof=1) / abs(np.mean(each)):.1f} %" for each in values)
    rows = [Row(f"another random network ({', '.join(CONTROLS)}; sd)", fds, kds)]
    for space in DISTANCE_SPACES:
        times = reference.value(f"frechet/{space}") / floor.value(f"frechet/{space}")
        errors = reference.value(f"kernel/{space}") / (reference.found[f"kernel/{space}"].stderr or np.nan)
        rows.append(Row(f"seen by {space}", f"{times:.1f} times its floor", f"{errors:.0f} standard errors"))
    return rows


def budget(sizes: Sizes, inception: bool) -> tuple[list[Row], list[str]]:
    """Return the rows of the table, and lines with the reference values."""
    wanted = (*dict.fromkeys((PRIMARY, *CONTROLS, *DISTANCE_SPACES)), *((INCEPTION,) if inception else ()))
    space, names = (INCEPTION, ("fid", "kid")) if inception else (PRIMARY, (f"frechet/{PRIMARY}", f"kernel/{PRIMARY}"))
    real = pool_of(Faces(size=64, freckle_rate=0.6).load("heldout", sizes.pool, SEED).images, wanted)
    fakes = [
        pool_of(trained(sizes, seed, sizes.pool if seed == 0 else sizes.n), wanted) for seed in range(sizes.models)
    ]
    reference, floor, rows = draws_and_models(real, fakes, sizes, names, inception)
    whole, of_counts = counts(real, fakes[0], reference, sizes, names, inception)
    rows = [*of_counts, *estimators(reference, whole, space, names), *rows, *spaces(reference, floor)]
    rows += resizes(sizes, reference, names, inception)
    fd, kd = (reference.found[name] for name in names)
    references = [f"{m.name} = {m.value:.4g} ± {m.stderr or 0:.2g} (jackknife), {m.feature_space}" for m in (fd, kd)]
    return rows, references


def main() -> int:
    """Print the table and, except for the README, the figures behind it."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--readme", action="store_true", help="the table alone")
    parser.add_argument("--quick", action="store_true", help="small sizes, only to see that it runs")
    parser.add_argument("--inception", action="store_true", help="FID and KID instead of FD and KD in imagelab-ssl-v1")
    asked = parser.parse_args()
    torch.set_num_threads(1)
    sizes, start = QUICK if asked.quick else Sizes(), time.perf_counter()
    rows, references = budget(sizes, asked.inception)
    space = "Inception (FID, KID)" if asked.inception else PRIMARY
    print(f"| a VAE against real faces, n = {sizes.n:,}, {space} | FD | KD |\n|---|---|---|")
    print("\n".join(f"| {row.what} | {row.fd} | {row.kd} |" for row in rows))
    if not asked.readme:
        print("\nin percent of: " + "; ".join(references))
        print(f"seed {SEED}; {sizes}")
        where = (
            f"{platform.platform()}, {os.cpu_count()} cores, torch {torch.__version__}, Python {sys.version.split()[0]}"
        )
        print(f"{where}; {time.perf_counter() - start:.0f} s")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
