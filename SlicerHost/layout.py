"""Slicer's four-up layout: the widgets around the views, and the layout manager that finds them by name."""

from __future__ import annotations

from typing import Any

import slicer
import vtk
from PySide6 import QtCore, QtWidgets

from .pythonqt import stand_in
from .views import SliceView, ThreeDView

# Name, orientation and colour of Slicer's slice views (qMRMLLayoutManager, vtkMRMLSliceNode).
SLICE_VIEWS = (
    ("Red", "Axial", (0.953, 0.290, 0.200)),
    ("Yellow", "Sagittal", (0.929, 0.835, 0.298)),
    ("Green", "Coronal", (0.431, 0.690, 0.294)),
)
POSITIONS = {"Red": (0, 0), "Green": (1, 0), "Yellow": (1, 1)}
SLIDER_STEPS = 10_000


class Bar(QtWidgets.QWidget):
    """The coloured strip above a view, with its name."""

    def __init__(self, label: str, color: tuple[float, float, float]) -> None:
        super().__init__()
        background = "#" + "".join(f"{round(part * 255):02x}" for part in color)
        self.setAttribute(QtCore.Qt.WidgetAttribute.WA_StyledBackground)
        self.styleSheet = f"Bar {{ background: {background}; }} Bar > QLabel {{ color: black; }}"
        row = QtWidgets.QHBoxLayout(self)
        row.setContentsMargins(6, 1, 6, 1)
        row.addWidget(QtWidgets.QLabel(label))


@stand_in
class SliceController(Bar):
    """qMRMLSliceControllerWidget, of which there is a slider over the slices and their position in mm."""

    def __init__(self, view: SliceView, color: tuple[float, float, float]) -> None:
        super().__init__(view.mrmlSliceNode().GetLayoutLabel(), color)
        self._logic = view.sliceLogic()
        self._slider = QtWidgets.QSlider(QtCore.Qt.Orientation.Horizontal)
        self._slider.maximum = SLIDER_STEPS
        self._slider.focusPolicy = QtCore.Qt.FocusPolicy.NoFocus
        self._text = QtWidgets.QLabel("")
        self._text.minimumWidth = 110
        self._text.alignment = QtCore.Qt.AlignmentFlag.AlignRight | QtCore.Qt.AlignmentFlag.AlignVCenter
        self.layout().addWidget(self._slider, 1)
        self.layout().addWidget(self._text)
        self._slider.valueChanged.connect(self._on_slid)
        self._logic.AddObserver(vtk.vtkCommand.ModifiedEvent, self._show_offset)
        view.mrmlSliceNode().AddObserver(vtk.vtkCommand.ModifiedEvent, self._show_offset)
        self._show_offset()

    def sliceOffsetSlider(self) -> QtWidgets.QSlider:
        return self._slider

    def fitSliceToBackground(self) -> None:
        self._logic.FitSliceToBackground()
        self._logic.SnapSliceOffsetToIJK()

    def _range(self) -> tuple[float, float]:
        ends, resolution = [0.0, -1.0], vtk.reference(1.0)
        self._logic.GetSliceOffsetRangeResolution(ends, resolution)
        return (ends[0], ends[1]) if ends[1] > ends[0] else (-100.0, 100.0)

    def _on_slid(self, step: int) -> None:
        low, high = self._range()
        self._logic.StartSliceOffsetInteraction()
        self._logic.SetSliceOffset(low + (high - low) * step / SLIDER_STEPS)
        self._logic.SnapSliceOffsetToIJK()
        self._logic.EndSliceOffsetInteraction()

    def _show_offset(self, *_: Any) -> None:
        low, high = self._range()
        offset = self._logic.GetSliceOffset()
        self._slider.blockSignals(True)
        self._slider.value = round((offset - low) / (high - low) * SLIDER_STEPS)
        self._slider.blockSignals(False)
        self._text.text = f"{self._logic.GetSliceNode().GetOrientation()}  {offset:.1f} mm"


@stand_in
class SliceWidget(QtWidgets.QWidget):
    """qMRMLSliceWidget: a controller above a slice view."""

    def __init__(self, name: str, orientation: str, color: tuple[float, float, float], core: Any) -> None:
        super().__init__()
        self._view = SliceView(name, orientation, color, core)
        self._controller = SliceController(self._view, color)
        column = QtWidgets.QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.spacing = 0
        column.addWidget(self._controller)
        column.addWidget(self._view, 1)

    def sliceView(self) -> SliceView:
        return self._view

    def sliceController(self) -> SliceController:
        return self._controller

    def sliceLogic(self) -> Any:
        return self._view.sliceLogic()

    def mrmlSliceNode(self) -> Any:
        return self._view.mrmlSliceNode()

    def mrmlSliceCompositeNode(self) -> Any:
        return self._view.sliceLogic().GetSliceCompositeNode()

    def interactorStyle(self) -> Any:
        return self._view.interactorStyle()


@stand_in
class ThreeDWidget(QtWidgets.QWidget):
    """qMRMLThreeDWidget."""

    def __init__(self, core: Any) -> None:
        super().__init__()
        self._view = ThreeDView(core)
        column = QtWidgets.QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.spacing = 0
        column.addWidget(Bar("1", (0.690, 0.690, 0.940)))
        column.addWidget(self._view, 1)

    def threeDView(self) -> ThreeDView:
        return self._view

    def mrmlViewNode(self) -> Any:
        return self._view.mrmlViewNode()


@stand_in
class LayoutManager(QtWidgets.QWidget):
    """qSlicerLayoutManager with its one layout, and the widget that holds it."""

    layoutChanged = QtCore.Signal(int)

    def __init__(self, core: Any) -> None:
        super().__init__()
        grid = QtWidgets.QGridLayout(self)
        grid.setContentsMargins(0, 0, 0, 0)
        grid.spacing = 2
        self._slices = {}
        for name, orientation, color in SLICE_VIEWS:
            self._slices[name] = SliceWidget(name, orientation, color, core)
            grid.addWidget(self._slices[name], *POSITIONS[name])
        self._three_d = ThreeDWidget(core)
        grid.addWidget(self._three_d, 0, 1)
        for index in range(2):
            grid.setColumnStretch(index, 1)
            grid.setRowStretch(index, 1)

    threeDViewCount = QtCore.Property(int, lambda self: 1)

    def sliceViewNames(self) -> tuple[str, ...]:
        return tuple(self._slices)

    def sliceWidget(self, name: str) -> SliceWidget | None:
        return self._slices.get(name)

    def threeDWidget(self, index: int) -> ThreeDWidget | None:
        return self._three_d if index == 0 else None

    def viewport(self) -> QtWidgets.QWidget:
        return self

    def mrmlSliceLogics(self) -> Any:
        return slicer.app.applicationLogic().GetSliceLogics()

    def resetSliceViews(self) -> None:
        for widget in self._slices.values():
            widget.sliceLogic().FitSliceToAll()
            widget.sliceLogic().SnapSliceOffsetToIJK()

    def resetThreeDViews(self) -> None:
        self._three_d.threeDView().resetFocalPoint()

    def views(self) -> list[Any]:
        return [widget.sliceView() for widget in self._slices.values()] + [self._three_d.threeDView()]

    def setRenderPaused(self, paused: bool) -> None:
        for view in self.views():
            view.setRenderPaused(paused)
