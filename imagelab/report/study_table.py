"""The effects of a study as text: the cards at the top of its page, and the rows of its table."""

from __future__ import annotations

from dataclasses import dataclass

from .numbers import NBSP, number
from .study_cells import cell_text, level_words
from .study_effects import Effect

__all__ = ["EFFECT_TABLE", "HOLDS", "EffectColumn", "effect_card", "effect_row"]

HOLDS = {
    "seeds": "between seeds: other real images, other trainings, other images drawn",
    "trainings": "between trainings: other trainings and the images they draw, on these real images alone",
    "images": "images alone: other images of the same models. Each point compared is one training of one seed, so no "
    "interval over trainings exists, and another training may differ by more",
}
"""What an interval holds, by its scope."""


@dataclass(frozen=True)
class EffectColumn:
    """One column of the table of effects: its key in a row, its title, and what it means."""

    key: str
    title: str
    meaning: str = ""


EFFECT_TABLE = (
    EffectColumn("difference", "Difference"),
    EffectColumn(
        "seeds",
        "± between seeds",
        "Between seeds: other real images, other trainings and other images drawn (Student’s t over the "
        "seeds, paired).",
    ),
    EffectColumn(
        "trainings",
        "± between trainings",
        "Between trainings: other trainings and the images they draw, on these real images alone (Satterthwaite).",
    ),
    EffectColumn(
        "images",
        "± images alone",
        "Images alone: other images of the same models, the errors of the points added as if they did not share their "
        "real images, which makes it too wide, often by far.",
    ),
    EffectColumn(
        "mixed",
        "± mixed model",
        "Mixed model: a random intercept for each seed and one residual variance for all points (restricted maximum "
        "likelihood); it holds what “between seeds” holds, but only if all settings scatter alike, so it is a check.",
    ),
    EffectColumn("ratio", "In standard deviations of retraining"),
    EffectColumn(
        "range",
        "Range over the other settings",
        "Range: the smallest and the largest difference within one choice of the other settings; a wide range says "
        "that the settings act together and that one number does not describe this effect.",
    ),
    EffectColumn("pairs", "Pairs"),
    EffectColumn("p", "p, corrected"),
)
"""The table of effects; a column without any value is left out."""


def effect_card(effect: Effect, short: dict[str, str]) -> dict[str, str]:
    """Return the texts of the card of an effect: label, value and small print.

    Args:
        effect: the effect.
        short: setting -> its short name.
    """
    each = effect.estimated
    label = f"{short[effect.axis]}: {level_words(effect.value)} instead of {level_words(effect.base)}"
    sign = "+" if each.value > 0 else ""
    estimated = "" if effect.own else ", as estimated"
    aside = "" if effect.ratio is None else f"{_signed(effect.ratio)} standard deviations of retraining{estimated}"
    p = "" if effect.p is None else _p_words(effect.p)
    holds = f"± {HOLDS[each.scope].partition(':')[0]}" if each.scope else "no interval is known"
    return {"label": label, "value": f"{sign}{cell_text(each)}", "fine": "; ".join(filter(None, [holds, aside, p]))}


def _p_words(p: float) -> str:
    return "p\u00a0<\u00a00.001" if p < 0.001 else f"p\u00a0=\u00a0{p:.3f}"


def effect_row(effect: Effect) -> dict[str, str]:
    """Return the cells of a row of effects, as text."""
    each = effect.estimated
    return {
        "difference": cell_text(each),
        "scope": each.scope or "–",
        "seeds": _half(each.value, each.seeds),
        "trainings": _half(each.value, each.trainings),
        "images": _half(each.value, each.images),
        "mixed": _half(each.value, effect.mixed),
        "range": _range(effect),
        "pairs": f"{effect.pairs} of {effect.planned}",
        "ratio": "–" if effect.ratio is None else _signed(effect.ratio),
        "p": "–" if effect.p is None else _p_words(effect.p)[2:].removeprefix("=\u00a0"),
    }


def _signed(ratio: float) -> str:
    text = f"{ratio:+.1f}"
    return "0.0" if text[1:] == "0.0" else text.replace("-", "−")


def _half(value: float, half: float | None) -> str:
    return "–" if half is None else number(value, half or None).partition("±")[2].strip() or "0"


def _range(effect: Effect) -> str:
    if effect.choices < 2:
        return "–"
    step = effect.estimated.half or max(abs(effect.lowest), abs(effect.highest)) / 100 or None
    low, high = (number(each, step).partition(NBSP)[0].lstrip("(") for each in (effect.lowest, effect.highest))
    return f"{low} to {high}"
