"""Loops that ran elsewhere: folders, archives and arrays become a run folder that every reading command takes.

Generation 0 is the user's real images, generation t what the user says the model of generation t has made. imagelab
knows nothing of these models: the ledger of training images is empty, there is no model, no theory, no noise seed. The
images are measured as those of a run of this package are: against the held-out real images, with the same estimators,
seeds and floors. So images that were exported from a run and imported again, with the same real and held-out images,
give the numbers of that run (where its dataset groups its images, errors are wider; name the groups by ``group``).

Every shard has ``origin.jsonl``: the files that its images were read from, with size and SHA-256.

Without held-out images of their own, half of the real ones are held out, chosen by the seed. If the models were trained
on them, distances come out too small and memorisation is not seen; say ``heldout`` where it is known.
"""

from __future__ import annotations

import hashlib
import shlex
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from ..data import Faces
from ..data.base import Data, Sample
from ..experiment import Experiment, Runtime, signature_of
from ..faces.freckles import Style
from ..generators import RunContext
from ..images import spread_over
from ..io.grouping import group_keys
from ..io.measurements import read_measurements
from ..io.run_records import CONFIG, IMPORTED
from ..io.untrusted import few, quoted, shown
from ..measurement import Measurement
from ..metrics import METRICS
from ..pool import REAL, ModelLine, Pool
from ..run_folder import SCHEMA, RunFolder
from ..runs.environment import made_with, session_record
from ..runs.evidence import measure_shard, write_groups
from ..runs.settings import choose_settings
from ..runs.shard_files import write_images, write_measurements, write_npy
from ..runs.threads import limited
from ..seeds import rng_at
from .checks import shared_in_loop
from .named_pictures import open_named
from .origins import files_of, write_origin
from .sources import Opening, open_images

__all__ = ["ForeignLoop", "import_loop"]

LEAST_IMAGES = 12
"""Of a set: the fewest by which a feature space can be standardised, and two."""

EXAMPLES = 16


@dataclass(frozen=True)
class ForeignLoop:
    """Where the images of a loop lie; a source is what :func:`~imagelab.evaluation.sources.open_images` opens.

    Attributes:
        real: the real images that the first models were trained on.
        lines: name of a model -> the source of its generation 1, 2, ...; the main model first.
        heldout: real images that no model was trained on; "" to hold out half of ``real``.
        name: a short word for the run.
        title: one line for the report.
        images: images taken of every set, by the seed where it holds more; 0 for the number of the smallest.
        same_seeds: so many images at the beginning of every generation were drawn from the same noise; 0: not known.
        metrics: names of metrics; None for those of general images.
        seed: of every random choice.
        group: rule by which images of every set belong together (io/grouping.py), "" if all are independent. All sets
            are folders of picture files then, and no group is divided between the real and the held-out images.
        freckle_style: how the freckles of faces look, which chooses their counter; None as the run says that the real
            images are from, else "countable".
    """

    real: str
    lines: Mapping[str, Sequence[str]]
    heldout: str = ""
    name: str = "imported"
    title: str = ""
    images: int = 0
    same_seeds: int = 0
    metrics: tuple[str, ...] | None = None
    seed: int = 0
    group: str = ""
    freckle_style: Style | None = None

    def __post_init__(self) -> None:
        """Check that there are generations, as many on every line."""
        lengths = {name: len(sources) for name, sources in self.lines.items()}
        first = next(iter(lengths.values()), 0)
        if not first:
            raise ValueError("import: expected at least one generation, got none. Name it after the real images")
        odd = [f"{name}: {count}" for name, count in lengths.items() if count != first]
        if odd:
            raise ValueError(f"import: expected {first} generations of every line, as of the first, got {few(odd)}")

    @property
    def command(self) -> str:
        """The command line that imports it, but for settings of how files are read."""
        main, *others = self.lines.items()
        words = ["imagelab", "import", self.real, *main[1], "--label", main[0], "--name", self.name]
        words += [word for name, sources in others for word in ("--line", f"{name}={','.join(sources)}")]
        words += ["--heldout", self.heldout] if self.heldout else []
        words += ["--metrics", ",".join(self.metrics)] if self.metrics is not None else []
        chosen = {"title": self.title, "images": self.images, "same-seeds": self.same_seeds, "seed": self.seed}
        chosen |= {"group": self.group, "freckle-style": self.freckle_style}
        return shlex.join(
            [*words, *(word for name, value in chosen.items() if value for word in (f"--{name}", str(value)))]
        )

    @property
    def panel(self) -> tuple[str, ...]:
        """The metrics that are taken."""
        names = Data.panel if self.metrics is None else self.metrics
        return tuple(METRICS.find(name).name or name for name in names)


@dataclass(frozen=True, eq=False)
class _Set:
    """Images of one source, as they are taken.

    Attributes:
        images: uint8 [N,C,H,W].
        source: where they came from.
        files: its files: name, bytes, SHA-256.
        of: how many images the source holds.
        groups: int64 [N], images that belong together; None if all are independent.
        freckle_style: what a run says of the freckles of its faces; None for other sources.
    """

    images: np.ndarray
    source: str
    files: tuple[dict[str, Any], ...]
    of: int
    groups: np.ndarray | None = None
    freckle_style: Style | None = None

    def take(self, rows: np.ndarray) -> _Set:
        """Some of its images."""
        groups = None if self.groups is None else self.groups[rows]
        return replace(self, images=self.images[rows], groups=groups)

    @property
    def digest(self) -> str:
        """SHA-256 over the shape and the pixels."""
        total = hashlib.sha256(repr(self.images.shape).encode())
        for image in self.images:
            total.update(np.ascontiguousarray(image).data)
        return total.hexdigest()

    def said(self) -> dict[str, Any]:
        """What the run records of the set."""
        named = {"source": self.source, "images": len(self.images), "of": self.of, "files": len(self.files)}
        return {**named, "pixels_sha256": self.digest}


def import_loop(
    loop: ForeignLoop,
    folder: Path | None = None,
    how: Opening | None = None,
    runtime: Runtime | None = None,
    tell: Callable[[str], None] = lambda sentence: None,
) -> RunFolder:
    """Write the run folder of a loop that ran elsewhere, measured; what is there already is not made again.

    Args:
        loop: where the images lie.
        folder: the run folder; ``runs/NAME-SIGNATURE`` where it is not given.
        how: what may be done to the pixels; by default nothing, and a bad file stops.
        runtime: device, threads and the folder of runs.
        tell: called with what the user should read.

    Raises:
        ValueError: for sets that cannot be opened, are of another size than the real images, or too small; or if the
            folder holds another run.
    """
    how, runtime = how or Opening(on_bad="stop"), runtime or Runtime()
    real, heldout, lines = _opened(loop, how, tell)
    n = len(real.images)
    short = sorted(name for name in loop.panel if METRICS[name].least > n)
    if short:
        tell(f"{n:,} images are too few to trust these, or to take them at all: {few(short, 12)}")
    style = loop.freckle_style or real.freckle_style or "countable"
    config = _config(loop, real, heldout, lines, style)
    place = folder or runtime.runs / f"{loop.name}-{config['signature']}"
    if place.is_dir() and not (place / CONFIG).exists() and any(place.iterdir()):
        raise ValueError(
            f"{shown(place)}: holds other files; expected a new folder for the run, or the folder of this run"
        )
    run = RunFolder.create(place, config, {})
    settings = choose_settings(runtime, run.provenance, 1, run.path)
    context = RunContext(settings.device, settings.batch)
    with run.lock(), limited(settings.threads):
        run.mend()
        run.write_provenance(_provenance(loop, real, heldout, lines, context))
        # its panel, its seed and its counter of freckles are used
        stand_in = Experiment(name=loop.name, data=Faces(freckle_style=style), metrics=loop.panel, seed=loop.seed)
        if not run.has(0):
            _first(loop, stand_in, run, real, heldout, context)
            tell("generation 0: real images done")
        for generation in range(1, len(lines[0]) + 1):
            for line, sets in enumerate(lines):
                if not run.has(generation, line):
                    _next(loop, stand_in, run, sets[generation - 1], context, generation, line)
                    tell(f"generation {generation} of {len(sets)}: {list(loop.lines)[line]} done")
    return run


# -- opening


def _opened(
    loop: ForeignLoop, how: Opening, tell: Callable[[str], None]
) -> tuple[_Set, _Set, tuple[tuple[_Set, ...], ...]]:
    """Return the real, the held-out and the generated sets, all of one form and n images, or say why not."""
    real = _open(loop.real, how, "real images", None, tell, loop.group)
    form = real.images.shape[1:]
    if loop.heldout:
        heldout = _open(loop.heldout, how, "held-out images", form, tell, loop.group)
    else:
        real, heldout = _divided(real, loop.seed)
        half = f"{len(heldout.images):,} of {real.of:,} real images"
        tell(f"{half} are held out by the seed; give --heldout for others, which no model was trained on")
    lines = tuple(
        tuple(
            _open(source, how, f"generation {t} of {quoted(name, 40)}", form, tell, loop.group)
            for t, source in enumerate(all_, 1)
        )
        for name, all_ in loop.lines.items()
    )
    made = {
        f"generation {t} of {quoted(name, 40)}": each.images
        for name, sets in zip(loop.lines, lines, strict=True)
        for t, each in enumerate(sets, 1)
    }
    sizes = {"real images": len(real.images)} | {name: len(images) for name, images in made.items()}
    n = loop.images or min(sizes.values())
    few_images = [f"{name}: {count:,}" for name, count in sizes.items() if count < max(n, LEAST_IMAGES)]
    if few_images:
        raise ValueError(
            f"import: expected at least {max(n, LEAST_IMAGES):,} images in every set, got {few(few_images)}"
        )
    if len(heldout.images) < LEAST_IMAGES:
        raise ValueError(f"import: expected at least {LEAST_IMAGES} held-out images, got {len(heldout.images)}")
    larger = [f"{name}: {count:,}" for name, count in sizes.items() if count > n]
    if larger:
        tell(f"{n:,} images of every set are taken, chosen by the seed where there are more ({few(larger)})")
    for warning in shared_in_loop(real.images, heldout.images, made):
        tell(f"warning: {warning}")
    taken = tuple(tuple(_some(each, n, loop.seed) for each in sets) for sets in lines)
    return _some(real, n, loop.seed), heldout, taken


def _open(
    source: str, how: Opening, name: str, form: tuple[int, ...] | None, tell: Callable[[str], None], rule: str = ""
) -> _Set:
    groups: np.ndarray | None = None
    if rule:
        opened, names = open_named(Path(source).expanduser(), how, name)
        try:
            groups = group_keys(names, rule)
        except ValueError as error:
            raise ValueError(f"{name}: {error}") from error
        tell(f"{name}: {len(np.unique(groups)):,} groups by {rule!r}")
    else:
        opened = open_images(source, how, name)
    found = opened.images.shape[1:]
    if form is not None and found != form:
        asked = " x ".join(map(str, (form[2], form[1]))), " x ".join(map(str, (found[2], found[1])))
        raise ValueError(
            f"{name}: expected {asked[0]} px and {form[0]} channels, as the real images, got {asked[1]} px and "
            f"{found[0]} ({shown(source)}). Nothing is resized unless you say so: --size {min(form[1:])}"
        )
    for note in opened.notes:
        tell(f"{name}: {note}")
    files = tuple(files_of(source))
    return _Set(opened.images, shown(source), files, len(opened.images), groups, opened.freckle_style)


def _divided(real: _Set, seed: int) -> tuple[_Set, _Set]:
    rng = rng_at(seed, "import/heldout")
    if real.groups is None:
        order = rng.permutation(len(real.images))
        is_held = np.isin(np.arange(len(order)), order[: len(order) // 2])
    else:  # whole groups, until half of the images are held out
        sizes = np.bincount(real.groups)
        order = rng.permutation(len(sizes))
        is_held = np.isin(real.groups, order[np.cumsum(sizes[order]) <= len(real.images) // 2])
    return real.take(np.flatnonzero(~is_held)), real.take(np.flatnonzero(is_held))


def _some(images: _Set, n: int, seed: int) -> _Set:
    if len(images.images) == n:
        return images
    rows = np.sort(rng_at(seed, "import/images").permutation(len(images.images))[:n])
    return images.take(rows)


# -- writing


def _config(
    loop: ForeignLoop, real: _Set, heldout: _Set, lines: Sequence[Sequence[_Set]], style: Style
) -> dict[str, Any]:
    recipes = [
        {"kind": IMPORTED, "name": name, "pixels_sha256": [each.digest for each in sets]}
        for name, sets in zip(loop.lines, lines, strict=True)
    ]
    question: dict[str, Any] = {
        "name": loop.name,
        "title": loop.title or f"A loop that ran elsewhere: {next(iter(loop.lines))}",
        "data": {"kind": IMPORTED, "pixels_sha256": real.digest, "heldout_sha256": heldout.digest},
        "regime": {"kind": IMPORTED},
        "generator": recipes[0],
        "arms": recipes[1:],
        "generations": len(lines[0]),
        "images": len(real.images),
        "heldout": len(heldout.images),
        "tracked": loop.same_seeds,
        "metrics": list(loop.panel),
        "seed": loop.seed,
    }
    if loop.group:
        question["group"] = loop.group
    if style != "countable":
        question["data"]["freckle_style"] = style
    return {"schema": SCHEMA, "signature": signature_of(question), "experiment": question}


def _provenance(
    loop: ForeignLoop, real: _Set, heldout: _Set, lines: Sequence[Sequence[_Set]], context: RunContext
) -> dict[str, Any]:
    apart = "given by the user" if loop.heldout else f"half of {real.source}, chosen by seed {loop.seed}"
    card = (
        f"Imported: {len(real.images):,} real images of {real.source}, {len(heldout.images):,} held out ({apart}). "
        "imagelab does not know their licence, nor how the models of this loop were trained."
    )
    counts = {"train": len(real.images), "heldout": len(heldout.images), "reserve": 0}
    named = zip(loop.lines, lines, strict=True)
    return {
        **session_record(context),
        "data": {"card": card, "counts": counts, "asked": {}, "bad_files": []},
        "n": len(real.images),
        "labels": {str(line): name for line, name in enumerate(loop.lines)},
        IMPORTED: {
            "command": loop.command,
            "real": real.said(),
            "heldout": {**heldout.said(), "chosen": apart},
            "lines": [{"name": name, "generations": [each.said() for each in sets]} for name, sets in named],
        },
    }


def _first(
    loop: ForeignLoop, stand_in: Experiment, run: RunFolder, real: _Set, heldout: _Set, context: RunContext
) -> None:
    shard = run.begin(0)
    write_npy(shard / "heldout.npy", np.array(heldout.images))
    np.savez(shard / "truth.npz")
    for name in ("probe.npy", "photocopy.npy"):
        write_npy(shard / name, Sample(np.array(heldout.images)).examples(loop.same_seeds or EXAMPLES))
    if real.groups is not None and heldout.groups is not None:
        write_groups(shard, Sample(real.images, groups=real.groups), Sample(heldout.images, groups=heldout.groups))
    write_origin(shard, [*real.files, *(heldout.files if loop.heldout else ())])
    measured = measure_shard(stand_in, shard, shard, np.array(real.images), None, context)
    write_images(shard, np.array(real.images), Pool.of(0, REAL, range(len(real.images))))
    write_measurements(shard, [m.at(0, REAL, floor=m) for m in measured])
    run.commit(0, REAL, (), made_with(context))


def _next(
    loop: ForeignLoop, stand_in: Experiment, run: RunFolder, made: _Set, context: RunContext, generation: int, line: int
) -> None:
    shard, real, pixels = run.begin(generation, line), run.checked(0), np.array(made.images)
    shown_rows = slice(loop.same_seeds) if loop.same_seeds else spread_over(len(pixels), EXAMPLES)
    write_npy(shard / "probe.npy", pixels[shown_rows])
    write_origin(shard, made.files)
    write_images(shard, pixels, Pool.of(0, REAL, range(0)))
    floors: dict[str, Measurement] = {m.name: m for m in read_measurements(run.file(0, REAL, "metrics.jsonl"))}
    here = ModelLine(line, 0, line, tuple(range(len(loop.lines))), None)
    measured = measure_shard(stand_in, real, shard, pixels, None, context, here, groups=made.groups)
    write_measurements(shard, [m.at(generation, line, floors.get(m.name)) for m in measured])
    run.commit(generation, line, [(0, REAL)], made_with(context))
