"""The parts of a published pipeline as torch modules, built from a fixed list of classes and filled strictly.

diffusers' ``from_pretrained`` fills tensors that a file lacks with random numbers and falls back to a pickle. Here the
network is built without memory from its config.json, every tensor of the file is compared with it, and weights that are
NaN are refused. Weights stored in half precision are converted to float32.

The conversions are those of the pipelines of diffusers:

    pixels    x / 127.5 - 1 in, (x / 2 + 1/2) * 255 out, rounded                        (``VaeImageProcessor``)
    latents   z = scaling_factor * E(x) in, D(z / scaling_factor) out

E(x) of an AutoencoderKL is a sample of its Gaussian, drawn anew whenever an image is read; that of a VQModel is the
code before quantisation. A VQModel whose config.json states no scaling_factor is older than this setting and was
trained without it: 1.

Differs from diffusers: its LDMPipeline takes 0.18215 for such a VQModel, and then draws no faces with
CompVis/ldm-celebahq-256 (huggingface/diffusers, issue 6725). What it saves again states this number.
"""

from __future__ import annotations

import inspect
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ..images import check_images, to_signed
from ..io.untrusted import json_value, parsing, quoted, shown
from .pipeline_files import PublishedPipeline
from .sampling import block_size
from .saved_nets import model_config
from .tensor_files import TensorHeader, check_finite, check_tensors, read_tensors, tensor_header

__all__ = ["ImageCoder", "LoadedPipeline", "check_sizes", "filled_net", "load_pipeline", "stored_weights"]

STORED = {"F16": torch.float16, "BF16": torch.bfloat16, "F32": torch.float32, "F64": torch.float64}
"""Number formats in which weights are read, by their name in a safetensors file."""

MOST_LAYERS, MOST = 64, 1 << 24
"""Most layers of a level (and levels), and the largest whole number, in the settings of a network."""

FORMER = {"query": "to_q", "key": "to_k", "value": "to_v", "proj_attn": "to_out.0"}
"""Names of attention layers in files of the first versions of diffusers -> today's."""


@dataclass(frozen=True, eq=False)
class ImageCoder:
    """The frozen autoencoder of a latent pipeline.

    Attributes:
        net: AutoencoderKL or VQModel.
        scale: the factor of the latents.
        factor: pixels a side of one latent.
    """

    net: Any
    scale: float
    factor: int

    def moments(self, images: np.ndarray, device: str) -> np.ndarray:
        """Return what latents are drawn from: mean, and for an AutoencoderKL standard deviation, times the scale.

        Args:
            images: uint8 [N,C,H,W].
            device: of the network.

        Returns:
            float32 [N,D,h,w], or [N,2 D,h,w] with the standard deviations behind the means.
        """
        rows, size = [], block_size(images.shape[2] * images.shape[3])
        with torch.inference_mode():
            for start in range(0, len(images), size):
                signed = to_signed(torch.from_numpy(images[start : start + size]).to(device))
                found = self.net.encode(signed)
                spread = getattr(found, "latent_dist", None)
                both = found.latents if spread is None else torch.cat([spread.mean, spread.std], dim=1)
                rows.append((self.scale * both).float().cpu().numpy())
        return np.concatenate(rows)

    def decode(self, latents: Tensor) -> Tensor:
        """Return images in about -1..1: float [B,D,h,w] -> [B,C,H,W]."""
        return self.net.decode(latents / self.scale).sample


@dataclass(frozen=True, eq=False)
class LoadedPipeline:
    """The parts of a pipeline that training and sampling use, on one device, in eval mode, frozen.

    Attributes:
        source: its files.
        unet: UNet2DModel or UNet2DConditionModel.
        scheduler: the settings of its scheduler.
        coder: of a latent or text pipeline, else None.
        shape: (C, H, W) of its images.
    """

    source: PublishedPipeline
    unet: Any
    scheduler: Mapping[str, Any]
    coder: ImageCoder | None
    shape: tuple[int, int, int]

    @property
    def noise_steps(self) -> int:
        """Length of the noise schedule."""
        return int(self.scheduler.get("num_train_timesteps", 1000))

    @property
    def prediction(self) -> str:
        """What the network predicts: epsilon, v_prediction or sample."""
        return str(self.scheduler.get("prediction_type", "epsilon"))

    @property
    def latent_shape(self) -> tuple[int, int, int]:
        """(C, h, w) of what the network denoises."""
        factor = 1 if self.coder is None else self.coder.factor
        return int(self.unet.config.in_channels), self.shape[1] // factor, self.shape[2] // factor

    def check(self, images: np.ndarray) -> None:
        """Refuse images of another form than the pipeline's.

        Raises:
            ValueError: with both forms, and what to change.
        """
        check_images(images)
        found = tuple(images.shape[1:])
        if found == self.shape:
            return
        channels, height, width = self.shape
        said = f"{self.source.model} makes images of {height} x {width} px in {channels} channels"
        got = f"got {found[1]} x {found[2]} px in {found[0]} channels"
        grey, colour = "one-channel images, or a pipeline in colour", "images in colour, or a one-channel pipeline"
        advice = [f"set the data's size to {height}"] if found[1:] != self.shape[1:] else []
        advice += [grey if channels == 1 else colour] if found[0] != channels else []
        raise ValueError(f"Pipeline: {said}; {got}. Change the data ({'; '.join(advice)}), or choose another pipeline")


def load_pipeline(source: PublishedPipeline, device: str) -> LoadedPipeline:
    """Return the parts that training and sampling use.

    Raises:
        ValueError: for a part that is damaged or of a form that is not supported: the file, and what to do.
    """
    import diffusers

    try:
        kinds = {part: getattr(diffusers, kind) for part, (kind, _) in source.parts.items() if hasattr(diffusers, kind)}
        unet = filled_net(kinds["unet"], source.parts["unet"][1])
        coder = None
        if source.coder:
            net = filled_net(kinds[source.coder], source.parts[source.coder][1])
            coder = _image_coder(net, source.parts[source.coder][1])
        scheduler = _scheduler_settings(source)
        shape = _image_shape(source, unet, coder)
    except ValueError as error:
        raise ValueError(f"{error}. {source.remedy}") from error
    unet.requires_grad_(False).eval().to(torch.device(device))
    if coder is not None:
        coder.net.requires_grad_(False).eval().to(torch.device(device))
    return LoadedPipeline(source, unet, scheduler, coder, shape)


def filled_net(kind: Any, folder: Path) -> Any:
    """Return a network of diffusers with the weights of a folder, float32, on the CPU.

    Args:
        kind: its class.
        folder: with config.json and diffusion_pytorch_model.safetensors.

    Raises:
        ValueError: naming the file, where it is damaged, or does not hold exactly this network's weights.
    """
    path = folder / "config.json"
    config = model_config(path)
    if config.get("_class_name") != kind.__name__:
        got = quoted(config.get("_class_name"), 60)
        raise ValueError(f"{shown(path)}: _class_name: expected {kind.__name__}, got {got}")
    check_sizes(path, config)
    known = inspect.signature(kind.__init__).parameters
    with parsing(path, f"the settings of a {kind.__name__}"), torch.device("meta"):
        net = kind(**{name: value for name, value in config.items() if name in known and name[:1] != "_"})
    weights = folder / "diffusion_pytorch_model.safetensors"
    net.load_state_dict(stored_weights(weights, net.state_dict()), strict=True, assign=True)
    return net


def check_sizes(path: Path, config: Mapping[str, Any]) -> None:
    """Refuse settings that would take for ever to build: more layers or levels than any published network has."""
    for name, value in config.items():
        values = value if isinstance(value, list) else [value]
        most = MOST_LAYERS if "layers" in name else MOST
        large = [each for each in values if isinstance(each, int) and abs(each) > most]
        if large or len(values) > MOST_LAYERS:
            got = f"{len(values):,} values" if not large else quoted(large[0], 40)
            raise ValueError(f"{shown(path)}: {quoted(name, 60)}: expected at most {most:,}, got {got}")


def stored_weights(
    path: Path, expected: Mapping[str, Tensor], prefix: str = "", spare: Collection[str] = ()
) -> dict[str, Tensor]:
    """Return the weights of a safetensors file under today's names, in float32, on the CPU.

    Args:
        path: the file.
        expected: tensors of the names and shapes that are expected; they may lie on the device "meta".
        prefix: of the names in the file, where they have it.
        spare: names (without the prefix) that are left out.

    Raises:
        ValueError: naming the file, where it is damaged, lacks a tensor or has one too many, or holds NaN.
    """
    header = tensor_header(path)
    names = {_present_name(name.removeprefix(prefix), expected): name for name in header.entries}
    names = {now: name for now, name in names.items() if now not in spare}
    kept = TensorHeader(header.texts, {name: header.entries[name] for name in names.values()})
    kinds = {now: STORED.get(str(header.entries[name][0]), torch.float32) for now, name in names.items()}
    forms = {
        names.get(now, now): torch.empty(tensor.shape, dtype=kinds.get(now, torch.float32), device="meta")
        for now, tensor in expected.items()
    }
    check_tensors(path, kept, forms)
    found = read_tensors(path)
    check_finite(path, found)
    return {now: found[name].float() for now, name in names.items()}


def _present_name(name: str, expected: Mapping[str, Tensor]) -> str:
    """Return the name that a layer of a file has today."""
    if name in expected:
        return name
    stem, _, kind = name.rpartition(".")
    place, _, layer = stem.rpartition(".")
    now = f"{place}.{FORMER.get(layer, layer)}.{kind}"
    return now if now in expected else name


def _image_coder(net: Any, folder: Path) -> ImageCoder:
    usual = 1.0 if type(net).__name__ == "VQModel" else net.config.scaling_factor
    scale = model_config(folder / "config.json").get("scaling_factor", usual)
    if isinstance(scale, bool) or not isinstance(scale, int | float) or not 0 < scale < 1e6:
        raise ValueError(
            f"{shown(folder / 'config.json')}: scaling_factor: expected a number above 0, got {quoted(scale, 40)}"
        )
    return ImageCoder(net, float(scale), 2 ** (len(net.config.block_out_channels) - 1))


def _scheduler_settings(source: PublishedPipeline) -> dict[str, Any]:
    """Return the settings of the scheduler that say how the network was trained."""
    path = source.parts["scheduler"][1] / "scheduler_config.json"
    settings = json_value(path.read_bytes(), path)
    if not isinstance(settings, dict):
        raise ValueError(f"{shown(path)}: expected an object of settings, got {quoted(settings, 60)}")
    prediction, steps = settings.get("prediction_type", "epsilon"), settings.get("num_train_timesteps", 1000)
    if prediction not in ("epsilon", "v_prediction", "sample"):
        raise ValueError(
            f"{shown(path)}: prediction_type: expected epsilon, v_prediction or sample, got {quoted(prediction, 60)}"
        )
    if type(steps) is not int or not 2 <= steps <= 100_000:
        raise ValueError(f"{shown(path)}: num_train_timesteps: expected 2 to 100,000, got {quoted(steps, 60)}")
    return settings


def _image_shape(source: PublishedPipeline, unet: Any, coder: ImageCoder | None) -> tuple[int, int, int]:
    """Return (C, H, W) of the images of a pipeline, after a look at what its network takes beside the image."""
    config, path = unet.config, source.parts["unet"][1] / "config.json"
    for name in ("class_embed_type", "num_class_embeds", "addition_embed_type", "time_cond_proj_dim"):
        if config.get(name) is not None:
            raise ValueError(f"{shown(path)}: {name}: a network that needs more than image, time and text")
    if config.out_channels != config.in_channels:
        raise ValueError(
            f"{shown(path)}: out_channels: expected {config.in_channels}, as many as go in, got {config.out_channels}"
        )
    size = config.sample_size
    sides = list(size) if isinstance(size, list | tuple) else [size, size]
    if len(sides) != 2 or not all(type(side) is int and 0 < side <= 8192 for side in sides):
        raise ValueError(f"{shown(path)}: sample_size: expected a whole number of pixels, got {quoted(size, 60)}")
    channels = config.in_channels
    if coder is not None:
        inside = coder.net.config.latent_channels
        if inside != channels:
            raise ValueError(f"{shown(path)}: in_channels: expected {inside}, those of the latents, got {channels}")
        channels = coder.net.config.in_channels
    if channels not in (1, 3):
        raise ValueError(f"{shown(path)}: expected images of 1 or 3 channels, got {quoted(channels, 20)}")
    factor = 1 if coder is None else coder.factor
    return int(channels), sides[0] * factor, sides[1] * factor
