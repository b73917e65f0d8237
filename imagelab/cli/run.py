"""``imagelab run``, ``resume`` and ``branch``: from words to an experiment, and from there to a finished run folder."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from ..experiment import Experiment, Keep, Runtime
from ..generators.base import Precision, ProcessGroup
from ..io.cache import make_room
from ..io.own_code import load_file
from ..io.run_records import CONFIG
from ..run_folder import RunFolder
from ..runs.branch import branch, branched
from ..runs.consent import ALLOW
from ..runs.distributed import is_worker
from ..runs.prepare import reopen
from ..runs.settings import begun_device
from .console import UsageError, err, out
from .overrides import load_experiment, parse, plugged, taken

__all__ = ["branch_command", "execute", "resume", "run_command"]


def run_command(*tokens: Annotated[str, Parameter(show=False, allow_leading_hyphen=True)]) -> int:
    """Run an experiment file and write its report: imagelab run FILE [--setting value ...].

    FILE is a Python experiment (experiments/photocopy.py), a JSON or YAML file of settings, or a run's config.json.
    `imagelab run FILE --help` lists every setting.
    """
    words, allowed = _consent(plugged(tokens))
    if not words or words[0].startswith("-"):
        return _needs(words, "imagelab run FILE", "an experiment such as experiments/photocopy.py")
    return execute(parse(load_experiment(Path(words[0]), allowed), words[1:], f"imagelab run {words[0]}"))


def resume(
    run: Path,
    /,
    *,
    device: str = "auto",
    batch: int = 0,
    threads: int = 0,
    processes: int = 0,
    compile: bool | None = None,
    graphs: bool | None = None,
    precision: Precision | None = None,
    keep: Keep | None = None,
    plugins: tuple[Path, ...] = (),
    allow_commands: bool = False,
) -> int:
    """Go on with an interrupted run from its last finished step, with the settings that it was begun with.

    Parameters
    ----------
    run
        The run folder, such as runs/photocopy-1a2b3c4d.
    device
        cpu, cuda or cuda:1; auto for the one that the run was begun on.
    batch
        Images in a sampling batch; 0 for the number that the run was begun with.
    threads
        CPU threads; 0 for the number that the run was begun with.
    processes
        How many processes the run may go on with where it was begun with another number (torchrun).
    compile
        Whether blocks of networks are compiled; as the run was begun if not given.
    graphs
        Whether a training step is recorded as a CUDA graph; as the run was begun if not given.
    precision
        Of networks on a CUDA device: mixed or full; as the run was begun if not given.
    keep
        Models that stay on the disk: models (all), last (of each line the newest) or none.
    plugins
        Python files with recipes or metrics of your own, where they do not lie where they were when the run was begun.
    allow_commands
        Let the programs that the run names be executed on this machine, though no experiment of yours has done so.
    """
    for file in plugins:
        load_file(file)
    folder = RunFolder.open(run, remake=True)
    how = Runtime(
        device=device,
        batch=batch,
        threads=threads,
        processes=processes,
        compile=compile,
        graphs=graphs,
        precision=precision,
        keep=keep,
        runs=folder.path.parent,
    )
    return execute(reopen(folder, how, allow=allow_commands), folder)


def branch_command(*tokens: Annotated[str, Parameter(show=False, allow_leading_hyphen=True)]) -> int:
    """Give a run another ending: imagelab branch RUN --at G [--regime.kind mix ...] [--generations N].

    A new run that shares RUN's generations up to G and obeys another regime, or goes on for longer, from there. What is
    shared is not computed again. `imagelab branch RUN --at G --help` lists every setting.
    """
    words, allowed = _consent(plugged(tokens))
    at, words = taken(words, "--at")
    if not words or words[0].startswith("-"):
        return _needs(words, "imagelab branch RUN --at G", "a run folder such as runs/photocopy-1a2b3c4d")
    folder = RunFolder.open(Path(words[0]))
    stem = reopen(folder, Runtime(runs=folder.path.parent), allow=allowed)
    asked = parse(stem, words[1:], f"imagelab branch {words[0]} --at G")
    if not at.isdecimal():
        raise UsageError(f"--at: expected the last generation that the two runs share, got {at or 'nothing'}")
    experiment = branched(stem, asked, int(at))
    return execute(experiment, None if is_worker() else branch(folder, experiment, int(at)))


def _consent(words: Sequence[str]) -> tuple[list[str], bool]:
    """Return the words without ``--allow-commands``, and whether it was among them."""
    return [word for word in words if word != ALLOW], ALLOW in words


def _needs(words: Sequence[str], usage: str, what: str) -> int:
    """Print the help that was asked for; where none was, say what is missing."""
    if words and words[0] in ("--help", "-h"):
        parse(Experiment(), ["--help"], usage)
    form = usage.removeprefix("imagelab ")
    raise UsageError(f"{form}: expected {what} first, got {words[0] if words else 'nothing'}; --help lists the rest")


def execute(experiment: Experiment, folder: RunFolder | None = None) -> int:
    """Run what is not yet there, then write the report. Returns the exit code."""
    from ..runs.distributed import run_distributed
    from .session import Session

    def work(group: ProcessGroup) -> int:
        with Session(experiment, out, err, group) as watch:
            return watch.go(folder)

    if not is_worker():
        make_room()
    return run_distributed(work, _on_the_device_it_was_begun_on(experiment))


def _on_the_device_it_was_begun_on(experiment: Experiment) -> Runtime:
    """Return the runtime with the device that every process of the run uses."""
    asked = experiment.runtime
    if asked.device != "auto" or not (experiment.folder / CONFIG).exists():
        return asked
    begun_on = begun_device(RunFolder(experiment.folder).provenance)
    return asked.model_copy(update={"device": begun_on}) if begun_on else asked
