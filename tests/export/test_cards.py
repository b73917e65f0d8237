from __future__ import annotations

import html
import json

import pytest
import yaml

from imagelab.export.cards import code, prose, scalar

HOSTILE = [
    '"><script>alert(1)</script>',
    "<img src=x onerror=alert(1)>",
    "[click](javascript:alert(1)) ![x](http://track.er/x.png)",
    "a\n---\nlicense: mit\n---\n# heading",
    "# heading",
    "---",
    "1. item",
    "```\n<b>",
    "a | b || c",
    "x\u2028y\u0085z\x1b]0;t\x07",
    "\ud800 half a pair",
    "&lt;script&gt; &#60;",
    "~~~",
    "> quote",
    "=====",
]


@pytest.mark.parametrize("text", HOSTILE)
def test_a_text_stays_a_text_on_one_line(text: str) -> None:
    shown = prose(text)
    shown.encode("utf-8")
    assert len(shown.splitlines()) == 1 and "<" not in shown and not shown.startswith(("#", "-", ">", "=", "`", "~"))
    for mark in "[]`|~*":
        assert shown.count(mark) == shown.count(f"\\{mark}")
    assert "&" not in html.unescape(shown) or "&" in text


@pytest.mark.parametrize("text", HOSTILE)
def test_inline_code_is_the_same_json_and_cannot_be_left(text: str) -> None:
    shown = code({"name": text, "n": [1, None, True]})
    assert shown[0] == shown[-1] == "`" and "`" not in shown[1:-1] and "<" not in shown and len(shown.splitlines()) == 1
    shown.encode("utf-8")
    assert json.loads(shown[1:-1]) == {"name": text, "n": [1, None, True]}


@pytest.mark.parametrize("text", HOSTILE)
def test_a_value_in_the_front_matter_is_one_value(text: str) -> None:
    lines = f"pretty_name: {scalar(text)}\nlicense: other\n"
    assert set(yaml.safe_load(lines)) == {"pretty_name", "license"} and len(lines.splitlines()) == 2
    assert isinstance(yaml.safe_load(lines)["pretty_name"], str)


def test_ordinary_texts_are_as_they_were() -> None:
    text = (
        'Faces (32 x 32 pixels, "countable" freckles): 0.5 % of all, img_align_celeba/000001.jpg; Müller & Söhne - 1.'
    )
    assert prose(text) == text.replace("&", "&amp;")
    assert scalar("Müller 😀") == '"Müller 😀"'
