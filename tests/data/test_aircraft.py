from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from imagelab.data.aircraft import Aircraft


def test_the_level_chooses_the_labels(built: dict[str, Path]) -> None:
    levels = {
        level: set(Aircraft(path=built["aircraft"], level=level).load("train", 4, 0).attributes)
        for level in ("variant", "family")
    }
    assert levels == {"variant": {"class/707-320", "class/Cessna 172"}, "family": {"class/Boeing 707", "class/A320"}}
    with pytest.raises(ValueError, match=r"images_manufacturer_train\.txt"):
        Aircraft(path=built["aircraft"], level="manufacturer").available(0)


def test_the_line_of_text_is_cut_off_below(built: dict[str, Path]) -> None:
    clean = Aircraft(path=built["aircraft"], size=64).load("train", 4, 0).images
    whole = Aircraft(path=built["aircraft"], size=64, banner=0).load("train", 4, 0).images
    assert (whole[:, :, -8:] > 240).all() and not (clean[:, :, -8:] > 240).all()


def test_a_line_without_label_is_refused(fake: Callable[[str], Path]) -> None:
    root = fake("aircraft")
    (root / "fgvc-aircraft-2013b" / "data" / "images_variant_test.txt").write_text("0000003\n")
    with pytest.raises(ValueError, match=r"images_variant_test\.txt: line 1: expected `number label`, got '0000003'"):
        Aircraft(path=root).available(0)
