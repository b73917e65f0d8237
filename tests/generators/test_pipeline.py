"""Published pipelines in the loop: tiny ones with random weights, in the layout in which diffusers publishes them."""

from __future__ import annotations

import importlib
import importlib.util
import json
import runpy
import shlex
import shutil
import socket
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any, cast

import numpy as np
import pytest
import safetensors.torch
import torch
from PIL import Image
from pydantic import ValidationError
from safetensors.torch import load_file, save_file

from imagelab import Experiment, Pipeline, Runtime, Textures, run
from imagelab.cli.experiments import experiments_folder
from imagelab.export.generation import export_generation
from imagelab.generators import Diverged, Interrupted, RunContext, TrainRecord
from imagelab.generators.pipeline_files import fetching_command, find_pipeline
from imagelab.generators.pipeline_parts import load_pipeline
from imagelab.generators.pipeline_text import embed_prompts, prompt_rows
from imagelab.generators.pipeline_tuning import noise_scheduler, pipeline_loss
from imagelab.images import to_bytes, to_signed
from imagelab.run_folder import RunFolder
from imagelab.runs.check import check_run
from imagelab.runs.prepare import reopen
from imagelab.seeds import image_seeds, normal

SEEDS = image_seeds(3, "sample", 1, 0, range(6))
SIDES = {"pixels": 8, "latent": 8, "text": 8}
WORDS = {"text": ("a dog", "a cat", "sky")}
UNET = "unet/diffusion_pytorch_model.safetensors"


def _toys() -> ModuleType:
    place = experiments_folder() / "guests" / "toy_pipeline.py"
    spec = importlib.util.spec_from_file_location("toy_pipeline", place)
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def published(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """A pipeline of each form."""
    toys, home = _toys(), tmp_path_factory.mktemp("published")
    for form, side in SIDES.items():
        toys.make(home / form, form, side)
    return {form: home / form for form in SIDES}


@pytest.fixture(autouse=True)
def _no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise AssertionError("a pipeline must not use the network")

    monkeypatch.setattr(socket.socket, "connect", refuse)


@pytest.fixture(scope="module")
def lesson() -> Callable[[str], np.ndarray]:
    drawn = np.random.default_rng(0).integers(0, 256, (12, 3, 16, 16), np.uint8)
    return lambda form: np.ascontiguousarray(drawn[:, :, : SIDES[form], : SIDES[form]])


def recipe_of(folder: Path, **changes: Any) -> Pipeline:
    usual = {"model": str(folder), "images_seen": 16, "batch": 8, "steps": 2, "rank": 2, "learning_rate": 1e-2}
    return Pipeline(**{**usual, "prompts": WORDS.get(folder.name, ()), **changes})


# -- what is drawn and learned


@pytest.mark.parametrize("form", SIDES)
def test_untrained_it_draws_what_the_pipeline_of_diffusers_draws_from_the_same_noise(
    form: str, published: dict[str, Path], monkeypatch: pytest.MonkeyPatch
):
    import diffusers

    folder = published[form]
    drawn = recipe_of(folder, images_seen=0, steps=5).fit(
        np.zeros((1, 3, SIDES[form], SIDES[form]), np.uint8), 0, RunContext()
    )
    kind: Any = {"pixels": diffusers.DDIMPipeline, "latent": diffusers.LDMPipeline}.get(
        form, diffusers.StableDiffusionPipeline
    )
    theirs = kind.from_pretrained(str(folder), local_files_only=True)
    theirs.set_progress_bar_config(disable=True)
    noise = torch.from_numpy(normal(SEEDS, drawn.parts.latent_shape))
    if form == "text":
        theirs.scheduler = diffusers.DDIMScheduler.from_config(theirs.scheduler.config, clip_sample=False)
        prompts = [WORDS["text"][row] for row in prompt_rows(SEEDS, 3)]
        made = theirs(prompts, latents=noise, num_inference_steps=5, guidance_scale=7.5, output_type="np").images
    else:
        module = importlib.import_module(kind.__module__)
        monkeypatch.setattr(module, "randn_tensor", lambda *_, **__: noise)
        made = theirs(batch_size=len(SEEDS), num_inference_steps=5, output_type="np").images
    expected = np.round(255 * made).transpose(0, 3, 1, 2)
    difference = np.abs(drawn.sample(SEEDS) - expected)
    assert difference.max() <= 1 and (difference > 0).mean() < 0.01, "a block of 64 may round the last bit otherwise"


def test_pixels_are_converted_as_the_image_processor_of_the_pipelines_does():
    from diffusers.image_processor import VaeImageProcessor

    theirs, levels = VaeImageProcessor(vae_scale_factor=1), np.arange(256, dtype=np.uint8).reshape(1, 1, 16, 16)
    images = np.repeat(levels, 3, axis=1)
    (picture,) = theirs.numpy_to_pil(images.transpose(0, 2, 3, 1) / 255.0)
    torch.testing.assert_close(to_signed(torch.from_numpy(images)), theirs.preprocess(picture), rtol=0, atol=2e-7)
    made = torch.linspace(-1.2, 1.2, 768).reshape(1, 3, 16, 16)
    (picture,) = cast("list[Image.Image]", theirs.postprocess(made, output_type="pil"))
    np.testing.assert_array_equal(to_bytes(made)[0].permute(1, 2, 0).numpy(), np.asarray(picture))


def test_only_what_is_bounded_is_clipped_by_the_samplers(published: dict[str, Path]):
    clipped = {}
    for form, folder in published.items():
        parts = load_pipeline(find_pipeline(str(folder)), "cpu")
        silent = {name: value for name, value in parts.scheduler.items() if name != "clip_sample"}
        for stated in ({}, {"clip_sample": True}, {"clip_sample": False}):
            scheduler = noise_scheduler(replace(parts, scheduler={**silent, **stated}), "ddim")
            clipped.setdefault(form, []).append(scheduler.config.clip_sample)
    assert clipped == {"pixels": [True, True, False], "latent": [False, True, False], "text": [False] * 3}


def test_latents_are_encoded_as_the_training_scripts_of_diffusers_do(
    published: dict[str, Path], lesson: Callable[[str], np.ndarray]
):
    for form in ("latent", "text"):
        coder, images = load_pipeline(find_pipeline(str(published[form])), "cpu").coder, lesson(form)
        assert coder is not None
        with torch.no_grad():
            encoded = coder.net.encode(to_signed(torch.from_numpy(images)))
        found = torch.from_numpy(coder.moments(images, "cpu"))
        if form == "latent":
            torch.testing.assert_close(found, coder.net.config.scaling_factor * encoded.latents)
            continue
        both = torch.cat([encoded.latent_dist.mean, encoded.latent_dist.std], dim=1)
        torch.testing.assert_close(found, coder.net.config.scaling_factor * both)


class Oracle(torch.nn.Module):
    """A network that knows the clean images, and so the noise; it keeps the texts that it is given."""

    def __init__(self, parts: Any, prediction: str, clean: torch.Tensor) -> None:
        super().__init__()
        self.levels, self.config = noise_scheduler(parts, "ddpm").alphas_cumprod, parts.unet.config
        self.prediction, self.clean, self.texts, self.states = prediction, clean, [], []

    def forward(self, noisy: torch.Tensor, times: torch.Tensor, encoder_hidden_states: Any = None) -> Any:
        self.texts.append(encoder_hidden_states)
        self.states.append(noisy)
        kept, lost = (part.sqrt().reshape(-1, 1, 1, 1) for part in (self.levels[times], 1 - self.levels[times]))
        noise = (noisy - kept * self.clean) / lost
        answers = {"epsilon": noise, "sample": self.clean, "v_prediction": kept * noise - lost * self.clean}
        return SimpleNamespace(sample=answers[self.prediction])


@pytest.mark.parametrize("prediction", ["epsilon", "sample", "v_prediction"])
def test_the_loss_is_zero_for_a_network_that_predicts_what_the_scheduler_names(
    prediction: str, published: dict[str, Path]
):
    parts = load_pipeline(find_pipeline(str(published["pixels"])), "cpu")
    clean, source = torch.rand(40, 3, 8, 8) * 2 - 1, torch.Generator().manual_seed(0)
    for named in ("epsilon", "sample", "v_prediction"):
        known = replace(parts, scheduler={**parts.scheduler, "prediction_type": named})
        oracle = replace(known, unet=Oracle(parts, prediction, clean))
        value = float(pipeline_loss(oracle, None)(clean, source)[0])
        assert value < 1e-8 if named == prediction else value > 0.1


def test_every_read_draws_latents_anew_and_one_of_the_prompts(published: dict[str, Path]):
    source = find_pipeline(str(published["text"]))
    parts, prompts = load_pipeline(source, "cpu"), embed_prompts(source, WORDS["text"], "cpu")
    mean = torch.zeros(60, 4, 4, 4)
    oracle: Any = Oracle(parts, "sample", mean)
    loss = pipeline_loss(replace(parts, unet=oracle), prompts)
    for spread in (0.0, 3.0):
        loss(torch.cat([mean, torch.full_like(mean, spread)], dim=1), torch.Generator().manual_seed(0))
    assert oracle.states[0].std() < 1.05 < oracle.states[1].std()
    given = {tuple(text.flatten().tolist()) for text in oracle.texts[0]}
    assert given == {tuple(row.flatten().tolist()) for row in prompts.rows[:-1]}, "each, and not the empty one"


@pytest.mark.parametrize("tune", ["lora", "full"])
@pytest.mark.parametrize("form", SIDES)
def test_only_what_is_tuned_changes_is_saved_and_is_read_back(
    form: str, tune: str, published: dict[str, Path], tmp_path: Path, lesson: Callable[[str], np.ndarray]
):
    recipe = recipe_of(published[form], tune=tune)
    before = torch.get_rng_state()
    model = recipe.fit(lesson(form), 0, RunContext())
    assert torch.equal(before, torch.get_rng_state()), "no random number of the global source"
    stays = load_pipeline(find_pipeline(recipe.model), "cpu")
    if tune == "lora":
        now = {name.replace(".base_layer", ""): value for name, value in model.parts.unet.state_dict().items()}
        assert all(torch.equal(now[name], value) for name, value in stays.unet.state_dict().items())
    if model.parts.coder is not None and stays.coder is not None:
        now = model.parts.coder.net.state_dict()
        assert all(torch.equal(now[name], value) for name, value in stays.coder.net.state_dict().items())
    model.save(tmp_path / "model")
    files = {path.relative_to(tmp_path / "model").as_posix() for path in (tmp_path / "model").rglob("*.*")}
    expected = {"pytorch_lora_weights.safetensors"} if tune == "lora" else {"unet/config.json", UNET}
    assert files == {"pipeline.json"} | expected, "nothing that is frozen"
    state = torch.get_rng_state()
    again = recipe.load(tmp_path / "model", RunContext(batch=3))
    assert torch.equal(state, torch.get_rng_state())
    images = model.sample(SEEDS)
    np.testing.assert_array_equal(again.sample(SEEDS[[4, 1]]), images[[4, 1]])
    published_images = recipe.model_copy(update={"images_seen": 0}).fit(lesson(form), 0, RunContext()).sample(SEEDS)
    assert (images != published_images).any() and images.shape == (6, 3, SIDES[form], SIDES[form])


def test_diffusers_reads_the_low_rank_weights(
    published: dict[str, Path], tmp_path: Path, lesson: Callable[[str], np.ndarray]
):
    from diffusers import StableDiffusionPipeline

    recipe = recipe_of(published["text"], learning_rate=0.05, images_seen=24)
    model: Any = recipe.fit(lesson("text"), 0, RunContext())
    model.save(tmp_path)
    theirs = StableDiffusionPipeline.from_pretrained(str(published["text"]), local_files_only=True)
    theirs.load_lora_weights(str(tmp_path), weight_name="pytorch_lora_weights.safetensors")
    noisy, time, text = torch.ones(1, 4, 4, 4), torch.tensor(7), model.prompts.rows[:1]
    with torch.no_grad():
        ours = model.parts.unet(noisy, time, encoder_hidden_states=text).sample
        torch.testing.assert_close(theirs.unet(noisy, time, encoder_hidden_states=text).sample, ours)
        theirs.unload_lora_weights()
        assert (theirs.unet(noisy, time, encoder_hidden_states=text).sample - ours).abs().max() > 1e-3


@pytest.mark.parametrize(
    ("form", "change"),
    [
        ("pixels", {"tune": "full"}),
        ("pixels", {"rank": 3}),
        ("pixels", {"images_seen": 24}),
        ("pixels", {"batch": 6}),
        ("pixels", {"learning_rate": 3e-2}),
        ("pixels", {"ema": 0.0}),
        ("pixels", {"sampler": "ddpm"}),
        ("pixels", {"sampler": "dpm++"}),
        ("pixels", {"steps": 3}),
        ("text", {"guidance": 3.0}),
        ("text", {"guidance": 1.0}),
        ("text", {"prompts": ("a dog", "a cat")}),
    ],
    ids=str,
)
def test_another_value_of_any_setting_gives_other_images(
    form: str,
    change: dict[str, Any],
    published: dict[str, Path],
    lesson: Callable[[str], np.ndarray],
    usual: dict[str, np.ndarray],
):
    def drawn(**changes: Any) -> np.ndarray:
        model = recipe_of(published[form], **changes).fit(lesson(form), 0, RunContext())
        with torch.inference_mode():
            return model._draw(SEEDS).numpy()

    if form not in usual:
        usual[form] = drawn()
    assert np.abs(drawn(**change) - usual[form]).max() > 1e-6


@pytest.fixture(scope="module")
def usual() -> dict[str, np.ndarray]:
    return {}


def test_a_prompt_belongs_to_the_seed_of_its_image(published: dict[str, Path], lesson: Callable[[str], np.ndarray]):
    seeds = image_seeds(0, "sample", 1, 0, range(300))
    counts = np.bincount(prompt_rows(seeds, 3), minlength=3)
    assert counts.min() > 70 and counts.sum() == 300
    several: Any = recipe_of(published["text"], images_seen=0).fit(lesson("text"), 0, RunContext())
    images = several.sample(SEEDS)
    np.testing.assert_array_equal(several.sample(SEEDS[::-1]), images[::-1])
    for row, prompt in enumerate(WORDS["text"]):
        one = recipe_of(published["text"], images_seen=0, prompts=prompt)
        assert one.prompts == (prompt,)
        mine = prompt_rows(SEEDS, 3) == row
        if mine.any():
            np.testing.assert_array_equal(one.fit(lesson("text"), 0, RunContext()).sample(SEEDS[mine]), images[mine])


def test_a_stopped_training_goes_on_to_the_same_bytes(
    published: dict[str, Path], tmp_path: Path, lesson: Callable[[str], np.ndarray]
):
    recipe, records = recipe_of(published["text"], images_seen=32), list[TrainRecord]()
    whole = recipe.fit(lesson("text"), 5, RunContext(on_record=records.append))
    assert [record.images_seen for record in records][-1] == 32 and records[0].images_total == 32
    context, asked = RunContext(checkpoint=tmp_path / "checkpoint.safetensors"), iter([False, False, True])
    with pytest.raises(Interrupted):
        recipe.fit(lesson("text"), 5, replace(context, should_stop=lambda: next(asked)))
    names = load_file(str(tmp_path / "checkpoint.safetensors"))
    assert all("lora" in name for name in names if name.startswith(("net.", "average."))), "only what is trained"
    other = recipe.model_copy(update={"learning_rate": 1e-3})
    shutil.copy(context.checkpoint or "", tmp_path / "copy.safetensors")
    fresh, beside = (
        other.fit(lesson("text"), 5, RunContext(checkpoint=place)) for place in (None, tmp_path / "copy.safetensors")
    )
    assert all(torch.equal(a, b) for a, b in zip(fresh.net.parameters(), beside.net.parameters(), strict=True))
    losses = list[TrainRecord]()
    again = recipe.fit(lesson("text"), 5, replace(context, on_record=losses.append))
    assert [record.loss for record in losses] == [record.loss for record in records]
    for (name, value), other in zip(whole.net.tensors().items(), again.net.tensors().values(), strict=True):
        assert torch.equal(value, other), name
    assert not (tmp_path / "checkpoint.safetensors").exists()


def test_a_warm_start_goes_on_from_the_model_before(published: dict[str, Path], lesson: Callable[[str], np.ndarray]):
    recipe = recipe_of(published["pixels"])
    first, cold = (recipe.fit(lesson("pixels"), seed, RunContext()) for seed in (0, 1))
    nothing = recipe.model_copy(update={"images_seen": 0})
    kept = nothing.fit(lesson("pixels"), 1, RunContext(), start=first)
    assert all(torch.equal(a, b) for a, b in zip(kept.net.parameters(), first.net.parameters(), strict=True))
    warm = recipe.fit(lesson("pixels"), 1, RunContext(), start=first)
    assert (warm.sample(SEEDS) != cold.sample(SEEDS)).any()
    with pytest.raises(ValueError, match="warm start: expected a model of the same form"):
        recipe_of(published["pixels"], rank=3).fit(lesson("pixels"), 1, RunContext(), start=first)


def test_a_training_that_runs_away_says_so(published: dict[str, Path], lesson: Callable[[str], np.ndarray]):
    wild = recipe_of(published["pixels"], tune="full", learning_rate=1e6, images_seen=64)
    with pytest.raises(Diverged, match="Lower learning_rate"):
        wild.fit(lesson("pixels"), 0, RunContext())


def test_grey_images_take_a_grey_pipeline(tmp_path: Path):
    for form, side in (("pixels", 8), ("text", 8)):
        _toys().make(tmp_path / form, form, side, channels=1)
        grey = np.zeros((3, 1, side, side), np.uint8)
        made = recipe_of(tmp_path / form, images_seen=3).fit(grey, 0, RunContext()).sample(SEEDS[:2])
        assert made.shape == (2, 1, side, side)


# -- files as they were published years ago


def copied(folder: Path, place: Path) -> Path:
    shutil.copytree(folder, place / folder.name)
    return place / folder.name


def test_the_first_layouts_and_names_are_read(published: dict[str, Path], tmp_path: Path):
    def output(folder: Path) -> torch.Tensor:
        with torch.no_grad():
            return load_pipeline(find_pipeline(str(folder)), "cpu").unet(torch.ones(1, 3, 8, 8), 7).sample

    old = copied(published["pixels"], tmp_path)
    for part in ("unet", "scheduler"):  # google/ddpm-cifar10-32 has no folders
        for path in (old / part).iterdir():
            path.rename(old / path.name)
        (old / part).rmdir()
    weights = old / "diffusion_pytorch_model.safetensors"
    former = {"to_q": "query", "to_k": "key", "to_v": "value", "to_out.0": "proj_attn"}
    tensors = load_file(str(weights))
    for new, name in former.items():
        tensors = {key.replace(f"{new}.", f"{name}."): value for key, value in tensors.items()}
    assert any("proj_attn" in name for name in tensors)
    save_file(tensors, str(weights), {"format": "pt"})
    torch.testing.assert_close(output(old), output(published["pixels"]), rtol=0, atol=0)
    save_file({name: value.half() for name, value in tensors.items()}, str(weights), {"format": "pt"})
    torch.testing.assert_close(output(old), output(published["pixels"]), rtol=0, atol=0.01)


def test_a_code_without_a_scale_is_as_old_as_its_network_and_was_not_scaled(published: dict[str, Path], tmp_path: Path):
    old = copied(published["latent"], tmp_path)
    settings = json.loads((old / "vqvae" / "config.json").read_text())
    for stated, scale in ({}, 1.0), ({"scaling_factor": 0.5}, 0.5):
        bare = {name: value for name, value in settings.items() if name != "scaling_factor"}
        (old / "vqvae" / "config.json").write_text(json.dumps({**bare, **stated}))
        coder = load_pipeline(find_pipeline(str(old)), "cpu").coder
        assert coder is not None and coder.scale == scale
    text = load_pipeline(find_pipeline(str(published["text"])), "cpu").coder
    assert text is not None and text.scale == 0.18215


def test_a_text_encoder_is_read_as_transformers_reads_it_and_under_its_former_names(
    published: dict[str, Path], tmp_path: Path
):
    transformers = importlib.import_module("transformers")
    source, old = find_pipeline(str(published["text"])), copied(published["text"], tmp_path)
    ours = embed_prompts(source, ["a dog", "sky"], "cpu").rows
    encoder = transformers.CLIPTextModel.from_pretrained(str(source.folder / "text_encoder"))
    words = transformers.CLIPTokenizer.from_pretrained(str(source.folder / "tokenizer"))
    ids = words(["a dog", "sky", ""], padding="max_length", max_length=16, truncation=True, return_tensors="pt")
    with torch.no_grad():
        torch.testing.assert_close(ours, encoder.eval()(ids.input_ids)[0])
    weights = old / "text_encoder" / "model.safetensors"
    tensors = {f"text_model.{name}": value for name, value in load_file(str(weights)).items()}
    tensors["text_model.embeddings.position_ids"] = torch.arange(16)[None]
    save_file(tensors, str(weights), {"format": "pt"})
    torch.testing.assert_close(embed_prompts(find_pipeline(str(old)), ["a dog", "sky"], "cpu").rows, ours)


def test_a_name_of_the_hub_is_found_in_its_cache_and_never_fetched(
    published: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, lesson: Callable[[str], np.ndarray]
):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    recipe = Pipeline(model="org/toy", images_seen=0, steps=2)
    with pytest.raises(ValueError) as refused:
        recipe.fit(lesson("pixels"), 0, RunContext())
    said = str(refused.value)
    assert "org/toy is not on this machine" in said and str(tmp_path) in said and fetching_command("org/toy") in said
    with pytest.raises(ValueError, match="hf download org/toy"):
        run(Experiment(generator=recipe, runtime=Runtime(runs=tmp_path / "runs")))
    assert not (tmp_path / "runs").exists(), "told before anything is written"
    home = tmp_path / "models--org--toy"
    shutil.copytree(published["pixels"], home / "snapshots" / ("c" * 40))
    (home / "refs").mkdir()
    (home / "refs" / "main").write_text("c" * 40)
    assert recipe.fit(lesson("pixels"), 0, RunContext()).sample(SEEDS[:2]).shape == (2, 3, 8, 8)
    assert "org/toy/unet/config.json" in recipe.scripts, "not the place, so that another machine can go on"
    with pytest.raises(ValueError, match=r"org/toy at revision v2 is not on this machine.*--revision v2"):
        Pipeline(model="org/toy", revision="v2").fit(lesson("pixels"), 0, RunContext())
    (home / "snapshots" / ("c" * 40) / UNET).unlink()
    with pytest.raises(ValueError, match=f"hf download org/toy {UNET}"):
        recipe.fit(lesson("pixels"), 0, RunContext())


# -- bad guests


def damage_weights(folder: Path, part: str, change: Callable[[dict[str, torch.Tensor], str], object]) -> None:
    (path,) = (folder / part).glob("*.safetensors")
    tensors = load_file(str(path))
    change(tensors, sorted(tensors)[0])
    save_file(tensors, str(path), {"format": "pt"})


def edit(path: Path, **changes: Any) -> None:
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-100])


def only_bin(folder: Path) -> None:
    (folder / UNET).rename(folder / "unet" / "diffusion_pytorch_model.bin")


GUESTS: dict[str, tuple[str, Callable[[Path], object], str]] = {
    "no folder": ("pixels", shutil.rmtree, "there is no such folder. Give a folder written by save_pretrained"),
    "no index": ("pixels", lambda f: (f / "model_index.json").unlink(), "model_index.json; there is scheduler, unet"),
    "class": (
        "pixels",
        lambda f: edit(f / "model_index.json", _class_name="FluxPipeline"),
        "pipelines of class FluxPipeline are not supported. Supported are DDPMPipeline, DDIMPipeline, LDMPipeline",
    ),
    "part": (
        "text",
        lambda f: edit(f / "model_index.json", text_encoder=["evil", "RunsCode"]),
        "text_encoder: expected CLIPTextModel, got RunsCode",
    ),
    "scheduler": (
        "pixels",
        lambda f: edit(f / "model_index.json", scheduler=["diffusers", "FlowMatchEulerDiscreteScheduler"]),
        "scheduler: expected DDPMScheduler or .* got FlowMatchEulerDiscreteScheduler",
    ),
    "missing": (
        "latent",
        lambda f: next((f / "vqvae").glob("*.safetensors")).unlink(),
        "missing; vqvae .VQModel. needs",
    ),
    "bin only": ("pixels", only_bin, r"diffusion_pytorch_model\.bin is not read: a pickle can hold code"),
    "tokenizer": (
        "text",
        lambda f: shutil.rmtree(f / "tokenizer"),
        "vocab.json: missing; tokenizer .CLIPTokenizer. needs",
    ),
    "broken words": ("text", lambda f: (f / "tokenizer" / "tokenizer.json").write_text("{"), "not a CLIPTokenizer"),
    "cut": ("pixels", lambda f: cut(f / UNET), "cut short.*Restore the file from a copy"),
    "cut text": ("text", lambda f: cut(f / "text_encoder" / "model.safetensors"), "cut short"),
    "nan": ("text", lambda f: damage_weights(f, "vae", lambda t, n: t[n].fill_(np.nan)), "NaN or infinite"),
    "nan text": ("text", lambda f: damage_weights(f, "text_encoder", lambda t, n: t[n].fill_(np.nan)), "are NaN"),
    "tensor gone": ("latent", lambda f: damage_weights(f, "unet", lambda t, n: t.pop(n)), "conv_in.bias is missing"),
    "tensor more": (
        "pixels",
        lambda f: damage_weights(f, "unet", lambda t, n: t.update(extra=torch.zeros(2))),
        "extra is not expected",
    ),
    "config": ("pixels", lambda f: (f / "unet" / "config.json").write_text("[]"), "expected an object of settings"),
    "layers": (
        "pixels",
        lambda f: edit(f / "unet" / "config.json", layers_per_block=10**9),
        "layers_per_block: expected at most 64, got 1000000000",
    ),
    "other net": ("pixels", lambda f: edit(f / "unet" / "config.json", _class_name="X"), "expected UNet2DModel, got X"),
    "no size": ("pixels", lambda f: edit(f / "unet" / "config.json", sample_size=None), "sample_size: expected"),
    "classes": (
        "pixels",
        lambda f: (
            edit(f / "unet" / "config.json", num_class_embeds=3),
            damage_weights(f, "unet", lambda t, n: t.update({"class_embedding.weight": torch.zeros(3, 32)})),
        ),
        "num_class_embeds: a network that needs more",
    ),
    "prediction": (
        "pixels",
        lambda f: edit(f / "scheduler" / "scheduler_config.json", prediction_type="flow"),
        "prediction_type: expected epsilon, v_prediction or sample, got flow",
    ),
    "betas": (
        "pixels",
        lambda f: edit(f / "scheduler" / "scheduler_config.json", beta_schedule="evil"),
        "not settings that a DD.MScheduler takes",
    ),
}


@pytest.mark.parametrize("guest", GUESTS)
def test_a_bad_guest_is_refused_in_words(
    guest: str, published: dict[str, Path], tmp_path: Path, lesson: Callable[[str], np.ndarray]
):
    form, harm, words = GUESTS[guest]
    folder = copied(published[form], tmp_path)
    harm(folder)
    with pytest.raises(ValueError, match=words) as refused:
        recipe_of(folder).fit(lesson(form), 0, RunContext()).sample(SEEDS[:1])
    said = str(refused.value)
    assert str(folder) in said and "\n" not in said and len(said.replace(str(folder), "")) < 900, said


def test_the_command_that_converts_a_pickle_can_be_copied(
    published: dict[str, Path], tmp_path: Path, lesson: Callable[[str], np.ndarray]
):
    folder = copied(published["pixels"], tmp_path)
    torch.save(load_file(str(folder / UNET)), folder / "unet" / "diffusion_pytorch_model.bin")
    kept = (folder / UNET).read_bytes()
    (folder / UNET).unlink()
    with pytest.raises(ValueError) as refused:
        recipe_of(folder).fit(lesson("pixels"), 0, RunContext())
    python, option, code = shlex.split(str(refused.value).split("without executing it: ")[1])[:3]
    assert (python, option) == ("python", "-c")
    exec(code, {})
    before, after = safetensors.torch.load(kept), load_file(str(folder / UNET))
    assert before.keys() == after.keys() and all(torch.equal(before[name], after[name]) for name in before)


@pytest.mark.parametrize(
    ("form", "changes", "words"),
    [
        ("text", {"prompts": ()}, "draws from text: give at least one of prompts"),
        ("pixels", {"prompts": ("a dog",)}, r"\(DDPMPipeline\) takes no text: leave out prompts"),
        ("text", {"prompts": ("a very long prompt",)}, "expected at most 16 tokens with begin and end, got 17"),
        ("pixels", {"steps": 1001}, "steps: expected at most 1000, those of the pipeline's noise schedule, got 1001"),
    ],
)
def test_settings_that_do_not_suit_the_pipeline_are_refused(
    form: str, changes: dict[str, Any], words: str, published: dict[str, Path], lesson: Callable[[str], np.ndarray]
):
    with pytest.raises(ValueError, match=words):
        recipe_of(published[form], **changes).fit(lesson(form), 0, RunContext())


@pytest.mark.parametrize(
    ("shape", "words"),
    [
        ((3, 3, 12, 12), r"makes images of 8 x 8 px in 3 channels; got 12 x 12 px.*set the data's size to 8"),
        ((3, 1, 8, 8), "got 8 x 8 px in 1 channels.*images in colour, or a one-channel pipeline"),
    ],
)
def test_images_of_another_form_are_refused_with_both_forms(
    shape: tuple[int, ...], words: str, published: dict[str, Path]
):
    with pytest.raises(ValueError, match=words):
        recipe_of(published["latent"]).fit(np.zeros(shape, np.uint8), 0, RunContext())


@pytest.mark.parametrize(("form", "package"), [("text", "transformers"), ("pixels", "peft")])
def test_a_missing_package_is_named_with_the_command_that_installs_it(
    form: str,
    package: str,
    published: dict[str, Path],
    lesson: Callable[[str], np.ndarray],
    monkeypatch: pytest.MonkeyPatch,
):
    there = importlib.util.find_spec
    monkeypatch.setattr("importlib.util.find_spec", lambda name, *more: None if name == package else there(name, *more))
    with pytest.raises(ValueError, match=rf"needs {package}: pip install 'imagelab-collapse\[pipelines\]'"):
        recipe_of(published[form]).fit(lesson(form), 0, RunContext())


def test_wrong_settings_are_refused_before_anything_is_read():
    for changes in ({"revision": "a b"}, {"tune": "half"}, {"guidance": 0.5}, {"prompts": ("",)}, {"model": ""}):
        with pytest.raises(ValidationError):
            Pipeline(**{"model": "org/name", **changes})
    assert Pipeline(model="toy").model == (Path.cwd() / "toy").as_posix()
    assert Pipeline(model="org/name").model == "org/name"


def test_a_damaged_model_and_a_changed_base_are_refused(
    published: dict[str, Path], tmp_path: Path, lesson: Callable[[str], np.ndarray]
):
    base = copied(published["pixels"], tmp_path)
    recipe, saved = recipe_of(base), tmp_path / "model"
    recipe.fit(lesson("pixels"), 0, RunContext()).save(saved)
    with pytest.raises(ValueError, match=r"tune: expected full as in the recipe, got lora.*imagelab resume"):
        recipe.model_copy(update={"tune": "full"}).load(saved, RunContext())
    with pytest.raises(ValueError, match=r"has shape .* and not .*imagelab resume"):
        recipe.model_copy(update={"rank": 3}).load(saved, RunContext())
    weights = saved / "pytorch_lora_weights.safetensors"
    whole = weights.read_bytes()
    cut(weights)
    with pytest.raises(ValueError, match=r"cut short.*imagelab resume"):
        recipe.load(saved, RunContext())
    weights.write_bytes(whole)
    damage_weights(saved, ".", lambda tensors, name: tensors[name].fill_(np.inf))
    with pytest.raises(ValueError, match=r"NaN or infinite.*imagelab resume"):
        recipe.load(saved, RunContext())
    weights.write_bytes(whole)
    assert recipe.load(saved, RunContext())
    damage_weights(base, "unet", lambda tensors, name: tensors[name].add_(1e-3))
    with pytest.raises(ValueError, match=r"was trained from files of .* with digest .* Put the former files back"):
        recipe.load(saved, RunContext())


# -- a whole run


def test_the_toy_of_the_experiment_suits_its_data(tmp_path: Path):
    asked = runpy.run_path(str(experiments_folder() / "pipeline.py"))["toy"](tmp_path / "toy")
    assert load_pipeline(find_pipeline(asked.generator.model), "cpu").shape == asked.data.shape
    assert "untrained" in asked.title and asked.generator.tune == "lora"


def question(published: dict[str, Path], runs: Path) -> Experiment:
    return Experiment(
        name="toy",
        data=Textures(size=8),
        generator=recipe_of(published["text"], images_seen=24),
        generations=2,
        images=10,
        heldout=6,
        tracked=2,
        metrics=("pixel_variance",),
        warm_start=True,
        runtime=Runtime(runs=runs, device="cpu", threads=1),
    )


def made(folder: RunFolder) -> dict[str, bytes]:
    names = (
        "images.npy",
        "probe.npy",
        "prompts.jsonl",
        "model/pytorch_lora_weights.safetensors",
        "model/pipeline.json",
    )
    shards = [folder.shard_path(*shard) for shard in folder.shards()[1:]]
    return {f"{shard.name}/{name}": (shard / name).read_bytes() for shard in shards for name in names}


def test_two_generations_of_a_text_pipeline_stopped_and_resumed(
    published: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    base = copied(published["text"], tmp_path)
    bases = {**published, "text": base}
    whole = run(question(bases, tmp_path / "whole"))
    assert whole.shards() == [(0, -1), (1, 0), (2, 0)] and not list(check_run(whole.path).problems)
    prompts = [json.loads(line) for line in (whole.shard_path(1, 0) / "prompts.jsonl").read_text().splitlines()]
    assert len(prompts) == 12 and {row["prompt"] for row in prompts} <= set(WORDS["text"])
    files = whole.config["scripts"]
    assert len(files) == 12 and f"{base}/{UNET}" in files and not [name for name in files if "safety" in name]
    asked, steps = question(bases, tmp_path / "cut"), iter(range(100))
    with pytest.raises(Interrupted):
        run(asked, should_stop=lambda: next(steps) == 6)
    kept = (base / UNET).read_bytes()
    damage_weights(base, "unet", lambda tensors, name: tensors[name].add_(1e-3))
    with pytest.raises(ValueError, match=r"model\.safetensors was changed since this run was begun"):
        reopen(RunFolder.open(asked.folder.parent / f"toy-{whole.config['signature']}"), asked.runtime)
    assert asked.signature != whole.config["signature"]
    (base / UNET).write_bytes(kept)
    again = run(asked)
    assert made(again) == made(whole) and len(made(whole)) == 10
    copied(base, export_generation(whole.path, 2, tmp_path / "card", "model"))
    card = (tmp_path / "card" / "README.md").read_text()
    assert str(tmp_path) not in card and "Only what was trained is here" in card
    monkeypatch.chdir(tmp_path / "card")
    exec(card.split("```python")[1].split("```")[0], {})
    assert Image.open("drawn.png").size == (8, 8)
