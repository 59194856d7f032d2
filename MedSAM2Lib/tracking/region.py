"""Which region to show for a click, whose object has no known size: several are tried, the best one is refitted."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from MedSAM2Lib.tracking.view import mask_extent
from MedSAM2Lib.types import BoolArray, FloatArray
from MedSAM2Lib.volume.region import Region, SliceGrid, around_extent, click_sides, square_holding

_BORDER_PENALTY = 0.5


@dataclass(frozen=True, eq=False)
class Trial:
    """What clicks gave in one region: low-res logits [s, s], the mask on voxels, how sure the network is."""

    region: Region
    logits: FloatArray
    mask_on_voxels: BoolArray
    predicted_iou: float
    present: bool


def around_points(
    grid: SliceGrid, points: Sequence[tuple[float, float]], zoom: float, try_region: Callable[[Region], Trial]
) -> Region:
    """The region for clicks, (row, column) in voxel edges: ``zoom`` times the mask of the best trial.

    Where not even the best trial has a mask, its own region stays.
    """
    trials = [try_region(square_holding(grid, points, side)) for side in click_sides(grid)]
    best = max(trials, key=worth)
    extent = mask_extent(best.mask_on_voxels)
    return best.region if extent is None else around_extent(grid, extent, zoom)


def worth(trial: Trial) -> float:
    """Predicted IoU less a penalty for a mask that touches the region's border, the more the longer; -1 if absent."""
    if not trial.present:
        return -1.0
    mask = trial.logits > 0
    touching = float(np.concatenate([mask[0], mask[-1], mask[:, 0], mask[:, -1]]).mean())
    return trial.predicted_iou - _BORDER_PENALTY * (float(touching > 0) + touching)
