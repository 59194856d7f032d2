"""Axial rotary positions (Su et al. 2021, arXiv 2104.09864; Heo et al. 2024, arXiv 2403.13298).

Adjacent pairs of channels are rotated by an angle: the first half of the pairs by the token's column, the second half
by its row. Angles are integer grid places times ``10000 ** (-4 i / channels)``; they are never rescaled to the grid.
"""

from __future__ import annotations

import torch
from torch import Tensor

from MedSAM2Lib.network.caches import TableCache
from MedSAM2Lib.network.positions import TEMPERATURE


def axial_angles(side: int, channels: int, device: torch.device) -> Tensor:
    """Rotation angles of a square grid's tokens in row order, float32 ``[side * side, channels / 2]``."""
    speed = TEMPERATURE ** (-torch.arange(0, channels, 4, dtype=torch.float32, device=device) / channels)
    place = torch.arange(side, dtype=torch.float32, device=device)[:, None] * speed  # [side, channels / 4]
    columns = place[None, :].expand(side, side, -1)
    rows = place[:, None].expand(side, side, -1)
    return torch.cat((columns, rows), dim=-1).flatten(0, 1)


class AxialRotation:
    """Rotates tokens ``[B, n * side * side, channels]``; the grid is repeated where there are several maps.

    Rotation is in float32 whatever the dtype of the tokens, since angles reach ``side`` radians.
    """

    def __init__(self, channels: int) -> None:
        self.channels = channels
        self._tables = TableCache()

    def __call__(self, tokens: Tensor, side: int) -> Tensor:
        turn = self._tables.get((side, tokens.device), lambda: self._turn(side, tokens.device))
        pairs = tokens.float().reshape(tokens.shape[0], -1, side * side, self.channels // 2, 2)
        rotated = torch.view_as_real(torch.view_as_complex(pairs) * turn)
        return rotated.reshape(tokens.shape).to(tokens.dtype)

    def _turn(self, side: int, device: torch.device) -> Tensor:
        angles = axial_angles(side, self.channels, device)
        return torch.polar(torch.ones_like(angles), angles)
