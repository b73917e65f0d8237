from __future__ import annotations

import json
from pathlib import Path

import pytest
from pydantic import ValidationError

from imagelab.data import DATASETS, Faces, Folder, Textures
from imagelab.experiment import Experiment, Runtime, explain, read_config
from imagelab.generators import GENERATORS, Gaussian, Vae
from imagelab.regimes import REGIMES, Breed, Mix

PATHS = {
    kind: {name: "pictures" for name, field in recipe.model_fields.items() if field.is_required()}
    for kind, recipe in DATASETS.items()
}


def every_recipe():
    for family, table in (("data", DATASETS), ("regime", REGIMES), ("generator", GENERATORS)):
        for kind, recipe in table.items():
            yield pytest.param(family, kind, recipe, id=f"{family}-{kind}")


@pytest.mark.parametrize(("family", "kind", "recipe"), every_recipe())
def test_every_recipe_goes_through_json_and_back(family: str, kind: str, recipe: type):
    experiment = Experiment(**{family: recipe(**PATHS.get(kind, {}))})
    text = json.dumps(experiment.question())
    again = Experiment(**json.loads(text))
    assert (again.question(), again.signature) == (experiment.question(), experiment.signature)
    assert again.lines == experiment.lines and again.data == experiment.data and again.regime == experiment.regime
    assert json.loads(text)[family]["kind"] == kind
    assert type(getattr(again, family)) is recipe


@pytest.mark.parametrize(("family", "kind", "recipe"), every_recipe())
def test_every_recipe_is_frozen_and_refuses_unknown_settings(family: str, kind: str, recipe: type):
    value = recipe(**PATHS.get(kind, {}))
    with pytest.raises(ValidationError):
        value.kind = "other"
    with pytest.raises(ValidationError, match="colour"):
        recipe(**PATHS.get(kind, {}), colour="red")


@pytest.mark.parametrize(
    "change",
    [
        {"seed": 1},
        {"generations": 11},
        {"images": 99},
        {"data": Textures(size=32)},
        {"regime": Mix(real_fraction=0.5)},
        {"generator": Gaussian()},
        {"arms": (Gaussian(),)},
        {"name": "other"},
        {"warm_start": True},
    ],
)
def test_every_part_of_the_question_is_part_of_the_signature(change: dict):
    assert Experiment(**change).signature != Experiment().signature


def test_a_setting_that_came_later_leaves_older_runs_their_names():
    assert "warm_start" not in Experiment().question()
    assert Experiment(**Experiment(warm_start=True).question()).warm_start


def test_a_regime_that_does_not_suit_the_lines_is_refused_before_anything_runs():
    with pytest.raises(ValidationError, match="expected 1 weights"):
        Experiment(regime=Breed(weights=(1, 2)))
    assert Experiment(regime=Breed(weights=(1, 2)), arms=(Gaussian(),)).regime == Breed(weights=(1, 2))


def test_a_fault_deep_in_a_schedule_is_told_by_the_place_its_user_wrote():
    stages = {"kind": "schedule", "then": {"kind": "schedule", "then": {"kind": "mix", "real_fraction": 4}}}
    with pytest.raises(ValidationError) as caught:
        Experiment.model_validate({"regime": stages})
    assert explain(caught.value).startswith("regime.then.then.real_fraction:")


def test_how_the_work_is_done_is_no_part_of_the_question(tmp_path: Path):
    moved = Experiment(runtime=Runtime(device="cpu", batch=7, threads=1, runs=tmp_path))
    assert moved.signature == Experiment().signature
    assert moved.folder.parent == tmp_path


@pytest.mark.parametrize("name", ["../../etc", "<script>alert(1)</script>", "日本語", "a" * 60, "x y/z"])
def test_a_hostile_name_makes_a_harmless_folder(name: str):
    folder = Experiment(name=name).folder
    assert folder.parent == Path("runs")
    assert len(folder.name) < 60 and folder.name.isascii() and "/" not in folder.name


def test_the_runs_own_config_is_runnable(tmp_path: Path):
    experiment = Experiment(generator=Vae(), arms=(Gaussian(components=3),), regime=Mix())
    path = tmp_path / "config.json"
    path.write_text(json.dumps(experiment.config()))
    assert Experiment(**read_config(path)).signature == experiment.signature


def test_the_panel_in_force_is_part_of_the_question(monkeypatch: pytest.MonkeyPatch):
    question, signature = Experiment().question(), Experiment().signature
    assert question["metrics"] == list(Faces.panel)
    monkeypatch.setattr(Faces, "panel", ("spectrum",))
    assert Experiment().signature != signature
    assert Experiment(**question).signature == signature and list(Experiment(**question).panel) == question["metrics"]


def test_yaml_settings_are_read(tmp_path: Path):
    (tmp_path / "a.yaml").write_text("generations: 3\ndata:\n  kind: textures\n  size: 32\n")
    assert Experiment(**read_config(tmp_path / "a.yaml")).data == Textures(size=32)


@pytest.mark.parametrize("text", ["{", "[1, 2]", '"x"'])
def test_a_corrupt_config_is_named(tmp_path: Path, text: str):
    (tmp_path / "config.json").write_text(text)
    with pytest.raises(ValueError, match=r"config\.json"):
        read_config(tmp_path / "config.json")


def test_a_config_of_another_schema_is_refused(tmp_path: Path):
    (tmp_path / "config.json").write_text(json.dumps({"schema": 99, "experiment": {}}))
    with pytest.raises(ValueError, match="schema 99"):
        read_config(tmp_path / "config.json")


def test_all_faults_are_told_at_once_with_their_places():
    with pytest.raises(ValidationError) as caught:
        Experiment.model_validate({"images": 1, "data": {"kind": "faces", "size": "big"}, "metrics": ["beauty"]})
    told = explain(caught.value)
    assert "images" in told and "data.size" in told and "beauty" in told and "errors.pydantic.dev" not in told


def test_differences_name_the_settings_that_differ():
    first, second = Experiment(data=Faces(size=32)), Experiment(data=Faces(size=64), seed=4)
    assert first.differences(second) == {"data.size": (32, 64), "seed": (0, 4)}


def test_a_dataset_folder_may_be_absent_when_the_config_is_read():
    assert isinstance(Experiment(data=Folder(path=Path("no/such/place"))).data, Folder)
