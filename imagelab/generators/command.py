"""The generator that is two programs, in any language: one learns from a folder of images, one draws new ones.

    Command(
        train="python train.py --data {images} --out {model} --seed {seed}",
        sample="python sample.py --model {model} --out {images} --count {count} --seed {seed}",
    )

**The commands** are split into arguments without a shell (command_words.py). Placeholders of ``train``:

    {images}          the training images: a folder of PNG files, or with ``files="npy"`` one file
    {model}           where the model is to be written: a file, a folder, or several files whose names begin like this
    {seed}            a number from 0 to 2^31 - 1
    {previous_model}  the model of the generation before, under ``warm_start``; empty in generation 1, and without it
    {images_seen}     the setting of that name: how long to train
    {python}          the Python that runs imagelab
    {device}          cpu, cuda:0, ... as the run was begun on

and of ``sample``: ``{model}``; ``{images}``, the empty folder to fill (with ``files="npy"`` the file to write);
``{count}``; ``{seed}``, or ``{seeds}``, a text file with one seed for each image; ``{python}``; ``{device}``.

**Seeds.** One call draws all images that are asked for; ``{seed}`` is computed from all of their seeds, so the same
request has the same seed. With ``{seed}`` an image depends on the whole request, with ``{seeds}`` it can depend on its
own seed alone, as in the generators of this package. The followed images are a request of their own, with the same
seeds in every generation.

**The programs** run in ``directory``, which is stored as an absolute path, with the rights of the user; nothing is
sandboxed. They get the thread variables (OMP_NUM_THREADS and others) of the run, and ``environment``. Standard input is
empty; what they write goes into ``train.log`` beside the model. They are ended with everything they started on a
time-out, on Ctrl-C and when imagelab ends (command_process.py). A program cannot be stopped half-way and continued: a
run that goes on begins it again. The model is moved after training, so it must hold no absolute path of itself.

**Consent.** A run that somebody else has made holds commands in its config.json. Reading it never executes them;
``resume`` and ``branch`` do so only after ``--allow-commands`` (io/consent.py).
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import sys
import tempfile
import weakref
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Annotated, ClassVar, Literal

import numpy as np
from pydantic import AfterValidator, Field, PlainSerializer, field_validator, model_validator

from ..images import check_images
from ..io.untrusted import json_value, parsing, quoted, regular, shown
from .base import Generator, Model, RunContext
from .command_files import FileForm, hand_over, refuse_links, taken_back
from .command_process import THREAD_VARIABLES, Program, run_program
from .command_words import check_line, filled, names_in, scripts_of

__all__ = ["Command", "CommandModel"]

TRAIN = {
    "images": True,
    "model": True,
    "seed": False,
    "previous_model": False,
    "images_seen": False,
    "python": False,
    "device": False,
}
SAMPLE = {
    "model": True,
    "images": True,
    "count": True,
    "seed": False,
    "seeds": False,
    "python": False,
    "device": False,
}
"""Placeholders of each command, and whether it must have them."""

SECONDS, GIGABYTES = "IMAGELAB_COMMAND_SECONDS", "IMAGELAB_COMMAND_GB"
"""Environment variables that replace the limits of a run, so that it can go on with other ones."""

GUEST = "guest"  # the folder of the program's own files in a model
RECORD = "command.json"
LOG = "train.log"


def _absolute(path: Path) -> Path:
    return Path(os.path.normpath(path.expanduser().absolute()))


Directory = Annotated[
    Path, AfterValidator(_absolute), PlainSerializer(lambda path: path.as_posix(), return_type=str, when_used="json")
]


class Command(Generator):
    """Two programs, in any language: one that trains, one that draws.

    Attributes:
        train: the command that learns; needs {images} and {model}.
        sample: the command that draws; needs {model}, {images} and {count}.
        name: for plots and tables.
        images_seen: the value of {images_seen}; None where the command has no such placeholder. The trial before a run
            sets it to 2.
        files: how training images are handed over: png, a folder; npy, one file uint8 [N,H,W,C].
        directory: working directory of both programs; the current one by default. Scripts are named relative to it.
        environment: additional variables, as NAME=VALUE. They are written into config.json: no passwords.
        train_seconds: a training that takes longer is ended.
        sample_seconds: a drawing that takes longer is ended.
        memory_gb: a program whose processes use more memory together is ended; None for no limit.
        trial: before a run both programs are tried on images of noise. ``twice``: two times, to see whether the same
            seeds give the same images; ``once``; ``none``: where even that takes too long.
        trial_images: how many images of noise; more where the program wants more.

    Example:
        >>> recipe = Command(train="fit {images} {model}", sample="draw {model} {images} {count} {seed}", name="fit")
        >>> recipe.label, recipe.trials
        ('fit', 2)
    """

    duration_settings: ClassVar[tuple[str, ...]] = ("images_seen",)
    alone: ClassVar[bool] = True

    kind: Literal["command"] = "command"
    train: Annotated[str, Field(min_length=1, max_length=8000)]
    sample: Annotated[str, Field(min_length=1, max_length=8000)]
    name: Annotated[str, Field(min_length=1, max_length=60)] = "command"
    images_seen: int | None = Field(default=None, ge=0)
    files: FileForm = "png"
    directory: Directory = Field(default_factory=lambda: _absolute(Path.cwd()))
    environment: tuple[str, ...] = ()
    train_seconds: float = Field(default=86_400.0, gt=0)
    sample_seconds: float = Field(default=86_400.0, gt=0)
    memory_gb: float | None = Field(default=None, gt=0)
    trial: Literal["twice", "once", "none"] = "twice"
    trial_images: int = Field(default=12, ge=2, le=10_000)

    @field_validator("train")
    @classmethod
    def _train_is_complete(cls, line: str) -> str:
        return check_line(line, TRAIN)

    @field_validator("sample")
    @classmethod
    def _sample_is_complete(cls, line: str) -> str:
        return check_line(line, SAMPLE)

    @field_validator("environment")
    @classmethod
    def _variables_have_names(cls, variables: tuple[str, ...]) -> tuple[str, ...]:
        for each in variables:
            if not re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*=[^\0]*", each, re.DOTALL):
                raise ValueError(f"expected NAME=VALUE, got {quoted(each, 80)!r}")
        return variables

    @model_validator(mode="after")
    def _length_has_a_place(self) -> Command:
        if (self.images_seen is None) == ("images_seen" in names_in(self.train)):
            there = "has the placeholder {images_seen}" if self.images_seen is None else "has no {images_seen}"
            raise ValueError(f"images_seen = {self.images_seen}: the command train {there}; give both, or neither")
        return self

    @property
    def label(self) -> str:
        """The name that was given."""
        return self.name

    @property
    def training_length(self) -> int:
        """The value of {images_seen}; 0 where imagelab does not know how long the program trains."""
        return self.images_seen or 0

    @property
    def continues(self) -> bool:
        """Whether the command takes the model of the generation before."""
        return "previous_model" in names_in(self.train)

    @property
    def trials(self) -> int:
        """How often the programs are tried before a run."""
        return {"twice": 2, "once": 1, "none": 0}[self.trial]

    @property
    def scripts(self) -> dict[str, str]:
        """The script files that the commands name: absolute path -> digest of the content."""
        return scripts_of((self.train, self.sample), self.directory)

    def fit(self, images: np.ndarray, seed: int, context: RunContext, start: Model | None = None) -> CommandModel:
        """Run the program that trains.

        Args:
            images: uint8 [N,C,H,W].
            seed: of the training.
            context: its log, and whether to stop. The files lie beside its checkpoint.
            start: the model of the generation before, for {previous_model}.

        Raises:
            ProgramFailed: if the program fails, or writes no model.
            Interrupted: if the run was asked to stop.
        """
        check_images(images)
        place = _Place.beside(context, "guest_train")
        (place.folder / GUEST).mkdir()
        model, handed = place.folder / GUEST / "model", hand_over(images, place.folder, self.files)
        before = start.program_model if isinstance(start, CommandModel) else ""
        values = {
            "images": handed,
            "model": model,
            "seed": seed % 2**31,
            "previous_model": before,
            "images_seen": self.images_seen,
        }
        program = self._program("train", values, context)
        last = run_program(program, place.log, context.should_stop, context.on_line)
        try:
            if not any((place.folder / GUEST).iterdir()):
                raise ValueError(f"ended well, but wrote no model: expected a file or a folder {shown(model)}")
            refuse_links(place.folder / GUEST, "a model")
        except ValueError as error:
            raise program.failed(str(error), place.log, last) from error
        place.clear("images", "images.npy")
        _, channels, height, width = images.shape
        return CommandModel(self, place, (channels, height, width), context)

    def load(self, folder: Path, context: RunContext) -> CommandModel:
        """Read back what :meth:`CommandModel.save` wrote; no program is run.

        Raises:
            ValueError: naming the file, where it is missing or damaged.
        """
        path = folder / RECORD
        regular(path)
        with parsing(path, "the record of a model of a command"):
            channels, height, width = map(int, json_value(path.read_bytes(), path)["shape"])
        if not (folder / GUEST).is_dir():
            raise ValueError(f"{shown(folder / GUEST)}: missing; expected the files of the model")
        return CommandModel(self, _Place(folder, None), (channels, height, width), context)

    def _program(self, role: Literal["train", "sample"], values: dict[str, object], context: RunContext) -> Program:
        import torch

        values = {**values, "python": sys.executable, "device": context.device}
        variables = dict.fromkeys(THREAD_VARIABLES, str(torch.get_num_threads())) | {"PYTHONUNBUFFERED": "1"}
        variables |= dict(each.split("=", 1) for each in self.environment)
        line, usual = (self.train, self.train_seconds) if role == "train" else (self.sample, self.sample_seconds)
        seconds, words = _limit(SECONDS, usual) or usual, tuple(filled(line, values))
        return Program(words, self.directory, variables, seconds, _limit(GIGABYTES, self.memory_gb), role)


def _limit(variable: str, usual: float | None) -> float | None:
    """Return a limit from the environment, else the usual one."""
    asked = os.environ.get(variable)
    try:
        value = float(asked) if asked else usual
    except ValueError:
        value = -1.0
    if value is not None and not value > 0:
        raise ValueError(f"{variable}: expected a number above 0, got {quoted(asked, 40)}")
    return value


@dataclass
class _Place:
    """A folder in which the files of one call, or of one model, lie.

    Attributes:
        folder: the folder.
        shard: the partial shard that it is in; None outside of a run.
    """

    folder: Path
    shard: Path | None

    @classmethod
    def beside(cls, context: RunContext, name: str) -> _Place:
        """Return an empty folder in the partial shard, where there is one, else a temporary one."""
        if context.checkpoint is None:
            return cls(Path(tempfile.mkdtemp(prefix="imagelab-command-")), None)
        shard = context.checkpoint.absolute().parent
        shutil.rmtree(shard / name, ignore_errors=True)
        (shard / name).mkdir()
        return cls(shard / name, shard)

    @property
    def log(self) -> Path:
        """The file for what the program writes."""
        return (self.shard or self.folder) / LOG

    def clear(self, *names: str) -> None:
        """Remove files or folders of it, or all of it where none is named."""
        for path in [self.folder / name for name in names] or [self.folder]:
            if path.is_dir() and not path.is_symlink():
                shutil.rmtree(path, ignore_errors=True)
            else:
                path.unlink(missing_ok=True)


class CommandModel:
    """What a program has learned, and the program that draws from it.

    Args:
        recipe: the two commands.
        place: the folder that holds the program's files.
        shape: (C, H, W) of the training images, and so of what is drawn.
        context: as of the fit, or of the load.
    """

    reconstructs = False

    def __init__(self, recipe: Command, place: _Place, shape: tuple[int, int, int], context: RunContext):
        self.recipe, self.shape, self.context = recipe, shape, context
        self._folder, self._own = place.folder, None
        if place.shard is None and (place.folder / LOG).is_file():  # a temporary folder, made by fit
            self._own = weakref.finalize(self, partial(shutil.rmtree, place.folder, ignore_errors=True))

    @property
    def program_model(self) -> Path:
        """The path that stood for {model} when it was written."""
        return (self._folder / GUEST / "model").absolute()

    def sample(self, seeds: np.ndarray) -> np.ndarray:
        """Run the program that draws, once: uint64 [N] -> uint8 [N,C,H,W].

        Raises:
            ProgramFailed: if the program fails, or what it wrote is not what was asked for.
            Interrupted: if the run was asked to stop.
        """
        if len(seeds) == 0:
            raise ValueError("expected at least one seed")
        context, count = self.context, len(seeds)
        place = _Place.beside(context, "guest_sample")
        numbers = [int(seed) % 2**31 for seed in seeds]
        listed = place.folder / "seeds.txt"
        listed.write_text("".join(f"{number}\n" for number in numbers), encoding="ascii")
        images = place.folder / ("images.npy" if self.recipe.files == "npy" else "images")
        if self.recipe.files == "png":
            images.mkdir()
        whole = hashlib.sha256(np.ascontiguousarray(seeds, "<u8").tobytes()).digest()
        values = {
            "model": self.program_model,
            "images": images,
            "count": count,
            "seed": int.from_bytes(whole[:4], "little") % 2**31,
            "seeds": listed,
        }
        program = self.recipe._program("sample", values, context)
        last = run_program(program, place.log, context.should_stop, context.on_line)
        try:
            drawn = taken_back(images, count, self.shape)
        except ValueError as error:
            raise program.failed(f"ended well, but {error}", place.log, last) from error
        place.clear()
        return drawn

    def reconstruct(self, images: np.ndarray) -> np.ndarray:
        """Return the images; not used, because ``reconstructs`` is False."""
        return images

    def save(self, folder: Path) -> None:
        """Move the program's files into the folder, and write command.json; a second time they are copied."""
        folder.mkdir(parents=True, exist_ok=True)
        target = folder / GUEST
        if self._folder == folder:
            return
        if self._folder.name == "guest_train":  # in the partial shard, where nothing needs them any more
            shutil.move(self._folder / GUEST, target)
            shutil.rmtree(self._folder, ignore_errors=True)
            self._folder = folder
        else:
            shutil.copytree(self._folder / GUEST, target)
        record = {"kind": "command", "shape": list(self.shape)}
        (folder / RECORD).write_text(json.dumps(record) + "\n", encoding="utf-8")
