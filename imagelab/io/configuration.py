"""The folder of what a user keeps for imagelab between runs: keys, consents. A run never holds any of it."""

from __future__ import annotations

import os
from pathlib import Path

__all__ = ["configuration_folder"]


def configuration_folder() -> Path:
    """Return ``$XDG_CONFIG_HOME/imagelab`` where that is an absolute path, else ``~/.config/imagelab``."""
    home = os.environ.get("XDG_CONFIG_HOME", "")
    root = Path(home) if Path(home).is_absolute() else Path.home() / ".config"
    return root / "imagelab"
