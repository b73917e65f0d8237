"""HTML of the server: its templates, its one stylesheet, and the message of a refusal."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

import jinja2

from ..report.palette import DARK, LIGHT, style
from ..report.share_card import icon

__all__ = ["refusal_page", "rendered", "static_text"]

FOLDER = Path(__file__).parent / "templates"

TITLES = {
    400: "Not understood",
    403: "Refused",
    404: "Not here",
    405: "Not possible this way",
    409: "Answered already",
    413: "Too large",
    415: "Not understood",
    500: "An error of imagelab",
}


@cache
def _environment() -> jinja2.Environment:
    made = jinja2.Environment(
        loader=jinja2.FileSystemLoader(FOLDER),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    made.globals["icon"] = icon()
    return made


def rendered(template: str, **context: Any) -> str:
    """Return a page; all values are escaped.

    Args:
        template: name of the file in ``templates``.
        context: what it shows.
    """
    return _environment().get_template(template).render(**context).encode("utf-8", "replace").decode("utf-8")


def refusal_page(status: int, words: str, onward: str = "") -> str:
    """Return the page of a request that was refused.

    Args:
        status: HTTP status.
        words: why, and what to do.
        onward: address of a page to go on with; "" for none.
    """
    return rendered("refused.html", title=TITLES.get(status, "Refused"), status=status, words=words, onward=onward)


@cache
def static_text(name: str) -> str:
    """Return the stylesheet, with the colours of the reports, or a script."""
    text = (FOLDER / name).read_text(encoding="utf-8")
    if name != "style.css":
        return text
    light, dark = style(LIGHT.variables()), style(DARK.variables())
    head = (
        f":root {{ color-scheme: light dark; {light} }}\n@media (prefers-color-scheme: dark) {{ :root {{ {dark} }} }}\n"
    )
    return head + text
