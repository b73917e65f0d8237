"""How a picture file is to be read, and what a reader returns: the pixels, with what is lost in them.

Every reader of pictures (folders, archives, tables, lists of PIL images) takes a :class:`Reading` and returns a
:class:`Picture`, so that the same file gives the same pixels and the same facts wherever it lies.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Literal

import numpy as np

from .depth import Stated, ValueWindow

__all__ = ["Page", "Picture", "Reading", "Source"]

Source = Path | BinaryIO
"""A picture file, or its content."""

Page = int | Literal["all"]
"""Which picture of a file that holds several: its number, from 1; "all" for each of them."""


@dataclass(frozen=True)
class Reading:
    """How the pixels of a picture file are read.

    Attributes:
        alpha_over: RGB 0..255 behind transparent pixels.
        white: the value that means white in pictures whose values are not bytes; None where the file has to say it.
        black: the value that means black in them; None for 0. Where it is stated, white has to be too, and values
            beyond the two are cut to them and counted; else they are refused.
        page: which picture is taken of a file that holds several (TIFF pages, frames of an animation), from 1; None
            takes the first and counts such files. "all" is the first, except in
            :func:`~imagelab.io.catalogue.every_page`.
    """

    alpha_over: tuple[int, int, int] = (255, 255, 255)
    white: float | None = None
    page: Page | None = None
    black: float | None = None

    def __post_init__(self) -> None:
        """Check the settings before a file is opened."""
        if self.black is not None and (self.white is None or not -float("inf") < self.black < self.white):
            white = "no white" if self.white is None else f"white {self.white:g}"
            raise ValueError(f"black: expected a number below white, got black {self.black:g} and {white}")
        least = 0.0 if self.black is None else self.black
        if self.white is not None and not least < self.white < float("inf"):
            raise ValueError(f"white: expected a number above {least:g}, got {self.white}")
        if self.page is not None and self.page != "all" and self.page < 1:
            raise ValueError(f"page: expected a number from 1, or all, got {self.page}")

    def levels_said(self) -> list[str]:
        """Return what was stated of black and white, as a line for the card; nothing where nothing was."""
        if self.white is None:
            return []
        return [f"in pictures whose values are not bytes {self.black or 0:g} is black and {self.white:g} is white"]

    def stated(self) -> Stated:
        """Return black and white for one picture; a new object each time where values beyond them are counted."""
        return self.white if self.black is None or self.white is None else ValueWindow(self.black, self.white)


@dataclass(frozen=True, eq=False)
class Picture:
    """One decoded picture and what is known of its file.

    Attributes:
        pixels: uint8 [C,H,W], C = 1 or 3; may be a read-only view.
        transparent: whether transparency was laid over a colour.
        deep: whether the file has more than 8 bits a channel.
        several: whether the file holds several pictures, of which this is one.
        remarks: what a reader of the numbers has to know, in words that are the same for all pictures.
        said: what the decoder said about the file.
        stored: bytes of the file; 0 where that is not known.
        cut: values beyond the stated black or white, which became 0 or 255.
    """

    pixels: np.ndarray
    transparent: bool = False
    deep: bool = False
    several: bool = False
    remarks: tuple[str, ...] = ()
    said: tuple[str, ...] = ()
    stored: int = 0
    cut: int = 0
