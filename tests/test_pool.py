from __future__ import annotations

import numpy as np
import pytest

from imagelab.pool import REAL, RESERVE, Archive, Pool


def archive_of(generations: int, n: int, lines: int = 1) -> Archive:
    archive = Archive(Pool.of(0, REAL, range(n)), Pool.of(0, RESERVE, range(10 * n)))
    for generation in range(1, generations + 1):
        archive = archive.add(generation, {line: Pool.of(generation, line, range(n)) for line in range(lines)})
    return archive


def test_columns_of_unequal_length_are_refused():
    with pytest.raises(ValueError, match="three columns"):
        Pool(np.zeros(2), np.zeros(3), np.zeros(2))


def test_a_pool_cannot_be_changed():
    with pytest.raises(ValueError, match="read-only"):
        Pool.of(0, REAL, range(3)).row[0] = 7


def test_joining_keeps_order_and_names():
    joined = Pool.concat(Pool.of(0, REAL, range(2)), Pool.of(3, 1, [5]))
    assert joined.names().tolist() == [[0, -1, 0], [0, -1, 1], [3, 1, 5]]
    assert joined.shards() == [(0, -1), (3, 1)]


def test_picking_never_takes_a_row_twice(rng: np.random.Generator):
    assert len(np.unique(Pool.of(1, 0, range(50)).pick(50, rng).row)) == 50


def test_picking_more_than_there_is_is_refused(rng: np.random.Generator):
    with pytest.raises(ValueError, match=r"expected at most 3 images, .* got 4"):
        Pool.of(1, 0, range(3)).pick(4, rng)


def test_the_digest_changes_with_any_row():
    pool = Pool.of(1, 0, range(4))
    assert pool.digest() == Pool.of(1, 0, range(4)).digest()
    assert pool.digest() != pool.take(np.array([0, 1, 3, 2])).digest()


def test_shares_add_up():
    pool = Pool.concat(Pool.of(0, REAL, range(1)), Pool.of(1, 0, range(3)))
    assert pool.share(line=REAL) == 0.25
    assert pool.share(generation=1) == 0.75


def test_an_archive_grows_without_changing_the_old_one():
    before = archive_of(1, 4)
    after = before.add(2, {0: Pool.of(2, 0, range(4))})
    assert (before.generation, after.generation) == (1, 2)
    assert after.latest(0) == Pool.of(2, 0, range(4))
    assert len(after.history(0)) == 2


def test_every_shard_has_an_address():
    archive = archive_of(2, 4, lines=2)
    assert archive.shard(0, REAL) == archive.real and archive.shard(0, RESERVE) == archive.reserve
    assert archive.shard(1, 1) == Pool.of(1, 1, range(4))


def test_before_the_first_generation_the_latest_is_real():
    assert archive_of(0, 4).latest(0).share(line=REAL) == 1.0
