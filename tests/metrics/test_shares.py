from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from scipy.stats import fisher_exact

from imagelab.data.faces import Faces
from imagelab.metrics import Evidence, ImageSet, NotMeasurable, measure_panel
from imagelab.metrics.shares import gini, kept_shares, lost_attributes, permutation_p, share_distance, shares

RATES = np.array([0.5, 0.3, 0.2, 0.1, 0.1, 0.05, 0.02, 0.01])


def draw(rng: np.random.Generator, n: int = 500, rates: np.ndarray = RATES) -> np.ndarray:
    return rng.random((n, len(rates))) < rates


def test_the_distance_of_equal_distributions_is_zero_on_average(rng):
    values = [share_distance(draw(rng), draw(rng)) for _ in range(200)]
    assert abs(np.mean(values)) < 4 * np.std(values) / np.sqrt(200)


def test_the_distance_is_the_squared_gap_in_units_of_the_spread(rng):
    real, fake = rng.standard_normal((2, 20_000, 3))
    fake[:, 0] += 0.5
    assert share_distance(real, fake) == pytest.approx(0.25, abs=0.03)
    mix = rng.standard_normal((3, 3))
    assert share_distance(real @ mix, fake @ mix) == pytest.approx(share_distance(real, fake))
    constant = np.c_[real, np.ones(20_000)], np.c_[fake, np.ones(20_000)]
    assert share_distance(*constant) == pytest.approx(share_distance(real, fake), rel=1e-3)


def test_the_p_value_is_uniform_for_equal_sets_and_small_for_a_lost_group(rng):
    null = [permutation_p(draw(rng, 200), draw(rng, 200), seed, 99) for seed in range(200)]
    assert 0.01 <= np.mean(np.array(null) <= 0.05) <= 0.1 and 0.4 < np.mean(null) < 0.6
    lost = RATES.copy()
    lost[3] = 0.01
    assert permutation_p(draw(rng), draw(rng, rates=lost), 0) == pytest.approx(0.001)


def test_each_attribute_is_tested_by_fishers_exact_test(rng):
    real, fake = draw(rng, 60), draw(rng, 50, 0.3 * RATES)
    p = [
        float(fisher_exact([[b.sum(), 50 - b.sum()], [a.sum(), 60 - a.sum()]], alternative="less").pvalue)  # type: ignore[attr-defined]
        for a, b in zip(real.T, fake.T, strict=True)
    ]
    order = sorted(range(8), key=p.__getitem__)
    wanted = np.zeros(8, bool)
    for rank, column in enumerate(order):
        if p[column] > 0.05 / (8 - rank):
            break
        wanted[column] = True
    assert wanted.any() and (lost_attributes(real, fake) == wanted).all()


def test_attributes_are_rarely_called_lost_where_none_is_and_gains_never_are(rng):
    assert sum(lost_attributes(draw(rng, 300), draw(rng, 300)).any() for _ in range(200)) <= 0.05 * 200 + 6
    assert not lost_attributes(draw(rng), draw(rng, rates=np.minimum(3 * RATES, 1.0))).any()


def test_kept_shares_are_corrected_for_false_positives():
    real, fake = np.zeros((1000, 2), bool), np.zeros((1000, 2), bool)
    real[:110, 0], fake[:60, 0] = True, True  # ten of a thousand are false on both sides
    real[:100, 1], fake[:1, 1] = True, True
    assert kept_shares(real, fake, np.array([0.99, 0.998])) == pytest.approx([0.5, 0.0])


def test_the_gini_coefficient_is_that_of_the_lorenz_curve(rng):
    values = rng.random(40)
    ranked = np.sort(values)
    curve = np.concatenate([[0.0], ranked.cumsum() / ranked.sum()])
    assert gini(values) == pytest.approx(1 - np.sum((curve[1:] + curve[:-1]) / 40))
    assert gini(np.zeros(3)) == 0.0 and gini(3 * values) == pytest.approx(gini(values))


@pytest.fixture(scope="module")
def faces() -> tuple[Any, ImageSet]:
    drawn = Faces(size=64, cache=False)
    return drawn.load("train", 560, 3), ImageSet(drawn.load("heldout", 560, 3).images)


def test_a_lost_minority_is_found_and_real_faces_are_not(faces):
    sample, heldout = faces
    kept = ~(sample.attributes["glasses"] | sample.attributes["headscarf"] | sample.attributes["beard"])
    whole, lost = (
        {m.name: m for m in measure_panel(Evidence(heldout, ImageSet(images)), ["shares"])}
        for images in (sample.images, sample.images[kept])
    )
    assert whole["shares/lost"].value == 0 and (whole["shares/p"].value or 0) > 0.01
    assert (lost["shares/lost"].value or 0) >= 2 and lost["shares/p"].value == pytest.approx(0.001)
    for name, direction in (("distance", 2), ("worst", -2), ("disparity", 1.5)):
        before, after = whole[f"shares/{name}"], lost[f"shares/{name}"]
        z = ((after.value or 0) - (before.value or 0)) / np.hypot(before.stderr or 0, after.stderr or 0)
        assert direction * z > 3, name
    assert (lost["shares/worst"].value or 0) < 0.15


def test_images_that_the_probes_cannot_read_are_not_measured(pictures, evidence: Any):
    with pytest.raises(NotMeasurable, match="RGB faces of 64 px"):
        shares(evidence(pictures(8, 32), pictures(8, 32)))
    few = {m.name: m for m in shares(evidence(pictures(30, 64), pictures(30, 64, seed=2)))}
    assert "at least 50 reference images" in few["shares/worst"].missing and few["shares/p"].value is not None
