"""Which slices the views show, and how another one is shown."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from vtk import vtkCommand

from MedSAM2Lib.types import Axis, SliceKey
from MedSAM2SlicerLib import application
from MedSAM2SlicerLib.panel.guard import slot
from MedSAM2SlicerLib.panel.soon import single_shot
from MedSAM2SlicerLib.scene.geometry import ijk_to_ras
from MedSAM2SlicerLib.scene.nodes import Observers
from MedSAM2SlicerLib.scene.view_places import slice_index_of
from MedSAM2SlicerLib.scene.views import jump_to_slice, view_axis


class SlicesInView:
    """The slice views, from ``start`` to ``stop``.

    Args:
        moved: called from the event loop after the views have moved, once for any number of moves.
        report: gets what it raises.
    """

    def __init__(self, moved: Callable[[], None], report: Callable[[BaseException], None]) -> None:
        self.report = report
        self._moved = moved
        self._observers = Observers()
        self._timer = single_shot(self._tell)

    def start(self) -> None:
        """Follows the views that there are now."""
        self.stop()
        for view in application.slice_views():
            self._observers.observe(view.node, vtkCommand.ModifiedEvent, self._on_moved)

    def stop(self) -> None:
        """Follows none."""
        self._timer.stop()
        self._observers.close()

    def index_along(self, axis: Axis, volume_node: Any) -> int | None:
        """The slice that the first view of an axis shows; None where no view has that axis."""
        for view in application.slice_views():
            if view_axis(view.node, volume_node)[0] == axis:
                return slice_index_of(view.node, volume_node)
        return None

    @staticmethod
    def show_slice(volume_node: Any, key: SliceKey) -> None:
        """Shows a slice in the views of its axis."""
        jump_to_slice([view.node for view in application.slice_views()], volume_node, key)

    @staticmethod
    def show_voxel(volume_node: Any, ijk: Sequence[float]) -> None:
        """Shows a voxel in all slice views."""
        ras = ijk_to_ras(volume_node, ijk)
        for view in application.slice_views():
            view.node.JumpSliceByOffsetting(*ras)

    def _on_moved(self, _node: Any, _event: str) -> None:
        self._timer.start()

    @slot
    def _tell(self) -> None:
        self._moved()
