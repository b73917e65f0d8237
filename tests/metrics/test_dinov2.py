from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

from imagelab.metrics import METRICS, measure_panel
from imagelab.metrics.dinov2 import DIGEST, NAME, VIT_L, Form, class_token, dinov2, positions, prepare
from imagelab.metrics.features import SPACES
from imagelab.metrics.weights import WEIGHTS, WeightsMissing

TINY = Form(width=24, depth=3, heads=4, patch=14, grid=37)


def state_of(form: Form, seed: int = 0) -> dict[str, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    state = {}
    for name, shape in form.tensors().items():
        scale = (
            0.3 if len(shape) == 1 or name in ("cls_token", "pos_embed", "mask_token") else math.prod(shape[1:]) ** -0.5
        )
        centre = 1.0 if name.endswith(("norm1.weight", "norm2.weight", "norm.weight", "gamma")) else 0.0
        state[name] = centre + scale * torch.randn(shape, generator=generator)
    return state


@pytest.fixture(scope="module")
def weights_file(tmp_path_factory):
    """Random weights of a small net in the format of the official file."""
    path = tmp_path_factory.mktemp("dinov2") / "tiny.pth"
    torch.save(state_of(TINY), path)
    return path


def test_the_expected_tensors_fill_the_official_file_to_its_last_kilobytes():
    """The file is its float32 tensors and, for each, some 300 bytes of names, shapes and alignment."""
    shapes = VIT_L.tensors()
    numbers = sum(math.prod(shape) for shape in shapes.values())
    assert numbers == 304_368_640  # "0.3 B parameters"
    assert len(shapes) == 343
    spare = WEIGHTS[NAME].size - 4 * numbers
    assert 200 < spare / len(shapes) < 500


def test_the_names_are_the_official_ones():
    names = set(VIT_L.tensors())
    for name in (
        "cls_token",
        "mask_token",
        "pos_embed",
        "patch_embed.proj.weight",
        "norm.bias",
        "blocks.0.attn.qkv.bias",
    ):
        assert name in names
    for name in (
        "blocks.23.ls2.gamma",
        "blocks.11.mlp.fc1.weight",
        "blocks.7.norm1.weight",
        "blocks.3.attn.proj.weight",
    ):
        assert name in names
    assert not any(name.startswith("blocks.24.") for name in names)
    assert VIT_L.tensors()["pos_embed"] == (1, 1370, 1024) and VIT_L.tensors()["blocks.5.attn.qkv.weight"] == (
        3072,
        1024,
    )


def oracle(state: dict[str, torch.Tensor], pixels: torch.Tensor, form: Form) -> torch.Tensor:
    """The same network built from torch's own layers, with LayerScale folded into the layer before it."""
    conv = nn.Conv2d(3, form.width, form.patch, form.patch)
    conv.load_state_dict({key: state[f"patch_embed.proj.{key}"] for key in ("weight", "bias")})
    tokens = conv(pixels).flatten(2).transpose(1, 2)
    tokens = torch.cat([state["cls_token"].repeat(len(pixels), 1, 1), tokens], 1)
    tokens = tokens + positions(state["pos_embed"], pixels.shape[-1] // form.patch)
    for index in range(form.depth):
        part = {
            name.removeprefix(f"blocks.{index}."): v for name, v in state.items() if name.startswith(f"blocks.{index}.")
        }
        layer = nn.TransformerEncoderLayer(
            form.width, form.heads, 4 * form.width, 0.0, "gelu", 1e-6, batch_first=True, norm_first=True
        )
        one, two = part["ls1.gamma"], part["ls2.gamma"]
        layer.load_state_dict(
            {
                "self_attn.in_proj_weight": part["attn.qkv.weight"],
                "self_attn.in_proj_bias": part["attn.qkv.bias"],
                "self_attn.out_proj.weight": one[:, None] * part["attn.proj.weight"],
                "self_attn.out_proj.bias": one * part["attn.proj.bias"],
                "linear1.weight": part["mlp.fc1.weight"],
                "linear1.bias": part["mlp.fc1.bias"],
                "linear2.weight": two[:, None] * part["mlp.fc2.weight"],
                "linear2.bias": two * part["mlp.fc2.bias"],
                **{f"norm{k}.{key}": part[f"norm{k}.{key}"] for k in (1, 2) for key in ("weight", "bias")},
            }
        )
        tokens = layer.eval()(tokens)
    last = nn.LayerNorm(form.width, 1e-6)
    last.load_state_dict({key: state[f"norm.{key}"] for key in ("weight", "bias")})
    return last(tokens)[:, 0]


@pytest.mark.parametrize("form", [TINY, Form(width=32, depth=2, heads=2, patch=7, grid=5)])
def test_the_blocks_equal_torchs_own_transformer(form):
    state = {name: value.double() for name, value in state_of(form, 3).items()}
    pixels = torch.randn(2, 3, 70, 70, dtype=torch.float64, generator=torch.Generator().manual_seed(4))
    before = torch.get_default_dtype()
    torch.set_default_dtype(torch.float64)
    try:
        with torch.inference_mode(), torch.random.fork_rng(devices=[]):
            expected = oracle(state, pixels, form)
    finally:
        torch.set_default_dtype(before)
    torch.testing.assert_close(class_token(state, pixels, form), expected, rtol=1e-10, atol=1e-10)


def test_every_tensor_but_the_mask_token_matters():
    state, pixels = state_of(TINY), torch.randn(1, 3, 42, 42, generator=torch.Generator().manual_seed(1))
    whole = class_token(state, pixels, TINY)
    for name in TINY.tensors():
        changed = class_token({**state, name: state[name] * 0.5 + 0.1}, pixels, TINY)
        assert torch.equal(changed, whole) == (name == "mask_token"), name


def test_positions_are_read_by_the_cubic_rule_at_steps_of_37_by_16_point_1():
    """Keys' kernel with a = -0.75, written out; positions beyond the edge are set to the edge."""
    learned = torch.randn(1, 1 + 37**2, 5, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    plane = learned[0, 1:].reshape(37, 37, 5).numpy()

    def kernel(distance: np.ndarray) -> np.ndarray:
        x, a = np.abs(distance), -0.75
        near, far = (a + 2) * x**3 - (a + 3) * x**2 + 1, a * x**3 - 5 * a * x**2 + 8 * a * x - 4 * a
        return np.where(x <= 1, near, np.where(x < 2, far, 0.0))

    place = (np.arange(16) + 0.5) * 37 / 16.1 - 0.5
    weight = np.zeros((16, 37))
    for tap in range(-1, 3):
        source = np.floor(place).astype(int) + tap
        np.add.at(weight, (np.arange(16), source.clip(0, 36)), kernel(place - source))
    expected = np.einsum("ia,jb,abd->ijd", weight, weight, plane).reshape(256, 5)
    found = positions(learned, 16)
    np.testing.assert_allclose(found[0, 1:].numpy(), expected, atol=1e-12)
    assert torch.equal(found[0, 0], learned[0, 0])
    assert torch.equal(positions(learned, 37), learned)


def test_images_are_enlarged_as_pil_does_without_rounding_and_standardised(pictures):
    images = pictures(2, 64)
    mean, spread = np.array([0.485, 0.456, 0.406]), np.array([0.229, 0.224, 0.225])
    found = prepare(torch.from_numpy(images)).permute(0, 2, 3, 1).numpy() * spread + mean
    for image, each in zip(images, found, strict=True):
        planes = [
            Image.fromarray(plane.astype(np.float32)).resize((224, 224), Image.Resampling.BICUBIC) for plane in image
        ]
        np.testing.assert_allclose(255 * each, np.stack([np.asarray(p) for p in planes], -1), atol=2e-3)


def test_downsampling_is_antialiased():
    checks = (np.indices((448, 448)).sum(0) % 2 * 255).astype(np.uint8)[None, None].repeat(3, 1)
    small = prepare(torch.from_numpy(checks))
    grey = (torch.tensor([0.5] * 3) - torch.tensor([0.485, 0.456, 0.406])) / torch.tensor([0.229, 0.224, 0.225])
    torch.testing.assert_close(small[0, :, 50:60, 50:60], grey[:, None, None].expand(3, 10, 10), atol=0.05, rtol=0)


def test_features_are_the_same_for_any_batch_and_for_grey(weights_file, pictures):
    extractor = dinov2("cpu", weights_file, TINY)
    grey = torch.from_numpy(pictures(18, 32, channels=1))
    with torch.inference_mode():
        found = extractor(grey)
        torch.testing.assert_close(extractor(grey[17:]), found[17:], rtol=1e-4, atol=1e-5)
        torch.testing.assert_close(extractor(grey.repeat(1, 3, 1, 1)), found)
        assert torch.equal(extractor(grey), found)
    assert found.shape == (18, 24) and found.dtype == torch.float32 and float(found.std(0).mean()) > 0.01


@pytest.mark.parametrize("spoil", ["missing", "extra", "shape"])
def test_a_file_of_other_weights_is_refused(tmp_path, spoil):
    state = state_of(TINY)
    if spoil == "missing":
        del state["blocks.2.ls1.gamma"]
    elif spoil == "extra":
        state["register_tokens"] = torch.zeros(1, 4, 24)
    else:
        state["norm.weight"] = torch.zeros(25)
    torch.save(state, tmp_path / "other.pth")
    with pytest.raises(ValueError, match=r"not the weights of dinov2-vitl14 \(first tensor that does not fit: "):
        dinov2("cpu", tmp_path / "other.pth", TINY)


def test_without_weights_the_row_says_which_file_is_missing(pictures, evidence):
    with pytest.raises(WeightsMissing, match=r"dinov2_vitl14_pretrain\.pth"):
        dinov2("cpu")
    found = measure_panel(evidence(pictures(12, 32), pictures(12, 32)), ["fd_dinov2"])
    assert [m.name for m in found] == ["fd_dinov2", "fd_dinov2_corrected"]
    assert all(m.value is None and "imagelab weights fetch dinov2-vitl14" in m.missing for m in found)


def test_the_row_measures_in_this_space_and_carries_the_digest(monkeypatch, weights_file, pictures, evidence):
    from dataclasses import replace

    tiny = replace(SPACES[NAME], extractor=lambda device: dinov2(device, weights_file, TINY))
    monkeypatch.setitem(SPACES, NAME, tiny)
    real, other = pictures(20, 32, seed=1), pictures(20, 32, seed=2, exponent=2.0)
    (same, _), (plain, corrected) = (measure_panel(evidence(real, each), ["fd_dinov2"]) for each in (real, other))
    assert same.value == pytest.approx(0, abs=1e-9) and corrected.value is not None
    assert plain.value is not None and plain.value > 0.1
    assert plain.feature_space == f"{NAME}@{DIGEST[:8]}" and "standardised" not in plain.estimator
    assert plain.resize == "bicubic to 224 px, antialias" and METRICS["fd_dinov2"].needs == (NAME,)
