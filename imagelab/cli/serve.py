"""``imagelab serve [RUNS]``: all runs of a folder on a local page, live while they run."""

from __future__ import annotations

import tempfile
import webbrowser
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from ..io.addresses import refuse_address
from ..io.untrusted import shown
from .audit import is_graphical
from .console import out
from .experiments import shipped_experiments

__all__ = ["serve_command"]


def serve_command(
    runs: Path = Path("runs"),
    /,
    *,
    port: int = 0,
    write: Annotated[bool, Parameter(negative="")] = False,
    browser: bool = True,
) -> int:
    """Show all runs of a folder in a browser: state, progress, stage, the page of each, and comparisons.

    It serves pages on 127.0.0.1 under an address with a random token, until Ctrl-C. Pages are built on demand outside
    of the runs. Without --write nothing can be started or stopped. Runs that were started go on when the server ends.

    Parameters
    ----------
    runs
        The folder of the runs, or one run.
    port
        Port on 127.0.0.1; 0 for any that is free.
    write
        Allow to start the experiments of `imagelab experiments list`, and to stop and resume runs.
    browser
        Open the page in the browser.
    """
    from ..server.app import Site, listen
    from ..server.processes import Processes
    from ..server.runs_list import RunList
    from ..server.runs_pages import RunsSite, runs_routes

    refuse_address(runs)
    if not runs.is_dir():
        raise ValueError(f"{shown(runs)}: no such folder; expected the folder of the runs, such as runs")
    entries = [entry for entry in shipped_experiments() if entry.listed and entry.group == "questions"]
    startable = [(entry.name, entry.title) for entry in entries if entry.path.suffix == ".py"] if write else []

    def ready(site: Site) -> None:
        out.print(f"{shown(runs)}: {'start, stop, resume and show' if write else 'show only'}", markup=False)
        if logs:
            out.print(f"output of what is started: {logs}", markup=False)
        out.print(f"open: {site.address}   (Ctrl-C ends)", markup=False)
        out.file.flush()
        if browser and is_graphical():
            webbrowser.open(site.address)

    logs = Path(tempfile.mkdtemp(prefix="imagelab-logs-")) if write else None
    with tempfile.TemporaryDirectory(prefix="imagelab-serve-") as built:
        pages = RunsSite(RunList(runs), Path(built), Processes(logs) if logs else None, startable)
        listen(port, lambda site: runs_routes(pages), ready)
    return 0
