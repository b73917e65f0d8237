"""Attributes in words: what a reader calls what the dataset calls ``hair_fringe``."""

from __future__ import annotations

__all__ = ["attribute_words"]

HAIR = {
    "afro": "afro hair",
    "bald": "bald head",
    "bob": "bob haircut",
    "bun": "hair in a bun",
    "buzz": "buzz cut",
    "curls": "curly hair",
    "fringe": "hair with a fringe",
    "long": "long hair",
    "short": "short hair",
    "sidepart": "side parting",
    "wavy": "wavy hair",
}


def attribute_words(name: str) -> str:
    """Return an attribute as text.

    Args:
        name: of the attribute or of its measurement, such as "hair_fringe" or "tails/hair_fringe".

    Example:
        >>> attribute_words("tails/hair_fringe"), attribute_words("face_paint")
        ('hair with a fringe', 'face paint')
    """
    attribute = name.rpartition("/")[2]
    kind, _, style = attribute.partition("_")
    known = HAIR.get(style) if kind == "hair" else None
    return known or {"eyepatch": "eye patch"}.get(attribute, attribute.replace("_", " "))
