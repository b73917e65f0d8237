"""The settings of ``imagelab measure``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from cyclopts import Parameter
from pydantic import BaseModel, Field

from ..evaluation.sources import Opening
from ..faces.freckles import Style
from ..io.arrays import Layout
from ..io.resample import Kernel
from .console import UsageError
from .measure_tables import Form

__all__ = ["MeasureOptions", "value_range_of"]


class MeasureOptions(BaseModel):
    """How to measure.

    Attributes:
        metrics: names from --list, separated by commas; by default all metrics for general pictures whose weights are
            on this machine.
        train: the images that the model was trained on, to measure memorisation.
        blank: real images without the counted feature (freckle-free faces) after they were copied by the model.
        floor: other real images, to measure the floor; by default the real set is divided for it.
        size: crop every picture to its centre square and resample it to this many pixels per side; 0 for no resizing.
        resize: the resampling kernel for --size; all except nearest are antialiased.
        value_range: BLACK,WHITE of arrays that are not uint8, such as 0,1 or -1,1.
        layout: the order of the axes of arrays, if it is ambiguous.
        on_bad: skip bad files and name them, or stop with an error.
        white: the value that means white in picture files whose values are not bytes, such as 4095 or 1.
        page: which picture to take of a file that holds several (TIFF, animations): its number, from 1, or all.
        key: the ending of the pictures of .tar and .zip files, such as jpg or seg.png, if a sample has several; all
            takes each.
        column: the column of pictures of .parquet files, if there are several.
        freckle_style: how the freckles of the faces look, which chooses their counter: countable or fine; by default as
            the run says that the images are from, else countable.
        seed: the seed of the division for the floor and of all random choices of the estimators.
        device: auto, cpu, cuda or cuda:1.
        cache: keep decoded pixels and features in $IMAGELAB_CACHE for the next time.
        output: the file for the numbers, one JSON object per line.
        against: earlier numbers to compare with: such a file, or a generation of a run (RUN@3).
        everything: also show numbers without a direction (such as the power at each radius).
        as_json: print one JSON object and nothing else; the same as --format json.
        form: what is printed: a table for the terminal, one JSON object, or the table as Markdown, LaTeX or CSV (all
            digits).
        catalogue: list the metrics: what each measures, its limits, and how many images it needs.
        plugins: Python files with metrics of your own.
        network: feature networks of your own, each a description (JSON) of an ONNX, TorchScript or Python network and
            its preprocessing; distances as they see them are measured, too. Opening a network runs code.
        space: the feature space of a statistics file that does not say its own.
        by_class: measure every class (first subfolder) of the one folder against the same class of the other, and give
            the mean over classes.
        paired: score every picture against its counterpart: PSNR, SSIM, LPIPS (with its weights), PD; matched by name
            where both are folders of picture files, else by order. --output writes one row a picture (.csv or .jsonl).
    """

    metrics: str | None = None
    train: str | None = None
    blank: str | None = None
    floor: str | None = None
    size: Annotated[int, Field(ge=0, le=4096)] = 0
    resize: Kernel = "bicubic"
    value_range: Annotated[str | None, Parameter(allow_leading_hyphen=True)] = None
    layout: Layout = "auto"
    on_bad: Literal["skip", "stop"] = "skip"
    white: Annotated[float | None, Field(gt=0, allow_inf_nan=False)] = None
    page: Annotated[int, Field(ge=1)] | Literal["all"] | None = None
    key: str = ""
    column: str = ""
    freckle_style: Style | None = None
    seed: Annotated[int, Field(ge=0)] = 0
    device: str = "auto"
    cache: bool = True
    output: Annotated[Path | None, Parameter(alias="-o")] = None
    against: str | None = None
    everything: Annotated[bool, Parameter(name="--all", negative="")] = False
    as_json: Annotated[bool, Parameter(name="--json", negative="")] = False
    form: Annotated[Form, Parameter(name="--format")] = "table"
    catalogue: Annotated[bool, Parameter(name="--list", negative="")] = False
    plugins: Annotated[tuple[Path, ...], Parameter(negative="")] = ()
    network: Annotated[tuple[Path, ...], Parameter(negative="")] = ()
    space: str = ""
    by_class: Annotated[bool, Parameter(negative="")] = False
    paired: Annotated[bool, Parameter(negative="")] = False

    @property
    def opening(self) -> Opening:
        """How the sets are opened."""
        return Opening(
            self.size,
            self.resize,
            value_range_of(self.value_range),
            self.layout,
            self.on_bad,
            self.cache,
            self.white,
            self.page,
            self.key,
            self.column,
        )


def value_range_of(text: str | None) -> tuple[float, float] | None:
    """Return (black, white) that ``--value-range`` gives; None where it is not given."""
    if text is None:
        return None
    try:
        low, high = (float(part) for part in text.split(","))
    except ValueError as error:
        raise UsageError(f"--value-range: expected BLACK,WHITE such as -1,1, got {text!r}") from error
    return low, high
