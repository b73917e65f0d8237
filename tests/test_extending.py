"""The page on extending the package: each example is complete and does what its section says."""

from __future__ import annotations

import importlib.util
import re
import sys
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

from imagelab.generators import RunContext
from imagelab.metrics import Evidence
from imagelab.metrics.base import ImageSet
from imagelab.pool import REAL, RESERVE, Archive, Pool

ROOT = Path(__file__).resolve().parents[1]
PAGE = (ROOT / ".github" / "EXTENDING.md").read_text(encoding="utf-8")
FAMILIES = ("regime", "generator", "dataset", "metric", "filter")


def example(family: str) -> str:
    """The code of one section: the fenced block right behind its marker."""
    found = re.findall(rf"<!-- plugin: {family} -->\n```python\n(.*?)```", PAGE, re.DOTALL)
    assert len(found) == 1, f"{family}: expected one marked example, found {len(found)}"
    return found[0]


def loaded(family: str, folder: Path) -> ModuleType:
    """The example as a reader would save it, imported from its file."""
    path = folder / f"example_{family}.py"
    path.write_text(example(family))
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[path.stem] = module
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("family", FAMILIES)
def test_each_family_has_one_example_that_compiles_and_a_command(family: str):
    compile(example(family), family, "exec")
    behind = PAGE.partition(f"<!-- plugin: {family} -->")[2].partition("\n## ")[0]
    assert re.search(r"```bash\nimagelab \w+ .*--plugins \w+\.py", behind)


def test_the_regime_takes_real_images_in_even_generations(tmp_path: Path, rng: np.random.Generator):
    regime = loaded("regime", tmp_path).Alternate()
    archive = Archive(real=Pool.of(0, REAL, range(6)), reserve=Pool.of(0, RESERVE, []))
    for generation in (1, 2):
        archive = archive.add(generation, {0: Pool.of(generation, 0, range(6))})
        pool = regime(archive, 0, 6, rng)  # for the generation after the archive's last
        assert pool.shards() == ([(0, REAL)] if generation == 1 else [(2, 0)])


def test_the_generator_draws_the_same_image_for_the_same_seed_after_a_save(tmp_path: Path, rng: np.random.Generator):
    recipe, context = loaded("generator", tmp_path).Parzen(width=0.0), RunContext()
    images = rng.integers(0, 256, (5, 3, 16, 16), np.uint8)
    model = recipe.fit(images, 0, context)
    model.save(tmp_path / "model")
    seeds = np.arange(7, dtype=np.uint64)
    drawn = model.sample(seeds)
    assert drawn.dtype == np.uint8 and np.array_equal(drawn, images[seeds % 5])
    assert np.array_equal(recipe.load(tmp_path / "model", context).sample(seeds[3:4]), drawn[3:4])


def test_the_dataset_has_its_power_at_the_stated_frequency(tmp_path: Path):
    images = loaded("dataset", tmp_path).Stripes(cycles=4).load("train", 3, seed=0).images
    power = np.abs(np.fft.rfft(images[:, 0, 0] - 127.5)) ** 2
    assert images.shape == (3, 3, 32, 32) and (power.argmax(axis=1) == 4).all()


def test_the_metric_is_zero_for_grey_images_and_has_an_error(tmp_path: Path, rng: np.random.Generator):
    row = loaded("metric", tmp_path).METRICS["saturation"]
    grey = ImageSet(np.repeat(rng.integers(0, 256, (8, 1, 16, 16), np.uint8), 3, axis=1))
    coloured = ImageSet(rng.integers(0, 256, (8, 3, 16, 16), np.uint8))
    (none,), (some,) = (row.measure(Evidence(grey, fake)) for fake in (grey, coloured))
    assert none.value == 0.0 and some.value is not None and some.value > 0.3 and some.stderr is not None
    assert (some.unit, some.better) == (row.unit, row.better)
