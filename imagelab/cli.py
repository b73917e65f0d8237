"""The doors: ``imagelab run``, ``resume``, ``branch``, ``report`` and others; :func:`launch` is the one for scripts.

Settings are read in this order, later ones winning: the recipe's defaults, the experiment file, the command line.
The whole experiment is validated before torch is imported. Exit codes: 0 done; 1 the work failed, or a
file, a run or a device that the command names is not here or cannot be used; 2 the command was wrong whatever is here;
130 interrupted (and can be resumed). ``watch`` adds one more, 3.
"""

from __future__ import annotations

import errno
import os
import runpy
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, NoReturn

from cyclopts import App, CycloptsError, Group, Parameter
from pydantic import BaseModel, ValidationError

from . import __version__
from .bench import reopen
from .branch import branch, branched
from .cache import make_room
from .cli_data import data_app
from .cli_export import cite as cite_command
from .cli_export import export as export_command
from .cli_measure import measure_command
from .cli_pictures import animate as animate_command
from .cli_pictures import compare as compare_command
from .cli_pictures import grid as grid_command
from .cli_pictures import slides as slides_command
from .cli_watch import watch as watch_command
from .cli_weights import weights_app
from .config import Experiment, Runtime, explain, read_config
from .data import DATASETS
from .distributed import follows, ranks
from .generators import GENERATORS
from .generators.base import Team
from .isolate import ERRORS, isolate
from .regimes import REGIMES
from .settings import UsageError, err, out, settled
from .store import RunFolder
from .threads import prepare_process

__all__ = ["app", "execute", "launch", "load_experiment", "main", "parse"]

FAMILIES: dict[str, Mapping[str, type[BaseModel]]] = {"data": DATASETS, "regime": REGIMES, "generator": GENERATORS}
SHORT = {"--on-bad": "--data.on-bad"}
NO_ARMS = "--no-arms"
ISOLATE = "--isolate"


app = App(
    name="imagelab",
    version=__version__,
    help="Watch an image model collapse, and measure it.",
    result_action="return_value",
)
RUN, LOOK, MEASURE, SHARE, SET_UP, HELP = (
    Group(title, sort_key=place) for place, title in enumerate(("Run", "Look", "Measure", "Share", "Set up", "Help"))
)  # in the order in which a stranger needs them
app.command(watch_command, name="watch", group=LOOK, sort_key=2)
app.command(grid_command, name="grid", group=LOOK, sort_key=3)
app.command(animate_command, name="animate", group=LOOK, sort_key=4)
app.command(compare_command, name="compare", group=LOOK, sort_key=5)
app.command(measure_command, name="measure", group=MEASURE)
app.command(slides_command, name="slides", group=SHARE, sort_key=1)
app.command(export_command, name="export", group=SHARE, sort_key=2)
app.command(cite_command, name="cite", group=SHARE, sort_key=3)
for place, sub_app in enumerate((data_app, weights_app), 2):
    sub_app.group, sub_app.sort_key = SET_UP, place
    app.command(sub_app)
for flag in ("--help", "--version"):
    app[flag].group = HELP


@app.command(name="run", help_flags=[], group=RUN, sort_key=1)
def run_command(*tokens: Annotated[str, Parameter(show=False, allow_leading_hyphen=True)]) -> int:
    """Run an experiment file and write its report: imagelab run FILE [--setting value ...].

    FILE is a Python experiment (experiments/photocopy.py), a JSON or YAML file of settings, or a run's config.json.
    `imagelab run FILE --help` lists every setting.
    """
    if not tokens or tokens[0].startswith("-"):
        return _needs(tokens, "imagelab run FILE", "an experiment such as experiments/photocopy.py")
    return execute(parse(load_experiment(Path(tokens[0])), tokens[1:], f"imagelab run {tokens[0]}"))


@app.command(group=RUN, sort_key=2)
def resume(run: Path, /, *, device: str = "auto", batch: int = 256, threads: int = 0) -> int:
    """Go on with an interrupted run from its last finished step.

    Parameters
    ----------
    run
        The run folder, such as runs/photocopy-1a2b3c4d.
    device
        auto, cpu, cuda or cuda:1.
    batch
        Images in a sampling batch.
    threads
        CPU threads; 0 for the number that the run was begun with.
    """
    folder = RunFolder.open(run)
    runtime = Runtime(device=device, batch=batch, threads=threads, runs=folder.path.parent)
    return execute(reopen(folder, runtime), folder)


@app.command(name="branch", help_flags=[], group=RUN, sort_key=3)
def branch_command(*tokens: Annotated[str, Parameter(show=False, allow_leading_hyphen=True)]) -> int:
    """Give a run another ending: imagelab branch RUN --at G [--regime.kind mix ...] [--generations N].

    A new run that shares RUN's generations up to G and obeys another regime, or goes on for longer, from there. What is
    shared is not computed again. `imagelab branch RUN --at G --help` lists every setting.
    """
    words = list(tokens)
    at, words = _taken(words, "--at")
    if not words or words[0].startswith("-"):
        return _needs(words, "imagelab branch RUN --at G", "a run folder such as runs/photocopy-1a2b3c4d")
    folder = RunFolder.open(Path(words[0]))
    stem = reopen(folder, Runtime(runs=folder.path.parent))
    asked = parse(stem, words[1:], f"imagelab branch {words[0]} --at G")
    if not at.isdecimal():
        raise UsageError(f"--at: expected the last generation that the two runs share, got {at or 'nothing'}")
    experiment = branched(stem, asked, int(at))
    return execute(experiment, None if follows() else branch(folder, experiment, int(at)))


def _needs(words: Sequence[str], usage: str, what: str) -> int:
    """Print the help that was asked for; where none was, say what is missing."""
    if words and words[0] in ("--help", "-h"):
        parse(Experiment(), ["--help"], usage)
    form = usage.removeprefix("imagelab ")
    raise UsageError(f"{form}: expected {what} first, got {words[0] if words else 'nothing'}; --help lists the rest")


def _taken(words: Sequence[str], name: str) -> tuple[str, list[str]]:
    """Return the value given for a flag ("" where there is none) and the words without it."""
    value, rest, left = "", [], iter(words)
    for word in left:
        head, equals, tail = word.partition("=")
        if head == name:
            value = tail if equals else next(left, "")
        else:
            rest.append(word)
    return value, rest


@app.command(group=LOOK, sort_key=1)
def report(run: Path, /, *, output: Annotated[Path | None, Parameter(alias="-o")] = None) -> int:
    """Write a run's report: one self-contained HTML page, and pictures ready for a slide.

    Parameters
    ----------
    run
        The run folder, finished or not.
    output
        Folder for the report; RUN/report if not given.
    """
    from .report import write_report

    RunFolder.open(run)
    if output is not None and output.is_file():
        raise ValueError(f"--output: {output} is a file; expected a folder for the page and its pictures")
    out.print(f"report: {write_report(run, output)}", markup=False)
    return 0


@app.command(group=SET_UP, sort_key=1)
def doctor() -> int:
    """Say what this machine has: versions, devices, local weights, disk. Changes nothing, downloads nothing."""
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
    words = sys.argv[1:] if arguments is None else list(arguments)
    source = f"python {Path(sys.argv[0]).name}"
    _leave(_guard(lambda: execute(parse(experiment, words, source))))


def main(arguments: Sequence[str] | None = None) -> NoReturn:
    """Enter the ``imagelab`` command."""
    prepare_process()
    words = sys.argv[1:] if arguments is None else list(arguments)
    _leave(_guard(lambda: app(words, exit_on_error=False, print_error=False) or 0))


def _leave(code: int) -> NoReturn:
    """Exit; as one of several processes without the last rites of C++, where a thread of gloo's may still stand."""
    if ranks() > 1:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)
    sys.exit(code)


def load_experiment(path: Path) -> Experiment:
    """Return the experiment that a file holds.

    Raises:
        ValueError: naming the file, if it is missing or holds no experiment.
    """
    if path.is_dir() and (path / "config.json").is_file():
        path = path / "config.json"
    if not path.is_file():
        raise ValueError(f"{path}: no such experiment file. Expected a .py, .json or .yaml file.")
    if path.suffix == ".py":
        found = runpy.run_path(str(path)).get("experiment")
        if not isinstance(found, Experiment):
            raise ValueError(f"{path}: expected a variable `experiment = Experiment(...)`, got {type(found).__name__}")
        return found
    if path.suffix not in (".json", ".yaml", ".yml"):
        raise ValueError(f"{path}: expected a .py, .json or .yaml file")
    try:
        return Experiment(**read_config(path))
    except ValidationError as error:
        raise ValueError(f"{path}:\n{explain(error)}") from error


def parse(experiment: Experiment, words: Sequence[str], source: str) -> Experiment:
    """Return the experiment with command-line settings laid over it.

    A new ``kind`` starts from that kind's own defaults: ``--data.kind folder`` keeps nothing of ``Faces(...)``. Recipes
    within recipes are chosen alike: ``--regime.kind schedule --regime.then.kind mix --regime.then.real-fraction .5``.
    Only the settings of the kinds in use exist on the command line, so that help and typing errors speak of those.
    """
    words = [SHORT.get(head, head) + eq + tail for head, eq, tail in (word.partition("=") for word in words)]
    arms = () if NO_ARMS in words else experiment.arms
    words = [word for word in words if word != NO_ARMS]
    isolating = any(word.partition("=")[0] == ISOLATE for word in words)
    left, words = _taken(words, ISOLATE)
    fields: dict[str, Any] = {"arms": (Annotated[Any, Parameter(parse=False)], arms)}
    for family in FAMILIES:
        fields[family] = _offered(words, family, FAMILIES[family], getattr(experiment, family))
    concrete = settled(experiment, **fields)
    found: list[BaseModel] = []

    def take(*, settings: Any = None) -> None:
        found.append(settings or concrete())

    kinds = "; ".join(f"--{family}.kind {' | '.join(table)}" for family, table in FAMILIES.items())
    take.__doc__ = (
        f"Settings of this experiment. Another kind brings its own settings: {kinds}. --no-arms: no controls. "
        f"{ISOLATE} {' | '.join(ERRORS)}: leave one of the three errors, switch off the others, and say how."
    )
    take.__annotations__["settings"] = Annotated[concrete | None, Parameter(name="*")]
    inner = App(name=source, result_action="return_value", version_flags=[], help_flags=["--help", "-h"])
    inner.default(take)
    inner["--help"].show = False
    inner(words, exit_on_error=False, print_error=False)
    if not found:  # --help was asked for and printed
        sys.exit(0)
    asked = Experiment(**{**found[0].model_dump(), "arms": arms})
    return _alone(asked, left) if isolating else asked


def _alone(experiment: Experiment, error: str) -> Experiment:
    """Leave one error of three, and say on the terminal what was done with the others."""
    if error not in ERRORS:
        raise UsageError(f"{ISOLATE}: expected one of {', '.join(ERRORS)}, got {error!r}")
    isolated = isolate(experiment, error)
    for name, words in isolated.switches.items() if not follows() else ():
        out.print(f"{name} error: {words}", markup=False)
    return isolated.experiment


def _offered(
    words: Sequence[str], path: str, table: Mapping[str, type[BaseModel]], present: BaseModel
) -> tuple[type[BaseModel], Any]:
    """The settings class that the command line shows for a recipe, recipes within it included, and its default."""
    recipe = _chosen(words, path, table, present)
    if not isinstance(present, recipe):
        if any(field.is_required() for field in recipe.model_fields.values()):
            return recipe, ...
        present = recipe()
    values = {name: getattr(present, name) for name in recipe.model_fields}
    nested = {name: value for name, value in values.items() if isinstance(value, tuple(table.values()))}
    shown = settled(present, **{name: _offered(words, f"{path}.{name}", table, v) for name, v in nested.items()})
    return shown, shown()


def _chosen(
    words: Sequence[str], path: str, table: Mapping[str, type[BaseModel]], present: BaseModel
) -> type[BaseModel]:
    """The recipe class that the command line names at a place such as regime or regime.then, or the present one."""
    kind = getattr(present, "kind", "")
    for index, word in enumerate(words):
        head, _, tail = word.partition("=")
        if head == f"--{path}.kind":
            kind = tail or (words[index + 1] if index + 1 < len(words) else "")
    if kind not in table:
        raise UsageError(f"--{path}.kind: expected one of {', '.join(table)}, got {kind!r}")
    return table[kind]


def execute(experiment: Experiment, folder: RunFolder | None = None) -> int:
    """Run what is not yet there, then write the report. Returns the exit code."""
    from .distributed import together
    from .progress import Watch

    def work(team: Team) -> int:
        with Watch(experiment, out, err, team) as watch:
            return watch.go(folder)

    if not follows():
        make_room()
    return together(work, experiment.runtime)


def _guard(work: Callable[[], Any]) -> int:
    """Run a command and turn what its user can mend into one message; a fault of ours keeps its traceback."""
    try:
        return int(work())
    except ValidationError as error:
        return _say(explain(error), 2)
    except CycloptsError as error:
        fault = error.__cause__
        return _say(explain(fault) if isinstance(fault, ValidationError) else str(error), 2)
    except UsageError as error:
        return _say(str(error), 2)
    except ValueError as error:
        return _say(str(error), 1)
    except OSError as error:
        full = error.errno in (errno.ENOSPC, errno.EDQUOT)
        advice = " The disk is full: free some space and resume; what is finished is kept." if full else ""
        return _say(f"{error}.{advice}" if advice else str(error), 1)
    except KeyboardInterrupt:
        return _say("stopped at once; finished generations are kept", 130)


def _say(message: str, code: int) -> int:
    if follows():  # rank 0 says the same
        return code
    err.print(f"imagelab: {message}", markup=False, style="bold red" if err.is_terminal else None)
    return code
