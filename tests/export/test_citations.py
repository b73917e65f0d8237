from __future__ import annotations

import ast
import inspect
import re
import unicodedata
from pathlib import Path

import pytest

from imagelab.cli.entry import main
from imagelab.export.authors import AUTHORS
from imagelab.export.citations import HOME, Reference, bibtex, cited_by, references_in, references_of
from imagelab.measurement import Measurement
from imagelab.regimes import REGIMES
from imagelab.run_folder import RunFolder

MODULES = sorted(p.relative_to(HOME).as_posix() for p in HOME.rglob("*.py") if "theory" not in p.parts)


def run_of(tmp_path: Path, measurements: list[Measurement], **experiment: object) -> Path:
    folder = RunFolder.create(tmp_path / "a-run", {"schema": 1, "signature": "0" * 8, "experiment": experiment})
    shard = folder.begin(0)
    (shard / "metrics.jsonl").write_text("".join(m.to_json() + "\n" for m in measurements))
    folder.commit(0)
    return folder.path


def cited(run: Path) -> list[Reference]:
    folder = RunFolder.open(run)
    return cited_by(folder.config["experiment"], folder.measurements())


@pytest.mark.parametrize("module", MODULES)
def test_every_reference_of_a_module_is_understood(module: str):
    docstring = (HOME / module).read_text("utf-8").split('"""')[1] if '"""' in (HOME / module).read_text() else ""
    section = docstring.partition("References:\n")[2]
    works = references_in(module)
    identifiers = re.findall(r"arXiv:\d{4}\.\d{4,5}|doi:10\.\d{4,9}/", section)
    assert len([w for w in works if w.where.startswith(("arXiv:", "doi:"))]) == len(identifiers), works
    for work in works:
        assert 5 < len(work.title) < 140 and not work.title.startswith(("Differs", "pairs", "it ")), work
        assert re.fullmatch(r"[A-Za-zÀ-ž.,\- ]+", work.authors), work
        assert re.fullmatch(r"[a-z]+\d{4}[a-z]+", work.key), work


def test_every_recipe_of_a_published_regime_names_its_paper():
    for kind, recipe in REGIMES.items():
        works = references_of(inspect.getdoc(recipe) or "") + list(references_in(_module(recipe)))
        assert works or kind == "schedule", kind


def _module(recipe: type) -> str:
    return recipe.__module__.removeprefix("imagelab.").replace(".", "/") + ".py"


def test_remarks_around_an_entry_do_not_become_part_of_it():
    text = """Idea.

    References:
        First (Doe et al. 2018), arXiv:1801.01401 (a name). Differs from it: all
        pairs.
        Second, longer (scale; Roe and Poe 2012), JMLR 13:723-773.
        Third? (Poe 1998), doi:10.1023/A:1008045108935 (scaled). Fourth (Doe 1996), doi:10.1006/x.1996.0060.
    """
    assert references_of(text) == [
        Reference("First", "Doe et al.", "2018", "arXiv:1801.01401"),
        Reference("Second, longer", "Roe and Poe", "2012", "JMLR 13:723-773"),
        Reference("Third?", "Poe", "1998", "doi:10.1023/A:1008045108935"),
        Reference("Fourth", "Doe", "1996", "doi:10.1006/x.1996.0060"),
    ]


def test_an_entry_is_valid_bibtex():
    entry = Reference("A title", "Doe, Roe and Poe", "2020", "doi:10.1/x").entry()
    assert entry.startswith("@article{doe2020title,") and "author = {Doe and Roe and Poe}" in entry
    assert "doi = {10.1/x}" in entry and entry.count("{") == entry.count("}")
    assert "and others" in Reference("A title", "Doe et al.", "2020", "").entry()


def every_work() -> list[Reference]:
    nodes = (node for module in MODULES for node in ast.walk(ast.parse((HOME / module).read_text("utf-8"))))
    documented = (ast.Module, ast.ClassDef, ast.FunctionDef)
    return [w for node in nodes if isinstance(node, documented) for w in references_of(ast.get_docstring(node) or "")]


def plain(name: str) -> str:
    letters = unicodedata.normalize("NFKD", name.replace("ø", "oe").replace("ł", "l").replace("ö", "o"))
    return letters.encode("ascii", "ignore").decode().lower()


def test_an_author_list_begins_with_the_author_that_the_docstring_names():
    works = {work.where: work for work in every_work() if work.authors.endswith(" et al.")}
    assert set(works) >= set(AUTHORS), "of works that no docstring names"
    for where, names in AUTHORS.items():
        first, surname = names.split(", ")[0], works[where].authors.removesuffix(" et al.")
        assert plain(first).endswith(" " + plain(surname)), where
        assert len(names.split(", ")) >= 3 and all(" " in name for name in names.split(", ")), where


def test_et_al_is_spelt_out_where_the_authors_are_known():
    known = Reference("Denoising", "Ho et al.", "2020", "arXiv:2006.11239").entry()
    assert "author = {Jonathan Ho and Ajay Jain and Pieter Abbeel}" in known and known.startswith("@misc{ho2020")
    assert "author = {Ho}" in Reference("Denoising", "Ho", "2020", "arXiv:2006.11239").entry()


def test_a_run_cites_what_it_used_and_nothing_else(tmp_path: Path):
    measured = [Measurement("prdc/recall", 0.5), Measurement("fid", None, missing="no weights")]
    run = run_of(tmp_path, measured, data={"kind": "faces"}, regime={"kind": "mix"}, generator={"kind": "vae"})
    places = {work.where for work in cited(run)}
    assert {"arXiv:1904.06991", "arXiv:1312.6114", "doi:10.1038/s41586-024-07566-y"} <= places
    assert not {"arXiv:1706.08500", "arXiv:2006.11239"} & places


def test_arms_and_nested_regimes_are_cited(tmp_path: Path):
    schedule = {"kind": "schedule", "first": {"kind": "replace"}, "then": {"kind": "golden"}}
    run = run_of(tmp_path, [], regime=schedule, generator={"kind": "vae"}, arms=[{"kind": "ddpm"}])
    places = {work.where for work in cited(run)}
    assert {"arXiv:2006.11239", "arXiv:2502.18049"} <= places


def test_no_work_stands_twice(tmp_path: Path):
    run = run_of(tmp_path, [], generator={"kind": "vae"}, arms=[{"kind": "vae"}], regime={"kind": "replace"})
    keys = re.findall(r"@\w+\{(\w+),", bibtex(cited(run)))
    assert len(keys) == len(set(keys)) and keys[0] == "imagelab"


def test_the_command_prints_bibtex(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    run = run_of(tmp_path, [], regime={"kind": "replace"})
    with pytest.raises(SystemExit) as stopped:
        main(["cite", str(run)])
    assert not stopped.value.code and capsys.readouterr().out.startswith("@software{imagelab,")
