"""Distances between the surfaces of two masks in mm, by MONAI.

MONAI is imported when a distance is asked for: it takes seconds, and Dice needs none of it. Masks are cut to the box
that holds both before they are handed over. A volume of one slice is measured in that slice: its surface is a line.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import torch

from MedSAM2Lib.types import BoolArray

_PERCENTILE = 95.0


def surface_dice(
    mask: BoolArray, truth: BoolArray, spacing: tuple[float, float, float], tolerance_mm: float = 2.0
) -> float:
    """Share of both surfaces that lies within a tolerance of the other one (Nikolov et al. 2018, arXiv 1809.04430).

    Each element of a surface counts with its area in mm2, so that thick slices do not weigh more or less than they are.
    1 where both masks are empty, 0 where one is.

    Args:
        mask, truth: boolean [k, j, i] of one shape.
        spacing: mm along i, j, k.
        tolerance_mm: distances up to this one are no error; 0 or more.
    """
    if not mask.any() or not truth.any():
        return float(mask.any() == truth.any())
    from monai.metrics import compute_surface_dice

    first, second, sampling = _prepared(mask, truth, spacing)
    with _quiet():
        found = compute_surface_dice(
            first, second, [tolerance_mm], include_background=True, spacing=sampling, use_subvoxels=True
        )
    return float(found)


def hausdorff_95(mask: BoolArray, truth: BoolArray, spacing: tuple[float, float, float]) -> float:
    """The larger of both directed 95th percentiles of distances between border voxels, in mm (Huttenlocher 1993).

    0 where both masks are empty. Where one is, the length of the volume's diagonal, which no distance exceeds: a mean
    over cases then stays a number, and a lost object costs the most there is.

    Args:
        mask, truth: boolean [k, j, i] of one shape.
        spacing: mm along i, j, k.
    """
    if not mask.any() or not truth.any():
        lost = bool(mask.any() != truth.any())
        return float(np.linalg.norm(np.multiply(mask.shape, spacing[::-1]))) if lost else 0.0
    from monai.metrics import compute_hausdorff_distance

    first, second, sampling = _prepared(mask, truth, spacing)
    with _quiet():
        found = compute_hausdorff_distance(
            first, second, include_background=True, percentile=_PERCENTILE, spacing=sampling
        )
    return float(found)


def _prepared(
    mask: BoolArray, truth: BoolArray, spacing: tuple[float, float, float]
) -> tuple[torch.Tensor, torch.Tensor, list[float]]:
    """Both masks [1, 1, ...] in the box that holds them, with a rim of nothing, and mm along the axes of that box."""
    if mask.shape != truth.shape:
        raise ValueError(f"masks of different shapes: {mask.shape} and {truth.shape}")
    flat = [axis for axis, size in enumerate(mask.shape) if size == 1]
    dropped = flat if len(flat) == 1 else []
    box = tuple(0 if axis in dropped else _extent(mask | truth, axis) for axis in range(3))
    sampling = [length for axis, length in enumerate(spacing[::-1]) if axis not in dropped]
    first, second = (torch.from_numpy(np.pad(array[box], 1))[None, None] for array in (mask, truth))
    return first, second, sampling


def _extent(mask: BoolArray, axis: int) -> slice:
    marked = np.flatnonzero(mask.any(axis=tuple(other for other in range(3) if other != axis)))
    return slice(int(marked[0]), int(marked[-1]) + 1)


@contextmanager
def _quiet() -> Iterator[None]:
    """Without MONAI's warnings about arguments of its own."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)
        yield
