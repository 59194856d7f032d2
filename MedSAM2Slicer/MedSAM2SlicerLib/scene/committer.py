"""Masks into the user's segments: exact, undoable, and never at another segment's cost.

Voxels are changed by ``vtkSlicerSegmentEditorLogic.ModifySegmentByLabelmap`` only, which gives a segment a layer of its
own before it would take a voxel from one that shares its labelmap. What is added and what is removed are two calls,
each cut to its bounding box: Slicer's modes that replace a region also clear the slices outside of it.

An undo step is the set of voxels that a commit changed. Slicer's own history (``SaveStateForUndo``) restores whole
segmentations, and with them drops every segment that was added and every stroke that was drawn since.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from slicer import vtkMRMLSegmentEditorNode, vtkSlicerSegmentEditorLogic

from MedSAM2Lib.types import BoolArray
from MedSAM2SlicerLib.scene.edits import EditWatcher
from MedSAM2SlicerLib.scene.grids import check_segmentation
from MedSAM2SlicerLib.scene.masking import occupied_voxels, shared_editor_node
from MedSAM2SlicerLib.scene.nodes import is_alive, require
from MedSAM2SlicerLib.scene.segment_tags import mark_as_ours
from MedSAM2SlicerLib.scene.segments import (
    Box,
    check_editable,
    read_segment,
    require_segment,
    segment_ids,
    segment_mask,
)
from MedSAM2SlicerLib.scene.voxels import Change, PackedChange, bounding_box, moved, oriented_image
from MedSAM2SlicerLib.scene.wishes import allowed_part, asked_change

UNDO_STEPS = 50


@dataclass(frozen=True)
class CommitReport:
    """What a commit did: voxels added to the segment and removed from it, and those that it was not given.

    ``protected_voxels`` belong to other segments, ``masked_voxels`` lie outside what the editor's masks let be edited.
    """

    segment_id: str
    label: str
    added_voxels: int
    removed_voxels: int
    protected_voxels: int
    masked_voxels: int

    @property
    def changed_voxels(self) -> int:
        return self.added_voxels + self.removed_voxels


@dataclass(frozen=True, eq=False)
class _Step:
    change: PackedChange
    label: str


class Committer:
    """Writes masks into segments of one segmentation, with undo and redo.

    Args:
        volume_node: gives the grid.
        segmentation_node: holds the segments.
        editor_node: whose masks and overwrite mode hold; read, never written. None: the Segment Editor's, if there.
        watcher: is told of own changes, so that they do not count as edits.
        before_change: called before every change of voxels, undo and redo included.
        undo_steps: how many commits can be taken back.
    """

    def __init__(
        self,
        volume_node: Any,
        segmentation_node: Any,
        *,
        editor_node: Any = None,
        watcher: EditWatcher | None = None,
        before_change: Callable[[], None] | None = None,
        undo_steps: int = UNDO_STEPS,
    ) -> None:
        self._volume = volume_node
        self._segmentation = segmentation_node
        self._editor_node = editor_node
        self._watcher = watcher
        self._before_change = before_change
        self._done: deque[_Step] = deque(maxlen=undo_steps)
        self._undone: list[_Step] = []
        self._settings = vtkMRMLSegmentEditorNode()
        self._settings.SetOverwriteMode(vtkMRMLSegmentEditorNode.OverwriteNone)
        self._logic = vtkSlicerSegmentEditorLogic()
        self._logic.SetSegmentEditorNode(self._settings)

    def commit(self, segment_id: str, mask: BoolArray, within: Box | None = None, label: str = "") -> CommitReport:
        """Makes a segment equal to a mask inside a box, as one undo step.

        Args:
            segment_id: the segment; outside the box it stays as it is.
            mask: bool ``[k, j, i]`` of the whole volume, or of the shape of ``within``.
            within: a box of voxels; the whole volume if None.
            label: what the step is called.

        A segment that changes is marked as half made by hand and half by this program, as DICOM-SEG tells it.
        Other segments keep all their voxels, unless the user's overwrite mode allows overlap, and then too. Raises
        InputError ``E_SEGMENT_LOCKED``, ``E_SEGMENT_HIDDEN``, ``E_NO_SEGMENT``, ``E_NODE_GONE`` and those of
        ``check_segmentation``; ValueError for a mask of another shape. Nothing has changed then.
        """
        self._require_nodes()
        check_segmentation(self._segmentation, self._volume)
        check_editable(self._segmentation, segment_id)
        asked = asked_change(self._segmentation, segment_id, self._volume, mask, within)
        if asked is None:
            return CommitReport(segment_id, label, 0, 0, 0, 0)
        change, protected, masked = allowed_part(asked, self._editor(), self._segmentation, self._volume)
        added, removed = int(np.count_nonzero(change.added)), int(np.count_nonzero(change.removed))
        if added + removed:
            self._write(change)
            mark_as_ours(require_segment(self._segmentation, segment_id))
            self._done.append(_Step(change.packed(), label))
            self._undone.clear()
        return CommitReport(segment_id, label, added, removed, protected, masked)

    def record(self, change: Change, label: str = "") -> bool:
        """Makes an edit by others, as it stands in the segment already, an undo step; False for one of no voxel."""
        if not (change.added.any() or change.removed.any()):
            return False
        self._done.append(_Step(change.packed(), label))
        self._undone.clear()
        return True

    def taken_back_by_others(self, change: Change) -> bool:
        """Whether an edit by others took exactly the last commit back, as the Segment Editor's undo does.

        It then counts as undone here too, and can be done again.
        """
        if not self._done:
            return False
        edit, last = change.reversed.packed(), self._done[-1].change
        same = (edit.segment_id, edit.box) == (last.segment_id, last.box)
        if not (same and np.array_equal(edit.added, last.added) and np.array_equal(edit.removed, last.removed)):
            return False
        self._undone.append(self._done.pop())
        return True

    def undo(self) -> bool:
        """Takes the last commit back; False if there is none.

        Only voxels that the commit changed are touched, and none that another segment has taken since. A step of a
        segment that was removed changes nothing.
        """
        if not self._done:
            return False
        self._require_nodes()
        step = self._done.pop()
        self._replay(step.change.unpacked().reversed)
        self._undone.append(step)
        return True

    def redo(self) -> bool:
        """Does again what was taken back last; False if there is nothing."""
        if not self._undone:
            return False
        self._require_nodes()
        step = self._undone.pop()
        self._replay(step.change.unpacked())
        self._done.append(step)
        return True

    @property
    def can_undo(self) -> bool:
        return bool(self._done)

    @property
    def can_redo(self) -> bool:
        return bool(self._undone)

    @property
    def undo_label(self) -> str:
        return self._done[-1].label if self._done else ""

    @property
    def redo_label(self) -> str:
        return self._undone[-1].label if self._undone else ""

    def segment_mask(self, segment_id: str) -> BoolArray:
        """The segment now, bool ``[k, j, i]`` of the whole volume."""
        return segment_mask(self._segmentation, segment_id, self._volume)

    def close(self) -> None:
        """Forgets the undo steps; may be called twice, and after the scene was closed."""
        self._done.clear()
        self._undone.clear()
        self._logic.SetSegmentEditorNode(None)

    def _require_nodes(self) -> None:
        require(self._segmentation, "segmentation")
        require(self._volume, "volume")

    def _editor(self) -> Any:
        if is_alive(self._editor_node):
            return self._editor_node
        return shared_editor_node(self._segmentation.GetScene())

    def _replay(self, change: Change) -> None:
        """Applies a step again or backwards, as far as it still fits what is there."""
        if change.segment_id not in segment_ids(self._segmentation):
            return
        check_segmentation(self._segmentation, self._volume)
        current = read_segment(require_segment(self._segmentation, change.segment_id), change.box)
        occupied = occupied_voxels(self._editor(), self._segmentation, change.segment_id, change.box)
        added, removed = change.added & ~current & ~occupied, change.removed & current
        if added.any() or removed.any():
            self._write(Change(change.segment_id, change.box, added, removed))

    def _write(self, change: Change) -> None:
        if self._before_change is not None:
            self._before_change()
        if self._watcher is None:
            self._modify(change)
            return
        with self._watcher.own_changes():
            self._modify(change)
        self._watcher.accept_change(change)

    def _modify(self, change: Change) -> None:
        modes = (self._logic.ModificationModeRemove, self._logic.ModificationModeAdd)
        for mode, mask in zip(modes, (change.removed, change.added)):
            inner = bounding_box(mask)
            if inner is not None:
                image = oriented_image(mask[inner], moved(inner, change.box), self._volume)
                self._logic.ModifySegmentByLabelmap(
                    self._segmentation, change.segment_id, image, mode, image.GetExtent(), True, False
                )
