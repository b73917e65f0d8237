"""``imagelab export``: a generation of a run, or its model, where others can read it."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from cyclopts import Parameter
from rich.console import Console

from .export_run import export_generation

__all__ = ["export"]

out = Console(highlight=False, soft_wrap=True)


def export(
    run: Path,
    *,
    generation: int,
    output: Annotated[Path, Parameter(alias="-o")],
    form: Annotated[
        Literal["imagefolder", "parquet", "webdataset", "model"], Parameter(name="--format")
    ] = "imagefolder",
    line: int = 0,
) -> int:
    """Write a generation of a run, every image with its provenance, or the model that made it with a card.

    Parameters
    ----------
    run
        The run folder.
    generation
        Which generation; 0 is the real training images.
    output
        The folder to write; it must not exist yet.
    form
        imagefolder, parquet, webdataset, or model.
    line
        Which model: 0 is the main one, arms follow.
    """
    out.print(f"export: {export_generation(run, generation, output, form, line)}", markup=False)
    return 0
