"""Masks: label maps and 3D Slicer's segmentation files out, masks for prompts in."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import SimpleITK as sitk
from numpy.typing import NDArray

from MedSAM2Lib.errors import InputError, PromptError
from MedSAM2Lib.types import BoolArray
from MedSAM2Lib.volume.io.arrays import ARRAY_SUFFIXES, MASK_KEYS, has_geometry, read_array_volume
from MedSAM2Lib.volume.io.images import check_file, image_on_grid, read_image
from MedSAM2Lib.volume.io.outputs import INCOMPLETE, replacing
from MedSAM2Lib.volume.io.quiet import quiet
from MedSAM2Lib.volume.io.segmentation_nrrd import Color, in_layers, write_segmentation
from MedSAM2Lib.volume.volume import Volume

SEGMENTATION_SUFFIX = ".seg.nrrd"
MASK_SUFFIXES = (SEGMENTATION_SUFFIX, ".nrrd", ".nii.gz", ".nii", ".mha")
"""Names of mask files end in one of these; the first also keeps names and colours."""

_SAME_GRID = 1e-3


def write_mask(
    path: str | Path,
    labels: NDArray | Sequence[BoolArray],
    volume: Volume,
    names: Sequence[str] = (),
    colors: Sequence[Color] | None = None,
) -> None:
    """Writes objects on a volume's grid, compressed where the format can; the file appears whole or not at all.

    Args:
        path: ends in one of ``MASK_SUFFIXES``; ``.seg.nrrd`` is 3D Slicer's segmentation, all else a plain label map.
        labels: uint8 or uint16 ``[k, j, i]``, object n has the value n; or one boolean mask an object, which may
            overlap in ``.seg.nrrd`` only.
        volume: gives the grid.
        names: of objects 1, 2, ...; "Segment_n" where missing.
        colors: red, green, blue in 0..1 of each object; distinct ones if None.

    Raises InputError for another suffix and for overlapping masks in a label map, OutputError where writing fails.
    """
    path = Path(path)
    if not path.name.lower().endswith(MASK_SUFFIXES):
        raise InputError(
            "E_OUT_SUFFIX", "{path} must end in {suffixes}.", path=path, suffixes=" or ".join(MASK_SUFFIXES)
        )
    layers = in_layers(labels, volume.shape)
    if path.name.lower().endswith(SEGMENTATION_SUFFIX):
        with replacing(path) as partial:
            write_segmentation(partial, layers, volume, names, colors)
        return
    if len(layers.arrays) > 1:
        raise InputError(
            "E_MASK_OVERLAP",
            "Objects overlap, and {path} holds one object a voxel: write a .seg.nrrd file, or decide which object "
            "keeps each voxel.",
            path=path,
        )
    with replacing(path) as partial:
        _write_label_map(partial, layers.arrays[0], volume)


def read_mask(path: str | Path, volume: Volume) -> BoolArray:
    """The voxels of a mask file that are above 0, boolean ``[k, j, i]`` on the volume's grid.

    Any format that ``read_volume`` takes but DICOM, and segmentation files, whose layers are united and which may cover
    a part of the volume only. Raises PromptError for another grid and for an empty mask, VolumeError for a bad file.
    """
    path = Path(path)
    check_file(path)
    if path.suffix.lower() in ARRAY_SUFFIXES:
        read = read_array_volume(path, MASK_KEYS)
        array, grid = read.array, read if has_geometry(path) else None
    else:
        image = read_image(path)
        array = sitk.GetArrayFromImage(image)
        if array.ndim == 4:
            array = array.max(axis=3)
        grid = Volume.from_array(array, image.GetSpacing(), image.GetOrigin(), image.GetDirection(), path.name)
    mask = np.asarray(array > 0)
    if grid is not None and path.name.lower().endswith(SEGMENTATION_SUFFIX):
        mask, grid = on_whole_grid(mask, grid, volume)
    check_grid(mask, grid, volume, path)
    if not mask.any():
        raise PromptError(
            "E_MASK_EMPTY", "The mask {path} is empty: mark at least one voxel of the object in it.", path=path
        )
    return mask


def _write_label_map(path: Path, labels: NDArray, volume: Volume) -> None:
    """Writes and reads back: the writers of some formats do not say when the disk is full."""
    try:
        with quiet():
            sitk.WriteImage(image_on_grid(labels, volume), str(path), True)
            stored = sitk.GetArrayFromImage(sitk.ReadImage(str(path)))
    except RuntimeError as error:
        raise OSError(INCOMPLETE) from error
    if not np.array_equal(stored, labels):
        raise OSError(INCOMPLETE)


def check_grid(mask: BoolArray, grid: Volume | None, volume: Volume, path: Path) -> None:
    """Raises PromptError where a mask [k, j, i], whose grid is known or None, is not on the volume's grid."""
    differences = []
    if mask.shape != volume.shape:
        differences.append(f"size {_row(mask.shape[::-1])} voxels, not {_row(volume.shape[::-1])}")
    if grid is not None and not (mask.shape == volume.shape and _same_place(grid, volume)):
        for what, found, wanted in (
            ("spacing", grid.spacing, volume.spacing),
            ("origin", grid.origin, volume.origin),
            ("direction", grid.direction.ravel(), volume.direction.ravel()),
        ):
            if not np.allclose(found, wanted, rtol=1e-4, atol=1e-4):
                differences.append(f"{what} ({_row(found, ', ')}) instead of ({_row(wanted, ', ')})")
    if differences:
        raise PromptError(
            "E_MASK_GRID",
            "The mask {path} is not on the volume's grid: {differences}. Resample it to the volume, or give the one "
            "that was drawn on it.",
            path=path,
            differences="; ".join(differences),
        )


def _same_place(grid: Volume, volume: Volume) -> bool:
    """Whether all corners of two grids of one size lie together, to a small part of a voxel."""
    corners = np.array([[*np.array(corner) * (np.array(volume.shape[::-1]) - 1), 1] for corner in np.ndindex(2, 2, 2)])
    apart = np.linalg.norm((corners @ (grid.ijk_to_world - volume.ijk_to_world).T)[:, :3], axis=1)
    return bool(apart.max() <= _SAME_GRID * min(volume.spacing))


def on_whole_grid(mask: BoolArray, grid: Volume, volume: Volume) -> tuple[BoolArray, Volume]:
    """A mask that covers a part of the volume, voxel on voxel, brought to all of it; any other as it is."""
    offset = np.rint((np.linalg.inv(volume.ijk_to_world) @ grid.ijk_to_world[:, 3])[:3]).astype(int)[::-1]
    end = offset + mask.shape
    if mask.shape == volume.shape or (offset < 0).any() or (end > volume.shape).any():
        return mask, grid
    whole = np.zeros(volume.shape, dtype=bool)
    whole[tuple(slice(start, stop) for start, stop in zip(offset, end))] = mask
    moved = grid.ijk_to_world.copy()
    moved[:3, 3] -= moved[:3, :3] @ offset[::-1]
    return whole, Volume(whole, moved, grid.name)


def _row(values: Sequence[float] | NDArray, between: str = "x") -> str:
    return between.join(f"{value:.5g}" for value in values)
