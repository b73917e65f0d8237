"""``imagelab data``: look at a dataset before a run, and write it where others can read it.

    imagelab data describe KIND [--setting value ...]    what it is, how much there is, how often what occurs
    imagelab data preview KIND ... -o sheet.png          a captioned contact sheet
    imagelab data render KIND ... --count N -o DIR       an imagefolder with metadata and a dataset card

KIND is a word of :data:`imagelab.data.DATASETS`; the settings are those of that kind and no others.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, TypeVar, cast

import numpy as np
from cyclopts import App, Parameter
from pydantic import BaseModel, Field

from ..data import DATASETS, Data, Sample, Split
from ..export.dataset import export_samples, prevalences
from ..families import kind_of
from ..images import tile
from ..io.pictures import write_png
from .console import UsageError, out, with_fields

Wish = TypeVar("Wish", bound=BaseModel)

__all__ = ["contact_sheet", "data_app", "describe_lines"]


Tokens = Annotated[str, Parameter(show=False, allow_leading_hyphen=True)]

data_app = App(
    name="data",
    help="Look at a dataset, or write it as PNG files: imagelab data COMMAND KIND [--setting value ...].",
    result_action="return_value",
)


class Look(BaseModel):
    """What ``describe`` asks for beside the dataset's own settings.

    Attributes:
        split: whose images to count attributes in.
        count: how many of them; fewer where there are fewer.
        seed: the run's seed.
    """

    split: Split = "train"
    count: Annotated[int, Field(ge=1)] = 2048
    seed: Annotated[int, Field(ge=0)] = 0


class Sheet(BaseModel):
    """What ``preview`` asks for beside the dataset's own settings.

    Attributes:
        output: the PNG file to write.
        split: whose images to show.
        count: how many; fewer where there are fewer.
        seed: the run's seed.
        columns: images a row.
        scale: whole-number enlargement, by repeating pixels; 0 chooses one that suits the size.
    """

    output: Annotated[Path, Parameter(alias="-o")]
    split: Split = "train"
    count: Annotated[int, Field(ge=1, le=4096)] = 48
    seed: Annotated[int, Field(ge=0)] = 0
    columns: Annotated[int, Field(ge=1, le=64)] = 8
    scale: Annotated[int, Field(ge=0, le=32)] = 0


class Render(BaseModel):
    """What ``render`` asks for beside the dataset's own settings.

    Attributes:
        output: the folder to write; it must not exist yet.
        count: images of each split; 0 takes all there are.
        split: whose images to write; may be given more than once.
        seed: the run's seed.
    """

    output: Annotated[Path, Parameter(alias="-o")]
    count: Annotated[int, Field(ge=0)] = 1000
    split: Annotated[tuple[Split, ...], Parameter(negative="")] = ("train",)
    seed: Annotated[int, Field(ge=0)] = 0


@data_app.command(help_flags=[])
def describe(*tokens: Tokens) -> int:
    """Print a dataset's card, how many images its splits hold, and how often each attribute occurs."""
    found = _asked(tokens, Look, "describe")
    if found is None:
        return 0
    data, look = found
    for line in describe_lines(data, look.split, look.count, look.seed):
        out.print(line, markup=False)
    return 0


@data_app.command(help_flags=[])
def preview(*tokens: Tokens) -> int:
    """Write a captioned contact sheet as a PNG file: imagelab data preview KIND -o sheet.png."""
    found = _asked(tokens, Sheet, "preview")
    if found is None:
        return 0
    data, sheet = found
    sample = data.load(sheet.split, _at_most(data, sheet.split, sheet.count, sheet.seed), sheet.seed)
    caption = (
        f"{kind_of(data)}  {data.shape[1]} x {data.shape[2]} px  {sheet.split}  seed {sheet.seed}  n = {len(sample)}"
    )
    pixels, scale = contact_sheet(sample.images, sheet.columns, sheet.scale, caption)
    if sheet.output.suffix.lower() != ".png":
        raise UsageError(f"--output: expected a name that ends in .png, got {sheet.output}")
    sheet.output.parent.mkdir(parents=True, exist_ok=True)
    write_png(sheet.output, pixels, {"Title": caption, "Description": data.card(), "Software": "imagelab"})
    out.print(f"{sheet.output}: {caption}, enlarged {scale} times by repeating pixels", markup=False)
    return 0


@data_app.command(help_flags=[])
def render(*tokens: Tokens) -> int:
    """Write images as PNG files with metadata.jsonl and a dataset card: imagelab data render KIND -o DIR."""
    found = _asked(tokens, Render, "render")
    if found is None:
        return 0
    data, wish = found
    splits = tuple(dict.fromkeys(wish.split))
    counts = {split: _at_most(data, split, wish.count or None, wish.seed) for split in splits}
    samples: dict[Split, Sample] = {split: data.load(split, counts[split], wish.seed) for split in splits}
    folder = export_samples(data, samples, wish.seed, wish.output)
    for split, sample in samples.items():
        fewer = f" (fewer than the {wish.count} asked for: that is all)" if len(sample) < wish.count else ""
        out.print(f"{folder}: {len(sample)} images of the {split} split{fewer}", markup=False)
    return 0


def describe_lines(data: Data, split: Split, count: int, seed: int) -> list[str]:
    """Return what is known of a dataset as lines: card, splits, prevalences in a split, refused files."""
    held = data.available(seed)
    shown = {name: "without end" if n is None else f"{n} images" for name, n in held.items()}
    lines = [data.card(), "", *(f"{name}: {n}" for name, n in shown.items())]
    n = _at_most(data, split, count, seed)
    known = getattr(data, "attributes", None)  # a renderer knows its attributes without drawing
    attributes = known(split, n, seed) if callable(known) else data.load(split, n, seed).attributes
    if attributes:
        attributes = cast("dict[str, np.ndarray]", attributes)
        width = max(len(name) for name in attributes)
        lines += ["", f"of {n} images of {split} (95 % interval of the rate behind it):"]
        for name, k, total, low, high in prevalences(attributes):
            share = f"{100 * k / total:6.2f} %  ({100 * low:.2f} to {100 * high:.2f} %)"
            lines.append(f"  {name:<{width}}  {k:6d}  {share}")
    bad = data.bad_files()
    if bad:
        lines += ["", f"{len(bad)} refused:", *(f"  {file.path}: {file.reason}" for file in bad)]
    return lines


def contact_sheet(images: np.ndarray, columns: int, scale: int, caption: str) -> tuple[np.ndarray, int]:
    """Return a sheet of images under one line of text, and the enlargement that was used.

    Args:
        images: uint8 [N,C,H,W].
        columns: images a row.
        scale: whole-number enlargement; 0 makes images about 128 pixels wide.
        caption: the line of text.

    Returns:
        uint8 [height,width,3] and the enlargement.
    """
    from PIL import Image, ImageDraw, ImageFont

    scale = scale or max(1, 128 // images.shape[3])
    body = tile(images, min(columns, len(images)), scale)
    font = ImageFont.load_default(14)
    left, top, right, bottom = font.getbbox(caption)
    high, wide = int(bottom - top) + 12, int(right - left) + 12
    sheet = Image.new("RGB", (max(body.shape[1], wide), body.shape[0] + high), "white")
    ImageDraw.Draw(sheet).text((6, 6 - top), caption, fill=(30, 30, 30), font=font)
    sheet.paste(Image.fromarray(body), (0, high))
    return np.asarray(sheet), scale


def _at_most(data: Data, split: Split, count: int | None, seed: int) -> int:
    """Return how many images to ask for: ``count``, or all where there are fewer or none is named."""
    held = data.available(seed).get(split)
    if held is None and count is None:
        raise UsageError(f"--count: {kind_of(data)} has no end; say how many images to write")
    if held == 0:
        raise ValueError(
            f"--split: the {split} split of {kind_of(data)} is empty; see imagelab data describe {kind_of(data)}"
        )
    return min(n for n in (held, count) if n is not None)


def _asked(tokens: Sequence[str], wish: type[Wish], verb: str) -> tuple[Data, Wish] | None:
    """Read KIND, its settings and what the command asks for; None where help was asked for and printed."""
    kinds = ", ".join(DATASETS)
    if not tokens or tokens[0] in ("--help", "-h"):
        out.print(f"imagelab data {verb} KIND [--setting value ...]. KIND is one of {kinds}.", markup=False)
        out.print(f"imagelab data {verb} KIND --help lists the settings of that kind.", markup=False)
        if tokens:
            return None
        raise UsageError(f"data {verb}: expected a KIND first, got nothing")
    kind = tokens[0]
    if kind not in DATASETS:
        raise UsageError(f"data {verb}: expected one of {kinds}, got {kind!r}")
    unseen = Annotated[Any, Parameter(parse=False)]  # the word stands on the command line already
    recipe = with_fields(DATASETS[kind], kind=(unseen, kind))
    found: list[tuple[Any, Any]] = []

    def take(*, settings: Any = None, wish: Any = None) -> None:
        found.append((settings, wish))

    take.__doc__ = f"{verb.capitalize()} the dataset {kind}."
    take.__annotations__["settings"] = Annotated[recipe | None, Parameter(name="*", group="Dataset")]
    take.__annotations__["wish"] = Annotated[wish | None, Parameter(name="*", group="Command")]
    inner = App(name=f"imagelab data {verb} {kind}", result_action="return_value", version_flags=[])
    inner.default(take)
    inner["--help"].show = False
    inner(list(tokens[1:]), exit_on_error=False, print_error=False)
    if not found:
        return None
    settings, asked = found[0]
    for form, given in ((DATASETS[kind], settings), (wish, asked)):
        needs = [f"--{name}" for name, field in form.model_fields.items() if field.is_required()]
        if given is None and needs:
            raise UsageError(f"data {verb} {kind}: needs {' and '.join(needs)}; --help says what that is")
    chosen = {} if settings is None else settings.model_dump(exclude={"kind"})
    return cast("Data", DATASETS[kind](**chosen)), asked if asked is not None else wish()
