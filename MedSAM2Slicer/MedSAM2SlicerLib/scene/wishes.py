"""What a commit asks for, and what of it the user's settings and the other segments allow."""

from __future__ import annotations

from typing import Any

import numpy as np

from MedSAM2Lib.types import BoolArray
from MedSAM2SlicerLib.scene.geometry import volume_shape
from MedSAM2SlicerLib.scene.masking import editable_voxels, occupied_voxels
from MedSAM2SlicerLib.scene.segments import Box, labelmap_box, read_segment, require_segment, whole
from MedSAM2SlicerLib.scene.voxels import Change, bounding_box, inside, intersection, moved, union


def asked_change(
    segmentation_node: Any, segment_id: str, volume_node: Any, mask: BoolArray, within: Box | None
) -> Change | None:
    """What must change for a segment to equal a mask in a box, cut to the smallest box; None if nothing.

    Args:
        segmentation_node: on the volume's grid.
        segment_id: the segment.
        volume_node: gives the grid.
        mask: bool ``[k, j, i]`` of the whole volume, or of the shape of ``within``; ValueError for any other shape.
        within: the box; the whole volume if None.
    """
    shape = volume_shape(volume_node)
    region = within or whole(shape)
    wanted = _in_region(mask, region, shape)
    segment = require_segment(segmentation_node, segment_id)
    filled = bounding_box(wanted)
    box = union(moved(filled, region) if filled else None, intersection(labelmap_box(segment, shape), region))
    if box is None:
        return None
    current = read_segment(segment, box)
    differing = wanted[inside(box, region)] != current
    smallest = bounding_box(differing)
    if smallest is None:
        return None
    differing, current = differing[smallest], current[smallest]
    return Change(segment_id, moved(smallest, box), differing & ~current, differing & current)


def allowed_part(change: Change, editor_node: Any, segmentation_node: Any, volume_node: Any) -> tuple[Change, int, int]:
    """The part of a change that is allowed; voxels refused for other segments, and for the editor's masks."""
    added, removed = change.added, change.removed
    editable = editable_voxels(editor_node, segmentation_node, change.segment_id, volume_node, change.box)
    masked = 0
    if editable is not None:
        masked = int(np.count_nonzero((added | removed) & ~editable))
        added, removed = added & editable, removed & editable
    taken = added & occupied_voxels(editor_node, segmentation_node, change.segment_id, change.box)
    protected = int(np.count_nonzero(taken))
    return Change(change.segment_id, change.box, added & ~taken, removed), protected, masked


def _in_region(mask: BoolArray, region: Box, shape: tuple[int, int, int]) -> BoolArray:
    expected = tuple(side.stop - side.start for side in region)
    if mask.shape == expected:
        return mask
    if mask.shape == shape:
        return mask[region]
    raise ValueError(f"the mask must be {shape} or {expected}, not {mask.shape}")
