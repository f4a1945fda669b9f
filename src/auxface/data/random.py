"""Counter-based random numbers, which are the same on every device, for every batch size and in every order.

A number is a hash of (seed, stream, position), computed with the finalizer of SplitMix64 (Steele, Lea and Flood, 2014)
in wrapping int64 arithmetic. There is no generator state that would have to be saved to resume a run.

Example:
    >>> import torch
    >>> seeds = sample_seeds(seed=0, epoch=3, indices=torch.tensor([7, 8]))
    >>> uniforms(seeds, 4, stream=1).shape
    torch.Size([2, 4])
"""

import math

import torch
from torch import Tensor

_GOLDEN = 0x9E3779B97F4A7C15
_FIRST = 0xBF58476D1CE4E5B9 - 2**64
_SECOND = 0x94D049BB133111EB - 2**64
_STREAM = 0xD1342543DE82EF95


def uniforms(seeds: Tensor, count: int, *, stream: int = 0) -> Tensor:
    """Return uniform numbers in [0, 1) that are multiples of 2**-24, float32 [B, count].

    Args:
        seeds: one seed per sample, int64 [B]. A row of the result depends only on its own seed.
        count: number of values per sample. A larger count does not change the first values.
        stream: number that identifies one use of the seed (crop, flip, mask, ...); different streams are independent.
    """
    return _shifted(_hash(seeds, count, stream), 40).to(torch.float32) * 2.0**-24


def sample_seeds(seed: int, epoch: int, indices: Tensor) -> Tensor:
    """Return a seed for each sample in an epoch of a run, int64 [B].

    Args:
        seed: seed of the run.
        epoch: number of the epoch.
        indices: indices of the samples in the data set, int64 [B]; a repeated sample must have a different index.
    """
    run = _mix(torch.full((1,), _signed(seed), dtype=torch.int64, device=indices.device))
    return _mix(_mix(indices.to(torch.int64) + run) + _signed(_GOLDEN * (epoch + 1)))


def normals(seeds: Tensor, count: int, *, stream: int = 0) -> Tensor:
    """Return standard normal numbers, float32 [B, count] (Box and Muller, 1958); arguments as for :func:`uniforms`."""
    half = (count + 1) // 2
    chance = uniforms(seeds, 2 * half, stream=stream)
    # 1 - u is never zero, so the logarithm is finite.
    radius = (-2 * (1 - chance[:, :half]).log()).sqrt()
    angle = 2 * math.pi * chance[:, half:]
    return torch.cat([radius * angle.cos(), radius * angle.sin()], 1)[:, :count]


def _hash(seeds: Tensor, count: int, stream: int) -> Tensor:
    start = _mix(seeds.to(torch.int64) + _signed(_STREAM * (stream + 1)))
    steps = torch.arange(1, count + 1, device=seeds.device, dtype=torch.int64) * _signed(_GOLDEN)
    return _mix(start[:, None] + steps)


def _mix(x: Tensor) -> Tensor:
    x = (x ^ _shifted(x, 30)) * _FIRST
    x = (x ^ _shifted(x, 27)) * _SECOND
    return x ^ _shifted(x, 31)


def _shifted(x: Tensor, bits: int) -> Tensor:
    # torch shifts int64 arithmetically, but the hash needs zeros to be shifted in from the left.
    return (x >> bits) & ((1 << (64 - bits)) - 1)


def _signed(value: int) -> int:
    value &= 0xFFFFFFFFFFFFFFFF
    return value - (1 << 64) if value >= 1 << 63 else value
