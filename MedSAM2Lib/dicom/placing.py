"""Frames of a DICOM-SEG put into label maps on a grid."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from MedSAM2Lib.dicom.grid import Affine
from MedSAM2Lib.dicom.reading import SegFile, SegFrame
from MedSAM2Lib.dicom.refusals import SegExportError

_OFF_GRID_VOXELS = 0.05
_SAME_PLACE_MM = 1e-3


def own_grid(file: SegFile, frames: Sequence[SegFrame]) -> tuple[Affine, tuple[int, int, int]]:
    """The smallest grid that holds all frames: index (k, j, i) to LPS, and its shape.

    Raises SegExportError ``E_NONUNIFORM`` where frames are not parallel, or not at multiples of one distance.
    """
    first = frames[0].matrix
    assert first is not None
    matrices = [frame.matrix for frame in frames if frame.matrix is not None]
    if any(np.abs(one[:3, :3] - first[:3, :3]).max() > 1e-4 for one in matrices):
        raise _uneven("frames are not parallel")
    along = np.array([one[:3, 3] @ first[:3, 0] for one in matrices])
    places = np.unique(np.round(along / _SAME_PLACE_MM).astype(np.int64)) * _SAME_PLACE_MM
    step = _distance(file, places)
    steps = (along - along.min()) / step
    if np.abs(steps - np.rint(steps)).max() > _OFF_GRID_VOXELS:
        raise _uneven(f"distances between frames are {np.diff(places).min():.3f} to {np.diff(places).max():.3f} mm")
    affine = matrices[int(np.argmin(along))].copy()
    affine[:3, 0] *= step
    return affine, (round(float(steps.max())) + 1, *file.shape)


def place(file: SegFile, frames: Sequence[SegFrame], affine: Affine, shape: Sequence[int]) -> tuple[list[NDArray], int]:
    """Label maps on a grid, each segment in the first that it fits, and how many marked voxels lie outside the grid.

    Raises SegExportError ``E_GRID`` where voxels of the file do not fall onto voxels of the grid.
    """
    most = max(int(item.SegmentNumber) for item in file.dataset.SegmentSequence)
    kind = np.uint8 if most < 256 and file.dataset.BitsAllocated <= 8 else np.uint16
    inverse = np.linalg.inv(affine)
    layers: list[NDArray] = []
    lost = 0
    numbers = [None] if file.is_label_map else sorted({frame.segment for frame in frames if frame.segment})
    for number in numbers:
        cut = [
            _cut(file, frame, inverse @ _matrix_of(frame), shape)
            for frame in frames
            if number is None or frame.segment == number
        ]
        lost += sum(part.outside for part in cut)
        layer = next((one for one in layers if not any(one[part.at][part.pixels != 0].any() for part in cut)), None)
        if layer is None:
            layer = np.zeros(tuple(shape), dtype=kind)
            layers.append(layer)
        for part in cut:
            if number is None:
                layer[part.at] = np.maximum(layer[part.at], part.pixels.astype(kind))
            else:
                layer[part.at][part.pixels != 0] = number
    return layers or [np.zeros(tuple(shape), dtype=kind)], lost


def _matrix_of(frame: SegFrame) -> NDArray[np.float64]:
    assert frame.matrix is not None
    return frame.matrix


@dataclass(frozen=True, eq=False)
class _Cut:
    """A frame's pixels, turned to fit an array, where they belong in it, and how many marks lie outside of it."""

    at: tuple[int | slice, ...]
    pixels: NDArray
    outside: int


def _cut(file: SegFile, frame: SegFrame, relative: NDArray[np.float64], shape: Sequence[int]) -> _Cut:
    """``relative`` maps the frame's (slice, row, column) to the index of an array of ``shape``."""
    whole = np.rint(relative)
    _check_on_grid(relative, whole, file.shape)
    down, across = (int(np.flatnonzero(whole[:3, axis])[0]) for axis in (1, 2))
    through = 3 - down - across
    pixels = file.pixels(frame)
    marked = int(np.count_nonzero(pixels))
    index = int(whole[through, 3])
    if not 0 <= index < shape[through]:
        return _Cut((0, slice(0, 0), slice(0, 0)), pixels[:0, :0], marked)
    at: list[int | slice] = [index, index, index]
    for dimension, axis in enumerate((down, across)):
        pixels, at[axis] = _along(pixels, dimension, whole[axis, dimension + 1], int(whole[axis, 3]), shape[axis])
    pixels = pixels.T if down > across else pixels
    return _Cut(tuple(at), pixels, marked - int(np.count_nonzero(pixels)))


def _along(pixels: NDArray, dimension: int, sign: float, start: int, length: int) -> tuple[NDArray, slice]:
    """The part of the pixels that lies inside 0 to ``length`` of an axis that they run along, and where that is."""
    count = pixels.shape[dimension]
    low = start if sign > 0 else start - count + 1
    first = min(max(0, low), length)
    last = max(first, min(length, low + count))
    turned = pixels if sign > 0 else np.flip(pixels, dimension)
    inside = slice(first - low, last - low) if last > first else slice(0, 0)
    return (turned[inside] if dimension == 0 else turned[:, inside]), slice(first, last)


def _check_on_grid(relative: NDArray[np.float64], whole: NDArray[np.float64], size: tuple[int, int]) -> None:
    corners = np.array([[0, row, column, 1] for row in (0, size[0] - 1) for column in (0, size[1] - 1)])
    if np.abs((relative - whole)[:3] @ corners.T).max() > _OFF_GRID_VOXELS or not _one_axis(whole):
        raise SegExportError(
            "E_GRID",
            "The voxels of the DICOM-SEG do not fall onto those of the grid: give the series that it was drawn on, or "
            "leave --grid out to keep its own grid.",
        )


def _one_axis(whole: NDArray[np.float64]) -> bool:
    """Whether rows and columns each run along one axis of the array, voxel by voxel, and not along the same."""
    steps = np.abs(whole[:3, 1:3])
    return bool((steps.sum(axis=0) == 1).all() and (steps.sum(axis=1) <= 1).all())


def _distance(file: SegFile, places: NDArray) -> float:
    measures = file.dataset.SharedFunctionalGroupsSequence[0].get("PixelMeasuresSequence")
    named = float((measures[0].get("SpacingBetweenSlices") or 0) if measures else 0)
    if named > 0:
        return named
    if len(places) > 1:
        return float(np.diff(places).min())
    return float((measures[0].get("SliceThickness") if measures else None) or 1.0)


def _uneven(found: str) -> SegExportError:
    return SegExportError(
        "E_NONUNIFORM",
        "The DICOM-SEG has no regular grid ({found}): give the series that it was drawn on as the grid.",
        found=found,
    )
