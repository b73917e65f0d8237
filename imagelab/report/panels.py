"""The panels of a page: which curves it shows, in which order, and the title and text of each."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace

from markupsafe import Markup

from ..evaluation.signals import RARE
from ..metrics.features import PRIMARY
from . import curves
from .blur_ruler import Ruler, ruler
from .curves import Plotted
from .numbers import at_floor
from .planted import SHARED, counted_thing, planted_sentences
from .run_view import Run, plain
from .svg import PlotFrame

__all__ = ["OPEN_PANELS", "PANEL_TEXT", "Panel", "family_of", "open_families", "panel_text", "panels", "title_of"]

OPEN_PANELS = (
    "freckles/count",
    "freckles/spread",
    "freckles/net",
    "freckles/corrected",
    "freckles/prevalence",
    "planted/count",
    "planted/net",
    "planted/corrected",
    "symbols",
    "band_power",
    "hf_ratio",
    "pixel_variance",
    "frechet",
    "kernel",
    "fid",
    "fd_dinov2",
    "cmmd",
    "cmmd_b32",
    "kid",
    "mind",
    "prdc",
    "perceptual_diversity",
    "lpips_diversity",
    "vendi",
    "generalisation",
    "detector",
)
"""Measurements whose curves are visible at once, in this order; the others are in a section that opens on a click."""

TITLES = {
    "freckles/count": "Freckles found a face",
    "freckles/spread": "How much the number of freckles differs between faces",
    "freckles/corrected": "Freckles a face, corrected as if the images were sharp",
    "freckles/net": "Freckles a face, net of what the model invents",
    "freckles/prevalence": "Faces with freckles",
    "freckles/contrast": "How dark the freckles are",
    "freckles/blank": "Freckles counted where there are none",
    "freckles/twin": "Freckles counted on images of a model that never saw any",
    "freckles/matched": "Share of freckles that images as unsharp as these would still show",
    "freckles/matched_blank": "Freckles counted where there are none, on real faces as unsharp as these",
    "freckles/noise": "Noise in the images",
    "tails/rare": "The rare ones",
    "tails/hair": "Hair styles",
    "tails/other": "Common attributes",
    "shares/p": "Joint test of all attributes: p",
    "shares/lost": "Number of attributes lost",
    "shares/worst": "Share kept of the attribute that lost most",
    "shares/disparity": "How unequal the losses of the attributes are",
    "band_power": "Energy by size of detail",
    "band_headroom": "Energy above 8-bit rounding",
    "band_power_red": "Energy by size of detail, red",
    "band_power_green": "Energy by size of detail, green",
    "band_power_blue": "Energy by size of detail, blue",
    "spectral_slope": "Slope of the spectrum",
    "log_spectral_distance": "Distance between spectra",
    "frechet_corrected": "Fréchet distance, corrected for the number of images",
    "sliced_w2_corrected": "Sliced Wasserstein distance, corrected for the number of images",
    "detector_starved": "Detector that learns from ten images of each kind",
    "pixel_variance/raw": "Pixel variance, in units of pixels",
    "prdc": "Faithful and varied: precision, recall, density, coverage",
    f"detector/spectrum+{PRIMARY}": "Detector that is shown the spectrum, too",
    "entropy_twins": "Exact duplicates within the set",
    "generalisation_distance": "Distance to the nearest training image",
    "chroma": "Strength of the colours",
    "hue_spread": "Spread of the hues",
    "clipped": "Values at the ends of the scale",
}
"""Titles of measurements; a measurement that is not here has the title of its row of METRICS."""

PANEL_TEXT = {
    "freckles/corrected": "Freckles per face, corrected for what the counter misses and invents on sharp real "
    "images. On images that are blurred or have artefacts of their own it misses and invents more.",
    "freckles/net": "Freckles per face, without the spots that the model adds where there are none. The interval holds "
    "both readings of blur: that freckles hidden by it are lost, and that they are there.",
    "freckles/count": "All spots that the counter finds, false detections included, as a mean over all faces, "
    "freckled or not. The dotted curve is what it finds where there are none.",
    "freckles/spread": "The standard deviation of the number of spots found, over all faces. Real faces have many "
    "freckles or none. A model that gives every face a few can keep the mean, and loses this.",
    "freckles/prevalence": "The share of faces with three freckles or more, corrected for the counter’s errors.",
    "freckles/contrast": "How much darker than the skin the detected freckles are: freckles can fade before they "
    "disappear.",
    "freckles/blank": "Spots counted on freckle-free faces that the model copied: false detections of the counter, and "
    "spots that the model adds.",
    "freckles/twin": "Spots counted on images of the same loop trained on freckle-free faces: what the model adds.",
    "freckles/matched": "Real faces were made as blurred, noisy and pale as the generated ones. This share of their "
    "freckles is still found. If the count fell further, freckles were lost, not only sharpness.",
    "freckles/matched_blank": "Spots counted on freckle-free real faces made as blurred, noisy and pale as these.",
    "freckles/noise": "Noise of the images outside the skin. Noise can be counted as freckles.",
    "symbols": "The share of images with each planted symbol, corrected for the counter’s misses and false detections.",
    "tails/rare": "The share of faces with each rare attribute, corrected for the probes’ misses and false detections.",
    "band_power": "How much energy is left at each size of detail. Small numbers are coarse, large ones fine (cycles "
    "per image); 0 dB is as much as in real images.",
    "band_headroom": "How far the energy at each size of detail is above the rounding noise of 8-bit images; below "
    "6 dB it cannot be measured reliably.",
    "spectral_slope": "How steeply energy falls from coarse detail to fine. The further below 0, the smoother.",
    "log_spectral_distance": "How far the whole spectrum is from the real one; all sizes of detail count equally.",
    "perceptual_diversity": "How different two generated images are on average, measured with features of a network.",
    "frechet": "How far the distribution of generated images is from that of real ones, by the mean and the "
    "covariance of their features.",
    "frechet_corrected": "The Fréchet distance minus the part that the limited number of images adds. It may fall "
    "below 0 by chance.",
    "prdc": "Precision and density: how many of the generated images look real. Recall and coverage: how much of the "
    "variety of real images is still generated. A collapse to typical images keeps the first pair and lowers the "
    "second.",
    "detector_starved": "A detector that is always right cannot rank models. A detector trained on only ten images of "
    "each kind still can.",
    "detector": "How well a detector tells generated images from real ones. A dashed line above .5 means that it tells "
    "two real sets apart as well; only what exceeds that line is of the model.",
    "entropy_twins": "The share of images that have another exact copy in the set.",
    "chroma": "How far apart red, green and blue of a pixel are, on average.",
    "hue_spread": "0 if all images have the same hue, 1 if their hues cancel.",
    "clipped": "The share of values at the ends of the scale, 0 or 255.",
}
"""What a measurement counts, where its row of METRICS describes only the whole row."""

DISTANCES = ("frechet", "frechet_corrected", "kernel", "sliced_w2", "sliced_w2_corrected", "perceptual_diversity")
SPACES = {
    PRIMARY: " The network of these features was trained without labels to respond to blur, noise and small detail.",
    "randconv": " These features were never trained: an effect that appears here as well is not an artefact of the "
    "trained features. Their distances have a different scale.",
}
"""What a reader should know about a feature space."""

BANDED = {
    "band_power": "energy against real images, dB",
    "band_headroom": "energy above rounding noise, dB",
    "band_power_red": "red energy against real images, dB",
    "band_power_green": "green energy against real images, dB",
    "band_power_blue": "blue energy against real images, dB",
    "prdc": "share of images",
    "tails/rare": "share of faces",
    "tails/hair": "share of faces",
    "tails/other": "share of faces",
    "symbols": "share of images",
}
"""Groups of measurements that are drawn into one figure, with its axis title."""


@dataclass(frozen=True)
class Panel:
    """One figure of a page.

    Attributes:
        title: its title.
        what: what it shows.
        small: its small print.
        svg: inline SVG.
        alt: its alternative text.
        key: its name in the address of the page, "" for none.
        source: where it is found in the data.
        frames: where the generations lie in it.
        plotted: its curves.
    """

    title: str
    what: str
    small: str
    svg: Markup
    alt: str
    key: str = ""
    frames: tuple[PlotFrame, ...] = ()
    plotted: tuple[Plotted, ...] = ()
    source: str = ""


def panels(run: Run) -> list[tuple[bool, Panel]]:
    """Return (whether it is visible at once, panel) for every metric with values, in the order of the page."""
    groups: dict[str, list[str]] = {}
    for name in run.names:
        stem = name.split("/")[0]
        if stem not in ("radial_power", "spectrum", "truth") and run.series(name):
            groups.setdefault(_group(run, name), []).append(name)
    order = open_families(run)
    places = {key: order.index(name) for key in groups for name in (key, _family(key)) if name in order}
    drawn = []
    for key in sorted(groups, key=lambda key: places.get(key, len(order))):
        panel, control = _panel(run, key, groups[key]), _is_control(key, groups)
        if panel is not None:
            panel = replace(panel, title=f"Control: {panel.title}") if control else panel
            drawn.append((key in places and not control, panel))
        if key == "freckles/count" and (read := ruler(run)):
            drawn.append((True, _ruler(run, read)))
    return drawn


def _ruler(run: Run, read: Ruler) -> Panel:
    what = (
        f"{read.sentence} Dashed: the count on real faces blurred by a known amount. Dots: generations of the "
        f"{run.model(0)}, each placed at the blur that lowers the count as much. A count in a blurred picture is the "
        "number of freckles that can still be detected. This is a comparison, not a cause; spots that the model adds "
        "are counted as well."
    )
    small = "before correction; the share left under blur is from the counter’s calibration; shaded: 95 % interval"
    return Panel("How much blur would hide as many", what, small, Markup(read.curve.svg), read.curve.alt, "blur-ruler")


def _is_control(key: str, groups: Mapping[str, list[str]]) -> bool:
    """Whether a figure repeats in random features what another figure shows in the primary features."""
    stem, _, part = key.partition("/")
    return part == "randconv" and f"{stem}/{PRIMARY}" in groups


def _group(run: Run, name: str) -> str:
    """Return the key of the figure that a measurement belongs to."""
    stem, _, part = name.partition("/")
    if stem != "tails":
        return stem if stem in BANDED else re.sub(r"-s\d+$", "", name)
    if part.startswith("hair_"):
        return "tails/hair"
    real = run.real(name)
    return "tails/rare" if real is not None and (real.value or 0.0) < RARE else "tails/other"


def open_families(run: Run) -> tuple[str, ...]:
    """Return the families whose figures are visible at once, in order; metrics of the user come first."""
    own = [stem for name in run.own_rows for stem in run.rows[name].gives or (name,)]
    return (*own, *OPEN_PANELS)


def family_of(name: str) -> str:
    """Return the entry of :data:`OPEN_PANELS` that a measurement belongs to, else the first part of its name."""
    return name if name in OPEN_PANELS or name.endswith("/raw") else name.partition("/")[0]


def title_of(run: Run, name: str) -> str:
    """Return the title of a measurement on a page."""
    return _title(run, name, re.sub(r"-s\d+$", "", name))


def _family(key: str) -> str:
    stem, _, part = key.partition("/")
    return key if part == "raw" else stem


def _panel(run: Run, key: str, names: list[str]) -> Panel | None:
    stem, identity, title = key.split("/")[0], "curve-" + re.sub(r"\W", "-", plain(key, 60)), _title(run, names[0], key)
    if key in BANDED:
        curve = curves.bands_curve(run, names, identity, BANDED[key])
    else:
        m = run.series(names[0])[0]
        axis = m.unit or ("distance" if m.better == "lower" else stem.replace("_", " "))
        thing = counted_thing(run)
        control = _control_of(run) if key == thing.count else None
        axis = axis.replace("marks/image", f"{thing.word} an image")
        curve = curves.lines(run, names, identity, plain(axis, 44), control, f"without {thing.word}")
    row = run.row(names[0])
    what = panel_text(run, key) or (row.what if row else "")
    what += " ".join(["", *planted_sentences(run)]) if key == "planted/count" else ""
    what += SPACES.get(key.partition("/")[2], "") if stem in DISTANCES else ""
    slug = re.sub(r"\W+", "-", plain(key, 60)).strip("-")
    return curve and Panel(
        title,
        what,
        _small(run, key, names),
        Markup(curve.svg),
        curve.alt,
        slug,
        curve.frames,
        curve.plotted,
        _source(run, key, names),
    )


def _control_of(run: Run) -> str:
    """Return what is counted where there are no freckles: on a twin of the loop, else on freckle-free copies."""
    controls = counted_thing(run).controls
    return next((name for name in controls if run.series(name)), controls[-1])


def panel_text(run: Run, key: str) -> str:
    """Return what a measurement, or a family, counts; "" where its row of METRICS says it."""
    stem, _, part = key.partition("/")
    if stem == "planted" and part in SHARED:
        return counted_thing(run).told(PANEL_TEXT[f"freckles/{part}"])
    return PANEL_TEXT.get(key) or PANEL_TEXT.get(stem) or ""


def _title(run: Run, name: str, key: str) -> str:
    """Return the title of a measurement; the part after the slash, such as a feature space, is added if needed."""
    stem, _, part = key.partition("/")
    row = run.row(name)
    known = TITLES.get(key) or TITLES.get(stem)
    if stem == "planted" and part in SHARED:
        known = counted_thing(run).told(TITLES[f"freckles/{part}"])
    if known or row is None or (row.gives and stem not in (run.row_name(name), *row.gives[:1])):
        return plain(known or stem.replace("_", " ").capitalize() + (f": {part}" if part else ""), 70)
    if part == "randconv":
        return plain(f"{row.title}, random features", 70)
    return plain(row.title if not part or part == PRIMARY or row.needs else f"{row.title}: {part}", 70)


def _source(run: Run, key: str, names: list[str]) -> str:
    """Return where a curve is found in the data: the measurement, and the feature space it is taken in."""
    name = plain(key.split("/")[0] + "/…" if key in BANDED else names[0], 60)
    space = plain(run.series(names[0])[0].feature_space, 60)
    return f"{name} in metrics.jsonl" + (f", features of {space}" if space else "")


def _small(run: Run, key: str, names: list[str]) -> str:
    """Return the small print of a curve: numbers of images, repeats, theory."""
    m = run.series(names[0])[0]
    pieces = [f"n = {m.n_fake:,} generated" + (f" against {m.n_real:,} real" if m.n_real else "")]
    if any(at_floor(run, m) for name in names for m in run.series(name)):
        pieces.append(
            "open markers: less than 6 dB above the rounding noise of 8-bit images; such a ratio has no meaning"
        )
    if len(names) > 1 and key not in BANDED:
        pieces.append(f"thin lines: {len(names) - 1} repeats with different random features")
    thing = counted_thing(run)
    if names[0] == thing.count and run.series(_control_of(run)):
        twin = "on the faces of the same loop trained on faces without freckles"
        copies = "on freckle-free faces that the model copied"
        pieces.append(thing.told(f"dotted: the count {twin if run.series(thing.name('twin')) else copies}"))
    theory = run.series(names[0], predicted=True)
    if theory:
        pieces.append(plain(f"grey dashes: theory, {theory[0].estimator}, {theory[0].cite}".rstrip(", "), 200))
    return "; ".join(filter(None, pieces))
