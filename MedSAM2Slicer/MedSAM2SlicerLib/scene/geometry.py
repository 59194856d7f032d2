"""The volume of the scene as the engine sees it: voxels, and where they lie in the patient.

Slicer's world is RAS; the engine's is LPS, into which ``volume_data`` converts once. Voxel coordinates are
``(i, j, k)`` with integers at voxel centres, arrays ``[k, j, i]``. Linear parent transforms count; others are refused,
since slices of such a volume are not flat.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import vtk
from numpy.typing import NDArray
from vtk.util.numpy_support import vtk_to_numpy

from MedSAM2Lib.errors import InputError, PromptError
from MedSAM2Lib.types import IJK
from MedSAM2Lib.volume.volume import Volume
from MedSAM2SlicerLib.scene.nodes import nodes_of, require

Matrix = NDArray[np.float64]
RAS_TO_LPS = np.diag([-1.0, -1.0, 1.0, 1.0])

_HALF_A_VOXEL = 0.5 + 1e-6


def check_volume(volume_node: Any) -> None:
    """Raises InputError where a node cannot be segmented.

    ``E_NO_VOLUME``: there is none; ``E_NODE_GONE``: it was deleted; ``E_VOLUME_KIND``: a label map, colours, several
    components, one frame of a sequence, or no voxels; ``E_TRANSFORM_NONLINEAR``: its slices are not flat.
    """
    if volume_node is None:
        raise InputError("E_NO_VOLUME", "There is no volume: choose the one to segment.")
    require(volume_node, "volume")
    problem = _kind_problem(volume_node)
    if problem:
        raise InputError("E_VOLUME_KIND", "{name} {problem}.", name=volume_node.GetName(), problem=problem)
    parent_to_world_matrix(volume_node)


def volume_data(volume_node: Any) -> Volume:
    """The node's voxels (a view, not a copy), IJK to LPS world with its parent transforms, and its name.

    Raises InputError as ``check_volume`` does, and VolumeError for an unusable geometry.
    """
    check_volume(volume_node)
    ijk_to_lps = RAS_TO_LPS @ ijk_to_world_matrix(volume_node)
    return Volume(volume_array(volume_node), ijk_to_lps, volume_node.GetName() or "volume")


def volume_array(volume_node: Any) -> NDArray:
    """The voxels ``[k, j, i]`` as a view of the node's memory; never to be written."""
    scalars = volume_node.GetImageData().GetPointData().GetScalars()
    return np.asarray(vtk_to_numpy(scalars).reshape(volume_shape(volume_node)))


def volume_shape(volume_node: Any) -> tuple[int, int, int]:
    """Voxels along k, j, i."""
    i, j, k = volume_node.GetImageData().GetDimensions()
    return k, j, i


def as_array(matrix: vtk.vtkMatrix4x4) -> Matrix:
    """A VTK matrix as 4x4 float64."""
    return np.array([[matrix.GetElement(row, column) for column in range(4)] for row in range(4)])


def as_vtk(matrix: Matrix) -> vtk.vtkMatrix4x4:
    """A 4x4 array as a VTK matrix."""
    made = vtk.vtkMatrix4x4()
    made.DeepCopy(np.asarray(matrix, dtype=np.float64).ravel().tolist())
    return made


def ijk_to_local_matrix(volume_node: Any) -> Matrix:
    """4x4, voxel coordinates to the node's own RAS: parent transforms left out."""
    matrix = vtk.vtkMatrix4x4()
    volume_node.GetIJKToRASMatrix(matrix)
    return as_array(matrix)


def parent_to_world_matrix(node: Any) -> Matrix:
    """4x4, a node's own RAS to world RAS. Raises InputError ``E_TRANSFORM_NONLINEAR``."""
    parent = node.GetParentTransformNode()
    if parent is None:
        return np.eye(4)
    if not parent.IsTransformToWorldLinear():
        raise InputError(
            "E_TRANSFORM_NONLINEAR",
            "{name} is under the transform {transform}, which is not linear, so its slices are not flat: harden the "
            "transform (Data module, right click on the transform), or take {name} out of it.",
            name=node.GetName(),
            transform=parent.GetName(),
        )
    matrix = vtk.vtkMatrix4x4()
    parent.GetMatrixTransformToWorld(matrix)
    return as_array(matrix)


def ijk_to_world_matrix(volume_node: Any) -> Matrix:
    """4x4, voxel coordinates to world RAS in mm. Raises InputError ``E_TRANSFORM_NONLINEAR``."""
    return parent_to_world_matrix(volume_node) @ ijk_to_local_matrix(volume_node)


def ijk_to_ras(volume_node: Any, ijk: Sequence[float]) -> tuple[float, float, float]:
    """World RAS in mm of voxel coordinates."""
    return apply(ijk_to_world_matrix(volume_node), ijk)


def ras_to_ijk(volume_node: Any, ras: Sequence[float] | Matrix) -> IJK:
    """Voxel coordinates of a world position, neither rounded nor limited to the volume."""
    return apply(inverse(ijk_to_world_matrix(volume_node)), ras)


def inverse(matrix: Matrix) -> Matrix:
    """The matrix the other way round."""
    return np.asarray(np.linalg.inv(matrix), dtype=np.float64)


def apply(matrix: Matrix, point: Sequence[float] | Matrix) -> tuple[float, float, float]:
    """A 4x4 affine matrix applied to a point."""
    x, y, z, _ = (float(value) for value in matrix @ np.array([*point, 1.0]))
    return x, y, z


def nearest_index(coordinate: float) -> int:
    """The voxel that a coordinate lies in; the higher one where it lies between two."""
    return math.floor(coordinate + 0.5)


def nearest_voxel(volume_node: Any, ijk: Sequence[float]) -> IJK:
    """The centre of the voxel that holds a position. Raises PromptError ``E_CLICK_OUTSIDE`` outside the volume."""
    sizes = volume_shape(volume_node)[::-1]
    if any(not -_HALF_A_VOXEL <= value <= size - 1 + _HALF_A_VOXEL for value, size in zip(ijk, sizes)):
        raise PromptError(
            "E_CLICK_OUTSIDE",
            "The click is outside {name}: click on a voxel of the volume.",
            name=volume_node.GetName(),
            ijk=tuple(ijk),
        )
    i, j, k = (float(min(max(nearest_index(value), 0), size - 1)) for value, size in zip(ijk, sizes))
    return i, j, k


def _kind_problem(volume_node: Any) -> str:
    if volume_node.IsA("vtkMRMLLabelMapVolumeNode"):
        return "is a label map: choose the grey image, and import the label map as a segmentation"
    if not volume_node.IsA("vtkMRMLScalarVolumeNode"):
        return "is not a volume: choose a grey image"
    image = volume_node.GetImageData()
    if image is None or min(image.GetDimensions()) < 1 or image.GetPointData().GetScalars() is None:
        return "has no voxels: load it again"
    if image.GetNumberOfScalarComponents() != 1:
        return "has several values a voxel (colours or time points): convert it to one grey volume"
    if _is_frame_of_sequence(volume_node):
        return "is one frame of a sequence and changes with it: clone the frame to segment (Data module)"
    return ""


def _is_frame_of_sequence(volume_node: Any) -> bool:
    browsers = nodes_of(volume_node.GetScene(), "vtkMRMLSequenceBrowserNode")
    return any(browser.IsProxyNodeID(volume_node.GetID()) for browser in browsers)
