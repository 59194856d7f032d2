"""What one axis found, carried over to where the object is not yet known: other axes, and slices where it returns."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from MedSAM2Lib.tracking.ending import emptied_slices, object_span
from MedSAM2Lib.tracking.fusion import fused_slab, stored_logits
from MedSAM2Lib.tracking.keyframes import Interval
from MedSAM2Lib.tracking.objects import AxisTrack, SegmentedObject, Update
from MedSAM2Lib.tracking.orientations import ObjectBox, axes_beside, box_of, region_for, seed_prompts
from MedSAM2Lib.tracking.tracks import TrackMaker
from MedSAM2Lib.types import Axis, BoolArray, Orientations, SliceKey, array_dimension, in_plane_axes
from MedSAM2Lib.volume.components import components_touching
from MedSAM2Lib.volume.region import slice_grid, union

_SLAB = 16
_RETURN_AREA = 0.1
_RETURN_PIXELS = 12


class Seeder:
    """Prompts tracks on the engine's own account.

    Args:
        tracks: makes and prompts tracks.
        orientations: which axes take part.
        seed_by: how they are prompted, ``box`` or ``mask``.
    """

    def __init__(self, tracks: TrackMaker, orientations: Orientations, seed_by: str) -> None:
        self.tracks = tracks
        self.orientations = orientations
        self.seed_by = seed_by
        self.volume = tracks.view.volume

    def other_axes(self, segmented: SegmentedObject, update: Update) -> tuple[list[Interval], list[Interval]]:
        """Makes the other axes ready: their slices that are to be tracked, and those that have lost the object.

        The slices are those that the object spans, or spanned before a correction, in the update's interval.
        """
        place = segmented.updates.index(update)
        earlier = segmented.updates[:place]
        mask = self._mask(update, segmented.updates)
        box, before = box_of(mask), box_of(self._mask(update, earlier))
        touched = box.joined(before) if box is not None else before
        tracked: list[Interval] = []
        lost: list[Interval] = []
        for other in self._others(segmented, update, touched) if touched is not None else ():
            assert touched is not None
            count = self.volume.slice_count(other)
            interval = touched.span(other) if earlier else touched.span_with_margin(other, count)
            seeded = self._seed_axis(segmented, touched, interval, mask)
            (tracked if seeded else lost).append(interval)
        return tracked, lost

    def returns(self, segmented: SegmentedObject, update: Update) -> list[Interval]:
        """Slices on which the others see a part of the object that the update's axis does not; each run is seeded.

        The part lies apart from all that the axis found there: an object that vanishes and returns, or the other limb
        of a horseshoe beside the one that is followed. One interval from the first run to the last, or none.
        """
        axis, interval = update.interval.axis, update.interval
        elsewhere = self._seen_by(segmented, [each.axis for each in update.seeded or ()])
        in_plane = tuple(place for place in range(3) if place != array_dimension(axis))
        found = self._mask(update, segmented.updates)
        seen, areas = found.sum(axis=in_plane), elsewhere.sum(axis=in_plane)
        least = max(_RETURN_PIXELS, _RETURN_AREA * float(max(seen.max(), areas.max())))
        span = object_span(segmented.prompts, axis, self.volume.slice_count(axis))
        open_slices = set(interval.within(span)) - set(segmented.keyframes(axis))
        apart = [index for index in sorted(open_slices) if _area_apart(elsewhere, found, axis, index) >= least]
        runs = _runs(axis, apart)
        track = segmented.axes[axis]
        for run in runs:
            beside = bool(seen[run.first : run.last + 1].any())
            shown = elsewhere | found if beside else elsewhere
            seed = seed_prompts(shown, axis, run, (), "mask" if beside else self.seed_by)
            assert seed is not None
            track.outdate(run)
            self.tracks.seed(track, SliceKey(axis, seed[0]), seed[1])
        return [runs[0].joined(runs[-1])] if runs else []

    def agreement(self, segmented: SegmentedObject, update: Update) -> dict[Axis, float]:
        """Dice, 0 to 1, of what each other axis found with what the update's own one did, in the update's interval."""
        mask = self._mask(update, segmented.updates)
        return {axis: self._dice(segmented, update, axis, mask) for axis in {one.axis for one in update.seeded or ()}}

    def _dice(self, segmented: SegmentedObject, update: Update, axis: Axis, mask: BoolArray) -> float:
        along = np.moveaxis(mask, array_dimension(axis), 0)
        within = _rows_of(update.interval, axis)
        common, found = 0, 0
        for index, _ in segmented.stored(axis):
            latest = segmented.latest(SliceKey(axis, index))
            assert latest is not None
            section = (stored_logits(latest) > 0)[within]
            common += int(np.count_nonzero(section & along[index][within]))
            found += int(np.count_nonzero(section))
        total = found + int(np.count_nonzero(mask))
        return 2 * common / total if total else 1.0

    def _others(self, segmented: SegmentedObject, update: Update, box: ObjectBox) -> list[Axis]:
        prompted = [*segmented.prompted_axes(), *(key.axis for one in segmented.updates for key in one.slices)]
        return axes_beside(self.volume, box, update.interval.axis, self.orientations, prompted)

    def _seed_axis(self, segmented: SegmentedObject, box: ObjectBox, interval: Interval, mask: BoolArray) -> bool:
        """Makes an interval of another axis ready; False where the object is not there to seed it."""
        axis = interval.axis
        emptied = emptied_slices(segmented.prompts, axis)
        seed = seed_prompts(mask, axis, interval, segmented.prompts, self.seed_by, emptied)
        keyframes = segmented.keyframes(axis)
        if seed is None and emptied.issuperset(keyframes):
            if axis in segmented.axes:
                segmented.axes[axis].lose(interval)
            return False
        track = self._ready_track(segmented, axis, box)
        track.outdate(interval)
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

    def _mask(self, update: Update, updates: Sequence[Update]) -> BoolArray:
        """What holds along an update's own axis in its interval, [k, j, i], of all that ``updates`` found."""
        axis = update.interval.axis
        mask = np.zeros(self.volume.shape, dtype=bool)
        view = np.moveaxis(mask, array_dimension(axis), 0)
        for one in updates:
            for key, stored in one.slices.items():
                if key.axis == axis and key.index in update.interval:
                    view[key.index] = stored_logits(stored) > 0
        return mask

    def _seen_by(self, segmented: SegmentedObject, axes: Sequence[Axis]) -> BoolArray:
        """What some orientations together take for the object, [k, j, i]."""
        seen, count = np.empty(self.volume.shape, dtype=bool), self.volume.slice_count("k")
        for start in range(0, count, _SLAB):
            slab = fused_slab(segmented, self.volume.shape, start, min(start + _SLAB, count) - 1, axes)
            np.greater(slab.probability, 0.5, out=seen[start : start + _SLAB])
        return seen


def _area_apart(elsewhere: BoolArray, found: BoolArray, axis: Axis, index: int) -> int:
    """Pixels of the parts of a slice of ``elsewhere`` [k, j, i] that touch nothing of ``found``."""
    there, here = (np.take(mask, index, axis=array_dimension(axis)) for mask in (elsewhere, found))
    if not there.any():
        return 0
    return int(np.count_nonzero(there & ~components_touching(there, here)))


def _rows_of(interval: Interval, axis: Axis) -> tuple[slice, slice]:
    """The part of a slice of ``axis`` that lies in an interval of another one."""
    part = slice(interval.first, interval.last + 1)
    return (part, slice(None)) if in_plane_axes(axis)[0] == interval.axis else (slice(None), part)


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
