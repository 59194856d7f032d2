"""Everything that needs the running application (`slicer.app`) and that no scene alone has."""

from __future__ import annotations

import importlib
import shutil
import sys
import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import slicer

NO_VERSION = (0, 0)
EDITOR_TAG = "SegmentEditor"
EFFECTS = ["Paint", "Erase", "Scissors", "Islands", "Smoothing"]
UNDO_STATES = 20


@dataclass(frozen=True, eq=False)
class SliceView:
    """A slice view on the screen: its MRML node, VTK's interactor and renderer, and the Qt widget."""

    node: Any
    interactor: Any
    renderer: Any
    widget: Any


def version() -> tuple[int, int]:
    """Slicer's major and minor version; ``NO_VERSION`` where no application runs."""
    app = getattr(slicer, "app", None)
    return NO_VERSION if app is None else (int(app.majorVersion), int(app.minorVersion))


def is_testing() -> bool:
    """Whether Slicer runs with --testing: then nothing may be installed and nobody answers questions."""
    app = getattr(slicer, "app", None)
    return app is not None and bool(app.testingEnabled())


def on_main_thread() -> bool:
    """Whether MRML, Qt and VTK may be used here."""
    return threading.current_thread() is threading.main_thread()


def main_window() -> Any:
    """Slicer's main window; None where it runs without one."""
    return _module("slicer.util").mainWindow()


def layout_manager() -> Any:
    """Slicer's layout manager; None where it runs without a main window."""
    app = getattr(slicer, "app", None)
    return None if app is None else app.layoutManager()


def process_events() -> None:
    """Lets the event loop do what waits."""
    slicer.app.processEvents()


def copy_text(text: str) -> None:
    """Puts a text on the clipboard."""
    slicer.app.clipboard().setText(text)


def standard_icon(icon: Any) -> Any:
    """An icon of the application's style, by ``qt.QStyle``'s name of it."""
    return slicer.app.style().standardIcon(icon)


def follow_focus(callback: Callable[[Any, Any], None]) -> None:
    """Calls back with the old and the new widget at each change of the keyboard's focus, and at once."""
    slicer.app.connect("focusChanged(QWidget*,QWidget*)", callback)
    callback(None, slicer.app.focusWidget())


def unfollow_focus(callback: Callable[[Any, Any], None]) -> None:
    """Calls back no more."""
    slicer.app.disconnect("focusChanged(QWidget*,QWidget*)", callback)


def slice_views() -> list[SliceView]:
    """All slice views of the layout, by their names' order; none without a main window."""
    layout = layout_manager()
    found = []
    for name in layout.sliceViewNames() if layout is not None else ():
        widget = layout.sliceWidget(name)
        view = widget.sliceView()
        renderer = view.renderWindow().GetRenderers().GetFirstRenderer()
        found.append(SliceView(widget.mrmlSliceNode(), view.interactor(), renderer, view))
    return found


def mouse_only_looks() -> bool:
    """Whether clicks in views pan, zoom and scroll, and nobody places markups or sets window and level by them."""
    node = slicer.app.applicationLogic().GetInteractionNode()
    return node is None or node.GetCurrentInteractionMode() == node.ViewTransform


def segment_editor(scene: Any) -> SegmentEditor | None:
    """Slicer's segment editor; None where the application has none."""
    make = getattr(slicer, "qMRMLSegmentEditorWidget", None)
    return None if make is None else SegmentEditor(make(), scene)


class SegmentEditor:
    """Slicer's segment editor widget on the shared editor node, so that masking and brush are as in its own module.

    ``changed`` is called when an effect is taken or put away, and when another segment is chosen in it.

    Args:
        widget: a qMRMLSegmentEditorWidget.
        scene: the vtkMRMLScene.
    """

    def __init__(self, widget: Any, scene: Any) -> None:
        self.changed: Callable[[], None] = lambda: None
        self.widget = widget
        self._scene = scene
        self._node: Any = None
        self._tag = 0
        widget.setMaximumNumberOfUndoStates(UNDO_STATES)
        widget.setEffectNameOrder(EFFECTS)
        widget.unorderedEffectsVisible = False
        widget.segmentationNodeSelectorVisible = False
        widget.sourceVolumeNodeSelectorVisible = False
        widget.switchToSegmentationsButtonVisible = False
        self._follow_node()
        widget.setMRMLScene(scene)
        for table in _module("slicer.util").findChildren(widget, name="SegmentsTableView"):
            table.hide()  # the panel has the list of segments

    @property
    def active(self) -> bool:
        """Whether an effect has the mouse and the keys."""
        return self._node is not None and self._node.GetActiveEffectName() not in (None, "", "None")

    @property
    def segment_id(self) -> str:
        """The segment that is chosen in it."""
        return "" if self._node is None else str(self._node.GetSelectedSegmentID() or "")

    def show(self, volume: Any, segmentation: Any, segment_id: str) -> None:
        """What is edited, and on which volume."""
        self._follow_node()
        self.widget.setSegmentationNode(segmentation)
        self.widget.setSourceVolumeNode(volume)
        if segment_id and segment_id != self.segment_id:
            self.widget.setCurrentSegmentID(segment_id)

    def enter(self) -> None:
        """The module is opened."""
        self._follow_node()
        self.widget.setupViewObservations()

    def exit(self) -> None:
        """The module is left: no effect stays active."""
        self._node.SetActiveEffectName("")
        self.show_keys(False)
        self.widget.removeViewObservations()

    def show_keys(self, shown: bool) -> None:
        """The editor's keys are there while one of its effects is active, so that no key has two meanings."""
        self.widget.installKeyboardShortcuts() if shown else self.widget.uninstallKeyboardShortcuts()

    def save_for_undo(self) -> None:
        """The editor's own history gets a state."""
        self.widget.saveStateForUndo()

    def close(self) -> None:
        """Lets go of the editor's node."""
        if self._node is not None:
            self._node.RemoveObserver(self._tag)
            self._node = None

    def _follow_node(self) -> None:
        """The shared node; made where the scene has none, which is so after the scene was closed."""
        node = self._scene.GetSingletonNode(EDITOR_TAG, "vtkMRMLSegmentEditorNode")
        if node is None:
            node = self._scene.CreateNodeByClass("vtkMRMLSegmentEditorNode")
            node.UnRegister(None)
            node.SetSingletonTag(EDITOR_TAG)
            node = self._scene.AddNode(node)
        if node is not self._node:
            self.close()
            self._node = node
            self._tag = node.AddObserver("ModifiedEvent", self._on_modified)
            self.widget.setMRMLSegmentEditorNode(node)

    def _on_modified(self, _node: Any, _event: str) -> None:
        self.changed()


def has_extension(name: str) -> bool | None:
    """Whether an extension is installed, loaded or waiting for a restart; None where there are no extensions."""
    manager = _extensions_manager()
    return None if manager is None else bool(manager.isExtensionInstalled(name))


def install_extension(name: str) -> bool:
    """Downloads an extension of Slicer's catalogue and what it depends on, without restarting; says whether it worked.

    The caller has asked. The extension's modules are there after a restart only.
    """
    manager = _extensions_manager()
    if manager is None:
        return False
    asked_before = manager.interactive
    manager.interactive = False
    try:
        return bool(manager.installExtensionFromServer(name, False))
    finally:
        manager.interactive = asked_before


def pip_install(requirements: list[str], requester: str) -> None:
    """Installs packages with Slicer's own progress dialog where it has one (5.12); blocks. The caller has asked.

    Raises subprocess.CalledProcessError where pip fails, and RuntimeError where it cannot be run.
    """
    ensure = getattr(_module("slicer.packaging"), "pip_ensure", None)
    if ensure is None:
        _module("slicer.util").pip_install(requirements)
    else:
        ensure(requirements, requester=requester, prompt_install=False)


def restart() -> None:
    """Ends Slicer and starts it again, after its own questions about what is not saved."""
    _module("slicer.util").restart()


def python_program() -> str:
    """The program that runs Python with Slicer's packages: PythonSlicer, or outside of Slicer this very Python."""
    return shutil.which("PythonSlicer") or sys.executable


def _extensions_manager() -> Any:
    ask = getattr(getattr(slicer, "app", None), "extensionsManagerModel", None)
    return None if ask is None else ask()


def _module(name: str) -> Any:
    """A module that not every Slicer has, or None."""
    try:
        return importlib.import_module(name)
    except ImportError:
        return None
