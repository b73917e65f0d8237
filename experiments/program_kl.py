"""Does a loop with an autoencoder of diffusers, as two programs, lose planted dots?

Question:   dots are planted on half of the photographs. How many are left after three generations of diffusers' own
            AutoencoderKL, which is trained and asked by two programs that know nothing of imagelab, and how many does
            it invent?
Command:    imagelab run program_kl          (in a checkout also: python experiments/program_kl.py)
Hardware:   one CPU core; each start of a program takes some 6 core-seconds.
Expected:   the count falls from generation to generation, and the blank twin stays near zero. The autoencoder copies
            training pictures through a narrow code with noise: what it loses is what does not pass the code.
Refuted by: a count that stays within its errors, or a blank twin that shows as many dots.

Seen 2026-11-29, 2 x86-64 cores shared with other work, 10 min on the clock; n = 400 crops of 32 px, 200 held out, seed
0, ONE training of each; +- is one standard error over images, so another training may differ by more. Card on held-out
crops: all dots found, nothing else, nothing on crops without.
                             real          gen. 1        gen. 2        gen. 3
  dots found an image        1.00 +- .05   .54 +- .04    .045 +- .011  .020 +- .007
  found on the blank twin    -             .003 +- .003  .000          .000
  power, 8-16 c/image, dB    -.1 +- .5     -11.2 +- .4   -11.2 +- .5   -11.7 +- .4
Planted were 1.0 dots an image, on half of the crops. Half of them pass the first code, as blurred spots; a blurred spot
hardly passes the second. The loop invents none.
"""

from imagelab import Command, Experiment, Replace, launch
from imagelab.cli.experiments import experiments_folder
from imagelab.data import Dots, Planted, Textures

experiment = Experiment(
    name="program-kl",
    title="Dots planted on photographs, copied by diffusers' own autoencoder",
    data=Planted(base=Textures(size=32, photos=("retina",)), mark=Dots(number=2)),
    regime=Replace(),
    generator=Command(
        name="AutoencoderKL",
        train="{python} kl_train.py --data {images} --out {model} --seed {seed} --images-seen {images_seen}",
        sample="{python} kl_sample.py --model {model} --out {images} --count {count} --seeds {seeds}",
        images_seen=8_000,
        directory=experiments_folder() / "guests",
    ),
    generations=3,
    images=400,
    heldout=200,
    tracked=8,
    blank_twins=1,
    metrics=("planted", "spectrum", "hf_ratio", "pixel_variance"),
)

if __name__ == "__main__":
    launch(experiment)
