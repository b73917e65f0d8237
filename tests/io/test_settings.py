"""Settings files: plain values of limited size and depth, each name once, whatever JSON and YAML allow."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from imagelab.io.settings import check_plain, read_settings
from imagelab.io.untrusted import QUOTED

NINES = ", ".join(["*a{0}"] * 9)
ALIASES = "a0: &a0 [1]\n" + "".join(f"a{i}: &a{i} [{NINES.format(i - 1)}]\n" for i in range(1, 10))
MERGES = "a0: &a0 {x: 1}\n" + "".join(f"a{i}: &a{i} {{<<: [{NINES.format(i - 1)}]}}\n" for i in range(1, 10))


def written(path: Path, text: str | bytes) -> Path:
    path.write_bytes(text.encode("utf-8", "surrogatepass") if isinstance(text, str) else text)
    return path


def test_json_and_yaml_give_the_same_mapping(tmp_path: Path):
    expected = {"images": 64, "share": 0.5, "metrics": ["tone"], "data": {"kind": "faces"}, "title": "ä", "arms": None}
    text = '{"images": 64, "share": 0.5, "metrics": ["tone"], "data": {"kind": "faces"}, "title": "ä", "arms": null}'
    for name in ("a.json", "a.yaml"):
        assert read_settings(written(tmp_path / name, text)) == expected
    assert read_settings(written(tmp_path / "mark.json", b"\xef\xbb\xbf" + b'{"a": 1}')) == {"a": 1}


def test_an_alias_may_be_used_where_it_stands_for_little(tmp_path: Path):
    text = "generator: &net {kind: vae}\narms: [*net, *net]\n"
    assert read_settings(written(tmp_path / "a.yaml", text))["arms"] == [{"kind": "vae"}] * 2


@pytest.mark.parametrize(
    ("name", "text", "reason"),
    [
        ("a.yaml", ALIASES, "more than 10000 values"),
        ("a.yaml", MERGES, "more than 10000 values"),
        ("a.yaml", "a: &a\n  b: *a\n", "nested too deeply"),
        ("a.yaml", "[" * 100_000, "not whole YAML"),
        ("a.yaml", "\n".join(" " * i + "a:" for i in range(400)), "not whole YAML"),
        ("a.json", "[" * 100_000, "not whole JSON"),
        ("a.json", '{"a":' * 60 + "1" + "}" * 60, "nested too deeply"),
        ("a.json", '{"a": [' + "1," * 20_000 + "1]}", "more than 10000 values"),
        ("a.json", '{"a": 1, "a": 2}', "the name 'a' stands twice"),
        ("a.yaml", "a: 1\na: 2\n", "the name 'a' stands twice"),
        ("a.yaml", "1: 2", "names of settings as text, got int 1"),
        ("a.yaml", "null: 2", "names of settings as text, got NoneType"),
        ("a.yaml", "data: {1: 2}", "got int 1 in data"),
        ("a.yaml", "? [a]\n: 1", "not whole YAML"),
        ("a.yaml", "a: !!python/object/apply:os.system ['true']", "not whole YAML"),
        ("a.yaml", "a: 2024-01-01", "a: expected a plain value, got date"),
        ("a.yaml", "a: !!binary aGVsbG8=", "a: expected a plain value, got bytes"),
        ("a.yaml", "a: {b: [.nan]}", "a.b.0: expected a finite number"),
        ("a.json", '{"a": Infinity}', "a: expected a finite number"),
        ("a.json", '{"a": ' + "9" * 60 + "}", "a number below"),
        ("a.json", '{"a": ' + "9" * 9999 + "}", "not whole JSON"),
        ("a.json", '{"a": "\\ud800"}', "text that is not Unicode"),
        ("a.json", b'{"a": "\xff"}', "not whole JSON"),
        ("a.json", "[1]", "expected a mapping of settings, got list"),
        ("a.json", "null", "expected a mapping of settings, got NoneType"),
        ("a.yaml", "", "expected a mapping of settings, got NoneType"),
        ("a.json", '{"a": "' + "x" * 600_000 + '"}', "settings of at most 500000"),
        ("a.json", '{"' + "k" * 9999 + '": [NaN]}', "a finite number"),
    ],
)
def test_anything_else_is_refused_in_one_short_sentence(name: str, text: str | bytes, reason: str, tmp_path: Path):
    with pytest.raises(ValueError, match=reason) as caught:
        read_settings(written(tmp_path / name, text))
    assert str(caught.value).startswith(str(tmp_path / name))
    assert len(str(caught.value)) < QUOTED + len(str(tmp_path)) + 60


def test_a_pipe_is_refused_at_once(tmp_path: Path):
    os.mkfifo(tmp_path / "a.json")
    with pytest.raises(ValueError, match=r"a\.json: is a named pipe"):
        read_settings(tmp_path / "a.json")


def test_a_value_that_holds_itself_is_refused():
    loop: dict[str, object] = {}
    loop["loop"] = loop
    with pytest.raises(ValueError, match="nested too deeply"):
        check_plain(loop)
