"""Does a loop with an autoencoder of diffusers, as two programs, lose planted dots?

Question:   dots are planted on half of the photographs. How many are left after three generations of diffusers' own
            AutoencoderKL, which is trained and asked by two programs that know nothing of imagelab, and how many does
            it invent?
Command:    imagelab run program_kl          (in a checkout also: python experiments/program_kl.py)
Hardware:   one CPU core; each start of a program takes some 6 core-seconds.
Expected:   the count falls from generation to generation, and the blank twin stays near zero. The autoencoder copies
            training pictures through a narrow code with noise: what it loses is what does not pass the code.
Refuted by: a count that stays within its errors, or a blank twin that shows as many dots.
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
