"""Every curation on candidates whose answer is known: planted fakes, planted clusters, planted rare images."""

from __future__ import annotations

import numpy as np
import pytest
from pydantic import ValidationError

from imagelab import (
    DetectorFilter,
    Farthest,
    HumanAudit,
    KeepAll,
    LatentFilter,
    NearestReal,
    RandomFraction,
    TopFraction,
)
from imagelab.curation import CURATIONS, Candidates, Curation
from imagelab.curation.farthest import farthest_points
from imagelab.curation.latent_filter import off_structure
from imagelab.curation.nearest_real import greedy_match
from imagelab.metrics.base import Evidence, ImageSet
from imagelab.metrics.image_scores import rarity
from imagelab.metrics.neighbours import nearest
from imagelab.seeds import rng_at

CHOOSING = (
    TopFraction(),
    TopFraction(score="rarity"),
    RandomFraction(),
    DetectorFilter(),
    DetectorFilter(error=0.5),
    Farthest(),
    LatentFilter(),
    NearestReal(),
)
LOOKING = tuple(each for each in CHOOSING if not isinstance(each, RandomFraction))


def named(curation: Curation) -> str:
    return " ".join(f"{value}" for value in curation.model_dump().values())


def draw(n: int, seed: int, exponent: float = 1.3, size: int = 32) -> np.ndarray:
    """Smooth random pictures with a power-law spectrum: uint8 [N,3,size,size]."""
    rng = np.random.default_rng(seed)
    waves = np.fft.rfft2(rng.standard_normal((n, 3, size, size)))
    radius = np.hypot(np.fft.fftfreq(size)[:, None], np.fft.rfftfreq(size)[None]) + 1 / size
    detail = np.fft.irfft2(waves / radius**exponent, s=(size, size))
    return np.rint((0.5 + 0.15 * detail / detail.std()).clip(0, 1) * 255).astype(np.uint8)


def near(images: np.ndarray, seed: int, by: float = 6.0) -> np.ndarray:
    """The same images with a little smooth noise each, grey levels."""
    noise = draw(len(images), seed).astype(float) - 127.5
    return np.rint((images + by * noise / noise.std()).clip(0, 255)).astype(np.uint8)


def given(images: np.ndarray, real: np.ndarray, seed: int = 0) -> Candidates:
    return Candidates(images, real, "cpu", rng_at(seed, "curation", 1, 0))


# -- what all of them promise


def test_every_curation_of_the_package_is_tested_here():
    others = {KeepAll, HumanAudit}  # people decide: test_human_audit.py
    assert {type(each) for each in CHOOSING} == set(CURATIONS.values()) - others


@pytest.mark.parametrize("curation", CHOOSING, ids=named)
def test_exactly_n_different_candidates_are_kept_in_the_order_of_drawing(curation: Curation):
    images, real = draw(24, 1), draw(14, 2)
    for n in (1, 7, 12, 24):
        kept = curation.choose(given(images, real), n).check(n, 24)
        assert (np.diff(kept.rows) > 0).all() and kept.reason
    assert (kept.cost["candidates"], kept.cost["looks"]) == (24, 0 if isinstance(curation, RandomFraction) else 38)
    detail = TopFraction(score="detail").choose(given(images, real), 12)
    assert detail.cost["looks"] == 24  # no real image tells it what is wanted


@pytest.mark.parametrize("curation", LOOKING, ids=named)
def test_the_kept_ones_have_the_highest_scores(curation: Curation):
    kept = curation.choose(given(draw(24, 1), draw(14, 2)), 9)
    left_out = np.setdiff1d(np.arange(24), kept.rows)
    assert np.isfinite(kept.scores).all() and kept.scores[kept.rows].min() >= kept.scores[left_out].max()


@pytest.mark.parametrize("curation", CHOOSING, ids=named)
def test_the_same_random_stream_gives_the_same_choice(curation: Curation):
    images, real = draw(24, 1), draw(14, 2)
    first, again = (curation.choose(given(images, real, seed=3), 9) for _ in range(2))
    np.testing.assert_array_equal(first.rows, again.rows)
    np.testing.assert_array_equal(first.scores, again.scores)
    assert first.reason == again.reason


@pytest.mark.parametrize("curation", [each for each in LOOKING if not isinstance(each, TopFraction)], ids=named)
def test_too_few_real_images_or_images_too_small_are_named_with_what_to_do(curation: Curation):
    with pytest.raises(ValueError, match=r"24 candidates and 9 real images: needs at least 10 .* Raise .*heldout"):
        curation.choose(given(draw(24, 1), draw(9, 2)), 9)
    same = np.full((14, 3, 32, 32), 90, np.uint8)
    with pytest.raises(ValueError, match=r"all the same. Raise .* or choose without features: random_fraction"):
        curation.choose(given(draw(24, 1), same), 9)


# -- chance


def test_a_random_choice_is_uniform_and_never_looks():
    images, real = np.zeros((20, 3, 8, 8), np.uint8), np.zeros((0, 3, 8, 8), np.uint8)
    times = np.zeros(20)
    for seed in range(600):
        times[RandomFraction().choose(given(images, real, seed), 10).rows] += 1
    # each count is binomial, of 600 at 1/2: variance 150; their total is fixed, which leaves 19 degrees of freedom
    chi = ((times - 300) ** 2 / 150).sum() * 19 / 20
    assert times.sum() == 6000 and 5 < chi < 45
    assert RandomFraction(fraction=0.25).candidates(10) == TopFraction(fraction=0.25).candidates(10) == 40


# -- detector


def planted(seed: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Half of 80 candidates are like the real images, half blurred, mixed: candidates, which are like, real."""
    genuine = np.random.default_rng(seed).permutation(80) < 40
    images = np.where(genuine[:, None, None, None], draw(80, seed + 1), draw(80, seed + 2, exponent=1.9))
    return images, genuine, draw(80, seed + 3)


def test_the_detector_keeps_the_images_that_are_like_real_ones():
    images, genuine, real = planted(5)
    kept = DetectorFilter().choose(given(images, real), 40)
    assert genuine[kept.rows].mean() >= 0.95
    assert kept.cost["looks"] == 160 and kept.cost["features"] > 16


def test_the_dial_of_the_error_goes_from_the_detector_to_chance():
    images, genuine, real = planted(5)
    right = {}
    for error in (0.0, 0.5, 1.0):
        kept = [DetectorFilter(error=error).choose(given(images, real, seed), 40) for seed in range(8)]
        right[error] = np.mean([genuine[each.rows].mean() for each in kept])
    assert right[0.0] > 0.95 and abs(right[0.5] - 0.75) < 0.07 and abs(right[1.0] - 0.5) < 0.07, right
    assert "chance in 0.5 of the decisions" in DetectorFilter(error=0.5).choose(given(images, real), 40).reason


def test_nobody_is_judged_by_a_detector_that_was_fitted_on_it():
    """Candidates with the law of the real images: a detector that has seen them separates them, a fair one cannot."""
    areas = []
    for seed in range(4):
        kept = DetectorFilter().choose(given(draw(50, 10 + seed), draw(50, 20 + seed), seed), 25)
        areas.append(float(kept.reason.partition("AUC ")[2].split()[0]))
    assert abs(np.mean(areas) - 0.5) < 0.12, areas


def test_a_single_candidate_cannot_be_judged_by_a_detector():
    with pytest.raises(ValueError, match="expected 2 or more, got 1"):
        DetectorFilter().choose(given(draw(1, 1), draw(14, 2)), 1)


@pytest.mark.parametrize("error", [-0.1, 1.1])
def test_the_error_is_a_share(error: float):
    with pytest.raises(ValidationError, match="error"):
        DetectorFilter(error=error)


# -- variety


def test_one_image_of_each_cluster_is_kept():
    kinds = draw(6, 3)
    member = np.random.default_rng(0).permutation(np.repeat(np.arange(6), [40, 3, 3, 1, 1, 2]))
    images = near(kinds[member], seed=4)
    for seed in range(3):
        rows = Farthest().choose(given(images, draw(30, 5), seed), 6).rows
        assert sorted(member[rows]) == [0, 1, 2, 3, 4, 5]


def test_farthest_points_are_those_of_the_definition(rng: np.random.Generator, monkeypatch: pytest.MonkeyPatch):
    points = rng.integers(0, 6, (60, 3)).astype(float)  # with copies and ties
    monkeypatch.setattr("imagelab.curation.farthest.NUMBERS", 21)  # blocks of seven
    rows, _ = farthest_points(points, 60, first=17)
    chosen = [17]
    while len(chosen) < 60:
        left = [row for row in range(60) if row not in chosen]
        gaps = [min(np.linalg.norm(points[row] - points[other]) for other in chosen) for row in left]
        chosen.append(left[int(np.argmax(gaps))])
    assert rows.tolist() == chosen


def test_no_candidate_is_farther_from_a_kept_one_than_the_least_distance_between_kept_ones(rng: np.random.Generator):
    points = rng.normal(size=(200, 4))
    rows, gaps = farthest_points(points, 20, first=0)
    covered = nearest(points, points[rows])[1][:, 0].max()
    apart = nearest(points[rows], points[rows], exclude_self=True)[1].min()
    assert covered <= apart + 1e-12
    np.testing.assert_allclose(np.delete(gaps, rows).max(), covered)


# -- nearest real images


def test_a_real_image_attracts_a_limited_number():
    real = draw(20, 3)
    target = np.random.default_rng(1).permutation(np.repeat(np.arange(13), [20, *[1] * 12]))
    images = near(real[target], seed=4, by=np.where(target == 0, 2.0, 8.0)[:, None, None, None])  # pyright: ignore
    limited = NearestReal(most=2).choose(given(images, real), 14).rows
    assert np.bincount(target[limited], minlength=13).tolist() == [2, *[1] * 12]
    unlimited = TopFraction().choose(given(images, real), 14).rows
    assert (target[unlimited] == 0).all()
    np.testing.assert_array_equal(NearestReal(most=14).choose(given(images, real), 14).rows, unlimited)


def test_matching_is_that_of_all_pairs_in_order(rng: np.random.Generator, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("imagelab.curation.nearest_real.LISTED", 2)  # lists are often too short
    points, targets = rng.normal(size=(40, 3)), rng.normal(size=(12, 3)) * 0.4
    for most, n in ((1, 12), (2, 20), (4, 40)):
        pairs = np.linalg.norm(points[:, None] - targets[None], axis=2)
        taken, room = [], np.full(12, most)
        for row, target in zip(*np.unravel_index(np.argsort(pairs, axis=None), pairs.shape), strict=True):
            if len(taken) < n and row not in taken and room[target]:
                taken.append(row)
                room[target] -= 1
        rows, apart = greedy_match(points, targets, n, most)
        assert rows.tolist() == taken
        assert (np.diff(apart[rows]) >= 0).all() and np.delete(apart, rows).min(initial=np.inf) >= apart[rows].max()


def test_too_few_real_images_for_the_limit_are_named_with_what_to_do():
    with pytest.raises(
        ValueError, match=r"expected 30 images kept.*14 real images: raise `most` to 3, or `heldout` to"
    ):
        NearestReal(most=2).choose(given(draw(40, 1), draw(14, 2)), 30)


# -- rarity


def test_rare_images_that_real_ones_support_are_kept_and_broken_ones_are_not():
    common, rare = draw(2, 3)[:, None]
    real = np.concatenate([near(common.repeat(40, 0), 4, by=10), near(rare.repeat(8, 0), 5, by=10)])
    broken = np.random.default_rng(0).integers(0, 256, (4, 3, 32, 32), np.uint8)
    images = np.concatenate([broken, near(common.repeat(30, 0), 6, by=10), near(real[40:43], 7, by=2)])
    scores = rarity(Evidence(ImageSet(real), ImageSet(images)))
    assert (scores[:4] <= -1).all() and (scores[34:] > 0).all()
    rows = TopFraction(score="rarity").choose(given(images, real), 3).rows
    assert rows.tolist() == [34, 35, 36]
    assert set(TopFraction(score="rarity", best="low").choose(given(images, real), 4).rows) == {0, 1, 2, 3}


# -- the latent filter


def test_the_latent_filter_keeps_what_lies_on_the_structure_of_real_images():
    rng = np.random.default_rng(0)
    ends = draw(3, 5).astype(float)

    def family(count: int) -> np.ndarray:
        """Mixtures of three pictures: a low-dimensional set of images."""
        return np.rint(np.tensordot(rng.dirichlet(np.ones(3), count), ends, 1)).astype(np.uint8)

    real, on, off = family(30), family(12), near(family(12), 6, by=25.0)
    images = np.concatenate([on, off])[rng.permutation(24)]
    kept = LatentFilter(explained=0.95).choose(given(images, real), 12)
    assert {image.tobytes() for image in images[kept.rows]} == {image.tobytes() for image in on}
    assert kept.cost.keys() == {"candidates", "looks", "features", "seconds"} and "30 real images" in kept.reason
    assert kept.scores[kept.rows].min() > -4 and np.median(kept.scores[kept.rows]) == pytest.approx(-1, abs=0.6)


def test_the_distance_from_a_plane_is_that_across_it():
    rng = np.random.default_rng(1)
    turn = np.linalg.qr(rng.standard_normal((5, 5)))[0]
    real = np.pad(rng.standard_normal((40, 2)) * (3.0, 2.0), ((0, 0), (0, 3))) @ turn + 7
    inside, across = rng.standard_normal((6, 2)) * 50, rng.standard_normal((6, 3))
    apart, components = off_structure(np.hstack([inside, across]) @ turn + 7, real, 0.99)
    assert components == 2
    np.testing.assert_allclose(apart, np.linalg.norm(across, axis=1))
    assert off_structure(real, real, 0.5)[1] == 1
