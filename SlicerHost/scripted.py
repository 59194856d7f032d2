"""Scripted modules: the base classes that they derive from, and the loader that makes them known to the application."""

from __future__ import annotations

import importlib.util
import sys
import types
import unittest
from pathlib import Path
from typing import Any

import slicer
from PySide6 import QtCore, QtGui, QtWidgets

from .mrml_widgets import WIDGETS, qMRMLWidget
from .pythonqt import stand_in
from .start import module_file


class ScriptedModule:
    """qSlicerScriptedLoadableModule: what a module's class writes its title and texts on."""

    __slots__ = (
        "acknowledgementText",
        "associatedNodeTypes",
        "categories",
        "contributors",
        "dependencies",
        "helpText",
        "hidden",
        "icon",
        "index",
        "name",
        "path",
        "python_module",
        "title",
        "widget",
        "widgetRepresentationCreationEnabled",
    )

    def __init__(self, name: str, path: str) -> None:
        self.name = self.title = name
        self.path = path
        self.icon = QtGui.QIcon()
        self.hidden = False
        self.widget: ScriptedModuleWidget | None = None
        self.python_module: Any = None

    def widgetRepresentation(self) -> ScriptedModuleWidget:
        """The panel; made and set up when it is first asked for."""
        if self.widget is None:
            self.widget = ScriptedModuleWidget(self.name)
            self.widget.reload()
        return self.widget


@stand_in
class ScriptedModuleWidget(qMRMLWidget):
    """qSlicerScriptedLoadableModuleWidget: the widget that a module's panel is laid out in."""

    def __init__(self, module_name: str) -> None:
        super().__init__()
        self._module_name = module_name
        self._python: Any = None
        self._entered = False
        QtWidgets.QVBoxLayout(self)

    def _is_entered(self) -> bool:
        return self._entered

    isEntered = QtCore.Property(bool, _is_entered)

    def self(self) -> Any:
        """The Python object of the panel."""
        return self._python

    def reload(self) -> None:
        """Make the panel's Python object anew from the class as it is now, and set it up."""
        widget_class = getattr(sys.modules[self._module_name], self._module_name + "Widget")
        self._python = widget_class(self)
        setattr(slicer.modules, self._module_name + "Widget", self._python)
        self._python.setup()
        self.setMRMLScene(slicer.mrmlScene)

    def enter(self) -> None:
        self._entered = True
        if hasattr(self._python, "enter"):
            self._python.enter()

    def exit(self) -> None:
        if hasattr(self._python, "exit"):
            self._python.exit()
        self._entered = False


class ScriptedLoadableModule:
    def __init__(self, parent: ScriptedModule) -> None:
        super().__init__()
        self.parent = parent
        self.moduleName = type(self).__name__
        parent.categories, parent.dependencies, parent.contributors = [], [], []
        parent.helpText = parent.acknowledgementText = ""
        icon = Path(parent.path).parent / "Resources" / "Icons" / f"{self.moduleName}.png"
        if icon.is_file():
            parent.icon = QtGui.QIcon(str(icon))

    def resourcePath(self, file_name: str) -> str:
        return str(Path(self.parent.path).parent / "Resources" / file_name)

    def getDefaultModuleDocumentationLink(self, docPage: str | None = None) -> str:
        return ""

    def runTest(self, msec: int = 100, **arguments: Any) -> None:
        test = getattr(sys.modules[type(self).__module__], self.moduleName + "Test")()
        test.messageDelay = msec
        test.runTest(**arguments)


class ScriptedLoadableModuleWidget:
    def __init__(self, parent: Any = None) -> None:
        super().__init__()
        self.moduleName = type(self).__name__.removesuffix("Widget")
        self.developerMode = False
        self.parent = parent or slicer.qMRMLWidget()
        if parent is None:
            QtWidgets.QVBoxLayout(self.parent)
            self.parent.setMRMLScene(slicer.mrmlScene)
        self.layout = self.parent.layout()
        slicer.app.moduleManager().connect("moduleAboutToBeUnloaded(QString)", self._onModuleAboutToBeUnloaded)
        if parent is None:
            self.setup()
            self.parent.show()

    def resourcePath(self, file_name: str) -> str:
        return str(Path(slicer.util.modulePath(self.moduleName)).parent / "Resources" / file_name)

    def setup(self) -> None:
        """Slicer adds its section for developers here; a module calls it first."""

    def cleanup(self) -> None:
        """Called before the module is unloaded."""

    def onReload(self) -> None:
        slicer.util.reloadScriptedModule(self.moduleName)

    def _onModuleAboutToBeUnloaded(self, module_name: str) -> None:
        if module_name == self.moduleName:
            self.cleanup()


class ScriptedLoadableModuleLogic:
    def __init__(self, parent: Any = None) -> None:
        super().__init__()
        self.moduleName = type(self).__name__.removesuffix("Logic")
        self.isSingletonParameterNode = True

    def getParameterNode(self) -> Any:
        node = slicer.mrmlScene.GetSingletonNode(self.moduleName, "vtkMRMLScriptedModuleNode")
        if node is None:
            node = slicer.mrmlScene.AddNode(self.createParameterNode())
        node.SetAttribute("ModuleName", self.moduleName)
        return node

    def createParameterNode(self) -> Any:
        node = slicer.mrmlScene.CreateNodeByClass("vtkMRMLScriptedModuleNode")
        node.UnRegister(None)
        node.SetSingletonTag(self.moduleName)
        node.SetAttribute("ModuleName", self.moduleName)
        node.SetName(slicer.mrmlScene.GenerateUniqueName(self.moduleName))
        return node


class ScriptedLoadableModuleTest(unittest.TestCase):
    def __init__(self, *arguments: Any, **keywords: Any) -> None:
        super().__init__(*arguments, **keywords)
        self.messageDelay = 0

    def delayDisplay(self, message: str, requestedDelay: int | None = None, msec: int | None = None) -> None:
        print(message)
        slicer.app.processEvents()

    def runTest(self) -> None:
        """A module's test overrides this."""


def install_names() -> None:
    """Put the base classes and translation where `from slicer.ScriptedLoadableModule import *` finds them."""
    bases = types.ModuleType("slicer.ScriptedLoadableModule")
    for base in (
        ScriptedLoadableModule,
        ScriptedLoadableModuleWidget,
        ScriptedLoadableModuleLogic,
        ScriptedLoadableModuleTest,
    ):
        setattr(bases, base.__name__, base)
    translation = types.ModuleType("slicer.i18n")
    translation.tr = lambda text: text
    translation.translate = lambda context, text: text
    for module in (bases, translation):
        sys.modules[module.__name__] = module
        setattr(slicer, module.__name__.rpartition(".")[2], module)
    slicer.qSlicerScriptedLoadableModule = ScriptedModule
    slicer.qSlicerScriptedLoadableModuleWidget = ScriptedModuleWidget
    slicer.selfTests = {}
    for widget in WIDGETS:
        setattr(slicer, widget.__name__, widget)


def load_module(path: Path) -> ScriptedModule:
    """Load a scripted module from its file or folder, as Slicer does: only its folder joins `sys.path`."""
    file = module_file(path.resolve())
    name = file.stem
    if str(file.parent) not in sys.path:
        sys.path.insert(0, str(file.parent))
    spec = importlib.util.spec_from_file_location(name, file)
    python_module = importlib.util.module_from_spec(spec)
    sys.modules[name] = python_module
    spec.loader.exec_module(python_module)
    module = ScriptedModule(name, str(file))
    module.python_module = getattr(python_module, name)(module)
    slicer.app.moduleManager().register(name, module)
    slicer.selfTests[name] = module.python_module.runTest
    return module
