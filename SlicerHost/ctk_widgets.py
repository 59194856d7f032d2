"""Stand-ins of the ctk widgets that a panel's .ui names."""

from __future__ import annotations

import types
from typing import Any

from PySide6 import QtCore, QtGui, QtWidgets

from .pythonqt import stand_in

Property, Signal = QtCore.Property, QtCore.Signal
HANDLE_WIDTH = 9


@stand_in
class ctkCollapsibleButton(QtWidgets.QAbstractButton):
    """A heading that hides and shows what is laid out under it."""

    contentsCollapsed = Signal(bool)

    def __init__(self, parent: QtWidgets.QWidget | None = None) -> None:
        super().__init__(parent)
        self._collapsed = False
        self._hidden_here: list[QtWidgets.QWidget] = []
        self.setContentsMargins(0, self._heading(), 0, 0)
        self.clicked.connect(lambda: self._set_collapsed(not self._collapsed))

    def _heading(self) -> int:
        return self.fontMetrics().height() + 10

    def _set_collapsed(self, collapsed: bool) -> None:
        if collapsed == self._collapsed:
            return
        self._collapsed = collapsed
        if collapsed:
            self._hidden_here = [child for child in self.children() if child.isWidgetType() and not child.isHidden()]
        for child in self._hidden_here:
            child.setVisible(not collapsed)
        self.maximumHeight = self._heading() if collapsed else (1 << 24) - 1
        self.updateGeometry()
        self.contentsCollapsed.emit(collapsed)

    collapsed = Property(bool, lambda self: self._collapsed, _set_collapsed)
    contentsFrameShape = Property(int, lambda self: 0, lambda self, shape: None)

    def hitButton(self, position: QtCore.QPoint) -> bool:
        return position.y() < self._heading()

    def sizeHint(self) -> QtCore.QSize:
        if self.layout() is None or self._collapsed:
            return QtCore.QSize(self.fontMetrics().horizontalAdvance(self.text) + 40, self._heading())
        return self.layout().sizeHint().grownBy(self.contentsMargins())

    minimumSizeHint = sizeHint

    def paintEvent(self, _event: Any) -> None:
        painter = QtWidgets.QStylePainter(self)
        option = QtWidgets.QStyleOptionButton()
        option.initFrom(self)
        option.rect = QtCore.QRect(0, 0, self.width, self._heading())
        option.state |= QtWidgets.QStyle.StateFlag.State_Raised
        painter.drawControl(QtWidgets.QStyle.ControlElement.CE_PushButtonBevel, option)
        arrow = QtWidgets.QStyleOption(option)
        arrow.rect = QtCore.QRect(8, (self._heading() - 10) // 2, 10, 10)
        kinds = QtWidgets.QStyle.PrimitiveElement
        painter.drawPrimitive(kinds.PE_IndicatorArrowRight if self._collapsed else kinds.PE_IndicatorArrowDown, arrow)
        painter.setPen(self.palette.color(QtGui.QPalette.ColorRole.ButtonText))
        painter.drawText(option.rect.adjusted(26, 0, 0, 0), QtCore.Qt.AlignmentFlag.AlignVCenter, self.text)
        painter.end()


class RangeSlider(QtWidgets.QWidget):
    """Two handles on one groove; values from 0 to 1."""

    moved = Signal(int, float)

    def __init__(self) -> None:
        super().__init__()
        self._values = [0.0, 1.0]
        self._held: int | None = None
        self.minimumWidth, self.minimumHeight = 60, 20
        self.focusPolicy = QtCore.Qt.FocusPolicy.StrongFocus

    def set_values(self, low: float, high: float) -> None:
        self._values = [low, high]
        self.update()

    def handle_center(self, which: int) -> QtCore.QPoint:
        groove = self.width - 2 * HANDLE_WIDTH
        return QtCore.QPoint(HANDLE_WIDTH + round(groove * self._values[which]), self.height // 2)

    def mousePressEvent(self, event: Any) -> None:
        distances = [abs(event.position().x() - self.handle_center(which).x()) for which in (0, 1)]
        self._held = 0 if distances[0] < distances[1] or self._values == [1.0, 1.0] else 1

    def mouseMoveEvent(self, event: Any) -> None:
        if self._held is not None:
            groove = self.width - 2 * HANDLE_WIDTH
            value = (event.position().x() - HANDLE_WIDTH) / max(groove, 1)
            self.moved.emit(self._held, min(max(value, 0.0), 1.0))

    def mouseReleaseEvent(self, _event: Any) -> None:
        self._held = None

    def paintEvent(self, _event: Any) -> None:
        painter = QtGui.QPainter(self)
        palette, middle = self.palette, self.height // 2
        left, right = (self.handle_center(which).x() for which in (0, 1))
        painter.fillRect(HANDLE_WIDTH, middle - 2, self.width - 2 * HANDLE_WIDTH, 4, palette.mid())
        painter.fillRect(left, middle - 2, right - left, 4, palette.highlight())
        painter.setPen(palette.color(QtGui.QPalette.ColorRole.Dark))
        painter.setBrush(palette.button())
        for x in (left, right):
            painter.drawRoundedRect(x - HANDLE_WIDTH // 2, middle - 8, HANDLE_WIDTH, 16, 2, 2)
        painter.end()


@stand_in
class ctkRangeWidget(QtWidgets.QWidget):
    """A range between two spin boxes and on a slider with two handles."""

    valuesChanged = Signal(float, float)
    minimumValueChanged = Signal(float)
    maximumValueChanged = Signal(float)

    def __init__(self, parent: QtWidgets.QWidget | None = None) -> None:
        super().__init__(parent)
        self._range, self._values = (0.0, 99.0), (0.0, 99.0)
        self._boxes = (QtWidgets.QDoubleSpinBox(self), QtWidgets.QDoubleSpinBox(self))
        self._slider = RangeSlider()
        row = QtWidgets.QHBoxLayout(self)
        row.setContentsMargins(0, 0, 0, 0)
        row.addWidget(self._boxes[0])
        row.addWidget(self._slider, 1)
        row.addWidget(self._boxes[1])
        for which, box in enumerate(self._boxes):
            box.maximum = 99.0
            box.keyboardTracking = False
            box.valueChanged.connect(lambda value, which=which: self._move(which, value))
        self._slider.moved.connect(lambda which, part: self._move(which, self._from_part(part)))
        self._show()

    def minimumSpinBox(self) -> QtWidgets.QDoubleSpinBox:
        return self._boxes[0]

    def maximumSpinBox(self) -> QtWidgets.QDoubleSpinBox:
        return self._boxes[1]

    def slider(self) -> RangeSlider:
        return self._slider

    def setRange(self, low: float, high: float) -> None:
        self._range = (float(low), float(max(low, high)))
        self.setValues(*self._values)

    def setValues(self, low: float, high: float) -> None:
        """Both at once, kept inside the range; a signal for each that changes."""
        ends, old = self._range, self._values
        low = round(min(max(low, ends[0]), ends[1]), self._boxes[0].decimals)
        high = round(min(max(high, low), ends[1]), self._boxes[0].decimals)
        self._values = (low, high)
        self._show()
        if self._values != old:
            if low != old[0]:
                self.minimumValueChanged.emit(low)
            if high != old[1]:
                self.maximumValueChanged.emit(high)
            self.valuesChanged.emit(low, high)

    def _move(self, which: int, value: float) -> None:
        low, high = self._values
        self.setValues(min(value, high), high) if which == 0 else self.setValues(low, max(value, low))

    def _from_part(self, part: float) -> float:
        return self._range[0] + part * (self._range[1] - self._range[0])

    def _show(self) -> None:
        extent = max(self._range[1] - self._range[0], 1e-9)
        self._slider.set_values(*((value - self._range[0]) / extent for value in self._values))
        for box, value in zip(self._boxes, self._values, strict=True):
            box.blockSignals(True)
            box.setRange(*self._range)
            box.value = value
            box.blockSignals(False)

    def _set_decimals(self, decimals: int) -> None:
        for box in self._boxes:
            box.decimals = decimals
        self.setValues(*self._values)

    def _set_step(self, step: float) -> None:
        for box in self._boxes:
            box.singleStep = step

    def _set_suffix(self, suffix: str) -> None:
        for box in self._boxes:
            box.suffix = suffix

    minimum = Property(float, lambda self: self._range[0], lambda self, v: self.setRange(v, max(v, self._range[1])))
    maximum = Property(float, lambda self: self._range[1], lambda self, v: self.setRange(min(v, self._range[0]), v))
    minimumValue = Property(float, lambda self: self._values[0], lambda self, v: self._move(0, v))
    maximumValue = Property(float, lambda self: self._values[1], lambda self, v: self._move(1, v))
    decimals = Property(int, lambda self: self._boxes[0].decimals, _set_decimals)
    singleStep = Property(float, lambda self: self._boxes[0].singleStep, _set_step)
    suffix = Property(str, lambda self: self._boxes[0].suffix, _set_suffix)


@stand_in
class ctkSliderWidget(QtWidgets.QWidget):
    """A slider and a spin box for one number."""

    valueChanged = Signal(float)

    def __init__(self, parent: QtWidgets.QWidget | None = None) -> None:
        super().__init__(parent)
        self._box = QtWidgets.QDoubleSpinBox(self)
        self._slider = QtWidgets.QSlider(QtCore.Qt.Orientation.Horizontal, self)
        self._slider.maximum = 1000
        row = QtWidgets.QHBoxLayout(self)
        row.setContentsMargins(0, 0, 0, 0)
        row.addWidget(self._slider, 1)
        row.addWidget(self._box)
        self._box.valueChanged.connect(self._on_value)
        self._slider.valueChanged.connect(self._on_slid)

    def setValue(self, value: float) -> None:
        self._box.value = float(value)

    def spinBox(self) -> QtWidgets.QDoubleSpinBox:
        return self._box

    def _on_slid(self, step: int) -> None:
        self._box.value = self._box.minimum + (self._box.maximum - self._box.minimum) * step / 1000

    def _on_value(self, value: float) -> None:
        extent = max(self._box.maximum - self._box.minimum, 1e-9)
        self._slider.blockSignals(True)
        self._slider.value = round((value - self._box.minimum) / extent * 1000)
        self._slider.blockSignals(False)
        self.valueChanged.emit(value)

    def _of_box(kind: type, name: str) -> Property:
        return Property(
            kind, lambda self: getattr(self._box, name), lambda self, value: setattr(self._box, name, value)
        )

    value, minimum, maximum = _of_box(float, "value"), _of_box(float, "minimum"), _of_box(float, "maximum")
    singleStep, decimals, suffix = _of_box(float, "singleStep"), _of_box(int, "decimals"), _of_box(str, "suffix")
    del _of_box


@stand_in
class ctkPathLineEdit(QtWidgets.QWidget):
    """A path in a field, with a button that asks for one."""

    Dirs, Files = 1, 2
    currentPathChanged = Signal(str)

    def __init__(self, parent: QtWidgets.QWidget | None = None) -> None:
        super().__init__(parent)
        self._filters, self._setting_key = self.Files, ""
        self._line = QtWidgets.QLineEdit(self)
        button = QtWidgets.QToolButton(self)
        button.text = "..."
        row = QtWidgets.QHBoxLayout(self)
        row.setContentsMargins(0, 0, 0, 0)
        row.addWidget(self._line, 1)
        row.addWidget(button)
        self._line.textChanged.connect(self.currentPathChanged)
        button.clicked.connect(self.browse)

    def setCurrentPath(self, path: str) -> None:
        self._line.text = str(path)

    def addCurrentPathToHistory(self) -> None:
        """Slicer remembers the path in its settings; this host does not."""

    def browse(self) -> None:
        dialog = QtWidgets.QFileDialog
        if self._filters & self.Dirs:
            path = dialog.getExistingDirectory(self, "Choose a folder", self._line.text)
        else:
            path = dialog.getOpenFileName(self, "Choose a file", self._line.text)[0]
        if path:
            self._line.text = path

    currentPath = Property(str, lambda self: self._line.text, lambda self, path: self.setCurrentPath(path))
    filters = Property(int, lambda self: self._filters, lambda self, value: setattr(self, "_filters", int(value)))
    settingKey = Property(str, lambda self: self._setting_key, lambda self, key: setattr(self, "_setting_key", key))


@stand_in
class ctkMessageBox(QtWidgets.QMessageBox):
    """A message box; Slicer's can be told not to come again."""


WIDGETS = (ctkCollapsibleButton, ctkRangeWidget, ctkSliderWidget, ctkPathLineEdit, ctkMessageBox)


def ctk_module() -> types.ModuleType:
    module = types.ModuleType("ctk", "The ctk widgets that this host has")
    for widget in WIDGETS:
        setattr(module, widget.__name__, widget)
    return module
