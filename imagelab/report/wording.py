"""What a measurement is called where it stands alone: its title, its unit, and what it means, without its key.

A page of one run draws families of measurements into one figure, under one title. Where one member of a family is
shown, as on a comparison or on a slide, it needs a name of its own: the band of an energy, the member of a family.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from .numbers import is_distance
from .panels import family_of, panel_text, title_of
from .planted import counted_thing
from .run_view import Run, plain

__all__ = ["TELLING", "Wording", "octave", "wording"]

TELLING = {"prdc": "prdc/recall"}
"""The member of a family that is shown where only one can be: a loss of variety lowers recall, not precision."""

MEMBERS = {
    "prdc/precision": ("Precision", "the share of generated images that look real"),
    "prdc/recall": ("Recall", "the share of the variety of real images that is still generated"),
    "prdc/density": ("Density", "how many real images each generated one resembles; real images have about 1"),
    "prdc/coverage": ("Coverage", "the share of real images that some generated image resembles"),
    "freckles/corrected": (
        "Freckles a face, corrected for the counter’s errors",
        "corrected for misses and false detections as on real faces, not for spots that the model adds",
    ),
    "freckles/net": (
        "Net freckles a face",
        "spots found minus those that the model adds where there are none, corrected for misses; the interval holds "
        "what blur may hide",
    ),
    "freckles/count": (
        "Freckles found a face",
        "all spots that the counter finds, not corrected, as a mean over all faces, freckled or not",
    ),
    "pixel_variance": ("Pixel variance", "how much images differ from each other; real images have 1"),
}
"""Name -> (title, meaning) of measurements whose title on a page is that of a family, or says less."""

UNITS = {
    "freckles/face": "freckles a face",
    "marks/image": "marks an image",
    "AUC": "AUC, 0.5 is guessing",
    "ratio": "ratio to real images",
    "images": "number of different images",
}


@dataclass(frozen=True)
class Wording:
    """The words for one measurement.

    Attributes:
        title: its name, such as "Energy of detail at 16–32 cycles per image".
        unit: its unit in words; "" where the title or the meaning is enough.
        meaning: what a value says, without a full stop; "" where nothing is known.
    """

    title: str
    unit: str
    meaning: str

    @property
    def phrase(self) -> str:
        """Title and unit; the unit is left out where the title holds it."""
        known = set(self.unit.partition(",")[0].lower().split()) <= set(self.title.lower().split())
        return self.title if known else f"{self.title} ({self.unit})"

    @property
    def axis(self) -> str:
        """The label of an axis that shows it: the unit, else the first words of the title."""
        return plain(self.unit or self.title.partition(" (")[0].lower(), 44)


def octave(name: str) -> str:
    """Return the octave of a band power in words, such as "16–32 cycles per image"; "" for other measurements."""
    found = re.fullmatch(r"band_power/(\d+)-(\d+)", name)
    return f"{found[1]}–{found[2]} cycles per image" if found else ""


def wording(run: Run, name: str) -> Wording:
    """Return the words for a measurement.

    Args:
        run: a run that has it.
        name: its key in ``metrics.jsonl``.
    """
    m = run.at(name, run.last) or run.real(name) or next(iter(run.series(name)), None)
    unit = m.unit if m else ""
    if octave(name):
        meaning = "0 dB is as much as in real images, −3 dB half of it"
        return Wording(f"Energy of detail at {octave(name)}", "dB against real images", meaning)
    if name.startswith("band_power/"):
        part = plain(name.partition("/")[2].replace("-", "–"), 30)
        return Wording(f"Energy of detail: {part}", "dB against real images", "0 dB is as much as in real images")
    thing = counted_thing(run)
    key = name.replace("planted/", "freckles/")
    if key in MEMBERS:
        title, meaning = map(thing.told, MEMBERS[key])
        return Wording(title, thing.told(UNITS.get(unit, plain(unit, 30)).replace("marks", thing.word)), meaning)
    row = run.row(name)
    what = panel_text(run, name) or panel_text(run, family_of(name)) or (row.what if row else "")
    meaning = re.split(r"(?<=[^.])[.:;] ", plain(what, 400))[0].rstrip(".")
    meaning = meaning[:1].lower() + meaning[1:]
    said = UNITS.get(unit, plain(unit, 30)) or ("a distance, without unit" if m and is_distance(m) else "")
    return Wording(title_of(run, name), said, meaning)
