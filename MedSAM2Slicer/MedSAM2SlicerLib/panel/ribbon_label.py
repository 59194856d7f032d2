"""The label that shows the ribbon, and says which slice was clicked in it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import qt

from MedSAM2SlicerLib.panel.ribbon import Scale, draw_frame, draw_ribbon
from MedSAM2SlicerLib.session.state import SessionState

_REDRAWN = (qt.QEvent.Resize, qt.QEvent.PaletteChange, qt.QEvent.FocusIn, qt.QEvent.FocusOut)
_STEPS = {qt.Qt.Key_Left: -1, qt.Qt.Key_Right: 1, qt.Qt.Key_PageDown: -10, qt.Qt.Key_PageUp: 10}


class RibbonLabel(qt.QObject):
    """Fills a QLabel of the .ui; clicks, drags and the arrow keys choose a slice.

    Args:
        label: the QLabel.
        chosen: called with the index of a slice.
    """

    def __init__(self, label: Any, chosen: Callable[[int], None]) -> None:
        qt.QObject.__init__(self, label)
        self._label = label
        self._chosen = chosen
        self._state = SessionState()
        self._here: int | None = None
        label.installEventFilter(self)

    def render(self, state: SessionState, here: int | None) -> None:
        """Draws a state; ``here`` is the slice in view."""
        self._state, self._here = state, here
        self._draw()

    def eventFilter(self, _watched: Any, event: Any) -> bool:  # noqa: N802
        """Called by Qt for every event of the label."""
        kind = event.type()
        if kind in _REDRAWN:
            self._draw()
        elif kind == qt.QEvent.MouseButtonPress or (kind == qt.QEvent.MouseMove and event.buttons()):
            self._choose(Scale(self._state.slice_count, self._label.width).slice_at(_x_of(event)))
            return True
        elif kind == qt.QEvent.KeyPress and event.key() in _STEPS and self._here is not None:
            self._choose(self._here + _STEPS[event.key()])
            return True
        return False

    def _choose(self, index: int) -> None:
        if 0 <= index < self._state.slice_count:
            self._chosen(index)

    def _draw(self) -> None:
        label = self._label
        width, height = label.width, label.height
        if width > 0 and height > 0:
            ratio = label.devicePixelRatioF()
            pixmap = draw_ribbon(self._state, width, height, label.palette, self._here, ratio)
            if label.focus:
                draw_frame(pixmap, width, height, label.palette.color(qt.QPalette.Highlight))
            label.setPixmap(pixmap)


def _x_of(event: Any) -> int:
    """Where a mouse event is, by the name that Qt 6 has for it, or Qt 5."""
    return int(event.position().x() if hasattr(event, "position") else event.pos().x())
