"""``imagelab export`` and ``cite``: a generation of a run in formats of other programs, and the works to cite."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from cyclopts import Parameter

from ..export.citations import bibtex, cited_by
from ..export.generation import export_generation
from ..run_folder import RunFolder
from .console import out

__all__ = ["cite", "export"]


def export(
    run: Path,
    /,
    *,
    generation: int,
    output: Annotated[Path, Parameter(alias="-o")],
    form: Annotated[
        Literal["imagefolder", "parquet", "webdataset", "model"], Parameter(name="--format")
    ] = "imagefolder",
    line: int = 0,
    sign: Annotated[bool, Parameter(negative="")] = False,
) -> int:
    """Write a generation of a run, every image with its provenance, or the model that made it with a model card.

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
        Which model: 0 is the main one, control models follow.
    sign
        Sign every picture with your key (imagelab key new), and every other file by a signature beside it.
    """
    out.print(f"export: {export_generation(run, generation, output, form, line, sign)}", markup=False)
    return 0


def cite(run: Path, /) -> int:
    """Print BibTeX of the works that a run uses: its regime, its models, its data and all its metrics.

    Parameters
    ----------
    run
        The run folder.
    """
    folder = RunFolder.open(run)
    config, provenance = folder.config, folder.provenance
    works = cited_by(config["experiment"], folder.measurements(), provenance.get("own") or ())
    out.print(bibtex(works), markup=False, end="")
    return 0
