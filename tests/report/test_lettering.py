from __future__ import annotations

import pytest

from imagelab.report.lettering import LINE, fitted_lines, text_width, wrapped


def test_no_line_is_wider_than_its_place_and_no_letter_is_lost() -> None:
    text = "All images except real ones are synthetic. Donaudampfschifffahrtsgesellschaft-1a2b3c4d, imagelab."
    for width in (20.0, 47.5, 120.0, 400.0):
        lines = wrapped(text, 7, width)
        assert max(text_width(line, 7) for line in lines) <= width
        assert "".join(lines).replace(" ", "") == text.replace(" ", "")
    assert wrapped(text, 7, 1000) == [text]


def test_words_stay_whole_where_they_fit() -> None:
    lines = wrapped("generation 10 of the run", 7.5, 1.01 * text_width("generation", 7.5))
    assert lines == ["generation", "10 of the", "run"]


def test_a_width_below_a_letter_gives_a_letter_a_line() -> None:
    assert wrapped("abc", 10, 1.0) == ["a", "b", "c"]


def test_a_width_is_that_of_the_font_and_bold_is_wider() -> None:
    from matplotlib.font_manager import FontProperties
    from matplotlib.textpath import TextPath

    words = "Generation 10: VAE, local prior"
    for bold in (False, True):
        font = FontProperties(family="DejaVu Sans", weight="bold" if bold else "normal")
        drawn = TextPath((0, 0), words, size=12, prop=font).get_extents().width
        assert text_width(words, 12, bold) == pytest.approx(drawn, rel=0.02)
    assert text_width(words, 12, True) > 1.05 * text_width(words, 12)


def test_the_largest_size_that_fits_is_taken() -> None:
    text = "headscarf no longer measurable"
    wide = text_width(text, 10)
    assert fitted_lines(text, (10, 8, 6), wide, 12) == (10, [text])
    assert fitted_lines(text, (10, 8, 6), wide * 0.85, 12) == (8, [text])
    size, lines = fitted_lines(text, (10, 8, 6), wide * 0.85, 10 * LINE * 2)
    assert size == 10 and len(lines) == 2
    assert fitted_lines("Donaudampfschifffahrt", (10, 8, 6), 40, 200)[0] == 6
