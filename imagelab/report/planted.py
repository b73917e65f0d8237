"""What a run counts, and what it is called: freckles on faces, or marks that were planted on pictures.

Both have the same measurements under another stem (``freckles/count``, ``planted/count``), the same controls, and the
same place on a page. The texts of the page are written for freckles; :meth:`CountedThing.told` says them of dots,
strokes or symbols.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ..io.untrusted import parsing
from ..metrics.planted_counter import COUNTER, COUNTER_CARD, PlantedCounter, card_sentences, read_counter, too_poor
from ..pool import REAL
from .run_view import Run, plain

__all__ = ["SHARED", "CountedThing", "counted_thing", "planted_card", "planted_counter", "planted_sentences"]

WORDS = {"dots": "dots", "strokes": "strokes", "glyph": "symbols"}
SHARED = ("count", "corrected", "net", "blank", "twin", "matched")
"""The measurements that freckles and planted marks have alike."""

MOST_LETTERS = 1_000_000  # of a card


@dataclass(frozen=True)
class CountedThing:
    """What is counted.

    Attributes:
        stem: "freckles" or "planted", with which the names of its measurements begin.
        word: what several of them are called.
    """

    stem: str
    word: str

    def name(self, part: str) -> str:
        """Return the name of a measurement, such as "planted/net"."""
        return f"{self.stem}/{part}"

    @property
    def count(self) -> str:
        """The name of the raw count."""
        return self.name("count")

    @property
    def controls(self) -> tuple[str, str]:
        """What is counted where there are none, the better control first: a twin of the loop, unmarked copies."""
        return self.name("twin"), self.name("blank")

    def told(self, text: str) -> str:
        """Return a text that was written for freckles, said of what is counted.

        Example:
            >>> CountedThing("planted", "dots").told("Freckles found a face; freckle-free faces")
            'Dots found an image; unmarked images'
        """
        if self.stem == "freckles":
            return text
        for theirs, ours in (
            ("freckle-free", "unmarked"),
            ("freckled or not", "marked or not"),
            ("Freckles", self.word.capitalize()),
            ("freckles", self.word),
            ("Spots", self.word.capitalize()),
            ("spots", self.word),
            ("a face", "an image"),
            ("Faces", "Images"),
            ("faces", "images"),
            ("face", "image"),
        ):
            text = text.replace(theirs, ours)
        return text


FRECKLES = CountedThing("freckles", "freckles")


def counted_thing(run: Run) -> CountedThing:
    """Return what a run counts; freckles where it has measured no planted marks."""
    if not any(name.startswith("planted/") for name in run.names):
        return FRECKLES
    data = run.experiment.get("data")
    mark = data.get("mark") if isinstance(data, Mapping) else None
    kind = mark.get("kind") if isinstance(mark, Mapping) else None
    return CountedThing("planted", WORDS.get(str(kind), "marks"))


def planted_card(run: Run) -> Mapping[str, Any]:
    """Return the card of the counter of planted marks; empty where the run has none.

    Raises:
        ValueError: naming the file, if it is damaged.
    """
    if (0, REAL) not in run.shards or not run.store.has_file(0, REAL, COUNTER_CARD):
        return {}
    path = run.store.file(0, REAL, COUNTER_CARD)
    with parsing(path, "a whole card of a counter"):
        text = path.read_text(encoding="utf-8")
        if len(text) > MOST_LETTERS:
            raise ValueError(f"{len(text)} letters")
        card = json.loads(text)
        card_sentences(card)  # what the page prints is there
    return card


def planted_sentences(run: Run) -> list[str]:
    """Return the card in sentences; empty where the run has no counter of planted marks."""
    card = planted_card(run)
    return [plain(sentence, 500) for sentence in card_sentences(card)] if card else []


def planted_counter(run: Run) -> PlantedCounter | None:
    """Return the counter of planted marks; None where the run has none, or it is too poor to count."""
    card = planted_card(run)
    if not card or too_poor(card):
        return None
    counter = read_counter(run.store.file(0, REAL, COUNTER))
    return counter if counter.digest == card.get("digest") else None
