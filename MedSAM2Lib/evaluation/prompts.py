"""Where on an object a user would put a prompt, and the prompt itself: made from the truth."""

from __future__ import annotations

from collections.abc import Collection

import numpy as np
from scipy import ndimage

from MedSAM2Lib.types import (
    IJK,
    Axis,
    BoolArray,
    BoxPrompt,
    MaskPrompt,
    PointPrompt,
    SliceKey,
    array_dimension,
    ijk_position,
    in_plane_axes,
)
from MedSAM2Lib.volume.components import deepest, largest_component

_QUARTER = 0.25


def areas_along(mask: BoolArray, axis: Axis) -> np.ndarray:
    """[n] number of voxels of a mask [k, j, i] on each slice along ``axis``."""
    dimension = array_dimension(axis)
    return np.asarray(mask.sum(axis=tuple(place for place in range(3) if place != dimension)))


def largest_slice(truth: BoolArray, axis: Axis) -> int:
    """Index along ``axis`` of the slice with the most voxels of a mask [k, j, i]."""
    return int(areas_along(truth, axis).argmax())


def quarter_slice(truth: BoolArray, axis: Axis) -> int:
    """Index of the slice a quarter of the way along the object's extent; the nearest that is not empty.

    Raises ValueError for an empty mask.
    """
    present = np.flatnonzero(areas_along(truth, axis))
    if present.size == 0:
        raise ValueError("an empty mask has no slices")
    wanted = present[0] + _QUARTER * (present[-1] - present[0])
    return int(present[np.abs(present - wanted).argmin()])


def most_different_slice(mask: BoolArray, truth: BoolArray, axis: Axis, but: Collection[int] = ()) -> int | None:
    """Index of the slice on which a mask and the truth differ most, of those where the truth is not empty.

    ``but`` are slices that do not count. None where no other slice differs.
    """
    differing = areas_along(mask ^ truth, axis)
    differing[areas_along(truth, axis) == 0] = 0
    differing[list(but)] = 0
    return int(differing.argmax()) if differing.any() else None


def deepest_point(mask: BoolArray) -> tuple[int, int]:
    """(row, column) of the pixel farthest from the mask's border; raises ValueError for an empty mask."""
    row, column = deepest(mask, (1.0, 1.0))
    return row, column


def click_on(truth: BoolArray, axis: Axis, index: int) -> PointPrompt:
    """A click at the deepest point of one slice."""
    row, column = deepest_point(np.take(truth, index, axis=array_dimension(axis)))
    return PointPrompt(_ijk(axis, index, row, column), axis)


def box_on(truth: BoolArray, axis: Axis, index: int) -> BoxPrompt:
    """The tight box of one slice, inclusive; two pixels wide at least, since a box needs an area.

    Raises ValueError for an empty slice.
    """
    return box_around(np.take(truth, index, axis=array_dimension(axis)), axis, index)


def box_around(mask: BoolArray, axis: Axis, index: int) -> BoxPrompt:
    """The same for the mask [rows, columns] of a slice."""
    rows, columns = np.nonzero(mask)
    if rows.size == 0:
        raise ValueError(f"slice {index} of axis {axis} is empty")
    (top, bottom), (left, right) = (_edges(found, size) for found, size in zip((rows, columns), mask.shape))
    return BoxPrompt(_ijk(axis, index, top, left), _ijk(axis, index, bottom, right), axis)


def mask_on(truth: BoolArray, axis: Axis, index: int) -> MaskPrompt:
    """The true mask of one slice."""
    return MaskPrompt(SliceKey(axis, index), np.take(truth, index, axis=array_dimension(axis)))


def error_click(
    mask: BoolArray,
    truth: BoolArray,
    spacing: tuple[float, float, float],
    axis: Axis,
    but: Collection[int] = (),
) -> PointPrompt | None:
    """The next click: at the centre of the largest connected error in the volume.

    The centre is the place deepest in the error, in mm (``spacing`` along i, j, k). The click is positive where the
    object was missed and negative where there is too much. ``but`` are slices along ``axis`` that are right already.
    None where nothing is wrong.
    """
    wrong = mask ^ truth
    np.moveaxis(wrong, array_dimension(axis), 0)[list(but)] = False
    if not wrong.any():
        return None
    (box,) = ndimage.find_objects(wrong.astype(np.uint8))
    missed, excess = largest_component((wrong & truth)[box]), largest_component((wrong & mask)[box])
    positive = bool(np.count_nonzero(missed) >= np.count_nonzero(excess))
    place = deepest(missed if positive else excess, spacing[::-1])
    k, j, i = (float(index + part.start) for index, part in zip(place, box))
    return PointPrompt((i, j, k), axis, positive)


def _edges(found: np.ndarray, size: int) -> tuple[int, int]:
    """First and last of the marked places along one side; one more where they are one and the side has it."""
    low, high = int(found.min()), int(found.max())
    if low == high:
        return (low, high + 1) if high + 1 < size else (max(low - 1, 0), high)
    return low, high


def _ijk(axis: Axis, index: int, row: int, column: int) -> IJK:
    rows, columns = in_plane_axes(axis)
    place = [0.0, 0.0, 0.0]
    for name, value in ((axis, index), (rows, row), (columns, column)):
        place[ijk_position(name)] = float(value)
    return place[0], place[1], place[2]
