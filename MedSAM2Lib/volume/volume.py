"""A volume: voxels, where they lie in the patient, and a name."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import ArrayLike, NDArray

from MedSAM2Lib.errors import VolumeError
from MedSAM2Lib.types import AXES, Axis, array_dimension, ijk_position

_SMALLEST_SPACING = 1e-9


@dataclass(frozen=True, eq=False)
class Volume:
    """A grey volume of one or more slices.

    Args:
        array: real numbers of any type, ``[k, j, i]``.
        ijk_to_world: 4x4 float64, voxel coordinates ``(i, j, k, 1)`` to mm in LPS: the columns are the directions of
            i, j and k times their spacing, then the centre of voxel (0, 0, 0).
        name: what users call it.

    Raises VolumeError for an array that is not three-dimensional, is empty or holds no real numbers, and for a matrix
    that is not finite or maps the grid onto a plane.
    """

    array: NDArray
    ijk_to_world: NDArray[np.float64]
    name: str = "volume"

    def __post_init__(self) -> None:
        object.__setattr__(self, "ijk_to_world", np.array(self.ijk_to_world, dtype=np.float64))
        _check_array(self.array, self.name)
        _check_geometry(self.ijk_to_world, self.name)

    @staticmethod
    def from_array(
        array: NDArray,
        spacing: Sequence[float] = (1.0, 1.0, 1.0),
        origin: Sequence[float] = (0.0, 0.0, 0.0),
        direction: ArrayLike | None = None,
        name: str = "volume",
    ) -> Volume:
        """A volume from its parts, as image files hold them.

        Args:
            array: ``[k, j, i]``.
            spacing: mm along i, j, k.
            origin: LPS position in mm of the centre of voxel (0, 0, 0).
            direction: 3x3 (or its 9 values, row by row), column n the unit direction of i, j, k; identity if None.
            name: what users call it.
        """
        matrix = np.eye(4)
        axes = np.eye(3) if direction is None else np.asarray(direction, dtype=np.float64).reshape(3, 3)
        matrix[:3, :3] = axes * np.asarray(spacing, dtype=np.float64)
        matrix[:3, 3] = origin
        return Volume(array, matrix, name)

    @property
    def shape(self) -> tuple[int, int, int]:
        """Voxels along k, j, i."""
        return self.array.shape[0], self.array.shape[1], self.array.shape[2]

    @property
    def spacing(self) -> tuple[float, float, float]:
        """Size of a voxel in mm along i, j, k."""
        i, j, k = (float(length) for length in np.linalg.norm(self.ijk_to_world[:3, :3], axis=0))
        return i, j, k

    @property
    def direction(self) -> NDArray[np.float64]:
        """3x3, column n the unit vector of i, j, k in LPS."""
        return np.asarray(self.ijk_to_world[:3, :3] / np.asarray(self.spacing))

    @property
    def origin(self) -> tuple[float, float, float]:
        """LPS position in mm of the centre of voxel (0, 0, 0)."""
        x, y, z = (float(value) for value in self.ijk_to_world[:3, 3])
        return x, y, z

    def spacing_along(self, axis: Axis) -> float:
        """Distance in mm between neighbouring voxels along ``axis``."""
        return self.spacing[ijk_position(axis)]

    def slice_count(self, axis: Axis) -> int:
        """Number of slices perpendicular to ``axis``."""
        return int(self.array.shape[array_dimension(axis)])

    def slice(self, axis: Axis, index: int) -> NDArray:
        """A view of one slice, ``[rows, columns]``; ``index`` counts from 0. Raises IndexError outside the volume."""
        if not 0 <= index < self.slice_count(axis):
            raise IndexError(f"slice {index} of axis {axis} is outside 0 to {self.slice_count(axis) - 1}")
        place = tuple(index if other == axis else slice(None) for other in AXES)
        return np.asarray(self.array[place])

    def checksum(self) -> str:
        """SHA-256 of voxels (type, shape, values) and geometry, as hexadecimal; the name does not count."""
        digest = hashlib.sha256(f"{self.array.dtype.str} {self.shape}".encode())
        digest.update(self.ijk_to_world.astype("<f8").tobytes())
        for index in range(self.shape[0]):
            digest.update(np.ascontiguousarray(self.array[index]).data)
        return digest.hexdigest()


def replace_non_finite(volume: Volume) -> tuple[Volume, int]:
    """The volume with NaN and infinite voxels replaced by its smallest finite value, and how many there were.

    The same volume comes back where all voxels are finite. Raises VolumeError where none is.
    """
    if not np.issubdtype(volume.array.dtype, np.floating):
        return volume, 0
    finite = np.isfinite(volume.array)
    count = int(finite.size - np.count_nonzero(finite))
    if count == 0:
        return volume, 0
    if count == finite.size:
        raise _not_finite(volume)
    filled = np.where(finite, volume.array, volume.array[finite].min()).astype(volume.array.dtype)
    return replace(volume, array=filled), count


def finite_range(volume: Volume) -> tuple[float, float]:
    """The smallest and the largest finite value. Raises VolumeError where no voxel is finite."""
    low, high = np.inf, -np.inf
    for pixels in volume.array:
        finite = pixels[np.isfinite(pixels)] if pixels.dtype.kind == "f" else pixels
        if finite.size:
            low, high = min(low, float(finite.min())), max(high, float(finite.max()))
    if low > high:
        raise _not_finite(volume)
    return low, high


def check_contrast(volume: Volume) -> None:
    """Raises VolumeError where no voxel is finite, or all finite ones have one value: there is nothing to see."""
    low, high = finite_range(volume)
    if low < high:
        return
    raise VolumeError(
        "E_VOLUME_CONSTANT",
        "Every voxel of {name} has the value {value:g}, so there is nothing to segment: check that it is the right "
        "file, or export it again.",
        name=volume.name,
        value=low,
    )


def _not_finite(volume: Volume) -> VolumeError:
    return VolumeError(
        "E_VOLUME_NOT_FINITE",
        "No voxel of {name} is a finite number (all are NaN or infinite): export the volume again.",
        name=volume.name,
    )


def _check_array(array: NDArray, name: str) -> None:
    if array.ndim != 3:
        raise VolumeError(
            "E_VOLUME_DIMENSIONS",
            "{name} has {count} dimensions ({shape}): give one volume of three, without channels or time points.",
            name=name,
            count=array.ndim,
            shape="x".join(map(str, array.shape)),
        )
    if array.size == 0:
        raise VolumeError(
            "E_VOLUME_EMPTY",
            "{name} has no voxels ({shape}): export it again.",
            name=name,
            shape="x".join(map(str, array.shape)),
        )
    if array.dtype.kind not in "buif":
        raise VolumeError(
            "E_VOLUME_TYPE",
            "The voxels of {name} are of type {type}, not grey values: convert them to integers or real numbers.",
            name=name,
            type=array.dtype,
        )


def _check_geometry(matrix: NDArray[np.float64], name: str) -> None:
    spacing = np.linalg.norm(matrix[:3, :3], axis=0) if matrix.shape == (4, 4) else np.zeros(3)
    if np.isfinite(matrix).all() and spacing.min() > _SMALLEST_SPACING and _spans_space(matrix[:3, :3] / spacing):
        return
    raise VolumeError(
        "E_VOLUME_GEOMETRY",
        "{name} has no usable spacing and directions (spacing {spacing} mm): correct its header or export it again.",
        name=name,
        spacing=" x ".join(f"{value:g}" for value in spacing),
    )


def _spans_space(directions: NDArray[np.float64]) -> bool:
    return abs(float(np.linalg.det(directions))) > 1e-6
