from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import pytest

from imagelab.report import write_comparison

MakeRun = Callable[..., Path]


def two(make_run: MakeRun, **second: object) -> list[Path]:
    return [make_run("one-00000000"), make_run("two-00000000", experiment={"regime": {"kind": "mix"}, **second})]


def test_one_page_shows_every_group_with_its_curves_and_ribbon(make_run: MakeRun, tmp_path: Path):
    page = write_comparison(two(make_run), tmp_path / "page.html")
    html = page.read_text("utf-8")
    assert "Side by side: replace · mix" in html and html.count('class="ribbon"') == 2
    assert html.count('<figure class="chart"><h3>') >= 5 and "Freckles found a face" in html
    assert not re.search(r'(?:src|href)="(?!data:|#)', html)
    assert not list(tmp_path.glob("*.partial"))


def test_the_headline_gives_every_group_its_value(make_run: MakeRun, tmp_path: Path):
    html = write_comparison(two(make_run), tmp_path / "page.html").read_text("utf-8").replace("\u00a0", " ")
    (heading,) = re.findall(r"<h1>(.*?)</h1>", html)
    assert re.search(
        r"freckles found a face: [\d.]+ ± [\d.]+ \(replace, one run\), [\d.]+ ± [\d.]+ \(mix, one run\); real", heading
    )


def test_single_runs_carry_a_warning_and_repeats_do_not(make_run: MakeRun, tmp_path: Path):
    alone = write_comparison(two(make_run), tmp_path / "alone.html").read_text("utf-8")
    repeats = [
        make_run(f"{kind}{seed}-00000000", experiment={"regime": {"kind": kind}, "seed": seed})
        for kind in ("replace", "mix")
        for seed in (0, 1)
    ]
    repeated = write_comparison(repeats, tmp_path / "repeated.html").read_text("utf-8")
    assert "another training may differ by more" in alone and "another training may differ by more" not in repeated


def test_hostile_settings_stay_text(make_run: MakeRun, tmp_path: Path):
    runs = two(make_run, generator={"kind": "<script>alert(1)</script>\u202e"})
    html = write_comparison(runs, tmp_path / "page.html").read_text("utf-8")
    assert "<script>alert(1)" not in html and "&lt;script&gt;alert(1)" in html


def test_too_many_questions_are_refused(make_run: MakeRun, tmp_path: Path):
    runs = [make_run(f"r{k}-00000000", generations=1, experiment={"images": 10 + k}) for k in range(7)]
    with pytest.raises(ValueError, match="at most 6 different groups, got 7"):
        write_comparison(runs, tmp_path / "page.html")
    assert not (tmp_path / "page.html").exists()


def test_groups_that_began_with_different_images_share_no_line_of_real_images(make_run: MakeRun, tmp_path: Path):
    same = write_comparison(two(make_run), tmp_path / "same.html").read_text("utf-8")
    runs = [make_run("three-00000000"), make_run("four-00000000", experiment={"data": {"kind": "textures"}})]
    apart = write_comparison(runs, tmp_path / "apart.html").read_text("utf-8")
    assert re.search(r"Side by side: faces[^·]* · textures", apart)
    assert ">real</text>" in same and "The dashed line" in same and "; real images" in same
    assert ">real</text>" not in apart and "real images of its own" in apart and "; real images" not in apart


def test_a_single_run_is_called_one_run_and_has_no_shaded_interval(make_run: MakeRun, tmp_path: Path):
    alone = write_comparison(two(make_run), tmp_path / "alone.html").read_text("utf-8")
    assert alone.count("(one run, seed 0)") == 2 and "no interval for one run of one training" in alone
    assert "one run, not tested" in alone and "shaded: 95 %" not in alone
    repeats = [
        make_run(f"{kind}{seed}-00000000", experiment={"regime": {"kind": kind}, "seed": seed})
        for kind in ("replace", "mix")
        for seed in (0, 1)
    ]
    repeated = write_comparison(repeats, tmp_path / "repeated.html").read_text("utf-8")
    assert "(2 runs, seeds 0, 1)" in repeated and "shaded: 95 % intervals between runs" in repeated
    assert "paired by seed, 2 pairs" in repeated and "(one run" not in repeated
