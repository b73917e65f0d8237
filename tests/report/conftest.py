from __future__ import annotations

import itertools
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import ImageDraw

from imagelab.measurement import Direction, Measurement
from imagelab.report.run_view import Run

BANDS = ("1-2", "2-4", "4-8", "8-16")


Box = tuple[float, float, float, float]  # left, top, right, bottom


class DrawnText(list[tuple[str, Box]]):
    """Every text that Pillow has drawn, with its box in px."""

    @property
    def words(self) -> str:
        return " ".join(text for text, _ in self)

    def inside(self, width: int, height: int) -> bool:
        """Whether every text is inside a picture of this size."""
        return all(min(x0, y0) > 0 and x1 < width and y1 < height for _, (x0, y0, x1, y1) in self)

    def apart(self) -> bool:
        """Whether no text meets another one."""
        pairs = itertools.combinations([box for _, box in self], 2)
        return all(a[2] <= b[0] or b[2] <= a[0] or a[3] <= b[1] or b[3] <= a[1] for a, b in pairs)


@pytest.fixture
def drawn_text(monkeypatch: pytest.MonkeyPatch) -> DrawnText:
    """Return a list that takes down every text which Pillow draws during the test."""
    found, plain = DrawnText(), ImageDraw.ImageDraw.text

    def text(self: ImageDraw.ImageDraw, at: tuple[float, float], said: str, *rest: Any, **named: Any) -> None:
        font, anchor = rest[1] if len(rest) > 1 else named["font"], rest[2] if len(rest) > 2 else named.get("anchor")
        found.append((said, self.textbbox(at, said, font=font, anchor=anchor)))
        plain(self, at, said, *rest, **named)

    monkeypatch.setattr(ImageDraw.ImageDraw, "text", text)
    return found


def blurred(images: np.ndarray, times: int) -> np.ndarray:
    """Return images, uint8 [N,C,H,W], smoothed ``times`` times with [1 2 1]/4 on both axes."""
    soft = images.astype(float)
    for _ in range(times):
        for axis in (2, 3):
            soft = (np.roll(soft, 1, axis) + 2 * soft + np.roll(soft, -1, axis)) / 4
    return soft.round().astype(np.uint8)


def measured(generation: int, line: int, n: int) -> list[Measurement]:
    """Return typical measurements of a photocopy loop: freckles and fine detail fade, distances grow.

    The control model stays almost constant.
    """
    fade = 0.5**generation if line <= 0 else 0.97**generation
    loss = generation * (line <= 0)
    found: list[Measurement] = []

    def put(name: str, value: float, error: float | None, better: Direction = "two-sided", unit: str = "") -> None:
        m = Measurement(name, value, unit, stderr=error, better=better, n_real=1024, n_fake=n)
        found.append(m.at(generation, line))

    put("freckles/count", 6.5 * fade + 0.2, 0.11, "higher", "freckles/face")
    put("freckles/corrected", 6.2 * fade, 0.05 + 0.1 * fade, "higher", "freckles/face")
    put("freckles/blank", 0.2 + 0.05 * loss, 0.03, "lower", "freckles/face")
    put("freckles/prevalence", 0.41 * fade, 0.012, unit="share")
    put("hf_ratio", 0.05 * fade, 0.001)
    put("pixel_variance", 1.0 - 0.03 * loss, 0.01, unit="ratio")
    put("kernel/randconv-s0", 0.02 * (1 - fade) + 1e-5, 2e-4, "lower")
    put("perceptual_diversity/randconv-s0", 0.3 * (0.6 + 0.4 * fade), 0.002)
    for repeat in range(3):
        put(f"frechet/randconv-s{repeat}", 0.8 + (12 + repeat) * (1 - fade), 0.1, "lower")
    for order, band in enumerate(BANDS):
        put(f"band_power/{band}", -0.12 * order**2 * loss, 0.1, unit="dB")
    for radius in range(1, 17):
        put(f"radial_power/{radius:02d}", 0.02 * radius**-2.4 * fade ** (radius / 32), None, "none", "power")
    missing = Measurement("lpips_diversity/alex", None, missing="weights alexnet-owt-7be5be79.pth are not here")
    found.append(missing.at(generation, line))
    if generation > 0:
        theory = Measurement("pixel_variance", (1 - 1 / n) ** generation, "ratio", predicted=True, cite="doi:10.1038/x")
        found.append(theory.at(generation, line))
    else:
        put("spectrum/floor", (1 / 255) ** 2 / 12 / 16**2, None, "none", "power")
    return found


def with_values(run: Run, name: str, values: Mapping[int, float]) -> Run:
    """The run with these values of a measurement of its main line in some generations from 1 on."""
    changed = [
        replace(m, value=values.get(m.generation, m.value)) if m.name == name and m.line == 0 else m
        for m in run.measurements
    ]
    return replace(run, measurements=tuple(changed))


def small_run(
    home: Path,
    name: str = "photocopy-1a2b3c4d",
    generations: int = 3,
    planned: int | None = None,
    faces: np.ndarray | None = None,
    copies: bool = True,
    keep: Callable[[Measurement], bool] = lambda m: True,
    labels: Sequence[str] = ("VAE", "PPCA, k = 128"),
    experiment: dict[str, Any] | None = None,
    provenance: dict[str, Any] | None = None,
) -> Path:
    """Write a small run folder into a folder, in exactly the layout of imagelab/run_folder.py, and return it."""
    run = home / name
    noise = np.random.default_rng(7).integers(0, 256, (8, 3, 16, 16), dtype=np.uint8)
    faces = blurred(noise, 1) if faces is None else faces
    run.mkdir(parents=True)
    question = {
        "name": "photocopy",
        "title": "A photocopy of a photocopy",
        "data": {"kind": "faces", "size": faces.shape[3]},
        "regime": {"kind": "replace"},
        "generator": {"kind": "vae"},
        "arms": [{"kind": "gaussian", "components": 128}],
        "generations": planned or max(generations, 1),
        "images": 2048,
        "heldout": 1024,
        "seed": 0,
    }
    config = {"schema": 1, "signature": "1a2b3c4d", "experiment": {**question, **(experiment or {})}}
    (run / "config.json").write_text(json.dumps(config))
    known = {
        "imagelab": "0.1.0",
        "git": {"commit": "7a9cde6", "dirty": False},
        "python": "3.11.7",
        "packages": {"torch": "2.13.0", "numpy": "2.4.6"},
        "device": "cpu",
        "platform": "Linux",
        "data": {
            "card": "Faces drawn by a program; no person is shown.",
            "counts": {"train": 2048, "heldout": 1024},
            "bad_files": [{"path": "broken.png", "reason": "image file is truncated"}],
        },
        "labels": {str(line): label for line, label in enumerate(labels)},
        "n": 2048,
    }
    (run / "provenance.json").write_text(json.dumps({**known, **(provenance or {})}))
    lines: list[Measurement] = []
    for generation in range(generations + 1):
        for line in (0, 1) if generation else (-1,):
            shard = run / (f"gen-{generation:03d}" + (f"-line-{line}" if line > 0 else ""))
            shard.mkdir()
            np.save(shard / "probe.npy", blurred(faces[::-1].copy(), generation))
            if copies:
                np.save(shard / "photocopy.npy", blurred(faces, generation if line <= 0 else 0))
            if generation:
                record = {
                    "images_seen": 9000,
                    "images_total": 9000,
                    "loss": 0.1 * generation,
                    "seconds": 61.0,
                    "terms": {},
                }
                (shard / "train.jsonl").write_text(json.dumps(record) + "\n")
            lines += [m for m in measured(generation, line, 2048) if keep(m)]
    (run / "metrics.jsonl").write_text("".join(m.to_json() + "\n" for m in lines))
    return run


@pytest.fixture
def make_run(tmp_path: Path) -> Callable[..., Path]:
    """Return a function that writes a small run folder: :func:`small_run` in the folder of the test."""
    return partial(small_run, tmp_path)


@pytest.fixture(scope="session")
def make_shared_run(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Path]:
    """Return a function that writes a small run folder which many tests read; none of them may change it."""

    def make(*settings: Any, **named: Any) -> Path:
        return small_run(tmp_path_factory.mktemp("shared"), *settings, **named)

    return make


class Visit:
    """A page opened in a window of a given width, with the errors and requests of the browser."""

    def __init__(self, browser: Any, path: Path, width: int = 1280, scheme: str = "light", at: str = "", **more: Any):
        size = {"width": width, "height": 900}
        self.context: Any = browser.new_context(viewport=size, color_scheme=scheme, **more)
        self.tab: Any = self.context.new_page()
        self.complaints: list[str] = []
        self.asked: list[str] = []
        self.tab.on("console", lambda message: self.complaints.append(message.text))
        self.tab.on("pageerror", lambda error: self.complaints.append(str(error)))
        self.tab.on("request", lambda request: self.asked.append(request.url))
        self.tab.goto(path.as_uri() + at, wait_until="load")

    def __enter__(self) -> Visit:
        return self

    def __exit__(self, *_: object) -> None:
        self.context.close()


@pytest.fixture
def open_page(browser: Any) -> Callable[..., Visit]:
    """Return a function that opens a page: path, width, scheme ("light", "dark"), at (the end of its address)."""

    def visit(path: Path, width: int = 1280, scheme: str = "light", at: str = "", **more: Any) -> Visit:
        return Visit(browser, path, width, scheme, at, **more)

    return visit
