"""What a session knows of its objects: prompts, what was tracked along each axis, and which results hold where."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import reduce

from MedSAM2Lib.tracking.keyframes import Interval
from MedSAM2Lib.tracking.propagation import Lane
from MedSAM2Lib.tracking.runner import SliceRecord
from MedSAM2Lib.tracking.tracker import Tracker
from MedSAM2Lib.types import AXES, Axis, Prompt, SliceFrame, SliceKey
from MedSAM2Lib.volume.region import Region


@dataclass(frozen=True, eq=False)
class StoredSlice:
    """What was found on a slice, the frame it was shown in, and whether prompts of the user gave it."""

    frame: SliceFrame
    record: SliceRecord
    by_user: bool = False


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

    def lose(self, interval: Interval) -> None:
        """The object is not in the interval: nothing that was found there counts, and nothing is to be computed."""
        self.outdate(interval)
        self.pending.difference_update(range(interval.first, interval.last + 1))

    def settle(self) -> None:
        """Forgets what is outdated, once all prompts are decoded."""
        for interval in self.outdated:
            self.outdate(interval)
        self.outdated = []

    def begin_anew(self) -> None:
        """Drops all that was tracked; prompts stay."""
        self.outdate(Interval("k", 0, self.tracker.slice_count - 1))
        self.lanes, self.outdated = [], []


@dataclass
class Update:
    """One propagation and where it holds: voxels of the slices in ``interval``, seen along every axis that took part.

    A correction is an update of the interval between its neighbouring keyframes; results of earlier updates hold
    outside. ``seeded`` are the slices of other axes that take part, None before the first axis is done; ``lost`` those
    on which the object was and is no more. ``returning`` are those of the first axis on which only the others see the
    object, None before they are done. ``refitted`` are the axes that have got a wider region, each with the one that
    the object did not fit. ``agreement`` is the Dice of what another axis found with what the first one did: how far
    its word is trusted.
    """

    interval: Interval
    slices: dict[SliceKey, StoredSlice] = field(default_factory=dict)
    seeded: list[Interval] | None = None
    lost: list[Interval] = field(default_factory=list)
    returning: list[Interval] | None = None
    refitted: dict[Axis, Region] = field(default_factory=dict)
    agreement: dict[Axis, float] = field(default_factory=dict)
    done: bool = False

    @property
    def waiting(self) -> bool:
        """Whether nothing of it has been computed yet."""
        return not self.done and not self.slices and self.seeded is None

    def asked(self, axis: Axis) -> list[Interval]:
        """The slices of an axis that are to be computed for it, as far as that is known."""
        own = [self.interval, *(self.returning or ())]
        return [interval for interval in [*own, *(self.seeded or ())] if interval.axis == axis]

    def took_part(self, axis: Axis) -> bool:
        """Whether it has results along an axis."""
        return any(key.axis == axis for key in self.slices)


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

    def covered(self, axis: Axis) -> Interval | None:
        """What propagations along an axis have been asked for, as one interval; None where there was none."""
        intervals = [update.interval for update in self.updates if update.interval.axis == axis]
        return reduce(Interval.joined, intervals) if intervals else None

    def missing(self, interval: Interval) -> list[Update]:
        """Updates for the parts of an interval that no propagation has been asked for yet, below and above."""
        covered = self.covered(interval.axis)
        if covered is None:
            return [Update(interval)]
        below = Interval(interval.axis, interval.first, covered.first - 1)
        parts = [below, Interval(interval.axis, covered.last + 1, interval.last)]
        return [Update(part) for part in parts if len(part)]

    def forget_axis(self, axis: Axis) -> None:
        """Drops an axis that has lost its last prompt.

        Its prompts lay between no others on it, so that all that was propagated under them is to be computed again:
        from an axis that still has prompts, as in a session that never had these.
        """
        self.axes.pop(axis, None)
        self.updates = [update for update in self.updates if not (update.waiting and update.interval.axis == axis)]
        heeded = (key.axis == axis and one.by_user for update in self.updates for key, one in update.slices.items())
        if not any(heeded):
            return
        others = [update.interval.axis for update in self.updates if self.keyframes(update.interval.axis)]
        asked = self.covered(others[0]) if others else None
        self.updates = [] if asked is None else [Update(asked)]
        self.axes = {other: track for other, track in self.axes.items() if self.keyframes(other)}
        for other, track in self.axes.items():
            track.outdated.append(Interval(other, 0, track.tracker.slice_count - 1))

    def outdate(self, interval: Interval) -> None:
        """Notes that the interval, as far as it was asked for, is to be computed again.

        By a new update, or by one that has not yet done with that axis.
        """
        asked = self.covered(interval.axis)
        interval = interval if asked is None else interval.within(asked)
        if not self.updates or len(interval) == 0:
            return
        latest = self.updates[-1]
        waiting = [update for update in self.updates if update.waiting and update.interval.overlaps(interval)]
        if waiting:
            waiting[0].interval = waiting[0].interval.joined(interval)
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

    def unfinished(self, axis: Axis) -> set[int]:
        """Slices of an axis that were asked for and have not come yet: they are not known to be without the object."""
        track = self.axes.get(axis)
        if track is None:
            return set()
        held_back = {record.index for lane in track.lanes for record in (*lane.waiting, *lane.finished)}
        asked = [interval for update in self.updates if not update.done for interval in update.asked(axis)]
        return {index for index in {*track.pending, *held_back} if any(index in interval for interval in asked)}

    def latest(self, key: SliceKey) -> StoredSlice | None:
        """The newest result of a slice."""
        found = (update.slices[key] for update in reversed(self.updates) if key in update.slices)
        return next(found, None)
