"""The network of FID and KID: Inception v3 of 2015-12-05, as TensorFlow computed it.

Its features are the 2048 averages before the classifier. Three things differ from torchvision's Inception v3, whose
layers are used here: images are enlarged to 299 px by TensorFlow 1's bilinear rule (the source of pixel i is exactly
i * in/out, with no half-pixel shift) and scaled as (x - 128) / 128; average pooling excludes the padding; and the last
block uses maximum pooling. The weights are looked for on this machine only (weights.py).

References:
    GANs trained by a two time-scale update rule (Heusel et al. 2017), arXiv:1706.08500.
    Rethinking the Inception architecture (Szegedy et al. 2016), arXiv:1512.00567.
    On aliased resizing and surprising subtleties in GAN evaluation (Parmar et al. 2022), arXiv:2104.11222.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .blocks import in_blocks
from .weights import WEIGHTS, locate

if TYPE_CHECKING:
    from torch import Tensor

__all__ = ["DIGEST", "NAME", "RESIZE", "enlarge_to", "inception"]

NAME = "inception-2015-12-05"
DIGEST = WEIGHTS[NAME].sha256
RESIZE = "bilinear to 299 px, TensorFlow 1"
SIDE = 299
BATCH = 16  # images at a time: at 299 px the first layers hold 6 MB an image


def inception(device: str, path: Path | None = None) -> Callable[[Tensor], Tensor]:
    """Return the extractor: uint8 [B,C,H,W] -> float32 [B,2048].

    Args:
        device: torch device.
        path: the weights file; None for the one that :func:`~imagelab.metrics.weights.locate` finds.

    Raises:
        WeightsMissing: if the weights are not on this machine.
        ValueError: for a file that does not contain these weights.
    """
    path = path or locate(NAME)
    import torch

    net = _network(torch.load(path, map_location="cpu", weights_only=True), path).to(device)

    def block(images: Tensor) -> Tensor:
        return net((enlarge_to(images.float().expand(-1, 3, -1, -1)) - 128.0) / 128.0)

    def features(images: Tensor) -> Tensor:
        return torch.cat([in_blocks(block, part, BATCH) for part in images.split(BATCH)])

    return features


def enlarge_to(images: Tensor, side: int = SIDE) -> Tensor:
    """Return the images at side x side px by TensorFlow 1's bilinear rule.

    Output pixel i is read at i * in / out of the input, interpolated between its two neighbours; positions beyond the
    last pixel give the last pixel.

    Args:
        images: float [B,C,H,W].
        side: pixels a side of the result.
    """
    import torch

    for axis in (2, 3):
        length = images.shape[axis]
        place = torch.arange(side, device=images.device, dtype=images.dtype) * (length / side)
        low = place.long()
        shape = [1, 1, 1, 1]
        shape[axis] = side
        share = (place - low).reshape(shape)
        left, right = images.index_select(axis, low), images.index_select(axis, (low + 1).clamp_max(length - 1))
        images = left + (right - left) * share
    return images


def _network(state: dict[str, Tensor], path: Path) -> Any:
    """Return torchvision's Inception v3 with these weights and TensorFlow's pooling, ending at the 2048 averages."""
    import torch
    from torchvision.models import Inception3

    with torch.random.fork_rng(devices=[]):  # Inception3() draws random weights: keep torch's RNG unchanged
        net = Inception3(num_classes=1008, aux_logits=False, transform_input=False, init_weights=False)
    outcome = net.load_state_dict(state, strict=False)
    missing = [name for name in outcome.missing_keys if not name.endswith("num_batches_tracked")]
    if missing or outcome.unexpected_keys:
        wrong = (missing + outcome.unexpected_keys)[0]
        raise ValueError(f"{path}: not the weights of {NAME} (first key that does not fit: {wrong})")
    for name, block in net.named_children():
        if name.startswith("Mixed") and hasattr(block, "branch_pool"):
            _pool_as_tensorflow(block, last=name == "Mixed_7c")
    net.fc = torch.nn.Identity()  # pyright: ignore[reportAttributeAccessIssue]
    return net.eval().requires_grad_(False)


def _pool_as_tensorflow(block: Any, last: bool) -> None:
    """Replace the input of the block's pooling branch by the pooled input that TensorFlow computed.

    torchvision pools inside ``forward``, before ``branch_pool``. So one hook keeps the block's input, and a second one
    pools it again and passes it to ``branch_pool`` instead of torchvision's.
    """
    from torch.nn import functional

    kept: list[Tensor] = []

    def keep(_module: Any, inputs: tuple[Tensor]) -> None:
        kept[:] = inputs

    def pool(_module: Any, _inputs: tuple[Tensor]) -> tuple[Tensor]:
        signal = kept.pop()
        if last:
            return (functional.max_pool2d(signal, 3, stride=1, padding=1),)
        return (functional.avg_pool2d(signal, 3, stride=1, padding=1, count_include_pad=False),)

    block.register_forward_pre_hook(keep)
    block.branch_pool.register_forward_pre_hook(pool)
