"""What a page prints: every number that is a measurement, with its place, its name and its digits.

Part of recompute.py; it imports nothing of the package. A page is read as a reader sees it: its texts, not its data.
"""

from __future__ import annotations

import html.parser
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

REAL = -1


class Named(Protocol):
    """What must be known of the run to tell what a number is of."""

    @property
    def last(self) -> int:
        """The last generation."""
        ...

    def named(self, label: str) -> str:
        """Return the measurement that a key figure is of."""
        ...


class _Page(html.parser.HTMLParser):
    """Collects the parts of a page that hold measurements: headline, key figures, tables, lists."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.headline: list[str] = []
        self.facts: list[list[tuple[str, str]]] = []
        self.tables: list[tuple[str, list[list[str]]]] = []
        self.pairs: list[tuple[str, str, str]] = []  # the summary above a list, its term, its text
        self._open: list[tuple[str, str]] = []
        self._words: list[str] = []
        self._summary = self._term = ""
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        kind = dict(attrs).get("class") or ""
        if tag in ("br", "img", "input", "meta", "link", "hr"):
            return
        self._open.append((tag, kind))
        if tag == "div" and kind == "fact":
            self.facts.append([])
        elif tag == "table":
            self.tables.append((kind, []))
        elif tag == "tr" and self.tables:
            self.tables[-1][1].append([])
        if tag in ("th", "td", "dt", "dd", "h1", "p", "summary"):
            self._words = []

    def handle_data(self, data: str) -> None:
        self._words.append(data)

    def handle_endtag(self, tag: str) -> None:
        while self._open and self._open[-1][0] != tag:
            self._open.pop()
        kind = self._open.pop()[1] if self._open else ""
        text = re.sub(r"[ \n\t]+", " ", "".join(self._words)).strip()
        in_fact = any(each == ("div", "fact") for each in self._open)
        if tag in ("th", "td") and self.tables and self.tables[-1][1]:
            self.tables[-1][1][-1].append(text)
        elif tag == "h1" or (tag == "p" and kind == "lede"):
            self.headline.append(text)
        elif in_fact and tag in ("p", "dt", "dd"):
            self.facts[-1].append((kind or tag, text))
        elif tag == "summary":
            self._summary = text
        elif tag == "dt":
            self._term = text
        elif tag == "dd":
            self.pairs.append((self._summary, self._term, text))
        if tag in ("th", "td", "dt", "dd", "h1", "p", "summary"):
            self._words = []


@dataclass(frozen=True)
class Printed:
    """A number on the page: where it stands, what it is of, its text, and its form.

    ``name`` is "" where this script does not know what the number is of. ``form`` is "percent" for decibels as a share
    of energy, "share" for a share of the value of real images in percent, "" for the value itself.
    """

    where: str
    name: str
    generation: int
    role: int
    text: str
    form: str = ""


FORMS = {
    "Finest detail left": "percent",
    "Energy of the finest detail": "percent",
    "Energy of fine detail": "percent",
    "Variety": "share",
}
"""Label of a key figure, in older reports too -> its form."""

VALUE = r"\(?[−\d][\d,]*(?:\.\d+)?(?: ± [\d,]*\d(?:\.\d+)?)?\)?(?: × 10[⁻⁰¹²³⁴-⁹]+)?(?: \([^()]* to [^()]*\))?"


def printed_numbers(text: str, run: Named) -> list[Printed]:
    """Return every number of the page that is a measurement of a set of images."""
    page = _Page(text.replace("\u00a0", " "))
    found: list[Printed] = []
    for kind, rows in page.tables:
        if kind == "numbers":
            found += _of_table(rows, run)
        elif rows and rows[0][:2] == ["Attribute", "Real images"]:
            for row in rows[1:]:
                name = row[0].rpartition(" ")[2]  # the words for readers, then the measurement
                found += [
                    Printed("Who disappears", name, 0, REAL, row[1]),
                    Printed("Who disappears", name, run.last, 0, row[2]),
                ]
    for summary, term, value in page.pairs:
        if summary.startswith("Properties known from the dataset"):
            number = re.match(VALUE, value)
            found += [Printed("Protocol", f"truth/{term}", 0, REAL, number[0])] if number else []
    for fact in page.facts:
        found += _of_fact(fact, run)
    for sentence in page.headline:
        found += _of_sentence(sentence, run, page.headline)
    return [each for each in found if each.text]


def _of_table(rows: list[list[str]], run: Named) -> Iterator[Printed]:
    head = rows[0]
    for row in rows[1:]:
        arm, name = 0, row[0].split()[-1]  # a title may stand in front of it
        for column, cell in zip(head[2:-1], row[2:-1], strict=True):
            if column.startswith("Real images"):
                yield Printed("The numbers, real", name, 0, REAL, cell)
            elif match := re.fullmatch(r"Generation (\d+)", column):
                yield Printed(f"The numbers, gen. {match[1]}", name, int(match[1]), 0, cell)
            elif match := re.fullmatch(r".*, generation (\d+)", column):
                arm += 1
                yield Printed(f"The numbers, arm {arm}", name, int(match[1]), arm, cell)


BESIDE = {
    "real": (REAL, ""),
    "real images": (REAL, ""),
    "two real sets": (REAL, ""),
    "in a loop without freckles": (0, "freckles/twin"),
    "in a loop without freckles (one chain)": (0, "freckles/twin"),
    "on blank copies": (0, "freckles/blank"),
}
"""What stands beside a key figure -> whose it is, and another measurement if it is one; all others are arms."""


def _of_fact(parts: list[tuple[str, str]], run: Named) -> Iterator[Printed]:
    label = next((text for kind, text in parts if kind == "label"), "")
    name, form = run.named(label), FORMS.get(label, "")
    where, role, arm, other = f"Key figures, {label}", 0, 0, ""
    for kind, text in parts:
        if kind == "value":
            yield Printed(where, name, run.last, 0, text, form * text.endswith("%"))
        elif kind == "dt":
            arm += text not in BESIDE
            role, other = BESIDE.get(text, (arm, ""))
        elif kind == "dd" and re.match(VALUE, text):
            yield Printed(where, other or name, 0 if role == REAL else run.last, role, text, form * text.endswith("%"))
        elif kind == "fine":
            found = [value for value in re.findall(VALUE, text) if "±" in value or " to " in value]
            of = "freckles/blank" if "copies" in text else "freckles/corrected" if "corrected" in text else name
            for value, whose in zip(found, (0, REAL), strict=False):
                yield Printed(where, of, 0 if whose == REAL else run.last, whose, value)


SENTENCES = (
    (r"the counter finds (V) freckles", "freckles/count", 0, ""),
    (r"no more than on \w+ without freckles \((V)\)", "freckles/twin", 0, ""),
    (r"the first training it found (V)[,.]", "freckles/count", 1, ""),
    (r"on real \w+ (V)\.", "freckles/count", REAL, ""),
    (r"It also finds (V) on the", "freckles/twin", 0, ""),
    (r"(?:and|finds) (V) on freckle-free", "freckles/blank", 0, ""),
    (r"the count is (V) \(real", "freckles/corrected", 0, ""),
    (r"\(real \w+: (V)[,)]", "freckles/corrected", REAL, ""),
    (r"Net of what .*?, it is (V);", "freckles/net", 0, ""),
    (r"draws (V) freckles a", "drawn", 0, ""),
    (r"no freckles [^(]*\((V) an? ", "drawn", 0, ""),
    (r"; the real \w+ had (V)\.", "drawn", REAL, ""),
    (r"(?:keeps|draws) (V) % of the energy", "detail", 0, "percent"),
    (r"first training it was (V) %\.", "detail", 1, "percent"),
    (r"That is (V) dB at", "detail", 0, ""),
    (r"other real images give (V) dB", "detail", REAL, ""),
    (r"from real ones is (V)[;.]", "distance", 0, ""),
    (r"first training it was (V)[;.]", "distance", 1, ""),
    (r"sets of real \w+ it is (V)\.", "distance", REAL, ""),
)
"""How sentences of the headline give a number: pattern, of what, whose (0: the last model, 1: the first, -1: real
images), its form; V is a number with its interval."""


def _of_sentence(sentence: str, run: Named, page_sentences: Sequence[str]) -> Iterator[Printed]:
    known = {"distance": "Distance from real", "detail": "Energy of fine detail", "drawn": "Freckles a face"}
    rest = sentence
    for pattern, what, whose, form in SENTENCES:
        for match in re.finditer(pattern.replace("V", VALUE), sentence):
            generation, role = {0: (run.last, 0), 1: (1, 0), REAL: (0, REAL)}[whose]
            yield Printed(
                "Headline", run.named(known[what]) if what in known else what, generation, role, match[1], form
            )
            rest = rest.replace(match[1], "", 1)
    for arm, match in enumerate(re.finditer(rf" gives ({VALUE})", sentence), 1):
        label = "Energy of fine detail" if " dB" in sentence else "Distance from real"
        old = "Before correction" in sentence or "counter" not in " ".join(page_sentences)
        counted = run.named("Freckles a face") if old else "freckles/count"
        name = counted if "freckles" in sentence else run.named(label)
        yield Printed("Headline", name, run.last, arm, match[1])
        rest = rest.replace(match[1], "", 1)
    for match in re.finditer(VALUE, rest):
        if "±" in match[0]:
            yield Printed("Headline", "", 0, 0, match[0])


@dataclass(frozen=True)
class Text:
    """A printed number: value and half of its interval, or its two ends, each with the step of its last digit."""

    value: tuple[float, float]
    half: tuple[float, float] | None = None
    ends: tuple[tuple[float, float], tuple[float, float]] | None = None
    starred: bool = False


def read_text(text: str) -> Text | None:
    """Return what a printed number says; None for a text that is none.

    Example:
        >>> read_text("(1.23 ± 0.11) × 10⁻⁶").half
        (1.1e-07, 1e-08)
    """
    plain = text.replace("\u00a0", " ").replace("−", "-").replace(",", "").strip()
    starred = plain.endswith(" *")
    plain = plain.removesuffix(" *").removesuffix(" %").strip()
    number = r"(-?\d+(?:\.\d+)?)"
    power = r"(?: × 10([⁻⁰¹²³⁴-⁹]+))?"
    if match := re.fullmatch(rf"\(?{number} ± {number}\)?{power}", plain):
        return Text(_digits(match[1], match[3]), _digits(match[2], match[3]), starred=starred)
    if match := re.fullmatch(rf"{number}{power} \({number}{power} to {number}{power}\)", plain):
        ends = _digits(match[3], match[4]), _digits(match[5], match[6])
        return Text(_digits(match[1], match[2]), ends=ends, starred=starred)
    if match := re.fullmatch(rf"{number}{power}", plain):
        return Text(_digits(match[1], match[2]), starred=starred)
    return None


def _digits(digits: str, power: str | None) -> tuple[float, float]:
    scale = 10.0 ** int((power or "0").translate(str.maketrans("⁻⁰¹²³⁴⁵⁶⁷⁸⁹", "-0123456789")))
    return float(digits) * scale, 10.0 ** -len(digits.partition(".")[2]) * scale
