"""The other two orientations: which take part, what they are shown, and how the first one's result seeds them."""

from __future__ import annotations

import math
from collections.abc import Collection, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from MedSAM2Lib.tracking.checks import slice_pixel
from MedSAM2Lib.tracking.keyframes import Interval
from MedSAM2Lib.tracking.view import mask_extent
from MedSAM2Lib.types import (
    AXES,
    Axis,
    BoolArray,
    BoxPrompt,
    MaskPrompt,
    Orientations,
    PointPrompt,
    Prompt,
    SliceKey,
    array_dimension,
    ijk_position,
    in_plane_axes,
)
from MedSAM2Lib.volume.region import Extent, Region, around_extent, slice_grid
from MedSAM2Lib.volume.volume import Volume

LEAST_SLICES = 8
LARGEST_SPACING_RATIO = 3.0
_MARGIN = 0.35
_LEAST_MARGIN = 2


@dataclass(frozen=True)
class ObjectBox:
    """The smallest box of voxels that holds an object: inclusive corners in array order k, j, i."""

    lower: tuple[int, int, int]
    upper: tuple[int, int, int]

    def span(self, axis: Axis) -> Interval:
        """The object's slices along an axis."""
        place = array_dimension(axis)
        return Interval(axis, self.lower[place], self.upper[place])

    def span_with_margin(self, axis: Axis, slice_count: int) -> Interval:
        """The same with a third of its length more at each end, inside the volume."""
        span = self.span(axis)
        margin = max(_LEAST_MARGIN, math.ceil(_MARGIN * len(span)))
        return Interval(axis, max(0, span.first - margin), min(slice_count - 1, span.last + margin))

    def extent(self, axis: Axis) -> Extent:
        """The box as seen along an axis."""
        rows, columns = (array_dimension(other) for other in in_plane_axes(axis))
        return self.lower[rows], self.lower[columns], self.upper[rows], self.upper[columns]

    def joined(self, other: ObjectBox | None) -> ObjectBox:
        """The box that holds both."""
        if other is None:
            return self
        lower, upper = np.minimum(self.lower, other.lower), np.maximum(self.upper, other.upper)
        return ObjectBox(_triple(lower), _triple(upper))


def box_of(mask: BoolArray) -> ObjectBox | None:
    """The box of a mask [k, j, i]; None where it is empty."""
    corners = []
    for dimension in range(3):
        others = tuple(place for place in range(3) if place != dimension)
        found = np.flatnonzero(mask.any(axis=others))
        if found.size == 0:
            return None
        corners.append((found[0], found[-1]))
    lower, upper = zip(*corners)
    return ObjectBox(_triple(lower), _triple(upper))


def axes_beside(
    volume: Volume, box: ObjectBox, first: Axis, orientations: Orientations, prompted: Sequence[Axis]
) -> list[Axis]:
    """The axes that take part beside the first one.

    All with ``3``; with ``auto`` those along which the object spans at least 8 slices and whose slices have pixels at
    most 3 times as long as wide. An axis that the user prompted always takes part. One with a single slice, or with
    slices a single voxel wide, never does.
    """
    others = [axis for axis in AXES if axis != first and _has_pictures(volume, axis)]
    if orientations == "3":
        return others
    worth = [axis for axis in others if orientations == "auto" and _worth_it(volume, box, axis)]
    return [axis for axis in others if axis in worth or axis in prompted]


def region_for(volume: Volume, box: ObjectBox, axis: Axis, zoom: float | None) -> Region | None:
    """The region of interest of an object's box along an axis; None shows whole slices."""
    return None if zoom is None else around_extent(slice_grid(volume, axis), box.extent(axis), zoom)


def seed_prompts(
    mask: BoolArray,
    axis: Axis,
    within: Interval,
    prompts: Sequence[Prompt],
    by: str = "box",
    never: Collection[int] = (),
) -> tuple[int, list[Prompt]] | None:
    """Where and how the engine prompts an axis: the first result's cross-section [k, j, i] as a box or as a mask.

    On the slice through a click of the user where the object is found there, else where it is largest, in the middle
    of several such slices; ``never`` on some. None where ``mask`` has nothing within.
    """
    others = tuple(place for place in range(3) if place != array_dimension(axis))
    areas = mask.sum(axis=others)
    areas[: within.first] = 0
    areas[within.last + 1 :] = 0
    areas[list(never)] = 0
    if not areas.any():
        return None
    clicks = [one for one in prompts if isinstance(one, PointPrompt) and one.positive]
    through = [round(one.ijk[ijk_position(axis)]) for one in clicks]
    largest = np.flatnonzero(areas == areas.max())
    index = next((place for place in through if areas[place] > 0), int(largest[len(largest) // 2]))
    section = np.take(mask, index, axis=array_dimension(axis))
    if by == "mask":
        return index, [MaskPrompt(SliceKey(axis, index), section)]
    inside = [PointPrompt(one.ijk, axis) for one, place in zip(clicks, through) if place == index]
    return index, [_box(section, axis, index), *(one for one in inside if section[slice_pixel(one.ijk, axis)])]


def touches_border(logits: NDArray[np.float32], region: Region, shape: tuple[int, int]) -> bool:
    """Whether a mask [s, s] over a region runs into a side of it that lies inside the slice of ``shape``."""
    top, left, bottom, right = region
    mask = logits > 0
    sides = ((top > 0, mask[0]), (left > 0, mask[:, 0]), (bottom < shape[0], mask[-1]), (right < shape[1], mask[:, -1]))
    return any(inside and bool(side.any()) for inside, side in sides)


def _has_pictures(volume: Volume, axis: Axis) -> bool:
    return all(volume.slice_count(each) > 1 for each in (axis, *in_plane_axes(axis)))


def _worth_it(volume: Volume, box: ObjectBox, axis: Axis) -> bool:
    spacings = [volume.spacing_along(other) for other in in_plane_axes(axis)]
    return len(box.span(axis)) >= LEAST_SLICES and max(spacings) <= LARGEST_SPACING_RATIO * min(spacings)


def _box(section: BoolArray, axis: Axis, index: int) -> BoxPrompt:
    extent = mask_extent(section)
    assert extent is not None
    rows, columns = in_plane_axes(axis)
    corners = []
    for row, column in (extent[:2], extent[2:]):
        place = [0.0, 0.0, 0.0]
        for name, value in ((axis, index), (rows, row), (columns, column)):
            place[ijk_position(name)] = float(value)
        corners.append((place[0], place[1], place[2]))
    return BoxPrompt(corners[0], corners[1], axis)


def _triple(values: Sequence[int] | NDArray[np.intp]) -> tuple[int, int, int]:
    first, second, third = (int(value) for value in values)
    return first, second, third
