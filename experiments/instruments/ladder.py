"""What does each metric see, not see, and see the wrong way? Every metric on images of known damage.

Question:   by how many standard errors does each measurement move under blur, noise, compression, copies, colour, lost
            groups and lost freckles, and in which direction?
Command:    python experiments/instruments/ladder.py                 make the table that the package ships
            python experiments/instruments/ladder.py --rows freckles,tails    renew these rows of it
            python experiments/instruments/ladder.py --faces 60 --textures 40 --rows tone,spectrum --out small.json
Hardware:   1 shared CPU core, no GPU: 210 s of CPU time for the whole table.
Expected:   every degradation is seen by some metric; no metric improves under a degradation.
Refuted by: the lines "nothing sees" and "the wrong way" that the command prints at the end.

Faces: reference and training set of n each, the images under test are n others; Textures likewise. The training set is
also what a memorisation metric is shown. Groups that are lost are replaced by other faces without the property, so that
n stays the same. Features of reference and training set are computed once. imagelab.metrics.ladder reads the table.

Seen 2026-11-29 (112 measurements of faces, n 500; 75 of crops, n 300): a shift by 1 px and a mirror are seen by
nothing, and less saturation of crops is not, as they are grey; all else is seen by something. The wrong way:
freckles/matched_blank under shrinking and contrast .8 (-4.3, -3.3: pale faces hide false freckles, too). On crops,
half copies of training "improve" FD, KD, recall, likelihood and detectors (z 3 to 7): reserve, training and held-out
crops are different regions of three photographs. The loss of glasses, headscarf and beard (28 % of the faces) moves FD
by +1.4; it is seen by shares/distance (+13), shares/disparity (+5), the probes (-5 to -13) and, barely, by two red
bands and the slope (-4). Half of the freckles lost moves FD by +3.1, the count by -12.
Seen 2026-11-30, ``--rows freckles`` (the other values are unchanged): freckles/spread, the deviation of the count over
faces, moves by -38 where all freckles are lost and by -3.5 where half of the freckled faces lose theirs.
"""

from __future__ import annotations

import argparse
import json
import math
import time
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from imagelab._version import __version__
from imagelab.data.base import Data, Sample
from imagelab.data.faces import Faces
from imagelab.data.textures import Textures
from imagelab.measurement import Measurement
from imagelab.metrics import METRICS, Evidence, ImageSet, measure_panel, row_of
from imagelab.metrics import degradations as damage
from imagelab.metrics import ladder as home
from imagelab.seeds import rng_at

SEED = 20
Blow = Callable[["Bench"], np.ndarray]


@dataclass(frozen=True)
class Bench:
    """Real images for one table.

    Attributes:
        real: held-out images, the reference.
        train: training images.
        tested: the images under test, n of them, and behind them spare ones that replace lost groups.
        n: images under test.
    """

    real: Sample
    train: Sample
    tested: Sample
    n: int

    @property
    def images(self) -> np.ndarray:
        """The images under test, untouched: uint8 [n,C,H,W]."""
        return self.tested.images[: self.n]

    def without(self, lost: np.ndarray) -> np.ndarray:
        """Return the images with every lost one (bool over tested and spare) replaced by a spare one that is not."""
        rows, spare = np.arange(self.n), np.flatnonzero(~lost[self.n :]) + self.n
        gone = np.flatnonzero(lost[: self.n])
        if len(spare) < len(gone):
            raise SystemExit(f"{len(spare)} spare images for {len(gone)} lost ones; draw more")
        rows[gone] = spare[: len(gone)]
        return self.tested.images[rows]

    def lacking(self, *attributes: str) -> np.ndarray:
        """Return the images with all faces that have one of the attributes replaced."""
        return self.without(np.any([self.tested.attributes[name] for name in attributes], axis=0))

    def unfreckled(self, rows: slice) -> np.ndarray:
        """Return the images with some of them replaced by their freckle-free twins."""
        assert self.tested.twins is not None
        images = self.images.copy()
        images[rows] = self.tested.twins[: self.n][rows]
        return images

    def doubled(self, noise: float) -> np.ndarray:
        """Return the images with the second half replaced by copies of the first, with noise."""
        half = self.images[: self.n // 2]
        copies = damage.noised(half, noise, rng_at(SEED, "ladder/copies")) if noise else half
        return np.concatenate([half, copies, self.images[2 * len(half) :]])


def _noise(sd: float) -> Blow:
    return lambda bench: damage.noised(bench.images, sd, rng_at(SEED, f"ladder/noise/{sd}"))


ANY: dict[str, Blow] = {
    "blur .5 px": lambda bench: damage.blurred(bench.images, 0.5),
    "blur 1 px": lambda bench: damage.blurred(bench.images, 1.0),
    "noise .02": _noise(0.02),
    "noise .05": _noise(0.05),
    "JPEG 90": lambda bench: damage.compressed(bench.images, 90),
    "JPEG 50": lambda bench: damage.compressed(bench.images, 50),
    "half duplicates": lambda bench: bench.doubled(0.0),
    "half near duplicates": lambda bench: bench.doubled(0.01),
    "half copies of training": lambda bench: np.concatenate(
        [bench.train.images[: bench.n // 2], bench.images[bench.n // 2 :]]
    ),
    "tint of 8 levels": lambda bench: damage.tinted(bench.images, (8.0, 0.0, -8.0)),
    "saturation .7": lambda bench: damage.toned(bench.images, saturation=0.7),
    "contrast .8": lambda bench: damage.toned(bench.images, contrast=0.8),
    "contrast 1.2": lambda bench: damage.toned(bench.images, contrast=1.2),
    "brightness +10": lambda bench: damage.tinted(bench.images, (10.0, 10.0, 10.0)),
    "shrunk to the mean": lambda bench: damage.shrunk(bench.images, 0.7),
    "shift 1 px": lambda bench: damage.shifted(bench.images, 1),
    "mirrored": lambda bench: np.ascontiguousarray(bench.images[..., ::-1]),
    "32 levels": lambda bench: damage.posterised(bench.images, 32),
}
"""Degradations of any images."""

OF_FACES: dict[str, Blow] = {
    "three hair styles lost": lambda bench: bench.lacking("hair_long", "hair_bob", "hair_afro"),
    "glasses or headscarf or beard lost": lambda bench: bench.lacking("glasses", "headscarf", "beard"),
    "all freckles lost": lambda bench: bench.unfreckled(slice(None)),
    "half of the freckled lost": lambda bench: bench.unfreckled(slice(None, None, 2)),
}

OF_TEXTURES: dict[str, Blow] = {
    "one photograph lost": lambda bench: bench.without(
        np.array([source.startswith("grass") for source in bench.tested.sources])
    ),
}


def faces(n: int) -> Bench:
    """Return the bench of faces, three in five of them freckled, as in the main experiment."""
    return _bench(Faces(size=64, freckle_rate=0.6), n)


def textures(n: int) -> Bench:
    """Return the bench of crops of three photographs."""
    return _bench(Textures(), n)


def _bench(data: Data, n: int) -> Bench:
    return Bench(data.load("heldout", n, SEED), data.load("train", n, SEED), data.load("reserve", 2 * n, SEED), n)


def taken(
    bench: Bench, fake: np.ndarray, rows: Sequence[str], sets: tuple[ImageSet, ImageSet]
) -> dict[str, Measurement]:
    """Take the rows; a row that fails is left out with a warning."""
    twins = bench.real.twins
    blank = None if twins is None else ImageSet(twins[:256])
    pairs = None if twins is None else (ImageSet(bench.real.images[:256], sets[0].cache), ImageSet(twins[:256]))
    evidence = Evidence(sets[0], ImageSet(fake), blank, SEED, train=sets[1], pairs=pairs)
    found: dict[str, Measurement] = {}
    for row in rows:
        try:
            found |= {m.name: m for m in measure_panel(evidence, [row])}
        except Exception as error:  # one broken metric must not cost the table of the others
            warnings.warn(f"{row}: {type(error).__name__}: {error}", stacklevel=1)
    return found


def change(after: Measurement, before: Measurement) -> float | None:
    """Return z, None without values or errors."""
    if after.value is None or before.value is None or after.stderr is None or before.stderr is None:
        return None
    error = math.sqrt((after.stderr**2 + before.stderr**2) / 2)
    gap = after.value - before.value
    if error == 0:
        return 0.0 if gap == 0 else None
    return round(min(max(gap / error, -999.0), 999.0), 1) + 0.0  # no -0.0


def table(bench: Bench, blows: dict[str, Blow], rows: Sequence[str], say: Callable[[str], None]) -> dict[str, Any]:
    """Return the degradations, and measurement -> better, base, change in their order.

    Measurements without a direction or without an error are left out.
    """
    sets = ImageSet(bench.real.images), ImageSet(bench.train.images)
    plain = taken(bench, bench.images, rows, sets)
    say(f"untouched: {len(plain)} measurements")
    made: dict[str, Any] = {
        name: {"better": m.better, "base": float(f"{m.value:.4g}"), "change": []}
        for name, m in plain.items()
        if m.value is not None and m.stderr is not None and m.better != "none"
    }
    for label, blow in blows.items():
        found = taken(bench, blow(bench), rows, sets)
        for name, row in made.items():
            row["change"].append(change(found[name], plain[name]) if name in found else None)
        say(label)
    return {"degradations": list(blows), "measurements": made}


def merged(old: dict[str, Any], new: dict[str, Any], rows: Sequence[str]) -> dict[str, Any]:
    """Return the old table with the measurements of some rows replaced by new ones."""
    steps = ([each["about"], each["faces"]["degradations"], each["textures"]["degradations"]] for each in (old, new))
    if next(steps) != next(steps):
        raise SystemExit("the table was made with another version, n, seed or ladder; make it whole, without --rows")
    for data in ("faces", "textures"):
        kept = {name: row for name, row in old[data]["measurements"].items() if row_of(name) not in rows}
        new[data]["measurements"] = kept | new[data]["measurements"]
    return new


def show(name: str, made: dict[str, Any]) -> None:
    """Print the table, and what nothing sees or what improves under damage."""
    labels, rows = made["degradations"], made["measurements"]
    print(f"\n{name}: change in standard errors; columns: " + "; ".join(f"{k} {one}" for k, one in enumerate(labels)))
    print(f"{'':44s}" + "".join(f"{k:>7d}" for k in range(len(labels))))
    for each, row in rows.items():
        cells = ("-" if z is None else f"{z:+.1f}" for z in row["change"])
        print(f"{each[:43]:44s}" + "".join(f"{cell:>7s}" for cell in cells))
    for k, label in enumerate(labels):
        if not any(abs(row["change"][k] or 0) >= home.SEEN for row in rows.values()):
            print(f"nothing sees: {label}")
    for each, row in rows.items():
        better = {"lower": -1, "higher": 1}.get(row["better"], 0)
        changes = zip(labels, row["change"], strict=True)
        wrong = [f"{label} {z:+.1f}" for label, z in changes if z is not None and z * better >= home.SEEN]
        if wrong:
            print(f"the wrong way: {each}: {', '.join(wrong)}")


def main() -> None:
    """Read the command line, measure, print, write."""
    parser = argparse.ArgumentParser(description="Measure every metric under every degradation.")
    parser.add_argument("--faces", type=int, default=500, help="number of faces")
    parser.add_argument("--textures", type=int, default=300, help="number of crops")
    parser.add_argument("--rows", default="", help="rows of METRICS, by commas; all without weights if not given")
    parser.add_argument("--out", type=Path, default=Path(home.__file__).with_name("ladder.json"), help="file to write")
    asked = parser.parse_args()
    import torch

    torch.set_num_threads(1)
    rows = [row for row in asked.rows.split(",") if row] or [
        name for name, row in METRICS.items() if not row.needs and row.suits != "planted"
    ]
    started = time.process_time()

    def say(what: str) -> None:
        print(f"{time.process_time() - started:6.0f} s  {what}", flush=True)

    found = {"faces": table(faces(asked.faces), ANY | OF_FACES, rows, say)}
    plain = [row for row in rows if METRICS[row].suits == "any"]
    found["textures"] = table(textures(asked.textures), ANY | OF_TEXTURES, plain, say)
    for name, made in found.items():
        show(name, made)
    about = {"version": __version__, "seed": SEED, "faces": asked.faces, "textures": asked.textures}
    made = {"about": about, **found}
    if asked.rows and asked.out.exists():
        made = merged(json.loads(asked.out.read_text(encoding="utf-8")), made, rows)
    text = json.dumps(made, ensure_ascii=False, separators=(",", ":"))
    asked.out.write_text(text.replace(']},"', ']},\n"') + "\n", encoding="utf-8")
    print(f"wrote {asked.out.name}, {asked.out.stat().st_size / 1e3:.0f} kB")


if __name__ == "__main__":
    main()
