"""Runs updates: along the prompted axis, then the other orientations seeded from it, then where the object returns."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from MedSAM2Lib.tracking.fusion import fused_slab, stored_logits
from MedSAM2Lib.tracking.keyframes import Interval
from MedSAM2Lib.tracking.objects import AxisTrack, SegmentedObject, StoredSlice, Update
from MedSAM2Lib.tracking.orientations import (
    ObjectBox,
    axes_beside,
    box_of,
    region_for,
    seed_prompts,
    touches_border,
)
from MedSAM2Lib.tracking.propagation import absent, lanes_for, propagate
from MedSAM2Lib.tracking.tracks import TrackMaker, numpy_logits
from MedSAM2Lib.types import Axis, BoolArray, Orientations, SliceKey, StopRule, array_dimension
from MedSAM2Lib.volume.region import around_region, slice_grid, union

_SLAB = 16
_TOUCHING_SLICES = 2
_REFIT = 1.3
_RETURN_AREA = 0.1
_RETURN_PIXELS = 12


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
        self.orientations = orientations
        self.seed_by = seed_by
        self.volume = tracks.view.volume

    def run(self, objects: Mapping[int, SegmentedObject]) -> Iterator[Found]:
        """Every slice as it is computed; an object whose prompts change meanwhile drops out."""
        versions = {object_id: segmented.version for object_id, segmented in objects.items()}

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
        for segmented, update in work.values():
            if update.seeded is None:
                update.seeded = self._seed(segmented, update)
        yield from self._track({key: (one, update, update.seeded or []) for key, (one, update) in work.items()})

    def _track(self, plan: Plan) -> Iterator[Found]:
        """Tracks intervals of axes, and again in a wider region where the object did not fit the first one."""
        versions = {key: one.version for key, (one, _, _) in plan.items()}
        yield from self._pass(plan)
        plan = {key: entry for key, entry in plan.items() if entry[0].version == versions[key]}
        wider = {
            key: (one, update, [each for each in intervals if self._refit(one, update, each)])
            for key, (one, update, intervals) in plan.items()
        }
        if any(intervals for _, _, intervals in wider.values()):
            yield from self._pass(wider)
            for segmented, update, intervals in wider.values():
                for interval in intervals:
                    self._drop_outgrown(segmented, update, interval.axis)

    def _pass(self, plan: Plan) -> Iterator[Found]:
        by_lane = {}
        for object_id, (segmented, update, intervals) in plan.items():
            for interval in intervals:
                track = segmented.axes[interval.axis]
                track.tracker.remember_prompted()
                span = (interval.first, interval.last)
                track.lanes = lanes_for(object_id, track.tracker, *span, track.pending, track.lanes)
                by_lane.update({id(lane): (update, track, interval.axis) for lane in track.lanes})
        lanes = [
            lane for one, _, intervals in plan.values() for each in intervals for lane in one.axes[each.axis].lanes
        ]
        for progress in propagate(lanes, self.tracks.runner, self.stop):
            update, track, axis = by_lane[id(progress.lane)]
            key = SliceKey(axis, progress.record.index)
            update.slices[key] = self.tracks.stored(track, key, progress.record)
            yield Found(progress.lane.object_id, key, update.slices[key])

    def _refit(self, segmented: SegmentedObject, update: Update, interval: Interval) -> bool:
        """A wider region for an axis on which the object runs into the border of its region; at most once."""
        track = segmented.axes[interval.axis]
        if track.region is None or interval.axis in update.refitted or self._unfinished(track, interval):
            return False
        keys = [SliceKey(interval.axis, index) for index in range(interval.first, interval.last + 1)]
        here = [update.slices[key] for key in keys if key in update.slices]
        shape = self.volume.slice(interval.axis, 0).shape
        touching = [
            one for one in here if touches_border(numpy_logits(one.record), one.frame.region, (shape[0], shape[1]))
        ]
        if len(touching) < _TOUCHING_SLICES:
            return False
        update.refitted.add(interval.axis)
        wider = around_region(slice_grid(self.volume, interval.axis), track.region, _REFIT)
        refitted = self.tracks.reframed(segmented, interval.axis, track, wider)
        walls = {*segmented.keyframes(interval.axis), *refitted.seeds}
        refitted.pending |= set(range(interval.first, interval.last + 1)) - walls
        segmented.axes[interval.axis] = refitted
        return True

    @staticmethod
    def _drop_outgrown(segmented: SegmentedObject, update: Update, axis: Axis) -> None:
        """What was found in the narrower region and not again in the wider one does not hold; prompts do."""
        track = segmented.axes[axis]
        walls = {*segmented.keyframes(axis), *track.seeds}
        for key, stored in list(update.slices.items()):
            outgrown = stored.frame.region != track.region and key.axis == axis and key.index not in walls
            if outgrown and not track.pending.intersection((key.index,)):
                del update.slices[key]

    @staticmethod
    def _unfinished(track: AxisTrack, interval: Interval) -> bool:
        return any(lane.active for lane in track.lanes) and any(index in interval for index in track.pending)

    def _seed(self, segmented: SegmentedObject, update: Update) -> list[Interval]:
        """Prompts the other axes from the first one's result; the slices of each that are then to be computed."""
        mask = self._mask(update, (update,))
        earlier = [one for one in segmented.updates if one is not update]
        box, before = box_of(mask), box_of(self._mask(update, earlier)) if earlier else None
        if box is None and before is None:
            return []
        touched = box.joined(before) if box is not None else before
        assert touched is not None
        intervals = []
        for other in self._others(segmented, update, touched):
            interval = touched.span(other) if earlier else touched.span_with_margin(other, self._count(other))
            if self._seed_axis(segmented, update, touched, interval, mask):
                intervals.append(interval)
            else:
                self._blank(segmented, update, interval)
        return intervals

    def _others(self, segmented: SegmentedObject, update: Update, box: ObjectBox) -> list[Axis]:
        prompted = [*segmented.prompted_axes(), *(key.axis for one in segmented.updates for key in one.slices)]
        return axes_beside(self.volume, box, update.interval.axis, self.orientations, prompted)

    def _seed_axis(
        self, segmented: SegmentedObject, update: Update, box: ObjectBox, interval: Interval, mask: BoolArray
    ) -> bool:
        """Makes an interval of another axis ready; False where the object is not there to seed it."""
        axis = interval.axis
        seed = seed_prompts(mask, axis, interval, segmented.prompts, self.seed_by)
        keyframes = segmented.keyframes(axis)
        if seed is None and not keyframes:
            return False
        self._ready_track(segmented, axis, box).outdate(interval)
        track = segmented.axes[axis]
        if seed is not None and seed[0] not in keyframes:
            self.tracks.seed(track, SliceKey(axis, seed[0]), seed[1])
        return True

    def _ready_track(self, segmented: SegmentedObject, axis: Axis, box: ObjectBox) -> AxisTrack:
        wanted = region_for(self.volume, box, axis, self.tracks.zoom)
        track = self.tracks.decode_keyframes(segmented, axis) if segmented.keyframes(axis) else segmented.axes.get(axis)
        if track is None:
            track = self.tracks.new_track(axis, wanted)
        elif wanted is not None and track.region is not None and not _within(box.extent(axis), track.region):
            grid = slice_grid(self.volume, axis)
            track = self.tracks.reframed(segmented, axis, track, union(grid, [track.region, wanted]))
        segmented.axes[axis] = track
        return track

    def _blank(self, segmented: SegmentedObject, update: Update, interval: Interval) -> None:
        """What an axis said of slices on which nothing is left of the object no longer holds."""
        for index in range(interval.first, interval.last + 1):
            key = SliceKey(interval.axis, index)
            old = segmented.latest(key)
            if old is not None and key not in update.slices:
                update.slices[key] = StoredSlice(old.frame, absent(old.record))

    def _where_it_returns(self, work: Work) -> Iterator[Found]:
        """Slices on which the first axis saw nothing and the others see the object are tracked from there."""
        plan = {key: (one, update, self._returns(one, update)) for key, (one, update) in work.items() if update.seeded}
        yield from self._pass({key: entry for key, entry in plan.items() if entry[2]})

    def _returns(self, segmented: SegmentedObject, update: Update) -> list[Interval]:
        axis, interval = update.interval.axis, update.interval
        found = self._mask(update, (update,))
        others = [each.axis for each in update.seeded or ()]
        elsewhere = np.concatenate(
            [
                fused_slab(
                    segmented, self.volume.shape, start, min(start + _SLAB, self._count("k")) - 1, others
                ).probability
                > 0.5
                for start in range(0, self._count("k"), _SLAB)
            ]
        )
        in_plane = tuple(place for place in range(3) if place != array_dimension(axis))
        seen, areas = found.sum(axis=in_plane), elsewhere.sum(axis=in_plane)
        least = max(_RETURN_PIXELS, _RETURN_AREA * float(max(seen.max(), areas.max())))
        missed = [
            index for index in range(interval.first, interval.last + 1) if not seen[index] and areas[index] >= least
        ]
        runs = _runs(axis, missed)
        track = segmented.axes[axis]
        for run in runs:
            seed = seed_prompts(elsewhere, axis, run, (), self.seed_by)
            assert seed is not None
            track.outdate(run)
            self.tracks.seed(track, SliceKey(axis, seed[0]), seed[1])
        return [Interval(axis, runs[0].first, runs[-1].last)] if runs else []

    def _mask(self, update: Update, updates: Sequence[Update]) -> BoolArray:
        """What ``updates`` found along an update's own axis in its interval, [k, j, i]; the later ones hold."""
        axis = update.interval.axis
        mask = np.zeros(self.volume.shape, dtype=bool)
        view = np.moveaxis(mask, array_dimension(axis), 0)
        for one in updates:
            for key, stored in one.slices.items():
                if key.axis == axis and key.index in update.interval:
                    view[key.index] = stored_logits(stored) > 0
        return mask

    def _count(self, axis: Axis) -> int:
        return self.volume.slice_count(axis)


def _within(extent: tuple[int, int, int, int], region: tuple[float, float, float, float]) -> bool:
    top, left, bottom, right = extent
    return region[0] <= top and region[1] <= left and bottom + 1 <= region[2] and right + 1 <= region[3]


def _runs(axis: Axis, indices: Sequence[int]) -> list[Interval]:
    """Ascending indices as intervals of neighbours."""
    runs: list[Interval] = []
    for index in indices:
        if runs and runs[-1].last == index - 1:
            runs[-1] = Interval(axis, runs[-1].first, index)
        else:
            runs.append(Interval(axis, index, index))
    return runs
