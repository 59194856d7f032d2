"""What may happen to a session's nodes at any moment: deleted, closed with the scene, saved, given other voxels."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from slicer import vtkMRMLScene, vtkMRMLVolumeNode

from MedSAM2SlicerLib.scene.nodes import Observers, is_alive
from MedSAM2SlicerLib.scene.segments import segment_ids


@dataclass(frozen=True)
class NodeEvents:
    """Who is told: ``gone`` with ``scene``, ``volume`` or ``segmentation``, ``segment_gone`` with a segment's id."""

    gone: Callable[[str], None]
    segment_gone: Callable[[str], None]
    voxels_changed: Callable[[], None]
    saving: Callable[[], None]


class NodeWatch:
    """Watches a volume and a segmentation in a scene until ``close``, or until ``gone`` was called."""

    def __init__(self, scene: Any, volume_node: Any, segmentation_node: Any, events: NodeEvents) -> None:
        self._volume = volume_node
        self._segmentation = segmentation_node
        self._events = events
        self._segments = set(segment_ids(segmentation_node))
        self._observers = Observers()
        watch = self._observers.observe
        watch(scene, vtkMRMLScene.StartCloseEvent, self._on_scene_closing)
        # Slicer's selectors go to another node before the old one is out of the scene, and after this observer.
        self._observers.observe_nodes(scene, vtkMRMLScene.NodeAboutToBeRemovedEvent, self._on_node_leaving)
        watch(scene, vtkMRMLScene.StartSaveEvent, self._on_saving)
        watch(volume_node, vtkMRMLVolumeNode.ImageDataModifiedEvent, self._on_voxels)
        segmentation = segmentation_node.GetSegmentation()
        watch(segmentation, segmentation.SegmentAdded, self._on_segments)
        watch(segmentation, segmentation.SegmentRemoved, self._on_segments)

    def close(self) -> None:
        """Stops watching; may be called twice."""
        self._observers.close()

    def _on_scene_closing(self, *_: Any) -> None:
        self._gone("scene")

    def _on_saving(self, *_: Any) -> None:
        self._events.saving()

    def _on_voxels(self, *_: Any) -> None:
        self._events.voxels_changed()

    def _on_node_leaving(self, node: Any, _event: str) -> None:
        for watched, what in ((self._volume, "volume"), (self._segmentation, "segmentation")):
            if node is watched:
                self._gone(what)

    def _gone(self, what: str) -> None:
        self.close()
        self._events.gone(what)

    def _on_segments(self, *_: Any) -> None:
        present = set(segment_ids(self._segmentation)) if is_alive(self._segmentation) else set()
        removed, self._segments = self._segments - present, present
        if is_alive(self._segmentation):
            for segment_id in sorted(removed):
                self._events.segment_gone(segment_id)
