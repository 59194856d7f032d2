"""Reading and writing nodes and scenes: a stand-in for Slicer's coreIOManager, behind the real `slicer.util`."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from .dicom import load_series
from .scene import Core

SEGMENTATION_ENDINGS = (".seg.nrrd", ".seg.nhdr")
MARKUPS_ENDINGS = (".mrk.json", ".fcsv")
SCENE_ENDINGS = (".mrml", ".mrb")


class CoreIOManager:
    """Volumes, segmentations, markups and scenes. The methods are those that `slicer.util` calls."""

    def __init__(self, core: Core) -> None:
        self._core = core
        self._readers: dict[str, Callable[[str, dict[str, Any]], Any]] = {
            "VolumeFile": self._read_volume,
            "SegmentationFile": self._read_segmentation,
            "MarkupsFile": self._read_markups,
            "SceneFile": self._read_scene,
        }

    def fileType(self, file_name: str) -> str:
        name = str(file_name).lower()
        if name.endswith(SCENE_ENDINGS):
            return "SceneFile"
        if name.endswith(SEGMENTATION_ENDINGS):
            return "SegmentationFile"
        return "MarkupsFile" if name.endswith(MARKUPS_ENDINGS) else "VolumeFile"

    def fileWriterFileType(self, node: Any) -> str:
        return node.GetClassName()

    def loadNodes(self, file_type: str, properties: dict[str, Any], loaded: Any, messages: Any = None) -> bool:
        """Read a file; the nodes go into the vtkCollection `loaded`. False where it could not be read."""
        if file_type not in self._readers:
            raise NotImplementedError(f"this host reads no {file_type}")
        node = self._readers[file_type](str(properties["fileName"]), properties)
        if node is not None and node is not True:
            loaded.AddItem(node)
        return node is not None

    def saveNodes(self, file_type: str, properties: dict[str, Any], messages: Any = None) -> bool:
        if file_type == "SceneFile":
            return self._write_scene(str(properties["fileName"]))
        node = self._core.scene.GetNodeByID(properties["nodeID"])
        storage = node.GetStorageNode()
        if storage is None:
            node.AddDefaultStorageNode(str(properties["fileName"]))
            storage = node.GetStorageNode()
        storage.SetFileName(str(properties["fileName"]))
        return bool(storage.WriteData(node))

    def addDefaultStorageNodes(self) -> None:
        for index in range(self._core.scene.GetNumberOfNodesByClass("vtkMRMLStorableNode")):
            node = self._core.scene.GetNthNodeByClass(index, "vtkMRMLStorableNode")
            if node.GetSaveWithScene() and node.GetStorageNode() is None:
                node.AddDefaultStorageNode()

    def _read_volume(self, file_name: str, properties: dict[str, Any]) -> Any:
        if Path(file_name).is_dir():
            node = load_series(self._core, Path(file_name))
        else:
            name = properties.get("name") or Path(file_name).name.split(".")[0]
            options = 1 if properties.get("labelmap") else 0
            node = self._core.logics["volumes"].AddArchetypeVolume(file_name, name, options)
        if node is not None and properties.get("show", True):
            self.show(node)
        return node

    def show(self, node: Any) -> None:
        """Make a volume the background of all slice views and fit them, as loading does in Slicer."""
        self._core.application_logic.GetSelectionNode().SetActiveVolumeID(node.GetID())
        self._core.application_logic.PropagateVolumeSelection(1)
        logics = self._core.application_logic.GetSliceLogics()
        for index in range(logics.GetNumberOfItems()):
            logic = logics.GetItemAsObject(index)
            logic.GetSliceNode().RotateToVolumePlane(node)
            logic.FitSliceToBackground()
            logic.SnapSliceOffsetToIJK()

    def _read_segmentation(self, file_name: str, properties: dict[str, Any]) -> Any:
        logic = self._core.logics["segmentations"]
        return logic.LoadSegmentationFromFile(file_name, True, properties.get("name", ""))

    def _read_markups(self, file_name: str, properties: dict[str, Any]) -> Any:
        identifier = self._core.logics["markups"].LoadMarkups(file_name, properties.get("name", ""))
        return self._core.scene.GetNodeByID(identifier) if identifier else None

    def _read_scene(self, file_name: str, properties: dict[str, Any]) -> Any:
        scene = self._core.scene
        clear = properties.get("clear", False)
        if file_name.endswith(".mrb"):
            return scene.ReadFromMRB(file_name, clear) or None
        scene.SetURL(file_name)
        return (scene.Connect() if clear else scene.Import()) or None

    def _write_scene(self, file_name: str) -> bool:
        """As Slicer's dialog for saving does, the scene is told before and after."""
        scene = self._core.scene
        scene.StartState(scene.SaveState)
        try:
            self.addDefaultStorageNodes()
            if file_name.endswith(".mrb"):
                return bool(scene.WriteToMRB(file_name))
            scene.SetURL(file_name)
            return bool(scene.Commit(file_name))
        finally:
            scene.EndState(scene.SaveState)
