"""A photocopy of a photocopy with a diffusion model: the same loop, a DDPM on 32 px faces.

Question:  does a diffusion loop lose variety and fine detail the way a VAE loop does, or another way?
Command:   imagelab run experiments/photocopy_ddpm.py
           on a GPU: the same with --data.size 64 --generator.patch 1 --generator.images-seen 2000000
Hardware:  see "Seen"; freckles cannot be counted at 32 px, they are a tint there.
Expect:    two-sided spectra: an under-trained diffusion model may add noise at high frequency while structure is lost.
Refuted by: band powers and distances that stay at the real-against-real floor.
"""

from imagelab import Ddpm, Experiment, Faces, Gaussian, Replace, launch

experiment = Experiment(
    name="photocopy-ddpm",
    title="A photocopy of a photocopy, by diffusion",
    data=Faces(size=32),
    regime=Replace(),
    generator=Ddpm(
        channels=(64, 128),
        blocks=1,
        patch=4,
        prediction="sample",
        images_seen=50_000,
        batch=64,
        learning_rate=1e-3,
        ema=0.995,
        sampler="dpm++",
        steps=20,
    ),
    arms=(Gaussian(components=64),),
    generations=3,
    images=1000,
    heldout=500,
    metrics=("spectrum", "hf_ratio", "pixel_variance", "frechet", "kernel", "perceptual_diversity"),
)

if __name__ == "__main__":
    launch(experiment)
