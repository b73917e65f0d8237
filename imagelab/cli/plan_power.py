"""The part of ``imagelab plan`` that says how many chains and images it takes to see a loss."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from rich.table import Table

from ..io.untrusted import quoted
from ..runs.prepare import split_sizes
from ..sweeps import PointCost
from ..sweeps.power import Design, Pilot, core_seconds_of, designs
from .console import UsageError, out
from .overrides import taken

__all__ = ["PowerPlan", "PowerWords", "asked_power", "power_plan", "tell_power"]

CHAINS = (1, 2, 3, 4, 5, 6, 8, 10, 15, 20)
SHOWN = (1, 2, 3, 5, 10)
FACTORS = (0.25, 0.5, 1.0, 2.0, 4.0)
LEAST_IMAGES = 100


@dataclass(frozen=True)
class PowerWords:
    """What the words of the command line ask for."""

    pilot: Path
    loss: float
    metric: str
    generation: int


@dataclass(frozen=True)
class PowerPlan:
    """What can be seen.

    Attributes:
        pilot: what it rests on.
        words: what was asked.
        generation: at which the loss is looked for.
        table: experiments that could be made.
        core_seconds: what each of them takes; 0 where there is no forecast, because all is finished.
        cheapest: the one that sees the loss for least; None if none does.
        chains: of the experiment as it stands; ``images``: of each of its generations.
        images: see ``chains``.
    """

    pilot: Pilot
    words: PowerWords
    generation: int
    table: tuple[Design, ...]
    core_seconds: tuple[float, ...]
    cheapest: int | None
    chains: int
    images: int

    def record(self) -> dict[str, Any]:
        """Return it as JSON values."""
        table = [
            {**asdict(design), "core_seconds": round(seconds, 1)}
            for design, seconds in zip(self.table, self.core_seconds, strict=True)
        ]
        return {
            "pilot": self.pilot.run,
            "metric": self.pilot.name,
            "generation": self.generation,
            "loss": self.words.loss,
            "smallest_loss_seen": table,
            "cheapest": None if self.cheapest is None else table[self.cheapest],
        }


def asked_power(words: Sequence[str]) -> tuple[PowerWords | None, list[str]]:
    """Return what is asked about power, None where nothing is, and the other words."""
    found, left = {}, list(words)
    for flag in ("--pilot", "--loss", "--metric", "--generation"):
        found[flag], left = taken(left, flag)
    if not found["--pilot"]:
        other = next((flag for flag, value in found.items() if value), "")
        if other:
            raise UsageError(f"{other}: needs --pilot RUN, a finished run whose spread the answer rests on")
        return None, left
    try:
        loss, generation = float(found["--loss"] or 0.1), int(found["--generation"] or 0)
    except ValueError:
        loss, generation = -1.0, 0
    if not 0 < loss <= 1 or generation < 0:
        raise UsageError("--loss: expected a share such as 0.1, and --generation: a number from 1 on")
    return PowerWords(Path(found["--pilot"]), loss, found["--metric"], generation), left


def power_plan(words: PowerWords, cost: PointCost, threads: int) -> PowerPlan:
    """Return what designs like this experiment can see.

    Args:
        words: what is asked.
        cost: forecast of the experiment.
        threads: of each process.
    """
    pilot, experiment = Pilot.read(words.pilot, words.metric), cost.point.experiment
    generation = words.generation or experiment.generations
    now = split_sizes(experiment)["train"]
    sizes = sorted({max(LEAST_IMAGES, round(now * factor)) for factor in FACTORS})
    table = designs(pilot, generation, sorted({*CHAINS, experiment.replicates}), sizes)
    seconds = [threads * core_seconds_of(cost, design.chains, design.images) for design in table]
    enough = [place for place, design in enumerate(table) if design.loss <= words.loss and design.chains > 1]
    cheapest = min(enough, key=lambda place: (seconds[place], table[place].chains * table[place].images), default=None)
    return PowerPlan(pilot, words, generation, tuple(table), tuple(seconds), cheapest, experiment.replicates, now)


def tell_power(plan: PowerPlan) -> None:
    """Print it for a person."""
    pilot, words = plan.pilot, plan.words
    sizes = list(dict.fromkeys(design.images for design in plan.table))
    loss = {(design.chains, design.images): design.loss for design in plan.table}
    out.print(
        f"\nsmallest loss of {pilot.name} at generation {plan.generation} that 9 of 10 experiments see "
        "(two-sided test at 5 %):\n",
        markup=False,
        soft_wrap=True,
    )
    table = Table(box=None, padding=(0, 2, 0, 0))
    for title in ("chains", *(f"{n:,} images" for n in sizes)):
        table.add_column(title, justify="right")
    for chains in sorted({*SHOWN, plan.chains}):
        table.add_row(str(chains), *(_share(loss[chains, n]) for n in sizes))
    out.print(table)
    out.print(f"\n{_answer(plan)}", markup=False, soft_wrap=True)
    seen = [t for t in range(1, len(pilot.values) + 1) if pilot.loss(t) >= words.loss]
    reached = f"from generation {seen[0]} on" if seen else f"in none of its {len(pilot.values)} generations"
    out.print(f"the pilot had lost {words.loss:.0%} or more {reached}", markup=False)
    for line in _assumptions(plan):
        out.print(f"note: {line}", markup=False, soft_wrap=True)


def _answer(plan: PowerPlan) -> str:
    if plan.cheapest is None:
        least = min(plan.table, key=lambda design: design.loss)
        return (
            f"no design here sees a loss of {plan.words.loss:.0%}; {least.chains} chains of {least.images:,} images see"
            f" {_share(least.loss)}. Look at an earlier generation (--generation), where chains differ less"
        )
    best, seconds = plan.table[plan.cheapest], plan.core_seconds[plan.cheapest]
    cost = f", about {seconds / 3600:.2g} core-hours" if seconds else ""
    return f"cheapest for a loss of {plan.words.loss:.0%}: {best.chains} chains of {best.images:,} images{cost}"


def _assumptions(plan: PowerPlan) -> list[str]:
    pilot = plan.pilot
    spread = (
        f"the spread of its {pilot.chains} chains"
        if pilot.chains > 1
        else "a table of how far trainings of other runs differ"
    )
    late = plan.generation > len(pilot.values)
    lines = [
        f"it rests on {quoted(pilot.run, 60)}: {pilot.real:.3g} {pilot.unit} in real images, {pilot.images:,} images a "
        f"generation, and {spread}",
        "held: other trainings, other seeds, other images of the models. Not held: other real images, systematic errors"
        " of the counter, and that the spread itself is known badly (within a factor of about 2)",
        "with more images the error of the images falls, the difference between trainings is taken not to",
    ]
    if late:
        lines.append(f"the pilot has {len(pilot.values)} generations; its last one stands for {plan.generation}")
    lines.append("the row of one chain takes the spread as known; only an experiment of several chains shows its own")
    return lines


def _share(loss: float) -> str:
    return f"{loss:.1%}" if loss < 1 else "> 100%"
