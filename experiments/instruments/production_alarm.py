"""How often does the alarm of ``imagelab watch --folder`` ring for nothing, and what does it take to make it ring?

Question:   does the alarm keep the rate of false alarms that it states, for a batch and for 100 batches, also where
            REAL is small? Which share of generated pictures, and which generation of a loop, rings within 8 batches?
Command:    python experiments/instruments/production_alarm.py                  false alarms: real batches only
            python experiments/instruments/production_alarm.py --power RUN      mixtures and generations of a run
            --quick     small sizes, to see that it runs
Hardware:   one CPU core, MINUTES.
Expected:   at most 1 batch of 1,000 and 1 series of 10 (the stated rate of .1 in 100 batches).
Refuted by: more, beyond the error of the count.
"""

from __future__ import annotations

import argparse
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from imagelab import Faces, RunFolder, Textures
from imagelab.evaluation.production_alarm import POOLED, AlarmReference, BatchSums, look_at
from imagelab.evaluation.picture_readings import picture_readings
from imagelab.metrics import ImageSet
from imagelab.metrics.features import PRIMARY, features
from imagelab.pool import REAL
from imagelab.seeds import rng_at

SEED = 270_411
RATE = 0.1  # stated, of any false alarm in 100 batches
POOL, SERIES, BATCHES = 9_000, 60, 100
CASES = {
    "faces": ((1000, 100), (500, 400), (300, 60)),
    "textures": ((1000, 100), (300, 60)),
}
"""Pictures -> (pictures of REAL, pictures of a batch)."""

SHARES = (0.05, 0.1, 0.2, 0.3, 0.5, 1.0)


@dataclass(frozen=True, eq=False)
class Source:
    """Pictures with their features in memory, from which sets are drawn."""

    pictures: ImageSet

    @classmethod
    def of(cls, images: np.ndarray) -> Source:
        """Read the pictures once."""
        pictures = ImageSet(images)
        features(pictures, PRIMARY)
        pictures.memory["picture readings"] = np.stack(list(picture_readings(images).values()), axis=1)
        return cls(pictures)

    def subset(self, rows: np.ndarray) -> ImageSet:
        """Return some of them with their features."""
        memory = {slot: values[rows] for slot, values in self.pictures.memory.items()}
        return ImageSet(self.pictures.images[rows], memory=memory)

    def __len__(self) -> int:
        return len(self.pictures)


def joined(left: ImageSet, right: ImageSet) -> ImageSet:
    """Return two sets as one."""
    memory = {slot: np.concatenate([left.memory[slot], right.memory[slot]]) for slot in left.memory}
    return ImageSet(np.concatenate([left.images, right.images]), memory=memory)


@dataclass
class Told:
    """What the alarm said of one series of batches.

    Attributes:
        alone: batch by batch, whether the look at it alone rang.
        pooled: whether the look at the last batches together rang; False for the first.
        blamed: the largest measurement of each alarm.
    """

    alone: list[bool]
    pooled: list[bool]
    blamed: Counter[str]

    @property
    def rang(self) -> list[bool]:
        """Batch by batch, whether there was an alarm."""
        return [left or right for left, right in zip(self.alone, self.pooled, strict=True)]


def series(reference: AlarmReference, draw: Callable[[int], ImageSet], batches: int) -> Told:
    """Watch a series of batches; ``draw`` gives the pictures of each."""
    kept: list[BatchSums] = []
    told = Told([], [], Counter())
    for batch in range(batches):
        kept = [*kept, reference.sums(draw(batch))][-POOLED:]
        looks = [look_at(reference, kept[-1:])] + ([look_at(reference, kept)] if len(kept) > 1 else [])
        told.alone.append(looks[0].rings)
        told.pooled.append(len(looks) > 1 and looks[1].rings)
        told.blamed.update(look.largest[0] for look in looks if look.rings)
    return told


def false_alarms(name: str, source: Source, real: int, batch: int, repeats: int, batches: int) -> None:
    """Print one row: how often batches of real pictures ring."""
    told: list[Told] = []
    for repeat in range(repeats):
        rng = rng_at(SEED, name, real, batch, repeat)
        order = rng.permutation(len(source))
        reference = AlarmReference(source.subset(order[:real]), RATE, seed=repeat)
        rest = order[real:]

        def draw(place: int, rng: np.random.Generator = rng, rest: np.ndarray = rest) -> ImageSet:
            return source.subset(rng.choice(rest, batch, replace=False))

        told.append(series(reference, draw, batches))
    total = repeats * batches
    alone, pooled, either = (sum(sum(getattr(t, kind)) for t in told) for kind in ("alone", "pooled", "rang"))
    ever = sum(any(t.rang) for t in told)
    blamed = ", ".join(f"{what} {count}" for what, count in sum((t.blamed for t in told), Counter()).most_common(3))
    print(
        f"{name:9s} {real:5d} {batch:5d} {total:7d} {alone:6d} {pooled:7d} {either / total:9.4%} "
        f"{ever:4d} of {repeats:3d}   {blamed}",
        flush=True,
    )


def first_rings(told: Sequence[Told], within: int) -> str:
    """Return in how many series it rang at the first batch, and within some batches."""
    at_once, by_then = sum(t.rang[0] for t in told), sum(any(t.rang[:within]) for t in told)
    return f"{at_once:3d} {by_then:3d} of {len(told):3d}"


def power(run: Path, sizes: Sequence[int], repeats: int, generations: Sequence[int]) -> None:
    """Print how soon mixtures and generations ring, against the real pictures of the run and against generation 1."""
    folder = RunFolder.open(run)

    def opened(generation: int) -> Source:
        return Source.of(np.load(folder.file(generation, 0 if generation else REAL, "images.npy"), mmap_mode="r")[:])

    heldout = Source.of(np.load(folder.file(0, REAL, "heldout.npy"), mmap_mode="r")[:])
    train = opened(0)
    made = {generation: opened(generation) for generation in generations}
    first = made[generations[0]]
    for batch in sizes:
        print(f"\nbatches of {batch} pictures: rings at the first, within {POOLED} batches")
        reference = AlarmReference(heldout.subset(np.arange(len(heldout))), RATE)
        for generation in (generations[0], generations[-1]):
            for share in SHARES:
                count = round(share * batch)
                told = []
                for repeat in range(repeats):
                    rng = rng_at(SEED, "mixture", batch, generation, count, repeat)

                    def draw(
                        place: int, rng: np.random.Generator = rng, count: int = count, made_: Source = made[generation]
                    ) -> ImageSet:
                        return joined(
                            made_.subset(rng.choice(len(made_), count, replace=False)),
                            train.subset(rng.choice(len(train), batch - count, replace=False)),
                        )

                    told.append(series(reference, draw, POOLED))
                print(
                    f"  {share:4.0%} of generation {generation}, the rest real: {first_rings(told, POOLED)}", flush=True
                )
        half = rng_at(SEED, "halves").permutation(len(first))
        start = AlarmReference(first.subset(half[: len(half) // 2]), RATE)
        for generation, source in made.items():
            rows = half[len(half) // 2 :] if generation == generations[0] else np.arange(len(source))
            told = []
            for repeat in range(repeats):
                rng = rng_at(SEED, "generation", batch, generation, repeat)

                def draw_one(
                    place: int, rng: np.random.Generator = rng, rows: np.ndarray = rows, source: Source = source
                ) -> ImageSet:
                    return source.subset(rng.choice(rows, batch, replace=False))

                told.append(series(start, draw_one, POOLED))
            print(f"  generation {generation} against generation 1 as REAL: {first_rings(told, POOLED)}", flush=True)


def main() -> None:
    """Parse the command line, measure, print the tables."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--power", type=Path, metavar="RUN", help="mixtures and generations of a finished run")
    parser.add_argument("--quick", action="store_true", help="small sizes, to see that it runs")
    chosen = parser.parse_args()
    if chosen.power:
        power(chosen.power, (50,) if chosen.quick else (60, 200), 2 if chosen.quick else 20, (1, 2, 3, 5, 10))
        return
    print(f"stated: {RATE / 100:.2%} a batch, {RATE:.0%} of the series of 100 batches")
    print(f"pictures   REAL batch batches  alone last {POOLED}  a batch  series     largest measurement at the alarm")
    for name, cases in CASES.items():
        data = Faces(size=64, freckle_rate=0.6) if name == "faces" else Textures(size=64)
        source = Source.of(data.load("train", 600 if chosen.quick else POOL, SEED).images)
        for real, batch in cases[-1:] if chosen.quick else cases:
            repeats, batches = (2, 10) if chosen.quick else (SERIES, BATCHES)
            false_alarms(name, source, real, batch, repeats, batches)


if __name__ == "__main__":
    main()
