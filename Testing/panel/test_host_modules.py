"""A scripted module with a .ui runs on the host as in Slicer: loaded, entered, pressed, left, reloaded."""

from __future__ import annotations

from typing import Any

import pytest
import slicer

from SlicerHost import testing
from SlicerHost.scripted import ScriptedModule
from SlicerHost.start import Host
from Testing.panel.volumes import add_volume

UI = """<?xml version="1.0" encoding="UTF-8"?>
<ui version="4.0"><class>TinyModule</class>
<widget class="qMRMLWidget" name="TinyModule"><layout class="QVBoxLayout" name="column">
  <item><widget class="ctkCollapsibleButton" name="inputs">
    <property name="text"><string>Inputs</string></property>
    <layout class="QFormLayout" name="form"><item row="0" column="1">
      <widget class="qMRMLNodeComboBox" name="volumeSelector">
        <property name="nodeTypes"><stringlist><string>vtkMRMLScalarVolumeNode</string></stringlist></property>
        <property name="addEnabled"><bool>false</bool></property>
        <property name="noneEnabled"><bool>true</bool></property>
      </widget></item>
      <item row="1" column="1"><widget class="ctkRangeWidget" name="range">
        <property name="decimals"><number>0</number></property>
        <property name="maximum"><double>23</double></property>
        <property name="maximumValue"><double>12</double></property>
      </widget></item></layout></widget></item>
  <item><widget class="QPushButton" name="applyButton"><property name="text"><string>Apply</string></property>
    <property name="SlicerParameterName" stdset="0"><string>apply</string></property></widget></item>
</layout></widget>
<customwidgets>
  <customwidget><class>qMRMLWidget</class><extends>QWidget</extends><header>qMRMLWidget.h</header></customwidget>
  <customwidget><class>qMRMLNodeComboBox</class><extends>QWidget</extends><header>qMRMLNodeComboBox.h</header></customwidget>
  <customwidget><class>ctkCollapsibleButton</class><extends>QWidget</extends><header>ctkCollapsibleButton.h</header></customwidget>
  <customwidget><class>ctkRangeWidget</class><extends>QWidget</extends><header>ctkRangeWidget.h</header></customwidget>
</customwidgets>
<connections><connection><sender>TinyModule</sender><signal>mrmlSceneChanged(vtkMRMLScene*)</signal>
  <receiver>volumeSelector</receiver><slot>setMRMLScene(vtkMRMLScene*)</slot></connection></connections></ui>
"""
SOURCE = """
import slicer
from slicer.i18n import tr as _
from slicer.ScriptedLoadableModule import *
from slicer.util import VTKObservationMixin


class TinyModule(ScriptedLoadableModule):
    def __init__(self, parent):
        ScriptedLoadableModule.__init__(self, parent)
        self.parent.title = _("Tiny")
        slicer.app.connect("startupCompleted()", lambda: None)


class TinyModuleWidget(ScriptedLoadableModuleWidget, VTKObservationMixin):
    def __init__(self, parent=None):
        ScriptedLoadableModuleWidget.__init__(self, parent)
        VTKObservationMixin.__init__(self)
        self.happened = []

    def setup(self):
        ScriptedLoadableModuleWidget.setup(self)
        uiWidget = slicer.util.loadUI(self.resourcePath("UI/TinyModule.ui"))
        self.layout.addWidget(uiWidget)
        self.ui = slicer.util.childWidgetVariables(uiWidget)
        uiWidget.setMRMLScene(slicer.mrmlScene)
        self.logic = TinyModuleLogic()
        self.ui.applyButton.connect("clicked(bool)", self.onApply)
        self.addObserver(slicer.mrmlScene, slicer.mrmlScene.EndCloseEvent, self.onClosed)

    def cleanup(self):
        self.removeObservers()
        self.happened.append("cleanup")

    def enter(self):
        self.happened.append("enter")

    def exit(self):
        self.happened.append("exit")

    def onClosed(self, caller, event):
        self.happened.append(f"closed {self.parent.isEntered}")

    def onApply(self, checked):
        self.happened.append(f"applied {checked} {self.ui.volumeSelector.currentNode().GetName()}")


class TinyModuleLogic(ScriptedLoadableModuleLogic):
    pass


class TinyModuleTest(ScriptedLoadableModuleTest):
    def runTest(self):
        raise AssertionError("the module's own test ran")
"""


@pytest.fixture(scope="module")
def tiny(running_host: Host, tmp_path_factory: pytest.TempPathFactory) -> ScriptedModule:
    folder = tmp_path_factory.mktemp("modules") / "TinyModule"
    (folder / "Resources" / "UI").mkdir(parents=True)
    (folder / "Resources" / "UI" / "TinyModule.ui").write_text(UI)
    (folder / "TinyModule.py").write_text(SOURCE)
    return running_host.load_module(folder, enter=False)


@pytest.fixture
def widget(host: Host, tiny: ScriptedModule) -> Any:
    host.window.moduleSelector().selectModule("TinyModule")
    widget = slicer.modules.TinyModuleWidget
    widget.happened.clear()
    return widget


def test_the_panel_is_the_ui_file_and_its_button_can_be_pressed(widget: Any) -> None:
    import qt

    volume = add_volume(name="scan")
    widget.ui.volumeSelector.setCurrentNode(volume)
    assert (widget.ui.range.minimumValue, widget.ui.range.maximumValue) == (0, 12)
    assert widget.ui.applyButton.property("SlicerParameterName") == "apply"
    button = widget.ui.applyButton
    assert button.visible
    testing.click(button, qt.QPointF(button.width / 2, button.height / 2))
    assert widget.happened == ["applied False scan"]


def test_entering_leaving_and_closing_the_scene_are_told(host: Host, widget: Any) -> None:
    assert slicer.util.selectedModule() == "TinyModule"
    host.clear()
    host.window.moduleSelector().selectModule("")
    host.clear()
    host.window.moduleSelector().selectModule("TinyModule")
    assert widget.happened == ["closed True", "exit", "closed False", "enter"]


def test_slicers_own_helpers_find_the_module(widget: Any, tiny: ScriptedModule) -> None:
    assert slicer.util.getModuleWidget("TinyModule") is widget
    assert slicer.util.getModuleLogic("TinyModule") is widget.logic
    assert slicer.util.modulePath("TinyModule") == tiny.path
    assert (tiny.title, widget.moduleName, widget.logic.moduleName) == ("Tiny", "TinyModule", "TinyModule")
    with pytest.raises(AttributeError):
        tiny.titel = "misspelt"


def test_the_parameter_node_is_one_and_is_found_again(widget: Any) -> None:
    node = widget.logic.getParameterNode()
    assert node.GetAttribute("ModuleName") == "TinyModule"
    assert widget.logic.getParameterNode() is node


def test_a_reload_makes_the_panel_anew_and_cleans_the_old_one_up(host: Host, widget: Any) -> None:
    widget.onReload()
    fresh = slicer.modules.TinyModuleWidget
    assert fresh is not widget
    assert "cleanup" in widget.happened
    host.clear()
    assert fresh.happened[-1].startswith("closed")
    assert widget.happened[-1] == "cleanup"


def test_the_modules_own_test_can_be_run(widget: Any) -> None:
    with pytest.raises(AssertionError, match="own test ran"):
        slicer.selfTests["TinyModule"]()
