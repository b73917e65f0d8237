"""How often does a perceptual hash match two pictures that are not versions of one picture?

Question:   at which distance may `imagelab inspect` call a picture a near match, and how often is that wrong?
Command:    python experiments/instruments/near_match.py --run RUN      make the table that the package ships
            python experiments/instruments/near_match.py --n 100 --out small.json
Hardware:   1 CPU core, no GPU: about fifteen minutes, most of them for drawing faces.
Expected:   JPEG and resizing keep the hash of their own picture the nearest; a crop does not. Drawn faces are aligned,
            so strangers come nearer to each other than crops of photographs do.
Refuted by: a smaller rate of false matches with faces than with crops of photographs at the same threshold.

For each kind of picture and size: a gallery of n pictures, and 2 n strangers that are in no way from it. Every picture
of the gallery, and every stranger, is changed in six ways. Recall: the nearest picture of the gallery is the original,
and within the threshold. False match: any picture of the gallery is within the threshold of a stranger, in at least one
of the seven forms of the stranger. Crops of photographs come from regions of their own, so gallery and strangers do not
overlap; but crops of one region do, so their n counts more than it should: `disjoint` says how many do not overlap.
Model pictures: the lines of a finished run; two chains are the gallery, a third the strangers, at six generations.

Seen 2026-11-29, n 4,000, run photocopy seed 0 (12,000 model pictures in the gallery): within 16 of 256 bits no false
match at any size (64 px: 0 of 8,000 faces and of 8,000 crops, 2 of 12,000 model pictures), within 24 bits 28 of 8,000
faces, within 32 bits 3 %, within 48 bits half of all. Recall at 64 px within 16 bits: JPEG 90, half and 1.5 times the
size 1.000, JPEG 75 0.994 to 1.000, JPEG 50 0.950 to 0.995, crop 0.000. At 32 px: JPEG 90 0.999 of faces and 0.80 of
crops, JPEG 75 0.87 and 0.67. A crop is never found. The 64 bit hash is of no use: within 2 bits 5 % false. 327 s of
CPU time without the drawing of faces.
"""

from __future__ import annotations

import argparse
import io
import json
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from imagelab._version import __version__
from imagelab.data.faces import Faces
from imagelab.data.textures import Textures
from imagelab.metrics.intervals import wilson
from imagelab.provenance.fingerprints import BITS, hamming, perceptual_hashes
from imagelab.provenance.near_match import CALIBRATION, threshold_for
from imagelab.run_folder import RunFolder

SIZES = (32, 64, 128)
SEED = 30
THRESHOLDS = {64: (0, 2, 4, 6, 8, 10), 256: (0, 4, 8, 12, 16, 20, 24, 28, 32, 40, 48)}  # distances are even numbers
ASKED = 2000  # pictures of a gallery that are changed and searched again
GENERATIONS = (1, 2, 3, 5, 7, 10)

Change = Callable[[np.ndarray], np.ndarray]


def jpeg(quality: int) -> Change:
    """Return the change uint8 [N,C,H,W] -> the same after JPEG of this quality."""

    def change(images: np.ndarray) -> np.ndarray:
        return np.stack([_jpeg(image, quality) for image in images])

    return change


def _jpeg(image: np.ndarray, quality: int) -> np.ndarray:
    file = io.BytesIO()
    Image.fromarray(image.transpose(1, 2, 0)).save(file, "JPEG", quality=quality)
    return np.asarray(Image.open(file)).transpose(2, 0, 1)


def resized(factor: float) -> Change:
    """Return the change to another size, bicubic."""

    def change(images: np.ndarray) -> np.ndarray:
        side = round(images.shape[2] * factor)
        pictures = (Image.fromarray(image.transpose(1, 2, 0)) for image in images)
        return np.stack(
            [np.asarray(p.resize((side, side), Image.Resampling.BICUBIC)).transpose(2, 0, 1) for p in pictures]
        )

    return change


def cropped(images: np.ndarray) -> np.ndarray:
    """Return the pictures without 1/32 of their side at each edge."""
    cut = images.shape[2] // 32
    return images[:, :, cut:-cut, cut:-cut]


CHANGES: dict[str, Change] = {
    "jpeg 90": jpeg(90),
    "jpeg 75": jpeg(75),
    "jpeg 50": jpeg(50),
    "half size": resized(0.5),
    "1.5 times the size": resized(1.5),
    "crop of 1/32 at each edge": cropped,
}


def rates(sets: Sequence[tuple[np.ndarray, np.ndarray]], bits: int) -> dict[str, Any]:
    """Return thresholds, false matches and recall of one kind of picture, pooled over sets of (gallery, strangers)."""
    thresholds = np.array(THRESHOLDS[bits])
    found = {name: np.zeros(len(thresholds), int) for name in CHANGES}
    false, asked, strange = np.zeros(len(thresholds), int), 0, 0
    for gallery, strangers in sets:
        hashes, nearest = perceptual_hashes(gallery, bits), np.full(len(strangers), bits)
        rows = np.linspace(0, len(gallery) - 1, min(ASKED, len(gallery))).astype(int)
        for name, change in {"as it is": lambda images: images, **CHANGES}.items():
            nearest = np.minimum(
                nearest, [hamming(h, hashes).min() for h in perceptual_hashes(change(strangers), bits)]
            )
            if name in CHANGES:
                for row, one in zip(rows, perceptual_hashes(change(gallery[rows]), bits), strict=True):
                    away = hamming(one, hashes)
                    own, away[row] = int(away[row]), bits
                    found[name] += (own < away.min()) & (own <= thresholds)
        false += (nearest[:, None] <= thresholds).sum(axis=0)
        asked, strange = asked + len(rows), strange + len(strangers)
    recall = {name: {"n": asked, "found": counts.tolist()} for name, counts in found.items()}
    return {"thresholds": thresholds.tolist(), "strangers": strange, "false": false.tolist(), "recall": recall}


def pictures(
    size: int, n: int, run: RunFolder | None
) -> Iterator[tuple[str, list[tuple[np.ndarray, np.ndarray]], dict]]:
    """Yield (kind, sets of gallery and strangers, facts) of one size."""
    faces = Faces(size=size, freckle_rate=0.6)
    yield "drawn faces", [(faces.load("train", n, SEED).images, faces.load("heldout", 2 * n, SEED).images)], {}
    crops = Textures(size=size)
    few = min(2 * n, crops.available(SEED)["heldout"] or 0)
    facts = {"disjoint": [crops.disjoint_crops("train"), crops.disjoint_crops("heldout")]}
    yield "photographs", [(crops.load("train", n, SEED).images, crops.load("heldout", few, SEED).images)], facts
    if run is not None and run.images(1).shape[2] == size:
        sets = []
        for line in (0, 1):  # lines 0, 2, 4 and 1, 3, 5 are three chains of one model
            chains = [np.concatenate([run.images(t, line + 2 * chain) for t in GENERATIONS]) for chain in range(3)]
            sets.append((np.concatenate(chains[:2]), chains[2]))
        yield "model pictures", sets, {"generations": GENERATIONS}


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure and print; return 1 if faces match falsely less often than photographs at some threshold."""
    parser = argparse.ArgumentParser(description="False matches of perceptual hashes.")
    parser.add_argument("--n", type=int, default=4000, help="pictures of a gallery")
    parser.add_argument("--run", type=Path, help="a finished photocopy run of three chains")
    parser.add_argument("--out", type=Path, default=CALIBRATION)
    asked = parser.parse_args(arguments)
    start = time.process_time()
    run = None if asked.run is None else RunFolder(asked.run)
    sizes: dict[str, Any] = {}
    for size in SIZES:
        for kind, sets, facts in pictures(size, asked.n, run):
            row = {"gallery": len(sets[0][0]), **facts, "bits": {str(bits): rates(sets, bits) for bits in BITS}}
            sizes.setdefault(str(size), {})[kind] = row
            print(size, kind, f"{time.process_time() - start:.0f} s", flush=True)
    table = {"about": {"version": __version__, "seed": SEED}, "sizes": sizes}
    asked.out.write_text(json.dumps(table, separators=(",", ":")).replace('"bits"', '\n"bits"') + "\n")
    for size in SIZES:
        print(f"{size} px:", threshold_for(size, asked.n, table))
    return _say(sizes)


def _say(sizes: Mapping[str, Any]) -> int:
    wrong = 0
    for size, kinds in sizes.items():
        for bits in map(str, BITS):
            for place, most in enumerate(THRESHOLDS[int(bits)]):
                words = []
                for kind, row in kinds.items():
                    seen = row["bits"][bits]
                    low, high = wilson(seen["false"][place] / seen["strangers"], seen["strangers"])
                    recall = min(change["found"][place] / change["n"] for name, change in seen["recall"].items())
                    jpegs = min(
                        seen["recall"][f"jpeg {q}"]["found"][place] / seen["recall"][f"jpeg {q}"]["n"] for q in (90, 75)
                    )
                    words.append(f"{kind}: false {low:.4f} to {high:.4f}, JPEG >= 75 {jpegs:.3f}, worst {recall:.3f}")
                print(f"{size} px, {most} of {bits} bits: {'; '.join(words)}")
                both = (kinds[kind]["bits"][bits] for kind in ("drawn faces", "photographs"))
                faces, crops = (row["false"][place] / row["strangers"] for row in both)
                wrong += faces < crops
    return int(wrong > 0)


if __name__ == "__main__":
    raise SystemExit(main())
