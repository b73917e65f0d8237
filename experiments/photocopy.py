"""What does a model forget, if each is trained only on the output of the one before? Ten generations of a VAE.

Question:   when every model is trained only on the output of the previous model, what vanishes first: freckles, fine
            detail, variety, or what is rare? How much of the same loss does a closed-form Gaussian (PPCA) show under
            the same regime?
Command:    imagelab run photocopy          (in a checkout also: python experiments/photocopy.py)
            your own pictures: imagelab run photocopy --data.kind folder --data.path DIR
Hardware:   two CPU cores, a quarter of an hour from the start of Python to the report; no GPU, no download. With
            --quick, a first look in a minute.
Expected:   the distance from real faces grows in each generation by far more than its errors, the faces become more
            alike, rare attributes fall, and real faces against held-out real faces stay at the floor.
Refuted by: figures that stay within their errors. For freckles also by a count that the blank control reaches as well
            (freckle-free faces copied by the same model): then the counter sees the noise of the model, not freckles.

Three chains run the whole loop from other training and sampling seeds on the same real faces. A fourth chain of the
VAE, the blank twin, begins from the freckle-free twins of the same faces: what the counter finds in its faces, the
loop has invented. The first model has to be good, because what it loses is not the loop's loss: at generation 1 the
Frechet distance is below 10, and net of invented ones four in five freckles are there. Its prior recombines: the
outline of a drawn face is a mixture of neighbouring faces, its details are those of one of them. So it stays close to
its training images: see "copies".

Seen 2026-11-30, two x86-64 cores: 13 min 5 s from the start of Python to the report, 23 min of CPU time (beside other
work 15 min 52 s and 28 min), 1.4 GB at most in a process; both times the same bytes. n = 1,000 images a generation, 800
held out, seed 0, mean of three chains (blank twin: one); +- is half of the 95 % interval in which another run with
three other trainings (and other real faces) would have the figure.
                           real           VAE, gen. 1          VAE, gen. 10         PPCA, gen. 1      PPCA, gen. 10
  freckles found a face    4.7 +- .3      4.1 +- .7            3.2 +- .3            .36 +- .07        .33 +- .08
  their standard deviation 4.6 +- .2      3.7 +- .3            2.0 +- .2            .64 +- .09        .61 +- .10
  how dark they are, ln    .426 +- .006   .427 +- .015         .299 +- .010         .45 +- .02        .45 +- .03
  corrected, as if sharp   5.5 +- .4      5.0 +- .7            4.2 +- .5            .32 +- .09        .29 +- .11
  net of invented ones     5.6 +- .4      4.5 +- .7            3.6 (3.1 to 6.0)     .0 (-.2 to .8)    .2 (.1 to 1.1)
  found on copied blanks   .07 +- .03     .18 +- .10           .34 +- .14           .30 +- .13        .15 +- .09
  found on the blank twin  -              .42 +- .11           .5 +- .2             -                 -
  left by such blur        .99 +- .03     .97 +- .05           .66 +- .09           .48 +- .12        .36 +- .10
  power, 16-32 c/image, dB .03 +- .14     -.4 +- .2            -2.6 +- .4           -2.77 +- .17      -3.1 +- .3
  pixel variance, ratio    1.02 +- .04    .96 +- .06           .69 +- .06           .98 +- .07        .82 +- .06
  FD[imagelab-ssl-v1]      1.5 +- 1.1     5.5 +- 2.0           80 +- 14             77 +- 7           108 +- 11
  FD[randconv-s0]          5 +- 3         11 +- 5              142 +- 37            74 +- 6           79 +- 10
  starved detector, AUC    .504 +- .006   .55 +- .02           .91 +- .05           .976 +- .019      .989 +- .010
  Vendi score              9.6 +- .4      10.7 +- .5           6.2 +- .7            8.5 +- .4         6.3 +- .6
  precision                .968 +- .013   .84 +- .04           .49 +- .18           .06 +- .09        .03 +- .08
  recall                   .965 +- .009   .93 +- .04           .2 +- .2             .09 +- .08        .03 +- .09
  Clipped Density          1.01 +- .06    .58 +- .12           .13 +- .11           .002 +- .008      .001 +- .003
  copies of training faces -              .09 +- .03           .03 +- .05           .000 +- .004      .000 +- .004
  nearer to training faces -              .59 +- .06           .51 +- .19           .50 +- .14        .53 +- .19
  headscarf, share         .034 +- .011   .026 +- .018         .002 +- .007         .034 +- .018      .035 +- .018
  glasses, share           .106 +- .019   .11 +- .03           .05 +- .12           .08 +- .02        .05 +- .03
  attributes lost, of 24   0              1 +- 2               13 +- 2              11 +- 2           13 +- 2
"Left by such blur": of the freckles of real faces, the share that is still found once they are as blurred, noisy and
pale as the generated ones.
What is rare goes: at generation 10 rare attributes together keep 10 % (0 to 29 %) of their share in real faces, where
chance alone would leave 63 to 96 %; common ones keep 70 % (61 to 79 %). Variety goes with them: recall falls from .93
to .2, the Vendi score from 10.7 to 6.2. Corrected, 4.2 of 5.5 freckles are left. But they are paler, and almost every
face gets a few: in the first chain none is found on 4 % of the faces of generation 10 and eight or more on 3 %, on real
faces on 38 and 27 %. A mean count alone would have missed that. One drawn face in eleven of generation 1 is a copy or
near-copy of a training face.
Stages (imagelab watch), against generation 1: tails fading from generation 4, homogenising from 8. First to move are
FD, KD, recall and diversity, within one generation of each other, so their order is not known. After its first
training PPCA has lost its freckles and most of the rare attributes, because it cannot represent them (it keeps 27 %, 16
to 39; after ten generations 30 %, 18 to 42). Variety it loses in the loop, as the VAE does (Vendi score).

At 128 px with fine freckles (--data.size 128 --data.freckle-style fine --generations 5 --replicates 1; seed 0, one
training a generation, one blank twin, 1,000 faces, 800 held out; finished 2026-11-30), generations 1 to 5:
  FD, corrected                                8.9    19     28     42     53       real faces .1
  recall                                       .87    .68    .53    .35    .30      .97
  power at 16-32 c/image, dB                   -.46   -.80   -.97   -1.32  -1.52    .02
  freckles found                               6.9    6.3    6.2    5.7    5.9      10.2
  found on the blank twin                      1.1    1.9    2.6    2.5    2.4      -
  corrected, net of the twin                   7.9    6.1    5.2    4.8    5.3      13.3
  deviation of the count                       7.4    5.6    5.1    4.5    4.3      11.4
95 % intervals for another training, estimated from how much trainings of other runs differed: found in generation 1
6.8 +- 1.3, in generation 5 5.9 +- .9, on the twin 2.4 +- .5, on real faces 10.2 +- .7; net 5 (4 to 18) in generation 5.

Before 2026-11-30 the first model was worse: 8 channels of details in place of 16, beta .3 in place of .1, and a prior
that mixes the details of 16 neighbours. Its loop lost more of everything (three chains, in the same form):
                             VAE, gen. 1     VAE, gen. 10
  freckles found a face      3.4 +- .3       1.6 +- .2
  net of invented ones       3.3 +- .4       1.7 (1.4 to 2.7)
  power, 16-32 c/image, dB   -2.3 +- .3      -7.5 +- .5
  FD[imagelab-ssl-v1]        16 +- 4         187 +- 31
  Vendi score                10.1 +- .5      3.5 +- .6
  copies of training faces   .16 +- .04      .05 +- .07
So a large part of the loss that was ascribed to that loop came from a weak model, which lost it again in each
generation. How the new settings were found is told in experiments/studies/first_generation.py.
"""

from imagelab import Experiment, Faces, Gaussian, Replace, Vae, launch

experiment = Experiment(
    name="photocopy",
    title="A photocopy of a photocopy: freckled faces",
    data=Faces(size=64, freckle_rate=0.6),
    regime=Replace(),
    generator=Vae(images_seen=12_000, optimiser="muon", learning_rate=8e-3, prior="recombined"),
    arms=(Gaussian(components=128),),
    generations=10,
    images=1000,
    heldout=800,
    replicates=3,
    blank_twins=1,
)

if __name__ == "__main__":
    launch(experiment)
