"""Random latent records: the distribution of the rendered faces.

No number here is measured on persons. The distributions are design choices: the faces are varied and friendly, and all
skin tones are equally frequent.
"""

from __future__ import annotations

import numpy as np

from .brush import linear
from .latent import Dress, Extras, Eyes, Face, Hair, Head, Light, Mouth, Skin

__all__ = ["HAIR_COLOURS", "IRIS_COLOURS", "Draw", "sample_face"]

HAIR_COLOURS = {
    "black": linear("17130f"),
    "darkbrown": linear("2e1d13"),
    "brown": linear("4c3020"),
    "chestnut": linear("5f3620"),
    "auburn": linear("7a3416"),
    "ginger": linear("b2561f"),
    "blonde": linear("b98b4c"),
    "platinum": linear("d4bd92"),
    "grey": linear("8d8a86"),
    "white": linear("cfccc6"),
}
IRIS_COLOURS = {
    "brown": linear("55301a"),
    "darkbrown": linear("331d11"),
    "hazel": linear("83602b"),
    "green": linear("5f8048"),
    "blue": linear("4f86b5"),
    "grey": linear("80929c"),
    "amber": linear("8f6428"),
}
_CLOTH = [
    "2f4858",
    "8c3b3b",
    "d6cdbb",
    "35543f",
    "5b4a78",
    "c98b3b",
    "262a33",
    "9db4c0",
    "d87c5a",
    "6d7f6a",
    "e2e0d6",
    "344e86",
    "b5677a",
    "3f7f7a",
]
_BACKDROP = [
    "9fb3bd",
    "c9b8a3",
    "8a9a86",
    "b79c9c",
    "6f7d8c",
    "d6cfc4",
    "a5a9b8",
    "58646e",
    "c4a78a",
    "7d8f9c",
    "e3dcd0",
    "94806e",
]
CLOTH_COLOURS = [linear(c) for c in _CLOTH]
BACKDROP_COLOURS = [linear(c) for c in _BACKDROP]
LIPSTICKS = [linear(c) for c in ("a8323a", "b5525c", "7c2438", "c46a62")]
EYE_SHADOWS = [linear(c) for c in ("7a5a6a", "8a6a4a", "4a5a78")]
FRAME_COLOURS = [linear(c) for c in ("1c1a19", "5a3a22", "8c7a4a", "3a3f4a")]

# weights of hair styles: feminine (SOFT) and masculine (SHORT) presentation, straight and coiled hair
_SOFT = {
    "bob": 0.14,
    "long": 0.20,
    "wavy": 0.20,
    "fringe": 0.13,
    "bun": 0.13,
    "curls": 0.08,
    "afro": 0.04,
    "scarf": 0.05,
}
_SHORT = {"short": 0.30, "sidepart": 0.28, "buzz": 0.15, "bald": 0.07, "curls": 0.11, "afro": 0.05, "long": 0.04}
_SOFT_COILED = {
    "afro": 0.24,
    "curls": 0.20,
    "bun": 0.17,
    "bob": 0.10,
    "long": 0.09,
    "wavy": 0.08,
    "scarf": 0.07,
    "buzz": 0.05,
}
_SHORT_COILED = {"buzz": 0.38, "afro": 0.18, "short": 0.16, "curls": 0.18, "bald": 0.10}

_HAIR_LIGHT = dict(
    black=0.06, darkbrown=0.16, brown=0.22, chestnut=0.14, auburn=0.10, ginger=0.10, blonde=0.16, platinum=0.06
)
_HAIR_MEDIUM = dict(black=0.40, darkbrown=0.32, brown=0.16, chestnut=0.08, blonde=0.04)
_HAIR_DARK = dict(black=0.75, darkbrown=0.20, brown=0.05)
_IRIS_LIGHT = dict(brown=0.26, hazel=0.16, green=0.14, blue=0.30, grey=0.10, amber=0.04)
_IRIS_MEDIUM = dict(brown=0.50, darkbrown=0.30, hazel=0.12, amber=0.05, green=0.03)
_IRIS_DARK = dict(darkbrown=0.70, brown=0.27, hazel=0.03)


class Draw:
    """Random draws from one generator, as Python floats: numpy scalars would turn float32 arithmetic into float64."""

    def __init__(self, rng: np.random.Generator) -> None:
        self.rng = rng

    def uniform(self, low: float, high: float) -> float:
        """Return a number drawn uniformly from low..high."""
        return low + (high - low) * float(self.rng.random())

    def normal(self, mean: float, sd: float, low: float, high: float) -> float:
        """Return a normal number clipped to low..high."""
        return min(max(mean + sd * float(self.rng.standard_normal()), low), high)

    def beta(self, a: float, b: float) -> float:
        """Return a Beta(a, b) number."""
        return float(self.rng.beta(a, b))

    def chance(self, p: float) -> bool:
        """Return True with probability p."""
        return float(self.rng.random()) < p

    def sign(self) -> float:
        """Return -1 or +1."""
        return 1.0 if self.rng.random() < 0.5 else -1.0

    def pick(self, weights: dict[str, float]) -> str:
        """Return a key with probability proportional to its weight."""
        left = float(self.rng.random()) * sum(weights.values())
        for key, weight in weights.items():
            left -= weight
            if left < 0:
                return key
        return next(reversed(weights))

    def one_of(self, items: list[np.ndarray]) -> np.ndarray:
        """Return one of the items, all equally likely."""
        return items[int(self.rng.random() * len(items))]


def sample_face(rng: np.random.Generator) -> Face:
    """Draw one face without rare attributes and without freckles; it depends on the generator only."""
    draw = Draw(rng)
    presentation = draw.beta(0.8, 0.8)
    tone = draw.uniform(0, 9)
    age = draw.beta(1.6, 2.4)
    smile = 0.28 + 0.72 * draw.beta(1.7, 1.5)
    return Face(
        presentation=presentation,
        head=_head(draw, presentation),
        light=_light(draw),
        eyes=_eyes(draw, presentation, tone),
        mouth=_mouth(draw, presentation, tone, smile),
        skin=_skin(draw, presentation, tone, age),
        hair=_hair(draw, presentation, tone, age),
        dress=_dress(draw),
        extras=_extras(draw, presentation),
        texture=int(rng.integers(1, 60)),
    )


def _head(draw: Draw, soft: float) -> Head:
    return Head(
        width=draw.normal(0.662 - 0.014 * soft, 0.018, 0.61, 0.71),
        jaw_power=draw.normal(2.36 - 0.34 * soft, 0.18, 1.85, 2.75),
        jaw_round=draw.normal(0.63 + 0.05 * soft, 0.04, 0.55, 0.76),
        scale=draw.normal(0.780, 0.015, 0.75, 0.81),
        x=draw.normal(0, 0.02, -0.05, 0.05),
        y=draw.normal(-0.035, 0.015, -0.06, 0.0),
        yaw=draw.normal(0, 0.17, -0.38, 0.38),
        pitch=draw.normal(0, 0.045, -0.09, 0.09),
        roll=draw.normal(0, 0.05, -0.12, 0.12),
        neck=draw.normal(0.415 - 0.09 * soft, 0.02, 0.30, 0.45),
    )


def _light(draw: Draw) -> Light:
    warm = draw.uniform(-0.05, 0.09)
    key = np.array([0.97 + warm, 0.92, 0.85 - 0.6 * warm], np.float32)[:, None, None]
    ambient = np.array([0.235, 0.235, 0.250], np.float32)[:, None, None]
    return Light(draw.uniform(-0.8, 0.8), draw.uniform(-0.75, -0.2), key, ambient, draw.uniform(0.95, 1.10))


def _eyes(draw: Draw, soft: float, tone: float) -> Eyes:
    table = _IRIS_LIGHT if tone < 3.2 else _IRIS_MEDIUM if tone < 5.5 else _IRIS_DARK
    iris = IRIS_COLOURS[draw.pick(table)]
    shadowed = soft > 0.6 and draw.chance(0.22)
    return Eyes(
        spacing=draw.normal(0.278, 0.010, 0.255, 0.305),
        height=draw.normal(0.03, 0.012, 0.0, 0.06),
        width=draw.normal(0.156 + 0.014 * soft, 0.008, 0.138, 0.185),
        opening=draw.normal(0.50 + 0.05 * soft, 0.04, 0.42, 0.62),
        tilt=draw.normal(0.04, 0.05, -0.05, 0.14),
        iris_radius=draw.normal(0.46, 0.02, 0.42, 0.51),
        gaze_x=draw.normal(0, 0.07, -0.14, 0.14),
        gaze_y=draw.normal(0, 0.02, -0.05, 0.05),
        crease=draw.normal(0.9, 0.35, 0.25, 1.5),
        lid=draw.uniform(0.30, 0.85),
        lashes=draw.normal(0.62 + 0.5 * soft, 0.12, 0.5, 1.3),
        iris=(iris, iris),
        shadow=draw.one_of(EYE_SHADOWS) if shadowed else None,
        brow_height=draw.normal(0.168 + 0.012 * soft, 0.012, 0.145, 0.205),
        brow_arch=draw.normal(0.55 + 0.5 * soft, 0.18, 0.25, 1.3),
        brow_tilt=draw.normal(0.75, 0.25, 0.3, 1.4),
        brow_thickness=draw.normal(0.037 - 0.012 * soft, 0.004, 0.018, 0.046),
        brow_density=draw.normal(0.80, 0.10, 0.5, 1.0),
    )


def _mouth(draw: Draw, soft: float, tone: float, smile: float) -> Mouth:
    is_open = smile > 0.68
    return Mouth(
        nose_base=draw.normal(0.370, 0.014, 0.34, 0.40),
        nose_width=draw.normal(0.104 + 0.004 * tone - 0.010 * soft, 0.009, 0.085, 0.148),
        nose_height=draw.normal(0.175 - 0.02 * soft - 0.004 * tone, 0.017, 0.11, 0.22),
        height=draw.normal(0.592, 0.012, 0.565, 0.62) - (0.028 if is_open else 0.0),
        width=draw.normal(0.190, 0.011, 0.168, 0.22) + 0.056 * smile,
        smile=smile,
        open=draw.uniform(0.45, 1.0) if is_open else 0.0,
        upper=draw.normal(0.043 + 0.005 * soft + 0.0024 * tone, 0.005, 0.03, 0.078),
        lower=draw.normal(0.060 + 0.007 * soft + 0.0024 * tone, 0.006, 0.045, 0.092),
        redness=draw.normal(0.62 + 0.22 * soft, 0.12, 0.35, 1.1),
        lipstick=draw.one_of(LIPSTICKS) if soft > 0.6 and draw.chance(0.33) else None,
    )


def _skin(draw: Draw, soft: float, tone: float, age: float) -> Skin:
    beard = 0.0
    if soft < 0.4 and draw.chance(0.5):
        left = draw.uniform(0, 1)
        beard = 0.25 if left < 0.38 else 0.45 if left < 0.65 else 0.92
    return Skin(
        tone=tone,
        blood=draw.uniform(0.1, 0.8),
        pores=draw.uniform(0.4, 1.1),
        gloss=draw.uniform(0.5, 1.1),
        blush=draw.normal(0.44 - 0.022 * tone, 0.15, 0.08, 0.85),
        age=age,
        beard=beard,
    )


def _hair(draw: Draw, soft: float, tone: float, age: float) -> Hair:
    coiled = tone > 6
    feminine = draw.chance(soft)
    style = draw.pick((_SOFT_COILED if coiled else _SOFT) if feminine else (_SHORT_COILED if coiled else _SHORT))
    name = draw.pick(_HAIR_LIGHT if tone < 3.2 else _HAIR_MEDIUM if tone < 5.5 else _HAIR_DARK)
    if draw.chance(max(0.0, age - 0.45) * 1.5):
        name = "grey" if draw.chance(0.6) else "white"
    sweep = draw.sign()
    top, sides, length = _volume(draw, style)
    return Hair(
        style=style,
        colour_name=name,
        colour=HAIR_COLOURS[name] * np.float32(draw.uniform(0.85, 1.15)),
        top=top,
        sides=sides,
        part=0.0
        if style == "fringe"
        else -sweep * draw.uniform(0.10, 0.24)
        if style == "sidepart"
        else draw.normal(0, 0.12, -0.26, 0.26),
        fall_left=draw.uniform(0.55, 0.95),
        fall_right=draw.uniform(0.55, 0.95),
        sweep=sweep,
        line=draw.normal(-0.60, 0.03, -0.67, -0.53),
        recede=draw.uniform(0, 1) * (1 - soft),
        phase=draw.uniform(0, 6),
        band=draw.uniform(-0.15, 0.25),
        in_front=draw.chance(0.5),
        curtain=draw.uniform(0.90, 1.0),
        sideburn=draw.uniform(-0.06, 0.06),
        length=length,
    )


def _volume(draw: Draw, style: str) -> tuple[float, float, float]:
    """Return the volume above the crown, the volume at the sides, and the height Y at which the hair ends."""
    spans = {
        "buzz": (0.03, 0.035, 0.010, 0.02, 0.2, 0.2),
        "short": (0.08, 0.18, 0.02, 0.045, 0.2, 0.2),
        "sidepart": (0.08, 0.18, 0.02, 0.045, 0.2, 0.2),
        "bun": (0.035, 0.06, 0.015, 0.03, 0.2, 0.2),
        "afro": (0.20, 0.38, 0.20, 0.38, 0.2, 0.2),
        "curls": (0.11, 0.22, 0.13, 0.24, 0.6, 1.15),
        "bob": (0.07, 0.15, 0.07, 0.12, 0.70, 0.95),
        "long": (0.07, 0.15, 0.07, 0.12, 1.3, 1.6),
        "wavy": (0.07, 0.16, 0.08, 0.13, 1.2, 1.6),
        "fringe": (0.07, 0.15, 0.06, 0.11, 0.75, 1.3),
    }
    low_top, high_top, low_side, high_side, low_end, high_end = spans.get(style, (0.0, 0.0, 0.0, 0.0, 0.2, 0.2))
    return draw.uniform(low_top, high_top), draw.uniform(low_side, high_side), draw.uniform(low_end, high_end)


def _dress(draw: Draw) -> Dress:
    first, second = draw.one_of(BACKDROP_COLOURS), draw.one_of(BACKDROP_COLOURS)
    return Dress(
        backdrop=first * np.float32(draw.uniform(0.8, 1.1)),
        backdrop_dark=first * np.float32(0.45) + second * np.float32(0.15),
        bokeh=draw.chance(0.35),
        cloth=draw.one_of(CLOTH_COLOURS),
        scarf=draw.one_of(CLOTH_COLOURS),
        vneck=draw.chance(0.4),
        knit=draw.chance(0.25),
    )


def _extras(draw: Draw, soft: float) -> Extras:
    ring = draw.uniform(0, 1)
    return Extras(
        glasses=draw.chance(0.12),
        frame=draw.one_of(FRAME_COLOURS),
        frame_x=draw.uniform(0.19, 0.212),
        frame_y=draw.uniform(0.15, 0.182),
        frame_power=(2.0, 2.6, 4.0)[int(draw.uniform(0, 3))],
        frame_thickness=draw.uniform(0.05, 0.09),
        earring=0 if soft <= 0.55 or ring < 0.6 else 1 if ring < 0.85 else 2,
    )
