"""The MRML scene and the logics of Slicer's core modules, in the order that registers every converter."""

from __future__ import annotations

import atexit
import shutil
import tempfile
from dataclasses import dataclass
from typing import Any

import slicer
import vtk

# Name in slicer.modules -> class of its logic.
MODULE_LOGICS = {
    "colors": "vtkSlicerColorLogic",
    "units": "vtkSlicerUnitsLogic",
    "terminologies": "vtkSlicerTerminologiesModuleLogic",
    "subjecthierarchy": "vtkSlicerSubjectHierarchyModuleLogic",
    "transforms": "vtkSlicerTransformLogic",
    "cameras": "vtkSlicerCamerasModuleLogic",
    "volumes": "vtkSlicerVolumesLogic",
    "models": "vtkSlicerModelsLogic",
    "markups": "vtkSlicerMarkupsLogic",
    "segmentations": "vtkSlicerSegmentationsModuleLogic",
    "texts": "vtkSlicerTextsLogic",
    "tables": "vtkSlicerTablesLogic",
}
# Slicer's subject hierarchy plugins give these an item of their own.
IN_SUBJECT_HIERARCHY = ("vtkMRMLVolumeNode", "vtkMRMLSegmentationNode", "vtkMRMLMarkupsNode", "vtkMRMLTransformNode")


@dataclass(frozen=True)
class Core:
    """The scene, Slicer's application logic, the module logics by the name of their module, and the scene's cache."""

    scene: Any
    application_logic: Any
    logics: dict[str, Any]
    remote_io: Any


def start_core() -> Core:
    """Make an empty scene with everything around it that reading, writing and showing need."""
    scene = slicer.vtkMRMLScene()
    slicer.mrmlScene = scene
    application_logic = slicer.vtkSlicerApplicationLogic()
    application_logic.SetMRMLScene(scene)
    application_logic.SetSliceLogics(vtk.vtkCollection())
    application_logic.SetViewLogics(vtk.vtkCollection())
    # The wheel lacks Slicer's share folder: the files of colours and terminologies are missed, and said so at length.
    vtk.vtkObject.GlobalWarningDisplayOff()
    logics = {}
    for name, class_name in MODULE_LOGICS.items():
        logic = getattr(slicer, class_name)()
        logic.SetMRMLApplicationLogic(application_logic)
        logic.SetMRMLScene(scene)
        application_logic.SetModuleLogic(name.capitalize(), logic)
        logics[name] = logic
    vtk.vtkObject.GlobalWarningDisplayOn()
    application_logic.SetColorLogic(logics["colors"])
    keep_subject_hierarchy(scene)
    return Core(scene, application_logic, logics, add_remote_io(scene, application_logic))


def add_remote_io(scene: Any, application_logic: Any) -> Any:
    """The cache that a bundle (.mrb) is unpacked into; a scene without one reads no bundle."""
    remote_io = slicer.vtkMRMLRemoteIOLogic()
    remote_io.SetMRMLApplicationLogic(application_logic)
    cache = tempfile.mkdtemp(prefix="SlicerHost-")
    atexit.register(shutil.rmtree, cache, ignore_errors=True)
    remote_io.GetCacheManager().SetRemoteCacheDirectory(cache)
    remote_io.SetMRMLScene(scene)
    remote_io.AddDataIOToScene()
    application_logic.SetTemporaryPath(cache)
    return remote_io


def keep_subject_hierarchy(scene: Any) -> None:
    """Give every volume, segmentation, markups and transform node an item while it is there, as Slicer does."""
    scene.AddObserver(slicer.vtkMRMLScene.NodeAddedEvent, _add_item)
    scene.AddObserver(slicer.vtkMRMLScene.NodeAboutToBeRemovedEvent, _remove_item)


# Functions of the module, since a dying scene may call them while Python takes closures apart, and then without itself.
@vtk.calldata_type(vtk.VTK_OBJECT)
def _add_item(scene: Any, _event: str, node: Any) -> None:
    if any(node.IsA(kind) for kind in IN_SUBJECT_HIERARCHY) and not node.GetHideFromEditors():
        hierarchy = slicer.vtkMRMLSubjectHierarchyNode.GetSubjectHierarchyNode(scene)
        if not scene.IsImporting() and not hierarchy.GetItemByDataNode(node):
            hierarchy.CreateItem(hierarchy.GetSceneItemID(), node)


@vtk.calldata_type(vtk.VTK_OBJECT)
def _remove_item(scene: Any, _event: str, node: Any) -> None:
    if scene is None or scene.IsClosing() or not any(node.IsA(kind) for kind in IN_SUBJECT_HIERARCHY):
        return
    hierarchy = slicer.vtkMRMLSubjectHierarchyNode.GetSubjectHierarchyNode(scene)
    if hierarchy.GetItemByDataNode(node):
        hierarchy.RemoveItem(hierarchy.GetItemByDataNode(node), False, False)
