"""Runs as processes: who works on one, how to stop it as Ctrl-C would, and how to start or resume one.

A run is started as a user would start it, by ``python -m imagelab run`` or ``resume``, in a session of its own, so that
it goes on when the server ends. Its output goes to a file.
"""

from __future__ import annotations

import os
import platform
import re
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from ..io.atomic import is_alive
from ..io.manifest import is_folder

__all__ = ["Processes", "Started", "holder", "stop"]

LOCK = "run.lock"
TAIL = 4000  # bytes of a log that are shown


@dataclass(frozen=True)
class Started:
    """A command that this server has started.

    Attributes:
        words: the command, as a user would type it.
        code: exit code; None while it runs.
        tail: the last lines of its output.
    """

    words: str
    code: int | None
    tail: str


class Processes:
    """The commands that a server has started, newest last."""

    def __init__(self, logs: Path):
        """Keep the output of the commands in this folder."""
        self.logs = logs
        self._all: list[tuple[str, subprocess.Popen[bytes], Path]] = []

    def start(self, words: Sequence[str]) -> None:
        """Start ``imagelab WORDS`` in the background.

        Args:
            words: such as ("resume", "runs/photocopy-1a2b3c4d").
        """
        log = self.logs / f"{time.strftime('%Y%m%d-%H%M%S')}-{len(self._all)}.log"
        with log.open("wb") as file:
            process = subprocess.Popen(
                [sys.executable, "-m", "imagelab", *words],
                stdin=subprocess.DEVNULL,
                stdout=file,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        self._all.append((" ".join(["imagelab", *words]), process, log))

    def started(self) -> list[Started]:
        """Return every command, newest first."""
        return [Started(words, process.poll(), _tail(log)) for words, process, log in reversed(self._all)]


def holder(run: Path, name: str = LOCK) -> int | None:
    """Return the id of the process of this machine that is writing a run; None where none is.

    The lock file names the last process that held it. It holds it still if it has the file open.

    Args:
        run: the folder.
        name: of the lock file in it.
    """
    lock = run / name
    try:
        pid, _, host = lock.read_text(encoding="utf-8", errors="replace")[:300].partition("\n")
    except OSError:
        return None
    if lock.is_symlink() or not re.fullmatch(r"[1-9]\d{0,9}", pid.strip()) or host.strip() != platform.node():
        return None
    number = int(pid)
    if not is_alive(number) or not is_folder(Path("/proc")):
        return None
    return number if _has_open(number, lock) else None


def stop(run: Path) -> bool:
    """Ask the process that writes a run to finish its step, save it and end (SIGTERM); return whether there was one."""
    number = holder(run)
    if number is None:
        return False
    try:
        os.kill(number, signal.SIGTERM)
    except ProcessLookupError:
        return False
    return True


def _has_open(pid: int, file: Path) -> bool:
    target = os.path.realpath(file)
    try:
        with os.scandir(f"/proc/{pid}/fd") as handles:
            return any(_link(handle.path) == target for handle in handles)
    except OSError:
        return False


def _link(path: str) -> str:
    try:
        return os.readlink(path)  # noqa: PTH115 - a handle may name what is no path
    except OSError:
        return ""


def _tail(log: Path) -> str:
    with log.open("rb") as file:
        file.seek(max(0, file.seek(0, os.SEEK_END) - TAIL))
        text = file.read().decode("utf-8", "replace")
    return "".join(c if c.isprintable() or c == "\n" else " " for c in text).strip()[-TAIL:]
