"""The torch device of a run: chosen from what was asked for and what is there."""

from __future__ import annotations

import os

__all__ = ["choose_device"]


def choose_device(device: str) -> str:
    """Return the torch device for "auto", "cpu", "cuda" or "cuda:1".

    Raises:
        ValueError: if a CUDA device is asked for that is not there; nothing falls back in silence.
    """
    import torch

    if device == "auto":
        device = "cuda" if torch.cuda.is_available() else "cpu"
    if device.startswith("cuda") and not torch.cuda.is_available():
        raise ValueError(f"runtime.device: {device} was asked for and torch sees no CUDA device. Use cpu or auto.")
    if device == "cuda" and os.environ.get("WORLD_SIZE", "1") != "1":  # under torchrun: each process its own
        return f"cuda:{os.environ['LOCAL_RANK']}"
    return device
