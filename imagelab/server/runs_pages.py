"""The pages of ``imagelab serve``: all runs, the page of each, comparisons, and with --write start, stop and resume.

Pages of runs are built on demand into a temporary folder, never into the run, and again when a generation has been
finished since. They are shown in a sandbox: their scripts can not send anything to this server. Nothing else of a run
is served, so no path is taken from an address: names are looked up in the list of runs.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING, Any

from ..io.untrusted import quoted
from .app import Refused, form_of, page
from .pages import rendered
from .processes import Processes, stop
from .runs_list import RunList, RunRow

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.responses import Response
    from starlette.routing import BaseRoute

__all__ = ["RunsSite", "runs_routes"]

COMPARED = 6  # runs of one comparison
SEEDS = 10**9
CHANGES = ("start", "stop", "resume")

SANDBOX = (
    "default-src 'none'; img-src data: blob:; style-src 'unsafe-inline'; script-src 'unsafe-inline'; base-uri 'none'; "
    "form-action 'none'; frame-ancestors 'none'; sandbox allow-scripts allow-downloads"
)
"""Policy of a page that was built of a run: it is whole in itself."""


@dataclass
class RunsSite:
    """What the pages of all runs need.

    Attributes:
        runs: the folder of the runs.
        built: a temporary folder for pages.
        processes: what was started; None where nothing may be changed.
        experiments: names that can be started, and their titles.
    """

    runs: RunList
    built: Path
    processes: Processes | None = None
    experiments: Sequence[tuple[str, str]] = ()
    _lock: Lock = field(default_factory=Lock)
    _states: dict[str, object] = field(default_factory=dict)

    def report(self, name: str) -> str:
        """Return the page of a run.

        Raises:
            Refused: if there is no such run, or no page can be made of it.
        """
        path = self._run(name)
        return self._page(f"run {name}", self.runs.state_of(path), [path])

    def comparison(self, names: Sequence[str]) -> str:
        """Return the page that compares runs.

        Raises:
            Refused: if they cannot be compared, saying why.
        """
        if not 2 <= len(set(names)) <= COMPARED or len(set(names)) != len(names):
            raise Refused(400, f"Tick two to {COMPARED} different runs, and compare again.", "/")
        paths = [self._run(name) for name in names]
        return self._page(f"compare {names}", tuple(map(self.runs.state_of, paths)), paths)

    def row(self, name: str) -> RunRow:
        """Return the row of one run, or raise Refused."""
        self._run(name)
        return next(row for row in self.runs.rows() if row.name == name)

    def _run(self, name: str) -> Path:
        path = self.runs.folder(name)
        if path is None:
            raise Refused(404, f"There is no run {quoted(name, 80)}.", "/")
        return path

    def _page(self, key: str, state: object, paths: Sequence[Path]) -> str:
        """Return a page that was built before, or build it: one at a time, because they share a drawing library."""
        from ..report import write_comparison, write_report

        folder = self.built / hashlib.sha256(key.encode("utf-8", "surrogateescape")).hexdigest()[:16]
        with self._lock:
            try:
                if self._states.get(key) != state or not (folder / "index.html").is_file():
                    if len(paths) == 1:
                        write_report(paths[0], folder)
                    else:
                        write_comparison(paths, folder / "index.html")
                    self._states[key] = state
                return (folder / "index.html").read_text(encoding="utf-8")
            except ValueError as error:
                raise Refused(409, f"No page can be made: {quoted(error, 800)}", "/") from error


def runs_routes(site: RunsSite) -> list[BaseRoute]:
    """Return the pages of a folder of runs."""
    from starlette.concurrency import run_in_threadpool
    from starlette.responses import RedirectResponse
    from starlette.routing import Route

    async def everything(request: Request) -> Response:
        return page(rendered("runs.html", **await run_in_threadpool(_context, site)))

    async def rows(request: Request) -> Response:
        return page(rendered("rows.html", **await run_in_threadpool(_context, site)))

    async def run_page(request: Request) -> Response:
        return _sandboxed(await run_in_threadpool(site.report, request.path_params["name"]))

    async def compare(request: Request) -> Response:
        return _sandboxed(await run_in_threadpool(site.comparison, request.query_params.getlist("run")))

    async def change(request: Request) -> Response:
        fields = await form_of(request)
        name = "".join(fields.get("name", [""])[:1])
        await run_in_threadpool(_change, site, request.url.path[1:], name, "".join(fields.get("seed", [""])[:1]))
        return RedirectResponse("/", 303)

    return [
        Route("/", everything, methods=["GET"]),
        Route("/rows", rows, methods=["GET"]),
        Route("/run/{name}", run_page, methods=["GET"]),
        Route("/compare", compare, methods=["GET"]),
        *(Route(f"/{what}", change, methods=["POST"], name=what) for what in CHANGES),
    ]


def _sandboxed(html: str) -> Response:
    made = page(html)
    made.headers["Content-Security-Policy"] = SANDBOX
    return made


def _change(site: RunsSite, what: str, name: str, seed: str) -> None:
    """Start, stop or resume a run.

    Raises:
        Refused: saying why not.
    """
    if site.processes is None:
        raise Refused(403, "This server only shows. To start, stop and resume runs: imagelab serve RUNS --write", "/")
    if what == "start":
        if name not in [known for known, _ in site.experiments]:
            raise Refused(404, f"There is no experiment {quoted(name, 80)}.", "/")
        if seed and not (seed.isascii() and seed.isdecimal() and int(seed) < SEEDS):
            raise Refused(400, f"Seed: expected a whole number from 0 to {SEEDS - 1}, got {quoted(seed, 40)}.", "/")
        words = ["run", name, "--runtime.runs", str(site.runs.root.resolve()), *(["--seed", seed] if seed else [])]
        site.processes.start(words)
        return
    row, path = site.row(name), site.runs.folder(name)
    if path is None or row.state == "damaged":
        raise Refused(409, f"{name}: {row.fault or 'it is gone'}", "/")
    if what == "stop":
        if not stop(path):
            raise Refused(409, f"{name}: nobody on this machine is working on it.", "/")
        return
    if row.state in ("running", "finished"):
        raise Refused(409, f"{name}: is {row.state} already.", "/")
    if row.has_own_code:
        raise Refused(
            403,
            f"{name}: uses code of its own, which this server does not run. Resume it in a terminal: imagelab resume",
            "/",
        )
    site.processes.start(["resume", str(path.resolve())])


def _context(site: RunsSite) -> dict[str, Any]:
    """Return what the list shows."""
    return {
        "runs": site.runs.rows(),
        "folder": quoted(site.runs.root.resolve(), 200),
        "writable": site.processes is not None,
        "experiments": site.experiments,
        "started": site.processes.started() if site.processes else [],
        "compared": COMPARED,
    }
