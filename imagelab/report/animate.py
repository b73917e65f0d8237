"""Animations: a photocopy of a photocopy, one frame per generation, for one run or for several side by side.

Every frame is 1280 x 720 pixels: the generation in large letters, the pictures enlarged by whole pixels, and bars for
what is left of freckles, fine detail and variety, measured on all images of that generation. WebP and APNG are
lossless. GIF has 256 colours per frame. MP4 and WebM are lossy and remove fine detail, which is what these pictures
show; therefore a lossless crop is written in addition.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
from PIL import Image, ImageDraw

from ..evaluation.signals import Signal, signals
from ..images import tile
from ..io.atomic import written_whole
from .grids import INK, MUTED, write_line, writing
from .palette import LIGHT
from .run_view import Run, plain, read_run

__all__ = ["FORMATS", "animate"]

FORMATS = ("webp", "gif", "apng", "mp4", "webm")
"""Formats of an animation; the suffix of the file selects one, and .png means .apng."""

WIDTH, HEIGHT, MARGIN, BETWEEN, HEAD, FOOT = 1280, 720, 40, 36, 128, 44
BAR = 34  # height of one bar with its gap
GAP = 2
TRACK = (232, 233, 235)
MOST_RUNS = 4
SHOWN = ("tails", "detail", "diversity")  # families with a bar, from the top
HOLD = 3  # the first and the last frame are shown this many times as long as the others


@dataclass(frozen=True)
class AnimatedPanel:
    """One run in the animation: its label, its pictures by generation, and the signals of its bars."""

    label: str
    pictures: Mapping[int, np.ndarray]
    bars: tuple[Signal, ...]


def animate(
    runs: Sequence[Path],
    out: Path,
    which: Literal["photocopy", "tracked"] = "photocopy",
    seconds: float = 0.7,
    labels: Sequence[str] = (),
) -> list[Path]:
    """Write the animation of a run, or of up to four runs side by side.

    Args:
        runs: run folders; a run with fewer generations shows its last one until the end.
        out: the file; .webp, .gif, .apng (also .png), .mp4 or .webm.
        which: "photocopy" shows given images copied through all generations, "tracked" what each model draws from the
            same seeds. If the model cannot copy, "photocopy" is an error.
        seconds: how long a generation is shown; the first and the last are shown three times as long.
        labels: a name for each run; by default its model, or for several runs its regime, with the model if two runs
            have the same regime.

    Returns:
        The files written: the animation and, for lossy video, a lossless crop (APNG).

    Raises:
        ValueError: for another suffix, more than four runs, no pictures of that kind, or a missing video encoder.
    """
    suffix = {".png": ".apng"}.get(out.suffix.lower(), out.suffix.lower()).removeprefix(".")
    if suffix not in FORMATS:
        raise ValueError(
            f"{out}: expected a name that ends in {', '.join('.' + f for f in FORMATS)}, got {out.suffix!r}"
        )
    if not 1 <= len(runs) <= MOST_RUNS:
        raise ValueError(f"animate: expected 1 to {MOST_RUNS} runs, got {len(runs)}")
    if not 0.02 <= seconds <= 30:
        raise ValueError(f"animate: expected 0.02 to 30 seconds per generation, got {seconds:g}")
    views = [read_run(Path(run)) for run in runs]
    names = list(labels) or _labels(views)
    if len(names) != len(views):
        raise ValueError(f"animate: expected one label per run, got {len(names)} for {len(views)} runs")
    panels = [_panel(view, which, plain(name, 60)) for view, name in zip(views, names, strict=True)]
    generations = range(max(max(panel.pictures) for panel in panels) + 1)
    frames = [_frame(panels, generation, which) for generation in generations]
    times = [seconds * (HOLD if generation in (0, generations[-1]) else 1) for generation in generations]
    out.parent.mkdir(parents=True, exist_ok=True)
    if suffix in ("mp4", "webm"):
        _video(frames, times, out, suffix)
        crop = out.with_name(f"{out.stem}-crop.png")
        _still(_crops(panels, generations), times, crop, "apng")
        return [out, crop]
    _still(frames, times, out, suffix)
    return [out]


def _labels(views: Sequence[Run]) -> list[str]:
    regimes = [str((view.experiment.get("regime") or {}).get("kind", "")) for view in views]
    models = [view.model(0) for view in views]
    if len(views) == 1:
        return models
    return regimes if len(set(regimes)) == len(views) else [f"{m}, {r}" for m, r in zip(models, regimes, strict=True)]


def _panel(view: Run, which: Literal["photocopy", "tracked"], label: str) -> AnimatedPanel:
    pictures = view.pictures(which)
    if max(pictures, default=0) == 0:
        other = "tracked" if which == "photocopy" else "photocopy"
        hint = f" Try --which {other}." if max(view.pictures(other), default=0) else ""
        raise ValueError(f"{view.name}: no {which} pictures after generation 0.{hint}")
    known = sorted(
        signals(view.measurements, verdict="quality"), key=lambda signal: signal.title != "freckles"
    )  # freckles first, if measured
    bars = [next((signal for signal in known if signal.family == family), None) for family in SHOWN]
    return AnimatedPanel(label, pictures, tuple(bar for bar in bars if bar is not None))


def _frame(panels: Sequence[AnimatedPanel], generation: int, which: str) -> Image.Image:
    canvas = Image.new("RGB", (WIDTH, HEIGHT), "white")
    draw = ImageDraw.Draw(canvas)
    head = "real images" if generation == 0 else f"generation {generation}"
    draw.text((MARGIN, 30), head, INK, writing(52, True))
    made = "copied again and again by models trained on copies" if which == "photocopy" else "drawn from the same seeds"
    aside = made if generation else "held out: no model is trained on these"
    write_line(draw, (MARGIN, 94), aside, 20, MUTED, WIDTH - 2 * MARGIN)
    across = (WIDTH - 2 * MARGIN - (len(panels) - 1) * BETWEEN) // len(panels)
    for order, panel in enumerate(panels):
        _draw_panel(canvas, draw, panel, generation, MARGIN + order * (across + BETWEEN), across, len(panels) > 1)
    foot = (
        "imagelab · every pixel enlarged, nothing smoothed · bars: share of the value of real images, from all images"
    )
    write_line(draw, (MARGIN, HEIGHT - 32), foot, 15, MUTED, WIDTH - 2 * MARGIN)
    return canvas


def _draw_panel(
    canvas: Image.Image,
    draw: ImageDraw.ImageDraw,
    panel: AnimatedPanel,
    generation: int,
    left: int,
    across: int,
    named: bool,
) -> None:
    top = HEAD
    if named:
        write_line(draw, (left, top), panel.label, 24, INK, across, bold=True)
        top += 38
    room = HEIGHT - FOOT - top - len(panel.bars) * BAR - 14
    images = panel.pictures[min(generation, max(panel.pictures))]
    pixels = _grid(images, across, room)
    canvas.paste(Image.fromarray(pixels), (left, top + (room - pixels.shape[0]) // 2))
    y = HEIGHT - FOOT - len(panel.bars) * BAR
    for signal in panel.bars:
        _bar(draw, signal, generation, left, y, across)
        y += BAR


def _grid(images: np.ndarray, across: int, room: int) -> np.ndarray:
    """Lay out pictures at the whole enlargement for which they cover the largest area; four or more if there are."""
    count, _, height, width = images.shape
    best = (0, 1, 1, 1)
    for scale in range(1, 1 + max(1, room // height)):
        rows = max(1, (room + GAP) // (height * scale + GAP))
        columns = max(1, (across + GAP) // (width * scale + GAP))
        shown = min(count, rows * columns)
        rows = math.ceil(shown / columns)
        if rows * (height * scale + GAP) - GAP > room or (shown < min(count, 4) and scale > 1):
            continue
        covered = shown * (height * scale) * (width * scale)
        best = max(best, (covered, scale, columns, shown))
    _, scale, columns, shown = best
    return tile(images[:shown], columns, scale, GAP)


def _bar(draw: ImageDraw.ImageDraw, signal: Signal, generation: int, left: int, y: int, across: int) -> None:
    known = [g for g in signal.lost if g <= generation]
    share = 1.0 if not known or generation == 0 else 1.0 - signal.lost[max(known)]
    name, figure = min(170, across // 3), 78
    start, length = left + name, across - name - figure
    write_line(draw, (left, y + 2), signal.title, 20, INK, name - 12)
    draw.rectangle((start, y + 6, start + length, y + 22), TRACK)
    if share > 0:
        draw.rectangle((start, y + 6, start + round(length * min(share, 1.0)), y + 22), LIGHT.accent)
    draw.text((left + across, y + 14), f"{max(share, 0.0):.0%}", INK, writing(20, True), anchor="rm")


def _crops(panels: Sequence[AnimatedPanel], generations: Sequence[int]) -> list[Image.Image]:
    """Return the middle of the first picture of each run, enlarged six times: compression would smooth it."""
    frames = []
    for generation in generations:
        cut = []
        for panel in panels:
            image = panel.pictures[min(generation, max(panel.pictures))][:1]
            height, width = image.shape[2:]
            cut.append(image[:, :, height // 4 : height - height // 4, width // 4 : width - width // 4])
        frames.append(Image.fromarray(np.concatenate([tile(each, 1, 6) for each in cut], axis=1)))
    return frames


def _still(frames: Sequence[Image.Image], times: Sequence[float], out: Path, suffix: str) -> None:
    """Write lossless WebP or APNG, or GIF with a separate palette for every frame; the file is complete or absent."""
    settings = {
        "webp": {"lossless": True, "quality": 60, "method": 4},
        "apng": {},
        "gif": {"optimize": True, "disposal": 1},
    }[suffix]
    kept = [f.quantize(256, dither=Image.Dither.NONE) for f in frames] if suffix == "gif" else list(frames)
    milliseconds = [round(1000 * time) for time in times]
    with written_whole(out) as partial:
        kept[0].save(
            partial,
            format={"webp": "WEBP", "gif": "GIF", "apng": "PNG"}[suffix],
            save_all=True,
            append_images=kept[1:],
            duration=milliseconds,
            loop=0,
            **settings,
        )


def _video(frames: Sequence[Image.Image], times: Sequence[float], out: Path, suffix: str) -> None:
    """Encode with ffmpeg at 10 frames per second; a frame is repeated for as long as it is shown."""
    try:
        import imageio_ffmpeg
    except ImportError as error:
        raise ValueError(
            f"{out}: video needs an encoder: pip install 'imagelab-collapse[video]', "
            "or write .webp, .gif or .apng instead."
        ) from error
    codec = {"mp4": ("libx264", ["-crf", "14", "-preset", "slow", "-movflags", "+faststart", "-f", "mp4"])}
    name, extra = codec.get(suffix, ("libvpx-vp9", ["-crf", "18", "-f", "webm"]))
    with written_whole(out) as partial:
        writer = imageio_ffmpeg.write_frames(
            str(partial), (WIDTH, HEIGHT), fps=10, codec=name, bitrate="0", output_params=extra, macro_block_size=8
        )
        writer.send(None)
        for frame, time in zip(frames, times, strict=True):
            for _ in range(max(1, round(10 * time))):
                writer.send(frame.tobytes())
        writer.close()
