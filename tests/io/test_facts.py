from __future__ import annotations

import numpy as np

from imagelab.io.facts import LISTED, Facts
from imagelab.io.reading import Picture

PIXELS = np.zeros((3, 2, 2), np.uint8)


def test_facts_are_counted_and_told_in_sentences():
    facts = Facts()
    facts.add(Picture(PIXELS, transparent=True, deep=True, several=True, remarks=("a remark",)), "a.png")
    facts.add(Picture(PIXELS, remarks=("a remark",), said=("a fault", "another")), "b.png")
    lines = facts.sentences("white", "choose another")
    assert "transparent and composited over white: 1" in lines
    assert "more than 8 bits a channel, rounded to 8: 1" in lines
    assert "files with several pictures, of which the first was taken: 1; choose another" in lines
    assert "a remark: 2" in lines
    assert lines[-1] == "read although the decoder found faults: 1\n  b.png: a fault; another"
    assert not any("several" in line for line in facts.sentences("white", "")), "a page was chosen"


def test_faults_of_many_files_stay_a_short_list():
    facts = Facts()
    for row in range(40):
        facts.add(Picture(PIXELS, said=("fault",)), f"{row}.png")
    (line,) = facts.sentences("white", "")
    assert line.count("\n") == LISTED + 1 and line.endswith("and 35 more")


def test_a_sound_picture_leaves_no_sentence():
    facts = Facts()
    facts.add(Picture(PIXELS, stored=100), "a.png")
    assert facts.sentences("white", "page") == []
