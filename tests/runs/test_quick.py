from __future__ import annotations

from imagelab import Ddpm, Experiment, Faces, Gaussian, Textures, Vae
from imagelab.runs.quick import quick_look


def test_a_quick_look_is_the_same_loop_with_less_of_everything():
    whole = Experiment(
        name="long",
        title="Long",
        data=Faces(size=64),
        generator=Vae(images_seen=12_000, details=8),
        arms=(Gaussian(components=9), Ddpm(images_seen=50_000)),
        generations=10,
        images=1000,
        heldout=800,
        replicates=3,
        blank_twins=1,
        seed=5,
    )
    look = quick_look(whole)
    assert (look.name, look.title) == ("long-quick", "Long (a quick look)")
    assert (look.generations, look.images, look.heldout) == (3, 400, 400)
    assert (look.replicates, look.blank_twins, look.seed) == (1, 0, 5)
    assert look.generator == Vae(images_seen=4000, details=8) and look.arms[0] == whole.arms[0]
    assert look.arms[1] == Ddpm(images_seen=4000)
    assert look.signature != whole.signature and look.data == whole.data


def test_what_is_short_already_stays():
    short = Experiment(data=Textures(size=16), generator=Vae(images_seen=100), generations=2, images=50, heldout=20)
    assert quick_look(short).model_dump(exclude={"name"}) == short.model_dump(exclude={"name"})
