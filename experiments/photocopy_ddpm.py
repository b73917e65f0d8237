"""Does a diffusion loop lose variety and detail in the same way as a VAE loop? A DDPM on 64 px faces.

Question:   does a loop of diffusion models on pixels lose variety and fine detail in the way a loop of VAEs does, or in
            another? And are the freckles it draws freckles, or grain that its blank twin draws as well?
Command:    imagelab run photocopy_ddpm          (in a checkout also: python experiments/photocopy_ddpm.py)
            a short run: imagelab run photocopy_ddpm --quick
            on a GPU: imagelab run photocopy_ddpm --generator.patch 1 --generator.closed-form white
            --generator.weighting none --generator.images-seen 2000000
Hardware:   one CPU core, HARDWARE
Expected:   at generation 1 nearer to unseen faces than PPCA, with more freckles than the blank twin. From generation to
            generation detail and freckles are lost, because every model learns from what the sampler and the network
            before left of it.
Refuted by: a model no nearer than PPCA at generation 1; freckles that the blank twin shows as well; band powers and
            distances that stay at the floor of real against real images.

Seen FIGURES
"""

from imagelab import Experiment, Faces, Gaussian, Replace, launch
from imagelab.generators.ddpm import RECIPES

experiment = Experiment(
    name="photocopy-ddpm",
    title="A photocopy of a photocopy, by diffusion",
    data=Faces(size=64, freckle_rate=0.6),
    regime=Replace(),
    generator=RECIPES["cpu-64"],
    arms=(Gaussian(components=512),),
    generations=3,
    images=2000,
    heldout=1000,
    blank_twins=1,
)

if __name__ == "__main__":
    launch(experiment)
