"""Views as Slicer has them: real MRML nodes, logics, displayable managers and interactor styles in plain Qt widgets.

VTK renders offscreen; the picture is painted into the widget, and Qt's mouse and key events go to VTK's interactor.
"""

from __future__ import annotations

from typing import Any

import slicer
import vtk
from PySide6 import QtCore, QtGui, QtWidgets

from .pythonqt import stand_in

SLICE_MANAGERS = (
    "vtkMRMLCrosshairDisplayableManager",
    "vtkMRMLModelSliceDisplayableManager",
    "vtkMRMLOrientationMarkerDisplayableManager",
    "vtkMRMLRulerDisplayableManager",
    "vtkMRMLSegmentationsDisplayableManager2D",
    "vtkMRMLMarkupsDisplayableManager",
    "vtkMRMLTransformsDisplayableManager2D",
)
THREE_D_MANAGERS = (
    "vtkMRMLCameraDisplayableManager",
    "vtkMRMLViewDisplayableManager",
    "vtkMRMLModelDisplayableManager",
    "vtkMRMLCrosshairDisplayableManager3D",
    "vtkMRMLOrientationMarkerDisplayableManager",
    "vtkMRMLSegmentationsDisplayableManager3D",
    "vtkMRMLMarkupsDisplayableManager",
)
RENDER_INTERVAL_MS = 15
BUTTONS = {
    QtCore.Qt.MouseButton.LeftButton: "LeftButton",
    QtCore.Qt.MouseButton.MiddleButton: "MiddleButton",
    QtCore.Qt.MouseButton.RightButton: "RightButton",
}
KEY_SYMBOLS = {
    QtCore.Qt.Key.Key_Escape: "Escape",
    QtCore.Qt.Key.Key_Return: "Return",
    QtCore.Qt.Key.Key_Delete: "Delete",
    QtCore.Qt.Key.Key_Backspace: "BackSpace",
    QtCore.Qt.Key.Key_Left: "Left",
    QtCore.Qt.Key.Key_Right: "Right",
    QtCore.Qt.Key.Key_Up: "Up",
    QtCore.Qt.Key.Key_Down: "Down",
}


def flipped(picture: QtGui.QImage) -> QtGui.QImage:
    """A copy with its first row last: VTK counts rows from below."""
    if hasattr(picture, "flipped"):
        return picture.flipped(QtCore.Qt.Orientation.Vertical)
    return picture.mirrored(False, True)


@stand_in
class VtkView(QtWidgets.QWidget):
    """One render window, its renderer and its displayable managers, shown in a Qt widget (ctkVTKAbstractView)."""

    def __init__(self, factory: Any, managers: tuple[str, ...], application_logic: Any) -> None:
        super().__init__()
        self._pauses = 0
        self._image = QtGui.QImage()
        self._renderer = vtk.vtkRenderer()
        self._window = vtk.vtkRenderWindow()
        self._window.SetOffScreenRendering(1)
        self._window.SetMultiSamples(0)
        self._window.AddRenderer(self._renderer)
        self._interactor = vtk.vtkGenericRenderWindowInteractor()
        self._interactor.SetRenderWindow(self._window)
        self._interactor.SetInteractorStyle(vtk.vtkInteractorStyleUser())
        self._interactor.Initialize()
        self._window.AddObserver(vtk.vtkCommand.EndEvent, self._on_rendered)
        factory.SetMRMLApplicationLogic(application_logic)
        for manager in managers:
            if not factory.IsDisplayableManagerRegistered(manager):
                factory.RegisterDisplayableManager(manager)
        self._group = slicer.vtkMRMLDisplayableManagerGroup()
        self._group.Initialize(factory, self._renderer)
        self._group.AddObserver(vtk.vtkCommand.UpdateEvent, lambda *_: self.scheduleRender())
        self._timer = QtCore.QTimer(self)
        self._timer.singleShot = True
        self._timer.interval = RENDER_INTERVAL_MS
        self._timer.timeout.connect(self.forceRender)
        self.mouseTracking = True
        self.focusPolicy = QtCore.Qt.FocusPolicy.StrongFocus
        self.setMinimumSize(80, 60)
        self.setAttribute(QtCore.Qt.WidgetAttribute.WA_OpaquePaintEvent)

    def renderWindow(self) -> Any:
        return self._window

    def interactor(self) -> Any:
        return self._interactor

    def renderer(self) -> Any:
        return self._renderer

    def displayableManagerByClassName(self, name: str) -> Any:
        return self._group.GetDisplayableManagerByClassName(name)

    def setRenderPaused(self, paused: bool) -> None:
        """Nested: as many resumes as pauses before the view renders again."""
        self._pauses = max(0, self._pauses + (1 if paused else -1))
        if not self._pauses:
            self.scheduleRender()

    def scheduleRender(self) -> None:
        """Render soon; many requests in one turn of the event loop make one picture."""
        if not self._pauses and not self._timer.active:
            self._timer.start()

    def renderScheduled(self) -> None:
        """Render now what was to be rendered soon; nothing where nothing was."""
        if self._timer.active:
            self.forceRender()

    def forceRender(self) -> None:
        self._timer.stop()
        if not self._pauses and self._window.GetSize()[0] > 1:
            self._window.Render()

    def image(self) -> QtGui.QImage:
        """The picture last rendered, in physical pixels."""
        return self._image

    def _on_rendered(self, *_: Any) -> None:
        width, height = self._window.GetSize()
        pixels = vtk.vtkUnsignedCharArray()
        self._window.GetRGBACharPixelData(0, 0, width - 1, height - 1, 0, pixels)
        picture = QtGui.QImage(memoryview(pixels), width, height, QtGui.QImage.Format.Format_RGBX8888)
        self._image = flipped(picture)
        self.update()

    def paintEvent(self, _event: Any) -> None:
        painter = QtGui.QPainter(self)
        painter.fillRect(self.rect, QtCore.Qt.GlobalColor.black)
        if not self._image.isNull():
            painter.drawImage(self.rect, self._image)
        painter.end()

    def resizeEvent(self, event: Any) -> None:
        ratio = self.devicePixelRatioF()
        self._window.SetSize(round(event.size().width() * ratio), round(event.size().height() * ratio))
        self._interactor.UpdateSize(*self._window.GetSize())
        self._interactor.ConfigureEvent()
        self.on_size_changed(*self._window.GetSize())
        self.scheduleRender()

    def on_size_changed(self, width: int, height: int) -> None:
        """For a view that must tell its node; physical pixels."""

    def _pass_on(self, event: Any, name: str, key: str = "\0", symbol: str = "") -> None:
        modifiers = event.modifiers()
        control = bool(modifiers & QtCore.Qt.KeyboardModifier.ControlModifier)
        shift = bool(modifiers & QtCore.Qt.KeyboardModifier.ShiftModifier)
        if hasattr(event, "position"):
            ratio = self.devicePixelRatioF()
            x = int(event.position().x() * ratio)
            y = self._window.GetSize()[1] - 1 - int(event.position().y() * ratio)
            repeat = int(event.type() == QtCore.QEvent.Type.MouseButtonDblClick)
            self._interactor.SetEventInformation(x, y, control, shift, key, repeat, symbol)
        else:
            self._interactor.SetKeyEventInformation(control, shift, key, 0, symbol)
        self._interactor.SetAltKey(bool(modifiers & QtCore.Qt.KeyboardModifier.AltModifier))
        self._interactor.InvokeEvent(name)

    def mousePressEvent(self, event: Any) -> None:
        self._pass_on(event, f"{BUTTONS.get(event.button(), 'LeftButton')}PressEvent")

    def mouseReleaseEvent(self, event: Any) -> None:
        self._pass_on(event, f"{BUTTONS.get(event.button(), 'LeftButton')}ReleaseEvent")

    def mouseDoubleClickEvent(self, event: Any) -> None:
        self._pass_on(event, f"{BUTTONS.get(event.button(), 'LeftButton')}DoubleClickEvent")

    def mouseMoveEvent(self, event: Any) -> None:
        self._pass_on(event, "MouseMoveEvent")

    def wheelEvent(self, event: Any) -> None:
        direction = "Forward" if event.angleDelta().y() > 0 else "Backward"
        self._pass_on(event, f"MouseWheel{direction}Event")

    def enterEvent(self, _event: Any) -> None:
        self._interactor.InvokeEvent("EnterEvent")

    def leaveEvent(self, _event: Any) -> None:
        self._interactor.InvokeEvent("LeaveEvent")

    def keyPressEvent(self, event: Any) -> None:
        key = event.text()[:1] or "\0"
        self._pass_on(event, "KeyPressEvent", key, KEY_SYMBOLS.get(event.key(), event.text()))
        self._pass_on(event, "CharEvent", key, KEY_SYMBOLS.get(event.key(), event.text()))

    def keyReleaseEvent(self, event: Any) -> None:
        self._pass_on(event, "KeyReleaseEvent", event.text()[:1] or "\0", KEY_SYMBOLS.get(event.key(), event.text()))


@stand_in
class SliceView(VtkView):
    """qMRMLSliceView: the picture of a slice logic, with the style that scrolls, pans, zooms and sets window/level."""

    def __init__(self, name: str, orientation: str, color: tuple[float, float, float], core: Any) -> None:
        factory = slicer.vtkMRMLSliceViewDisplayableManagerFactory.GetInstance()
        super().__init__(factory, SLICE_MANAGERS, core.application_logic)
        self._renderer.GetActiveCamera().ParallelProjectionOn()
        self._mapper = vtk.vtkImageMapper()
        self._mapper.SetColorWindow(255)
        self._mapper.SetColorLevel(127.5)
        self._actor = vtk.vtkActor2D()
        self._actor.SetMapper(self._mapper)
        self._actor.GetProperty().SetDisplayLocationToBackground()
        self._logic = slicer.vtkMRMLSliceLogic()
        self._logic.SetMRMLApplicationLogic(core.application_logic)
        self._logic.SetMRMLScene(core.scene)
        self._node = self._logic.AddSliceNode(name)
        self._node.SetLayoutLabel(name[0])
        self._node.SetLayoutColor(color)
        self._node.SetDefaultOrientation(orientation)
        self._node.SetOrientation(orientation)
        self._node.SetMappedInLayout(1)
        self._logic.GetSliceCompositeNode().SetLinkedControl(1)
        core.application_logic.GetSliceLogics().AddItem(self._logic)
        self._logic.AddObserver(vtk.vtkCommand.ModifiedEvent, self._on_logic_modified)
        self._group.SetMRMLDisplayableNode(self._node)
        self._logic.SetDisplayableManagerGroup(self._group)
        self._style = slicer.vtkMRMLSliceViewInteractorStyle()
        self._style.SetSliceLogic(self._logic)
        self._style.SetDisplayableManagers(self._group)
        self._style.SetInteractor(self._interactor)

    def sliceLogic(self) -> Any:
        return self._logic

    def mrmlSliceNode(self) -> Any:
        return self._node

    def interactorStyle(self) -> Any:
        return self._style

    sliceViewInteractorStyle = interactorStyle

    def on_size_changed(self, width: int, height: int) -> None:
        self._logic.ResizeSliceNode(width, height)

    def _on_logic_modified(self, *_: Any) -> None:
        connection = self._logic.GetImageDataConnection()
        self._mapper.SetInputConnection(connection)
        if connection is None:
            self._renderer.RemoveViewProp(self._actor)
        elif not self._renderer.HasViewProp(self._actor):
            self._renderer.AddViewProp(self._actor)
        self.scheduleRender()


@stand_in
class ThreeDView(VtkView):
    """qMRMLThreeDView: segments, models and markups in space, with Slicer's camera."""

    def __init__(self, core: Any) -> None:
        factory = slicer.vtkMRMLThreeDViewDisplayableManagerFactory.GetInstance()
        super().__init__(factory, THREE_D_MANAGERS, core.application_logic)
        self._logic = slicer.vtkMRMLViewLogic()
        self._logic.SetMRMLApplicationLogic(core.application_logic)
        self._logic.SetMRMLScene(core.scene)
        self._node = self._logic.AddViewNode("1")
        self._node.SetLayoutLabel("1")
        self._node.SetMappedInLayout(1)
        core.application_logic.GetViewLogics().AddItem(self._logic)
        self._group.SetMRMLDisplayableNode(self._node)
        self._style = slicer.vtkMRMLThreeDViewInteractorStyle()
        self._style.SetDisplayableManagers(self._group)
        self._style.SetInteractor(self._interactor)

    def mrmlViewNode(self) -> Any:
        return self._node

    def interactorStyle(self) -> Any:
        return self._style

    def resetFocalPoint(self) -> None:
        """Look at what is shown; the box around the origin and its letters do not count."""
        box, letters = self._node.GetBoxVisible(), self._node.GetAxisLabelsVisible()
        self._node.SetBoxVisible(0)
        self._node.SetAxisLabelsVisible(0)
        self._renderer.ResetCamera()
        self._node.SetBoxVisible(box)
        self._node.SetAxisLabelsVisible(letters)
        self.scheduleRender()
