"""The image tower of CLIP and CMMD: a kernel distance between the embeddings of two sets of pictures.

An image of S px becomes (S / p)^2 patches and a class token. After a norm, each block adds to every token

    x <- x + attention(norm(x)),    x <- x + mlp(norm(x)),    mlp with x sigmoid(1.702 x),

and the embedding is a linear map of the normalised class token, brought to length 1. CMMD is 1,000 times the squared
maximum mean discrepancy of these embeddings under exp(-|x - y|^2 / (2 sigma^2)), sigma = 10 (rbf.py). CMMD proper uses
ViT-L/14 at 336 px; ``cmmd_b32`` is the same by the smaller ViT-B/32 at 224 px, and the two are not comparable.

``cmmd`` is the unbiased estimator over all pairs, which can be negative. ``cmmd_biased`` counts each image against
itself, too, as the authors' code does; it is larger by 1000 (1/n + 1/m) (1 - mean kernel) and depends on n.

Pictures are brought to S px at their shorter side (bicubic, antialiased, rounded to bytes) and cut to the centre
square, as CLIP was published. Differs from the authors' code of CMMD, which resizes to S x S without antialiasing:
values of CMMD in papers are not comparable to the last digits.

No SHA-256 of a safetensors file of these networks is known to us, so none is demanded: the label of the feature space
holds the digest of the file that was used.

References:
    Learning transferable visual models from natural language supervision (Radford et al. 2021), arXiv:2103.00020.
    Rethinking FID: towards a better evaluation metric for image generation (Jayasumana et al. 2024), arXiv:2401.09603.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from ..io.untrusted import parsing
from ..measurement import Measurement
from .base import Evidence, Metric, NotMeasurable
from .blocks import in_blocks
from .weights import locate, unpinned_digest

if TYPE_CHECKING:
    from torch import Tensor

__all__ = ["B32", "L14", "ROWS", "ClipForm", "clip_embedding", "clip_extractor", "clip_input", "space_digest"]

CITE = "arXiv:2401.09603"
SIGMA = 10.0
FACTOR = 1000.0
EPSILON = 1e-5  # of every norm
BATCH = 16  # images at a time
MEAN = (0.48145466, 0.4578275, 0.40821073)
SPREAD = (0.26862954, 0.26130258, 0.27577711)

Tensors = dict[str, "Tensor"]


@dataclass(frozen=True)
class ClipForm:
    """The dimensions of an image tower.

    Attributes:
        name: of its weights (weights.py), which is also the name of the feature space.
        side: pixels of its input.
        patch: pixels a side of a patch.
        width: channels D of a token.
        depth: number of blocks.
        heads: attention heads, each of width / heads channels.
        inner: channels of the hidden layer of an mlp.
        out: numbers P of an embedding.
    """

    name: str = "clip-vit-large-patch14-336"
    side: int = 336
    patch: int = 14
    width: int = 1024
    depth: int = 24
    heads: int = 16
    inner: int = 4096
    out: int = 768

    @property
    def resize(self) -> str:
        """What is done to the pixels before the network."""
        return f"shorter side bicubic to {self.side} px, antialias, centre square"

    def tensors(self) -> dict[str, tuple[int, ...]]:
        """Return name -> shape of every tensor of the tower in a file of the published layout."""
        d, p, m = self.width, self.patch, self.inner
        block = {
            **{f"self_attn.{each}_proj.weight": (d, d) for each in ("q", "k", "v", "out")},
            **{f"self_attn.{each}_proj.bias": (d,) for each in ("q", "k", "v", "out")},
            **{f"layer_norm{each}.{part}": (d,) for each in (1, 2) for part in ("weight", "bias")},
            "mlp.fc1.weight": (m, d),
            "mlp.fc1.bias": (m,),
            "mlp.fc2.weight": (d, m),
            "mlp.fc2.bias": (d,),
        }
        return {
            "vision_model.embeddings.class_embedding": (d,),
            "vision_model.embeddings.patch_embedding.weight": (d, 3, p, p),
            "vision_model.embeddings.position_embedding.weight": ((self.side // p) ** 2 + 1, d),
            "vision_model.pre_layrnorm.weight": (d,),
            "vision_model.pre_layrnorm.bias": (d,),
            **{
                f"vision_model.encoder.layers.{index}.{name}": shape
                for index in range(self.depth)
                for name, shape in block.items()
            },
            "vision_model.post_layernorm.weight": (d,),
            "vision_model.post_layernorm.bias": (d,),
            "visual_projection.weight": (self.out, d),
        }


L14 = ClipForm()
B32 = ClipForm("clip-vit-base-patch32", 224, 32, 768, 12, 12, 3072, 512)


def clip_extractor(device: str, form: ClipForm = L14, path: Path | None = None) -> Callable[[Tensor], Tensor]:
    """Return the extractor: uint8 [B,C,H,W] -> float32 [B,P], each of length 1.

    Args:
        device: torch device.
        form: the dimensions that the file must have.
        path: the safetensors file; None for the one on this machine.

    Raises:
        WeightsMissing: if the weights are not on this machine.
        ValueError: for a file that does not hold this tower.
    """
    state = _read(path or locate(form.name), form)

    import torch

    state = {name: value.to(device, torch.float32) for name, value in state.items()}

    def block(images: Tensor) -> Tensor:
        found = clip_embedding(state, clip_input(images, form.side), form)
        return found / found.norm(dim=1, keepdim=True)

    def features(images: Tensor) -> Tensor:
        return torch.cat([in_blocks(block, part, BATCH) for part in images.split(BATCH)])

    return features


def clip_input(images: Tensor, side: int) -> Tensor:
    """Return the network's input for uint8 [B,C,H,W]: float32 [B,3,side,side], standardised as published."""
    import torch
    from torch.nn import functional

    pixels = images.float().expand(-1, 3, -1, -1)
    scale = side / min(pixels.shape[2:])
    size = [max(side, int(scale * each)) for each in pixels.shape[2:]]
    pixels = functional.interpolate(pixels, size, mode="bicubic", align_corners=False, antialias=True)
    top, left = ((each - side) // 2 for each in size)
    pixels = pixels[:, :, top : top + side, left : left + side].clamp(0, 255).round()
    mean, spread = (torch.tensor(each, device=images.device)[:, None, None] for each in (MEAN, SPREAD))
    return (pixels / 255.0 - mean) / spread


def clip_embedding(state: Tensors, pixels: Tensor, form: ClipForm) -> Tensor:
    """Return the embedding, not yet of length 1.

    Args:
        state: the tensors of :meth:`ClipForm.tensors`.
        pixels: float [B,3,side,side], standardised.
        form: their dimensions.

    Returns:
        float [B,P].
    """
    import torch
    from torch.nn import functional

    def norm(tokens: Tensor, name: str) -> Tensor:
        return functional.layer_norm(tokens, (form.width,), state[f"{name}.weight"], state[f"{name}.bias"], EPSILON)

    def linear(tokens: Tensor, name: str) -> Tensor:
        return functional.linear(tokens, state[f"{name}.weight"], state[f"{name}.bias"])

    def heads(tokens: Tensor) -> Tensor:
        return tokens.unflatten(2, (form.heads, -1)).transpose(1, 2)  # [B,heads,T,D/heads]

    front = "vision_model.embeddings"
    patches = functional.conv2d(pixels, state[f"{front}.patch_embedding.weight"], stride=form.patch)
    tokens = torch.cat([state[f"{front}.class_embedding"].expand(len(pixels), 1, -1), patches.flatten(2).mT], 1)
    tokens = norm(tokens + state[f"{front}.position_embedding.weight"], "vision_model.pre_layrnorm")
    for index in range(form.depth):
        block = f"vision_model.encoder.layers.{index}"
        seen = norm(tokens, f"{block}.layer_norm1")
        query, key, value = (heads(linear(seen, f"{block}.self_attn.{each}_proj")) for each in "qkv")
        mixed = functional.scaled_dot_product_attention(query, key, value).transpose(1, 2).flatten(2)
        tokens = tokens + linear(mixed, f"{block}.self_attn.out_proj")
        inner = linear(norm(tokens, f"{block}.layer_norm2"), f"{block}.mlp.fc1")
        tokens = tokens + linear(inner * torch.sigmoid(1.702 * inner), f"{block}.mlp.fc2")
    return functional.linear(norm(tokens[:, 0], "vision_model.post_layernorm"), state["visual_projection.weight"])


def _read(path: Path, form: ClipForm) -> Tensors:
    """Return the tensors of the tower; those of the text tower, which the file may hold, are not read."""
    from safetensors import safe_open

    expected = form.tensors()
    state: Tensors = {}
    with parsing(path, f"the safetensors file of {form.name}"), safe_open(path, framework="pt") as file:
        held = set(file.keys())
        for name, shape in expected.items():
            found = tuple(file.get_slice(name).get_shape()) if name in held else None
            if found != shape:
                raise ValueError(f"not the weights of {form.name}: {name}: expected {shape}, got {found or 'none'}")
            state[name] = file.get_tensor(name)
    return state


def _cmmd(evidence: Evidence, form: ClipForm, name: str) -> list[Measurement]:
    """Return CMMD without and with its bias, by the tower of one form.

    Raises:
        NotMeasurable: for weights that are not on this machine, or fewer than two images in a set.
    """
    from .distances import distance_form
    from .features import feature_pair
    from .rbf import biased_rbf_distance, rbf_distance

    plain = distance_form(evidence, form.name, name, f"1000 x unbiased MMD^2, RBF, sigma = {SIGMA:g}, all pairs", CITE)
    real, fake = (each.astype("float64") for each in feature_pair(evidence, form.name))
    value, stderr = rbf_distance(real, fake, SIGMA, evidence.blocks)
    biased = FACTOR * biased_rbf_distance(real, fake, SIGMA)
    error = None if stderr is None else FACTOR * stderr
    plain = replace(plain, value=FACTOR * value, stderr=error, df=evidence.degrees if error is not None else None)
    estimator = f"1000 x biased MMD^2, RBF, sigma = {SIGMA:g}, pairs of an image with itself included"
    return [plain, replace(plain, name=f"{name}_biased", value=biased, estimator=estimator)]


def _row(form: ClipForm, name: str, title: str) -> Metric:
    def measure(evidence: Evidence) -> list[Measurement]:
        try:
            return _cmmd(evidence, form, name)
        except NotMeasurable:
            raise
        except ValueError as error:  # a damaged file of weights
            raise NotMeasurable(str(error)) from error

    return Metric(
        measure,
        title=title,
        unit="",
        what="How far the set of generated images is from the real set, seen through a network that learned from "
        "pictures and their captions.",
        blind="Fine detail, noise and blur that leave what a picture shows as it is; a lost small group.",
        better="lower",
        least=100,
        cite=CITE,
        needs=(form.name,),
        gives=(name, f"{name}_biased"),
    )


ROWS = {
    "cmmd": _row(L14, "cmmd", "CMMD (CLIP ViT-L/14 at 336 px)"),
    "cmmd_b32": _row(B32, "cmmd_b32", "CMMD by the smaller CLIP ViT-B/32 (not comparable with CMMD)"),
}


def space_digest(form: ClipForm) -> Callable[[], str]:
    """Return what gives the SHA-256 of the weights of a form on this machine."""
    return lambda: unpinned_digest(form.name)
