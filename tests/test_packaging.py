"""What is installed under which name, and that every message names a package that is ours or that we need."""

from __future__ import annotations

import re
import subprocess
import tomllib
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest

import imagelab
from imagelab._version import DISTRIBUTION
from imagelab.cli.doctor import FEATURES, PACKAGES, examine, name_clashes, optional_features

ROOT = Path(__file__).resolve().parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
EXTRAS = PROJECT["optional-dependencies"]
RIVALS = {"denoising-diffusion-pytorch"}  # one benchmark compares with it and says when it is absent

WORD = r"""(?:"[^"\n]+"|'[^'\n]+'|[^\s'"`,;&|()]+)"""
INSTALL = re.compile(rf"pip install((?:[ ]+{WORD})+)")
TAKES_A_VALUE = {
    "-c",
    "-r",
    "--constraint",
    "--requirement",
    "--index-url",
    "--extra-index-url",
    "--find-links",
    "--torch-backend",
}
REQUIREMENT = re.compile(r"([A-Za-z0-9][A-Za-z0-9._-]*)(?:\[([a-z,]*)\])?(?:[<>=!~].*)?")


def committed() -> Iterator[tuple[str, str]]:
    """(name, text) of every committed text file but this one, which holds bad examples."""
    listed = subprocess.run(["git", "-C", str(ROOT), "ls-files"], capture_output=True, text=True, check=True).stdout
    for name in listed.splitlines():
        path = ROOT / name
        if path.is_file() and path != Path(__file__).resolve():
            yield name, path.read_text(encoding="utf-8", errors="ignore")


def parsed(requirement: str) -> tuple[str, tuple[str, ...]] | None:
    """The distribution, as the index writes it, and the extras; None for what is no requirement."""
    match = REQUIREMENT.fullmatch(requirement)
    if match is None:
        return None
    return re.sub(r"[-_.]+", "-", match[1]).lower(), tuple((match[2] or "").split(",")) if match[2] else ()


def asked_for(text: str) -> Iterator[str]:
    """Every requirement behind a `pip install`; a command ends at a backtick, a comma or the end of the line."""
    for match in INSTALL.finditer(text):
        words = iter(re.findall(WORD, match[1]))
        for word in words:
            bare = word.strip("'\"").replace("\\", "")
            if bare in TAKES_A_VALUE:
                next(words, None)
            elif not bare.startswith(("-", "{", "$")) and not bare.endswith(".whl"):
                yield DISTRIBUTION + bare[1:] if bare.startswith(".") else bare.rstrip(".")


DECLARED = {
    found[0]
    for line in [*PROJECT["dependencies"], *(line for lines in EXTRAS.values() for line in lines)]
    if (found := parsed(line))
}


def fault(requirement: str) -> str:
    """What is wrong with a requirement that a text asks the reader to install; empty where nothing is."""
    found = parsed(requirement)
    if found is None or found[0] not in DECLARED | RIVALS | {DISTRIBUTION}:
        return f"{requirement!r} is neither {DISTRIBUTION} nor a declared dependency (close a command with a backtick)"
    unknown = set(found[1]) - set(EXTRAS) if found[0] == DISTRIBUTION else set()
    return f"pyproject.toml has no extra {', '.join(sorted(unknown))}" if unknown else ""


def test_every_pip_install_names_our_distribution_or_a_declared_dependency():
    faults = [f"{name}: {wrong}" for name, text in committed() for ask in asked_for(text) if (wrong := fault(ask))]
    assert not faults, "\n".join(faults)


def test_the_walk_sees_the_commands_and_messages_that_exist():
    asks = {ask for _, text in committed() for ask in asked_for(text)}
    assert {DISTRIBUTION, f"{DISTRIBUTION}[test]", f"{DISTRIBUTION}[slides]", f"{DISTRIBUTION}[video]"} <= asks


@pytest.mark.parametrize(
    ("text", "requirement"),
    [
        ("pip install 'imagelab[slides]'", "imagelab[slides]"),
        ("run `pip install -U imagelab` first", "imagelab"),
        ('.venv/bin/pip install -q -e ".[tests]" -c .ci/constraints.txt && run', f"{DISTRIBUTION}[tests]"),
        ("pip install torch imagelab --index-url there", "imagelab"),
    ],
)
def test_a_wrong_name_or_extra_is_found(text: str, requirement: str):
    assert [ask for ask in asked_for(text) if fault(ask)] == [requirement]


def test_nobody_asks_for_extras_of_the_foreign_distribution():
    faults = [name for name, text in committed() if re.search(r"(?<![\w.-])imagelab\\?\[[a-z,]+\\?\]", text)]
    assert not faults, f"write {DISTRIBUTION}[...], the name imagelab belongs to another package: {faults}"


def test_metadata_is_looked_up_under_the_name_of_our_distribution():
    pattern = re.compile(r"(?:metadata|importlib_metadata|distribution|version|requires|files)\(\s*['\"]imagelab['\"]")
    assert PROJECT["name"] == DISTRIBUTION
    assert not [name for name, text in committed() if name.endswith(".py") and pattern.search(text)]


SERVICES = {"mlflow", "ray", "storage", "trackio", "wandb"}
"""Extras that bring a cluster, a tracker or an object store: large, and asked for by their names."""


def test_the_doctor_names_every_extra_and_how_to_install_what_is_missing(monkeypatch: pytest.MonkeyPatch):
    assert set(FEATURES) == set(EXTRAS) - {"all", "oracles", "test", "docs", "dev"}
    monkeypatch.setitem(FEATURES, "video", ("imageio_ffmpeg", "no_such_module"))
    services = tuple(f"  extra {name}:" for name in SERVICES)
    told = [line for line in optional_features() if not line.startswith(services)]
    missing = [line for line in told if not line.endswith(": installed")]
    assert missing == [f"  extra video: missing: pip install '{DISTRIBUTION}[video]'"]


def test_the_doctor_names_only_packages_that_we_depend_on():
    assert {name.lower() for name in PACKAGES} <= DECLARED


def test_all_is_every_feature_and_no_tool():
    tools = {"all", "dev", "docs", "oracles", "test"} | SERVICES
    (line,) = EXTRAS["all"]
    found = parsed(line)
    assert found is not None and found[0] == DISTRIBUTION
    assert set(found[1]) == set(EXTRAS) - tools


def test_every_package_of_the_gate_is_pinned():
    pins = {
        pin[0]
        for line in (ROOT / ".ci/constraints.txt").read_text().splitlines()
        if (pin := parsed(line.partition(";")[0].strip()))
    }
    wanted, waiting = set(), [*PROJECT["dependencies"], *EXTRAS["test"]]
    while waiting:
        found = parsed(waiting.pop().replace("[nodejs]", ""))
        assert found is not None
        if found[0] == DISTRIBUTION:
            waiting += [line for extra in found[1] for line in EXTRAS[extra]]
        else:
            wanted.add(found[0])
    assert wanted <= pins, f"not in .ci/constraints.txt: {sorted(wanted - pins)}"


def test_the_version_is_written_once():
    assert "version" in PROJECT["dynamic"] and "version" not in PROJECT
    number = re.compile(rf"""version(?:__)?["']?\s*[=:]\s*["']{re.escape(imagelab.__version__)}["']""")
    assert [name for name, text in committed() if name.endswith((".py", ".toml")) and number.search(text)] == [
        "imagelab/_version.py"
    ]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> zipfile.ZipFile:
    """The wheel of this checkout, built by hatchling in this process: no isolated environment, no network."""
    builder = pytest.importorskip("hatchling.builders.wheel").WheelBuilder(str(ROOT))
    (path,) = builder.build(directory=str(tmp_path_factory.mktemp("wheel")), versions=["standard"])
    return zipfile.ZipFile(path)


def test_the_wheel_holds_every_committed_file_of_the_package(wheel: zipfile.ZipFile):
    held = {name for name in wheel.namelist() if name.startswith("imagelab/")}
    ours = {name for name, _ in committed() if name.startswith("imagelab/")}
    assert ours <= held
    assert {"imagelab/py.typed", "imagelab/report/templates/page.html"} <= held


def test_the_wheel_holds_the_experiments_once(wheel: zipfile.ZipFile):
    ours = [name for name, _ in committed() if name.startswith("experiments/")]
    assert {"experiments/photocopy.py", "experiments/first_look.ipynb", "experiments/studies/regimes.py"} <= set(ours)
    ours = [name for name in ours if (ROOT / name).is_file()]
    held = [name for name in wheel.namelist() if "experiments/" in name]
    assert sorted(held) == sorted(f"imagelab/{name}" for name in ours)
    assert all(wheel.read(f"imagelab/{name}") == (ROOT / name).read_bytes() for name in ours)


def test_an_editable_install_copies_no_file(tmp_path: Path):
    builder = pytest.importorskip("hatchling.builders.wheel").WheelBuilder(str(ROOT))
    (path,) = builder.build(directory=str(tmp_path), versions=["editable"])
    with zipfile.ZipFile(path) as editable:
        assert not [name for name in editable.namelist() if name.startswith(("imagelab/", "experiments/"))]
        (link,) = [name for name in editable.namelist() if name.endswith(".pth")]
        assert editable.read(link).decode().split() == [str(ROOT)]


def test_the_wheel_carries_our_name_version_and_command(wheel: zipfile.ZipFile):
    folder = f"imagelab_collapse-{imagelab.__version__}.dist-info"
    card = wheel.read(f"{folder}/METADATA").decode()
    assert f"\nName: {DISTRIBUTION}\n" in card and f"\nVersion: {imagelab.__version__}\n" in card
    assert "[console_scripts]\nimagelab = " in wheel.read(f"{folder}/entry_points.txt").decode()


def test_the_description_for_the_index_has_no_relative_picture_or_link(wheel: zipfile.ZipFile):
    (name,) = (name for name in wheel.namelist() if name.endswith(".dist-info/METADATA"))
    description = wheel.read(name).decode().partition("\n\n")[2]
    targets = re.findall(r"\]\(([^)]+)\)", description) + re.findall(r"\bsrc(?:set)?=\"([^\"]+)\"", description)
    assert len(targets) > 5 and [each for each in targets if not each.startswith("https://")] == []


def _installed(folder: Path, name: str) -> None:
    """Lay down what an installed wheel with an import folder imagelab/ leaves: metadata and its list of files."""
    info = folder / f"{name.replace('-', '_')}-0.1.0.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 0.1.0\n")
    (info / "RECORD").write_text("imagelab/__init__.py,,\n")


def test_a_foreign_distribution_with_our_import_folder_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    _installed(tmp_path, DISTRIBUTION)
    monkeypatch.syspath_prepend(tmp_path)
    assert name_clashes() == []
    _installed(tmp_path, "imagelab")
    monkeypatch.syspath_prepend(tmp_path)  # forgets what importlib.metadata read of the folder before
    (sentence,) = name_clashes()
    assert "distribution imagelab 0.1.0" in sentence and "pip uninstall imagelab" in sentence
    assert sentence in examine()
