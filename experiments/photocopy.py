"""A photocopy of a photocopy: freckled faces through ten generations of a VAE that feeds on its own output.

Question:  when every model is trained only on what the model before it made, when do the freckles go, and how much of
           that would a closed-form Gaussian (PPCA) under the same regime lose as well?
Command:   python experiments/photocopy.py          (or: imagelab run experiments/photocopy.py)
           your own pictures: imagelab run experiments/photocopy.py --data.kind folder --data.path DIR
Hardware:  two CPU cores, under five minutes from the start of Python to the report; no GPU, no download.
Expect:    the count of freckles falls from generation to generation far outside its error bars, faces drift together,
           while real faces against held-out real faces stay at the floor.
Refuted by: a count that stays within its error bars, or one that the blank control (freckle-free faces through the same
           model) matches: then the counter sees the model's grain, not freckles.
"""

from imagelab import Experiment, Faces, Gaussian, Replace, Vae, launch

experiment = Experiment(
    name="photocopy",
    title="A photocopy of a photocopy: freckled faces",
    data=Faces(size=64, freckle_rate=0.6),
    regime=Replace(),
    generator=Vae(details=8, beta=0.3, images_seen=12_000),
    arms=(Gaussian(components=128),),
    generations=10,
    images=1000,
    heldout=800,
)

if __name__ == "__main__":
    launch(experiment)
