"""Can a package of others be the generator? denoising-diffusion-pytorch, as two commands.

Question:   does the loop run with the Trainer of a package that imagelab does not depend on?
Command:    imagelab run program_lucid          (in a checkout also: python experiments/program_lucid.py)
            after `pip install denoising-diffusion-pytorch`; where that is in an environment of its own:
            imagelab run program_lucid --generator.environment PATH=ENV/bin:/usr/bin
            --generator.train "python lucid.py train {images} {model} {seed} {images_seen}"
            --generator.sample "python lucid.py sample {model} {images} {count} {seed}"
Hardware:   one CPU core; each start of a program takes some 5 core-seconds.
Expected:   pictures of noise: so short a training shows that the loop works, not how it collapses.
Refuted by: an error.

Seen 2026-11-29 with version 2.3.4 in an environment of its own, as above, 2 x86-64 cores shared with other work, one
thread, --generations 1 --images 100 --heldout 50 --generator.images-seen 64: 62 core-seconds in all. Pixel variance 6.1
+- .4 of real: the average of four steps is noise, as expected. Its Trainer refuses fewer than 100 images, and so would
have failed the trial on 12. The settings above have not been run.
"""

from imagelab import Command, Experiment, Replace, Textures, launch
from imagelab.cli.experiments import experiments_folder

experiment = Experiment(
    name="program-lucid",
    title="A loop with denoising-diffusion-pytorch, as two programs",
    data=Textures(size=16),
    regime=Replace(),
    generator=Command(
        name="denoising-diffusion-pytorch",
        train="{python} lucid.py train {images} {model} {seed} {images_seen}",
        sample="{python} lucid.py sample {model} {images} {count} {seed}",
        images_seen=2_000,
        directory=experiments_folder() / "guests",
        trial_images=100,  # its Trainer refuses fewer
    ),
    generations=2,
    images=400,
    heldout=200,
    tracked=8,
    metrics=("spectrum", "hf_ratio", "pixel_variance", "frechet", "perceptual_diversity"),
)

if __name__ == "__main__":
    launch(experiment)
