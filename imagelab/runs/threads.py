"""How many threads torch uses on the CPU, and how they wait for each other.

The number of threads is part of the result: sums over two threads are rounded in another order than sums over one, and
a training carries the difference on. So a run records its number, and a resumed run goes on with it.

The default is one thread. It does not depend on the machine, its load, a container's limits or the number of
processes, so the default result does not depend on them either. It is also the only number whose cost on a busy
machine is proportional. OpenMP threads that wait for work run an empty loop for a while ("active waiting"), which
takes the core from the thread that has the work.

Measured 2026-11-28, a VAE that sees 1,000 images of 64 px, two shared x86-64 cores under load (6 to 12), torch 2.15,
processor seconds of 3 runs each: one thread 1.6 to 1.7, two threads 6.4 to 22.9, two that wait passively 4.3 to 4.6
(2.4 to 2.7 where each is bound to a core of its own, so that two threads can at best be 1.4 times as fast as one).

A program that owns its process calls :func:`prepare_process` first; a run limits torch with :func:`limited`, which
gives a host program (a notebook) its own number back at the end. OpenMP reads its variables once, when torch is loaded:
what is set later has no effect. ``imagelab.measure`` changes neither.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Mapping, MutableMapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

__all__ = [
    "Choice",
    "choose_threads",
    "default_threads",
    "limited",
    "prepare_process",
    "thread_record",
    "usable_cores",
    "waiting",
    "warnings",
]

DEFAULT = 1
"""Threads of a run that asks for no number and has recorded none."""

COUNT, WAITING = "OMP_NUM_THREADS", "OMP_WAIT_POLICY"

VARIABLES = (
    COUNT,
    WAITING,
    "OMP_DYNAMIC",
    "OMP_PLACES",
    "OMP_PROC_BIND",
    "GOMP_CPU_AFFINITY",
    "GOMP_SPINCOUNT",
    "KMP_AFFINITY",
    "KMP_BLOCKTIME",
    "MKL_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
)
"""Environment variables that change the number of threads, their cores or how they wait."""


@dataclass(frozen=True)
class Choice:
    """The number of threads of a run.

    Attributes:
        threads: how many, 1 or more.
        note: a sentence for the user where the number differs from the run's first one; "" otherwise.
    """

    threads: int
    note: str = ""


def default_threads(environ: Mapping[str, str] = os.environ) -> int:
    """Return the threads of a process whose user has asked for no number: ``OMP_NUM_THREADS`` where set, else 1."""
    first = environ.get(COUNT, "").split(",")[0].strip()
    return int(first) if first.isdecimal() and int(first) else DEFAULT


def choose_threads(asked: int, provenance: Mapping[str, Any], default: int) -> Choice:
    """Return the number of threads for a run that is new or resumed.

    Args:
        asked: the number that the user gave, 0 for none.
        provenance: the run's provenance.json; empty for a new run.
        default: the number to use where none was given and none is recorded.

    Returns:
        The number asked for, else the one that the run was begun with (for a branch: its stem), else the default.
    """
    begun = _recorded(provenance)
    if not begun:
        old = bool(provenance.keys() - {"branched_from"}) and not asked
        return Choice(asked or default, f"{_UNRECORDED} {_threads(default)}. {_ROUNDING}" if old else "")
    if asked in (0, begun):
        return Choice(begun)
    return Choice(asked, f"This run was begun with {_threads(begun)} and goes on with {asked}, as asked. {_ROUNDING}")


_UNRECORDED = "This run was begun by a version of imagelab that did not record the number of threads; it goes on with"
_ROUNDING = "Another number of threads rounds sums differently, so the result may differ from that of one number."


def _recorded(provenance: Mapping[str, Any]) -> int:
    """Return the number of threads of the run's first session, or of its stem's; 0 where none is recorded."""
    for session in (provenance, provenance.get("branched_from")):
        told = session.get("threads") if isinstance(session, Mapping) else None
        number = told.get("torch") if isinstance(told, Mapping) else None
        if isinstance(number, int) and number >= 1:
            return number
    return 0


def warnings(threads: int, processes: int, cores: int, waiting: str) -> list[str]:
    """Return what makes this number of threads slow, a sentence each.

    Args:
        threads: threads of each process. processes: processes of this run on this machine.
        cores: cores that they share, see :func:`usable_cores`.
        waiting: "active" or "passive", see :func:`waiting`.
    """
    found = []
    if threads > 1 and waiting == "active":
        found.append(
            f"{_threads(threads)} that wait actively can take ten times as long as one when other programs run. "
            f"Set {WAITING}=passive before Python starts."
        )
    if threads > 1 and threads * processes > cores:
        each = f"{processes} processes of {_threads(threads)}" if processes > 1 else _threads(threads)
        found.append(f"{each} on {cores} usable core{'s' * (cores > 1)}: fewer threads are faster.")
    return found


def prepare_process(environ: MutableMapping[str, str] = os.environ) -> None:
    """Set this process to :func:`default_threads` and passive waiting; the user's own variables are kept.

    For programs that own their process: the command line, an experiment that is run as a script. Child processes
    inherit the variables. Where torch is loaded already, its number of threads is set and its way of waiting stays.
    """
    if not environ.get(COUNT, "").strip():
        environ[COUNT] = str(default_threads(environ))
    if "torch" not in sys.modules:
        environ.setdefault(WAITING, "passive")
        return
    import torch

    torch.set_num_threads(default_threads(environ))


@contextmanager
def limited(threads: int) -> Iterator[None]:
    """Let torch use so many threads in the block; afterwards the process has the number that it had before.

    Args:
        threads: how many; 0 for :func:`default_threads`.
    """
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(threads or default_threads())
    try:
        yield
    finally:
        torch.set_num_threads(before)


def thread_record(environ: Mapping[str, str] = os.environ) -> dict[str, Any]:
    """Return what a run's provenance says of threads, as they are now.

    Returns:
        "torch": the number of threads in effect. "waiting": see :func:`waiting`. "environment": those of
        ``VARIABLES`` that are set.
    """
    import torch

    known = {name: environ[name] for name in VARIABLES if name in environ}
    return {"torch": torch.get_num_threads(), "waiting": waiting(environ), "environment": known}


def waiting(environ: Mapping[str, str] = os.environ) -> str:
    """Return how OpenMP's threads wait: "passive" (they sleep) or "active" (they run an empty loop first)."""
    asleep = environ.get(WAITING, "").strip().lower() == "passive" or environ.get("GOMP_SPINCOUNT", "").strip() == "0"
    return "passive" if asleep else "active"


def usable_cores(root: Path = Path("/"), allowed: set[int] | None = None) -> int:
    """Return how many physical cores this process may use, at least 1.

    The CPUs of its affinity mask, two hardware threads of one core counted once, and no more than its control groups'
    quota of processor time (a container's limit), rounded up.

    Args:
        root: where /proc and /sys lie; another folder only in tests.
        allowed: numbers of the CPUs in the affinity mask; this process's own if not given.
    """
    if allowed is None:
        there = range(os.cpu_count() or 1)
        allowed = os.sched_getaffinity(0) if hasattr(os, "sched_getaffinity") else set(there)
    siblings = "sys/devices/system/cpu/cpu{}/topology/thread_siblings_list"
    cores = {_read(root / siblings.format(cpu)) or str(cpu) for cpu in allowed}
    quotas = [share for share in _quotas(root) if share > 0]
    return max(1, min([len(cores), *(-int(-share // 1) for share in quotas)]))


def _quotas(root: Path) -> Iterator[float]:
    """Yield the limits of processor time of this process's control groups and those above them, in CPUs."""
    for line in _read(root / "proc/self/cgroup").splitlines():
        _, controllers, path = line.split(":", 2)
        if controllers and "cpu" not in controllers.split(","):
            continue
        mount = root / "sys/fs/cgroup" / ("cpu" if controllers else "")
        group = mount / path.strip("/")
        for folder in (group, *group.parents):
            if controllers:  # version 1
                words = [_read(folder / "cpu.cfs_quota_us"), _read(folder / "cpu.cfs_period_us")]
            else:  # version 2: "max 100000" or "150000 100000"
                words = _read(folder / "cpu.max").split()
            if len(words) == 2 and words[0].isdecimal() and words[1].isdecimal():  # no limit: "max", "-1" or no file
                yield int(words[0]) / int(words[1])
            if folder == mount:
                break


def _read(path: Path) -> str:
    try:
        return path.read_text().strip()
    except OSError:
        return ""


def _threads(count: int) -> str:
    return f"{count} thread{'s' * (count != 1)}"
