"""From an experiment file and the words of a command line to an experiment.

Settings are read in this order, later ones winning: the recipe's defaults, the experiment file, the command line. The
whole experiment is validated before torch is imported.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

from cyclopts import App, Parameter, UnknownOptionError
from pydantic import BaseModel, ValidationError

from ..curation import CURATIONS
from ..data import DATASETS, MARKS
from ..experiment import Experiment, explain, read_config
from ..families import Family, Recipe, kind_of
from ..generators import GENERATORS
from ..io.addresses import refuse_address
from ..io.own_code import load_file
from ..io.run_records import IMPORTED
from ..io.settings import read_settings
from ..io.untrusted import few, regular
from ..regimes import REGIMES
from ..runs.consent import allow_commands, require_allowed
from ..runs.distributed import is_worker
from ..runs.error_sources import ERRORS, isolate
from ..runs.quick import quick_look
from .console import UsageError, out, pages, settled
from .experiments import runnable

__all__ = [
    "ALIASES",
    "FAMILIES",
    "ISOLATE",
    "NO_ARMS",
    "PLUGINS",
    "load_experiment",
    "offered_data",
    "parse",
    "plugged",
    "taken",
]


FAMILIES: dict[str, Family[Any]] = {
    "data": DATASETS,
    "regime": REGIMES,
    "generator": GENERATORS,
    "curation": CURATIONS,
}
ALIASES = {"--on-bad": "--data.on-bad", "--keep": "--runtime.keep"}
NO_ARMS = "--no-arms"
QUICK = "--quick"
TWINS = "--blank-twins"
ISOLATE = "--isolate"
PLUGINS = "--plugins"


def plugged(words: Sequence[str]) -> list[str]:
    """Load the files that are given with ``--plugins FILE`` (as often as wanted), and return the other words.

    Raises:
        ValueError: naming file and line, if one cannot be loaded.
    """
    rest = list(words)
    while any(word.partition("=")[0] == PLUGINS for word in rest):
        file, rest = taken(rest, PLUGINS, first=True)
        if not file:
            raise UsageError(f"{PLUGINS}: expected a Python file after it")
        load_file(Path(file))
    return rest


def taken(words: Sequence[str], name: str, first: bool = False) -> tuple[str, list[str]]:
    """Return the value given for a flag ("" where there is none) and the words without it.

    Args:
        words: of the command line.
        name: the flag, such as ``--at``.
        first: take only its first occurrence; else the last value counts and all are taken.
    """
    value, rest, left = "", [], iter(words)
    for word in left:
        head, equals, tail = word.partition("=")
        if head == name and not (first and value):
            value = tail if equals else next(left, "")
        else:
            rest.append(word)
    return value, rest


def load_experiment(path: Path, allow: bool = False) -> Experiment:
    """Return the experiment that a file holds; a name that is no file is one of the experiments of the package.

    Args:
        path: the file.
        allow: whether the user lets the commands in it be executed, whoever wrote them.

    Raises:
        ValueError: naming the file, if it is missing or holds no experiment, or if it is the config.json of a run and
            executes what the user has not allowed.
    """
    if path.is_dir() and (path / "config.json").is_file():
        path = path / "config.json"
    if path.exists() and not path.is_dir():
        regular(path)
    elif not path.is_file():
        refuse_address(path)
        path = runnable(path)
    if path.suffix == ".py":
        experiment = getattr(load_file(path), "experiment", None)
        if not isinstance(experiment, Experiment):
            got = type(experiment).__name__
            raise ValueError(f"{path}: expected a variable `experiment = Experiment(...)`, got {got}")
        return experiment
    if path.suffix not in (".json", ".yaml", ".yml"):
        raise ValueError(f"{path}: expected a .py, .json or .yaml file")
    settings = read_config(path)
    if (settings.get("regime") or {}) == {"kind": IMPORTED}:
        raise ValueError(f"{path}: an imported run. Its images were made elsewhere, so there is nothing to run")
    try:
        experiment = Experiment(**settings)
    except ValidationError as error:
        raise ValueError(f"{path}:\n{explain(error)}") from error
    if allow:
        allow_commands(experiment)
    if "experiment" in read_settings(path):  # of a run, whoever made it
        require_allowed(experiment, path)
    return experiment


def parse(experiment: Experiment, words: Sequence[str], source: str) -> Experiment:
    """Return the experiment with the settings of the command line.

    A new ``kind`` starts from the defaults of that kind: ``--data.kind folder`` keeps nothing of ``Faces(...)``.
    Recipes within recipes are chosen in the same way: ``--regime.kind schedule --regime.then.kind mix``. Only the
    settings of the chosen kinds exist on the command line, so help and error messages name only those.
    """
    words = [ALIASES.get(head, head) + eq + tail for head, eq, tail in (word.partition("=") for word in words)]
    words = _with_kinds(words)
    arms = () if NO_ARMS in words else experiment.arms
    quick = QUICK in words
    words = [word for word in words if word not in (NO_ARMS, QUICK)]
    isolating = any(word.partition("=")[0] == ISOLATE for word in words)
    left, words = taken(words, ISOLATE)
    fields: dict[str, Any] = {"arms": (Annotated[Any, Parameter(parse=False)], arms)}
    for family in FAMILIES:
        fields[family] = _offered(words, family, FAMILIES[family], getattr(experiment, family))
    twins = 0 if any(word.partition("=")[0] == TWINS for word in words) else experiment.blank_twins
    if twins:  # other data, or another regime, may have none
        experiment = experiment.model_copy(update={"blank_twins": 0})
    concrete = settled(experiment, **fields)
    found: list[BaseModel] = []

    def take(*, settings: Any = None) -> None:
        found.append(settings or concrete())

    kinds = "; ".join(f"--{family}.kind {' | '.join(table)}" for family, table in FAMILIES.items())
    take.__doc__ = (
        f"Settings of this experiment. Another kind brings its own settings: {kinds}. --no-arms: no controls. "
        f"{QUICK}: a first look, in about a minute for the shipped VAE: fewer images and generations, one training. "
        f"Of your own: --regime.kind package.module:Class, or {PLUGINS} FILE --regime.kind NAME. "
        f"{ISOLATE} {' | '.join(ERRORS)}: keep one of the three errors, switch off the others, and print how."
    )
    take.__annotations__["settings"] = Annotated[concrete | None, Parameter(name="*")]
    inner = App(name=source, result_action="return_value", version_flags=[], help_flags=["--help", "-h"], console=pages)
    inner.default(take)
    inner["--help"].show = False
    try:
        inner(words, exit_on_error=False, print_error=False)
    except UnknownOptionError as error:
        told = next(filter(None, (_of_another_kind(word, words, experiment) for word in words)), "")
        if told:
            raise UsageError(told) from error
        raise
    if not found:  # --help was asked for and printed
        sys.exit(0)
    asked = _with_its_title(Experiment(**{**found[0].model_dump(), "arms": arms}), experiment)
    asked = quick_look(asked) if quick else _with_twins(asked, twins)
    return _alone(asked, left) if isolating else asked


def _of_another_kind(word: str, words: Sequence[str], experiment: Experiment) -> str:
    """Return that a flag is a setting of other kinds of data, regime and so on than the chosen one; "" if not."""
    family, _, setting = word.partition("=")[0].removeprefix("--").partition(".")
    name = setting.replace("-", "_")
    if not word.startswith("--") or family not in FAMILIES or not name:
        return ""
    chosen = taken(words, f"--{family}.kind")[0] or kind_of(getattr(experiment, family))
    kinds = [kind for kind, recipe in FAMILIES[family].items() if name in recipe.model_fields]
    if not kinds or chosen in kinds:
        return ""
    others = few(kinds, 6)
    return f"--{family}.{setting} belongs to --{family}.kind {others}, not to {chosen}; add --{family}.kind {kinds[0]}"


def _with_its_title(asked: Experiment, experiment: Experiment) -> Experiment:
    """Return the experiment without the title of its file where that is of other data, or of another generator."""
    other = any(kind_of(getattr(asked, name)) != kind_of(getattr(experiment, name)) for name in ("data", "generator"))
    return asked.model_copy(update={"title": ""}) if other and asked.title == experiment.title else asked


def _with_twins(asked: Experiment, twins: int) -> Experiment:
    """Return the experiment with the blank twins of its file, or without them where these settings have none."""
    if not twins:
        return asked
    settings = {name: getattr(asked, name) for name in Experiment.model_fields}
    try:
        return Experiment(**{**settings, "blank_twins": min(twins, asked.replicates)})
    except ValidationError as error:
        if not is_worker():
            out.print(f"no blank twin is run: {explain(error).removeprefix('experiment: ')}", markup=False)
        return asked


def _alone(experiment: Experiment, error: str) -> Experiment:
    """Leave one error of three, and say on the terminal what was done with the others."""
    if error not in ERRORS:
        raise UsageError(f"{ISOLATE}: expected one of {', '.join(ERRORS)}, got {error!r}")
    isolated = isolate(experiment, error)
    for name, words in isolated.switches.items() if not is_worker() else ():
        out.print(f"{name} error: {words}", markup=False)
    return isolated.experiment


def _offered(words: Sequence[str], path: str, family: Family[Any], present: BaseModel) -> tuple[type[BaseModel], Any]:
    """The settings class that the command line shows for a recipe, recipes within it included, and its default."""
    recipe = _chosen(words, path, family, present)
    if not isinstance(present, recipe):
        if any(field.is_required() for field in recipe.model_fields.values()):
            return recipe, ...
        present = recipe()
    values = {name: getattr(present, name) for name in recipe.model_fields}
    nested = {name: value for name, value in values.items() if isinstance(value, Recipe)}
    within = {name: _offered(words, f"{path}.{name}", _family_at(f"{path}.{name}"), v) for name, v in nested.items()}
    shown = settled(present, **within)
    return shown, ... if any(default is ... for _, default in within.values()) else shown()


def offered_data(words: Sequence[str], kind: str) -> type[BaseModel]:
    """Return the settings class that the command line shows for a dataset, with the recipes within it that it names.

    Args:
        words: of the command line, settings without a prefix, such as ``--base.kind folder``.
        kind: of the dataset.
    """
    recipe = DATASETS[kind]
    if not any(isinstance(field.default, Recipe) for field in recipe.model_fields.values()):
        return recipe
    named = _with_kinds([f"--data.{word[2:]}" if word.startswith("--") else word for word in words])
    return _offered(named, "data", DATASETS, recipe())[0]


def _family_at(path: str) -> Family[Any]:
    """The family of the recipes at a place such as regime, regime.then or data.mark."""
    return MARKS if path.endswith(".mark") else FAMILIES[path.partition(".")[0]]


def _chosen(words: Sequence[str], path: str, family: Family[Any], present: BaseModel) -> type[BaseModel]:
    """The recipe class that the command line names at a place such as regime or regime.then, or the present one."""
    kind = taken(words, f"--{path}.kind")[0]
    return type(present) if not kind or kind == getattr(present, "kind", "") else family[kind]


def _with_kinds(words: Sequence[str]) -> list[str]:
    """Return the words with every recipe of one's own found, and called by its kind.

    ``--regime.kind my_package.regimes:Alternate`` becomes ``--regime.kind alternate``.
    """
    found, expected = [], ""
    for word in words:
        head, equals, tail = word.partition("=")
        if expected:
            found.append(_kind(expected, word))
            expected = ""
            continue
        names_a_kind = head.startswith("--") and head.endswith(".kind") and head[2:].partition(".")[0] in FAMILIES
        found.append(f"{head}={_kind(head, tail)}" if names_a_kind and equals else word)
        expected = head if names_a_kind and not equals else ""
    return found


def _kind(flag: str, name: str) -> str:
    try:
        return kind_of(_family_at(flag[2:].removesuffix(".kind")).find(name))
    except ValueError as error:
        raise UsageError(f"{flag}: {error}") from error
