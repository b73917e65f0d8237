"""Scores of single pictures against their originals, such as reconstructions: PSNR, SSIM, LPIPS and their controls.

    MSE  = mean (x - y)^2,  x, y in 0..255
    PSNR = 10 log10(255^2 / MSE) dB, infinite for equal pictures; higher is better
    SSIM = mean of (2 m_x m_y + C_1)(2 s_xy + C_2) / ((m_x^2 + m_y^2 + C_1)(s_x^2 + s_y^2 + C_2)), over positions and
           channels

with means m, variances and covariance s under a Gaussian window of 11 x 11 px, sigma = 1.5, only where the window lies
inside; C_1 = (.01 x 255)^2, C_2 = (.03 x 255)^2. It is at most 1; higher is better.

LPIPS needs its weights; PD is the same distance in the package's own encoder, and the distance in a random network is
its control: what a trained distance says beyond it is due to its training. All three are 0 for equal pictures; lower is
better.

Differs from Wang et al.: they average SSIM over one channel of grey; here each channel is scored, as in scikit-image.

References:
    Image quality assessment: from error visibility to structural similarity (Wang et al. 2004),
    doi:10.1109/TIP.2003.819861.
    The unreasonable effectiveness of deep features as a perceptual metric (Zhang et al. 2018), arXiv:1801.03924.
"""

from __future__ import annotations

import numpy as np

from .base import NotMeasurable
from .perceptual import embed
from .weights import WeightsMissing

__all__ = ["PAIRED", "paired_scores", "structural_similarity"]

PAIRED = {
    "mse": ("lower", "squared grey levels"),
    "psnr": ("higher", "dB"),
    "ssim": ("higher", ""),
    "lpips": ("lower", ""),
    "pd": ("lower", ""),
    "random_control": ("lower", ""),
}
"""Name of a score -> its direction and its unit."""

SPACES_OF = {"lpips": "alex", "pd": "imagelab-ssl-v1", "random_control": "randconv-s0"}
WINDOW, SIGMA = 11, 1.5
AT_ONCE = 128  # pictures


def paired_scores(
    real: np.ndarray, fake: np.ndarray, device: str = "cpu"
) -> tuple[dict[str, np.ndarray], dict[str, str]]:
    """Return the scores of each pair, name -> float64 [N], and the reason for each score that could not be taken.

    Args:
        real: uint8 [N,C,H,W].
        fake: uint8 [N,C,H,W], picture by picture the counterpart.
        device: torch device.

    Raises:
        ValueError: for sets of different form, or none.
    """
    if real.shape != fake.shape or not len(real):
        raise ValueError(f"pairs: expected two sets of one form, got {real.shape} and {fake.shape}")
    errors = np.concatenate(
        [
            ((left.astype(np.float64) - right) ** 2).mean(axis=(1, 2, 3))
            for left, right in zip(_parts(real), _parts(fake), strict=True)
        ]
    )
    with np.errstate(divide="ignore"):
        scores = {"mse": errors, "psnr": 10.0 * np.log10(255.0**2 / errors)}
    missing: dict[str, str] = {}
    if min(real.shape[2:]) < WINDOW:
        missing["ssim"] = f"needs pictures of {WINDOW} px a side or more"
    else:
        scores["ssim"] = structural_similarity(real, fake)
    for name, space in SPACES_OF.items():
        try:
            scores[name] = _distances(real, fake, space, device)
        except (WeightsMissing, NotMeasurable) as reason:
            missing[name] = str(reason)
    return scores, missing


def structural_similarity(real: np.ndarray, fake: np.ndarray) -> np.ndarray:
    """Return SSIM of each pair: float64 [N].

    Args:
        real: uint8 [N,C,H,W], 11 px a side or more.
        fake: uint8 [N,C,H,W].
    """
    from skimage.metrics import structural_similarity as of_pair

    form = {"gaussian_weights": True, "sigma": SIGMA, "use_sample_covariance": False, "data_range": 255}
    return np.array([of_pair(x, y, channel_axis=0, win_size=WINDOW, **form) for x, y in zip(real, fake, strict=True)])


def _distances(real: np.ndarray, fake: np.ndarray, space: str, device: str) -> np.ndarray:
    pairs = zip(embed(real, space, device), embed(fake, space, device), strict=True)
    return np.concatenate([((left - right) ** 2).sum(dim=1).double().cpu().numpy() for left, right in pairs])


def _parts(images: np.ndarray) -> list[np.ndarray]:
    return [images[first : first + AT_ONCE] for first in range(0, len(images), AT_ONCE)]
