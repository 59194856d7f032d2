"""Segments: their voxels on the volume's grid, whether they may be changed, and their status.

A status is Slicer's own tag. A segment that is marked as completed is locked: it is not changed until it is marked as
something else. Voxels are only ever read here; a labelmap may hold several segments and is never written in place.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from slicer import vtkSlicerSegmentationsModuleLogic as SegmentationsLogic
from vtk.util.numpy_support import vtk_to_numpy

from MedSAM2Lib.errors import InputError
from MedSAM2Lib.types import BoolArray
from MedSAM2SlicerLib.scene.geometry import volume_shape
from MedSAM2SlicerLib.scene.nodes import require

LABELMAP = "Binary labelmap"
Box = tuple[slice, slice, slice]
"""A box of voxels ``[k, j, i]`` with whole-number bounds."""

SegmentStatus = Literal["not started", "in progress", "completed", "flagged"]
_STATUS_NUMBERS: dict[SegmentStatus, int] = {
    "not started": SegmentationsLogic.NotStarted,
    "in progress": SegmentationsLogic.InProgress,
    "completed": SegmentationsLogic.Completed,
    "flagged": SegmentationsLogic.Flagged,
}


def segment_ids(segmentation_node: Any) -> list[str]:
    """Ids of all segments, in their order."""
    segmentation = segmentation_node.GetSegmentation()
    return [segmentation.GetNthSegmentID(index) for index in range(segmentation.GetNumberOfSegments())]


def require_segment(segmentation_node: Any, segment_id: str) -> Any:
    """The vtkSegment; raises InputError ``E_NODE_GONE`` or ``E_NO_SEGMENT``."""
    require(segmentation_node, "segmentation")
    segment = segmentation_node.GetSegmentation().GetSegment(segment_id) if segment_id else None
    if segment is not None:
        return segment
    raise InputError(
        "E_NO_SEGMENT",
        "The segment is no longer in {name}: choose another one, or add one.",
        name=segmentation_node.GetName(),
        segment_id=segment_id,
    )


def segment_name(segmentation_node: Any, segment_id: str) -> str:
    """What users call a segment."""
    return str(require_segment(segmentation_node, segment_id).GetName())


def add_segment(segmentation_node: Any, name: str = "", color: Sequence[float] | None = None) -> str:
    """Adds an empty segment and returns its id; without name or colour (red, green, blue in 0..1) Slicer gives them."""
    color_argument = [] if color is None else [list(color)]
    return str(segmentation_node.GetSegmentation().AddEmptySegment(name, name, *color_argument))


def labelmap_of(segment: Any) -> tuple[NDArray, tuple[int, int, int]] | None:
    """A segment's labelmap ``[k, j, i]`` (a view, read only) and the voxel ``(k, j, i)`` it begins at, or None."""
    image = segment.GetRepresentation(LABELMAP)
    scalars = image.GetPointData().GetScalars() if image is not None else None
    if scalars is None or scalars.GetNumberOfTuples() == 0:
        return None
    i0, i1, j0, j1, k0, k1 = image.GetExtent()
    return vtk_to_numpy(scalars).reshape(k1 - k0 + 1, j1 - j0 + 1, i1 - i0 + 1), (k0, j0, i0)


def labelmap_box(segment: Any, shape: Sequence[int]) -> Box | None:
    """The part of a volume of ``shape`` that a segment's labelmap covers: no voxel of the segment lies outside it."""
    labelmap = labelmap_of(segment)
    if labelmap is None:
        return None
    array, first = labelmap
    box = [slice(max(start, 0), min(start + length, size)) for start, length, size in zip(first, array.shape, shape)]
    return None if any(side.start >= side.stop for side in box) else (box[0], box[1], box[2])


def read_segment(segment: Any, box: Box) -> BoolArray:
    """The segment's voxels in a box of the volume, a new array."""
    mask = np.zeros([side.stop - side.start for side in box], dtype=bool)
    labelmap = labelmap_of(segment)
    if labelmap is None:
        return mask
    array, first = labelmap
    source, target = [], []
    for side, start, length in zip(box, first, array.shape):
        low, high = max(side.start, start), min(side.stop, start + length)
        if low >= high:
            return mask
        source.append(slice(low - start, high - start))
        target.append(slice(low - side.start, high - side.start))
    np.equal(array[tuple(source)], segment.GetLabelValue(), out=mask[tuple(target)])
    return mask


def segment_mask(segmentation_node: Any, segment_id: str, volume_node: Any, box: Box | None = None) -> BoolArray:
    """A segment's voxels on the volume's grid, bool ``[k, j, i]``, of the whole volume or of a box of it.

    The grids must be equal (``grids.check_segmentation``). Raises InputError ``E_NODE_GONE`` or ``E_NO_SEGMENT``.
    """
    segment = require_segment(segmentation_node, segment_id)
    shape = volume_shape(require(volume_node, "volume"))
    return read_segment(segment, box or whole(shape))


def whole(shape: Sequence[int]) -> Box:
    """The box that is all of an array of ``shape``."""
    k, j, i = shape
    return slice(0, k), slice(0, j), slice(0, i)


def check_editable(segmentation_node: Any, segment_id: str) -> None:
    """Raises InputError ``E_SEGMENT_LOCKED`` (completed), ``E_SEGMENT_HIDDEN``, ``E_NO_SEGMENT`` or ``E_NODE_GONE``."""
    name = segment_name(segmentation_node, segment_id)
    if get_status(segmentation_node, segment_id) == "completed":
        raise InputError(
            "E_SEGMENT_LOCKED",
            "{name} is marked as completed: mark it as in progress to change it.",
            name=name,
            segment_id=segment_id,
        )
    display = segmentation_node.GetDisplayNode()
    if display is not None and not (display.GetVisibility() and display.GetSegmentVisibility(segment_id)):
        raise InputError(
            "E_SEGMENT_HIDDEN", "{name} is hidden: show it to change it.", name=name, segment_id=segment_id
        )


def get_status(segmentation_node: Any, segment_id: str) -> SegmentStatus:
    """The status that Slicer's segment list shows."""
    number = SegmentationsLogic.GetSegmentStatus(require_segment(segmentation_node, segment_id))
    return next((status for status, value in _STATUS_NUMBERS.items() if value == number), "not started")


def set_status(segmentation_node: Any, segment_id: str, status: SegmentStatus) -> None:
    """Sets the status that Slicer's segment list shows."""
    SegmentationsLogic.SetSegmentStatus(require_segment(segmentation_node, segment_id), _STATUS_NUMBERS[status])
