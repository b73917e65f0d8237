from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from pydantic import TypeAdapter

from imagelab.data import DATASETS, AnyData
from imagelab.data.base import Data


def test_the_table_names_every_dataset_by_its_kind() -> None:
    for kind, recipe in DATASETS.items():
        assert issubclass(recipe, Data)
        assert recipe.model_fields["kind"].default == kind


@pytest.mark.parametrize("kind", DATASETS)
def test_a_mapping_with_a_kind_is_decoded_by_the_dataset_of_that_kind(kind: str, tmp_path: Path) -> None:
    recipe: Any = DATASETS[kind]
    place = {name: str(tmp_path) for name in ("path", "repo") if name in recipe.model_fields}
    needed = {name for name, field in recipe.model_fields.items() if field.is_required()}
    asked = {"kind": kind, **{name: place.get(name, "a/b") for name in needed}}
    assert type(TypeAdapter(AnyData).validate_python(asked)) is recipe


def test_every_panel_names_rows_of_the_table_of_metrics() -> None:
    from imagelab.metrics import METRICS

    for recipe in DATASETS.values():
        assert set(recipe.panel) <= set(METRICS)


def test_importing_the_room_loads_no_heavy_library() -> None:
    code = (
        "import sys, imagelab.data; print(*[m for m in ('torch', 'skimage', 'sklearn', 'scipy') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == ""
