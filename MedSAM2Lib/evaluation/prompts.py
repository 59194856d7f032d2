"""Prompts as a simulated user gives them on one slice: a click at the object's deepest point, or a tight box."""

from __future__ import annotations

import numpy as np
from scipy import ndimage

from MedSAM2Lib.types import IJK, Axis, BoolArray, BoxPrompt, PointPrompt, array_dimension, ijk_position, in_plane_axes


def largest_slice(truth: BoolArray, axis: Axis) -> int:
    """Index along ``axis`` of the slice with the most voxels of a mask [k, j, i]."""
    dimension = array_dimension(axis)
    others = tuple(place for place in range(3) if place != dimension)
    return int(truth.sum(axis=others).argmax())


def deepest_point(mask: BoolArray) -> tuple[int, int]:
    """(row, column) of the pixel farthest from the mask's border; raises ValueError for an empty mask."""
    if not mask.any():
        raise ValueError("an empty mask has no deepest point")
    depth = ndimage.distance_transform_edt(np.pad(mask, 1))[1:-1, 1:-1]
    row, column = np.unravel_index(int(depth.argmax()), depth.shape)
    return int(row), int(column)


def click_on(truth: BoolArray, axis: Axis, index: int) -> PointPrompt:
    """A click at the deepest point of one slice."""
    row, column = deepest_point(np.take(truth, index, axis=array_dimension(axis)))
    return PointPrompt(_ijk(axis, index, row, column), axis)


def box_on(truth: BoolArray, axis: Axis, index: int) -> BoxPrompt:
    """The tight box of one slice, inclusive; raises ValueError for an empty slice."""
    mask = np.take(truth, index, axis=array_dimension(axis))
    rows, columns = np.nonzero(mask)
    if rows.size == 0:
        raise ValueError(f"slice {index} of axis {axis} is empty")
    first = _ijk(axis, index, int(rows.min()), int(columns.min()))
    return BoxPrompt(first, _ijk(axis, index, int(rows.max()), int(columns.max())), axis)


def _ijk(axis: Axis, index: int, row: int, column: int) -> IJK:
    rows, columns = in_plane_axes(axis)
    place = [0.0, 0.0, 0.0]
    for name, value in ((axis, index), (rows, row), (columns, column)):
        place[ijk_position(name)] = float(value)
    return place[0], place[1], place[2]
