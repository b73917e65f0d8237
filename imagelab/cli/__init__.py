"""The command line: ``imagelab COMMAND``; :func:`launch` runs an experiment from its own file."""

from __future__ import annotations

from .entry import launch, main

__all__ = ["launch", "main"]
