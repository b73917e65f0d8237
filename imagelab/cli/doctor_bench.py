"""``imagelab doctor --bench``: what this device reaches, in about two minutes. It writes and downloads nothing."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict

from rich.table import Table

from ..experiment import Runtime
from ..generators import RunContext
from ..runs.settings import choose_settings
from ..runs.threads import limited
from ..runs.throughput import Peak, Throughput, measured_peak, timed_recipes, timed_throughput
from .console import err, out

__all__ = ["BENCH_SECONDS", "bench", "bench_table", "memory_table"]

BENCH_SECONDS = 100.0
"""After so many seconds nothing further is begun."""


def bench(asked: Runtime, as_json: bool, seconds: float = 5.0, limit: float = BENCH_SECONDS) -> int:
    """Measure, and print a table, or JSON.

    Args:
        asked: device, sampling batch, threads and kernels.
        as_json: print one JSON object in place of the table.
        seconds: timed work of each recipe in training and in sampling.
        limit: see ``BENCH_SECONDS``.
    """
    from pathlib import Path

    settings = choose_settings(asked, {}, 1, Path())
    context = RunContext(settings.device, settings.batch, kernels=settings.kernels)
    for note in settings.notes:
        err.print(note, markup=False)
    with limited(settings.threads):
        began = time.monotonic()
        peak = measured_peak(context, min(2.0, seconds))
        found, left = _measured(peak, context, seconds, lambda: time.monotonic() - began > limit)
    record = {
        "device": device_words(settings.device, settings.threads),
        "kernels": asdict(settings.kernels),
        "peak": asdict(peak),
        "seconds": round(time.monotonic() - began, 1),
        "rows": [asdict(row) for row in found],
        "left_out": left,
    }
    if as_json:
        out.print(json.dumps(record, indent=1), markup=False, soft_wrap=True, highlight=False)
        return 0
    for line in _heading(str(record["device"]), context, peak):
        out.print(line, markup=False)
    out.print(bench_table(found))
    if any(row.fits is not None for row in found):
        out.print(memory_table(found))
    for line in _notes(found, left, context):
        out.print(line, markup=False)
    return 0


def device_words(device: str, threads: int) -> str:
    """Return what was measured: the device, and on a CPU its threads."""
    if not device.startswith("cuda"):
        return f"cpu, {threads} thread{'s' * (threads != 1)}"
    import torch

    return f"{device} ({torch.cuda.get_device_name(device)})"


def bench_table(rows: list[Throughput]) -> Table:
    """Return the speeds as a table of at most 80 columns."""
    table = _table(("images/s", "range", "GF/img", "of peak"))
    for row in rows:
        speeds = [_short(value) for value in (row.rate, row.slowest, row.fastest)]
        table.add_row(
            row.name,
            row.work,
            str(row.batch),
            speeds[0],
            f"{speeds[1]}-{speeds[2]}",
            _short(row.operations / 1e9),
            f"{100 * row.share:.1f} %",
        )
    return table


def memory_table(rows: list[Throughput]) -> Table:
    """Return what an image of a batch takes of a device's memory, and the batch that fits, as a table."""
    table = _table(("MB/image", "batch that fits"))
    for row in rows:
        if row.image_bytes is not None and row.fits is not None:
            table.add_row(row.name, row.work, str(row.batch), _short(row.image_bytes / 1e6), f"{row.fits:,}")
    return table


def _table(columns: tuple[str, ...]) -> Table:
    """Return an empty table whose rows begin with the recipe, the work and the batch."""
    table = Table(box=None, pad_edge=False)
    for name in ("recipe", "work", "batch", *columns):
        table.add_column(name, justify="left" if name in ("recipe", "work") else "right", no_wrap=True)
    return table


def _short(value: float) -> str:
    """Return a number in three digits, from 10,000 on in thousands."""
    return f"{value / 1000:.3g}k" if value >= 9999.5 else f"{value:.0f}" if value >= 99.5 else f"{value:.3g}"


def _measured(
    peak: Peak, context: RunContext, seconds: float, late: Callable[[], bool]
) -> tuple[list[Throughput], list[str]]:
    """Return the measurements, and the recipes that were left out because the time is over."""
    found: list[Throughput] = []
    left: list[str] = []
    for name, (recipe, side) in timed_recipes(context.device).items():
        if late():
            left.append(name)
            continue
        err.print(f"timing {name}", markup=False)
        for row in timed_throughput(name, recipe, side, peak, context, seconds):
            found.append(row)
            if late() and row.work == "training":
                left.append(f"{name} in sampling")
                break
    return found, left


def _heading(device: str, context: RunContext, peak: Peak) -> Iterator[str]:
    kernels = context.kernels
    yield (
        f"device: {device}; compile {'on' if kernels.compile else 'off'}, graphs {'on' if kernels.graphs else 'off'}, "
        f"precision {kernels.precision if context.device != 'cpu' else 'float32'}"
    )
    low = "" if peak.low == peak.single else f"{peak.low / 1e12:.3g} TFLOP/s in bfloat16, "
    single = "float32" if not low or kernels.precision == "full" else "float32 with TF32"
    yield (
        f"measured peak: matrix product {low}{peak.single / 1e12:.3g} TFLOP/s in {single}; "
        f"copy {peak.copies / 1e9:.3g} GB/s (read and written)"
    )


def _notes(rows: list[Throughput], left: list[str], context: RunContext) -> Iterator[str]:
    """Yield what the reader should know of the numbers."""
    yield (
        "images/s: median of the timed spans. GF/img: thousand million floating-point operations. of peak: images/s "
        "x operations / the measured matrix product in the same precision."
    )
    yield "A recipe of several parts is timed in the training of its last part, which takes most of the time."
    sampled = [row for row in rows if row.work == "sampling" and row.fits is not None]
    if sampled:
        best = min(row.fits or 1 for row in sampled)
        yield (
            f"Sampling batch: {best:,} fit for every recipe above, estimated from two batches (--runtime.batch, now "
            f"{context.batch}). It changes rounding only. A training batch is part of the recipe and is never changed."
        )
    if left:
        yield f"Left out, because the time was over: {', '.join(left)}."
