"""Can a small encoder without labels see lost detail where random features cannot? Trains and checks imagelab-ssl-v1.

Question:   which loss moves the Fréchet and kernel distances in the encoder's features by more than three times their
            null (real faces against other real faces), and does the distance rise with every step of a ladder?
Command:    python experiments/instruments/train_ssl_encoder.py --check        measure the ladder of the shipped file
                                                                               and of random networks
            python experiments/instruments/train_ssl_encoder.py --train DIR    train another encoder into a folder and
                                                                               print its SHA-256
Hardware:   one CPU core, no GPU: 11 minutes to train (630 s of CPU time), 2 to draw the pictures.
Expected:   every ladder rises, and its last step is above three times the null.
Refuted by: a ladder that does not rise, or a last step within three times the null.

Pretext tasks, none with a label: tell a picture from all others (crops, flips, a tint); say how strongly it was
degraded in each of eight ways; say how much small detail it has more than its twin with less: a face and the same one
without freckles, a texture and the same one opened and closed. The training images are disjoint from what is measured
with the encoder: faces and drawn textures come from seeds of their own (811100 and up, the ladder's from 811900);
photographs are retina, coffee, cell and hubble, their ``reserve`` rows only. So grass, gravel, brick and chelsea have
never been seen, and a run on the other four shares pixels with the training images only where its regime draws fresh
images from the reserve.

Seen 2026-11-22, two busy x86-64 cores, SHA-256 58b7cb29; N = 1000 against 1000, FD over its null; null 1.23 +- .18
(sd of six pairs of real sets; randconv-s0 3.62 +- .20). The steps are those of
experiments/instruments/ssl_encoder_card.py. Random networks: range over three.
                            imagelab-ssl-v1              random networks, last step
  blur .25 .5 .75 1 px      1.1   30  133  236           27 .. 39
  white noise .01 .02 .04   1.6  8.0  130                22 .. 27
  jpeg 95 85 70 50          1.3  1.7  2.8  5.0           1.7 .. 2.1
  freckles gone 25..100 %   1.7  4.1  9.0  14.1          1.00 .. 1.08  (27 % of faces freckled)
  the same, 60 % freckled   2.2  6.0  15.8  25.7         .95 .. 1.07
  freckled faces dropped    2.3  5.3  10.9  18.4         2.5 .. 3.3
  afro and curls dropped    .87  .98  1.4  1.6           1.4 .. 1.5
  long and wavy dropped     .88  1.2  1.7  1.8           not measured
Random features do not see freckles at all; the encoder sees when half of them are gone. Refuted for hair: groups of a
fifth of the faces vanish within three times the null (with 60 % freckled, null .97: 3.7 and 2.9), so for lost groups
use the attribute probes (metric ``tails``). Refuted for jpeg on photographs it never saw (1.2 1.9 1.5 1.8, not rising;
blur and noise there rise to 441 and 63). A blur of .25 px is seen by none. KD (null .003 +- .005) ranks the losses
alike: .21 without freckles, .01 and .02 without the groups of hair. The first phase was stopped at step 750 of 900,
with linear heads of its own that were thrown away; bfloat16 and the order of sums make the file of another ``--train``
differ, and it must be judged by its own ladder. All figures: metrics/imagelab-ssl-v1.json.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from ssl_encoder_card import measured, verdicts
from torch import Tensor, nn
from torch.nn import functional

from imagelab.data.faces import Faces
from imagelab.data.mud import Mud
from imagelab.data.phase_random import PhaseRandom
from imagelab.data.random_field import RandomField
from imagelab.data.textures import PhotoName, Textures
from imagelab.data.weave import Weave
from imagelab.metrics import ssl_encoder
from imagelab.metrics.features import CONTROLS

SEED, LESSONS = 811_000, 811_100
PHOTOS: tuple[PhotoName, ...] = ("retina", "coffee", "cell", "hubble")
WIDTHS, KERNELS = (32, 40, 88, 120, 160), (5, 3, 3, 3, 3)
IDENTITY, HIDDEN, DETAIL = 48, 128, 8
KINDS = ("blur", "white noise", "grey noise", "jpeg", "coarse", "smooth", "sharp", "clumped noise")
# fmt: off
LUMA_STEPS = torch.tensor([  # ITU-T T.81, table K.1
    [16, 11, 10, 16, 24, 40, 51, 61], [12, 12, 14, 19, 26, 58, 60, 55], [14, 13, 16, 24, 40, 57, 69, 56],
    [14, 17, 22, 29, 51, 87, 80, 62], [18, 22, 37, 56, 68, 109, 103, 77], [24, 35, 55, 64, 81, 104, 113, 92],
    [49, 64, 78, 87, 103, 121, 120, 101], [72, 92, 95, 98, 112, 100, 103, 99],
], dtype=torch.float32)
# fmt: on
CARD = ssl_encoder.PATH.with_suffix(".json")


@dataclass(frozen=True)
class Phase:
    """A phase of training: steps, images a step, largest learning rate, probabilities of crops of 32, 48 and 64 px."""

    steps: int
    batch: int
    rate: float
    sizes: tuple[float, float, float]


PHASES = (Phase(900, 40, 3e-3, (0.3, 0.35, 0.35)), Phase(700, 36, 2e-3, (0.15, 0.25, 0.6)))


def collection(folder: Path) -> list[tuple[np.ndarray, np.ndarray | None]]:
    """Draw the training images once, and open them as memory maps: (uint8 [N,3,s,s], twins or None) by kind."""
    faces = [(64, "countable", rate, 1000) for rate in (0.5, None, 0.5, 0.6)] + [(64, "fine", 0.6, 300)]
    faces += [(32, "countable", 0.5, 1000), (128, "fine", 0.6, 600), (128, "countable", 0.5, 600)]
    faces += [(64, "countable", 0.5, 1000), (64, "countable", None, 1000)]
    recipes = [(Faces(size=s, freckle_style=k, freckle_rate=r, cache=False), n) for s, k, r, n in faces]  # type: ignore[arg-type]
    recipes += [(Textures(size=96, photos=PHOTOS), 1600), (PhaseRandom(size=96, photos=PHOTOS), 400)]
    cloth = ((8, 0.05), (12, 0.1), (16, 0.0), (20, 0.05), (30, 0.05), (40, 0.05))
    recipes += [(Weave(size=96, threads=threads, jitter=jitter), 100) for threads, jitter in cloth]
    cracks = ((12, 2.0), (22, 1.2), (35, 1.5), (50, 1.2), (50, 3.0), (80, 1.0))
    recipes += [(Mud(size=96, cells=cells, width=width), 100) for cells, width in cracks]
    recipes += [(RandomField(size=96, slope=slope), 120) for slope in (0.5, 1.0, 1.5, 2.0, 3.0)]
    folder.mkdir(parents=True, exist_ok=True)
    found = []
    for k, (recipe, n) in enumerate(recipes):
        paths = [folder / f"{name}-{k:02d}.npy" for name in ("pictures", "twins")]
        if not paths[0].exists():
            sample = recipe.load("reserve" if recipe.kind in ("textures", "phase_random") else "train", n, LESSONS + k)
            if sample.twins is not None:
                np.save(paths[1], sample.twins)
            np.save(paths[0], sample.images)
        found.append(tuple(np.load(path, mmap_mode="r") if path.exists() else None for path in paths))
    return found


def batch_of(collected: list, n: int, size: int, rng: np.random.Generator) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Draw n pictures: two crops of each, the first one's twin, and which are faces (three of four)."""
    first, second, twins = [], [], []
    large = [pair for pair in collected if pair[0].shape[-1] >= size]
    for row in range(n):
        kinds = [pair for pair in large if (pair[1] is not None) == (row < n * 3 // 4)]
        share = np.array([len(images) for images, _ in kinds])
        images, others = kinds[rng.choice(len(kinds), p=share / share.sum())]
        index, room = rng.integers(len(images)), images.shape[-1] - size
        y, x = rng.integers(0, room + 1, 2)
        near = np.clip(np.array([y, x]) + rng.integers(-(size // 3), size // 3 + 1, 2), 0, room)
        flip, other_flip = (slice(None, None, -1 if turned else None) for turned in rng.random(2) < 0.5)
        first.append(images[index][:, y : y + size, x : x + size][..., flip])
        second.append(images[index][:, near[0] : near[0] + size, near[1] : near[1] + size][..., other_flip])
        poorer = images if others is None else others
        twins.append(poorer[index][:, y : y + size, x : x + size][..., flip])
    a, b, t = (torch.from_numpy(np.stack(each)).float() for each in (first, second, twins))
    return a, b, t, torch.arange(n) < n * 3 // 4


def _gauss(x: Tensor, sigma: Tensor) -> Tensor:
    """Blur [B,C,H,W], each image by its own sigma [B] px (below 1.6)."""
    b, c, h, w = x.shape
    kernel = torch.exp(-(torch.arange(-4, 5.0) ** 2) / (2 * sigma.clamp_min(1e-2)[:, None] ** 2))
    kernel = (kernel / kernel.sum(1, keepdim=True)).repeat_interleave(c, 0)[:, None, None]
    flat = functional.pad(x.reshape(1, b * c, h, w), (4, 4, 4, 4), mode="replicate")
    flat = functional.conv2d(functional.conv2d(flat, kernel, groups=b * c), kernel.transpose(2, 3), groups=b * c)
    return flat.reshape(b, c, h, w)


def _plain(x: Tensor) -> Tensor:
    """Remove bright and dark spots up to 4 px across: the mean of opening and closing."""

    def widest(y: Tensor) -> Tensor:
        return functional.max_pool2d(y, 5, 1, 2)

    return (widest(-widest(-x)) - widest(-widest(x))) / 2


def _blocks(x: Tensor, coarse: Tensor) -> Tensor:
    """Quantise the 8 x 8 cosine transform with steps that grow with frequency, as JPEG does; coarse [B]."""
    n = torch.arange(8.0)
    basis = torch.cos(math.pi * (2 * n[None] + 1) * n[:, None] / 16) / 2
    basis[0] /= math.sqrt(2)
    step = LUMA_STEPS * coarse.clamp_min(0.02)[:, None, None, None, None, None]
    b, c, h, w = x.shape
    blocks = x.reshape(b, c, h // 8, 8, w // 8, 8).transpose(3, 4)
    blocks = basis.T @ (torch.round(basis @ blocks @ basis.T / step) * step) @ basis
    return blocks.transpose(3, 4).reshape(b, c, h, w)


def _patches(n: int, size: int, chance: torch.Generator) -> Tensor:
    """Draw soft masks [n,1,size,size] of large patches, 0..1."""
    coarse = torch.rand(n, 1, 4, 4, generator=chance)
    return ((functional.interpolate(coarse, size=(size, size), mode="bilinear") - 0.35) * 8).clamp(0, 1)


def damaged(x: Tensor, chance: torch.Generator) -> tuple[Tensor, Tensor]:
    """Degrade each image [B,3,H,W] 0..255 in one way of ``KINDS``, a quarter in two: (images, strengths [B,8] 0..1)."""
    b, size = len(x), x.shape[-1]
    order = torch.rand(b, len(KINDS), generator=chance).argsort(1)
    used = torch.zeros(b, len(KINDS)).scatter_(1, order[:, :1], 1.0)
    also = torch.zeros(b, len(KINDS)).scatter_(1, order[:, 1:2], 1.0)
    used = (used + also * (torch.rand(b, 1, generator=chance) < 0.25)).clamp(0, 1)
    strength = used * torch.rand(b, len(KINDS), generator=chance)

    def coarse(y: Tensor) -> Tensor:
        return functional.interpolate(functional.avg_pool2d(y, 2), scale_factor=2, mode="bilinear")

    def white(y: Tensor, channels: int = 3) -> Tensor:
        return 20 * torch.randn(len(y), channels, size, size, generator=chance)

    ways: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
        "blur": lambda y, v: _gauss(y, 0.2 + 1.3 * v.flatten()),
        "sharp": lambda y, v: y + 1.5 * v * (y - _gauss(y, torch.ones(len(y)))),
        "coarse": lambda y, v: y + v * (coarse(y) - y),
        "smooth": lambda y, v: y + v * _patches(len(y), size, chance) * (_plain(y) - y),
        "white noise": lambda y, v: y + v * white(y),
        "grey noise": lambda y, v: y + v * white(y, 1),
        "clumped noise": lambda y, v: y + v * 2.48 * _gauss(white(y), torch.full((len(y),), 0.7)),
        "jpeg": lambda y, v: _blocks(y - 128, 1.5 * v.flatten()) + 128,
    }
    x = x.clone()
    for name, way in ways.items():
        k = KINDS.index(name)
        rows = used[:, k].nonzero().flatten()
        if len(rows):
            x[rows] = way(x[rows], (strength[rows, k] ** 1.5)[:, None, None, None])
    return x.round().clamp(0, 255), strength


def tinted(x: Tensor, chance: torch.Generator) -> Tensor:
    """Change brightness, contrast and colour a little, independently for each image."""
    gain, shift = (
        one * torch.randn(len(x), 1, 1, 1, generator=chance) + each * torch.randn(len(x), 3, 1, 1, generator=chance)
        for one, each in ((0.12, 0.05), (12, 6))
    )
    mean = x.mean((2, 3), keepdim=True)
    return ((x - mean) * (1 + gain) + mean + shift).round().clamp(0, 255)


def missing_detail(rich: Tensor, poor: Tensor) -> Tensor:
    """Measure the small detail that the twin with less detail lacks: float [B,8].

    Log energies of the difference in three octaves of grey and two of colour; share of pixels changed; largest and mean
    change.
    """
    lost, one = rich - poor, torch.ones(len(rich))
    grey, tone = lost.mean(1, keepdim=True), lost[:, :1] - lost[:, 2:]
    fine, wide, tone_wide = _gauss(grey, 0.7 * one), _gauss(grey, 1.5 * one), _gauss(tone, one)
    bands = (grey - fine, fine - wide, wide, tone - tone_wide, tone_wide)
    energies = [torch.log1p((band**2).mean((1, 2, 3))) for band in bands]
    changed = 4 * (grey.abs() > 4).float().mean((1, 2, 3)).sqrt()
    largest, mean = (torch.log1p(each) for each in (grey.abs().amax((1, 2, 3)), 4 * grey.abs().mean((1, 2, 3))))
    return torch.stack([*energies, changed, largest / 2, mean], 1)


class Network(nn.Module):
    """The encoder with batch norm, and the heads that only the pretext tasks need."""

    def __init__(self) -> None:
        """Set up with torch's default initialisation."""
        super().__init__()
        shapes = zip((3, *WIDTHS), WIDTHS, KERNELS, ssl_encoder.STRIDES, strict=False)
        self.convs = nn.ModuleList(nn.Conv2d(a, b, k, s, k // 2, bias=False) for a, b, k, s in shapes)
        self.norms = nn.ModuleList(nn.BatchNorm2d(width) for width in WIDTHS)
        self.unit = nn.BatchNorm1d(2 * sum(WIDTHS), affine=False)
        self.top = nn.Linear(2 * sum(WIDTHS), IDENTITY)
        self.proj = nn.Sequential(nn.BatchNorm1d(IDENTITY), nn.ReLU(), nn.Linear(IDENTITY, 128))
        self.hidden = nn.Linear(2 * sum(WIDTHS), HIDDEN)
        self.hurt, self.detail = nn.Linear(HIDDEN, len(KINDS)), nn.Linear(HIDDEN, DETAIL)

    def pooled(self, x: Tensor) -> Tensor:
        """Return means and deviations of each layer's channels: float [B,3,H,W] in -1..1 -> float32 [B,P]."""
        found = []
        for conv, norm in zip(self.convs, self.norms, strict=True):
            x = torch.relu(norm(conv(x)))
            flat = x.float().flatten(2)
            mean = flat.mean(2)
            found += [mean, ((flat.square().mean(2) - mean.square()).clamp_min(0) + 1e-5).sqrt()]
        return torch.cat(found, 1)


def losses(net: Network, pictures: tuple[Tensor, Tensor, Tensor, Tensor], chance: torch.Generator) -> dict[str, Tensor]:
    """Return the losses of the pretext tasks on one batch by name; ``loss`` is their weighted sum."""
    a, b, poor, face = pictures
    n, other = len(a), ~face
    masks = _patches(int(other.sum()), a.shape[-1], chance)
    poor[other] = (a[other] + masks * (_plain(a[other]) - a[other])).round()
    hurt, strength = damaged(torch.where(torch.rand(n, 1, 1, 1, generator=chance) < 0.5, a, b), chance)
    views = torch.cat([tinted(a, chance), tinted(b, chance), a, poor, hurt]) / 127.5 - 1
    with torch.autocast("cpu", torch.bfloat16):
        pooled = net.pooled(views.contiguous(memory_format=torch.channels_last))
    pooled = net.unit(pooled)
    code = functional.normalize(net.proj(net.top(pooled[: 2 * n])), dim=1)
    alike, same = code[:n] @ code[n:].T / 0.2, torch.arange(n)
    identity = (functional.cross_entropy(alike, same) + functional.cross_entropy(alike.T, same)) / 2
    hidden = torch.relu(net.hidden(pooled[2 * n :]))  # unchanged, with less detail, degraded
    read, detail = net.hurt(hidden), net.detail(hidden)
    unhurt = torch.zeros(n, len(KINDS))
    damage = _huber(torch.cat([read[:n], read[2 * n :]]), torch.cat([unhurt, strength])) * 8
    lacking = missing_detail(a, poor)
    amount = _huber(detail[:n][face], lacking[face]) + _huber(detail[n : 2 * n][face], torch.zeros_like(lacking[face]))
    gap = _huber(detail[:n] - detail[n : 2 * n], lacking)
    total = 0.5 * identity + damage + 4 * amount + 2 * gap
    return {"loss": total, "identity": identity, "damage": damage, "amount": amount, "gap": gap}


def _huber(read: Tensor, true: Tensor) -> Tensor:
    return functional.smooth_l1_loss(read, true, beta=0.1)


def train(folder: Path, phases: tuple[Phase, ...]) -> Network:
    """Train a network, phase after phase; writes a checkpoint and a log line every 50 steps to the folder."""
    torch.manual_seed(SEED)
    net, collected = Network().to(memory_format=torch.channels_last), collection(folder / "pictures")
    with (folder / "log.jsonl").open("a") as log:
        for number, phase in enumerate(phases):
            chance, rng = torch.Generator().manual_seed(SEED + number), np.random.default_rng(SEED + number)
            optimiser = torch.optim.AdamW(net.parameters(), phase.rate, weight_decay=0.02, fused=True)
            plan = torch.optim.lr_scheduler.OneCycleLR(optimiser, phase.rate, total_steps=phase.steps, pct_start=0.15)
            seen: dict[str, float] = {}
            for step in range(1, phase.steps + 1):
                size = int(rng.choice([32, 48, 64], p=phase.sizes))
                found = losses(net, batch_of(collected, phase.batch, size, rng), chance)
                optimiser.zero_grad()
                found["loss"].backward()
                nn.utils.clip_grad_norm_(net.parameters(), 2.0)
                optimiser.step()
                plan.step()
                seen = {k: 0.95 * seen.get(k, float(v.detach())) + 0.05 * float(v.detach()) for k, v in found.items()}
                if step % 50 == 0 or step == phase.steps:
                    line = {"phase": number, "step": step, "seconds": round(time.process_time(), 1)}
                    print(json.dumps({**line, **{k: round(v, 4) for k, v in seen.items()}}), file=log, flush=True)
                    torch.save(net.state_dict(), folder / "checkpoint.partial")
                    (folder / "checkpoint.partial").replace(folder / "checkpoint.pt")
    return net


def folded(net: Network) -> dict[str, np.ndarray]:
    """Return the encoder as ssl_encoder.py reads it: batch norm folded away, float32."""
    arrays = {}
    for k, (conv, norm) in enumerate(zip(net.convs, net.norms, strict=True)):
        assert isinstance(conv, nn.Conv2d) and isinstance(norm, nn.BatchNorm2d)
        assert norm.running_var is not None and norm.running_mean is not None
        gain = norm.weight / torch.sqrt(norm.running_var + norm.eps)
        arrays[f"conv_{k}.weight"] = conv.weight * gain[:, None, None, None]
        arrays[f"conv_{k}.bias"] = norm.bias - norm.running_mean * gain
    assert net.unit.running_var is not None and net.unit.running_mean is not None
    deviation = torch.sqrt(net.unit.running_var + net.unit.eps)
    for name, layer in (("identity", net.top), ("hidden", net.hidden)):
        arrays[f"{name}.weight"] = layer.weight / deviation
        arrays[f"{name}.bias"] = layer.bias - layer.weight @ (net.unit.running_mean / deviation)
    for part in ("weight", "bias"):
        arrays[f"readings.{part}"] = torch.cat([getattr(net.hurt, part), getattr(net.detail, part)])
    return {name: np.ascontiguousarray(array.detach().numpy()) for name, array in arrays.items()}


def main() -> None:
    """Train an encoder, or measure the ladder of the shipped one."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--train", type=Path, metavar="FOLDER", help="train another encoder into this folder")
    parser.add_argument("--check", action="store_true", help="measure the ladder of the shipped file")
    parser.add_argument("--card", action="store_true", help="write what --check measured to the card")
    asked = parser.parse_args()
    torch.set_num_threads(1)
    if asked.train:
        from safetensors.numpy import save_file

        path = asked.train / ssl_encoder.PATH.name
        save_file(folded(train(asked.train, PHASES).eval()), path)
        print(f"{path}: SHA-256 {hashlib.sha256(path.read_bytes()).hexdigest()}")
    if asked.check:
        found = measured()
        for space in (ssl_encoder.NAME, *CONTROLS):
            print("\n".join(verdicts(found, space)))
        if asked.card:
            card = json.loads(CARD.read_text())
            card |= {"name": ssl_encoder.NAME, "sha256": ssl_encoder.digest(), "ladder": found}
            CARD.write_text(json.dumps(card, indent=1) + "\n")


if __name__ == "__main__":
    main()
