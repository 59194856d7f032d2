"""Small scenes for the tests: seeded volumes of any geometry, segmentations on them, slice views without a window."""

from __future__ import annotations

import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import slicer
import vtk
from MedSAM2SlicerLib.scene.geometry import as_vtk
from MedSAM2SlicerLib.scene.grids import create_segmentation
from MedSAM2SlicerLib.scene.nodes import nodes_of
from MedSAM2SlicerLib.scene.segments import add_segment
from MedSAM2SlicerLib.scene.voxels import bounding_box, oriented_image
from vtk.util.numpy_support import numpy_to_vtk

from MedSAM2Lib.types import BoolArray

SHAPE = (9, 11, 13)
OBLIQUE = np.array([[0.8, -0.1, 0.3, 12.0], [0.2, 1.4, -0.2, -40.0], [-0.25, 0.2, 2.4, 7.5], [0, 0, 0, 1.0]])


def add_volume(
    scene: Any, shape: Sequence[int] = SHAPE, ijk_to_ras: np.ndarray | None = None, name: str = "CT", seed: int = 0
) -> Any:
    """A volume of random int16 values."""
    array = np.random.default_rng(seed).integers(-500, 500, shape).astype(np.int16)
    image = vtk.vtkImageData()
    image.SetDimensions(*reversed(shape))
    image.GetPointData().SetScalars(numpy_to_vtk(array.ravel(), deep=True))
    node = scene.AddNewNodeByClass("vtkMRMLScalarVolumeNode", name)
    node.SetAndObserveImageData(image)
    node.SetIJKToRASMatrix(as_vtk(np.diag([-1.0, -1.0, 2.5, 1.0]) if ijk_to_ras is None else ijk_to_ras))
    node.CreateDefaultDisplayNodes()
    return node


def rigid(
    angles: Sequence[float], spacing: Sequence[float], origin: Sequence[float], flips: Sequence[int]
) -> np.ndarray:
    """4x4 of turned axes with a spacing each, some of them flipped."""
    turn = np.eye(3)
    for axis, angle in enumerate(angles):
        first, second = (other for other in range(3) if other != axis)
        one = np.eye(3)
        one[first, first] = one[second, second] = np.cos(angle)
        one[first, second], one[second, first] = -np.sin(angle), np.sin(angle)
        turn = turn @ one
    matrix = np.eye(4)
    matrix[:3, :3] = turn * np.asarray(spacing) * np.asarray(flips)
    matrix[:3, 3] = origin
    return matrix


def add_transform(scene: Any, matrix: np.ndarray, name: str = "moved") -> Any:
    node = scene.AddNewNodeByClass("vtkMRMLLinearTransformNode", name)
    node.SetMatrixTransformToParent(as_vtk(matrix))
    return node


def add_bent_transform(scene: Any) -> Any:
    """A transform that is not linear."""
    bent = vtk.vtkThinPlateSplineTransform()
    bent.SetBasisToR()
    here, there = vtk.vtkPoints(), vtk.vtkPoints()
    for place in ((0, 0, 0), (10, 0, 0), (0, 10, 0), (0, 0, 10), (10, 10, 10)):
        here.InsertNextPoint(place)
        there.InsertNextPoint(place[0] + 0.1 * place[1] ** 2, *place[1:])
    bent.SetSourceLandmarks(here)
    bent.SetTargetLandmarks(there)
    node = scene.AddNewNodeByClass("vtkMRMLTransformNode", "bent")
    node.SetAndObserveTransformToParent(bent)
    return node


def add_view(
    scene: Any,
    slice_to_ras: np.ndarray,
    field_of_view: Sequence[float] = (40.0, 30.0),
    size: Sequence[int] = (400, 300),
) -> Any:
    """A slice node as a view has it: 400 x 300 pixels unless told."""
    node = slicer.vtkMRMLSliceNode()
    node.SetLayoutName(f"view{scene.GetNumberOfNodesByClass('vtkMRMLSliceNode')}")
    node.SetName(node.GetLayoutName())
    node = scene.AddNode(node)
    node.SetDimensions(*size, 1)
    node.SetFieldOfView(*field_of_view, 1.0)
    node.GetSliceToRAS().DeepCopy(np.asarray(slice_to_ras, dtype=float).ravel().tolist())
    node.UpdateMatrices()
    return node


def two_touching_segments(scene: Any, volume: Any) -> tuple[Any, str, str]:
    """A segmentation with two empty segments, which share a labelmap."""
    segmentation = create_segmentation(scene, volume, "Segmentation")
    return segmentation, add_segment(segmentation, "Liver"), add_segment(segmentation, "Kidney")


def block(shape: Sequence[int], k: slice, j: slice, i: slice) -> BoolArray:
    """A mask that is true in a block."""
    mask = np.zeros(shape, dtype=bool)
    mask[k, j, i] = True
    return mask


def paint(segmentation: Any, segment_id: str, mask: BoolArray, volume: Any, erase: bool = False) -> None:
    """What the Segment Editor's brush does: an edit by Slicer's own logic with its default settings."""
    box = bounding_box(mask)
    assert box is not None
    image = oriented_image(mask[box], box, volume)
    logic = slicer.vtkSlicerSegmentEditorLogic()
    logic.SetSegmentEditorNode(slicer.vtkMRMLSegmentEditorNode())
    mode = logic.ModificationModeRemove if erase else logic.ModificationModeAdd
    logic.ModifySegmentByLabelmap(segmentation, segment_id, image, mode, True, False)


def save_bundle(scene: Any, path: Path) -> None:
    """Saves a scene as an .mrb file, as Slicer does: every node that is saved gets a storage node first."""
    for node in nodes_of(scene, "vtkMRMLStorableNode"):
        if node.GetSaveWithScene() and node.GetStorageNode() is None:
            node.AddDefaultStorageNode()
    assert scene.WriteToMRB(str(path))


def open_bundle(scene: Any, path: Path, folder: Path, add: bool = False) -> None:
    """Reads an .mrb file into a scene, instead of what is there or added to it."""
    with zipfile.ZipFile(path) as bundle:
        bundle.extractall(folder)
    (file,) = folder.rglob("*.mrml")
    scene.SetURL(str(file))
    assert scene.Import() if add else scene.Connect()
