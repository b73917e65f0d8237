from __future__ import annotations

import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any, NoReturn

import numpy as np
import pytest
from PIL import Image

from imagelab.cli.entry import main
from imagelab.data.faces import Faces
from imagelab.experiment import signature_of
from imagelab.pool import REAL, Pool
from imagelab.run_folder import RunFolder
from imagelab.runs.shard_files import write_images, write_measurements, write_npy

N = 12
"""Pictures of each generation of the run."""


@pytest.fixture(autouse=True)
def _own_configuration(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path_factory.mktemp("configuration")))


@pytest.fixture
def no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    """Any use of a socket fails the test."""

    def refuse(*arguments: Any, **named: Any) -> NoReturn:
        raise AssertionError(f"a socket was asked for: {arguments} {named}")

    for name in ("socket", "create_connection", "getaddrinfo"):
        monkeypatch.setattr(socket, name, refuse)


@pytest.fixture(scope="session")
def faces() -> np.ndarray:
    """Drawn faces, uint8 [4 N,3,64,64]."""
    return Faces(size=64, freckle_rate=0.6, cache=False).load("train", 4 * N, 5).images


@pytest.fixture
def run(tmp_path: Path, faces: np.ndarray) -> RunFolder:
    """A run of two generations and two lines; what its models "made" are drawn faces, softened and with noise."""
    experiment = {
        "seed": 3,
        "data": {"kind": "faces", "size": 64},
        "regime": {"kind": "mix"},
        "generator": {"kind": "vae"},
        "generations": 2,
    }
    config = {"schema": 1, "signature": signature_of(experiment), "experiment": experiment}
    labels = {"imagelab": "0.1.0", "labels": {"0": "VAE", "1": "PPCA"}, "n": N}
    run = RunFolder.create(tmp_path / "runs" / "photocopy-1a2b3c4d", config, labels)
    rng = np.random.default_rng(1)
    for generation, line in [(0, REAL), (1, 0), (1, 1), (2, 0), (2, 1)]:
        shard = run.begin(generation, line)
        drawn = faces[N * max(generation, 0) :][:N] if line < 1 else faces[3 * N :][:N]
        noise = rng.normal(0, 6 * generation, drawn.shape)
        images = np.clip(drawn + noise, 0, 255).round().astype(np.uint8)
        half = np.arange(N // 2)
        before = (
            Pool.of(0, REAL, range(N))
            if generation < 2
            else Pool.concat(Pool.of(1, line, half), Pool.of(0, REAL, half))
        )
        write_images(shard, images, before)
        write_npy(shard / "probe.npy", np.clip(images[:2].astype(int) + 3, 0, 255).astype(np.uint8))
        if generation == 0:
            write_npy(shard / "heldout.npy", np.ascontiguousarray(images[:4, :, ::-1]))
        else:
            (shard / "model").mkdir()
            (shard / "model" / "weights.bin").write_bytes(bytes([generation, line]) * 50)
        write_measurements(shard, [])
        sources = [] if generation == 0 else before.shards()
        run.commit(generation, line, sources)
    return run


@pytest.fixture
def picture(tmp_path: Path, run: RunFolder) -> Callable[..., Path]:
    """Return a function that writes a row of the run as a picture file, as imagelab exports it but without marks."""

    def write(name: str = "row.png", generation: int = 2, line: int = 0, row: int = 3, **how: Any) -> Path:
        path = tmp_path / name
        image_of(run.images(generation, REAL if generation == 0 else line)[row]).save(path, **how)
        return path

    return write


def image_of(pixels: np.ndarray) -> Image.Image:
    """Return a picture of uint8 [3,H,W]."""
    return Image.fromarray(np.ascontiguousarray(np.asarray(pixels).transpose(1, 2, 0)))


def exit_code(*words: object) -> int:
    with pytest.raises(SystemExit) as stopped:
        main([str(word) for word in words])
    return int(stopped.value.code or 0)
