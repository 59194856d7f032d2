"""What the user lets be edited: the Segment Editor's editable area, intensity range and overwrite mode.

The settings are read from the editor's node and applied here, on the part of the volume that changes. Slicer's own
masking builds a mask of the whole volume each time, and where editing is allowed inside one segment, it gives that
segment every voxel that another one loses.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import vtk
from slicer import (
    vtkMRMLSegmentationNode,
    vtkMRMLSegmentEditorNode,
    vtkMRMLTransformNode,
    vtkOrientedImageData,
    vtkOrientedImageDataResample,
)
from vtk.util.numpy_support import vtk_to_numpy

from MedSAM2Lib.types import BoolArray
from MedSAM2SlicerLib.scene.geometry import as_vtk, ijk_to_local_matrix, volume_array
from MedSAM2SlicerLib.scene.nodes import is_alive
from MedSAM2SlicerLib.scene.segments import Box, labelmap_of, read_segment, segment_ids

EDITOR_TAG = "SegmentEditor"


def shared_editor_node(scene: Any) -> Any:
    """The Segment Editor's node, which holds the user's masking settings, or None."""
    return scene.GetSingletonNode(EDITOR_TAG, "vtkMRMLSegmentEditorNode")


def masking_in_force(editor_node: Any) -> bool:
    """Whether the user limits editing by area or by intensity."""
    if not is_alive(editor_node):
        return False
    everywhere = editor_node.GetMaskMode() == vtkMRMLSegmentationNode.EditAllowedEverywhere
    return bool(not everywhere or editor_node.GetSourceVolumeIntensityMask())


def editable_voxels(
    editor_node: Any, segmentation_node: Any, segment_id: str, volume_node: Any, box: Box
) -> BoolArray | None:
    """The voxels of a box that the user lets be edited, bool ``[k, j, i]``; None if all."""
    if not masking_in_force(editor_node):
        return None
    editable = _inside_area(editor_node, segmentation_node, segment_id, volume_node, box)
    if editor_node.GetSourceVolumeIntensityMask():
        low, high = editor_node.GetSourceVolumeIntensityMaskRange()
        values = _intensities(editor_node, segmentation_node, volume_node, box)
        editable &= (values >= low) & (values <= high)
    return editable


def occupied_voxels(editor_node: Any, segmentation_node: Any, segment_id: str, box: Box) -> BoolArray:
    """The voxels of a box that belong to segments that keep theirs, bool ``[k, j, i]``.

    All other segments do; where the user allows overlap none needs to, and where the user's overwrite mode names the
    visible segments, these do.
    """
    shape = [side.stop - side.start for side in box]
    occupied = np.zeros(shape, dtype=bool)
    mode = editor_node.GetOverwriteMode() if is_alive(editor_node) else vtkMRMLSegmentEditorNode.OverwriteAllSegments
    if mode == vtkMRMLSegmentEditorNode.OverwriteNone:
        return occupied
    display = segmentation_node.GetDisplayNode()
    segmentation = segmentation_node.GetSegmentation()
    for other in segment_ids(segmentation_node):
        hidden = display is not None and not display.GetSegmentVisibility(other)
        if other == segment_id or (hidden and mode == vtkMRMLSegmentEditorNode.OverwriteVisibleSegments):
            continue
        segment = segmentation.GetSegment(other)
        if labelmap_of(segment) is not None:
            occupied |= read_segment(segment, box)
    return occupied


def _inside_area(editor_node: Any, segmentation_node: Any, segment_id: str, volume_node: Any, box: Box) -> BoolArray:
    shape = tuple(side.stop - side.start for side in box)
    mode = editor_node.GetMaskMode()
    if mode == vtkMRMLSegmentationNode.EditAllowedEverywhere:
        return np.ones(shape, dtype=bool)
    locked = vtkOrientedImageData()
    segmentation_node.GenerateEditMask(
        locked, mode, _frame(box, volume_node), segment_id, editor_node.GetMaskSegmentID() or ""
    )
    return np.asarray(vtk_to_numpy(locked.GetPointData().GetScalars()).reshape(shape) == 0)


def _intensities(editor_node: Any, segmentation_node: Any, volume_node: Any, box: Box) -> np.ndarray:
    """Values of the editor's source volume in the box, resampled where that is another volume."""
    source = editor_node.GetSourceVolumeNode()
    if source is None or source is volume_node:
        return volume_array(volume_node)[box]
    image = vtkOrientedImageData()
    image.ShallowCopy(source.GetImageData())
    image.SetGeometryFromImageToWorldMatrix(as_vtk(ijk_to_local_matrix(source)))
    between = vtk.vtkGeneralTransform()
    vtkMRMLTransformNode.GetTransformBetweenNodes(
        source.GetParentTransformNode(), segmentation_node.GetParentTransformNode(), between
    )
    aligned = vtkOrientedImageData()
    background = source.GetImageBackgroundScalarComponentAsDouble(0)
    vtkOrientedImageDataResample.ResampleOrientedImageToReferenceOrientedImage(
        image, _frame(box, volume_node), aligned, True, False, between, background
    )
    return vtk_to_numpy(aligned.GetPointData().GetScalars()).reshape([side.stop - side.start for side in box])


def _frame(box: Box, volume_node: Any) -> Any:
    k, j, i = box
    image = vtkOrientedImageData()
    image.SetExtent(i.start, i.stop - 1, j.start, j.stop - 1, k.start, k.stop - 1)
    image.SetGeometryFromImageToWorldMatrix(as_vtk(ijk_to_local_matrix(volume_node)))
    return image
