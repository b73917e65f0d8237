"""How far may images be blurred, noised, pale or rich in contrast before the attribute probes miss or invent too much?

Question:   which range of images may a share of attributes be given for?
Command:    python experiments/instruments/probe_range.py
Hardware:   1 shared CPU core, no GPU: 70 s, of which 45 s draw faces.
Expected:   within imagelab.metrics.attributes.LIMITS most probes keep their error rates.
Refuted by: a probe that is not named below and whose sensitivity falls by more than .1 within the limits.

Sensitivity of rare attributes on 50 enriched held-out faces each, of common ones and every specificity on 1,500
held-out faces at natural rates, of a seed that the calibration has not used. Listed are those of the 24 probes whose
sensitivity changes by .1 or specificity by .01 within the limits; errors are .03 to .06 and .001 to .003.

Seen 2026-11-29, sensitivity / specificity:

    attribute    sharp         blur 1.5 px   noise .035    contrast .75  contrast 1.25 satur. .75    satur. 1.25
    birthmark    .98 / .999    .98 / .999    .96 / .993    .94 / 1.000   1.00 / .988   .96 / 1.000   1.00 / .993
    vitiligo     1.00 / .999   .94 / .999    .94 / .999    .70 / 1.000   1.00 / .993   .90 / .999    .98 / .999
    albinism     .88 / .999    .88 / .998    .78 / .999    .88 / .997    .48 / 1.000   .86 / .997    .38 / 1.000
    beard        .83 / .998    .81 / .990    .80 / .991    .80 / .992    .80 / .997    .86 / .983    .77 / 1.000
    lipstick     .95 / .996    .81 / .999    .94 / .975    .92 / .991    .95 / .994    .87 / .998    .97 / .985
    open smile   1.00 / .995   .99 / .984    .99 / .995    1.00 / .984   .99 / .997    1.00 / .987   1.00 / .994
    grey hair    .96 / 1.000   .97 / .998    .96 / .998    .97 / .989    .95 / 1.000   .97 / .993    .96 / 1.000
    red hair     .95 / 1.000   .95 / 1.000   .94 / 1.000   .62 / 1.000   .95 / .993    .65 / 1.000   .95 / .999

Beyond: at contrast .5 and at saturation .5 red hair is found on none of the faces that have it, vitiligo on .10 and
.68, albinism on .16 and .20, lipstick on .77 and .42; grey hair has specificity .660 at contrast .5. At noise .05
lipstick has specificity .961, albinism sensitivity .66.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from calibrate_attributes import Known, enriched, natural

from imagelab.faces.rare import RARE
from imagelab.metrics.attribute_probes import called, shipped_probes
from imagelab.metrics.degradations import blurred, noised, toned
from imagelab.seeds import rng_at

SEED = 777_123

Damage = Callable[[np.ndarray], np.ndarray]

DAMAGES: dict[str, Damage] = {
    "sharp": lambda images: images,
    "blur 1.5 px": lambda images: blurred(images, 1.5),
    "noise .035": lambda images: noised(images, 0.035, rng_at(SEED, "probe range")),
    "noise .05": lambda images: noised(images, 0.05, rng_at(SEED, "probe range")),
    "contrast .5": lambda images: toned(images, 0.5),
    "contrast .75": lambda images: toned(images, 0.75),
    "contrast 1.25": lambda images: toned(images, 1.25),
    "saturation .5": lambda images: toned(images, 1.0, 0.5),
    "saturation .75": lambda images: toned(images, 1.0, 0.75),
    "saturation 1.25": lambda images: toned(images, 1.0, 1.25),
}


def error_rates(rich: Known, plain: Known, damage: Damage) -> dict[str, tuple[float, float]]:
    """Return (sensitivity, specificity) of each usable probe after the damage.

    Args:
        rich: enriched faces, for the sensitivity of rare attributes.
        plain: faces at natural rates, for all else.
        damage: uint8 [N,3,64,64] -> the same.
    """
    found, calm = called(damage(rich.images)), called(damage(plain.images))
    rates = {}
    for probe in shipped_probes().usable:
        name = probe.attribute
        calls, truth = (found[name], rich.truth[name]) if name in RARE else (calm[name], plain.truth[name])
        rates[name] = (float(calls[truth].mean()), float((~calm[name])[~plain.truth[name]].mean()))
    return rates


def main() -> None:
    """Draw, damage, print."""
    torch.set_num_threads(1)
    rich, plain = enriched("heldout", 650, seed=SEED), natural("heldout", 1500, seed=SEED)
    for label, damage in DAMAGES.items():
        rates = error_rates(rich, plain, damage)
        said = (f"{name} {met:.2f}/{calm:.3f}" for name, (met, calm) in rates.items())
        print(f"{label:16s}" + "  ".join(said), flush=True)


if __name__ == "__main__":
    main()
