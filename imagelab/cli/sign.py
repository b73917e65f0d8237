"""``imagelab sign RUN``: one signature for every generation of a run."""

from __future__ import annotations

from pathlib import Path

from ..io.disk import storing
from ..io.untrusted import shown
from ..provenance.signed_runs import FOLDER, sign_run
from .console import out

__all__ = ["sign_command"]


def sign_command(run: Path, /, *, generation: int | None = None) -> int:
    """Sign a run with your key: every generation with its pictures, its model, its measurements and the settings.

    One signature covers a whole generation. `imagelab check RUN` verifies them.

    Parameters
    ----------
    run
        The run folder.
    generation
        Only this generation.
    """
    with storing(run / FOLDER):
        written = sign_run(run, generation)
    out.print(f"signed: {len(written)} generation folders, in {shown(run / FOLDER)}", markup=False)
    return 0
