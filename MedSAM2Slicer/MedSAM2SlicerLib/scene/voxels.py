"""Voxels that changed: two masks in a box, small enough to be kept for undo."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import vtk
from numpy.typing import NDArray
from slicer import vtkOrientedImageData
from vtk.util.numpy_support import vtk_to_numpy

from MedSAM2Lib.types import BoolArray
from MedSAM2SlicerLib.scene.geometry import as_vtk, ijk_to_local_matrix
from MedSAM2SlicerLib.scene.segments import Box


@dataclass(frozen=True, eq=False)
class Change:
    """Voxels of one segment that were added and removed, bool ``[k, j, i]`` of a box of the volume; never both."""

    segment_id: str
    box: Box
    added: BoolArray
    removed: BoolArray

    @property
    def reversed(self) -> Change:
        return Change(self.segment_id, self.box, self.removed, self.added)

    def packed(self) -> PackedChange:
        """The same in one bit a voxel and mask, cut to what changed."""
        inner = bounding_box(self.added | self.removed)
        if inner is None:
            inner = (slice(0, 0), slice(0, 0), slice(0, 0))
        shape = self.added[inner].shape
        return PackedChange(
            self.segment_id,
            moved(inner, self.box),
            shape,
            np.packbits(self.added[inner]),
            np.packbits(self.removed[inner]),
        )


@dataclass(frozen=True, eq=False)
class PackedChange:
    """A change as bits."""

    segment_id: str
    box: Box
    shape: tuple[int, ...]
    added: NDArray[np.uint8]
    removed: NDArray[np.uint8]

    def unpacked(self) -> Change:
        return Change(self.segment_id, self.box, self._mask(self.added), self._mask(self.removed))

    def _mask(self, bits: NDArray[np.uint8]) -> BoolArray:
        count = int(np.prod(self.shape))
        return np.unpackbits(bits, count=count).view(bool).reshape(self.shape)


def bounding_box(mask: BoolArray) -> Box | None:
    """The smallest box that holds all true voxels, or None."""
    sides: list[slice] = []
    part = mask
    for dimension in range(3):
        others = tuple(other for other in range(3) if other != dimension)
        places = np.flatnonzero(part.any(axis=others))
        if not places.size:
            return None
        side = slice(int(places[0]), int(places[-1]) + 1)
        sides.append(side)
        part = part[(slice(None),) * dimension + (side,)]
    return sides[0], sides[1], sides[2]


def moved(inner: Box, outer: Box) -> Box:
    """A box inside another one's array, in the coordinates of the volume."""
    k, j, i = (slice(a.start + b.start, a.stop + b.start) for a, b in zip(inner, outer))
    return k, j, i


def inside(inner: Box, outer: Box) -> Box:
    """A box of the volume in the coordinates of another one's array, which holds it."""
    k, j, i = (slice(a.start - b.start, a.stop - b.start) for a, b in zip(inner, outer))
    return k, j, i


def union(one: Box | None, other: Box | None) -> Box | None:
    """The smallest box that holds both."""
    if one is None or other is None:
        return one or other
    k, j, i = (slice(min(a.start, b.start), max(a.stop, b.stop)) for a, b in zip(one, other))
    return k, j, i


def intersection(one: Box | None, other: Box | None) -> Box | None:
    """The box that lies in both, or None."""
    if one is None or other is None:
        return None
    k, j, i = (slice(max(a.start, b.start), min(a.stop, b.stop)) for a, b in zip(one, other))
    return None if min(k.stop - k.start, j.stop - j.start, i.stop - i.start) <= 0 else (k, j, i)


def oriented_image(mask: BoolArray, box: Box, volume_node: Any) -> Any:
    """A mask in a box of the volume as the labelmap that Slicer's segmentation logic takes: 1 where true."""
    image = vtkOrientedImageData()
    k, j, i = box
    image.SetExtent(i.start, i.stop - 1, j.start, j.stop - 1, k.start, k.stop - 1)
    image.AllocateScalars(vtk.VTK_UNSIGNED_CHAR, 1)
    image.SetGeometryFromImageToWorldMatrix(as_vtk(ijk_to_local_matrix(volume_node)))
    vtk_to_numpy(image.GetPointData().GetScalars()).reshape(mask.shape)[:] = mask
    return image
