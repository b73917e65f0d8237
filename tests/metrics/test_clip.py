from __future__ import annotations

import shlex
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from imagelab.metrics import METRICS, Evidence, ImageSet, measure_panel
from imagelab.metrics.clip import B32, L14, ClipForm, clip_extractor, clip_input
from imagelab.metrics.features import SPACES
from imagelab.metrics.rbf import biased_rbf_distance, rbf_distance
from imagelab.metrics.weights import UNPINNED, VARIABLE, WeightsMissing, locate

transformers = pytest.importorskip("transformers")
TINY = ClipForm("clip-vit-base-patch32", side=32, patch=8, width=24, depth=3, heads=4, inner=40, out=12)


@pytest.fixture(scope="module")
def published(tmp_path_factory: pytest.TempPathFactory):
    """A small random network of transformers, and the folder in which it has saved itself in the published layout."""
    torch.manual_seed(0)
    config = transformers.CLIPVisionConfig(
        image_size=TINY.side,
        patch_size=TINY.patch,
        hidden_size=TINY.width,
        num_hidden_layers=TINY.depth,
        num_attention_heads=TINY.heads,
        intermediate_size=TINY.inner,
        projection_dim=TINY.out,
    )
    network = transformers.CLIPVisionModelWithProjection(config).eval()
    for parameter in network.parameters():  # as initialised, every bias is zero and every gain one
        parameter.data += 0.2 * torch.randn_like(parameter)
    folder = tmp_path_factory.mktemp("clip") / TINY.name
    network.save_pretrained(folder)
    return network, folder


def test_the_embedding_is_that_of_transformers(published):
    network, folder = published
    images = torch.randint(0, 256, (5, 3, 40, 40), generator=torch.Generator().manual_seed(1), dtype=torch.uint8)
    with torch.no_grad():
        expected = network(clip_input(images, TINY.side)).image_embeds
    found = clip_extractor("cpu", TINY, folder / "model.safetensors")(images)
    torch.testing.assert_close(found, expected / expected.norm(dim=1, keepdim=True), atol=1e-5, rtol=0)
    assert found.std(dim=0).min() > 1e-3  # the images differ in it


def test_the_preprocessing_is_the_published_one():
    """Within one grey level, also for pictures that are not square; bytes may be rounded between its two passes."""
    size = {"shortest_edge": 32}
    crop = {"height": 32, "width": 32}
    make = transformers.CLIPImageProcessor(size=size, crop_size=crop)
    for height, width in ((48, 48), (20, 31), (64, 40)):
        pixels = np.random.default_rng(0).integers(60, 196, (height, width, 3), np.uint8)
        expected = make(images=[pixels], return_tensors="pt", input_data_format="channels_last")["pixel_values"]
        found = clip_input(torch.from_numpy(pixels).permute(2, 0, 1)[None], 32)
        assert (found - expected).abs().max() <= 1.01 / 255 / 0.26
        assert (found - expected).abs().mean() < 0.3 / 255 / 0.26


def test_the_published_dimensions_are_those_of_the_papers():
    for form, numbers in ((L14, 304_293_888), (B32, 87_849_216)):
        assert sum(int(np.prod(shape)) for shape in form.tensors().values()) == numbers
    config = transformers.CLIPVisionConfig()  # the defaults are those of ViT-B/32
    assert (config.image_size, config.patch_size, config.hidden_size) == (B32.side, B32.patch, B32.width)
    assert (config.num_hidden_layers, config.intermediate_size, config.projection_dim) == (12, B32.inner, B32.out)


def test_another_network_is_refused_and_named(published, tmp_path: Path):
    path = published[1] / "model.safetensors"
    with pytest.raises(ValueError, match=r"class_embedding: expected \(32,\), got \(24,\)"):
        clip_extractor("cpu", replace(TINY, width=32), path)
    with pytest.raises(ValueError, match=r"layers\.3\..*got none"):
        clip_extractor("cpu", replace(TINY, depth=4), path)
    (tmp_path / "cut").write_bytes(path.read_bytes()[:100])
    with pytest.raises(ValueError, match="safetensors file of clip-vit"):
        clip_extractor("cpu", TINY, tmp_path / "cut")


def test_cmmd_is_measured_with_the_digest_of_the_file(published, monkeypatch: pytest.MonkeyPatch):
    pictures = np.random.default_rng(0).integers(0, 256, (24, 3, 32, 32), np.uint8)
    evidence = Evidence(ImageSet(pictures[:12]), ImageSet(pictures[12:] // 2))
    missing = measure_panel(evidence, ["cmmd_b32"])
    assert [m.name for m in missing] == ["cmmd_b32", "cmmd_b32_biased"]
    assert "C.from_pretrained('openai/clip-vit-base-patch32')" in missing[0].missing
    monkeypatch.setenv(VARIABLE, str(published[1].parent))
    space = replace(SPACES[TINY.name], extractor=lambda device: clip_extractor(device, TINY))
    monkeypatch.setitem(SPACES, TINY.name, space)
    plain, biased = measure_panel(evidence, ["cmmd_b32"])
    embed = space.extractor("cpu")
    real, fake = (embed(torch.from_numpy(each.images)).double().numpy() for each in (evidence.real, evidence.fake))
    assert plain.value == pytest.approx(1000 * rbf_distance(real, fake, 10.0)[0], rel=1e-4)
    assert biased.value == pytest.approx(1000 * biased_rbf_distance(real, fake, 10.0), rel=1e-4)
    assert plain.stderr and plain.feature_space == f"{TINY.name}@{space.digest()[:8]}" and plain.better == "lower"


def test_the_biased_distance_is_the_mean_over_all_pairs(rng: np.random.Generator):
    real, fake = rng.normal(size=(7, 3)), rng.normal(size=(5, 3)) + 1

    def mean(left: np.ndarray, right: np.ndarray) -> float:
        return float(np.exp(-((left[:, None] - right) ** 2).sum(axis=2) / 8.0).mean())

    expected = mean(real, real) + mean(fake, fake) - 2 * mean(real, fake)
    assert biased_rbf_distance(real, fake, 2.0) == pytest.approx(expected, rel=1e-9)
    assert biased_rbf_distance(real, real, 2.0) == pytest.approx(0.0, abs=1e-12)


def test_the_printed_command_puts_the_weights_where_they_are_looked_for(
    published, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv(VARIABLE, str(tmp_path / "my weights"))
    monkeypatch.setitem(UNPINNED, TINY.name, replace(UNPINNED[TINY.name], hub=str(published[1])))
    with pytest.raises(WeightsMissing) as told:
        locate(TINY.name)
    words = shlex.split(str(told.value).partition("Get it with: ")[2])
    assert words[:2] == ["python", "-c"] and "~/my weights" in words[2]
    exec(words[2], {})
    assert locate(TINY.name) == tmp_path / "my weights" / TINY.name / "model.safetensors"


def test_weights_that_are_missing_say_how_they_are_got(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv(VARIABLE, str(tmp_path))
    with pytest.raises(WeightsMissing, match=r"save_pretrained.*no digest of this file is known"):
        locate(L14.name)
    assert METRICS["cmmd"].needs == (L14.name,)
