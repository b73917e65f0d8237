"""The settings that may change the rounding of a result: a run keeps those that it was begun with.

Device, sampling batch, threads, processes and kernels are no part of the question that an experiment asks, and no part
of its signature. But a sum in another order is rounded differently, and a training carries the difference on. So a run
records them in provenance.json, goes on with them when it is resumed, and says so where it is told to go on with
others. Each shard's manifest records with which settings it was made.
"""

from __future__ import annotations

import os
import shlex
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, get_args

from ..experiment import Keep, Runtime
from ..generators.base import Kernels, Precision
from ..io.untrusted import quoted, shown
from .device import choose_device
from .threads import choose_threads, default_threads

__all__ = ["DEFAULT_BATCH", "Settings", "begun_device", "choose_settings", "recorded_kernels", "resume_command"]

DEFAULT_BATCH = 256
"""Images in a sampling batch of a new run that asks for no number."""

_ROUNDING = "Results may differ in rounding from those of a run with one setting throughout."


@dataclass(frozen=True)
class Settings:
    """With what a run goes on.

    Attributes:
        device: torch device, such as "cpu" or "cuda:0".
        batch: images in a sampling batch.
        threads: torch's threads on the CPU.
        keep: which models stay on the disk.
        kernels: how the device computes.
        notes: what the user should know: settings that differ from those that the run was begun with.
        recorded: what provenance.json says of ``keep``, if the user gave it.
    """

    device: str
    batch: int
    threads: int
    keep: Keep = "models"
    kernels: Kernels = field(default_factory=Kernels)
    notes: tuple[str, ...] = ()
    recorded: Mapping[str, str] = field(default_factory=dict[str, str])


def choose_settings(asked: Runtime, provenance: Mapping[str, Any], processes: int, run: Path) -> Settings:
    """Return the settings of a run: those asked for, else those it was begun with, else the defaults.

    Args:
        asked: what the user gave; "auto" and 0 stand for nothing.
        provenance: the run's provenance.json; empty for a new run. A branch goes on with its stem's settings.
        processes: how many share the work now.
        run: the run folder, for the message.

    Raises:
        ValueError: if the run was begun with another number of processes and the user did not say that it may change,
            or if the device that it was begun on is not here and no other was asked for.
    """
    notes = []
    begun_on = begun_device(provenance)
    device = choose_device(begun_on if asked.device == "auto" and begun_on else asked.device)
    if begun_on and device.partition(":")[0] != begun_on:
        notes.append(f"This run was begun on {begun_on} and goes on on {device}, as asked. {_ROUNDING}")
    batch = _number(provenance, "batch")
    if batch and asked.batch not in (0, batch):
        notes.append(f"This run was begun with batch {batch} and goes on with {asked.batch}, as asked. {_ROUNDING}")
    begun_with = _number(provenance, "processes")
    if begun_with and begun_with != processes:
        if asked.processes != processes:
            raise ValueError(
                f"{shown(run)}: was begun with {begun_with} process{'es' * (begun_with > 1)}, and this is {processes}; "
                f"sums over processes are rounded differently. Go on as it was begun: "
                f"{resume_command(run, begun_with)}; or accept that with --processes {processes} "
                f"(`run`: --runtime.processes {processes})."
            )
        notes.append(f"This run was begun with {begun_with} processes and goes on with {processes}. {_ROUNDING}")
    choice = choose_threads(asked.threads, provenance, default_threads())
    notes += [choice.note] * bool(choice.note)
    begun = recorded_kernels(provenance)
    kernels = _kernels(asked, begun, device)
    if begun_on and kernels != begun:
        said = f"This run was begun with {_words(begun)} and goes on with {_words(kernels)}, as asked."
        notes.append(f"{said} {_ROUNDING}")
    if device == "cpu" and (asked.graphs or asked.precision):
        notes.append("graphs and precision concern CUDA devices; the CPU computes in float32.")
    keep, recorded = asked.keep or _keep(provenance), {} if asked.keep is None else {"keep": asked.keep}
    if keep != "models":
        notes.append(f"Models that are not needed any more are removed (--keep {keep}). Images and numbers stay.")
    batch = asked.batch or batch or DEFAULT_BATCH
    return Settings(device, batch, choice.threads, keep, kernels, tuple(notes), recorded)


def begun_device(provenance: Mapping[str, Any]) -> str:
    """Return the kind of device, "cpu" or "cuda", that a run or its stem was begun on; "" where none is recorded."""
    for session in (provenance, provenance.get("branched_from")):
        device = session.get("device") if isinstance(session, Mapping) else None
        if isinstance(device, str) and device:
            return quoted(device.partition(" ")[0].partition(":")[0], 20)
    return ""


def recorded_kernels(provenance: Mapping[str, Any]) -> Kernels:
    """Return how the device of a run, or of its stem, was told to compute; the defaults where nothing is recorded."""
    for session in (provenance, provenance.get("branched_from")):
        told = session.get("kernels") if isinstance(session, Mapping) else None
        if isinstance(told, Mapping):
            full: Precision = "full" if told.get("precision") == "full" else "mixed"
            return Kernels(told.get("compile") is True, told.get("graphs") is True, full)
    return Kernels()


def _kernels(asked: Runtime, begun: Kernels, device: str) -> Kernels:
    """Return how the device computes; of what only a CUDA device can do, a CPU keeps the defaults."""
    wanted = {name: value for name in asdict(begun) if (value := getattr(asked, name)) is not None}
    kernels = replace(begun, **wanted)
    return kernels if device.startswith("cuda") else Kernels(compile=kernels.compile)


def _words(kernels: Kernels) -> str:
    """Return kernels as they are given on the command line."""
    return ", ".join(f"{name} {str(value).lower()}" for name, value in asdict(kernels).items())


def resume_command(run: Path, processes: int = 1) -> str:
    """Return the command that goes on with a run as it was begun; its settings are in the run folder."""
    command = f"imagelab resume {shlex.quote(shown(run))}"
    if processes == 1:
        return command
    here = int(os.environ.get("LOCAL_WORLD_SIZE", processes))
    nodes = "" if here == processes else f"--nnodes {processes // here} "
    return f"torchrun {nodes}--nproc-per-node {here} -m {command}"


def _keep(provenance: Mapping[str, Any]) -> Keep:
    """Return which models the run was told to keep; all where nothing is recorded."""
    return next((each for each in get_args(Keep) if each == provenance.get("keep")), "models")


def _number(provenance: Mapping[str, Any], name: str) -> int:
    """Return a number of the run's first session, or of its stem's; 0 where none is recorded."""
    for session in (provenance, provenance.get("branched_from")):
        number = session.get(name) if isinstance(session, Mapping) else None
        if isinstance(number, int) and not isinstance(number, bool) and number >= 1:
            return number
    return 0
