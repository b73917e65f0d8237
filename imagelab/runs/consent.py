"""Consent to execute: a run of somebody else must not start programs on this machine without being asked.

The commands of a :class:`~imagelab.generators.Command` stand in the run's config.json. Commands that only read a run
(report, check, inspect, compare, measure) never execute them. ``resume``, ``branch`` and ``run RUN`` execute them, but
only where the user has allowed it: by having run an experiment with the same commands, in the same directory, with the
same variables (a Python file, a file of settings, the command line, or :func:`imagelab.run`), or by
``--allow-commands``. What was allowed is kept as digests, one a line, in ``$XDG_CONFIG_HOME/imagelab/allowed-commands``
(else ``~/.config/imagelab/allowed-commands``).
"""

from __future__ import annotations

import hashlib
import json
import shlex
from contextlib import suppress
from pathlib import Path

from ..experiment import Experiment
from ..generators import Command
from ..io.configuration import configuration_folder
from ..io.own_code import recipes_in
from ..io.untrusted import quoted, shown

__all__ = ["ALLOW", "allow_commands", "executes", "require_allowed"]

ALLOW = "--allow-commands"

_allowed_here: set[str] = set()
"""What was allowed in this process, for a home folder that cannot be written to."""


def executes(experiment: Experiment) -> list[str]:
    """Return what an experiment executes, one line a program: its directory, its variables, and its command.

    Example:
        >>> from imagelab.experiment import Experiment
        >>> executes(Experiment())
        []
    """
    lines = []
    for recipe in _commands(experiment):
        variables = "".join(f"{shlex.quote(each)} " for each in recipe.environment)
        lines += [f"in {shown(recipe.directory)}: {quoted(variables + line, 2000)}" for line in _lines(recipe)]
    return lines


def allow_commands(experiment: Experiment) -> None:
    """Remember that the user lets the commands of this experiment be executed."""
    new = {_digest(recipe) for recipe in _commands(experiment)} - _allowed()
    if not new:
        return
    _allowed_here.update(new)
    path = _ledger()
    with suppress(OSError):  # it then counts for this process alone
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("a", encoding="ascii") as file:
            file.write("".join(f"{digest}\n" for digest in sorted(new)))


def require_allowed(experiment: Experiment, place: Path) -> None:
    """Refuse an experiment that stands in a run folder and executes what the user has not allowed.

    Args:
        experiment: read from the run.
        place: the run folder or its config.json, for the message.

    Raises:
        ValueError: with every command, and how to allow them.
    """
    allowed = _allowed()
    if all(_digest(recipe) in allowed for recipe in _commands(experiment)):
        return
    listed = "\n".join(f"  {line}" for line in executes(experiment))
    raise ValueError(
        f"{shown(place)}: to go on with it executes programs on this machine, with your rights:\n{listed}\nNo "
        f"experiment of yours has executed them yet. Read them, and the scripts that they name; then give {ALLOW}"
    )


def _commands(experiment: Experiment) -> list[Command]:
    values = [getattr(experiment, name) for name in Experiment.model_fields]
    return list(dict.fromkeys(recipe for recipe in recipes_in(values) if isinstance(recipe, Command)))


def _lines(recipe: Command) -> tuple[str, str]:
    return recipe.train, recipe.sample


def _digest(recipe: Command) -> str:
    said = [*_lines(recipe), recipe.directory.as_posix(), list(recipe.environment)]
    return hashlib.sha256(json.dumps(said).encode()).hexdigest()


def _allowed() -> set[str]:
    try:
        return _allowed_here | set(_ledger().read_text(encoding="ascii").split())
    except (OSError, ValueError):
        return set(_allowed_here)


def _ledger() -> Path:
    return configuration_folder() / "allowed-commands"
