"""Can diffusers' own training script be the generator? UNet2DModel and DDPM as two commands.

Question:   does the loop run with diffusers' unconditional example, re-told as two small programs?
Command:    imagelab run program_unet          (in a checkout also: python experiments/program_unet.py)
            begun from the model before: imagelab run program_unet --warm-start
            on a GPU: imagelab run program_unet --generator.images-seen 2000000
Hardware:   one CPU core; each start of a program takes some 6 core-seconds, a step of 16 images some .05.
Expected:   pictures that look like noise or blur: so short a training shows that the loop works, not how it collapses.
Refuted by: an error.

Seen 2026-11-29, 2 x86-64 cores shared with other work, one thread, with --warm-start --images 100 --heldout 50
--generator.images-seen 640: 95 core-seconds in all. After two steps the first training, from scratch, had a loss of
.93, the second, begun from the first model, .30. Pixel variance .56 +- .04, then 1.18 +- .08 of real,
FD[imagelab-ssl-v1] 226 +- 20 and 262 +- 49 where real against real has 16 +- 3: under-trained, as expected. The
settings above, and a GPU, have not been run.
"""

from imagelab import Command, Experiment, Replace, Textures, launch
from imagelab.cli.experiments import experiments_folder

experiment = Experiment(
    name="program-unet",
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
