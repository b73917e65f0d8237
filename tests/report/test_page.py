from __future__ import annotations

import json
import math
import re
import subprocess
import sys
from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest

from imagelab.evaluation.chains import retraining_ratio
from imagelab.io.pictures import read_npy
from imagelab.measurement import Measurement
from imagelab.report import write_report
from imagelab.report.run_view import read_run

MakeRun = Callable[..., Path]


class Page(HTMLParser):
    """A parsed page: its text, its tags and what they load."""

    def __init__(self, path: Path):
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.heading = ""
        self._within: list[str] = []
        self.feed(path.read_text("utf-8"))

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        self._within.append(tag)

    def handle_endtag(self, tag: str) -> None:
        while self._within and self._within.pop() != tag:
            continue

    def handle_data(self, data: str) -> None:
        if not {"script", "style"} & set(self._within):
            self.text += data
        if "h1" in self._within:
            self.heading += data


def spoken(path: Path) -> str:
    return re.sub(r"\s+", " ", Page(path).text.replace("\u00a0", " "))


def test_the_headline_says_what_metrics_jsonl_says(make_run: MakeRun) -> None:
    run = make_run(generations=3)
    lines = [Measurement.from_json(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    values = {(m.generation, m.line): m for m in lines if m.name == "freckles/count"}
    heading = Page(write_report(run)).heading.replace("\u00a0", " ")
    for address, digits in (((0, -1), 1), ((1, 0), 1), ((3, 0), 1)):
        m = values[address]
        assert m.value is not None and m.stderr is not None
        half = 1.96 * m.stderr
        if address[0]:  # of one training: widened by the table, for a repetition
            half *= math.sqrt(2 * (1 + retraining_ratio(m.name, address[0]) ** 2))
        assert f"{m.value:.{digits}f} ± {half:.{digits}f}" in heading
    assert "After 3 generations of training on its own output, the counter finds" in heading


def test_a_page_loads_nothing_and_names_no_address(make_run: MakeRun) -> None:
    page = Page(write_report(make_run()))
    for tag, attributes in page.tags:
        assert tag not in ("iframe", "object", "embed", "base")
        assert tag != "link" or attributes.get("rel") == "icon"
        for key in ("src", "href", "srcset", "data", "action", "poster"):
            value = attributes.get(key)
            assert value is None or value.startswith(("data:image/", "#")), (tag, key, value)


def test_every_picture_has_words_and_ids_are_unique(make_run: MakeRun) -> None:
    page = Page(write_report(make_run()))
    images = [attributes for tag, attributes in page.tags if tag == "img"]
    assert images and all(image.get("alt") for image in images)
    figures = [attributes for tag, attributes in page.tags if attributes.get("role") == "img"]
    assert len(figures) > 5 and all(figure.get("aria-label") for figure in figures)
    ids = [attributes["id"] for _, attributes in page.tags if "id" in attributes]
    assert len(ids) == len(set(ids))


def test_the_report_imports_no_torch(make_run: MakeRun) -> None:
    code = (
        "import sys; from pathlib import Path; from imagelab.report import write_report; "
        f"write_report(Path({str(make_run(generations=1))!r})); "
        "print([m for m in ('torch', 'sklearn', 'skimage', 'diffusers') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


@pytest.mark.parametrize(
    "name",
    [
        "<script>alert(1)</script>",
        "$x_1^{2",
        "🙂" * 300,
        "\u202eلون عربي",
        "a\nb\x00c",
        '"><img src=x onerror=alert(1)>',
    ],
)
def test_hostile_names_stay_text(make_run: MakeRun, name: str) -> None:
    experiment = {"title": name, "name": name, "data": {"kind": name}, "regime": {"kind": name}}
    run = make_run(
        generations=1,
        labels=(name, name),
        experiment=experiment,
        provenance={
            "data": {"card": name, "bad_files": [{"path": name, "reason": name}]},
            name[:50]: {name[:50]: name},
        },
    )
    page = Page(write_report(run))
    scripts = [attributes.get("type") for tag, attributes in page.tags if tag == "script"]
    assert scripts == ["application/json", None]
    assert not any(key.startswith("on") for _, attributes in page.tags for key in attributes)
    assert not any(attributes.get("src") == "x" for _, attributes in page.tags)


def test_the_same_run_gives_the_same_bytes(make_run: MakeRun, tmp_path: Path) -> None:
    run = make_run()
    once, twice = write_report(run, tmp_path / "a"), write_report(run, tmp_path / "b")
    names = sorted(path.name for path in once.parent.iterdir())
    assert names == sorted(path.name for path in twice.parent.iterdir())
    for name in names:
        assert (once.parent / name).read_bytes() == (twice.parent / name).read_bytes(), name


def test_a_changed_number_changes_the_page(make_run: MakeRun) -> None:
    run = make_run()
    before = write_report(run).read_bytes()
    path = run / "metrics.jsonl"
    path.write_text(path.read_text().replace('"value": 6.2,', '"value": 7.1,'))
    assert write_report(run).read_bytes() != before


def test_an_unfinished_run_makes_a_page_that_says_so(make_run: MakeRun) -> None:
    run = make_run(generations=2, planned=10)
    (run / "gen-003.partial").mkdir()
    assert "This run is unfinished: 2 of 10 generations made so far." in spoken(write_report(run))


def test_a_run_with_real_images_only_makes_a_page_that_says_so(make_run: MakeRun) -> None:
    path = write_report(make_run(generations=0, planned=5))
    assert "No generation is finished yet." in Page(path).heading
    assert "none of 5 generations" in spoken(path)


def test_a_run_without_any_number_still_shows_its_pictures(make_run: MakeRun) -> None:
    path = write_report(make_run(keep=lambda m: False))
    assert "no measurement to report" in Page(path).heading
    assert sum(tag == "img" for tag, _ in Page(path).tags) > 3


def test_a_broken_line_is_named_with_its_file_and_number(make_run: MakeRun) -> None:
    run = make_run()
    path = run / "metrics.jsonl"
    lines = path.read_text().splitlines()
    lines[6] = lines[6][:20]
    path.write_text("\n".join(lines))
    with pytest.raises(ValueError, match=r"metrics\.jsonl.*line 7"):
        write_report(run)


def test_a_folder_that_is_no_run_is_refused_with_what_was_expected(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"config\.json"):
        write_report(tmp_path)


def test_damaged_pictures_are_named(make_run: MakeRun) -> None:
    run = make_run()
    (run / "gen-002" / "probe.npy").write_bytes(b"not an array")
    with pytest.raises(ValueError, match=r"gen-002.probe\.npy"):
        write_report(run)


def test_pictures_of_another_shape_are_refused(make_run: MakeRun) -> None:
    run = make_run()
    np.save(run / "gen-002" / "probe.npy", np.zeros((4, 3, 8, 8), np.uint8))
    with pytest.raises(ValueError, match="one shape"):
        write_report(run)


def test_the_page_opens_with_what_the_models_draw_because_the_figures_are_of_that(make_run: MakeRun) -> None:
    page = Page(write_report(make_run()))
    flip = next(attributes for _, attributes in page.tags if attributes.get("id") == "flip")
    assert flip["data-strip"] == "tracked-0"
    assert page.text.index("Drawn from scratch: VAE") < page.text.index("A photocopy of a photocopy: VAE")


def test_the_real_row_beside_drawn_pictures_is_spread_over_the_heldout_images(make_run: MakeRun) -> None:
    folder = make_run()
    heldout = np.random.default_rng(3).integers(0, 256, (50, 3, 16, 16), np.uint8)
    chosen = read_run(folder).pictures("tracked")[0]
    text = spoken(write_report(folder))
    assert "The real row shows real images; they do not" in text
    np.save(folder / "gen-000" / "heldout.npy", heldout)
    run = read_run(folder)
    np.testing.assert_array_equal(run.pictures("tracked")[0], heldout[[0, 7, 14, 21, 28, 35, 42, 49]])
    np.testing.assert_array_equal(run.pictures("photocopy")[0], read_npy(folder / "gen-000" / "photocopy.npy"))
    assert not np.array_equal(chosen, heldout[:8])
    assert "The real row shows held-out real images, spread evenly over all of them; they do not" in spoken(
        write_report(folder)
    )


def test_without_photocopies_the_page_opens_with_drawn_pictures(make_run: MakeRun) -> None:
    path = write_report(make_run(copies=False))
    flip = next(attributes for _, attributes in Page(path).tags if attributes.get("id") == "flip")
    assert flip["data-strip"] == "tracked-0"
    assert "photocopy of a photocopy: VAE" not in Page(path).text
    assert not (path.parent / "photocopy.png").exists()


def test_data_without_freckles_is_headed_by_its_finest_detail(make_run: MakeRun) -> None:
    run = make_run(keep=lambda m: not m.name.startswith("freckles"), experiment={"data": {"kind": "textures"}})
    heading = Page(write_report(run)).heading.replace("\u00a0", " ")
    assert re.search(r"the VAE keeps \d+ ± \d+ % of the energy that real textures have in their fine detail", heading)


def test_data_with_distances_only_is_headed_by_a_distance(make_run: MakeRun) -> None:
    heading = Page(write_report(make_run(keep=lambda m: m.name.startswith("kernel")))).heading
    assert "from real ones is" in heading and "between two sets of real faces it is" in heading


def test_missing_metrics_are_listed_with_their_reason(make_run: MakeRun) -> None:
    text = spoken(write_report(make_run(generations=2)))
    assert "lpips_diversity/alex (5 times): weights alexnet-owt-7be5be79.pth are not here" in text


def test_the_protocol_holds_config_versions_bad_files_and_training(make_run: MakeRun) -> None:
    run = make_run()
    text = spoken(write_report(run))
    experiment = json.loads((run / "config.json").read_text())["experiment"]
    assert re.sub(r"\s+", " ", json.dumps(experiment, indent=2)) in text
    for word in ("7a9cde6", "torch", "2.13.0", "broken.png: image file is truncated", "9,000", "imagelab run"):
        assert word in text


def test_ten_generations_of_64_pixel_faces_stay_under_5_megabytes(make_run: MakeRun) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (16, 3, 64, 64), dtype=np.uint8)
    path = write_report(make_run(generations=10, faces=noise))
    assert path.stat().st_size < 5_000_000
    assert all(png.stat().st_size < 1_000_000 for png in path.parent.glob("*.png"))


def test_nothing_half_written_is_left(make_run: MakeRun) -> None:
    folder = write_report(make_run()).parent
    assert not list(folder.glob("*.partial"))


def test_what_the_dataset_knows_for_certain_is_told_apart_from_what_was_measured(make_run: MakeRun) -> None:
    run = make_run(generations=1)
    truth = Measurement("truth/freckles", 5.9, "freckles/face", line=-1, n_fake=2048, stderr=0.1)
    with (run / "metrics.jsonl").open("a") as handle:
        handle.write(truth.to_json() + "\n")
    text = spoken(write_report(run))
    assert "Properties known from the dataset, not measured freckles5.90 ± 0.20 freckles/face" in text
    assert "truth/freckles" not in text


def test_a_name_that_is_no_unicode_is_refused_with_its_line(make_run: MakeRun) -> None:
    run = make_run(generations=1, keep=lambda m: m.name.startswith("kernel"))
    path = run / "metrics.jsonl"
    path.write_text(path.read_text().replace("kernel/randconv-s0", "kernel/half \\ud83d a letter"))
    with pytest.raises(ValueError, match=r"metrics\.jsonl, line \d+: not a measurement"):
        write_report(run)


def test_random_features_fold_away_as_controls_once_the_trained_ones_are_there(make_run: MakeRun) -> None:
    run = make_run(generations=1)
    assert "Control:" not in spoken(write_report(run))
    with (run / "metrics.jsonl").open("a") as handle:
        for generation, line in ((0, -1), (1, 0)):
            m = Measurement("frechet/imagelab-ssl-v1", 3.0 + generation, better="lower", n_real=1024, n_fake=2048)
            handle.write(m.at(generation, line).to_json() + "\n")
    text = spoken(write_report(run))
    front, _, folded = text.partition("more curve")
    assert "Fréchet distance (FD, not FID)" in front and "Control: Fréchet" not in front
    assert "Control: Fréchet distance (FD, not FID), random features" in folded
