"""The main window: the module's panel at the left, the views at the right."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import slicer
from PySide6 import QtCore, QtGui, QtWidgets

from .layout import LayoutManager
from .pythonqt import stand_in

PANEL_WIDTH = 470


@stand_in
class ModuleSelector(QtCore.QObject):
    """qSlicerModuleSelectorToolBar: which module is entered."""

    moduleSelected = QtCore.Signal(str)

    def __init__(self, window: MainWindow) -> None:
        super().__init__(window)
        self._window = window
        self._selected = ""

    selectedModule = QtCore.Property(str, lambda self: self._selected)

    def selectModule(self, name: str) -> None:
        """Leave the module that is open and enter another; "" leaves without entering."""
        manager = slicer.app.moduleManager()
        if self._selected:
            manager.module(self._selected).widgetRepresentation().exit()
        self._selected = name
        module = manager.module(name)
        if module is not None:
            self._window.show_panel(module.title, module.widgetRepresentation())
            module.widgetRepresentation().enter()
        self.moduleSelected.emit(name)


@stand_in
class MainWindow(QtWidgets.QMainWindow):
    """qSlicerMainWindow."""

    def __init__(self, layout_manager: LayoutManager) -> None:
        super().__init__()
        self.objectName = "qSlicerMainWindow"
        self.windowTitle = "SlicerHost: a stand-in for 3D Slicer"
        self._selector = ModuleSelector(self)
        self._title = QtWidgets.QLabel("")
        self._title.font = bold(self._title.font)
        self._scroll = QtWidgets.QScrollArea()
        self._scroll.widgetResizable = True
        self._scroll.setFrameShape(QtWidgets.QFrame.Shape.NoFrame)
        self._scroll.horizontalScrollBarPolicy = QtCore.Qt.ScrollBarPolicy.ScrollBarAlwaysOff
        column = QtWidgets.QWidget()
        layout = QtWidgets.QVBoxLayout(column)
        layout.addWidget(self._title)
        layout.addWidget(self._scroll, 1)
        self._splitter = QtWidgets.QSplitter()
        self._splitter.addWidget(column)
        self._splitter.addWidget(layout_manager)
        self._splitter.setStretchFactor(1, 1)
        self.setCentralWidget(self._splitter)
        self._fill_menu()
        self.statusBar()
        self.resize(1400, 900)
        self._splitter.setSizes([PANEL_WIDTH, 1400 - PANEL_WIDTH])

    def moduleSelector(self) -> ModuleSelector:
        return self._selector

    def show_panel(self, title: str, panel: QtWidgets.QWidget) -> None:
        if self._scroll.widget() is not None:
            self._scroll.takeWidget()
        self._title.text = title
        self._scroll.setWidget(panel)
        panel.show()

    def closeEvent(self, event: Any) -> None:
        slicer.app.quit()
        event.accept()

    def _fill_menu(self) -> None:
        menu = self.menuBar().addMenu("&File")
        for text, key, slot in (
            ("&Open a volume or scene...", "Ctrl+O", self._open),
            ("Open a folder of &DICOM files...", "Ctrl+D", self._open_folder),
            ("&Save the scene...", "Ctrl+S", self._save),
            ("&Quit", "Ctrl+Q", self.close),
        ):
            action = menu.addAction(text)
            action.shortcut = QtGui.QKeySequence(key)
            action.connect("triggered()", slot)

    def _open(self) -> None:
        file, _ = QtWidgets.QFileDialog.getOpenFileName(self, "Open")
        if file:
            slicer.util.loadNodeFromFile(file, properties={})

    def _open_folder(self) -> None:
        folder = QtWidgets.QFileDialog.getExistingDirectory(self, "Open a folder of DICOM files")
        if folder:
            slicer.util.loadVolume(folder, properties={})

    def _save(self) -> None:
        file, _ = QtWidgets.QFileDialog.getSaveFileName(self, "Save the scene", "scene.mrb", "Scenes (*.mrb)")
        if file:
            slicer.util.saveScene(str(Path(file).with_suffix(".mrb")), properties={})


def bold(font: QtGui.QFont) -> QtGui.QFont:
    font.setBold(True)
    return font
