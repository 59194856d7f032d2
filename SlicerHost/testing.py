"""For tests: real mouse and key events through the widgets, waiting with a limit, pictures, light and dark."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import slicer
import vtk
from PySide6 import QtCore, QtGui, QtTest, QtWidgets

Qt = QtCore.Qt
LIGHT = {
    "Window": "#efefef",
    "Base": "#ffffff",
    "Text": "#101010",
    "Button": "#e6e6e6",
    "Mid": "#b0b0b0",
    "Dark": "#808080",
}
DARK = {
    "Window": "#2b2b2b",
    "Base": "#1e1e1e",
    "Text": "#e8e8e8",
    "Button": "#3a3a3a",
    "Mid": "#555555",
    "Dark": "#707070",
}


def wait_until(condition: Callable[[], bool], limit_s: float = 20.0) -> None:
    """Run Qt's events until the condition holds; AssertionError after `limit_s` seconds."""
    end = time.monotonic() + limit_s
    while not condition():
        if time.monotonic() > end:
            raise AssertionError(f"what was waited for did not come within {limit_s} s")
        QtWidgets.QApplication.processEvents(QtCore.QEventLoop.ProcessEventsFlag.AllEvents, 20)


def settle() -> None:
    """Let every event that is due happen, and every view render what it scheduled."""
    for _ in range(5):
        QtWidgets.QApplication.processEvents()
    for view in slicer.app.layoutManager().views():
        view.renderScheduled()
    QtWidgets.QApplication.processEvents()


def slice_view(name: str) -> Any:
    return slicer.app.layoutManager().sliceWidget(name).sliceView()


def world_of(volume: Any, ijk: Sequence[float]) -> tuple[float, float, float]:
    """The RAS position of a voxel's centre, parent transforms included."""
    to_ras = vtk.vtkMatrix4x4()
    volume.GetIJKToRASMatrix(to_ras)
    point = to_ras.MultiplyPoint([*ijk, 1.0])[:3]
    to_world = vtk.vtkGeneralTransform()
    slicer.vtkMRMLTransformNode.GetTransformBetweenNodes(volume.GetParentTransformNode(), None, to_world)
    return tuple(to_world.TransformPoint(point))


def widget_position(name: str, ras: Sequence[float], jump: bool = True) -> QtCore.QPointF:
    """Where a RAS position is drawn in a slice view, in Qt's pixels; the view is moved to its slice first."""
    view = slice_view(name)
    node = view.mrmlSliceNode()
    if jump:
        node.JumpSliceByOffsetting(*ras)
        settle()
    to_xy = vtk.vtkMatrix4x4()
    vtk.vtkMatrix4x4.Invert(node.GetXYToRAS(), to_xy)
    x, y = to_xy.MultiplyPoint([*ras, 1.0])[:2]
    ratio = view.devicePixelRatioF()
    return QtCore.QPointF(x / ratio, view.height - (y + 1) / ratio)


def send_mouse(
    widget: Any, kind: str, position: QtCore.QPointF, button: Any = Qt.MouseButton.LeftButton, modifiers: Any = None
) -> None:
    """One mouse event to a widget: `kind` is MouseButtonPress, MouseButtonRelease, MouseMove or MouseButtonDblClick."""
    held = Qt.MouseButton.NoButton if kind == "MouseButtonRelease" else button
    pressed = Qt.MouseButton.NoButton if kind == "MouseMove" else button
    event = QtGui.QMouseEvent(
        getattr(QtCore.QEvent.Type, kind),
        position,
        QtCore.QPointF(widget.mapToGlobal(position.toPoint())),
        pressed,
        held,
        modifiers or Qt.KeyboardModifier.NoModifier,
    )
    QtWidgets.QApplication.sendEvent(widget, event)


def click(
    widget: Any, position: QtCore.QPointF, button: Any = Qt.MouseButton.LeftButton, modifiers: Any = None
) -> None:
    """Move there, press and release."""
    send_mouse(widget, "MouseMove", position, Qt.MouseButton.NoButton, modifiers)
    send_mouse(widget, "MouseButtonPress", position, button, modifiers)
    send_mouse(widget, "MouseButtonRelease", position, button, modifiers)
    QtWidgets.QApplication.processEvents()


def click_ras(name: str, ras: Sequence[float], **how: Any) -> None:
    """Click in a slice view where a RAS position is; the view is moved to its slice first."""
    click(slice_view(name), widget_position(name, ras), **how)


def click_ijk(name: str, volume: Any, ijk: Sequence[float], **how: Any) -> None:
    """Click in a slice view on a voxel of a volume; the view is moved to its slice first."""
    click_ras(name, world_of(volume, ijk), **how)


def drag(
    widget: Any,
    start: QtCore.QPointF,
    end: QtCore.QPointF,
    button: Any = Qt.MouseButton.LeftButton,
    modifiers: Any = None,
    steps: int = 8,
) -> None:
    """Press at one position, move in steps, release at the other."""
    send_mouse(widget, "MouseMove", start, Qt.MouseButton.NoButton, modifiers)
    send_mouse(widget, "MouseButtonPress", start, button, modifiers)
    for step in range(1, steps + 1):
        send_mouse(widget, "MouseMove", start + (end - start) * (step / steps), button, modifiers)
    send_mouse(widget, "MouseButtonRelease", end, button, modifiers)
    QtWidgets.QApplication.processEvents()


def drag_ras(name: str, start: Sequence[float], end: Sequence[float], **how: Any) -> None:
    """Drag in a slice view between two RAS positions of the slice that the first lies on."""
    first = widget_position(name, start)
    drag(slice_view(name), first, widget_position(name, end, jump=False), **how)


def wheel(widget: Any, notches: int, modifiers: Any = None) -> None:
    """Turn the wheel over the middle of a widget; positive is away from the user."""
    middle = QtCore.QPointF(widget.width / 2, widget.height / 2)
    for _ in range(abs(notches)):
        event = QtGui.QWheelEvent(
            middle,
            QtCore.QPointF(widget.mapToGlobal(middle.toPoint())),
            QtCore.QPoint(),
            QtCore.QPoint(0, 120 if notches > 0 else -120),
            Qt.MouseButton.NoButton,
            modifiers or Qt.KeyboardModifier.NoModifier,
            Qt.ScrollPhase.NoScrollPhase,
            False,
        )
        QtWidgets.QApplication.sendEvent(widget, event)
    QtWidgets.QApplication.processEvents()


def press_key(widget: Any, key: Any, modifiers: Any = None) -> None:
    """Press and release a key on a widget, as Qt does: a shortcut takes it first, unless a text field wants it."""
    window = widget.window()
    if not window.isActiveWindow:
        window.activateWindow()
        wait_until(lambda: window.isActiveWindow)
    QtTest.QTest.keyClick(widget, key, modifiers or Qt.KeyboardModifier.NoModifier)
    QtWidgets.QApplication.processEvents()


def save_picture(widget: Any, file: Path) -> None:
    """Write a widget, views included, as a PNG."""
    settle()
    if not widget.grab().save(str(file)):
        raise OSError(f"the picture could not be written to {file}")


def set_palette(name: str) -> None:
    """ "light" or "dark", for the whole application."""
    colors = {"light": LIGHT, "dark": DARK}[name]
    palette = QtGui.QPalette()
    roles = QtGui.QPalette.ColorRole
    for role, color in colors.items():
        palette.setColor(roles[role], QtGui.QColor(color))
    for role in (roles.WindowText, roles.ButtonText, roles.ToolTipText):
        palette.setColor(role, QtGui.QColor(colors["Text"]))
    palette.setColor(roles.ToolTipBase, QtGui.QColor(colors["Base"]))
    palette.setColor(roles.AlternateBase, QtGui.QColor(colors["Window"]))
    palette.setColor(roles.Highlight, QtGui.QColor("#3d7bd9"))
    palette.setColor(roles.HighlightedText, QtGui.QColor("#ffffff"))
    for role in (roles.WindowText, roles.ButtonText, roles.Text):
        palette.setColor(QtGui.QPalette.ColorGroup.Disabled, role, QtGui.QColor("#8c8c8c"))
    QtWidgets.QApplication.setStyle("Fusion")
    QtWidgets.QApplication.setPalette(palette)
