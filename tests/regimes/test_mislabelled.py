"""Generated images that pass as real: what is trained on, and that the ledger says what they are."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from pydantic import TypeAdapter

from imagelab import Experiment, Gaussian, Mislabelled, Runtime, Textures
from imagelab.cli.overrides import parse
from imagelab.pool import REAL, RESERVE, Archive
from imagelab.regimes import Accumulate, AnyRegime, Contaminate, Fresh, Golden, Mix, Regime, Replace, Schedule
from imagelab.runs.run import run

MakeArchive = Callable[..., Archive]


def tiny(runs: Path) -> Experiment:
    return Experiment(
        name="tiny",
        data=Textures(size=16),
        generator=Gaussian(components=8),
        regime=Mislabelled(regime=Mix(real_fraction=0.5), rate=0.25),
        generations=2,
        images=24,
        heldout=12,
        tracked=4,
        metrics=("pixel_variance",),
        runtime=Runtime(device="cpu", runs=runs),
    )


@pytest.mark.parametrize(
    ("regime", "rate", "equal"),
    [
        (Mix(real_fraction=0.5), 0.2, Mix(real_fraction=0.4)),
        (Mix(real_fraction=0.5), 1.0, Mix(real_fraction=0.0)),
        (Mix(real_fraction=0.5), 0.0, Mix(real_fraction=0.5)),
        (Contaminate(share=0.0), 0.1, Contaminate(share=0.1)),
        (Contaminate(share=0.2), 0.5, Contaminate(share=0.6)),
        (Replace(), 0.5, Replace()),
    ],
    ids=str,
)
def test_a_false_label_lowers_the_real_share(regime: Regime, rate: float, equal: Regime, archive_of: MakeArchive):
    mislabelled = Mislabelled(regime=regime, rate=rate)  # pyright: ignore[reportArgumentType]
    for generations in (0, 1, 4):
        pools = [each(archive_of(generations, 40), 1, 40, np.random.default_rng(5)) for each in (mislabelled, equal)]
        assert pools[0] == pools[1]
    for generation in (1, 2, 5):
        laws = [each.predictions(generation, 40)[0].value for each in (mislabelled, equal)]
        assert laws[0] == pytest.approx(laws[1], rel=1e-12)


def test_the_ledger_names_what_the_images_are_and_the_regime_inside_what_is_believed(archive_of: MakeArchive):
    believed = Mix(real_fraction=0.5)
    regime, archive = Mislabelled(regime=believed, rate=0.1), archive_of(3, 200)
    pool = regime(archive, 0, 200, np.random.default_rng(0))
    assert believed(archive, 0, 200, np.random.default_rng(0)).share(generation=0) == 0.5
    assert pool.share(generation=0, line=REAL) == pytest.approx(0.45) and pool.share(generation=3, line=0) == 0.55
    assert len(np.unique(pool.names(), axis=0)) == len(pool) == 200
    assert regime.description(1) == "fixed real share"
    assert regime.description(2) == "fixed real share, 10 % of its real images mislabelled"


def test_new_real_images_are_replaced_too_and_none_is_used_twice(archive_of: MakeArchive):
    regime, used = Mislabelled(regime=Fresh(real_fraction=0.5), rate=0.2), []
    reserve = regime.reserve(20, 4)
    for generations in (1, 2, 3):
        pool = regime(archive_of(generations, 20, reserve=reserve), 0, 20, np.random.default_rng(0))
        new = pool.row[pool.line == RESERVE].tolist()
        assert len(new) == 8 and len(pool) == 20 and pool.share(generations, 0) == 0.6
        used += new
    assert len(set(used)) == len(used) and max(used) == reserve - 1


def test_false_images_have_the_weight_of_those_whose_place_they_take(archive_of: MakeArchive):
    pool = Mislabelled(regime=Golden(), rate=0.25)(archive_of(1, 40, reserve=40), 0, 40, np.random.default_rng(0))
    assert len(pool) == 320 and (pool.line == RESERVE).sum() == 5 * 30
    times = np.bincount(pool.row[pool.line == 0], minlength=40)
    assert sorted(times.tolist()) == [3] * 30 + [8] * 10


def test_beside_accumulated_shards_some_real_images_are_false(archive_of: MakeArchive):
    pool = Mislabelled(regime=Accumulate(), rate=0.25)(archive_of(2, 40), 0, 40, np.random.default_rng(0))
    assert len(pool) == 120 and pool.share(line=REAL) == 0.25
    assert (np.bincount(pool.row[pool.generation == 2]) == 2).sum() == 10


def test_a_subsample_of_real_and_generated_images_asks_for_no_number_of_real_ones(archive_of: MakeArchive):
    with pytest.raises(ValueError, match=r"accumulate-subsample draws .* together.*Use subsample = False, or mix"):
        Mislabelled(regime=Accumulate(subsample=True))(archive_of(2, 40), 0, 40, np.random.default_rng(0))


@pytest.mark.parametrize("regime", [Mislabelled(), Schedule(first=Replace(), until=2, then=Mislabelled(rate=0.5))])
def test_it_goes_to_json_and_back_within_a_schedule_too(regime: AnyRegime):
    assert TypeAdapter(AnyRegime).validate_json(regime.model_dump_json()) == regime


def test_it_is_known_on_the_command_line(tmp_path: Path):
    words = "--regime.kind mislabelled --regime.rate 0.3 --regime.regime.kind contaminate --regime.regime.share 0.1"
    asked = parse(tiny(tmp_path).model_copy(update={"regime": Replace()}), words.split(), "tiny")
    assert asked.regime == Mislabelled(regime=Contaminate(share=0.1), rate=0.3)


def test_a_run_keeps_the_true_provenance_of_mislabelled_images(tmp_path: Path):
    folder = run(tiny(tmp_path))
    assert folder.pool(1).share(line=REAL) == 1.0
    pool = folder.pool(2)
    assert pool.share(line=REAL) == pytest.approx(9 / 24) and pool.share(generation=1, line=0) == pytest.approx(15 / 24)
    np.testing.assert_array_equal(folder.gather(pool)[9:], folder.images(1)[pool.row[9:]])
