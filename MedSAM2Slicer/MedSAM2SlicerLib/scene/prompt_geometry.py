"""Prompts between voxels and the volume's own RAS, in which Markups keep their positions."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, Union

import numpy as np
from numpy.typing import NDArray

from MedSAM2Lib.types import IJK, Axis, BoxPrompt, PointPrompt, ijk_position
from MedSAM2SlicerLib.scene.geometry import apply, ijk_to_local_matrix, inverse, nearest_index, volume_shape

DrawnPrompt = Union[PointPrompt, BoxPrompt]


class PromptGeometry:
    """The grid of a volume without its parent transforms, which prompts share with it."""

    def __init__(self, volume_node: Any) -> None:
        self.ijk_to_local = ijk_to_local_matrix(volume_node)
        self._local_to_ijk = inverse(self.ijk_to_local)
        self._sizes = volume_shape(volume_node)[::-1]

    def same_as(self, other: PromptGeometry) -> bool:
        return bool(np.array_equal(self.ijk_to_local, other.ijk_to_local)) and self._sizes == other._sizes

    def local(self, ijk: Sequence[float] | NDArray[np.float64]) -> tuple[float, float, float]:
        """The volume's own RAS of voxel coordinates."""
        return apply(self.ijk_to_local, ijk)

    def voxel(self, local: Sequence[float]) -> IJK:
        """The centre of the voxel that a position lies in or, outside the volume, is nearest to."""
        return self._inside(apply(self._local_to_ijk, local))

    def box_matrix(self, box: BoxPrompt) -> tuple[NDArray[np.float64], list[float]]:
        """4x4 object-to-local and size in mm of the region of interest that holds the box's voxels and no others."""
        lengths = np.linalg.norm(self.ijk_to_local[:3, :3], axis=0)
        matrix = np.eye(4)
        matrix[:3, :3] = self.ijk_to_local[:3, :3] / lengths
        if np.linalg.det(matrix[:3, :3]) < 0:
            matrix[:3, 2] *= -1  # a box is its own mirror image, and a region of interest is right-handed
        matrix[:3, 3] = self.local(np.add(box.first, box.last, dtype=np.float64) / 2)
        return matrix, [float(size) for size in (np.subtract(box.last, box.first) + 1) * lengths]

    def box(self, object_to_local: NDArray[np.float64], size: Sequence[float], axis: Axis) -> BoxPrompt:
        """The box of a region of interest on the slice through its middle: voxels whose centres it holds."""
        halves = (-0.5, 0.5)
        corners = np.array([[x, y, z] for x in halves for y in halves for z in halves]) * np.asarray(size)
        ijk = np.array([apply(self._local_to_ijk @ object_to_local, corner) for corner in corners])
        first, last = ijk.min(axis=0) + 0.5, ijk.max(axis=0) - 0.5
        middle = (first + last) / 2
        first, last = np.minimum(first, middle), np.maximum(last, middle)
        along = ijk_position(axis)
        first[along] = last[along] = middle[along]
        return BoxPrompt(self._inside(first), self._inside(last), axis)

    def _inside(self, ijk: Sequence[float]) -> IJK:
        i, j, k = (float(min(max(nearest_index(value), 0), size - 1)) for value, size in zip(ijk, self._sizes))
        return i, j, k


def rounded(prompt: DrawnPrompt) -> DrawnPrompt:
    """The prompt at voxel centres, as it is drawn."""
    if isinstance(prompt, PointPrompt):
        return replace(prompt, ijk=_centre(prompt.ijk))
    return BoxPrompt(_centre(prompt.first), _centre(prompt.last), prompt.axis)


def _centre(ijk: IJK) -> IJK:
    i, j, k = (float(nearest_index(value)) for value in ijk)
    return i, j, k
