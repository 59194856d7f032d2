"""Regions of interest: which part of a slice the network is shown, square in mm however the voxels are."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from MedSAM2Lib.types import Axis, in_plane_axes
from MedSAM2Lib.volume.volume import Volume

Region = tuple[float, float, float, float]
"""(top, left, bottom, right) in voxel edges of a slice, as in ``SliceFrame``; it may leave the slice."""

Extent = tuple[int, int, int, int]
"""(top, left, bottom, right) of marked voxels, inclusive."""

SMALLEST_SIDE_VOXELS = 24.0
_MARGIN = 1.1
_CLICK_SIDES_RATIO = 6.0


@dataclass(frozen=True)
class SliceGrid:
    """Size of a slice in voxels and of its voxels in mm, each as (rows, columns)."""

    shape: tuple[int, int]
    spacing: tuple[float, float]

    @property
    def extent_mm(self) -> tuple[float, float]:
        """Size of the slice in mm."""
        return self.shape[0] * self.spacing[0], self.shape[1] * self.spacing[1]

    @property
    def smallest_side_mm(self) -> float:
        """The side of the smallest region worth showing: finer ones would only show blur."""
        return SMALLEST_SIDE_VOXELS * min(self.spacing)


def slice_grid(volume: Volume, axis: Axis) -> SliceGrid:
    """The grid that all slices along ``axis`` share."""
    rows, columns = in_plane_axes(axis)
    return SliceGrid(
        (volume.slice_count(rows), volume.slice_count(columns)),
        (volume.spacing_along(rows), volume.spacing_along(columns)),
    )


def square_around(grid: SliceGrid, centre: tuple[float, float], side_mm: float) -> Region:
    """The square of ``side_mm`` centred at ``centre``, (row, column) in voxel edges."""
    half_rows, half_columns = side_mm / grid.spacing[0] / 2, side_mm / grid.spacing[1] / 2
    return centre[0] - half_rows, centre[1] - half_columns, centre[0] + half_rows, centre[1] + half_columns


def around_extent(grid: SliceGrid, extent: Extent, zoom: float, smallest_mm: float = 0.0) -> Region:
    """The square for a box or mask: centred on it, ``zoom`` times its larger side.

    Never smaller than ``smallest_mm``, nor than the smallest side worth showing.
    """
    top, left, bottom, right = extent
    return around_region(grid, (top, left, bottom + 1, right + 1), zoom, smallest_mm)


def around_region(grid: SliceGrid, region: Region, zoom: float = 1.0, smallest_mm: float = 0.0) -> Region:
    """The square centred on a region, ``zoom`` times its larger side in mm."""
    top, left, bottom, right = region
    side = zoom * max((bottom - top) * grid.spacing[0], (right - left) * grid.spacing[1])
    centre = ((top + bottom) / 2, (left + right) / 2)
    return square_around(grid, centre, max(side, smallest_mm, grid.smallest_side_mm))


def square_holding(grid: SliceGrid, points: Sequence[tuple[float, float]], side_mm: float) -> Region:
    """A square of at least ``side_mm`` around the middle of points, that holds them all with a margin of a tenth.

    Points are (row, column) in voxel edges: the centre of voxel 3 is 3.5.
    """
    rows, columns = zip(*points)
    centre = ((min(rows) + max(rows)) / 2, (min(columns) + max(columns)) / 2)
    spread = max((max(rows) - min(rows)) * grid.spacing[0], (max(columns) - min(columns)) * grid.spacing[1])
    return square_around(grid, centre, max(side_mm, _MARGIN * spread))


def union(grid: SliceGrid, regions: Sequence[Region]) -> Region:
    """The smallest centred square that holds all of ``regions``; one region comes back as it is."""
    if len(regions) == 1:
        return regions[0]
    tops, lefts, bottoms, rights = zip(*regions)
    return around_region(grid, (min(tops), min(lefts), max(bottoms), max(rights)))


def click_sides(grid: SliceGrid, count: int = 6) -> list[float]:
    """Sides in mm to try for a click, whose object has no known size: up to the whole slice, in geometric steps."""
    largest = max(grid.extent_mm)
    smallest = min(max(grid.smallest_side_mm, largest / _CLICK_SIDES_RATIO), largest)
    return [float(side) for side in np.geomspace(smallest, largest, count)]
