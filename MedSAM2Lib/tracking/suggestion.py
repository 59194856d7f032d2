"""The suggested next prompt: the slice on which the model or its orientations doubt most, and the place of it."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from MedSAM2Lib.tracking.fusion import fused_slab
from MedSAM2Lib.tracking.objects import SegmentedObject
from MedSAM2Lib.types import IJK, Axis, FloatArray, SliceKey, Suggestion, array_dimension, ijk_position, in_plane_axes
from MedSAM2Lib.volume.components import deepest, largest_component
from MedSAM2Lib.volume.volume import Volume

_SLAB = 16
_LEAST_DOUBT = 0.05
_DISAGREEMENT = 0.5


def suggested_prompt(segmented: SegmentedObject, volume: Volume) -> Suggestion | None:
    """Where a prompt helps most along the axis of the first propagation.

    Doubt of a slice is what its predicted IoU lacks to 1, or the share of the object's area on which the orientations
    contradict each other, whichever is more. The place is the middle of the largest such part, or of what is nearest
    to even odds. Keyframes are never suggested. None where nothing is tracked or in doubt.
    """
    if not segmented.updates:
        return None
    axis = segmented.updates[0].interval.axis
    profile = _profile(segmented, volume, axis)
    doubts = np.maximum(_untrusted(segmented, volume, axis), profile.contradicted)
    doubts[segmented.keyframes(axis)] = 0.0
    index = int(doubts.argmax())
    if doubts[index] < _LEAST_DOUBT:
        return None
    reason = "orientations disagree" if profile.contradicted[index] >= doubts[index] else "low predicted IoU"
    place = _place(segmented, volume, axis, index)
    return Suggestion(SliceKey(axis, index), place, float(doubts[index]), reason)


class _Profile:
    """Sums over the slices of an axis: the object's area, and the area in which orientations contradict each other."""

    def __init__(self, count: int) -> None:
        self.area = np.zeros(count)
        self.disputed = np.zeros(count)

    @property
    def contradicted(self) -> NDArray[np.float64]:
        """The disputed share of all that any orientation takes for the object, 0 to 1."""
        return np.minimum(1.0, self.disputed / np.maximum(np.maximum(self.area, self.area.max() * 0.25), 1.0))


def _profile(segmented: SegmentedObject, volume: Volume, axis: Axis) -> _Profile:
    profile = _Profile(volume.slice_count(axis))
    in_plane = tuple(place for place in range(3) if place != array_dimension(axis))
    for start in range(0, volume.slice_count("k"), _SLAB):
        last = min(start + _SLAB, volume.slice_count("k")) - 1
        slab = fused_slab(segmented, volume.shape, start, last)
        where = slice(start, last + 1) if axis == "k" else slice(None)
        profile.area[where] += (slab.probability > 0.5).sum(axis=in_plane)
        profile.disputed[where] += (slab.disagreement > _DISAGREEMENT).sum(axis=in_plane)
    return profile


def _untrusted(segmented: SegmentedObject, volume: Volume, axis: Axis) -> NDArray[np.float64]:
    """1 - predicted IoU of every slice on which the object was found; 0 elsewhere."""
    doubts = np.zeros(volume.slice_count(axis))
    for index, versions in segmented.stored(axis):
        record = versions[-1][1].record
        if bool((record.low_res_logits > 0).any()):
            doubts[index] = 1.0 - min(max(record.predicted_iou, 0.0), 1.0)
    return doubts


def _place(segmented: SegmentedObject, volume: Volume, axis: Axis, index: int) -> IJK:
    probability, disagreement = _slice_of(segmented, volume, axis, index)
    disputed = disagreement > _DISAGREEMENT
    if not disputed.any():
        undecided = np.abs(probability - 0.5)
        disputed = undecided <= undecided.min() + 0.1
    row, column = deepest(largest_component(disputed), (1.0, 1.0))
    rows, columns = in_plane_axes(axis)
    place = [0.0, 0.0, 0.0]
    for name, value in ((axis, index), (rows, row), (columns, column)):
        place[ijk_position(name)] = float(value)
    return place[0], place[1], place[2]


def _slice_of(segmented: SegmentedObject, volume: Volume, axis: Axis, index: int) -> tuple[FloatArray, FloatArray]:
    if axis == "k":
        slab = fused_slab(segmented, volume.shape, index, index)
        return slab.probability[0], slab.disagreement[0]
    parts = [
        fused_slab(segmented, volume.shape, start, min(start + _SLAB, volume.slice_count("k")) - 1)
        for start in range(0, volume.slice_count("k"), _SLAB)
    ]
    dimension = array_dimension(axis)
    probability = np.concatenate([np.take(part.probability, index, axis=dimension) for part in parts])
    disagreement = np.concatenate([np.take(part.disagreement, index, axis=dimension) for part in parts])
    return probability, disagreement
