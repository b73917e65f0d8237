"""Prompts of a text-to-image pipeline: which image has which, and their embeddings by the frozen text encoder.

With several prompts an image's prompt depends on its seed alone, as its noise does. In training every image that is
read gets one of them at random, because a generator is given pixels and not how they were made.

The embeddings are the last hidden states of CLIP's text encoder, as ``StableDiffusionPipeline.encode_prompt`` computes
them; the last row is the empty prompt, for guidance. The text encoder is needed once, before training or sampling.
"""

from __future__ import annotations

import importlib
import importlib.util
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ..io.untrusted import json_value, parsing, quoted, shown

if TYPE_CHECKING:
    from torch import Tensor

    from .pipeline_files import PublishedPipeline

__all__ = ["PIPELINES_EXTRA", "PromptEmbeddings", "embed_prompts", "prompt_rows", "require_package"]

PIPELINES_EXTRA = "pip install 'imagelab-collapse[pipelines]'"
"""The command that installs transformers and peft."""

PROMPT_DRAW = 1  # of an image's random stream; draw 0 is its noise (seeds.normal)


@dataclass(frozen=True, eq=False)
class PromptEmbeddings:
    """The prompts of a pipeline as its U-Net reads them.

    Attributes:
        rows: float32 [P + 1,T,D]; the last row is the empty prompt.
    """

    rows: Tensor

    @property
    def count(self) -> int:
        """P, how many prompts there are."""
        return len(self.rows) - 1


def require_package(package: str, what: str) -> Any:
    """Return an optional package, imported now; a type checker is not made to read all of it.

    Raises:
        ValueError: where it is missing, with the command that installs it.
    """
    if importlib.util.find_spec(package) is None:
        raise ValueError(f"Pipeline: {what} needs {package}: {PIPELINES_EXTRA}")
    return importlib.import_module(package)


def prompt_rows(seeds: np.ndarray, count: int) -> np.ndarray:
    """Return which of ``count`` prompts each image has: uint64 [N] -> int64 [N], all equally likely.

    Example:
        >>> prompt_rows(np.array([5, 6, 5], np.uint64), 4).tolist()
        [3, 1, 3]
    """
    streams = (np.random.Generator(np.random.Philox(key=int(seed) | (PROMPT_DRAW << 64))) for seed in seeds)
    return np.array([int(stream.integers(count)) for stream in streams], np.int64)


def embed_prompts(source: PublishedPipeline, prompts: Sequence[str], device: str) -> PromptEmbeddings:
    """Return the embeddings of prompts, and of the empty prompt.

    Raises:
        ValueError: where transformers is missing, a file is damaged, or a prompt is longer than the encoder reads.
    """
    import torch

    transformers = require_package("transformers", f"{source.name}, which reads text,")
    try:
        encoder, most = _text_encoder(transformers, source.parts["text_encoder"][1])
        ids = _token_ids(transformers, source.parts["tokenizer"][1], prompts, most, encoder.config.vocab_size)
    except ValueError as error:
        raise ValueError(f"{error}. {source.remedy}") from error
    encoder = encoder.eval().requires_grad_(False).to(torch.device(device))
    with torch.inference_mode():
        return PromptEmbeddings(encoder(torch.from_numpy(ids).to(device))[0].float().clone())


def _text_encoder(transformers: Any, folder: Path) -> tuple[Any, int]:
    """Return CLIP's text encoder, and how many tokens it reads."""
    import torch

    from .pipeline_parts import check_sizes, stored_weights

    path = folder / "config.json"
    settings = json_value(path.read_bytes(), path)
    if not isinstance(settings, dict):
        raise ValueError(f"{shown(path)}: expected an object of settings, got {quoted(settings, 60)}")
    check_sizes(path, settings)
    with parsing(path, "the settings of a CLIPTextModel"), torch.random.fork_rng(devices=[]):
        encoder = transformers.CLIPTextModel(transformers.CLIPTextConfig.from_dict(settings))
    # transformers 4 has all tensors in "text_model."; files may have them there, and the numbers of the places as well
    own = {name.removeprefix("text_model."): name for name in encoder.state_dict()}
    expected = {short: encoder.state_dict()[name] for short, name in own.items()}
    found = stored_weights(folder / "model.safetensors", expected, "text_model.", ("embeddings.position_ids",))
    encoder.load_state_dict({own[short]: tensor for short, tensor in found.items()}, strict=True)
    return encoder, encoder.config.max_position_embeddings


def _token_ids(transformers: Any, folder: Path, prompts: Sequence[str], most: int, words: int) -> np.ndarray:
    """Return the numbers of the tokens: int64 [P + 1,T], filled up as the pipeline of diffusers does."""
    with parsing(folder, "a CLIPTokenizer"):
        tokenizer = transformers.CLIPTokenizer.from_pretrained(str(folder), local_files_only=True)
        most = min(most, int(tokenizer.model_max_length))
        whole = [tokenizer(prompt).input_ids for prompt in (*prompts, "")]
        filled = tokenizer([*prompts, ""], padding="max_length", max_length=most, truncation=True).input_ids
    for prompt, ids in zip(prompts, whole, strict=False):
        if len(ids) > most:
            raise ValueError(
                f"prompt {quoted(prompt, 60)!r}: expected at most {most} tokens with begin and end, got {len(ids)}. "
                "Shorten it; it is not cut"
            )
    numbers = np.array(filled, np.int64)
    if numbers.shape != (len(prompts) + 1, most) or numbers.min() < 0 or numbers.max() >= words:
        raise ValueError(
            f"{shown(folder)}: does not belong to the text encoder: it gives token {numbers.max():,}, and the encoder "
            f"knows {words:,}"
        )
    return numbers
