"""Experiment: one frozen value that names everything a run depends on.

It consists of recipes: a dataset, a regime, a generator with its arms (control models under the same regime), a
curation, and the names of the metrics. It goes to JSON and back unchanged. Its signature, a hash of all that changes
the result, names the run folder: the same experiment has the same folder. Nothing here needs torch.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from .curation import AnyCuration, KeepAll
from .data import AnyData, Faces
from .families import kind_of
from .generators import AnyGenerator, Generator, Vae
from .generators.base import Precision
from .io.addresses import refuse_address
from .io.own_code import OwnCode, load_source, own_code_in
from .io.settings import flatten, read_settings
from .io.untrusted import quoted, shown
from .metrics import METRICS, Metric
from .pool import ModelLine
from .regimes import AnyRegime, Replace
from .run_folder import SCHEMA

__all__ = ["Experiment", "Keep", "Runtime", "explain", "flatten", "read_config", "signature_of", "slug_of"]

Keep = Literal["models", "last", "none"]  # which models a run keeps on the disk: runs/kept_models.py

MOST_FAULTS = 20  # of one experiment, named in a message
LONG = 600  # letters of one fault; what is ours in it is shorter

FORMER_NAMES = {"probe": "tracked", "stream": "fresh_draws"}
"""Settings by the name they had in version 0.1.0. It is still read, and signatures are taken under it, so that a run
keeps its name."""

LATER = (("warm_start", False), ("fresh_draws", 1), ("replicates", 1), ("blank_twins", 0), ("compared", None))
"""Settings that came after the first version, with the value under which a run is what it was before them."""


class Runtime(BaseModel):
    """How the work is done. None of it is part of the question, so none of it is part of the signature.

    What can change rounding is recorded, and a resumed run keeps it unless told otherwise; see runs/settings.py.

    Attributes:
        device: "cpu", "cuda" or "cuda:1"... "auto": the one that the run was begun on; in a new run CUDA where there is
            one, else CPU.
        batch: images in a sampling batch. 0: as the run was begun; in a new run 256.
        threads: CPU threads for torch. 0: as the run was begun; in a new run OMP_NUM_THREADS, else 1.
        workers: shards of a run that are worked on side by side, each in a process of its own, on a CPU. They change no
            byte. None: from the command line as many as there are cores to use, from Python one.
        processes: how many processes (torchrun) a run may go on with that was begun with another number. 0: as begun.
        compile: compile the blocks of networks with torch.compile. None: as the run was begun; in a new run no.
        graphs: record a training step as a CUDA graph, on a CUDA device. None: as the run was begun; in a new
            run no.
        precision: of networks on a CUDA device: "mixed" (bfloat16 and TF32) or "full" (float32). None: as the run was
            begun; in a new run mixed. A CPU computes in float32.
        keep: models that stay on the disk: all ("models"), of each line the newest ("last"), or "none". Images and
            measurements are always kept. None: as the run was begun; in a new run all.
        runs: folder in which run folders are made.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    device: Annotated[str, Field(pattern=r"^(auto|cpu|cuda(:\d+)?)$")] = "auto"
    batch: Annotated[int, Field(ge=0)] = 0
    threads: Annotated[int, Field(ge=0)] = 0
    workers: Annotated[int, Field(ge=1)] | None = None
    processes: Annotated[int, Field(ge=0)] = 0
    compile: bool | None = None
    graphs: bool | None = None
    precision: Precision | None = None
    keep: Keep | None = None
    runs: Annotated[Path, AfterValidator(refuse_address)] = Path("runs")


class Experiment(BaseModel):
    """All settings that determine the result of a run, and how the work is done (``runtime``).

    Attributes:
        name: a short word; the run folder begins with it.
        title: one line for the report.
        data: the dataset recipe. Generation 0 is its ``train`` split.
        regime: which images each next model is trained on.
        generator: the main model, line 0.
        arms: control models, lines 1, 2, ...: the same data and regime, each trained on its own images; under Breed,
            the models whose images it is mixed with.
        generations: how many models are trained one after the other on each line.
        images: training images of generation 0, and images sampled in every generation. A dataset that holds fewer
            gives all it has, and the run says so.
        heldout: real images never trained on: the reference of every distance. Fewer where the dataset has fewer.
        tracked: images followed through the generations for the eye: the same seeds, and the same photocopied faces.
        metrics: which rows of METRICS to take, by name, or metrics of your own; None for the dataset's own panel.
        curation: which of the images that a model draws are published; all of them by default.
        warm_start: each training begins from the model before it on its line, not from scratch.
        fresh_draws: images that each generated image of a training set stands for, fresh ones of the same model, drawn
            when the next one learns and never published (runs/training_set.py). 1: the published images alone, as
            loops are run.
            Large: no statistical error.
        replicates: chains: how often every line is run, from other training and sampling seeds on the same data. Their
            spread is the error of one training; one chain alone does not know it.
        blank_twins: chains of the main model that begin, beside the others, from the same real images without what is
            counted (faces without freckles). What a counter finds in their images, the loop has invented. At most
            ``replicates``; for data that have such twins.
        compared: the most images of each set that kernel distances, precision and recall compare pair by pair, drawn at
            random; None for all, which takes minutes from 50,000 images on.
        seed: the run's seed; every random number follows from it.
        runtime: device and other matters that are not part of the question.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    name: Annotated[str, Field(min_length=1, max_length=60)] = "experiment"
    title: Annotated[str, Field(max_length=200)] = ""
    data: AnyData = Faces()
    regime: AnyRegime = Replace()
    generator: AnyGenerator = Vae()
    arms: tuple[AnyGenerator, ...] = ()
    generations: Annotated[int, Field(ge=1, le=999)] = 10
    images: Annotated[int, Field(ge=4)] = 2048
    heldout: Annotated[int, Field(ge=2)] = 1024
    tracked: Annotated[int, Field(ge=1, le=256)] = 16
    metrics: tuple[str, ...] | None = None
    curation: AnyCuration = KeepAll()
    warm_start: bool = False
    fresh_draws: Annotated[int, Field(ge=1)] = 1
    replicates: Annotated[int, Field(ge=1, le=100)] = 1
    blank_twins: Annotated[int, Field(ge=0, le=100)] = 0
    compared: Annotated[int, Field(ge=200)] | None = None
    seed: Annotated[int, Field(ge=0)] = 0
    runtime: Runtime = Runtime()

    @model_validator(mode="before")
    @classmethod
    def _former_names(cls, settings: Any) -> Any:
        if not isinstance(settings, Mapping):
            return settings
        former = FORMER_NAMES.keys() & settings.keys()
        twice = [name for name in former if FORMER_NAMES[name] in settings]
        if twice:
            raise ValueError(f"{twice[0]} is the former name of {FORMER_NAMES[twice[0]]}; give one of the two")
        return {FORMER_NAMES.get(name, name): value for name, value in settings.items()}

    @field_validator("metrics", mode="before")
    @classmethod
    def _names_of_metrics(cls, metrics: Any) -> Any:
        """Make metrics of one's own known; each is called by its own name, however it was asked for."""
        if not isinstance(metrics, list | tuple):
            return metrics
        return tuple(_name_of_metric(each) for each in metrics)

    @model_validator(mode="after")
    def _fresh_draws_are_not_curated(self) -> Experiment:
        if self.fresh_draws > 1 and self.curated:
            raise ValueError(
                f"fresh_draws = {self.fresh_draws}: fresh images of a model are drawn when the next one learns and are "
                "not curated. Use fresh_draws = 1 with a curation."
            )
        return self

    @model_validator(mode="after")
    def _regime_suits_the_lines(self) -> Experiment:
        for generation in range(1, self.generations + 1):
            self.regime.composition(generation, 0, self.images, len(self.roles))
        return self

    @model_validator(mode="after")
    def _warm_start_is_taken(self) -> Experiment:
        cold = [recipe for recipe in self.roles if self.warm_start and not recipe.continues]
        if cold and cold[0].takes_from_before:
            raise ValueError(
                f"warm_start: {cold[0].label!r} takes a part of the model before as it is, and trains the rest from "
                "scratch. Use warm_start = false, or a model that is trained anew."
            )
        if cold:
            raise ValueError(
                f"warm_start: the command of {cold[0].label!r} does not take the model before. Put {{previous_model}} "
                "into it, or use warm_start = false."
            )
        return self

    @model_validator(mode="after")
    def _twins_can_be_run(self) -> Experiment:
        if not self.blank_twins:
            return self
        if self.blank_twins > self.replicates:
            raise ValueError(
                f"blank_twins: expected at most one for each chain, {self.replicates}, got {self.blank_twins}"
            )
        if not self.data.has_twins:
            raise ValueError(
                f"blank_twins = {self.blank_twins}: data of the kind {kind_of(self.data)} have no twins without what "
                "is counted. Use blank_twins = 0."
            )
        for generation in range(1, self.generations + 1):
            alone = self.regime.composition(generation, 0, self.images, 1)
            if alone != self.regime.composition(generation, 0, self.images, len(self.roles)):
                raise ValueError(
                    f"blank_twins = {self.blank_twins}: under {kind_of(self.regime)} the main model is trained on the "
                    "images of other models, and the twin would not be the same loop. Use blank_twins = 0."
                )
            if any(part.new for part in alone):
                raise ValueError(
                    f"blank_twins = {self.blank_twins}: {kind_of(self.regime)} adds new real images, of which no twins "
                    "are made. Use blank_twins = 0."
                )
        return self

    @property
    def roles(self) -> tuple[Generator, ...]:
        """The generators of one chain: the main model, then the arms."""
        return (self.generator, *self.arms)

    @property
    def lines(self) -> tuple[Generator, ...]:
        """The generator of every line: the roles of the first chain, of the second, ...; then the blank twins."""
        return self.roles * self.replicates + (self.generator,) * self.blank_twins

    @property
    def order(self) -> tuple[int, ...]:
        """The lines in the order in which a generation is made: the blank twins, which the others look at, first."""
        first = len(self.roles) * self.replicates
        return (*range(first, len(self.lines)), *range(first))

    def line(self, index: int) -> ModelLine:
        """Return what a line is for, by its number in :attr:`lines`."""
        roles, first = len(self.roles), len(self.roles) * self.replicates
        if index >= first:
            return ModelLine(index, index - first, 0, (index,), None, blank=True)
        chain, role = divmod(index, roles)
        twin = first + chain % self.blank_twins if self.blank_twins and role == 0 else None
        return ModelLine(index, chain, role, tuple(range(chain * roles, (chain + 1) * roles)), twin)

    def label(self, index: int) -> str:
        """Return the name of a line for tables and plots, such as "VAE", "VAE, chain 2" or "VAE, blank twin"."""
        here = self.line(index)
        words = [self.lines[index].label, *(["blank twin"] if here.blank else [])]
        return ", ".join([*words, *([f"chain {here.chain + 1}"] if here.chain else [])])

    @property
    def panel(self) -> tuple[str, ...]:
        """The metrics that this run takes."""
        return self.metrics if self.metrics is not None else tuple(self.data.panel)

    def begins_from_before(self, line: int) -> bool:
        """Return whether the models of a line, from generation 2 on, are fitted with the help of the model before."""
        return self.warm_start or self.lines[line].takes_from_before

    @property
    def reads_models(self) -> bool:
        """Whether later generations read models of earlier ones, and not only their images."""
        return self.fresh_draws > 1 or any(map(self.begins_from_before, self.order))

    @property
    def curated(self) -> bool:
        """Whether some of the images that a model draws may be left out: any curation but ``KeepAll``."""
        return kind_of(self.curation) != kind_of(KeepAll)  # the command line derives classes with the same kind

    def question(self) -> dict[str, Any]:
        """Return the experiment as plain JSON values, every default spelled out, without what only says how to work.

        The metrics are spelled out, too: a later version may measure more by default, and a run that is resumed then
        must not be measured half with one panel and half with another. A setting that came later is spelled out only
        where it is used, so that older runs keep their names.
        """
        unused = {name for name, plain in LATER if getattr(self, name) == plain}
        unused |= set() if self.curated else {"curation"}
        return {**self.model_dump(mode="json", exclude={"runtime"} | unused), "metrics": list(self.panel)}

    @property
    def signature(self) -> str:
        """SHA-256 of the question and the run-folder schema, first 8 hex digits."""
        return signature_of(self.question(), self.own_code, self.scripts)

    @property
    def scripts(self) -> dict[str, str]:
        """The files that its generators execute or read: place -> digest of the content."""
        return {path: digest for recipe in self.roles for path, digest in recipe.scripts.items()}

    @property
    def own_code(self) -> tuple[OwnCode, ...]:
        """The recipes and metrics of this experiment that are not part of this package."""
        return own_code_in([getattr(self, name) for name in type(self).model_fields], self.panel)

    @property
    def folder(self) -> Path:
        """Where this run lies: runs/<name>-<signature>."""
        return self.runtime.runs / f"{slug_of(self.name, 'run')}-{self.signature}"

    def config(self) -> dict[str, Any]:
        """Return the content of the run's config.json, itself runnable."""
        own = [asdict(code) for code in self.own_code]
        plain = {"schema": SCHEMA, "signature": self.signature, "experiment": self.question()}
        scripts = {"scripts": self.scripts} if self.scripts else {}
        return {**plain, "own_code": own, **scripts} if own else {**plain, **scripts}

    def differences(self, other: Experiment) -> dict[str, tuple[Any, Any]]:
        """Return the settings in which two experiments differ: dotted name -> (ours, theirs)."""
        ours, theirs = flatten(self.question()), flatten(other.question())
        keys = sorted(ours.keys() | theirs.keys())
        return {key: (ours.get(key), theirs.get(key)) for key in keys if ours.get(key) != theirs.get(key)}


def slug_of(name: str, otherwise: str) -> str:
    """Return a name as the beginning of a folder's name: small letters, digits and hyphens, at most 40 of them.

    Args:
        name: any text.
        otherwise: what to take where nothing of it is left.
    """
    return re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")[:40] or otherwise


def _name_of_metric(metric: Any) -> Any:
    if isinstance(metric, Metric):
        return next((name for name, row in METRICS.items() if row is metric), None) or METRICS.add(metric)
    return METRICS.find(metric).name or metric if isinstance(metric, str) else metric


def signature_of(
    question: dict[str, Any], own: Sequence[OwnCode] = (), scripts: Mapping[str, str] = MappingProxyType({})
) -> str:
    """Return the signature of an experiment as it stands in a config.json, whatever version wrote it.

    Args:
        question: the settings as plain JSON values.
        own: the members that are not part of this package; their digests are signed with the settings.
        scripts: :attr:`Experiment.scripts`; their digests are signed, their places are not.
    """
    former = {now: name for name, now in FORMER_NAMES.items()}
    question = {former.get(name, name): value for name, value in question.items()}
    signed: dict[str, Any] = {"schema": SCHEMA, "experiment": question}
    if own:
        signed["own_code"] = {f"{code.family}/{code.name}": code.digest for code in own}
    if scripts:
        signed["scripts"] = sorted(scripts.values())
    text = json.dumps(signed, sort_keys=True, ensure_ascii=False)
    return hashlib.sha256(text.encode()).hexdigest()[:8]


def read_config(path: Path) -> dict[str, Any]:
    """Read an experiment's settings from JSON or YAML: a run's config.json, or a bare mapping of settings.

    Raises:
        ValueError: naming the file, if it is damaged, of another schema version, or no mapping of settings.
    """
    content = read_settings(path)
    if "experiment" not in content:
        return content
    if content.get("schema") != SCHEMA:
        found = quoted(content.get("schema"), 40)
        raise ValueError(f"{shown(path)}: run-folder schema {found}; this imagelab reads schema {SCHEMA}.")
    settings = content["experiment"]
    if not isinstance(settings, dict):
        raise ValueError(f"{shown(path)}: expected settings in `experiment`, got {type(settings).__name__}")
    for code in OwnCode.from_config(content, path):
        load_source(code, path.parent if path.name == "config.json" else None)
    return settings


def explain(error: ValidationError) -> str:
    """Return a validation error as lines for a person: where, what was expected, what came."""
    lines = list(_explained(error, ()))
    more = [f"and {len(lines) - MOST_FAULTS} more"] if len(lines) > MOST_FAULTS else []
    return "\n".join([*lines[:MOST_FAULTS], *more])


def _explained(error: ValidationError, outer: tuple[str, ...]) -> Iterator[str]:
    for fault in error.errors(include_url=False):
        place = (*outer, *map(str, fault["loc"]))
        inner = fault.get("ctx", {}).get("error")
        if isinstance(inner, ValidationError):  # of a recipe within the experiment
            yield from _explained(inner, place)
            continue
        where, got, reason = ".".join(place) or "experiment", fault.get("input"), fault["msg"]
        came = "" if isinstance(got, dict) else f" (got {quoted(_Repr(got), 160)})"
        reason = reason.removeprefix("Value error, ")
        yield f"{quoted(where, 120)}: {reason if len(reason) < LONG else quoted(reason, LONG)}{came}"


@dataclass(frozen=True)
class _Repr:
    """A value as Python spells it."""

    value: object

    def __str__(self) -> str:
        return repr(self.value)
