"""Runs updates: along the prompted axis, then the other orientations seeded from it, then where the object returns."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from MedSAM2Lib.tracking.ending import emptied_slices, object_span
from MedSAM2Lib.tracking.keyframes import Interval
from MedSAM2Lib.tracking.objects import AxisTrack, SegmentedObject, StoredSlice, Update
from MedSAM2Lib.tracking.orientations import touches_border
from MedSAM2Lib.tracking.propagation import Lane, absent, lanes_for, propagate
from MedSAM2Lib.tracking.seeding import Seeder
from MedSAM2Lib.tracking.tracks import TrackMaker, numpy_logits
from MedSAM2Lib.types import Orientations, SliceKey, StopRule
from MedSAM2Lib.volume.region import around_region, slice_grid

_TOUCHING_SLICES = 2
_REFIT = 1.3


@dataclass(frozen=True, eq=False)
class Found:
    """A slice that an update has computed."""

    object_id: int
    key: SliceKey
    stored: StoredSlice


Work = Mapping[int, tuple[SegmentedObject, Update]]
"""Objects by id, each with the update to be done."""

Plan = Mapping[int, tuple[SegmentedObject, Update, Sequence[Interval]]]
"""The same with the slices to be tracked."""


class UpdateRunner:
    """Runs what is not done of several objects together, so that their steps share batches.

    Args:
        tracks: makes and prompts tracks.
        stop: when a direction ends by itself.
        orientations: which axes take part.
        seed_by: how the other axes are prompted, ``box`` or ``mask``.
    """

    def __init__(self, tracks: TrackMaker, stop: StopRule, orientations: Orientations, seed_by: str = "box") -> None:
        self.tracks = tracks
        self.stop = stop
        self.seeder = Seeder(tracks, orientations, seed_by)
        self.volume = tracks.view.volume

    def run(self, objects: Mapping[int, SegmentedObject]) -> Iterator[Found]:
        """Every slice as it is computed; an object that changes, from this call on, drops out."""
        return self._run(objects, {object_id: segmented.version for object_id, segmented in objects.items()})

    def _run(self, objects: Mapping[int, SegmentedObject], versions: Mapping[int, int]) -> Iterator[Found]:
        def current() -> Work:
            unchanged = {key: one for key, one in objects.items() if one.version == versions[key]}
            updates = {key: (one, one.next_update()) for key, one in unchanged.items()}
            return {key: (one, update) for key, (one, update) in updates.items() if update is not None}

        while current():
            for phase in (self._along_the_first_axis, self._along_the_others, self._where_it_returns):
                yield from phase(current())
            for _, update in current().values():
                update.done = True

    def _along_the_first_axis(self, work: Work) -> Iterator[Found]:
        plan = {key: (one, update, [update.interval]) for key, (one, update) in work.items() if update.seeded is None}
        yield from self._track(plan)

    def _along_the_others(self, work: Work) -> Iterator[Found]:
        for object_id, (segmented, update) in work.items():
            if update.seeded is None:
                update.seeded, update.lost = self.seeder.other_axes(segmented, update)
            for interval in update.lost:
                yield from self._emptied(object_id, segmented, update, interval)
        current = {key: (one, update) for key, (one, update) in work.items() if update.seeded}
        yield from self._track({key: (one, update, update.seeded or []) for key, (one, update) in current.items()})
        for segmented, update in current.values():
            if not update.agreement:
                update.agreement = self.seeder.agreement(segmented, update)

    def _where_it_returns(self, work: Work) -> Iterator[Found]:
        """Slices on which the first axis saw nothing and the others see the object are tracked from there."""
        for segmented, update in work.values():
            if update.returning is None:
                update.returning = self.seeder.returns(segmented, update) if update.seeded else []
        plan = {key: (one, update, update.returning or []) for key, (one, update) in work.items()}
        yield from self._pass({key: entry for key, entry in plan.items() if entry[2]})

    def _track(self, plan: Plan) -> Iterator[Found]:
        """Tracks intervals of axes, and again in a wider region where the object did not fit the first one."""
        versions = {key: one.version for key, (one, _, _) in plan.items()}

        def current() -> Plan:
            return {key: entry for key, entry in plan.items() if entry[0].version == versions[key]}

        yield from self._pass(plan)
        wider = {
            key: (one, update, [each for each in intervals if self._refit(one, update, each)])
            for key, (one, update, intervals) in current().items()
        }
        yield from self._pass({key: entry for key, entry in wider.items() if entry[2]})
        for object_id, (segmented, update, intervals) in current().items():
            for interval in intervals:
                yield from self._emptied(object_id, segmented, update, interval)

    def _pass(self, plan: Plan) -> Iterator[Found]:
        by_lane = {}
        for object_id, (segmented, update, intervals) in plan.items():
            for interval in intervals:
                track = segmented.axes[interval.axis]
                track.tracker.remember_prompted()
                track.lanes = self._lanes(object_id, segmented, track, interval)
                by_lane.update({id(lane): (update, track, interval.axis) for lane in track.lanes})
        lanes = [
            lane for one, _, intervals in plan.values() for each in intervals for lane in one.axes[each.axis].lanes
        ]
        for progress in propagate(lanes, self.tracks.runner, self.stop):
            update, track, axis = by_lane[id(progress.lane)]
            key = SliceKey(axis, progress.record.index)
            update.slices[key] = self.tracks.stored(track, key, progress.record)
            yield Found(progress.lane.object_id, key, update.slices[key])

    def _lanes(self, object_id: int, segmented: SegmentedObject, track: AxisTrack, interval: Interval) -> list[Lane]:
        """Lanes over the slices of an interval on which the object may be, and the emptied ones that end it there."""
        axis = interval.axis
        span = object_span(segmented.prompts, axis, self.volume.slice_count(axis))
        within = interval.within(Interval(axis, span.first - 1, span.last + 1))
        track.pending.difference_update(set(interval) - set(within))
        emptied = emptied_slices(segmented.prompts, axis)
        return lanes_for(object_id, track.tracker, within.first, within.last, track.pending, track.lanes, emptied)

    def _refit(self, segmented: SegmentedObject, update: Update, interval: Interval) -> bool:
        """A wider region for an axis on which the object runs into the border of its region; at most once."""
        track = segmented.axes[interval.axis]
        if track.region is None or interval.axis in update.refitted:
            return False
        keys = [SliceKey(interval.axis, index) for index in range(interval.first, interval.last + 1)]
        here = [update.slices[key] for key in keys if key in update.slices]
        shape = self.volume.slice(interval.axis, 0).shape
        touching = [
            one for one in here if touches_border(numpy_logits(one.record), one.frame.region, (shape[0], shape[1]))
        ]
        if len(touching) < _TOUCHING_SLICES:
            return False
        update.refitted[interval.axis] = track.region
        wider = around_region(slice_grid(self.volume, interval.axis), track.region, _REFIT)
        refitted = self.tracks.reframed(segmented, interval.axis, track, wider)
        keyframes = segmented.keyframes(interval.axis)
        refitted.pending |= set(range(interval.first, interval.last + 1)) - set(keyframes)
        segmented.axes[interval.axis] = refitted
        return True

    def _emptied(
        self, object_id: int, segmented: SegmentedObject, update: Update, interval: Interval
    ) -> Iterator[Found]:
        """Slices of an interval that tracking did not come to have lost the object: what was found there before, in
        earlier updates or in a region that the object has outgrown, does not hold. Prompts do."""
        track = segmented.axes.get(interval.axis)
        kept = {*segmented.keyframes(interval.axis), *(track.pending if track is not None else ())}
        outgrown = update.refitted.get(interval.axis)
        for index in range(interval.first, interval.last + 1):
            key = SliceKey(interval.axis, index)
            found, old = update.slices.get(key), segmented.latest(key)
            if old is None or index in kept:
                continue
            if track is not None and track.tracker.record(index) is not None:
                continue
            if found is None or found.frame.region == outgrown:
                frame = old.frame if track is None else self.tracks.view.frame(key, track.region)
                update.slices[key] = StoredSlice(frame, absent(old.record))
                yield Found(object_id, key, update.slices[key])
