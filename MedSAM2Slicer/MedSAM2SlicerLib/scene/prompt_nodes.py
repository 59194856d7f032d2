"""Prompts as Markups nodes: how one is drawn, and how it is read back.

Points of a segment lie in two fiducial nodes: positive ones drawn as a green "+", negative ones as a red "-", so that
their kind is told by shape and label as well as by colour. A box is a region of interest of its own, one slice thick.
All are under the volume's transform, so that their own coordinates are the volume's.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from slicer import vtkMRMLMarkupsDisplayNode, vtkMRMLMarkupsNode

from MedSAM2Lib.types import AXES, Axis, BoxPrompt, PointPrompt
from MedSAM2SlicerLib.scene.geometry import as_array, as_vtk
from MedSAM2SlicerLib.scene.prompt_geometry import PromptGeometry

POINTS = "vtkMRMLMarkupsFiducialNode"
BOX = "vtkMRMLMarkupsROINode"
SEGMENTATION_ROLE, VOLUME_ROLE = "medsam2Segmentation", "medsam2Volume"

_SEGMENT, _SIGN, _PROMPT, _AXIS = "MedSAM2.Segment", "MedSAM2.Sign", "MedSAM2.Prompt", "MedSAM2.Axis"
_SIGNS = {True: "+", False: "-"}
_COLORS = {True: (0.1, 0.8, 0.2), False: (0.95, 0.15, 0.1)}
_GLYPHS = {True: vtkMRMLMarkupsDisplayNode.ThickCross2D, False: vtkMRMLMarkupsDisplayNode.Dash2D}
_GLYPH_SCALE = 2.5
_HANDLE_SCALE = 1.2


def make_points_node(scene: Any, name: str, segment_id: str, positive: bool) -> Any:
    """A fiducial node for the points of one sign of one segment."""
    node = _make(scene, POINTS, f"{name} {_SIGNS[positive]} points", segment_id)
    node.SetAttribute(_SIGN, _SIGNS[positive])
    display = node.GetDisplayNode()
    display.SetGlyphType(_GLYPHS[positive])
    display.SetUseGlyphScale(True)
    display.SetGlyphScale(_GLYPH_SCALE)
    display.SetPointLabelsVisibility(False)  # the mark itself is a plus or a minus
    _set_color(display, _COLORS[positive])
    return node


def make_box_node(scene: Any, name: str, segment_id: str, prompt_id: str, axis: Axis) -> Any:
    """A region of interest for one box, which can be moved and resized but not turned."""
    node = _make(scene, BOX, f"{name} box", segment_id)
    node.SetAttribute(_PROMPT, prompt_id)
    node.SetAttribute(_AXIS, axis)
    display = node.GetDisplayNode()
    display.SetFillOpacity(0.0)
    display.SetHandlesInteractive(True)
    display.SetRotationHandleVisibility(False)
    display.SetInteractionHandleScale(_HANDLE_SCALE)
    display.SetPropertiesLabelVisibility(False)
    _set_color(display, _COLORS[True])
    return node


def segment_of(node: Any) -> str:
    """Id of the segment whose prompts a node holds."""
    return str(node.GetAttribute(_SEGMENT))


def is_positive(points_node: Any) -> bool:
    """Whether a fiducial node holds the positive points."""
    return str(points_node.GetAttribute(_SIGN)) == _SIGNS[True]


def add_point(points_node: Any, geometry: PromptGeometry, prompt_id: str, prompt: PointPrompt) -> None:
    """Draws a point."""
    index = points_node.AddControlPoint(*geometry.local(prompt.ijk))
    _name_point(points_node, index, prompt_id, prompt.axis)


def read_points(points_node: Any, geometry: PromptGeometry) -> list[tuple[str, PointPrompt]]:
    """Prompt id and prompt of every point; the id is empty where somebody else placed the point."""
    found = []
    for index in range(points_node.GetNumberOfControlPoints()):
        if points_node.GetNthControlPointPositionStatus(index) == vtkMRMLMarkupsNode.PositionDefined:
            prompt_id, axis = _told(points_node, index)
            ijk = geometry.voxel(points_node.GetNthControlPointPosition(index))
            found.append((prompt_id, PointPrompt(ijk, axis, is_positive(points_node))))
    return found


def remove_point(points_node: Any, prompt_id: str) -> bool:
    """Takes a point away; False where the node does not have it."""
    for index in range(points_node.GetNumberOfControlPoints()):
        if _told(points_node, index)[0] == prompt_id:
            points_node.RemoveNthControlPoint(index)
            return True
    return False


def name_points(points_node: Any, names: Sequence[str]) -> None:
    """Gives points that somebody else placed their ids, in order."""
    waiting = list(names)
    for index in range(points_node.GetNumberOfControlPoints()):
        prompt_id, axis = _told(points_node, index)
        if not prompt_id and waiting:
            _name_point(points_node, index, waiting.pop(0), axis)


def draw_box(box_node: Any, geometry: PromptGeometry, prompt: BoxPrompt) -> None:
    """Draws a box, or draws it anew."""
    matrix, size = geometry.box_matrix(prompt)
    box_node.SetSize(*size)
    box_node.SetAndObserveObjectToNodeMatrix(as_vtk(matrix))


def read_box(box_node: Any, geometry: PromptGeometry) -> tuple[str, BoxPrompt]:
    """Prompt id and box that a region of interest shows."""
    axis = _axis(box_node.GetAttribute(_AXIS))
    box = geometry.box(as_array(box_node.GetObjectToNodeMatrix()), box_node.GetSize(), axis)
    return str(box_node.GetAttribute(_PROMPT)), box


def _make(scene: Any, class_name: str, name: str, segment_id: str) -> Any:
    node = scene.AddNewNodeByClass(class_name, name)
    node.CreateDefaultDisplayNodes()
    node.SetAttribute(_SEGMENT, segment_id)
    return node


def _set_color(display: Any, color: tuple[float, float, float]) -> None:
    display.SetColor(*color)
    display.SetSelectedColor(*color)
    display.SetActiveColor(*color)


def _name_point(points_node: Any, index: int, prompt_id: str, axis: Axis) -> None:
    points_node.SetNthControlPointLabel(index, str(points_node.GetAttribute(_SIGN)))
    points_node.SetNthControlPointDescription(index, f"{prompt_id} {axis}")


def _told(points_node: Any, index: int) -> tuple[str, Axis]:
    words = points_node.GetNthControlPointDescription(index).split()
    return (words[0], _axis(words[1])) if len(words) == 2 and words[1] in AXES else ("", "k")


def _axis(text: str | None) -> Axis:
    return next((axis for axis in AXES if axis == text), "k")
