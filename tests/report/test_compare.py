from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from imagelab.measurement import Measurement
from imagelab.pool import REAL
from imagelab.report import write_comparison
from imagelab.report.compare_panels import chosen_measurements, group_panel
from imagelab.report.groups import group_runs

MakeRun = Callable[..., Path]


def two(make_run: MakeRun, keep: Callable[[Measurement], bool] = lambda m: True, **second: object) -> list[Path]:
    mix = {"regime": {"kind": "mix"}, **second}
    return [make_run("one-00000000", keep=keep), make_run("two-00000000", experiment=mix, keep=keep)]


def seeds_of(make_run: MakeRun, kind: str, seeds: range) -> list[Path]:
    """Return runs of one regime with different seeds, and values that differ a little between them."""
    runs = [make_run(f"{kind}{seed}-00000000", experiment={"regime": {"kind": kind}, "seed": seed}) for seed in seeds]
    for seed, run in zip(seeds, runs, strict=True):
        rows = [Measurement.from_json(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
        moved = [m if m.value is None else replace(m, value=m.value * (1 + 0.05 * seed)) for m in rows]
        (run / "metrics.jsonl").write_text("".join(m.to_json() + "\n" for m in moved))
    return runs


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
    assert heading.startswith("Freckles found a face, after 3 generations: ")
    assert re.search(r"replace \(one run\) [\d.]+ ± [\d.]+, mix \(one run\) [\d.]+ ± [\d.]+; real images 6", heading)
    assert "not corrected, as a mean over all faces" in html
    assert "Found where there are none, on copies of faces without freckles: 0." in html


def test_the_headline_of_an_energy_names_its_band_and_unit(make_run: MakeRun, tmp_path: Path):
    runs = two(make_run, keep=lambda m: not m.name.startswith("freckles"))
    html = write_comparison(runs, tmp_path / "page.html").read_text("utf-8").replace("\u00a0", " ")
    (heading,) = re.findall(r"<h1>(.*?)</h1>", html)
    assert heading.startswith("Energy of detail at 8–16 cycles per image (dB against real images), after 3 gener")
    assert "0 dB is as much as in real images" in html


def test_what_is_net_of_the_spots_that_models_add_stands_below_the_headline(make_run: MakeRun, tmp_path: Path):
    runs = two(make_run)
    for run in runs:
        rows = [Measurement.from_json(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
        counted = [m for m in rows if m.name == "freckles/corrected"]
        more = [replace(m, name=f"freckles/{name}") for name in ("net", "twin") for m in counted]
        (run / "metrics.jsonl").write_text("".join(m.to_json() + "\n" for m in [*rows, *more]))
    html = write_comparison(runs, tmp_path / "page.html").read_text("utf-8").replace("\u00a0", " ")
    assert re.search(r"never saw freckles: 0.8 .{,20}\(replace\), 0.8 .{,20}\(mix\)\. Net of", html)
    assert "Found where there are none" not in html


def test_single_runs_carry_a_warning_and_repeats_do_not(make_run: MakeRun, tmp_path: Path):
    alone = write_comparison(two(make_run), tmp_path / "alone.html").read_text("utf-8")
    repeats = [
        make_run(f"{kind}{seed}-00000000", experiment={"regime": {"kind": kind}, "seed": seed})
        for kind in ("replace", "mix")
        for seed in (0, 1)
    ]
    repeated = write_comparison(repeats, tmp_path / "repeated.html").read_text("utf-8")
    assert "another training may differ by more" in alone and "another training may differ by more" not in repeated


def test_the_order_of_runs_does_not_matter_where_one_lacks_what_another_sets_to_nothing(
    make_run: MakeRun, tmp_path: Path
):
    free = make_run("free-00000000", experiment={"generator": {"kind": "gaussian", "components": None}})
    runs = [make_run("vae-00000000", experiment={"generator": {"kind": "vae"}}), free]
    there, back = (write_comparison(each, tmp_path / "page.html").read_text("utf-8") for each in (runs, runs[::-1]))
    assert all("vae" in html and "gaussian" in html for html in (there, back))


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
    heads = [re.findall(r"<h1>(.*?)</h1>", html)[0] for html in (same, apart)]
    assert ">real</text>" in same and "The dashed line" in same and "; real images" in heads[0]
    assert ">real</text>" not in apart and "real images of its own" in apart and "; real images" not in heads[1]


def test_a_single_run_is_called_one_run_and_has_no_shaded_interval(make_run: MakeRun, tmp_path: Path):
    alone = write_comparison(two(make_run), tmp_path / "alone.html").read_text("utf-8")
    assert alone.count("(one run of one training, seed 0)") == 2
    assert "each group: one run of one training, no interval drawn" in alone
    assert "one run, not tested" in alone and "shaded: 95 %" not in alone
    repeats = [*seeds_of(make_run, "replace", range(2)), *seeds_of(make_run, "accumulate", range(2))]
    repeated = write_comparison(repeats, tmp_path / "repeated.html").read_text("utf-8")
    assert "(2 runs of one training each, seeds 0, 1)" in repeated and "shaded: 95 % interval between" in repeated
    assert "paired by seed, 2 pairs" in repeated and "(one run" not in repeated


def mixed(make_run: MakeRun) -> list[Path]:
    """Two runs of one regime, one of another of three trainings, and one of a third of one training."""
    chains = make_run("chains-00000000", experiment={"regime": {"kind": "mix"}, "replicates": 3})
    rows = [Measurement.from_json(line) for line in (chains / "metrics.jsonl").read_text().splitlines()]
    more = [
        replace(m, line=2 * k + m.line, value=m.value * (1 + 0.02 * k))
        for k in (1, 2)
        for m in rows
        if m.line >= 0 and m.value is not None
    ]
    (chains / "metrics.jsonl").write_text("".join(m.to_json() + "\n" for m in [*rows, *more]))
    alone = make_run("alone-00000000", experiment={"regime": {"kind": "accumulate"}})
    return [*seeds_of(make_run, "replace", range(2)), chains, alone]


def test_a_caption_names_repeats_and_kind_of_interval_group_by_group(make_run: MakeRun):
    groups, _ = group_runs(mixed(make_run))
    small = group_panel(groups, "freckles/corrected").small
    assert (
        "replace: 2 runs of one training each, shaded: 95 % interval between its runs, 12.7 standard errors wide each "
        "way; mix, replicates 3: one run of 3 trainings, shaded: 95 % interval between its trainings; accumulate: one "
        "run of one training, no interval drawn"
    ) in small


def test_only_groups_with_repeats_of_their_own_are_shaded(make_run: MakeRun):
    groups, _ = group_runs(mixed(make_run))
    svg = str(group_panel(groups, "freckles/corrected").svg)
    shaded = [k for k in range(3) if re.search(rf'<use [^>]*style="fill: var\(--line-{k}\); fill-opacity: 0', svg)]
    assert shaded == [0, 1]


def test_a_wide_interval_is_not_left_without_a_word(make_run: MakeRun, tmp_path: Path):
    html = write_comparison(mixed(make_run), tmp_path / "page.html").read_text("utf-8")
    assert "A wide interval says that there are few runs, not that a group does worse" in html
    assert "This concerns <bdi>replace</bdi>." in html
    assert "A wide interval says" not in write_comparison(two(make_run), tmp_path / "two.html").read_text("utf-8")


def test_of_precision_and_recall_the_one_that_tells_is_shown_and_named(make_run: MakeRun):
    runs = two(make_run)
    for run in runs:
        rows = [
            Measurement(name, 0.9 - 0.1 * g, "share", generation=g, line=0 if g else REAL, stderr=0.01, n_fake=9)
            for name in ("prdc/precision", "prdc/recall")
            for g in range(4)
        ]
        with (run / "metrics.jsonl").open("a") as file:
            file.writelines(m.to_json() + "\n" for m in rows)
    groups, _ = group_runs(runs)
    chosen = chosen_measurements(groups[0].runs[0], ["prdc/precision", "prdc/recall"])
    assert chosen == ["prdc/recall"]
    panel = group_panel(groups, "prdc/recall")
    assert panel.title == "Recall" and "recall, of precision, recall" in panel.small


def test_no_key_is_the_name_of_a_measurement_for_the_reader(make_run: MakeRun, tmp_path: Path):
    html = write_comparison(two(make_run), tmp_path / "page.html").read_text("utf-8")
    names = re.findall(r'<th scope="row">([^<]+) <small>([^<]+)</small>', html)
    assert len(names) > 15
    titles = [
        *(name for name, _ in names),
        *re.findall(r"<option[^>]*>([^<]*)<", html),
        *re.findall(r"<h3>(.*?)<", html),
    ]
    assert not [title for title in titles if re.search(r"_|\w/\w", title)]
    assert {"freckles/corrected", "pixel_variance"} <= {key for _, key in names}


def test_the_table_of_differences_says_that_its_intervals_are_single(make_run: MakeRun, tmp_path: Path):
    repeats = [*seeds_of(make_run, "replace", range(3)), *seeds_of(make_run, "mix", range(3))]
    html = write_comparison(repeats, tmp_path / "page.html").read_text("utf-8")
    assert "95 % interval of this one difference alone" in html and "(2, Holm’s method)" in html


def island_of(html: str) -> Any:
    (text,) = re.findall(r'<script type="application/json" id="points-data">(.*?)</script>', html, re.S)
    return json.loads(text)


def test_the_page_holds_the_values_of_every_run_as_data(make_run: MakeRun, tmp_path: Path):
    runs = two(make_run)
    data = island_of(write_comparison(runs, tmp_path / "page.html").read_text("utf-8"))
    assert [run["run"] for run in data["runs"]] == ["one-00000000", "two-00000000"] and data["last"] == 3
    keys = [each["key"] for each in data["names"]]
    place = keys.index("freckles/corrected")
    rows = [Measurement.from_json(line) for line in (runs[1] / "metrics.jsonl").read_text().splitlines()]
    told = {m.generation: m.value for m in rows if m.name == "freckles/corrected" and m.line in (REAL, 0)}
    values = data["runs"][1]["values"][place]
    assert [value[0] for value in values] == pytest.approx([told[g] for g in range(4)], rel=1e-5)
    assert all(low <= value <= high and low >= 0 for value, low, high in values)
    assert not [key for key in keys if key.endswith(("-s1", "-s2"))]


def test_no_name_ends_the_data_early(make_run: MakeRun, tmp_path: Path):
    runs = two(make_run, generator={"kind": "</script><b>"})
    html = write_comparison(runs, tmp_path / "page.html").read_text("utf-8")
    assert "</script><b>" not in html and "</script><b>" in {
        run["label"].split(", ")[0] for run in island_of(html)["runs"]
    }


def test_without_a_script_the_plot_of_all_runs_is_a_picture_and_a_table(make_run: MakeRun, tmp_path: Path):
    html = write_comparison(two(make_run), tmp_path / "page.html").read_text("utf-8")
    section = html[html.index('id="points"') : html.index('id="points-data"')]
    assert "<svg" in section and "var(--line-1)" in section
    assert len(re.findall(r'<tr><th scope="row">', section)) == 2 and "one-00000000" in section
    assert '<div class="choices" hidden>' in section


def test_the_page_head_describes_the_page(make_run: MakeRun, tmp_path: Path):
    html = write_comparison(two(make_run), tmp_path / "page.html").read_text("utf-8")
    head, (heading,) = html[: html.index("</head>")], re.findall(r"<h1>(.*?)</h1>", html)
    assert f'<meta name="description" content="{heading}">' in head
    assert '<meta property="og:title" content="Side by side: replace · mix">' in head
    assert f'<meta property="og:description" content="{heading}">' in head and html.count("</head>") == 1


def test_three_groups_can_be_chosen_for_the_divider_and_two_need_no_choice(make_run: MakeRun, tmp_path: Path):
    three = write_comparison(mixed(make_run), tmp_path / "three.html").read_text("utf-8")
    pair = write_comparison(two(make_run), tmp_path / "two.html").read_text("utf-8")
    assert [html[html.index('id="wipe"') : html.index('id="many"')].count("<select") for html in (three, pair)] == [
        2,
        0,
    ]


def test_repeats_of_one_group_have_no_divider(make_run: MakeRun, tmp_path: Path):
    html = write_comparison(seeds_of(make_run, "replace", range(2)), tmp_path / "page.html").read_text("utf-8")
    assert 'id="wipe"' not in html and 'id="many"' in html


def test_runs_that_have_only_begun_make_a_page(make_run: MakeRun, tmp_path: Path):
    runs = [make_run(f"r{k}-00000000", generations=0, experiment={"images": 10 + k}) for k in range(2)]
    html = write_comparison(runs, tmp_path / "page.html").read_text("utf-8")
    assert "no measurement in common" in html and 'id="points"' not in html and 'id="many"' in html


def test_pictures_of_different_sizes_stand_side_by_side(make_run: MakeRun, tmp_path: Path):
    large = np.random.default_rng(2).integers(0, 256, (8, 3, 32, 32), dtype=np.uint8)
    runs = [make_run("a-00000000", 2), make_run("b-00000000", 2, faces=large, experiment={"images": 9})]
    html = write_comparison(runs, tmp_path / "page.html").read_text("utf-8")
    assert 'data-alike="yes" hidden' in html and html.count('class="now"') == 2


def test_of_many_groups_the_head_line_gives_the_lowest_and_the_highest(make_run: MakeRun, tmp_path: Path):
    runs = [
        make_run(f"r{k}-00000000", experiment={"regime": {"kind": "mix", "real_fraction": k / 10}}) for k in range(6)
    ]
    for k, run in enumerate(runs):
        rows = [Measurement.from_json(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
        moved = [m if m.value is None else replace(m, value=m.value * (1 + k)) for m in rows]
        (run / "metrics.jsonl").write_text("".join(m.to_json() + "\n" for m in moved))
    html = write_comparison(runs, tmp_path / "page.html").read_text("utf-8").replace("\u00a0", " ")
    (heading,) = re.findall(r"<h1>(.*?)</h1>", html)
    assert re.search(
        r": from [\d.]+ ± [\d.]+ in real fraction 0 \(one run\) to [\d.]+ ± [\d.]+ in real fraction 0.5 \(one run\), "
        r"the lowest and the highest of 6 groups; real images ",
        heading,
    )
