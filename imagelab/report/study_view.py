"""A study as its page reads it: the points with their runs, what is missing of them and why.

Everything is read from files: study.json, the settings of the points, their run folders, logs and attempts.jsonl. No
code of a study is loaded, and what is damaged is a missing point with a reason, so that a page can always be made.
"""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from ..evaluation.chains import lines_of_chains
from ..experiment import flatten
from ..io.run_records import CONFIG
from ..io.settings import read_settings
from ..io.untrusted import shown
from ..sweeps.outcomes import last_words, why_it_ended
from ..sweeps.primary import Declaration, declarations_in
from ..sweeps.study import STUDY
from .run_view import Run, plain, read_run

__all__ = ["StudyPoint", "StudyView", "is_study", "read_study", "spoken"]

SEED = "seed"
MOST_POINTS = 5000
MOST_RECORD = 20_000_000  # bytes of attempts.jsonl
ASIDE = ("name", "title", SEED)


@dataclass(frozen=True, eq=False)
class StudyPoint:
    """One point of a study.

    Attributes:
        settings: the swept settings as they were given, dotted name -> text.
        name: of its run folder.
        experiment: its whole experiment, as plain values.
        run: its run, as far as it is; None where it has not begun or cannot be read.
        made: models whose images are measured.
        planned: how many there will be.
        why: why it is not finished; "" if it is.
    """

    settings: Mapping[str, str]
    name: str
    experiment: Mapping[str, Any]
    run: Run | None
    made: int
    planned: int
    why: str

    @property
    def is_finished(self) -> bool:
        """Whether every generation of every line is there and whole."""
        return not self.why

    @property
    def seed(self) -> str:
        """Its seed, as text."""
        return plain(self.experiment.get(SEED, "?"), 20)

    @property
    def generations(self) -> int:
        """The number of its generations."""
        return _count(self.experiment.get("generations"), 0)

    @property
    def words(self) -> str:
        """The swept settings in one line."""
        pairs = ", ".join(f"{plain(name, 60)} = {plain(value, 60)}" for name, value in self.settings.items())
        return pairs or "as in the file"


@dataclass(frozen=True, eq=False)
class StudyView:
    """A study.

    Attributes:
        folder: where it lies.
        name: its name.
        signature: of its points.
        points: in their order.
        declarations: of its primary outcome, oldest first.
        command: the words with which it was started; () if they are not known.
    """

    folder: Path
    name: str
    signature: str
    points: tuple[StudyPoint, ...]
    declarations: tuple[Declaration, ...]
    command: tuple[str, ...]

    @cached_property
    def axes(self) -> Mapping[str, tuple[str, ...]]:
        """The swept settings except the seed: name -> its values, in the order in which they were given."""
        names = dict.fromkeys(name for point in self.points for name in point.settings if name != SEED)
        found = {}
        for name in names:
            values = tuple(dict.fromkeys(point.settings[name] for point in self.points if name in point.settings))
            if len(values) > 1 or any(name not in point.settings for point in self.points):
                found[name] = values
        return found

    @cached_property
    def seeds(self) -> tuple[str, ...]:
        """The seeds of its points, in order."""
        return tuple(dict.fromkeys(point.seed for point in self.points))

    @property
    def finished(self) -> list[StudyPoint]:
        """The points that are finished."""
        return [point for point in self.points if point.is_finished]

    @property
    def runs(self) -> list[Run]:
        """The runs that have a measured generation."""
        return [point.run for point in self.points if point.run is not None and point.run.last > 0]

    @property
    def chains(self) -> tuple[int, int]:
        """The least and the greatest number of chains of a point."""
        counts = [_count(point.experiment.get("replicates"), 1) for point in self.points]
        return min(counts), max(counts)

    @cached_property
    def shared(self) -> dict[str, Any]:
        """The settings that all points share: dotted name -> value."""
        every = self._settings
        return {key: value for key, value in every[0].items() if all(_same(s, key, value) for s in every)}

    @cached_property
    def following(self) -> dict[str, tuple[str, ...]]:
        """Settings that were not swept and differ all the same, because another one brings them: name -> values."""
        keys = dict.fromkeys(key for each in self._settings for key in each)
        differing = [key for key in keys if key not in self.shared and key not in self.axes]
        values = {key: [each[key] for each in self._settings if key in each] for key in differing}
        return {key: tuple(dict.fromkeys(plain(value, 80) for value in found)) for key, found in values.items()}

    @cached_property
    def _settings(self) -> list[dict[str, Any]]:
        plainer = [{key: value for key, value in p.experiment.items() if key not in ASIDE} for p in self.points]
        return [flatten(each) for each in plainer]

    def configuration(self, point: StudyPoint) -> tuple[str | None, ...]:
        """Return the values of the axes at a point; None for a setting that its kind does not have."""
        return tuple(point.settings.get(name) for name in self.axes)

    def target(self, point: StudyPoint) -> int:
        """Return the generation of the primary outcome at a point: the last one where none is declared."""
        asked = self.declarations[-1].primary.generation if self.declarations else None
        return point.generations if asked is None else asked

    def continued_by(self) -> list[str]:
        """Return the commands that go on with what is missing."""
        if self.command:
            return ["imagelab sweep " + shlex.join(plain(word, 400) for word in self.command)]
        runs = shlex.quote(plain(self.folder.parent, 400))
        files = [self.folder / "points" / f"{p.name}.json" for p in self.points if not p.is_finished]
        return [f"imagelab run {shlex.quote(plain(file, 400))} --runtime.runs {runs}" for file in files]


def is_study(place: Path) -> bool:
    """Whether a folder holds a study."""
    return (place / STUDY).is_file()


def read_study(folder: Path, why: Mapping[str, str] | None = None) -> StudyView:
    """Read a study, finished or not.

    Args:
        folder: of the study.
        why: name of a point -> why it is not finished, where the caller knows; else it is read from the records.

    Raises:
        ValueError: if it is no study, or study.json or the settings of a point are damaged.
    """
    path = folder / STUDY
    if not path.is_file():
        raise ValueError(f"{shown(folder)}: not a study: expected {STUDY} in it. imagelab sweep FILE makes one")
    record, attempts = read_settings(path), _attempts(folder)
    points = []
    listed = record.get("points")
    if not isinstance(listed, list) or not 0 < len(listed) <= MOST_POINTS:
        raise ValueError(
            f"{shown(path)}: expected 1 to {MOST_POINTS} points in it. imagelab sweep FILE writes it again"
        )
    for each in listed:
        settings, name = (each.get("settings"), each.get("run")) if isinstance(each, dict) else (None, None)
        if not isinstance(settings, dict) or not isinstance(name, str) or not re.fullmatch(r"[a-z0-9-]+", name):
            raise ValueError(f"{shown(path)}: a point of it is damaged; expected settings and the name of a run folder")
        swept = {str(key): plain(value, 200) for key, value in settings.items()}
        points.append(_point(folder, swept, name, attempts.get(name), (why or {}).get(name, "")))
    command = record.get("command")
    words = tuple(map(str, command)) if isinstance(command, list) else ()
    name, signature = plain(record.get("name"), 60), plain(record.get("signature"), 20)
    return StudyView(folder, name, signature, tuple(points), declarations_in(record), words)


def _point(
    folder: Path, settings: Mapping[str, str], name: str, attempt: Mapping[str, Any] | None, known: str
) -> StudyPoint:
    content = read_settings(folder / "points" / f"{name}.json")
    experiment, signature = content.get("experiment"), content.get("signature")
    if not isinstance(experiment, dict):
        raise ValueError(f"{shown(folder / 'points' / name)}.json: expected an experiment in it")
    lines = lines_of_chains(experiment) + _count(experiment.get("blank_twins"), 0)
    planned = 1 + _count(experiment.get("generations"), 0) * lines
    path, run, fault = folder.parent / name, None, ""
    if (path / CONFIG).is_file() and (path / "gen-000").is_dir():
        try:
            run = read_run(path)
            if run.store.config["signature"] != signature:
                run, fault = None, "its folder holds another run"
        except (ValueError, OSError) as error:
            fault = f"damaged: {plain(error, 400)}"
    made = len(run.shards) if run is not None else 0
    if run is not None and made >= planned:
        return StudyPoint(settings, name, experiment, run, made, planned, "")
    why = fault or known or _why(folder, name, path, run, attempt)
    return StudyPoint(settings, name, experiment, run, made, planned, plain(why, 420))


def _why(folder: Path, name: str, path: Path, run: Run | None, attempt: Mapping[str, Any] | None) -> str:
    """Return why a point is not finished, from its waiting folder, the last attempt and the last words of its log."""
    if run is not None and (path / "waiting").is_dir() and any((path / "waiting").iterdir()):
        return "waits for decisions of people: imagelab audit"
    code, log = (attempt or {}).get("code"), folder / "logs" / f"{name}.log"
    ended = ""
    if isinstance(code, int) and not isinstance(code, bool) and code:
        try:
            ended = why_it_ended(code)
        except ValueError:  # no such signal
            ended = f"exit code {code}"
    said = last_words(log) if log.is_file() and not log.is_symlink() else ""
    begun = "stopped, or still at work" if (path / CONFIG).is_file() else "not begun"
    return ": ".join(filter(None, [ended or begun, said]))


def _attempts(folder: Path) -> dict[str, Mapping[str, Any]]:
    """Return the last attempt of each point that was recorded; lines that are torn are left out."""
    return {str(each.get("point")): each for each in _records(folder / "attempts.jsonl")}


def _records(path: Path) -> Iterator[Mapping[str, Any]]:
    if not path.is_file() or path.stat().st_size > MOST_RECORD:
        return
    for line in path.read_text("utf-8", "replace").splitlines():
        try:
            each = json.loads(line)
        except (ValueError, RecursionError):
            continue
        if isinstance(each, dict):
            yield each


def _count(value: object, otherwise: int) -> int:
    return value if isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 10_000 else otherwise


def _same(settings: Mapping[str, Any], key: str, value: Any) -> bool:
    return key in settings and json.dumps(settings[key], default=str) == json.dumps(value, default=str)


def spoken(names: Sequence[str]) -> dict[str, str]:
    """Return short names of settings: "regime" for ``regime.kind``, the last part of others where that is enough.

    Example:
        >>> spoken(["regime.kind", "regime.real_fraction", "generator.components"])
        {'regime.kind': 'regime', 'regime.real_fraction': 'real fraction', 'generator.components': 'components'}
    """
    short = {name: name.removesuffix(".kind").rpartition(".")[2].replace("_", " ") for name in names}
    twice = {word for word in short.values() if list(short.values()).count(word) > 1}
    return {name: plain(name if word in twice else word, 40) for name, word in short.items()}
