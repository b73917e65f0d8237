from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from imagelab import Accumulate, Ddpm, Experiment, Faces, Gaussian, Mix, Replace
from imagelab.curation import TopFraction
from imagelab.generators.sampler_law import predicted_by_sampler
from imagelab.measurement import Measurement
from imagelab.runs.predictions import sampler_predictions

REAL = np.random.default_rng(0).integers(0, 256, (12, 3, 16, 16), np.uint8)
NET = Ddpm(steps=5)


@pytest.fixture
def real(tmp_path: Path) -> Path:
    """The shard of generation 0."""
    np.save(tmp_path / "images.npy", REAL)
    return tmp_path


def experiment(regime: Any, **settings: Any) -> Experiment:
    return Experiment(data=Faces(size=32), regime=regime, generator=NET, images=12, **settings)


def predicted(question: Experiment, real: Path, generation: int, line: int) -> list[Measurement]:
    return sampler_predictions(question, real, generation, question.line(line))


def test_where_each_model_sees_the_last_images_alone_the_law_is_applied_once_a_generation(real: Path) -> None:
    for generation in (1, 2, 3):
        rows = predicted(experiment(Replace()), real, generation, 0)
        assert rows == [m.at(generation, 0) for m in predicted_by_sampler(NET, REAL, generation)] and rows


@pytest.mark.parametrize("regime", [Mix(real_fraction=0.5), Accumulate()], ids=str)
def test_other_regimes_are_predicted_for_the_first_generation_only(regime: Any, real: Path) -> None:
    assert predicted(experiment(regime), real, 1, 0)
    assert predicted(experiment(regime), real, 2, 0) == []


def test_every_line_has_the_law_of_its_own_recipe(real: Path) -> None:
    question = experiment(Replace(), arms=(Gaussian(), Ddpm(steps=5, sampler="ddim")))
    assert predicted(question, real, 2, 1) == []
    rows = predicted(question, real, 2, 2)
    assert rows[0].line == 2 and rows[0].estimator.startswith("DDIM, 5 steps, 2 times")


def test_a_curated_loop_has_no_law(real: Path) -> None:
    assert predicted(experiment(Replace(), curation=TopFraction()), real, 1, 0) == []
