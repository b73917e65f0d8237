"""Animations: a photocopy of a photocopy, one frame per generation, for one run or for several side by side.

Every frame is 1280 x 720 pixels: the generation in large letters, the pictures enlarged by whole pixels, how many
freckles the counter finds in these very pictures, and bars for what is left of freckles, fine detail and variety. The
bars are measured on all images of that generation, which the models drew anew, not on the pictures shown; the line on a
bar is its 95 % interval. WebP and APNG are lossless. GIF has 256 colours per frame. MP4 and WebM are lossy and remove
fine detail, which is what these pictures show; therefore a lossless crop is written in addition. A still shows the
first, the middle and the last generation beside each other, for readers who do not want motion.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import numpy as np
from PIL import Image, ImageDraw

from ..evaluation.signals import Signal, signals
from ..images import tile
from ..io.atomic import written_whole
from ..io.marks import SOURCE_TYPES, save_marks
from ..io.pictures import write_png
from ..measurement import t95
from .grids import INK, MUTED, write_line
from .lettering import LINE, writing
from .palette import LIGHT
from .pictured import Pictured, pictured
from .run_view import Run, plain, read_run

__all__ = ["FORMATS", "animate"]

FORMATS = ("webp", "gif", "apng", "mp4", "webm")
"""Formats of an animation; the suffix of the file selects one, and .png means .apng."""

WIDTH, HEIGHT, MARGIN, BETWEEN, HEAD, FOOT = 1280, 720, 40, 36, 106, 34
BAR = 30  # height of one bar with its gap
GAP = 2
STILL = (1320, 772)  # px: three columns of pictures of 64 px fit, enlarged twice, in three rows
NAME, COUNT, BASIS = 24, 19, 15  # sizes of text in px: a run's name, its count of freckles, what its bars rest on
TRACK = (232, 233, 235)
MOST_RUNS = 4
SHOWN = ("tails", "detail", "diversity")  # families with a bar, from the top
HOLD = 3  # the first and the last frame are shown this many times as long as the others
RATE = 10  # frames per second of a video
CODECS = {
    "mp4": ("libx264", ["-crf", "14", "-preset", "medium", "-movflags", "+faststart", "-f", "mp4"]),
    "webm": ("libvpx-vp9", ["-crf", "18", "-deadline", "realtime", "-cpu-used", "4", "-row-mt", "1", "-f", "webm"]),
}
"""Encoders and their settings: a frame stands for several, so that the slow searches for motion find nothing."""

FOOTER = (
    "imagelab · every pixel enlarged, nothing smoothed · all images except real ones are synthetic · "
    "line on a bar: 95 % interval for another run"
)

TITLE = "A loop of image models"
SHOWS = "The first frame shows real images; every later frame shows synthetic images, made by a generative model."
ORIGIN = f"DigitalSourceType {SOURCE_TYPES['mixture']}"
"""What the file says of itself."""


@dataclass(frozen=True)
class AnimatedPanel:
    """One run in the animation.

    Attributes:
        label: its name.
        pictures: generation -> uint8 [P,C,H,W].
        counted: what the counter finds in these pictures; None if it cannot count them.
        bars: the signals of its bars.
        basis: what the bars are measured on.
    """

    label: str
    pictures: Mapping[int, np.ndarray]
    counted: Pictured | None
    bars: tuple[Signal, ...]
    basis: str


@dataclass(frozen=True)
class _Column:
    """A part of a frame: a panel at one generation, and its head; from ``left``, ``across`` px wide."""

    panel: AnimatedPanel
    generation: int
    head: str
    left: int
    across: int


def animate(
    runs: Sequence[Path],
    out: Path,
    which: Literal["photocopy", "tracked"] | None = None,
    seconds: float = 0.7,
    labels: Sequence[str] = (),
    still: bool = False,
) -> list[Path]:
    """Write the animation of a run, or of up to four runs side by side; or one picture of a run instead.

    Args:
        runs: run folders; a run with fewer generations shows its last one until the end.
        out: the file; .webp, .gif, .apng (also .png), .mp4 or .webm.
        which: "photocopy" shows given images copied through all generations, "tracked" what each model draws from the
            same seeds. If the model cannot copy, "photocopy" is an error. None: "tracked" if all runs drew some.
        seconds: how long a generation is shown; the first and the last are shown three times as long.
        labels: a name for each run; by default its model, or for several runs its regime, with the model if two runs
            have the same regime.
        still: whether one PNG is written instead: the first, the middle and the last generation of one run.

    Returns:
        The files written: the animation and, for lossy video, a lossless crop (APNG); or the still.

    Raises:
        ValueError: for another suffix, more than four runs, no pictures of that kind, or a missing video encoder.
    """
    if still and (len(runs) != 1 or out.suffix.lower() != ".png"):
        raise ValueError(f"{out}: a still shows one run and is a .png, got {len(runs)} runs and {out.suffix!r}")
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
    which = which or shown_by_default(views)
    names = list(labels) or _labels(views)
    if len(names) != len(views):
        raise ValueError(f"animate: expected one label per run, got {len(names)} for {len(views)} runs")
    panels = [_panel(view, which, plain(name, 60)) for view, name in zip(views, names, strict=True)]
    out.parent.mkdir(parents=True, exist_ok=True)
    if still:
        _write_still(panels[0], which, out)
        return [out]
    generations = range(max(max(panel.pictures) for panel in panels) + 1)
    frames = [_frame(panels, generation, which) for generation in generations]
    times = [seconds * (HOLD if generation in (0, generations[-1]) else 1) for generation in generations]
    if suffix in ("mp4", "webm"):
        _video(frames, times, out, suffix)
        crop = out.with_name(f"{out.stem}-crop.png")
        _moving(_crops(panels, generations), times, crop, "apng")
        return [out, crop]
    _moving(frames, times, out, suffix)
    return [out]


def shown_by_default(views: Sequence[Run]) -> Literal["photocopy", "tracked"]:
    """Return "tracked" if all runs drew pictures from the same seeds, else "photocopy"."""
    drawn = all(view.leading == "tracked" and view.same_seeds for view in views)
    return "tracked" if drawn else "photocopy"


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
    if which == "tracked" and not view.same_seeds:
        raise ValueError(
            f"{view.name}: was imported, and which of its images share their noise is not known, so one cannot be "
            "shown to change into the other. Where it is known: imagelab import ... --same-seeds N"
        )
    counts = ("freckles", "planted marks")  # first, if measured
    known = sorted(signals(view.measurements, verdict="quality"), key=lambda signal: signal.title not in counts)
    bars = [next((signal for signal in known if signal.family == family), None) for family in SHOWN]
    shown = tuple(bar for bar in bars if bar is not None)
    return AnimatedPanel(label, pictures, pictured(view, pictures), shown, _basis(view, shown))


def _basis(view: Run, bars: Sequence[Signal]) -> str:
    """Return what the bars are measured on."""
    if not bars:
        return ""
    n = view.provenance.get("n")
    noun = view.said("data", (view.experiment.get("data") or {}).get("kind"), "noun", "image")
    each = f"mean of {view.replicates} trainings, " if view.replicates > 1 else ""
    number_of = f"{n:,}" if isinstance(n, int) else f"{min(bar.images for bar in bars):,}"
    return f"Share left of real images: {each}measured on {number_of} newly drawn {noun}s, not on these pictures"


def _frame(panels: Sequence[AnimatedPanel], generation: int, which: str) -> Image.Image:
    made = "copied again and again by models trained on copies" if which == "photocopy" else "drawn from the same seeds"
    aside = made if generation else "held out: no model is trained on these"
    across = (WIDTH - 2 * MARGIN - (len(panels) - 1) * BETWEEN) // len(panels)
    columns = [
        _Column(panel, generation, panel.label if len(panels) > 1 else "", MARGIN + k * (across + BETWEEN), across)
        for k, panel in enumerate(panels)
    ]
    return _canvas((WIDTH, HEIGHT), _moment(generation), aside, columns)


def _moment(generation: int) -> str:
    return "real images" if generation == 0 else f"generation {generation}"


def _canvas(size: tuple[int, int], head: str, aside: str, columns: Sequence[_Column]) -> Image.Image:
    canvas, room = Image.new("RGB", size, "white"), size[0] - 2 * MARGIN
    draw = ImageDraw.Draw(canvas)
    write_line(draw, (MARGIN, 16), head, 48, INK, room, bold=True)
    write_line(draw, (MARGIN, 74), aside, 20, MUTED, room)
    for column in columns:
        _draw_column(canvas, draw, column, len(columns))
    write_line(draw, (MARGIN, size[1] - 26), FOOTER, 15, MUTED, room)
    return canvas


def _draw_column(canvas: Image.Image, draw: ImageDraw.ImageDraw, column: _Column, of: int) -> None:
    """Draw from the top: the head, the pictures, what is counted in them, what the bars rest on, and the bars."""
    panel, left, across, top = column.panel, column.left, column.across, HEAD
    if column.head:
        write_line(draw, (left, top), column.head, NAME, INK, across, bold=True)
        top += round(NAME * LINE) + 8
    lines = {1: 1, 2: 2}.get(of, 3)  # narrow columns break the sentences
    counted = 0 if panel.counted is None else min(lines, 2)
    bars = canvas.height - FOOT - len(panel.bars) * BAR
    basis = bars - round(lines * BASIS * LINE) - 4 if panel.basis else bars
    count = basis - round(counted * COUNT * LINE) - 4 * bool(counted)
    generation = min(column.generation, max(panel.pictures))
    pixels, shown = _grid(panel.pictures[generation], across, count - 6 - top)
    canvas.paste(Image.fromarray(pixels), (left, top + max(0, (count - 6 - top - pixels.shape[0]) // 2)))
    if panel.counted is not None:
        found = panel.counted.words(generation, shown)
        text = f"The counter finds {found} {panel.counted.word} a picture in these {shown}."
        write_line(draw, (left, count), text, COUNT, INK, across, lines=counted)
    if panel.basis:
        write_line(draw, (left, basis), panel.basis, BASIS, MUTED, across, lines=lines)
    for order, signal in enumerate(panel.bars):
        _bar(draw, signal, column.generation, left, bars + order * BAR, across)


def _grid(images: np.ndarray, across: int, room: int) -> tuple[np.ndarray, int]:
    """Lay out pictures at the whole enlargement for which they cover the largest area; four or more if there are.

    Returns:
        uint8 [height,width,3], and how many of the pictures are shown.
    """
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
    return tile(images[:shown], columns, scale, GAP), shown


def _bar(draw: ImageDraw.ImageDraw, signal: Signal, generation: int, left: int, y: int, across: int) -> None:
    known = [g for g in signal.lost if g <= generation]
    at = max(known) if known and generation else 0
    share = 1.0 - signal.lost[at] if at else 1.0
    name, figure = min(140, across // 3), 70
    start, length = left + name, across - name - figure
    write_line(draw, (left, y + 2), signal.title, 18, INK, name - 12)
    draw.rectangle((start, y + 5, start + length, y + 21), TRACK)
    if share > 0:
        draw.rectangle((start, y + 5, start + round(length * min(share, 1.0)), y + 21), LIGHT.accent)
    if at:
        half = t95(signal.df[at]) * math.sqrt(2.0) * signal.error[at]  # of a repetition, see evaluation/chains.py
        ends = [start + round(length * min(max(end, 0.0), 1.0)) for end in (share - half, share + half)]
        draw.rectangle((ends[0], y + 12, ends[1], y + 14), INK)
    draw.text((left + across, y + 13), f"{max(100 * share, 0.0):.0f} %", INK, writing(18, True), anchor="rm")


def _write_still(panel: AnimatedPanel, which: str, out: Path) -> None:
    """Write the first, the middle and the last generation beside each other."""
    first, last = min(panel.pictures), max(panel.pictures)
    chosen = sorted({first, min(panel.pictures, key=lambda g: abs(2 * g - first - last)), last})
    across = (STILL[0] - 2 * MARGIN - (len(chosen) - 1) * BETWEEN) // len(chosen)
    what = "a photocopy of a photocopy" if which == "photocopy" else "drawn from the same seeds"
    made = "each generation copies the copies before it" if which == "photocopy" else "real images have no seed"
    aside = f"{made} · bars: {panel.basis[0].lower()}{panel.basis[1:]}" if panel.bars else made
    column = replace(panel, basis="")  # it stands above all columns
    columns = [_Column(column, g, _moment(g), MARGIN + k * (across + BETWEEN), across) for k, g in enumerate(chosen)]
    moments = ", ".join(map(_moment, chosen))
    text = {
        "Title": f"{panel.label}: {what}",
        "Description": f"Pictures of {moments}, beside each other. All except real images are synthetic.",
    }
    write_png(out, np.asarray(_canvas(STILL, f"{panel.label}: {what}", aside, columns)), text, "mixture")


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


def _moving(frames: Sequence[Image.Image], times: Sequence[float], out: Path, suffix: str) -> None:
    """Write lossless WebP or APNG, or GIF with a separate palette for every frame; the file is complete or absent."""
    settings = {
        "webp": {"lossless": True, "quality": 60, "method": 4},
        "apng": {},
        "gif": {"optimize": True, "disposal": 1},
    }[suffix]
    kept = [f.quantize(256, dither=Image.Dither.NONE) for f in frames] if suffix == "gif" else list(frames)
    milliseconds = [round(1000 * time) for time in times]
    format = {"webp": "WEBP", "gif": "GIF", "apng": "PNG"}[suffix]
    with written_whole(out) as partial:
        kept[0].save(
            partial,
            format=format,
            **save_marks(format, "mixture", TITLE, SHOWS),
            save_all=True,
            append_images=kept[1:],
            duration=milliseconds,
            loop=0,
            **settings,
        )


def _video(frames: Sequence[Image.Image], times: Sequence[float], out: Path, suffix: str) -> None:
    """Encode with ffmpeg; a frame is repeated for as long as it is shown."""
    try:
        import imageio_ffmpeg
    except ImportError as error:
        raise ValueError(
            f"{out}: video needs an encoder: pip install 'imagelab-collapse[video]', "
            "or write .webp, .gif or .apng instead."
        ) from error
    name, extra = CODECS[suffix]
    with written_whole(out) as partial:
        writer = imageio_ffmpeg.write_frames(
            str(partial),
            (WIDTH, HEIGHT),
            fps=RATE,
            codec=name,
            bitrate="0",
            output_params=[*extra, "-metadata", f"title={TITLE}", "-metadata", f"comment={SHOWS} {ORIGIN}"],
            macro_block_size=8,
        )
        writer.send(None)
        for frame, time in zip(frames, times, strict=True):
            for _ in range(max(1, round(RATE * time))):
                writer.send(frame.tobytes())
        writer.close()
