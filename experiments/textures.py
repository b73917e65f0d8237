"""Real photographs, photocopied: grass, gravel and brick through ten generations of a VAE and of a Gaussian.

Question:  how fast does a loop that feeds on itself lose the fine grain of real photographs, and how much of the loss
           does a closed-form Gaussian (PPCA) under the same regime show too?
Command:   imagelab run experiments/textures.py
Hardware:  two CPU cores, a few minutes (see "Seen").
Expect:    band power at 16-32 cycles/image far below real from generation 1 on (a VAE's mean has no grain), then a slow
           loss in the coarser bands; real against real stays at 0 dB within its error.
Refuted by: band powers that stay inside the real-against-real floor, or a floor that is itself far from 0 dB.
"""

from imagelab import Experiment, Gaussian, Replace, Textures, Vae, launch

experiment = Experiment(
    name="textures",
    title="Grass, gravel and brick, photocopied",
    data=Textures(size=64),
    regime=Replace(),
    generator=Vae(),
    arms=(Gaussian(components=128),),
    generations=5,
    images=1024,
    heldout=512,
)

if __name__ == "__main__":
    launch(experiment)
