from __future__ import annotations

import json
from pathlib import Path

import pytest
from pydantic import ValidationError

from imagelab.curation import TopFraction
from imagelab.data import DATASETS, Faces, Folder, Textures
from imagelab.experiment import Experiment, Runtime, explain, read_config, signature_of
from imagelab.generators import GENERATORS, Gaussian, Vae
from imagelab.regimes import REGIMES, Breed, Fresh, Mix, Replace, continued

PATHS = {
    kind: {name: "pictures" for name, field in recipe.model_fields.items() if field.is_required()}
    for kind, recipe in DATASETS.items()
} | {
    "command": {"train": "fit {images} {model}", "sample": "draw {model} {images} {count}"},
    "pipeline": {"model": "org/name"},
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
    assert again.question() == experiment.question()
    assert signature_of(again.question()) == signature_of(experiment.question())
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


# -- names of run folders outlive versions

KNOWN = {
    "data": {
        "faces": "b66b07e9",
        "textures": "250094d3",
        "folder": "12b96e54",
        "random_field": "59173e20",
        "phase_random": "543634e5",
        "mud": "7e45c5d1",
        "weave": "563a74e8",
        "image_folder": "08e6419a",
        "celeba": "e68cff85",
        "lfw": "b1a26376",
        "ffhq": "29aa1aec",
        "dtd": "ca6b5473",
        "flowers102": "7f51c7f6",
        "aircraft": "2ef6833b",
        "mnist": "09c3fbaa",
        "fashion_mnist": "8d465ff2",
        "cifar10": "cd0c2020",
        "hugging_face": "00f215e6",
        "hub": "e531ed26",
        "webdataset": "3f33dd56",
        "arrays": "457a956d",
    },
    "regime": {
        "replace": "b66b07e9",
        "accumulate": "c8241e66",
        "window": "d8e683cf",
        "mix": "8fde1fd9",
        "contaminate": "d90c6d3f",
        "fresh": "305a0431",
        "golden": "73c5d1d5",
        "breed": "ef148606",
        "schedule": "690b33bf",
    },
    "generator": {
        "gaussian": "6eee9b60",
        "vae": "b66b07e9",
        "ddpm": "5a8d6e85",
        "cascade": "6eeed1af",
        "neon": "719ee1c7",
        "self_guided": "a7dc8c89",
    },
}
"""Signatures of experiments whose settings are all left at their defaults, as of version 0.1.0, one metric taken."""


def signature_with(family: str, kind: str) -> str:
    """Signature of the default experiment with one recipe changed; a data folder's place does not count here."""
    table: dict = {"data": DATASETS, "regime": REGIMES, "generator": GENERATORS}[family]
    question = Experiment(**{family: table[kind](**(PATHS.get(kind, {}) if family == "data" else {}))}).question()
    question["metrics"] = ["pixel_variance"]
    for place in ("path", "name"):
        if family == "data" and place in question["data"]:
            question["data"][place] = "pictures"
    return signature_of(question)


@pytest.mark.parametrize("family", KNOWN)
def test_a_default_that_changes_would_give_every_older_run_another_name(family: str):
    found = {kind: signature_with(family, kind) for kind in KNOWN[family]}
    assert found == KNOWN[family], "a default changed: the runs of older versions would not be found again"


CHANGES: dict[str, object] = {
    "name": "other",
    "title": "Another title",
    "data": Textures(),
    "regime": Mix(),
    "generator": Gaussian(),
    "arms": (Gaussian(),),
    "generations": 11,
    "images": 2047,
    "heldout": 1023,
    "tracked": 15,
    "metrics": ("tone",),
    "warm_start": True,
    "fresh_draws": 2,
    "curation": TopFraction(),
    "replicates": 2,
    "blank_twins": 1,
    "compared": 200,
    "seed": 1,
}
"""Another value of every setting that is part of the question."""


@pytest.mark.parametrize("name", CHANGES)
def test_every_setting_but_the_runtime_is_part_of_the_question(name: str):
    changed = Experiment.model_validate({name: CHANGES[name]})
    assert changed.signature != Experiment().signature
    assert next(iter(changed.differences(Experiment()))).partition(".")[0] == name
    assert Experiment(**changed.question()).signature == changed.signature


def test_no_setting_of_an_experiment_is_left_out_of_the_list_above():
    assert set(CHANGES) == set(Experiment.model_fields) - {"runtime"}


def test_a_branch_of_a_run_at_its_own_turn_is_the_run_that_was_asked_for():
    two = continued(Replace(), 5, Mix())
    straight = Experiment(regime=continued(Replace(), 5, Fresh()))
    assert Experiment(regime=continued(two, 5, Fresh())).signature == straight.signature
    assert Experiment(regime=continued(Replace(), 4, Fresh())).signature != straight.signature


@pytest.mark.parametrize("value", [None, 5, [1], "x"])
def test_an_experiment_that_is_no_mapping_is_refused(value: object, tmp_path: Path):
    (tmp_path / "config.json").write_text(json.dumps({"schema": 1, "experiment": value}))
    with pytest.raises(ValueError, match=r"config\.json: expected settings in `experiment`, got "):
        read_config(tmp_path / "config.json")


def test_a_fault_is_told_in_few_letters_however_long_the_value_is():
    faults = {"name": "x" * 10**6, "images": "y" * 10**6, "data": {"kind": "z" * 10**6}, "k" * 10**6: 1}
    faults |= {f"unknown-{number}": 1 for number in range(1000)}
    with pytest.raises(ValidationError) as caught:
        Experiment.model_validate(faults)
    lines = explain(caught.value).splitlines()
    assert len(lines) == 21
    assert lines[-1] == "and 984 more"
    assert max(map(len, lines)) < 1000
