"""What a session knows of its objects: prompts, what was tracked along each axis, and which results hold where."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from MedSAM2Lib.tracking.keyframes import Interval
from MedSAM2Lib.tracking.propagation import Lane
from MedSAM2Lib.tracking.runner import SliceRecord
from MedSAM2Lib.tracking.tracker import Tracker
from MedSAM2Lib.types import AXES, Axis, Prompt, SliceFrame, SliceKey
from MedSAM2Lib.volume.region import Region


@dataclass(frozen=True, eq=False)
class StoredSlice:
    """What was found on a slice, and the frame it was shown in."""

    frame: SliceFrame
    record: SliceRecord


@dataclass
class AxisTrack:
    """One object along one axis.

    ``undecoded`` are prompted slices whose prompts changed since, ``pending`` slices still to be computed,
    ``keyframes`` what the user's prompts gave, and ``seeds`` slices that the engine prompted by itself. ``outdated``
    intervals are forgotten only when the next propagation begins: a correction is decoded in the light of what was
    tracked before it.
    """

    region: Region | None
    tracker: Tracker
    pending: set[int]
    undecoded: set[int] = field(default_factory=set)
    keyframes: dict[int, StoredSlice] = field(default_factory=dict)
    seeds: set[int] = field(default_factory=set)
    lanes: list[Lane] = field(default_factory=list)
    outdated: list[Interval] = field(default_factory=list)

    def halt(self) -> None:
        """Ends a propagation under way; what it has found is kept."""
        for lane in self.lanes:
            lane.stop()

    def outdate(self, interval: Interval) -> None:
        """Everything tracked in the interval, and the engine's own seeds there, are to be computed again."""
        self.halt()
        for lane in self.lanes:
            lane.without(interval.first, interval.last)
        for seed in [seed for seed in self.seeds if seed in interval]:
            self.tracker.forget(seed)
            self.seeds.discard(seed)
        self.tracker.forget_range(interval.first, interval.last)
        self.pending.update(range(interval.first, interval.last + 1))

    def settle(self) -> None:
        """Forgets what is outdated, once all prompts are decoded."""
        for interval in self.outdated:
            self.outdate(interval)
        self.outdated = []

    def begin_anew(self, slice_count: int) -> None:
        """Drops all that was tracked; prompts stay."""
        self.outdate(Interval("k", 0, slice_count - 1))
        self.lanes = []


@dataclass
class Update:
    """One propagation and where it holds: voxels of the slices in ``interval``, seen along every axis that took part.

    A correction is an update of the interval between its neighbouring keyframes; results of earlier updates hold
    outside. ``seeded`` are the slices of other axes that take part, None before the first axis is done. ``refitted``
    are axes that have got a wider region.
    """

    interval: Interval
    slices: dict[SliceKey, StoredSlice] = field(default_factory=dict)
    seeded: list[Interval] | None = None
    refitted: set[Axis] = field(default_factory=set)
    done: bool = False


@dataclass
class SegmentedObject:
    """A named object, its prompts in the order they came, and what is known of it along each axis.

    ``version`` counts the changes of its prompts.
    """

    name: str
    prompts: list[Prompt] = field(default_factory=list)
    axes: dict[Axis, AxisTrack] = field(default_factory=dict)
    updates: list[Update] = field(default_factory=list)
    version: int = 0

    def prompts_on(self, key: SliceKey) -> list[Prompt]:
        """The prompts of one slice."""
        return [prompt for prompt in self.prompts if prompt.slice == key]

    def keyframes(self, axis: Axis) -> list[int]:
        """Indices of the slices that the user prompted along an axis, ascending."""
        return sorted({prompt.slice.index for prompt in self.prompts if prompt.axis == axis})

    def prompted_axes(self) -> list[Axis]:
        """Axes with a prompt of the user."""
        return [axis for axis in AXES if self.keyframes(axis)]

    def forget_axis(self, axis: Axis) -> None:
        """Drops an axis that has lost its last prompt, and what was propagated from it."""
        self.axes.pop(axis, None)
        self.updates = [update for update in self.updates if update.interval.axis != axis]
        for update in self.updates:
            update.slices = {key: stored for key, stored in update.slices.items() if key.axis != axis}

    def outdate(self, interval: Interval) -> None:
        """Notes that the interval is to be computed again: by a new update, or by one that has not begun."""
        if not self.updates:
            return
        latest = self.updates[-1]
        waiting = not latest.done and not latest.slices
        if waiting and latest.interval.overlaps(interval):
            latest.interval = latest.interval.joined(interval)
        elif latest.done or latest.seeded is not None or not latest.interval.holds(interval):
            self.updates.append(Update(interval))

    def next_update(self) -> Update | None:
        """The oldest update that is not done."""
        return next((update for update in self.updates if not update.done), None)

    def stored(self, axis: Axis) -> Iterator[tuple[int, list[tuple[Interval, StoredSlice]]]]:
        """Every slice of an axis that has results, with those results and where each holds, oldest first."""
        keys = {key.index for update in self.updates for key in update.slices if key.axis == axis}
        for index in sorted(keys):
            key = SliceKey(axis, index)
            yield (
                index,
                [(update.interval, update.slices[key]) for update in self.updates if key in update.slices],
            )

    def latest(self, key: SliceKey) -> StoredSlice | None:
        """The newest result of a slice."""
        found = (update.slices[key] for update in reversed(self.updates) if key in update.slices)
        return next(found, None)
