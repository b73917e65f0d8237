"""A published diffusers pipeline that is fine-tuned in the loop: in every generation, on what the model before made.

    Pipeline(model="google/ddpm-cifar10-32")                                            unconditional, on pixels
    Pipeline(model="CompVis/ldm-celebahq-256", tune="full")                             unconditional, on latents
    Pipeline(model="stable-diffusion-v1-5/stable-diffusion-v1-5", prompts="a portrait")   text to image

Every training begins from the published weights; under ``warm_start`` from the model of the generation before. Only the
U-Net is tuned: as a whole, or by low-rank updates of its attention layers (pipeline_tuning.py, which needs peft). The
autoencoder and the text encoder stay frozen. A saved model holds what was trained, and the digest of the published
files; these are not copied. Loading refuses another base.

Nothing is downloaded: the files must be on this machine (pipeline_files.py says where they are looked for, and the
command that fetches them). They are part of the run's signature, by their content. The safety checker, the feature
extractor and the watermark of a pipeline are not loaded and not used.

Differs from ``pipeline()``: the noise of an image depends on its seed alone, and everything is computed in float32 (in
training on a GPU, bfloat16). The images are the same as the pipeline's from the same noise.

References:
    LoRA: low-rank adaptation of large language models (Hu et al. 2021), arXiv:2106.09685.
    Denoising diffusion probabilistic models (Ho et al. 2020), arXiv:2006.11239.
    High-resolution image synthesis with latent diffusion models (Rombach et al. 2022), arXiv:2112.10752.
    Classifier-free diffusion guidance (Ho and Salimans 2022), arXiv:2207.12598.
"""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal

import numpy as np
from pydantic import AfterValidator, BeforeValidator, Field

from ..io.untrusted import quoted, shown
from ..seeds import normal
from .base import Generator, Model, RunContext
from .pipeline_files import find_pipeline, is_hub_name, pipeline_files
from .pipeline_text import prompt_rows

if TYPE_CHECKING:
    from torch import Tensor

    from .pipeline_parts import LoadedPipeline
    from .pipeline_text import PromptEmbeddings
    from .pipeline_tuning import TunedPart

__all__ = ["Pipeline", "PipelineModel"]

RECORD = "pipeline.json"
LORA_WEIGHTS = "pytorch_lora_weights.safetensors"
PROMPTS = "prompts.jsonl"


def _placed(model: str) -> str:
    """Return a name of the hub as it is, and a folder as an absolute path."""
    if is_hub_name(model):
        return model
    return Path(os.path.normpath(Path(model).expanduser().absolute())).as_posix()


def _several(prompts: Any) -> Any:
    return (prompts,) if isinstance(prompts, str) else prompts


class Pipeline(Generator):
    """A published diffusers pipeline, fine-tuned: DDPMPipeline, DDIMPipeline, LDMPipeline or StableDiffusionPipeline.

    Attributes:
        model: ``org/name`` of the hub, whose files must be in its cache; or a folder, written with ``./``, ``~/`` or
            ``/`` where it could be taken for such a name.
        revision: branch, tag or commit on the hub; empty for the main branch.
        tune: what is trained. "lora": low-rank updates of the attention layers. "full": the whole U-Net.
        rank: rank of the updates; not used with "full".
        images_seen: length of the training, in images read; 0 for the published pipeline as it is, the control.
        batch: images a training step.
        learning_rate: peak rate of Adam; 1e-5 is usual with "full".
        ema: highest decay of the weight average (warmed up), 0 for none.
        sampler: "ddpm" (ancestral), "ddim" (deterministic) or "dpm++" (second order, deterministic), at the noise
            levels that the pipeline was trained on.
        steps: steps of the sampler.
        guidance: weight w of classifier-free guidance in a text pipeline, against the empty prompt; 1 for none, at half
            the time. It is a sampling bias: more typical images, less variety.
        prompts: of a text pipeline: one prompt for all images, or several, of which each image gets one by its seed.

    Example:
        >>> recipe = Pipeline(model="org/painter", prompts="a portrait", rank=4)
        >>> recipe.label, recipe.prompts
        ('painter, LoRA 4', ('a portrait',))
    """

    duration_settings: ClassVar[tuple[str, ...]] = ("images_seen", "batch", "steps")

    kind: Literal["pipeline"] = "pipeline"
    model: Annotated[str, Field(min_length=1, max_length=1000), AfterValidator(_placed)]
    revision: Annotated[str, Field(max_length=100, pattern=r"^[\w./-]*$")] = ""
    tune: Literal["lora", "full"] = "lora"
    rank: int = Field(default=8, ge=1, le=1024)
    images_seen: int = Field(default=8_000, ge=0)
    batch: int = Field(default=8, ge=1)
    learning_rate: float = Field(default=1e-4, gt=0.0)
    ema: float = Field(default=0.99, ge=0.0, lt=1.0)
    sampler: Literal["ddpm", "ddim", "dpm++"] = "ddim"
    steps: int = Field(default=50, ge=1)
    guidance: float = Field(default=7.5, ge=1.0, le=100.0)
    prompts: Annotated[
        tuple[Annotated[str, Field(min_length=1, max_length=2000)], ...],
        BeforeValidator(_several),
        Field(max_length=10_000),
    ] = ()

    @property
    def label(self) -> str:
        """Name for plots and tables."""
        name = self.model.rsplit("/", 1)[-1]
        if not self.images_seen:
            return f"{name}, as published"
        return f"{name}, LoRA {self.rank}" if self.tune == "lora" else f"{name}, whole U-Net"

    @property
    def training_length(self) -> int:
        """``images_seen``."""
        return self.images_seen

    @property
    def scripts(self) -> dict[str, str]:
        """The published files, which are no part of the settings: model/path -> digest of the content.

        Raises:
            ValueError: if they are not on this machine, with the command that fetches them.
        """
        return pipeline_files(self.model, self.revision)

    def fit(self, images: np.ndarray, seed: int, context: RunContext, start: Model | None = None) -> PipelineModel:
        """Train on uint8 [N,C,H,W], from the published weights or from another model of this recipe.

        Raises:
            ValueError: if the pipeline is not on this machine, is damaged or not supported; if images or prompts do not
                suit it; if a package is missing; or if ``start`` has another form.
            Diverged: see base.py.
            Interrupted: see base.py.
        """
        from .training import Plan, fingerprint, train, warm_start

        model = self._opened(context, seed)
        model.parts.check(images)
        begun = warm_start(model.net, start)
        if self.images_seen:
            from .pipeline_tuning import pipeline_loss

            coder, base = model.parts.coder, model.parts.source.digest
            mark = fingerprint(f"{self.model_dump_json()}{base}{begun}", images, seed, context)
            data = images if coder is None else coder.moments(images, context.device)
            loss, plan = (
                pipeline_loss(model.parts, model.prompts),
                Plan(self.images_seen, self.batch, self.learning_rate, ema=self.ema),
            )
            average: Any = train(model.net, loss, data, plan, seed, context, mark)
            model.net.fill(average.tensors())
        model.net.requires_grad_(False)
        return model

    def load(self, folder: Path, context: RunContext) -> PipelineModel:
        """Read back what :meth:`PipelineModel.save` wrote, into the published pipeline.

        Raises:
            ValueError: naming the file, where it is damaged; or if the published files are not those that it was
                trained from.
        """
        from .saved_nets import model_config
        from .tensor_files import REMEDY, check_finite, read_tensors

        record = folder / RECORD
        try:
            said = model_config(record)
            if said.get("tune") != self.tune:
                got = quoted(said.get("tune"), 40)
                raise ValueError(f"{shown(record)}: tune: expected {self.tune} as in the recipe, got {got}")
        except ValueError as error:
            raise ValueError(f"{error}. {REMEDY}") from error
        source = find_pipeline(self.model, self.revision)
        if said.get("base") != source.digest:
            raise ValueError(
                f"{shown(record)}: was trained from files of {self.model} with digest {quoted(said.get('base'), 12)}; "
                f"those in {shown(source.folder)} have {source.digest[:12]}. Put the former files back to go on with "
                "this run, or start a new one"
            )
        model = self._opened(context, 0)
        try:
            path = folder / self._weights
            tensors = read_tensors(path, model.net.tensors())
            check_finite(path, tensors)
        except ValueError as error:
            raise ValueError(f"{error}. {REMEDY}") from error
        model.net.fill(tensors)
        model.net.requires_grad_(False)
        return model

    @property
    def _weights(self) -> str:
        """Place of the trained weights in a saved model, as diffusers names them."""
        return LORA_WEIGHTS if self.tune == "lora" else "unet/diffusion_pytorch_model.safetensors"

    def _opened(self, context: RunContext, seed: int) -> PipelineModel:
        """Return the published pipeline with the part that is tuned, not yet trained."""
        from .pipeline_parts import load_pipeline
        from .pipeline_text import embed_prompts
        from .pipeline_tuning import low_rank_part, whole_part

        source = find_pipeline(self.model, self.revision)
        if source.form == "text" and not self.prompts:
            raise ValueError(f"Pipeline: {self.model} draws from text: give at least one of prompts")
        if source.form != "text" and self.prompts:
            raise ValueError(f"Pipeline: {self.model} ({source.name}) takes no text: leave out prompts")
        prompts = embed_prompts(source, self.prompts, context.device) if self.prompts else None
        parts = load_pipeline(source, context.device)
        if self.steps > parts.noise_steps:
            raise ValueError(
                f"Pipeline: steps: expected at most {parts.noise_steps}, those of the pipeline's noise schedule, got "
                f"{self.steps}"
            )
        net = whole_part(parts.unet) if self.tune == "full" else low_rank_part(parts.unet, self.rank, seed)
        net.to(context.device)
        return PipelineModel(net, parts, prompts, self, context)


@dataclass(frozen=True, eq=False)
class PipelineModel:
    """A tuned pipeline.

    Attributes:
        net: what was trained, a part of the U-Net.
        parts: the pipeline.
        prompts: of a text pipeline.
        recipe: the settings.
        context: device and batch.
        reconstructs: False; a diffusion model has no code.
    """

    net: TunedPart
    parts: LoadedPipeline
    prompts: PromptEmbeddings | None
    recipe: Pipeline
    context: RunContext
    reconstructs: bool = False

    def sample(self, seeds: np.ndarray) -> np.ndarray:
        """Return one image a seed: uint64 [N] -> uint8 [N,C,H,W]; its noise and its prompt depend on its seed only.

        In a run with several prompts, which image got which is written beside the model: prompts.jsonl.
        """
        from .sampling import publish

        _, height, width = self.parts.shape
        self._note_prompts(seeds)
        return publish(self._draw, seeds, self.context, height * width)

    def reconstruct(self, images: np.ndarray) -> np.ndarray:
        """Raise ValueError: a diffusion model has no code to copy an image through (``reconstructs`` is False)."""
        raise ValueError("Pipeline: a diffusion model does not reconstruct; use a Vae or a Gaussian for photocopies")

    def _draw(self, seeds: np.ndarray) -> Tensor:
        import torch

        from .pipeline_tuning import denoise

        recipe, device = self.recipe, self.context.device
        state = torch.from_numpy(normal(seeds, self.parts.latent_shape)).to(device)
        # one CPU generator an image: the noise that an ancestral sampler adds must depend on the image's seed only
        sources = [torch.Generator().manual_seed(int(seed)) for seed in seeds]
        text = None
        if self.prompts is not None:
            rows = torch.from_numpy(prompt_rows(seeds, self.prompts.count)).to(device)
            empty = self.prompts.rows[-1:].expand(len(seeds), -1, -1)
            text = self.prompts.rows[rows], empty, recipe.guidance
        made = denoise(self.parts, recipe.sampler, recipe.steps, state, sources, text)
        return made if self.parts.coder is None else self.parts.coder.decode(made)

    def _note_prompts(self, seeds: np.ndarray) -> None:
        """Write which image has which of several prompts, where this one process works on a run."""
        shard = self.context.checkpoint
        if self.prompts is None or self.prompts.count < 2 or shard is None or self.context.group.size > 1:
            return
        rows = prompt_rows(seeds, self.prompts.count)
        lines = [
            json.dumps({"seed": str(seed), "prompt": self.recipe.prompts[row]}, ensure_ascii=False)
            for seed, row in zip(seeds.tolist(), rows.tolist(), strict=True)
        ]
        path = shard.parent / PROMPTS
        before = path.read_text(encoding="utf-8").splitlines() if path.exists() else []
        whole = dict.fromkeys([*before, *lines])
        path.write_text("".join(f"{line}\n" for line in whole), encoding="utf-8")

    def save(self, folder: Path) -> None:
        """Write what was trained, in the files of diffusers, and pipeline.json; nothing of what stayed as published.

        With "lora" that is pytorch_lora_weights.safetensors, which ``StableDiffusionPipeline.load_lora_weights`` reads;
        with "full" the folder unet, for ``UNet2DModel.from_pretrained`` or ``UNet2DConditionModel.from_pretrained``.
        """
        from safetensors.torch import save

        source, path = self.parts.source, folder / self.recipe._weights
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(save(self.net.tensors(), {"format": "pt"}))
        if self.recipe.tune == "full":
            self.parts.unet.save_config(str(path.parent))
        record = {
            "kind": "pipeline",
            "model": source.model,
            "class": source.name,
            "tune": self.recipe.tune,
            "trained": "unet",
            "frozen": sorted(set(source.parts) - {"unet", "scheduler", "tokenizer"}),
            "base": source.digest,
            "files": source.digests,
        }
        (folder / RECORD).write_text(json.dumps(record, indent=2) + "\n", encoding="utf-8")
