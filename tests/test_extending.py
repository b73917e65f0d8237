"""The page on extending the package, followed literally: examples saved as files, commands run as they stand."""

from __future__ import annotations

import importlib.util
import json
import re
import shlex
import sys
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

from imagelab.cli import main
from imagelab.generators import RunContext
from imagelab.metrics import Evidence
from imagelab.metrics.base import ImageSet
from imagelab.pool import REAL, RESERVE, Archive, Pool

ROOT = Path(__file__).resolve().parents[1]
PAGE = (ROOT / ".github" / "EXTENDING.md").read_text(encoding="utf-8")
FAMILIES = ("regime", "generator", "dataset", "metric", "filter")
SMALL = "--images 24 --heldout 16 --tracked 4 --generations 2 --no-arms --generator.kind gaussian --data.size 32"
"""What the test adds to the commands of the page, so that they take seconds."""


def example(family: str) -> str:
    """The code of one section: the fenced block right behind its marker."""
    blocks = re.findall(rf"<!-- plugin: {family} -->\n```python\n(.*?)```", PAGE, re.DOTALL)
    assert len(blocks) == 1, f"{family}: expected one marked example, found {len(blocks)}"
    return blocks[0]


def commands(family: str) -> list[str]:
    """The commands of one section."""
    section = PAGE.partition(f"<!-- plugin: {family} -->")[2].partition("\n## ")[0]
    return re.search(r"```bash\n(.*?)```", section, re.DOTALL)[1].splitlines()  # pyright: ignore[reportOptionalSubscript]


def run(words: str) -> int:
    with pytest.raises(SystemExit) as stopped:
        main(shlex.split(words))
    return int(stopped.value.code or 0)


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
def test_the_page_followed_literally_gives_a_run_a_report_and_a_resumed_run(
    family: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    monkeypatch.chdir(tmp_path)
    command = commands(family)[0]
    (file,) = re.findall(r"--plugins (\w+\.py)", command)
    (tmp_path / file).write_text(example(family))
    small = SMALL.replace(" --generator.kind gaussian", "") if family == "generator" else SMALL
    small += "" if family == "metric" else " --metrics pixel_variance"
    command = command.removeprefix("imagelab ").replace("run photocopy", f"run {ROOT}/experiments/photocopy.py")
    assert run(f"{command} {small}") == 0, capsys.readouterr().err

    (folder,) = (tmp_path / "runs").iterdir()
    (own,) = json.loads((folder / "config.json").read_text())["own_code"]
    assert own["source"].startswith(str(tmp_path / file)) and len(own["digest"]) == 12
    whole = (folder / "metrics.jsonl").read_text()
    (folder / "gen-002").rename(tmp_path / "gone")
    (folder / "metrics.jsonl").unlink()
    assert run(f"resume {folder}") == 0, capsys.readouterr().err
    assert (folder / "metrics.jsonl").read_text() == whole
    assert run(f"report {folder}") == run(f"cite {folder}") == run(f"watch {folder}") == 0 or family == "metric"


def test_a_metric_of_ones_own_measures_two_folders_and_is_compared(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], picture_folder: Path
):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "saturation.py").write_text(example("metric"))
    asked = commands("metric")[1].removeprefix("imagelab ").replace("REAL FAKE", f"{picture_folder} {picture_folder}")
    assert run(f"{asked} --size 32") == 0
    assert "saturation" in capsys.readouterr().out
    for seed in (0, 1):
        base = f"run {ROOT}/experiments/photocopy.py --plugins saturation.py --metrics saturation --seed {seed}"
        assert run(f"{base} {SMALL}") == 0
    assert run("compare " + " ".join(map(str, (tmp_path / "runs").iterdir())) + " -o page.html") == 0
    assert "How strong the colours of the images are." in (tmp_path / "page.html").read_text()


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
    row = loaded("metric", tmp_path).SATURATION
    grey = ImageSet(np.repeat(rng.integers(0, 256, (8, 1, 16, 16), np.uint8), 3, axis=1))
    coloured = ImageSet(rng.integers(0, 256, (8, 3, 16, 16), np.uint8))
    (none,), (some,) = (row.measure(Evidence(grey, fake)) for fake in (grey, coloured))
    assert none.value == 0.0 and some.value is not None and some.value > 0.3 and some.stderr is not None
