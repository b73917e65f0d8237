"""Properties of every generator: the table, the two protocols, per-image seeds, save and load, very small datasets."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from pydantic import TypeAdapter, ValidationError

from imagelab.generators import (
    GENERATORS,
    AnyGenerator,
    Cascade,
    Ddpm,
    Diverged,
    Gaussian,
    Generator,
    LatentDiffusion,
    Model,
    Neon,
    RunContext,
    SelfGuided,
    TrainRecord,
    Vae,
)
from imagelab.seeds import image_seeds

SMALL = {
    "gaussian": Gaussian(components=5),
    "vae": Vae(latent=4, details=2, width=8, images_seen=160, batch=8, crop=16, neighbours=4),
    "ddpm": Ddpm(channels=(8, 16), blocks=1, images_seen=64, batch=8, noise_steps=20, steps=4),
    "cascade": Cascade(
        coarse_side=4,
        components=6,
        width=16,
        blocks=1,
        detail_widths=(8, 16),
        images_seen=64,
        coarse_share=2,
        batch=8,
        coarse_batch=16,
        steps=4,
        coarse_steps=4,
    ),
    "latent_diffusion": LatentDiffusion(
        first_stage=Vae(latent=4, details=2, width=8, images_seen=80, batch=8, crop=16, prior="normal"),
        images_seen=64,
        upper_share=2,
        batch=8,
        upper_batch=16,
        width=16,
        blocks=1,
        detail_widths=(8, 16),
        steps=4,
    ),
    "neon": Neon(
        base=Vae(latent=4, details=2, width=8, images_seen=80, batch=8, crop=16), samples=12, share=0.5, rate=1.0
    ),
    "self_guided": SelfGuided(
        base=Ddpm(channels=(8,), blocks=1, attention=False, patch=4, images_seen=32, batch=8, noise_steps=20, steps=2),
        samples=12,
        share=0.5,
        rate=1.0,
    ),
}
SEEDS = image_seeds(3, "sample", 1, 0, range(9))


@pytest.fixture(scope="module", params=sorted(SMALL))
def fitted(request: pytest.FixtureRequest, pictures: np.ndarray) -> tuple[Generator, Model]:
    recipe = SMALL[request.param]
    return recipe, recipe.fit(pictures, 0, RunContext())


def test_the_table_lists_every_kind_and_the_union_reads_each_one_back():
    # programs of somebody else: test_command.py; models of somebody else: test_pipeline.py
    assert set(GENERATORS) - {"command", "pipeline"} == set(SMALL)
    union = TypeAdapter(AnyGenerator)
    for kind, recipe in SMALL.items():
        assert isinstance(recipe, GENERATORS[kind]) and isinstance(recipe, Generator)
        assert union.validate_json(recipe.model_dump_json()) == recipe
        assert recipe.label
    with pytest.raises(ValidationError):
        union.validate_python({"kind": "vae", "latents": 3})


def test_importing_the_room_loads_neither_torch_nor_diffusers():
    heavy = "{'torch', 'diffusers', 'accelerate', 'transformers', 'peft', 'huggingface_hub'}"
    code = f"import sys, imagelab.generators; heavy = {heavy}; sys.exit(bool(heavy & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_samples_are_published_bytes_of_the_training_form(fitted: tuple[Generator, Model], pictures: np.ndarray):
    _, model = fitted
    images = model.sample(SEEDS)
    assert images.dtype == np.uint8 and images.shape == (len(SEEDS), *pictures.shape[1:])
    assert isinstance(model, Model)


def test_permuting_the_seeds_permutes_the_images(fitted: tuple[Generator, Model]):
    _, model = fitted
    order = np.array([4, 0, 8, 2, 6, 1, 7, 3, 5])
    np.testing.assert_array_equal(model.sample(SEEDS[order]), model.sample(SEEDS)[order])


def test_the_same_seed_gives_the_same_image_and_another_seed_another(fitted: tuple[Generator, Model]):
    _, model = fitted
    twice = model.sample(SEEDS[[0, 0, 1]])
    assert (twice[0] == twice[1]).all() and (twice[0] != twice[2]).any()


BATCHES = (1, 5, 256)
FORMS = {
    **SMALL,
    "gaussian, all components": Gaussian(),
    "vae, untrained": SMALL["vae"].model_copy(update={"images_seen": 0}),
    "vae, fitted prior": SMALL["vae"].model_copy(update={"prior": "fitted", "decoder_noise": True}),
    "vae, normal prior": SMALL["vae"].model_copy(update={"prior": "normal"}),
    "vae, recombined prior": SMALL["vae"].model_copy(update={"prior": "recombined", "optimiser": "muon"}),
    "ddpm on patches": SMALL["ddpm"].model_copy(update={"patch": 2, "weighting": "gaussian", "sampler": "dpm++"}),
    "ddpm, ddim": SMALL["ddpm"].model_copy(update={"sampler": "ddim"}),
    "ddpm, heun": SMALL["ddpm"].model_copy(update={"sampler": "heun"}),
    "latent diffusion, untrained": SMALL["latent_diffusion"].model_copy(update={"images_seen": 0, "mirror": False}),
    "cascade, untrained": SMALL["cascade"].model_copy(update={"images_seen": 0}),
    "cascade, no mirror": SMALL["cascade"].model_copy(update={"mirror": False, "solver": "euler"}),
}


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


# other samplers and solvers meet the batch in the same code
@pytest.mark.parametrize("form", [form for form in FORMS if form.split(", ")[-1] not in ("ddim", "heun", "no mirror")])
def test_the_batch_changes_no_byte_of_a_fit_a_sample_or_a_copy(form: str, tmp_path: Path, pictures: np.ndarray):
    recipe, rng = FORMS[form], np.random.default_rng(0)
    images = np.concatenate([np.roll(pictures, shift, axis=3) for shift in range(6)])[rng.permutation(180)]
    images = np.concatenate([images, 255 - images])  # more than 256: a second block
    seeds = image_seeds(3, "sample", 1, 0, range(300))
    made: dict[int, tuple[dict[str, bytes], np.ndarray, np.ndarray]] = {}
    for batch in BATCHES:
        model = recipe.fit(images, 0, RunContext(batch=batch))
        model.save(tmp_path / str(batch))
        copies = model.reconstruct(images) if model.reconstructs else images
        made[batch] = contents(tmp_path / str(batch)), model.sample(seeds), copies
    for batch in BATCHES:
        assert made[batch][0] == made[256][0]
        np.testing.assert_array_equal(made[batch][1], made[256][1])
        np.testing.assert_array_equal(made[batch][2], made[256][2])


@pytest.mark.parametrize("form", FORMS)
def test_an_image_depends_on_its_seed_and_not_on_the_others(form: str, pictures: np.ndarray):
    model = FORMS[form].fit(pictures, 0, RunContext())
    seeds = image_seeds(3, "sample", 1, 0, range(70))
    together = model.sample(seeds)
    for rows in ([0], [69], [3, 64, 20], list(range(65, 70)), list(range(33))):
        np.testing.assert_array_equal(model.sample(seeds[rows]), together[rows])


def test_a_saved_model_draws_and_copies_the_same_bytes(
    fitted: tuple[Generator, Model], tmp_path: Path, pictures: np.ndarray
):
    recipe, model = fitted
    model.save(tmp_path)
    again = recipe.load(tmp_path, RunContext())
    np.testing.assert_array_equal(again.sample(SEEDS), model.sample(SEEDS))
    if model.reconstructs:
        np.testing.assert_array_equal(again.reconstruct(pictures[:5]), model.reconstruct(pictures[:5]))
    assert not list(tmp_path.rglob("*.bin")) + list(tmp_path.rglob("*.pt")) + list(tmp_path.rglob("*.partial"))
    assert list(tmp_path.rglob("*.safetensors")) and list(tmp_path.rglob("*.json"))


def test_copies_lie_nearer_to_their_originals_than_other_pictures_do(
    fitted: tuple[Generator, Model], pictures: np.ndarray
):
    _, model = fitted
    if not model.reconstructs:
        with pytest.raises(ValueError, match="reconstruct"):
            model.reconstruct(pictures[:2])
        return
    copies, originals = model.reconstruct(pictures).astype(float), pictures.astype(float)
    assert ((copies - originals) ** 2).mean() < 0.5 * ((np.roll(originals, 1, 0) - originals) ** 2).mean()


@pytest.mark.parametrize("kind", sorted(SMALL))
def test_the_same_seed_trains_the_same_model_and_draws_on_no_global_source(kind: str, pictures: np.ndarray):
    import torch

    recipe = SMALL[kind]
    torch.manual_seed(1)
    before = torch.get_rng_state()
    first = recipe.fit(pictures, 5, RunContext()).sample(SEEDS)
    assert torch.equal(before, torch.get_rng_state())
    torch.manual_seed(2)
    np.testing.assert_array_equal(first, recipe.fit(pictures, 5, RunContext()).sample(SEEDS))
    if kind != "gaussian":
        assert (first != recipe.fit(pictures, 6, RunContext()).sample(SEEDS)).any()


@pytest.mark.parametrize("kind", sorted(SMALL))
@pytest.mark.parametrize(("count", "channels"), [(2, 3), (6, 1)])
def test_tiny_sets_and_grey_images_can_be_learned(kind: str, count: int, channels: int, pictures: np.ndarray):
    images = pictures[:count, :channels]
    made = SMALL[kind].fit(images, 0, RunContext()).sample(SEEDS[:3])
    assert made.shape == (3, channels, 16, 16)


@pytest.mark.parametrize("recipe", [SMALL["vae"], Ddpm(channels=(8, 8, 8, 8))])
@pytest.mark.parametrize("shape", [(4, 3, 12, 12), (4, 3, 16, 24)])
def test_sizes_that_do_not_suit_are_named_with_what_would_do(recipe: Generator, shape: tuple[int, ...]):
    with pytest.raises(ValueError, match=f"multiple of 8.*got {shape[2]} x {shape[3]}"):
        recipe.fit(np.zeros(shape, np.uint8), 0, RunContext())


@pytest.mark.parametrize("kind", ["vae", "ddpm"])
def test_training_reads_exactly_the_images_it_was_given(kind: str, pictures: np.ndarray):
    records: list[TrainRecord] = []
    SMALL[kind].model_copy(update={"images_seen": 37}).fit(pictures, 0, RunContext(on_record=records.append))
    assert (records[-1].images_seen, records[-1].images_total) == (37, 37)
    assert all(record.seconds >= 0 and np.isfinite(record.loss) for record in records)


@pytest.mark.parametrize("kind", ["vae", "ddpm", "cascade"])
def test_a_hopeless_learning_rate_is_reported_with_the_step_and_what_to_change(kind: str, pictures: np.ndarray):
    recipe = SMALL[kind].model_copy(update={"learning_rate": 1e6, "images_seen": 800})
    with pytest.raises(Diverged, match=r"step \d+ .*loss.*learning_rate"):
        recipe.fit(pictures, 0, RunContext())
