"""Edits by anything else: the Segment Editor's brush, another module, a script.

What this program wrote is remembered voxel by voxel. Whatever differs from it was edited by someone, and those slices
are the user's: they become keyframes.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np

from MedSAM2Lib.types import AXES, Axis, BoolArray, SliceKey, array_dimension
from MedSAM2SlicerLib.scene.geometry import volume_shape
from MedSAM2SlicerLib.scene.nodes import Observers, require
from MedSAM2SlicerLib.scene.segments import LABELMAP, Box, labelmap_box, read_segment, require_segment
from MedSAM2SlicerLib.scene.voxels import Change, bounding_box, inside, moved, union

_Mark = tuple[Box | None, int]


class EditWatcher:
    """Notices edits of accepted segments.

    ``changed`` is called with the segment's id after an edit by anything else, each time that its voxels became others.
    After the scene was closed or the segmentation deleted nothing is called any more, and ``accept`` and
    ``changed_slices`` raise InputError ``E_NODE_GONE``.
    """

    def __init__(self, volume_node: Any, segmentation_node: Any) -> None:
        self.changed: Callable[[str], None] | None = None
        self._volume = volume_node
        self._segmentation = segmentation_node
        self._accepted: dict[str, tuple[Box | None, BoolArray]] = {}
        self._stamps: dict[str, tuple[Any, ...]] = {}
        self._marks: dict[str, _Mark] = {}
        self._own = 0
        self._observers = Observers()
        segmentation = segmentation_node.GetSegmentation()
        for event in (
            segmentation.SourceRepresentationModified,
            segmentation.SegmentModified,
            segmentation.SegmentRemoved,
            segmentation.SegmentAdded,
        ):
            self._observers.observe(segmentation, event, self._on_event)

    def accept(self, segment_id: str) -> None:
        """What is in the segment now is no edit."""
        segment = require_segment(self._segmentation, segment_id)
        box = self._box_of(segment)
        mask = read_segment(segment, box) if box else np.zeros((0, 0, 0), dtype=bool)
        inner = bounding_box(mask) if box else None
        self._accepted[segment_id] = (moved(inner, box), mask[inner].copy()) if inner and box else (None, mask[:0])
        self._remember(segment_id, segment)

    def accept_change(self, change: Change) -> None:
        """The voxels of an own change are no edit; all others are what they were before it."""
        accepted = self._accepted.get(change.segment_id)
        if accepted is None:
            return
        box = union(accepted[0], change.box) or change.box
        mask = self._accepted_in(change.segment_id, box)
        place = inside(change.box, box)
        mask[place] = (mask[place] | change.added) & ~change.removed
        self._accepted[change.segment_id] = (box, mask)
        self._remember(change.segment_id, require_segment(self._segmentation, change.segment_id))

    def edit_of(self, segment_id: str) -> Change | None:
        """All that others changed in a segment since it was accepted, as one change; None where nothing differs."""
        require(self._volume, "volume")
        segment = require_segment(self._segmentation, segment_id)
        if segment_id not in self._accepted:
            return None
        box = union(self._accepted[segment_id][0], self._box_of(segment))
        if box is None:
            return None
        current, before = read_segment(segment, box), self._accepted_in(segment_id, box)
        inner = bounding_box(current != before)
        if inner is None:
            return None
        current, before = current[inner], before[inner]
        return Change(segment_id, moved(inner, box), current & ~before, before & ~current)

    def changed_slices(self, segment_id: str, axis: Axis) -> dict[SliceKey, BoolArray]:
        """Slices along an axis that were edited since, with the segment's mask there now, bool ``[rows, columns]``.

        A slice that was emptied has an empty mask. No slices for a segment that was never accepted.
        """
        require(self._volume, "volume")
        segment = require_segment(self._segmentation, segment_id)
        if segment_id not in self._accepted:
            return {}
        box = union(self._accepted[segment_id][0], self._box_of(segment))
        if box is None:
            return {}
        current = read_segment(segment, box)
        edited = current != self._accepted_in(segment_id, box)
        dimension = array_dimension(axis)
        others = tuple(other for other in range(3) if other != dimension)
        found = {}
        for place in np.flatnonzero(edited.any(axis=others)).tolist():
            key = SliceKey(axis, box[dimension].start + place)
            found[key] = self._full_slice(current, box, axis, place)
        return found

    @contextmanager
    def own_changes(self) -> Iterator[None]:
        """Inside, nothing is reported."""
        self._own += 1
        try:
            yield
        finally:
            self._own -= 1

    def close(self) -> None:
        """Stops watching; may be called twice."""
        self._observers.close()
        self._accepted.clear()

    def _on_event(self, _caller: Any, _event: str) -> None:
        if self._own:
            return
        for segment_id in list(self._accepted):
            segment = self._segment(segment_id)
            if segment is None or self._stamp(segment) == self._stamps.get(segment_id):
                continue
            before = self._marks.get(segment_id)
            self._remember(segment_id, segment)
            if self._marks[segment_id] != before and self.changed is not None:
                self.changed(segment_id)

    def _segment(self, segment_id: str) -> Any:
        return self._segmentation.GetSegmentation().GetSegment(segment_id)

    def _remember(self, segment_id: str, segment: Any) -> None:
        self._stamps[segment_id] = self._stamp(segment)
        self._marks[segment_id] = self._mark(segment)

    def _stamp(self, segment: Any) -> tuple[Any, ...]:
        """Changes with every write to the labelmap, which other segments may share."""
        image = segment.GetRepresentation(LABELMAP)
        return (None,) if image is None else (image.GetAddressAsString(""), image.GetMTime(), segment.GetLabelValue())

    def _mark(self, segment: Any) -> _Mark:
        """Changes with the segment's voxels only."""
        box = self._box_of(segment)
        mask = read_segment(segment, box) if box else None
        inner = bounding_box(mask) if mask is not None else None
        if mask is None or inner is None or box is None:
            return None, 0
        return moved(inner, box), zlib.crc32(mask[inner].tobytes())

    def _box_of(self, segment: Any) -> Box | None:
        return labelmap_box(segment, volume_shape(self._volume))

    def _accepted_in(self, segment_id: str, box: Box) -> BoolArray:
        """The accepted mask in a box that holds all of it."""
        kept, mask = self._accepted[segment_id]
        larger = np.zeros([side.stop - side.start for side in box], dtype=bool)
        if kept is not None:
            larger[inside(kept, box)] = mask
        return larger

    def _full_slice(self, current: BoolArray, box: Box, axis: Axis, place: int) -> BoolArray:
        shape = volume_shape(self._volume)
        rows, columns = (array_dimension(other) for other in AXES if other != axis)
        full = np.zeros((shape[rows], shape[columns]), dtype=bool)
        full[box[rows], box[columns]] = current.take(place, axis=array_dimension(axis))
        return full
