from __future__ import annotations

import subprocess
import sys
from typing import get_args

from imagelab.data import DATASETS, AnyData
from imagelab.data.base import Data


def test_the_table_names_every_dataset_by_its_kind() -> None:
    for kind, recipe in DATASETS.items():
        assert issubclass(recipe, Data)
        assert recipe.model_fields["kind"].default == kind


def test_the_union_decodes_every_dataset_of_the_table() -> None:
    assert set(get_args(get_args(AnyData)[0])) == set(DATASETS.values())


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
