"""`slicer.app`, `slicer.modules` and the main window: as much of qSlicerApplication as a scripted module asks for."""

from __future__ import annotations

import ctypes
import importlib.metadata
import sys
import tempfile
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import slicer
from PySide6 import QtCore, QtWidgets

from .dicom import DicomDatabase
from .files import CoreIOManager
from .layout import LayoutManager
from .pythonqt import stand_in
from .scene import Core

APPLICATION_NAME = "SlicerHost"


def hold_the_lock_in_the_event_loop() -> int:
    """Run Qt's event loop without giving up Python's global lock while it idles, as Slicer does on every system.

    PythonQt's support of threads is off in Slicer, so a Python thread moves only while Python code of the main thread
    runs or waits. PySide6 lets go of the lock, which would hide a worker that starves; on Linux Qt's own function is
    called here through a door that keeps it. Elsewhere PySide6's way is used.
    """
    if sys.platform != "linux":
        return QtWidgets.QApplication.exec()
    library = Path(QtCore.__file__).parent / "Qt" / "lib" / "libQt6Core.so.6"
    return ctypes.PyDLL(str(library))._ZN16QCoreApplication4execEv()


class SelectionAndFactory:
    """The two helpers of the module manager that `slicer.util` asks by name."""

    def __init__(self, modules: dict[str, Any]) -> None:
        self._modules = modules

    def loadedModuleNames(self) -> tuple[str, ...]:
        return tuple(self._modules)


@stand_in
class ModuleManager(QtCore.QObject):
    """qSlicerModuleManager: the modules by name."""

    moduleAboutToBeUnloaded = QtCore.Signal(str)
    moduleLoaded = QtCore.Signal(str)

    def __init__(self) -> None:
        super().__init__()
        self._modules: dict[str, Any] = {}

    def module(self, name: str) -> Any:
        return self._modules.get(name)

    def factoryManager(self) -> SelectionAndFactory:
        return SelectionAndFactory(self._modules)

    def modulesNames(self) -> tuple[str, ...]:
        return tuple(self._modules)

    def register(self, name: str, module: Any) -> None:
        self._modules[name] = module
        setattr(slicer.modules, name.lower(), module)


class CoreModule(SimpleNamespace):
    """A module of Slicer's core, of which there is a logic and no panel."""

    def logic(self) -> Any:
        return self.core_logic

    def widgetRepresentation(self) -> None:
        return None


@stand_in
class Application(QtWidgets.QApplication):
    """qSlicerApplication."""

    startupCompleted = QtCore.Signal()

    applicationName = QtCore.Property(str, lambda self: APPLICATION_NAME)
    applicationVersion = QtCore.Property(str, lambda self: slicer_version())
    majorVersion = QtCore.Property(int, lambda self: int(slicer_version().split(".")[0]))
    minorVersion = QtCore.Property(int, lambda self: int(slicer_version().split(".")[1]))
    temporaryPath = QtCore.Property(str, lambda self: tempfile.gettempdir())

    def __init__(self, arguments: list[str]) -> None:
        super().__init__(arguments)
        self._testing = False
        self._core: Core | None = None
        self._layout_manager: LayoutManager | None = None
        self._options = SimpleNamespace(runPythonAndExit=False, noMainWindow=False)
        self.setOrganizationName(APPLICATION_NAME)
        self._module_manager = ModuleManager()

    def start(self, core: Core, with_window: bool = True, testing: bool = False) -> None:
        """Put scene, logics, modules and this application into `slicer`, and open the main window."""
        self._core = core
        self._testing = testing
        slicer.app = self
        slicer.modules = SimpleNamespace()
        slicer.dicomDatabase = DicomDatabase()
        for name, logic in core.logics.items():
            self._module_manager.register(name.capitalize(), CoreModule(name=name.capitalize(), core_logic=logic))
        self._io_manager = CoreIOManager(core)
        if with_window:
            from .window import MainWindow

            self._layout_manager = LayoutManager(core)
            self._window = MainWindow(self._layout_manager)

    def applicationLogic(self) -> Any:
        return self._core.application_logic

    def mrmlScene(self) -> Any:
        return self._core.scene

    def layoutManager(self) -> LayoutManager | None:
        return self._layout_manager

    def moduleManager(self) -> ModuleManager:
        return self._module_manager

    def coreIOManager(self) -> CoreIOManager:
        return self._io_manager

    def moduleLogic(self, name: str) -> Any:
        return self._core.logics.get(name.lower())

    def commandOptions(self) -> SimpleNamespace:
        return self._options

    def testingEnabled(self) -> bool:
        return self._testing

    def settings(self) -> QtCore.QSettings:
        return QtCore.QSettings()

    userSettings = settings

    def pauseRender(self) -> None:
        if self._layout_manager:
            self._layout_manager.setRenderPaused(True)

    def resumeRender(self) -> None:
        if self._layout_manager:
            self._layout_manager.setRenderPaused(False)

    def run(self) -> int:
        """Announce the end of the start-up and run until the application quits; then the modules clean up."""
        QtCore.QTimer.singleShot(0, self.startupCompleted.emit)
        status = hold_the_lock_in_the_event_loop()
        for name in self._module_manager.modulesNames():
            self._module_manager.moduleAboutToBeUnloaded.emit(name)
        return status


def slicer_version() -> str:
    return importlib.metadata.version("slicer-core")
