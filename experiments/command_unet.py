"""Can diffusers' own training script be the generator? UNet2DModel and DDPM as two commands.

Question:   does the loop run with diffusers' unconditional example, re-told as two small programs?
Command:    imagelab run command_unet          (in a checkout also: python experiments/command_unet.py)
            begun from the model before: imagelab run command_unet --warm-start
            on a GPU: imagelab run command_unet --generator.images-seen 2000000
Hardware:   WWW
Expected:   pictures that look like noise or blur: so short a training shows that the loop works, not how it collapses.
Refuted by: an error.

SEEN
"""

from imagelab import Command, Experiment, Replace, Textures, launch
from imagelab.cli.experiments import experiments_folder

experiment = Experiment(
    name="command-unet",
    title="A loop with diffusers' own example, as two programs",
    data=Textures(size=16),
    regime=Replace(),
    generator=Command(
        name="UNet2DModel, DDPM",
        train="{python} unet_train.py --data {images} --out {model} --start {previous_model} --seed {seed} "
        "--images-seen {images_seen} --device {device}",
        sample="{python} unet_sample.py --model {model} --out {images} --count {count} --seed {seed} --device {device}",
        images_seen=4_000,
        directory=experiments_folder() / "guests",
    ),
    generations=2,
    images=400,
    heldout=200,
    tracked=8,
    metrics=("spectrum", "hf_ratio", "pixel_variance", "frechet", "perceptual_diversity"),
)

if __name__ == "__main__":
    launch(experiment)
