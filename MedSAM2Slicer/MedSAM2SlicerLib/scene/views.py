"""Slice views and the volume's slices: which slice a view shows, which voxel a click means.

A slice is named by the axis of the voxel grid that it is perpendicular to, never by a name such as "axial": which
view shows which axis depends on how the scanner lay. Every function takes a slice node or a slice logic.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from MedSAM2Lib.errors import InputError
from MedSAM2Lib.types import IJK, Axis, SliceKey, ijk_position
from MedSAM2SlicerLib.scene.geometry import (
    apply,
    as_array,
    ijk_to_world_matrix,
    inverse,
    nearest_index,
    nearest_voxel,
    volume_shape,
)

LARGEST_TILT = 1.0
"""Degrees between a view and the volume's slices above which its pixels belong to several slices."""

_AXES_OF_IJK: tuple[Axis, Axis, Axis] = ("i", "j", "k")


def slice_node_of(view: Any) -> Any:
    """The slice node of a slice logic, or the slice node itself."""
    return view if view.IsA("vtkMRMLSliceNode") else view.GetSliceNode()


def view_axis(view: Any, volume_node: Any) -> tuple[Axis, float]:
    """The volume's axis that a view is nearest to perpendicular to, and by how many degrees it is tilted against it."""
    normal = as_array(slice_node_of(view).GetSliceToRAS())[:3, 2]
    normals = _plane_normals(ijk_to_world_matrix(volume_node))
    cosines = np.abs(normals @ normal) / np.linalg.norm(normal)
    nearest = int(np.argmax(cosines))
    return _AXES_OF_IJK[nearest], float(np.degrees(np.arccos(min(cosines[nearest], 1.0))))


def slice_key_of(view: Any, volume_node: Any) -> SliceKey:
    """The slice of the volume that a view shows at its centre.

    Raises InputError ``E_VIEW_OBLIQUE`` (tilted by over 1 degree) and ``E_VIEW_OUTSIDE`` (beyond the volume).
    """
    axis = _aligned_axis(view, volume_node)
    index = nearest_index(_centre_ijk(view, volume_node)[ijk_position(axis)])
    if 0 <= index < volume_shape(volume_node)[::-1][ijk_position(axis)]:
        return SliceKey(axis, index)
    raise InputError(
        "E_VIEW_OUTSIDE",
        "The view {view} shows no slice of {name}: scroll to the volume.",
        view=slice_node_of(view).GetName(),
        name=volume_node.GetName(),
    )


def view_to_ijk(view: Any, xy: Sequence[float], volume_node: Any) -> IJK:
    """The centre of the voxel at a position of a view, in display pixels from its lower left corner.

    Raises PromptError ``E_CLICK_OUTSIDE`` and InputError ``E_VIEW_OBLIQUE``.
    """
    _aligned_axis(view, volume_node)
    xy_to_ijk = inverse(ijk_to_world_matrix(volume_node)) @ as_array(slice_node_of(view).GetXYToRAS())
    return nearest_voxel(volume_node, apply(xy_to_ijk, (float(xy[0]), float(xy[1]), 0.0)))


def align_view(view: Any, volume_node: Any) -> None:
    """Turns a view onto the volume's slices, by the smallest turn, at the slice that its centre is nearest to."""
    node = slice_node_of(view)
    slice_to_ras = as_array(node.GetSliceToRAS())
    ijk_to_world = ijk_to_world_matrix(volume_node)
    axis, _ = view_axis(node, volume_node)
    slice_to_ras[:3, :3] = _nearest_directions(slice_to_ras[:3, :3], ijk_to_world, axis)
    centre = list(_centre_ijk(node, volume_node))
    along = ijk_position(axis)
    last = volume_shape(volume_node)[::-1][along] - 1
    centre[along] = min(max(nearest_index(centre[along]), 0), last)
    slice_to_ras[:3, 3] = apply(ijk_to_world, centre)
    node.GetSliceToRAS().DeepCopy(slice_to_ras.ravel().tolist())
    node.UpdateMatrices()


def jump_to_slice(views: Iterable[Any], volume_node: Any, key: SliceKey) -> int:
    """Shows a slice in all views of its axis, each staying where it is in the plane; returns how many there were."""
    moved = 0
    for node in map(slice_node_of, views):
        axis, _ = view_axis(node, volume_node)
        if axis != key.axis:
            continue
        centre = list(_centre_ijk(node, volume_node))
        centre[ijk_position(axis)] = key.index
        node.JumpSliceByOffsetting(*apply(ijk_to_world_matrix(volume_node), centre))
        moved += 1
    return moved


def _aligned_axis(view: Any, volume_node: Any) -> Axis:
    node = slice_node_of(view)
    axis, degrees = view_axis(node, volume_node)
    if degrees <= LARGEST_TILT:
        return axis
    raise InputError(
        "E_VIEW_OBLIQUE",
        "The view {view} is tilted by {degrees:.0f} degrees against the slices of {name}: align the view with the "
        "volume.",
        view=node.GetName(),
        degrees=max(degrees, 1.0),
        name=volume_node.GetName(),
    )


def _centre_ijk(view: Any, volume_node: Any) -> IJK:
    centre = as_array(slice_node_of(view).GetSliceToRAS())[:3, 3]
    return apply(inverse(ijk_to_world_matrix(volume_node)), centre)


def _plane_normals(ijk_to_world: NDArray[np.float64]) -> NDArray[np.float64]:
    """3x3, row n the unit normal of the slices of i, j, k: under a shear it is not the direction of that axis."""
    rows = np.linalg.inv(ijk_to_world[:3, :3])
    return np.asarray(rows / np.linalg.norm(rows, axis=1, keepdims=True))


def _nearest_directions(
    current: NDArray[np.float64], ijk_to_world: NDArray[np.float64], axis: Axis
) -> NDArray[np.float64]:
    """Columns x, y, normal of a view on slices of ``axis`` that are nearest to the current ones; handedness is kept."""
    normal = _plane_normals(ijk_to_world)[ijk_position(axis)]
    normal = normal * (np.sign(normal @ current[:, 2]) or 1.0)
    in_plane = [ijk_to_world[:3, place] for place in range(3) if place != ijk_position(axis)]
    units = [direction / np.linalg.norm(direction) for direction in in_plane]
    x = max(units, key=lambda unit: abs(unit @ current[:, 0]))
    x = x * (np.sign(x @ current[:, 0]) or 1.0)
    y = np.cross(normal, x) * np.sign(np.linalg.det(current))
    return np.stack([x, y, normal], axis=1)
