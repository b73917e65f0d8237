"""The commands: ``imagelab run``, ``resume``, ``branch``, ``report`` and others; :func:`launch` is for scripts.

Settings are read in this order, later ones winning: the recipe's defaults, the experiment file, the command line.
The whole experiment is validated before torch is imported. Exit codes: 0 done; 1 the work failed, or a
file, a run or a device that the command names is not here or cannot be used; 2 the command was wrong whatever is here;
130 interrupted (and can be resumed). ``watch`` adds one more, 3 (the stage is
reached, or a batch of pictures rang); ``run`` and ``resume`` add 4: people have to decide.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Annotated, Any, NoReturn

from cyclopts import App, CycloptsError, Group, Parameter
from pydantic import ValidationError

from .._version import __version__
from ..experiment import Experiment, Runtime, explain
from ..generators.base import Precision
from ..io.disk import sentence
from ..run_folder import RunFolder
from ..runs.distributed import LostProcess, is_worker, world_size
from ..runs.threads import prepare_process
from .audit import audit_command
from .check import check_command
from .console import UsageError, err, out, pages, prepare_streams
from .data import data_app
from .detect import detect_command
from .experiments import experiments_app
from .export import cite as cite_command
from .export import export as export_command
from .import_ import import_run
from .inspect import inspect_command
from .key import key_app
from .measure import measure_command
from .mirror import mirror_command
from .overrides import parse, plugged
from .pictures import animate as animate_command
from .pictures import compare as compare_command
from .pictures import grid as grid_command
from .pictures import slides as slides_command
from .plan import plan_command
from .push import pull_command, push_command
from .query import query_command
from .run import branch_command, execute, resume, run_command
from .serve import serve_command
from .sign import sign_command
from .statistics import statistics_command
from .sweep import sweep_command
from .watch import watch as watch_command
from .weights import weights_app

__all__ = [
    "app",
    "launch",
    "main",
]


app = App(
    name="imagelab",
    version=__version__,
    help="Watch an image model collapse, and measure it.",
    result_action="return_value",
    console=pages,
)
RUN, LOOK, MEASURE, SHARE, SET_UP, HELP = (
    Group(title, sort_key=place) for place, title in enumerate(("Run", "Look", "Measure", "Share", "Set up", "Help"))
)  # in the order in which a stranger needs them
app.command(run_command, name="run", help_flags=[], group=RUN, sort_key=1)
app.command(resume, group=RUN, sort_key=2)
app.command(branch_command, name="branch", help_flags=[], group=RUN, sort_key=3)
app.command(sweep_command, name="sweep", help_flags=[], group=RUN, sort_key=4)
app.command(plan_command, name="plan", help_flags=[], group=RUN, sort_key=5)
app.command(check_command, name="check", group=RUN, sort_key=6)
app.command(watch_command, name="watch", group=LOOK, sort_key=2)
app.command(grid_command, name="grid", group=LOOK, sort_key=3)
app.command(animate_command, name="animate", group=LOOK, sort_key=4)
app.command(compare_command, name="compare", group=LOOK, sort_key=5)
app.command(inspect_command, name="inspect", group=LOOK, sort_key=6)
app.command(serve_command, name="serve", group=LOOK, sort_key=7)
app.command(measure_command, name="measure", group=MEASURE, sort_key=1)
app.command(statistics_command, name="statistics", group=MEASURE, sort_key=2)
app.command(audit_command, name="audit", group=MEASURE, sort_key=3)
app.command(detect_command, name="detect", group=MEASURE, sort_key=4)
app.command(import_run, name="import", group=MEASURE, sort_key=5)
app.command(query_command, name="query", group=MEASURE, sort_key=6)
app.command(slides_command, name="slides", group=SHARE, sort_key=1)
app.command(export_command, name="export", group=SHARE, sort_key=2)
app.command(cite_command, name="cite", group=SHARE, sort_key=3)
app.command(sign_command, name="sign", group=SHARE, sort_key=4)
app.command(mirror_command, name="mirror", group=SHARE, sort_key=5)
app.command(push_command, name="push", group=SHARE, sort_key=6)
app.command(pull_command, name="pull", group=SHARE, sort_key=7)
for place, sub_app in enumerate((data_app, weights_app, experiments_app, key_app), 2):
    sub_app.group, sub_app.sort_key = SET_UP, place
    app.command(sub_app)
for flag in ("--help", "--version"):
    app[flag].group = HELP


@app.command(group=LOOK, sort_key=1)
def report(run: Path, /, *, output: Annotated[Path | None, Parameter(alias="-o")] = None) -> int:
    """Write the report of a run, or of a study: one self-contained HTML page, with pictures or tables beside it.

    Parameters
    ----------
    run
        The folder of a run or of a study, finished or not.
    output
        Folder for the report; RUN/report, or the folder of the study, if not given.
    """
    from ..report import is_study, write_report, write_study

    if output is not None and output.is_file():
        raise ValueError(f"--output: {output} is a file; expected a folder for the page and its pictures")
    if is_study(run):
        out.print(f"report: {write_study(run, output)}", markup=False)
        return 0
    RunFolder.open(run)
    out.print(f"report: {write_report(run, output)}", markup=False)
    return 0


@app.command(group=SET_UP, sort_key=1)
def doctor(
    *,
    bench: bool = False,
    json: bool = False,
    device: str = "auto",
    batch: int = 0,
    threads: int = 0,
    compile: bool | None = None,
    graphs: bool | None = None,
    precision: Precision | None = None,
) -> int:
    """Print what this machine has: versions, devices, local weights, disk. Changes nothing, downloads nothing.

    Parameters
    ----------
    bench
        Measure in about two minutes what the device reaches: its peak, training and sampling of the shipped recipes.
        The options below hold for this only.
    json
        The measurements as one JSON object.
    device
        cpu, cuda or cuda:1; auto for CUDA where there is one.
    batch
        Images in a sampling batch on a CUDA device; 0 for 256.
    threads
        CPU threads; 0 for OMP_NUM_THREADS, else 1.
    compile
        Compile the blocks of networks.
    graphs
        Record training steps as CUDA graphs.
    precision
        Of networks on a CUDA device: mixed (bfloat16 and TF32) or full (float32).
    """
    how = Runtime(device=device, batch=batch, threads=threads, compile=compile, graphs=graphs, precision=precision)
    if bench:
        from .doctor_bench import bench as measured

        return measured(how, json)
    if json or how != Runtime():
        raise UsageError("doctor: --json, --device and the other options measure something; give --bench with them")
    from .doctor import examine

    for line in examine():
        out.print(line, markup=False)
    return 0


def launch(experiment: Experiment, arguments: Sequence[str] | None = None) -> NoReturn:
    """Run an experiment as a program: command-line overrides, progress, report, exit code.

    ``python experiments/photocopy.py --generations 3`` and ``imagelab run experiments/photocopy.py --generations 3``
    are the same.
    """
    prepare_process()
    prepare_streams()
    words = sys.argv[1:] if arguments is None else list(arguments)
    source = f"python {Path(sys.argv[0]).name}"
    _leave(_guard(lambda: execute(parse(experiment, plugged(words), source))))


def main(arguments: Sequence[str] | None = None) -> NoReturn:
    """Enter the ``imagelab`` command."""
    prepare_process()
    prepare_streams()
    words = sys.argv[1:] if arguments is None else list(arguments)
    _leave(_guard(lambda: app(words, exit_on_error=False, print_error=False) or 0))


def _leave(code: int) -> NoReturn:
    """Exit. Under torchrun with os._exit: gloo threads may still be running when the interpreter shuts down."""
    if out.lost is not None and code == 0:
        code = _say(f"the output could not be written: {out.lost.strerror}; the work itself is done", 1)
    if world_size() > 1:
        for stream in (sys.stdout, sys.stderr):
            with suppress(OSError, AttributeError):  # closed, or nobody reads it any more
                stream.flush()
        os._exit(code)
    sys.exit(code)


def _guard(work: Callable[[], Any]) -> int:
    """Run a command; an error that its user can correct becomes one message, a defect of ours keeps its traceback."""
    try:
        return int(work())
    except ValidationError as error:
        return _say(explain(error), 2)
    except CycloptsError as error:
        fault = error.__cause__
        return _say(explain(fault) if isinstance(fault, ValidationError) else str(error), 2)
    except UsageError as error:
        return _say(str(error), 2)
    except LostProcess as error:
        return _say(str(error), 1, worker=error.speaks)
    except ValueError as error:
        return _say(str(error), 1)
    except OSError as error:
        return _say(sentence(error), 1)
    except KeyboardInterrupt:
        return _say("stopped at once; finished generations are kept", 130)


def _say(message: str, code: int, *, worker: bool = False) -> int:
    """Print the message, on a worker only if ``worker`` is set, because rank 0 says the same; return the code."""
    if is_worker() and not worker:
        return code
    err.print(f"imagelab: {message}", markup=False, style="bold red" if err.is_terminal else None)
    return code
