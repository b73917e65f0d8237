"""Groups of runs: runs that differ only in their seed, and the settings that set the groups apart.

Runs that differ only in their seed are repeats of one experiment and form a group. One run is called "one run".
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..experiment import flatten
from ..measurement import Measurement
from .run_view import Run, plain, read_run

__all__ = ["MOST_GROUPS", "Group", "group_runs", "pictured_runs", "same_data", "shared_names"]

MOST_GROUPS = 6
"""The largest number of groups of a page or deck: as many as there are colours and markers."""

SET_ASIDE = ("name", "title", "seed")
"""Settings in which the runs of one group may differ."""

LONGEST, BRIEF = 60, 40  # letters: the limit of a group's label, and the length above which it is shortened


@dataclass(frozen=True, eq=False)
class Group:
    """Repeats of one experiment.

    Attributes:
        label: the settings that distinguish it from the other groups.
        runs: its runs, sorted by seed.
    """

    label: str
    runs: tuple[Run, ...]

    @property
    def last(self) -> int:
        """The last generation that all its runs have."""
        return min(run.last for run in self.runs)

    @property
    def seeds(self) -> tuple[Any, ...]:
        """The seeds of its runs."""
        return tuple(run.experiment.get("seed", "?") for run in self.runs)

    @property
    def made_of(self) -> str:
        """Its runs, trainings and seeds as text, such as "2 runs of 3 trainings each, seeds 0, 1"."""
        count = f"{len(self.runs)} runs" if len(self.runs) > 1 else "one run"
        chains = {run.replicates for run in self.runs}
        each = f"{max(chains)} trainings" if max(chains) > 1 else "one training"
        each = f"{min(chains)} to {each}" if len(chains) > 1 else each
        seeds = ", ".join(plain(seed, 12) for seed in self.seeds)
        several = len(self.runs) > 1
        return f"{count} of {each}{' each' if several else ''}, seed{'s' if several else ''} {seeds}"


def group_runs(folders: Sequence[Path]) -> tuple[list[Group], dict[str, Any]]:
    """Return the groups of runs, and the settings that all runs share.

    Args:
        folders: two or more run folders.

    Raises:
        ValueError: for fewer than two runs, the same run twice, or a damaged folder.
    """
    if len(folders) < 2:
        raise ValueError(
            f"compare: expected two runs or more, got {len(folders)}. For one run use: imagelab report RUN"
        )
    runs = [read_run(Path(folder)) for folder in folders]
    if len({run.folder.resolve() for run in runs}) < len(runs):
        raise ValueError("compare: the same run folder was given twice; expected different runs")
    # a run that publishes all it draws has no curation in its settings: beside a curated one that is a setting
    rule = {"curation": {"kind": "keep_all"}} if any("curation" in run.experiment for run in runs) else {}
    settings = [flatten({k: v for k, v in {**rule, **run.experiment}.items() if k not in SET_ASIDE}) for run in runs]
    keys = sorted({key for each in settings for key in each})
    shared = {
        key: settings[0].get(key) for key in keys if all(_same(s.get(key), settings[0].get(key)) for s in settings)
    }
    different = [key for key in keys if key not in shared]
    alike: dict[str, list[int]] = {}
    for index, each in enumerate(settings):
        alike.setdefault(json.dumps([each.get(key) for key in different], default=str), []).append(index)
    members = [sorted(each, key=lambda index: str(runs[index].experiment.get("seed"))) for each in alike.values()]
    labels = _labels([{key: settings[own[0]].get(key) for key in different} for own in members])
    groups = [
        Group(plain(label or _plainest(different) or runs[own[0]].title, LONGEST), tuple(runs[index] for index in own))
        for label, own in zip(labels, members, strict=True)
    ]
    return _numbered(groups), shared


def _same(left: Any, right: Any) -> bool:
    return json.dumps(left, default=str, sort_keys=True) == json.dumps(right, default=str, sort_keys=True)


def _labels(groups: Sequence[Mapping[str, Any]]) -> list[str]:
    """Return a label for each group: the settings in which it differs from the others.

    If the labels are too long, settings of a recipe whose kind differs are left out, and so are the metrics, provided
    that the labels remain different. Two kinds of data or model have different settings anyway, so naming these would
    add nothing to the kind. Labels that are still too long name only the settings that are needed to tell them apart.
    """
    labels = [_label(own) for own in groups]
    if max(map(len, labels)) <= BRIEF:
        return labels
    kinds = {key for own in groups for key in own if key.endswith("kind")}
    brief = [_label({key: own[key] for key in own if key in kinds or _stands_alone(key, kinds)}) for own in groups]
    if len(set(brief)) == len(brief) and max(map(len, brief)) <= BRIEF:
        return brief
    return _fewest(groups, kinds)


def _fewest(groups: Sequence[Mapping[str, Any]], kinds: set[str]) -> list[str]:
    """Return labels of the kinds and of as few other settings, in their order, as set the groups apart."""
    used = set(kinds)

    def labels() -> list[str]:
        return [_label({key: own[key] for key in own if key in used}) for own in groups]

    for key in sorted({key for own in groups for key in own} - kinds):
        before = len(set(labels()))
        if before == len(groups):
            break
        used.add(key)
        if len(set(labels())) == before:
            used.remove(key)
    return labels()


def _stands_alone(key: str, kinds: set[str]) -> bool:
    """Whether a setting adds to the kinds: data.size does not if data.kind differs, nor do the metrics."""
    return key != "metrics" and f"{key.rpartition('.')[0]}.kind" not in kinds


def _label(own: Mapping[str, Any]) -> str:
    """Return a short label of a group: kinds first, then the other settings by the last part of their name."""
    kinds = [str(value).replace("_", " ") for key, value in own.items() if key.endswith("kind") and value is not None]
    rest = [
        f"{key.rpartition('.')[2].replace('_', ' ')} {_short(value)}"
        for key, value in own.items()
        if not key.endswith("kind") and value is not None and value is not False
    ]
    return ", ".join([*kinds, *rest])


def _plainest(different: Sequence[str]) -> str:
    """Return the label of a group that has none of the settings in which the groups differ; "" for one group alone."""
    names = ", ".join(key.rpartition(".")[2].replace("_", " ") for key in different)
    return f"without {names}" if names else ""


def _short(value: Any) -> str:
    return f"{value:g}" if isinstance(value, float) else json.dumps(value, ensure_ascii=False, default=str)


def _numbered(groups: list[Group]) -> list[Group]:
    """Add a number to every label that more than one group has."""
    labels = [group.label for group in groups]
    return [
        group if labels.count(group.label) == 1 else Group(f"{group.label} ({order + 1})", group.runs)
        for order, group in enumerate(groups)
    ]


def same_data(groups: Sequence[Group]) -> bool:
    """Whether all groups began with the same data recipe, so that one value of real images is valid for all."""
    first = groups[0].runs[0].experiment.get("data")
    return all(_same(run.experiment.get("data"), first) for group in groups for run in group.runs)


def shared_names(groups: Sequence[Group]) -> list[str]:
    """Return the measurements that every run has in the last generation of its group, with the same instrument.

    A measurement whose instrument differs between runs is left out, because such values must not be compared.
    """
    runs = [run for group in groups for run in group.runs]
    found = []
    for name in runs[0].names:
        rows = [run.at(name, group.last) for group in groups for run in group.runs]
        if all(m is not None for m in rows) and _comparable([m for m in rows if m is not None]):
            found.append(name)
    return found


def _comparable(rows: Sequence[Measurement]) -> bool:
    try:
        for m in rows[1:]:
            rows[0].check_comparable(m)
    except ValueError:
        return False
    return True


def pictured_runs(groups: Sequence[Group]) -> list[Run]:
    """Return the run of each group whose pictures are shown: of a seed that all groups have, else its first."""
    shared = set.intersection(*(set(map(str, group.seeds)) for group in groups))
    return [
        next((run for run, seed in zip(group.runs, group.seeds, strict=True) if str(seed) in shared), group.runs[0])
        for group in groups
    ]
