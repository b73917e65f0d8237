"""Texts of a run in the cards that leave with its data: escaped for Markdown, HTML and YAML.

A run may be somebody else's. Its names and descriptions are shown as they are, but never become headings, links, tags
or settings of the page that shows the card.
"""

from __future__ import annotations

import html
import json
import math
import re
from typing import Any

from ..io.untrusted import shown

__all__ = ["code", "prose", "scalar", "size_category"]

_MARKS = re.compile(r"[\\`*\[\]|~]|(?<![^\W_])_|_(?![^\W_])")
_FIRST = re.compile(r"^(?=[#>+=:-])|^(\d+)(?=[.)])")


def prose(text: object) -> str:
    r"""Return a text for one line of Markdown: tags, links, marks and table borders are shown, not interpreted.

    Example:
        >>> prose('a_b *c* <script> | [x](y)')
        'a_b \\*c\\* &lt;script&gt; \\| \\[x\\](y)'
    """
    line = shown(" ".join(str(text).split()).encode("utf-8", "backslashreplace").decode())
    marked = _MARKS.sub(lambda match: f"\\{match[0]}", line)
    marked = _FIRST.sub(lambda match: f"{match[1] or ''}\\", marked)
    return html.escape(marked, quote=False)


def code(value: Any) -> str:
    r"""Return a JSON value as inline code of Markdown, still JSON, without characters that end the code or begin a tag.

    Example:
        >>> code({"name": "`<b>"})
        '`{"name": "\\u0060\\u003cb\\u003e"}`'
    """
    text = json.dumps(value, ensure_ascii=False, default=str)
    text = re.sub(r"[`<>&\x7f-\x9f\u2028\u2029\ud800-\udfff]", lambda match: f"\\u{ord(match[0]):04x}", text)
    return f"`{text}`"


def scalar(text: object) -> str:
    r"""Return a text as a quoted value of YAML, on one line.

    Example:
        >>> scalar("a: b\n---")
        '"a: b\\\\n---"'
    """
    quoted = json.dumps(shown(str(text).encode("utf-8", "backslashreplace").decode()), ensure_ascii=False)
    return quoted.replace("<", "\\u003c").replace(">", "\\u003e")  # for readers that take the front matter for Markdown


def size_category(images: int) -> str:
    """Return the number of images as the value of ``size_categories`` in a dataset card.

    Example:
        >>> size_category(999), size_category(1000)
        ('n<1K', '1K<n<10K')
    """
    sizes = ((1_000, "n<1K"), (10_000, "1K<n<10K"), (100_000, "10K<n<100K"), (1_000_000, "100K<n<1M"))
    return next(word for limit, word in (*sizes, (math.inf, "1M<n<10M")) if images < limit)
