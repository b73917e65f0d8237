"""A process with the large libraries loaded, which forks a process for every script that a test runs.

Loading torch and diffusers takes some five seconds of processor time. A test that runs a script in a process of its own
needs the process, not another loading. Nothing of imagelab is loaded here, so a script loads the package as a user's
would. Tests of what is loaded, of start-up, or of variables that libraries read while they are loaded use
``subprocess``.

Standard input takes one JSON object a line: ``words`` (what follows "python"), ``cwd``, ``env``, and the files ``out``
and ``err``. The answer is the exit status, negative for a signal.
"""

from __future__ import annotations

import atexit
import gc
import json
import os
import runpy
import sys
import traceback
from pathlib import Path
from typing import Any

import accelerate  # noqa: F401
import matplotlib.figure  # noqa: F401
import scipy.ndimage
import scipy.optimize
import scipy.stats  # noqa: F401
import sklearn.ensemble
import sklearn.linear_model  # noqa: F401
import torch  # noqa: F401
import torchvision  # noqa: F401
from diffusers import AutoencoderKL, UNet2DModel  # noqa: F401


def serve() -> dict[str, Any] | None:
    """Fork a child for every line; return its line in the child, None in the server when there are no more."""
    for line in sys.stdin:
        child = os.fork()
        if child == 0:
            return json.loads(line)
        print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)
    return None


def carry_out(asked: dict[str, Any]) -> None:
    """Run what was asked as ``python WORDS`` would, in this process."""
    for number, (name, flags) in enumerate(
        ((os.devnull, os.O_RDONLY), (asked["out"], os.O_WRONLY), (asked["err"], os.O_WRONLY))
    ):
        os.dup2(os.open(name, flags), number)
    sys.stdin = os.fdopen(0, encoding="utf-8", closefd=False)
    os.chdir(asked["cwd"])
    os.environ.clear()
    os.environ.update(asked["env"])
    first, *rest = asked["words"]
    added = [path for path in os.environ.get("PYTHONPATH", "").split(os.pathsep) if path]
    if first in ("-c", "-m"):
        sys.path[:1] = [str(Path.cwd()) if first == "-m" else "", *added]
        sys.argv = [first, *rest[1:]]
        if first == "-m":
            runpy.run_module(rest[0], run_name="__main__", alter_sys=True)
        else:
            exec(compile(rest[0], "<string>", "exec"), sys.modules["__main__"].__dict__)
    else:
        sys.path[:1] = [str(Path(first).resolve().parent), *added]
        sys.argv = [first, *rest]
        runpy.run_path(first, run_name="__main__")


def status_of(asked: dict[str, Any]) -> int:
    """Run what was asked, and return the exit status as Python would set it."""
    try:
        carry_out(asked)
    except SystemExit as left:
        if left.code is None or isinstance(left.code, int):
            return left.code or 0
        print(left.code, file=sys.stderr)
        return 1
    except BaseException:
        traceback.print_exc()
        return 1
    return 0


if __name__ == "__main__":
    gc.freeze()  # what is loaded is no garbage: a child that looked at all of it would copy all of it
    if job := serve():
        status = status_of(job)
        atexit._run_exitfuncs()
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(status)  # taking the large libraries down takes a second
