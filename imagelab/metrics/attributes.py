"""Tails: the share of faces that have each attribute, counted by classifiers and corrected for their known errors.

What is rare is lost first: an attribute that occurs in 1 of 200 images only has to be absent from one sample by
chance, and no later generation can learn it. Real images have attribute labels; generated ones do not. So classifiers,
here  probes (attribute_probes.py), predict the attributes. Their result q, the share of faces classified as
positive, is corrected for missed and for false positives (Rogan, Gladen 1978):

    p = (q + Sp - 1) / (Se + Sp - 1).                                                          (1)

A share can also fall without any error of the generator. A perfect generator, which gives each sample the attribute
with the probability that it had in the generation before, drifts as well (Wright-Fisher). :func:`drift_interval` is
this null model; only a share outside of its interval shows an effect of the generator.

What it does not see: an attribute that is still present but weakened (a face paint that has faded below the threshold
counts as absent), artefacts unlike everything that the probes were fitted on, and anything but aligned faces of the
Faces dataset. The error rates are those on sharp renders: ``probes_card()`` has tables of the effect of blur, noise and
ghosts on them. Images beyond :data:`LIMITS` of blur, noise, contrast or saturation have no shares but a reason. Within
them most error rates hold; these do not (experiments/instruments/probe_range.py): at contrast .75 red hair is found on
.62 of the faces that have it and vitiligo on .70, at saturation .75 red hair on .65, at saturation 1.25 albinism on
.38, at noise .035 lipstick is invented on .03 of the others. Trust it from about 1000 faces on, see
:func:`smallest_share`. Freckles have their own counter (``freckles/prevalence``).

References:
    Estimating the prevalence of a disease from a screening test (Rogan, Gladen 1978),
    doi:10.1093/oxfordjournals.aje.a112510.
    Mathematical population genetics (Ewens 2004), section 3.2.
"""

from __future__ import annotations

from ..measurement import Measurement
from ..theory import wright_fisher_bands
from .attribute_probes import Probe, calls_of, probed_sizes, shipped_probes
from .base import Evidence
from .freckle_calibration import calibrated_sizes, shipped_calibration
from .freckle_controls import look_against_real, outside
from .rogan_gladen import corrected, corrected_limits

__all__ = ["CITE", "LIMITS", "attribute_shares", "corrected_share", "drift_interval", "smallest_share"]

CITE = "doi:10.1093/oxfordjournals.aje.a112510"

LIMITS = {"blur": (0.0, 1.5), "noise": (0.0, 9.5), "contrast": (0.75, 1.25), "saturation": (0.75, 1.25)}
"""The range of images (looks.py) for which a share is given; see experiments/instruments/probe_range.py."""


def corrected_share(found: int, n: int, probe: Probe) -> tuple[float, float]:
    """Return the share of faces that have the probe's attribute, equation (1), and its standard error.

    The error includes the sampling error over the faces and the calibration's own errors of Se and Sp (delta method).
    Errors of Se and Sp are common to everything that is measured with one set of probes, so a difference between two
    generations is known better than their errors suggest. The share is not clipped to 0..1, because clipping would bias
    every average of it.

    Args:
        found: faces classified as positive, 0..n.
        n: faces classified, at least 1.
        probe: the attribute's figures.
    """
    if not 0 <= found <= n or n < 1:
        raise ValueError(f"found: expected 0..n of n >= 1 faces, got {found} of {n}")
    return corrected(found, n, probe.sensitivity, probe.specificity)


def smallest_share(probe: Probe, n: int, errors: float = 3.0) -> float:
    """Return the smallest prevalence that n faces distinguish from 0: ``errors`` standard errors at a true share of 0.

    Args:
        probe: the attribute's figures.
        n: faces classified.
        errors: number of standard errors that count as a difference.
    """
    false_positives = round((1 - probe.specificity.value) * n)
    return errors * corrected_share(false_positives, n, probe)[1]


def drift_interval(p0: float, n: int, generation: int, level: float = 0.95) -> tuple[float, float]:
    """Return the interval of shares that drift alone can produce: the central interval of the Wright-Fisher model.

    At least ``level`` of all perfect generators end inside it, bounds included. It does not include measurement error:
    add the standard error of the measured share before you attribute a difference to the generator.

    Args:
        p0: share among the real images, 0..1.
        n: images that each generation learns from and publishes, 2 to 4096.
        generation: 0 for the real images themselves, t for what generation t publishes.
        level: probability inside, 0 < level < 1.

    Example:
        >>> drift_interval(0.01, 1000, 1)
        (0.004, 0.017)
    """
    if not 0 < level < 1 or not 0 <= p0 <= 1 or generation < 0:
        raise ValueError(
            f"expected 0 <= p0 <= 1, generation >= 0 and 0 < level < 1, got {p0}, {generation} and {level}"
        )
    if generation == 0:
        return p0, p0
    low, high = wright_fisher_bands(p0, n, generation, level)[-1]
    return float(low), float(high)


def attribute_shares(evidence: Evidence) -> list[Measurement]:
    """Measure ``tails/<attribute>``, the corrected share of faces that have the attribute, for each probe.

    The interval is that of rogan_gladen.py: binomial limits of q, Se and Sp. For images of another size or without
    colour, and for images whose blur, noise, contrast or saturation lies outside :data:`LIMITS`, the values are missing
    and the reason is given.
    """
    images = evidence.fake.images
    channels, size = images.shape[1], images.shape[-1]
    if channels != 3 or images.shape[-2] != size or size not in probed_sizes():
        sizes = " or ".join(map(str, probed_sizes()))
        why = f"attributes are probed on RGB faces of {sizes} px, not on {channels} x {images.shape[-2]} x {size}"
        return [_row(probe, len(images), missing=why) for probe in shipped_probes().usable]
    probes = shipped_probes(size)
    name = f"probes-{size}@{probes.digest[:8]}"
    if beyond := _outside(evidence, size):
        return [_row(probe, len(images), name, missing=beyond) for probe in probes.usable]
    found = calls_of(evidence.fake, evidence.device).sum(axis=0)
    return [_row(probe, len(images), name, int(count)) for probe, count in zip(probes.usable, found, strict=True)]


def _outside(evidence: Evidence, size: int) -> str:
    """Return why these images lie outside the calibration of the probes, "" if they do not."""
    if size not in calibrated_sizes():
        return ""
    look = look_against_real(evidence, shipped_calibration(size))
    return "" if look is None else outside(look, LIMITS, "the probes' calibration")


def _row(probe: Probe, n: int, instrument: str = "", found: int = 0, missing: str = "") -> Measurement:
    value, stderr = (None, None) if missing else corrected_share(found, n, probe)
    low, high = (None, None) if missing else corrected_limits(found, n, probe.sensitivity, probe.specificity)
    errors = f"Se {probe.sensitivity.value:.3f}, Sp {probe.specificity.value:.4f}"
    return Measurement(
        name=f"tails/{probe.attribute}",
        value=value,
        unit="share",
        n_fake=n,
        stderr=stderr,
        low=low,
        high=high,
        better="two-sided",
        estimator=f"{instrument}, Rogan-Gladen, {errors}" if instrument else "",
        missing=missing,
        cite=CITE,
    )
