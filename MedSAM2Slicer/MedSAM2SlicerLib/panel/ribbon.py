"""The confidence ribbon: one bar for each slice along the axis, drawn into a pixmap.

What a bar says is told by its height and its pattern as well as by its colour: solid where the engine is sure, hatched
where it doubts. A triangle stands over a slice that was prompted, a square over one that was drawn by hand.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import qt

from MedSAM2Lib.types import SliceKey
from MedSAM2SlicerLib.session.state import SessionState, SliceTrust

SURE, DOUBTED, KEPT = "#2f9e6e", "#d9822b", "#3d7bd9"
_MARKS = 10
_FOOT = 6
_LEAST_BAR = 3


@dataclass(frozen=True)
class Bar:
    """One column of the ribbon: the least trusted of the slices in it; ``trust`` is None where none has a result."""

    first: int
    last: int
    trust: SliceTrust | None = None
    prompted: bool = False
    drawn: bool = False
    doubted: bool = False


@dataclass(frozen=True)
class Scale:
    """Slices ``0`` to ``count - 1`` over ``width`` pixels."""

    count: int
    width: int

    def left(self, index: int) -> int:
        """First pixel of a slice."""
        return index * self.width // max(self.count, 1)

    def slice_at(self, x: int) -> int:
        """The slice at a pixel, kept within the volume."""
        return min(max((x * self.count + self.count - 1) // max(self.width, 1), 0), self.count - 1)


def bars(state: SessionState, width: int) -> list[Bar]:
    """Columns of at least one pixel; slices that fall on one pixel share a column."""
    scale, found, doubted = Scale(state.slice_count, width), [], {*state.doubted}
    first = 0
    while first < state.slice_count:
        last = first
        while last + 1 < state.slice_count and scale.left(last + 1) == scale.left(first):
            last += 1
        found.append(_bar(state, first, last, doubted))
        first = last + 1
    return found


def _bar(state: SessionState, first: int, last: int, doubted: set[SliceKey]) -> Bar:
    assert state.axis is not None
    keys = [SliceKey(state.axis, index) for index in range(first, last + 1)]
    trusts = [state.slices[key] for key in keys if key in state.slices]
    present = [one for one in trusts if one.found] or trusts
    trust = min(present, key=lambda one: one.predicted_iou) if present else None
    return Bar(
        first,
        last,
        trust,
        any(key in state.keyframes for key in keys),
        any(key in state.hand_drawn for key in keys),
        any(key in doubted for key in keys),
    )


def draw_ribbon(
    state: SessionState, width: int, height: int, palette: Any, here: int | None, ratio: float = 1.0
) -> Any:
    """A QPixmap of ``width`` x ``height`` in Qt's pixels; ``here`` is the slice in view."""
    pixmap = qt.QPixmap(round(width * ratio), round(height * ratio))
    pixmap.setDevicePixelRatio(ratio)
    pixmap.fill(palette.color(qt.QPalette.Base))
    painter = qt.QPainter(pixmap)
    scale = Scale(state.slice_count, width)
    floor = height - _FOOT
    if state.slice_count and state.axis is not None:
        _draw_range(painter, state, scale, floor, palette)
        for bar in bars(state, width):
            _draw_bar(painter, bar, scale, floor, palette)
        if here is not None and 0 <= here < state.slice_count:
            _draw_here(painter, here, scale, height, palette)
    painter.end()
    draw_frame(pixmap, width, height, palette.color(qt.QPalette.Mid))
    return pixmap


def draw_frame(pixmap: Any, width: int, height: int, color: Any) -> None:
    """A line around it: in another colour where the keys are the ribbon's."""
    painter = qt.QPainter(pixmap)
    painter.setPen(color)
    painter.setBrush(qt.QBrush())
    painter.drawRect(0, 0, width - 1, height - 1)
    painter.end()


def _draw_range(painter: Any, state: SessionState, scale: Scale, floor: int, palette: Any) -> None:
    """A line under the slices that a propagation covers."""
    if state.range is None:
        return
    left, right = scale.left(state.range[0]), scale.left(state.range[1] + 1)
    painter.fillRect(left, floor + 2, max(right - left, 2), 3, palette.color(qt.QPalette.Highlight))


def _draw_bar(painter: Any, bar: Bar, scale: Scale, floor: int, palette: Any) -> None:
    left = scale.left(bar.first)
    width = max(scale.left(bar.last + 1) - left, 1)
    inner = width - 1 if width > 3 else width
    if bar.trust is not None and bar.trust.found:
        trust = 1.0 if bar.trust.kept else bar.trust.predicted_iou
        height = max(_LEAST_BAR, round((floor - _MARKS - 2) * trust))
        color = qt.QColor(KEPT if bar.trust.kept else DOUBTED if bar.doubted else SURE)
        painter.fillRect(left, floor - height, inner, height, qt.QBrush(color))
        if bar.doubted:
            hatch = qt.QBrush(palette.color(qt.QPalette.Base), qt.Qt.BDiagPattern)
            painter.fillRect(left, floor - height, inner, height, hatch)
    elif bar.trust is not None:
        painter.fillRect(left, floor - 1, inner, 1, palette.color(qt.QPalette.Mid))
    if bar.prompted:
        _draw_mark(painter, left + width // 2, bar.drawn)


def _draw_mark(painter: Any, x: int, drawn: bool) -> None:
    brush = qt.QBrush(qt.QColor(KEPT))
    if drawn:
        painter.fillRect(x - 3, 2, 6, 6, brush)
        return
    triangle = qt.QPainterPath()
    triangle.moveTo(x - 4.0, 2.0)
    triangle.lineTo(x + 4.0, 2.0)
    triangle.lineTo(x, 9.0)
    triangle.closeSubpath()
    painter.fillPath(triangle, brush)


def _draw_here(painter: Any, here: int, scale: Scale, height: int, palette: Any) -> None:
    """A thin line through the middle of the slice in view."""
    middle = (scale.left(here) + scale.left(here + 1)) // 2
    painter.fillRect(middle, 0, 1, height, palette.color(qt.QPalette.Text))
