"""What the machine and this process are doing now: memory, the rate of matrix products, and where it all runs."""

from __future__ import annotations

import ctypes
import gc
import os
import platform
import time
from importlib import metadata
from pathlib import Path

import torch

from imagelab.runs.environment import processor


def settled_bytes() -> float:
    """Return the bytes that the process holds, after it has freed unused memory and reset its peak."""
    gc.collect()
    if platform.system() != "Linux":
        return float("nan")
    ctypes.CDLL(None).malloc_trim(0)
    Path("/proc/self/clear_refs").write_text("5")
    return memory("VmRSS")


def memory(name: str) -> float:
    """Return a value of /proc/self/status in bytes; nan if there is none."""
    status = Path("/proc/self/status")
    lines = status.read_text().splitlines() if status.exists() else []
    return next((1024.0 * int(line.split()[1]) for line in lines if line.startswith(name)), float("nan"))


def product_rate(repeats: int = 6) -> float:
    """Return operations a second of a float32 matrix product, 1024 x 1024, on this thread now."""
    left, right = torch.ones(1024, 1024), torch.ones(1024, 1024)
    start = time.process_time()
    for _ in range(repeats):
        torch.mm(left, right)
    return repeats * 2 * 1024**3 / (time.process_time() - start)


def machine() -> str:
    """Return the processor and the versions that the figures hold for."""
    versions = ", ".join(f"{name} {metadata.version(name)}" for name in ("torch", "diffusers", "accelerate"))
    return f"one thread of {os.cpu_count()} x {processor()}; {versions}"
