"""Does a published diffusion model collapse when it is fine-tuned on its own images? Any pipeline of diffusers.

Question:   what does a pipeline that was trained on many real images lose, when it is fine-tuned on what it draws?
Command:    hf download google/ddpm-cifar10-32 --include "*.json" --include "*.safetensors"
            imagelab run pipeline        (in a checkout also: python experiments/pipeline.py)
            at once, without a download and without a GPU: python experiments/pipeline.py --toy
            (of an installed package: imagelab experiments copy pipeline; python pipeline.py --toy)
Hardware:   a GPU; 4 GB are estimated for the default, see below. --toy: one CPU core, about a minute.
Expected:   as for other diffusion models of this package: variety falls, and errors of its own samples add up.
Refuted by: variety, spectrum and distances that stay at those of generation 1.

--toy makes a text-to-image pipeline with random weights in ./toy-pipeline and tunes it by LoRA. It was never trained.
Its images are noise, and nothing that is measured of them is a statement about collapse. It shows that the loop runs.

Other pipelines, from a folder or the hub's cache, each with pictures of its own size (here a folder of yours):

    google/ddpm-celebahq-256      --generator.tune full --generator.batch 4                            11 GB
    CompVis/ldm-celebahq-256      --generator.tune full --generator.batch 8                            11 GB
    stable-diffusion-v1-5/stable-diffusion-v1-5
                                  --generator.tune lora --generator.batch 4 --generator.prompts "..."  22 GB
                                  --generator.tune full --generator.batch 2 --generator.prompts "..."  27 GB

    imagelab run pipeline --runtime.batch 8 --data.kind folder --data.path PICTURES --data.size 512
        --generator.model stable-diffusion-v1-5/stable-diffusion-v1-5 --generator.batch 4
        --generator.tune lora --generator.learning-rate 1e-4 --generator.prompts "a portrait"

The memory is ESTIMATED and was not measured, because no GPU was there: 4 bytes for each frozen weight, 20 for each
trained one (weight, gradient, moving average, two moments of Adam), and what the U-Net keeps of one image for the
gradient, times the batch, counted on a graph without numbers: .05 GB (32 px), 2.1 (256 px), .7 (64 x 64 latents, LDM)
and 4.8 (64 x 64 latents, SD). That count is of float32 with the attention matrices kept; in training on a GPU most of
it is bfloat16, so the need should be lower. U-Nets have 35.7, 113.7, 274.1 and 859.5 million weights, SD's autoencoder
83.7, its text encoder 123.1 (it is dropped before training). Under --warm-start the model before is loaded beside.
A model of the run takes 6 MB with LoRA of rank 8 for SD, 3.4 GB with "full".

Some repositories hold pickled weights only; CompVis/ldm-celebahq-256 did. They are refused, with the command that
converts them. Do not convert that one by saving it again with diffusers, which then writes another scale of its latents
(generators/pipeline_parts.py).

Seen 2026-11-29, --toy, one thread of a shared x86-64 core: 24 core-seconds (50 s), noise in both generations, as
expected of random weights. No published pipeline has been run: there was neither a network nor a GPU.
"""

import runpy
import sys
from pathlib import Path

from imagelab import Experiment, Pipeline, Replace, Textures, launch
from imagelab.cli.experiments import experiments_folder

TOY = Path("toy-pipeline")

experiment = Experiment(
    name="pipeline",
    title="A published diffusion model, fine-tuned on its own images",
    data=Textures(size=32),
    regime=Replace(),
    generator=Pipeline(model="google/ddpm-cifar10-32", tune="full", images_seen=50_000, batch=64, learning_rate=1e-5),
    generations=5,
    images=1000,
    heldout=500,
    metrics=("spectrum", "hf_ratio", "pixel_variance", "frechet", "perceptual_diversity"),
)


def toy(folder: Path = TOY) -> Experiment:
    """Return a small experiment with a pipeline of random weights, which is made in the folder if it is not there."""
    if not (folder / "model_index.json").is_file():
        runpy.run_path(str(experiments_folder() / "guests" / "toy_pipeline.py"))["make"](folder, "text", 32)
    prompts = ("a stone", "grass", "sky")
    tuned = Pipeline(model=str(folder.absolute()), prompts=prompts, images_seen=400, learning_rate=1e-3, steps=10)
    said = {"name": "pipeline-toy", "title": "An untrained toy pipeline: the loop runs, nothing is shown"}
    settings = {name: getattr(experiment, name) for name in Experiment.model_fields}
    return Experiment(**{**settings, **said, "generator": tuned, "generations": 2, "images": 64, "heldout": 32})


if __name__ == "__main__":
    asked = "--toy" in sys.argv
    sys.argv = [word for word in sys.argv if word != "--toy"]
    launch(toy() if asked else experiment)
