"""The default dataset: drawn faces with exactly known rare attributes and freckles.

A small numpy renderer draws faces from a few dozen sampled numbers (see ``imagelab.faces.latent``). So the truth about
every image is known: which rare attributes it has, where each freckle is, and how the same face looks without freckles
(its twin). Losses can therefore be measured where they appear first: in fine detail and in the tails.

Guarantees: a face depends on (seed, split, row) and on the attributes assigned to its row, never on the number of
processes that render it. Of n faces exactly round(rate * n) have each rare attribute. The first faces of a larger set
are those of a smaller one, except for one occurrence (at most two rows) of each attribute, the one in its unfinished
stratum (see ``imagelab.faces.rare``). There is no exception if the size of the smaller set is a multiple of 400 (and of
1/freckle_rate where that is set). Exact rates for the requested n were considered more important.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping, Sequence
from typing import ClassVar, Literal

import numpy as np
from pydantic import Field, field_validator

from ..faces.freckles import Style, freckle_chance
from ..faces.latent import Face
from ..faces.parallel import Job, draw_together, pose, record
from ..faces.rare import RARE, choose
from ..faces.render import RENDERER_VERSION, Portrait
from ..io.cache import cache_folder, cached
from ..io.catalogue import BadFile, Split
from ..seeds import rng_at
from .base import Data, Sample

__all__ = ["Faces"]

_STYLES = ("buzz", "short", "sidepart", "bob", "long", "wavy", "afro", "bun", "fringe", "bald", "curls")
_PARALLEL_FROM = 1024
"""The number of faces from which on several processes draw them; fewer are drawn in the calling process."""
_SPLITS = ("train", "heldout", "reserve")


class Faces(Data):
    """Drawn faces that depict nobody, with exact lists of freckles, freckle-free twins and rare attributes.

    Attributes:
        size: side of the pictures: 32, 64, 128 or 256 pixels.
        freckle_style: ``countable`` (dots with a radius of about one pixel, which a small model can reproduce and a
            counter can detect) or ``fine`` (small, realistic dots, for 128 pixels and more).
        freckle_rate: share of faces with freckles, exactly round(rate * n), drawn in proportion to each face's chance
            of freckles, which is higher for lighter skin; None for this chance alone, which depends on skin tone and
            hair colour (about 27 % overall).
        rare: whether rare attributes occur, each in exactly round(rate * n) faces (``imagelab.faces.rare.RARE``).
        supersample: fine pixels per pixel, in each direction.
        cache: whether rendered sets are stored on disk and read again.

    Example:
        >>> sample = Faces(size=32, cache=False).load("train", 3, seed=0)
        >>> sample.images.shape, sample.sources[2]
        ((3, 3, 32, 32), 'faces:train:2')
    """

    noun: ClassVar[str] = "face"
    drawn: ClassVar[bool] = True
    has_twins: ClassVar[bool] = True

    kind: Literal["faces"] = "faces"
    size: int = 64
    freckle_style: Style = "countable"
    freckle_rate: float | None = Field(default=None, ge=0, le=1)
    rare: bool = True
    supersample: int = Field(default=2, ge=1, le=8)
    cache: bool = True

    panel: ClassVar[tuple[str, ...]] = (
        *Data.panel,
        "freckles",
        "tails",
        "shares",
        "memorisation",
        "generalisation",
    )

    @field_validator("size")
    @classmethod
    def _known_size(cls, size: int) -> int:
        if size not in (32, 64, 128, 256):
            raise ValueError(f"size: expected 32, 64, 128 or 256, got {size}")
        return size

    @property
    def counted_style(self) -> Style:
        """``freckle_style``."""
        return self.freckle_style

    @property
    def shape(self) -> tuple[int, int, int]:
        """(3, size, size)."""
        return 3, self.size, self.size

    def available(self, seed: int) -> Mapping[str, int | None]:
        """Return None for every split: the number of faces is unlimited."""
        return dict.fromkeys(_SPLITS)

    def load(self, split: Split, n: int, seed: int) -> Sample:
        """Render n faces of a split, or read them from the cache, with all that is known about them.

        Raises:
            ValueError: if n is below 1, the seed is negative, or the split is unknown.
        """
        _check(split, n)
        if self.cache:
            address, form = self._address(split, n, seed), self._form(n)
            arrays = cached(cache_folder("faces"), address, form, lambda: self._draw(split, n, seed))
        else:
            arrays = self._draw(split, n, seed)
        ends = np.cumsum(arrays["counts"])[:-1]
        twins = arrays["images"].copy()
        twins[arrays["counts"] > 0] = arrays["twins"]
        return Sample(
            images=arrays["images"],
            attributes=dict(zip(self._columns(), arrays["attributes"], strict=True)),
            sources=tuple(f"faces:{split}:{row}" for row in range(n)),
            freckles=tuple(np.split(arrays["freckles"], ends)),
            twins=twins,
        )

    def attributes(self, split: Split, n: int, seed: int) -> dict[str, np.ndarray]:
        """Return the attribute columns of :meth:`load` (bool [n] each) without drawing a picture."""
        _check(split, n)
        rare = self._rare(split, n, seed)
        faces = _records(split, seed, rare, n)
        return self._describe(faces, rare, self._freckled(split, seed, faces))

    @property
    def exact_rates(self) -> frozenset[str]:
        """The rare attributes, and freckles where their rate is set."""
        return frozenset(RARE if self.rare else ()) | ({"freckled"} if self.freckle_rate is not None else set())

    def card(self) -> str:
        """Return the paragraph about this dataset for the report."""
        return (
            f"Faces ({self.size} x {self.size} pixels, {self.freckle_style} freckles): drawn by a program that is part "
            "of imagelab. The pictures depict nobody, no photograph of a person was used, and they have the licence of "
            "imagelab. Adult-looking illustrated faces with ten equally frequent skin tones; freckles, glasses, "
            "headscarves, beards and twelve rare attributes "
            + ("at exact rates from 8 % down to 0.5 %. " if self.rare else "(switched off here). ")
            + "All rates are design choices, not those of a population: being rare here models being rare in a "
            "training set, and a measured loss is a loss of pixels and of attributes, not of anyone's experience. The "
            "truth about every image is known: its attributes, the position of each freckle, and a freckle-free twin. "
            "Limits: the faces look illustrated, the heads are nearly frontal under one light, and distances in "
            "feature spaces made for photographs can be compared only within this set."
        )

    def bad_files(self) -> tuple[BadFile, ...]:
        """Return none: this dataset reads no files."""
        return ()

    def _address(self, split: str, n: int, seed: int) -> str:
        settings = self.model_dump(mode="json", exclude={"cache"})
        address = [settings, split, n, seed, RENDERER_VERSION]
        return hashlib.sha256(json.dumps(address, sort_keys=True).encode()).hexdigest()

    def _form(self, n: int) -> dict[str, tuple[int, ...]]:
        """Return the shapes of the arrays in a complete cache file; -1 for any length."""
        images, twins, columns = (n, *self.shape), (-1, *self.shape), (len(self._columns()), n)
        return {"images": images, "twins": twins, "freckles": (-1, 5), "counts": (n,), "attributes": columns}

    def _columns(self) -> tuple[str, ...]:
        common = (
            "freckled",
            "glasses",
            "headscarf",
            "beard",
            "earrings",
            "lipstick",
            "open_smile",
            "grey_hair",
            "red_hair",
        )
        return (*RARE, *common, *(f"hair_{style}" for style in _STYLES))

    def _rare(self, split: str, n: int, seed: int) -> dict[str, np.ndarray]:
        """Return which rows have which rare attribute: name -> bool [n]."""
        columns = {}
        for name, rate in RARE.items():
            scores = rng_at(seed, f"faces/{split}/assign/{name}").random(n)
            columns[name] = choose(rate if self.rare else 0.0, scores)
        return columns

    def _freckled(self, split: str, seed: int, faces: list[Face]) -> np.ndarray:
        """Return which faces have freckles: bool [n]."""
        luck = rng_at(seed, f"faces/{split}/assign/freckled").random(len(faces))
        chance = np.array([freckle_chance(face) for face in faces])
        if self.freckle_rate is None:
            return luck < chance
        # Gumbel-max trick: in each stratum the row with the largest log p + Gumbel noise is chosen, which is a draw
        # in proportion to the chances p.
        return choose(self.freckle_rate, np.log(chance) - np.log(-np.log(np.clip(luck, 1e-12, 1 - 1e-12))))

    def _describe(
        self, faces: list[Face], rare: Mapping[str, np.ndarray], freckled: np.ndarray
    ) -> dict[str, np.ndarray]:
        columns = dict(rare)
        columns["freckled"] = freckled
        columns["glasses"] = np.array([face.extras.glasses for face in faces])
        columns["headscarf"] = np.array([face.hair.style == "scarf" for face in faces])
        columns["beard"] = np.array([face.skin.beard > 0.4 for face in faces])
        columns["earrings"] = np.array([face.extras.earring > 0 for face in faces])
        columns["lipstick"] = np.array([face.mouth.lipstick is not None for face in faces])
        columns["open_smile"] = np.array([face.mouth.open > 0 for face in faces])
        columns["grey_hair"] = np.array([face.hair.colour_name in ("grey", "white") for face in faces])
        columns["red_hair"] = np.array([face.hair.colour_name in ("ginger", "auburn") for face in faces])
        for style in _STYLES:
            columns[f"hair_{style}"] = np.array([face.hair.style == style for face in faces])
        return {name: columns[name] for name in self._columns()}

    def portraits(self, split: Split, n: int, seed: int, rows: Sequence[int]) -> list[tuple[Face, Portrait]]:
        """Return all that is known about some of the n faces of :meth:`load`.

        Args:
            split: as in :meth:`load`.
            n: as in :meth:`load`; the faces depend on it, because exact rates are assigned over n faces.
            seed: as in :meth:`load`.
            rows: which of the faces, 0..n-1.

        Returns:
            For each row its latent record (see ``imagelab.faces.latent``) and its portrait: picture, twin, freckle
            list, and the masks of bare skin and of freckles (see ``imagelab.faces.render``).

        Example:
            >>> (face, portrait), = Faces(size=32).portraits("train", 3, seed=0, rows=[1])
            >>> portrait.skin.shape, 0 <= face.skin.tone <= 9
            ((32, 32), True)
        """
        _check(split, n)
        if any(not 0 <= row < n for row in rows):
            raise ValueError(f"rows: expected numbers from 0 to {n - 1}, got {list(rows)}")
        order, faces, _ = self._order(split, n, seed)
        return [(faces[row], pose(order, row, faces[row])) for row in rows]

    def _order(self, split: str, n: int, seed: int) -> tuple[Job, list[Face], dict[str, np.ndarray]]:
        rare = self._rare(split, n, seed)
        faces = _records(split, seed, rare, n)
        freckled = self._freckled(split, seed, faces)
        order = Job(
            size=self.size,
            freckle_look=self.freckle_style,
            supersample=self.supersample,
            split=split,
            seed=seed,
            start=0,
            rare=_names(rare, n),
            freckled=tuple(freckled.tolist()),
        )
        return order, faces, rare

    def _draw(self, split: str, n: int, seed: int) -> dict[str, np.ndarray]:
        order, faces, rare = self._order(split, n, seed)
        arrays = draw_together(order, _cores() if n >= _PARALLEL_FROM else 1, faces)
        attributes = self._describe(faces, rare, np.array(order.freckled))
        return {**arrays, "attributes": np.stack(list(attributes.values()))}


def _check(split: str, n: int) -> None:
    if split not in _SPLITS:
        raise ValueError(f"split: expected one of {', '.join(_SPLITS)}, got {split!r}")
    if n < 1:
        raise ValueError(f"n: expected at least 1 face, got {n}")


def _cores() -> int:
    """Return the number of cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _names(rare: Mapping[str, np.ndarray], n: int) -> tuple[tuple[str, ...], ...]:
    """Return the names of the rare attributes of each row."""
    return tuple(tuple(name for name, column in rare.items() if column[row]) for row in range(n))


def _records(split: str, seed: int, rare: Mapping[str, np.ndarray], n: int) -> list[Face]:
    return [record(split, seed, row, names) for row, names in enumerate(_names(rare, n))]
