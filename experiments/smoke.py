"""Does this installation work? The whole loop at a small size: photographs, a small VAE, a PPCA arm, three generations.

Question:   does everything work, from the data to the report?
Command:    imagelab run smoke          (in a checkout also: python experiments/smoke.py)
Hardware:   any; 11 seconds on two CPU cores, torch's start included.
Expected:   a report page. The textures blur from generation to generation; the figures are no result.
Refuted by: an error, or a report without curves.

Seen 2026-11-22, two CPU cores: 11 s.
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
