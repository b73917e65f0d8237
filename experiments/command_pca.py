"""Can a program of somebody else be the generator? Principal components in thirty lines of numpy, as two commands.

Question:   does the loop run with a program that knows nothing of imagelab, and does it measure it like its own PPCA?
Command:    imagelab run command_pca          (in a checkout also: python experiments/command_pca.py)
Hardware:   any; WWW seconds on one CPU core.
Expected:   the program and the closed-form arm, PPCA with as many components, lose power and distance alike.
Refuted by: curves of the two that differ by more than their intervals.

SEEN
"""

from imagelab import Command, Experiment, Gaussian, Replace, Textures, launch
from imagelab.cli.experiments import experiments_folder

experiment = Experiment(
    name="command-pca",
    title="A loop with a program of somebody else: principal components in numpy",
    data=Textures(size=32),
    regime=Replace(),
    generator=Command(
        name="PCA program",
        train="{python} pca.py train {images} {model} 64",
        sample="{python} pca.py sample {model} {images} {count} {seeds}",
        directory=experiments_folder() / "guests",
    ),
    arms=(Gaussian(components=64),),
    generations=3,
    images=400,
    heldout=200,
    tracked=8,
    metrics=("spectrum", "hf_ratio", "pixel_variance", "frechet", "perceptual_diversity"),
)

if __name__ == "__main__":
    launch(experiment)
