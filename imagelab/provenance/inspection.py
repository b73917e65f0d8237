"""What a picture file is, and how that is known: all evidence, the strongest first.

    signature   the file is signed, by a key that the reader trusts (or by another one, or it was changed since)
    ledger      its pixels are, bit for bit, a row of a run
    near        it looks like a row of a run; how often that is a false match was measured
    estimate    the detector of a run (`imagelab detect`) scores it; how often real images score as high was measured
    mark        the file itself says how it came about; anybody can write that

A file of which nothing is known is unknown. It is not "real": marks get lost whenever a picture is saved again, and
models exist whose pictures carry none.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any, Literal

import numpy as np

from ..io.pictures import read_picture
from ..io.reading import Picture
from ..io.untrusted import regular, shown
from ..run_folder import RunFolder
from .claims import Claims, claims_in, is_svg, svg_claims
from .collages import Tiles, tiles_in
from .estimates import estimated
from .fingerprints import BITS, pixel_name
from .ledger import Ledger, Place
from .near_match import ACCEPTED, measured_sizes, threshold_for
from .origins import facts_of, told_ancestry, told_place
from .signatures import HOW_TO_INSTALL, Signature, can_verify, verify
from .signed_runs import signed_row

__all__ = ["Answer", "Finding", "inspect_file"]

Kind = Literal["signature", "ledger", "collage", "near", "estimate", "mark", "unknown", "unreadable"]

UNKNOWN = (
    "Nothing is known about its origin. That is no evidence that it is real: marks and signatures are lost whenever a "
    "picture is saved again, and most programs never write any."
)
MARK = "Anybody can write this into a file, so it is a claim and no evidence."
MOST_PLACES = 5  # that are told of one picture

STRENGTH = {
    "signed by a trusted key": 80,
    "row of a run": 70,
    "row of a run that was changed": 60,
    "collage": 55,
    "near match": 50,
    "signed by another key": 40,
    "estimate": 30,
    "mark": 20,
    "unknown": 10,
}
"""The order of the evidence; what is not listed answers nothing by itself."""


@dataclass(frozen=True)
class Finding:
    """One piece of evidence.

    Attributes:
        kind: see the module.
        headline: one sentence; the answer, if this is the strongest evidence.
        details: further sentences.
        facts: the same as JSON values.
        strength: the larger, the stronger; 0 for what answers nothing by itself.
    """

    kind: Kind
    headline: str
    details: tuple[str, ...] = ()
    facts: dict[str, Any] = field(default_factory=dict)
    strength: int = 0


@dataclass(frozen=True)
class Answer:
    """What is known about a file.

    Attributes:
        path: the file.
        findings: the evidence, strongest first; at least one.
        remarks: what else is worth knowing: a link, several pictures in one file, what could not be looked at.
        pixels: name of its pixels; "" where they could not be read.
        readable: whether the file could be read.
    """

    path: Path
    findings: tuple[Finding, ...]
    remarks: tuple[str, ...] = ()
    pixels: str = ""
    readable: bool = True

    def json(self) -> dict[str, Any]:
        """Return all of it as JSON values."""
        return {
            "file": shown(self.path),
            "answer": self.findings[0].kind,
            "says": self.findings[0].headline,
            "readable": self.readable,
            "pixels": self.pixels,
            "findings": [
                {
                    "kind": f.kind,
                    "says": f.headline,
                    "details": list(f.details),
                    **({"facts": f.facts} if f.facts else {}),
                }
                for f in self.findings
            ],
            "remarks": list(self.remarks),
        }


def inspect_file(path: Path, ledger: Ledger, anchors: Sequence[str] = ()) -> Answer:
    """Return all that is known about a file. No error of the file is raised, and nothing is fetched from a network.

    Args:
        path: the file; of a link, what it points to.
        ledger: the pictures of the runs that are searched.
        anchors: certificates, PEM, of the keys that are trusted.
    """
    findings: list[Finding] = []
    remarks = [f"It is a link to {shown(path.resolve())}."] if path.is_symlink() else []
    try:
        regular(path)
        if is_svg(path):
            return _of_drawing(path, remarks)
        picture = read_picture(path)
    except (ValueError, OSError) as error:
        reason = str(error).removeprefix(f"{shown(path)}: ")
        findings.append(Finding("unreadable", f"It cannot be read as a picture: {reason}."))
        picture = None
    try:
        if path.is_file():
            findings += _signed(path, picture, anchors)
    except (ValueError, OSError) as error:
        remarks.append(f"Its signature was not checked: {error}.")
    if picture is not None:
        remarks += _remarks(picture)
        known = _in_ledger(picture.pixels, ledger, anchors)
        findings += known or _alike(picture.pixels, ledger)
        estimates, unused = estimated(picture.pixels, ledger.runs)
        findings += [
            Finding("estimate", words, details, facts, STRENGTH["estimate"] * counts)
            for words, details, facts, counts in estimates
        ]
        remarks += unused
        findings += _claimed(claims_in(path), picture)
    if not can_verify():
        remarks.append(f"Signatures were not looked for; that needs: {HOW_TO_INSTALL}")
    if picture is not None and not any(finding.strength for finding in findings):
        findings.append(Finding("unknown", UNKNOWN, (_searched(ledger),), strength=STRENGTH["unknown"]))
    findings.sort(key=lambda finding: -finding.strength)
    name = "" if picture is None else pixel_name(picture.pixels)
    return Answer(path, tuple(findings), tuple(remarks), name, picture is not None)


def _of_drawing(path: Path, remarks: list[str]) -> Answer:
    found = _claimed(svg_claims(path), None)
    remarks.append("It is an SVG drawing; it has no pixels, so it is looked for in no ledger.")
    return Answer(path, tuple(found or [Finding("unknown", UNKNOWN, strength=STRENGTH["unknown"])]), tuple(remarks))


def _remarks(picture: Picture) -> list[str]:
    said = ["The file holds several pictures; this is about the first."] if picture.several else []
    return said + (["It has more than 8 bits a channel; its pixels were rounded to 8."] if picture.deep else [])


def _signed(path: Path, picture: Picture | None, anchors: Sequence[str]) -> list[Finding]:
    signature = verify(path, anchors) if can_verify() else None
    if signature is None:
        return []
    if signature.state == "elsewhere":
        words = f"The file names an address of a signed statement, which is not looked up: {signature.address}"
        return [Finding("signature", words, facts={"state": signature.state, "address": signature.address})]
    facts = {
        "state": signature.state,
        "signer": signature.signer,
        "detached": signature.detached,
        "origin": signature.origin,
        "record": dict(signature.record),
        "failures": [code for code, _ in signature.failures],
        "covered": [list(part) for part in signature.covered],
    }
    details = [*_stated(signature), *_differs(signature.record.get("pixel_sha256"), picture, "the signed statement")]
    if signature.state == "invalid":
        words = "What the statement says of run, row and origin proves nothing about this file."
        return [Finding("signature", f"Its signature is not valid. {signature.reason}", (words,), facts)]
    if signature.state == "trusted":
        headline = f"Signed by a key that you trust ({signature.signer}), and not changed since."
        return [Finding("signature", headline, tuple(details), facts, STRENGTH["signed by a trusted key"])]
    headline = f"Signed by a key that you do not know, which calls itself {signature.signer}; not changed since then."
    words = "Anybody can make such a key under any name: the signature proves that the file is whole, not who made it."
    return [Finding("signature", headline, (words, *details), facts, STRENGTH["signed by another key"])]


def _stated(signature: Signature) -> list[str]:
    said = [f"The signer states the source type {signature.origin}."] if signature.origin else []
    if signature.record:
        names = ("run", "generation", "line", "row", "noise_seed", "trained_on")
        told = [f"{name.replace('_', ' ')} {signature.record[name]}" for name in names if name in signature.record]
        said.append(f"The signer states its place: {', '.join(told)}.")
    return said


def _differs(digest: object, picture: Picture | None, where: str) -> list[str]:
    """Return a sentence if a statement names other pixels than those of the picture."""
    if not isinstance(digest, str) or picture is None:
        return []
    forms = [picture.pixels, picture.pixels[:1]]  # a grey picture is read as three equal channels
    if digest in {pixel_name(np.ascontiguousarray(form)).partition(":")[2] for form in forms}:
        return []
    return [f"The pixels are not those that {where} names."]


def _in_ledger(pixels: np.ndarray, ledger: Ledger, anchors: Sequence[str]) -> list[Finding]:
    places = ledger.find(pixels)
    if not places:
        return []
    for place in places:
        try:
            facts = facts_of(place)
            equal = np.array_equal(place.pixels(), pixels[: len(place.pixels())])
            details = [*_noise(facts), *told_ancestry(place.run, facts), *_elsewhere(places, place), *_whole(place.run)]
            if place.array == "images.npy":
                listed = signed_row(place.run, place.generation, place.line, place.row, anchors)
                details += [listed] if listed else []
        except (ValueError, OSError) as error:
            lost = f"The ledger of a run lists these pixels, but its files are not what it wrote any more: {error}"
            places = [other for other in places if other != place]
            if not places:
                return [Finding("ledger", lost, strength=STRENGTH["row of a run that was changed"])]
            continue
        if equal:
            words = f"Bit for bit {told_place(place)}."
            return [Finding("ledger", words, tuple(details), facts, STRENGTH["row of a run"])]
    return []


def _noise(facts: dict[str, Any]) -> list[str]:
    return [f"Its noise seed is {facts['noise_seed']}."] if "noise_seed" in facts else []


def _elsewhere(places: Sequence[Place], told: Place) -> list[str]:
    others = [place for place in places if place != told]
    if not others:
        return []
    more = f", and {len(others) - MOST_PLACES} more" if len(others) > MOST_PLACES else ""
    return [f"The same pixels: {'; '.join(map(told_place, others[:MOST_PLACES]))}{more}."]


@lru_cache(maxsize=64)
def _whole(run: RunFolder) -> tuple[str, ...]:
    """Return a sentence if a run is not whole; looked at once of each run that was opened."""
    problems = run.problems()
    if not problems:
        return ()
    return (f"The run is not what it wrote any more ({problems[0]}); `imagelab check` says all.",)


def _alike(pixels: np.ndarray, ledger: Ledger) -> list[Finding]:
    """Return the collage or the near match, or say why nobody is named."""
    tiles = tiles_in(pixels, ledger)
    if tiles is not None:
        return [_collage(tiles)]
    found = [near for size in measured_sizes() if (near := _near(pixels, ledger, size)) is not None]
    return sorted(found, key=lambda finding: -finding.strength)[:1]


def _near(pixels: np.ndarray, ledger: Ledger, sizes: tuple[int, int]) -> Finding | None:
    """Return what is to be said of the nearest row among those of one class of sizes; None if there are none."""
    limit = threshold_for(sizes[0], len(ledger)) if 2 * min(pixels.shape[1:]) >= sizes[0] else None
    near = ledger.nearest(pixels, limit.bits if limit else BITS[0], limit.most if limit else 0, sizes)
    if near is None:
        return None
    if limit is None:
        words = (
            f"No near match is named among {near.searched:,} rows of {sizes[0]} px or more: no threshold was measured "
            f"that keeps false matches below {ACCEPTED:.0%} of pictures."
        )
        return Finding("near", words)
    place = near.places[0]
    facts: dict[str, Any] = {
        "bits": limit.bits,
        "distance": near.distance,
        "threshold": limit.most,
        "searched": near.searched,
        "false_at_most": float(f"{limit.false_at_most:.2g}"),
        "calibration": {"kind": limit.worst, "size": limit.size, "false": limit.false, "n": limit.n},
        "nearest": {"run": shown(place.run.path.name), "generation": place.generation, "line": place.line},
    }
    facts["nearest"] |= {"array": place.array, "row": place.row}
    measured = (
        f"False matches within {limit.most} bits in {limit.rows:,} rows: at most {limit.false_at_most:.2%} of pictures "
        f"(95 % limit; {limit.false} of {limit.n:,} among {limit.gallery:,} {limit.worst} of {limit.size} px)."
    )
    apart = f"{near.distance} of {limit.bits} bits of the perceptual hash differ; up to {limit.most} count"
    if near.distance > limit.most:
        words = f"The nearest row of these runs is no near match: {apart}."
        details = (f"It is {told_place(place)}.", measured, "Cropped versions of a row are not found in this way.")
        return Finding("near", words, details, facts)
    if len(near.places) > 1:
        words = f"{len(near.places)} rows of these runs are within the threshold: {apart}. So none of them is named."
        return Finding("near", words, (measured,), {**facts, "candidates": len(near.places)})
    headline = f"Probably a version of {told_place(place)}: {apart}."
    try:
        known = facts_of(place)
    except ValueError as error:
        return Finding(
            "near", headline, (measured, f"Its ancestry cannot be read: {error}"), facts, STRENGTH["near match"]
        )
    details = (measured, *_noise(known), *told_ancestry(place.run, known))
    return Finding("near", headline, details, {**facts, "nearest": known}, STRENGTH["near match"])


def _collage(tiles: Tiles) -> Finding:
    names = [told_place(place) for place in tiles.places[:MOST_PLACES]]
    more = f"; and {len(tiles.places) - MOST_PLACES} more" if len(tiles.places) > MOST_PLACES else ""
    headline = f"A collage: {len(tiles.places)} of its {tiles.count} tiles are, bit for bit, rows of these runs."
    facts = {"tiles": tiles.count, "known": [facts_of(place) for place in tiles.places[:100]]}
    return Finding("collage", headline, (f"They are {'; '.join(names)}{more}.",), facts, STRENGTH["collage"])


def _claimed(claims: Claims, picture: Picture | None) -> list[Finding]:
    if not claims:
        return []
    facts = {"address": claims.address, "software": claims.software, "record": dict(claims.record or {})}
    details = [MARK]
    if claims.record:
        names = ("run", "generation", "line", "row")
        told = [f"{name} {claims.record[name]}" for name in names if name in claims.record]
        details.insert(0, f"It says that its place is {', '.join(told)}.")
        details += _differs(claims.record.get("sha256"), picture, "the mark")
    if claims.software:
        details.insert(0, f"It says that it was written by {claims.software}.")
    headline = f"The file says of itself: {claims.words}." if claims.words else "The file says something of itself."
    return [Finding("mark", headline, tuple(details), facts, STRENGTH["mark"] if claims.origin or claims.record else 0)]


def _searched(ledger: Ledger) -> str:
    if not ledger.runs:
        return "No run was searched."
    return f"It is no row of the {len(ledger.runs)} run{'s' * (len(ledger.runs) != 1)} searched ({len(ledger):,} rows)."
