"""The preview layer: a private scratch segmentation in which slices are shown as they are computed.

It holds one labelmap of the volume's whole extent, made once and written in place, which takes 0.03 ms a slice: no
copy, no undo state, no surface, and no way to touch a user's segment. It is not saved, and no list shows it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import vtk
from numpy.typing import NDArray
from slicer import vtkMRMLSegmentationNode, vtkOrientedImageData, vtkSegment
from vtk.util.numpy_support import vtk_to_numpy

from MedSAM2Lib.types import AXES, BoolArray, SliceKey, array_dimension
from MedSAM2SlicerLib.scene.geometry import as_vtk, check_volume, ijk_to_local_matrix, volume_shape
from MedSAM2SlicerLib.scene.nodes import is_alive, remove_node, require
from MedSAM2SlicerLib.scene.segments import LABELMAP, Box

Color = tuple[float, float, float]
DEFAULT_COLOR: Color = (1.0, 0.85, 0.1)
SEGMENT_ID = "Preview"

_FILL_OPACITY = 0.35


class PreviewLayer:
    """Shows masks over a volume without touching any segment.

    Args:
        scene: where the volume is.
        volume_node: gives grid and transform.
        segmentation_node: the preview lies where it does; None stands for the volume.

    Raises InputError as ``geometry.check_volume``. Once the scene was closed or the node deleted, drawing raises
    ``E_NODE_GONE``; ``clear`` and ``close`` never raise.
    """

    def __init__(self, scene: Any, volume_node: Any, segmentation_node: Any = None) -> None:
        check_volume(volume_node)
        self.node = _scratch_node(scene, volume_node)
        place = segmentation_node if is_alive(segmentation_node) else volume_node
        self.node.SetAndObserveTransformNodeID(place.GetTransformNodeID())
        self._image, self.array = _empty_labelmap(volume_node)
        self._marked: Box | None = None
        segment = vtkSegment()
        segment.SetName(SEGMENT_ID)
        segment.AddRepresentation(LABELMAP, self._image)
        self.node.GetSegmentation().AddSegment(segment, SEGMENT_ID)
        segment.SetColor(*DEFAULT_COLOR)  # a segment that has a colour before is not watched for new voxels by Slicer
        self.node.GetDisplayNode().SetSegmentOpacity2DFill(SEGMENT_ID, _FILL_OPACITY)

    def show_slice(self, key: SliceKey, mask: BoolArray) -> None:
        """Replaces what is shown on one slice; ``mask`` bool ``[rows, columns]``."""
        self._require()
        dimension = array_dimension(key.axis)
        self.array[tuple(key.index if axis == key.axis else slice(None) for axis in AXES)] = mask
        box = [slice(0, size) for size in self.array.shape]
        box[dimension] = slice(key.index, key.index + 1)
        self.touch((box[0], box[1], box[2]))

    def show_slab(self, first: int, mask: BoolArray) -> None:
        """Replaces what is shown on slices ``first`` and on along k; ``mask`` bool ``[n, j, i]``."""
        self._require()
        self.array[first : first + len(mask)] = mask
        _, j, i = self.array.shape
        self.touch((slice(first, first + len(mask)), slice(0, j), slice(0, i)))

    def touch(self, box: Box | None = None) -> None:
        """Shows what was written into ``array`` directly, in a box ``[k, j, i]`` or anywhere."""
        k, j, i = self.array.shape
        changed = box or (slice(0, k), slice(0, j), slice(0, i))
        self._marked = _union(self._marked, changed)
        self._tell_views()

    def clear(self) -> None:
        """Shows nothing."""
        if self._marked is None:
            return
        self.array[self._marked] = 0
        self._marked = None
        if is_alive(self.node):
            self._tell_views()

    def bounds(self) -> tuple[int, int, int, int, int, int] | None:
        """Inclusive extents ``(i0, i1, j0, j1, k0, k1)`` of what is shown, or None."""
        if self._marked is None:
            return None
        shown = self.array[self._marked]
        ranges = []
        for dimension in (2, 1, 0):
            others = tuple(other for other in range(3) if other != dimension)
            places = np.flatnonzero(shown.any(axis=others))
            if not places.size:
                return None
            start = self._marked[dimension].start
            ranges += [start + int(places[0]), start + int(places[-1])]
        i0, i1, j0, j1, k0, k1 = ranges
        return i0, i1, j0, j1, k0, k1

    def set_color(self, color: Sequence[float]) -> None:
        """Red, green, blue in 0..1."""
        self._require().GetSegmentation().GetSegment(SEGMENT_ID).SetColor(*color)

    def set_visible(self, visible: bool) -> None:
        """Shows or hides the layer in all views."""
        self._require().GetDisplayNode().SetVisibility(visible)

    def close(self) -> None:
        """Takes the layer out of the scene; may be called twice, and after the scene was closed."""
        remove_node(self.node)

    def _require(self) -> Any:
        return require(self.node, "preview")

    def _tell_views(self) -> None:
        """The image alone is not heard of: the views draw again when the display has changed."""
        self._image.Modified()
        self.node.GetDisplayNode().Modified()


def _scratch_node(scene: Any, volume_node: Any) -> Any:
    node = vtkMRMLSegmentationNode()
    node.SetName("MedSAM2 preview")
    node.SetHideFromEditors(True)
    node.SetSaveWithScene(False)
    node = scene.AddNode(node)
    node.CreateDefaultDisplayNodes()
    display = node.GetDisplayNode()
    display.SetHideFromEditors(True)
    display.SetSaveWithScene(False)
    display.SetVisibility3D(False)
    return node


def _empty_labelmap(volume_node: Any) -> tuple[Any, NDArray[np.uint8]]:
    k, j, i = volume_shape(volume_node)
    image = vtkOrientedImageData()
    image.SetExtent(0, i - 1, 0, j - 1, 0, k - 1)
    image.AllocateScalars(vtk.VTK_UNSIGNED_CHAR, 1)
    image.SetGeometryFromImageToWorldMatrix(as_vtk(ijk_to_local_matrix(volume_node)))
    array = vtk_to_numpy(image.GetPointData().GetScalars()).reshape(k, j, i)
    array[:] = 0
    return image, array


def _union(one: Box | None, other: Box) -> Box:
    if one is None:
        return other
    k, j, i = (slice(min(a.start, b.start), max(a.stop, b.stop)) for a, b in zip(one, other))
    return k, j, i
