"""The network of FD-DINOv2: the vision transformer ViT-L/14, trained without labels by the authors of DINOv2.

An image of 224 px becomes 16 x 16 patches of 14 px and a class token; each of 24 blocks adds to every token

    x <- x + g_1 attention(norm(x)),    x <- x + g_2 mlp(norm(x)),    g: one learned gain a channel (LayerScale),

and the features are the 1024 numbers of the class token after a final norm. Position embeddings were learned on a
37 x 37 grid (518 px). They are resampled to 16 x 16 by the authors' own bicubic rule, whose step is 37 / 16.1, not
37 / 16. Fréchet distances in this space agree with human ratings of faces better than FID does. The weights are looked
for on this machine only (weights.py), and the whole inference is in this file. An image costs 81 billion
multiplications: milliseconds on a GPU, seconds on a CPU core.

Differs from dgm-eval, where FD-DINOv2 was proposed: images are enlarged in floating point, as in edm2; dgm-eval
enlarges them with PIL, which rounds to bytes. Differs from torch-fidelity, which enlarges bilinearly: its values are
not comparable.

References:
    DINOv2: learning robust visual features without supervision (Oquab et al. 2023), arXiv:2304.07193.
    Exposing flaws of generative model evaluation metrics (Stein et al. 2023), arXiv:2306.04675.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from .blocks import in_blocks
from .weights import WEIGHTS, locate

if TYPE_CHECKING:
    from torch import Tensor

__all__ = ["CITE", "DIGEST", "NAME", "RESIZE", "VIT_L", "Form", "class_token", "dinov2", "positions", "prepare"]

NAME = "dinov2-vitl14"
DIGEST = WEIGHTS[NAME].sha256
RESIZE = "bicubic to 224 px, antialias"
CITE = "arXiv:2306.04675"
SIDE = 224
BATCH = 16  # images at a time: 257 tokens of 4096 numbers in the widest layer, 4 MB an image
MEAN, SPREAD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)  # mean and standard deviation of ImageNet's channels, 0..1
EPSILON = 1e-6  # of every norm

State = dict[str, "Tensor"]


@dataclass(frozen=True)
class Form:
    """The dimensions of a vision transformer.

    Attributes:
        width: channels D of a token.
        depth: number of blocks.
        heads: attention heads, each of width / heads channels.
        patch: pixels a side of a patch.
        grid: patches a side for which position embeddings were learned.
    """

    width: int = 1024
    depth: int = 24
    heads: int = 16
    patch: int = 14
    grid: int = 37

    def tensors(self) -> dict[str, tuple[int, ...]]:
        """Return name -> shape of every tensor in a file of the official format."""
        d, p = self.width, self.patch
        block = {
            "norm1.weight": (d,),
            "norm1.bias": (d,),
            "attn.qkv.weight": (3 * d, d),
            "attn.qkv.bias": (3 * d,),
            "attn.proj.weight": (d, d),
            "attn.proj.bias": (d,),
            "ls1.gamma": (d,),
            "norm2.weight": (d,),
            "norm2.bias": (d,),
            "mlp.fc1.weight": (4 * d, d),
            "mlp.fc1.bias": (4 * d,),
            "mlp.fc2.weight": (d, 4 * d),
            "mlp.fc2.bias": (d,),
            "ls2.gamma": (d,),
        }
        return {
            "cls_token": (1, 1, d),
            "pos_embed": (1, self.grid**2 + 1, d),
            "mask_token": (1, d),  # used in training only
            "patch_embed.proj.weight": (d, 3, p, p),
            "patch_embed.proj.bias": (d,),
            **{f"blocks.{index}.{name}": shape for index in range(self.depth) for name, shape in block.items()},
            "norm.weight": (d,),
            "norm.bias": (d,),
        }


VIT_L = Form()


def dinov2(device: str, path: Path | None = None, form: Form = VIT_L) -> Callable[[Tensor], Tensor]:
    """Return the extractor: uint8 [B,C,H,W] -> float32 [B,1024].

    Args:
        device: torch device.
        path: the weights file; None for the one that :func:`~imagelab.metrics.weights.locate` finds.
        form: the dimensions that the file must have.

    Raises:
        WeightsMissing: if the weights are not on this machine.
        ValueError: for a file that does not contain these weights.
    """
    path = path or locate(NAME)
    import torch

    state = torch.load(path, map_location="cpu", weights_only=True)
    _check(state, path, form)
    state = {name: value.to(device, torch.float32) for name, value in state.items()}

    def block(images: Tensor) -> Tensor:
        return class_token(state, prepare(images), form)

    def features(images: Tensor) -> Tensor:
        return torch.cat([in_blocks(block, part, BATCH) for part in images.split(BATCH)])

    return features


def prepare(images: Tensor) -> Tensor:
    """Return the network's input for uint8 [B,C,H,W]: float32 [B,3,224,224], standardised like ImageNet's images."""
    import torch
    from torch.nn import functional

    pixels = images.float().expand(-1, 3, -1, -1)
    pixels = functional.interpolate(pixels, (SIDE, SIDE), mode="bicubic", align_corners=False, antialias=True)
    mean, spread = (torch.tensor(each, device=images.device)[:, None, None] for each in (MEAN, SPREAD))
    return (pixels / 255.0 - mean) / spread


def positions(learned: Tensor, side: int) -> Tensor:
    """Return the position embeddings of a side x side grid, resampled from those that were learned on another grid.

    Args:
        learned: float [1,1+G^2,D]: the class token's, then row by row.
        side: patches a side. Patch i is read at (i + 1/2) G / (side + 0.1) - 1/2: the authors added 0.1 against
            rounding errors, and the network is now defined with it.
    """
    import torch
    from torch.nn import functional

    count, width = learned.shape[1] - 1, learned.shape[2]
    grid = round(count**0.5)
    if side == grid:
        return learned
    plane = learned[:, 1:].reshape(1, grid, grid, width).permute(0, 3, 1, 2)
    scale = (side + 0.1) / grid
    plane = functional.interpolate(plane, scale_factor=(scale, scale), mode="bicubic", align_corners=False)
    return torch.cat([learned[:, :1], plane.permute(0, 2, 3, 1).reshape(1, side * side, width)], 1)


def class_token(state: State, pixels: Tensor, form: Form) -> Tensor:
    """Return the class token after the last norm.

    Args:
        state: the tensors of :meth:`Form.tensors`.
        pixels: float [B,3,S,S], S a multiple of the patch.
        form: their dimensions.

    Returns:
        float [B,D].
    """
    import torch
    from torch.nn import functional

    def norm(tokens: Tensor, name: str) -> Tensor:
        return functional.layer_norm(tokens, (form.width,), state[f"{name}.weight"], state[f"{name}.bias"], EPSILON)

    def linear(tokens: Tensor, name: str) -> Tensor:
        return functional.linear(tokens, state[f"{name}.weight"], state[f"{name}.bias"])

    patches = functional.conv2d(
        pixels, state["patch_embed.proj.weight"], state["patch_embed.proj.bias"], stride=form.patch
    )
    tokens = torch.cat([state["cls_token"].expand(len(pixels), -1, -1), patches.flatten(2).mT], 1)
    tokens = tokens + positions(state["pos_embed"], patches.shape[-1])
    for index in range(form.depth):
        block = f"blocks.{index}"
        triple = linear(norm(tokens, f"{block}.norm1"), f"{block}.attn.qkv")  # [B,T,3D]: queries, keys, values
        query, key, value = triple.unflatten(2, (3, form.heads, -1)).permute(2, 0, 3, 1, 4)  # each [B,heads,T,D/heads]
        mixed = functional.scaled_dot_product_attention(query, key, value).transpose(1, 2).flatten(2)
        tokens = tokens + state[f"{block}.ls1.gamma"] * linear(mixed, f"{block}.attn.proj")
        inner = functional.gelu(linear(norm(tokens, f"{block}.norm2"), f"{block}.mlp.fc1"))
        tokens = tokens + state[f"{block}.ls2.gamma"] * linear(inner, f"{block}.mlp.fc2")
    return norm(tokens[:, 0], "norm")


def _check(state: State, path: Path, form: Form) -> None:
    """Raise ValueError unless the file holds exactly the tensors of this network."""
    expected = form.tensors()
    actual = {name: tuple(value.shape) for name, value in state.items()}
    for name in [*expected, *actual]:
        if expected.get(name) != actual.get(name):
            raise ValueError(
                f"{path}: not the weights of {NAME} (first tensor that does not fit: {name}, expected "
                f"{expected.get(name, 'none')}, got {actual.get(name, 'none')})"
            )
