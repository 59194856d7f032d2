"""The segments in 3D: made when nothing changes for a while, since each change would make a shown surface anew.

Slicer converts a labelmap to a surface at every change as long as there is one, which takes seconds in a large volume.
So the surface is put away before a change, and made again after a pause.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from MedSAM2SlicerLib.panel.context import show_checked
from MedSAM2SlicerLib.panel.guard import slot
from MedSAM2SlicerLib.panel.soon import single_shot
from MedSAM2SlicerLib.scene.nodes import is_alive

SURFACE = "Closed surface"
PAUSE_MS = 1000


class Surface:
    """The check box "Show in 3D", and the surface of the chosen segmentation.

    Args:
        check: the QCheckBox.
        busy: whether more changes are to come.
        report: shows an exception.
    """

    def __init__(self, check: Any, busy: Callable[[], bool], report: Callable[[BaseException], None]) -> None:
        self.report = report
        self._check = check
        self._busy = busy
        self._segmentation: Any = None
        self._waiting = False
        self._timer = single_shot(self._make, PAUSE_MS)
        check.connect("toggled(bool)", self._on_toggled)

    @property
    def shown(self) -> bool:
        """Whether the segmentation has a surface."""
        node = self._segmentation
        return is_alive(node) and bool(node.GetSegmentation().ContainsRepresentation(SURFACE))

    def show_choice(self, segmentation: Any) -> None:
        """The chosen segmentation, or None."""
        if segmentation is not self._segmentation:
            self._timer.stop()
            self._segmentation, self._waiting = segmentation, False
        self._check.setEnabled(segmentation is not None)
        show_checked(self._check, self.shown or self._waiting)

    def before_change(self) -> None:
        """Voxels are about to change."""
        if self.shown:
            self._segmentation.RemoveClosedSurfaceRepresentation()
            self._waiting = True
        if self._waiting:
            self._timer.start()

    def close(self) -> None:
        """A surface that was put away comes back at once."""
        self._timer.stop()
        if self._waiting and is_alive(self._segmentation):
            self._waiting = False
            self._segmentation.CreateClosedSurfaceRepresentation()

    @slot
    def _on_toggled(self, wanted: bool) -> None:
        self._waiting = False
        self._timer.stop()
        if not is_alive(self._segmentation):
            return
        if wanted:
            self._segmentation.CreateClosedSurfaceRepresentation()
        else:
            self._segmentation.RemoveClosedSurfaceRepresentation()

    @slot
    def _make(self) -> None:
        if self._busy():
            self._timer.start()
        elif is_alive(self._segmentation):
            self._waiting = False
            self._segmentation.CreateClosedSurfaceRepresentation()
