from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import fields
from pathlib import Path

import pytest

import imagelab
from imagelab.evaluation.stages import STAGES
from imagelab.report import write_comparison, write_report
from imagelab.report.palette import DARK, LIGHT, Theme, cividis, themes

MakeRun = Callable[..., Path]
HOME = Path(imagelab.__file__).parent


def luminance(colour: str) -> float:
    """Relative luminance of #rrggbb as WCAG 2.2 defines it."""
    parts = [int(colour[k : k + 2], 16) / 255 for k in (1, 3, 5)]
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in parts]
    return sum(weight * c for weight, c in zip((0.2126, 0.7152, 0.0722), linear, strict=True))


def contrast(one: str, other: str) -> float:
    low, high = sorted((luminance(one), luminance(other)))
    return (high + 0.05) / (low + 0.05)


@pytest.mark.parametrize("theme", [LIGHT, DARK], ids=["light", "dark"])
def test_words_can_be_read_and_curves_be_seen(theme: Theme):
    for colour in (theme.ink, theme.muted, theme.accent):
        assert contrast(colour, theme.paper) >= 4.5 and contrast(colour, theme.wash) >= 4.5, colour
    assert all(contrast(colour, theme.paper) >= 3 for colour in theme.lines)
    for stage, words in zip(theme.stages, theme.on_stages, strict=True):
        assert contrast(stage, words) >= 4.5, stage


@pytest.mark.parametrize("theme", [LIGHT, DARK], ids=["light", "dark"])
def test_every_stage_has_a_colour_and_they_darken_in_order(theme: Theme):
    assert len(theme.stages) == len(theme.on_stages) == len(STAGES)
    shades = [luminance(colour) for colour in theme.stages[1:]]
    assert shades == sorted(shades, reverse=True)


def test_the_generations_and_bands_of_a_page_are_all_there():
    for declared in themes(3).values():
        assert re.findall(r"--step-(\d+):#[0-9a-f]{6};", declared) == ["1", "2", "3"]
        assert re.findall(r"--band-(\d+):#", declared) == [str(k) for k in range(16)]
    assert cividis(2, 0.0, 1.0)[0] != cividis(2, 0.0, 1.0)[1]


def test_every_colour_that_a_page_asks_for_is_declared_for_both_themes(make_run: MakeRun, tmp_path: Path):
    one, two = make_run("one-00000000"), make_run("two-00000000", experiment={"regime": {"kind": "mix"}})
    for page in (write_report(one, tmp_path / "report"), write_comparison([one, two], tmp_path / "both.html")):
        html = page.read_text("utf-8")
        asked = set(re.findall(r"var\(--([\w-]+)\)", html)) - {
            "most",
            "shape",
            "narrow",
            "lens",
            "key",
            "some",
            "at",
            "part",
        }  # set in the style attribute of elements
        first, second = re.findall(r":root \{ (.*?) \}", html)
        for declared in (first, second):
            assert asked <= set(re.findall(r"--([\w-]+):", declared))


def test_no_other_file_of_the_package_writes_a_colour_of_the_palette():
    ours = {
        value for theme in (LIGHT, DARK) for field in fields(theme) for value in _colours(getattr(theme, field.name))
    }
    for path in [*HOME.rglob("*.py"), *(HOME / "report" / "templates").iterdir()]:
        if path.name != "palette.py":
            written = {match.lower() for match in re.findall(r"#[0-9a-fA-F]{6}\b", path.read_text("utf-8"))}
            assert not written & ours, path


def _colours(value: str | tuple[str | float, ...]) -> tuple[str, ...]:
    return (value,) if isinstance(value, str) else tuple(each for each in value if isinstance(each, str))
