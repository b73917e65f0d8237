"""Running one program of somebody else: its output into a log, its limits kept, nothing of it left running.

The program runs under a keeper (command_keeper.py). This process reads what it writes, stores at most 1 MiB of the
beginning and 256 KiB of the end in the log, and looks at the time and the memory. Memory is the sum of the resident
sets of all its processes, looked at twice a second: shared pages count more than once, and a peak between two looks is
not seen. The address space (RLIMIT_AS) is no measure: with CUDA, torch reserves tens of GB of it and uses little.
"""

from __future__ import annotations

import contextlib
import os
import select
import shlex
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from ..io.untrusted import quoted, shown
from .base import Interrupted, ProgramFailed

__all__ = ["Program", "run_program"]

HEAD_BYTES, TAIL_BYTES = 1 << 20, 1 << 18
"""What is stored of a program's output: so much of its beginning, and of its end."""

LAST_LINES = 12  # of the output, in a message
LINE_LETTERS = 200
LOOK_SECONDS = 0.2  # between two looks at the clock and at whether the run should stop
MEMORY_SECONDS = 0.5
SHOWN_SECONDS = 0.2  # between two lines that are shown while the program runs
THREAD_VARIABLES = (
    "OMP_NUM_THREADS",
    "MKL_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "NUMEXPR_NUM_THREADS",
    "VECLIB_MAXIMUM_THREADS",
)

KEEPER = Path(__file__).with_name("command_keeper.py")


@dataclass(frozen=True)
class Program:
    """A program, ready to be started.

    Attributes:
        words: the program and its arguments.
        directory: its working directory.
        variables: environment variables that are set for it, beside those of this process.
        seconds: the longest time that it may run.
        gigabytes: the most memory that its processes may use together, GB of 10^9 bytes; None for no limit.
        role: the setting that holds its command, train or sample, for messages.
    """

    words: tuple[str, ...]
    directory: Path
    variables: Mapping[str, str]
    seconds: float
    gigabytes: float | None
    role: str

    @property
    def by_hand(self) -> str:
        """The line with which a person runs the program in a shell as it was run here."""
        variables = " ".join(f"{name}={shlex.quote(value)}" for name, value in self.variables.items())
        return f"cd {shlex.quote(str(self.directory))} && {variables} {shlex.join(self.words)}"

    def failed(self, reason: str, log: Path, last: str) -> ProgramFailed:
        """Return the error for a program that did not do its work.

        Args:
            reason: what went wrong, and what to do where that is known.
            log: where its output is stored.
            last: its last lines.
        """
        said = f"Its last lines (all in {shown(log)}):\n{last}" if last else f"It wrote nothing ({shown(log)})."
        by_hand = f"To try it by hand:\n  {quoted(self.by_hand, 4000)}"
        return ProgramFailed(f"the command {self.role} {reason}\n{said}\n{by_hand}")


def run_program(
    program: Program,
    log: Path,
    should_stop: Callable[[], bool] = lambda: False,
    on_line: Callable[[str], None] = lambda line: None,
) -> str:
    """Run a program to its end and return the last lines of its output, safe to print.

    Args:
        program: what is run.
        log: its output is added to the end of this file.
        should_stop: asked five times a second; True ends the program.
        on_line: called with the newest line of the output, at most five times a second.

    Raises:
        ProgramFailed: if it cannot be started, ends with another code than 0, is killed, or goes beyond a limit.
        Interrupted: if ``should_stop`` said so.
    """
    if os.name != "posix":
        raise ValueError("programs can be the generator on Linux and macOS only, because their processes are watched")
    environment = {**os.environ, **program.variables}
    hear, tell = os.pipe()
    with log.open("ab") as file, os.fdopen(hear, "rb", 0) as status:
        output = _Output(file, program.by_hand, on_line)
        try:
            keeper = subprocess.Popen(
                [sys.executable, "-I", "-S", str(KEEPER), str(tell), *program.words],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                cwd=program.directory,
                env=environment,
                pass_fds=(tell,),
                start_new_session=True,
            )
        except OSError as error:
            output.close()
            raise program.failed(
                f"cannot be started in {shown(program.directory)}: {error.strerror}", log, ""
            ) from error
        finally:
            os.close(tell)
        try:
            stopped = _follow(program, keeper, status, output, should_stop)
        finally:
            _end(keeper)
            output.close()
        said = status.read().decode("ascii", "replace").strip()
    if stopped == STOP:
        raise Interrupted(f"{program.words[0]} was ended; it begins again when the run goes on")
    reason = stopped or _reason(said, program)
    if reason:
        raise program.failed(reason, log, output.last())
    return output.last()


STOP = "stop"


def _follow(
    program: Program,
    keeper: subprocess.Popen[bytes],
    status: BinaryIO,
    output: _Output,
    should_stop: Callable[[], bool],
) -> str:
    """Read the output until the program has ended; return why it has to be ended, "" where it has ended itself."""
    stream = keeper.stdout
    assert stream is not None
    began = looked = time.monotonic()
    streams: list[BinaryIO] = [stream, status]  # pyright: ignore[reportAssignmentType]
    while True:
        ready = select.select(streams, [], [], LOOK_SECONDS)[0]
        if stream in ready and not output.add(os.read(stream.fileno(), 1 << 16)):
            streams.remove(stream)  # pyright: ignore[reportArgumentType]
        elif status in ready:
            return ""  # the keeper has told how the program ended, or is gone; nothing more is written
        now = time.monotonic()
        if should_stop():
            return STOP
        if now - began > program.seconds:
            return (
                f"did not end within {program.seconds:g} s and was ended. Give it more time ({program.role}_seconds), "
                "or less to do"
            )
        if program.gigabytes is not None and now - looked > MEMORY_SECONDS:
            looked, used = now, _resident(keeper.pid) / 1e9
            if used > program.gigabytes:
                return (
                    f"used {used:.2g} GB of memory, more than memory_gb = {program.gigabytes:g}, and was ended. Let it "
                    "take smaller batches, or raise memory_gb"
                )


def _resident(keeper: int) -> int:
    """Return the bytes that the processes below the keeper have in memory."""
    import psutil

    total = 0
    with contextlib.suppress(psutil.Error):
        for process in psutil.Process(keeper).children(recursive=True):
            with contextlib.suppress(psutil.Error):
                total += process.memory_info().rss
    return total


def _end(keeper: subprocess.Popen[bytes]) -> None:
    """Let the keeper end the program, if it still runs, and wait until it has."""
    for stream in (keeper.stdin, keeper.stdout):
        if stream is not None:
            with contextlib.suppress(OSError):
                stream.close()
    try:
        keeper.wait(30.0)
    except subprocess.TimeoutExpired:
        keeper.kill()
        keeper.wait()


def _reason(said: str, program: Program) -> str:
    """Return what was wrong with the end of a program, from what its keeper has told; "" for a good end."""
    kind, _, rest = said.partition(" ")
    if said == "exit 0":
        return ""
    if kind == "start":
        reason = f"{quoted(program.words[0], 200)!r}: {rest.partition(chr(10))[0]}"
        return f"cannot be started: {reason}. Is it installed, is its name right?"
    if kind == "exit":
        return f"ended with exit code {rest}"
    if kind == "signal":
        return f"was killed by signal {rest}" + (" (memory?)" if rest == "9" else "")
    return "was lost: the process that watched it was killed (memory?)"


class _Output:
    """Takes what a program writes: into a log of limited length, and its lines one by one to be shown."""

    def __init__(self, file: BinaryIO, title: str, on_line: Callable[[str], None]):
        self._file, self._on_line = file, on_line
        self._head, self._left_out, self._shown_at = HEAD_BYTES, 0, 0.0
        self._tail = bytearray()  # the end of what does not fit into the head
        self._recent = bytearray()  # the end of all
        file.write(f"$ {title}\n".encode("utf-8", "backslashreplace"))
        file.flush()

    def add(self, chunk: bytes) -> bool:
        """Take what was written; return whether it was anything."""
        stored = chunk[: self._head]
        self._head -= len(stored)
        if stored:
            self._file.write(stored)
            self._file.flush()
        self._tail += chunk[len(stored) :]
        if len(self._tail) > 2 * TAIL_BYTES:
            self._trim()
        self._recent += chunk
        del self._recent[: -8 * LAST_LINES * LINE_LETTERS]
        now = time.monotonic()
        if chunk and now - self._shown_at > SHOWN_SECONDS:
            end = max(self._recent.rfind(b"\n"), self._recent.rfind(b"\r"))  # a line that is whole
            if line := _lines(self._recent[: max(end, 0)], 1):
                self._shown_at = now
                self._on_line(line.strip())
        return bool(chunk)

    def _trim(self) -> None:
        more = max(0, len(self._tail) - TAIL_BYTES)
        self._left_out += more
        del self._tail[:more]

    def last(self) -> str:
        """Return the last lines that are not empty, safe to print."""
        return _lines(self._recent, LAST_LINES)

    def close(self) -> None:
        """Write the end of the output, after a notice of what was left out."""
        self._trim()
        if self._left_out:
            self._file.write(f"\n[imagelab: {self._left_out:,} bytes of the output are not stored]\n".encode())
        self._file.write(self._tail)
        self._file.flush()
        self._tail.clear()


def _lines(written: bytes | bytearray, count: int) -> str:
    """Return the last lines that are not empty, safe to print; a bar that redraws itself gives its last state."""
    text = written.decode("utf-8", "replace")
    lines = [line.rstrip().split("\r")[-1].rstrip() for line in text.split("\n")]
    return "\n".join(f"  {quoted(line, LINE_LETTERS)}" for line in [line for line in lines if line][-count:])
