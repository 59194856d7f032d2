"""The flag on a segment that the engine doubts: set and taken away by the module, never against a status set by hand.

Who has the say is kept in a tag of the segment, and so in a saved scene too. Slicer itself turns "not started" into "in
progress" with the first voxel; that is nobody's say.
"""

from __future__ import annotations

from typing import Any

import vtk

from MedSAM2SlicerLib.scene.segments import SegmentStatus, get_status, require_segment, set_status

TAG = "MedSAM2.Status"
OWN_FLAG, BY_HAND = "flagged", "by hand"


def choose_status(segmentation_node: Any, segment_id: str, status: SegmentStatus) -> None:
    """Sets a status by the user's hand, which no doubt changes any more; "not started" leaves the say to anyone."""
    set_status(segmentation_node, segment_id, status)
    _say(require_segment(segmentation_node, segment_id), "" if status == "not started" else BY_HAND)


def is_flagged(segmentation_node: Any, segment_id: str) -> bool:
    """Whether the module's own flag stands."""
    return _has_say(segmentation_node, segment_id) == OWN_FLAG


def flag(segmentation_node: Any, segment_id: str, doubted: bool) -> None:
    """Flags a segment that is doubted, and takes the module's own flag from one that is not: it is in progress then."""
    segment, has_say = require_segment(segmentation_node, segment_id), _has_say(segmentation_node, segment_id)
    if doubted and not has_say and get_status(segmentation_node, segment_id) in ("not started", "in progress"):
        set_status(segmentation_node, segment_id, "flagged")
        has_say = OWN_FLAG
    elif not doubted and has_say == OWN_FLAG:
        set_status(segmentation_node, segment_id, "in progress")
        has_say = ""
    _say(segment, has_say)


def _has_say(segmentation_node: Any, segment_id: str) -> str:
    """Whose the status is: ``OWN_FLAG``, ``BY_HAND`` or nobody's. An own flag that is gone was taken away by hand."""
    told = vtk.reference("")
    require_segment(segmentation_node, segment_id).GetTag(TAG, told)
    status = get_status(segmentation_node, segment_id)
    if told.get() == OWN_FLAG and status != "flagged":
        return "" if status == "not started" else BY_HAND
    return str(told.get())


def _say(segment: Any, who: str) -> None:
    if not who:
        segment.RemoveTag(TAG)
    else:
        segment.SetTag(TAG, who)
