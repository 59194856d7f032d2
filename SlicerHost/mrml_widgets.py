"""Stand-ins of the qMRML widgets that a panel's .ui names, on the real scene."""

from __future__ import annotations

from typing import Any

import slicer
import vtk
from PySide6 import QtCore, QtGui, QtWidgets

from .pythonqt import stand_in

Property, Signal = QtCore.Property, QtCore.Signal
SEGMENT_EVENTS = ("SegmentAdded", "SegmentRemoved", "SegmentModified", "SegmentsOrderModified")
NODE_ROLE = QtCore.Qt.ItemDataRole.UserRole


@stand_in
class qMRMLWidget(QtWidgets.QWidget):
    """qMRMLWidget: hands its scene to everything inside it."""

    mrmlSceneChanged = Signal("vtkMRMLScene*")

    def __init__(self, parent: QtWidgets.QWidget | None = None) -> None:
        super().__init__(parent)
        self._scene: Any = None

    def mrmlScene(self) -> Any:
        return self._scene

    @QtCore.Slot("vtkMRMLScene*")
    def setMRMLScene(self, scene: Any) -> None:
        self._scene = scene
        for child in self.findChildren(QtWidgets.QWidget):
            if child is not self and hasattr(child, "setMRMLScene"):
                child.setMRMLScene(scene)


@stand_in
class qMRMLNodeComboBox(QtWidgets.QWidget):
    """qMRMLNodeComboBox: the nodes of some classes in a drop-down, with "None" and "Create new" where enabled."""

    currentNodeChanged = Signal(object)
    currentNodeIDChanged = Signal(str)
    nodeAddedByUser = Signal(object)

    def __init__(self, parent: QtWidgets.QWidget | None = None) -> None:
        super().__init__(parent)
        self._scene: Any = None
        self._tags: list[int] = []
        self._types: list[str] = []
        self._flags = dict.fromkeys(("addEnabled", "removeEnabled", "renameEnabled", "editEnabled"), True)
        self._flags.update(noneEnabled=False, selectNodeUponCreation=True, showHidden=False, showChildNodeTypes=True)
        self._none_display = "None"
        self._attributes: list[tuple[str, str, str]] = []
        self._last: str = ""
        self._combo = QtWidgets.QComboBox(self)
        self._combo.setSizePolicy(QtWidgets.QSizePolicy.Policy.Expanding, QtWidgets.QSizePolicy.Policy.Fixed)
        row = QtWidgets.QHBoxLayout(self)
        row.setContentsMargins(0, 0, 0, 0)
        row.addWidget(self._combo)
        self._combo.activated.connect(self._on_activated)
        self.setFocusProxy(self._combo)

    def _flag(name: str) -> Property:
        def read(self: qMRMLNodeComboBox) -> bool:
            return self._flags[name]

        def write(self: qMRMLNodeComboBox, on: bool) -> None:
            self._flags[name] = on
            self._fill()

        return Property(bool, read, write)

    addEnabled, removeEnabled, renameEnabled = _flag("addEnabled"), _flag("removeEnabled"), _flag("renameEnabled")
    editEnabled, noneEnabled, showHidden = _flag("editEnabled"), _flag("noneEnabled"), _flag("showHidden")
    showChildNodeTypes = _flag("showChildNodeTypes")
    selectNodeUponCreation = _flag("selectNodeUponCreation")
    del _flag

    def _set_types(self, types: list[str]) -> None:
        self._types = list(types)
        self._fill()

    def _set_none_display(self, text: str) -> None:
        self._none_display = text
        self._fill()

    nodeTypes = Property("QStringList", lambda self: self._types, _set_types)
    noneDisplay = Property(str, lambda self: self._none_display, _set_none_display)
    currentNodeID = Property(str, lambda self: self._combo.currentData or "", lambda self, i: self.setCurrentNodeID(i))

    def addAttribute(self, node_type: str, name: str, value: str = "") -> None:
        self._attributes.append((node_type, name, value))
        self._fill()

    @QtCore.Slot("vtkMRMLScene*")
    def setMRMLScene(self, scene: Any) -> None:
        for tag in self._tags:
            self._scene.RemoveObserver(tag)
        self._scene, self._tags = scene, []
        if scene is not None:
            kinds = slicer.vtkMRMLScene
            events = (kinds.EndImportEvent, kinds.EndCloseEvent)
            self._tags = [scene.AddObserver(event, lambda *_: self._fill()) for event in events]
            self._tags.append(scene.AddObserver(kinds.NodeAddedEvent, of_node(self._on_added)))
            self._tags.append(scene.AddObserver(kinds.NodeRemovedEvent, of_node(self._on_left)))
            self._tags.append(scene.AddObserver(kinds.NodeAboutToBeRemovedEvent, of_node(self._on_leaving), -10.0))
        self._fill()

    def mrmlScene(self) -> Any:
        return self._scene

    def currentNode(self) -> Any:
        identifier = self._combo.currentData
        return self._scene.GetNodeByID(identifier) if self._scene and identifier else None

    def setCurrentNode(self, node: Any) -> None:
        self.setCurrentNodeID(node.GetID() if node is not None else "")

    def setCurrentNodeID(self, identifier: str) -> None:
        self._fill(identifier or "")

    def nodeCount(self) -> int:
        return len(self._nodes())

    def addNode(self, node_type: str | None = None) -> Any:
        """What "Create new" does: a node of the first type, selected."""
        node = self._scene.AddNewNodeByClass(node_type or self._types[0])
        if node.IsA("vtkMRMLDisplayableNode"):
            node.CreateDefaultDisplayNodes()
        self.setCurrentNode(node)
        self.nodeAddedByUser.emit(node)
        return node

    def _nodes(self) -> list[Any]:
        scene = self._scene
        nodes = (scene.GetNthNode(index) for index in range(scene.GetNumberOfNodes() if scene else 0))
        is_listed = self._is_listed
        return [node for node in nodes if is_listed(node)]

    def _is_listed(self, node: Any) -> bool:
        if not self._has_type(node) or (node.GetHideFromEditors() and not self._flags["showHidden"]):
            return False
        wanted = [(name, value) for kind, name, value in self._attributes if node.IsA(kind)]
        return all(
            node.GetAttribute(name) is not None and value in ("", node.GetAttribute(name)) for name, value in wanted
        )

    def _has_type(self, node: Any) -> bool:
        if not any(map(node.IsA, self._types)):
            return False
        return self._flags["showChildNodeTypes"] or node.GetClassName() in self._types

    def _fill(self, wanted: str | None = None) -> None:
        """List the nodes anew and keep the choice; a choice that is gone becomes None, or the first node."""
        wanted = self._last if wanted is None else wanted
        nodes = self._nodes()
        self._combo.clear()
        if self._flags["noneEnabled"] or not nodes:
            self._combo.addItem(self._none_display, "")
        for node in nodes:
            self._combo.addItem(node.GetName() or node.GetID(), node.GetID())
        if self._flags["addEnabled"] and self._types:
            kind = self._types[0].removeprefix("vtkMRML").removesuffix("Node")
            self._combo.addItem(f"Create new {kind}", None)
        row = self._combo.findData(wanted)
        self._combo.currentIndex = max(row, 0)
        self._tell()

    def _on_leaving(self, node: Any) -> None:
        """As Slicer's scene model: the row goes while the node is still in the scene, and the next one is chosen."""
        row = self._combo.findData(node.GetID())
        if row >= 0 and not self._scene.IsClosing():
            self._combo.removeItem(row)
            self._tell()

    def _on_added(self, node: Any) -> None:
        if self._has_type(node):
            self._fill()

    def _on_left(self, node: Any) -> None:
        """A node that was listed until now; a scene that closes has many that were not."""
        if self._has_type(node) and (not self._scene.IsClosing() or self._combo.findData(node.GetID()) >= 0):
            self._fill()

    def _on_activated(self, row: int) -> None:
        if self._combo.itemData(row) is None:
            self.addNode()
        else:
            self._tell()

    def _tell(self) -> None:
        identifier = self._combo.currentData or ""
        if identifier != self._last:
            self._last = identifier
            self.currentNodeChanged.emit(self.currentNode())
            self.currentNodeIDChanged.emit(identifier)


def of_node(callback: Any) -> Any:
    """An observer that gets the node of a scene's event."""

    def called(_scene: Any, _event: str, node: Any) -> None:
        callback(node)

    called.CallDataType = vtk.VTK_OBJECT
    return called


class SegmentObserver:
    """Calls back when the segments of a node change."""

    def __init__(self, on_change: Any) -> None:
        self._on_change = on_change
        self._watched: list[tuple[Any, int]] = []

    def watch(self, node: Any) -> None:
        for subject, tag in self._watched:
            subject.RemoveObserver(tag)
        self._watched = []
        if node is not None:
            segmentation = node.GetSegmentation()
            for name in SEGMENT_EVENTS:
                event = getattr(slicer.vtkSegmentation, name)
                self._watched.append((segmentation, segmentation.AddObserver(event, self._changed)))
            self._watched.append((node, node.AddObserver(vtk.vtkCommand.ModifiedEvent, self._changed)))

    def _changed(self, *_: Any) -> None:
        self._on_change()


def segments_of(node: Any) -> list[tuple[str, Any]]:
    """(id, segment) in the order of the segmentation."""
    if node is None:
        return []
    segmentation = node.GetSegmentation()
    return [
        (segmentation.GetNthSegmentID(i), segmentation.GetNthSegment(i))
        for i in range(segmentation.GetNumberOfSegments())
    ]


@stand_in
class qMRMLSegmentSelectorWidget(QtWidgets.QWidget):
    """qMRMLSegmentSelectorWidget: a segmentation and one of its segments."""

    currentNodeChanged = Signal(object)
    currentSegmentChanged = Signal(str)

    def __init__(self, parent: QtWidgets.QWidget | None = None) -> None:
        super().__init__(parent)
        self._nodes = qMRMLNodeComboBox(self)
        self._nodes.nodeTypes = ["vtkMRMLSegmentationNode"]
        self._nodes.addEnabled = False
        self._nodes.noneEnabled = True
        self._combo = QtWidgets.QComboBox(self)
        self._last = ""
        self._observer = SegmentObserver(self._fill)
        column = QtWidgets.QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.addWidget(self._nodes)
        column.addWidget(self._combo)
        self._nodes.currentNodeChanged.connect(self._on_node)
        self._combo.currentIndexChanged.connect(self._tell)

    segmentNodeSelectorVisible = Property(
        bool, lambda self: not self._nodes.isHidden(), lambda self, on: self._nodes.setVisible(on)
    )

    @QtCore.Slot("vtkMRMLScene*")
    def setMRMLScene(self, scene: Any) -> None:
        self._nodes.setMRMLScene(scene)

    def currentNode(self) -> Any:
        return self._nodes.currentNode()

    def setCurrentNode(self, node: Any) -> None:
        self._nodes.setCurrentNode(node)

    def currentSegmentID(self) -> str:
        return self._combo.currentData or ""

    def setCurrentSegmentID(self, segment_id: str) -> None:
        self._combo.currentIndex = self._combo.findData(segment_id)

    def _on_node(self, node: Any) -> None:
        self._observer.watch(node)
        self._fill()
        self.currentNodeChanged.emit(node)

    def _fill(self) -> None:
        self._combo.blockSignals(True)
        self._combo.clear()
        for segment_id, segment in segments_of(self.currentNode()):
            self._combo.addItem(segment.GetName(), segment_id)
        self._combo.currentIndex = max(self._combo.findData(self._last), 0) if self._combo.count else -1
        self._combo.blockSignals(False)
        self._tell()

    def _tell(self, *_: Any) -> None:
        if self.currentSegmentID() != self._last:
            self._last = self.currentSegmentID()
            self.currentSegmentChanged.emit(self._last)


@stand_in
class qMRMLSegmentsTableView(QtWidgets.QWidget):
    """qMRMLSegmentsTableView: visibility, colour and name of each segment."""

    selectionChanged = Signal(QtCore.QItemSelection, QtCore.QItemSelection)

    def __init__(self, parent: QtWidgets.QWidget | None = None) -> None:
        super().__init__(parent)
        self._node: Any = None
        self._observer = SegmentObserver(self._fill)
        self._table = QtWidgets.QTableWidget(0, 2, self)
        self._table.setHorizontalHeaderLabels(["", "Name"])
        self._table.horizontalHeader().stretchLastSection = True
        self._table.setColumnWidth(0, 52)
        self._table.verticalHeader().hide()
        self._table.selectionBehavior = QtWidgets.QAbstractItemView.SelectionBehavior.SelectRows
        self._table.selectionMode = QtWidgets.QAbstractItemView.SelectionMode.SingleSelection
        column = QtWidgets.QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.addWidget(self._table)
        self._table.selectionModel().selectionChanged.connect(self.selectionChanged)
        self._table.itemChanged.connect(self._on_edited)

    headerVisible = Property(
        bool,
        lambda self: not self._table.horizontalHeader().isHidden(),
        lambda self, on: self._table.horizontalHeader().setVisible(on),
    )

    def tableWidget(self) -> QtWidgets.QTableWidget:
        return self._table

    def setSelectionMode(self, mode: Any) -> None:
        self._table.setSelectionMode(QtWidgets.QAbstractItemView.SelectionMode(mode))

    @QtCore.Slot("vtkMRMLScene*")
    def setMRMLScene(self, scene: Any) -> None:
        """The segments come with their node; a scene that is closed takes them along."""

    def segmentationNode(self) -> Any:
        return self._node

    def setSegmentationNode(self, node: Any) -> None:
        self._node = node
        self._observer.watch(node)
        self._fill()

    def selectedSegmentIDs(self) -> list[str]:
        rows = sorted({index.row() for index in self._table.selectionModel().selectedRows()})
        return [self._table.item(row, 1).data(NODE_ROLE) for row in rows]

    def setSelectedSegmentIDs(self, segment_ids: list[str]) -> None:
        self._table.clearSelection()
        for row in range(self._table.rowCount):
            if self._table.item(row, 1).data(NODE_ROLE) in segment_ids:
                self._table.selectRow(row)

    def clearSelection(self) -> None:
        self._table.clearSelection()

    def _fill(self) -> None:
        chosen = self.selectedSegmentIDs()
        self._table.blockSignals(True)
        self._table.setRowCount(0)
        display = self._node.GetDisplayNode() if self._node is not None else None
        for row, (segment_id, segment) in enumerate(segments_of(self._node)):
            self._table.insertRow(row)
            shown = QtWidgets.QTableWidgetItem()
            visible = display is None or display.GetSegmentVisibility(segment_id)
            shown.setCheckState(QtCore.Qt.CheckState.Checked if visible else QtCore.Qt.CheckState.Unchecked)
            shown.setIcon(QtGui.QIcon(swatch(segment.GetColor())))
            name = QtWidgets.QTableWidgetItem(segment.GetName())
            name.setData(NODE_ROLE, segment_id)
            self._table.setItem(row, 0, shown)
            self._table.setItem(row, 1, name)
        self._table.blockSignals(False)
        self.setSelectedSegmentIDs(chosen)

    def _on_edited(self, item: Any) -> None:
        segment_id = self._table.item(item.row(), 1).data(NODE_ROLE)
        if item.column() == 1:
            self._node.GetSegmentation().GetSegment(segment_id).SetName(item.text())
        elif self._node.GetDisplayNode() is not None:
            shown = item.checkState() == QtCore.Qt.CheckState.Checked
            self._node.GetDisplayNode().SetSegmentVisibility(segment_id, shown)


def swatch(color: tuple[float, float, float]) -> QtGui.QPixmap:
    pixmap = QtGui.QPixmap(14, 14)
    pixmap.fill(QtGui.QColor.fromRgbF(*color))
    return pixmap


WIDGETS = (qMRMLWidget, qMRMLNodeComboBox, qMRMLSegmentSelectorWidget, qMRMLSegmentsTableView)
