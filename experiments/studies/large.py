"""How do time and memory of a generation grow with the number of images? A loop of 20,000 to 1,000,000 images.

Question:   is the time of a generation in proportion to the number of images n, and is its memory the same for every n?
Command:    python experiments/studies/large.py       (--sizes 20000,50000,100000,200000 --generations 1 --million)
Hardware:   one CPU core, no GPU, no download; 2.5 GB of disk for 200,000 images, 10 GB for --million.
Expected:   seconds an image alike for every n; peak memory within 10 % of the smallest n's.
Refuted by: seconds an image that grow with n, or a peak of memory that does.

Method: Gaussian random fields of 32 x 32 px in colour (3,072 bytes an image), probabilistic PCA with 8 components
under replace, and metrics that read every image. Each n is a process of its own, which runs imagelab's loop as any run
does, and commits every shard with its manifest. Seconds are of the process's CPU (one thread), and of the wall.
Memory: "resident" is the largest resident set while the generation was made, as the kernel counts it (VmHWM, reset
before each), mapped pages of files included; "own" is the largest part of it that is not mapped from files (RssAnon,
read every 20 ms), which the kernel cannot take back.

With --million the training images, of 16 x 16 px, are 1,000 fields and 999,000 black pictures in a file with holes.
Generations 0 and 1 are made by the same code: fit, 1,000,000 drawn images, committed shards, and one metric.

With --pairs 100000 no run is made: the metrics that compare all pairs are taken of two sets of so many random features
(float64 [N,128], as many as the primary space has, mapped from files), and their seconds and memory are printed.

Seen 2026-11-29, 2 x86-64 cores shared with other work (so the wall says nothing), seed 0, one generation after the real
images, each n once:
        n  CPU ms/image  resident MB  own MB      (generation 1; the real images: 692, 698, 744 MB resident)
   20,000           .54          816     497
   50,000           .39          804     483
  200,000           .39          825     503
Time is in proportion to n or below it; memory is flat within 4 %. Before the jackknife of the Frechet distance read
blocks, 200,000 images took 1,099 MB.
--million: 6 s of CPU for the real images, 78 s for generation 1; resident 655 and 834 MB, own 362 and 526.
--pairs 100000, each once, beside other work (CPU seconds of one thread; resident and own MB):
  nearest of all                         79    672   398
  kernel distance                       290  1,047   576
  precision, recall, density, coverage  270    847   426
  their errors                          203  1,247   781
So all four are complete within a quarter of an hour of one core.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Literal

import numpy as np

from imagelab import Experiment
from imagelab.data import RandomField
from imagelab.data.base import Data, Sample
from imagelab.experiment import Runtime
from imagelab.generators import Gaussian
from imagelab.io.catalogue import BadFile, Split
from imagelab.io.large_arrays import blocks_of, empty_array
from imagelab.metrics import Metric
from imagelab.metrics.features import CONTROLS
from imagelab.metrics.frechet import frechet_rows
from imagelab.metrics.kernel import kernel_distance
from imagelab.metrics.neighbours import nearest
from imagelab.metrics.prdc import prdc_errors, prdc_of
from imagelab.runs.run import steps

SIZES = (20_000, 50_000, 100_000, 200_000)
SIDE, SPARSE_SIDE = 32, 16
FEATURES = 128
COMPONENTS = 8
HELDOUT = 1_000
DRAWN = 1_000  # random fields among the pictures of the sparse data
ONE_SPACE = Metric(
    partial(frechet_rows, space=CONTROLS[0], name="frechet_one_space"),
    title="Fréchet distance in one space",
    unit="",
    what="How far the made images are from the real ones as a crowd, seen through one random network.",
    blind="Single freckles; a lost group.",
    better="lower",
    least=1000,
    cite="arXiv:1706.08500",
    gives=("frechet_one_space", "frechet_one_space_corrected"),
    name="frechet_one_space",
)
PANEL = ("spectrum", "hf_ratio", "pixel_variance", "tone", ONE_SPACE)
CHEAP = ("pixel_variance",)


class Sparse(Data):
    """1,000 random fields, and black pictures from a file with holes, which takes no disk."""

    kind: Literal["sparse"] = "sparse"

    @property
    def shape(self) -> tuple[int, int, int]:
        """(3, 16, 16)."""
        return 3, SPARSE_SIDE, SPARSE_SIDE

    def available(self, seed: int) -> Mapping[str, int | None]:
        """No split ends."""
        return {"train": None, "heldout": None, "reserve": None}

    def load(self, split: Split, n: int, seed: int) -> Sample:
        """Return n pictures, the fields spread evenly among the black ones."""
        fields = RandomField(size=SPARSE_SIDE).load(split, min(n, DRAWN), seed).images
        with tempfile.TemporaryFile() as file:
            file.truncate(n * fields[0].size)
            images = np.memmap(file, np.uint8, "r+", shape=(n, *self.shape))
        images[np.linspace(0, n - 1, len(fields)).astype(int)] = fields
        return Sample(images)

    def bad_files(self) -> tuple[BadFile, ...]:
        """None: no files are read."""
        return ()

    def card(self) -> str:
        """What it is."""
        return "Gaussian random fields among black pictures: they show nothing."


class Watch:
    """The memory of this process between two readings."""

    def __init__(self) -> None:
        self.own = 0
        threading.Thread(target=self._look, daemon=True).start()
        self.begin()

    def begin(self) -> None:
        """Forget what was."""
        Path("/proc/self/clear_refs").write_text("5")
        self.own, self._wall, self._cpu = 0, time.monotonic(), time.process_time()

    def read(self) -> dict[str, float]:
        """Return what came since the beginning: seconds, and the peaks of memory in MB."""
        return {
            "wall": time.monotonic() - self._wall,
            "cpu": time.process_time() - self._cpu,
            "resident": _status("VmHWM") / 1e3,
            "own": self.own / 1e3,
        }

    def _look(self) -> None:
        while True:
            self.own = max(self.own, _status("RssAnon"))
            time.sleep(0.02)


def _status(name: str) -> int:
    """Return a line of /proc/self/status, kB."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return int(next(line for line in lines if line.startswith(name)).split()[1])


def one(n: int, generations: int, root: Path, sparse: bool) -> list[dict[str, float]]:
    """Run the loop with n images, and return what each generation took."""
    experiment = Experiment(
        name="large",
        data=Sparse() if sparse else RandomField(size=SIDE),
        generator=Gaussian(components=4 if sparse else COMPONENTS),
        generations=generations,
        images=n,
        heldout=HELDOUT,
        metrics=CHEAP if sparse else PANEL,  # pyright: ignore[reportArgumentType]
        runtime=Runtime(runs=root, device="cpu", threads=1),
    )
    watch, rows = Watch(), []
    for shard in steps(experiment):
        rows.append({"n": n, "generation": shard.generation, **watch.read()})
        watch.begin()
    rows[-1]["process"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e3
    return rows


def pairs(n: int, folder: Path | None) -> None:
    """Take the metrics of all pairs of two sets of n images, and print what each took."""
    import torch

    torch.set_num_threads(1)
    rng, sets = np.random.default_rng(0), []
    for shift in (0.0, 0.2):
        values = empty_array((n, FEATURES), np.float64, folder)
        for rows, block in blocks_of(values, 4096):
            values[rows] = rng.standard_normal(block.shape) * 0.97 ** np.arange(FEATURES) + shift
        sets.append(values)
    real, fake = sets
    metrics = {
        "nearest of all": lambda: nearest(real, real, 5, exclude_self=True),
        "kernel distance": lambda: kernel_distance(real, fake, own_ruler=True),
        "precision, recall, density, coverage": lambda: prdc_of(real, fake),
        "their errors": lambda: prdc_errors(real, fake, 0, own_ruler=True),
    }
    watch = Watch()
    print("        n  metric                                 CPU s   wall s   resident MB   own MB")
    for name, measured in metrics.items():
        watch.begin()
        measured()
        took = watch.read()
        seconds, memory = f"{took['cpu']:6.0f}  {took['wall']:7.0f}", f"{took['resident']:12,.0f}  {took['own']:7,.0f}"
        print(f"{n:9,}  {name:36}  {seconds}  {memory}", flush=True)


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--sizes", default=",".join(map(str, SIZES)))
    parser.add_argument("--generations", type=int, default=1)
    parser.add_argument("--million", action="store_true", help="1,000,000 sparse images, one generation")
    parser.add_argument("--folder", type=Path, help="where the runs lie until they are removed; a temporary folder")
    parser.add_argument("--pairs", type=int, help="images of each set of which all pairs are compared; no run is made")
    parser.add_argument("--one", type=int, help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.one:
        print(json.dumps(one(asked.one, asked.generations, asked.folder, asked.million)))
        return
    if asked.pairs:
        pairs(asked.pairs, asked.folder)
        return
    print("        n  gen.  CPU s   wall s  ms/image   resident MB   own MB")
    for n in [1_000_000] if asked.million else [int(size) for size in asked.sizes.split(",")]:
        with tempfile.TemporaryDirectory(dir=asked.folder) as folder:
            generations = "1" if asked.million else str(asked.generations)
            words = [sys.executable, __file__, "--one", str(n), "--generations", generations, "--folder", folder]
            words += ["--million"] if asked.million else []
            said = subprocess.run(words, check=True, stdout=subprocess.PIPE, text=True).stdout
        for row in json.loads(said):
            print(
                f"{n:9,}  {row['generation']:4}  {row['cpu']:5.0f}  {row['wall']:7.0f}  {row['cpu'] / n * 1e3:8.2f}"
                f"  {row['resident']:12,.0f}  {row['own']:7,.0f}",
                flush=True,
            )


if __name__ == "__main__":
    main()
