"""``imagelab import``: a loop that ran elsewhere becomes a run folder, measured like any other.

imagelab import REAL GEN1 GEN2 GEN3 -o runs/theirs
imagelab import REAL GEN1 GEN2 --heldout TEST --label StyleGAN --line control=C1,C2
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Literal

from cyclopts import Parameter
from pydantic import BaseModel, Field

from ..evaluation.comparison import figures
from ..evaluation.foreign_loops import ForeignLoop, import_loop
from ..evaluation.sources import Opening
from ..experiment import Runtime
from ..faces.freckles import Style
from ..io.arrays import Layout
from ..io.atomic import write_atomic
from ..io.cache import make_room
from ..io.own_code import load_file
from ..io.resample import Kernel
from ..pool import REAL
from ..run_folder import RunFolder
from .console import UsageError, out
from .measure import names_of_metrics
from .measure_options import value_range_of
from .measure_tables import ERRORS_HOLD, TEXTS, plain_table

__all__ = ["import_run"]

TABLE_HEAD = (
    "Model",
    "Generation",
    "Key",
    "Value",
    "95 % low",
    "95 % high",
    "Real images",
    "n made",
    "n real",
    "Unit",
)


class ImportOptions(BaseModel):
    """How a loop is imported.

    Attributes:
        output: the run folder to write; runs/NAME-SIGNATURE if not given.
        heldout: real images that no model was trained on; without them half of REAL is held out, by the seed.
        line: a further model, as NAME=GEN1,GEN2,...; as often as wanted. A path with a comma cannot be given here.
        label: the name of the main model.
        name: a short word for the run.
        title: one line for the report.
        images: images taken of every set, by the seed where it holds more; 0 for the number of the smallest set.
        same_seeds: so many images at the beginning of every generation were drawn from the same noise, so that they can
            be followed; 0: not known.
        metrics: names from `imagelab measure --list`, separated by commas; by default those of general pictures.
        group: images that belong together (persons, scenes, scanners), whose errors are then taken over groups: folder,
            folder:1 (first folder of the path), or a regular expression with one group on the path; in every set, which
            are folders of picture files then. No group is divided between REAL and what is held out of it.
        freckle_style: how the freckles of the faces look, which chooses their counter: countable or fine; by default as
            the run says that REAL is from, and countable where it is from none.
        table: also write the numbers as a table into this file: .csv (all digits), .md or .tex (booktabs).
        seed: of every random choice; numbers of a run are repeated with its seed.
        size: crop every picture to its centre square and resample it to this many pixels per side; 0 for no resizing.
        resize: the resampling kernel for --size.
        value_range: BLACK,WHITE of arrays that are not uint8, such as 0,1 or -1,1.
        layout: the order of the axes of arrays, if it is ambiguous.
        white: the value that means white in picture files whose values are not bytes.
        key: the ending of the pictures of .tar and .zip files, if a sample has several.
        column: the column of pictures of .parquet files, if there are several.
        on_bad: stop at a bad file, or skip it and name it.
        device: auto, cpu, cuda or cuda:1.
        plugins: Python files with metrics of your own.
    """

    output: Annotated[Path | None, Parameter(alias="-o")] = None
    heldout: str = ""
    line: Annotated[tuple[str, ...], Parameter(negative="")] = ()
    label: Annotated[str, Field(min_length=1, max_length=60)] = "model"
    name: Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9-]{0,39}$")] = "imported"
    title: Annotated[str, Field(max_length=200)] = ""
    images: Annotated[int, Field(ge=0)] = 0
    same_seeds: Annotated[int, Field(ge=0, le=256)] = 0
    metrics: str | None = None
    group: str = ""
    freckle_style: Style | None = None
    table: Path | None = None
    seed: Annotated[int, Field(ge=0)] = 0
    size: Annotated[int, Field(ge=0, le=4096)] = 0
    resize: Kernel = "bicubic"
    value_range: Annotated[str | None, Parameter(allow_leading_hyphen=True)] = None
    layout: Layout = "auto"
    white: Annotated[float | None, Field(gt=0, allow_inf_nan=False)] = None
    key: str = ""
    column: str = ""
    on_bad: Literal["skip", "stop"] = "stop"
    device: Annotated[str, Field(pattern=r"^(auto|cpu|cuda(:\d+)?)$")] = "auto"
    plugins: Annotated[tuple[Path, ...], Parameter(negative="")] = ()


def import_run(
    real: str,
    /,
    *generations: str,
    options: Annotated[ImportOptions | None, Parameter(name="*")] = None,
) -> int:
    """Make a run folder of a loop that ran elsewhere: imagelab import REAL GEN1 GEN2 ... -o runs/theirs.

    REAL and GEN1, GEN2, ... are folders of pictures, .npy, .npz, .zip, .tar(.gz) or .parquet files, or generations of a
    run (RUN@3). The result is measured against held-out real images, and report, compare, slides, watch, check and
    export take it like any run. It cannot be resumed: its images were made elsewhere.

    Parameters
    ----------
    real
        The real images that the first model was trained on.
    generations
        What the model of each generation made, in order.
    """
    asked = options or ImportOptions()
    for file in asked.plugins:
        load_file(file)
    if asked.table is not None and asked.table.suffix.lower() not in TEXTS:
        raise UsageError(f"--table: expected a name that ends in {', '.join(TEXTS)}, got {asked.table}")
    if not generations:
        raise UsageError("expected the real images and one generation or more: imagelab import REAL GEN1 GEN2 ...")
    metrics = names_of_metrics(asked.metrics)
    loop = ForeignLoop(
        real,
        {asked.label: generations, **_lines(asked.line, asked.label)},
        asked.heldout,
        asked.name,
        asked.title,
        asked.images,
        asked.same_seeds,
        None if metrics is None else tuple(metrics),
        asked.seed,
        asked.group,
        asked.freckle_style,
    )
    how = Opening(
        size=asked.size,
        resize=asked.resize,
        value_range=value_range_of(asked.value_range),
        layout=asked.layout,
        on_bad=asked.on_bad,
        white=asked.white,
        key=asked.key,
        column=asked.column,
    )
    make_room()
    folder = import_loop(
        loop, asked.output, how, Runtime(device=asked.device), lambda sentence: out.print(sentence, markup=False)
    )
    from ..report import write_report

    out.print(f"run: {folder.path}", markup=False)
    out.print(f"report: {write_report(folder.path)}", markup=False)
    if asked.table is not None:
        _write_table(asked.table, folder, list(loop.lines))
        out.print(f"table: {asked.table}", markup=False)
    return 0


def _write_table(path: Path, folder: RunFolder, labels: Sequence[str]) -> None:
    """Write every measurement of a run that has a value: a row a model, generation and key."""
    form = TEXTS[path.suffix.lower()]

    def number(value: float | None) -> str:
        return "" if value is None else repr(value) if form == "csv" else figures(value)

    rows = []
    for m in folder.measurements():
        if m.value is None or (m.better == "none" and form != "csv"):
            continue
        low, high = m.interval or (None, None)
        model = "real images" if m.line == REAL else labels[m.line]
        values = (number(each) for each in (m.value, low, high, m.floor))
        rows.append((model, str(m.generation), m.name, *values, str(m.n_fake), str(m.n_real), m.unit))
    title = f"{folder.path.name}: every generation against held-out real images"
    write_atomic(path, plain_table(form, TABLE_HEAD, rows, title, [ERRORS_HOLD], "lrlrrrrrrl") + "\n")


def _lines(given: Sequence[str], label: str) -> dict[str, list[str]]:
    """Return name -> sources of the further lines."""
    lines: dict[str, list[str]] = {}
    for each in given:
        name, equals, sources = each.partition("=")
        if not name or not equals or not all(sources.split(",")):
            raise UsageError(f"--line: expected NAME=GEN1,GEN2,..., got {each!r}")
        if name in lines or name == label:
            raise UsageError(f"--line: there is a line {name!r} already; give this one another name")
        lines[name] = sources.split(",")
    return lines
