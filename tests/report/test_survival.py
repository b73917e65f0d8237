from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from imagelab.measurement import Measurement
from imagelab.pool import REAL
from imagelab.report import write_report
from imagelab.report.headline import headline
from imagelab.report.run_view import Run, read_run
from imagelab.report.survival import presence, rare_remark, survival
from imagelab.theory import wright_fisher_bands

MakeRun = Callable[..., Path]


def with_tails(run: Path, shares: Mapping[str, Sequence[float]], n: int = 2000, error: float = 0.001) -> Run:
    """Add attribute shares, generation 0 first, to a run's measurements."""
    with (run / "metrics.jsonl").open("a") as file:
        for name, values in shares.items():
            for generation, value in enumerate(values):
                m = Measurement(f"tails/{name}", value, "share", n_fake=n, stderr=error)
                file.write(m.at(generation, 0 if generation else REAL).to_json() + "\n")
    return read_run(run)


def test_a_share_below_what_chance_leaves_is_lost(make_run: MakeRun):
    run = with_tails(make_run(generations=2), {"scarf": (0.04, 0.02, 0.005), "bald": (0.04, 0.041, 0.038)})
    found = survival(run)
    assert found is not None
    lost, kept = sorted(found.fates, key=lambda fate: fate.name, reverse=True)
    assert (lost.name, lost.beyond, lost.extinct) == ("scarf", "lost", None)
    assert (kept.beyond, kept.words) == ("", "within chance")
    assert found.rare.value == pytest.approx(0.043 / 0.08)


def test_the_headline_ends_with_what_the_rare_attributes_keep_where_chance_would_leave_more(make_run: MakeRun):
    lost = with_tails(make_run(generations=2), {"scarf": (0.04, 0.02, 0.005), "bald": (0.04, 0.041, 0.038)})
    found = survival(lost)
    assert found is not None and found.rare.high < found.rare.chance[0]
    assert rare_remark(lost) == (
        f"Rare attributes together keep {found.rare.words} of their share in real images; {found.rare.by_chance}."
    )
    assert headline(lost).remarks[-1] == rare_remark(lost) and "keep 54 % (" in rare_remark(lost)
    kept = with_tails(make_run("kept-00000000", generations=2), {"scarf": (0.04, 0.04, 0.039)})
    assert rare_remark(kept) == "" and not any("Rare attributes" in remark for remark in headline(kept).remarks)
    early = with_tails(make_run("early-0000000", generations=2), {"scarf": (0.04, 0.005)})
    assert rare_remark(early) == ""  # the last generation has no shares


def test_what_the_error_covers_is_nobodys_fault(make_run: MakeRun):
    run = with_tails(make_run(generations=1), {"scarf": (0.04, 0.02)}, error=0.01)
    found = survival(run)
    assert found is not None and found.fates[0].beyond == ""


def test_extinction_is_dated_from_the_first_generation_that_shows_none_for_good(make_run: MakeRun):
    run = with_tails(make_run(generations=4), {"patch": (0.01, 0.0, 0.01, 0.0, 0.0)})
    found = survival(run)
    assert found is not None and found.fates[0].extinct == 3
    assert "indistinguishable from zero from generation 3 on" in found.fates[0].words


def test_the_known_truth_starts_the_drift_and_not_its_estimate(make_run: MakeRun):
    path = make_run(generations=1)
    truth = Measurement("truth/patch", 0.02, "share", line=REAL, n_fake=2000)
    with (path / "metrics.jsonl").open("a") as file:
        file.write(truth.to_json() + "\n")
    found = survival(with_tails(path, {"patch": (0.04, 0.02)}))
    assert found is not None
    low, high = found.fates[0].drift
    assert low < 0.02 < high < 0.04


def test_fewer_images_drift_further(make_run: MakeRun):
    few, many = (
        survival(with_tails(make_run(f"run-{n}", generations=3), {"patch": (0.04, 0.04, 0.04, 0.04)}, n=n))
        for n in (200, 4000)
    )
    assert few is not None and many is not None
    assert np.ptp(few.fates[0].drift) > 3 * np.ptp(many.fates[0].drift)
    assert np.ptp(few.rare.chance) > 2 * np.ptp(many.rare.chance)


def test_common_attributes_are_told_apart(make_run: MakeRun):
    run = with_tails(make_run(generations=1), {"patch": (0.01, 0.005), "glasses": (0.2, 0.19), "hair_bob": (0.3, 0.1)})
    found = survival(run)
    assert found is not None and found.common is not None
    assert found.common.value == pytest.approx(0.29 / 0.5) and [fate.name for fate in found.fates] == ["patch"]
    assert "Common attributes keep 58 %" in found.paragraphs[1]
    assert (
        "1 of 2 common attributes has less than half of the share in real images: bob haircut." in found.paragraphs[1]
    )


def test_no_gain_makes_up_for_a_loss(make_run: MakeRun):
    shares = {"glasses": (0.1, 0.0), "grey_hair": (0.1, 0.3), "patch": (0.02, 0.0), "scar": (0.02, 0.045)}
    found = survival(with_tails(make_run(generations=1), shares))
    assert found is not None and found.common is not None
    assert found.common.value == found.rare.value == pytest.approx(0.5)
    assert found.common.high < 0.6 and found.common.chance[0] > 0.85
    assert "More often than in real images the probes detect: grey hair (30 % instead of 10 %)" in found.paragraphs[1]


def test_what_cannot_be_measured_in_real_images_is_not_counted_as_gone(make_run: MakeRun):
    shares = {"patch": (0.02, 0.0), "scar": (0.02, 0.02), "albinism": (0.001, 0.0)}
    found = survival(with_tails(make_run(generations=1), shares))
    assert found is not None
    assert (
        "Of 3 rare attributes, 2 can be distinguished from zero in real images; 1 of these cannot be" in found.sentence
    )
    words = {fate.name: fate.words for fate in found.fates}
    assert words["albinism"] == "indistinguishable from zero in real images, too"
    wide = with_tails(make_run("wide", generations=1), shares)
    spread = tuple(
        replace(m, between=0.05) if m.name == "tails/scar" and m.generation else m for m in wide.measurements
    )
    assert "1 of them contains zero" in found.sentence
    both = survival(replace(wide, measurements=spread))
    assert both is not None and "1 of these cannot be" in both.sentence and "2 of them contain zero" in both.sentence


def test_a_loss_that_chance_would_not_let_show_is_not_counted_as_a_test(make_run: MakeRun):
    shares = {"scarf": (0.04, 0.0, 0.0, 0.0), "patch": (0.01, 0.0, 0.0, 0.0)}
    found = survival(with_tails(make_run(generations=3), shares, n=1000))
    assert found is not None
    assert [(fate.testable, fate.beyond) for fate in found.fates] == [(True, "lost"), (False, "")]
    assert "it would leave 1 of the 2 at a share that can be measured" in found.sentence
    assert "Tested one by one, 1 of these fell further than chance explains (by chance, 0.03 or fewer would)" in (
        found.sentence
    )
    rare = survival(with_tails(make_run("rare-00000000", generations=3), {"patch": (0.01, 0.0, 0.0, 0.0)}, n=1000))
    assert rare is not None and "no loss can be attributed to the model" in rare.sentence


def test_several_chains_drift_less_together(make_run: MakeRun):
    path = make_run(generations=2, experiment={"replicates": 3, "arms": []})
    with (path / "metrics.jsonl").open("a") as file:
        for generation, line in [(0, REAL), *((g, k) for g in (1, 2) for k in range(3))]:
            m = Measurement("tails/scarf", 0.04, "share", n_fake=1000, stderr=0.002)
            file.write(m.at(generation, line).to_json() + "\n")
    found = survival(read_run(path))
    assert found is not None
    assert found.fates[0].drift == tuple(wright_fisher_bands(0.04, 1000, 2, chains=3)[-1])
    assert np.ptp(found.fates[0].drift) < 0.7 * np.ptp(wright_fisher_bands(0.04, 1000, 2)[-1])


def with_precision(path: Path, real: float, made: float) -> None:
    with (path / "metrics.jsonl").open("a") as file:
        for generation, value in enumerate((real, made)):
            m = Measurement("prdc/precision", value, "share", n_real=800, n_fake=2000, stderr=0.01)
            file.write(m.at(generation, 0 if generation else REAL).to_json() + "\n")


def test_images_unlike_real_ones_are_a_limit_of_the_probes_that_is_stated(make_run: MakeRun):
    spoilt, sound = make_run("spoilt-00000000", generations=1), make_run("sound-00000000", generations=1)
    with_precision(spoilt, 0.95, 0.31)
    with_precision(sound, 0.95, 0.94)
    far, near = (survival(with_tails(path, {"patch": (0.02, 0.01)})) for path in (spoilt, sound))
    assert far is not None and near is not None
    assert far.limits.startswith(
        "In generation 1, 31 % of the images lie among real ones (precision; real images: 95 %)"
    )
    assert near.limits == "" and len(near.paragraphs) == 2


def test_a_generation_outside_the_calibration_ends_the_section_and_is_named(make_run: MakeRun):
    path = make_run(generations=3)
    why = "outside the probes' calibration: blur 1.82 px (calibrated 0 to 1.5)"
    with (path / "metrics.jsonl").open("a") as file:
        file.write(Measurement("tails/patch", None, "share", n_fake=2000, missing=why).at(3, 0).to_json() + "\n")
    run = with_tails(path, {"patch": (0.02, 0.02, 0.01)})
    found = survival(run)
    assert found is not None and found.generation == 2 and "in generation 2 (95 %" in found.sentence
    assert found.limits == f"From generation 3 on there is no share: {why}."


def test_the_date_of_a_sheet_is_that_of_the_page(make_run: MakeRun):
    shares = {"patch": (0.02, 0.01, 0.0, 0.0), "scar": (0.02, 0.02, 0.02, 0.02), "albinism": (0.001, 0.0, 0.0, 0.0)}
    run = with_tails(make_run(generations=3), shares)
    found = survival(run)
    assert found is not None and {fate.name: fate.extinct for fate in found.fates}["patch"] == 2
    assert [presence(run, f"tails/{name}") for name in (*shares, "beard")] == [
        "not measurable from gen. 2 on",
        "measurable in gen. 3",
        "not measurable even in real images",
        "",
    ]


def test_attributes_have_names_for_readers(make_run: MakeRun):
    run = with_tails(make_run(generations=1), {"hair_fringe": (0.02, 0.01), "eyepatch": (0.01, 0.01)})
    found = survival(run)
    assert found is not None and [fate.name for fate in found.fates] == ["hair with a fringe", "eye patch"]


def test_the_page_has_the_section_only_where_attributes_were_measured(make_run: MakeRun):
    without = write_report(make_run("plain-00000000")).read_text("utf-8")
    path = make_run("rare-00000000", generations=2)
    with_tails(path, {"<b>patch": (0.01, 0.005, 0.0)})
    html = write_report(path).read_text("utf-8")
    assert "Who disappears" in html and "Who disappears" not in without
    assert "<b>patch" not in html and "&lt;b&gt;patch" in html
    assert json.loads((path / "config.json").read_text())["signature"] == "1a2b3c4d"


def test_the_table_names_the_measurement_beside_the_words_for_readers(make_run: MakeRun) -> None:
    folder = make_run(generations=2)
    with (folder / "metrics.jsonl").open("a") as file:
        for generation, share in enumerate((0.04, 0.03, 0.01)):
            m = Measurement("tails/hair_bald", share, "share", stderr=0.002, n_fake=2048)
            file.write(m.at(generation, 0 if generation else -1).to_json() + "\n")
    text = write_report(folder).read_text("utf-8")
    assert '<th scope="row">bald head <code>tails/hair_bald</code></th>' in text
