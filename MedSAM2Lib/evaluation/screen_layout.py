"""How a slice is laid out on a screen as radiologists expect it, whatever the order in which its voxels are stored."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import permutations

import numpy as np
from numpy.typing import NDArray

from MedSAM2Lib.types import Axis, ijk_position, in_plane_axes
from MedSAM2Lib.volume.volume import Volume

_LETTERS = (("R", "L"), ("A", "P"), ("I", "S"))
"""What lies towards lower and higher LPS coordinates, along x, y, z."""

_TO_THE_RIGHT = {0: (1, 1), 1: (0, 1), 2: (0, 1)}
_DOWNWARDS = {0: (2, -1), 1: (2, -1), 2: (1, 1)}
"""Patient axis and sign that a screen shows to its right and downwards, by the patient axis that a view looks along."""


@dataclass(frozen=True)
class ScreenLayout:
    """A slice ``[rows, columns]`` as it is shown: transposed where that is said, then flipped.

    The letters name the patient's side at each edge of the picture: R, L, A, P, S or I.
    """

    transposed: bool
    rows_flipped: bool
    columns_flipped: bool
    left: str
    top: str
    right: str
    bottom: str

    def apply(self, picture: NDArray) -> NDArray:
        """A picture ``[rows, columns, ...]`` as stored, laid out for the screen; a view."""
        shown = picture.swapaxes(0, 1) if self.transposed else picture
        shown = shown[::-1] if self.rows_flipped else shown
        return shown[:, ::-1] if self.columns_flipped else shown


def screen_layout(volume: Volume, axis: Axis) -> ScreenLayout:
    """The layout of the slices along ``axis``.

    Seen along the body the patient's right is on the left and anterior on top; from the front the patient's right is
    on the left and superior on top; from the side anterior is on the left and superior on top. Oblique axes count as
    the anatomical ones that they are nearest to.
    """
    patient_axes = nearest_patient_axes(volume.direction)
    rows, columns = in_plane_axes(axis)
    looked_along = patient_axes[ijk_position(axis)]
    (across, across_sign), (down, down_sign) = _TO_THE_RIGHT[looked_along], _DOWNWARDS[looked_along]
    transposed = patient_axes[ijk_position(rows)] == across
    down_axis, across_axis = (columns, rows) if transposed else (rows, columns)
    left, right = _ends(across, across_sign)
    top, bottom = _ends(down, down_sign)
    return ScreenLayout(
        transposed,
        rows_flipped=volume.direction[down, ijk_position(down_axis)] * down_sign < 0,
        columns_flipped=volume.direction[across, ijk_position(across_axis)] * across_sign < 0,
        left=left,
        top=top,
        right=right,
        bottom=bottom,
    )


def nearest_patient_axes(direction: NDArray[np.float64]) -> tuple[int, int, int]:
    """For i, j and k the patient axis (0 for x, 1 for y, 2 for z) that each is nearest to, all three different."""
    steepness = np.abs(direction)
    i, j, k = max(permutations((0, 1, 2)), key=lambda chosen: float(steepness[list(chosen), [0, 1, 2]].sum()))
    return i, j, k


def _ends(patient_axis: int, sign: int) -> tuple[str, str]:
    lower, higher = _LETTERS[patient_axis]
    return (lower, higher) if sign > 0 else (higher, lower)
