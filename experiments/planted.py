"""Do planted marks vanish from photographs of real things as freckles do from drawn faces? Dots on brick, retina, cells.

Question:   photographs have no truth list. If dots of known place, size and contrast are planted on half of them before
            the first training, how many are left after three generations of a VAE, and how many does it invent?
Command:    imagelab run planted          (in a checkout also: python experiments/planted.py)
            your own pictures: imagelab run planted --data.base.kind folder --data.base.path DIR
            --data.base.reserve-share .25
            other marks: --data.mark.kind strokes, or --data.mark.kind glyph for rare symbols
Hardware:   two CPU cores, minutes; no GPU, no download.
Expected:   the card of the counter is good (recall above .5, less than .5 false dots an image); the count falls in each
            generation by more than its errors, and the blank twin, the same loop without dots, stays near zero.
Refuted by: a count that stays within its errors, or a blank twin that shows as many dots.
"""

from imagelab import Experiment, Gaussian, Replace, Vae, launch
from imagelab.data import Dots, Planted, Textures

experiment = Experiment(
    name="planted",
    title="Dots planted on photographs, photocopied",
    data=Planted(base=Textures(size=64, photos=("brick", "retina", "cell")), mark=Dots(radius=1.5, number=5)),
    regime=Replace(),
    generator=Vae(details=8, beta=0.3, images_seen=8_000),
    arms=(Gaussian(components=128),),
    generations=3,
    images=600,
    heldout=300,
    tracked=8,
    replicates=3,
    blank_twins=1,
    metrics=("planted", "spectrum", "hf_ratio", "pixel_variance", "frechet", "perceptual_diversity"),
)

if __name__ == "__main__":
    launch(experiment)
