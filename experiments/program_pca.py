"""Can a program of somebody else be the generator? Principal components in thirty lines of numpy, as two commands.

Question:   does the loop run with a program that knows nothing of imagelab, and does it measure it like its own PPCA?
Command:    imagelab run program_pca          (in a checkout also: python experiments/program_pca.py)
Hardware:   any; 27 seconds on one core of a busy machine, torch's start included.
Expected:   the program and the closed-form arm, PPCA with as many components, lose power and distance alike.
Refuted by: curves of the two that differ by more than their intervals.

Seen 2026-11-29, 2 x86-64 cores shared with other work, one thread, n = 400, 200 held out, seed 0, one training of each;
± is the standard error over images. Each pair agrees within its errors in every generation:
                             real           PCA program, gen. 1, 3          PPCA, gen. 1, 3
  FD[imagelab-ssl-v1]        6.7 +- 1.7     105.1 +- 2.4   102.0 +- 2.6     105.4 +- 2.0   103.9 +- 2.0
  pixel variance, ratio      .92 +- .04     .92 +- .03     .91 +- .03       .93 +- .03     .92 +- .03
  power at 8-16 c/image, dB  -.5 +- .5      -1.5 +- .4     -1.5 +- .4       -1.6 +- .4     -1.6 +- .4
"""

from imagelab import Command, Experiment, Gaussian, Replace, Textures, launch
from imagelab.cli.experiments import experiments_folder

experiment = Experiment(
    name="program-pca",
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
