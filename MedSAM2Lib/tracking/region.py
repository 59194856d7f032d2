"""The region of interest around a prompt: square in mm, so that the object fills a good part of the network's image."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from MedSAM2Lib.tracking.view import Region, mask_extent
from MedSAM2Lib.types import BoolArray

SMALLEST_SIDE_VOXELS = 24.0
_CLICK_SIDES = 5
_BORDER_PENALTY = 0.5
_BORDER_WIDTH = 1


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


@dataclass(frozen=True, eq=False)
class Trial:
    """What a click gave in one region: low-res logits [s, s] and the predicted IoU."""

    region: Region
    logits: np.ndarray
    mask_on_voxels: BoolArray
    predicted_iou: float
    present: bool


def square_around(grid: SliceGrid, centre: tuple[float, float], side_mm: float) -> Region:
    """The square region of ``side_mm`` centred at ``centre`` (row, column in voxel edges); it may leave the slice."""
    half_rows, half_columns = side_mm / grid.spacing[0] / 2, side_mm / grid.spacing[1] / 2
    return (centre[0] - half_rows, centre[1] - half_columns, centre[0] + half_rows, centre[1] + half_columns)


def around_extent(grid: SliceGrid, extent: tuple[int, int, int, int], zoom: float) -> Region:
    """A region ``zoom`` times the larger side of an inclusive voxel extent, centred on it."""
    top, left, bottom, right = extent
    height, width = (bottom + 1 - top) * grid.spacing[0], (right + 1 - left) * grid.spacing[1]
    centre = ((top + bottom + 1) / 2, (left + right + 1) / 2)
    return square_around(grid, centre, max(zoom * max(height, width), grid.smallest_side_mm))


def around_points(
    grid: SliceGrid, points: Sequence[tuple[float, float]], zoom: float, try_region: Callable[[Region], Trial]
) -> Region:
    """The region for clicks, whose object has no known size: several are tried, the best one is refitted once.

    A trial is worth its predicted IoU less a penalty for the part of the region's border that the mask touches. The
    winner's mask gives the extent; with no mask at all the winner's region stays.
    """
    sides = click_sides(grid)
    trials = [try_region(square_holding(grid, points, side)) for side in sides]
    best = max(trials, key=worth)
    extent = mask_extent(best.mask_on_voxels)
    return best.region if extent is None else around_extent(grid, extent, zoom)


def click_sides(grid: SliceGrid) -> list[float]:
    """Sides in mm of the regions tried for a click: from the smallest worth showing to the whole slice, geometric."""
    largest = max(grid.extent_mm)
    smallest = min(max(grid.smallest_side_mm, largest / 10), largest)
    return [float(side) for side in np.geomspace(smallest, largest, _CLICK_SIDES)]


def square_holding(grid: SliceGrid, points: Sequence[tuple[float, float]], side_mm: float) -> Region:
    """A square around the points' middle that holds them all, with a margin of a tenth."""
    rows, columns = zip(*points)
    centre = ((min(rows) + max(rows)) / 2, (min(columns) + max(columns)) / 2)
    spread = max((max(rows) - min(rows)) * grid.spacing[0], (max(columns) - min(columns)) * grid.spacing[1])
    return square_around(grid, centre, max(side_mm, 1.1 * spread))


def worth(trial: Trial) -> float:
    """Predicted IoU less the share of the region's border that the mask touches, weighted; below 0 if absent."""
    if not trial.present:
        return -1.0
    mask = trial.logits > 0
    border = np.concatenate([mask[:_BORDER_WIDTH].ravel(), mask[-_BORDER_WIDTH:].ravel(), mask[:, 0], mask[:, -1]])
    return trial.predicted_iou - _BORDER_PENALTY * float(border.mean() > 0) - _BORDER_PENALTY * float(border.mean())
