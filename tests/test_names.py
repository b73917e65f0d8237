"""One name, one thing: no public function or class has the name of another one elsewhere in the package."""

from __future__ import annotations

import ast
from collections import defaultdict
from pathlib import Path

PACKAGE = Path(__file__).resolve().parents[1] / "imagelab"

ALLOWED = {
    "digest": "io/catalogue.py: of a file; metrics/random_features.py and metrics/ssl_encoder.py: two feature spaces",
    "layers": "metrics/random_features.py and metrics/ssl_encoder.py: two feature spaces with the same interface",
    "statistics": "metrics/random_features.py and metrics/ssl_encoder.py: two feature spaces with the same interface",
    "weights": "metrics/random_features.py and metrics/ssl_encoder.py: two feature spaces with the same interface",
    "list_command": "cli/experiments.py and cli/weights.py: the command `list` of two groups of commands",
    "render": "faces/render.py draws faces; cli/data.py is the command `imagelab data render`",
    "animate": "report/animate.py; cli/pictures.py is the command `imagelab animate`",
    "run": "runs/run.py; notebook.py shows the same in a notebook",
}
"""Names that two files may have, and why."""


def public_names() -> dict[str, list[str]]:
    """Name -> the files that define a public function or class of that name at the top level."""
    places: dict[str, list[str]] = defaultdict(list)
    for path in sorted(PACKAGE.rglob("*.py")):
        for node in ast.parse(path.read_text(encoding="utf-8")).body:
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef) and not node.name.startswith(
                "_"
            ):
                places[node.name].append(path.relative_to(PACKAGE).as_posix())
    return places


def test_no_public_name_means_two_things():
    twice = {name: files for name, files in public_names().items() if len(files) > 1 and name not in ALLOWED}
    assert not twice, f"give one of each another name: {twice}"


def test_the_list_of_exceptions_holds_nothing_that_is_not_needed():
    places = public_names()
    assert {name for name in ALLOWED if len(places.get(name, ())) < 2} == set()
    for name, reason in ALLOWED.items():
        files = [file for file in places[name] if file not in reason]
        assert not files, f"{name}: the reason does not name {', '.join(files)}"
