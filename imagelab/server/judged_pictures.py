"""Judged pictures as an imagefolder with a table, which other tools of labelling and curation read.

    DIR/metadata.csv                one row a picture: file_name, where it comes from, how many people said which word
    DIR/keep/keep/000000.png ...    task / the word that most people said (of equally many, the first of the two)

Every finished session counts. Candidates that a curation did not publish are not in the run any more once their
generation is finished, so they are left out, and counted.
"""

from __future__ import annotations

import csv
import io
from collections import Counter
from pathlib import Path

import numpy as np

from ..export.signed_files import exported_png, origin_in
from ..io.atomic import folder_made_whole
from ..io.disk import storing
from ..pool import REAL
from ..provenance.ledger import Place
from ..run_folder import RunFolder
from .audit_plan import ANSWERS, AuditPicture
from .audit_results import audit_results

__all__ = ["export_judged"]

COLUMNS = ("file_name", "task", "answer", "said", "people", "raters", "source", "generation", "line", "row", "real")


def export_judged(folder: RunFolder, out: Path) -> tuple[int, int]:
    """Write the judged pictures of a run; the folder is complete or absent.

    Args:
        folder: the run.
        out: the folder to write; it must not exist yet.

    Returns:
        How many pictures were written, and how many are not in the run any more.

    Raises:
        ValueError: if the folder exists, or nobody has finished a session.
        NotStored: if the disk is full or refuses to write.
    """
    said: dict[tuple[str, int, AuditPicture], list[tuple[str, str]]] = {}
    for each in audit_results(folder.path).sessions:
        for picture, word, _ in each.answers:
            said.setdefault((each.asked.task, each.asked.line, picture), []).append((each.rater, word))
    if not said:
        raise ValueError(f"{folder.path}: nobody has finished a session yet: imagelab audit RUN")
    table = io.StringIO()
    writer = csv.writer(table, lineterminator="\n")
    writer.writerow(COLUMNS)
    written = missing = 0
    with storing(out), folder_made_whole(out) as partial:
        for (task, line, picture), words in said.items():
            place = _place(folder, picture, line)
            if place is None:
                missing += 1
                continue
            counted = Counter(word for _, word in words)
            word = max(ANSWERS["keep" if task == "keep" else "tell"], key=lambda each: counted[each])
            name = f"{task}/{word}/{written:06d}.png"
            (partial / name).parent.mkdir(parents=True, exist_ok=True)
            facts = {
                "run": folder.path.resolve().name,
                "signature": folder.config["signature"],
                "generation": picture.generation,
                "line": place.line,
                "row": place.row,
            }
            pixels = np.ascontiguousarray(place.pixels().transpose(1, 2, 0))
            (partial / name).write_bytes(exported_png(pixels, facts, origin_in(folder, picture.generation)))
            raters = " ".join(f"{rater}:{answer}" for rater, answer in words)
            about = place.array.removesuffix(".npy"), picture.generation, place.line, place.row, picture.is_real
            writer.writerow([name, task, word, counted[word], len(words), raters, *about])
            written += 1
        (partial / "metadata.csv").write_text(table.getvalue(), encoding="utf-8")
    return written, missing


def _place(folder: RunFolder, picture: AuditPicture, line: int) -> Place | None:
    """Return where a picture lies in the run; None for a candidate that was not published."""
    if picture.source != "candidates":
        return Place(
            folder, picture.generation, REAL if picture.is_real else line, f"{picture.source}.npy", picture.row
        )
    if not folder.has(picture.generation, line):
        return None
    rows = np.flatnonzero(folder.candidates(picture.generation, line) == picture.row)
    return Place(folder, picture.generation, line, "images.npy", int(rows[0])) if len(rows) else None
