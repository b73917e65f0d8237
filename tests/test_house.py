"""The rules of the house, checked on the source itself."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = ROOT / "imagelab"

TOP_LEVEL = {"pyproject.toml", "README.md", "LICENSE", "imagelab", "experiments", "tests", "assets"}

FLOORS = [
    {"atomic", "images", "seeds", "theory", "measurement"},
    {"pool"},
    {"regimes", "curate", "data", "generators", "metrics"},
    {
        "authors",
        "cache",
        "config",
        "store",
        "lab",
        "distributed",
        "isolate",
        "preflight",
        "stream",
        "bench",
        "branch",
        "citations",
        "export",
        "export_run",
        "settings",
        "image_archives",
        "image_arrays",
        "cautions",
        "image_sets",
        "image_shelf",
        "measuring",
        "verdicts",
        "stages",
        "threads",
    },
    {"report", "audit"},
    {
        "sweep",
        "cli",
        "cli_data",
        "cli_measure",
        "cli_export",
        "cli_pictures",
        "cli_watch",
        "cli_weights",
        "fetch",
        "notebook",
        "progress",
        "doctor",
        "__main__",
    },
]
LEVEL = {name: floor for floor, names in enumerate(FLOORS) for name in names}
ROOMS = FLOORS[2]

ONLY = {
    "ray": {"sweep.py"},
    "submitit": {"sweep.py"},
    "accelerate": {"generators/training.py"},
    "lpips": {"metrics/perceptual.py"},
    "pptx": {"report/slides.py"},
    "diffusers": {"generators/"},
    "matplotlib": {"report/"},
    "plotly": {"report/"},
}
NO_TORCH = ("report", "audit")
BANNED_NAMES = {"utils.py", "helpers.py", "common.py", "misc.py"}


def sources() -> list[Path]:
    return sorted(path for path in PACKAGE.rglob("*.py") if "__pycache__" not in path.parts)


def inside(path: Path) -> str:
    return path.relative_to(PACKAGE).as_posix()


def imports(path: Path) -> Iterator[tuple[int, str, bool]]:
    """(line number, top module, is ours) of every import statement, wherever it stands."""
    parts = path.relative_to(PACKAGE).with_suffix("").parts
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            for alias in node.names:
                top, *rest = alias.name.split(".")
                yield (node.lineno, rest[0], True) if top == "imagelab" and rest else (node.lineno, top, False)
        elif isinstance(node, ast.ImportFrom) and node.level == 0:
            top, *rest = (node.module or "").split(".")
            if top == "imagelab":
                for name in [rest[0]] if rest else [alias.name for alias in node.names]:
                    yield node.lineno, name, True
            else:
                yield node.lineno, top, False
        elif isinstance(node, ast.ImportFrom):
            if len(parts) > node.level:  # from . inside a room: a sibling
                continue
            for name in [node.module.split(".")[0]] if node.module else [alias.name for alias in node.names]:
                yield node.lineno, name, True


def test_the_top_level_is_exactly_the_agreed_list():
    listed = subprocess.run(["git", "-C", str(ROOT), "ls-files"], capture_output=True, text=True, check=True).stdout
    found = {line.split("/")[0] for line in listed.splitlines()}
    assert {name for name in found if not name.startswith(".")} == TOP_LEVEL


@pytest.mark.parametrize("path", sources(), ids=inside)
def test_imports_go_down_and_never_sideways_between_rooms(path: Path):
    here = path.relative_to(PACKAGE).with_suffix("").parts[0]
    if here == "__init__":
        return
    for line, name, ours in imports(path):
        if not ours or name == here or name not in LEVEL:
            continue
        assert LEVEL[name] <= LEVEL[here], f"{inside(path)}:{line} imports up: {name}"
        assert not (name in ROOMS and here in ROOMS), f"{inside(path)}:{line} imports another room: {name}"


@pytest.mark.parametrize("path", sources(), ids=inside)
def test_big_libraries_live_only_where_the_house_says(path: Path):
    where = inside(path)
    for line, name, ours in imports(path):
        if not ours and name in ONLY:
            assert any(where.startswith(home) for home in ONLY[name]), f"{where}:{line} imports {name}"
        if not ours and name in ("torch", "torchvision"):
            assert not where.startswith(NO_TORCH), f"{where}:{line}: reports and audits need no torch"


@pytest.mark.parametrize("path", sources(), ids=inside)
def test_files_and_functions_are_of_readable_size(path: Path):
    text = path.read_text()
    assert text.count("\n") <= 400, f"{inside(path)}: more than 400 lines"
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            length = (node.end_lineno or node.lineno) - node.lineno + 1
            assert length <= 70, f"{inside(path)}:{node.lineno} {node.name} has {length} lines"


def test_nineteen_of_twenty_functions_fit_on_a_screen():
    lengths = sorted(
        (node.end_lineno or node.lineno) - node.lineno + 1
        for path in sources()
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
    )
    assert lengths[int(0.95 * len(lengths))] <= 50


def test_lab_reads_in_one_go():
    assert (PACKAGE / "lab.py").read_text().count("\n") <= 150


def test_rooms_have_no_second_level_and_no_drawer_for_everything():
    for path in sources():
        assert len(path.relative_to(PACKAGE).parts) <= 2, f"{inside(path)}: no room has a second level"
        assert path.name not in BANNED_NAMES, f"{inside(path)}: name the idea, not the drawer"


def test_imports_have_no_cycle():
    graph: dict[str, set[str]] = {}
    for path in sources():
        here = path.relative_to(PACKAGE).with_suffix("").parts[0]
        graph.setdefault(here, set()).update(name for _, name, ours in imports(path) if ours and name in LEVEL)
    done: set[str] = set()

    def visit(name: str, trail: tuple[str, ...]) -> None:
        assert name not in trail, f"import cycle: {' -> '.join([*trail, name])}"
        if name not in done:
            for other in graph.get(name, set()) - {name}:
                visit(other, (*trail, name))
            done.add(name)

    for name in graph:
        visit(name, ())


def test_no_machine_path_or_registry_host_is_written_down():
    pattern = re.compile(r"py[p]i\.[a-z]+/|pythonh[o]sted\.|npm[j]s\.|deb\.debi[a]n\.|/wor[k]/|/far[m]/|/tm[p]/bash_")
    listed = subprocess.run(["git", "-C", str(ROOT), "ls-files"], capture_output=True, text=True, check=True).stdout
    for name in listed.splitlines():
        path = ROOT / name
        if path.suffix in {".py", ".md", ".toml", ".txt", ".html", ".js", ".css", ""} and path.is_file():
            assert not pattern.search(path.read_text(encoding="utf-8", errors="ignore")), name


def _python(code: str) -> str:
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_importing_imagelab_takes_nothing_heavy():
    heavy = "{'torch', 'diffusers', 'lpips', 'sklearn', 'skimage', 'matplotlib', 'scipy', 'pydantic'}"
    assert _python(f"import sys, imagelab; print({heavy} & set(sys.modules))").strip() == "set()"


def test_a_whole_experiment_is_validated_without_torch():
    code = """
import sys
from imagelab import Experiment, Faces, Mix, Ddpm, Gaussian
experiment = Experiment(data=Faces(size=64), regime=Mix(), generator=Ddpm(), arms=(Gaussian(),))
print(experiment.signature, "torch" in sys.modules, "diffusers" in sys.modules)
"""
    assert _python(code).split()[1:] == ["False", "False"]


def test_ruff_finds_nothing():
    for command in (["check"], ["format", "--check"]):
        done = subprocess.run([sys.executable, "-m", "ruff", *command], capture_output=True, text=True, cwd=ROOT)
        assert done.returncode == 0, done.stdout + done.stderr


def test_pyright_finds_nothing():
    command = [sys.executable, "-m", "pyright", "--pythonpath", sys.executable]
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT)
    assert done.returncode == 0, done.stdout + done.stderr
