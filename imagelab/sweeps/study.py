"""A study: several experiments that belong together, and the folder that says which they are.

Every point of a study is an ordinary experiment with an ordinary run folder, which other studies may share. The study's
own folder, ``runs/NAME-SIGNATURE.study``, holds what belongs to the whole:

    study.json       the points: the settings that are swept, and the run folder of each; the primary outcome
    points/          the experiment of each point, which ``imagelab run`` reads
    logs/            the output of each point
    attempts.jsonl   every start of a point and how it ended
"""

from __future__ import annotations

import hashlib
import itertools
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..experiment import Experiment, Runtime, read_config, slug_of
from ..io.addresses import refuse_address
from ..io.atomic import written_whole
from ..io.run_records import CONFIG
from ..io.settings import read_settings
from ..io.untrusted import quoted, shown
from .primary import Declaration, Primary, declarations_in
from .settings import dotted, with_settings

__all__ = ["STUDY", "Point", "Study", "with_runs_of_studies"]

STUDY = "study.json"
SCHEMA = 1
ENDING = ".study"


@dataclass(frozen=True)
class Point:
    """One point of a study.

    Attributes:
        settings: the swept settings as they were given, dotted name -> text.
        experiment: the whole experiment.
    """

    settings: Mapping[str, str]
    experiment: Experiment

    @property
    def name(self) -> str:
        """Name of its run folder."""
        return self.experiment.folder.name

    @property
    def words(self) -> str:
        """The swept settings in one line."""
        return ", ".join(f"{name} = {value}" for name, value in self.settings.items()) or "as in the file"


@dataclass(frozen=True)
class Study:
    """Experiments that belong together, in the order in which they are run. No two of them ask the same question.

    Attributes:
        name: a short word; the folder begins with it.
        points: the experiments.
        primary: the outcome that the study is about; None for the one that its folder declares, if any.
        command: the words with which it was started, for whoever continues it; () for those that its folder has.
    """

    name: str
    points: tuple[Point, ...]
    primary: Primary | None = None
    command: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if not self.points:
            raise ValueError("study: expected at least one point, got none")
        seen: dict[str, Point] = {}
        for point in self.points:
            other = seen.get(point.experiment.signature)
            if other is not None:
                raise ValueError(f"study: two points are the same experiment: {other.words}; and {point.words}")
            seen[point.experiment.signature] = point

    @classmethod
    def of(
        cls,
        experiment: Experiment,
        axes: Mapping[str, Sequence[Any]],
        rows: Sequence[Mapping[str, Any]] = (),
        primary: Primary | None = None,
    ) -> Study:
        """Return the study of all combinations of some settings; seeds vary slowest, so that one is finished first.

        Points that come out as the same experiment are one: a setting that only some kinds have does not multiply the
        others.

        Args:
            experiment: what the settings are changed of; its name is that of the study.
            axes: dotted name -> values.
            rows: settings of points that are no grid, each combined with all of ``axes``.
            primary: the outcome that the study is about; None for the one that its folder declares, if any.

        Raises:
            ValueError: for a setting or a value that does not suit, or a setting that no point has.

        Example:
            >>> study = Study.of(Experiment(), {"regime.kind": ["replace", "accumulate"], "seed": range(3)})
            >>> len(study.points), study.points[0].words
            (6, 'seed = 0, regime.kind = replace')
        """
        ordered = sorted(((dotted(name), values) for name, values in axes.items()), key=lambda axis: axis[0] != "seed")
        grid = itertools.product(*(values for _, values in ordered))
        names = [name for name, _ in ordered]
        asked = [{**dict(zip(names, chosen, strict=True)), **row} for chosen in grid for row in (rows or [{}])]
        found: dict[str, Point] = {}
        nowhere = {dotted(name) for settings in asked for name in settings}
        for settings in asked:
            plain = {dotted(name): value for name, value in settings.items()}
            try:
                made, unused = with_settings(experiment, plain)
            except ValueError as error:
                words = ", ".join(f"{name} = {value}" for name, value in plain.items())
                raise ValueError(f"point {words}: {error}") from error
            used = {name: str(value) for name, value in plain.items() if name not in unused}
            nowhere -= used.keys()
            found.setdefault(made.signature, Point(used, made))
        if nowhere:
            raise ValueError(f"{', '.join(sorted(nowhere))}: no point of this study has such a setting")
        return cls(experiment.name, tuple(found.values()), primary)

    @property
    def signature(self) -> str:
        """SHA-256 of the signatures of all points, whatever their order, first 8 hex digits."""
        every = sorted(point.experiment.signature for point in self.points)
        return hashlib.sha256("\n".join(every).encode()).hexdigest()[:8]

    @property
    def runs(self) -> Path:
        """The folder in which the run folders lie."""
        return self.points[0].experiment.runtime.runs

    @property
    def folder(self) -> Path:
        """Where the study lies: runs/NAME-SIGNATURE.study."""
        return self.runs / f"{slug_of(self.name, 'study')}-{self.signature}{ENDING}"

    @property
    def swept(self) -> tuple[str, ...]:
        """The names of the settings that differ between points, in order."""
        return tuple(dict.fromkeys(name for point in self.points for name in point.settings))

    def config_of(self, point: Point) -> Path:
        """Return the file of settings of a point, for ``imagelab run``."""
        return self.folder / "points" / f"{point.name}.json"

    def log_of(self, point: Point) -> Path:
        """Return the file of the output of a point."""
        return self.folder / "logs" / f"{point.name}.log"

    def words(self, point: Point, *, threads: int, workers: int = 1, device: str = "auto") -> list[str]:
        """Return the words of ``imagelab`` that run a point, with paths that hold in any folder."""
        runs, config = self.runs.resolve(), self.config_of(point).resolve()
        how = ["--runtime.threads", str(threads), "--runtime.workers", str(workers), "--runtime.device", device]
        runtime = point.experiment.runtime
        for name in ("compile", "graphs"):
            if (asked := getattr(runtime, name)) is not None:
                how.append(f"--runtime.{'' if asked else 'no-'}{name}")
        how += ["--runtime.precision", runtime.precision] if runtime.precision else []
        how += ["--keep", runtime.keep] if runtime.keep else []
        return ["run", str(config), "--runtime.runs", str(runs), *how]

    def write(self) -> None:
        """Write study.json and the settings of every point; what is there already is the same."""
        (self.folder / "points").mkdir(parents=True, exist_ok=True)
        (self.folder / "logs").mkdir(exist_ok=True)
        points = [{"settings": dict(point.settings), "run": point.name} for point in self.points]
        for point in self.points:
            _write_json(self.config_of(point), point.experiment.config())
        known = {"schema": SCHEMA, "name": self.name, "signature": self.signature, **self._declared()}
        _write_json(self.folder / STUDY, {**known, "points": points})

    def _declared(self) -> dict[str, Any]:
        """Return the declarations of the study, a new one added to those in its folder, and its command."""
        there = read_settings(self.folder / STUDY) if (self.folder / STUDY).is_file() else {}
        declared = list(declarations_in(there))
        if self.primary is not None and (not declared or declared[-1].primary != self.primary):
            measured = sum((point.experiment.folder / "gen-001").is_dir() for point in self.points)
            declared.append(Declaration.now(self.primary, measured))
        command = list(self.command) or there.get("command") or []
        kept = {"primary": [each.record() for each in declared]} if declared else {}
        return {**kept, **({"command": command} if command else {})}

    @classmethod
    def read(cls, folder: Path) -> Study:
        """Return the study that a folder holds. Code of one's own is loaded from where it was.

        Raises:
            ValueError: if it is no study, or its record is damaged.
        """
        path = folder / STUDY
        if not path.is_file():
            refuse_address(folder)
            raise ValueError(f"{shown(folder)}: not a study: expected {STUDY} in it. imagelab sweep FILE makes one")
        record = read_settings(path)
        if record.get("schema") != SCHEMA:
            raise ValueError(f"{shown(path)}: schema {quoted(record.get('schema'), 20)}; expected {SCHEMA}")
        runtime = Runtime(runs=folder.parent)
        points = []
        for each in record.get("points") or []:
            try:
                settings, name = each["settings"], str(each["run"])
            except (KeyError, TypeError) as error:
                raise ValueError(f"{shown(path)}: a point of it is damaged; expected settings and run") from error
            if not re.fullmatch(r"[a-z0-9-]+", name):
                raise ValueError(f"{shown(path)}: expected the name of a run folder, got {quoted(name, 60)}")
            experiment = Experiment(**read_config(folder / "points" / f"{name}.json"), runtime=runtime)
            points.append(Point({str(name): str(value) for name, value in settings.items()}, experiment))
        declared = declarations_in(record)
        study = cls(str(record.get("name")), tuple(points), declared[-1].primary if declared else None)
        if study.signature != record.get("signature"):
            raise ValueError(f"{shown(path)}: was changed, or is of another version: its points have other signatures")
        return study


def with_runs_of_studies(places: Sequence[Path]) -> list[Path]:
    """Return run folders as they are given, and in the place of a study its runs that have begun.

    A run of a study that is there already is left out. A run that was itself given twice stays twice: that is a
    mistake, which the reader of the runs names. Only names are read; no code of a study is loaded.

    Raises:
        ValueError: if none of the runs of a study has begun.
    """
    given = {place.resolve() for place in places}
    found: list[Path] = []
    for place in places:
        refuse_address(place)
        if not (place / STUDY).is_file():
            found.append(place)
            continue
        there = _runs_of(place)
        if not there:
            raise ValueError(f"{shown(place)}: no run of this study has begun; start it with imagelab sweep")
        found += [run for run in there if run.resolve() not in given]
        given |= {run.resolve() for run in there}
    return found


def _runs_of(folder: Path) -> list[Path]:
    names = {path.stem for path in (folder / "points").glob("*.json")}
    return [folder.parent / name for name in sorted(names) if (folder.parent / name / CONFIG).is_file()]


def _write_json(path: Path, content: Any) -> None:
    text = json.dumps(content, indent=1, ensure_ascii=False) + "\n"
    if path.is_file() and path.read_text(encoding="utf-8") == text:
        return
    with written_whole(path) as partial:
        partial.write_text(text, encoding="utf-8")
