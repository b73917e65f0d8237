"""What was seen while a set was read: counts, reasons, remarks, and the sentences that tell of them."""

from __future__ import annotations

from dataclasses import dataclass, field

from .catalogue import BadFile
from .reading import Picture

__all__ = ["LISTED", "Facts"]

LISTED = 5  # pictures named one by one in a message


@dataclass
class Facts:
    """What was seen while a set was read. Counts are of the pictures that were kept.

    Attributes:
        bad: refused pictures, as (name, reason).
        resampled: pictures whose size was changed.
        enlarged: pictures whose shorter side was below the size; their fine detail is interpolated.
        cropped: pictures that lost their edges to become square.
        endings: how many pictures of each file name suffix; None where the set was not read from pictures.
        transparent: pictures with transparency, laid over a colour.
        deep: pictures of more than 8 bits a channel.
        several: pictures whose files hold more than one.
        remarks: what a reader of the numbers has to know -> of how many pictures.
        said: what decoders said, as (name, text), for the first pictures of which they said something.
        warned: pictures of which decoders said something.
        span: smallest and largest value before it became a byte; None for pictures and bytes.
        cut: pictures with values beyond the stated black or white, which were cut to them.
        cut_values: how many values these are.
        copies: pictures left out because their pixels equal those of an earlier one.
        rows: where copies are left out: the catalogue's row of each picture that was kept, in order.
        digests: where copies are left out: SHA-256 of the pixels of each picture that was kept, hex.
    """

    bad: list[tuple[str, str]] = field(default_factory=list)
    resampled: int = 0
    enlarged: int = 0
    cropped: int = 0
    endings: dict[str, int] | None = None
    transparent: int = 0
    deep: int = 0
    several: int = 0
    remarks: dict[str, int] = field(default_factory=dict)
    said: list[tuple[str, str]] = field(default_factory=list)
    warned: int = 0
    span: tuple[float, float] | None = None
    cut: int = 0
    cut_values: int = 0
    copies: int = 0
    rows: list[int] = field(default_factory=list)
    digests: list[str] = field(default_factory=list)

    def add(self, picture: Picture, name: str) -> None:
        """Count what is known of a picture."""
        self.transparent += picture.transparent
        self.deep += picture.deep
        self.several += picture.several
        self.cut += bool(picture.cut)
        self.cut_values += picture.cut
        for remark in picture.remarks:
            self.remarks[remark] = self.remarks.get(remark, 0) + 1
        self.warned += bool(picture.said)
        if picture.said and len(self.said) < LISTED:
            self.said.append((name, "; ".join(picture.said)))

    def bad_files(self) -> tuple[BadFile, ...]:
        """Return the refused pictures as the datasets name them."""
        return tuple(BadFile(name, reason) for name, reason in self.bad)

    def sentences(self, behind: str, page: str) -> list[str]:
        """Return what was done to the pixels and what has to be known of the files, one line each.

        Args:
            behind: the colour behind transparent pixels, in words.
            page: how another picture of a file is chosen; "" where one was chosen.
        """
        lines = []
        if self.transparent:
            lines.append(f"transparent and composited over {behind}: {self.transparent}")
        if self.deep:
            lines.append(f"more than 8 bits a channel, rounded to 8: {self.deep}")
        if self.cut:
            count = f"{self.cut} ({self.cut_values:,} values)"
            lines.append(f"pictures with values beyond the stated black or white, which became 0 or 255: {count}")
        if self.several and page:
            lines.append(f"files with several pictures, of which the first was taken: {self.several}; {page}")
        lines += [f"{remark}: {count}" for remark, count in sorted(self.remarks.items())]
        if self.warned:
            listed = "".join(f"\n  {name}: {text}" for name, text in self.said)
            more = f"\n  and {self.warned - len(self.said)} more" if self.warned > len(self.said) else ""
            lines.append(f"read although the decoder found faults: {self.warned}{listed}{more}")
        return lines
