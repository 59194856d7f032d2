"""The segmentation against the volume: one grid, one place, or a plain word about it.

Slicer resamples and crops in silence where grids or transforms differ. So nothing is written unless both are equal;
else the caller is told which fix to offer, and no fix loses a voxel.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import vtk
from numpy.typing import NDArray
from slicer import vtkOrientedImageData, vtkOrientedImageDataResample, vtkSegmentationConverter

from MedSAM2Lib.errors import InputError
from MedSAM2SlicerLib.scene.geometry import (
    as_array,
    as_vtk,
    ijk_to_local_matrix,
    inverse,
    parent_to_world_matrix,
    volume_shape,
)
from MedSAM2SlicerLib.scene.nodes import require
from MedSAM2SlicerLib.scene.segments import LABELMAP, labelmap_of, segment_ids

SURFACE = "Closed surface"

_SAME_GRID = 1e-2
"""Largest distance in voxels, at the volume's corners, between grids that are one."""


def create_segmentation(scene: Any, volume_node: Any, name: str) -> Any:
    """A new segmentation on the volume's grid, under its transform, shown in the views."""
    node = scene.AddNewNodeByClass("vtkMRMLSegmentationNode", name)
    node.CreateDefaultDisplayNodes()
    _adopt_grid(node, volume_node)
    node.SetAndObserveTransformNodeID(volume_node.GetTransformNodeID())
    return node


def check_segmentation(segmentation_node: Any, volume_node: Any) -> None:
    """Raises InputError where the segments are not voxel for voxel on the volume.

    ``E_NO_SEGMENTATION``, ``E_NODE_GONE``; ``E_TRANSFORM_MISMATCH``: fixed by ``follow_transform`` or
    ``convert_segmentation``; ``E_GEOMETRY_MISMATCH``: fixed by ``convert_segmentation``; ``E_TRANSFORM_NONLINEAR``.
    A segmentation without voxels has no place yet, and takes the volume's grid and transform.
    """
    if segmentation_node is None:
        raise InputError("E_NO_SEGMENTATION", "There is no segmentation: choose one, or make a new one.")
    require(segmentation_node, "segmentation")
    require(volume_node, "volume")
    labelmaps = list(_filled_labelmaps(segmentation_node))
    if not labelmaps and _is_labelmap(segmentation_node):
        follow_transform(segmentation_node, volume_node)
        _adopt_grid(segmentation_node, volume_node)
        return
    _check_transform(segmentation_node, volume_node)
    grid = ijk_to_local_matrix(volume_node)
    if not _is_labelmap(segmentation_node) or any(
        not _same_grid(_matrix_of(image), grid, volume_shape(volume_node)) for image in labelmaps
    ):
        raise InputError(
            "E_GEOMETRY_MISMATCH",
            "{segmentation} is not on the voxels of {volume}: convert it (a copy is made, nothing is cropped), or "
            "choose another segmentation.",
            segmentation=segmentation_node.GetName(),
            volume=volume_node.GetName(),
        )
    _adopt_grid(segmentation_node, volume_node)


def follow_transform(segmentation_node: Any, volume_node: Any) -> None:
    """Puts the segmentation under the volume's transform: it moves along as if it had been drawn before."""
    if segmentation_node.GetTransformNodeID() != volume_node.GetTransformNodeID():
        segmentation_node.SetAndObserveTransformNodeID(volume_node.GetTransformNodeID())


def convert_segmentation(segmentation_node: Any, volume_node: Any) -> Any:
    """A copy of the segmentation on the volume's voxels, in the same place in the patient.

    Ids, names, colours, terminology and tags are kept. Each voxel takes the label of the voxel of the original that its
    centre lies in; a surface is filled. Where the original reaches beyond the volume, so does the copy.
    """
    require(segmentation_node, "segmentation")
    moved = inverse(parent_to_world_matrix(volume_node)) @ parent_to_world_matrix(segmentation_node)
    copy = create_segmentation(
        volume_node.GetScene(), volume_node, f"{segmentation_node.GetName()} on {volume_node.GetName()}"
    )
    segmentation = copy.GetSegmentation()
    segmentation.DeepCopy(segmentation_node.GetSegmentation())
    if not _is_labelmap(segmentation_node):
        _fill_surfaces(copy, volume_node, moved)
        return copy
    _adopt_grid(copy, volume_node)
    grid = _empty_image(volume_node)
    transform = vtk.vtkTransform()
    transform.SetMatrix(as_vtk(moved))
    resampled: dict[str, Any] = {}
    for segment_id in segment_ids(copy):
        segment = segmentation.GetSegment(segment_id)
        source = segment.GetRepresentation(LABELMAP)
        if source is None:
            continue
        key = source.GetAddressAsString("")
        if key not in resampled:
            resampled[key] = _resample(source, grid, transform)
        segment.AddRepresentation(LABELMAP, resampled[key])
    segmentation.InvalidateNonSourceRepresentations()
    return copy


def _is_labelmap(segmentation_node: Any) -> bool:
    return str(segmentation_node.GetSegmentation().GetSourceRepresentationName()) == LABELMAP


def _filled_labelmaps(segmentation_node: Any) -> Iterator[Any]:
    """Each labelmap of the segmentation that holds a voxel of a segment, once."""
    segmentation = segmentation_node.GetSegmentation()
    seen = set()
    for segment_id in segment_ids(segmentation_node):
        segment = segmentation.GetSegment(segment_id)
        labelmap = labelmap_of(segment)
        image = segment.GetRepresentation(LABELMAP)
        if labelmap is None or image in seen:
            continue
        seen.add(image)
        if labelmap[0].any():
            yield image


def _check_transform(segmentation_node: Any, volume_node: Any) -> None:
    between = inverse(parent_to_world_matrix(volume_node)) @ parent_to_world_matrix(segmentation_node)
    grid = ijk_to_local_matrix(volume_node)
    if _same_grid(between @ grid, grid, volume_shape(volume_node)):
        return
    raise InputError(
        "E_TRANSFORM_MISMATCH",
        "{segmentation} and {volume} are under different transforms: let the segmentation follow the volume, or "
        "convert it where it is.",
        segmentation=segmentation_node.GetName(),
        volume=volume_node.GetName(),
    )


def _matrix_of(image: Any) -> NDArray[np.float64]:
    matrix = vtk.vtkMatrix4x4()
    image.GetImageToWorldMatrix(matrix)
    return as_array(matrix)


def _same_grid(one: NDArray[np.float64], other: NDArray[np.float64], shape: tuple[int, int, int]) -> bool:
    k, j, i = shape
    corners = np.array([[x, y, z, 1.0] for x in (0, i - 1) for y in (0, j - 1) for z in (0, k - 1)]).T
    moved = np.linalg.inv(other) @ one @ corners
    return bool(np.abs(moved - corners).max() <= _SAME_GRID)


def _adopt_grid(segmentation_node: Any, volume_node: Any) -> None:
    """New segments get the volume's grid. Writes only where it is another one, since that counts as a change."""
    segmentation = segmentation_node.GetSegmentation()
    name = vtkSegmentationConverter.GetReferenceImageGeometryParameterName()
    text = vtkSegmentationConverter.SerializeImageGeometry(_empty_image(volume_node))
    if segmentation.GetConversionParameter(name) != text:
        segmentation_node.SetReferenceImageGeometryParameterFromVolumeNode(volume_node)


def _empty_image(volume_node: Any) -> Any:
    k, j, i = volume_shape(volume_node)
    image = vtkOrientedImageData()
    image.SetExtent(0, i - 1, 0, j - 1, 0, k - 1)
    image.SetGeometryFromImageToWorldMatrix(as_vtk(ijk_to_local_matrix(volume_node)))
    return image


def _resample(source: Any, grid: Any, transform: vtk.vtkTransform) -> Any:
    image = vtkOrientedImageData()
    if labelmap_of_image_is_empty(source):
        image.DeepCopy(grid)
        image.SetExtent(0, -1, 0, -1, 0, -1)
        image.AllocateScalars(vtk.VTK_UNSIGNED_CHAR, 1)
        return image
    vtkOrientedImageDataResample.ResampleOrientedImageToReferenceOrientedImage(
        source, grid, image, False, True, transform
    )
    return image


def labelmap_of_image_is_empty(image: Any) -> bool:
    """Whether a labelmap has no voxels."""
    scalars = image.GetPointData().GetScalars()
    return scalars is None or scalars.GetNumberOfTuples() == 0


def _fill_surfaces(copy: Any, volume_node: Any, moved: NDArray[np.float64]) -> None:
    """Moves surfaces and turns them into labelmaps on the volume's grid, which moving them would move along."""
    segmentation = copy.GetSegmentation()
    transform = vtk.vtkTransform()
    transform.SetMatrix(as_vtk(moved))
    segmentation.ApplyLinearTransform(transform)
    _adopt_grid(copy, volume_node)
    segmentation.CreateRepresentation(LABELMAP, True)
    segmentation.SetSourceRepresentationName(LABELMAP)
