"""A plain brush, Paint and Erase, for where Slicer's segment editor is not."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import qt
from slicer.i18n import tr as _

from MedSAM2Lib.types import IJK
from MedSAM2SlicerLib import application
from MedSAM2SlicerLib.panel.context import show_latched
from MedSAM2SlicerLib.panel.guard import slot
from MedSAM2SlicerLib.panel.left_button import LeftButton
from MedSAM2SlicerLib.scene.painting import Brush
from MedSAM2SlicerLib.scene.view_places import view_to_clipped_ijk
from MedSAM2SlicerLib.scene.views import view_axis, view_to_ijk

DEFAULT_RADIUS_MM = 4.0


class PlainBrush:
    """An ``Editor``: two latched buttons and a radius; while one is latched, drags in slice views draw.

    Args:
        report: shows an exception.
    """

    def __init__(self, report: Callable[[BaseException], None]) -> None:
        self.report = report
        self.changed: Callable[[], None] = lambda: None
        self.segment_id = ""
        self._volume: Any = None
        self._brush: Brush | None = None
        self._of: tuple[Any, Any] = (None, None)
        self._views: list[_BrushedView] = []
        self.widget = qt.QWidget()
        row = qt.QHBoxLayout(self.widget)
        row.setContentsMargins(0, 0, 0, 0)
        self.paint_button = self._button("paintButton", _("Paint"), row)
        self.erase_button = self._button("eraseButton", _("Erase"), row)
        row.addWidget(qt.QLabel(_("Radius")))
        self.radius = qt.QDoubleSpinBox()
        self.radius.setObjectName("brushRadius")
        self.radius.setRange(0.5, 50.0)
        self.radius.setValue(DEFAULT_RADIUS_MM)
        self.radius.setSuffix(" mm")
        row.addWidget(self.radius)

    @property
    def active(self) -> bool:
        """Whether drags draw."""
        return bool(self.paint_button.checked or self.erase_button.checked)

    def show(self, volume: Any, segmentation: Any, segment_id: str) -> None:
        """What is drawn on."""
        self.segment_id, self._volume = segment_id, volume
        if self._of != (volume, segmentation):
            self._of = (volume, segmentation)
            there = volume is not None and segmentation is not None
            self._brush = Brush(volume, segmentation) if there else None
        if self._brush is None:
            self._put_away()

    def enter(self) -> None:
        """Drags in the views that there are now are seen."""
        self.exit()
        self._views = [_BrushedView(view, self) for view in application.slice_views()]

    def exit(self) -> None:
        self._put_away()
        for view in self._views:
            view.close()
        self._views = []

    def close(self) -> None:
        self.exit()

    def save_for_undo(self) -> None:
        """It has no history of its own."""

    def show_keys(self, shown: bool) -> None:
        """It has no keys."""

    def can_start(self, view: application.SliceView, xy: tuple[int, int]) -> IJK | None:
        """The voxel that a stroke begins at; None where the brush is away."""
        if not self.active or self._brush is None:
            return None
        return view_to_ijk(view.node, xy, self._volume)

    def draw(self, view: application.SliceView, start: IJK, xy: tuple[int, int]) -> IJK:
        """A stroke from a voxel to a position; returns the voxel there."""
        assert self._brush is not None
        end = view_to_clipped_ijk(view.node, xy, self._volume)
        axis, _tilt = view_axis(view.node, self._volume)
        erase = bool(self.erase_button.checked)
        self._brush.stroke(self.segment_id, start, end, axis, float(self.radius.value), erase)
        return end

    def _button(self, name: str, text: str, row: Any) -> Any:
        button = qt.QPushButton(text)
        button.setObjectName(name)
        button.setCheckable(True)
        button.connect("toggled(bool)", lambda checked: self._on_toggled(button, checked))
        row.addWidget(button, 1)
        return button

    @slot
    def _on_toggled(self, button: Any, checked: bool) -> None:
        other = self.erase_button if button is self.paint_button else self.paint_button
        if checked:
            show_latched(other, False)
        show_latched(button, checked)
        self.changed()

    def _put_away(self) -> None:
        for button in (self.paint_button, self.erase_button):
            button.setChecked(False)


class _BrushedView:
    """Drags in one view."""

    def __init__(self, view: application.SliceView, brush: PlainBrush) -> None:
        self._view = view
        self._brush = brush
        self.report = brush.report
        self._last: IJK | None = None
        self._button = LeftButton(view.interactor, self._on_press, self._on_move, self._on_release)

    def close(self) -> None:
        self._button.close()

    @slot
    def _on_press(self, interactor: Any, event: str) -> None:
        xy = interactor.GetEventPosition()
        start = self._brush.can_start(self._view, xy)
        if start is not None:
            self._button.keep(event)
            self._last = self._brush.draw(self._view, start, xy)

    @slot
    def _on_move(self, interactor: Any, event: str) -> None:
        if self._last is not None:
            self._button.keep(event)
            self._last = self._brush.draw(self._view, self._last, interactor.GetEventPosition())

    @slot
    def _on_release(self, _interactor: Any, event: str) -> None:
        if self._last is not None:
            self._button.keep(event)
            self._last = None
