"""The latent record of a rendered face: a few dozen numbers that determine the whole image, except freckles and grain.

Lengths are in head units (half the height of the head: crown at -1, chin at +1) unless another unit is given. Colours
are linear RGB, float32 [3,1,1]. The records are frozen; sample.py draws them at random.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

__all__ = ["Dress", "Extras", "Eyes", "Face", "Hair", "Head", "Light", "Marks", "Mouth", "Skin"]


@dataclass(frozen=True)
class Head:
    """Outline and pose: half-width, exponents of the jaw, scale and centre in the image (-1..1), angles in radians."""

    width: float
    jaw_power: float
    jaw_round: float
    scale: float
    x: float
    y: float
    yaw: float
    pitch: float
    roll: float
    neck: float


@dataclass(frozen=True)
class Light:
    """Direction of the key light (x, y, 0.9), its colour, the ambient colour, and the exposure (a factor)."""

    x: float
    y: float
    key: np.ndarray
    ambient: np.ndarray
    exposure: float


@dataclass(frozen=True)
class Eyes:
    """Eyes and brows. ``opening``, ``iris_radius`` and gaze are in half eye widths; ``iris`` is (left, right)."""

    spacing: float
    height: float
    width: float
    opening: float
    tilt: float
    iris_radius: float
    gaze_x: float
    gaze_y: float
    crease: float
    lid: float
    lashes: float
    iris: tuple[np.ndarray, np.ndarray]
    shadow: np.ndarray | None
    brow_height: float
    brow_arch: float
    brow_tilt: float
    brow_thickness: float
    brow_density: float


@dataclass(frozen=True)
class Mouth:
    """Nose and mouth: heights, widths, lip thickness; ``smile`` and ``open`` 0..1."""

    nose_base: float
    nose_width: float
    nose_height: float
    height: float
    width: float
    smile: float
    open: float
    upper: float
    lower: float
    redness: float
    lipstick: np.ndarray | None


@dataclass(frozen=True)
class Skin:
    """Skin: tone index 0 (lightest) to 9 (darkest), blood, pores, gloss, blush, age 0..1, beard density 0..1."""

    tone: float
    blood: float
    pores: float
    gloss: float
    blush: float
    age: float
    beard: float


@dataclass(frozen=True)
class Hair:
    """Hair style, colour and the parameters of its drawing (see hair.py)."""

    style: str
    colour_name: str
    colour: np.ndarray
    top: float
    sides: float
    part: float
    fall_left: float
    fall_right: float
    sweep: float
    line: float
    recede: float
    phase: float
    band: float
    in_front: bool
    curtain: float
    sideburn: float
    length: float


@dataclass(frozen=True)
class Dress:
    """Backdrop and clothes."""

    backdrop: np.ndarray
    backdrop_dark: np.ndarray
    bokeh: bool
    cloth: np.ndarray
    scarf: np.ndarray
    vneck: bool
    knit: bool


@dataclass(frozen=True)
class Extras:
    """Glasses (with the half sizes, roundness and thickness of the frame) and earrings (0 none, 1 stud, 2 hoop)."""

    glasses: bool
    frame: np.ndarray
    frame_x: float
    frame_y: float
    frame_power: float
    frame_thickness: float
    earring: int


@dataclass(frozen=True)
class Marks:
    """Rare attributes that are painted on the face; None, empty or 0 if absent. Signs -1 and +1 give the side."""

    mole: tuple[float, float, float] | None = None
    scar: tuple[float, float, float, float] | None = None
    birthmark: tuple[float, float, float] | None = None
    vitiligo: tuple[tuple[float, float, float], ...] = ()
    paint: tuple[np.ndarray, int] | None = None
    bindi: bool = False
    stud: float = 0.0
    hearing_aid: float = 0.0
    eyepatch: float = 0.0
    tooth_gap: bool = False


@dataclass(frozen=True)
class Face:
    """One face: presentation (0 masculine to 1 feminine), its parts, and the seed of its textures."""

    presentation: float
    head: Head
    light: Light
    eyes: Eyes
    mouth: Mouth
    skin: Skin
    hair: Hair
    dress: Dress
    extras: Extras
    texture: int
    marks: Marks = field(default_factory=Marks)
