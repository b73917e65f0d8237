"""``imagelab experiments``: the experiments that come with the package, to run, to read and to change.

    imagelab experiments list                    name, question, hardware and time of each
    imagelab experiments show NAME               print the file
    imagelab experiments copy NAME [-o FILE]     write the file here, to change it

They are the files of the folder ``experiments/`` at the top level of the source. The build puts them into the wheel as
``imagelab/experiments/``; a checkout uses the folder itself. ``imagelab run NAME`` runs those of the group "questions".
"""

from __future__ import annotations

import ast
import json
import re
import shlex
from pathlib import Path
from typing import Annotated, NamedTuple

from cyclopts import App, Parameter

from .console import UsageError, out, pages

__all__ = [
    "GROUPS",
    "ShippedExperiment",
    "experiments_app",
    "experiments_folder",
    "runnable",
    "shipped",
    "shipped_experiments",
]

GROUPS: dict[str, str] = {
    "questions": "experiments of one run each",
    "studies": "programs that compare several runs",
    "benchmarks": "programs that measure speed",
    "instruments": "programs that build and check what the package measures with",
}
"""Group -> what its files are. The files of "questions" are those at the top of the folder."""

GUESTS = "guests"
"""Folder of the programs that experiments start as commands; they know nothing of imagelab and are not listed."""

SUFFIXES = (".py", ".ipynb")

experiments_app = App(
    name="experiments",
    help="The experiments that come with imagelab: list them, print one, or copy one to change it.",
    result_action="return_value",
    console=pages,
)


class ShippedExperiment(NamedTuple):
    """One file of the experiments folder.

    Attributes:
        name: its path in the folder without the suffix, such as photocopy or studies/regimes.
        path: the file.
        title: the first line of its docstring, or of a notebook the first heading.
        hardware: what it needs and how long it takes; "" where the docstring has no such line.
    """

    name: str
    path: Path
    title: str
    hardware: str

    @property
    def listed(self) -> bool:
        """Whether it is an experiment, and not a file that experiments import."""
        return bool(self.hardware) or self.path.suffix == ".ipynb"

    @property
    def group(self) -> str:
        """The group that the file belongs to."""
        folder = self.name.rpartition("/")[0]
        return folder if folder in (*GROUPS, GUESTS) else "questions"


def experiments_folder() -> Path:
    """Return the folder of the experiments: in the installed package, or at the top level of a checkout.

    Raises:
        FileNotFoundError: if neither is there.
    """
    package = Path(__file__).resolve().parents[1]
    if (package / "experiments").is_dir():
        return package / "experiments"
    root = package.parent
    if (root / "pyproject.toml").is_file() and (root / "experiments").is_dir():
        return root / "experiments"
    raise FileNotFoundError(f"{package / 'experiments'} is missing: install the package again")


def shipped_experiments() -> list[ShippedExperiment]:
    """Return every file of the experiments folder, group by group, each group by name."""
    folder = experiments_folder()
    files = [path for suffix in SUFFIXES for path in (*folder.glob(f"*{suffix}"), *folder.glob(f"[!.]*/*{suffix}"))]
    found = []
    for path in sorted(files):
        name, text = path.relative_to(folder).with_suffix("").as_posix(), _text_of(path)
        title = text.partition("\n")[0].removeprefix("# ")
        found.append(ShippedExperiment(name, path, title, _field(text, "Hardware")))
    order = [*GROUPS, GUESTS]
    return sorted(found, key=lambda entry: order.index(entry.group))


def shipped(name: str) -> Path:
    """Return the file of an experiment that comes with the package.

    Args:
        name: such as photocopy, photocopy.py, experiments/photocopy.py, studies/regimes, or regimes.

    Raises:
        ValueError: listing the names that exist, if there is no such experiment.
    """
    return _entry(name).path


def runnable(path: Path) -> Path:
    """Return the experiment file that a word after ``imagelab run`` means, where it is not itself a file.

    ``NAME.py`` in the current folder comes before the experiment NAME of the package.

    Raises:
        ValueError: if there is no such experiment; or if it is no experiment that ``imagelab run`` can open, saying how
            to start it.
    """
    local = Path(f"{path}.py")
    if local.is_file():
        return local
    entry = _entry(str(path))
    if entry.path.suffix == ".ipynb":
        raise ValueError(
            f"{path}: a notebook. Write it here with `imagelab experiments copy {entry.name}`, then open it."
        )
    if entry.group != "questions":
        command = shlex.join(["python", str(entry.path)])
        raise ValueError(f"{path}: a program of the group {entry.group}, not one run. Start it with: {command}")
    return entry.path


@experiments_app.command(name="list")
def list_command() -> int:
    """List the experiments that come with the package: name, question, hardware and time."""
    folder = experiments_folder()
    for group, words in GROUPS.items():
        start = "imagelab run NAME" if group == "questions" else f"python {shlex.quote(str(folder))}/NAME.py"
        out.print(f"{group.capitalize()}: {words}. Start one with: {start}", markup=False)
        for entry in shipped_experiments():
            if entry.group == group and entry.listed:
                notebook = "" if entry.path.suffix == ".py" else " (a notebook: copy it, then open it)"
                out.print(f"\n  {entry.name}{notebook}\n    {entry.title}", markup=False)
                out.print(f"    Hardware: {entry.hardware}\n" if entry.hardware else "", markup=False, end="")
        out.print()
    out.print(
        "imagelab experiments show NAME prints a file; imagelab experiments copy NAME writes it here.", markup=False
    )
    return 0


@experiments_app.command
def show(name: str, /) -> int:
    """Print an experiment's file.

    Parameters
    ----------
    name
        A name of `imagelab experiments list`.
    """
    out.file.write(_known(name).path.read_text(encoding="utf-8"))
    return 0


@experiments_app.command
def copy(name: str, /, *, output: Annotated[Path | None, Parameter(alias="-o")] = None) -> int:
    """Write an experiment's file here, and the files of its folder that it imports. Nothing is overwritten.

    Parameters
    ----------
    name
        A name of `imagelab experiments list`.
    output
        The file to write; the experiment's own file name in the current folder if not given.
    """
    entry = _known(name)
    target = Path(entry.path.name) if output is None else output
    if target.is_dir():
        target = target / entry.path.name
    if target.exists():
        raise ValueError(f"{target} exists and is not overwritten; choose another file with -o FILE")
    copies = {target: entry.path.read_bytes()}
    for needed in _imported(entry.path):
        beside, content = target.with_name(needed.name), needed.read_bytes()
        if not beside.exists():
            copies[beside] = content
        elif beside.read_bytes() != content:
            raise ValueError(f"{beside} exists and is not what {entry.name} imports; copy into another folder with -o")
    target.parent.mkdir(parents=True, exist_ok=True)
    for path, content in copies.items():
        path.write_bytes(content)
        out.print(str(path), markup=False)
    return 0


def _known(name: str) -> ShippedExperiment:
    """Return the experiment that a command names; a wrong name is a fault of the command (exit code 2)."""
    try:
        return _entry(name)
    except ValueError as error:
        raise UsageError(str(error)) from None


def _entry(name: str) -> ShippedExperiment:
    bare = name.replace("\\", "/").removeprefix("experiments/")
    for suffix in SUFFIXES:
        bare = bare.removesuffix(suffix)
    there = shipped_experiments()
    exact = [entry for entry in there if entry.name == bare]
    close = exact or [entry for entry in there if entry.name.rpartition("/")[2] == bare]
    if len(close) == 1:
        return close[0]
    if close:
        raise ValueError(f"{name}: ambiguous; expected one of {', '.join(entry.name for entry in close)}")
    names = ", ".join(entry.name for entry in there if entry.listed)
    raise ValueError(f"{name}: no such experiment file, and no experiment of the package. Known names: {names}")


def _text_of(path: Path) -> str:
    """Return a program's docstring, or the text of a notebook's first cell."""
    source = path.read_text(encoding="utf-8")
    if path.suffix == ".ipynb":
        return "".join(json.loads(source)["cells"][0]["source"])
    return ast.get_docstring(ast.parse(source)) or ""


def _field(text: str, label: str) -> str:
    """Return the words of one label of a docstring's block, up to the next label or the first empty line."""
    match = re.search(rf"^{label}: +(.*(?:\n +.*)*)", text, re.MULTILINE)
    return " ".join(match[1].split()) if match else ""


def _imported(path: Path) -> list[Path]:
    """Return the files of the same folder that a program imports."""
    if path.suffix != ".py":
        return []
    names = []
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.level == 0:
            names.append(node.module or "")
    return [path.with_name(f"{name}.py") for name in dict.fromkeys(names) if path.with_name(f"{name}.py").is_file()]
