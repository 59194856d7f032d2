"""How well a mask fits the truth: overlap, and the distance between the surfaces in mm."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

import numpy as np

from MedSAM2Lib.evaluation.surfaces import hausdorff_95, surface_dice
from MedSAM2Lib.types import BoolArray

DEFAULT_TOLERANCE_MM = 2.0

Spacing = tuple[float, float, float]
"""Size of a voxel in mm along i, j, k, as ``Volume.spacing`` has it."""


@dataclass(frozen=True)
class Metric:
    """One way to compare masks: its name in files, its name in tables, and whether more is better.

    ``measure`` takes the mask, the truth, the spacing and the tolerance in mm.
    """

    name: str
    title: str
    higher_is_better: bool
    needs_surfaces: bool
    measure: Callable[[BoolArray, BoolArray, Spacing, float], float]


def dice(mask: BoolArray, truth: BoolArray) -> float:
    """Twice the common voxels over the sum of both (Dice 1945); 1 where both are empty. Shapes must be equal."""
    _check_shapes(mask, truth)
    total = int(np.count_nonzero(mask)) + int(np.count_nonzero(truth))
    return 1.0 if total == 0 else 2.0 * int(np.count_nonzero(mask & truth)) / total


def iou(mask: BoolArray, truth: BoolArray) -> float:
    """The common voxels over those of either (Jaccard 1912); 1 where both are empty. Shapes must be equal."""
    _check_shapes(mask, truth)
    either = int(np.count_nonzero(mask | truth))
    return 1.0 if either == 0 else int(np.count_nonzero(mask & truth)) / either


METRICS: dict[str, Metric] = {
    metric.name: metric
    for metric in (
        Metric("dice", "Dice", True, False, lambda mask, truth, spacing, tolerance: dice(mask, truth)),
        Metric("iou", "IoU", True, False, lambda mask, truth, spacing, tolerance: iou(mask, truth)),
        Metric("nsd", "surface Dice", True, True, surface_dice),
        Metric(
            "hd95", "HD95 (mm)", False, True, lambda mask, truth, spacing, tolerance: hausdorff_95(mask, truth, spacing)
        ),
    )
}
"""The metrics by name."""


def measure(
    names: Iterable[str], mask: BoolArray, truth: BoolArray, spacing: Spacing, tolerance_mm: float
) -> dict[str, float]:
    """The named metrics of one mask [k, j, i]; all of them finite, for empty masks as well (see each metric)."""
    return {name: METRICS[name].measure(mask, truth, spacing, tolerance_mm) for name in names}


def _check_shapes(mask: BoolArray, truth: BoolArray) -> None:
    if mask.shape != truth.shape:
        raise ValueError(f"masks of different shapes: {mask.shape} and {truth.shape}")
