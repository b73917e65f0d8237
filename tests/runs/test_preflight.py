"""What cannot work is known in seconds, before data are drawn and nets are trained."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from imagelab.cli.run import execute
from imagelab.data import Faces, Textures
from imagelab.experiment import Experiment, Runtime
from imagelab.families import kind_of
from imagelab.generators import Cascade, Ddpm, Gaussian, RunContext, Vae
from imagelab.runs import preflight as module
from imagelab.runs.preflight import preflight, rehearsal


def asked(tmp_path: Path, **changes) -> Experiment:
    settings = {
        "data": Textures(size=16),
        "generator": Gaussian(),
        "metrics": ("pixel_variance",),
        "runtime": Runtime(device="cpu", runs=tmp_path / "runs"),
    }
    return Experiment(**{**settings, **changes})


def refuse(*_: object) -> None:
    raise AssertionError("this must not be called")


def test_a_size_that_a_net_cannot_take_fails_before_any_data_are_drawn(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(Textures, "load", refuse)
    experiment = asked(tmp_path, data=Textures(size=20), generator=Vae(images_seen=10**9))
    with pytest.raises(ValueError, match=r"before the run: VAE.* multiple of 8 .* got 20 x 20"):
        execute(experiment)
    assert not (experiment.folder / "gen-000").exists()


def test_the_arms_are_tried_too(tmp_path: Path):
    with pytest.raises(ValueError, match=r"before the run: DDPM.* multiple of"):
        preflight(asked(tmp_path, arms=(Ddpm(patch=3),)), RunContext())


def test_a_missing_package_is_named_with_the_metric_that_needs_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    def measure(*_: object) -> None:
        raise ModuleNotFoundError("No module named 'lpips'")

    monkeypatch.setattr(module, "measure_panel", measure)
    with pytest.raises(ValueError, match=r"metrics: No module named 'lpips'. Install"):
        preflight(asked(tmp_path), RunContext())


def test_a_model_that_draws_another_form_is_caught(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    from imagelab.generators.gaussian import GaussianModel

    monkeypatch.setattr(GaussianModel, "sample", lambda self, seeds: np.zeros((2, 3, 8, 8), np.uint8))
    with pytest.raises(ValueError, match=r"expected to draw uint8 \(2, 3, 16, 16\)"):
        preflight(asked(tmp_path), RunContext())


def test_a_finished_run_is_not_tried_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    experiment = asked(tmp_path, images=8, heldout=4, generations=1)
    assert execute(experiment) == 0
    monkeypatch.setattr("imagelab.runs.run.preflight", refuse)
    assert execute(experiment) == 0


def test_a_rehearsal_changes_only_what_takes_time():
    for recipe in (Vae(), Ddpm(), Cascade(), Gaussian(components=9)):
        short = rehearsal(recipe)
        apart = {name for name in type(recipe).model_fields if getattr(short, name) != getattr(recipe, name)}
        assert apart <= set(recipe.duration_settings) and kind_of(short) == kind_of(recipe)
    assert rehearsal(Cascade(images_seen=0)).images_seen == 0


@pytest.mark.slow
def test_every_generator_and_the_whole_panel_of_faces_can_be_tried(tmp_path: Path):
    arms = (Gaussian(components=4), Cascade(), Ddpm(channels=(8, 16), blocks=1))
    told: list[object] = []
    context = RunContext(on_record=told.append, should_stop=lambda: True, checkpoint=tmp_path / "state")
    preflight(asked(tmp_path, data=Faces(size=32), generator=Vae(), arms=arms, metrics=None), context)
    assert told == [] and not (tmp_path / "state").exists()
