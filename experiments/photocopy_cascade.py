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
Beware:    a count of freckles on a flow's grain is mostly false, and a short training is no measure of collapse: with a
           thirteenth of the default images_seen the cascade has not caught up with PPCA.

Seen 2026-11-22, 2 x86-64 cores shared with some eight other jobs, so CPU seconds and no wall times. Generation 1 alone,
one seed, 2,000 training faces, 1,000 held out; the stages were trained one at a time with the settings that are now the
defaults (320,000 images and 110 core-s for the coarse stage, 32,000 each and about 170 and 110 core-s for the octaves)
and put together. FD is corrected for its bias in n. n = 1,000 made faces, 400 for the untrained line.
                                     real, other   cascade   PPCA, k = 512   untrained
  FD[imagelab-ssl-v1]                     -          12.1        44.6          96.3
  FD[randconv-s0 / s1 / s2]          0 / 0 / 0    10.8/8.6/6.4  56/49/43      82/72/50
  detector, starved of images             -          .61         .89           .97
  detector                                -           .95        1.00          1.00
  power at 8-16 / 16-32 c/image, dB  .01 / .04    -.38 / -.45  -.28 / -.63   -2.27 / -.84
  pixel variance, ratio                  1.01        .88         .94           .88
  noise                                  1.5         2.1         5.2           4.3
  freckles found a face                  4.66        1.50        1.17          2.29
The cascade beats both controls on every distance and detector; in variance and power, second order, PPCA is as good.
There are no freckles in it: what is found is grain. On dark, middle and light skin 1.2, 1.5 and 1.7 spots a face, where
real faces have 1.9, 4.6 and 6.9 (and their freckle-free twins .1); PPCA has .9, 1.2 and 1.4.
Given real pictures of 16 px, the octave to 32 px is at FD[randconv-s0] -1.4 (corrected, n = 240; so about zero): what
is wrong with whole faces is the coarse stage, and what is missing in detail is the last octave.
Steps, the same 48 faces, power at 16-32 c/image against real: Euler 9 / 18 / 24 / 36 steps -1.55 / -.80 / -.62 / -.42
dB; Heun 9 / 18 steps -.11 / -.03 dB. Heun in 9 steps costs what Euler costs in 18.
What failed: a coarse stage at 8 px with one more octave (FD[randconv-s0] at 16 px 6.0 for 126 core-s, against 4.5 for
64 at 16 px; twice as long at 16 px: 3.7).
Not done: the blank control (a cascade trained on the freckle-free twins), more seeds, the full experiment.
The loop, only to see it run (2,500 images a stage, 300 faces, 400 held out, one seed: under-trained, no measure of
collapse). Cascade, generations 1, 2, 3: FD[imagelab-ssl-v1] 49 / 57 / 67 (+- 2), power at 16-32 -.83 / -1.39 / -1.90 dB
(+- .09), noise 2.8 / 3.3 / 3.7, pixel variance .96 / .90 / .85 (+- .04): detail goes, grain grows. PPCA (299
components), the same: 37 / 43 / 44, .17 / .02 / -.05 dB, 2.3 / 2.3 / 2.4, .98 / .92 / .91.
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
