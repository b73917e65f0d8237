"""The keeper of one program: starts it, waits for it, and leaves none of its processes behind.

It is started as a file of its own by command_process.py, with nothing but the standard library:

    python -I -S command_keeper.py STATUS_FD PROGRAM ARGUMENT...

It ends the program, with every process that the program has started, as soon as its standard input is closed. That
happens when imagelab asks for it (a time-out, Ctrl-C) and when imagelab is gone, however it ended. When the program has
ended, processes that it left behind are ended, too. One line is written to STATUS_FD: ``exit 3``, ``signal 9``, or
``start No such file or directory``.

On Linux the keeper is the reaper of orphans below it, so also a process that has left its process group is found, and
the program is killed by the kernel if the keeper is. Elsewhere only the process group is ended.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import select
import signal
import sys
import time

GRACE_SECONDS = 2.0  # between SIGTERM and SIGKILL
PR_SET_PDEATHSIG = 1
PR_SET_CHILD_SUBREAPER = 36


def keep() -> None:
    """Keep one program; see the module."""
    status, words = int(sys.argv[1]), sys.argv[2:]
    _prctl(PR_SET_CHILD_SUBREAPER, 1)
    hear, tell = os.pipe()
    for end in (hear, tell):
        os.set_blocking(end, False)
    signal.set_wakeup_fd(tell, warn_on_full_buffer=False)
    signal.signal(signal.SIGCHLD, lambda number, frame: None)
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    child = os.fork()
    if child == 0:
        _become(words, status)
    for stream in (1, 2):
        os.dup2(os.open(os.devnull, os.O_WRONLY), stream)  # the output ends when that of the program does
    said = _wait(child, hear)
    _end_all(child)
    os.write(status, f"{said}\n".encode())


def _become(words: list[str], status: int) -> None:
    """Become the program, in a session of its own."""
    try:
        os.setsid()
        keeper = os.getppid()
        _prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != keeper:
            os._exit(1)
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGCHLD, signal.SIGPIPE):
            signal.signal(number, signal.SIG_DFL)
        os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
        os.set_inheritable(status, False)
        os.execvp(words[0], words)
    except OSError as error:
        os.write(status, f"start {error.strerror}\n".encode())
    os._exit(127)


def _wait(child: int, hear: int) -> str:
    """Return how the program ended; end it when the standard input is closed."""
    while True:
        ready, _, _ = select.select([0, hear], [], [])
        done, code = os.waitpid(child, os.WNOHANG)
        if done:
            return _words(code)
        if 0 in ready and not os.read(0, 1):
            break
        if hear in ready:
            os.read(hear, 512)
    _kill_group(child, signal.SIGTERM)
    end = time.monotonic() + GRACE_SECONDS
    while time.monotonic() < end:
        done, code = os.waitpid(child, os.WNOHANG)
        if done:
            return _words(code)
        time.sleep(0.02)
    _kill_group(child, signal.SIGKILL)
    return _words(os.waitpid(child, 0)[1])


def _words(code: int) -> str:
    return f"signal {os.WTERMSIG(code)}" if os.WIFSIGNALED(code) else f"exit {os.WEXITSTATUS(code)}"


def _end_all(child: int) -> None:
    """Kill what is left of the program's process group, and on Linux every orphan, whatever group it is in."""
    _kill_group(child, signal.SIGKILL)
    end = time.monotonic() + GRACE_SECONDS
    while time.monotonic() < end:
        for orphan in _children():
            with contextlib.suppress(OSError):
                os.kill(orphan, signal.SIGKILL)
        try:
            if os.waitpid(-1, os.WNOHANG)[0] == 0:
                time.sleep(0.005)
        except OSError:  # there is none left
            return


def _children() -> list[int]:
    """Return the processes whose parent this one is."""
    found, me = [], str(os.getpid()).encode()
    for name in os.listdir("/proc") if sys.platform == "linux" else ():  # noqa: PTH208 - pathlib takes as long to import as the rest
        if name.isdigit():
            with contextlib.suppress(OSError), open(f"/proc/{name}/stat", "rb") as file:  # noqa: PTH123
                if file.read().rpartition(b")")[2].split()[1] == me:
                    found.append(int(name))
    return found


def _kill_group(child: int, number: int) -> None:
    try:
        os.killpg(child, number)
    except OSError:  # it has none yet, or has ended
        with contextlib.suppress(OSError):
            os.kill(child, number)


def _prctl(what: int, value: int) -> None:
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(what, value, 0, 0, 0)


if __name__ == "__main__":
    keep()
