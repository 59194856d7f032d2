"""Several orientations of one object made one: the mean of their probabilities, weighted by confidence.

An orientation's word counts as much as it agrees as a whole with the one that the user prompted: where it has followed
another object, it is not heard.

Low-resolution logits stay as they are until a slab of the volume is asked for; nothing of the volume's size is held.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from MedSAM2Lib.tracking.ending import object_span
from MedSAM2Lib.tracking.keyframes import Interval
from MedSAM2Lib.tracking.objects import SegmentedObject, StoredSlice
from MedSAM2Lib.types import (
    AXES,
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

ABSENT_WEIGHT = 0.05
"""What an orientation's word counts that a voxel is not of the object, where it did not look or saw nothing."""

DENIAL_WEIGHT = 1.0
"""What the same word counts of the orientation that the user prompted: one other alone does not outvote it, two do."""


@dataclass
class _Mean:
    """A running weighted mean over orientations, each [n, j, i]; ``deviation`` sums weighted squares about the mean.

    One orientation alone comes out exactly as it went in, and equal ones without any deviation (West 1979).
    """

    weights: FloatArray
    values: FloatArray
    deviation: FloatArray
    words: int = 0

    @staticmethod
    def of_nothing(shape: tuple[int, int, int]) -> _Mean:
        weights, values, deviation = (np.zeros(shape, dtype=np.float32) for _ in range(3))
        return _Mean(weights, values, deviation)

    def add(self, probability: FloatArray, weight: FloatArray) -> None:
        """Takes in one orientation; ``weight`` is the mean's own from now on."""
        self.words += 1
        if self.words == 1:
            self.weights, self.values = weight, np.where(weight > 0, probability, np.float32(0.0))
            return
        self.weights += weight
        step = probability - self.values
        share = np.divide(weight, self.weights, out=np.zeros_like(weight), where=self.weights > 0)
        share *= step
        self.values += share
        step *= weight
        step *= probability - self.values
        self.deviation += step

    @property
    def disagreement(self) -> FloatArray:
        """Twice the standard deviation: 1 where equally weighty words are 0 and 1."""
        if self.words < 2:
            return np.zeros_like(self.weights)
        variance = np.divide(self.deviation, self.weights, out=np.zeros_like(self.weights), where=self.weights > 0)
        np.maximum(variance, 0.0, out=variance)
        np.sqrt(variance, out=variance)
        variance *= 2
        return variance


def fused_slab(
    segmented: SegmentedObject, shape: tuple[int, int, int], first: int, last: int, axes: Sequence[Axis] | None = None
) -> FusedSlab:
    """Slices ``first`` to ``last`` along k of an object in a volume of ``shape`` [k, j, i].

    ``axes`` are the orientations asked, by default all that have results; of some, each denies as if it were prompted.
    What the user prompted or drew on a slice holds there, the later one where two such slices cross; and beyond a slice
    that the user emptied at the object's end there is nothing of it.
    """
    slab = (last - first + 1, shape[1], shape[2])
    mean, voices = _Mean.of_nothing(slab), _Mean.of_nothing(slab)
    for axis in axes or AXES:
        if any(update.took_part(axis) for update in segmented.updates):
            probability, weight, trust = _orientation(segmented, axis, slab, first, axes is not None)
            mean.add(probability, weight)
            voices.add(probability, trust)
    probability, disagreement = mean.values, voices.disagreement
    if axes is None:
        _cut_off_ends(probability, disagreement, segmented, shape, first)
        _overlay_keyframes(probability, disagreement, segmented, first, last)
    return FusedSlab(first, probability, disagreement)


def confidence(stored: StoredSlice) -> float:
    """How much a slice with the object counts: predicted IoU times the probability that the object is there."""
    record = stored.record
    return max(record.predicted_iou, 0.01) * 1 / (1 + math.exp(-record.object_score))


def probabilities(logits: FloatArray) -> FloatArray:
    """The sigmoid of logits, float32; of each by itself, to the last bit, wherever in an array it stands."""
    with np.errstate(over="ignore"):
        return np.asarray(1 / (1 + np.exp(-logits)), dtype=np.float32)


def logits_of(probability: FloatArray) -> FloatArray:
    """The logits of probabilities; NOT_COMPUTED where nothing was found at all."""
    clipped = np.clip(probability, 1e-7, 1 - 1e-7)
    return np.where(probability > 0, np.log(clipped / (1 - clipped)), NOT_COMPUTED).astype(np.float32)


def stored_logits(stored: StoredSlice, rows: range | None = None) -> FloatArray:
    """A stored slice's logits on its voxels, all rows or some."""
    logits = stored.record.low_res_logits[0, 0].cpu().numpy()
    return rows_to_voxels(stored.frame, logits, range(stored.frame.shape[0]) if rows is None else rows)


def _orientation(
    segmented: SegmentedObject, axis: Axis, slab: tuple[int, int, int], first: int, denies: bool
) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Probabilities, weights and trust [n, j, i] of one axis; the weights are trust times confidence.

    Where it took part and has no result it says "not the object", with ``DENIAL_WEIGHT`` if it is the update's own or
    ``denies``, else with ``ABSENT_WEIGHT``; where it did not take part, and on slices still to come, it says nothing.
    """
    last = first + slab[0] - 1
    probability, weight, trust = (np.zeros(slab, dtype=np.float32) for _ in range(3))
    for update in segmented.updates:
        if update.took_part(axis):
            weight[_part(update.interval, first)] = _absent(update.interval, axis, denies)
            trust[_part(update.interval, first)] = update.agreement.get(axis, 1.0)
    known = dict(segmented.stored(axis))
    for index in sorted({*known, *segmented.unfinished(axis)}):
        if axis == "k" and not first <= index <= last:
            continue
        place = _in_slab(axis, index, first)
        if index not in known:
            trust[place] = 0.0
            continue
        rows = None if axis == "k" else range(first, last + 1)
        for interval, stored in known[index]:
            where = _held(axis, index, interval, weight[place].shape, first if rows is not None else 0)
            logits = stored_logits(stored, rows)[where]
            probability[place][where] = probabilities(logits)
            seen = (logits > NOT_COMPUTED) & bool((stored.record.low_res_logits > 0).any())
            weight[place][where] = np.where(seen, confidence(stored), _absent(interval, axis, denies))
    return probability, weight * trust, trust


def _absent(interval: Interval, axis: Axis, denies: bool) -> float:
    """The weight of "not the object" along an axis, in an update of an interval."""
    return DENIAL_WEIGHT if denies or interval.axis == axis else ABSENT_WEIGHT


def _part(interval: Interval, first: int) -> tuple[slice, ...]:
    """The part of a slab [n, j, i] that begins at slice ``first`` of k that lies in an interval of any axis."""
    place = [slice(None)] * 3
    start = interval.first - (first if interval.axis == "k" else 0)
    place[array_dimension(interval.axis)] = slice(max(start, 0), max(start + len(interval), 0))
    return tuple(place)


def _held(axis: Axis, index: int, interval: Interval, shape: tuple[int, ...], first: int) -> tuple[slice, slice]:
    """The part of a slice (rows from ``first``) that lies in an interval, which may be of another axis."""
    everything = slice(None)
    if interval.axis == axis:
        return (everything, everything) if index in interval else (slice(0, 0), everything)
    along_rows = in_plane_axes(axis)[0] == interval.axis
    start = interval.first - (first if along_rows else 0)
    part = slice(max(start, 0), max(start + len(interval), 0))
    return (part, everything) if along_rows else (everything, part)


def _cut_off_ends(
    probability: FloatArray,
    disagreement: FloatArray,
    segmented: SegmentedObject,
    shape: tuple[int, int, int],
    first: int,
) -> None:
    for axis in AXES:
        count = shape[array_dimension(axis)]
        span = object_span(segmented.prompts, axis, count)
        for ended in (Interval(axis, 0, span.first - 1), Interval(axis, span.last + 1, count - 1)):
            if len(ended):
                place = _part(ended, first)
                probability[place] = 0.0
                disagreement[place] = 0.0


def _overlay_keyframes(
    mean: FloatArray, disagreement: FloatArray, segmented: SegmentedObject, first: int, last: int
) -> None:
    keys = list(dict.fromkeys(prompt.slice for prompt in reversed(segmented.prompts)))
    for key in reversed(keys):
        track = segmented.axes.get(key.axis)
        stored = track.keyframes.get(key.index) if track is not None else None
        given = given_mask(segmented, key)
        if (stored is None and given is None) or (key.axis == "k" and not first <= key.index <= last):
            continue
        place = _in_slab(key.axis, key.index, first)
        rows = None if key.axis == "k" else range(first, last + 1)
        if given is not None:
            mean[place] = given if rows is None else given[first : last + 1]
        elif stored is not None:
            mean[place] = probabilities(stored_logits(stored, rows))
        disagreement[place] = 0.0


def given_mask(segmented: SegmentedObject, key: SliceKey) -> BoolArray | None:
    """The mask that the user drew on a slice, or None."""
    return next((one.mask for one in segmented.prompts_on(key) if isinstance(one, MaskPrompt)), None)


def _in_slab(axis: Axis, index: int, first: int) -> tuple[slice | int, ...]:
    """Where a slice lies in a slab [n, j, i] that begins at slice ``first`` of k."""
    place: list[slice | int] = [slice(None)] * 3
    place[array_dimension(axis)] = index - first if axis == "k" else index
    return tuple(place)
