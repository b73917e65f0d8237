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

LAYERS = [
    ["_version", "images", "seeds", "measurement"],
    ["pool", "theory"],
    ["io", "faces", "families"],
    ["data", "regimes", "generators", "metrics"],
    ["curation"],
    ["experiment", "run_folder"],
    ["detection"],
    ["lab", "provenance", "runs"],
    ["evaluation", "export", "sweeps"],
    ["report", "server"],
    ["cli", "notebook", "__main__"],
]
"""The order of the folders and of the files at the root: an import goes down, or stays on its layer."""

LEVEL = {name: layer for layer, names in enumerate(LAYERS) for name in names}
APART = {"data", "regimes", "generators", "metrics", "evaluation", "export"}
"""Folders of one layer that do not know each other."""

ONLY = {
    "ray": {"sweeps/"},
    "duckdb": {"sweeps/"},
    "fsspec": {"export/storage.py"},
    "tensorboard": {"export/mirror_tensorboard.py"},
    "wandb": {"export/mirror_wandb.py"},
    "mlflow": {"export/mirror_mlflow.py"},
    "trackio": {"export/mirror_trackio.py"},
    "accelerate": {"generators/training.py"},
    "lpips": {"metrics/perceptual.py"},
    "pptx": {"report/slide"},
    "c2pa": {"provenance/"},
    "onnxruntime": {"metrics/own_network.py"},
    "transformers": {"generators/pipeline_text.py"},
    "peft": {"generators/pipeline_tuning.py"},
    "pydicom": {"io/dicom.py"},
    "cryptography": {"provenance/"},
    "starlette": {"server/"},
    "uvicorn": {"server/"},
    "diffusers": {"generators/"},
    "matplotlib": {"report/"},
    "plotly": {"report/"},
}
NO_TORCH = ("report", "server")
BANNED_NAMES = {"utils.py", "helpers.py", "common.py", "misc.py"}


def sources() -> list[Path]:
    return sorted(path for path in PACKAGE.rglob("*.py") if "__pycache__" not in path.parts)


def inside(path: Path) -> str:
    return path.relative_to(PACKAGE).as_posix()


def module_of(path: Path) -> tuple[str, ...]:
    parts = path.relative_to(PACKAGE).with_suffix("").parts
    return parts[:-1] if parts[-1] == "__init__" else parts


def is_ours(module: tuple[str, ...]) -> bool:
    place = PACKAGE.joinpath(*module)
    return place.with_suffix(".py").is_file() or (place / "__init__.py").is_file()


def imports(path: Path, at_import: bool = False) -> Iterator[tuple[int, tuple[str, ...], bool]]:
    """(line number, module, is ours) of every import statement; ``at_import``: only those that run at once."""
    package = path.relative_to(PACKAGE).parts[:-1]
    tree = ast.parse(path.read_text())
    later = {
        inner
        for node in ast.walk(tree)
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        or (isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test))
        for inner in ast.walk(node)
    }
    for node in ast.walk(tree):
        if at_import and node in later:
            continue
        if isinstance(node, ast.Import):
            for alias in node.names:
                top, *rest = alias.name.split(".")
                yield (node.lineno, tuple(rest), True) if top == "imagelab" else (node.lineno, (top,), False)
        elif isinstance(node, ast.ImportFrom):
            named = tuple((node.module or "").split(".")) if node.module else ()
            if node.level == 0 and named[:1] != ("imagelab",):
                yield node.lineno, named[:1], False
                continue
            home = named[1:] if node.level == 0 else (*package[: len(package) - node.level + 1], *named)
            for alias in node.names:
                inner = (*home, alias.name)
                yield node.lineno, inner if is_ours(inner) else home, True


def test_the_top_level_is_exactly_the_agreed_list():
    listed = subprocess.run(["git", "-C", str(ROOT), "ls-files"], capture_output=True, text=True, check=True).stdout
    found = {line.split("/")[0] for line in listed.splitlines()}
    assert {name for name in found if not name.startswith(".")} == TOP_LEVEL


def test_every_folder_and_every_file_at_the_root_has_its_floor():
    there = {module_of(path)[0] for path in sources() if module_of(path)}
    unknown = sorted(there - LEVEL.keys())
    assert not unknown, f"imagelab/{unknown[0]}: no layer is known for it. Give it one in LAYERS, tests/test_house.py."


@pytest.mark.parametrize("path", sources(), ids=inside)
def test_imports_go_down_and_never_sideways_between_folders(path: Path):
    if not module_of(path):  # the door of the package
        return
    here = module_of(path)[0]
    for line, module, ours in imports(path):
        name = module[0] if module else ""
        if not ours or name in ("", here) or name not in LEVEL:
            continue
        assert LEVEL[name] <= LEVEL[here], f"{inside(path)}:{line} imports up: {name}"
        assert not (name in APART and here in APART and LEVEL[name] == LEVEL[here]), (
            f"{inside(path)}:{line} imports another folder of its layer: {name}"
        )


@pytest.mark.parametrize("path", sources(), ids=inside)
def test_big_libraries_live_only_where_the_house_says(path: Path):
    where = inside(path)
    for line, module, ours in imports(path):
        name = module[0] if module else ""
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


def test_folders_have_no_second_level_and_no_drawer_for_everything():
    for path in sources():
        assert len(path.relative_to(PACKAGE).parts) <= 2, f"{inside(path)}: no folder has a second level"
        assert path.name not in BANNED_NAMES, f"{inside(path)}: name the idea, not the drawer"


def test_imports_have_no_cycle_between_files():
    """File by file: what a file imports when it is imported, the __init__ of the folders on the way included."""
    graph: dict[tuple[str, ...], set[tuple[str, ...]]] = {}
    for path in sources():
        here = module_of(path)
        if here:
            graph[here] = {module for _, module, ours in imports(path, at_import=True) if ours and module} - {here}
    done: set[tuple[str, ...]] = set()

    def visit(module: tuple[str, ...], trail: tuple[tuple[str, ...], ...]) -> None:
        assert module not in trail, f"import cycle: {' -> '.join('.'.join(m) for m in [*trail, module])}"
        if module not in done:
            for other in sorted(graph.get(module, set())):
                visit(other, (*trail, module))
            done.add(module)

    for module in graph:
        visit(module, ())


def test_the_readme_shows_every_folder_and_every_file_at_the_root():
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    tree = readme.partition("```\nimagelab/\n")[2].partition("```")[0]
    shown = set(re.findall(r"\b([a-z_]+)(?:\.py|/)", tree)) - {"experiments", "studies", "benchmarks", "instruments"}
    there = {module_of(path)[0] for path in sources() if module_of(path)}
    assert shown == {name for name in there if not name.startswith("_")}


def test_the_root_is_small():
    files = [path.name for path in PACKAGE.glob("*.py") if not path.name.startswith("_")]
    folders = [path.name for path in PACKAGE.iterdir() if (path / "__init__.py").is_file()]
    assert len(files) + len(folders) <= 26, "at most 26 folders and files at the level of the package"


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
