"""The metrics: one literal table, a row an instrument.

Read :class:`~imagelab.metrics.base.Metric` for what a row says, and panel.py for how a panel of them is taken.
Importing this file costs no torch; each instrument imports what it needs when it is used.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Literal

from ..families import Family
from ..measurement import Measurement
from . import (
    clip,
    clipped,
    detector,
    dinov2,
    diversity,
    entropy,
    frechet,
    generalisation,
    kernel,
    likelihood,
    memorisation,
    perceptual,
    planted_row,
    prdc,
    rbf,
    rke,
    shares,
    sliced,
    spectrum,
    texture,
    vendi,
)
from .base import Evidence, Metric, Quantity

__all__ = ["METRICS", "row_of"]


def _freckles(evidence: Evidence) -> list[Measurement]:
    from . import freckle_metric  # reads its calibration and scipy's filters, which nobody else needs

    return freckle_metric.freckle_counts(evidence)


def _tails(evidence: Evidence) -> list[Measurement]:
    from . import attributes  # reads its calibration and theory, which nobody else needs

    return attributes.attribute_shares(evidence)


def _lpips(net: Literal["alex", "vgg", "squeeze"], words: str, weights: str) -> Metric:
    return Metric(
        partial(perceptual.lpips_diversity, net=net),
        title=f"LPIPS diversity ({words})",
        unit="",
        what="How different two made images look on average, as calibrated on people's judgements.",
        blind="Whether they differ by content or by noise; whether they look real.",
        better="two-sided",
        least=50,
        cite=perceptual.CITE,
        needs=(weights,),
        gives=("lpips_diversity",),
    )


_TABLE: dict[str, Metric] = {
    "spectrum": Metric(
        spectrum.spectrum,
        title="Power spectrum",
        unit="dB",
        what="How much detail of each size the images hold, octave by octave, against real images.",
        blind="Where the detail sits and what it shows: noise, hair and freckles of one size are one to it.",
        better="two-sided",
        least=64,
        cite=spectrum.CITE,
        gives=("band_power", "band_headroom", "radial_power", "spectrum", "spectral_slope", "log_spectral_distance"),
        but={
            "band_headroom": Quantity(better="none"),
            "radial_power": Quantity("power", "none"),
            "spectrum": Quantity("power", "none"),
            "spectral_slope": Quantity(""),
            "log_spectral_distance": Quantity(better="lower"),
        },
    ),
    "hf_ratio": Metric(
        spectrum.hf_ratio,
        title="Share of fine detail",
        unit="share",
        what="Which share of the images' energy is finer than a quarter of the pixel grid's limit.",
        blind="It is a sharpness measure: noise raises it as detail does.",
        better="two-sided",
        least=64,
        cite=spectrum.CITE,
    ),
    "spectrum_rgb": Metric(
        spectrum.spectrum_rgb,
        title="Power spectrum, colour by colour",
        unit="dB",
        what="How much detail of each size the red, the green and the blue of the images hold, against real images.",
        blind="Where the detail sits and what it shows; how the colours go together.",
        better="two-sided",
        least=64,
        cite=spectrum.CITE,
        gives=("band_power_red", "band_power_green", "band_power_blue"),
    ),
    "texture": texture.ROW,
    "pixel_variance": Metric(
        diversity.pixel_variance,
        title="Pixel variance",
        unit="ratio",
        what="How much the images differ from each other, pixel by pixel, against how much real ones do.",
        blind="Whether they differ by content or by noise.",
        better="two-sided",
        least=64,
        cite=diversity.CITE,
        but={"pixel_variance/raw": Quantity("squared, pixels 0..1")},
    ),
    "tone": Metric(
        diversity.tone,
        title="Tone",
        unit="of full scale",
        what="How bright, how rich in contrast and how colourful the images are.",
        blind="Everything but these three averages.",
        better="two-sided",
        least=64,
        gives=("brightness", "contrast", "colourfulness"),
        but={"colourfulness": Quantity(cite="doi:10.1117/12.477378")},
    ),
    "colour": Metric(
        diversity.colour,
        title="Colour",
        unit="of full scale",
        what="How strong the colours are, how far the images differ in hue, and how much is burnt out or black.",
        blind="Everything but these averages; where in the picture a colour stands.",
        better="two-sided",
        least=64,
        gives=("chroma", "hue_spread", "clipped"),
        but={"hue_spread": Quantity(""), "clipped": Quantity("share")},
    ),
    "freckles": Metric(
        _freckles,
        title="Freckles",
        unit="freckles/face",
        what="How many freckles a made face has left, counted by a counter that knows how many it misses and invents.",
        blind="Freckles outside the middle of an aligned face, and those fainter than 6 of 255 grey levels. Whether a "
        "freckle that blur hides is there.",
        better="two-sided",
        least=200,
        cite="doi:10.1093/oxfordjournals.aje.a112510",
        but={
            "freckles/blank": Quantity(better="lower"),
            "freckles/contrast": Quantity("ln"),
            "freckles/matched": Quantity("share of freckles"),
            "freckles/matched_blank": Quantity(better="lower"),
            "freckles/noise": Quantity("grey levels"),
            "freckles/prevalence": Quantity("share of faces"),
            "freckles/twin": Quantity(better="lower"),
        },
        suits="faces",
    ),
    "planted": planted_row.ROW,
    "tails": Metric(
        _tails,
        title="Attributes",
        unit="share",
        what="Which share of the faces carries each attribute, by probes that know how many they miss and invent.",
        blind="An attribute half gone, and anything but the aligned 64-pixel faces the probes were calibrated on.",
        better="two-sided",
        least=1000,
        cite="doi:10.1093/oxfordjournals.aje.a112510",
        suits="faces",
    ),
    "shares": shares.ROW,
    "frechet": Metric(
        frechet.frechet,
        title="Fréchet distance (FD, not FID)",
        unit="",
        what="How far the set of generated images is from the real set, seen through a small network for detail.",
        blind="A lost group: a fifth of all faces may be missing and it hardly moves. Random controls see no freckles.",
        better="lower",
        least=1000,
        cite=frechet.CITE,
        gives=("frechet", "frechet_corrected"),
    ),
    "kernel": Metric(
        kernel.kernel,
        title="Kernel distance (KD, not KID)",
        unit="",
        what="How far the set of generated images is from the real set, unbiased at any number of images.",
        blind="What its networks do not notice: single freckles, for the random ones.",
        better="lower",
        least=100,
        cite=kernel.CITE,
    ),
    "kernel_rbf": rbf.ROW,
    "sliced_w2": Metric(
        sliced.sliced,
        title="Sliced Wasserstein distance (SW2, not MIND)",
        unit="",
        what="How far the generated images must be moved to become the real set, seen along random lines.",
        blind="A change that hides in few of many features; a random line hardly meets it.",
        better="lower",
        least=200,
        cite=sliced.CITE,
        gives=("sliced_w2", "sliced_w2_corrected"),
    ),
    "perceptual_diversity": Metric(
        perceptual.perceptual_diversity,
        title="Perceptual diversity (PD, not LPIPS)",
        unit="",
        what="How different two made images look on average, seen through a small trained network.",
        blind="Whether they differ by content or by noise; whether they look real.",
        better="two-sided",
        least=50,
        cite=perceptual.CITE,
    ),
    "vendi": Metric(
        vendi.vendi,
        title="Vendi score",
        unit="images",
        what="How many really different images the set amounts to, its copies and near-copies counted as one.",
        blind="Whether they differ by content or by noise; whether they look real.",
        better="two-sided",
        least=200,
        cite=vendi.CITE,
        gives=("vendi", "vendi_centred"),
    ),
    "rke": rke.ROW,
    "entropy": Metric(
        entropy.entropy,
        title="Entropy",
        unit="nats",
        what="How widely the images spread and how near the nearest ones come: an early warning of copying.",
        blind="All but the ten main ways in which real images differ; noise raises it as variety does.",
        better="two-sided",
        least=500,
        cite=entropy.CITE,
        gives=("entropy", "entropy_twins"),
        but={"entropy_twins": Quantity("share", "lower")},
    ),
    "prdc": Metric(
        prdc.prdc,
        title="Precision, recall, density, coverage",
        unit="share",
        what="How many made images look like some real one, and how much of what is real the made images still cover.",
        blind="What the network does not notice; real against real does not reach 1, so read it by its floor.",
        better="higher",
        least=500,
        cite=prdc.CITE,
        but={"prdc/density": Quantity("")},
    ),
    "clipped_density": clipped.ROW,
    "likelihood": likelihood.ROW,
    "detector": Metric(
        detector.detector,
        title="Detector",
        unit="AUC",
        what="How well a classifier tells made images from real ones that it has not seen: 0.5 is guessing.",
        blind="Lost variety, where every single image still looks right.",
        better="lower",
        least=200,
        cite=detector.CITE,
        gives=("detector", "detector_starved"),
    ),
    "memorisation": Metric(
        memorisation.memorisation,
        title="Memorisation",
        unit="share",
        what="Whether made images are copies: how many lie nearer to a training image than to an unseen one.",
        blind="A copied detail in a new picture; a mirrored copy.",
        better="two-sided",
        least=200,
        cite=memorisation.CITE,
        but={
            "memorisation/closer_to_train": Quantity(cite="arXiv:2004.05675"),
            "memorisation/copies": Quantity(cite="arXiv:2004.05675"),
        },
        uses_training=True,
    ),
    "generalisation": Metric(
        generalisation.generalisation,
        title="Generalisation",
        unit="ratio",
        what="How far the made images keep from the training images, against how far unseen real ones do: 1 is new.",
        blind="A copied detail in a new picture; above 1 it cannot tell invention from error.",
        better="two-sided",
        least=200,
        cite=generalisation.CITE,
        gives=("generalisation", "generalisation_distance"),
        but={"generalisation_distance": Quantity("spreads")},
        uses_training=True,
    ),
    "fid": Metric(
        frechet.fid,
        title="FID",
        unit="",
        what="How far the set of generated images is from the real set, seen through the Inception network.",
        blind="What a classifier of photographs does not need; its value falls with n, so compare equal n only.",
        better="lower",
        least=2048,
        cite=frechet.CITE,
        needs=("inception-2015-12-05",),
        gives=("fid", "fid_corrected"),
    ),
    "kid": Metric(
        kernel.kid,
        title="KID",
        unit="",
        what="How far the set of generated images is from the real set, unbiased at any number of images.",
        blind="What a classifier of photographs does not need.",
        better="lower",
        least=100,
        cite=kernel.CITE,
        needs=("inception-2015-12-05",),
    ),
    "fd_dinov2": Metric(
        partial(frechet.frechet_rows, space=dinov2.NAME, name="fd_dinov2", cite=dinov2.CITE),
        title="FD-DINOv2",
        unit="",
        what="How far the set of generated images is from the real set, seen through a network that learned from "
        "photographs without labels.",
        blind="What that network does not notice; its value falls with n, so compare equal n only.",
        better="lower",
        least=2048,
        cite=dinov2.CITE,
        needs=(dinov2.NAME,),
        gives=("fd_dinov2", "fd_dinov2_corrected"),
    ),
    **clip.ROWS,
    "mind": Metric(
        sliced.mind,
        title="MIND",
        unit="",
        what="How far the made images must be moved to become the real ones, seen through the Inception network.",
        blind="What a classifier of photographs does not need; its value falls with n, so compare equal n only.",
        better="lower",
        least=1000,
        cite=sliced.CITE,
        needs=("inception-2015-12-05",),
        gives=("mind", "mind_corrected"),
    ),
    "lpips": _lpips("alex", "AlexNet", "alexnet"),
    "lpips_vgg": _lpips("vgg", "VGG", "vgg16"),
    "lpips_squeeze": _lpips("squeeze", "SqueezeNet, the smallest of the three: 5 MB", "squeezenet1_1"),
}


def _name(metric: Metric) -> str:
    if not metric.name:
        raise ValueError(
            f'metric {metric.title!r}: expected a name, such as name="saturation"; that is what it is asked by'
        )
    for stem in metric.gives or (metric.name,):
        owner = row_of(stem)
        if owner not in (None, metric.name):
            raise ValueError(
                f"metric {metric.name}: metric {owner} gives measurements named {stem!r}; choose another name"
            )
    return metric.name


METRICS: Family[Metric] = Family(
    "metrics", _TABLE, lambda thing: isinstance(thing, Metric), _name, "an imagelab.metrics.Metric", Metric.facts
)
"""Every metric by the name that settings and the command line use."""


def row_of(name: str, rows: Mapping[str, Metric] | None = None) -> str | None:
    """Return the name of the metric that gives the measurement of this name, None where none does.

    Args:
        name: of a measurement.
        rows: the metrics to look in; ``METRICS`` if not given.

    Example:
        >>> row_of("band_power/16-32")
        'spectrum'
    """
    stem = name.partition("/")[0]
    known = METRICS if rows is None else rows
    return next((row for row, metric in known.items() if stem in (metric.gives or (metric.name or row,))), None)
