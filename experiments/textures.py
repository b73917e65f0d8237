"""Real photographs, photocopied: grass, gravel and brick through five generations of a VAE and of a Gaussian.

Question:  how fast does a loop that feeds on itself lose the fine grain of real photographs, and how much of the loss
           does a closed-form Gaussian (PPCA) under the same regime show too?
Command:   imagelab run experiments/textures.py
Hardware:  two CPU cores, three minutes.
Expect:    band power at 16-32 cycles/image below real from generation 1 on (a VAE mean has no grain) and falling, then
           the coarser bands; real against real stays at 0 dB within its error.
Refuted by: band powers that stay inside the real-against-real floor, or a floor that is itself far from 0 dB.

Seen 2026-11-22, 2 x86-64 cores shared with other work: 188 s. n = 1,024 crops a generation, 512 held out, seed 0, one
run. Power at 16-32 c/image: VAE -2.2 +- .2 dB at generation 1, -8.3 +- .2 at 5; PPCA (128 components and white noise)
-.3 +- .2 at both: noise in the right amount, not grain, for its 8-16 band is at -4.4 +- .1 from generation 1 on.
Pixel variance: VAE .73, then .35; PPCA .94, then .93. Real against real: -.5 +- .2 dB at 16-32, .94 in variance, since
the held-out regions of three photographs are not quite the training regions; the effective sample is 96 disjoint crops.
"""

from imagelab import Experiment, Gaussian, Replace, Textures, Vae, launch

experiment = Experiment(
    name="textures",
    title="Grass, gravel and brick, photocopied",
    data=Textures(size=64),
    regime=Replace(),
    generator=Vae(details=12),
    arms=(Gaussian(components=128),),
    generations=5,
    images=1024,
    heldout=512,
)

if __name__ == "__main__":
    launch(experiment)
