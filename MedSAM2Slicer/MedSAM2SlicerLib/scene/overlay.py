"""A heat map over the slice views: where the orientations of a propagation disagree.

It is a scratch volume in the foreground of the views, not saved and in no list. What was in the foreground before is
put back when it goes.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
import vtk
from numpy.typing import NDArray
from slicer import vtkMRMLScalarVolumeDisplayNode, vtkMRMLScalarVolumeNode
from vtk.util.numpy_support import vtk_to_numpy

from MedSAM2SlicerLib.scene.geometry import as_vtk, ijk_to_local_matrix
from MedSAM2SlicerLib.scene.nodes import is_alive, nodes_of
from MedSAM2SlicerLib.scene.segments import Box

OPACITY = 0.6
LEAST_SHOWN = 26
"""Of 255; below it the overlay is transparent."""

_COLORS = "vtkMRMLColorTableNodeFileMagma.txt"
_FALLBACK_COLORS = "vtkMRMLColorTableNodeWarm1"


class DisagreementOverlay:
    """Shows values of a part of a volume over its slices.

    Args:
        scene: where the volume is.
        volume_node: gives grid and transform.
    """

    def __init__(self, scene: Any, volume_node: Any) -> None:
        self._scene = scene
        self._volume = volume_node
        self._before: list[tuple[Any, str, float]] = []
        self.node: Any = None

    def show(self, within: Box, values: NDArray[np.uint8], slice_nodes: Iterable[Any]) -> None:
        """Puts ``values`` (0 to 255, of the shape of ``within`` [k, j, i]) into the foreground of the views."""
        self.close()
        self.node = self._made(within, values)
        names = [node.GetLayoutName() for node in slice_nodes]
        for composite in nodes_of(self._scene, "vtkMRMLSliceCompositeNode"):
            if composite.GetLayoutName() in names:
                before = (composite, composite.GetForegroundVolumeID() or "", composite.GetForegroundOpacity())
                self._before.append(before)
                composite.SetForegroundVolumeID(self.node.GetID())
                composite.SetForegroundOpacity(OPACITY)

    def close(self) -> None:
        """Puts the views back; may be called twice, and after the scene was closed."""
        for composite, volume_id, opacity in self._before:
            if is_alive(composite) and is_alive(self.node) and composite.GetForegroundVolumeID() == self.node.GetID():
                composite.SetForegroundVolumeID(volume_id or None)
                composite.SetForegroundOpacity(opacity)
        self._before = []
        if is_alive(self.node):
            display = self.node.GetDisplayNode()
            self._scene.RemoveNode(self.node)
            if is_alive(display):
                self._scene.RemoveNode(display)
        self.node = None

    def _made(self, within: Box, values: NDArray[np.uint8]) -> Any:
        node = vtkMRMLScalarVolumeNode()
        node.SetName("MedSAM2 disagreement")
        node.SetHideFromEditors(True)
        node.SetSaveWithScene(False)
        node.SetAndObserveImageData(_image(values))
        matrix = ijk_to_local_matrix(self._volume)
        first = np.eye(4)
        first[:3, 3] = [within[2].start, within[1].start, within[0].start]
        node.SetIJKToRASMatrix(as_vtk(matrix @ first))
        node = self._scene.AddNode(node)
        node.SetAndObserveTransformNodeID(self._volume.GetTransformNodeID())
        node.SetAndObserveDisplayNodeID(self._display().GetID())
        return node

    def _display(self) -> Any:
        display = vtkMRMLScalarVolumeDisplayNode()
        display.SetHideFromEditors(True)
        display.SetSaveWithScene(False)
        display.AutoWindowLevelOff()
        display.SetWindowLevelMinMax(0, 255)
        display.SetApplyThreshold(True)
        display.AutoThresholdOff()
        display.SetThreshold(LEAST_SHOWN, 255)
        display = self._scene.AddNode(display)
        colors = [name for name in (_COLORS, _FALLBACK_COLORS) if self._scene.GetNodeByID(name) is not None]
        if colors:
            display.SetAndObserveColorNodeID(colors[0])
        return display


def _image(values: NDArray[np.uint8]) -> Any:
    k, j, i = values.shape
    image = vtk.vtkImageData()
    image.SetDimensions(i, j, k)
    image.AllocateScalars(vtk.VTK_UNSIGNED_CHAR, 1)
    vtk_to_numpy(image.GetPointData().GetScalars()).reshape(k, j, i)[:] = values
    return image
