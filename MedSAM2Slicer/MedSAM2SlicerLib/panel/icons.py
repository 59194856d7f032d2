"""Small icons of the tools, drawn in the colours of the palette at hand."""

from __future__ import annotations

from typing import Any

import qt

SIZE = 16
_STROKES: dict[str, tuple[tuple[int, int, int, int], ...]] = {
    "point": ((7, 2, 2, 12), (2, 7, 12, 2)),
    "negative": ((2, 7, 12, 2),),
    "box": ((2, 3, 12, 2), (2, 11, 12, 2), (2, 3, 2, 10), (12, 3, 2, 10)),
}
"""Filled rectangles: left, top, width, height."""


def tool_icon(name: str, palette: Any) -> Any:
    """A QIcon; the same strokes in grey where its button is disabled."""
    icon = qt.QIcon()
    for mode, group in ((qt.QIcon.Normal, qt.QPalette.Active), (qt.QIcon.Disabled, qt.QPalette.Disabled)):
        pixmap = qt.QPixmap(SIZE, SIZE)
        pixmap.fill(qt.QColor(0, 0, 0, 0))
        painter = qt.QPainter(pixmap)
        color = palette.color(group, qt.QPalette.ButtonText)
        for left, top, width, height in _STROKES[name]:
            painter.fillRect(left, top, width, height, color)
        painter.end()
        icon.addPixmap(pixmap, mode)
    return icon
