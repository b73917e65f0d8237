"""What does not fit on this machine, by a forecast, in words."""

from __future__ import annotations

from ..io.disk import free_bytes
from ..runs.prepare import SPARE_BYTES
from .forecast import Forecast

__all__ = ["refusals"]


def refusals(forecast: Forecast, memory_free: int) -> list[str]:
    """Return why the work cannot be done on this machine, with numbers and what to change; nothing if it can.

    Args:
        forecast: of the work.
        memory_free: bytes.
    """
    if not forecast.left:
        return []
    runs = forecast.points[0].point.experiment.runtime.runs
    free, found = free_bytes(runs), []
    if forecast.most_disk + SPARE_BYTES > free:
        models = sum(each.models for each in forecast.points)
        change = "Use fewer images or generations, or another disk with --runtime.runs"
        if models > 0.2 * forecast.disk:
            change += f"; --keep none saves {_gb(models)}"
        found.append(
            f"disk: {_gb(forecast.most_disk)} are needed, and {_gb(free)} are free for {runs} "
            f"({_gb(SPARE_BYTES)} are left alone). {change}."
        )
    together = forecast.peak * forecast.processes
    if together > memory_free:
        fit = int(memory_free // max(forecast.peak, 1))
        flag = "--jobs"
        change = f"Use {flag} {fit}" if fit else "Use fewer images, a smaller batch, or a larger machine"
        found.append(
            f"memory: {forecast.processes} processes of {_gb(forecast.peak)} need {_gb(together)}, and "
            f"{_gb(memory_free)} are free. {change}."
        )
    return found


def _gb(count: float) -> str:
    return f"{count / 1e9:.2f} GB"
