"""What one orientation says of a part of the volume: probabilities, how much they count, and how far it is trusted.

Slices that were shown alike are brought to voxels together; where no slice was shown nothing is computed.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from functools import reduce

import numpy as np

from MedSAM2Lib.tracking.keyframes import Interval
from MedSAM2Lib.tracking.objects import SegmentedObject, StoredSlice, Update
from MedSAM2Lib.types import (
    AXES,
    NOT_COMPUTED,
    Axis,
    FloatArray,
    SliceFrame,
    SliceKey,
    array_dimension,
    in_plane_axes,
)
from MedSAM2Lib.volume.slices import columns_between, covered_voxels, rows_between

ABSENT_WEIGHT = 0.05
"""What an orientation's word counts that a voxel is not of the object, where it did not look or saw nothing."""

DENIAL_WEIGHT = 1.0
"""What the same word counts of the orientation that the user prompted: one other alone does not outvote it, two do."""


@dataclass(frozen=True)
class Block:
    """A part of a volume: its slices along k, j and i."""

    k: range
    j: range
    i: range

    @staticmethod
    def of(axis: Axis, along: range, rows: range, columns: range) -> Block:
        """From slices of an axis, and the rows and columns of each."""
        ranges = {axis: along, **dict(zip(in_plane_axes(axis), (rows, columns)))}
        return Block(ranges["k"], ranges["j"], ranges["i"])

    @property
    def ranges(self) -> tuple[range, range, range]:
        return self.k, self.j, self.i

    @property
    def shape(self) -> tuple[int, int, int]:
        return len(self.k), len(self.j), len(self.i)

    @property
    def empty(self) -> bool:
        return 0 in self.shape

    def within(self, other: Block) -> Block:
        """What both have in common."""
        return Block(*(_common(*pair) for pair in zip(self.ranges, other.ranges)))

    def joined(self, other: Block) -> Block:
        """The smallest block that holds both; one that is empty does not count."""
        if self.empty or other.empty:
            return other if self.empty else self
        pairs = zip(self.ranges, other.ranges)
        return Block(*(range(min(a.start, b.start), max(a.stop, b.stop)) for a, b in pairs))

    def place_in(self, other: Block) -> tuple[slice, slice, slice]:
        """Where it lies in an array over a block that holds it."""
        pairs = zip(self.ranges, other.ranges)
        k, j, i = (slice(own.start - its.start, own.stop - its.start) for own, its in pairs)
        return k, j, i

    def limited(self, interval: Interval) -> Block:
        """The part that lies in an interval of any axis."""
        names = zip(AXES, self.ranges)
        part = range(interval.first, interval.last + 1)
        return Block(*(_common(own, part) if axis == interval.axis else own for axis, own in names))


NOWHERE = Block(range(0), range(0), range(0))


@dataclass(frozen=True, eq=False)
class Word:
    """What an orientation says of a block, each float32 [k, j, i]; ``weight`` is trust times confidence."""

    probability: FloatArray
    weight: FloatArray
    trust: FloatArray


@dataclass(frozen=True, eq=False)
class _Run:
    """Neighbouring slices of an axis that an update found and that were shown alike, in a slab.

    ``held`` are their voxels that the update's interval holds, ``shown`` those of them that the network saw as well.
    ``frame`` is the first one's. ``logits`` lie as the volume does, [k, j, i], over ``shown``, but along the slices'
    columns still in low resolution. ``weights`` say how much each slice counts where it was shown.
    """

    held: Block
    shown: Block
    frame: SliceFrame
    logits: FloatArray
    weights: FloatArray


class Orientation:
    """All that is known of an object along one axis, in a slab of the volume.

    Where it took part and has no result it says "not the object", with ``DENIAL_WEIGHT`` if it is the update's own or
    ``denies``, else with ``ABSENT_WEIGHT``; where it did not take part, and on slices still to come, it says nothing.
    """

    def __init__(self, segmented: SegmentedObject, axis: Axis, slab: Block, denies: bool) -> None:
        self.axis = axis
        self._updates = [update for update in segmented.updates if update.took_part(axis)]
        self._absent = [_absent(update.interval, axis, denies) for update in self._updates]
        self._runs = [list(_runs(update, axis, slab, absent)) for update, absent in zip(self._updates, self._absent)]
        known = {key.index for update in self._updates for key in update.slices if key.axis == axis}
        self._to_come = segmented.unfinished(axis) - known

    @property
    def shown(self) -> Block:
        """A block outside which it finds nothing at all."""
        return reduce(Block.joined, (run.shown for runs in self._runs for run in runs), NOWHERE)

    def on(self, block: Block) -> Word:
        """What it says of a block."""
        probability, weight, trust = (np.zeros(block.shape, dtype=np.float32) for _ in range(3))
        for update, absent in zip(self._updates, self._absent):
            place = block.limited(update.interval).place_in(block)
            weight[place] = absent
            trust[place] = update.agreement.get(self.axis, 1.0)
        for runs, absent in zip(self._runs, self._absent):
            for run in runs:
                self._add(run, absent, block, probability, weight)
        for index in self._to_come:
            trust[block.limited(Interval(self.axis, index, index)).place_in(block)] = 0.0
        weight *= trust
        return Word(probability, weight, trust)

    def _add(self, run: _Run, absent: float, block: Block, probability: FloatArray, weight: FloatArray) -> None:
        held, shown = run.held.within(block), run.shown.within(block)
        probability[held.place_in(block)] = 0.0
        weight[held.place_in(block)] = absent
        if shown.empty:
            return
        columns = array_dimension(in_plane_axes(self.axis)[1])
        place = list(shown.place_in(run.shown))
        place[columns] = slice(None)
        logits = columns_between(run.frame, run.logits[tuple(place)], shown.ranges[columns], columns)
        along = shown.place_in(run.shown)[array_dimension(self.axis)]
        weights = run.weights[along].reshape([-1 if axis == self.axis else 1 for axis in AXES])
        weight[shown.place_in(block)] = np.where(logits > NOT_COMPUTED, weights, np.float32(absent))
        probability[shown.place_in(block)] = probabilities(logits)


def confidence(stored: StoredSlice) -> float:
    """How much a slice with the object counts: predicted IoU times the probability that the object is there."""
    record = stored.record
    return max(record.predicted_iou, 0.01) * 1 / (1 + math.exp(-record.object_score))


def probabilities(logits: FloatArray) -> FloatArray:
    """The sigmoid of logits, float32; of each by itself, to the last bit, wherever in an array it stands."""
    result = np.negative(logits, dtype=np.float32)
    with np.errstate(over="ignore"):
        np.exp(result, out=result)
    result += 1
    return np.divide(1, result, out=result)


def low_res_logits(stored: StoredSlice) -> FloatArray:
    """A stored slice's logits [h, w] as an array on the host."""
    return np.asarray(stored.record.low_res_logits[0, 0].cpu().numpy())


def _runs(update: Update, axis: Axis, slab: Block, absent: float) -> Iterator[_Run]:
    """An update's slices along an axis, neighbours together; only where a slab holds them."""
    indices = sorted(key.index for key in update.slices if key.axis == axis)
    alike: list[StoredSlice] = []
    for index in indices:
        stored = update.slices[SliceKey(axis, index)]
        if axis == "k" and index not in slab.k:
            continue
        if alike and not _neighbours(alike[-1], stored):
            yield _run(alike, update.interval, slab, absent)
            alike = []
        alike.append(stored)
    if alike:
        yield _run(alike, update.interval, slab, absent)


def _neighbours(one: StoredSlice, other: StoredSlice) -> bool:
    """Whether a slice follows another one and was shown alike."""
    shapes = one.record.low_res_logits.shape, other.record.low_res_logits.shape
    next_one = other.frame.key.index == one.frame.key.index + 1
    return next_one and one.frame.region == other.frame.region and shapes[0] == shapes[1]


def _run(alike: list[StoredSlice], interval: Interval, slab: Block, absent: float) -> _Run:
    frame, axis = alike[0].frame, alike[0].frame.key.axis
    along = range(frame.key.index, frame.key.index + len(alike))
    rows, columns = (range(size) for size in frame.shape)
    held = Block.of(axis, along, rows, columns).within(slab).limited(interval)
    logits = [low_res_logits(one) for one in alike]
    highest = [float(one.max()) for one in logits]
    shown = Block.of(axis, along, *covered_voxels(frame)).within(held)
    if shown.empty or max(highest) <= NOT_COMPUTED:
        return _Run(held, NOWHERE, frame, logits[0], np.zeros(0, dtype=np.float32))
    rows_shown = shown.ranges[array_dimension(in_plane_axes(axis)[0])]
    first = shown.ranges[array_dimension(axis)]
    part = slice(first.start - along.start, first.stop - along.start)
    short = np.stack([rows_between(frame, one, rows_shown) for one in logits[part]])
    weights = [confidence(one) if value > 0 else absent for one, value in zip(alike[part], highest[part])]
    return _Run(held, shown, frame, _as_in_the_volume(short, axis), np.array(weights, dtype=np.float32))


def _as_in_the_volume(logits: FloatArray, axis: Axis) -> FloatArray:
    """Slices of an axis [n, rows, columns] as [k, j, i]."""
    order = [axis, *in_plane_axes(axis)]
    return np.ascontiguousarray(logits.transpose([order.index(name) for name in AXES]))


def _absent(interval: Interval, axis: Axis, denies: bool) -> float:
    """The weight of "not the object" along an axis, in an update of an interval."""
    return DENIAL_WEIGHT if denies or interval.axis == axis else ABSENT_WEIGHT


def _common(one: range, other: range) -> range:
    start = max(one.start, other.start)
    return range(start, max(start, min(one.stop, other.stop)))
