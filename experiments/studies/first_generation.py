"""Is a learned generator better than PPCA and than its untrained network? The first generation, before any loop.

Question:   does the model, before any loop, draw faces nearer to unseen real ones than a closed-form Gaussian (PPCA)
            and than the same network without training, on instruments that see beyond second order, in each of three
            seeds? And are the freckles it shows freckles, or noise that the same recipe also draws when it is trained
            on faces without freckles?
Command:    python experiments/studies/first_generation.py --generator vae      (or another kind, or a recipe as JSON)
            --runs DIR        keeps models and images, so that an interrupted run goes on
            --sheet faces.png draws generated faces beside real ones
            --size 128 --freckle-style fine  faces of another size, with small, realistic freckles
            --quick           small sizes, to see that it runs
Hardware:   one CPU core; training takes some 33 core-seconds a seed and arm (VAE), 270 (latent) or 400 (cascade).
Expected:   FD and the starved detector put the learned model before both controls in every seed. Band powers, variance
            and noise need not, because PPCA reproduces second-order statistics by construction. Freckles are clearly
            above the blank control.
Refuted by: a seed in which one of the controls is as near on FD or on the starved detector; or a count of freckles that
            the blank control (the same recipe trained on the freckle-free twins of the same faces) reaches as well.

A seed changes everything: training faces, held-out faces, weights, noise. Within a seed all arms draw from the same
noise. Nearer means: nearer to what the real training faces measure, by more than two standard errors of the difference.
A model that copies would be nearest of all, so copying is tested apart: in the last rows, the column of the real
training faces is what perfect copies would read, and a model that comes halfway there (from .5, the share of unrelated
faces) is not accepted. In the table +- is the standard error over the seeds.

Seen 2026-11-23, the VAE, one thread of two x86-64 cores shared with other jobs (which raises the core-seconds), seeds 0
to 2, 2,000 training faces and as many generated, 1,000 held out:
                                        real          VAE           PPCA, k = 512   untrained      blank
  FD[imagelab-ssl-v1], corrected        .0 +- .0      6.5 +- .4     43.9 +- .8      157.8 +- 2.9   21.9 +- .6
  starved detector, AUC                 .50 +- .00    .54 +- .00    .86 +- .01      1.00 +- .00    .65 +- .00
  detector, AUC                         .49 +- .02    .86 +- .01    1.00 +- .00     1.00 +- .00    .91 +- .00
  power at 8-16 c/image, dB             -.02 +- .02   -.18 +- .01   -.27 +- .02     -2.58 +- .02   -.31 +- .01
  power at 16-32 c/image, dB            .01 +- .01    -.41 +- .03   -.66 +- .02     -9.34 +- .16   -.67 +- .03
  pixel variance, ratio                 1.01 +- .01   .98 +- .02    .97 +- .01      .92 +- .02     .99 +- .03
  noise, grey levels                    1.52 +- .00   1.13 +- .02   5.16 +- .01     .58 +- .00     1.11 +- .02
  freckles found a face                 4.73 +- .03   3.99 +- .06   1.19 +- .03     .17 +- .01     .72 +- .02
  corrected by calibration              5.26 +- .04   4.43 +- .06   1.24 +- .04     .09 +- .01     .72 +- .03
  nearer to training faces              .75 +- .00    .57 +- .00    .53 +- .03      .53 +- .02     -
  authenticity                          .00 +- .00    .75 +- .00    .98 +- .00      1.00 +- .00    -
  distance to them, ratio               .00 +- .00    1.21 +- .00   1.68 +- .01     2.13 +- .03    -
  core-s of training                    -             33 +- 5       5 +- 0          2 +- 0         30 +- 3
  core-s of sampling 2,000              -             2 +- 0        1 +- 0          2 +- 0         2 +- 0
It beats both controls in 3 of 3 seeds on FD, both detectors, power at 16-32, noise and freckles, and in none on power
at 8-16 and variance. Freckles are above the blank control in 3 of 3, and four of five are freckles. It stays close to
its training faces (.57, where copies have .75), as a bootstrap of them must, and comes halfway to copying in none.
Visible faults: transparent glasses and haloes of hair, where the prior mixes persons.
How the recipe was chosen (on seed 10 alone, then one change on seeds 0 to 2): with 12 channels of details in place of
16, the default before, FD 7.4 +- .5, starved .56, detector .90, power at 16-32 -.83 +- .02 dB, freckles 4.09: worse in
every seed except for freckles, at the same cost. 24 channels gain as little again (FD 5.6 -> 5.4 on seed 10) and make a
model of 50 MB. On seed 10, where 12 channels have FD 6.6 and 16 have 5.6, reconstructions of unseen faces are at .5 and
-.6, so the remaining distance comes from the prior. Not worth the cost, at 12 channels: twice the images seen 6.4 (53
core-s), batch 16 6.5, both 6.4 (75 core-s), beta .03 6.2, latent 128 6.4, 32 7.0, decoder noise 12.1. At 16: a loss on
log amplitudes 5.5 (better reconstructions, the same prior). In every variant the prior trades FD for copying: smoothing
.6 4.2, .4 2.6 (nearer to training faces .60, .68), 6 neighbours 12.9, 40 6.5; at 24 channels, neighbours by details
too 6.5 to 12.3, by all axes alike 7.9, details mixed separately from the outline 5.4, details from another face at each
place 30.

Seen 2026-11-30, the VAE of experiments/photocopy.py (12,000 images by Muon at a rate of 8e-3, recombined prior),
another machine, other work beside it, seeds 0 to 2, 2,000 training faces and as many generated, 1,000 held out
(assets/vae64.png shows seed 0):
                                        real          VAE           PPCA, k = 512   untrained      blank
  FD[imagelab-ssl-v1], corrected        .0 +- .0      4.4 +- .1     43.9 +- .8      157.5 +- 2.9   23.3 +- .5
  starved detector, AUC                 .50 +- .00    .54 +- .00    .86 +- .01      1.00 +- .00    .67 +- .00
  detector, AUC                         .49 +- .02    .91 +- .00    1.00 +- .00     1.00 +- .00    .94 +- .00
  power at 8-16 c/image, dB             -.02 +- .02   -.31 +- .02   -.27 +- .02     -2.58 +- .02   -.45 +- .01
  power at 16-32 c/image, dB            .01 +- .01    -.40 +- .03   -.66 +- .02     -9.34 +- .16   -.63 +- .03
  pixel variance, ratio                 1.01 +- .01   .98 +- .02    .97 +- .01      .92 +- .02     .98 +- .03
  noise, grey levels                    1.52 +- .00   1.31 +- .04   5.16 +- .01     .58 +- .00     1.32 +- .02
  freckles found a face                 4.73 +- .03   4.21 +- .11   1.19 +- .03     .17 +- .01     .41 +- .01
  corrected by calibration              5.69 +- .04   5.16 +- .12   1.40 +- .04     .11 +- .01     .44 +- .02
  nearer to training faces              .75 +- .00    .57 +- .00    .53 +- .03      .53 +- .02     -
  authenticity                          .00 +- .00    .75 +- .00    .98 +- .00      1.00 +- .00    -
  distance to them, ratio               .00 +- .00    1.14 +- .01   1.68 +- .01     2.13 +- .03    -
  core-s of training                    -             17 +- 1       3 +- 0          2 +- 0         17 +- 1
Of the freckles of real faces .82 are there, net of the blank control (above: .70). The price: the details of a drawn
face are those of one training face, on the outline of others.
How it was found (seed 0, one training each, 1,000 training faces, 1,000 drawn, 800 held out; FD, freckles found where
real faces have 4.66, near-copies). The prior, after 24,000 images by Adam: local 6.5, 3.91, .16. Details of two faces,
.6 of the parent's and .8 of a neighbour's, on the mixed outline 4.7, 4.55, .14; of two neighbours 6.6, 4.70, .09; those
of one neighbour, whole, 5.1, 4.26, .09. Outline and details of two faces 3.0, 4.83, but .69 are copies. Details of two
faces lie on each other like two exposures: .66 of the faces are freckled (real .59), with an ln contrast of .37 (real
.43). Whole ones keep both (.59, .42), so they were taken, although two faces give more freckles. More smoothing has
fewer copies at a greater distance (.9 with 24 neighbours 6.1 and .03, 1 with 16 10.0 and .03), and its loop loses
variance faster. Details near the drawn outline, in place of near the parent, gain nothing (4.8).
The training, with the recombined prior (FD of drawn faces, of copies of held-out ones): Adam at 2e-3, 12,000 images
6.9, 2.0; 24,000 5.1, .5; at 4e-3, 12,000 6.3, 1.4; 16,000 5.8, .9. Muon at 8e-3, 12,000 5.3, .5; 8,000 5.7, .9; 6,000
6.5, 1.7; at 4e-3, 12,000 5.5, .6; 16,000 5.1, .4; at 2e-3, 12,000 6.4, 1.6; at 1.6e-2, 12,000 5.6, .6; 8,000 6.2,
1.1. A step of Muon costs as much as one of Adam here. With 8 channels copies are at 7.5, so no prior comes below.

Seen 2026-11-23, the cascade, the same machine, seeds 0 to 2 (blank: 0 and 1), 2,000 training faces, --made 1000, 1,000
held out (assets/cascade64.png shows seed 0):
                                        real          cascade       PPCA, k = 512   untrained      blank
  FD[imagelab-ssl-v1], corrected        .0 +- .0      13.1 +- .1    44.1 +- 1.2     94.7 +- .6     26.8 +- 1.1
  starved detector, AUC                 .50 +- .00    .62 +- .01    .86 +- .01      .96 +- .00     .72 +- .01
  detector, AUC                         .50 +- .01    .96 +- .00    1.00 +- .00     1.00 +- .00    .97 +- .00
  power at 8-16 c/image, dB             -.02 +- .02   -.55 +- .03   -.28 +- .04     -2.31 +- .04   -.76 +- .02
  power at 16-32 c/image, dB            .01 +- .02    -.94 +- .07   -.65 +- .03     -.90 +- .01    -1.24 +- .02
  pixel variance, ratio                 1.01 +- .01   .89 +- .01    .96 +- .02      .90 +- .01     .88 +- .02
  noise, grey levels                    1.52 +- .00   2.08 +- .01   5.17 +- .00     4.29 +- .02    2.06 +- .02
  freckles found a face                 4.73 +- .04   1.65 +- .09   1.19 +- .02     2.47 +- .05    .33 +- .01
  nearer to training faces              .75 +- .00    .49 +- .01    .52 +- .03      .50 +- .02     -
  core-s of training                    -             380 +- 10     6 +- 0          4 +- 1         386 +- 12
  core-s of sampling 1,000              -             129 +- 5      0 +- 0          135 +- 2       134 +- 7
It beats both controls in 3 of 3 seeds on FD, both detectors and noise, and in none on band powers and variance. Its
freckles are far above the blank control in 2 of 2, and four in five are freckles: they can be counted, and they are a
third of the real ones. (In PPCA and the untrained network, what is counted is noise.) It does not copy. It is twice as
far from real images as the VAE, and ten times as slow.

Seen 2026-11-30, latent diffusion, one thread of 2 x Intel Xeon (another job beside it), seeds 0 to 2, 2,000 training
faces, --made 1000, 1,000 held out (assets/latent64.png shows seed 0):
                                        real          latent        PPCA, k = 512   untrained      blank
  FD[imagelab-ssl-v1], corrected        .0 +- .0      4.6 +- .2     44.0 +- 1.2     57.7 +- .5     21.1 +- .1
  starved detector, AUC                 .50 +- .00    .54 +- .00    .86 +- .01      .92 +- .01     .67 +- .00
  detector, AUC                         .49 +- .02    .89 +- .01    1.00 +- .00     1.00 +- .00    .92 +- .00
  power at 8-16 c/image, dB             -.02 +- .02   -.19 +- .03   -.28 +- .04     -.60 +- .04    -.48 +- .03
  power at 16-32 c/image, dB            .01 +- .01    -.49 +- .06   -.65 +- .03     -1.22 +- .07   -.90 +- .08
  pixel variance, ratio                 1.01 +- .01   .99 +- .01    .96 +- .02      .93 +- .01     .99 +- .01
  noise, grey levels                    1.52 +- .00   1.24 +- .01   5.17 +- .01     1.66 +- .01    1.20 +- .02
  freckles found a face                 4.73 +- .03   3.35 +- .05   1.19 +- .02     5.33 +- .16    .77 +- .02
  corrected by calibration              5.69 +- .04   4.23 +- .07   1.39 +- .03     6.90 +- .24    .97 +- .03
  nearer to training faces              .75 +- .00    .52 +- .01    .53 +- .03      .51 +- .01     -
  authenticity                          .00 +- .00    .79 +- .02    .98 +- .00      .98 +- .00     -
  distance to them, ratio               .00 +- .00    1.20 +- .01   1.67 +- .01     1.74 +- .02    -
  core-s of training                    -             274 +- 11     3 +- 0          55 +- 2        275 +- 10
  core-s of sampling 1,000              -             61 +- 4       1 +- 0          66 +- 3        60 +- 3
It beats both controls in 3 of 3 seeds on FD and both detectors, and in 2 of 3 on power at 16-32. It is nearer to real
faces than the VAE with its local prior (6.5), and it does not copy at all. Freckles are above the blank control in 3 of
3, but net of it they are only .59 to .63 of those that its first stage copies (.8 was the aim); the VAE has more.
"Untrained" draws 5.3, all grain.
The settings before had a first stage of 72,000 images by Adam, and a detail prior of 36,000 images at a rate of 4e-3,
with logits of the times around .2 +- 1.2: FD 4.8 +- .3, power at 16-32 -.96 +- .07, 3.11 +- .05 freckles (its blank
control .81 +- .05), 404 +- 7 core-s, three seeds. With the first stage of today and those priors: FD 4.2, 4.3 and 5.3,
power -.73, -.67 and -.74, 3.12, 3.19 and 3.07 freckles, 353 and 362 core-s on a quiet machine (seeds 2 and 1).
How the recipe was chosen (seed 0 alone, one training each, FD of 1,000 drawn): first stage with beta .1 and 24,000
images, priors of 30,000 images by Adam: 10.3; with targets averaged over the encoder's noise 10.2; first stage with
beta .5 and 72,000 images (4,350 nats a code in place of 9,900, copies at FD .4) 9.3; Muon in place of Adam 8.7, at a
loss lower by 7 %; mean and variance of z matched to the training codes 6.6; of c, too, 4.5. The flows drew z with .93
and c with .91 of the variance of their training codes. A first stage by Muon at 8e-3: 36,000 images, 46 core-s, copies
at FD 1.3 +- .5; 24,000 images, 35 core-s, 2.0 +- .5. Without effect: 36 Heun steps, noise on the outline in sampling,
the whole covariance of z, EMA .99. Worse: crops of 8 x 8 places, batches of 128 and a rate of 3e-3 in the upper prior;
first stages with beta 1 (copies at FD 4.8) or 8 channels (4.8 to 17).
Rate and times of the detail prior, on the first stage of today: c drawn for z of 400 training faces (seed 0, one
training each, the first of 36,000 images, the others of 24,000; FD, power at 16-32, freckles):
  rate     logit of times    FD     power   freckles
  4e-3     .2 +- 1.2         3.0    -.66    3.0
  1.2e-2   .2 +- 1.2         3.9    -.48    3.4
  4e-3     -.5 +- 1          2.6    -.43    3.3
  8e-3     -.5 +- 1          2.5    -.31    3.2       taken
  1.2e-2   -.5 +- .7         2.5    -.19    3.2
  1.2e-2   -1 +- .8          3.2    -.20    3.6       power at 8-16 +.29
Where freckles are lost. None is found on 38 % of 600 held-out faces, eight or more on 30 %; of 1,000 drawn ones 6 % and
4 % (means of three seeds; standard deviation of the count: drawn 2.1, real 4.8, copies by the first stage 4.4). So the
flow draws some freckles on every face, and glasses half transparent. Tried with the settings before, seed 0, 512
drawn, against FD 5.6 +- .7 and 3.17 +- .09 freckles in the same session: batches of 16 (FD 5.4, 3.00) and of 8 (5.0,
3.05, standard deviation 2.3) with as many images; blocks that also read the mean of their channels over all places
(5.2, 3.07); a code of 16 numbers read from c and drawn with z (5.5, 3.24; freckles are not in it, R2 .07); the mean and
variance of c given the outline and such a code as the closed form of the flow (6.2 and 6.7, 3.6, standard deviation
2.1); with 12,000 images, contrasts of c in 4 x 4 regions as in the cascade (10.1 in place of 11.6; R2 of freckles .23
from 32 components). In sampling: velocities beyond the closed form times 1.1 (5.8, 2.70), noise added in each step
(5.8, 3.11). The closed form given the outline alone, almost without a flow, already has FD 12.9.
It is not a missing decision for the whole face, as was believed. A flow that is told the true number of freckles of
each face, in training and in sampling, makes almost no use of it: 2.8 freckles, standard deviation 1.8, correlation
with what it was told .33. A flow that is told the mean of log |c| in 4 x 4 regions (64 components; R2 of the root of
the number .47) has FD 2.5 in place of 3.0, 3.0 freckles, correlation .37. The network does not learn to see freckles in
noisy codes. Of the difference between the codes of a freckled face and of its freckle-free twin, one step of
denoising keeps .91 at t = .2, .80 at .3, .64 at .4, .47 at .5 and .32 at .6, for faces with eight freckles or more and
for those with one to four alike: what a linear filter keeps, and what the closed form alone keeps (.94, .85, .69, .50,
.31). It is no more after 4,500 steps (144,000 images, 868 core-s: FD 3.1, 2.6 freckles) than after 190, nor with 128
channels in each level (2.7, 2.8) or 512 hidden numbers at each place (3.2, 2.8), although the loss falls. The
difference is no small signal: it is 6 % of the variance of c on faces with eight freckles or more, 27 % on their cheeks
(all of this seed 0, one training each, c drawn for z of 400 or 600 training faces).

Seen 2026-11-30, the DDPM on pixels, RECIPES["cpu-64"] (generators/ddpm.py) as JSON, one thread of 2 x Intel Xeon,
another job beside it, seeds 0 to 2, 2,000 training faces, --made 1000, 1,000 held out (assets/ddpm64.png shows seed 0):
                                        real          DDPM          PPCA, k = 512   untrained      blank
  FD[imagelab-ssl-v1], corrected        .0 +- .0      5.3 +- .5     44.0 +- 1.2     76.5 +- 1.2    22.6 +- .5
  starved detector, AUC                 .50 +- .00    .53 +- .00    .86 +- .01      .95 +- .00     .66 +- .00
  detector, AUC                         .49 +- .02    .85 +- .01    1.00 +- .00     1.00 +- .00    .89 +- .00
  power at 8-16 c/image, dB             -.02 +- .02   -.55 +- .03   -.28 +- .04     .07 +- .02     -.67 +- .01
  power at 16-32 c/image, dB            .01 +- .01    -.31 +- .02   -.65 +- .03     .68 +- .01     -.53 +- .01
  pixel variance, ratio                 1.01 +- .01   .97 +- .02    .96 +- .02      1.05 +- .02    .98 +- .02
  noise, grey levels                    1.52 +- .00   2.09 +- .03   5.17 +- .01     3.02 +- .01    2.12 +- .05
  freckles found a face                 4.73 +- .03   1.78 +- .05   1.19 +- .02     3.11 +- .12    .43 +- .01
  corrected by calibration              5.69 +- .04   2.16 +- .08   1.39 +- .03     3.87 +- .16    .48 +- .02
  nearer to training faces              .75 +- .00    .50 +- .00    .53 +- .03      .49 +- .02     -
  authenticity                          .00 +- .00    .74 +- .00    .98 +- .00      .99 +- .00     -
  distance to them, ratio               .00 +- .00    1.10 +- .00   1.67 +- .01     1.98 +- .02    -
  core-s of training                    -             794 +- 21     3 +- 0          10 +- 1        868 +- 13
  core-s of sampling 1,000              -             50 +- 3       1 +- 0          53 +- 6        59 +- 2
It beats both controls in 3 of 3 seeds on FD, both detectors, power at 16-32 and noise, and does not copy at all. On FD
it is near latent diffusion (4.6 +- .2), at three times the price. Its freckles are above the blank control in 3 of 3,
so they are no grain; but corrected and net of it they are .30 of the real ones, fewer than those of latent diffusion
(.59 to .63 of what its first stage copies). As there, every face gets about as few: the standard deviation of the count
is 1.5 (real faces 4.7), on 21 % none is found (real 37 %), eight or more on .2 % (real 30 %; each the mean of three
seeds). "Untrained", the closed form alone, draws 3.1, all grain.

Seen 2026-11-30, 128 px with fine freckles (--size 128 --freckle-style fine), two jobs beside it, seed 0 alone, one
training each, 2,000 training faces, 1,000 held out. Latent diffusion (first stage: 24,000 images by Muon at 8e-3;
detail prior: 18,000 images in batches of 16, at the rate and times of before, 4e-3 and .2 +- 1.2; --made 500):
                                        real          latent        PPCA, k = 512   untrained      blank
  FD[imagelab-ssl-v1], corrected        .0            13.2          89.2            79.9           22.1
  starved detector, AUC                 .50           .65           .98             .97            .68
  power at 16-32 c/image, dB            .01           -.56          -.77            -1.36          -.64
  freckles found a face                 10.38         3.43          .53             10.03          .95
  nearer to training faces              .75           .52           .45             .46            -
  core-s of training                    -             638           10              84             818
  core-s of sampling 500                -             133           1               143            210
The VAE of photocopy with 24,000 images (as JSON), another job beside it, seeds 0 to 2, --made 1000:
                                        real          VAE           PPCA, k = 512   untrained      blank
  FD[imagelab-ssl-v1], corrected        .0 +- .1      6.2 +- .3     90.4 +- 1.7     235.9 +- 1.7   16.8 +- .4
  starved detector, AUC                 .50 +- .00    .57 +- .00    .98 +- .00      1.00 +- .00    .62 +- .01
  power at 8-16 c/image, dB             -.03 +- .02   -.36 +- .01   -.36 +- .02     -2.42 +- .06   -.39 +- .02
  power at 16-32 c/image, dB            .00 +- .01    -.39 +- .03   -.82 +- .01     -8.35 +- .13   -.47 +- .04
  noise, grey levels                    1.30 +- .00   .77 +- .02    6.48 +- .02     .50 +- .00     .77 +- .02
  freckles found a face                 10.41 +- .08  8.16 +- .25   .58 +- .03      .09 +- .01     .77 +- .06
  corrected by calibration              13.67 +- .11  10.90 +- .33  .58 +- .04      -.02 +- .01    .99 +- .10
  nearer to training faces              .75 +- .01    .57 +- .00    .50 +- .02      .52 +- .05     -
  core-s of training                    -             74 +- 3       13 +- 1         16 +- 1        72 +- 3
It beats both controls in 3 of 3 seeds on FD, both detectors, power at 16-32, noise and freckles. Net of the blank
control .72 of the real freckles are there (at 64 px .82). Without controls (seed 0 alone): .06 near-copies, copies of
held-out faces at FD .1; 12,000 images in crops of 64 px (67 core-s) 5.3, 8.33 freckles, copies at -.6. So a VAE whose
details are copied is nearer than a flow that has to draw them (assets/faces128.png).
"""

from __future__ import annotations

import argparse
import json
import math
import os
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np
import torch
from acceptance import BEYOND, CONTROLS, INSTRUMENTS, Arm, Reading, Readings, Table, judge
from PIL import Image, ImageDraw
from pydantic import TypeAdapter

from imagelab.data import Faces, Sample
from imagelab.generators import AnyGenerator, Cascade, Ddpm, Gaussian, LatentDiffusion, RunContext, TrainRecord, Vae
from imagelab.generators.training import fingerprint
from imagelab.images import tile
from imagelab.io.atomic import write_atomic
from imagelab.io.pictures import read_npy, write_png
from imagelab.metrics import Evidence, ImageSet, measure_panel
from imagelab.metrics.freckle_calibration import STYLES, Style
from imagelab.report.grids import INK, MUTED, write_line
from imagelab.run_folder import CHECKPOINT
from imagelab.runs.environment import processor
from imagelab.runs.shard_files import write_npy
from imagelab.seeds import image_seeds, seed_at

MADE: tuple[Arm, ...] = ("model", *CONTROLS, "blank")
FACES = Faces(size=64, freckle_rate=0.6)
PANEL = ("frechet", "detector", "spectrum", "pixel_variance", "freckles", "memorisation", "generalisation")
METER_SECONDS = 5.0  # seconds between two notes of the cost of a training so far

QUICK: dict[str, AnyGenerator] = {
    "vae": Vae(latent=8, details=2, width=8, images_seen=320, batch=16),
    "ddpm": Ddpm(channels=(8, 16), blocks=1, patch=4, images_seen=32, batch=8, noise_steps=20, steps=4),
    "latent_diffusion": LatentDiffusion(
        first_stage=Vae(latent=8, details=2, width=8, images_seen=160, batch=16, prior="normal"),
        images_seen=32,
        batch=8,
        width=16,
        blocks=1,
        detail_widths=(8, 8),
        steps=2,
    ),
    "cascade": Cascade(
        components=12,
        width=16,
        blocks=1,
        detail_widths=(8, 8),
        images_seen=32,
        coarse_share=2,
        batch=8,
        coarse_batch=16,
        steps=2,
        coarse_steps=4,
    ),
}


# -- the arms


@dataclass(frozen=True)
class World:
    """One seed: its training faces with their freckle-free twins, its held-out faces, and how their freckles look."""

    seed: int
    train: Sample
    heldout: np.ndarray
    freckle_style: Style = "countable"


@dataclass(frozen=True)
class Made:
    """The images of an arm, and the core-seconds that training and sampling took."""

    label: str
    images: np.ndarray
    training: float
    sampling: float


def world(seed: int, images: int, heldout: int, faces: Faces = FACES) -> World:
    """Return the faces of a seed."""
    known, unseen = faces.load("train", images, seed), faces.load("heldout", heldout, seed).images
    return World(seed, known, unseen, faces.freckle_style)


def untrained(recipe: Any) -> AnyGenerator:
    """Return the recipe without training: closed forms alone or, if it has none, an initialised network."""
    return recipe.model_copy(update={"images_seen": 0})


def arms(recipe: AnyGenerator, of: World) -> dict[Arm, tuple[AnyGenerator, np.ndarray]]:
    """Return every arm that is fitted: its recipe and its training images."""
    faces, twins = of.train.images, of.train.twins
    if twins is None:
        raise ValueError("first_generation: the dataset makes no freckle-free twins, so there is no blank control")
    ppca = Gaussian(components=512)
    return {
        "model": (recipe, faces),
        "PPCA": (ppca, faces),
        "untrained": (untrained(recipe), faces),
        "blank": (recipe, twins),
    }


class Meter:
    """Core-seconds spent on a training, interrupted attempts included."""

    def __init__(self, note: Path) -> None:
        self.note, self.begun, self.noted = note, time.process_time(), time.monotonic()
        self.before: float = json.loads(note.read_text()) if note.exists() else 0.0

    @property
    def spent(self) -> float:
        """Core-seconds so far."""
        return self.before + time.process_time() - self.begun

    def tell(self, record: TrainRecord) -> None:
        """Write them to the note from time to time."""
        if time.monotonic() - self.noted > METER_SECONDS:
            write_atomic(self.note, json.dumps(self.spent))
            self.noted = time.monotonic()


def make(
    arm: Arm, recipe: AnyGenerator, training: np.ndarray, seed: int, drawn: int, runs: Path, context: RunContext
) -> Made:
    """Fit an arm and draw images from it; what ``runs`` already has is read instead.

    An arm is written to NAME.partial and renamed when it is complete. An interrupted training goes on from its
    checkpoint.

    Raises:
        Interrupted, Diverged: from training (see generators/base.py).
    """
    start = seed_at(seed, "first-generation")
    mark = fingerprint(recipe.model_dump_json(), training, start)
    shard = runs / f"{arm.lower()}-seed-{seed}-{drawn}-{mark[:10]}"
    if not shard.exists():
        partial = shard.with_name(f"{shard.name}.partial")
        partial.mkdir(parents=True, exist_ok=True)
        note = partial / "spent.json"
        meter = Meter(note)
        model = recipe.fit(training, start, replace(context, on_record=meter.tell, checkpoint=partial / CHECKPOINT))
        trained, begun = meter.spent, time.process_time()
        model.save(partial / "model")
        write_npy(partial / "images.npy", model.sample(image_seeds(seed, "sample", 1, 0, range(drawn))))
        cost = {"label": recipe.label, "training": trained, "sampling": time.process_time() - begun}
        write_atomic(partial / "cost.json", json.dumps(cost))
        note.unlink(missing_ok=True)
        partial.rename(shard)
    return Made(images=read_npy(shard / "images.npy"), **json.loads((shard / "cost.json").read_text()))


def read(of: World, images: np.ndarray, training: np.ndarray, features: Path) -> Readings:
    """Measure these images against the held-out faces with every instrument.

    Args:
        of: the faces of the seed.
        images: uint8 [N,3,H,W].
        training: uint8 [M,3,H,W], the images that their model was trained on.
        features: folder in which features are kept.
    """
    evidence = Evidence(
        real=ImageSet(of.heldout, features),
        fake=ImageSet(images, features),
        seed=seed_at(of.seed, "measure"),
        train=ImageSet(training, features),
        freckle_style=of.freckle_style,
    )
    # faces without freckles are nearer to training faces without than to held-out faces with: no sign of copying
    panel = [name for name in PANEL if training is of.train.images or name not in ("memorisation", "generalisation")]
    found = {m.name: m for m in measure_panel(evidence, panel)}
    return {
        name: Reading(m.value, m.stderr or 0.0)
        for name in INSTRUMENTS
        if (m := found.get(name)) is not None and m.value is not None
    }


# -- the output


def averaged(values: Sequence[float], digits: int) -> str:
    """Return "mean +- standard error" over the seeds."""
    if not values:
        return "-"
    error = f" +- {np.std(values, ddof=1) / len(values) ** 0.5:.{digits}f}" if len(values) > 1 else ""
    return f"{np.mean(values):.{digits}f}{error}"


def report_lines(table: Table, made: Mapping[Arm, Sequence[Made]]) -> list[str]:
    """Return the table as lines of text, the costs below."""
    heads = {"model": made["model"][0].label}
    lines = [" " * 34 + "".join(f"{heads.get(arm, arm)[:17]:>18s}" for arm in table)]
    for name, title in INSTRUMENTS.items():
        digits = 1 if "FD" in title else 2
        cells = [averaged([seed[name].value for seed in seeds if name in seed], digits) for seeds in table.values()]
        lines.append(f"{title:34s}" + "".join(f"{cell:>18s}" for cell in cells))
    for cost in ("training", "sampling"):
        cells = [averaged([getattr(one, cost) for one in made[arm]], 0) if arm in made else "-" for arm in table]
        lines.append(f"{f'core-s of {cost}':34s}" + "".join(f"{cell:>18s}" for cell in cells))
    return lines


def draw_sheet(path: Path, made: Made, real: np.ndarray, columns: int = 8, rows: int = 4, scale: int = 2) -> None:
    """Write a PNG: the first generated images next to the first unseen real ones, not selected."""
    count, edge, head, foot = columns * rows, 24, 64, 36
    blocks = [tile(images[:count], columns, scale) for images in (made.images, real)]
    high, wide = blocks[0].shape[:2]
    canvas = Image.new("RGB", (2 * wide + 3 * edge, high + head + foot), (255, 255, 255))
    draw = ImageDraw.Draw(canvas)
    ours = f"{made.label}: made after {made.training / 60:.1f} core-minutes of training"
    captions = (ours, "real faces it never saw")
    for order, (block, words) in enumerate(zip(blocks, captions, strict=True)):
        left = edge + order * (wide + edge)
        canvas.paste(Image.fromarray(block), (left, head))
        write_line(draw, (left, 20), words, 22, INK, wide, bold=True)
    enlarged = (
        f"imagelab · the first {count} of each, not chosen · every pixel enlarged {scale} × {scale}, nothing smoothed"
    )
    write_line(draw, (edge, high + head + 8), enlarged, 18, MUTED, 2 * wide)
    text = {"Title": captions[0]}
    write_png(path, np.asarray(canvas), text, "mixture")


def run(
    recipe: AnyGenerator, seeds: int, images: int, drawn: int, heldout: int, runs: Path, faces: Faces = FACES
) -> tuple[Table, dict[Arm, list[Made]]]:
    """Make every arm of every seed and measure it with all instruments; prints its progress."""
    table: dict[Arm, list[Readings]] = {arm: [] for arm in ("real", *MADE)}
    made: dict[Arm, list[Made]] = {arm: [] for arm in MADE}
    for seed in range(seeds):
        of = world(seed, images, heldout, faces)
        look = partial(read, of, features=runs / "features")
        table["real"].append(look(of.train.images, of.train.images))
        for arm, (asked, training) in arms(recipe, of).items():
            one = make(arm, asked, training, seed, drawn, runs, RunContext())
            made[arm].append(one)
            table[arm].append(look(one.images, training))
            fd = table[arm][-1].get(BEYOND[0], Reading(math.nan))
            print(f"seed {seed}, {arm}: {one.training:.0f} core-s of training, FD {fd.value:.1f}", flush=True)
    return table, made


def asked_for(generator: str, quick: bool) -> AnyGenerator:
    """Return the recipe with a kind's defaults (small ones if ``quick``), or the recipe given as JSON.

    Raises:
        ValueError: if it is neither.
    """
    if generator in QUICK:
        return QUICK[generator] if quick else TypeAdapter(AnyGenerator).validate_python({"kind": generator})
    if not generator.startswith("{"):
        raise ValueError(f"--generator: expected {', '.join(QUICK)} or a recipe as JSON, got {generator!r}")
    return TypeAdapter(AnyGenerator).validate_json(generator)


def where() -> str:
    """Return the machine and the versions that the figures hold for."""
    versions = ", ".join(f"{name} {metadata.version(name)}" for name in ("torch", "diffusers", "accelerate"))
    return f"one thread of {os.cpu_count()} x {processor()}; {versions}"


def main() -> int:
    """Run all arms over the seeds; print the table and the decision, and draw the sheet."""
    options = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    options.add_argument("--generator", default="vae", help="a kind, with its defaults, or a recipe as JSON")
    options.add_argument("--seeds", type=int, default=3)
    options.add_argument("--images", type=int, default=2000, help="training faces")
    options.add_argument("--made", type=int, help="images that each arm draws; --images if not given")
    options.add_argument("--heldout", type=int, default=1000)
    options.add_argument("--size", type=int, default=64, help="side of the faces, px")
    options.add_argument("--freckle-style", choices=STYLES, default="countable", help="how their freckles look")
    options.add_argument("--runs", type=Path, default=Path("runs/first-generation"), help="where models are kept")
    options.add_argument("--sheet", type=Path, help="a PNG of generated and real faces, seed 0")
    options.add_argument("--quick", action="store_true", help="small sizes, one seed, only to see that it runs")
    asked = options.parse_args()
    torch.set_num_threads(1)
    recipe = asked_for(asked.generator, asked.quick)
    seeds, images, heldout = (1, 64, 64) if asked.quick else (asked.seeds, asked.images, asked.heldout)
    asked.runs.mkdir(parents=True, exist_ok=True)
    drawn = asked.made or images
    faces = FACES.model_copy(update={"size": asked.size, "freckle_style": asked.freckle_style})
    table, made = run(recipe, seeds, images, drawn, heldout, asked.runs, faces)
    print(f"\n{recipe!r}\n{images} training faces, {drawn} made, {heldout} held out, {seeds} seeds; {where()}")
    print("\n".join(report_lines(table, made)) + "\n")
    found = judge(table)
    print("\n".join(found.lines()))
    if asked.sheet is not None:
        draw_sheet(asked.sheet, made["model"][0], world(0, images, heldout, faces).heldout)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
