"""Sine positions of a pixel grid and of distances between slices (Vaswani et al. 2017, as used in SAM 2)."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from MedSAM2Lib.network.caches import TableCache

TEMPERATURE = 10000.0


def sine_grid(side: int, channels: int, device: torch.device) -> Tensor:
    """Positions of a square grid, float32 ``[side, side, channels]``.

    The first half of the channels tells the row, the second the column; each runs from 1 to ``side``, scaled to
    2 pi, and is told by sine (even channels) and cosine (odd channels) of falling frequency.
    """
    half = channels // 2
    index = torch.arange(half, device=device)
    period = TEMPERATURE ** (2 * (index // 2) / half)
    place = torch.arange(1, side + 1, dtype=torch.float32, device=device)
    angle = (place / (side + 1e-6) * 2 * math.pi)[:, None] / period  # [side, half]
    line = torch.where(index % 2 == 0, angle.sin(), angle.cos())
    rows = line[:, None].expand(side, side, half)
    columns = line[None, :].expand(side, side, half)
    return torch.cat((rows, columns), dim=-1)


def sine_distance(distance: Tensor, channels: int) -> Tensor:
    """Positions of distances ``[n]`` (any real number): ``[n, channels]``, first all sines, then all cosines."""
    half = channels // 2
    index = torch.arange(half, device=distance.device)
    period = TEMPERATURE ** (2 * (index // 2) / half)
    angle = distance.float()[:, None] / period
    return torch.cat((angle.sin(), angle.cos()), dim=-1)


class SineGrid:
    """Cached ``sine_grid`` tables of one channel count, as tokens ``[side * side, channels]``."""

    def __init__(self, channels: int) -> None:
        self.channels = channels
        self._tables = TableCache()

    def tokens(self, side: int, device: torch.device, dtype: torch.dtype) -> Tensor:
        return self._tables.get(
            (side, device, dtype), lambda: sine_grid(side, self.channels, device).flatten(0, 1).to(dtype)
        )
