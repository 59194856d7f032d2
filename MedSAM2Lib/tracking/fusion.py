"""Several orientations of one object made one: the mean of their probabilities, weighted by confidence.

An orientation's word counts as much as it agrees as a whole with the one that the user prompted: where it has followed
another object, it is not heard.

Low-resolution logits stay as they are until a slab of the volume is asked for; nothing of the volume's size is held,
and nothing is computed where no orientation was shown the volume.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import reduce

import numpy as np

from MedSAM2Lib.tracking.ending import object_span
from MedSAM2Lib.tracking.keyframes import Interval
from MedSAM2Lib.tracking.objects import SegmentedObject, StoredSlice
from MedSAM2Lib.tracking.words import NOWHERE, Block, Orientation, Word, low_res_logits, probabilities
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
)
from MedSAM2Lib.volume.slices import rows_to_voxels

_BLOCK_VOXELS = 1 << 18
"""Fused at once: few enough that what is computed of them stays in the processor's cache."""


class _Mean:
    """A running weighted mean over orientations, each [k, j, i]; one alone comes out exactly as it went in."""

    def __init__(self, word: FloatArray, weight: FloatArray) -> None:
        self.weights = weight.copy()
        self.values = np.where(weight > 0, word, np.float32(0.0))

    def add(self, word: FloatArray, weight: FloatArray) -> FloatArray:
        """Takes in one orientation more; gives its difference to the mean before it."""
        self.weights += weight
        step = word - self.values
        share = _ratio(weight, self.weights)
        share *= step
        self.values += share
        return step


class _Spread:
    """How far orientations lie about their mean; exactly 0 of one alone, and of equal ones (West 1979)."""

    def __init__(self, word: FloatArray, weight: FloatArray) -> None:
        self._mean = _Mean(word, weight)
        self._deviation = np.zeros_like(weight)

    def add(self, word: FloatArray, weight: FloatArray) -> None:
        """Takes in one orientation more."""
        step = self._mean.add(word, weight)
        step *= weight
        step *= word - self._mean.values
        self._deviation += step

    @property
    def disagreement(self) -> FloatArray:
        """Twice the standard deviation: 1 where equally weighty words are 0 and 1."""
        variance = _ratio(self._deviation, self._mean.weights)
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
    slab = Block(range(first, last + 1), range(shape[1]), range(shape[2]))
    probability, disagreement = (np.zeros(slab.shape, dtype=np.float32) for _ in range(2))
    asked = [axis for axis in axes or AXES if any(update.took_part(axis) for update in segmented.updates)]
    orientations = [Orientation(segmented, axis, slab, axes is not None) for axis in asked]
    for block in _blocks([one.shown for one in orientations]):
        place = block.place_in(slab)
        probability[place], disagreement[place] = _fused([one.on(block) for one in orientations])
    if axes is None:
        _cut_off_ends(probability, disagreement, segmented, shape, first)
        _overlay_keyframes(probability, disagreement, segmented, first, last)
    return FusedSlab(first, probability, disagreement)


def _blocks(shown: Sequence[Block]) -> Iterator[Block]:
    """The smallest box of all that any orientation was shown, in parts along k; elsewhere all agree on nothing."""
    box = reduce(Block.joined, shown, NOWHERE)
    size = max(1, _BLOCK_VOXELS // max(1, len(box.j) * len(box.i)))
    for start in range(box.k.start, box.k.stop, size):
        yield Block(range(start, min(start + size, box.k.stop)), box.j, box.i)


def _fused(words: Sequence[Word]) -> tuple[FloatArray, FloatArray]:
    """Probability and disagreement of a block."""
    first = words[0]
    mean, spread = _Mean(first.probability, first.weight), _Spread(first.probability, first.trust)
    for word in words[1:]:
        mean.add(word.probability, word.weight)
        spread.add(word.probability, word.trust)
    return mean.values, spread.disagreement


def _ratio(part: FloatArray, whole: FloatArray) -> FloatArray:
    """Their quotient; 0 where there is nothing to divide by."""
    if whole.all():
        return part / whole
    return np.divide(part, whole, out=np.zeros_like(part), where=whole > 0)


def logits_of(probability: FloatArray) -> FloatArray:
    """The logits of probabilities; NOT_COMPUTED where nothing was found at all."""
    clipped = np.clip(probability, 1e-7, 1 - 1e-7)
    return np.where(probability > 0, np.log(clipped / (1 - clipped)), NOT_COMPUTED).astype(np.float32)


def stored_logits(stored: StoredSlice, rows: range | None = None) -> FloatArray:
    """A stored slice's logits on its voxels, all rows or some."""
    return rows_to_voxels(stored.frame, low_res_logits(stored), range(stored.frame.shape[0]) if rows is None else rows)


def _part(interval: Interval, first: int) -> tuple[slice, ...]:
    """The part of a slab [n, j, i] that begins at slice ``first`` of k that lies in an interval of any axis."""
    place = [slice(None)] * 3
    start = interval.first - (first if interval.axis == "k" else 0)
    place[array_dimension(interval.axis)] = slice(max(start, 0), max(start + len(interval), 0))
    return tuple(place)


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
