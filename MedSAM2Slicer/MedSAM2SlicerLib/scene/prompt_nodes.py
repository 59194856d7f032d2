"""Prompts as Markups: how one is drawn, and how it is read back.

Points of a segment lie in two fiducial nodes: positive ones drawn as a green "+", negative ones as a red "-", so that
their kind is told by shape and label as well as by colour. A box is a region of interest of its own, one slice thick.
All are under the volume's transform, so that their own coordinates are the volume's.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from slicer import vtkMRMLMarkupsDisplayNode, vtkMRMLMarkupsNode

from MedSAM2Lib.types import AXES, IJK, Axis, BoxPrompt, PointPrompt, ijk_position
from MedSAM2SlicerLib.scene.geometry import apply, as_array, as_vtk, ijk_to_local_matrix, nearest_index, volume_shape

POINTS = "vtkMRMLMarkupsFiducialNode"
BOX = "vtkMRMLMarkupsROINode"
SEGMENTATION_ROLE = "medsam2Segmentation"
SEGMENT, SIGN, PROMPT, AXIS = "MedSAM2.Segment", "MedSAM2.Sign", "MedSAM2.Prompt", "MedSAM2.Axis"

_SIGNS = {True: "+", False: "-"}
_COLORS = {True: (0.1, 0.8, 0.2), False: (0.95, 0.15, 0.1)}
_GLYPHS = {True: vtkMRMLMarkupsDisplayNode.ThickCross2D, False: vtkMRMLMarkupsDisplayNode.Dash2D}
_GLYPH_SCALE = 2.5


class PromptGeometry:
    """Prompts to and from a volume's own coordinates."""

    def __init__(self, volume_node: Any) -> None:
        self.ijk_to_local = ijk_to_local_matrix(volume_node)
        self._local_to_ijk = np.linalg.inv(self.ijk_to_local)
        self._sizes = volume_shape(volume_node)[::-1]

    def same_as(self, other: PromptGeometry) -> bool:
        return bool(np.array_equal(self.ijk_to_local, other.ijk_to_local)) and self._sizes == other._sizes

    def local(self, ijk: Sequence[float]) -> tuple[float, float, float]:
        return apply(self.ijk_to_local, ijk)

    def voxel(self, local: Sequence[float]) -> IJK:
        """The voxel that a position lies in or is nearest to."""
        ijk = apply(self._local_to_ijk, local)
        i, j, k = (float(min(max(nearest_index(value), 0), size - 1)) for value, size in zip(ijk, self._sizes))
        return i, j, k

    def box_matrix(self, box: BoxPrompt) -> tuple[NDArray[np.float64], list[float]]:
        """4x4 object-to-local of a region of interest and its size in mm: all of the box's voxels."""
        lengths = np.linalg.norm(self.ijk_to_local[:3, :3], axis=0)
        matrix = np.eye(4)
        matrix[:3, :3] = self.ijk_to_local[:3, :3] / lengths
        if np.linalg.det(matrix[:3, :3]) < 0:
            matrix[:3, 2] *= -1  # a box is its own mirror image, and a region of interest is right-handed
        matrix[:3, 3] = self.local(np.add(box.first, box.last) / 2)
        return matrix, [float(size) for size in (np.subtract(box.last, box.first) + 1) * lengths]

    def box(self, object_to_local: NDArray[np.float64], size: Sequence[float], axis: Axis) -> BoxPrompt:
        """The box on one slice that a region of interest covers, limited to the volume."""
        signs = np.array([[x, y, z] for x in (-0.5, 0.5) for y in (-0.5, 0.5) for z in (-0.5, 0.5)])
        corners = [apply(self._local_to_ijk @ object_to_local, corner) for corner in signs * np.asarray(size)]
        first, last = np.min(corners, axis=0) + 0.5, np.max(corners, axis=0) - 0.5
        along = ijk_position(axis)
        first[along] = last[along] = (first[along] + last[along]) / 2
        first, last = np.minimum(first, last), np.maximum(first, last)
        return BoxPrompt(self._inside(first), self._inside(last), axis)

    def _inside(self, ijk: Sequence[float]) -> IJK:
        return self.voxel(self.local(ijk))


def make_points_node(scene: Any, segmentation_node: Any, segment_id: str, name: str, positive: bool) -> Any:
    """A fiducial node for the points of one sign of one segment."""
    node = _make(scene, POINTS, f"{name} {_SIGNS[positive]} points", segmentation_node, segment_id)
    node.SetAttribute(SIGN, _SIGNS[positive])
    display = node.GetDisplayNode()
    display.SetGlyphType(_GLYPHS[positive])
    display.SetUseGlyphScale(True)
    display.SetGlyphScale(_GLYPH_SCALE)
    _set_color(display, _COLORS[positive])
    return node


def make_box_node(scene: Any, segmentation_node: Any, segment_id: str, name: str, prompt_id: str, axis: Axis) -> Any:
    """A region of interest for one box."""
    node = _make(scene, BOX, f"{name} box", segmentation_node, segment_id)
    node.SetAttribute(PROMPT, prompt_id)
    node.SetAttribute(AXIS, axis)
    display = node.GetDisplayNode()
    display.SetFillOpacity(0.0)
    display.SetRotationHandleVisibility(False)
    display.SetHandlesInteractive(True)
    _set_color(display, _COLORS[True])
    return node


def is_positive(points_node: Any) -> bool:
    return str(points_node.GetAttribute(SIGN)) == _SIGNS[True]


def add_point(points_node: Any, geometry: PromptGeometry, prompt_id: str, prompt: PointPrompt) -> None:
    """Draws a point."""
    index = points_node.AddControlPoint(*geometry.local(prompt.ijk))
    points_node.SetNthControlPointLabel(index, _SIGNS[prompt.positive])
    points_node.SetNthControlPointDescription(index, f"{prompt_id} {prompt.axis}")


def read_points(points_node: Any, geometry: PromptGeometry) -> list[tuple[str, PointPrompt]]:
    """Prompt id and prompt of every point; the id is empty where somebody else placed the point."""
    found = []
    for index in range(points_node.GetNumberOfControlPoints()):
        if points_node.GetNthControlPointPositionStatus(index) != vtkMRMLMarkupsNode.PositionDefined:
            continue
        prompt_id, axis = _told(points_node.GetNthControlPointDescription(index))
        ijk = geometry.voxel(points_node.GetNthControlPointPosition(index))
        found.append((prompt_id, PointPrompt(ijk, axis, is_positive(points_node))))
    return found


def point_index(points_node: Any, prompt_id: str) -> int:
    """Which control point a prompt is; -1 if none."""
    for index in range(points_node.GetNumberOfControlPoints()):
        if _told(points_node.GetNthControlPointDescription(index))[0] == prompt_id:
            return index
    return -1


def name_points(points_node: Any, names: Sequence[str]) -> None:
    """Gives points that somebody else placed their ids, in order."""
    waiting = list(names)
    for index in range(points_node.GetNumberOfControlPoints()):
        prompt_id, axis = _told(points_node.GetNthControlPointDescription(index))
        if not prompt_id and waiting:
            points_node.SetNthControlPointLabel(index, str(points_node.GetAttribute(SIGN)))
            points_node.SetNthControlPointDescription(index, f"{waiting.pop(0)} {axis}")


def draw_box(box_node: Any, geometry: PromptGeometry, prompt: BoxPrompt) -> None:
    """Draws a box, or draws it anew."""
    matrix, size = geometry.box_matrix(prompt)
    box_node.SetSize(*size)
    box_node.SetAndObserveObjectToNodeMatrix(as_vtk(matrix))


def read_box(box_node: Any, geometry: PromptGeometry) -> BoxPrompt:
    """The box that a region of interest shows."""
    axis = _axis(box_node.GetAttribute(AXIS))
    return geometry.box(as_array(box_node.GetObjectToNodeMatrix()), box_node.GetSize(), axis)


def rounded(prompt: PointPrompt | BoxPrompt) -> PointPrompt | BoxPrompt:
    """The prompt at voxel centres, as it is drawn."""
    if isinstance(prompt, PointPrompt):
        return replace(prompt, ijk=_centre(prompt.ijk))
    return BoxPrompt(_centre(prompt.first), _centre(prompt.last), prompt.axis)


def _centre(ijk: IJK) -> IJK:
    i, j, k = (float(nearest_index(value)) for value in ijk)
    return i, j, k


def _make(scene: Any, class_name: str, name: str, segmentation_node: Any, segment_id: str) -> Any:
    node = scene.AddNewNodeByClass(class_name, name)
    node.CreateDefaultDisplayNodes()
    node.SetAttribute(SEGMENT, segment_id)
    node.SetNodeReferenceID(SEGMENTATION_ROLE, segmentation_node.GetID())
    return node


def _set_color(display: Any, color: tuple[float, float, float]) -> None:
    display.SetColor(*color)
    display.SetSelectedColor(*color)
    display.SetActiveColor(*color)


def _told(description: str) -> tuple[str, Axis]:
    words = description.split()
    return (words[0], _axis(words[1])) if len(words) == 2 and words[1] in AXES else ("", "k")


def _axis(text: str | None) -> Axis:
    return next((axis for axis in AXES if axis == text), "k")
