"""Where voxels lie: index (k, j, i) to mm in LPS, as highdicom has it, beside the project's (i, j, k)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from MedSAM2Lib.dicom.refusals import SegExportError

Affine = NDArray[np.float64]
SNAP_VOXELS = 0.01
"""What is nearer to a grid than this, in voxels, lies on it."""
_SAME_TRANSFORM = 1e-6
_PERPENDICULAR = 1e-4


@dataclass(frozen=True, eq=False)
class SourceGrid:
    """The regular grid of a series: ``affine_lps`` 4x4, index (k, j, i) to LPS in mm, and ``shape`` (k, j, i)."""

    affine_lps: Affine
    shape: tuple[int, int, int]


def affine_lps_from(ijk_to_world: ArrayLike) -> Affine:
    """4x4 of index (k, j, i) to LPS, from one of index (i, j, k) to LPS such as ``Volume.ijk_to_world``."""
    return np.asarray(ijk_to_world, dtype=np.float64)[:, [2, 1, 0, 3]]


def ijk_to_world_from(affine_lps: ArrayLike) -> Affine:
    """The other way: 4x4 of index (i, j, k) to LPS."""
    return affine_lps_from(affine_lps)


def check_transform(to_world: ArrayLike | None, name: str) -> None:
    """Raises SegExportError ``E_TRANSFORM`` unless a parent transform (4x4; None where there is none) does nothing.

    A transform that is no matrix, such as 3D Slicer's acquisition transform, is given as a 4x4 of NaN.
    """
    if to_world is None or np.allclose(np.asarray(to_world, dtype=np.float64), np.eye(4), atol=_SAME_TRANSFORM):
        return
    raise SegExportError(
        "E_TRANSFORM",
        "{name} lies under a transform, so its voxels are not where the DICOM images are: harden the transform or "
        "move {name} out of it.",
        name=name,
    )


def snapped(affine_lps: Affine, shape: tuple[int, int, int], source: SourceGrid) -> Affine | None:
    """The affine with its voxels exactly on the source's; None where they lie on other places than the source's.

    The grid may be flipped, permuted, cropped or larger: what counts is that voxels fall onto voxels.
    """
    relative = np.linalg.inv(source.affine_lps) @ affine_lps
    whole = np.rint(relative)
    corners = np.array([[*(np.array(corner) * (np.array(shape) - 1)), 1] for corner in np.ndindex(2, 2, 2)])
    unit = np.abs(whole[:3, :3])
    if np.abs((relative - whole) @ corners.T).max() > SNAP_VOXELS or not (
        (unit.sum(axis=0) == 1).all() and (unit.sum(axis=1) == 1).all()
    ):
        return None
    return np.asarray(source.affine_lps @ whole)


def has_right_angles(affine: Affine) -> bool:
    """Whether the axes of a grid are perpendicular to each other, and each has a length."""
    lengths = np.linalg.norm(affine[:3, :3], axis=0)
    if not (lengths > 0).all():
        return False
    axes = affine[:3, :3] / lengths
    return bool(np.abs(axes.T @ axes - np.eye(3)).max() < _PERPENDICULAR)


def overlaps_source(affine_lps: Affine, first: NDArray[np.intp], last: NDArray[np.intp], source: SourceGrid) -> bool:
    """Whether a box of voxels, ``first`` to ``last`` (k, j, i) inclusive, touches the box of the source's voxels.

    Compared along the axes of the source, to half a voxel.
    """
    corners = np.array([[*np.where(corner, last, first), 1] for corner in np.ndindex(2, 2, 2)])
    places = (np.linalg.inv(source.affine_lps) @ affine_lps @ corners.T)[:3]
    low, high = places.min(axis=1), places.max(axis=1)
    return bool(((high > -0.5) & (low < np.array(source.shape) - 0.5)).all())
