"""Frames of a DICOM-SEG put into label maps on a grid."""

from __future__ import annotations

from collections.abc import Sequence

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
    kind = np.uint8 if most < 256 else np.uint16
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
        lost += sum(outside for _, _, outside in cut)
        layer = next((one for one in layers if not any(one[at][marks != 0].any() for at, marks, _ in cut)), None)
        if layer is None:
            layer = np.zeros(tuple(shape), dtype=kind)
            layers.append(layer)
        for at, marks, _ in cut:
            if number is None:
                np.maximum(layer[at], marks.astype(kind), out=layer[at])
            else:
                layer[at][marks != 0] = number
    return layers or [np.zeros(tuple(shape), dtype=kind)], lost


def _matrix_of(frame: SegFrame) -> NDArray[np.float64]:
    assert frame.matrix is not None
    return frame.matrix


Cut = tuple[tuple["int | slice", ...], NDArray, int]


def _cut(file: SegFile, frame: SegFrame, relative: NDArray[np.float64], shape: Sequence[int]) -> Cut:
    """Where a frame's pixels belong in an array of ``shape``, the pixels turned to fit, and the marks left out.

    ``relative`` maps the frame's (slice, row, column) to the array's index.
    """
    whole = np.rint(relative)
    rows, columns = file.shape
    corners = np.array([[0, row, column, 1] for row in (0, rows - 1) for column in (0, columns - 1)])
    if np.abs((relative - whole)[:3] @ corners.T).max() > _OFF_GRID_VOXELS or not _one_axis(whole):
        raise SegExportError(
            "E_GRID",
            "The voxels of the DICOM-SEG do not fall onto those of the grid: give the series that it was drawn on, or "
            "leave --grid out to keep its own grid.",
        )
    down, across = (int(np.flatnonzero(whole[:3, axis])[0]) for axis in (1, 2))
    pixels = file.pixels(frame)
    marked = int(np.count_nonzero(pixels))
    through = 3 - down - across
    index = round(float(relative[through, 3]))
    at: list[int | slice] = [0, 0, 0]
    at[through] = index if 0 <= index < shape[through] else slice(0, 0)
    for dimension, (axis, length) in enumerate(((down, rows), (across, columns))):
        start, sign = int(whole[axis, 3]), int(whole[axis, dimension + 1])
        low = start if sign > 0 else start - length + 1
        pixels = pixels if sign > 0 else np.flip(pixels, dimension)
        first, last = max(0, low), max(0, min(shape[axis], low + length))
        at[axis] = slice(first, max(first, last))
        pixels = pixels[
            tuple(slice(first - low, max(first, last) - low) if d == dimension else slice(None) for d in (0, 1))
        ]
    if down > across:
        pixels = pixels.T
    if isinstance(at[through], slice):
        pixels = np.zeros((0, 0), dtype=pixels.dtype)
        return (slice(0, 0), 0, slice(0, 0)), pixels, marked
    return tuple(at), pixels, marked - int(np.count_nonzero(pixels))


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
