"""A run as a chain of sealed folders: each was made from earlier ones, and ``seals.json`` lists the digest of each.

:func:`chain_problems` says what of it is no longer what was written: folders that are missing, empty, renamed, swapped,
cut, or from another run, and files whose size (or, where everything is read, whose bytes) differ from their manifest.
"""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from .atomic import write_atomic
from .manifest import MANIFEST, Manifest, checked, files_in, is_folder, read_object, with_checksum
from .untrusted import quoted, shown

__all__ = [
    "FEATURES",
    "LISTED",
    "NO_FOLDER",
    "SEALS",
    "UNSEALED",
    "Problem",
    "chain_problems",
    "mend_seals",
    "read_seals",
    "refusal",
    "seals_text",
]

_LOG = logging.getLogger(__name__)

SEALS = "seals.json"

LISTED = 5
"""How many problems of a run one message lists."""

FEATURES = "features"
"""Folder of a shard with features of its images; they are made again where their own digest does not fit."""

UNSEALED = (FEATURES, MANIFEST)
"""What a manifest does not list."""

NO_FOLDER = "is a link or a file; expected a folder. A run folder holds no links"

MOST_BYTES = 1_000_000_000
"""How many bytes of files that changed later than their manifest are read when a run is opened."""

MODEL = "model/"  # a folder that libraries read as a whole, so that nothing foreign may be in it


@dataclass(frozen=True)
class Problem:
    """Something in a run folder that is not what the run wrote.

    Attributes:
        where: the folder or file, relative to the run folder.
        what: what is wrong with it, to follow its name.
        absent: whether it is only missing, so that resuming the run makes it again.
    """

    where: str
    what: str
    absent: bool = False

    def __str__(self) -> str:
        return f"{self.where}: {self.what}"


def read_seals(root: Path) -> dict[str, str]:
    """Return folder name -> digest of what the run has made; empty where there is no such file.

    Raises:
        ValueError: if the file was changed.
    """
    path = root / SEALS
    if not os.path.lexists(path):
        return {}
    try:
        record = checked(read_object(path), path)
        return {str(name): str(digest) for name, digest in record["folders"].items()}
    except (ValueError, KeyError, AttributeError) as error:
        raise ValueError(f"{error} Remove it: it is written again from the generations' manifests.") from error


def mend_seals(root: Path, finished: Sequence[str]) -> None:
    """Enter the digests of finished folders that ``seals.json`` does not list; touch nothing if it lists them all."""
    seals = read_seals(root)
    digests = {name: Manifest.read(root / name).digest for name in finished}
    if not seals and len(digests) > 1:
        _LOG.warning("%s: had no %s; it was written again", shown(root), SEALS)
    for name in digests.keys() & seals.keys():
        if digests[name] != seals[name]:
            _LOG.warning(
                "%s: was made again and differs from what later generations were made from", shown(root / name)
            )
    if {**seals, **digests} != seals:
        write_atomic(root / SEALS, seals_text({**seals, **digests}))


def seals_text(digests: Mapping[str, str]) -> str:
    """Return the content of ``seals.json``: name of each folder -> its digest."""
    return json.dumps(with_checksum({"folders": dict(sorted(digests.items()))}), indent=1) + "\n"


def refusal(root: Path, problems: Sequence[Problem]) -> str:
    """Return the message for a run that is not whole: the first problems, and what to do."""
    listed = "".join(f"\n  {problem}" for problem in problems[:LISTED])
    more = f"\n  and {len(problems) - LISTED} more" if len(problems) > LISTED else ""
    path = shown(root)
    if all(problem.absent for problem in problems):
        advice = f"`imagelab resume {path}` makes again what is missing."
    else:
        advice = (
            "Restore it from a copy; or remove what is damaged and all that was made from it, and make it again: "
            f"imagelab resume {path}. `imagelab check {path}` reads and compares everything."
        )
    return f"{path}: not what the run wrote:{listed}{more}\n{advice}"


def chain_problems(
    root: Path, signature: str, folders: Mapping[str, tuple[int, int]], read_data: bool = False
) -> list[Problem]:
    """Return everything in a run that is not what the run wrote, in the order of its generations.

    A file that was written to or replaced later than its manifest, which is written last, may have been changed. Its
    bytes are always compared, of up to 1 GB of such files; a warning says if there are more.

    Args:
        root: the run folder.
        signature: of its experiment.
        folders: name -> (generation, line) of every generation's folder that is there.
        read_data: whether every byte of every file is compared; else sizes, places and the chain are.
    """
    problems: list[Problem] = []
    manifests: dict[str, Manifest] = {}
    budget = [MOST_BYTES]
    for name, place in folders.items():
        manifest, found = _folder(root / name, name, place, signature)
        problems += found
        if manifest is not None:
            manifests[name] = manifest
            problems += _files(root / name, name, manifest, read_data, budget)
    if budget[0] < 0:
        _LOG.warning(
            "%s: many files are newer than their manifests, as in a copy; not all were read. imagelab check %s does",
            shown(root),
            shown(root),
        )
    for name, manifest in manifests.items():
        problems += _origin(name, manifest, manifests, folders)
    try:
        seals = read_seals(root)
    except ValueError as error:
        return [*problems, Problem(SEALS, str(error).removeprefix(f"{shown(root / SEALS)}: "))]
    for name, digest in seals.items():
        if name not in folders and not os.path.lexists(root / name):  # it may have been finished a moment ago
            problems.append(Problem(quoted(name, 40), "is missing", absent=True))
        elif name in manifests and manifests[name].digest != digest:
            problems.append(Problem(name, "is not the one that this run made (seals.json lists another digest)"))
    return problems


def _folder(path: Path, name: str, place: tuple[int, int], signature: str) -> tuple[Manifest | None, list[Problem]]:
    """Return the manifest of a folder where it has one, and what is wrong with the folder itself."""
    if not is_folder(path):
        return None, [Problem(name, NO_FOLDER)]
    if not any(path.iterdir()):
        return None, [Problem(name, "is empty", absent=True)]
    if not (path / MANIFEST).exists():
        return None, [Problem(name, f"is not whole: it has no {MANIFEST}, as after a copy that was interrupted")]
    try:
        manifest = Manifest.read(path)
    except ValueError as error:
        return None, [Problem(f"{name}/{MANIFEST}", str(error).removeprefix(f"{shown(path / MANIFEST)}: "))]
    if (manifest.generation, manifest.line) != place:
        line = f", line {manifest.line}" if manifest.line > 0 else ""
        return None, [Problem(name, f"holds generation {manifest.generation}{line}: it was renamed or swapped")]
    if manifest.signature != signature:
        return None, [Problem(name, f"is part of another run (signature {quoted(manifest.signature, 20)})")]
    return manifest, []


def _files(path: Path, name: str, manifest: Manifest, read_data: bool, budget: list[int]) -> Iterator[Problem]:
    sealed = _changed_at((path / MANIFEST).lstat())
    for file, (size, _) in manifest.files.items():
        try:
            suspect = _changed_at(manifest.check_size(path, file)) > sealed and budget[0] >= 0
            budget[0] -= size if suspect else 0
            if read_data or (suspect and budget[0] >= 0):
                manifest.check(path, file)
        except (ValueError, OSError) as error:
            yield Problem(f"{name}/{quoted(file, 100)}", str(error).removeprefix(f"{shown(path / file)}: "))
    for file in files_in(path, UNSEALED):
        if file not in manifest.files and (file.startswith(MODEL) or read_data):
            yield Problem(f"{name}/{quoted(file, 100)}", f"was not written by the run ({MANIFEST} does not list it)")


def _changed_at(status: os.stat_result) -> int:
    return max(status.st_mtime_ns, status.st_ctime_ns)


def _origin(
    name: str, manifest: Manifest, manifests: Mapping[str, Manifest], folders: Mapping[str, tuple[int, int]]
) -> Iterator[Problem]:
    for source, digest in manifest.made_from.items():
        if source in manifests and manifests[source].digest != digest:
            yield Problem(name, f"was made from another {quoted(source, 40)} than the one that is here")
        elif source not in folders:
            yield Problem(name, f"was made from {quoted(source, 40)}, which is missing", absent=True)
