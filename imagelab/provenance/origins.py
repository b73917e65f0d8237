"""Where a picture of a run came from: its model, its noise, and what was trained on what, back to the real pictures.

All of it is read from the records of the run: the ledger of each shard (``pool.npz``), its manifest, the settings.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np

from ..data import DATASETS
from ..io.run_records import IMPORTED
from ..io.untrusted import quoted, shown
from ..pool import REAL, RESERVE, TWINS
from ..run_folder import RunFolder
from ..seeds import seed_at
from .ledger import Place

__all__ = ["Ancestor", "ancestry", "facts_of", "line_label", "told_ancestry", "told_place"]

MOST_TOLD = 40
"""Shards of an ancestry that are told one by one."""

_KINDS = {REAL: "real training pictures", RESERVE: "real pictures of the reserve", TWINS: "twins of the real pictures"}

_OF_GENERATION_0 = {
    "images.npy": "a real training picture",
    "heldout.npy": "a held-out real picture, which no model is trained on",
    "reserve.npy": "a real picture of the reserve",
    "twins.npy": "the twin, without what is counted, of a real training picture",
    "blank.npy": "the twin, without what is counted, of a held-out real picture",
    "probe.npy": "a held-out real picture, kept as an example",
    "photocopy.npy": "a held-out real picture, kept as an example",
}


@dataclass(frozen=True)
class Ancestor:
    """A shard of an ancestry, and what its model was trained on.

    Attributes:
        generation: of the shard.
        line: of the shard; REAL for real pictures.
        label: of the model.
        trained_on: (generation, line, how many pictures) of every source, in order; empty for real pictures.
        ledger: SHA-256 of the list of its training pictures.
    """

    generation: int
    line: int
    label: str
    trained_on: tuple[tuple[int, int, int], ...]
    ledger: str


def line_label(run: RunFolder, line: int) -> str:
    """Return the label of a model of a run, on one printable line."""
    return quoted(_labels(run).get(str(line), f"model {line}"), 80)


@lru_cache(maxsize=64)
def _labels(run: RunFolder) -> Mapping[str, Any]:
    """Return line -> label; read once of each run that was opened."""
    try:
        return run.provenance.get("labels") or {}
    except (ValueError, OSError):
        return {}


@lru_cache(maxsize=1024)
def ancestry(run: RunFolder, generation: int, line: int) -> tuple[Ancestor, ...]:
    """Return a shard and all shards that it descends from by training, latest first; none for generation 0.

    Raises:
        ValueError: if a ledger is missing or was changed.
    """
    wanted: set[tuple[int, int]] = {(generation, line)} if generation else set()
    found: dict[tuple[int, int], Ancestor] = {}
    while wanted:
        shard = wanted.pop()
        pool = run.pool(*shard)
        counts = Counter(zip(pool.generation.tolist(), pool.line.tolist(), strict=True))
        sources = tuple((source[0], source[1], count) for source, count in sorted(counts.items()))
        found[shard] = Ancestor(shard[0], shard[1], line_label(run, shard[1]), sources, pool.digest())
        wanted |= {source for source in counts if source[0] > 0} - found.keys()
    return tuple(sorted(found.values(), key=lambda a: (-a.generation, a.line != line, a.line)))


def facts_of(place: Place) -> dict[str, Any]:
    """Return what is known about a row of a run, as JSON values.

    Raises:
        ValueError: if a record of the run is missing or was changed.
    """
    run, generation, line = place.run, place.generation, place.line
    facts: dict[str, Any] = {
        "run": shown(run.path.name),
        "folder": shown(run.path),
        "signature": run.config["signature"],
        "generation": generation,
        "line": line,
        "array": place.array,
        "row": place.row,
    }
    if generation == 0:
        return {**facts, "synthetic": False, "data": run.config["experiment"].get("data")}
    facts |= {"synthetic": True, "model": line_label(run, line)}
    if IMPORTED in run.provenance:  # made elsewhere: neither noise nor training images are known
        return {**facts, "imported": True, "ancestry": []}
    seed = run.config["experiment"].get("seed", 0)
    if place.array == "images.npy":
        candidate = int(np.asarray(run.candidates(generation, line))[place.row])
        facts["noise_seed"] = str(seed_at(seed, "sample", generation, line, candidate))  # too large for JSON readers
    elif place.array == "probe.npy":
        facts["noise_seed"] = str(seed_at(seed, "probe", 0, 0, place.row))
    parents = ancestry(run, generation, line)
    facts["trained_on"] = parents[0].ledger
    facts["ancestry"] = [
        {
            "generation": each.generation,
            "line": each.line,
            "model": each.label,
            "ledger": each.ledger,
            "trained_on": [{"generation": g, "line": k, "pictures": n} for g, k, n in each.trained_on],
        }
        for each in parents
    ]
    return facts


def told_place(place: Place) -> str:
    """Return a sentence, without a full stop, that says what a row of a run is."""
    run, generation, row = place.run, place.generation, place.row
    name = shown(run.path.name)
    if generation == 0:
        return f"row {row} of generation 0 of {name}: {_OF_GENERATION_0[place.array]} ({_data(run)})"
    label = line_label(run, place.line)
    if place.array == "probe.npy" and IMPORTED in run.provenance:
        return f"example {row} of generation {generation} of {name}, imported as made by {label}"
    if place.array == "probe.npy":
        return (
            f"picture {row} that {label} of generation {generation} of {name} made from the noise kept for comparison"
        )
    if place.array in ("photocopy.npy", "copied_blanks.npy"):
        what = "held-out picture" if place.array == "photocopy.npy" else "twin of a held-out picture"
        times = "once" if place.array == "copied_blanks.npy" else f"by the models of generations 1 to {generation}"
        return f"{what} {row} of {name}, copied {times}, the last time by {label} of generation {generation}"
    return f"row {row} of generation {generation} of {name}, made by {label} (line {place.line})"


def told_ancestry(run: RunFolder, facts: Mapping[str, Any]) -> Iterator[str]:
    """Yield a sentence for each model of an ancestry, from the latest back to the real pictures.

    Args:
        run: the run.
        facts: from :func:`facts_of`.
    """
    parents = facts.get("ancestry") or []
    for each in parents[:MOST_TOLD]:
        sources = " and ".join(_source(run, part) for part in reversed(each["trained_on"]))
        yield f"The model of generation {each['generation']} ({each['model']}) was trained on {sources}."
    if len(parents) > MOST_TOLD:
        yield f"And {len(parents) - MOST_TOLD} models before them."
    if parents:
        yield f"The real pictures: {_data(run)}."


def _source(run: RunFolder, part: Mapping[str, Any]) -> str:
    if part["generation"] == 0:
        return f"{part['pictures']:,} {_KINDS[part['line']]} (generation 0)"
    return f"{part['pictures']:,} pictures of generation {part['generation']} ({line_label(run, part['line'])})"


def _data(run: RunFolder) -> str:
    """Return what the real pictures of a run are, in a few words."""
    kind = (run.config["experiment"].get("data") or {}).get("kind")
    drawn = isinstance(kind, str) and kind in DATASETS and DATASETS[kind].drawn
    origin = "drawn by a program, which depict nobody" if drawn else "as they were given to that run"
    return f"dataset {quoted(kind, 60)}, {origin}"
