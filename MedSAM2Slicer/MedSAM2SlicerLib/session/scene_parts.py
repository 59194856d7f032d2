"""The real scene behind the session's Protocols."""

from __future__ import annotations

from typing import Any

from MedSAM2Lib.types import BoolArray
from MedSAM2SlicerLib.scene.committer import Committer
from MedSAM2SlicerLib.scene.edits import EditWatcher
from MedSAM2SlicerLib.scene.flags import flag, is_flagged
from MedSAM2SlicerLib.scene.geometry import volume_data
from MedSAM2SlicerLib.scene.grids import check_segmentation
from MedSAM2SlicerLib.scene.lifetime import NodeEvents, NodeWatch
from MedSAM2SlicerLib.scene.preview import PreviewLayer
from MedSAM2SlicerLib.scene.prompts import PromptStore
from MedSAM2SlicerLib.scene.provenance import ProvenanceStore
from MedSAM2SlicerLib.scene.segments import check_editable, segment_mask, segment_name
from MedSAM2SlicerLib.scene.windows import display_window, first_window
from MedSAM2SlicerLib.session.ports import Box, Node, Scene, SceneEvents, SceneParts


class NodeSegments:
    """The segments of a segmentation node, on the volume's grid."""

    def __init__(self, volume_node: Node, segmentation_node: Node) -> None:
        self._volume = volume_node
        self._segmentation = segmentation_node

    def name(self, segment_id: str) -> str:
        return segment_name(self._segmentation, segment_id)

    def check(self, segment_id: str) -> None:
        check_segmentation(self._segmentation, self._volume)
        check_editable(self._segmentation, segment_id)

    def mask(self, segment_id: str, within: Box | None = None) -> BoolArray:
        return segment_mask(self._segmentation, segment_id, self._volume, within)

    def flagged(self, segment_id: str) -> bool:
        return is_flagged(self._segmentation, segment_id)

    def flag(self, segment_id: str, doubted: bool) -> None:
        flag(self._segmentation, segment_id, doubted)


class MrmlScene(Scene):
    """Opens nodes of a MRML scene.

    Args:
        scene: the vtkMRMLScene.
        committer_options: passed on to every ``Committer``.
    """

    def __init__(self, scene: Any, **committer_options: Any) -> None:
        self._scene = scene
        self._committer_options = committer_options

    def open(self, volume_node: Node, segmentation_node: Node) -> SceneParts:
        """The scene's objects for two nodes. Raises InputError with the fix named; nothing is left behind then."""
        volume = volume_data(volume_node)
        check_segmentation(segmentation_node, volume_node)
        edits = EditWatcher(volume_node, segmentation_node)
        prompts = PromptStore(self._scene, volume_node, segmentation_node)
        preview = PreviewLayer(self._scene, volume_node, segmentation_node)
        commits = Committer(volume_node, segmentation_node, watcher=edits, **self._committer_options)
        provenance = ProvenanceStore(self._scene, segmentation_node)

        watches: list[NodeWatch] = []

        def watch(events: SceneEvents) -> None:
            told = NodeEvents(events.gone, events.segment_gone, events.voxels_changed, events.saving)
            watches.append(NodeWatch(self._scene, volume_node, segmentation_node, told))

        def close() -> None:
            for watched in watches:
                watched.close()
            edits.close()
            prompts.close()
            preview.close()
            commits.close()
            provenance.close()

        segments = self.segments(volume_node, segmentation_node)
        return SceneParts(
            volume,
            prompts,
            preview,
            commits,
            edits,
            provenance,
            segments,
            window=lambda: display_window(volume_node),
            first_window=lambda prompt: first_window(volume_node, volume, prompt),
            watch=watch,
            close=close,
        )

    @staticmethod
    def segments(volume_node: Node, segmentation_node: Node) -> NodeSegments:
        """The segments of a segmentation node; their voxels are read only."""
        return NodeSegments(volume_node, segmentation_node)
