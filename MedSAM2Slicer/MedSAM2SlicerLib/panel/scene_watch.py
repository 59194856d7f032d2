"""What happens to the scene while the panel is there, and bears on what is chosen: gathered, and told once it is over.

The session sees to its own consistency; this only keeps the panel in step.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from slicer import vtkMRMLScene, vtkSegmentation

from MedSAM2SlicerLib.panel.guard import slot
from MedSAM2SlicerLib.panel.soon import single_shot
from MedSAM2SlicerLib.scene.nodes import Observers

_NODE_EVENTS = (vtkMRMLScene.NodeAddedEvent, vtkMRMLScene.NodeRemovedEvent)
_RENEWING_EVENTS = (
    vtkMRMLScene.StartCloseEvent,
    vtkMRMLScene.EndCloseEvent,
    vtkMRMLScene.StartImportEvent,
    vtkMRMLScene.EndImportEvent,
)
_SEGMENT_EVENTS = (vtkSegmentation.SegmentAdded, vtkSegmentation.SegmentRemoved, vtkSegmentation.SegmentModified)


class SceneWatch:
    """Calls ``changed`` from the event loop after nodes or segments came, went or changed.

    Args:
        scene: the vtkMRMLScene.
        changed: called once for any number of events; with True where the scene was closed or another one imported.
        report: gets what it raises.
    """

    def __init__(self, scene: Any, changed: Callable[[bool], None], report: Callable[[BaseException], None]) -> None:
        self._scene = scene
        self._changed = changed
        self.report = report
        self._segmentation: Any = None
        self._of_scene = Observers()
        self._of_segments = Observers()
        self._timer = single_shot(self._tell)
        self._renewed = False
        for event in _NODE_EVENTS:
            self._of_scene.observe(scene, event, self._on_event)
        for event in _RENEWING_EVENTS:
            self._of_scene.observe(scene, event, self._on_renewed)

    @property
    def renewing(self) -> bool:
        """Whether the scene is being closed or another one imported, until that has been told."""
        return self._renewed

    def watch(self, segmentation_node: Any) -> None:
        """Follows the segments of a segmentation node, or of none."""
        if segmentation_node is self._segmentation:
            return
        self._segmentation = segmentation_node
        self._of_segments.close()
        if segmentation_node is not None:
            for event in _SEGMENT_EVENTS:
                self._of_segments.observe(segmentation_node.GetSegmentation(), event, self._on_event)

    def close(self) -> None:
        """Stops watching."""
        self._timer.stop()
        self._of_segments.close()
        self._of_scene.close()

    def _on_event(self, _caller: Any, _event: str) -> None:
        self._timer.start()

    def _on_renewed(self, _caller: Any, _event: str) -> None:
        self._renewed = True
        self._timer.start()

    @slot
    def _tell(self) -> None:
        if self._scene.IsBatchProcessing():
            self._timer.start()
        else:
            renewed, self._renewed = self._renewed, False
            self._changed(renewed)
