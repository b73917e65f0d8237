"""Open families: members of one's own are found, signed, run, resumed and read like those of the package."""

from __future__ import annotations

import importlib
import json
import math
import re
import shlex
import shutil
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from pydantic import ValidationError

from imagelab import Experiment, Mix, Replace, Runtime, Schedule
from imagelab.cli import main
from imagelab.cli.overrides import load_experiment, parse
from imagelab.curation import CURATIONS
from imagelab.data import DATASETS
from imagelab.experiment import explain, read_config
from imagelab.families import FAMILIES, Recipe, kind_of
from imagelab.generators import GENERATORS
from imagelab.io.own_code import load_file, load_source, own_code, own_code_in
from imagelab.metrics import METRICS
from imagelab.regimes import REGIMES
from imagelab.run_folder import RunFolder
from imagelab.runs.prepare import reopen

ROOT = Path(__file__).resolve().parents[1]

REGIME = '''
from typing import Literal
from imagelab import Part, Regime
from imagelab.regimes import last_shard

class Alternate(Regime):
    """Real images in every second generation."""

    kind: Literal["alternate"] = "alternate"
    every: int = 2

    def composition(self, generation, line, n, lines):
        real = generation % self.every == 0
        return [Part(((0, -1) if real else last_shard(generation, line),))]

    def description(self, generation):
        return "alternating"
'''
METRIC = """
from imagelab import Measurement, Metric

def level(evidence):
    return [Measurement("level", float(evidence.fake.images.mean()), estimator="mean")]

LEVEL = Metric(level, name="level", title="Level", unit="levels", what="Mean.", blind="All else.",
               better="none", least=1)
"""
SUBCLASS = "expected a concrete subclass of imagelab.regimes.Regime"
SETTINGS = "--name mine --data.kind textures --data.size 16 --generator.kind gaussian --generations 2 --no-arms"
SMALL = f"{SETTINGS} --images 16 --heldout 12 --tracked 2 --metrics pixel_variance"


@pytest.fixture(autouse=True)
def _modules_as_they_were() -> Iterator[None]:
    """Forget modules and import paths that a test has added."""
    modules, path = set(sys.modules), list(sys.path)
    yield
    for name in set(sys.modules) - modules:
        if name.startswith(("imagelab_file_", "strange", "mine", "helper")):
            del sys.modules[name]
    sys.path[:] = path
    importlib.invalidate_caches()


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Path]:
    """Write a package on the import path and return its folder."""

    def write(name: str = "strange", module: str = "regimes", code: str = REGIME, visible: bool = True) -> Path:
        folder = tmp_path / "site" / name
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "__init__.py").touch()
        (folder / f"{module}.py").write_text(code)
        if visible:
            monkeypatch.syspath_prepend(folder.parent)
        return folder

    return write


def written(path: Path, code: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(code)
    return path


def run(words: str) -> int:
    with pytest.raises(SystemExit) as stopped:
        main(shlex.split(words))
    return int(stopped.value.code or 0)


InAProcess = Callable[[str, Path], "subprocess.CompletedProcess[str]"]


@pytest.fixture
def in_a_process(warm: Callable[..., subprocess.CompletedProcess[str]]) -> InAProcess:
    """Return ``in_a_process(WORDS, folder)``: ``python -m imagelab WORDS`` in that folder."""
    return lambda words, cwd: warm("-m", "imagelab", *shlex.split(words), cwd=cwd)


def forget() -> None:
    """Forget all members that are not of the package, as a new process would."""
    for family in FAMILIES.values():
        family._added.clear()
        family.sources.clear()
    for name in [name for name in sys.modules if name.startswith(("imagelab_file_", "strange"))]:
        del sys.modules[name]
    importlib.invalidate_caches()


# -- four ways to name a member


def test_a_member_is_given_as_an_object(tmp_path: Path):
    module = load_file(written(tmp_path / "mine.py", REGIME + METRIC))
    experiment = Experiment(regime=module.Alternate(every=3), metrics=("tone", module.LEVEL))
    assert experiment.metrics == ("tone", "level") and "alternate" in REGIMES and "level" in METRICS
    assert [(code.family, code.name) for code in experiment.own_code] == [
        ("metrics", "level"),
        ("regimes", "alternate"),
    ]
    again = Experiment(**json.loads(json.dumps(experiment.question())))
    assert again == experiment.model_copy(update={"metrics": again.metrics}) and again.signature == experiment.signature


def test_a_member_is_found_in_a_package(package: Callable[..., Path]):
    package()
    experiment = Experiment.model_validate({"regime": {"kind": "strange.regimes:Alternate", "every": 5}})
    assert kind_of(experiment.regime) == "alternate" and experiment.question()["regime"]["every"] == 5
    (code,) = experiment.own_code
    assert (code.source, len(code.digest)) == ("strange.regimes:Alternate", 12)


def test_a_member_of_the_package_may_be_named_by_its_place_too():
    assert REGIMES.find("imagelab.regimes:Mix") is Mix and not REGIMES.own


def test_a_member_is_found_by_an_entry_point(package: Callable[..., Path]):
    folder = package()
    info = folder.parent / "strange-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: strange\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(
        "[imagelab.regimes]\nevery_second = strange.regimes:Alternate\nhollow = strange\nloop = loop\n"
        "[imagelab.metrics]\nlevel = strange.level:LEVEL\n"
    )
    (folder / "level.py").write_text(METRIC)
    experiment = Experiment.model_validate({"regime": {"kind": "every_second"}, "metrics": ["level"]})
    assert experiment.question()["regime"]["kind"] == "alternate"
    sources = [code.source for code in experiment.own_code]
    assert sources == ["strange.level:LEVEL", "strange.regimes:Alternate"]
    for bad in ("hollow", "loop"):
        with pytest.raises(ValueError, match="cannot be loaded"):
            REGIMES.find(bad)
    with pytest.raises(ValueError, match=r"known are replace.*every_second.*--plugins FILE"):
        REGIMES.find("nothing")


def test_a_panel_that_names_an_installed_metric_signs_it(package: Callable[..., Path], monkeypatch: pytest.MonkeyPatch):
    folder = package(module="level", code=METRIC)
    info = folder.parent / "strange-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: strange\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[imagelab.metrics]\nlevel = strange.level:LEVEL\n")
    experiment = Experiment()
    monkeypatch.setattr(type(experiment.data), "panel", ("level",))
    before = experiment.signature
    METRICS.find("level")
    assert [code.name for code in experiment.own_code] == ["level"] and experiment.signature == before


def test_all_ways_give_the_same_signature(package: Callable[..., Path], tmp_path: Path):
    package()
    by_place = Experiment.model_validate({"regime": {"kind": "strange.regimes:Alternate"}}).signature
    forget()
    by_file = Experiment(regime=load_file(written(tmp_path / "mine.py", REGIME)).Alternate()).signature
    assert by_place == by_file


def test_the_command_line_takes_a_plug_in_file_a_place_and_a_member_within_another(
    package: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    package()
    settings = written(tmp_path / "plain.yaml", "regime: {kind: replace}\n")
    monkeypatch.chdir(tmp_path)
    nested = (
        "--regime.kind schedule --regime.until 1 --regime.then.kind strange.regimes:Alternate --regime.then.every 3"
    )
    assert run(f"run {settings} {SMALL} {nested}") == 0, capsys.readouterr().err
    (folder,) = (tmp_path / "runs").iterdir()
    config = json.loads((folder / "config.json").read_text())
    assert config["experiment"]["regime"]["then"] == {"kind": "alternate", "every": 3}
    assert [each["source"] for each in config["own_code"]] == ["strange.regimes:Alternate"]
    forget()
    assert reopen(RunFolder.open(folder), Runtime()).signature == config["signature"]


# -- what is no member


@pytest.mark.parametrize(
    ("code", "name", "message"),
    [
        (REGIME.replace('    kind: Literal["alternate"] = "alternate"\n', ""), "Alternate", "expected a kind"),
        (
            REGIME.replace("def description", "def other"),
            "Alternate",
            SUBCLASS,
        ),
        (
            "from imagelab import Gaussian as Alternate\n",
            "Alternate",
            SUBCLASS,
        ),
        (REGIME.replace('"alternate"', '"mix"'), "Alternate", "'mix' already"),
        (REGIME, "Alternative", "cannot be loaded: AttributeError"),
        ("raise RuntimeError('no licence')\n", "Alternate", "RuntimeError: no licence"),
        ("import no_such_module\n", "Alternate", "ModuleNotFoundError"),
    ],
    ids=["no kind", "abstract", "wrong base", "name of ours", "no such name", "raises", "import"],
)
def test_what_is_no_member_is_refused_with_the_reason(
    package: Callable[..., Path], code: str, name: str, message: str, capsys: pytest.CaptureFixture[str]
):
    package(code=code)
    with pytest.raises(ValidationError) as caught:
        Experiment.model_validate({"regime": {"kind": f"strange.regimes:{name}"}})
    assert message in explain(caught.value)
    assert run(f"run photocopy --regime.kind strange.regimes:{name}") == 2
    assert message in " ".join(capsys.readouterr().err.split())


def test_an_object_without_a_kind_is_refused(tmp_path: Path):
    code = REGIME.replace('    kind: Literal["alternate"] = "alternate"\n', "")
    namespace = ModuleType("strange_cell")
    exec(code, namespace.__dict__)
    with pytest.raises(ValidationError, match="expected a kind"):
        Experiment(regime=namespace.Alternate())


@pytest.mark.parametrize(
    ("code", "line", "message"),
    [
        ("x = 1\ny = (\n", 2, "SyntaxError"),
        ("x = 1\n\nprint(undefined)\n", 3, "NameError: name 'undefined' is not defined"),
        ("def f():\n    return 1 / 0\nf()\n", 2, "ZeroDivisionError"),
        ("from imagelab import Experiment\nimport sys\nsys.exit(2)\n", 3, 'if __name__ == "__main__":'),
        ("import helper\n", 1, "SyntaxError"),
    ],
    ids=["syntax", "name", "in a function", "exit", "syntax of another file"],
)
def test_a_file_that_fails_is_named_with_its_line(
    tmp_path: Path, code: str, line: int, message: str, capsys: pytest.CaptureFixture[str]
):
    (tmp_path / "helper.py").write_text("a = 1\nb = 2\n\nc = (\n")
    file, path = written(tmp_path / "mine.py", code), list(sys.path)
    with pytest.raises(ValueError) as caught:
        load_file(file)
    assert str(caught.value).startswith(f"{file}, line {line}: ") and message in str(caught.value)
    assert sys.path == path and not [name for name in sys.modules if name.startswith("imagelab_file_mine_")]
    assert run(f"run photocopy --plugins {file}") == 1
    assert f"line {line}" in capsys.readouterr().err


def test_a_missing_file_and_a_missing_name_are_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    assert run(f"run photocopy --plugins {tmp_path}/none.py") == 1
    assert "no such Python file" in capsys.readouterr().err
    assert run("run photocopy --plugins") == 2
    assert "expected a Python file" in capsys.readouterr().err


def test_two_members_of_one_name_in_a_file_are_refused_and_a_file_loaded_twice_is_not(tmp_path: Path):
    file = written(tmp_path / "mine.py", REGIME)
    assert load_file(file) is not load_file(file)
    assert REGIMES.own == ("alternate",)
    twice = written(tmp_path / "twice.py", REGIME + REGIME.replace("class Alternate", "class Second"))
    forget()
    with pytest.raises(ValueError, match="'alternate' already"):
        load_file(twice)


def test_a_metric_may_not_take_the_measurements_of_another(tmp_path: Path):
    code = METRIC.replace('name="level"', 'name="mine", gives=("brightness",)')
    with pytest.raises(ValueError, match="metric tone gives measurements named 'brightness'"):
        load_file(written(tmp_path / "mine.py", code))


NUMBERS = [
    (cls, name)
    for family in (REGIMES, GENERATORS, DATASETS, CURATIONS)
    for cls in family.values()
    for name, field in cls.model_fields.items()
    if field.annotation is float
]


@pytest.mark.parametrize(("cls", "name"), NUMBERS, ids=lambda part: getattr(part, "__name__", part))
@pytest.mark.parametrize("value", [math.inf, -math.inf, math.nan])
def test_a_setting_is_a_finite_number(cls: type[Recipe], name: str, value: float):
    with pytest.raises(ValidationError) as caught:
        cls.model_validate({name: value})
    assert (name,) in [error["loc"] for error in caught.value.errors()]


# -- signatures


SHIPPED = {
    "photocopy": ("f11bc8a8", "d38cf671"),
    "photocopy_cascade": ("164b4e1d", "1f691f3e"),
    "photocopy_ddpm": ("72223213", "39a01244"),
    "photocopy_latent": ("8491fd2e", "361b7777"),
    "smoke": ("2087051a", "90bdf051"),
    "textures": ("b257fba7", "b4f361fc"),
}
"""Experiment -> its signature, and the one it had before the panel of metrics grew and chains were repeated."""

ADDED = {"clipped_density", "rke", "kernel_rbf", "likelihood", "texture", "shares"}


@pytest.mark.parametrize("name", SHIPPED)
def test_the_signatures_of_the_shipped_experiments_do_not_change(name: str):
    experiment = load_experiment(ROOT / "experiments" / f"{name}.py")
    assert (experiment.signature, experiment.own_code) == (SHIPPED[name][0], ())


@pytest.mark.parametrize("name", SHIPPED)
def test_a_run_of_one_chain_with_the_metrics_of_an_older_version_has_its_old_signature(name: str):
    experiment = load_experiment(ROOT / "experiments" / f"{name}.py")
    older = {"replicates": 1, "blank_twins": 0, "metrics": [m for m in experiment.panel if m not in ADDED]}
    assert Experiment(**{**experiment.question(), **older}).signature == SHIPPED[name][1]


def test_photocopy_with_the_settings_it_had_before_its_better_first_model_keeps_its_signature():
    changes = " ".join((ROOT / ".github" / "CHANGELOG.md").read_text(encoding="utf-8").split())
    told = re.search(r"the settings before are `(--generator[^`]+)`", changes)
    assert told is not None
    before = parse(load_experiment(ROOT / "experiments" / "photocopy.py"), told[1].split(), "test")
    assert before.signature == "4ddb4afc"


def test_the_signature_of_settings_under_their_new_names_does_not_change():
    older = tuple(name for name in Experiment().panel if name not in ADDED)
    assert Experiment(warm_start=True, fresh_draws=3, tracked=9, metrics=older).signature == "bc53eb03"
    former = Experiment.model_validate({"warm_start": True, "stream": 3, "probe": 9, "metrics": older})
    assert former.signature == "bc53eb03"


def signed(tmp_path: Path, code: str) -> str:
    forget()
    module = load_file(written(tmp_path / "mine.py", code))
    own: dict[str, Any] = (
        {"regime": module.Alternate()} if hasattr(module, "Alternate") else {"metrics": (module.LEVEL,)}
    )
    return Experiment(**own).signature


@pytest.mark.parametrize(
    ("code", "old", "new"),
    [
        (REGIME, "== 0", "== 1"),
        (REGIME, "every: int = 2", "every: int = 2\n    unused: int = 0"),
        (METRIC, ".mean()", ".std()"),
        (METRIC, 'unit="levels"', 'unit=""'),
        (METRIC, 'better="none"', 'better="lower"'),
    ],
)
def test_changed_code_is_another_question(tmp_path: Path, code: str, old: str, new: str):
    assert old in code
    assert signed(tmp_path, code) != signed(tmp_path, code.replace(old, new))


@pytest.mark.parametrize(
    ("code", "old", "new"),
    [
        (REGIME, "\n    every: int", "\n    # how often\n\n    every: int"),
        (REGIME, '"""Real images in every second generation."""', '"""Another text."""'),
        (REGIME, '    """Real images in every second generation."""\n', ""),
        (REGIME, "return [Part(", "return [Part(\n            "),
        (REGIME, "generation):\n", 'generation):\n        """What is in force."""\n'),
        (METRIC, 'what="Mean."', 'what="The mean."'),
        (METRIC, "def level", "\n\ndef level"),
    ],
)
def test_comments_docstrings_and_layout_are_not_signed(tmp_path: Path, code: str, old: str, new: str):
    assert old in code
    assert signed(tmp_path, code) == signed(tmp_path, code.replace(old, new))


def test_a_base_class_of_ones_own_is_signed_and_one_that_cannot_be_read_hides_nothing(tmp_path: Path):
    base = REGIME.replace("class Alternate(Regime)", "class Base(Regime, ABC)").replace(
        '    kind: Literal["alternate"] = "alternate"\n', ""
    )
    base = "from abc import ABC, abstractmethod\n" + base + "\n    @abstractmethod\n    def hook(self): ...\n"
    code = (
        base + '\nclass Alternate(Base):\n    kind: Literal["alternate"] = "alternate"\n    def hook(self): return 1\n'
    )
    assert signed(tmp_path, code) != signed(tmp_path, code.replace("== 0", "== 1"))
    mixed = REGIME.replace("class Alternate(Regime)", "class Alternate(Regime, Unreadable)").replace(
        "from typing", 'exec("class Unreadable: pass")\nfrom typing'
    )
    assert signed(tmp_path, mixed) != signed(tmp_path, mixed.replace("== 0", "== 1"))


def test_fixed_arguments_and_callable_objects_are_signed(tmp_path: Path):
    fixed = METRIC.replace("def level(evidence)", "from functools import partial\n\ndef level(evidence, k)").replace(
        "Metric(level,", "Metric(partial(level, k=3),"
    )
    assert signed(tmp_path, fixed) != signed(tmp_path, fixed.replace("k=3", "k=4"))
    held = fixed.replace("k=3", "k=object()")
    assert signed(tmp_path, held) == signed(tmp_path, held)
    called = METRIC.replace("def level(evidence):", "class Level:\n  def __call__(self, evidence):").replace(
        "Metric(level,", "Metric(Level(),"
    )
    assert signed(tmp_path, called) != signed(tmp_path, called.replace(".mean()", ".std()"))


def test_recipes_are_found_at_any_depth(tmp_path: Path):
    module = load_file(written(tmp_path / "mine.py", REGIME))
    own = module.Alternate()
    deep = Schedule(until=1, first=Replace(), then=Schedule(until=2, first=own, then=Mix()))
    assert [code.name for code in Experiment(regime=deep).own_code] == ["alternate"]
    for value in ([own], {"a": {"b": own}}, Runtime(), (), ({"x": [own]},)):
        names = [code.name for code in own_code_in(value, ())]
        assert names == ([] if not value or isinstance(value, Runtime) else ["alternate"])


def test_settings_of_ones_own_within_a_recipe_are_no_member(tmp_path: Path):
    code = REGIME.replace(
        "class Alternate",
        "from imagelab.families import Recipe\nclass Inner(Recipe):\n    x: int = 1\n\nclass Alternate",
    ).replace("every: int = 2", "every: int = 2\n    inner: Inner = Inner()")
    module = load_file(written(tmp_path / "mine.py", code))
    experiment = Experiment(regime=module.Alternate(inner={"x": 4}))
    assert experiment.question()["regime"]["inner"] == {"x": 4}
    assert [code.name for code in experiment.own_code] == ["alternate"]


# -- runs


@pytest.fixture
def finished(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> RunFolder:
    """A finished run with a regime and a metric from project/mine.py, begun in project/."""
    written(tmp_path / "project" / "mine.py", REGIME + METRIC)
    monkeypatch.chdir(tmp_path / "project")
    plain = written(tmp_path / "plain.yaml", "seed: 0\n")
    assert run(f"run {plain} {SMALL} --metrics level --plugins mine.py --regime.kind alternate") == 0
    (folder,) = (tmp_path / "project" / "runs").iterdir()
    return RunFolder.open(folder)


def test_the_code_is_recorded_and_a_resume_from_elsewhere_finds_it(
    finished: RunFolder,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    in_a_process: InAProcess,
):
    metric, regime = finished.config["own_code"]
    file = tmp_path / "project" / "mine.py"
    assert metric | {"digest": ""} == {"family": "metrics", "name": "level", "source": f"{file}:LEVEL", "digest": ""}
    assert regime["source"] == f"{file}:Alternate" and len(regime["digest"]) == 12
    assert [each["name"] for each in finished.provenance["own"]] == ["level", "alternate"]
    whole = (finished.path / "metrics.jsonl").read_bytes()
    shutil.rmtree(finished.shard_path(2))
    (tmp_path / "elsewhere").mkdir()
    done = in_a_process(f"resume {finished.path}", tmp_path / "elsewhere")
    assert done.returncode == 0, done.stderr
    assert (finished.path / "metrics.jsonl").read_bytes() == whole


@pytest.mark.parametrize("relative", [False, True], ids=["absolute import", "relative import"])
def test_code_in_a_package_beside_the_experiment_is_found_from_elsewhere(
    tmp_path: Path, package: Callable[..., Path], relative: bool, in_a_process: InAProcess
):
    folder = package(visible=False, code="from .depth import EVERY\n" * relative + REGIME)
    (folder / "depth.py").write_text("EVERY = 2\n")
    experiment = written(
        folder.parent / "experiment.py",
        "from imagelab import Experiment, Gaussian, Textures\nfrom strange.regimes import Alternate\n"
        "experiment = Experiment(name='mine', data=Textures(size=16), generator=Gaussian(), regime=Alternate(),\n"
        "    generations=2, images=16, heldout=12, tracked=2, metrics=('pixel_variance',))\n",
    )
    done = in_a_process(f"run {experiment}", folder.parent)
    assert done.returncode == 0, done.stderr
    (run_path,) = (folder.parent / "runs").iterdir()
    (code,) = json.loads((run_path / "config.json").read_text())["own_code"]
    assert code["source"] == f"{folder}/regimes.py:Alternate"
    shutil.rmtree(run_path / "gen-002")
    (tmp_path / "elsewhere").mkdir()
    done = in_a_process(f"resume {run_path}", tmp_path / "elsewhere")
    assert done.returncode == 0, done.stderr
    assert (run_path / "gen-002").is_dir()


@pytest.mark.parametrize(("old", "new"), [("== 0", "== 1"), ("every", "period"), (".mean()", ".std()")])
def test_changed_code_is_refused_by_resume_with_the_reason(
    finished: RunFolder, tmp_path: Path, capsys: pytest.CaptureFixture[str], old: str, new: str
):
    file = tmp_path / "project" / "mine.py"
    file.write_text(file.read_text().replace(old, new))
    forget()
    capsys.readouterr()
    assert run(f"resume {finished.path}") == 1
    message = " ".join(capsys.readouterr().err.split())
    what = "metric 'level'" if old == ".mean()" else "regime 'alternate'"
    assert f"the code of the {what} ({file}:" in message and "was changed since this run was begun" in message
    if old != "every":
        assert run(f"run {finished.path}/config.json") == 0, "the changed code is another run"


def test_a_changed_setting_is_not_taken_for_changed_code(finished: RunFolder):
    config = finished.config
    config["experiment"]["regime"]["every"] = 3
    (finished.path / "config.json").write_text(json.dumps(config))
    with pytest.raises(ValueError, match="was changed by hand"):
        reopen(finished, Runtime())


def test_code_that_is_gone_is_named_and_may_be_handed_over(
    finished: RunFolder, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    moved = (tmp_path / "project" / "mine.py").rename(tmp_path / "moved.py")
    forget()
    assert run(f"resume {finished.path}") == 1
    assert "which is not there. Give its file with --plugins FILE" in " ".join(capsys.readouterr().err.split())
    assert run(f"resume {finished.path} --plugins {moved}") == 0


def test_code_inside_the_run_folder_is_not_executed(
    finished: RunFolder, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
):
    evil = written(finished.path / "evil.py", f"open({str(tmp_path / 'marker')!r}, 'w')\n" + REGIME + METRIC)
    monkeypatch.syspath_prepend(finished.path.parent)
    for source in (
        f"{evil}:Alternate",
        f"{finished.path.name}.evil:Alternate",
        f"{finished.path}/x/../evil.py:Alternate",
    ):
        config = finished.config
        config["own_code"] = [code | {"source": source} for code in config["own_code"]]
        (finished.path / "config.json").write_text(json.dumps(config))
        for words in (f"resume {finished.path}", f"run {finished.path}/config.json", f"run {finished.path}"):
            forget()
            assert run(words) == 1
            assert "defined inside the run folder" in " ".join(capsys.readouterr().err.split())
    assert not (tmp_path / "marker").exists()


def test_commands_that_read_never_execute_code_of_ones_own(
    finished: RunFolder, tmp_path: Path, in_a_process: InAProcess
):
    file, marker = tmp_path / "project" / "mine.py", tmp_path / "marker"
    file.write_text(f"open({str(marker)!r}, 'w')\n" + file.read_text())
    other = tmp_path / "other"
    shutil.copytree(finished.path, other)
    commands = (
        f"report {finished.path}",
        f"cite {finished.path}",
        f"watch {finished.path}",
        f"compare {finished.path} {other} -o page.html",
        f"export {finished.path} --generation 1 -o out",
        f"grid {finished.path}",
    )
    for words in commands:
        done = in_a_process(words, tmp_path)
        expected = (0, 1) if words.startswith("watch") else (0,)  # 1: no signal of a stage was measured
        assert done.returncode in expected and "Traceback" not in done.stderr, (words, done.stderr)
        assert not marker.exists(), words
    assert "level" in (finished.path / "report" / "index.html").read_text()
    done = in_a_process(f"resume {finished.path}", tmp_path)
    assert marker.exists(), "the marker shows that the file was executed at all"


def test_a_recorded_source_that_no_longer_holds_the_member_is_refused(tmp_path: Path):
    module = load_file(written(tmp_path / "mine.py", REGIME))
    Experiment(regime=module.Alternate())
    code = own_code("regimes", "alternate")
    forget()
    (tmp_path / "mine.py").write_text("x = 1\n")
    with pytest.raises(ValueError, match="expected Alternate to be the regime 'alternate'"):
        load_source(code)
    assert read_config(written(tmp_path / "a.yaml", "seed: 1\n")) == {"seed": 1}


# -- several processes


GENERATOR = '''
import numpy as np
from typing import Literal
from imagelab import Vae

class Dimmed(Vae):
    """A trained generator of one's own: a VAE that is called by another name."""

    kind: Literal["dimmed"] = "dimmed"
'''


@pytest.mark.slow
def test_two_processes_train_a_generator_from_a_plug_in_file(tmp_path: Path):
    file = written(tmp_path / "mine.py", GENERATOR + REGIME)
    plain = written(tmp_path / "plain.yaml", "seed: 0\n")
    words = (
        f"run {plain} --plugins {file} {SMALL} --regime.kind alternate --generator.kind dimmed --generator.latent 4 "
        "--generator.width 8 --generator.images-seen 64 --generator.batch 8 --runtime.batch 4 --runtime.device cpu"
    ).replace("--generator.kind gaussian ", "")
    with socket.socket() as door:
        door.bind(("127.0.0.1", 0))
        port = door.getsockname()[1]
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", "2", "--master-port", str(port)]
    whole = b""
    for command in (words, ""):
        if not command:  # resumed: the workers load the file from where it was recorded
            (folder,) = (tmp_path / "runs").iterdir()
            whole = (folder / "metrics.jsonl").read_bytes()
            shutil.rmtree(folder / "gen-002")
            command = f"resume {folder} --device cpu --batch 4"
        done = subprocess.run(
            [*torchrun, "-m", "imagelab", *shlex.split(command)], cwd=tmp_path, capture_output=True, text=True
        )
        assert done.returncode == 0, done.stderr
    (folder,) = (tmp_path / "runs").iterdir()
    assert whole and (folder / "metrics.jsonl").read_bytes() == whole
    assert [each["name"] for each in json.loads((folder / "config.json").read_text())["own_code"]] == [
        "dimmed",
        "alternate",
    ]


def test_a_row_of_ours_may_be_given_as_it_stands():
    asked = {"metrics": (METRICS["tone"], "hf_ratio")}
    assert Experiment.model_validate(asked).metrics == ("tone", "hf_ratio")


@pytest.mark.parametrize("record", [[{"family": "regimes"}], ["x"], {"a": 1}, [dict.fromkeys("fnsd", "")], None])
def test_a_damaged_record_of_own_code_is_named(record: object, tmp_path: Path):
    config = Experiment().config() | {"own_code": record}
    (tmp_path / "config.json").write_text(json.dumps(config))
    with pytest.raises(ValueError, match=r"config\.json: own_code is damaged: expected digest, family, name, source"):
        read_config(tmp_path / "config.json")
