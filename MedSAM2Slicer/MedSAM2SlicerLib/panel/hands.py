"""What a user's hands do to the panel: buttons are pressed, views are clicked and dragged in, and the outcome awaited.

For demonstrations and checks from the command line; everything goes the way that it goes from a mouse.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from MedSAM2Lib.errors import InputError, MedSAM2Error
from MedSAM2Lib.types import IJK, Axis, SliceKey, ijk_position, in_plane_axes
from MedSAM2SlicerLib import application
from MedSAM2SlicerLib.application import SliceView
from MedSAM2SlicerLib.scene.geometry import ijk_to_ras, nearest_voxel
from MedSAM2SlicerLib.scene.views import align_view, jump_to_slice, view_axis

if TYPE_CHECKING:
    from MedSAM2SlicerLib.panel.widget import MedSAM2Panel

PIXELS_PER_VOXEL = 4.0
"""A voxel is shown at least so large before it is clicked, if all that is to be clicked stays in the view."""

_FILLED = 0.8
_DRAG_STEPS = 5


class Hands:
    """Presses and clicks; each method returns when the panel has done what follows from it.

    Every method raises the error that the panel shows afterwards, and InputError ``E_BUTTON_OFF``, ``E_NO_VIEW`` or
    ``E_CLICK_OUTSIDE`` where something cannot be reached.

    Args:
        panel: entered, with a volume chosen.
    """

    def __init__(self, panel: MedSAM2Panel) -> None:
        self._panel = panel

    def press(self, name: str) -> None:
        """Presses a button of the .ui file."""
        button = getattr(self._panel.ui, name)
        if not button.enabled:
            raise InputError(
                "E_BUTTON_OFF",
                "The button {button} cannot be pressed now; the panel says: {said}",
                button=button.text,
                said=self._panel.ui.statusText.text,
            )
        button.click()
        self.wait()

    def choose(self, name: str, place: int) -> None:
        """Chooses an entry of a drop-down."""
        getattr(self._panel.ui, name).setCurrentIndex(place)
        self.wait()

    def latch(self, name: str) -> None:
        """Takes a tool in hand, if it is not."""
        if not getattr(self._panel.ui, name).checked:
            self.press(name)

    def click(self, ijk: IJK, axis: Axis, positive: bool = True) -> None:
        """Clicks on a voxel, on its slice along an axis."""
        self.latch("pointButton" if positive else "negativeButton")
        view = self._aim(axis, [ijk])
        at = self._position(view, ijk)
        for event in ("MouseMoveEvent", "LeftButtonPressEvent", "LeftButtonReleaseEvent"):
            _send(view, event, at)
        self._let_go(view)

    def drag(self, first: IJK, last: IJK, axis: Axis) -> None:
        """Drags a box from one voxel to another on the same slice."""
        self.latch("boxButton")
        view = self._aim(axis, [first, last])
        start, end = self._position(view, first), self._position(view, last)
        _send(view, "MouseMoveEvent", start)
        _send(view, "LeftButtonPressEvent", start)
        for part in np.linspace(0.0, 1.0, _DRAG_STEPS + 1)[1:]:
            _send(view, "MouseMoveEvent", start + part * (end - start))
        _send(view, "LeftButtonReleaseEvent", end)
        self._let_go(view)

    def wait(self) -> None:
        """Lets the event loop run until nothing is pending. Raises what the panel then shows as an error."""
        application.process_events()
        while self._panel.controller.busy:
            application.process_events()
        application.process_events()
        error = self._panel.status.error
        if error is not None and error.expected:
            raise MedSAM2Error(error.code, error.template, **error.fields)
        if error is not None:
            raise RuntimeError(f"{error.sentence}\n{error.trace}")

    def _let_go(self, view: SliceView) -> None:
        self.wait()
        logic = application.layout_manager().sliceWidget(view.node.GetLayoutName()).sliceLogic()
        index_before = view.node.GetSliceOffset()
        logic.FitSliceToBackground()
        view.node.SetSliceOffset(index_before)
        application.process_events()

    def _aim(self, axis: Axis, corners: Sequence[IJK]) -> SliceView:
        """Shows the corners' slice in the view of that axis, large enough to hit single voxels."""
        volume = self._panel.selection.volume
        for corner in corners:
            nearest_voxel(volume, corner)
        view = self._view_of(axis, volume)
        align_view(view.node, volume)
        jump_to_slice([view.node], volume, SliceKey(axis, round(corners[0][ijk_position(axis)])))
        middle = tuple(float(value) for value in np.mean(corners, axis=0))
        self._zoom(view, axis, middle, corners)
        application.process_events()
        return view

    def _zoom(self, view: SliceView, axis: Axis, middle: IJK, corners: Sequence[IJK]) -> None:
        node, ras = view.node, ijk_to_ras(self._panel.selection.volume, middle)
        node.JumpSliceByCentering(*ras)
        node.UpdateMatrices()
        wanted = PIXELS_PER_VOXEL / self._pixels_per_voxel(view, axis, middle)
        extent = max(np.abs(self._position(view, each) - self._position(view, middle)).max() for each in corners)
        room = _FILLED * min(node.GetDimensions()[:2]) / 2
        factor = min(max(wanted, 1.0), room / max(extent, 1.0))
        across, up, deep = node.GetFieldOfView()
        node.SetFieldOfView(across / factor, up / factor, deep)
        node.JumpSliceByCentering(*ras)
        node.UpdateMatrices()

    def _pixels_per_voxel(self, view: SliceView, axis: Axis, at: IJK) -> float:
        """The smaller one of a voxel's two sides, as shown now."""
        sides = []
        for other in in_plane_axes(axis):
            beside = list(at)
            beside[ijk_position(other)] += 1.0
            sides.append(float(np.linalg.norm(self._position(view, beside) - self._position(view, at))))
        return max(min(sides), 1e-6)

    def _position(self, view: SliceView, ijk: Sequence[float]) -> np.ndarray:
        """Where a voxel's centre is shown, in display pixels from the view's lower left corner."""
        xy_to_ras = view.node.GetXYToRAS()
        matrix = np.array([[xy_to_ras.GetElement(row, column) for column in range(4)] for row in range(4)])
        ras = ijk_to_ras(self._panel.selection.volume, ijk)
        return np.linalg.solve(matrix, [*ras, 1.0])[:2]

    @staticmethod
    def _view_of(axis: Axis, volume: Any) -> SliceView:
        for view in application.slice_views():
            if view_axis(view.node, volume)[0] == axis:
                return view
        raise InputError("E_NO_VIEW", "No view shows slices along {axis}: use a layout with all three.", axis=axis)


def _send(view: SliceView, event: str, at: np.ndarray) -> None:
    x, y = (round(float(value)) for value in at)
    view.interactor.SetEventInformation(x, y, 0, 0, "\0", 0, "")
    view.interactor.InvokeEvent(event)
