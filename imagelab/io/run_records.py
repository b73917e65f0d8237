"""The two JSON records of a run: config.json, its settings, and provenance.json, its surroundings.

Both end with a checksum over their content. Records of versions before checksums have none and are read as they are.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from .addresses import refuse_address
from .atomic import write_atomic
from .manifest import checked, read_object, with_checksum
from .run_shapes import check_config, check_provenance
from .untrusted import quoted, shown

__all__ = ["CONFIG", "IMPORTED", "PROVENANCE", "is_sealed", "stored_config", "stored_provenance", "write_record"]

CONFIG, PROVENANCE = "config.json", "provenance.json"

IMPORTED = "imported"
"""The kind of data, regime and generators of a run whose images were made elsewhere, and a key of its provenance."""

_CONFIG_KEYS = {"schema", "signature", "experiment", "own_code", "scripts"}


def is_sealed(root: Path) -> bool:
    """Return whether a run has checksums and manifests; runs of versions before them have none."""
    return "checksum" in read_object(root / CONFIG)


def stored_config(root: Path) -> dict[str, Any]:
    """Return the content of config.json: schema, signature and the whole experiment.

    Raises:
        ValueError: if it is missing, damaged, or was changed.
    """
    path = root / CONFIG
    if not os.path.lexists(path):
        refuse_address(root)
        if (root / "study.json").is_file():
            raise ValueError(
                f"{shown(root)}: not a run folder but a study, whose runs lie beside it; expected one of them. The "
                "study itself is taken by `imagelab sweep status` and `imagelab report`"
            )
        raise ValueError(f"{shown(root)}: not a run folder (expected a config.json in it). Runs lie under runs/.")
    stored = read_object(path)
    if "checksum" in stored:
        try:
            stored = checked(stored, path)
        except ValueError as error:
            advice = f"If it was changed by hand, undo that; or run it as a new run: imagelab run {shown(path)}"
            raise ValueError(f"{error}. {advice}") from error
    elif foreign := sorted(stored.keys() - _CONFIG_KEYS):
        raise ValueError(f"{shown(path)}: expected no key {quoted(foreign[0], 40)!r}. Restore the file.")
    if not isinstance(stored.get("experiment"), dict) or not isinstance(stored.get("signature"), str):
        raise ValueError(f"{shown(path)}: expected `signature`, a text, and `experiment`, an object. Restore the file.")
    check_config(stored, path)
    return {"schema": None, **stored}


def stored_provenance(root: Path) -> dict[str, Any]:
    """Return the content of provenance.json; empty where there is none.

    Raises:
        ValueError: if it is damaged or was changed.
    """
    path = root / PROVENANCE
    if not os.path.lexists(path):
        return {}
    stored = read_object(path)
    content = checked(stored, path) if is_sealed(root) else stored
    check_provenance(content, path)
    return content


def write_record(path: Path, record: Mapping[str, Any]) -> None:
    """Write a JSON object with its checksum, whole or not at all."""
    write_atomic(path, json.dumps(with_checksum(record), indent=2, ensure_ascii=False) + "\n")
