"""Several orientations of one object made one: the mean of their probabilities, weighted by confidence.

Low-resolution logits stay as they are until a slab of the volume is asked for; nothing of the volume's size is held.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import torch

from MedSAM2Lib.tracking.keyframes import Interval
from MedSAM2Lib.tracking.objects import SegmentedObject, StoredSlice
from MedSAM2Lib.types import (
    NOT_COMPUTED,
    Axis,
    BoolArray,
    FloatArray,
    FusedSlab,
    MaskPrompt,
    SliceKey,
    array_dimension,
    in_plane_axes,
)
from MedSAM2Lib.volume.slices import rows_to_voxels

ABSENT_WEIGHT = 0.5
"""What an orientation's word counts that a voxel is not of the object, where it did not look or saw nothing."""


@dataclass
class _Sums:
    """Weighted sums over orientations, each [n, j, i]: of weights, probabilities and their squares."""

    weights: FloatArray
    values: FloatArray
    squares: FloatArray

    @staticmethod
    def zeros(shape: tuple[int, int, int]) -> _Sums:
        return _Sums(*(np.zeros(shape, dtype=np.float32) for _ in range(3)))


def fused_slab(
    segmented: SegmentedObject, shape: tuple[int, int, int], first: int, last: int, axes: Sequence[Axis] | None = None
) -> FusedSlab:
    """Slices ``first`` to ``last`` along k of an object in a volume of ``shape`` [k, j, i].

    ``axes`` are the orientations asked, by default all that have results. What the user prompted or drew on a slice
    holds there, the later one where two such slices cross.
    """
    slab = (last - first + 1, shape[1], shape[2])
    sums = _Sums.zeros(slab)
    taking_part = [axis for axis in axes or ("k", "j", "i") if _has_results(segmented, axis)]
    for axis in taking_part:
        _add_orientation(sums, segmented, axis, first, last)
    mean = np.divide(sums.values, sums.weights, out=np.zeros(slab, np.float32), where=sums.weights > 0)
    spread = np.divide(sums.squares, sums.weights, out=np.zeros(slab, np.float32), where=sums.weights > 0)
    disagreement = 2 * np.sqrt(np.maximum(spread - mean * mean, 0.0))
    if axes is None:
        _overlay_keyframes(mean, disagreement, segmented, first, last)
    return FusedSlab(first, mean, disagreement)


def confidence(stored: StoredSlice) -> float:
    """How much a slice's probabilities count: predicted IoU times the probability that the object is there."""
    record = stored.record
    if not bool((record.low_res_logits > 0).any()):
        return ABSENT_WEIGHT
    return max(record.predicted_iou, 0.01) * 1 / (1 + math.exp(-record.object_score))


def probabilities(logits: FloatArray) -> FloatArray:
    """The sigmoid of logits, float32."""
    return np.asarray(torch.from_numpy(logits).sigmoid().numpy())


def logits_of(probability: FloatArray) -> FloatArray:
    """The logits of probabilities; NOT_COMPUTED where nothing was found at all."""
    clipped = np.clip(probability, 1e-7, 1 - 1e-7)
    return np.where(probability > 0, np.log(clipped / (1 - clipped)), NOT_COMPUTED).astype(np.float32)


def stored_logits(stored: StoredSlice, rows: range | None = None) -> FloatArray:
    """A stored slice's logits on its voxels, all rows or some."""
    logits = stored.record.low_res_logits[0, 0].cpu().numpy()
    return rows_to_voxels(stored.frame, logits, range(stored.frame.shape[0]) if rows is None else rows)


def _has_results(segmented: SegmentedObject, axis: Axis) -> bool:
    return any(key.axis == axis for update in segmented.updates for key in update.slices)


def _add_orientation(sums: _Sums, segmented: SegmentedObject, axis: Axis, first: int, last: int) -> None:
    """Where an axis has no result it says "not the object", with ``ABSENT_WEIGHT``."""
    sums.weights += ABSENT_WEIGHT
    for index, versions in segmented.stored(axis):
        if axis == "k" and not first <= index <= last:
            continue
        place = _in_slab(axis, index, first)
        rows = None if axis == "k" else range(first, last + 1)
        probability, weight = _newest(axis, index, versions, rows, first)
        sums.weights[place] += weight - ABSENT_WEIGHT
        sums.values[place] += weight * probability
        sums.squares[place] += weight * probability * probability


def _newest(
    axis: Axis, index: int, versions: Iterable[tuple[Interval, StoredSlice]], rows: range | None, first: int
) -> tuple[FloatArray, FloatArray]:
    """Probabilities and weights of a slice's part in the slab, each voxel from the newest result that holds there."""
    probability: FloatArray | None = None
    weight: FloatArray | None = None
    for interval, stored in versions:
        new = probabilities(stored_logits(stored, rows))
        if probability is None or weight is None:
            probability, weight = np.zeros_like(new), np.full_like(new, ABSENT_WEIGHT)
        where = _held(axis, index, interval, new.shape, first if rows is not None else 0)
        probability[where] = new[where]
        weight[where] = confidence(stored)
    assert probability is not None
    assert weight is not None
    return probability, weight


def _held(axis: Axis, index: int, interval: Interval, shape: tuple[int, ...], first: int) -> tuple[slice, slice]:
    """The part of a slice (rows from ``first``) that lies in an interval, which may be of another axis."""
    everything = slice(None)
    if interval.axis == axis:
        return (everything, everything) if index in interval else (slice(0, 0), everything)
    along_rows = in_plane_axes(axis)[0] == interval.axis
    start = interval.first - (first if along_rows else 0)
    part = slice(max(start, 0), max(start + len(interval), 0))
    return (part, everything) if along_rows else (everything, part)


def _overlay_keyframes(
    mean: FloatArray, disagreement: FloatArray, segmented: SegmentedObject, first: int, last: int
) -> None:
    keys = list(dict.fromkeys(prompt.slice for prompt in reversed(segmented.prompts)))
    for key in reversed(keys):
        track = segmented.axes.get(key.axis)
        stored = track.keyframes.get(key.index) if track is not None else None
        if stored is None or (key.axis == "k" and not first <= key.index <= last):
            continue
        place = _in_slab(key.axis, key.index, first)
        rows = None if key.axis == "k" else range(first, last + 1)
        given = given_mask(segmented, key)
        if given is None:
            mean[place] = probabilities(stored_logits(stored, rows))
        else:
            mean[place] = given if rows is None else given[first : last + 1]
        disagreement[place] = 0.0


def given_mask(segmented: SegmentedObject, key: SliceKey) -> BoolArray | None:
    """The mask that the user drew on a slice, or None."""
    return next((one.mask for one in segmented.prompts_on(key) if isinstance(one, MaskPrompt)), None)


def _in_slab(axis: Axis, index: int, first: int) -> tuple[slice | int, ...]:
    """Where a slice lies in a slab [n, j, i] that begins at slice ``first`` of k."""
    place: list[slice | int] = [slice(None)] * 3
    place[array_dimension(axis)] = index - first if axis == "k" else index
    return tuple(place)
