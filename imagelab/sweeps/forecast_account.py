"""Adding up: what the shards of one point cost, from what a recipe and a round cost."""

from __future__ import annotations

from dataclasses import dataclass, field

from ..experiment import Experiment
from ..runs.first_shard import BLANKS
from .forecast_models import ModelCost
from .forecast_rounds import RoundCost

__all__ = ["Account", "PoolSize", "pool_sizes"]

ROW_BYTES = 12  # of the ledger: generation, line and row of an image


@dataclass(frozen=True)
class PoolSize:
    """How large a training set is.

    Attributes:
        published: images in its ledger.
        drawn: fresh images that are drawn for it and never published.
        training: images that the model is fitted to.
    """

    published: int
    drawn: int
    training: int


def pool_sizes(experiment: Experiment, n: int, line: int) -> list[PoolSize]:
    """Return what each generation of a line is trained on (runs/training_set.py).

    Args:
        experiment: the experiment.
        n: images of a generation.
        line: of the run.
    """
    here, fresh, found = experiment.line(line), experiment.fresh_draws, list[PoolSize]()
    for t in range(1, experiment.generations + 1):
        parts = experiment.regime.composition(t, here.role, n, len(here.together))
        size = sum(part.size(n) * part.copies for part in parts)
        made = round(sum(part.size(n) * part.copies * _share_made(part.shards) for part in parts))
        found.append(PoolSize(size, made * (fresh - 1), size * fresh if made else size))
    return found


def _share_made(shards: tuple[tuple[int, int], ...]) -> float:
    """Return which share of these shards, 0..1, models have made."""
    return sum(generation > 0 for generation, _ in shards) / len(shards)


@dataclass
class Account:
    """What the shards that were added cost together.

    Attributes:
        experiment: whose shards they are.
        n: images of a generation.
        round: what shards cost without their models.
        models: what the model of each line costs.
        parts: seconds by what they are spent on.
        make: seconds of making each shard; ``assess``: of measuring it.
        assess: see ``make``.
        drawn: images that models draw.
        disk: bytes without models; ``files``: files, those of models counted.
        files: see ``disk``.
        peak: bytes of memory.
    """

    experiment: Experiment
    n: int
    round: RoundCost
    models: list[ModelCost]
    parts: dict[str, float] = field(default_factory=dict[str, float])
    make: dict[tuple[int, int], float] = field(default_factory=dict["tuple[int, int]", float])
    assess: dict[tuple[int, int], float] = field(default_factory=dict["tuple[int, int]", float])
    drawn: int = 0
    disk: float = 0.0
    files: int = 0
    peak: float = 0.0

    def __post_init__(self) -> None:
        self.pools = [pool_sizes(self.experiment, self.n, line) for line in range(len(self.models))]
        channels, height, width = self.experiment.data.shape
        self.image = channels * height * width

    def add(self, shard: tuple[int, int]) -> None:
        """Add a shard of generation 1 or later."""
        (generation, line), n, cost = shard, self.n, self.round
        here, model, pool = self.experiment.line(line), self.models[line], self.pools[line][generation - 1]
        candidates = self.experiment.curation.candidates(n)
        fresh, training = pool.drawn, pool.training
        blanks = min(BLANKS, self.n) if self.experiment.data.has_twins else 0
        recipe = self.experiment.lines[line]
        fitting = model.fit(training) if not recipe.training_length else model.fit(model.fit.sizes[-1])
        drawing = model.drawn(candidates) + model.drawn(fresh) + model.drawn(self.experiment.tracked)
        drawing += model.copied(self.experiment.tracked) + model.copied(blanks)
        other = cost.seconds["twin_make" if here.blank else "make"](n)
        judging = cost.seconds["twin" if here.blank else "assess"](n)
        self.make[shard], self.assess[shard] = fitting + drawing + other, judging
        for name, seconds in (
            (f"training {recipe.label}", fitting),
            ("drawing images", drawing),
            ("curation, files", other),
            ("measuring", judging),
        ):
            self.parts[name] = self.parts.get(name, 0.0) + seconds
        self.drawn += candidates + fresh
        kind = "twin" if here.blank else "make"
        self.disk += cost.disk[kind](n) + ROW_BYTES * max(0, pool.published - n)
        self.files += cost.files[kind]
        images = (training + 2 * candidates) * self.image
        self.peak = max(self.peak, cost.peak(n), model.fit_peak(training), model.draw_peak + images)

    def kept(self) -> tuple[float, float, int]:
        """Return the bytes of models that stay, the bytes that are there only meanwhile, and the files that stay."""
        keep = self.experiment.runtime.keep or "models"
        added: dict[int, int] = {}
        for _, line in self.make:
            added[line] = added.get(line, 0) + 1
        stays = {line: count if keep == "models" else min(count, 1) * (keep == "last") for line, count in added.items()}
        kept = sum(self.models[line].model_bytes * count for line, count in stays.items())
        files = sum(self.models[line].model_files * count for line, count in stays.items())
        passing = sum(self.models[line].model_bytes for line in added if keep != "models")
        checkpoints = max((self.models[line].checkpoint_bytes for line in added), default=0)
        return float(kept), float(passing + checkpoints), files
