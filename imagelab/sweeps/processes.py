"""One process for one point: started so that it ends with its driver, watched for its memory, stopped in order.

A point is run as a user would run it, ``python -m imagelab run POINT.json``, in a session of its own. The kernel kills
it when the driver is killed (PR_SET_PDEATHSIG, Linux), and its own workers end with it.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from ..runs.workers import end_with

__all__ = ["Running", "end", "memory_of", "program", "start"]

GRACE_SECONDS = 60.0  # between SIGTERM and SIGKILL: a step is finished and saved


@dataclass
class Running:
    """A point at work.

    Attributes:
        process: of ``imagelab run``.
        log: file of its output.
        began: seconds on the monotonic clock.
        before: how much was made when it was started; a start that adds nothing made no progress.
        peak_bytes: the most memory that it was seen to use.
    """

    process: subprocess.Popen[bytes]
    log: Path
    began: float
    before: int
    peak_bytes: int = 0
    asked_at: float = field(default=0.0)

    @property
    def seconds(self) -> float:
        """How long it has run."""
        return time.monotonic() - self.began


def program(processes: int) -> list[str]:
    """Return the words that start imagelab on this machine, under torchrun where it takes several processes."""
    torchrun = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", str(processes)]
    return [sys.executable, *(torchrun if processes > 1 else []), "-m", "imagelab"]


def start(
    words: Sequence[str], log: Path, before: int, environment: Mapping[str, str], *, processes: int = 1
) -> Running:
    """Start ``imagelab WORDS`` with its output in a file, which is written on where it exists.

    Args:
        words: of the command.
        log: file of its output.
        before: see :class:`Running`.
        environment: of the process.
        processes: with more than one, torchrun starts so many of them on this machine.
    """
    with log.open("ab") as file:
        file.write(f"-- {time.strftime('%Y-%m-%d %H:%M:%S')} imagelab {' '.join(words)}\n".encode())
        file.flush()
        process = subprocess.Popen(
            [*program(processes), *words],
            stdin=subprocess.DEVNULL,
            stdout=file,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            preexec_fn=partial(end_with, os.getpid()),  # this process has no other thread
            env=dict(environment),
        )
    return Running(process, log, time.monotonic(), before)


def memory_of(running: Running) -> int:
    """Return the memory of a point and of its workers in bytes, what they share counted once; 0 where it has ended."""
    import psutil

    try:
        root = psutil.Process(running.process.pid)
        family = [root, *root.children(recursive=True)]
    except psutil.Error:
        return 0
    total = 0
    for process in family:
        try:
            total += getattr(process.memory_full_info(), "pss", 0) or process.memory_info().rss
        except psutil.Error:
            continue
    running.peak_bytes = max(running.peak_bytes, total)
    return total


def end(running: Running) -> None:
    """Ask a point to finish its step and to end; kill it where it has not done so a minute after it was asked."""
    if not running.asked_at:
        running.asked_at = time.monotonic()
        _signal(running, signal.SIGTERM)
    elif time.monotonic() - running.asked_at > GRACE_SECONDS:
        _signal(running, signal.SIGKILL)


def _signal(running: Running, number: int) -> None:
    try:
        if number == signal.SIGKILL:
            os.killpg(running.process.pid, number)
        else:
            running.process.send_signal(number)
    except ProcessLookupError:
        pass
