"""Between the voxels of a slice and the network's square image of side S.

A ``SliceFrame`` is the rectangle of the slice that fills the image. Voxel ``n`` covers ``[n, n + 1)`` there, pixel
``m`` of the image ``[m, m + 1)``; images and logits are brought over with centres at ``+ 0.5``.
"""

from __future__ import annotations

import math
from functools import lru_cache
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from MedSAM2Lib.types import NOT_COMPUTED, BoolArray, FloatArray, SliceFrame, SliceKey
from MedSAM2Lib.volume.intensity import Window
from MedSAM2Lib.volume.region import Region, slice_grid, square_around
from MedSAM2Lib.volume.volume import Volume

_CUBIC_SUPPORT = 2.0


def whole_frame(volume: Volume, key: SliceKey) -> SliceFrame:
    """The whole slice stretched to the square, whatever its shape in mm: the published way."""
    rows, columns = slice_grid(volume, key.axis).shape
    return SliceFrame(key, (rows, columns), 0.0, 0.0, float(rows), float(columns))


def letterbox_frame(volume: Volume, key: SliceKey) -> SliceFrame:
    """The whole slice in the middle of a square in mm as wide as its larger side, padded."""
    grid = slice_grid(volume, key.axis)
    centre = (grid.shape[0] / 2, grid.shape[1] / 2)
    return SliceFrame(key, grid.shape, *square_around(grid, centre, max(grid.extent_mm)))


def frame_for(volume: Volume, key: SliceKey, region: Region | None) -> SliceFrame:
    """The frame of a region of a slice, or of the whole slice where there is none.

    Raises ValueError for a region without a finite area.
    """
    if region is None:
        return whole_frame(volume, key)
    top, left, bottom, right = region
    if not (all(math.isfinite(edge) for edge in region) and bottom > top and right > left):
        raise ValueError(f"a region needs a finite area, this one is {region}")
    return SliceFrame(key, slice_grid(volume, key.axis).shape, top, left, bottom, right)


def render(volume: Volume, frame: SliceFrame, window: Window, size: int, quantise: bool = False) -> FloatArray:
    """A slice as the network's image: float32 ``[size, size]`` in 0..1, by antialiased cubic interpolation.

    Outside the slice it is 0, the window's black. With ``quantise`` grey values are bytes before and after the
    interpolation; with the whole frame this is MedSAM2's preprocessing, bit for bit.
    """
    pixels = volume.slice(frame.key.axis, frame.key.index)
    place = _canvas(frame, size)
    grey = window.to_bytes if quantise else window.apply
    shown = grey(pixels[place.inside])
    image = _resampled(shown, place, size, Image.Resampling.BICUBIC)
    if quantise:
        return image.astype(np.float32) / np.float32(255.0)
    return np.clip(image, 0.0, 1.0)


def mask_to_network(frame: SliceFrame, mask: BoolArray, size: int) -> FloatArray:
    """A mask ``[rows, columns]`` as float32 ``[size, size]``: the share of each pixel that it covers, 0 outside.

    Antialiased bilinear, as published; there, 0.5 and above count as the object.
    """
    place = _canvas(frame, size)
    image = _resampled(mask[place.inside].astype(np.float32), place, size, Image.Resampling.BILINEAR)
    return np.clip(image, 0.0, 1.0)


def to_network(
    frame: SliceFrame, row_column: tuple[float, float], size: int, centred: bool = False
) -> tuple[float, float]:
    """A voxel coordinate (row, column) in pixels of the network's image, to which the network still adds 0.5.

    As published, the coordinate is scaled: column * size / columns for a whole slice, which puts a voxel's centre up
    to half a voxel too far up and left where it is magnified. ``centred`` puts voxel centres where ``render`` does.
    """
    shift = 0.5 if centred else 0.0
    row_scale, column_scale = _scales(frame, size)
    row, column = row_column
    return (row + shift - frame.top) * row_scale - shift, (column + shift - frame.left) * column_scale - shift


def from_network(
    frame: SliceFrame, row_column: tuple[float, float], size: int, centred: bool = False
) -> tuple[float, float]:
    """The inverse of ``to_network``."""
    shift = 0.5 if centred else 0.0
    row_scale, column_scale = _scales(frame, size)
    row, column = row_column
    return (row + shift) / row_scale + frame.top - shift, (column + shift) / column_scale + frame.left - shift


def to_voxels(frame: SliceFrame, low_res_logits: FloatArray) -> FloatArray:
    """Logits ``[h, w]`` spread over the frame, at the voxel centres: float32 ``[rows, columns]``.

    Bilinear, edges clamped (for a whole frame, torch's ``interpolate`` with ``align_corners=False``); NOT_COMPUTED at
    voxels whose centre is outside the frame.
    """
    rows, columns = frame.shape
    height, width = low_res_logits.shape
    down = _taps(frame.top, frame.bottom, rows, height)
    across = _taps(frame.left, frame.right, columns, width)
    logits = np.full((rows, columns), NOT_COMPUTED, dtype=np.float32)
    if down.covered and across.covered:
        wide = _interpolated(np.ascontiguousarray(low_res_logits.T, dtype=np.float32), across)
        covered = (slice(down.first, down.first + down.covered), slice(across.first, across.first + across.covered))
        logits[covered] = _interpolated(np.ascontiguousarray(wide.T), down)
    return logits


def rows_to_voxels(frame: SliceFrame, low_res_logits: FloatArray, rows: range) -> FloatArray:
    """Some rows of ``to_voxels``, float32 ``[len(rows), columns]``, at the cost of those rows only."""
    logits = np.full((len(rows), frame.shape[1]), NOT_COMPUTED, dtype=np.float32)
    covered, columns = covered_voxels(frame)
    covered = range(max(rows.start, covered.start), min(rows.stop, covered.stop))
    if covered and columns:
        across = columns_between(frame, rows_between(frame, low_res_logits, covered), columns)
        logits[covered.start - rows.start : covered.stop - rows.start, columns.start : columns.stop] = across
    return logits


def covered_voxels(frame: SliceFrame) -> tuple[range, range]:
    """Rows and columns of the slice whose voxel centres lie in the frame: where ``to_voxels`` has logits."""
    down = _taps(frame.top, frame.bottom, frame.shape[0], 1)
    across = _taps(frame.left, frame.right, frame.shape[1], 1)
    return range(down.first, down.first + down.covered), range(across.first, across.first + across.covered)


def rows_between(frame: SliceFrame, low_res_logits: FloatArray, rows: range) -> FloatArray:
    """The first half of ``rows_to_voxels``: logits ``[h, w]`` to ``[len(rows), w]``, for rows that are covered."""
    return _between(low_res_logits, _taps(frame.top, frame.bottom, frame.shape[0], low_res_logits.shape[0]), rows, 0)


def columns_between(frame: SliceFrame, rows_of_logits: FloatArray, columns: range, dimension: int = 1) -> FloatArray:
    """The second half, along one dimension of an array of any: w logits to those of columns that are covered."""
    width = rows_of_logits.shape[dimension]
    return _between(rows_of_logits, _taps(frame.left, frame.right, frame.shape[1], width), columns, dimension)


def _scales(frame: SliceFrame, size: int) -> tuple[float, float]:
    return size / (frame.bottom - frame.top), size / (frame.right - frame.left)


class _Taps(NamedTuple):
    """Linear interpolation along one dimension: the voxels covered, and for each its two sources and their weights."""

    first: int
    covered: int
    lower: NDArray[np.intp]
    upper: NDArray[np.intp]
    upper_weight: FloatArray


@lru_cache(maxsize=64)
def _taps(start: float, stop: float, voxels: int, sources: int) -> _Taps:
    centres = np.arange(voxels) + 0.5
    covered = np.flatnonzero((centres >= start) & (centres <= stop))
    if covered.size == 0:
        return _Taps(0, 0, covered, covered, np.zeros(0, dtype=np.float32))
    position = (centres[covered] - start) * sources / (stop - start) - 0.5
    position = np.clip(position, 0, sources - 1)
    lower = np.floor(position).astype(np.intp)
    upper = np.minimum(lower + 1, sources - 1)
    weight = (position - lower).astype(np.float32)
    return _Taps(int(covered[0]), covered.size, lower, upper, weight[:, None])


def _between(values: FloatArray, taps: _Taps, voxels: range, dimension: int) -> FloatArray:
    """Interpolated along one dimension, for some of the voxels covered."""
    part = slice(voxels.start - taps.first, voxels.stop - taps.first)
    lower = np.take(values, taps.lower[part], axis=dimension, mode="clip")
    between = np.take(values, taps.upper[part], axis=dimension, mode="clip")
    weight = taps.upper_weight[part].reshape([-1 if place == dimension else 1 for place in range(values.ndim)])
    between -= lower
    between *= weight
    between += lower
    return between


def _interpolated(values: FloatArray, taps: _Taps) -> FloatArray:
    lower, upper = values[taps.lower], values[taps.upper]
    upper -= lower
    upper *= taps.upper_weight
    upper += lower
    return upper


class _Canvas(NamedTuple):
    """The voxels needed for a frame, those of them inside the slice, where they go, and the frame's box on them."""

    shape: tuple[int, int]
    inside: tuple[slice, slice]
    target: tuple[slice, slice]
    box: tuple[float, float, float, float]


def _canvas(frame: SliceFrame, size: int) -> _Canvas:
    first_row, last_row = _needed(frame.top, frame.bottom, frame.shape[0], size)
    first_column, last_column = _needed(frame.left, frame.right, frame.shape[1], size)
    rows, target_rows = _overlap(first_row, last_row, frame.shape[0])
    columns, target_columns = _overlap(first_column, last_column, frame.shape[1])
    return _Canvas(
        (last_row - first_row, last_column - first_column),
        (rows, columns),
        (target_rows, target_columns),
        (frame.left - first_column, frame.top - first_row, frame.right - first_column, frame.bottom - first_row),
    )


def _needed(start: float, stop: float, count: int, size: int) -> tuple[int, int]:
    """The half-open range of voxels that a resampling reads: padding to the frame's edge, and the filter's reach.

    Beyond the frame no padding is added, so that a whole frame is resampled exactly as an image of its own.
    """
    reach = math.ceil(_CUBIC_SUPPORT * max(1.0, (stop - start) / size)) + 1
    first = math.floor(start) if start < 0 else max(0, math.floor(start) - reach)
    last = math.ceil(stop) if stop > count else min(count, math.ceil(stop) + reach)
    return min(first, last - 1), last


def _overlap(first: int, last: int, count: int) -> tuple[slice, slice]:
    """The part of ``[first, last)`` within ``[0, count)``: in the slice, and on the canvas."""
    start, stop = min(max(first, 0), count), max(min(last, count), 0)
    stop = max(start, stop)
    return slice(start, stop), slice(max(start - first, 0), max(start - first, 0) + stop - start)


def _resampled(shown: NDArray, place: _Canvas, size: int, filter_: Image.Resampling) -> NDArray:
    if shown.shape == place.shape:
        canvas = np.ascontiguousarray(shown)
    else:
        canvas = np.zeros(place.shape, dtype=shown.dtype)
        canvas[place.target] = shown
    if canvas.shape == (size, size) and place.box == (0, 0, size, size):
        return canvas
    return np.asarray(Image.fromarray(canvas).resize((size, size), filter_, box=place.box))
