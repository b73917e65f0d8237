"""``imagelab data``: inspect a dataset before a run, or write it as files for other programs.

    imagelab data describe KIND [--setting value ...]    its card, its number of images, how often attributes occur
    imagelab data preview KIND ... -o sheet.png          a contact sheet with a caption
    imagelab data render KIND ... --count N -o DIR       an imagefolder with metadata and a dataset card

KIND is a key of :data:`imagelab.data.DATASETS`; each kind has its own settings.
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
from ..io.disk import storing
from ..io.listed import named
from ..io.pictures import write_png
from .console import UsageError, out, pages, with_fields
from .overrides import offered_data

Options = TypeVar("Options", bound=BaseModel)

__all__ = ["contact_sheet", "data_app", "describe_lines"]


Tokens = Annotated[str, Parameter(show=False, allow_leading_hyphen=True)]

data_app = App(
    name="data",
    help="Inspect a dataset, or write it as PNG files: imagelab data COMMAND KIND [--setting value ...].",
    result_action="return_value",
    console=pages,
)


class Look(BaseModel):
    """The options of ``describe`` in addition to the settings of the dataset.

    Attributes:
        split: the split in whose images attributes are counted.
        count: the number of images, or all if the split has fewer.
        seed: the seed of the run.
    """

    split: Split = "train"
    count: Annotated[int, Field(ge=1)] = 2048
    seed: Annotated[int, Field(ge=0)] = 0


class RenderSheet(BaseModel):
    """The options of ``preview`` in addition to the settings of the dataset.

    Attributes:
        output: the PNG file to write.
        split: the split whose images are shown.
        count: the number of images, or all if the split has fewer.
        seed: the seed of the run.
        columns: images per row.
        enlarge: whole-number enlargement, by repeating pixels; 0 makes images about 128 pixels wide. It is also called
            --scale where the dataset has no setting of that name.
    """

    output: Annotated[Path, Parameter(alias="-o")]
    split: Split = "train"
    count: Annotated[int, Field(ge=1, le=4096)] = 48
    seed: Annotated[int, Field(ge=0)] = 0
    columns: Annotated[int, Field(ge=1, le=64)] = 8
    enlarge: Annotated[int, Field(ge=0, le=32), Parameter(name=("--enlarge", "--scale"))] = 0


class Render(BaseModel):
    """The options of ``render`` in addition to the settings of the dataset.

    Attributes:
        output: the folder to write; it must not exist yet.
        count: images of each split; 0 for all images.
        split: the split whose images are written; may be given more than once.
        seed: the seed of the run.
    """

    output: Annotated[Path, Parameter(alias="-o")]
    count: Annotated[int, Field(ge=0)] = 1000
    split: Annotated[tuple[Split, ...], Parameter(negative="")] = ("train",)
    seed: Annotated[int, Field(ge=0)] = 0


@data_app.command(help_flags=[])
def describe(*tokens: Tokens) -> int:
    """Print a dataset's card, the number of images in its splits, and how often each attribute occurs."""
    parsed = _parsed(tokens, Look, "describe")
    if parsed is None:
        return 0
    data, look = parsed
    for line in describe_lines(data, look.split, look.count, look.seed):
        out.print(line, markup=False)
    return 0


@data_app.command(help_flags=[])
def preview(*tokens: Tokens) -> int:
    """Write a contact sheet with a caption as a PNG file: imagelab data preview KIND -o sheet.png."""
    parsed = _parsed(tokens, RenderSheet, "preview")
    if parsed is None:
        return 0
    data, sheet = parsed
    sample = data.load(sheet.split, _at_most(data, sheet.split, sheet.count, sheet.seed), sheet.seed)
    caption = (
        f"{kind_of(data)}  {data.shape[1]} x {data.shape[2]} px  {sheet.split}  seed {sheet.seed}  n = {len(sample)}"
    )
    pixels, scale = contact_sheet(sample.images, sheet.columns, sheet.enlarge, caption)
    if sheet.output.suffix.lower() != ".png":
        raise UsageError(f"--output: expected a name that ends in .png, got {sheet.output}")
    with storing(sheet.output):
        sheet.output.parent.mkdir(parents=True, exist_ok=True)
        write_png(sheet.output, pixels, {"Title": caption, "Description": data.card()}, "drawn" if data.drawn else None)
    out.print(f"{sheet.output}: {caption}, enlarged {scale} times by repeating pixels", markup=False)
    return 0


@data_app.command(help_flags=[])
def render(*tokens: Tokens) -> int:
    """Write images as PNG files with metadata.jsonl and a dataset card: imagelab data render KIND -o DIR."""
    parsed = _parsed(tokens, Render, "render")
    if parsed is None:
        return 0
    data, options = parsed
    splits = tuple(dict.fromkeys(options.split))
    counts = {split: _at_most(data, split, options.count or None, options.seed) for split in splits}
    samples: dict[Split, Sample] = {split: data.load(split, counts[split], options.seed) for split in splits}
    folder = export_samples(data, samples, options.seed, options.output)
    for split, sample in samples.items():
        fewer = f" (all there are; fewer than the {options.count} requested)" if len(sample) < options.count else ""
        out.print(f"{folder}: {len(sample)} images of the {split} split{fewer}", markup=False)
    return 0


def describe_lines(data: Data, split: Split, count: int, seed: int) -> list[str]:
    """Return a description of a dataset as lines: card, splits, prevalences in a split, bad files."""
    available = data.available(seed)
    shown = {name: "unlimited" if n is None else f"{n} images" for name, n in available.items()}
    lines = [data.card(), "", *(f"{name}: {n}" for name, n in shown.items())]
    n = _at_most(data, split, count, seed)
    known = getattr(data, "attributes", None)  # a renderer returns its attributes without drawing
    attributes = known(split, n, seed) if callable(known) else data.load(split, n, seed).attributes
    if attributes:
        attributes = cast("dict[str, np.ndarray]", attributes)
        width = max(len(name) for name in attributes)
        kept = "; exact: this number by design, which chance does not change" if data.exact_rates else ""
        lines += ["", f"in {n} images of {split} (95 % interval of the underlying rate{kept}):"]
        for name, k, total, low, high in prevalences(attributes):
            range_ = "exact" if name in data.exact_rates else f"{100 * low:.2f} to {100 * high:.2f} %"
            lines.append(f"  {name:<{width}}  {k:6d}  {100 * k / total:6.2f} %  ({range_})")
    bad = data.bad_files()
    if bad:
        lines += [
            "",
            f"{len(bad)} bad {'file' if len(bad) == 1 else 'files'}, not used:{named(bad)}",
        ]
    return lines


def contact_sheet(images: np.ndarray, columns: int, scale: int, caption: str) -> tuple[np.ndarray, int]:
    """Return a sheet of images under one line of text, and the enlargement that was used.

    Args:
        images: uint8 [N,C,H,W].
        columns: images per row.
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
    """Return the number of images to load: ``count``, or all if the split has fewer or ``count`` is None."""
    available, kind = data.available(seed).get(split), kind_of(data)
    if available is None and count is None:
        raise UsageError(f"--count: {kind} is unlimited; give the number of images to write")
    if available == 0:
        raise ValueError(f"--split: the {split} split of {kind} is empty; see imagelab data describe {kind}")
    return min(n for n in (available, count) if n is not None)


def _parsed(tokens: Sequence[str], options: type[Options], verb: str) -> tuple[Data, Options] | None:
    """Parse KIND, its settings and the options of the command; None if help was requested and printed."""
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
    unseen = Annotated[Any, Parameter(parse=False)]  # KIND was already read from the command line
    recipe = with_fields(offered_data(tokens[1:], kind), kind=(unseen, kind))
    found: list[tuple[Any, Any]] = []

    def take(*, settings: Any = None, options: Any = None) -> None:
        found.append((settings, options))

    take.__doc__ = f"{verb.capitalize()} the dataset {kind}."
    if "scale" in DATASETS[kind].model_fields and "enlarge" in options.model_fields:
        once = Annotated[int, Field(ge=0, le=32), Parameter(name="--enlarge")]
        options = cast("type[Options]", with_fields(options, enlarge=(once, 0)))
    take.__annotations__["settings"] = Annotated[recipe | None, Parameter(name="*", group="Dataset")]
    take.__annotations__["options"] = Annotated[options | None, Parameter(name="*", group="Command")]
    inner = App(name=f"imagelab data {verb} {kind}", result_action="return_value", version_flags=[], console=pages)
    inner.default(take)
    inner["--help"].show = False
    inner(list(tokens[1:]), exit_on_error=False, print_error=False)
    if not found:
        return None
    settings, chosen = found[0]
    for form, given in ((DATASETS[kind], settings), (options, chosen)):
        needs = [f"--{name}" for name, field in form.model_fields.items() if field.is_required()]
        if given is None and needs:
            raise UsageError(f"data {verb} {kind}: needs {' and '.join(needs)}; --help describes them")
    recipe_settings = {} if settings is None else settings.model_dump(exclude={"kind"})
    return cast("Data", DATASETS[kind](**recipe_settings)), chosen if chosen is not None else options()
