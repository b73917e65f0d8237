"""Does everything work here? The whole loop in miniature: real photographs, a small VAE, a PPCA arm, three generations.

Question:  is this installation sound, from data to report?
Command:   imagelab run experiments/smoke.py        (or: python experiments/smoke.py)
Hardware:  any; 11 seconds on two CPU cores, torch's start included (seen 2026-11-22).
Expect:    a report page. The textures blur from generation to generation; nothing here is a finding.
Refuted by: an error, or a report without curves.
"""

from imagelab import Experiment, Gaussian, Replace, Textures, Vae, launch

experiment = Experiment(
    name="smoke",
    title="Smoke test: three generations of a small VAE on real textures",
    data=Textures(size=32),
    regime=Replace(),
    generator=Vae(latent=32, details=4, width=16, images_seen=4_000),
    arms=(Gaussian(components=32),),
    generations=3,
    images=200,
    heldout=100,
    tracked=8,
)

if __name__ == "__main__":
    launch(experiment)
