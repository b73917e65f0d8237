"""Can a package of others be the generator? denoising-diffusion-pytorch, as two commands.

Question:   does the loop run with the Trainer of a package that imagelab does not depend on?
Command:    pip install denoising-diffusion-pytorch; imagelab run command_lucid
            in an environment of its own: imagelab run command_lucid --generator.environment PATH=ENV/bin:/usr/bin
            --generator.train "python lucid.py train {images} {model} {seed} {images_seen}"
            --generator.sample "python lucid.py sample {model} {images} {count} {seed}"
Hardware:   WWW
Expected:   pictures of noise: so short a training shows that the loop works, not how it collapses.
Refuted by: an error.

SEEN
"""

from imagelab import Command, Experiment, Replace, Textures, launch
from imagelab.cli.experiments import experiments_folder

experiment = Experiment(
    name="command-lucid",
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
