"""What of a run is whole, what is not, and what that means: the content of ``imagelab check``.

The check is of damage and of changes that nobody mentions. It is no proof against somebody who writes a whole new chain
of manifests; that takes a signature by a key that the forger does not have.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..detection.record import detection_notes
from ..experiment import signature_of
from ..io.chain import Problem
from ..io.manifest import Manifest, is_folder
from ..io.measurements import present_text, read_measurements
from ..io.own_code import OwnCode
from ..io.run_records import CONFIG, PROVENANCE
from ..io.untrusted import quoted, shown
from ..run_folder import SCHEMA, RunFolder
from .prepare import recorded_scripts
from .waiting import WAITING

__all__ = ["RunCheck", "check_run", "made_otherwise"]

COMPARED = ("device", "batch", "threads", "processes", "flags", "kernels", "imagelab", "torch")
"""Entries of ``Manifest.made_with`` that should be the same for every shard of a run."""


@dataclass(frozen=True)
class RunCheck:
    """The result of a check.

    Attributes:
        run: the run folder.
        shards: how many finished shards there are.
        compared: how many bytes were read and compared with the manifests; 0 where only sizes and digests were.
        problems: what is not what the run wrote.
        notes: what is worth knowing and no damage.
        advice: what to do about the problems.
    """

    run: Path
    shards: int
    compared: int
    problems: tuple[Problem, ...]
    notes: tuple[str, ...]
    advice: tuple[str, ...]


def check_run(path: Path, read_data: bool = True) -> RunCheck:
    """Compare a run with its manifests. Nothing is changed or repaired.

    Args:
        path: the run folder.
        read_data: whether every byte is read; else places, sizes, records and the chain of digests are compared.

    Raises:
        ValueError: if it is no run folder that this version can read.
    """
    folder = RunFolder(path)
    problems = [*_records(folder)]
    if any(problem.where == CONFIG for problem in problems):
        advice = "Restore config.json from a copy. Its settings can be run as a new run: imagelab run RUN/config.json"
        return RunCheck(path, 0, 0, tuple(problems), (), (advice,))
    schema = folder.config["schema"]
    if schema != SCHEMA:
        raise ValueError(f"{shown(path)}: written with run-folder schema {quoted(schema, 20)}; this reads {SCHEMA}.")
    problems += folder.problems(read_data)
    manifests = _manifests(folder)
    notes = [
        *_notes(folder),
        *detection_notes(folder),
        *made_otherwise({name: manifest.made_with for name, manifest in manifests.items()}),
    ]
    if not folder.sealed:
        problems += _readable(folder) if read_data else []
    sizes = [size for manifest in manifests.values() for size, _ in manifest.files.values()]
    advice = _advice(folder, problems, manifests)
    return RunCheck(
        path, len(folder.shards()), sum(sizes) if read_data else 0, tuple(problems), tuple(notes), tuple(advice)
    )


def made_otherwise(made_with: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """Return a sentence for each setting that differs between the shards of a run, so that rounding may differ.

    Args:
        made_with: name of each shard, in order -> ``Manifest.made_with``.

    Example:
        >>> made_otherwise({"gen-000": {"threads": 1}, "gen-001": {"threads": 1}, "gen-002": {"threads": 2}})
        ['threads: 1 for gen-000, gen-001; 2 for gen-002. Sums may be rounded differently.']
    """
    sentences = []
    for key in COMPARED:
        groups: dict[str, list[str]] = {}
        for name, settings in made_with.items():
            if key in settings or (key == "kernels" and settings):  # recorded where they are not the defaults
                groups.setdefault(quoted(settings.get(key, "the defaults"), 200), []).append(name)
        if len(groups) > 1:
            parts = "; ".join(f"{value} for {_listed(names)}" for value, names in groups.items())
            sentences.append(f"{key}: {parts}. Sums may be rounded differently.")
    return sentences


def _listed(names: list[str]) -> str:
    return ", ".join(names) if len(names) <= 4 else f"{names[0]} to {names[-1]} ({len(names)} of them)"


def _records(folder: RunFolder) -> Iterator[Problem]:
    """Yield what is wrong with config.json and provenance.json."""
    try:
        config = folder.config
        own = OwnCode.from_config(config, folder.path)
        scripts = recorded_scripts(config, folder.path)
        if signature_of(config["experiment"], own, scripts) != config["signature"]:
            yield Problem(CONFIG, "was changed by hand: the settings do not fit the signature in it")
            return
    except ValueError as error:
        if not folder.path.is_dir() or "not a run folder" in str(error):
            raise
        yield Problem(CONFIG, _without(folder.path / CONFIG, error))
        return
    try:
        if not folder.provenance and folder.shards():
            yield Problem(PROVENANCE, "is missing: versions, device and the data card are not known any more")
    except ValueError as error:
        yield Problem(PROVENANCE, _without(folder.path / PROVENANCE, error))


def _manifests(folder: RunFolder) -> dict[str, Manifest]:
    found = {}
    for shard in folder.shards():
        try:
            manifest = folder.manifest(*shard)
        except ValueError:
            continue  # one of the problems
        if manifest is not None:
            found[folder.shard_path(*shard).name] = manifest
    return found


def _notes(folder: RunFolder) -> Iterator[str]:
    """Yield what is no damage: an older version, work that is not finished, a copy that was not yet written."""
    if not folder.sealed:
        yield (
            "made by a version of imagelab before manifests: its files can be read, and nothing can be said of whether "
            "they were changed"
        )
    for partial in sorted(folder.path.glob("gen-*.partial")):
        waits = is_folder(folder.path / WAITING / partial.name.removesuffix(".partial"))
        goes_on = (
            "its candidates wait for decisions: `imagelab audit`" if waits else "`imagelab resume` goes on with it"
        )
        yield f"{shown(partial.name)}: not finished; {goes_on}"
    removed = sum(bool(manifest.removed) for manifest in _manifests(folder).values())
    if removed:
        yield f"{removed} models were removed by the run, as it was told to (--keep); the rest does not need them"
    if folder.sealed:
        try:
            whole = "".join(folder.file(*shard, "metrics.jsonl").read_text("utf-8") for shard in folder.shards())
            if (present_text(folder.path / "metrics.jsonl") or "") != whole:
                yield "metrics.jsonl differs from the generations' own files; whatever opens the run writes it again"
        except (ValueError, OSError):
            return  # one of the problems


def _readable(folder: RunFolder) -> Iterator[Problem]:
    """Yield the files of a run without manifests that cannot be read."""
    for generation, line in folder.shards():
        where = folder.shard_path(generation, line).name
        for name in ("images.npy", "pool.npz", "metrics.jsonl"):
            try:
                if name == "images.npy":
                    folder.images(generation, line)
                elif name == "pool.npz" and generation:
                    folder.pool(generation, line)
                elif name == "metrics.jsonl" and folder.has_file(generation, line, name):
                    read_measurements(folder.file(generation, line, name))
            except (ValueError, OSError) as error:
                yield Problem(f"{where}/{name}", _without(folder.path / where / name, error))


def _advice(folder: RunFolder, problems: list[Problem], manifests: Mapping[str, Manifest]) -> Iterator[str]:
    """Yield what to do: which folders to remove, so that resuming makes them and all that was made from them again."""
    if not problems:
        return
    run = shown(folder.path)
    hurt = {problem.where.partition("/")[0] for problem in problems if not problem.absent}
    hurt = {name for name in hurt if name.startswith("gen-")}
    spread = _descendants(hurt, manifests)
    if hurt:
        yield f"Restore {_listed(sorted(hurt))} from a copy of the run, if there is one."
        later = f" ({_listed(sorted(spread - hurt))} made from it)" if spread - hurt else ""
        folders = " ".join(f"{run}/{name}" for name in sorted(spread))
        yield f"Or make it again{later}: rm -r {folders}; then: imagelab resume {run}"
        if f"gen-{0:03d}" in hurt:
            yield "gen-000 holds the real images: it is the same again only if the dataset is."
    elif all(problem.absent for problem in problems):
        yield f"`imagelab resume {run}` makes again what is missing."
    if any(problem.where == PROVENANCE for problem in problems):
        yield f"Restore {PROVENANCE} from a copy; without one its record is lost, and the numbers are not."


def _descendants(hurt: Iterable[str], manifests: Mapping[str, Manifest]) -> set[str]:
    """Return these folders and all that were made from them, directly or not."""
    spread = set(hurt)
    while True:
        more = {name for name, manifest in manifests.items() if spread & manifest.made_from.keys()} - spread
        if not more:
            return spread
        spread |= more


def _without(path: Path, error: Exception) -> str:
    return quoted(str(error)).removeprefix(f"{shown(path)}: ")
