"""What may happen to a session's nodes at any moment: deleted, closed with the scene, saved, given other voxels.

No event tells that Slicer is about to save: its scene invokes none. But a segmentation's storage node is given a file
name before it writes, which it tells of where that is another one than before, as always in a bundle; and it tells of
having written.
"""

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
    """Watches a volume and a segmentation in a scene until ``close``, or until ``gone`` was called.

    Where the segmentation was written to a file first, and ``saving`` changed it then, it is written there again.
    """

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
        self._storage = _Storage(segmentation_node, self._on_saving)
        segmentation = segmentation_node.GetSegmentation()
        watch(segmentation, segmentation.SegmentAdded, self._on_segments)
        watch(segmentation, segmentation.SegmentRemoved, self._on_segments)

    def close(self) -> None:
        """Stops watching; may be called twice."""
        self._observers.close()
        self._storage.close()

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


class _Storage:
    """Calls ``saving`` before a segmentation is written to a file, or after, and it is written again then.

    Slicer may give the segmentation its storage node only as it saves.
    """

    def __init__(self, segmentation_node: Any, saving: Callable[[], None]) -> None:
        self._segmentation = segmentation_node
        self._saving = saving
        self._node: Any = None
        self._stored: Any = None
        self._at_work = False
        self._of_segmentation, self._of_node = Observers(), Observers()
        for event in (segmentation_node.ReferenceAddedEvent, segmentation_node.ReferenceModifiedEvent):
            self._of_segmentation.observe(segmentation_node, event, self._look)
        self._look()

    def close(self) -> None:
        self._of_segmentation.close()
        self._of_node.close()

    def _look(self, *_: Any) -> None:
        node = self._segmentation.GetStorageNode()
        if node is not self._node:
            self._of_node.close()
            self._node = node
            if node is not None:
                self._stored = node.GetStoredTime().GetMTime()
                self._of_node.observe(node, "ModifiedEvent", self._on_modified)

    def _on_modified(self, *_: Any) -> None:
        scene = self._segmentation.GetScene()
        if self._at_work or scene is None or scene.IsImporting() or scene.IsClosing():
            return
        node, self._at_work = self._node, True
        try:
            self._saving()
            if node.GetStoredTime().GetMTime() != self._stored and self._segmentation.GetModifiedSinceRead():
                node.WriteData(self._segmentation)
            self._stored = node.GetStoredTime().GetMTime()
        finally:
            self._at_work = False
