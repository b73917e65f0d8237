"""All runs of a folder as a table: how far each is, its stage of collapse, and whether somebody is working on it.

A run is looked at through its records alone; no code of a run is executed, and links are not followed. What takes time
(the stage) is computed again only when a generation has been finished since.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from ..evaluation.chains import lines_of_chains, means_of_run
from ..evaluation.stages import stages_of
from ..io.manifest import is_folder
from ..io.run_records import CONFIG
from ..io.untrusted import quoted
from ..run_folder import RunFolder
from ..runs.waiting import WAITING
from .processes import holder

__all__ = ["RunList", "RunRow"]

State = Literal["running", "waits for decisions", "finished", "stopped", "damaged"]


@dataclass(frozen=True)
class RunRow:
    """One run.

    Attributes:
        name: of its folder.
        title: of its experiment.
        settings: regime, model and seed.
        made: generations that are finished on all lines.
        planned: generations of the experiment.
        stage: of the loop, main model; "not judged" where nothing says; "" for a damaged run.
        state: what is going on.
        now: what is being made at present, such as "generation 4, 45 % trained"; "" for nothing.
        fault: why it is damaged; "" if it is not.
        has_own_code: whether it uses recipes or metrics that are not part of this package.
    """

    name: str
    title: str = ""
    settings: str = ""
    made: int = 0
    planned: int = 0
    stage: str = ""
    state: State = "stopped"
    now: str = ""
    fault: str = ""
    has_own_code: bool = False


class RunList:
    """The runs of a folder. The folder itself may be a run, too."""

    def __init__(self, root: Path):
        self.root = root
        self._judged: dict[str, tuple[object, str]] = {}  # name -> (what it was judged by, its stage)

    def folder(self, name: str) -> Path | None:
        """Return the folder of a run by its name; None where there is no such run."""
        return self._folders().get(name)

    def rows(self) -> list[RunRow]:
        """Return every run, by name."""
        return [self._row(name, path) for name, path in self._folders().items()]

    def state_of(self, path: Path) -> tuple[object, ...]:
        """Return what changes when a generation is finished."""
        found = []
        for name in ("seals.json", "metrics.jsonl", CONFIG):
            try:
                status = (path / name).lstat()
            except OSError:
                continue
            found.append((name, status.st_mtime_ns, status.st_size))
        return tuple(found)

    def _folders(self) -> dict[str, Path]:
        if (self.root / CONFIG).is_file():
            return {self.root.resolve().name: self.root}
        try:
            with os.scandir(self.root) as entries:
                names = [entry.name for entry in entries if entry.is_dir(follow_symlinks=False)]
        except OSError:
            return {}
        there = {name: self.root / name for name in sorted(names) if name.isprintable()}
        return {
            name: path for name, path in there.items() if not (path / CONFIG).is_symlink() and (path / CONFIG).is_file()
        }

    def _row(self, name: str, path: Path) -> RunRow:
        try:
            folder = RunFolder(path)
            config, shards = folder.config, folder.shards()
            experiment = config["experiment"]
            lines = lines_of_chains(experiment) + (experiment.get("blank_twins") or 0)
            planned = experiment.get("generations") or 0
            whole = [g for g in range(1, planned + 1) if sum(shard[0] == g for shard in shards) == lines]
            stage = self._stage(name, folder, experiment)
        except (ValueError, OSError) as error:
            return RunRow(name, state="damaged", fault=quoted(error, 400))
        state: State = "stopped"
        if holder(path) is not None:
            state = "running"
        elif len(whole) == planned and planned:
            state = "finished"
        elif is_folder(path / WAITING) and any((path / WAITING).iterdir()):
            state = "waits for decisions"
        now = _at_work(path) if state == "running" else ""
        title = quoted(experiment.get("title") or experiment.get("name") or "", 200)
        kinds = [(experiment.get(part) or {}).get("kind") for part in ("regime", "generator", "curation")]
        settings = quoted(", ".join([*filter(None, kinds), f"seed {experiment.get('seed')}"]), 200)
        own = bool(config.get("own_code"))
        return RunRow(name, title, settings, len(whole), planned, stage, state, now, has_own_code=own)

    def _stage(self, name: str, folder: RunFolder, experiment: Mapping[str, Any]) -> str:
        state = self.state_of(folder.path)
        if self._judged.get(name, (None, ""))[0] != state:
            found = stages_of(means_of_run(experiment, folder.measurements()), 0, "loop")
            self._judged[name] = state, found.last if found.signals else "not judged"
        return self._judged[name][1]


def _at_work(path: Path) -> str:
    """Return what the newest unfinished generation is doing."""
    partial = sorted(child for child in path.glob("gen-*.partial") if is_folder(child))
    if not partial:
        return ""
    newest = partial[-1]
    words = f"generation {int(newest.name[4:7])}" if newest.name[4:7].isdigit() else "a generation"
    try:
        with (newest / "train.jsonl").open("rb") as file:
            file.seek(max(0, file.seek(0, os.SEEK_END) - 4096))
            told = json.loads(file.read().rpartition(b"\n")[0].splitlines()[-1])
        share = float(told["images_seen"]) / float(told["images_total"])
    except (OSError, ValueError, KeyError, TypeError, IndexError, ZeroDivisionError):
        return words
    return f"{words}, {100 * min(max(share, 0.0), 1.0):.0f} % trained"
