from __future__ import annotations

import numpy as np
import pytest

from imagelab.metrics import neighbours
from imagelab.metrics.neighbours import balls_holding, crossings, nearest, nearest_in_blocks


def apart(left: np.ndarray, right: np.ndarray) -> np.ndarray:
    """All distances, each by direct difference."""
    return np.stack([np.sqrt(((point - right.astype(np.float64)) ** 2).sum(1)) for point in left.astype(np.float64)])


def look_at_every_pair(query, reference, k, exclude_self=False):
    every = apart(query, reference)
    if exclude_self:
        np.fill_diagonal(every, np.inf)
    order = np.argsort(every, axis=1, kind="stable")[:, :k]
    return order, np.take_along_axis(every, order, 1)


@pytest.fixture(params=["near the origin", "far from it", "two far clusters", "float32", "few dimensions"])
def points(request, rng) -> tuple[np.ndarray, np.ndarray]:
    dimensions = 2 if request.param == "few dimensions" else 40
    x, y = rng.standard_normal((300, dimensions)), rng.standard_normal((210, dimensions))
    y[5], y[6], x[100], x[101] = x[7], x[7], x[9], x[9]
    if "far" in request.param:
        x, y = x + 1e5, y + 1e5
    if request.param == "two far clusters":
        x[:150], y[:100] = x[:150] - 2e5, y[:100] - 2e5
    return (x.astype(np.float32), y.astype(np.float32)) if request.param == "float32" else (x, y)


@pytest.mark.parametrize("k", [1, 5])
def test_the_nearest_are_those_of_computing_every_pair(points, k):
    x, y = points
    for query, reference, alone in ((x, y, False), (y, x, False), (x, x, True)):
        index, distance = nearest(query, reference, k, exclude_self=alone)
        expected = look_at_every_pair(query, reference, k, alone)
        np.testing.assert_array_equal(index, expected[0])
        np.testing.assert_array_equal(distance, expected[1])


def test_copies_are_at_exactly_zero_and_ties_go_to_the_lower_index(points):
    x, y = points
    index, distance = nearest(x, y, 2)
    assert index[7].tolist() == [5, 6] and distance[7].tolist() == [0.0, 0.0]
    assert nearest(x, x, 1)[1].max() == 0.0
    own, distance = nearest(x, x, 2, exclude_self=True)
    assert own[[9, 100, 101]].tolist() == [[100, 101], [9, 101], [9, 100]] and (distance[[9, 100, 101]] == 0).all()


def test_a_set_of_copies_has_neighbours_at_zero():
    copies = np.ones((50, 3)) / 3
    index, distance = nearest(copies, copies, 3, exclude_self=True)
    assert index[[0, 1, 49]].tolist() == [[1, 2, 3], [0, 2, 3], [0, 1, 2]] and (distance == 0).all()


def test_balls_contain_what_is_strictly_nearer_than_their_radius(points):
    x, y = points
    radius = nearest(x, x, 5, exclude_self=True)[1][:, -1]
    inside = apart(x, y) < radius[:, None]
    np.testing.assert_array_equal(balls_holding(y, x, radius), inside.sum(0))
    # the fifth neighbour lies on the ball's surface, and so does its copy: neither is inside
    np.testing.assert_array_equal(balls_holding(x, x, radius), (apart(x, x) < radius[:, None]).sum(0))


def test_a_ball_of_radius_0_contains_nothing_and_a_large_one_everything(points):
    x, y = points
    assert not balls_holding(x, x, np.zeros(len(x))).any()
    assert (balls_holding(y, x, np.full(len(x), 1e9)) == len(x)).all()


def test_the_block_size_does_not_change_the_result(points, monkeypatch):
    x, y = points
    whole, radius = nearest(x, y, 4), nearest(x, x, 5, exclude_self=True)[1][:, -1]
    held = balls_holding(y, x, radius)
    monkeypatch.setattr(neighbours, "QUERIES", 37)
    monkeypatch.setattr(neighbours, "REFERENCES", 41)
    for one, other in zip(whole, nearest(x, y, 4), strict=True):
        np.testing.assert_array_equal(one, other)
    np.testing.assert_array_equal(nearest(x, x, 5, exclude_self=True)[1][:, -1], radius)
    np.testing.assert_array_equal(balls_holding(y, x, radius), held)


def test_references_are_read_only_once(points):
    x, y = points
    index, distance = nearest_in_blocks(x, iter([y[:3], y[3:4], y[4:]]), k=5)
    np.testing.assert_array_equal(index, nearest(x, y, 5)[0])
    np.testing.assert_array_equal(distance, nearest(x, y, 5)[1])
    with pytest.raises(ValueError, match="at least 4 references besides the query itself, got 4"):
        nearest_in_blocks(x[:2], iter([x[:4]]), k=4, own=0)


def test_blocks_hold_a_bounded_number_of_numbers():
    wide = np.empty((40, 1 << 20), np.float32)
    assert [len(rows) for _, rows in neighbours.blocks(wide, 1024)] == [16, 16, 8]
    assert [first for first, _ in neighbours.blocks(np.empty((2500, 3)), 1024)] == [0, 1024, 2048]


@pytest.mark.parametrize(
    ("query", "reference", "options", "reason"),
    [
        (np.zeros((3, 2)), np.zeros((3, 4)), {}, r"\[N,D\] and \[M,D\]"),
        (np.zeros((3, 2)), np.zeros((4, 2)), {"exclude_self": True}, "both sets are one"),
        (np.zeros((3, 2)), np.zeros((3, 2)), {"exclude_self": True, "k": 3}, "1 <= k <= 2, got 3"),
        (np.zeros((3, 2)), np.zeros((3, 2)), {"k": 0}, "1 <= k <= 3, got 0"),
        (np.zeros((3, 2)), np.full((3, 2), np.nan), {}, "NaN or infinite"),
    ],
)
def test_invalid_arguments_are_refused(query, reference, options, reason):
    with pytest.raises(ValueError, match=reason):
        nearest(query, reference, **options)


def test_balls_need_a_radius_each():
    with pytest.raises(ValueError, match="a radius for each of 4 centres"):
        balls_holding(np.zeros((3, 2)), np.zeros((4, 2)), np.ones(3))


@pytest.mark.parametrize("sparse", [0, 16, 1 << 30])
def test_crossings_equal_the_comparison_of_every_pair(sparse, points, monkeypatch):
    monkeypatch.setattr(neighbours, "SPARSE", sparse)  # both branches of _Bounds.inside
    monkeypatch.setattr(neighbours, "QUERIES", 37)
    x, y = points
    of_x, of_y = (nearest(each, each, 5, exclude_self=True)[1][:, -1] for each in points)
    every = apart(x, y)
    in_y, in_x = every < of_y, every < of_x[:, None]
    found = crossings(x, y, of_x, of_y)
    expected = (in_y.sum(1), in_y.sum(0)), (in_x.sum(0), in_x.sum(1))
    for pair, other in zip(found, expected, strict=True):
        for one, two in zip(pair, other, strict=True):
            np.testing.assert_array_equal(one, two)
    assert not any(counts.any() for counts in crossings(x, y, None, of_y)[1])


def test_a_cluster_in_the_centre_is_inside_all_balls(rng):
    x, y = rng.standard_normal((90, 60)), 0.01 * rng.standard_normal((70, 60))  # as in a collapsed model
    radius = nearest(x, x, 5, exclude_self=True)[1][:, -1]
    (in_y, holds), (in_x, held) = crossings(y, x, np.zeros(70), radius)
    assert (in_y == 90).all() and (holds == 70).all() and not in_x.any() and not held.any()
