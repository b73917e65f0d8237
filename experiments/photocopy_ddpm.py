"""A photocopy of a photocopy with a diffusion model: the same loop, a DDPM on 32 px faces.

Question:  does a diffusion loop lose variety and fine detail the way a VAE loop does, or another way?
Command:   imagelab run experiments/photocopy_ddpm.py
           on a GPU: the same with --data.size 64 --generator.patch 1 --generator.weighting none
           --generator.images-seen 2000000
Hardware:  some 140 core-seconds of training a generation; no GPU, no download. Freckles cannot be counted at 32 px;
           they are a tint there.
Expect:    two-sided spectra: an under-trained diffusion model may add noise at high frequency while structure is lost.
Refuted by: band powers and distances that stay at the real-against-real floor.

Seen 2026-11-22 with the recipe of that day (UNet2DModel on folded pixels, 50,000 images, some 300 core-seconds), 2
x86-64 cores beside other work, n = 1,000, 500 held out, seed 0; stopped and resumed once, two of three generations
finished. The recipe has become another net since (generators/ddpm.py tells how near its first generation comes in half
the seconds); this loop has not been run with it. Generation 1: heads, hair and skin of persons one
can tell apart, soft eyes, no freckles: an under-trained model, so this is no measure of collapse yet, only of the loop.
                           real          DDPM, gen. 1   DDPM, gen. 2   PPCA, gen. 1   PPCA, gen. 2
  power at 8-16 c/image, dB .02 +- .08   -5.20 +- .08   -6.93 +- .09   -1.96 +- .08   -2.07 +- .08
  pixel variance, ratio    1.01 +- .03   .76 +- .02     .61 +- .02     .98 +- .03     .95 +- .02
  FD[randconv-s0]          7.8 +- 1.0    28.7 +- 2.8    54 +- 4        29.4 +- 2.4    30.0 +- 2.4
A tie with PPCA at generation 1 and twice its distance at generation 2. The GPU settings have not been run.
"""

from imagelab import Experiment, Faces, Gaussian, Replace, launch
from imagelab.generators.ddpm import RECIPES

experiment = Experiment(
    name="photocopy-ddpm",
    title="A photocopy of a photocopy, by diffusion",
    data=Faces(size=32),
    regime=Replace(),
    generator=RECIPES["cpu-32"],
    arms=(Gaussian(components=64),),
    generations=3,
    images=1000,
    heldout=500,
    metrics=("spectrum", "hf_ratio", "pixel_variance", "frechet", "kernel", "perceptual_diversity"),
)

if __name__ == "__main__":
    launch(experiment)
