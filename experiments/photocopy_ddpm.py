"""Does a diffusion loop lose variety and detail in the same way as a VAE loop? A DDPM on 32 px faces.

Question:   does a loop of diffusion models lose variety and fine detail in the way a loop of VAEs does, or in another?
Command:    imagelab run photocopy_ddpm          (in a checkout also: python experiments/photocopy_ddpm.py)
            on a GPU: imagelab run photocopy_ddpm --data.size 64 --generator.patch 1 --generator.weighting none
            --generator.images-seen 2000000
Hardware:   one CPU core, some 140 seconds of training a generation; no GPU, no download.
Expected:   deviations of both signs in the spectrum: an under-trained diffusion model may add noise at high frequency
            while it loses structure.
Refuted by: band powers and distances that stay at the floor of real against real images.

Freckles cannot be counted at 32 px; there they are only a tint of the skin.

Seen 2026-11-22 with the recipe of that day (UNet2DModel on folded pixels, 50,000 images, some 300 core-seconds), 2
x86-64 cores shared with other work, n = 1,000, 500 held out, seed 0; stopped and resumed once, two of three generations
finished. The recipe has another network since then (generators/ddpm.py reports how near its first generation comes in
half the seconds); this loop has not been run with it. Generation 1: heads, hair and skin of distinct persons, soft
eyes, no freckles. The model is under-trained, so this does not measure collapse yet, only shows that the loop works.
                           real          DDPM, gen. 1   DDPM, gen. 2   PPCA, gen. 1   PPCA, gen. 2
  power at 8-16 c/image, dB .02 +- .08   -5.20 +- .08   -6.93 +- .09   -1.96 +- .08   -2.07 +- .08
  pixel variance, ratio    1.01 +- .03   .76 +- .02     .61 +- .02     .98 +- .03     .95 +- .02
  FD[randconv-s0]          7.8 +- 1.0    28.7 +- 2.8    54 +- 4        29.4 +- 2.4    30.0 +- 2.4
In FD it equals PPCA at generation 1 and has twice the distance of PPCA at generation 2. The GPU settings have not been
run.
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
