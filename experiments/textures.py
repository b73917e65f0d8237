"""How fast does a loop lose the fine detail of photographs? Grass, gravel and brick through five generations of a VAE.

Question:   how fast does a loop that is trained on its own output lose the fine detail of real photographs, and how
            much of the same loss does a closed-form Gaussian (PPCA) show under the same regime?
Command:    imagelab run textures          (in a checkout also: python experiments/textures.py)
Hardware:   two CPU cores, three minutes; no GPU, no download.
Expected:   band power at 16-32 cycles/image below that of real images from generation 1 on (the mean of a VAE's decoder
            has no fine texture) and falling, then the coarser bands; real against real stays at 0 dB within its error.
Refuted by: band powers that stay inside the floor of real against real, or a floor that is itself far from 0 dB.

Seen 2026-11-22, 2 x86-64 cores shared with other work: 188 s. n = 1,024 crops a generation, 512 held out, seed 0, one
run. Power at 16-32 c/image: VAE -2.2 +- .2 dB at generation 1, -8.3 +- .2 at 5; PPCA (128 components and white noise)
-.3 +- .2 at both: that is noise of the right power, not texture, because its 8-16 band is at -4.4 +- .1 from generation
1 on. Pixel variance: VAE .73, then .35; PPCA .94, then .93. Real against real: -.5 +- .2 dB at 16-32, .94 in variance,
because the held-out regions of three photographs differ from the training regions; the effective sample is 96 disjoint
crops.
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
