"""A photocopy of a photocopy by flows: the same loop, a cascade of flows on 64 px faces, beside its own silence.

Question:  a learned model that beats PPCA and its own untrained nets on unseen faces at generation 1: does its loop
           lose more than theirs, the same, or something else?
Command:   python experiments/photocopy_cascade.py          (or: imagelab run experiments/photocopy_cascade.py)
           a short look: the same with --generations 1 --images 1000
Hardware:  about six core-minutes of training a generation on one core (images_seen counts, not the number of images),
           and for 2,000 images some three core-minutes of sampling a line; no GPU, no download.
Expect:    generation 1 of the cascade lies far nearer to held-out faces than both arms; the arms, closed forms, hardly
           change from generation to generation, while in the cascade grain grows and freckles go: errors of every stage
           are fed to the next model as data.
Refuted by: a cascade that is no nearer at generation 1 than its untrained arm (then it has learned nothing), or whose
           losses in later generations are those of PPCA (then the loop, and not the learning, is what loses).
Beware:    a count of freckles on a flow's grain is partly false; a model trained on the freckle-free twins of the same
           faces tells how much (see "Seen").
"""

from imagelab import Cascade, Experiment, Faces, Gaussian, Replace, launch

experiment = Experiment(
    name="photocopy-cascade",
    title="A photocopy of a photocopy, by a cascade of flows",
    data=Faces(size=64, freckle_rate=0.6),
    regime=Replace(),
    generator=Cascade(),
    arms=(Gaussian(components=512), Cascade(images_seen=0)),
    generations=5,
    images=2000,
    heldout=1000,
)

if __name__ == "__main__":
    launch(experiment)
