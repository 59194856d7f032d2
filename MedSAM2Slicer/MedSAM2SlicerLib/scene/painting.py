"""Strokes of a round brush on one slice, through Slicer's own segment editor logic: as its Paint and Erase effects do.

Slicer has those effects in its segment editor widget; this is for where that widget is not.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from slicer import vtkMRMLSegmentEditorNode, vtkSlicerSegmentEditorLogic

from MedSAM2Lib.types import IJK, Axis, BoolArray, array_dimension
from MedSAM2SlicerLib.scene.geometry import ijk_to_world_matrix, volume_shape
from MedSAM2SlicerLib.scene.masking import occupied_voxels
from MedSAM2SlicerLib.scene.segments import Box, check_editable
from MedSAM2SlicerLib.scene.voxels import oriented_image


class Brush:
    """Paints and erases in one segmentation; other segments keep their voxels.

    Args:
        volume_node: gives the grid.
        segmentation_node: is painted into.
    """

    def __init__(self, volume_node: Any, segmentation_node: Any) -> None:
        self._volume = volume_node
        self._segmentation = segmentation_node
        self._logic = vtkSlicerSegmentEditorLogic()
        self._logic.SetSegmentEditorNode(vtkMRMLSegmentEditorNode())

    def stroke(self, segment_id: str, start: IJK, end: IJK, axis: Axis, radius_mm: float, erase: bool = False) -> None:
        """Draws from one voxel to another on the slice of ``axis`` through the first.

        Raises InputError as ``segments.check_editable`` does.
        """
        check_editable(self._segmentation, segment_id)
        mask, box = stroke_mask(self._volume, start, end, axis, radius_mm)
        mask &= ~occupied_voxels(None, self._segmentation, segment_id, box)
        image = oriented_image(mask, box, self._volume)
        mode = self._logic.ModificationModeRemove if erase else self._logic.ModificationModeAdd
        self._logic.ModifySegmentByLabelmap(self._segmentation, segment_id, image, mode, True, False)


def stroke_mask(volume_node: Any, start: IJK, end: IJK, axis: Axis, radius_mm: float) -> tuple[BoolArray, Box]:
    """The voxels within a radius of a line on a slice, bool ``[k, j, i]`` of a box; the line's own voxels at least."""
    lengths = np.linalg.norm(ijk_to_world_matrix(volume_node)[:3, :3], axis=0)[::-1]
    first, last = np.array(start[::-1]), np.array(end[::-1])
    along = array_dimension(axis)
    last[along] = first[along]
    reach = radius_mm / lengths
    reach[along] = 0
    low = np.floor(np.minimum(first, last) - reach).astype(int)
    high = np.ceil(np.maximum(first, last) + reach).astype(int)
    sides = [slice(max(a, 0), min(b, size - 1) + 1) for a, b, size in zip(low, high, volume_shape(volume_node))]
    places = np.stack(np.meshgrid(*(np.arange(side.start, side.stop) for side in sides), indexing="ij"), axis=-1)
    distances = _distances((places - first) * lengths, (last - first) * lengths)
    return distances <= max(radius_mm, float(lengths.max()) / 2), (sides[0], sides[1], sides[2])


def _distances(points: np.ndarray, line: Sequence[float] | np.ndarray) -> np.ndarray:
    """Distances in mm of points ``[..., 3]`` from the line between the origin and ``line``."""
    length = float(np.dot(line, line))
    part = np.clip(points @ np.asarray(line) / length, 0.0, 1.0) if length else np.zeros(points.shape[:-1])
    return np.asarray(np.linalg.norm(points - part[..., None] * np.asarray(line), axis=-1))
