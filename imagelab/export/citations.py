"""The works that a run stands on, as BibTeX: read from the docstrings of the code that it used.

Every module of this package names its sources under ``References:`` in one form, ``Title (Authors Year), identifier``.
A run's config says which recipes it used and its measurements say which instruments; their modules' references are its
citations. So there is no second list that could fall behind; :mod:`imagelab.export.authors` only spells out an "et
al.".
"""

from __future__ import annotations

import ast
import inspect
import re
import unicodedata
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from ..families import is_own
from ..measurement import Measurement
from ..metrics import METRICS, row_of
from .authors import AUTHORS

__all__ = ["Reference", "bibtex", "cited_by", "references_in", "references_of"]

HOME = Path(__file__).parents[1]
ALWAYS = ("evaluation/stages.py", "seeds.py")
"""What every run stands on: that such loops collapse and in which order, and its random numbers."""

OWN = """@software{imagelab,
  title = {imagelab: a laboratory for watching image models collapse},
  year  = {2026},
  note  = {version %s}
}"""


@dataclass(frozen=True)
class Reference:
    """One work.

    Attributes:
        title, authors, year: as the docstring has them; authors may end in "et al.".
        where: "arXiv:...", "doi:...", or the rest of the entry in words.
    """

    title: str
    authors: str
    year: str
    where: str

    @property
    def names(self) -> list[str]:
        """The authors one by one: all of them where they are known, else the first and "others"."""
        short = self.authors.replace(" et al.", ", others")
        return re.split(r", | and ", AUTHORS.get(self.where, short) if short != self.authors else short)

    @property
    def key(self) -> str:
        """BibTeX key: first author, year, first word of the title."""
        surname = re.split(r",| and | et ", self.authors)[0].strip().split()[-1]
        word = next((w for w in re.findall(r"[A-Za-z]{3,}", self.title) if w.lower() not in ("the", "and")), "work")
        plain = unicodedata.normalize("NFKD", f"{surname}{self.year}{word}").encode("ascii", "ignore").decode()
        return re.sub(r"[^A-Za-z0-9]", "", plain).lower()

    def entry(self) -> str:
        """Return the work as a BibTeX entry."""
        fields = {"title": f"{{{self.title}}}", "author": " and ".join(self.names), "year": self.year}
        kind, _, identifier = self.where.partition(":")
        if kind == "arXiv":
            fields |= {"eprint": identifier, "archiveprefix": "arXiv"}
        elif kind == "doi":
            fields |= {"doi": identifier}
        elif self.where:
            fields |= {"note": self.where}
        inside = ",\n".join(f"  {name} = {{{value}}}" for name, value in fields.items())
        return f"@{'article' if kind == 'doi' else 'misc'}{{{self.key},\n{inside}\n}}"


_WORK = re.compile(r"\((?:[^();]*; )?([^();]+?),? (\d{4})\)")
_PLACE = re.compile(r"[,:]?\s*(arXiv:\d{4}\.\d{4,5}|doi:[^\s,;]*[^\s,;.:]|[^.(]*)")


def references_of(docstring: str) -> list[Reference]:
    r"""Return the works under ``References:`` of a docstring, in order.

    Example:
        >>> references_of("Idea.\n\nReferences:\n    A title (Doe, Roe 2020), arXiv:2001.00001: the bound.")
        [Reference(title='A title', authors='Doe, Roe', year='2020', where='arXiv:2001.00001')]
    """
    _, found, text = docstring.partition("References:\n")
    if not found:
        return []
    text, works, start = re.sub(r"\s+", " ", re.split(r"\n\n(?=\S)", text)[0]), [], 0
    for match in _WORK.finditer(text):
        title = re.split(r"(?<=[.)])\.?\s+(?=[A-Z])|(?<=\.)\s+(?=[A-Z])", text[start : match.start()].strip())[-1]
        place = _PLACE.match(text, match.end())
        assert place is not None
        start = place.end()
        if title and not title.startswith("["):
            works.append(Reference(title.strip(" .:,"), match[1].strip(), match[2], place[1].strip()))
    return works


@cache
def references_in(module: str) -> tuple[Reference, ...]:
    """Return the works that a file of this package names in its docstring, such as "metrics/prdc.py"."""
    return tuple(references_of(ast.get_docstring(ast.parse((HOME / module).read_text("utf-8"))) or ""))


def cited_by(
    experiment: Mapping[str, Any], measurements: Iterable[Measurement], own: Iterable[Mapping[str, Any]] = ()
) -> list[Reference]:
    """Return the works that a run is based on: its regime, its generators, its data, its metrics.

    Args:
        experiment: as config.json holds it.
        measurements: all of the run.
        own: what provenance.json says of recipes and metrics that are not part of this package ("own").
    """
    recipes = list(_recipes(experiment))
    modules = [*ALWAYS, *(path for recipe in recipes for path in _files(recipe)), *_instruments(measurements)]
    named = [work for recipe in recipes for work in references_of(inspect.getdoc(recipe) or "")]
    guests = [work for each in own for text in each.get("references") or () for work in references_of(str(text))]
    works = [*guests, *named, *(work for module in dict.fromkeys(modules) for work in references_in(module))]
    return list({work.key: work for work in works}.values())


def bibtex(works: Iterable[Reference]) -> str:
    """Return a BibTeX file of these works and of imagelab itself."""
    from .._version import __version__

    return "\n\n".join([OWN % __version__, *(work.entry() for work in works)]) + "\n"


def _recipes(experiment: Mapping[str, Any]) -> Iterator[type]:
    """The class of every recipe in an experiment, nested ones included."""
    from ..curation import CURATIONS
    from ..data import DATASETS
    from ..generators import GENERATORS
    from ..regimes import REGIMES

    tables: dict[str, Mapping[str, type]] = {
        "data": DATASETS,
        "regime": REGIMES,
        "generator": GENERATORS,
        "curation": CURATIONS,
    }
    chosen = [(family, experiment.get(family)) for family in ("data", "regime", "curation")]
    chosen += [("generator", each) for each in (experiment.get("generator"), *(experiment.get("arms") or ()))]
    while chosen:
        family, recipe = chosen.pop(0)
        if isinstance(recipe, Mapping):
            chosen += [(family, value) for value in recipe.values() if isinstance(value, Mapping)]
            made_by = tables[family].get(str(recipe.get("kind")))
            if made_by is not None and not is_own(made_by):
                yield made_by


def _files(recipe: type) -> Iterator[str]:
    """The file of a recipe, and those beside it that begin with the same name: vae.py, vae_net.py."""
    *room, name = recipe.__module__.split(".")[1:]
    for path in sorted(HOME.joinpath(*room).glob(f"{name}*.py")):
        yield path.relative_to(HOME).as_posix()


def _instruments(measurements: Iterable[Measurement]) -> Iterator[str]:
    """The files of every instrument that gave a value."""
    measured = [m for m in measurements if m.value is not None and not m.predicted]
    for row in dict.fromkeys(row_of(m.name) for m in measured):
        if row is None or row in METRICS.own:
            continue
        measure: Any = METRICS[row].measure
        file = getattr(measure, "func", measure).__module__.rpartition(".")[2]
        own = {"tails": "attributes"}.get(row, row)
        yield f"metrics/{own if file in ('metrics', 'table') else file}.py"
    spaces = {m.feature_space.partition("@")[0] for m in measured}
    if any(space.startswith("randconv") for space in spaces):
        yield "metrics/random_features.py"
    if any("ssl" in space for space in spaces):
        yield "metrics/ssl_encoder.py"
    if any(m.stderr is not None for m in measured):
        yield "metrics/jackknife.py"
