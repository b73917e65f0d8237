"""Which curves a page shows, in which order, and the words around each."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace

from markupsafe import Markup

from ..evaluation.stages import RARE
from ..metrics.features import PRIMARY
from . import curves
from .blur_ruler import Ruler, ruler
from .numbers import at_floor
from .run_view import Run, plain

__all__ = ["OPEN_PANELS", "PANEL_TEXT", "Panel", "family_of", "open_families", "panels", "title_of"]

OPEN_PANELS = (
    "freckles/corrected",
    "freckles/count",
    "freckles/prevalence",
    "band_power",
    "hf_ratio",
    "pixel_variance",
    "frechet",
    "kernel",
    "fid",
    "fd_dinov2",
    "kid",
    "mind",
    "prdc",
    "perceptual_diversity",
    "lpips_diversity",
    "vendi",
    "generalisation",
    "detector",
)
"""Measurements whose curves stand open on the page, in this order; all others follow in a fold."""

TITLES = {
    "freckles/count": "Freckles counted, before correction",
    "freckles/corrected": "Freckles a face",
    "freckles/prevalence": "Faces with freckles",
    "freckles/contrast": "How dark the freckles are",
    "freckles/blank": "Freckles counted where there are none",
    "freckles/noise": "Noise in the images",
    "tails/rare": "The rare ones",
    "tails/hair": "Hair styles",
    "tails/other": "Common attributes",
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
    "entropy_twins": "Exact twins within the set",
    "generalisation_distance": "Distance to the nearest training image",
    "chroma": "Strength of the colours",
    "hue_spread": "Spread of the hues",
    "clipped": "Burnt out or black",
}
"""Titles of measurements that deserve words of their own; the others take those of their row of METRICS."""

PANEL_TEXT = {
    "freckles/corrected": "Freckles that can be seen, corrected for those the counter misses and those it invents.",
    "freckles/count": "What the counter finds, right or wrong.",
    "freckles/prevalence": "The share of faces with three freckles or more, corrected for the counter’s errors.",
    "freckles/contrast": "Fading is not vanishing: how much darker than the skin are the freckles that were found?",
    "freckles/blank": "On freckle-free faces copied through the model: what counter and model invent together.",
    "freckles/noise": "Grain of the images away from the skin. Noise can pass for freckles.",
    "tails/rare": "The share of faces with what few real faces have, corrected for what the probes miss and invent.",
    "band_power": "How much detail of each size is left. Small numbers are coarse, large ones fine (cycles an image); "
    "0 dB is as much as in real images.",
    "band_headroom": "How far each size of detail stands above the rounding of 8-bit images; under 6 dB it drowns.",
    "spectral_slope": "How steeply energy falls from coarse detail to fine. The further below 0, the smoother.",
    "log_spectral_distance": "How far the whole spectrum stands from the real one, all sizes of detail taken alike.",
    "perceptual_diversity": "How different two made images are on average, as a network sees them.",
    "frechet": "How far the made images are from the real ones as a crowd: middle and spread of a cloud of features.",
    "frechet_corrected": "The same with the part taken off that too few images add. It may fall below 0 by chance.",
    "prdc": "Precision and density: how much of what is made looks real. Recall and coverage: how much of what is real "
    "is still made. A collapse that keeps only the typical holds the first and loses the second.",
    "detector_starved": "A detector that is always right ranks no models any more; one that saw but ten images of each "
    "kind still does.",
    "entropy_twins": "The share of images that another image of the set repeats exactly.",
    "chroma": "How far red, green and blue of a pixel lie apart, on average.",
    "hue_spread": "0 where all images share one hue, 1 where their hues cancel.",
    "clipped": "The share of values at the very ends of the scale, 0 or 255.",
}
"""What a measurement counts, where its row of METRICS says it only for the whole row."""

DISTANCES = ("frechet", "frechet_corrected", "kernel", "sliced_w2", "sliced_w2_corrected", "perceptual_diversity")
SPACES = {
    PRIMARY: " These features taught themselves, without labels, to notice blur, noise and small detail.",
    "randconv": " These features were never trained: what shows here, too, is no quirk of the trained ones. "
    "Their distances have a scale of their own.",
}
"""What a reader should know of a feature space."""

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
}
"""Groups of measurements that are drawn into one figure, with its axis title."""


@dataclass(frozen=True)
class Panel:
    """One figure of a page with its words."""

    title: str
    what: str
    small: str
    svg: Markup
    alt: str


def panels(run: Run) -> list[tuple[bool, Panel]]:
    """Return (stands open, panel) for every metric with values, in reading order."""
    groups: dict[str, list[str]] = {}
    for name in run.names:
        stem = name.split("/")[0]
        if stem not in ("radial_power", "spectrum", "truth") and run.series(name):
            groups.setdefault(_group(run, name), []).append(name)
    order = open_families(run)
    places = {key: order.index(found) for key in groups for found in (key, _family(key)) if found in order}
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
        f"{read.sentence} Dashed: what the counter finds on real faces blurred by a known amount. Dots: generations "
        f"of the {run.model(0)}, set where blur hides as many. A count in a blurred picture counts the freckles that "
        "can still be detected: this is a comparison, not a cause, and spots that the model invents are counted, too."
    )
    small = "before correction; the share that blur leaves is from the counter’s own trial; shaded: 95 % interval"
    return Panel("How much blur would hide as many", what, small, Markup(read.curve.svg), read.curve.alt)


def _is_control(key: str, groups: Mapping[str, list[str]]) -> bool:
    """Whether a figure repeats, in random features, what stands in the features of the house already."""
    stem, _, part = key.partition("/")
    return part == "randconv" and f"{stem}/{PRIMARY}" in groups


def _group(run: Run, name: str) -> str:
    """Return the figure that a measurement belongs to."""
    stem, _, part = name.partition("/")
    if stem != "tails":
        return stem if stem in BANDED else re.sub(r"-s\d+$", "", name)
    if part.startswith("hair_"):
        return "tails/hair"
    real = run.real(name)
    return "tails/rare" if real is not None and (real.value or 0.0) < RARE else "tails/other"


def open_families(run: Run) -> tuple[str, ...]:
    """Return the families whose figures stand open, in order; metrics of the user's own come first."""
    own = [stem for name in run.own_rows for stem in run.rows[name].gives or (name,)]
    return (*own, *OPEN_PANELS)


def family_of(name: str) -> str:
    """Return the entry of OPEN_PANELS that a measurement belongs to, else the first part of its name."""
    return name if name in OPEN_PANELS or name.endswith("/raw") else name.partition("/")[0]


def title_of(run: Run, name: str) -> str:
    """Return a measurement's title as a page prints it."""
    return _title(run, name, re.sub(r"-s\d+$", "", name))


def _family(key: str) -> str:
    stem, _, part = key.partition("/")
    return key if part == "raw" else stem


def _panel(run: Run, key: str, names: list[str]) -> Panel | None:
    stem, identity, title = key.split("/")[0], "curve-" + re.sub(r"\W", "-", plain(key, 60)), _title(run, names[0], key)
    if key in BANDED:
        curve = curves.bands(run, names, identity, BANDED[key])
    else:
        m = run.series(names[0])[0]
        axis = m.unit or ("distance" if m.better == "lower" else stem.replace("_", " "))
        control = "freckles/blank" if key == "freckles/count" else None
        curve = curves.lines(run, names, identity, plain(axis, 44), control)
    row = run.row(names[0])
    what = PANEL_TEXT.get(key) or PANEL_TEXT.get(stem) or (row.what if row else "")
    what += SPACES.get(key.partition("/")[2], "") if stem in DISTANCES else ""
    return curve and Panel(title, what, _small(run, key, names), Markup(curve.svg), curve.alt)


def _title(run: Run, name: str, key: str) -> str:
    """Return a measurement's title, with its part in words where it has one."""
    stem, _, part = key.partition("/")
    row = run.row(name)
    known = TITLES.get(key) or TITLES.get(stem)
    if known or row is None or (row.gives and stem not in (run.row_name(name), *row.gives[:1])):
        return plain(known or stem.replace("_", " ").capitalize() + (f": {part}" if part else ""), 70)
    if part == "randconv":
        return plain(f"{row.title}, random features", 70)
    return plain(row.title if not part or part == PRIMARY or row.needs else f"{row.title}: {part}", 70)


def _small(run: Run, key: str, names: list[str]) -> str:
    """Return the fine print of a curve: instrument, n, repeats."""
    m = run.series(names[0])[0]
    pieces = [
        f"{plain(key.split('/')[0] + '/…' if key in BANDED else names[0], 60)} in metrics.jsonl",
        f"n = {m.n_fake:,} made" + (f" against {m.n_real:,} real" if m.n_real else ""),
        plain(m.feature_space, 60),
    ]
    if any(at_floor(run, m) for name in names for m in run.series(name)):
        pieces.append("open markers: less than 6 dB above the rounding of 8-bit images, where a ratio means nothing")
    if len(names) > 1 and key not in BANDED:
        pieces.append(f"thin lines: {len(names) - 1} repeats with other random features")
    if names[0] == "freckles/count" and run.series("freckles/blank"):
        pieces.append("dotted: found on freckle-free faces that the model copied, so none are there")
    theory = run.series(names[0], predicted=True)
    if theory:
        pieces.append(plain(f"grey dashes: theory, {theory[0].estimator}, {theory[0].cite}".rstrip(", "), 200))
    return "; ".join(filter(None, pieces))
