"""Which volume, segmentation and segment are chosen; kept with the scene, opened in the session."""

from __future__ import annotations

from typing import Any

from MedSAM2SlicerLib.parameters import Parameters
from MedSAM2SlicerLib.scene.geometry import check_volume
from MedSAM2SlicerLib.scene.grids import check_segmentation, create_segmentation
from MedSAM2SlicerLib.scene.nodes import is_alive, nodes_of
from MedSAM2SlicerLib.scene.segments import add_segment, segment_ids
from MedSAM2SlicerLib.session.controller import SessionController

OTHER_CHOSEN = "before another one was chosen"


class Selection:
    """The choice in a scene's parameters, and the session that follows it.

    Every method that chooses raises InputError where what is chosen cannot be worked on; it is then chosen all the
    same, so that the user sees what the error is about, and the session is idle.

    Args:
        scene: the vtkMRMLScene.
        controller: opens what is chosen.
    """

    def __init__(self, scene: Any, controller: SessionController) -> None:
        self._scene = scene
        self._controller = controller
        self._parameters = Parameters.of(scene)

    @property
    def parameters(self) -> Parameters:
        """The scene's parameters; made anew where closing the scene has taken them."""
        if not is_alive(self._parameters.node):
            self._parameters.close()
            self._parameters = Parameters.of(self._scene)
        return self._parameters

    @property
    def volume(self) -> Any:
        """The chosen volume node, or None."""
        return self.parameters.volume

    @property
    def segmentation(self) -> Any:
        """The chosen segmentation node, or None."""
        return self.parameters.segmentation

    @property
    def segment_id(self) -> str:
        """The chosen segment's id where the segmentation has it, else empty."""
        chosen = self.parameters.segment_id
        return chosen if chosen in self.segment_ids() else ""

    @property
    def is_open(self) -> bool:
        """Whether the session works on what is chosen."""
        return bool(self.segment_id) and self._controller.state.segment_id == self.segment_id

    def segment_ids(self) -> list[str]:
        """Ids of the chosen segmentation's segments."""
        return [] if self.segmentation is None else segment_ids(self.segmentation)

    def choose_volume(self, node: Any) -> None:
        """Another volume, or None."""
        if node is not self.volume:
            self._leave()
            self.parameters.volume = node
            self.open()

    def choose_segmentation(self, node: Any) -> None:
        """Another segmentation, or None; its first segment is chosen."""
        if node is not self.segmentation:
            self._leave()
            self.parameters.segmentation = node
            ids = self.segment_ids()
            self.parameters.segment_id = ids[0] if ids else ""
            self.open()

    def choose_segment(self, segment_id: str) -> None:
        """Another segment of the segmentation."""
        if segment_id != self.parameters.segment_id or not self.is_open:
            self.parameters.segment_id = segment_id
            self.open()

    def adopt_volume(self, node: Any) -> None:
        """Takes a volume where none is chosen."""
        if self.volume is None and node is not None:
            self.choose_volume(node)

    def add_segment(self) -> str:
        """A new segment, chosen; with a segmentation for it where there is none."""
        check_volume(self.volume)
        segmentation = self.segmentation
        if segmentation is None:
            self._leave()
            segmentation = create_segmentation(self._scene, self.volume, f"{self.volume.GetName()} segmentation")
            self.parameters.segmentation = segmentation
        segment_id = add_segment(segmentation)
        self.choose_segment(segment_id)
        return segment_id

    def ensure_segment(self) -> None:
        """Something to put masks into is chosen and open. Raises InputError where it cannot be."""
        check_volume(self.volume)
        if not self.segment_id:
            ids = self.segment_ids()
            self.choose_segment(ids[0]) if ids else self.add_segment()
        elif not self.is_open:
            self.open()

    def open(self) -> None:
        """Opens what is chosen, as far as it is."""
        if self.volume is not None:
            check_volume(self.volume)
            if self.segmentation is not None:
                check_segmentation(self.segmentation, self.volume)
        if self.volume is None or not self.segment_id:
            return
        self._controller.open(self.volume, self.segmentation, self.segment_id)

    def open_again(self) -> None:
        """Opens what is chosen where the session does not work on it yet."""
        if not self.is_open:
            self.open()

    def close(self) -> None:
        """Lets go of the scene's parameters."""
        self._parameters.close()

    def _leave(self) -> None:
        """What is open is committed and let go of."""
        self._controller.settle(OTHER_CHOSEN, wait=True)
        self._controller.drop()


def shown_volume(scene: Any, slice_node: Any) -> Any:
    """The volume in the background of a slice view, or None."""
    for composite in nodes_of(scene, "vtkMRMLSliceCompositeNode"):
        if composite.GetLayoutName() == slice_node.GetLayoutName():
            return scene.GetNodeByID(composite.GetBackgroundVolumeID() or "")
    return None
