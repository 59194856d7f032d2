"""The Markups of one segmentation on one volume: made, read, watched."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from slicer import vtkMRMLMarkupsNode, vtkMRMLScene, vtkMRMLTransformableNode
from vtk import vtkCommand

from MedSAM2Lib.types import PointPrompt
from MedSAM2SlicerLib.scene import prompt_nodes
from MedSAM2SlicerLib.scene.nodes import Observers, is_alive, nodes_of, remove_node
from MedSAM2SlicerLib.scene.prompt_geometry import DrawnPrompt, PromptGeometry
from MedSAM2SlicerLib.scene.prompt_nodes import BOX, POINTS, SEGMENTATION_ROLE, VOLUME_ROLE
from MedSAM2SlicerLib.scene.segments import segment_ids, segment_name

Known = dict[str, tuple[str, DrawnPrompt]]
"""Segment id and prompt by prompt id."""

_POINT_EVENTS = (
    vtkMRMLMarkupsNode.PointModifiedEvent,
    vtkMRMLMarkupsNode.PointPositionDefinedEvent,
    vtkMRMLMarkupsNode.PointRemovedEvent,
)


class PromptMarks:
    """Draws prompts, reads them back, and calls ``on_edit`` when somebody else changed a mark, at the end of a drag.

    ``on_regrid`` is called when the volume got another geometry. Marks of another volume or of segments that are gone
    are left in the scene, hidden.
    """

    def __init__(
        self,
        scene: Any,
        volume_node: Any,
        segmentation_node: Any,
        on_edit: Callable[[], None],
        on_regrid: Callable[[], None],
    ) -> None:
        self._scene = scene
        self._volume = volume_node
        self._segmentation = segmentation_node
        self._on_edit = on_edit
        self._on_regrid = on_regrid
        self._geometry = PromptGeometry(volume_node)
        self._nodes: list[Any] = []
        self._own = 0
        self._dragging = False
        self._shown: Callable[[str], bool] = lambda _segment_id: True
        self._observers = Observers()
        self._observers.observe(scene, vtkMRMLScene.NodeRemovedEvent, self._on_node_removed)
        self._observers.observe(volume_node, vtkMRMLTransformableNode.TransformModifiedEvent, self._on_volume)
        self._observers.observe(volume_node, vtkCommand.ModifiedEvent, self._on_volume)
        self._adopt()

    @property
    def usable(self) -> bool:
        """Whether volume and segmentation are still in the scene."""
        return is_alive(self._volume) and is_alive(self._segmentation)

    def draw(self, prompt_id: str, segment_id: str, prompt: DrawnPrompt) -> None:
        with self._own_changes():
            name = segment_name(self._segmentation, segment_id)
            if isinstance(prompt, PointPrompt):
                node = self._points_node(segment_id, name, prompt.positive)
                prompt_nodes.add_point(node, self._geometry, prompt_id, prompt)
            else:
                node = prompt_nodes.make_box_node(self._scene, name, segment_id, prompt_id, prompt.axis)
                prompt_nodes.draw_box(node, self._geometry, prompt)
                self._take(node)

    def erase(self, prompt_id: str) -> None:
        with self._own_changes():
            for node in self._nodes:
                if node.IsA(BOX):
                    emptied = prompt_nodes.read_box(node, self._geometry)[0] == prompt_id
                else:
                    found = prompt_nodes.remove_point(node, prompt_id)
                    emptied = found and node.GetNumberOfControlPoints() == 0
                if emptied:
                    self._release(node)
                    remove_node(node)
                    return

    def read(self, next_number: int) -> Known:
        """All prompts as the scene shows them; points that somebody placed are named from ``next_number`` on."""
        known: Known = {}
        with self._own_changes():
            for node in self._nodes:
                segment_id = prompt_nodes.segment_of(node)
                if node.IsA(BOX):
                    prompt_id, box = prompt_nodes.read_box(node, self._geometry)
                    known[prompt_id] = (segment_id, box)
                    continue
                for prompt_id, prompt in prompt_nodes.read_points(node, self._geometry):
                    if not prompt_id:
                        prompt_id = f"p{next_number}"
                        next_number += 1
                        prompt_nodes.name_points(node, [prompt_id])
                    known[prompt_id] = (segment_id, prompt)
        return known

    def snap(self) -> None:
        """Draws boxes as they were read: whole voxels of one slice."""
        with self._own_changes():
            for node in self._nodes:
                if node.IsA(BOX):
                    prompt_nodes.draw_box(node, self._geometry, prompt_nodes.read_box(node, self._geometry)[1])

    def show(self, shown: Callable[[str], bool]) -> None:
        """Shows the marks of those segments for whose id ``shown`` is true, also ones that are made later."""
        self._shown = shown
        for node in self._nodes:
            self._show(node)

    def close(self, remove: bool) -> None:
        self._observers.close()
        if remove:
            for node in self._nodes:
                remove_node(node)
        self._nodes.clear()

    def _points_node(self, segment_id: str, name: str, positive: bool) -> Any:
        for node in self._nodes:
            same = node.IsA(POINTS) and prompt_nodes.segment_of(node) == segment_id
            if same and prompt_nodes.is_positive(node) == positive:
                return node
        node = prompt_nodes.make_points_node(self._scene, name, segment_id, positive)
        self._take(node)
        return node

    def _adopt(self) -> None:
        living = segment_ids(self._segmentation)
        for node in [*nodes_of(self._scene, POINTS), *nodes_of(self._scene, BOX)]:
            if node.GetNodeReference(SEGMENTATION_ROLE) is not self._segmentation:
                continue
            if node.GetNodeReference(VOLUME_ROLE) is self._volume and prompt_nodes.segment_of(node) in living:
                self._take(node)
            elif node.GetDisplayNode() is not None:
                node.GetDisplayNode().SetVisibility(False)

    def _take(self, node: Any) -> None:
        with self._own_changes():
            node.SetNodeReferenceID(SEGMENTATION_ROLE, self._segmentation.GetID())
            node.SetNodeReferenceID(VOLUME_ROLE, self._volume.GetID())
            node.SetAndObserveTransformNodeID(self._volume.GetTransformNodeID())
        for event in _POINT_EVENTS:
            self._observers.observe(node, event, self._on_points)
        self._observers.observe(node, vtkMRMLMarkupsNode.PointStartInteractionEvent, self._on_drag_start)
        self._observers.observe(node, vtkMRMLMarkupsNode.PointEndInteractionEvent, self._on_drag_end)
        self._nodes.append(node)
        self._show(node)

    def _release(self, node: Any) -> None:
        self._observers.forget(node)
        self._nodes = [other for other in self._nodes if other is not node]

    def _show(self, node: Any) -> None:
        if node.GetDisplayNode() is not None:
            node.GetDisplayNode().SetVisibility(self._shown(prompt_nodes.segment_of(node)))

    def _on_points(self, _caller: Any, _event: str) -> None:
        if not self._own and not self._dragging and self.usable:
            self._on_edit()

    def _on_drag_start(self, _caller: Any, _event: str) -> None:
        self._dragging = True

    def _on_drag_end(self, caller: Any, event: str) -> None:
        self._dragging = False
        self._on_points(caller, event)

    def _on_node_removed(self, _caller: Any, _event: str) -> None:
        if self._own or self._scene.IsClosing():
            return
        if not is_alive(self._segmentation):
            self.close(remove=True)
            return
        gone = [node for node in self._nodes if not is_alive(node)]
        for node in gone:
            self._release(node)
        if gone and self.usable:
            self._dragging = False
            self._on_edit()

    def _on_volume(self, _caller: Any, _event: str) -> None:
        """Prompts keep their voxels when the volume is moved, hardened or given another geometry."""
        if self._own or not self.usable or self._volume.GetImageData() is None:
            return
        with self._own_changes():
            for node in self._nodes:
                if node.GetTransformNodeID() != self._volume.GetTransformNodeID():
                    node.SetAndObserveTransformNodeID(self._volume.GetTransformNodeID())
        geometry = PromptGeometry(self._volume)
        if not geometry.same_as(self._geometry):
            self._geometry = geometry
            self._on_regrid()

    @contextmanager
    def _own_changes(self) -> Iterator[None]:
        self._own += 1
        try:
            yield
        finally:
            self._own -= 1
