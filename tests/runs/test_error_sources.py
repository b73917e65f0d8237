"""The three errors as switches: one is left, the others are off, and the words say how far."""

from __future__ import annotations

import pytest

from imagelab.cli.console import UsageError
from imagelab.cli.overrides import parse
from imagelab.data import Textures
from imagelab.experiment import Experiment
from imagelab.generators import Cascade, Ddpm, Gaussian, Vae
from imagelab.regimes import Breed, Mix
from imagelab.runs.error_sources import CLOSED_FORM_IMAGES, ERRORS, MAX_STREAMED_IMAGES, isolate

ASKED = Experiment(name="any", data=Textures(size=32), images=200, generator=Vae(latent=20), arms=(Gaussian(),), seed=3)


def test_statistical_is_a_closed_form_of_full_covariance_on_published_images():
    alone = isolate(ASKED, "statistical")
    assert alone.experiment.generator == Gaussian() and alone.experiment.fresh_draws == 1
    assert alone.switches["statistical"].startswith("on") and "200" in alone.switches["statistical"]
    assert all(alone.switches[error].startswith("off") for error in ("expressivity", "approximation"))


@pytest.mark.parametrize(
    ("generator", "components"),
    [(Vae(latent=20), 20), (Cascade(components=30), 30), (Gaussian(components=7), 7), (Gaussian(), 64), (Ddpm(), 64)],
    ids=lambda value: getattr(value, "label", value),
)
def test_expressivity_is_ppca_of_the_generators_own_size_on_an_endless_stream(generator, components: int):
    alone = isolate(ASKED.model_copy(update={"generator": generator}), "expressivity")
    assert alone.experiment.generator == Gaussian(components=components)
    assert alone.experiment.fresh_draws * alone.experiment.images >= CLOSED_FORM_IMAGES
    assert alone.switches["expressivity"].startswith("on") and f"k = {components}" in alone.switches["expressivity"]
    assert all(alone.switches[error].startswith("off") for error in ("statistical", "approximation"))


def test_approximation_keeps_the_network_and_reads_no_image_twice():
    vae = Vae(images_seen=30_000)
    alone = isolate(ASKED.model_copy(update={"generator": vae}), "approximation")
    assert alone.experiment.generator == vae
    assert alone.experiment.fresh_draws * 200 >= 30_000 and "none read twice" in alone.switches["statistical"]
    assert "30,000 images seen" in alone.switches["approximation"]
    assert alone.switches["expressivity"].startswith("not to be switched off")


def test_a_longer_stream_is_kept():
    assert isolate(ASKED.model_copy(update={"fresh_draws": 500}), "none").experiment.fresh_draws == 500
    assert isolate(ASKED.model_copy(update={"fresh_draws": 500}), "statistical").experiment.fresh_draws == 1


def test_a_stream_longer_than_memory_is_cut_and_the_words_say_so():
    alone = isolate(ASKED.model_copy(update={"generator": Ddpm(images_seen=10 * MAX_STREAMED_IMAGES)}), "approximation")
    assert alone.experiment.fresh_draws * 200 < MAX_STREAMED_IMAGES + 200
    assert "read 9.99 times" in alone.switches["statistical"]


def test_none_is_a_full_covariance_on_an_endless_stream():
    alone = isolate(ASKED, "none")
    assert alone.experiment.generator == Gaussian() and alone.experiment.fresh_draws * 200 >= CLOSED_FORM_IMAGES
    assert all(words.startswith("off") for words in alone.switches.values())


def test_a_closed_form_has_no_approximation_error_to_isolate():
    for generator in (Gaussian(), Cascade(images_seen=0)):
        with pytest.raises(ValueError, match="not trained"):
            isolate(ASKED.model_copy(update={"generator": generator}), "approximation")


@pytest.mark.parametrize("error", ERRORS)
def test_everything_else_is_kept_and_the_run_has_a_name_of_its_own(error: str):
    asked = ASKED.model_copy(update={"regime": Mix(real_fraction=0.5), "generations": 4})
    alone = isolate(asked, error).experiment
    apart = {key.split(".")[0] for key in asked.differences(alone)}
    assert apart <= {"name", "title", "generator", "arms", "fresh_draws"}
    assert alone.name == f"any-{error}" and alone.arms == () and error.replace("none", "no error") in alone.title
    assert len({isolate(asked, each).experiment.signature for each in ERRORS}) == len(ERRORS)


def test_the_settings_of_a_closed_form_are_kept():
    alone = isolate(ASKED.model_copy(update={"generator": Gaussian(components=5, noise=False)}), "statistical")
    assert alone.experiment.generator == Gaussian(noise=False)


def test_an_unknown_error_is_named():
    with pytest.raises(ValueError, match="expected one of statistical, expressivity, approximation, none, got 'luck'"):
        isolate(ASKED, "luck")


def test_an_experiment_that_feeds_on_its_arms_cannot_lose_them():
    with pytest.raises(ValueError, match="weights"):
        isolate(ASKED.model_copy(update={"regime": Breed(weights=(1, 1))}), "none")


def test_the_command_line_isolates_after_all_other_settings(capsys: pytest.CaptureFixture[str]):
    alone = parse(ASKED, ["--isolate", "expressivity", "--generator.latent", "9", "--images=100"], "test")
    assert (
        alone.generator == Gaussian(components=9)
        and alone.images == 100
        and alone.fresh_draws == -(-CLOSED_FORM_IMAGES // 100)
    )
    said = capsys.readouterr().out
    assert [line.split(" error: ")[0] for line in said.splitlines()] == ["statistical", "expressivity", "approximation"]


@pytest.mark.parametrize("words", [["--isolate"], ["--isolate", "luck"], ["--isolate=luck"]])
def test_the_command_line_names_what_can_be_isolated(words: list[str]):
    with pytest.raises(UsageError, match="expected one of statistical, expressivity"):
        parse(ASKED, words, "test")


def test_the_stream_is_a_setting_like_any_other():
    assert parse(ASKED, ["--fresh-draws", "5"], "test").fresh_draws == 5
    assert Experiment(fresh_draws=2).signature != Experiment().signature
    assert "fresh_draws" not in Experiment().question() and Experiment(fresh_draws=2).question()["fresh_draws"] == 2


@pytest.mark.parametrize(
    ("images", "seen", "error", "drawn"),
    [
        (200, 0, "none", 2048),
        (200, 0, "expressivity", 2048),
        (200, 500, "approximation", 2048),
        (200, 30_000, "approximation", 30_000),
        (200, 10**6, "approximation", 65_536),
        (4096, 0, "none", 1),
    ],
)
def test_the_stream_is_as_long_as_the_training_and_within_2048_and_65536_images(
    images: int, seen: int, error: str, drawn: int
):
    asked = ASKED.model_copy(update={"images": images, "generator": Vae(images_seen=seen)})
    assert isolate(asked, error).experiment.fresh_draws == -(-drawn // images)
