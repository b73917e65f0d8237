"""Named random streams: every random number of a run has an address.

An address is (run seed, purpose, generation, line, row), and a random generator depends on its address only. It does
not depend on the batch size, the order of the work, or the number of processes and devices. So a single image can be
drawn again, and an interrupted run continues with the same bytes.

References:
    Parallel random numbers: as easy as 1, 2, 3 (Salmon et al. 2011), doi:10.1145/2063384.2063405 (Philox).
"""

from __future__ import annotations

import zlib

import numpy as np

__all__ = ["image_seeds", "normal", "rng_at", "seed_at"]

_OFFSET = 16  # SeedSequence takes no negative words, and the lines REAL and RESERVE are -1 and -2


def _words(seed: int, purpose: str, generation: int, line: int, row: int) -> list[int]:
    if seed < 0:
        raise ValueError(f"seed: expected a whole number >= 0, got {seed}")
    return [seed, zlib.crc32(purpose.encode()), generation, line + _OFFSET, row]


def rng_at(seed: int, purpose: str, generation: int = 0, line: int = 0, row: int = 0) -> np.random.Generator:
    """Return the random generator of this address.

    Args:
        seed: the run's seed, >= 0.
        purpose: the use of the numbers, such as "pool", "train" or "sample"; another word gives other numbers.
        generation: 0 for real data, t for generation t.
        line: index of the model within the generation.
        row: index of the image.

    Raises:
        ValueError: for a negative seed.

    Example:
        >>> float(rng_at(0, "sample", 1, 0, 17).random()) == float(rng_at(0, "sample", 1, 0, 17).random())
        True
    """
    return np.random.Generator(np.random.Philox(np.random.SeedSequence(_words(seed, purpose, generation, line, row))))


def seed_at(seed: int, purpose: str, generation: int = 0, line: int = 0, row: int = 0) -> int:
    """Return a seed 0 <= s < 2^63 that depends on the address only, for libraries that are seeded with a number."""
    sequence = np.random.SeedSequence(_words(seed, purpose, generation, line, row))
    return int(sequence.generate_state(1, np.uint64)[0] >> np.uint64(1))


def image_seeds(seed: int, purpose: str, generation: int, line: int, rows: np.ndarray | range) -> np.ndarray:
    """Return the seed of each image: uint64 [N], one for each of ``rows``; the argument of ``Model.sample``."""
    numbers = (seed_at(seed, purpose, generation, line, int(row)) for row in rows)
    return np.fromiter(numbers, np.uint64, len(rows))


def normal(seeds: np.ndarray, shape: tuple[int, ...], draw: int = 0) -> np.ndarray:
    """Return standard normal noise for each image from its own seed.

    Args:
        seeds: uint64 [N], from :func:`image_seeds`.
        shape: shape of one image's noise.
        draw: index of the draw, 0 for the first noise of an image; 1, 2, ... for further, independent noise.

    Returns:
        float32 [N, *shape]. Row i depends only on ``seeds[i]``, ``shape`` and ``draw``.
    """
    noise = np.empty((len(seeds), *shape), np.float32)
    for row, seed in enumerate(seeds):
        key = np.random.Philox(key=int(seed) | (draw << 64))
        noise[row] = np.random.Generator(key).standard_normal(shape, np.float32)
    return noise
