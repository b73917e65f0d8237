"""What decoders say while they read a file: kept with the file it is about, never printed raw.

Pillow says things by Python warnings and by logging; libtiff writes to the C library's stderr. :func:`listening` takes
over the first two for as long as a set is read, without touching the filters for other modules; :func:`said` collects
what is said in one thread about one file. :func:`c_stderr` collects what a C library writes; it changes one pointer of
the process, so one file is read at a time, and Python's own standard error is not touched.
"""

from __future__ import annotations

import ctypes
import logging
import platform
import sys
import threading
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import lru_cache
from typing import Any

from .untrusted import quoted

__all__ = ["c_stderr", "hear", "listening", "said"]

_HERE = threading.local()  # .lines: what was said in this thread about the file that is being read


def hear(text: str) -> bool:
    """Keep a text about the file that this thread is reading, once; return whether it is reading one."""
    lines = getattr(_HERE, "lines", None)
    if lines is None:
        return False
    if text and text not in lines:
        lines.append(text)
    return True


class _Ear(logging.Handler):
    def emit(self, record: logging.LogRecord) -> None:
        hear(record.getMessage())


_EAR = _Ear(logging.WARNING)


class _Listener:
    """Counts who listens; the first one installs what is needed, the last one restores what was there."""

    def __init__(self) -> None:
        self._lock, self._count = threading.Lock(), 0
        self._filters: warnings.catch_warnings[Any] | None = None

    def enter(self) -> None:
        with self._lock:
            self._count += 1
            if self._count > 1:
                return
            self._filters = warnings.catch_warnings()
            self._filters.__enter__()
            warnings.filterwarnings("always", module=r"PIL\.")
            warnings.showwarning = _shower(warnings.showwarning)
            logging.getLogger("PIL").addHandler(_EAR)

    def leave(self) -> None:
        with self._lock:
            self._count -= 1
            if not self._count and self._filters is not None:
                logging.getLogger("PIL").removeHandler(_EAR)
                self._filters.__exit__(None, None, None)
                self._filters = None


def _shower(former: Callable[..., None]) -> Callable[..., None]:
    def show(message: Warning | str, *rest: Any, **more: Any) -> None:
        if not hear(" ".join(str(message).split())):
            former(message, *rest, **more)

    return show


_LISTENER = _Listener()


@contextmanager
def listening() -> Iterator[None]:
    """Take over Pillow's warnings and log while a set is read."""
    _LISTENER.enter()
    try:
        yield
    finally:
        _LISTENER.leave()


@contextmanager
def said() -> Iterator[list[str]]:
    """Collect what is said in this thread about one file, each text once."""
    outer, _HERE.lines = getattr(_HERE, "lines", None), []
    try:
        yield _HERE.lines
    finally:
        _HERE.lines = outer


_ONE_AT_A_TIME = threading.Lock()


@contextmanager
def c_stderr() -> Iterator[None]:
    """Collect what a C library writes to its stderr as said about the file that is being read."""
    libc, name = _libc()
    if libc is None:
        yield
        return
    with _ONE_AT_A_TIME:
        text, size = ctypes.c_void_p(), ctypes.c_size_t()
        stream = libc.open_memstream(ctypes.byref(text), ctypes.byref(size))
        if not stream:
            yield
            return
        pointer = ctypes.c_void_p.in_dll(libc, name)
        former, pointer.value = pointer.value, stream
        try:
            yield
        finally:
            pointer.value = former
            libc.fclose(stream)
            content = ctypes.string_at(text, size.value).decode("utf-8", "replace") if text else ""
            libc.free(text)
            for line in content.splitlines():
                hear(quoted(line.strip().rstrip(".")))


@lru_cache(maxsize=1)
def _libc() -> tuple[ctypes.CDLL | None, str]:
    """Return the C library and its variable for stderr; None where the variable may not be changed (musl, Windows)."""
    name = "__stderrp" if sys.platform == "darwin" else "stderr"
    if sys.platform != "darwin" and platform.libc_ver()[0] != "glibc":
        return None, name
    libc = ctypes.CDLL(None)
    libc.open_memstream.restype = ctypes.c_void_p
    libc.fclose.argtypes = libc.free.argtypes = [ctypes.c_void_p]
    return libc, name
